//! The report, for people: a page ([`html`]) and a table for the terminal ([`text`]). JSON is the [`crate::Assessment`] itself.

mod page;
mod style;
mod words;

pub use page::html;
pub use words::{text, text_steps};

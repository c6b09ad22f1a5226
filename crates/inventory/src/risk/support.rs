//! Dates at which support ends: a table in TOML, and the one that ships.
//!
//! ```toml
//! [[product]]
//! name = "Windows 7"
//! also = ["Win7"]                 # other spellings
//! builds = ["6.1.7601"]           # versions as programs report them, each a prefix
//! ends = "2020-01-14"             # last day with security fixes for everybody
//! source = "https://…"            # where the date is published
//! unless = "a paid extension …"   # when the date does not hold; lowers the confidence
//! ```

use serde::Deserialize;

use super::reader::{FeedKind, Import, Out};
use super::row::{EndOfSupport, NAME_MAX, Row, TEXT_MAX, moment, short};

const SHIPPED: &str = include_str!("support.toml");

#[derive(Deserialize)]
struct Table {
    product: Vec<toml::Spanned<toml::Value>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Product {
    name: String,
    #[serde(default)]
    also: Vec<String>,
    #[serde(default)]
    builds: Vec<String>,
    ends: String,
    source: String,
    #[serde(default)]
    unless: String,
}

/// The table that ships: common operating systems, each date with its public source.
///
/// # Panics
/// Never: a test reads it.
pub fn shipped() -> Import {
    super::reader::read("end of support (shipped)", SHIPPED.as_bytes())
        .expect("the shipped table is read by a test")
}

pub(crate) fn read(bytes: &[u8], out: &mut Out) {
    out.is(FeedKind::EndOfSupport);
    let Ok(text) = std::str::from_utf8(bytes) else {
        out.bad(1, 0, "the table is not UTF-8");
        return;
    };
    let text = text.trim_start_matches('\u{feff}');
    let place = |offset: usize| {
        let before = text.as_bytes().get(..offset).unwrap_or_default();
        let line = before.iter().filter(|b| **b == b'\n').count() + 1;
        (
            u64::try_from(line).unwrap_or(0),
            u64::try_from(offset).unwrap_or(0),
        )
    };
    let table: Table = match toml::from_str(text) {
        Ok(table) => table,
        Err(error) => {
            let (line, offset) = place(error.span().map_or(0, |s| s.start));
            out.bad(line, offset, error.message());
            return;
        }
    };
    for product in table.product {
        let (line, offset) = place(product.span().start);
        let product: Product = match product.into_inner().try_into() {
            Ok(product) => product,
            Err(error) => {
                out.bad(line, offset, error.message());
                continue;
            }
        };
        let Some(ends) = moment(&product.ends) else {
            out.bad(
                line,
                offset,
                format_args!("`{}` is not a date", product.ends),
            );
            continue;
        };
        if product.name.trim().is_empty() {
            out.bad(line, offset, "a product has no name");
            continue;
        }
        if !product.source.starts_with("https://") {
            out.bad(
                line,
                offset,
                format_args!(
                    "`{}`: `source` must be the https address that publishes the date",
                    product.name
                ),
            );
            continue;
        }
        let list = |all: &[String]| all.iter().map(|t| short(t, NAME_MAX)).collect();
        out.keep(
            Row::EndOfSupport(EndOfSupport {
                product: short(&product.name, NAME_MAX),
                also: list(&product.also),
                builds: list(&product.builds),
                ends,
                source: short(&product.source, TEXT_MAX),
                unless: short(&product.unless, TEXT_MAX),
            }),
            None,
        );
    }
}

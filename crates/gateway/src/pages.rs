//! What a person sees in a browser when a request does not go through.

use domain::{ApplicationId, Outcome, RecordId};

/// Draws the pages that tell people what happened. The console gives the gateway its own.
pub trait Pages: Send + Sync + 'static {
    /// Draws one page.
    fn draw(&self, notice: &Notice<'_>) -> Page;
}

/// What happened to a request, told for a person. It holds nothing about a patient.
#[derive(Clone, Debug)]
pub struct Notice<'a> {
    /// What kind of answer it is.
    pub kind: NoticeKind,
    /// HTTP status of the answer.
    pub status: u16,
    /// The application asked, if it is known.
    pub application: Option<&'a ApplicationId>,
    /// Its name for people to read.
    pub application_name: Option<&'a str>,
    /// A stable code, kebab-case.
    pub code: &'a str,
    /// One plain sentence.
    pub sentence: &'a str,
    /// The record of it, if there is one.
    pub record: Option<RecordId>,
    /// Where the person can go on: the ceremony of a step-up or a break-glass.
    pub continue_url: Option<&'a str>,
    /// The sign-in origin, for a link home.
    pub access_url: &'a str,
}

/// Kinds of [`Notice`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoticeKind {
    /// A decision other than a permit.
    Decision(Outcome),
    /// Nobody is signed in, and the request is none that could be repeated after signing in.
    SignInNeeded,
    /// The request was ambiguous or malformed.
    BadRequest,
    /// No such application or place.
    NotFound,
    /// The application does not answer.
    UpstreamFailed,
    /// The gateway cannot record, so it forwards nothing.
    CannotRecord,
    /// The person has signed out.
    SignedOut,
}

/// A page, ready to send.
#[derive(Clone, Debug)]
pub struct Page {
    /// HTML text.
    pub html: String,
    /// Its `content-security-policy`.
    pub policy: String,
}

/// Pages without any design, for tests and for programs that have none.
#[derive(Clone, Copy, Debug, Default)]
pub struct PlainPages;

impl Pages for PlainPages {
    fn draw(&self, notice: &Notice<'_>) -> Page {
        let mut html = String::with_capacity(512);
        html.push_str("<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Asepsis</title><main><p>");
        push_escaped(&mut html, notice.sentence);
        html.push_str("</p>");
        if let Some(url) = notice.continue_url {
            html.push_str("<p><a href=\"");
            push_escaped(&mut html, url);
            html.push_str("\">Continue</a></p>");
        }
        html.push_str("<p><small>");
        push_escaped(&mut html, notice.code);
        if let Some(record) = notice.record {
            html.push_str(", record ");
            html.push_str(&record.to_string());
        }
        html.push_str("</small></p></main></html>");
        Page {
            html,
            policy:
                "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
                    .to_owned(),
        }
    }
}

fn push_escaped(html: &mut String, text: &str) {
    for c in text.chars() {
        match c {
            '&' => html.push_str("&amp;"),
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '"' => html.push_str("&quot;"),
            '\'' => html.push_str("&#39;"),
            c => html.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_in_a_page_is_escaped() {
        let page = PlainPages.draw(&Notice {
            kind: NoticeKind::BadRequest,
            status: 400,
            application: None,
            application_name: None,
            code: "x",
            sentence: "<script>'&\"",
            record: Some(RecordId(7)),
            continue_url: None,
            access_url: "https://access.example",
        });
        assert!(page.html.contains("&lt;script&gt;&#39;&amp;&quot;"));
        assert!(page.html.contains("record 7"));
    }
}

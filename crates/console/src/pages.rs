//! What a person sees in a browser when the gateway does not let a request through.
//!
//! One plain sentence, what one can do about it, and the code and record that a help desk can look up. The pages
//! appear on the hosts of applications; their style sheet comes from the sign-in origin, and they run no script.

use domain::Outcome;
use gateway::{Notice, NoticeKind, Page, Pages};
use maud::{Markup, html};

use crate::assets;
use crate::look::{self, Frame, document};

/// The gateway's pages in the look of the console.
#[derive(Clone, Copy, Debug, Default)]
pub struct Notices;

impl Pages for Notices {
    fn draw(&self, notice: &Notice<'_>) -> Page {
        let words = words(notice.kind);
        let files = plain_origin(notice.access_url);
        let home = (!files.is_empty()).then_some(files);
        let main = html! {
            div.narrow {
                div.card {
                    @if let NoticeKind::Decision(outcome) = notice.kind {
                        p { (look::outcome(outcome)) }
                    }
                    div {
                        h1 { (words.title) }
                        @if let Some(name) = notice.application_name { p.quiet { (name) } }
                    }
                    div class={ "band " (words.band) } { p { (notice.sentence) } }
                    @if let Some(hint) = words.hint { p { (hint) } }
                    (ways(notice, &words))
                    (small_print(notice))
                }
            }
        };
        let page = document(
            &Frame {
                title: words.title,
                home,
                files,
                ..Frame::default()
            },
            &main,
        );
        Page {
            html: page.into_string(),
            policy: policy(files),
        }
    }
}

struct Words {
    title: &'static str,
    band: &'static str,
    /// What one can do, where the button does not already say it.
    hint: Option<&'static str>,
    /// Words of the button that leads to `continue_url`.
    button: &'static str,
    button_class: &'static str,
}

fn words(kind: NoticeKind) -> Words {
    let (title, band, hint, button, button_class) = match kind {
        NoticeKind::Decision(Outcome::Permit) => ("Permitted", "permit", None, "Go on", ""),
        NoticeKind::Decision(Outcome::StepUp) => (
            "Confirm that it is you",
            "step_up",
            None,
            "Confirm and go on",
            "",
        ),
        NoticeKind::Decision(Outcome::BreakGlass) => (
            "In an emergency you can open this",
            "break_glass",
            Some(
                "You will be asked for the reason. The access is recorded and the privacy officer is told.",
            ),
            "Declare an emergency",
            "glass",
        ),
        NoticeKind::Decision(Outcome::Deny) => (
            "This is not open to you",
            "deny",
            Some(
                "If you need it for your work, tell your help desk the record number below; they can see why and put it right.",
            ),
            "Go on",
            "",
        ),
        NoticeKind::SignInNeeded => (
            "Sign in first",
            "step_up",
            Some("What you sent was not done. Sign in, then send it again."),
            "Sign in",
            "",
        ),
        NoticeKind::BadRequest => (
            "The request was not clear",
            "deny",
            Some(
                "Nothing was passed on. If you only followed a link, the link is broken; tell whoever gave it to you.",
            ),
            "Go on",
            "",
        ),
        NoticeKind::NotFound => ("Nothing here", "", None, "Go on", ""),
        NoticeKind::UpstreamFailed => (
            "The application does not answer",
            "deny",
            Some(
                "You are signed in and the request was permitted; the application itself is not reachable. Try again in a moment, and use your downtime procedure if a patient is waiting.",
            ),
            "Try again",
            "",
        ),
        NoticeKind::CannotRecord => (
            "Closed until the record works again",
            "deny",
            Some(
                "Nothing may be opened unrecorded, and the audit log takes no records now. The security team has to look at once; use your downtime procedure if a patient is waiting.",
            ),
            "Try again",
            "",
        ),
        NoticeKind::SignedOut => ("You are signed out", "permit", None, "Sign in again", ""),
    };
    Words {
        title,
        band,
        hint,
        button,
        button_class,
    }
}

fn ways(notice: &Notice<'_>, words: &Words) -> Markup {
    // A link must lead to a page of ours, whatever came in as its address.
    let safe = |url: &&str| url.starts_with("https://") || url.starts_with("http://");
    let on = notice.continue_url.filter(safe);
    let home = Some(notice.access_url).filter(safe);
    // What fails now may work in a moment. An empty link leads to the page's own address, which is not repeated here:
    // it may name a patient.
    let again = on.is_none()
        && matches!(
            notice.kind,
            NoticeKind::UpstreamFailed | NoticeKind::CannotRecord
        );
    html! {
        @if on.is_some() || home.is_some() || again {
            div.buttons {
                @if let Some(on) = on { a class={ "button " (words.button_class) } href=(on) { (words.button) } }
                @if again { a.button href="" { (words.button) } }
                @if let Some(home) = home {
                    a class={ "button" @if on.is_some() || again { " second" } } href=(home) {
                        @if notice.kind == NoticeKind::SignedOut { "Sign in again" } @else { "My applications" }
                    }
                }
            }
        }
    }
}

fn small_print(notice: &Notice<'_>) -> Markup {
    html! {
        hr;
        p.quiet {
            @if let Some(record) = notice.record { "Record " strong.number { (record) } " · " }
            code { (notice.code) }
        }
    }
}

/// The access origin if it is one, for use in a policy; a page without style is better than an open policy.
fn plain_origin(url: &str) -> &str {
    let rest = url
        .strip_prefix("https://")
        .or_else(|| url.strip_prefix("http://"))
        .unwrap_or("");
    let fine = !rest.is_empty()
        && rest
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b":.-[]".contains(&b));
    if fine { url } else { "" }
}

fn policy(files: &str) -> String {
    let prefix = assets::PREFIX;
    let sources = if files.is_empty() {
        "style-src 'none'; img-src data:".to_owned()
    } else {
        format!("style-src {files}{prefix}; img-src {files}{prefix} data:")
    };
    format!(
        "default-src 'none'; {sources}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
}

#[cfg(test)]
mod tests {
    use domain::RecordId;

    use super::*;

    fn draw(kind: NoticeKind, continue_url: Option<&str>, access_url: &str) -> Page {
        Notices.draw(&Notice {
            kind,
            status: 403,
            application: None,
            application_name: Some("Chart <i>"),
            code: "no-relation",
            sentence: "You are not part of this patient's care & team.",
            record: Some(RecordId(41)),
            continue_url,
            access_url,
        })
    }

    const ALL: [NoticeKind; 10] = [
        NoticeKind::Decision(Outcome::Permit),
        NoticeKind::Decision(Outcome::StepUp),
        NoticeKind::Decision(Outcome::BreakGlass),
        NoticeKind::Decision(Outcome::Deny),
        NoticeKind::SignInNeeded,
        NoticeKind::BadRequest,
        NoticeKind::NotFound,
        NoticeKind::UpstreamFailed,
        NoticeKind::CannotRecord,
        NoticeKind::SignedOut,
    ];

    #[test]
    fn every_page_says_the_sentence_the_code_and_the_record() {
        for kind in ALL {
            let page = draw(kind, None, "https://access.example");
            assert!(page.html.contains("care &amp; team."), "{kind:?}");
            assert!(page.html.contains("Chart &lt;i&gt;"), "{kind:?}");
            assert!(page.html.contains("no-relation"), "{kind:?}");
            assert!(page.html.contains(">41<"), "{kind:?}");
            assert!(!page.html.contains("<script"), "{kind:?}");
            assert!(!page.html.contains(" style="), "{kind:?}");
            assert_eq!(
                page.policy,
                "default-src 'none'; style-src https://access.example/.asepsis/asset/; \
                 img-src https://access.example/.asepsis/asset/ data:; base-uri 'none'; \
                 form-action 'none'; frame-ancestors 'none'"
            );
        }
    }

    #[test]
    fn the_ceremony_is_one_button_away_and_only_real_links_are_links() {
        let url = "https://access.example/ceremony/abc";
        let page = draw(
            NoticeKind::Decision(Outcome::BreakGlass),
            Some(url),
            "https://access.example",
        );
        assert!(page.html.contains(&format!("href=\"{url}\"")));
        let page = draw(
            NoticeKind::Decision(Outcome::StepUp),
            Some("javascript:alert(1)"),
            "javascript:x",
        );
        assert!(!page.html.contains("href=\"javascript"), "{}", page.html);
    }

    #[test]
    fn asking_again_is_offered_where_it_may_help_and_leads_to_the_same_address() {
        for kind in ALL {
            let page = draw(kind, None, "https://access.example");
            let passing = matches!(kind, NoticeKind::UpstreamFailed | NoticeKind::CannotRecord);
            let again = "href=\"\">Try again";
            assert_eq!(page.html.contains(again), passing, "{kind:?}");
        }
    }

    #[test]
    fn a_strange_access_address_cannot_open_the_policy() {
        let page = draw(NoticeKind::NotFound, None, "https://x; script-src *");
        assert!(
            page.policy
                .starts_with("default-src 'none'; style-src 'none'")
        );
        assert!(!page.policy.contains("script-src"));
    }
}

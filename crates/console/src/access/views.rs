//! The pages of the sign-in origin. None of them holds anything that tells who a patient is.

use domain::{Aal, Requirement, Timestamp};
use maud::{Markup, html};
use serde_json::json;

use crate::look::{self, Frame, Who, document};
use crate::reply::Refused;

/// A person or device that the sample sign-in offers.
#[derive(Debug)]
pub(crate) struct Choice {
    pub(crate) id: String,
    pub(crate) words: String,
    /// What it is listed under; neighbours of the same group share a heading.
    pub(crate) group: String,
    /// The unit of the person or device: a script proposes a device of the person's own unit.
    pub(crate) unit: String,
}

/// The options of a `select`, under a heading for each group.
fn options(choices: &[Choice]) -> Markup {
    html! {
        @for group in choices.chunk_by(|a, b| a.group == b.group) {
            optgroup label=(group.first().map_or("", |c| c.group.as_str())) {
                @for c in group { option value=(c.id) data-unit=(c.unit) { (c.words) } }
            }
        }
    }
}

/// What the sample sign-in offers.
#[derive(Debug)]
pub(crate) struct SampleChoices {
    pub(crate) people: Vec<Choice>,
    pub(crate) devices: Vec<Choice>,
}

fn bare(title: &str, place: &str, scripts: &[&str], main: &Markup) -> Markup {
    document(
        &Frame {
            title,
            place,
            home: Some("/"),
            scripts,
            ..Frame::default()
        },
        &html! { div.narrow { (main) } },
    )
}

/// The button that starts a passkey ceremony, and where its messages go.
fn passkey(
    words: &str,
    create: bool,
    addresses: (&str, &str),
    fields: &serde_json::Value,
    conditional: bool,
    class: &str,
) -> Markup {
    html! {
        div #passkey data-ceremony=(if create { "create" } else { "get" })
            data-options=(addresses.0) data-finish=(addresses.1) data-fields=(fields.to_string())
            data-conditional=[conditional.then_some("")] {
            button type="button" class={ "button wide " (class) } { (words) }
        }
        p #passkey-message role="status" hidden {}
        noscript { p.hint { "A passkey needs JavaScript in this browser." } }
    }
}

/// The sign-in page.
pub(crate) fn sign_in(
    to: Option<&str>,
    return_to: &str,
    token: &str,
    sample: Option<&SampleChoices>,
    trouble: Option<&str>,
) -> Markup {
    bare(
        "Sign in",
        "sign-in",
        &["passkey.js", "forms.js"],
        &html! {
            div.card {
                div {
                    h1 { "Sign in" }
                    @if let Some(name) = to { p.quiet { "to go on to " (name) } }
                }
                @if let Some(trouble) = trouble { div.band.deny role="alert" { p { (trouble) } } }
                @if let Some(sample) = sample {
                    div.demo {
                        p { span.demo-word { "Demo only." } " These people are invented, and nobody is asked for proof. A real installation has no such button." }
                        form method="post" action="/sample/sign-in" {
                            input type="hidden" name="token" value=(token);
                            input type="hidden" name="return" value=(return_to);
                            div.field {
                                label for="person" { "Sign in as" }
                                select #person name="person" data-proposes="device" { (options(&sample.people)) }
                            }
                            div.field {
                                label for="device" { "on the device" }
                                select #device name="device" {
                                    (options(&sample.devices))
                                    option value="" { "A device nobody knows" }
                                }
                            }
                            button.button.wide type="submit" { "Sample sign-in" }
                        }
                    }
                    p.or { "or" }
                }
                div.field #passkey-field hidden {
                    label for="username" { "Your passkeys" }
                    input #username type="text" name="username" autocomplete="username webauthn" aria-describedby="username-hint";
                    p.hint #username-hint { "Tap the field to choose one that this device knows." }
                }
                (passkey(
                    "Sign in with a passkey", false, ("/sign-in/options", "/sign-in/passkey"),
                    &json!({ "token": token, "return": return_to }), true,
                    if sample.is_some() { "second" } else { "" },
                ))
                p.hint { "No passkey yet? The person who looks after access here can give you a one-time invitation link." }
            }
        },
    )
}

/// One application on the home page.
#[derive(Debug)]
pub(crate) struct Door {
    pub(crate) name: String,
    pub(crate) about: String,
    pub(crate) address: String,
}

/// One passkey.
#[derive(Debug)]
pub(crate) struct Key {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) added: Timestamp,
    pub(crate) used: Option<Timestamp>,
    pub(crate) synced: bool,
    pub(crate) suspended: bool,
}

/// Who looks at a page of the sign-in origin.
#[derive(Debug)]
pub(crate) struct Me<'a> {
    pub(crate) name: &'a str,
    pub(crate) token: &'a str,
}

impl Me<'_> {
    fn who(&self) -> Who<'_> {
        Who {
            name: self.name,
            sign_out: "/sign-out",
            token: Some(self.token),
        }
    }
}

/// What the home page tells of the session.
#[derive(Debug)]
pub(crate) struct Standing {
    pub(crate) roles: Vec<String>,
    pub(crate) units: Vec<String>,
    pub(crate) device: Option<String>,
    pub(crate) level: Aal,
    pub(crate) phishing_resistant: bool,
    pub(crate) proved: Timestamp,
    pub(crate) ends: Timestamp,
}

const NAV: [(&str, &str); 2] = [("/", "Home"), ("/passkeys", "Passkeys")];

fn signed_in(title: &str, here: &str, me: &Me<'_>, scripts: &[&str], main: &Markup) -> Markup {
    let nav: Vec<(&str, &str, bool)> = NAV.iter().map(|(a, w)| (*a, *w, *a == here)).collect();
    document(
        &Frame {
            title,
            place: "sign-in",
            home: Some("/"),
            nav: &nav,
            who: Some(me.who()),
            scripts,
            ..Frame::default()
        },
        main,
    )
}

/// The home page.
pub(crate) fn home(
    me: &Me<'_>,
    standing: &Standing,
    doors: &[Door],
    keys: usize,
    now: Timestamp,
) -> Markup {
    signed_in(
        "Home",
        "/",
        me,
        &["forms.js"],
        &html! {
            div.page {
                div.page-head { div { h1 { "Welcome, " (me.name) } p { "Where do you want to go?" } } }
                @if doors.is_empty() { div.empty { p { "No application is open to you." } } }
                div.cards {
                    @for door in doors {
                        section.card {
                            h2 { (door.name) }
                            @if !door.about.is_empty() { p.quiet { (door.about) } }
                            div.buttons { a.button href=(door.address) { "Open " (door.name) } }
                        }
                    }
                }
                div.cards {
                    section.card aria-labelledby="session" {
                        h2 #session { "This session" }
                        dl.facts {
                            dt { "Roles" } dd { (list(&standing.roles)) }
                            dt { "Units" } dd { (list(&standing.units)) }
                            dt { "Device" } dd { (standing.device.as_deref().unwrap_or("not known here")) }
                            dt { "Proof" } dd { (strength(standing.level, standing.phishing_resistant)) ", " (look::ago(standing.proved, now)) }
                            dt { "Ends at the latest" } dd { (look::time(standing.ends)) " UTC" }
                        }
                        form method="post" action="/sign-out" {
                            input type="hidden" name="token" value=(me.token);
                            input type="hidden" name="everywhere" value="yes";
                            button.button.second type="submit" { "Sign out on all devices" }
                        }
                    }
                    section.card aria-labelledby="keys" {
                        h2 #keys { "My passkeys" }
                        p { @match keys {
                            0 => "You have none yet. A passkey is the way to sign in without a password.",
                            1 => "You have one. A second one on another device saves you when the first is lost.",
                            _ => { "You have " (keys) "." },
                        } }
                        div.buttons { a.button.second href="/passkeys" { "Look after my passkeys" } }
                    }
                }
            }
        },
    )
}

fn list(words: &[String]) -> String {
    if words.is_empty() {
        "none".to_owned()
    } else {
        words
            .iter()
            .map(|w| look::plain(w))
            .collect::<Vec<_>>()
            .join(", ")
    }
}

/// How strong a proof is, in words.
pub(crate) fn strength(level: Aal, phishing_resistant: bool) -> &'static str {
    match (level, phishing_resistant) {
        (Aal::Aal3, _) => "passkey that cannot leave its device",
        (Aal::Aal2, true) => "passkey",
        (Aal::Aal2, false) => "two factors",
        (Aal::Aal1, _) => "one factor",
    }
}

/// The page of one's passkeys.
pub(crate) fn passkeys(me: &Me<'_>, keys: &[Key], may_add: bool, now: Timestamp) -> Markup {
    signed_in(
        "Passkeys",
        "/passkeys",
        me,
        &["passkey.js", "forms.js"],
        &html! {
            div.page {
                div.page-head { div { h1 { "My passkeys" } p { "A passkey is kept by a device or a security key and is unlocked there with a finger, a face or a PIN. It works on this site only, so a copied page cannot steal it." } } }
                section.card aria-labelledby="have" {
                    h2 #have { "What you have" }
                    @if keys.is_empty() { p.quiet { "None yet." } }
                    ul.list {
                        @for key in keys {
                            li {
                                div {
                                    h3 { (key.name) }
                                    p.quiet {
                                        "Added " (look::ago(key.added, now)) ", "
                                        @if let Some(used) = key.used { "last used " (look::ago(used, now)) } @else { "not used yet" }
                                        @if key.synced { ", synchronised between devices" } @else { ", stays on its device" }
                                    }
                                    @if key.suspended { p { span.tag.off { "suspended: a copy of it seems to exist" } } }
                                }
                                div.buttons {
                                    details {
                                        summary { "Rename" span.unseen { " " (key.name) } }
                                        form.inline method="post" action="/passkeys/rename" {
                                            input type="hidden" name="token" value=(me.token);
                                            input type="hidden" name="passkey" value=(key.id);
                                            input type="text" name="name" value=(key.name) maxlength="60" required aria-label={ "New name of " (key.name) };
                                            button.button.second.short type="submit" { "Save" }
                                        }
                                    }
                                    form.inline method="post" action="/passkeys/remove" {
                                        input type="hidden" name="token" value=(me.token);
                                        input type="hidden" name="passkey" value=(key.id);
                                        button.button.second.short type="submit" aria-label={ "Remove " (key.name) } { "Remove" }
                                    }
                                }
                            }
                        }
                    }
                }
                section.card aria-labelledby="add" {
                    h2 #add { "Add one" }
                    @if may_add {
                        div.field {
                            label for="passkey-name" { "What you call it" }
                            input #passkey-name type="text" maxlength="60" placeholder="Ward tablet, blue key …";
                        }
                        (passkey("Add a passkey", true, ("/passkeys/options", "/passkeys/add"), &json!({ "token": me.token }), false, ""))
                    } @else {
                        p { "Adding or removing a passkey needs a fresh proof with one that you have." }
                        div.buttons { a.button href="/passkeys/confirm" { "Confirm with a passkey first" } }
                    }
                }
            }
        },
    )
}

/// The page of an invitation that is still good.
pub(crate) fn invitation(
    name: &str,
    first_administrator: bool,
    invitation: &str,
    token: &str,
) -> Markup {
    bare(
        "Invitation",
        "invitation",
        &["passkey.js"],
        &html! {
            div.card {
                div {
                    h1 { "Welcome, " (name) }
                    p.quiet {
                        @if first_administrator { "You are the first administrator here. " }
                        "Create your passkey. This link works once."
                    }
                }
                div.field {
                    label for="passkey-name" { "What you call it" }
                    input #passkey-name type="text" maxlength="60" placeholder="My laptop, blue key …";
                }
                (passkey("Create my passkey", true, ("/invitation/options", "/invitation/finish"),
                    &json!({ "token": token, "invitation": invitation }), false, ""))
                p.hint { "Your device asks for a finger, a face or a PIN. That never leaves the device." }
            }
        },
    )
}

/// The step-up page.
pub(crate) struct StepUpPage<'a> {
    pub(crate) me: Me<'a>,
    pub(crate) handle: &'a str,
    pub(crate) application: &'a str,
    pub(crate) requirement: &'a Requirement,
    pub(crate) has_passkey: bool,
    pub(crate) sample: bool,
    pub(crate) emergency: bool,
    pub(crate) trouble: Option<&'a str>,
}

/// The step-up page.
pub(crate) fn step_up(p: &StepUpPage<'_>) -> Markup {
    let minutes = p.requirement.max_age_secs / 60;
    bare(
        "Confirm that it is you",
        "sign-in",
        &["passkey.js", "forms.js"],
        &html! {
            div.card {
                div {
                    h1 { "Confirm that it is you" }
                    p.quiet {
                        @if p.emergency { "Before an emergency can be declared, " } @else { "To go on in " (p.application) ", " }
                        "prove once more that you are " (p.me.name)
                        @if p.requirement.phishing_resistant { ", with a passkey" }
                        @if minutes > 0 { ". It then holds for " (minutes) @if minutes == 1 { " minute" } @else { " minutes" } }
                        "."
                    }
                }
                @if let Some(trouble) = p.trouble { div.band.deny role="alert" { p { (trouble) } } }
                @if p.sample {
                    div.demo {
                        p { span.demo-word { "Demo only." } " This button stands for touching a passkey." }
                        form method="post" action="/sample/step-up" {
                            input type="hidden" name="token" value=(p.me.token);
                            input type="hidden" name="handle" value=(p.handle);
                            button.button.wide type="submit" { "Sample confirmation" }
                        }
                    }
                }
                @if p.has_passkey {
                    @if p.sample { p.or { "or" } }
                    (passkey("Confirm with a passkey", false, ("/step-up/options", "/step-up/passkey"),
                        &json!({ "token": p.me.token, "ceremony": p.handle }), false,
                        if p.sample { "second" } else { "" }))
                } @else if !p.sample {
                    div.band.step_up { p { "You have no passkey here yet. Ask for an invitation link." } }
                }
            }
        },
    )
}

/// Kinds of emergency that a person can name.
pub(crate) const EMERGENCIES: [(&str, &str); 4] = [
    ("emergency_treatment", "Danger to life or limb now"),
    (
        "unable_to_consent",
        "The patient cannot speak for themselves",
    ),
    (
        "covering_team",
        "I cover for the team that treats the patient",
    ),
    ("other", "Another emergency"),
];

/// The break-glass page.
pub(crate) struct BreakGlassPage<'a> {
    pub(crate) me: Me<'a>,
    pub(crate) handle: &'a str,
    pub(crate) application: &'a str,
    pub(crate) minutes: u64,
    /// The application again, for whoever thinks better of it.
    pub(crate) back: &'a str,
    pub(crate) kind: &'a str,
    pub(crate) reason: &'a str,
    pub(crate) trouble: Option<&'a str>,
}

/// Characters that a reason has at least and at most.
pub(crate) const REASON_CHARS: (usize, usize) = (10, 500);

/// The break-glass page.
pub(crate) fn break_glass(p: &BreakGlassPage<'_>) -> Markup {
    bare(
        "Declare an emergency",
        "break glass",
        &["forms.js"],
        &html! {
            div.card {
                div {
                    h1 { "Declare an emergency" }
                    p.quiet { "You have no recorded relation to this patient. If you need this patient's chart for care now, say why." }
                }
                div.band.break_glass {
                    p { "For " strong { (p.minutes) " minutes" } " you can open this patient's chart in " (p.application)
                        "; everything you open is recorded, and " strong { "the privacy officer is told at once" } "." }
                }
                @if let Some(trouble) = p.trouble { div.band.deny role="alert" { p { (trouble) } } }
                form method="post" action={ "/ceremony/" (p.handle) } {
                    input type="hidden" name="token" value=(p.me.token);
                    fieldset {
                        legend { "What kind of emergency is it?" }
                        @for (code, words) in EMERGENCIES {
                            label.choice {
                                input type="radio" name="kind" value=(code) required checked[p.kind == code];
                                span { (words) }
                            }
                        }
                    }
                    div.field {
                        label for="reason" { "Why do you need the chart?" }
                        textarea #reason name="reason" required minlength=(REASON_CHARS.0) maxlength=(REASON_CHARS.1) aria-describedby="reason-hint" { (p.reason) }
                        p.hint #reason-hint { "One sentence, at least " (REASON_CHARS.0) " characters." }
                    }
                    div.buttons {
                        button.button.glass type="submit" { "Open for " (p.minutes) " minutes" }
                        a.button.second href=(p.back) { "Do not" }
                    }
                }
            }
        },
    )
}

/// After signing out.
pub(crate) fn signed_out() -> Markup {
    bare(
        "Signed out",
        "sign-in",
        &[],
        &html! {
            div.card {
                h1 { "You are signed out" }
                p { "Everywhere: each application that was open in this session is closed too." }
                div.buttons { a.button href="/sign-in" { "Sign in again" } }
            }
        },
    )
}

/// A page that says one thing and leads somewhere.
pub(crate) fn notice(title: &str, words: &str, way: Option<(&str, &str)>) -> Markup {
    bare(
        title,
        "sign-in",
        &[],
        &html! {
            div.card {
                h1 { (title) }
                p { (words) }
                @if let Some((address, label)) = way { div.buttons { a.button href=(address) { (label) } } }
            }
        },
    )
}

/// A refusal of ours, as a page.
pub(crate) fn refused(refused: Refused) -> Markup {
    let (title, words) = refused.words();
    notice(title, words, Some(("/", "Go to the start")))
}

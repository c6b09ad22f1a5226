//! References: to what a reference element leads, as far as it tells.

use std::borrow::Cow;
use std::collections::HashMap;

use super::compartment::{Class, class};
use super::json::Value;
use super::types::r4_type;

/// To what a reference leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target<'d> {
    /// A resource by type and logical id; of an absolute reference, its tail.
    Resource(&'static str, Cow<'d, str>),
    /// A resource of a bundle that has no id yet (`urn:uuid:…`); its type if the bundle tells.
    Unborn(Option<&'static str>, Cow<'d, str>),
    /// A type, but not which one: conditional references, identifiers with a type.
    Some(&'static str),
    /// A contained resource, by its local id.
    Contained(Cow<'d, str>),
    /// Something that cannot be followed.
    Unknown,
    /// Nothing to follow: only a text for people, or an identifier of unknown type.
    Silent,
}

/// What the entries of a bundle are called: `fullUrl` -> type and, unless the server will choose it, id.
#[derive(Debug, Default)]
pub(crate) struct Names<'d>(pub(crate) HashMap<Cow<'d, str>, (&'static str, Option<Cow<'d, str>>)>);

/// Whether this is a logical id of FHIR: 1 to 64 of `A-Z a-z 0-9 - .`
pub(crate) fn is_id(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'.')
        && !text.bytes().all(|b| b == b'.')
}

/// Reads a Reference element.
pub(crate) fn read<'d>(reference: Value<'d>, names: &Names<'d>) -> Target<'d> {
    match reference.get("reference") {
        Some(text) => match text.string() {
            Some(text) => parse(text, names),
            None => Target::Unknown,
        },
        None => match reference.text("type").map(|t| r4_type(&t)) {
            Some(Some(resource_type)) => Target::Some(resource_type),
            Some(None) => Target::Unknown,
            None => Target::Silent,
        },
    }
}

/// Reads the text of a reference.
pub(crate) fn parse<'d>(text: Cow<'d, str>, names: &Names<'d>) -> Target<'d> {
    if let Some((resource_type, id)) = names.0.get(&text) {
        return match id {
            Some(id) => Target::Resource(resource_type, id.clone()),
            None => Target::Unborn(Some(resource_type), text),
        };
    }
    match text {
        Cow::Borrowed(text) => parse_str(text, Cow::Borrowed),
        Cow::Owned(text) => parse_str(&text, |part| Cow::Owned(part.to_owned())),
    }
}

fn parse_str<'t, 'd>(text: &'t str, keep: impl Fn(&'t str) -> Cow<'d, str>) -> Target<'d> {
    if let Some(local) = text.strip_prefix('#') {
        return Target::Contained(keep(local));
    }
    if text.starts_with("urn:") {
        return Target::Unborn(None, keep(text));
    }
    let tail = match text.split_once("://") {
        Some(("http" | "https", rest)) => match rest.split_once('/') {
            Some((_, path)) => path,
            None => return Target::Unknown,
        },
        Some(_) => return Target::Unknown,
        None => text,
    };
    let absolute = tail.len() != text.len();
    if let Some((path, _)) = tail.split_once('?') {
        let name = path.rsplit('/').next().unwrap_or(path);
        return r4_type(name).map_or(Target::Unknown, Target::Some);
    }
    // A version or a place within the resource does not change whose it is.
    let tail = tail.split_once('#').map_or(tail, |(whole, _)| whole);
    let tail = tail.split_once('|').map_or(tail, |(whole, _)| whole);
    let tail = tail
        .split_once("/_history/")
        .map_or(tail, |(whole, _)| whole);
    let Some((rest, id)) = tail.rsplit_once('/') else {
        return Target::Unknown;
    };
    let name = match rest.rsplit_once('/') {
        Some((_, name)) if absolute => name,
        Some(_) => return Target::Unknown,
        None => rest,
    };
    match r4_type(name) {
        Some(resource_type) if is_id(id) => Target::Resource(resource_type, keep(id)),
        _ => Target::Unknown,
    }
}

impl Target<'_> {
    /// The id of the resource, if it is of this type.
    pub(crate) fn id_of(&self, resource_type: &str) -> Option<&str> {
        match self {
            Self::Resource(name, id) if *name == resource_type => Some(id),
            _ => None,
        }
    }

    /// What kind of thing it leads to, if it tells.
    pub(crate) fn class(&self) -> Option<Class> {
        match self {
            Self::Resource(name, _) | Self::Some(name) | Self::Unborn(Some(name), _) => {
                Some(class(name))
            }
            Self::Unborn(None, _) | Self::Contained(_) | Self::Unknown | Self::Silent => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Target<'_>) {
        assert_eq!(
            parse(Cow::Borrowed(text), &Names::default()),
            expected,
            "{text}"
        );
    }

    #[test]
    fn every_form_of_reference_is_told_apart() {
        let patient = |id| Target::Resource("Patient", Cow::Borrowed(id));
        check("Patient/1", patient("1"));
        check("Patient/1/_history/3", patient("1"));
        check("https://ehr.example/fhir/Patient/1", patient("1"));
        check("http://ehr.example/Patient/1/_history/9", patient("1"));
        check("Patient?identifier=a|1", Target::Some("Patient"));
        check("#p", Target::Contained(Cow::Borrowed("p")));
        check(
            "urn:uuid:1",
            Target::Unborn(None, Cow::Borrowed("urn:uuid:1")),
        );
        for odd in [
            "patient/1",
            "Patient",
            "Patient/",
            "/Patient/1",
            "../Patient/1",
            "x/Patient/1",
            "Patient/a b",
            "Patient/%31",
            "ftp://h/Patient/1",
            "http://Patient",
            "",
            "Patient//1",
            "Patient/..",
        ] {
            check(odd, Target::Unknown);
        }
    }
}

//! Forms and queries, read with stated bounds.

use crate::reply::Refused;

/// Bytes a form may have.
pub(crate) const FORM_BYTES_MAX: usize = 64 * 1024;
/// Fields a form may have.
const FIELDS_MAX: usize = 64;

/// The fields of a submitted form or of a query. A name that comes twice has no value.
#[derive(Debug, Default)]
pub(crate) struct Fields(Vec<(String, Option<String>)>);

impl Fields {
    /// Reads `application/x-www-form-urlencoded` text.
    pub(crate) fn parse(text: &[u8]) -> Result<Self, Refused> {
        if text.len() > FORM_BYTES_MAX {
            return Err(Refused::TooLarge);
        }
        let mut fields: Vec<(String, Option<String>)> = Vec::new();
        for (name, value) in form_urlencoded::parse(text) {
            if let Some(seen) = fields.iter_mut().find(|(n, _)| *n == name) {
                // Two values for one name: which one counts would be a guess.
                seen.1 = None;
                continue;
            }
            if fields.len() == FIELDS_MAX {
                return Err(Refused::TooLarge);
            }
            fields.push((name.into_owned(), Some(value.into_owned())));
        }
        Ok(Self(fields))
    }

    /// The value of `name`; empty and repeated count as absent.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(n, _)| n == name)
            .and_then(|(_, v)| v.as_deref())
            .filter(|v| !v.is_empty())
    }
}

/// An address with these fields; without any, the path alone.
pub(crate) fn with_query<'a>(
    path: &str,
    fields: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> String {
    let query = form_urlencoded::Serializer::new(String::new())
        .extend_pairs(fields)
        .finish();
    if query.is_empty() {
        path.to_owned()
    } else {
        format!("{path}?{query}")
    }
}

/// Accepts an address on the same host, and nothing that a browser could read as another host.
///
/// Browsers read `\` as `/` and drop tab and line breaks, hence the strictness; bytes beyond ASCII come encoded.
pub(crate) fn relative(address: &str) -> Option<&str> {
    let fine = address.len() <= 4096
        && address.starts_with('/')
        && !address.starts_with("//")
        && address
            .bytes()
            .all(|b| b.is_ascii_graphic() && b != b'\\' && b != b'"' && b != b'<' && b != b'>');
    fine.then_some(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repeated_or_empty_field_is_absent() {
        let f = Fields::parse(b"a=1&b=&c=2&c=3&d=%41+b").expect("small");
        assert_eq!(f.get("a"), Some("1"));
        assert_eq!(f.get("b"), None);
        assert_eq!(f.get("c"), None);
        assert_eq!(f.get("d"), Some("A b"));
        assert_eq!(f.get("e"), None);
    }

    #[test]
    fn forms_are_bounded() {
        assert!(Fields::parse(&vec![b'a'; FORM_BYTES_MAX + 1]).is_err());
        let many: String = (0..200).map(|i| format!("f{i}=1&")).collect();
        assert!(Fields::parse(many.as_bytes()).is_err());
    }

    #[test]
    fn only_addresses_of_this_host_are_returned_to() {
        for good in [
            "/",
            "/fhir/Patient?_id=1",
            "/a//b",
            "/x?u=https://other.example/",
        ] {
            assert_eq!(relative(good), Some(good));
        }
        for bad in [
            "",
            "x",
            "//evil.example",
            "/\\evil.example",
            "\\\\evil.example",
            "https://evil.example",
            "/\t/evil.example",
            "/a\nb",
            "/a\0",
            "javascript:alert(1)",
            "/é",
            "///evil.example",
            "/a b",
        ] {
            assert_eq!(relative(bad), None, "{bad:?}");
        }
    }
}

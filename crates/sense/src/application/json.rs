//! JSON, as far as it came: strings and numbers with the path of keys to them. No allocation but for the path.
//!
//! Not a validator: a sensor sees beginnings of documents, so that nothing is gained from knowing that one is wrong.

/// Nesting that is followed; what is deeper is walked over.
const DEPTH_MAX: usize = 24;
/// Values that are looked at in one document.
const VALUES_MAX: usize = 8192;

/// One key on the way to a value; elements of arrays have the key of their array.
pub(super) type Path<'a> = [&'a [u8]];

/// Gives each string or number with its path to `on` until `on` answers `false`. Strings come as they stand, escapes
/// not resolved.
pub(super) fn walk<'a>(document: &'a [u8], mut on: impl FnMut(&Path<'a>, &'a [u8]) -> bool) {
    let mut path: Vec<&'a [u8]> = Vec::with_capacity(8);
    // For each open object or array: whether it is an object.
    let mut open: Vec<bool> = Vec::with_capacity(8);
    let mut key: &'a [u8] = &[];
    let (mut at, mut values) = (0, 0);
    while let Some(&octet) = document.get(at) {
        match octet {
            b'{' | b'[' => {
                if open.len() == DEPTH_MAX {
                    return;
                }
                open.push(octet == b'{');
                if octet == b'{' {
                    path.push(key);
                }
                at += 1;
            }
            b'}' | b']' => {
                if open.pop() == Some(true) {
                    key = path.pop().unwrap_or_default();
                }
                at += 1;
            }
            b'"' => {
                let Some(length) = string_length(&document[at + 1..]) else {
                    return;
                };
                let text = &document[at + 1..at + 1 + length];
                at += length + 2;
                let rest = document[at.min(document.len())..].trim_ascii_start();
                if open.last() == Some(&true) && rest.first() == Some(&b':') {
                    key = text;
                    at = document.len() - rest.len() + 1;
                    continue;
                }
                values += 1;
                if !give(&mut path, key, text, &mut on) || values > VALUES_MAX {
                    return;
                }
            }
            b'0'..=b'9' | b'-' => {
                let length = document[at..]
                    .iter()
                    .take_while(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'))
                    .count();
                values += 1;
                if !give(&mut path, key, &document[at..at + length], &mut on) || values > VALUES_MAX
                {
                    return;
                }
                at += length;
            }
            _ => at += 1,
        }
    }
}

fn give<'a>(
    path: &mut Vec<&'a [u8]>,
    key: &'a [u8],
    text: &'a [u8],
    on: &mut impl FnMut(&Path<'a>, &'a [u8]) -> bool,
) -> bool {
    path.push(key);
    // The outermost object has no key.
    let go = on(path.get(1..).unwrap_or_default(), text);
    path.pop();
    go
}

/// Octets before the closing quotation mark.
fn string_length(rest: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        at += memchr::memchr2(b'"', b'\\', rest.get(at..)?)?;
        if rest[at] == b'"' {
            return Some(at);
        }
        at += 2;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(document: &str, expected: &[(&str, &str)]) {
        let mut found = Vec::new();
        walk(document.as_bytes(), |path, value| {
            let path: Vec<_> = path
                .iter()
                .map(|key| String::from_utf8_lossy(key))
                .collect();
            found.push((path.join("."), String::from_utf8_lossy(value).into_owned()));
            true
        });
        let found: Vec<_> = found
            .iter()
            .map(|(a, b)| (a.as_str(), b.as_str()))
            .collect();
        assert_eq!(found, expected, "{document}");
    }

    #[test]
    fn values_come_with_their_path() {
        check(
            r#"{"a":"x","b":{"c":[1,{"d":"y"}],"e":"z"},"f":"w"}"#,
            &[
                ("a", "x"),
                ("b.c", "1"),
                ("b.c.d", "y"),
                ("b.e", "z"),
                ("f", "w"),
            ],
        );
    }

    #[test]
    fn a_document_that_was_cut_gives_what_came() {
        check(r#"{"a" : "x\"y", "b":{"c":"unfinish"#, &[("a", "x\\\"y")]);
        check("]]}}{", &[]);
    }
}

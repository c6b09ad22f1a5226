//! From bytes to JSON and from JSON to typed parts, so that whatever does not fit is told by its place, in the words
//! of JSON and of the vocabulary rather than in those of the program.

use std::fmt;

use serde::de::{self, DeserializeOwned, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use super::AuthzenError;

/// Reads a request's text. Text with two meanings (a key given twice) is refused like text with none.
///
/// A byte order mark at the beginning is passed over; RFC 8259 allows that, and some editors write one.
pub fn parse(bytes: &[u8]) -> Result<Value, AuthzenError> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let text = std::str::from_utf8(bytes).map_err(|e| {
        let before = &bytes[..e.valid_up_to()];
        let line = before.iter().filter(|b| **b == b'\n').count() + 1;
        let column = before.iter().rev().take_while(|b| **b != b'\n').count() + 1;
        AuthzenError::new(
            format!("line {line}, column {column}"),
            "is not UTF-8; JSON is written in UTF-8",
        )
    })?;
    if text.trim().is_empty() {
        return Err(AuthzenError::new(
            "request",
            "is empty; it needs subject, action and resource",
        ));
    }
    serde_json::from_str::<Unambiguous>(text)
        .map(|Unambiguous(value)| value)
        .map_err(|e| {
            let message = e.to_string();
            let position = format!(" at line {} column {}", e.line(), e.column());
            AuthzenError::new(
                format!("line {}, column {}", e.line(), e.column()),
                match message.strip_suffix(&position).unwrap_or(&message) {
                    ended if ended.starts_with("EOF") => {
                        "is not JSON: the text ends before the value does".to_owned()
                    }
                    twice if twice.starts_with("the key") => twice.to_owned(),
                    other => format!("is not JSON: {other}"),
                },
            )
        })
}

/// A value in which no object has a key twice.
struct Unambiguous(Value);

impl<'de> de::Deserialize<'de> for Unambiguous {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;

        impl<'de> Visitor<'de> for Any {
            type Value = Value;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON value")
            }

            fn visit_unit<E>(self) -> Result<Value, E> {
                Ok(Value::Null)
            }

            fn visit_bool<E>(self, v: bool) -> Result<Value, E> {
                Ok(Value::Bool(v))
            }

            fn visit_u64<E>(self, v: u64) -> Result<Value, E> {
                Ok(Value::Number(v.into()))
            }

            fn visit_i64<E>(self, v: i64) -> Result<Value, E> {
                Ok(Value::Number(v.into()))
            }

            fn visit_f64<E>(self, v: f64) -> Result<Value, E> {
                Ok(Number::from_f64(v).map_or(Value::Null, Value::Number))
            }

            fn visit_str<E>(self, v: &str) -> Result<Value, E> {
                Ok(Value::String(v.to_owned()))
            }

            fn visit_string<E>(self, v: String) -> Result<Value, E> {
                Ok(Value::String(v))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
                let mut all = Vec::new();
                while let Some(Unambiguous(value)) = seq.next_element()? {
                    all.push(value);
                }
                Ok(Value::Array(all))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
                let mut all = Map::new();
                while let Some(key) = map.next_key::<String>()? {
                    if all.contains_key(&key) {
                        return Err(de::Error::custom(format!("the key `{key}` is given twice")));
                    }
                    let Unambiguous(value) = map.next_value()?;
                    all.insert(key, value);
                }
                Ok(Value::Object(all))
            }
        }

        deserializer.deserialize_any(Any).map(Self)
    }
}

/// An object of AuthZEN's own frame: a request, a subject, an action, a resource.
///
/// The standard has unknown members passed over, so that later versions can add some. Those that can only be a slip
/// are refused all the same, since a fact in the wrong place or under a wrong name would be silently absent.
pub(super) struct Frame<'v> {
    members: &'v Map<String, Value>,
    place: String,
}

impl<'v> Frame<'v> {
    /// `known` are the frame's members; `inside` are names that belong into one of them, with that member's name.
    pub(super) fn new(
        value: &'v Value,
        place: &str,
        known: &[&str],
        inside: &[(&str, &[&str])],
    ) -> Result<Self, AuthzenError> {
        let members = object(value, place)?;
        let inner = |key: &str| match place {
            "request" => key.to_owned(),
            _ => format!("{place}.{key}"),
        };
        for key in members.keys().filter(|k| !known.contains(&k.as_str())) {
            if let Some((member, _)) = inside
                .iter()
                .find(|(_, names)| names.contains(&key.as_str()))
            {
                return Err(AuthzenError::new(
                    inner(key),
                    format!("belongs into `{}`", inner(member)),
                ));
            }
            if let Some(meant) = known.iter().find(|k| alike(key, k)) {
                return Err(AuthzenError::new(
                    inner(key),
                    format!("unknown key `{key}`; did you mean `{meant}`?"),
                ));
            }
        }
        Ok(Self {
            members,
            place: place.to_owned(),
        })
    }

    /// A text that must be there and hold something.
    pub(super) fn text(&self, name: &str) -> Result<&'v str, AuthzenError> {
        let place = format!("{}.{name}", self.place);
        match self.members.get(name) {
            None => Err(AuthzenError::new(place, "is missing; it must be a text")),
            Some(Value::String(text)) if text.is_empty() => {
                Err(AuthzenError::new(place, "must not be empty"))
            }
            Some(Value::String(text)) => Ok(text),
            Some(other) => Err(AuthzenError::new(
                place,
                format!("must be a text, not {}", kind(other)),
            )),
        }
    }

    /// The properties; none given are none.
    pub(super) fn properties(&self) -> Result<Map<String, Value>, AuthzenError> {
        match self.members.get("properties") {
            None => Ok(Map::new()),
            Some(value) => object(value, &format!("{}.properties", self.place)).cloned(),
        }
    }
}

/// The members of an object.
pub(super) fn object<'v>(
    value: &'v Value,
    place: &str,
) -> Result<&'v Map<String, Value>, AuthzenError> {
    value.as_object().ok_or_else(|| {
        AuthzenError::new(
            place,
            format!("must be an object (`{{…}}`), not {}", kind(value)),
        )
    })
}

/// Reads a typed part; an error names the innermost place.
pub(super) fn read<T: DeserializeOwned>(value: &Value, place: &str) -> Result<T, AuthzenError> {
    serde_path_to_error::deserialize(value).map_err(|e| {
        let path = e.path().to_string();
        let inner = e.into_inner().to_string();
        let unknown = inner
            .strip_prefix("unknown field `")
            .and_then(|rest| rest.split('`').next());
        // The place is where the key stands, whether or not the path says it already.
        let path = match (path.as_str(), unknown) {
            (".", None) => String::new(),
            (".", Some(key)) => format!(".{key}"),
            (path, Some(key)) if path != key && !path.ends_with(&format!(".{key}")) => {
                format!(".{path}.{key}")
            }
            (path, _) => format!(".{path}"),
        };
        AuthzenError::new(format!("{place}{path}"), in_words_of_json(&inner))
    })
}

/// What a value is, as a reader of JSON would say.
fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

/// A message of the deserializer without the names of the program's types.
fn in_words_of_json(message: &str) -> String {
    if let Some((got, wanted)) = message
        .strip_prefix("invalid type: ")
        .or_else(|| message.strip_prefix("invalid value: "))
        .and_then(|rest| rest.split_once(", expected "))
    {
        return format!("must be {}, not {}", named(wanted), found(got));
    }
    if let Some((got, wanted)) = message
        .strip_prefix("invalid length ")
        .and_then(|rest| rest.split_once(", expected "))
    {
        return format!("must be {}, not a list of {got}", named(wanted));
    }
    for (theirs, ours) in [("unknown variant ", "value"), ("unknown field ", "key")] {
        if let Some(rest) = message.strip_prefix(theirs) {
            let (name, known) = rest.split_once(", ").unwrap_or((rest, ""));
            let known = known
                .trim_start_matches("expected one of ")
                .trim_start_matches("expected ");
            let meant = known
                .split('`')
                .skip(1)
                .step_by(2)
                .find(|k| alike(name.trim_matches('`'), k));
            return match (meant, known) {
                (Some(meant), _) => format!("unknown {ours} {name}; did you mean `{meant}`?"),
                (None, "" | "there are no fields") => {
                    format!("unknown {ours} {name}; nothing belongs here")
                }
                (None, known) => format!("unknown {ours} {name}; known are {known}"),
            };
        }
    }
    if let Some(name) = message.strip_prefix("missing field ") {
        return format!("{name} is missing");
    }
    message.to_owned()
}

fn named(wanted: &str) -> &str {
    match wanted {
        "a sequence" => "a list",
        "a map" => "an object",
        "a string" | "string or map" => "a text",
        "a boolean" => "true or false",
        "u8" | "u16" | "u32" | "u64" | "usize" | "i64" => "a whole number that fits",
        wanted if wanted.starts_with("struct ") || wanted.starts_with("internally tagged") => {
            "an object"
        }
        wanted => wanted,
    }
}

fn found(got: &str) -> &str {
    match got {
        "sequence" => "a list",
        "map" => "an object",
        got if got.starts_with("string ") => "a text",
        got if got.starts_with("boolean ") => "true or false",
        got if got.starts_with("floating point ") => "a number with a fraction",
        got => got.strip_prefix("integer ").unwrap_or(got),
    }
}

/// Whether a name can only be a slip for another: the same but for case, separators, or one or two letters.
fn alike(name: &str, meant: &str) -> bool {
    let plain = |text: &str| -> Vec<char> {
        text.chars()
            .filter(|c| c.is_alphanumeric())
            .flat_map(char::to_lowercase)
            .collect()
    };
    let (a, b) = (plain(name), plain(meant));
    let most = if b.len() < 5 { 1 } else { 2 };
    a.len().abs_diff(b.len()) <= most && distance(&a, &b) <= most
}

/// The number of single letters to insert, drop, replace or swap with their neighbour.
fn distance(a: &[char], b: &[char]) -> usize {
    let mut rows = vec![vec![0; b.len() + 1]; a.len() + 1];
    for (at, row) in rows.iter_mut().enumerate() {
        row[0] = at;
    }
    for (at, cell) in rows[0].iter_mut().enumerate() {
        *cell = at;
    }
    for i in 1..=a.len() {
        for j in 1..=b.len() {
            let replaced = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut least = replaced.min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                least = least.min(rows[i - 2][j - 2] + 1);
            }
            rows[i][j] = least;
        }
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_told_from_other_words() {
        assert!(alike("propertys", "properties"));
        assert!(alike("Subject", "subject"));
        assert!(alike("contxet", "context"));
        assert!(alike("maxAgeSecs", "max_age_secs"));
        assert!(alike("nmae", "name"));
        assert!(!alike("foo", "id"));
        assert!(!alike("futureField", "properties"));
        assert!(!alike("time", "type"), "two of four letters");
    }

    #[test]
    fn text_that_is_not_json_is_told_by_line_and_column() {
        let told = |bytes: &[u8]| parse(bytes).map_err(|e| e.to_string());
        assert_eq!(
            told(b"{\n  \"subject\": oops }"),
            Err("line 2, column 14: is not JSON: expected value".to_owned())
        );
        assert_eq!(
            told(b"{\"a\":"),
            Err("line 1, column 5: is not JSON: the text ends before the value does".to_owned())
        );
        assert_eq!(
            told(b" \n"),
            Err("request: is empty; it needs subject, action and resource".to_owned())
        );
        assert_eq!(
            told(b"{\n\"a\":\"\xff\"}"),
            Err("line 2, column 6: is not UTF-8; JSON is written in UTF-8".to_owned())
        );
        assert_eq!(
            told(b"{\"a\":{\"id\":1,\"id\":2}}"),
            Err("line 1, column 17: the key `id` is given twice".to_owned())
        );
        assert!(told(b"\xef\xbb\xbf{}").is_ok());
        assert!(
            told(&b"[".repeat(100_000)).is_err(),
            "depth has a bound, not a stack"
        );
    }
}

//! JSON Patch (RFC 6902), applied to judge the state that a `PATCH` would make.
//!
//! Patches are bounded, in operations and in what `copy` can multiply, and may not change what a resource is called.

use serde_json::{Map, Value};

use super::Malformed;
use super::json::{self, DEPTH_MAX, Document};

/// Media type of JSON Patch, the only form of patch that is judged.
pub const JSON_PATCH: &str = "application/json-patch+json";

/// Operations of a patch.
const OPERATIONS_MAX: usize = 1_000;
/// Values that all operations together may add.
const VALUES_MAX: usize = 1 << 20;
/// Bytes of text that all operations together may add.
const TEXT_MAX: usize = 16 << 20;

fn bad(code: &'static str) -> Malformed {
    Malformed { status: 400, code }
}

fn conflict(code: &'static str) -> Malformed {
    Malformed { status: 422, code }
}

/// Checks a patch without a resource to apply it to.
pub(crate) fn check(patch: &[u8], content_type: &str) -> Result<(), Malformed> {
    operations(patch, content_type).map(|_| ())
}

/// The resource that a patch makes of the stored one. Only JSON Patch (RFC 6902).
pub fn apply_patch(stored: &[u8], patch: &[u8], content_type: &str) -> Result<Vec<u8>, Malformed> {
    let operations = operations(patch, content_type)?;
    Document::parse(stored)?;
    let mut resource: Value = serde_json::from_slice(stored).map_err(|_| bad("json-number"))?;
    let name = |resource: &Value| {
        (
            resource.get("resourceType").cloned(),
            resource.get("id").cloned(),
        )
    };
    let called = name(&resource);
    let mut budget = Budget {
        values: VALUES_MAX,
        text: TEXT_MAX,
    };
    for operation in operations {
        operation.apply(&mut resource, &mut budget)?;
    }
    if name(&resource) != called {
        return Err(conflict("patch-changes-identity"));
    }
    let bytes = serde_json::to_vec(&resource).map_err(|_| conflict("patch-result"))?;
    // What the patch wrote has to be as unambiguous as what is read.
    Document::parse(&bytes).map_err(|_| conflict("patch-result"))?;
    Ok(bytes)
}

struct Budget {
    values: usize,
    text: usize,
}

impl Budget {
    /// Pays for a value that is to stand `depth` levels deep.
    fn pay(&mut self, value: &Value, depth: usize) -> Result<(), Malformed> {
        let too_much = Malformed {
            status: 413,
            code: "patch-too-large",
        };
        if depth > DEPTH_MAX {
            return Err(bad("json-too-deep"));
        }
        self.values = self.values.checked_sub(1).ok_or(too_much)?;
        match value {
            Value::String(text) => self.text = self.text.checked_sub(text.len()).ok_or(too_much)?,
            Value::Array(items) => {
                for item in items {
                    self.pay(item, depth + 1)?;
                }
            }
            Value::Object(map) => {
                for (key, item) in map {
                    self.text = self.text.checked_sub(key.len()).ok_or(too_much)?;
                    self.pay(item, depth + 1)?;
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
        Ok(())
    }
}

/// A JSON Pointer (RFC 6901), decoded.
type Pointer = Vec<String>;

enum Operation {
    Add(Pointer, Value),
    Remove(Pointer),
    Replace(Pointer, Value),
    Move(Pointer, Pointer),
    Copy(Pointer, Pointer),
    Test(Pointer, Value),
}

fn operations(patch: &[u8], content_type: &str) -> Result<Vec<Operation>, Malformed> {
    if !content_type.eq_ignore_ascii_case(JSON_PATCH) {
        return Err(Malformed {
            status: 415,
            code: "patch-content-type",
        });
    }
    let document = Document::parse(patch)?;
    if document.root().kind() != json::Kind::Array {
        return Err(bad("patch-not-an-array"));
    }
    let mut found = Vec::new();
    for item in document.root().items() {
        if found.len() >= OPERATIONS_MAX {
            return Err(Malformed {
                status: 413,
                code: "patch-too-large",
            });
        }
        let pointer = |name: &str| pointer(&item.text(name).ok_or(bad("patch-operation"))?);
        let value = || -> Result<Value, Malformed> {
            let raw = item.get("value").ok_or(bad("patch-operation"))?.raw();
            serde_json::from_str(raw).map_err(|_| bad("json-number"))
        };
        let operation = item.text("op").ok_or(bad("patch-operation"))?;
        found.push(match &*operation {
            "add" => Operation::Add(pointer("path")?, value()?),
            "remove" => Operation::Remove(pointer("path")?),
            "replace" => Operation::Replace(pointer("path")?, value()?),
            "move" => Operation::Move(pointer("from")?, pointer("path")?),
            "copy" => Operation::Copy(pointer("from")?, pointer("path")?),
            "test" => Operation::Test(pointer("path")?, value()?),
            _ => return Err(bad("patch-operation")),
        });
    }
    Ok(found)
}

fn pointer(text: &str) -> Result<Pointer, Malformed> {
    if text.is_empty() {
        return Ok(Vec::new());
    }
    let rest = text.strip_prefix('/').ok_or(bad("patch-pointer"))?;
    let tokens: Result<Pointer, Malformed> = rest
        .split('/')
        .map(|token| {
            let mut out = String::with_capacity(token.len());
            let mut chars = token.chars();
            while let Some(c) = chars.next() {
                out.push(match c {
                    '~' => match chars.next() {
                        Some('0') => '~',
                        Some('1') => '/',
                        _ => return Err(bad("patch-pointer")),
                    },
                    other => other,
                });
            }
            Ok(out)
        })
        .collect();
    tokens.and_then(|tokens| {
        if tokens.len() > DEPTH_MAX {
            Err(bad("patch-pointer"))
        } else {
            Ok(tokens)
        }
    })
}

/// An index as RFC 6901 writes it: digits without a leading zero.
fn index(token: &str) -> Result<usize, Malformed> {
    let plain =
        token == "0" || (token.bytes().all(|b| b.is_ascii_digit()) && !token.starts_with('0'));
    if !plain || token.len() > 9 {
        return Err(conflict("patch-target"));
    }
    token.parse().map_err(|_| conflict("patch-target"))
}

fn find<'v>(root: &'v Value, pointer: &[String]) -> Result<&'v Value, Malformed> {
    pointer.iter().try_fold(root, |value, token| {
        match value {
            Value::Object(map) => map.get(token),
            Value::Array(items) => items.get(index(token)?),
            _ => None,
        }
        .ok_or(conflict("patch-target"))
    })
}

enum Place<'v> {
    Member(&'v mut Map<String, Value>),
    Item(&'v mut Vec<Value>),
}

/// The container in which the last token of a pointer names a place.
fn place<'v>(root: &'v mut Value, pointer: &[String]) -> Result<Place<'v>, Malformed> {
    let mut value = root;
    for token in pointer {
        value = match value {
            Value::Object(map) => map.get_mut(token),
            Value::Array(items) => items.get_mut(index(token)?),
            _ => None,
        }
        .ok_or(conflict("patch-target"))?;
    }
    match value {
        Value::Object(map) => Ok(Place::Member(map)),
        Value::Array(items) => Ok(Place::Item(items)),
        _ => Err(conflict("patch-target")),
    }
}

fn add(root: &mut Value, pointer: &[String], value: Value) -> Result<(), Malformed> {
    let Some((last, parents)) = pointer.split_last() else {
        *root = value;
        return Ok(());
    };
    match place(root, parents)? {
        Place::Member(map) => {
            map.insert(last.clone(), value);
        }
        Place::Item(items) => {
            let at = if last == "-" {
                items.len()
            } else {
                index(last)?
            };
            if at > items.len() {
                return Err(conflict("patch-target"));
            }
            items.insert(at, value);
        }
    }
    Ok(())
}

fn remove(root: &mut Value, pointer: &[String]) -> Result<Value, Malformed> {
    let (last, parents) = pointer.split_last().ok_or(conflict("patch-target"))?;
    match place(root, parents)? {
        Place::Member(map) => map.remove(last).ok_or(conflict("patch-target")),
        Place::Item(items) => {
            let at = index(last)?;
            if at < items.len() {
                Ok(items.remove(at))
            } else {
                Err(conflict("patch-target"))
            }
        }
    }
}

impl Operation {
    fn apply(self, root: &mut Value, budget: &mut Budget) -> Result<(), Malformed> {
        match self {
            Self::Add(path, value) => {
                budget.pay(&value, path.len())?;
                add(root, &path, value)
            }
            Self::Remove(path) => remove(root, &path).map(|_| ()),
            Self::Replace(path, value) => {
                budget.pay(&value, path.len())?;
                if path.is_empty() {
                    *root = value;
                    return Ok(());
                }
                remove(root, &path)?;
                add(root, &path, value)
            }
            Self::Move(from, path) => {
                if path.len() > from.len() && path.starts_with(&from) {
                    return Err(conflict("patch-target"));
                }
                let value = remove(root, &from)?;
                budget.pay(&value, path.len())?;
                add(root, &path, value)
            }
            Self::Copy(from, path) => {
                let value = find(root, &from)?;
                budget.pay(value, path.len())?;
                let value = value.clone();
                add(root, &path, value)
            }
            Self::Test(path, value) => {
                if find(root, &path)? == &value {
                    Ok(())
                } else {
                    Err(conflict("patch-test"))
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STORED: &str = r#"{"resourceType":"Observation","id":"o","subject":{"reference":"Patient/1"},"note":[{"text":"a"},{"text":"b"}],"a/b":1}"#;

    #[track_caller]
    fn check(patch: &str, expected: Result<&str, &str>) {
        let result = apply_patch(STORED.as_bytes(), patch.as_bytes(), JSON_PATCH);
        let result = result.map(|bytes| serde_json::from_slice::<Value>(&bytes).expect("json"));
        match expected {
            Ok(text) => assert_eq!(result, Ok(serde_json::from_str(text).expect("json"))),
            Err(code) => assert_eq!(result.map_err(|e| e.code), Err(code), "{patch}"),
        }
    }

    #[test]
    fn operations_do_what_the_standard_says() {
        check("[]", Ok(STORED));
        check(
            r#"[{"op":"test","path":"/note/0/text","value":"a"},{"op":"replace","path":"/subject/reference","value":"Patient/2"},
                {"op":"remove","path":"/note/1"},{"op":"add","path":"/note/-","value":{"text":"c"}},{"op":"add","path":"/note/0","value":{"text":"0"}},
                {"op":"move","from":"/a~1b","path":"/c"},{"op":"copy","from":"/c","path":"/d"}]"#,
            Ok(
                r#"{"resourceType":"Observation","id":"o","subject":{"reference":"Patient/2"},"note":[{"text":"0"},{"text":"a"},{"text":"c"}],"c":1,"d":1}"#,
            ),
        );
    }

    #[test]
    fn what_cannot_be_applied_is_refused() {
        for (patch, code) in [
            (r#"{}"#, "patch-not-an-array"),
            (r#"[{"op":"merge","path":"/a"}]"#, "patch-operation"),
            (r#"[{"op":"add","path":"/a"}]"#, "patch-operation"),
            (r#"[{"op":"remove","path":"a"}]"#, "patch-pointer"),
            (r#"[{"op":"remove","path":"/a~2"}]"#, "patch-pointer"),
            (r#"[{"op":"remove","path":"/missing"}]"#, "patch-target"),
            (r#"[{"op":"remove","path":""}]"#, "patch-target"),
            (r#"[{"op":"remove","path":"/note/01"}]"#, "patch-target"),
            (
                r#"[{"op":"add","path":"/note/7","value":1}]"#,
                "patch-target",
            ),
            (
                r#"[{"op":"move","from":"/note","path":"/note/0"}]"#,
                "patch-target",
            ),
            (r#"[{"op":"test","path":"/id","value":"x"}]"#, "patch-test"),
            (
                r#"[{"op":"replace","path":"/id","value":"x"}]"#,
                "patch-changes-identity",
            ),
            (
                r#"[{"op":"replace","path":"/resourceType","value":"Patient"}]"#,
                "patch-changes-identity",
            ),
            (
                r#"[{"op":"replace","path":"","value":{}}]"#,
                "patch-changes-identity",
            ),
            (
                r#"[{"op":"add","path":"/Subject","value":1}]"#,
                "patch-result",
            ),
            (
                r#"[{"op":"add","path":"/a","path":"/b","value":1}]"#,
                "json-duplicate-key",
            ),
        ] {
            check(patch, Err(code));
        }
        assert_eq!(
            apply_patch(b"{}", b"[]", "application/merge-patch+json").map_err(|e| e.status),
            Err(415)
        );
    }

    #[test]
    fn copies_that_multiply_are_stopped() {
        let doubling: Vec<_> = (0..500)
            .map(|i| format!(r#"{{"op":"copy","from":"/note","path":"/note/{}"}}"#, i % 2))
            .collect();
        let result = apply_patch(
            STORED.as_bytes(),
            format!("[{}]", doubling.join(",")).as_bytes(),
            JSON_PATCH,
        );
        assert!(matches!(
            result.map_err(|e| e.code),
            Err("patch-too-large" | "json-too-deep")
        ));
        let wide: Vec<_> = (0..900)
            .map(|i| format!(r#"{{"op":"copy","from":"","path":"/x{i}"}}"#))
            .collect();
        let result = apply_patch(
            STORED.as_bytes(),
            format!("[{}]", wide.join(",")).as_bytes(),
            JSON_PATCH,
        );
        assert!(matches!(
            result.map_err(|e| e.code),
            Err("patch-too-large" | "json-too-deep")
        ));
        let many = format!(
            "[{}]",
            vec![r#"{"op":"test","path":"/id","value":"o"}"#; 1001].join(",")
        );
        assert_eq!(
            apply_patch(STORED.as_bytes(), many.as_bytes(), JSON_PATCH).map_err(|e| e.code),
            Err("patch-too-large")
        );
    }
}

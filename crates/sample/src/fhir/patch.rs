//! JSON Patch (RFC 6902).
//!
//! The product has an implementation of its own, with which it judges what a patch would do. Sharing it would hide a
//! mistake in it: a foreign server would disagree, this one would not.

use serde_json::Value;

/// Why a patch cannot be applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Broken {
    /// It is not a JSON Patch.
    Malformed,
    /// It does not fit the resource: a place is missing, or a `test` failed.
    Unfit,
}

/// Operations in one patch.
const OPERATIONS_MAX: usize = 1_000;
/// Values that the `copy` operations of one patch may add: copying into oneself doubles each time.
const COPIED_MAX: usize = 20_000;

/// Applies `patch` to `document`, which is left in an unspecified state on failure.
pub(crate) fn apply(document: &mut Value, patch: &Value) -> Result<(), Broken> {
    let operations = patch.as_array().ok_or(Broken::Malformed)?;
    if operations.len() > OPERATIONS_MAX {
        return Err(Broken::Malformed);
    }
    let mut copied = 0;
    for operation in operations {
        let text = |name: &str| {
            operation
                .get(name)
                .and_then(Value::as_str)
                .ok_or(Broken::Malformed)
        };
        let value = || operation.get("value").cloned().ok_or(Broken::Malformed);
        let path = pointer(text("path")?)?;
        match text("op")? {
            "add" => add(document, &path, value()?)?,
            "remove" => {
                remove(document, &path)?;
            }
            "replace" => {
                let value = value()?;
                *find(document, &path)? = value;
            }
            "move" => {
                let from = pointer(text("from")?)?;
                // Nothing moves into itself.
                if path.len() > from.len() && path.starts_with(&from) {
                    return Err(Broken::Unfit);
                }
                let value = remove(document, &from)?;
                add(document, &path, value)?;
            }
            "copy" => {
                let value = find(document, &pointer(text("from")?)?)?.clone();
                copied += size(&value);
                if copied > COPIED_MAX {
                    return Err(Broken::Unfit);
                }
                add(document, &path, value)?;
            }
            "test" => {
                if *find(document, &path)? != value()? {
                    return Err(Broken::Unfit);
                }
            }
            _ => return Err(Broken::Malformed),
        }
    }
    Ok(())
}

/// The parts of a JSON Pointer (RFC 6901).
fn pointer(text: &str) -> Result<Vec<String>, Broken> {
    if text.is_empty() {
        return Ok(Vec::new());
    }
    let rest = text.strip_prefix('/').ok_or(Broken::Malformed)?;
    Ok(rest
        .split('/')
        .map(|part| part.replace("~1", "/").replace("~0", "~"))
        .collect())
}

fn position(part: &str, length: usize) -> Result<usize, Broken> {
    // No sign, no leading zero.
    let canonical =
        part == "0" || (!part.starts_with('0') && part.bytes().all(|b| b.is_ascii_digit()));
    match part.parse::<usize>() {
        Ok(at) if canonical && at < length => Ok(at),
        _ => Err(Broken::Unfit),
    }
}

fn find<'v>(mut value: &'v mut Value, path: &[String]) -> Result<&'v mut Value, Broken> {
    for part in path {
        value = match value {
            Value::Object(object) => object.get_mut(part).ok_or(Broken::Unfit)?,
            Value::Array(items) => {
                let at = position(part, items.len())?;
                &mut items[at]
            }
            _ => return Err(Broken::Unfit),
        };
    }
    Ok(value)
}

fn add(document: &mut Value, path: &[String], value: Value) -> Result<(), Broken> {
    let Some((last, parent)) = path.split_last() else {
        *document = value;
        return Ok(());
    };
    match find(document, parent)? {
        Value::Object(object) => {
            object.insert(last.clone(), value);
        }
        Value::Array(items) => {
            let at = if last == "-" {
                items.len()
            } else {
                position(last, items.len() + 1)?
            };
            items.insert(at, value);
        }
        _ => return Err(Broken::Unfit),
    }
    Ok(())
}

fn remove(document: &mut Value, path: &[String]) -> Result<Value, Broken> {
    let Some((last, parent)) = path.split_last() else {
        return Ok(document.take());
    };
    match find(document, parent)? {
        Value::Object(object) => object.remove(last).ok_or(Broken::Unfit),
        Value::Array(items) => {
            let at = position(last, items.len())?;
            Ok(items.remove(at))
        }
        _ => Err(Broken::Unfit),
    }
}

/// How many values a value is made of.
fn size(value: &Value) -> usize {
    1 + match value {
        Value::Array(items) => items.iter().map(size).sum(),
        Value::Object(object) => object.values().map(size).sum(),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(document: Value, patch: Value, expected: Result<Value, Broken>) {
        let mut patched = document;
        let result = apply(&mut patched, &patch).map(|()| patched);
        assert_eq!(result, expected, "{patch}");
    }

    #[test]
    fn operations_follow_the_standard() {
        let document = json!({"a": {"b/c": 1, "m~n": 2}, "list": [1, 2, 3]});
        let mut expected = document.clone();
        expected["a"] = json!({"m~n": 5});
        expected["list"] = json!([1, 9, 2, 3, 1, 4]);
        check(
            document.clone(),
            json!([
                {"op": "test", "path": "/a/m~0n", "value": 2},
                {"op": "replace", "path": "/a/m~0n", "value": 5},
                {"op": "add", "path": "/list/1", "value": 9},
                {"op": "copy", "from": "/list/0", "path": "/list/-"},
                {"op": "add", "path": "/list/-", "value": 4},
                {"op": "remove", "path": "/a/b~1c"},
            ]),
            Ok(expected),
        );
        check(
            document,
            json!([{"op": "move", "from": "/list/0", "path": "/first"}, {"op": "remove", "path": "/a"}]),
            Ok(json!({"first": 1, "list": [2, 3]})),
        );
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let document = || json!({"a": [1]});
        for patch in [
            json!([{"op": "remove", "path": "/b"}]),
            json!([{"op": "replace", "path": "/a/1", "value": 1}]),
            json!([{"op": "replace", "path": "/a/00", "value": 1}]),
            json!([{"op": "add", "path": "/a/+0", "value": 1}]),
            json!([{"op": "test", "path": "/a/0", "value": 2}]),
            json!([{"op": "move", "from": "/a", "path": "/a/0"}]),
            json!([{"op": "add", "path": "/a/0/x", "value": 1}]),
        ] {
            check(document(), patch, Err(Broken::Unfit));
        }
        for patch in [
            json!({}),
            json!([{"op": "explode", "path": "/a"}]),
            json!([{"op": "add", "path": "a", "value": 1}]),
            json!([{"op": "add", "path": "/a"}]),
            json!([5]),
        ] {
            check(document(), patch, Err(Broken::Malformed));
        }
    }

    #[test]
    fn copies_of_copies_are_bounded() {
        let doubling = json!({"op": "copy", "from": "/a", "path": "/a/-"});
        let patch = Value::Array(vec![doubling; 64]);
        check(json!({"a": [1]}), patch, Err(Broken::Unfit));
    }
}

//! Rows from JSON. Fields are those of the types in `domain`; an unknown field is a fault.

use domain::relation::{Consent, Encounter, PatientFacts, VendorWindow};
use domain::{Device, PatientId, Person, PersonId, UnitId};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use super::{ImportError, Kind, Lines, Row, Source, Value, line_of};

/// A patient with its facts side by side.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PatientRow {
    id: PatientId,
    #[serde(default)]
    vip: bool,
    #[serde(default)]
    employee: bool,
    #[serde(default)]
    adolescent: bool,
    #[serde(default)]
    unit: Option<UnitId>,
    #[serde(default)]
    care_team: Vec<PersonId>,
    #[serde(default)]
    encounters: Vec<Encounter>,
    #[serde(default)]
    consents: Vec<Consent>,
    #[serde(default)]
    proxies: Vec<PersonId>,
}

pub(super) fn read(source: &Source<'_>, text: &str) -> Result<Vec<Row>, ImportError> {
    let mut lines = Lines::new(text);
    array(source, text)?
        .into_iter()
        .map(|raw| {
            let start = lines.at(offset(text, raw.get()));
            let value = match source.kind {
                Kind::People => Value::Person(parse::<Person>(source, raw, start)?),
                Kind::Devices => Value::Device(parse::<Device>(source, raw, start)?),
                Kind::VendorWindows => Value::Window(parse::<VendorWindow>(source, raw, start)?),
                Kind::Patients => {
                    let row = parse::<PatientRow>(source, raw, start)?;
                    let facts = PatientFacts {
                        vip: row.vip,
                        employee: row.employee,
                        adolescent: row.adolescent,
                        unit: row.unit,
                        care_team: row.care_team,
                        encounters: row.encounters,
                        consents: row.consents,
                        proxies: row.proxies,
                    };
                    Value::Patient(row.id, Box::new(facts))
                }
            };
            Ok(Row { line: start, value })
        })
        .collect()
}

/// The rows, unread: either the whole document or the value of the one key that has the kind's name.
fn array<'a>(source: &Source<'_>, text: &'a str) -> Result<Vec<&'a RawValue>, ImportError> {
    let name = source.kind.as_str();
    let hint = format!("write `[{{…}}, …]` or `{{\"{name}\": [{{…}}, …]}}`");
    let document = text.trim_start();
    let skipped = line_of(text.as_bytes(), text.len() - document.len()) - 1;
    let fault = |e: &serde_json::Error, above: u64| {
        source.fault(Some(above + e.line() as u64), None, told(e), hint.clone())
    };
    if !document.starts_with('{') {
        return serde_json::from_str(document).map_err(|e| fault(&e, skipped));
    }
    let keyed: std::collections::BTreeMap<String, &RawValue> =
        serde_json::from_str(document).map_err(|e| fault(&e, skipped))?;
    match keyed.iter().next() {
        Some((key, rows)) if key == name && keyed.len() == 1 => {
            let above = line_of(text.as_bytes(), offset(text, rows.get())) - 1;
            serde_json::from_str(rows.get()).map_err(|e| fault(&e, above))
        }
        Some(_) | None => {
            let what = format!("the document does not hold `{name}` and nothing else");
            Err(source.fault(Some(skipped + 1), None, what, hint))
        }
    }
}

fn parse<T: DeserializeOwned>(
    source: &Source<'_>,
    raw: &RawValue,
    start: u64,
) -> Result<T, ImportError> {
    serde_json::from_str(raw.get()).map_err(|e| {
        let line = start + (e.line() as u64).saturating_sub(1);
        source.fault(
            Some(line),
            field(&e).as_deref(),
            told(&e),
            format!(
                "see the fields of `{}` in the documentation",
                source.kind.as_str()
            ),
        )
    })
}

/// What the parser says, without the value that it stumbled over: that may be an identifier.
fn told(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let text = text.split(" at line ").next().unwrap_or_default();
    for safe in ["unknown field `", "missing field `", "duplicate field `"] {
        if let Some(rest) = text.strip_prefix(safe) {
            let name = rest.split('`').next().unwrap_or_default();
            // A row that is keyed by an identifier would show it as a field.
            return if is_field_name(name) {
                format!("{safe}{name}`")
            } else {
                "unknown field".to_owned()
            };
        }
    }
    if let Some((_, expected)) = text.rsplit_once(", expected ") {
        return format!("expected {expected}");
    }
    if error.is_eof() {
        return "the document ends too early".to_owned();
    }
    if error.is_data() {
        return "a value that does not fit".to_owned();
    }
    "not valid JSON".to_owned()
}

fn field(error: &serde_json::Error) -> Option<String> {
    let text = error.to_string();
    let name = text.split(" field `").nth(1)?.split('`').next()?;
    is_field_name(name).then(|| name.to_owned())
}

fn is_field_name(name: &str) -> bool {
    name.len() <= 32 && name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')
}

/// Where a slice of `whole` begins in it.
fn offset(whole: &str, part: &str) -> usize {
    (part.as_ptr() as usize).saturating_sub(whole.as_ptr() as usize)
}

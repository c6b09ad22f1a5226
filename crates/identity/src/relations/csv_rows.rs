//! Rows from CSV. A column may be left out if a row can do without it; a column nobody knows is a fault, because a
//! misspelt `activ` would otherwise keep everybody active.

use csv::{ErrorKind, ReaderBuilder, StringRecord, Trim};
use domain::relation::{Encounter, PatientFacts, VendorWindow};
use domain::subject::SubjectKind;
use domain::{Device, PatientId, Person, PersonId, Role, Timestamp, UnitId};

use super::{ImportError, Kind, Lines, Row, Source, Value};

struct Columns {
    /// Those that a file must have.
    required: &'static [&'static str],
    optional: &'static [&'static str],
}

fn columns(kind: Kind) -> Columns {
    let (required, optional): (&[&str], &[&str]) = match kind {
        Kind::People => (
            &["id", "roles"],
            &["name", "kind", "units", "active", "patient", "device"],
        ),
        Kind::Devices => (
            &["id"],
            &[
                "name",
                "class",
                "managed",
                "shared",
                "compliant",
                "unit",
                "ae_title",
            ],
        ),
        Kind::Patients => (
            &["id"],
            &[
                "vip",
                "employee",
                "adolescent",
                "unit",
                "care_team",
                "encounters",
                "proxies",
            ],
        ),
        Kind::VendorWindows => (
            &["person", "device", "ticket", "starts", "ends"],
            &["approved_by"],
        ),
    };
    Columns { required, optional }
}

pub(super) fn read(source: &Source<'_>, text: &str) -> Result<Vec<Row>, ImportError> {
    let mut reader = ReaderBuilder::new()
        .trim(Trim::All)
        .from_reader(text.as_bytes());
    let headings = reader
        .headers()
        .map_err(|e| csv_fault(source, Some(1), &e))?
        .clone();
    check_headings(source, &headings)?;
    let mut rows = Vec::new();
    // The reader's own line is that of the end of the row before.
    let mut lines = Lines::new(text);
    for record in reader.records() {
        let place =
            |position: &csv::Position| usize::try_from(position.byte()).unwrap_or(usize::MAX);
        let record = record.map_err(|e| {
            let line = e.position().map(|position| lines.of_row(place(position)));
            csv_fault(source, line, &e)
        })?;
        let line = record
            .position()
            .map_or(1, |position| lines.of_row(place(position)));
        let cells = Cells {
            source,
            line,
            headings: &headings,
            record: &record,
        };
        rows.push(Row {
            line,
            value: cells.value()?,
        });
    }
    Ok(rows)
}

fn check_headings(source: &Source<'_>, headings: &StringRecord) -> Result<(), ImportError> {
    let known = columns(source.kind);
    let all = || known.required.iter().chain(known.optional).copied();
    let listed = || all().collect::<Vec<_>>().join(", ");
    let line = Some(1);
    if headings.len() == 1 && headings.get(0).is_some_and(|h| h.contains([';', '\t'])) {
        return Err(source.fault(
            line,
            None,
            "the columns are not separated by commas",
            "export the file with `,` between columns",
        ));
    }
    for (place, heading) in headings.iter().enumerate() {
        if source.kind == Kind::Patients && heading == "consents" {
            return Err(source.fault(
                line,
                Some(heading),
                "consents do not fit into a cell",
                "import patients from JSON",
            ));
        }
        if !all().any(|known| known == heading) {
            // In a file without a heading line this would repeat an identifier.
            let shown =
                heading.len() <= 32 && heading.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
            let what = if shown {
                format!("unknown column `{heading}`")
            } else {
                format!("heading {} names no known column", place + 1)
            };
            let hint = format!("the first line names the columns: {}", listed());
            return Err(source.fault(line, None, what, hint));
        }
        if headings.iter().take(place).any(|before| before == heading) {
            let hint = "remove one of the two";
            return Err(source.fault(line, Some(heading), "the column occurs twice", hint));
        }
    }
    for required in known.required {
        if !headings.iter().any(|heading| heading == *required) {
            let what = format!("column `{required}` is missing");
            let hint = format!("the first line names the columns: {}", listed());
            return Err(source.fault(line, None, what, hint));
        }
    }
    Ok(())
}

fn csv_fault(source: &Source<'_>, line: Option<u64>, error: &csv::Error) -> ImportError {
    match error.kind() {
        ErrorKind::UnequalLengths {
            expected_len, len, ..
        } => source.fault(
            line,
            None,
            format!("the row has {len} cells, the heading has {expected_len}"),
            "put a cell that holds a comma into double quotes, and leave no cell out",
        ),
        _ => source.fault(line, None, "the row cannot be read", "check its quotes"),
    }
}

struct Cells<'a> {
    source: &'a Source<'a>,
    line: u64,
    headings: &'a StringRecord,
    record: &'a StringRecord,
}

impl<'a> Cells<'a> {
    fn value(&self) -> Result<Value, ImportError> {
        Ok(match self.source.kind {
            Kind::People => Value::Person(Person {
                id: self.text("id").into(),
                name: self.text("name").into(),
                kind: self.kind("kind")?,
                roles: self.list("roles").map(Role::from).collect(),
                units: self.list("units").map(UnitId::from).collect(),
                active: self.flag("active")?.unwrap_or(true),
                patient: self.optional("patient").map(Into::into),
                device: self.optional("device").map(Into::into),
            }),
            Kind::Devices => Value::Device(Device {
                id: self.text("id").into(),
                name: self.text("name").into(),
                class: self.text("class").into(),
                managed: self.flag("managed")?.unwrap_or(false),
                shared: self.flag("shared")?.unwrap_or(false),
                compliant: self.flag("compliant")?,
                unit: self.optional("unit").map(Into::into),
                ae_title: self.optional("ae_title").map(Into::into),
            }),
            Kind::Patients => {
                let facts = PatientFacts {
                    vip: self.flag("vip")?.unwrap_or(false),
                    employee: self.flag("employee")?.unwrap_or(false),
                    adolescent: self.flag("adolescent")?.unwrap_or(false),
                    unit: self.optional("unit").map(Into::into),
                    care_team: self.list("care_team").map(PersonId::from).collect(),
                    encounters: self.encounters("encounters")?,
                    proxies: self.list("proxies").map(PersonId::from).collect(),
                    ..PatientFacts::default()
                };
                Value::Patient(PatientId::from(self.text("id")), Box::new(facts))
            }
            Kind::VendorWindows => Value::Window(VendorWindow {
                person: self.text("person").into(),
                device: self.text("device").into(),
                ticket: self.text("ticket").into(),
                approved_by: self.optional("approved_by").map(Into::into),
                starts: self.instant("starts")?,
                ends: self.instant("ends")?,
            }),
        })
    }

    /// The cell's text, empty if the file has no such column.
    fn text(&self, column: &str) -> &'a str {
        self.headings
            .iter()
            .position(|heading| heading == column)
            .and_then(|place| self.record.get(place))
            .unwrap_or_default()
    }

    fn optional(&self, column: &str) -> Option<&'a str> {
        Some(self.text(column)).filter(|text| !text.is_empty())
    }

    fn list(&self, column: &str) -> impl Iterator<Item = &'a str> + use<'a> {
        self.text(column)
            .split(';')
            .map(str::trim)
            .filter(|item| !item.is_empty())
    }

    fn flag(&self, column: &str) -> Result<Option<bool>, ImportError> {
        match self.text(column).to_ascii_lowercase().as_str() {
            "" => Ok(None),
            "true" | "yes" | "1" => Ok(Some(true)),
            "false" | "no" | "0" => Ok(Some(false)),
            _ => Err(self.fault(
                column,
                "neither `true` nor `false`",
                "write `true`, `false` or nothing",
            )),
        }
    }

    fn kind(&self, column: &str) -> Result<SubjectKind, ImportError> {
        match self.text(column) {
            "" | "workforce" => Ok(SubjectKind::Workforce),
            "vendor" => Ok(SubjectKind::Vendor),
            "proxy" => Ok(SubjectKind::Proxy),
            "workload" => Ok(SubjectKind::Workload),
            _ => Err(self.fault(
                column,
                "unknown kind of person",
                "write `workforce`, `vendor`, `proxy` or `workload`",
            )),
        }
    }

    fn instant(&self, column: &str) -> Result<Timestamp, ImportError> {
        Timestamp::parse(self.text(column)).ok_or_else(|| {
            self.fault(
                column,
                "not an instant",
                "write it as `2026-11-22T08:00:00Z` or `2026-11-22T09:00:00+01:00`",
            )
        })
    }

    /// `n-17; n-18@2026-11-01T10:00:00Z`: a person, and when the encounter ended if it has.
    fn encounters(&self, column: &str) -> Result<Vec<Encounter>, ImportError> {
        self.list(column)
            .map(|item| match item.split_once('@') {
                None => Ok(Encounter {
                    person: item.into(),
                    ended: None,
                }),
                Some((person, ended)) => Ok(Encounter {
                    person: person.trim().into(),
                    ended: Some(Timestamp::parse(ended.trim()).ok_or_else(|| {
                        self.fault(
                            column,
                            "an encounter's end is not an instant",
                            "write `person` or `person@2026-11-22T08:00:00Z`, several separated by `;`",
                        )
                    })?),
                }),
            })
            .collect()
    }

    fn fault(&self, column: &str, what: &str, hint: &str) -> ImportError {
        // The cell itself is not repeated: it may hold an identifier in the wrong place.
        self.source.fault(Some(self.line), Some(column), what, hint)
    }
}

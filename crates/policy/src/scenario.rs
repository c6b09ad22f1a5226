//! Scenario tables: situations with the decision that a hospital expects, readable by those who own the rules.
//!
//! A table is TOML. `[context]` holds the circumstances of rows that state none; `[people.NAME]`, `[devices.NAME]`, `[patients.NAME]` and `[resources.NAME]` describe the
//! hospital once; each `[[row]]` says who does what to which resource on which device, and what is expected. Facts
//! have the names of the AuthZEN vocabulary (`docs/decisions.md`): a row *is* such a question.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use domain::{Outcome, Timestamp};
use serde::{Deserialize, Serialize, Serializer};
use serde_json::{Map, Value, json};

use crate::authzen::question;
use crate::decide::decide;
use crate::decision::Decision;
use crate::pack::{PackSource, PolicyPack};
use crate::snapshot::Snapshot;

/// A table of situations and expected decisions.
#[derive(Clone, Debug)]
pub struct Table {
    raw: RawTable,
}

/// Why a table could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {message}")]
pub struct TableError {
    /// Where: a line, or the name of a row.
    pub place: String,
    /// What is wrong.
    pub message: String,
}

/// An answer, as a table states it and as the pack gave it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    outcome: Outcome,
    obligations: Vec<String>,
    code: Option<String>,
    alarms: Vec<String>,
}

impl Answer {
    /// Which of the four.
    pub fn outcome(&self) -> Outcome {
        self.outcome
    }

    /// The obligations that come with it, sorted.
    pub fn obligations(&self) -> &[String] {
        &self.obligations
    }

    /// The reason's code; of an expected answer, only if the table states one.
    pub fn code(&self) -> Option<&str> {
        self.code.as_deref()
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.outcome.as_str())?;
        for obligation in &self.obligations {
            write!(f, " +{obligation}")?;
        }
        for alarm in &self.alarms {
            write!(f, " !{alarm}")?;
        }
        match &self.code {
            Some(code) => write!(f, " ({code})"),
            None => Ok(()),
        }
    }
}

impl Serialize for Answer {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.outcome.as_str())
    }
}

/// One situation, judged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Row {
    /// Its scenario and situation.
    pub scenario: String,
    /// What the table expects.
    pub expected: Answer,
    /// What was decided.
    pub actual: Answer,
    /// Whether they agree: outcome, obligations, and the code and alarms that the table states.
    pub passed: bool,
    /// Obligations that came with it.
    pub obligations: Vec<String>,
    /// The reason's code.
    pub code: String,
    /// The reason's sentence.
    pub reason: String,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawTable {
    now: Timestamp,
    /// Circumstances of every row that does not state its own.
    #[serde(default)]
    context: Map<String, Value>,
    #[serde(default)]
    people: BTreeMap<String, Map<String, Value>>,
    #[serde(default)]
    devices: BTreeMap<String, Map<String, Value>>,
    #[serde(default)]
    patients: BTreeMap<String, Value>,
    #[serde(default)]
    resources: BTreeMap<String, RawResource>,
    #[serde(default, rename = "row")]
    rows: Vec<RawRow>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawResource {
    r#type: String,
    id: String,
    #[serde(default)]
    properties: Map<String, Value>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRow {
    /// Number and name.
    scenario: String,
    /// The situation in words.
    when: String,
    who: String,
    /// Device; absent: unknown.
    on: Option<String>,
    does: String,
    to: String,
    /// Properties of the resource that differ from its description.
    #[serde(default)]
    with: Map<String, Value>,
    #[serde(default)]
    context: Map<String, Value>,
    /// A further policy for this row.
    policy: Option<String>,
    expect: Outcome,
    #[serde(default)]
    obligations: Vec<String>,
    code: Option<String>,
    #[serde(default)]
    alarms: Vec<String>,
}

/// Reads a table. Every name that a row uses must be described.
pub fn parse(text: &str) -> Result<Table, TableError> {
    let raw: RawTable = toml::from_str(text).map_err(|e| {
        let line = e.span().map_or(1, |s| {
            text[..s.start.min(text.len())].matches('\n').count() + 1
        });
        TableError {
            place: format!("line {line}"),
            message: e.message().to_owned(),
        }
    })?;
    if raw.rows.is_empty() {
        return Err(TableError {
            place: "row".to_owned(),
            message: "the table has no row".to_owned(),
        });
    }
    let table = Table { raw };
    let world = Snapshot::new(Arc::new(empty_pack()?));
    for row in &table.raw.rows {
        table.question(row, &world)?;
    }
    Ok(table)
}

/// The least pack that compiles: a table is read before there is one to judge it.
fn empty_pack() -> Result<PolicyPack, TableError> {
    let source = PackSource {
        name: "empty".to_owned(),
        schema: PolicyPack::hospital().source().schema.clone(),
        policies: Vec::new(),
    };
    PolicyPack::compile(source).map_err(|e| TableError {
        place: "pack".to_owned(),
        message: e.to_string(),
    })
}

type Posed = (Snapshot, domain::CanonicalRequest, Timestamp);

impl Table {
    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.raw.rows.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.raw.rows.is_empty()
    }

    /// Every row as a question in AuthZEN's form, by its name.
    pub fn questions(&self) -> Result<Vec<(String, Value)>, TableError> {
        self.raw
            .rows
            .iter()
            .map(|r| Ok((name(r), Value::Object(self.body(r)?))))
            .collect()
    }

    fn question(&self, row: &RawRow, world: &Snapshot) -> Result<Posed, TableError> {
        let error = |message: String| TableError {
            place: format!("row `{}`", name(row)),
            message,
        };
        question(world, &self.body(row)?, self.raw.now, "")
            .map_err(|e| error(e.to_string()))?
            .ok_or_else(|| error("its resource is of an unknown type".to_owned()))
    }

    fn body(&self, row: &RawRow) -> Result<Map<String, Value>, TableError> {
        let unknown = |what: &str, it: &str| TableError {
            place: format!("row `{}`", name(row)),
            message: format!("{what} `{it}` is not described in the table"),
        };
        let person = self
            .raw
            .people
            .get(&row.who)
            .ok_or_else(|| unknown("person", &row.who))?;
        let resource = self
            .raw
            .resources
            .get(&row.to)
            .ok_or_else(|| unknown("resource", &row.to))?;
        let mut properties = resource.properties.clone();
        properties.extend(row.with.clone());
        let mut context = self.raw.context.clone();
        context.extend(row.context.clone());
        let all = |device: (&String, &Map<String, Value>)| {
            let mut described = device.1.clone();
            described.insert("id".to_owned(), json!(device.0));
            Value::Object(described)
        };
        if !context.contains_key("devices") {
            context.insert(
                "devices".to_owned(),
                self.raw.devices.iter().map(all).collect(),
            );
        }
        if let Some(device) = &row.on {
            if !self.raw.devices.contains_key(device) {
                return Err(unknown("device", device));
            }
            context.insert("device".to_owned(), json!(device));
        }
        let patients = context.entry("patients").or_insert_with(|| json!({}));
        if let Value::Object(patients) = patients {
            for (patient, facts) in &self.raw.patients {
                patients
                    .entry(patient.clone())
                    .or_insert_with(|| facts.clone());
            }
        }
        let mut subject = json!({ "type": "person", "id": row.who });
        subject["properties"] = Value::Object(person.clone());
        let body = json!({
            "subject": subject,
            "action": { "name": row.does },
            "resource": { "type": resource.r#type, "id": resource.id, "properties": properties },
            "context": context,
        });
        match body {
            Value::Object(body) => Ok(body),
            _ => Err(unknown("row", "")),
        }
    }
}

/// Judges every row of a table by `pack`.
pub fn run(pack: &Arc<PolicyPack>, table: &Table) -> Vec<Row> {
    decisions(pack, table)
        .into_iter()
        .map(|(row, decision)| row_of(row, decision))
        .collect()
}

/// Every row's decision, by its name; an error is one of the table's.
pub fn judge(pack: &Arc<PolicyPack>, table: &Table) -> Vec<(String, Result<Decision, TableError>)> {
    decisions(pack, table)
        .into_iter()
        .map(|(row, d)| (name(row), d))
        .collect()
}

fn decisions<'a>(
    pack: &Arc<PolicyPack>,
    table: &'a Table,
) -> Vec<(&'a RawRow, Result<Decision, TableError>)> {
    let world = Snapshot::new(pack.clone());
    let one = |row: &'a RawRow| {
        let mut world = world.clone();
        if let Some(policy) = &row.policy {
            let mut source = pack.source().clone();
            source
                .policies
                .push(("row.cedar".to_owned(), policy.clone()));
            let pack = PolicyPack::compile(source).map_err(|e| TableError {
                place: name(row),
                message: e.to_string(),
            })?;
            world.set_pack(Arc::new(pack));
        }
        let (world, request, now) = table.question(row, &world)?;
        Ok(decide(&world, request, now))
    };
    table.raw.rows.iter().map(|row| (row, one(row))).collect()
}

fn row_of(row: &RawRow, decision: Result<Decision, TableError>) -> Row {
    let mut obligations = row.obligations.clone();
    obligations.sort_unstable();
    let expected = Answer {
        outcome: row.expect,
        obligations,
        code: row.code.clone(),
        alarms: row.alarms.clone(),
    };
    let scenario = name(row);
    match decision {
        Err(e) => Row {
            scenario,
            expected,
            actual: Answer {
                outcome: Outcome::Deny,
                obligations: Vec::new(),
                code: None,
                alarms: vec![e.message.clone()],
            },
            passed: false,
            obligations: Vec::new(),
            code: "row-not-judged".to_owned(),
            reason: e.to_string(),
        },
        Ok(decision) => {
            let ruling = decision.ruling();
            let actual = Answer {
                outcome: decision.outcome(),
                obligations: ruling
                    .obligations()
                    .iter()
                    .map(|o| o.name.to_string())
                    .collect(),
                code: Some(ruling.reason().code.to_string()),
                alarms: ruling.alarms().iter().map(ToString::to_string).collect(),
            };
            let passed = expected.outcome == actual.outcome
                && expected.obligations == actual.obligations
                && (expected.code.is_none() || expected.code == actual.code)
                && expected.alarms == actual.alarms;
            Row {
                scenario,
                expected,
                passed,
                obligations: actual.obligations.clone(),
                code: ruling.reason().code.to_string(),
                reason: ruling.reason().sentence.to_string(),
                actual,
            }
        }
    }
}

fn name(row: &RawRow) -> String {
    format!("{}: {}", row.scenario, row.when)
}

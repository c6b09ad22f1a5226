//! Policy packs: a Cedar schema and policy files, compiled and validated as a whole.
//!
//! A pack that cannot be trusted in full is refused in full; whoever holds a [`PolicyPack`] holds a valid one.
//!
//! Every policy carries `@id` (kebab-case: it is the code of a reason) and `@reason` (one plain sentence). Further
//! annotations: `@obligation("a,b")` for whoever enforces; on permits `@otherwise("code: sentence")`, said when
//! the permit was the nearest but not reached, and `@grant_secs("n")`, how long an emergency grant that it offers
//! holds. Others are refused, since a misspelt obligation would silently be none.

mod lint;
mod place;

use std::fmt;
use std::sync::{Arc, LazyLock};

use cedar_policy::{Entities, PolicyId, PolicySet, Request, Schema, ValidationMode, Validator};
use smol_str::SmolStr;

use crate::ceremony::{GRANT_SECS, GRANT_SECS_MAX};
use crate::decision::{Obligation, Reason};
use crate::engine::{Engine, PolicyNumber};
use crate::facts::Vocabulary;

pub(crate) use lint::Clockwork;

/// A pack's source: a schema and policy files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackSource {
    /// Its name.
    pub name: String,
    /// The Cedar schema.
    pub schema: String,
    /// Policy files: name and text, in the order in which their policies count.
    pub policies: Vec<(String, String)>,
}

/// A compiled and validated pack.
pub struct PolicyPack {
    source: PackSource,
    hash: Arc<str>,
    engine: Engine,
    vocabulary: Vocabulary,
    notes: Vec<Notes>,
}

/// What the annotations of one policy say.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    pub(crate) reason: Option<SmolStr>,
    pub(crate) otherwise: Option<Reason>,
    pub(crate) obligations: Vec<Obligation>,
    pub(crate) grant_secs: u64,
    pub(crate) clockwork: Clockwork,
}

/// Why a pack was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackError {
    /// In which file; `schema.cedarschema` for the schema.
    pub file: String,
    /// On which line, counted from 1.
    pub line: usize,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub remedy: String,
}

impl fmt::Display for PackError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file, self.line, self.message)?;
        if !self.remedy.is_empty() {
            write!(f, "\nhint: {}", self.remedy)?;
        }
        Ok(())
    }
}

impl std::error::Error for PackError {}

/// The name of the schema in errors.
const SCHEMA: &str = "schema.cedarschema";

/// More policies than this are no pack but a mistake.
const POLICIES_MAX: usize = 100_000;

impl PolicyPack {
    /// Compiles and validates a pack.
    pub fn compile(source: PackSource) -> Result<Self, PackError> {
        let (schema, _) = Schema::from_cedarschema_str(&source.schema)
            .map_err(|e| place::of(&e, SCHEMA, &source.schema, "correct the schema"))?;
        let mut policies = Vec::new();
        let mut notes = Vec::new();
        let mut origins = Vec::new();
        let mut seen = std::collections::HashMap::new();
        for (number, (file, text)) in source.policies.iter().enumerate() {
            for policy in place::parse(file, text)? {
                let at = place::line_of(&policy, text);
                let error = |message: String, remedy: &str| PackError {
                    file: file.clone(),
                    line: at,
                    message,
                    remedy: remedy.to_owned(),
                };
                let (id, note) = lint::notes(&policy).map_err(|(m, r)| error(m, r))?;
                if let Some((other, line)) = seen.insert(id.clone(), (file.clone(), at)) {
                    return Err(error(
                        format!("policy `{id}` is defined twice, first at {other}:{line}"),
                        "give it another @id",
                    ));
                }
                origins.push((number, at));
                notes.push(note);
                policies.push(policy.new_id(PolicyId::new(id.as_str())));
                if policies.len() > POLICIES_MAX {
                    return Err(error(
                        format!("more than {POLICIES_MAX} policies"),
                        "fold policies that differ in one entity into one with a group",
                    ));
                }
            }
        }
        let locate = |at: usize| {
            let (file, line) = origins.get(at).copied().unwrap_or((0, 1));
            source
                .policies
                .get(file)
                .map(|(name, text)| (name.as_str(), text.as_str(), line))
        };
        let set = PolicySet::from_policies(policies.iter().cloned()).map_err(|e| PackError {
            file: SCHEMA.to_owned(),
            line: 1,
            message: e.to_string(),
            remedy: "write templates out".to_owned(),
        })?;
        validate(&set, &schema, &policies, &locate)?;
        let mut engine = Engine::compile_ordered(&policies, &schema).map_err(|e| PackError {
            file: source.name.clone(),
            line: 1,
            message: e.to_string(),
            remedy: String::new(),
        })?;
        let vocabulary = Vocabulary::of(&mut engine);
        lint::facts(&engine, &vocabulary, &policies, &mut notes).map_err(
            |(at, message, remedy)| {
                let (file, _, line) = locate(at).unwrap_or((SCHEMA, "", 1));
                PackError {
                    file: file.to_owned(),
                    line,
                    message,
                    remedy: remedy.to_owned(),
                }
            },
        )?;
        check_schema(&schema, &engine, &vocabulary, &source.schema)?;
        let hash = hash(&source).into();
        Ok(Self {
            source,
            hash,
            engine,
            vocabulary,
            notes,
        })
    }

    /// The pack of the sample hospital, compiled once.
    pub fn hospital() -> Arc<Self> {
        static HOSPITAL: LazyLock<Arc<PolicyPack>> = LazyLock::new(|| {
            let pack = PolicyPack::compile(hospital::source());
            Arc::new(pack.unwrap_or_else(|e| panic!("the built-in pack is checked by tests: {e}")))
        });
        HOSPITAL.clone()
    }

    /// SHA-256 of its source, in hex.
    pub fn hash(&self) -> &str {
        &self.hash
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.source.name
    }

    /// How many policies it holds.
    pub fn policy_count(&self) -> usize {
        self.engine.policies().len()
    }

    /// What it was compiled from.
    pub fn source(&self) -> &PackSource {
        &self.source
    }

    /// The engine that evaluates it.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    pub(crate) fn shared_hash(&self) -> &Arc<str> {
        &self.hash
    }

    pub(crate) fn vocabulary(&self) -> &Vocabulary {
        &self.vocabulary
    }

    pub(crate) fn notes(&self, policy: PolicyNumber) -> &Notes {
        &self.notes[policy as usize]
    }

    pub(crate) fn id(&self, policy: PolicyNumber) -> &SmolStr {
        &self.engine.policies()[policy as usize].id
    }

    /// How long an emergency grant holds that these policies offer.
    pub(crate) fn grant_secs(&self, policies: &[PolicyNumber]) -> u64 {
        policies
            .iter()
            .map(|p| self.notes(*p).grant_secs)
            .filter(|secs| *secs > 0)
            .min()
            .unwrap_or(GRANT_SECS)
            .min(GRANT_SECS_MAX)
    }
}

impl fmt::Debug for PolicyPack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PolicyPack")
            .field("name", &self.source.name)
            .field("hash", &self.hash)
            .field("policies", &self.policy_count())
            .finish()
    }
}

type Locate<'a> = dyn Fn(usize) -> Option<(&'a str, &'a str, usize)> + 'a;

/// Strict validation. Warnings count as errors: a policy that can never apply is not what somebody meant.
fn validate(
    set: &PolicySet,
    schema: &Schema,
    policies: &[cedar_policy::Policy],
    locate: &Locate<'_>,
) -> Result<(), PackError> {
    let result = Validator::new(schema.clone()).validate(set, ValidationMode::Strict);
    let find = |id: &PolicyId| policies.iter().position(|p| p.id() == id).and_then(locate);
    let remedy = "policies may only speak of what the schema declares";
    if let Some(e) = result.validation_errors().next() {
        let (file, text, line) = find(e.policy_id()).unwrap_or((SCHEMA, "", 1));
        return Err(place::of_with_line(e, file, text, line, remedy));
    }
    if let Some(w) = result.validation_warnings().next() {
        let (file, text, line) = find(w.policy_id()).unwrap_or((SCHEMA, "", 1));
        return Err(place::of_with_line(
            w,
            file,
            text,
            line,
            "remove the policy or correct it",
        ));
    }
    Ok(())
}

/// The facts that the program builds must be what the schema declares; else strict validation proves nothing.
fn check_schema(
    schema: &Schema,
    engine: &Engine,
    vocabulary: &Vocabulary,
    text: &str,
) -> Result<(), PackError> {
    vocabulary
        .specimens(|query| {
            let (request, entities) = engine.to_cedar(&query);
            let missing = || "the request is incomplete".to_owned();
            Request::new(
                request.principal().ok_or_else(missing)?.clone(),
                request.action().ok_or_else(missing)?.clone(),
                request.resource().ok_or_else(missing)?.clone(),
                request.context().ok_or_else(missing)?.clone(),
                Some(schema),
            )
            .map_err(|e| e.to_string())?;
            let own = entities
                .iter()
                .filter(|e| e.uid().type_name().basename() != "Action")
                .cloned()
                .collect::<Vec<_>>();
            Entities::from_entities(own, Some(schema)).map_err(|e| place::chain(&e))?;
            Ok(())
        })
        .map_err(|message| {
            let name = message.split('`').nth(1).unwrap_or_default();
            PackError {
                file: SCHEMA.to_owned(),
                line: place::line_with(text, name),
                message: format!("the schema does not fit the facts that decisions are made from: {message}"),
                remedy: "start from the schema of the hospital pack; its facts are described in docs/decisions.md"
                    .to_owned(),
            }
        })
}

fn hash(source: &PackSource) -> String {
    use aws_lc_rs::digest::{Context, SHA256};
    let mut digest = Context::new(&SHA256);
    let mut add = |text: &str| {
        // Each part with its length, so that no two sources run together.
        digest.update(&(text.len() as u64).to_be_bytes());
        digest.update(text.as_bytes());
    };
    add(&source.schema);
    for (file, text) in &source.policies {
        add(file);
        add(text);
    }
    digest
        .finish()
        .as_ref()
        .iter()
        .map(|b| format!("{b:02x}"))
        .collect()
}

/// The pack that ships with the program.
mod hospital {
    use super::PackSource;

    macro_rules! files {
        ($($name:literal),* $(,)?) => {
            &[$((
                concat!("policies/", $name),
                include_str!(concat!("../../../packs/hospital/policies/", $name)),
            )),*]
        };
    }

    const FILES: &[(&str, &str)] = files![
        "applications.cedar",
        "care.cedar",
        "devices.cedar",
        "directory.cedar",
        "emergency.cedar",
        "machines.cedar",
        "office.cedar",
        "pharmacy.cedar",
        "proxies.cedar",
        "research.cedar",
        "sensitive.cedar",
        "sessions.cedar",
        "vendors.cedar",
        "writing.cedar",
    ];

    pub(super) fn source() -> PackSource {
        PackSource {
            name: "hospital".to_owned(),
            schema: include_str!("../../../packs/hospital/schema.cedarschema").to_owned(),
            policies: FILES
                .iter()
                .map(|(n, t)| ((*n).to_owned(), (*t).to_owned()))
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests;

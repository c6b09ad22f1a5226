//! Selection and evaluation of Cedar policies, without any notion of a hospital.
//!
//! Cedar's own authorizer walks every policy for every request. Here each policy is filed, when a pack is
//! compiled, under what its scope says: action, resource type, the entity its `resource in …` names and the one
//! its `principal in …` names. A request looks up the few files that can concern it; the cost does not grow with
//! unrelated policies. What is found is evaluated by a small evaluator of our own ([`evaluate`]) over flat
//! records; a policy that uses a construct it does not know is evaluated by Cedar.
//!
//! Cedar stays the reference: [`Engine::reference`] evaluates the whole set with it, and tests hold the two
//! together on random packs and on Cedar's own corpus.

pub mod evaluate;
pub mod expression;
mod index;
pub mod reference;
pub mod value;

use std::collections::HashMap;

use cedar_policy::{Effect, EntityUid, PolicySet, Schema};
use smol_str::SmolStr;

pub use expression::{Expression, Unsupported};
pub use value::{Entity, Names, Record, Symbol, Uid, Value};

use index::Index;
use reference::Reference;

/// The place of a policy in its pack.
pub type PolicyNumber = u32;

/// One question: may this principal do this to this resource, under these circumstances?
#[derive(Clone, Debug)]
pub struct Query {
    /// Who.
    pub principal: Entity,
    /// What.
    pub action: Uid,
    /// To what.
    pub resource: Entity,
    /// Under which circumstances.
    pub context: Record,
}

/// What the policies say to a question, before anybody draws a conclusion.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Permits that are satisfied, in the pack's order.
    pub permits: Vec<PolicyNumber>,
    /// Forbids that are satisfied, in the pack's order.
    pub forbids: Vec<PolicyNumber>,
    /// Permits that failed to evaluate; they grant nothing.
    pub failed_permits: Vec<PolicyNumber>,
    /// Forbids that failed to evaluate; they deny.
    pub failed_forbids: Vec<PolicyNumber>,
}

impl Verdict {
    /// Whether the action is allowed: some permit is satisfied, no forbid is, and no forbid failed.
    pub fn allows(&self) -> bool {
        !self.permits.is_empty() && self.forbids.is_empty() && self.failed_forbids.is_empty()
    }
}

/// A policy as the engine keeps it.
#[derive(Debug)]
pub struct CompiledPolicy {
    /// Its `@id`, or the identifier Cedar gave it.
    pub id: SmolStr,
    /// Whether it forbids.
    pub forbids: bool,
    /// Its conditions, all of which must hold; `None` if only Cedar can evaluate it.
    pub conditions: Option<Box<[Expression]>>,
    scope: index::Scope,
}

/// Compiled policies, filed for selection.
#[derive(Debug)]
pub struct Engine {
    names: Names,
    policies: Vec<CompiledPolicy>,
    index: Index,
    actions: HashMap<Uid, Vec<Uid>>,
    watched: Vec<u8>,
    reference: Reference,
}

/// Why a policy cannot be taken into an engine.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EngineError {
    /// A template or a linked policy.
    #[error("policy `{0}` is a template; write it out")]
    Template(String),
    /// Its JSON form could not be had or read.
    #[error("policy `{0}` could not be read: {1}")]
    Unreadable(String, String),
    /// More names than fit.
    #[error("more than 65,000 different names of attributes and types")]
    TooManyNames,
}

impl Engine {
    /// Compiles `policies`, whose actions and their groups come from `schema`.
    pub fn compile(policies: &PolicySet, schema: &Schema) -> Result<Self, EngineError> {
        let ordered = policies.policies().cloned().collect::<Vec<_>>();
        Self::compile_ordered(&ordered, schema)
    }

    /// As [`Engine::compile`], with the policies numbered as given.
    pub fn compile_ordered(
        policies: &[cedar_policy::Policy],
        schema: &Schema,
    ) -> Result<Self, EngineError> {
        let mut names = Names::default();
        let mut actions: HashMap<Uid, Vec<Uid>> = HashMap::new();
        for action in schema.actions() {
            let ancestors = schema
                .action_entities()
                .ok()
                .and_then(|all| {
                    Some(
                        all.ancestors(action)?
                            .map(|a| names.uid(a))
                            .collect::<Vec<_>>(),
                    )
                })
                .unwrap_or_default();
            actions.insert(names.uid(action), ancestors);
        }
        for kind in schema.entity_types() {
            names.symbol(&kind.to_string());
        }
        let mut compiled = Vec::with_capacity(policies.len());
        for policy in policies {
            if !policy.is_static() {
                return Err(EngineError::Template(policy.id().to_string()));
            }
            compiled.push(compile_policy(policy, &mut names)?);
        }
        if names.overflowed() {
            return Err(EngineError::TooManyNames);
        }
        let types = schema
            .entity_types()
            .map(|t| names.symbol(&t.to_string()))
            .collect::<Vec<_>>();
        let index = Index::build(&compiled, &actions, &types);
        let reference = Reference::new(policies, &compiled, schema);
        Ok(Self {
            names,
            policies: compiled,
            index,
            actions,
            watched: Vec::new(),
            reference,
        })
    }

    /// The names of attributes and types that questions are put in.
    pub fn names(&self) -> &Names {
        &self.names
    }

    /// Makes sure that `names` can be used in questions, which must be built after this.
    pub fn intern(&mut self, name: &str) -> Symbol {
        self.names.symbol(name)
    }

    /// The policies, by number.
    pub fn policies(&self) -> &[CompiledPolicy] {
        &self.policies
    }

    /// The policies whose scope the question meets, in the pack's order.
    pub fn select(&self, query: &Query, found: &mut Vec<PolicyNumber>) {
        found.clear();
        self.index.select(query, &self.policies, found);
        // In the pack's order, and once each even if a question names an ancestor twice.
        found.sort_unstable();
        found.dedup();
    }

    /// Answers by selection and the compiled evaluator.
    pub fn evaluate(&self, query: &Query) -> Verdict {
        let mut selected = Vec::new();
        self.select(query, &mut selected);
        self.evaluate_selected(query, &selected)
    }

    /// Makes reading an attribute of this name show in what [`Engine::evaluate_watched`] returns.
    pub fn watch(&mut self, name: Symbol, bits: u8) {
        let at = name.index();
        if self.watched.len() <= at {
            self.watched.resize(at + 1, 0);
        }
        self.watched[at] |= bits;
    }

    /// Answers from policies that [`Engine::select`] found for this question.
    pub fn evaluate_selected(&self, query: &Query, selected: &[PolicyNumber]) -> Verdict {
        self.evaluate_watched(query, selected).0
    }

    /// As [`Engine::evaluate_selected`], with the bits of every watched attribute that was read. The answer
    /// depends on no other watched attribute.
    pub fn evaluate_watched(&self, query: &Query, selected: &[PolicyNumber]) -> (Verdict, u8) {
        let mut verdict = Verdict::default();
        let scene = evaluate::Scene::new(query, &self.actions, &self.watched);
        let mut cedar: Option<reference::Prepared> = None;
        for &number in selected {
            let policy = &self.policies[number as usize];
            let satisfied = match &policy.conditions {
                Some(conditions) => scene.all(conditions),
                None => {
                    // What Cedar reads is not seen.
                    scene.saw(u8::MAX);
                    let prepared =
                        cedar.get_or_insert_with(|| self.reference.prepare(query, &self.names));
                    self.reference.one(prepared, number)
                }
            };
            match (satisfied, policy.forbids) {
                (Ok(false), _) => {}
                (Ok(true), false) => verdict.permits.push(number),
                (Ok(true), true) => verdict.forbids.push(number),
                (Err(_), false) => verdict.failed_permits.push(number),
                (Err(_), true) => verdict.failed_forbids.push(number),
            }
        }
        (verdict, scene.seen())
    }

    /// Answers by Cedar, over the whole set.
    pub fn reference(&self, query: &Query) -> Verdict {
        let prepared = self.reference.prepare(query, &self.names);
        let mut verdict = Verdict::default();
        for number in 0..self.policies.len() as PolicyNumber {
            let satisfied = self.reference.one(&prepared, number);
            match (satisfied, self.policies[number as usize].forbids) {
                (Ok(false), _) => {}
                (Ok(true), false) => verdict.permits.push(number),
                (Ok(true), true) => verdict.forbids.push(number),
                (Err(_), false) => verdict.failed_permits.push(number),
                (Err(_), true) => verdict.failed_forbids.push(number),
            }
        }
        verdict
    }

    /// The question in Cedar's own types, for its authorizer.
    pub fn to_cedar(&self, query: &Query) -> (cedar_policy::Request, cedar_policy::Entities) {
        let prepared = self.reference.prepare(query, &self.names);
        (prepared.request, prepared.entities)
    }

    /// Whether each condition of a policy holds, for explanations; `None` if only Cedar can evaluate it.
    pub fn conditions_met(
        &self,
        query: &Query,
        number: PolicyNumber,
    ) -> Option<Vec<Result<bool, evaluate::Failed>>> {
        let scene = evaluate::Scene::new(query, &self.actions, &self.watched);
        let conditions = self.policies[number as usize].conditions.as_ref()?;
        Some(conditions.iter().map(|c| scene.truth(c)).collect())
    }

    /// Policies whose action and resource type fit the question, whatever their scope says of the entities.
    pub fn in_reach(&self, query: &Query) -> Vec<PolicyNumber> {
        self.index.in_reach(query)
    }

    /// Whether the principal is within the policy's scope.
    pub fn admits_principal(&self, query: &Query, number: PolicyNumber) -> bool {
        self.policies[number as usize]
            .scope
            .admits_principal(&query.principal)
    }

    /// Whether the resource is within the policy's scope.
    pub fn admits_resource(&self, query: &Query, number: PolicyNumber) -> bool {
        self.policies[number as usize]
            .scope
            .admits_resource(&query.resource)
    }

    /// How many policies only Cedar can evaluate.
    pub fn uncompiled(&self) -> usize {
        self.policies
            .iter()
            .filter(|p| p.conditions.is_none())
            .count()
    }
}

fn compile_policy(
    policy: &cedar_policy::Policy,
    names: &mut Names,
) -> Result<CompiledPolicy, EngineError> {
    let id = policy
        .annotation("id")
        .map_or_else(|| policy.id().to_string(), str::to_owned);
    let unreadable = |e: String| EngineError::Unreadable(id.clone(), e);
    let json = policy.to_json().map_err(|e| unreadable(e.to_string()))?;
    let scope = index::Scope::read(policy, names);
    let conditions = match expression::conditions(&json, names) {
        Ok(conditions) => Some(conditions.into_boxed_slice()),
        Err(expression::CompileError::Unsupported(_)) => None,
        Err(expression::CompileError::Malformed(what)) => return Err(unreadable(what)),
    };
    Ok(CompiledPolicy {
        id: id.as_str().into(),
        forbids: policy.effect() == Effect::Forbid,
        conditions,
        scope,
    })
}

impl Names {
    /// A Cedar identifier in the engine's terms.
    pub fn uid(&mut self, uid: &EntityUid) -> Uid {
        Uid {
            kind: self.symbol(&uid.type_name().to_string()),
            id: uid.id().unescaped().into(),
        }
    }
}

//! Which policies can concern a question, found without evaluating any.
//!
//! A policy's scope names at most an action or some, a type and an entity for the principal, and the same for
//! the resource. Policies are filed under (action, resource type), then under the entity that the resource must
//! be or be in, then under the one that the principal must be or be in. A question visits, in one file, the
//! entities above its resource and its principal. What comes out is exact: every policy found has its scope met,
//! and none whose scope is met is missing.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use cedar_policy::{ActionConstraint, EntityUid, PrincipalConstraint, ResourceConstraint};

use super::value::{Entity, Names, Symbol, Uid};
use super::{CompiledPolicy, PolicyNumber, Query};

/// What a scope asks of the principal or the resource.
#[derive(Clone, Debug, Default)]
struct Side {
    /// It is of this type.
    kind: Option<Symbol>,
    /// It is this entity, or lies below it.
    entity: Option<Uid>,
    /// It is that entity itself.
    exact: bool,
}

impl Side {
    fn admits(&self, entity: &Entity) -> bool {
        self.kind.is_none_or(|k| k == entity.uid.kind)
            && self
                .entity
                .as_ref()
                .is_none_or(|e| entity.uid == *e || (!self.exact && entity.ancestors.contains(e)))
    }
}

/// A policy's scope.
#[derive(Clone, Debug)]
pub(super) struct Scope {
    principal: Side,
    /// `None`: any action.
    actions: Option<Vec<Uid>>,
    /// Whether groups of actions count for their members.
    exact_action: bool,
    resource: Side,
}

impl Scope {
    pub(super) fn read(policy: &cedar_policy::Policy, names: &mut Names) -> Self {
        let kind = |t: &cedar_policy::EntityTypeName, names: &mut Names| {
            Some(names.symbol(&t.to_string()))
        };
        let uid = |e: &EntityUid, names: &mut Names| Some(names.uid(e));
        let principal = match policy.principal_constraint() {
            PrincipalConstraint::Any => Side::default(),
            PrincipalConstraint::In(e) => Side {
                entity: uid(&e, names),
                ..Side::default()
            },
            PrincipalConstraint::Eq(e) => Side {
                entity: uid(&e, names),
                exact: true,
                ..Side::default()
            },
            PrincipalConstraint::Is(t) => Side {
                kind: kind(&t, names),
                ..Side::default()
            },
            PrincipalConstraint::IsIn(t, e) => Side {
                kind: kind(&t, names),
                entity: uid(&e, names),
                exact: false,
            },
        };
        let resource = match policy.resource_constraint() {
            ResourceConstraint::Any => Side::default(),
            ResourceConstraint::In(e) => Side {
                entity: uid(&e, names),
                ..Side::default()
            },
            ResourceConstraint::Eq(e) => Side {
                entity: uid(&e, names),
                exact: true,
                ..Side::default()
            },
            ResourceConstraint::Is(t) => Side {
                kind: kind(&t, names),
                ..Side::default()
            },
            ResourceConstraint::IsIn(t, e) => Side {
                kind: kind(&t, names),
                entity: uid(&e, names),
                exact: false,
            },
        };
        let (actions, exact_action) = match policy.action_constraint() {
            ActionConstraint::Any => (None, false),
            ActionConstraint::In(all) => (Some(all.iter().map(|a| names.uid(a)).collect()), false),
            ActionConstraint::Eq(one) => (Some(vec![names.uid(&one)]), true),
        };
        Self {
            principal,
            actions,
            exact_action,
            resource,
        }
    }

    pub(super) fn admits_principal(&self, principal: &Entity) -> bool {
        self.principal.admits(principal)
    }

    pub(super) fn admits_resource(&self, resource: &Entity) -> bool {
        self.resource.admits(resource)
    }

    fn admits_action(&self, action: &Uid, above: &[Uid]) -> bool {
        match &self.actions {
            None => true,
            Some(all) => {
                all.contains(action)
                    || (!self.exact_action && all.iter().any(|a| above.contains(a)))
            }
        }
    }
}

/// The smallest type and entity for one policy within a file.
#[derive(Clone, Copy, Debug)]
struct Entry {
    policy: PolicyNumber,
    principal_kind: Option<Symbol>,
    principal_exact: bool,
    resource_exact: bool,
}

/// Policies that ask the same of the resource, by the entity they ask of the principal.
#[derive(Debug, Default)]
struct Group {
    anybody: Vec<Entry>,
    by_entity: HashMap<Uid, Vec<Entry>, Quick>,
}

/// Policies of one action and resource type, by the entity they ask of the resource.
#[derive(Debug, Default)]
struct File {
    anything: Group,
    by_entity: HashMap<Uid, Group, Quick>,
    all: Vec<PolicyNumber>,
}

#[derive(Debug, Default)]
pub(super) struct Index {
    files: HashMap<Uid, HashMap<Symbol, File, Quick>, Quick>,
    /// Actions and the groups above them.
    actions: HashMap<Uid, Vec<Uid>>,
}

impl Index {
    pub(super) fn build(
        policies: &[CompiledPolicy],
        actions: &HashMap<Uid, Vec<Uid>>,
        types: &[Symbol],
    ) -> Self {
        let mut index = Self {
            actions: actions.clone(),
            ..Self::default()
        };
        for (number, policy) in (0..).zip(policies) {
            for (action, above) in actions {
                if !policy.scope.admits_action(action, above) {
                    continue;
                }
                let by_type = index.files.entry(action.clone()).or_default();
                for kind in types {
                    let side = &policy.scope.resource;
                    if side.kind.is_some_and(|k| k != *kind) {
                        continue;
                    }
                    // `resource == X::"y"` can only be met by an X.
                    if side.exact && side.entity.as_ref().is_some_and(|e| e.kind != *kind) {
                        continue;
                    }
                    by_type.entry(*kind).or_default().add(number, &policy.scope);
                }
            }
        }
        index
    }

    pub(super) fn select(
        &self,
        query: &Query,
        policies: &[CompiledPolicy],
        found: &mut Vec<PolicyNumber>,
    ) {
        let Some(file) = self.file(query) else {
            if !self.files.contains_key(&query.action) || !self.knows_type(query.resource.uid.kind)
            {
                // Not in the schema: no shortcut, so that even then nothing is overlooked.
                let above = self
                    .actions
                    .get(&query.action)
                    .map(Vec::as_slice)
                    .unwrap_or_default();
                found.extend((0..).zip(policies).filter_map(|(number, policy)| {
                    let scope = &policy.scope;
                    (scope.admits_action(&query.action, above)
                        && scope.admits_principal(&query.principal)
                        && scope.admits_resource(&query.resource))
                    .then_some(number)
                }));
            }
            return;
        };
        file.anything.select(&query.principal, false, found);
        if file.by_entity.is_empty() {
            return;
        }
        if let Some(group) = file.by_entity.get(&query.resource.uid) {
            group.select(&query.principal, false, found);
        }
        for above in &query.resource.ancestors {
            if let Some(group) = file.by_entity.get(above) {
                group.select(&query.principal, true, found);
            }
        }
    }

    pub(super) fn in_reach(&self, query: &Query) -> Vec<PolicyNumber> {
        self.file(query).map(|f| f.all.clone()).unwrap_or_default()
    }

    fn file(&self, query: &Query) -> Option<&File> {
        self.files.get(&query.action)?.get(&query.resource.uid.kind)
    }

    fn knows_type(&self, kind: Symbol) -> bool {
        self.files
            .values()
            .any(|by_type| by_type.contains_key(&kind))
    }
}

impl File {
    fn add(&mut self, policy: PolicyNumber, scope: &Scope) {
        self.all.push(policy);
        let entry = Entry {
            policy,
            principal_kind: scope.principal.kind,
            principal_exact: scope.principal.exact,
            resource_exact: scope.resource.exact,
        };
        let group = match &scope.resource.entity {
            None => &mut self.anything,
            Some(entity) => self.by_entity.entry(entity.clone()).or_default(),
        };
        match &scope.principal.entity {
            None => group.anybody.push(entry),
            Some(entity) => group
                .by_entity
                .entry(entity.clone())
                .or_default()
                .push(entry),
        }
    }
}

impl Group {
    fn select(&self, principal: &Entity, resource_is_below: bool, found: &mut Vec<PolicyNumber>) {
        let mut take = |entries: &[Entry], principal_is_below: bool| {
            for entry in entries {
                if entry.principal_kind.is_none_or(|k| k == principal.uid.kind)
                    && !(entry.principal_exact && principal_is_below)
                    && !(entry.resource_exact && resource_is_below)
                {
                    found.push(entry.policy);
                }
            }
        };
        take(&self.anybody, false);
        // Whichever is shorter: the entities that policies name, or those the principal is in.
        if self.by_entity.len() <= principal.ancestors.len() {
            for (entity, entries) in &self.by_entity {
                if principal.uid == *entity {
                    take(entries, false);
                } else if principal.ancestors.contains(entity) {
                    take(entries, true);
                }
            }
        } else {
            if let Some(entries) = self.by_entity.get(&principal.uid) {
                take(entries, false);
            }
            for above in &principal.ancestors {
                if let Some(entries) = self.by_entity.get(above) {
                    take(entries, true);
                }
            }
        }
    }
}

/// A short hash for keys that come from the pack. What a client sends is only ever looked up, never stored, so
/// that it cannot crowd a table.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Mixer(u64);

type Quick = BuildHasherDefault<Mixer>;

const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;

impl Hasher for Mixer {
    fn write(&mut self, bytes: &[u8]) {
        let mut chunks = bytes.chunks_exact(8);
        for chunk in &mut chunks {
            let word = chunk.iter().fold(0u64, |w, b| (w << 8) | u64::from(*b));
            self.write_u64(word);
        }
        let rest = chunks
            .remainder()
            .iter()
            .fold(0u64, |w, b| (w << 8) | u64::from(*b));
        self.write_u64(rest ^ ((bytes.len() as u64) << 56));
    }

    fn write_u8(&mut self, n: u8) {
        self.write_u64(u64::from(n));
    }

    fn write_u16(&mut self, n: u16) {
        self.write_u64(u64::from(n));
    }

    fn write_u64(&mut self, n: u64) {
        self.0 = (self.0.rotate_left(5) ^ n).wrapping_mul(FACTOR);
    }

    fn finish(&self) -> u64 {
        self.0 ^ (self.0 >> 32)
    }
}

//! Cedar itself, beside our own evaluator: for policies that only it understands, and as the yardstick.

use std::collections::{HashMap, HashSet};
use std::str::FromStr;

use cedar_policy::{
    Authorizer, Context, Entities, EntityId, EntityTypeName, EntityUid, Policy, PolicySet, Request,
    RestrictedExpression, Schema,
};

use super::evaluate::Failed;
use super::value::{Entity, Names, Record, Symbol, Uid, Value};
use super::{CompiledPolicy, PolicyNumber, Query};

/// Every policy as a set of its own, so that each can be asked for by itself.
#[derive(Debug)]
pub(super) struct Reference {
    sets: Vec<PolicySet>,
    actions: Vec<cedar_policy::Entity>,
    authorizer: Authorizer,
}

/// A question in Cedar's own types.
pub(super) struct Prepared {
    pub(super) request: Request,
    pub(super) entities: Entities,
}

impl Reference {
    pub(super) fn new(policies: &[Policy], _compiled: &[CompiledPolicy], schema: &Schema) -> Self {
        let sets = policies
            .iter()
            .map(|p| PolicySet::from_policies([p.clone()]).unwrap_or_default())
            .collect();
        let actions = schema
            .action_entities()
            .map(|all| all.into_iter().collect())
            .unwrap_or_default();
        Self {
            sets,
            actions,
            authorizer: Authorizer::new(),
        }
    }

    pub(super) fn prepare(&self, query: &Query, names: &Names) -> Prepared {
        let translate = Translate { names };
        let context = Context::from_pairs(translate.fields(&query.context));
        let request = Request::new(
            translate.uid(&query.principal.uid),
            translate.uid(&query.action),
            translate.uid(&query.resource.uid),
            context.unwrap_or_else(|_| Context::empty()),
            None,
        )
        .expect("without a schema nothing is checked");
        let mut entities: Vec<cedar_policy::Entity> = self.actions.clone();
        entities.push(translate.entity(&query.principal));
        if query.principal.uid != query.resource.uid {
            entities.push(translate.entity(&query.resource));
        }
        let entities =
            Entities::from_entities(entities, None).unwrap_or_else(|_| Entities::empty());
        Prepared { request, entities }
    }

    pub(super) fn one(&self, prepared: &Prepared, number: PolicyNumber) -> Result<bool, Failed> {
        let set = &self.sets[number as usize];
        let answer = self
            .authorizer
            .is_authorized(&prepared.request, set, &prepared.entities);
        if answer.diagnostics().errors().next().is_some() {
            return Err(Failed);
        }
        Ok(answer.diagnostics().reason().next().is_some())
    }
}

struct Translate<'a> {
    names: &'a Names,
}

impl Translate<'_> {
    fn kind(&self, symbol: Symbol) -> EntityTypeName {
        // Names of types come from a schema or a policy that Cedar parsed.
        EntityTypeName::from_str(self.names.name(symbol))
            .expect("names of types are taken from a parsed schema")
    }

    fn uid(&self, uid: &Uid) -> EntityUid {
        EntityUid::from_type_name_and_id(self.kind(uid.kind), EntityId::new(uid.id.as_str()))
    }

    fn entity(&self, entity: &Entity) -> cedar_policy::Entity {
        let attributes: HashMap<String, RestrictedExpression> =
            self.fields(&entity.attributes).collect();
        let parents: HashSet<EntityUid> = entity.ancestors.iter().map(|a| self.uid(a)).collect();
        cedar_policy::Entity::new(self.uid(&entity.uid), attributes, parents)
            .unwrap_or_else(|_| cedar_policy::Entity::with_uid(self.uid(&entity.uid)))
    }

    fn fields<'a>(
        &'a self,
        record: &'a Record,
    ) -> impl Iterator<Item = (String, RestrictedExpression)> + 'a {
        record
            .iter()
            .map(|(name, value)| (self.names.name(name).to_owned(), self.value(value)))
    }

    fn value(&self, value: &Value) -> RestrictedExpression {
        match value {
            Value::Bool(b) => RestrictedExpression::new_bool(*b),
            Value::Long(n) => RestrictedExpression::new_long(*n),
            Value::Text(t) => RestrictedExpression::new_string(t.to_string()),
            Value::Entity(u) => RestrictedExpression::new_entity_uid(self.uid(u)),
            Value::Set(s) => RestrictedExpression::new_set(s.iter().map(|v| self.value(v))),
            Value::Record(r) => RestrictedExpression::new_record(self.fields(r))
                .unwrap_or_else(|_| RestrictedExpression::new_bool(false)),
        }
    }
}

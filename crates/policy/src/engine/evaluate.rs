//! Evaluation of compiled conditions.
//!
//! It agrees with Cedar on the value of every expression and on whether there is one; why there is none is only
//! told apart coarsely.

use std::cell::Cell;
use std::collections::HashMap;

use super::Query;
use super::expression::{Expression, Glob, Operator, Variable};
use super::value::{Entity, Record, Symbol, Uid, Value};

/// An expression has no value: a missing attribute, an overflow, an operand of the wrong type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failed;

/// One question, ready for conditions to be evaluated in.
pub struct Scene<'a> {
    query: &'a Query,
    actions: &'a HashMap<Uid, Vec<Uid>>,
    watched: &'a [u8],
    seen: Cell<u8>,
}

/// A value borrowed from the question or from a policy.
#[derive(Clone, Copy)]
enum Seen<'a> {
    Bool(bool),
    Long(i64),
    Text(&'a str),
    Uid(&'a Uid),
    Set(&'a [Value]),
    Texts(&'a [smol_str::SmolStr]),
    Record(&'a Record),
}

impl<'a> From<&'a Value> for Seen<'a> {
    fn from(value: &'a Value) -> Self {
        match value {
            Value::Bool(b) => Self::Bool(*b),
            Value::Long(n) => Self::Long(*n),
            Value::Text(t) => Self::Text(t),
            Value::Entity(u) => Self::Uid(u),
            Value::Set(s) => Self::Set(s),
            Value::Record(r) => Self::Record(r),
        }
    }
}

impl<'a> Scene<'a> {
    /// Prepares a question.
    pub fn new(query: &'a Query, actions: &'a HashMap<Uid, Vec<Uid>>, watched: &'a [u8]) -> Self {
        Self {
            query,
            actions,
            watched,
            seen: Cell::new(0),
        }
    }

    /// The bits of every watched attribute that was read so far.
    pub fn seen(&self) -> u8 {
        self.seen.get()
    }

    pub(super) fn saw(&self, bits: u8) {
        self.seen.set(self.seen.get() | bits);
    }

    fn read(&self, name: Symbol) {
        if let Some(bits) = self.watched.get(name.index()) {
            self.saw(*bits);
        }
    }

    /// Whether all conditions hold. As in Cedar, those after the first that does not are not looked at.
    pub fn all(&self, conditions: &'a [Expression]) -> Result<bool, Failed> {
        for condition in conditions {
            if !self.truth(condition)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Whether one condition holds.
    pub fn truth(&self, expression: &'a Expression) -> Result<bool, Failed> {
        match self.value(expression)? {
            Seen::Bool(b) => Ok(b),
            _ => Err(Failed),
        }
    }

    fn value(&self, expression: &'a Expression) -> Result<Seen<'a>, Failed> {
        Ok(match expression {
            Expression::Constant(value) => value.into(),
            Expression::Texts(texts) => Seen::Texts(texts),
            Expression::Variable(Variable::Principal) => Seen::Uid(&self.query.principal.uid),
            Expression::Variable(Variable::Action) => Seen::Uid(&self.query.action),
            Expression::Variable(Variable::Resource) => Seen::Uid(&self.query.resource.uid),
            Expression::Variable(Variable::Context) => Seen::Record(&self.query.context),
            Expression::Attribute(below, name) => {
                self.read(*name);
                let record = match self.value(below)? {
                    Seen::Record(record) => record,
                    Seen::Uid(uid) => &self.entity(uid).ok_or(Failed)?.attributes,
                    _ => return Err(Failed),
                };
                record.get(*name).ok_or(Failed)?.into()
            }
            Expression::Has(below, name) => {
                self.read(*name);
                Seen::Bool(match self.value(below)? {
                    Seen::Record(record) => record.get(*name).is_some(),
                    Seen::Uid(uid) => self
                        .entity(uid)
                        .is_some_and(|e| e.attributes.get(*name).is_some()),
                    _ => return Err(Failed),
                })
            }
            Expression::Not(e) => Seen::Bool(!self.truth(e)?),
            Expression::Negate(e) => Seen::Long(self.number(e)?.checked_neg().ok_or(Failed)?),
            Expression::And(sides) => Seen::Bool(self.truth(&sides[0])? && self.truth(&sides[1])?),
            Expression::Or(sides) => Seen::Bool(self.truth(&sides[0])? || self.truth(&sides[1])?),
            Expression::If(parts) => {
                let chosen = if self.truth(&parts[0])? { 1 } else { 2 };
                self.value(&parts[chosen])?
            }
            Expression::Equal(sides) => {
                Seen::Bool(equal(self.value(&sides[0])?, self.value(&sides[1])?))
            }
            Expression::Less(sides) => {
                Seen::Bool(self.number(&sides[0])? < self.number(&sides[1])?)
            }
            Expression::LessOrEqual(sides) => {
                Seen::Bool(self.number(&sides[0])? <= self.number(&sides[1])?)
            }
            Expression::Arithmetic(operator, sides) => {
                let (a, b) = (self.number(&sides[0])?, self.number(&sides[1])?);
                let result = match operator {
                    Operator::Add => a.checked_add(b),
                    Operator::Subtract => a.checked_sub(b),
                    Operator::Multiply => a.checked_mul(b),
                };
                Seen::Long(result.ok_or(Failed)?)
            }
            Expression::In(sides) => {
                let uid = self.uid(&sides[0])?;
                Seen::Bool(match self.value(&sides[1])? {
                    Seen::Uid(group) => self.is_in(uid, group),
                    Seen::Set(groups) => {
                        let mut found = false;
                        // Every element must be an entity, also those after the first that matches.
                        for group in groups {
                            let Value::Entity(group) = group else {
                                return Err(Failed);
                            };
                            found = found || self.is_in(uid, group);
                        }
                        found
                    }
                    _ => return Err(Failed),
                })
            }
            Expression::InAny(e, groups) => {
                let uid = self.uid(e)?;
                let mut found = false;
                for group in groups {
                    let group = self.uid(group)?;
                    found = found || self.is_in(uid, group);
                }
                Seen::Bool(found)
            }
            Expression::Contains(sides) => {
                let set = self.value(&sides[0])?;
                let item = self.value(&sides[1])?;
                Seen::Bool(contains(set, item)?)
            }
            Expression::ContainsAll(sides) => {
                let (a, b) = (self.value(&sides[0])?, self.value(&sides[1])?);
                let _ = elements(a)?;
                let mut all = true;
                for item in elements(b)? {
                    all = all && contains(a, item)?;
                }
                Seen::Bool(all)
            }
            Expression::ContainsAny(sides) => {
                let (a, b) = (self.value(&sides[0])?, self.value(&sides[1])?);
                let _ = elements(a)?;
                let mut any = false;
                for item in elements(b)? {
                    any = any || contains(a, item)?;
                }
                Seen::Bool(any)
            }
            Expression::IsEmpty(e) => match self.value(e)? {
                Seen::Set(set) => Seen::Bool(set.is_empty()),
                Seen::Texts(set) => Seen::Bool(set.is_empty()),
                _ => return Err(Failed),
            },
            Expression::Is(e, kind) => Seen::Bool(self.uid(e)?.kind == *kind),
            Expression::Like(e, pattern) => match self.value(e)? {
                Seen::Text(text) => Seen::Bool(like(text, pattern)),
                _ => return Err(Failed),
            },
        })
    }

    fn number(&self, expression: &'a Expression) -> Result<i64, Failed> {
        match self.value(expression)? {
            Seen::Long(n) => Ok(n),
            _ => Err(Failed),
        }
    }

    fn uid(&self, expression: &'a Expression) -> Result<&'a Uid, Failed> {
        match self.value(expression)? {
            Seen::Uid(uid) => Ok(uid),
            _ => Err(Failed),
        }
    }

    fn entity(&self, uid: &Uid) -> Option<&'a Entity> {
        if self.query.principal.uid == *uid {
            Some(&self.query.principal)
        } else if self.query.resource.uid == *uid {
            Some(&self.query.resource)
        } else {
            None
        }
    }

    fn is_in(&self, uid: &Uid, group: &Uid) -> bool {
        uid == group
            || match self.entity(uid) {
                Some(entity) => entity.ancestors.contains(group),
                None => self
                    .actions
                    .get(uid)
                    .is_some_and(|above| above.contains(group)),
            }
    }
}

fn elements<'a>(set: Seen<'a>) -> Result<impl Iterator<Item = Seen<'a>>, Failed> {
    let (values, texts): (&[Value], &[smol_str::SmolStr]) = match set {
        Seen::Set(set) => (set, &[]),
        Seen::Texts(texts) => (&[], texts),
        _ => return Err(Failed),
    };
    Ok(values
        .iter()
        .map(Seen::from)
        .chain(texts.iter().map(|t| Seen::Text(t))))
}

fn contains(set: Seen<'_>, item: Seen<'_>) -> Result<bool, Failed> {
    match (set, item) {
        (Seen::Set(set), item) => Ok(set.iter().any(|v| equal(v.into(), item))),
        (Seen::Texts(texts), Seen::Text(text)) => {
            Ok(texts.binary_search_by(|t| t.as_str().cmp(text)).is_ok())
        }
        (Seen::Texts(_), _) => Ok(false),
        _ => Err(Failed),
    }
}

fn equal(a: Seen<'_>, b: Seen<'_>) -> bool {
    match (a, b) {
        (Seen::Bool(a), Seen::Bool(b)) => a == b,
        (Seen::Long(a), Seen::Long(b)) => a == b,
        (Seen::Text(a), Seen::Text(b)) => a == b,
        (Seen::Uid(a), Seen::Uid(b)) => a == b,
        (Seen::Record(a), Seen::Record(b)) => a == b,
        (Seen::Set(_) | Seen::Texts(_), Seen::Set(_) | Seen::Texts(_)) => {
            within(a, b) && within(b, a)
        }
        (
            Seen::Bool(_)
            | Seen::Long(_)
            | Seen::Text(_)
            | Seen::Uid(_)
            | Seen::Record(_)
            | Seen::Set(_)
            | Seen::Texts(_),
            _,
        ) => false,
    }
}

fn within(a: Seen<'_>, b: Seen<'_>) -> bool {
    elements(a).is_ok_and(|mut all| all.all(|item| contains(b, item).unwrap_or(false)))
}

/// Whether `text` matches the pattern. Linear in practice, quadratic at worst, never exponential.
fn like(text: &str, pattern: &[Glob]) -> bool {
    let text: Vec<char> = text.chars().collect();
    let (mut t, mut p) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some(Glob::Any) => {
                star = Some((p, t));
                p += 1;
            }
            Some(Glob::Character(c)) if *c == text[t] => {
                t += 1;
                p += 1;
            }
            _ => match star {
                Some((at, from)) => {
                    star = Some((at, from + 1));
                    t = from + 1;
                    p = at + 1;
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|g| *g == Glob::Any)
}

/// The symbols below a variable that an expression reads, as whole paths.
pub fn reads(expression: &Expression, found: &mut Vec<(Variable, Vec<Symbol>)>) {
    expression.walk(&mut |part| {
        let path = match part {
            Expression::Has(below, name) => below.path().map(|(variable, mut path)| {
                path.push(*name);
                (variable, path)
            }),
            other => other.path(),
        };
        if let Some(path) = path
            && !path.1.is_empty()
        {
            found.push(path);
        }
    });
}

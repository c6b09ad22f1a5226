//! The values that questions are made of: flat, borrowed where possible, compared without allocation.

use std::collections::HashMap;

use smol_str::SmolStr;

/// A name of an attribute or an entity type, as a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Symbol(u16);

impl Symbol {
    pub(crate) fn index(self) -> usize {
        usize::from(self.0)
    }
}

/// The names that a set of policies and its questions use.
#[derive(Clone, Debug, Default)]
pub struct Names {
    by_name: HashMap<SmolStr, Symbol>,
    by_symbol: Vec<SmolStr>,
    overflowed: bool,
}

impl Names {
    /// The symbol of `name`, which is added if it is new.
    pub fn symbol(&mut self, name: &str) -> Symbol {
        if let Some(symbol) = self.by_name.get(name) {
            return *symbol;
        }
        let Ok(next) = u16::try_from(self.by_symbol.len()) else {
            self.overflowed = true;
            return Symbol(u16::MAX);
        };
        let symbol = Symbol(next);
        self.by_symbol.push(name.into());
        self.by_name.insert(name.into(), symbol);
        symbol
    }

    /// The symbol of `name`, if there is one.
    pub fn get(&self, name: &str) -> Option<Symbol> {
        self.by_name.get(name).copied()
    }

    /// The name of a symbol.
    pub fn name(&self, symbol: Symbol) -> &str {
        self.by_symbol
            .get(usize::from(symbol.0))
            .map_or("", SmolStr::as_str)
    }

    pub(crate) fn overflowed(&self) -> bool {
        self.overflowed
    }
}

/// The identifier of an entity.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Uid {
    /// Its type.
    pub kind: Symbol,
    /// Its name within the type.
    pub id: SmolStr,
}

/// An entity of the question: its attributes and everything it is `in`.
#[derive(Clone, Debug)]
pub struct Entity {
    /// Its identifier.
    pub uid: Uid,
    /// Its attributes.
    pub attributes: Record,
    /// Every entity above it, however far.
    pub ancestors: Vec<Uid>,
}

impl Entity {
    /// Whether it is `uid` or lies below it.
    pub fn is_in(&self, uid: &Uid) -> bool {
        self.uid == *uid || self.ancestors.contains(uid)
    }
}

/// A Cedar value.
#[derive(Clone, Debug)]
pub enum Value {
    /// A truth value.
    Bool(bool),
    /// A number.
    Long(i64),
    /// Text.
    Text(SmolStr),
    /// A reference to an entity.
    Entity(Uid),
    /// A set; the order of its elements means nothing, and repeated ones count once.
    Set(Box<[Value]>),
    /// A record.
    Record(Record),
}

impl PartialEq for Value {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Bool(a), Self::Bool(b)) => a == b,
            (Self::Long(a), Self::Long(b)) => a == b,
            (Self::Text(a), Self::Text(b)) => a == b,
            (Self::Entity(a), Self::Entity(b)) => a == b,
            (Self::Set(a), Self::Set(b)) => {
                a.iter().all(|x| b.contains(x)) && b.iter().all(|x| a.contains(x))
            }
            (Self::Record(a), Self::Record(b)) => a == b,
            (
                Self::Bool(_)
                | Self::Long(_)
                | Self::Text(_)
                | Self::Entity(_)
                | Self::Set(_)
                | Self::Record(_),
                _,
            ) => false,
        }
    }
}

/// Attributes by name. There are few, so that a scan is faster than a map.
#[derive(Clone, Debug, Default)]
pub struct Record(Vec<(Symbol, Value)>);

impl Record {
    /// An empty record with room for `capacity` attributes.
    pub fn with_capacity(capacity: usize) -> Self {
        Self(Vec::with_capacity(capacity))
    }

    /// Adds an attribute. The name must be new to the record.
    pub fn push(&mut self, name: Symbol, value: Value) {
        debug_assert!(self.get(name).is_none(), "an attribute is set once");
        self.0.push((name, value));
    }

    /// The attribute of this name.
    pub fn get(&self, name: Symbol) -> Option<&Value> {
        self.0.iter().find(|(n, _)| *n == name).map(|(_, v)| v)
    }

    /// The attribute of this name, to change it.
    pub fn get_mut(&mut self, name: Symbol) -> Option<&mut Value> {
        self.0.iter_mut().find(|(n, _)| *n == name).map(|(_, v)| v)
    }

    /// Every attribute.
    pub fn iter(&self) -> impl Iterator<Item = (Symbol, &Value)> {
        self.0.iter().map(|(n, v)| (*n, v))
    }
}

impl PartialEq for Record {
    fn eq(&self, other: &Self) -> bool {
        self.0.len() == other.0.len()
            && self
                .0
                .iter()
                .all(|(n, v)| other.get(*n).is_some_and(|w| v == w))
    }
}

impl FromIterator<(Symbol, Value)> for Record {
    fn from_iter<I: IntoIterator<Item = (Symbol, Value)>>(iter: I) -> Self {
        Self(iter.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_and_records_compare_without_order() {
        let mut names = Names::default();
        let (a, b) = (names.symbol("a"), names.symbol("b"));
        let set = |items: &[i64]| Value::Set(items.iter().map(|i| Value::Long(*i)).collect());
        assert_eq!(set(&[1, 2, 2]), set(&[2, 1]));
        assert_ne!(set(&[1]), set(&[1, 2]));
        let left: Record = [(a, Value::Bool(true)), (b, set(&[1]))]
            .into_iter()
            .collect();
        let right: Record = [(b, set(&[1, 1])), (a, Value::Bool(true))]
            .into_iter()
            .collect();
        assert_eq!(left, right);
        assert_ne!(Value::Long(1), Value::Text("1".into()));
    }
}

//! Cedar conditions in a form that evaluates quickly.
//!
//! The input is Cedar's own JSON form of a policy, which Cedar parsed and validated; nothing here parses text.

use serde_json::Value as Json;
use smol_str::SmolStr;

use super::value::{Names, Record, Symbol, Uid, Value};

/// A condition or a part of one.
#[derive(Clone, Debug)]
pub enum Expression {
    /// A constant.
    Constant(Value),
    /// A constant set of texts, sorted, for quick membership.
    Texts(Box<[SmolStr]>),
    /// `principal`, `action`, `resource` or `context`.
    Variable(Variable),
    /// `e.name`
    Attribute(Box<Self>, Symbol),
    /// `e has name`
    Has(Box<Self>, Symbol),
    /// `!e`
    Not(Box<Self>),
    /// `-e`
    Negate(Box<Self>),
    /// `a && b`
    And(Box<[Self; 2]>),
    /// `a || b`
    Or(Box<[Self; 2]>),
    /// `if a then b else c`
    If(Box<[Self; 3]>),
    /// `a == b`
    Equal(Box<[Self; 2]>),
    /// `a < b`
    Less(Box<[Self; 2]>),
    /// `a <= b`
    LessOrEqual(Box<[Self; 2]>),
    /// `a + b`, `a - b`, `a * b`
    Arithmetic(Operator, Box<[Self; 2]>),
    /// `a in b`
    In(Box<[Self; 2]>),
    /// `a in [x, y]`, whose elements need not be constant
    InAny(Box<Self>, Box<[Self]>),
    /// `a.contains(b)`
    Contains(Box<[Self; 2]>),
    /// `a.containsAll(b)`
    ContainsAll(Box<[Self; 2]>),
    /// `a.containsAny(b)`
    ContainsAny(Box<[Self; 2]>),
    /// `e.isEmpty()`
    IsEmpty(Box<Self>),
    /// `e is T`
    Is(Box<Self>, Symbol),
    /// `e like "a*b"`
    Like(Box<Self>, Box<[Glob]>),
}

/// What a question is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Variable {
    /// Who.
    Principal,
    /// What.
    Action,
    /// To what.
    Resource,
    /// Under which circumstances.
    Context,
}

/// Arithmetic on numbers; overflow is an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    /// `+`
    Add,
    /// `-`
    Subtract,
    /// `*`
    Multiply,
}

/// A piece of a `like` pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Glob {
    /// `*`
    Any,
    /// One character.
    Character(char),
}

/// A construct that only Cedar evaluates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsupported(pub String);

/// Why a condition was not compiled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CompileError {
    /// It is valid, but only Cedar evaluates it.
    Unsupported(Unsupported),
    /// It is not Cedar's JSON form.
    Malformed(String),
}

/// How deep a condition may nest; deeper ones are left to Cedar, which has its own guard.
const DEPTH_MAX: usize = 200;

/// The conditions of a policy in Cedar's JSON form, split at their outermost `&&`: all of them must hold.
pub fn conditions(policy: &Json, names: &mut Names) -> Result<Vec<Expression>, CompileError> {
    let list = policy
        .get("conditions")
        .and_then(Json::as_array)
        .map(Vec::as_slice)
        .unwrap_or_default();
    let mut all = Vec::new();
    for condition in list {
        let body = condition
            .get("body")
            .ok_or_else(|| malformed("a condition without body"))?;
        let expression = compile(body, names, 0)?;
        match condition.get("kind").and_then(Json::as_str) {
            Some("when") => split(expression, &mut all),
            Some("unless") => split(negated(expression), &mut all),
            _ => return Err(malformed("a condition of unknown kind")),
        }
    }
    Ok(all)
}

/// `!(a || b)` becomes `!a && !b`, so that explanations can name each: both fail and stop in the same cases.
fn negated(expression: Expression) -> Expression {
    match expression {
        Expression::Or(sides) => {
            let [left, right] = *sides;
            Expression::And(Box::new([negated(left), negated(right)]))
        }
        other => Expression::Not(Box::new(other)),
    }
}

fn split(expression: Expression, all: &mut Vec<Expression>) {
    match expression {
        Expression::And(sides) => {
            let [left, right] = *sides;
            split(left, all);
            split(right, all);
        }
        other => all.push(other),
    }
}

fn malformed(what: &str) -> CompileError {
    CompileError::Malformed(what.to_owned())
}

fn unsupported(what: &str) -> CompileError {
    CompileError::Unsupported(Unsupported(what.to_owned()))
}

fn compile(json: &Json, names: &mut Names, depth: usize) -> Result<Expression, CompileError> {
    if depth > DEPTH_MAX {
        return Err(unsupported("a deeply nested condition"));
    }
    let (operator, body) = json
        .as_object()
        .filter(|o| o.len() == 1)
        .and_then(|o| o.iter().next())
        .ok_or_else(|| malformed("an expression that is not an object with one key"))?;
    let mut part = |name: &str| -> Result<Expression, CompileError> {
        let part = body
            .get(name)
            .ok_or_else(|| malformed("an operand is missing"))?;
        compile(part, names, depth + 1)
    };
    let mut two = || Ok::<_, CompileError>(Box::new([part("left")?, part("right")?]));
    Ok(match operator.as_str() {
        "Value" => Expression::Constant(constant(body, names)?),
        "Var" => Expression::Variable(match body.as_str() {
            Some("principal") => Variable::Principal,
            Some("action") => Variable::Action,
            Some("resource") => Variable::Resource,
            Some("context") => Variable::Context,
            _ => return Err(malformed("an unknown variable")),
        }),
        "!" => Expression::Not(Box::new(part("arg")?)),
        "neg" => Expression::Negate(Box::new(part("arg")?)),
        "&&" => Expression::And(two()?),
        "||" => Expression::Or(two()?),
        "==" => Expression::Equal(two()?),
        "!=" => Expression::Not(Box::new(Expression::Equal(two()?))),
        "<" => Expression::Less(two()?),
        "<=" => Expression::LessOrEqual(two()?),
        // Swapping the sides changes which of two failures comes first, never whether there is one.
        ">" => Expression::Less(swapped(two()?)),
        ">=" => Expression::LessOrEqual(swapped(two()?)),
        "+" => Expression::Arithmetic(Operator::Add, two()?),
        "-" => Expression::Arithmetic(Operator::Subtract, two()?),
        "*" => Expression::Arithmetic(Operator::Multiply, two()?),
        "in" => {
            let left = part("left")?;
            match body
                .get("right")
                .and_then(|r| r.get("Set"))
                .and_then(Json::as_array)
            {
                Some(items) => Expression::InAny(
                    Box::new(left),
                    items
                        .iter()
                        .map(|i| compile(i, names, depth + 1))
                        .collect::<Result<_, _>>()?,
                ),
                None => Expression::In(Box::new([left, part("right")?])),
            }
        }
        "contains" => Expression::Contains(two()?),
        "containsAll" => Expression::ContainsAll(two()?),
        "containsAny" => Expression::ContainsAny(two()?),
        "isEmpty" => Expression::IsEmpty(Box::new(part("arg")?)),
        "." => {
            let left = part("left")?;
            let name = body.get("attr").and_then(Json::as_str);
            let name = name.ok_or_else(|| malformed("an attribute without name"))?;
            Expression::Attribute(Box::new(left), names.symbol(name))
        }
        "has" => has(part("left")?, body, names)?,
        "is" => {
            let left = part("left")?;
            let kind = body.get("entity_type").and_then(Json::as_str);
            let kind = kind.ok_or_else(|| malformed("`is` without a type"))?;
            let is = Expression::Is(Box::new(left.clone()), names.symbol(kind));
            match body.get("in") {
                None => is,
                Some(group) => {
                    let group = compile(group, names, depth + 1)?;
                    Expression::And(Box::new([is, Expression::In(Box::new([left, group]))]))
                }
            }
        }
        "like" => Expression::Like(Box::new(part("left")?), pattern(body)?),
        "if-then-else" => Expression::If(Box::new([part("if")?, part("then")?, part("else")?])),
        "Set" => {
            let items = body
                .as_array()
                .ok_or_else(|| malformed("a set that is no list"))?;
            let items = items
                .iter()
                .map(|i| compile(i, names, depth + 1))
                .collect::<Result<Vec<_>, _>>()?;
            set(items)?
        }
        "Record" => {
            let fields = body
                .as_object()
                .ok_or_else(|| malformed("a record that is no object"))?;
            let mut record = Record::with_capacity(fields.len());
            for (name, field) in fields {
                match compile(field, names, depth + 1)? {
                    Expression::Constant(value) => record.push(names.symbol(name), value),
                    _ => return Err(unsupported("a record with computed fields")),
                }
            }
            Expression::Constant(Value::Record(record))
        }
        other => return Err(unsupported(other)),
    })
}

fn swapped(mut sides: Box<[Expression; 2]>) -> Box<[Expression; 2]> {
    sides.reverse();
    sides
}

fn has(left: Expression, body: &Json, names: &mut Names) -> Result<Expression, CompileError> {
    let path: Vec<&str> = match body.get("attr") {
        Some(Json::String(name)) => vec![name],
        Some(Json::Array(path)) => path
            .iter()
            .map(|p| {
                p.as_str()
                    .ok_or_else(|| malformed("`has` with a strange path"))
            })
            .collect::<Result<_, _>>()?,
        _ => return Err(malformed("`has` without a name")),
    };
    let (first, rest) = path
        .split_first()
        .ok_or_else(|| malformed("`has` with an empty path"))?;
    let first = names.symbol(first);
    let mut whole = Expression::Has(Box::new(left.clone()), first);
    let mut reached = Expression::Attribute(Box::new(left), first);
    for name in rest {
        let name = names.symbol(name);
        let next = Expression::Has(Box::new(reached.clone()), name);
        whole = Expression::And(Box::new([whole, next]));
        reached = Expression::Attribute(Box::new(reached), name);
    }
    Ok(whole)
}

fn set(items: Vec<Expression>) -> Result<Expression, CompileError> {
    let mut values = Vec::with_capacity(items.len());
    for item in items {
        match item {
            Expression::Constant(value) => values.push(value),
            Expression::Texts(texts) => {
                values.push(Value::Set(texts.into_iter().map(Value::Text).collect()));
            }
            _ => return Err(unsupported("a set with computed elements")),
        }
    }
    let texts = values
        .iter()
        .map(|v| {
            if let Value::Text(t) = v {
                Some(t.clone())
            } else {
                None
            }
        })
        .collect::<Option<Vec<_>>>();
    Ok(match texts {
        Some(mut texts) if !texts.is_empty() => {
            texts.sort_unstable();
            texts.dedup();
            Expression::Texts(texts.into_boxed_slice())
        }
        _ => Expression::Constant(Value::Set(values.into_boxed_slice())),
    })
}

fn constant(json: &Json, names: &mut Names) -> Result<Value, CompileError> {
    match json {
        Json::Bool(b) => Ok(Value::Bool(*b)),
        Json::Number(n) => n
            .as_i64()
            .map(Value::Long)
            .ok_or_else(|| malformed("a number that is no 64-bit integer")),
        Json::String(s) => Ok(Value::Text(s.as_str().into())),
        Json::Object(o) if o.len() == 1 => {
            let entity = o
                .get("__entity")
                .ok_or_else(|| unsupported("a constant record"))?;
            let (kind, id) = (entity.get("type"), entity.get("id"));
            match (kind.and_then(Json::as_str), id.and_then(Json::as_str)) {
                (Some(kind), Some(id)) => Ok(Value::Entity(Uid {
                    kind: names.symbol(kind),
                    id: id.into(),
                })),
                _ => Err(malformed("an entity without type or id")),
            }
        }
        Json::Object(_) | Json::Array(_) | Json::Null => Err(unsupported("a structured constant")),
    }
}

fn pattern(body: &Json) -> Result<Box<[Glob]>, CompileError> {
    let pieces = body.get("pattern").and_then(Json::as_array);
    let pieces = pieces.ok_or_else(|| malformed("`like` without a pattern"))?;
    let mut glob = Vec::new();
    for piece in pieces {
        match piece {
            Json::String(s) if s == "Wildcard" => glob.push(Glob::Any),
            Json::Object(o) => {
                let text = o.get("Literal").and_then(Json::as_str);
                let text = text.ok_or_else(|| malformed("`like` with a strange pattern"))?;
                glob.extend(text.chars().map(Glob::Character));
            }
            _ => return Err(malformed("`like` with a strange pattern")),
        }
    }
    Ok(glob.into_boxed_slice())
}

impl Expression {
    /// Calls `visit` on this expression and every part of it.
    pub fn walk(&self, visit: &mut dyn FnMut(&Self)) {
        visit(self);
        match self {
            Self::Constant(_) | Self::Texts(_) | Self::Variable(_) => {}
            Self::Attribute(e, _)
            | Self::Has(e, _)
            | Self::Not(e)
            | Self::Negate(e)
            | Self::IsEmpty(e)
            | Self::Is(e, _)
            | Self::Like(e, _) => e.walk(visit),
            Self::And(sides)
            | Self::Or(sides)
            | Self::Equal(sides)
            | Self::Less(sides)
            | Self::LessOrEqual(sides)
            | Self::Arithmetic(_, sides)
            | Self::In(sides)
            | Self::Contains(sides)
            | Self::ContainsAll(sides)
            | Self::ContainsAny(sides) => sides.iter().for_each(|e| e.walk(visit)),
            Self::If(parts) => parts.iter().for_each(|e| e.walk(visit)),
            Self::InAny(e, items) => {
                e.walk(visit);
                items.iter().for_each(|e| e.walk(visit));
            }
        }
    }

    /// The path of an attribute below a variable, such as `context.relation.treating`.
    pub fn path(&self) -> Option<(Variable, Vec<Symbol>)> {
        match self {
            Self::Variable(variable) => Some((*variable, Vec::new())),
            Self::Attribute(below, name) => {
                let (variable, mut path) = below.path()?;
                path.push(*name);
                Some((variable, path))
            }
            _ => None,
        }
    }

    /// Whether it speaks of the principal and of nothing else.
    pub fn is_about_principal(&self) -> bool {
        let (mut principal, mut other) = (false, false);
        self.walk(&mut |part| match part {
            Self::Variable(Variable::Principal) => principal = true,
            Self::Variable(Variable::Action | Variable::Resource | Variable::Context) => {
                other = true
            }
            _ => {}
        });
        principal && !other
    }
}

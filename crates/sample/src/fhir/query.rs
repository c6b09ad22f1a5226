//! Search parameters of a request, understood or refused.

use http::StatusCode;
use smol_str::SmolStr;

use super::date::{Prefix, Range};
use super::fault::Fault;
use super::parameters::{self, Found, Kind, Type};

/// Parameters in one request.
const PARAMETERS_MAX: usize = 100;
/// Alternatives (`a,b,c`) of one parameter.
const VALUES_MAX: usize = 200;
/// Entries on a page, unless asked for otherwise.
pub(crate) const COUNT_DEFAULT: usize = 50;
/// Entries on a page at most.
pub(crate) const COUNT_MAX: usize = 500;

/// A search, ready to be run.
#[derive(Clone, Debug)]
pub(crate) struct Search {
    /// Types searched.
    pub(crate) types: Vec<&'static Type>,
    /// Only what lies in this patient's compartment.
    pub(crate) compartment: Option<SmolStr>,
    /// All of them must hold.
    pub(crate) criteria: Vec<Criterion>,
    pub(crate) sort: Vec<Order>,
    pub(crate) count: usize,
    /// Only the number is wanted.
    pub(crate) count_only: bool,
    pub(crate) shape: Shape,
    /// What was understood, for the `self` link.
    pub(crate) understood: Vec<(String, String)>,
}

/// How the entries of an answer look, on each page.
#[derive(Clone, Debug, Default)]
pub(crate) struct Shape {
    pub(crate) count: usize,
    pub(crate) total: Option<usize>,
    pub(crate) history: bool,
    pub(crate) elements: Vec<SmolStr>,
    pub(crate) includes: Vec<Include>,
    pub(crate) reverse: Vec<Include>,
}

/// One condition: the resource has one of the values (or, negated, none of them).
#[derive(Clone, Debug)]
pub(crate) struct Criterion {
    pub(crate) field: Field,
    pub(crate) test: Test,
}

/// What a condition looks at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Field {
    Id,
    LastUpdated,
    Security,
    /// The search parameter of this name, with its number in each of the searched types.
    Parameter(&'static str),
}

/// What a condition asks.
#[derive(Clone, Debug)]
pub(crate) enum Test {
    Missing(bool),
    Any(Vec<Wanted>),
    None(Vec<Wanted>),
}

/// One value asked for.
#[derive(Clone, Debug)]
pub(crate) enum Wanted {
    Id(SmolStr),
    /// `system` is absent if any will do, empty if there must be none.
    Token {
        system: Option<SmolStr>,
        code: Option<SmolStr>,
    },
    Starts(String),
    Contains(String),
    Exactly(String),
    Reference(SmolStr),
    /// An id of whatever type.
    ReferenceId(SmolStr),
    Date(Prefix, Range),
}

/// One key of the order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Order {
    pub(crate) field: Field,
    pub(crate) descending: bool,
}

/// Resources that come along.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Include {
    /// The type that refers.
    pub(crate) source: &'static str,
    /// Through this parameter; `*`: any.
    pub(crate) parameter: SmolStr,
    /// To this type; absent: any.
    pub(crate) target: Option<SmolStr>,
    /// Again on what came along.
    pub(crate) iterate: bool,
}

/// Splits a query or form into decoded pairs.
pub(crate) fn pairs(query: &str) -> Result<Vec<(String, String)>, Fault> {
    let pairs: Vec<(String, String)> = form_urlencoded::parse(query.as_bytes())
        .take(PARAMETERS_MAX + 1)
        .map(|(name, value)| (name.into_owned(), value.into_owned()))
        .collect();
    if pairs.len() > PARAMETERS_MAX {
        return Err(Fault::new(
            StatusCode::BAD_REQUEST,
            "too-costly",
            format!("more than `{PARAMETERS_MAX}` parameters"),
        ));
    }
    Ok(pairs)
}

/// Understands a search.
///
/// A parameter that the server does not know is refused unless the client says `Prefer: handling=lenient`: leaving it
/// out would find more than was asked for.
pub(crate) fn understand(
    kept: Option<&'static Type>,
    compartment: Option<SmolStr>,
    pairs: &[(String, String)],
    lenient: bool,
) -> Result<Search, Fault> {
    let mut search = Search {
        types: kept.map_or_else(|| parameters::TYPES.iter().collect(), |t| vec![t]),
        compartment,
        criteria: Vec::new(),
        sort: Vec::new(),
        count: COUNT_DEFAULT,
        count_only: false,
        shape: Shape::default(),
        understood: Vec::new(),
    };
    if kept.is_none() {
        restrict_types(&mut search, pairs)?;
    }
    let mut total = true;
    for (name, value) in pairs {
        let understood = match name.as_str() {
            "_type" => kept.is_none(),
            "_format" | "_pretty" => continue,
            "_count" => {
                let count: usize = value
                    .parse()
                    .map_err(|_| Fault::invalid("`_count` is not a number"))?;
                // Nothing but the number, as R4 wants it.
                search.count_only |= count == 0;
                search.count = count.clamp(1, COUNT_MAX);
                true
            }
            "_total" => match value.as_str() {
                "none" => {
                    total = false;
                    true
                }
                "estimate" | "accurate" => true,
                _ => {
                    return Err(Fault::invalid(
                        "`_total` is none of `none`, `estimate`, `accurate`",
                    ));
                }
            },
            "_summary" => match value.as_str() {
                "count" => {
                    search.count_only = true;
                    true
                }
                // There are no narratives to leave out.
                "false" | "data" => true,
                _ => {
                    return Err(Fault::not_supported(
                        "of `_summary`, the server offers `count`, `data` and `false`",
                    ));
                }
            },
            "_elements" => {
                search.shape.elements = split(value)?.iter().map(SmolStr::from).collect();
                true
            }
            "_sort" => {
                search.sort = orders(&search.types, value)?;
                true
            }
            "_include" | "_include:iterate" => {
                let include = include(value, name.ends_with(":iterate"))?;
                search.shape.includes.push(include);
                true
            }
            "_revinclude" | "_revinclude:iterate" => {
                let include = include(value, name.ends_with(":iterate"))?;
                search.shape.reverse.push(include);
                true
            }
            _ => match criterion(&search.types, name, value)? {
                Some(criterion) => {
                    search.criteria.push(criterion);
                    true
                }
                None => false,
            },
        };
        if understood {
            search.understood.push((name.clone(), value.clone()));
        } else if !lenient {
            return Err(Fault::not_supported(
                "a search parameter is unknown for this type; the metadata list those that are known",
            ));
        }
    }
    search.shape.count = search.count;
    search.shape.total = total.then_some(0);
    Ok(search)
}

fn restrict_types(search: &mut Search, pairs: &[(String, String)]) -> Result<(), Fault> {
    for (_, value) in pairs.iter().filter(|(name, _)| name == "_type") {
        let wanted = split(value)?;
        if wanted
            .iter()
            .any(|name| parameters::type_named(name).is_none())
        {
            return Err(Fault::not_supported(
                "`_type` names a type that this server does not keep",
            ));
        }
        search
            .types
            .retain(|t| wanted.iter().any(|name| name == t.name));
    }
    Ok(())
}

/// Splits at `,`, minding `\,`, `\|`, `\$` and `\\`. The `|` stays escaped for the token reader.
fn split(value: &str) -> Result<Vec<String>, Fault> {
    let mut parts = vec![String::new()];
    let mut escaped = false;
    for character in value.chars() {
        let last = parts.len() - 1;
        match (escaped, character) {
            (true, '|') => parts[last].push_str("\\|"),
            (true, _) => parts[last].push(character),
            (false, '\\') => {
                escaped = true;
                continue;
            }
            (false, ',') => parts.push(String::new()),
            (false, _) => parts[last].push(character),
        }
        escaped = false;
    }
    parts.retain(|part| !part.is_empty());
    if parts.len() > VALUES_MAX {
        return Err(Fault::new(
            StatusCode::BAD_REQUEST,
            "too-costly",
            format!("more than `{VALUES_MAX}` values of one parameter"),
        ));
    }
    Ok(parts)
}

fn field(types: &[&'static Type], name: &str) -> Option<(Field, Kind)> {
    match name {
        "_id" => return Some((Field::Id, Kind::Token)),
        "_lastUpdated" => return Some((Field::LastUpdated, Kind::Date)),
        "_security" => return Some((Field::Security, Kind::Token)),
        _ => {}
    }
    // Across types, a parameter counts only if each of them has it: else it would be passed over in some.
    let (_, first) = types.first()?.parameter(name)?;
    types
        .iter()
        .all(|t| t.parameter(name).is_some_and(|(_, p)| p.kind == first.kind))
        .then_some((Field::Parameter(first.name), first.kind))
}

fn criterion(types: &[&'static Type], name: &str, value: &str) -> Result<Option<Criterion>, Fault> {
    let (base, modifier) = match name.split_once(':') {
        Some((base, modifier)) => (base, Some(modifier)),
        None => (name, None),
    };
    if base.contains('.') || base == "_has" || base == "_filter" {
        return Err(Fault::not_supported("chained searches are not supported"));
    }
    let Some((field, kind)) = field(types, base) else {
        return Ok(None);
    };
    if modifier == Some("missing") {
        let missing = match value {
            "true" => true,
            "false" => false,
            _ => return Err(Fault::invalid("`:missing` is neither `true` nor `false`")),
        };
        return Ok(Some(Criterion {
            field,
            test: Test::Missing(missing),
        }));
    }
    let wanted = split(value)?
        .iter()
        .map(|value| wanted(&field, kind, modifier, value))
        .collect::<Result<Vec<_>, Fault>>()?;
    // No value would be no condition, and find everything.
    if wanted.is_empty() {
        return Err(Fault::invalid("a search parameter has no value"));
    }
    let test = if modifier == Some("not") && kind == Kind::Token {
        Test::None(wanted)
    } else {
        Test::Any(wanted)
    };
    Ok(Some(Criterion { field, test }))
}

fn wanted(field: &Field, kind: Kind, modifier: Option<&str>, value: &str) -> Result<Wanted, Fault> {
    let unsupported =
        || Fault::not_supported("the modifier of a search parameter is not supported");
    Ok(match (kind, modifier) {
        (Kind::Token, None | Some("not")) if *field == Field::Id => Wanted::Id(value.into()),
        (Kind::Token, None | Some("not")) => token(value),
        (Kind::Text, None) => Wanted::Starts(parameters::fold(value)),
        (Kind::Text, Some("contains")) => Wanted::Contains(parameters::fold(value)),
        (Kind::Text, Some("exact")) => Wanted::Exactly(value.to_owned()),
        (Kind::Reference, None) => match value.rsplit_once('/') {
            // An absolute URL of this server counts by its tail.
            Some((head, id)) => {
                let type_name = head.rsplit('/').next().unwrap_or(head);
                Wanted::Reference(smol_str::format_smolstr!("{type_name}/{id}"))
            }
            None => Wanted::ReferenceId(value.into()),
        },
        (Kind::Reference, Some(type_name)) if parameters::type_named(type_name).is_some() => {
            Wanted::Reference(smol_str::format_smolstr!("{type_name}/{value}"))
        }
        (Kind::Date, None) => {
            let (prefix, rest) = Prefix::split(value);
            let range =
                Range::parse(rest).ok_or_else(|| Fault::invalid("a date is not a FHIR date"))?;
            Wanted::Date(prefix, range)
        }
        _ => return Err(unsupported()),
    })
}

/// `code`, `system|code`, `|code` or `system|`.
fn token(value: &str) -> Wanted {
    let bar = value
        .char_indices()
        .find(|(at, c)| *c == '|' && !value[..*at].ends_with('\\'))
        .map(|(at, _)| at);
    let plain = |text: &str| SmolStr::from(text.replace("\\|", "|"));
    match bar {
        None => Wanted::Token {
            system: None,
            code: Some(plain(value)),
        },
        Some(at) => {
            let code = &value[at + 1..];
            Wanted::Token {
                system: Some(plain(&value[..at])),
                code: (!code.is_empty()).then(|| plain(code)),
            }
        }
    }
}

fn orders(types: &[&'static Type], value: &str) -> Result<Vec<Order>, Fault> {
    split(value)?
        .iter()
        .map(|key| {
            let (descending, name) = match key.strip_prefix('-') {
                Some(name) => (true, name),
                None => (false, key.as_str()),
            };
            field(types, name)
                .map(|(field, _)| Order { field, descending })
                .ok_or_else(|| Fault::not_supported("`_sort` names an unknown search parameter"))
        })
        .collect()
}

fn include(value: &str, iterate: bool) -> Result<Include, Fault> {
    let mut parts = value.split(':');
    let source = parts.next().and_then(parameters::type_named);
    let (Some(source), Some(parameter)) = (source, parts.next()) else {
        return Err(Fault::not_supported(
            "an include is not of the form `Type:parameter`",
        ));
    };
    let known = parameter == "*"
        || source
            .parameter(parameter)
            .is_some_and(|(_, p)| p.kind == Kind::Reference);
    let target = parts.next();
    let target_known = target.is_none_or(|t| parameters::type_named(t).is_some());
    if !known || !target_known || parts.next().is_some() {
        return Err(Fault::not_supported(
            "an include names an unknown parameter or type",
        ));
    }
    Ok(Include {
        source: source.name,
        parameter: parameter.into(),
        target: target.map(SmolStr::from),
        iterate,
    })
}

impl Wanted {
    /// Whether `found` is what is wanted. `now` is for `ap` alone.
    pub(crate) fn is(&self, found: &Found, now: i64) -> bool {
        match (self, found) {
            (Self::Token { system, code }, Found::Token { system: s, code: c }) => {
                system.as_ref().is_none_or(|wanted| wanted == s)
                    && code.as_ref().is_none_or(|wanted| wanted == c)
            }
            (Self::Starts(wanted), Found::Text { folded, .. }) => {
                folded.starts_with(wanted.as_str())
            }
            (Self::Contains(wanted), Found::Text { folded, .. }) => {
                folded.contains(wanted.as_str())
            }
            (Self::Exactly(wanted), Found::Text { exact, .. }) => exact == wanted,
            (Self::Reference(wanted), Found::Reference(to)) => to == wanted,
            (Self::ReferenceId(wanted), Found::Reference(to)) => {
                to.split_once('/').is_some_and(|(_, id)| id == wanted)
            }
            (Self::Date(prefix, wanted), Found::Date(has)) => prefix.admits(*wanted, *has, now),
            _ => false,
        }
    }
}

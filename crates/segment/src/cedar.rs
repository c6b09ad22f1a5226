//! Rules as Cedar policies, and Cedar policies as a matrix.
//!
//! A segmentation policy is a `permit` or `forbid` on `net:connect` whose scope names at most a group on either side and
//! whose conditions speak of `resource.protocol` and `resource.port` only: what an enforcement point of the network can
//! know. Anything else is refused with the policy's name: what cannot be compiled must not be dropped in silence.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::net::IpAddr;
use std::str::FromStr;
use std::sync::LazyLock;

use cedar_policy::{PolicySet, Schema, ValidationMode, Validator};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use smol_str::SmolStr;

use domain::net::Mac;
use domain::{Criticality, DeviceId};

use crate::groups::{Basis, EVERYONE, UNKNOWN};
use crate::matrix::{Cell, Group, GroupId, Matrix, Mode, Prefix, Service};
use crate::ports::PortSet;
use crate::service;

/// Most cells that a policy may expand to.
pub const CELLS_MAX: usize = 8_000_000;
/// The hospital's schema, read once.
static SCHEMA: LazyLock<Result<Schema, String>> = LazyLock::new(|| {
    Schema::from_cedarschema_str(include_str!("../../../packs/hospital/schema.cedarschema"))
        .map(|(schema, _)| schema)
        .map_err(|e| e.to_string())
});
/// Most conditions within each other.
const DEPTH_MAX: usize = 200;

/// A group as a plan keeps it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GroupRow {
    /// Its Cedar identifier.
    pub entity: SmolStr,
    /// Its name in hospital words.
    pub name: String,
    /// The group that it is part of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<SmolStr>,
    /// Why it is a group.
    pub basis: Basis,
    /// How much harm a cut does, at worst, to one of its devices.
    pub criticality: Criticality,
    /// How many devices it has, those of its parts included.
    pub devices: u32,
    /// Prefixes whose addresses belong to it but for devices that are listed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub prefixes: Vec<Prefix>,
}

/// A device as a plan keeps it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeviceRow {
    /// Its identifier.
    pub id: DeviceId,
    /// What people call it.
    pub name: SmolStr,
    /// The deepest group that it is in.
    pub group: SmolStr,
    /// How much harm a cut does.
    pub criticality: Criticality,
    /// Addresses.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<IpAddr>,
    /// MAC addresses.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub macs: Vec<Mac>,
}

impl DeviceRow {
    /// The Cedar identifier of the group of this device alone.
    pub fn entity(&self) -> SmolStr {
        device_entity(&self.id)
    }
}

/// The Cedar identifier of the group of one device alone.
pub fn device_entity(id: &DeviceId) -> SmolStr {
    smol_str::format_smolstr!("device/{}", id.as_str())
}

/// A pair of groups that is enforced. Everything else is observed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Enforced {
    /// Who opens.
    pub from: SmolStr,
    /// Who is asked.
    pub to: SmolStr,
    /// Who said yes to cutting what no rule permits; without a name pairs with a life-critical device stay observed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub yes: Option<String>,
}

/// Why policies do not compile.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CompileError {
    /// It is not Cedar, or not of the hospital's schema.
    #[error("the segmentation policy does not validate: {0}")]
    Invalid(String),
    /// A policy says what no enforcement point of the network can know.
    #[error("policy `{policy}` cannot be compiled for the network: {why}")]
    Beyond {
        /// Its id.
        policy: String,
        /// What is beyond.
        why: String,
    },
    /// A policy names a group that the plan does not have.
    #[error(
        "policy `{policy}` names the group `{group}`, which the plan does not have: propose again"
    )]
    NoSuchGroup {
        /// Its id.
        policy: String,
        /// The group.
        group: String,
    },
    /// A group names a parent that is not there, or is part of itself.
    #[error("the group `{0}` of the plan has no place in the tree of groups")]
    Tree(String),
    /// More groups than can be numbered.
    #[error(
        "the policy needs {0} groups and 65,535 can be numbered: confirm wider rules, so that fewer devices stand alone"
    )]
    Groups(usize),
    /// Too many cells.
    #[error("the policy expands to more than {CELLS_MAX} cells: confirm wider rules")]
    Cells,
    /// The compiled form is not sound; a fault of the compiler's.
    #[error("the compiled matrix is not sound: {0}")]
    Matrix(#[from] crate::matrix::MatrixError),
}

/// One side of a policy's scope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Anybody,
    Group(SmolStr),
}

/// A policy in the words of the network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Clause {
    pub(crate) id: String,
    pub(crate) permit: bool,
    pub(crate) from: Side,
    pub(crate) to: Side,
    pub(crate) ports: PortSet,
    /// The policy itself, for asking Cedar.
    pub(crate) json: Value,
}

/// The Cedar text of a rule.
pub(crate) fn policy_text(
    id: &str,
    reason: &str,
    comment: &str,
    from: &str,
    to: &str,
    services: &[Service],
) -> String {
    let mut text = String::new();
    for line in comment.lines() {
        let _ = writeln!(text, "// {line}");
    }
    let quoted = |s: &str| format!("{s:?}").replace("\\'", "'");
    let _ = write!(
        text,
        "@id({})\n@reason({})\npermit (\n    principal is NetworkDevice in NetworkGroup::{},\n    action == Action::\"net:connect\",\n    resource is NetworkService in NetworkGroup::{}\n)\nwhen {{\n",
        quoted(id),
        quoted(reason),
        quoted(from),
        quoted(to),
    );
    for (n, service) in services.iter().enumerate() {
        let (first, last) = (*service.ports.start(), *service.ports.end());
        let lead = if n == 0 { "    " } else { "    || " };
        let protocol = quoted(&service.transport.to_string());
        let _ = match (first, last) {
            (0, u16::MAX) => writeln!(text, "{lead}resource.protocol == {protocol}"),
            (first, last) if first == last => writeln!(
                text,
                "{lead}(resource.protocol == {protocol} && resource.port == {first})"
            ),
            (first, last) => writeln!(
                text,
                "{lead}(resource.protocol == {protocol} && resource.port >= {first} && resource.port <= {last})"
            ),
        };
    }
    text.push_str("};\n");
    text
}

/// Reads policies into clauses, validated against the hospital's schema.
pub(crate) fn clauses(policy: &str) -> Result<Vec<Clause>, CompileError> {
    let invalid = |e: &dyn std::fmt::Display| CompileError::Invalid(e.to_string());
    let set = PolicySet::from_str(policy).map_err(|e| invalid(&e))?;
    let schema = SCHEMA
        .as_ref()
        .map_err(|e| CompileError::Invalid(e.clone()))?
        .clone();
    let validation = Validator::new(schema).validate(&set, ValidationMode::Strict);
    if let Some(e) = validation.validation_errors().next() {
        return Err(invalid(&e));
    }
    let mut clauses = Vec::new();
    for one in set.policies() {
        let id = one
            .annotation("id")
            .map_or_else(|| one.id().to_string(), ToOwned::to_owned);
        let json = one.to_json().map_err(|e| invalid(&e))?;
        clauses.push(clause(&id, json).map_err(|why| CompileError::Beyond { policy: id, why })?);
    }
    clauses.sort_by(|a, b| a.id.cmp(&b.id));
    Ok(clauses)
}

fn clause(id: &str, json: Value) -> Result<Clause, String> {
    let permit = match json.get("effect").and_then(Value::as_str) {
        Some("permit") => true,
        Some("forbid") => false,
        other => return Err(format!("its effect is {other:?}")),
    };
    match json.pointer("/action/op").and_then(Value::as_str) {
        Some("==") => {
            let action = json.pointer("/action/entity/id").and_then(Value::as_str);
            if action != Some("net:connect") {
                return Err("it is not about `net:connect`".to_owned());
            }
        }
        _ => return Err("write `action == Action::\"net:connect\"`".to_owned()),
    }
    let from = side(&json, "principal", "NetworkDevice")?;
    let to = side(&json, "resource", "NetworkService")?;
    let mut ports = PortSet::all();
    for condition in json
        .get("conditions")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
    {
        let body = condition.get("body").ok_or("a condition has no body")?;
        let holds = expression(body, 0)?;
        ports = match condition.get("kind").and_then(Value::as_str) {
            Some("when") => ports.and(&holds),
            Some("unless") => ports.minus(&holds),
            other => return Err(format!("a condition of kind {other:?}")),
        };
    }
    Ok(Clause {
        id: id.to_owned(),
        permit,
        from,
        to,
        ports,
        json,
    })
}

fn side(json: &Value, variable: &str, kind: &str) -> Result<Side, String> {
    let scope = json.get(variable).ok_or("it has no scope")?;
    let group = |entity: &Value| {
        let of = entity.get("type").and_then(Value::as_str);
        let id = entity.get("id").and_then(Value::as_str);
        match (of, id) {
            (Some("NetworkGroup"), Some(id)) => Ok(Side::Group(id.into())),
            _ => Err(format!("its {variable} is not a `NetworkGroup`")),
        }
    };
    let own_kind = |scope: &Value| {
        (scope.get("entity_type").and_then(Value::as_str) == Some(kind))
            .then_some(())
            .ok_or_else(|| format!("its {variable} is not a `{kind}`"))
    };
    match scope.get("op").and_then(Value::as_str) {
        Some("is") => {
            own_kind(scope)?;
            match scope.pointer("/in/entity") {
                Some(entity) => group(entity),
                None => Ok(Side::Anybody),
            }
        }
        // Without its type a scope would take in people and other resources.
        _ => Err(format!(
            "write `{variable} is {kind}`, with `in NetworkGroup::\"…\"` where it is for one group"
        )),
    }
}

/// The (protocol, port) pairs for which an expression holds.
fn expression(json: &Value, depth: usize) -> Result<PortSet, String> {
    if depth > DEPTH_MAX {
        return Err(format!("its conditions go deeper than {DEPTH_MAX}"));
    }
    let object = json.as_object().ok_or("a condition is not an expression")?;
    let (op, inner) = object.iter().next().ok_or("a condition is empty")?;
    let both = || -> Result<(PortSet, PortSet), String> {
        let part = |name| {
            inner
                .get(name)
                .ok_or_else(|| format!("`{op}` has no {name} side"))
        };
        Ok((
            expression(part("left")?, depth + 1)?,
            expression(part("right")?, depth + 1)?,
        ))
    };
    match op.as_str() {
        "&&" => both().map(|(a, b)| a.and(&b)),
        "||" => both().map(|(a, b)| a.union(&b)),
        "!" => {
            let arg = inner.get("arg").ok_or("`!` has no argument")?;
            Ok(expression(arg, depth + 1)?.complement())
        }
        "Value" => match inner {
            Value::Bool(true) => Ok(PortSet::all()),
            Value::Bool(false) => Ok(PortSet::new()),
            _ => Err("a value stands where a condition should".to_owned()),
        },
        "==" | "!=" | "<" | "<=" | ">" | ">=" => comparison(op, inner),
        other => Err(format!(
            "it uses `{other}`; the network knows `resource.protocol` and `resource.port` only"
        )),
    }
}

fn comparison(op: &str, json: &Value) -> Result<PortSet, String> {
    let attribute = |side: &Value| {
        let of = side.pointer("/./left/Var").and_then(Value::as_str);
        let name = side.pointer("/./attr").and_then(Value::as_str);
        (of == Some("resource")).then(|| name.unwrap_or_default().to_owned())
    };
    let (left, right) = match (json.get("left"), json.get("right")) {
        (Some(left), Some(right)) => (left, right),
        _ => return Err(format!("`{op}` lacks a side")),
    };
    // Written the other way round, the comparison turns.
    let (name, value, op) = match (attribute(left), attribute(right)) {
        (Some(name), None) => (name, right, op),
        (None, Some(name)) => {
            let turned = match op {
                "<" => ">",
                "<=" => ">=",
                ">" => "<",
                ">=" => "<=",
                same => same,
            };
            (name, left, turned)
        }
        _ => {
            return Err(
                "it compares something other than `resource.protocol` or `resource.port` with a constant"
                    .to_owned(),
            );
        }
    };
    let value = value.get("Value").ok_or_else(|| {
        format!("`resource.{name}` is compared with something that is no constant")
    })?;
    match (name.as_str(), op) {
        ("protocol", "==" | "!=") => {
            let text = value.as_str().ok_or("a protocol is a text")?;
            // A text that is no canonical name equals no protocol that is ever asked for.
            let set = service::read_transport(text)
                .filter(|t| t.to_string() == text)
                .map_or_else(PortSet::new, |t| PortSet::of_protocol(service::protocol(t)));
            Ok(if op == "==" { set } else { set.complement() })
        }
        ("port", op) => {
            let n = value.as_i64().ok_or("a port is a number")?;
            let below = |n: i64| {
                // Ports less than n.
                match u16::try_from(n - 1) {
                    Ok(last) => PortSet::of_ports(&(0..=last)),
                    Err(_) if n <= 0 => PortSet::new(),
                    Err(_) => PortSet::all(),
                }
            };
            let one = below(n.saturating_add(1)).minus(&below(n));
            Ok(match op {
                "==" => one,
                "!=" => one.complement(),
                "<" => below(n),
                "<=" => below(n.saturating_add(1)),
                ">" => below(n.saturating_add(1)).complement(),
                ">=" => below(n).complement(),
                other => return Err(format!("ports are not compared by `{other}`")),
            })
        }
        _ => Err(format!(
            "it speaks of `resource.{name}`; the network knows `resource.protocol` and `resource.port` only"
        )),
    }
}

/// The tree of a plan's groups with its devices, and which of them policies name.
pub(crate) struct Tree<'a> {
    /// A group's own and all groups above it.
    up: HashMap<&'a str, Vec<&'a str>>,
}

impl<'a> Tree<'a> {
    pub(crate) fn of(groups: &'a [GroupRow]) -> Result<Self, CompileError> {
        let parent: HashMap<&str, Option<&str>> = groups
            .iter()
            .map(|g| (g.entity.as_str(), g.parent.as_deref()))
            .collect();
        let mut up = HashMap::new();
        for group in groups {
            let mut line = vec![group.entity.as_str()];
            let mut at = group.parent.as_deref();
            while let Some(name) = at {
                if line.len() > 8 || !parent.contains_key(name) {
                    return Err(CompileError::Tree(group.entity.to_string()));
                }
                line.push(name);
                at = parent.get(name).copied().flatten();
            }
            up.insert(group.entity.as_str(), line);
        }
        Ok(Self { up })
    }

    /// A group and those above it.
    pub(crate) fn line(&self, group: &str) -> &[&'a str] {
        self.up.get(group).map_or(&[], Vec::as_slice)
    }
}

/// Compiles policies for the groups and devices of a plan. `snapshot` goes into the matrix's digest.
///
/// # Errors
/// When a policy does not validate, says what the network cannot know, or names a group that is not there.
pub fn compile(
    policy: &str,
    groups: &[GroupRow],
    devices: &[DeviceRow],
    enforced: &[Enforced],
    snapshot: &[u8; 32],
) -> Result<Matrix, CompileError> {
    let clauses = clauses(policy)?;
    let tree = Tree::of(groups)?;
    let alone: HashMap<SmolStr, usize> = devices
        .iter()
        .enumerate()
        .map(|(n, d)| (d.entity(), n))
        .collect();
    let mut named: std::collections::HashSet<&str> = std::collections::HashSet::new();
    for clause in &clauses {
        for side in [&clause.from, &clause.to] {
            let Side::Group(name) = side else { continue };
            if tree.line(name).is_empty() && !alone.contains_key(name.as_str()) {
                return Err(CompileError::NoSuchGroup {
                    policy: clause.id.clone(),
                    group: name.to_string(),
                });
            }
            named.insert(name.as_str());
        }
    }
    for row in enforced {
        named.insert(row.from.as_str());
        named.insert(row.to.as_str());
    }
    let (numbered, places) = number(groups, devices, &tree, &named)?;
    let empty: Vec<u16> = Vec::new();
    let everybody: Vec<u16> = (0..=u16::try_from(numbered.len() - 1).unwrap_or(u16::MAX)).collect();
    let of = |side: &Side| match side {
        Side::Anybody => everybody.clone(),
        Side::Group(name) => places.get(name.as_str()).unwrap_or(&empty).clone(),
    };
    let mut cells: BTreeMap<(u16, u16), PortSet> = BTreeMap::new();
    for clause in clauses.iter().filter(|c| c.permit) {
        let to = of(&clause.to);
        for from in of(&clause.from) {
            for to in &to {
                cells
                    .entry((from, *to))
                    .and_modify(|p| *p = p.union(&clause.ports))
                    .or_insert_with(|| clause.ports.clone());
            }
            if cells.len() > CELLS_MAX {
                return Err(CompileError::Cells);
            }
        }
    }
    for clause in clauses.iter().filter(|c| !c.permit) {
        let to = of(&clause.to);
        for from in of(&clause.from) {
            for to in &to {
                if let Some(ports) = cells.get_mut(&(from, *to)) {
                    *ports = ports.minus(&clause.ports);
                }
            }
        }
    }
    let mut modes: HashMap<(u16, u16), Mode> = HashMap::new();
    let vital = |id: u16| {
        numbered
            .get(usize::from(id))
            .is_none_or(|g| g.criticality == Criticality::LifeCritical)
    };
    for row in enforced {
        for &from in places.get(row.from.as_str()).unwrap_or(&empty) {
            for &to in places.get(row.to.as_str()).unwrap_or(&empty) {
                if row.yes.is_some() || !(vital(from) || vital(to)) {
                    modes.insert((from, to), Mode::Enforce);
                }
            }
            if modes.len() > CELLS_MAX {
                return Err(CompileError::Cells);
            }
        }
    }
    for pair in modes.keys() {
        cells.entry(*pair).or_default();
    }
    let cells = cells
        .into_iter()
        .filter(|(pair, ports)| !ports.is_empty() || modes.contains_key(pair))
        .map(|((from, to), ports)| Cell {
            from: GroupId(from),
            to: GroupId(to),
            services: services(&ports),
            mode: modes.get(&(from, to)).copied().unwrap_or(Mode::Observe),
        })
        .collect();
    let matrix = Matrix {
        groups: numbered,
        cells,
        default_mode: Mode::Observe,
        digest: digest(policy, enforced, snapshot),
    };
    matrix.check()?;
    Ok(matrix)
}

/// Groups with numbers, and for each Cedar identifier the numbers of what is in it.
type Numbered = (Vec<Group>, HashMap<String, Vec<u16>>);

/// A group before it has a number.
struct Unnumbered<'a> {
    entity: SmolStr,
    name: String,
    criticality: Criticality,
    prefixes: Vec<Prefix>,
    /// The groups that its devices are in.
    line: &'a [&'a str],
}

/// Numbers the groups that devices are told apart by: a device that policies name is one by itself.
fn number<'a>(
    groups: &'a [GroupRow],
    devices: &'a [DeviceRow],
    tree: &'a Tree<'a>,
    named: &std::collections::HashSet<&str>,
) -> Result<Numbered, CompileError> {
    let mut rows = vec![Unnumbered {
        entity: UNKNOWN.into(),
        name: "Devices of unknown kind".to_owned(),
        criticality: Criticality::LifeCritical,
        prefixes: Vec::new(),
        line: &[],
    }];
    let mut place: HashMap<SmolStr, usize> = HashMap::from([(UNKNOWN.into(), 0)]);
    for group in groups {
        let line = tree.line(&group.entity);
        if group.entity == UNKNOWN {
            if let Some(first) = rows.first_mut() {
                first.line = line;
            }
            continue;
        }
        place.insert(group.entity.clone(), rows.len());
        rows.push(Unnumbered {
            entity: group.entity.clone(),
            name: group.name.clone(),
            criticality: group.criticality,
            prefixes: group.prefixes.clone(),
            line,
        });
    }
    let mut members: Vec<Vec<&DeviceRow>> = vec![Vec::new(); rows.len()];
    for device in devices {
        let Some(&of) = place.get(&device.group) else {
            return Err(CompileError::Tree(device.group.to_string()));
        };
        let alone = device.entity();
        if named.contains(alone.as_str()) {
            rows.push(Unnumbered {
                entity: alone,
                name: device.name.to_string(),
                criticality: device.criticality,
                prefixes: Vec::new(),
                line: tree.line(&device.group),
            });
            members.push(vec![device]);
        } else if let Some(members) = members.get_mut(of) {
            members.push(device);
        }
    }
    if rows.len() > usize::from(u16::MAX) {
        return Err(CompileError::Groups(rows.len()));
    }
    let mut places: HashMap<String, Vec<u16>> = HashMap::new();
    let mut out = Vec::with_capacity(rows.len());
    let mut taken: std::collections::HashSet<String> = std::collections::HashSet::new();
    for (n, row) in rows.into_iter().enumerate() {
        let Unnumbered {
            entity,
            name,
            criticality,
            prefixes,
            line,
        } = row;
        let id = u16::try_from(n).unwrap_or(u16::MAX);
        for above in line {
            places.entry((*above).to_owned()).or_default().push(id);
        }
        // Whoever is in no group at all may what everyone may.
        if n == 0 && line.is_empty() {
            for above in [UNKNOWN, EVERYONE] {
                places.entry(above.to_owned()).or_default().push(id);
            }
        }
        if entity.starts_with("device/") {
            places.entry(entity.to_string()).or_default().push(id);
        }
        let devices = members.get(n).map_or(&[][..], Vec::as_slice);
        let mut addresses: Vec<IpAddr> = devices
            .iter()
            .flat_map(|d| d.addresses.iter().copied())
            .filter(|a| taken.insert(a.to_string()))
            .collect();
        addresses.sort_unstable();
        let mut macs: Vec<Mac> = devices
            .iter()
            .flat_map(|d| d.macs.iter().copied())
            .filter(|m| taken.insert(m.to_string()))
            .collect();
        macs.sort_unstable();
        out.push(Group {
            id: GroupId(id),
            name,
            entity,
            criticality,
            prefixes,
            addresses,
            macs,
        });
    }
    Ok((out, places))
}

/// The ranges of a set as services with names, in order of transport and port. ICMPv6 is the same transport as ICMP.
pub(crate) fn services(ports: &PortSet) -> Vec<Service> {
    let mut by_transport = PortSet::new();
    for &(protocol, low, high) in ports.ranges() {
        by_transport.insert(service::transport(protocol), &(low..=high));
    }
    let mut services: Vec<Service> = by_transport
        .ranges()
        .iter()
        .map(|&(protocol, low, high)| {
            let transport = service::transport(protocol);
            let clinical = (low == high)
                .then(|| service::clinical_of(transport, low))
                .flatten();
            Service {
                transport,
                ports: low..=high,
                name: service::name(transport, &(low..=high)),
                clinical: clinical.map(SmolStr::new_static),
            }
        })
        .collect();
    services.sort_by_key(|s| (s.transport, *s.ports.start()));
    services
}

fn digest(policy: &str, enforced: &[Enforced], snapshot: &[u8; 32]) -> [u8; 32] {
    use aws_lc_rs::digest::{Context, SHA256};
    let mut digest = Context::new(&SHA256);
    let mut add = |bytes: &[u8]| {
        digest.update(&(bytes.len() as u64).to_be_bytes());
        digest.update(bytes);
    };
    add(policy.as_bytes());
    for row in enforced {
        add(row.from.as_bytes());
        add(row.to.as_bytes());
        add(row.yes.as_deref().unwrap_or_default().as_bytes());
    }
    add(snapshot);
    let mut out = [0; 32];
    out.copy_from_slice(digest.finish().as_ref());
    out
}

//! Selection and our evaluator beside Cedar: random packs, and Cedar's own corpus.

use cedar_policy::{Authorizer, Decision, PolicySet, Schema};
use policy::engine::{Engine, Entity, Query, Record, Symbol, Uid, Value};
use proptest::prelude::*;

#[path = "common/mod.rs"]
mod common;
use common::Dice;

const SCHEMA: &str = r#"
    entity Group in [Group];
    entity Folder in [Folder];
    entity User, Robot in [Group] = { level: Long, name: String, tags: Set<String>, boss?: User };
    entity File, Page in [Folder] = { level: Long, name: String, tags: Set<String>, owner?: User, open: Bool };
    action "any";
    action "read", "list" in ["any"] appliesTo { principal: [User, Robot], resource: [File, Page], context: { level: Long, flag?: Bool, place: { name: String, level?: Long }, tags: Set<String> } };
    action "write" appliesTo { principal: [User], resource: [File, Page], context: { level: Long, flag?: Bool, place: { name: String, level?: Long }, tags: Set<String> } };
    action "erase" in ["any"] appliesTo { principal: [User, Robot], resource: [File], context: { level: Long, flag?: Bool, place: { name: String, level?: Long }, tags: Set<String> } };
"#;

const WORDS: &[&str] = &["", "a", "b", "ab", "a*b", "käse", "zz"];

fn group(dice: &mut Dice, kind: &str) -> String {
    format!("{kind}::\"{}\"", dice.below(4))
}

fn policy(dice: &mut Dice) -> String {
    let effect = if dice.chance(70) { "permit" } else { "forbid" };
    let principal = match dice.below(7) {
        0 | 1 => "principal".to_owned(),
        2 => format!("principal in {}", group(dice, "Group")),
        3 => format!("principal is {}", dice.pick(&["User", "Robot"])),
        4 => format!(
            "principal is {} in {}",
            dice.pick(&["User", "Robot"]),
            group(dice, "Group")
        ),
        5 => format!("principal == {}", group(dice, "User")),
        _ => format!("principal in {}", group(dice, "User")),
    };
    let action = match dice.below(5) {
        0 => "action".to_owned(),
        1 => format!(
            "action == Action::\"{}\"",
            dice.pick(&["read", "list", "write", "erase"])
        ),
        2 => "action in Action::\"any\"".to_owned(),
        3 => "action in [Action::\"read\", Action::\"write\"]".to_owned(),
        _ => "action in [Action::\"any\", Action::\"write\"]".to_owned(),
    };
    let resource = match dice.below(7) {
        0 | 1 => "resource".to_owned(),
        2 => format!("resource in {}", group(dice, "Folder")),
        3 => format!("resource is {}", dice.pick(&["File", "Page"])),
        4 => format!(
            "resource is {} in {}",
            dice.pick(&["File", "Page"]),
            group(dice, "Folder")
        ),
        5 => format!("resource == {}", group(dice, "File")),
        _ => format!("resource in {}", group(dice, "Page")),
    };
    let mut text = format!("{effect} ({principal}, {action}, {resource})");
    for _ in 0..dice.below(3) {
        let kind = if dice.chance(70) { "when" } else { "unless" };
        text.push_str(&format!(" {kind} {{ {} }}", truth(dice, 3)));
    }
    text.push(';');
    text
}

/// A condition. Not all are well-typed, so that failures are compared too.
fn truth(dice: &mut Dice, depth: u64) -> String {
    if depth > 0 && dice.chance(45) {
        let (a, b) = (truth(dice, depth - 1), truth(dice, depth - 1));
        return match dice.below(4) {
            0 => format!("({a} && {b})"),
            1 => format!("({a} || {b})"),
            2 => format!("!({a})"),
            _ => format!("(if {a} then {b} else {})", truth(dice, depth - 1)),
        };
    }
    let word = |dice: &mut Dice| format!("{:?}", dice.pick(WORDS));
    match dice.below(15) {
        0 => format!("{} < {}", number(dice, 2), number(dice, 2)),
        1 => format!("{} >= {}", number(dice, 2), number(dice, 2)),
        2 => format!("{} == {}", number(dice, 1), number(dice, 1)),
        3 => format!("{}.contains({})", words(dice), word(dice)),
        4 => format!("{}.containsAll({})", words(dice), words(dice)),
        5 => format!("{}.containsAny({})", words(dice), words(dice)),
        6 => format!("{} == {}", words(dice), words(dice)),
        7 => format!("{}.isEmpty()", words(dice)),
        8 => format!(
            "{}.name like {:?}",
            dice.pick(&["principal", "resource", "context.place"]),
            dice.pick(&["a*", "*b", "*", "a*b", "k?se", ""])
        ),
        9 => "context has flag && context.flag".to_owned(),
        10 => (*dice.pick(&[
            "context.flag",
            "context has place.level",
            "resource has owner",
            "principal.boss == principal",
            "resource has owner && resource.owner == principal",
            "resource.owner.level > 1",
        ]))
        .to_owned(),
        11 => format!(
            "principal in [{}, {}]",
            group(dice, "Group"),
            group(dice, "User")
        ),
        12 => format!(
            "{} in {}",
            dice.pick(&["resource", "principal"]),
            group(dice, dice_kind(depth))
        ),
        13 => format!(
            "action in [Action::\"any\", Action::\"{}\"]",
            dice.pick(&["write", "list"])
        ),
        _ => format!(
            "{} is {}",
            dice.pick(&["principal", "resource"]),
            dice.pick(&["User", "File", "Page"])
        ),
    }
}

fn dice_kind(depth: u64) -> &'static str {
    if depth.is_multiple_of(2) {
        "Group"
    } else {
        "Folder"
    }
}

fn number(dice: &mut Dice, depth: u64) -> String {
    if depth > 0 && dice.chance(30) {
        let operator = dice.pick(&["+", "-", "*"]);
        return format!(
            "({} {operator} {})",
            number(dice, depth - 1),
            number(dice, depth - 1)
        );
    }
    match dice.below(6) {
        0 => "principal.level".to_owned(),
        1 => "resource.level".to_owned(),
        2 => "context.level".to_owned(),
        3 => "9223372036854775807".to_owned(),
        4 => "-principal.level".to_owned(),
        _ => format!("{}", dice.below(4)),
    }
}

fn words(dice: &mut Dice) -> String {
    match dice.below(5) {
        0 => "principal.tags".to_owned(),
        1 => "resource.tags".to_owned(),
        2 => "context.tags".to_owned(),
        3 => format!("[{:?}, {:?}]", dice.pick(WORDS), dice.pick(WORDS)),
        _ => "[principal.name, resource.name]".to_owned(),
    }
}

struct Vocabulary<'a> {
    engine: &'a Engine,
}

impl Vocabulary<'_> {
    fn symbol(&self, name: &str) -> Symbol {
        self.engine.names().get(name).expect("interned before")
    }

    fn uid(&self, kind: &str, id: u64) -> Uid {
        Uid {
            kind: self.symbol(kind),
            id: id.to_string().into(),
        }
    }

    fn tags(&self, dice: &mut Dice) -> Value {
        Value::Set(
            (0..dice.below(3))
                .map(|_| Value::Text((*dice.pick(WORDS)).into()))
                .collect(),
        )
    }

    fn level(dice: &mut Dice) -> Value {
        Value::Long(*dice.pick(&[-1, 0, 1, 2, 3, i64::MAX, i64::MIN]))
    }

    fn query(&self, dice: &mut Dice) -> Query {
        let above = |dice: &mut Dice, kind: &str| {
            let mut all: Vec<Uid> = (0..dice.below(4))
                .map(|_| self.uid(kind, dice.below(4)))
                .collect();
            all.sort();
            all.dedup();
            all
        };
        let mut attributes = Record::with_capacity(4);
        attributes.push(self.symbol("level"), Self::level(dice));
        attributes.push(self.symbol("name"), Value::Text((*dice.pick(WORDS)).into()));
        attributes.push(self.symbol("tags"), self.tags(dice));
        if dice.chance(50) {
            attributes.push(
                self.symbol("boss"),
                Value::Entity(self.uid("User", dice.below(4))),
            );
        }
        let kind = *dice.pick(&["User", "Robot"]);
        let principal = Entity {
            uid: self.uid(kind, dice.below(4)),
            attributes,
            ancestors: above(dice, "Group"),
        };
        let mut attributes = Record::with_capacity(5);
        attributes.push(self.symbol("level"), Self::level(dice));
        attributes.push(self.symbol("name"), Value::Text((*dice.pick(WORDS)).into()));
        attributes.push(self.symbol("tags"), self.tags(dice));
        attributes.push(self.symbol("open"), Value::Bool(dice.chance(50)));
        if dice.chance(50) {
            attributes.push(
                self.symbol("owner"),
                Value::Entity(self.uid("User", dice.below(4))),
            );
        }
        let kind = *dice.pick(&["File", "Page"]);
        let resource = Entity {
            uid: self.uid(kind, dice.below(4)),
            attributes,
            ancestors: above(dice, "Folder"),
        };
        let mut place = Record::with_capacity(2);
        place.push(self.symbol("name"), Value::Text((*dice.pick(WORDS)).into()));
        if dice.chance(50) {
            place.push(self.symbol("level"), Self::level(dice));
        }
        let mut context = Record::with_capacity(4);
        context.push(self.symbol("level"), Self::level(dice));
        context.push(self.symbol("place"), Value::Record(place));
        context.push(self.symbol("tags"), self.tags(dice));
        if dice.chance(50) {
            context.push(self.symbol("flag"), Value::Bool(dice.chance(50)));
        }
        let action = *dice.pick(&["read", "list", "write", "erase", "unheard-of"]);
        let action = Uid {
            kind: self.symbol("Action"),
            id: action.into(),
        };
        Query {
            principal,
            action,
            resource,
            context,
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 120, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn selection_and_a_linear_scan_by_cedar_agree_on_random_packs(seed: u64) {
        let mut dice = Dice::new(seed);
        let text: String = (0..1 + dice.below(25)).map(|_| policy(&mut dice) + "\n").collect();
        let set: PolicySet = text.parse().unwrap_or_else(|e| panic!("{text}\n{e:?}"));
        let schema: Schema = SCHEMA.parse().expect("the schema is valid");
        let mut engine = Engine::compile(&set, &schema).expect("no templates");
        for name in ["Action", "User", "Robot", "File", "Page", "Group", "Folder", "level", "name", "tags",
            "boss", "owner", "open", "flag", "place"] {
            engine.intern(name);
        }
        let vocabulary = Vocabulary { engine: &engine };
        for _ in 0..12 {
            let query = vocabulary.query(&mut dice);
            let ours = engine.evaluate(&query);
            let reference = engine.reference(&query);
            prop_assert_eq!(&ours, &reference, "{}\n{:?}", text, query);
            let (request, entities) = engine.to_cedar(&query);
            let whole = Authorizer::new().is_authorized(&request, &set, &entities);
            let cedar = whole.decision() == Decision::Allow;
            prop_assert_eq!(ours.forbids.is_empty() && !ours.permits.is_empty(), cedar);
            prop_assert_eq!(
                ours.failed_permits.len() + ours.failed_forbids.len(),
                whole.diagnostics().errors().count()
            );
            // Ours is stricter in one case only: a forbid that fails.
            prop_assert_eq!(ours.allows(), cedar && ours.failed_forbids.is_empty());
        }
    }
}

/// Cedar's published corpus: the engine's reference and our evaluator on policies that nobody here wrote.
#[test]
fn our_evaluator_agrees_with_cedar_on_its_corpus() {
    let data = std::env::var_os("ASEPSIS_DATA").map_or_else(
        || std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data"),
        Into::into,
    );
    let archive = data.join("cedar/corpus-tests.tar.gz");
    let target = std::env::temp_dir().join(format!("asepsis-cedar-corpus-{}", std::process::id()));
    if !archive.exists() {
        eprintln!("skipped: {} is not there", archive.display());
        return;
    }
    std::fs::create_dir_all(&target).expect("a temporary folder");
    let unpacked = std::process::Command::new("tar")
        .arg("-xzf")
        .arg(&archive)
        .arg("-C")
        .arg(&target)
        .status();
    if !unpacked.is_ok_and(|s| s.success()) {
        eprintln!("skipped: tar cannot unpack {}", archive.display());
        return;
    }
    let mut counts = corpus::Counts::default();
    corpus::run(&target, &mut counts);
    let _ = std::fs::remove_dir_all(&target);
    eprintln!("{counts:?}");
    assert!(counts.requests > 1_000, "the corpus was read: {counts:?}");
    assert!(
        counts.compiled > counts.left_to_cedar,
        "our evaluator did most of it: {counts:?}"
    );
}

mod corpus {
    use std::path::Path;
    use std::str::FromStr;

    use cedar_policy::{Context, Entities, EntityUid, EvalResult};
    use serde_json::Value as Json;

    use super::*;

    #[derive(Debug, Default)]
    pub(crate) struct Counts {
        pub(crate) scenarios: usize,
        pub(crate) requests: usize,
        pub(crate) compiled: usize,
        pub(crate) left_to_cedar: usize,
        pub(crate) skipped: usize,
    }

    pub(crate) fn run(folder: &Path, counts: &mut Counts) {
        let mut files: Vec<_> = walk(folder)
            .into_iter()
            .filter(|p| {
                let name = p
                    .file_name()
                    .map(|n| n.to_string_lossy().into_owned())
                    .unwrap_or_default();
                name.ends_with(".json") && !name.ends_with(".entities.json")
            })
            .collect();
        files.sort();
        // A part in everyday runs, all of them when asked for.
        let step = if std::env::var_os("ASEPSIS_CORPUS_ALL").is_some() {
            1
        } else {
            25
        };
        for file in files.into_iter().step_by(step) {
            if one(&file, folder, counts).is_none() {
                counts.skipped += 1;
            }
        }
    }

    fn walk(folder: &Path) -> Vec<std::path::PathBuf> {
        let mut all = Vec::new();
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                all.extend(walk(&path))
            } else {
                all.push(path)
            }
        }
        all
    }

    fn one(file: &Path, root: &Path, counts: &mut Counts) -> Option<()> {
        let case: Json = serde_json::from_str(&std::fs::read_to_string(file).ok()?).ok()?;
        let read = |key: &str| {
            let named = case.get(key)?.as_str()?;
            let near = file.parent()?.join(Path::new(named).file_name()?);
            std::fs::read_to_string(near)
                .or_else(|_| std::fs::read_to_string(root.join(named)))
                .ok()
        };
        let set = PolicySet::from_str(&read("policies")?).ok()?;
        let (schema, _) = Schema::from_cedarschema_str(&read("schema")?).ok()?;
        let entities = Entities::from_json_str(&read("entities")?, Some(&schema)).ok()?;
        let mut engine = Engine::compile(&set, &schema).ok()?;
        counts.scenarios += 1;
        counts.left_to_cedar += engine.uncompiled();
        counts.compiled += engine.policies().len() - engine.uncompiled();
        for request in case.get("requests")?.as_array()? {
            let uid = |key: &str| EntityUid::from_json(request.get(key)?.clone()).ok();
            let (principal, action, resource) =
                (uid("principal")?, uid("action")?, uid("resource")?);
            let context =
                Context::from_json_value(request.get("context")?.clone(), Some((&schema, &action)))
                    .ok()?;
            let query = Query {
                principal: entity(&mut engine, &entities, &principal)?,
                action: named(&mut engine, &action),
                resource: entity(&mut engine, &entities, &resource)?,
                context: fields(
                    &mut engine,
                    request
                        .get("context")?
                        .as_object()?
                        .keys()
                        .map(|k| Some((k.clone(), context.get(k)?)))
                        .collect::<Option<Vec<_>>>()?,
                )?,
            };
            counts.requests += 1;
            assert_eq!(
                engine.evaluate(&query),
                engine.reference(&query),
                "{}: {request}",
                file.display()
            );
        }
        Some(())
    }

    fn named(engine: &mut Engine, uid: &EntityUid) -> Uid {
        Uid {
            kind: engine.intern(&uid.type_name().to_string()),
            id: uid.id().unescaped().into(),
        }
    }

    fn entity(engine: &mut Engine, all: &Entities, uid: &EntityUid) -> Option<Entity> {
        let mut attributes = Vec::new();
        if let Some(entity) = all.get(uid) {
            for (name, value) in entity.attrs() {
                attributes.push((name.to_owned(), value.ok()?));
            }
            if entity.tags().next().is_some() {
                return None;
            }
        }
        let ancestors: Vec<EntityUid> = all.ancestors(uid).into_iter().flatten().cloned().collect();
        Some(Entity {
            uid: named(engine, uid),
            attributes: fields(engine, attributes)?,
            ancestors: ancestors.iter().map(|a| named(engine, a)).collect(),
        })
    }

    fn fields(engine: &mut Engine, all: Vec<(String, EvalResult)>) -> Option<Record> {
        let mut record = Record::with_capacity(all.len());
        for (name, value) in all {
            let value = convert(engine, value)?;
            record.push(engine.intern(&name), value);
        }
        Some(record)
    }

    fn convert(engine: &mut Engine, value: EvalResult) -> Option<Value> {
        Some(match value {
            EvalResult::Bool(b) => Value::Bool(b),
            EvalResult::Long(n) => Value::Long(n),
            EvalResult::String(s) => Value::Text(s.into()),
            EvalResult::EntityUid(uid) => Value::Entity(named(engine, &uid)),
            EvalResult::Set(set) => Value::Set(
                set.iter()
                    .map(|v| convert(engine, v.clone()))
                    .collect::<Option<_>>()?,
            ),
            EvalResult::Record(r) => Value::Record(fields(
                engine,
                r.iter().map(|(k, v)| (k.clone(), v.clone())).collect(),
            )?),
            _ => return None,
        })
    }
}

#[test]
fn an_entity_named_twice_above_another_counts_once() {
    let set: PolicySet = "permit (principal in Group::\"1\", action, resource in Folder::\"1\");"
        .parse()
        .expect("valid");
    let schema: Schema = SCHEMA.parse().expect("valid");
    let mut engine = Engine::compile(&set, &schema).expect("no templates");
    for name in ["Action", "User", "File", "Group", "Folder"] {
        engine.intern(name);
    }
    let uid = |kind: &str, id: &str| Uid {
        kind: engine.names().get(kind).expect("interned"),
        id: id.into(),
    };
    let twice = |kind: &str| vec![uid(kind, "1"), uid(kind, "1")];
    let query = Query {
        principal: Entity {
            uid: uid("User", "9"),
            attributes: Record::default(),
            ancestors: twice("Group"),
        },
        action: uid("Action", "read"),
        resource: Entity {
            uid: uid("File", "9"),
            attributes: Record::default(),
            ancestors: twice("Folder"),
        },
        context: Record::default(),
    };
    assert_eq!(engine.evaluate(&query).permits, vec![0]);
}

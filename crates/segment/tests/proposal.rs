//! What holds of every proposal: determinism, bounds, and that life-critical conversations are never lost.

use std::collections::BTreeSet;

use proptest::prelude::*;

use domain::{Criticality, DeviceId, Timestamp, Transport};
use segment::backtest;
use segment::check;
use segment::forecast::Forecast;
use segment::groups::Groups;
use segment::matrix::Outcome;
use segment::plan::{Plan, PlanError};
use segment::propose::{self, Options};
use segment::reach::Network;
use segment::simulate::{Attack, Simulation};
use segment::world::{Host, Talk, TalkKey, World};

const DAY: i64 = 86_400_000;
const BEGIN: i64 = 1_767_225_600_000;

fn host(id: &str, kind: Option<&str>, unit: &str) -> Host {
    Host {
        kind: kind.map(Into::into),
        unit: Some(unit.into()),
        segment: Some("clinical".into()),
        criticality: match kind {
            Some("infusion_pump") | None => Criticality::LifeCritical,
            Some(_) => Criticality::Business,
        },
        ..Host::nameless(id)
    }
}

/// Two wards of pumps and workstations, two servers, one device that nobody knows.
fn hosts() -> Vec<Host> {
    let mut hosts = Vec::new();
    for ward in ["A", "B"] {
        for n in 0..5 {
            hosts.push(host(
                &format!("10.0.{n}.1{}", ward.len() + usize::from(ward == "B")),
                Some("infusion_pump"),
                ward,
            ));
            hosts.push(host(
                &format!("10.1.{n}.1{}", ward.len() + usize::from(ward == "B")),
                Some("workstation"),
                ward,
            ));
        }
    }
    hosts.push(host("10.2.0.1", Some("infusion_server"), "Data centre"));
    hosts.push(host("10.2.0.2", Some("ehr_server"), "Data centre"));
    hosts.push(host("10.3.0.1", None, "A"));
    hosts
}

fn world(talks: &[(u32, u32, u16, i64, i64)]) -> World {
    let mut world = World::default();
    for host in hosts() {
        world.put_host(host).expect("room");
    }
    add(&mut world, talks);
    world
}

fn add(world: &mut World, talks: &[(u32, u32, u16, i64, i64)]) {
    let count = world.hosts().len() as u32;
    for &(client, server, port, day, days) in talks {
        let (client, server) = (client % count, server % count);
        if client == server {
            continue;
        }
        let key = TalkKey {
            client,
            server,
            transport: if port % 7 == 0 {
                Transport::Udp
            } else {
                Transport::Tcp
            },
            port,
        };
        let first = Timestamp::from_millis(BEGIN + day * DAY);
        let talk = Talk {
            first,
            last: Timestamp::from_millis(first.as_millis() + days * DAY),
            flows: 3,
            days: 1 + days as u16,
            folded: false,
        };
        world.put_talk(key, talk).expect("room");
    }
}

fn talks() -> impl Strategy<Value = Vec<(u32, u32, u16, i64, i64)>> {
    let port = prop_oneof![
        Just(443_u16),
        Just(53),
        Just(104),
        Just(445),
        49_152_u16..49_400,
        1_u16..1_024
    ];
    proptest::collection::vec((0_u32..23, 0_u32..23, port, 0_i64..60, 0_i64..20), 1..120)
}

fn plan(world: &World, before: Option<&Plan>) -> Plan {
    let options = Options::default();
    let groups = Groups::of(world);
    let proposal = propose::propose(world, &groups, &options);
    let now = Timestamp::from_millis(BEGIN + 90 * DAY);
    Plan::of(world, &groups, &proposal, &options, before, now)
}

/// Conversations of life-critical devices that a plan permits, of those in a world.
fn permitted(plan: &Plan, world: &World) -> BTreeSet<(String, String, u16)> {
    let matrix = plan.matrix().expect("compiles");
    let network = Network::of(plan, &matrix);
    let group = |id: u32| {
        let host = world.host(id).expect("a host");
        network
            .find(&host.id)
            .and_then(|n| network.group_of(n))
            .expect("placed")
    };
    world
        .sorted()
        .into_iter()
        .filter(|(k, _)| {
            [k.client, k.server]
                .iter()
                .any(|h| world.host(*h).expect("a host").is_life_critical())
        })
        .filter(|(k, _)| {
            matrix
                .judges_between(group(k.client), group(k.server), k.transport, k.port)
                .outcome
                == Outcome::Permit
        })
        .map(|(k, _)| {
            let name = |h: u32| world.host(h).expect("a host").id.as_str().to_owned();
            (name(k.client), name(k.server), k.port)
        })
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn the_same_world_gives_the_same_plan_whatever_the_order(list in talks(), turn in any::<prop::sample::Index>()) {
        let one = plan(&world(&list), None);
        let mut turned = list.clone();
        turned.rotate_left(turn.index(list.len()));
        prop_assert_eq!(one.to_json(), plan(&world(&turned), None).to_json());
    }

    #[test]
    fn every_plan_is_its_policy_and_shares_are_shares(list in talks()) {
        let world = world(&list);
        let plan = plan(&world, None);
        let matrix = plan.matrix().expect("compiles");
        let differences =
            check::against_cedar(&plan.policy, &plan.groups, &plan.devices, &matrix).expect("reads");
        prop_assert!(differences.is_empty(), "{:?}", differences);
        let read = Plan::open(&plan.to_json(), &world.digest()).expect("its own snapshot");
        prop_assert_eq!(&read, &plan);
        let forecast = Forecast::of(&plan, &world).expect("compiles");
        if let Some(held_out) = &forecast.held_out {
            let share = held_out.score.coverage.unwrap_or(0.0);
            prop_assert!((0.0..=1.0).contains(&share));
            prop_assert_eq!(held_out.score.life_critical_cut, 0);
        }
        prop_assert!(plan.expected_coverage.is_none_or(|s| (0.0..=1.0).contains(&s)));
        prop_assert_eq!(forecast.cut.life_critical, 0);
        prop_assert_eq!(forecast.cut.life_critical_dropped, 0);
        prop_assert!(plan.over_permission >= 1.0 || world.talk_count() == 0);
    }

    #[test]
    fn more_conversations_never_take_a_life_critical_one_away(list in talks(), more in talks()) {
        let mut world = world(&list);
        let first = plan(&world, None);
        let before = permitted(&first, &world);
        add(&mut world, &more);
        let after = permitted(&plan(&world, Some(&first)), &world);
        prop_assert!(before.is_subset(&after), "{:?}", before.difference(&after).next());
    }
}

/// A small hospital of which everything is known: five weeks, a new pump in the last.
fn steady() -> World {
    let mut list = Vec::new();
    for n in 0..20_u32 {
        let (server, port) = if n % 2 == 0 { (20, 9292) } else { (21, 443) };
        // The last pump and the last workstation come late.
        let day = if n >= 18 { 33 } else { 0 };
        list.push((n, server, port, day, 39 - day));
    }
    list.push((22, 21, 8123, 2, 30));
    world(&list)
}

#[test]
fn a_plan_reads_as_it_did() {
    let plan = plan(&steady(), None);
    let golden = include_str!("golden/steady.cedar");
    assert_eq!(
        plan.policy, golden,
        "if the change is meant, write this to tests/golden/steady.cedar:\n{}",
        plan.policy
    );
}

#[test]
fn a_plan_for_another_snapshot_or_version_is_refused() {
    let mut world = steady();
    let text = plan(&world, None).to_json();
    add(&mut world, &[(0, 21, 22, 39, 0)]);
    let other = Plan::open(&text, &world.digest()).expect_err("another snapshot");
    assert!(matches!(other, PlanError::OtherSnapshot { .. }));
    assert!(other.to_string().contains("propose again"), "{other}");
    let version = text.replace("\"version\": 1", "\"version\": 2");
    assert!(matches!(
        Plan::read(&version),
        Err(PlanError::Version { found: 2 })
    ));
    assert!(matches!(Plan::read("{}"), Err(PlanError::NotAPlan(_))));
    assert!(matches!(Plan::read("pumps"), Err(PlanError::NotAPlan(_))));
}

#[test]
fn a_later_plan_says_what_changed() {
    let mut world = steady();
    let first = plan(&world, None);
    assert!(first.diff(&first).is_empty());
    add(&mut world, &[(22, 20, 22, 39, 0)]);
    let difference = first.diff(&plan(&world, Some(&first)));
    assert!(difference.taken.is_empty(), "{}", difference.text());
    let text = difference.text();
    assert!(
        text.contains("device/10.3.0.1") && text.contains("SSH"),
        "{text}"
    );
    assert!(text.contains("[life-critical]"), "{text}");
}

#[test]
fn a_new_device_of_a_known_class_is_permitted_what_its_class_says_and_an_unknown_one_is_not() {
    let known = steady();
    let groups = Groups::of(&known);
    let proposal = propose::propose(&known, &groups, &Options::default());
    let mut later = World::default();
    for host in hosts() {
        later.put_host(host).expect("room");
    }
    let pump = later
        .put_host(host("10.0.9.1", Some("infusion_pump"), "A"))
        .expect("room");
    let what = later.put_host(host("10.0.9.2", None, "A")).expect("room");
    let server = later.find(&DeviceId::new("10.2.0.1")).expect("a server");
    let key = |client| TalkKey {
        client,
        server,
        transport: Transport::Tcp,
        port: 9292,
    };
    let score = |client| {
        backtest::score(
            &proposal.allow,
            &known,
            &groups,
            &later,
            [key(client)].iter(),
        )
        .permitted
    };
    assert_eq!(score(pump), 1);
    assert_eq!(score(what), 0);
}

#[test]
fn an_attack_gets_less_far_under_the_plan_and_the_picture_shows_it() {
    let world = steady();
    let plan = plan(&world, None);
    let worm = Attack::Worm {
        transport: Transport::Tcp,
        port: 445,
    };
    for (attack, start) in [
        (worm, "10.1.0.11"),
        (Attack::Ransomware, "10.1.0.11"),
        (Attack::StolenLaptop, "10.1.0.11"),
    ] {
        let s = Simulation::of(&plan, &world, attack, start).expect("a device of the plan");
        assert!(s.after.devices < s.before.devices, "{s:?}");
        // Nothing is enforced yet.
        assert_eq!(s.as_it_stands.devices, s.exposed);
        let svg = s.svg();
        assert!(svg.starts_with("<svg") && svg.ends_with("</svg>\n"));
        assert!(svg.contains("With the plan enforced"));
    }
    let gone = Simulation::of(&plan, &world, worm, "10.9.9.9").expect_err("not there");
    assert!(gone.to_string().contains("`10.9.9.9`"));
}

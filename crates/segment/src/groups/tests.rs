use domain::DeviceId;

use super::*;

fn host(id: &str, kind: Option<&str>, unit: Option<&str>) -> Host {
    Host {
        kind: kind.map(Into::into),
        unit: unit.map(Into::into),
        criticality: Criticality::Clinical,
        ..Host::nameless(id)
    }
}

fn world(hosts: Vec<Host>) -> World {
    let mut world = World::default();
    for host in hosts {
        world.put_host(host).expect("room");
    }
    world
}

fn group<'a>(groups: &'a Groups, world: &World, id: &str) -> &'a Node {
    let host = world.find(&DeviceId::new(id)).expect("a host");
    let node = groups.of_host(host).expect("placed");
    groups.get(node).expect("a group")
}

#[test]
fn class_comes_first_and_ward_second_and_the_unknown_stand_apart() {
    let mut odd = host("odd", Some("printer"), Some("ICU 3"));
    odd.contradictory = true;
    let world = world(vec![
        host("p1", Some("infusion_pump"), Some("ICU 3")),
        host("p2", Some("infusion_pump"), None),
        host("what", None, Some("ICU 3")),
        odd,
    ]);
    let groups = Groups::of(&world);
    assert_eq!(group(&groups, &world, "p1").name, "Infusion pumps, ICU 3");
    assert_eq!(group(&groups, &world, "p1").entity, "infusion_pump/icu-3");
    assert_eq!(group(&groups, &world, "p2").name, "Infusion pumps");
    for id in ["what", "odd"] {
        let node = group(&groups, &world, id);
        assert_eq!(node.criticality, Criticality::LifeCritical);
        assert!(!node.lends());
    }
    let chain = groups.chain(0);
    assert_eq!(chain.nodes().len(), 4);
    assert_eq!(groups.size(*chain.nodes().last().expect("a root")), 4);
}

#[test]
fn a_device_that_behaves_unlike_its_class_leaves_it() {
    let mut hosts: Vec<Host> = (0..12)
        .map(|n| host(&format!("pump-{n}"), Some("infusion_pump"), None))
        .collect();
    hosts.push(host("server", Some("infusion_server"), None));
    for n in 0..8 {
        hosts.push(host(&format!("other-{n}"), Some("storage"), None));
    }
    let mut world = world(hosts);
    let talk = crate::world::Talk {
        first: domain::Timestamp::from_millis(0),
        last: domain::Timestamp::from_millis(1),
        flows: 5,
        days: 2,
        folded: false,
    };
    let mut say = |client: u32, server: u32, port: u16| {
        world
            .put_talk(
                crate::world::TalkKey {
                    client,
                    server,
                    transport: domain::Transport::Tcp,
                    port,
                },
                talk,
            )
            .expect("room");
    };
    for pump in 0..12 {
        say(pump, 12, 443);
    }
    for (n, port) in [22, 23, 445, 3389, 5900, 135, 139].into_iter().enumerate() {
        say(4, 13 + n as u32, port);
    }
    let groups = Groups::of(&world);
    let odd = group(&groups, &world, "pump-4");
    assert_eq!(odd.basis, Basis::Departs);
    assert_eq!(odd.criticality, Criticality::LifeCritical);
    assert_eq!(group(&groups, &world, "pump-5").basis, Basis::Class);
    assert_eq!(group(&groups, &world, "pump-5").size, 11);
}

#[test]
fn a_new_device_finds_its_group_by_class_only() {
    let world = world(vec![host("p1", Some("infusion_pump"), Some("ICU 3"))]);
    let groups = Groups::of(&world);
    let place = |h: &Host| {
        groups
            .by_class(h)
            .and_then(|n| groups.get(n))
            .map(|n| n.entity.clone())
    };
    assert_eq!(
        place(&host("p9", Some("infusion_pump"), Some("ICU 3"))).as_deref(),
        Some("infusion_pump/icu-3")
    );
    assert_eq!(
        place(&host("p9", Some("infusion_pump"), Some("Ward 7"))).as_deref(),
        Some("infusion_pump")
    );
    assert_eq!(
        place(&host("x", None, Some("ICU 3"))).as_deref(),
        Some("everyone")
    );
}

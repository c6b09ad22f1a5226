use proptest::prelude::*;

use domain::{Criticality, DeviceId};

use super::*;
use crate::cedar::{Enforced, compile};
use crate::groups::Basis;

fn group(entity: &str, parent: Option<&str>) -> GroupRow {
    GroupRow {
        entity: entity.into(),
        name: entity.to_owned(),
        parent: parent.map(Into::into),
        basis: Basis::Class,
        criticality: Criticality::Clinical,
        devices: 1,
        prefixes: Vec::new(),
    }
}

fn device(id: &str, group: &str, address: &str) -> DeviceRow {
    DeviceRow {
        id: DeviceId::new(id),
        name: id.into(),
        group: group.into(),
        criticality: Criticality::Clinical,
        addresses: vec![address.parse().expect("an address")],
        macs: Vec::new(),
    }
}

fn world() -> (Vec<GroupRow>, Vec<DeviceRow>) {
    (
        vec![
            group("everyone", None),
            group("pump", Some("everyone")),
            group("pump/icu", Some("pump")),
            group("server", Some("everyone")),
            group("outside", None),
        ],
        vec![
            device("p1", "pump/icu", "10.0.0.1"),
            device("p2", "pump/icu", "10.0.0.2"),
            device("p3", "pump", "10.0.0.3"),
            device("s1", "server", "10.0.1.1"),
            device("s2", "server", "2001:db8::1"),
            device("x", "outside", "192.0.2.1"),
        ],
    )
}

const NAMES: &[&str] = &[
    "everyone",
    "pump",
    "pump/icu",
    "server",
    "outside",
    "device/p1",
    "device/s1",
];

fn condition() -> impl Strategy<Value = String> {
    let number = prop_oneof![-2_i64..5, 100_i64..106, 65_533_i64..65_538];
    let op = prop_oneof![
        Just("=="),
        Just("!="),
        Just("<"),
        Just("<="),
        Just(">"),
        Just(">=")
    ];
    let leaf = prop_oneof![
        (op.clone(), number.clone()).prop_map(|(op, n)| format!("resource.port {op} {n}")),
        (op, number).prop_map(|(op, n)| format!("{n} {op} resource.port")),
        prop_oneof![Just("tcp"), Just("udp"), Just("ip-47"), Just("smoke")]
            .prop_map(|p| format!("resource.protocol == \"{p}\"")),
        Just("resource.protocol != \"tcp\"".to_owned()),
    ];
    leaf.prop_recursive(3, 12, 2, |inner| {
        prop_oneof![
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a} && {b})")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a} || {b})")),
            inner.prop_map(|a| format!("!({a})")),
        ]
    })
}

fn pack() -> impl Strategy<Value = String> {
    let side = proptest::option::of(0..NAMES.len());
    let one = (
        prop::bool::weighted(0.8),
        side.clone(),
        side,
        condition(),
        any::<bool>(),
    );
    proptest::collection::vec(one, 1..6).prop_map(|list| {
        let mut text = String::new();
        for (n, (permit, from, to, condition, when)) in list.into_iter().enumerate() {
            let group = |side: Option<usize>| {
                side.map_or_else(String::new, |n| format!(" in NetworkGroup::\"{}\"", NAMES[n]))
            };
            text.push_str(&format!(
                "@id(\"p-{n}\")\n{} (principal is NetworkDevice{}, action == Action::\"net:connect\", \
                 resource is NetworkService{}) {} {{ {condition} }};\n",
                if permit { "permit" } else { "forbid" },
                group(from),
                group(to),
                if when { "when" } else { "unless" },
            ));
        }
        text
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn a_compiled_matrix_is_its_policy_as_cedar_reads_it(text in pack()) {
        let (groups, devices) = world();
        let enforced = [Enforced { from: "pump".into(), to: "server".into(), yes: None }];
        let matrix = match compile(&text, &groups, &devices, &enforced, &[0; 32]) {
            Ok(matrix) => matrix,
            // Strict validation refuses what can never hold.
            Err(CompileError::Invalid(_)) => return Ok(()),
            Err(other) => return Err(TestCaseError::fail(other.to_string())),
        };
        let differences = against_cedar(&text, &groups, &devices, &matrix).expect("it reads");
        prop_assert!(differences.is_empty(), "{differences:?}\n{text}");
        // The ruleset made from the matrix judges as the matrix does.
        let rules = matrix.ruleset();
        prop_assert!(compare(&rules, &matrix.ruleset()).is_empty());
        for client in ["10.0.0.1", "10.0.0.3", "10.0.1.1", "10.9.9.9", "2001:db8::1"] {
            for server in ["10.0.0.2", "10.0.1.1", "2001:db8::1", "192.0.2.1"] {
                for port in [0, 1, 4, 101, 104, 65_535] {
                    for transport in [domain::Transport::Tcp, domain::Transport::Other(47)] {
                        let probe = Probe {
                            client: client.parse().expect("an address"),
                            server: server.parse().expect("an address"),
                            transport,
                            port,
                        };
                        prop_assert_eq!(rules.judges(&probe), matrix.judges(&probe).outcome);
                    }
                }
            }
        }
    }

    #[test]
    fn a_damaged_cell_is_found(text in pack(), which in any::<prop::sample::Index>()) {
        let (groups, devices) = world();
        let Ok(mut matrix) = compile(&text, &groups, &devices, &[], &[0; 32]) else { return Ok(()) };
        let whole = matrix.ruleset();
        let with: Vec<usize> = (0..matrix.cells.len())
            .filter(|n| {
                // A group without addresses is told apart by nothing on a wire.
                let has = |id: crate::matrix::GroupId| {
                    id.0 == 0 || !matrix.groups[usize::from(id.0)].addresses.is_empty()
                };
                !matrix.cells[*n].services.is_empty()
                    && has(matrix.cells[*n].from)
                    && has(matrix.cells[*n].to)
            })
            .collect();
        if with.is_empty() { return Ok(()) }
        let cell = with[which.index(with.len())];
        matrix.cells[cell].services.remove(0);
        prop_assert!(!compare(&whole, &matrix.ruleset()).is_empty());
        let found = against_cedar(&text, &groups, &devices, &matrix).expect("it reads");
        prop_assert!(!found.is_empty());
    }
}

fn rule(from: &str, to: &str, ports: RangeInclusive<u16>, outcome: Outcome) -> Rule {
    let side = |text: &str| match text {
        "any" => Addresses::Any,
        text => {
            let prefix: crate::matrix::Prefix = text.parse().expect("a prefix");
            Addresses::Ranges(vec![(prefix.address(), prefix.last())])
        }
    };
    Rule {
        from: side(from),
        to: side(to),
        protocol: Some(6),
        ports,
        outcome,
    }
}

#[test]
fn order_that_does_not_matter_is_no_difference_and_order_that_does_is_shown() {
    let apart = |rules: Vec<Rule>| Ruleset {
        rules,
        otherwise: Outcome::Drop,
    };
    let a = rule("10.0.0.0/8", "any", 80..=90, Outcome::Permit);
    let b = rule("10.1.0.0/16", "any", 443..=443, Outcome::Permit);
    let no = rule("10.1.2.0/24", "10.9.0.0/16", 85..=85, Outcome::Drop);
    assert!(
        compare(
            &apart(vec![a.clone(), b.clone()]),
            &apart(vec![b.clone(), a.clone()])
        )
        .is_empty()
    );
    let found = compare(
        &apart(vec![no.clone(), a.clone(), b.clone()]),
        &apart(vec![a, b, no]),
    );
    let first = found.first().expect("the order matters");
    assert_eq!(
        first.to_string(),
        "10.1.2.0 → 10.9.0.0 tcp/85: Drop against Permit"
    );
}

#[test]
fn two_halves_of_a_prefix_are_the_prefix() {
    let whole = Ruleset {
        rules: vec![rule(
            "2001:db8::/32",
            "0.0.0.0/0",
            0..=65_535,
            Outcome::Permit,
        )],
        otherwise: Outcome::Drop,
    };
    let halves = Ruleset {
        rules: vec![
            rule("2001:db8::/33", "0.0.0.0/1", 0..=65_535, Outcome::Permit),
            rule(
                "2001:db8:8000::/33",
                "0.0.0.0/1",
                0..=65_535,
                Outcome::Permit,
            ),
            rule("2001:db8::/32", "128.0.0.0/1", 0..=999, Outcome::Permit),
            rule(
                "2001:db8::/32",
                "128.0.0.0/1",
                1_000..=65_535,
                Outcome::Permit,
            ),
        ],
        otherwise: Outcome::Drop,
    };
    assert!(compare(&whole, &halves).is_empty());
}

#[test]
fn a_policy_that_speaks_of_more_than_the_network_knows_is_refused_by_name() {
    let (groups, devices) = world();
    let refuse = |text: &str| {
        compile(text, &groups, &devices, &[], &[0; 32])
            .expect_err("beyond")
            .to_string()
    };
    let scope = "(principal is NetworkDevice, action == Action::\"net:connect\", resource is NetworkService)";
    let beyond = refuse(&format!(
        "@id(\"risky\") permit {scope} when {{ context.risk < 50 }};"
    ));
    assert!(
        beyond.contains("`risky`") && beyond.contains("network knows")
            || beyond.contains("constant"),
        "{beyond}"
    );
    let nowhere = refuse(
        "@id(\"gone\") permit (principal is NetworkDevice in NetworkGroup::\"mars\", action == Action::\"net:connect\", resource is NetworkService);",
    );
    assert!(
        nowhere.contains("`gone`") && nowhere.contains("`mars`"),
        "{nowhere}"
    );
}

#[test]
fn a_life_critical_pair_is_enforced_only_with_a_yes() {
    let (mut groups, devices) = world();
    groups[2].criticality = Criticality::LifeCritical;
    let text = "@id(\"a\") permit (principal is NetworkDevice in NetworkGroup::\"pump/icu\", action == Action::\"net:connect\", resource is NetworkService in NetworkGroup::\"server\") when { resource.port == 104 };";
    let mode = |yes: Option<&str>| {
        let enforced = [Enforced {
            from: "pump".into(),
            to: "server".into(),
            yes: yes.map(ToOwned::to_owned),
        }];
        let matrix = compile(text, &groups, &devices, &enforced, &[0; 32]).expect("compiles");
        let probe = |client: &str| Probe {
            client: client.parse().expect("an address"),
            server: "10.0.1.1".parse().expect("an address"),
            transport: domain::Transport::Tcp,
            port: 105,
        };
        (
            matrix.judges(&probe("10.0.0.1")).outcome,
            matrix.judges(&probe("10.0.0.3")).outcome,
        )
    };
    assert_eq!(mode(None), (Outcome::WouldDrop, Outcome::Drop));
    assert_eq!(mode(Some("Dr. A")), (Outcome::Drop, Outcome::Drop));
}

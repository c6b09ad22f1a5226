//! The policy between real clients and servers in namespaces: changes, crashes, trials.

mod support;

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use domain::Criticality;
use domain::net::Transport;
use enforce::ruleset::trial::Trial;
use enforce::ruleset::{Gateway, How};
use segment::matrix::{Cell, Group, GroupId, Matrix, Mode, Service};

use support::{Middle, Site, alive, has};

fn service(transport: Transport, port: u16, clinical: &str) -> Service {
    Service {
        transport,
        ports: port..=port,
        name: format!("{transport}/{port}").into(),
        clinical: Some(clinical.into()),
    }
}

/// Group 1 is the ward's side, group 2 the server room's, group 3 one device of the ward.
fn matrix(mode: Mode, services: Vec<Service>, digest: u8) -> Matrix {
    let group = |id, prefixes: &[&str], addresses: &[&str]| Group {
        id: GroupId(id),
        name: format!("Group {id}"),
        entity: format!("group-{id}").into(),
        criticality: Criticality::Clinical,
        prefixes: prefixes
            .iter()
            .map(|p| p.parse().expect("a prefix"))
            .collect(),
        addresses: addresses
            .iter()
            .map(|a| a.parse().expect("an address"))
            .collect(),
        macs: Vec::new(),
    };
    Matrix {
        groups: vec![
            group(0, &[], &[]),
            group(1, &["10.1.0.0/24", "fd01::/64"], &[]),
            group(2, &["10.2.0.0/24", "fd02::/64"], &[]),
            group(3, &[], &["10.1.0.9"]),
        ],
        cells: vec![Cell {
            from: GroupId(1),
            to: GroupId(2),
            services,
            mode,
        }],
        default_mode: mode,
        digest: [digest; 32],
    }
}

fn imaging(mode: Mode, digest: u8) -> Matrix {
    let services = vec![
        service(Transport::Tcp, 4000, "Imaging"),
        service(Transport::Udp, 4000, "Imaging"),
        service(Transport::Icmp, 8, "Imaging"),
        service(Transport::Icmp, 128, "Imaging"),
    ];
    matrix(mode, services, digest)
}

fn confirm(site: &Site, matrix: &Matrix) {
    site.inside("gate", || {
        let mut gateway = Gateway::open().expect("a gateway");
        gateway.confirm(matrix).expect("in force");
        assert_eq!(gateway.digest().expect("a digest"), Some(matrix.digest));
    });
}

fn site() -> Option<Site> {
    let site = Site::new(Middle::Router)?;
    for address in [
        "10.2.0.7:4000",
        "10.2.0.7:4001",
        "[fd02::7]:4000",
        "[fd02::7]:4001",
    ] {
        site.echo("room", address);
    }
    Some(site)
}

#[test]
fn what_the_policy_names_passes_and_the_rest_is_dropped_and_counted() {
    let Some(site) = site() else { return };
    let policy = imaging(Mode::Enforce, 1);
    confirm(&site, &policy);
    assert!(site.connect("ward", "10.1.0.7", "10.2.0.7:4000").is_some());
    assert!(site.connect("ward", "fd01::7", "[fd02::7]:4000").is_some());
    assert!(site.connect("ward", "10.1.0.7", "10.2.0.7:4001").is_none());
    assert!(site.connect("ward", "fd01::7", "[fd02::7]:4001").is_none());
    // The device in a group of its own has no cell, though its prefix has one.
    assert!(site.connect("ward", "10.1.0.9", "10.2.0.7:4000").is_none());
    // Longer than the link takes: fragments are judged as the datagram they are.
    assert!(site.datagram("ward", "10.1.0.7", "10.2.0.7:4000", 4000));
    assert!(site.datagram("ward", "fd01::7", "[fd02::7]:4000", 4000));
    // Nor may the servers open anything to the ward.
    site.echo("ward", "10.1.0.7:4000");
    assert!(site.connect("room", "10.2.0.7", "10.1.0.7:4000").is_none());
    assert!(site.ping("ward", "10.2.0.7") && site.ping("ward", "fd02::7"));
    assert!(!site.ping("room", "10.1.0.7") && !site.ping("room", "fd01::7"));
    let counted = site.inside("gate", || {
        let mut gateway = Gateway::open().expect("a gateway");
        gateway.counted(&policy).expect("counters")
    });
    let of = |name: &str| {
        let found = counted.iter().find(|c| c.clinical == name);
        found.map_or(0, |c| c.dropped)
    };
    assert!(of("Imaging") >= 1, "{counted:?}");
    assert!(of("other") >= 2, "{counted:?}");
    assert!(counted.iter().all(|c| c.would_drop == 0), "{counted:?}");
}

#[test]
fn an_icmp_error_about_a_permitted_conversation_passes() {
    let Some(site) = site() else { return };
    confirm(&site, &imaging(Mode::Enforce, 1));
    // Nobody listens there: the server's host answers with "port unreachable".
    let refused = site.inside("ward", || {
        let socket = std::net::UdpSocket::bind("10.1.0.7:0").expect("an own address");
        socket
            .set_read_timeout(Some(Duration::from_millis(500)))
            .expect("a timeout");
        socket.connect("10.2.0.9:4000").expect("a route");
        let _ = socket.send(b"x");
        socket.recv(&mut [0; 8]).expect_err("nobody answers").kind()
    });
    assert_eq!(refused, std::io::ErrorKind::ConnectionRefused);
}

#[test]
fn an_observed_policy_drops_nothing_and_counts_each_connection_once() {
    let Some(site) = site() else { return };
    let policy = imaging(Mode::Observe, 1);
    confirm(&site, &policy);
    let mut stream = site
        .connect("ward", "10.1.0.7", "10.2.0.7:4001")
        .expect("let through");
    for _ in 0..5 {
        assert!(alive(&mut stream));
    }
    let counted = site.inside("gate", || {
        let mut gateway = Gateway::open().expect("a gateway");
        gateway.counted(&policy).expect("counters")
    });
    let other = counted
        .iter()
        .find(|c| c.clinical == "other")
        .expect("a count");
    assert_eq!((other.dropped, other.would_drop), (0, 1), "{counted:?}");
}

#[test]
fn a_new_policy_cuts_what_it_forbids_and_nothing_else() {
    let Some(site) = site() else { return };
    let both = matrix(
        Mode::Enforce,
        vec![
            service(Transport::Tcp, 4000, "Imaging"),
            service(Transport::Tcp, 4001, "Imaging"),
        ],
        1,
    );
    let one = matrix(
        Mode::Enforce,
        vec![service(Transport::Tcp, 4000, "Imaging")],
        2,
    );
    site.inside("gate", || {
        let mut gateway = Gateway::open().expect("a gateway");
        assert_eq!(gateway.confirm(&both).expect("in force").how, How::Built);
        assert_eq!(
            gateway.confirm(&both).expect("in force").how,
            How::Unchanged
        );
    });
    let mut kept = site
        .connect("ward", "10.1.0.7", "10.2.0.7:4000")
        .expect("permitted");
    let mut cut = site
        .connect("ward", "10.1.0.7", "10.2.0.7:4001")
        .expect("permitted");
    assert!(alive(&mut kept) && alive(&mut cut));
    confirm(&site, &one);
    assert!(alive(&mut kept), "a permitted connection was cut");
    assert!(!alive(&mut cut), "a forbidden connection went on");
}

#[test]
fn a_small_change_is_made_in_place_and_takes_hold_of_live_connections() {
    let Some(site) = site() else { return };
    let services = vec![
        service(Transport::Tcp, 4000, "Imaging"),
        service(Transport::Tcp, 4001, "Imaging"),
    ];
    let wide = matrix(Mode::Enforce, services, 1);
    // The same but that the ward's device in its own group comes, and one goes.
    let mut moved = wide.clone();
    moved.digest = [2; 32];
    moved.groups[3].addresses = vec!["10.1.0.7".parse::<IpAddr>().expect("an address")];
    let mut gone = None;
    site.inside("gate", || {
        let mut gateway = Gateway::open().expect("a gateway");
        assert_eq!(gateway.confirm(&wide).expect("in force").how, How::Built);
        gone = site.connect("ward", "10.1.0.7", "10.2.0.7:4000");
        let applied = gateway.confirm(&moved).expect("in force");
        assert_eq!(applied.how, How::Delta, "{applied:?}");
        assert!(applied.elements < 20, "{applied:?}");
        assert_eq!(gateway.digest().expect("a digest"), Some([2; 32]));
    });
    let mut gone = gone.expect("permitted before");
    assert!(!alive(&mut gone), "a forbidden connection went on");
    assert!(site.connect("ward", "10.1.0.9", "10.2.0.7:4001").is_some());
}

#[test]
fn a_trial_is_over_when_its_program_is_killed_or_falls_silent() {
    let Some(site) = site() else { return };
    confirm(&site, &imaging(Mode::Observe, 1));
    let open = || site.connect("ward", "10.1.0.7", "10.2.0.7:4001").is_some();
    assert!(open());
    // Silent: the lease runs out while the program is still there.
    site.inside("gate", || {
        let (mut trial, _) =
            Trial::begin(&imaging(Mode::Enforce, 2), Duration::from_millis(1500)).expect("a trial");
        assert!(!open(), "the trial is not in force");
        let refusal = Trial::begin(&imaging(Mode::Enforce, 3), Duration::from_secs(5))
            .expect_err("one at a time");
        assert!(refusal.to_string().contains("another trial"), "{refusal}");
        trial.renew().expect("renewed");
        let counted = trial.counted().expect("counters");
        assert!(counted.iter().any(|c| c.dropped > 0), "{counted:?}");
        std::thread::sleep(Duration::from_millis(1800));
        assert!(open(), "a silent trial went on");
        assert!(trial.renew().is_err(), "a lease came back to life");
    });
    assert!(open());
    // Killed: the kernel takes the table away.
    let mut child = myself(&site, "holds_a_trial");
    wait_for(&site, "asepsis_trial", true);
    assert!(!open(), "the trial is not in force");
    child.kill().expect("killed");
    child.wait().expect("gone");
    wait_for(&site, "asepsis_trial", false);
    assert!(open(), "the trial outlived its program");
}

#[test]
fn a_trial_that_permits_more_is_heard_and_taken_back() {
    let Some(site) = site() else { return };
    let narrow = matrix(
        Mode::Enforce,
        vec![service(Transport::Tcp, 4001, "Imaging")],
        1,
    );
    confirm(&site, &narrow);
    let open = || site.connect("ward", "10.1.0.7", "10.2.0.7:4000");
    assert!(open().is_none());
    let mut kept = None;
    site.inside("gate", || {
        let (trial, _) =
            Trial::begin(&imaging(Mode::Enforce, 2), Duration::from_secs(30)).expect("a trial");
        kept = open();
        assert!(kept.as_mut().is_some_and(alive));
        trial.end().expect("ended");
    });
    assert!(
        !kept.as_mut().is_some_and(alive),
        "the trial's connection went on"
    );
    assert!(open().is_none());
}

/// Child: a trial until killed.
#[test]
#[ignore = "started by another test in a namespace"]
fn holds_a_trial() {
    let (mut trial, _) =
        Trial::begin(&imaging(Mode::Enforce, 2), Duration::from_secs(30)).expect("a trial");
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(60) {
        std::thread::sleep(Duration::from_millis(500));
        trial.renew().expect("renewed");
    }
}

/// A policy with many permitted triples, so that being killed in the middle is likely.
fn large(digest: u8, step: u16) -> Matrix {
    let services: Vec<Service> = (0..3_000)
        .map(|n| service(Transport::Tcp, 1_000 + n * step, "Imaging"))
        .collect();
    matrix(Mode::Enforce, services, digest)
}

/// Child: one policy after the other until killed.
#[test]
#[ignore = "started by another test in a namespace"]
fn changes_policies() {
    let mut gateway = Gateway::open().expect("a gateway");
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(60) {
        gateway.confirm(&large(1, 7)).expect("in force");
        gateway.confirm(&large(2, 11)).expect("in force");
    }
}

#[test]
fn killed_at_any_moment_one_whole_policy_is_in_force() {
    if !has("nft") {
        return;
    }
    let Some(site) = site() else { return };
    confirm(&site, &large(1, 7));
    let whole = [cells_in_force(&site)];
    confirm(&site, &large(2, 11));
    let whole = [whole[0].clone(), cells_in_force(&site)];
    assert_ne!(whole[0], whole[1]);
    assert_eq!(whole.each_ref().map(BTreeSet::len), [3_000; 2]);
    for round in 0..12_u64 {
        let mut child = myself(&site, "changes_policies");
        std::thread::sleep(Duration::from_millis(60 + round * 37 % 400));
        child.kill().expect("killed");
        child.wait().expect("gone");
        let found = cells_in_force(&site);
        assert!(whole.contains(&found), "a mixture of {} ports", found.len());
    }
    // What was left half built does not stand in the way.
    confirm(&site, &imaging(Mode::Enforce, 3));
    assert!(site.connect("ward", "10.1.0.7", "10.2.0.7:4000").is_some());
}

/// Ports that are permitted by the maps that the rules in force ask, as `nft` reads them.
fn cells_in_force(site: &Site) -> BTreeSet<u64> {
    let ruleset = site.ruleset();
    let all = ruleset["nftables"].as_array().expect("a list");
    // The base chain leads to the chains in force, and they to their maps.
    let base = all
        .iter()
        .filter(|o| o["rule"]["chain"] == "forward" && o["rule"]["table"] == "asepsis")
        .find_map(|o| {
            let text = o["rule"]["expr"].to_string();
            let at = text.find("judge4_g")?;
            let tail = &text[at + 8..];
            tail.split('"').next().map(str::to_owned)
        })
        .expect("a way to the judge");
    let name = format!("services_g{base}");
    let map = all
        .iter()
        .find(|o| o["map"]["name"] == name.as_str())
        .expect("the map that is asked");
    map["map"]["elem"]
        .as_array()
        .expect("elements")
        .iter()
        .filter_map(|pair| pair[0]["concat"][1].as_u64())
        .collect()
}

#[test]
fn another_program_that_changes_the_ruleset_meanwhile_does_no_harm() {
    if !has("nft") {
        return;
    }
    let Some(site) = site() else { return };
    std::thread::scope(|scope| {
        let noise = scope.spawn(|| {
            for _ in 0..20 {
                site.exec("gate", "nft add table inet noise");
                site.exec("gate", "nft delete table inet noise");
            }
        });
        site.inside("gate", || {
            let mut gateway = Gateway::open().expect("a gateway");
            for round in 0..6 {
                gateway
                    .confirm(&large(round + 1, 7 + u16::from(round)))
                    .expect("in force");
            }
        });
        noise.join().expect("noise");
    });
}

#[test]
fn two_programs_that_change_the_policy_at_once_leave_one_whole_policy() {
    if !has("nft") {
        return;
    }
    let Some(site) = site() else { return };
    confirm(&site, &large(1, 7));
    let whole = [cells_in_force(&site)];
    confirm(&site, &large(2, 11));
    let whole = [whole[0].clone(), cells_in_force(&site)];
    for _ in 0..3 {
        let took = std::thread::scope(|scope| {
            let change = |digest, step| {
                scope.spawn({
                    let site = &site;
                    move || {
                        site.enter("gate");
                        let mut gateway = Gateway::open().expect("a gateway");
                        gateway.confirm(&large(digest, step)).is_ok()
                    }
                })
            };
            let both = [change(1, 7), change(2, 11)];
            both.map(|thread| thread.join().expect("no panic"))
        });
        let found = cells_in_force(&site);
        assert!(
            whole.contains(&found),
            "a mixture of {} ports, {took:?}",
            found.len()
        );
    }
    // One that got in the other's way says so; afterwards either is taken.
    confirm(&site, &large(1, 7));
}

#[test]
fn a_matrix_that_contradicts_itself_changes_nothing() {
    let Some(site) = site() else { return };
    confirm(&site, &imaging(Mode::Enforce, 1));
    site.inside("gate", || {
        let mut wrong = imaging(Mode::Enforce, 2);
        wrong.groups[3].prefixes = wrong.groups[1].prefixes.clone();
        let mut gateway = Gateway::open().expect("a gateway");
        let refusal = gateway
            .confirm(&wrong)
            .expect_err("two groups own a prefix");
        assert!(refusal.to_string().contains("in two groups"), "{refusal}");
        assert_eq!(gateway.digest().expect("a digest"), Some([1; 32]));
        gateway.remove().expect("removed");
        assert_eq!(gateway.digest().expect("a digest"), None);
    });
    assert!(site.connect("ward", "10.1.0.7", "10.2.0.7:4001").is_some());
}

fn myself(site: &Site, test: &str) -> std::process::Child {
    let program = std::env::current_exe().expect("this program");
    std::process::Command::new("ip")
        .args(["netns", "exec", &site.name("gate")])
        .arg(program)
        .args(["--ignored", "--exact", test])
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .expect("a child")
}

/// Waits until a table is there with its rules, or gone.
fn wait_for(site: &Site, table: &str, there: bool) {
    let began = Instant::now();
    loop {
        let output = site.attempt("gate", &format!("nft list table inet {table}"));
        let complete =
            String::from_utf8_lossy(&output.stdout).contains("judged in this generation");
        if complete == there && (there || !output.status.success()) {
            return;
        }
        assert!(
            began.elapsed() < Duration::from_secs(10),
            "{table}: still not {there}"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
}

//! The kill switch between real clients and servers in namespaces.

mod support;

use std::time::Duration;

use domain::net::{Mac, Transport};
use enforce::quarantine::{KillSwitch, Who};
use segment::quarantine::{Containment, Lifeline};

use support::{Middle, NOW, Site, WARD_MAC, alive, has};

fn containment(addresses: &[&str]) -> Containment {
    Containment {
        device: "pump-7".into(),
        addresses: addresses
            .iter()
            .map(|a| a.parse().expect("an address"))
            .collect(),
        macs: Vec::new(),
        lifeline: Vec::new(),
        until: None,
    }
}

fn lifeline(peer: &str, transport: Transport, port: u16, peer_opens: bool) -> Lifeline {
    Lifeline {
        peer: peer.parse().expect("an address"),
        transport,
        port,
        peer_opens,
    }
}

#[test]
fn a_contained_device_loses_its_live_connections_and_its_neighbours_keep_theirs() {
    let Some(site) = Site::new(Middle::Router) else {
        return;
    };
    for address in ["10.2.0.7:4000", "[fd02::7]:4000"] {
        site.echo("room", address);
    }
    let mut four = site
        .connect("ward", "10.1.0.7", "10.2.0.7:4000")
        .expect("a server");
    let mut six = site
        .connect("ward", "fd01::7", "[fd02::7]:4000")
        .expect("a server");
    let mut neighbour = site
        .connect("ward", "10.1.0.8", "10.2.0.7:4000")
        .expect("a server");
    assert!(alive(&mut four) && alive(&mut six) && alive(&mut neighbour));

    let contained = containment(&["10.1.0.7", "fd01::7"]);
    site.inside("gate", || {
        let mut switch = KillSwitch::open().expect("a kill switch");
        assert_eq!(switch.families(), ["inet", "bridge"]);
        let effect = switch.contain(&contained, NOW).expect("contained");
        assert!(effect.acknowledged_us <= effect.read_back_us);
    });
    assert!(!alive(&mut four), "a live connection went on");
    assert!(!alive(&mut six), "a live connection over IPv6 went on");
    assert!(alive(&mut neighbour), "a neighbour lost its connection");
    assert!(!site.datagram("ward", "10.1.0.7", "10.2.0.7:4000", 40));
    assert!(site.datagram("ward", "10.1.0.8", "10.2.0.7:4000", 40));
    // Nor does the other side reach it, nor the gateway itself.
    site.echo("ward", "10.1.0.7:4100");
    assert!(site.connect("room", "10.2.0.7", "10.1.0.7:4100").is_none());
    assert!(site.connect("gate", "10.1.0.1", "10.1.0.7:4100").is_none());

    // The program that did it is gone; another sees it, and lets the device back.
    site.inside("gate", || {
        let mut switch = KillSwitch::open().expect("a kill switch");
        let all = switch.contained().expect("a list");
        let who: Vec<Who> = all.iter().map(|c| c.who).collect();
        assert_eq!(
            who,
            [
                Who::Address("10.1.0.7".parse().expect("an address")),
                Who::Address("fd01::7".parse().expect("an address")),
            ]
        );
        assert!(all.iter().all(|c| c.packets > 0), "{all:?}");
        switch.release(&contained).expect("released");
        assert_eq!(switch.contained().expect("a list"), []);
    });
    assert!(site.datagram("ward", "10.1.0.7", "10.2.0.7:4000", 40));
}

#[test]
fn a_lifeline_stays_and_nothing_beside_it() {
    let Some(site) = Site::new(Middle::Router) else {
        return;
    };
    for address in [
        "10.2.0.7:4000",
        "10.2.0.7:4001",
        "10.2.0.8:4000",
        "[fd02::7]:4000",
    ] {
        site.echo("room", address);
    }
    site.echo("ward", "10.1.0.7:4200");
    let mut kept = site
        .connect("ward", "10.1.0.7", "10.2.0.7:4000")
        .expect("a server");
    let mut contained = containment(&["10.1.0.7", "fd01::7"]);
    contained.lifeline = vec![
        lifeline("10.2.0.7", Transport::Tcp, 4000, false),
        lifeline("10.2.0.7", Transport::Udp, 4000, false),
        lifeline("10.2.0.9", Transport::Tcp, 4200, true),
        lifeline("fd02::7", Transport::Tcp, 4000, false),
    ];
    site.inside("gate", || {
        let mut switch = KillSwitch::open().expect("a kill switch");
        switch.contain(&contained, NOW).expect("contained");
    });
    assert!(alive(&mut kept), "the lifeline was cut");
    assert!(site.connect("ward", "10.1.0.7", "10.2.0.7:4000").is_some());
    assert!(site.connect("ward", "fd01::7", "[fd02::7]:4000").is_some());
    // A datagram longer than the link takes is in fragments.
    assert!(site.datagram("ward", "10.1.0.7", "10.2.0.7:4000", 4000));
    assert!(site.connect("ward", "10.1.0.7", "10.2.0.7:4001").is_none());
    assert!(site.connect("ward", "10.1.0.7", "10.2.0.8:4000").is_none());
    assert!(site.connect("room", "10.2.0.9", "10.1.0.7:4200").is_some());
    assert!(site.connect("room", "10.2.0.7", "10.1.0.7:4200").is_none());

    // Contained again without a lifeline, the former one is gone.
    site.inside("gate", || {
        let mut switch = KillSwitch::open().expect("a kill switch");
        switch
            .contain(&containment(&["10.1.0.7"]), NOW)
            .expect("contained");
    });
    assert!(!alive(&mut kept), "an old lifeline stayed");
}

#[test]
fn the_lifeline_of_one_device_does_not_open_its_contained_peer() {
    let Some(site) = Site::new(Middle::Router) else {
        return;
    };
    site.echo("room", "10.2.0.7:4000");
    let mut pump = containment(&["10.1.0.7"]);
    pump.lifeline = vec![lifeline("10.2.0.7", Transport::Tcp, 4000, false)];
    site.inside("gate", || {
        let mut switch = KillSwitch::open().expect("a kill switch");
        switch.contain(&pump, NOW).expect("contained");
    });
    assert!(site.connect("ward", "10.1.0.7", "10.2.0.7:4000").is_some());
    site.inside("gate", || {
        let mut switch = KillSwitch::open().expect("a kill switch");
        switch
            .contain(&containment(&["10.2.0.7"]), NOW)
            .expect("contained");
    });
    assert!(site.connect("ward", "10.1.0.7", "10.2.0.7:4000").is_none());
}

#[test]
fn a_timed_containment_ends_by_itself_and_can_be_changed_in_place() {
    let Some(site) = Site::new(Middle::Router) else {
        return;
    };
    site.echo("room", "10.2.0.7:4000");
    let mut contained = containment(&["10.1.0.7"]);
    site.inside("gate", || {
        let mut switch = KillSwitch::open().expect("a kill switch");
        contained.until = Some(NOW.plus(Duration::from_secs(3600)));
        switch.contain(&contained, NOW).expect("contained");
        contained.until = Some(NOW.plus(Duration::from_millis(900)));
        switch.contain(&contained, NOW).expect("contained");
        let all = switch.contained().expect("a list");
        assert!(all[0].remaining_ms.is_some_and(|ms| ms <= 900), "{all:?}");
    });
    assert!(!site.datagram("ward", "10.1.0.7", "10.2.0.7:4000", 40));
    std::thread::sleep(Duration::from_millis(1100));
    assert!(site.datagram("ward", "10.1.0.7", "10.2.0.7:4000", 40));
}

#[test]
fn a_mac_address_is_cut_off_on_a_bridge_whatever_ip_address_it_takes() {
    let Some(site) = Site::new(Middle::Bridge) else {
        return;
    };
    site.echo("room", "10.1.2.7:4000");
    site.echo("room", "10.1.2.7:4001");
    let mut live = site
        .connect("ward", "10.1.1.7", "10.1.2.7:4000")
        .expect("a server");
    assert!(alive(&mut live));
    let mut contained = containment(&[]);
    contained.macs = vec![Mac(WARD_MAC)];
    site.inside("gate", || {
        let mut switch = KillSwitch::open().expect("a kill switch");
        switch.contain(&contained, NOW).expect("contained");
    });
    assert!(!alive(&mut live), "a live connection went on");
    assert!(!site.datagram("ward", "10.1.1.9", "10.1.2.7:4000", 40));

    // With a lifeline by address, the interface keeps that and no more.
    contained.addresses = vec!["10.1.1.8".parse().expect("an address")];
    contained.lifeline = vec![lifeline("10.1.2.7", Transport::Udp, 4000, false)];
    site.inside("gate", || {
        let mut switch = KillSwitch::open().expect("a kill switch");
        switch.contain(&contained, NOW).expect("contained");
    });
    assert!(site.datagram("ward", "10.1.1.8", "10.1.2.7:4000", 40));
    assert!(!site.datagram("ward", "10.1.1.8", "10.1.2.7:4001", 40));
    assert!(!site.datagram("ward", "10.1.1.7", "10.1.2.7:4000", 40));
    site.inside("gate", || {
        let mut switch = KillSwitch::open().expect("a kill switch");
        switch.release(&contained).expect("released");
    });
    assert!(site.datagram("ward", "10.1.1.7", "10.1.2.7:4000", 40));
}

#[test]
fn an_independent_reader_finds_the_device_and_the_rules() {
    if !has("nft") {
        return;
    }
    let Some(site) = Site::new(Middle::Router) else {
        return;
    };
    let mut contained = containment(&["10.1.0.7", "fd01::7"]);
    contained.macs = vec![Mac(WARD_MAC)];
    contained.lifeline = vec![lifeline("10.2.0.7", Transport::Tcp, 4000, false)];
    site.inside("gate", || {
        let mut switch = KillSwitch::open().expect("a kill switch");
        switch.contain(&contained, NOW).expect("contained");
    });
    let text = site.ruleset().to_string();
    for piece in [
        "10.1.0.7",
        "fd01::7",
        "02:00:00:00:01:07",
        r#""concat":["10.1.0.7","10.2.0.7","tcp",4000]"#,
        r#""hook":"prerouting""#,
        r#""prio":-350"#,
        "@devices4",
        "everything else",
    ] {
        assert!(text.contains(piece), "{piece} is not in {text}");
    }
}

#[test]
fn without_privileges_the_remedy_is_named_and_nothing_changes() {
    let text = if rustix::process::geteuid().is_root() {
        if !has("setpriv") {
            return;
        }
        let program = std::env::current_exe().expect("this program");
        let output = support::run(
            "setpriv",
            &[
                "--bounding-set=-net_admin",
                "--inh-caps=-net_admin",
                &program.to_string_lossy(),
                "--ignored",
                "--exact",
                "opens_without_privileges",
                "--nocapture",
            ],
        );
        String::from_utf8_lossy(&output.stdout).into_owned()
    } else {
        KillSwitch::open()
            .expect_err("privileges are missing")
            .to_string()
    };
    assert!(text.contains("CAP_NET_ADMIN"), "{text}");
}

/// The other half of the test above.
#[test]
#[ignore = "started by another test without privileges"]
#[allow(clippy::print_stdout, reason = "the other test reads it")]
fn opens_without_privileges() {
    let refusal = KillSwitch::open().expect_err("privileges are missing");
    println!("{refusal}");
}

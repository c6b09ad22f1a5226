use super::*;
use domain::EvidenceKind as E;

/// Devices of three makers, `count` of each, as one house saw them.
fn house(count: usize) -> Vec<(SmolStr, Vec<Evidence>)> {
    let mut out = Vec::new();
    for at in 0..count {
        let unit = format!("{:06x}", 0xa1_b2c3 + at * 7919);
        let device = |label: &str, evidence: &[(E, String)]| {
            (
                SmolStr::new(label),
                evidence
                    .iter()
                    .map(|(kind, value)| Evidence::new(*kind, value.as_str()))
                    .collect::<Vec<_>>(),
            )
        };
        out.push(device(
            "pump",
            &[
                (E::MacVendor, "Pumps Inc".into()),
                (E::DhcpHostname, format!("pump-{unit}")),
                (E::DhcpParameters, "1,3,6,15".into()),
                (E::DhcpVendorClass, "pumpos 2.1".into()),
                (E::DnsQuery, "server.pumps.example".into()),
                (E::Uses, "tcp/3613".into()),
                (E::MdnsTxt, "model=P100".into()),
            ],
        ));
        out.push(device(
            "monitor",
            &[
                (E::MacVendor, "Monitors Ltd".into()),
                (E::DhcpHostname, format!("mon-{unit}")),
                (E::DhcpParameters, "1,3,6,12,15,28,42".into()),
                (E::DhcpVendorClass, "udhcp 1.20".into()),
                (E::Uses, "udp/24005".into()),
                (E::MulticastGroup, "224.0.23.63".into()),
                (E::MdnsTxt, "model=M7".into()),
            ],
        ));
        out.push(device(
            "camera",
            &[
                (E::DhcpHostname, format!("cam{unit}")),
                (E::DhcpParameters, "1,3,28,6".into()),
                (E::SsdpServer, "Linux UPnP/1.0 CamKit/3".into()),
                (E::Serves, "tcp/554".into()),
                (E::DnsQuery, "time.cams.example".into()),
            ],
        ));
        out.push(device(
            "scale",
            &[
                (E::DhcpParameters, "1,3,6".into()),
                (E::HttpUserAgent, format!("Scale/{at}")),
                (E::HttpHost, "measure.scales.example".into()),
                (E::TcpSyn, "255:8400:2:1400:".into()),
            ],
        ));
    }
    out
}

fn learnt(devices: Vec<(SmolStr, Vec<Evidence>)>) -> Pack {
    learn(devices.into_iter(), &Options::default()).expect("something to learn")
}

fn answer(pack: &Pack, evidence: &[(E, &str)]) -> Answer {
    let evidence: Vec<Evidence> = evidence
        .iter()
        .map(|(kind, value)| Evidence::new(*kind, *value))
        .collect();
    pack.learnt()
        .expect("a learnt pack")
        .answer(&evidence)
        .expect("something to go by")
}

const OTHER_PUMP: &[(E, &str)] = &[
    (E::DhcpHostname, "a-name-that-somebody-gave-it"),
    (E::DhcpParameters, "1,3,6,15"),
    (E::DhcpVendorClass, "pumpos 2.1"),
    (E::DnsQuery, "server.pumps.example"),
    (E::Uses, "tcp/3613"),
    (E::MdnsTxt, "model=P100"),
];

#[test]
fn a_unit_never_seen_is_known_by_what_it_does() {
    let pack = learnt(house(12));
    let found = answer(&pack, OTHER_PUMP);
    assert_eq!(found.label, "pump");
    assert!(found.named && found.confidence >= 0.9, "{found:?}");
    assert!(found.weights[4] > 0.0);
}

#[test]
fn a_stranger_is_not_given_the_nearest_name() {
    let pack = learnt(house(12));
    let found = answer(
        &pack,
        &[
            (E::DhcpParameters, "1,3,6,12,15,28,42"),
            (E::DhcpVendorClass, "udhcp 1.31"),
            (E::DnsQuery, "cloud.strangers.example"),
            (E::Uses, "tcp/8883"),
            (E::TlsJa4, "t13d1516h2_8daaf6152771_02713d6af862"),
        ],
    );
    assert!(!found.named, "{found:?}");
    // Everything like a pump, but it says that it is another model.
    let mut sibling = OTHER_PUMP.to_vec();
    sibling[5] = (E::MdnsTxt, "model=P200");
    let found = answer(&pack, &sibling);
    assert_eq!(found.label, "pump");
    assert!(!found.named && found.conflicting, "{found:?}");
    assert!(found.confidence < 0.5);
}

#[test]
fn an_update_takes_a_device_only_so_far_from_its_label() {
    let pack = learnt(house(12));
    let fit = |evidence: &[(E, &str)]| {
        let evidence: Vec<Evidence> = evidence
            .iter()
            .map(|(kind, value)| Evidence::new(*kind, *value))
            .collect();
        let learned = pack.learnt().expect("a learnt pack");
        learned.fits(&feature::features(&evidence)).remove(0)
    };
    let before = fit(OTHER_PUMP);
    let mut updated = OTHER_PUMP.to_vec();
    updated[1] = (E::DhcpParameters, "9,8,7,6,5");
    updated[2] = (E::DhcpVendorClass, "newos 7.0");
    let (some, all) = (fit(&updated), {
        updated.extend([
            (E::TcpSyn, "64:1:new"),
            (E::TlsJa4, "t13dnew"),
            (E::SshServer, "SSH-2.0-new"),
            (E::HttpServer, "new/1"),
        ]);
        fit(&updated)
    });
    for fit in [&some, &all] {
        assert_eq!(pack_label(&pack, fit), "pump");
        assert!(fit.bits < before.bits, "{fit:?} {before:?}");
    }
    // One update replaces it all: the fourth new value says no more than the first two.
    assert!(some.bits - all.bits < 2.0, "{some:?} {all:?}");
    assert!(all.explained > 0.5, "{all:?}");
}

fn pack_label(pack: &Pack, fit: &model::Fit) -> SmolStr {
    pack.learnt().expect("a learnt pack").labels[fit.label]
        .name
        .clone()
}

#[test]
fn the_same_examples_in_any_order_make_the_same_pack() {
    let mut devices = house(6);
    let one = learnt(devices.clone()).to_text();
    devices.reverse();
    for (_, evidence) in &mut devices {
        evidence.reverse();
    }
    assert_eq!(learnt(devices).to_text(), one);
}

#[test]
fn a_pack_read_back_answers_as_the_one_learnt() {
    let pack = learnt(house(12));
    let text = pack.to_text().expect("a learnt pack");
    let read = Pack::parse("pack.toml", text.as_bytes()).expect("its own text");
    assert_eq!(answer(&read, OTHER_PUMP), answer(&pack, OTHER_PUMP));
    assert_eq!(read.to_text(), Some(text.clone()));
    for wrong in [
        text.replace("fingerprints 1", "fingerprints 9"),
        text.replace("dhcp.parameters", "dhcp.wishes"),
        text.replace("examples = 12", "examples = 0"),
        text.replacen("highest = 0", "highest = 7", 1),
    ] {
        assert!(Pack::parse("pack.toml", wrong.as_bytes()).is_err());
    }
}

#[test]
fn one_label_or_few_examples_never_make_sure() {
    let devices: Vec<_> = house(2).into_iter().filter(|(l, _)| l == "pump").collect();
    let found = answer(&learnt(devices), OTHER_PUMP);
    assert!(found.confidence <= 0.9, "{found:?}");
    assert_eq!(
        learn(std::iter::empty(), &Options::default()).err(),
        Some(LearnError::Nothing)
    );
    let nothing = vec![(SmolStr::new("x"), vec![Evidence::new(E::RegisterId, "7")])];
    assert_eq!(
        learn(nothing.into_iter(), &Options::default()).err(),
        Some(LearnError::Nothing)
    );
}

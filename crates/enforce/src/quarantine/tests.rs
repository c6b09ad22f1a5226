use super::*;
use segment::quarantine::Lifeline;

const NOW: Timestamp = Timestamp::from_millis(1_795_336_205_000);

fn containment() -> Containment {
    Containment {
        device: "pump-7".into(),
        addresses: vec!["10.1.0.7".parse().expect("an address")],
        macs: vec![Mac([2, 0, 0, 0, 0, 7])],
        lifeline: Vec::new(),
        until: None,
    }
}

fn refused(change: impl FnOnce(&mut Containment)) -> String {
    let mut containment = containment();
    change(&mut containment);
    match Parts::of(&containment, NOW) {
        Ok(_) => panic!("it was taken"),
        Err(refusal) => refusal.to_string(),
    }
}

#[test]
fn what_is_not_one_device_is_never_contained() {
    for address in [
        "224.0.0.251",
        "255.255.255.255",
        "0.0.0.0",
        "127.0.0.1",
        "ff02::1",
        "::",
    ] {
        let text = refused(|c| c.addresses = vec![address.parse().expect("an address")]);
        assert!(text.contains("not the address of one device"), "{text}");
    }
    let text = refused(|c| c.macs = vec![Mac::BROADCAST]);
    assert!(text.contains("ff:ff:ff:ff:ff:ff"), "{text}");
    let text = refused(|c| {
        c.addresses.clear();
        c.macs.clear();
    });
    assert!(text.contains("hint"), "{text}");
}

#[test]
fn an_end_in_the_past_and_a_lifeline_without_a_port_are_refused() {
    assert!(refused(|c| c.until = Some(NOW)).contains("passed already"));
    let text = refused(|c| {
        c.lifeline.push(Lifeline {
            peer: "10.2.0.1".parse().expect("an address"),
            transport: Transport::Other(50),
            port: 0,
            peer_opens: false,
        });
    });
    assert!(text.contains("ip-50"), "{text}");
}

#[test]
fn a_timed_containment_ends_with_all_its_elements() {
    let mut containment = containment();
    containment.until = Some(NOW.plus(Duration::from_secs(7200)));
    containment.lifeline.push(Lifeline {
        peer: "10.2.0.1".parse().expect("an address"),
        transport: Transport::Tcp,
        port: 8443,
        peer_opens: false,
    });
    let parts = Parts::of(&containment, NOW).expect("a device");
    let sets: Vec<&str> = parts.elements.iter().map(|(set, _)| set.as_str()).collect();
    assert_eq!(
        sets,
        ["devices4", "kept4", "kept_macs", "macs", "opens4", "peers4"]
    );
    assert!(
        parts
            .elements
            .iter()
            .all(|(_, element)| element.timeout_ms == Some(7_200_000))
    );
}

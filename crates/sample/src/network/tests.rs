use std::collections::BTreeSet;

use super::*;

fn network(seed: u64) -> Network {
    let now = Timestamp::parse("2026-11-22T08:30:00Z").expect("an instant");
    Network::of(&Hospital::generate(seed, now))
}

/// A working day.
fn day() -> (Timestamp, Timestamp) {
    let from = Timestamp::parse("2026-11-18T00:00:00Z").expect("an instant");
    (from, from.plus(Duration::from_secs(86_400)))
}

#[test]
fn a_day_is_the_same_however_it_is_cut() {
    let network = network(3);
    let (from, until) = day();
    let noon = from.plus(Duration::from_secs(43_200));
    let whole: BTreeSet<Vec<u8>> = network
        .packets(from, until)
        .into_iter()
        .map(|p| p.bytes)
        .collect();
    let mut parts = network.packets(from, noon);
    parts.extend(network.packets(noon, until));
    let parts: BTreeSet<Vec<u8>> = parts.into_iter().map(|p| p.bytes).collect();
    assert_eq!(whole, parts);
    assert!(whole.len() > 5_000, "{} frames", whole.len());
}

#[test]
fn addresses_and_names_are_nobody_elses() {
    let network = network(5);
    let machines = network.machines();
    let macs: BTreeSet<Mac> = machines.iter().map(|m| m.mac).collect();
    let addresses: BTreeSet<Ipv4Addr> = machines.iter().map(|m| m.addr).collect();
    let names: BTreeSet<&str> = machines.iter().map(|m| m.name.as_str()).collect();
    assert_eq!(macs.len(), machines.len());
    assert_eq!(addresses.len(), machines.len());
    assert_eq!(names.len(), machines.len());
    assert_eq!(machines.iter().filter(|m| m.kind == "unlisted").count(), 40);
}

#[test]
fn checksums_hold() {
    let (from, until) = day();
    for packet in network(1).packets(from, until) {
        if packet.bytes[16..18] != [0x08, 0x00] {
            continue;
        }
        let header = &packet.bytes[18..38];
        let sum = header
            .chunks(2)
            .map(|w| u32::from(w[0]) << 8 | u32::from(w[1]))
            .sum::<u32>();
        assert_eq!((sum & 0xffff) + (sum >> 16), 0xffff);
        let length = usize::from(u16::from_be_bytes([header[2], header[3]]));
        assert!(packet.bytes.len() >= 18 + length);
    }
}

#[test]
fn the_register_differs_from_the_truth_by_as_much_as_it_says() {
    let network = network(2);
    let register = network.register();
    let rows = register.csv.lines().count() - 1;
    let machines = network.machines().len();
    assert_eq!(
        rows,
        machines - register.ghosts + register.duplicates + register.missing
    );
    assert!(register.ghosts > 40 && register.misplaced > 0 && register.mislabelled > 0);
}

//! tshark is the oracle: whatever it shows of a device in the shared captures, the sensor says too.
//!
//! Skipped, with a line that says so, where tshark or the data are missing.

#[path = "support/conversations.rs"]
mod conversations;
#[path = "support/made.rs"]
mod made;
#[path = "support/oracle.rs"]
mod oracle;
#[path = "support/packets.rs"]
#[allow(unreachable_pub, reason = "shared with the benchmark")]
mod packets;

use std::collections::BTreeMap;
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use oracle::{Agreement, FIELDS, Row, agree, agree_on_arp};

/// What is compared beside fields, and the share that has been reached.
///
/// What differs, and why. Packets: a trunk of Cisco FabricPath (`ajp`) is not unwrapped, and two frames with a damaged TCP
/// header count for tshark alone. Protocols: connections that begin in the middle, of which tshark recognises a later
/// record (`heuristic_tcp_ack_payload`, `kerberos`, `riot`); TLS that begins within another protocol (`mysql`, `nomachine`, OpenVPN over TCP); names that tshark gives for the port alone (`dnscrypt-v2`, `someip_sd_sample`).
const BESIDE: [(&str, f64); 3] = [
    ("arp", 1.0),
    ("packets of conversation", 0.999),
    ("protocol", 0.98),
];

/// Everything that is compared.
fn compared_fields() -> impl Iterator<Item = (&'static str, f64)> {
    let fields = FIELDS.iter().map(|field| (field.name, field.floor));
    fields.chain(BESIDE)
}

/// Agreed values of all, in each field and altogether.
const FLOOR_ALL: f64 = 0.99;

#[test]
#[allow(
    clippy::print_stderr,
    reason = "the ratios are what a reader of the test wants"
)]
fn what_tshark_shows_is_found() {
    let Some(data) = packets::data_folder() else {
        eprintln!("skipped: no shared test data; hint: set `ASEPSIS_DATA`");
        return;
    };
    if Command::new("tshark").arg("-v").output().is_err() {
        eprintln!("skipped: `tshark` is not installed");
        return;
    }
    let mut totals: BTreeMap<&str, Agreement> = BTreeMap::new();
    let folders = ["captures/medical", "captures/ndpi"];
    let mut files: Vec<_> = folders
        .iter()
        .flat_map(|folder| packets::captures(&data.join(folder)))
        .collect();
    // Of the devices at home, which say much over DHCP, mDNS and SSDP, some of each kind.
    let homes = packets::captures(&data.join("devices/iot-sentinel"));
    files.extend(homes.into_iter().step_by(6));
    assert!(files.len() > 100, "the captures are there");
    // What the captures lack.
    let folder = tempfile::tempdir().expect("a temporary folder");
    let made = folder.path().join("made.pcap");
    oracle::write(&made::packets(), &made);
    files.push(made);
    // tshark takes half a second to start, so two run at a time.
    let next = AtomicUsize::new(0);
    let compared = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some(file) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let rows = Row::read(file);
                    let octets = std::fs::read(file).expect("a capture");
                    let heard = oracle::hear(&packets::read(&octets));
                    let fields = FIELDS
                        .iter()
                        .map(|field| agree(field, &rows, &heard.evidence));
                    let mut agreements: Vec<Agreement> = fields.collect();
                    agreements.push(agree_on_arp(&rows, &heard));
                    agreements.extend(conversations::agree(
                        &conversations::shown(&rows),
                        &conversations::reported(&heard.flows),
                    ));
                    compared.lock().expect("no panic").push((file, agreements));
                }
            });
        }
    });
    let mut compared = compared.into_inner().expect("no panic");
    compared.sort_by_key(|(file, _)| *file);
    for (file, agreements) in compared {
        for ((compared, _), agreement) in compared_fields().zip(agreements) {
            for missed in &agreement.missed {
                let name = file.file_name().unwrap_or_default().to_string_lossy();
                eprintln!("missed {compared:<22} {name}: {missed}");
            }
            let total = totals.entry(compared).or_default();
            total.found += agreement.found;
            total.missed.extend(agreement.missed);
        }
    }
    let (mut found, mut all) = (0, 0);
    let mut below = Vec::new();
    for (name, floor) in compared_fields() {
        let total = &totals[name];
        let count = total.found + total.missed.len();
        found += total.found;
        all += count;
        let ratio = total.ratio();
        let percent = ratio * 100.0;
        eprintln!(
            "{name:<22} {:>5} of {count:>5}  {percent:>6.2} %",
            total.found
        );
        if ratio < floor {
            below.push(format!(
                "{name}: {percent:.2} % agreed, {:.2} % were reached before",
                floor * 100.0
            ));
        }
    }
    let ratio = found as f64 / all as f64;
    for name in [
        "lldp system",
        "cdp device",
        "snmp system description",
        "mqtt client",
        "dhcpv6 name",
    ] {
        assert!(totals[name].found > 0, "{name}: the made packets show it");
    }
    eprintln!(
        "{:<22} {found:>5} of {all:>5}  {:>6.2} %",
        "all",
        ratio * 100.0
    );
    assert!(below.is_empty(), "{below:#?}");
    assert!(all > 1000, "tshark showed something");
    assert!(ratio >= FLOOR_ALL, "{:.2} % agreed", ratio * 100.0);
}

//! What tests of dissectors share.

use std::net::{IpAddr, Ipv4Addr};

use domain::Timestamp;
use domain::conversation::Opening;
use domain::net::{Mac, Party, Transport};
use domain::observation::{Fact, SourceId};

use super::{Memory, Scene, StreamProtocol, Streams};
use crate::counters::Counters;
use crate::findings::{Findings, Notes, Outbox};
use crate::hash::Keyed;
use crate::remembered::Remembered;
use crate::text::Text;

/// An outbox in which nothing was said.
pub(crate) fn outbox() -> Outbox {
    Outbox {
        source: SourceId(0),
        keyed: Keyed::from_words(1, 2),
        remembered: Remembered::new(4096, 3_600_000),
        observations: Vec::new(),
        flows: Vec::new(),
        text: Text::new(),
        counters: Counters::default(),
    }
}

/// `10.0.0.n` with the MAC `02:00:00:00:00:n`.
pub(crate) fn party(number: u8) -> Party {
    Party {
        mac: Some(Mac([2, 0, 0, 0, 0, number])),
        addr: Some(IpAddr::V4(Ipv4Addr::new(10, 0, 0, number))),
        vlan: None,
    }
}

/// Client 10.0.0.1 (port 40000) speaks to server 10.0.0.2.
pub(crate) fn scene(transport: Transport, server_port: u16) -> Scene {
    Scene {
        at: Timestamp::from_millis(1_700_000_000_000),
        client: party(1),
        server: party(2),
        transport,
        client_port: 40_000,
        server_port,
        to_server: true,
        opening: Opening::Seen,
    }
}

/// What was said, as `kind value`, with `@` and the last octet of the address in front of what is about another than
/// `10.0.0.1`.
pub(crate) fn heard(out: &Outbox) -> Vec<String> {
    out.observations
        .iter()
        .map(|observation| {
            let about = match observation.about.party.addr {
                Some(IpAddr::V4(v4)) if v4.octets()[3] != 1 && v4.octets()[..3] == [10, 0, 0] => {
                    format!("@{} ", v4.octets()[3])
                }
                _ => String::new(),
            };
            let asset = match &observation.about.asset {
                Some(asset) => format!("{asset:?} "),
                None => String::new(),
            };
            match &observation.fact {
                Fact::Evidence { kind, value } => format!("{about}{asset}{kind} {value}"),
                Fact::Address { .. } => {
                    let address = observation.about.party.addr;
                    format!(
                        "address {}",
                        address.map_or_else(String::new, |a| a.to_string())
                    )
                }
                other => format!("{about}{other:?}"),
            }
        })
        .collect()
}

/// Gives one datagram to a dissector.
pub(crate) fn datagram(
    dissect: fn(&Scene, &[u8], &mut Findings<'_>) -> bool,
    scene: &Scene,
    payload: &[u8],
) -> (bool, Vec<String>, Notes) {
    let (mut out, mut notes) = (outbox(), Notes::default());
    let mut findings = Findings {
        scene: *scene,
        out: &mut out,
        notes: &mut notes,
    };
    let recognised = dissect(scene, payload, &mut findings);
    (recognised, heard(&out), notes)
}

/// Gives whole streams to a dissector, once.
#[allow(dead_code, reason = "for stream protocols")]
pub(crate) fn stream(
    protocol: &StreamProtocol,
    scene: &Scene,
    to_server: &[u8],
    to_client: &[u8],
) -> (Vec<String>, Notes) {
    let (mut out, mut notes) = (outbox(), Notes::default());
    let mut findings = Findings {
        scene: *scene,
        out: &mut out,
        notes: &mut notes,
    };
    let streams = Streams {
        to_server,
        to_client,
        ended: true,
        ..Streams::default()
    };
    (protocol.dissect)(scene, &streams, &mut Memory::default(), &mut findings);
    (heard(&out), notes)
}

//! Flow records: inside captures of nothing else, and one message behind the other in files.

use std::net::IpAddr;

use domain::Timestamp;
use domain::observation::Sink;
use sense::LinkType;
use sense::records::{Context, Counts, Format, Problem, netflow, sflow};

use crate::packets::Framer;

/// Packets that are looked at.
const SAMPLE: usize = 200;

/// Octets that hold a whole message.
pub(crate) const MESSAGE_MAX: usize = 65_536;

/// Collectors for both kinds.
#[derive(Debug)]
pub(crate) struct Exports {
    netflow: netflow::Collector,
    sflow: sflow::Collector,
}

impl Exports {
    pub(crate) fn new(context: Context) -> Self {
        Self {
            netflow: netflow::Collector::new(context),
            sflow: sflow::Collector::new(context),
        }
    }

    pub(crate) fn counts(&self) -> Counts {
        let mut counts = self.netflow.counts();
        counts.add(&self.sflow.counts());
        counts
    }

    /// Takes a message; answers its octets.
    pub(crate) fn message(
        &mut self,
        at: Timestamp,
        exporter: Option<IpAddr>,
        bytes: &[u8],
        sink: &mut dyn Sink,
    ) -> Result<usize, Problem> {
        if bytes.starts_with(&[0, 0, 0, 5]) {
            self.sflow
                .datagram(at, bytes, sink)
                .map(|count| count.octets)
        } else {
            self.netflow
                .datagram(at, exporter, bytes, sink)
                .map(|count| count.octets)
        }
    }

    /// Takes a packet of a capture, when it carries a message.
    pub(crate) fn packet(
        &mut self,
        at: Timestamp,
        link: LinkType,
        bytes: &[u8],
        sink: &mut dyn Sink,
    ) -> Result<(), Problem> {
        match carried(link, bytes) {
            Some((exporter, message)) => {
                self.message(at, Some(exporter), message, sink).map(|_| ())
            }
            None => Ok(()),
        }
    }
}

/// Whether a message begins here.
pub(crate) fn begins(bytes: &[u8]) -> bool {
    netflow::plausible(bytes) || sflow::plausible(bytes)
}

/// Whether a capture is one of flow records on their way to a collector, and of little else: then the records tell more
/// than the packets do. In any other capture the records would tell of traffic that is seen itself.
pub(crate) fn prevail(format: Format, octets: &[u8]) -> bool {
    let Some(mut framer) = Framer::new(format, Timestamp::from_millis(0)) else {
        return false;
    };
    let (mut seen, mut carrying) = (0_usize, 0_usize);
    framer.take(
        octets,
        false,
        &mut |packet| {
            if seen < SAMPLE {
                seen += 1;
                carrying += usize::from(
                    carried(packet.link, packet.bytes).is_some_and(|(_, message)| begins(message)),
                );
            }
        },
        &mut |_| {},
    );
    seen > 0 && carrying * 10 >= seen * 8
}

/// The sender and the payload of a UDP datagram that is no fragment.
fn carried(link: LinkType, bytes: &[u8]) -> Option<(IpAddr, &[u8])> {
    let half = |at: usize| {
        bytes
            .get(at..at + 2)
            .map(|b| u16::from_be_bytes([b[0], b[1]]))
    };
    let mut at = match link {
        LinkType::Ethernet => 12,
        LinkType::LinuxSll => 14,
        LinkType::RawIp => 0,
        _ => return None,
    };
    if link != LinkType::RawIp {
        while half(at)? == 0x8100 {
            at += 4;
        }
        at += 2;
    }
    let packet = bytes.get(at..)?;
    let (source, protocol, header): (IpAddr, u8, usize) = match packet.first()? >> 4 {
        4 => {
            if u16::from_be_bytes([*packet.get(6)?, *packet.get(7)?]) & 0x3fff != 0 {
                return None;
            }
            let source = <[u8; 4]>::try_from(packet.get(12..16)?).ok()?;
            (
                source.into(),
                *packet.get(9)?,
                usize::from(packet.first()? & 0xf) * 4,
            )
        }
        6 => (
            <[u8; 16]>::try_from(packet.get(8..24)?).ok()?.into(),
            *packet.get(6)?,
            40,
        ),
        _ => return None,
    };
    let datagram = packet.get(header..).filter(|_| protocol == 17)?;
    let length = usize::from(u16::from_be_bytes([*datagram.get(4)?, *datagram.get(5)?]));
    // A datagram that the capture cut is given as far as it goes.
    Some((source, datagram.get(8..length.min(datagram.len()))?))
}

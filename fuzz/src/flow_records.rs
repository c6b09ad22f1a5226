//! NetFlow, IPFIX and sFlow: any sequence of datagrams is taken, whatever templates came before.
//!
//! Datagrams stand one behind the other, each after two octets with its length.

use domain::Timestamp;
use domain::observation::{Collected, SourceId};
use sense::records::{Context, netflow, sflow};

/// The body of the target.
pub fn run(data: &[u8]) {
    let at = Timestamp::from_millis(1_795_336_205_000);
    let context = Context {
        source: SourceId(0),
        at,
    };
    let mut netflow = netflow::Collector::new(context);
    let mut sflow = sflow::Collector::new(context);
    let mut sink = Collected::default();
    let mut rest = data;
    while let [high, low, tail @ ..] = rest {
        let length = usize::from(u16::from_be_bytes([*high, *low])).min(tail.len());
        let (datagram, after) = tail.split_at(length);
        rest = after;
        if let Ok(count) = netflow.datagram(at, None, datagram, &mut sink) {
            assert!(count.octets <= datagram.len());
        }
        if let Ok(count) = sflow.datagram(at, datagram, &mut sink) {
            assert!(count.octets <= datagram.len());
        }
        let _ = (netflow::plausible(datagram), sflow::plausible(datagram));
    }
    // A record takes an octet at least, so that a small datagram cannot tell without end.
    assert!(sink.flows.len() <= data.len());
}

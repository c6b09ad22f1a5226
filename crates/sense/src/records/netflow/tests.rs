use super::*;
use domain::conversation::{Flow, Opening, Volume};
use domain::observation::{Collected, SourceId};

const AT: Timestamp = Timestamp::from_millis(1_795_336_205_000);

fn collector() -> Collector {
    Collector::new(Context {
        source: SourceId(3),
        at: AT,
    })
}

fn word(out: &mut Vec<u8>, value: u32) {
    out.extend_from_slice(&value.to_be_bytes());
}

fn half(out: &mut Vec<u8>, value: u16) {
    out.extend_from_slice(&value.to_be_bytes());
}

/// A v5 datagram with one record for each (source, destination, source port, destination port).
fn version5(sampling: u16, rows: &[([u8; 4], [u8; 4], u16, u16)]) -> Vec<u8> {
    let mut out = Vec::new();
    half(&mut out, 5);
    half(&mut out, rows.len() as u16);
    word(&mut out, 100_000);
    word(&mut out, 1_795_336_205);
    word(&mut out, 0);
    word(&mut out, 1);
    half(&mut out, 0);
    half(&mut out, sampling);
    for (source, destination, source_port, destination_port) in rows {
        out.extend_from_slice(source);
        out.extend_from_slice(destination);
        out.extend_from_slice(&[0; 8]);
        word(&mut out, 10);
        word(&mut out, 1500);
        word(&mut out, 90_000);
        word(&mut out, 95_000);
        half(&mut out, *source_port);
        half(&mut out, *destination_port);
        out.extend_from_slice(&[0, 0x1b, 6, 0]);
        out.extend_from_slice(&[0; 8]);
    }
    out
}

fn set(id: u16, body: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    half(&mut out, id);
    half(&mut out, (body.len() + 4) as u16);
    out.extend_from_slice(body);
    out
}

fn version9(sets: &[Vec<u8>]) -> Vec<u8> {
    let mut out = Vec::new();
    half(&mut out, 9);
    half(&mut out, sets.len() as u16);
    word(&mut out, 100_000);
    word(&mut out, 1_795_336_205);
    word(&mut out, 1);
    word(&mut out, 7);
    out.extend(sets.concat());
    out
}

fn ipfix(sets: &[Vec<u8>]) -> Vec<u8> {
    let body = sets.concat();
    let mut out = Vec::new();
    half(&mut out, 10);
    half(&mut out, (body.len() + 16) as u16);
    word(&mut out, 1_795_336_205);
    word(&mut out, 1);
    word(&mut out, 7);
    out.extend(body);
    out
}

fn template(id: u16, fields: &[(u16, u16)]) -> Vec<u8> {
    let mut out = Vec::new();
    half(&mut out, id);
    half(&mut out, fields.len() as u16);
    for (element, length) in fields {
        half(&mut out, *element);
        half(&mut out, *length);
    }
    out
}

fn take(collector: &mut Collector, bytes: &[u8]) -> (Vec<Flow>, Result<Count, Problem>) {
    let mut sink = Collected::default();
    let count = collector.datagram(AT, "10.9.9.9".parse().ok(), bytes, &mut sink);
    (sink.flows, count)
}

#[test]
fn both_directions_of_a_flow_have_the_same_client() {
    let bytes = version5(
        0,
        &[
            ([10, 0, 0, 9], [10, 0, 0, 5], 104, 50_000),
            ([10, 0, 0, 5], [10, 0, 0, 9], 50_000, 104),
        ],
    );
    let (flows, count) = take(&mut collector(), &bytes);
    assert_eq!(count.map(|count| (count.flows, count.octets)), Ok((2, 120)));
    for flow in &flows {
        assert_eq!(flow.client.addr, "10.0.0.5".parse().ok());
        assert_eq!((flow.port, flow.client_port), (104, 50_000));
        assert_eq!(flow.opening, Opening::Guessed);
        assert_eq!(flow.first, Timestamp::from_millis(1_795_336_195_000));
        assert_eq!(flow.last, Timestamp::from_millis(1_795_336_200_000));
    }
    let volume = Volume {
        packets: 10,
        bytes: 1500,
    };
    assert_eq!(
        (flows[0].received, flows[0].sent),
        (volume, Volume::default())
    );
    assert_eq!(
        (flows[1].sent, flows[1].received),
        (volume, Volume::default())
    );
    assert_eq!((flows[0].begins, flows[1].begins), (true, false));
}

#[test]
fn sampled_volumes_are_scaled() {
    let (flows, _) = take(
        &mut collector(),
        &version5(0x4000 | 100, &[([10, 0, 0, 5], [10, 0, 0, 9], 50_000, 443)]),
    );
    assert_eq!(flows[0].sent.packets, 1000);
    assert_eq!(flows[0].sent.bytes, 150_000);
}

const FIELDS: &[(u16, u16)] = &[
    (8, 4),
    (12, 4),
    (7, 2),
    (11, 2),
    (4, 1),
    (2, 4),
    (1, 4),
    (22, 4),
    (21, 4),
];

fn row() -> Vec<u8> {
    let mut out = vec![10, 0, 0, 5, 10, 0, 0, 9];
    half(&mut out, 50_000);
    half(&mut out, 104);
    out.push(6);
    word(&mut out, 3);
    word(&mut out, 300);
    word(&mut out, 90_000);
    word(&mut out, 95_000);
    out
}

#[test]
fn records_wait_for_their_template() {
    let mut collector = collector();
    let data = version9(&[set(256, &[row(), row(), vec![0]].concat())]);
    let (flows, count) = take(&mut collector, &data);
    assert!(flows.is_empty());
    assert_eq!(count.map(|count| count.without_template), Ok(1));
    let (_, count) = take(&mut collector, &version9(&[set(0, &template(256, FIELDS))]));
    assert_eq!(count.map(|count| count.templates), Ok(1));
    let (flows, _) = take(&mut collector, &data);
    assert_eq!(flows.len(), 2);
    assert_eq!(flows[0].last, Timestamp::from_millis(1_795_336_200_000));
    // Another exporter's templates are its own.
    let mut sink = Collected::default();
    let other = collector.datagram(AT, "10.9.9.8".parse().ok(), &data, &mut sink);
    assert_eq!(other.map(|count| count.without_template), Ok(1));
}

#[test]
fn an_exporters_options_tell_its_sampling() {
    let mut collector = collector();
    let mut options = Vec::new();
    half(&mut options, 257);
    half(&mut options, 4); // Octets of scope fields.
    half(&mut options, 4); // Octets of option fields.
    half(&mut options, 1);
    half(&mut options, 4);
    half(&mut options, 34);
    half(&mut options, 4);
    let mut interval = vec![0; 4];
    word(&mut interval, 50);
    let (flows, count) = take(
        &mut collector,
        &version9(&[
            set(1, &options),
            set(257, &interval),
            set(0, &template(256, FIELDS)),
            set(256, &row()),
        ]),
    );
    assert_eq!(count.map(|count| count.templates), Ok(2));
    assert_eq!(flows[0].sent.packets, 150);
}

#[test]
fn a_biflow_tells_who_opened_it() {
    let mut fields = template(
        300,
        &[
            (27, 16),
            (28, 16),
            (7, 2),
            (11, 2),
            (4, 1),
            (152, 8),
            (153, 8),
            (2, 8),
            (1, 8),
        ],
    );
    fields[3] = 11; // Two more, of the reverse direction.
    for element in [2_u16, 1] {
        half(&mut fields, element | 0x8000);
        half(&mut fields, 8);
        word(&mut fields, 29_305);
    }
    let mut data = Vec::new();
    data.extend_from_slice(
        &"fd00::5"
            .parse::<std::net::Ipv6Addr>()
            .expect("an address")
            .octets(),
    );
    data.extend_from_slice(
        &"fd00::9"
            .parse::<std::net::Ipv6Addr>()
            .expect("an address")
            .octets(),
    );
    half(&mut data, 104);
    half(&mut data, 50_000);
    data.push(6);
    for value in [1_795_336_000_000_u64, 1_795_336_001_000, 3, 300, 4, 400] {
        data.extend_from_slice(&value.to_be_bytes());
    }
    let (flows, count) = take(
        &mut collector(),
        &ipfix(&[set(2, &fields), set(300, &data)]),
    );
    assert_eq!(
        count.map(|count| (count.templates, count.flows)),
        Ok((1, 1))
    );
    assert_eq!(flows[0].opening, Opening::Told);
    assert_eq!(flows[0].client.addr, "fd00::5".parse().ok());
    assert_eq!(flows[0].port, 50_000, "ports do not overrule what was told");
    assert_eq!((flows[0].sent.packets, flows[0].received.bytes), (3, 400));
    assert_eq!(flows[0].first, Timestamp::from_millis(1_795_336_000_000));
}

#[test]
fn fields_of_variable_length_are_passed_over() {
    let fields = template(300, &[(8, 4), (82, u16::MAX), (12, 4), (4, 1)]);
    let mut data = vec![10, 0, 0, 5, 3, b'e', b't', b'h', 10, 0, 0, 9, 17];
    data.extend_from_slice(&[10, 0, 0, 6, 255, 0, 1, b'x', 10, 0, 0, 9, 17]);
    let (flows, count) = take(
        &mut collector(),
        &ipfix(&[set(2, &fields), set(300, &data)]),
    );
    assert_eq!(count.map(|count| count.flows), Ok(2));
    assert_eq!(flows[1].client.addr, "10.0.0.6".parse().ok());
}

#[test]
fn a_cut_datagram_keeps_what_came_before() {
    let bytes = version5(
        0,
        &[
            ([10, 0, 0, 5], [10, 0, 0, 9], 50_000, 104),
            ([10, 0, 0, 6], [10, 0, 0, 9], 50_000, 104),
        ],
    );
    let (flows, count) = take(&mut collector(), &bytes[..100]);
    assert_eq!(flows.len(), 1);
    assert!(count.is_err());
    assert!(take(&mut collector(), b"\0\x07nonsense").1.is_err());
}

#[test]
fn invented_templates_fill_no_memory() {
    let mut collector = collector();
    let mut refused = false;
    for domain in 0..200_u32 {
        let sets: Vec<Vec<u8>> = (0..40)
            .map(|n| set(2, &template(256 + n, &[(1, 4)])))
            .collect();
        let mut message = ipfix(&sets);
        message[12..16].copy_from_slice(&domain.to_be_bytes());
        refused |= take(&mut collector, &message).1.is_err();
    }
    assert!(refused);
}

proptest::proptest! {
    #[test]
    fn any_octets_are_survived(version in 0_u8..12, bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..600)) {
        let mut message = vec![0, version];
        message.extend_from_slice(&bytes);
        let mut collector = collector();
        let _ = take(&mut collector, &message);
        let _ = take(&mut collector, &message);
        let _ = plausible(&message);
    }
}

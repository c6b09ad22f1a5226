use super::*;
use domain::SourceId;
use domain::Timestamp;
use domain::conversation::{Opening, Protection, Volume};

const LIMITS: (usize, usize) = (1_000, 8);

fn flow(port: u16, secs: i64) -> Flow {
    Flow {
        source: SourceId(0),
        first: Timestamp::from_millis(secs * 1000),
        last: Timestamp::from_millis(secs * 1000 + 500),
        client: domain::Party::default(),
        server: domain::Party::default(),
        transport: Transport::Tcp,
        port,
        client_port: 50_000,
        opening: Opening::Seen,
        begins: true,
        service: None,
        protection: Protection::Unknown,
        meanings: Vec::new(),
        server_name: None,
        sent: Volume {
            packets: 2,
            bytes: 200,
        },
        received: Volume {
            packets: 1,
            bytes: 100,
        },
    }
}

struct Bench {
    all: Conversations,
    texts: Interner,
    limits: (usize, usize),
}

impl Bench {
    fn new(limits: (usize, usize)) -> Self {
        Self {
            all: Conversations::default(),
            texts: Interner::default(),
            limits,
        }
    }

    fn add(&mut self, client: u32, server: u32, flow: &Flow) {
        let (client, server) = (Endpoint::node(client), Endpoint::node(server));
        self.all
            .add(client, server, flow, &mut self.texts, self.limits, 1);
    }

    fn rows(&self) -> Vec<Conversation> {
        let who = |end: Endpoint, _| {
            Some(match (end.as_node(), end.as_remote()) {
                (Some(n), _) => DeviceId::from(format!("n{n}")),
                (_, Some(text)) => DeviceId::from(self.texts.get(text)),
                _ => return None,
            })
        };
        between_devices(self.all.iter().map(|(_, r)| r), &self.texts, who)
    }
}

#[test]
fn flows_of_one_kind_are_one_row() {
    let mut bench = Bench::new(LIMITS);
    let mut dicom = flow(104, 0);
    dicom.service = Some("dicom".into());
    dicom.meanings = vec!["C-STORE".into()];
    dicom.protection = Protection::Cleartext;
    bench.add(1, 2, &dicom);
    let mut later = flow(104, 86_400 * 2 + 3600);
    later.service = Some("dicom".into());
    later.meanings = vec!["C-ECHO".into(), "C-STORE".into()];
    later.protection = Protection::Encrypted;
    later.opening = Opening::Guessed;
    bench.add(1, 2, &later);
    let rows = bench.rows();
    let [row] = rows.as_slice() else {
        panic!("one row: {rows:?}");
    };
    assert_eq!((row.flows, row.days, row.ports), (2, 2, 1));
    assert_eq!(row.meanings, ["C-ECHO", "C-STORE"]);
    assert_eq!(row.protection, Protection::Cleartext, "the worst counts");
    assert_eq!(row.opening, Opening::Seen, "the best counts");
    assert_eq!(
        row.sent,
        Volume {
            packets: 4,
            bytes: 400
        }
    );
    // Thursday 00:00 and Saturday 01:00.
    let hour = |h: usize| row.hours[h / 64] & (1 << (h % 64)) != 0;
    assert!(hour(72) && hour(72 + 49));
    assert_eq!(row.hours.iter().map(|h| h.count_ones()).sum::<u32>(), 2);
}

#[test]
fn a_protocol_that_moves_ports_is_one_row() {
    let forward: Vec<u16> = (40_000..40_020).collect();
    let backward: Vec<u16> = forward.iter().rev().copied().collect();
    let rows = |ports: &[u16]| {
        let mut bench = Bench::new(LIMITS);
        for port in ports {
            bench.add(1, 2, &flow(*port, i64::from(*port)));
        }
        bench.rows()
    };
    let all = rows(&forward);
    assert_eq!(all.len(), 1);
    assert_eq!((all[0].port, all[0].ports, all[0].flows), (0, 20, 20));
    assert_eq!(all, rows(&backward), "in any order");
    assert_eq!(rows(&forward[..8]).len(), 8, "a few ports stay apart");
}

#[test]
fn a_service_recognised_late_names_the_whole_row() {
    let mut bench = Bench::new(LIMITS);
    bench.add(1, 2, &flow(2575, 0));
    let mut more = flow(2575, 60);
    more.begins = false;
    more.service = Some("hl7".into());
    bench.add(1, 2, &more);
    let rows = bench.rows();
    assert_eq!(rows.len(), 1);
    assert_eq!(
        (rows[0].service.as_deref(), rows[0].flows),
        (Some("hl7"), 1)
    );
}

#[test]
fn a_scanner_does_not_crowd_out_the_rest() {
    let mut bench = Bench::new((10_000, 8));
    for n in 0..100 {
        let mut real = flow(104, n);
        real.meanings = vec!["C-STORE".into()];
        bench.add(1, 2, &real);
    }
    for server in 0..50_000 {
        bench.add(7, 1_000 + server, &flow(445, i64::from(server)));
    }
    assert_eq!(bench.all.len(), 4_096 + 1 + 1);
    assert_eq!(bench.all.folded, 50_000 - 4_096);
    let rows = bench.rows();
    let many = rows.iter().find(|row| row.server.as_str() == MANY);
    assert_eq!(many.map(|row| row.flows), Some(50_000 - 4_096));
    assert!(
        rows.iter()
            .any(|row| row.client.as_str() == "n1" && row.flows == 100)
    );
}

#[test]
fn beyond_the_bound_the_least_valuable_go_and_are_counted() {
    let mut bench = Bench::new((256, 8));
    for n in 0..20 {
        bench.add(1, 2, &flow(104, n));
    }
    for client in 10..2_000 {
        bench.add(client, 2, &flow(80, i64::from(client)));
    }
    assert!(bench.all.len() <= 256);
    assert_eq!(bench.all.evicted + bench.all.len() as u64, 1_991);
    assert!(bench.rows().iter().any(|row| row.flows == 20));
    let gone: Vec<u32> = (0..2_000).collect();
    let evicted_before = bench.all.len();
    bench.all.forget(&gone, &mut bench.texts);
    assert_eq!(bench.all.len(), 0);
    assert!(evicted_before > 0);
    assert_eq!(bench.texts.len(), 0, "no text is left behind");
}

#[test]
fn what_is_saved_is_what_is_restored() {
    let mut bench = Bench::new(LIMITS);
    for port in 0..12 {
        let mut moving = flow(3_000 + port, 600 * i64::from(port));
        moving.service = Some("rtp".into());
        moving.meanings = vec!["waveform".into()];
        bench.add(1, 2, &moving);
    }
    bench.add(1, 2, &flow(104, 5));
    let mut again = Bench::new(LIMITS);
    for (_, record) in bench.all.iter() {
        let saved = serde_json::to_string(&record.save(&bench.texts)).expect("serialises");
        let saved: SavedRecord = serde_json::from_str(&saved).expect("reads back");
        let record = saved.restore(record.key.client, record.key.server, &mut again.texts);
        let key = record.key;
        again.all.restore(record, &mut again.texts);
        key.service
            .into_iter()
            .for_each(|text| again.texts.release(text));
    }
    assert_eq!(bench.rows(), again.rows());
    for bench in [&mut bench, &mut again] {
        bench.add(1, 2, &flow(105, 9));
        let mut moving = flow(3_100, 99);
        moving.service = Some("rtp".into());
        bench.add(1, 2, &moving);
    }
    assert_eq!(bench.rows(), again.rows(), "and goes on alike");
}

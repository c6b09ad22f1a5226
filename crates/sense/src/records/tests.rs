use super::*;
use domain::observation::{Collected, Fact, VALUE_MAX};

const FORMATS: [Format; 12] = [
    Format::ZeekTsv,
    Format::ZeekJson,
    Format::IscLeases,
    Format::KeaLeases,
    Format::WindowsLeases,
    Format::WindowsNetsh,
    Format::DnsmasqLeases,
    Format::ArpTable,
    Format::IpNeighbour,
    Format::MacTable,
    Format::NmapXml,
    Format::Csv,
];

/// A beginning of each format, so that what follows is looked at as its rows.
fn beginning(format: Format) -> &'static str {
    match format {
        Format::ZeekTsv => {
            "#separator \\x09\n#path\tconn\n#fields\tts\tid.orig_h\tid.resp_h\tconn_state\n1795336205.0\t10.0.0.5\t10.0.0.9\tSF\n"
        }
        Format::ZeekJson => {
            "{\"ts\":1795336205.0,\"uid\":\"C\",\"_path\":\"known_hosts\",\"host\":\"10.0.0.5\"}\n"
        }
        Format::IscLeases => "lease 10.0.0.5 {\n hardware ethernet 00:1a:2b:3c:4d:5e;\n}\n",
        Format::KeaLeases => {
            "address,hwaddr,client_id,valid_lifetime,expire,state\n10.0.0.5,00:1a:2b:3c:4d:5e,,3600,1795336205,0\n"
        }
        Format::WindowsLeases => {
            "\"IPAddress\",\"ClientId\",\"LeaseExpiryTime\"\r\n\"10.0.0.5\",\"00-1a-2b-3c-4d-5e\",\"22.11.2026 08:30\"\r\n"
        }
        Format::WindowsNetsh => {
            "10.0.0.5 - 255.255.255.0 - 00-1a-2b-3c-4d-5e -11/22/2026 8:30:00 AM -D -PC01\n"
        }
        Format::DnsmasqLeases => "1795336205 00:1a:2b:3c:4d:5e 10.0.0.5 pump1 *\n",
        Format::ArpTable => "? (10.0.0.1) at 00:1a:2b:3c:4d:5e [ether] on eth0\n",
        Format::IpNeighbour => "10.0.0.1 dev eth0 lladdr 00:1a:2b:3c:4d:5e REACHABLE\n",
        Format::MacTable => "  10    001a.2b3c.4d5e    DYNAMIC     Gi1/0/1\n",
        Format::NmapXml => {
            "<?xml version=\"1.0\"?><nmaprun start=\"1795336205\"><host><status state=\"up\"/><address addr=\"10.0.0.5\" addrtype=\"ipv4\"/></host>\n<host>"
        }
        _ => "Asset Tag,MAC,IP\nA1,00:1a:2b:3c:4d:5e,10.0.0.5\n",
    }
}

type Told = (Collected, Counts, Vec<Problem>);

fn read(format: Format, octets: &[u8], cut: usize) -> Told {
    let context = Context {
        source: SourceId(0),
        at: Timestamp::from_millis(1_795_336_205_000),
    };
    let mut reader =
        Reader::new(format, "known_hosts.log", context, None).expect("a format of records");
    let mut sink = Collected::default();
    let (head, tail) = octets.split_at(cut.min(octets.len()));
    reader.push(head, &mut sink);
    reader.push(tail, &mut sink);
    reader.finish(&mut sink);
    let problems = reader.take_problems();
    assert!(problems.len() <= PROBLEMS_MAX);
    assert!(reader.take_problems().is_empty(), "a problem is told once");
    (sink, reader.counts(), problems)
}

#[test]
fn each_beginning_says_something() {
    for format in FORMATS {
        let (sink, counts, _) = read(format, beginning(format).as_bytes(), 0);
        assert!(!sink.observations.is_empty(), "{format:?}");
        assert_eq!(counts.rows, 1, "{format:?}");
        assert_eq!(counts.observations, sink.observations.len() as u64);
        assert_eq!(recognise(beginning(format).as_bytes(), "x"), format);
    }
}

#[test]
fn problems_are_bounded_and_counted_beyond() {
    let mut text = beginning(Format::Csv).to_owned();
    for _ in 0..1000 {
        text.push_str("A2,nonsense,10.0.0.6\n");
    }
    let (_, counts, problems) = read(Format::Csv, text.as_bytes(), 50);
    assert_eq!((counts.damaged, problems.len()), (1000, PROBLEMS_MAX));
    assert_eq!(problems[0].line, Some(3));
}

proptest::proptest! {
    #[test]
    fn any_octets_are_survived_and_a_cut_changes_nothing(
        format in 0_usize..FORMATS.len(),
        noise in proptest::collection::vec(proptest::num::u8::ANY, 0..300),
        cut in 0_usize..300,
    ) {
        let format = FORMATS[format];
        // Zeroes would pass for UTF-16, which shows in the first piece only.
        let noise: Vec<u8> = noise.into_iter().filter(|octet| *octet != 0).collect();
        let mut octets = beginning(format).as_bytes().to_vec();
        let least = octets.len();
        octets.extend_from_slice(&noise);
        octets.push(b'\n');
        octets.extend_from_slice(beginning(format).as_bytes());
        let whole = read(format, &octets, octets.len());
        let pieces = read(format, &octets, least + cut);
        proptest::prop_assert_eq!(&whole.0.observations, &pieces.0.observations);
        proptest::prop_assert_eq!(&whole.2, &pieces.2);
        for observation in &whole.0.observations {
            if let Fact::Evidence { value, .. } = &observation.fact {
                proptest::prop_assert!(!value.is_empty() && value.len() <= VALUE_MAX);
                proptest::prop_assert!(!value.chars().any(char::is_control));
            }
        }
        let _ = recognise(&noise, "x");
        let _ = headers(&noise);
    }
}

//! Files of all kinds, in all states.

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::Path;

use capture::{Input, Job, Place};
use domain::observation::{Collected, Fact, SourceKind};
use sense::records::Format;

use support::{data, frame, has, options, pcap, read, run};

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).expect("memory takes it");
    encoder.finish().expect("memory takes it")
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    ruzstd::encoding::compress_to_vec(bytes, ruzstd::encoding::CompressionLevel::Fastest)
}

/// `count` datagrams between `hosts` hosts.
fn traffic(count: u32, hosts: u8, size: usize) -> Vec<Vec<u8>> {
    (0..count)
        .map(|n| {
            let host = |n: u32| [10, 0, 0, 1 + (n % u32::from(hosts)) as u8];
            let server = [10, 0, 1, 1 + (n / 7 % 5) as u8];
            let port = 40_000 + (n % 13) as u16;
            if n % 3 == 0 {
                frame(server, host(n), (161, port), &vec![b'r'; size])
            } else {
                frame(host(n), server, (port, 161), &vec![b'q'; size])
            }
        })
        .collect()
}

const ZEEK: &str = "#separator \\x09\n#set_separator\t,\n#empty_field\t(empty)\n#unset_field\t-\n#path\tknown_hosts\n#fields\tts\thost\n#types\ttime\taddr\n1795336205.0\t10.0.0.77\n";
const LEASES: &str = "lease 10.0.0.78 {\n  starts 4 2026/01/01 10:00:00;\n  hardware ethernet 00:1a:2b:3c:4d:78;\n}\n";
const ARP: &str = "? (10.0.0.79) at 00:1a:2b:3c:4d:79 [ether] on eth0\n";
const CMDB: &str = "Asset Tag;MAC;IP\nA1;00:1a:2b:3c:4d:80;10.0.0.80\n";
const NMAP: &str = "<?xml version=\"1.0\"?>\n<nmaprun start=\"1795336205\"><host><status state=\"up\"/><address addr=\"10.0.0.81\" addrtype=\"ipv4\"/></host></nmaprun>\n";

#[test]
fn a_folder_of_everything_is_read_by_content() {
    let folder = tempfile::tempdir().expect("a folder");
    let put =
        |name: &str, bytes: &[u8]| fs::write(folder.path().join(name), bytes).expect("a file");
    fs::create_dir(folder.path().join("below")).expect("a folder");
    put("01.txt", &pcap(&traffic(30, 5, 20)));
    put("02.log", &gzip(&pcap(&traffic(20, 5, 20))));
    put("03.pcap", &zstd(ZEEK.as_bytes()));
    put("04.csv", LEASES.as_bytes());
    put("05.gz", ARP.as_bytes());
    put("06.xml", CMDB.as_bytes());
    put("07.csv", NMAP.as_bytes());
    put("08.pcapng", b"");
    put("09.pcap", b"PK\x03\x04 not for us");
    put("10.bin", &[7; 500]);
    put(".hidden", b"never looked at");
    put("below/11.json", b"{\"ts\":1795336205.0,\"uid\":\"C1\",\"id.orig_h\":\"10.0.0.82\",\"id.resp_h\":\"10.0.0.83\",\"proto\":\"tcp\",\"conn_state\":\"SF\"}\n");
    let (outcome, sink, last) = read(vec![Input::Folder(folder.path().to_owned())], options());
    assert!(outcome.usable && !outcome.cancelled);
    assert_eq!(outcome.packets, 50);
    let formats: Vec<_> = outcome
        .reports
        .iter()
        .filter_map(|report| report.format)
        .collect();
    assert_eq!(
        formats,
        [
            Format::Pcap,
            Format::Pcap,
            Format::ZeekTsv,
            Format::IscLeases,
            Format::ArpTable,
            Format::Csv,
            Format::NmapXml,
            Format::Empty,
            Format::Foreign("zip archive"),
            Format::Unknown,
            Format::ZeekJson,
        ]
    );
    let addresses: Vec<_> = (77..=81)
        .map(|last| format!("10.0.0.{last}").parse().ok())
        .collect();
    for address in addresses {
        assert!(
            sink.observations
                .iter()
                .any(|o| o.about.party.addr == address),
            "{address:?}"
        );
    }
    assert!(
        sink.flows
            .iter()
            .any(|flow| flow.server.addr == "10.0.0.83".parse().ok())
    );
    let named: Vec<_> = outcome
        .problems
        .iter()
        .map(|problem| {
            Path::new(&problem.source)
                .file_name()
                .expect("a name")
                .to_owned()
        })
        .collect();
    assert_eq!(named, ["08.pcapng", "09.pcap", "10.bin"]);
    assert!(
        outcome
            .problems
            .iter()
            .all(|problem| !problem.remedy.is_empty())
    );
    assert_eq!((last.files_done, last.files_total), (11, 11));
    assert_eq!(Some(last.bytes_done), last.bytes_total);
    assert_eq!(outcome.mappings.len(), 1);
    // Each source speaks under its own number.
    let kinds: Vec<_> = sink.sources.iter().map(|source| source.kind).collect();
    assert_eq!(
        kinds[..4],
        [
            SourceKind::Packets,
            SourceKind::Packets,
            SourceKind::Zeek,
            SourceKind::Leases
        ]
    );
    let lease = sink
        .observations
        .iter()
        .find(|o| o.about.party.addr == "10.0.0.78".parse().ok())
        .expect("the lease");
    assert_eq!(
        sink.sources[usize::from(lease.source.0)].kind,
        SourceKind::Leases
    );
}

#[test]
fn nothing_usable_is_said_so() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("x");
    for bytes in [
        &b""[..],
        b"PK\x03\x04",
        &[9; 100],
        b"Lorem ipsum\n",
        &[0xd4, 0xc3, 0xb2, 0xa1, 2, 0],
        b"Colour,Weight\nred,5\n",
    ] {
        fs::write(&path, bytes).expect("a file");
        let (outcome, ..) = read(vec![Input::File(path.clone())], options());
        assert!(!outcome.usable, "{bytes:?}");
        assert!(!outcome.problems.is_empty(), "{bytes:?}");
        assert!(
            outcome.problems[0]
                .to_string()
                .starts_with(&path.display().to_string())
        );
    }
    let (outcome, ..) = read(vec![Input::File(folder.path().join("missing"))], options());
    assert!(!outcome.usable && outcome.problems[0].what.contains("cannot be opened"));
    // A whole capture without a packet is no failure.
    fs::write(&path, pcap(&[])).expect("a file");
    assert!(read(vec![Input::File(path)], options()).0.usable);
}

#[test]
fn what_a_cut_compressed_capture_still_holds_is_read() {
    let folder = tempfile::tempdir().expect("a folder");
    let frames: Vec<_> = traffic(20_000, 50, 60)
        .into_iter()
        .enumerate()
        .map(|(n, mut frame)| {
            // Something that does not compress to nothing.
            let noise = (n as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes();
            let end = frame.len() - 8;
            frame[end..].copy_from_slice(&noise);
            frame
        })
        .collect();
    let whole = pcap(&frames);
    for (name, packed) in [("a.gz", gzip(&whole)), ("a.zst", zstd(&whole))] {
        let path = folder.path().join(name);
        fs::write(&path, &packed[..packed.len() / 2]).expect("a file");
        let (outcome, ..) = read(vec![Input::File(path)], options());
        assert!(outcome.usable);
        assert!(
            outcome.packets > 2000 && outcome.packets < 19_000,
            "{name}: {}",
            outcome.packets
        );
        assert!(
            outcome
                .problems
                .iter()
                .any(|problem| problem.what.contains("compressed")
                    && matches!(problem.place, Place::Offset(_))),
            "{:?}",
            outcome.problems
        );
    }
}

/// Facts without their order, and volumes by flow.
fn essence(sink: &Collected) -> (Vec<String>, BTreeMap<String, [u64; 3]>) {
    let mut facts: Vec<String> = sink
        .observations
        .iter()
        .map(|o| format!("{:?} {:?}", o.about, o.fact))
        .collect();
    facts.sort();
    facts.dedup();
    let mut flows: BTreeMap<String, [u64; 3]> = BTreeMap::new();
    for flow in &sink.flows {
        let key = format!(
            "{:?} {:?} {} {} {:?}",
            flow.client, flow.server, flow.port, flow.client_port, flow.transport
        );
        let entry = flows.entry(key).or_default();
        entry[0] += flow.sent.bytes;
        entry[1] += flow.received.bytes;
        entry[2] += u64::from(flow.begins);
    }
    (facts, flows)
}

#[test]
fn several_cores_find_what_one_finds_in_the_same_order_each_time() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("a.pcap");
    fs::write(&path, pcap(&traffic(60_000, 100, 40))).expect("a file");
    let with = |cores| {
        let mut options = options();
        options.cores = cores;
        let (outcome, sink, _) = read(vec![Input::File(path.clone())], options);
        assert_eq!(outcome.packets, 60_000);
        assert_eq!(outcome.sensor.packets, 60_000);
        sink
    };
    let one = with(1);
    let four = with(4);
    assert!(one.flows.len() > 100);
    assert_eq!(essence(&one), essence(&four));
    let again = with(4);
    assert!(
        four.observations == again.observations,
        "the order of observations differs between runs"
    );
    assert!(
        four.flows == again.flows,
        "the order of flows differs between runs"
    );
}

#[test]
fn a_job_shows_its_progress_and_can_be_cancelled() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("a.pcap");
    let bytes = pcap(&traffic(40_000, 10, 1000));
    fs::write(&path, &bytes).expect("a file");
    let mut seen = Vec::new();
    let job = Job::new(vec![Input::File(path.clone())], options());
    let outcome = job.run(&mut Collected::default(), &mut |progress| {
        seen.push((progress.bytes_done, progress.packets));
        assert_eq!(progress.bytes_total, Some(bytes.len() as u64));
    });
    assert_eq!(outcome.packets, 40_000);
    assert!(seen.windows(2).all(|pair| pair[0] <= pair[1]));
    assert_eq!(seen.last(), Some(&(bytes.len() as u64, 40_000)));

    let job = Job::new(vec![Input::File(path)], options());
    let watch = job.watch();
    let outcome = job.run(&mut Collected::default(), &mut |progress| {
        if progress.packets > 0 {
            watch.cancel();
        }
    });
    assert!(outcome.cancelled);
    assert!(outcome.packets < 40_000, "{}", outcome.packets);
    assert_eq!(watch.progress().packets, outcome.packets);
}

#[test]
fn a_pipe_is_read_while_it_is_written() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("pipe");
    if !has("mkfifo") {
        return;
    }
    assert!(
        run("mkfifo", &[&path.display().to_string()])
            .status
            .success()
    );
    let bytes = gzip(&pcap(&traffic(500, 10, 100)));
    let writer = std::thread::spawn({
        let path = path.clone();
        move || {
            let mut pipe = fs::OpenOptions::new()
                .write(true)
                .open(path)
                .expect("the pipe");
            for piece in bytes.chunks(bytes.len() / 3) {
                pipe.write_all(piece).expect("a reader");
                std::thread::sleep(std::time::Duration::from_millis(120));
            }
        }
    });
    let mut calls = 0;
    let outcome = Job::new(vec![Input::File(path)], options()).run(
        &mut Collected::default(),
        &mut |progress| {
            calls += 1;
            assert_eq!(progress.bytes_total, None);
        },
    );
    writer.join().expect("the writer ends");
    assert_eq!(outcome.packets, 500);
    assert!(calls >= 3, "{calls} calls while nothing came");
    assert_eq!(outcome.problems, []);
}

#[test]
fn a_remembered_mapping_is_used_for_the_file_it_fits() {
    let folder = tempfile::tempdir().expect("a folder");
    let (a, b) = (folder.path().join("a.csv"), folder.path().join("b.csv"));
    fs::write(&a, "Port,Label\n00:1a:2b:3c:4d:5e,first\n").expect("a file");
    fs::write(&b, "Asset Tag,MAC\nA1,00:1a:2b:3c:4d:5f\n").expect("a file");
    let mut options = options();
    options.mappings = vec![
        serde_json::from_str("{\"columns\":{\"Nothing\":\"mac\"}}").expect("a mapping"),
        serde_json::from_str("{\"columns\":{\"Port\":\"mac\",\"Label\":\"register.name\"}}")
            .expect("a mapping"),
    ];
    let (outcome, sink, _) = read(vec![Input::File(a), Input::File(b)], options);
    assert_eq!(outcome.problems, []);
    let values: Vec<_> = sink
        .observations
        .iter()
        .filter_map(|o| match &o.fact {
            Fact::Evidence { kind, value } => Some(format!("{kind}={value}")),
            _ => None,
        })
        .collect();
    assert_eq!(values, ["register.name=first", "register.id=A1"]);
    assert_eq!(outcome.mappings.len(), 2);
}

#[test]
fn flow_records_inside_a_capture_are_told() {
    let Some(folder) = data("captures/ndpi") else {
        return;
    };
    let (outcome, sink, _) = read(vec![Input::File(folder.join("sflow.pcap"))], options());
    assert_eq!(outcome.problems, []);
    // Eight of its nine datagrams hold counters only.
    assert_eq!((outcome.records.flows, outcome.records.rows), (1, 9));
    assert_eq!(sink.sources.len(), 1);
    // This one begins after the exporter sent its templates.
    let (outcome, ..) = read(vec![Input::File(folder.join("netflowv9.pcap"))], options());
    assert_eq!((outcome.records.flows, outcome.records.unknown), (0, 23));
    assert!(
        outcome.problems[0].what.contains("template"),
        "{:?}",
        outcome.problems
    );
}

#[test]
fn every_capture_given_to_the_project_reads_as_tcpdump_reads_it() {
    let Some(folder) = data("captures") else {
        return;
    };
    if !has("tcpdump") {
        return;
    }
    let (mut compared, mut whole) = (0, 0);
    for entry in fs::read_dir(folder.join("ndpi"))
        .expect("a folder")
        .chain(fs::read_dir(folder.join("medical/tapirx")).expect("a folder"))
    {
        let path = entry.expect("an entry").path();
        if !path
            .extension()
            .is_some_and(|suffix| suffix == "pcap" || suffix == "pcapng" || suffix == "cap")
        {
            continue;
        }
        let (outcome, ..) = read(vec![Input::File(path.clone())], options());
        let output = run(
            "tcpdump",
            &["-n", "--count", "-r", &path.display().to_string()],
        );
        let text = String::from_utf8_lossy(&output.stdout).into_owned()
            + &String::from_utf8_lossy(&output.stderr);
        let theirs = text.lines().find_map(|line| {
            line.strip_suffix(" packets")
                .or_else(|| line.strip_suffix(" packet"))?
                .parse::<u64>()
                .ok()
        });
        compared += 1;
        if output.status.success() {
            assert_eq!(Some(outcome.packets), theirs, "{}", path.display());
            let damaged: Vec<_> = outcome
                .problems
                .iter()
                .filter(|problem| matches!(problem.place, Place::Offset(_)))
                .collect();
            assert!(damaged.is_empty(), "{}: {damaged:?}", path.display());
            whole += 1;
        } else {
            // Where tcpdump gives up, no less is read.
            assert!(outcome.packets >= theirs.unwrap_or(0), "{}", path.display());
        }
    }
    println!("{compared} captures, {whole} of them whole for tcpdump");
    assert!(whole > 300);
}

/// A pcapng section with one described interface or none, and packets by the number of their interface.
fn section(described: bool, frames: &[(u32, &[u8])]) -> Vec<u8> {
    let block = |kind: u32, body: &[u8]| {
        let mut body = body.to_vec();
        body.resize(body.len().next_multiple_of(4), 0);
        let length = u32::try_from(12 + body.len()).expect("short").to_le_bytes();
        [&kind.to_le_bytes()[..], &length, &body, &length].concat()
    };
    let mut out = block(
        0x0a0d_0d0a,
        &[
            &0x1a2b_3c4d_u32.to_le_bytes()[..],
            &[1, 0, 0, 0],
            &[0xff; 8],
        ]
        .concat(),
    );
    if described {
        out.extend(block(1, &[1, 0, 0, 0, 0, 0, 4, 0]));
    }
    for (interface, frame) in frames {
        let length = u32::try_from(frame.len()).expect("short").to_le_bytes();
        let head = [&interface.to_le_bytes()[..], &[0; 8], &length, &length].concat();
        out.extend(block(6, &[&head[..], frame].concat()));
    }
    out
}

#[test]
fn packets_that_hold_no_frame_are_told_and_alone_are_of_no_use() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("x");
    let frames = traffic(20, 4, 60);
    let mut strange = pcap(&frames);
    strange[20..24].copy_from_slice(&9999_u32.to_le_bytes());
    let zeros = [pcap(&[]), vec![0; 16_000]].concat();
    let one = frames[0].as_slice();
    let cases = [
        (strange, "20 packets of link type 9999", false),
        (zeros, "none of 1000 packets holds a frame", false),
        (
            section(false, &[(0, one)]),
            "1 packets of an interface",
            false,
        ),
        (
            section(true, &[(0, one), (7, one), (0, one)]),
            "1 packets of an interface",
            true,
        ),
    ];
    for (octets, told, usable) in &cases {
        for cores in [1, 3] {
            fs::write(&path, octets).expect("a file");
            let mut options = options();
            options.cores = cores;
            let (outcome, ..) = read(vec![Input::File(path.clone())], options);
            assert_eq!(outcome.usable, *usable, "{told}: {outcome:?}");
            let [problem] = outcome.problems.as_slice() else {
                panic!("{told}: {:?}", outcome.problems);
            };
            assert!(problem.what.contains(told), "{problem}");
        }
    }
}

#[test]
fn a_place_in_a_compressed_capture_says_how_it_is_counted() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("a.pcap.gz");
    let mut octets = pcap(&traffic(20, 4, 60));
    octets.truncate(octets.len() - 5);
    fs::write(&path, gzip(&octets)).expect("a file");
    let (outcome, ..) = read(vec![Input::File(path)], options());
    assert!(outcome.usable);
    let told: Vec<String> = outcome.problems.iter().map(ToString::to_string).collect();
    assert!(
        told.len() == 1 && told[0].contains("counted in what was decompressed"),
        "{told:?}"
    );
}

//! Real exporters of flow records, on the loopback of a namespace.

mod support;

use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use capture::{Input, Job, Outcome};
use domain::observation::Collected;

use support::{Namespace, frame, has, options, pcap_from, run};

/// A capture of requests and replies: 20 clients, one server.
fn conversation() -> tempfile::NamedTempFile {
    let (client, server) = (|n: u32| [10, 0, 0, (n % 20) as u8 + 1], [10, 0, 1, 1]);
    let frames: Vec<_> = (0..400)
        .map(|n| {
            if n % 2 == 0 {
                frame(client(n / 2), server, (40_000, 161), &[b'q'; 40])
            } else {
                frame(server, client(n / 2), (161, 40_000), &[b'r'; 400])
            }
        })
        .collect();
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), pcap_from(seconds() - 20, &frames)).expect("a file");
    file
}

/// The system's time: exporters put it beside the times of packets.
fn seconds() -> u32 {
    let output = run("date", &["+%s"]);
    String::from_utf8_lossy(&output.stdout)
        .trim()
        .parse()
        .expect("a number")
}

/// Listens inside a namespace until `flows` were reported, while `exporter` runs; at most 15 seconds.
fn collect(
    namespace: &Namespace,
    input: Input,
    flows: u64,
    exporter: impl FnOnce(&Namespace) -> Option<Child> + Send,
) -> (Outcome, Collected) {
    std::thread::scope(|scope| {
        let listener = scope.spawn(move || {
            namespace.enter();
            let job = Job::new(vec![input], options());
            let watch = job.watch();
            let (mut sink, began) = (Collected::default(), Instant::now());
            let outcome = job.run(&mut sink, &mut |progress| {
                if progress.records >= flows || began.elapsed() > Duration::from_secs(15) {
                    watch.cancel();
                }
            });
            (outcome, sink)
        });
        std::thread::sleep(Duration::from_millis(300));
        let child = exporter(namespace);
        let found = listener.join().expect("the listener ends");
        if let Some(mut child) = child {
            let _ = child.kill();
            let _ = child.wait();
        }
        found
    })
}

fn check(name: &str, outcome: &Outcome, sink: &Collected, timed: bool) {
    assert_eq!(outcome.problems, [], "{name}");
    let clients: std::collections::HashSet<_> = sink
        .flows
        .iter()
        .filter(|flow| flow.port == 161)
        .filter_map(|flow| flow.client.addr)
        .collect();
    assert_eq!(clients.len(), 20, "{name}: {:?}", sink.flows.first());
    assert!(
        sink.flows
            .iter()
            .all(|flow| flow.server.addr == "10.0.1.1".parse().ok()),
        "{name}"
    );
    let sent: u64 = sink.flows.iter().map(|flow| flow.sent.packets).sum();
    let received: u64 = sink.flows.iter().map(|flow| flow.received.packets).sum();
    assert_eq!((sent, received), (200, 200), "{name}");
    let octets: u64 = sink.flows.iter().map(|flow| flow.received.bytes).sum();
    assert_eq!(octets, 200 * 428, "{name}");
    assert_eq!(
        sink.flows.iter().filter(|flow| flow.begins).count(),
        20,
        "{name}"
    );
    if !timed {
        return;
    }
    // The packets' own time, by way of the exporter's clock.
    let first = sink
        .flows
        .iter()
        .map(|flow| flow.first.as_secs())
        .min()
        .unwrap_or(0);
    assert!(
        (0..60).contains(&(i64::from(seconds()) - first)),
        "{name}: {first}"
    );
}

fn address() -> SocketAddr {
    ([127, 0, 0, 1], 2055).into()
}

#[test]
fn softflowd_is_understood_in_every_version() {
    if !has("softflowd") {
        return;
    }
    let capture = conversation();
    for version in ["5", "9", "10"] {
        let Some(namespace) = Namespace::new(&format!("soft{version}")) else {
            return;
        };
        let path = capture.path().display().to_string();
        let (outcome, sink) = collect(&namespace, Input::NetFlowSocket(address()), 40, |inside| {
            let output = inside.exec(&[
                "softflowd",
                "-r",
                &path,
                "-v",
                version,
                "-n",
                "127.0.0.1:2055",
                "-d",
            ]);
            assert!(
                output.status.success(),
                "{}",
                String::from_utf8_lossy(&output.stderr)
            );
            None
        });
        check(
            &format!("softflowd version {version}"),
            &outcome,
            &sink,
            true,
        );
        println!("softflowd version {version}: {} flows", sink.flows.len());
    }
}

#[test]
fn what_nfcapd_stored_and_nfreplay_sends_is_understood() {
    if !has("softflowd") || !has("nfcapd") || !has("nfreplay") {
        return;
    }
    let Some(namespace) = Namespace::new("nfreplay") else {
        return;
    };
    let folder = tempfile::tempdir().expect("a folder");
    let path = conversation();
    let mut store = Command::new("ip")
        .args([
            "netns",
            "exec",
            &namespace.name,
            "nfcapd",
            "-p",
            "9995",
            "-b",
            "127.0.0.1",
            "-w",
        ])
        .arg(folder.path())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("nfcapd runs");
    std::thread::sleep(Duration::from_millis(700));
    namespace.exec(&[
        "softflowd",
        "-r",
        &path.path().display().to_string(),
        "-v",
        "9",
        "-n",
        "127.0.0.1:9995",
        "-d",
    ]);
    std::thread::sleep(Duration::from_millis(700));
    let _ = Command::new("kill")
        .args(["-TERM", &store.id().to_string()])
        .status();
    store.wait().expect("nfcapd ends");
    let files: Vec<_> = std::fs::read_dir(folder.path())
        .expect("a folder")
        .filter_map(Result::ok)
        .map(|entry| entry.path())
        .collect();
    let file = files.first().expect("nfcapd wrote a file").clone();
    // The file itself is named, with what to do.
    let (outcome, ..) = support::read(vec![Input::File(file.clone())], options());
    assert!(!outcome.usable);
    assert!(
        outcome.problems[0].remedy.contains("nfreplay"),
        "{:?}",
        outcome.problems
    );
    let (outcome, sink) = collect(&namespace, Input::NetFlowSocket(address()), 40, |inside| {
        let output = inside.exec(&[
            "nfreplay",
            "-r",
            &file.display().to_string(),
            "-H",
            "127.0.0.1",
            "-p",
            "2055",
            "-v",
            "9",
        ]);
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        None
    });
    // nfcapd 1.7.1 stores these times 2^32 ms late, as `nfdump -r` shows too: it takes softflowd's uptime for wrapped.
    check("nfreplay", &outcome, &sink, false);
}

#[test]
fn pmacct_is_understood_over_sflow_and_ipfix() {
    if !has("pmacctd") || !has("tcpreplay") {
        return;
    }
    let capture = conversation();
    for (kind, input) in [
        ("sfprobe", Input::SFlowSocket(address())),
        ("nfprobe", Input::NetFlowSocket(address())),
    ] {
        let Some(namespace) = Namespace::new(kind) else {
            return;
        };
        let configuration = tempfile::NamedTempFile::new().expect("a file");
        let receiver = if kind == "sfprobe" {
            "sfprobe_receiver"
        } else {
            "nfprobe_receiver"
        };
        std::fs::write(
            configuration.path(),
            format!("daemonize: false\npcap_interface: right\npromisc: true\naggregate: src_host, dst_host, src_port, dst_port, proto, tos, src_mac, dst_mac\nplugins: {kind}\n{receiver}: 127.0.0.1:2055\nnfprobe_version: 10\nnfprobe_timeouts: maxlife=2:expint=1:general=1:udp=1\nsfprobe_agentip: 10.9.9.9\n"),
        )
        .expect("a file");
        // sFlow samples tell each packet, IPFIX each direction of a flow.
        let flows = if kind == "sfprobe" { 400 } else { 40 };
        let (outcome, sink) = collect(&namespace, input, flows, |inside| {
            let child = Command::new("ip")
                .args(["netns", "exec", &inside.name, "pmacctd", "-f"])
                .arg(configuration.path())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .expect("pmacctd runs");
            std::thread::sleep(Duration::from_millis(1500));
            inside.exec(&[
                "tcpreplay",
                "-q",
                "-i",
                "left",
                "--pps=2000",
                &capture.path().display().to_string(),
            ]);
            Some(child)
        });
        assert_eq!(outcome.problems, [], "{kind}");
        println!(
            "pmacct {kind}: {} flows, {:?}",
            sink.flows.len(),
            outcome.records
        );
        let sent: u64 = sink.flows.iter().map(|flow| flow.sent.packets).sum();
        let received: u64 = sink.flows.iter().map(|flow| flow.received.packets).sum();
        // pmacct's own capture may lose a few at the beginning; none may be counted twice.
        assert!(
            (190..=200).contains(&sent) && (190..=200).contains(&received),
            "{kind}: {sent}, {received}"
        );
        let clients: std::collections::HashSet<_> = sink
            .flows
            .iter()
            .filter_map(|flow| flow.client.addr)
            .collect();
        assert_eq!(clients.len(), 20, "{kind}");
        assert!(sink.flows.iter().all(|flow| flow.port == 161), "{kind}");
    }
}

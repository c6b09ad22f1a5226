//! Interfaces in network namespaces of their own: nothing is sent, losses are counted, going down is survived.

mod support;

use std::net::UdpSocket;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use capture::{Input, Job, Outcome, Progress};
use domain::observation::Collected;

use support::{Namespace, frame, has, options, pcap, run};

/// Runs a job on `right` inside a namespace until `until` holds or ten seconds have passed.
fn listen(
    namespace: &Namespace,
    queues: usize,
    traffic: impl FnOnce(&Namespace) + Send,
    until: impl Fn(&Progress) -> bool + Send,
) -> (Outcome, Collected, Vec<String>) {
    std::thread::scope(|scope| {
        let ready = Arc::new(Mutex::new(false));
        let shared = Arc::clone(&ready);
        let listener = scope.spawn(move || {
            namespace.enter();
            let mut options = options();
            options.queues = queues;
            options.ring_bytes = 4 << 20;
            let job = Job::new(vec![Input::Interface("right".to_owned())], options);
            let watch = job.watch();
            let (mut sink, mut news) = (Collected::default(), Vec::new());
            let began = Instant::now();
            let outcome = job.run(&mut sink, &mut |progress| {
                *shared.lock().expect("nobody panics here") = true;
                news.extend(progress.news.iter().map(ToString::to_string));
                if until(progress) || began.elapsed() > Duration::from_secs(10) {
                    watch.cancel();
                }
            });
            (outcome, sink, news)
        });
        let began = Instant::now();
        while !*ready.lock().expect("nobody panics here")
            && began.elapsed() < Duration::from_secs(10)
        {
            std::thread::sleep(Duration::from_millis(5));
        }
        traffic(namespace);
        listener.join().expect("the listener ends")
    })
}

/// Replays `count` datagrams between many hosts out of `left`.
fn replay(namespace: &Namespace, count: u32, speed: &str) {
    let frames: Vec<_> = (0..count)
        .map(|n| {
            frame(
                [10, 0, 0, (n % 50) as u8 + 1],
                [10, 0, 1, 1],
                (40_000, 161),
                &[b'x'; 60],
            )
        })
        .collect();
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), pcap(&frames)).expect("a file");
    let output = namespace.exec(&[
        "tcpreplay",
        "-q",
        "-i",
        "left",
        speed,
        &file.path().display().to_string(),
    ]);
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn everything_is_seen_and_nothing_is_ever_sent() {
    if !has("tcpreplay") {
        return;
    }
    let Some(namespace) = Namespace::new("quiet") else {
        return;
    };
    let before = namespace.counter("right", "tx_packets");
    let received = namespace.counter("right", "rx_packets");
    let (outcome, sink, _) = listen(
        &namespace,
        1,
        |inside| replay(inside, 2000, "--mbps=50"),
        |progress| progress.packets >= 2000,
    );
    assert_eq!(outcome.problems, []);
    assert_eq!(
        outcome.packets,
        namespace.counter("right", "rx_packets") - received
    );
    assert_eq!((outcome.packets, outcome.dropped), (2000, 0));
    assert_eq!(outcome.sensor.packets, 2000);
    assert_eq!(
        namespace.counter("right", "tx_packets"),
        before,
        "the sensor's interface sent something"
    );
    assert!(sink.flows.iter().any(|flow| flow.port == 161));
    let addresses: std::collections::HashSet<_> = sink
        .observations
        .iter()
        .filter_map(|o| o.about.party.addr)
        .collect();
    assert!(addresses.len() >= 50, "{}", addresses.len());
}

#[test]
fn several_queues_share_the_flows_without_doubling_them() {
    if !has("tcpreplay") {
        return;
    }
    let Some(namespace) = Namespace::new("queues") else {
        return;
    };
    let before = namespace.counter("right", "tx_packets");
    let (outcome, sink, _) = listen(
        &namespace,
        3,
        |inside| replay(inside, 3000, "--mbps=50"),
        |progress| progress.packets >= 3000,
    );
    assert_eq!((outcome.packets, outcome.dropped), (3000, 0));
    assert_eq!(outcome.reports.len(), 3);
    let shares: Vec<u64> = outcome
        .reports
        .iter()
        .map(|report| report.packets)
        .collect();
    assert!(
        shares.iter().filter(|share| **share > 0).count() >= 2,
        "{shares:?}"
    );
    let packets: u64 = sink
        .flows
        .iter()
        .map(|flow| flow.sent.packets + flow.received.packets)
        .sum();
    assert_eq!(packets, 3000);
    assert_eq!(sink.flows.iter().filter(|flow| flow.begins).count(), 50);
    assert_eq!(namespace.counter("right", "tx_packets"), before);
}

#[test]
fn what_the_kernel_drops_is_counted() {
    if !has("tcpreplay") {
        return;
    }
    let Some(namespace) = Namespace::new("drops") else {
        return;
    };
    std::thread::scope(|scope| {
        scope.spawn(|| {
            namespace.enter();
            let mut queues = capture::live::open("right", 1, 2 << 20, true).expect("an interface");
            let queue = queues.first_mut().expect("a queue");
            // Nobody fetches: the ring of two blocks fills.
            replay(&namespace, 30_000, "--topspeed");
            let mut fetched = 0;
            for _ in 0..20 {
                queue.poll(Duration::from_millis(50), |_| fetched += 1);
            }
            assert!(queue.dropped() > 0);
            assert_eq!(fetched + queue.dropped(), 30_000);
        });
    });
}

#[test]
fn tags_that_the_kernel_took_off_are_seen() {
    if !has("tcpreplay") {
        return;
    }
    let Some(namespace) = Namespace::new("tags") else {
        return;
    };
    let tagged = |inside: &Namespace| {
        let mut frame = frame([10, 0, 0, 1], [10, 0, 1, 1], (40_000, 161), &[b'x'; 60]);
        frame.splice(12..12, [0x81, 0, 0, 42]);
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), pcap(&[frame])).expect("a file");
        let output = inside.exec(&[
            "tcpreplay",
            "-q",
            "-i",
            "left",
            &file.path().display().to_string(),
        ]);
        assert!(output.status.success());
    };
    let (_, sink, _) = listen(&namespace, 1, tagged, |progress| progress.packets >= 1);
    assert!(
        sink.observations
            .iter()
            .any(|o| o.about.party.vlan == Some(42)),
        "{:?}",
        sink.observations
    );
}

#[test]
fn an_interface_that_goes_down_or_is_replaced_is_waited_for() {
    if !has("tcpreplay") {
        return;
    }
    let Some(namespace) = Namespace::new("down") else {
        return;
    };
    let story = |inside: &Namespace| {
        let pause = || std::thread::sleep(Duration::from_millis(600));
        replay(inside, 100, "--mbps=50");
        inside.exec(&["ip", "link", "set", "right", "down"]);
        pause();
        inside.exec(&["ip", "link", "set", "right", "up"]);
        pause();
        replay(inside, 100, "--mbps=50");
        pause();
        inside.exec(&["ip", "link", "del", "right"]);
        pause();
        inside.exec(&[
            "ip", "link", "add", "left", "type", "veth", "peer", "name", "right",
        ]);
        inside.exec(&["ip", "link", "set", "left", "up"]);
        inside.exec(&["ip", "link", "set", "right", "up"]);
        pause();
        replay(inside, 100, "--mbps=50");
    };
    let (outcome, _, news) = listen(&namespace, 1, story, |progress| progress.packets >= 300);
    assert_eq!(outcome.packets, 300, "{news:?}");
    let down = news
        .iter()
        .filter(|line| line.contains(": the interface went down"))
        .count();
    let up = news
        .iter()
        .filter(|line| line.contains(": the interface is up again"))
        .count();
    assert_eq!((down, up), (2, 2), "{news:?}");
    assert!(outcome.usable);
}

#[test]
fn the_loopback_counts_each_packet_once() {
    let Some(namespace) = Namespace::new("lo") else {
        return;
    };
    std::thread::scope(|scope| {
        let listener = scope.spawn(|| {
            namespace.enter();
            let job = Job::new(vec![Input::Interface("lo".to_owned())], options());
            let watch = job.watch();
            let (mut sink, began) = (Collected::default(), Instant::now());
            let outcome = job.run(&mut sink, &mut |progress| {
                if progress.packets >= 20 || began.elapsed() > Duration::from_secs(10) {
                    watch.cancel();
                }
            });
            assert_eq!(outcome.packets, 20);
        });
        scope.spawn(|| {
            namespace.enter();
            std::thread::sleep(Duration::from_millis(300));
            let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
            let sink = UdpSocket::bind("127.0.0.1:0").expect("a socket");
            for _ in 0..20 {
                socket
                    .send_to(b"hello", sink.local_addr().expect("an address"))
                    .expect("it is sent");
            }
        });
        listener.join().expect("the listener ends");
    });
}

#[test]
fn without_an_interface_or_the_right_to_it_the_way_out_is_named() {
    let error =
        capture::live::open("no-such-if0", 1, 1 << 20, true).expect_err("no such interface");
    assert!(error.to_string().contains("`no-such-if0`"), "{error}");
    // As nobody, in a process of its own: this test, told by a variable to try.
    if std::env::var_os("ASEPSIS_TRY_LO").is_some() {
        let error = capture::live::open("lo", 1, 1 << 20, true).expect_err("nobody may not");
        println!("refused: {error}");
        return;
    }
    if !has("setpriv") || run("id", &["-u"]).stdout != b"0\n" {
        println!("skipped: only root can become nobody");
        return;
    }
    // The test may lie where nobody cannot go.
    let copy = tempfile::Builder::new()
        .prefix("asepsis-")
        .tempdir_in("/tmp")
        .expect("a folder");
    let program = copy.path().join("test");
    std::fs::copy(std::env::current_exe().expect("a path"), &program).expect("a copy");
    run("chmod", &["-R", "a+rx", &copy.path().display().to_string()]);
    let output = std::process::Command::new("setpriv")
        .args([
            "--reuid=65534",
            "--regid=65534",
            "--clear-groups",
            "--bounding-set=-all",
            "--inh-caps=-all",
        ])
        .arg(&program)
        .args([
            "--exact",
            "without_an_interface_or_the_right_to_it_the_way_out_is_named",
            "--nocapture",
        ])
        .env("ASEPSIS_TRY_LO", "1")
        .output()
        .expect("setpriv runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned()
        + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}");
    assert!(
        text.contains("CAP_NET_RAW") && text.contains("setcap cap_net_raw+ep"),
        "{text}"
    );
}

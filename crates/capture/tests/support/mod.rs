//! What the tests share: a clock, the data folder, written captures, temporary namespaces.
#![allow(
    dead_code,
    clippy::print_stderr,
    reason = "each test file uses a part; skips are printed"
)]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use capture::{Input, Job, Options, Outcome, Progress};
use domain::Timestamp;
use domain::observation::Collected;

/// An instant in the future of every capture.
pub(crate) const NOW: Timestamp = Timestamp::from_millis(1_795_336_205_000);

pub(crate) fn options() -> Options {
    Options::new(|| NOW)
}

/// Reads inputs to the end; the last progress comes with the outcome.
pub(crate) fn read(inputs: Vec<Input>, options: Options) -> (Outcome, Collected, Progress) {
    let mut sink = Collected::default();
    let mut last = Progress::default();
    let outcome = Job::new(inputs, options).run(&mut sink, &mut |progress| last = progress.clone());
    (outcome, sink, last)
}

/// A folder of the data that is given to the project.
pub(crate) fn data(below: &str) -> Option<PathBuf> {
    let root = std::env::var_os("ASEPSIS_DATA").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data"),
        PathBuf::from,
    );
    let folder = root.join(below);
    if folder.is_dir() {
        return Some(folder);
    }
    eprintln!("skipped: {below} is not in the data folder; set ASEPSIS_DATA");
    None
}

/// Whether a program is installed.
pub(crate) fn has(program: &str) -> bool {
    let found = [
        "/usr/sbin",
        "/usr/bin",
        "/sbin",
        "/bin",
        "/usr/local/bin",
        "/usr/local/sbin",
    ]
    .iter()
    .any(|folder| Path::new(folder).join(program).exists());
    if !found {
        eprintln!("skipped: {program} is not installed");
    }
    found
}

pub(crate) fn run(program: &str, arguments: &[&str]) -> Output {
    Command::new(program)
        .args(arguments)
        .output()
        .unwrap_or_else(|error| panic!("{program} cannot be run: {error}"))
}

/// An Ethernet frame with an IPv4 UDP datagram.
pub(crate) fn frame(
    source: [u8; 4],
    destination: [u8; 4],
    ports: (u16, u16),
    payload: &[u8],
) -> Vec<u8> {
    let mut out = vec![
        2,
        0,
        destination[0],
        destination[1],
        destination[2],
        destination[3],
    ];
    out.extend_from_slice(&[2, 0, source[0], source[1], source[2], source[3], 8, 0]);
    let length = 28 + payload.len() as u16;
    out.extend_from_slice(&[0x45, 0]);
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(&[0, 0, 0, 0, 64, 17, 0, 0]);
    out.extend_from_slice(&source);
    out.extend_from_slice(&destination);
    out.extend_from_slice(&ports.0.to_be_bytes());
    out.extend_from_slice(&ports.1.to_be_bytes());
    out.extend_from_slice(&(length - 20).to_be_bytes());
    out.extend_from_slice(&[0, 0]);
    out.extend_from_slice(payload);
    out
}

/// A capture in libpcap's format, a millisecond between packets.
pub(crate) fn pcap(frames: &[Vec<u8>]) -> Vec<u8> {
    pcap_from(1_700_000_000, frames)
}

/// The same, from a time on.
pub(crate) fn pcap_from(secs: u32, frames: &[Vec<u8>]) -> Vec<u8> {
    let mut out = vec![
        0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0, 1, 0, 0, 0,
    ];
    for (number, frame) in frames.iter().enumerate() {
        let ms = number as u32;
        for value in [
            secs + ms / 1000,
            ms % 1000 * 1000,
            frame.len() as u32,
            frame.len() as u32,
        ] {
            out.extend_from_slice(&value.to_le_bytes());
        }
        out.extend_from_slice(frame);
    }
    out
}

/// A network namespace that goes away with this value.
pub(crate) struct Namespace {
    pub name: String,
}

impl Namespace {
    /// A namespace with a pair of interfaces `left` and `right`, both up, in which no system sends by itself. Absent
    /// without the privileges.
    pub(crate) fn new(purpose: &str) -> Option<Self> {
        let name = format!("asepsis-{purpose}-{}", std::process::id());
        let made = Command::new("ip")
            .args(["netns", "add", &name])
            .output()
            .is_ok_and(|output| output.status.success());
        if !made {
            eprintln!("skipped: no privileges to make a network namespace");
            return None;
        }
        let namespace = Self { name };
        namespace.exec(&[
            "sysctl",
            "-qw",
            "net.ipv6.conf.all.disable_ipv6=1",
            "net.ipv6.conf.default.disable_ipv6=1",
        ]);
        for command in [
            &[
                "ip", "link", "add", "left", "type", "veth", "peer", "name", "right",
            ][..],
            &["ip", "link", "set", "left", "up"],
            &["ip", "link", "set", "right", "up"],
            &["ip", "link", "set", "lo", "up"],
        ] {
            let output = namespace.exec(command);
            assert!(
                output.status.success(),
                "{command:?}: {}",
                String::from_utf8_lossy(&output.stderr)
            );
        }
        Some(namespace)
    }

    /// Runs a program inside.
    pub(crate) fn exec(&self, command: &[&str]) -> Output {
        let mut all = vec!["netns", "exec", &self.name];
        all.extend_from_slice(command);
        run("ip", &all)
    }

    /// A counter of an interface, from the system's own books.
    pub(crate) fn counter(&self, interface: &str, counter: &str) -> u64 {
        let output = self.exec(&[
            "cat",
            &format!("/sys/class/net/{interface}/statistics/{counter}"),
        ]);
        String::from_utf8_lossy(&output.stdout)
            .trim()
            .parse()
            .expect("a counter")
    }

    /// Moves the calling thread, and what it starts, inside.
    pub(crate) fn enter(&self) {
        let file =
            std::fs::File::open(format!("/run/netns/{}", self.name)).expect("the namespace exists");
        rustix::thread::move_into_link_name_space(
            std::os::fd::AsFd::as_fd(&file),
            Some(rustix::thread::LinkNameSpaceType::Network),
        )
        .expect("the namespace can be entered");
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = Command::new("ip")
            .args(["netns", "del", &self.name])
            .output();
    }
}

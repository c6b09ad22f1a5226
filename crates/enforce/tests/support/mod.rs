//! What the tests share: a ward, a gateway and a server room in namespaces of their own.
#![allow(
    dead_code,
    clippy::print_stderr,
    reason = "each test file uses a part; skips are printed"
)]

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::Path;
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use domain::Timestamp;

/// An instant that stands for now.
pub(crate) const NOW: Timestamp = Timestamp::from_millis(1_795_336_205_000);

static NUMBER: AtomicU32 = AtomicU32::new(0);

/// Whether a program is installed.
pub(crate) fn has(program: &str) -> bool {
    let found = ["/usr/sbin", "/usr/bin", "/sbin", "/bin"]
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

/// How the middle namespace joins the two others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Middle {
    /// 10.1.0.0/24 and fd01::/64 on one side, 10.2.0.0/24 and fd02::/64 on the other.
    Router,
    /// 10.1.0.0/16 and fd01::/64 on both.
    Bridge,
}

/// Three namespaces in a row: `ward` – `gate` – `room`. They go away with this value.
#[derive(Debug)]
pub(crate) struct Site {
    prefix: String,
    pub(crate) middle: Middle,
}

pub(crate) const WARD_MAC: [u8; 6] = [2, 0, 0, 0, 1, 7];

impl Site {
    /// Absent without the privileges.
    pub(crate) fn new(middle: Middle) -> Option<Self> {
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let site = Self {
            prefix: format!("enf-{}-{number}-", std::process::id()),
            middle,
        };
        for name in ["ward", "gate", "room"] {
            let made = Command::new("ip")
                .args(["netns", "add", &site.name(name)])
                .output()
                .is_ok_and(|output| output.status.success());
            if !made {
                eprintln!("skipped: no privileges to make a network namespace");
                return None;
            }
            // Addresses of IPv6 are usable at once without the search for duplicates.
            site.exec(
                name,
                "sysctl -qw net.ipv6.conf.all.accept_dad=0 net.ipv6.conf.default.accept_dad=0",
            );
            site.exec(name, "ip link set lo up");
        }
        let gate = site.name("gate");
        for (name, port, mac) in [
            ("ward", "left", "02:00:00:00:01:07"),
            ("room", "right", "02:00:00:00:02:07"),
        ] {
            site.exec(
                name,
                &format!("ip link add eth0 type veth peer name {port} netns {gate}"),
            );
            site.exec(name, &format!("ip link set eth0 address {mac} up"));
            site.exec("gate", &format!("ip link set {port} up"));
        }
        match middle {
            Middle::Router => {
                site.exec(
                    "gate",
                    "sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1",
                );
                for (name, port, n) in [("ward", "left", 1), ("room", "right", 2)] {
                    site.exec("gate", &format!("ip addr add 10.{n}.0.1/24 dev {port}"));
                    site.exec(
                        "gate",
                        &format!("ip addr add fd0{n}::1/64 dev {port} nodad"),
                    );
                    for last in [7, 8, 9] {
                        site.exec(name, &format!("ip addr add 10.{n}.0.{last}/24 dev eth0"));
                        site.exec(
                            name,
                            &format!("ip addr add fd0{n}::{last}/64 dev eth0 nodad"),
                        );
                    }
                    site.exec(name, &format!("ip route add default via 10.{n}.0.1"));
                    site.exec(name, &format!("ip -6 route add default via fd0{n}::1"));
                }
            }
            Middle::Bridge => {
                site.exec("gate", "ip link add br0 type bridge");
                site.exec("gate", "ip link set left master br0");
                site.exec("gate", "ip link set right master br0");
                site.exec("gate", "ip link set br0 up");
                for (name, n) in [("ward", 1), ("room", 2)] {
                    for last in [7, 8, 9] {
                        site.exec(name, &format!("ip addr add 10.1.{n}.{last}/16 dev eth0"));
                        site.exec(
                            name,
                            &format!("ip addr add fd01::{n}:{last}/64 dev eth0 nodad"),
                        );
                    }
                }
            }
        }
        Some(site)
    }

    /// Full name of a namespace.
    pub(crate) fn name(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    /// Runs a command line inside; it has to succeed.
    pub(crate) fn exec(&self, name: &str, line: &str) -> String {
        let output = self.attempt(name, line);
        assert!(
            output.status.success(),
            "{line}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Runs a command line inside.
    pub(crate) fn attempt(&self, name: &str, line: &str) -> Output {
        let full = self.name(name);
        let mut all = vec!["netns", "exec", &full];
        // `@` stands for a blank inside a word.
        let words: Vec<String> = line.split(' ').map(|word| word.replace('@', " ")).collect();
        all.extend(words.iter().map(String::as_str));
        run("ip", &all)
    }

    /// What `f` answers in a thread inside a namespace.
    pub(crate) fn inside<T: Send>(&self, name: &str, f: impl FnOnce() -> T + Send) -> T {
        std::thread::scope(|scope| {
            scope
                .spawn(|| {
                    self.enter(name);
                    f()
                })
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// Moves the calling thread inside.
    pub(crate) fn enter(&self, name: &str) {
        let file = std::fs::File::open(format!("/run/netns/{}", self.name(name)))
            .expect("the namespace exists");
        rustix::thread::move_into_link_name_space(
            std::os::fd::AsFd::as_fd(&file),
            Some(rustix::thread::LinkNameSpaceType::Network),
        )
        .expect("the namespace can be entered");
    }

    /// `nft -j list ruleset` of the middle.
    pub(crate) fn ruleset(&self) -> serde_json::Value {
        let text = self.exec("gate", "nft -j list ruleset");
        serde_json::from_str(&text).expect("`nft` writes JSON")
    }

    /// A listener in a namespace that echoes, for as long as the namespace lives.
    pub(crate) fn echo(&self, name: &str, address: &str) {
        let address: SocketAddr = address.parse().expect("an address");
        let (listener, datagrams) = self.inside(name, || {
            (
                TcpListener::bind(address).expect("a free port"),
                UdpSocket::bind(address).expect("a free port"),
            )
        });
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                std::thread::spawn(move || {
                    let mut stream = stream;
                    let mut buffer = [0; 4096];
                    while let Ok(count @ 1..) = stream.read(&mut buffer) {
                        if stream.write_all(&buffer[..count]).is_err() {
                            break;
                        }
                    }
                });
            }
        });
        std::thread::spawn(move || {
            let mut buffer = [0; 65_535];
            while let Ok((count, peer)) = datagrams.recv_from(&mut buffer) {
                let _ = datagrams.send_to(&buffer[..count], peer);
            }
        });
    }

    /// A TCP connection from an address in a namespace; absent when nobody answers within 400 ms.
    pub(crate) fn connect(&self, name: &str, from: &str, to: &str) -> Option<TcpStream> {
        let from: IpAddr = from.parse().expect("an address");
        let to: SocketAddr = to.parse().expect("an address");
        self.inside(name, || {
            let family = if to.is_ipv4() {
                rustix::net::AddressFamily::INET
            } else {
                rustix::net::AddressFamily::INET6
            };
            let socket = rustix::net::socket(family, rustix::net::SocketType::STREAM, None)
                .expect("a socket");
            rustix::net::bind(&socket, &SocketAddr::new(from, 0)).expect("an own address");
            rustix::net::sockopt::set_socket_timeout(
                &socket,
                rustix::net::sockopt::Timeout::Send,
                Some(Duration::from_millis(400)),
            )
            .expect("a timeout");
            rustix::net::connect(&socket, &to).ok()?;
            let stream = TcpStream::from(socket);
            stream
                .set_read_timeout(Some(Duration::from_millis(400)))
                .expect("a timeout");
            Some(stream)
        })
    }

    /// Whether an echo request is answered within 400 ms.
    pub(crate) fn ping(&self, name: &str, to: &str) -> bool {
        use rustix::net::{AddressFamily, SocketType, ipproto};
        let to: IpAddr = to.parse().expect("an address");
        self.exec(name, "sysctl -qw net.ipv4.ping_group_range=0@2147483647");
        self.inside(name, || {
            let (family, protocol, kind) = match to {
                IpAddr::V4(_) => (AddressFamily::INET, ipproto::ICMP, 8),
                IpAddr::V6(_) => (AddressFamily::INET6, ipproto::ICMPV6, 128),
            };
            let socket = rustix::net::socket(family, SocketType::DGRAM, Some(protocol))
                .expect("a socket for echo requests");
            let socket = UdpSocket::from(socket);
            socket
                .set_read_timeout(Some(Duration::from_millis(400)))
                .expect("a timeout");
            let request = [kind, 0, 0, 0, 0, 1, 0, 1];
            let _ = socket.send_to(&request, SocketAddr::new(to, 0));
            socket.recv(&mut [0; 64]).is_ok()
        })
    }

    /// Whether a datagram from an address is echoed within 400 ms.
    pub(crate) fn datagram(&self, name: &str, from: &str, to: &str, octets: usize) -> bool {
        let from: IpAddr = from.parse().expect("an address");
        self.inside(name, || {
            let socket = UdpSocket::bind(SocketAddr::new(from, 0)).expect("an own address");
            socket
                .set_read_timeout(Some(Duration::from_millis(400)))
                .expect("a timeout");
            let _ = socket.send_to(&vec![7; octets], to);
            let mut buffer = [0; 65_535];
            socket
                .recv_from(&mut buffer)
                .is_ok_and(|(count, _)| count == octets)
        })
    }
}

/// Whether a connection still echoes.
pub(crate) fn alive(stream: &mut TcpStream) -> bool {
    let mut buffer = [0; 16];
    stream.write_all(b"care").is_ok() && stream.read(&mut buffer).is_ok_and(|count| count > 0)
}

impl Drop for Site {
    fn drop(&mut self) {
        for name in ["ward", "gate", "room"] {
            let _ = Command::new("ip")
                .args(["netns", "del", &self.name(name)])
                .output();
        }
    }
}

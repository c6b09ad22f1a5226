//! Packets from a network interface of Linux: AF_PACKET with a TPACKET_V3 ring, several queues by PACKET_FANOUT.
//!
//! Nothing is ever sent. The socket is bound to be read from; no call here writes to it, and setting an interface to
//! promiscuous mode sends nothing by itself. A test in a network namespace compares the interface's own counters.
//!
//! What the kernel dropped because the ring was full is counted ([`Queue::dropped`]). An interface that goes down, or
//! is removed and comes back under its name, is waited for.

mod ring;

use std::io;
use std::time::Duration;

use domain::Timestamp;
use sense::LinkType;

use ring::{Failure, Ring};

/// What prevents an interface from being listened to.
#[derive(Debug, thiserror::Error)]
pub enum LiveError {
    /// No such interface.
    #[error("no network interface `{name}`: `ip link` lists them")]
    NoInterface {
        /// What was asked for.
        name: String,
    },
    /// The program may not open packet sockets.
    #[error(
        "listening on `{name}` needs the capability CAP_NET_RAW: grant it with `sudo setcap cap_net_raw+ep {program}`, or with `AmbientCapabilities=CAP_NET_RAW` in the systemd unit"
    )]
    NotPermitted {
        /// The interface.
        name: String,
        /// The program, as the command needs it.
        program: String,
    },
    /// The ring does not fit into memory that may be locked.
    #[error("no memory for a ring of {bytes} octets: choose a smaller one")]
    NoMemory {
        /// Octets of one ring.
        bytes: usize,
    },
    /// The kernel refused for another reason.
    #[error("cannot listen on `{name}`: {step} failed: {error}")]
    Refused {
        /// The interface.
        name: String,
        /// What was tried.
        step: &'static str,
        /// What the kernel says.
        error: io::Error,
    },
}

/// A packet of an interface.
#[derive(Clone, Copy, Debug)]
pub struct Packet<'a> {
    /// When the kernel took it.
    pub at: Timestamp,
    /// How its octets begin.
    pub link: LinkType,
    /// The octets captured. A VLAN tag that the hardware took off is back in place.
    pub bytes: &'a [u8],
    /// How many there were on the wire.
    pub length: usize,
}

/// What became of waiting for packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Polled {
    /// So many packets were given.
    Packets(usize),
    /// Time passed without any.
    Silence,
    /// The interface went down or was removed. Polling goes on until it is back.
    Down,
    /// The interface is back.
    Up,
}

/// One queue of an interface: a socket with its ring.
#[derive(Debug)]
pub struct Queue {
    name: String,
    link: LinkType,
    promiscuous: bool,
    ring_bytes: usize,
    fanout: Option<u16>,
    ring: Ring,
    down: bool,
    /// Drops of rings that were closed.
    dropped_before: u64,
    scratch: Vec<u8>,
}

/// Opens an interface with so many queues, each to be polled by a thread of its own; the kernel spreads flows over them.
///
/// # Errors
///
/// When there is no such interface, or the kernel refuses: without CAP_NET_RAW, or without memory.
pub fn open(
    name: &str,
    queues: usize,
    ring_bytes: usize,
    promiscuous: bool,
) -> Result<Vec<Queue>, LiveError> {
    let queues = queues.clamp(1, 64);
    // A group of queues is known by 16 bits in the whole network namespace; the kernel chooses free ones.
    let mut group = None;
    let mut opened = Vec::with_capacity(queues);
    for number in 0..queues {
        let (ring, index) = open_ring(name, ring_bytes, promiscuous)?;
        if queues > 1 {
            let refused = |error| LiveError::Refused {
                name: name.to_owned(),
                step: "PACKET_FANOUT",
                error,
            };
            if number == 0 {
                group = Some(ring.lead_group().map_err(refused)?);
            } else if let Some(group) = group {
                ring.join_group(group).map_err(refused)?;
            }
        }
        opened.push(Queue {
            name: name.to_owned(),
            link: link(ring::hardware(name).unwrap_or(ring::ETHER)),
            promiscuous,
            ring_bytes,
            fanout: group,
            ring,
            down: !ring::is_up(name),
            dropped_before: 0,
            scratch: Vec::new(),
        });
        let _ = index;
    }
    Ok(opened)
}

fn open_ring(name: &str, ring_bytes: usize, promiscuous: bool) -> Result<(Ring, u32), LiveError> {
    let index = ring::index(name).ok_or_else(|| LiveError::NoInterface {
        name: name.to_owned(),
    })?;
    let loopback = ring::hardware(name) == Some(ring::LOOPBACK);
    let ring = Ring::open(index, ring_bytes, promiscuous && !loopback, loopback).map_err(
        |(step, error)| match error.raw_os_error() {
            Some(libc::EPERM | libc::EACCES) => LiveError::NotPermitted {
                name: name.to_owned(),
                program: std::env::current_exe()
                    .map_or_else(|_| "asepsis".to_owned(), |path| path.display().to_string()),
            },
            Some(libc::ENOMEM) => LiveError::NoMemory { bytes: ring_bytes },
            Some(libc::ENODEV | libc::ENXIO) => LiveError::NoInterface {
                name: name.to_owned(),
            },
            _ => LiveError::Refused {
                name: name.to_owned(),
                step,
                error,
            },
        },
    )?;
    Ok((ring, index))
}

/// The link type of an interface, by the kernel's hardware type (`ARPHRD_`).
const fn link(hardware: u16) -> LinkType {
    match hardware {
        // ARPHRD_NONE (tunnels, WireGuard), PPP, IP in IP, SIT, GRE, IPv6 tunnels, RAWIP.
        0xfffe | 512 | 768 | 776 | 778 | 823 | 769 | 519 => LinkType::RawIp,
        801 => LinkType::Ieee80211,
        802 => LinkType::Prism,
        803 => LinkType::Radiotap,
        // Ethernet, and loopback, which has Ethernet's header.
        _ => LinkType::Ethernet,
    }
}

impl Queue {
    /// The interface's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Packets that the kernel dropped since the queue was opened.
    pub fn dropped(&mut self) -> u64 {
        self.dropped_before + self.ring.dropped()
    }

    /// Waits at most `wait` and gives away what has come.
    pub fn poll(&mut self, wait: Duration, mut take: impl FnMut(Packet<'_>)) -> Polled {
        if self.down {
            return self.come_back(wait);
        }
        let given = self.drain(&mut take);
        if given > 0 {
            return Polled::Packets(given);
        }
        match self.ring.wait(wait) {
            Ok(true) => match self.drain(&mut take) {
                0 => Polled::Silence,
                given => Polled::Packets(given),
            },
            Ok(false) => {
                // A socket is not told when its interface is taken away in some kernels: look.
                if ring::is_up(&self.name) && ring::index(&self.name) == Some(self.ring.interface())
                {
                    Polled::Silence
                } else {
                    self.down = true;
                    Polled::Down
                }
            }
            Err(Failure::Down) => {
                let given = self.drain(&mut take);
                if ring::is_up(&self.name) && ring::index(&self.name) == Some(self.ring.interface())
                {
                    return Polled::Packets(given);
                }
                self.down = true;
                Polled::Down
            }
        }
    }

    fn drain(&mut self, take: &mut impl FnMut(Packet<'_>)) -> usize {
        let (link, scratch) = (self.link, &mut self.scratch);
        self.ring.drain(scratch, &mut |at, bytes, length| {
            take(Packet {
                at,
                link,
                bytes,
                length,
            });
        })
    }

    /// Waits for the interface to be up again, opening it anew when it is another one of the same name.
    fn come_back(&mut self, wait: Duration) -> Polled {
        if ring::is_up(&self.name) {
            if ring::index(&self.name) == Some(self.ring.interface()) {
                self.down = false;
                return Polled::Up;
            }
            if let Ok((ring, _)) = open_ring(&self.name, self.ring_bytes, self.promiscuous) {
                let joined = self
                    .fanout
                    .is_none_or(|group| ring.join_group(group).is_ok());
                if joined {
                    self.dropped_before += self.ring.dropped();
                    self.link = link(ring::hardware(&self.name).unwrap_or(ring::ETHER));
                    self.ring = ring;
                    self.down = false;
                    return Polled::Up;
                }
            }
        }
        std::thread::sleep(wait.min(Duration::from_millis(250)));
        Polled::Silence
    }
}

//! The one place that speaks to the kernel by hand: a packet socket and the ring it shares with us.
//!
//! Safety in short: [`Ring`] owns the descriptor and the mapping for as long as it lives. A block belongs to the kernel
//! until its status says `TP_STATUS_USER`, then to us until we write `TP_STATUS_KERNEL`. Every offset and length that
//! the kernel writes is checked against the block before it is used.
#![allow(unsafe_code)]

use std::ffi::{CString, c_int, c_void};
use std::io;
use std::mem::{offset_of, size_of, zeroed};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::ptr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use domain::Timestamp;

/// Hardware type of Ethernet (`ARPHRD_ETHER`).
pub(super) const ETHER: u16 = 1;

/// Hardware type of the loopback (`ARPHRD_LOOPBACK`).
pub(super) const LOOPBACK: u16 = 772;

/// Octets of a block: many packets, so that waking up is seldom; a power of two times the page.
const BLOCK: usize = 1 << 20;

/// Octets that the kernel reserves for a frame when it sizes the ring; packets are as long as they are.
const FRAME: usize = 1 << 11;

/// Milliseconds after which a block that is not full is given to us all the same.
const RETIRE_MS: u32 = 60;

/// Flows to queues by a hash that is the same for both directions, after putting fragments together.
const FANOUT: u32 = libc::PACKET_FANOUT_HASH | libc::PACKET_FANOUT_FLAG_DEFRAG;

/// Why waiting ended without packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// The interface is down or gone.
    Down,
}

/// A packet socket with its ring of blocks.
#[derive(Debug)]
pub(super) struct Ring {
    socket: OwnedFd,
    map: *mut u8,
    blocks: usize,
    /// The block that comes next.
    next: usize,
    interface: u32,
    dropped: u64,
}

// SAFETY: the mapping is owned by this value alone and is only touched through `&mut self`; the kernel does not care
// which thread reads it.
unsafe impl Send for Ring {}

impl Ring {
    /// Opens a socket on an interface. The error names the step that failed.
    pub(super) fn open(
        interface: u32,
        bytes: usize,
        promiscuous: bool,
        loopback: bool,
    ) -> Result<Self, (&'static str, io::Error)> {
        // Protocol 0: nothing is received before the ring is there and `bind` says what is wanted.
        // SAFETY: a plain system call; the descriptor is checked and owned from here on.
        let socket = unsafe {
            libc::socket(
                libc::AF_PACKET,
                libc::SOCK_RAW | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK,
                0,
            )
        };
        if socket < 0 {
            return Err(("socket", io::Error::last_os_error()));
        }
        // SAFETY: `socket` is a fresh descriptor that nobody else owns.
        let socket = unsafe { OwnedFd::from_raw_fd(socket) };
        set(
            &socket,
            libc::PACKET_VERSION,
            &(libc::tpacket_versions::TPACKET_V3 as c_int),
        )
        .map_err(|error| ("PACKET_VERSION", error))?;
        if loopback {
            // Each packet of the loopback passes twice, going out and coming in.
            set(&socket, libc::PACKET_IGNORE_OUTGOING, &1_i32)
                .map_err(|error| ("PACKET_IGNORE_OUTGOING", error))?;
        }
        let blocks = (bytes / BLOCK).clamp(2, 4096);
        let request = libc::tpacket_req3 {
            tp_block_size: BLOCK as u32,
            tp_block_nr: blocks as u32,
            tp_frame_size: FRAME as u32,
            tp_frame_nr: (BLOCK / FRAME * blocks) as u32,
            tp_retire_blk_tov: RETIRE_MS,
            tp_sizeof_priv: 0,
            tp_feature_req_word: 0,
        };
        set(&socket, libc::PACKET_RX_RING, &request).map_err(|error| ("PACKET_RX_RING", error))?;
        // SAFETY: a new shared mapping of the ring that was just made, of exactly its size; the kernel chooses where.
        let map = unsafe {
            libc::mmap(
                ptr::null_mut(),
                BLOCK * blocks,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED,
                socket.as_raw_fd(),
                0,
            )
        };
        if map == libc::MAP_FAILED {
            return Err(("mmap", io::Error::last_os_error()));
        }
        let ring = Self {
            socket,
            map: map.cast(),
            blocks,
            next: 0,
            interface,
            dropped: 0,
        };
        // SAFETY: all zeroes is a valid `sockaddr_ll`.
        let mut address: libc::sockaddr_ll = unsafe { zeroed() };
        address.sll_family = libc::AF_PACKET as u16;
        address.sll_protocol = (libc::ETH_P_ALL as u16).to_be();
        address.sll_ifindex = interface as c_int;
        // SAFETY: the address is valid for its size during the call.
        let bound = unsafe {
            libc::bind(
                ring.socket.as_raw_fd(),
                ptr::from_ref(&address).cast(),
                size_of::<libc::sockaddr_ll>() as u32,
            )
        };
        // An interface that is down can be bound to; packets come when it is up.
        if bound < 0 {
            let error = io::Error::last_os_error();
            if error.raw_os_error() != Some(libc::ENETDOWN) {
                return Err(("bind", error));
            }
        }
        if promiscuous {
            // SAFETY: all zeroes is a valid `packet_mreq`.
            let mut member: libc::packet_mreq = unsafe { zeroed() };
            member.mr_ifindex = interface as c_int;
            member.mr_type = libc::PACKET_MR_PROMISC as u16;
            set(&ring.socket, libc::PACKET_ADD_MEMBERSHIP, &member)
                .map_err(|error| ("PACKET_ADD_MEMBERSHIP", error))?;
        }
        Ok(ring)
    }

    /// Begins a group of queues; answers its number.
    pub(super) fn lead_group(&self) -> io::Result<u16> {
        // The kernel looks for a number that is free in this namespace (Linux 4.13).
        let unique = FANOUT | libc::PACKET_FANOUT_FLAG_UNIQUEID;
        set(
            &self.socket,
            libc::PACKET_FANOUT,
            &((unique << 16) as c_int),
        )?;
        let value: c_int = get(&self.socket, libc::PACKET_FANOUT)?;
        Ok((value as u32 & 0xffff) as u16)
    }

    /// Joins a group of queues.
    pub(super) fn join_group(&self, group: u16) -> io::Result<()> {
        set(
            &self.socket,
            libc::PACKET_FANOUT,
            &((FANOUT << 16 | u32::from(group)) as c_int),
        )
    }

    /// The interface's number.
    pub(super) const fn interface(&self) -> u32 {
        self.interface
    }

    /// Packets dropped since the ring was opened.
    pub(super) fn dropped(&mut self) -> u64 {
        // Reading resets the kernel's counters.
        let stats: io::Result<libc::tpacket_stats_v3> = get(&self.socket, libc::PACKET_STATISTICS);
        if let Ok(stats) = stats {
            self.dropped += u64::from(stats.tp_drops);
        }
        self.dropped
    }

    /// Waits until a block is ours; says whether one may be.
    pub(super) fn wait(&mut self, wait: Duration) -> Result<bool, Failure> {
        let mut poll = libc::pollfd {
            fd: self.socket.as_raw_fd(),
            events: libc::POLLIN,
            revents: 0,
        };
        // SAFETY: one descriptor, valid during the call.
        let ready = unsafe {
            libc::poll(
                &raw mut poll,
                1,
                c_int::try_from(wait.as_millis()).unwrap_or(c_int::MAX),
            )
        };
        if poll.revents & libc::POLLERR != 0 {
            // Reading the error clears it.
            let error: c_int =
                get_level(&self.socket, libc::SOL_SOCKET, libc::SO_ERROR).unwrap_or(0);
            if matches!(error, libc::ENETDOWN | libc::ENXIO | libc::ENODEV) {
                return Err(Failure::Down);
            }
        }
        Ok(ready > 0 && poll.revents & libc::POLLIN != 0)
    }

    /// Gives away the packets of all blocks that are ours; answers how many. `scratch` holds a frame while its VLAN tag
    /// is put back.
    pub(super) fn drain(
        &mut self,
        scratch: &mut Vec<u8>,
        take: &mut dyn FnMut(Timestamp, &[u8], usize),
    ) -> usize {
        let mut given = 0;
        // At most once around, so that the caller comes to other work.
        for _ in 0..self.blocks {
            // SAFETY: `next` is below `blocks`, so the block lies inside the mapping, which lives as long as `self`.
            let block = unsafe { self.map.add(self.next * BLOCK) };
            // SAFETY: the status lies inside the block and is aligned as the kernel's structure is; the kernel writes
            // it with a barrier, and so do we.
            let status = unsafe {
                AtomicU32::from_ptr(block.add(offset_of!(libc::tpacket_block_desc, hdr)).cast())
            };
            if status.load(Ordering::Acquire) & libc::TP_STATUS_USER == 0 {
                break;
            }
            // SAFETY: the status says that the block is ours: the kernel does not write to it until we give it back.
            let octets: &[u8] = unsafe { std::slice::from_raw_parts(block, BLOCK) };
            given += packets(octets, scratch, take);
            status.store(libc::TP_STATUS_KERNEL, Ordering::Release);
            self.next = (self.next + 1) % self.blocks;
        }
        given
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        // SAFETY: the mapping was made with this size, and no reference into it outlives `drain`.
        unsafe {
            libc::munmap(self.map.cast(), BLOCK * self.blocks);
        }
    }
}

/// The packets of a block. Reads with bounds like a file's: a length that does not fit ends the block.
fn packets(
    block: &[u8],
    scratch: &mut Vec<u8>,
    take: &mut dyn FnMut(Timestamp, &[u8], usize),
) -> usize {
    let word = |at: usize| {
        block
            .get(at..at + 4)
            .and_then(|b| b.try_into().ok())
            .map_or(0, u32::from_ne_bytes)
    };
    let half = |at: usize| {
        block
            .get(at..at + 2)
            .and_then(|b| b.try_into().ok())
            .map_or(0, u16::from_ne_bytes)
    };
    let header = offset_of!(libc::tpacket_block_desc, hdr);
    let count = word(header + offset_of!(libc::tpacket_hdr_v1, num_pkts));
    let mut at = word(header + offset_of!(libc::tpacket_hdr_v1, offset_to_first_pkt)) as usize;
    let mut given = 0;
    for _ in 0..count {
        let field = |offset: usize| at + offset;
        let secs = word(field(offset_of!(libc::tpacket3_hdr, tp_sec)));
        let nanos = word(field(offset_of!(libc::tpacket3_hdr, tp_nsec)));
        let captured = word(field(offset_of!(libc::tpacket3_hdr, tp_snaplen))) as usize;
        let length = word(field(offset_of!(libc::tpacket3_hdr, tp_len))) as usize;
        let status = word(field(offset_of!(libc::tpacket3_hdr, tp_status)));
        let mac = usize::from(half(field(offset_of!(libc::tpacket3_hdr, tp_mac))));
        let next = word(field(offset_of!(libc::tpacket3_hdr, tp_next_offset))) as usize;
        let Some(bytes) = block.get(at + mac..).and_then(|rest| rest.get(..captured)) else {
            break;
        };
        let when = Timestamp::from_millis(i64::from(secs) * 1000 + i64::from(nanos / 1_000_000));
        let variant = field(offset_of!(libc::tpacket3_hdr, hv1));
        if status & libc::TP_STATUS_VLAN_VALID != 0 && bytes.len() >= 12 {
            let tag = word(variant + offset_of!(libc::tpacket_hdr_variant1, tp_vlan_tci)) as u16;
            let kind = half(variant + offset_of!(libc::tpacket_hdr_variant1, tp_vlan_tpid));
            let kind = if status & libc::TP_STATUS_VLAN_TPID_VALID != 0 {
                kind
            } else {
                0x8100
            };
            let (addresses, rest) = bytes.split_at(12);
            scratch.clear();
            scratch.extend_from_slice(addresses);
            scratch.extend_from_slice(&kind.to_be_bytes());
            scratch.extend_from_slice(&tag.to_be_bytes());
            scratch.extend_from_slice(rest);
            take(when, scratch, length + 4);
        } else {
            take(when, bytes, length);
        }
        given += 1;
        if next == 0 {
            break;
        }
        at += next;
    }
    given
}

fn set<T>(socket: &OwnedFd, option: c_int, value: &T) -> io::Result<()> {
    // SAFETY: the value is valid for its size during the call.
    let done = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_PACKET,
            option,
            ptr::from_ref(value).cast::<c_void>(),
            size_of::<T>() as u32,
        )
    };
    if done < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

fn get<T: Copy>(socket: &OwnedFd, option: c_int) -> io::Result<T> {
    get_level(socket, libc::SOL_PACKET, option)
}

/// `T` is an integer or a structure of integers, for which all zeroes and whatever the kernel writes are valid.
fn get_level<T: Copy>(socket: &OwnedFd, level: c_int, option: c_int) -> io::Result<T> {
    // SAFETY: see above; callers are in this module only.
    let mut value: T = unsafe { zeroed() };
    let mut size = size_of::<T>() as u32;
    // SAFETY: the kernel writes at most `size` octets into `value`.
    let done = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            level,
            option,
            ptr::from_mut(&mut value).cast::<c_void>(),
            &raw mut size,
        )
    };
    if done < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(value)
    }
}

/// The number of an interface.
pub(super) fn index(name: &str) -> Option<u32> {
    let name = CString::new(name).ok()?;
    // SAFETY: a string that ends with NUL, valid during the call.
    match unsafe { libc::if_nametoindex(name.as_ptr()) } {
        0 => None,
        index => Some(index),
    }
}

/// Asks the kernel about an interface.
fn ask(name: &str, request: libc::c_ulong) -> Option<libc::ifreq> {
    // SAFETY: all zeroes is a valid `ifreq`.
    let mut ask: libc::ifreq = unsafe { zeroed() };
    // One octet stays zero: the name's end.
    if name.is_empty() || name.len() >= ask.ifr_name.len() {
        return None;
    }
    for (place, octet) in ask.ifr_name.iter_mut().zip(name.bytes()) {
        *place = octet as libc::c_char;
    }
    // Any socket serves to ask. SAFETY: a plain system call; the descriptor is checked and owned from here on.
    let socket = unsafe { libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0) };
    if socket < 0 {
        return None;
    }
    // SAFETY: `socket` is a fresh descriptor that nobody else owns.
    let socket = unsafe { OwnedFd::from_raw_fd(socket) };
    // SAFETY: the request reads the name and writes into the same structure.
    let done = unsafe { libc::ioctl(socket.as_raw_fd(), request as _, &raw mut ask) };
    (done >= 0).then_some(ask)
}

/// The hardware type of an interface.
pub(super) fn hardware(name: &str) -> Option<u16> {
    let answer = ask(name, libc::SIOCGIFHWADDR as libc::c_ulong)?;
    // SAFETY: SIOCGIFHWADDR fills the hardware address; its family is the hardware type.
    Some(unsafe { answer.ifr_ifru.ifru_hwaddr.sa_family })
}

/// Whether an interface is there and up.
pub(super) fn is_up(name: &str) -> bool {
    ask(name, libc::SIOCGIFFLAGS as libc::c_ulong).is_some_and(|answer| {
        // SAFETY: SIOCGIFFLAGS fills the flags.
        let flags = unsafe { answer.ifr_ifru.ifru_flags };
        c_int::from(flags) & libc::IFF_UP != 0
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A block as the kernel writes it, with the given packets.
    fn block(packets: &[(&[u8], u32)]) -> Vec<u8> {
        let mut out = vec![0; 4096];
        let header = offset_of!(libc::tpacket_block_desc, hdr);
        let first = 48_usize;
        let mut put = |at: usize, value: u32| out[at..at + 4].copy_from_slice(&value.to_ne_bytes());
        put(
            header + offset_of!(libc::tpacket_hdr_v1, num_pkts),
            packets.len() as u32,
        );
        put(
            header + offset_of!(libc::tpacket_hdr_v1, offset_to_first_pkt),
            first as u32,
        );
        let mut at = first;
        for (bytes, tag) in packets {
            let size = (64 + bytes.len()).next_multiple_of(16);
            let mut put = |offset: usize, value: u32| {
                out[at + offset..at + offset + 4].copy_from_slice(&value.to_ne_bytes())
            };
            put(offset_of!(libc::tpacket3_hdr, tp_next_offset), size as u32);
            put(offset_of!(libc::tpacket3_hdr, tp_sec), 1);
            put(offset_of!(libc::tpacket3_hdr, tp_nsec), 5_000_000);
            put(
                offset_of!(libc::tpacket3_hdr, tp_snaplen),
                bytes.len() as u32,
            );
            put(offset_of!(libc::tpacket3_hdr, tp_len), 100);
            put(
                offset_of!(libc::tpacket3_hdr, tp_status),
                if *tag > 0 {
                    libc::TP_STATUS_VLAN_VALID
                } else {
                    0
                },
            );
            put(
                offset_of!(libc::tpacket3_hdr, hv1)
                    + offset_of!(libc::tpacket_hdr_variant1, tp_vlan_tci),
                *tag,
            );
            out[at + offset_of!(libc::tpacket3_hdr, tp_mac)..][..2]
                .copy_from_slice(&64_u16.to_ne_bytes());
            out[at + 64..at + 64 + bytes.len()].copy_from_slice(bytes);
            at += size;
        }
        out
    }

    fn read(block: &[u8]) -> Vec<(i64, Vec<u8>, usize)> {
        let mut out = Vec::new();
        packets(block, &mut Vec::new(), &mut |at, bytes, length| {
            out.push((at.as_millis(), bytes.to_vec(), length))
        });
        out
    }

    #[test]
    fn a_tag_that_the_hardware_took_off_is_put_back() {
        let plain = [7_u8; 20];
        let found = read(&block(&[(&plain, 0), (&plain, 10)]));
        assert_eq!(found[0], (1005, plain.to_vec(), 100));
        let mut tagged = plain[..12].to_vec();
        tagged.extend_from_slice(&[0x81, 0, 0, 10]);
        tagged.extend_from_slice(&plain[12..]);
        assert_eq!(found[1], (1005, tagged, 104));
    }

    proptest::proptest! {
        #[test]
        fn a_block_of_anything_is_survived(noise in proptest::collection::vec(proptest::num::u8::ANY, 0..200), at in 0_usize..4096) {
            let mut block = block(&[(&[7; 20], 0), (&[8; 30], 5)]);
            for (place, octet) in block.iter_mut().skip(at).zip(noise) {
                *place = octet;
            }
            read(&block);
        }
    }
}

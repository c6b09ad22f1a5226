//! A netlink socket to the netfilter subsystem of the kernel, in the network namespace of the thread that opens it.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, netlink, recv, sendto,
    socket_with,
};

use super::options;

/// Room for answers, in octets.
const RECEIVE_ROOM: usize = 4 << 20;
/// Largest datagram of the kernel's dumps.
const DATAGRAM_MAX: usize = 256 << 10;
/// Room for one send that every kernel gives without asking.
const SEND_ROOM: usize = 128 << 10;

/// An open socket.
#[derive(Debug)]
pub(crate) struct Socket {
    fd: OwnedFd,
    buffer: Vec<u8>,
    room: usize,
}

impl Socket {
    pub(crate) fn open() -> io::Result<Self> {
        let fd = socket_with(
            AddressFamily::NETLINK,
            SocketType::RAW,
            SocketFlags::CLOEXEC,
            Some(netlink::NETFILTER),
        )?;
        // An old kernel without the option says less in its errors; nothing else depends on it.
        let _ = options::speaking_errors(fd.as_fd());
        options::receive_room(fd.as_fd(), RECEIVE_ROOM)?;
        rustix::net::bind(&fd, &netlink::SocketAddrNetlink::new(0, 0))?;
        Ok(Self {
            fd,
            buffer: vec![0; DATAGRAM_MAX],
            room: SEND_ROOM,
        })
    }

    /// Sends in one call: the kernel works on it before the call returns.
    pub(crate) fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        if bytes.len() + 4096 > self.room {
            let room = bytes.len() + 65_536;
            options::send_room(self.fd.as_fd(), room)?;
            self.room = room;
        }
        let kernel = netlink::SocketAddrNetlink::new(0, 0);
        let sent =
            rustix::io::retry_on_intr(|| sendto(&self.fd, bytes, SendFlags::empty(), &kernel))?;
        if sent != bytes.len() {
            return Err(io::Error::new(
                io::ErrorKind::WriteZero,
                "the kernel took a part of the message",
            ));
        }
        Ok(())
    }

    /// The next datagram that is there already, or `None`: what a change causes is there when sending returns.
    pub(crate) fn receive_now(&mut self) -> io::Result<Option<&[u8]>> {
        match self.receive_with(RecvFlags::DONTWAIT) {
            Ok(length) => Ok(self.buffer.get(..length)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The next datagram.
    pub(crate) fn receive(&mut self) -> io::Result<&[u8]> {
        let length = self.receive_with(RecvFlags::empty())?;
        Ok(&self.buffer[..length])
    }

    fn receive_with(&mut self, flags: RecvFlags) -> io::Result<usize> {
        let (_, length) = rustix::io::retry_on_intr(|| {
            recv(&self.fd, &mut self.buffer[..], flags | RecvFlags::TRUNC)
        })?;
        if length > self.buffer.len() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "an answer of the kernel is longer than its buffer",
            ));
        }
        Ok(length)
    }
}

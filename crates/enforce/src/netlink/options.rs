//! The one place with `unsafe`: socket options that have no safe wrapper.
#![allow(unsafe_code)]

use std::ffi::c_int;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// Sets an option that is an `int`.
fn set(socket: BorrowedFd<'_>, level: c_int, option: c_int, value: c_int) -> io::Result<()> {
    // SAFETY: the descriptor is open for the call, since it is borrowed; `value` lives on the stack until the call
    // returns and its size is the one given.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            option,
            (&raw const value).cast(),
            size_of::<c_int>() as libc::socklen_t,
        )
    };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Asks for the kernel's words with each error (`NETLINK_EXT_ACK`) and for errors without a copy of the request
/// (`NETLINK_CAP_ACK`).
pub(super) fn speaking_errors(socket: BorrowedFd<'_>) -> io::Result<()> {
    set(socket, libc::SOL_NETLINK, libc::NETLINK_EXT_ACK, 1)?;
    set(socket, libc::SOL_NETLINK, libc::NETLINK_CAP_ACK, 1)
}

/// Makes room for what is sent in one call, beyond the system's limit where privileges allow it.
pub(super) fn send_room(socket: BorrowedFd<'_>, octets: usize) -> io::Result<()> {
    let octets = c_int::try_from(octets).unwrap_or(c_int::MAX / 2);
    set(socket, libc::SOL_SOCKET, libc::SO_SNDBUFFORCE, octets)
        .or_else(|_| set(socket, libc::SOL_SOCKET, libc::SO_SNDBUF, octets))
}

/// Makes room for answers.
pub(super) fn receive_room(socket: BorrowedFd<'_>, octets: usize) -> io::Result<()> {
    let octets = c_int::try_from(octets).unwrap_or(c_int::MAX / 2);
    set(socket, libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, octets)
        .or_else(|_| set(socket, libc::SOL_SOCKET, libc::SO_RCVBUF, octets))
}

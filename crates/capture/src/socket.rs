//! UDP sockets that take flow records.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use crate::{Place, Problem};

/// Largest datagram.
pub(crate) const DATAGRAM_MAX: usize = 65_535;

/// Opens a socket; it waits at most a tenth of a second for each datagram.
pub(crate) fn open(addr: SocketAddr, name: &str) -> Result<UdpSocket, Problem> {
    let refused = |error: io::Error| {
        let remedy = match error.kind() {
            io::ErrorKind::AddrInUse => {
                "another program listens there; stop it or choose another port"
            }
            io::ErrorKind::PermissionDenied => {
                "ports below 1024 need the capability CAP_NET_BIND_SERVICE; choose a higher one"
            }
            io::ErrorKind::AddrNotAvailable => {
                "this machine has no such address; `ip address` lists them"
            }
            _ => "choose another address or port",
        };
        Problem::new(
            name,
            Place::Whole,
            format!("cannot listen: {error}"),
            remedy,
        )
    };
    let socket = UdpSocket::bind(addr).map_err(refused)?;
    socket
        .set_read_timeout(Some(Duration::from_millis(100)))
        .map_err(refused)?;
    Ok(socket)
}

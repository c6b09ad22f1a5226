//! Asking a switch to change or end a device's session (RFC 5176), over UDP.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use serde::Serialize;

use domain::net::Mac;

use super::packet::{Attribute, Code, Packet};
use crate::refusal::Refusal;

/// Port on which switches are asked (RFC 5176 section 3).
pub const PORT: u16 = 3799;
/// Error-Cause (RFC 5176 section 3.5).
const ERROR_CAUSE: u8 = 101;
/// Calling-Station-Id (RFC 2865 section 5.31).
const CALLING_STATION: u8 = 31;

/// What a switch is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// To give the session these attributes.
    Authorize(Vec<Attribute>),
    /// To end the session; the device authenticates again.
    Disconnect,
}

/// What a switch answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Answered {
    /// Whether it did it.
    pub done: bool,
    /// Why not (RFC 5176 section 3.5), where it says.
    pub cause: Option<&'static str>,
    /// Microseconds from the call to the answer.
    pub took_us: u64,
    /// Times it was asked.
    pub tries: u32,
}

/// Asks a switch about the session of a device.
///
/// The identifier tells one request from the next; count it up. A request is sent again, unchanged, after `patience`, up to
/// `tries` times.
///
/// # Errors
/// When nobody answers, or only with what is not signed with the secret.
pub fn ask(
    switch: SocketAddr,
    secret: &[u8],
    device: Mac,
    change: &Change,
    identifier: u8,
    patience: Duration,
    tries: u32,
) -> Result<Answered, Refusal> {
    let began = Instant::now();
    let step = format!("ask the switch `{switch}`");
    let failed = |error: io::Error| Refusal::new(step.as_str(), error.to_string());
    let station: Vec<String> = device
        .0
        .iter()
        .map(|octet| format!("{octet:02X}"))
        .collect();
    let mut attributes = vec![
        Attribute::new(CALLING_STATION, station.join("-"))
            .map_err(|error| Refusal::new(step.as_str(), error.to_string()))?,
    ];
    let code = match change {
        Change::Authorize(given) => {
            attributes.extend(given.iter().cloned());
            Code::CoaRequest
        }
        Change::Disconnect => Code::DisconnectRequest,
    };
    let request = Packet {
        code,
        identifier,
        authenticator: [0; 16],
        attributes,
    };
    let raw = request
        .write_change_request(secret)
        .map_err(|error| Refusal::new(step.as_str(), error.to_string()))?;
    let mut authenticator = [0; 16];
    authenticator.copy_from_slice(&raw[4..20]);
    let any: SocketAddr = if switch.is_ipv4() {
        ([0, 0, 0, 0], 0).into()
    } else {
        ([0_u16; 8], 0).into()
    };
    let socket = UdpSocket::bind(any).map_err(failed)?;
    socket.connect(switch).map_err(failed)?;
    let mut unbelieved = false;
    let mut buffer = [0; super::packet::PACKET_MAX];
    for attempt in 1..=tries.max(1) {
        socket.send(&raw).map_err(failed)?;
        let until = Instant::now() + patience;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            socket.set_read_timeout(Some(left)).map_err(failed)?;
            let count = match socket.recv(&mut buffer) {
                Ok(count) => count,
                Err(error)
                    if matches!(
                        error.kind(),
                        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
                    ) =>
                {
                    break;
                }
                Err(error) => {
                    return Err(failed(error).hint(
                        "see that the switch takes change-of-authorisation requests on this port",
                    ));
                }
            };
            let answer = Packet::read_answer(&buffer[..count], secret, authenticator, false);
            let Ok(answer) = answer else {
                unbelieved = true;
                continue;
            };
            let done = match answer.code {
                Code::CoaAck | Code::DisconnectAck => true,
                Code::CoaNak | Code::DisconnectNak => false,
                _ => continue,
            };
            if answer.identifier != identifier {
                continue;
            }
            return Ok(Answered {
                done,
                cause: answer.values(ERROR_CAUSE).next().map(cause),
                took_us: u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX),
                tries: attempt,
            });
        }
    }
    Err(if unbelieved {
        Refusal::new(step, "its answers are signed with another secret")
            .hint("give the switch and Asepsis the same shared secret")
    } else {
        Refusal::new(step, format!("it did not answer {tries} requests"))
            .hint("see that the switch takes change-of-authorisation requests from this address; the device stays as it is")
    })
}

/// The name of an Error-Cause.
fn cause(value: &[u8]) -> &'static str {
    let number = value.try_into().map_or(0, u32::from_be_bytes);
    match number {
        201 => "residual session context removed",
        202 => "invalid EAP packet",
        401 => "unsupported attribute",
        402 => "missing attribute",
        403 => "NAS identification mismatch",
        404 => "invalid request",
        405 => "unsupported service",
        406 => "unsupported extension",
        407 => "invalid attribute value",
        501 => "administratively prohibited",
        502 => "request not routable",
        503 => "session context not found",
        504 => "session context not removable",
        505 => "other proxy processing error",
        506 => "resources unavailable",
        507 => "request initiated",
        508 => "multiple session selection unsupported",
        _ => "a cause that no standard names",
    }
}

//! Where the sensor meets the application protocols.
//!
//! A protocol is one module below and one row in [`table`]:
//!
//! - **Streams** (TCP): `recognise` looks at the first octets of both directions and says whether they are its
//!   protocol; `dissect` is then called whenever more octets are there, with all that is held of each direction, and
//!   says how many octets it needs no more. A protocol whose facts are all in the beginning answers
//!   [`Progress::Done`] and is not called again. One that goes on (DICOM, HL7) takes octets away as it understands
//!   them and may take away more than is there: the rest is passed over as it comes.
//! - **Datagrams** (UDP): `dissect` is called with each payload, and says whether it was its protocol. A port names
//!   the protocol to try first; else `recognise` decides.
//!
//! Both put what they find into [`Findings`]. A dissector is total: any octets at all, no panic, no unbounded work,
//! no memory beyond what [`Memory`] states. It takes device facts by allow-list; nothing about a patient.

use std::any::Any;

use domain::Timestamp;
use domain::conversation::{Opening, Protection};
use domain::net::{Party, Transport};

pub(crate) use crate::findings::Findings;

// One line for each protocol.
mod ahead;
mod bacnet;
pub(crate) mod cdp;
mod certificate;
mod dhcp;
mod dhcp6;
mod dicom;
mod dicomweb;
mod discovery;
mod dns;
mod enip;
mod fhir;
mod head;
mod hello;
mod hl7;
mod http;
mod ipp;
mod ja4;
mod json;
mod known;
mod lines;
pub(crate) mod lldp;
mod markup;
mod medical;
mod modbus;
mod mqtt;
mod nbns;
mod ntlm;
mod ntp;
pub(crate) mod profinet;
mod rdp;
mod smb;
mod snmp;
mod soap;
mod ssdp;
mod ssh;
mod table;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod tls;
mod upnp;

pub(crate) use table::{DATAGRAMS, STREAMS};

/// Who speaks with whom.
#[derive(Clone, Copy, Debug)]
#[allow(dead_code, reason = "one interface for every protocol")]
pub(crate) struct Scene {
    /// Time of the newest packet.
    pub(crate) at: Timestamp,
    /// Whoever opened the flow.
    pub(crate) client: Party,
    /// Whoever was asked; for multicast and broadcast the group.
    pub(crate) server: Party,
    /// Transport.
    pub(crate) transport: Transport,
    /// The client's port.
    pub(crate) client_port: u16,
    /// The server's port.
    pub(crate) server_port: u16,
    /// Whether the newest packet went from client to server.
    pub(crate) to_server: bool,
    /// How the direction is known.
    pub(crate) opening: Opening,
}

#[allow(dead_code, reason = "one interface for every protocol")]
impl Scene {
    /// Whoever sent the newest packet.
    pub(crate) const fn speaker(&self) -> Party {
        if self.to_server {
            self.client
        } else {
            self.server
        }
    }

    /// Whoever the newest packet went to.
    pub(crate) const fn listener(&self) -> Party {
        if self.to_server {
            self.server
        } else {
            self.client
        }
    }

    /// Port that the newest packet came from.
    pub(crate) const fn speaker_port(&self) -> u16 {
        if self.to_server {
            self.client_port
        } else {
            self.server_port
        }
    }
}

/// What is held of a stream: of each direction the octets from the beginning, or from where the dissector said that
/// it needs no earlier ones.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Streams<'a> {
    /// From client to server.
    pub(crate) to_server: &'a [u8],
    /// From server to client.
    pub(crate) to_client: &'a [u8],
    /// Octets are missing in front of `to_server`, because the capture lost them: look for the next message. Said once
    /// for each loss. A stream whose opening was not captured has no gap: it is recognised by what it begins with.
    pub(crate) gap_to_server: bool,
    /// The same for `to_client`.
    pub(crate) gap_to_client: bool,
    /// No octet will be added any more: take what is there.
    pub(crate) ended: bool,
}

/// What a recogniser says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(dead_code, reason = "one interface for every protocol")]
pub(crate) enum Verdict {
    /// It is not this protocol, whatever follows.
    No,
    /// It may be: more octets are needed to say.
    Perhaps,
    /// It is.
    Yes,
    /// It is, and the one that we took for the server is the client. Believed when the opening was not captured.
    Reversed,
}

/// What a recogniser sees.
#[derive(Clone, Copy, Debug)]
#[allow(dead_code, reason = "one interface for every protocol")]
pub(crate) struct First<'a> {
    /// First octets from client to server; may be empty, and grows until a verdict is there or 2 KiB are.
    pub(crate) to_server: &'a [u8],
    /// First octets from server to client.
    pub(crate) to_client: &'a [u8],
    /// The server's port.
    pub(crate) server_port: u16,
    /// Whether the server's port is one of the protocol's.
    pub(crate) port_fits: bool,
}

/// Whether a dissector of a stream wants to go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// It wants more octets, and needs so many at the front of each direction no longer. A number beyond what is held
    /// passes over octets that have not come yet.
    More {
        /// From client to server.
        to_server: u64,
        /// From server to client.
        to_client: u64,
    },
    /// Another protocol begins behind so many octets of each direction (STARTTLS, a proxy's preface): it is recognised
    /// anew from there. The name of the service stays when what follows is TLS.
    Again {
        /// From client to server.
        to_server: usize,
        /// From server to client.
        to_client: usize,
    },
    /// It has what it wants.
    Done,
}

#[allow(dead_code, reason = "one interface for every protocol")]
impl Progress {
    /// More octets, keeping all that are there.
    pub(crate) const KEEP: Self = Self::More {
        to_server: 0,
        to_client: 0,
    };
}

/// What a dissector of a stream keeps between calls. Fresh for each stream.
#[derive(Default)]
pub(crate) struct Memory {
    /// Small numbers, free for use by the dissector (a phase, an offset already read).
    pub(crate) numbers: [u32; 4],
    more: Option<Box<dyn Any + Send>>,
}

#[allow(dead_code, reason = "one interface for every protocol")]
impl Memory {
    /// A larger state, made on first use. A `T` has to state its bound in octets, at most some kilobytes.
    pub(crate) fn get<T: Default + Send + 'static>(&mut self) -> &mut T {
        if !self.more.as_ref().is_some_and(|held| held.is::<T>()) {
            self.more = Some(Box::<T>::default());
        }
        self.more
            .as_mut()
            .and_then(|held| held.downcast_mut())
            .expect("a `T` was put there above")
    }

    pub(crate) fn clear(&mut self) {
        self.numbers = [0; 4];
        self.more = None;
    }
}

/// A protocol over TCP.
pub(crate) struct StreamProtocol {
    /// Its name as [`domain::Flow::service`] has it.
    pub(crate) service: &'static str,
    /// Server ports at which its recogniser is asked first. Any other port is recognised by content as well.
    pub(crate) ports: &'static [u16],
    /// Whether an eavesdropper can read it (the dissector may know better).
    pub(crate) protection: Protection,
    /// Whether it goes on past the first octets: it is then called for as long as the flow lives, and after a gap.
    pub(crate) follows: bool,
    /// Says whether the first octets are its protocol. Must be quick: each new stream asks each recogniser.
    pub(crate) recognise: fn(&First<'_>) -> Verdict,
    /// Finds what there is to find.
    pub(crate) dissect: fn(&Scene, &Streams<'_>, &mut Memory, &mut Findings<'_>) -> Progress,
}

/// A protocol over UDP.
pub(crate) struct DatagramProtocol {
    /// Its name as [`domain::Flow::service`] has it.
    pub(crate) service: &'static str,
    /// Ports (of either side) at which it is tried first.
    pub(crate) ports: &'static [u16],
    /// Whether an eavesdropper can read it (the dissector may know better).
    pub(crate) protection: Protection,
    /// Datagrams of each flow that are dissected; `u16::MAX`: all of them.
    pub(crate) depth: u16,
    /// Whether a payload on another port may be this protocol. `None`: only on its ports.
    pub(crate) recognise: Option<fn(&Scene, &[u8]) -> bool>,
    /// Dissects one payload; false: it was not this protocol after all.
    pub(crate) dissect: fn(&Scene, &[u8], &mut Findings<'_>) -> bool,
}

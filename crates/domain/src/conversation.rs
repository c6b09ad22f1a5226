//! Who talks to whom: flows as a sensor reports them, conversations as the inventory keeps them.

use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use crate::net::{Party, Transport};
use crate::observation::SourceId;
use crate::{DeviceId, Timestamp};

/// How the direction of a flow is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Opening {
    /// The opening was seen (TCP SYN, a request of a datagram protocol).
    Seen,
    /// The source of the record says who opened it.
    Told,
    /// Guessed from ports: the opening was before the capture.
    Guessed,
}

/// Whether an eavesdropper could read it.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Protection {
    /// The first payload was encrypted (TLS, DTLS, QUIC, SSH, IPsec, WireGuard).
    Encrypted,
    /// It was readable.
    Cleartext,
    /// Not known.
    #[default]
    Unknown,
}

/// Packets and octets in one direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Volume {
    /// Packets.
    pub packets: u64,
    /// Octets of IP packets, headers included.
    pub bytes: u64,
}

impl Volume {
    /// Adds another volume.
    pub fn add(&mut self, other: Self) {
        self.packets = self.packets.saturating_add(other.packets);
        self.bytes = self.bytes.saturating_add(other.bytes);
    }
}

/// One flow between two network parties, or what was added to it since the last report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flow {
    /// Who reports it.
    pub source: SourceId,
    /// First packet of this report.
    pub first: Timestamp,
    /// Last packet of this report.
    pub last: Timestamp,
    /// Whoever opened it.
    pub client: Party,
    /// Whoever was asked.
    pub server: Party,
    /// Transport.
    pub transport: Transport,
    /// The server's port; 0 where the transport has none.
    pub port: u16,
    /// The client's port; 0 where unknown.
    pub client_port: u16,
    /// How the direction is known.
    pub opening: Opening,
    /// Whether this report is of a flow that was not reported before.
    pub begins: bool,
    /// Application protocol as seen in the payload, in lower case (`dicom`, `hl7`, `http`, `tls`, `dns` …); absent: not recognised.
    pub service: Option<SmolStr>,
    /// Readable or not.
    pub protection: Protection,
    /// Clinical or technical meaning: `C-STORE`, `ORU^R01`, `FHIR read`; few and short.
    pub meanings: Vec<SmolStr>,
    /// Name of the server the client asked for (TLS server name, HTTP host), lower case.
    pub server_name: Option<SmolStr>,
    /// From client to server.
    pub sent: Volume,
    /// From server to client.
    pub received: Volume,
}

/// All flows of one kind between two devices, as the inventory keeps them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Conversation {
    /// Who opens it.
    pub client: DeviceId,
    /// Who is asked; outside the hospital: one id per name or network (`internet`).
    pub server: DeviceId,
    /// Transport.
    pub transport: Transport,
    /// The server's port. 0: many (`ports` says how many).
    pub port: u16,
    /// Number of distinct server ports folded into this row (1 unless the protocol moves ports).
    pub ports: u32,
    /// Application protocol, if recognised.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<SmolStr>,
    /// Meanings seen.
    #[serde(default)]
    pub meanings: Vec<SmolStr>,
    /// How the direction is known (the best of its flows).
    pub opening: Opening,
    /// Readable or not (the worst of its flows).
    pub protection: Protection,
    /// Names under which the server was asked for.
    #[serde(default)]
    pub server_names: Vec<SmolStr>,
    /// First packet.
    pub first: Timestamp,
    /// Last packet.
    pub last: Timestamp,
    /// Number of flows.
    pub flows: u64,
    /// From client to server.
    pub sent: Volume,
    /// From server to client.
    pub received: Volume,
    /// Distinct hours of the week (0 = Monday 00:00 UTC … 167) in which it was active, as a bit set of 168 bits, low bits first.
    pub hours: [u64; 3],
    /// Distinct UTC days on which it was active.
    pub days: u32,
    /// Typical seconds between openings, when regular.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub period_secs: Option<u32>,
}

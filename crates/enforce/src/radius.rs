//! RADIUS: packets (RFC 2865), dynamic VLAN (RFC 2868, RFC 3580), access lists per device, change of authorisation
//! (RFC 5176), all signed with Message-Authenticator (RFC 3579).
//!
//! Bytes only, but for [`client`]. An Access-Accept has at most 4,096 octets, and servers drop what does not fit without a
//! word; so what a device is given is proved to fit before it is written anywhere.

pub mod authorization;
pub mod client;
pub mod packet;

pub use authorization::{Authorization, FreeRadius};
pub use packet::{Attribute, Code, Packet};

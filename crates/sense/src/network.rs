//! Network layer: IPv4 (RFC 791), IPv6 (RFC 8200), ARP (RFC 826).

pub(crate) mod arp;
pub(crate) mod fragments;
pub(crate) mod ip;
pub(crate) mod neighbour;
pub(crate) mod tunnel;

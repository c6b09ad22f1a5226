//! Transport layer: TCP (RFC 9293), UDP (RFC 768).

pub(crate) mod half;
pub(crate) mod header;
pub(crate) mod shape;
pub(crate) mod streams;

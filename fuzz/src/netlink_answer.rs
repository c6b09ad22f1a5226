//! What the kernel might answer: rules, sets, elements, tables, counters, errors.

/// Reads any octets.
pub fn run(data: &[u8]) {
    enforce::nft::dump::read_all(data);
}

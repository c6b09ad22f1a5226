//! Payload files: the payloads of 256 records, one slot each, in the order of the records.
//!
//! ```text
//! slot  = u32 length, at most 1 MiB | salt, 16 bytes | payload
//!       | u32 0xFFFFFFFF | i64 milliseconds since 1970 | Ed25519 signature, 64 bytes     (pruned)
//! ```
//!
//! Integers are big-endian. The signature of a pruned slot is the log's own, over the text of [`prune_statement`]: an
//! erasure that whoever holds the key did not make is told apart from one that they did.

use domain::Timestamp;

use super::leaf::{PAYLOAD_BYTES_MAX, SALT_BYTES};
use super::tree::Hash;

const PRUNED: u32 = u32::MAX;
const SIGNATURE_BYTES: usize = 64;

/// One record's slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slot<'a> {
    /// The payload after its salt.
    Kept {
        /// Salt and payload, as the commitment hashes them.
        salted: &'a [u8],
    },
    /// The payload was erased.
    Pruned {
        /// When.
        at: Timestamp,
        /// By whom, as a signature of the log's key.
        signature: &'a [u8; SIGNATURE_BYTES],
    },
}

impl<'a> Slot<'a> {
    /// Salt and payload, unless they were erased.
    pub fn salted(&self) -> Option<&'a [u8]> {
        match self {
            Self::Kept { salted } => Some(salted),
            Self::Pruned { .. } => None,
        }
    }

    /// The payload without its salt.
    pub fn payload(&self) -> Option<&'a [u8]> {
        self.salted().and_then(|s| s.get(SALT_BYTES..))
    }

    /// Appends the slot to a payload file.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Kept { salted } => {
                let length =
                    u32::try_from(salted.len().saturating_sub(SALT_BYTES)).unwrap_or(PRUNED - 1);
                out.extend_from_slice(&length.to_be_bytes());
                out.extend_from_slice(salted);
            }
            Self::Pruned { at, signature } => {
                out.extend_from_slice(&PRUNED.to_be_bytes());
                out.extend_from_slice(&at.as_millis().to_be_bytes());
                out.extend_from_slice(*signature);
            }
        }
    }
}

/// Takes the first slot off `bytes`; `None` if there is no whole one.
pub fn split_slot(bytes: &[u8]) -> Option<(Slot<'_>, &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    let length = u32::from_be_bytes(*length);
    if length == PRUNED {
        let (at, rest) = rest.split_first_chunk::<8>()?;
        let (signature, rest) = rest.split_first_chunk::<SIGNATURE_BYTES>()?;
        let at = Timestamp::from_millis(i64::from_be_bytes(*at));
        return Some((Slot::Pruned { at, signature }, rest));
    }
    let length = usize::try_from(length)
        .ok()
        .filter(|l| *l <= PAYLOAD_BYTES_MAX)?;
    let (salted, rest) = rest.split_at_checked(SALT_BYTES + length)?;
    Some((Slot::Kept { salted }, rest))
}

/// What the log's key signs when a payload is erased.
pub fn prune_statement(origin: &str, index: u64, at: Timestamp, commitment: &Hash) -> Vec<u8> {
    let mut text = format!(
        "asepsis audit payload erased, version 1\n{origin}\n{index}\n{}\n",
        at.as_millis()
    )
    .into_bytes();
    text.extend_from_slice(commitment);
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn slots_read_back(payloads in prop::collection::vec(prop::option::of(prop::collection::vec(any::<u8>(), 0..300)), 0..20)) {
            let salted: Vec<Option<Vec<u8>>> = payloads.iter().map(|p| p.as_ref().map(|p| [&[5; SALT_BYTES], p.as_slice()].concat())).collect();
            let slots: Vec<Slot<'_>> = salted
                .iter()
                .map(|s| match s {
                    Some(salted) => Slot::Kept { salted },
                    None => Slot::Pruned { at: Timestamp::from_millis(77), signature: &[6; 64] },
                })
                .collect();
            let mut bytes = Vec::new();
            for slot in &slots {
                slot.encode(&mut bytes);
            }
            let mut rest = bytes.as_slice();
            for (slot, payload) in slots.iter().zip(&payloads) {
                let (read, tail) = split_slot(rest).expect("own bytes");
                prop_assert_eq!(&read, slot);
                prop_assert_eq!(read.payload(), payload.as_deref());
                rest = tail;
            }
            prop_assert!(rest.is_empty());
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes: Vec<u8>) {
            let _ = split_slot(&bytes);
        }
    }
}

//! Write-ahead segments: what makes a record durable.
//!
//! A segment is a file that was filled with zeros and made durable before its first use, so that a commit changes no
//! metadata of the file system. All integers are big-endian.
//!
//! ```text
//! segment = head | batch* | zeros
//! head    = "asepwal1" | u64 first record | previous digest, 32 bytes | u64 order*2+abandoned | check, 8 bytes
//! batch   = "asepbat1" | u64 first record | u32 records | u32 body bytes | digest, 32 bytes | check, 8 bytes
//!           | body | zeros | "batchend"                              (the whole is a multiple of 64 bytes)
//! body    = frame*
//! frame   = leaf hash, 32 bytes | u32 payload bytes | u16 leaf bytes | 0x0000 | salt, 16 bytes | payload | 0x00 | leaf
//! ```
//!
//! `check` is the start of the SHA-256 of the 56 bytes before it. `digest` is the SHA-256 of the previous batch's digest,
//! of the first 24 bytes of this batch and of the first 40 bytes of each of its frames: with the leaf hash and the leaf's
//! commitment it covers every byte, and chains the batches. `order` rises with each segment put to use. `abandoned` says
//! that writing the segment before failed: what it holds from this segment's first record on was never acknowledged.
//!
//! # Torn or changed
//!
//! A batch is on disk before the next one is written, so only the last can be unfinished. Sectors of 512 bytes are
//! written whole: an unfinished batch holds a sector that still has its zeros, while its trailer sees to it that a
//! finished one does not end in one. So a batch that does not check out is *torn* if part of it was never written, and
//! was then never acknowledged; otherwise it was *changed*.

use super::leaf::{LEAF_BYTES_MAX, PAYLOAD_BYTES_MAX, SALT_BYTES, commitment};
use super::tree::{Hash, leaf_hash_prefixed, sha256};

/// Everything starts at multiples of this many bytes.
pub const BLOCK: usize = 64;
/// The unit in which a disk writes.
const SECTOR: usize = 512;
const SEGMENT_MAGIC: &[u8; 8] = b"asepwal1";
const BATCH_MAGIC: &[u8; 8] = b"asepbat1";
const TRAILER: &[u8; 8] = b"batchend";
const CHECKED: usize = 56;
const FRAME_HEAD: usize = 40;

fn array<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let mut out = [0; N];
    if let Some(slice) = bytes.get(at..at + N) {
        out.copy_from_slice(slice);
    }
    out
}

fn seal_block(block: &mut [u8]) {
    let check = sha256(&block[..CHECKED]);
    block[CHECKED..BLOCK].copy_from_slice(&check[..BLOCK - CHECKED]);
}

fn is_sealed(block: &[u8]) -> bool {
    sha256(&block[..CHECKED])[..BLOCK - CHECKED] == block[CHECKED..BLOCK]
}

fn is_zero(bytes: &[u8]) -> bool {
    bytes.iter().all(|b| *b == 0)
}

/// The head of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentHead {
    /// The first record it holds.
    pub first: u64,
    /// The digest of the batch before; zeros if there is none.
    pub previous: Hash,
    /// Its place among the segments.
    pub order: u64,
    /// Whether writing the segment before it failed.
    pub abandoned: bool,
}

impl SegmentHead {
    /// The head's bytes.
    pub fn encode(&self) -> [u8; BLOCK] {
        let mut block = [0; BLOCK];
        block[..8].copy_from_slice(SEGMENT_MAGIC);
        block[8..16].copy_from_slice(&self.first.to_be_bytes());
        block[16..48].copy_from_slice(&self.previous);
        block[48..CHECKED]
            .copy_from_slice(&(self.order << 1 | u64::from(self.abandoned)).to_be_bytes());
        seal_block(&mut block);
        block
    }
}

/// What the first block of a segment says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SegmentStart {
    /// The segment was never used.
    Unused,
    /// The segment is in use.
    Used(SegmentHead),
    /// The block was changed or cut off.
    Changed,
}

/// Reads the first block of a segment.
pub fn parse_segment_start(bytes: &[u8]) -> SegmentStart {
    let Some(block) = bytes.get(..BLOCK) else {
        // A segment whose filling with zeros was cut short.
        return if is_zero(bytes) {
            SegmentStart::Unused
        } else {
            SegmentStart::Changed
        };
    };
    if is_zero(block) {
        return SegmentStart::Unused;
    }
    if !block.starts_with(SEGMENT_MAGIC) || !is_sealed(block) {
        return SegmentStart::Changed;
    }
    let order = u64::from_be_bytes(array(block, 48));
    SegmentStart::Used(SegmentHead {
        first: u64::from_be_bytes(array(block, 8)),
        previous: array(block, 16),
        order: order >> 1,
        abandoned: order & 1 == 1,
    })
}

/// The head of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchHead {
    /// Its first record.
    pub first: u64,
    /// Its records.
    pub count: u32,
    /// The bytes of its frames.
    pub body_bytes: u32,
    /// The digest that chains it.
    pub digest: Hash,
}

impl BatchHead {
    /// Reads the block at the start of a batch; `None` if it is not one.
    pub fn parse(block: &[u8]) -> Option<Self> {
        let block = block.get(..BLOCK)?;
        (block.starts_with(BATCH_MAGIC) && is_sealed(block)).then(|| Self {
            first: u64::from_be_bytes(array(block, 8)),
            count: u32::from_be_bytes(array(block, 16)),
            body_bytes: u32::from_be_bytes(array(block, 20)),
            digest: array(block, 24),
        })
    }

    /// Bytes from the start of the batch to the start of the next.
    pub fn span(&self) -> usize {
        batch_span(usize::try_from(self.body_bytes).unwrap_or(usize::MAX >> 1))
    }
}

/// Bytes of a batch with a body of so many bytes.
pub fn batch_span(body_bytes: usize) -> usize {
    (BLOCK + body_bytes + TRAILER.len()).next_multiple_of(BLOCK)
}

/// One record in a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// The hash of the leaf.
    pub leaf_hash: Hash,
    /// Salt and payload.
    pub salted: &'a [u8],
    /// One byte `0x00`, then the leaf.
    prefixed: &'a [u8],
}

impl<'a> Frame<'a> {
    /// The leaf.
    pub fn leaf(&self) -> &'a [u8] {
        self.prefixed.get(1..).unwrap_or(&[])
    }

    /// Whether the hashes match the bytes.
    pub fn is_whole(&self) -> bool {
        self.prefixed.first() == Some(&0)
            && leaf_hash_prefixed(self.prefixed) == self.leaf_hash
            && commitment(self.leaf()) == Some(sha256(self.salted))
    }
}

/// Starts a frame in an emptied buffer: room for its head, then the salt, then what `payload` appends. Returns the
/// commitment's input, salt and payload.
pub(crate) fn begin_frame<'a>(
    frame: &'a mut Vec<u8>,
    salt: &[u8; SALT_BYTES],
    payload: impl FnOnce(&mut Vec<u8>),
) -> &'a [u8] {
    frame.clear();
    frame.resize(FRAME_HEAD, 0);
    frame.extend_from_slice(salt);
    payload(frame);
    &frame[FRAME_HEAD..]
}

/// Completes a frame: `write_leaf` appends the leaf. On an error the buffer is left in disorder.
pub(crate) fn finish_frame<E>(
    frame: &mut Vec<u8>,
    write_leaf: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
) -> Result<(), E> {
    let payload_bytes = u32::try_from(frame.len() - FRAME_HEAD - SALT_BYTES).unwrap_or(u32::MAX);
    let prefix = frame.len();
    frame.push(0);
    write_leaf(frame)?;
    let leaf_bytes = u16::try_from(frame.len() - prefix - 1).unwrap_or(u16::MAX);
    let hash = leaf_hash_prefixed(&frame[prefix..]);
    frame[..32].copy_from_slice(&hash);
    frame[32..36].copy_from_slice(&payload_bytes.to_be_bytes());
    frame[36..38].copy_from_slice(&leaf_bytes.to_be_bytes());
    Ok(())
}

/// Takes the first frame off a body; `None` if there is no whole one.
fn split_frame(body: &[u8]) -> Option<(Frame<'_>, &[u8])> {
    let (head, rest) = body.split_at_checked(FRAME_HEAD)?;
    let payload_bytes = usize::try_from(u32::from_be_bytes(array(head, 32))).ok()?;
    let leaf_bytes = usize::from(u16::from_be_bytes(array(head, 36)));
    if payload_bytes > PAYLOAD_BYTES_MAX || leaf_bytes > LEAF_BYTES_MAX || !is_zero(&head[38..]) {
        return None;
    }
    let (salted, rest) = rest.split_at_checked(SALT_BYTES + payload_bytes)?;
    let (prefixed, rest) = rest.split_at_checked(1 + leaf_bytes)?;
    Some((
        Frame {
            leaf_hash: array(head, 0),
            salted,
            prefixed,
        },
        rest,
    ))
}

/// The frames of a body, as far as they can be read.
#[derive(Clone, Debug)]
pub struct Frames<'a>(&'a [u8]);

impl<'a> Iterator for Frames<'a> {
    type Item = Frame<'a>;
    fn next(&mut self) -> Option<Frame<'a>> {
        let (frame, rest) = split_frame(self.0)?;
        self.0 = rest;
        Some(frame)
    }
}

fn batch_digest(previous: &Hash, block: &[u8], body: &[u8]) -> Hash {
    let mut hashed = Vec::with_capacity(32 + 24 + body.len() / 8);
    hashed.extend_from_slice(previous);
    hashed.extend_from_slice(&block[..24]);
    let mut rest = body;
    while let Some((_, tail)) = split_frame(rest) {
        hashed.extend_from_slice(&rest[..FRAME_HEAD]);
        rest = tail;
    }
    sha256(&hashed)
}

/// Turns a block of any content followed by `count` frames into a batch, and returns its digest.
pub(crate) fn seal_batch(batch: &mut Vec<u8>, first: u64, count: u32, previous: &Hash) -> Hash {
    let body_bytes = batch.len() - BLOCK;
    batch.resize(batch_span(body_bytes), 0);
    let trailer = batch.len() - TRAILER.len();
    batch[trailer..].copy_from_slice(TRAILER);
    let (block, rest) = batch.split_at_mut(BLOCK);
    block[..8].copy_from_slice(BATCH_MAGIC);
    block[8..16].copy_from_slice(&first.to_be_bytes());
    block[16..20].copy_from_slice(&count.to_be_bytes());
    block[20..24].copy_from_slice(&u32::try_from(body_bytes).unwrap_or(u32::MAX).to_be_bytes());
    let digest = batch_digest(previous, block, &rest[..body_bytes]);
    block[24..CHECKED].copy_from_slice(&digest);
    seal_block(block);
    digest
}

/// A batch that checked out.
#[derive(Clone, Debug)]
pub struct Batch<'a> {
    /// Its head.
    pub head: BatchHead,
    body: &'a [u8],
}

impl<'a> Batch<'a> {
    /// Its records.
    pub fn frames(&self) -> Frames<'a> {
        Frames(self.body)
    }

    /// Reads the batch at the start of `bytes` without checking any hash: for bytes that this process wrote itself.
    pub(crate) fn parse_own(bytes: &'a [u8]) -> Option<Self> {
        let head = BatchHead::parse(bytes)?;
        let body_bytes = usize::try_from(head.body_bytes).ok()?;
        Some(Self {
            head,
            body: bytes.get(BLOCK..BLOCK.checked_add(body_bytes)?)?,
        })
    }
}

/// What lies where a batch is looked for.
#[derive(Clone, Debug)]
pub enum Found<'a> {
    /// A batch.
    Batch(Batch<'a>),
    /// Nothing but zeros: the log ends here.
    End,
    /// A batch of which part was never written.
    Torn {
        /// Bytes from its start to the last that is not zero.
        bytes: u64,
        /// Whether the unwritten part is its end, as when the writing process was killed.
        tail_missing: bool,
    },
    /// Something that no crash explains.
    Changed(&'static str),
}

/// Looks for the batch of record `first` at `offset`, a multiple of 64, in a whole segment.
pub fn find_batch<'a>(segment: &'a [u8], offset: usize, first: u64, previous: &Hash) -> Found<'a> {
    let rest = segment.get(offset..).unwrap_or(&[]);
    let head = BatchHead::parse(rest);
    let whole = head.and_then(|head| rest.get(..head.span()).map(|bytes| (head, bytes)));
    let fault = match whole.map(|(head, bytes)| check_batch(bytes, &head, first, previous)) {
        Some(Ok(batch)) => return Found::Batch(batch),
        Some(Err(what)) => what,
        None => "the segment was cut off within a batch",
    };
    let Some(last_used) = rest.iter().rposition(|b| *b != 0) else {
        return Found::End;
    };
    let torn = |tail_missing| Found::Torn {
        bytes: last_used as u64 + 1,
        tail_missing,
    };
    match (head, whole) {
        (Some(head), Some((_, bytes))) => match unwritten_from(bytes, offset) {
            Some(_) if last_used >= head.span() => {
                Found::Changed("a batch that others follow was changed")
            }
            Some(start) => torn(last_used < start),
            None => Found::Changed(fault),
        },
        (Some(_), None) => Found::Changed(fault),
        (None, _) => {
            let to_sector_end = (SECTOR - offset % SECTOR).min(rest.len());
            if !is_zero(&rest[..to_sector_end]) {
                return Found::Changed("the head of a batch was changed");
            }
            // The sector of the head was never written though a later one was: a power cut, unless a later batch
            // follows.
            let later = rest
                .chunks_exact(BLOCK)
                .skip(1)
                .any(|block| BatchHead::parse(block).is_some());
            if later {
                Found::Changed("the head of a batch was erased")
            } else {
                torn(false)
            }
        }
    }
}

fn check_batch<'a>(
    bytes: &'a [u8],
    head: &BatchHead,
    first: u64,
    previous: &Hash,
) -> Result<Batch<'a>, &'static str> {
    if head.first != first {
        return Err("a batch is out of order");
    }
    let body_bytes = usize::try_from(head.body_bytes).unwrap_or(usize::MAX);
    let (Some(body), Some(padding)) = (
        bytes.get(BLOCK..BLOCK.saturating_add(body_bytes)),
        bytes.get(BLOCK.saturating_add(body_bytes)..),
    ) else {
        return Err("a batch is cut off");
    };
    let Some(padding) = padding.strip_suffix(TRAILER) else {
        return Err("the end of a batch was changed");
    };
    if !is_zero(padding) {
        return Err("the padding of a batch was changed");
    }
    if batch_digest(previous, bytes, body) != head.digest {
        return Err("a batch was changed or is out of order");
    }
    let mut frames = Frames(body);
    let mut count = 0u32;
    for frame in &mut frames {
        if !frame.is_whole() {
            return Err("a record was changed");
        }
        count = count.saturating_add(1);
    }
    if !frames.0.is_empty() || count != head.count || count == 0 {
        return Err("a batch does not hold the records it should");
    }
    Ok(Batch { head: *head, body })
}

/// Where, within a batch, the first sector starts that was never written.
fn unwritten_from(batch: &[u8], offset: usize) -> Option<usize> {
    let mut start = 0;
    while start < batch.len() {
        let end = (start + SECTOR - (offset + start) % SECTOR).min(batch.len());
        if is_zero(&batch[start..end]) {
            return Some(start);
        }
        start = end;
    }
    None
}

#[cfg(test)]
mod tests {
    use domain::Timestamp;
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::entry::{Entry, Kind};
    use crate::format::leaf;

    fn push(batch: &mut Vec<u8>, n: u64, payload: &[u8]) {
        let serde_json::Value::Object(header) = json!({ "n": n }) else {
            panic!("object")
        };
        let entry = Entry {
            at: Timestamp::from_millis(5),
            kind: Kind::Decision,
            header,
            payload: payload.to_vec(),
        };
        let mut frame = Vec::new();
        let commitment =
            leaf::commitment_of_salted(begin_frame(&mut frame, &[3; SALT_BYTES], |out| {
                out.extend_from_slice(&entry.payload);
            }));
        finish_frame(&mut frame, |out| leaf::encode(&entry, &commitment, out)).expect("small");
        batch.extend_from_slice(&frame);
    }

    /// A segment with batches of these payload sizes, the places where they start, and the last digest.
    fn segment(batches: &[Vec<usize>]) -> (Vec<u8>, Vec<(usize, u64, Hash)>) {
        let head = SegmentHead {
            first: 10,
            previous: [1; 32],
            order: 4,
            abandoned: false,
        };
        let mut bytes = head.encode().to_vec();
        let (mut next, mut digest) = (head.first, head.previous);
        let mut places = Vec::new();
        for sizes in batches {
            places.push((bytes.len(), next, digest));
            let mut batch = vec![0xAA; BLOCK];
            for (n, size) in (next..).zip(sizes) {
                push(&mut batch, n, &vec![b'p'; *size]);
            }
            let count = u32::try_from(sizes.len()).expect("small");
            digest = seal_batch(&mut batch, next, count, &digest);
            next += u64::from(count);
            bytes.extend_from_slice(&batch);
        }
        places.push((bytes.len(), next, digest));
        bytes.resize(bytes.len() + 4096, 0);
        (bytes, places)
    }

    fn found<'a>(bytes: &'a [u8], place: &(usize, u64, Hash)) -> Found<'a> {
        find_batch(bytes, place.0, place.1, &place.2)
    }

    #[test]
    fn batches_read_back_and_then_comes_the_end() {
        let (bytes, places) = segment(&[vec![0], vec![5, 700, 3], vec![2000]]);
        let SegmentStart::Used(head) = parse_segment_start(&bytes) else {
            panic!("used")
        };
        assert_eq!((head.first, head.order, head.abandoned), (10, 4, false));
        for (place, next) in places.iter().zip(&places[1..]) {
            let Found::Batch(batch) = found(&bytes, place) else {
                panic!("a batch")
            };
            assert_eq!(u64::from(batch.head.count), next.1 - place.1);
            assert_eq!(batch.head.span(), next.0 - place.0);
            assert_eq!(
                batch.frames().count(),
                usize::try_from(batch.head.count).expect("small")
            );
        }
        assert!(matches!(
            found(&bytes, places.last().expect("some")),
            Found::End
        ));
    }

    #[test]
    fn every_flipped_bit_is_a_change_and_never_a_tear() {
        let (bytes, places) = segment(&[vec![3], vec![40, 600]]);
        for i in 0..bytes.len() {
            for bit in [0, 5] {
                let mut bent = bytes.clone();
                bent[i] ^= 1 << bit;
                if i < BLOCK {
                    assert_eq!(
                        parse_segment_start(&bent),
                        SegmentStart::Changed,
                        "byte {i}"
                    );
                    continue;
                }
                let place = places
                    .iter()
                    .rev()
                    .find(|p| p.0 <= i)
                    .expect("first batch starts at 64");
                let is_tail = place.1 == 13;
                match found(&bent, place) {
                    Found::Changed(_) => {}
                    // A lone byte in the unused sectors behind the log: `verify` reports it as well.
                    Found::Torn {
                        tail_missing: false,
                        ..
                    } if is_tail => {}
                    other => panic!("byte {i} bit {bit}: {other:?}"),
                }
            }
        }
    }

    #[test]
    fn an_unfinished_last_batch_is_torn_wherever_it_stops() {
        let (bytes, places) = segment(&[vec![3], vec![600, 900, 2000]]);
        let (place, end) = (places[1], places[2].0);
        // Killed: the page cache holds a beginning.
        for cut in (place.0..end)
            .step_by(SECTOR)
            .map(|c| c.next_multiple_of(SECTOR))
            .filter(|c| *c < end)
        {
            let mut torn = bytes.clone();
            torn[cut..].fill(0);
            assert!(
                matches!(
                    found(&torn, &place),
                    Found::Torn {
                        tail_missing: true,
                        ..
                    }
                ),
                "cut at {cut}"
            );
        }
        // Power cut: any set of sectors is missing.
        let sectors: Vec<usize> = (place.0 / SECTOR..=(end - 1) / SECTOR).collect();
        for missing in 1u32..1 << sectors.len() {
            let mut torn = bytes.clone();
            for (i, sector) in sectors.iter().enumerate() {
                if missing & 1 << i != 0 {
                    let from = (sector * SECTOR).max(place.0);
                    torn[from..((sector + 1) * SECTOR).min(end)].fill(0);
                }
            }
            assert!(
                matches!(found(&torn, &place), Found::Torn { .. } | Found::End),
                "missing {missing:b}"
            );
        }
        // The same in the first batch, which another follows, is damage.
        let mut damaged = bytes.clone();
        damaged[places[0].0..places[1].0].fill(0);
        assert!(matches!(found(&damaged, &places[0]), Found::Changed(_)));
    }

    #[test]
    fn reordered_and_cut_batches_are_changes() {
        let (bytes, places) = segment(&[vec![3], vec![3], vec![3]]);
        let span = places[1].0 - places[0].0;
        assert_eq!(span, places[2].0 - places[1].0);
        let mut swapped = bytes.clone();
        swapped[places[0].0..places[1].0].copy_from_slice(&bytes[places[1].0..places[2].0]);
        swapped[places[1].0..places[2].0].copy_from_slice(&bytes[places[0].0..places[1].0]);
        assert!(matches!(found(&swapped, &places[0]), Found::Changed(_)));
        let mut dropped = bytes.clone();
        dropped.copy_within(places[1].0.., places[0].0);
        assert!(matches!(found(&dropped, &places[0]), Found::Changed(_)));
        let cut = &bytes[..places[1].0 + 200];
        assert!(matches!(found(cut, &places[1]), Found::Changed(_)));
    }

    proptest! {
        #[test]
        fn arbitrary_segments_never_panic(bytes: Vec<u8>, zeros in 0usize..600, first: u64) {
            let mut bytes = bytes;
            bytes.resize(bytes.len() + zeros, 0);
            let _ = parse_segment_start(&bytes);
            for offset in (0..bytes.len() + BLOCK).step_by(BLOCK) {
                let _ = find_batch(&bytes, offset, first, &[0; 32]);
            }
        }

        #[test]
        fn a_segment_with_random_damage_never_panics(places in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6)) {
            let (mut bytes, starts) = segment(&[vec![3], vec![40, 600]]);
            for (place, value) in places {
                let at = place.index(bytes.len());
                bytes[at] = value;
            }
            for start in &starts {
                let _ = found(&bytes, start);
            }
        }
    }
}

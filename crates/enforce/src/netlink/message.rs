//! Netlink messages (`nlmsghdr`, 16 octets) of the netfilter family (`nfgenmsg`, 4 octets), batches of them, and what the
//! kernel answers. Bytes only; the socket is elsewhere.

use smol_str::SmolStr;

use super::attribute::{Attributes, Writer};

/// Acknowledge (`NLM_F_ACK`) a request (`NLM_F_REQUEST`).
const REQUEST: u16 = 1;
const ACK: u16 = 4;
/// `NLM_F_DUMP`.
pub(crate) const DUMP: u16 = 0x300;
/// `NLM_F_DUMP_INTR`: what was read changed meanwhile.
const INTERRUPTED: u16 = 0x10;
/// `NLM_F_CREATE`.
pub(crate) const CREATE: u16 = 0x400;
/// `NLM_F_EXCL`.
pub(crate) const EXCLUSIVE: u16 = 0x200;
/// `NLM_F_APPEND`.
pub(crate) const APPEND: u16 = 0x800;
/// `NLM_F_CAPPED`: an error holds the header of what failed only.
const CAPPED: u16 = 0x100;
/// `NLM_F_ACK_TLVS`: an error holds attributes with the kernel's words.
const WORDS: u16 = 0x200;

const ERROR: u16 = 2;
const DONE: u16 = 3;
const BATCH_BEGIN: u16 = 16;
const BATCH_END: u16 = 17;
/// Subsystem of nftables (`NFNL_SUBSYS_NFTABLES`).
pub(crate) const NFTABLES: u16 = 10;

/// Octets of `nlmsghdr`.
const HEADER: usize = 16;
/// Octets of `nfgenmsg`.
const FAMILY: usize = 4;
/// `NFNL_BATCH_GENID`.
const GENERATION: u16 = 1;

/// A request that reads, alone in its packet.
pub(crate) fn request(
    kind: u16,
    family: u8,
    flags: u16,
    sequence: u32,
    attributes: impl FnOnce(&mut Writer),
) -> Vec<u8> {
    let mut out = Writer::new();
    message(
        &mut out,
        kind,
        REQUEST | flags,
        sequence,
        family,
        0,
        attributes,
    );
    out.as_slice().to_vec()
}

fn message(
    out: &mut Writer,
    kind: u16,
    flags: u16,
    sequence: u32,
    family: u8,
    resource: u16,
    attributes: impl FnOnce(&mut Writer),
) {
    let start = out.len();
    out.append(&[0; 4]);
    out.append(&kind.to_ne_bytes());
    out.append(&flags.to_ne_bytes());
    out.append(&sequence.to_ne_bytes());
    out.append(&[0; 4]);
    out.append(&[family, 0]);
    out.append(&resource.to_be_bytes());
    attributes(out);
    let length = u32::try_from(out.len() - start).unwrap_or(u32::MAX);
    out.set(start, &length.to_ne_bytes());
}

/// Changes that take effect together or not at all.
#[derive(Clone, Debug)]
pub struct Batch {
    out: Writer,
    steps: Vec<SmolStr>,
    /// Offset of the flags of the last change.
    last_flags: Option<usize>,
}

impl Default for Batch {
    fn default() -> Self {
        Self::new()
    }
}

impl Batch {
    /// No change yet.
    pub fn new() -> Self {
        Self::begin(None)
    }

    /// No change yet; the kernel refuses the whole when its ruleset is not of this generation any more.
    pub fn if_generation(generation: u32) -> Self {
        Self::begin(Some(generation))
    }

    fn begin(generation: Option<u32>) -> Self {
        let mut out = Writer::new();
        message(&mut out, BATCH_BEGIN, REQUEST, 0, 0, NFTABLES, |inside| {
            if let Some(generation) = generation {
                inside.u32(GENERATION, generation);
            }
        });
        Self {
            out,
            steps: Vec::new(),
            last_flags: None,
        }
    }

    /// One change. `step` names it in an error, in the words of an operator.
    pub(crate) fn push(
        &mut self,
        kind: u16,
        family: u8,
        flags: u16,
        step: impl Into<SmolStr>,
        attributes: impl FnOnce(&mut Writer),
    ) {
        self.last_flags = Some(self.out.len() + 6);
        self.steps.push(step.into());
        let sequence = u32::try_from(self.steps.len()).unwrap_or(u32::MAX);
        message(
            &mut self.out,
            NFTABLES << 8 | kind,
            REQUEST | flags,
            sequence,
            family,
            0,
            attributes,
        );
    }

    /// Number of changes.
    pub fn len(&self) -> usize {
        self.steps.len()
    }

    /// Whether it changes nothing.
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// Octets so far.
    pub fn octets(&self) -> usize {
        self.out.len()
    }

    /// The octets to send; the last change asks for an acknowledgement, so that the kernel always answers.
    ///
    /// # Errors
    /// When a value did not fit its attribute.
    pub fn finish(mut self) -> Result<Finished, Overlong> {
        if self.out.overlong() {
            return Err(Overlong);
        }
        if let Some(at) = self.last_flags {
            let raw = self.out.as_slice();
            let flags = u16::from_ne_bytes([raw[at], raw[at + 1]]) | ACK;
            self.out.set(at, &flags.to_ne_bytes());
        }
        let sequence = u32::try_from(self.steps.len() + 1).unwrap_or(u32::MAX);
        message(
            &mut self.out,
            BATCH_END,
            REQUEST,
            sequence,
            0,
            NFTABLES,
            |_| {},
        );
        Ok(Finished {
            bytes: self.out.as_slice().to_vec(),
            steps: self.steps,
        })
    }
}

/// A value of a change is longer than a netlink attribute can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a value is longer than a netlink attribute holds (65,531 octets)")]
pub struct Overlong;

/// A batch as it is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finished {
    /// The octets.
    pub bytes: Vec<u8>,
    steps: Vec<SmolStr>,
}

impl Finished {
    /// What the change with this sequence number is, in words.
    pub fn step(&self, sequence: u32) -> Option<&str> {
        let index = usize::try_from(sequence).ok()?.checked_sub(1)?;
        self.steps.get(index).map(SmolStr::as_str)
    }

    /// Whether it changes nothing.
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// Sequence number of the change whose acknowledgement ends the answer.
    pub(crate) fn last(&self) -> u32 {
        u32::try_from(self.steps.len()).unwrap_or(u32::MAX)
    }
}

/// One message of the kernel.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Answer<'a> {
    /// A change was taken.
    Taken { sequence: u32 },
    /// A change was refused.
    Refused {
        sequence: u32,
        errno: i32,
        words: Option<&'a str>,
    },
    /// One object.
    Object {
        family: u8,
        attributes: Attributes<'a>,
        interrupted: bool,
    },
    /// Nothing more.
    Done { interrupted: bool },
}

/// The messages of one datagram. Ends at the first octets that are no message; it never panics.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Answers<'a>(pub(crate) &'a [u8]);

impl<'a> Iterator for Answers<'a> {
    type Item = Answer<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let header: &[u8; HEADER] = self.0.get(..HEADER)?.try_into().ok()?;
            let [a, b, c, d, k1, k2, f1, f2, s1, s2, s3, s4, ..] = *header;
            let length = usize::try_from(u32::from_ne_bytes([a, b, c, d])).ok()?;
            let kind = u16::from_ne_bytes([k1, k2]);
            let flags = u16::from_ne_bytes([f1, f2]);
            let sequence = u32::from_ne_bytes([s1, s2, s3, s4]);
            let Some(body) = self.0.get(HEADER..length) else {
                self.0 = &[];
                return None;
            };
            self.0 = self.0.get(length.next_multiple_of(4)..).unwrap_or_default();
            match kind {
                ERROR => return error(body, flags, sequence),
                DONE => {
                    return Some(Answer::Done {
                        interrupted: flags & INTERRUPTED != 0,
                    });
                }
                kind if kind >> 8 == NFTABLES && body.len() >= FAMILY => {
                    return Some(Answer::Object {
                        family: body[0],
                        attributes: Attributes(&body[FAMILY..]),
                        interrupted: flags & INTERRUPTED != 0,
                    });
                }
                _ => {}
            }
        }
    }
}

/// `nlmsgerr`: the error, the header of what failed, then (with extended acknowledgements) the kernel's words.
fn error(body: &[u8], flags: u16, sequence: u32) -> Option<Answer<'_>> {
    const MESSAGE: u16 = 1;
    let errno = i32::from_ne_bytes(body.get(..4)?.try_into().ok()?);
    if errno == 0 {
        return Some(Answer::Taken { sequence });
    }
    let words = (flags & WORDS != 0)
        .then(|| {
            let original = body.get(4..8)?.try_into().ok().map(u32::from_ne_bytes)?;
            let skip = if flags & CAPPED != 0 {
                HEADER
            } else {
                usize::try_from(original).ok()?.next_multiple_of(4)
            };
            Attributes(body.get(4..)?.get(skip..)?).text(MESSAGE)
        })
        .flatten();
    Some(Answer::Refused {
        sequence,
        errno: errno.checked_neg().unwrap_or(i32::MAX),
        words,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_last_change_of_a_batch_asks_for_an_answer() {
        let mut batch = Batch::if_generation(7);
        batch.push(0, 1, CREATE, "table `a`", |a| {
            a.text(1, "a");
        });
        batch.push(0, 1, CREATE, "table `b`", |a| {
            a.text(1, "b");
        });
        let finished = batch.finish().expect("short values");
        assert_eq!(finished.step(1), Some("table `a`"));
        assert_eq!(finished.step(2), Some("table `b`"));
        assert_eq!(finished.step(0), None);
        assert_eq!(finished.step(3), None);
        let mut asked = Vec::new();
        let mut rest = &finished.bytes[..];
        while let Some(header) = rest.get(..16) {
            let length = u32::from_ne_bytes([header[0], header[1], header[2], header[3]]);
            asked.push(u16::from_ne_bytes([header[6], header[7]]) & ACK != 0);
            rest = &rest[length as usize..];
        }
        assert_eq!(asked, [false, false, true, false]);
    }

    #[test]
    fn an_error_names_the_change_and_the_kernels_words() {
        let mut body = Vec::new();
        body.extend_from_slice(&(-17_i32).to_ne_bytes());
        body.extend_from_slice(&[20, 0, 0, 0]);
        body.extend_from_slice(&[0; 12]);
        let mut words = Writer::new();
        words.text(1, "already there");
        body.extend_from_slice(words.as_slice());
        let mut raw = Vec::new();
        raw.extend_from_slice(&u32::try_from(16 + body.len()).expect("short").to_ne_bytes());
        raw.extend_from_slice(&ERROR.to_ne_bytes());
        raw.extend_from_slice(&(WORDS | CAPPED).to_ne_bytes());
        raw.extend_from_slice(&3_u32.to_ne_bytes());
        raw.extend_from_slice(&[0; 4]);
        raw.extend_from_slice(&body);
        match Answers(&raw).next() {
            Some(Answer::Refused {
                sequence,
                errno,
                words,
            }) => assert_eq!((sequence, errno, words), (3, 17, Some("already there"))),
            other => panic!("{other:?}"),
        }
    }

    proptest::proptest! {
        #[test]
        fn any_answer_reads_without_a_panic(raw in proptest::collection::vec(proptest::num::u8::ANY, 0..128)) {
            let steps = Answers(&raw).count();
            proptest::prop_assert!(steps <= 8);
        }
    }
}

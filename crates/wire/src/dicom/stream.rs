//! One direction of an association, fed segment by segment.
//!
//! Memory: one buffer of at most [`CONTROL_MAX`] octets, and only while an association is opened, a command set is
//! read or the head of a data set is kept. Pixel data is counted over, never kept.

use super::{Associate, Doubt, Pdu, PduKind, pdu};
use crate::{Malformed, Parsed, be32};

/// Longest A-ASSOCIATE that a stream reads; a longer one is skipped.
pub const CONTROL_MAX: usize = 1 << 16;
/// Longest command set that a stream reads; a longer one is skipped.
pub const COMMAND_MAX: usize = 1 << 14;
/// How much of a data set is kept to look for device attributes: groups 0008 and 0018 come early.
pub const DATA_SET_HEAD_MAX: usize = 1 << 14;

/// What a stream found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// The opener proposes.
    Request(Associate<'a>),
    /// The other side accepts.
    Accept(Associate<'a>),
    /// A rejection, release or abort.
    Ends(Pdu<'a>),
    /// A whole command set: [`super::command`] reads it.
    Command {
        /// Presentation context identifier.
        context: u8,
        /// The joined fragments.
        bytes: &'a [u8],
    },
    /// The head of a data set, at most [`DATA_SET_HEAD_MAX`] octets.
    DataSet {
        /// Presentation context identifier.
        context: u8,
        /// Its first octets. They hold what a patient's data set holds: take device attributes and drop it.
        head: &'a [u8],
        /// Whether that is all of it.
        whole: bool,
    },
    /// Something was too long to be read and is skipped.
    Skipped,
    /// Two readers may understand the framing differently.
    Doubtful(Doubt),
    /// The octets are not DICOM from here on; the stream looks for a PDU at the start of a later segment.
    Lost(Malformed),
}

/// One direction of an association.
#[derive(Clone, Debug, Default)]
pub struct Stream {
    state: State,
    /// A control PDU, a command set or the head of a data set, in terms of the state.
    buffer: Vec<u8>,
    /// Message being joined: its context, whether it is a command, and whether its head was given out already.
    joining: Option<Joining>,
    /// Octets of a head that came so far, and how many.
    held: [u8; 6],
    held_count: u8,
}

#[derive(Clone, Copy, Debug)]
struct Joining {
    context: u8,
    command: bool,
    given: bool,
}

#[derive(Clone, Copy, Debug, Default)]
enum State {
    /// Reading the six octets of a PDU's head.
    #[default]
    Head,
    /// Collecting a control PDU in the buffer until it has so many octets.
    Control(usize),
    /// Skipping so many octets of a PDU.
    Skip(u64),
    /// Reading the six octets before a fragment; the PDU has so many octets left.
    PdvHead(u32),
    /// In a fragment: octets left of it and of the PDU, and whether it is the message's last.
    PdvBody { pdv: u32, pdu: u32, last: bool },
    /// Not DICOM.
    Lost,
}

impl Stream {
    /// A stream at the start of an association.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether `bytes` look like the start of a PDU. Cheap: a recogniser.
    pub fn looks_like_start(bytes: &[u8]) -> bool {
        let Some(&[kind, reserved, ..]) = bytes.first_chunk::<6>() else {
            return false;
        };
        let (Some(kind), Some(length)) = (PduKind::from_octet(kind), be32(bytes, 2)) else {
            return false;
        };
        if reserved != 0 {
            return false;
        }
        let (least, most) = kind.body();
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        if length < least || length > most {
            return false;
        }
        match kind {
            // Titles are printable, and the items start with the application context or a sibling.
            PduKind::AssociateRq | PduKind::AssociateAc => {
                bytes
                    .get(10..42)
                    .is_some_and(|titles| titles.iter().all(|b| matches!(b, 0 | b' '..=b'~')))
                    && bytes
                        .get(74)
                        .is_none_or(|item| matches!(item, 0x10 | 0x20 | 0x21 | 0x50))
            }
            PduKind::Data => be32(bytes, 6).is_some_and(|pdv| {
                usize::try_from(pdv).is_ok_and(|pdv| pdv >= 2 && pdv + 4 <= length)
                    && bytes.get(10).is_some_and(|context| context % 2 == 1)
                    && bytes.get(11).is_some_and(|control| *control <= 3)
            }),
            PduKind::AssociateRj => bytes.get(7).is_some_and(|result| matches!(result, 1 | 2)),
            PduKind::ReleaseRq | PduKind::ReleaseRp => bytes.len() == 10,
            PduKind::Abort => bytes.len() == 10 && matches!(bytes[8], 0 | 2),
        }
    }

    /// Goes over octets that were lost on the way. Only inside a fragment or PDU that is skipped anyway can the
    /// stream go on; else it looks for a new start.
    pub fn gap(&mut self, octets: u64) {
        if octets == 0 {
            return;
        }
        match &mut self.state {
            State::Skip(left) if *left >= octets => {
                *left -= octets;
                if *left == 0 {
                    self.state = State::Head;
                }
            }
            State::PdvBody { pdv, pdu, .. }
                if self.joining.is_some_and(|joining| joining.given)
                    && u64::from(*pdv) > octets =>
            {
                let octets = u32::try_from(octets).unwrap_or(0);
                *pdv -= octets;
                *pdu -= octets;
            }
            _ => self.lose(),
        }
    }

    /// How many of the next octets are of no interest, so that they need not be fed: [`Stream::gap`] goes over them.
    pub fn idle(&self) -> u64 {
        match self.state {
            State::Skip(left) => left,
            State::PdvBody { pdv, .. } if self.joining.is_some_and(|joining| joining.given) => {
                u64::from(pdv).saturating_sub(1)
            }
            _ => 0,
        }
    }

    /// Forgets what is under way, after a loss of unknown length: looks for a PDU at the start of the next segment.
    pub fn lose(&mut self) {
        self.state = State::Lost;
        self.held_count = 0;
        self.joining = None;
        self.buffer = Vec::new();
    }

    /// Takes the next octets of the direction and reports what they complete.
    pub fn feed(&mut self, mut bytes: &[u8], on: &mut impl FnMut(Event<'_>)) {
        if matches!(self.state, State::Lost) && Self::looks_like_start(bytes) {
            self.state = State::Head;
        }
        while !bytes.is_empty() {
            match self.state {
                State::Lost => return,
                State::Head => {
                    if let Some(head) = self.hold(&mut bytes) {
                        self.begin(head, on);
                    }
                }
                State::Control(whole) => {
                    let take = (whole - self.buffer.len()).min(bytes.len());
                    self.buffer.extend_from_slice(&bytes[..take]);
                    bytes = &bytes[take..];
                    if self.buffer.len() == whole {
                        self.control(on);
                    }
                }
                State::Skip(left) => {
                    let take = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
                    bytes = &bytes[take..];
                    let left = left - take as u64;
                    self.state = if left == 0 {
                        State::Head
                    } else {
                        State::Skip(left)
                    };
                }
                State::PdvHead(pdu) => {
                    if let Some(head) = self.hold(&mut bytes) {
                        self.fragment(head, pdu, on);
                    }
                }
                State::PdvBody { pdv, pdu, last } => {
                    let take = usize::try_from(pdv).unwrap_or(usize::MAX).min(bytes.len());
                    self.join(&bytes[..take], on);
                    bytes = &bytes[take..];
                    let took = u32::try_from(take).unwrap_or(0);
                    self.advance(pdv - took, pdu - took, last, on);
                }
            }
        }
    }

    /// Fills the six held octets; gives them once all are there.
    fn hold(&mut self, bytes: &mut &[u8]) -> Option<[u8; 6]> {
        let held = usize::from(self.held_count);
        let take = (6 - held).min(bytes.len());
        self.held[held..held + take].copy_from_slice(&bytes[..take]);
        *bytes = &bytes[take..];
        if held + take == 6 {
            self.held_count = 0;
            return Some(self.held);
        }
        self.held_count += u8::try_from(take).unwrap_or(0);
        None
    }

    fn begin(&mut self, head: [u8; 6], on: &mut impl FnMut(Event<'_>)) {
        let length = u32::from_be_bytes([head[2], head[3], head[4], head[5]]);
        let Some(kind) = PduKind::from_octet(head[0]) else {
            self.lose();
            on(Event::Lost(Malformed::new("unknown PDU type", 0)));
            return;
        };
        let (least, most) = kind.body();
        let size = usize::try_from(length).unwrap_or(usize::MAX);
        // A receiver may accept any P-DATA-TF length (0: no limit), so that only the type octet speaks for DICOM.
        let most = if kind == PduKind::Data {
            usize::MAX
        } else {
            most
        };
        if size < least || size > most {
            self.lose();
            on(Event::Lost(Malformed::new("impossible PDU length", 2)));
            return;
        }
        if kind == PduKind::Data {
            self.state = State::PdvHead(length);
        } else if size > CONTROL_MAX - 6 {
            on(Event::Skipped);
            self.state = State::Skip(u64::from(length));
        } else {
            if self.joining.take().is_some() {
                on(Event::Doubtful(Doubt::MissingItem));
            }
            self.buffer.clear();
            self.buffer.extend_from_slice(&head);
            self.state = State::Control(6 + size);
        }
    }

    fn control(&mut self, on: &mut impl FnMut(Event<'_>)) {
        let buffer = std::mem::take(&mut self.buffer);
        self.state = State::Head;
        match pdu(&buffer) {
            Parsed::Complete(Pdu::AssociateRq(associate), _) => on(Event::Request(associate)),
            Parsed::Complete(Pdu::AssociateAc(associate), _) => on(Event::Accept(associate)),
            Parsed::Complete(value, _) => on(Event::Ends(value)),
            Parsed::Malformed(why) => {
                self.lose();
                on(Event::Lost(why));
            }
            Parsed::Incomplete(_) => {}
        }
    }

    fn fragment(&mut self, head: [u8; 6], pdu: u32, on: &mut impl FnMut(Event<'_>)) {
        let length = u32::from_be_bytes([head[0], head[1], head[2], head[3]]);
        if length < 2 || u64::from(length) + 4 > u64::from(pdu) || head[5] & !3 != 0 {
            self.lose();
            on(Event::Lost(Malformed::new("impossible PDV", 0)));
            return;
        }
        let (context, command, last) = (head[4], head[5] & 1 != 0, head[5] & 2 != 0);
        match self.joining {
            Some(joining) if joining.context == context && joining.command == command => {}
            before => {
                if before.is_some() {
                    on(Event::Doubtful(Doubt::MissingItem));
                }
                self.buffer.clear();
                self.joining = Some(Joining {
                    context,
                    command,
                    given: false,
                });
            }
        }
        self.advance(length - 2, pdu - 6, last, on);
    }

    fn join(&mut self, bytes: &[u8], on: &mut impl FnMut(Event<'_>)) {
        let Some(joining) = &mut self.joining else {
            return;
        };
        if joining.given {
            return;
        }
        let most = if joining.command {
            COMMAND_MAX
        } else {
            DATA_SET_HEAD_MAX
        };
        let room = most - self.buffer.len();
        self.buffer
            .extend_from_slice(&bytes[..bytes.len().min(room)]);
        if bytes.len() > room {
            joining.given = true;
            let context = joining.context;
            if joining.command {
                on(Event::Skipped);
            } else {
                on(Event::DataSet {
                    context,
                    head: &self.buffer,
                    whole: false,
                });
            }
            self.buffer = Vec::new();
        }
    }

    fn advance(&mut self, pdv: u32, pdu: u32, last: bool, on: &mut impl FnMut(Event<'_>)) {
        if pdv > 0 {
            self.state = State::PdvBody { pdv, pdu, last };
            return;
        }
        if last && let Some(joining) = self.joining.take() {
            if !joining.given {
                let context = joining.context;
                if joining.command {
                    on(Event::Command {
                        context,
                        bytes: &self.buffer,
                    });
                } else {
                    on(Event::DataSet {
                        context,
                        head: &self.buffer,
                        whole: true,
                    });
                }
            }
            self.buffer = Vec::new();
        }
        self.state = match pdu {
            0 => State::Head,
            1..=5 => {
                self.lose();
                on(Event::Lost(Malformed::new("octets after the last PDV", 0)));
                return;
            }
            _ => State::PdvHead(pdu),
        };
    }
}

//! Domain names, put together from compressed ones (RFC 1035 section 4.1.4), bounded.

use std::fmt;

use crate::text::Printable;

/// Longest name in wire format (RFC 1035 section 2.3.4).
const OCTETS_MAX: usize = 255;

/// Pointers that are followed in one name.
const POINTERS_MAX: usize = 16;

/// A name: labels with their lengths in front, without the empty one at the end.
#[derive(Clone, Copy)]
pub(crate) struct Name {
    octets: [u8; OCTETS_MAX],
    length: u8,
}

impl Name {
    /// Reads the name at `at` and answers where what follows it begins.
    pub(crate) fn read(message: &[u8], mut at: usize) -> Option<(Self, usize)> {
        let mut name = Self {
            octets: [0; OCTETS_MAX],
            length: 0,
        };
        let mut end = None;
        let mut pointers = 0;
        loop {
            let head = *message.get(at)?;
            match head {
                0 => return Some((name, end.unwrap_or(at + 1))),
                1..=63 => {
                    let label = message.get(at..=at + usize::from(head))?;
                    let used = usize::from(name.length);
                    name.octets
                        .get_mut(used..used + label.len())?
                        .copy_from_slice(label);
                    name.length += label.len() as u8;
                    at += label.len();
                }
                0xc0.. => {
                    let target = usize::from(head & 0x3f) << 8 | usize::from(*message.get(at + 1)?);
                    end.get_or_insert(at + 2);
                    pointers += 1;
                    // A name is never its own suffix: pointers lead back.
                    if target >= at || pointers > POINTERS_MAX {
                        return None;
                    }
                    at = target;
                }
                // Reserved.
                64..=0xbf => return None,
            }
        }
    }

    /// Its labels, from the left.
    pub(crate) fn labels(&self) -> impl DoubleEndedIterator<Item = &[u8]> + Clone {
        let mut starts = [0_u8; 128];
        let mut count = 0;
        let mut at = 0_u8;
        while at < self.length {
            starts[count] = at;
            count += 1;
            at += self.octets[usize::from(at)] + 1;
        }
        (0..count).map(move |place| {
            let at = usize::from(starts[place]);
            &self.octets[at + 1..=at + usize::from(self.octets[at])]
        })
    }

    /// Whether it is the root.
    pub(crate) const fn is_root(&self) -> bool {
        self.length == 0
    }

    /// Whether its labels are these, without regard to case.
    pub(crate) fn is(&self, labels: &[&[u8]]) -> bool {
        let mut mine = self.labels();
        labels.iter().all(|label| {
            mine.next()
                .is_some_and(|own| own.eq_ignore_ascii_case(label))
        }) && mine.next().is_none()
    }

    /// Whether its last label is this one, without regard to case.
    pub(crate) fn ends_with(&self, label: &[u8]) -> bool {
        self.labels()
            .next_back()
            .is_some_and(|last| last.eq_ignore_ascii_case(label))
    }

    /// Whether it is the name of an address.
    pub(crate) fn is_reverse(&self) -> bool {
        self.ends_with(b"arpa")
    }

    /// The name in lower case.
    pub(crate) fn lower(mut self) -> Self {
        self.octets.make_ascii_lowercase();
        self
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, label) in self.labels().enumerate() {
            if place > 0 {
                f.write_str(".")?;
            }
            match std::str::from_utf8(label) {
                Ok(text) => f.write_str(text)?,
                Err(_) => write!(f, "{}", Printable(label))?,
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn pointers_lead_back_and_nowhere_else() {
        let message = b"\x05local\x00\x04host\xc0\x00rest";
        let (name, end) = Name::read(message, 7).expect("a name");
        assert_eq!(name.to_string(), "host.local");
        assert_eq!(&message[end..], b"rest");
        assert!(name.is(&[b"HOST", b"local"]));
        assert!(!name.is(&[b"host"]));
        for endless in [&b"\xc0\x00"[..], b"\x01a\xc0\x00", b"\xc0\x02\xc0\x00"] {
            assert!(
                Name::read(endless, endless.len() - 2).is_none_or(|(n, _)| n.labels().count() <= 1)
            );
        }
        let long = b"\x3faaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa".repeat(5);
        assert!(Name::read(&long, 0).is_none());
    }

    #[test]
    fn length_octets_are_not_letters() {
        // A label of 65 to 90 octets cannot be, so that lower case leaves lengths alone.
        let (name, _) = Name::read(b"\x01A\x03Bcd\x00", 0).expect("a name");
        assert_eq!(name.lower().to_string(), "a.bcd");
    }

    proptest! {
        #[test]
        fn any_octets_end(octets in prop::collection::vec(any::<u8>(), 0..300), at in 0_usize..300) {
            if let Some((name, end)) = Name::read(&octets, at) {
                prop_assert!(end <= octets.len());
                prop_assert!(name.to_string().len() <= 4 * OCTETS_MAX);
            }
        }
    }
}

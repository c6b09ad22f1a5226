//! Unique device identification: the device identifier and the serial number in the forms of the three issuing
//! agencies (21 CFR 830; GS1 General Specifications, ANSI/HIBC 2.6, ICCBBA ST-017).

/// The parts of a UDI that stay the same for one device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Udi<'a> {
    /// Device identifier: maker and model. GS1: 14 digits, without `(01)`.
    pub device: &'a [u8],
    /// Serial number, where the production identifier has one.
    pub serial: Option<&'a [u8]>,
    /// Whose form it is.
    pub agency: Agency,
}

/// Issuing agency.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Agency {
    /// GS1: `(01)` and 14 digits.
    Gs1,
    /// HIBCC: `+`.
    Hibcc,
    /// ICCBBA: `=/`.
    Iccbba,
}

/// Reads a UDI, human readable or as scanned.
pub fn udi(text: &[u8]) -> Option<Udi<'_>> {
    let text = crate::trimmed(text);
    if text.len() > 256 || !text.iter().all(|b| b.is_ascii_graphic() || *b == 0x1d) {
        return None;
    }
    match text {
        [b'(', b'0', b'1', b')', rest @ ..] => {
            let device = gtin(rest)?;
            Some(Udi {
                device,
                serial: bracketed(rest, b"(21)"),
                agency: Agency::Gs1,
            })
        }
        [b'0', b'1', rest @ ..] => {
            let device = gtin(rest)?;
            Some(Udi {
                device,
                serial: scanned(&rest[14..]),
                agency: Agency::Gs1,
            })
        }
        [b'+', rest @ ..] => {
            let mut parts = rest.split(|b| *b == b'/');
            let device = parts.next()?;
            let sound =
                (6..=25).contains(&device.len()) && device.iter().all(u8::is_ascii_alphanumeric);
            let serial = parts.find_map(|part| match part {
                [b'S', serial @ ..] | [b'$', b'+', serial @ ..] if !serial.is_empty() => {
                    Some(serial)
                }
                _ => None,
            });
            sound.then_some(Udi {
                device,
                serial,
                agency: Agency::Hibcc,
            })
        }
        [b'=', b'/', rest @ ..] => {
            let device = rest.split(|b| *b == b'=').next()?;
            let sound =
                (10..=20).contains(&device.len()) && device.iter().all(u8::is_ascii_alphanumeric);
            let serial = rest
                .windows(2)
                .position(|pair| pair == b"=,")
                .and_then(|at| rest[at + 2..].split(|b| *b == b'=').next())
                .filter(|serial| !serial.is_empty());
            sound.then_some(Udi {
                device,
                serial,
                agency: Agency::Iccbba,
            })
        }
        _ => None,
    }
}

impl std::fmt::Display for Udi<'_> {
    /// Device identifier, then the serial number where there is one: `(01)00844588003288(21)A7`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let ascii = |bytes| std::str::from_utf8(bytes).unwrap_or_default();
        let (before, between) = match self.agency {
            Agency::Gs1 => ("(01)", "(21)"),
            Agency::Hibcc => ("+", "/S"),
            Agency::Iccbba => ("=/", "=,"),
        };
        write!(f, "{before}{}", ascii(self.device))?;
        match self.serial {
            Some(serial) => write!(f, "{between}{}", ascii(serial)),
            None => Ok(()),
        }
    }
}

fn gtin(rest: &[u8]) -> Option<&[u8]> {
    rest.get(..14)
        .filter(|digits| digits.iter().all(u8::is_ascii_digit))
}

fn bracketed<'a>(text: &'a [u8], identifier: &[u8]) -> Option<&'a [u8]> {
    let at = text
        .windows(identifier.len())
        .position(|window| window == identifier)?;
    let inside = &text[at + identifier.len()..];
    let end = inside
        .iter()
        .position(|b| matches!(b, b'(' | 0x1d))
        .unwrap_or(inside.len());
    (end > 0).then_some(&inside[..end])
}

/// Application identifiers one after the other: dates have six digits, lot and serial end at a group separator.
fn scanned(mut rest: &[u8]) -> Option<&[u8]> {
    loop {
        match rest {
            [0x1d, after @ ..] => rest = after,
            [b'1', b'1' | b'7', after @ ..] => rest = after.get(6..)?,
            [b'1', b'0', after @ ..] => {
                let end = after.iter().position(|b| *b == 0x1d)?;
                rest = &after[end..];
            }
            [b'2', b'1', serial @ ..] => {
                let end = serial
                    .iter()
                    .position(|b| *b == 0x1d)
                    .unwrap_or(serial.len());
                return (end > 0).then_some(&serial[..end]);
            }
            _ => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, device: &str, serial: Option<&str>, written: &str) {
        let found = udi(text.as_bytes()).expect(text);
        assert_eq!(found.device, device.as_bytes(), "{text}");
        assert_eq!(found.serial, serial.map(str::as_bytes), "{text}");
        assert_eq!(found.to_string(), written);
    }

    #[test]
    fn the_forms_of_all_agencies_are_read() {
        check(
            "(01)00844588003288(17)141120(10)7654321D(21)10987654d321",
            "00844588003288",
            Some("10987654d321"),
            "(01)00844588003288(21)10987654d321",
        );
        check(
            "010084458800328817141120107654321D\u{1d}2110987654d321",
            "00844588003288",
            Some("10987654d321"),
            "(01)00844588003288(21)10987654d321",
        );
        check(
            "(01)00844588003288",
            "00844588003288",
            None,
            "(01)00844588003288",
        );
        check(
            "+H123PARTNO12345672/$$420020216LOT12345/SXYZ456/16D20130202C",
            "H123PARTNO12345672",
            Some("XYZ456"),
            "+H123PARTNO12345672/SXYZ456",
        );
        check(
            "=/W4146XYZ100T0944=,000025=A99971312345600",
            "W4146XYZ100T0944",
            Some("000025"),
            "=/W4146XYZ100T0944=,000025",
        );
    }

    #[test]
    fn other_texts_are_no_udi() {
        for text in [
            "",
            "Hospira Plum A+",
            "(01)1234",
            "+a b",
            "0112345",
            "=x",
            "DOE^JANE",
        ] {
            assert_eq!(udi(text.as_bytes()), None, "{text}");
        }
    }
}

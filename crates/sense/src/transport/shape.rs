//! The shape of a SYN or SYN-ACK: what a network stack chooses by itself (after Michal Zalewski's p0f).
//!
//! Text: `ttl:window:options:mss:scale`. The TTL is rounded up to the value that stacks begin with (32, 64, 128, 255),
//! since routers lower it. Options keep their order: `mss`, `nop`, `ws` (window scale), `sok` (selective
//! acknowledgement permitted), `sack`, `ts` (timestamps), `eol` (end, with `+n` octets of padding), `?n` (kind n).

use std::fmt;

use super::header::Tcp;

/// Options that are kept: a header has room for no more than 40.
const OPTIONS_MAX: usize = 40;

/// A shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    hops: u8,
    window: u16,
    kinds: [u8; OPTIONS_MAX],
    count: u8,
    padding: u8,
    mss: u16,
    scale: Option<u8>,
}

impl Shape {
    /// The shape of this header; `hops` is the TTL or hop limit.
    pub(crate) fn of(header: &Tcp<'_>, hops: u8) -> Self {
        let mut shape = Self {
            hops: match hops {
                0..=32 => 32,
                33..=64 => 64,
                65..=128 => 128,
                129..=255 => 255,
            },
            window: header.window,
            kinds: [0; OPTIONS_MAX],
            count: 0,
            padding: 0,
            mss: 0,
            scale: None,
        };
        let mut rest = header.options;
        while let Some((&kind, after)) = rest.split_first() {
            let Some(slot) = shape.kinds.get_mut(usize::from(shape.count)) else {
                break;
            };
            *slot = kind;
            shape.count += 1;
            match kind {
                0 => {
                    shape.padding = after.len() as u8;
                    break;
                }
                1 => {
                    rest = after;
                    continue;
                }
                _ => {}
            }
            let Some(&length) = after.first() else { break };
            let Some(body) = rest.get(2..usize::from(length)) else {
                break;
            };
            match (kind, body) {
                (2, &[a, b]) => shape.mss = u16::from_be_bytes([a, b]),
                (3, &[scale]) => shape.scale = Some(scale),
                _ => {}
            }
            rest = &rest[usize::from(length)..];
        }
        shape
    }

    /// Octets that tell shapes apart.
    pub(crate) fn octets(&self) -> [u8; OPTIONS_MAX + 10] {
        let mut octets = [0; OPTIONS_MAX + 10];
        let (kinds, rest) = octets.split_at_mut(OPTIONS_MAX);
        kinds.copy_from_slice(&self.kinds);
        let [w0, w1] = self.window.to_be_bytes();
        let [m0, m1] = self.mss.to_be_bytes();
        rest.copy_from_slice(&[
            self.hops,
            w0,
            w1,
            self.count,
            self.padding,
            m0,
            m1,
            u8::from(self.scale.is_some()),
            self.scale.unwrap_or(0),
            0,
        ]);
        octets
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:", self.hops, self.window)?;
        for (place, kind) in self.kinds.iter().take(usize::from(self.count)).enumerate() {
            if place > 0 {
                f.write_str(",")?;
            }
            match kind {
                0 => write!(f, "eol+{}", self.padding)?,
                1 => f.write_str("nop")?,
                2 => f.write_str("mss")?,
                3 => f.write_str("ws")?,
                4 => f.write_str("sok")?,
                5 => f.write_str("sack")?,
                8 => f.write_str("ts")?,
                other => write!(f, "?{other}")?,
            }
        }
        write!(f, ":{}:", self.mss)?;
        match self.scale {
            Some(scale) => write!(f, "{scale}"),
            None => f.write_str("-"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::header::tcp;
    use super::*;

    fn shape(options: &[u8]) -> String {
        let mut octets = vec![0; 20];
        octets[12] = ((20 + options.len()) as u8 / 4) << 4;
        octets[14..16].copy_from_slice(&[0xfa, 0xf0]);
        octets.extend_from_slice(options);
        let header = tcp(&octets, octets.len()).expect("a header");
        Shape::of(&header, 57).to_string()
    }

    #[test]
    fn options_keep_their_order() {
        assert_eq!(
            shape(&[
                2, 4, 5, 0xb4, 4, 2, 8, 10, 0, 0, 0, 1, 0, 0, 0, 0, 1, 3, 3, 7
            ]),
            "64:64240:mss,sok,ts,nop,ws:1460:7"
        );
        assert_eq!(
            shape(&[2, 4, 5, 0xb4, 0, 0, 0, 0]),
            "64:64240:mss,eol+3:1460:-"
        );
        assert_eq!(shape(&[]), "64:64240::0:-");
        assert_eq!(shape(&[254, 1, 1, 1]), "64:64240:?254:0:-");
    }
}

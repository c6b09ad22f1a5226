//! IEEE registries of MAC address blocks: MA-L (24 bits), MA-M (28 bits) and MA-S (36 bits), the longest prefix first.
//!
//! A table of makers that matter in hospitals is built in; [`Registry::read`] adds the registries themselves, as the
//! IEEE publishes them (`oui.csv`, `mam.csv`, `oui36.csv`, or `oui.txt`), which Debian packages as `ieee-data`.
//!
//! A registry holds at most [`BLOCKS_MAX`] blocks of [`NAMES_MAX`] organisations: 16 octets a block and the names.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use domain::Mac;
use smol_str::SmolStr;

/// Most blocks.
pub const BLOCKS_MAX: usize = 1 << 18;

/// Most organisations.
pub const NAMES_MAX: usize = 1 << 17;

/// Most octets of an organisation's name.
const NAME_MAX: usize = 128;

const PREFIXES: &str = include_str!("../../../packs/registries/ieee-prefixes.tsv");
const MAKERS: &str = include_str!("../../../packs/registries/makers.tsv");

/// Who was assigned which block of addresses.
#[derive(Clone, Debug, Default)]
pub struct Registry {
    /// Sorted by length in bits, then by prefix: the top bits of the address, the rest zero.
    blocks: Vec<Block>,
    names: Vec<SmolStr>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Block {
    bits: u8,
    prefix: u64,
    name: u32,
}

/// What a registry's file held.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Read {
    /// Blocks taken.
    pub blocks: usize,
    /// Lines that are no block.
    pub skipped: usize,
}

impl Registry {
    /// The built-in table.
    pub fn built_in() -> Self {
        let mut builder = Builder::default();
        for line in PREFIXES.lines().filter(|line| !line.starts_with('#')) {
            if let Some((name, prefixes)) = line.split_once('\t') {
                for prefix in prefixes.split(' ') {
                    builder.add(prefix, name);
                }
            }
        }
        builder.finish()
    }

    /// Adds the blocks of a registry's file to those known; a block named again takes the new name.
    ///
    /// Reads the IEEE's CSV (`MA-L,002272,American Micro-Fuel Device Corp.,…`) and its text form
    /// (`00-22-72 (hex) American Micro-Fuel Device Corp.`, its columns apart by tabs).
    pub fn read(&mut self, text: &str) -> Read {
        let mut builder = Builder::from(std::mem::take(self));
        let mut read = Read::default();
        for line in text.lines() {
            if line.trim().is_empty() {
                continue;
            }
            let row = csv_row(line).or_else(|| text_row(line));
            match row {
                Some((prefix, name)) if builder.add(&prefix, &name) => read.blocks += 1,
                _ => read.skipped += 1,
            }
        }
        *self = builder.finish();
        read
    }

    /// Number of blocks.
    pub fn len(&self) -> usize {
        self.blocks.len()
    }

    /// Whether it knows no block.
    pub fn is_empty(&self) -> bool {
        self.blocks.is_empty()
    }

    /// The organisation that a MAC address belongs to; `None`: unknown, a group, or an address assigned locally.
    pub fn organisation(&self, mac: Mac) -> Option<&SmolStr> {
        if mac.is_local() || mac.is_group() {
            return None;
        }
        self.prefix(mac.bits())
    }

    /// The organisation that a 64-bit identifier (EUI-64) belongs to.
    pub fn organisation_of_eui64(&self, eui: u64) -> Option<&SmolStr> {
        self.prefix(eui >> 16)
    }

    fn prefix(&self, address: u64) -> Option<&SmolStr> {
        [36_u8, 28, 24].iter().find_map(|bits| {
            let prefix = address & (u64::MAX << (48 - bits));
            let at = self
                .blocks
                .binary_search_by_key(&(*bits, prefix), |block| (block.bits, block.prefix))
                .ok()?;
            self.names.get(self.blocks[at].name as usize)
        })
    }
}

#[derive(Default)]
struct Builder {
    blocks: BTreeMap<(u8, u64), u32>,
    ids: BTreeMap<SmolStr, u32>,
    names: Vec<SmolStr>,
}

impl From<Registry> for Builder {
    fn from(registry: Registry) -> Self {
        Self {
            blocks: registry
                .blocks
                .iter()
                .map(|block| ((block.bits, block.prefix), block.name))
                .collect(),
            ids: registry.names.iter().cloned().zip(0..).collect(),
            names: registry.names,
        }
    }
}

impl Builder {
    fn add(&mut self, prefix: &str, name: &str) -> bool {
        let bits = match prefix.len() {
            6 => 24,
            7 => 28,
            9 => 36,
            _ => return false,
        };
        let name = name.trim();
        let Ok(number) = u64::from_str_radix(prefix, 16) else {
            return false;
        };
        if name.is_empty() || name.len() > NAME_MAX || self.blocks.len() >= BLOCKS_MAX {
            return false;
        }
        let id = match self.ids.get(name) {
            Some(id) => *id,
            None => {
                let Some(id) = u32::try_from(self.names.len())
                    .ok()
                    .filter(|_| self.names.len() < NAMES_MAX)
                else {
                    return false;
                };
                self.ids.insert(name.into(), id);
                self.names.push(name.into());
                id
            }
        };
        self.blocks.insert((bits, number << (48 - bits)), id);
        true
    }

    fn finish(self) -> Registry {
        Registry {
            blocks: self
                .blocks
                .into_iter()
                .map(|((bits, prefix), name)| Block { bits, prefix, name })
                .collect(),
            names: self.names,
        }
    }
}

/// Prefix and organisation of a line of the IEEE's CSV.
fn csv_row(line: &str) -> Option<(String, String)> {
    let mut fields = Vec::new();
    let mut rest = line;
    for _ in 0..3 {
        let (field, after) = csv_field(rest)?;
        fields.push(field);
        rest = after;
    }
    matches!(fields[0].as_str(), "MA-L" | "MA-M" | "MA-S" | "IAB" | "CID").then(|| {
        let name = fields[2].split_whitespace().collect::<Vec<_>>().join(" ");
        (fields[1].clone(), name)
    })
}

fn csv_field(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        return Some(match text.split_once(',') {
            Some((field, rest)) => (field.to_owned(), rest),
            None => (text.to_owned(), ""),
        });
    };
    let mut field = String::new();
    let mut chars = quoted.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        if c != '"' {
            field.push(c);
        } else if chars.peek().is_some_and(|(_, next)| *next == '"') {
            field.push('"');
            chars.next();
        } else {
            let rest = &quoted[at + 1..];
            return Some((field, rest.strip_prefix(',').unwrap_or(rest)));
        }
    }
    None
}

/// Prefix and organisation of a line of the IEEE's text form.
fn text_row(line: &str) -> Option<(String, String)> {
    let (prefix, name) = line.split_once("(hex)")?;
    let prefix: String = prefix.trim().chars().filter(|c| *c != '-').collect();
    Some((prefix, name.trim().to_owned()))
}

/// What people call a maker, from its name in a registry, a product or a data set: `Drägerwerk AG & Co. KGaA` is
/// `Dräger`. An unknown one keeps its name without its legal form.
pub fn maker(name: &str) -> SmolStr {
    /// How a name begins, in lower case, and whose it is; the longest beginning first.
    static STARTS: OnceLock<Vec<(String, &'static str)>> = OnceLock::new();
    let starts = STARTS.get_or_init(|| {
        let mut starts: Vec<_> = MAKERS
            .lines()
            .filter(|line| !line.starts_with('#'))
            .filter_map(|line| line.split_once('\t'))
            .flat_map(|(maker, starts)| {
                let own = std::iter::once((maker.to_lowercase(), maker));
                own.chain(
                    starts
                        .split(';')
                        .map(move |start| (start.to_owned(), maker)),
                )
            })
            .collect();
        starts.sort_unstable_by(|a, b| b.0.len().cmp(&a.0.len()).then_with(|| a.cmp(b)));
        starts.dedup();
        starts
    });
    let plain = name.split_whitespace().collect::<Vec<_>>().join(" ");
    let lower = plain.to_lowercase();
    let known = starts.iter().find(|(start, _)| {
        lower
            .strip_prefix(start.as_str())
            .is_some_and(|rest| !rest.starts_with(char::is_alphanumeric))
    });
    match known {
        Some((_, maker)) => SmolStr::new_static(maker),
        None => SmolStr::new(without_legal_form(&plain)),
    }
}

fn without_legal_form(name: &str) -> &str {
    const FORMS: &[&str] = &[
        "inc",
        "ltd",
        "llc",
        "gmbh",
        "ag",
        "co",
        "corp",
        "corporation",
        "limited",
        "company",
        "kg",
        "s.a",
        "b.v",
        "n.v",
        "srl",
        "s.r.l",
        "s.p.a",
        "plc",
        "oy",
        "ab",
        "a/s",
        "as",
        "&",
    ];
    let mut name = name.trim();
    while let Some((before, last)) = name.rsplit_once([' ', ',']) {
        let last = last.trim_matches(|c: char| matches!(c, '.' | ',' | '(' | ')'));
        if before.trim().is_empty()
            || !(last.is_empty() || FORMS.contains(&last.to_lowercase().as_str()))
        {
            break;
        }
        name = before.trim_end_matches([' ', ',', '.']);
    }
    name
}

#[cfg(test)]
mod tests;

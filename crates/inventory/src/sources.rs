//! The sources that observations name by number.

use domain::observation::SourceKind;
use domain::{Source, SourceId};

/// The list of sources behind [`SourceId`]s. The same source added twice keeps its number.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sources {
    all: Vec<Source>,
}

/// What a number means that was never given out.
const NOBODY: &str = "unknown source";

impl Sources {
    /// Most sources kept; what is added beyond shares the last number.
    pub const MAX: usize = u16::MAX as usize;

    /// Adds a source, or finds it.
    pub fn add(&mut self, source: Source) -> SourceId {
        let index = match self.all.iter().position(|s| *s == source) {
            Some(index) => index,
            None if self.all.len() < Self::MAX => {
                self.all.push(source);
                self.all.len() - 1
            }
            None => Self::MAX - 1,
        };
        SourceId(u16::try_from(index).unwrap_or(u16::MAX))
    }

    /// The source with this number.
    pub fn get(&self, id: SourceId) -> Option<&Source> {
        self.all.get(usize::from(id.0))
    }

    /// Its name for people.
    pub fn name(&self, id: SourceId) -> &str {
        self.get(id).map_or(NOBODY, |source| source.name.as_str())
    }

    /// What kind it is; a number never given out counts as packets.
    pub fn kind(&self, id: SourceId) -> SourceKind {
        self.get(id).map_or(SourceKind::Packets, |s| s.kind)
    }

    /// Every source with its number.
    pub fn iter(&self) -> impl Iterator<Item = (SourceId, &Source)> {
        self.all
            .iter()
            .enumerate()
            .map(|(index, s)| (SourceId(u16::try_from(index).unwrap_or(u16::MAX)), s))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_added_twice_keeps_its_number() {
        let mut sources = Sources::default();
        let source = |name: &str| Source {
            name: name.into(),
            kind: SourceKind::Zeek,
        };
        let first = sources.add(source("conn.log"));
        let second = sources.add(source("dhcp.log"));
        assert_ne!(first, second);
        assert_eq!(sources.add(source("conn.log")), first);
        assert_eq!(sources.name(second), "dhcp.log");
        assert_eq!(sources.name(SourceId(9)), NOBODY);
    }
}

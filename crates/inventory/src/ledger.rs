//! The evidence ledger: compact rows, values interned, bounded per kind.
//!
//! A ledger is a set. What is observed twice is one row that keeps its first and last time, and adding is
//! commutative, so that the order in which sources are read does not matter. Only beyond a bound does something go:
//! per kind the oldest half and the newest half stay, what lies between is dropped and counted.

mod intern;

pub(crate) use intern::{Interner, Text};

use domain::{EvidenceKind, SourceId, Timestamp};

/// One row: what was said, by whom first, when first and when last. 20 octets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    /// Milliseconds since the epoch, the high and the low half: eight octets that need not begin at a multiple of eight.
    first: (i32, u32),
    /// Whole seconds since the epoch.
    last: u32,
    pub(crate) value: Text,
    pub(crate) source: SourceId,
    pub(crate) kind: EvidenceKind,
}

impl Row {
    /// A row that was saved. The caller holds one reference to `value`, which passes to the row.
    pub(crate) const fn saved(
        kind: EvidenceKind,
        value: Text,
        source: SourceId,
        first: i64,
        last: u32,
    ) -> Self {
        Self {
            first: halves(first),
            last,
            value,
            source,
            kind,
        }
    }

    /// When it was last observed, in seconds.
    pub(crate) const fn last_secs(self) -> u32 {
        self.last
    }

    /// When it was first observed.
    pub(crate) fn first(self) -> Timestamp {
        Timestamp::from_millis((self.first.0 as i64) << 32 | self.first.1 as i64)
    }

    /// When it was last observed, in whole seconds; never before `first`.
    pub(crate) fn last(self) -> Timestamp {
        Timestamp::from_millis(i64::from(self.last) * 1000).max(self.first())
    }
}

const fn halves(ms: i64) -> (i32, u32) {
    ((ms >> 32) as i32, ms as u32)
}

/// Seconds since the epoch as the compact form holds them: 1970 to 2106, beyond that the nearest end.
pub(crate) fn seconds(at: Timestamp) -> u32 {
    u32::try_from(at.as_secs().max(0)).unwrap_or(u32::MAX)
}

/// What adding a piece of evidence did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Added {
    /// A row that was not there.
    New,
    /// A known row, now first said earlier.
    Earlier,
    /// A known row, said again.
    Again,
    /// A new row in place of another of its kind.
    Replaced(Text),
    /// Nothing: the kind is full.
    Refused,
}

/// The rows about one node of the network.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    rows: Vec<Row>,
}

impl Ledger {
    pub(crate) fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// Adds a row. The caller holds one reference to `value`, which passes to the ledger unless the answer is
    /// `Earlier`, `Again` or `Refused`.
    pub(crate) fn add(
        &mut self,
        kind: EvidenceKind,
        value: Text,
        source: SourceId,
        first: Timestamp,
        last: Timestamp,
    ) -> Added {
        let (first, last) = (halves(first.as_millis()), seconds(last));
        if let Some(row) = self
            .rows
            .iter_mut()
            .find(|row| row.kind == kind && row.value == value)
        {
            row.last = row.last.max(last);
            if (first, source) < (row.first, row.source) {
                (row.first, row.source) = (first, source);
                return Added::Earlier;
            }
            return Added::Again;
        }
        let row = Row {
            first,
            last,
            value,
            source,
            kind,
        };
        let most = rows_max(kind);
        let mut of_kind: Vec<((i32, u32), Text, usize)> = self
            .rows
            .iter()
            .enumerate()
            .filter(|(_, row)| row.kind == kind)
            .map(|(index, row)| (row.first, row.value, index))
            .collect();
        if of_kind.len() < most {
            if self.rows.len() == self.rows.capacity() {
                self.rows.reserve_exact(2);
            }
            self.rows.push(row);
            return Added::New;
        }
        // The oldest half and the newest half stay: the one in the middle goes.
        of_kind.push((first, value, usize::MAX));
        of_kind.sort_unstable();
        let (_, _, middle) = of_kind[of_kind.len() / 2];
        match self.rows.get_mut(middle) {
            Some(place) => {
                let gone = place.value;
                *place = row;
                Added::Replaced(gone)
            }
            None => Added::Refused,
        }
    }

    /// Octets that the rows take.
    pub(crate) fn octets(&self) -> usize {
        self.rows.capacity() * size_of::<Row>()
    }

    /// Puts rows back that were saved, at most as many of a kind as there may be.
    pub(crate) fn restore(&mut self, row: Row) -> bool {
        let of_kind = self.rows.iter().filter(|r| r.kind == row.kind);
        if of_kind.count() >= rows_max(row.kind) {
            return false;
        }
        self.rows.reserve_exact(1);
        self.rows.push(row);
        true
    }

    /// Takes all rows out.
    pub(crate) fn take(&mut self) -> Vec<Row> {
        std::mem::take(&mut self.rows)
    }
}

/// Most rows of one kind about one node.
pub(crate) const fn rows_max(kind: EvidenceKind) -> usize {
    match kind {
        EvidenceKind::DnsQuery
        | EvidenceKind::TlsServerName
        | EvidenceKind::HttpHost
        | EvidenceKind::Serves
        | EvidenceKind::DicomSopClass => 24,
        EvidenceKind::MdnsTxt
        | EvidenceKind::MdnsService
        | EvidenceKind::MdnsInstance
        | EvidenceKind::SsdpType
        | EvidenceKind::ScanService
        | EvidenceKind::Uses
        | EvidenceKind::BacnetDevice
        | EvidenceKind::UpnpDescription
        | EvidenceKind::SdcDevice
        | EvidenceKind::DicomDevice
        | EvidenceKind::Hl7Device
        | EvidenceKind::IppPrinter
        | EvidenceKind::MulticastGroup => 16,
        EvidenceKind::DhcpSubnet | EvidenceKind::MacVendor => 2,
        _ => 8,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::EvidenceKind::{DhcpHostname, HttpServer};

    const SOURCE: SourceId = SourceId(0);

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_millis(ms)
    }

    fn add(ledger: &mut Ledger, value: u32, ms: i64) -> Added {
        ledger.add(HttpServer, Text::raw(value), SOURCE, at(ms), at(ms))
    }

    fn values(ledger: &Ledger) -> Vec<(u32, i64)> {
        let mut all: Vec<_> = ledger
            .rows()
            .iter()
            .map(|row| (row.value.number(), row.first().as_millis()))
            .collect();
        all.sort_unstable();
        all
    }

    #[test]
    fn what_is_said_twice_is_one_row_from_first_to_last() {
        let mut ledger = Ledger::default();
        assert_eq!(add(&mut ledger, 1, 5_000), Added::New);
        assert_eq!(add(&mut ledger, 1, 9_000), Added::Again);
        assert_eq!(add(&mut ledger, 1, 2_000), Added::Earlier);
        let row = ledger.rows()[0];
        assert_eq!((row.first(), row.last()), (at(2_000), at(9_000)));
        let other = ledger.add(DhcpHostname, Text::raw(1), SOURCE, at(1), at(1));
        assert_eq!(other, Added::New);
        assert_eq!(ledger.rows().len(), 2);
    }

    #[test]
    fn a_full_kind_keeps_its_oldest_and_its_newest() {
        let mut ledger = Ledger::default();
        for value in 0..100 {
            add(&mut ledger, value, i64::from(value) * 1_000);
        }
        let kept: Vec<u32> = values(&ledger)
            .into_iter()
            .map(|(value, _)| value)
            .collect();
        assert_eq!(kept, [0, 1, 2, 3, 96, 97, 98, 99]);
    }

    #[test]
    fn order_does_not_matter_within_the_bound() {
        let mut forward = Ledger::default();
        let mut backward = Ledger::default();
        for value in 0..8 {
            add(&mut forward, value, i64::from(value));
            add(&mut backward, 7 - value, i64::from(7 - value));
        }
        assert_eq!(values(&forward), values(&backward));
    }

    #[test]
    fn a_row_is_twenty_octets() {
        assert_eq!(size_of::<Row>(), 20);
    }
}

//! Records of a CSV file (RFC 4180, with other delimiters), from chunks of any size, over `csv-core`.

use csv_core::ReadRecordResult;

/// Longest record, in octets of its cells.
const RECORD_MAX: usize = 1 << 20;
/// Most cells in a record.
const CELLS_MAX: usize = 512;

/// One record.
pub(crate) struct Record {
    /// Its cells, trimmed; not valid UTF-8 is replaced.
    pub(crate) cells: Vec<String>,
    /// Line on which it ends, from 1.
    pub(crate) line: u64,
    /// Offset at which it ends.
    pub(crate) offset: u64,
    /// Whether it was too long and its cells are missing.
    pub(crate) broken: bool,
}

impl Record {
    /// A cell, empty where the record is too short.
    pub(crate) fn cell(&self, column: Option<usize>) -> &str {
        column
            .and_then(|c| self.cells.get(c))
            .map_or("", String::as_str)
    }
}

/// Cuts bytes into records.
pub(crate) struct Records {
    reader: csv_core::Reader,
    output: Vec<u8>,
    used: usize,
    ends: Vec<usize>,
    ended: usize,
    broken: bool,
    offset: u64,
}

impl Records {
    pub(crate) fn new(delimiter: u8) -> Self {
        Self {
            reader: csv_core::ReaderBuilder::new().delimiter(delimiter).build(),
            output: vec![0; 8 << 10],
            used: 0,
            ends: vec![0; 64],
            ended: 0,
            broken: false,
            offset: 0,
        }
    }

    pub(crate) fn push(&mut self, bytes: &[u8], tell: &mut dyn FnMut(Record)) {
        // An empty input would tell the parser that the file ends.
        if !bytes.is_empty() {
            self.feed(bytes, tell);
        }
    }

    pub(crate) fn finish(&mut self, tell: &mut dyn FnMut(Record)) {
        self.feed(&[], tell);
    }

    fn feed(&mut self, mut bytes: &[u8], tell: &mut dyn FnMut(Record)) {
        let last = bytes.is_empty();
        loop {
            let (result, read, written, ended) = self.reader.read_record(
                bytes,
                &mut self.output[self.used..],
                &mut self.ends[self.ended..],
            );
            bytes = &bytes[read..];
            self.offset += u64::try_from(read).unwrap_or(0);
            self.used += written;
            self.ended += ended;
            match result {
                ReadRecordResult::InputEmpty if last => continue,
                ReadRecordResult::InputEmpty => return,
                ReadRecordResult::OutputFull => {
                    if self.output.len() < RECORD_MAX && !self.broken {
                        let wider = self.output.len() * 2;
                        self.output.resize(wider, 0);
                    } else {
                        self.broken = true;
                        self.used = 0;
                    }
                }
                ReadRecordResult::OutputEndsFull => {
                    if self.ends.len() < CELLS_MAX && !self.broken {
                        let wider = self.ends.len() * 2;
                        self.ends.resize(wider, 0);
                    } else {
                        self.broken = true;
                        self.ended = 0;
                    }
                }
                ReadRecordResult::Record => self.hand_over(tell),
                ReadRecordResult::End => {
                    return;
                }
            }
        }
    }

    fn hand_over(&mut self, tell: &mut dyn FnMut(Record)) {
        let mut cells = Vec::new();
        if !self.broken {
            let mut start = 0;
            for end in &self.ends[..self.ended] {
                // INVARIANT: the parser's ends rise and lie within what it wrote.
                let cell = self.output.get(start..*end).unwrap_or_default();
                cells.push(String::from_utf8_lossy(cell).trim().to_owned());
                start = *end;
            }
        }
        tell(Record {
            cells,
            line: self.reader.line().saturating_sub(1).max(1),
            offset: self.offset,
            broken: self.broken,
        });
        self.used = 0;
        self.ended = 0;
        self.broken = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(text: &[u8], step: usize) -> Vec<(u64, Vec<String>, bool)> {
        let mut records = Records::new(b',');
        let mut out = Vec::new();
        let mut tell = |r: Record| out.push((r.line, r.cells, r.broken));
        for chunk in text.chunks(step) {
            records.push(chunk, &mut tell);
        }
        records.finish(&mut tell);
        out
    }

    #[test]
    fn records_come_out_whatever_the_chunks() {
        let text = b"a,b\r\n\"x \"\"y\"\",\n2\", 3 \nlast,row";
        let whole = all(text, 1000);
        assert_eq!(whole.len(), 3);
        assert_eq!(whole[1].1, ["x \"y\",\n2", "3"]);
        assert_eq!(whole[2].1, ["last", "row"]);
        assert_eq!(whole[0].0, 1);
        for step in 1..7 {
            assert_eq!(all(text, step), whole, "{step}");
        }
    }

    #[test]
    fn a_giant_record_is_broken_and_the_next_is_not() {
        let mut text = vec![b'x'; RECORD_MAX * 3];
        text.extend_from_slice(b"\nnext,1\n");
        let out = all(&text, 1 << 16);
        assert!(out[0].2);
        assert_eq!(out[1].1, ["next", "1"]);
        let mut many = vec![b','; 10_000];
        many.extend_from_slice(b"\nnext,1\n");
        let out = all(&many, 777);
        assert!(out[0].2);
        assert_eq!(out[1].1, ["next", "1"]);
    }
}

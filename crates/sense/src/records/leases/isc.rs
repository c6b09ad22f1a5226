//! ISC's `dhcpd.leases` and `dhcpd6.leases` (dhcpd.leases(5)).
//!
//! A grammar of statements that end in `;` and blocks in braces. A lease is written anew each time it changes, so one
//! address comes many times; all are told, in order. Bounds: 16 levels of blocks, 4 KiB a statement.

use domain::Timestamp;

use super::Lease;
use crate::records::emit::Emit;
use crate::records::moment;
use crate::records::party::{address, mac};
use crate::records::text::utf8;
use crate::records::{Problem, Taken};

const DEPTH_MAX: usize = 16;
const STATEMENT_MAX: usize = 4096;

#[derive(Debug)]
enum Block {
    Lease(Lease),
    /// An identity association of DHCPv6, with the DUID of its client.
    Association(Vec<u8>, Option<Timestamp>),
    Other,
}

/// Reads one lease file.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    blocks: Vec<Block>,
    /// Blocks beyond [`DEPTH_MAX`].
    deeper: usize,
    statement: String,
    quoted: bool,
    escaped: bool,
}

impl Reader {
    pub(crate) fn line(&mut self, line: &[u8], emit: &mut Emit<'_>) -> Result<Taken, Problem> {
        let text = utf8(line);
        let mut taken = Taken::Nothing;
        let mut problem = None;
        for c in text.chars() {
            if self.quoted {
                self.keep(c);
                match c {
                    _ if self.escaped => self.escaped = false,
                    '\\' => self.escaped = true,
                    '"' => self.quoted = false,
                    _ => {}
                }
                continue;
            }
            match c {
                '#' => break,
                '"' => {
                    self.quoted = true;
                    self.keep(c);
                }
                ';' => {
                    let statement = std::mem::take(&mut self.statement);
                    if let Err(found) = self.statement(statement.trim()) {
                        problem.get_or_insert(found);
                    }
                }
                '{' => {
                    let opening = std::mem::take(&mut self.statement);
                    if let Err(found) = self.open(opening.trim()) {
                        problem.get_or_insert(found);
                    }
                }
                '}' => {
                    self.statement.clear();
                    if self.close(emit) {
                        taken = Taken::Row;
                    }
                }
                c => self.keep(c),
            }
        }
        // A line's end is a blank; a quote that a line leaves open was never meant to be one.
        if self.quoted {
            self.quoted = false;
            self.escaped = false;
            problem.get_or_insert(Problem::new(
                "a quote that the line does not close",
                "the value was skipped; nothing else is needed",
            ));
            self.statement.clear();
        }
        self.keep(' ');
        match problem {
            Some(problem) => Err(problem),
            None => Ok(taken),
        }
    }

    pub(crate) fn finish(&mut self, emit: &mut Emit<'_>, note: &mut dyn FnMut(Problem)) {
        if !self.blocks.is_empty() {
            note(Problem::new(
                "the file ends inside a lease",
                "it was copied while the server wrote it, or cut; copy it again",
            ));
            emit.counts().damaged += 1;
        }
    }

    fn keep(&mut self, c: char) {
        if self.statement.len() < STATEMENT_MAX {
            self.statement.push(c);
        }
    }

    fn open(&mut self, opening: &str) -> Result<(), Problem> {
        let mut words = opening.split_whitespace();
        let (first, second) = (
            words.next().unwrap_or_default(),
            words.next().unwrap_or_default(),
        );
        // A lease inside a lease: the end of the one before is missing.
        if matches!(first, "lease" | "ia-na" | "ia-ta" | "ia-pd" | "host")
            && !self.blocks.is_empty()
        {
            self.blocks.clear();
            self.deeper = 0;
            self.open(opening)?;
            return Err(Problem::new(
                "the lease before this one has no end",
                "it was skipped; the file was cut and written to again",
            ));
        }
        if self.blocks.len() >= DEPTH_MAX {
            self.deeper += 1;
            return Ok(());
        }
        let block = match first {
            "lease" | "iaaddr" => {
                let addr = address(second).ok_or_else(|| {
                    Problem::new("a lease of no address", "check whether the line was cut")
                });
                match addr {
                    Ok(addr) => {
                        let mut lease = Lease {
                            addr: Some(addr),
                            ..Lease::default()
                        };
                        if let Some(Block::Association(duid, cltt)) = self.blocks.last() {
                            lease.duid.clone_from(duid);
                            lease.from = *cltt;
                        }
                        Block::Lease(lease)
                    }
                    Err(problem) => {
                        self.blocks.push(Block::Other);
                        return Err(problem);
                    }
                }
            }
            "host" => Block::Lease(Lease::default()),
            "ia-na" | "ia-ta" => {
                let id = unquote(opening.get(first.len()..).unwrap_or_default());
                // Four octets of the association's identifier stand before the DUID.
                Block::Association(id.get(4..).unwrap_or_default().to_vec(), None)
            }
            _ => Block::Other,
        };
        self.blocks.push(block);
        Ok(())
    }

    fn close(&mut self, emit: &mut Emit<'_>) -> bool {
        if self.deeper > 0 {
            self.deeper -= 1;
            return false;
        }
        match self.blocks.pop() {
            Some(Block::Lease(lease)) => lease.tell(emit),
            _ => false,
        }
    }

    fn statement(&mut self, statement: &str) -> Result<(), Problem> {
        let (word, rest) = statement
            .split_once(char::is_whitespace)
            .unwrap_or((statement, ""));
        let rest = rest.trim();
        let lease = match self.blocks.last_mut() {
            Some(Block::Lease(lease)) => lease,
            Some(Block::Association(_, cltt)) => {
                if word == "cltt" {
                    *cltt = instant(rest)?;
                }
                return Ok(());
            }
            _ => return Ok(()),
        };
        match word {
            "starts" => lease.from = lease.from.max(instant(rest)?),
            // The last time the client spoke is the better sign of presence.
            "cltt" => lease.from = lease.from.max(instant(rest)?),
            "ends" => lease.until = instant(rest)?,
            "binding" => {
                let state = rest.strip_prefix("state").unwrap_or(rest).trim();
                lease.ended = matches!(
                    state,
                    "free" | "expired" | "released" | "abandoned" | "backup"
                );
            }
            "hardware" => {
                let written = rest.split_whitespace().last().unwrap_or_default();
                lease.mac = mac(written);
                if lease.mac.is_none() && rest.starts_with("ethernet") {
                    return Err(Problem::new(
                        "not a hardware address",
                        "it is written like `hardware ethernet 00:1a:2b:3c:4d:5e;`",
                    ));
                }
            }
            "uid" => {
                lease.client_id = if rest.starts_with('"') {
                    unquote(rest)
                } else {
                    super::octets(rest).unwrap_or_default()
                }
            }
            "client-hostname" => lease.hostname = utf8(&unquote(rest)).into_owned(),
            "fixed-address" => lease.addr = address(rest),
            "set" => {
                let (name, value) = rest.split_once('=').unwrap_or((rest, ""));
                if name.trim() == "vendor-class-identifier" {
                    lease.vendor_class = utf8(&unquote(value)).into_owned();
                }
            }
            _ => {}
        }
        Ok(())
    }
}

/// `4 2026/11/22 08:30:05`, `epoch 1795336205`, or `never`.
fn instant(text: &str) -> Result<Option<Timestamp>, Problem> {
    if text == "never" {
        return Ok(None);
    }
    let found = match text.strip_prefix("epoch") {
        Some(secs) => moment::epoch(secs.split('#').next().unwrap_or_default().trim()),
        None => {
            let (_, date) = text.split_once(char::is_whitespace).unwrap_or(("", text));
            moment::local(date, Some(moment::Dates::YearFirst))
        }
    };
    found.map(Some).ok_or_else(|| {
        Problem::new(
            "not a date of a lease",
            "it is written like `4 2026/11/22 08:30:05` or `epoch 1795336205`",
        )
    })
}

/// The octets of a quoted string, with `\ooo` in octal and `\x` for x; at most 255.
fn unquote(text: &str) -> Vec<u8> {
    let text = text.trim();
    let inner = text
        .strip_prefix('"')
        .map_or(text, |rest| rest.strip_suffix('"').unwrap_or(rest));
    let mut out = Vec::new();
    let mut octets = inner.bytes().peekable();
    while let Some(octet) = octets.next() {
        if out.len() >= 255 {
            break;
        }
        if octet != b'\\' {
            out.push(octet);
            continue;
        }
        let mut value = 0_u32;
        let mut digits = 0;
        while let Some(digit) = octets.next_if(|d| digits < 3 && (b'0'..=b'7').contains(d)) {
            value = value * 8 + u32::from(digit - b'0');
            digits += 1;
        }
        if digits > 0 {
            out.push((value & 0xff) as u8);
        } else if let Some(next) = octets.next() {
            out.push(match next {
                b'n' => b'\n',
                b't' => b'\t',
                b'r' => b'\r',
                other => other,
            });
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::tests::said;
    use crate::records::Format;

    #[test]
    fn leases_with_all_their_statements_are_read() {
        let (lines, problems) = said(
            r#"# The format of this file is documented in the dhcpd.leases(5) manual page.
authoring-byte-order little-endian;

lease 10.0.0.5 {
  starts 4 2026/01/01 10:00:00;
  ends 4 2026/01/01 22:00:00;
  tstp 4 2026/01/01 22:00:00;
  cltt 4 2026/01/01 11:00:00;
  binding state active;
  next binding state free;
  rewind binding state free;
  hardware ethernet 00:1a:2b:3c:4d:5e;
  uid "\001\000\032+<M^";
  set vendor-class-identifier = "MSFT 5.0";
  client-hostname "WS-{42};";
}
lease 10.0.0.6 {
  starts epoch 1795336205; # Sun Nov 22 08:30:05 2026
  ends never;
  binding state free;
  hardware ethernet 00:1a:2b:3c:4d:5f;
}
host printer { dynamic; hardware ethernet 00:1a:2b:3c:4d:60; fixed-address 10.0.0.7; }
"#,
            Format::IscLeases,
        );
        assert_eq!(
            lines,
            [
                "2026-01-01T11:00:00.000Z 00:1a:2b:3c:4d:5e/10.0.0.5 until 2026-01-01T22:00:00.000Z",
                "00:1a:2b:3c:4d:5e/10.0.0.5 dhcp.hostname=WS-{42};",
                "00:1a:2b:3c:4d:5e/10.0.0.5 dhcp.vendor_class=MSFT 5.0",
                "00:1a:2b:3c:4d:5e/10.0.0.5 dhcp.client_id=01001a2b3c4d5e",
                "2026-11-22T08:30:05.000Z 00:1a:2b:3c:4d:5f/10.0.0.6 until -",
                "2026-11-22T08:30:05.000Z 00:1a:2b:3c:4d:5f/10.0.0.6 released",
                "2026-01-01T00:00:00.000Z 00:1a:2b:3c:4d:60/10.0.0.7 until -",
            ]
        );
        assert_eq!(problems, []);
    }

    #[test]
    fn leases_of_version_6_name_the_client() {
        let (lines, problems) = said(
            "ia-na \"\\001\\000\\000\\000\\000\\003\\000\\001\\000\\032+<M^\" {\n  cltt 4 2026/01/01 10:00:00;\n  iaaddr fd00::5 {\n    binding state active;\n    preferred-life 375;\n    max-life 600;\n    ends 4 2026/01/01 22:00:00;\n  }\n}\n",
            Format::IscLeases,
        );
        assert_eq!(problems, []);
        assert_eq!(
            lines,
            [
                "2026-01-01T10:00:00.000Z 00:1a:2b:3c:4d:5e/fd00::5 until 2026-01-01T22:00:00.000Z",
                "00:1a:2b:3c:4d:5e/fd00::5 dhcp6.duid=00030001001a2b3c4d5e",
            ]
        );
    }

    #[test]
    fn damage_costs_one_lease_and_is_named() {
        let (lines, problems) = said(
            "lease 10.0.0.5 {\n  hardware ethernet 00:1a:2b:3c:4d:5e;\nlease 10.0.0.6 {\n  hardware ethernet 00:1a:2b:3c:4d:5f;\n  starts 4 yesterday;\n}\nlease 10.0.0.7 {\n  hardware ethernet 00:1a",
            Format::IscLeases,
        );
        assert_eq!(
            lines,
            ["2026-01-01T00:00:00.000Z 00:1a:2b:3c:4d:5f/10.0.0.6 until -"]
        );
        let lines: Vec<_> = problems.iter().map(|problem| problem.line).collect();
        assert_eq!(lines, [Some(3), Some(5), None]);
    }
}

//! dnsmasq's `dnsmasq.leases`: `expiry mac address name client-id`, and after a line `duid …` for DHCPv6
//! `expiry iaid address name duid`. An expiry of 0 never comes.

use domain::Timestamp;

use super::{Lease, octets};
use crate::records::emit::Emit;
use crate::records::party::{address, mac};
use crate::records::text::utf8;
use crate::records::{Problem, Taken};

/// Reads one lease file.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    version6: bool,
}

impl Reader {
    pub(crate) fn line(&mut self, line: &[u8], emit: &mut Emit<'_>) -> Result<Taken, Problem> {
        let text = utf8(line);
        if text.starts_with("duid ") {
            self.version6 = true;
            return Ok(Taken::Nothing);
        }
        if text.trim().is_empty() {
            return Ok(Taken::Nothing);
        }
        let lease = parse(&text, self.version6).ok_or_else(|| {
            Problem::new(
                "not a lease of dnsmasq",
                "a line is `expiry mac address name client-id`; check whether it was cut",
            )
        })?;
        Ok(if lease.tell(emit) {
            Taken::Row
        } else {
            Taken::Nothing
        })
    }
}

/// Whether a line looks like a lease of dnsmasq.
pub(crate) fn is_row(line: &str) -> bool {
    (line.starts_with("duid ") && line.split_whitespace().nth(1).and_then(octets).is_some())
        || parse(line, false).is_some()
        || parse(line, true).is_some()
}

fn parse(text: &str, version6: bool) -> Option<Lease> {
    let mut words = text.split_whitespace();
    let expiry: i64 = words.next()?.parse().ok()?;
    let hardware = words.next()?;
    let addr = address(words.next()?)?;
    let hostname = words.next()?;
    let id = words.next()?;
    if words.next().is_some() || !(0..=253_402_207_200).contains(&expiry) {
        return None;
    }
    let mut lease = Lease {
        addr: Some(addr),
        until: (expiry > 0).then(|| Timestamp::from_millis(expiry * 1000)),
        hostname: hostname.to_owned(),
        ..Lease::default()
    };
    let id = if id == "*" { Vec::new() } else { octets(id)? };
    if version6 && addr.is_ipv6() {
        lease.duid = id;
    } else {
        // A type other than Ethernet stands in front of the address: `06-00:1a:…`.
        lease.mac = Some(mac(hardware).or_else(|| mac(hardware.split_once('-')?.1))?);
        lease.client_id = id;
    }
    Some(lease)
}

#[cfg(test)]
mod tests {
    use super::super::tests::said;
    use crate::records::Format;

    #[test]
    fn leases_of_both_versions_are_read() {
        let (lines, problems) = said(
            "1795336205 00:1a:2b:3c:4d:5e 10.0.0.5 pump1 01:00:1a:2b:3c:4d:5e\n0 00:1a:2b:3c:4d:5f 10.0.0.6 * *\nduid 00:01:00:01:2a:00:00:01:00:1a:2b:00:00:01\n1795336205 1234567 fd00::5 pump2 00:03:00:01:00:1a:2b:3c:4d:60\n",
            Format::DnsmasqLeases,
        );
        assert_eq!(
            lines,
            [
                "2026-01-01T00:00:00.000Z 00:1a:2b:3c:4d:5e/10.0.0.5 until 2026-11-22T08:30:05.000Z",
                "00:1a:2b:3c:4d:5e/10.0.0.5 dhcp.hostname=pump1",
                "00:1a:2b:3c:4d:5e/10.0.0.5 dhcp.client_id=01001a2b3c4d5e",
                "2026-01-01T00:00:00.000Z 00:1a:2b:3c:4d:5f/10.0.0.6 until -",
                "2026-01-01T00:00:00.000Z 00:1a:2b:3c:4d:60/fd00::5 until 2026-11-22T08:30:05.000Z",
                "00:1a:2b:3c:4d:60/fd00::5 dhcp.hostname=pump2",
                "00:1a:2b:3c:4d:60/fd00::5 dhcp6.duid=00030001001a2b3c4d60",
            ]
        );
        assert_eq!(problems, []);
    }

    #[test]
    fn a_cut_line_is_counted_with_its_number() {
        let (lines, problems) = said(
            "1795336205 00:1a:2b:3c:4d:5e 10.0.0.5 pump1 *\n1795336205 00:1a:2b:3c:4d\n1795336205 00:1a:2b:3c:4d:5f 10.0.0.6 pump2 *\n",
            Format::DnsmasqLeases,
        );
        assert_eq!(lines.len(), 4);
        assert_eq!(problems.len(), 1);
        assert_eq!(problems[0].line, Some(2));
    }
}

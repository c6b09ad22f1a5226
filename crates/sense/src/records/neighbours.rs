//! ARP and neighbour tables, as commands print them, and switches' MAC address tables.
//!
//! One reading serves them all: a line that holds a MAC address with separators and an IP address is a row, whatever
//! stands around it. So `arp -a` and `arp -n` of Linux, BSD, macOS and Windows in any language, `/proc/net/arp`,
//! `ip neigh`, and `show ip arp` of Cisco IOS, NX-OS and ASA read alike. Entries without a MAC address (`incomplete`,
//! `FAILED`) are counted as silent; groups and broadcast are left out.

use domain::net::Party;
use domain::observation::{AddressSource, EvidenceKind};

use super::emit::Emit;
use super::party::{address, is_host, mac};
use super::text::utf8;
use super::{Format, Problem, Taken};

/// Reads one table.
#[derive(Debug)]
pub(crate) struct Reader {
    /// Whether rows name no IP address: a switch's table.
    switch: bool,
}

impl Reader {
    pub(crate) const fn new(format: Format) -> Self {
        Self {
            switch: matches!(format, Format::MacTable),
        }
    }

    pub(crate) fn line(&mut self, line: &[u8], emit: &mut Emit<'_>) -> Result<Taken, Problem> {
        let text = utf8(line);
        let words = || text.split_whitespace();
        let Some(mac) = words().find_map(mac) else {
            return self.without_mac(&text);
        };
        let at = emit.at();
        let vlan = vlan(&text, self.switch);
        // The address stands before the MAC in every table; a name in front of it is no address.
        let addr = words().find_map(address).filter(|addr| is_host(*addr));
        let party = Party {
            mac: Some(mac),
            addr,
            vlan,
        };
        match addr {
            Some(_) => emit.address(at, party, AddressSource::Table, None),
            None if self.switch => emit.seen(at, party),
            // A group's or nobody's address in an ARP table.
            None => return Ok(Taken::Nothing),
        }
        if let Some(name) = name(&text) {
            emit.evidence(at, party, EvidenceKind::DnsName, name.as_str());
        }
        Ok(Taken::Row)
    }

    /// A line without a MAC address: a header, an entry that was never answered, or a damaged row.
    fn without_mac(&self, text: &str) -> Result<Taken, Problem> {
        let mut words = text.split_whitespace();
        let starts_with_address = words.next().and_then(address).is_some();
        let lower = text.to_ascii_lowercase();
        let unanswered = lower.contains("incomplete")
            || lower.contains("failed")
            || lower.contains("noarp")
            || lower.contains("none");
        // Groups and broadcast have MAC addresses that name no interface.
        let group = text.split_whitespace().any(|word| {
            word.len() == 17 && word.bytes().filter(|b| matches!(b, b':' | b'-')).count() == 5
        }) || text
            .split_whitespace()
            .any(|word| word.len() == 14 && word.bytes().filter(|b| *b == b'.').count() == 2);
        if starts_with_address
            && !unanswered
            && !group
            && !self.switch
            && words.count() >= 2
            && !lower.contains("lladdr")
        {
            return Err(Problem::new(
                "an entry with an IP address but no MAC address",
                "check whether the line was cut; entries without an answer are marked incomplete or FAILED",
            ));
        }
        Ok(Taken::Nothing)
    }
}

/// The VLAN that a row names: `Vlan10`, `eth0.10`, `vlan 10`, or the first column of a switch's table.
fn vlan(text: &str, switch: bool) -> Option<u16> {
    let valid = |number: &str| {
        number
            .parse::<u16>()
            .ok()
            .filter(|id| (1..=4094).contains(id))
    };
    for word in text.split_whitespace() {
        let lower = word.to_ascii_lowercase();
        if let Some(rest) = lower
            .strip_prefix("vlan")
            .map(|rest| rest.trim_start_matches(['-', '_', '.']))
            && let Some(id) = valid(rest.trim_end_matches(','))
        {
            return Some(id);
        }
        if let Some((interface, rest)) = lower.split_once('.') {
            let interface_like = interface.starts_with(|c: char| c.is_ascii_alphabetic())
                && interface.ends_with(|c: char| c.is_ascii_digit());
            if interface_like
                && address(word).is_none()
                && let Some(id) = valid(rest)
            {
                return Some(id);
            }
        }
    }
    if switch {
        return text
            .split_whitespace()
            .map(|word| word.trim_matches('*'))
            .find(|word| !word.is_empty() && *word != "+")
            .and_then(valid);
    }
    None
}

/// The name in front of an address in brackets, as `arp -a` prints it: `pump1.example.org (10.0.0.5) at …`.
fn name(text: &str) -> Option<String> {
    let mut words = text.split_whitespace();
    let (first, second) = (words.next()?, words.next()?);
    let named = second.starts_with('(') && second.ends_with(')') && address(second).is_some();
    let fit = first != "?"
        && first.len() <= 253
        && first
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_'));
    (named && fit && address(first).is_none())
        .then(|| first.trim_end_matches('.').to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::super::{Context, Reader, recognise};
    use domain::Timestamp;
    use domain::net::Party;
    use domain::observation::{Collected, Fact, SourceId};

    fn read(text: &str) -> (Vec<(Party, Fact)>, u64) {
        let context = Context {
            source: SourceId(0),
            at: Timestamp::from_millis(0),
        };
        let format = recognise(text.as_bytes(), "table");
        let mut reader = Reader::new(format, "table", context, None)
            .unwrap_or_else(|| panic!("{format:?} is not read"));
        let mut sink = Collected::default();
        reader.push(text.as_bytes(), &mut sink);
        reader.finish(&mut sink);
        (
            sink.observations
                .into_iter()
                .map(|o| (o.about.party, o.fact))
                .collect(),
            reader.counts().damaged,
        )
    }

    fn pairs(text: &str) -> Vec<String> {
        let (found, damaged) = read(text);
        assert_eq!(damaged, 0, "{text}");
        found
            .into_iter()
            .filter(|(_, fact)| !matches!(fact, Fact::Evidence { .. }))
            .map(|(party, _)| {
                format!(
                    "{} {} {}",
                    party.mac.map_or_else(String::new, |mac| mac.to_string()),
                    party.addr.map_or_else(String::new, |addr| addr.to_string()),
                    party.vlan.unwrap_or(0)
                )
            })
            .collect()
    }

    #[test]
    fn tables_of_every_system_read_alike() {
        let expected = [
            "00:1a:2b:3c:4d:5e 10.0.0.1 0",
            "00:1a:2b:3c:4d:5f 10.0.0.2 0",
        ];
        for text in [
            "gateway (10.0.0.1) at 00:1a:2b:3c:4d:5e [ether] on eth0\n? (10.0.0.2) at 00:1a:2b:3c:4d:5f [ether] on eth0\n? (10.0.0.3) at <incomplete> on eth0\n",
            "Address                  HWtype  HWaddress           Flags Mask            Iface\n10.0.0.1                 ether   00:1a:2b:3c:4d:5e   C                     eth0\n10.0.0.2                 ether   00:1a:2b:3c:4d:5f   C                     eth0\n10.0.0.3                         (incomplete)                              eth0\n",
            "IP address       HW type     Flags       HW address            Mask     Device\n10.0.0.1         0x1         0x2         00:1a:2b:3c:4d:5e     *        eth0\n10.0.0.2         0x1         0x2         00:1a:2b:3c:4d:5f     *        eth0\n10.0.0.3         0x1         0x0         00:00:00:00:00:00     *        eth0\n",
            "? (10.0.0.1) at 0:1a:2b:3c:4d:5e on en0 ifscope [ethernet]\n? (10.0.0.2) at 0:1a:2b:3c:4d:5f on en0 ifscope permanent [ethernet]\n? (224.0.0.251) at 1:0:5e:0:0:fb on en0 ifscope permanent [ethernet]\n",
            "\r\nSchnittstelle: 10.0.0.5 --- 0x3\r\n  Internetadresse       Physische Adresse     Typ\r\n  10.0.0.1              00-1a-2b-3c-4d-5e     dynamisch\r\n  10.0.0.2              00-1a-2b-3c-4d-5f     statisch\r\n  10.0.0.255            ff-ff-ff-ff-ff-ff     statisch\r\n  224.0.0.22            01-00-5e-00-00-16     statisch\r\n",
            "10.0.0.1 dev eth0 lladdr 00:1a:2b:3c:4d:5e REACHABLE\n10.0.0.2 dev eth0 lladdr 00:1a:2b:3c:4d:5f router STALE\n10.0.0.3 dev eth0 FAILED\n10.0.0.4 dev eth0 INCOMPLETE\n",
            "inside 10.0.0.1 001a.2b3c.4d5e 12\ninside 10.0.0.2 001a.2b3c.4d5f 4012\n",
        ] {
            assert_eq!(pairs(text), expected, "{text}");
        }
    }

    #[test]
    fn a_routers_table_names_the_vlan() {
        let ios = "Protocol  Address          Age (min)  Hardware Addr   Type   Interface\nInternet  10.0.0.1                -   001a.2b3c.4d5e  ARPA   Vlan10\nInternet  10.0.1.2               17   001a.2b3c.4d5f  ARPA   GigabitEthernet0/1.20\nInternet  10.0.1.3                0   Incomplete      ARPA\n";
        assert_eq!(
            pairs(ios),
            [
                "00:1a:2b:3c:4d:5e 10.0.0.1 10",
                "00:1a:2b:3c:4d:5f 10.0.1.2 20"
            ]
        );
        let switch = "          Mac Address Table\n-------------------------------------------\n\nVlan    Mac Address       Type        Ports\n----    -----------       --------    -----\n All    0100.0ccc.cccc    STATIC      CPU\n  10    001a.2b3c.4d5e    DYNAMIC     Gi1/0/1\n* 20    001a.2b3c.4d5f    dynamic  0         F      F    Eth1/1\nTotal Mac Addresses for this criterion: 2\n";
        assert_eq!(
            pairs(switch),
            ["00:1a:2b:3c:4d:5e  10", "00:1a:2b:3c:4d:5f  20"]
        );
    }

    #[test]
    fn names_are_kept_and_damaged_entries_counted() {
        let (found, _) =
            read("Pump1.example.org (10.0.0.1) at 00:1a:2b:3c:4d:5e [ether] on eth0\n");
        assert!(found.iter().any(
            |(_, fact)| matches!(fact, Fact::Evidence { value, .. } if value == "pump1.example.org")
        ));
        let (found, damaged) =
            read("10.0.0.1 ether 00:1a:2b:3c:4d:5e C eth0\n10.0.0.2 ether 00:1a:2b:3c:4d C eth0\n");
        assert_eq!((found.len(), damaged), (1, 1));
    }
}

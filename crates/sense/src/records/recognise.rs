//! What a file is, from its first octets: suffixes lie.

use std::borrow::Cow;

use serde::Serialize;

use super::party::{address, mac};
use super::text::{Decoder, utf8};
use super::{netflow, sflow};

/// What a file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// A capture in libpcap's format, of either byte order, in micro- or nanoseconds, or Kuznetzov's variant.
    Pcap,
    /// A capture in pcapng.
    PcapNg,
    /// Compressed with gzip (RFC 1952).
    Gzip,
    /// Compressed with Zstandard (RFC 8878).
    Zstd,
    /// A Zeek log with its `#fields` header.
    ZeekTsv,
    /// A Zeek log of one JSON object a line.
    ZeekJson,
    /// NetFlow v5, v9 or IPFIX messages one after the other (RFC 5655 for IPFIX).
    NetFlow,
    /// sFlow v5 datagrams one after the other.
    SFlow,
    /// `dhcpd.leases` or `dhcpd6.leases` of ISC's DHCP server.
    IscLeases,
    /// Lease file of Kea, for either version of DHCP.
    KeaLeases,
    /// `Get-DhcpServerv4Lease` or the console's export, as CSV.
    WindowsLeases,
    /// `netsh dhcp server scope … show clients`.
    WindowsNetsh,
    /// Lease file of dnsmasq.
    DnsmasqLeases,
    /// A table of IP and MAC addresses: `arp`, `show ip arp`, `/proc/net/arp`.
    ArpTable,
    /// `ip neigh`.
    IpNeighbour,
    /// `show mac address-table`.
    MacTable,
    /// Nmap's XML.
    NmapXml,
    /// A table of values with a header: a register, or whatever a mapping says.
    Csv,
    /// Nothing.
    Empty,
    /// Something known that is not read here, with its name.
    Foreign(&'static str),
    /// Not known.
    Unknown,
}

impl Format {
    /// Its name for people.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pcap => "pcap capture",
            Self::PcapNg => "pcapng capture",
            Self::Gzip => "gzip",
            Self::Zstd => "Zstandard",
            Self::ZeekTsv => "Zeek log",
            Self::ZeekJson => "Zeek log (JSON)",
            Self::NetFlow => "NetFlow or IPFIX messages",
            Self::SFlow => "sFlow datagrams",
            Self::IscLeases => "ISC DHCP leases",
            Self::KeaLeases => "Kea leases",
            Self::WindowsLeases => "Windows DHCP leases",
            Self::WindowsNetsh => "Windows DHCP clients (netsh)",
            Self::DnsmasqLeases => "dnsmasq leases",
            Self::ArpTable => "ARP table",
            Self::IpNeighbour => "neighbour table",
            Self::MacTable => "MAC address table",
            Self::NmapXml => "Nmap XML",
            Self::Csv => "table",
            Self::Empty => "empty file",
            Self::Foreign(name) => name,
            Self::Unknown => "unknown",
        }
    }

    /// What to do with a file that is not read here.
    pub fn remedy(self) -> String {
        match self {
            Self::Foreign(name) => match name {
                "xz data" => "decompress it first: `xz -d FILE`".to_owned(),
                "bzip2 data" => "decompress it first: `bzip2 -d FILE`".to_owned(),
                "lz4 data" => "decompress it first: `lz4 -d FILE`".to_owned(),
                "zip archive" | "tar archive" | "7z archive" => {
                    "unpack it into a folder and give the folder".to_owned()
                }
                "Excel workbook" | "Excel 97 workbook" => {
                    "save the sheet as CSV (UTF-8) and give that file".to_owned()
                }
                "nfdump file" => {
                    "replay it: `nfreplay -r FILE -H 127.0.0.1 -p 2055` while `asepsis discover netflow:127.0.0.1:2055` listens"
                        .to_owned()
                }
                "snoop capture" => {
                    "convert it: `editcap -F pcapng FILE FILE.pcapng`".to_owned()
                }
                _ => "convert it to one of the formats in `asepsis discover --help`".to_owned(),
            },
            Self::Empty => "nothing to do if it is meant to be empty".to_owned(),
            _ => "give captures, Zeek logs, flow records, leases, neighbour tables, Nmap XML, or CSV with a header"
                .to_owned(),
        }
    }

    /// Whether a [`super::Reader`] takes it.
    pub const fn is_records(self) -> bool {
        matches!(
            self,
            Self::ZeekTsv
                | Self::ZeekJson
                | Self::IscLeases
                | Self::KeaLeases
                | Self::WindowsLeases
                | Self::WindowsNetsh
                | Self::DnsmasqLeases
                | Self::ArpTable
                | Self::IpNeighbour
                | Self::MacTable
                | Self::NmapXml
                | Self::Csv
        )
    }
}

/// Says what a file is from its first octets (4 KiB are plenty); `name` decides nothing but whether a lone JSON line
/// is a Zeek log.
pub fn recognise(head: &[u8], name: &str) -> Format {
    if head.is_empty() {
        return Format::Empty;
    }
    if let Some(format) = by_magic(head) {
        return format;
    }
    if let Some(format) = by_datagram(head) {
        return format;
    }
    let decoded = Decoder::default().decode(head).into_owned();
    if decoded.iter().all(|b| b.is_ascii_whitespace()) {
        return Format::Empty;
    }
    // Text has few control characters; binary files have many.
    let controls = decoded
        .iter()
        .filter(|b| **b < 0x20 && !matches!(**b, b'\t' | b'\n' | b'\r' | 0x0c | 0x1b))
        .count();
    if controls * 50 > decoded.len() {
        return Format::Unknown;
    }
    by_text(&decoded, name)
}

fn by_magic(head: &[u8]) -> Option<Format> {
    let tar = head.get(257..262) == Some(b"ustar");
    Some(match head {
        [0xa1, 0xb2, 0xc3, 0xd4, ..]
        | [0xd4, 0xc3, 0xb2, 0xa1, ..]
        | [0xa1, 0xb2, 0x3c, 0x4d, ..]
        | [0x4d, 0x3c, 0xb2, 0xa1, ..]
        | [0xa1, 0xb2, 0xcd, 0x34, ..]
        | [0x34, 0xcd, 0xb2, 0xa1, ..] => Format::Pcap,
        [0x0a, 0x0d, 0x0d, 0x0a, ..] => Format::PcapNg,
        [0x1f, 0x8b, 8, ..] => Format::Gzip,
        [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Format::Zstd,
        [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Format::Foreign("xz data"),
        [b'B', b'Z', b'h', b'1'..=b'9', ..] => Format::Foreign("bzip2 data"),
        [0x04, 0x22, 0x4d, 0x18, ..] => Format::Foreign("lz4 data"),
        [b'7', b'z', 0xbc, 0xaf, ..] => Format::Foreign("7z archive"),
        [b'P', b'K', 3, 4, ..]
            if memchr::memmem::find(head, b"xl/").is_some()
                || memchr::memmem::find(head, b"[Content_Types]").is_some() =>
        {
            Format::Foreign("Excel workbook")
        }
        [b'P', b'K', 3, 4, ..] => Format::Foreign("zip archive"),
        [0xd0, 0xcf, 0x11, 0xe0, ..] => Format::Foreign("Excel 97 workbook"),
        [0x0c, 0xa5, 0..=3, 0, ..] | [0xa5, 0x0c, 0, 0..=3, ..] => Format::Foreign("nfdump file"),
        [b's', b'n', b'o', b'o', b'p', 0, ..] => Format::Foreign("snoop capture"),
        [b'E', b'l', b'f', b'F', b'i', b'l', b'e', ..] => Format::Foreign("Windows event log"),
        [b'S', b'Q', b'L', b'i', b't', b'e', b' ', ..] => Format::Foreign("SQLite database"),
        [b'%', b'P', b'D', b'F', ..] => Format::Foreign("PDF document"),
        [b'P', b'A', b'R', b'1', ..] => Format::Foreign("Parquet file"),
        _ if tar => Format::Foreign("tar archive"),
        _ => return None,
    })
}

/// Flow records have no magic number: a header whose every field is plausible, and what follows it too.
fn by_datagram(head: &[u8]) -> Option<Format> {
    if netflow::plausible(head) {
        Some(Format::NetFlow)
    } else if sflow::plausible(head) {
        Some(Format::SFlow)
    } else {
        None
    }
}

fn by_text(decoded: &[u8], name: &str) -> Format {
    let text = utf8(decoded);
    let trimmed = text.trim_start();
    if trimmed.starts_with("#separator ")
        || (trimmed.starts_with('#') && trimmed.contains("#fields\t"))
    {
        return Format::ZeekTsv;
    }
    if trimmed.starts_with("<?xml")
        || trimmed.starts_with("<!DOCTYPE")
        || trimmed.starts_with("<nmaprun")
    {
        return if trimmed.contains("<nmaprun") {
            Format::NmapXml
        } else {
            Format::Foreign("XML document")
        };
    }
    if trimmed.starts_with('{') {
        return zeek_json(trimmed, name);
    }
    let lines: Vec<&str> = text
        .lines()
        .map(str::trim_end)
        .filter(|line| !line.trim().is_empty())
        .take(64)
        .collect();
    if is_isc(&lines) {
        return Format::IscLeases;
    }
    let header = lines
        .iter()
        .find(|line| !line.starts_with("#TYPE ") && !line.to_ascii_lowercase().starts_with("sep="))
        .copied()
        .unwrap_or_default();
    let lower: Cow<'_, str> = header.to_lowercase().into();
    if lower.starts_with("address,hwaddr,client_id,valid_lifetime,expire")
        || lower.starts_with("address,duid,valid_lifetime,expire")
    {
        return Format::KeaLeases;
    }
    let has = |needles: &[&str]| needles.iter().all(|needle| lower.contains(needle));
    if has(&["ipaddress", "clientid", "leaseexpirytime"])
        || has(&["ipaddress", "clientid", "scopeid"])
        || has(&["client ip address", "lease expiration", "unique id"])
    {
        return Format::WindowsLeases;
    }
    if lines
        .iter()
        .filter(|line| super::leases::windows::is_row(line))
        .count()
        > 0
    {
        return Format::WindowsNetsh;
    }
    if lines
        .iter()
        .filter(|line| super::leases::dnsmasq::is_row(line))
        .count()
        * 2
        > lines.len()
    {
        return Format::DnsmasqLeases;
    }
    if let Some(format) = neighbours(&lines) {
        return format;
    }
    if is_table(&lines) {
        return Format::Csv;
    }
    Format::Unknown
}

fn zeek_json(text: &str, name: &str) -> Format {
    let line = text.lines().next().unwrap_or_default();
    let zeek = line.contains("\"ts\"")
        && (line.contains("\"uid\"")
            || line.contains("\"_path\"")
            || line.contains("id.orig_h")
            || line.contains("\"uids\"")
            || super::zeek::path_of_name(name).is_some());
    if zeek {
        Format::ZeekJson
    } else {
        Format::Foreign("JSON document")
    }
}

fn is_isc(lines: &[&str]) -> bool {
    lines.iter().any(|line| {
        let mut words = line.split_whitespace();
        match (words.next(), words.next(), words.next()) {
            (Some("lease"), Some(addr), Some("{")) => address(addr).is_some(),
            (Some("ia-na" | "ia-ta" | "ia-pd"), Some(_), _) => line.ends_with('{'),
            (Some("authoring-byte-order"), ..) => true,
            _ => false,
        }
    }) || lines
        .iter()
        .any(|line| line.starts_with("# The format of this file is documented in the dhcpd.leases"))
}

/// A table in which lines hold a MAC address, most often beside an IP address.
fn neighbours(lines: &[&str]) -> Option<Format> {
    let (mut both, mut only_mac, mut states, mut separated) = (0, 0, 0, 0);
    for line in lines {
        let mut words = line.split_whitespace();
        let found_mac = words.clone().any(|word| mac(word).is_some());
        let found_addr = words.clone().any(|word| address(word).is_some());
        // `ip neigh` names the interface after `dev` and ends with a state.
        states += usize::from(found_addr && words.any(|word| word == "dev"));
        both += usize::from(found_mac && found_addr);
        only_mac += usize::from(found_mac && !found_addr);
        separated += usize::from(line.contains([',', ';']) || line.matches('\t').count() >= 2);
    }
    let rows = both + only_mac;
    if states > 0 && states * 2 >= lines.len() {
        return Some(Format::IpNeighbour);
    }
    if rows == 0 || separated * 2 > lines.len() {
        return None;
    }
    if both * 2 >= rows {
        return Some(Format::ArpTable);
    }
    let switch = lines.iter().any(|line| {
        let lower = line.to_ascii_lowercase();
        lower.contains("mac")
            || lower.contains("vlan")
            || lower.contains("dynamic")
            || lower.contains("learned")
    });
    switch.then_some(Format::MacTable)
}

/// A header and at least one row with as many fields, or a lone header.
fn is_table(lines: &[&str]) -> bool {
    let Some(header) = lines
        .iter()
        .find(|line| !line.starts_with('#') && !line.to_ascii_lowercase().starts_with("sep="))
    else {
        return false;
    };
    super::table::separator(header).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, format: Format) {
        assert_eq!(recognise(text.as_bytes(), "lies.txt"), format, "{text}");
    }

    #[test]
    fn each_format_is_known_by_its_content() {
        check("#separator \\x09\n#path\tconn\n", Format::ZeekTsv);
        check(
            "{\"ts\":1.0,\"uid\":\"C1\",\"id.orig_h\":\"10.0.0.1\"}\n",
            Format::ZeekJson,
        );
        check(
            "{\"resourceType\":\"Patient\"}",
            Format::Foreign("JSON document"),
        );
        check(
            "# comment\n\nlease 10.0.0.5 {\n  starts 4 2026/01/01 00:00:00;\n",
            Format::IscLeases,
        );
        check(
            "address,hwaddr,client_id,valid_lifetime,expire,subnet_id,fqdn_fwd,fqdn_rev,hostname,state\n",
            Format::KeaLeases,
        );
        check(
            "#TYPE Microsoft.Management.Infrastructure.CimInstance\r\n\"IPAddress\",\"ScopeId\",\"AddressState\",\"ClientId\",\"HostName\",\"LeaseExpiryTime\"\r\n",
            Format::WindowsLeases,
        );
        check(
            "IP Address      - Subnet Mask    - Unique ID           - Lease Expires        -Type -Name\n10.0.0.5        - 255.255.255.0  - 00-1a-2b-3c-4d-5e   -11/22/2026 8:30:00 AM    -D  -PC01.example.org\n",
            Format::WindowsNetsh,
        );
        check(
            "1795336205 00:1a:2b:3c:4d:5e 10.0.0.5 pump1 01:00:1a:2b:3c:4d:5e\n",
            Format::DnsmasqLeases,
        );
        check(
            "? (10.0.0.1) at 00:1a:2b:3c:4d:5e [ether] on eth0\n",
            Format::ArpTable,
        );
        check(
            "\nInterface: 10.0.0.5 --- 0x3\n  Internet Address      Physical Address      Type\n  10.0.0.1              00-1a-2b-3c-4d-5e     dynamic\n",
            Format::ArpTable,
        );
        check(
            "Protocol  Address          Age (min)  Hardware Addr   Type   Interface\nInternet  10.0.0.1                5   001a.2b3c.4d5e  ARPA   Vlan10\n",
            Format::ArpTable,
        );
        check(
            "10.0.0.1 dev eth0 lladdr 00:1a:2b:3c:4d:5e REACHABLE\n10.0.0.9 dev eth0 FAILED\n",
            Format::IpNeighbour,
        );
        check(
            "          Mac Address Table\n-------------------------------------------\n\nVlan    Mac Address       Type        Ports\n----    -----------       --------    -----\n  10    001a.2b3c.4d5e    DYNAMIC     Gi1/0/1\n",
            Format::MacTable,
        );
        check(
            "<?xml version=\"1.0\"?>\n<!DOCTYPE nmaprun>\n<nmaprun scanner=\"nmap\">",
            Format::NmapXml,
        );
        check(
            "<?xml version=\"1.0\"?><hello/>",
            Format::Foreign("XML document"),
        );
        check(
            "Name;MAC;IP\npump;00:1a:2b:3c:4d:5e;10.0.0.5\n",
            Format::Csv,
        );
        check("\"Asset Tag\",\"MAC Address\"\n", Format::Csv);
        check("", Format::Empty);
        check("\r\n  \n", Format::Empty);
        check("Lorem ipsum dolor sit amet\n", Format::Unknown);
        assert_eq!(recognise(&[0x1f, 0x8b, 8, 0], "a.pcap"), Format::Gzip);
        assert_eq!(recognise(&[0; 64], "zeroes"), Format::Unknown);
        assert_eq!(
            recognise(b"PK\x03\x04", "a.csv"),
            Format::Foreign("zip archive")
        );
    }

    #[test]
    fn an_export_in_utf_16_is_known_too() {
        let text = "\"IPAddress\",\"ScopeId\",\"ClientId\",\"LeaseExpiryTime\"\r\n";
        let mut bytes = vec![0xff, 0xfe];
        bytes.extend(text.encode_utf16().flat_map(u16::to_le_bytes));
        assert_eq!(recognise(&bytes, "leases.csv"), Format::WindowsLeases);
    }
}

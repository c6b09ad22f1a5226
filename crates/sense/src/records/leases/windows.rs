//! Leases of Windows' DHCP server: the CSV of `Get-DhcpServerv4Lease` and of the console's export ([`row`]), and what
//! `netsh dhcp server scope … show clients` prints ([`Reader`]). There the words are the language's, the shape is not:
//! `10.0.0.5 - 255.255.255.0 - 00-1a-2b-3c-4d-5e - 11/22/2026 8:30:00 AM -D -NAME`.

use super::kea::leased;
use super::{Lease, octets};
use crate::records::emit::Emit;
use crate::records::moment;
use crate::records::party::{address, mac};
use crate::records::table::Row;
use crate::records::text::utf8;
use crate::records::{Problem, Taken};

/// Reads one listing.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    order: Option<moment::Dates>,
}

impl Reader {
    pub(crate) fn line(&mut self, line: &[u8], emit: &mut Emit<'_>) -> Result<Taken, Problem> {
        let text = utf8(line);
        let Some((addr, rest)) = beginning(&text) else {
            return Ok(Taken::Nothing);
        };
        let (id, rest) = rest.split_once(" -").ok_or_else(|| {
            Problem::new(
                "a client without its identifier",
                "check whether the line was cut; run `netsh dhcp server scope ADDRESS show clients 1` again",
            )
        })?;
        let id = octets(id).unwrap_or_default();
        let (expires, rest) = rest.split_once("-").unwrap_or((rest, ""));
        // A date with `-` in it: the type is the first lone letter after a hyphen.
        let name = rest.split_once('-').map_or("", |(_, name)| name).trim();
        self.order = self.order.or_else(|| moment::order_shown(expires));
        let lease = Lease {
            addr: Some(addr),
            mac: client_mac(&id),
            until: moment::local(expires, self.order),
            hostname: name.to_owned(),
            client_id: if id.len() == 6 { Vec::new() } else { id },
            ..Lease::default()
        };
        Ok(if lease.tell(emit) {
            Taken::Row
        } else {
            Taken::Nothing
        })
    }
}

/// A row of `Get-DhcpServerv4Lease | Export-Csv`, or of the console's export. `order` is how dates are written.
pub(crate) fn row(row: &Row<'_>, order: Option<moment::Dates>) -> Result<Lease, Problem> {
    let column = if row.get("ipaddress").is_some() {
        "ipaddress"
    } else {
        "client ip address"
    };
    let addr = leased(row, column)?;
    let id = row
        .get("clientid")
        .or_else(|| row.get("unique id"))
        .unwrap_or_default();
    let id = octets(id).unwrap_or_default();
    let expires = row
        .get("leaseexpirytime")
        .or_else(|| row.get("lease expiration"))
        .unwrap_or_default();
    let state = row
        .get("addressstate")
        .unwrap_or_default()
        .to_ascii_lowercase();
    Ok(Lease {
        addr: Some(addr),
        mac: client_mac(&id),
        until: moment::local(expires, order),
        ended: state.contains("expired") || state.contains("declined"),
        hostname: row
            .get("hostname")
            .or_else(|| row.get("name"))
            .unwrap_or_default()
            .to_owned(),
        client_id: if id.len() == 6 { Vec::new() } else { id },
        ..Lease::default()
    })
}

/// Whether a line is one of the listing's rows.
pub(crate) fn is_row(line: &str) -> bool {
    beginning(line).is_some_and(|(_, rest)| rest.contains(" -"))
}

/// The address, and what follows the mask.
fn beginning(text: &str) -> Option<(std::net::IpAddr, &str)> {
    let (addr, rest) = text.split_once("- ")?;
    let (mask, rest) = rest.split_once("- ")?;
    let addr = address(addr.trim())?;
    let mask: std::net::Ipv4Addr = mask.trim().parse().ok()?;
    // Ones, then zeroes.
    let bits = mask.to_bits();
    (bits.leading_ones() + bits.trailing_zeros() == 32).then_some((addr, rest.trim_start()))
}

/// The MAC address in a client identifier: six octets, or seven with the type of Ethernet in front (RFC 2132, 9.14).
pub(crate) fn client_mac(id: &[u8]) -> Option<domain::net::Mac> {
    let octets: [u8; 6] = match id {
        [1, rest @ ..] if rest.len() == 6 => rest.try_into().ok()?,
        _ => id.try_into().ok()?,
    };
    mac(&domain::net::Mac(octets).to_string())
}

#[cfg(test)]
mod tests {
    use super::super::tests::said;
    use crate::records::Format;

    #[test]
    fn clients_are_read_in_any_language() {
        let expected = [
            "2026-01-01T00:00:00.000Z 00:1a:2b:3c:4d:5e/10.0.0.5 until 2026-11-22T08:30:00.000Z",
            "00:1a:2b:3c:4d:5e/10.0.0.5 dhcp.hostname=PC-01.example.org",
        ];
        let english = "\r\nChanged the current scope context to 10.0.0.0 scope.\r\n\r\nType : N - NONE, D - DHCP B - BOTH, U - UNSPECIFIED, R - RESERVATION IP\r\n============================================================================================\r\nIP Address      - Subnet Mask    - Unique ID           - Lease Expires        -Type -Name\r\n============================================================================================\r\n\r\n10.0.0.5        - 255.255.255.0  - 00-1a-2b-3c-4d-5e   -11/22/2026 8:30:00 AM    -D  -  PC-01.example.org\r\n\r\nNo of Clients(version 4): 1 in the Scope : 10.0.0.0.\r\n";
        let german = "10.0.0.5        - 255.255.255.0  - 00-1a-2b-3c-4d-5e   -22.11.2026 08:30:00    -D  -PC-01.example.org\n";
        for text in [english, german] {
            let (lines, problems) = said(text, Format::WindowsNetsh);
            assert_eq!(lines, expected);
            assert_eq!(problems, []);
        }
    }

    #[test]
    fn a_reservation_without_an_end_is_read() {
        let (lines, _) = said(
            "10.0.0.5 - 255.255.255.0 - 01-00-1a-2b-3c-4d-5e - NEVER EXPIRES        -U  -\n",
            Format::WindowsNetsh,
        );
        assert_eq!(
            lines[0],
            "2026-01-01T00:00:00.000Z 00:1a:2b:3c:4d:5e/10.0.0.5 until -"
        );
    }

    #[test]
    fn windows_exports_are_read() {
        let expected = [
            "2026-01-01T00:00:00.000Z 00:1a:2b:3c:4d:5e/10.0.0.5 until 2026-11-22T08:30:05.000Z",
            "00:1a:2b:3c:4d:5e/10.0.0.5 dhcp.hostname=PC01.example.org",
        ];
        let powershell = "#TYPE Microsoft.Management.Infrastructure.CimInstance#root/Microsoft/Windows/DHCP/DhcpServerv4Lease\r\n\"IPAddress\",\"ScopeId\",\"AddressState\",\"ClientId\",\"ClientType\",\"Description\",\"HostName\",\"LeaseExpiryTime\",\"ServerIP\"\r\n\"10.0.0.5\",\"10.0.0.0\",\"Active\",\"00-1a-2b-3c-4d-5e\",\"Dhcp\",,\"PC01.example.org\",\"11/22/2026 8:30:05 AM\",\"10.0.0.2\"\r\n";
        let german = "\"IPAddress\";\"ScopeId\";\"AddressState\";\"ClientId\";\"HostName\";\"LeaseExpiryTime\"\r\n\"10.0.0.5\";\"10.0.0.0\";\"ActiveReservation\";\"00-1a-2b-3c-4d-5e\";\"PC01.example.org\";\"22.11.2026 08:30:05\"\r\n";
        let console = "Client IP Address\tName\tLease Expiration\tType\tUnique ID\tDescription\r\n10.0.0.5\tPC01.example.org\t11/22/2026 8:30:05 AM\tDHCP\t001a2b3c4d5e\t\r\n";
        for text in [powershell, german, console] {
            let (lines, problems) = said(text, Format::WindowsLeases);
            assert_eq!(lines, expected, "{text}");
            assert_eq!(problems, []);
        }
    }
}

//! Kea's lease files (memfile), for either version of DHCP: rows by the names of their columns.

use std::net::IpAddr;

use domain::Timestamp;
use domain::net::Mac;

use super::{Lease, octets};
use crate::records::party::{address, mac_column};
use crate::records::{Problem, table::Row};

/// A row of Kea's memfile, for either version of DHCP. The file is a journal: later rows overtake earlier ones.
pub(crate) fn row(row: &Row<'_>) -> Result<Lease, Problem> {
    let addr = leased(row, "address")?;
    let written = row.get("hwaddr").unwrap_or_default();
    let mac = read_mac(row, "hwaddr", written)?;
    let secs = |name: &str| {
        row.get(name)
            .and_then(|text| text.parse::<i64>().ok())
            .filter(|secs| (0..=253_402_207_200).contains(secs))
    };
    let (until, lifetime) = (secs("expire"), secs("valid_lifetime"));
    // Kea writes 0xffffffff for a lease that never ends (RFC 2131, 3.3).
    let endless = lifetime == Some(0xffff_ffff);
    let instant = |secs: i64| Timestamp::from_millis(secs * 1000);
    Ok(Lease {
        addr: Some(addr),
        mac,
        // The end less the length is when it was last renewed.
        from: until
            .zip(lifetime)
            .filter(|_| !endless)
            .map(|(until, lifetime)| instant(until.saturating_sub(lifetime))),
        until: until.filter(|_| !endless).map(instant),
        // 0: held; 1: declined, somebody else uses it; 2: expired and taken back; 3: released.
        ended: matches!(row.get("state"), Some("1" | "2" | "3")),
        hostname: row
            .get("hostname")
            .unwrap_or_default()
            .trim_end_matches('.')
            .to_owned(),
        client_id: row.get("client_id").and_then(octets).unwrap_or_default(),
        duid: row.get("duid").and_then(octets).unwrap_or_default(),
        ..Lease::default()
    })
}

pub(super) fn leased(row: &Row<'_>, column: &str) -> Result<IpAddr, Problem> {
    row.get(column).and_then(address).ok_or_else(|| {
        Problem::new(
            "not an IP address",
            "check whether the row was cut or shifted",
        )
        .in_column(column)
    })
}

fn read_mac(row: &Row<'_>, column: &str, written: &str) -> Result<Option<Mac>, Problem> {
    let found = mac_column(written);
    // Version 6 need not know the hardware address.
    if found.is_none()
        && !written.is_empty()
        && row.get("duid").is_none()
        && written.len() >= 11
        && octets(written).is_none()
    {
        return Err(Problem::new(
            "not a hardware address",
            "check whether the row was cut or shifted",
        )
        .in_column(column));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::super::tests::said;
    use crate::records::Format;

    #[test]
    fn keas_journal_is_read() {
        let (lines, problems) = said(
            "address,hwaddr,client_id,valid_lifetime,expire,subnet_id,fqdn_fwd,fqdn_rev,hostname,state,user_context,pool_id\n10.0.0.5,00:1a:2b:3c:4d:5e,01:00:1a:2b:3c:4d:5e,3600,1795336205,1,0,0,pump1.example.org.,0,,0\n10.0.0.6,00:1a:2b:3c:4d:5f,,3600,1795336205,1,0,0,,2,,0\nnonsense,00:1a:2b:3c:4d:60,,3600,1795336205,1,0,0,,0,,0\n",
            Format::KeaLeases,
        );
        assert_eq!(
            lines,
            [
                "2026-11-22T07:30:05.000Z 00:1a:2b:3c:4d:5e/10.0.0.5 until 2026-11-22T08:30:05.000Z",
                "00:1a:2b:3c:4d:5e/10.0.0.5 dhcp.hostname=pump1.example.org",
                "00:1a:2b:3c:4d:5e/10.0.0.5 dhcp.client_id=01001a2b3c4d5e",
                "2026-11-22T07:30:05.000Z 00:1a:2b:3c:4d:5f/10.0.0.6 until 2026-11-22T08:30:05.000Z",
                "2026-11-22T08:30:05.000Z 00:1a:2b:3c:4d:5f/10.0.0.6 released",
            ]
        );
        assert_eq!(problems.len(), 1);
        assert_eq!(
            (problems[0].line, problems[0].column.as_deref()),
            (Some(4), Some("address"))
        );
    }

    #[test]
    fn keas_leases_of_version_6_are_read() {
        let (lines, _) = said(
            "address,duid,valid_lifetime,expire,subnet_id,pref_lifetime,lease_type,iaid,prefix_len,fqdn_fwd,fqdn_rev,hostname,hwaddr,state,user_context,hwtype,hwaddr_source,pool_id\nfd00::5,00:03:00:01:00:1a:2b:3c:4d:5e,3600,1795336205,1,1800,0,1,128,0,0,pump1,,0,,,,0\n",
            Format::KeaLeases,
        );
        assert_eq!(
            lines[0],
            "2026-11-22T07:30:05.000Z 00:1a:2b:3c:4d:5e/fd00::5 until 2026-11-22T08:30:05.000Z"
        );
    }
}

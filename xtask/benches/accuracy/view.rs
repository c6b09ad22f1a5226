//! How a held-out device is shown: as it came, and as the same type of device would look elsewhere.

use domain::EvidenceKind as E;
use inventory::Evidence;

/// A way to show a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum View {
    /// As the capture shows it.
    AsItCame,
    /// Another address block and other host names, no serial numbers.
    Rewritten,
    /// Rewritten, and with another DHCP client, TCP stack, TLS library and web server.
    Updated,
    /// Rewritten, and calling services of other names.
    OtherServices,
    /// Rewritten, and one protocol is never seen.
    Without(&'static str),
}

impl View {
    /// Name in reports.
    pub(crate) fn name(self) -> String {
        match self {
            Self::AsItCame => "as_it_came".to_owned(),
            Self::Rewritten => "rewritten".to_owned(),
            Self::Updated => "other_firmware".to_owned(),
            Self::OtherServices => "other_services".to_owned(),
            Self::Without(protocol) => format!("without_{protocol}"),
        }
    }

    /// What is seen of a device in this way. `seed` stands for one unit.
    pub(crate) fn of(self, evidence: &[Evidence], seed: u64) -> Vec<Evidence> {
        if self == Self::AsItCame {
            return evidence.to_vec();
        }
        let unit = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
        evidence
            .iter()
            .filter_map(|one| match part(one.kind) {
                Part::Identity => None,
                Part::Name => Some(Evidence::new(one.kind, format!("host-{unit:06x}"))),
                Part::System if self == Self::Updated => {
                    Some(Evidence::new(one.kind, format!("never seen {unit:06x}")))
                }
                Part::Service if self == Self::OtherServices => Some(Evidence::new(
                    one.kind,
                    format!("svc{}.cloud{unit:06x}.example", one.value.len()),
                )),
                _ if self == Self::Without(group(one.kind)) => None,
                _ => Some(one.clone()),
            })
            .collect()
    }
}

/// What changes a piece of evidence.
enum Part {
    /// Stands for one unit or its maker's address block.
    Identity,
    /// A name that somebody gave it.
    Name,
    /// Comes from the system below, which an update replaces.
    System,
    /// The name of a service that it calls.
    Service,
    /// What it does.
    Conduct,
}

fn part(kind: E) -> Part {
    match kind {
        E::MacVendor
        | E::DhcpClientId
        | E::DhcpSubnet
        | E::Dhcp6Duid
        | E::WsdEndpoint
        | E::RegisterSerial => Part::Identity,
        E::DhcpHostname
        | E::DhcpFqdn
        | E::Dhcp6Fqdn
        | E::MdnsName
        | E::MdnsInstance
        | E::LlmnrName
        | E::NbnsName
        | E::NtlmComputer
        | E::SnmpSysName
        | E::MqttClientId => Part::Name,
        E::DhcpParameters
        | E::DhcpOptions
        | E::DhcpVendorClass
        | E::TcpSyn
        | E::TcpSynAck
        | E::TlsJa4
        | E::TlsServer
        | E::SshServer
        | E::HttpServer
        | E::SsdpServer => Part::System,
        E::DnsQuery | E::TlsServerName | E::HttpHost => Part::Service,
        _ => Part::Conduct,
    }
}

/// The protocol of a kind of evidence.
pub(crate) fn group(kind: E) -> &'static str {
    let text = kind.as_str();
    text.split('.').next().unwrap_or(text)
}

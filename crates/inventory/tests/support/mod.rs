//! What the integration tests share: making observations and flows, and a hospital of them.
#![allow(dead_code, unreachable_pub, reason = "each test binary uses a part")]

use std::net::{IpAddr, Ipv4Addr};

use domain::conversation::{Opening, Protection, Volume};
use domain::net::{Mac, Party, Transport};
use domain::observation::{About, AddressSource, Asset, Fact, SourceKind};
use domain::{EvidenceKind, Flow, Observation, Sink, Source, SourceId, Timestamp};
use inventory::{Inventory, Knowledge, Options};

/// Something a sensor or a file says.
#[derive(Clone, Debug)]
pub enum Said {
    /// An observation.
    Observation(Observation),
    /// A flow report.
    Flow(Flow),
}

/// Sources that every inventory of the tests knows, in this order.
pub fn sources(inventory: &mut Inventory) {
    for (name, kind) in [
        ("mirror", SourceKind::Packets),
        ("leases", SourceKind::Leases),
        ("zeek", SourceKind::Zeek),
        ("register", SourceKind::Register),
    ] {
        inventory.sources().add(Source {
            name: name.into(),
            kind,
        });
    }
}

/// An inventory that has taken all of this.
pub fn taken<'a>(options: Options, said: impl IntoIterator<Item = &'a Said>) -> Inventory {
    let mut inventory = Inventory::new(Knowledge::hospital(), options);
    sources(&mut inventory);
    take(&mut inventory, said);
    inventory
}

/// Takes all of this.
pub fn take<'a>(inventory: &mut Inventory, said: impl IntoIterator<Item = &'a Said>) {
    for one in said {
        match one {
            Said::Observation(observation) => inventory.observe(observation.clone()),
            Said::Flow(flow) => inventory.flow(flow.clone()),
        }
    }
}

/// `secs` after a fixed instant.
pub fn at(secs: i64) -> Timestamp {
    Timestamp::from_millis(1_790_000_000_000 + secs * 1000)
}

/// The address `10.b.c.d`.
pub fn ten(b: u8, c: u8, d: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(10, b, c, d))
}

/// A party.
pub fn party(mac: Option<Mac>, addr: Option<IpAddr>) -> Party {
    Party {
        mac,
        addr,
        vlan: None,
    }
}

/// An observation.
pub fn about(secs: i64, source: u16, party: Party, asset: Option<Asset>, fact: Fact) -> Said {
    Said::Observation(Observation {
        at: at(secs),
        source: SourceId(source),
        about: About { party, asset },
        fact,
    })
}

/// Evidence.
pub fn says(secs: i64, source: u16, party: Party, kind: EvidenceKind, value: &str) -> Said {
    let fact = Fact::Evidence {
        kind,
        value: value.into(),
    };
    about(secs, source, party, None, fact)
}

/// An address.
pub fn holds(secs: i64, source: u16, party: Party, how: AddressSource, until: Option<i64>) -> Said {
    let fact = Fact::Address {
        how,
        until: until.map(at),
    };
    about(secs, source, party, None, fact)
}

/// A flow report of one packet each way.
pub fn flow(secs: i64, client: Party, server: Party, port: u16, service: Option<&str>) -> Said {
    Said::Flow(Flow {
        source: SourceId(0),
        first: at(secs),
        last: at(secs + 2),
        client,
        server,
        transport: Transport::Tcp,
        port,
        client_port: 45_000,
        opening: Opening::Seen,
        begins: true,
        service: service.map(Into::into),
        protection: Protection::Unknown,
        meanings: Vec::new(),
        server_name: None,
        sent: Volume {
            packets: 3,
            bytes: 300,
        },
        received: Volume {
            packets: 2,
            bytes: 900,
        },
    })
}

/// The MAC address of the `n`th device of a block.
pub fn mac(block: [u8; 3], n: u32) -> Mac {
    let [_, a, b, c] = n.to_be_bytes();
    Mac([block[0], block[1], block[2], a, b, c])
}

/// What an idle device of a hospital says of itself in a day: DHCP, ARP, names, a service, a few look-ups. Two thirds of the
/// texts are those of its model, one third its own.
pub fn idle_device(n: u32) -> Vec<Said> {
    use EvidenceKind as Kind;
    let [_, b, c, d] = n.to_be_bytes();
    let mac = Some(mac([0x00, 0x12, 0x21], n));
    let addr = Some(ten(b.wrapping_add(16), c, d));
    let link = party(mac, None);
    let host = party(mac, addr);
    let model = n % 40;
    let secs = i64::from(n % 5_000);
    let mut said = vec![
        about(secs, 0, link, None, Fact::Seen),
        about(secs, 0, host, None, Fact::Seen),
        holds(secs, 0, host, AddressSource::Arp, None),
        holds(secs, 0, host, AddressSource::Dhcp, Some(secs + 86_400)),
    ];
    for (kind, value) in [
        (Kind::DhcpHostname, format!("pump-{n:06}")),
        (Kind::DhcpVendorClass, format!("vendor class {model}")),
        (Kind::DhcpParameters, format!("1,3,6,15,{model}")),
        (Kind::DhcpOptions, format!("discover:53,61,50,55,{model}")),
        (Kind::DhcpClientId, format!("ff{n:010x}0001")),
    ] {
        said.push(says(secs, 0, link, kind, &value));
    }
    for (kind, value) in [
        (Kind::MdnsName, format!("pump-{n:06}")),
        (
            Kind::TcpSyn,
            format!("64:{}:mss,sok,ts,nop,ws:1460:7", 29_200 + model),
        ),
        (Kind::Serves, "tcp/4000".to_owned()),
        (Kind::Serves, "udp/161".to_owned()),
        (Kind::Uses, "udp/123".to_owned()),
        (Kind::DnsQuery, format!("server{model}.hospital.example")),
        (Kind::DnsQuery, "ntp.hospital.example".to_owned()),
        (
            Kind::SnmpSysDescr,
            format!("Model {model} firmware 4.{model}"),
        ),
        (Kind::SnmpSysName, format!("PUMP-{n:06}")),
    ] {
        said.push(says(secs + 5, 0, host, kind, &value));
    }
    said
}

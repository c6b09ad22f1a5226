use super::*;
use crate::evidence::Evidence;
use crate::identity::marks::{JoinKey, Mark};
use crate::options::Segment;
use domain::conversation::{Opening, Protection, Volume};
use domain::net::{Party, Transport};
use domain::observation::{About, AddressSource, Asset, Fact, SourceKind};
use domain::{
    Criticality, EvidenceKind, Flow, Observation, PersonId, Sink, Source, SourceId, Timestamp,
    UnitId,
};

mod people;

/// Knows three vendor classes and one maker, and takes packs of which it reads types by exact value.
#[derive(Clone, Debug, Default)]
struct Toy {
    local: Vec<(String, String)>,
}

impl Identify for Toy {
    fn identify(&self, evidence: &[Evidence]) -> Identification {
        let mut answer = Identification {
            abstained: true,
            ..Identification::default()
        };
        for (index, one) in evidence.iter().enumerate() {
            let says = match (one.kind, one.value.as_str()) {
                (EvidenceKind::DhcpVendorClass, "pump-os") => Some("infusion_pump"),
                (EvidenceKind::DhcpVendorClass, "MSFT 5.0") => Some("workstation"),
                (EvidenceKind::Confirmed, _) => None,
                (_, value) => self
                    .local
                    .iter()
                    .find(|(pattern, _)| pattern == value)
                    .map(|(_, kind)| kind.as_str()),
            };
            let Some(says) = says else { continue };
            match &answer.kind {
                None => {
                    answer.kind = Some(says.into());
                    answer.confidence = 0.9;
                    answer.abstained = false;
                    answer.criticality = Some(Criticality::Clinical);
                }
                Some(other) if other != says => {
                    answer.contradictions.push(crate::Contradiction {
                        about: "type".into(),
                        one: other.clone(),
                        other: says.into(),
                        one_rows: Vec::new(),
                        other_rows: vec![index],
                    });
                    answer.confidence = 0.5;
                }
                Some(_) => {}
            }
            answer.rows.push((index, says.into(), 3.0));
        }
        answer
    }

    fn mac_vendor(&self, mac: Mac) -> Option<SmolStr> {
        (mac.0[..3] == [0x00, 0x12, 0x21]).then(|| "B. Braun".into())
    }

    fn with_local(&self, packs: &[(&str, &str)]) -> Result<Arc<dyn Identify>, String> {
        let mut toy = self.clone();
        let between = |text: &str, start: &str, end: &str| -> Option<String> {
            let (_, rest) = text.split_once(start)?;
            Some(rest.split_once(end)?.0.to_owned())
        };
        for (_, text) in packs {
            for one in text.split("<fingerprint ").skip(1) {
                let value = between(one, "<example>", "</example>").ok_or("no example")?;
                let kind = between(one, "name=\"hw.device\" value=\"", "\"").ok_or("no type")?;
                toy.local.push((value, kind));
            }
        }
        Ok(Arc::new(toy))
    }
}

struct Bench {
    inventory: Inventory,
    source: SourceId,
}

fn addr(text: &str) -> Option<IpAddr> {
    Some(text.parse().expect("an address"))
}

fn party(m: &str, a: &str) -> Party {
    Party {
        mac: (!m.is_empty()).then(|| m.parse().expect("a MAC")),
        addr: (!a.is_empty()).then(|| a.parse().expect("an address")),
        vlan: None,
    }
}

fn at(secs: i64) -> Timestamp {
    Timestamp::from_millis(1_790_000_000_000 + secs * 1000)
}

impl Bench {
    fn new() -> Self {
        Self::with(Options::default())
    }

    fn with(options: Options) -> Self {
        let mut inventory = Inventory::new(Arc::new(Toy::default()), options);
        let source = inventory.sources().add(Source {
            name: "mirror".into(),
            kind: SourceKind::Packets,
        });
        Self { inventory, source }
    }

    fn tell(&mut self, secs: i64, about: impl Into<About>, fact: Fact) {
        self.inventory.observe(Observation {
            at: at(secs),
            source: self.source,
            about: about.into(),
            fact,
        });
    }

    fn seen(&mut self, secs: i64, m: &str, a: &str) {
        self.tell(secs, party(m, a), Fact::Seen);
        if !m.is_empty() && !a.is_empty() {
            let how = AddressSource::Packet;
            self.tell(secs, party(m, a), Fact::Address { how, until: None });
        }
    }

    fn arp(&mut self, secs: i64, m: &str, a: &str) {
        let how = AddressSource::Arp;
        self.tell(secs, party(m, a), Fact::Address { how, until: None });
    }

    fn lease(&mut self, secs: i64, m: &str, a: &str, until: i64) {
        let how = AddressSource::Dhcp;
        let until = Some(at(until));
        self.tell(secs, party(m, a), Fact::Address { how, until });
    }

    fn says(&mut self, secs: i64, m: &str, a: &str, kind: EvidenceKind, value: &str) {
        let value = value.into();
        self.tell(secs, party(m, a), Fact::Evidence { kind, value });
    }

    fn flow(&mut self, secs: i64, client: Party, server: Party, port: u16) {
        self.flow_named(secs, client, server, port, None);
    }

    fn flow_named(
        &mut self,
        secs: i64,
        client: Party,
        server: Party,
        port: u16,
        name: Option<&str>,
    ) {
        self.inventory.flow(Flow {
            source: self.source,
            first: at(secs),
            last: at(secs + 1),
            client,
            server,
            transport: Transport::Tcp,
            port,
            client_port: 40_000,
            opening: Opening::Seen,
            begins: true,
            service: None,
            protection: Protection::Unknown,
            meanings: Vec::new(),
            server_name: name.map(SmolStr::new),
            sent: Volume {
                packets: 1,
                bytes: 60,
            },
            received: Volume {
                packets: 1,
                bytes: 60,
            },
        });
    }

    fn ids(&self) -> Vec<String> {
        self.inventory
            .devices()
            .map(|d| d.id.as_str().to_owned())
            .collect()
    }

    fn device(&self, id: &str) -> DeviceProfile {
        self.inventory
            .device(&DeviceId::from(id))
            .unwrap_or_else(|| panic!("no {id} among {:?}", self.ids()))
    }

    fn values(&self, id: &str) -> Vec<String> {
        let rows = self.device(id).evidence;
        rows.iter().map(|row| row.value.to_string()).collect()
    }

    fn marks(&self, id: &str) -> Vec<Mark> {
        let detail = self.inventory.detail(&DeviceId::from(id));
        detail.expect("a device").marks
    }

    fn ends(&self) -> Vec<(String, String)> {
        self.inventory
            .conversations()
            .map(|c| (c.client.as_str().to_owned(), c.server.as_str().to_owned()))
            .collect()
    }
}

const PUMP: &str = "00:12:21:00:00:01";
const PC: &str = "00:1a:2b:00:00:02";
const ROUTER: &str = "00:00:0c:00:00:03";

#[test]
fn a_device_is_listed_from_its_first_frame() {
    let mut bench = Bench::new();
    bench.seen(0, PUMP, "");
    assert_eq!(bench.ids(), ["mac-001221000001"]);
    let device = bench.device("mac-001221000001");
    assert_eq!(
        device.criticality,
        Criticality::LifeCritical,
        "unknown counts so"
    );
    assert_eq!(bench.values("mac-001221000001"), ["B. Braun"]);
}

#[test]
fn groups_broadcast_and_nobody_are_no_devices() {
    let mut bench = Bench::new();
    bench.seen(0, "ff:ff:ff:ff:ff:ff", "255.255.255.255");
    bench.seen(0, "01:00:5e:00:00:fb", "224.0.0.251");
    bench.seen(0, "", "0.0.0.0");
    bench.seen(0, "", "127.0.0.1");
    assert_eq!(bench.inventory.device_count(), 0);
    bench.flow(
        1,
        party(PC, "10.0.0.2"),
        party("ff:ff:ff:ff:ff:ff", "10.0.0.255"),
        137,
    );
    bench.flow(
        1,
        party(PC, "10.0.0.2"),
        party("01:00:5e:00:00:fb", "224.0.0.251"),
        5353,
    );
    assert_eq!(bench.ids(), ["mac-001a2b000002"]);
    let servers: Vec<String> = bench.ends().into_iter().map(|(_, server)| server).collect();
    assert_eq!(servers, [BROADCAST_ID, "multicast:224.0.0.251"]);
}

const BROADCAST_ID: &str = crate::conversations::BROADCAST;

#[test]
fn an_address_change_is_no_new_device() {
    let mut bench = Bench::new();
    bench.lease(0, PC, "10.0.0.7", 3600);
    bench.says(1, PC, "10.0.0.7", EvidenceKind::HttpUserAgent, "agent");
    bench.lease(5000, PC, "10.0.0.9", 9000);
    bench.seen(5001, PC, "10.0.0.9");
    assert_eq!(bench.ids(), ["mac-001a2b000002"]);
    assert_eq!(
        bench.device("mac-001a2b000002").addresses,
        [addr("10.0.0.9").expect("an address")]
    );
}

#[test]
fn a_lease_used_again_moves_the_address_and_nothing_else() {
    let mut bench = Bench::new();
    bench.lease(0, PUMP, "10.0.0.7", 3600);
    bench.says(
        10,
        PUMP,
        "10.0.0.7",
        EvidenceKind::DhcpVendorClass,
        "pump-os",
    );
    bench.says(20, "", "10.0.0.7", EvidenceKind::HttpServer, "Boa");
    bench.flow(30, party("", "10.0.0.7"), party("", "10.0.9.1"), 443);
    bench.lease(10_000, PC, "10.0.0.7", 20_000);
    bench.says(
        10_010,
        PC,
        "10.0.0.7",
        EvidenceKind::DhcpVendorClass,
        "MSFT 5.0",
    );
    bench.says(10_020, "", "10.0.0.7", EvidenceKind::HttpServer, "IIS");
    bench.flow(10_030, party("", "10.0.0.7"), party("", "10.0.9.1"), 443);

    let (pump, pc) = ("mac-001221000001", "mac-001a2b000002");
    assert_eq!(bench.values(pump), ["B. Braun", "pump-os", "Boa"]);
    assert_eq!(bench.values(pc), ["MSFT 5.0", "IIS"]);
    assert_eq!(bench.device(pump).addresses, [] as [IpAddr; 0]);
    assert_eq!(bench.device(pc).addresses.len(), 1);
    assert_eq!(bench.device(pump).kind.as_deref(), Some("infusion_pump"));
    assert_eq!(bench.device(pc).kind.as_deref(), Some("workstation"));
    let clients: Vec<String> = bench.ends().into_iter().map(|(client, _)| client).collect();
    assert_eq!(clients, [pump, pc], "history stays with whoever made it");
}

#[test]
fn what_comes_before_the_leases_are_read_is_divided_alike() {
    let mut first = Bench::new();
    let mut last = Bench::new();
    for (bench, leases_first) in [(&mut first, true), (&mut last, false)] {
        let leases = |bench: &mut Bench| {
            bench.lease(0, PUMP, "10.0.0.7", 3600);
            bench.lease(10_000, PC, "10.0.0.7", 20_000);
        };
        if leases_first {
            leases(bench);
        }
        bench.says(20, "", "10.0.0.7", EvidenceKind::HttpServer, "both");
        bench.says(30, "", "10.0.0.7", EvidenceKind::HttpServer, "Boa");
        bench.says(10_020, "", "10.0.0.7", EvidenceKind::HttpServer, "both");
        bench.says(5_000, "", "10.0.0.7", EvidenceKind::HttpServer, "between");
        if !leases_first {
            leases(bench);
        }
    }
    assert_eq!(
        first.values("mac-001221000001"),
        ["B. Braun", "Boa", "both"]
    );
    assert_eq!(first.values("mac-001a2b000002"), ["both"]);
    assert_eq!(
        first.values("ip-10.0.0.7"),
        ["between"],
        "nobody held it then"
    );
    let all = |bench: &Bench| bench.inventory.devices().collect::<Vec<_>>();
    assert_eq!(all(&first), all(&last));
}

#[test]
fn what_a_router_carries_is_not_the_router() {
    let mut bench = Bench::new();
    bench.arp(0, ROUTER, "10.1.0.1");
    bench.says(1, ROUTER, "10.9.0.5", EvidenceKind::HttpUserAgent, "tablet");
    bench.seen(1, ROUTER, "10.9.0.5");
    bench.says(2, ROUTER, "10.9.0.6", EvidenceKind::SshServer, "dropbear");
    bench.seen(3, ROUTER, "8.8.8.8");
    bench.says(3, ROUTER, "8.8.8.8", EvidenceKind::TlsServer, "1.3 1301");
    bench.says(4, ROUTER, "", EvidenceKind::CdpPlatform, "C9300");
    assert_eq!(
        bench.ids(),
        ["mac-00000c000003", "ip-10.9.0.5", "ip-10.9.0.6"]
    );
    assert_eq!(bench.values("mac-00000c000003"), ["C9300"]);
    assert_eq!(bench.values("ip-10.9.0.5"), ["tablet"]);
    assert_eq!(bench.marks("mac-00000c000003"), [Mark::Router]);
    assert_eq!(bench.marks("ip-10.9.0.5"), [Mark::AddressOnly]);
    assert_eq!(bench.device("ip-10.9.0.5").macs, []);
}

#[test]
fn a_router_recognised_late_keeps_nothing_of_others() {
    let mut bench = Bench::new();
    bench.says(1, ROUTER, "10.9.0.5", EvidenceKind::HttpUserAgent, "tablet");
    assert_eq!(
        bench.ids(),
        ["mac-00000c000003"],
        "so far it could be its own"
    );
    bench.says(2, ROUTER, "10.9.0.6", EvidenceKind::HttpUserAgent, "phone");
    assert_eq!(
        bench.ids(),
        ["mac-00000c000003", "ip-10.9.0.5", "ip-10.9.0.6"]
    );
    assert_eq!(bench.values("mac-00000c000003"), [""; 0]);
    bench.arp(3, PC, "10.9.0.6");
    assert_eq!(
        bench.ids(),
        ["mac-00000c000003", "mac-001a2b000002", "ip-10.9.0.5"]
    );
    assert_eq!(
        bench.values("mac-001a2b000002"),
        ["phone"],
        "seen on both sides of the router"
    );
}

#[test]
fn a_host_that_answers_arp_for_others_owns_none_of_them() {
    let mut bench = Bench::new();
    for n in 0..40 {
        bench.arp(n, ROUTER, &format!("10.3.0.{n}"));
    }
    bench.says(50, "", "10.3.0.7", EvidenceKind::SshServer, "dropbear");
    assert!(bench.marks("mac-00000c000003").contains(&Mark::ProxyArp));
    assert_eq!(bench.values("mac-00000c000003"), [""; 0]);
    assert_eq!(bench.values("ip-10.3.0.7"), ["dropbear"]);
}

#[test]
fn a_virtual_router_is_a_device_of_its_own() {
    let mut bench = Bench::new();
    bench.arp(0, "00:00:5e:00:01:0a", "10.1.0.254");
    bench.arp(0, ROUTER, "10.1.0.1");
    bench.seen(1, "00:00:5e:00:01:0a", "10.9.0.5");
    assert_eq!(
        bench.ids(),
        ["mac-00000c000003", "mac-00005e00010a", "ip-10.9.0.5"]
    );
    assert!(
        bench
            .marks("mac-00005e00010a")
            .contains(&Mark::VirtualRouter)
    );
    assert_eq!(bench.values("mac-00005e00010a"), ["VRRP virtual router"]);
}

#[test]
fn outside_addresses_are_remote_parties() {
    let mut bench = Bench::new();
    bench.arp(0, PC, "10.0.0.2");
    bench.arp(0, ROUTER, "10.0.0.1");
    bench.flow_named(
        1,
        party(PC, "10.0.0.2"),
        party(ROUTER, "203.0.113.5"),
        443,
        Some("ehr.example"),
    );
    bench.flow(2, party(PC, "10.0.0.2"), party(ROUTER, "203.0.113.9"), 443);
    bench.flow(2, party(PC, "10.0.0.2"), party(ROUTER, "203.0.113.10"), 443);
    let servers: Vec<String> = bench.ends().into_iter().map(|(_, server)| server).collect();
    assert_eq!(servers, [INTERNET_ID, "internet:ehr.example"]);
    assert_eq!(bench.inventory.device_count(), 2);
    let own = Options {
        own_networks: vec!["203.0.113.0/24".parse().expect("a network")],
        ..Options::default()
    };
    let mut bench = Bench::with(own);
    bench.flow_named(
        1,
        party("", "10.0.0.2"),
        party("", "203.0.113.5"),
        443,
        Some("ehr.example"),
    );
    assert_eq!(
        bench.ends(),
        [("ip-10.0.0.2".to_owned(), "ip-203.0.113.5".to_owned())]
    );
}

const INTERNET_ID: &str = crate::conversations::INTERNET;

#[test]
fn a_public_address_that_nobody_else_shares_may_be_its_own() {
    let mut bench = Bench::new();
    bench.seen(0, PC, "198.51.100.7");
    bench.says(1, PC, "198.51.100.7", EvidenceKind::HttpUserAgent, "agent");
    assert_eq!(bench.values("mac-001a2b000002"), ["agent"]);
    bench.seen(2, PC, "198.51.100.8");
    assert_eq!(
        bench.values("mac-001a2b000002"),
        [""; 0],
        "a router after all"
    );
}

#[test]
fn what_was_asked_and_never_answered_is_no_device() {
    let mut bench = Bench::new();
    bench.arp(0, PC, "10.0.0.2");
    for n in 0..200_u8 {
        bench.inventory.flow(Flow {
            received: Volume::default(),
            server: party("", &format!("10.0.7.{n}")),
            ..flow_of(bench.source, PC, "10.0.0.2")
        });
    }
    assert_eq!(bench.ids(), ["mac-001a2b000002"]);
    assert_eq!(bench.ends().len(), 200, "the conversations are kept");
}

fn flow_of(source: SourceId, m: &str, a: &str) -> Flow {
    Flow {
        source,
        first: at(1),
        last: at(1),
        client: party(m, a),
        server: party("", "10.0.0.9"),
        transport: Transport::Tcp,
        port: 445,
        client_port: 40_000,
        opening: Opening::Seen,
        begins: true,
        service: None,
        protection: Protection::Unknown,
        meanings: Vec::new(),
        server_name: None,
        sent: Volume {
            packets: 1,
            bytes: 60,
        },
        received: Volume {
            packets: 1,
            bytes: 60,
        },
    }
}

#[test]
fn randomised_mac_addresses_that_come_one_after_another_are_one_device() {
    let mut bench = Bench::new();
    let macs = [
        "da:00:00:00:00:09",
        "d6:00:00:00:00:01",
        "de:00:00:00:00:05",
    ];
    for (n, m) in (0_i64..).zip(macs) {
        bench.says(
            n * 1000,
            m,
            "",
            EvidenceKind::DhcpHostname,
            "Annes-Tablet-2024",
        );
        bench.seen(n * 1000 + 500, m, "");
    }
    assert_eq!(bench.ids(), ["mac-da0000000009"], "known by the first");
    let detail = bench
        .inventory
        .detail(&DeviceId::from("mac-da0000000009"))
        .expect("a device");
    assert_eq!(detail.profile.macs.len(), 3);
    assert!(detail.marks.contains(&Mark::RandomisedMac));
    assert!(detail.joins.iter().all(|join| join.by == JoinKey::Name));
    assert_eq!(detail.joins.len(), 2);
    // A second one of that name at the same time is another device.
    bench.says(
        2100,
        "d2:00:00:00:00:07",
        "",
        EvidenceKind::DhcpHostname,
        "Annes-Tablet-2024",
    );
    assert_eq!(bench.ids().len(), 2);
    assert_eq!(
        bench.device("mac-d60000000001").id.as_str(),
        "mac-da0000000009"
    );
}

#[test]
fn clones_of_one_image_stay_apart() {
    let mut bench = Bench::new();
    for m in ["52:54:00:00:00:01", "52:54:00:00:00:02"] {
        bench.says(0, m, "", EvidenceKind::Dhcp6Duid, "00020000ab11aabbccdd");
        bench.says(900, m, "", EvidenceKind::DhcpHostname, "debian");
    }
    assert_eq!(bench.ids().len(), 2);
    assert!(
        bench
            .marks("mac-525400000001")
            .contains(&Mark::VirtualMachine)
    );
}

#[test]
fn interfaces_of_one_system_are_joined_by_what_is_unique() {
    let mut bench = Bench::new();
    let uuid = "urn:uuid:4509f320-a4f2-11e8-9000-001122334455";
    bench.says(0, PC, "10.0.0.2", EvidenceKind::WsdEndpoint, uuid);
    bench.says(
        0,
        "00:1a:2b:00:00:44",
        "10.4.0.2",
        EvidenceKind::WsdEndpoint,
        uuid,
    );
    bench.says(
        0,
        PUMP,
        "10.0.0.5",
        EvidenceKind::LldpInventory,
        "serial=123456789",
    );
    bench.says(
        0,
        ROUTER,
        "10.0.0.6",
        EvidenceKind::LldpInventory,
        "serial=123456789",
    );
    assert_eq!(
        bench.ids(),
        ["mac-00000c000003", "mac-001221000001", "mac-001a2b000002"]
    );
    assert_eq!(bench.device("mac-001a2b000002").macs.len(), 2);
}

#[test]
fn assets_behind_a_gateway_are_devices_of_their_own() {
    let mut bench = Bench::new();
    for n in 0..3_u64 {
        let about = About {
            party: party(PC, "10.0.0.2"),
            asset: Some(Asset::Eui64(0x0012_2118_3900_0001 + n)),
        };
        let fact = Fact::Evidence {
            kind: EvidenceKind::Hl7Application,
            value: "PAT_DEVICE_BBRAUN".into(),
        };
        bench.tell(5, about, fact);
    }
    assert_eq!(bench.ids().len(), 4);
    let pump = bench.device("eui-0012211839000001");
    assert_eq!(pump.behind, Some(DeviceId::from("mac-001a2b000002")));
    assert_eq!(
        bench.values("mac-001a2b000002"),
        [""; 0],
        "nothing of theirs is its"
    );
    assert!(bench.marks("mac-001a2b000002").contains(&Mark::Gateway));
    let detail = bench
        .inventory
        .detail(&DeviceId::from("mac-001a2b000002"))
        .expect("a device");
    assert_eq!(detail.carries.len(), 3);
    // An identifier made of a MAC address is that device's.
    bench.arp(6, "00:09:5c:12:34:56", "10.0.0.9");
    let about = About {
        party: party(PC, "10.0.0.2"),
        asset: Some(Asset::Eui64(0x0009_5cff_fe12_3456)),
    };
    bench.tell(7, about, Fact::Seen);
    assert_eq!(
        bench.device("eui-00095cfffe123456").id.as_str(),
        "mac-00095c123456"
    );
}

#[test]
fn modbus_units_of_two_gateways_stay_apart() {
    let mut bench = Bench::new();
    for a in ["10.0.0.2", "10.0.0.3"] {
        let about = About {
            party: party("", a),
            asset: Some(Asset::ModbusUnit(1)),
        };
        bench.tell(0, about, Fact::Seen);
    }
    assert_eq!(
        bench.ids(),
        [
            "modbus-1-at-10.0.0.2",
            "modbus-1-at-10.0.0.3",
            "ip-10.0.0.2",
            "ip-10.0.0.3"
        ]
    );
}

#[test]
fn privacy_addresses_are_their_host_s() {
    let mut bench = Bench::new();
    let how = AddressSource::NeighbourDiscovery;
    bench.tell(
        0,
        party(PC, "fe80::1234"),
        Fact::Address { how, until: None },
    );
    bench.tell(
        0,
        party(PC, "fd00:1::aaaa"),
        Fact::Address { how, until: None },
    );
    bench.seen(1, PC, "fd00:1::bbbb:1");
    bench.says(2, PC, "fd00:1::cccc:2", EvidenceKind::TlsJa4, "t13d");
    bench.says(
        3,
        "",
        "fd00:9::21a:2bff:fe00:2",
        EvidenceKind::SshServer,
        "x",
    );
    assert_eq!(bench.ids(), ["mac-001a2b000002"]);
    assert_eq!(bench.values("mac-001a2b000002"), ["t13d", "x"]);
}

#[test]
fn several_hosts_behind_one_address_are_marked() {
    let mut bench = Bench::new();
    let agents = [
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64) Firefox",
        "Mozilla/5.0 (Linux; Android 14; Pixel) Chrome",
    ];
    for agent in agents {
        bench.says(0, PC, "10.0.0.2", EvidenceKind::HttpUserAgent, agent);
    }
    assert!(!bench.marks("mac-001a2b000002").contains(&Mark::Nat));
    bench.says(
        1,
        PC,
        "10.0.0.2",
        EvidenceKind::TcpSyn,
        "128:64240:mss:1460:8",
    );
    bench.says(
        1,
        PC,
        "10.0.0.2",
        EvidenceKind::TcpSyn,
        "64:65535:mss:1460:8",
    );
    assert!(bench.marks("mac-001a2b000002").contains(&Mark::Nat));
    assert!(bench.device("mac-001a2b000002").contradictory);
}

#[test]
fn two_who_claim_one_address_at_once_are_marked() {
    let mut bench = Bench::new();
    for secs in [0, 100, 200] {
        bench.arp(secs, PC, "10.0.0.2");
        bench.arp(secs + 10, PUMP, "10.0.0.2");
    }
    assert!(
        bench
            .marks("mac-001a2b000002")
            .contains(&Mark::AddressConflict)
    );
    assert!(
        bench
            .marks("mac-001221000001")
            .contains(&Mark::AddressConflict)
    );
}

#[test]
fn a_register_s_row_joins_what_it_names_and_is_no_sighting() {
    let mut bench = Bench::new();
    let register = bench.inventory.sources().add(Source {
        name: "cmdb.csv".into(),
        kind: SourceKind::Register,
    });
    let tell = |bench: &mut Bench, p: Party, id: &str, kind, value: &str| {
        bench.inventory.observe(Observation {
            at: at(9_999),
            source: register,
            about: About {
                party: p,
                asset: Some(Asset::Register(id.into())),
            },
            fact: Fact::Evidence {
                kind,
                value: value.into(),
            },
        });
    };
    bench.arp(0, PUMP, "10.0.0.5");
    tell(
        &mut bench,
        party(PUMP, ""),
        "7",
        EvidenceKind::RegisterType,
        "Infusion pump",
    );
    tell(
        &mut bench,
        party(PUMP, ""),
        "7",
        EvidenceKind::RegisterPlace,
        "ICU 2",
    );
    tell(
        &mut bench,
        party("", ""),
        "8",
        EvidenceKind::RegisterName,
        "ws-icu-0815",
    );
    tell(
        &mut bench,
        party("", ""),
        "9",
        EvidenceKind::RegisterName,
        "ws-icu-0816",
    );
    bench.says(5, PC, "10.0.0.2", EvidenceKind::DhcpHostname, "WS-ICU-0815");
    assert_eq!(
        bench.ids(),
        ["mac-001221000001", "mac-001a2b000002", "register-9"]
    );
    let pump = bench.device("mac-001221000001");
    assert_eq!(pump.unit, Some(UnitId::from("ICU 2")));
    assert_eq!(pump.last_seen, at(0), "a register proves no presence");
    assert_eq!(bench.marks("register-9"), [Mark::NeverSeen]);
    assert_eq!(bench.inventory.find("ws-icu-0815").len(), 1);
}

#[test]
fn a_stale_register_does_not_take_an_address_away() {
    let mut bench = Bench::new();
    let register = bench.inventory.sources().add(Source {
        name: "cmdb.csv".into(),
        kind: SourceKind::Register,
    });
    bench.arp(0, PC, "10.0.0.2");
    bench.inventory.observe(Observation {
        at: at(500),
        source: register,
        about: party(PUMP, "10.0.0.2").into(),
        fact: Fact::Address {
            how: AddressSource::Register,
            until: None,
        },
    });
    bench.says(600, "", "10.0.0.2", EvidenceKind::SshServer, "x");
    assert_eq!(bench.values("mac-001a2b000002"), ["x"]);
}

#[test]
fn segments_come_from_names_vlans_masks_or_guesses() {
    let mut bench = Bench::with(Options {
        segments: vec![Segment {
            network: "10.7.0.0/16".parse().expect("a network"),
            name: Some("theatre".into()),
            unit: Some(UnitId::from("OR")),
        }],
        ..Options::default()
    });
    let with_vlan = Party {
        vlan: Some(120),
        ..party(PUMP, "10.0.0.5")
    };
    bench.tell(0, with_vlan, Fact::Seen);
    bench.arp(0, PC, "10.0.0.6");
    bench.arp(0, ROUTER, "10.7.1.1");
    bench.arp(0, "00:1a:2b:00:00:77", "10.2.1.1");
    bench.says(
        0,
        "00:1a:2b:00:00:77",
        "10.2.1.1",
        EvidenceKind::DhcpSubnet,
        "10.2.0.0/22",
    );
    let segment = |id: &str| bench.device(id).segment.map(|s| s.to_string());
    assert_eq!(segment("mac-001221000001").as_deref(), Some("vlan 120"));
    assert_eq!(segment("mac-001a2b000002").as_deref(), Some("10.0.0.0/24"));
    assert_eq!(segment("mac-00000c000003").as_deref(), Some("theatre"));
    assert_eq!(segment("mac-001a2b000077").as_deref(), Some("10.2.0.0/22"));
    assert_eq!(
        bench.device("mac-00000c000003").unit,
        Some(UnitId::from("OR"))
    );
}

//! What a sensor, a log or an export says about a device: the vocabulary between `sense` and `inventory`.
//!
//! INVARIANT: nothing here holds anything about a patient. Parsers take device facts only.

use std::fmt;

use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use crate::Timestamp;
use crate::conversation::Flow;
use crate::net::Party;

/// Which source said it: an index into the list of [`Source`]s that the program keeps.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct SourceId(pub u16);

/// A source of observations.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// Its name for people: a file, an interface, a sensor.
    pub name: SmolStr,
    /// What kind of source it is.
    pub kind: SourceKind,
}

/// Kinds of sources, from those that see traffic to those that are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SourceKind {
    /// Packets: a capture file or an interface.
    Packets,
    /// Flow records: NetFlow, IPFIX, sFlow.
    FlowRecords,
    /// Zeek's logs.
    Zeek,
    /// A DHCP server's leases.
    Leases,
    /// An ARP or neighbour table.
    Neighbours,
    /// A scan somebody else made (Nmap).
    Scan,
    /// A register kept by people: CMDB, CMMS, an export of endpoint protection.
    Register,
    /// The access gateway's own connections.
    Gateway,
}

macro_rules! evidence_kinds {
    ($($(#[$meta:meta])* $name:ident => $text:literal,)*) => {
        /// What kind of evidence a value is. The text form is stable: fingerprint packs, ledgers and exports name it.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum EvidenceKind {
            $($(#[$meta])* $name,)*
        }

        impl EvidenceKind {
            /// Every kind.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// Its stable text.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// The kind that `text` names.
            pub fn parse(text: &str) -> Option<Self> {
                match text { $($text => Some(Self::$name),)* _ => None }
            }
        }
    };
}

evidence_kinds! {
    /// Vendor of the MAC address block (IEEE MA-L, MA-M, MA-S). Derived by the inventory, not by a sensor.
    MacVendor => "mac.vendor",
    /// DHCPv4 option 12.
    DhcpHostname => "dhcp.hostname",
    /// DHCPv4 option 81.
    DhcpFqdn => "dhcp.fqdn",
    /// DHCPv4 option 60.
    DhcpVendorClass => "dhcp.vendor_class",
    /// DHCPv4 option 77.
    DhcpUserClass => "dhcp.user_class",
    /// DHCPv4 option 55, in order: `1,3,6,15`.
    DhcpParameters => "dhcp.parameters",
    /// The codes of all DHCPv4 options in order, with the message type in front: `discover:53,61,50,55`.
    DhcpOptions => "dhcp.options",
    /// DHCPv4 option 61, hexadecimal.
    DhcpClientId => "dhcp.client_id",
    /// It answers as a DHCP server: `v4` or `v6`.
    DhcpServer => "dhcp.server",
    /// Network in which a DHCP server gave it its address, from the address and option 1: `10.2.0.0/22`.
    DhcpSubnet => "dhcp.subnet",
    /// DHCPv6 option 16: enterprise number and text.
    Dhcp6VendorClass => "dhcp6.vendor_class",
    /// DHCPv6 option 6, in order.
    Dhcp6Parameters => "dhcp6.parameters",
    /// DHCPv6 option 39.
    Dhcp6Fqdn => "dhcp6.fqdn",
    /// DHCPv6 client DUID, hexadecimal.
    Dhcp6Duid => "dhcp6.duid",
    /// A name looked up over unicast DNS, lower case.
    DnsQuery => "dns.query",
    /// It answers DNS queries: `authoritative` or `recursive`.
    DnsServer => "dns.server",
    /// The name that reverse DNS gives its address, lower case, as a scan or a table looked it up.
    DnsName => "dns.name",
    /// Answer to `version.bind`.
    DnsVersionBind => "dns.version_bind",
    /// A service type offered over mDNS, as `_ipp._tcp`.
    MdnsService => "mdns.service",
    /// Its own name over mDNS, without `.local`.
    MdnsName => "mdns.name",
    /// Instance name of a service over mDNS.
    MdnsInstance => "mdns.instance",
    /// A TXT pair over mDNS that describes the device, as `md=HomePod` (`ty`, `model`, `product`, `usb_MFG`, …).
    MdnsTxt => "mdns.txt",
    /// A service type it asks for over mDNS.
    MdnsQuery => "mdns.query",
    /// Its name over LLMNR.
    LlmnrName => "llmnr.name",
    /// Its name over NetBIOS, with the suffix: `PACS01<20>`.
    NbnsName => "nbns.name",
    /// `SERVER` of SSDP.
    SsdpServer => "ssdp.server",
    /// `NT`, `ST` or `USN` type it announces over SSDP.
    SsdpType => "ssdp.type",
    /// What it searches for over SSDP.
    SsdpSearch => "ssdp.search",
    /// `USER-AGENT` or another describing header of SSDP.
    SsdpUserAgent => "ssdp.user_agent",
    /// An element of a UPnP description: `manufacturer=…`, `modelName=…`.
    UpnpDescription => "upnp.description",
    /// A type in WS-Discovery, as `dpws:Device` with its local name.
    WsdType => "wsd.type",
    /// A type it probes for in WS-Discovery.
    WsdProbe => "wsd.probe",
    /// A scope in WS-Discovery.
    WsdScope => "wsd.scope",
    /// Endpoint reference in WS-Discovery.
    WsdEndpoint => "wsd.endpoint",
    /// DPWS ThisModel or ThisDevice: `Manufacturer=…`, `ModelName=…`, `FriendlyName=…`, `FirmwareVersion=…`.
    WsdDescription => "wsd.description",
    /// IEEE 11073 SDC meta data of the medical device: `Manufacturer=…`, `ModelName=…`, `ModelNumber=…`, `Udi=…`.
    SdcDevice => "sdc.device",
    /// LLDP system name.
    LldpName => "lldp.name",
    /// LLDP system description.
    LldpDescription => "lldp.description",
    /// LLDP enabled capabilities, as `bridge,router`.
    LldpCapabilities => "lldp.capabilities",
    /// LLDP-MED inventory: `manufacturer=…`, `model=…`, `firmware=…`, `serial=…`.
    LldpInventory => "lldp.inventory",
    /// CDP platform.
    CdpPlatform => "cdp.platform",
    /// CDP software version.
    CdpVersion => "cdp.version",
    /// CDP device identifier.
    CdpName => "cdp.name",
    /// CDP capabilities.
    CdpCapabilities => "cdp.capabilities",
    /// SNMP sysDescr.0.
    SnmpSysDescr => "snmp.sys_descr",
    /// SNMP sysObjectID.0, dotted.
    SnmpSysObjectId => "snmp.sys_object_id",
    /// SNMP sysName.0.
    SnmpSysName => "snmp.sys_name",
    /// What an SNMP agent answers of its chassis or its printer: `manufacturer=…`, `model=…`, `serial=…`,
    /// `description=…`, `firmware=…`, `software=…` (RFC 6933, RFC 2790, RFC 3805).
    SnmpEntity => "snmp.entity",
    /// Enterprise number in its SNMPv3 engine identifier (RFC 3411).
    SnmpEngine => "snmp.engine",
    /// It speaks SNMP as `agent` or `manager`.
    SnmpRole => "snmp.role",
    /// It serves time: the stratum.
    NtpServer => "ntp.server",
    /// HTTP User-Agent.
    HttpUserAgent => "http.user_agent",
    /// HTTP Server.
    HttpServer => "http.server",
    /// Title of a page it serves.
    HttpTitle => "http.title",
    /// Realm it asks a password for.
    HttpRealm => "http.realm",
    /// Host it asks for over cleartext HTTP.
    HttpHost => "http.host",
    /// JA4 of its TLS ClientHello (FoxIO, BSD-3 part).
    TlsJa4 => "tls.ja4",
    /// Server name it asks for over TLS.
    TlsServerName => "tls.server_name",
    /// Subject of the certificate it presents (RFC 4514 text).
    TlsSubject => "tls.subject",
    /// Issuer of the certificate it presents (RFC 4514 text).
    TlsIssuer => "tls.issuer",
    /// Version and cipher suite it chose as a server: `1.2 c02f`.
    TlsServer => "tls.server",
    /// SSH identification string as a client.
    SshClient => "ssh.client",
    /// SSH identification string as a server.
    SshServer => "ssh.server",
    /// Client name in RDP's basic settings exchange.
    RdpClientName => "rdp.client_name",
    /// Client build in RDP's basic settings exchange.
    RdpClientBuild => "rdp.client_build",
    /// SMB1 native operating system.
    SmbNativeOs => "smb.native_os",
    /// SMB1 native LAN manager.
    SmbNativeLm => "smb.native_lm",
    /// Highest SMB dialect it chose or offered, as `server 3.1.1`.
    SmbDialect => "smb.dialect",
    /// Computer name in NTLM.
    NtlmComputer => "ntlm.computer",
    /// Domain in NTLM.
    NtlmDomain => "ntlm.domain",
    /// Windows version in NTLM, as `10.0.19041`.
    NtlmVersion => "ntlm.version",
    /// IPP attribute: `printer-make-and-model=…`, `printer-device-id=…`.
    IppPrinter => "ipp.printer",
    /// RTSP Server.
    RtspServer => "rtsp.server",
    /// RTSP User-Agent.
    RtspUserAgent => "rtsp.user_agent",
    /// SIP User-Agent or Server.
    SipUserAgent => "sip.user_agent",
    /// FTP greeting.
    FtpBanner => "ftp.banner",
    /// Telnet greeting.
    TelnetBanner => "telnet.banner",
    /// SMTP greeting.
    SmtpBanner => "smtp.banner",
    /// MQTT client identifier.
    MqttClientId => "mqtt.client_id",
    /// It is an MQTT broker: protocol version.
    MqttBroker => "mqtt.broker",
    /// DICOM application entity title it uses.
    DicomAeTitle => "dicom.ae_title",
    /// DICOM implementation class UID (names the toolkit, seldom the maker).
    DicomImplementationClass => "dicom.implementation_class",
    /// DICOM implementation version name.
    DicomImplementationVersion => "dicom.implementation_version",
    /// A SOP class with its role: `scu 1.2.840.10008.5.1.4.1.1.2`.
    DicomSopClass => "dicom.sop_class",
    /// A DIMSE operation with its role: `scu C-STORE`.
    DicomOperation => "dicom.operation",
    /// Modality, manufacturer, model, station name, software version, serial of the *device* in a data set:
    /// `Modality=CT`, `Manufacturer=…`. Never a patient attribute.
    DicomDevice => "dicom.device",
    /// HL7 v2 MSH-3 sending application.
    Hl7Application => "hl7.application",
    /// HL7 v2 MSH-4 sending facility.
    Hl7Facility => "hl7.facility",
    /// HL7 v2 MSH-5 and MSH-6 under which others address it: `LIS|LAB`.
    Hl7Receiver => "hl7.receiver",
    /// HL7 v2 message it sends: `ORU^R01 2.6`.
    Hl7Message => "hl7.message",
    /// EUI-64 of a device in MSH-3, OBX-18 or PRT-10.
    Hl7Eui64 => "hl7.eui64",
    /// Device identifier or model in OBX-18, PRT-10 or OBX-3/-5: `model=Plum A+`.
    Hl7Device => "hl7.device",
    /// UDI (device identifier part) in OBX or PRT.
    Hl7Udi => "hl7.udi",
    /// FHIR server software, from a CapabilityStatement: `name=…`, `version=…`.
    FhirSoftware => "fhir.software",
    /// It speaks FHIR as `client` or `server`.
    FhirRole => "fhir.role",
    /// FHIR Device resource in the clear: `manufacturer=…`, `modelNumber=…`, `udi=…`.
    FhirDevice => "fhir.device",
    /// BACnet vendor identifier and name.
    BacnetVendor => "bacnet.vendor",
    /// BACnet device property: `model-name=…`, `firmware-revision=…`, `object-name=…`.
    BacnetDevice => "bacnet.device",
    /// BACnet device instance.
    BacnetInstance => "bacnet.instance",
    /// Modbus device identification: `VendorName=…`, `ProductCode=…`, `MajorMinorRevision=…`.
    ModbusDevice => "modbus.device",
    /// It speaks Modbus as `client` or `server`.
    ModbusRole => "modbus.role",
    /// EtherNet/IP identity object: `vendor=1`, `device-type=12`, `product-code=…`, `revision=…`, `product-name=…`.
    EnipIdentity => "enip.identity",
    /// PROFINET discovery (DCP): `station=…`, `type=…`, `vendor-id=…`, `device-id=…`, `role=…`.
    ProfinetDevice => "profinet.device",
    /// A TCP SYN's shape: `ttl:window:options:mss:scale`.
    TcpSyn => "tcp.syn",
    /// A TCP SYN-ACK's shape.
    TcpSynAck => "tcp.syn_ack",
    /// A multicast group it joins.
    MulticastGroup => "multicast.group",
    /// A transport and port it serves: `tcp/104`.
    Serves => "service.serves",
    /// A transport and port it uses elsewhere: `udp/123`.
    Uses => "service.uses",
    /// A vendor's discovery protocol, named: `ge-rwhat`, `philips-connect-indication`, `ubiquiti`, `tplink`.
    VendorDiscovery => "vendor.discovery",
    /// Operating system as a scan guessed it.
    ScanOs => "scan.os",
    /// Service as a scan found it: `tcp/80 Apache httpd 2.4`.
    ScanService => "scan.service",
    /// Identifier in a register.
    RegisterId => "register.id",
    /// Name in a register.
    RegisterName => "register.name",
    /// Type in a register.
    RegisterType => "register.type",
    /// Manufacturer in a register.
    RegisterVendor => "register.vendor",
    /// Model in a register.
    RegisterModel => "register.model",
    /// Serial number in a register.
    RegisterSerial => "register.serial",
    /// Operating system in a register.
    RegisterOs => "register.os",
    /// Ward, room or department in a register.
    RegisterPlace => "register.place",
    /// UDI in a register.
    RegisterUdi => "register.udi",
    /// State in a register, as `in service`, `retired`.
    RegisterState => "register.state",
    /// A person's answer in the queue: a type.
    Confirmed => "person.confirmed",
}

impl fmt::Display for EvidenceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for EvidenceKind {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for EvidenceKind {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text)
            .ok_or_else(|| serde::de::Error::custom(format!("unknown evidence kind `{text}`")))
    }
}

/// An asset that speaks through somebody else's address: a pump behind its station, a monitor behind a gateway.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Asset {
    /// A 64-bit extended unique identifier (IEEE), as PCD-01 messages carry it.
    Eui64(u64),
    /// Unique device identification: device identifier with the serial number where given.
    Udi(SmolStr),
    /// Endpoint reference of an IEEE 11073 SDC device.
    Endpoint(SmolStr),
    /// BACnet device instance.
    Bacnet(u32),
    /// Modbus unit behind a gateway.
    ModbusUnit(u8),
    /// Serial number with its maker or model in front, so that two makers' serials never meet.
    Serial(SmolStr),
    /// Row in a register.
    Register(SmolStr),
}

/// Whom an observation is about.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct About {
    /// The network party that the words came from.
    #[serde(flatten)]
    pub party: Party,
    /// The asset behind that party, when the words name one; absent: the party itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asset: Option<Asset>,
}

impl From<Party> for About {
    fn from(party: Party) -> Self {
        Self { party, asset: None }
    }
}

/// How an address came to be known as somebody's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AddressSource {
    /// It said so itself (ARP sender, gratuitous ARP, RFC 826, RFC 5227).
    Arp,
    /// It said so itself (neighbour discovery, RFC 4861).
    NeighbourDiscovery,
    /// A DHCP server acknowledged it.
    Dhcp,
    /// A DHCP server's lease file.
    Lease,
    /// A switch's or router's table.
    Table,
    /// A register kept by people.
    Register,
    /// It sent IP packets from it with this MAC; a router's MAC does so for many.
    Packet,
}

/// What was observed.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fact {
    /// It is there: the first frame with its address.
    Seen,
    /// Its MAC holds its IP address, until then if known.
    Address {
        /// How this is known.
        how: AddressSource,
        /// When the lease ends.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        until: Option<Timestamp>,
    },
    /// It gave its IP address back.
    Released,
    /// Something that helps to say what it is.
    Evidence {
        /// Kind of evidence.
        kind: EvidenceKind,
        /// Its value, at most [`VALUE_MAX`] octets, printable.
        value: SmolStr,
    },
}

/// Longest value of evidence, in octets; longer ones are cut at a character boundary.
pub const VALUE_MAX: usize = 512;

/// One thing that one source saw or was told about one device.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Observation {
    /// When.
    pub at: Timestamp,
    /// Who says so.
    pub source: SourceId,
    /// About whom.
    pub about: About,
    /// What.
    pub fact: Fact,
}

/// Takes what sensors and importers produce.
pub trait Sink {
    /// An observation about one device.
    fn observe(&mut self, observation: Observation);
    /// A flow, or what was added to a flow since it was last reported.
    fn flow(&mut self, flow: Flow);
    /// A source that is about to speak: the answer is the number it will speak under. Readers call it once for each
    /// file, interface or socket, before anything from it. A sink that does not tell sources apart answers 0.
    fn source(&mut self, source: Source) -> SourceId {
        let _ = source;
        SourceId::default()
    }
}

/// Keeps everything, for tests and small jobs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Collected {
    /// Observations in order.
    pub observations: Vec<Observation>,
    /// Flows in order.
    pub flows: Vec<Flow>,
    /// Sources in order; a [`SourceId`] is an index into them.
    pub sources: Vec<Source>,
}

impl Sink for Collected {
    fn observe(&mut self, observation: Observation) {
        self.observations.push(observation);
    }

    fn flow(&mut self, flow: Flow) {
        self.flows.push(flow);
    }

    fn source(&mut self, source: Source) -> SourceId {
        let number = u16::try_from(self.sources.len()).unwrap_or(u16::MAX);
        self.sources.push(source);
        SourceId(number)
    }
}

//! The fields of a row that are read, from either form of a log.

use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;

use domain::net::{Mac, Party};
use serde::de::{Deserializer as _, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::records::party::{address, mac};

macro_rules! fields {
    ($($name:ident => $($text:literal)|+,)*) => {
        /// A field that is read.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(usize)]
        pub(crate) enum Field { $($name,)* }

        impl Field {
            /// How many there are.
            const COUNT: usize = [$(stringify!($name),)*].len();

            /// The field of this name.
            pub(crate) fn of(name: &str) -> Option<Self> {
                match name { $($($text)|+ => Some(Self::$name),)* _ => None }
            }
        }
    };
}

fields! {
    Path => "_path",
    Ts => "ts",
    Uid => "uid" | "uids",
    OrigH => "id.orig_h",
    OrigP => "id.orig_p",
    RespH => "id.resp_h",
    RespP => "id.resp_p",
    OrigMac => "orig_l2_addr",
    RespMac => "resp_l2_addr",
    Vlan => "vlan",
    Proto => "proto",
    IpProto => "ip_proto",
    Service => "service",
    Duration => "duration",
    OrigBytes => "orig_bytes",
    RespBytes => "resp_bytes",
    ConnState => "conn_state",
    LocalOrig => "local_orig",
    LocalResp => "local_resp",
    History => "history",
    OrigPackets => "orig_pkts",
    OrigIpBytes => "orig_ip_bytes",
    RespPackets => "resp_pkts",
    RespIpBytes => "resp_ip_bytes",
    ClientAddr => "client_addr",
    ServerAddr => "server_addr",
    Hardware => "mac",
    HostName => "host_name",
    ClientFqdn => "client_fqdn",
    AssignedAddr => "assigned_addr" | "assigned_ip",
    LeaseTime => "lease_time",
    MsgTypes => "msg_types",
    ClientSoftware => "client_software",
    Query => "query",
    QtypeName => "qtype_name",
    RcodeName => "rcode_name",
    Aa => "AA",
    Ra => "RA",
    Method => "method",
    Host => "host",
    Uri => "uri",
    UserAgent => "user_agent",
    Version => "version",
    Cipher => "cipher",
    ServerName => "server_name",
    Subject => "subject" | "certificate.subject",
    Issuer => "issuer" | "issuer_subject" | "certificate.issuer",
    CertChain => "cert_chain_fps" | "cert_chain_fuids",
    Fingerprint => "fingerprint",
    CertificateId => "id",
    Ja4 => "ja4",
    Established => "established",
    Client => "client",
    Server => "server",
    NtlmHost => "hostname",
    DomainName => "domainname",
    ServerNetbios => "server_nb_computer_name",
    ServerDns => "server_dns_computer_name",
    DisplayString => "display_string",
    SoftwareType => "software_type",
    Name => "name",
    VersionMajor => "version.major",
    VersionMinor => "version.minor",
    Unparsed => "unparsed_version",
    PortNum => "port_num",
    PortProto => "port_proto",
    DhcpHostName => "dhcp_host_name",
    DeviceType => "device_type",
    ClientBuild => "client_build",
    ClientName => "client_name",
    Stratum => "stratum",
    Mode => "mode",
    ClientId => "client_id",
    ProtocolVersion => "proto_version",
    ConnectStatus => "connect_status",
    FramedAddr => "framed_addr",
    SourceH => "source_h",
    DestinationH => "destination_h",
    IsOrig => "is_orig",
    PduService => "pdu_service",
    ObjectType => "object_type",
    InstanceNumber => "instance_number",
    Vendor => "vendor",
    ObjectName => "object_name",
    Property => "property",
    Value => "value",
    ObjectId => "object_id",
    ObjectValue => "object_value",
    RequestResponse => "request_response",
    Unit => "unit",
    Ip => "ip",
}

/// The values of a row; unset and empty ones are absent.
#[derive(Debug)]
pub(crate) struct Values<'a> {
    held: [Option<Cow<'a, str>>; Field::COUNT],
    /// What separates the elements of a set or vector.
    set_separator: char,
}

impl Default for Values<'_> {
    fn default() -> Self {
        Self {
            held: [const { None }; Field::COUNT],
            set_separator: ',',
        }
    }
}

impl<'a> Values<'a> {
    pub(crate) fn set(&mut self, field: Field, value: Cow<'a, str>, set_separator: u8) {
        self.set_separator = char::from(set_separator);
        if let Some(place) = self.held.get_mut(field as usize) {
            *place = Some(value);
        }
    }

    /// The value of a field.
    pub(crate) fn get(&self, field: Field) -> Option<&str> {
        self.held.get(field as usize)?.as_deref()
    }

    /// The elements of a set or vector.
    pub(crate) fn list(&self, field: Field) -> impl Iterator<Item = &str> {
        self.get(field)
            .unwrap_or_default()
            .split(self.set_separator)
            .filter(|element| !element.is_empty())
    }

    /// Whether a boolean field is true, false, or not there.
    pub(crate) fn flag(&self, field: Field) -> Option<bool> {
        match self.get(field)? {
            "T" | "true" => Some(true),
            "F" | "false" => Some(false),
            _ => None,
        }
    }

    pub(crate) fn number<T: std::str::FromStr>(&self, field: Field) -> Option<T> {
        self.get(field)?.parse().ok()
    }

    pub(crate) fn addr(&self, field: Field) -> Option<IpAddr> {
        address(self.get(field)?)
    }

    pub(crate) fn mac(&self, field: Field) -> Option<Mac> {
        mac(self.get(field)?)
    }

    /// Whoever opened the connection.
    pub(crate) fn client(&self) -> Option<Party> {
        Some(Party {
            mac: self.mac(Field::OrigMac),
            addr: Some(self.addr(Field::OrigH)?),
            vlan: self
                .number(Field::Vlan)
                .filter(|id| (1..=4094).contains(id)),
        })
    }

    /// Whoever answered.
    pub(crate) fn server(&self) -> Option<Party> {
        Some(Party {
            mac: self.mac(Field::RespMac),
            addr: Some(self.addr(Field::RespH)?),
            vlan: self
                .number(Field::Vlan)
                .filter(|id| (1..=4094).contains(id)),
        })
    }

    /// Reads a JSON object; fields that are not known are passed over.
    pub(crate) fn from_json(text: &'a str) -> Result<Self, serde_json::Error> {
        let mut deserializer = serde_json::Deserializer::from_str(text);
        let mut values = Self::default();
        deserializer.deserialize_map(Row {
            prefix: "",
            values: &mut values,
        })?;
        deserializer.end()?;
        Ok(values)
    }

    fn set_json(&mut self, field: Field, raw: &'a str) {
        let value = match raw.as_bytes().first() {
            Some(b'"') => match serde_json::from_str::<Borrowed<'a>>(raw) {
                Ok(Borrowed(text)) => text,
                Err(_) => return,
            },
            Some(b'[') => {
                let Ok(elements) = serde_json::from_str::<Vec<Borrowed<'a>>>(raw) else {
                    return;
                };
                let elements: Vec<&str> = elements
                    .iter()
                    .take(64)
                    .map(|element| element.0.as_ref())
                    .collect();
                Cow::Owned(elements.join(","))
            }
            Some(b'{' | b'n') | None => return,
            Some(_) => Cow::Borrowed(raw),
        };
        if !value.is_empty() {
            self.set(field, value, b',');
        }
    }
}

/// A string that borrows when it has no escapes.
#[derive(serde::Deserialize)]
struct Borrowed<'a>(#[serde(borrow)] Cow<'a, str>);

struct Row<'v, 'a> {
    prefix: &'static str,
    values: &'v mut Values<'a>,
}

impl<'a> Visitor<'a> for Row<'_, 'a> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<M: MapAccess<'a>>(self, mut map: M) -> Result<(), M::Error> {
        while let Some(Borrowed(key)) = map.next_key::<Borrowed<'a>>()? {
            let field = if self.prefix.is_empty() {
                Field::of(&key)
            } else {
                Field::of(&format!("{}{key}", self.prefix))
            };
            let Some(field) = field else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            let raw: &'a RawValue = map.next_value()?;
            // Some shippers nest what Zeek writes as `id.orig_h`.
            if field == Field::CertificateId && raw.get().starts_with('{') {
                let mut nested = serde_json::Deserializer::from_str(raw.get());
                let row = Row {
                    prefix: "id.",
                    values: &mut *self.values,
                };
                let _ = nested.deserialize_map(row);
                continue;
            }
            self.values.set_json(field, raw.get());
        }
        Ok(())
    }
}

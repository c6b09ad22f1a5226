//! What each log says about devices.

use std::net::IpAddr;
use std::time::Duration;

use domain::Timestamp;
use domain::conversation::{Flow, Opening, Protection, Volume};
use domain::net::{Party, Transport};
use domain::observation::{About, AddressSource, Asset, EvidenceKind as Kind};
use smol_str::SmolStr;

use super::{Field, Joins, Values};
use crate::records::emit::{Emit, at_address};
use crate::records::party::is_host;
use crate::records::{Problem, Taken};

/// A log that is told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Log {
    Conn,
    Dhcp,
    Dns,
    Http,
    Ssl,
    X509,
    Ssh,
    Smb,
    Ntlm,
    Kerberos,
    Snmp,
    Software,
    KnownHosts,
    KnownServices,
    KnownCerts,
    KnownDevices,
    KnownModbus,
    Rdp,
    Modbus,
    ModbusIdentification,
    Bacnet,
    BacnetDiscovery,
    BacnetProperty,
    Ntp,
    MqttConnect,
    Mqtt,
    Sip,
    Radius,
    /// Of Zeek itself, or about events and files: nothing about devices.
    Silent,
    /// Not known here.
    Unknown,
}

impl Log {
    /// The log of this path.
    pub(crate) fn of(path: &str) -> Self {
        match path {
            "conn" | "conn_long" => Self::Conn,
            "dhcp" => Self::Dhcp,
            "dns" => Self::Dns,
            "http" => Self::Http,
            "ssl" => Self::Ssl,
            "x509" => Self::X509,
            "ssh" => Self::Ssh,
            "smb_files" | "smb_mapping" | "smb_cmd" | "dce_rpc" => Self::Smb,
            "ntlm" => Self::Ntlm,
            "kerberos" => Self::Kerberos,
            "snmp" => Self::Snmp,
            "software" => Self::Software,
            "known_hosts" => Self::KnownHosts,
            "known_services" => Self::KnownServices,
            "known_certs" => Self::KnownCerts,
            "known_devices" => Self::KnownDevices,
            "known_modbus" => Self::KnownModbus,
            "rdp" => Self::Rdp,
            "modbus" | "modbus_detailed" | "modbus_register_change" => Self::Modbus,
            "modbus_read_device_identification" => Self::ModbusIdentification,
            "bacnet" | "bacnet_device_control" => Self::Bacnet,
            "bacnet_discovery" => Self::BacnetDiscovery,
            "bacnet_property" => Self::BacnetProperty,
            "ntp" => Self::Ntp,
            "mqtt_connect" => Self::MqttConnect,
            "mqtt_subscribe" | "mqtt_publish" => Self::Mqtt,
            "sip" => Self::Sip,
            "radius" => Self::Radius,
            "analyzer" | "barnyard2" | "broker" | "capture_loss" | "cluster" | "config" | "dpd"
            | "files" | "intel" | "irc" | "loaded_scripts" | "netcontrol" | "notice"
            | "notice_alarm" | "ocsp" | "openflow" | "packet_filter" | "pe" | "print" | "prof"
            | "reporter" | "signatures" | "smtp" | "socks" | "stats" | "stderr" | "stdout"
            | "syslog" | "telemetry" | "tunnel" | "weird" | "weird_stats" | "ftp" | "mysql"
            | "postgresql" | "ldap" | "ldap_search" | "quic" | "websocket" | "redis" | "dnp3"
            | "rfb" | "traceroute" | "unknown_protocols" | "ssl_cert" => Self::Silent,
            _ => Self::Unknown,
        }
    }

    /// The log whose fields these are, for JSON without a path.
    pub(crate) fn by_fields(values: &Values<'_>) -> Option<Self> {
        let has = |field| values.get(field).is_some();
        Some(if has(Field::ConnState) {
            Self::Conn
        } else if has(Field::MsgTypes) {
            Self::Dhcp
        } else if has(Field::Query) || has(Field::RcodeName) {
            Self::Dns
        } else if has(Field::Method)
            && (has(Field::UserAgent) || has(Field::Host) || has(Field::Uri))
        {
            Self::Http
        } else if has(Field::Established) {
            Self::Ssl
        } else if has(Field::Fingerprint) && has(Field::Subject) {
            Self::X509
        } else if has(Field::SoftwareType) {
            Self::Software
        } else if has(Field::Stratum) {
            Self::Ntp
        } else {
            return None;
        })
    }
}

/// The path that a file's name shows: `conn.log`, `conn.10:00:00-11:00:00.log.gz`, `dns_20260101.log`, `conn.json`.
pub(crate) fn path_of_name(name: &str) -> Option<&str> {
    let base = name.rsplit(['/', '\\']).next().unwrap_or_default();
    let stem = base.split('.').next().unwrap_or_default();
    if base == stem {
        return None;
    }
    if Log::of(stem) != Log::Unknown {
        return Some(stem);
    }
    // A date behind the name.
    let (path, rest) = stem.rsplit_once(['_', '-'])?;
    (rest.bytes().all(|b| b.is_ascii_digit()) && Log::of(path) != Log::Unknown).then_some(path)
}

/// Tells one row.
pub(crate) fn tell(
    log: Log,
    at: Timestamp,
    row: &Values<'_>,
    joins: &mut Joins,
    emit: &mut Emit<'_>,
) -> Result<Taken, Problem> {
    match log {
        Log::Conn => return conn(at, row, emit),
        Log::Dhcp => return dhcp(at, row, emit),
        Log::Software => return software(at, row, emit),
        Log::X509 => {
            let fingerprint = row
                .get(Field::Fingerprint)
                .or_else(|| row.get(Field::CertificateId));
            if let (Some(fingerprint), Some(subject)) = (fingerprint, row.get(Field::Subject)) {
                joins.content(
                    at,
                    fingerprint,
                    subject,
                    row.get(Field::Issuer).unwrap_or_default(),
                    emit,
                );
            }
            return Ok(Taken::Row);
        }
        Log::KnownHosts | Log::KnownServices | Log::KnownCerts | Log::KnownModbus => {
            return known(log, at, row, emit);
        }
        Log::KnownDevices => {
            let mac = row
                .mac(Field::Hardware)
                .ok_or_else(|| missing("mac", "a MAC address"))?;
            let party = Party {
                mac: Some(mac),
                ..Party::default()
            };
            emit.seen(at, party);
            evidence(
                emit,
                at,
                party,
                Kind::DhcpHostname,
                row.get(Field::DhcpHostName),
            );
            return Ok(Taken::Row);
        }
        _ => {}
    }
    let client = row
        .client()
        .ok_or_else(|| missing("id.orig_h", "an IP address"))?;
    let server = row
        .server()
        .ok_or_else(|| missing("id.resp_h", "an IP address"))?;
    match log {
        Log::Dns => dns(at, row, client, server, emit),
        Log::Http => http(at, row, client, server, emit),
        Log::Ssl => ssl(at, row, client, server, joins, emit),
        Log::Ssh => {
            evidence(emit, at, client, Kind::SshClient, row.get(Field::Client));
            evidence(emit, at, server, Kind::SshServer, row.get(Field::Server));
        }
        Log::Ntlm => {
            evidence(
                emit,
                at,
                client,
                Kind::NtlmComputer,
                row.get(Field::NtlmHost),
            );
            evidence(
                emit,
                at,
                client,
                Kind::NtlmDomain,
                row.get(Field::DomainName),
            );
            evidence(
                emit,
                at,
                server,
                Kind::NtlmComputer,
                row.get(Field::ServerNetbios),
            );
            evidence(emit, at, server, Kind::DnsName, row.get(Field::ServerDns));
        }
        Log::Kerberos => {
            // `WS01$/EXAMPLE.ORG` is a computer's account; without the `$` it is a person's and is left alone.
            if let Some((name, realm)) = row
                .get(Field::Client)
                .and_then(|client| client.split_once("$/"))
                && !name.contains('/')
            {
                evidence(emit, at, client, Kind::NtlmComputer, Some(name));
                evidence(emit, at, client, Kind::NtlmDomain, Some(realm));
            }
        }
        Log::Snmp => {
            evidence(
                emit,
                at,
                server,
                Kind::SnmpSysDescr,
                row.get(Field::DisplayString),
            );
            evidence(emit, at, server, Kind::SnmpRole, Some("agent"));
            evidence(emit, at, client, Kind::SnmpRole, Some("manager"));
        }
        Log::Rdp => {
            evidence(
                emit,
                at,
                client,
                Kind::RdpClientName,
                row.get(Field::ClientName),
            );
            evidence(
                emit,
                at,
                client,
                Kind::RdpClientBuild,
                row.get(Field::ClientBuild),
            );
        }
        Log::Modbus => {
            evidence(emit, at, client, Kind::ModbusRole, Some("client"));
            evidence(emit, at, server, Kind::ModbusRole, Some("server"));
        }
        Log::ModbusIdentification => modbus_identification(at, row, server, emit),
        Log::BacnetDiscovery | Log::BacnetProperty => bacnet(log, at, row, client, server, emit),
        Log::Ntp if row.get(Field::Mode) == Some("4") => {
            // Zeek names the peers by who spoke first; in mode 4 the server did, or it answers.
            let speaker =
                if row.get(Field::OrigP) == Some("123") && row.get(Field::RespP) != Some("123") {
                    client
                } else {
                    server
                };
            evidence(emit, at, speaker, Kind::NtpServer, row.get(Field::Stratum));
        }
        Log::MqttConnect => {
            evidence(
                emit,
                at,
                client,
                Kind::MqttClientId,
                row.get(Field::ClientId),
            );
            evidence(
                emit,
                at,
                server,
                Kind::MqttBroker,
                row.get(Field::ProtocolVersion),
            );
        }
        Log::Sip => evidence(
            emit,
            at,
            client,
            Kind::SipUserAgent,
            row.get(Field::UserAgent),
        ),
        Log::Radius => {
            // The access switch speaks; the station is whom it speaks of.
            let station = Party {
                mac: row.mac(Field::Hardware),
                addr: row.addr(Field::FramedAddr),
                vlan: None,
            };
            if station.mac.is_some() {
                match station.addr {
                    Some(_) => emit.address(at, station, AddressSource::Table, None),
                    None => emit.seen(at, station),
                }
            }
        }
        _ => {}
    }
    presence(at, row, client, server, true, emit);
    Ok(Taken::Row)
}

fn missing(column: &str, wanted: &str) -> Problem {
    Problem::new(
        format!("{wanted} is missing or cannot be read"),
        "the row was cut, or the log is of another kind than its name says",
    )
    .in_column(column)
}

/// Says a value when there is one.
fn evidence(
    emit: &mut Emit<'_>,
    at: Timestamp,
    about: impl Into<About>,
    kind: Kind,
    value: Option<&str>,
) {
    if let Some(value) = value {
        emit.evidence(at, about, kind, value);
    }
}

/// Whether an address is the hospital's: as Zeek was told, else by its range.
fn is_local(addr: Option<IpAddr>, told: Option<bool>) -> bool {
    match addr {
        Some(addr) if is_host(addr) => {
            told.unwrap_or_else(|| crate::records::netflow::is_private(addr))
        }
        _ => false,
    }
}

fn presence(
    at: Timestamp,
    row: &Values<'_>,
    client: Party,
    server: Party,
    answered: bool,
    emit: &mut Emit<'_>,
) {
    if is_local(client.addr, row.flag(Field::LocalOrig)) {
        emit.seen(at, client);
    }
    if answered && is_local(server.addr, row.flag(Field::LocalResp)) {
        emit.seen(at, server);
    }
}

fn conn(at: Timestamp, row: &Values<'_>, emit: &mut Emit<'_>) -> Result<Taken, Problem> {
    let client = row
        .client()
        .ok_or_else(|| missing("id.orig_h", "an IP address"))?;
    let server = row
        .server()
        .ok_or_else(|| missing("id.resp_h", "an IP address"))?;
    let ports = (
        row.number::<u16>(Field::OrigP).unwrap_or(0),
        row.number::<u16>(Field::RespP).unwrap_or(0),
    );
    let transport = match row.get(Field::Proto).unwrap_or_default() {
        "tcp" => Transport::Tcp,
        "udp" => Transport::Udp,
        "icmp" => Transport::Icmp,
        "sctp" => Transport::Sctp,
        _ => match row.number::<u8>(Field::IpProto) {
            Some(132) => Transport::Sctp,
            Some(number) => Transport::Other(number),
            None => Transport::Other(255),
        },
    };
    // For ICMP Zeek writes the type as the first port.
    let (client_port, port) = match transport {
        Transport::Icmp => (0, ports.0),
        Transport::Other(_) => (0, 0),
        _ => ports,
    };
    let secs: f64 = row
        .number(Field::Duration)
        .filter(|secs: &f64| secs.is_finite() && (0.0..1e9).contains(secs))
        .unwrap_or(0.0);
    let volume = |packets, ip_bytes, bytes| Volume {
        packets: row.number(packets).unwrap_or(0),
        bytes: row
            .number(ip_bytes)
            .or_else(|| row.number(bytes))
            .unwrap_or(0),
    };
    let sent = volume(Field::OrigPackets, Field::OrigIpBytes, Field::OrigBytes);
    let received = volume(Field::RespPackets, Field::RespIpBytes, Field::RespBytes);
    let service = row.get(Field::Service).and_then(service);
    let protection = match service {
        None => Protection::Unknown,
        Some("tls" | "dtls" | "quic" | "ssh" | "ipsec" | "wireguard") => Protection::Encrypted,
        Some(_) => Protection::Cleartext,
    };
    let opening = match row.get(Field::ConnState) {
        Some("OTH") => Opening::Guessed,
        _ => Opening::Told,
    };
    presence(at, row, client, server, received.packets > 0, emit);
    let source = emit.emitter.context.source;
    emit.flow(Flow {
        source,
        first: at,
        last: at.plus(Duration::from_secs_f64(secs)),
        client,
        server,
        transport,
        port,
        client_port,
        opening,
        begins: true,
        service: service.map(SmolStr::new),
        protection,
        meanings: Vec::new(),
        server_name: None,
        sent,
        received,
    });
    Ok(Taken::Row)
}

/// Zeek's name of a service in ours; of several (`gssapi,smb`) the one that says most.
fn service(text: &str) -> Option<&str> {
    let mut best = None;
    for name in text.split(',') {
        let name = match name.trim_start_matches('-') {
            "ssl" => "tls",
            "krb" | "krb_tcp" => "kerberos",
            "ftp-data" => "ftp",
            "gssapi" | "" => continue,
            other => other,
        };
        // What is inside TLS is not readable by others.
        if best.is_none() || name == "tls" {
            best = Some(name);
        }
    }
    best.filter(|name| name.len() <= 32)
}

fn dhcp(at: Timestamp, row: &Values<'_>, emit: &mut Emit<'_>) -> Result<Taken, Problem> {
    let mac = row.mac(Field::Hardware);
    let assigned = row
        .addr(Field::AssignedAddr)
        .or_else(|| row.addr(Field::ClientAddr));
    if mac.is_none() && assigned.is_none() {
        return Err(missing("mac", "a MAC address"));
    }
    let party = Party {
        mac,
        addr: assigned.filter(|addr| is_host(*addr)),
        vlan: None,
    };
    let mut types = row.list(Field::MsgTypes).peekable();
    // Logs before Zeek 2.6 have a row for each acknowledgement and no message types.
    let acknowledged =
        types.peek().is_none() || row.list(Field::MsgTypes).any(|kind| kind == "ACK");
    if mac.is_some() && party.addr.is_some() && acknowledged {
        let secs: Option<f64> = row
            .number(Field::LeaseTime)
            .filter(|secs: &f64| secs.is_finite() && *secs > 0.0 && *secs < 4_294_967_295.0);
        let until = secs.map(|secs| at.plus(Duration::from_secs_f64(secs)));
        emit.address(at, party, AddressSource::Dhcp, until);
        if row.list(Field::MsgTypes).last() == Some("RELEASE") {
            emit.released(at, party);
        }
    } else {
        emit.seen(at, party);
    }
    evidence(
        emit,
        at,
        party,
        Kind::DhcpHostname,
        row.get(Field::HostName),
    );
    evidence(emit, at, party, Kind::DhcpFqdn, row.get(Field::ClientFqdn));
    evidence(
        emit,
        at,
        party,
        Kind::DhcpVendorClass,
        row.get(Field::ClientSoftware),
    );
    if let Some(server) = row.addr(Field::ServerAddr).filter(|addr| is_host(*addr)) {
        evidence(emit, at, at_address(server), Kind::DhcpServer, Some("v4"));
    }
    Ok(Taken::Row)
}

fn dns(at: Timestamp, row: &Values<'_>, client: Party, server: Party, emit: &mut Emit<'_>) {
    let query = row
        .get(Field::Query)
        .unwrap_or_default()
        .trim_end_matches('.')
        .to_ascii_lowercase();
    match row.get(Field::RespP) {
        Some("5353") => {
            let service = query
                .strip_suffix(".local")
                .filter(|name| name.starts_with('_'));
            // The last two labels are the type: `_ipp._tcp`.
            if let Some(service) = service {
                let mut labels = service.rsplit('.');
                if let (Some(transport), Some(name)) = (labels.next(), labels.next()) {
                    emit.evidence(
                        at,
                        client,
                        Kind::MdnsQuery,
                        format_args!("{name}.{transport}"),
                    );
                }
            }
        }
        Some("137" | "5355") => {}
        _ => {
            let reverse = query.ends_with(".in-addr.arpa") || query.ends_with(".ip6.arpa");
            if !reverse && !query.is_empty() && row.get(Field::QtypeName) != Some("NB") {
                emit.evidence(at, client, Kind::DnsQuery, query.as_str());
            }
            if row.get(Field::RcodeName).is_some() {
                if row.flag(Field::Aa) == Some(true) {
                    evidence(emit, at, server, Kind::DnsServer, Some("authoritative"));
                } else if row.flag(Field::Ra) == Some(true) {
                    evidence(emit, at, server, Kind::DnsServer, Some("recursive"));
                }
            }
        }
    }
}

fn http(at: Timestamp, row: &Values<'_>, client: Party, server: Party, emit: &mut Emit<'_>) {
    evidence(
        emit,
        at,
        client,
        Kind::HttpUserAgent,
        row.get(Field::UserAgent),
    );
    let host = row.get(Field::Host).map(|host| {
        host.split(':')
            .next()
            .unwrap_or_default()
            .to_ascii_lowercase()
    });
    evidence(emit, at, client, Kind::HttpHost, host.as_deref());
    // Of the path only this is looked at, never kept: whether it leads to a FHIR endpoint.
    let fhir = row.get(Field::Uri).is_some_and(|uri| {
        let path = uri.split('?').next().unwrap_or_default();
        path.split('/')
            .take(6)
            .any(|segment| segment.eq_ignore_ascii_case("fhir"))
    });
    if fhir {
        evidence(emit, at, client, Kind::FhirRole, Some("client"));
        evidence(emit, at, server, Kind::FhirRole, Some("server"));
    }
}

fn ssl(
    at: Timestamp,
    row: &Values<'_>,
    client: Party,
    server: Party,
    joins: &mut Joins,
    emit: &mut Emit<'_>,
) {
    let name = row.get(Field::ServerName).map(str::to_ascii_lowercase);
    evidence(emit, at, client, Kind::TlsServerName, name.as_deref());
    evidence(emit, at, client, Kind::TlsJa4, row.get(Field::Ja4));
    evidence(emit, at, server, Kind::TlsSubject, row.get(Field::Subject));
    evidence(emit, at, server, Kind::TlsIssuer, row.get(Field::Issuer));
    if row.get(Field::Subject).is_none()
        && let Some(fingerprint) = row.list(Field::CertChain).next()
    {
        joins.presented(at, fingerprint, server, emit);
    }
    let version = match row.get(Field::Version).unwrap_or_default() {
        "TLSv10" => "1.0",
        "TLSv11" => "1.1",
        "TLSv12" => "1.2",
        "TLSv13" => "1.3",
        _ => return,
    };
    if let Some(code) = row.get(Field::Cipher).and_then(suite) {
        emit.evidence(
            at,
            server,
            Kind::TlsServer,
            format_args!("{version} {code:04x}"),
        );
    }
}

/// Numbers of the cipher suites that are met (IANA "TLS Cipher Suites"); Zeek writes their names.
fn suite(name: &str) -> Option<u16> {
    Some(match name {
        "TLS_RSA_WITH_RC4_128_MD5" => 0x0004,
        "TLS_RSA_WITH_RC4_128_SHA" => 0x0005,
        "TLS_RSA_WITH_3DES_EDE_CBC_SHA" => 0x000a,
        "TLS_RSA_WITH_AES_128_CBC_SHA" => 0x002f,
        "TLS_DHE_RSA_WITH_AES_128_CBC_SHA" => 0x0033,
        "TLS_RSA_WITH_AES_256_CBC_SHA" => 0x0035,
        "TLS_DHE_RSA_WITH_AES_256_CBC_SHA" => 0x0039,
        "TLS_RSA_WITH_AES_128_CBC_SHA256" => 0x003c,
        "TLS_RSA_WITH_AES_256_CBC_SHA256" => 0x003d,
        "TLS_RSA_WITH_AES_128_GCM_SHA256" => 0x009c,
        "TLS_RSA_WITH_AES_256_GCM_SHA384" => 0x009d,
        "TLS_DHE_RSA_WITH_AES_128_GCM_SHA256" => 0x009e,
        "TLS_DHE_RSA_WITH_AES_256_GCM_SHA384" => 0x009f,
        "TLS_AES_128_GCM_SHA256" => 0x1301,
        "TLS_AES_256_GCM_SHA384" => 0x1302,
        "TLS_CHACHA20_POLY1305_SHA256" => 0x1303,
        "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA" => 0xc009,
        "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA" => 0xc00a,
        "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA" => 0xc013,
        "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA" => 0xc014,
        "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256" => 0xc023,
        "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA384" => 0xc024,
        "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256" => 0xc027,
        "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA384" => 0xc028,
        "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256" => 0xc02b,
        "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384" => 0xc02c,
        "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256" => 0xc02f,
        "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384" => 0xc030,
        "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256" => 0xcca8,
        "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256" => 0xcca9,
        _ => return None,
    })
}

fn software(at: Timestamp, row: &Values<'_>, emit: &mut Emit<'_>) -> Result<Taken, Problem> {
    let host = row
        .addr(Field::Host)
        .ok_or_else(|| missing("host", "an IP address"))?;
    let party = at_address(host);
    let unparsed = row.get(Field::Unparsed);
    let kind = match row.get(Field::SoftwareType).unwrap_or_default() {
        "HTTP::BROWSER" | "HTTP::BROWSER_PLUGIN" => Kind::HttpUserAgent,
        "HTTP::SERVER" | "HTTP::APPSERVER" | "HTTP::WEB_APPLICATION" => Kind::HttpServer,
        "SSH::SERVER" => Kind::SshServer,
        "SSH::CLIENT" => Kind::SshClient,
        "DHCP::CLIENT" => Kind::DhcpVendorClass,
        "FTP::SERVER" => Kind::FtpBanner,
        "SMTP::MAIL_SERVER" => Kind::SmtpBanner,
        "OS::WINDOWS" => {
            let (name, version) = (
                row.get(Field::Name).unwrap_or_default(),
                unparsed.unwrap_or_default(),
            );
            let text = if version.is_empty() { name } else { version };
            emit.evidence(at, party, Kind::ScanOs, text);
            emit.seen(at, party);
            return Ok(Taken::Row);
        }
        _ => {
            emit.seen(at, party);
            return Ok(Taken::Nothing);
        }
    };
    match (unparsed, row.get(Field::Name)) {
        (Some(text), _) => emit.evidence(at, party, kind, text),
        (None, Some(name)) => emit.evidence(
            at,
            party,
            kind,
            format_args!(
                "{name}/{}.{}",
                row.get(Field::VersionMajor).unwrap_or("?"),
                row.get(Field::VersionMinor).unwrap_or("?")
            ),
        ),
        (None, None) => {}
    }
    emit.seen(at, party);
    Ok(Taken::Row)
}

fn known(log: Log, at: Timestamp, row: &Values<'_>, emit: &mut Emit<'_>) -> Result<Taken, Problem> {
    let host = row
        .addr(Field::Host)
        .ok_or_else(|| missing("host", "an IP address"))?;
    let party = Party {
        addr: Some(host),
        mac: row.mac(Field::Hardware),
        vlan: None,
    };
    emit.seen(at, party);
    match log {
        Log::KnownServices => {
            if let (Some(port), Some(transport)) =
                (row.number::<u16>(Field::PortNum), row.get(Field::PortProto))
                && matches!(transport, "tcp" | "udp" | "sctp")
            {
                emit.evidence(at, party, Kind::Serves, format_args!("{transport}/{port}"));
            }
        }
        Log::KnownCerts => {
            evidence(emit, at, party, Kind::TlsSubject, row.get(Field::Subject));
            evidence(emit, at, party, Kind::TlsIssuer, row.get(Field::Issuer));
        }
        Log::KnownModbus => match row.get(Field::DeviceType).unwrap_or_default() {
            "Known::MODBUS_MASTER" => evidence(emit, at, party, Kind::ModbusRole, Some("client")),
            "Known::MODBUS_SLAVE" => evidence(emit, at, party, Kind::ModbusRole, Some("server")),
            _ => {}
        },
        _ => {}
    }
    Ok(Taken::Row)
}

/// ICSNPP's log of Modbus function 43/14: an object of the device's identification in each row.
fn modbus_identification(at: Timestamp, row: &Values<'_>, server: Party, emit: &mut Emit<'_>) {
    let (Some(object), Some(value)) = (row.get(Field::ObjectId), row.get(Field::ObjectValue))
    else {
        return;
    };
    // Names as in the Modbus application protocol V1.1b3, 6.21.
    let name = match object {
        "VendorName"
        | "PRODUCT_CODE"
        | "ProductCode"
        | "MajorMinorRevision"
        | "ProductName"
        | "ModelName"
        | "UserApplicationName"
        | "VendorUrl" => object,
        other => other.get(..other.len().min(40)).unwrap_or_default(),
    };
    let unit: Option<u8> = row.number(Field::Unit);
    let about = About {
        party: server,
        asset: unit
            .filter(|unit| !matches!(unit, 0 | 255))
            .map(Asset::ModbusUnit),
    };
    emit.evidence(
        at,
        about,
        Kind::ModbusDevice,
        format_args!("{name}={value}"),
    );
}

/// ICSNPP's logs of BACnet: who is which device instance, and what its device object says.
fn bacnet(
    log: Log,
    at: Timestamp,
    row: &Values<'_>,
    client: Party,
    server: Party,
    emit: &mut Emit<'_>,
) {
    // Newer versions say in fields of their own who spoke; older ones log by connection.
    let spoken = row.addr(Field::SourceH).map(at_address);
    let instance: Option<u32> = row
        .number(Field::InstanceNumber)
        .filter(|id| *id <= 0x3f_ffff);
    let (Some(instance), Some("device")) = (instance, row.get(Field::ObjectType)) else {
        return;
    };
    // 4194303 stands for any instance (ASHRAE 135, 12.11).
    if instance == 0x3f_ffff {
        return;
    }
    let service = row
        .get(Field::PduService)
        .unwrap_or_default()
        .to_ascii_lowercase();
    let service = service.replace('_', "-");
    let speaker = match (log, service.as_str()) {
        (Log::BacnetDiscovery, "i-am") => spoken.unwrap_or(client),
        (Log::BacnetProperty, name) if name.ends_with("ack") => spoken.unwrap_or(server),
        _ => return,
    };
    if !speaker.addr.is_some_and(is_host) {
        return;
    }
    let about = About {
        party: speaker,
        asset: Some(Asset::Bacnet(instance)),
    };
    emit.evidence(
        at,
        about.clone(),
        Kind::BacnetInstance,
        format_args!("{instance}"),
    );
    if log == Log::BacnetDiscovery {
        evidence(emit, at, about, Kind::BacnetVendor, row.get(Field::Vendor));
        return;
    }
    let (property, value) = (
        row.get(Field::Property).unwrap_or_default(),
        row.get(Field::Value),
    );
    let wanted = matches!(
        property,
        "model-name"
            | "vendor-name"
            | "vendor-identifier"
            | "firmware-revision"
            | "application-software-version"
            | "object-name"
            | "description"
            | "serial-number"
    );
    if let Some(value) = value.filter(|_| wanted) {
        emit.evidence(
            at,
            about,
            Kind::BacnetDevice,
            format_args!("{property}={value}"),
        );
    }
}

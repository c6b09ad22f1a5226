//! Nmap's XML (`nmap -oX`, nmap.dtd): what a scan that somebody else made has found. Nothing is scanned here.
//!
//! The file is read host by host as it comes; one host is at most [`HOST_MAX`] octets. Entities are not expanded beyond
//! the five of XML, so that no document can grow. A file that ends early keeps the hosts that were whole.

use std::net::IpAddr;

use domain::Timestamp;
use domain::net::{Mac, Party};
use domain::observation::{AddressSource, EvidenceKind as Kind};
use memchr::memmem;
use quick_xml::events::{BytesStart, Event};

use super::emit::Emit;
use super::party::{address, mac};
use super::text::utf8;
use super::{Problem, moment};

/// Most octets of one host.
pub const HOST_MAX: usize = 4 << 20;

/// Guesses of an operating system below this accuracy, in percent, are not told.
const ACCURACY_MIN: u32 = 85;

/// Reads one file.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    held: Vec<u8>,
    /// Where in `held` the search for the end of a host goes on.
    searched: usize,
    line: u64,
    started: Option<Timestamp>,
    header_read: bool,
    finished: bool,
}

impl Reader {
    pub(crate) fn push(
        &mut self,
        bytes: &[u8],
        emit: &mut Emit<'_>,
        note: &mut dyn FnMut(Problem),
    ) {
        self.held.extend_from_slice(bytes);
        self.header();
        while let Some(end) = memmem::find(
            self.held.get(self.searched..).unwrap_or_default(),
            b"</host>",
        ) {
            let end = self.searched + end + b"</host>".len();
            let whole = self.held.get(..end).unwrap_or_default();
            let start = opening(whole).unwrap_or(0);
            let line = self.line + lines(whole.get(..start).unwrap_or_default());
            emit.counts().lines += 1;
            match host(whole.get(start..).unwrap_or_default(), self.started, emit) {
                Ok(true) => emit.counts().rows += 1,
                Ok(false) => emit.counts().silent += 1,
                Err(mut problem) => {
                    emit.counts().damaged += 1;
                    problem.line = Some(line + 1);
                    note(problem);
                }
            }
            self.forget(end);
        }
        self.finished |= memmem::find(&self.held, b"</nmaprun>").is_some();
        // The end of a host may be cut in two.
        self.searched = self.held.len().saturating_sub(b"</host>".len());
        if self.held.len() > HOST_MAX {
            emit.counts().damaged += 1;
            note(Problem {
                line: Some(self.line + 1),
                ..Problem::new(
                    format!("a host of more than {HOST_MAX} octets was skipped"),
                    "check whether the file is Nmap's XML",
                )
            });
            self.forget(self.searched);
        }
    }

    pub(crate) fn finish(&mut self, emit: &mut Emit<'_>, note: &mut dyn FnMut(Problem)) {
        if !self.finished {
            let inside = opening(&self.held);
            emit.counts().damaged += u64::from(inside.is_some());
            let before = self.held.get(..inside.unwrap_or(0)).unwrap_or_default();
            note(Problem {
                line: Some(self.line + lines(before) + 1),
                ..Problem::new(
                    "the file ends before `</nmaprun>`",
                    "the scan was stopped or still runs; the hosts before are read",
                )
            });
        }
    }

    fn forget(&mut self, octets: usize) {
        self.line += lines(self.held.get(..octets).unwrap_or_default());
        self.held.drain(..octets);
        self.searched = 0;
    }

    /// When the scan began, from the root element.
    fn header(&mut self) {
        if self.header_read {
            return;
        }
        let Some(start) = memmem::find(&self.held, b"<nmaprun") else {
            return;
        };
        let Some(length) = memchr::memchr(b'>', self.held.get(start..).unwrap_or_default()) else {
            return;
        };
        self.header_read = true;
        let element = utf8(self.held.get(start..start + length).unwrap_or_default()).into_owned();
        self.started = element
            .split_once(" start=\"")
            .and_then(|(_, rest)| moment::epoch(rest.split('"').next().unwrap_or_default()));
    }
}

fn lines(octets: &[u8]) -> u64 {
    memchr::memchr_iter(b'\n', octets).count() as u64
}

/// Where the last host begins; `<hostnames>`, `<hosthint>` and `<hosts …>` are none.
fn opening(octets: &[u8]) -> Option<usize> {
    let spaced = memmem::rfind(octets, b"<host ");
    let bare = memmem::rfind(octets, b"<host>");
    spaced.max(bare)
}

#[derive(Debug, Default)]
struct Port {
    transport: String,
    number: u16,
    open: bool,
    service: String,
}

#[derive(Debug, Default)]
struct Host {
    at: Option<Timestamp>,
    up: bool,
    addrs: Vec<IpAddr>,
    mac: Option<Mac>,
    names: Vec<String>,
    ports: Vec<Port>,
    os: Option<(u32, String)>,
    said: Vec<(Kind, String)>,
}

/// Reads one `<host>`; says whether it was up.
fn host(octets: &[u8], started: Option<Timestamp>, emit: &mut Emit<'_>) -> Result<bool, Problem> {
    let text = utf8(octets);
    let mut reader = quick_xml::Reader::from_str(&text);
    let mut host = Host::default();
    let mut script = String::new();
    let mut key = String::new();
    let damaged = |_| {
        Problem::new(
            "a host that is no well-formed XML",
            "the file was cut or edited; run the scan's export again",
        )
    };
    loop {
        match reader.read_event().map_err(damaged)? {
            Event::Start(element) => {
                host.element(&element, &mut script);
                if element.name().as_ref() == "elem" {
                    key = attribute(&element, "key").unwrap_or_default();
                }
            }
            Event::Empty(element) => host.element(&element, &mut script),
            Event::Text(value) if !key.is_empty() => {
                let value = value.trim().to_owned();
                host.scripted(&script, &key, &value);
            }
            Event::End(element) => match element.name().as_ref() {
                "elem" => key.clear(),
                "script" => script.clear(),
                _ => {}
            },
            Event::Eof => break,
            _ => {}
        }
    }
    Ok(host.tell(started, emit))
}

fn attribute(element: &BytesStart<'_>, name: &str) -> Option<String> {
    let attribute = element.try_get_attribute(name).ok()??;
    // References to characters and the five entities of XML; others leave the value as it is.
    let value = attribute
        .normalized_value(quick_xml::XmlVersion::Implicit1_0)
        .map(|value| value.into_owned());
    Some(value.unwrap_or_else(|_| attribute.value.into_owned()))
}

impl Host {
    fn element(&mut self, element: &BytesStart<'_>, script: &mut String) {
        let get = |name| attribute(element, name).unwrap_or_default();
        match element.name().as_ref() {
            "host" => {
                self.at =
                    moment::epoch(&get("endtime")).or_else(|| moment::epoch(&get("starttime")))
            }
            "status" => self.up = get("state") == "up",
            "address" => match get("addrtype").as_str() {
                "mac" => self.mac = mac(&get("addr")),
                _ => self
                    .addrs
                    .extend(address(&get("addr")).filter(|_| self.addrs.len() < 16)),
            },
            "hostname"
                // Names that the person at the scan typed say nothing about the device.
                if get("type") == "PTR" && self.names.len() < 16 => {
                    self.names
                        .push(get("name").trim_end_matches('.').to_ascii_lowercase());
                }
            "port"
                if self.ports.len() < 1 << 16 => {
                    self.ports.push(Port {
                        transport: get("protocol"),
                        number: get("portid").parse().unwrap_or(0),
                        ..Port::default()
                    });
                }
            "state" => {
                if let Some(port) = self.ports.last_mut() {
                    port.open = get("state") == "open";
                }
            }
            "service" => {
                if let Some(port) = self.ports.last_mut() {
                    // A name out of a table of ports is no finding.
                    if get("method") != "table" {
                        let parts = [get("product"), get("version"), get("extrainfo")];
                        port.service = parts
                            .iter()
                            .filter(|part| !part.is_empty())
                            .map(String::as_str)
                            .collect::<Vec<_>>()
                            .join(" ");
                        if port.service.is_empty() {
                            port.service = get("name");
                        }
                        let device = get("devicetype");
                        if !device.is_empty() {
                            port.service.push_str(&format!(" [{device}]"));
                        }
                        let name = get("hostname");
                        if !name.is_empty() && self.names.len() < 16 {
                            self.names.push(name.to_ascii_lowercase());
                        }
                    }
                }
            }
            "osmatch" => {
                let accuracy = get("accuracy").parse().unwrap_or(0);
                if accuracy >= ACCURACY_MIN
                    && self.os.as_ref().is_none_or(|(best, _)| accuracy > *best)
                {
                    self.os = Some((accuracy, get("name")));
                }
            }
            "script" => {
                *script = get("id");
                let output = get("output");
                match script.as_str() {
                    "http-server-header" => self.say(Kind::HttpServer, output.trim()),
                    "snmp-sysdescr" => self.say(
                        Kind::SnmpSysDescr,
                        output.trim().lines().next().unwrap_or_default(),
                    ),
                    "dicom-ping" => self.say(Kind::ScanService, "dicom"),
                    _ => {}
                }
            }
            _ => {}
        }
    }

    /// An element of a script's structured output, by an allow-list.
    fn scripted(&mut self, script: &str, key: &str, value: &str) {
        let kind = match (script, key) {
            ("http-title", "title") => Kind::HttpTitle,
            ("smb-os-discovery", "os") => Kind::ScanOs,
            ("smb-os-discovery", "server")
            | ("rdp-ntlm-info" | "http-ntlm-info" | "ms-sql-ntlm-info", "NetBIOS_Computer_Name")
            | ("nbstat", "server_name") => Kind::NtlmComputer,
            ("rdp-ntlm-info" | "http-ntlm-info" | "ms-sql-ntlm-info", "Product_Version") => {
                Kind::NtlmVersion
            }
            ("rdp-ntlm-info" | "http-ntlm-info" | "ms-sql-ntlm-info", "NetBIOS_Domain_Name") => {
                Kind::NtlmDomain
            }
            ("bacnet-info", "Vendor Name") => Kind::BacnetVendor,
            ("bacnet-info", "Model Name" | "Firmware" | "Object Name" | "Application Software") => {
                let name = match key {
                    "Model Name" => "model-name",
                    "Firmware" => "firmware-revision",
                    "Object Name" => "object-name",
                    _ => "application-software-version",
                };
                self.say(Kind::BacnetDevice, &format!("{name}={value}"));
                return;
            }
            ("dicom-ping", "config") => return,
            _ => return,
        };
        self.say(kind, value);
    }

    fn say(&mut self, kind: Kind, value: &str) {
        if self.said.len() < 256 {
            self.said.push((kind, value.to_owned()));
        }
    }

    fn tell(&self, started: Option<Timestamp>, emit: &mut Emit<'_>) -> bool {
        if !self.up || (self.addrs.is_empty() && self.mac.is_none()) {
            return false;
        }
        let at = self.at.or(started).unwrap_or_else(|| emit.at());
        let party = |addr| Party {
            mac: self.mac,
            addr,
            vlan: None,
        };
        let first = party(self.addrs.first().copied());
        for addr in &self.addrs {
            emit.seen(at, party(Some(*addr)));
            if self.mac.is_some() {
                emit.address(at, party(Some(*addr)), AddressSource::Table, None);
            }
        }
        if self.addrs.is_empty() {
            emit.seen(at, first);
        }
        for name in &self.names {
            emit.evidence(at, first, Kind::DnsName, name.as_str());
        }
        for port in self
            .ports
            .iter()
            .filter(|port| port.open && matches!(port.transport.as_str(), "tcp" | "udp" | "sctp"))
        {
            emit.evidence(
                at,
                first,
                Kind::Serves,
                format_args!("{}/{}", port.transport, port.number),
            );
            if !port.service.is_empty() {
                emit.evidence(
                    at,
                    first,
                    Kind::ScanService,
                    format_args!("{}/{} {}", port.transport, port.number, port.service),
                );
            }
        }
        if let Some((_, os)) = &self.os {
            emit.evidence(at, first, Kind::ScanOs, os.as_str());
        }
        for (kind, value) in &self.said {
            emit.evidence(at, first, *kind, value.as_str());
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Context, Format, Reader, recognise};
    use super::*;
    use domain::observation::{Collected, Fact, SourceId};

    const SCAN: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE nmaprun>
<nmaprun scanner="nmap" args="nmap -oX - 10.0.0.0/24" start="1795336205" version="7.93" xmloutputversion="1.05">
<hosthint><status state="up"/><address addr="10.0.0.5" addrtype="ipv4"/></hosthint>
<host starttime="1795336210" endtime="1795336220"><status state="up" reason="arp-response"/>
<address addr="10.0.0.5" addrtype="ipv4"/>
<address addr="00:1A:2B:3C:4D:5E" addrtype="mac" vendor="Ayecom"/>
<hostnames><hostname name="Pacs01.example.org" type="PTR"/><hostname name="typed" type="user"/></hostnames>
<ports><port protocol="tcp" portid="104"><state state="open"/><service name="dicom" product="Orthanc &amp; friends" version="1.2" method="probed" conf="10"/><script id="dicom-ping" output="&#xa;  dicom: DICOM Service Provider discovered!"/></port>
<port protocol="tcp" portid="80"><state state="closed"/><service name="http" method="table"/></port>
<port protocol="tcp" portid="8042"><state state="open"/><service name="fs-agent" method="table"/><script id="http-title" output="Orthanc Explorer"><elem key="title">Orthanc Explorer</elem><elem key="redirect_url">http://secret</elem></script></port></ports>
<os><osmatch name="Linux 5.0 - 5.4" accuracy="96"/><osmatch name="Linux 3.1" accuracy="95"/></os>
</host>
<host><status state="down"/><address addr="10.0.0.6" addrtype="ipv4"/></host>
<runstats><finished time="1795336300"/><hosts up="1" down="1" total="2"/></runstats>
</nmaprun>
"#;

    fn read(text: &str, piece: usize) -> (Vec<String>, Vec<Problem>) {
        assert_eq!(recognise(text.as_bytes(), "scan"), Format::NmapXml);
        let context = Context {
            source: SourceId(0),
            at: Timestamp::from_millis(0),
        };
        let mut reader =
            Reader::new(Format::NmapXml, "scan", context, None).expect("a format of records");
        let mut sink = Collected::default();
        for piece in text.as_bytes().chunks(piece) {
            reader.push(piece, &mut sink);
        }
        reader.finish(&mut sink);
        let said = sink
            .observations
            .into_iter()
            .map(|o| match o.fact {
                Fact::Evidence { kind, value } => format!("{kind}={value}"),
                Fact::Address { .. } => format!("address {:?}", o.about.party.addr),
                _ => format!("seen at {}", o.at),
            })
            .collect();
        (said, reader.take_problems())
    }

    #[test]
    fn a_scan_is_read_however_it_is_cut() {
        let (whole, problems) = read(SCAN, 1 << 20);
        assert_eq!(problems, []);
        assert_eq!(
            whole,
            [
                "seen at 2026-11-22T08:30:20.000Z",
                "address Some(10.0.0.5)",
                "dns.name=pacs01.example.org",
                "service.serves=tcp/104",
                "scan.service=tcp/104 Orthanc & friends 1.2",
                "service.serves=tcp/8042",
                "scan.os=Linux 5.0 - 5.4",
                "scan.service=dicom",
                "http.title=Orthanc Explorer",
            ]
        );
        for piece in [4, 7, 13, 100] {
            assert_eq!(read(SCAN, piece).0, whole, "pieces of {piece}");
        }
    }

    #[test]
    fn a_scan_that_was_stopped_keeps_its_whole_hosts() {
        let cut = SCAN.find("<host><status").expect("the second host");
        let (said, problems) = read(&SCAN[..cut + 20], 50);
        assert_eq!(said.len(), 9);
        assert_eq!(problems.len(), 1);
        assert_eq!(problems[0].line, Some(14));
    }

    #[test]
    fn damage_costs_one_host() {
        let text = SCAN
            .replace("</ports>", "</prts>")
            .replace("state=\"down\"", "state=\"up\"");
        let (said, problems) = read(&text, 64);
        assert_eq!(said, ["seen at 2026-11-22T08:30:05.000Z"]);
        assert_eq!(problems.len(), 1, "{problems:?}");
    }
}

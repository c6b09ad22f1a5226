//! Multicast DNS with service discovery: what a device offers, what it looks for, how it describes itself.

use domain::observation::EvidenceKind;

use super::name::Name;
use super::{Message, Record, kind, texts};
use crate::application::{Findings, Scene};
use crate::counters::Parser;
use crate::text::Printable;

/// Questions of one message that are read.
const QUESTIONS_MAX: u16 = 64;

/// Keys of TXT records that describe the device, in lower case: printers (Bonjour Printing), AirPlay and AirTunes, Cast,
/// HomeKit and Matter, SSH and workstation records, scanners, cameras, home sensors, network storage, lights.
const DESCRIBING: [&[u8]; 50] = [
    b"am",
    b"board",
    b"c#",
    b"ci",
    b"deviceid",
    b"displaymodel",
    b"dt",
    b"dtype",
    b"firmware_version",
    b"fn",
    b"fv",
    b"fw",
    b"fwver",
    b"hardware_ver",
    b"hw",
    b"hwver",
    b"id",
    b"integrator",
    b"mac",
    b"manufacturer",
    b"md",
    b"mdl",
    b"mf",
    b"mfg",
    b"model",
    b"model_name",
    b"model_number",
    b"modelid",
    b"modelname",
    b"modelnumber",
    b"name",
    b"nm",
    b"osvers",
    b"osxvers",
    b"platform",
    b"product",
    b"rpmd",
    b"rpvr",
    b"serial",
    b"serialnumber",
    b"srcvers",
    b"sw",
    b"ty",
    b"usb_mdl",
    b"usb_mfg",
    b"ve",
    b"vendor",
    b"version",
    b"vp",
    b"vs",
];

/// Pairs of one TXT record that are read.
const PAIRS_MAX: usize = 64;

pub(super) fn dissect(_scene: &Scene, payload: &[u8], findings: &mut Findings<'_>) -> bool {
    let Some(mut message) = Message::read(payload) else {
        return false;
    };
    let header = message.header;
    if header.operation() != 0 || header.questions > 512 {
        return false;
    }
    for _ in 0..header.questions.min(QUESTIONS_MAX) {
        let Some((name, ..)) = message.question() else {
            findings.malformed(Parser::Dns);
            return true;
        };
        if !header.is_response()
            && let Some(service) = Service::of(&name)
        {
            let value = format_args!("{service}");
            findings.about_speaker(EvidenceKind::MdnsQuery, value);
        }
    }
    // Answers in a query are what the asker knows already: another's. What it wants to be its own stands among the
    // authorities (RFC 6762 section 8.2).
    if header.questions > QUESTIONS_MAX {
        return true;
    }
    let answers = usize::from(header.records[0]);
    for place in 0..message.records() {
        let Some(record) = message.record() else {
            findings.malformed(Parser::Dns);
            return true;
        };
        if header.is_response() || (place >= answers && record.kind != kind::TXT) {
            own(&message, &record, findings);
        }
    }
    true
}

/// Takes a record that the speaker says of itself.
fn own(message: &Message<'_>, record: &Record<'_>, findings: &mut Findings<'_>) {
    match record.kind {
        kind::PTR => {
            let Some(target) = message.name_in(record, 0) else {
                findings.malformed(Parser::Dns);
                return;
            };
            if record.name.is_reverse() {
                host(&target, findings);
            } else if record
                .name
                .is(&[b"_services", b"_dns-sd", b"_udp", b"local"])
            {
                offered(&target, findings);
            } else {
                offered(&record.name, findings);
                instance(&target, findings);
            }
        }
        kind::SRV => {
            offered(&record.name, findings);
            instance(&record.name, findings);
            if let Some(target) = message.name_in(record, 6) {
                host(&target, findings);
            }
        }
        kind::TXT => {
            offered(&record.name, findings);
            for pair in texts(record.data).take(PAIRS_MAX) {
                let Some(equals) = memchr::memchr(b'=', pair) else {
                    continue;
                };
                let (key, value) = (&pair[..equals], &pair[equals + 1..]);
                let describes = DESCRIBING.iter().any(|name| name.eq_ignore_ascii_case(key));
                if describes && !value.is_empty() {
                    let value = format_args!("{}={}", Printable(key), Printable(value));
                    findings.about_speaker(EvidenceKind::MdnsTxt, value);
                }
            }
        }
        kind::A | kind::AAAA => host(&record.name, findings),
        kind::HINFO => {
            let mut parts = texts(record.data);
            if let (Some(hardware), Some(system)) = (parts.next(), parts.next()) {
                let value = format_args!("hinfo={} {}", Printable(hardware), Printable(system));
                findings.about_speaker(EvidenceKind::MdnsTxt, value);
            }
        }
        _ => {}
    }
}

/// `host.local` without `.local`.
fn host(name: &Name, findings: &mut Findings<'_>) {
    let mut labels = name.labels();
    if let (Some(host), Some(local), None) = (labels.next(), labels.next(), labels.next())
        && local.eq_ignore_ascii_case(b"local")
    {
        findings.about_speaker(EvidenceKind::MdnsName, host);
    }
}

fn offered(name: &Name, findings: &mut Findings<'_>) {
    if let Some(service) = Service::of(name) {
        findings.about_speaker(EvidenceKind::MdnsService, format_args!("{service}"));
    }
}

/// `Instance._service._tcp.local`: everything before the service.
fn instance(name: &Name, findings: &mut Findings<'_>) {
    let is_instance = {
        let mut labels = name.labels();
        labels.next().is_some_and(|first| !first.starts_with(b"_")) && Service::of(name).is_some()
    };
    if is_instance && let Some(first) = name.labels().next() {
        findings.about_speaker(EvidenceKind::MdnsInstance, first);
    }
}

/// The service type in a name: its last two labels before `local`.
struct Service<'a>(&'a [u8], &'a [u8]);

impl<'a> Service<'a> {
    fn of(name: &'a Name) -> Option<Self> {
        let mut labels = name.labels();
        let local = labels.next_back()?;
        let transport = labels.next_back()?;
        let service = labels.next_back()?;
        let fits = local.eq_ignore_ascii_case(b"local")
            && (transport.eq_ignore_ascii_case(b"_tcp") || transport.eq_ignore_ascii_case(b"_udp"))
            && service.starts_with(b"_");
        fits.then_some(Self(service, transport))
    }
}

impl std::fmt::Display for Service<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", Printable(self.0), Printable(self.1))
    }
}

#[cfg(test)]
mod tests {
    use domain::net::Transport;

    use super::*;
    use crate::application::testing::{datagram, scene};

    fn record(name: &[u8], kind: u16, data: &[u8]) -> Vec<u8> {
        let length = data.len() as u16;
        [
            name,
            &kind.to_be_bytes(),
            &[0, 1, 0, 0, 0, 120],
            &length.to_be_bytes(),
            data,
        ]
        .concat()
    }

    const SERVICE: &[u8] = b"\x04_ipp\x04_tcp\x05local\x00";
    const INSTANCE: &[u8] = b"\x0dLabel Printer\x04_ipp\x04_tcp\x05local\x00";
    const HOST: &[u8] = b"\x05zebra\x05local\x00";

    #[test]
    fn a_printer_says_what_it_is() {
        let octets = [
            &[0, 0, 0x84, 0, 0, 0, 0, 4, 0, 0, 0, 0][..],
            &record(SERVICE, kind::PTR, INSTANCE),
            &record(
                INSTANCE,
                kind::SRV,
                &[&[0, 0, 0, 0, 2, 0x77], HOST].concat(),
            ),
            &record(
                INSTANCE,
                kind::TXT,
                b"\x09txtvers=1\x0cty=Acme 2000\x11model_number=A-20\x10Modelname=Zebra1\x08note=Ann",
            ),
            &record(HOST, kind::A, &[10, 0, 0, 1]),
        ]
        .concat();
        let (recognised, heard, _) = datagram(dissect, &scene(Transport::Udp, 5353), &octets);
        assert!(recognised);
        assert_eq!(
            heard,
            [
                "mdns.service _ipp._tcp",
                "mdns.instance Label Printer",
                "mdns.name zebra",
                "mdns.txt ty=Acme 2000",
                "mdns.txt model_number=A-20",
                "mdns.txt Modelname=Zebra1",
            ]
        );
    }

    #[test]
    fn what_the_asker_knows_already_is_not_its_own() {
        let octets = [
            &[0, 0, 0, 0, 0, 1, 0, 1, 0, 1, 0, 0][..],
            SERVICE,
            &[0, 12, 0, 1],
            &record(SERVICE, kind::PTR, INSTANCE),
            &record(b"\x06laptop\x05local\x00", kind::A, &[10, 0, 0, 1]),
        ]
        .concat();
        let (_, heard, _) = datagram(dissect, &scene(Transport::Udp, 5353), &octets);
        assert_eq!(heard, ["mdns.query _ipp._tcp", "mdns.name laptop"]);
    }
}

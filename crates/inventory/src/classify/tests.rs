use super::*;
use crate::fingerprint::UNVERIFIED_MAX;
use domain::EvidenceKind as E;

fn identify(evidence: &[(E, &str)]) -> Identification {
    let evidence: Vec<Evidence> = evidence
        .iter()
        .map(|(kind, value)| Evidence::new(*kind, *value))
        .collect();
    Knowledge::hospital().identify(&evidence)
}

/// Checks type and whether the answer is sure enough to act on.
fn check(evidence: &[(E, &str)], kind: &str, least: f32) -> Identification {
    let answer = identify(evidence);
    assert_eq!(answer.kind.as_deref(), Some(kind), "{answer:#?}");
    assert!(answer.confidence >= least, "{answer:#?}");
    assert!(!answer.abstained);
    assert!(answer.contradictions.is_empty(), "{answer:#?}");
    answer
}

/// Checks a type that only fingerprints nobody has checked name: it is said, and no more than that.
fn unsure(evidence: &[(E, &str)], kind: &str) -> Identification {
    let answer = identify(evidence);
    assert_eq!(answer.kind.as_deref(), Some(kind), "{answer:#?}");
    assert!(answer.confidence <= UNVERIFIED_MAX, "{answer:#?}");
    assert_eq!(answer.criticality, None, "{answer:#?}");
    answer
}

#[test]
fn every_example_of_the_shipped_packs_passes_and_every_fingerprint_has_an_example_and_a_source() {
    let mut fingerprints = 0;
    let mut failures = Vec::new();
    for pack in Knowledge::hospital().packs() {
        for result in pack.test() {
            if let Some(failure) = result.failure {
                failures.push(format!(
                    "{} line {}: `{}` {failure}",
                    pack.name(),
                    result.line,
                    result.example
                ));
            }
        }
        for database in pack.databases() {
            assert!(database.kinds().count() > 0, "{}", database.matches());
            assert_eq!(
                database.kinds().count(),
                database.matches().split_whitespace().count(),
                "{}: a word of `{}` is no kind of evidence",
                pack.name(),
                database.matches()
            );
            for fingerprint in database.fingerprints() {
                fingerprints += 1;
                let place = format!("{} line {}", pack.name(), fingerprint.line);
                assert!(fingerprint.examples() > 0, "{place}: no example");
                let source = fingerprint.source.as_deref().unwrap_or_default();
                assert!(!source.is_empty(), "{place}: no source");
                let nobody_looked = ["not looked up", "each names its own"]
                    .iter()
                    .any(|words| source.starts_with(words));
                assert!(
                    !(fingerprint.verified && nobody_looked),
                    "{place}: verified, but `{source}` is nothing that was looked at"
                );
            }
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert!(fingerprints > 1_000, "{fingerprints} fingerprints");
}

#[test]
fn every_example_finds_its_own_fingerprint_in_its_database() {
    // An earlier fingerprint that takes the example makes a later one useless.
    let mut shadowed = Vec::new();
    for pack in Knowledge::hospital().packs() {
        for database in pack.databases() {
            for fingerprint in database.fingerprints() {
                for text in fingerprint.example_texts() {
                    let Some(found) = database.find_text(text) else {
                        continue;
                    };
                    if found.fingerprint.line != fingerprint.line {
                        shadowed.push(format!(
                            "{} line {}: `{}` is taken by line {}",
                            pack.name(),
                            fingerprint.line,
                            String::from_utf8_lossy(text),
                            found.fingerprint.line
                        ));
                    }
                }
            }
        }
    }
    assert!(shadowed.is_empty(), "{}", shadowed.join("\n"));
}

#[test]
fn devices_of_a_ward_are_known_by_what_they_say() {
    check(
        &[
            (E::MacVendor, "B.Braun Melsungen AG"),
            (E::Hl7Application, "PAT_DEVICE_BBRAUN"),
            (E::Hl7Message, "ORU^R01 2.6"),
            (E::Hl7Eui64, "0012210A0B0C0D0E"),
        ],
        "infusion_pump",
        0.7,
    );
    let answer = check(
        &[
            (E::MacVendor, "Siemens Healthcare Diagnostics"),
            (E::DicomAeTitle, "CTLAB1"),
            (E::DicomDevice, "Modality=CT"),
            (E::DicomDevice, "ModelName=SOMATOM go.Top"),
            (E::DicomDevice, "Manufacturer=SIEMENS"),
            (E::DicomSopClass, "scu 1.2.840.10008.5.1.4.1.1.2"),
            (E::DicomImplementationClass, "1.2.276.0.7230010.3.0.3.6.7"),
            (E::DicomImplementationVersion, "OFFIS_DCMTK_367"),
        ],
        "ct_scanner",
        0.9,
    );
    assert_eq!(answer.vendor.as_deref(), Some("Siemens Healthineers"));
    assert_eq!(answer.model.as_deref(), Some("SOMATOM go.Top"));
    check(
        &[
            (E::DicomSopClass, "scp 1.2.840.10008.5.1.4.1.1.2"),
            (E::DicomSopClass, "scp 1.2.840.10008.5.1.4.1.2.2.1"),
            (E::HttpServer, "nginx/1.22.1"),
            (E::Serves, "tcp/104"),
        ],
        "pacs",
        0.85,
    );
    unsure(
        &[
            (
                E::MacVendor,
                "Philips Medical Systems - Cardiac and Monitoring Systems (CM",
            ),
            (E::WsdType, "dpws:MedicalDevice"),
            (E::VendorDiscovery, "philips-connect-indication"),
        ],
        "patient_monitor",
    );
    check(
        &[
            (E::MdnsService, "_ipp._tcp"),
            (E::IppPrinter, "printer-make-and-model=HP LaserJet M507"),
            (E::Serves, "tcp/9100"),
        ],
        "printer",
        0.95,
    );
    check(
        &[
            (
                E::SnmpSysDescr,
                "Cisco IOS Software, C2960 Software (C2960-LANBASEK9-M), Version 15.0(2)SE11",
            ),
            (E::SnmpSysObjectId, "1.3.6.1.4.1.9.1.1208"),
            (E::LldpCapabilities, "bridge"),
        ],
        "switch",
        0.7,
    );
    let answer = unsure(
        &[
            (E::BacnetVendor, "7"),
            (E::BacnetDevice, "model-name=PXC4.E16"),
            (E::BacnetInstance, "260001"),
        ],
        "building_controller",
    );
    assert_eq!(
        answer.category.as_deref(),
        Some("building"),
        "its numbered vendor shows that it speaks BACnet"
    );
    let answer = check(
        &[
            (E::DhcpVendorClass, "MSFT 5.0"),
            (E::DhcpHostname, "DESKTOP-4F7GH2K"),
            (E::NtlmVersion, "10.0.19045"),
            (
                E::HttpUserAgent,
                "Mozilla/5.0 (Windows NT 10.0; Win64; x64)",
            ),
        ],
        "workstation",
        0.7,
    );
    assert!(answer.os.is_some_and(|os| os.contains("Windows")));
}

#[test]
fn an_address_block_alone_says_the_maker_and_what_it_makes_at_most() {
    let answer = identify(&[(E::MacVendor, "B.Braun Melsungen AG")]);
    assert_eq!(answer.vendor.as_deref(), Some("B. Braun"));
    assert_eq!(answer.category.as_deref(), Some("medical"));
    assert!(answer.abstained);
    assert_eq!(answer.kind, None);
    let answer = identify(&[(E::MacVendor, "Intel Corporate")]);
    assert_eq!(
        answer.vendor, None,
        "who made the interface made not the device"
    );
    assert!(answer.abstained);
    let answer = identify(&[(E::MacVendor, "Unheard Of Devices Co., Ltd.")]);
    assert_eq!(answer.vendor.as_deref(), Some("Unheard Of Devices"));
    assert!(!answer.settle.is_empty());
    assert_eq!(identify(&[]).kind, None);
}

#[test]
fn claims_without_a_verified_source_never_count_above_their_bound() {
    let answer = identify(&[
        (E::DhcpHostname, "alaris-pcu-12"),
        (E::MdnsName, "alaris-pcu-12"),
        (E::NbnsName, "ALARIS-PCU-12<00>"),
        (E::SnmpSysName, "alaris-pcu-12"),
        (E::DicomAeTitle, "CT01"),
    ]);
    assert!(answer.confidence <= UNVERIFIED_MAX, "{answer:#?}");
}

#[test]
fn an_unverified_fingerprint_never_drives_enforcement() {
    let pack = |verified: bool| {
        let text = format!(
            r#"<fingerprints matches="dhcp.hostname mdns.service ssdp.type http.title" source="x" verified="{verified}">
            <fingerprint pattern="^stamp" certainty="0.97"><description>d</description><example>stamp</example>
            <param pos="0" name="hw.device" value="printer"/></fingerprint></fingerprints>"#
        );
        Knowledge::empty().with_pack(Pack::parse("p.xml", text.as_bytes()).expect("a pack"))
    };
    // However much of it there is, from however many protocols.
    let seen: Vec<Evidence> = [E::DhcpHostname, E::MdnsService, E::SsdpType, E::HttpTitle]
        .into_iter()
        .map(|kind| Evidence::new(kind, "stamp"))
        .collect();
    let unchecked = pack(false).identify(&seen);
    assert_eq!(unchecked.kind.as_deref(), Some("printer"));
    assert!(unchecked.confidence <= UNVERIFIED_MAX, "{unchecked:#?}");
    assert_eq!(
        unchecked.criticality, None,
        "what is around it is treated as around a device of unknown class"
    );
    let checked = pack(true).identify(&seen);
    assert!(checked.confidence > 0.9, "{checked:#?}");
    assert!(checked.criticality.is_some());
}

#[test]
fn an_address_block_proves_a_maker_and_no_category() {
    for (organisation, vendor) in [
        ("B.Braun Melsungen AG", "B. Braun"),
        ("Brother Industries, LTD.", "Brother"),
    ] {
        let answer = identify(&[(E::MacVendor, organisation)]);
        assert_eq!(answer.vendor.as_deref(), Some(vendor));
        assert!(answer.confidence <= UNVERIFIED_MAX, "{answer:#?}");
        assert_eq!(answer.criticality, None);
    }
}

#[test]
fn what_runs_on_a_computer_is_not_contradicted_by_it() {
    let answer = check(
        &[
            (E::DicomDevice, "Modality=MR"),
            (E::NtlmVersion, "6.1.7601"),
            (E::HttpUserAgent, "Mozilla/5.0 (Windows NT 6.1; WOW64)"),
            (E::SmbDialect, "server 2.1"),
        ],
        "mri_scanner",
        0.8,
    );
    assert_eq!(answer.os.as_deref(), Some("Microsoft Windows 7"));
}

#[test]
fn whoever_passes_on_the_words_of_several_devices_is_none_of_them() {
    let one = [
        (E::Hl7Application, "PAT_DEVICE_BBRAUN"),
        (E::Hl7Device, "type=MDC_DEV_PUMP_INFUS_MDS"),
        (E::Hl7Eui64, "001221FFFE22B1FB"),
    ];
    assert_eq!(identify(&one).kind.as_deref(), Some("infusion_pump"));
    let gateway = identify(&[one[0], one[1], one[2], (E::Hl7Eui64, "001221FFFE4039B8")]);
    assert_eq!(gateway.kind, None, "{gateway:#?}");
    assert_eq!(gateway.vendor, None, "the makers of what stands behind it");
}

#[test]
fn strong_evidence_for_two_unlike_devices_is_a_contradiction() {
    let answer = identify(&[
        (E::Hl7Application, "PAT_DEVICE_BBRAUN"),
        (E::Hl7Device, "model=Infusomat Space"),
        (E::IppPrinter, "printer-make-and-model=HP LaserJet M507"),
        (E::MdnsService, "_ipp._tcp"),
    ]);
    assert!(!answer.contradictions.is_empty(), "{answer:#?}");
    assert_eq!(answer.criticality, None, "it counts as life-critical");
    assert!(
        answer.settle[0].contains("look at it"),
        "{:?}",
        answer.settle
    );
    // A person who looked settles it.
    let answer = identify(&[
        (E::Hl7Device, "model=Infusomat Space"),
        (E::IppPrinter, "printer-make-and-model=HP LaserJet M507"),
        (E::Confirmed, "infusion_pump"),
    ]);
    assert_eq!(answer.kind.as_deref(), Some("infusion_pump"));
    assert!(answer.contradictions.is_empty());
}

#[test]
fn rows_tell_what_each_piece_says_and_how_much_it_weighs() {
    let answer = identify(&[
        (E::Uses, "udp/123"),
        (E::DicomDevice, "Modality=CT"),
        (E::MacVendor, "LEXMARK INTERNATIONAL, INC."),
    ]);
    let row = |at: usize| answer.rows.iter().find(|row| row.0 == at);
    assert_eq!(row(0), None);
    let (_, says, weight) = row(1).expect("it says something");
    assert_eq!(says, "type=ct_scanner");
    assert!(*weight > 3.0);
    let (_, says, weight) = row(2).expect("it says something");
    assert!(says.contains("vendor=Lexmark"), "{says}");
    assert!(*weight < 0.0, "{weight}");
}

#[test]
fn local_packs_add_to_the_shipped_ones_and_broken_ones_are_refused() {
    let pack = r#"<fingerprints matches="dhcp.hostname" source="J. Doe, 2026-11-22" verified="true">
        <fingerprint pattern="^ward-pump-" certainty="0.99"><description>ours</description>
        <example>ward-pump-7</example><param pos="0" name="hw.device" value="infusion_pump"/></fingerprint>
        </fingerprints>"#;
    let local = Knowledge::hospital()
        .with_local(&[("local.xml", pack)])
        .expect("a sound pack");
    let answer = local.identify(&[Evidence::new(E::DhcpHostname, "ward-pump-12")]);
    assert_eq!(answer.kind.as_deref(), Some("infusion_pump"));
    assert!(answer.confidence > 0.9);
    let broken = pack.replace(">ward-pump-7<", ">pump<");
    assert!(
        Knowledge::hospital()
            .with_local(&[("b.xml", &broken)])
            .is_err()
    );
}

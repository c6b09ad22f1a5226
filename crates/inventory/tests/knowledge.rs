//! What must hold of every answer, whatever the evidence.

use std::time::Instant;

use domain::EvidenceKind;
use inventory::{Evidence, Identification, Knowledge, Pack};
use proptest::prelude::*;

/// Values that mean something to the shipped packs, beside any other text.
const VALUES: &[(EvidenceKind, &str)] = &[
    (EvidenceKind::MacVendor, "B.Braun Melsungen AG"),
    (
        EvidenceKind::MacVendor,
        "Hangzhou Hikvision Digital Technology Co.,Ltd.",
    ),
    (EvidenceKind::Hl7Application, "PAT_DEVICE_BBRAUN"),
    (EvidenceKind::Hl7Device, "model=Infusomat Space"),
    (EvidenceKind::DicomDevice, "Modality=CT"),
    (EvidenceKind::DicomSopClass, "scu 1.2.840.10008.5.1.4.1.1.2"),
    (
        EvidenceKind::DicomSopClass,
        "scp 1.2.840.10008.5.1.4.1.2.2.1",
    ),
    (EvidenceKind::DhcpVendorClass, "MSFT 5.0"),
    (EvidenceKind::DhcpHostname, "DESKTOP-4F7GH2K"),
    (
        EvidenceKind::IppPrinter,
        "printer-make-and-model=HP LaserJet M507",
    ),
    (EvidenceKind::MdnsService, "_ipp._tcp"),
    (EvidenceKind::LldpCapabilities, "bridge,router"),
    (EvidenceKind::Serves, "tcp/9100"),
    (
        EvidenceKind::HttpUserAgent,
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64)",
    ),
    (EvidenceKind::WsdType, "dpws:MedicalDevice"),
    (EvidenceKind::RegisterType, "Infusion Pump"),
];

fn evidence() -> impl Strategy<Value = Evidence> {
    let known = prop::sample::select(VALUES).prop_map(|(kind, value)| Evidence::new(kind, value));
    let any = (prop::sample::select(EvidenceKind::ALL), ".{0,40}")
        .prop_map(|(kind, value)| Evidence::new(kind, value));
    prop_oneof![2 => known, 1 => any]
}

/// Answers compared where rows mean the same evidence.
fn comparable(answer: &Identification, given: &[Evidence]) -> String {
    let mut rows: Vec<_> = answer
        .rows
        .iter()
        .map(|(at, says, weight)| (given[*at].clone(), says.clone(), weight.to_bits()))
        .collect();
    rows.sort();
    let mut plain = answer.clone();
    plain.rows.clear();
    for contradiction in &mut plain.contradictions {
        contradiction.one_rows.clear();
        contradiction.other_rows.clear();
    }
    format!("{plain:?} {} {rows:?}", plain.confidence.to_bits())
}

proptest! {
    #[test]
    fn the_order_of_evidence_changes_no_bit_of_the_answer(
        given in prop::collection::vec(evidence(), 0..12),
        seed in any::<u64>(),
    ) {
        let knowledge = Knowledge::hospital();
        let mut shuffled = given.clone();
        let mut state = seed;
        for at in (1..shuffled.len()).rev() {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let other = usize::try_from(state >> 33).expect("31 bits") % (at + 1);
            shuffled.swap(at, other);
        }
        prop_assert_eq!(
            comparable(&knowledge.identify(&given), &given),
            comparable(&knowledge.identify(&shuffled), &shuffled)
        );
    }

    #[test]
    fn an_answer_keeps_within_its_bounds(given in prop::collection::vec(evidence(), 0..16)) {
        let answer = Knowledge::hospital().identify(&given);
        prop_assert!((0.0..=1.0).contains(&answer.confidence));
        prop_assert!((0.0..=1.0).contains(&answer.explained));
        prop_assert_eq!(answer.abstained, answer.kind.is_none());
        let sound = |row: &(usize, smol_str::SmolStr, f32)| {
            row.0 < given.len() && !row.1.is_empty() && row.2.is_finite()
        };
        prop_assert!(answer.rows.iter().all(sound));
        for contradiction in &answer.contradictions {
            prop_assert!(contradiction.one_rows.iter().all(|at| *at < given.len()));
            prop_assert!(contradiction.other_rows.iter().all(|at| *at < given.len()));
        }
        if !answer.contradictions.is_empty() {
            prop_assert_eq!(answer.criticality, None);
        }
    }

    #[test]
    fn noise_never_makes_an_answer_surer(
        given in prop::collection::vec(evidence(), 0..8),
        noise in prop::collection::vec("[qxz]{8,12}", 1..12),
    ) {
        // Names that no pack knows: they say nothing, and leave more unexplained.
        let knowledge = Knowledge::hospital();
        let before = knowledge.identify(&given);
        let mut more = given.clone();
        more.extend(noise.iter().map(|name| {
            Evidence::new(EvidenceKind::DnsQuery, format!("{name}.qxz.example"))
        }));
        let after = knowledge.identify(&more);
        prop_assert!(after.explained <= before.explained);
        // Where it declines to name a type, its confidence is that of the category: another claim.
        if after.kind.is_some() {
            prop_assert!(after.confidence <= before.confidence, "{before:?} {after:?}");
            prop_assert_eq!(after.kind, before.kind);
        }
    }

    #[test]
    fn any_octets_are_a_pack_or_refused(octets in prop::collection::vec(any::<u8>(), 0..400)) {
        if let Ok(pack) = Pack::parse("any", &octets) {
            pack.test();
        }
    }

    #[test]
    fn any_text_like_a_pack_is_one_or_refused(
        pattern in ".{0,40}",
        position in ".{0,6}",
        text in ".{0,40}",
        cut in 0_usize..400,
    ) {
        let escape = |text: &str| text.replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;");
        let whole = format!(
            "<fingerprints matches=\"http.server\"><fingerprint pattern=\"{}\"><description>x</description>\
             <example>{}</example><param pos=\"{}\" name=\"hw.device\" value=\"{{{}}}\"/></fingerprint></fingerprints>",
            escape(&pattern), escape(&text), escape(&position), escape(&text),
        );
        for part in [whole.as_str(), whole.get(..cut).unwrap_or_default()] {
            if let Ok(pack) = Pack::parse("like.xml", part.as_bytes()) {
                pack.test();
                Knowledge::empty()
                    .with_pack(pack)
                    .identify(&[Evidence::new(EvidenceKind::HttpServer, text.as_str())]);
            }
        }
    }
}

#[test]
fn an_answer_is_quick_once_its_patterns_are_compiled() {
    let knowledge = Knowledge::hospital();
    let given: Vec<Evidence> = VALUES
        .iter()
        .map(|(kind, value)| Evidence::new(*kind, *value))
        .collect();
    let first = Instant::now();
    knowledge.identify(&given);
    let first = first.elapsed();
    let again = Instant::now();
    for _ in 0..100 {
        knowledge.identify(&given);
    }
    println!("first {first:?}, then {:?}", again.elapsed() / 100);
}

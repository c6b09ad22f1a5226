//! Nothing about a patient leaves the sensor: names, numbers and dates of birth are planted wherever the protocols of a
//! hospital carry them, and every output is searched for them. What describes devices in the same traffic must be
//! there, so that the search is not of silence.

#[path = "../../wire/tests/support/dicom.rs"]
mod dicom;
#[path = "support/odd.rs"]
mod odd;
#[path = "support/planted.rs"]
mod planted;
#[path = "support/traffic.rs"]
mod traffic;

use planted::{CT, PLANTED, cases, dicom_said, hl7};

#[test]
fn nothing_about_a_patient_is_in_any_output() {
    for segment in [1_400, 61, 1] {
        for case in cases(segment) {
            let (collected, counters) = traffic::sense(&case.packets);
            let json =
                serde_json::to_string(&(&collected.observations, &collected.flows, counters))
                    .expect("plain data");
            let outputs = format!("{collected:?}\n{counters:?}\n{json}");
            for expected in case.expected {
                assert!(
                    outputs.contains(expected),
                    "{}: `{expected}` is not said (segments of {segment}): {:#?}",
                    case.name,
                    collected.observations
                );
            }
            let lower = outputs.to_ascii_lowercase();
            for planted in PLANTED {
                assert!(
                    !lower.contains(&planted.to_ascii_lowercase()),
                    "{}: `{planted}` got out (segments of {segment}): {:#?}",
                    case.name,
                    collected
                );
            }
        }
    }
}

#[test]
fn what_a_capture_cut_off_or_lost_does_not_let_a_patient_out() {
    for case in cases(97) {
        for keep in (1..case.packets.len()).step_by(3) {
            // The end is missing; the beginning is missing; one packet is missing; packets are cut short.
            let cut: Vec<Vec<u8>> = case
                .packets
                .iter()
                .map(|packet| packet[..packet.len().min(54 + keep % 97)].to_vec())
                .collect();
            let mut lost = case.packets.clone();
            lost.remove(keep);
            for packets in [&case.packets[..keep], &case.packets[keep..], &lost, &cut] {
                let (collected, counters) = traffic::sense(packets);
                let json =
                    serde_json::to_string(&(&collected.observations, &collected.flows, counters))
                        .expect("plain data");
                let lower = format!("{collected:?}{counters:?}{json}").to_ascii_lowercase();
                for planted in PLANTED {
                    assert!(
                        !lower.contains(&planted.to_ascii_lowercase()),
                        "{} at {keep}: `{planted}` got out: {collected:#?}",
                        case.name
                    );
                }
            }
        }
    }
}

#[test]
fn errors_and_debug_texts_of_the_grammars_name_no_contents() {
    let mut texts = String::new();
    for said in hl7().iter().chain(&dicom_said()) {
        texts += &format!("{:?}", wire::hl7::frame(&said.octets, 1 << 16));
        for end in (0..said.octets.len().min(600)).step_by(7) {
            texts += &format!("{:?}", wire::dicom::pdu(&said.octets[..end]));
            let _ = wire::dicom::command(&said.octets[..end])
                .map_err(|error| texts += &error.to_string());
        }
        let inside = said.octets.strip_prefix(&[0x0b]).unwrap_or(&said.octets);
        if let Ok(message) = wire::hl7::Message::parse(inside) {
            texts += &format!(
                "{message:?}{:?}{:?}",
                message.doubts(),
                message.segments().collect::<Vec<_>>()
            );
        }
    }
    let command = dicom::command(0x0001, CT, "2.25.7788990011", true, None);
    texts += &format!("{:?}", wire::dicom::command(&command).expect("well-formed"));
    let lower = texts.to_ascii_lowercase();
    for planted in PLANTED {
        // AE titles and UIDs of classes are not a patient's; instances are.
        assert!(
            !lower.contains(&planted.to_ascii_lowercase()),
            "`{planted}` got out"
        );
    }
}

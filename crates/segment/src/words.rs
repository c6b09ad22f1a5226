//! Hospital words for types of devices, and who is asked to confirm what concerns them.

/// Parts of type names that are not plain lower-case words.
const SPELLINGS: &[(&str, &str)] = &[
    ("ct", "CT"),
    ("mri", "MRI"),
    ("pet", "PET"),
    ("ecg", "ECG"),
    ("eeg", "EEG"),
    ("xray", "X-ray"),
    ("pacs", "image archives (PACS)"),
    ("ehr", "EHR"),
    ("dns", "DNS"),
    ("dicom", "DICOM"),
    ("ups", "uninterruptible power supplies"),
    ("plc", "programmable controllers"),
    ("voip", "VoIP"),
    ("iot", "IoT"),
    ("tv", "TV"),
];

/// What people call devices of a type: `infusion_pump` becomes `Infusion pumps`.
pub fn plural(kind: &str) -> String {
    let mut text = String::new();
    for part in kind.split('_').filter(|p| !p.is_empty()) {
        if !text.is_empty() {
            text.push(' ');
        }
        match SPELLINGS.iter().find(|(own, _)| *own == part) {
            Some((_, spelled)) => text.push_str(spelled),
            None => text.push_str(part),
        }
    }
    let whole = SPELLINGS
        .iter()
        .any(|(own, s)| *own == kind && s.ends_with([')', 's']));
    if !whole && kind != "storage" {
        if text.ends_with('y') && !text.ends_with("ay") && !text.ends_with("ey") {
            text.pop();
            text.push_str("ies");
        } else if text.ends_with(['s', 'x']) || text.ends_with("ch") || text.ends_with("sh") {
            text.push_str("es");
        } else {
            text.push('s');
        }
    }
    capitalised(&text)
}

/// The text with its first letter in upper case.
pub fn capitalised(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| {
        first.to_uppercase().chain(letters).collect()
    })
}

/// Who knows whether conversations of a type of device are right.
pub fn confirmer(kind: Option<&str>) -> &'static str {
    let Some(kind) = kind else {
        return "whoever owns the device: its class is not known";
    };
    let has = |parts: &[&str]| parts.iter().any(|part| kind.contains(part));
    if has(&[
        "ct_",
        "mri",
        "pet_",
        "xray",
        "mammo",
        "angio",
        "fluoro",
        "ultrasound",
        "imaging",
        "pacs",
        "dicom",
        "gamma",
        "densito",
        "worklist",
        "radiotherapy",
    ]) {
        "radiology"
    } else if has(&["lab_", "blood_gas", "slide", "glucose"]) {
        "the laboratory"
    } else if has(&["pharmacy"]) {
        "the pharmacy"
    } else if has(&[
        "pump",
        "infusion",
        "monitor",
        "ventilator",
        "anaesth",
        "incubator",
        "dialysis",
        "heart",
        "defib",
        "medical",
        "recorder",
        "spiro",
        "nurse",
        "bed",
        "surgical",
        "endoscop",
    ]) {
        "clinical engineering"
    } else if has(&["integration", "ehr"]) {
        "clinical applications"
    } else if has(&[
        "building",
        "badge",
        "camera",
        "video_rec",
        "intercom",
        "fire",
        "environment",
        "ups",
        "power",
        "plc",
        "lighting",
        "tube",
        "robot",
    ]) {
        "facilities"
    } else {
        "IT operations"
    }
}

/// A name for Cedar identifiers: lower-case letters, digits, `-` and `_`; anything else becomes `-`.
pub fn slug(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.trim().chars().take(80) {
        if c.is_ascii_alphanumeric() || c == '_' || c == '.' {
            out.push(c.to_ascii_lowercase());
        } else if !out.ends_with('-') {
            out.push('-');
        }
    }
    out.trim_matches('-').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_called_what_people_call_them() {
        for (kind, words) in [
            ("infusion_pump", "Infusion pumps"),
            ("ct_scanner", "CT scanners"),
            ("pacs", "Image archives (PACS)"),
            ("imaging_modality", "Imaging modalities"),
            ("ups", "Uninterruptible power supplies"),
            ("network_switch", "Network switches"),
            ("storage", "Storage"),
        ] {
            assert_eq!(plural(kind), words);
        }
        assert_eq!(confirmer(Some("ct_scanner")), "radiology");
        assert_eq!(slug("ICU 3 / North"), "icu-3-north");
    }
}

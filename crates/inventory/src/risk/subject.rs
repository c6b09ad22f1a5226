//! What is known of a device that a feed's row can be compared with, taken from its profile and its evidence.

use std::collections::BTreeSet;

use domain::observation::{Asset, EvidenceKind};
use domain::{DeviceProfile, EvidenceRow};
use smol_str::SmolStr;

use super::names::{product_words, split_version, vendor_key, words};
use super::recall::serial;

/// Most evidence rows of one device that are looked at.
const EVIDENCE_MAX: usize = 4096;

/// A thing with a name and perhaps a version: the device itself, its system, a program on it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Thing {
    /// Key of its maker; empty: not known.
    pub(crate) vendor: SmolStr,
    /// Words of its name.
    pub(crate) words: Vec<SmolStr>,
    /// As people write it.
    pub(crate) shown: SmolStr,
    /// Its version, if known.
    pub(crate) version: Option<SmolStr>,
}

/// A device as the feeds see it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Subject {
    /// Maker and model, as the inventory concludes or a register says; the version is the firmware's.
    pub(crate) models: Vec<Thing>,
    /// Its operating system.
    pub(crate) systems: Vec<Thing>,
    /// Programs seen to answer on it.
    pub(crate) programs: Vec<Thing>,
    /// Builds of Windows, as `10.0.19045`.
    pub(crate) builds: BTreeSet<SmolStr>,
    /// Serial numbers, as [`serial`] writes them.
    pub(crate) serials: BTreeSet<SmolStr>,
    /// UDI device identifiers.
    pub(crate) identifiers: BTreeSet<SmolStr>,
    /// How sure it is that this is what it is, 0 to 1.
    pub(crate) confidence: f32,
}

impl Subject {
    pub(crate) fn of(profile: &DeviceProfile) -> Self {
        let mut subject = Self {
            confidence: profile.confidence.clamp(0.0, 1.0),
            ..Self::default()
        };
        let mut firmware: BTreeSet<SmolStr> = BTreeSet::new();
        let mut register = (None, None);
        for row in profile.evidence.iter().take(EVIDENCE_MAX) {
            subject.evidence(row, &mut firmware, &mut register);
        }
        for asset in &profile.assets {
            match asset {
                Asset::Serial(text) => subject.serial(text),
                Asset::Udi(text) => subject.udi(text),
                _ => {}
            }
        }
        let vendor = profile.vendor.as_deref();
        if let Some(model) = profile.model.as_deref() {
            subject.model(vendor.unwrap_or_default(), model, &firmware);
        }
        if let (maker, Some(model)) = &register {
            subject.model(
                maker.as_deref().or(vendor).unwrap_or_default(),
                model,
                &firmware,
            );
            // A register is somebody's word for what the device is.
            subject.confidence = subject.confidence.max(0.9);
        }
        if let Some(os) = profile.os.as_deref() {
            subject.system(os);
        }
        subject.models.sort();
        subject.models.dedup();
        subject.systems.sort();
        subject.systems.dedup();
        subject.programs.sort();
        subject.programs.dedup();
        subject
    }

    fn model(&mut self, vendor: &str, model: &str, firmware: &BTreeSet<SmolStr>) {
        let words = product_words(vendor, model);
        if words.is_empty() {
            return;
        }
        let thing = Thing {
            vendor: vendor_key(vendor),
            words,
            shown: if vendor.is_empty() || model.to_lowercase().starts_with(&vendor.to_lowercase())
            {
                model.into()
            } else {
                format!("{vendor} {model}").into()
            },
            version: None,
        };
        if firmware.is_empty() {
            self.models.push(thing);
        } else {
            self.models.extend(firmware.iter().map(|version| Thing {
                version: Some(version.clone()),
                ..thing.clone()
            }));
        }
    }

    fn evidence(
        &mut self,
        row: &EvidenceRow,
        firmware: &mut BTreeSet<SmolStr>,
        register: &mut (Option<SmolStr>, Option<SmolStr>),
    ) {
        let value = row.value.as_str();
        let pair = value.split_once('=');
        match row.kind {
            EvidenceKind::RegisterVendor => register.0 = Some(row.value.clone()),
            EvidenceKind::RegisterModel => register.1 = Some(row.value.clone()),
            EvidenceKind::RegisterSerial => self.serial(value),
            EvidenceKind::RegisterOs => self.system(value),
            EvidenceKind::RegisterUdi | EvidenceKind::Hl7Udi => self.udi(value),
            EvidenceKind::NtlmVersion if value.split('.').count() >= 3 => {
                self.builds.insert(row.value.clone());
            }
            EvidenceKind::HttpServer | EvidenceKind::SsdpServer | EvidenceKind::RtspServer => {
                self.banner(value)
            }
            EvidenceKind::SshServer => {
                // `SSH-2.0-OpenSSH_8.9p1 comment` (RFC 4253, 4.2).
                if let Some(software) = value.splitn(3, '-').nth(2) {
                    self.banner(&software.replace('_', "/"));
                }
            }
            EvidenceKind::LldpInventory
            | EvidenceKind::WsdDescription
            | EvidenceKind::SdcDevice
            | EvidenceKind::DicomDevice
            | EvidenceKind::BacnetDevice
            | EvidenceKind::ModbusDevice
            | EvidenceKind::FhirDevice
            | EvidenceKind::Hl7Device => {
                let Some((key, text)) = pair else {
                    return;
                };
                let text = text.trim();
                match key.trim().to_ascii_lowercase().as_str() {
                    "firmware"
                    | "firmwareversion"
                    | "firmware-revision"
                    | "softwareversions"
                    | "softwareversion"
                    | "application-software-version"
                    | "majorminorrevision"
                    | "software"
                    | "version" => {
                        version(text, firmware);
                    }
                    "serial" | "serialnumber" | "deviceserial" | "deviceserialnumber" => {
                        self.serial(text)
                    }
                    "udi" => self.udi(text),
                    _ => {}
                }
            }
            _ => {}
        }
    }

    fn serial(&mut self, text: &str) {
        // With the maker or model in front, as assets write it.
        let last = text.rsplit(['/', ' ', ':', '|']).next().unwrap_or(text);
        for text in [text, last] {
            let serial = serial(text);
            if serial.len() >= 4 && serial.bytes().any(|b| b.is_ascii_digit()) {
                self.serials.insert(serial);
            }
        }
    }

    fn udi(&mut self, text: &str) {
        // GS1: `(01)` and 14 digits, then perhaps `(21)` and the serial number.
        let bare: String = text.chars().filter(|c| *c != '(' && *c != ')').collect();
        let body = if bare.len() > 14 && bare.starts_with("01") {
            &bare[2..]
        } else {
            &bare
        };
        let digits: String = body
            .chars()
            .take_while(char::is_ascii_digit)
            .take(14)
            .collect();
        if digits.len() == 14 {
            self.identifiers.insert(digits.into());
        }
        if let Some((_, rest)) = text.split_once("(21)") {
            self.serial(rest.split('(').next().unwrap_or(rest));
        }
    }

    /// `Apache/2.4.49 (Unix) OpenSSL/1.1.1k`: names with versions.
    fn banner(&mut self, text: &str) {
        for token in text.split_whitespace().take(12) {
            let Some((name, version)) = token.split_once('/') else {
                continue;
            };
            let version = version.trim_end_matches([',', ';', ')']);
            if version.starts_with(|c: char| c.is_ascii_digit())
                && !name.is_empty()
                && self.programs.len() < 64
            {
                let name = match name.to_ascii_lowercase().as_str() {
                    "apache" | "httpd" => "Apache HTTP Server",
                    "microsoft-iis" => "Internet Information Services",
                    _ => name,
                };
                self.programs.push(Thing {
                    vendor: SmolStr::default(),
                    words: words(name),
                    shown: name.into(),
                    version: Some(version.into()),
                });
            }
        }
    }

    fn system(&mut self, text: &str) {
        let lower = text.to_ascii_lowercase();
        let (name, version) = split_version(text);
        // Makers of systems that are seldom named with them.
        let maker = [
            ("windows", "microsoft"),
            ("ubuntu", "canonical"),
            ("debian", "debian"),
            ("centos", "centos"),
            ("red hat", "redhat"),
            ("rhel", "redhat"),
            ("vxworks", "windriver"),
            ("qnx", "blackberry"),
            ("macos", "apple"),
            ("ios", "apple"),
            ("ipados", "apple"),
            ("android", "google"),
            ("freebsd", "freebsd"),
            ("linux", "linux"),
        ]
        .iter()
        .find(|(word, _)| lower.starts_with(word) || lower.contains(&format!(" {word}")))
        .map_or("", |(_, maker)| maker);
        let windows = maker == "microsoft";
        let (words, version) = if windows {
            // `Windows 10` is a name, not version 10 of Windows.
            (words(text), None)
        } else {
            (words(name), version)
        };
        if words.is_empty() {
            return;
        }
        self.systems.push(Thing {
            vendor: maker.into(),
            words: alias(words, maker),
            shown: text.into(),
            version: version.map(SmolStr::from),
        });
    }
}

/// Systems as CPE names call them.
fn alias(words: Vec<SmolStr>, maker: &str) -> Vec<SmolStr> {
    let has = |w: &str| words.iter().any(|x| x == w);
    let fixed: &[&str] = match maker {
        "linux" => &["linux", "kernel"],
        "canonical" => &["ubuntu", "linux"],
        "debian" => &["debian", "linux"],
        "redhat" => &["enterprise", "linux"],
        "apple" if has("ios") => &["iphone"],
        _ => return words,
    };
    fixed.iter().map(|w| SmolStr::new_static(w)).collect()
}

/// A firmware's version: the words that look like one.
fn version(text: &str, into: &mut BTreeSet<SmolStr>) {
    for part in text.split(['\\', ';', ',']).take(8) {
        let part = part.trim();
        let candidate = match split_version(part) {
            (_, Some(version)) => version,
            (whole, None) if !whole.contains(char::is_whitespace) => whole,
            _ => continue,
        };
        let plain = candidate.len() <= 48
            && candidate.bytes().any(|b| b.is_ascii_digit())
            && candidate.is_ascii();
        if plain && into.len() < 16 {
            into.insert(candidate.into());
        }
    }
}

//! SPDX 2.x as tags and values, line by line.

use super::reader::Out;
use super::row::{Part, moment};
use super::sbom::{SpdxParts, maker, named};

/// Longest line read; the rest of a longer one is passed over.
const LINE_MAX: usize = 64 << 10;

/// The file as read so far.
pub(crate) struct Tags {
    line: Vec<u8>,
    too_long: bool,
    number: u64,
    offset: u64,
    in_text: bool,
    parts: SpdxParts,
    package: Option<Package>,
}

#[derive(Default)]
struct Package {
    id: String,
    name: String,
    version: String,
    supplier: String,
    originator: String,
    cpe: Option<String>,
    purl: Option<String>,
    purpose: String,
}

impl Tags {
    pub(crate) fn new() -> Self {
        Self {
            line: Vec::new(),
            too_long: false,
            number: 0,
            offset: 0,
            in_text: false,
            parts: SpdxParts::default(),
            package: None,
        }
    }

    pub(crate) fn push(&mut self, bytes: &[u8], out: &mut Out) {
        for part in bytes.split_inclusive(|b| *b == b'\n') {
            self.offset += u64::try_from(part.len()).unwrap_or(0);
            let (text, whole) = match part.strip_suffix(b"\n") {
                Some(text) => (text, true),
                None => (part, false),
            };
            if self.line.len() + text.len() > LINE_MAX {
                self.too_long = true;
            } else {
                self.line.extend_from_slice(text);
            }
            if whole {
                self.end_line(out);
            }
        }
    }

    pub(crate) fn finish(mut self, out: &mut Out) {
        if !self.line.is_empty() {
            self.end_line(out);
        }
        self.end_package();
        self.parts.finish(out);
    }

    fn end_line(&mut self, out: &mut Out) {
        self.number += 1;
        let line = std::mem::take(&mut self.line);
        if std::mem::take(&mut self.too_long) {
            out.bad(self.number, self.offset, "a line is longer than is read");
            return;
        }
        let line = String::from_utf8_lossy(&line);
        if self.in_text {
            self.in_text = !line.contains("</text>");
            return;
        }
        let line = line.trim().trim_start_matches('\u{feff}');
        if line.is_empty() || line.starts_with('#') {
            return;
        }
        let Some((tag, value)) = line.split_once(':') else {
            out.bad(self.number, self.offset, "a line has no tag");
            return;
        };
        let value = value.trim();
        self.in_text = value.contains("<text>") && !value.contains("</text>");
        self.tag(tag.trim(), value);
    }

    fn tag(&mut self, tag: &str, value: &str) {
        match (tag, self.package.as_mut()) {
            ("SPDXVersion", _) => {}
            ("DocumentName", _) => self.parts.named(value, None),
            ("Created", _) => self.parts.named("", moment(value)),
            ("PackageName", _) => {
                self.end_package();
                self.package = Some(Package {
                    name: value.to_owned(),
                    ..Package::default()
                });
            }
            ("SPDXID", Some(package)) if package.id.is_empty() => value.clone_into(&mut package.id),
            ("PackageVersion", Some(package)) => value.clone_into(&mut package.version),
            ("PackageSupplier", Some(package)) => value.clone_into(&mut package.supplier),
            ("PackageOriginator", Some(package)) => value.clone_into(&mut package.originator),
            ("PrimaryPackagePurpose", Some(package)) => value.clone_into(&mut package.purpose),
            ("ExternalRef", Some(package)) => {
                let mut words = value.split_whitespace();
                match (words.next(), words.next(), words.next()) {
                    (_, Some("cpe23Type" | "cpe22Type"), Some(locator)) => {
                        package.cpe = Some(locator.to_owned());
                    }
                    (_, Some("purl"), Some(locator)) => package.purl = Some(locator.to_owned()),
                    _ => {}
                }
            }
            // A file or snippet begins: no longer the package.
            ("FileName" | "SnippetSPDXID", _) => self.end_package(),
            ("Relationship", _) => {
                let mut words = value.split_whitespace();
                match (words.next(), words.next(), words.next()) {
                    (Some(_), Some("DESCRIBES"), Some(id))
                    | (Some(id), Some("DESCRIBED_BY"), Some(_)) => {
                        self.parts.describe(id);
                    }
                    _ => {}
                }
            }
            _ => {}
        }
    }

    fn end_package(&mut self) {
        if let Some(p) = self.package.take() {
            let part = match p.purpose.as_str() {
                "DEVICE" => Part::Hardware,
                "FIRMWARE" | "OPERATING-SYSTEM" => Part::System,
                "" => Part::Unknown,
                _ => Part::Program,
            };
            let component = named(
                &p.name,
                maker(&p.supplier, &p.originator),
                &p.version,
                part,
                p.cpe.as_deref(),
                p.purl.as_deref(),
            );
            self.parts.add(&p.id, component);
        }
    }
}

//! UPnP device descriptions (UPnP Device Architecture 2.0 §2.3).

use domain::observation::EvidenceKind;

use super::Findings;
use super::markup::{Node, walk};

const ELEMENTS: [&str; 8] = [
    "deviceType",
    "friendlyName",
    "manufacturer",
    "modelDescription",
    "modelName",
    "modelNumber",
    "serialNumber",
    "UDN",
];

/// Reads a description; says whether it is one. Only the root device's elements are taken.
pub(super) fn description(document: &[u8], findings: &mut Findings<'_>) -> bool {
    let mut is_description = false;
    let mut depth = 0_usize;
    let mut element = None;
    walk(document, |node| {
        match node {
            Node::Open(name, attributes) => {
                if depth == 0 {
                    is_description =
                        name == "root" && attributes.contains("schemas-upnp-org:device");
                    if !is_description {
                        return false;
                    }
                }
                // root / device / element; devices inside it lie deeper.
                element = (depth == 2)
                    .then(|| ELEMENTS.into_iter().find(|known| *known == name))
                    .flatten();
                depth += 1;
            }
            Node::Text(text) => {
                if let Some(name) = element {
                    findings
                        .about_server(EvidenceKind::UpnpDescription, format_args!("{name}={text}"));
                }
            }
            Node::Close => {
                depth = depth.saturating_sub(1);
                element = None;
            }
        }
        true
    });
    is_description
}

//! What stands in offices and on desks.

use domain::Criticality::{Administrative, Business, Clinical};

use super::kind;
use crate::taxonomy::DeviceType;

pub(super) const TYPES: &[DeviceType] = &[
    kind(
        "printer",
        "office",
        Business,
        "a printer",
        None,
        &[
            "multifunction_device",
            "copier",
            "mfp",
            "multifunction_printer",
            "laser_printer",
        ],
    ),
    kind(
        "label_printer",
        "office",
        Clinical,
        "a label printer",
        None,
        &["wristband_printer", "barcode_printer"],
    ),
    kind(
        "scanner",
        "office",
        Administrative,
        "a document scanner",
        None,
        &["network_scanner", "check_scanner"],
    ),
    kind(
        "voip_phone",
        "office",
        Business,
        "a desk phone",
        None,
        &["voip", "ip_phone", "sip_phone"],
    ),
    kind(
        "wireless_handset",
        "office",
        Clinical,
        "a wireless voice handset",
        None,
        &["dect_handset", "voice_badge", "wifi_phone"],
    ),
    kind(
        "video_conferencing",
        "office",
        Administrative,
        "a video conferencing system",
        None,
        &["viewstation", "telepresence"],
    ),
    kind(
        "projector",
        "office",
        Administrative,
        "a projector",
        None,
        &["wireless_presenter", "whiteboard"],
    ),
    kind(
        "digital_signage",
        "office",
        Administrative,
        "a digital sign",
        None,
        &["display_controller", "iptv"],
    ),
    kind(
        "time_clock",
        "office",
        Administrative,
        "a time clock",
        None,
        &[],
    ),
    kind(
        "point_of_sale",
        "office",
        Business,
        "a point of sale",
        None,
        &[],
    ),
];

//! What people bring along, or buy in a shop.

use domain::Criticality::Administrative;

use super::kind;
use crate::taxonomy::DeviceType;

pub(super) const TYPES: &[DeviceType] = &[
    kind(
        "smart_tv",
        "consumer",
        Administrative,
        "a television",
        None,
        &["tv"],
    ),
    kind(
        "media_player",
        "consumer",
        Administrative,
        "a media player",
        None,
        &[
            "media_receiver",
            "media_server",
            "av_receiver",
            "network_audio",
            "set_top_box",
        ],
    ),
    kind(
        "game_console",
        "consumer",
        Administrative,
        "a game console",
        None,
        &[],
    ),
    kind(
        "smart_speaker",
        "consumer",
        Administrative,
        "a smart speaker",
        Some("iot_device"),
        &[],
    ),
    kind(
        "smart_plug",
        "consumer",
        Administrative,
        "a smart plug",
        Some("iot_device"),
        &["smart_switch", "smart_socket"],
    ),
    kind(
        "smart_light",
        "consumer",
        Administrative,
        "a smart light",
        Some("iot_device"),
        &["light_bulb", "light_bridge"],
    ),
    kind(
        "smart_home_hub",
        "consumer",
        Administrative,
        "a smart home hub",
        Some("iot_device"),
        &["device_hub", "home_gateway"],
    ),
    kind(
        "smart_appliance",
        "consumer",
        Administrative,
        "a household appliance",
        Some("iot_device"),
        &["kettle", "coffee_machine"],
    ),
    kind(
        "smart_scale",
        "consumer",
        Administrative,
        "a bathroom scale",
        Some("iot_device"),
        &[],
    ),
    kind(
        "home_sensor",
        "consumer",
        Administrative,
        "a home sensor",
        Some("iot_device"),
        &[],
    ),
    kind(
        "wearable",
        "consumer",
        Administrative,
        "a wearable",
        Some("iot_device"),
        &["smart_watch"],
    ),
    kind(
        "iot_device",
        "consumer",
        Administrative,
        "a small connected device",
        None,
        &["iot"],
    ),
];

//! Computers, and what people carry.

use domain::Criticality::{Administrative, Business, Clinical};

use super::kind;
use crate::taxonomy::DeviceType;

pub(super) const TYPES: &[DeviceType] = &[
    kind(
        "workstation",
        "computer",
        Business,
        "a workstation",
        Some("computer"),
        &["desktop", "pc", "windows_pc", "general_purpose"],
    ),
    kind(
        "laptop",
        "computer",
        Business,
        "a laptop",
        Some("workstation"),
        &["notebook"],
    ),
    kind(
        "thin_client",
        "computer",
        Business,
        "a thin client",
        Some("computer"),
        &["terminal", "data_terminal"],
    ),
    kind(
        "phone",
        "computer",
        Administrative,
        "a mobile phone",
        None,
        &["mobile_phone", "smartphone", "mobile"],
    ),
    kind(
        "mobile_computer",
        "computer",
        Clinical,
        "a handheld computer",
        None,
        &["handheld_scanner", "handheld", "rugged_handheld"],
    ),
    kind(
        "server",
        "computer",
        Business,
        "a server",
        Some("computer"),
        &["web_server", "application_server"],
    ),
    kind(
        "hypervisor",
        "computer",
        Business,
        "a virtual machine host",
        Some("server"),
        &["virtual_host"],
    ),
    kind(
        "domain_controller",
        "computer",
        Clinical,
        "a domain controller",
        Some("server"),
        &[],
    ),
    kind(
        "dns_server",
        "computer",
        Clinical,
        "a name server",
        Some("server"),
        &["dhcp_server"],
    ),
    kind(
        "database_server",
        "computer",
        Business,
        "a database server",
        Some("server"),
        &[],
    ),
    kind(
        "print_server",
        "computer",
        Business,
        "a print server",
        None,
        &[],
    ),
    kind(
        "storage",
        "computer",
        Business,
        "a storage system",
        Some("server"),
        &[
            "nas",
            "storage_appliance",
            "tape_library",
            "network_attached_storage",
        ],
    ),
    kind(
        "computer",
        "computer",
        Business,
        "a computer",
        None,
        &["embedded_computer", "single_board_computer"],
    ),
];

//! Systems that clinical work runs on.

use domain::Criticality::Clinical;

use super::kind;
use crate::taxonomy::DeviceType;

pub(super) const TYPES: &[DeviceType] = &[
    kind(
        "infusion_server",
        "clinical_system",
        Clinical,
        "an infusion pump server",
        Some("server"),
        &["pump_server", "infusion_gateway"],
    ),
    kind(
        "imaging_workstation",
        "clinical_system",
        Clinical,
        "an imaging workstation",
        Some("workstation"),
        &["dicom_viewer", "reading_station", "radiology_workstation"],
    ),
    kind(
        "dicom_router",
        "clinical_system",
        Clinical,
        "a DICOM router",
        Some("server"),
        &[],
    ),
    kind(
        "pacs",
        "clinical_system",
        Clinical,
        "an image archive (PACS)",
        Some("server"),
        &[
            "vna",
            "image_archive",
            "picture_archive",
            "pacs_server",
            "dicom_archive",
        ],
    ),
    kind(
        "worklist_server",
        "clinical_system",
        Clinical,
        "a worklist server",
        Some("server"),
        &["ris", "radiology_information_system", "modality_worklist"],
    ),
    kind(
        "integration_engine",
        "clinical_system",
        Clinical,
        "an interface engine",
        Some("server"),
        &["hl7_engine", "interface_engine"],
    ),
    kind(
        "ehr_server",
        "clinical_system",
        Clinical,
        "a clinical record server",
        Some("server"),
        &["ehr", "emr", "his", "fhir_server"],
    ),
    kind(
        "lab_system",
        "clinical_system",
        Clinical,
        "a laboratory information system",
        Some("server"),
        &["lis", "laboratory_information_system"],
    ),
];

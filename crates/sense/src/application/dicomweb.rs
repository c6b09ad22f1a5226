//! DICOMweb (PS3.18): which of its services a request uses. Identifiers in the path are never taken.

use super::Findings;

/// Says what a request means, if its path is one of DICOMweb's.
pub(super) fn request(method: &[u8], target: &[u8], findings: &mut Findings<'_>) {
    let path = target.split(|b| *b == b'?').next().unwrap_or_default();
    let mut studies = None;
    let mut after = 0;
    for segment in path.split(|b| *b == b'/') {
        match segment {
            b"studies" if studies.is_none() => studies = Some(()),
            b"workitems" => return findings.meaning("DICOMweb worklist"),
            b"wado" if target.len() > path.len() => return findings.meaning("DICOMweb retrieve"),
            _ if studies.is_some() => {
                // The study is named by a UID, or this is another `studies`.
                if after == 0 && !segment.is_empty() && !wire::dicom::is_uid(segment) {
                    return;
                }
                after += usize::from(!segment.is_empty());
            }
            _ => {}
        }
    }
    if studies.is_none() {
        return;
    }
    let collection = |name: &[u8]| path.ends_with(name);
    findings.meaning(match method {
        b"POST" => "DICOMweb store",
        b"GET" if after == 0 || collection(b"/series") || collection(b"/instances") => {
            "DICOMweb search"
        }
        b"GET" => "DICOMweb retrieve",
        b"DELETE" => "DICOMweb delete",
        _ => return,
    });
}

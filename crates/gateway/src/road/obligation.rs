//! The obligations that are the gateway's own to fulfil; all others are recorded for whoever is.

use http::{HeaderMap, HeaderValue, header};
use policy::Ruling;

use crate::forward::NOTICE;

/// The text that must accompany records of a substance use programme (42 CFR 2.32, short form).
const CONSENT_NOTICE: &str =
    "42 CFR part 2 prohibits unauthorized use or disclosure of these records.";

/// The obligations that are the gateway's to fulfil.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Obliged {
    /// Content is shown, not kept.
    pub(crate) no_download: bool,
    /// A notice goes with it.
    pub(crate) consent_notice: bool,
}

/// What a ruling obliges the gateway to.
pub(crate) fn oblige_of(ruling: &Ruling) -> Obliged {
    Obliged {
        no_download: ruling.obliges("no_download"),
        consent_notice: ruling.obliges("attach_consent_notice"),
    }
}

impl Obliged {
    pub(crate) fn and(self, other: Self) -> Self {
        Self {
            no_download: self.no_download || other.no_download,
            consent_notice: self.consent_notice || other.consent_notice,
        }
    }

    pub(crate) fn apply(self, headers: &mut HeaderMap) {
        if self.no_download {
            headers.insert(
                header::CONTENT_DISPOSITION,
                HeaderValue::from_static("inline"),
            );
            headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        }
        if self.consent_notice {
            headers.insert(NOTICE, HeaderValue::from_static(CONSENT_NOTICE));
        }
    }
}

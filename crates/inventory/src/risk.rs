//! Known risks, joined offline: what public lists, makers' papers and recall notices say of the devices that are here.
//!
//! Bytes of files go into a [`Reader`], which recognises the kind from content and yields an [`Import`] of compact
//! rows; a [`Feeds`] holds the imports, and [`Feeds::matcher`] answers for one [`domain::DeviceProfile`] at a time.
//!
//! | kind | form | source |
//! |---|---|---|
//! | known exploited vulnerabilities | JSON, CSV | CISA KEV catalogue |
//! | vulnerabilities | JSON | NVD CVE API 2.0, CVE record format 5 |
//! | advisories | JSON | OASIS CSAF 2.0 |
//! | bills of materials | JSON, tag-value | CycloneDX 1.x, SPDX 2.x |
//! | security disclosures | CSV | ANSI/NEMA HN 1-2019 (MDS2), the form's sheet saved as CSV |
//! | recalls | JSON, CSV | openFDA device recall and enforcement |
//! | end of support | TOML | ours, each row with its public source |
//!
//! # What counts as a match
//!
//! A row applies to a device when the product it names is the device's model, its operating system, a program seen
//! to run on it or a component of its bill of materials, *and* the version is not outside the stated range. The same
//! vendor alone is no match. What is not certain lowers the stated confidence, and a row that names only an operating
//! system without saying which builds is counted as undecided, never reported. See [`matching`] for the figures.
//!
//! # Bounds
//!
//! A reader holds one row of input at a time ([`ITEM_MAX`] bytes) besides the compact rows it has made, of which there
//! are at most [`ROWS_MAX`]; rows above are counted, not kept. Damage is counted with line and offset, and reading
//! goes on.

pub mod matching;
pub mod names;
pub mod reader;
pub mod row;
pub mod support;
pub mod version;

mod csaf;
mod cve;
mod kev;
mod mds2;
mod nvd;
mod pieces;
mod recall;
mod sbom;
mod spdx;
mod subject;
mod table;

pub use matching::{Document, Feed, FeedStatus, Feeds, Matched, Matcher, Undecided};
pub use reader::{Counts, FeedError, FeedKind, ITEM_MAX, Import, Problem, ROWS_MAX, Reader, read};
pub use row::{
    Affected, Bill, Codes, Component, Disclosure, EndOfSupport, Name, Part, Recall, Row,
    Vulnerability,
};
pub use version::{Bound, VersionRange};

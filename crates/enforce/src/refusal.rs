//! What a target refused, where, and what would help.

use std::io;

use serde::Serialize;
use smol_str::{SmolStr, ToSmolStr as _};

/// Something that a target did not take. What it had before is still in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, thiserror::Error)]
#[error("cannot {step}: {what}{}", hint(remedy))]
pub struct Refusal {
    /// What was being done.
    pub step: SmolStr,
    /// What is wrong.
    pub what: SmolStr,
    /// What would help; empty where nothing is known to.
    pub remedy: SmolStr,
    /// The system's error number.
    #[serde(skip)]
    errno: Option<i32>,
}

fn hint(remedy: &str) -> String {
    if remedy.is_empty() {
        String::new()
    } else {
        format!("; hint: {remedy}")
    }
}

impl Refusal {
    /// A refusal with nothing known to help.
    pub fn new(step: impl Into<SmolStr>, what: impl Into<SmolStr>) -> Self {
        Self {
            step: step.into(),
            what: what.into(),
            remedy: SmolStr::default(),
            errno: None,
        }
    }

    /// The same with what would help.
    #[must_use]
    pub fn hint(mut self, remedy: impl Into<SmolStr>) -> Self {
        self.remedy = remedy.into();
        self
    }

    /// What the kernel said about one step.
    pub(crate) fn of_errno(step: &str, errno: i32, words: Option<&str>) -> Self {
        let error = io::Error::from_raw_os_error(errno);
        let remedy = match errno {
            libc::EPERM | libc::EACCES => {
                "changing the kernel's packet filter needs the capability CAP_NET_ADMIN: run as root, or `setcap cap_net_admin+ep` on the program"
            }
            libc::EOPNOTSUPP | libc::EPROTONOSUPPORT | libc::EAFNOSUPPORT => {
                "this kernel lacks a part of nftables: Linux 5.15 or later with NF_TABLES, NF_TABLES_INET, NFT_CT and NF_CONNTRACK_MARK is needed"
            }
            libc::ENFILE => "the set is full: raise its size",
            libc::ENOMEM | libc::ENOBUFS => "the kernel has no memory left for this",
            libc::ERESTART => {
                "somebody else changed the ruleset meanwhile: read it again and retry"
            }
            libc::EBUSY => "it is still in use, or belongs to another program",
            _ => "",
        };
        let what = match words {
            Some(words) => format!("{words} ({error})"),
            None => error.to_string(),
        };
        Self {
            step: step.to_smolstr(),
            what: what.into(),
            remedy: remedy.into(),
            errno: Some(errno),
        }
    }

    /// What a system call said.
    pub(crate) fn of_io(step: &str, error: &io::Error) -> Self {
        match error.raw_os_error() {
            Some(errno) => Self::of_errno(step, errno, None),
            None => Self::new(step, error.to_smolstr()),
        }
    }

    /// Whether the thing is not there.
    pub fn is_absent(&self) -> bool {
        self.errno == Some(libc::ENOENT)
    }

    /// Whether the thing is there already.
    pub fn is_present(&self) -> bool {
        self.errno == Some(libc::EEXIST)
    }

    /// Whether a set has no room left.
    pub fn is_full(&self) -> bool {
        self.errno == Some(libc::ENFILE)
    }

    /// Whether the kernel lacks what was asked for.
    pub fn is_unsupported(&self) -> bool {
        matches!(
            self.errno,
            Some(libc::EOPNOTSUPP | libc::EPROTONOSUPPORT | libc::EAFNOSUPPORT)
        )
    }

    /// Whether privileges are missing.
    pub fn is_privilege(&self) -> bool {
        matches!(self.errno, Some(libc::EPERM | libc::EACCES))
    }

    /// Whether somebody else changed the ruleset meanwhile.
    pub fn is_outrun(&self) -> bool {
        self.errno == Some(libc::ERESTART)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_names_its_place_and_its_remedy() {
        let refusal = Refusal::of_errno("table `asepsis`", libc::EPERM, None);
        let text = refusal.to_string();
        assert!(text.contains("table `asepsis`"), "{text}");
        assert!(text.contains("CAP_NET_ADMIN"), "{text}");
        assert!(refusal.is_privilege() && !refusal.is_absent());
        let spoken = Refusal::of_errno("set `a`", libc::EINVAL, Some("size too small"));
        assert!(spoken.to_string().contains("size too small"), "{spoken}");
    }
}

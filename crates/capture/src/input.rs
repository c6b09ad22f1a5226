//! Where bytes come from.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// One source, as a person names it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Input {
    /// A file of any known format, compressed or not.
    File(PathBuf),
    /// All files in a folder and below, in the order of their names.
    Folder(PathBuf),
    /// Standard input.
    Stdin,
    /// A network interface, listened to until the job is cancelled.
    Interface(String),
    /// A UDP socket that takes NetFlow v5, v9 and IPFIX, until the job is cancelled.
    NetFlowSocket(SocketAddr),
    /// A UDP socket that takes sFlow, until the job is cancelled.
    SFlowSocket(SocketAddr),
}

impl Input {
    /// Whether it never ends by itself.
    pub const fn is_live(&self) -> bool {
        matches!(
            self,
            Self::Interface(_) | Self::NetFlowSocket(_) | Self::SFlowSocket(_)
        )
    }
}

/// Text names no source.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is neither a file, a folder nor a network interface: {hint}")]
pub struct NotAnInput {
    /// What was given.
    pub text: String,
    /// What would be one.
    pub hint: &'static str,
}

impl FromStr for Input {
    type Err = NotAnInput;

    /// Reads a path, `-` for standard input, the name of an interface, `interface:NAME` where a file has that name too,
    /// `netflow:ADDRESS:PORT` (`netflow:2055` for all addresses), or `sflow:ADDRESS:PORT`.
    fn from_str(text: &str) -> Result<Self, NotAnInput> {
        let wrong = |hint| NotAnInput {
            text: text.to_owned(),
            hint,
        };
        if text == "-" {
            return Ok(Self::Stdin);
        }
        if let Some(name) = text.strip_prefix("interface:") {
            return Ok(Self::Interface(name.to_owned()));
        }
        let socket =
            "write `netflow:2055`, `netflow:10.0.0.2:2055`, `sflow:6343` or `sflow:[::]:6343`";
        if let Some(rest) = text.strip_prefix("netflow:") {
            return address(rest)
                .map(Self::NetFlowSocket)
                .ok_or_else(|| wrong(socket));
        }
        if let Some(rest) = text.strip_prefix("sflow:") {
            return address(rest)
                .map(Self::SFlowSocket)
                .ok_or_else(|| wrong(socket));
        }
        let path = Path::new(text);
        if path.is_dir() {
            return Ok(Self::Folder(path.to_owned()));
        }
        // Pipes and devices are files too.
        if path.exists() {
            return Ok(Self::File(path.to_owned()));
        }
        if !text.contains('/') && Path::new("/sys/class/net").join(text).exists() {
            return Ok(Self::Interface(text.to_owned()));
        }
        Err(wrong("check the name; `ip link` lists interfaces"))
    }
}

fn address(text: &str) -> Option<SocketAddr> {
    text.parse().ok().or_else(|| {
        let port = text.parse().ok()?;
        Some(SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), port))
    })
}

impl fmt::Display for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) | Self::Folder(path) => write!(f, "{}", path.display()),
            Self::Stdin => f.write_str("standard input"),
            Self::Interface(name) => f.write_str(name),
            Self::NetFlowSocket(addr) => write!(f, "netflow:{addr}"),
            Self::SFlowSocket(addr) => write!(f, "sflow:{addr}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_source_has_a_name() {
        let check = |text: &str, input: Input| assert_eq!(text.parse(), Ok(input), "{text}");
        check("-", Input::Stdin);
        check("lo", Input::Interface("lo".to_owned()));
        check("interface:eth9", Input::Interface("eth9".to_owned()));
        check("src", Input::Folder("src".into()));
        check("Cargo.toml", Input::File("Cargo.toml".into()));
        check(
            "netflow:2055",
            Input::NetFlowSocket(([0, 0, 0, 0], 2055).into()),
        );
        check(
            "sflow:127.0.0.1:6343",
            Input::SFlowSocket(([127, 0, 0, 1], 6343).into()),
        );
        assert!("netflow:nowhere".parse::<Input>().is_err());
        let error = "no-such-thing".parse::<Input>().expect_err("no such thing");
        assert!(error.to_string().contains("`no-such-thing`"));
    }
}

//! Tools that a hospital already has, and how it is known that it has them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use domain::observation::{EvidenceKind, SourceKind};
use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use crate::facts::Facts;

macro_rules! tools {
    ($($(#[$meta:meta])* $name:ident => $text:literal, $words:literal, $serves:literal;)*) => {
        /// A tool of the kind hospitals have.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Tool {
            $($(#[$meta])* $name,)*
        }

        impl Tool {
            /// Every tool.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// Its stable name in criteria and facts.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// What it is called for people.
            pub const fn words(self) -> &'static str {
                match self { $(Self::$name => $words,)* }
            }

            /// What it can show or do for zero trust.
            pub const fn serves(self) -> &'static str {
                match self { $(Self::$name => $serves,)* }
            }

            /// The tool that `text` names.
            pub fn parse(text: &str) -> Option<Self> {
                match text { $($text => Some(Self::$name),)* _ => None }
            }
        }
    };
}

tools! {
    /// The program itself.
    Asepsis => "asepsis", "Asepsis", "gateway, inventory, audit log and their configuration";
    /// A DHCP server.
    Dhcp => "dhcp", "DHCP servers", "their lease files show every device that asks for an address, and their scopes list your subnets";
    /// Switches and routers.
    Switches => "switches", "switches and routers", "a mirror port shows traffic, neighbour tables show who is where, access lists and VLANs part the network";
    /// The identity provider.
    IdentityProvider => "identity-provider", "identity provider", "sign-in logs say with which authenticator people sign in; conditional rules can ask for a stronger one";
    /// A directory: Active Directory, LDAP.
    Directory => "directory", "directory (Active Directory or LDAP)", "its export lists accounts, administrators and when they were disabled";
    /// The register of medical devices.
    Cmms => "cmms", "register of medical devices (CMMS or CMDB)", "its CSV export says what should be there, where, and with which serial number";
    /// Endpoint detection and response.
    Edr => "edr", "endpoint protection (EDR)", "its export says which computers it covers, and whether their disks are encrypted";
    /// Mobile device or client management.
    Mdm => "mdm", "client management (MDM)", "it knows the state of laptops and tablets";
    /// A vulnerability scanner.
    Scanner => "scanner", "vulnerability scanner", "its export says what is open and how long mending takes";
    /// A log collector or SIEM.
    Siem => "siem", "log collector (SIEM)", "it says which sources report, and takes the audit log's checkpoints";
    /// A firewall.
    Firewall => "firewall", "firewall", "its rules say what may reach what, its flow records show what does";
    /// RADIUS or network access control.
    Nac => "nac", "network access control (RADIUS)", "it can put a device into a segment when it connects";
    /// The integration engine.
    IntegrationEngine => "integration-engine", "HL7 integration engine", "it knows every interface, and most can speak TLS";
    /// PACS or a DICOM router.
    Pacs => "pacs", "PACS", "it knows every modality's title, and most can speak TLS";
    /// Backup.
    Backup => "backup", "backup", "its report says how old the newest backup of each application is and when a restore was tried";
    /// Human resources.
    HumanResources => "human-resources", "human resources", "its list of leavers, beside the directory, says how fast access ends";
    /// Training records.
    Learning => "learning", "training records (LMS)", "its export says who had which training";
    /// Public lists of risks, and makers' papers.
    PublicLists => "public-lists", "public lists and makers' papers", "KEV, NVD, FDA recalls, MDS2 and bills of materials are free to download or due on request";
    /// Mail and its DNS records.
    Dns => "dns", "your DNS zone", "SPF, DKIM and DMARC are records in it";
    /// People who vouch.
    People => "people", "people who answer for something", "what cannot be counted, a named person can vouch for, with a date";
}

impl fmt::Display for Tool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.words())
    }
}

impl Serialize for Tool {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Tool {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = SmolStr::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| {
            let known: Vec<&str> = Self::ALL.iter().map(|t| t.as_str()).collect();
            serde::de::Error::custom(format!(
                "unknown tool `{text}`: choose one of {}",
                known.join(", ")
            ))
        })
    }
}

/// A tool that is there, and how that is known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnedTool {
    /// The tool.
    pub tool: Tool,
    /// What it is called.
    pub name: SmolStr,
    /// How it is known to be there.
    pub known_by: SmolStr,
    /// What it can show or do.
    pub serves: SmolStr,
}

/// Names of services in the cloud that only the owner of a tool asks for: the end of a server name, the tool, its name.
const CLOUD: &[(&str, Tool, &str)] = &[
    ("cloudsink.net", Tool::Edr, "CrowdStrike Falcon"),
    ("sentinelone.net", Tool::Edr, "SentinelOne"),
    (
        "endpoint.security.microsoft.com",
        Tool::Edr,
        "Microsoft Defender for Endpoint",
    ),
    ("cortex.paloaltonetworks.com", Tool::Edr, "Cortex XDR"),
    ("manage.microsoft.com", Tool::Mdm, "Microsoft Intune"),
    ("jamfcloud.com", Tool::Mdm, "Jamf"),
    (
        "login.microsoftonline.com",
        Tool::IdentityProvider,
        "Microsoft Entra ID",
    ),
    ("okta.com", Tool::IdentityProvider, "Okta"),
    ("duosecurity.com", Tool::IdentityProvider, "Duo"),
    ("pingone.com", Tool::IdentityProvider, "PingOne"),
    ("splunkcloud.com", Tool::Siem, "Splunk Cloud"),
    ("ods.opinsights.azure.com", Tool::Siem, "Microsoft Sentinel"),
    ("cloud.tenable.com", Tool::Scanner, "Tenable"),
    ("qualys.com", Tool::Scanner, "Qualys"),
    ("insight.rapid7.com", Tool::Scanner, "Rapid7"),
];

/// The tools that the hospital has: stated, shown by its imports, or shown by its traffic.
pub fn owned(facts: &Facts) -> Vec<OwnedTool> {
    let mut found: BTreeMap<Tool, (SmolStr, SmolStr)> = BTreeMap::new();
    // Every hospital has these; the step that uses one says which file or setting of it.
    for tool in [
        Tool::Asepsis,
        Tool::Dhcp,
        Tool::Switches,
        Tool::Directory,
        Tool::PublicLists,
        Tool::Dns,
        Tool::People,
        Tool::HumanResources,
    ] {
        let how = if tool == Tool::Asepsis {
            "it made this report"
        } else {
            "every hospital has it"
        };
        found.insert(tool, (tool.words().into(), how.into()));
    }
    for tool in &facts.tools {
        found.insert(
            *tool,
            (tool.words().into(), "stated in the configuration".into()),
        );
    }
    let mut tell = |tool: Tool, name: SmolStr, how: String| {
        found.insert(tool, (name, how.into()));
    };
    if let Some(register) = &facts.register {
        tell(
            Tool::Cmms,
            Tool::Cmms.words().into(),
            format!("imported: {}", register.source),
        );
    }
    if let Some(endpoints) = &facts.endpoints {
        tell(
            Tool::Edr,
            Tool::Edr.words().into(),
            format!("imported: {}", endpoints.source),
        );
    }
    if let Some(fixes) = &facts.fixes {
        tell(
            Tool::Scanner,
            Tool::Scanner.words().into(),
            format!("imported: {}", fixes.source),
        );
    }
    if let Some(sign_ins) = &facts.sign_ins {
        tell(
            Tool::IdentityProvider,
            Tool::IdentityProvider.words().into(),
            format!("imported: {}", sign_ins.source),
        );
    }
    if let Some(network) = &facts.network {
        for source in &network.facts.sources {
            let tool = match source.kind {
                SourceKind::Leases => Tool::Dhcp,
                SourceKind::Packets | SourceKind::Neighbours => Tool::Switches,
                SourceKind::FlowRecords => Tool::Firewall,
                SourceKind::Register => Tool::Cmms,
                SourceKind::Scan => Tool::Scanner,
                SourceKind::Gateway => Tool::Asepsis,
                SourceKind::Zeek => continue,
            };
            tell(
                tool,
                tool.words().into(),
                format!("imported: {}", source.name),
            );
        }
        let mut cloud: BTreeMap<(Tool, &str), BTreeSet<&str>> = BTreeMap::new();
        for device in &network.facts.devices {
            for row in &device.evidence {
                if matches!(
                    row.kind,
                    EvidenceKind::TlsServerName | EvidenceKind::DnsQuery
                ) {
                    let name = row.value.trim_end_matches('.');
                    for (end, tool, called) in CLOUD {
                        let is = name
                            .strip_suffix(end)
                            .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
                        if is {
                            cloud
                                .entry((*tool, called))
                                .or_default()
                                .insert(device.id.as_str());
                        }
                    }
                }
            }
        }
        for ((tool, called), devices) in cloud {
            tell(
                tool,
                format!("{called}, {}", tool.words()).into(),
                format!(
                    "{} {} it",
                    devices.len(),
                    if devices.len() == 1 {
                        "device asks for"
                    } else {
                        "devices ask for"
                    }
                ),
            );
        }
        let mut spoken: BTreeMap<Tool, u64> = BTreeMap::new();
        for c in &network.facts.conversations {
            let tool = match (c.service.as_deref(), c.port) {
                (Some("radius"), _) | (None, 1812) => Tool::Nac,
                (Some("hl7"), _) => Tool::IntegrationEngine,
                (Some("dicom"), _) => Tool::Pacs,
                (Some("syslog"), _) => Tool::Siem,
                _ => continue,
            };
            *spoken.entry(tool).or_default() += 1;
        }
        for (tool, count) in spoken {
            found.entry(tool).or_insert_with(|| {
                (
                    tool.words().into(),
                    format!(
                        "its protocol is spoken in {count} {}",
                        if count == 1 {
                            "conversation"
                        } else {
                            "conversations"
                        }
                    )
                    .into(),
                )
            });
        }
    }
    found
        .into_iter()
        .map(|(tool, (name, known_by))| OwnedTool {
            tool,
            name,
            known_by,
            serves: tool.serves().into(),
        })
        .collect()
}

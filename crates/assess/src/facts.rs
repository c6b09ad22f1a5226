//! What is known, as plain data that the program fills from store, audit log, configuration, inventory and imported files.
//!
//! Every section is optional: an absent one makes the measures that read it not evaluable. A section that is present
//! says where it comes from and how fresh it is. Nothing here names a patient; people appear as numbers only.

use std::collections::BTreeSet;

use domain::{Conversation, Criticality, DeviceProfile, EnforcementMode, SourceId, Timestamp};
use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use crate::tools::Tool;

/// A section with where it comes from and when it was true.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sourced<T> {
    /// Where it comes from, for people: `sensor mirror-1`, `leases of dhcp-a`, `audit log`.
    pub source: SmolStr,
    /// When it was true: the newest datum in it.
    pub as_of: Timestamp,
    /// The section.
    pub facts: T,
}

/// Everything that is known.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Facts {
    /// The hospital's name, for the report.
    pub hospital: SmolStr,
    /// The moment of the assessment.
    pub now: Timestamp,
    /// How many days back counted things reach (sign-ins, decisions, the log). Default 30.
    #[serde(default = "thirty")]
    pub window_days: u32,
    /// Tools that the hospital is known to have, beyond those that traffic and imports show.
    #[serde(default)]
    pub tools: BTreeSet<Tool>,
    /// What the inventory holds.
    #[serde(default)]
    pub network: Option<Sourced<Network>>,
    /// The register (CMDB, CMMS) beside the inventory.
    #[serde(default)]
    pub register: Option<Sourced<Register>>,
    /// The subnets the hospital has, and which of them a sensor or import covers.
    #[serde(default)]
    pub subnets: Option<Sourced<Vec<Subnet>>>,
    /// Which pairs of devices network rules let talk, and which do.
    #[serde(default)]
    pub reach: Option<Sourced<Reach>>,
    /// Feeds of known risks, as imported.
    #[serde(default)]
    pub feeds: Vec<FeedFact>,
    /// Makers' documents about the medical devices here.
    #[serde(default)]
    pub documents: Option<Sourced<Documents>>,
    /// Endpoint protection, from its export.
    #[serde(default)]
    pub endpoints: Option<Sourced<Endpoints>>,
    /// Findings of the vulnerability scanner or of the matched feeds, with how long mending took.
    #[serde(default)]
    pub fixes: Option<Sourced<Fixes>>,
    /// Sign-ins in the window.
    #[serde(default)]
    pub sign_ins: Option<Sourced<SignIns>>,
    /// Accounts.
    #[serde(default)]
    pub accounts: Option<Sourced<Accounts>>,
    /// Session limits as configured.
    #[serde(default)]
    pub sessions: Option<Sourced<Sessions>>,
    /// Decisions in the window.
    #[serde(default)]
    pub decisions: Option<Sourced<Decisions>>,
    /// Rights and grants in force.
    #[serde(default)]
    pub grants: Option<Sourced<Grants>>,
    /// Whether only those applications are known that are behind the gateway: shares of all applications are not evaluable.
    #[serde(default)]
    pub applications_partly: bool,
    /// Applications the hospital has, brokered or not.
    #[serde(default)]
    pub applications: Option<Sourced<Vec<Application>>>,
    /// The audit log.
    #[serde(default)]
    pub log: Option<Sourced<Log>>,
    /// Policies and network rules.
    #[serde(default)]
    pub policy: Option<Sourced<Policy>>,
    /// Revocations and isolations in the window.
    #[serde(default)]
    pub response: Option<Sourced<Response>>,
    /// The hospital's mail domains.
    #[serde(default)]
    pub mail: Option<Sourced<Mail>>,
}

fn thirty() -> u32 {
    30
}

impl Facts {
    /// Facts of a hospital of which nothing is known yet.
    pub fn new(hospital: &str, now: Timestamp) -> Self {
        Self {
            hospital: hospital.into(),
            now,
            window_days: thirty(),
            tools: BTreeSet::new(),
            network: None,
            register: None,
            subnets: None,
            reach: None,
            feeds: Vec::new(),
            documents: None,
            endpoints: None,
            fixes: None,
            sign_ins: None,
            accounts: None,
            sessions: None,
            decisions: None,
            grants: None,
            applications_partly: false,
            applications: None,
            log: None,
            policy: None,
            response: None,
            mail: None,
        }
    }
}

/// What the inventory holds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Network {
    /// Devices, with their risks joined.
    pub devices: Vec<DeviceProfile>,
    /// Conversations among them. The server id `internet` stands for everything outside.
    pub conversations: Vec<Conversation>,
    /// Sources that fed it.
    #[serde(default)]
    pub sources: Vec<SourceFact>,
}

/// A source of observations.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SourceFact {
    /// Its number in the inventory.
    #[serde(default)]
    pub id: SourceId,
    /// Its name.
    pub name: SmolStr,
    /// Its kind.
    pub kind: domain::observation::SourceKind,
    /// When it last said something.
    pub last: Timestamp,
    /// Packets it took; 0 for sources without packets.
    #[serde(default)]
    pub packets: u64,
    /// Packets it lost.
    #[serde(default)]
    pub lost: u64,
}

/// The register beside the inventory, counted both ways.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Register {
    /// Rows of the register that should be on the network.
    pub rows: u64,
    /// Of those, seen on the network.
    pub rows_seen: u64,
    /// Devices on the network that belong into a register.
    pub devices: u64,
    /// Of those, in the register.
    pub devices_listed: u64,
    /// Rows seen whose type, maker or model agrees with what was seen.
    pub rows_right: u64,
}

/// A subnet of the hospital.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subnet {
    /// Its name or prefix.
    pub name: SmolStr,
    /// Whether a sensor or import shows its devices.
    pub covered: bool,
}

/// What rules let happen and what happens: ordered pairs of devices.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reach {
    /// Pairs that the rules in force let talk.
    pub reachable: u64,
    /// Of those, pairs that did talk in the window.
    pub used: u64,
}

/// A feed of known risks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FeedFact {
    /// `kev`, `nvd`, `cve`, `csaf`, `recalls`, `end-of-support`, `cyclonedx`, `spdx`, `mds2`.
    pub kind: SmolStr,
    /// Its file.
    pub name: SmolStr,
    /// When its content was made, or when it was imported if it does not say.
    pub as_of: Timestamp,
}

/// Makers' documents, counted over the medical devices whose model is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Documents {
    /// Medical devices.
    pub medical: u64,
    /// Of those, with a bill of materials for their model.
    pub with_bill: u64,
    /// Of those, with a security disclosure (MDS2) for their model.
    pub with_disclosure: u64,
}

/// Endpoint protection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoints {
    /// Devices that could run it: servers, workstations, laptops.
    pub capable: u64,
    /// Of those, with it installed and reporting within seven days.
    pub reporting: u64,
    /// Of those, with an encrypted disk; absent: the export does not say.
    #[serde(default)]
    pub disk_encrypted: Option<u64>,
    /// Of those, whose configuration agrees with the baseline; absent: nobody compares.
    #[serde(default)]
    pub on_baseline: Option<u64>,
}

/// Findings and their mending, in the window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fixes {
    /// Findings that were due: critical after 15 days, high after 30.
    pub due: u64,
    /// Of those, mended in time.
    pub in_time: u64,
}

/// Sign-ins in the window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignIns {
    /// All of them.
    pub total: u64,
    /// With a second factor that can be phished: code, push.
    pub second_factor: u64,
    /// With an authenticator bound to the origin: passkey, smart card, certificate.
    pub phishing_resistant: u64,
    /// Sessions in which somebody proved presence again for something delicate, of those where policy asked for it.
    #[serde(default)]
    pub stepped_up: Option<Part>,
}

/// Some of all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// The good ones.
    pub of: u64,
    /// All.
    pub all: u64,
}

/// Accounts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Accounts {
    /// All accounts that can sign in.
    pub total: u64,
    /// Of those, used by one person: no shared logon, no concurrent use from many places.
    pub one_person: u64,
    /// Of those, held by the one identity provider, rather than by an application.
    #[serde(default)]
    pub in_provider: Option<u64>,
    /// People with administrative rights.
    #[serde(default)]
    pub administrators: Option<u64>,
    /// Of those, with an account of their own for it.
    #[serde(default)]
    pub administrators_separate: Option<u64>,
    /// People who left in the window.
    #[serde(default)]
    pub leavers: Option<u64>,
    /// Of those, disabled within an hour.
    #[serde(default)]
    pub leavers_within_hour: Option<u64>,
    /// Of those, disabled within a day.
    #[serde(default)]
    pub leavers_within_day: Option<u64>,
}

/// Session limits as configured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sessions {
    /// A session without use ends after so many seconds.
    pub idle_secs: u64,
    /// A session ends after so many seconds in any case.
    pub absolute_secs: u64,
}

/// Decisions in the window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decisions {
    /// All of them.
    pub total: u64,
    /// Of those, made knowing the device.
    pub with_device: u64,
    /// Of those, made knowing the device's state as verified (not as it says itself).
    pub with_posture: u64,
    /// Of those, made with a risk signal younger than an hour.
    pub with_risk: u64,
    /// Of those, recorded with all inputs and the policy's hash, so that they can be replayed.
    pub replayable: u64,
    /// Of those, enforced rather than only recorded (shadow).
    pub enforced: u64,
    /// Break-glass openings.
    #[serde(default)]
    pub break_glass: u64,
    /// Of those, reviewed by a person.
    #[serde(default)]
    pub break_glass_reviewed: u64,
}

/// Rights and grants in force.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grants {
    /// Rights that somebody holds: role memberships, vendor windows, delegations.
    pub total: u64,
    /// Of those, with an end.
    pub with_end: u64,
    /// Of those, used in the last 90 days; absent: not counted.
    #[serde(default)]
    pub used: Option<u64>,
    /// Of those, reviewed in the last 180 days; absent: not counted.
    #[serde(default)]
    pub reviewed: Option<u64>,
    /// Vendor sessions in the window; absent: not counted.
    #[serde(default)]
    pub vendor_sessions: Option<u64>,
    /// Of those, by a named person inside an agreed window.
    #[serde(default)]
    pub vendor_sessions_in_window: Option<u64>,
}

/// An application of the hospital.
///
/// Where a fact is absent for one application and known for another, the absent counts as not good.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Application {
    /// Its name.
    pub name: SmolStr,
    /// What stops if it stops.
    pub criticality: Criticality,
    /// Whether every way to it leads through the gateway.
    pub brokered: bool,
    /// Shadow or enforce, where brokered.
    #[serde(default)]
    pub mode: Option<EnforcementMode>,
    /// Whether the gateway reaches it over verified TLS.
    #[serde(default)]
    pub upstream_tls: Option<bool>,
    /// Whether clients were seen reaching it around the gateway.
    #[serde(default)]
    pub bypassed: Option<bool>,
    /// Whether people sign in to it through the one identity provider.
    #[serde(default)]
    pub single_sign_on: Option<bool>,
    /// Whether its own log reaches the central log.
    #[serde(default)]
    pub logged: Option<bool>,
    /// When its security was last tested.
    #[serde(default)]
    pub security_tested: Option<Timestamp>,
    /// When it was last backed up.
    #[serde(default)]
    pub backed_up: Option<Timestamp>,
    /// When a restore was last tried.
    #[serde(default)]
    pub restore_tested: Option<Timestamp>,
    /// When its emergency procedure was last tried.
    #[serde(default)]
    pub emergency_tested: Option<Timestamp>,
    /// Whether changes reach it through a pipeline, not by hand.
    #[serde(default)]
    pub pipeline: Option<bool>,
}

/// The audit log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Log {
    /// When its proofs were last verified without a fault; absent: never, or with a fault.
    #[serde(default)]
    pub verified_at: Option<Timestamp>,
    /// When a checkpoint last left the machine; absent: never.
    #[serde(default)]
    pub checkpoint_outside_at: Option<Timestamp>,
    /// Days of the window without a recorded gap.
    pub days_whole: u64,
    /// Days of the window since the log began.
    pub days: u64,
    /// For how many days records are kept.
    pub kept_days: u64,
    /// Sources whose logs should be collected; absent: not counted.
    #[serde(default)]
    pub sources_known: Option<u64>,
    /// Of those, heard of within a day.
    #[serde(default)]
    pub sources_reporting: Option<u64>,
    /// Weeks of the last 13 in which somebody reviewed activity; absent: not counted.
    #[serde(default)]
    pub weeks_reviewed: Option<u64>,
}

/// Policies and network rules.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// Rules in force: policies, firewall and segmentation rules that are known.
    pub rules: u64,
    /// Of those, kept as text under version control.
    pub as_code: u64,
    /// Of those, with an owner and a date of review or expiry.
    pub owned: u64,
    /// Scenarios that say what must be allowed and refused.
    pub scenarios: u64,
    /// Of those, passing.
    pub scenarios_passing: u64,
}

/// Revocations and isolations in the window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Response {
    /// Revocations of people, devices or sessions.
    pub revocations: u64,
    /// Of those, in effect everywhere within a second.
    pub revocations_fast: u64,
    /// Isolations of devices, drills included; absent: not counted.
    #[serde(default)]
    pub isolations: Option<u64>,
    /// Of those, in effect within 15 minutes of the alarm.
    #[serde(default)]
    pub isolations_fast: Option<u64>,
}

/// Mail domains.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mail {
    /// Domains that the hospital owns.
    pub domains: u64,
    /// Of those, with SPF, DKIM and a DMARC policy of quarantine or reject.
    pub protected: u64,
}

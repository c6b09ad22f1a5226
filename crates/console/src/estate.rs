//! What the console asks of the inventory. The assembly brings the answers, so that pages can be drawn without knowing
//! where devices are kept.

mod picture;

use std::sync::Arc;

use domain::{Conversation, DeviceId, DeviceProfile, PersonId, RiskFact, Timestamp};
use tokio::sync::watch;

pub use picture::{Listed, Picture, RiskSummary, Totals};
pub(crate) use picture::{NO_CATEGORY, called};

/// A device with the reasons for what it is taken for.
#[derive(Clone, Debug, PartialEq)]
pub struct Explained {
    /// The device, with its evidence.
    pub profile: DeviceProfile,
    /// One sentence: "an infusion pump because …".
    pub sentence: String,
    /// What contradicts, each a sentence.
    pub contradicts: Vec<String>,
    /// What would settle it, each a phrase.
    pub settle: Vec<String>,
    /// Its conversations, in no order.
    pub conversations: Vec<Conversation>,
    /// What imported lists say of it; absent: they are being read.
    pub risks: Option<Risks>,
}

/// What imported lists say of one device.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Risks {
    /// Known risks: the exploited first, then the surest.
    pub facts: Vec<RiskFact>,
    /// Risks left out for lack of room.
    pub more: u32,
    /// Rows that name something of the device without saying, or without our knowing, for which version.
    pub undecided: u32,
    /// How many of those are known to be exploited.
    pub undecided_exploited: u32,
    /// One of those.
    pub example: Option<String>,
    /// Documents about its model, each in one sentence.
    pub documents: Vec<String>,
}

/// A list of known risks that is in use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeedState {
    /// What a [`RiskFact::feed`] calls it.
    pub kind: String,
    /// What kind of list it is, in words.
    pub words: String,
    /// The file it came from.
    pub name: String,
    /// When its content was made, else when it was imported.
    pub as_of: Timestamp,
    /// Whether it is older than such a list may be.
    pub stale: bool,
    /// Its rows.
    pub rows: u64,
}

/// A question that one answer settles for a whole group.
#[derive(Clone, Debug, PartialEq)]
pub struct Question {
    /// Its handle.
    pub id: String,
    /// The question in one sentence.
    pub words: String,
    /// Why it is asked now: `unknown`, `contradictory`, `new` …
    pub cause: String,
    /// The devices.
    pub devices: Vec<DeviceId>,
    /// The evidence that they share, in words.
    pub shared: Vec<String>,
    /// What would settle it.
    pub settle: Vec<String>,
    /// Likely answers: type and why it is likely.
    pub suggestions: Vec<(String, String)>,
}

/// What an answer would change, found without changing anything.
#[derive(Clone, Debug, PartialEq)]
pub struct Preview {
    /// The type, by its stable name.
    pub kind: String,
    /// The type in words, with its article.
    pub words: String,
    /// The devices it would be given for.
    pub devices: Vec<DeviceId>,
    /// What they share and no device of another type has, in words: by this the next of their kind is recognised.
    pub shared: Vec<String>,
    /// Devices that are not asked about, are not known either and share some of it.
    pub also: Vec<DeviceId>,
}

/// Somebody's answer to a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The question.
    pub question: String,
    /// The type.
    pub kind: String,
    /// Who answers.
    pub by: PersonId,
    /// When.
    pub at: Timestamp,
}

/// An answer that is in force as a rule.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    /// Its handle.
    pub id: String,
    /// What it says, in one sentence.
    pub words: String,
    /// Who said so.
    pub by: String,
    /// When.
    pub at: Timestamp,
    /// The devices it was given for.
    pub devices: Vec<DeviceId>,
    /// What they share, in words.
    pub shared: Vec<String>,
    /// The fingerprint pack; absent: nothing tells these devices from others. It names neither person nor device.
    pub pack: Option<String>,
}

/// How a sensor is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SensorState {
    /// Its name.
    pub name: String,
    /// In a few words: `eth1, 1,200 packets/s`.
    pub words: String,
    /// Whether it sees.
    pub good: bool,
    /// Packets seen since the start.
    pub packets: u64,
    /// Packets lost since the start.
    pub lost: u64,
}

/// The inventory, as the console sees it.
///
/// What a page of many devices needs is ready ([`Estate::picture`], [`Estate::sensors`], [`Estate::feeds`],
/// [`Estate::watch`]); the other calls work on the inventory itself and are made from threads that may wait.
pub trait Estate: Send + Sync {
    /// Every device, a second or a little more old.
    fn picture(&self) -> Arc<Picture>;
    /// Tells of each new picture.
    fn watch(&self) -> watch::Receiver<()>;
    /// The sensors.
    fn sensors(&self) -> Vec<SensorState>;
    /// The lists of known risks.
    fn feeds(&self) -> Vec<FeedState>;
    /// Every conversation, some seconds old.
    fn conversations(&self) -> Arc<[Conversation]>;
    /// One device, with reasons.
    fn explain(&self, id: &DeviceId) -> Option<Explained>;
    /// Open questions, the most valuable first.
    fn questions(&self) -> Arc<[Question]>;
    /// What an answer would change.
    ///
    /// # Errors
    /// Why it could not be taken, for people.
    fn preview(&self, question: &str, kind: &str) -> Result<Preview, String>;
    /// Takes an answer.
    ///
    /// # Errors
    /// Why it cannot be taken, for people.
    fn answer(&self, reply: Reply) -> Result<Rule, String>;
    /// Rules made of answers, the newest first.
    fn rules(&self) -> Vec<Rule>;
    /// Takes an answer back.
    ///
    /// # Errors
    /// Why it cannot be taken back, for people.
    fn undo(&self, rule: &str) -> Result<(), String>;
    /// Types that an answer may name, with their words.
    fn kinds(&self) -> Vec<(String, String)>;
}

//! What the console asks of the inventory. The assembly brings the answers, so that pages can be drawn without knowing
//! where devices are kept.

use std::sync::Arc;

use domain::{Conversation, DeviceId, DeviceProfile, PersonId, Timestamp};

/// A device with the reasons for what it is taken for.
#[derive(Clone, Debug, PartialEq)]
pub struct Explained {
    /// The device.
    pub profile: DeviceProfile,
    /// One sentence: "an infusion pump because …".
    pub sentence: String,
    /// What contradicts, each a sentence.
    pub contradicts: Vec<String>,
    /// What would settle it, each a phrase.
    pub settle: Vec<String>,
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
    /// Likely answers: type and its words.
    pub suggestions: Vec<(String, String)>,
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

/// The inventory, as the console sees it. Calls do not block for longer than memory takes.
pub trait Estate: Send + Sync {
    /// Every device, in the order of identifiers. At most a second old.
    fn devices(&self) -> Arc<[DeviceProfile]>;
    /// Every conversation. At most a second old.
    fn conversations(&self) -> Arc<[Conversation]>;
    /// One device, with reasons.
    fn explain(&self, id: &DeviceId) -> Option<Explained>;
    /// Open questions, the most valuable first.
    fn questions(&self) -> Vec<Question>;
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
    /// The sensors.
    fn sensors(&self) -> Vec<SensorState>;
}

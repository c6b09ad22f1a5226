//! The inventory: takes observations and flows, knows devices and conversations.
//!
//! Nothing here does I/O or reads a clock. Times are those of the observations.

mod answers;
mod ask;
mod persist;
mod profile;
mod take;

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, OnceLock};

use serde::Serialize;
use smol_str::SmolStr;

use domain::{Conversation, DeviceId, DeviceProfile, Mac};

pub use crate::hysteresis::Confirmation;
pub use answers::{AnswerError, LocalRule, Preview};
pub use persist::{Changes, ConversationRow, DeviceRow, SavedConversation, SavedDevice};
pub use profile::Detail;

use crate::conversations::Conversations;
use crate::hysteresis::Published;
use crate::identification::{Identification, Identify};
use crate::identity::node::Nodes;
use crate::identity::view::{KeyNode, View};
use crate::ledger::Interner;
use crate::options::Options;
use crate::sources::Sources;

/// What the inventory took and what it could not keep.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counters {
    /// Observations taken.
    pub observations: u64,
    /// Flow reports taken.
    pub flows: u64,
    /// Observations about nobody who can be a device: groups, broadcast, unspecified addresses.
    pub about_nobody: u64,
    /// Observations about outside addresses: remote parties.
    pub about_remote: u64,
    /// Nodes now.
    pub nodes: u64,
    /// Nodes given up for lack of room, the least valuable first.
    pub nodes_evicted: u64,
    /// Rows of evidence that found their kind full.
    pub rows_refused: u64,
    /// Distinct texts now.
    pub texts: u64,
    /// Octets of those texts now.
    pub text_octets: u64,
    /// Conversation records now.
    pub conversations: u64,
    /// Conversation records given up for lack of room.
    pub conversations_evicted: u64,
    /// Flow reports counted under `many` or `internet` for lack of room.
    pub flows_folded: u64,
    /// Octets that nodes, ledgers, texts, conversations and the view of them take, by their own count.
    pub octets: u64,
}

/// What a person and the evidence made of a device, kept at a node.
#[derive(Debug, Default)]
pub(crate) struct Standing {
    pub(crate) name: Option<Published>,
    pub(crate) confirmed: Option<Box<Confirmation>>,
}

/// From how many outside addresses a MAC address sends.
#[derive(Clone, Copy, Debug, Default)]
struct Outside {
    v4: Option<IpAddr>,
    v6: Option<u64>,
}

/// Devices and conversations.
pub struct Inventory {
    /// What ships or was loaded.
    base: Arc<dyn Identify>,
    /// The same with the local rules.
    knowledge: Arc<dyn Identify>,
    options: Options,
    sources: Sources,
    texts: Interner,
    nodes: Nodes,
    /// By what gives a device its key.
    standing: HashMap<KeyNode, Box<Standing>>,
    conversations: Conversations,
    outside: HashMap<Mac, Outside>,
    rules: Vec<LocalRule>,
    /// Number of the next local rule.
    next_rule: u32,
    /// Absent: something changed that may change who is who.
    view: OnceLock<View>,
    /// Whether a last-seen time moved since the view was dropped.
    aged: bool,
    /// The newest time of all.
    latest: i64,
    /// What changes now belongs to this round.
    round: u32,
    /// Devices as they were told: identifier, check sum of what they are made of, round of its last change.
    told: HashMap<SmolStr, (u32, u32)>,
    /// Devices that are no more, with the round in which that was found.
    gone: Vec<(u32, DeviceId)>,
    rules_changed: u32,
    /// Up to which round names were published.
    settled: u32,
    /// Nodes whose device's name is challenged.
    challenged: Vec<u32>,
    ready: Mutex<HashMap<u64, Arc<Identification>>>,
    seed: std::hash::RandomState,
    counters: Counters,
}

impl std::fmt::Debug for Inventory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inventory")
            .field("counters", &self.counters())
            .finish_non_exhaustive()
    }
}

impl Inventory {
    /// An empty inventory that reads evidence with `knowledge`.
    pub fn new(knowledge: Arc<impl Identify + 'static>, options: Options) -> Self {
        let knowledge: Arc<dyn Identify> = knowledge;
        Self {
            base: Arc::clone(&knowledge),
            knowledge,
            options,
            sources: Sources::default(),
            texts: Interner::default(),
            nodes: Nodes::default(),
            standing: HashMap::new(),
            conversations: Conversations::default(),
            outside: HashMap::new(),
            rules: Vec::new(),
            next_rule: 1,
            view: OnceLock::new(),
            aged: false,
            latest: i64::MIN,
            round: 1,
            told: HashMap::new(),
            gone: Vec::new(),
            rules_changed: 0,
            settled: 0,
            challenged: Vec::new(),
            ready: Mutex::new(HashMap::new()),
            seed: std::hash::RandomState::new(),
            counters: Counters::default(),
        }
    }

    /// The sources that observations name by number.
    pub fn sources(&mut self) -> &mut Sources {
        &mut self.sources
    }

    /// The same, to read.
    pub fn known_sources(&self) -> &Sources {
        &self.sources
    }

    /// The options.
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// What was taken and what could not be kept.
    pub fn counters(&self) -> Counters {
        let long = |n: usize| u64::try_from(n).unwrap_or(u64::MAX);
        Counters {
            nodes: long(self.nodes.len()),
            texts: long(self.texts.len()),
            text_octets: long(self.texts.octets()),
            conversations: long(self.conversations.len()),
            conversations_evicted: self.conversations.evicted,
            flows_folded: self.conversations.folded,
            octets: long(
                self.nodes.octets()
                    + self.texts.octets_in_all()
                    + self.conversations.octets()
                    + self.view.get().map_or(0, View::octets)
                    + self.told.capacity() * (size_of::<(SmolStr, (u32, u32))>() + 1)
                    + self.standing.capacity() * 17
                    + self.standing.len() * size_of::<Standing>(),
            ),
            ..self.counters
        }
    }

    /// The newest time that an observation or flow carried.
    pub fn latest(&self) -> Option<domain::Timestamp> {
        (self.latest != i64::MIN).then(|| domain::Timestamp::from_millis(self.latest))
    }

    /// Number of devices.
    pub fn device_count(&self) -> usize {
        self.present().count()
    }

    /// Every device, by identifier's key: MAC addresses, then assets, then addresses.
    pub fn devices(&self) -> impl Iterator<Item = DeviceProfile> + '_ {
        self.present().map(|group| self.profile(group))
    }

    /// One device. A name that was joined to another device finds that one.
    pub fn device(&self, id: &DeviceId) -> Option<DeviceProfile> {
        Some(self.profile(self.group_of_id(id)?))
    }

    /// One device with how it was put together and what its evidence says.
    pub fn detail(&self, id: &DeviceId) -> Option<Detail> {
        Some(self.detail_of(self.group_of_id(id)?))
    }

    /// Devices that `text` means: an identifier, a MAC address, an address, a name, a serial number.
    pub fn find(&self, text: &str) -> Vec<DeviceId> {
        self.find_devices(text)
    }

    /// Who talks to whom, by client, server, transport, port and service.
    pub fn conversations(&self) -> impl Iterator<Item = Conversation> {
        self.conversations_where(None).into_iter()
    }

    /// The conversations of one device.
    pub fn conversations_of(&self, id: &DeviceId) -> Vec<Conversation> {
        match self.group_of_id(id) {
            Some(group) => self.conversations_where(Some(group)),
            None => Vec::new(),
        }
    }

    fn view(&self) -> &View {
        self.view
            .get_or_init(|| View::build(&self.nodes, &self.texts, &self.options, self.latest))
    }

    /// Who is who may have changed.
    fn stale(&mut self) {
        self.view = OnceLock::new();
        self.aged = false;
    }

    /// The groups that are devices: what was only asked for and never heard is not.
    fn present(&self) -> impl Iterator<Item = u32> + '_ {
        (0_u32..)
            .zip(self.view().groups())
            .filter(|(_, group)| group.seen_by != 0)
            .map(|(index, _)| index)
    }
}

#[cfg(test)]
mod tests;

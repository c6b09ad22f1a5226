//! The inventory as the program keeps it: shared between sensors, console and commands, and written through to its file.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use console::estate::{Explained, Question, Reply, Rule, SensorState};
use domain::observation::{Sink, Source, SourceId};
use domain::{Conversation, DeviceId, DeviceProfile, Flow, Observation};
use inventory::Inventory;
use inventory::inventory::{ConversationRow, DeviceRow, LocalRule};
use inventory::options::{Options, Segment};
use inventory::queue::Reason;
use inventory::taxonomy;
use parking_lot::Mutex;
use store::{Change, InventoryStore, Table};

use crate::commands::discover::{called, kind};
use crate::config::InventoryConfig;
use crate::failure::{Blame, Failure};
use crate::knowledge;

/// How often what the console sees is brought up to date.
const SHOWN_EVERY: Duration = Duration::from_secs(1);
/// How often changes go to the file.
const SAVED_EVERY: Duration = Duration::from_secs(10);

/// What an inventory is opened with.
pub(crate) struct Settings {
    knowledge: Arc<inventory::Knowledge>,
    options: Options,
}

impl Settings {
    /// Reads the packs and tables that a configuration names.
    pub(crate) fn new(config: &InventoryConfig) -> Result<Self, Failure> {
        let mut options = Options::default();
        for network in &config.networks {
            options
                .own_networks
                .push(network.parse().input("a network of the hospital")?);
        }
        if let Some(path) = &config.units {
            options.segments = segments(path)?;
        }
        Ok(Self {
            knowledge: knowledge::with_packs(&config.fingerprints)?,
            options,
        })
    }
}

/// Reads the table of subnets and wards: CSV with the columns `network,unit` and, if one likes, `name`.
pub(crate) fn segments(path: &Path) -> Result<Vec<Segment>, Failure> {
    let shown = path.display();
    let text = std::fs::read_to_string(path).input(format!("cannot read the table `{shown}`"))?;
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let mut segments = Vec::new();
    for (n, row) in reader.deserialize::<Segment>().enumerate() {
        let row = row.input(format!(
            "line {} of `{shown}` (hint: the columns are network,unit,name)",
            n + 2
        ))?;
        segments.push(row);
    }
    Ok(segments)
}

/// The file of the inventory in a data folder.
pub(crate) fn path_in(data: &Path) -> PathBuf {
    data.join("inventory.db")
}

/// An inventory that several threads work on. Clones share it.
#[derive(Clone)]
pub(crate) struct Estate {
    shared: Arc<Shared>,
}

struct Shared {
    inventory: Mutex<Inventory>,
    store: Option<InventoryStore>,
    /// Up to which generation the store has it.
    stored: Mutex<u64>,
    shown: ArcSwap<Picture>,
    sensors: Mutex<Vec<SensorState>>,
}

/// Devices and conversations as they were at an instant.
#[derive(Clone)]
struct Picture {
    devices: Arc<[DeviceProfile]>,
    conversations: Arc<[Conversation]>,
}

impl Estate {
    /// An inventory that lives as long as the program, or one that is kept in a data folder and begins with what is there.
    pub(crate) fn open(data: Option<&Path>, settings: Settings) -> Result<Self, Failure> {
        let mut inventory = Inventory::new(settings.knowledge, settings.options);
        let store = match data {
            None => None,
            Some(data) => {
                std::fs::create_dir_all(data)
                    .input(format!("cannot use the data folder `{}`", data.display()))?;
                let store = InventoryStore::open(path_in(data)).input("opening the inventory")?;
                restore(&mut inventory, &store).input("reading the inventory")?;
                Some(store)
            }
        };
        let picture = picture(&inventory);
        Ok(Self {
            shared: Arc::new(Shared {
                stored: Mutex::new(0),
                inventory: Mutex::new(inventory),
                store,
                shown: ArcSwap::from_pointee(picture),
                sensors: Mutex::default(),
            }),
        })
    }

    /// Looks at the inventory. Nobody else does meanwhile.
    pub(crate) fn with<T>(&self, look: impl FnOnce(&Inventory) -> T) -> T {
        look(&self.shared.inventory.lock())
    }

    /// Where observations and flows go.
    pub(crate) fn sink(&self) -> Intake {
        Intake {
            estate: self.clone(),
        }
    }

    /// How many devices there are, and lines about those from number `from` on, at most `most`.
    pub(crate) fn glance(&self, from: usize, most: usize) -> (usize, Vec<String>) {
        let inventory = self.shared.inventory.lock();
        let lines = inventory
            .devices()
            .skip(from)
            .take(most.saturating_sub(from))
            .map(|d| format!("  {}  {}", called(&d), kind(&d)))
            .collect();
        (inventory.device_count(), lines)
    }

    /// Publishes names and writes what changed to the file, if there is one.
    pub(crate) fn save(&self) -> Result<(), Failure> {
        let (changes, sources) = {
            let mut inventory = self.shared.inventory.lock();
            inventory.settle(crate::clock::now());
            let changes = inventory.changed_since(*self.shared.stored.lock());
            self.shared.shown.store(Arc::new(picture(&inventory)));
            let sources: Vec<Source> = inventory
                .known_sources()
                .iter()
                .map(|(_, s)| s.clone())
                .collect();
            (changes, sources)
        };
        let Some(store) = &self.shared.store else {
            return Ok(());
        };
        let generation = changes.generation;
        let change = rows_of(changes, &sources).running("writing the inventory")?;
        if !change.is_empty() {
            store
                .write(change)
                .wait()
                .running("writing the inventory")?;
        }
        *self.shared.stored.lock() = generation;
        Ok(())
    }
}

impl Estate {
    /// Tells how a sensor is doing.
    pub(crate) fn set_sensor(&self, state: SensorState) {
        let mut sensors = self.shared.sensors.lock();
        match sensors.iter_mut().find(|s| s.name == state.name) {
            Some(known) => *known = state,
            None => sensors.push(state),
        }
    }

    /// A sensor on another host was heard of.
    pub(crate) fn heard_of(&self, name: &str, lost_packets: u64, lost_batches: u64) {
        if lost_batches > 0 {
            tracing::warn!(
                sensor = name,
                lost_batches,
                "a sensor's spool was full; what it saw meanwhile is lost"
            );
        }
        let mut sensors = self.shared.sensors.lock();
        let place = sensors
            .iter()
            .position(|s| s.name == name)
            .unwrap_or_else(|| {
                sensors.push(SensorState {
                    name: name.to_owned(),
                    words: String::new(),
                    good: true,
                    packets: 0,
                    lost: 0,
                });
                sensors.len() - 1
            });
        if let Some(sensor) = sensors.get_mut(place) {
            sensor.good = true;
            sensor.words = format!(
                "heard of at {} UTC",
                crate::clock::now()
                    .to_string()
                    .get(11..16)
                    .unwrap_or_default()
            );
            sensor.lost += lost_packets;
        }
    }

    /// Keeps what the console sees fresh, and the file, for ever.
    pub(crate) async fn keep(&self) {
        let mut saved = Instant::now();
        loop {
            tokio::time::sleep(SHOWN_EVERY).await;
            let estate = self.clone();
            let save = saved.elapsed() >= SAVED_EVERY;
            if save {
                saved = Instant::now();
            }
            let work = tokio::task::spawn_blocking(move || {
                if save {
                    return estate.save();
                }
                let picture = picture(&estate.shared.inventory.lock());
                estate.shared.shown.store(Arc::new(picture));
                Ok(())
            });
            match work.await {
                Ok(Ok(())) => {}
                Ok(Err(failure)) => {
                    tracing::error!(error = failure.sentence(), "the inventory was not written")
                }
                Err(error) => tracing::error!(%error, "the inventory was not looked at"),
            }
        }
    }
}

impl console::estate::Estate for Estate {
    fn devices(&self) -> Arc<[DeviceProfile]> {
        Arc::clone(&self.shared.shown.load().devices)
    }

    fn conversations(&self) -> Arc<[Conversation]> {
        Arc::clone(&self.shared.shown.load().conversations)
    }

    fn explain(&self, id: &DeviceId) -> Option<Explained> {
        let detail = self.with(|inventory| inventory.detail(id))?;
        let why = detail.why();
        Some(Explained {
            profile: detail.profile,
            sentence: why.sentence,
            contradicts: why.contradicts,
            settle: why.settle.iter().map(ToString::to_string).collect(),
        })
    }

    fn questions(&self) -> Vec<Question> {
        self.with(Inventory::queue)
            .into_iter()
            .map(question)
            .collect()
    }

    fn answer(&self, reply: Reply) -> Result<Rule, String> {
        let rule = self
            .shared
            .inventory
            .lock()
            .answer(&reply.question, &reply.kind, reply.by, reply.at)
            .map_err(|error| error.to_string())?;
        self.save().map_err(|failure| failure.sentence())?;
        Ok(shown_rule(&rule))
    }

    fn rules(&self) -> Vec<Rule> {
        let mut rules: Vec<Rule> =
            self.with(|inventory| inventory.rules().iter().map(shown_rule).collect());
        rules.reverse();
        rules
    }

    fn undo(&self, rule: &str) -> Result<(), String> {
        self.shared
            .inventory
            .lock()
            .undo(rule)
            .map_err(|error| error.to_string())?;
        self.save().map_err(|failure| failure.sentence())
    }

    fn kinds(&self) -> Vec<(String, String)> {
        taxonomy::TYPES
            .iter()
            .map(|kind| (kind.id.to_owned(), kind.words.to_owned()))
            .collect()
    }

    fn sensors(&self) -> Vec<SensorState> {
        self.shared.sensors.lock().clone()
    }
}

fn rows_of(
    changes: inventory::inventory::Changes,
    sources: &[Source],
) -> Result<Change, serde_json::Error> {
    let mut change = Change::default();
    for source in sources {
        change.put(
            Table::Sources,
            format!("{:?} {}", source.kind, source.name),
            source,
        )?;
    }
    for id in &changes.gone {
        change.remove(Table::Devices, id.as_str());
    }
    for row in &changes.devices {
        change.put(Table::Devices, row.profile.id.as_str(), row)?;
    }
    for row in &changes.conversations {
        change.put(Table::Conversations, row.key.as_str(), row)?;
    }
    if let Some(rules) = &changes.rules {
        change.clear(Table::Rules);
        for rule in rules {
            change.put(Table::Rules, rule.id.as_str(), rule)?;
        }
    }
    Ok(change)
}

fn restore(inventory: &mut Inventory, store: &InventoryStore) -> anyhow::Result<()> {
    fn rows<T: serde::de::DeserializeOwned + Send + 'static>(
        store: &InventoryStore,
        table: Table,
    ) -> Result<Vec<T>, store::StoreError> {
        Ok(store
            .rows(table)
            .wait()?
            .into_iter()
            .map(|(_, row)| row)
            .collect())
    }
    let devices: Vec<DeviceRow> = rows(store, Table::Devices)?;
    let conversations: Vec<ConversationRow> = rows(store, Table::Conversations)?;
    inventory.restore(
        rows::<LocalRule>(store, Table::Rules)?,
        devices.into_iter().map(|row| row.ledger),
        conversations.into_iter().map(|row| row.ledger),
    )?;
    Ok(())
}

fn picture(inventory: &Inventory) -> Picture {
    let mut devices: Vec<DeviceProfile> = inventory.devices().collect();
    devices.sort_by(|a, b| a.id.cmp(&b.id));
    Picture {
        devices: devices.into(),
        conversations: inventory.conversations().collect(),
    }
}

/// A question in the console's words.
fn question(question: inventory::queue::Question) -> Question {
    Question {
        id: question.id.to_string(),
        words: question.sentence,
        cause: match question.reason {
            Reason::Contradictory => "contradictory",
            Reason::Unknown => "unknown",
            Reason::New => "new",
        }
        .to_owned(),
        devices: question.devices,
        shared: question
            .shared
            .iter()
            .map(|e| format!("{}: {}", e.kind, e.value))
            .collect(),
        settle: question.settle.iter().map(ToString::to_string).collect(),
        suggestions: question
            .suggestions
            .iter()
            .map(|s| (s.kind.to_string(), s.why.to_string()))
            .collect(),
    }
}

/// A rule in the console's words.
fn shown_rule(rule: &LocalRule) -> Rule {
    Rule {
        id: rule.id.to_string(),
        words: format!(
            "{} devices are each {}{}",
            rule.devices.len(),
            taxonomy::words(&rule.kind),
            if rule.pack.is_some() {
                ", and so is whatever shares their fingerprint"
            } else {
                ""
            }
        ),
        by: rule.person.as_str().to_owned(),
        at: rule.at,
    }
}

/// Takes observations and flows into an [`Estate`].
pub(crate) struct Intake {
    estate: Estate,
}

impl Sink for Intake {
    fn observe(&mut self, observation: Observation) {
        self.estate.shared.inventory.lock().observe(observation);
    }

    fn flow(&mut self, flow: Flow) {
        self.estate.shared.inventory.lock().flow(flow);
    }

    fn source(&mut self, source: Source) -> SourceId {
        self.estate.shared.inventory.lock().sources().add(source)
    }
}

//! The inventory as the program keeps it: shared between sensors, console and commands, and written through to its file.
//!
//! What changed is taken out of the inventory once, into a [`Ledger`]: from there it goes into the picture that the
//! console draws from, to the file, and to whoever looks up known risks. Where nothing came, nothing is done.

mod ledger;
pub(crate) mod letterbox;
mod risks;
mod words;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use console::estate::{
    Explained, FeedState, Picture, Preview, Question, Reply, RiskSummary, Rule, SensorState,
};
use domain::observation::{Sink, Source, SourceId};
use domain::{Conversation, DeviceId, DeviceProfile, Flow, Observation, Timestamp};
use inventory::Inventory;
use inventory::inventory::{ConversationRow, DeviceRow, LocalRule, SavedDevice};
use inventory::options::{Options, Segment};
use inventory::risk::{Feed, Feeds};
use inventory::taxonomy;
use parking_lot::Mutex;
use store::{InventoryStore, Table};
use tokio::sync::watch;

use self::ledger::Ledger;
use self::risks::Risks;
use crate::clock;
use crate::commands::discover::{called, kind};
use crate::config::InventoryConfig;
use crate::failure::{Blame, Failure};
use crate::knowledge;
use crate::sensor::{Counts, Taken};

/// How often what the console sees is brought up to date, at most.
const SHOWN_EVERY: Duration = Duration::from_secs(1);
/// A look at what changed is followed by a rest of this many times its length: looking takes a tenth of a core at most.
const REST: u32 = 9;
/// How often it is looked even where nothing came: names hold for a while against evidence, and then follow it.
const LOOKED_EVERY: Duration = Duration::from_secs(60);
/// How often changes go to the file.
const SAVED_EVERY: Duration = Duration::from_secs(10);
/// For how long the conversations that were put together once are shown.
const CONVERSATIONS_FOR: Duration = Duration::from_secs(10);
/// After how long questions that were asked for are put together afresh, unless one was answered before.
const QUESTIONS_FOR: Duration = Duration::from_secs(15);
/// How long known risks are looked up at a time, and how many devices at once: a reader's own device comes between.
const MATCHED_FOR: Duration = Duration::from_millis(500);
const MATCHED_AT_ONCE: usize = 32;

/// After which time a sensor on another host counts as silent; it says something every five seconds.
const SILENT_AFTER: Duration = Duration::from_secs(60);

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

/// Whoever holds the ledger may take the inventory too, never the other way round.
struct Shared {
    inventory: Mutex<Inventory>,
    /// Whether anything came since it was looked at last.
    touched: AtomicBool,
    ledger: Mutex<Ledger>,
    store: Option<InventoryStore>,
    data: Option<PathBuf>,
    shown: ArcSwap<Picture>,
    news: watch::Sender<()>,
    sensors: Mutex<Vec<SensorState>>,
    /// When each sensor on another host was heard of last.
    heard: Mutex<BTreeMap<String, Option<Timestamp>>>,
    /// How far such sensors' spools were taken. Whoever holds the inventory may take it too, never the other way round.
    taken: Mutex<Taken>,
    conversations: Mutex<Option<(Instant, Arc<[Conversation]>)>>,
    questions: Mutex<Option<(Instant, Arc<[Question]>)>>,
    /// The answers in force, the newest first.
    rules: Mutex<Vec<Rule>>,
    /// How many answers were given or taken back: questions from before one are not shown after it.
    answers: AtomicU64,
    /// Whether they are to be put together, so that the next reader does not wait for them.
    questions_wanted: AtomicBool,
    /// Absent where the thread could not be started.
    risks: OnceLock<Option<Risks>>,
}

impl Estate {
    /// An inventory that lives as long as the program, or one that is kept in a data folder and begins with what is there.
    pub(crate) fn open(data: Option<&Path>, settings: Settings) -> Result<Self, Failure> {
        let mut inventory = Inventory::new(settings.knowledge, settings.options);
        let mut taken = Taken::default();
        let store = match data {
            None => None,
            Some(data) => {
                std::fs::create_dir_all(data)
                    .input(format!("cannot use the data folder `{}`", data.display()))?;
                let store = InventoryStore::open(path_in(data)).input("opening the inventory")?;
                restore(&mut inventory, &store).input("reading the inventory")?;
                let places = store.rows(Table::Spools).wait();
                taken =
                    Taken::restore(places.input("reading the inventory")?.into_iter().collect());
                Some(store)
            }
        };
        let mut ledger = Ledger::new(store.is_some());
        ledger.take(&mut inventory, clock::now(), None);
        let rules = words::rules(&inventory);
        Ok(Self {
            shared: Arc::new(Shared {
                touched: AtomicBool::new(false),
                shown: ArcSwap::from_pointee(ledger.picture()),
                ledger: Mutex::new(ledger),
                inventory: Mutex::new(inventory),
                store,
                data: data.map(Path::to_owned),
                news: watch::Sender::new(()),
                sensors: Mutex::default(),
                heard: Mutex::default(),
                taken: Mutex::new(taken),
                conversations: Mutex::default(),
                questions: Mutex::default(),
                rules: Mutex::new(rules),
                answers: AtomicU64::new(0),
                questions_wanted: AtomicBool::new(true),
                risks: OnceLock::new(),
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
        let mut ledger = self.shared.ledger.lock();
        self.look(&mut ledger);
        self.write(&mut ledger)
    }

    /// Writes what the file does not have yet.
    fn write(&self, ledger: &mut Ledger) -> Result<(), Failure> {
        match &self.shared.store {
            Some(store) => {
                let places = ledger.places();
                ledger.write(store).running("writing the inventory")?;
                if let Some(places) = places {
                    self.shared.taken.lock().keep(places);
                }
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// Takes what changed out of the inventory and shows it.
    fn look(&self, ledger: &mut Ledger) {
        let now = clock::now();
        // Whatever comes from here on is for the next look.
        self.shared.touched.store(false, Ordering::Release);
        let changed = {
            let mut inventory = self.shared.inventory.lock();
            // At the same instant: a batch and its place are in the file together or not at all.
            if let Some(places) = self.shared.taken.lock().changed() {
                ledger.taken(places);
            }
            ledger.take(&mut inventory, now, Some(now))
        };
        if changed {
            self.show(ledger);
        }
    }

    fn show(&self, ledger: &Ledger) {
        self.shared.shown.store(Arc::new(ledger.picture()));
        self.shared.news.send_replace(());
    }

    /// Known risks, whose lists are read when they are first asked for.
    fn risks(&self) -> Option<&Risks> {
        let begin = || {
            let store = self.shared.store.clone();
            Risks::begin(move || feeds(store.as_ref()))
                .inspect_err(|error| tracing::error!(%error, "known risks are not looked up"))
                .ok()
        };
        self.shared.risks.get_or_init(begin).as_ref()
    }

    /// Looks up known risks of devices that are new or changed, for a while.
    fn match_risks(&self) {
        let Some(risks) = self.risks() else {
            return;
        };
        let began = Instant::now();
        let now = clock::now();
        let mut found = false;
        while began.elapsed() < MATCHED_FOR {
            let ids = self.shared.ledger.lock().unmatched(MATCHED_AT_ONCE, now);
            if ids.is_empty() {
                break;
            }
            let profiles: Vec<DeviceProfile> =
                self.with(|inventory| ids.iter().filter_map(|id| inventory.device(id)).collect());
            let met: Vec<DeviceId> = profiles.iter().map(|p| p.id.clone()).collect();
            let Some(matched) = risks.of(profiles, now) else {
                self.shared.ledger.lock().again(ids);
                break;
            };
            let mut ledger = self.shared.ledger.lock();
            for (id, matched) in met.iter().zip(&matched) {
                let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
                let summary = RiskSummary {
                    known: count(matched.risks.len()).saturating_add(matched.more),
                    exploited: count(matched.risks.iter().filter(|r| r.exploited).count()),
                };
                ledger.matched(id, summary);
            }
            found = true;
        }
        if found {
            self.show(&self.shared.ledger.lock());
        }
    }

    /// Takes lists that were imported while this program holds the file.
    fn take_letters(&self) {
        let (Some(data), Some(store)) = (&self.shared.data, &self.shared.store) else {
            return;
        };
        let mut taken = Vec::new();
        for (path, feed) in letterbox::read(data) {
            let mut change = store::Change::default();
            let stored = change
                .put(Table::Feeds, letterbox::key(&feed), &feed)
                .map_err(anyhow::Error::from)
                .and_then(|()| Ok(store.write(change).wait()?));
            match stored {
                Ok(()) => {
                    tracing::info!(list = %feed.import.name, "took over a list from the inbox");
                    // A letter that cannot be removed is taken again, which changes nothing.
                    if let Err(error) = std::fs::remove_file(&path) {
                        tracing::warn!(%error, path = %path.display(), "a letter could not be removed");
                    }
                    taken.push(feed);
                }
                Err(error) => {
                    tracing::error!(error = format!("{error:#}"), "a list could not be stored")
                }
            }
        }
        if let (false, Some(risks)) = (taken.is_empty(), self.risks()) {
            risks.add(taken);
            self.shared.ledger.lock().match_all_again();
        }
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
        self.shared.news.send_replace(());
    }

    /// A sensor on another host that should send here.
    pub(crate) fn expect(&self, name: &str) {
        self.shared.heard.lock().insert(name.to_owned(), None);
    }

    /// Takes a batch of a sensor's spool, unless it was taken. What it says and how far the spool was taken get into the
    /// file together.
    pub(crate) fn take_batch(
        &self,
        sensor: &str,
        spool: &str,
        number: u64,
        take: impl FnOnce(&mut Inventory),
    ) -> bool {
        let mut inventory = self.shared.inventory.lock();
        let mut taken = self.shared.taken.lock();
        if !taken.advance(sensor, spool, number, clock::now()) {
            return false;
        }
        take(&mut inventory);
        self.shared.touched.store(true, Ordering::Release);
        true
    }

    /// The number of the last batch of a sensor's spool that is in the file; 0: none.
    pub(crate) fn kept_of(&self, sensor: &str, spool: &str) -> u64 {
        self.shared.taken.lock().kept(sensor, spool)
    }

    /// A sensor on another host was heard of.
    pub(crate) fn heard_of(&self, name: &str, counts: Counts) {
        if counts.lost_batches > 0 {
            tracing::warn!(
                sensor = name,
                lost_batches = counts.lost_batches,
                "a sensor's spool was full or broken; what it saw meanwhile is lost"
            );
        }
        let now = clock::now();
        self.shared.heard.lock().insert(name.to_owned(), Some(now));
        let mut sensors = self.shared.sensors.lock();
        let place = sensors.iter().position(|s| s.name == name);
        let place = place.unwrap_or_else(|| {
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
            sensor.packets = sensor.packets.saturating_add(counts.packets);
            sensor.lost = sensor.lost.saturating_add(counts.lost_packets);
        }
    }

    /// Those of this host, and those of others with when they were heard of last.
    fn sensors_now(&self) -> Vec<SensorState> {
        let mut sensors = self.shared.sensors.lock().clone();
        let now = clock::now();
        for (name, heard) in self.shared.heard.lock().iter() {
            let silent = heard.is_none_or(|at| now.since(at) > SILENT_AFTER);
            let words = match heard {
                None => "not heard of yet".to_owned(),
                Some(at) => format!(
                    "{}heard of {} {} UTC",
                    if silent { "not " } else { "" },
                    if silent { "since" } else { "at" },
                    at.to_string().get(11..16).unwrap_or_default()
                ),
            };
            match sensors.iter_mut().find(|s| s.name == *name) {
                Some(sensor) => (sensor.words, sensor.good) = (words, !silent),
                None => sensors.push(SensorState {
                    name: name.clone(),
                    words,
                    good: false,
                    packets: 0,
                    lost: 0,
                }),
            }
        }
        sensors
    }

    /// Keeps what the console sees fresh, and the file, for ever.
    pub(crate) async fn keep(&self) {
        let (mut saved, mut looked) = (Instant::now(), Instant::now());
        let mut rest = SHOWN_EVERY;
        loop {
            tokio::time::sleep(rest).await;
            let save = saved.elapsed() >= SAVED_EVERY;
            let look =
                looked.elapsed() >= LOOKED_EVERY || self.shared.touched.load(Ordering::Acquire);
            if save {
                saved = Instant::now();
            }
            if look {
                looked = Instant::now();
            }
            let estate = self.clone();
            let work = tokio::task::spawn_blocking(move || estate.round(save, look));
            match work.await {
                Ok((took, told)) => {
                    rest = SHOWN_EVERY.max(took * REST);
                    if let Err(failure) = told {
                        tracing::error!(
                            error = failure.sentence(),
                            "the inventory was not written"
                        );
                    }
                }
                Err(error) => tracing::error!(%error, "the inventory was not looked at"),
            }
        }
    }

    /// Puts the questions together.
    fn ask(&self) -> Arc<[Question]> {
        let before = self.shared.answers.load(Ordering::Acquire);
        let all: Arc<[Question]> = self
            .with(Inventory::queue)
            .into_iter()
            .map(words::question)
            .collect();
        let mut kept = self.shared.questions.lock();
        if self.shared.answers.load(Ordering::Acquire) == before {
            *kept = Some((Instant::now(), Arc::clone(&all)));
        }
        all
    }

    /// The questions are others now, and so are the rules.
    fn answered(&self) {
        *self.shared.rules.lock() = self.with(words::rules);
        let mut kept = self.shared.questions.lock();
        self.shared.answers.fetch_add(1, Ordering::AcqRel);
        *kept = None;
    }

    /// One round of [`Estate::keep`]; tells how long looking took.
    fn round(&self, save: bool, look: bool) -> (Duration, Result<(), Failure>) {
        let began = Instant::now();
        if look {
            self.look(&mut self.shared.ledger.lock());
        }
        let took = began.elapsed();
        let told = if save {
            self.take_letters();
            self.write(&mut self.shared.ledger.lock())
        } else {
            Ok(())
        };
        self.match_risks();
        if self.shared.questions_wanted.swap(false, Ordering::AcqRel) {
            self.ask();
        }
        (took, told)
    }
}

impl console::estate::Estate for Estate {
    fn picture(&self) -> Arc<Picture> {
        self.shared.shown.load_full()
    }

    fn watch(&self) -> watch::Receiver<()> {
        self.shared.news.subscribe()
    }

    fn sensors(&self) -> Vec<SensorState> {
        self.sensors_now()
    }

    fn feeds(&self) -> Vec<FeedState> {
        self.risks()
            .map(|risks| risks.feeds(clock::now()))
            .unwrap_or_default()
    }

    fn conversations(&self) -> Arc<[Conversation]> {
        let mut kept = self.shared.conversations.lock();
        match &*kept {
            Some((at, all)) if at.elapsed() < CONVERSATIONS_FOR => Arc::clone(all),
            _ => {
                let all: Arc<[Conversation]> = self.with(|i| i.conversations().collect());
                *kept = Some((Instant::now(), Arc::clone(&all)));
                all
            }
        }
    }

    fn explain(&self, id: &DeviceId) -> Option<Explained> {
        let (detail, conversations) = self.with(|inventory| {
            let detail = inventory.detail(id)?;
            let conversations = inventory.conversations_of(&detail.profile.id);
            Some((detail, conversations))
        })?;
        let why = detail.why();
        let risks = self
            .risks()
            .and_then(|risks| risks.of(vec![detail.profile.clone()], clock::now()))
            .and_then(|mut matched| matched.pop())
            .map(risks::shown);
        Some(Explained {
            profile: detail.profile,
            sentence: why.sentence,
            contradicts: why.contradicts,
            settle: why.settle.iter().map(ToString::to_string).collect(),
            conversations,
            risks,
        })
    }

    fn questions(&self) -> Arc<[Question]> {
        let kept = self.shared.questions.lock().clone();
        match kept {
            Some((at, all)) => {
                if at.elapsed() > QUESTIONS_FOR {
                    self.shared.questions_wanted.store(true, Ordering::Release);
                }
                all
            }
            None => self.ask(),
        }
    }

    fn preview(&self, question: &str, kind: &str) -> Result<Preview, String> {
        self.with(|inventory| inventory.preview(question, kind))
            .map(words::preview)
            .map_err(|error| error.to_string())
    }

    fn answer(&self, reply: Reply) -> Result<Rule, String> {
        let rule = self
            .shared
            .inventory
            .lock()
            .answer(&reply.question, &reply.kind, reply.by, reply.at)
            .map_err(|error| error.to_string())?;
        self.answered();
        self.save().map_err(|failure| failure.sentence())?;
        Ok(words::rule(&rule))
    }

    fn rules(&self) -> Vec<Rule> {
        self.shared.rules.lock().clone()
    }

    fn undo(&self, rule: &str) -> Result<(), String> {
        self.shared
            .inventory
            .lock()
            .undo(rule)
            .map_err(|error| error.to_string())?;
        self.answered();
        self.save().map_err(|failure| failure.sentence())
    }

    fn kinds(&self) -> Vec<(String, String)> {
        taxonomy::TYPES
            .iter()
            .map(|kind| (kind.id.to_owned(), kind.words.to_owned()))
            .collect()
    }
}

/// The lists that the inventory's file holds, with the one that ships.
fn feeds(store: Option<&InventoryStore>) -> Feeds {
    let mut feeds = Feeds::shipped();
    let kept = store.map(|store| store.rows::<Feed>(Table::Feeds).wait());
    match kept {
        None => {}
        Some(Ok(rows)) => {
            for (_, feed) in rows {
                feeds.add(feed.import, feed.imported);
            }
        }
        Some(Err(error)) => tracing::error!(%error, "the lists of known risks were not read"),
    }
    feeds
}

/// The conversations that rows of a file stand for: several rows may be one, as between the addresses of one device.
pub(crate) fn conversations(
    settings: Settings,
    rules: Vec<LocalRule>,
    devices: impl Iterator<Item = SavedDevice>,
    rows: Vec<ConversationRow>,
) -> anyhow::Result<Vec<Conversation>> {
    let mut inventory = Inventory::new(settings.knowledge, settings.options);
    inventory.restore(rules, devices, rows.into_iter().map(|row| row.ledger))?;
    Ok(inventory.conversations().collect())
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

/// Takes observations and flows into an [`Estate`].
pub(crate) struct Intake {
    estate: Estate,
}

impl Sink for Intake {
    fn observe(&mut self, observation: Observation) {
        self.estate.shared.inventory.lock().observe(observation);
        self.estate.shared.touched.store(true, Ordering::Release);
    }

    fn flow(&mut self, flow: Flow) {
        self.estate.shared.inventory.lock().flow(flow);
        self.estate.shared.touched.store(true, Ordering::Release);
    }

    fn source(&mut self, source: Source) -> SourceId {
        self.estate.shared.inventory.lock().sources().add(source)
    }
}

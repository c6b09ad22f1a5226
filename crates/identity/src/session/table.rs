//! The table of sessions.
//!
//! Two structures. *Shards* map the hash of a secret to its session: every request reads one of them, writers hold one
//! only for a single insert or removal. The *index* knows sessions by handle and person; ceremonies, the console and
//! the sweep use it under one mutex that no request ever takes. Lock order: index, then shard.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use domain::{Authentication, BreakGlassGrant, DeviceId, PersonId, Purpose, SessionId, Timestamp};
use parking_lot::{Mutex, RwLock};
use smol_str::SmolStr;

use super::live::{Beginning, Extras, Live, Proof, Session, epochs};
use super::{Changes, EndCause, Ended, GrantRefused, Limits, NoSession, SessionRow, SessionView};
use crate::secret::random_handle;
use crate::{Audience, Secret, SecretHash};

const SHARDS: usize = 64;

/// Cookies of one session for one audience at a time: two tabs may pass through sign-in at once, and the older tab's
/// request in flight must not fail.
const COOKIES_PER_AUDIENCE_MAX: usize = 4;

/// Emergency grants that one session may hold.
const GRANTS_MAX: usize = 64;

/// How far a row's clock may be ahead of ours when sessions are read back.
const CLOCK_LEEWAY: std::time::Duration = std::time::Duration::from_secs(60);

type Shard = RwLock<HashMap<SecretHash, Entry, BuildHasherDefault<HashPrefix>>>;
type Listener = Arc<dyn Fn(&Ended) + Send + Sync>;

/// All sessions. Shared by reference; nothing here waits, reads a clock or does I/O.
pub struct Sessions {
    limits: Limits,
    shards: Vec<Shard>,
    index: Mutex<Index>,
    listeners: RwLock<Vec<Listener>>,
    /// Changes were taken and not written; raised by whoever writes them.
    lost: LossFlag,
}

/// Says that changes taken were not written, from wherever that is found out.
#[derive(Clone, Debug, Default)]
pub struct LossFlag(Arc<AtomicBool>);

impl LossFlag {
    /// The next [`Sessions::take_changes`] returns everything.
    pub fn raise(&self) {
        self.0.store(true, Ordering::Release);
    }
}

/// What the hash of a secret leads to.
struct Entry {
    session: Arc<Session>,
    audience: Audience,
    proof: Proof,
    generation: u64,
}

#[derive(Default)]
struct Index {
    by_id: HashMap<SessionId, Held>,
    by_person: HashMap<PersonId, OfPerson>,
    /// Sessions to write to the store.
    changed: HashSet<SessionId>,
    /// Sessions to remove from the store.
    ended: HashSet<SessionId>,
    /// Too much has changed to list it, or the store lost what it was told: write everything.
    rewrite: bool,
}

struct Held {
    session: Arc<Session>,
    proof: Proof,
    /// Oldest first.
    secrets: Vec<(SecretHash, Audience)>,
}

#[derive(Default)]
struct OfPerson {
    sessions: Vec<SessionId>,
    epoch: Arc<AtomicU64>,
}

impl std::fmt::Debug for Sessions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sessions")
            .field("limits", &self.limits)
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}

impl Sessions {
    /// An empty table.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            shards: (0..SHARDS).map(|_| Shard::default()).collect(),
            index: Mutex::default(),
            listeners: RwLock::default(),
            lost: LossFlag::default(),
        }
    }

    /// The limits in force.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Asks to be told of every session's end, whatever its cause. Listeners run on the thread that ends the session
    /// (or sweeps it) and hold no lock of this table.
    pub fn on_end(&self, listener: impl Fn(&Ended) + Send + Sync + 'static) {
        self.listeners.write().push(Arc::new(listener));
    }

    /// Begins a session and returns its handle and the secret for the access origin's cookie.
    ///
    /// Always a new session with a new secret: a browser that was signed in before has its old session ended by
    /// the caller ([`Sessions::end`]), never taken over.
    pub fn start(
        &self,
        person: PersonId,
        device: Option<DeviceId>,
        authentication: Authentication,
        purpose: Purpose,
        now: Timestamp,
    ) -> (SessionId, Secret) {
        let id = SessionId::new(random_handle("s-"));
        let secret = Secret::generate();
        let mut told = Vec::new();
        {
            let mut index = self.index.lock();
            self.make_room(&mut index, &person, &mut told);
            let epoch = index
                .by_person
                .entry(person.clone())
                .or_default()
                .epoch
                .clone();
            let session = Arc::new(Session::new(
                Beginning {
                    id: id.clone(),
                    person,
                    device,
                    purpose,
                    started: now,
                    last_active: now,
                    person_epoch: epoch,
                    extras: Extras::default(),
                },
                &self.limits,
            ));
            let proof = Proof::of(&authentication);
            self.hold(
                &mut index,
                session,
                proof,
                vec![(secret.hash(), Audience::Access)],
            );
            index.note_changed(&id);
        }
        self.tell(told);
        (id, secret)
    }

    /// The session that a cookie opens at this origin. Every request passes here.
    pub fn resolve(
        &self,
        cookie: &str,
        audience: &Audience,
        now: Timestamp,
    ) -> Result<Live, NoSession> {
        let hash = Secret::parse(cookie).ok_or(NoSession::Malformed)?.hash();
        let (session, proof, generation) = {
            let shard = self.shard(&hash).read();
            let entry = shard.get(&hash).ok_or(NoSession::Unknown)?;
            if entry.audience != *audience {
                return Err(NoSession::ForeignAudience);
            }
            (Arc::clone(&entry.session), entry.proof, entry.generation)
        };
        session.check(now)?;
        if session.generation.load(Ordering::Acquire) != generation {
            return Err(NoSession::Unknown); // a step-up is replacing the cookies this very moment
        }
        let epoch = epochs(&session);
        let last = session
            .last_active
            .fetch_max(now.as_millis(), Ordering::Relaxed);
        Ok(Live {
            session,
            proof,
            last_active: Timestamp::from_millis(last),
            generation,
            epoch,
        })
    }

    /// Opens an application under a session and returns the secret for its cookie.
    pub fn open_application(
        &self,
        session: &SessionId,
        audience: &Audience,
        now: Timestamp,
    ) -> Result<Secret, NoSession> {
        let secret = Secret::generate();
        let mut index = self.index.lock();
        let held = index.by_id.get_mut(session).ok_or(NoSession::Unknown)?;
        held.session.check(now)?;
        let same: Vec<SecretHash> = held
            .secrets
            .iter()
            .filter(|(_, a)| a == audience)
            .map(|(hash, _)| *hash)
            .collect();
        let surplus = (same.len() + 1).saturating_sub(COOKIES_PER_AUDIENCE_MAX);
        for old in same.into_iter().take(surplus) {
            held.secrets.retain(|(hash, _)| *hash != old);
            self.shard(&old).write().remove(&old);
        }
        held.secrets.push((secret.hash(), audience.clone()));
        self.enter(&held.session, held.proof, secret.hash(), audience.clone());
        index.note_changed(session);
        Ok(secret)
    }

    /// Records a stronger or fresher authentication of the same person and returns the new secret for the access
    /// origin. Every older secret of the session, of any origin, is dead from here on.
    pub fn step_up(
        &self,
        session: &SessionId,
        authentication: Authentication,
        now: Timestamp,
    ) -> Result<Secret, NoSession> {
        let secret = Secret::generate();
        let mut index = self.index.lock();
        let held = index.by_id.get_mut(session).ok_or(NoSession::Unknown)?;
        held.session.check(now)?;
        // From this store on no old cookie resolves, even before its entry is gone.
        held.session.generation.fetch_add(1, Ordering::AcqRel);
        for (old, _) in held.secrets.drain(..) {
            self.shard(&old).write().remove(&old);
        }
        held.proof = Proof::of(&authentication);
        held.session
            .last_active
            .fetch_max(now.as_millis(), Ordering::Relaxed);
        held.secrets.push((secret.hash(), Audience::Access));
        self.enter(&held.session, held.proof, secret.hash(), Audience::Access);
        index.note_changed(session);
        Ok(secret)
    }

    /// Attaches an emergency grant. It must be made out to the session's person and, if it names one, its device.
    pub fn attach_grant(
        &self,
        session: &SessionId,
        grant: BreakGlassGrant,
        now: Timestamp,
    ) -> Result<(), GrantRefused> {
        let mut index = self.index.lock();
        let held = index.by_id.get(session).ok_or(NoSession::Unknown)?;
        held.session.check(now)?;
        if grant.person != held.session.person
            || (grant.device.is_some() && grant.device != held.session.device)
        {
            return Err(GrantRefused::Foreign);
        }
        if grant.expires <= now {
            return Err(GrantRefused::Expired);
        }
        let mut extras = held.session.extras.write();
        let mut changed = (**extras).clone();
        changed
            .grants
            .retain(|old| old.expires > now && old.id != grant.id);
        if changed.grants.len() >= GRANTS_MAX {
            return Err(GrantRefused::TooMany);
        }
        changed.grants.push(grant);
        *extras = Arc::new(changed);
        drop(extras);
        index.note_changed(session);
        Ok(())
    }

    /// Sets the service ticket under which a vendor comes, or removes it.
    pub fn set_ticket(
        &self,
        session: &SessionId,
        ticket: Option<SmolStr>,
        now: Timestamp,
    ) -> Result<(), NoSession> {
        let mut index = self.index.lock();
        let held = index.by_id.get(session).ok_or(NoSession::Unknown)?;
        held.session.check(now)?;
        let mut extras = held.session.extras.write();
        *extras = Arc::new(Extras {
            ticket,
            grants: extras.grants.clone(),
        });
        drop(extras);
        index.note_changed(session);
        Ok(())
    }

    /// Signs a session out everywhere: at the access origin and at every application. False if it had ended before.
    pub fn end(&self, session: &SessionId) -> bool {
        self.end_because(session, EndCause::SignOut)
    }

    /// Ends a session for a stated cause. False if it had ended before.
    pub fn end_because(&self, session: &SessionId, cause: EndCause) -> bool {
        let mut told = Vec::new();
        self.remove(&mut self.index.lock(), session, cause, &mut told);
        let was_there = !told.is_empty();
        self.tell(told);
        was_there
    }

    /// Ends every session of a person and returns them.
    pub fn end_person(&self, person: &PersonId) -> Vec<SessionId> {
        let mut told = Vec::new();
        {
            let mut index = self.index.lock();
            let ids = index
                .by_person
                .get(person)
                .map(|of| of.sessions.clone())
                .unwrap_or_default();
            for id in &ids {
                self.remove(&mut index, id, EndCause::Person, &mut told);
            }
        }
        let ids = told.iter().map(|ended| ended.session.clone()).collect();
        self.tell(told);
        ids
    }

    /// Moves the revocation epoch of a session: whoever holds a [`Live`] of it sees that it is no longer current.
    pub fn raise_epoch(&self, session: &SessionId) {
        if let Some(held) = self.index.lock().by_id.get(session) {
            held.session.epoch.fetch_add(1, Ordering::AcqRel);
        }
    }

    /// Moves the revocation epoch of all sessions of a person.
    pub fn raise_person_epoch(&self, person: &PersonId) {
        if let Some(of) = self.index.lock().by_person.get(person) {
            of.epoch.fetch_add(1, Ordering::AcqRel);
        }
    }

    /// Whether a session is over (or never was).
    pub fn ended(&self, session: &SessionId) -> bool {
        self.index
            .lock()
            .by_id
            .get(session)
            .is_none_or(|held| held.session.end_cause().is_some())
    }

    /// One session that lives at `now`.
    pub fn view(&self, session: &SessionId, now: Timestamp) -> Option<SessionView> {
        self.index
            .lock()
            .by_id
            .get(session)
            .and_then(|held| held.view(now))
    }

    /// All sessions that live at `now`, the one used last first.
    pub fn list(&self, now: Timestamp) -> Vec<SessionView> {
        let mut views: Vec<SessionView> = self
            .index
            .lock()
            .by_id
            .values()
            .filter_map(|held| held.view(now))
            .collect();
        views.sort_by(|a, b| {
            (b.authentication.last_active, &a.id).cmp(&(a.authentication.last_active, &b.id))
        });
        views
    }

    /// Number of sessions held, those included that have ended and were not swept yet.
    pub fn len(&self) -> usize {
        self.index.lock().by_id.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Removes sessions whose time is over, tells the listeners, and returns them. To be called every few seconds: it
    /// is what cuts the streams of a session that idles out.
    pub fn sweep(&self, now: Timestamp) -> Vec<SessionId> {
        let mut told = Vec::new();
        {
            let mut index = self.index.lock();
            let mut over: Vec<(SessionId, EndCause)> = index
                .by_id
                .values()
                .filter(|held| held.session.check(now).is_err())
                .filter_map(|held| Some((held.session.id.clone(), held.session.end_cause()?)))
                .collect();
            over.sort();
            for (id, cause) in over {
                self.remove(&mut index, &id, cause, &mut told);
            }
        }
        let ids = told.iter().map(|ended| ended.session.clone()).collect();
        self.tell(told);
        ids
    }

    /// All sessions as rows for the store.
    pub fn export(&self) -> Vec<SessionRow> {
        self.index.lock().rows()
    }

    /// What has changed since the last call. Whoever writes it calls one after the other, so that an end can never be
    /// overtaken by an older row of the same session.
    pub fn take_changes(&self) -> Changes {
        let mut index = self.index.lock();
        let lost = self.lost.0.swap(false, Ordering::AcqRel);
        if std::mem::take(&mut index.rewrite) || lost {
            index.changed.clear();
            index.ended.clear();
            return Changes {
                full: true,
                saved: index.rows(),
                ended: Vec::new(),
            };
        }
        let changed = std::mem::take(&mut index.changed);
        let mut saved: Vec<SessionRow> = changed
            .iter()
            .filter_map(|id| index.by_id.get(id).map(Held::row))
            .collect();
        saved.sort_by(|a, b| a.id.cmp(&b.id));
        let mut ended: Vec<SessionId> = std::mem::take(&mut index.ended).into_iter().collect();
        ended.sort();
        Changes {
            full: false,
            saved,
            ended,
        }
    }

    /// What to raise when changes taken were not written.
    pub fn loss_flag(&self) -> LossFlag {
        self.lost.clone()
    }

    /// Takes over sessions that the store kept and returns how many of them still live at `now`. Limits are those of
    /// this table, so that a limit made shorter meanwhile holds for them too.
    pub fn import(&self, rows: impl IntoIterator<Item = SessionRow>, now: Timestamp) -> usize {
        let mut told = Vec::new();
        let mut taken = 0;
        for row in rows {
            let mut index = self.index.lock();
            if index.by_id.contains_key(&row.id) {
                continue;
            }
            // Begun in the future: the clock was set back, and with it every limit.
            if row.started > now.plus(CLOCK_LEEWAY) || row.secrets.is_empty() {
                index.note_ended(&row.id, self.limits.sessions_max);
                continue;
            }
            let epoch = index
                .by_person
                .get(&row.person)
                .map(|of| of.epoch.clone())
                .unwrap_or_default();
            let session = Arc::new(Session::new(
                Beginning {
                    id: row.id,
                    person: row.person,
                    device: row.device,
                    purpose: row.purpose,
                    started: row.started,
                    last_active: row.authentication.last_active.min(now),
                    person_epoch: epoch,
                    extras: Extras {
                        grants: row.grants,
                        ticket: row.ticket,
                    },
                },
                &self.limits,
            ));
            if session.check(now).is_err() {
                index.note_ended(&session.id, self.limits.sessions_max);
                continue;
            }
            self.make_room(&mut index, &session.person, &mut told);
            let proof = Proof::of(&row.authentication);
            self.hold(&mut index, session, proof, row.secrets);
            taken += 1;
        }
        self.tell(told);
        taken
    }

    fn shard(&self, hash: &SecretHash) -> &Shard {
        // The map inside hashes by the first bytes; the shard goes by the last.
        &self.shards[usize::from(hash.as_bytes()[31]) % SHARDS]
    }

    fn enter(&self, session: &Arc<Session>, proof: Proof, hash: SecretHash, audience: Audience) {
        let entry = Entry {
            session: Arc::clone(session),
            audience,
            proof,
            generation: session.generation.load(Ordering::Acquire),
        };
        self.shard(&hash).write().insert(hash, entry);
    }

    fn hold(
        &self,
        index: &mut Index,
        session: Arc<Session>,
        proof: Proof,
        secrets: Vec<(SecretHash, Audience)>,
    ) {
        for (hash, audience) in &secrets {
            self.enter(&session, proof, *hash, audience.clone());
        }
        let of = index.by_person.entry(session.person.clone()).or_default();
        of.epoch = Arc::clone(&session.person_epoch);
        of.sessions.push(session.id.clone());
        index.by_id.insert(
            session.id.clone(),
            Held {
                session,
                proof,
                secrets,
            },
        );
    }

    /// Ends sessions until one more of this person fits.
    fn make_room(&self, index: &mut Index, person: &PersonId, told: &mut Vec<Ended>) {
        loop {
            let of_person = index
                .by_person
                .get(person)
                .map_or(0, |of| of.sessions.len());
            let victim = if of_person >= self.limits.per_person_max.max(1) {
                index
                    .by_person
                    .get(person)
                    .into_iter()
                    .flat_map(|of| &of.sessions)
                    .filter_map(|id| index.by_id.get(id))
                    .min_by_key(|held| held.staleness())
            } else if index.by_id.len() >= self.limits.sessions_max.max(1) {
                index.by_id.values().min_by_key(|held| held.staleness())
            } else {
                return;
            };
            let Some(id) = victim.map(|held| held.session.id.clone()) else {
                return;
            };
            self.remove(index, &id, EndCause::Displaced, told);
        }
    }

    fn remove(&self, index: &mut Index, id: &SessionId, cause: EndCause, told: &mut Vec<Ended>) {
        let Some(held) = index.by_id.remove(id) else {
            return;
        };
        // First the flag, so that requests in flight and streams see it; a time limit may have set it already.
        held.session.finish(cause);
        for (hash, _) in &held.secrets {
            self.shard(hash).write().remove(hash);
        }
        let person = &held.session.person;
        if let Some(of) = index.by_person.get_mut(person) {
            of.sessions.retain(|other| other != id);
            if of.sessions.is_empty() {
                index.by_person.remove(person);
            }
        }
        index.changed.remove(id);
        index.note_ended(id, self.limits.sessions_max);
        told.push(Ended {
            session: id.clone(),
            person: person.clone(),
            cause: held.session.end_cause().unwrap_or(cause),
        });
    }

    fn tell(&self, told: Vec<Ended>) {
        if told.is_empty() {
            return;
        }
        let listeners = self.listeners.read().clone();
        for ended in &told {
            for listener in &listeners {
                listener(ended);
            }
        }
    }
}

impl Index {
    fn note_changed(&mut self, id: &SessionId) {
        self.changed.insert(id.clone());
    }

    fn note_ended(&mut self, id: &SessionId, max: usize) {
        // Without a store nobody takes the changes away; a full rewrite says the same in bounded space.
        if self.ended.len() >= max.max(1024) {
            self.ended.clear();
            self.changed.clear();
            self.rewrite = true;
        }
        if !self.rewrite {
            self.ended.insert(id.clone());
        }
    }

    fn rows(&self) -> Vec<SessionRow> {
        let mut rows: Vec<SessionRow> = self
            .by_id
            .values()
            .filter(|held| held.session.end_cause().is_none())
            .map(Held::row)
            .collect();
        rows.sort_by(|a, b| a.id.cmp(&b.id));
        rows
    }
}

impl Held {
    fn staleness(&self) -> (Timestamp, Timestamp, SessionId) {
        (
            self.session.last_active(),
            self.session.started,
            self.session.id.clone(),
        )
    }

    fn row(&self) -> SessionRow {
        let session = &self.session;
        let extras = session.extras.read().clone();
        SessionRow {
            id: session.id.clone(),
            person: session.person.clone(),
            device: session.device.clone(),
            purpose: session.purpose,
            authentication: self.proof.authentication(session.last_active()),
            started: session.started,
            secrets: self.secrets.clone(),
            grants: extras.grants.clone(),
            ticket: extras.ticket.clone(),
        }
    }

    fn view(&self, now: Timestamp) -> Option<SessionView> {
        let session = &self.session;
        if session.end_cause().is_some() || session.ends() < now {
            return None;
        }
        let mut audiences: Vec<Audience> = self.secrets.iter().map(|(_, a)| a.clone()).collect();
        audiences.sort();
        audiences.dedup();
        Some(SessionView {
            id: session.id.clone(),
            person: session.person.clone(),
            device: session.device.clone(),
            purpose: session.purpose,
            authentication: self.proof.authentication(session.last_active()),
            started: session.started,
            ends: session.ends(),
            audiences,
            grants: session
                .extras
                .read()
                .grants
                .iter()
                .filter(|g| now <= g.expires)
                .count(),
        })
    }
}

/// Takes the first eight bytes of a key that is a SHA-256 already: its bits are as even as any hash's.
#[derive(Default)]
struct HashPrefix(u64);

impl Hasher for HashPrefix {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        if let Some(prefix) = bytes.first_chunk::<8>() {
            self.0 = u64::from_le_bytes(*prefix);
        }
    }

    fn write_usize(&mut self, _length: usize) {} // the length of an array is always the same
}

//! The resources in memory, with their versions, and what finds them.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use bytes::Bytes;
use domain::Timestamp;
use http::StatusCode;
use serde_json::Value;
use smol_str::SmolStr;

use super::fault::Fault;
use super::parameters::{self, Found, Type};

/// Type and id of a resource.
pub(crate) type Key = (&'static str, SmolStr);

/// How a version came to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    Create,
    Update,
    Delete,
}

/// One version of a resource.
#[derive(Clone, Debug)]
pub(crate) struct Version {
    pub(crate) number: u32,
    pub(crate) at: Timestamp,
    pub(crate) cause: Cause,
    /// The resource as JSON, with `meta`; absent for a deletion.
    pub(crate) body: Option<Bytes>,
}

/// A resource with its history; the last version is the current one.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) versions: Vec<Version>,
    /// What the current version can be found by.
    pub(crate) index: Vec<(u8, Found)>,
    pub(crate) security: Vec<Found>,
    compartments: Vec<SmolStr>,
}

impl Entry {
    /// The current version, even if it is a deletion.
    pub(crate) fn current(&self) -> Option<&Version> {
        self.versions.last()
    }

    /// The current content, unless deleted.
    pub(crate) fn body(&self) -> Option<&Bytes> {
        self.current()?.body.as_ref()
    }
}

/// How much the store may hold.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub(crate) versions_max: usize,
    pub(crate) bytes_max: usize,
}

/// All resources.
#[derive(Debug)]
pub(crate) struct Store {
    types: BTreeMap<&'static str, BTreeMap<SmolStr, Entry>>,
    /// Patient to the resources in the patient's compartment.
    compartments: HashMap<SmolStr, BTreeSet<Key>>,
    /// Every version in the order in which it came: what the histories of types and of the system read.
    changes: Vec<(Key, u32)>,
    bytes: usize,
    bounds: Bounds,
    next_id: u64,
}

impl Store {
    pub(crate) fn new(bounds: Bounds) -> Self {
        Self {
            types: BTreeMap::new(),
            compartments: HashMap::new(),
            changes: Vec::new(),
            bytes: 0,
            bounds,
            next_id: 1,
        }
    }

    pub(crate) fn entry(&self, kept: &'static Type, id: &str) -> Option<&Entry> {
        self.types.get(kept.name)?.get(id)
    }

    /// Every entry of a type, deleted ones too.
    pub(crate) fn entries(
        &self,
        kept: &'static Type,
    ) -> impl Iterator<Item = (&SmolStr, &Entry)> + use<'_> {
        self.types.get(kept.name).into_iter().flatten()
    }

    /// Keys of the resources in a patient's compartment.
    pub(crate) fn compartment(&self, patient: &str) -> impl Iterator<Item = &Key> {
        self.compartments.get(patient).into_iter().flatten()
    }

    /// Every version, the newest first.
    pub(crate) fn changes(&self) -> impl Iterator<Item = (&Key, &Version)> {
        self.changes.iter().rev().filter_map(|(key, number)| {
            let entry = self.types.get(key.0)?.get(&key.1)?;
            let version = entry.versions.iter().find(|v| v.number == *number)?;
            Some((key, version))
        })
    }

    /// How many versions there are: a mark for [`Store::undo`].
    pub(crate) fn mark(&self) -> usize {
        self.changes.len()
    }

    /// An id that no resource of the type has.
    pub(crate) fn fresh_id(&mut self, kept: &'static Type) -> SmolStr {
        loop {
            let id = smol_str::format_smolstr!("n{}", self.next_id);
            self.next_id += 1;
            if self.entry(kept, &id).is_none() {
                return id;
            }
        }
    }

    /// Adds a version, with `meta.versionId` and `meta.lastUpdated` set. `resource` is absent for a deletion.
    pub(crate) fn put(
        &mut self,
        kept: &'static Type,
        id: &SmolStr,
        resource: Option<Value>,
        at: Timestamp,
    ) -> Result<Version, Fault> {
        let previous = self.entry(kept, id).and_then(Entry::current);
        let number = previous.map_or(1, |v| v.number + 1);
        let cause = match (&resource, previous) {
            (None, _) => Cause::Delete,
            (Some(_), Some(previous)) if previous.body.is_some() => Cause::Update,
            (Some(_), _) => Cause::Create,
        };
        let (body, index, security) = match resource {
            None => (None, Vec::new(), Vec::new()),
            Some(mut resource) => {
                stamp(&mut resource, kept, id, number, at);
                let index = parameters::index(kept, &resource);
                let security = parameters::tokens_at(&resource, "meta.security");
                (Some(Bytes::from(resource.to_string())), index, security)
            }
        };
        let size = body.as_ref().map_or(0, Bytes::len);
        if self.changes.len() >= self.bounds.versions_max
            || self.bytes.saturating_add(size) > self.bounds.bytes_max
        {
            return Err(Fault::new(
                StatusCode::INSUFFICIENT_STORAGE,
                "no-store",
                "the sample hospital is full; start it again to empty it",
            ));
        }
        let version = Version {
            number,
            at,
            cause,
            body,
        };
        self.bytes += size;
        self.changes.push(((kept.name, id.clone()), number));
        let entry = self
            .types
            .entry(kept.name)
            .or_default()
            .entry(id.clone())
            .or_insert_with(|| Entry {
                versions: Vec::with_capacity(1),
                index: Vec::new(),
                security: Vec::new(),
                compartments: Vec::new(),
            });
        entry.versions.push(version.clone());
        self.reindex(kept, id, index, security);
        Ok(version)
    }

    /// Takes back every version that came after `mark`.
    pub(crate) fn undo(&mut self, mark: usize) {
        while self.changes.len() > mark {
            let Some(((type_name, id), _)) = self.changes.pop() else {
                return;
            };
            let Some(kept) = parameters::type_named(type_name) else {
                continue;
            };
            let Some(entry) = self.types.get_mut(type_name).and_then(|t| t.get_mut(&id)) else {
                continue;
            };
            if let Some(version) = entry.versions.pop() {
                self.bytes -= version.body.as_ref().map_or(0, Bytes::len);
            }
            // What is stored was JSON when it was put there.
            let restored = entry
                .body()
                .and_then(|body| serde_json::from_slice::<Value>(body).ok());
            let (index, security) = restored.map_or_else(Default::default, |resource| {
                (
                    parameters::index(kept, &resource),
                    parameters::tokens_at(&resource, "meta.security"),
                )
            });
            let empty = entry.versions.is_empty();
            self.reindex(kept, &id, index, security);
            if empty && let Some(all) = self.types.get_mut(type_name) {
                all.remove(&id);
            }
        }
    }

    fn reindex(
        &mut self,
        kept: &'static Type,
        id: &SmolStr,
        index: Vec<(u8, Found)>,
        security: Vec<Found>,
    ) {
        let Some(entry) = self.types.get_mut(kept.name).and_then(|t| t.get_mut(id)) else {
            return;
        };
        let alive = entry.body().is_some();
        let compartments = if alive {
            parameters::compartments(kept, id, &index)
        } else {
            Vec::new()
        };
        let old = std::mem::replace(&mut entry.compartments, compartments.clone());
        entry.index = index;
        entry.security = security;
        let key = (kept.name, id.clone());
        for patient in old {
            if !compartments.contains(&patient)
                && let Some(keys) = self.compartments.get_mut(&patient)
            {
                keys.remove(&key);
                if keys.is_empty() {
                    self.compartments.remove(&patient);
                }
            }
        }
        for patient in compartments {
            self.compartments
                .entry(patient)
                .or_default()
                .insert(key.clone());
        }
    }
}

/// Writes `resourceType`, `id` and the server's part of `meta`.
fn stamp(resource: &mut Value, kept: &'static Type, id: &str, number: u32, at: Timestamp) {
    let Some(object) = resource.as_object_mut() else {
        return;
    };
    object.insert("resourceType".into(), kept.name.into());
    object.insert("id".into(), id.into());
    let meta = object
        .entry("meta")
        .or_insert_with(|| Value::Object(serde_json::Map::new()));
    if !meta.is_object() {
        *meta = Value::Object(serde_json::Map::new());
    }
    meta["versionId"] = number.to_string().into();
    meta["lastUpdated"] = at.to_string().into();
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const BOUNDS: Bounds = Bounds {
        versions_max: 10,
        bytes_max: 10_000,
    };

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_millis(ms)
    }

    fn observation(patient: &str) -> Option<Value> {
        Some(json!({"subject": {"reference": format!("Patient/{patient}")}, "status": "final"}))
    }

    #[test]
    fn undo_restores_versions_compartments_and_bytes() {
        let kept = parameters::type_named("Observation").expect("kept");
        let mut store = Store::new(BOUNDS);
        store
            .put(kept, &"a".into(), observation("1"), at(1))
            .expect("room");
        let (mark, bytes) = (store.mark(), store.bytes);
        store
            .put(kept, &"a".into(), observation("2"), at(2))
            .expect("room");
        store
            .put(kept, &"b".into(), observation("2"), at(2))
            .expect("room");
        store.put(kept, &"a".into(), None, at(3)).expect("room");
        assert_eq!(store.compartment("1").count(), 0);
        assert_eq!(store.compartment("2").count(), 1);
        store.undo(mark);
        assert_eq!(store.compartment("1").count(), 1);
        assert_eq!(store.compartment("2").count(), 0);
        assert_eq!(store.bytes, bytes);
        assert!(store.entry(kept, "b").is_none());
        assert_eq!(
            store
                .entry(kept, "a")
                .and_then(Entry::current)
                .map(|v| v.number),
            Some(1)
        );
    }

    #[test]
    fn a_full_store_takes_nothing_more() {
        let kept = parameters::type_named("Observation").expect("kept");
        let mut store = Store::new(BOUNDS);
        for n in 0..10 {
            store
                .put(kept, &format!("o{n}").into(), observation("1"), at(n))
                .expect("room");
        }
        let refused = store.put(kept, &"more".into(), observation("1"), at(11));
        assert_eq!(
            refused.expect_err("full").status,
            StatusCode::INSUFFICIENT_STORAGE
        );
        assert!(store.entry(kept, "more").is_none());
        let mut small = Store::new(Bounds {
            versions_max: 10,
            bytes_max: 100,
        });
        assert!(
            small
                .put(kept, &"o".into(), observation(&"1".repeat(100)), at(1))
                .is_err()
        );
    }
}

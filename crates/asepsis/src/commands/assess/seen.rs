//! What the inventory, the register and the feeds tell.

use std::collections::BTreeMap;
use std::path::Path;

use ::assess::facts::{Documents, FeedFact, Network, Register, SourceFact, Subnet};
use ::assess::{Facts, Sourced};
use domain::{Source, Timestamp};
use inventory::inventory::{ConversationRow, DeviceRow, LocalRule};
use inventory::reconcile::was_seen;
use inventory::risk::{FeedKind, Matched};
use store::{Rows, Table, read_inventory};

use crate::cli;
use crate::commands::discover;
use crate::commands::feed::feeds_in;
use crate::config::{Config, InventoryConfig};
use crate::estate::{self, Settings};
use crate::failure::{Blame, Failure};

pub(super) fn fill(
    facts: &mut Facts,
    args: &cli::Assess,
    config: Option<&Config>,
    data: &Path,
) -> Result<(), Failure> {
    let path = estate::path_in(data);
    if !path.exists() {
        return Ok(());
    }
    let sources: Rows<Source> =
        read_inventory(&path, Table::Sources).input("reading the inventory")?;
    let devices: Rows<DeviceRow> =
        read_inventory(&path, Table::Devices).input("reading the inventory")?;
    let conversations: Rows<ConversationRow> =
        read_inventory(&path, Table::Conversations).input("reading the inventory")?;
    let feeds = feeds_in(data)?;
    facts.feeds = feeds
        .status(facts.now)
        .into_iter()
        .map(|status| FeedFact {
            kind: status.kind.as_str().into(),
            name: status.name,
            as_of: status.published.unwrap_or(status.imported),
        })
        .collect();
    let matcher = feeds.matcher();
    let mut documents = Documents::default();
    let mut profiles = Vec::with_capacity(devices.len());
    let mut ledgers = Vec::with_capacity(devices.len());
    for (_, row) in devices {
        ledgers.push(row.ledger);
        // That a register has it does not prove that it is there.
        if !was_seen(&row.profile) {
            continue;
        }
        let mut profile = row.profile;
        let matched = matcher.of(&profile, facts.now);
        count_documents(&mut documents, &profile, &matched);
        profile.risks = matched.risks;
        profiles.push(profile);
    }
    if profiles.is_empty() {
        return Ok(());
    }
    let as_of = profiles
        .iter()
        .map(|d| d.last_seen)
        .max()
        .unwrap_or(facts.now);
    let named: Vec<&str> = sources
        .iter()
        .take(3)
        .map(|(_, s)| s.name.as_str())
        .collect();
    let source: smol_str::SmolStr = format!("inventory, from {}", named.join(", ")).into();
    if documents.medical > 0 {
        facts.documents = Some(Sourced {
            source: "inventory and imported documents".into(),
            as_of,
            facts: documents,
        });
    }
    facts.subnets = subnets(&profiles, config, &source, as_of);
    if let Some(register) = &args.against {
        let found = discover::reconcile_file(register, &profiles)?;
        let share = |n: usize| n as u64;
        facts.register = Some(Sourced {
            source: format!("register {}", register.display()).into(),
            as_of,
            facts: Register {
                rows: share(found.missing.of),
                rows_seen: share(found.missing.of - found.missing.count),
                devices: share(found.ghost.of),
                devices_listed: share(found.ghost.of - found.ghost.count),
                rows_right: share(found.matched.count.saturating_sub(found.mislabelled.count)),
            },
        });
    }
    let rules: Rows<LocalRule> =
        read_inventory(&path, Table::Rules).input("reading the inventory")?;
    let settings = config.map_or_else(InventoryConfig::default, |c| c.inventory.clone());
    let conversations = estate::conversations(
        Settings::new(&settings)?,
        rules.into_iter().map(|(_, rule)| rule).collect(),
        ledgers.into_iter(),
        conversations.into_iter().map(|(_, row)| row).collect(),
    )
    .input("reading the inventory")?;
    let last = last_by_source(&profiles);
    let sources = sources
        .into_iter()
        .map(|(_, s)| SourceFact {
            id: domain::SourceId::default(),
            last: last.get(s.name.as_str()).copied().unwrap_or(as_of),
            name: s.name,
            kind: s.kind,
            packets: 0,
            lost: 0,
        })
        .collect();
    facts.network = Some(Sourced {
        source,
        as_of,
        facts: Network {
            devices: profiles,
            conversations,
            sources,
        },
    });
    Ok(())
}

/// When each source last brought evidence.
fn last_by_source(devices: &[domain::DeviceProfile]) -> BTreeMap<String, Timestamp> {
    let mut last = BTreeMap::new();
    for row in devices.iter().flat_map(|d| &d.evidence) {
        let at = last.entry(row.source.to_string()).or_insert(row.at);
        *at = (*at).max(row.at);
    }
    last
}

fn count_documents(documents: &mut Documents, device: &domain::DeviceProfile, matched: &Matched) {
    if device.category.as_deref() != Some("medical") || device.model.is_none() {
        return;
    }
    documents.medical += 1;
    let has = |wanted: &[FeedKind]| matched.documents.iter().any(|d| wanted.contains(&d.kind));
    documents.with_bill += u64::from(has(&[FeedKind::CycloneDx, FeedKind::Spdx]));
    documents.with_disclosure += u64::from(has(&[FeedKind::Mds2]));
}

/// The subnets that the operator named, and whether anything was seen in them.
fn subnets(
    devices: &[domain::DeviceProfile],
    config: Option<&Config>,
    source: &smol_str::SmolStr,
    as_of: Timestamp,
) -> Option<Sourced<Vec<Subnet>>> {
    let units = config?.inventory.units.as_ref()?;
    let segments = estate::segments(units).ok()?;
    let subnets = segments
        .into_iter()
        .map(|segment| Subnet {
            covered: devices
                .iter()
                .any(|d| d.addresses.iter().any(|a| segment.network.contains(*a))),
            name: segment
                .name
                .unwrap_or_else(|| segment.network.to_string().into()),
        })
        .collect();
    Some(Sourced {
        source: source.clone(),
        as_of,
        facts: subnets,
    })
}

//! What was found, for people and for programs.

use std::collections::BTreeMap;

use domain::{Conversation, DeviceId, DeviceProfile, Timestamp};
use inventory::reconcile::{Reconciliation, Share};
use inventory::taxonomy;
use serde_json::json;

use crate::cli::Format;
use crate::estate::Estate;
use crate::failure::{Blame, Failure};
use crate::output::{DIM, Output, STRONG};

/// Names of peers in a row before the rest is counted.
const PEERS_SHOWN: usize = 2;

/// Every device.
pub(super) fn devices(estate: &Estate, output: Output) -> Result<(), Failure> {
    let (devices, conversations) = estate.with(|inventory| {
        let devices: Vec<DeviceProfile> = inventory.devices().collect();
        let conversations: Vec<Conversation> = inventory.conversations().collect();
        (devices, conversations)
    });
    match output.format {
        Format::Json => devices.iter().try_for_each(|device| output.json(device)),
        Format::Csv => devices_csv(&devices, output),
        Format::Text => devices_text(&devices, &conversations, output),
    }
}

fn devices_text(
    devices: &[DeviceProfile],
    conversations: &[Conversation],
    output: Output,
) -> Result<(), Failure> {
    let names: BTreeMap<&DeviceId, String> = devices.iter().map(|d| (&d.id, called(d))).collect();
    let mut peers: BTreeMap<&DeviceId, Vec<&DeviceId>> = BTreeMap::new();
    for c in conversations {
        for (one, other) in [(&c.client, &c.server), (&c.server, &c.client)] {
            let list = peers.entry(one).or_default();
            if !list.contains(&other) {
                list.push(other);
            }
        }
    }
    let rows = devices.iter().map(|d| {
        let peers = peers.get(&d.id).map(Vec::as_slice).unwrap_or_default();
        let named: Vec<String> = peers
            .iter()
            .take(PEERS_SHOWN)
            .map(|id| {
                names
                    .get(id)
                    .cloned()
                    .unwrap_or_else(|| id.as_str().to_owned())
            })
            .collect();
        let more = match peers.len().saturating_sub(PEERS_SHOWN) {
            0 => String::new(),
            n => format!(" +{n}"),
        };
        vec![
            called(d),
            kind(d),
            d.vendor.as_deref().unwrap_or("–").to_owned(),
            d.model.as_deref().unwrap_or("–").to_owned(),
            percent(d.confidence),
            d.addresses
                .first()
                .map(ToString::to_string)
                .or_else(|| d.macs.first().map(ToString::to_string))
                .unwrap_or_else(|| "–".to_owned()),
            place(d),
            span(d.first_seen, d.last_seen),
            format!("{}{more}", named.join(", ")),
        ]
    });
    output.table(
        &[
            "device",
            "what it is",
            "maker",
            "model",
            "sure",
            "address",
            "place",
            "seen",
            "talks to",
        ],
        rows,
    )?;
    let unknown = devices.iter().filter(|d| d.kind.is_none()).count();
    let contradictory = devices.iter().filter(|d| d.contradictory).count();
    output.line(&format!(
        "{STRONG}{}{STRONG:#}, {} of them not known, {contradictory} contradictory; {}\n\
         {DIM}asepsis discover … --why DEVICE explains one; --format json has the evidence of all{DIM:#}",
        number(devices.len(), "device"),
        unknown,
        number(conversations.len(), "conversation")
    ))
}

fn devices_csv(devices: &[DeviceProfile], output: Output) -> Result<(), Failure> {
    let joined = |list: Vec<String>| list.join(" ");
    let rows = devices.iter().map(|d| {
        vec![
            d.id.as_str().to_owned(),
            joined(d.macs.iter().map(ToString::to_string).collect()),
            joined(d.addresses.iter().map(ToString::to_string).collect()),
            joined(d.names.iter().map(ToString::to_string).collect()),
            d.category.as_deref().unwrap_or_default().to_owned(),
            d.kind.as_deref().unwrap_or_default().to_owned(),
            d.vendor.as_deref().unwrap_or_default().to_owned(),
            d.model.as_deref().unwrap_or_default().to_owned(),
            d.os.as_deref().unwrap_or_default().to_owned(),
            format!("{:.3}", d.confidence),
            d.abstained.to_string(),
            d.contradictory.to_string(),
            d.unit
                .as_ref()
                .map_or("", domain::UnitId::as_str)
                .to_owned(),
            d.segment.as_deref().unwrap_or_default().to_owned(),
            d.first_seen.to_string(),
            d.last_seen.to_string(),
        ]
    });
    csv(
        &[
            "id",
            "macs",
            "addresses",
            "names",
            "category",
            "type",
            "vendor",
            "model",
            "os",
            "confidence",
            "abstained",
            "contradictory",
            "unit",
            "segment",
            "first_seen",
            "last_seen",
        ],
        rows,
        output,
    )
}

/// Who talks to whom.
pub(super) fn conversations(estate: &Estate, output: Output) -> Result<(), Failure> {
    let (names, conversations) = estate.with(|inventory| {
        let names: BTreeMap<DeviceId, String> = inventory
            .devices()
            .map(|d| (d.id.clone(), called(&d)))
            .collect();
        (names, inventory.conversations().collect::<Vec<_>>())
    });
    if output.format == Format::Json {
        return conversations.iter().try_for_each(|c| output.json(c));
    }
    let name = |id: &DeviceId| {
        names
            .get(id)
            .cloned()
            .unwrap_or_else(|| id.as_str().to_owned())
    };
    let rows = conversations.iter().map(|c| {
        let port = match (c.port, c.ports) {
            (0, n) => format!("{} ({n} ports)", c.transport),
            (port, _) => format!("{}/{port}", c.transport),
        };
        vec![
            name(&c.client),
            name(&c.server),
            port,
            c.service.as_deref().unwrap_or("–").to_owned(),
            c.meanings.join(", "),
            serde_json::to_value(c.protection)
                .ok()
                .and_then(|v| v.as_str().map(str::to_owned))
                .unwrap_or_default(),
            c.flows.to_string(),
            c.sent.bytes.to_string(),
            c.received.bytes.to_string(),
            c.first.to_string(),
            c.last.to_string(),
        ]
    });
    let header = [
        "client", "server", "port", "service", "meaning", "readable", "flows", "sent", "received",
        "first", "last",
    ];
    match output.format {
        Format::Csv => csv(&header, rows, output),
        Format::Text | Format::Json => output.table(&header, rows),
    }
}

/// Why a device is what it is said to be.
pub(super) fn why(estate: &Estate, id: &DeviceId, output: Output) -> Result<(), Failure> {
    let detail = estate
        .with(|inventory| inventory.detail(id))
        .ok_or_else(|| Failure::input("the device is gone"))?;
    let why = detail.why();
    let device = &detail.profile;
    if output.is_json() {
        return output.json(&json!({
            "id": device.id, "type": device.kind, "confidence": device.confidence, "sentence": why.sentence,
            "contradicts": why.contradicts, "identity": why.identity, "settle": why.settle, "evidence": device.evidence,
        }));
    }
    output.line(&format!(
        "{STRONG}{}{STRONG:#}: {}",
        called(device),
        why.sentence
    ))?;
    let rows = device.evidence.iter().map(|e| {
        vec![
            e.kind.to_string(),
            e.value.to_string(),
            e.says.to_string(),
            format!("{:+.1}", e.weight),
            e.source.to_string(),
            day(e.at),
        ]
    });
    output.table(
        &["evidence", "value", "says", "bits", "source", "since"],
        rows,
    )?;
    let settle: Vec<String> = why.settle.iter().map(ToString::to_string).collect();
    for (title, lines) in [
        ("contradicts", &why.contradicts),
        ("how it was put together", &why.identity),
        ("would settle it", &settle),
    ] {
        if !lines.is_empty() {
            output.line(&format!("{STRONG}{title}{STRONG:#}"))?;
            lines
                .iter()
                .try_for_each(|line| output.line(&format!("  {line}")))?;
        }
    }
    Ok(())
}

/// How the register and what is there differ.
pub(super) fn reconciliation(
    found: &Reconciliation,
    estate: &Estate,
    output: Output,
) -> Result<(), Failure> {
    if output.is_json() {
        return output.json(found);
    }
    let names: BTreeMap<DeviceId, String> = estate.with(|inventory| {
        inventory
            .devices()
            .map(|d| (d.id.clone(), called(&d)))
            .collect()
    });
    let head = |words: &str, share: Share| {
        output.line(&format!(
            "{STRONG}{words}{STRONG:#}: {} of {}",
            share.count, share.of
        ))
    };
    head("in both", found.matched)?;
    head("missing: in the register, never seen", found.missing)?;
    for row in &found.missing_rows {
        output.line(&format!(
            "  {} {}",
            row.row,
            row.name.as_deref().unwrap_or_default()
        ))?;
    }
    head("ghosts: seen, not in the register", found.ghost)?;
    for id in &found.ghost_devices {
        output.line(&format!(
            "  {}",
            names.get(id).map_or(id.as_str(), String::as_str)
        ))?;
    }
    head("misplaced", found.misplaced)?;
    for row in &found.misplaced_rows {
        output.line(&format!(
            "  {}: register {}, network {}",
            row.found.row, row.register, row.network
        ))?;
    }
    head("duplicate", found.duplicate)?;
    let of_devices = |rows: &[smol_str::SmolStr]| {
        let mut groups = found.duplicates.iter();
        groups.any(|group| !group.devices.is_empty() && group.rows == rows)
    };
    for group in &found.duplicates {
        if group.devices.is_empty() {
            // The same rows may be found twice: by a device, and by what they say.
            if !of_devices(&group.rows) {
                output.line(&format!("  rows {} say the same", group.rows.join(", ")))?;
            }
            continue;
        }
        let devices: Vec<&str> = group.devices.iter().map(DeviceId::as_str).collect();
        output.line(&format!(
            "  rows {} for {}",
            group.rows.join(", "),
            devices.join(", ")
        ))?;
    }
    head("mislabelled", found.mislabelled)?;
    for row in &found.mislabelled_rows {
        output.line(&format!(
            "  {}: {} is {} in the register, {} on the network ({} sure)",
            row.found.row,
            row.what,
            row.register,
            row.network,
            percent(row.confidence)
        ))?;
    }
    Ok(())
}

/// `1 device`, `2 devices`.
fn number(n: usize, noun: &str) -> String {
    format!("{n} {noun}{}", if n == 1 { "" } else { "s" })
}

/// What a device is called: its first name, else its address.
pub(crate) fn called(device: &DeviceProfile) -> String {
    device
        .names
        .first()
        .map(ToString::to_string)
        .or_else(|| device.addresses.first().map(ToString::to_string))
        .or_else(|| device.macs.first().map(ToString::to_string))
        .unwrap_or_else(|| device.id.as_str().to_owned())
}

/// What it is, in words.
pub(crate) fn kind(device: &DeviceProfile) -> String {
    let words = match (&device.kind, &device.category) {
        (Some(kind), _) => taxonomy::words(kind),
        (None, Some(category)) => format!("not known ({})", category.replace('_', " ")),
        (None, None) => "not known".to_owned(),
    };
    if device.contradictory {
        format!("{words}, contradictory")
    } else {
        words
    }
}

fn place(device: &DeviceProfile) -> String {
    match (&device.unit, &device.segment) {
        (Some(unit), _) => unit.as_str().to_owned(),
        (None, Some(segment)) => segment.to_string(),
        (None, None) => "–".to_owned(),
    }
}

fn percent(confidence: f32) -> String {
    format!("{:.0} %", confidence.clamp(0.0, 1.0) * 100.0)
}

/// From when to when, short enough for a cell: hours within a day, days beyond.
fn span(first: Timestamp, last: Timestamp) -> String {
    let (first, last) = (day(first), day(last));
    match (first.split_once(' '), last.split_once(' ')) {
        (Some((date, _)), Some((same, until))) if date == same => format!("{first} to {until}"),
        (Some((from, _)), Some((to, _))) => format!("{from} to {to}"),
        _ => format!("{first} to {last}"),
    }
}

fn day(at: Timestamp) -> String {
    at.to_string()
        .get(..16)
        .unwrap_or_default()
        .replace('T', " ")
}

/// Prints rows as CSV.
fn csv(
    header: &[&str],
    rows: impl Iterator<Item = Vec<String>>,
    output: Output,
) -> Result<(), Failure> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(header).running("writing CSV")?;
    for row in rows {
        // A spreadsheet takes what begins like a formula for one; names come from the network.
        let safe = row.iter().map(|cell| {
            if cell.starts_with(['=', '+', '-', '@', '\t', '\r']) && cell.parse::<f64>().is_err() {
                format!("'{cell}")
            } else {
                cell.clone()
            }
        });
        writer.write_record(safe).running("writing CSV")?;
    }
    let bytes = writer
        .into_inner()
        .map_err(|e| e.into_error())
        .running("writing CSV")?;
    output.line(String::from_utf8_lossy(&bytes).trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_shows_hours_within_a_day_and_days_beyond() {
        let at = |text: &str| Timestamp::parse(text).expect("a time");
        let first = at("2026-11-22T08:00:00Z");
        assert_eq!(
            span(first, at("2026-11-22T09:10:30Z")),
            "2026-11-22 08:00 to 09:10"
        );
        assert_eq!(
            span(first, at("2026-11-23T01:00:00Z")),
            "2026-11-22 to 2026-11-23"
        );
    }
}

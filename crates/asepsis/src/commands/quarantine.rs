//! `asepsis quarantine`: cut a device off at this gateway, at once, and let it back.

use std::net::IpAddr;
use std::process::ExitCode;
use std::time::Duration;

use domain::net::{Mac, Transport};
use domain::{Criticality, DeviceId, DeviceProfile, Timestamp};
use enforce::quarantine::{KillSwitch, Who};
use enforce::{Containment, Lifeline};
use inventory::Inventory;
use serde_json::json;

use crate::cli;
use crate::clock;
use crate::config::InventoryConfig;
use crate::estate::{self, Estate, Settings};
use crate::failure::{Blame, Failure};
use crate::output::{DIM, Output};

/// A lifeline is a habit: seen on so many days, first so long ago. What a device began with its infection is none.
const LIFELINE_DAYS_MIN: u32 = 3;
const LIFELINE_AGE_MIN: Duration = Duration::from_secs(7 * 86_400);

pub(crate) fn run(args: &cli::Quarantine, output: Output) -> Result<ExitCode, Failure> {
    if args.list {
        list(output)?;
        return Ok(ExitCode::SUCCESS);
    }
    let Some(device) = args.device.as_deref() else {
        return Err(Failure::input(
            "name a device by its IP or MAC address or its id in the inventory, or ask for `--list`",
        ));
    };
    let now = clock::now();
    let known = known(args, device)?;
    let mut containment = match &known {
        Some(known) => known.containment.clone(),
        None => unknown(device)?,
    };
    if args.release {
        let mut switch = KillSwitch::open().running("the quarantine of this gateway")?;
        let effect = switch
            .release(&containment)
            .running("the quarantine of this gateway")?;
        return told(args, &containment, "released", &effect, output);
    }
    containment.until = args.lasting.map(|lasting| now.plus(lasting));
    containment.lifeline.extend(args.lifelines.iter().copied());
    if args.keep_lifeline {
        let habits = known.as_ref().map_or(&[][..], |known| &known.habits);
        if habits.is_empty() {
            return Err(Failure::input(format!(
                "`{device}` has no conversation of {LIFELINE_DAYS_MIN} days and a week's age to keep (hint: name one with `--lifeline 10.2.0.7:tcp/8443`)"
            )));
        }
        containment.lifeline.extend_from_slice(habits);
    }
    let critical = known.as_ref().is_none_or(|known| known.life_critical);
    if critical && containment.lifeline.is_empty() && args.confirmed_by.is_none() {
        return Err(Failure::input(format!(
            "`{device}` counts as life-critical{} and would be cut off from everything (hint: keep what it lives on with `--keep-lifeline` or `--lifeline ADDRESS:tcp/PORT`, or say who answers for it with `--confirmed-by NAME`)",
            if known.is_none() {
                ", since the inventory does not know it,"
            } else {
                ""
            }
        )));
    }
    let mut switch = KillSwitch::open().running("the quarantine of this gateway")?;
    let effect = switch
        .contain(&containment, now)
        .running("the quarantine of this gateway")?;
    told(args, &containment, "quarantined", &effect, output)
}

fn told(
    args: &cli::Quarantine,
    containment: &Containment,
    what: &str,
    effect: &enforce::quarantine::Effect,
    output: Output,
) -> Result<ExitCode, Failure> {
    if output.is_json() {
        output.json(&json!({
            "done": what, "containment": containment, "effect": effect, "confirmed_by": args.confirmed_by,
        }))?;
        return Ok(ExitCode::SUCCESS);
    }
    let names: Vec<String> = containment
        .addresses
        .iter()
        .map(ToString::to_string)
        .chain(containment.macs.iter().map(ToString::to_string))
        .collect();
    output.line(&format!(
        "{what}: {} in {:.3} ms, read back after {:.3} ms{}",
        names.join(", "),
        effect.acknowledged_us as f64 / 1000.0,
        effect.read_back_us as f64 / 1000.0,
        containment
            .until
            .map_or_else(String::new, |until| format!(", until {until}")),
    ))?;
    for lifeline in &containment.lifeline {
        output.line(&format!(
            "  keeps {} {}/{}{}",
            lifeline.peer,
            lifeline.transport,
            lifeline.port,
            if lifeline.peer_opens {
                ", opened by the other side"
            } else {
                ""
            }
        ))?;
    }
    output.line(&format!(
        "{DIM}Holds on this gateway ({}); devices on one switch reach each other without passing it{DIM:#}",
        effect.families.join(", ")
    ))?;
    Ok(ExitCode::SUCCESS)
}

fn list(output: Output) -> Result<(), Failure> {
    let mut switch = KillSwitch::open().running("the quarantine of this gateway")?;
    let all = switch
        .contained()
        .running("the quarantine of this gateway")?;
    if output.is_json() {
        return output.json(&all);
    }
    if all.is_empty() {
        return output.line("nobody is quarantined on this gateway");
    }
    let rows = all.into_iter().map(|contained| {
        vec![
            match contained.who {
                Who::Address(address) => address.to_string(),
                Who::Mac(mac) => mac.to_string(),
            },
            contained.remaining_ms.map_or_else(
                || "until released".to_owned(),
                |ms| format!("{} s", ms.div_ceil(1000)),
            ),
            contained.packets.to_string(),
        ]
    });
    output.table(&["address", "still", "packets"], rows)
}

/// A device that the inventory knows.
struct Known {
    containment: Containment,
    life_critical: bool,
    /// Conversations that it has kept up for long.
    habits: Vec<Lifeline>,
}

fn known(args: &cli::Quarantine, device: &str) -> Result<Option<Known>, Failure> {
    if !estate::path_in(&args.data).exists() {
        return Ok(None);
    }
    let estate = Estate::open(
        Some(&args.data),
        Settings::new(&InventoryConfig::default())?,
    )?;
    Ok(estate.with(|inventory| find(inventory, device, clock::now())))
}

fn find(inventory: &Inventory, device: &str, now: Timestamp) -> Option<Known> {
    let devices: Vec<DeviceProfile> = inventory.devices().collect();
    let (address, mac) = (device.parse::<IpAddr>().ok(), device.parse::<Mac>().ok());
    let profile = devices.iter().find(|profile| {
        profile.id.as_str() == device
            || address.is_some_and(|address| profile.addresses.contains(&address))
            || mac.is_some_and(|mac| profile.macs.contains(&mac))
    })?;
    let habits = inventory
        .conversations_of(&profile.id)
        .into_iter()
        .filter(|c| c.days >= LIFELINE_DAYS_MIN && now.since(c.first) >= LIFELINE_AGE_MIN)
        .filter(|c| c.ports == 1 && c.port != 0)
        .filter(|c| {
            matches!(
                c.transport,
                Transport::Tcp | Transport::Udp | Transport::Sctp
            )
        })
        .flat_map(|c| {
            let (peer, peer_opens) = match (c.client == profile.id, c.server == profile.id) {
                (true, false) => (c.server.clone(), false),
                (false, true) => (c.client.clone(), true),
                _ => return Vec::new(),
            };
            let peers = devices.iter().filter(|d| d.id == peer);
            peers
                .flat_map(|peer| peer.addresses.iter())
                .map(|address| Lifeline {
                    peer: *address,
                    transport: c.transport,
                    port: c.port,
                    peer_opens,
                })
                .collect::<Vec<_>>()
        })
        .collect();
    let critical = profile.criticality == Criticality::LifeCritical;
    Some(Known {
        containment: Containment {
            device: profile.id.clone(),
            addresses: profile.addresses.clone(),
            macs: profile.macs.clone(),
            lifeline: Vec::new(),
            until: None,
        },
        // A device of unknown or contradictory class counts as one.
        life_critical: critical || profile.abstained || profile.contradictory,
        habits,
    })
}

/// A device that only its address is known of.
fn unknown(device: &str) -> Result<Containment, Failure> {
    let address = device.parse::<IpAddr>().ok();
    let mac = device.parse::<Mac>().ok();
    if address.is_none() && mac.is_none() {
        return Err(Failure::input(format!(
            "`{device}` is neither an IP nor a MAC address, and the inventory has no such device (hint: name its data folder with `--data`)"
        )));
    }
    Ok(Containment {
        device: DeviceId::new(device),
        addresses: address.into_iter().collect(),
        macs: mac.into_iter().collect(),
        lifeline: Vec::new(),
        until: None,
    })
}

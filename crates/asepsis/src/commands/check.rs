//! `asepsis check`: everything that `up` needs, without listening.

use std::net::{TcpStream, ToSocketAddrs};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, anyhow};
use serde_json::json;

use crate::assembly;
use crate::cli::WithConfig;
use crate::config::{Config, Upstream};
use crate::failure::Failure;
use crate::output::{DIM, Output, STRONG};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// From this many days before a certificate's end on, `check` says so.
const EXPIRY_NOTICE_DAYS: i64 = 21;

pub(crate) fn run(args: &WithConfig, output: Output) -> Result<ExitCode, Failure> {
    let config = Config::load(&args.config).map_err(Failure::Input)?;
    let mut notices = Vec::new();
    for listener in &config.listeners {
        let left = listener.chain.days_left();
        if left <= EXPIRY_NOTICE_DAYS {
            notices.push(format!(
                "the certificate of {} ends in {left} days",
                listener.address
            ));
        }
    }
    for application in &config.applications {
        reach(&application.upstream)
            .with_context(|| {
                format!(
                    "in `{}`, application `{}`: upstream (hint: is it running, and may this machine reach it?)",
                    args.config.display(),
                    application.id
                )
            })
            .map_err(Failure::Input)?;
    }
    if let Some(feed) = &config.relations {
        reach(&feed.base)
            .with_context(|| format!("in `{}`, [relations] `fhir`", args.config.display()))
            .map_err(Failure::Input)?;
    }
    // Opens nothing that is not there yet: a first `up` creates store and log.
    let people = if config.data.is_dir() {
        let world = assembly::world_at_rest(&config)?;
        Some(world.people().count())
    } else {
        notices.push(format!(
            "`{}` is not there yet; `asepsis up` creates it",
            config.data.display()
        ));
        None
    };
    report(&args.config, &config, people, &notices, output)?;
    Ok(ExitCode::SUCCESS)
}

/// Whether somebody listens at the address.
fn reach(upstream: &Upstream) -> anyhow::Result<()> {
    let place = format!("{}:{}", upstream.host, upstream.port);
    let addresses = (upstream.host.as_str(), upstream.port)
        .to_socket_addrs()
        .with_context(|| format!("cannot resolve `{place}`"))?;
    let mut last = anyhow!("`{place}` resolves to no address");
    for address in addresses {
        match TcpStream::connect_timeout(&address, CONNECT_TIMEOUT) {
            Ok(_) => return Ok(()),
            Err(error) => last = anyhow!(error).context(format!("cannot reach `{place}`")),
        }
    }
    Err(last)
}

fn report(
    path: &Path,
    config: &Config,
    people: Option<usize>,
    notices: &[String],
    output: Output,
) -> Result<(), Failure> {
    if output.is_json() {
        return output.json(&json!({
            "config": path,
            "valid": true,
            "policy": { "pack": config.pack.name(), "policies": config.pack.policy_count(), "hash": config.pack.hash() },
            "applications": config.applications.iter().map(|a| json!({
                "name": a.id, "host": a.host, "mode": a.mode, "criticality": a.criticality,
            })).collect::<Vec<_>>(),
            "listeners": config.listeners.iter().map(|l| l.address.to_string()).collect::<Vec<_>>(),
            "people": people,
            "notices": notices,
        }));
    }
    output.line(&format!("{STRONG}{}{STRONG:#} is valid", path.display()))?;
    output.line(&format!(
        "{} policies of pack `{}`, {} applications, {} listeners{}",
        config.pack.policy_count(),
        config.pack.name(),
        config.applications.len(),
        config.listeners.len(),
        people
            .map(|n| format!(", {n} people in the store"))
            .unwrap_or_default()
    ))?;
    let word = |value: serde_json::Result<serde_json::Value>| {
        value
            .ok()
            .and_then(|v| v.as_str().map(str::to_owned))
            .unwrap_or_default()
    };
    output.table(
        &["application", "host", "upstream", "criticality", "mode"],
        config.applications.iter().map(|a| {
            vec![
                a.id.to_string(),
                a.host.clone(),
                format!(
                    "{}://{}:{}{}",
                    if a.upstream.tls.is_some() {
                        "https"
                    } else {
                        "http"
                    },
                    a.upstream.host,
                    a.upstream.port,
                    a.fhir_base.as_deref().unwrap_or("")
                ),
                word(serde_json::to_value(a.criticality)),
                word(serde_json::to_value(a.mode)),
            ]
        }),
    )?;
    for notice in notices {
        output.line(&format!("{DIM}note:{DIM:#} {notice}"))?;
    }
    Ok(())
}

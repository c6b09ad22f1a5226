//! `asepsis up`: the gateway for one's own applications.

use std::process::ExitCode;
use std::sync::Arc;

use domain::Timestamp;
use domain::relation::Feed;
use gateway::ApplicationKind;
use identity::{Limits, RelyingParty};
use serde_json::json;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::assembly::{self, Assembly, Plan, Protected};
use crate::cli::Up;
use crate::config::{ApplicationConfig, Config, Sees};
use crate::estate::{Estate, Settings};
use crate::failure::{Blame, Failure};
use crate::feed;
use crate::output::{DIM, Output, STRONG};
use crate::sensor::{self, Intake, Watching};
use crate::server;

pub(crate) fn run(args: &Up, output: Output) -> Result<ExitCode, Failure> {
    let config = Config::load(&args.config.config).map_err(Failure::Input)?;
    let runtime = server::runtime(args.workers)?;
    runtime.block_on(serve(config, output))
}

async fn serve(mut config: Config, output: Output) -> Result<ExitCode, Failure> {
    // Addresses first: a port in use must leave store and log untouched.
    let mut listeners = Vec::with_capacity(config.listeners.len());
    let mut ports = Vec::new();
    for listener in &config.listeners {
        let socket = server::bind(listener.address)
            .await
            .map_err(Failure::Input)?;
        ports.push(socket.local_addr().running("reading the address")?.port());
        let listener = server::tls_listener(
            socket,
            Arc::clone(&listener.chain.certified),
            listener.client_ca.clone(),
        );
        listeners.push(listener.running("preparing TLS")?);
    }
    let origin = |host: &str, port: u16| match port {
        443 => format!("https://{host}"),
        port => format!("https://{host}:{port}"),
    };
    let access_url = origin(&config.access_host, ports.first().copied().unwrap_or(443));
    let relations = config.relations.clone();
    let console_url = origin(&config.console_host, ports.first().copied().unwrap_or(443));
    let seen = See::begin(&mut config).await?;
    let mut plan = plan(config, &access_url, ports.clone())?;
    plan.estate = Some(Arc::new(seen.estate.clone()));
    let assembly = tokio::task::spawn_blocking(move || Assembly::build(plan))
        .await
        .running("putting the program together")??;
    announce(&assembly, &access_url, &console_url, output)?;
    if let Some(relations) = relations {
        tokio::spawn(feed::keep_polling(
            relations,
            assembly.world.clone(),
            Arc::clone(assembly.signer()),
        ));
    }
    tokio::select! {
        () = assembly.gateway.serve(listeners, server::asked_to_stop()) => {}
        () = assembly.keep() => {}
        () = seen.estate.keep() => {}
        () = seen.take() => {}
    }
    seen.end().await;
    assembly.close().await;
    Ok(ExitCode::SUCCESS)
}

/// What looks at the network.
struct See {
    estate: Estate,
    watching: Watching,
    /// Where sensors on other hosts connect.
    intake: Option<(Arc<Intake<Estate>>, TcpListener, TlsAcceptor)>,
}

impl See {
    /// Opens the inventory and puts this host's sensors to work.
    async fn begin(config: &mut Config) -> Result<Self, Failure> {
        let settings = Settings::new(&config.inventory)?;
        let data = config.data.clone();
        let estate = tokio::task::spawn_blocking(move || Estate::open(Some(&data), settings))
            .await
            .running("opening the inventory")??;
        let intake = match config.sensor_intake.take() {
            None => None,
            Some(intake) => {
                let listener = server::bind(intake.address).await.map_err(Failure::Input)?;
                let tls = server::mutual_tls(intake.chain.certified, intake.client_ca)
                    .running("preparing TLS for sensors")?;
                let remote = config.sensors.iter().filter(|s| s.sees == Sees::Remote);
                let names: Vec<String> = remote.map(|s| s.name.clone()).collect();
                names.iter().for_each(|name| estate.expect(name));
                Some((Intake::new(names, estate.clone()), listener, tls))
            }
        };
        let watching = sensor::watch(&config.sensors, &estate).running("starting the sensors")?;
        Ok(Self {
            estate,
            watching,
            intake,
        })
    }

    /// Takes what sensors on other hosts send, for ever.
    async fn take(&self) {
        match &self.intake {
            None => std::future::pending().await,
            Some((intake, listener, tls)) => Arc::clone(intake).serve(listener, tls.clone()).await,
        }
    }

    /// Ends the sensors and writes what is not written yet.
    async fn end(self) {
        let Self {
            estate, watching, ..
        } = self;
        let ended = tokio::task::spawn_blocking(move || {
            watching.stop();
            estate.save()
        });
        match ended.await {
            Ok(Ok(())) => {}
            Ok(Err(failure)) => {
                tracing::error!(error = failure.sentence(), "the inventory was not written")
            }
            Err(error) => tracing::error!(%error, "the sensors did not end"),
        }
    }
}

fn announce(
    assembly: &Assembly,
    access: &str,
    console: &str,
    output: Output,
) -> Result<(), Failure> {
    let link = assembly
        .first_link
        .as_ref()
        .map(|secret| format!("{access}/invitation/{secret}"));
    if output.is_json() {
        return output.json(
            &json!({ "ready": true, "access": access, "console": console, "first_link": link }),
        );
    }
    output.line(&format!(
        "{STRONG}Asepsis{STRONG:#} is up.\n  sign in  {access}\n  console  {console}"
    ))?;
    if let Some(link) = link {
        output.line(&format!(
            "\nNobody has a passkey yet. This link makes the first administrator, once, within 24 hours:\n  {STRONG}{link}{STRONG:#}"
        ))?;
    }
    output.line(&format!("{DIM}Ctrl-C stops it.{DIM:#}"))
}

fn plan(config: Config, access_url: &str, ports: Vec<u16>) -> Result<Plan, Failure> {
    let feeds = config
        .relations
        .iter()
        .flat_map(|relations| {
            feed::NAMES.map(|name| Feed {
                name: name.into(),
                as_of: Timestamp::from_millis(0),
                max_age_secs: relations.max_age.as_secs(),
            })
        })
        .collect();
    let origins = ports
        .iter()
        .map(|port| match port {
            443 => format!("https://{}", config.access_host),
            port => format!("https://{}:{port}", config.access_host),
        })
        .collect();
    Ok(Plan {
        data: config.data,
        relying_party: RelyingParty {
            id: config.rp_id,
            name: config.hospital,
            origins,
        },
        issuer: access_url.to_owned(),
        access_host: config.access_host,
        console_host: config.console_host,
        sessions: Limits::new(config.idle, config.absolute),
        pack: config.pack,
        applications: config
            .applications
            .into_iter()
            .map(protect)
            .collect::<Result<_, _>>()?,
        sample: None,
        feeds,
        administrator: Some(config.administrator),
        estate: None,
        transport_security_secs: Some(config.hsts_secs),
    })
}

fn protect(application: ApplicationConfig) -> Result<Protected, Failure> {
    let upstream = assembly::http_upstream(&application.upstream)?;
    let (path, kind) = match application.fhir_base {
        Some(base) => (base.clone(), ApplicationKind::Fhir { base }),
        None => ("/".to_owned(), ApplicationKind::Web(application.rules)),
    };
    Ok(Protected {
        name: application.id.to_string(),
        id: application.id,
        host: application.host,
        path,
        kind,
        upstream,
        criticality: application.criticality,
        mode: application.mode,
    })
}

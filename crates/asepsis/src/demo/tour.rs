//! The tour: a day in the sample hospital in a dozen requests, over real HTTPS, without a browser.
//!
//! People and patients are chosen by the seed. What each request was answered is read from the audit log, by the
//! record number that the gateway put on the response, not from what the tour expected.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, bail, ensure};
use audit::Reader;
use domain::{Outcome, PersonId, RecordId};
use http::{Method, StatusCode};
use rustls::RootCertStore;
use sample::{Cast, Example, Hospital};
use serde_json::{Value, json};

use super::client::{Answer, Ask, Browser};
use crate::failure::{Blame, Failure};
use crate::output::{DIM, Output, STRONG, outcome_style};

/// Header in which the gateway names the record of a response.
const RECORD_HEADER: &str = "x-asepsis-record";
const FHIR_JSON: &str = "application/fhir+json";

/// The running demo, as the tour sees it.
pub(crate) struct Stage<'a> {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    /// What it is trusted by.
    pub(crate) roots: Arc<RootCertStore>,
    /// Who plays.
    pub(crate) hospital: &'a Hospital,
    /// Folder of the log.
    pub(crate) log: &'a Path,
}

/// One told step.
struct Step {
    title: &'static str,
    subject: String,
    request: String,
    record: RecordId,
    outcome: Outcome,
    reason: String,
    expected: Outcome,
}

/// What was told.
pub(crate) struct Told {
    records: Vec<RecordId>,
    surprises: usize,
}

/// Tells the story.
pub(crate) async fn tell(stage: &Stage<'_>, output: Output, seed: u64) -> anyhow::Result<Told> {
    if !output.is_json() {
        output
            .line(&format!("{DIM}A day in the sample hospital, seed {seed}. Everybody in it is invented.{DIM:#}\n"))
            .map_err(|e| anyhow::anyhow!(e.sentence()))?;
    }
    let mut tour = Tour {
        stage,
        output,
        told: Vec::new(),
        browsers: BTreeMap::new(),
    };
    tour.play().await?;
    Ok(Told {
        records: tour.told.iter().map(|step| step.record).collect(),
        surprises: tour
            .told
            .iter()
            .filter(|step| step.outcome != step.expected)
            .count(),
    })
}

/// Checks an inclusion proof for each record, and the whole log, from the folder alone, and says what was found.
pub(crate) fn conclude(told: &Told, log: &Path, output: Output) -> Result<ExitCode, Failure> {
    for record in &told.records {
        audit::prove(log, *record).running(format!("proving record {record}"))?;
    }
    let verified = audit::verify(log, None, &mut |_, _| {})
        .map_err(|fault| Failure::Running(anyhow::anyhow!("the log does not verify: {fault}")))?;
    if output.is_json() {
        output.json(&json!({
            "audit": { "size": verified.size, "root": verified.root, "verified": true },
        }))?;
    } else {
        output.line(&format!(
            "\n{STRONG}{} steps, each with an inclusion proof.{STRONG:#} The log of {} records verifies.\n{DIM}root {}{DIM:#}",
            told.records.len(),
            verified.size,
            verified.root
        ))?;
    }
    if told.surprises > 0 {
        return Err(Failure::Running(anyhow::anyhow!(
            "{} steps did not end as the story says",
            told.surprises
        )));
    }
    Ok(ExitCode::SUCCESS)
}

struct Tour<'a> {
    stage: &'a Stage<'a>,
    output: Output,
    told: Vec<Step>,
    browsers: BTreeMap<PersonId, Browser>,
}

impl Tour<'_> {
    async fn play(&mut self) -> anyhow::Result<()> {
        let hospital = self.stage.hospital;
        self.care_team(&hospital.example(Example::CareTeam)).await?;
        self.read(
            "the nurse of the ward, at a workstation beside the patient",
            Example::SameWard,
            Outcome::Permit,
        )
        .await?;
        self.emergency(&hospital.example(Example::Unrelated))
            .await?;
        self.read(
            "an employee looks up the own chart",
            Example::OwnChart,
            Outcome::Deny,
        )
        .await?;
        self.read(
            "a record of the substance-use programme, without consent",
            Example::SubstanceUseNoConsent,
            Outcome::Deny,
        )
        .await?;
        self.read(
            "a psychotherapy note, by somebody who did not write it",
            Example::PsychotherapyOther,
            Outcome::Deny,
        )
        .await?;
        self.read(
            "billing reads a claim",
            Example::BillingClaim,
            Outcome::Permit,
        )
        .await?;
        self.read(
            "billing reads a clinical document",
            Example::BillingNote,
            Outcome::Deny,
        )
        .await?;
        self.controlled_medicine(&hospital.example(Example::ControlledMedicine))
            .await?;
        self.bulk(&hospital.example(Example::Researcher)).await?;
        self.vendor(&hospital.example(Example::Vendor)).await?;
        self.console(&hospital.example(Example::ItAdministrator))
            .await
    }

    /// A physician of the care team opens the chart and lists what was observed.
    async fn care_team(&mut self, cast: &Cast) -> anyhow::Result<()> {
        let patient = patient(cast)?;
        self.ask(
            "the physician of the care team opens the chart",
            cast,
            Outcome::Permit,
            Ask::get(self.fhir(&format!("/Patient/{patient}"))),
        )
        .await?;
        self.ask(
            "and the observations",
            cast,
            Outcome::Permit,
            Ask::get(self.fhir(&format!("/Patient/{patient}/Observation?_count=20"))),
        )
        .await?;
        Ok(())
    }

    /// Somebody without a relation: an offer, a declared emergency, then the chart.
    async fn emergency(&mut self, cast: &Cast) -> anyhow::Result<()> {
        let chart = self.fhir(&format!("/Patient/{}", patient(cast)?));
        let answer = self
            .ask(
                "a nurse without any relation to the patient",
                cast,
                Outcome::BreakGlass,
                Ask::get(&chart),
            )
            .await?;
        let ceremony = continue_url(&answer)?;
        let browser = self.browser(cast).await?;
        let form = browser.ask(Ask::page(&ceremony)).await?;
        ensure!(
            form.status == StatusCode::OK,
            "the emergency form answered {}",
            form.status
        );
        let fields = hidden_fields(&form)?;
        let mut fields = pairs(&fields);
        fields.push(("kind", "emergency_treatment"));
        fields.push((
            "reason",
            "Patient collapsed in the corridor, no one of the ward at hand",
        ));
        let done = browser.ask(Ask::form(&ceremony, &fields)).await?;
        ensure!(
            !done.status.is_client_error() || done.uri.path().starts_with("/fhir"),
            "the emergency was not accepted: {}",
            done.status
        );
        self.ask(
            "the same nurse, after declaring an emergency",
            cast,
            Outcome::Permit,
            Ask::get(&chart),
        )
        .await?;
        Ok(())
    }

    /// A controlled medicine asks for a stronger sign-in.
    async fn controlled_medicine(&mut self, cast: &Cast) -> anyhow::Result<()> {
        let patient = patient(cast)?;
        let body = json!({
            "resourceType": "MedicationRequest", "status": "active", "intent": "order",
            "extension": [{ "url": sample::hospital::CONTROLLED_EXTENSION, "valueBoolean": true }],
            "medicationCodeableConcept": { "text": "Morphine 5 mg" },
            "subject": { "reference": format!("Patient/{patient}") },
            "requester": { "reference": format!("Practitioner/{}", cast.person.as_str()) },
        })
        .to_string();
        let url = self.fhir("/MedicationRequest");
        let prescribe = || Ask::send(Method::POST, url.clone(), FHIR_JSON, body.clone());
        let answer = self
            .ask(
                "prescribing a controlled medicine",
                cast,
                Outcome::StepUp,
                prescribe(),
            )
            .await?;
        let ceremony = continue_url(&answer)?;
        let browser = self.browser(cast).await?;
        let form = browser.ask(Ask::page(&ceremony)).await?;
        ensure!(
            form.status == StatusCode::OK,
            "the step-up page answered {}",
            form.status
        );
        let fields = hidden_fields(&form)?;
        let confirm = self.access("/sample/step-up");
        let browser = self.browser(cast).await?;
        browser.ask(Ask::form(confirm, &pairs(&fields))).await?;
        // The session's cookies were renewed: pass through the sign-in origin once more.
        let chart = self.host("chart", "/");
        self.browser(cast).await?.ask(Ask::page(chart)).await?;
        self.ask(
            "the same, after confirming who it is",
            cast,
            Outcome::Permit,
            prescribe(),
        )
        .await?;
        Ok(())
    }

    async fn bulk(&mut self, cast: &Cast) -> anyhow::Result<()> {
        self.ask(
            "a researcher asks for a bulk export",
            cast,
            Outcome::Deny,
            Ask::get(self.fhir("/$export")),
        )
        .await?;
        Ok(())
    }

    async fn vendor(&mut self, cast: &Cast) -> anyhow::Result<()> {
        self.ask(
            "an outside vendor tries the health record",
            cast,
            Outcome::Deny,
            Ask::get(self.fhir("/Patient?_count=5")),
        )
        .await?;
        Ok(())
    }

    async fn console(&mut self, cast: &Cast) -> anyhow::Result<()> {
        self.ask(
            "the administrator looks at the decisions",
            cast,
            Outcome::Permit,
            Ask::page(self.host("console", "/decisions")),
        )
        .await?;
        Ok(())
    }

    /// Reads the example's resource, or its patient's chart.
    async fn read(
        &mut self,
        title: &'static str,
        example: Example,
        expected: Outcome,
    ) -> anyhow::Result<()> {
        let cast = self.stage.hospital.example(example);
        let path = match &cast.resource {
            Some((kind, id)) => format!("/{kind}/{id}"),
            None => format!("/Patient/{}", patient(&cast)?),
        };
        self.ask(title, &cast, expected, Ask::get(self.fhir(&path)))
            .await?;
        Ok(())
    }

    async fn ask(
        &mut self,
        title: &'static str,
        cast: &Cast,
        expected: Outcome,
        ask: Ask<'_>,
    ) -> anyhow::Result<Answer> {
        let request = ask.line();
        let answer = self.browser(cast).await?.ask(ask).await?;
        let record = answer
            .headers
            .get(RECORD_HEADER)
            .and_then(|v| v.to_str().ok())
            .and_then(|v| v.parse().ok())
            .map(RecordId)
            .with_context(|| {
                format!(
                    "`{request}` was answered {} without a record",
                    answer.status
                )
            })?;
        let stored = Reader::open(self.stage.log)?.record(record)?;
        let text = |key: &str| {
            stored
                .header
                .get(key)
                .and_then(Value::as_str)
                .unwrap_or_default()
        };
        let outcome: Outcome = serde_json::from_value(Value::from(text("outcome")))
            .with_context(|| format!("record {record} has no outcome"))?;
        let reason = stored
            .payload
            .as_deref()
            .and_then(|p| serde_json::from_slice::<Value>(p).ok())
            .and_then(|p| {
                p.pointer("/reason/sentence")
                    .and_then(Value::as_str)
                    .map(str::to_owned)
            })
            .unwrap_or_else(|| text("reason").to_owned());
        let person = self.stage.hospital.person(&cast.person);
        let subject = person.map_or_else(
            || cast.person.as_str().to_owned(),
            |p| {
                let role = p.roles.first().map_or("", |r| r.as_str());
                format!("{} ({role})", p.name)
            },
        );
        let step = Step {
            title,
            subject,
            request,
            record,
            outcome,
            reason,
            expected,
        };
        self.print(&step)?;
        self.told.push(step);
        Ok(answer)
    }

    fn print(&self, step: &Step) -> anyhow::Result<()> {
        let number = self.told.len() + 1;
        if self.output.is_json() {
            self.output.json(&json!({
                "step": number, "title": step.title, "subject": step.subject, "request": step.request,
                "outcome": step.outcome, "reason": step.reason, "record": step.record,
            }))
        } else {
            let style = outcome_style(step.outcome);
            let surprise = if step.outcome == step.expected {
                String::new()
            } else {
                format!("   (the story says {})", step.expected)
            };
            self.output.line(&format!(
                "{number:>2}. {STRONG}{}{STRONG:#}\n    {} · {}\n    {style}{}{style:#} {}  {DIM}record {}{DIM:#}{surprise}",
                step.title, step.subject, step.request, step.outcome, step.reason, step.record,
            ))
        }
        .map_err(|e| anyhow::anyhow!(e.sentence()))
    }

    /// The person's browser, signed in on the cast's device.
    async fn browser(&mut self, cast: &Cast) -> anyhow::Result<&mut Browser> {
        if !self.browsers.contains_key(&cast.person) {
            let mut browser = Browser::new(self.stage.address, Arc::clone(&self.stage.roots))?;
            let page = browser.ask(Ask::page(self.access("/sign-in"))).await?;
            let mut fields = hidden_fields(&page)?;
            fields.push(("person".to_owned(), cast.person.as_str().to_owned()));
            fields.push(("device".to_owned(), cast.device.as_str().to_owned()));
            let answer = browser
                .ask(Ask::form(self.access("/sample/sign-in"), &pairs(&fields)))
                .await?;
            ensure!(
                answer.status == StatusCode::OK,
                "sample sign-in answered {}",
                answer.status
            );
            for place in [self.host("chart", "/"), self.host("console", "/")] {
                browser.ask(Ask::page(place)).await?;
            }
            self.browsers.insert(cast.person.clone(), browser);
        }
        self.browsers
            .get_mut(&cast.person)
            .context("unreachable: just inserted")
    }

    fn host(&self, name: &str, path: &str) -> String {
        let port = self.stage.address.port();
        format!("https://{name}.{}:{port}{path}", super::authority::DOMAIN)
    }

    fn access(&self, path: &str) -> String {
        self.host("access", path)
    }

    fn fhir(&self, path: &str) -> String {
        self.host("chart", &format!("/fhir{path}"))
    }
}

fn patient(cast: &Cast) -> anyhow::Result<&str> {
    cast.patient
        .as_ref()
        .map(domain::PatientId::as_str)
        .context("the example has no patient")
}

/// Where a refused program may go on.
fn continue_url(answer: &Answer) -> anyhow::Result<String> {
    match answer.json()?.get("continue").and_then(Value::as_str) {
        Some(url) => Ok(url.to_owned()),
        None => bail!("the answer {} offers no way to go on", answer.status),
    }
}

/// The hidden fields of the first form of a page: what a browser would send along.
fn hidden_fields(page: &Answer) -> anyhow::Result<Vec<(String, String)>> {
    let html = std::str::from_utf8(&page.body).context("a page that is no text")?;
    let mut fields = Vec::new();
    for tag in html
        .split("<input")
        .skip(1)
        .filter_map(|t| t.split('>').next())
    {
        let attribute = |name: &str| {
            tag.split_once(&format!("{name}=\""))
                .and_then(|(_, rest)| rest.split('"').next())
        };
        if attribute("type") == Some("hidden")
            && let (Some(name), Some(value)) = (attribute("name"), attribute("value"))
        {
            fields.push((name.to_owned(), value.to_owned()));
        }
    }
    Ok(fields)
}

fn pairs(fields: &[(String, String)]) -> Vec<(&str, &str)> {
    fields
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect()
}

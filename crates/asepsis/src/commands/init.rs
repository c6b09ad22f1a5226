//! `asepsis init`: a configuration for one's own applications.

use std::fmt::Write as _;
use std::io::{IsTerminal, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, anyhow};
use dialoguer::{Confirm, Input};

use crate::cli::Init;
use crate::config;
use crate::failure::{Blame, Failure};
use crate::output::Output;

/// What a configuration needs to be written.
struct Answers {
    hospital: String,
    domain: String,
    administrator: String,
    certificate: PathBuf,
    key: PathBuf,
    listen: String,
    data: PathBuf,
    applications: Vec<(String, String)>,
}

pub(crate) fn run(args: Init, output: Output) -> Result<ExitCode, Failure> {
    let path = args.config.clone();
    if path.exists() && !args.force {
        return Err(Failure::input(format!(
            "`{}` is already there (hint: edit it, or replace it with --force)",
            path.display()
        )));
    }
    let answers = if std::io::stdin().is_terminal() && std::io::stderr().is_terminal() {
        ask(args)?
    } else {
        take(args)?
    };
    let text = write_toml(&answers)?;
    save(&path, &text).running(format!("writing `{}`", path.display()))?;
    if output.is_json() {
        output.json(&serde_json::json!({
            "config": path, "rp_id": answers.domain, "applications": answers.applications.len(),
        }))?;
    } else {
        output.line(&format!(
            "Wrote {}.\n\nPasskeys will belong to `{}` for good: changing `rp_id` later orphans every passkey.\n\
             Every application starts in shadow mode: nothing is stopped until you set mode = \"enforce\".\n\nNext:\n  \
             asepsis check --config {}\n  asepsis up --config {}",
            path.display(),
            answers.domain,
            path.display(),
            path.display()
        ))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Flags only: standard input is no terminal.
fn take(args: Init) -> Result<Answers, Failure> {
    let missing = |flag: &str, what: &str| {
        Failure::input(format!(
            "{flag} is missing: {what} (hint: on a terminal, `asepsis init` asks)"
        ))
    };
    let domain = args
        .domain
        .ok_or_else(|| missing("--domain", "the domain of your applications"))?;
    if args.applications.is_empty() {
        return Err(missing(
            "--application",
            "at least one application, as NAME=URL",
        ));
    }
    Ok(Answers {
        hospital: domain.clone(),
        administrator: args
            .administrator
            .ok_or_else(|| missing("--administrator", "the id of the first administrator"))?,
        certificate: args
            .certificate
            .ok_or_else(|| missing("--certificate", "the TLS certificate chain"))?,
        key: args
            .key
            .ok_or_else(|| missing("--key", "the certificate's private key"))?,
        domain,
        listen: args.listen,
        data: args.data,
        applications: args.applications,
    })
}

fn ask(args: Init) -> Result<Answers, Failure> {
    let text = |prompt: &str, default: Option<String>| -> Result<String, Failure> {
        let mut input = Input::<String>::new().with_prompt(prompt);
        if let Some(default) = default {
            input = input.default(default);
        }
        input.interact_text().running("asking")
    };
    let hospital = text("Name of the hospital", None)?;
    let domain = text(
        "Domain under which your applications live (it becomes the passkeys' home for good)",
        args.domain,
    )?;
    let administrator = text(
        "Id of the first administrator",
        Some(args.administrator.unwrap_or("admin".into())),
    )?;
    let certificate = text(
        "TLS certificate chain (PEM)",
        Some(
            args.certificate
                .unwrap_or("fullchain.pem".into())
                .display()
                .to_string(),
        ),
    )?;
    let key = text(
        "Its private key (PEM)",
        Some(
            args.key
                .unwrap_or("privkey.pem".into())
                .display()
                .to_string(),
        ),
    )?;
    let mut applications = args.applications;
    while applications.is_empty()
        || Confirm::new()
            .with_prompt("Another application?")
            .default(false)
            .interact()
            .running("asking")?
    {
        let name = text("Short name of the application, such as ehr", None)?;
        let url = text(
            "Its address now, such as http://10.0.0.5:8080 or http://10.0.0.6:8080/fhir",
            None,
        )?;
        applications.push((name, url));
    }
    Ok(Answers {
        hospital,
        domain,
        administrator,
        certificate: certificate.into(),
        key: key.into(),
        listen: args.listen,
        data: args.data,
        applications,
    })
}

fn write_toml(answers: &Answers) -> Result<String, Failure> {
    let quoted = |text: &str| toml::Value::String(text.to_owned()).to_string();
    let file = |path: &Path| quoted(&path.display().to_string());
    let mut text = String::new();
    let domain = &answers.domain;
    let put = |text: &mut String, line: std::fmt::Arguments<'_>| {
        writeln!(text, "{line}").running("writing text")
    };
    put(
        &mut text,
        format_args!(
            "# Asepsis. `asepsis check` validates this file and all it names.\n\nhospital = {}\n\
         # Store, keys and audit log; back it up, and keep checkpoints elsewhere.\ndata = {}\n\
         # Browsers that came once come over TLS only, for a year. 0 makes them forget it.\nhsts_secs = 31536000\n\n\
         [access]\n# The one host where people sign in.\nhost = {}\n\
         # Passkeys belong to this domain. Changing it orphans every passkey.\nrp_id = {}\n\
         # Who gets the first one-time link (`asepsis invite`).\nadministrator = {}\n\n\
         [console]\nhost = {}\n\n[sessions]\n# NIST SP 800-63B-4, AAL2: at most 60 minutes idle, 24 hours in all.\n\
         idle_minutes = 30\nabsolute_hours = 12\n\n\
         # [policy]\n# pack = \"packs/mine\"        # default: the built-in hospital pack\n\n\
         # [relations]\n# fhir = \"http://10.0.0.6:8080/fhir\"   # polled for Encounter, CareTeam and Patient\n\n\
         [[listener]]\naddress = {}\ncertificate = {}\nkey = {}\n# client_ca = \"device-ca.pem\"   # devices with certificates",
            quoted(&answers.hospital),
            file(&answers.data),
            quoted(&format!("access.{domain}")),
            quoted(domain),
            quoted(&answers.administrator),
            quoted(&format!("console.{domain}")),
            quoted(&answers.listen),
            file(&answers.certificate),
            file(&answers.key),
        ),
    )?;
    for (name, url) in &answers.applications {
        let upstream = config::upstream_address(url).input(format!("application `{name}`"))?;
        let fhir = !upstream.path.is_empty();
        put(
            &mut text,
            format_args!(
                "\n[[application]]\nname = {}\nhost = {}\nupstream = {}",
                quoted(name),
                quoted(&format!("{name}.{domain}")),
                quoted(&upstream.origin),
            ),
        )?;
        if fhir {
            put(
                &mut text,
                format_args!("fhir_base = {}", quoted(&upstream.path)),
            )?;
        }
        put(
            &mut text,
            format_args!(
                "criticality = \"{}\"\n# shadow: nothing is stopped; `asepsis report shadow` says who would have been. Then: enforce.\nmode = \"shadow\"",
                if fhir { "clinical" } else { "business" }
            ),
        )?;
        if !fhir {
            put(
                &mut text,
                format_args!(
                    "\n[[application.rule]]\nname = \"everything\"\nprefix = \"/\"\n# roles = [\"physician\", \"nurse\"]   # empty: everybody who works here"
                ),
            )?;
        }
    }
    Ok(text)
}

/// Writes the file whole or not at all.
fn save(path: &Path, text: &str) -> anyhow::Result<()> {
    let folder = path
        .parent()
        .filter(|p| !p.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    let name = path
        .file_name()
        .ok_or_else(|| anyhow!("`{}` is no file name", path.display()))?;
    let fresh = folder.join(format!(".{}.new", name.to_string_lossy()));
    let mut file = std::fs::File::create(&fresh)
        .with_context(|| format!("cannot create `{}`", fresh.display()))?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    std::fs::rename(&fresh, path)?;
    Ok(())
}

//! `asepsis invite`: a one-time link for a person's first passkey.

use std::process::ExitCode;

use domain::PersonId;
use identity::{InvitationKind, Invitations};
use serde_json::json;

use crate::assembly;
use crate::cli::Invite;
use crate::clock;
use crate::config::Config;
use crate::failure::Failure;
use crate::inbox::Letter;
use crate::output::{Output, STRONG};

pub(crate) fn run(args: &Invite, output: Output) -> Result<ExitCode, Failure> {
    let config = Config::load(&args.config.config).map_err(Failure::Input)?;
    let person = PersonId::new(args.person.as_str());
    let world = assembly::world_at_rest(&config)?;
    let known = world.person(&person).map(|p| (**p).clone()).or_else(|| {
        (person == config.administrator).then(|| assembly::first_administrator(&person))
    });
    let Some(known) = known else {
        return Err(Failure::input(format!(
            "nobody has the id `{}` (hint: `asepsis import --people FILE` first)",
            args.person
        )));
    };
    if !known.active {
        return Err(Failure::input(format!(
            "`{}` is not active any more",
            args.person
        )));
    }
    let (secret, invitation) = Invitations::new().issue(
        InvitationKind::Enrolment,
        person,
        assembly::INVITATION_LIFETIME,
        clock::now(),
    );
    let expires = invitation.expires;
    assembly::deliver(&config, Letter::Invitation(invitation))?;
    let port = config.listeners.first().map_or(443, |l| l.address.port());
    let port = if port == 443 {
        String::new()
    } else {
        format!(":{port}")
    };
    let link = format!(
        "https://{}{port}/invitation/{}",
        config.access_host,
        secret.reveal()
    );
    if output.is_json() {
        output.json(&json!({ "person": args.person, "link": link, "expires": expires }))?;
    } else {
        output.line(&format!(
            "{STRONG}{link}{STRONG:#}\nIt works once, until {expires}. Hand it over in person."
        ))?;
    }
    Ok(ExitCode::SUCCESS)
}

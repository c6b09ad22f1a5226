//! One's own passkeys, and invitations to create the first one.

use std::sync::Arc;
use std::time::Duration;

use audit::Kind;
use domain::{Aal, ApplicationId, Authentication, Requirement};
use http::StatusCode;
use identity::{
    BadInvitation, CeremonyKind, Invitation, InvitationKind, Live, PasskeyRecord, RedeemError,
    ReturnPath,
};
use serde_json::json;

use super::sign_in::told;
use super::views::{self, Key, Me};
use super::{BROWSER_COOKIE, Call, Message, Shared, Trouble};
use crate::form::Fields;
use crate::reply::{self, Answer, Refused};

/// How fresh a proof must be for changing one's passkeys.
const FRESH: Duration = Duration::from_secs(600);

/// The name under which ceremonies of this origin itself are opened; no application can have it, because its pages
/// are none that the gateway judges.
pub(super) const OWN: &str = "access";

impl Shared {
    /// Whoever changes passkeys has just proved with one to be the person: a session left open on a ward must not be
    /// enough to plant another key. In the demo nobody has a first passkey to prove with.
    fn may_change_passkeys(&self, call: &Call, live: &Live) -> bool {
        let authentication = live.authentication();
        let fresh =
            authentication.phishing_resistant && call.now().since(authentication.at) <= FRESH;
        fresh || self.parts.options.sample.is_some()
    }

    pub(super) fn passkeys_page(&self, call: &Call) -> Answer {
        let Some(live) = &call.live else {
            return reply::see_other("/sign-in?return=/passkeys");
        };
        let name = self.name_of(live.person());
        let token = self.token(call);
        let me = Me {
            name: &name,
            token: &token,
        };
        let keys: Vec<Key> = self
            .parts
            .passkeys
            .of(live.person())
            .iter()
            .map(|k| Key {
                id: k.id.clone(),
                name: k.name.clone(),
                added: k.created,
                used: k.last_used,
                synced: k.backup_eligible,
                suspended: k.suspended.is_some(),
            })
            .collect();
        let may_change = self.may_change_passkeys(call, live);
        call.ceremony_page(
            StatusCode::OK,
            views::passkeys(&me, &keys, may_change, call.now()),
        )
    }

    /// Sends the person through a step-up of this origin's own, and back to the passkeys.
    pub(super) fn confirm_first(&self, call: &Call) -> Result<Answer, Refused> {
        let live = call.live()?;
        let requirement = Requirement {
            level: Aal::Aal2,
            phishing_resistant: true,
            max_age_secs: FRESH.as_secs(),
        };
        let handle = self.parts.ceremonies.open(
            live.id(),
            CeremonyKind::StepUp(requirement),
            &ApplicationId::from(OWN),
            &ReturnPath::or_root("/passkeys"),
            call.now(),
        );
        Ok(reply::see_other(&format!("/ceremony/{handle}")))
    }

    pub(super) fn registration_options(&self, call: &Call) -> Result<Answer, Trouble> {
        self.attempt(call)?;
        let live = call.live()?;
        if !self.may_change_passkeys(call, live) {
            return Err(Trouble::Told(
                "Confirm with a passkey first, then add another one.",
            ));
        }
        let world = self.parts.world.load_full();
        let person = world.person(live.person()).ok_or(Refused::Unavailable)?;
        let options = self
            .parts
            .passkeys
            .start_registration(&call.browser_hash()?, person, call.now())
            .map_err(|error| Trouble::Told(told(&error)))?;
        Ok(reply::json(StatusCode::OK, &options))
    }

    pub(super) async fn add_passkey(
        &self,
        call: &Call,
        message: &Message,
    ) -> Result<Answer, Trouble> {
        self.attempt(call)?;
        let live = call.live()?;
        if !self.may_change_passkeys(call, live) {
            return Err(Trouble::Told(
                "Confirm with a passkey first, then add another one.",
            ));
        }
        let passkey = self
            .parts
            .passkeys
            .finish_registration(
                &call.browser_hash()?,
                live.person(),
                message
                    .name
                    .as_deref()
                    .filter(|n| !n.trim().is_empty())
                    .unwrap_or("Passkey"),
                message.credential()?,
                call.now(),
            )
            .map_err(|error| Trouble::Told(told(&error)))?;
        self.added(call, &passkey).await?;
        let mut answer = reply::json(StatusCode::OK, &json!({ "continue": "/passkeys" }));
        reply::set_cookie(&mut answer, BROWSER_COOKIE, None);
        Ok(answer)
    }

    /// Puts a new passkey on record and into the store; one that could not be kept does not stay in memory either.
    async fn added(&self, call: &Call, passkey: &Arc<PasskeyRecord>) -> Result<(), Refused> {
        let kept = match self.on_record(call, passkey, "passkey-added").await {
            Ok(()) => self.keep_passkey(passkey).await,
            Err(refused) => Err(refused),
        };
        if kept.is_err() {
            self.parts.passkeys.remove(&passkey.person, &passkey.id);
        }
        kept
    }

    async fn on_record(
        &self,
        call: &Call,
        passkey: &PasskeyRecord,
        what: &str,
    ) -> Result<(), Refused> {
        let session = call.live.as_ref().map(|l| l.id().as_str());
        self.record(
            call.now(),
            Kind::Administration,
            json!({ "what": what, "session": session }),
            json!({ "person": passkey.person, "passkey": passkey.id, "synchronised": passkey.backup_eligible }),
        )
        .await
        .map(|_| ())
    }

    /// Writes a passkey as it is now.
    pub(super) async fn keep_passkey(&self, passkey: &Arc<PasskeyRecord>) -> Result<(), Refused> {
        self.parts
            .store
            .put_passkey(passkey.clone())
            .await
            .map_err(|error| {
                tracing::error!(%error, "a passkey could not be stored");
                Refused::Unavailable
            })
    }

    pub(super) async fn remove_passkey(
        &self,
        call: &Call,
        fields: &Fields,
    ) -> Result<Answer, Refused> {
        let live = call.live()?;
        if !self.may_change_passkeys(call, live) {
            return self.confirm_first(call);
        }
        let id = fields.get("passkey").ok_or(Refused::Malformed)?;
        let own = self.parts.passkeys.of(live.person());
        let passkey = own.iter().find(|k| k.id == id).ok_or(Refused::NotFound)?;
        let usable = own
            .iter()
            .filter(|k| k.suspended.is_none() && k.id != id)
            .count();
        if usable == 0 && self.parts.options.sample.is_none() {
            return Ok(call.page(
                StatusCode::CONFLICT,
                views::notice(
                    "This is your only passkey",
                    "Without it you could not sign in any more. Add another one first.",
                    Some(("/passkeys", "Back to my passkeys")),
                ),
            ));
        }
        self.on_record(call, passkey, "passkey-removed").await?;
        self.parts.passkeys.remove(live.person(), id);
        self.parts
            .store
            .remove_passkey(id.to_owned())
            .await
            .map_err(|error| {
                tracing::error!(%error, "a removed passkey is still in the store");
                Refused::Unavailable
            })?;
        Ok(reply::see_other("/passkeys"))
    }

    pub(super) async fn rename_passkey(
        &self,
        call: &Call,
        fields: &Fields,
    ) -> Result<Answer, Refused> {
        let live = call.live()?;
        let id = fields.get("passkey").ok_or(Refused::Malformed)?;
        let name = fields.get("name").unwrap_or_default();
        match self.parts.passkeys.rename(live.person(), id, name) {
            Ok(passkey) => {
                self.keep_passkey(&passkey).await?;
                Ok(reply::see_other("/passkeys"))
            }
            Err(error) => Ok(call.page(
                StatusCode::BAD_REQUEST,
                views::notice(
                    "The name was not changed",
                    told(&error),
                    Some(("/passkeys", "Back to my passkeys")),
                ),
            )),
        }
    }

    /// The page of an invitation. Looking does not spend it: mail programs follow links, too.
    pub(super) fn invitation_page(&self, call: &Call, link: &str) -> Result<Answer, Refused> {
        self.attempt(call)?;
        let invitation = match self.parts.invitations.open(link, call.now()) {
            Ok(invitation) if self.is_welcome(&invitation.person) => invitation,
            Ok(_) | Err(_) => return Ok(not_invited(call)),
        };
        let name = self.name_of(&invitation.person);
        let first = invitation.kind == InvitationKind::FirstAdministrator;
        let token = self.token(call);
        Ok(call.ceremony_page(
            StatusCode::OK,
            views::invitation(&name, first, link, &token),
        ))
    }

    pub(super) fn invitation_options(
        &self,
        call: &Call,
        message: &Message,
    ) -> Result<Answer, Trouble> {
        self.attempt(call)?;
        let link = message.invitation.as_deref().ok_or(Refused::Malformed)?;
        let invitation = self
            .parts
            .invitations
            .open(link, call.now())
            .map_err(void)?;
        let world = self.parts.world.load_full();
        let person = world
            .person(&invitation.person)
            .filter(|p| p.active)
            .ok_or(Trouble::Told(VOID))?;
        let options = self
            .parts
            .passkeys
            .start_registration(&call.browser_hash()?, person, call.now())
            .map_err(|error| Trouble::Told(told(&error)))?;
        Ok(reply::json(StatusCode::OK, &options))
    }

    /// Creates the invited person's passkey, spends the invitation and signs the person in.
    pub(super) async fn finish_invitation(
        &self,
        call: &Call,
        message: &Message,
    ) -> Result<Answer, Trouble> {
        self.attempt(call)?;
        let now = call.now();
        let link = message.invitation.as_deref().ok_or(Refused::Malformed)?;
        let browser = call.browser_hash()?;
        let credential = message.credential()?;
        let name = message
            .name
            .as_deref()
            .filter(|n| !n.trim().is_empty())
            .unwrap_or("Passkey");
        let invitations = &self.parts.invitations;
        let done = invitations.redeem(link, now, |invitation| {
            if !self.is_welcome(&invitation.person) {
                return Err(None);
            }
            self.parts
                .passkeys
                .finish_registration(&browser, &invitation.person, name, credential, now)
                .map(|passkey| (invitation.clone(), passkey))
                .map_err(Some)
        });
        let (invitation, passkey) = match done {
            Ok(done) => done,
            Err(RedeemError::Invitation(bad)) => return Err(void(bad)),
            Err(RedeemError::Use(None)) => return Err(Trouble::Told(VOID)),
            Err(RedeemError::Use(Some(error))) => {
                self.passkey_failed(call, &error, None).await?;
                return Err(Trouble::Told(told(&error)));
            }
        };
        let kept = match self
            .on_record(call, &passkey, "passkey-added-by-invitation")
            .await
        {
            Ok(()) => self.enrol(&invitation, &passkey, now).await,
            Err(refused) => Err(refused.into()),
        };
        if let Err(trouble) = kept {
            // Nothing came of it: no passkey stays, and if it was our fault the link stays good.
            self.parts.passkeys.remove(&passkey.person, &passkey.id);
            if matches!(trouble, Trouble::Refused(_)) {
                invitations.import([invitation], now);
            }
            return Err(trouble);
        }
        let authentication = Authentication {
            level: if passkey.backup_eligible {
                Aal::Aal2
            } else {
                Aal::Aal3
            },
            phishing_resistant: true,
            at: now,
            last_active: now,
        };
        let device = call.visit.device.clone();
        let secret = self
            .begin(
                call,
                &invitation.person,
                device,
                authentication,
                "invitation",
            )
            .await?;
        Ok(self.signed_in(&secret, "/"))
    }

    /// Writes the first passkey of an invited person and removes the invitation, together.
    async fn enrol(
        &self,
        invitation: &Invitation,
        passkey: &Arc<PasskeyRecord>,
        now: domain::Timestamp,
    ) -> Result<(), Trouble> {
        let unavailable = |error: store::StoreError| {
            tracing::error!(%error, "an enrolment could not be stored");
            Refused::Unavailable
        };
        let store = &self.parts.store;
        match invitation.kind {
            InvitationKind::Enrolment => store
                .enrol(passkey.clone(), Some(invitation.id.clone()))
                .await
                .map_err(unavailable)?,
            InvitationKind::FirstAdministrator => {
                let world = self.parts.world.load_full();
                let person = world
                    .person(&invitation.person)
                    .ok_or(Refused::Unavailable)?;
                let is_first = store
                    .first_administrator(domain::Person::clone(person), passkey.clone(), now)
                    .await
                    .map_err(unavailable)?;
                self.parts.invitations.withdraw_first_administrator();
                if !is_first {
                    return Err(Trouble::Told(VOID));
                }
            }
        }
        Ok(())
    }
}

const VOID: &str = "This invitation is not good any more. Ask for a new one.";

fn void(bad: BadInvitation) -> Trouble {
    Trouble::Told(match bad {
        BadInvitation::InUse => "This invitation is being used at this moment.",
        BadInvitation::Malformed | BadInvitation::Unknown | BadInvitation::Expired => VOID,
    })
}

fn not_invited(call: &Call) -> Answer {
    call.page(
        StatusCode::NOT_FOUND,
        views::notice(
            "This invitation is not good any more",
            "It was used, it is too old, or the link is not complete. Ask the person who sent it for a new one.",
            Some(("/sign-in", "Sign in")),
        ),
    )
}

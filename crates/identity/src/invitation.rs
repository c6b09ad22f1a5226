//! One-time links by which a person who has no passkey yet gets the first one.

use std::collections::BTreeMap;
use std::time::Duration;

use domain::{PersonId, Timestamp};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::secret::random_handle;
use crate::{Secret, SecretHash};

/// Invitations outstanding at a time; one more pushes out the one that ends first.
const INVITATIONS_MAX: usize = 10_000;

/// Failed attempts to complete an invitation, after which it is void.
const ATTEMPTS_MAX: u32 = 20;

/// What an invitation is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InvitationKind {
    /// To become the first administrator of a new installation.
    FirstAdministrator,
    /// To enrol a passkey of a person already known.
    Enrolment,
}

/// An invitation as the store keeps it: the hash of its secret, never the secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Invitation {
    /// Its handle, for people and records.
    pub id: String,
    /// Hash of the link's secret.
    pub secret: SecretHash,
    /// What it is for.
    pub kind: InvitationKind,
    /// Who is invited.
    pub person: PersonId,
    /// When it was made.
    pub created: Timestamp,
    /// When it becomes void.
    pub expires: Timestamp,
    /// Attempts to complete it that failed.
    #[serde(default)]
    pub failed_attempts: u32,
}

/// Why a link invites nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadInvitation {
    /// Not the text of a link of ours.
    #[error("malformed invitation")]
    Malformed,
    /// Never made, used already or withdrawn.
    #[error("unknown or used invitation")]
    Unknown,
    /// Its time is over.
    #[error("expired invitation")]
    Expired,
    /// Somebody is completing it at this moment.
    #[error("invitation is being used")]
    InUse,
}

/// Why an invitation was not completed.
#[derive(Debug, thiserror::Error)]
pub enum RedeemError<E> {
    /// It invites nobody.
    #[error(transparent)]
    Invitation(#[from] BadInvitation),
    /// What it was to be used for failed; the invitation stands.
    #[error("{0}")]
    Use(E),
}

/// Invitations outstanding.
#[derive(Debug, Default)]
pub struct Invitations {
    table: Mutex<BTreeMap<SecretHash, Slot>>,
}

#[derive(Debug)]
struct Slot {
    invitation: Invitation,
    in_use: bool,
}

impl Invitations {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes an invitation and returns the secret for its link, and the row to store. An older one of the same kind
    /// for the same person is withdrawn.
    pub fn issue(
        &self,
        kind: InvitationKind,
        person: PersonId,
        valid_for: Duration,
        now: Timestamp,
    ) -> (Secret, Invitation) {
        let secret = Secret::generate();
        let invitation = Invitation {
            id: random_handle("i-"),
            secret: secret.hash(),
            kind,
            person,
            created: now,
            expires: now.plus(valid_for),
            failed_attempts: 0,
        };
        let mut table = self.table.lock();
        table.retain(|_, slot| {
            slot.invitation.person != invitation.person || slot.invitation.kind != kind
        });
        insert(&mut table, invitation.clone(), now);
        (secret, invitation)
    }

    /// Whom a link invites. Looking does not spend it.
    pub fn open(&self, link: &str, now: Timestamp) -> Result<Invitation, BadInvitation> {
        let hash = Secret::parse(link).ok_or(BadInvitation::Malformed)?.hash();
        let table = self.table.lock();
        let slot = table.get(&hash).ok_or(BadInvitation::Unknown)?;
        if now >= slot.invitation.expires {
            return Err(BadInvitation::Expired);
        }
        Ok(slot.invitation.clone())
    }

    /// Uses an invitation: runs `complete` (the end of a passkey registration) and spends the invitation if that
    /// succeeds. Two attempts at once cannot both succeed; after too many failed ones the invitation is void.
    pub fn redeem<T, E>(
        &self,
        link: &str,
        now: Timestamp,
        complete: impl FnOnce(&Invitation) -> Result<T, E>,
    ) -> Result<T, RedeemError<E>> {
        let hash = Secret::parse(link).ok_or(BadInvitation::Malformed)?.hash();
        let invitation = {
            let mut table = self.table.lock();
            let slot = table.get_mut(&hash).ok_or(BadInvitation::Unknown)?;
            if now >= slot.invitation.expires {
                return Err(BadInvitation::Expired.into());
            }
            if std::mem::replace(&mut slot.in_use, true) {
                return Err(BadInvitation::InUse.into());
            }
            slot.invitation.clone()
        };
        // The lock is free while `complete` works, and the claim ends even if it panics.
        let claim = Claim { of: self, hash };
        let done = complete(&invitation);
        drop(claim);
        let mut table = self.table.lock();
        match done {
            Ok(value) => {
                // Withdrawn meanwhile: whoever withdrew it was too late, the passkey exists already.
                table.remove(&hash);
                Ok(value)
            }
            Err(error) => {
                if let Some(slot) = table.get_mut(&hash) {
                    slot.invitation.failed_attempts += 1;
                    if slot.invitation.failed_attempts >= ATTEMPTS_MAX {
                        table.remove(&hash);
                    }
                }
                Err(RedeemError::Use(error))
            }
        }
    }

    /// Withdraws an invitation by its handle. False if there is none.
    pub fn withdraw(&self, id: &str) -> bool {
        let mut table = self.table.lock();
        let before = table.len();
        table.retain(|_, slot| slot.invitation.id != id);
        table.len() < before
    }

    /// Withdraws every invitation to become the first administrator: once there is one, none must be left.
    pub fn withdraw_first_administrator(&self) {
        self.table
            .lock()
            .retain(|_, slot| slot.invitation.kind != InvitationKind::FirstAdministrator);
    }

    /// Invitations still good, the newest first.
    pub fn list(&self, now: Timestamp) -> Vec<Invitation> {
        let mut all: Vec<Invitation> = self
            .table
            .lock()
            .values()
            .filter(|slot| now < slot.invitation.expires)
            .map(|slot| slot.invitation.clone())
            .collect();
        all.sort_by(|a, b| (b.created, &a.id).cmp(&(a.created, &b.id)));
        all
    }

    /// Takes over invitations that the store kept and returns how many are still good.
    pub fn import(&self, rows: impl IntoIterator<Item = Invitation>, now: Timestamp) -> usize {
        let mut table = self.table.lock();
        rows.into_iter()
            .filter(|row| now < row.expires && row.failed_attempts < ATTEMPTS_MAX)
            .map(|row| insert(&mut table, row, now))
            .count()
    }

    /// Forgets invitations whose time is over and returns their handles, for the store to forget them too.
    pub fn sweep(&self, now: Timestamp) -> Vec<String> {
        let mut gone = Vec::new();
        self.table.lock().retain(|_, slot| {
            let good = now < slot.invitation.expires || slot.in_use;
            if !good {
                gone.push(slot.invitation.id.clone());
            }
            good
        });
        gone
    }
}

fn insert(table: &mut BTreeMap<SecretHash, Slot>, invitation: Invitation, now: Timestamp) {
    if table.len() >= INVITATIONS_MAX {
        table.retain(|_, slot| now < slot.invitation.expires);
    }
    while table.len() >= INVITATIONS_MAX {
        let first_to_end = table
            .iter()
            .min_by_key(|(_, slot)| slot.invitation.expires)
            .map(|(hash, _)| *hash);
        match first_to_end {
            Some(hash) => table.remove(&hash),
            None => break,
        };
    }
    table.insert(
        invitation.secret,
        Slot {
            invitation,
            in_use: false,
        },
    );
}

struct Claim<'a> {
    of: &'a Invitations,
    hash: SecretHash,
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        if let Some(slot) = self.of.table.lock().get_mut(&self.hash) {
            slot.in_use = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_000_000);
    const DAY: Duration = Duration::from_secs(86_400);

    fn issue(invitations: &Invitations, person: &str) -> String {
        let (secret, _) =
            invitations.issue(InvitationKind::Enrolment, PersonId::new(person), DAY, NOW);
        secret.reveal()
    }

    fn redeem(invitations: &Invitations, link: &str) -> Result<String, RedeemError<&'static str>> {
        invitations.redeem(link, NOW, |i| Ok(i.person.as_str().to_owned()))
    }

    #[test]
    fn an_invitation_is_good_once() {
        let invitations = Invitations::new();
        let link = issue(&invitations, "n-1");
        assert_eq!(
            invitations.open(&link, NOW).expect("good").person.as_str(),
            "n-1"
        );
        assert_eq!(redeem(&invitations, &link).expect("good"), "n-1");
        assert_eq!(invitations.open(&link, NOW), Err(BadInvitation::Unknown));
        assert!(matches!(
            redeem(&invitations, &link),
            Err(RedeemError::Invitation(BadInvitation::Unknown))
        ));
    }

    #[test]
    fn a_failed_use_leaves_it_standing_but_not_for_ever() {
        let invitations = Invitations::new();
        let link = issue(&invitations, "n-1");
        for _ in 0..ATTEMPTS_MAX {
            assert!(invitations.open(&link, NOW).is_ok());
            let failed: Result<(), _> = invitations.redeem(&link, NOW, |_| Err("no passkey"));
            assert!(matches!(failed, Err(RedeemError::Use("no passkey"))));
        }
        assert_eq!(invitations.open(&link, NOW), Err(BadInvitation::Unknown));
    }

    #[test]
    fn two_uses_at_once_cannot_both_succeed() {
        let invitations = Invitations::new();
        let link = issue(&invitations, "n-1");
        let outer = invitations.redeem(&link, NOW, |_| {
            let inner = redeem(&invitations, &link);
            assert!(matches!(
                inner,
                Err(RedeemError::Invitation(BadInvitation::InUse))
            ));
            Ok::<_, &str>(())
        });
        assert!(outer.is_ok());
    }

    #[test]
    fn it_expires_and_is_replaced_by_a_newer_one() {
        let invitations = Invitations::new();
        let old = issue(&invitations, "n-1");
        let new = issue(&invitations, "n-1");
        assert_eq!(invitations.open(&old, NOW), Err(BadInvitation::Unknown));
        assert_eq!(
            invitations.open(&new, NOW.plus(DAY)),
            Err(BadInvitation::Expired)
        );
        assert_eq!(invitations.sweep(NOW.plus(DAY)).len(), 1);
        assert_eq!(invitations.open("n-1", NOW), Err(BadInvitation::Malformed));
    }

    #[test]
    fn rows_survive_a_restart_without_the_secret() {
        let invitations = Invitations::new();
        let link = issue(&invitations, "n-1");
        let rows = invitations.list(NOW);
        let text = serde_json::to_string(&rows).expect("plain data");
        assert!(!text.contains(&link));
        let again = Invitations::new();
        let rows: Vec<Invitation> = serde_json::from_str(&text).expect("its own form");
        assert_eq!(again.import(rows.clone(), NOW), 1);
        assert_eq!(redeem(&again, &link).expect("good"), "n-1");
        assert_eq!(Invitations::new().import(rows, NOW.plus(DAY)), 0);
    }

    #[test]
    fn the_first_administrators_links_are_withdrawn_together() {
        let invitations = Invitations::new();
        let person = PersonId::new("admin");
        let (secret, row) = invitations.issue(InvitationKind::FirstAdministrator, person, DAY, NOW);
        let other = issue(&invitations, "n-1");
        invitations.withdraw_first_administrator();
        assert_eq!(
            invitations.open(&secret.reveal(), NOW),
            Err(BadInvitation::Unknown)
        );
        assert!(!invitations.withdraw(&row.id));
        assert!(invitations.open(&other, NOW).is_ok());
    }
}

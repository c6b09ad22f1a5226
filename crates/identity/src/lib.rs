//! Who asks: passkeys, sessions, browser-bound codes, relations and their age.
//!
//! Everything here is kept in memory and given `now`; nothing reads a clock, a file, a socket or a database. What must
//! outlive the program leaves as rows ([`SessionRow`], [`PasskeyRecord`], [`Invitation`]) and comes back as rows.
//! Secrets are drawn from the operating system, handed out once, and kept as SHA-256 only.

pub mod assertion;
pub mod relations;

mod audience;
mod ceremony;
mod code;
mod expiring;
mod invitation;
mod passkey;
mod return_path;
mod secret;
mod session;

pub use audience::Audience;
pub use ceremony::{CEREMONY_LIFETIME, Ceremonies, Ceremony, CeremonyKind, NoCeremony};
pub use code::{BadCode, CODE_LIFETIME, Codes};
pub use invitation::{BadInvitation, Invitation, InvitationKind, Invitations, RedeemError};
pub use passkey::{PasskeyError, PasskeyRecord, Passkeys, Proven, RelyingParty, RelyingPartyError};
pub use return_path::{RETURN_PATH_LEN_MAX, ReturnPath, UnsafeReturn};
pub use secret::{BrowserHash, SECRET_TEXT_LEN, Secret, SecretHash};
pub use session::{
    Changes, EndCause, Ended, GrantRefused, Limits, Live, LossFlag, NoSession, SessionRow,
    SessionView, Sessions,
};

//! What each command does.

pub(crate) mod assess;
pub(crate) mod audit;
pub(crate) mod check;
pub(crate) mod decide;
pub(crate) mod discover;
pub(crate) mod feed;
pub(crate) mod fingerprint;
pub(crate) mod import;
pub(crate) mod init;
pub(crate) mod invite;
pub(crate) mod policy;
pub(crate) mod quarantine;
pub(crate) mod queue;
pub(crate) mod report;
pub(crate) mod segment;
pub(crate) mod up;

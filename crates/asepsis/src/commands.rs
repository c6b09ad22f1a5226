//! What each command does.

pub(crate) mod audit;
pub(crate) mod check;
pub(crate) mod decide;
pub(crate) mod import;
pub(crate) mod init;
pub(crate) mod invite;
pub(crate) mod policy;
pub(crate) mod report;
pub(crate) mod up;

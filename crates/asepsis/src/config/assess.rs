//! The table `[assess]`: what the hospital has that neither traffic nor imports show.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use ::assess::Tool;
use anyhow::ensure;
use serde::Deserialize;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawAssess {
    #[serde(default)]
    tools: BTreeSet<Tool>,
    applications: Option<PathBuf>,
}

/// What an operator says for `asepsis assess`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct AssessConfig {
    /// Tools that the hospital has.
    pub(crate) tools: BTreeSet<Tool>,
    /// The list of all its applications.
    pub(crate) applications: Option<PathBuf>,
}

impl RawAssess {
    pub(super) fn check(self, base: &Path) -> anyhow::Result<AssessConfig> {
        let applications = self.applications.map(|path| base.join(path));
        if let Some(path) = &applications {
            ensure!(
                path.exists(),
                "key `applications`: `{}` does not exist",
                path.display()
            );
        }
        Ok(AssessConfig {
            tools: self.tools,
            applications,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tools_are_named_as_criteria_name_them_and_an_unknown_one_lists_the_known() {
        let raw: RawAssess = toml::from_str(r#"tools = ["edr", "siem"]"#).expect("valid");
        let config = raw.check(Path::new(".")).expect("valid");
        assert_eq!(config.tools, BTreeSet::from([Tool::Edr, Tool::Siem]));
        let error =
            toml::from_str::<RawAssess>(r#"tools = ["crystal-ball"]"#).expect_err("refused");
        assert!(error.to_string().contains("identity-provider"), "{error}");
        let raw: RawAssess = toml::from_str(r#"applications = "no-such.csv""#).expect("valid");
        raw.check(Path::new("/nonexistent")).expect_err("refused");
    }
}

//! Scenario files: what a synthetic year is like. TOML; every key may be left out.

use serde::Deserialize;

/// What a synthetic year is like.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Scenario {
    /// About how many devices there are, servers not counted.
    pub devices: u32,
    /// How many wards.
    pub wards: u32,
    /// How many weeks.
    pub weeks: u32,
    /// Percentage of devices of which an inventory does not know the class.
    pub unknown_percent: f64,
    /// Percentage whose evidence contradicts itself.
    pub contradictory_percent: f64,
    /// Percentage of devices that are new, in an average week.
    pub new_percent_per_week: f64,
    /// Percentage replaced by another of the same class.
    pub replaced_percent_per_week: f64,
    /// Percentage that move to another ward.
    pub moved_percent_per_week: f64,
    /// Clusters fail over for a week every so many weeks; 0: never.
    pub failover_every: u32,
    /// Scans in the year.
    pub scans: u32,
    /// Infections in the year.
    pub infections: u32,
}

impl Default for Scenario {
    fn default() -> Self {
        Self {
            devices: 10_000,
            wards: 40,
            weeks: 52,
            unknown_percent: 3.0,
            contradictory_percent: 0.5,
            new_percent_per_week: 0.2,
            replaced_percent_per_week: 0.1,
            moved_percent_per_week: 0.05,
            failover_every: 13,
            scans: 6,
            infections: 2,
        }
    }
}

/// Most devices and wards and weeks of a scenario: what a machine with 16 GiB still holds.
const DEVICES_MAX: u32 = 1_000_000;

/// Why a scenario was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScenarioError(pub String);

impl std::fmt::Display for ScenarioError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ScenarioError {}

impl Scenario {
    /// Reads a scenario file.
    ///
    /// # Errors
    /// When it is not TOML, has a key that there is not, or a value out of range.
    pub fn parse(text: &str) -> Result<Self, ScenarioError> {
        let scenario: Self =
            toml::from_str(text).map_err(|e| ScenarioError(e.message().to_owned()))?;
        let range = |name: &str, value: u32, low: u32, high: u32| {
            if (low..=high).contains(&value) {
                Ok(())
            } else {
                Err(ScenarioError(format!(
                    "`{name}` is {value}: give {low} to {high}"
                )))
            }
        };
        range("devices", scenario.devices, 100, DEVICES_MAX)?;
        range("wards", scenario.wards, 1, 10_000)?;
        range("weeks", scenario.weeks, 4, 520)?;
        for (name, value) in [
            ("unknown_percent", scenario.unknown_percent),
            ("contradictory_percent", scenario.contradictory_percent),
            ("new_percent_per_week", scenario.new_percent_per_week),
            (
                "replaced_percent_per_week",
                scenario.replaced_percent_per_week,
            ),
            ("moved_percent_per_week", scenario.moved_percent_per_week),
        ] {
            if !(0.0..=100.0).contains(&value) {
                return Err(ScenarioError(format!("`{name}` is {value}: give 0 to 100")));
            }
        }
        Ok(scenario)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scenario_says_what_is_wrong_with_it() {
        let scenario = Scenario::parse("devices = 500\nscans = 0").expect("reads");
        assert_eq!((scenario.devices, scenario.wards), (500, 40));
        for (text, word) in [
            ("devices = 5", "`devices`"),
            ("pumps = 5", "pumps"),
            ("unknown_percent = 101.0", "`unknown_percent`"),
        ] {
            let error = Scenario::parse(text).expect_err(text).to_string();
            assert!(error.contains(word), "{error}");
        }
    }
}

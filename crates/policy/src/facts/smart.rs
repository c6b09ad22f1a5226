//! SMART on FHIR 2.2 scopes: what a token's holder was granted by the user.
//!
//! A token never widens anything: it can only withhold what its user could do.

use domain::resource::{FhirEndpoint, FhirResource};
use domain::{Action, PatientId, Resource, Target};
use smol_str::SmolStr;

/// What a scope is about, such as `patient/Observation.rs?category=laboratory`.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Scope<'a> {
    level: Level,
    resource_type: &'a str,
    permissions: &'a str,
    category: Option<&'a str>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Level {
    Patient,
    User,
    System,
}

/// Whether some scope of the token covers the target. Scopes not understood cover nothing.
pub(crate) fn covers(scopes: &[SmolStr], launch: Option<&PatientId>, target: &Target) -> bool {
    if target.action == Action::FhirCapabilities {
        return true;
    }
    scopes
        .iter()
        .filter_map(|s| parse(s))
        .any(|scope| match &target.resource {
            Resource::FhirEndpoint(endpoint) => {
                scope.covers_endpoint(target.action, endpoint, launch)
            }
            Resource::FhirResource(resource) => {
                scope.covers_resource(target.action, resource, launch)
            }
            Resource::WebPage(_)
            | Resource::DicomNode(_)
            | Resource::Hl7Interface(_)
            | Resource::NetworkService(_)
            | Resource::Console(_) => false,
        })
}

fn parse(scope: &str) -> Option<Scope<'_>> {
    let (level, rest) = scope.split_once('/')?;
    let level = match level {
        "patient" => Level::Patient,
        "user" => Level::User,
        "system" => Level::System,
        _ => return None,
    };
    let (what, filter) = match rest.split_once('?') {
        None => (rest, None),
        Some((what, filter)) => (what, Some(filter)),
    };
    let (resource_type, permissions) = what.split_once('.')?;
    let permissions = match permissions {
        // The older form.
        "read" => "rs",
        "write" => "cud",
        "*" => "cruds",
        p if !p.is_empty() && is_in_order(p) => p,
        _ => return None,
    };
    let category = match filter {
        None => None,
        Some(filter) => {
            let value = filter.strip_prefix("category=")?;
            if value.is_empty() || value.contains('&') {
                return None;
            }
            // `system|code`: the code decides.
            Some(value.rsplit('|').next().unwrap_or(value))
        }
    };
    Some(Scope {
        level,
        resource_type,
        permissions,
        category,
    })
}

/// The letters of `cruds`, each at most once and in that order, as the specification demands.
fn is_in_order(permissions: &str) -> bool {
    let mut rest = "cruds".chars();
    permissions.chars().all(|c| rest.any(|r| r == c))
}

impl Scope<'_> {
    fn reaches(&self, resource_type: &str) -> bool {
        // A search over all types needs a scope for all types.
        self.resource_type == "*" || self.resource_type == resource_type
    }

    fn allows(&self, any_of: &str) -> bool {
        any_of.chars().any(|c| self.permissions.contains(c))
    }

    fn covers_endpoint(
        &self,
        action: Action,
        endpoint: &FhirEndpoint,
        launch: Option<&PatientId>,
    ) -> bool {
        let needed = match action {
            Action::FhirRead | Action::FhirVread => "r",
            // Instance history counts as reading, type and system history as searching.
            Action::FhirHistory if endpoint.id.is_some() => "r",
            Action::FhirHistory | Action::FhirSearch => "s",
            Action::FhirCreate => "c",
            Action::FhirUpdate | Action::FhirPatch => "u",
            Action::FhirDelete => "d",
            _ => return false,
        };
        self.reaches(&endpoint.resource_type)
            && self.allows(needed)
            && self.fits(&endpoint.patients, launch, true)
            && self.category.is_none_or(|c| {
                endpoint.categories.is_empty() || endpoint.categories.iter().any(|e| e == c)
            })
    }

    fn covers_resource(
        &self,
        action: Action,
        resource: &FhirResource,
        launch: Option<&PatientId>,
    ) -> bool {
        let needed = match action {
            // What a permitted search found is read under the search's permission; its address was judged before.
            Action::FhirRead | Action::FhirVread | Action::FhirHistory => "rs",
            Action::FhirSearch => "s",
            Action::FhirCreate => "c",
            Action::FhirUpdate | Action::FhirPatch => "u",
            Action::FhirDelete => "d",
            _ => return false,
        };
        self.reaches(&resource.resource_type)
            && self.allows(needed)
            && self.fits(&resource.patients, launch, false)
            && self
                .category
                .is_none_or(|c| resource.categories.iter().any(|e| e == c))
    }

    fn fits(&self, patients: &[PatientId], launch: Option<&PatientId>, unknown: bool) -> bool {
        match self.level {
            Level::User | Level::System => true,
            Level::Patient => {
                launch.is_some_and(|l| patients.iter().all(|p| p == l))
                    && (unknown || !patients.is_empty())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(resource_type: &str, patients: &[&str], categories: &[&str]) -> Resource {
        Resource::FhirEndpoint(FhirEndpoint {
            application: "fhir".into(),
            resource_type: resource_type.into(),
            id: None,
            patients: patients.iter().map(|p| PatientId::new(*p)).collect(),
            operation: None,
            categories: categories.iter().map(SmolStr::new).collect(),
        })
    }

    fn check(scope: &str, action: Action, resource: &Resource, expected: bool) {
        let target = Target {
            action,
            resource: resource.clone(),
        };
        let launch = PatientId::new("p1");
        assert_eq!(
            covers(&[scope.into()], Some(&launch), &target),
            expected,
            "{scope} {action}"
        );
    }

    #[test]
    fn a_scope_covers_what_it_says_and_nothing_else() {
        let own = endpoint("Observation", &["p1"], &[]);
        check("patient/Observation.rs", Action::FhirSearch, &own, true);
        check("patient/Observation.r", Action::FhirSearch, &own, false);
        check("patient/Observation.r", Action::FhirRead, &own, true);
        check("patient/*.s", Action::FhirSearch, &own, true);
        check("patient/Condition.rs", Action::FhirSearch, &own, false);
        check("patient/Observation.sr", Action::FhirSearch, &own, false);
        check(
            "patient/Observation.rs?_filter=x",
            Action::FhirSearch,
            &own,
            false,
        );
        check("launch/patient", Action::FhirSearch, &own, false);
        check("patient/Observation.rs", Action::FhirExport, &own, false);
        let other = endpoint("Observation", &["p2"], &[]);
        check("patient/Observation.rs", Action::FhirSearch, &other, false);
        check("user/Observation.rs", Action::FhirSearch, &other, true);
        let mixed = endpoint("Observation", &["p1", "p2"], &[]);
        check("patient/Observation.rs", Action::FhirSearch, &mixed, false);
        let vitals = endpoint("Observation", &["p1"], &["vital-signs"]);
        check(
            "patient/Observation.rs?category=laboratory",
            Action::FhirSearch,
            &vitals,
            false,
        );
        check(
            "patient/Observation.rs?category=http://x|vital-signs",
            Action::FhirSearch,
            &vitals,
            true,
        );
        let everything = endpoint("*", &["p1"], &[]);
        check(
            "patient/Observation.rs",
            Action::FhirSearch,
            &everything,
            false,
        );
    }

    #[test]
    fn without_a_patient_in_context_a_patient_scope_covers_nothing() {
        let target = Target {
            action: Action::FhirSearch,
            resource: endpoint("Observation", &[], &[]),
        };
        assert!(!covers(&["patient/*.rs".into()], None, &target));
    }
}

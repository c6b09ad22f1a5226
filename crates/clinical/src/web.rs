//! Path rules of plain web applications: the longest prefix of the canonical path decides.
//!
//! A rule is chosen by its prefix first and by its methods second: a rule for `GET /admin` does not leave
//! `POST /admin` to the rule for `/`. What no rule covers is unclassified, which nobody is permitted.

use ::http::Method;
use domain::resource::WebPage;
use domain::{Action, ApplicationId, Resource, Role, Target};
use smol_str::SmolStr;

use crate::http::path::canonical;

/// One rule: who may reach what lies below a prefix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Its name, which decisions and records show.
    pub name: SmolStr,
    /// Methods it is about; empty: all.
    pub methods: Vec<Method>,
    /// Canonical path below which it applies, on segment boundaries: `/a` covers `/a` and `/a/b`, not `/ab`.
    pub prefix: String,
    /// Roles it admits; empty: every active member of the workforce.
    pub roles: Vec<Role>,
}

/// Why a rule cannot stand.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("rule `{rule}`: {problem}")]
pub struct RuleError {
    /// The rule's name.
    pub rule: SmolStr,
    /// What is wrong and what to write instead.
    pub problem: String,
}

/// The rules of one application, longest prefix first.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    rules: Vec<Rule>,
}

impl Rules {
    /// Checks the rules: names that are there and differ, canonical prefixes, no two rules for the same prefix and
    /// method.
    pub fn new(mut rules: Vec<Rule>) -> Result<Self, RuleError> {
        let error = |rule: &Rule, problem: String| RuleError {
            rule: rule.name.clone(),
            problem,
        };
        for rule in &mut rules {
            if rule.name.is_empty() || rule.name == "*" {
                return Err(error(
                    rule,
                    format!("a rule cannot be called `{}`; give it a name", rule.name),
                ));
            }
            match canonical(&rule.prefix) {
                Ok(path) if path == rule.prefix => {}
                Ok(path) => {
                    return Err(error(
                        rule,
                        format!("prefix `{}` is not canonical; write `{path}`", rule.prefix),
                    ));
                }
                Err(refusal) => {
                    let problem = format!(
                        "prefix `{}` is no path that a request can have ({}); write one such as `/reports`",
                        rule.prefix, refusal.code
                    );
                    return Err(error(rule, problem));
                }
            }
            if rule.prefix.len() > 1 && rule.prefix.ends_with('/') {
                rule.prefix.pop();
            }
        }
        for (place, rule) in rules.iter().enumerate() {
            for other in &rules[..place] {
                if other.name == rule.name {
                    return Err(error(
                        rule,
                        "another rule has this name; give each its own".to_owned(),
                    ));
                }
                let overlap = rule.methods.is_empty()
                    || other.methods.is_empty()
                    || rule.methods.iter().any(|m| other.methods.contains(m));
                if overlap && other.prefix == rule.prefix {
                    let problem = format!(
                        "rule `{}` already covers prefix `{}` for the same method; join the two or name other methods",
                        other.name, rule.prefix
                    );
                    return Err(error(rule, problem));
                }
            }
        }
        // Stable: rules of one prefix differ in methods, so that their order means nothing.
        rules.sort_by_key(|rule| std::cmp::Reverse(rule.prefix.len()));
        Ok(Self { rules })
    }

    /// The rules, longest prefix first.
    pub fn iter(&self) -> impl Iterator<Item = &Rule> {
        self.rules.iter()
    }

    /// What a request asks of the application. `path` is canonical.
    pub fn classify(
        &self,
        application: &ApplicationId,
        method: &Method,
        path: &str,
        upgrade: bool,
    ) -> Target {
        let rule = self.rule(method, path);
        let action = match *method {
            _ if rule.is_none() => Action::Unclassified,
            Method::GET if upgrade => Action::WebConnect,
            _ if upgrade => Action::Unclassified,
            Method::GET | Method::HEAD | Method::OPTIONS => Action::WebGet,
            Method::POST | Method::PUT | Method::PATCH => Action::WebSubmit,
            Method::DELETE => Action::WebDelete,
            _ => Action::Unclassified,
        };
        Target {
            action,
            resource: Resource::WebPage(WebPage {
                application: application.clone(),
                area: rule.map_or(SmolStr::new_static("*"), |rule| rule.name.clone()),
                path: SmolStr::new(path),
                roles: rule.map(|rule| rule.roles.clone()).unwrap_or_default(),
            }),
        }
    }

    fn rule(&self, method: &Method, path: &str) -> Option<&Rule> {
        let longest = |exact: bool| {
            self.rules
                .iter()
                .find(|rule| covers(&rule.prefix, path, exact))
                .map(|rule| rule.prefix.as_str())
        };
        // A server that ignores case would serve `/ADMIN` as `/admin`; where that would be another rule's,
        // it is nobody's.
        let prefix = longest(true)?;
        if longest(false) != Some(prefix) {
            return None;
        }
        self.rules
            .iter()
            .filter(|rule| rule.prefix == prefix)
            .find(|rule| rule.methods.is_empty() || rule.methods.contains(method))
    }
}

/// Whether `path` is `prefix` or lies below it.
fn covers(prefix: &str, path: &str, exact: bool) -> bool {
    if prefix == "/" {
        return true;
    }
    let (Some(start), Some(rest)) = (
        path.as_bytes().get(..prefix.len()),
        path.as_bytes().get(prefix.len()..),
    ) else {
        return false;
    };
    let alike = if exact {
        start == prefix.as_bytes()
    } else {
        start.eq_ignore_ascii_case(prefix.as_bytes())
    };
    alike && matches!(rest.first(), None | Some(b'/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(name: &str, methods: &[Method], prefix: &str) -> Rule {
        Rule {
            name: name.into(),
            methods: methods.to_vec(),
            prefix: prefix.to_owned(),
            roles: vec![Role::new(name)],
        }
    }

    fn rules() -> Rules {
        Rules::new(vec![
            rule("all", &[], "/"),
            rule("admin", &[Method::GET], "/admin"),
            rule("admin-users", &[], "/admin/users/"),
        ])
        .expect("valid rules")
    }

    #[track_caller]
    fn check(method: Method, path: &str, upgrade: bool, action: Action, area: &str) {
        let target = rules().classify(&ApplicationId::new("app"), &method, path, upgrade);
        let Resource::WebPage(page) = target.resource else {
            panic!("a web page")
        };
        assert_eq!(
            (target.action, page.area.as_str()),
            (action, area),
            "{method} {path}"
        );
        assert_eq!(
            page.roles,
            if area == "*" {
                vec![]
            } else {
                vec![Role::new(area)]
            }
        );
    }

    #[test]
    fn the_longest_prefix_on_a_segment_boundary_decides() {
        check(Method::GET, "/", false, Action::WebGet, "all");
        check(Method::GET, "/admin", false, Action::WebGet, "admin");
        check(Method::GET, "/admin/", false, Action::WebGet, "admin");
        check(Method::GET, "/admin/x", false, Action::WebGet, "admin");
        check(Method::GET, "/administrator", false, Action::WebGet, "all");
        check(Method::HEAD, "/x", false, Action::WebGet, "all");
        check(
            Method::PUT,
            "/admin/users/7",
            false,
            Action::WebSubmit,
            "admin-users",
        );
        check(
            Method::DELETE,
            "/admin/users",
            false,
            Action::WebDelete,
            "admin-users",
        );
        check(Method::GET, "/live", true, Action::WebConnect, "all");
    }

    #[test]
    fn what_no_rule_covers_is_unclassified() {
        // Not left to the rule for `/`.
        check(Method::POST, "/admin", false, Action::Unclassified, "*");
        check(Method::POST, "/live", true, Action::Unclassified, "all");
        // A server that ignores case would serve the administrator's page.
        check(Method::GET, "/Admin", false, Action::Unclassified, "*");
        check(
            Method::GET,
            "/ADMIN/users/7",
            false,
            Action::Unclassified,
            "*",
        );
        let none = Rules::new(Vec::new()).expect("no rules");
        assert_eq!(
            none.classify(&ApplicationId::new("a"), &Method::GET, "/", false)
                .action,
            Action::Unclassified
        );
    }

    #[test]
    fn a_rule_that_cannot_stand_is_named() {
        for (bad, part) in [
            (rule("x", &[], "reports"), "is no path"),
            (rule("x", &[], "/a/../b"), "path-dot-segment"),
            (rule("x", &[], "/a%41"), "write `/aA`"),
            (rule("x", &[], "/a//b"), "path-empty-segment"),
            (rule("all", &[], "/z"), "another rule has this name"),
            (rule("x", &[Method::GET], "/"), "rule `all` already covers"),
            (rule("*", &[], "/y"), "give it a name"),
        ] {
            let name = bad.name.clone();
            let error = Rules::new(vec![rule("all", &[], "/"), bad]).expect_err("refused");
            assert_eq!(error.rule, name);
            assert!(error.to_string().contains(part), "{error}");
        }
        assert!(
            Rules::new(vec![
                rule("a", &[Method::GET], "/a"),
                rule("b", &[Method::POST], "/a/")
            ])
            .is_ok()
        );
    }
}

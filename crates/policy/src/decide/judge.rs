//! One question, asked as it is and under what a ceremony would change.

use std::sync::Arc;

use domain::{
    Aal, Action, CanonicalRequest, Context, Eligibility, GrantId, Grants, Outcome, PatientId,
    Person, Requirement, Timestamp,
};
use smol_str::{SmolStr, format_smolstr};

use super::{reason, reasons, validity};
use crate::ceremony::{GRANT_SECS, HYPOTHETICAL, fulfil, grant};
use crate::decision::{Obligation, Reason};
use crate::engine::{PolicyNumber, Query, Verdict};
use crate::facts::Stage;
use crate::facts::relation::{GrantFlaw, flaw, presented_covers};
use crate::pack::PolicyPack;
use crate::record::Slice;

/// The strongest that any step-up gives.
const STRONGEST: Requirement = Requirement {
    level: Aal::Aal3,
    phishing_resistant: true,
    max_age_secs: 0,
};

/// Asked for when nothing depends on how long ago the subject proved presence.
const MAX_AGE_SECS: u64 = 12 * 3600;

/// What was found out about a request.
pub(super) struct Finding {
    pub(super) outcome: Outcome,
    pub(super) requirement: Option<Requirement>,
    pub(super) eligibility: Option<Eligibility>,
    pub(super) reason: Reason,
    pub(super) policies: Vec<SmolStr>,
    pub(super) obligations: Vec<Obligation>,
    pub(super) alarms: Vec<SmolStr>,
    pub(super) valid_until: Timestamp,
}

impl Finding {
    fn deny(reason: Reason, valid_until: Timestamp) -> Self {
        Self {
            outcome: Outcome::Deny,
            requirement: None,
            eligibility: None,
            reason,
            policies: Vec::new(),
            obligations: Vec::new(),
            alarms: Vec::new(),
            valid_until,
        }
    }

    pub(super) fn panicked(now: Timestamp) -> Self {
        let reason = reason(
            "decision-failed",
            "The decision could not be made because of a fault, so the answer is no.",
        );
        Self {
            alarms: vec!["decision-panicked".into()],
            ..Self::deny(reason, now)
        }
    }
}

/// One target of the request: the question and the policies it can meet.
pub(super) struct Case {
    pub(super) query: Query,
    pub(super) selected: Vec<PolicyNumber>,
}

/// The engine's answers to every target, under the same circumstances.
pub(super) struct Answers {
    pub(super) verdicts: Vec<Verdict>,
    /// Which facts that change with time were looked at.
    pub(super) clocks: u8,
}

impl Answers {
    pub(super) fn allow(&self) -> bool {
        self.verdicts.iter().all(Verdict::allows)
    }
}

pub(super) struct Judge<'a> {
    pub(super) pack: &'a Arc<PolicyPack>,
    pub(super) slice: &'a Slice,
    pub(super) request: &'a CanonicalRequest,
    pub(super) now: Timestamp,
}

impl<'a> Judge<'a> {
    pub(super) fn new(
        pack: &'a Arc<PolicyPack>,
        slice: &'a Slice,
        request: &'a CanonicalRequest,
        now: Timestamp,
    ) -> Self {
        Self {
            pack,
            slice,
            request,
            now,
        }
    }

    pub(super) fn stage(&self, person: &'a Person, now: Timestamp) -> Stage<'a> {
        Stage {
            slice: self.slice,
            person,
            subject: &self.request.subject,
            now,
        }
    }

    pub(super) fn find(&self) -> Box<Finding> {
        let person = match self.admit() {
            Ok(person) => person,
            Err(refused) => return refused,
        };
        let mut cases = self.cases(person);
        let base = self.ask(&mut cases, person, &self.request.context, self.now);
        let alarms = self.alarms(&base);
        let mut finding = if base.allow() {
            let (policies, obligations) = self.granted(&base);
            let valid_until = validity::of_permit(self, person, &mut cases, &base, &obligations);
            Finding {
                outcome: Outcome::Permit,
                requirement: None,
                eligibility: None,
                reason: self.reason_of_permit(&policies),
                policies: self.ids(&policies),
                obligations,
                alarms: Vec::new(),
                valid_until,
            }
        } else {
            self.refuse(person, &mut cases, &base)
        };
        finding.alarms = alarms;
        Box::new(finding)
    }

    /// What is refused before any policy is asked.
    fn admit(&self) -> Result<&'a Person, Box<Finding>> {
        let refuse =
            |code, sentence| Err(Box::new(Finding::deny(reason(code, sentence), self.now)));
        if self.request.targets.is_empty() {
            return refuse("nothing-asked", "The request asks for nothing.");
        }
        let person = self.slice.person.as_deref();
        let Some(person) = person.filter(|p| p.id == self.request.subject.person) else {
            return refuse(
                "unknown-person",
                "The directory does not know who is asking.",
            );
        };
        if self.request.subject.session_ends < self.now {
            return refuse(
                "session-ended",
                "The session is over; please sign in again.",
            );
        }
        if self
            .request
            .targets
            .iter()
            .any(|t| t.action == Action::Unclassified)
        {
            return refuse(
                "unclassified-request",
                "This kind of request is not one that the hospital has rules for.",
            );
        }
        if let Grants::Presented(presented) = &self.request.context.grants {
            let stage = self.stage(person, self.now);
            match flaw(presented, &stage) {
                Some(GrantFlaw::Person) => {
                    return refuse(
                        "grant-of-another-person",
                        "The emergency access that was presented belongs to somebody else.",
                    );
                }
                Some(GrantFlaw::Device) => {
                    return refuse(
                        "grant-from-another-device",
                        "The emergency access that was presented was declared on another device.",
                    );
                }
                Some(GrantFlaw::Time) => {
                    return refuse(
                        "grant-expired",
                        "The emergency access that was presented is not in force now.",
                    );
                }
                Some(GrantFlaw::Form) => {
                    return refuse(
                        "grant-invalid",
                        "The emergency access that was presented is not a valid one.",
                    );
                }
                None => {}
            }
            let covers = |t| presented_covers(&self.request.context.grants, t);
            if !self.request.targets.iter().all(covers) {
                return refuse(
                    "grant-for-another-patient",
                    "The emergency access that was presented is for another patient.",
                );
            }
        }
        Ok(person)
    }

    fn cases(&self, person: &'a Person) -> Vec<Case> {
        let vocabulary = self.pack.vocabulary();
        let stage = self.stage(person, self.now);
        let engine = self.pack.engine();
        self.request
            .targets
            .iter()
            .map(|target| {
                let query = vocabulary.query(&stage, target, &self.request.context);
                let mut selected = Vec::with_capacity(16);
                engine.select(&query, &mut selected);
                Case { query, selected }
            })
            .collect()
    }

    /// Asks every target. Selection depends on subject and resource only, so it is done once.
    pub(super) fn ask(
        &self,
        cases: &mut [Case],
        person: &'a Person,
        circumstances: &Context,
        now: Timestamp,
    ) -> Answers {
        let vocabulary = self.pack.vocabulary();
        let engine = self.pack.engine();
        let stage = self.stage(person, now);
        let mut clocks = 0;
        let own = std::ptr::eq(circumstances, &self.request.context);
        let verdicts = cases
            .iter_mut()
            .zip(&self.request.targets)
            .map(|(case, target)| {
                let usual = if own {
                    if now != self.now {
                        let context = &mut case.query.context;
                        vocabulary.move_to(&stage, target, circumstances, context);
                    }
                    None
                } else {
                    let context = vocabulary.context(&stage, target, circumstances);
                    Some(std::mem::replace(&mut case.query.context, context))
                };
                let (verdict, seen) = engine.evaluate_watched(&case.query, &case.selected);
                clocks |= seen;
                match usual {
                    Some(usual) => case.query.context = usual,
                    None if now != self.now => {
                        let stage = self.stage(person, self.now);
                        let context = &mut case.query.context;
                        vocabulary.move_to(&stage, target, circumstances, context);
                    }
                    None => {}
                }
                verdict
            })
            .collect();
        Answers { verdicts, clocks }
    }

    fn refuse(&self, person: &'a Person, cases: &mut [Case], base: &Answers) -> Finding {
        let until = validity::of_refusal(self, person, cases);
        let hopeless = cases.iter().zip(&base.verdicts).any(|(case, verdict)| {
            !verdict.allows() && !case.selected.iter().any(|p| !self.forbids(*p))
        });
        let context = &self.request.context;
        let strong = self.with_authentication(context, &STRONGEST);
        if hopeless {
            // What a step-up would lift is not why the answer is no.
            let forbidden = base.verdicts.iter().any(|v| !v.forbids.is_empty());
            let answers = forbidden.then(|| self.ask(cases, person, &strong, self.now));
            return self.deny(cases, base, answers.as_ref().unwrap_or(base), until);
        }
        let answers = self.ask(cases, person, &strong, self.now);
        if answers.allow() {
            let requirement = self.weakest(person, cases, context);
            return Finding {
                outcome: Outcome::StepUp,
                reason: self.reason_of_step_up(cases, base, &answers),
                policies: self.what_changed(base, &answers),
                requirement: Some(requirement),
                eligibility: None,
                obligations: Vec::new(),
                alarms: Vec::new(),
                valid_until: until,
            };
        }
        let patients = self.patients_refused(base);
        if patients.is_empty() || matches!(context.grants, Grants::Presented(_)) {
            return self.deny(cases, base, &answers, until);
        }
        if let [patient] = patients.as_slice()
            && let Some(found) = self.break_glass(person, cases, base, patient, &strong, until)
        {
            return found;
        }
        let all = self.with_grants(&strong, &patients, GRANT_SECS);
        let answers = self.ask(cases, person, &all, self.now);
        if answers.allow() {
            let reason = reason(
                "emergency-covers-one-patient",
                "Emergency access is for one patient at a time; please ask for each patient separately.",
            );
            let policies = self.what_changed(base, &answers);
            return Finding {
                policies,
                ..Finding::deny(reason, until)
            };
        }
        self.deny(cases, base, &answers, until)
    }

    fn break_glass(
        &self,
        person: &'a Person,
        cases: &mut [Case],
        base: &Answers,
        patient: &PatientId,
        strong: &Context,
        until: Timestamp,
    ) -> Option<Finding> {
        let context = &self.request.context;
        let one = std::slice::from_ref(patient);
        let granted = self.with_grants(context, one, GRANT_SECS);
        let plain = self.ask(cases, person, &granted, self.now);
        let (answers, step_up) = if plain.allow() {
            (plain, None)
        } else {
            let both = self.with_grants(strong, one, GRANT_SECS);
            let answers = self.ask(cases, person, &both, self.now);
            if !answers.allow() {
                return None;
            }
            (answers, Some(self.weakest(person, cases, &granted)))
        };
        let added = self.added_permits(base, &answers);
        let eligibility = Eligibility {
            patient: patient.clone(),
            duration_secs: self.pack.grant_secs(&added),
            step_up,
        };
        Some(Finding {
            outcome: Outcome::BreakGlass,
            reason: self.reason_of_break_glass(&added),
            policies: self.what_changed(base, &answers),
            requirement: None,
            eligibility: Some(eligibility),
            obligations: Vec::new(),
            alarms: Vec::new(),
            valid_until: until,
        })
    }

    /// The least authentication that would do, given that the strongest does.
    fn weakest(&self, person: &'a Person, cases: &mut [Case], context: &Context) -> Requirement {
        let held = &context.authentication;
        let ladder = [
            (held.level, held.phishing_resistant),
            (Aal::Aal1, true),
            (Aal::Aal2, false),
            (Aal::Aal2, true),
            (Aal::Aal3, true),
        ];
        let mut requirement = STRONGEST;
        for (level, phishing_resistant) in ladder {
            if level < held.level || (held.phishing_resistant && !phishing_resistant) {
                continue;
            }
            let tried = Requirement {
                level,
                phishing_resistant,
                max_age_secs: 0,
            };
            let circumstances = self.with_authentication(context, &tried);
            if self.ask(cases, person, &circumstances, self.now).allow() {
                requirement = tried;
                break;
            }
        }
        let mut limits = vec![MAX_AGE_SECS];
        for number in cases.iter().flat_map(|c| &c.selected) {
            let clockwork = &self.pack.notes(*number).clockwork;
            limits.extend(
                clockwork
                    .age_secs
                    .iter()
                    .chain(&clockwork.idle_secs)
                    .filter_map(|s| u64::try_from(s - 1).ok()),
            );
        }
        limits.sort_unstable();
        limits.dedup();
        for secs in limits.into_iter().rev() {
            let mut circumstances = self.with_authentication(context, &requirement);
            let earlier = self.now.minus(std::time::Duration::from_secs(secs));
            circumstances.authentication.at = earlier;
            circumstances.authentication.last_active = earlier;
            if self.ask(cases, person, &circumstances, self.now).allow() {
                requirement.max_age_secs = secs;
                break;
            }
        }
        requirement
    }

    fn with_authentication(&self, context: &Context, requirement: &Requirement) -> Context {
        Context {
            authentication: fulfil(requirement, &context.authentication, self.now),
            ..context.clone()
        }
    }

    fn with_grants(&self, context: &Context, patients: &[PatientId], secs: u64) -> Context {
        let mut held = context.grants.as_slice().to_vec();
        for patient in patients {
            let eligibility = Eligibility {
                patient: patient.clone(),
                duration_secs: secs,
                step_up: None,
            };
            let id = GrantId::new(HYPOTHETICAL);
            held.push(grant(
                &eligibility,
                &self.request.subject,
                HYPOTHETICAL,
                id,
                self.now,
            ));
        }
        Context {
            grants: Grants::Held(held),
            ..context.clone()
        }
    }

    /// The patients of the targets that were refused; empty if one of those names none.
    fn patients_refused(&self, base: &Answers) -> Vec<PatientId> {
        let mut patients = Vec::new();
        for (target, verdict) in self.request.targets.iter().zip(&base.verdicts) {
            if verdict.allows() {
                continue;
            }
            if target.resource.patients().is_empty() {
                return Vec::new();
            }
            for patient in target.resource.patients() {
                if !patients.contains(patient) {
                    patients.push(patient.clone());
                }
            }
        }
        patients
    }

    /// A refusal that no ceremony lifts. `best` are the answers under the best that one could do.
    fn deny(
        &self,
        cases: &[Case],
        base: &Answers,
        best: &Answers,
        valid_until: Timestamp,
    ) -> Finding {
        let refused = |answers: &Answers| {
            answers
                .verdicts
                .iter()
                .position(|verdict| !verdict.allows())
        };
        let at = refused(best).or_else(|| refused(base)).unwrap_or(0);
        let verdict = &best.verdicts[at];
        let mut policies: Vec<PolicyNumber> = Vec::new();
        let reason = if let Some(failed) = verdict.failed_forbids.first() {
            policies.push(*failed);
            reason(
                "policy-failed",
                "A rule that protects this could not be evaluated, so the answer is no.",
            )
        } else if let Some(first) = verdict.forbids.first() {
            policies.extend(&verdict.forbids);
            self.reason_of_forbid(*first)
        } else {
            let case = &cases[at];
            reasons::of_silence(self.pack, &case.query, &case.selected)
        };
        let obligations = self.obligations(&policies);
        Finding {
            policies: self.ids(&policies),
            obligations,
            ..Finding::deny(reason, valid_until)
        }
    }

    fn forbids(&self, policy: PolicyNumber) -> bool {
        self.pack.engine().policies()[policy as usize].forbids
    }

    fn ids(&self, policies: &[PolicyNumber]) -> Vec<SmolStr> {
        policies.iter().map(|p| self.pack.id(*p).clone()).collect()
    }

    pub(super) fn obligations(&self, policies: &[PolicyNumber]) -> Vec<Obligation> {
        let mut all: Vec<Obligation> = policies
            .iter()
            .flat_map(|p| self.pack.notes(*p).obligations.iter().cloned())
            .collect();
        all.sort_unstable();
        all.dedup();
        all
    }

    /// The satisfied permits of all targets and what they oblige to.
    pub(super) fn granted(&self, answers: &Answers) -> (Vec<PolicyNumber>, Vec<Obligation>) {
        let mut permits: Vec<PolicyNumber> = answers
            .verdicts
            .iter()
            .flat_map(|v| v.permits.iter().copied())
            .collect();
        permits.sort_unstable();
        permits.dedup();
        let obligations = self.obligations(&permits);
        (permits, obligations)
    }

    fn alarms(&self, answers: &Answers) -> Vec<SmolStr> {
        let mut alarms = Vec::new();
        for verdict in &answers.verdicts {
            for policy in &verdict.failed_forbids {
                alarms.push(format_smolstr!("forbid-failed:{}", self.pack.id(*policy)));
            }
            for policy in &verdict.failed_permits {
                alarms.push(format_smolstr!("permit-failed:{}", self.pack.id(*policy)));
            }
        }
        alarms.sort_unstable();
        alarms.dedup();
        alarms
    }

    /// The most particular of the permits: the one that obliges to most, else the first.
    fn reason_of_permit(&self, permits: &[PolicyNumber]) -> Reason {
        let chosen = permits
            .iter()
            .copied()
            .rev()
            .max_by_key(|p| self.pack.notes(*p).obligations.len());
        match chosen {
            Some(policy) => Reason {
                code: self.pack.id(policy).clone(),
                sentence: self.pack.notes(policy).reason.clone().unwrap_or_default(),
            },
            None => reason("permitted", "The hospital's rules allow this."),
        }
    }

    fn reason_of_forbid(&self, policy: PolicyNumber) -> Reason {
        Reason {
            code: self.pack.id(policy).clone(),
            sentence: self
                .pack
                .notes(policy)
                .reason
                .clone()
                .unwrap_or_else(|| "A rule of the hospital forbids this.".into()),
        }
    }

    fn reason_of_step_up(&self, cases: &[Case], base: &Answers, lifted: &Answers) -> Reason {
        let forbids = base.verdicts.iter().flat_map(|v| &v.forbids);
        if let Some(first) = forbids.min() {
            return self.reason_of_forbid(*first);
        }
        let added = self.added_permits(base, lifted);
        let alone = cases
            .iter()
            .zip(&base.verdicts)
            .filter(|(_, verdict)| !verdict.allows())
            .find_map(|(case, _)| {
                let near: Vec<PolicyNumber> = added
                    .iter()
                    .copied()
                    .filter(|p| case.selected.contains(p))
                    .collect();
                reasons::of_one_condition(self.pack, &case.query, &near)
            });
        alone.or_else(|| self.otherwise(&added)).unwrap_or_else(|| {
            reason(
                "step-up-needed",
                "Please confirm that it is you before you go on.",
            )
        })
    }

    fn reason_of_break_glass(&self, added: &[PolicyNumber]) -> Reason {
        self.otherwise(added).unwrap_or_else(|| {
            reason(
                "emergency-only",
                "This is open to you only in an emergency.",
            )
        })
    }

    fn otherwise(&self, policies: &[PolicyNumber]) -> Option<Reason> {
        policies
            .iter()
            .find_map(|p| self.pack.notes(*p).otherwise.clone())
    }

    fn added_permits(&self, base: &Answers, lifted: &Answers) -> Vec<PolicyNumber> {
        let mut added: Vec<PolicyNumber> = base
            .verdicts
            .iter()
            .zip(&lifted.verdicts)
            .flat_map(|(b, l)| l.permits.iter().copied().filter(|p| !b.permits.contains(p)))
            .collect();
        added.sort_unstable();
        added.dedup();
        added
    }

    /// What determined an offer: the forbids that it lifts and the permits that it reaches.
    fn what_changed(&self, base: &Answers, lifted: &Answers) -> Vec<SmolStr> {
        let mut changed: Vec<PolicyNumber> = base
            .verdicts
            .iter()
            .flat_map(|v| v.forbids.iter().copied())
            .collect();
        changed.extend(self.added_permits(base, lifted));
        changed.sort_unstable();
        changed.dedup();
        self.ids(&changed)
    }
}

/// The permit that came nearest and which of its conditions were not met, for a question that none permitted.
///
/// Nearest is the one with the fewest conditions unmet; among those, the one with most met. A permit for other
/// people, whatever the circumstances, is not near.
pub(crate) fn nearest(
    pack: &PolicyPack,
    query: &Query,
    selected: &[PolicyNumber],
) -> Option<(PolicyNumber, Vec<usize>)> {
    let engine = pack.engine();
    selected
        .iter()
        .filter_map(|p| {
            let policy = &engine.policies()[*p as usize];
            if policy.forbids {
                return None;
            }
            let met = engine.conditions_met(query, *p)?;
            let unmet: Vec<usize> = met
                .iter()
                .enumerate()
                .filter(|(_, m)| **m != Ok(true))
                .map(|(i, _)| i)
                .collect();
            let conditions = policy.conditions.as_deref()?;
            let for_others = unmet.iter().any(|at| conditions[*at].is_about_principal());
            (!for_others).then_some((*p, met.len(), unmet))
        })
        .min_by_key(|(p, all, unmet)| (unmet.len(), std::cmp::Reverse(*all), *p))
        .map(|(p, _, unmet)| (p, unmet))
}

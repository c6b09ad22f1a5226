//! Until when an answer is known to hold.
//!
//! Facts change by themselves at instants that can be told beforehand: a grant ends, a session grows idle, a
//! source becomes stale. For a permit, the question is asked again just after each of these, in order; the first
//! at which it is no longer permitted, or obliges to something else, ends the permit.

use std::time::Duration;

use domain::relation::{Consent, Feed};
use domain::{Grants, Person, Resource, Timestamp};

use super::judge::{Answers, Case, Judge};
use crate::decision::Obligation;
use crate::facts::clock;
use crate::facts::relation::{ENCOUNTER_DAYS, LAST_KNOWN_HOURS};

/// More instants than this are not tried one by one; the first stands for all.
const INSTANTS_MAX: usize = 64;

const TICK: Duration = Duration::from_millis(1);

/// The last instant at which a permit is known to hold.
pub(super) fn of_permit<'a>(
    judge: &Judge<'a>,
    person: &'a Person,
    cases: &mut [Case],
    base: &Answers,
    obligations: &[Obligation],
) -> Timestamp {
    let end = end(judge);
    let mut instants = instants(judge, person, cases, base.clocks);
    instants.retain(|i| *i < end);
    if instants.len() > INSTANTS_MAX {
        return instants.into_iter().min().unwrap_or(end);
    }
    instants.sort_unstable();
    instants.dedup();
    for instant in instants {
        let then = judge.ask(cases, person, &judge.request.context, instant.plus(TICK));
        if !then.allow() || judge.granted(&then).1 != obligations {
            return instant;
        }
    }
    end
}

/// The last instant at which a refusal is known to hold.
pub(super) fn of_refusal<'a>(judge: &Judge<'a>, person: &'a Person, cases: &[Case]) -> Timestamp {
    instants(judge, person, cases, clock::ALL)
        .into_iter()
        .min()
        .unwrap_or(Timestamp::FOREVER)
        .min(end(judge))
}

/// When the request itself is over: the session ends, or the grant that came with it.
fn end(judge: &Judge<'_>) -> Timestamp {
    let session = judge.request.subject.session_ends;
    match &judge.request.context.grants {
        Grants::Presented(grant) => session.min(grant.expires),
        Grants::Held(_) => session,
    }
}

/// The last instants, from now on, at which some fact of these clocks is as it is now.
fn instants<'a>(
    judge: &Judge<'a>,
    person: &'a Person,
    cases: &[Case],
    clocks: u8,
) -> Vec<Timestamp> {
    let mut found = Vec::new();
    let mut last = |instant: Timestamp| {
        if instant >= judge.now && instant < Timestamp::FOREVER {
            found.push(instant);
        }
    };
    let secs = |secs: i64| Duration::from_secs(u64::try_from(secs).unwrap_or(0));
    let context = &judge.request.context;
    for number in cases.iter().flat_map(|c| &c.selected) {
        let clockwork = &judge.pack.notes(*number).clockwork;
        if clocks & clock::AGE != 0 {
            for limit in &clockwork.age_secs {
                last(context.authentication.at.plus(secs(*limit)).minus(TICK));
            }
        }
        if clocks & clock::IDLE != 0 {
            for limit in &clockwork.idle_secs {
                last(
                    context
                        .authentication
                        .last_active
                        .plus(secs(*limit))
                        .minus(TICK),
                );
            }
        }
        if clocks & clock::FEEDS != 0 {
            for hours in &clockwork.stale_hours {
                for feed in &judge.slice.feeds {
                    last(limit_of(feed).plus(secs(*hours * 3600)).minus(TICK));
                }
            }
        }
        if clocks & clock::ENCOUNTERS != 0 {
            for days in &clockwork.encounter_days {
                each_encounter_end(judge, |ended| {
                    last(ended.plus(secs(*days * 86_400)).minus(TICK))
                });
            }
        }
    }
    if clocks & clock::FEEDS != 0 {
        for feed in &judge.slice.feeds {
            // Stale from the first whole second beyond the limit; its last word counts for a while.
            last(limit_of(feed).plus(secs(1)).minus(TICK));
            last(
                limit_of(feed)
                    .plus(secs(LAST_KNOWN_HOURS * 3600))
                    .minus(TICK),
            );
        }
    }
    if clocks & clock::ENCOUNTERS != 0 {
        let window = secs((ENCOUNTER_DAYS + 1) * 86_400);
        each_encounter_end(judge, |ended| last(ended.plus(window).minus(TICK)));
    }
    if clocks & clock::GRANTS != 0 {
        for grant in context.grants.as_slice() {
            if grant.person == person.id {
                last(grant.issued.minus(TICK));
                last(grant.expires);
            }
        }
    }
    if clocks & clock::CONSENTS != 0 {
        for (_, facts) in &judge.slice.patients {
            let concern = |c: &&Consent| c.people.is_empty() || c.people.contains(&person.id);
            facts
                .consents
                .iter()
                .filter(concern)
                .for_each(|c| last(c.ends));
        }
    }
    if clocks & clock::WINDOWS != 0 {
        for target in &judge.request.targets {
            let Resource::NetworkService(service) = &target.resource else {
                continue;
            };
            for window in judge
                .slice
                .windows
                .iter()
                .filter(|w| w.device == service.device)
            {
                last(window.starts.minus(TICK));
                last(window.ends);
            }
        }
    }
    found
}

fn limit_of(feed: &Feed) -> Timestamp {
    feed.as_of.plus(Duration::from_secs(feed.max_age_secs))
}

fn each_encounter_end(judge: &Judge<'_>, mut each: impl FnMut(Timestamp)) {
    let own = |e: &&domain::relation::Encounter| e.person == judge.request.subject.person;
    for (_, facts) in &judge.slice.patients {
        facts
            .encounters
            .iter()
            .filter(own)
            .filter_map(|e| e.ended)
            .for_each(&mut each);
    }
}

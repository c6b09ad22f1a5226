//! `attestations.toml`: what is wrong is named with line and remedy, and costs only itself.

mod common;

use assess::{Attestations, Criteria, Status, assess};
use common::{ATTESTATIONS, facts};

#[test]
fn each_mistake_is_named_with_its_line_and_remedy_and_costs_only_itself() {
    let criteria = Criteria::shipped();
    let check = |from: &str, to: &str, line: usize, words: &str| {
        let text = ATTESTATIONS.replacen(from, to, 1);
        let a = Attestations::parse(&text, &criteria);
        assert_eq!(a.problems.len(), 1, "{words}: {:?}", a.problems);
        assert_eq!(a.problems[0].line, line, "{words}: {:?}", a.problems);
        assert!(
            a.problems[0].to_string().contains(words),
            "{words}: {}",
            a.problems[0]
        );
        assert!(!a.problems[0].hint.is_empty());
        assert_eq!(a.rows.len() + a.figures.len(), 3, "the others are used");
    };
    check(
        "164.308(a)(2)\"",
        "164.308(a)(2)(x)\"",
        2,
        "164.308(a)(1)(ii)(A)",
    );
    check(
        "hipaa-security-rule/",
        "hipaa/",
        2,
        "frameworks: cisa-ztmm-2",
    );
    check(
        "level = \"Met\"",
        "level = \"Very met\"",
        2,
        "choose Partly met, Met",
    );
    check("level = \"Met\"", "level = \"Not met\"", 2, "not a level");
    check(
        "date = \"2026-10-01\"",
        "date = \"October\"",
        2,
        "is not a date",
    );
    check(
        "expires = \"2027-09-30\"",
        "expires = \"2036-09-30\"",
        2,
        "13 months",
    );
    check(
        "expires = \"2027-09-30\"",
        "expires = \"2026-09-30\"",
        2,
        "lies before",
    );
    check("A. Example, chief executive", " ", 2, "`owner` is empty");
    check(
        "statement = \"The security",
        "statemint = \"The security",
        2,
        "statemint",
    );
    check("training.done", "training.gone", 27, "measures: ");
    check("numerator = 812", "numerator = 912", 27, "is not a share");
    check("denominator = 900", "denominator = 0", 27, "is not a share");
    check(
        "source = \"training records, export of 2026-10-01\"",
        "source = \"\"",
        27,
        "no source",
    );

    let broken = Attestations::parse("[[attestation]\nrow = 1", &criteria);
    assert_eq!((broken.problems.len(), broken.problems[0].line), (1, 1));
    let unknown = Attestations::parse("[[atestation]]\nrow = \"x\"\n", &criteria);
    assert!(
        unknown.problems[0].what.contains("atestation"),
        "{:?}",
        unknown.problems
    );
}

#[test]
fn a_word_holds_from_its_date_through_its_last_day() {
    let criteria = Criteria::shipped();
    let attestations = Attestations::parse(ATTESTATIONS, &criteria);
    let officer = |day: &str| {
        let mut f = facts();
        f.now = common::at(day);
        let a = assess(&criteria, &f, &attestations);
        let row = a
            .rows
            .iter()
            .find(|r| r.id == "164.308(a)(2)")
            .expect("shipped")
            .clone();
        matches!(row.status, Status::Attested { .. })
    };
    assert!(!officer("2026-09-30T23:59:59Z"));
    assert!(officer("2026-10-01T00:00:00Z"));
    assert!(officer("2027-09-30T23:59:59Z"));
    assert!(!officer("2027-10-01T00:00:00Z"));
}

#[test]
fn a_counted_figure_wins_over_one_that_somebody_vouches_for() {
    let criteria = Criteria::shipped();
    let text = ATTESTATIONS.replace("training.done", "mail.protected");
    let attestations = Attestations::parse(&text, &criteria);
    let a = assess(&criteria, &facts(), &attestations);
    let mail = a
        .figures
        .iter()
        .find(|x| x.measure == "mail.protected")
        .expect("counted");
    assert_eq!(
        (mail.numerator, mail.denominator, mail.attested_by.as_ref()),
        (2, 3, None)
    );
    let mut without = facts();
    without.mail = None;
    let a = assess(&criteria, &without, &attestations);
    let mail = a
        .figures
        .iter()
        .find(|x| x.measure == "mail.protected")
        .expect("vouched for");
    assert_eq!((mail.numerator, mail.denominator), (812, 900));
    assert!(mail.attested_by.is_some());
}

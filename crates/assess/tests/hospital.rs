//! A made hospital, end to end.

mod common;

use std::fmt::Write as _;

use assess::{Assessment, Attestations, Criteria, Facts, Status, assess, report};
use common::{ATTESTATIONS, facts, now};

fn assessment() -> Assessment {
    let criteria = Criteria::shipped();
    let attestations = Attestations::parse(ATTESTATIONS, &criteria);
    assert_eq!(attestations.problems, []);
    assess(&criteria, &facts(), &attestations)
}

fn row<'a>(a: &'a Assessment, name: &str) -> &'a assess::Row {
    a.rows
        .iter()
        .find(|r| r.name() == name)
        .unwrap_or_else(|| panic!("no row {name}"))
}

fn level(a: &Assessment, name: &str) -> Option<String> {
    row(a, name).level.as_ref().map(|l| l.name.to_string())
}

#[test]
fn the_shipped_frameworks_have_all_their_rows() {
    let criteria = Criteria::shipped();
    let counts: Vec<(String, usize)> = criteria
        .frameworks
        .iter()
        .map(|f| (f.id.to_string(), f.criteria.len()))
        .collect();
    assert_eq!(
        counts,
        [
            ("cisa-ztmm-2".into(), 40),
            ("hph-cpg".into(), 20),
            ("hipaa-security-rule".into(), 40),
            ("nist-800-207".into(), 15),
            ("hicp-2023".into(), 10)
        ]
    );
}

#[test]
fn every_row_of_the_hospital_comes_out_as_expected() {
    let a = assessment();
    let mut table = String::new();
    for r in &a.rows {
        let figure = match (r.numerator, r.denominator, &r.measure) {
            (Some(n), Some(d), Some(m)) => format!("{n}/{d} {m}"),
            _ => "-".into(),
        };
        let status = match &r.status {
            Status::Measured => "measured".to_owned(),
            Status::Attested { owner, .. } => format!("attested by {owner}"),
            Status::NotEvaluable { needs } => format!("needs {}", needs.len()),
        };
        let _ = writeln!(
            table,
            "{:45} {:13} {:32} {figure}",
            r.name(),
            r.level.as_ref().map_or("?", |l| l.name.as_str()),
            status
        );
    }
    insta::assert_snapshot!("rows", table);
}

#[test]
fn the_tables_for_the_terminal_read_well() {
    let a = assessment();
    insta::assert_snapshot!("pillars", report::text(&a, 110));
    insta::assert_snapshot!("steps", report::text_steps(&a, 100));
}

#[test]
fn a_word_never_overrules_a_count_and_an_expired_word_counts_for_nothing() {
    let a = assessment();
    // Somebody vouches for Optimal, 27 % of sign-ins say otherwise.
    assert_eq!(level(&a, "cisa-ztmm-2/ID1").as_deref(), Some("Initial"));
    assert!(row(&a, "cisa-ztmm-2/ID1").notes[0].contains("the count stands"));
    // The word ended in September.
    let dv7 = row(&a, "cisa-ztmm-2/DV7");
    assert!(
        matches!(dv7.status, Status::NotEvaluable { .. }),
        "{:?}",
        dv7.status
    );
    assert!(dv7.notes[0].contains("until 2026-09-30"));
    // A word that holds.
    let officer = row(&a, "hipaa-security-rule/164.308(a)(2)");
    assert_eq!(officer.level.as_ref().map(|l| l.name.as_str()), Some("Met"));
    assert!(
        matches!(&officer.status, Status::Attested { owner, .. } if owner == "A. Example, chief executive")
    );
    // A figure that somebody vouches for makes its row attested, not measured.
    let training = row(&a, "hph-cpg/E4");
    assert_eq!(
        (training.numerator, training.denominator),
        (Some(812), Some(900))
    );
    assert!(
        matches!(&training.status, Status::Attested { owner, .. } if owner.starts_with("D. Example"))
    );
}

#[test]
fn the_weakest_function_decides_a_pillar() {
    let a = assessment();
    for p in &a.pillars {
        let rows: Vec<_> = a
            .rows
            .iter()
            .filter(|r| r.framework == p.framework && r.pillar == p.pillar)
            .collect();
        let weakest = rows
            .iter()
            .filter_map(|r| r.level.as_ref().map(|l| l.rank))
            .min();
        assert_eq!(p.level.as_ref().map(|l| l.rank), weakest, "{}", p.pillar);
        if p.certain && weakest != Some(0) {
            assert!(rows.iter().all(|r| r.level.is_some()), "{}", p.pillar);
        }
    }
}

#[test]
fn of_an_unknown_hospital_nothing_is_said_but_what_is_needed_and_what_to_do() {
    let criteria = Criteria::shipped();
    let a = assess(
        &criteria,
        &Facts::new("Nowhere", now()),
        &Attestations::default(),
    );
    for r in &a.rows {
        assert!(
            matches!(&r.status, Status::NotEvaluable { needs } if !needs.is_empty()),
            "{}",
            r.name()
        );
        assert_eq!(
            (r.level.as_ref(), r.measure.as_ref()),
            (None, None),
            "{}",
            r.name()
        );
    }
    assert!(a.pillars.iter().all(|p| p.level.is_none() && !p.certain));
    assert_eq!(a.steps.len(), 10);
    // Every proposed step uses something that every hospital has.
    assert!(
        a.steps
            .iter()
            .all(|s| s.known_by == "every hospital has it" || s.known_by == "it made this report"),
        "{:#?}",
        a.steps
    );
}

#[test]
fn no_step_is_proposed_that_is_done_and_each_names_a_tool_that_is_there() {
    let a = assessment();
    assert_eq!(a.steps.len(), 10);
    for (n, s) in a.steps.iter().enumerate() {
        assert_eq!(s.rank as usize, n + 1);
        assert!(
            a.tools
                .iter()
                .any(|t| t.name == s.uses && t.known_by == s.known_by),
            "{}",
            s.id
        );
        assert!(
            !s.rows.is_empty() && s.risk_removed > 0.0 || s.id == "vouch",
            "{s:?}"
        );
        for name in &s.rows {
            assert!(
                row(&a, name).next.is_some(),
                "{} moves {name}, which is at the top",
                s.id
            );
        }
    }
    let order: Vec<f64> = a
        .steps
        .iter()
        .map(|s| s.risk_removed / f64::from(s.effort))
        .collect();
    assert!(order.windows(2).all(|w| w[0] >= w[1]), "{order:?}");
    // The leases and the mirror are there already, and every decision can be replayed.
    assert!(a.steps.iter().all(|s| {
        ![
            "show-leases",
            "show-mirror",
            "show-register",
            "show-first-application",
        ]
        .contains(&s.id.as_str())
    }));
    // With a second factor for everybody, nobody is told to ask for one.
    let criteria = Criteria::shipped();
    let mut better = facts();
    if let Some(s) = &mut better.sign_ins {
        s.facts.phishing_resistant = s.facts.total;
        s.facts.second_factor = 0;
        s.facts.stepped_up = Some(assess::facts::Part { of: 100, all: 100 });
    }
    let b = assess(&criteria, &better, &Attestations::default());
    assert!(
        b.steps
            .iter()
            .all(|s| s.id != "mend-passkeys" && s.id != "mend-second-factor")
    );
}

#[test]
fn tools_are_found_in_imports_and_in_traffic() {
    let a = assessment();
    let how = |tool: assess::Tool| {
        a.tools
            .iter()
            .find(|t| t.tool == tool)
            .map(|t| t.known_by.to_string())
    };
    assert_eq!(
        how(assess::Tool::Edr).as_deref(),
        Some("1 device asks for it")
    );
    assert!(how(assess::Tool::IntegrationEngine).is_some_and(|h| h.contains("spoken")));
    assert_eq!(
        how(assess::Tool::Pacs).as_deref(),
        Some("stated in the configuration")
    );
    assert_eq!(how(assess::Tool::Backup), None);
}

#[test]
fn the_same_facts_give_the_same_bytes_and_read_back() {
    let a = assessment();
    let text = serde_json::to_string_pretty(&a).expect("plain data");
    assert_eq!(
        text,
        serde_json::to_string_pretty(&assessment()).expect("plain data")
    );
    let back: Assessment = serde_json::from_str(&text).expect("what was written");
    assert_eq!(back, a);
    assert_eq!(report::html(&a), report::html(&back));
    let facts = facts();
    let text = serde_json::to_string(&facts).expect("plain data");
    assert_eq!(
        serde_json::from_str::<Facts>(&text).expect("what was written"),
        facts
    );
}

#[test]
fn the_page_is_one_accessible_file_without_script() {
    let mut a = assessment();
    a.hospital = "St. <Example> & \"Sons\"".into();
    let page = report::html(&a);
    assert!(page.contains("St. &lt;Example&gt; &amp;"));
    for forbidden in [
        "<script",
        "<link",
        "<img",
        "src=",
        "href=\"http",
        "url(",
        "@import",
        "onclick",
    ] {
        assert!(!page.contains(forbidden), "{forbidden}");
    }
    let tables = page.matches("<table").count();
    assert!(tables > 20);
    assert_eq!(page.matches("<caption>").count(), tables);
    assert_eq!(page.matches("<thead>").count(), tables);
    // Every header cell says what it heads.
    assert_eq!(
        page.matches("<th ").count(),
        page.matches("<th scope=").count()
    );
    assert!(!page.contains("<th>"));
    // Every element that is opened is closed, in order.
    let mut open: Vec<&str> = Vec::new();
    for tag in page.split('<').skip(1) {
        let name = tag
            .split(|c: char| c.is_whitespace() || c == '>')
            .next()
            .unwrap_or_default();
        if let Some(closing) = name.strip_prefix('/') {
            assert_eq!(open.pop(), Some(closing));
        } else if !["!DOCTYPE", "meta"].contains(&name) {
            open.push(name);
        }
    }
    assert!(open.is_empty(), "{open:?}");
    // Anchors lead somewhere, and each id is there once.
    for link in page.split("href=\"#").skip(1) {
        let target = link.split('"').next().unwrap_or_default();
        assert_eq!(
            page.matches(&format!(" id=\"{target}\"")).count(),
            1,
            "{target}"
        );
    }
    if let Ok(path) = std::env::var("ASEPSIS_ASSESS_PAGE") {
        std::fs::write(path, report::html(&assessment())).expect("a place to look at the page");
    }
}

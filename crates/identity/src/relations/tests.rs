use domain::subject::SubjectKind;
use domain::{PersonId, Sensitivity, Timestamp};

use super::*;

fn source<'a>(name: &'a str, kind: Kind, text: &'a str) -> Source<'a> {
    Source {
        name,
        kind,
        format: Format::of_file_name(name).expect("a known ending"),
        bytes: text.as_bytes(),
    }
}

#[track_caller]
fn fails(kind: Kind, name: &str, text: &str, line: Option<u64>, column: Option<&str>, what: &str) {
    let error = import(&[source(name, kind, text)]).expect_err("a fault");
    assert_eq!(
        (error.line, error.column.as_deref()),
        (line, column),
        "{error}"
    );
    assert!(error.what.contains(what), "{error}");
    assert!(
        error.to_string().contains("hint: ") && error.to_string().starts_with(&format!("`{name}`"))
    );
    assert!(!error.to_string().contains("SECRET"), "{error}");
}

const PEOPLE: &str = "\u{feff}id,name,roles,units,active,kind\r\n\
    n-1,\"Lovelace, Ada\",nurse; charge_nurse,ward-3,true,\r\n\
    v-1,Val,vendor,,no,vendor\r\n";

#[test]
fn csv_of_every_kind_is_read() {
    let relations = import(&[
        source("people.csv", Kind::People, PEOPLE),
        source("devices.csv", Kind::Devices, "id,managed,compliant,unit\nws-1,yes,,ward-3\nph-1,,false,\n"),
        source(
            "patients.csv",
            Kind::Patients,
            "id,vip,unit,care_team,encounters,proxies\np-1,true,ward-3,n-1;n-2,n-3;n-4@2026-11-01T10:00:00Z,m-1\n",
        ),
        source(
            "windows.csv",
            Kind::VendorWindows,
            "person,device,ticket,approved_by,starts,ends\n\
             v-1,ct-1,T-9,it-1,2026-11-22T08:00:00Z,2026-11-22T13:00:00+01:00\n\
             v-1,ct-1,T-10,,2026-11-23,2026-11-24\n",
        ),
    ])
    .expect("good files");
    let [ada, val] = relations.people.as_slice() else {
        panic!("two people")
    };
    assert_eq!(
        (ada.name.as_str(), ada.active, ada.kind),
        ("Lovelace, Ada", true, SubjectKind::Workforce)
    );
    assert_eq!(
        ada.roles.iter().map(|r| r.as_str()).collect::<Vec<_>>(),
        ["nurse", "charge_nurse"]
    );
    assert_eq!((val.active, val.kind), (false, SubjectKind::Vendor));
    assert_eq!(
        relations.devices[0].compliant, None,
        "never reported is not compliant"
    );
    assert_eq!(
        (relations.devices[0].managed, relations.devices[1].compliant),
        (true, Some(false))
    );
    let (_, facts) = &relations.patients[0];
    assert!(facts.vip && facts.care_team.len() == 2 && facts.proxies.len() == 1);
    assert_eq!(facts.encounters[0].ended, None);
    assert_eq!(
        facts.encounters[1].ended,
        Timestamp::parse("2026-11-01T10:00:00Z")
    );
    assert_eq!(
        relations.vendor_windows[0].ends,
        Timestamp::parse("2026-11-22T12:00:00Z").expect("valid")
    );
    assert_eq!(relations.vendor_windows[1].approved_by, None);
}

#[test]
fn json_is_read_bare_or_under_its_name() {
    let rows = r#"[
        {"id": "p-1", "care_team": ["n-1"], "consents": [{"effect": "deny", "people": ["n-2"], "labels": ["HIV"]}]},
        {"id": "p-2", "vip": true}
    ]"#;
    let keyed = format!("\n{{\"patients\": {rows}}}");
    for text in [rows, &keyed] {
        let relations = import(&[source("p.json", Kind::Patients, text)]).expect("a good file");
        assert_eq!(relations.patients.len(), 2);
        let consent = &relations.patients[0].1.consents[0];
        assert_eq!(consent.people, [PersonId::new("n-2")]);
        assert!(consent.labels.contains(Sensitivity::Hiv));
    }
    let people = r#"[{"id": "n-1", "roles": ["nurse"]}]"#;
    assert_eq!(
        import(&[source("p.json", Kind::People, people)])
            .expect("good")
            .people
            .len(),
        1
    );
    let empty = import(&[source("p.json", Kind::People, "[]")]).expect("good");
    assert_eq!(empty, Relations::default());
}

#[test]
fn faults_of_csv_name_line_and_column() {
    let csv = |text: &str, line: u64, column: Option<&str>, what: &str| {
        fails(Kind::People, "people.csv", text, Some(line), column, what);
    };
    csv(
        "id,roles,activ\nSECRET,nurse,no\n",
        1,
        None,
        "unknown column `activ`",
    );
    csv(
        "SECRET-1,nurse\n",
        1,
        None,
        "heading 1 names no known column",
    );
    csv(
        "id,name\nSECRET,Ada\n",
        1,
        None,
        "column `roles` is missing",
    );
    csv(
        "id;roles\nSECRET;nurse\n",
        1,
        None,
        "not separated by commas",
    );
    csv("id,roles,id\na,b,c\n", 1, Some("id"), "twice");
    csv(
        "id,roles,active\nSECRET,nurse,true\nb,nurse,SECRET\n",
        3,
        Some("active"),
        "neither",
    );
    csv(
        "id,roles,kind\nSECRET,nurse,SECRET\n",
        2,
        Some("kind"),
        "unknown kind",
    );
    csv(
        "id,roles\nSECRET,nurse,extra\n",
        2,
        None,
        "3 cells, the heading has 2",
    );
    csv("id,roles\nn-1,nurse\n\nSECRET\n", 4, None, "1 cells");
    csv("id,roles\n,nurse\n", 2, Some("id"), "empty");
    csv(
        "id,roles\n\"SECRET\nSECRET\",nurse\n",
        2,
        Some("id"),
        "control character",
    );
    csv(
        &format!("id,roles\n{},nurse\n", "x".repeat(129)),
        2,
        Some("id"),
        "longer",
    );
    csv(
        "id,roles\nSECRET,nurse\nb,nurse\nSECRET,nurse\n",
        4,
        Some("id"),
        "`people.csv` line 2",
    );
    let windows = |text: &str, column: &str, what: &str| {
        let text = format!("person,device,ticket,approved_by,starts,ends\n{text}\n");
        fails(
            Kind::VendorWindows,
            "w.csv",
            &text,
            Some(2),
            Some(column),
            what,
        );
    };
    windows("v,d,T,,tomorrow,2026-11-24", "starts", "not an instant");
    windows("v,d,T,,2026-11-24,2026-11-23", "ends", "before it starts");
    windows(
        "v,d,T,v,2026-11-22,2026-11-23",
        "approved_by",
        "the vendor approves",
    );
    let patients = |text: &str, column: Option<&str>, line: u64, what: &str| {
        fails(Kind::Patients, "p.csv", text, Some(line), column, what);
    };
    patients(
        "id,encounters\nSECRET,n-1@SECRET\n",
        Some("encounters"),
        2,
        "not an instant",
    );
    patients(
        "id,consents\nSECRET,x\n",
        Some("consents"),
        1,
        "do not fit into a cell",
    );
}

#[test]
fn faults_of_json_name_line_and_field() {
    let json = |text: &str, line: u64, column: Option<&str>, what: &str| {
        fails(Kind::Patients, "p.json", text, Some(line), column, what);
    };
    json(
        "[\n{\"id\": \"SECRET\"},\n{\"id\": \"p-2\",\n\"vpi\": true}]",
        4,
        Some("vpi"),
        "unknown field `vpi`",
    );
    json("[{\"vip\": true}]", 1, Some("id"), "missing field `id`");
    json(
        "[{\"id\": \"SECRET\",\n \"vip\": \"SECRET\"}]",
        2,
        None,
        "expected a boolean",
    );
    json("[\n{\"SECRET-17\": {}}]", 2, None, "unknown field");
    json(
        "[{\"id\": \"a\"},\n{\"id\": \"b\"},\n{\"id\": \"a\"}]",
        3,
        Some("id"),
        "line 1",
    );
    json("{\"people\": []}", 1, None, "does not hold `patients`");
    json(
        "{\"patients\": [],\n \"people\": []}",
        1,
        None,
        "and nothing else",
    );
    json("[{\"id\": \"SECRET\"}", 1, None, "too early");
    json("\n\n[{\"id\": }]", 3, None, "not valid JSON");
    json("\"SECRET\"", 1, None, "expected a sequence");
    json(
        "{\"patients\":\n {\"SECRET\": 1}}",
        2,
        None,
        "expected a sequence",
    );
    json(
        "[{\"id\": \"a\", \"encounters\": [{\"person\": \"n\", \"ended\": \"SECRET\"}]}]",
        1,
        None,
        "does not fit",
    );
    json("", 1, None, "too early");
    let deep = format!("[{}", "[".repeat(100_000));
    json(&deep, 1, None, "");
}

#[test]
fn what_is_not_text_is_refused_with_its_line() {
    let bytes = b"id,roles\nn-1,nurse\nn-2,\xff\n";
    let bad = Source {
        bytes,
        ..source("people.csv", Kind::People, "")
    };
    let error = import(&[bad]).expect_err("not UTF-8");
    assert_eq!(
        (error.line, error.what.as_str()),
        (Some(3), "the text is not UTF-8")
    );
}

#[test]
fn one_bad_file_spoils_the_whole_import() {
    let good = source("people.csv", Kind::People, PEOPLE);
    let again = source("more.csv", Kind::People, "id,roles\nn-2,nurse\nn-1,nurse\n");
    let error = import(&[good, again]).expect_err("n-1 occurs twice");
    assert_eq!((error.source.as_str(), error.line), ("more.csv", Some(3)));
    assert!(error.what.contains("`people.csv` line 2"), "{error}");
}

#[test]
fn hostile_files_do_not_panic() {
    let seeds = [
        PEOPLE,
        "[{\"id\": \"a\", \"care_team\": [\"b\"]}]",
        "{\"people\": [{\"id\": \"a\"}]}",
        "id\n\"a\n",
    ];
    let mut state = 11_u64;
    for seed in seeds {
        for _ in 0..400 {
            let mut bytes = seed.as_bytes().to_vec();
            for _ in 0..3 {
                state = state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1);
                let place = (state >> 33) as usize % bytes.len().max(1);
                match state % 3 {
                    0 => bytes.truncate(place),
                    1 => bytes.insert(place.min(bytes.len()), (state >> 20) as u8),
                    _ => bytes.extend_from_within(..place.min(bytes.len())),
                }
            }
            for kind in [
                Kind::People,
                Kind::Devices,
                Kind::Patients,
                Kind::VendorWindows,
            ] {
                for format in [Format::Csv, Format::Json] {
                    let _ = import(&[Source {
                        name: "x",
                        kind,
                        format,
                        bytes: &bytes,
                    }]);
                }
            }
        }
    }
}

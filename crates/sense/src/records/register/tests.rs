use super::super::{Context, Format, Reader, recognise};
use super::*;
use domain::observation::{Collected, Fact, SourceId};

fn read_with(text: &str, mapping: Option<Mapping>) -> (Vec<String>, Vec<Problem>, Option<Mapping>) {
    assert_eq!(recognise(text.as_bytes(), "register.csv"), Format::Csv);
    let context = Context {
        source: SourceId(0),
        at: Timestamp::from_millis(0),
    };
    let mut reader = Reader::new(Format::Csv, "register.csv", context, mapping).expect("a table");
    let mut sink = Collected::default();
    reader.push(text.as_bytes(), &mut sink);
    reader.finish(&mut sink);
    let said = sink
        .observations
        .into_iter()
        .map(|o| {
            let who = format!(
                "{}/{}/{}",
                o.about
                    .party
                    .mac
                    .map_or_else(String::new, |mac| mac.to_string()),
                o.about
                    .party
                    .addr
                    .map_or_else(String::new, |addr| addr.to_string()),
                match o.about.asset {
                    Some(Asset::Register(id)) => format!("row {id}"),
                    Some(Asset::Serial(id)) => format!("serial {id}"),
                    Some(other) => format!("{other:?}"),
                    None => String::new(),
                }
            );
            match o.fact {
                Fact::Evidence { kind, value } => format!("{who} {kind}={value}"),
                Fact::Address { .. } => format!("{who} address at {}", o.at),
                other => format!("{who} {other:?}"),
            }
        })
        .collect();
    let problems = reader.take_problems();
    let mapping = reader.mapping().cloned();
    (said, problems, mapping)
}

fn read(text: &str) -> (Vec<String>, Vec<Problem>) {
    let (said, problems, _) = read_with(text, None);
    (said, problems)
}

fn guessed(headers: &str) -> Vec<&'static str> {
    let headers: Vec<String> = headers.split(',').map(str::to_owned).collect();
    guess::columns(&headers, &[])
        .into_iter()
        .map(Column::as_str)
        .collect()
}

#[test]
fn exports_of_common_systems_are_understood() {
    for (headers, expected) in [
        // ServiceNow.
        (
            "name,asset_tag,sys_class_name,manufacturer,model_id,serial_number,ip_address,mac_address,location,install_status,assigned_to,sys_updated_by",
            vec![
                "register.name",
                "register.id",
                "register.type",
                "register.vendor",
                "register.model",
                "register.serial",
                "address",
                "mac",
                "register.place",
                "register.state",
                "ignore",
                "ignore",
            ],
        ),
        // A CMMS.
        (
            "Asset Number,Equipment Description,Manufacturer,Model,Serial Number,Department,Asset Status,PM Due Date",
            vec![
                "register.id",
                "register.type",
                "register.vendor",
                "register.model",
                "register.serial",
                "register.place",
                "register.state",
                "ignore",
            ],
        ),
        // Endpoint protection.
        (
            "Hostname,Last Seen,OS Version,Platform,Local IP,External IP,MAC Address,System Manufacturer,System Product Name,Last Logged In User",
            vec![
                "register.name",
                "last_seen",
                "register.os",
                "ignore",
                "address",
                "ignore",
                "mac",
                "register.vendor",
                "register.model",
                "ignore",
            ],
        ),
        // German.
        (
            "Inventarnummer,Gerätename,Gerätetyp,Hersteller,Modell,Seriennummer,MAC-Adresse,IP-Adresse,Standort,Zustand,Ansprechpartner",
            vec![
                "register.id",
                "register.name",
                "register.type",
                "register.vendor",
                "register.model",
                "register.serial",
                "mac",
                "address",
                "register.place",
                "register.state",
                "ignore",
            ],
        ),
        // French.
        (
            "Nom,Fabricant,Modèle,Numéro de série,Adresse MAC,Adresse IP,Emplacement,Utilisateur",
            vec![
                "register.name",
                "register.vendor",
                "register.model",
                "register.serial",
                "mac",
                "address",
                "register.place",
                "ignore",
            ],
        ),
    ] {
        assert_eq!(guessed(headers), expected, "{headers}");
    }
}

#[test]
fn columns_about_people_are_never_read() {
    for header in [
        "Patient Name",
        "MRN",
        "Date of Birth",
        "Owner",
        "Assigned To",
        "E-Mail",
        "Last Name",
        "User Name",
        "Geburtsdatum",
    ] {
        assert_eq!(guessed(header), ["ignore"], "{header}");
    }
    // Beside a column about patients a lone `Name` is a patient's.
    assert_eq!(
        guessed("Name,MRN,IP Address"),
        ["ignore", "ignore", "address"]
    );
}

#[test]
fn a_row_becomes_evidence_about_its_addresses() {
    let (said, problems) = read(
        "Asset Tag;Name;Manufacturer;Serial;MAC;IP;Last Seen;Notes\r\nA-1;Pump 7;B. Braun;S99;00-1A-2B-3C-4D-5E;10.0.0.5;22.11.2026 08:30;Jane Doe's bed\r\n",
    );
    assert_eq!(problems, []);
    assert_eq!(
        said,
        [
            "00:1a:2b:3c:4d:5e/10.0.0.5/row A-1 address at 2026-11-22T08:30:00.000Z",
            "00:1a:2b:3c:4d:5e/10.0.0.5/row A-1 register.id=A-1",
            "00:1a:2b:3c:4d:5e/10.0.0.5/row A-1 register.name=Pump 7",
            "00:1a:2b:3c:4d:5e/10.0.0.5/row A-1 register.vendor=B. Braun",
            "00:1a:2b:3c:4d:5e/10.0.0.5/row A-1 register.serial=S99",
        ]
    );
}

#[test]
fn several_addresses_in_one_cell_are_all_kept() {
    let (said, problems) = read(
        "Serial,Manufacturer,MAC,IP\nS1,Dell,\"00:1a:2b:3c:4d:5e\n00:1a:2b:3c:4d:5f\",\"10.0.0.5, fe80::1\"\nS2,,001a2b3c4d60,n/a\n",
    );
    assert_eq!(problems, []);
    assert_eq!(
        said,
        [
            "00:1a:2b:3c:4d:5e/10.0.0.5/serial Dell S1 address at 1970-01-01T00:00:00.000Z",
            "00:1a:2b:3c:4d:5f/fe80::1/serial Dell S1 address at 1970-01-01T00:00:00.000Z",
            "00:1a:2b:3c:4d:5e/10.0.0.5/serial Dell S1 register.serial=S1",
            "00:1a:2b:3c:4d:5e/10.0.0.5/serial Dell S1 register.vendor=Dell",
            "00:1a:2b:3c:4d:5f/fe80::1/serial Dell S1 register.id=Dell S1",
            "00:1a:2b:3c:4d:60//serial S2 register.serial=S2",
        ]
    );
}

#[test]
fn a_wrong_value_is_named_by_line_and_column_and_never_quoted() {
    let (said, problems) = read(
        "Asset Tag,MAC,IP\nA1,00:1a:2b:3c:4d:5e,10.0.0.5\nA2,Jane Doe 1950-01-01,10.0.0.6\nA3,00:1a:2b:3c:4d:60,10.0.0.7,surplus\n",
    );
    // What the row says otherwise is kept.
    assert!(
        said.iter()
            .any(|line| line == "/10.0.0.6/row A2 register.id=A2"),
        "{said:?}"
    );
    assert_eq!(problems.len(), 2);
    assert_eq!(
        (problems[0].line, problems[0].column.as_deref()),
        (Some(4), None)
    );
    assert_eq!(
        (problems[1].line, problems[1].column.as_deref()),
        (Some(3), Some("MAC"))
    );
    let text = format!("{problems:?}{said:?}");
    assert!(!text.contains("Jane") && !text.contains("1950"), "{text}");
}

#[test]
fn a_table_that_names_no_device_says_what_it_has() {
    let (said, problems) = read("Colour,Weight\nred,5\nblue,6\n");
    assert!(said.is_empty());
    assert!(
        problems[0].what.contains("`Colour`, `Weight`"),
        "{problems:?}"
    );
    assert!(problems[0].remedy.contains("[columns]"));
}

#[test]
fn a_given_mapping_is_followed_and_a_wrong_one_refused() {
    let mapping = Mapping {
        columns: [
            ("Wall Port".to_owned(), Column::Mac),
            (
                "Thing".to_owned(),
                Column::Evidence(EvidenceKind::RegisterType),
            ),
        ]
        .into(),
        ..Mapping::default()
    };
    let text = "thing,wall port,Serial\nscanner,00:1a:2b:3c:4d:5e,S1\n";
    let (said, problems, used) = read_with(text, Some(mapping.clone()));
    assert_eq!(said, ["00:1a:2b:3c:4d:5e// register.type=scanner"]);
    assert_eq!(problems, []);
    assert_eq!(used.map(|used| used.columns), Some(mapping.columns.clone()));
    let (said, problems, _) = read_with("thing,Serial\nscanner,S1\n", Some(mapping));
    assert!(said.is_empty());
    assert_eq!(problems[0].column.as_deref(), Some("Wall Port"));
    assert_eq!(problems[0].line, Some(1));
}

#[test]
fn a_mapping_survives_being_written_and_read() {
    let (_, _, mapping) = read_with("Asset Tag;MAC\nA1;00:1a:2b:3c:4d:5e\n", None);
    let mapping = mapping.expect("guessed");
    assert_eq!(mapping.separator, Some(';'));
    let text = serde_json::to_string(&mapping).expect("a mapping serialises");
    assert_eq!(
        serde_json::from_str::<Mapping>(&text).expect("and reads"),
        mapping
    );
    let error =
        serde_json::from_str::<Mapping>("{\"columns\":{\"A\":\"mak\"}}").expect_err("no such kind");
    assert!(error.to_string().contains("`mak`"), "{error}");
}

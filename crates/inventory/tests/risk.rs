//! Feeds from bytes to facts about devices. All data here is made.

use domain::observation::{Asset, EvidenceKind};
use domain::{Criticality, DeviceId, DeviceProfile, EvidenceRow, Timestamp};
use inventory::risk::{FeedError, FeedKind, Feeds, Import, Matched, Part, Reader, Row, read};

fn at(text: &str) -> Timestamp {
    Timestamp::parse(text).expect("a date of the test")
}

fn now() -> Timestamp {
    at("2026-11-22T12:00:00Z")
}

fn device(vendor: Option<&str>, model: Option<&str>) -> DeviceProfile {
    DeviceProfile {
        id: DeviceId::new("d"),
        macs: Vec::new(),
        addresses: Vec::new(),
        names: Vec::new(),
        category: None,
        kind: None,
        vendor: vendor.map(Into::into),
        model: model.map(Into::into),
        os: None,
        confidence: 1.0,
        abstained: false,
        contradictory: false,
        criticality: Criticality::Clinical,
        evidence: Vec::new(),
        first_seen: now(),
        last_seen: now(),
        unit: None,
        segment: None,
        behind: None,
        assets: Vec::new(),
        risks: Vec::new(),
    }
}

fn shows(mut d: DeviceProfile, kind: EvidenceKind, value: &str) -> DeviceProfile {
    d.evidence.push(EvidenceRow {
        source: "test".into(),
        kind,
        value: value.into(),
        says: "".into(),
        weight: 0.0,
        at: now(),
    });
    d
}

fn feeds(texts: &[&str]) -> Feeds {
    let mut feeds = Feeds::new();
    for (n, text) in texts.iter().enumerate() {
        let import = read(&format!("file {n}"), text.as_bytes()).unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(import.problems, [], "{text}");
        feeds.add(import, now());
    }
    feeds
}

fn matched(texts: &[&str], d: &DeviceProfile) -> Matched {
    feeds(texts).matcher().of(d, now())
}

fn ids(m: &Matched) -> Vec<&str> {
    m.risks.iter().map(|r| r.id.as_str()).collect()
}

const KEV: &str = r#"{"title":"Catalog","catalogVersion":"2026.11.20","dateReleased":"2026-11-20T14:00:00.000Z","count":3,"vulnerabilities":[
{"cveID":"CVE-2025-0001","vendorProject":"Acme Medical","product":"Pump 9000","vulnerabilityName":"Acme Pump 9000 Buffer Overflow","dateAdded":"2026-01-10","requiredAction":"Update.","dueDate":"2026-01-31"},
{"cveID":"CVE-2025-0002","vendorProject":"Acme Medical","product":"Multiple Products","vulnerabilityName":"Acme Products Hard-Coded Password","dateAdded":"2026-02-10"},
{"cveID":"CVE-2025-0003","vendorProject":"Microsoft","product":"Windows","vulnerabilityName":"Windows Something","dateAdded":"2026-03-10"}]}"#;

fn nvd(id: &str, configurations: &str) -> String {
    format!(
        r#"{{"resultsPerPage":1,"format":"NVD_CVE","version":"2.0","timestamp":"2026-11-21T00:00:00.000","vulnerabilities":[{{"cve":{{"id":"{id}","published":"2025-06-01T10:00:00.000","lastModified":"2025-07-01T10:00:00.000","vulnStatus":"Analyzed","descriptions":[{{"lang":"es","value":"no"}},{{"lang":"en","value":"A flaw in the pump."}}],"metrics":{{"cvssMetricV31":[{{"cvssData":{{"baseScore":9.8}}}}]}},"configurations":{configurations}}}}}]}}"#
    )
}

fn pump_range() -> String {
    nvd(
        "CVE-2025-0001",
        r#"[{"operator":"AND","nodes":[{"operator":"OR","negate":false,"cpeMatch":[{"vulnerable":true,"criteria":"cpe:2.3:o:acme_medical:pump_9000_firmware:*:*:*:*:*:*:*:*","versionEndExcluding":"4.2"}]},{"operator":"OR","negate":false,"cpeMatch":[{"vulnerable":false,"criteria":"cpe:2.3:h:acme_medical:pump_9000:-:*:*:*:*:*:*:*"}]}]}]"#,
    )
}

fn pump(version: Option<&str>) -> DeviceProfile {
    let d = device(Some("Acme Medical, Inc."), Some("Pump 9000"));
    match version {
        Some(v) => shows(d, EvidenceKind::LldpInventory, &format!("firmware={v}")),
        None => d,
    }
}

#[test]
fn the_same_vendor_is_no_match() {
    let other = device(Some("Acme Medical"), Some("Monitor 7"));
    assert_eq!(matched(&[KEV, &pump_range()], &other), Matched::default());
    assert_eq!(
        matched(&[KEV], &device(Some("Acme Medical"), None)),
        Matched::default()
    );
    // The same name by another maker.
    assert_eq!(
        matched(&[KEV], &device(Some("Zenith"), Some("Pump 9000"))),
        Matched::default()
    );
}

#[test]
fn version_ranges_are_honoured_and_lists_are_merged() {
    let old = matched(&[KEV, &pump_range()], &pump(Some("4.1.9")));
    assert_eq!(ids(&old), ["CVE-2025-0001"]);
    let fact = &old.risks[0];
    assert!(fact.exploited && fact.confidence > 0.9, "{fact:?}");
    assert_eq!(fact.feed, "kev, nvd");
    assert_eq!(fact.published, Some(at("2026-01-10")));
    assert!(
        fact.says.contains("4.1.9") && fact.says.contains("since 2026-01-10"),
        "{}",
        fact.says
    );

    // Mended: NVD's range takes back what the list without versions says.
    assert_eq!(
        ids(&matched(&[KEV, &pump_range()], &pump(Some("4.2")))),
        Vec::<&str>::new()
    );
    // Not known: said, but with little confidence.
    let unknown = matched(&[KEV, &pump_range()], &pump(None));
    assert_eq!(ids(&unknown), ["CVE-2025-0001"]);
    assert!(
        (0.3..0.5).contains(&unknown.risks[0].confidence),
        "{:?}",
        unknown.risks
    );
    assert!(
        unknown.risks[0].says.contains("may be affected"),
        "{}",
        unknown.risks[0].says
    );
    // Two firmware versions that disagree are no knowledge either.
    let both = shows(
        pump(Some("4.1.9")),
        EvidenceKind::LldpInventory,
        "firmware=5.0",
    );
    assert!(
        matched(&[KEV, &pump_range()], &both)
            .risks
            .iter()
            .all(|r| r.confidence < 0.5)
    );
}

#[test]
fn nothing_is_surer_than_what_the_device_is_taken_for() {
    let mut d = pump(Some("4.1"));
    d.confidence = 0.4;
    assert!(
        matched(&[&pump_range()], &d)
            .risks
            .iter()
            .all(|r| r.confidence <= 0.4)
    );
    d.confidence = 0.1;
    assert_eq!(matched(&[&pump_range()], &d).risks, []);
    // A register's word is somebody's word.
    let d = shows(
        shows(d, EvidenceKind::RegisterVendor, "Acme Medical"),
        EvidenceKind::RegisterModel,
        "Pump 9000",
    );
    assert!(matched(&[&pump_range()], &d).risks[0].confidence > 0.8);
}

#[test]
fn a_list_that_names_only_a_system_is_undecided_not_guessed() {
    let mut d = device(None, None);
    d.os = Some("Windows 10 22H2".into());
    let m = matched(&[KEV], &d);
    assert_eq!(m.risks, []);
    assert_eq!((m.undecided.rows, m.undecided.exploited), (1, 1));
    assert_eq!(m.undecided.example.as_deref(), Some("CVE-2025-0003"));

    let row = nvd(
        "CVE-2025-0003",
        r#"[{"nodes":[{"operator":"OR","cpeMatch":[{"vulnerable":true,"criteria":"cpe:2.3:o:microsoft:windows_10_22h2:*:*:*:*:*:*:x64:*","versionEndExcluding":"10.0.19045.3448"}]}]}]"#,
    );
    let build = |b: &str| {
        matched(
            &[KEV, &row],
            &shows(d.clone(), EvidenceKind::NtlmVersion, b),
        )
    };
    // The build without its revision cannot tell.
    assert_eq!(ids(&build("10.0.19045")), Vec::<&str>::new());
    assert_eq!(build("10.0.19045").undecided.rows, 1);
    assert_eq!(ids(&build("10.0.19045.3000")), ["CVE-2025-0003"]);
    assert_eq!(build("10.0.19045.3448").risks, []);
    assert_eq!(build("10.0.19045.3448").undecided.rows, 0);
}

#[test]
fn a_program_that_needs_another_platform_is_left_out() {
    let row = nvd(
        "CVE-2025-0009",
        r#"[{"operator":"AND","nodes":[{"operator":"OR","cpeMatch":[{"vulnerable":true,"criteria":"cpe:2.3:o:acme_medical:pump_9000_firmware:*:*:*:*:*:*:*:*"}]},{"operator":"OR","cpeMatch":[{"vulnerable":false,"criteria":"cpe:2.3:h:acme_medical:dock_2:-:*:*:*:*:*:*:*"}]}]}]"#,
    );
    assert_eq!(matched(&[&row], &pump(Some("1.0"))).risks, []);
}

#[test]
fn banners_match_with_at_most_half_the_confidence() {
    let row = nvd(
        "CVE-2021-0001",
        r#"[{"nodes":[{"operator":"OR","cpeMatch":[{"vulnerable":true,"criteria":"cpe:2.3:a:f5:nginx:*:*:*:*:*:*:*:*","versionStartIncluding":"0.6.18","versionEndExcluding":"1.20.1"}]}]}]"#,
    );
    let d = shows(
        device(None, None),
        EvidenceKind::HttpServer,
        "nginx/1.18.0 (Ubuntu)",
    );
    let m = matched(&[&row], &d);
    assert_eq!(ids(&m), ["CVE-2021-0001"]);
    assert!(m.risks[0].confidence <= 0.5 && m.risks[0].says.contains("banner"));
    let d = shows(device(None, None), EvidenceKind::HttpServer, "nginx/1.24.0");
    assert_eq!(matched(&[&row], &d).risks, []);
}

const CSAF: &str = r#"{"document":{"category":"csaf_security_advisory","csaf_version":"2.0","title":"Acme pumps","publisher":{"category":"vendor","name":"Acme Medical"},"tracking":{"id":"ACME-2026-1","initial_release_date":"2026-04-01T00:00:00Z","current_release_date":"2026-05-01T00:00:00Z"}},
"product_tree":{"branches":[{"category":"vendor","name":"Acme Medical","branches":[{"category":"product_name","name":"Pump 9000","branches":[
{"category":"product_version_range","name":"vers:generic/<4.2","product":{"name":"Acme Pump 9000 <4.2","product_id":"P1"}},
{"category":"product_version","name":"4.2","product":{"name":"Acme Pump 9000 4.2","product_id":"P2"}}]},
{"category":"product_name","name":"Dock 2","product":{"name":"Acme Dock 2","product_id":"P3"}}]}]},
"vulnerabilities":[{"cve":"CVE-2025-0001","title":"Overflow","product_status":{"known_affected":["P1"],"fixed":["P2"],"known_not_affected":["P3"]},"remediations":[{"category":"vendor_fix","details":"Update to 4.2."}],"scores":[{"products":["P1"],"cvss_v3":{"baseScore":9.1}}]}]}"#;

#[test]
fn an_advisory_is_read_and_what_it_exonerates_stays_exonerated() {
    assert_eq!(
        ids(&matched(&[CSAF], &pump(Some("4.1")))),
        ["CVE-2025-0001"]
    );
    assert_eq!(matched(&[CSAF], &pump(Some("4.2"))).risks, []);
    let dock = nvd(
        "CVE-2025-0001",
        r#"[{"nodes":[{"operator":"OR","cpeMatch":[{"vulnerable":true,"criteria":"cpe:2.3:h:acme_medical:dock_2:*:*:*:*:*:*:*:*"}]}]}]"#,
    );
    let d = device(Some("Acme Medical"), Some("Dock 2"));
    assert_eq!(ids(&matched(&[&dock], &d)), ["CVE-2025-0001"]);
    assert_eq!(matched(&[&dock, CSAF], &d).risks, []);
}

#[test]
fn cve_records_alone_in_lists_and_in_lines_are_read() {
    let record = r#"{"dataType":"CVE_RECORD","dataVersion":"5.1","cveMetadata":{"cveId":"CVE-2026-7","state":"PUBLISHED","datePublished":"2026-07-01T00:00:00.000Z"},"containers":{"cna":{"title":"Acme pump opens","affected":[{"vendor":"Acme Medical","product":"Pump 9000","defaultStatus":"unaffected","versions":[{"version":"3.0","status":"affected","lessThan":"4.0","versionType":"custom"}]}],"descriptions":[{"lang":"en","value":"x"}]},"adp":[{"metrics":[{"other":{"type":"kev","content":{"dateAdded":"2026-08-01"}}}]}]}}"#;
    for text in [
        record.to_owned(),
        format!("[{record}]"),
        format!("{record}\n{record}\n"),
    ] {
        let m = matched(&[&text], &pump(Some("3.5")));
        assert_eq!(ids(&m), ["CVE-2026-7"]);
        assert!(m.risks[0].exploited);
        assert_eq!(matched(&[&text], &pump(Some("2.9"))).risks, []);
        assert_eq!(matched(&[&text], &pump(Some("4.0"))).risks, []);
    }
}

const OPENSSL: &str = r#"[{"nodes":[{"operator":"OR","cpeMatch":[{"vulnerable":true,"criteria":"cpe:2.3:a:openssl:openssl:*:*:*:*:*:*:*:*","versionStartIncluding":"1.0.1","versionEndExcluding":"1.0.1g"}]}]}]"#;

fn cyclone(vex: &str) -> String {
    format!(
        r#"{{"components":[{{"type":"library","name":"openssl","version":"1.0.1c","cpe":"cpe:2.3:a:openssl:openssl:1.0.1c:*:*:*:*:*:*:*"}},{{"type":"library","name":"zlib","version":"1.2.8"}}],"bomFormat":"CycloneDX","specVersion":"1.5","metadata":{{"timestamp":"2026-01-01T00:00:00Z","component":{{"type":"device","name":"Pump 9000","version":"4.1","supplier":{{"name":"Acme Medical"}}}}}}{vex}}}"#
    )
}

const SPDX: &str = "SPDXVersion: SPDX-2.3\nDocumentName: pump-sbom\nCreated: 2026-01-01T00:00:00Z\nCreatorComment: <text>two\nlines: here</text>\nRelationship: SPDXRef-DOCUMENT DESCRIBES SPDXRef-Pump\n\nPackageName: Pump 9000\nSPDXID: SPDXRef-Pump\nPackageVersion: 4.1\nPackageSupplier: Organization: Acme Medical (security@example.org)\n\nPackageName: openssl\nSPDXID: SPDXRef-ssl\nPackageVersion: 1.0.1c\nExternalRef: SECURITY cpe23Type cpe:2.3:a:openssl:openssl:1.0.1c:*:*:*:*:*:*:*\n";

const SPDX_JSON: &str = r#"{"spdxVersion":"SPDX-2.3","SPDXID":"SPDXRef-DOCUMENT","name":"pump","creationInfo":{"created":"2026-01-01T00:00:00Z"},"packages":[{"SPDXID":"SPDXRef-a","name":"Pump 9000","versionInfo":"4.1","supplier":"Organization: Acme Medical"},{"SPDXID":"SPDXRef-b","name":"openssl","versionInfo":"1.0.1c","externalRefs":[{"referenceCategory":"SECURITY","referenceType":"cpe23Type","referenceLocator":"cpe:2.3:a:openssl:openssl:1.0.1c:*:*:*:*:*:*:*"}]}],"relationships":[{"spdxElementId":"SPDXRef-DOCUMENT","relationshipType":"DESCRIBES","relatedSpdxElement":"SPDXRef-a"}]}"#;

#[test]
fn components_of_a_bill_of_materials_are_matched_by_version() {
    let row = nvd("CVE-2014-0160", OPENSSL);
    for bill in [cyclone("").as_str(), SPDX, SPDX_JSON] {
        let m = matched(&[&row, bill], &pump(Some("4.1")));
        assert_eq!(ids(&m), ["CVE-2014-0160"], "{bill}");
        assert!(
            m.risks[0].says.contains("openssl 1.0.1c") && m.risks[0].confidence <= 0.8,
            "{:?}",
            m.risks
        );
        assert_eq!(m.documents.len(), 1);
        assert_eq!(m.documents[0].version_agrees, Some(true));
        // Another device of the same maker has another bill.
        assert_eq!(
            matched(
                &[&row, bill],
                &device(Some("Acme Medical"), Some("Monitor 7"))
            ),
            Matched::default()
        );
    }
    // Mended component.
    let mended = cyclone("").replace("1.0.1c", "1.0.1g");
    assert_eq!(matched(&[&row, &mended], &pump(None)).risks, []);
    // The maker says that it does not matter here.
    let vex = cyclone(
        r#","vulnerabilities":[{"id":"CVE-2014-0160","analysis":{"state":"not_affected"}}]"#,
    );
    assert_eq!(matched(&[&row, &vex], &pump(None)).risks, []);
}

const MDS2: &str = "Manufacturer Disclosure Statement,,,\nDOC-1,Manufacturer Name,,Acme Medical\nDOC-3,Device Model,,Pump 9000\nDOC-7,Document Release Date,,2025-03-01\nMPII-1,Can this device display or store personally identifiable information?,,Yes\nMLDP-1,Is the device capable of hosting anti-malware?,,No\nSBOM-1,Is a bill of materials available?,,See Note,on request\n";

#[test]
fn a_disclosure_is_found_for_its_model() {
    let m = matched(&[MDS2], &pump(None));
    assert_eq!(m.documents.len(), 1);
    assert_eq!(
        (m.documents[0].kind, m.documents[0].answered_no),
        (FeedKind::Mds2, 1)
    );
    assert_eq!(
        matched(&[MDS2], &device(Some("Acme Medical"), Some("Monitor 7"))).documents,
        []
    );
    // Other delimiters, other empty columns.
    assert_eq!(
        matched(&[&MDS2.replace(",,", ";;").replace(',', ";")], &pump(None))
            .documents
            .len(),
        1
    );
}

fn recalls(codes: &str, status: &str) -> String {
    format!(
        r#"{{"meta":{{"last_updated":"2026-11-18"}},"results":[{{"product_res_number":"Z-0101-2026","recalling_firm":"Acme Medical, Inc.","product_description":"Acme Pump 9000 large volume infusion pump, REF 12","reason_for_recall":"The door may open.","code_info":"{codes}","recall_status":"{status}","event_date_initiated":"2026-08-10"}}]}}"#
    )
}

#[test]
fn recalls_match_by_serial_by_identifier_and_by_model() {
    let serial = |s: &str| {
        let mut d = pump(None);
        d.assets
            .push(Asset::Serial(format!("Acme Medical/{s}").into()));
        d
    };
    let listed = recalls(
        "Serial Numbers: 7700123, 7700124; UDI-DI: 00812345678901",
        "Ongoing",
    );
    let m = matched(&[&listed], &serial("7700124"));
    assert_eq!(ids(&m), ["Z-0101-2026"]);
    assert!(
        m.risks[0].confidence > 0.9 && m.risks[0].says.contains("serial number"),
        "{:?}",
        m.risks
    );
    // A unit that is known not to be on the list is not recalled, whatever its model or UDI.
    let mut other = serial("7700999");
    other.assets.push(Asset::Udi("(01)00812345678901".into()));
    assert_eq!(matched(&[&listed], &other).risks, []);
    // Without a serial number the identifier or the model has to do, and says so.
    let mut udi = pump(None);
    udi.assets
        .push(Asset::Udi("(01)00812345678901(17)290101".into()));
    assert!(matched(&[&listed], &udi).risks[0].says.contains("UDI"));
    let by_model = matched(&[&listed], &pump(None));
    assert!(
        by_model.risks[0].confidence <= 0.5 && by_model.risks[0].says.contains("looked up"),
        "{:?}",
        by_model.risks
    );
    assert!(
        matched(
            &[&recalls("All serial numbers", "Ongoing")],
            &serial("1234567")
        )
        .risks[0]
            .confidence
            > 0.8
    );
    // Over: only for a unit that is listed, and with half the confidence.
    let over = recalls("Serial Numbers: 7700123", "Terminated");
    assert!(matched(&[&over], &serial("7700123")).risks[0].confidence < 0.5);
    assert_eq!(matched(&[&over], &pump(None)).risks, []);
    assert_eq!(
        matched(&[&listed], &device(Some("Acme Medical"), Some("Pump 900"))).risks,
        []
    );
    // As CSV.
    let csv = "recall_number,recalling_firm,product_description,reason_for_recall,code_info,status,recall_initiation_date\nZ-1-2026,Acme Medical,\"Pump 9000, large volume\",Door,\"All units\",Ongoing,20260810\n";
    assert_eq!(ids(&matched(&[csv], &pump(None))), ["Z-1-2026"]);
}

#[test]
fn systems_past_their_date_are_named_with_their_source() {
    let feeds = Feeds::shipped();
    let matcher = feeds.matcher();
    let end = |os: &str, now: &str| {
        let mut d = device(None, None);
        d.os = Some(os.into());
        matcher
            .of(&d, at(now))
            .risks
            .first()
            .map(|r| (r.confidence, r.says.to_string()))
    };
    for (os, day) in [
        ("Windows 7", "2020-01-14"),
        ("Microsoft Windows 7 Professional SP1", "2020-01-14"),
        ("Windows Embedded Standard 7", "2020-10-13"),
        ("Windows Server 2008 R2", "2020-01-14"),
        ("Windows 10 22H2", "2025-10-14"),
        ("Windows 10 Pro", "2025-10-14"),
        ("Ubuntu 16.04.7 LTS", "2021-04-02"),
        ("Debian GNU/Linux 9 (stretch)", "2022-07-01"),
        ("CentOS Linux 7.9.2009", "2024-06-30"),
        ("Windows XP", "2014-04-08"),
    ] {
        let (confidence, says) = end(os, "2026-11-22").unwrap_or_else(|| panic!("{os}"));
        assert!(
            says.contains(day) && says.contains("https://"),
            "{os}: {says}"
        );
        assert!(confidence >= 0.5, "{os}: {confidence}");
        assert_eq!(end(os, "2009-01-01"), None, "{os}");
    }
    for os in [
        "Windows 11 24H2",
        "Ubuntu 24.04",
        "Debian 12.7",
        "Red Hat Enterprise Linux 8.7",
        "Windows Server 2022",
        "Windows 10 IoT Enterprise LTSC 2021",
        "VxWorks 6.9",
        "Linux 3.10",
    ] {
        assert_eq!(end(os, "2026-11-22"), None, "{os}");
    }
    // LTSC without a year may be any: hardly sure.
    assert!(end("Windows 10 LTSC", "2026-11-22").is_some_and(|(c, _)| c <= 0.3));
    // Only a build: the edition that lasts longest decides.
    let build = |b: &str| {
        matcher
            .of(
                &shows(device(None, None), EvidenceKind::NtlmVersion, b),
                now(),
            )
            .risks
            .len()
    };
    assert_eq!(build("6.1.7601"), 1);
    assert_eq!(build("10.0.14393"), 0);
    assert_eq!(build("10.0.19045"), 1);
}

#[test]
fn bad_rows_are_counted_with_their_place_and_the_rest_is_read() {
    let text = r#"{"catalogVersion":"x","vulnerabilities":[
{"cveID":"CVE-1-1","vendorProject":"A","product":"B","dateAdded":"2026-01-01"},
{"cveID":7},
{"cveID":"CVE-1-2","vendorProject":"A","product":"B","dateAdded":"tomorrow"},
{"cveID":"CVE-1-3","vendorProject":"A","product":"B","dateAdded":"2026-01-03"},
{"cveID":"CVE-1-4","vendor"#;
    let import = read("kev.json", text.as_bytes()).expect("two rows are usable");
    assert_eq!(
        (import.kind, import.counts.kept, import.counts.bad),
        (FeedKind::Kev, 2, 3)
    );
    let lines: Vec<u64> = import.problems.iter().map(|p| p.line).collect();
    assert_eq!(lines, [3, 4, 6]);
    assert!(
        import.problems[1]
            .to_string()
            .contains("`tomorrow` is not a date")
    );
    // Whatever the chunks.
    for step in [1, 7, 4096] {
        let mut reader = Reader::new("kev.json");
        for chunk in text.as_bytes().chunks(step) {
            reader.push(chunk);
        }
        assert_eq!(reader.finish().expect("as before"), import, "{step}");
    }
}

#[test]
fn what_cannot_be_read_says_what_to_do() {
    let hint = |bytes: &[u8]| match read("f", bytes) {
        Err(FeedError::Unrecognised { hint, .. }) => hint,
        other => panic!("{other:?}"),
    };
    assert!(hint(b"").contains("empty"));
    assert!(hint(b"\x1f\x8b\x08").contains("unpack"));
    assert!(hint(b"PK\x03\x04").contains("CSV"));
    assert!(hint(b"<bom xmlns=").contains("JSON"));
    assert!(hint(b"%PDF-1.7").contains("workbook"));
    assert!(hint(b"\xff\xfe{\x00").contains("UTF-8"));
    assert!(hint(b"hello").contains("KEV"));
    assert!(hint(b"a,b\n1,2\n").contains("KEV"));
    assert!(hint(b"{\"a\":1}").contains("KEV"));
    assert!(matches!(
        read(
            "f",
            b"{\"catalogVersion\":\"x\",\"vulnerabilities\":[{\"cveID\":1}]}"
        ),
        Err(FeedError::NothingUsable { bad: 1, .. })
    ));
    let toml = read("eol.toml", b"[[product]]\nname = \"X 1\"\nends = \"2020-01-01\"\nsource = \"https://example.org\"\n\n[[product]]\nname = \"Y\"\nends = \"soon\"\nsource = \"https://example.org\"\n").expect("one is usable");
    assert_eq!(
        (toml.counts.kept, toml.counts.bad, toml.problems[0].line),
        (1, 1, 6)
    );
}

#[test]
fn feeds_age_are_replaced_and_survive_the_store() {
    let mut feeds = feeds(&[KEV, MDS2]);
    let status = feeds.status(now());
    let kev = status
        .iter()
        .find(|s| s.kind == FeedKind::Kev)
        .expect("added");
    assert_eq!((kev.age_days, kev.stale, kev.rows), (1, false, 3));
    assert!(
        feeds
            .status(at("2026-12-24"))
            .iter()
            .any(|s| s.kind == FeedKind::Kev && s.stale)
    );
    // A form does not age by itself.
    assert!(
        feeds
            .status(at("2036-01-01"))
            .iter()
            .any(|s| s.kind == FeedKind::Mds2 && !s.stale)
    );
    let again: Import = read("file 0", KEV.as_bytes()).expect("as before");
    feeds.add(again, now());
    assert_eq!(feeds.iter().count(), 2);
    let text = serde_json::to_string(&feeds).expect("plain data");
    let back: Feeds = serde_json::from_str(&text).expect("what was written");
    assert_eq!(back, feeds);
    assert!(feeds.remove(FeedKind::Kev, "file 0") && !feeds.remove(FeedKind::Kev, "file 0"));
}

#[test]
fn the_shipped_table_is_read_whole() {
    let feeds = Feeds::shipped();
    let feed = feeds.iter().next().expect("one");
    assert_eq!((feed.import.counts.bad, feed.import.problems.len()), (0, 0));
    assert!(feed.import.rows.len() > 60);
}

#[test]
fn rows_say_which_part_they_name() {
    let import = read("n", pump_range().as_bytes()).expect("valid");
    let Row::Vulnerability(v) = &import.rows[0] else {
        panic!("{:?}", import.rows)
    };
    assert_eq!(v.affects[0].name.part, Part::System);
    assert_eq!(v.affects[0].on[0].part, Part::Hardware);
    assert_eq!(v.severity, Some(9.8));
}

mod hostile {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]

        #[test]
        fn damaged_feeds_never_panic_and_match_without_panic(which in 0_usize..7, cuts in proptest::collection::vec((any::<u16>(), any::<u8>()), 0..12), step in 1_usize..500, end in any::<u16>()) {
            let nvd = nvd("CVE-2014-0160", OPENSSL);
            let cyclone = cyclone("");
            let recalls = recalls("Serial Numbers: 7700123", "Ongoing");
            let texts = [KEV, &nvd, CSAF, &cyclone, SPDX, MDS2, &recalls];
            let mut bytes = texts[which].as_bytes().to_vec();
            for (at, byte) in cuts {
                let n = usize::from(at) % bytes.len();
                bytes[n] = byte;
            }
            bytes.truncate(usize::from(end) % (bytes.len() + 1) + bytes.len() / 2);
            let mut reader = Reader::new("damaged");
            for chunk in bytes.chunks(step) {
                reader.push(chunk);
            }
            if let Ok(import) = reader.finish() {
                let counts = import.counts;
                prop_assert_eq!(counts.read, counts.kept + counts.bad + counts.passed_over + counts.cut);
                let mut feeds = Feeds::new();
                feeds.add(import, now());
                for risk in feeds.matcher().of(&pump(Some("4.1")), now()).risks {
                    prop_assert!((0.3..=1.0).contains(&risk.confidence));
                    prop_assert!(risk.says.len() <= 600 && !risk.says.contains('\n'));
                }
            }
        }

        #[test]
        fn any_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600), head in prop_oneof![Just(""), Just("{"), Just("["), Just("cveID,dateAdded\n"), Just("SPDXVersion: SPDX-2.3\n"), Just("[[product]]\n"), Just("DOC-1,Manufacturer Name,x\n")]) {
            let mut all = head.as_bytes().to_vec();
            all.extend(bytes);
            let _ = read("any", &all);
        }

        #[test]
        fn any_device_is_matched_without_panic(vendor in ".{0,20}", model in ".{0,30}", os in ".{0,30}", value in ".{0,40}", kind in 0_usize..EvidenceKind::ALL.len()) {
            let mut d = device(Some(&vendor), Some(&model));
            d.os = Some(os.into());
            d.assets.push(Asset::Udi(value.as_str().into()));
            d.assets.push(Asset::Serial(value.as_str().into()));
            let d = shows(d, EvidenceKind::ALL[kind], &value);
            let mut feeds = feeds(&[KEV, CSAF, MDS2]);
            for f in Feeds::shipped().iter() {
                feeds.add(f.import.clone(), f.imported);
            }
            let _ = feeds.matcher().of(&d, now());
        }
    }
}

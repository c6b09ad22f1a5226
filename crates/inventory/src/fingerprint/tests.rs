use super::*;
use domain::EvidenceKind;

const PUMP: &str = r#"<pack>
  <!-- an example -->
  <fingerprints matches="dicom.implementation_version" source="a conformance statement" verified="true">
    <fingerprint pattern="^ACME_(?:PUMP|P)_(\d+)$" flags="REG_ICASE" certainty="0.9">
      <description>Pumps &amp; more</description>
      <example hw.version="12" hw.model="P12">acme_pump_12</example>
      <example _encoding="base64">QUNNRV9QXzc=</example>
      <param pos="0" name="hw.vendor" value="Acme"/>
      <param pos="0" name="hw.device" value="Infusion Pump"/>
      <param pos="0" name="hw.model" value="P{hw.version}"/>
      <param pos="1" name="hw.version"/>
    </fingerprint>
  </fingerprints>
  <fingerprints matches="http.server">
    <fingerprint pattern="^Thing/([\d.]+)$">
      <description>Thing</description>
      <example>Thing/1.0</example>
      <param pos="0" name="hw.device" value="Printer"/>
    </fingerprint>
  </fingerprints>
</pack>"#;

#[test]
fn a_pack_says_what_its_fingerprints_match() {
    let pack = Pack::parse("pump.xml", PUMP.as_bytes()).expect("a pack");
    assert_eq!(pack.len(), 2);
    for result in pack.test() {
        assert_eq!(result.failure, None, "{}", result.example);
    }
    let found = pack.databases()[0]
        .find(EvidenceKind::DicomImplementationVersion, "ACME_PUMP_3")
        .expect("it matches");
    let claim = Claim::of(&found);
    assert_eq!(claim.says(), "type=infusion_pump vendor=Acme model=P3");
    assert!(claim.verified);
    assert_eq!(claim.certainty, 0.9);
    assert_eq!(found.fingerprint.description, "Pumps & more");
    assert!(
        pack.databases()[0]
            .find(EvidenceKind::HttpServer, "ACME_PUMP_3")
            .is_none()
    );
}

#[test]
fn a_fingerprint_without_a_verified_source_counts_at_most_so_much() {
    let pack = Pack::parse("pump.xml", PUMP.as_bytes()).expect("a pack");
    let found = pack.databases()[1]
        .find(EvidenceKind::HttpServer, "Thing/2")
        .expect("it matches");
    let claim = Claim::of(&found);
    assert!(!claim.verified);
    assert_eq!(claim.certainty, UNVERIFIED_MAX);
}

#[test]
fn a_wrong_example_and_a_wrong_pattern_are_failures() {
    let text = r#"<fingerprints matches="http.server">
      <fingerprint pattern="^a(b)$"><description>1</description>
        <example>ac</example><example x="c">ab</example><param pos="1" name="x"/></fingerprint>
      <fingerprint pattern="("><description>2</description><param pos="0" name="x" value="y"/></fingerprint>
    </fingerprints>"#;
    let pack = Pack::parse("wrong.xml", text.as_bytes()).expect("well-formed");
    let failures: Vec<_> = pack
        .test()
        .into_iter()
        .filter_map(|result| result.failure)
        .collect();
    assert_eq!(failures.len(), 3, "{failures:?}");
    assert_eq!(failures[0], "does not match its pattern");
    assert_eq!(failures[1], "gives x=`b` in place of `c`");
    assert!(failures[2].starts_with("its pattern is wrong"));
}

#[test]
fn a_text_that_is_no_pack_is_refused_with_its_line() {
    let error = |text: &str| Pack::parse("x.xml", text.as_bytes()).expect_err("no pack");
    assert_eq!(
        error("<fingerprints>\n<fingerprint/></fingerprints>").to_string(),
        "`x.xml` line 2: `fingerprint` has no `pattern`"
    );
    for text in [
        "<a/>",
        "<fingerprints><fingerprint pattern='a'>",
        "<fingerprint pattern='a'/>",
        "<fingerprints><fingerprint pattern='a' flags='X'/></fingerprints>",
        "<fingerprints><fingerprint pattern='a'><param pos='0' name='b'/></fingerprint></fingerprints>",
        "",
        "hello",
    ] {
        error(text);
    }
    assert!(Pack::parse("x", &[0xff, 0xfe]).is_err());
    let huge = vec![b' '; PACK_BYTES_MAX + 1];
    assert!(Pack::parse("x", &huge).is_err());
    let deep = "<a>".repeat(10_000);
    assert!(Pack::parse("x", deep.as_bytes()).is_err());
}

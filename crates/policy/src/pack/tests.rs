use super::*;

fn compile(policies: &[(&str, &str)]) -> Result<PolicyPack, PackError> {
    PolicyPack::compile(PackSource {
        name: "test".to_owned(),
        schema: hospital::source().schema,
        policies: policies
            .iter()
            .map(|(f, t)| ((*f).to_owned(), (*t).to_owned()))
            .collect(),
    })
}

fn refused(text: &str, line: usize, part: &str) {
    match compile(&[("a.cedar", text)]) {
        Ok(_) => panic!("accepted:\n{text}"),
        Err(e) => {
            assert_eq!((e.file.as_str(), e.line), ("a.cedar", line), "{e}");
            assert!(e.message.contains(part), "{e}");
            assert!(!e.remedy.is_empty(), "{e}");
        }
    }
}

#[test]
fn the_built_in_pack_compiles_and_nothing_in_it_needs_cedar_to_evaluate() {
    let pack = match PolicyPack::compile(hospital::source()) {
        Ok(pack) => pack,
        Err(e) => panic!("{e}"),
    };
    assert!(pack.policy_count() > 50);
    assert_eq!(pack.engine().uncompiled(), 0);
    assert_eq!(pack.hash().len(), 64);
    assert_eq!(pack.hash(), PolicyPack::hospital().hash());
}

#[test]
fn every_file_of_the_folder_is_built_in() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../packs/hospital/policies");
    let mut there: Vec<String> = std::fs::read_dir(folder)
        .expect("the pack's folder")
        .map(|e| {
            format!(
                "policies/{}",
                e.expect("an entry").file_name().to_string_lossy()
            )
        })
        .collect();
    there.sort();
    let built_in: Vec<String> = hospital::source()
        .policies
        .into_iter()
        .map(|(f, _)| f)
        .collect();
    assert_eq!(there, built_in);
}

#[test]
fn a_policy_without_id_or_reason_is_refused() {
    refused("\n\npermit (principal, action, resource);", 3, "no @id");
    refused(
        "@id(\"x\") permit (principal, action, resource);",
        1,
        "no @reason",
    );
    refused(
        "@id(\"No Kebab\") forbid (principal, action, resource);",
        1,
        "kebab-case",
    );
    refused(
        "@id(\"x\") @reason(\" \") permit (principal, action, resource);",
        1,
        "empty",
    );
    refused(
        "@id(\"x\") @obligatoin(\"a\") forbid (principal, action, resource);",
        1,
        "@obligatoin",
    );
    refused(
        "@id(\"x\") @obligation(\"a,,b\") forbid (principal, action, resource);",
        1,
        "obligation",
    );
    refused(
        "@id(\"x\") @otherwise(\"a: b.\") forbid (principal, action, resource);",
        1,
        "@otherwise",
    );
    refused(
        "@id(\"x\") @reason(\"r\") @otherwise(\"no code\") permit (principal, action, resource);",
        1,
        "@otherwise",
    );
    refused(
        "@id(\"x\") @reason(\"r\") @grant_secs(\"1\") permit (principal, action, resource);",
        1,
        "duration",
    );
}

#[test]
fn syntax_and_validation_errors_name_their_line() {
    refused(
        "@id(\"x\")\nforbid (principal, action, resource)\nwhen { context.risk >= };",
        3,
        "unexpected",
    );
    refused(
        "@id(\"x\")\nforbid (principal, action, resource)\nwhen { context.rsk >= 3 };",
        3,
        "rsk",
    );
    refused(
        "@id(\"y\") forbid (principal, action, resource);\n\n@id(\"x\")\nforbid (principal is Werkforce, action, resource);",
        4,
        "Werkforce",
    );
    refused(
        "@id(\"x\") forbid (principal, action == Action::\"fhir:raed\", resource);",
        1,
        "fhir:raed",
    );
    refused(
        "@id(\"x\") @reason(\"r\") permit (principal, action, resource)\nwhen { context.purpose == 3 };",
        2,
        "type",
    );
    // An optional fact must be asked for before it is used.
    refused(
        "@id(\"x\") forbid (principal, action, resource)\nwhen { context.device.managed };",
        2,
        "device",
    );
    // A policy that can never apply is a mistake.
    refused(
        "@id(\"x\") forbid (principal, action == Action::\"hl7:send\", resource is WebPage);",
        1,
        "x",
    );
    refused(
        "@id(\"x\") forbid (principal == ?principal, action, resource);",
        1,
        "template",
    );
}

#[test]
fn an_id_is_used_once() {
    let one = "@id(\"x\") forbid (principal, action, resource);";
    let error = compile(&[("a.cedar", one), ("b.cedar", one)]).expect_err("twice");
    assert_eq!(error.file, "b.cedar");
    assert!(error.message.contains("a.cedar:1"), "{error}");
}

#[test]
fn risk_can_only_narrow() {
    let permit = |when: &str| {
        format!("@id(\"x\") @reason(\"r\") permit (principal, action, resource) {when};")
    };
    let forbid = |when: &str| format!("@id(\"x\") forbid (principal, action, resource) {when};");
    for good in [
        permit("when { context.risk < 50 }"),
        permit("when { 50 >= context.risk }"),
        permit("unless { context.risk > 50 }"),
        forbid("when { context.risk >= 50 && context.purpose == \"TREAT\" }"),
        forbid("unless { context.risk < 50 || principal.active }"),
    ] {
        assert!(compile(&[("a.cedar", &good)]).is_ok(), "{good}");
    }
    for bad in [
        permit("when { context.risk > 50 }"),
        permit("when { context.risk == 50 }"),
        permit("unless { context.risk < 50 }"),
        forbid("when { context.risk < 50 }"),
        forbid("unless { context.risk >= 50 }"),
        forbid("when { context.risk + 1 > 50 }"),
        forbid("when { (if context.risk > 3 then 1 else 2) > 1 }"),
    ] {
        refused(&bad, 1, "risk");
    }
}

#[test]
fn ages_are_compared_with_numbers_so_that_their_end_is_known() {
    let forbid =
        |when: &str| format!("@id(\"x\") forbid (principal, action, resource) when {{ {when} }};");
    refused(&forbid("context.authentication.ageSecs * 2 > 50"), 1, "age");
    refused(
        &forbid("context.authentication.ageSecs > context.authentication.idleSecs"),
        1,
        "age",
    );
    refused(
        &forbid(
            "context.authentication == {ageSecs: 1, idleSecs: 1, level: 1, phishingResistant: true}",
        ),
        1,
        "record",
    );
    assert!(compile(&[("a.cedar", &forbid("300 < context.authentication.ageSecs"))]).is_ok());
}

#[test]
fn a_schema_that_does_not_fit_the_facts_is_refused() {
    let schema = hospital::source()
        .schema
        .replace("risk: Long,", "risk: Long,\n    moonPhase: Long,");
    let source = PackSource {
        name: "t".to_owned(),
        schema,
        policies: Vec::new(),
    };
    let error = PolicyPack::compile(source).expect_err("nobody provides the phase of the moon");
    assert_eq!(error.file, "schema.cedarschema");
    assert!(error.message.contains("does not fit"), "{error}");
    let source = PackSource {
        name: "t".to_owned(),
        schema: "entity X;;".to_owned(),
        policies: Vec::new(),
    };
    let error = PolicyPack::compile(source).expect_err("no schema");
    assert_eq!(
        (error.file.as_str(), error.line),
        ("schema.cedarschema", 1),
        "{error}"
    );
}

#[test]
fn the_hash_is_that_of_the_whole_source() {
    let one = compile(&[(
        "a.cedar",
        "@id(\"x\") forbid (principal, action, resource);",
    )])
    .expect("valid");
    let other = compile(&[(
        "a.cedar",
        "@id(\"x\") forbid (principal, action, resource); ",
    )])
    .expect("valid");
    assert_ne!(one.hash(), other.hash());
}

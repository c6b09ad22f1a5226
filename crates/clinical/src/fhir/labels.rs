//! Security labels of FHIR `meta.security` and of elements, as this project's terms.

use domain::{Confidentiality, Sensitivity, SensitivitySet};

use super::json::Value;

/// Labels found so far.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Labels {
    pub(crate) confidentiality: Option<Confidentiality>,
    pub(crate) sensitivities: SensitivitySet,
}

enum System {
    Confidentiality,
    ActCode,
    /// Codes that say nothing of sensitivity: purposes of use, integrity.
    Neutral,
    Absent,
    Unknown,
}

fn system(uri: Option<&str>) -> System {
    let Some(uri) = uri else {
        return System::Absent;
    };
    // A version may follow: `…|2018-08-12`.
    match uri.split_once('|').map_or(uri, |(uri, _)| uri) {
        "http://terminology.hl7.org/CodeSystem/v3-Confidentiality"
        | "http://hl7.org/fhir/v3/Confidentiality"
        | "urn:oid:2.16.840.1.113883.5.25" => System::Confidentiality,
        "http://terminology.hl7.org/CodeSystem/v3-ActCode"
        | "http://hl7.org/fhir/v3/ActCode"
        | "urn:oid:2.16.840.1.113883.5.4" => System::ActCode,
        "http://terminology.hl7.org/CodeSystem/v3-ActReason"
        | "http://terminology.hl7.org/CodeSystem/v3-ObservationValue"
        | "http://hl7.org/fhir/v3/ActReason"
        | "http://hl7.org/fhir/v3/ObservationValue" => System::Neutral,
        _ => System::Unknown,
    }
}

/// The sensitivity that an HL7 ActCode stands for; codes that HL7 places below one of ours count as it.
fn sensitivity(code: &str) -> Sensitivity {
    match code {
        "ETHUD" | "OPIOIDUD" | "SUD" | "SPSUD" => Sensitivity::SubstanceUse,
        "MH" | "BH" => Sensitivity::Psychiatry,
        "SICKLE" => Sensitivity::Genetic,
        "CEL" => Sensitivity::Vip,
        "DVD" | "DV" => Sensitivity::Violence,
        _ => Sensitivity::from_code(code).unwrap_or(Sensitivity::Unknown),
    }
}

impl Labels {
    /// Adds one Coding of `meta.security` or of an inline label. What is not understood counts as sensitive; an
    /// unknown confidentiality counts as the highest.
    pub(crate) fn add(&mut self, coding: Value<'_>) {
        let uri = coding.text("system");
        let Some(code) = coding.text("code") else {
            self.sensitivities.insert(Sensitivity::Unknown);
            return;
        };
        match system(uri.as_deref()) {
            System::Confidentiality => {
                self.raise(Confidentiality::from_code(&code).unwrap_or(Confidentiality::V));
            }
            System::ActCode => self.sensitivities.insert(sensitivity(&code)),
            System::Neutral => {}
            System::Absent => match Confidentiality::from_code(&code) {
                Some(level) => self.raise(level),
                None => self.sensitivities.insert(sensitivity(&code)),
            },
            System::Unknown => self.sensitivities.insert(Sensitivity::Unknown),
        }
    }

    /// Adds the labels of a `meta`.
    pub(crate) fn add_meta(&mut self, meta: Option<Value<'_>>) {
        for coding in meta
            .and_then(|m| m.get("security"))
            .into_iter()
            .flat_map(Value::items)
        {
            self.add(coding);
        }
    }

    fn raise(&mut self, level: Confidentiality) {
        self.confidentiality = Some(self.confidentiality.map_or(level, |held| held.max(level)));
    }
}

#[cfg(test)]
mod tests {
    use super::super::json::Document;
    use super::*;

    fn check(security: &str, confidentiality: Confidentiality, codes: &[Sensitivity]) {
        let text = format!("{{\"security\":{security}}}");
        let document = Document::parse(text.as_bytes()).expect("valid");
        let mut labels = Labels::default();
        labels.add_meta(Some(document.root()));
        assert_eq!(
            labels.confidentiality.unwrap_or_default(),
            confidentiality,
            "{security}"
        );
        assert_eq!(
            labels.sensitivities,
            codes.iter().copied().collect(),
            "{security}"
        );
    }

    #[test]
    fn what_is_not_understood_counts_as_sensitive() {
        use Confidentiality as C;
        use Sensitivity as S;
        const ACT: &str = "http://terminology.hl7.org/CodeSystem/v3-ActCode";
        const CONF: &str = "http://terminology.hl7.org/CodeSystem/v3-Confidentiality";
        check("[]", C::N, &[]);
        check(&format!(r#"[{{"system":"{CONF}","code":"R"}}]"#), C::R, &[]);
        check(
            &format!(r#"[{{"system":"{CONF}","code":"R"}},{{"system":"{CONF}","code":"L"}}]"#),
            C::R,
            &[],
        );
        check(&format!(r#"[{{"system":"{CONF}","code":"L"}}]"#), C::L, &[]);
        check(&format!(r#"[{{"system":"{CONF}","code":"Q"}}]"#), C::V, &[]);
        check(
            &format!(r#"[{{"system":"{ACT}","code":"PSY"}},{{"system":"{ACT}","code":"ETHUD"}}]"#),
            C::N,
            &[S::Psychiatry, S::SubstanceUse],
        );
        check(
            &format!(r#"[{{"system":"{ACT}|2020","code":"VIP"}}]"#),
            C::N,
            &[S::Vip],
        );
        check(
            &format!(r#"[{{"system":"{ACT}","code":"NEWCODE"}}]"#),
            C::N,
            &[S::Unknown],
        );
        check(r#"[{"code":"HIV"},{"code":"V"}]"#, C::V, &[S::Hiv]);
        check(
            r#"[{"system":"https://vendor.example/labels","code":"x"}]"#,
            C::N,
            &[S::Unknown],
        );
        check(r#"[{"display":"secret"},"text"]"#, C::N, &[S::Unknown]);
        check(r#"{"code":"HIV"}"#, C::N, &[S::Hiv]);
    }
}

//! Subject and issuer of an X.509 certificate as RFC 4514 writes them.

use domain::net::Party;
use domain::observation::EvidenceKind;
use x509_parser::prelude::{FromDer, X509Certificate, X509Name};

use super::Findings;
use crate::counters::Parser;

/// Longest certificate that is parsed, in octets of DER.
const CERTIFICATE_MAX: usize = 16 << 10;

/// Short names of attribute types (RFC 4514 §3, RFC 4519).
const NAMES: [(&str, &str); 8] = [
    ("2.5.4.3", "CN"),
    ("2.5.4.6", "C"),
    ("2.5.4.7", "L"),
    ("2.5.4.8", "ST"),
    ("2.5.4.10", "O"),
    ("2.5.4.11", "OU"),
    ("0.9.2342.19200300.100.1.25", "DC"),
    ("2.5.4.5", "SERIALNUMBER"),
];

/// Attribute types that only a person's certificate has: given name, surname, title, user id, e-mail.
const PERSONAL: [&str; 6] = [
    "2.5.4.42",
    "2.5.4.4",
    "2.5.4.12",
    "0.9.2342.19200300.100.1.1",
    "1.2.840.113549.1.9.1",
    "2.5.4.43",
];

/// Takes names from the certificate that `party` presents. A person's certificate is left alone.
pub(super) fn look(der: &[u8], party: &Party, findings: &mut Findings<'_>) {
    if der.len() > CERTIFICATE_MAX {
        return;
    }
    let Ok((_, certificate)) = X509Certificate::from_der(der) else {
        findings.malformed(Parser::Tls);
        return;
    };
    if is_personal(certificate.subject()) {
        return;
    }
    for (kind, name) in [
        (EvidenceKind::TlsSubject, certificate.subject()),
        (EvidenceKind::TlsIssuer, certificate.issuer()),
    ] {
        let text = text(name);
        findings.about(party, kind, text.as_str());
    }
}

fn is_personal(name: &X509Name<'_>) -> bool {
    name.iter_attributes().any(|attribute| {
        let kind = attribute.attr_type().to_id_string();
        PERSONAL.contains(&kind.as_str())
            || attribute.as_str().is_ok_and(|value| value.contains('@'))
    })
}

/// The name with its last part first, special characters escaped (RFC 4514 §2).
fn text(name: &X509Name<'_>) -> String {
    let mut out = String::new();
    let parts: Vec<_> = name.iter_rdn().take(32).collect();
    for (index, part) in parts.iter().rev().enumerate() {
        if index > 0 {
            out.push(',');
        }
        for (index, attribute) in part.iter().enumerate() {
            if index > 0 {
                out.push('+');
            }
            let kind = attribute.attr_type().to_id_string();
            match NAMES.iter().find(|(known, _)| *known == kind) {
                Some((_, short)) => out.push_str(short),
                None => out.push_str(&kind),
            }
            out.push('=');
            let value = attribute.as_str().map_or_else(
                |_| String::from_utf8_lossy(attribute.as_slice()).into_owned(),
                str::to_owned,
            );
            escape(&value, &mut out);
            if out.len() > 1024 {
                return out;
            }
        }
    }
    out
}

fn escape(value: &str, out: &mut String) {
    for (index, c) in value.char_indices() {
        let last = index + c.len_utf8() == value.len();
        let special = matches!(c, '"' | '+' | ',' | ';' | '<' | '>' | '\\')
            || (c == '#' && index == 0)
            || (c == ' ' && (index == 0 || last));
        if special {
            out.push('\\');
        }
        out.push(c);
    }
}

//! Devices that show a certificate: which of the inventory's it is.

use domain::DeviceId;
use policy::Snapshot;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

/// The device that a verified leaf certificate names: a DNS name of it, or its common name, is a device's id.
///
/// A certificate that names several devices names none: which of them would count?
pub(crate) fn named_by(leaf: &[u8], snapshot: &Snapshot) -> Option<DeviceId> {
    let (_, certificate) = X509Certificate::from_der(leaf).ok()?;
    let alternative = certificate.subject_alternative_name().ok().flatten();
    let dns = alternative
        .iter()
        .flat_map(|names| names.value.general_names.iter())
        .filter_map(|name| match name {
            GeneralName::DNSName(name) => Some(*name),
            _ => None,
        });
    let common = certificate
        .subject()
        .iter_common_name()
        .filter_map(|name| name.as_str().ok());
    let mut found: Vec<DeviceId> = dns
        .chain(common)
        .map(DeviceId::new)
        .filter(|id| snapshot.device(id).is_some())
        .collect();
    found.sort();
    found.dedup();
    match found.as_slice() {
        [one] => Some(one.clone()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use policy::PolicyPack;
    use rcgen::{CertificateParams, DnType, KeyPair};

    use super::*;

    fn leaf(dns: &[&str], common_name: &str) -> Vec<u8> {
        let names: Vec<String> = dns.iter().map(|n| (*n).to_owned()).collect();
        let mut params = CertificateParams::new(names).expect("names");
        params
            .distinguished_name
            .push(DnType::CommonName, common_name);
        let key = KeyPair::generate().expect("key");
        params
            .self_signed(&key)
            .expect("certificate")
            .der()
            .to_vec()
    }

    #[test]
    fn a_certificate_names_a_device_that_the_inventory_knows_and_only_one() {
        let mut snapshot = Snapshot::new(PolicyPack::hospital());
        for id in ["ws-1", "ws-2"] {
            let device = serde_json::json!({ "id": id });
            snapshot.set_device(serde_json::from_value(device).expect("a device"));
        }
        let named = |dns: &[&str], common| named_by(&leaf(dns, common), &snapshot);
        assert_eq!(named(&["ws-1"], "anything"), Some(DeviceId::new("ws-1")));
        assert_eq!(named(&[], "ws-2"), Some(DeviceId::new("ws-2")));
        assert_eq!(named(&["ws-1"], "ws-1"), Some(DeviceId::new("ws-1")));
        assert_eq!(named(&["ws-1", "ws-2"], "x"), None);
        assert_eq!(named(&["ws-9"], "x"), None);
        assert_eq!(named_by(b"not a certificate", &snapshot), None);
    }
}

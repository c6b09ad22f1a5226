//! Names of devices without the people whose they are: of `Jane Roe's iPad`, `iPad von Jane` and `Janes-iPhone` stays
//! what the device is.
//!
//! Telephones, tablets and computers of staff, visitors and patients name themselves after their owners, and a patient's
//! name must not leave the sensor on such a way. What a device is called otherwise stays whole, because a host name is
//! how a hospital finds its machine; a person's name that somebody typed there by hand (`roe-laptop`) is not recognised.

use std::ops::Range;

use domain::observation::EvidenceKind;

/// Products that make their first name of their owner's account.
const PRODUCTS: [&str; 11] = [
    "iphone", "ipad", "ipod", "macbook", "imac", "mbp", "mac", "homepod", "airpods", "galaxy",
    "pixel",
];

/// Words between a product and its owner: German, Dutch, Swedish and Norwegian, Danish, Romance languages, English.
const OF: [&str; 14] = [
    "von", "van", "från", "fra", "til", "de", "di", "da", "do", "du", "del", "d", "af", "of",
];

/// Words that belong to a product and stay with it.
const SIZES: [&str; 6] = ["pro", "air", "mini", "max", "plus", "ultra"];

/// Whether evidence of this kind may hold a name that somebody gave a device.
pub(crate) const fn may_name_one(kind: EvidenceKind) -> bool {
    matches!(
        kind,
        EvidenceKind::DhcpHostname
            | EvidenceKind::DhcpFqdn
            | EvidenceKind::Dhcp6Fqdn
            | EvidenceKind::DnsName
            | EvidenceKind::DnsQuery
            | EvidenceKind::MdnsName
            | EvidenceKind::MdnsInstance
            | EvidenceKind::MdnsTxt
            | EvidenceKind::LlmnrName
            | EvidenceKind::NbnsName
            | EvidenceKind::NtlmComputer
            | EvidenceKind::RdpClientName
            | EvidenceKind::MqttClientId
            | EvidenceKind::UpnpDescription
            | EvidenceKind::WsdDescription
    )
}

/// The parts of `text` that tell of a person and go, the later one first; empty if there are none.
///
/// In a pair such as `fn=Jane's TV` the key stays, as does the domain behind a host name and the suffix behind a NetBIOS name.
pub(crate) fn part(text: &str) -> [Range<usize>; 2] {
    const NONE: [Range<usize>; 2] = [0..0, 0..0];
    let start = text.find('=').map_or(0, |equals| equals + 1);
    let end = text[start..].find('<').map_or(text.len(), |at| start + at);
    let name = &text[start..end];
    // A host name ends at its first dot; what has a blank in it is no host name.
    let name = match name.find('.') {
        Some(dot) if !name.contains(' ') => &name[..dot],
        _ => name,
    };
    match kept(name) {
        Some(kept) => [
            start + kept.end..start + name.len(),
            start..start + kept.start,
        ],
        None => NONE,
    }
}

/// What stays of a name in which an owner is recognised.
fn kept(name: &str) -> Option<Range<usize>> {
    if let Some(at) = possessive(name) {
        return Some(at..name.len());
    }
    let is = |range: &Range<usize>, list: &[&str]| {
        let word = &name[range.clone()];
        list.iter().any(|known| word.eq_ignore_ascii_case(known))
    };
    let mut words = words(name);
    let mut before = "";
    let product = loop {
        let word = words.next()?;
        if is(&word, &PRODUCTS) {
            break word;
        }
        before = &name[word];
    };
    let sizes = words.clone().take_while(|word| is(word, &SIZES));
    let end = sizes.last().unwrap_or(product.clone()).end;
    let owned = before.ends_with(['s', 'S']);
    let of = words.any(|word| is(&word, &OF)) && words.next().is_some();
    (owned || of).then_some(product.start..end)
}

/// Where the name goes on behind `Jane's ` or `James' `.
fn possessive(name: &str) -> Option<usize> {
    for mark in ["'", "\u{2019}"] {
        for (at, _) in name.match_indices(mark) {
            let behind = &name[at + mark.len()..];
            let rest = behind
                .strip_prefix(['s', 'S'])
                .filter(|rest| rest.starts_with(' '))
                .or_else(|| {
                    let ends_in_s = name[..at].ends_with(['s', 'S', 'x', 'X', 'z', 'Z']);
                    (ends_in_s && behind.starts_with(' ')).then_some(behind)
                });
            if let Some(rest) = rest.map(str::trim_start)
                && at > 0
                && !rest.is_empty()
            {
                return Some(name.len() - rest.len());
            }
        }
    }
    None
}

/// Words between blanks, hyphens and underscores.
fn words(name: &str) -> impl Iterator<Item = Range<usize>> + Clone {
    let mut start = 0;
    name.split([' ', '-', '_']).filter_map(move |word| {
        let range = start..start + word.len();
        // Each separator is one octet.
        start = range.end + 1;
        (!range.is_empty()).then_some(range)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(name: &str, expected: &str) {
        let mut kept = name.to_owned();
        for range in part(name) {
            kept.replace_range(range, "");
        }
        assert_eq!(kept, expected, "{name}");
    }

    #[test]
    fn the_owner_goes_and_the_product_stays() {
        for (name, expected) in [
            ("Jane Roe's iPad", "iPad"),
            ("Jane Roe\u{2019}s MacBook Pro (2)", "MacBook Pro (2)"),
            ("James' iPhone", "iPhone"),
            ("fn=Jane's Living Room TV", "fn=Living Room TV"),
            ("friendlyName=Jane's TV", "friendlyName=TV"),
            ("Janes-iPhone", "iPhone"),
            ("Jane-Roes-MacBook-Pro-2.local", "MacBook-Pro.local"),
            (
                "janes-ipad.ward.hospital.example",
                "ipad.ward.hospital.example",
            ),
            ("Jane-s-Galaxy-S21", "Galaxy"),
            ("JANES-MBP<20>", "MBP<20>"),
            ("iPad von Jane Roe", "iPad"),
            ("iPhone-de-Jane", "iPhone"),
            ("iPad Pro van Jane", "iPad Pro"),
        ] {
            check(name, expected);
        }
    }

    #[test]
    fn names_that_tell_of_nobody_stay_whole() {
        for name in [
            "",
            "iPad",
            "iPad-12",
            "iPad de",
            "MacBook-Pro",
            "WS-ICU-07",
            "PACS01<20>",
            "RADS-PC-07",
            "zebra.local",
            "HP LaserJet [A1:B2:C3]",
            "Living Room",
            "it's",
            "'s x",
            "ty=HP LaserJet M507",
            "5'-nucleotidase",
            "van-de-pad",
        ] {
            check(name, name);
        }
    }
}

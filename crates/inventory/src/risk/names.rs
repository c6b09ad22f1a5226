//! Names of makers and products, made comparable.
//!
//! One maker has many spellings and one product many forms; a match on a careless spelling is a guess. Makers are
//! compared by a key (lower case, no company form, known spellings of one house joined); products by their words.

use smol_str::SmolStr;

/// Words of a company's form, which say nothing about which company it is.
const COMPANY_WORDS: &[&str] = &[
    "ab",
    "ag",
    "as",
    "bv",
    "co",
    "company",
    "corp",
    "corporation",
    "gmbh",
    "inc",
    "incorporated",
    "intl",
    "international",
    "kg",
    "kgaa",
    "limited",
    "llc",
    "ltd",
    "nv",
    "oy",
    "plc",
    "pty",
    "sa",
    "sas",
    "se",
    "spa",
    "srl",
    "the",
];

/// Spellings of one house: key as written, key used. Only spellings of one name; not who bought whom.
const SPELLINGS: &[(&str, &str)] = &[
    ("apache software foundation", "apache"),
    ("apple computer", "apple"),
    ("b braun medical", "bbraun"),
    ("b braun melsungen", "bbraun"),
    ("baxter healthcare", "baxter"),
    ("becton dickinson", "bd"),
    ("becton dickinson and", "bd"),
    ("beckman coulter life sciences", "beckmancoulter"),
    ("carl zeiss meditec", "zeiss"),
    ("cisco systems", "cisco"),
    ("debian project", "debian"),
    ("draegerwerk", "draeger"),
    ("draeger medical", "draeger"),
    ("drager", "draeger"),
    ("drager medical", "draeger"),
    ("dragerwerk", "draeger"),
    ("fujifilm medical systems", "fujifilm"),
    ("ge", "gehealthcare"),
    ("ge medical systems", "gehealthcare"),
    (
        "ge medical systems information technologies",
        "gehealthcare",
    ),
    ("general electric", "gehealthcare"),
    ("general electric healthcare", "gehealthcare"),
    ("gems", "gehealthcare"),
    ("hewlett packard", "hp"),
    ("hill rom", "hillrom"),
    ("hospira worldwide", "hospira"),
    ("koninklijke philips", "philips"),
    ("linux kernel", "linux"),
    ("linux kernel organization", "linux"),
    ("masimo corporation", "masimo"),
    ("microsoft windows", "microsoft"),
    ("mindray ds usa", "mindray"),
    ("mindray medical", "mindray"),
    ("openssl project", "openssl"),
    ("openssl software foundation", "openssl"),
    ("oracle america", "oracle"),
    ("philips electronics north america", "philips"),
    ("philips healthcare", "philips"),
    ("philips medical systems", "philips"),
    ("philips medizin systeme boeblingen", "philips"),
    ("philips north america", "philips"),
    ("red hat", "redhat"),
    ("roche diagnostics", "roche"),
    ("royal philips", "philips"),
    ("samsung medison", "samsung"),
    ("schneider electric", "schneiderelectric"),
    ("shenzhen mindray bio medical electronics", "mindray"),
    ("siemens ag", "siemens"),
    ("siemens healthcare", "siemens"),
    ("siemens healthcare diagnostics", "siemens"),
    ("siemens healthineers", "siemens"),
    ("siemens medical solutions", "siemens"),
    ("siemens medical solutions usa", "siemens"),
    ("smiths medical asd", "smithsmedical"),
    ("spacelabs healthcare", "spacelabs"),
    ("toshiba medical systems", "toshiba"),
    ("welch allyn", "welchallyn"),
    ("wind river", "windriver"),
    ("wind river systems", "windriver"),
];

/// Words in product names that say nothing about which product it is.
const PRODUCT_NOISE: &[&str] = &[
    "and", "device", "devices", "edition", "firmware", "for", "hardware", "model", "of", "os",
    "series", "software", "system", "systems", "the", "version", "with",
];

/// Words too ordinary to tell a product by, alone or together.
const ORDINARY: &[&str] = &[
    "advanced",
    "analyzer",
    "anesthesia",
    "application",
    "camera",
    "cardiac",
    "care",
    "central",
    "client",
    "clinical",
    "cloud",
    "connect",
    "control",
    "controller",
    "data",
    "diagnostic",
    "digital",
    "display",
    "enterprise",
    "gateway",
    "guard",
    "health",
    "healthcare",
    "imaging",
    "information",
    "infusion",
    "integrated",
    "interface",
    "ip",
    "large",
    "laser",
    "light",
    "link",
    "lite",
    "machine",
    "management",
    "manager",
    "medical",
    "mobile",
    "module",
    "monitor",
    "monitoring",
    "network",
    "pacs",
    "panel",
    "patient",
    "phone",
    "platform",
    "plus",
    "portable",
    "portal",
    "printer",
    "pro",
    "pump",
    "remote",
    "router",
    "scanner",
    "server",
    "service",
    "smart",
    "station",
    "storage",
    "suite",
    "switch",
    "syringe",
    "terminal",
    "tool",
    "ultrasound",
    "unit",
    "ventilator",
    "viewer",
    "volume",
    "volumetric",
    "web",
    "wireless",
    "workstation",
];

/// The words of a name: lower case, without accents and punctuation, `+` kept (`A+` is not `A`). At most 24.
pub fn words(text: &str) -> Vec<SmolStr> {
    let mut out = Vec::new();
    let mut word = String::new();
    for c in text.chars().take(512) {
        match fold(c) {
            Some(folded) => {
                if word.len() < 48 {
                    word.push_str(folded.as_str());
                }
            }
            // CPE escapes and apostrophes join; anything else parts.
            None if matches!(c, '\\' | '\'' | '’' | '®' | '™') => {}
            None => {
                if !word.is_empty() {
                    out.push(SmolStr::new(&word));
                    word.clear();
                    if out.len() == 24 {
                        return out;
                    }
                }
            }
        }
    }
    if !word.is_empty() {
        out.push(SmolStr::new(&word));
    }
    out
}

/// Lower case without accent; `None` for what parts words.
fn fold(c: char) -> Option<SmolStr> {
    let text = match c {
        'ä' | 'Ä' | 'æ' | 'Æ' => "ae",
        'ö' | 'Ö' | 'ø' | 'Ø' => "oe",
        'ü' | 'Ü' => "ue",
        'ß' => "ss",
        'á' | 'à' | 'â' | 'å' | 'Á' | 'À' | 'Â' | 'Å' => "a",
        'é' | 'è' | 'ê' | 'ë' | 'É' | 'È' | 'Ê' => "e",
        'í' | 'ì' | 'î' | 'ï' => "i",
        'ó' | 'ò' | 'ô' => "o",
        'ú' | 'ù' | 'û' => "u",
        'ç' => "c",
        'ñ' => "n",
        '+' => "+",
        _ if c.is_alphanumeric() => return Some(c.to_lowercase().collect::<String>().into()),
        _ => return None,
    };
    Some(SmolStr::new_static(text))
}

/// The key by which makers compare; empty when the text names nobody (`n/a`, `unknown`, `*`).
pub fn vendor_key(text: &str) -> SmolStr {
    let mut words = words(text);
    loop {
        // `N.V.` and `S.p.A.` come as single letters.
        let letters = words.iter().rev().take_while(|w| w.len() == 1).count();
        let tail = words[words.len() - letters..].concat();
        if letters >= 2 && letters < words.len() && COMPANY_WORDS.contains(&tail.as_str()) {
            words.truncate(words.len() - letters);
        } else if words.len() > 1
            && words
                .last()
                .is_some_and(|w| COMPANY_WORDS.contains(&w.as_str()))
        {
            words.pop();
        } else {
            break;
        }
    }
    if words.len() > 1 && words[0] == "the" {
        words.remove(0);
    }
    let spaced = words.join(" ");
    if matches!(
        spaced.as_str(),
        "n a" | "na" | "unknown" | "multiple vendors" | "various" | "none" | "unspecified"
    ) {
        return SmolStr::default();
    }
    let joined = words.concat();
    SPELLINGS
        .iter()
        .find(|(spelling, _)| *spelling == spaced || spelling.replace(' ', "") == joined)
        .map_or_else(
            || SmolStr::new(&joined),
            |(_, key)| SmolStr::new_static(key),
        )
}

/// The words by which products compare: without the maker's own name in front, without noise.
pub fn product_words(vendor: &str, product: &str) -> Vec<SmolStr> {
    let all = words(product);
    let makers = words(vendor);
    let skip = all.iter().zip(&makers).take_while(|(a, b)| a == b).count();
    // `Philips MX800` by `Philips Healthcare`: what is shared in front is the maker.
    let rest = if skip < all.len() {
        &all[skip..]
    } else {
        &all[..]
    };
    let kept: Vec<SmolStr> = rest
        .iter()
        .filter(|w| !PRODUCT_NOISE.contains(&w.as_str()))
        .cloned()
        .collect();
    if kept.is_empty() { rest.to_vec() } else { kept }
}

/// How far one product name is the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Likeness {
    /// Another product, or too ordinary to tell.
    Different,
    /// The device's name is the shorter: the row is about one of several products it may be.
    Narrower,
    /// The row's name is the shorter: it is about a family that the device belongs to.
    Family,
    /// The same.
    Same,
}

/// Compares the words of a row's product with those of a device's model.
pub fn likeness(row: &[SmolStr], device: &[SmolStr]) -> Likeness {
    if row.is_empty() || device.is_empty() {
        return Likeness::Different;
    }
    let telling = |words: &[SmolStr]| words.iter().any(|w| tells(w));
    if row == device || row.concat() == device.concat() {
        // Equal names are one product, were they as plain as `central station`, where the maker agrees as well.
        return Likeness::Same;
    }
    if within(row, device) && telling(row) {
        return Likeness::Family;
    }
    if within(device, row) && telling(device) {
        return Likeness::Narrower;
    }
    Likeness::Different
}

/// Whether a word can tell a product from others: not an ordinary word, not a lone digit or letter.
pub fn tells(word: &str) -> bool {
    word.len() >= 3 && !ORDINARY.contains(&word) && !PRODUCT_NOISE.contains(&word)
        || word.len() == 2
            && word.bytes().any(|b| b.is_ascii_digit())
            && word.bytes().any(|b| b.is_ascii_alphabetic())
}

/// Whether the words of `short` stand in `long`, in order.
fn within(short: &[SmolStr], long: &[SmolStr]) -> bool {
    let mut at = long.iter();
    short.len() < long.len() && short.iter().all(|w| at.any(|l| l == w))
}

/// The words of a version at the end of a name: `VxWorks 6.9` gives `VxWorks` and `6.9`. The version must hold a digit
/// and a dot, or be a lone number after a name.
pub fn split_version(text: &str) -> (&str, Option<&str>) {
    let text = text.trim();
    let Some((head, tail)) = text.rsplit_once(char::is_whitespace) else {
        return (text, None);
    };
    let bare = tail.trim_matches(|c| matches!(c, '(' | ')' | ',' | ';'));
    let bare = bare
        .strip_prefix(['v', 'V'])
        .filter(|v| v.starts_with(|c: char| c.is_ascii_digit()))
        .unwrap_or(bare);
    let dotted = bare.contains('.') && bare.bytes().any(|b| b.is_ascii_digit()) && bare.len() <= 48;
    let number = !bare.is_empty() && bare.len() <= 4 && bare.bytes().all(|b| b.is_ascii_digit());
    if dotted || number {
        let head = head
            .trim_end()
            .trim_end_matches([',', ';', '(', ':'])
            .trim_end();
        let lower = head.to_ascii_lowercase();
        let head = ["version", "release", "rev.", "rev", "ver."]
            .iter()
            .find_map(|w| lower.strip_suffix(w).map(|h| head[..h.len()].trim_end()))
            .filter(|h| !h.is_empty())
            .unwrap_or(head);
        (head, Some(bare))
    } else {
        (text, None)
    }
}

/// A CPE 2.3 formatted string (NISTIR 7695) or 2.2 URI, as far as we use it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cpe {
    pub(crate) part: super::Part,
    pub(crate) vendor: SmolStr,
    pub(crate) product: SmolStr,
    /// Version with its update joined by a dash; empty: any, or not applicable.
    pub(crate) version: SmolStr,
}

/// Reads a CPE name.
pub(crate) fn cpe(text: &str) -> Option<Cpe> {
    use super::Part;
    let (body, formatted) = match text.strip_prefix("cpe:2.3:") {
        Some(body) => (body, true),
        None => (text.strip_prefix("cpe:/")?, false),
    };
    if body.len() > 1024 {
        return None;
    }
    let mut fields: Vec<String> = vec![String::new()];
    let mut escaped = false;
    for c in body.chars() {
        let field = fields.last_mut()?;
        match c {
            '\\' if formatted && !escaped => escaped = true,
            ':' if !escaped => {
                if fields.len() == 11 {
                    break;
                }
                fields.push(String::new());
            }
            _ => {
                field.push(c);
                escaped = false;
            }
        }
    }
    let field = |n: usize| fields.get(n).map_or("", String::as_str);
    let part = match field(0) {
        "h" => Part::Hardware,
        "o" => Part::System,
        "a" => Part::Program,
        _ => return None,
    };
    if matches!(field(2), "" | "*" | "-") {
        return None;
    }
    let any = |s: &str| matches!(s, "" | "*");
    let version = match (field(3), field(4)) {
        (v, _) if any(v) || v == "-" => SmolStr::default(),
        (v, u) if any(u) || u == "-" => SmolStr::new(v),
        (v, u) => SmolStr::new(format!("{v}-{u}")),
    };
    Some(Cpe {
        part,
        vendor: if any(field(1)) {
            SmolStr::default()
        } else {
            SmolStr::new(field(1))
        },
        product: SmolStr::new(field(2)),
        version,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn w(text: &str) -> Vec<SmolStr> {
        words(text)
    }

    #[test]
    fn one_maker_has_one_key() {
        for (a, b) in [
            ("B. Braun Melsungen AG", "bbraun"),
            ("Drägerwerk AG & Co. KGaA", "draeger"),
            ("Koninklijke Philips N.V.", "philips"),
            ("GE Medical Systems", "GE Healthcare"),
            ("Siemens Healthineers AG", "siemens"),
            ("Becton, Dickinson and Company", "BD"),
            ("Smiths Medical ASD, Inc.", "smiths-medical"),
            ("Red Hat, Inc.", "redhat"),
        ] {
            assert_eq!(vendor_key(a), vendor_key(b), "{a} / {b}");
        }
        assert_ne!(vendor_key("Medtronic"), vendor_key("Mediana"));
        assert_eq!(vendor_key("n/a"), "");
    }

    #[test]
    fn a_product_is_not_its_sibling() {
        let l = |row: &str, device: &str| {
            likeness(&product_words("x", row), &product_words("x", device))
        };
        assert_eq!(l("plum_360_firmware", "Plum 360"), Likeness::Same);
        assert_eq!(l("Plum A+", "Plum 360"), Likeness::Different);
        assert_eq!(l("plum a", "Plum A+"), Likeness::Different);
        assert_eq!(l("IntelliVue", "IntelliVue MX800"), Likeness::Family);
        assert_eq!(l("IntelliVue MX800", "IntelliVue"), Likeness::Narrower);
        assert_eq!(
            l("infusion pump", "Infusion pump 8100"),
            Likeness::Different
        );
        assert_eq!(l("Central Station", "central-station"), Likeness::Same);
        assert_eq!(l("MX 800", "MX800"), Likeness::Same);
        assert_eq!(likeness(&[], &w("a")), Likeness::Different);
    }

    #[test]
    fn the_makers_name_in_front_of_a_product_is_dropped() {
        assert_eq!(
            product_words("Philips Healthcare", "Philips IntelliVue MX800"),
            w("intellivue mx800")
        );
        assert_eq!(product_words("Omnicell", "Omnicell"), w("omnicell"));
    }

    #[test]
    fn cpe_names_read_in_both_bindings() {
        let cpe23 = cpe("cpe:2.3:o:hospira:plum_a\\+_firmware:13.4:*:*:*:*:*:*:*").expect("valid");
        assert_eq!(
            (
                cpe23.vendor.as_str(),
                cpe23.product.as_str(),
                cpe23.version.as_str()
            ),
            ("hospira", "plum_a+_firmware", "13.4")
        );
        let cpe22 = cpe("cpe:/a:openssl:openssl:1.0.2:k").expect("valid");
        assert_eq!(cpe22.version, "1.0.2-k");
        assert!(cpe("cpe:2.3:x:a:b").is_none());
        assert!(cpe("cpe:2.3:a:vendor:*:1").is_none());
        assert!(cpe("purl").is_none());
    }

    #[test]
    fn a_version_at_the_end_is_split_off() {
        assert_eq!(split_version("VxWorks 6.9"), ("VxWorks", Some("6.9")));
        assert_eq!(
            split_version("Plum 360 version 15.10"),
            ("Plum 360", Some("15.10"))
        );
        assert_eq!(split_version("Windows 10"), ("Windows", Some("10")));
        assert_eq!(
            split_version("IntelliVue MX800"),
            ("IntelliVue MX800", None)
        );
        assert_eq!(split_version("6.9"), ("6.9", None));
    }

    proptest! {
        #[test]
        fn hostile_names_never_panic(a in ".{0,80}", b in ".{0,40}") {
            let _ = (vendor_key(&a), product_words(&b, &a), split_version(&a), cpe(&a), cpe(&format!("cpe:2.3:a:{a}")));
            let (x, y) = (words(&a), words(&b));
            let _ = likeness(&x, &y);
        }
    }
}

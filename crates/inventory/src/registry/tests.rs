use super::*;

fn mac(text: &str) -> Mac {
    text.parse().expect("a MAC address")
}

#[test]
fn the_built_in_table_knows_the_makers_of_a_ward() {
    let registry = Registry::built_in();
    assert!(registry.len() > 8_000);
    for (address, name) in [
        ("00:09:5c:12:34:56", "Philips"),
        ("00:a0:37:00:98:00", "Mindray"),
        ("00:12:21:18:39:00", "B. Braun"),
    ] {
        let organisation = registry.organisation(mac(address)).expect("known");
        assert_eq!(maker(organisation), name, "{organisation}");
    }
    assert_eq!(registry.organisation(mac("02:09:5c:12:34:56")), None);
    assert_eq!(registry.organisation(mac("33:33:00:00:00:01")), None);
    let eui = registry.organisation_of_eui64(0x0009_5cff_fe12_3456);
    assert_eq!(eui.map(|name| maker(name)), Some("Philips".into()));
}

#[test]
fn the_longest_prefix_wins() {
    let mut registry = Registry::default();
    let read = registry.read(
        "Registry,Assignment,Organization Name,Organization Address\n\
         MA-L,70B3D5,IEEE Registration Authority,Here\n\
         MA-M,70B3D51,\"Middle, \"\"Inc.\"\"\",There\r\n\
         MA-S,70B3D5123,Small Ltd,Where\n",
    );
    assert_eq!(
        read,
        Read {
            blocks: 3,
            skipped: 1
        }
    );
    let find = |text: &str| registry.organisation(mac(text)).map(SmolStr::as_str);
    assert_eq!(find("70:b3:d5:12:3f:ff"), Some("Small Ltd"));
    assert_eq!(find("70:b3:d5:12:4f:ff"), Some("Middle, \"Inc.\""));
    assert_eq!(
        find("70:b3:d5:22:4f:ff"),
        Some("IEEE Registration Authority")
    );
    assert_eq!(find("70:b3:d6:22:4f:ff"), None);
    let mut registry = Registry::default();
    let read = registry.read(
        "OUI/MA-L\n00-22-72   (hex)\t\tAmerican Micro-Fuel Device Corp.\n002272     (base 16)\tx\n",
    );
    assert_eq!(read.blocks, 1);
    assert_eq!(
        registry
            .organisation(mac("00:22:72:00:00:01"))
            .map(SmolStr::as_str),
        Some("American Micro-Fuel Device Corp.")
    );
}

#[test]
fn a_maker_is_called_what_people_call_it() {
    for (name, expected) in [
        ("Drägerwerk AG & Co. KG aA", "Dräger"),
        ("B.Braun Melsungen AG", "B. Braun"),
        (
            "Philips Medical Systems - Cardiac and Monitoring Systems (CM",
            "Philips",
        ),
        (
            "Siemens Healthcare Diagnostics, Inc",
            "Siemens Healthineers",
        ),
        (
            "Siemens Building Technologies AG,",
            "Siemens Building Technologies",
        ),
        ("Hewlett Packard Enterprise", "HPE"),
        ("Unheard Of Devices Co., Ltd.", "Unheard Of Devices"),
        ("Ltd", "Ltd"),
        ("", ""),
    ] {
        assert_eq!(maker(name), expected, "{name}");
    }
}

#[test]
fn the_built_in_table_agrees_with_the_registries_where_they_are_installed() {
    let mut whole = Registry::default();
    for file in ["oui.csv", "mam.csv", "oui36.csv"] {
        let Ok(text) = std::fs::read_to_string(format!("/usr/share/ieee-data/{file}")) else {
            println!("skipped: the package ieee-data is not installed");
            return;
        };
        whole.read(&text);
    }
    assert!(whole.len() > 30_000);
    let table = Registry::built_in();
    let same = table
        .blocks
        .iter()
        .filter(|block| {
            let name = &table.names[block.name as usize];
            whole
                .prefix(block.prefix)
                .is_some_and(|other| maker(other) == maker(name))
        })
        .count();
    // Registries move on: a block may change hands.
    assert!(same * 100 >= table.len() * 95, "{same} of {}", table.len());
}

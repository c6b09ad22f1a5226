//! What a column holds, guessed from its header in the languages that registers are kept in, and from its values.

use domain::observation::EvidenceKind as Kind;

use super::{Column, is_empty, parts};
use crate::records::party::{address, mac_column};

/// A guess for each header.
pub(super) fn columns(headers: &[String], rows: &[&[String]]) -> Vec<Column> {
    let words: Vec<Vec<String>> = headers.iter().map(|header| split(header)).collect();
    // Where patients are listed, a lone `Name` is theirs.
    let patients = words
        .iter()
        .any(|words| words.iter().any(|word| PATIENT.contains(&word.as_str())));
    let mut found: Vec<Column> = words
        .iter()
        .map(|words| by_header(words, patients))
        .collect();
    for (place, column) in found.iter_mut().enumerate() {
        let person = words.get(place).is_some_and(|words| is_person(words));
        *column = by_values(
            *column,
            person,
            rows.iter().filter_map(|row| row.get(place)),
        );
    }
    once(&mut found, &words);
    found
}

/// Words of headers that speak of patients.
const PATIENT: &[&str] = &[
    "patient",
    "patients",
    "patientin",
    "mrn",
    "dob",
    "birth",
    "birthdate",
    "birthday",
    "geburtsdatum",
    "geburtstag",
    "naissance",
    "nacimiento",
    "diagnosis",
    "diagnose",
    "diagnostic",
    "accession",
    "ssn",
    "insurance",
    "krankenkasse",
    "admission",
    "encounter",
    "gender",
    "sex",
    "geschlecht",
    "allergies",
    "medication",
    "nhs",
    "fallnummer",
    "paciente",
];

/// Words of headers that speak of persons at work.
const PERSON: &[&str] = &[
    "user",
    "users",
    "username",
    "owner",
    "owned",
    "person",
    "employee",
    "contact",
    "assigned",
    "assignee",
    "physician",
    "doctor",
    "nurse",
    "caller",
    "email",
    "mail",
    "phone",
    "telephone",
    "requester",
    "manager",
    "technician",
    "responsible",
    "benutzer",
    "besitzer",
    "mitarbeiter",
    "verantwortlich",
    "ansprechpartner",
    "utilisateur",
    "propriétaire",
    "usuario",
    "responsable",
    "surname",
    "firstname",
    "lastname",
    "vorname",
    "nachname",
    "logon",
    "login",
    "account",
    "custodian",
    "author",
    "created",
    "updated",
];

fn is_person(words: &[String]) -> bool {
    words
        .iter()
        .any(|word| PATIENT.contains(&word.as_str()) || PERSON.contains(&word.as_str()))
}

/// The words of a header in lower case: `macAddress`, `MAC_Address` and `MAC-Address` are `mac address`.
fn split(header: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut word = String::new();
    let mut previous_lower = false;
    for c in header.chars().take(200) {
        if (!c.is_alphanumeric() || (previous_lower && c.is_uppercase())) && !word.is_empty() {
            words.push(std::mem::take(&mut word));
        }
        if c.is_alphanumeric() {
            word.extend(c.to_lowercase());
        }
        previous_lower = c.is_lowercase();
    }
    if !word.is_empty() {
        words.push(word);
    }
    words
}

fn by_header(words: &[String], patients: bool) -> Column {
    let joined = words.concat();
    let has = |wanted: &[&str]| words.iter().any(|word| wanted.contains(&word.as_str()));
    let starts = |wanted: &[&str]| wanted.iter().any(|prefix| joined.starts_with(prefix));
    let is = |wanted: &[&str]| wanted.contains(&joined.as_str());
    let evidence = Column::Evidence;
    // `last seen` and `last logon` first: they would look like names of people or of states.
    let last = has(&[
        "last",
        "letzter",
        "letzte",
        "zuletzt",
        "dernier",
        "dernière",
        "ultimo",
        "último",
        "recent",
    ]);
    if last
        && has(&[
            "seen",
            "contact",
            "discovered",
            "communication",
            "checkin",
            "check",
            "update",
            "scan",
            "connected",
            "online",
            "sync",
            "gesehen",
            "kontakt",
            "vu",
            "visto",
            "activity",
        ])
        || is(&[
            "lastseen",
            "lastdiscovered",
            "lastcontact",
            "lastcheckin",
            "lastdeviceupdate",
            "lastscan",
            "lastsync",
        ])
    {
        return Column::LastSeen;
    }
    if is_person(words) {
        return Column::Ignore;
    }
    let not_own = has(&[
        "gateway",
        "mask",
        "subnet",
        "netmask",
        "dns",
        "dhcp",
        "public",
        "external",
        "count",
        "number",
        "type",
        "version",
        "status",
        "vendor",
        "oui",
        "policy",
        "manufacturer",
        "switch",
        "ap",
        "controller",
    ]);
    if (has(&[
        "mac",
        "macs",
        "macaddress",
        "macadresse",
        "ethernet",
        "hwaddr",
        "hwaddress",
        "wlanmac",
        "lanmac",
        "wifimac",
        "bssid",
    ]) || starts(&[
        "macaddr",
        "macadr",
        "hardwareaddress",
        "physicaladdress",
        "physischeadresse",
        "adressemac",
        "direccionmac",
        "direcciónmac",
        "adresseethernet",
        "ethernetaddress",
    ])) && !not_own
        && !has(&["os", "macos", "host"])
    {
        return Column::Mac;
    }
    if (has(&[
        "ip",
        "ips",
        "ipv4",
        "ipv6",
        "ipaddress",
        "ipadresse",
        "ipaddr",
        "ipaddresses",
    ]) || starts(&[
        "ipaddr",
        "ipadr",
        "adresseip",
        "direccionip",
        "direcciónip",
        "localip",
        "internetaddress",
    ])) && !not_own
    {
        return Column::Address;
    }
    if is(&["vlan", "vlanid", "vlannumber", "vlannr"]) {
        return Column::Vlan;
    }
    if has(&["udi", "gtin"]) || is(&["deviceidentifier", "udidi", "primarydi"]) {
        return evidence(Kind::RegisterUdi);
    }
    if has(&[
        "serial",
        "seriennummer",
        "serialnumber",
        "serien",
        "série",
        "serie",
        "sn",
        "servicetag",
    ]) || is(&["servicetag", "serialno", "serialnr", "numserie", "sernr"])
    {
        return evidence(Kind::RegisterSerial);
    }
    if has(&[
        "manufacturer",
        "vendor",
        "maker",
        "make",
        "oem",
        "hersteller",
        "fabricant",
        "fabricante",
        "brand",
        "marke",
        "marque",
        "marca",
        "mfr",
        "mfg",
    ]) && !has(&["date", "id", "number", "code"])
    {
        return evidence(Kind::RegisterVendor);
    }
    if has(&["os", "osname", "osversion", "osplatform", "betriebssystem"])
        || starts(&[
            "operatingsystem",
            "systèmedexploitation",
            "systemedexploitation",
            "sistemaoperativo",
        ])
    {
        return evidence(Kind::RegisterOs);
    }
    if has(&[
        "model",
        "modell",
        "modèle",
        "modele",
        "modelo",
        "modelname",
        "modelnumber",
        "typenbezeichnung",
    ]) || is(&[
        "productname",
        "systemproductname",
        "product",
        "produkt",
        "produit",
    ]) {
        return if has(&["date", "year", "category"]) {
            Column::Ignore
        } else {
            evidence(Kind::RegisterModel)
        };
    }
    let device = has(&[
        "device",
        "asset",
        "equipment",
        "host",
        "computer",
        "machine",
        "endpoint",
        "ci",
        "gerät",
        "geräte",
        "geraet",
        "appareil",
        "équipement",
        "equipo",
        "dispositivo",
        "system",
        "node",
    ]);
    if has(&[
        "hostname",
        "fqdn",
        "netbios",
        "computername",
        "devicename",
        "gerätename",
        "geraetename",
        "dnsname",
        "displayname",
        "sysname",
    ]) || (device && has(&["name", "nom", "nombre", "bezeichnung"]))
        || (!patients
            && is(&[
                "name",
                "nom",
                "nombre",
                "bezeichnung",
                "gerät",
                "device",
                "host",
                "computer",
                "endpoint",
                "system",
            ]))
    {
        return evidence(Kind::RegisterName);
    }
    if has(&[
        "type",
        "class",
        "category",
        "typ",
        "kategorie",
        "klasse",
        "catégorie",
        "categoría",
        "tipo",
        "clase",
        "modality",
        "modalität",
        "gerätetyp",
        "geräteart",
        "devicetype",
        "nomenclature",
        "gmdn",
        "umdns",
        "ecri",
        "emdn",
    ]) || (device && has(&["description", "beschreibung", "role", "function"]))
    {
        return if has(&["code", "id"]) && !device {
            Column::Ignore
        } else {
            evidence(Kind::RegisterType)
        };
    }
    if has(&[
        "tag",
        "inventarnummer",
        "inventar",
        "inventory",
        "assetid",
        "assettag",
        "assetnumber",
        "deviceid",
        "equipmentid",
        "anlagennummer",
        "etikett",
        "barcode",
        "ctrl",
        "control",
    ]) || (device
        && has(&[
            "id", "number", "no", "nr", "nummer", "numéro", "número", "key",
        ]))
        || is(&[
            "id",
            "sysid",
            "ciid",
            "key",
            "uuid",
            "guid",
            "hostid",
            "agentid",
            "aid",
            "asset",
            "equipment",
            "numeroinventaire",
            "numéroinventaire",
        ])
    {
        return evidence(Kind::RegisterId);
    }
    if has(&[
        "location",
        "place",
        "ward",
        "department",
        "room",
        "building",
        "floor",
        "site",
        "unit",
        "standort",
        "abteilung",
        "station",
        "raum",
        "gebäude",
        "service",
        "emplacement",
        "salle",
        "bâtiment",
        "ubicación",
        "ubicacion",
        "departamento",
        "sala",
        "costcenter",
        "kostenstelle",
        "campus",
    ]) && !has(&["code", "business", "web"])
    {
        return evidence(Kind::RegisterPlace);
    }
    if has(&[
        "status",
        "state",
        "lifecycle",
        "zustand",
        "état",
        "etat",
        "estado",
        "installstatus",
    ]) && !has(&["health", "policy", "sensor", "agent", "warranty"])
    {
        return evidence(Kind::RegisterState);
    }
    Column::Ignore
}

/// Lets the values confirm or correct what the header promises.
fn by_values<'a>(guess: Column, person: bool, cells: impl Iterator<Item = &'a String>) -> Column {
    let (mut filled, mut macs, mut addrs) = (0_usize, 0_usize, 0_usize);
    for cell in cells {
        let cell = cell.trim();
        if is_empty(cell) {
            continue;
        }
        filled += 1;
        // A bare number of twelve digits is no MAC unless the header says so.
        let named = guess == Column::Mac;
        macs +=
            usize::from(parts(cell).any(|part| {
                (named || part.contains([':', '-', '.'])) && mac_column(part).is_some()
            }));
        addrs += usize::from(
            parts(cell).any(|part| part.contains(['.', ':']) && address(part).is_some()),
        );
    }
    if filled == 0 || person {
        return guess;
    }
    match guess {
        // Other columns than those that hold addresses keep what their header says, unless nearly all values are addresses.
        _ if macs * 10 >= filled * 8 && guess != Column::Address => Column::Mac,
        Column::Mac if macs == 0 && addrs * 10 >= filled * 8 => Column::Address,
        Column::Mac if macs == 0 && filled >= 3 => Column::Ignore,
        Column::Address if addrs == 0 && macs > 0 => Column::Mac,
        Column::Address if addrs == 0 && filled >= 3 => Column::Ignore,
        // Gateways, name servers and masks look like addresses, and their headers were refused; a nameless one may pass.
        Column::Evidence(Kind::RegisterName) if addrs * 10 >= filled * 8 => Column::Address,
        other => other,
    }
}

/// Of several columns that would identify the row, the most exact stays.
fn once(found: &mut [Column], words: &[Vec<String>]) {
    let rank = |words: &[String]| {
        let joined = words.concat();
        match joined.as_str() {
            "assettag" | "assetid" | "assetnumber" | "assetno" | "equipmentid"
            | "inventarnummer" | "tag" | "ctrl" | "controlnumber" => 0,
            "deviceid" | "ciid" | "equipmentnumber" | "inventorynumber" => 1,
            _ => 2,
        }
    };
    let best = found
        .iter()
        .zip(words)
        .enumerate()
        .filter(|(_, (column, _))| **column == Column::Evidence(Kind::RegisterId))
        .min_by_key(|(place, (_, words))| (rank(words), *place))
        .map(|(place, _)| place);
    for (place, column) in found.iter_mut().enumerate() {
        if *column == Column::Evidence(Kind::RegisterId) && Some(place) != best {
            *column = Column::Ignore;
        }
    }
}

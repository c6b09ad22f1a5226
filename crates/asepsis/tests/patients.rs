//! Nothing about a patient is in anything that `asepsis discover` prints, logs or keeps: captures, logs, leases and a
//! register full of a patient are read, and every word of every output is searched.

#[path = "../../wire/tests/support/dicom.rs"]
mod dicom;
#[path = "../../sense/tests/support/odd.rs"]
mod odd;
#[path = "../../sense/tests/support/planted.rs"]
#[allow(dead_code, reason = "shared with the tests of the sensor")]
mod planted;
#[path = "../../sense/tests/support/traffic.rs"]
#[allow(dead_code, reason = "shared with the tests of the sensor")]
mod traffic;

use std::path::Path;
use std::process::Command;

use parquet::file::reader::{FileReader as _, SerializedFileReader};
use planted::{PLANTED, cases};

/// A classic capture of these frames, a millisecond apart.
fn capture(frames: &[Vec<u8>]) -> Vec<u8> {
    let mut octets = vec![
        0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 1, 0, 0, 0,
    ];
    for (at, frame) in (0_u32..).zip(frames) {
        let length = u32::try_from(frame.len()).expect("a frame is short");
        for word in [1_750_000_000 + at / 1000, at % 1000 * 1000, length, length] {
            octets.extend(word.to_le_bytes());
        }
        octets.extend(frame);
    }
    octets
}

/// What a hospital may have lying about, with a patient in every place that holds text.
fn sources(folder: &Path) {
    let write = |name: &str, octets: &[u8]| {
        std::fs::write(folder.join(name), octets).expect("a temporary file");
    };
    for (number, segment) in [1_400, 61].into_iter().enumerate() {
        for (place, case) in cases(segment).into_iter().enumerate() {
            let octets = capture(&case.packets);
            write(&format!("{number}-{place}.pcap"), &octets);
            // Damaged ones, so that problems are told too: cut off, and with a length that leads astray.
            write(
                &format!("{number}-{place}-cut.pcap"),
                &octets[..octets.len() - 9],
            );
            let mut astray = octets;
            let middle = astray.len() / 2;
            astray[middle..middle + 4].copy_from_slice(&[0xff; 4]);
            write(&format!("{number}-{place}-astray.pcap"), &astray);
        }
    }
    write(
        "http.log",
        b"#separator \\x09\n#set_separator\t,\n#empty_field\t(empty)\n#unset_field\t-\n#path\thttp\n\
        #fields\tts\tuid\tid.orig_h\tid.orig_p\tid.resp_h\tid.resp_p\ttrans_depth\tmethod\thost\turi\treferrer\tversion\tuser_agent\tusername\tpassword\n\
        1750000000.1\tC1\t10.1.1.30\t50000\t10.1.1.20\t80\t1\tGET\tfhir.example\t/fhir/Patient?family=Zebrowski&birthdate=1961-02-14\thttp://ehr.example/pat-9871\t1.1\tAcme/1.0\tNURSERATCHED\thunter2\n\
        1750000000.2\tbroken Zebrowski MRN4471993\n",
    );
    write(
        "dhcp.log",
        br#"{"ts":1750000001.0,"uids":["C2"],"client_addr":"10.1.1.31","mac":"00:1a:2b:07:07:07","host_name":"Quintessas-iPad","client_message":"Zebrowski","msg_types":["REQUEST","ACK"]}
{"ts":1750000002.0,"host_name":"Zebrowski
"#,
    );
    write(
        "smtp.log",
        br#"{"ts":1750000001.0,"uid":"C3","id.orig_h":"10.1.1.32","id.orig_p":50001,"id.resp_h":"10.1.1.20","id.resp_p":25,"helo":"scanner","mailfrom":"nurseratched@example","rcptto":["zebrowski@example"],"subject":"MRN4471993","last_reply":"250 for Zebrowski"}
"#,
    );
    write(
        "dhcpd.leases",
        b"lease 10.1.1.33 {\n  starts 0 2025/06/15 10:00:00;\n  ends 0 2025/06/15 22:00:00;\n  hardware ethernet 00:1a:2b:08:08:08;\n  client-hostname \"Zebrowskis-iPhone\";\n}\nlease 10.1.1.34 { starts Zebrowski;\n",
    );
    write(
        "register.csv",
        "Inventory number,Manufacturer,Model,Serial,MAC address,IP address,Patient,MRN,Date of birth,Assigned user,Remarks\n\
        D-1,Acme,Scan 9000,SN-0042,00:1a:2b:01:02:03,10.1.1.10,Quintessa Zebrowski,MRN4471993,1961-02-14,NURSERATCHED,ward-note diabetes\n\
        D-2,Acme,Scan 9000,SN-0043,not a MAC Zebrowski,10.1.1.999,Quintessa Zebrowski,MRN4471993,1961-02-14,NURSERATCHED,ward-note\n"
            .as_bytes(),
    );
}

/// What was printed, logged or kept, by what it is.
#[derive(Default)]
struct Words(Vec<(String, String)>);

impl Words {
    /// Runs the program and takes all that it prints; answers its standard output.
    fn run(&mut self, folder: &Path, arguments: &[&str]) -> String {
        let output = Command::new(env!("CARGO_BIN_EXE_asepsis"))
            .args(arguments)
            .current_dir(folder)
            .env("RUST_LOG", "trace")
            .env("NO_COLOR", "1")
            .output()
            .expect("the program runs");
        let printed = String::from_utf8_lossy(&output.stdout).into_owned();
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{arguments:?}: {told}");
        self.0.push((format!("{arguments:?}"), printed.clone()));
        self.0.push((format!("{arguments:?}, beside it"), told));
        printed
    }

    /// Every value of every table.
    fn database(&mut self, file: &Path) {
        let connection = rusqlite::Connection::open(file).expect("a database");
        let mut words = String::new();
        let mut tables = connection
            .prepare("SELECT name FROM sqlite_schema WHERE type = 'table'")
            .expect("a schema");
        let tables: Vec<String> = tables
            .query_map([], |row| row.get(0))
            .expect("tables")
            .map(|name| name.expect("a name"))
            .collect();
        for table in tables {
            let mut rows = connection
                .prepare(&format!("SELECT * FROM \"{table}\""))
                .expect("a table");
            let columns = rows.column_count();
            let mut rows = rows.query([]).expect("rows");
            while let Some(row) = rows.next().expect("a row") {
                for column in 0..columns {
                    let value: rusqlite::types::Value = row.get(column).expect("a value");
                    match value {
                        rusqlite::types::Value::Text(text) => words += &text,
                        rusqlite::types::Value::Blob(octets) => {
                            words += &String::from_utf8_lossy(&octets);
                        }
                        other => words += &format!("{other:?}"),
                    }
                    words.push('\n');
                }
            }
        }
        self.0.push((file.display().to_string(), words));
    }

    /// Every value of every row.
    fn parquet(&mut self, file: &Path) {
        let opened = std::fs::File::open(file).expect("an archive");
        let reader = SerializedFileReader::new(opened).expect("a Parquet file");
        let rows = reader.get_row_iter(None).expect("rows");
        let words: Vec<String> = rows.map(|row| row.expect("a row").to_string()).collect();
        assert!(!words.is_empty(), "conversations were written");
        self.0.push((file.display().to_string(), words.join("\n")));
    }

    /// Every file below a folder, as it lies there.
    fn files(&mut self, folder: &Path) {
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("a folder").path();
            if path.is_dir() {
                self.files(&path);
                continue;
            }
            let octets = std::fs::read(&path).expect("a file");
            let words = String::from_utf8_lossy(&octets).into_owned();
            self.0.push((path.display().to_string(), words));
        }
    }

    /// Where one of these words is found in any case.
    fn find(&self, wanted: &[&str]) -> Vec<String> {
        let mut found = Vec::new();
        for (place, words) in &self.0 {
            let low = words.to_lowercase();
            for word in wanted {
                if let Some(at) = low.find(&word.to_lowercase()) {
                    let near: String = low[..at].chars().rev().take(120).collect();
                    let near: String = near.chars().rev().collect();
                    found.push(format!("`{word}` in {place}, behind `{near}`"));
                }
            }
        }
        found
    }
}

#[test]
fn nothing_about_a_patient_is_printed_logged_or_kept() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let given = folder.path().join("given");
    std::fs::create_dir(&given).expect("a temporary folder");
    sources(&given);
    // The search itself: it finds the patient in what is given.
    let mut given_words = Words::default();
    given_words.files(&given);
    for word in ["zebrowski", "mrn4471993", "1961-02-14", "diabetes"] {
        assert!(!given_words.find(&[word]).is_empty(), "`{word}` is planted");
    }

    let mut words = Words::default();
    let here = folder.path();
    let read = [
        "discover",
        "given",
        "--data",
        "kept",
        "--parquet",
        "kept/c.parquet",
    ];
    let devices = words.run(here, &[&["--format", "json"][..], &read].concat());
    for format in ["text", "csv", "json"] {
        for more in [
            &[][..],
            &["--conversations"],
            &["--against", "given/register.csv"],
        ] {
            let show = ["--format", format, "discover", "--data", "kept"];
            words.run(here, &[&show, more].concat());
        }
    }
    for format in ["text", "json"] {
        words.run(
            here,
            &["--format", format, "queue", "list", "--data", "kept"],
        );
    }
    // Verbose, without a data folder.
    words.run(here, &["-v", "discover", "given"]);
    let ids: Vec<String> = devices
        .lines()
        .map(|line| {
            let device: serde_json::Value = serde_json::from_str(line).expect("an object a line");
            device["id"].as_str().expect("an identifier").to_owned()
        })
        .collect();
    assert!(ids.len() >= 3, "{devices}");
    for id in &ids {
        for format in ["text", "json"] {
            let why = [
                "--format", format, "discover", "--data", "kept", "--why", id,
            ];
            words.run(here, &why);
        }
    }
    words.database(&here.join("kept/inventory.db"));
    words.parquet(&here.join("kept/c.parquet"));
    words.files(&here.join("kept"));

    for device in [
        "Acme Medical",
        "Scan 9000",
        "C-STORE",
        "FHIR search",
        "iPad",
        "Mindray",
    ] {
        assert!(!words.find(&[device]).is_empty(), "`{device}` is said");
    }
    let found = words.find(PLANTED);
    assert!(found.is_empty(), "{found:#?}");
}

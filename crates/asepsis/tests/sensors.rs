//! A sensor on one host and the centre on another, as real processes: what the sensor saw counts once, whoever is killed.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use inventory::inventory::ConversationRow;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair,
};
use store::{Rows, Table, read_inventory};
use tempfile::TempDir;

/// How long something that has to happen may take; a test machine may be busy.
const PATIENCE: Duration = Duration::from_secs(90);
/// The applications' certificate covers these.
const DOMAIN: &str = "test-hospital.example";

/// An authority.
struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        let key = KeyPair::generate().expect("a key");
        Self(CertifiedIssuer::self_signed(params, key).expect("an authority"))
    }

    fn write(&self, folder: &Path, name: &str) {
        fs::write(folder.join(name), self.0.pem()).expect("written");
    }

    /// Writes `NAME.pem` and `NAME.key`.
    fn issue(&self, folder: &Path, name: &str, hosts: &[&str], usage: ExtendedKeyUsagePurpose) {
        let hosts: Vec<String> = hosts.iter().map(|h| (*h).to_owned()).collect();
        let mut params = CertificateParams::new(hosts).expect("names");
        params.distinguished_name.push(DnType::CommonName, name);
        params.extended_key_usages = vec![usage];
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.0).expect("a certificate");
        fs::write(folder.join(format!("{name}.pem")), certificate.pem()).expect("written");
        fs::write(folder.join(format!("{name}.key")), key.serialize_pem()).expect("written");
    }
}

/// The program, killed without a word when this goes.
struct Program {
    child: Child,
    log: PathBuf,
}

impl Program {
    /// Starts it and waits until it says that it is ready. What it says on standard error is added to `LOG`.
    fn start(arguments: &[&str], config: &Path, log: &Path) -> Self {
        let words = fs::File::options()
            .create(true)
            .append(true)
            .open(log)
            .expect("a log");
        let mut child = Command::new(env!("CARGO_BIN_EXE_asepsis"))
            .args(["--format", "json"])
            .args(arguments)
            .arg("--config")
            .arg(config)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(words)
            .spawn()
            .expect("the program starts");
        let mut line = String::new();
        let output = child.stdout.take().expect("its output");
        BufReader::new(output)
            .read_line(&mut line)
            .expect("its first line");
        let program = Self {
            child,
            log: log.to_owned(),
        };
        assert!(
            line.contains("\"ready\":true"),
            "it said `{line}`:\n{}",
            program.log()
        );
        program
    }

    fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // SIGKILL: it has no time to write anything.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A centre's folder with everything but the sensors.
struct Site {
    folder: TempDir,
    sensors_ca: Authority,
    intake: u16,
}

impl Site {
    fn new(sensors: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path();
        let centre_ca = Authority::new("the centre's authority");
        let sensors_ca = Authority::new("the sensors' authority");
        centre_ca.write(path, "centre-ca.pem");
        sensors_ca.write(path, "sensors-ca.pem");
        centre_ca.issue(
            path,
            "centre",
            &["localhost"],
            ExtendedKeyUsagePurpose::ServerAuth,
        );
        let hosts = [&format!("*.{DOMAIN}"), DOMAIN];
        centre_ca.issue(path, "web", &hosts, ExtendedKeyUsagePurpose::ServerAuth);
        let [web, intake] = free_ports();
        let mut config = format!(
            r#"
hospital = "Test hospital"
data = "data"
[access]
host = "access.{DOMAIN}"
rp_id = "{DOMAIN}"
administrator = "admin"
[console]
host = "console.{DOMAIN}"
[sessions]
idle_minutes = 30
absolute_hours = 12
[[listener]]
address = "127.0.0.1:{web}"
certificate = "web.pem"
key = "web.key"
[[application]]
name = "ehr"
host = "ehr.{DOMAIN}"
upstream = "http://127.0.0.1:9"
criticality = "business"
mode = "shadow"
[sensor_intake]
address = "127.0.0.1:{intake}"
certificate = "centre.pem"
key = "centre.key"
client_ca = "sensors-ca.pem"
"#
        );
        for name in sensors {
            config.push_str(&format!("[[sensor]]\nname = \"{name}\"\nremote = true\n"));
        }
        fs::write(path.join("asepsis.toml"), config).expect("written");
        Self {
            folder,
            sensors_ca,
            intake,
        }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn centre(&self) -> Program {
        let config = self.path().join("asepsis.toml");
        Program::start(&["up"], &config, &self.path().join("centre.log"))
    }

    /// A sensor with the certificate `certificate`, which takes flow records from an exporter.
    fn sensor(&self, name: &str, certificate: &str, centre_ca: &str) -> Sensor<'_> {
        let [port] = free_ports();
        let text = format!(
            "centre = \"https://localhost:{}\"\ncentre_ca = \"{centre_ca}\"\ncertificate = \"{certificate}.pem\"\n\
             key = \"{certificate}.key\"\nspool = \"spool-{name}\"\nspool_megabytes = 1\n\
             [[sensor]]\nname = \"{name}\"\nnetflow = \"127.0.0.1:{port}\"\n",
            self.intake
        );
        let config = self.path().join(format!("{name}.toml"));
        fs::write(&config, text).expect("written");
        Sensor {
            site: self,
            name: name.to_owned(),
            config,
            exporter: UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a socket"),
            port,
            records: 0,
        }
    }

    /// Flows in the centre's file from the sensors' test client.
    fn flows_kept(&self) -> u64 {
        let rows: Rows<ConversationRow> =
            match read_inventory(self.path().join("data/inventory.db"), Table::Conversations) {
                Ok(rows) => rows,
                Err(_) => return 0,
            };
        rows.iter().map(|(_, row)| row.conversation.flows).sum()
    }
}

/// A sensor's configuration, and an exporter that sends to it.
struct Sensor<'a> {
    site: &'a Site,
    name: String,
    config: PathBuf,
    exporter: UdpSocket,
    port: u16,
    records: u32,
}

impl Sensor<'_> {
    fn start(&self) -> Program {
        let log = self.site.path().join(format!("{}.log", self.name));
        let program = Program::start(&["sensor"], &self.config, &log);
        // What comes before its socket is there is nobody's.
        let socket = format!(":{:04X} ", self.port);
        wait_for(
            "the sensor's socket",
            || program.log(),
            || fs::read_to_string("/proc/net/udp").is_ok_and(|table| table.contains(&socket)),
        );
        program
    }

    /// Sends this many flow records, each of another connection to one server.
    fn export(&mut self, records: u32) {
        let mut left = records;
        while left > 0 {
            let count = left.min(30);
            let packet = netflow5(self.records, count);
            let to = (Ipv4Addr::LOCALHOST, self.port);
            self.exporter.send_to(&packet, to).expect("sent");
            self.records += count;
            left -= count;
            // A socket's room is for a few hundred packets.
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    fn batches(&self) -> Vec<u64> {
        let folder = self.site.path().join(format!("spool-{}", self.name));
        let Ok(entries) = fs::read_dir(folder) else {
            return Vec::new();
        };
        entries
            .flatten()
            .filter(|e| e.path().extension().is_some_and(|x| x == "json"))
            .filter_map(|e| e.metadata().ok())
            .map(|m| m.len())
            .collect()
    }
}

/// A packet of Cisco NetFlow version 5: header of 24 octets, records of 48.
fn netflow5(first: u32, count: u32) -> Vec<u8> {
    let mut packet = Vec::new();
    packet.extend(5_u16.to_be_bytes());
    packet.extend(u16::try_from(count).expect("at most 30").to_be_bytes());
    packet.extend(3_600_000_u32.to_be_bytes()); // uptime, ms
    packet.extend(1_795_341_600_u32.to_be_bytes()); // 2026-11-22T10:00:00Z
    packet.extend([0; 4]);
    packet.extend(first.to_be_bytes());
    packet.extend([0; 4]);
    for n in first..first + count {
        packet.extend([10, 20, 20, 11]);
        packet.extend([10, 20, 10, 13]);
        packet.extend([0; 4]);
        packet.extend([0, 1, 0, 2]);
        packet.extend(12_u32.to_be_bytes()); // packets
        packet.extend(3_400_u32.to_be_bytes()); // octets
        packet.extend(3_590_000_u32.to_be_bytes());
        packet.extend(3_599_000_u32.to_be_bytes());
        let port = 20_000 + u16::try_from(n % 40_000).expect("a port");
        packet.extend(port.to_be_bytes());
        packet.extend(104_u16.to_be_bytes());
        packet.extend([0, 0x1b, 6, 0, 0, 0, 0, 0, 24, 24, 0, 0]);
    }
    packet
}

fn free_ports<const N: usize>() -> [u16; N] {
    // All are held until all are known, so that none comes twice.
    let held: [TcpListener; N] =
        std::array::from_fn(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port"));
    held.each_ref()
        .map(|listener| listener.local_addr().expect("a port").port())
}

#[track_caller]
fn wait_for(what: &str, log: impl Fn() -> String, mut there: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !there() {
        assert!(Instant::now() < deadline, "{what} did not come:\n{}", log());
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn what_a_sensor_saw_counts_once_though_either_side_is_killed_at_any_time() {
    let site = Site::new(&["east"]);
    let client = ExtendedKeyUsagePurpose::ClientAuth;
    site.sensors_ca
        .issue(site.path(), "east", &["east"], client);
    let mut sensor = site.sensor("east", "east", "centre-ca.pem");

    // The centre is away: what is seen waits on the disk.
    let program = sensor.start();
    sensor.export(50);
    wait_for(
        "a batch in the spool",
        || program.log(),
        || !sensor.batches().is_empty(),
    );
    std::thread::sleep(Duration::from_millis(2_500));
    drop(program);
    let program = sensor.start();

    // The centre comes, takes it into memory, and is killed before or after it has it in its file.
    for millis in [2_000, 4_000, 11_000, 13_000] {
        let centre = site.centre();
        sensor.export(20);
        std::thread::sleep(Duration::from_millis(millis));
        drop(centre);
        sensor.export(7);
    }
    // What is younger than a second is in the sensor's memory only.
    std::thread::sleep(Duration::from_millis(2_500));
    drop(program);

    let program = sensor.start();
    let centre = site.centre();
    let log = || format!("centre:\n{}\nsensor:\n{}", centre.log(), program.log());
    wait_for("an empty spool", log, || sensor.batches().is_empty());
    assert_eq!(site.flows_kept(), u64::from(sensor.records), "{}", log());
    // Nothing is sent again after all of it was kept.
    drop(centre);
    let centre = site.centre();
    std::thread::sleep(Duration::from_secs(12));
    assert_eq!(site.flows_kept(), u64::from(sensor.records));
    drop(centre);
}

#[test]
fn strangers_bring_nothing_and_a_sensor_trusts_no_other_centre() {
    let site = Site::new(&["east"]);
    let client = || ExtendedKeyUsagePurpose::ClientAuth;
    let path = site.path();
    let foreign = Authority::new("somebody else's authority");
    foreign.write(path, "foreign-ca.pem");
    foreign.issue(path, "foreign", &["east"], client());
    site.sensors_ca.issue(path, "west", &["west"], client());
    site.sensors_ca.issue(path, "east", &["east"], client());
    let mut strangers = [
        // Issued by an authority that the centre does not know, though it bears the right name.
        site.sensor("a", "foreign", "centre-ca.pem"),
        // Known authority, but no sensor of this name is configured.
        site.sensor("b", "west", "centre-ca.pem"),
        // A good sensor, to which the centre cannot show a certificate that it trusts.
        site.sensor("c", "east", "foreign-ca.pem"),
    ];
    let centre = site.centre();
    let programs: Vec<Program> = strangers.iter().map(Sensor::start).collect();
    for stranger in &mut strangers {
        stranger.export(5);
    }
    for (stranger, program) in strangers.iter().zip(&programs) {
        wait_for(
            "a refusal",
            || program.log(),
            || {
                program
                    .log()
                    .contains("the centre does not take observations")
            },
        );
        wait_for(
            "a batch",
            || program.log(),
            || !stranger.batches().is_empty(),
        );
    }
    // Longer than the centre takes to write its file.
    std::thread::sleep(Duration::from_secs(13));
    assert_eq!(site.flows_kept(), 0, "{}", centre.log());
    for (stranger, program) in strangers.iter().zip(&programs) {
        assert!(!stranger.batches().is_empty(), "{}", program.log());
    }
}

#[test]
fn a_full_spool_keeps_what_is_new_and_the_centre_hears_of_the_loss() {
    let site = Site::new(&["east"]);
    let client = ExtendedKeyUsagePurpose::ClientAuth;
    site.sensors_ca
        .issue(site.path(), "east", &["east"], client);
    let mut sensor = site.sensor("east", "east", "centre-ca.pem");
    let program = sensor.start();
    // Several seconds, each a batch of its own or more.
    for _ in 0..6 {
        sensor.export(3_000);
        std::thread::sleep(Duration::from_millis(800));
    }
    std::thread::sleep(Duration::from_millis(1_500));
    let held = sensor.batches();
    let largest = held.iter().max().copied().unwrap_or(0);
    assert!(
        held.iter().sum::<u64>() <= (1 << 20).max(largest),
        "the spool holds {held:?}"
    );
    sensor.export(1);
    let centre = site.centre();
    let log = || format!("centre:\n{}\nsensor:\n{}", centre.log(), program.log());
    wait_for("an empty spool", log, || sensor.batches().is_empty());
    assert!(centre.log().contains("spool was full"), "{}", log());
    let kept = site.flows_kept();
    assert!(
        kept > 0 && kept < u64::from(sensor.records),
        "{kept} of {}",
        sensor.records
    );
}

//! The hosts, the programs on them, and their day.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use super::network::{CORE, MIRROR, Network};
use super::{path_of, quiet, scripts};
use crate::process::Process;

/// A host: its name, MAC address (with its maker's block) and address; none: it asks for one.
const HOSTS: &[(&str, &str, Option<&str>)] = &[
    ("ct", "00:18:65:10:00:01", Some("10.77.0.11")),
    ("pacs", "c8:f7:50:10:00:02", Some("10.77.0.12")),
    ("pump", "00:12:21:0c:0d:0e", Some("10.77.0.13")),
    ("engine", "00:50:56:10:00:04", Some("10.77.0.14")),
    ("infra", "00:50:56:10:00:05", Some("10.77.0.1")),
    ("ws", "98:e7:43:10:00:06", None),
    ("tab", "60:8b:0e:10:00:07", None),
    ("prn", "9c:7b:ef:10:00:08", Some("10.77.0.20")),
    ("sw", "f4:bd:9e:10:00:09", Some("10.77.0.2")),
    ("broker", "00:50:56:10:00:0a", Some("10.77.0.21")),
    ("sensor", "dc:a6:32:10:00:0b", Some("10.77.0.22")),
    ("ahu", "38:4b:24:10:00:0c", Some("10.77.0.30")),
    ("bms", "00:50:56:10:00:0d", Some("10.77.0.31")),
    ("monitor", "00:09:5c:10:00:0e", Some("10.77.0.40")),
    ("central", "00:50:56:10:00:0f", Some("10.77.0.41")),
    ("intruder", "00:e0:4c:10:00:10", Some("10.77.0.66")),
];

/// The running lab. Its programs end before its network goes.
pub(super) struct Lab {
    programs: std::cell::RefCell<Vec<Process>>,
    network: Network,
    folder: PathBuf,
    python: PathBuf,
}

/// Asepsis at the mirror port.
pub(super) struct Listening {
    process: Process,
    answer: PathBuf,
    words: PathBuf,
}

impl Listening {
    /// What it answered, when it is done.
    pub(super) fn finish(mut self, within: Duration) -> Result<String> {
        let deadline = Instant::now() + within;
        loop {
            if let Some(status) = self.process.ended()? {
                let words = std::fs::read_to_string(&self.words).unwrap_or_default();
                anyhow::ensure!(
                    status.success(),
                    "asepsis ended with {status}: {}",
                    words.trim()
                );
                return std::fs::read_to_string(&self.answer).context("reading Asepsis's answer");
            }
            if Instant::now() > deadline {
                bail!("asepsis did not come to an end");
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

impl Lab {
    /// The network, and every server on it.
    pub(super) fn open(folder: &Path, python: &Path) -> Result<Self> {
        let mut network = Network::open()?;
        for (name, mac, address) in HOSTS {
            network
                .host(name, mac, *address)
                .with_context(|| format!("making the host `{name}`"))?;
        }
        let lab = Self {
            programs: std::cell::RefCell::default(),
            network,
            folder: folder.to_owned(),
            python: python.to_owned(),
        };
        lab.serve()?;
        Ok(lab)
    }

    /// Asepsis, listening for that long.
    pub(super) fn listen(&self, asepsis: &Path, how_long: Duration) -> Result<Listening> {
        let answer = self.folder.join("discover.json");
        let words = self.folder.join("discover.log");
        let mut command = self.network.command(CORE, asepsis);
        command
            .args(["--format", "json", "discover", "--interface", MIRROR])
            .args(["--for", &format!("{}s", how_long.as_secs())])
            .arg("--data")
            .arg(self.folder.join("data"))
            .stdin(Stdio::null())
            .stdout(File::create(&answer)?)
            .stderr(File::create(&words)?);
        let process = Process::start("asepsis", &mut command)?;
        // The ring must be there before the first frame that counts.
        std::thread::sleep(Duration::from_secs(2));
        Ok(Listening {
            process,
            answer,
            words,
        })
    }

    fn serve(&self) -> Result<()> {
        let leases = self.folder.join("leases").display().to_string();
        self.start(
            "infra",
            "dnsmasq",
            &[
                "-k",
                "-C",
                "/dev/null",
                "--no-resolv",
                "--no-hosts",
                "--interface=eth0",
                "--bind-interfaces",
                "--dhcp-range=10.77.0.100,10.77.0.150,1h",
                "--dhcp-option=3,10.77.0.1",
                "--address=/pacs.lab.example/10.77.0.12",
                &format!("--dhcp-leasefile={leases}"),
                &format!("--pid-file={}", self.folder.join("dnsmasq.pid").display()),
            ],
        )?;
        let storage = self.folder.join("orthanc");
        std::fs::create_dir_all(&storage)?;
        let orthanc = serde_json::json!({
            "Name": "PACSLAB", "DicomAet": "PACSLAB", "DicomPort": 104, "HttpPort": 8042, "RemoteAccessAllowed": true,
            "AuthenticationEnabled": false, "DicomCheckCalledAet": false,
            "StorageDirectory": storage, "IndexDirectory": storage,
        });
        let orthanc = self.write("orthanc.json", &orthanc.to_string())?;
        self.start("pacs", "Orthanc", &[&orthanc])?;
        self.start(
            "engine",
            "/usr/bin/python3",
            &[&script("hl7_receiver.py"), "10.77.0.14", "2575"],
        )?;
        let mosquitto = self.write(
            "mosquitto.conf",
            "listener 1883 10.77.0.21\nallow_anonymous true\n",
        )?;
        self.start("broker", "mosquitto", &["-c", &mosquitto])?;
        let python = self.python.display().to_string();
        self.start(
            "ahu",
            &python,
            &[&script("bacnet.py"), "controller", "10.77.0.30"],
        )?;
        self.start(
            "monitor",
            &python,
            &[&script("sdc.py"), "monitor", "eth0", "10.77.0.40"],
        )?;
        let snmpd = self.write(
            "snmpd.conf",
            "rocommunity public\nsysDescr Cisco IOS Software, C2960 Software (C2960-LANBASEK9-M), Version 15.0(2)SE11\n\
             sysObjectID .1.3.6.1.4.1.9.1.716\nsysName lab-switch\n",
        )?;
        self.start(
            "sw",
            "snmpd",
            &["-f", "-Lo", "-C", "-r", "-c", &snmpd, "udp:10.77.0.2:161"],
        )?;
        self.printer()
    }

    /// A printer that prints nothing: CUPS's, announced by an Avahi with a message bus of its own.
    fn printer(&self) -> Result<()> {
        let socket = self.folder.join("bus");
        let bus = self.write(
            "bus.conf",
            &format!(
                "<busconfig><type>system</type><listen>unix:path={}</listen><auth>EXTERNAL</auth><policy context=\"default\">\
                 <allow user=\"*\"/><allow own=\"*\"/><allow send_type=\"method_call\"/><allow send_type=\"signal\"/>\
                 <allow send_requested_reply=\"true\"/><allow receive_type=\"method_call\"/><allow receive_type=\"signal\"/>\
                 <allow receive_type=\"method_return\"/><allow receive_type=\"error\"/></policy></busconfig>",
                socket.display()
            ),
        )?;
        self.start(
            "prn",
            "dbus-daemon",
            &[&format!("--config-file={bus}"), "--nofork", "--nopidfile"],
        )?;
        wait_for("the printer's message bus", || socket.exists())?;
        let avahi = self.write("avahi.conf", "[server]\nuse-ipv6=no\nhost-name=prn-lab\n")?;
        self.start(
            "prn",
            "avahi-daemon",
            &[
                "-f",
                &avahi,
                "--no-drop-root",
                "--no-chroot",
                "--no-rlimits",
            ],
        )?;
        std::thread::sleep(Duration::from_millis(1500));
        let folder = self.folder.display().to_string();
        self.start(
            "prn",
            "ippeveprinter",
            &[
                "-n",
                "10.77.0.20",
                "-p",
                "631",
                "-M",
                "HP",
                "-m",
                "LaserJet M507",
                "-d",
                &folder,
                "-f",
                "application/pdf",
                "labprinter",
            ],
        )
    }

    /// What the clients do, one after the other.
    pub(super) fn live(&self) -> Result<()> {
        let python = self.python.display().to_string();
        self.start(
            "ws",
            "dhclient",
            &[
                "-d",
                "-sf",
                "/bin/true",
                "-lf",
                &self.file("ws.leases"),
                "-pf",
                &self.file("ws.pid"),
                "eth0",
            ],
        )?;
        self.start(
            "tab",
            "udhcpc",
            &[
                "-f",
                "-i",
                "eth0",
                "-x",
                "hostname:ward-tablet",
                "-s",
                "/bin/true",
            ],
        )?;
        let image = self.file("image.dcm");
        quiet(
            Command::new(path_of("dump2dcm"))
                .arg(scripts().join("image.txt"))
                .arg(&image),
        )?;
        self.start(
            "pump",
            "/usr/bin/python3",
            &[&script("hl7_sender.py"), "10.77.0.14", "2575"],
        )?;
        self.start(
            "bms",
            &python,
            &[&script("bacnet.py"), "asker", "10.77.0.31", "10.77.0.30"],
        )?;
        self.start("central", &python, &[&script("sdc.py"), "consumer", "eth0"])?;
        self.run(
            "ct",
            "echoscu",
            &["-aet", "CTLAB1", "-aec", "PACSLAB", "10.77.0.12", "104"],
        )?;
        self.run(
            "ct",
            "storescu",
            &[
                "-aet",
                "CTLAB1",
                "-aec",
                "PACSLAB",
                "10.77.0.12",
                "104",
                &image,
            ],
        )?;
        self.run(
            "sensor",
            "mosquitto_pub",
            &[
                "-h",
                "10.77.0.21",
                "-i",
                "sensor-4711",
                "-t",
                "lab/temperature",
                "-m",
                "4.1",
            ],
        )?;
        self.run(
            "infra",
            "snmpget",
            &[
                "-v2c",
                "-c",
                "public",
                "10.77.0.2",
                "1.3.6.1.2.1.1.1.0",
                "1.3.6.1.2.1.1.2.0",
            ],
        )?;
        let leased = self.leased()?;
        self.network.address("ws", &leased)?;
        let attributes = self.write(
            "attributes.test",
            "{ NAME \"attributes\" OPERATION Get-Printer-Attributes\nGROUP operation-attributes-tag\nATTR charset attributes-charset utf-8\n\
             ATTR language attributes-natural-language en\nATTR uri printer-uri $uri\nSTATUS successful-ok }\n",
        )?;
        self.run(
            "ws",
            "ipptool",
            &["ipp://10.77.0.20:631/ipp/print", &attributes],
        )?;
        let profile = format!("--user-data-dir={}", self.file("chromium"));
        self.run(
            "ws",
            "chromium",
            &[
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-background-networking",
                &profile,
                "--dump-dom",
                "http://10.77.0.12:8042/system",
            ],
        )?;
        self.run(
            "intruder",
            "nmap",
            &[
                "-n",
                "-Pn",
                "-sT",
                "-p",
                "22,80,104,445,631",
                "10.77.0.11-14",
            ],
        )
    }

    /// The address that the workstation's DHCP client was given.
    fn leased(&self) -> Result<String> {
        let log = self.folder.join("ws-dhclient.log");
        let mut address = None;
        wait_for("the workstation's lease", || {
            let mut words = String::new();
            let read = File::open(&log).and_then(|mut file| file.read_to_string(&mut words));
            address = read
                .ok()
                .and_then(|_| words.split("bound to ").nth(1))
                .and_then(|rest| rest.split_whitespace().next())
                .map(str::to_owned);
            address.is_some()
        })?;
        address.context("no lease")
    }

    fn start(&self, host: &str, program: &str, arguments: &[&str]) -> Result<()> {
        let mut command = self.prepare(host, program, arguments)?;
        let process = Process::start(&format!("{program} on {host}"), &mut command)?;
        self.programs.borrow_mut().push(process);
        Ok(())
    }

    fn run(&self, host: &str, program: &str, arguments: &[&str]) -> Result<()> {
        let mut process = Process::start(program, &mut self.prepare(host, program, arguments)?)?;
        let deadline = Instant::now() + Duration::from_secs(40);
        while Instant::now() < deadline {
            if let Some(status) = process.ended()? {
                let log = self.log(host, program);
                anyhow::ensure!(
                    status.success(),
                    "`{program}` on {host} ended with {status}: {}",
                    std::fs::read_to_string(log).unwrap_or_default().trim()
                );
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        bail!("`{program}` on {host} did not come to an end");
    }

    fn prepare(&self, host: &str, program: &str, arguments: &[&str]) -> Result<Command> {
        let log = File::create(self.log(host, program))?;
        let mut command = self.network.command(host, path_of(program));
        command
            .args(arguments)
            .env(
                "DBUS_SYSTEM_BUS_ADDRESS",
                format!("unix:path={}", self.file("bus")),
            )
            .current_dir(&self.folder)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log);
        Ok(command)
    }

    fn log(&self, host: &str, program: &str) -> PathBuf {
        let name = Path::new(program)
            .file_name()
            .unwrap_or_default()
            .to_string_lossy();
        self.folder.join(format!("{host}-{name}.log"))
    }

    fn file(&self, name: &str) -> String {
        self.folder.join(name).display().to_string()
    }

    fn write(&self, name: &str, text: &str) -> Result<String> {
        let path = self.file(name);
        std::fs::write(&path, text).with_context(|| format!("cannot write `{path}`"))?;
        Ok(path)
    }
}

fn script(name: &str) -> String {
    scripts().join(name).display().to_string()
}

fn wait_for(what: &str, mut there: impl FnMut() -> bool) -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs(20);
    while Instant::now() < deadline {
        if there() {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    bail!("{what} did not come");
}

//! The hosts, the programs on them, and their day.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

use super::network::{CORE, MIRROR, Network};
use super::{path_of, quiet, scripts};
use crate::process::Process;

/// A host: its name, MAC address (with its maker's block) and address; none: it asks for one.
pub(super) const HOSTS: &[(&str, &str, Option<&str>)] = &[
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

/// What the last packets may take from the mirror port to Asepsis.
const LAST_PACKETS: Duration = Duration::from_secs(3);
/// How long Asepsis may take to answer after the interrupt.
const ANSWER: Duration = Duration::from_secs(60);

impl Listening {
    /// Interrupts it, as a person does with Ctrl-C, and takes what it answers.
    pub(super) fn finish(mut self) -> Result<String> {
        std::thread::sleep(LAST_PACKETS);
        let pid = i32::try_from(self.process.id())
            .ok()
            .and_then(Pid::from_raw)
            .context("asepsis has no process number")?;
        kill_process(pid, Signal::INT).context("cannot interrupt asepsis")?;
        let status = ended(&mut self.process, ANSWER)?;
        anyhow::ensure!(
            status.success(),
            "asepsis ended with {status}: {}",
            std::fs::read_to_string(&self.words)
                .unwrap_or_default()
                .trim()
        );
        std::fs::read_to_string(&self.answer).context("reading Asepsis's answer")
    }
}

impl Lab {
    /// The network with its hosts. They are silent.
    pub(super) fn open(name: &str, folder: &Path, python: &Path) -> Result<Self> {
        let mut network = Network::open(name, folder)?;
        for (name, mac, address) in HOSTS {
            network
                .host(name, mac, *address)
                .with_context(|| format!("making the host `{name}`"))?;
        }
        Ok(Self {
            programs: std::cell::RefCell::default(),
            network,
            folder: folder.to_owned(),
            python: python.to_owned(),
        })
    }

    /// Asepsis, listening until it is asked.
    pub(super) fn listen(&self, asepsis: &Path) -> Result<Listening> {
        let answer = self.folder.join("discover.json");
        let words = self.folder.join("discover.log");
        let mut command = self.network.command(CORE, asepsis);
        command
            .args(["--format", "json", "discover", "--interface", MIRROR])
            .arg("--data")
            .arg(self.folder.join("data"))
            .stdin(Stdio::null())
            .stdout(File::create(&answer)?)
            .stderr(File::create(&words)?);
        let mut process = Process::start("asepsis", &mut command)?;
        // Its ring must be there before the first frame that counts.
        let there = wait_for("asepsis at the mirror port", || {
            self.network.has_packet_socket(CORE) || matches!(process.ended(), Ok(Some(_)))
        });
        if let Ok(Some(status)) = process.ended() {
            bail!(
                "asepsis ended with {status}: {}",
                std::fs::read_to_string(&words).unwrap_or_default().trim()
            );
        }
        there?;
        Ok(Listening {
            process,
            answer,
            words,
        })
    }

    /// The conversations that Asepsis kept.
    pub(super) fn conversations(&self, asepsis: &Path) -> Result<String> {
        let output = Command::new(asepsis)
            .args(["--format", "json", "discover", "--conversations", "--data"])
            .arg(self.folder.join("data"))
            .stdin(Stdio::null())
            .output()
            .context("cannot start asepsis")?;
        anyhow::ensure!(
            output.status.success(),
            "asepsis does not tell the conversations: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        );
        let text = String::from_utf8(output.stdout).context("the conversations are no text")?;
        self.write("conversations.json", &text)?;
        Ok(text)
    }

    /// What Asepsis said beside its answer.
    pub(super) fn words(&self) -> Result<String> {
        std::fs::read_to_string(self.folder.join("discover.log")).context("reading Asepsis's words")
    }

    /// Packets that Asepsis's host sent into the mirror port.
    pub(super) fn sent_by_mirror(&self) -> Result<u64> {
        self.network.sent_by_mirror()
    }

    /// The last line of each program that said something, for a lab that failed.
    pub(super) fn last_words(&self) -> Vec<String> {
        let entries = std::fs::read_dir(&self.folder).into_iter().flatten();
        let mut words: Vec<String> = entries
            .flatten()
            .filter(|entry| {
                entry
                    .path()
                    .extension()
                    .is_some_and(|ending| ending == "log")
            })
            .filter_map(|entry| {
                let text = std::fs::read_to_string(entry.path()).ok()?;
                let last = text.trim_end().lines().last()?;
                Some(format!("{}: {last}", entry.file_name().to_string_lossy()))
            })
            .collect();
        words.sort();
        words
    }

    /// Programs and network stay when this value and this process go.
    pub(super) fn let_stay(&mut self) -> Result<()> {
        self.network.let_stay()?;
        self.programs.take().into_iter().for_each(std::mem::forget);
        Ok(())
    }

    /// Every server, until it can be asked.
    pub(super) fn serve(&self) -> Result<()> {
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
        self.printer()?;
        for (host, port) in [
            ("pacs", 104),
            ("pacs", 8042),
            ("engine", 2575),
            ("broker", 1883),
            ("prn", 631),
        ] {
            wait_for(&format!("port {port} of {host}"), || {
                self.network.listens(host, port)
            })?;
        }
        Ok(())
    }

    /// A printer that prints nothing: CUPS's, announced by an Avahi with a message bus of its own. Given a server name it
    /// would want that name to have addresses of both families.
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
        wait_for("the printer's name service", || {
            log_says(&self.log("prn", "avahi-daemon"), "Server startup complete")
        })?;
        let folder = self.folder.display().to_string();
        self.start(
            "prn",
            "ippeveprinter",
            &[
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
        let resolver = self.write("resolv.conf", "nameserver 10.77.0.1\n")?;
        self.run(
            "ws",
            "sh",
            &[
                "-c",
                // `ip netns exec` gives a mount namespace of its own, so this is seen by the browser alone.
                "mount --bind \"$1\" \"$(realpath /etc/resolv.conf)\" && shift && exec \"$@\"",
                "sh",
                &resolver,
                &path_of("chromium").display().to_string(),
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-background-networking",
                &profile,
                "--dump-dom",
                "http://pacs.lab.example:8042/system",
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
        let log = self.log("ws", "dhclient");
        let mut address = None;
        wait_for("the workstation's lease", || {
            let words = std::fs::read_to_string(&log).unwrap_or_default();
            address = words
                .split("bound to ")
                .nth(1)
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
        let status = ended(&mut process, Duration::from_secs(60))?;
        anyhow::ensure!(
            status.success(),
            "`{program}` on {host} ended with {status}: {}",
            std::fs::read_to_string(self.log(host, program))
                .unwrap_or_default()
                .trim()
        );
        Ok(())
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

/// How a program ended, within that long.
fn ended(process: &mut Process, within: Duration) -> Result<ExitStatus> {
    let deadline = Instant::now() + within;
    while Instant::now() < deadline {
        if let Some(status) = process.ended()? {
            return Ok(status);
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    bail!("{} did not come to an end", process.name());
}

fn log_says(log: &Path, words: &str) -> bool {
    std::fs::read_to_string(log).is_ok_and(|text| text.contains(words))
}

fn script(name: &str) -> String {
    scripts().join(name).display().to_string()
}

fn wait_for(what: &str, mut there: impl FnMut() -> bool) -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs(30);
    while Instant::now() < deadline {
        if there() {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    bail!("{what} did not come");
}

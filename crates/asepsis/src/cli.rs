//! The command line: names, flags, examples. What the commands do lives in their own modules.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

/// Zero trust for hospitals in one program.
#[derive(Debug, Parser)]
#[command(
    name = "asepsis",
    version,
    about = "Zero trust for hospitals: decide every request, enforce it, prove it.",
    max_term_width = 100,
    after_help = "First steps:\n  asepsis demo            a sample hospital to look at, on this machine only\n  asepsis demo --tour     the same story without a browser, in a few seconds\n  asepsis init            write asepsis.toml for your own applications\n  asepsis up              run it"
)]
pub(crate) struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
    /// How to print: for people or for programs.
    #[arg(long, global = true, value_enum, default_value_t = Format::Text)]
    pub(crate) format: Format,
    /// Say more of what goes on, to standard error: -v for steps, -vv for every request.
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
}

/// How results are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Tables and sentences.
    Text,
    /// JSON: one object a line where a command prints several.
    Json,
    /// CSV with a header line; only where a command prints a table of its own (`discover`).
    Csv,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a sample hospital on this machine, or tell its story without a browser.
    #[command(
        after_help = "Examples:\n  asepsis demo\n  asepsis demo --tour --seed 7\n  asepsis demo --data ./sample --application wiki=http://127.0.0.1:9000"
    )]
    Demo(Demo),
    /// Write asepsis.toml for your own applications, by questions or flags.
    #[command(
        after_help = "Examples:\n  asepsis init\n  asepsis init --domain example-hospital.org --certificate fullchain.pem --key privkey.pem \\\n    --application ehr=http://10.0.0.5:8080/fhir"
    )]
    Init(Init),
    /// Validate the configuration and everything it names, without listening.
    #[command(after_help = "Example:\n  asepsis check --config asepsis.toml")]
    Check(WithConfig),
    /// Run the gateway, the sign-in origin and the console.
    #[command(after_help = "Example:\n  asepsis up --config asepsis.toml")]
    Up(Up),
    /// Judge an AuthZEN 1.0 evaluation or evaluations request (vocabulary: docs/decisions.md).
    #[command(
        after_help = "Examples:\n  asepsis decide request.json\n  asepsis decide - < request.json\n  asepsis decide --pack ./packs/mine --at 2026-11-22T08:00:00Z request.json"
    )]
    Decide(Decide),
    /// List every device that captures, interfaces, logs and exports know of: what it is, why, and whom it talks to.
    #[command(
        after_help = "Examples:\n  asepsis discover capture.pcap dhcpd.leases zeek-logs/\n  asepsis discover --interface eth0 --for 10m --data asepsis-data\n  asepsis discover --data asepsis-data --why 10.1.4.17\n  asepsis discover capture.pcap --against cmms.csv\n  asepsis --format csv discover capture.pcap > devices.csv"
    )]
    Discover(Box<Discover>),
    /// See on a host of its own, and send what is seen to the centre; the spool bridges the time it is away.
    #[command(after_help = "Example:\n  asepsis sensor --config sensor.toml")]
    Sensor(SensorHost),
    /// The ten-minute queue: unknown and contradictory devices, grouped; one answer labels the whole group.
    #[command(subcommand)]
    Queue(Queue),
    /// Segment the network: propose rules from what is seen, forecast what they would do, simulate an attack.
    #[command(subcommand)]
    Segment(Segment),
    /// Learn, test and inspect fingerprint packs.
    #[command(subcommand)]
    Fingerprint(Fingerprint),
    /// Lists of known risks, for use without a network: KEV, CVE, advisories, SBOM, MDS2, recalls, end of support.
    #[command(subcommand)]
    Feed(Feed),
    /// How far are we? Measures of the frameworks with numerator, denominator and source, and the next ten steps.
    #[command(
        after_help = "Examples:\n  asepsis assess --config asepsis.toml --html report.html\n  asepsis assess --data asepsis-data --attestations attestations.toml\n  asepsis --format json assess --data asepsis-data"
    )]
    Assess(Assess),
    /// Cut a device off at this gateway, at once and live connections included, or let it back.
    #[command(
        after_help = "Examples:\n  asepsis quarantine 10.1.0.7 --keep-lifeline --for 2h --data asepsis-data\n  asepsis quarantine 10.1.0.7 --lifeline 10.2.0.7:tcp/8443\n  asepsis quarantine --release 10.1.0.7\n  asepsis quarantine --list"
    )]
    Quarantine(Quarantine),
    /// Work with policy packs.
    #[command(subcommand)]
    Policy(Policy),
    /// Work on an audit log, offline, with its folder alone.
    #[command(subcommand)]
    Audit(Audit),
    /// Reports from the record.
    #[command(subcommand)]
    Report(Report),
    /// Import people, devices and relations from CSV or JSON into the store.
    #[command(
        after_help = "Example:\n  asepsis import --config asepsis.toml --people staff.csv --devices devices.csv --relations care-teams.json"
    )]
    Import(Import),
    /// Make a one-time link with which a person registers a first passkey.
    #[command(after_help = "Example:\n  asepsis invite dr-adler --config asepsis.toml")]
    Invite(Invite),
    /// Print a completion script for a shell.
    #[command(after_help = "Example:\n  asepsis completions bash > /etc/bash_completion.d/asepsis")]
    Completions {
        /// Which shell.
        shell: Shell,
    },
}

/// `asepsis demo`.
#[derive(Args, Debug)]
pub(crate) struct Demo {
    /// Tell the story without a browser: each request, outcome, reason and record, then check every proof.
    #[arg(long)]
    pub(crate) tour: bool,
    /// Which sample hospital; the same number gives the same people and patients.
    #[arg(long)]
    pub(crate) seed: Option<u64>,
    /// Keep store and log in this folder (default: a temporary one, removed at the end).
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// Port for browsers, plain HTTP on loopback only; 0: any free one.
    #[arg(long, default_value_t = 8080, value_name = "PORT")]
    pub(crate) http_port: u16,
    /// Port for scripts and the tour, HTTPS under the demo's own authority; 0: any free one.
    #[arg(long, default_value_t = 8443, value_name = "PORT")]
    pub(crate) https_port: u16,
    /// Put a web application of your own behind the sample hospital's gateway.
    #[arg(long = "application", value_name = "NAME=URL", value_parser = named_url)]
    pub(crate) applications: Vec<(String, String)>,
    /// Worker threads (default: one a core).
    #[arg(long)]
    pub(crate) workers: Option<usize>,
}

/// `asepsis init`.
#[derive(Args, Debug)]
pub(crate) struct Init {
    /// Where to write.
    #[arg(long, default_value = "asepsis.toml", value_name = "FILE")]
    pub(crate) config: PathBuf,
    /// The domain under which your applications live; it becomes the passkeys' relying party id for good.
    #[arg(long)]
    pub(crate) domain: Option<String>,
    /// An application to protect: a FHIR server if its path ends in a FHIR base such as /fhir, else a web application.
    #[arg(long = "application", value_name = "NAME=URL", value_parser = named_url)]
    pub(crate) applications: Vec<(String, String)>,
    /// TLS certificate chain (PEM) for the domain's names.
    #[arg(long, value_name = "FILE")]
    pub(crate) certificate: Option<PathBuf>,
    /// Its private key (PEM).
    #[arg(long, value_name = "FILE")]
    pub(crate) key: Option<PathBuf>,
    /// Where to listen.
    #[arg(long, default_value = "0.0.0.0:443", value_name = "ADDRESS:PORT")]
    pub(crate) listen: String,
    /// Folder for store, keys and audit log.
    #[arg(long, default_value = "asepsis-data", value_name = "DIR")]
    pub(crate) data: PathBuf,
    /// Id of the first administrator.
    #[arg(long, value_name = "PERSON")]
    pub(crate) administrator: Option<String>,
    /// Replace a configuration that is already there.
    #[arg(long)]
    pub(crate) force: bool,
}

/// Commands that read the configuration.
#[derive(Args, Debug)]
pub(crate) struct WithConfig {
    /// The configuration.
    #[arg(long, default_value = "asepsis.toml", value_name = "FILE")]
    pub(crate) config: PathBuf,
}

/// `asepsis up`.
#[derive(Args, Debug)]
pub(crate) struct Up {
    #[command(flatten)]
    pub(crate) config: WithConfig,
    /// Worker threads (default: one a core).
    #[arg(long)]
    pub(crate) workers: Option<usize>,
}

/// `asepsis decide`.
#[derive(Args, Debug)]
pub(crate) struct Decide {
    /// File with the request, or - for standard input.
    pub(crate) file: PathBuf,
    /// Folder of the policy pack (default: the built-in hospital pack).
    #[arg(long, value_name = "DIR")]
    pub(crate) pack: Option<PathBuf>,
    /// Judge with the people, devices and relations of this configuration's store.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Judge at this instant (RFC 3339) instead of now.
    #[arg(long, value_name = "INSTANT", value_parser = instant)]
    pub(crate) at: Option<domain::Timestamp>,
}

/// `asepsis policy …`.
#[derive(Debug, Subcommand)]
pub(crate) enum Policy {
    /// Run a pack's scenario table.
    #[command(after_help = "Example:\n  asepsis policy test packs/hospital")]
    Test {
        /// Folder of the pack.
        dir: PathBuf,
    },
    /// Validate a pack and say what is in it.
    #[command(after_help = "Example:\n  asepsis policy check packs/hospital")]
    Check {
        /// Folder of the pack.
        dir: PathBuf,
    },
}

/// `asepsis discover`.
#[derive(Args, Debug)]
pub(crate) struct Discover {
    /// Captures, logs, leases, tables, exports, or folders of them; - for standard input. The kind is found from the content.
    #[arg(value_name = "SOURCE")]
    pub(crate) sources: Vec<PathBuf>,
    /// Listen on this interface (nothing is sent). May be given several times.
    #[arg(long, value_name = "NAME")]
    pub(crate) interface: Vec<String>,
    /// Take NetFlow v5, v9 and IPFIX on this address.
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) netflow: Vec<SocketAddr>,
    /// Take sFlow v5 on this address.
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) sflow: Vec<SocketAddr>,
    /// How long to listen, such as 90s, 10m or 2h (default: until Ctrl-C).
    #[arg(long = "for", value_name = "DURATION", value_parser = duration)]
    pub(crate) listen_for: Option<Duration>,
    /// Keep what is found in this data folder, and begin with what is there.
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// Explain one device: id, MAC, address, name or serial number.
    #[arg(long, value_name = "DEVICE")]
    pub(crate) why: Option<String>,
    /// Reconcile with a register (CMDB, CMMS, EDR export): missing, ghost, misplaced, duplicate, mislabelled.
    #[arg(long, value_name = "FILE")]
    pub(crate) against: Option<PathBuf>,
    /// A fingerprint pack, or a folder of recog's files, beside the shipped ones.
    #[arg(long, value_name = "PACK")]
    pub(crate) fingerprints: Vec<PathBuf>,
    /// How the columns of a CSV are to be read; written there when the file does not exist yet.
    #[arg(long, value_name = "FILE")]
    pub(crate) mapping: Option<PathBuf>,
    /// A network of the hospital beside the private ones, such as 203.0.113.0/24. May be given several times.
    #[arg(long, value_name = "NETWORK")]
    pub(crate) network: Vec<String>,
    /// A table of subnets and wards: CSV with the columns network,unit.
    #[arg(long, value_name = "FILE")]
    pub(crate) units: Option<PathBuf>,
    /// Print conversations instead of devices.
    #[arg(long)]
    pub(crate) conversations: bool,
    /// Write the conversations as a Parquet file, for DuckDB or pandas.
    #[arg(long, value_name = "FILE")]
    pub(crate) parquet: Option<PathBuf>,
    /// Threads for reading captures (default: one a core).
    #[arg(long)]
    pub(crate) threads: Option<usize>,
}

/// `asepsis sensor`.
#[derive(Args, Debug)]
pub(crate) struct SensorHost {
    /// The sensor's configuration.
    #[arg(long, default_value = "sensor.toml", value_name = "FILE")]
    pub(crate) config: PathBuf,
}

/// Where conversations come from.
#[derive(Debug, Args)]
pub(crate) struct Observed {
    /// The data folder with the inventory.
    #[arg(long, value_name = "DIR", default_value = "asepsis-data")]
    pub(crate) data: PathBuf,
    /// A CSV file in its place: client,server,transport,port,first,last and perhaps count; its hosts have no class.
    #[arg(long, value_name = "FILE", conflicts_with = "data")]
    pub(crate) flows: Option<PathBuf>,
}

/// An attack to simulate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum AttackKind {
    /// Over file shares, remote desktops and remote execution, to computers.
    Ransomware,
    /// By itself, over one service.
    Worm,
    /// A person, over everything that the device may open, twice.
    StolenLaptop,
}

/// `asepsis segment …`.
#[derive(Debug, Subcommand)]
pub(crate) enum Segment {
    /// Propose groups and least-privilege rules, as Cedar policies with the conversations that justify them.
    #[command(
        after_help = "Examples:\n  asepsis segment propose --data asepsis-data -o plan.json\n  asepsis segment propose --data asepsis-data --before plan.json -o next.json\n  asepsis segment propose --flows flows.csv -o plan.json"
    )]
    Propose {
        #[command(flatten)]
        from: Observed,
        /// Where to write the plan.
        #[arg(short, long, value_name = "FILE", default_value = "plan.json")]
        output: PathBuf,
        /// The plan before: shows the difference, and keeps what it permits to life-critical devices.
        #[arg(long, value_name = "PLAN")]
        before: Option<PathBuf>,
        /// Percentage of the next week's conversations that rules shall permit.
        #[arg(long, value_name = "PERCENT", default_value_t = 99.9)]
        coverage: f64,
        /// Most that rules may permit for each conversation seen.
        #[arg(long, value_name = "TIMES", default_value_t = 4.0)]
        at_most: f64,
    },
    /// Say what a plan would do before anything is enforced: what it would stop, how far an intruder would get, what nobody sees.
    #[command(after_help = "Example:\n  asepsis segment forecast plan.json --data asepsis-data")]
    Forecast {
        /// The plan.
        plan: PathBuf,
        #[command(flatten)]
        from: Observed,
    },
    /// Let an attack spread from a device, on the flat network and under the plan: numbers and a picture.
    #[command(
        after_help = "Examples:\n  asepsis segment simulate --attack ransomware --from 10.1.4.17 --plan plan.json --svg spread.svg\n  asepsis segment simulate --attack worm --service tcp/3389 --from ws-17"
    )]
    Simulate {
        /// Which attack.
        #[arg(long, value_enum)]
        attack: AttackKind,
        /// From which device: its identifier, name or address.
        #[arg(long = "from", value_name = "DEVICE")]
        start: String,
        /// The worm's service.
        #[arg(long, value_name = "SERVICE", default_value = "tcp/445")]
        service: String,
        /// The plan; without one, what would be proposed now.
        #[arg(long, value_name = "PLAN")]
        plan: Option<PathBuf>,
        /// Where to write the picture.
        #[arg(long, value_name = "FILE")]
        svg: Option<PathBuf>,
        #[command(flatten)]
        from: Observed,
    },
}

/// `asepsis queue …`.
#[derive(Debug, Subcommand)]
pub(crate) enum Queue {
    /// List the open questions, the most valuable first.
    #[command(after_help = "Example:\n  asepsis queue list --data asepsis-data")]
    List {
        /// The data folder.
        #[arg(long, value_name = "DIR", default_value = "asepsis-data")]
        data: PathBuf,
    },
    /// Answer a question: the whole group gets this type, by a rule of your own that you can read, test and undo.
    #[command(
        after_help = "Example:\n  asepsis queue answer q-4f2a infusion_pump --by 'M. Keller, biomed' --data asepsis-data"
    )]
    Answer {
        /// The question's id.
        question: String,
        /// Type of the devices, such as infusion_pump.
        kind: String,
        /// Who answers.
        #[arg(long, value_name = "PERSON")]
        by: String,
        /// The data folder.
        #[arg(long, value_name = "DIR", default_value = "asepsis-data")]
        data: PathBuf,
    },
    /// List the answers that are in force, as rules.
    #[command(after_help = "Example:\n  asepsis queue rules --data asepsis-data")]
    Rules {
        /// The data folder.
        #[arg(long, value_name = "DIR", default_value = "asepsis-data")]
        data: PathBuf,
    },
    /// Write a rule as a fingerprint pack, for another hospital: it names neither person nor device.
    #[command(
        after_help = "Example:\n  asepsis queue share local-7 -o our-pumps.xml --data asepsis-data\n  asepsis fingerprint test our-pumps.xml"
    )]
    Share {
        /// The rule's id.
        rule: String,
        /// Where to write the pack.
        #[arg(short, long, value_name = "PACK")]
        output: PathBuf,
        /// The data folder.
        #[arg(long, value_name = "DIR", default_value = "asepsis-data")]
        data: PathBuf,
    },
    /// Take an answer back: its rule goes, and what it named is asked again.
    #[command(after_help = "Example:\n  asepsis queue undo local-7 --data asepsis-data")]
    Undo {
        /// The rule's id.
        rule: String,
        /// The data folder.
        #[arg(long, value_name = "DIR", default_value = "asepsis-data")]
        data: PathBuf,
    },
}

/// `asepsis fingerprint …`.
#[derive(Debug, Subcommand)]
pub(crate) enum Fingerprint {
    /// Learn a pack from labelled captures.
    #[command(
        after_help = "Example:\n  asepsis fingerprint learn --labels labels.csv -o our-devices.xml captures/"
    )]
    Learn {
        /// CSV with the columns file,device,type_family,mac; the learnt name is type_family.
        #[arg(long, value_name = "FILE")]
        labels: PathBuf,
        /// Where to write the pack.
        #[arg(short, long, value_name = "PACK")]
        output: PathBuf,
        /// Folder that the labels' file names are relative to.
        folder: PathBuf,
    },
    /// Run every example in a pack, or in a folder of recog's files.
    #[command(after_help = "Example:\n  asepsis fingerprint test packs/fingerprints")]
    Test {
        /// The pack, or a folder of packs.
        pack: PathBuf,
    },
}

/// `asepsis feed …`.
#[derive(Debug, Subcommand)]
pub(crate) enum Feed {
    /// Take lists from files; their kind is found from the content.
    #[command(
        after_help = "Example:\n  asepsis feed import known_exploited_vulnerabilities.json nvdcve-2.0-2026.json --data asepsis-data"
    )]
    Import {
        /// The files.
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
        /// The data folder.
        #[arg(long, value_name = "DIR", default_value = "asepsis-data")]
        data: PathBuf,
    },
    /// What was imported, how many rows, how old.
    #[command(after_help = "Example:\n  asepsis feed status --data asepsis-data")]
    Status {
        /// The data folder.
        #[arg(long, value_name = "DIR", default_value = "asepsis-data")]
        data: PathBuf,
    },
}

/// `asepsis assess`.
#[derive(Args, Debug)]
pub(crate) struct Assess {
    /// The configuration; it also names the data folder.
    #[arg(long, value_name = "FILE", conflicts_with = "data")]
    pub(crate) config: Option<PathBuf>,
    /// The data folder alone, where there is no configuration yet.
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// What people attest, with owner and date (default: attestations.toml beside the configuration, if there).
    #[arg(long, value_name = "FILE")]
    pub(crate) attestations: Option<PathBuf>,
    /// A register to reconcile the inventory with, for the measures that compare both.
    #[arg(long, value_name = "FILE")]
    pub(crate) against: Option<PathBuf>,
    /// The list of all the hospital's applications: CSV with the columns name,criticality and, where known, single_sign_on,
    /// logged,pipeline,security_tested,backed_up,restore_tested,emergency_tested.
    #[arg(long, value_name = "FILE")]
    pub(crate) applications: Option<PathBuf>,
    /// Write the report as one HTML file.
    #[arg(long, value_name = "FILE")]
    pub(crate) html: Option<PathBuf>,
    /// Only this framework: cisa-ztmm-2, hph-cpg, hipaa-security-rule, nist-800-207, hicp-2023.
    #[arg(long, value_name = "NAME")]
    pub(crate) framework: Option<String>,
    /// How many days of decisions and sign-ins count.
    #[arg(long, default_value_t = 30)]
    pub(crate) days: u32,
}

/// `asepsis audit …`.
#[derive(Debug, Subcommand)]
pub(crate) enum Audit {
    /// Check every byte of a log: signatures, tree, records.
    #[command(
        after_help = "Examples:\n  asepsis audit verify asepsis-data/audit\n  asepsis audit verify asepsis-data/audit --against checkpoint-of-last-month.txt"
    )]
    Verify {
        /// The log's folder.
        dir: PathBuf,
        /// A checkpoint kept elsewhere: a log rolled back behind it, or rewritten, is found.
        #[arg(long, value_name = "CHECKPOINT")]
        against: Option<PathBuf>,
    },
    /// Print records, newest last.
    #[command(
        after_help = "Examples:\n  asepsis audit show asepsis-data/audit --last 20\n  asepsis audit show asepsis-data/audit --record 17"
    )]
    Show {
        /// The log's folder.
        dir: PathBuf,
        /// One record, in full.
        #[arg(long)]
        record: Option<u64>,
        /// The newest N.
        #[arg(long, value_name = "N", default_value_t = 50)]
        last: u64,
        /// Only this kind, such as `decision`.
        #[arg(long)]
        kind: Option<String>,
    },
    /// Print a proof that a record is in the log, for somebody who has only the checkpoint.
    #[command(after_help = "Example:\n  asepsis audit prove 17 --log asepsis-data/audit")]
    Prove {
        /// The record's number.
        record: u64,
        /// The log's folder.
        #[arg(long, value_name = "DIR", default_value = "asepsis-data/audit")]
        log: PathBuf,
    },
}

/// `asepsis report …`.
#[derive(Debug, Subcommand)]
pub(crate) enum Report {
    /// Who would have been stopped in the applications that run in shadow mode, by ward.
    #[command(after_help = "Example:\n  asepsis report shadow --log asepsis-data/audit --days 7")]
    Shadow {
        /// The log's folder.
        #[arg(long, value_name = "DIR", default_value = "asepsis-data/audit")]
        log: PathBuf,
        /// How many days back.
        #[arg(long, default_value_t = 7)]
        days: u32,
    },
}

/// `asepsis import`.
#[derive(Args, Debug)]
pub(crate) struct Import {
    #[command(flatten)]
    pub(crate) config: WithConfig,
    /// People: CSV or JSON.
    #[arg(long, value_name = "FILE")]
    pub(crate) people: Option<PathBuf>,
    /// Devices: CSV or JSON.
    #[arg(long, value_name = "FILE")]
    pub(crate) devices: Option<PathBuf>,
    /// Patients' relations: CSV or JSON.
    #[arg(long, value_name = "FILE")]
    pub(crate) relations: Option<PathBuf>,
    /// Vendors' windows: CSV or JSON.
    #[arg(long, value_name = "FILE")]
    pub(crate) windows: Option<PathBuf>,
}

/// `asepsis invite`.
#[derive(Args, Debug)]
pub(crate) struct Invite {
    /// Id of the person.
    pub(crate) person: String,
    #[command(flatten)]
    pub(crate) config: WithConfig,
}

/// Where the demo listens, and nowhere else.
pub(crate) const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

fn named_url(text: &str) -> Result<(String, String), String> {
    let (name, url) = text
        .split_once('=')
        .ok_or_else(|| format!("`{text}` is not NAME=URL, such as wiki=http://127.0.0.1:9000"))?;
    let label = !name.is_empty()
        && name.len() <= 40
        && name
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && !name.starts_with('-')
        && !name.ends_with('-');
    if !label {
        return Err(format!(
            "`{name}` cannot be a host label: use lower-case letters, digits and hyphens"
        ));
    }
    Ok((name.to_owned(), url.to_owned()))
}

/// `asepsis quarantine`.
#[derive(Args, Debug)]
pub(crate) struct Quarantine {
    /// The device: an IP or MAC address, or its id in the inventory.
    #[arg(required_unless_present = "list")]
    pub(crate) device: Option<String>,
    /// Keep the conversations that it has had for a week and on three days.
    #[arg(long, conflicts_with_all = ["release", "list"])]
    pub(crate) keep_lifeline: bool,
    /// Keep this conversation; `from:` in front when the other side opens it.
    #[arg(long = "lifeline", value_name = "ADDRESS:tcp/PORT", value_parser = lifeline, conflicts_with_all = ["release", "list"])]
    pub(crate) lifelines: Vec<enforce::Lifeline>,
    /// Let it back after this time; without it, when somebody does.
    #[arg(long = "for", value_name = "TIME", value_parser = duration, conflicts_with_all = ["release", "list"])]
    pub(crate) lasting: Option<Duration>,
    /// Who answers for cutting a life-critical device off without a lifeline.
    #[arg(long, value_name = "NAME")]
    pub(crate) confirmed_by: Option<String>,
    /// Let it back now.
    #[arg(long, conflicts_with = "list")]
    pub(crate) release: bool,
    /// Who is cut off.
    #[arg(long)]
    pub(crate) list: bool,
    /// The data folder with the inventory, which knows the device's other addresses.
    #[arg(long, value_name = "DIR", default_value = "asepsis-data")]
    pub(crate) data: PathBuf,
}

fn lifeline(text: &str) -> Result<enforce::Lifeline, String> {
    let wrong = || {
        format!(
            "`{text}` is not a conversation such as 10.2.0.7:tcp/8443 or from:[fd02::7]:udp/161"
        )
    };
    let (peer_opens, rest) = match text.strip_prefix("from:") {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (peer, service) = rest.rsplit_once(':').ok_or_else(wrong)?;
    let peer = peer.trim_start_matches('[').trim_end_matches(']');
    let (transport, port) = service.split_once('/').ok_or_else(wrong)?;
    let transport = match transport {
        "tcp" => domain::Transport::Tcp,
        "udp" => domain::Transport::Udp,
        "sctp" => domain::Transport::Sctp,
        _ => return Err(wrong()),
    };
    Ok(enforce::Lifeline {
        peer: peer.parse().map_err(|_| wrong())?,
        transport,
        port: port.parse().map_err(|_| wrong())?,
        peer_opens,
    })
}

fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{text}` is not a duration such as 90s, 10m or 2h");
    let unit = text.trim_start_matches(|c: char| c.is_ascii_digit());
    let number: u64 = text
        .strip_suffix(unit)
        .and_then(|n| n.parse().ok())
        .ok_or_else(wrong)?;
    let secs = match unit {
        "s" => Some(number),
        "m" => number.checked_mul(60),
        "h" => number.checked_mul(3600),
        "d" => number.checked_mul(86_400),
        _ => None,
    };
    secs.map(Duration::from_secs).ok_or_else(wrong)
}

fn instant(text: &str) -> Result<domain::Timestamp, String> {
    domain::Timestamp::parse(text)
        .ok_or_else(|| format!("`{text}` is not an RFC 3339 instant such as 2026-11-22T08:00:00Z"))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent_and_every_command_shows_an_example() {
        let mut cli = super::Cli::command();
        cli.clone().debug_assert();
        fn leaves(command: &clap::Command, found: &mut Vec<clap::Command>) {
            if command.has_subcommands() {
                command.get_subcommands().for_each(|c| leaves(c, found));
            } else {
                found.push(command.clone());
            }
        }
        let mut all = Vec::new();
        leaves(&cli, &mut all);
        for command in all {
            let help = command
                .get_after_help()
                .map(ToString::to_string)
                .unwrap_or_default();
            assert!(
                help.contains("Example"),
                "`{}` has no example",
                command.get_name()
            );
        }
        cli.build();
    }
}

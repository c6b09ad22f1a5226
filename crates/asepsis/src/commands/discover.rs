//! `asepsis discover`: from captures, interfaces, logs and exports to a list of devices.

mod show;

pub(crate) use show::{called, kind};

use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use capture::{Input, Job, Outcome, Progress, Watch};
use domain::observation::Collected;
use domain::{DeviceId, DeviceProfile};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use inventory::reconcile::{self, Reconciliation};

use crate::cli;
use crate::clock;
use crate::config::InventoryConfig;
use crate::estate::{Estate, Settings};
use crate::failure::{Blame, Failure};
use crate::output::{Output, aside};
use crate::server;

/// Devices named above the progress bar while it runs, so that the first are there at once.
const FIRST_SHOWN: usize = 12;
/// How often the line beside the bar is brought up to date.
const LINE_EVERY: Duration = Duration::from_millis(700);
/// Problems told one by one.
const PROBLEMS_TOLD: usize = 20;

pub(crate) fn run(args: &cli::Discover, output: Output) -> Result<ExitCode, Failure> {
    let inputs = inputs(args)?;
    if inputs.is_empty() && args.data.is_none() {
        return Err(Failure::input(
            "nothing to look at: name captures, logs, leases or exports, an --interface, or --data with what was found before",
        ));
    }
    let settings = Settings::new(&InventoryConfig {
        networks: args.network.clone(),
        units: args.units.clone(),
        fingerprints: args.fingerprints.clone(),
    })?;
    let estate = Estate::open(args.data.as_deref(), settings)?;
    if !inputs.is_empty() {
        let outcome = read(args, inputs, &estate)?;
        tell(&outcome);
        remember_mappings(args, &outcome)?;
        if !outcome.usable {
            return Err(Failure::input(if outcome.problems.is_empty() {
                "nothing in what was given tells of a device (hint: it could be read, but its packets, lines or rows name \
                 none)"
            } else {
                "nothing in what was given could be used (the lines above say why)"
            }));
        }
    }
    estate.save()?;
    if let Some(path) = &args.parquet {
        parquet(path, &estate)?;
    }
    match (&args.why, &args.against) {
        (Some(device), _) => show::why(&estate, &found(&estate, device)?, output)?,
        (None, Some(register)) => {
            show::reconciliation(&against(args, &estate, register)?, &estate, output)?
        }
        (None, None) if args.conversations => show::conversations(&estate, output)?,
        (None, None) => show::devices(&estate, output)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn inputs(args: &cli::Discover) -> Result<Vec<Input>, Failure> {
    let mut inputs = Vec::new();
    for source in &args.sources {
        let text = source.to_string_lossy();
        inputs.push(text.parse().input("a source")?);
    }
    inputs.extend(args.interface.iter().cloned().map(Input::Interface));
    inputs.extend(args.netflow.iter().copied().map(Input::NetFlowSocket));
    inputs.extend(args.sflow.iter().copied().map(Input::SFlowSocket));
    Ok(inputs)
}

/// Reads everything into the inventory, with a progress bar for people.
fn read(args: &cli::Discover, inputs: Vec<Input>, estate: &Estate) -> Result<Outcome, Failure> {
    let live = inputs.iter().any(Input::is_live);
    let mut options = reading(args)?;
    options.cores = args
        .threads
        .unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from));
    let job = Job::new(inputs, options);
    let watch = job.watch();
    stop_on_signal(watch.clone());
    if let Some(after) = args.listen_for {
        stop_after(watch.clone(), after);
    } else if live {
        aside(&"Listening. Ctrl-C ends it and prints what was found.");
    }
    let mut display = Display::new(live);
    let mut sink = estate.sink();
    let outcome = job.run(&mut sink, &mut |progress| display.show(progress, estate));
    display.bar.finish_and_clear();
    Ok(outcome)
}

/// How files are read, with the mapping of columns that was asked for.
fn reading(args: &cli::Discover) -> Result<capture::Options, Failure> {
    let mut options = capture::Options::new(clock::now);
    if let Some(path) = args.mapping.as_ref().filter(|p| p.exists()) {
        let text = std::fs::read_to_string(path)
            .input(format!("cannot read the mapping `{}`", path.display()))?;
        let mapping = toml::from_str(&text).input(format!("the mapping `{}`", path.display()))?;
        options.mappings.push(mapping);
    }
    Ok(options)
}

/// Writes down how the columns of a register were read, for the next time and for correction.
fn remember_mappings(args: &cli::Discover, outcome: &Outcome) -> Result<(), Failure> {
    let Some(path) = args.mapping.as_ref().filter(|p| !p.exists()) else {
        return Ok(());
    };
    let Some((name, mapping)) = outcome.mappings.first() else {
        return Ok(());
    };
    let text = toml::to_string(mapping).running("writing the mapping")?;
    let text = format!(
        "# How the columns of {name} are read. Correct it where it is wrong; it is used from now on.\n{text}"
    );
    std::fs::write(path, text).running(format!("writing `{}`", path.display()))
}

fn stop_on_signal(watch: Watch) {
    std::thread::spawn(move || {
        let Ok(runtime) = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
        else {
            return;
        };
        runtime.block_on(server::asked_to_stop());
        watch.cancel();
    });
}

fn stop_after(watch: Watch, after: Duration) {
    std::thread::spawn(move || {
        std::thread::sleep(after);
        watch.cancel();
    });
}

/// The progress bar, and the first devices above it.
struct Display {
    bar: ProgressBar,
    told: usize,
    next: Instant,
}

impl Display {
    fn new(live: bool) -> Self {
        let template = if live {
            "{spinner} {elapsed} {msg}"
        } else {
            "{bar:25} {bytes}/{total_bytes} {bytes_per_sec}, {eta} left  {msg}"
        };
        let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr());
        bar.set_style(
            ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()),
        );
        Self {
            bar,
            told: 0,
            next: Instant::now(),
        }
    }

    fn show(&mut self, progress: &Progress, estate: &Estate) {
        for problem in &progress.news {
            self.bar.suspend(|| {
                aside(problem);
            });
        }
        if self.bar.is_hidden() {
            return;
        }
        self.bar.set_length(progress.bytes_total.unwrap_or(0));
        self.bar.set_position(progress.bytes_done);
        if Instant::now() < self.next {
            return;
        }
        self.next = Instant::now() + LINE_EVERY;
        let (count, first) = estate.glance(self.told, FIRST_SHOWN);
        for line in &first {
            self.bar.println(line);
        }
        self.told += first.len();
        let lost = if progress.dropped > 0 {
            format!(", {} lost", progress.dropped)
        } else {
            String::new()
        };
        self.bar.set_message(format!(
            "{} packets{lost}, {count} devices",
            progress.packets
        ));
    }
}

/// What was lost or could not be read, after the bar is gone.
fn tell(outcome: &Outcome) {
    let omitted =
        outcome.problems_omitted + outcome.problems.len().saturating_sub(PROBLEMS_TOLD) as u64;
    if omitted > 0 {
        aside(&format!("{omitted} more places could not be read"));
    }
    if outcome.dropped > 0 {
        aside(&format!(
            "{} packets were lost before they could be read (hint: more queues, a larger ring, or a quieter mirror)",
            outcome.dropped
        ));
    }
}

/// The one device that a text means.
fn found(estate: &Estate, text: &str) -> Result<DeviceId, Failure> {
    let found = estate.with(|inventory| inventory.find(text));
    match found.as_slice() {
        [one] => Ok(one.clone()),
        [] => Err(Failure::input(format!(
            "no device is known as `{text}` (hint: give an id, a MAC address, an address, a name or a serial number)"
        ))),
        several => {
            let ids: Vec<&str> = several.iter().take(8).map(DeviceId::as_str).collect();
            Err(Failure::input(format!(
                "`{text}` means {} devices: {} (hint: give one of these)",
                several.len(),
                ids.join(", ")
            )))
        }
    }
}

fn parquet(path: &Path, estate: &Estate) -> Result<(), Failure> {
    let shown = path.display();
    let file = std::fs::File::create(path).input(format!("cannot write `{shown}`"))?;
    let rows: Vec<_> = estate.with(|inventory| inventory.conversations().collect());
    store::archive::write_conversations(std::io::BufWriter::new(file), rows)
        .running(format!("writing `{shown}`"))?;
    Ok(())
}

/// Reads a register apart from the inventory and compares the two.
fn against(
    args: &cli::Discover,
    estate: &Estate,
    register: &Path,
) -> Result<Reconciliation, Failure> {
    let devices: Vec<DeviceProfile> = estate.with(|inventory| inventory.devices().collect());
    let (found, outcome) = compare(register, &devices, reading(args)?)?;
    remember_mappings(args, &outcome)?;
    Ok(found)
}

/// Compares devices with a register in a file.
pub(crate) fn reconcile_file(
    register: &Path,
    devices: &[DeviceProfile],
) -> Result<Reconciliation, Failure> {
    let (found, _) = compare(register, devices, capture::Options::new(clock::now))?;
    Ok(found)
}

fn compare(
    register: &Path,
    devices: &[DeviceProfile],
    options: capture::Options,
) -> Result<(Reconciliation, Outcome), Failure> {
    let job = Job::new(vec![Input::File(register.to_owned())], options);
    let mut told = Collected::default();
    let outcome = job.run(&mut told, &mut |progress| {
        for problem in &progress.news {
            aside(problem);
        }
    });
    let rows = reconcile::rows(&told.observations);
    if !outcome.usable || rows.is_empty() {
        return Err(Failure::input(format!(
            "the register `{}` could not be read (hint: a CSV with a header line, and a column with MAC addresses, \
             serial numbers, names or addresses)",
            register.display()
        )));
    }
    Ok((reconcile::reconcile(devices, &rows), outcome))
}

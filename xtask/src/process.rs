//! Processes that surely end, and the CPU time they used.

use std::collections::BTreeMap;
use std::process::{Child, Command, ExitStatus};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use rustix::process::{Pid, Signal, kill_process};

/// How long a process may take to end by itself.
const GRACE: Duration = Duration::from_secs(10);

/// How often a process is asked whether it has ended.
const POLL: Duration = Duration::from_millis(20);

/// Ticks of `/proc/PID/stat` in a second: `USER_HZ`, which is 100 on every architecture that Debian supports.
const TICKS_PER_SECOND: f64 = 100.0;

/// A process we started, ended with all its descendants when this value goes.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
}

impl Process {
    /// Starts `command`, called `name` in messages.
    ///
    /// # Errors
    /// When the program is missing or may not be executed.
    pub fn start(name: &str, command: &mut Command) -> Result<Self> {
        let program = command.get_program().to_string_lossy().into_owned();
        let child = command
            .spawn()
            .with_context(|| format!("cannot start `{program}` as {name}"))?;
        Ok(Self {
            name: name.to_owned(),
            child,
        })
    }

    /// The name it was started under.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Its handle, for the ends of its pipes.
    pub fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    /// How it ended, or `None` while it runs.
    ///
    /// # Errors
    /// When the system cannot tell.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        self.child
            .try_wait()
            .with_context(|| format!("cannot ask whether {} runs", self.name))
    }

    /// CPU time of the process and its descendants since they started.
    ///
    /// # Errors
    /// When the process has ended.
    pub fn cpu_seconds(&self) -> Result<f64> {
        let table = read_table()?;
        anyhow::ensure!(table.contains_key(&self.id()), "{} has ended", self.name);
        let ticks: u64 = family(&table, self.id())
            .iter()
            .filter_map(|id| table.get(id))
            .map(|stat| stat.ticks)
            .sum();
        Ok(seconds(ticks))
    }

    /// CPU time of the threads that the process and its descendants have now, by the names of the threads.
    ///
    /// # Errors
    /// When the process has ended.
    pub fn cpu_seconds_by_thread(&self) -> Result<BTreeMap<String, f64>> {
        let table = read_table()?;
        anyhow::ensure!(table.contains_key(&self.id()), "{} has ended", self.name);
        let mut threads = BTreeMap::new();
        for id in family(&table, self.id()) {
            // A process or a thread may end while we read.
            let entries = std::fs::read_dir(format!("/proc/{id}/task"))
                .into_iter()
                .flatten();
            for entry in entries.flatten() {
                let text = std::fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
                if let (Some(name), Some(stat)) = (parse_name(&text), parse_stat(&text)) {
                    *threads.entry(name.to_owned()).or_default() += seconds(stat.ticks);
                }
            }
        }
        Ok(threads)
    }

    /// Asks the process to end, waits, and ends by force what is left of it and its descendants.
    pub fn stop(&mut self) {
        // A pid names our process only until it is waited for; afterwards it may be somebody else's.
        if matches!(self.child.try_wait(), Ok(Some(_))) {
            return;
        }
        // Descendants are looked up first: once their parent is gone they are nobody's.
        let mut descendants = read_table().unwrap_or_default();
        let members = family(&descendants, self.id());
        descendants.retain(|id, _| *id != self.id() && members.contains(id));
        signal(self.id(), Signal::TERM);
        let deadline = Instant::now() + GRACE;
        while matches!(self.child.try_wait(), Ok(None)) && Instant::now() < deadline {
            std::thread::sleep(POLL);
        }
        if matches!(self.child.try_wait(), Ok(None)) {
            // Failure means that it ended in between.
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
        if let Ok(table) = read_table() {
            for (id, then) in descendants {
                // The same pid started at the same tick is the same process.
                if table
                    .get(&id)
                    .is_some_and(|now| now.started == then.started)
                {
                    signal(id, Signal::KILL);
                }
            }
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.stop();
    }
}

/// What `/proc/PID/stat` says of one process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stat {
    parent: u32,
    /// User and system time, all threads, those that ended included.
    ticks: u64,
    /// The tick after boot at which it started.
    started: u64,
}

fn seconds(ticks: u64) -> f64 {
    #[expect(
        clippy::cast_precision_loss,
        reason = "ticks of one benchmark are far below 2^52"
    )]
    let ticks = ticks as f64;
    ticks / TICKS_PER_SECOND
}

fn read_table() -> Result<BTreeMap<u32, Stat>> {
    let mut table = BTreeMap::new();
    for entry in std::fs::read_dir("/proc")
        .context("cannot read `/proc`")?
        .flatten()
    {
        let Some(id) = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok())
        else {
            continue;
        };
        // A process may end while we read.
        let stat = std::fs::read_to_string(entry.path().join("stat"))
            .ok()
            .and_then(|text| parse_stat(&text));
        if let Some(stat) = stat {
            table.insert(id, stat);
        }
    }
    Ok(table)
}

/// Fields are counted from the last `)`, because the name before it may hold spaces and parentheses.
fn parse_stat(text: &str) -> Option<Stat> {
    let (_, fields) = text.rsplit_once(')')?;
    let fields: Vec<&str> = fields.split_ascii_whitespace().collect();
    let number = |index: usize| fields.get(index)?.parse::<u64>().ok();
    Some(Stat {
        parent: u32::try_from(number(1)?).ok()?,
        ticks: number(11)? + number(12)?,
        started: number(19)?,
    })
}

/// The name between the first `(` and the last `)`.
fn parse_name(text: &str) -> Option<&str> {
    Some(text.split_once('(')?.1.rsplit_once(')')?.0)
}

/// `id` and its descendants.
fn family(table: &BTreeMap<u32, Stat>, id: u32) -> Vec<u32> {
    let mut members = vec![id];
    let mut next = 0;
    while let Some(parent) = members.get(next).copied() {
        let children = table
            .iter()
            .filter(|(_, stat)| stat.parent == parent)
            .map(|(child, _)| *child);
        let new: Vec<u32> = children.filter(|child| !members.contains(child)).collect();
        members.extend(new);
        next += 1;
    }
    members
}

fn signal(id: u32, signal: Signal) {
    if let Some(pid) = i32::try_from(id).ok().and_then(Pid::from_raw) {
        // Failure means that it has ended.
        let _ = kill_process(pid, signal);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_does_not_shift_the_fields() {
        let text = "12 (a) b (c) S 7 12 12 0 -1 4194560 1 2 3 4 150 25 9 9 20 0 3 0 4711 2 3";
        assert_eq!(
            parse_stat(text),
            Some(Stat {
                parent: 7,
                ticks: 175,
                started: 4711
            })
        );
        assert_eq!(parse_name(text), Some("a) b (c"));
        assert_eq!(parse_stat("12 (a"), None);
        assert_eq!(parse_stat("12 (a) S x"), None);
    }

    #[test]
    fn the_family_holds_grandchildren_and_no_strangers() {
        let stat = |parent| Stat {
            parent,
            ticks: 1,
            started: 1,
        };
        let table = BTreeMap::from([
            (1, stat(0)),
            (5, stat(1)),
            (6, stat(5)),
            (7, stat(6)),
            (8, stat(1)),
        ]);
        assert_eq!(family(&table, 5), [5, 6, 7]);
    }

    #[test]
    fn a_process_and_its_children_end_with_the_guard() {
        let mut process = Process::start(
            "a shell",
            Command::new("sh").args(["-c", "sleep 60 & wait"]),
        )
        .expect("a shell");
        let deadline = Instant::now() + Duration::from_secs(10);
        let members = loop {
            let members = family(&read_table().expect("a process table"), process.id());
            if members.len() == 2 || Instant::now() > deadline {
                break members;
            }
            std::thread::sleep(POLL);
        };
        assert_eq!(members.len(), 2, "the shell and its child");
        assert_eq!(process.ended().expect("a state"), None);
        assert!(process.cpu_seconds().expect("a time") >= 0.0);
        let threads = process.cpu_seconds_by_thread().expect("threads");
        assert!(
            threads.contains_key("sh") && threads.contains_key("sleep"),
            "{threads:?}"
        );
        drop(process);
        let gone = || {
            let table = read_table().expect("a process table");
            // A killed orphan stays in the table until init reaps it; its state says that it is dead.
            members
                .iter()
                .filter(|id| table.contains_key(id))
                .all(|id| is_dead(*id))
        };
        let deadline = Instant::now() + Duration::from_secs(10);
        while !gone() && Instant::now() < deadline {
            std::thread::sleep(POLL);
        }
        assert!(gone(), "some of {members:?} still run");
    }

    fn is_dead(id: u32) -> bool {
        std::fs::read_to_string(format!("/proc/{id}/stat")).map_or(true, |text| {
            text.rsplit_once(')')
                .is_some_and(|(_, rest)| rest.trim_start().starts_with('Z'))
        })
    }
}

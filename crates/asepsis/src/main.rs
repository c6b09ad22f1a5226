//! Zero trust for hospitals in one program: command line, configuration, assembly and the demo.

mod assembly;
mod cli;
mod clock;
mod commands;
mod config;
mod demo;
mod device;
mod estate;
mod failure;
mod feed;
mod inbox;
mod knowledge;
mod output;
mod pack;
mod sensor;
mod server;
mod world;

use std::io::Write;
use std::process::ExitCode;

use anstyle::AnsiColor;
use clap::{CommandFactory, Parser};

use crate::cli::{Cli, Command};
use crate::failure::Failure;
use crate::output::Output;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = Cli::parse();
    start_logging(cli.verbose);
    let output = Output { format: cli.format };
    if cli.format == cli::Format::Csv && !matches!(cli.command, Command::Discover(_)) {
        let failure =
            Failure::input("`--format csv` is there for `discover` only; use text or json");
        return report(&failure);
    }
    match run(cli.command, output) {
        Ok(code) => code,
        Err(failure) => report(&failure),
    }
}

fn report(failure: &Failure) -> ExitCode {
    let red = AnsiColor::Red.on_default().bold();
    // Standard error may be gone; the exit code still tells.
    let _ = writeln!(
        anstream::stderr(),
        "{red}error{red:#}: {}",
        failure.sentence()
    );
    failure.code()
}

fn run(command: Command, output: Output) -> Result<ExitCode, Failure> {
    match command {
        Command::Demo(args) => demo::run(args, output),
        Command::Init(args) => commands::init::run(args, output),
        Command::Check(args) => commands::check::run(&args, output),
        Command::Up(args) => commands::up::run(&args, output),
        Command::Decide(args) => commands::decide::run(&args, output),
        Command::Discover(args) => commands::discover::run(&args, output),
        Command::Sensor(args) => sensor::run_host(&args, output),
        Command::Queue(command) => commands::queue::run(command, output),
        Command::Segment(command) => commands::segment::run(command, output),
        Command::Fingerprint(command) => commands::fingerprint::run(&command, output),
        Command::Feed(command) => commands::feed::run(&command, output),
        Command::Assess(args) => commands::assess::run(&args, output),
        Command::Quarantine(args) => commands::quarantine::run(&args, output),
        Command::Policy(command) => commands::policy::run(&command, output),
        Command::Audit(command) => commands::audit::run(command, output),
        Command::Report(command) => commands::report::run(&command, output),
        Command::Import(args) => commands::import::run(&args, output),
        Command::Invite(args) => commands::invite::run(&args, output),
        Command::Completions { shell } => {
            clap_complete::generate(
                shell,
                &mut Cli::command(),
                "asepsis",
                &mut std::io::stdout(),
            );
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// Logs go to standard error; `RUST_LOG` overrides `-v`.
fn start_logging(verbose: u8) {
    let default = match verbose {
        0 => "warn",
        1 => "info",
        2 => "debug",
        _ => "trace",
    };
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new(default));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))
        .with_target(false)
        .init();
}

//! What a person or a program sees on standard output.

use std::io::{IsTerminal, Write};

use anstyle::{AnsiColor, Style};
use comfy_table::{ContentArrangement, Table, TableComponent, presets};
use serde::Serialize;

use crate::cli::Format;
use crate::failure::{Blame, Failure};

/// Standard output, in the format asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Output {
    pub(crate) format: Format,
}

impl Output {
    /// Whether results go to a program.
    pub(crate) fn is_json(self) -> bool {
        self.format == Format::Json
    }

    /// Prints one JSON object on a line of its own.
    pub(crate) fn json(self, value: &impl Serialize) -> Result<(), Failure> {
        let line = serde_json::to_string(value).running("writing JSON")?;
        self.line(&line)
    }

    /// Prints a line. A reader that went away ends the command quietly.
    pub(crate) fn line(self, text: &str) -> Result<(), Failure> {
        let mut out = anstream::stdout().lock();
        match writeln!(out, "{text}").and_then(|()| out.flush()) {
            Err(e) if e.kind() == std::io::ErrorKind::BrokenPipe => std::process::exit(0),
            other => other.running("writing to standard output"),
        }
    }

    /// Prints a table that fits the window; cells wrap.
    pub(crate) fn table<R: IntoIterator<Item = Vec<String>>>(
        self,
        header: &[&str],
        rows: R,
    ) -> Result<(), Failure> {
        let mut table = Table::new();
        table
            .load_preset(presets::UTF8_HORIZONTAL_ONLY)
            // A line below each row would halve what a screen shows.
            .remove_style(TableComponent::HorizontalLines)
            .remove_style(TableComponent::MiddleIntersections)
            .remove_style(TableComponent::LeftBorderIntersections)
            .remove_style(TableComponent::RightBorderIntersections)
            .set_content_arrangement(ContentArrangement::Dynamic)
            .set_header(header.to_vec());
        if !std::io::stdout().is_terminal() {
            table.set_width(160);
        }
        for row in rows {
            table.add_row(row);
        }
        self.line(&table.to_string())
    }
}

/// The colour of an outcome; removed by `anstream` where standard output is not a terminal.
pub(crate) fn outcome_style(outcome: domain::Outcome) -> Style {
    let colour = match outcome {
        domain::Outcome::Permit => AnsiColor::Green,
        domain::Outcome::StepUp => AnsiColor::Cyan,
        domain::Outcome::BreakGlass => AnsiColor::Yellow,
        domain::Outcome::Deny => AnsiColor::Red,
    };
    colour.on_default()
}

/// Bold.
pub(crate) const STRONG: Style = Style::new().bold();
/// For what matters less.
pub(crate) const DIM: Style = Style::new().dimmed();

/// Says something beside the results, on standard error. It may be gone; the results matter more.
pub(crate) fn aside(text: &impl std::fmt::Display) {
    let _ = writeln!(anstream::stderr(), "{text}");
}

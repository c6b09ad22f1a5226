//! What could not be read, where, and what would help.

use std::fmt;

use serde::Serialize;

/// Where in a source something lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    /// Octets from the beginning, of the data as it is after decompression.
    Offset(u64),
    /// Line, from 1.
    Line(u64),
    /// All of it.
    Whole,
}

/// Something that could not be read, or that happened to a live source. The rest is read on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// Name of the file, interface or socket.
    pub source: String,
    /// Where in it.
    pub place: Place,
    /// Name of the column or field.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub column: Option<String>,
    /// What is wrong, in lower case, without a value from the source.
    pub what: String,
    /// What would help.
    pub remedy: String,
}

impl Problem {
    pub(crate) fn new(
        source: impl Into<String>,
        place: Place,
        what: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self {
            source: source.into(),
            place,
            column: None,
            what: what.into(),
            remedy: remedy.into(),
        }
    }

    pub(crate) fn of_record(source: &str, problem: sense::records::Problem) -> Self {
        Self {
            source: source.to_owned(),
            place: problem.line.map_or(Place::Whole, Place::Line),
            column: problem.column,
            what: problem.what,
            remedy: problem.remedy,
        }
    }
}

impl fmt::Display for Problem {
    /// `FILE:LINE: column `X`: what (remedy)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.source)?;
        match self.place {
            Place::Offset(offset) => write!(f, ", offset {offset}")?,
            Place::Line(line) => write!(f, ", line {line}")?,
            Place::Whole => {}
        }
        if let Some(column) = &self.column {
            write!(f, ", column `{column}`")?;
        }
        write!(f, ": {}", self.what)?;
        if !self.remedy.is_empty() {
            write!(f, " ({})", self.remedy)?;
        }
        Ok(())
    }
}

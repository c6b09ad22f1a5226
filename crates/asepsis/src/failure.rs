//! How a command fails: by what the operator gave it, or by what happened while it ran.

use std::fmt;
use std::process::ExitCode;

/// Why a command ended without doing its work.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Something given to the command cannot be used. Exit code 2; nothing was changed.
    Input(anyhow::Error),
    /// Something went wrong while the command ran. Exit code 1.
    Running(anyhow::Error),
}

impl Failure {
    /// An input failure from a sentence.
    pub(crate) fn input(message: impl fmt::Display + fmt::Debug + Send + Sync + 'static) -> Self {
        Self::Input(anyhow::Error::msg(message))
    }

    /// The process's exit code.
    pub(crate) fn code(&self) -> ExitCode {
        match self {
            Self::Input(_) => ExitCode::from(2),
            Self::Running(_) => ExitCode::from(1),
        }
    }

    /// The chain of causes as one line, outermost first.
    pub(crate) fn sentence(&self) -> String {
        let (Self::Input(error) | Self::Running(error)) = self;
        let mut line = String::new();
        for cause in error.chain() {
            let text = cause.to_string();
            // Some libraries repeat their source in their own message.
            if line.ends_with(&text) {
                continue;
            }
            if !line.is_empty() {
                line.push_str(": ");
            }
            line.push_str(&text);
        }
        line
    }
}

/// Names the two kinds of failure at the place where they arise.
pub(crate) trait Blame<T> {
    /// The operator's input is at fault.
    fn input(self, doing: impl fmt::Display + Send + Sync + 'static) -> Result<T, Failure>;
    /// The run is at fault.
    fn running(self, doing: impl fmt::Display + Send + Sync + 'static) -> Result<T, Failure>;
}

impl<T, E> Blame<T> for Result<T, E>
where
    E: Into<anyhow::Error>,
{
    fn input(self, doing: impl fmt::Display + Send + Sync + 'static) -> Result<T, Failure> {
        self.map_err(|e| Failure::Input(e.into().context(doing)))
    }

    fn running(self, doing: impl fmt::Display + Send + Sync + 'static) -> Result<T, Failure> {
        self.map_err(|e| Failure::Running(e.into().context(doing)))
    }
}

//! Capture files, interfaces and sockets: bytes for the sensor.
//!
//! A [`Job`] takes [`Input`]s of any kind and in any mixture, says from their content what they are, decompresses,
//! frames, and feeds a [`sense::Sensor`] or a [`sense::records::Reader`], which speak into a
//! [`domain::observation::Sink`]. What cannot be read becomes a [`Problem`] with file, place and remedy; the rest is
//! read on.
//!
//! ```no_run
//! use capture::{Input, Job, Options};
//! use domain::{Timestamp, observation::Collected};
//!
//! let options = Options::new(|| Timestamp::from_millis(0)); // The program's clock.
//! let job = Job::new(vec!["captures".parse::<Input>()?], options);
//! let watch = job.watch(); // To look at the counters, or to cancel, from elsewhere.
//! let mut sink = Collected::default();
//! let outcome = job.run(&mut sink, &mut |progress| {
//!     let _ = (progress.bytes_done, progress.bytes_total);
//! });
//! assert!(outcome.usable);
//! # drop(watch);
//! # Ok::<(), capture::NotAnInput>(())
//! ```
//!
//! Nothing is ever sent: interfaces are opened with sockets that only receive ([`live`]).
//!
//! Memory: a capture file of any size is read in pieces of [`PIECE`] octets; a record, block or line that claims to be
//! longer than its bound is damage, not an allocation. Decompression keeps at most the window of the format (gzip
//! 32 KiB, Zstandard 128 MiB) and stops when a file expands beyond [`Options::expansion_max`].
//!
//! Times are the packets' own; records without a time get the file's last change. The wall clock is a function in
//! [`Options`].

mod exports;
mod file;
mod input;
mod job;
mod listen;
pub mod live;
mod options;
pub mod packets;
mod problem;
mod progress;
mod socket;
mod spread;

pub use input::{Input, NotAnInput};
pub use job::{Job, Outcome, Report, read};
pub use options::Options;
pub use problem::{Place, Problem};
pub use progress::{Progress, Watch};

/// Octets that are read at a time.
pub const PIECE: usize = 1 << 18;

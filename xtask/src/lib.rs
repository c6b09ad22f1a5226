//! The project's own chores: the tests together with the packages they need, and benchmarks beside rivals.
//!
//! What both the chores and the benchmark of the gateway use lives here: finding programs and installing their Debian
//! packages, starting processes that surely end, reading their CPU time, and driving `wrk`.

pub mod bench;
pub mod lab;
pub mod packages;
pub mod process;
pub mod statistics;
pub mod test;
pub mod workspace;
pub mod wrk;

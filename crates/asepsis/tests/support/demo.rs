//! The real program, started as `asepsis demo` on free ports with a folder of its own.

use std::fs;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// How long the program may take until it listens; a test machine may be busy.
const PATIENCE: Duration = Duration::from_secs(60);

/// The sample hospital of the tests: the same people and patients each time.
pub(crate) const SEED: u64 = 7;

/// The demo, ended when this value goes.
pub(crate) struct Demo {
    child: Child,
    http: u16,
    https: u16,
    folder: TempDir,
}

/// How a browser reaches the demo.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scheme {
    /// Without TLS, on names that a browser keeps to this machine.
    Http,
    /// With the demo's own authority.
    Https,
}

impl Demo {
    /// Starts the demo and waits until it listens.
    pub(crate) fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder for the demo");
        let [http, https] = free_ports();
        let log = fs::File::create(folder.path().join("log")).expect("a log for the demo");
        let child = Command::new(env!("CARGO_BIN_EXE_asepsis"))
            .args(["demo", "--seed", &SEED.to_string()])
            .args([
                "--http-port",
                &http.to_string(),
                "--https-port",
                &https.to_string(),
            ])
            .arg("--data")
            .arg(folder.path().join("data"))
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a log for the demo"))
            .stderr(log)
            .spawn()
            .expect("the program starts");
        let mut demo = Self {
            child,
            http,
            https,
            folder,
        };
        demo.wait();
        demo
    }

    fn wait(&mut self) {
        let deadline = Instant::now() + PATIENCE;
        let listens = |port| TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok();
        while !(listens(self.http) && listens(self.https)) {
            let ended = self.child.try_wait().expect("a state of the program");
            assert!(
                ended.is_none(),
                "the demo ended with {ended:?}:\n{}",
                self.log()
            );
            assert!(
                Instant::now() < deadline,
                "the demo does not listen after {} s:\n{}",
                PATIENCE.as_secs(),
                self.log()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
        assert!(
            self.authority().is_file(),
            "it listens before its authority can be read:\n{}",
            self.log()
        );
    }

    /// The origin of one of its hosts: `chart`, `access` or `console`.
    pub(crate) fn origin(&self, scheme: Scheme, host: &str) -> String {
        match scheme {
            Scheme::Http => format!("http://{host}.asepsis.localhost:{}", self.http),
            Scheme::Https => format!("https://{host}.asepsis.localhost:{}", self.https),
        }
    }

    /// The authority that signed its certificate.
    pub(crate) fn authority(&self) -> PathBuf {
        self.folder.path().join("data/ca.pem")
    }

    /// What it has printed.
    pub(crate) fn log(&self) -> String {
        read(&self.folder.path().join("log"))
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        // Nothing in the folder is wanted afterwards, so there is no need to end it gently.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            super::tell(&format!("the demo said:\n{}", self.log()));
        }
    }
}

fn read(file: &Path) -> String {
    fs::read_to_string(file).unwrap_or_default()
}

fn free_ports<const N: usize>() -> [u16; N] {
    // All are held until all are known, so that none comes twice.
    let held: [TcpListener; N] =
        std::array::from_fn(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port"));
    held.each_ref()
        .map(|listener| listener.local_addr().expect("a port").port())
}

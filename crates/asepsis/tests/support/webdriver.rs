//! A small WebDriver client: Chromium through chromedriver, with the endpoints that our pages need.
//!
//! Every browser starts with an empty profile in a home of its own and trusts only what its own certificate store
//! says. No flag to ignore certificate faults is set anywhere: the virtual authenticator would hide that a passkey
//! cannot work behind a certificate warning.

use std::fmt;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio::time::timeout;

/// The key under which WebDriver wraps a reference to an element.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// How long a page may take to show what a test waits for.
const PATIENCE: Duration = Duration::from_secs(20);

/// How long one command may take; opening a page waits for the page.
const COMMAND: Duration = Duration::from_secs(60);

const POLL: Duration = Duration::from_millis(50);

/// Chromium with an empty profile.
pub(crate) struct Browser {
    runtime: Runtime,
    driver: Child,
    port: u16,
    session: String,
    /// Whose browser it is, in the names of the screenshots.
    visitor: &'static str,
    screenshots: PathBuf,
    shots: u32,
    // Removed after the browser has ended.
    _home: TempDir,
}

/// A reference to an element of the page.
#[derive(Debug, Clone)]
pub(crate) struct Element(String);

/// What chromedriver answers when a command fails.
#[derive(Debug)]
pub(crate) struct Failed {
    /// The short name of WebDriver, such as `no such element`.
    error: String,
    message: String,
}

impl Browser {
    /// Starts the browser of `visitor`, which trusts the authority in the file `authority`, if one is given, besides
    /// those it knows. Screenshots go into `screenshots`.
    pub(crate) fn start(
        visitor: &'static str,
        authority: Option<&Path>,
        screenshots: &Path,
    ) -> Self {
        let home = tempfile::tempdir().expect("a home for the browser");
        if let Some(authority) = authority {
            trust(home.path(), authority);
        }
        let (driver, port) = start_driver(home.path());
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        let mut browser = Self {
            runtime,
            driver,
            port,
            session: String::new(),
            visitor,
            screenshots: screenshots.to_owned(),
            shots: 0,
            _home: home,
        };
        browser.open_session();
        browser
    }

    fn open_session(&mut self) {
        let profile = self._home.path().join("profile");
        let arguments = [
            "--headless".to_owned(),
            "--no-sandbox".into(),
            "--disable-gpu".into(),
            "--disable-dev-shm-usage".into(),
            "--disable-quic".into(),
            "--no-first-run".into(),
            "--disable-background-networking".into(),
            "--disable-component-update".into(),
            "--disable-sync".into(),
            "--window-size=1280,900".into(),
            format!("--user-data-dir={}", profile.display()),
        ];
        let capabilities = json!({ "capabilities": { "alwaysMatch": {
            "browserName": "chrome",
            "acceptInsecureCerts": false,
            "goog:chromeOptions": { "args": arguments, "binary": super::program("chromium") },
            "goog:loggingPrefs": { "browser": "ALL" },
            "timeouts": { "pageLoad": 30_000, "script": 30_000, "implicit": 0 },
        } } });
        let session = self
            .send(&Method::POST, "/session", Some(&capabilities))
            .expect("a browser session");
        session["sessionId"]
            .as_str()
            .expect("a session id")
            .clone_into(&mut self.session);
    }

    /// Opens an address and waits for the page.
    pub(crate) fn open(&mut self, address: &str) {
        self.post("/url", &json!({ "url": address }))
            .unwrap_or_else(|failed| self.fail(&format!("cannot open {address}: {failed}")));
    }

    /// The address of the page.
    pub(crate) fn address(&self) -> String {
        self.get("/url")
            .expect("an address")
            .as_str()
            .unwrap_or_default()
            .to_owned()
    }

    /// The title of the page.
    pub(crate) fn title(&self) -> String {
        self.get("/title")
            .expect("a title")
            .as_str()
            .unwrap_or_default()
            .to_owned()
    }

    /// The text that a person sees on the page.
    pub(crate) fn text(&self) -> String {
        self.script("return document.body ? document.body.innerText : ''", &[])
            .as_str()
            .unwrap_or_default()
            .to_owned()
    }

    /// The elements that match `css` now.
    pub(crate) fn all(&self, css: &str) -> Vec<Element> {
        let found = self.post(
            "/elements",
            &json!({ "using": "css selector", "value": css }),
        );
        let found =
            found.unwrap_or_else(|failed| self.fail(&format!("cannot look for `{css}`: {failed}")));
        found
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|one| Some(Element(one[ELEMENT].as_str()?.to_owned())))
            .collect()
    }

    /// The first element that matches `css`, as soon as it is there.
    pub(crate) fn see(&self, css: &str) -> Element {
        self.wait(&format!("an element `{css}`"), |browser| {
            browser.all(css).into_iter().next()
        })
    }

    /// The first element that matches `css` and whose text contains `words`, as soon as it is there.
    pub(crate) fn see_saying(&self, css: &str, words: &str) -> Element {
        self.wait(
            &format!("an element `{css}` that says `{words}`"),
            |browser| {
                browser
                    .all(css)
                    .into_iter()
                    .find(|element| browser.words(element).contains(words))
            },
        )
    }

    /// Waits until the page says `words`.
    pub(crate) fn read(&self, words: &str) {
        self.wait(&format!("the words `{words}`"), |browser| {
            browser.text().contains(words).then_some(())
        });
    }

    /// Waits until the page is at an address that contains `part`.
    pub(crate) fn arrive(&self, part: &str) {
        self.wait(&format!("an address with `{part}`"), |browser| {
            browser.address().contains(part).then_some(())
        });
    }

    /// Waits until `look` finds something.
    pub(crate) fn wait<T>(&self, what: &str, look: impl Fn(&Self) -> Option<T>) -> T {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(found) = look(self) {
                return found;
            }
            if Instant::now() > deadline {
                self.fail(&format!("waited {} s for {what}", PATIENCE.as_secs()));
            }
            std::thread::sleep(POLL);
        }
    }

    /// The text of an element, or nothing when the page has replaced it.
    pub(crate) fn words(&self, element: &Element) -> String {
        let text = self.get(&format!("/element/{}/text", element.0));
        text.ok()
            .and_then(|text| text.as_str().map(str::to_owned))
            .unwrap_or_default()
    }

    /// Clicks the first element that matches `css`, as soon as it is there and can be clicked.
    pub(crate) fn click(&self, css: &str) {
        self.wait(&format!("something to click at `{css}`"), |browser| {
            browser
                .all(css)
                .into_iter()
                .find(|element| browser.try_click(element))
        });
    }

    /// Clicks the first element that matches `css` and says `words`, as soon as it can be clicked.
    pub(crate) fn click_saying(&self, css: &str, words: &str) {
        self.wait(&format!("`{words}` to click at `{css}`"), |browser| {
            let said = |element: &Element| {
                browser.words(element).contains(words) && browser.try_click(element)
            };
            browser.all(css).into_iter().find(said)
        });
    }

    fn try_click(&self, element: &Element) -> bool {
        match self.post(&format!("/element/{}/click", element.0), &json!({})) {
            Ok(_) => true,
            // The page is still moving; whoever waits looks again.
            Err(failed) if failed.is_passing() => false,
            Err(failed) => self.fail(&format!("cannot click: {failed}")),
        }
    }

    /// Types into the first element that matches `css`.
    pub(crate) fn fill(&self, css: &str, text: &str) {
        let element = self.see(css);
        // Some elements cannot be cleared, which is no fault.
        let _ = self.post(&format!("/element/{}/clear", element.0), &json!({}));
        self.post(
            &format!("/element/{}/value", element.0),
            &json!({ "text": text }),
        )
        .unwrap_or_else(|failed| self.fail(&format!("cannot type into `{css}`: {failed}")));
    }

    /// Presses keys where the keyboard is: text, or one of WebDriver's key codes.
    pub(crate) fn press(&self, keys: &str) {
        let active = self.get("/element/active");
        let active = active
            .unwrap_or_else(|failed| self.fail(&format!("nothing has the keyboard: {failed}")));
        let element = active[ELEMENT].as_str().unwrap_or_default();
        self.post(
            &format!("/element/{element}/value"),
            &json!({ "text": keys }),
        )
        .unwrap_or_else(|failed| self.fail(&format!("cannot press `{keys}`: {failed}")));
    }

    /// Gives the window another size, in CSS pixels.
    pub(crate) fn resize(&self, width: u32, height: u32) {
        self.post("/window/rect", &json!({ "width": width, "height": height }))
            .unwrap_or_else(|failed| self.fail(&format!("cannot resize: {failed}")));
    }

    /// Chooses the entry of the selection `css` whose value is `value`.
    pub(crate) fn choose(&self, css: &str, value: &str) {
        self.click(&format!("{css} option[value=\"{value}\"]"));
    }

    /// Runs a script in the page and returns what it returns.
    pub(crate) fn script(&self, script: &str, arguments: &[Value]) -> Value {
        self.post(
            "/execute/sync",
            &json!({ "script": script, "args": arguments }),
        )
        .unwrap_or_else(|failed| self.fail(&format!("a script failed: {failed}")))
    }

    /// Chooses the entry of the selection `css` that says `words`.
    pub(crate) fn choose_saying(&self, css: &str, words: &str) {
        self.click_saying(&format!("{css} option"), words);
    }

    /// The page as it is now, markup included.
    pub(crate) fn source(&self) -> String {
        self.get("/source")
            .expect("a page")
            .as_str()
            .unwrap_or_default()
            .to_owned()
    }

    /// The handle of the tab.
    pub(crate) fn tab(&self) -> String {
        self.get("/window")
            .expect("a tab")
            .as_str()
            .unwrap_or_default()
            .to_owned()
    }

    /// Turns to the tab that the page has opened beside the tab `known`, with the passkeys of its authenticator: a
    /// virtual authenticator is plugged into one tab only.
    pub(crate) fn turn_to_new_tab(&mut self, known: &str, authenticator: &str) {
        let passkeys = self.credentials(authenticator);
        let new = self.wait("a new tab", |browser| {
            let tabs = browser.get("/window/handles").expect("tabs");
            tabs.as_array()?
                .iter()
                .filter_map(Value::as_str)
                .find(|tab| *tab != known)
                .map(str::to_owned)
        });
        self.turn_to(&new);
        let here = self.plug_in_authenticator();
        for passkey in passkeys {
            self.post(
                &format!("/webauthn/authenticator/{here}/credential"),
                &passkey,
            )
            .expect("a passkey is carried over");
        }
    }

    /// Turns to the tab with this handle.
    pub(crate) fn turn_to(&mut self, handle: &str) {
        self.post("/window", &json!({ "handle": handle }))
            .expect("a tab to turn to");
    }

    /// Plugs in a virtual authenticator that keeps passkeys and verifies its person; returns its id.
    pub(crate) fn plug_in_authenticator(&mut self) -> String {
        let options = json!({
            "protocol": "ctap2",
            "transport": "internal",
            "hasResidentKey": true,
            "hasUserVerification": true,
            "isUserConsenting": true,
            "isUserVerified": true,
        });
        let id = self
            .post("/webauthn/authenticator", &options)
            .expect("a virtual authenticator");
        id.as_str().expect("the id of an authenticator").to_owned()
    }

    /// How many passkeys the authenticator holds.
    pub(crate) fn passkeys(&self, authenticator: &str) -> usize {
        self.credentials(authenticator).len()
    }

    fn credentials(&self, authenticator: &str) -> Vec<Value> {
        let held = self
            .get(&format!(
                "/webauthn/authenticator/{authenticator}/credentials"
            ))
            .expect("credentials");
        held.as_array().cloned().unwrap_or_default()
    }

    /// Saves what the page looks like as `VISITOR-NUMBER-name.png`.
    pub(crate) fn screenshot(&mut self, name: &str) {
        self.shots += 1;
        let file = self
            .screenshots
            .join(format!("{}-{:02}-{name}.png", self.visitor, self.shots));
        match self.take(&file) {
            Ok(()) => {}
            Err(failed) => self.fail(&format!("no screenshot: {failed}")),
        }
    }

    fn take(&self, file: &Path) -> Result<(), Failed> {
        let picture = self.get("/screenshot")?;
        let bytes = STANDARD
            .decode(picture.as_str().unwrap_or_default())
            .expect("a picture in base64");
        fs::write(file, bytes).expect("a screenshot is written");
        Ok(())
    }

    /// Fails the test when the browser complained since the last look: a script that broke, a violated content
    /// security policy, something that could not be loaded; or when the page says what no person can read. Statuses in
    /// `expected` belong to the story.
    pub(crate) fn no_complaints(&self, expected: &[u16]) {
        let text = self.text();
        let slip = text.lines().find(|line| {
            matches!(
                line.trim(),
                "null" | "undefined" | "NaN" | "[object Object]"
            )
        });
        assert!(
            slip.is_none(),
            "the page says {slip:?} at {}:\n{text}",
            self.address()
        );
        let entries = self
            .post("/se/log", &json!({ "type": "browser" }))
            .expect("the log of the browser");
        let complaints: Vec<String> = entries
            .as_array()
            .into_iter()
            .flatten()
            .filter(|entry| matches!(entry["level"].as_str(), Some("SEVERE" | "WARNING")))
            .filter(|entry| {
                let told = entry["message"].as_str().unwrap_or_default();
                let status =
                    |status: &u16| told.contains(&format!("responded with a status of {status} "));
                !(entry["source"] == "network" && expected.iter().any(status))
            })
            .map(Value::to_string)
            .collect();
        assert!(
            complaints.is_empty(),
            "the browser complains at {}: {complaints:#?}",
            self.address()
        );
    }

    /// Fails the test and leaves what a person needs to see why.
    fn fail(&self, why: &str) -> ! {
        let file = self
            .screenshots
            .join(format!("{}-failed.png", self.visitor));
        let shot = self.take(&file).map_or_else(
            |failed| format!("none, {failed}"),
            |()| file.display().to_string(),
        );
        let now = |path| {
            self.get(path)
                .ok()
                .and_then(|value| value.as_str().map(str::to_owned))
                .unwrap_or_default()
        };
        let seen = self.post(
            "/execute/sync",
            &json!({ "script": "return document.body.innerText", "args": [] }),
        );
        let seen = seen
            .ok()
            .and_then(|text| text.as_str().map(str::to_owned))
            .unwrap_or_default();
        let log = self
            .post("/se/log", &json!({ "type": "browser" }))
            .unwrap_or_default();
        panic!(
            "{why}\n  address: {}\n  title: {}\n  screenshot: {shot}\n  browser log: {log}\n  page:\n{seen}",
            now("/url"),
            now("/title")
        );
    }

    fn get(&self, path: &str) -> Result<Value, Failed> {
        self.send(
            &Method::GET,
            &format!("/session/{}{path}", self.session),
            None,
        )
    }

    fn post(&self, path: &str, body: &Value) -> Result<Value, Failed> {
        self.send(
            &Method::POST,
            &format!("/session/{}{path}", self.session),
            Some(body),
        )
    }

    fn send(&self, method: &Method, path: &str, body: Option<&Value>) -> Result<Value, Failed> {
        let command = async { timeout(COMMAND, exchange(self.port, method, path, body)).await };
        let (status, answer) = self.runtime.block_on(command).unwrap_or_else(|_| {
            panic!(
                "chromedriver did not answer `{method} {path}` within {} s",
                COMMAND.as_secs()
            )
        });
        let value = answer.get("value").cloned().unwrap_or_default();
        if status.is_success() {
            return Ok(value);
        }
        let text = |name: &str| {
            value[name]
                .as_str()
                .unwrap_or_default()
                .lines()
                .next()
                .unwrap_or_default()
                .to_owned()
        };
        Err(Failed {
            error: text("error"),
            message: text("message"),
        })
    }
}

impl Failed {
    /// Whether the reason passes by itself while a page is still being built.
    fn is_passing(&self) -> bool {
        matches!(
            self.error.as_str(),
            "stale element reference"
                | "element not interactive"
                | "element click intercepted"
                | "no such element"
        )
    }
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.error, self.message)
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Ending the session ends Chromium and all that belongs to it; chromedriver alone would leave it behind.
        let path = format!("/session/{}", self.session);
        let end = exchange(self.port, &Method::DELETE, &path, None);
        let _ = self
            .runtime
            .block_on(async { timeout(Duration::from_secs(10), end).await });
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

async fn exchange(
    port: u16,
    method: &Method,
    path: &str,
    body: Option<&Value>,
) -> (StatusCode, Value) {
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))
        .await
        .expect("chromedriver accepts a connection");
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .expect("chromedriver speaks HTTP");
    let connection = tokio::spawn(connection);
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header(header::HOST, format!("127.0.0.1:{port}"))
        .header(header::CONTENT_TYPE, "application/json; charset=utf-8")
        .body(Full::new(Bytes::from(
            body.map(Value::to_string).unwrap_or_default(),
        )))
        .expect("a command is a request");
    let answer = sender
        .send_request(request)
        .await
        .expect("chromedriver answers");
    let status = answer.status();
    let bytes = answer
        .into_body()
        .collect()
        .await
        .expect("chromedriver answers in full")
        .to_bytes();
    connection.abort();
    (status, serde_json::from_slice(&bytes).unwrap_or_default())
}

/// Starts chromedriver on a port of its own choice, which it prints.
fn start_driver(home: &Path) -> (Child, u16) {
    let log = fs::File::create(home.join("chromedriver.log")).expect("a log for chromedriver");
    let mut driver =
        Command::new(super::program("chromedriver").expect("chromedriver is installed"))
            .arg("--port=0")
            .env("HOME", home)
            .env_remove("XDG_CONFIG_HOME")
            .env_remove("XDG_CACHE_HOME")
            .env_remove("XDG_DATA_HOME")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .expect("chromedriver starts");
    let output = driver.stdout.take().expect("chromedriver has an output");
    let mut lines = BufReader::new(output).lines();
    let port = lines.by_ref().map_while(Result::ok).find_map(|line| {
        let (_, rest) = line.split_once("started successfully on port ")?;
        rest.trim_end_matches('.').parse().ok()
    });
    // A reader has to stay, so that chromedriver never writes into a closed or full pipe.
    std::thread::spawn(move || lines.map_while(Result::ok).for_each(drop));
    (driver, port.expect("chromedriver names its port"))
}

/// Puts `authority` into the certificate store that Chromium reads below `home`.
fn trust(home: &Path, authority: &Path) {
    let store = home.join(".pki/nssdb");
    fs::create_dir_all(&store).expect("a certificate store");
    let store = format!("sql:{}", store.display());
    let certutil = super::program("certutil").expect("certutil is installed");
    let run = |arguments: &[&str]| {
        let output = Command::new(&certutil)
            .args(["-d", &store])
            .args(arguments)
            .output()
            .expect("certutil runs");
        if !output.status.success() {
            let _ = std::io::stderr().write_all(&output.stderr);
            panic!("certutil {arguments:?} ended with {}", output.status);
        }
    };
    run(&["-N", "--empty-password"]);
    let file = authority.to_str().expect("a readable path");
    run(&["-A", "-t", "C,,", "-n", "demo authority", "-i", file]);
}

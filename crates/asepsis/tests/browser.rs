//! The whole road in a real browser: Chromium, its own certificate store, a virtual authenticator, the real program.
//!
//! `cargo xtask test` installs what these tests need, or sets `ASEPSIS_SKIP_BROWSER`; each test then prints a line and
//! passes. Every page is photographed; the folder is printed.

mod support {
    //! The program under test and the browser that visits it.

    use std::io::Write as _;
    use std::path::PathBuf;

    pub(crate) mod demo;
    pub(crate) mod webdriver;

    /// Says one line to whoever reads the output of the test.
    pub(crate) fn tell(line: &str) {
        // Nobody listening is no reason to fail.
        let _ = writeln!(std::io::stderr().lock(), "{line}");
    }

    /// The program `name`, when it is installed.
    pub(crate) fn program(name: &str) -> Option<PathBuf> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&path)
            .map(|folder| folder.join(name))
            .find(|file| file.is_file())
    }
}

use std::path::PathBuf;
use std::time::{Duration, UNIX_EPOCH};

use domain::Timestamp;
use sample::{Cast, Example, Hospital};
use support::demo::{Demo, SEED, Scheme};
use support::webdriver::Browser;
use support::{program, tell};

/// What a browser test needs; `cargo xtask test` knows the packages.
const PROGRAMS: [&str; 3] = ["chromium", "chromedriver", "certutil"];

/// WebDriver's code for the key Enter.
const ENTER: &str = "\u{e007}";

/// A demo, and the people and patients to play with.
struct Stage {
    demo: Demo,
    scheme: Scheme,
    hospital: Hospital,
    screenshots: PathBuf,
}

impl Stage {
    /// Sets the stage, or says why there is none and returns nothing.
    fn set(test: &str, scheme: Scheme) -> Option<Self> {
        let screenshots = screenshots(test)?;
        Some(Self {
            demo: Demo::start(),
            scheme,
            hospital: Hospital::generate(SEED, now()),
            screenshots,
        })
    }

    /// A browser of its own, with cookies and passkeys of its own, which trusts the demo.
    fn visitor(&self, name: &'static str) -> Browser {
        let authority = self.demo.authority();
        let authority = (self.scheme == Scheme::Https).then_some(authority.as_path());
        Browser::start(name, authority, &self.screenshots)
    }

    fn address(&self, host: &str, path: &str) -> String {
        self.demo.origin(self.scheme, host) + path
    }

    /// Opens a page, signs in as `cast` does when asked who one is, and arrives at the page.
    fn sign_in(&self, browser: &mut Browser, host: &str, path: &str, cast: &Cast) {
        browser.open(&self.address(host, path));
        browser.see("#person");
        browser.screenshot("sign-in");
        assert!(
            browser.address().starts_with(&self.address("access", "/")),
            "people sign in at one origin only"
        );
        self.sample_sign_in(browser, cast);
        browser.arrive(&self.address(host, path));
    }

    /// Fills in the sample sign-in.
    fn sample_sign_in(&self, browser: &mut Browser, cast: &Cast) {
        browser.choose("#person", cast.person.as_str());
        browser.choose("#device", cast.device.as_str());
        browser.click_saying("button", "Sample sign-in");
    }

    /// Opens the chart of the patient in `cast` by the number on the wristband.
    fn open_chart(&self, browser: &Browser, cast: &Cast) {
        browser.fill("#band", cast.patient.as_ref().expect("a patient").as_str());
        browser.click_saying("button", "Open chart");
    }

    /// The name of the patient in `cast`.
    fn patient(&self, cast: &Cast) -> String {
        let id = cast.patient.as_ref().expect("a patient");
        self.hospital
            .patient(id)
            .expect("a patient of the hospital")
            .name
            .clone()
    }

    /// The name of the person in `cast`.
    fn name(&self, cast: &Cast) -> String {
        self.hospital
            .person(&cast.person)
            .expect("somebody of the hospital")
            .name
            .to_string()
    }
}

#[test]
fn a_browser_that_does_not_know_the_authority_opens_nothing() {
    let Some(stage) = Stage::set("unknown-authority", Scheme::Https) else {
        return;
    };
    let mut browser = Browser::start("stranger", None, &stage.screenshots);
    browser.open(&stage.address("chart", "/"));
    // Chromium's own warning: proof that nothing here tells it to look away.
    assert_eq!(browser.title(), "Privacy error");
    browser.screenshot("warning");
}

#[test]
fn a_passkey_is_registered_and_signs_in_over_http() {
    passkey("passkey-http", Scheme::Http);
}

#[test]
fn a_passkey_is_registered_and_signs_in_over_https() {
    passkey("passkey-https", Scheme::Https);
}

fn passkey(test: &str, scheme: Scheme) {
    let Some(stage) = Stage::set(test, scheme) else {
        return;
    };
    let cast = stage.hospital.example(Example::CareTeam);
    let mut browser = stage.visitor("physician");
    let authenticator = browser.plug_in_authenticator();

    stage.sign_in(&mut browser, "access", "/", &cast);
    browser.read(&stage.name(&cast));
    browser.screenshot("home");
    browser.click("a[href='/passkeys']");
    browser.fill("#passkey-name", "Blue key");
    browser.screenshot("passkeys");
    assert_eq!(browser.passkeys(&authenticator), 0);
    browser.click_saying("#passkey button", "Add a passkey");
    browser.see_saying("ul.list h3", "Blue key");
    browser.screenshot("passkey-added");
    assert_eq!(browser.passkeys(&authenticator), 1);

    browser.click_saying("header button", "Sign out");
    browser.read("signed out");
    browser.screenshot("signed-out");
    // The page offers passkeys before anybody touches a button, and the authenticator's person consents at once.
    browser.open(&stage.address("access", "/"));
    browser.read(&stage.name(&cast));
    browser.read("passkey that cannot leave its device");
    browser.screenshot("home-by-passkey");
    browser.no_complaints(&[]);
}

#[test]
fn signing_out_everywhere_closes_every_application() {
    let Some(stage) = Stage::set("sign-out", Scheme::Http) else {
        return;
    };
    let cast = stage.hospital.example(Example::ItAdministrator);
    let mut browser = stage.visitor("administrator");
    stage.sign_in(&mut browser, "console", "/sessions", &cast);
    browser.see_saying("th", &stage.name(&cast));
    browser.screenshot("sessions");

    // The second application asks nobody again: the session at the sign-in origin opens it.
    browser.open(&stage.address("chart", "/"));
    browser.arrive(&stage.address("chart", "/"));
    browser.open(&stage.address("access", "/"));
    browser.click_saying("button", "Sign out on all devices");
    browser.read("signed out");
    browser.screenshot("signed-out");
    for (host, path) in [("console", "/sessions"), ("chart", "/"), ("access", "/")] {
        browser.open(&stage.address(host, path));
        browser.see("#person");
    }
    // The chart page asks for patients, who are none of an administrator's business.
    browser.no_complaints(&[403]);
}

#[test]
fn end_now_in_the_console_cuts_a_session_and_its_live_page_off() {
    let Some(stage) = Stage::set("end-now", Scheme::Https) else {
        return;
    };
    let analyst = stage.hospital.example(Example::SecurityAnalyst);
    let mut desk = stage.visitor("analyst");
    stage.sign_in(&mut desk, "console", "/decisions", &analyst);
    desk.see(".pulse.live");
    desk.screenshot("live");
    desk.no_complaints(&[]);

    let mut office = stage.visitor("administrator");
    stage.sign_in(
        &mut office,
        "console",
        "/sessions",
        &stage.hospital.example(Example::ItAdministrator),
    );
    let button = format!(
        "button[aria-label='End the session of {} now']",
        stage.name(&analyst)
    );
    office.see(&button);
    office.screenshot("sessions");
    office.click(&button);
    office.wait("the end of the session", |office| {
        office.all(&button).is_empty().then_some(())
    });
    office.screenshot("ended");
    office.no_complaints(&[]);

    // Nobody reloads: the stream itself is cut.
    desk.see(".pulse.lost");
    desk.screenshot("cut");
    desk.open(&stage.address("console", "/decisions"));
    desk.see("#person");
}

#[test]
fn every_page_of_the_console_opens_and_the_log_verifies() {
    let Some(stage) = Stage::set("console", Scheme::Http) else {
        return;
    };
    let cast = stage.hospital.example(Example::ItAdministrator);
    let mut browser = stage.visitor("administrator");
    stage.sign_in(&mut browser, "console", "/decisions", &cast);
    for (page, heading) in [
        ("decisions", "Decisions"),
        ("applications", "Applications"),
        ("devices", "Devices"),
        ("people", "People"),
        ("sessions", "Sessions"),
        ("audit", "Audit"),
    ] {
        browser.click_saying("header a", heading);
        browser.arrive(&stage.address("console", &format!("/{page}")));
        browser.see_saying("h1", heading);
        browser.screenshot(page);
        browser.no_complaints(&[]);
    }
    browser.click_saying("button", "Verify the log");
    browser.read("The log is sound.");
    browser.screenshot("verified");
    browser.fill("#record", "0");
    browser.click_saying("button", "Show the proof");
    browser.see_saying("h1", "Proof of record 0");
    browser.screenshot("proof");
    browser.no_complaints(&[]);
}

#[test]
fn devices_are_found_explained_and_named_with_the_keyboard_alone() {
    let Some(stage) = Stage::set("devices", Scheme::Http) else {
        return;
    };
    let cast = stage.hospital.example(Example::ItAdministrator);
    let mut browser = stage.visitor("administrator");
    stage.sign_in(&mut browser, "console", "/devices", &cast);
    // The program begins with the register and goes on with packets: the first pages know no device or no sensor yet.
    for _ in 0..40 {
        let is_there = |css: &str| !browser.all(css).is_empty();
        if is_there("[data-sensor=core-mirror]") && is_there("#devices tbody tr") {
            break;
        }
        std::thread::sleep(Duration::from_millis(500));
        browser.open(&stage.address("console", "/devices"));
    }
    browser.see("#devices tbody tr");
    browser.screenshot("list");
    // The sensor is at work: figures move, and nobody reloads.
    let figure = |browser: &Browser, css: &str| browser.words(&browser.see(css));
    let packets = figure(&browser, "[data-sensor=core-mirror] .value");
    browser.wait("more packets", |browser| {
        (figure(browser, "[data-sensor=core-mirror] .value") != packets).then_some(())
    });
    assert_ne!(figure(&browser, "[data-figure=all]"), "0");
    browser.screenshot("live");

    // Rows follow what is typed, on the same page.
    browser.script("window.same = true", &[]);
    browser.fill("#q", "pump");
    let told = |browser: &Browser| -> Vec<String> {
        let rows = browser.all("#devices tbody tr");
        rows.iter().map(|row| browser.words(row)).collect()
    };
    browser.wait("pumps only", |browser| {
        let rows = told(browser);
        let fits = !rows.is_empty() && rows.iter().all(|row| row.to_lowercase().contains("pump"));
        fits.then_some(())
    });
    browser.arrive("q=pump");
    browser.click_saying("#devices thead a", "Maker and model");
    browser.see("#devices th[aria-sort]:nth-of-type(3)");
    browser.arrive("sort=vendor");
    assert_eq!(
        browser.script("return window.same", &[]),
        true,
        "the page was loaded again"
    );
    browser.screenshot("found");
    browser.resize(768, 1024);
    let wide = "return document.documentElement.scrollWidth > document.documentElement.clientWidth";
    assert_eq!(
        browser.script(wide, &[]),
        false,
        "the page is wider than a ward tablet"
    );
    browser.screenshot("tablet");

    browser.click("#devices tbody a");
    browser.see_saying("h2", "Evidence");
    browser.see_saying("h2", "Known risks");
    assert!(
        !browser.source().contains("/tmp"),
        "a folder of this machine is told"
    );
    assert_eq!(
        browser.script(wide, &[]),
        false,
        "the page is wider than a ward tablet"
    );
    browser.screenshot("one");
    browser.open(&stage.address("console", "/devices/map"));
    browser.see("svg.map circle.unit");
    browser.screenshot("map");
    browser.no_complaints(&[]);

    // Three keys for an answer: choose, see what it changes, say yes. The sensor goes on meanwhile, so that a question may
    // settle itself while it is looked at: then the next one is answered.
    let answered = (0..5).any(|_| {
        browser.open(&stage.address("console", "/devices/queue"));
        browser.see("#question");
        let field = browser.script("return document.activeElement.name", &[]);
        assert!(
            field == "other" || field == "kind",
            "the keyboard is at {field}"
        );
        // A contradiction is decided by nobody's haste: nothing is chosen before a key says so.
        browser.press(if field == "other" { "bed sensor" } else { " " });
        browser.screenshot("queue");
        browser.press(ENTER);
        browser.arrive("/devices/queue/preview");
        browser.see("main h1");
        if !browser.text().contains("Nothing is changed yet.") {
            return false;
        }
        browser.screenshot("preview");
        browser.press(ENTER);
        browser.wait("an end", |browser| {
            (!browser.address().contains("/preview")).then_some(())
        });
        browser.see("main h1");
        !browser.all(".band.permit").is_empty()
    });
    assert!(answered, "no question of five took an answer");
    browser.read("Done:");
    browser.screenshot("answered");
    browser.click_saying(".band a", "Read the rule");
    browser.see_saying("h2", "The rule");
    browser.screenshot("rule");
    browser.click_saying("button", "Take it back");
    browser.see_saying(".band", "taken back");
    browser.no_complaints(&[409]);
}

#[test]
fn a_physician_opens_the_chart_of_a_patient_in_care_over_http() {
    chart("chart-http", Scheme::Http);
}

#[test]
fn a_physician_opens_the_chart_of_a_patient_in_care_over_https() {
    chart("chart-https", Scheme::Https);
}

fn chart(test: &str, scheme: Scheme) {
    let Some(stage) = Stage::set(test, scheme) else {
        return;
    };
    let cast = stage.hospital.example(Example::CareTeam);
    let mut browser = stage.visitor("physician");
    stage.sign_in(&mut browser, "chart", "/", &cast);
    browser.read(&stage.name(&cast));
    browser.see("ul.people li");
    browser.screenshot("patients");
    stage.open_chart(&browser, &cast);
    browser.see_saying(".banner h1", &stage.patient(&cast));
    browser.wait("every part of the chart", |browser| {
        browser.all(".waiting").is_empty().then_some(())
    });
    assert!(
        browser.all(".notice").is_empty(),
        "parts of the chart are missing:\n{}",
        browser.text()
    );
    browser.see(".s-vital-signs .tile");
    browser.screenshot("chart");
    browser.no_complaints(&[]);
}

#[test]
fn an_emergency_opens_a_strangers_chart_and_the_console_shows_it_live() {
    let Some(stage) = Stage::set("break-glass", Scheme::Https) else {
        return;
    };
    let mut office = stage.visitor("administrator");
    stage.sign_in(
        &mut office,
        "console",
        "/decisions",
        &stage.hospital.example(Example::ItAdministrator),
    );
    office.see(".pulse.live");

    let cast = stage.hospital.example(Example::Unrelated);
    let mut ward = stage.visitor("nurse");
    stage.sign_in(&mut ward, "chart", "/", &cast);
    stage.open_chart(&ward, &cast);
    ward.see(".notice.break_glass");
    assert!(
        !ward.text().contains(&stage.patient(&cast)),
        "the name is told before the emergency is declared"
    );
    ward.screenshot("closed");
    ward.click_saying("a.button", "Emergency access");
    if ward.wait("a ceremony", ceremony) == Ceremony::StepUp {
        ward.screenshot("step-up");
        ward.click_saying("button", "Sample confirmation");
    }
    ward.see("#reason");
    ward.screenshot("form");
    ward.no_complaints(&[403]);
    // Whoever thinks better of it is back at the chart that stayed closed, and may think again.
    ward.click_saying("a.button", "Do not");
    ward.see(".notice.break_glass");
    ward.click_saying("a.button", "Emergency access");
    ward.see("#reason");
    ward.click_saying("label.choice", "Danger to life");
    ward.fill(
        "#reason",
        "Brought in unconscious, allergies and medicines needed",
    );
    ward.click("button.glass");
    ward.see_saying(".banner h1", &stage.patient(&cast));
    ward.wait("every part of the chart", |ward| {
        ward.all(".waiting").is_empty().then_some(())
    });
    ward.screenshot("opened");
    ward.no_complaints(&[403]);

    // Nobody reloads the console.
    let nurse = stage.name(&cast);
    office.see_saying("li[data-outcome=break_glass]", &nurse);
    office.see_saying("li[data-outcome=permit]", &nurse);
    office.screenshot("live");
    let (patient, name) = (
        cast.patient.clone().expect("a patient"),
        stage.patient(&cast),
    );
    let nothing_of_the_patient = |office: &Browser| {
        let page = office.source();
        assert!(
            !page.contains(patient.as_str()) && !page.contains(&name),
            "the administrator sees a patient"
        );
    };
    nothing_of_the_patient(&office);
    office.click("li[data-outcome=break_glass] a");
    office.see("#why");
    office.read("hidden from your role");
    nothing_of_the_patient(&office);
    office.screenshot("why");
    office.no_complaints(&[]);
}

#[test]
fn a_controlled_prescription_asks_for_the_passkey() {
    let Some(stage) = Stage::set("step-up", Scheme::Https) else {
        return;
    };
    let cast = stage.hospital.example(Example::ControlledMedicine);
    let mut browser = stage.visitor("physician");
    let authenticator = browser.plug_in_authenticator();
    stage.sign_in(&mut browser, "access", "/passkeys", &cast);
    browser.fill("#passkey-name", "Blue key");
    browser.click_saying("#passkey button", "Add a passkey");
    browser.see_saying("ul.list h3", "Blue key");

    // Registering proves nothing by itself: the session is still what the sample sign-in vouched for.
    browser.open(&stage.address("chart", "/"));
    stage.open_chart(&browser, &cast);
    browser.click_saying(".s-medicines button", "Prescribe");
    browser.choose_saying("dialog select", "Morphine");
    browser.click_saying("dialog button[type=submit]", "Prescribe");
    browser.see("dialog .notice.step_up");
    browser.screenshot("asked");
    let here = browser.tab();
    browser.click_saying("dialog a.button", "Confirm it is you");
    browser.turn_to_new_tab(&here, &authenticator);
    browser.see_saying("#passkey button", "Confirm with a passkey");
    browser.screenshot("confirm");
    browser.click_saying("#passkey button", "Confirm with a passkey");
    browser.arrive(&stage.address("chart", "/"));

    // What was entered is still there, and is sent again.
    browser.turn_to(&here);
    browser.click_saying("dialog button[type=submit]", "Prescribe");
    browser.wait("the end of the dialog", |browser| {
        browser.all("dialog").is_empty().then_some(())
    });
    browser.see_saying(".s-medicines li", "Morphine");
    browser.screenshot("prescribed");
    browser.no_complaints(&[401]);
}

#[test]
fn a_refusal_is_one_plain_sentence() {
    let Some(stage) = Stage::set("refusal", Scheme::Http) else {
        return;
    };
    let cast = stage.hospital.example(Example::OwnChart);
    let mut browser = stage.visitor("employee");
    stage.sign_in(&mut browser, "chart", "/", &cast);
    stage.open_chart(&browser, &cast);
    browser.see(".notice.deny");
    browser.screenshot("in-the-chart");
    // There is no way around a refusal, and asking again changes nothing: the only way leads back.
    assert!(browser.all(".notice.deny button").is_empty());
    assert_eq!(browser.all(".notice.deny a").len(), 1);
    browser.click_saying(".notice.deny a", "Back to the patients");
    browser.see_saying("h1", "Patients");
    browser.no_complaints(&[403]);

    // The same address in the browser itself is answered by a page of the gateway.
    let patient = cast.patient.as_ref().expect("a patient").as_str();
    browser.open(&stage.address("chart", &format!("/fhir/Patient/{patient}")));
    browser.see_saying("h1", "This is not open to you");
    let sentence = browser.words(&browser.see(".band p"));
    assert!(
        sentence.ends_with('.') && sentence.matches(". ").count() == 0,
        "not one sentence: {sentence}"
    );
    let page = browser.source();
    assert!(!page.contains(patient), "the refusal names the patient");
    browser.screenshot("page");
    browser.no_complaints(&[403]);
}

/// Which page of a ceremony is open.
#[derive(Debug, PartialEq, Eq)]
enum Ceremony {
    StepUp,
    BreakGlass,
}

fn ceremony(browser: &Browser) -> Option<Ceremony> {
    if !browser.all("#reason").is_empty() {
        return Some(Ceremony::BreakGlass);
    }
    browser
        .text()
        .contains("Sample confirmation")
        .then_some(Ceremony::StepUp)
}

/// Where the pictures of `test` go, or nothing when browser tests are skipped.
fn screenshots(test: &str) -> Option<PathBuf> {
    if std::env::var_os("ASEPSIS_SKIP_BROWSER")
        .is_some_and(|value| !value.is_empty() && value != "0")
    {
        tell(&format!("skipped {test}: `ASEPSIS_SKIP_BROWSER` is set"));
        return None;
    }
    for name in PROGRAMS {
        if program(name).is_none() {
            tell(&format!(
                "skipped {test}: `{name}` is not installed; hint: `cargo xtask test` says which packages to install"
            ));
            return None;
        }
    }
    let prefix = format!("asepsis-{test}-");
    let folder = tempfile::Builder::new()
        .prefix(&prefix)
        .tempdir()
        .expect("a folder for screenshots")
        .keep();
    tell(&format!("screenshots of {test}: {}", folder.display()));
    Some(folder)
}

#[expect(
    clippy::disallowed_methods,
    reason = "the sample hospital lies around the present, as in the program"
)]
fn now() -> Timestamp {
    let since = std::time::SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or(Duration::ZERO);
    Timestamp::from_millis(i64::try_from(since.as_millis()).expect("a present time"))
}

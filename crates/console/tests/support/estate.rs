//! A hospital's network in memory: devices with hostile names, one question, answers that can be taken back.

use std::sync::Arc;

use arc_swap::ArcSwap;
use console::estate::{
    Estate, Explained, FeedState, Listed, Picture, Preview, Question, Reply, RiskSummary, Risks,
    Rule, SensorState,
};
use domain::conversation::{Opening, Protection, Volume};
use domain::net::Transport;
use domain::{
    Conversation, Criticality, DeviceId, DeviceProfile, EvidenceKind, EvidenceRow, RiskFact,
    Timestamp,
};
use parking_lot::Mutex;
use tokio::sync::watch;

/// What a device may call itself to hurt whoever looks.
pub(crate) const HOSTILE: [&str; 5] = [
    "<script>alert(1)</script>",
    "\"><img src=x onerror=alert(1)>",
    "pump\u{202e}gnp.exe",
    "name\u{0}with\u{200b}nothing\u{2028}to see",
    "javascript:alert(1)",
];
/// How many devices there are without hostile names.
pub(crate) const PUMPS: usize = 240;
/// The question.
pub(crate) const QUESTION: &str = "q-0000000000000001";

pub(crate) struct Network {
    picture: ArcSwap<Picture>,
    news: watch::Sender<()>,
    rules: Mutex<Vec<Rule>>,
    conversations: Arc<[Conversation]>,
}

/// The identifier of pump number `n`.
pub(crate) fn pump(n: usize) -> DeviceId {
    DeviceId::new(format!("mac-0200000{n:05x}"))
}

/// The identifier of the device with hostile name number `n`.
pub(crate) fn hostile(n: usize) -> DeviceId {
    DeviceId::new(format!("mac-06000000000{n}"))
}

fn profile(id: DeviceId, name: &str, n: usize) -> DeviceProfile {
    DeviceProfile {
        id,
        macs: Vec::new(),
        addresses: vec![std::net::IpAddr::from([
            10,
            9,
            (n / 250) as u8,
            (n % 250) as u8,
        ])],
        names: vec![name.into()],
        category: Some("medical".into()),
        kind: None,
        vendor: Some("Test Works".into()),
        model: None,
        os: None,
        confidence: 0.0,
        abstained: true,
        contradictory: false,
        criticality: Criticality::LifeCritical,
        evidence: vec![EvidenceRow {
            source: "/tmp/secret-folder/register.csv".into(),
            kind: EvidenceKind::DhcpHostname,
            value: name.into(),
            says: "".into(),
            weight: 0.0,
            at: Timestamp::from_millis(0),
        }],
        first_seen: Timestamp::from_millis(0),
        last_seen: Timestamp::from_millis(0),
        unit: Some(
            if n.is_multiple_of(2) {
                "ward-3"
            } else {
                "ward-4"
            }
            .into(),
        ),
        segment: None,
        behind: None,
        assets: Vec::new(),
        risks: Vec::new(),
    }
}

/// A name as long as a packet allows.
pub(crate) fn long_name() -> String {
    format!("{}END-OF-LONG-NAME", "long-".repeat(2_000))
}

fn profiles() -> Vec<DeviceProfile> {
    let pumps = (0..PUMPS).map(|n| profile(pump(n), &format!("pump-{n:03}"), n));
    let named = HOSTILE.iter().map(|n| (*n).to_owned()).chain([long_name()]);
    let bad = named.enumerate().map(|(n, name)| {
        let mut bad = profile(hostile(n), &name, n);
        bad.vendor = Some(name.as_str().into());
        bad.model = Some(name.as_str().into());
        bad.os = Some(name.as_str().into());
        bad.segment = Some(name.as_str().into());
        if n == 0 {
            bad.unit = Some(name.as_str().into());
            bad.category = Some(name.as_str().into());
        }
        bad
    });
    pumps.chain(bad).collect()
}

fn fact() -> RiskFact {
    RiskFact {
        id: "CVE-2026-0001".into(),
        feed: "kev, nvd".into(),
        says: "its model is Test Works pump, all versions are affected".into(),
        exploited: true,
        confidence: 0.9,
        published: None,
    }
}

impl Network {
    pub(crate) fn new() -> Self {
        let listed = profiles().into_iter().map(|p| {
            let known = u32::from(p.id == pump(7));
            let risk = RiskSummary {
                known,
                exploited: known,
            };
            Arc::new(Listed::new(p, Some(risk), None))
        });
        let talk = |n: usize, server: &DeviceId, protection| Conversation {
            client: pump(n),
            server: server.clone(),
            transport: Transport::Tcp,
            port: 2575,
            ports: 1,
            service: Some("hl7".into()),
            meanings: vec!["ORU^R01".into()],
            opening: Opening::Seen,
            protection,
            server_names: Vec::new(),
            first: Timestamp::from_millis(0),
            last: Timestamp::from_millis(n as i64),
            flows: 3,
            sent: Volume {
                packets: 3,
                bytes: 1_500,
            },
            received: Volume {
                packets: 3,
                bytes: 90,
            },
            hours: [1, 0, 0],
            days: 1,
            period_secs: None,
        };
        let conversations = (0..PUMPS)
            .flat_map(|n| {
                [
                    talk(n, &hostile(0), Protection::Cleartext),
                    talk(n, &DeviceId::from("internet"), Protection::Encrypted),
                ]
            })
            .collect();
        Self {
            picture: ArcSwap::from_pointee(Picture::of(listed)),
            news: watch::Sender::new(()),
            rules: Mutex::default(),
            conversations,
        }
    }

    /// A device is plugged in.
    pub(crate) fn plug_in(&self, name: &str, at: Timestamp) {
        let id = DeviceId::from("mac-0affffffffff");
        let fresh = Listed::new(profile(id, name, 1), None, Some(at));
        let before = self.picture.load();
        let devices = before.devices().iter().cloned().chain([Arc::new(fresh)]);
        self.picture.store(Arc::new(Picture::of(devices)));
        self.news.send_replace(());
    }

    fn kind_of(&self, id: &DeviceId) -> Option<smol_str::SmolStr> {
        let rules = self.rules.lock();
        let rule = rules.iter().find(|r| r.devices.contains(id))?;
        rule.shared.first().map(|k| k.as_str().into())
    }
}

impl Estate for Network {
    fn picture(&self) -> Arc<Picture> {
        self.picture.load_full()
    }

    fn watch(&self) -> watch::Receiver<()> {
        self.news.subscribe()
    }

    fn sensors(&self) -> Vec<SensorState> {
        vec![SensorState {
            name: HOSTILE[0].to_owned(),
            words: HOSTILE[1].to_owned(),
            good: true,
            packets: 12_345,
            lost: 2,
        }]
    }

    fn feeds(&self) -> Vec<FeedState> {
        vec![FeedState {
            kind: "kev".to_owned(),
            words: "known exploited vulnerabilities (CISA KEV)".to_owned(),
            name: "kev.json".to_owned(),
            as_of: Timestamp::parse("2026-01-02").expect("a day"),
            stale: true,
            rows: 1_200,
        }]
    }

    fn conversations(&self) -> Arc<[Conversation]> {
        Arc::clone(&self.conversations)
    }

    fn explain(&self, id: &DeviceId) -> Option<Explained> {
        let mut profile = profiles().into_iter().find(|p| p.id == *id)?;
        profile.kind = self.kind_of(id);
        let name = profile.names[0].to_string();
        let facts = if *id == pump(7) {
            vec![fact()]
        } else {
            Vec::new()
        };
        Some(Explained {
            sentence: format!("not known: {name} says nothing of itself"),
            contradicts: vec![name.clone()],
            settle: vec![name],
            conversations: self
                .conversations
                .iter()
                .filter(|c| c.client == *id || c.server == *id)
                .cloned()
                .collect(),
            risks: Some(Risks {
                facts,
                ..Risks::default()
            }),
            profile,
        })
    }

    fn questions(&self) -> Arc<[Question]> {
        if !self.rules.lock().is_empty() {
            return Arc::default();
        }
        Arc::from([Question {
            id: QUESTION.to_owned(),
            words: format!("40 devices with dhcp.hostname `{}` not known", HOSTILE[0]),
            cause: "unknown".to_owned(),
            devices: (0..40).map(pump).collect(),
            shared: vec![format!("dhcp.vendor_class: {}", HOSTILE[1])],
            settle: vec!["a packet".to_owned()],
            suggestions: vec![("infusion_pump".to_owned(), HOSTILE[2].to_owned())],
        }])
    }

    fn preview(&self, question: &str, kind: &str) -> Result<Preview, String> {
        if question != QUESTION {
            return Err(format!("no question `{question}` is open"));
        }
        Ok(Preview {
            kind: kind.to_owned(),
            words: format!("“{kind}”"),
            devices: (0..40).map(pump).collect(),
            shared: vec![format!("dhcp.vendor_class: {}", HOSTILE[1])],
            also: vec![pump(50)],
        })
    }

    fn answer(&self, reply: Reply) -> Result<Rule, String> {
        let preview = self.preview(&reply.question, &reply.kind)?;
        let rule = Rule {
            id: "local-1".to_owned(),
            words: format!("40 devices are each {}", reply.kind),
            by: reply.by.as_str().to_owned(),
            at: reply.at,
            devices: preview.devices,
            shared: vec![reply.kind],
            pack: Some("<pack name=\"local-1\">\n</pack>\n".to_owned()),
        };
        self.rules.lock().push(rule.clone());
        Ok(rule)
    }

    fn rules(&self) -> Vec<Rule> {
        self.rules.lock().clone()
    }

    fn undo(&self, rule: &str) -> Result<(), String> {
        let mut rules = self.rules.lock();
        let at = rules.iter().position(|r| r.id == rule);
        rules.remove(at.ok_or_else(|| format!("no local rule `{rule}` is in force"))?);
        Ok(())
    }

    fn kinds(&self) -> Vec<(String, String)> {
        vec![("infusion_pump".to_owned(), "an infusion pump".to_owned())]
    }
}

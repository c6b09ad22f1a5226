//! Fingerprints of the same evidence, found quickly.

use std::borrow::Cow;
use std::sync::OnceLock;

use aho_corasick::AhoCorasick;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use domain::EvidenceKind;
use regex::bytes::Regex;
use smol_str::SmolStr;

use super::ExampleResult;
use super::keys::{self, Key};
use super::pattern::{self, By, Flags};

/// The fingerprints of one `fingerprints` element.
#[derive(Debug)]
pub struct Database {
    pack: SmolStr,
    matches: SmolStr,
    keys: Vec<Key>,
    preference: f32,
    fingerprints: Vec<Fingerprint>,
    index: OnceLock<Index>,
}

/// One fingerprint.
#[derive(Debug)]
pub struct Fingerprint {
    /// Line in its file, from 1.
    pub line: usize,
    /// What it is about.
    pub description: SmolStr,
    /// Where what it says was taken from.
    pub source: Option<SmolStr>,
    /// Whether somebody checked it against that source.
    pub verified: bool,
    /// Probability, 0 to 1, that what it says is right where it matches.
    pub certainty: f32,
    pub(super) params: Vec<Param>,
    pub(super) examples: Vec<Example>,
    pattern: Box<str>,
    flags: Flags,
    by_octet: OnceLock<Result<Regex, String>>,
    by_character: OnceLock<Result<Regex, String>>,
}

/// What a fingerprint gives: a fixed text, or a group of its pattern.
#[derive(Debug)]
pub(super) struct Param {
    group: usize,
    name: SmolStr,
    value: SmolStr,
}

/// A text that a fingerprint must match, with what it must give.
#[derive(Debug)]
pub(super) struct Example {
    text: Result<Vec<u8>, String>,
    expected: Vec<(String, String)>,
}

/// A fingerprint that matched.
#[derive(Debug)]
pub struct Match<'a> {
    /// Which one.
    pub fingerprint: &'a Fingerprint,
    /// What it gives: names and values, in the pack's order.
    pub params: Vec<(&'a str, String)>,
}

impl Match<'_> {
    /// The value of this name.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.params
            .iter()
            .find(|(key, _)| *key == name)
            .map(|(_, value)| value.as_str())
    }
}

/// Which fingerprints can match a text at all.
#[derive(Debug)]
struct Index {
    pieces: Option<AhoCorasick>,
    /// Per piece: the fingerprints that need it.
    needed_by: Vec<Vec<u32>>,
    /// Fingerprints that need no piece.
    always: Vec<u32>,
}

impl Param {
    pub(super) fn new(attributes: &[(String, String)]) -> Result<Self, String> {
        let get = |key: &str| attributes.iter().find(|(name, _)| name == key);
        let (_, name) = get("name").ok_or("`param` has no `name`")?;
        let (_, position) = get("pos").ok_or("`param` has no `pos`")?;
        let group = position
            .trim()
            .parse::<usize>()
            .map_err(|_| format!("`pos` is `{position}`: write a number"))?;
        let value = get("value").map(|(_, value)| value.as_str());
        match (group, value) {
            (0, None) => Err(format!("`param` `{name}` has neither a group nor a value")),
            _ => Ok(Self {
                group,
                name: name.as_str().into(),
                value: value.unwrap_or_default().into(),
            }),
        }
    }
}

impl Example {
    pub(super) fn new(text: String, attributes: Vec<(String, String)>) -> Result<Self, String> {
        let mut encoding = None;
        let mut elsewhere = None;
        let mut expected = Vec::new();
        for (name, value) in attributes {
            match name.as_str() {
                "_encoding" => encoding = Some(value),
                "_filename" => elsewhere = Some(value),
                _ => expected.push((name, value)),
            }
        }
        let text = match (elsewhere, encoding.as_deref()) {
            (Some(file), _) => Err(format!("its text is in another file, `{file}`")),
            (None, None) => Ok(text.into_bytes()),
            (None, Some("base64")) => {
                let packed: String = text.split_whitespace().collect();
                STANDARD
                    .decode(packed)
                    .map_err(|why| format!("not base64: {why}"))
            }
            (None, Some(other)) => return Err(format!("unknown encoding `{other}`: use `base64`")),
        };
        Ok(Self { text, expected })
    }
}

impl Fingerprint {
    pub(super) fn new(line: usize, pattern: &str, flags: Flags, certainty: f32) -> Self {
        Self {
            line,
            description: SmolStr::default(),
            source: None,
            verified: false,
            certainty,
            params: Vec::new(),
            examples: Vec::new(),
            pattern: pattern.into(),
            flags,
            by_octet: OnceLock::new(),
            by_character: OnceLock::new(),
        }
    }

    /// Its pattern as written.
    pub fn pattern(&self) -> &str {
        &self.pattern
    }

    /// Number of its examples.
    pub fn examples(&self) -> usize {
        self.examples.len()
    }

    /// The texts of its examples.
    pub fn example_texts(&self) -> impl Iterator<Item = &[u8]> {
        self.examples
            .iter()
            .filter_map(|example| example.text.as_deref().ok())
    }

    fn regex(&self, by: By) -> Result<&Regex, &str> {
        match by {
            By::Octet => &self.by_octet,
            By::Character => &self.by_character,
        }
        .get_or_init(|| pattern::compile(&self.pattern, self.flags, by))
        .as_ref()
        .map_err(String::as_str)
    }

    /// What it gives for a text, if it matches. Text beyond ASCII goes by characters, where the pattern allows.
    fn apply(&self, text: &[u8]) -> Option<Vec<(&str, String)>> {
        let beyond = !text.is_ascii() && std::str::from_utf8(text).is_ok();
        let first = if beyond { By::Character } else { By::Octet };
        let second = if beyond { By::Octet } else { By::Character };
        let groups = match self.regex(first) {
            Ok(regex) => regex.captures(text),
            Err(_) => self.regex(second).ok()?.captures(text),
        }?;
        let mut params = Vec::with_capacity(self.params.len());
        for param in &self.params {
            if param.group == 0 {
                params.push((param.name.as_str(), param.value.to_string()));
            } else if let Some(group) = groups.get(param.group) {
                let value = String::from_utf8_lossy(group.as_bytes()).into_owned();
                params.push((param.name.as_str(), value));
            }
        }
        fill_in(&mut params);
        params.retain(|(name, _)| !name.starts_with("_tmp."));
        Some(params)
    }
}

/// Replaces `{os.version}` in a value by what that name gives; by recog's `-` where it gives nothing.
fn fill_in(params: &mut [(&str, String)]) {
    for at in 0..params.len() {
        if !params[at].1.contains('{') {
            continue;
        }
        let mut out = String::new();
        let mut rest = params[at].1.as_str();
        while let Some((before, after)) = rest.split_once('{') {
            let Some((name, after)) = after.split_once('}') else {
                break;
            };
            out.push_str(before);
            let found = params.iter().find(|(key, _)| *key == name);
            out.push_str(found.map_or("-", |(_, value)| value.as_str()));
            rest = after;
        }
        out.push_str(rest);
        params[at].1 = out;
    }
}

impl Database {
    pub(super) fn new(pack: &str, matches: &str, preference: f32) -> Self {
        Self {
            pack: pack.into(),
            matches: matches.into(),
            keys: keys::keys(matches),
            preference,
            fingerprints: Vec::new(),
            index: OnceLock::new(),
        }
    }

    pub(super) fn push(&mut self, fingerprint: Fingerprint) {
        self.fingerprints.push(fingerprint);
    }

    /// Name of the pack it is in.
    pub fn pack(&self) -> &str {
        &self.pack
    }

    /// What it matches, as written.
    pub fn matches(&self) -> &str {
        &self.matches
    }

    /// The kinds of evidence it reads; none: no sensor sees what it matches.
    pub fn kinds(&self) -> impl Iterator<Item = EvidenceKind> {
        self.keys.iter().map(|key| key.kind)
    }

    /// How much it is preferred over others of recog's, 0 to 1.
    pub fn preference(&self) -> f32 {
        self.preference
    }

    /// Its fingerprints in order.
    pub fn fingerprints(&self) -> &[Fingerprint] {
        &self.fingerprints
    }

    /// The first fingerprint that matches this evidence.
    pub fn find(&self, kind: EvidenceKind, value: &str) -> Option<Match<'_>> {
        self.keys
            .iter()
            .filter_map(|key| key.text(kind, value))
            .find_map(|text: Cow<'_, str>| self.find_text(text.as_bytes()))
    }

    /// The first fingerprint that matches a text.
    pub fn find_text(&self, text: &[u8]) -> Option<Match<'_>> {
        let index = self.index.get_or_init(|| self.build());
        let mut candidates = index.always.clone();
        if let Some(pieces) = &index.pieces {
            for found in pieces.find_overlapping_iter(text) {
                candidates.extend_from_slice(&index.needed_by[found.pattern().as_usize()]);
            }
        }
        candidates.sort_unstable();
        candidates.dedup();
        candidates.into_iter().find_map(|at| {
            let fingerprint = self.fingerprints.get(at as usize)?;
            let params = fingerprint.apply(text)?;
            Some(Match {
                fingerprint,
                params,
            })
        })
    }

    fn build(&self) -> Index {
        let mut texts: Vec<Vec<u8>> = Vec::new();
        let mut needed_by: Vec<Vec<u32>> = Vec::new();
        let mut known = std::collections::BTreeMap::new();
        let mut always = Vec::new();
        // INVARIANT: a pack has at most `FINGERPRINTS_MAX` fingerprints.
        for (at, fingerprint) in (0_u32..).zip(&self.fingerprints) {
            let Some(pieces) = pattern::pieces(&fingerprint.pattern, fingerprint.flags) else {
                always.push(at);
                continue;
            };
            for piece in pieces {
                let slot = *known.entry(piece.clone()).or_insert_with(|| {
                    texts.push(piece);
                    needed_by.push(Vec::new());
                    texts.len() - 1
                });
                needed_by[slot].push(at);
            }
        }
        let automaton = AhoCorasick::builder()
            .ascii_case_insensitive(true)
            .build(&texts);
        match automaton {
            Ok(automaton) => Index {
                pieces: Some(automaton),
                needed_by,
                always,
            },
            // Too many letters for one automaton: every fingerprint is tried.
            Err(_) => Index {
                pieces: None,
                needed_by: Vec::new(),
                always: (0_u32..).take(self.fingerprints.len()).collect(),
            },
        }
    }

    pub(super) fn test(&self) -> Vec<ExampleResult> {
        let mut results = Vec::new();
        for fingerprint in &self.fingerprints {
            let result = |example: &[u8], failure: Option<String>| ExampleResult {
                line: fingerprint.line,
                fingerprint: fingerprint.description.clone(),
                example: String::from_utf8_lossy(example).into_owned(),
                failure,
            };
            if let (Err(why), Err(_)) = (
                fingerprint.regex(By::Octet),
                fingerprint.regex(By::Character),
            ) {
                results.push(result(b"", Some(format!("its pattern is wrong: {why}"))));
                continue;
            }
            for example in &fingerprint.examples {
                results.push(match &example.text {
                    Err(why) => result(b"", Some(why.clone())),
                    Ok(text) => result(text, self.tried(fingerprint, text, &example.expected)),
                });
            }
        }
        results
    }

    /// What is wrong with an example.
    fn tried(
        &self,
        fingerprint: &Fingerprint,
        text: &[u8],
        expected: &[(String, String)],
    ) -> Option<String> {
        let Some(params) = fingerprint.apply(text) else {
            return Some("does not match its pattern".to_owned());
        };
        for (name, value) in expected {
            let found = params.iter().find(|(key, _)| key == name);
            match found {
                Some((_, found)) if found == value => {}
                Some((_, found)) => {
                    return Some(format!("gives {name}=`{found}` in place of `{value}`"));
                }
                None => return Some(format!("gives no {name}, where `{value}` is expected")),
            }
        }
        // The quick search must find what the slow one does: this one, or one before it.
        match self.find_text(text) {
            None => Some("is not found by its letters".to_owned()),
            Some(first) if first.fingerprint.line > fingerprint.line => {
                Some("is passed over by the search for letters".to_owned())
            }
            Some(_) => None,
        }
    }
}

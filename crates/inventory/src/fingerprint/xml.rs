//! Reads packs from XML.

use quick_xml::events::{BytesStart, Event};
use quick_xml::{Reader, XmlVersion};
use smol_str::SmolStr;

use super::database::{Database, Example, Fingerprint, Param};
use super::pattern::Flags;
use super::{FINGERPRINTS_MAX, PATTERN_MAX, PackError};

/// Most elements open at once.
const DEPTH_MAX: usize = 16;
/// Most parameters of a fingerprint.
const PARAMS_MAX: usize = 64;
/// Most examples of a fingerprint.
const EXAMPLES_MAX: usize = 4_096;

/// Certainty of a fingerprint that states none (recog's own convention).
const CERTAINTY: f32 = 0.85;

/// What an element hands down to those within.
#[derive(Clone, Default)]
struct Inherited {
    source: Option<SmolStr>,
    verified: bool,
}

struct Loader<'a> {
    name: &'a str,
    text: &'a str,
    reader: Reader<&'a [u8]>,
    databases: Vec<Database>,
    count: usize,
    /// Line starts are counted from here on, so that lines cost one pass.
    line_at: (usize, usize),
}

/// Reads every `fingerprints` element.
pub(super) fn read(name: &str, text: &str) -> Result<Vec<Database>, PackError> {
    let mut reader = Reader::from_str(text);
    reader.config_mut().expand_empty_elements = true;
    let mut loader = Loader {
        name,
        text,
        reader,
        databases: Vec::new(),
        count: 0,
        line_at: (0, 1),
    };
    loader.run()?;
    Ok(loader.databases)
}

impl Loader<'_> {
    fn line(&mut self) -> usize {
        let at = usize::try_from(self.reader.buffer_position())
            .unwrap_or(usize::MAX)
            .min(self.text.len());
        let (from, line) = self.line_at;
        if at >= from {
            let more = self.text.as_bytes()[from..at]
                .iter()
                .filter(|octet| **octet == b'\n')
                .count();
            self.line_at = (at, line + more);
        }
        self.line_at.1
    }

    fn error(&mut self, what: impl Into<String>) -> PackError {
        PackError {
            pack: self.name.into(),
            line: Some(self.line()),
            what: what.into(),
        }
    }

    fn next(&mut self) -> Result<Event<'static>, PackError> {
        match self.reader.read_event() {
            Ok(event) => Ok(event.into_owned()),
            Err(why) => Err(self.error(format!("not well-formed XML: {why}"))),
        }
    }

    fn attributes(&mut self, start: &BytesStart<'_>) -> Result<Vec<(String, String)>, PackError> {
        let mut out = Vec::new();
        for attribute in start.attributes() {
            let read = attribute.map_err(|why| why.to_string()).and_then(|a| {
                let value = a
                    .normalized_value(XmlVersion::Implicit1_0)
                    .map_err(|why| why.to_string())?;
                Ok((name_of(a.key), value.into_owned()))
            });
            out.push(read.map_err(|why| self.error(format!("attribute: {why}")))?);
            if out.len() > PARAMS_MAX {
                return Err(self.error(format!("more than {PARAMS_MAX} attributes")));
            }
        }
        Ok(out)
    }

    fn run(&mut self) -> Result<(), PackError> {
        let mut depth: Vec<Inherited> = vec![Inherited::default()];
        let mut open: Option<usize> = None;
        loop {
            match self.next()? {
                Event::Start(start) => {
                    let attributes = self.attributes(&start)?;
                    let mut inherited = depth.last().cloned().unwrap_or_default();
                    inherit(&mut inherited, &attributes);
                    let name = name_of(start.name());
                    if name == "fingerprint" {
                        let Some(database) = open.and_then(|at| self.databases.get(at)) else {
                            return Err(self.error(
                                "`fingerprint` stands outside `fingerprints`: put it inside one",
                            ));
                        };
                        let _ = database;
                        let fingerprint = self.fingerprint(&attributes, inherited)?;
                        if let Some(database) = open.and_then(|at| self.databases.get_mut(at)) {
                            database.push(fingerprint);
                        }
                        continue;
                    }
                    if name == "fingerprints" {
                        let get = |key: &str| attribute(&attributes, key);
                        let file = self
                            .name
                            .rsplit('/')
                            .next()
                            .unwrap_or(self.name)
                            .trim_end_matches(".xml");
                        let preference = get("preference")
                            .and_then(|text| text.trim().parse::<f32>().ok())
                            .unwrap_or(0.1);
                        self.databases.push(Database::new(
                            self.name,
                            get("matches").unwrap_or(file),
                            preference,
                        ));
                        open = Some(self.databases.len() - 1);
                    }
                    depth.push(inherited);
                    if depth.len() > DEPTH_MAX {
                        return Err(self.error(format!("more than {DEPTH_MAX} elements deep")));
                    }
                }
                Event::End(end) => {
                    depth.pop();
                    if name_of(end.name()) == "fingerprints" {
                        open = None;
                    }
                }
                Event::Eof => return Ok(()),
                _ => {}
            }
        }
    }

    /// Reads one fingerprint up to its end.
    fn fingerprint(
        &mut self,
        attributes: &[(String, String)],
        inherited: Inherited,
    ) -> Result<Fingerprint, PackError> {
        let line = self.line();
        self.count += 1;
        if self.count > FINGERPRINTS_MAX {
            return Err(self.error(format!("more than {FINGERPRINTS_MAX} fingerprints")));
        }
        let get = |key: &str| attribute(attributes, key);
        let Some(pattern) = get("pattern") else {
            return Err(self.error("`fingerprint` has no `pattern`"));
        };
        if pattern.len() > PATTERN_MAX {
            return Err(self.error(format!("a pattern has at most {PATTERN_MAX} octets")));
        }
        let flags =
            Flags::parse(get("flags").unwrap_or_default()).map_err(|what| self.error(what))?;
        let certainty = match get("certainty") {
            None => CERTAINTY,
            Some(text) => match text.trim().parse::<f32>() {
                Ok(number) if (0.0..=1.0).contains(&number) => number,
                _ => {
                    return Err(
                        self.error(format!("certainty `{text}`: write a number from 0 to 1"))
                    );
                }
            },
        };
        let mut fingerprint = Fingerprint::new(line, pattern, flags, certainty);
        fingerprint.source = inherited.source;
        fingerprint.verified = inherited.verified && fingerprint.source.is_some();
        loop {
            match self.next()? {
                Event::Start(start) => {
                    let name = name_of(start.name());
                    let attributes = self.attributes(&start)?;
                    let text = self.text_up_to_end()?;
                    match name.as_str() {
                        "description" => fingerprint.description = text.trim().into(),
                        "example" => {
                            if fingerprint.examples.len() >= EXAMPLES_MAX {
                                return Err(
                                    self.error(format!("more than {EXAMPLES_MAX} examples"))
                                );
                            }
                            let example =
                                Example::new(text, attributes).map_err(|what| self.error(what))?;
                            fingerprint.examples.push(example);
                        }
                        "param" => {
                            if fingerprint.params.len() >= PARAMS_MAX {
                                return Err(
                                    self.error(format!("more than {PARAMS_MAX} parameters"))
                                );
                            }
                            let param = Param::new(&attributes).map_err(|what| self.error(what))?;
                            fingerprint.params.push(param);
                        }
                        _ => {}
                    }
                }
                Event::End(_) => return Ok(fingerprint),
                Event::Eof => return Err(self.error("the file ends inside a `fingerprint`")),
                _ => {}
            }
        }
    }

    /// The text of an element up to its end; elements within are skipped with their text.
    fn text_up_to_end(&mut self) -> Result<String, PackError> {
        let mut text = String::new();
        let mut depth = 0_usize;
        loop {
            match self.next()? {
                Event::Text(part) if depth == 0 => text.push_str(&part.xml10_content()),
                Event::CData(part) if depth == 0 => text.push_str(&part.xml10_content()),
                Event::GeneralRef(part) if depth == 0 => {
                    let name = part.xml10_content();
                    let character = match &*name {
                        "amp" => Some('&'),
                        "lt" => Some('<'),
                        "gt" => Some('>'),
                        "quot" => Some('"'),
                        "apos" => Some('\''),
                        _ => part.resolve_char_ref().ok().flatten(),
                    };
                    match character {
                        Some(character) => text.push(character),
                        None => return Err(self.error(format!("unknown entity `&{name};`"))),
                    }
                }
                Event::Start(_) => {
                    depth += 1;
                    if depth > DEPTH_MAX {
                        return Err(self.error(format!("more than {DEPTH_MAX} elements deep")));
                    }
                }
                Event::End(_) if depth == 0 => return Ok(text),
                Event::End(_) => depth -= 1,
                Event::Eof => return Err(self.error("the file ends inside an element")),
                _ => {}
            }
        }
    }
}

fn name_of(name: quick_xml::name::QName<'_>) -> String {
    let name: &str = name.as_ref();
    name.to_owned()
}

fn attribute<'a>(attributes: &'a [(String, String)], key: &str) -> Option<&'a str> {
    attributes
        .iter()
        .find(|(name, _)| name == key)
        .map(|(_, value)| value.as_str())
}

fn inherit(inherited: &mut Inherited, attributes: &[(String, String)]) {
    if let Some(source) = attribute(attributes, "source") {
        inherited.source = (!source.trim().is_empty()).then(|| source.trim().into());
    }
    if let Some(verified) = attribute(attributes, "verified") {
        inherited.verified = verified == "true";
    }
}

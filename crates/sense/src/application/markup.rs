//! XML, as far as it came: elements by local name with their text, over quick-xml.
//!
//! Devices send odd XML and captures cut it short: an error ends the walk, and what came before it counts.

use memchr::memmem;
use quick_xml::Reader;
use quick_xml::events::Event;

/// Elements that are looked at in one document.
const ELEMENTS_MAX: usize = 4096;
/// Nesting that is followed.
const DEPTH_MAX: usize = 32;
/// Longest text of an element that is given out.
const TEXT_MAX: usize = 2048;

/// What a walk meets.
pub(super) enum Node<'a> {
    /// An element begins: its local name, and its attributes as they stand.
    Open(&'a str, &'a str),
    /// Text of the innermost element, predefined entities resolved.
    Text(&'a str),
    /// An element ends.
    Close,
}

/// Walks through `document` until its end, an error, a bound, or `on` answers `false`.
pub(super) fn walk(document: &[u8], mut on: impl FnMut(Node<'_>) -> bool) {
    let document = String::from_utf8_lossy(document);
    let mut reader = Reader::from_str(&document);
    let config = reader.config_mut();
    config.check_end_names = false;
    config.allow_unmatched_ends = true;
    config.allow_dangling_amp = true;
    let mut depth = 0_usize;
    // Text and the entities in it come as separate events.
    let mut text = String::new();
    for _ in 0..ELEMENTS_MAX {
        let Ok(event) = reader.read_event() else {
            return;
        };
        let go = match event {
            Event::Text(part) => {
                add(&mut text, &part);
                continue;
            }
            Event::CData(part) => {
                add(&mut text, &part);
                continue;
            }
            Event::GeneralRef(name) => {
                add(
                    &mut text,
                    match &*name {
                        "amp" => "&",
                        "lt" => "<",
                        "gt" => ">",
                        "quot" => "\"",
                        "apos" => "'",
                        _ => " ",
                    },
                );
                continue;
            }
            Event::Start(start) => {
                depth += 1;
                flush(&mut text, &mut on)
                    && depth <= DEPTH_MAX
                    && on(Node::Open(local(&start), attributes(&start)))
            }
            Event::Empty(start) => {
                flush(&mut text, &mut on)
                    && on(Node::Open(local(&start), attributes(&start)))
                    && on(Node::Close)
            }
            Event::End(_) => {
                depth = depth.saturating_sub(1);
                flush(&mut text, &mut on) && on(Node::Close)
            }
            Event::Eof => return,
            _ => continue,
        };
        if !go {
            return;
        }
    }
}

/// An element's name without its prefix; `tag` is what stands between the angle brackets.
fn local(tag: &str) -> &str {
    let name = tag
        .split(|c: char| c.is_ascii_whitespace() || c == '/')
        .next()
        .unwrap_or_default();
    name.rsplit(':').next().unwrap_or_default()
}

fn attributes(tag: &str) -> &str {
    tag.split_once(|c: char| c.is_ascii_whitespace())
        .map_or("", |(_, attributes)| attributes)
}

/// The value of the attribute `name` (with its prefix, if it has one).
pub(super) fn attribute<'a>(attributes: &'a str, name: &str) -> Option<&'a str> {
    let mut rest = attributes;
    for _ in 0..64 {
        let (key, after) = rest.split_once('=')?;
        let after = after.trim_start();
        let quote = after.chars().next().filter(|c| matches!(c, '"' | '\''))?;
        let (value, next) = after[1..].split_once(quote)?;
        if key.trim() == name {
            return Some(value);
        }
        rest = next;
    }
    None
}

/// Every attribute in order.
pub(super) fn each_attribute(attributes: &str, mut on: impl FnMut(&str, &str)) {
    let mut rest = attributes;
    for _ in 0..64 {
        let Some((key, after)) = rest.split_once('=') else {
            return;
        };
        let after = after.trim_start();
        let Some(quote) = after.chars().next().filter(|c| matches!(c, '"' | '\'')) else {
            return;
        };
        let Some((value, next)) = after[1..].split_once(quote) else {
            return;
        };
        on(key.trim(), value);
        rest = next;
    }
}

fn add(text: &mut String, part: &str) {
    let room = TEXT_MAX.saturating_sub(text.len());
    text.push_str(&part[..part.floor_char_boundary(room)]);
}

fn flush(text: &mut String, on: &mut impl FnMut(Node<'_>) -> bool) -> bool {
    let inside = text.trim();
    let go = inside.is_empty() || on(Node::Text(inside));
    text.clear();
    go
}

/// Whether `document` begins like XML: a declaration or an element, after white space and a byte order mark.
pub(super) fn is_markup(document: &[u8]) -> bool {
    let document = document.strip_prefix(b"\xef\xbb\xbf").unwrap_or(document);
    matches!(document.trim_ascii_start(), [b'<', second, ..] if *second == b'?' || *second == b'!' || second.is_ascii_alphabetic())
}

/// The title of an HTML page, if it stands in what came.
pub(super) fn title(page: &[u8]) -> Option<&[u8]> {
    let within = &page[..page.len().min(16 << 10)];
    let open = memmem::find_iter(within, b"<").find(|at| {
        within
            .get(at + 1..at + 6)
            .is_some_and(|tag| tag.eq_ignore_ascii_case(b"title"))
    })?;
    let start = open + 1 + memchr::memchr(b'>', &within[open..])?;
    let inside = &within[start..];
    let end = memchr::memchr(b'<', inside)?;
    let title = inside[..end].trim_ascii();
    (!title.is_empty() && end <= 512).then_some(title)
}

//! A second look at the framing of HTTP/1 requests, on the bytes as they arrive.
//!
//! hyper is lenient where HTTP allows it: it takes a bare line feed for a line end, removes a `Content-Length` that
//! stands beside a `Transfer-Encoding`, and joins repeated equal lengths. Each of these is how one request becomes two
//! between two programs, and hyper's parsed head no longer shows it. This tracker follows the same bytes, never changes
//! them, and raises a [`Taint`]; the pipeline refuses the request and closes the connection when it sees one.
//!
//! It only ever refuses more than hyper. Where the two should disagree on where a body ends, the tracker may miss a
//! fault, and hyper's own rule (the connection closes after such a request) still holds.
//!
//! It also knows in which phase the connection is, which is what the connection's time limits need.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Instant;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Why the framing of a connection is in doubt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Taint {
    /// `Content-Length` and `Transfer-Encoding` in one head.
    LengthAndEncoding = 1,
    /// More than one `Content-Length`.
    RepeatedLength = 2,
    /// A `Content-Length` that is not a plain number.
    BadLength = 3,
    /// A `Transfer-Encoding` other than a single `chunked`.
    BadEncoding = 4,
    /// A line that ends in a bare line feed, or a carriage return within a line.
    BareLineEnd = 5,
    /// A header line that starts with white space.
    FoldedLine = 6,
    /// A chunk size that is not a plain hexadecimal number, or a chunk that does not end where it should.
    BadChunk = 7,
    /// A trailer section; the gateway forwards none.
    Trailers = 8,
    /// A header line without a name.
    NamelessHeader = 9,
}

impl Taint {
    /// A stable name for the record.
    pub(crate) fn code(self) -> &'static str {
        match self {
            Self::LengthAndEncoding => "length-and-transfer-encoding",
            Self::RepeatedLength => "repeated-content-length",
            Self::BadLength => "bad-content-length",
            Self::BadEncoding => "bad-transfer-encoding",
            Self::BareLineEnd => "bare-line-end",
            Self::FoldedLine => "folded-header",
            Self::BadChunk => "bad-chunk",
            Self::Trailers => "request-trailers",
            Self::NamelessHeader => "nameless-header",
        }
    }

    fn from_u8(code: u8) -> Option<Self> {
        [
            Self::LengthAndEncoding,
            Self::RepeatedLength,
            Self::BadLength,
            Self::BadEncoding,
            Self::BareLineEnd,
            Self::FoldedLine,
            Self::BadChunk,
            Self::Trailers,
            Self::NamelessHeader,
        ]
        .into_iter()
        .find(|t| *t as u8 == code)
    }
}

/// In which phase a connection is, for its time limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Phase {
    /// Nothing of a request has arrived.
    Idle = 0,
    /// A request head is arriving.
    Head = 1,
    /// A request is being answered.
    Busy = 2,
    /// The connection was upgraded; its limits are the stream's own.
    Tunnel = 3,
}

/// What the guard, the pipeline and the connection's timer share about one connection.
#[derive(Debug)]
pub(crate) struct Watch {
    started: Instant,
    taint: AtomicU8,
    phase: AtomicU8,
    /// Milliseconds since `started` at which the phase began.
    since_ms: AtomicU64,
    /// Milliseconds since `started` of the last byte written to or read from the client.
    moved_ms: AtomicU64,
    /// A write is waiting for the client to read.
    write_blocked: AtomicBool,
    /// Requests being answered.
    active: AtomicUsize,
}

/// A request that is being answered; the connection is not idle while one lives.
pub(crate) struct Active(Arc<Watch>);

impl Active {
    pub(crate) fn new(watch: &Arc<Watch>) -> Self {
        watch.active.fetch_add(1, Ordering::AcqRel);
        watch.enter(Phase::Busy);
        Self(watch.clone())
    }
}

impl Drop for Active {
    fn drop(&mut self) {
        if self.0.active.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.enter(Phase::Idle);
        }
    }
}

impl Watch {
    pub(crate) fn new() -> Self {
        Self {
            started: Instant::now(),
            taint: AtomicU8::new(0),
            phase: AtomicU8::new(Phase::Idle as u8),
            since_ms: AtomicU64::new(0),
            moved_ms: AtomicU64::new(0),
            write_blocked: AtomicBool::new(false),
            active: AtomicUsize::new(0),
        }
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// The fault found on this connection, if any.
    pub(crate) fn taint(&self) -> Option<Taint> {
        Taint::from_u8(self.taint.load(Ordering::Acquire))
    }

    fn raise(&self, taint: Taint) {
        // The first fault is the one reported.
        let _ = self
            .taint
            .compare_exchange(0, taint as u8, Ordering::AcqRel, Ordering::Acquire);
    }

    pub(crate) fn phase(&self) -> Phase {
        match self.phase.load(Ordering::Acquire) {
            1 => Phase::Head,
            2 => Phase::Busy,
            3 => Phase::Tunnel,
            _ => Phase::Idle,
        }
    }

    /// Enters a phase; a tunnel stays one.
    pub(crate) fn enter(&self, phase: Phase) {
        let before = self.phase.swap(phase as u8, Ordering::AcqRel);
        if before == Phase::Tunnel as u8 && phase != Phase::Tunnel {
            self.phase.store(before, Ordering::Release);
            return;
        }
        if before != phase as u8 {
            self.since_ms.store(self.now_ms(), Ordering::Release);
        }
    }

    /// How long the phase has lasted, in milliseconds.
    pub(crate) fn phase_ms(&self) -> u64 {
        self.now_ms()
            .saturating_sub(self.since_ms.load(Ordering::Acquire))
    }

    /// How long a write has been waiting for the client, in milliseconds; zero if none is.
    pub(crate) fn write_blocked_ms(&self) -> u64 {
        if self.write_blocked.load(Ordering::Acquire) {
            self.now_ms()
                .saturating_sub(self.moved_ms.load(Ordering::Acquire))
        } else {
            0
        }
    }

    fn wrote(&self, blocked: bool) {
        if blocked {
            if !self.write_blocked.swap(true, Ordering::AcqRel) {
                self.moved_ms.store(self.now_ms(), Ordering::Release);
            }
        } else if self.write_blocked.load(Ordering::Relaxed) {
            self.write_blocked.store(false, Ordering::Release);
        }
    }
}

/// A client's byte stream under watch.
pub(crate) struct Guarded<S> {
    inner: S,
    watch: Arc<Watch>,
    /// `None` for HTTP/2, whose frames need no second look.
    tracker: Option<Tracker>,
}

impl<S> Guarded<S> {
    pub(crate) fn http1(inner: S, watch: Arc<Watch>) -> Self {
        Self {
            inner,
            watch,
            tracker: Some(Tracker::default()),
        }
    }

    pub(crate) fn http2(inner: S, watch: Arc<Watch>) -> Self {
        Self {
            inner,
            watch,
            tracker: None,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Guarded<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        ready!(Pin::new(&mut this.inner).poll_read(cx, buf))?;
        if let Some(tracker) = &mut this.tracker
            && this.watch.phase() != Phase::Tunnel
        {
            let new = &buf.filled()[before..];
            if !new.is_empty() {
                tracker.feed(new, &this.watch);
                if tracker.in_head() && this.watch.phase() == Phase::Idle {
                    this.watch.enter(Phase::Head);
                }
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Guarded<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.inner).poll_write(cx, buf);
        this.watch.wrote(polled.is_pending());
        polled
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.inner).poll_write_vectored(cx, bufs);
        this.watch.wrote(polled.is_pending());
        polled
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.inner).poll_flush(cx);
        this.watch.wrote(polled.is_pending());
        polled
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_shutdown(cx)
    }
}

/// Longest part of a line that is kept for inspection. Names and values that frame a message are far shorter.
const LINE_KEPT_MAX: usize = 256;

/// Follows the framing of a sequence of HTTP/1 requests.
#[derive(Debug, Default)]
struct Tracker {
    state: State,
    /// The start of a line that was cut by the end of a read.
    line: Vec<u8>,
    /// What the head has shown so far.
    head: HeadSeen,
}

#[derive(Debug, Default, Clone, Copy)]
struct HeadSeen {
    lines: usize,
    length: Option<u64>,
    encoding: bool,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum State {
    #[default]
    Head,
    Body(u64),
    ChunkSize,
    ChunkData(u64),
    ChunkEnd,
    Trailers,
    /// After a fault nothing more is looked at: the connection is about to close.
    Lost,
}

impl Tracker {
    /// Whether a head has begun and is not complete.
    fn in_head(&self) -> bool {
        self.state == State::Head && (self.head.lines > 0 || !self.line.is_empty())
    }

    fn feed(&mut self, mut bytes: &[u8], watch: &Watch) {
        while !bytes.is_empty() {
            match self.state {
                State::Lost => return,
                State::Body(left) => {
                    let taken = left.min(bytes.len() as u64);
                    // `taken` is at most `bytes.len()`.
                    bytes = &bytes[taken as usize..];
                    self.state = match left - taken {
                        0 => self.next_head(),
                        rest => State::Body(rest),
                    };
                }
                State::ChunkData(left) => {
                    let taken = left.min(bytes.len() as u64);
                    bytes = &bytes[taken as usize..];
                    self.state = match left - taken {
                        0 => State::ChunkEnd,
                        rest => State::ChunkData(rest),
                    };
                }
                State::Head | State::ChunkSize | State::ChunkEnd | State::Trailers => {
                    let Some(end) = memchr::memchr(b'\n', bytes) else {
                        self.keep(bytes);
                        return;
                    };
                    let (line, rest) = bytes.split_at(end + 1);
                    bytes = rest;
                    let outcome = if self.line.is_empty() {
                        self.line_seen(line)
                    } else {
                        self.keep(line);
                        let whole = std::mem::take(&mut self.line);
                        let outcome = self.line_seen(&whole);
                        self.line = whole;
                        self.line.clear();
                        outcome
                    };
                    if let Err(taint) = outcome {
                        watch.raise(taint);
                        self.state = State::Lost;
                        return;
                    }
                }
            }
        }
    }

    /// Keeps the start of a line, and always its last two bytes, which tell how it ends.
    fn keep(&mut self, part: &[u8]) {
        let room = LINE_KEPT_MAX.saturating_sub(self.line.len());
        if part.len() <= room {
            self.line.extend_from_slice(part);
        } else {
            let (head, tail) = part.split_at(room);
            self.line.extend_from_slice(head);
            self.line
                .extend_from_slice(&tail[tail.len().saturating_sub(2)..]);
            // Of what lies beyond the bound only the newest two bytes stay.
            let excess = self.line.len().saturating_sub(LINE_KEPT_MAX + 2);
            self.line.drain(LINE_KEPT_MAX..LINE_KEPT_MAX + excess);
        }
    }

    fn next_head(&mut self) -> State {
        self.head = HeadSeen::default();
        State::Head
    }

    fn line_seen(&mut self, line: &[u8]) -> Result<(), Taint> {
        let Some(line) = line.strip_suffix(b"\r\n") else {
            return Err(Taint::BareLineEnd);
        };
        if memchr::memchr(b'\r', line).is_some() {
            return Err(Taint::BareLineEnd);
        }
        match self.state {
            State::Head => self.head_line(line),
            State::ChunkSize => {
                let digits = line.split(|b| *b == b';').next().unwrap_or(line);
                let size = chunk_size(digits).ok_or(Taint::BadChunk)?;
                self.state = if size == 0 {
                    State::Trailers
                } else {
                    State::ChunkData(size)
                };
                Ok(())
            }
            State::ChunkEnd => {
                if !line.is_empty() {
                    return Err(Taint::BadChunk);
                }
                self.state = State::ChunkSize;
                Ok(())
            }
            State::Trailers => {
                if !line.is_empty() {
                    return Err(Taint::Trailers);
                }
                self.state = self.next_head();
                Ok(())
            }
            State::Body(_) | State::ChunkData(_) | State::Lost => Ok(()),
        }
    }

    fn head_line(&mut self, line: &[u8]) -> Result<(), Taint> {
        if line.is_empty() {
            if self.head.lines == 0 {
                // Empty lines before a request line are tolerated (RFC 9112, section 2.2).
                return Ok(());
            }
            self.state = if self.head.encoding {
                State::ChunkSize
            } else {
                match self.head.length {
                    None | Some(0) => self.next_head(),
                    Some(length) => State::Body(length),
                }
            };
            return Ok(());
        }
        self.head.lines += 1;
        if self.head.lines == 1 {
            return Ok(());
        }
        match line[0] {
            b' ' | b'\t' => Err(Taint::FoldedLine),
            b':' => Err(Taint::NamelessHeader),
            b'c' | b'C' => match field(line, b"content-length") {
                Some(value) => self.length(value),
                None => Ok(()),
            },
            b't' | b'T' => match field(line, b"transfer-encoding") {
                Some(value) => self.encoding(value),
                None => Ok(()),
            },
            _ => Ok(()),
        }
    }

    fn length(&mut self, value: &[u8]) -> Result<(), Taint> {
        if self.head.encoding {
            return Err(Taint::LengthAndEncoding);
        }
        if self.head.length.is_some() {
            return Err(Taint::RepeatedLength);
        }
        if value.is_empty() || value.len() > 19 || !value.iter().all(u8::is_ascii_digit) {
            return Err(Taint::BadLength);
        }
        let length = value
            .iter()
            .fold(0_u64, |n, b| n * 10 + u64::from(*b - b'0'));
        self.head.length = Some(length);
        Ok(())
    }

    fn encoding(&mut self, value: &[u8]) -> Result<(), Taint> {
        if self.head.length.is_some() {
            return Err(Taint::LengthAndEncoding);
        }
        if self.head.encoding || !value.eq_ignore_ascii_case(b"chunked") {
            return Err(Taint::BadEncoding);
        }
        self.head.encoding = true;
        Ok(())
    }
}

/// The value of the field `name`, if the line is that field; white space before the colon counts as the same field, so
/// that an obfuscated name is not overlooked.
fn field<'a>(line: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let (head, rest) = line.split_at_checked(name.len())?;
    if !head.eq_ignore_ascii_case(name) {
        return None;
    }
    rest.trim_ascii_start()
        .strip_prefix(b":")
        .map(<[u8]>::trim_ascii)
}

fn chunk_size(digits: &[u8]) -> Option<u64> {
    let digits = digits.trim_ascii_end();
    if digits.is_empty() || digits.len() > 15 {
        return None;
    }
    digits.iter().try_fold(0_u64, |size, b| {
        Some(size * 16 + u64::from(char::from(*b).to_digit(16)?))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds the bytes whole, byte by byte and in pieces of seven: the verdict may not depend on how they arrive.
    fn check(bytes: &[u8], expected: Option<Taint>) {
        for size in [bytes.len(), 1, 7] {
            let watch = Watch::new();
            let mut tracker = Tracker::default();
            for piece in bytes.chunks(size) {
                tracker.feed(piece, &watch);
            }
            assert_eq!(
                watch.taint(),
                expected,
                "pieces of {size}: {}",
                String::from_utf8_lossy(bytes)
            );
            if expected.is_none() {
                assert!(
                    !tracker.in_head() && tracker.state == State::Head,
                    "did not end between two requests: {tracker:?}"
                );
            }
        }
    }

    #[test]
    fn ordinary_requests_pass() {
        check(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", None);
        check(
            b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhelloGET / HTTP/1.1\r\nhost: a\r\n\r\n",
            None,
        );
        check(
            b"POST / HTTP/1.1\r\ntransfer-encoding: Chunked\r\n\r\n5\r\nhello\r\nA;x=y\r\n0123456789\r\n0\r\n\r\nGET / HTTP/1.1\r\nhost: a\r\n\r\n",
            None,
        );
        check(
            b"POST / HTTP/1.1\r\ncontent-length: 19\r\n\r\n\nbare line feeds\n\r\r",
            None,
        );
    }

    #[test]
    fn a_length_beside_an_encoding_is_found_in_either_order() {
        for pair in [
            "Content-Length: 6\r\nTransfer-Encoding: chunked",
            "Transfer-Encoding: chunked\r\nContent-Length: 6",
            "transfer-encoding : chunked\r\ncontent-length\t: 6",
        ] {
            check(
                format!("POST / HTTP/1.1\r\nHost: a\r\n{pair}\r\n\r\n0\r\n\r\nG").as_bytes(),
                Some(Taint::LengthAndEncoding),
            );
        }
    }

    #[test]
    fn lengths_must_be_plain_and_single() {
        check(
            b"POST / HTTP/1.1\r\ncontent-length: 5\r\ncontent-length: 5\r\n\r\nhello",
            Some(Taint::RepeatedLength),
        );
        for bad in [
            "+5",
            "0x5",
            "5_0",
            "",
            "-1",
            "5, 5",
            "5 5",
            "99999999999999999999",
        ] {
            check(
                format!("POST / HTTP/1.1\r\ncontent-length: {bad}\r\n\r\n").as_bytes(),
                Some(Taint::BadLength),
            );
        }
    }

    #[test]
    fn encodings_must_be_a_single_chunked() {
        for bad in [
            ",chunked",
            "xchunked",
            "chunked, chunked",
            "gzip, chunked",
            "identity",
            "\"chunked\"",
        ] {
            check(
                format!("POST / HTTP/1.1\r\ntransfer-encoding: {bad}\r\n\r\n").as_bytes(),
                Some(Taint::BadEncoding),
            );
        }
        check(
            b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n",
            Some(Taint::BadEncoding),
        );
    }

    #[test]
    fn line_ends_are_strict_in_heads_and_chunks() {
        check(b"GET / HTTP/1.1\nHost: a\n\n", Some(Taint::BareLineEnd));
        check(
            b"GET / HTTP/1.1\r\nHost: a\rX: b\r\n\r\n",
            Some(Taint::BareLineEnd),
        );
        check(
            b"GET / HTTP/1.1\r\nHost: a\r\n b\r\n\r\n",
            Some(Taint::FoldedLine),
        );
        check(
            b"GET / HTTP/1.1\r\n: b\r\n\r\n",
            Some(Taint::NamelessHeader),
        );
        let chunked = |rest: &str| {
            format!("POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n{rest}").into_bytes()
        };
        check(
            &chunked("2;a\nb\r\nhi\r\n0\r\n\r\n"),
            Some(Taint::BareLineEnd),
        );
        check(
            &chunked("2;a\rb\r\nhi\r\n0\r\n\r\n"),
            Some(Taint::BareLineEnd),
        );
        check(&chunked("2\r\nhiX\r\n0\r\n\r\n"), Some(Taint::BadChunk));
        check(&chunked("0x2\r\nhi\r\n0\r\n\r\n"), Some(Taint::BadChunk));
        check(
            &chunked("fffffffffffffffff\r\nhi\r\n0\r\n\r\n"),
            Some(Taint::BadChunk),
        );
        check(
            &chunked("0\r\nAuthorization: x\r\n\r\n"),
            Some(Taint::Trailers),
        );
    }

    #[test]
    fn a_long_line_is_bounded_and_still_judged() {
        let mut request = b"GET / HTTP/1.1\r\nX-Long: ".to_vec();
        request.extend(std::iter::repeat_n(b'a', 10_000));
        let mut good = request.clone();
        good.extend_from_slice(b"\r\n\r\n");
        check(&good, None);
        request.extend_from_slice(b"\nContent-Length: 3\r\n\r\n");
        check(&request, Some(Taint::BareLineEnd));
    }
}

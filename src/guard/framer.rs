//! Finds where each HTTP/1 request of a connection ends, and refuses bytes that two parsers could frame differently.
//!
//! Pure: bytes in, boundaries or a refusal out; no IO, no clock. Stricter than RFC 9112 where it leaves a choice (sections 2.2, 3,
//! 5, 6 and 7), because the app behind may choose otherwise.
//!
//! **Invariant:** the verdict depends on the bytes alone, not on how reads cut them.
//! **Invariant:** after a refusal nothing is accepted any more.
//!
//! Not judged here: methods, targets, the value of Host. They do not move a boundary; the gateway judges them.

use super::refused::Refused;

/// Sizes that the framer holds a request to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FramingLimits {
    /// Bytes of the request line, without its CRLF.
    pub request_line_bytes: usize,
    /// Bytes of the whole header, line ends included.
    pub header_bytes: usize,
    /// Number of header fields; trailer fields have the same limit of their own.
    pub header_fields: usize,
    /// Bytes of one chunk extension.
    pub chunk_extension_bytes: usize,
    /// Bytes of all trailers of a request, line ends included.
    pub trailer_bytes: usize,
}

impl Default for FramingLimits {
    /// 8 KiB for the target and 64 bytes for method and version; 32 KiB and 100 fields (threat model LI-2).
    fn default() -> Self {
        Self {
            request_line_bytes: 8 * 1024 + 64,
            header_bytes: 32 * 1024,
            header_fields: 100,
            chunk_extension_bytes: 256,
            trailer_bytes: 8 * 1024,
        }
    }
}

/// Which part of the current request comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// The header is not complete.
    Head,
    /// The header is complete, the body is not.
    Body,
    /// The request is complete. Further bytes belong to the next one.
    Complete,
}

/// The state machine for one connection.
#[derive(Debug)]
pub struct Framer {
    limits: FramingLimits,
    state: State,
    /// The line that is being read, without CRLF. Never longer than the limit of its section.
    line: Vec<u8>,
    head: Head,
}

impl Framer {
    /// A framer at the start of a connection.
    pub fn new(limits: FramingLimits) -> Self {
        Self { limits, state: State::Line(Section::RequestLine), line: Vec::new(), head: Head::default() }
    }

    /// Reads on, at most to the next boundary (end of the header, end of the request), and says how many bytes that took.
    ///
    /// Call it again with the rest; once the phase is `Complete` it takes nothing until [`Self::next_request`].
    pub fn feed(&mut self, bytes: &[u8]) -> Result<usize, Refused> {
        let start = self.phase();
        let mut taken = 0;
        while taken < bytes.len() && self.phase() == start && start != Phase::Complete {
            match self.step(&bytes[taken..]) {
                Ok(n) => taken += n,
                Err(refused) => {
                    self.state = State::Refused(refused);
                    return Err(refused);
                }
            }
        }
        match self.state {
            State::Refused(refused) => Err(refused),
            _ => Ok(taken),
        }
    }

    /// Where the current request stands.
    pub fn phase(&self) -> Phase {
        match self.state {
            State::Line(Section::RequestLine | Section::Field)
            | State::LineFeed(Section::RequestLine | Section::Field)
            | State::Refused(_) => Phase::Head,
            State::Complete => Phase::Complete,
            _ => Phase::Body,
        }
    }

    /// Starts the next request of the connection, judged anew. Does nothing unless the current one is complete.
    pub fn next_request(&mut self) {
        if self.state == State::Complete {
            self.state = State::Line(Section::RequestLine);
            self.head = Head::default();
        }
    }

    /// Whether the current request asks for another protocol.
    pub fn asks_for_upgrade(&self) -> bool {
        self.head.upgrade && self.head.http11
    }

    /// Bytes that may be read without looking at them: the rest of a body or chunk of known length.
    pub fn opaque_bytes(&self) -> u64 {
        match self.state {
            State::Length(rest) | State::ChunkData(rest) => rest,
            _ => 0,
        }
    }

    fn step(&mut self, bytes: &[u8]) -> Result<usize, Refused> {
        match self.state {
            State::Line(section) => self.read_line(section, bytes),
            State::LineFeed(section) => {
                if bytes[0] != b'\n' {
                    return Err(Refused::BareCarriageReturn);
                }
                self.count(section, 1)?;
                self.end_line(section)?;
                self.line.clear();
                Ok(1)
            }
            State::Length(rest) => Ok(self.skip(rest, bytes.len(), State::Length, State::Complete)),
            State::ChunkData(rest) => {
                Ok(self.skip(rest, bytes.len(), State::ChunkData, State::ChunkCarriageReturn))
            }
            State::ChunkSize { .. }
            | State::ChunkExtension { .. }
            | State::ChunkHeadEnd { .. }
            | State::ChunkCarriageReturn
            | State::ChunkLineFeed => {
                self.state = self.chunk_byte(bytes[0])?;
                Ok(1)
            }
            State::Complete => Ok(0),
            State::Refused(refused) => Err(refused),
        }
    }

    /// Takes the part of a line that `bytes` holds.
    fn read_line(&mut self, section: Section, bytes: &[u8]) -> Result<usize, Refused> {
        let plain = plain_bytes(bytes);
        let room = match section {
            Section::RequestLine => self.limits.request_line_bytes - self.line.len(),
            Section::Field | Section::Trailer => usize::MAX,
        };
        if plain > room {
            // Of two limits the nearer one names the refusal, so that bytes that come one by one get the same verdict.
            self.count(section, room + 1)?;
            return Err(Refused::RequestLineTooLong);
        }
        self.count(section, plain)?;
        self.line.extend_from_slice(&bytes[..plain]);
        match bytes.get(plain) {
            None => Ok(plain),
            Some(b'\r') => {
                self.count(section, 1)?;
                self.state = State::LineFeed(section);
                Ok(plain + 1)
            }
            Some(b'\n') => Err(Refused::BareLineFeed),
            Some(_) => Err(Refused::ControlByte),
        }
    }

    /// Holds `more` bytes of a section against its limit.
    fn count(&mut self, section: Section, more: usize) -> Result<(), Refused> {
        let (used, limit, too_large) = match section {
            Section::RequestLine | Section::Field => {
                (&mut self.head.bytes, self.limits.header_bytes, Refused::HeaderTooLarge)
            }
            Section::Trailer => {
                (&mut self.head.trailer_bytes, self.limits.trailer_bytes, Refused::TrailersTooLarge)
            }
        };
        if more > limit - *used {
            return Err(too_large);
        }
        *used += more;
        Ok(())
    }

    fn end_line(&mut self, section: Section) -> Result<(), Refused> {
        self.state = match section {
            Section::RequestLine if self.line.is_empty() && !self.head.blank_line => {
                // RFC 9112, 2.2: one empty line before the request line is ignored.
                self.head.blank_line = true;
                State::Line(Section::RequestLine)
            }
            Section::RequestLine => {
                self.head.http11 = read_request_line(&self.line)?;
                State::Line(Section::Field)
            }
            Section::Field if self.line.is_empty() => self.head.body()?,
            Section::Field => {
                self.head.fields += 1;
                if self.head.fields > self.limits.header_fields {
                    return Err(Refused::TooManyFields);
                }
                let (name, value) = read_field(&self.line)?;
                self.head.note(name, value)?;
                State::Line(Section::Field)
            }
            Section::Trailer if self.line.is_empty() => State::Complete,
            Section::Trailer => {
                self.head.trailers += 1;
                if self.head.trailers > self.limits.header_fields {
                    return Err(Refused::TrailersTooLarge);
                }
                let (name, _) = read_field(&self.line)?;
                if is_forbidden_trailer(name) {
                    return Err(Refused::TrailerForbidden);
                }
                State::Line(Section::Trailer)
            }
        };
        Ok(())
    }

    /// Passes over data of known length.
    fn skip(&mut self, rest: u64, available: usize, more: fn(u64) -> State, done: State) -> usize {
        let taken = usize::try_from(rest).unwrap_or(usize::MAX).min(available);
        let rest = rest - taken as u64;
        self.state = if rest == 0 { done } else { more(rest) };
        taken
    }

    /// One byte of the chunked coding outside of chunk data (RFC 9112, 7.1).
    fn chunk_byte(&self, byte: u8) -> Result<State, Refused> {
        match self.state {
            State::ChunkSize { size, digits } => match (byte, hex(byte)) {
                (_, Some(digit)) if digits < 16 => {
                    Ok(State::ChunkSize { size: size << 4 | u64::from(digit), digits: digits + 1 })
                }
                (b'\r', _) if digits > 0 => Ok(State::ChunkHeadEnd { size }),
                (b';', _) if digits > 0 => Ok(State::ChunkExtension { size, bytes: 1 }),
                _ => Err(Refused::ChunkSize),
            },
            State::ChunkExtension { size, bytes } => match byte {
                b'\r' => Ok(State::ChunkHeadEnd { size }),
                b'\n' => Err(Refused::BareLineFeed),
                _ if is_control(byte) => Err(Refused::ControlByte),
                _ if bytes >= self.limits.chunk_extension_bytes => Err(Refused::ChunkExtension),
                _ => Ok(State::ChunkExtension { size, bytes: bytes + 1 }),
            },
            State::ChunkHeadEnd { size } => match byte {
                b'\n' if size == 0 => Ok(State::Line(Section::Trailer)),
                b'\n' => Ok(State::ChunkData(size)),
                _ => Err(Refused::BareCarriageReturn),
            },
            State::ChunkCarriageReturn if byte == b'\r' => Ok(State::ChunkLineFeed),
            State::ChunkLineFeed if byte == b'\n' => Ok(State::ChunkSize { size: 0, digits: 0 }),
            _ => Err(Refused::ChunkEnd),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Section {
    RequestLine,
    Field,
    Trailer,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Inside a line, before its CR.
    Line(Section),
    /// After the CR of a line.
    LineFeed(Section),
    /// A body of known length with this many bytes to come.
    Length(u64),
    ChunkSize {
        size: u64,
        digits: u8,
    },
    ChunkExtension {
        size: u64,
        bytes: usize,
    },
    /// After the CR of the chunk's first line.
    ChunkHeadEnd {
        size: u64,
    },
    ChunkData(u64),
    /// After the data of a chunk: CR, then LF.
    ChunkCarriageReturn,
    ChunkLineFeed,
    Complete,
    Refused(Refused),
}

/// What the header of the current request says about its framing.
#[derive(Debug, Default)]
struct Head {
    bytes: usize,
    fields: usize,
    trailer_bytes: usize,
    trailers: usize,
    blank_line: bool,
    http11: bool,
    host: Option<HostField>,
    content_length: Option<u64>,
    chunked: bool,
    upgrade: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum HostField {
    Empty,
    Present,
}

impl Head {
    /// Takes note of a field that has to do with framing.
    fn note(&mut self, name: &[u8], value: &[u8]) -> Result<(), Refused> {
        if name.eq_ignore_ascii_case(b"host") {
            let host = if value.is_empty() { HostField::Empty } else { HostField::Present };
            if self.host.replace(host).is_some() {
                return Err(Refused::HostRepeated);
            }
        } else if name.eq_ignore_ascii_case(b"content-length") {
            if self.content_length.replace(read_length(value)?).is_some() {
                return Err(Refused::ContentLengthRepeated);
            }
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            if !value.eq_ignore_ascii_case(b"chunked") {
                return Err(Refused::TransferCoding);
            }
            if std::mem::replace(&mut self.chunked, true) {
                return Err(Refused::TransferCodingRepeated);
            }
        } else if name.eq_ignore_ascii_case(b"upgrade") {
            self.upgrade = true;
        } else if name.contains(&b'_') && is_look_alike(name) {
            return Err(Refused::LookAlike);
        }
        Ok(())
    }

    /// What follows the header (RFC 9112, 6.3).
    fn body(&self) -> Result<State, Refused> {
        if self.http11 && self.host != Some(HostField::Present) {
            return Err(Refused::HostMissing);
        }
        match (self.chunked, self.content_length) {
            (true, Some(_)) => Err(Refused::LengthAndCoding),
            (true, None) if !self.http11 => Err(Refused::CodingInHttp10),
            (true, None) => Ok(State::ChunkSize { size: 0, digits: 0 }),
            (false, None | Some(0)) => Ok(State::Complete),
            (false, Some(length)) => Ok(State::Length(length)),
        }
    }
}

/// Whether the version is 1.1; anything but 1.0 and 1.1 is refused.
fn read_request_line(line: &[u8]) -> Result<bool, Refused> {
    let mut parts = line.split(|byte| *byte == b' ');
    let (Some(method), Some(target), Some(version), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(Refused::RequestLine);
    };
    if !is_token(method)
        || target.is_empty()
        || !target.iter().all(|byte| byte.is_ascii_graphic() && *byte != b'#')
    {
        return Err(Refused::RequestLine);
    }
    let http11 = match version {
        b"HTTP/1.1" => true,
        b"HTTP/1.0" => false,
        [b'H', b'T', b'T', b'P', b'/', major, b'.', minor]
            if major.is_ascii_digit() && minor.is_ascii_digit() =>
        {
            return Err(Refused::Version);
        }
        _ => return Err(Refused::RequestLine),
    };
    if method == b"CONNECT" {
        return Err(Refused::Connect);
    }
    Ok(http11)
}

/// Name and value of a field line; the value without the white space around it.
fn read_field(line: &[u8]) -> Result<(&[u8], &[u8]), Refused> {
    if matches!(line.first(), Some(b' ' | b'\t')) {
        return Err(Refused::FoldedField);
    }
    let colon = line.iter().position(|byte| *byte == b':').ok_or(Refused::FieldWithoutColon)?;
    let (name, value) = (&line[..colon], &line[colon + 1..]);
    if !is_token(name) {
        return Err(Refused::FieldName);
    }
    Ok((name, value.trim_ascii()))
}

/// One plain number. Leading zeros are refused too: some readers take them for octal.
pub(super) fn read_length(value: &[u8]) -> Result<u64, Refused> {
    let plain = match value {
        b"0" => true,
        [b'1'..=b'9', rest @ ..] => rest.iter().all(u8::is_ascii_digit),
        _ => false,
    };
    let digits = str::from_utf8(value).ok().filter(|_| plain);
    digits.and_then(|digits| digits.parse().ok()).ok_or(Refused::ContentLength)
}

pub(super) fn is_look_alike(name: &[u8]) -> bool {
    let folds_to = |known: &[u8]| {
        let fold = |byte: &u8| if *byte == b'_' { b'-' } else { byte.to_ascii_lowercase() };
        name.iter().map(fold).eq(known.iter().copied())
    };
    folds_to(b"content-length") || folds_to(b"transfer-encoding")
}

/// Fields that frame, route, authenticate or describe the message (RFC 9110, 6.5.1).
pub(crate) fn is_forbidden_trailer(name: &[u8]) -> bool {
    const FORBIDDEN: [&str; 26] = [
        "authorization",
        "cache-control",
        "connection",
        "content-encoding",
        "content-length",
        "content-range",
        "content-type",
        "cookie",
        "expect",
        "forwarded",
        "host",
        "if-match",
        "if-modified-since",
        "if-none-match",
        "if-range",
        "if-unmodified-since",
        "keep-alive",
        "max-forwards",
        "pragma",
        "proxy-authorization",
        "range",
        "set-cookie",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    ];
    FORBIDDEN.iter().any(|known| name.eq_ignore_ascii_case(known.as_bytes())) || is_look_alike(name)
}

/// RFC 9110, 5.6.2.
fn is_token(bytes: &[u8]) -> bool {
    // RFC 9110, 5.6.2. Matched, not searched for: a search costs a branch for each candidate.
    let is_tchar = |byte: &u8| {
        byte.is_ascii_alphanumeric()
            || matches!(
                byte,
                b'!' | b'#'..=b'\'' | b'*' | b'+' | b'-' | b'.' | b'^' | b'_' | b'`' | b'|' | b'~'
            )
    };
    !bytes.is_empty() && bytes.iter().all(is_tchar)
}

/// Control bytes but HTAB, which may stand inside a field value.
/// How many bytes stand before the first control byte.
fn plain_bytes(bytes: &[u8]) -> usize {
    // Blocks are judged without a branch for each byte, which the compiler makes vector instructions of.
    let is_plain = |block: &&[u8]| !block.iter().fold(false, |found, byte| found | is_control(*byte));
    let blocks = 16 * bytes.chunks_exact(16).take_while(is_plain).count();
    let rest = &bytes[blocks..];
    blocks + rest.iter().position(|byte| is_control(*byte)).unwrap_or(rest.len())
}

fn is_control(byte: u8) -> bool {
    byte.is_ascii_control() && byte != b'\t'
}

fn hex(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What a connection came to: how many requests were complete, and the refusal if there was one.
    #[derive(Debug, Clone, PartialEq, Eq)]
    struct Verdict {
        /// Where headers and requests ended, counted from the start of the connection.
        boundaries: Vec<(usize, Phase)>,
        refused: Option<Refused>,
    }

    impl Verdict {
        fn requests(&self) -> usize {
            self.boundaries.iter().filter(|(_, phase)| *phase == Phase::Complete).count()
        }
    }

    fn small() -> FramingLimits {
        FramingLimits {
            request_line_bytes: 40,
            header_bytes: 200,
            header_fields: 4,
            chunk_extension_bytes: 8,
            trailer_bytes: 40,
        }
    }

    fn judge<'a>(limits: FramingLimits, reads: impl IntoIterator<Item = &'a [u8]>) -> Verdict {
        let mut framer = Framer::new(limits);
        let mut verdict = Verdict { boundaries: Vec::new(), refused: None };
        let mut position = 0;
        for mut rest in reads {
            while !rest.is_empty() {
                let before = framer.phase();
                match framer.feed(rest) {
                    Ok(taken) => {
                        position += taken;
                        rest = &rest[taken..];
                    }
                    Err(refused) => {
                        assert_eq!(
                            framer.feed(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
                            Err(refused),
                            "stays refused"
                        );
                        verdict.refused = Some(refused);
                        return verdict;
                    }
                }
                if framer.phase() != before {
                    verdict.boundaries.push((position, framer.phase()));
                    framer.next_request();
                }
            }
        }
        verdict
    }

    /// The verdict on the bytes in one piece, which must be that on every byte alone.
    fn verdict(request: impl AsRef<[u8]>) -> Verdict {
        let request = request.as_ref();
        let whole = judge(FramingLimits::default(), [request]);
        assert_eq!(whole, judge(FramingLimits::default(), request.chunks(1)), "byte by byte");
        whole
    }

    fn refusal(request: impl AsRef<[u8]>) -> Refused {
        let verdict = verdict(request.as_ref());
        assert_eq!(verdict.requests(), 0, "nothing complete before the refusal");
        verdict.refused.unwrap_or_else(|| panic!("not refused: {}", request.as_ref().escape_ascii()))
    }

    fn with_field(field: &str) -> String {
        format!("POST / HTTP/1.1\r\nHost: a.test\r\n{field}\r\n\r\n")
    }

    fn chunked(body: &str) -> String {
        with_field("Transfer-Encoding: chunked") + body
    }

    #[test]
    fn well_framed_requests_pass() {
        for request in [
            "GET / HTTP/1.1\r\nHost: a.test\r\n\r\n",
            "GET / HTTP/1.0\r\n\r\n",
            "\r\nGET / HTTP/1.1\r\nHost: a.test\r\n\r\n",
            "OPTIONS * HTTP/1.1\r\nhost:a.test\r\n\r\n",
            "GET http://a.test/x?y=%20 HTTP/1.1\r\nHost: a.test\r\nX:\r\nY: \t v w \t\r\n\r\n",
            &(with_field("Content-Length: 3") + "abc"),
            &with_field("Content-Length: 0"),
            "POST / HTTP/1.0\r\nContent-Length: 3\r\n\r\na\nb",
            &with_field("X_Under_Score: 1"),
            &chunked("3\r\nabc\r\n0\r\n\r\n"),
            &chunked("0003\r\nabc\r\n00A\r\n0123456789\r\n0\r\n\r\n"),
            &chunked("3;x=y;z=\"q q\"\r\na\n\r\r\n0;last\r\n\r\n"),
            &chunked("0\r\nX-Checksum: 1\r\nServer-Timing: a\r\n\r\n"),
            &with_field("transfer-encoding:CHUNKED").replace("\r\n\r\n", "\r\n\r\n0\r\n\r\n"),
        ] {
            let verdict = verdict(request);
            assert_eq!((verdict.requests(), verdict.refused), (1, None), "{}", request.escape_debug());
            assert_eq!(
                verdict.boundaries.last().map(|(at, _)| *at),
                Some(request.len()),
                "{}",
                request.escape_debug()
            );
        }
    }

    #[test]
    fn bytes_outside_ascii_pass_in_values_only() {
        assert_eq!(verdict(b"GET / HTTP/1.1\r\nHost: a\r\nX: \xff\xc3\xa5\r\n\r\n").requests(), 1);
        assert_eq!(refusal(b"GET /\xc3\xa5 HTTP/1.1\r\nHost: a\r\n\r\n"), Refused::RequestLine);
        assert_eq!(refusal(b"GET / HTTP/1.1\r\nHost: a\r\nX\xc3: b\r\n\r\n"), Refused::FieldName);
    }

    #[test]
    fn malformed_headers_are_refused() {
        use Refused::*;
        for (request, reason) in [
            ("GET / HTTP/1.1\nHost: a\n\n", BareLineFeed),
            ("GET / HTTP/1.1\r\nHost: a\r\nX-A: a\nX-Auth-User: evil\r\n\r\n", BareLineFeed),
            ("GET / HTTP/1.1\r\nHost: a\r\n\n", BareLineFeed),
            ("GET / HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n", BareCarriageReturn),
            ("GET / HTTP/1.1\r\nHost: a\r\nX: a\r\r\n\r\n", BareCarriageReturn),
            ("GET / HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n", ControlByte),
            ("GET / HTTP/1.1\r\nHost: a\r\nX: a\x0bb\r\n\r\n", ControlByte),
            ("GET / HTTP/1.1\r\nHost: a\r\nX: a\x7f\r\n\r\n", ControlByte),
            ("GET / HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\n\r\n", FoldedField),
            ("GET / HTTP/1.1\r\nHost: a\r\nX: a\r\n\tb\r\n\r\n", FoldedField),
            ("GET / HTTP/1.1\r\n Host: a\r\n\r\n", FoldedField),
            ("GET / HTTP/1.1\r\nHost : a\r\n\r\n", FieldName),
            ("GET / HTTP/1.1\r\nHost\t: a\r\n\r\n", FieldName),
            ("GET / HTTP/1.1\r\nHost: a\r\n: b\r\n\r\n", FieldName),
            ("GET / HTTP/1.1\r\nHost: a\r\nA B: b\r\n\r\n", FieldName),
            ("GET / HTTP/1.1\r\nHost: a\r\nA(: b\r\n\r\n", FieldName),
            ("GET / HTTP/1.1\r\nHost: a\r\nno colon\r\n\r\n", FieldWithoutColon),
            ("\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", RequestLine),
            (" GET / HTTP/1.1\r\nHost: a\r\n\r\n", RequestLine),
            ("GET  / HTTP/1.1\r\nHost: a\r\n\r\n", RequestLine),
            ("GET\t/\tHTTP/1.1\r\nHost: a\r\n\r\n", RequestLine),
            ("GET / a HTTP/1.1\r\nHost: a\r\n\r\n", RequestLine),
            ("GET / HTTP/1.1 \r\nHost: a\r\n\r\n", RequestLine),
            ("GET /\r\n\r\n", RequestLine),
            ("G(T / HTTP/1.1\r\nHost: a\r\n\r\n", RequestLine),
            ("GET / http/1.1\r\nHost: a\r\n\r\n", RequestLine),
            ("GET / HTTP/1.10\r\nHost: a\r\n\r\n", RequestLine),
            ("GET / HTTP/0.9\r\nHost: a\r\n\r\n", Version),
            ("GET / HTTP/1.2\r\nHost: a\r\n\r\n", Version),
            ("GET / HTTP/2.0\r\nHost: a\r\n\r\n", Version),
            ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", Version),
            ("CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n", Connect),
            ("GET / HTTP/1.1\r\n\r\n", HostMissing),
            ("GET / HTTP/1.1\r\nHost:  \r\n\r\n", HostMissing),
            ("GET / HTTP/1.1\r\nHost: a\r\nhost: a\r\n\r\n", HostRepeated),
            ("GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n", HostRepeated),
            ("\x16\x03\x01\x02\x00\x01\x00\x01", ControlByte),
        ] {
            assert_eq!(refusal(request), reason, "{}", request.escape_debug());
        }
    }

    #[test]
    fn ambiguous_lengths_are_refused() {
        use Refused::*;
        for (fields, reason) in [
            ("Content-Length: 3\r\nTransfer-Encoding: chunked", LengthAndCoding),
            ("Transfer-Encoding: chunked\r\nContent-Length: 3", LengthAndCoding),
            ("Content-Length: 3\r\nContent-Length: 4", ContentLengthRepeated),
            ("Content-Length: 3\r\nContent-Length: 3", ContentLengthRepeated),
            ("Content-Length: 3, 3", ContentLength),
            ("Content-Length: +3", ContentLength),
            ("Content-Length: -1", ContentLength),
            ("Content-Length: 0x3", ContentLength),
            ("Content-Length: 3 3", ContentLength),
            ("Content-Length: 03", ContentLength),
            ("Content-Length: ", ContentLength),
            ("Content-Length: 18446744073709551616", ContentLength),
            ("Transfer-Encoding: xchunked", TransferCoding),
            ("Transfer-Encoding: gzip, chunked", TransferCoding),
            ("Transfer-Encoding: chunked, identity", TransferCoding),
            ("Transfer-Encoding: chunked, chunked", TransferCoding),
            ("Transfer-Encoding: \"chunked\"", TransferCoding),
            ("Transfer-Encoding: chunked;q=1", TransferCoding),
            ("Transfer-Encoding: identity", TransferCoding),
            ("Transfer-Encoding:", TransferCoding),
            ("Transfer-Encoding: \x0bchunked", ControlByte),
            ("Transfer-Encoding : chunked", FieldName),
            ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", TransferCodingRepeated),
            ("Transfer_Encoding: chunked\r\nContent-Length: 3", LookAlike),
            ("Content_Length: 3", LookAlike),
        ] {
            assert_eq!(refusal(with_field(fields)), reason, "{}", fields.escape_debug());
        }
        assert_eq!(
            refusal("POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"),
            CodingInHttp10
        );
    }

    #[test]
    fn malformed_chunks_are_refused() {
        use Refused::*;
        for (body, reason) in [
            ("g\r\n", ChunkSize),
            ("\r\nabc", ChunkSize),
            (";x\r\n", ChunkSize),
            ("+3\r\nabc\r\n", ChunkSize),
            ("-3\r\nabc\r\n", ChunkSize),
            ("0x3\r\nabc\r\n", ChunkSize),
            (" 3\r\nabc\r\n", ChunkSize),
            ("3 \r\nabc\r\n", ChunkSize),
            ("3\t;x\r\nabc\r\n", ChunkSize),
            ("3\nabc\r\n", ChunkSize),
            ("00000000000000003\r\nabc\r\n", ChunkSize),
            ("10000000000000000\r\n", ChunkSize),
            ("3\rabc\r\n", BareCarriageReturn),
            ("3;x=y\nabc\r\n0\r\n\r\n", BareLineFeed),
            ("3;x\ry\r\nabc\r\n", BareCarriageReturn),
            ("3;x\0\r\nabc\r\n", ControlByte),
            ("3\r\nabcd\r\n", ChunkEnd),
            ("3\r\nabc0\r\n\r\n", ChunkEnd),
            ("3\r\nabc\n0\r\n\r\n", ChunkEnd),
            ("3\r\nabc\r0\r\n\r\n", ChunkEnd),
            ("0\r\nContent-Length: 3\r\n\r\n", TrailerForbidden),
            ("0\r\nTransfer_Encoding: chunked\r\n\r\n", TrailerForbidden),
            ("0\r\nHOST: b\r\n\r\n", TrailerForbidden),
            ("0\r\nX : b\r\n\r\n", FieldName),
            ("0\r\n folded\r\n\r\n", FoldedField),
            ("0\r\nX: a\n\r\n", BareLineFeed),
            ("0\r\nGET /evil HTTP/1.1\r\n\r\n", FieldWithoutColon),
        ] {
            assert_eq!(refusal(chunked(body)), reason, "{}", body.escape_debug());
        }
    }

    #[test]
    fn the_largest_chunk_and_length_do_not_overflow() {
        for request in
            [chunked("ffffffffffffffff\r\nabc"), with_field("Content-Length: 18446744073709551615") + "abc"]
        {
            let verdict = verdict(request);
            assert_eq!((verdict.requests(), verdict.refused), (0, None));
        }
    }

    #[test]
    fn each_size_is_allowed_up_to_its_limit() {
        let line = |n: usize| format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "a".repeat(n - 14));
        let total = |n: usize| format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "a".repeat(n - 32));
        let fields = |n: usize| format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "X: y\r\n".repeat(n - 1));
        let head = "GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
        let extension = |n: usize| format!("{head}0;{}\r\n\r\n", "x".repeat(n - 1));
        let trailer = |n: usize| format!("{head}0\r\nX: {}\r\n\r\n", "x".repeat(n - 7));
        type Sized<'a> = &'a dyn Fn(usize) -> String;
        let cases: [(Sized, usize, Refused); 5] = [
            (&line, 40, Refused::RequestLineTooLong),
            (&total, 200, Refused::HeaderTooLarge),
            (&fields, 4, Refused::TooManyFields),
            (&extension, 8, Refused::ChunkExtension),
            (&trailer, 40, Refused::TrailersTooLarge),
        ];
        for (request, limit, reason) in cases {
            let at_limit = judge(small(), [request(limit).as_bytes()]);
            assert_eq!((at_limit.requests(), at_limit.refused), (1, None), "{reason:?}");
            assert_eq!(judge(small(), [request(limit + 1).as_bytes()]).refused, Some(reason));
            assert_eq!(judge(small(), request(limit + 1).as_bytes().chunks(1)).refused, Some(reason));
        }
    }

    #[test]
    fn an_endless_line_is_refused_before_it_ends() {
        assert_eq!(refusal(vec![b'a'; 9_000]), Refused::RequestLineTooLong);
        let field = [b"GET / HTTP/1.1\r\nHost: a\r\nX: ".as_slice(), &[b'a'; 33_000]].concat();
        assert_eq!(refusal(field), Refused::HeaderTooLarge);
    }

    #[test]
    fn each_request_of_a_connection_is_judged_anew() {
        let first = "POST /one HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc";
        let second = chunked("1\r\nx\r\n0\r\n\r\n");
        let both = verdict(format!("{first}{second}"));
        assert_eq!(both.boundaries[1], (first.len(), Phase::Complete));
        assert_eq!((both.requests(), both.refused), (2, None));

        let without_host = verdict(format!("{first}GET / HTTP/1.1\r\n\r\n"));
        assert_eq!((without_host.requests(), without_host.refused), (1, Some(Refused::HostMissing)));
    }

    #[test]
    fn a_complete_request_takes_nothing_of_the_next() {
        let mut framer = Framer::new(FramingLimits::default());
        let two = b"GET / HTTP/1.1\r\nHost: a\r\n\r\nGET /two HTTP/1.1\r\n";
        assert_eq!(framer.feed(two), Ok(27));
        assert_eq!((framer.phase(), framer.feed(&two[27..])), (Phase::Complete, Ok(0)));
    }

    /// Pieces from which both sound and hostile streams grow.
    fn pieces() -> impl Strategy<Value = Vec<u8>> {
        let piece = prop::sample::select(vec![
            "GET / HTTP/1.1\r\n",
            "POST /x HTTP/1.1\r\n",
            "Host: a\r\n",
            "Content-Length: 3\r\n",
            "abc",
            "Transfer-Encoding: chunked\r\n",
            "\r\n",
            "3\r\nabc\r\n",
            "0\r\n",
            "0\r\n\r\n",
            "5;e=f\r\n",
            "X: y\r\n",
            "\n",
            "\r",
            " ",
            "\t",
            ":",
            "\0",
            "a",
            "ffff",
            "; x",
            "HTTP/1.0",
            "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc",
        ]);
        let any = prop::collection::vec(any::<u8>(), 0..4);
        prop::collection::vec(prop_oneof![9 => piece.prop_map(|p| p.as_bytes().to_vec()), 1 => any], 0..24)
            .prop_map(|pieces| pieces.concat())
    }

    #[test]
    fn a_control_byte_is_found_wherever_it_stands() {
        for at in 0..70 {
            let mut line = [b'a'; 70];
            assert_eq!(plain_bytes(&line[..at]), at);
            for control in [0, b'\n', b'\r', 0x1f, 0x7f] {
                line[at] = control;
                assert_eq!(plain_bytes(&line), at);
            }
            line[at] = b'\t';
            assert_eq!(plain_bytes(&line), line.len());
        }
    }

    #[test]
    fn a_token_has_the_characters_of_the_rfc_and_no_other() {
        for byte in u8::MIN..=u8::MAX {
            let listed = byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
            assert_eq!(is_token(&[b'a', byte]), listed, "{byte:#x}");
        }
        assert!(!is_token(b""));
    }

    proptest! {
        #[test]
        fn the_verdict_does_not_depend_on_how_reads_cut_the_bytes(
            bytes in pieces(),
            cuts in prop::collection::vec(1usize..40, 1..40),
        ) {
            let mut reads = Vec::new();
            let mut rest = bytes.as_slice();
            for cut in cuts.iter().cycle() {
                if rest.is_empty() {
                    break;
                }
                let (read, after) = rest.split_at((*cut).min(rest.len()));
                reads.push(read);
                rest = after;
            }
            for limits in [FramingLimits::default(), small()] {
                let whole = judge(limits, [bytes.as_slice()]);
                prop_assert_eq!(&whole, &judge(limits, reads.iter().copied()));
                prop_assert_eq!(&whole, &judge(limits, bytes.chunks(1)));
            }
        }
    }
}

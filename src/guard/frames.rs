//! Follows the frames of an HTTP/2 connection in both directions (RFC 9113, 4.1, 6.10 and 10.5).
//!
//! Pure: bytes in, counts out; no IO, no clock. The HTTP/2 library judges what frames say. This knows what the library does not
//! tell: whether one is half there, how many cost work and carry nothing, and what the library has refused.
//!
//! **Invariant:** what is seen depends on the bytes alone, not on how reads cut them.

/// RFC 9113, 3.4.
pub(super) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

const HEAD: usize = 9;
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// Error codes (RFC 9113, 7) by which a stream or a connection is refused, rather than given up.
const REFUSALS: [u32; 7] = [1, 3, 5, 6, 7, 9, 11];

/// What a client has begun and must finish.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unfinished {
    /// Nothing.
    Nothing,
    /// A header block, or a frame other than DATA.
    Head,
    /// A DATA frame.
    Data,
}

/// What some bytes from the client held.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Received {
    /// Frames that cost work and carry nothing.
    pub(super) idle: u32,
    /// Streams that the client gave up.
    pub(super) resets: u32,
    /// Header blocks and DATA frames with content.
    pub(super) useful: u32,
}

/// What some bytes to the client held.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sent {
    /// DATA frames.
    pub(super) data: u32,
    /// Streams that were refused.
    pub(super) refused_streams: u32,
    /// Whether the connection was.
    pub(super) refused_connection: bool,
}

/// Splits bytes into frames.
#[derive(Debug, Default)]
struct Splitter {
    head: [u8; HEAD],
    read: usize,
    left: u32,
}

/// The part of a frame that some bytes hold.
struct Part {
    taken: usize,
    /// Whether the frame's head has just been completed.
    begins: bool,
    /// Payload bytes, the last `n` of the taken ones.
    payload: usize,
}

impl Splitter {
    fn next(&mut self, bytes: &[u8]) -> Part {
        if self.read < HEAD {
            let taken = bytes.len().min(HEAD - self.read);
            self.head[self.read..self.read + taken].copy_from_slice(&bytes[..taken]);
            self.read += taken;
            let begins = self.read == HEAD;
            if begins {
                self.left = self.length();
            }
            return Part { taken, begins, payload: 0 };
        }
        let payload = bytes.len().min(self.left as usize);
        self.left -= u32::try_from(payload).unwrap_or(self.left);
        Part { taken: payload, begins: false, payload }
    }

    /// Whether the frame is whole; moves on to the next.
    fn ends(&mut self) -> bool {
        let ends = self.read == HEAD && self.left == 0;
        if ends {
            self.read = 0;
        }
        ends
    }

    fn is_between(&self) -> bool {
        self.read == 0
    }

    fn length(&self) -> u32 {
        u32::from_be_bytes([0, self.head[0], self.head[1], self.head[2]])
    }

    fn kind(&self) -> u8 {
        self.head[3]
    }

    fn has(&self, flag: u8) -> bool {
        self.head[4] & flag != 0
    }
}

/// The client's frames.
#[derive(Debug)]
pub(super) struct Incoming {
    splitter: Splitter,
    preface: usize,
    open_block: bool,
    /// How many frames and header blocks are complete.
    finished: u64,
}

impl Incoming {
    /// Before the preface.
    pub(super) fn new() -> Self {
        Self { splitter: Splitter::default(), preface: PREFACE.len(), open_block: false, finished: 0 }
    }

    /// Reads on.
    pub(super) fn feed(&mut self, bytes: &[u8]) -> Received {
        let mut received = Received::default();
        let mut at = self.preface.min(bytes.len());
        self.preface -= at;
        while at < bytes.len() {
            let part = self.splitter.next(&bytes[at..]);
            at += part.taken;
            if part.begins {
                self.begin(&mut received);
            }
            if self.splitter.ends() && !self.open_block {
                self.finished += 1;
            }
        }
        received
    }

    fn begin(&mut self, received: &mut Received) {
        let frame = &self.splitter;
        match frame.kind() {
            HEADERS => {
                self.open_block = !frame.has(END_HEADERS);
                received.useful += 1;
            }
            CONTINUATION => {
                self.open_block = !frame.has(END_HEADERS);
                received.idle += 1;
            }
            DATA if frame.length() > 0 || frame.has(END_STREAM) => received.useful += 1,
            RST_STREAM => received.resets += 1,
            // Flow control is part of every download.
            WINDOW_UPDATE => {}
            _ => received.idle += 1,
        }
    }

    /// What the client has begun.
    pub(super) fn unfinished(&self) -> Unfinished {
        match self.splitter.kind() {
            _ if self.open_block => Unfinished::Head,
            _ if self.splitter.is_between() => Unfinished::Nothing,
            DATA if self.splitter.read == HEAD => Unfinished::Data,
            _ => Unfinished::Head,
        }
    }

    /// How much it has finished; what is unfinished at the same count is the same.
    pub(super) fn finished(&self) -> u64 {
        self.finished
    }
}

/// Our frames.
#[derive(Debug, Default)]
pub(super) struct Outgoing {
    splitter: Splitter,
    /// The end of the payload so far: the error code is there.
    code: [u8; 8],
    payload: usize,
}

impl Outgoing {
    /// Reads on.
    pub(super) fn feed(&mut self, bytes: &[u8]) -> Sent {
        let mut sent = Sent::default();
        let mut at = 0;
        while at < bytes.len() {
            let part = self.splitter.next(&bytes[at..]);
            if part.begins {
                self.payload = 0;
                sent.data += u32::from(self.splitter.kind() == DATA);
            }
            for byte in &bytes[at + part.taken - part.payload..at + part.taken] {
                if self.payload == self.code.len() {
                    break;
                }
                self.code[self.payload] = *byte;
                self.payload += 1;
            }
            at += part.taken;
            if self.splitter.ends() {
                match self.splitter.kind() {
                    RST_STREAM if self.refuses(0) => sent.refused_streams += 1,
                    GOAWAY if self.refuses(4) => sent.refused_connection = true,
                    _ => {}
                }
            }
        }
        sent
    }

    fn refuses(&self, at: usize) -> bool {
        let [a, b, c, d] = [0, 1, 2, 3].map(|n| self.code[at + n]);
        self.payload >= at + 4 && REFUSALS.contains(&u32::from_be_bytes([a, b, c, d]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        let mut frame = vec![length[1], length[2], length[3], kind, flags];
        frame.extend_from_slice(&stream.to_be_bytes());
        frame.extend_from_slice(payload);
        frame
    }

    fn received(bytes: &[u8], cut: usize) -> (Received, Incoming) {
        let mut incoming = Incoming::new();
        let mut all = Received::default();
        for part in bytes.chunks(cut) {
            let seen = incoming.feed(part);
            all.idle += seen.idle;
            all.resets += seen.resets;
            all.useful += seen.useful;
        }
        (all, incoming)
    }

    #[test]
    fn frames_are_counted_by_what_they_cost_however_they_are_cut() {
        let bytes = [
            PREFACE.to_vec(),
            frame(4, 0, 0, b""),
            frame(HEADERS, 0, 1, b"abc"),
            frame(CONTINUATION, END_HEADERS, 1, b"d"),
            frame(DATA, 0, 1, b""),
            frame(DATA, END_STREAM, 1, b""),
            frame(DATA, 0, 3, &[0; 300]),
            frame(6, 0, 0, b"12345678"),
            frame(WINDOW_UPDATE, 0, 0, b"\0\0\0\x01"),
            frame(RST_STREAM, 0, 1, b"\0\0\0\x08"),
            frame(0x42, 0, 0, b"grease"),
        ]
        .concat();
        for cut in [1, 2, 7, 9, 10, 64, bytes.len()] {
            let (seen, incoming) = received(&bytes, cut);
            assert_eq!(seen, Received { idle: 5, resets: 1, useful: 3 }, "{cut}");
            assert_eq!(incoming.unfinished(), Unfinished::Nothing);
        }
    }

    #[test]
    fn what_is_half_there_is_known() {
        let unfinished = |bytes: &[u8]| received(&[PREFACE, bytes].concat(), 3).1.unfinished();
        assert_eq!(unfinished(b""), Unfinished::Nothing);
        assert_eq!(unfinished(b"\0\0"), Unfinished::Head);
        let block = frame(HEADERS, 0, 1, b"abc");
        assert_eq!(unfinished(&block), Unfinished::Head, "its CONTINUATION is missing");
        assert_eq!(unfinished(&block[..10]), Unfinished::Head);
        let data = frame(DATA, 0, 1, b"abc");
        assert_eq!(unfinished(&data[..4]), Unfinished::Head);
        assert_eq!(unfinished(&data[..10]), Unfinished::Data);
        assert_eq!(unfinished(&data), Unfinished::Nothing);
    }

    #[test]
    fn a_header_block_is_one_thing_to_finish() {
        let (_, incoming) = received(&[PREFACE, &frame(HEADERS, 0, 1, b"a")].concat(), 64);
        let before = incoming.finished();
        let mut incoming = incoming;
        incoming.feed(&frame(CONTINUATION, 0, 1, b"b"));
        assert_eq!(incoming.finished(), before);
        incoming.feed(&frame(CONTINUATION, END_HEADERS, 1, b"c"));
        assert_eq!(incoming.finished(), before + 1);
    }

    #[test]
    fn refusals_are_told_from_ends() {
        let bytes = [
            frame(RST_STREAM, 0, 1, b"\0\0\0\x01"),
            frame(RST_STREAM, 0, 3, b"\0\0\0\x08"),
            frame(RST_STREAM, 0, 5, b"\0\0\0\0"),
            frame(DATA, 0, 7, b"body"),
            frame(GOAWAY, 0, 0, b"\0\0\0\x07\0\0\0\0"),
        ]
        .concat();
        let goaway = frame(GOAWAY, 0, 0, b"\0\0\0\x07\0\0\0\x0btoo_many");
        for cut in [1, 5, 9, 13, bytes.len()] {
            let mut outgoing = Outgoing::default();
            let mut all = Sent::default();
            for part in [&bytes[..], &goaway].concat().chunks(cut) {
                let sent = outgoing.feed(part);
                all.data += sent.data;
                all.refused_streams += sent.refused_streams;
                all.refused_connection |= sent.refused_connection;
            }
            assert_eq!(all, Sent { data: 1, refused_streams: 1, refused_connection: true }, "{cut}");
        }
        assert!(!Outgoing::default().feed(&frame(GOAWAY, 0, 0, b"\0\0\0\x07\0\0\0\0")).refused_connection);
    }
}

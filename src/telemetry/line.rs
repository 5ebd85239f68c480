//! One JSON object in one line, written by hand into a buffer that is used again (`threats.md` OM-5).
//!
//! **Invariant:** a line is printable ASCII. Text from outside is escaped and cut, so that it neither ends a line
//! nor changes how a terminal or an editor shows it.

use std::cell::RefCell;
use std::fmt;
use std::io::Write;

use portvakt_core::clock::Timestamp;

/// The most bytes of a text from outside, before it is escaped.
pub(super) const MAX_TEXT: usize = 256;

/// A line that is being written. The keys are ours and plain.
pub(super) struct Line<'a>(&'a mut Vec<u8>);

/// Makes a line and hands it over, newline included.
pub(super) fn with_line<T>(
    kind: &str,
    time: Timestamp,
    fill: impl FnOnce(&mut Line<'_>),
    hand_over: impl FnOnce(&[u8]) -> T,
) -> T {
    thread_local! {
        static BUFFER: RefCell<Vec<u8>> = RefCell::new(Vec::with_capacity(1024));
    }
    BUFFER.with_borrow_mut(|buffer| {
        buffer.clear();
        buffer.extend_from_slice(b"{\"time\":\"");
        write_time(buffer, time);
        buffer.push(b'"');
        let mut line = Line(buffer);
        line.word("kind", kind);
        fill(&mut line);
        buffer.extend_from_slice(b"}\n");
        hand_over(buffer)
    })
}

impl Line<'_> {
    /// A word of ours: letters, digits and punctuation that JSON does not escape.
    pub(super) fn word(&mut self, key: &str, word: &str) {
        debug_assert!(word.bytes().all(is_plain), "not a word: {word:?}");
        self.key(key);
        self.0.push(b'"');
        self.0.extend_from_slice(word.as_bytes());
        self.0.push(b'"');
    }

    /// Text from outside, of which at most `max` bytes are kept.
    pub(super) fn text(&mut self, key: &str, text: &str, max: usize) {
        self.key(key);
        self.0.push(b'"');
        let mut end = text.len().min(max);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        escape(self.0, &text[..end]);
        if end < text.len() {
            self.0.extend_from_slice(b"...");
        }
        self.0.push(b'"');
    }

    /// A number.
    pub(super) fn number(&mut self, key: &str, number: u64) {
        self.key(key);
        let mut digits = [0; 20];
        let mut at = digits.len();
        let mut rest = number;
        loop {
            at -= 1;
            digits[at] = b'0' + (rest % 10) as u8;
            rest /= 10;
            if rest == 0 {
                break;
            }
        }
        self.0.extend_from_slice(&digits[at..]);
    }

    /// A value of ours whose text JSON does not escape, such as an address.
    pub(super) fn display(&mut self, key: &str, value: impl fmt::Display) {
        self.key(key);
        let start = self.0.len();
        // Writing to memory cannot fail.
        let _ = write!(self.0, "\"{value}\"");
        debug_assert!(self.0[start + 1..self.0.len() - 1].iter().copied().all(is_plain));
    }

    /// Bytes in hexadecimal digits.
    pub(super) fn hex(&mut self, key: &str, bytes: &[u8]) {
        self.key(key);
        self.0.push(b'"');
        for byte in bytes {
            self.0.extend_from_slice(&[HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
        }
        self.0.push(b'"');
    }

    /// `true`.
    pub(super) fn flag(&mut self, key: &str) {
        self.key(key);
        self.0.extend_from_slice(b"true");
    }

    fn key(&mut self, key: &str) {
        self.0.extend_from_slice(b",\"");
        self.0.extend_from_slice(key.as_bytes());
        self.0.extend_from_slice(b"\":");
    }
}

const HEX: &[u8; 16] = b"0123456789abcdef";

/// Whether a byte stands for itself in a JSON string (RFC 8259, 7), in printable ASCII.
fn is_plain(byte: u8) -> bool {
    matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\'
}

fn escape(out: &mut Vec<u8>, text: &str) {
    if text.bytes().all(is_plain) {
        out.extend_from_slice(text.as_bytes());
        return;
    }
    for character in text.chars() {
        match u8::try_from(character) {
            Ok(byte) if is_plain(byte) => out.push(byte),
            _ => {
                for unit in character.encode_utf16(&mut [0; 2]) {
                    let _ = write!(out, "\\u{unit:04x}");
                }
            }
        }
    }
}

/// RFC 3339 with milliseconds, in UTC.
pub(crate) fn rfc3339(time: Timestamp) -> String {
    let mut out = Vec::with_capacity(24);
    write_time(&mut out, time);
    String::from_utf8_lossy(&out).into_owned()
}

fn write_time(out: &mut Vec<u8>, time: Timestamp) {
    thread_local! {
        /// The last second and its text, up to the fraction: lines of one second share it.
        static SECOND: RefCell<(u64, Vec<u8>)> = const { RefCell::new((u64::MAX, Vec::new())) };
    }
    SECOND.with_borrow_mut(|(second, text)| {
        if *second != time.seconds() {
            *second = time.seconds();
            text.clear();
            // The year 9999 for what lies beyond.
            let shown = i64::try_from(*second)
                .ok()
                .and_then(|second| jiff::Timestamp::from_second(second).ok())
                .unwrap_or(jiff::Timestamp::MAX);
            let _ = write!(text, "{shown:.0}");
            text.truncate("2026-01-01T00:00:00".len());
        }
        out.extend_from_slice(text);
    });
    let millis = time.millis() % 1000;
    let digit = |value: u64| b'0' + (value % 10) as u8;
    out.extend_from_slice(&[b'.', digit(millis / 100), digit(millis / 10), digit(millis), b'Z']);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn line(fill: impl FnOnce(&mut Line<'_>)) -> String {
        let text = with_line("test", Timestamp::from_millis(1_790_000_000_007), fill, <[u8]>::to_vec);
        String::from_utf8(text).unwrap()
    }

    fn parsed(line: &str) -> serde_json::Value {
        assert!(line.ends_with('\n') && line.bytes().filter(|byte| *byte == b'\n').count() == 1, "{line:?}");
        assert!(line.trim_end_matches('\n').bytes().all(|byte| matches!(byte, b' '..=b'~')), "{line:?}");
        serde_json::from_str(line).unwrap()
    }

    #[test]
    fn a_line_has_a_time_to_the_millisecond() {
        assert_eq!(line(|_| ()), "{\"time\":\"2026-09-21T14:13:20.007Z\",\"kind\":\"test\"}\n");
        assert_eq!(rfc3339(Timestamp::from_millis(0)), "1970-01-01T00:00:00.000Z");
        assert_eq!(rfc3339(Timestamp::from_millis(1_709_164_799_999)), "2024-02-28T23:59:59.999Z");
        assert_eq!(rfc3339(Timestamp::from_millis(1_709_164_800_000)), "2024-02-29T00:00:00.000Z");
        assert!(rfc3339(Timestamp::from_millis(u64::MAX)).starts_with("9999-12-"));
    }

    #[test]
    fn a_text_is_cut_between_characters_and_shows_it() {
        let value = parsed(&line(|line| line.text("text", "åååå", 5)));
        assert_eq!(value["text"], "åå...");
        assert_eq!(parsed(&line(|line| line.text("text", "åå", 4)))["text"], "åå");
    }

    #[test]
    fn numbers_and_bytes_are_as_they_are() {
        let value = parsed(&line(|line| {
            line.number("zero", 0);
            line.number("most", u64::MAX);
            line.hex("hex", &[0x00, 0x9f, 0xff]);
            line.flag("flag");
        }));
        assert_eq!((value["zero"].as_u64(), value["most"].as_u64()), (Some(0), Some(u64::MAX)));
        assert_eq!((value["hex"].as_str(), value["flag"].as_bool()), (Some("009fff"), Some(true)));
    }

    proptest! {
        #[test]
        fn any_text_comes_back_from_one_line_of_printable_ascii(text in any::<String>()) {
            let value = parsed(&line(|line| line.text("text", &text, usize::MAX)));
            prop_assert_eq!(value["text"].as_str(), Some(text.as_str()));
        }
    }
}

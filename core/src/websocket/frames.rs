//! Where one frame of the app ends and the next begins (RFC 6455, 5.2), so that a close frame of ours can stand between
//! two of them.
//!
//! A frame of up to [`WHOLE`] bytes is passed on when all of it has come; of a longer one everything is passed on as it
//! comes. So an app that stops in the middle of a usual frame is never the reason for half a frame at the client.
//!
//! **Invariant:** the bytes that are passed on are the bytes that came, in their order.

/// The longest frame that is passed on only when it is whole, header included.
const WHOLE: u64 = 64 * 1024;

/// Follows the frames in one direction.
#[derive(Debug, Default)]
pub struct Frames {
    held: Vec<u8>,
    /// What is left of a long frame whose beginning has been passed on.
    left: u64,
}

impl Frames {
    /// Takes bytes as they came; returns those to pass on, perhaps none.
    pub fn pass(&mut self, bytes: &[u8]) -> Vec<u8> {
        self.held.extend_from_slice(bytes);
        let mut passed = 0;
        loop {
            let rest = &self.held[passed..];
            if self.left > 0 {
                let now = usize::try_from(self.left).unwrap_or(usize::MAX).min(rest.len());
                passed += now;
                self.left -= now as u64;
                if self.left > 0 {
                    break;
                }
                continue;
            }
            match length(rest) {
                Some(length) if length > WHOLE => self.left = length,
                Some(length) if length <= rest.len() as u64 => passed += usize::try_from(length).unwrap_or(0),
                _ => break,
            }
        }
        let rest = self.held.split_off(passed);
        std::mem::replace(&mut self.held, rest)
    }

    /// Of bytes that came, those that end a frame of which the beginning was passed on; the others are forgotten.
    pub fn finish<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let rest = usize::try_from(self.left).unwrap_or(usize::MAX).min(bytes.len());
        self.left -= rest as u64;
        &bytes[..rest]
    }

    /// Whether all that was passed on are whole frames.
    #[must_use]
    pub fn is_at_boundary(&self) -> bool {
        self.left == 0
    }
}

/// The length of the frame that begins here, header included; `None` if not enough of it has come to tell.
fn length(frame: &[u8]) -> Option<u64> {
    let second = *frame.get(1)?;
    let (extended, payload) = match second & 0x7f {
        126 => (2, u64::from(u16::from_be_bytes(frame.get(2..4)?.try_into().ok()?))),
        127 => (8, u64::from_be_bytes(frame.get(2..10)?.try_into().ok()?)),
        short => (0, u64::from(short)),
    };
    let mask = if second & 0x80 == 0 { 0 } else { 4 };
    Some(payload.saturating_add(2 + extended + mask))
}

/// A close frame of a server (RFC 6455, 5.5.1): `code` and a few words.
#[must_use]
pub fn close(code: u16, reason: &str) -> Vec<u8> {
    // A control frame has at most 125 bytes.
    let reason = &reason.as_bytes()[..reason.len().min(123)];
    let length = u8::try_from(2 + reason.len()).unwrap_or(2);
    [&[0x88, length], &code.to_be_bytes()[..], reason].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(length: usize) -> Vec<u8> {
        let mut frame = vec![0x82];
        match length {
            0..=125 => frame.push(length as u8),
            126..=65535 => {
                frame.push(126);
                frame.extend((length as u16).to_be_bytes());
            }
            _ => {
                frame.push(127);
                frame.extend((length as u64).to_be_bytes());
            }
        }
        frame.extend((0..length).map(|at| at as u8));
        frame
    }

    #[test]
    fn what_is_passed_on_is_what_came_however_it_was_split() {
        let lengths = [0, 1, 125, 126, 127, 4000, 65_531, 65_532, 65_535, 65_536, 200_000, 3];
        let bytes: Vec<u8> = lengths.iter().flat_map(|length| frame(*length)).collect();
        for cut in [1, 2, 3, 7, 1000, 65_536, bytes.len()] {
            let mut frames = Frames::default();
            let mut passed = Vec::new();
            let mut boundaries = vec![0];
            boundaries.extend(lengths.iter().scan(0, |at, length| {
                *at += frame(*length).len();
                Some(*at)
            }));
            for part in bytes.chunks(cut) {
                passed.extend(frames.pass(part));
                assert_eq!(frames.is_at_boundary(), boundaries.contains(&passed.len()), "cut {cut}");
            }
            assert!(passed == bytes && frames.is_at_boundary(), "cut {cut}");
        }
    }

    #[test]
    fn half_a_usual_frame_stays_here_and_half_a_long_one_does_not() {
        let mut frames = Frames::default();
        assert!(frames.pass(&frame(1000)[..500]).is_empty());
        assert!(frames.is_at_boundary());
        let mut frames = Frames::default();
        assert_eq!(frames.pass(&frame(100_000)[..500]).len(), 500);
        assert!(!frames.is_at_boundary());
        assert_eq!(frames.finish(&[0; 200_000]).len(), frame(100_000).len() - 500);
        assert!(frames.is_at_boundary());
        // A length that no frame has: it never ends, and nothing overflows.
        let mut frames = Frames::default();
        assert_eq!(frames.pass(&[0x82, 127, 255, 255, 255, 255, 255, 255, 255, 255, 1]).len(), 11);
        assert!(!frames.is_at_boundary());
    }

    #[test]
    fn a_close_frame_says_why() {
        assert_eq!(close(1008, "ab"), [0x88, 4, 0x03, 0xf0, b'a', b'b']);
        assert_eq!(close(1001, &"x".repeat(500)).len(), 127);
    }
}

//! Bytes in pieces, as networks and attackers cut them. The cuts are drawn from a seed, so that a failure comes again.

/// How bytes are cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cuts {
    /// Not at all.
    Whole,
    /// Behind every byte.
    Each,
    /// Once, behind so many bytes.
    At(usize),
    /// At places drawn from this seed.
    Drawn(u64),
}

/// More pieces would only take longer.
const MOST: usize = 3_000;

impl Cuts {
    /// The pieces.
    pub(super) fn pieces(self, bytes: &[u8]) -> Vec<&[u8]> {
        match self {
            Self::Whole => vec![bytes],
            Self::Each => {
                let (first, rest) = bytes.split_at(bytes.len().min(MOST));
                first.chunks(1).chain([rest]).filter(|piece| !piece.is_empty()).collect()
            }
            Self::At(at) => {
                let (first, rest) = bytes.split_at(at.min(bytes.len()));
                [first, rest].into_iter().filter(|piece| !piece.is_empty()).collect()
            }
            Self::Drawn(seed) => {
                let (mut pieces, mut rest, mut state) = (Vec::new(), bytes, seed | 1);
                while !rest.is_empty() {
                    // xorshift64: no randomness that matters.
                    state ^= state << 13;
                    state ^= state >> 7;
                    state ^= state << 17;
                    let most = if pieces.len() < MOST { 40 } else { u64::MAX };
                    let length = usize::try_from(1 + state % most).unwrap_or(usize::MAX).min(rest.len());
                    let (piece, more) = rest.split_at(length);
                    pieces.push(piece);
                    rest = more;
                }
                pieces
            }
        }
    }
}

#[test]
fn pieces_are_the_whole() {
    let bytes: Vec<u8> = (0..=255).cycle().take(10_000).collect();
    for cuts in
        [Cuts::Whole, Cuts::Each, Cuts::At(0), Cuts::At(77), Cuts::At(99_999), Cuts::Drawn(0), Cuts::Drawn(7)]
    {
        assert_eq!(cuts.pieces(&bytes).concat(), bytes);
    }
}

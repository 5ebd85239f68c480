//! Records in a file: each in a frame of its own, found again behind whatever was torn or damaged.
//!
//! `"PvR" | length (1) | record | checksum (4)`. The checksum is SHA-256 over all that precedes it, cut; it
//! tells what was torn from what was altered, which the record's own MAC shows.
//!
//! **Invariant:** every frame has one length. So bytes that only look like the beginning of a frame never hide
//! a whole one behind them, and a torn frame is never merged with the next.

use aws_lc_rs::digest::{SHA256, digest};

use super::record::{Bytes, LENGTH};

/// The length of a frame in bytes.
pub(super) const FRAME: usize = HEAD.len() + LENGTH + CHECKSUM;

const HEAD: [u8; 4] = [b'P', b'v', b'R', LENGTH as u8];
const CHECKSUM: usize = 4;

/// What stands in a piece of a file.
#[derive(Debug, Default)]
pub(super) struct Scan {
    /// The records, each with the place of its frame in the piece.
    pub(super) records: Vec<(usize, Bytes)>,
    /// How much of the piece is done with; the rest may be the beginning of a frame.
    pub(super) done: usize,
    /// How many bytes belong to no frame.
    pub(super) skipped: usize,
    /// How many times so much was skipped in a row that a whole frame may have been there.
    pub(super) damaged: u64,
}

/// Appends a record's frame.
pub(super) fn push(record: &Bytes, to: &mut Vec<u8>) {
    let begin = to.len();
    to.extend_from_slice(&HEAD);
    to.extend_from_slice(record);
    let sum = checksum(&to[begin..]);
    to.extend_from_slice(&sum);
}

/// Reads the frames of a piece. `run` is how much was skipped in a row before it, and is carried on.
pub(super) fn scan(piece: &[u8], run: &mut usize) -> Scan {
    let mut scan = Scan::default();
    while scan.done < piece.len() {
        let rest = &piece[scan.done..];
        if let Some(record) = whole(rest) {
            scan.records.push((scan.done, record));
            scan.done += FRAME;
            *run = 0;
        } else if rest.len() < FRAME && begins(rest) {
            break;
        } else {
            let skipped = 1 + rest[1..].iter().position(|byte| *byte == HEAD[0]).unwrap_or(rest.len() - 1);
            scan.done += skipped;
            scan.skipped += skipped;
            scan.damaged += u64::from(*run < FRAME && *run + skipped >= FRAME);
            *run += skipped;
        }
    }
    scan
}

fn whole(bytes: &[u8]) -> Option<Bytes> {
    let (signed, sum) = bytes.get(..FRAME)?.split_at(FRAME - CHECKSUM);
    let record = signed.strip_prefix(&HEAD)?;
    (checksum(signed) == sum).then(|| record.try_into().expect("the rest of a frame is a record"))
}

fn begins(bytes: &[u8]) -> bool {
    bytes.iter().zip(HEAD).all(|(byte, expected)| *byte == expected)
}

fn checksum(bytes: &[u8]) -> [u8; CHECKSUM] {
    digest(&SHA256, bytes).as_ref()[..CHECKSUM].try_into().expect("SHA-256 is longer")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn framed(record: &Bytes) -> Vec<u8> {
        let mut frame = Vec::new();
        push(record, &mut frame);
        frame
    }

    #[test]
    fn a_torn_frame_is_waited_for_and_never_merged_with_the_next() {
        let (one, two) = ([1; LENGTH], [2; LENGTH]);
        for end in 0..FRAME {
            let mut bytes = framed(&one)[..end].to_vec();
            let scanned = scan(&bytes, &mut 0);
            assert_eq!((scanned.done, scanned.records.len()), (0, 0), "{end}");
            bytes.extend(framed(&two));
            let scanned = scan(&bytes, &mut 0);
            assert_eq!(scanned.records, [(end, two)]);
            assert_eq!((scanned.done, scanned.skipped, scanned.damaged), (bytes.len(), end, 0));
        }
    }

    proptest! {
        /// Whatever stands between frames, also pieces of frames, and wherever it is cut into pieces.
        #[test]
        fn every_whole_frame_is_found(
            parts in prop::collection::vec((any::<u8>(), 0..FRAME, any::<bool>()), 0..12),
            cut in 1usize..400,
        ) {
            let (mut bytes, mut expected) = (Vec::new(), Vec::new());
            for (fill, torn, random) in parts {
                let garbage = if random { vec![fill; torn] } else { framed(&[fill; LENGTH])[..torn].to_vec() };
                bytes.extend(garbage);
                bytes.extend(framed(&[fill; LENGTH]));
                expected.push([fill; LENGTH]);
            }
            let (mut found, mut done, mut run) = (Vec::new(), 0, 0);
            for end in (0..=bytes.len()).step_by(cut).chain([bytes.len()]) {
                let scanned = scan(&bytes[done..end], &mut run);
                done += scanned.done;
                found.extend(scanned.records.into_iter().map(|(_, record)| record));
            }
            prop_assert_eq!(found, expected);
        }

        #[test]
        fn a_damaged_frame_is_noticed_wherever_it_is_cut(at in 0..FRAME, bit in 0u8..8, cut in 1usize..200) {
            let mut bytes = [framed(&[1; LENGTH]), framed(&[2; LENGTH]), framed(&[3; LENGTH])].concat();
            bytes[FRAME + at] ^= 1 << bit;
            let (mut found, mut done, mut run, mut damaged) = (0, 0, 0, 0);
            for end in (0..=bytes.len()).step_by(cut).chain([bytes.len()]) {
                let scanned = scan(&bytes[done..end], &mut run);
                done += scanned.done;
                found += scanned.records.len();
                damaged += scanned.damaged;
            }
            prop_assert_eq!((found, damaged), (2, 1));
        }
    }
}

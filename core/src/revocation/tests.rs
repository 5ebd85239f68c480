//! The file of ended sessions against a naive list, torn, full, shared and gone.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::identity::resume::tests::identity;

const BEGAN: Timestamp = Timestamp::from_seconds(1_000_000);
const BOOT: [u8; 16] = [1; 16];
const LONGEST: Duration = Duration::from_secs(7200);
const MAX_GAP: Duration = Duration::from_secs(60);
const SETTINGS: Settings = Settings {
    longest: LONGEST,
    max_gap: MAX_GAP,
    max_lag: Duration::from_secs(5),
    unproven: 1000,
    shared: false,
};

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn ring() -> Ring<MacKey> {
    Ring::single(KeyId([1; 4]), Timestamp::from_seconds(0), MacKey::new(&[3; 32]))
}

/// A folder of a test's own.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        let name = format!("portvakt-revocations-{}", u64::from_ne_bytes(crate::seal::random()));
        let folder = std::env::temp_dir().join(name);
        std::fs::create_dir(&folder).unwrap();
        Self(folder)
    }

    fn log(&self) -> PathBuf {
        self.0.join("revocations.log")
    }

    fn open(&self, now: Timestamp) -> Revocations {
        open(&self.log(), BOOT, now)
    }

    fn frames(&self) -> usize {
        frame::scan(&std::fs::read(self.log()).unwrap(), &mut 0).records.len()
    }

    fn append(&self, bytes: &[u8]) {
        let mut content = std::fs::read(self.log()).unwrap();
        content.extend_from_slice(bytes);
        std::fs::write(self.log(), content).unwrap();
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn open(path: &Path, boot: [u8; 16], now: Timestamp) -> Revocations {
    Revocations::open(Box::new(FileLog::new(path.to_owned())), SETTINGS, boot, &ring(), now)
}

/// A session of the provider's session number `sid`.
fn session(sid: u64, began: Timestamp) -> Session {
    let ring = ring();
    let id = SessionId::random();
    let tags =
        Tagger::active(&ring, began).tags(&id, "idporten", "https://op", Some(&sid.to_string()), "sub");
    Session::begin(id, tags, identity(began.seconds()), began)
}

fn op_session(sid: u64) -> Tag {
    Tagger::active(&ring(), BEGAN).op_session("idporten", "https://op", &sid.to_string())
}

fn end_tag(to: &Revocations, kind: Kind, tag: Tag, proof: Proof, at: Timestamp) -> Result<(), NotWritten> {
    let ring = ring();
    let key = ring.active(at);
    to.end(kind, tag, proof, (key.id, &key.key), at)
}

fn end(to: &Revocations, sid: u64, at: Timestamp) -> Result<(), NotWritten> {
    end_tag(to, Kind::OpSession, op_session(sid), Proof::Proven, at)
}

fn source(address: &str) -> Proof {
    Proof::Unproven(Tagger::active(&ring(), BEGAN).source(address.parse().unwrap()))
}

fn is_ended(at: &Revocations, sid: u64) -> bool {
    at.check(&session(sid, BEGAN)) == Err(Ended::Revoked)
}

#[test]
fn an_ended_session_is_over_and_its_neighbours_are_not() {
    let folder = Folder::new();
    let revocations = folder.open(BEGAN);
    let (one, other) = (session(1, BEGAN), session(2, BEGAN));
    assert_eq!(revocations.check(&one), Ok(()));
    end_tag(&revocations, Kind::Session, one.tags().session, Proof::Proven, BEGAN).unwrap();
    assert_eq!(revocations.check(&one), Err(Ended::Revoked));
    assert_eq!(revocations.check(&other), Ok(()));
}

#[test]
fn the_end_of_a_providers_session_ends_what_was_authenticated_until_then() {
    let folder = Folder::new();
    let revocations = folder.open(BEGAN);
    end(&revocations, 1, BEGAN + Duration::from_millis(500_900)).unwrap();
    let of = |sid, after| revocations.check(&session(sid, BEGAN + seconds(after)));
    assert_eq!(of(1, 0), Err(Ended::Revoked));
    assert_eq!(of(1, 500), Err(Ended::Revoked));
    assert_eq!(of(1, 501), Ok(()));
    assert_eq!(of(2, 0), Ok(()));
}

/// A provider's clock may be some seconds ahead of ours, and a person may log out before ours has caught up.
#[test]
fn a_clock_of_the_provider_that_is_ahead_saves_no_session() {
    let folder = Folder::new();
    let revocations = folder.open(BEGAN);
    let session = |began: Timestamp| {
        let ring = ring();
        let id = SessionId::random();
        let tags = Tagger::active(&ring, began).tags(&id, "idporten", "https://op", Some("1"), "sub");
        Session::begin(id, tags, identity(began.seconds() + 9), began)
    };
    end(&revocations, 1, BEGAN + seconds(3)).unwrap();
    assert_eq!(revocations.check(&session(BEGAN)), Err(Ended::Revoked));
    assert_eq!(revocations.check(&session(BEGAN + seconds(4))), Ok(()));
}

#[test]
fn the_end_of_a_subject_ends_all_that_it_began() {
    let folder = Folder::new();
    let revocations = folder.open(BEGAN);
    let subject = session(1, BEGAN).tags().subject;
    end_tag(&revocations, Kind::Subject, subject, Proof::Proven, BEGAN + seconds(5)).unwrap();
    assert!(is_ended(&revocations, 1) && is_ended(&revocations, 2));
    assert_eq!(revocations.check(&session(1, BEGAN + seconds(6))), Ok(()));
}

#[test]
fn a_session_from_before_our_knowledge_is_not_accepted() {
    let folder = Folder::new();
    let revocations = folder.open(BEGAN + Duration::from_millis(1));
    assert_eq!(revocations.check(&session(1, BEGAN)), Err(Ended::BeforeKnowledge));
}

#[test]
fn an_entry_is_forgotten_in_view_and_file_only_when_no_session_can_carry_it() {
    let folder = Folder::new();
    let revocations = folder.open(BEGAN);
    end(&revocations, 1, BEGAN).unwrap();
    let mut now = BEGAN;
    while now < BEGAN + LONGEST + MARGIN - seconds(50) {
        now = now + seconds(50);
        revocations.tend(&ring(), now);
        assert!(is_ended(&revocations, 1));
    }
    let expired = BEGAN + LONGEST + MARGIN + seconds(121);
    revocations.tend(&ring(), expired);
    assert!(revocations.is_empty());
    locked(&revocations.reader).broken = true;
    revocations.tend(&ring(), expired);
    assert_eq!(folder.frames(), 2, "two heartbeats");
}

#[test]
fn a_restart_forgets_nothing_and_everybody_stays_logged_in() {
    let folder = Folder::new();
    let before = folder.open(BEGAN);
    end(&before, 1, BEGAN).unwrap();
    end_tag(&before, Kind::OpSession, op_session(2), source("192.0.2.1"), BEGAN).unwrap();
    drop(before);
    let after = folder.open(BEGAN + MAX_GAP);
    assert_eq!(after.known_since(), BEGAN);
    assert!(is_ended(&after, 1) && is_ended(&after, 2));
    assert_eq!(after.check(&session(3, BEGAN)), Ok(()));
    assert_eq!(after.alarms(), Alarms::default());
}

#[test]
fn without_a_sign_of_life_in_time_nothing_earlier_is_believed() {
    let now = BEGAN + seconds(1000);
    let gone = |change: &dyn Fn(&Folder), boot, pause| {
        let folder = Folder::new();
        let revocations = folder.open(BEGAN);
        end(&revocations, 1, BEGAN).unwrap();
        for step in 1..=100 {
            revocations.tend(&ring(), BEGAN + seconds(10 * step));
        }
        drop(revocations);
        change(&folder);
        let after = open(&folder.log(), boot, now + pause);
        assert_ne!(after.check(&session(1, BEGAN)), Ok(()));
        // And once it has been written anew, the next start believes it.
        assert_eq!(folder.open(now + pause + seconds(1)).known_since() == after.known_since(), boot == BOOT);
        after.known_since() == now + pause
    };
    assert!(!gone(&|_| {}, BOOT, seconds(60)));
    assert!(gone(&|_| {}, BOOT, seconds(61)), "a gap");
    assert!(gone(&|_| {}, [2; 16], seconds(1)), "another boot");
    assert!(gone(&|folder| std::fs::remove_file(folder.log()).unwrap(), BOOT, seconds(1)), "removed");
    assert!(gone(&|folder| std::fs::write(folder.log(), "").unwrap(), BOOT, seconds(1)), "emptied");
    assert!(gone(&|folder| std::fs::write(folder.log(), [7; 999]).unwrap(), BOOT, seconds(1)), "garbage");
    assert!(!gone(&|folder| folder.append(b"PvRtorn"), BOOT, seconds(1)), "a torn end");
    let foreign = |folder: &Folder| {
        let mut frame = Vec::new();
        frame::push(&[9; record::LENGTH], &mut frame);
        folder.append(&frame);
    };
    assert!(gone(&foreign, BOOT, seconds(1)), "a foreign record");
    let damage = |frame: usize| {
        move |folder: &Folder| {
            let mut content = std::fs::read(folder.log()).unwrap();
            content[frame * frame::FRAME + 20] ^= 1;
            std::fs::write(folder.log(), content).unwrap();
        }
    };
    for frame in 0..4 {
        assert!(gone(&damage(frame), BOOT, seconds(1)), "damaged at {frame}");
    }
    let cut_out = |folder: &Folder| {
        let ring = ring();
        let content = std::fs::read(folder.log()).unwrap();
        let is_end = |frame: &&[u8]| {
            let record = &frame::scan(frame, &mut 0).records[0].1;
            matches!(Item::decode(record, &ring, BEGAN), Ok(Item::End(_)))
        };
        let kept: Vec<_> = content.chunks(frame::FRAME).filter(|frame| !is_end(frame)).collect();
        assert_eq!(kept.len() + 1, content.len() / frame::FRAME);
        std::fs::write(folder.log(), kept.concat()).unwrap();
    };
    assert!(gone(&cut_out, BOOT, seconds(1)), "a record cut out");
}

#[test]
fn whatever_is_cut_off_what_is_left_is_read_and_nothing_is_invented() {
    let folder = Folder::new();
    let revocations = folder.open(BEGAN);
    for sid in 0..4 {
        end(&revocations, sid, BEGAN).unwrap();
    }
    drop(revocations);
    let content = std::fs::read(folder.log()).unwrap();
    let frames = folder.frames();
    for length in 0..=content.len() {
        std::fs::write(folder.log(), &content[..length]).unwrap();
        let after = folder.open(BEGAN + seconds(1));
        let whole = length / frame::FRAME;
        let ends = whole.saturating_sub(frames - 4);
        for sid in 0..4 {
            // Without a head nothing is believed.
            assert_eq!(is_ended(&after, sid) || whole == 0, sid < ends as u64 || whole == 0, "{length}");
        }
        assert_eq!(after.known_since() == BEGAN, whole > 0, "{length}");
        // Behind the torn end it goes on.
        end(&after, 9, BEGAN + seconds(1)).unwrap();
        drop(after);
        let later = folder.open(BEGAN + seconds(2));
        assert_ne!(later.check(&session(9, BEGAN)), Ok(()), "{length}");
        assert_eq!(later.alarms(), Alarms::default(), "{length}");
    }
}

#[test]
fn what_one_ends_is_over_at_the_other_after_its_next_look() {
    let folder = Folder::new();
    let (one, other) = (folder.open(BEGAN), folder.open(BEGAN));
    for sid in 0..10 {
        end(&one, sid, BEGAN).unwrap();
        locked(&one.reader).broken = sid % 3 == 0;
        one.tend(&ring(), BEGAN + seconds(sid * 2));
        assert!(!is_ended(&other, sid));
        other.tend(&ring(), BEGAN + seconds(sid * 2));
        assert!(is_ended(&other, sid));
    }
    assert_eq!((one.alarms(), other.alarms()), Default::default());
}

#[test]
fn a_repeated_end_does_not_grow_the_file() {
    let folder = Folder::new();
    let revocations = folder.open(BEGAN);
    let proof = source("192.0.2.1");
    end_tag(&revocations, Kind::OpSession, op_session(1), proof, BEGAN).unwrap();
    let length = std::fs::metadata(folder.log()).unwrap().len();
    for _ in 0..1000 {
        end_tag(&revocations, Kind::OpSession, op_session(1), proof, BEGAN).unwrap();
    }
    assert_eq!(std::fs::metadata(folder.log()).unwrap().len(), length);
}

/// Whoever kept a cookie can show it to the logout for as long as they like.
#[test]
fn the_end_of_one_session_is_written_once_whenever_it_is_said_again() {
    let folder = Folder::new();
    let revocations = folder.open(BEGAN);
    let session = session(1, BEGAN);
    let tag = session.tags().session;
    end_tag(&revocations, Kind::Session, tag, Proof::Proven, BEGAN).unwrap();
    let length = std::fs::metadata(folder.log()).unwrap().len();
    for later in 1..10 {
        end_tag(&revocations, Kind::Session, tag, Proof::Proven, BEGAN + seconds(later)).unwrap();
    }
    assert_eq!(std::fs::metadata(folder.log()).unwrap().len(), length);
    assert!(revocations.check(&session).is_err());
}

#[test]
fn a_flood_of_invented_ends_stays_bounded_and_takes_nobody_elses_place() {
    let folder = Folder::new();
    let revocations = folder.open(BEGAN);
    end(&revocations, 1, BEGAN).unwrap();
    end_tag(&revocations, Kind::OpSession, op_session(2), source("198.51.100.1"), BEGAN).unwrap();
    for sid in 100..5000 {
        end_tag(&revocations, Kind::OpSession, op_session(sid), source("192.0.2.1"), BEGAN).unwrap();
        if sid % 500 == 0 {
            revocations.tend(&ring(), BEGAN + seconds(sid / 100));
        }
    }
    revocations.tend(&ring(), BEGAN + seconds(55));
    revocations.tend(&ring(), BEGAN + seconds(57));
    assert_eq!(revocations.len(), 1 + SETTINGS.unproven);
    assert_eq!(revocations.alarms().evicted, 4901 - SETTINGS.unproven as u64);
    let length = std::fs::metadata(folder.log()).unwrap().len();
    assert!(length <= (SLACK + 3 * revocations.len() * frame::FRAME) as u64, "{length}");
    drop(revocations);
    let after = folder.open(BEGAN + seconds(58));
    assert!(is_ended(&after, 1) && is_ended(&after, 2));
}

#[test]
fn what_is_altered_under_a_running_process_is_noticed_and_repaired() {
    let now = BEGAN + seconds(1);
    for change in [
        (|folder: &Folder| std::fs::write(folder.log(), "").unwrap()) as fn(&Folder),
        |folder| std::fs::remove_file(folder.log()).unwrap(),
        |folder| {
            std::fs::remove_file(folder.log()).unwrap();
            std::fs::write(folder.log(), [5; 3000]).unwrap();
        },
    ] {
        let folder = Folder::new();
        let revocations = folder.open(BEGAN);
        end(&revocations, 1, BEGAN).unwrap();
        revocations.tend(&ring(), BEGAN);
        change(&folder);
        revocations.tend(&ring(), now);
        revocations.tend(&ring(), now + seconds(2));
        // Another process may have known more, and it is not asked: everybody logs in again.
        assert_eq!(revocations.known_since(), now);
        assert!(revocations.alarms().missing > 0);
        drop(revocations);
        let after = folder.open(now + seconds(3));
        assert_eq!((after.known_since(), after.len(), after.alarms()), (now, 1, Alarms::default()));
    }
}

#[test]
fn steps_of_the_clock_revive_nobody_and_end_nobody_for_long() {
    let folder = Folder::new();
    let revocations = folder.open(BEGAN);
    end(&revocations, 1, BEGAN).unwrap();
    // A day ahead, and everything is forgotten; then back.
    let day = seconds(86_400);
    revocations.clock_was_set(BEGAN + day);
    revocations.tend(&ring(), BEGAN + day);
    end(&revocations, 2, BEGAN + day).unwrap();
    assert!(!is_ended(&revocations, 1));
    assert_eq!(revocations.known_since(), BEGAN);
    let back = BEGAN + seconds(100);
    revocations.clock_was_set(back);
    revocations.tend(&ring(), back);
    assert_eq!(revocations.check(&session(1, BEGAN)), Err(Ended::BeforeKnowledge));
    assert_eq!(revocations.check(&session(3, back)), Ok(()));
    assert_eq!(revocations.check(&session(2, back)), Err(Ended::Revoked));
    assert_eq!(revocations.check(&session(2, back + seconds(62))), Ok(()));
    drop(revocations);
    // The file speaks of tomorrow: it is not believed, and what it says of ends is.
    let after = folder.open(back + seconds(1));
    assert_eq!(after.known_since(), back + seconds(1));
    assert_eq!(after.check(&session(2, back + seconds(1))), Err(Ended::Revoked));
    assert_eq!(after.check(&session(2, back + seconds(70))), Ok(()));
}

#[test]
fn a_process_that_was_stopped_for_long_knows_nothing_of_before() {
    let folder = Folder::new();
    let revocations = folder.open(BEGAN);
    revocations.tend(&ring(), BEGAN + MAX_GAP);
    assert_eq!(revocations.known_since(), BEGAN);
    // Another listened meanwhile.
    let other = folder.open(BEGAN + MAX_GAP);
    for step in 1..10 {
        other.tend(&ring(), BEGAN + MAX_GAP + seconds(15 * step));
    }
    let now = BEGAN + MAX_GAP + seconds(150);
    revocations.tend(&ring(), now);
    assert_eq!(revocations.known_since(), BEGAN);
    drop(other);
    assert!(revocations.staleness(now + seconds(5)) == seconds(5) && !revocations.is_stale(now + seconds(5)));
    let now = now + seconds(61);
    assert!(revocations.is_stale(now));
    revocations.tend(&ring(), now);
    assert!(!revocations.is_stale(now));
    assert_eq!(revocations.known_since(), now);
}

#[test]
fn a_file_that_cannot_be_written_is_an_alarm_and_what_was_missed_is_written_later() {
    let folder = Folder::new();
    let blocked = folder.0.join("folder");
    std::fs::write(&blocked, "not a folder").unwrap();
    let path = blocked.join("revocations.log");
    let revocations = open(&path, BOOT, BEGAN);
    assert!(!revocations.is_writable());
    end(&revocations, 1, BEGAN).unwrap_err();
    assert!(is_ended(&revocations, 1));
    assert_eq!(revocations.unwritten(), 1);
    assert!(revocations.alarms().failures > 0);
    std::fs::remove_file(&blocked).unwrap();
    let now = BEGAN + seconds(2);
    revocations.tend(&ring(), now);
    revocations.tend(&ring(), now + seconds(2));
    assert!(revocations.is_writable() && revocations.unwritten() == 0);
    drop(revocations);
    let after = open(&path, BOOT, now + seconds(3));
    assert_eq!((after.known_since(), after.len()), (now, 1));
}

#[test]
fn a_full_disk_that_has_room_again_costs_nobody_a_login() {
    let (folder, full) = (Folder::new(), Arc::new(AtomicBool::new(false)));
    let log = Flaky(FileLog::new(folder.log()), Arc::clone(&full), 50);
    let revocations = Revocations::open(Box::new(log), SETTINGS, BOOT, &ring(), BEGAN);
    full.store(true, Ordering::Relaxed);
    end(&revocations, 1, BEGAN).unwrap_err();
    end(&revocations, 2, BEGAN).unwrap_err();
    assert!(!revocations.is_writable() && is_ended(&revocations, 1));
    full.store(false, Ordering::Relaxed);
    revocations.tend(&ring(), BEGAN + seconds(2));
    assert!(revocations.is_writable() && revocations.unwritten() == 0);
    drop(revocations);
    let after = folder.open(BEGAN + seconds(3));
    assert!(is_ended(&after, 1) && is_ended(&after, 2));
    assert_eq!(after.known_since(), BEGAN);
}

#[test]
fn a_file_that_can_only_be_read_is_not_written() {
    let revocations = open(Path::new("/proc/version"), BOOT, BEGAN);
    assert!(!revocations.is_writable());
    end(&revocations, 1, BEGAN).unwrap_err();
    revocations.tend(&ring(), BEGAN + seconds(2));
    assert!(is_ended(&revocations, 1) && !revocations.is_writable());
    assert!(!revocations.is_stale(BEGAN + seconds(2)));
}

/// A moment is nothing to worry about: what had to wait is written as soon as the lock is free, and the log stays
/// one that a restart believes.
#[test]
fn a_file_that_another_process_holds_for_a_moment_is_written_right_after() {
    let folder = Folder::new();
    let revocations = folder.open(BEGAN);
    let at = |millis| BEGAN + Duration::from_millis(millis);
    let other = std::fs::File::open(folder.log()).unwrap();
    other.lock().unwrap();
    // A sign of life can wait.
    revocations.tend(&ring(), at(20_000));
    assert!(revocations.is_writable() && !revocations.is_uncertain(at(20_000)));
    assert!(end(&revocations, 1, at(20_100)).is_err(), "nobody is told that it is done");
    assert!(!revocations.is_writable() && is_ended(&revocations, 1));
    other.unlock().unwrap();
    // The next logout takes along what waits; and so does the next look.
    end(&revocations, 2, at(20_200)).unwrap();
    assert_eq!((revocations.is_writable(), revocations.unwritten()), (true, 0));
    other.lock().unwrap();
    assert!(end(&revocations, 3, at(20_300)).is_err());
    other.unlock().unwrap();
    revocations.tend(&ring(), at(20_350));
    assert_eq!((revocations.is_writable(), revocations.unwritten()), (true, 0));
    drop(revocations);
    let after = folder.open(at(20_400));
    assert_eq!(after.known_since(), BEGAN);
    assert!((1..4).all(|sid| is_ended(&after, sid)));
}

#[test]
fn a_file_that_another_process_keeps_is_an_alarm_and_the_next_start_believes_nothing() {
    let folder = Folder::new();
    let revocations = folder.open(BEGAN);
    let at = |millis| BEGAN + Duration::from_millis(millis);
    let other = std::fs::File::open(folder.log()).unwrap();
    other.lock().unwrap();
    assert!(end(&revocations, 1, at(0)).is_err());
    revocations.tend(&ring(), at(900));
    assert!(!revocations.is_writable());
    revocations.tend(&ring(), at(1_000));
    drop((revocations, other));
    assert_eq!(folder.open(at(1_100)).known_since(), at(1_100));
}

/// Two keys, as after a rotation that one of two replicas has missed.
fn newer_ring(retire_after: Option<Timestamp>) -> Ring<MacKey> {
    let key = |id, active_from, retire_after, byte| RingKey {
        id: KeyId([id; 4]),
        active_from,
        retire_after,
        key: MacKey::new(&[byte; 32]),
    };
    let keys = vec![key(1, Timestamp::from_seconds(0), retire_after, 3), key(2, BEGAN, None, 4)];
    Ring::new(keys).unwrap()
}

fn end_with(to: &Revocations, ring: &Ring<MacKey>, session: &Session, at: Timestamp) {
    let id = session.tags().key;
    let key = ring.by_id(id, at).unwrap();
    // It is written with the key that is active there.
    to.end(Kind::Session, session.tags().session, Proof::Proven, (id, key), at).unwrap();
}

#[test]
fn who_lacks_the_key_of_another_process_believes_nothing_until_it_has_come() {
    let (folder, newer) = (Folder::new(), newer_ring(None));
    let here = folder.open(BEGAN);
    let log = Box::new(FileLog::new(folder.log()));
    let there = Revocations::open(log, SETTINGS, BOOT, &newer, BEGAN + seconds(1));
    assert_eq!(there.known_since(), BEGAN);
    let session = {
        let id = SessionId::random();
        let tags = Tagger::active(&newer, BEGAN).tags(&id, "idporten", "https://op", None, "sub");
        Session::begin(id, tags, identity(BEGAN.seconds()), BEGAN)
    };
    end_with(&there, &newer, &session, BEGAN + seconds(2));
    assert!(!here.is_uncertain(BEGAN + seconds(2)), "it has not been read yet");
    here.tend(&ring(), BEGAN + seconds(2));
    assert_eq!(here.lacking_key(), Some(KeyId([2; 4])));
    assert!(
        here.is_uncertain(BEGAN + seconds(2)) && here.is_writable() && !here.is_stale(BEGAN + seconds(2))
    );
    // Nor is the file written anew by who cannot read it, however often it looks and whatever it lacks.
    locked(&here.reader).broken = true;
    for second in 3..20 {
        here.tend(&ring(), BEGAN + seconds(second));
        assert!(here.is_uncertain(BEGAN + seconds(second)));
    }
    // A reload brings the key.
    here.tend(&newer, BEGAN + seconds(21));
    assert_eq!((here.lacking_key(), here.check(&session)), (None, Err(Ended::Revoked)));
    assert!(!here.is_uncertain(BEGAN + seconds(21)));
    assert_eq!(here.known_since(), BEGAN, "nothing was lost");
}

#[test]
fn what_nobody_here_could_read_and_is_gone_stays_unknown() {
    let (folder, newer) = (Folder::new(), newer_ring(None));
    let here = folder.open(BEGAN);
    let log = Box::new(FileLog::new(folder.log()));
    let there = Revocations::open(log, SETTINGS, BOOT, &newer, BEGAN + seconds(1));
    end_tag(&there, Kind::Session, Tag([9; 16]), Proof::Proven, BEGAN + seconds(2)).unwrap();
    there.tend(&newer, BEGAN + seconds(20));
    here.tend(&ring(), BEGAN + seconds(21));
    assert!(here.is_uncertain(BEGAN + seconds(21)));
    drop(there);
    std::fs::remove_file(folder.log()).unwrap();
    here.tend(&ring(), BEGAN + seconds(22));
    assert_eq!(here.lacking_key(), None);
    assert_eq!(here.known_since(), BEGAN + seconds(22));
}

#[test]
fn a_record_of_a_retired_key_says_nothing_and_alarms_nobody() {
    let folder = Folder::new();
    let before = folder.open(BEGAN);
    end(&before, 1, BEGAN).unwrap();
    drop(before);
    let newer = newer_ring(Some(BEGAN + seconds(10)));
    let log = || Box::new(FileLog::new(folder.log()));
    let there = Revocations::open(log(), SETTINGS, BOOT, &newer, BEGAN + seconds(1));
    there.tend(&newer, BEGAN + seconds(9));
    let after = Revocations::open(log(), SETTINGS, BOOT, &newer, BEGAN + seconds(11));
    assert_eq!((after.alarms().foreign, after.lacking_key(), after.is_empty()), (0, None, true));
    there.tend(&newer, BEGAN + seconds(12));
    assert_eq!((there.alarms().foreign, there.lacking_key()), (0, None));
    // A writer that goes on with the newer key has left nothing out.
    let key = newer.keys().iter().find(|key| key.is_retired(BEGAN + seconds(12))).unwrap();
    let write = |key: &RingKey<MacKey>, tag| {
        there
            .end(Kind::Session, Tag([tag; 16]), Proof::Proven, (key.id, &key.key), BEGAN + seconds(12))
            .unwrap();
    };
    write(newer.active(BEGAN + seconds(12)), 1);
    after.tend(&newer, BEGAN + seconds(12));
    write(key, 2);
    write(newer.active(BEGAN + seconds(12)), 3);
    after.tend(&newer, BEGAN + seconds(13));
    assert_eq!(after.alarms(), Alarms::default());
    let view = after.view.read().unwrap();
    assert_eq!([1, 2, 3].map(|tag| view.find(&Tag([tag; 16])).is_some()), [true, false, true]);
}

/// A log whose disk is full at times.
struct Flaky(FileLog, Arc<AtomicBool>, usize);

impl RevocationLog for Flaky {
    fn append(&self, records: &[Bytes]) -> Result<(), LogError> {
        if !self.1.load(Ordering::Relaxed) {
            return self.0.append(records);
        }
        let mut frame = Vec::new();
        frame::push(&records[0], &mut frame);
        self.0.append_frames(frame[..self.2].to_vec())?;
        Err(std::io::Error::from(std::io::ErrorKind::StorageFull).into())
    }

    fn follow(&self, from: Position) -> Result<Followed, LogError> {
        self.0.follow(from)
    }

    fn replace(&self, from: Position, whole: &[Bytes]) -> Result<(), LogError> {
        if self.1.load(Ordering::Relaxed) {
            return Err(std::io::Error::from(std::io::ErrorKind::StorageFull).into());
        }
        self.0.replace(from, whole)
    }

    fn behead(&self, by: [u8; 8]) -> Result<(), LogError> {
        self.0.behead(by)
    }

    fn head(&self) -> Result<Head, LogError> {
        self.0.head()
    }
}

#[derive(Clone, Debug)]
enum Step {
    End { at: usize, sid: u64, proven: bool },
    Tend { at: usize },
    Rewrite { at: usize },
    Restart { at: usize },
    Torn { length: usize },
    Wait { millis: u64 },
    Fill,
    Free,
    Remove,
    Gap { seconds: u64 },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let at = 0usize..3;
    let step = prop_oneof![
        8 => (at.clone(), 0u64..12, any::<bool>()).prop_map(|(at, sid, proven)| Step::End { at, sid, proven }),
        6 => at.clone().prop_map(|at| Step::Tend { at }),
        2 => at.clone().prop_map(|at| Step::Rewrite { at }),
        2 => at.prop_map(|at| Step::Restart { at }),
        2 => (1usize..frame::FRAME).prop_map(|length| Step::Torn { length }),
        6 => (1u64..9000).prop_map(|millis| Step::Wait { millis }),
        1 => Just(Step::Fill),
        2 => Just(Step::Free),
        1 => Just(Step::Remove),
        1 => (50u64..4000).prop_map(|seconds| Step::Gap { seconds }),
    ];
    prop::collection::vec(step, 1..60)
}

/// Several processes on one file, beside a list that forgets nothing.
struct Model {
    folder: Folder,
    full: Arc<AtomicBool>,
    now: Timestamp,
    processes: Vec<Revocations>,
    /// What was answered: everybody must know it after a look.
    ended: Vec<(u64, Timestamp)>,
    /// What could not be written: who took it must know it, also after a restart.
    taken: Vec<(usize, u64, Timestamp)>,
    /// Something happened that may cost knowledge.
    rough: bool,
}

impl Model {
    fn new() -> Self {
        let mut model = Self {
            folder: Folder::new(),
            full: Arc::default(),
            now: BEGAN,
            processes: Vec::new(),
            ended: Vec::new(),
            taken: Vec::new(),
            rough: false,
        };
        model.processes = (0..3).map(|at| model.process(at)).collect();
        model
    }

    fn process(&self, at: usize) -> Revocations {
        let log = Flaky(FileLog::new(self.folder.log()), Arc::clone(&self.full), 17 * at + 3);
        Revocations::open(Box::new(log), SETTINGS, BOOT, &ring(), self.now)
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::End { at, sid, proven } => {
                let proof = if proven { Proof::Proven } else { source("192.0.2.1") };
                match end_tag(&self.processes[at], Kind::OpSession, op_session(sid), proof, self.now) {
                    Ok(()) => self.ended.push((sid, self.now)),
                    Err(_) => self.taken.push((at, sid, self.now)),
                }
            }
            Step::Tend { at } => self.processes[at].tend(&ring(), self.now),
            Step::Rewrite { at } => {
                locked(&self.processes[at].reader).broken = true;
                self.processes[at].tend(&ring(), self.now);
            }
            Step::Restart { at } => {
                self.now = self.now + Duration::from_millis(1);
                self.processes[at] = self.process(at);
            }
            Step::Torn { length } => {
                let log = FileLog::new(self.folder.log());
                let mut frame = Vec::new();
                frame::push(&[1; record::LENGTH], &mut frame);
                log.append_frames(frame[..length].to_vec()).unwrap();
                // Two in a row look like a destroyed record.
                self.rough = true;
            }
            Step::Wait { millis } => {
                self.now = self.now + Duration::from_millis(millis);
                self.processes.iter().for_each(|process| process.tend(&ring(), self.now));
            }
            Step::Fill => {
                self.full.store(true, Ordering::Relaxed);
                self.rough = true;
            }
            Step::Free => self.full.store(false, Ordering::Relaxed),
            Step::Remove if self.processes.iter().all(Revocations::is_writable) => {
                std::fs::remove_file(self.folder.log()).unwrap();
                self.rough = true;
            }
            Step::Remove => {}
            Step::Gap { seconds } => {
                self.now = self.now + Duration::from_secs(seconds);
                self.rough = true;
            }
        }
    }

    fn check(&self) {
        for (number, process) in self.processes.iter().enumerate() {
            process.tend(&ring(), self.now);
            let mine = self.taken.iter().filter(|(at, ..)| *at == number).map(|(_, sid, at)| (*sid, *at));
            let ended: Vec<_> = self.ended.iter().copied().chain(mine).collect();
            let somebody: Vec<_> =
                self.ended.iter().copied().chain(self.taken.iter().map(|(_, sid, at)| (*sid, *at))).collect();
            if !self.rough {
                assert_eq!(process.known_since(), BEGAN);
                let Alarms { foreign, missing, damaged, failures, .. } = process.alarms();
                assert_eq!((foreign, missing, damaged, failures), (0, 0, 0, 0));
            }
            for (sid, began) in
                (0..12).flat_map(|sid| [(sid, BEGAN), (sid, self.now - seconds(20)), (sid, self.now)])
            {
                if began < BEGAN || self.now.since(began) >= LONGEST {
                    continue;
                }
                let latest = |list: &[(u64, Timestamp)]| {
                    list.iter().filter(|(other, _)| *other == sid).map(|(_, at)| *at).max()
                };
                match process.check(&session(sid, began)) {
                    Ok(()) => assert!(latest(&ended).is_none_or(|at| at <= began), "{number} lost {sid}"),
                    Err(Ended::Revoked) => {
                        let within = latest(&somebody).is_some_and(|at| at.seconds() >= began.seconds());
                        assert!(within, "{number} invented {sid}");
                    }
                    Err(Ended::BeforeKnowledge) => assert!(self.rough && began < process.known_since()),
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

    #[test]
    fn nothing_is_lost_and_nothing_is_invented(steps in steps()) {
        let mut model = Model::new();
        for step in steps {
            model.step(step);
            model.check();
        }
        // The disk has room again: everything that anybody knows is written.
        model.full.store(false, Ordering::Relaxed);
        for _ in 0..3 {
            model.step(Step::Wait { millis: 1500 });
        }
        prop_assert!(model.processes.iter().all(|process| process.is_writable() && process.unwritten() == 0));
        model.check();
    }
}

const CHILD: &str = "PORTVAKT_TEST_REVOCATIONS";

/// Runs [`child`] in a process of its own, through a shell line that ends in `exec "$0" "$@"`.
fn spawn(shell: &str, task: &str, folder: &Folder) -> Child {
    Command::new("bash")
        .args(["-c", shell])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "revocation::tests::child", "--ignored", "--nocapture"])
        .env(CHILD, format!("{task} {}", folder.log().display()))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

#[test]
#[ignore = "run by other tests, in a process of its own"]
fn child() {
    let Ok(task) = std::env::var(CHILD) else { return };
    let (task, path) = task.split_once(' ').unwrap();
    let revocations = open(Path::new(path), BOOT, BEGAN);
    match task {
        // Until the disk is full.
        "fill" => {
            let last = (0..1000).find(|sid| end(&revocations, *sid, BEGAN).is_err()).unwrap();
            assert!(is_ended(&revocations, last) && !revocations.is_writable());
            assert!(revocations.alarms().failures > 0);
            revocations.tend(&ring(), BEGAN + seconds(2));
            assert!(!revocations.is_writable());
        }
        first => {
            let first: u64 = first.parse().unwrap();
            for sid in first..first + 1000 {
                end(&revocations, sid, BEGAN).unwrap();
                say(sid);
                if sid % 50 == 0 {
                    locked(&revocations.reader).broken = true;
                    revocations.tend(&ring(), BEGAN + seconds((sid - first) / 25));
                }
            }
        }
    }
}

/// Tells the parent that the end was answered.
fn say(sid: u64) {
    use std::io::Write as _;
    writeln!(std::io::stdout(), "\nanswered {sid}").unwrap();
}

fn answers(child: &mut Child) -> impl Iterator<Item = u64> + use<> {
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    lines.map_while(Result::ok).filter_map(|line| line.strip_prefix("answered ")?.parse().ok())
}

const PLAIN: &str = r#"exec "$0" "$@""#;

#[test]
fn processes_append_rewrite_and_follow_at_once() {
    let folder = Folder::new();
    let watcher = folder.open(BEGAN);
    let mut children = [0, 10_000, 20_000].map(|first: u64| spawn(PLAIN, &first.to_string(), &folder));
    let counts = children.each_mut().map(|child| {
        let answers = answers(child);
        std::thread::spawn(move || answers.count())
    });
    for child in &mut children {
        assert!(child.wait().unwrap().success());
    }
    assert_eq!(counts.map(|count| count.join().unwrap()), [1000; 3]);
    watcher.tend(&ring(), BEGAN + seconds(40));
    let fresh = folder.open(BEGAN + seconds(41));
    for sid in [0, 10_000, 20_000].into_iter().flat_map(|first| first..first + 1000) {
        let began = session(sid, BEGAN);
        assert_eq!([watcher.check(&began), fresh.check(&began)], [Err(Ended::Revoked); 2], "{sid}");
    }
    assert_eq!((watcher.known_since(), fresh.known_since()), (BEGAN, BEGAN));
    assert_eq!((watcher.alarms(), fresh.alarms()), Default::default());
}

#[test]
fn what_was_answered_survives_kill_9() {
    for after in [1, 49, 50, 51, 333] {
        let folder = Folder::new();
        let mut child = spawn(PLAIN, "0", &folder);
        let mut answers = answers(&mut child);
        let mut answered: Vec<_> = answers.by_ref().take(after).collect();
        child.kill().unwrap();
        answered.extend(answers);
        child.wait().unwrap();
        assert!(answered.len() >= after);
        let fresh = folder.open(BEGAN + seconds(41));
        assert!(answered.iter().all(|sid| is_ended(&fresh, *sid)));
        assert_eq!(fresh.known_since(), BEGAN);
    }
}

#[test]
fn a_full_disk_is_an_alarm_and_the_next_start_believes_nothing() {
    let folder = Folder::new();
    let mut child = spawn(r#"trap "" XFSZ; ulimit -f 4; exec "$0" "$@""#, "fill", &folder);
    assert!(child.wait().unwrap().success());
    let fresh = folder.open(BEGAN + seconds(3));
    assert_eq!(fresh.known_since(), BEGAN + seconds(3));
    assert!(fresh.is_writable());
}

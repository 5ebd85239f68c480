//! Carries what ended between this process and the store that replicas share (`design.md` D1).
//!
//! What follows from it is decided in [`portvakt_core::revocation`]; here are connections, deadlines and places.
//!
//! **Invariant:** no request waits for the store, and none calls it. A logout waits for it for [`PATIENCE`] at most.

mod notes;
mod probe;
mod store;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use portvakt_core::clock::Timestamp;
use portvakt_core::key::{Council, Judgement, Keys, Named, NoticeError};
use portvakt_core::revocation::{StreamStatus, Tag, Writing};
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

pub(crate) use self::notes::Notes;
pub(crate) use self::probe::{Held, Probe, Refused};
pub(crate) use self::store::StoreError;
use self::store::{COUNT, Entry, Id, News, Read, Reader, START, Store, Which, Writer, reach};
use crate::cause;
use crate::snapshot::Live;

/// How long a logout waits until the others can know (`threats.md` LO-7).
const PATIENCE: Duration = Duration::from_millis(200);

/// How often it is looked what is due.
const TICK: Duration = Duration::from_millis(50);

/// How often it is looked which keys can be used.
const KEYS_EVERY: Duration = Duration::from_millis(500);

/// How often the store is asked for old ends to drop.
const TRIM_EVERY: Duration = Duration::from_secs(60);

/// When it is asked first, after a connection.
const TRIM_FIRST: Duration = Duration::from_secs(5);

/// How often one thing may cause a line in a log, while it goes on.
const TELL_EVERY: Duration = Duration::from_secs(10);

/// So many keys are told by name in one line of the log.
const TOLD: usize = 8;

/// How long the last words may take.
const FAREWELL: Duration = Duration::from_millis(500);

/// What others wait for, and what is known of their keys.
#[derive(Debug)]
pub(crate) struct Replication {
    /// There is something to write.
    work: Arc<Notify>,
    /// Something was read.
    read: Notify,
    stay: watch::Sender<Stay>,
    /// What replicas tell each other of single things.
    pub(crate) notes: Arc<Notes>,
    council: Mutex<Council>,
    /// What was found last of our keys and theirs.
    judgement: Mutex<Judgement>,
}

impl Default for Replication {
    fn default() -> Self {
        let mut id = [0; 8];
        // Two that have the same do not hear of each other's keys.
        let _ = aws_lc_rs::rand::fill(&mut id);
        Self {
            work: Arc::default(),
            read: Notify::default(),
            stay: watch::Sender::default(),
            notes: Arc::default(),
            council: Mutex::new(Council::new(id)),
            judgement: Mutex::default(),
        }
    }
}

/// Whether this process follows the stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Stay {
    /// Nothing is shared, or not yet.
    #[default]
    Apart,
    Here,
    /// It has been told to say its last words.
    Leaving,
    Left,
}

impl Replication {
    /// Lets these keys be used only as far as every other replica accepts them (`design.md` D15).
    pub(crate) fn agree_on(&self, keys: &Keys, now: Timestamp) {
        let judged = locked(&self.council).judge(keys.proofs(now), now);
        keys.withhold(&judged.withheld);
        let before = std::mem::replace(&mut *locked(&self.judgement), judged.clone());
        if let Some((count, keys)) = some_of(judged.withheld.difference(&before.withheld)) {
            tracing::info!(count, keys, "keys are not used before every replica accepts them");
        }
        if let Some((count, keys)) = some_of(before.withheld.difference(&judged.withheld)) {
            tracing::info!(count, keys, "every replica accepts keys that were waited with");
        }
        match (&before.lacking, &judged.lacking) {
            (Some(_), None) => tracing::info!("every key that other replicas use is there"),
            (before, Some(Named { purpose, id })) if before.as_ref() != judged.lacking.as_ref() => {
                tracing::error!(
                    purpose,
                    key = id,
                    "another replica uses a key that is not in our key file; this one is not ready until it is there and \
                     the configuration is read again (SIGHUP)"
                );
            }
            _ => {}
        }
    }

    /// Our keys that some other replica does not accept, as far as is known: they are not used yet.
    pub(crate) fn withheld(&self) -> BTreeSet<Named> {
        locked(&self.judgement).withheld.clone()
    }

    /// A key that another replica uses and we lack.
    pub(crate) fn lacking_key(&self) -> Option<Named> {
        locked(&self.judgement).lacking.clone()
    }

    /// Waits until everybody can know of these ends; `false` if that takes too long.
    pub(crate) async fn delivered(&self, live: &Live, tags: &[Tag]) -> bool {
        let all = || tags.iter().all(|tag| live.revocations.is_delivered(tag));
        let wait = async {
            loop {
                let mut read = std::pin::pin!(self.read.notified());
                read.as_mut().enable();
                if all() {
                    return;
                }
                read.await;
            }
        };
        timeout(PATIENCE, wait).await.is_ok()
    }

    /// Says goodbye, so that nobody waits for us. The process must not end before this returns: whoever is not heard and
    /// said nothing may have known what nobody else knows.
    pub(crate) async fn leave(&self) {
        let told = self.stay.send_if_modified(|stay| {
            let here = *stay == Stay::Here;
            if here {
                *stay = Stay::Leaving;
            }
            here
        });
        if told {
            let mut stay = self.stay.subscribe();
            let _ = timeout(FAREWELL, stay.wait_for(|stay| *stay == Stay::Left)).await;
        }
    }
}

/// How many, and the first of them in words; `None`: none.
fn some_of<'a>(keys: impl Iterator<Item = &'a Named>) -> Option<(usize, String)> {
    let mut named: Vec<String> = keys.map(|Named { purpose, id }| format!("{purpose} {id}")).collect();
    let count = named.len();
    named.truncate(TOLD);
    (count > 0).then(|| (count, named.join(", ")))
}

/// Follows the stream until it is told to leave; ends when this is dropped.
pub(crate) struct Following(JoinHandle<()>);

impl Following {
    /// `None` if nothing is shared.
    pub(crate) fn begin(live: &Arc<Live>) -> Option<Self> {
        live.snapshot().configuration.revocation.stream.as_ref()?;
        let work = Arc::clone(&live.replication.work);
        live.revocations.when_there_is_news(Box::new(move || work.notify_one()));
        live.replication.stay.send_replace(Stay::Here);
        let live = Arc::clone(live);
        Some(Self(tokio::spawn(async move {
            follow(&live, live.replication.stay.subscribe()).await;
            live.replication.stay.send_replace(Stay::Left);
        })))
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// How far was read, and what was written last.
struct Places {
    read: Read,
    /// Our last beat that the store has taken.
    anchor: Id,
}

impl Default for Places {
    fn default() -> Self {
        Self { read: Read { ends: START, beats: START, keys: START }, anchor: START }
    }
}

impl Places {
    /// The last end that was read, and our last beat: what the store must have, if it is what it was.
    fn marks(&self) -> (Id, Id) {
        (self.read.ends, self.anchor)
    }
}

type Shared = Mutex<Places>;

fn locked<T>(what: &Mutex<T>) -> MutexGuard<'_, T> {
    what.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn follow(live: &Live, mut stay: watch::Receiver<Stay>) {
    let places = Shared::default();
    let mut report = Report::default();
    // Each connection is made as who we are then: a secret may have been exchanged.
    while let Some(settings) = live.snapshot().configuration.revocation.stream.clone() {
        let connected = tokio::select! {
            connected = Store::connect(&settings) => connected,
            _ = stay.wait_for(|stay| *stay == Stay::Leaving) => return,
        };
        let ended = match connected {
            Ok(store) => converse(live, store, &places, &mut report, stay.clone()).await,
            Err(error) => Err(error),
        };
        match ended {
            Ok(()) => return,
            Err(error) => report.failed(&error),
        }
        // Not all replicas at once.
        let pause = Duration::from_millis(50 + u64::from(rand_byte()));
        tokio::select! {
            () = sleep(pause) => {}
            _ = stay.wait_for(|stay| *stay == Stay::Leaving) => return,
        }
    }
}

fn rand_byte() -> u8 {
    let mut byte = [0];
    // If the system gives none, all wait as long.
    let _ = aws_lc_rs::rand::fill(&mut byte);
    byte[0]
}

/// Reads and writes until something fails, or the last words are said.
async fn converse(
    live: &Live,
    store: Store,
    places: &Shared,
    report: &mut Report,
    stay: watch::Receiver<Stay>,
) -> Result<(), StoreError> {
    let Store { mut reader, mut writer } = store;
    let (ends, anchor) = locked(places).marks();
    let is_as_it_was = writer.has(ends, anchor).await?;
    live.revocations.stream_connected(is_as_it_was && anchor != START, live.clock.now());
    if !is_as_it_was {
        live.revocations.stream_rewound(live.clock.now());
    }
    tokio::select! {
        failed = read(live, &mut reader, places) => failed,
        done = write(live, &mut writer, places, report, stay) => done,
    }
}

/// Reads; ends by an error only.
async fn read(live: &Live, reader: &mut Reader, places: &Shared) -> Result<(), StoreError> {
    let mut words = Spaced::default();
    loop {
        if live.revocations.stream_wants_all() {
            let read = read_whole(live, reader, &mut words).await?;
            *locked(places) = Places { read, anchor: START };
            // Nobody is ready before it knows whether it has the keys of those who were there.
            locked(&live.replication.council).all_read();
            live.replication.agree_on(&live.snapshot().keys, live.clock.now());
            live.revocations.stream_read_whole(live.clock.now());
        } else {
            let read = locked(places).read;
            let asked = Instant::now();
            let mut news = reader.wait(&read).await?;
            let behind = |entries: &[Entry], place| reach(entries) > Some(place);
            let leads_on = behind(&news.ends, read.ends)
                || behind(&news.beats, read.beats)
                || behind(&news.keys, read.keys);
            if !leads_on && asked.elapsed() < TICK {
                // It says at once that there is something, and shows nothing that was not there before.
                sleep(TICK).await;
            }
            // Beats speak of ends that may not have been read.
            if news.ends.len() >= COUNT {
                news.beats.clear();
            }
            // It may have turned out meanwhile that the store is not what it was.
            if live.revocations.stream_wants_all() {
                continue;
            }
            let began = Instant::now();
            take(live, &news, &mut words);
            {
                let read = &mut locked(places).read;
                for (place, entries) in [
                    (&mut read.ends, &news.ends),
                    (&mut read.beats, &news.beats),
                    (&mut read.keys, &news.keys),
                ] {
                    *place = reach(entries).unwrap_or(START).max(*place);
                }
            }
            rest_after(began).await;
        }
        live.replication.read.notify_waiters();
        live.replication.work.notify_one();
    }
}

/// Reads what the streams hold, from their start, the ends before the beats that speak of them. Gives up to where.
async fn read_whole(live: &Live, reader: &mut Reader, words: &mut Spaced) -> Result<Read, StoreError> {
    let mut read = Places::default().read;
    for which in [Which::Ends, Which::Beats, Which::Keys] {
        let place = match which {
            Which::Ends => &mut read.ends,
            Which::Beats => &mut read.beats,
            Which::Keys => &mut read.keys,
        };
        loop {
            let entries = reader.page(which, *place).await?;
            let (is_last, began) = (entries.len() < COUNT, Instant::now());
            *place = reach(&entries).unwrap_or(START).max(*place);
            let mut page = News::default();
            match which {
                Which::Ends => page.ends = entries,
                Which::Beats => page.beats = entries,
                Which::Keys => page.keys = entries,
            }
            take(live, &page, words);
            if is_last {
                break;
            }
            rest_after(began).await;
        }
    }
    Ok(read)
}

/// Rests as long as was worked: however much a store shows, it takes up no more than half a processor.
async fn rest_after(began: Instant) {
    let worked = began.elapsed();
    if worked >= Duration::from_millis(1) {
        sleep(worked).await;
    }
}

fn take(live: &Live, News { ends, beats, keys }: &News, words: &mut Spaced) {
    let (snapshot, now) = (live.snapshot(), live.clock.now());
    if !keys.is_empty() {
        let mut council = locked(&live.replication.council);
        // Of a key that is lacking the beats tell.
        let is_none = |(_, word): &&Entry| {
            let taken = council.take(word, &snapshot.keys.revocation, now);
            matches!(taken, Err(NoticeError::Malformed | NoticeError::Altered))
        };
        let count = keys.iter().filter(is_none).count();
        if count > 0 && words.may_tell() {
            tracing::warn!(count, "what the store holds about keys was not said by a replica");
        }
    }
    live.revocations.stream_read(
        ends.iter().map(|(_, bytes)| bytes.as_slice()),
        beats.iter().map(|(_, bytes)| bytes.as_slice()),
        &snapshot.keys.revocation,
        now,
    );
}

/// Looks whether all can use the same keys, and says which ones are here.
async fn settle_keys(live: &Live, writer: &mut Writer) -> Result<(), StoreError> {
    let (snapshot, now) = (live.snapshot(), live.clock.now());
    live.replication.agree_on(&snapshot.keys, now);
    let word = locked(&live.replication.council).due(&snapshot.keys.revocation, now);
    match word {
        Some(word) => writer.tell(word.as_slice()).await,
        None => Ok(()),
    }
}

/// Writes what is due, until the last words are said.
async fn write(
    live: &Live,
    writer: &mut Writer,
    places: &Shared,
    report: &mut Report,
    mut stay: watch::Receiver<Stay>,
) -> Result<(), StoreError> {
    let mut trim_at = Instant::now() + TRIM_FIRST;
    let mut keys_at = Instant::now();
    loop {
        let leaving = *stay.borrow() == Stay::Leaving;
        if leaving {
            live.revocations.stream_leave(live.clock.now());
        }
        let said = write_once(live, writer, places).await?;
        // One that can be reached and takes nothing fails again at once.
        report.failing &= !said;
        if leaving && said {
            return Ok(());
        }
        if Instant::now() >= keys_at {
            keys_at = Instant::now() + KEYS_EVERY;
            settle_keys(live, writer).await?;
        }
        report.look(live.revocations.stream_status(live.clock.now()));
        if Instant::now() >= trim_at {
            trim_at = Instant::now() + TRIM_EVERY;
            let (ring, now) = (live.snapshot(), live.clock.now());
            writer.trim(|bytes| live.revocations.is_over(bytes, &ring.keys.revocation, now)).await?;
        }
        tokio::select! {
            () = live.replication.work.notified() => {}
            () = sleep(TICK) => {}
            _ = stay.changed(), if !leaving => {}
        }
    }
}

/// Writes what is due now. Says whether a beat was written.
async fn write_once(live: &Live, writer: &mut Writer, places: &Shared) -> Result<bool, StoreError> {
    let mut said = false;
    loop {
        let writing = live.revocations.stream_writing(&live.snapshot().keys.revocation, live.clock.now());
        if writing.is_empty() {
            return Ok(said);
        }
        if writing.beat.is_some() && !live.revocations.stream_wants_all() {
            let (ends, anchor) = locked(places).marks();
            if !writer.has(ends, anchor).await? && locked(places).anchor == anchor {
                live.revocations.stream_rewound(live.clock.now());
                continue;
            }
        }
        let Writing { ends, beat, .. } = &writing;
        if let Some(id) = writer.append(ends, beat.as_deref()).await? {
            locked(places).anchor = id;
            said = true;
        }
        live.revocations.stream_written(&writing, live.clock.now());
    }
}

/// Whether something may be told again. A store that fails or lies on and on fills no log.
#[derive(Default)]
struct Spaced(Option<Instant>);

impl Spaced {
    fn may_tell(&mut self) -> bool {
        let may = self.0.is_none_or(|last| last.elapsed() >= TELL_EVERY);
        if may {
            self.0 = Some(Instant::now());
        }
        may
    }
}

/// Says once what has changed.
#[derive(Default)]
struct Report {
    failing: bool,
    before: StreamStatus,
    /// What was told last of what should never happen.
    told: [u64; 4],
    failures: Spaced,
    alarms: Spaced,
    doubts: Spaced,
    floods: Spaced,
    /// The last line was that something may be lacking.
    doubted: bool,
}

impl Report {
    fn failed(&mut self, error: &StoreError) {
        if !std::mem::replace(&mut self.failing, true) && self.failures.may_tell() {
            let error = cause::chain(error);
            tracing::error!(error, "the store that replicas share cannot be used; it is tried again");
        }
    }

    fn look(&mut self, status: Option<StreamStatus>) {
        let Some(status) = status else { return };
        let before = std::mem::replace(&mut self.before, status);
        let StreamStatus { foreign, missing, rewound, doubled, replicas, silent, .. } = status;
        // Who has told of a doubt tells of its end.
        if status.sure && !before.sure && (self.doubts.0.is_none() || self.doubted) {
            self.doubted = false;
            tracing::info!(replicas, "what other replicas ended is known");
        }
        if before.sure && !status.sure && self.doubts.may_tell() {
            self.doubted = true;
            tracing::warn!("what other replicas ended may be lacking; strict routes wait until it is known");
        }
        if doubled > before.doubled {
            tracing::error!(
                "somebody else wrote in the name of this process: its machine was copied or set back while it ran; it goes \
                 on as another replica"
            );
        }
        let counts = [foreign, missing, rewound, doubled];
        if counts != self.told && self.alarms.may_tell() {
            self.told = counts;
            tracing::error!(foreign, missing, rewound, "the store does not hold what replicas wrote into it");
        }
        if silent > before.silent {
            tracing::warn!(silent, "a replica has fallen silent without saying goodbye");
        }
        if status.untold > before.untold && self.floods.may_tell() {
            let untold = status.untold;
            tracing::error!(
                untold,
                "so many sessions are logged out by unproven calls that other replicas are not told of all of them"
            );
        }
    }
}

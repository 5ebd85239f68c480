//! One replica's part in the stream: what it lacks, what it owes to others, and what it may be sure of.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::time::Duration;

use super::Writer;
use super::beat::{Beat, Claim};
use super::ledger::{FORGOTTEN, Ledger};
use crate::clock::{STEP, Timestamp};
use crate::key::KeyId;
use crate::revocation::record::{Kind, Proof, Record};
use crate::revocation::view::Entry;
use crate::revocation::{AHEAD, Tag};

/// How long one who comes back waits for the others to come back too.
const GRACE: Duration = Duration::from_millis(1500);

/// How soon after an end the next beat tells of it, so that who did not get it learns so.
const SOON: Duration = Duration::from_millis(200);

/// The shortest time between two beats.
const SPACING: Duration = Duration::from_millis(50);

/// A clock that is slewed runs back by as much, and a thread of a machine that has much to do comes with a time that it took
/// so long ago. More is a step of the clock.
const HELD_UP: Duration = Duration::from_secs(1);

/// How often one that asks is answered with records.
const ANSWER_EVERY: Duration = Duration::from_millis(500);

/// A beat that is older says nothing of now.
const OLD: Duration = Duration::from_secs(600);

/// After this silence a replica is not remembered.
const GONE: Duration = Duration::from_secs(1200);

/// How many records are written at once.
const BATCH: usize = 512;

/// How many replicas tell everything of everybody in each beat. More of them take turns.
const TALKATIVE: usize = 16;

/// With what a replica starts.
#[derive(Clone, Debug)]
pub(in crate::revocation) struct Start {
    pub(in crate::revocation) id: Writer,
    /// Until when its own file knows every end; `None` if it cannot be believed to.
    pub(in crate::revocation) believed: Option<Timestamp>,
    /// As whom earlier processes of this machine wrote: their file is ours.
    pub(in crate::revocation) former: HashSet<Writer>,
    pub(in crate::revocation) max_lag: Duration,
    pub(in crate::revocation) max_gap: Duration,
}

/// What is to be written.
#[derive(Debug, Default)]
pub(in crate::revocation) struct Due {
    /// As whom.
    writer: Writer,
    pub(in crate::revocation) records: Vec<Record>,
    pub(in crate::revocation) beat: Option<Beat>,
    again: Vec<(Writer, u64)>,
    upto: u64,
}

impl Due {
    /// How many records are there for those who asked.
    pub(in crate::revocation) fn repeated(&self) -> usize {
        self.again.len()
    }
}

/// The knowledge of this replica begins elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::revocation) enum Moved {
    /// Everything since then is known, as others vouch for, if nothing else has moved it meanwhile.
    Vouched(Timestamp),
    /// Nothing from before counts.
    Lost(Timestamp),
}

#[derive(Debug)]
pub(in crate::revocation) struct Replica {
    id: Writer,
    former: HashSet<Writer>,
    max_lag: Duration,
    max_gap: Duration,
    ledgers: HashMap<Writer, Ledger>,
    peers: HashMap<Writer, Peer>,
    /// Up to which of our records the store has answered.
    acknowledged: u64,
    /// Of those, the ones that have not come back, each with our last beat when it was written.
    unseen: BTreeMap<u64, u64>,
    /// What is written once more, for others.
    again: BTreeSet<(Writer, u64)>,
    /// Our beats that have not come back.
    sent: VecDeque<Sent>,
    /// The number of the last one that has, and what it says of when it was made.
    returned: Option<(u64, Timestamp)>,
    /// Somebody else writes as us.
    doubled: bool,
    number: u64,
    last_beat: Option<Timestamp>,
    beat_after: Timestamp,
    /// Until when everything that was in the store is known.
    fresh: Timestamp,
    /// The same, when nothing was lacking last.
    sure_until: Timestamp,
    join: Option<Join>,
    /// Since when something is lacking.
    short_since: Option<Timestamp>,
    /// When something was read last that was made with a key that we do not have.
    unread: Option<Timestamp>,
    /// The same, also for what stood there before we came.
    foreign: Option<Timestamp>,
    /// Others that were there before speak with a key that we do not have: nothing is said that they could not read.
    silent: bool,
    /// It was given other keys than those with which others speak.
    parted: bool,
    leaves: bool,
    latest: Timestamp,
    /// How many records were found missing.
    pub(in crate::revocation) missing: u64,
    #[cfg(test)]
    pub(in crate::revocation) without: Option<super::model::Mechanism>,
}

/// A beat of ours.
#[derive(Clone, Copy, Debug)]
struct Sent {
    number: u64,
    /// What it says.
    made: Timestamp,
    /// The same, by the clock as it is now.
    at: Timestamp,
}

/// Another replica.
#[derive(Debug, Default)]
struct Peer {
    /// Its last beat.
    number: u64,
    heard: Timestamp,
    /// When it was made, by its clock.
    at: Timestamp,
    /// Under which key it was said.
    key: Option<KeyId>,
    left: bool,
    asks: bool,
    known_since: Timestamp,
    /// The last beat of ours that it had heard when it told everything.
    echo: u64,
    /// What it has and we lack.
    owed: Vec<Claim>,
    answered: Option<Timestamp>,
}

/// On the way to be sure.
#[derive(Debug)]
struct Join {
    /// Until when everything was known.
    absent_since: Timestamp,
    /// It has just been started; else it was cut off.
    starts: bool,
    /// Whether what was known until then is worth something.
    claim: bool,
    /// Whether the store is what it was.
    continuous: bool,
    /// When it was come back for the first time.
    since: Timestamp,
    /// From when on an earlier process of ours said that it knows everything: its file may not say so yet.
    told: Timestamp,
    /// Who may have written meanwhile, and was not heard since.
    waiting: HashSet<Writer>,
    /// What there was at the start is read.
    read: bool,
    /// The first beat after that.
    asked: Option<u64>,
    /// When it came back.
    back: Option<Timestamp>,
}

impl Replica {
    pub(in crate::revocation) fn new(start: Start, now: Timestamp) -> Self {
        let join = Join {
            absent_since: start.believed.unwrap_or(now),
            starts: true,
            claim: start.believed.is_some(),
            continuous: false,
            since: now,
            told: Timestamp::default(),
            waiting: HashSet::new(),
            read: false,
            asked: None,
            back: None,
        };
        Self {
            id: start.id,
            former: start.former,
            max_lag: start.max_lag,
            max_gap: start.max_gap,
            ledgers: HashMap::from([(start.id, Ledger::from(1))]),
            peers: HashMap::new(),
            acknowledged: 0,
            unseen: BTreeMap::new(),
            again: BTreeSet::new(),
            sent: VecDeque::new(),
            returned: None,
            doubled: false,
            number: 0,
            last_beat: None,
            beat_after: now,
            fresh: Timestamp::default(),
            sure_until: Timestamp::default(),
            join: Some(join),
            short_since: None,
            unread: None,
            foreign: None,
            silent: false,
            parted: false,
            leaves: false,
            latest: now,
            missing: 0,
            #[cfg(test)]
            without: None,
        }
    }

    pub(in crate::revocation) fn adjust(&mut self, max_gap: Duration, max_lag: Duration) {
        (self.max_gap, self.max_lag) = (max_gap, max_lag);
    }

    /// As whom it writes.
    pub(in crate::revocation) fn id(&self) -> Writer {
        self.id
    }

    /// Whether somebody else writes as us: this process is a copy of another, or was set back to what it was before.
    pub(in crate::revocation) fn is_doubled(&self) -> bool {
        self.doubled
    }

    /// How many of our records the store has not taken.
    pub(in crate::revocation) fn backlog(&self) -> u64 {
        self.ledgers[&self.id].last() - self.acknowledged
    }

    /// Until when everything that was in the store is known here, as the store lets us see it.
    pub(in crate::revocation) fn fresh(&self) -> Timestamp {
        self.fresh
    }

    /// Until when nothing was lacking: what is known then is worth something later.
    pub(in crate::revocation) fn sure_until(&self) -> Timestamp {
        self.sure_until
    }

    /// Whether nothing is known to be lacking.
    pub(in crate::revocation) fn is_sure(&self) -> bool {
        self.join.is_none() && self.short_since.is_none() && self.unread.is_none()
    }

    /// Whether it has just been started, and what others ended before is not known yet.
    pub(in crate::revocation) fn is_joining(&self) -> bool {
        self.join.as_ref().is_some_and(|join| join.starts)
    }

    /// Whether what was certain last is older than strict routes may rely on.
    pub(in crate::revocation) fn is_behind(&self, now: Timestamp) -> bool {
        now.since(self.sure_until) > self.max_lag
    }

    /// Whether something was read that was made with a key that we do not have.
    pub(in crate::revocation) fn is_unread(&self) -> bool {
        self.unread.is_some() || self.silent
    }

    /// Whether the stream has to be read from its start.
    pub(in crate::revocation) fn wants_all(&self) -> bool {
        self.join.as_ref().is_some_and(|join| !join.read)
    }

    /// The others that are heard.
    pub(in crate::revocation) fn company(&self, now: Timestamp) -> usize {
        self.peers.values().filter(|peer| self.is_live(peer, now)).count()
    }

    /// Those that fell silent without a word, and are remembered.
    pub(in crate::revocation) fn silent(&self, now: Timestamp) -> usize {
        self.peers.values().filter(|peer| !peer.left && !self.is_live(peer, now)).count()
    }

    /// How far the others' clocks are ahead of ours, as far as that matters: what they call now may be later.
    pub(in crate::revocation) fn others_are_ahead(&self, now: Timestamp) -> Duration {
        let live = self.peers.values().filter(|peer| self.is_live(peer, now));
        let ahead = live.map(|peer| (peer.at + now.since(peer.heard)).since(now)).max().unwrap_or_default();
        // What a message takes, and what clocks differ by that are right, is no difference.
        if ahead > Duration::from_secs(1) { ahead.min(AHEAD) } else { Duration::ZERO }
    }

    fn is_live(&self, peer: &Peer, now: Timestamp) -> bool {
        !peer.left && now.since(peer.heard) <= self.silence()
    }

    /// How long one may be silent: some beats.
    fn silence(&self) -> Duration {
        self.max_lag + self.interval()
    }

    fn interval(&self) -> Duration {
        (self.max_lag / 5).clamp(SPACING, Duration::from_secs(1))
    }

    /// There is a connection, for the first time or again. `continuous`: the store still has what it had last.
    pub(in crate::revocation) fn connected(&mut self, continuous: bool, now: Timestamp) {
        self.come_back(continuous, !continuous, now);
    }

    /// The store does not have what it had: it was emptied, or set back.
    pub(in crate::revocation) fn rewound(&mut self, now: Timestamp) {
        self.come_back(false, true, now);
        let lowest = !self.peers.iter().any(|(id, peer)| *id < self.id && self.is_live(peer, now));
        for (writer, ledger) in &self.ledgers {
            let gone = self.peers.get(writer).is_none_or(|peer| !self.is_live(peer, now));
            let last = if *writer == self.id { self.acknowledged } else { ledger.last() };
            if *writer == self.id || (lowest && gone) {
                self.again.extend((ledger.first()..=last).map(|sequence| (*writer, sequence)));
            }
        }
    }

    /// A key has come with which something can be read that could not.
    pub(in crate::revocation) fn read_again(&mut self, now: Timestamp) {
        (self.unread, self.foreign) = (None, None);
        self.come_back(true, true, now);
    }

    fn come_back(&mut self, continuous: bool, all: bool, now: Timestamp) {
        let fresh = self.fresh;
        let live = self.peers.iter().filter(|(_, peer)| !peer.left && peer.heard + self.silence() >= fresh);
        let live: Vec<_> = live.map(|(id, _)| *id).collect();
        let (begun, sure_until) = (self.join.is_some(), self.sure_until);
        let join = self.join.get_or_insert_with(|| Join {
            absent_since: sure_until,
            starts: false,
            claim: true,
            continuous,
            since: now,
            told: Timestamp::default(),
            waiting: HashSet::new(),
            read: true,
            asked: None,
            back: None,
        });
        // Those of before a first start were not heard.
        if !begun || join.asked.is_some() {
            join.waiting.extend(live);
        }
        join.continuous &= continuous || join.starts;
        join.read &= !all;
        (join.asked, join.back) = (None, None);
        self.beat_after = now;
    }

    /// What was in the store when it began to be read from its start, is read.
    pub(in crate::revocation) fn all_read(&mut self, now: Timestamp) {
        if let Some(join) = &mut self.join {
            join.read = true;
            self.beat_after = now;
        }
    }

    /// An end of ours, to be written.
    pub(in crate::revocation) fn push(&mut self, tag: Tag) {
        self.ledgers.entry(self.id).or_insert_with(|| Ledger::from(1)).push(tag);
    }

    /// A record was read. What it ends is taken elsewhere.
    ///
    /// `tag`: `None` if nothing that it ends can be alive.
    pub(in crate::revocation) fn take_record(&mut self, writer: Writer, sequence: u64, tag: Option<Tag>) {
        if sequence == 0 {
            return;
        }
        if self.join.as_ref().is_some_and(|join| !join.read) {
            self.again.remove(&(writer, sequence));
        }
        if writer == self.id {
            let own = &self.ledgers[&self.id];
            let is_another = own.tag(sequence).zip(tag).is_some_and(|(ours, read)| ours != read);
            self.doubled |= is_another || sequence > own.last();
            self.unseen.remove(&sequence);
            return;
        }
        match (self.ledgers.get_mut(&writer), tag) {
            (Some(ledger), Some(tag)) => drop(ledger.insert(sequence, tag)),
            // It matters only where others wait for it.
            (Some(ledger), None) if sequence >= ledger.first() => drop(ledger.insert(sequence, FORGOTTEN)),
            (None, Some(tag)) => {
                let mut ledger = Ledger::from(sequence);
                ledger.insert(sequence, tag);
                self.ledgers.insert(writer, ledger);
            }
            (_, None) => {}
        }
    }

    /// Something was read that was made with a key that we do not have.
    pub(in crate::revocation) fn take_unreadable(&mut self, now: Timestamp) {
        self.foreign = Some(now);
        // What stood there before we came is vouched for by others, or not believed.
        if self.join.as_ref().is_none_or(|join| join.asked.is_some()) {
            self.unread = Some(now);
        }
    }

    /// A beat was read. Those of before are told from those of now by what they have heard of us.
    pub(in crate::revocation) fn take_beat(&mut self, beat: Beat, key: KeyId, now: Timestamp) {
        if beat.writer == self.id {
            return self.take_own(&beat, now);
        }
        let history = self.join.as_ref().is_some_and(|join| join.asked.is_none());
        if let Some(join) = &mut self.join {
            // What we said last when we were sure is still there, so what came before is there too. One who asked
            // may have asked a store that had been set back already.
            let ours = self.former.contains(&beat.writer);
            join.continuous |= ours && !beat.asks && beat.at >= join.absent_since;
            if ours {
                join.told = join.told.max(beat.known_since.min(now));
            }
            let met = join.asked.is_none() && beat.at + AHEAD > join.absent_since;
            // Whoever was known before is waited for if it was heard until then. Who starts knows nobody, and of each
            // one it is the last beat that counts.
            let known = !join.starts && self.peers.contains_key(&beat.writer);
            if beat.leaves {
                join.waiting.remove(&beat.writer);
            } else if met && !known && !self.former.contains(&beat.writer) {
                join.waiting.insert(beat.writer);
            }
        }
        if now.since(beat.at) > OLD || beat.at.since(now) > OLD {
            return;
        }
        let peer = self.peers.entry(beat.writer).or_default();
        if beat.number <= peer.number {
            return;
        }
        peer.number = beat.number;
        peer.heard = if history { beat.at.min(now) } else { now };
        (peer.at, peer.key) = (beat.at, Some(key));
        (peer.left, peer.asks) = (beat.leaves, beat.asks);
        peer.known_since = beat.known_since;
        if let Some(claim) = beat.claim(self.id).filter(|_| beat.whole) {
            peer.echo = peer.echo.max(claim.heard);
        }
        self.suspect(&beat);
        self.learn(&beat);
        if beat.asks {
            self.answer(&beat, now);
        }
        self.note_lack(now);
    }

    fn take_own(&mut self, beat: &Beat, now: Timestamp) {
        let number = beat.number;
        let sent = self.sent.iter().find(|sent| sent.number == number).map(|sent| sent.made);
        let returned = || self.returned.filter(|(last, _)| *last == number).map(|(_, made)| made);
        let is_another = sent.or_else(returned).is_some_and(|made| made != beat.at);
        if is_another || number > self.number {
            self.doubled = true;
            return;
        }
        if sent.is_some() {
            self.returned = Some((number, beat.at));
        }
        while let Some(sent) = self.sent.front().copied().filter(|sent| sent.number <= number) {
            self.sent.pop_front();
            self.fresh = sent.at;
        }
        // What was written before it, and did not come, was taken and lost.
        for (sequence, before) in self.unseen.iter_mut().filter(|(_, before)| **before < number) {
            *before = self.number;
            self.again.insert((self.id, *sequence));
        }
        if let Some(join) = &mut self.join
            && join.asked.is_some_and(|asked| asked <= number)
        {
            join.back.get_or_insert(now);
        }
    }

    /// After the store lost what it had: whom others have heard and we never did, came and wrote while we were away. What
    /// it ended last may be lost with the store, so it is waited for as those are whom we knew.
    fn suspect(&mut self, beat: &Beat) {
        let Some(join) = self.join.as_mut().filter(|join| !join.starts && !join.continuous) else { return };
        let is_new = |writer: &Writer| {
            *writer != self.id && !self.peers.contains_key(writer) && !self.ledgers.contains_key(writer)
        };
        join.waiting.extend(beat.claims.iter().map(|claim| claim.writer).filter(is_new));
    }

    /// Takes from a beat what its writer has and we lack.
    fn learn(&mut self, beat: &Beat) {
        let mut owed = Vec::new();
        for claim in beat.claims.iter().filter(|claim| claim.writer != self.id && claim.first > 0) {
            let ledger = self.ledgers.entry(claim.writer).or_insert_with(|| Ledger::from(claim.first));
            // Nobody knows better than a writer what of it still matters.
            if claim.writer == beat.writer {
                ledger.forget_gaps(claim.first);
            }
            if !ledger.covers(claim.first, claim.last) {
                ledger.reach(claim.first);
                owed.push(*claim);
            }
        }
        if let Some(peer) = self.peers.get_mut(&beat.writer) {
            // What it owed us it still owes: it may have forgotten it.
            let before =
                peer.owed.iter().filter(|claim| !owed.iter().any(|other| other.writer == claim.writer));
            owed.extend(before.copied().collect::<Vec<_>>());
            peer.owed = owed;
        }
    }

    /// Somebody asks: it hears from us at once, and what it lacks is written again, by its writer or, if that is gone,
    /// by the first of those that are here.
    fn answer(&mut self, beat: &Beat, now: Timestamp) {
        self.beat_after = self.beat_after.min(self.soonest(now));
        let asker = beat.writer;
        if !beat.whole
            || self
                .peers
                .get(&asker)
                .and_then(|peer| peer.answered)
                .is_some_and(|last| now.since(last) < ANSWER_EVERY)
        {
            return;
        }
        let is_first = self.join.is_none()
            && self.short_since.is_none()
            && !self
                .peers
                .iter()
                .any(|(id, peer)| *id < self.id && *id != asker && !peer.asks && self.is_live(peer, now));
        let mut wanted = Vec::new();
        for (writer, ledger) in &self.ledgers {
            let own = *writer == self.id;
            let gone = self.peers.get(writer).is_none_or(|peer| !self.is_live(peer, now));
            if *writer == asker || !(own || (is_first && gone)) {
                continue;
            }
            let last = if own { self.acknowledged } else { ledger.last() };
            let has = |sequence: u64| {
                let mut claims = beat.claims.iter().filter(|claim| claim.writer == *writer);
                claims.any(|claim| (claim.first..=claim.last).contains(&sequence))
            };
            let lacks = |sequence: &u64| ledger.tag(*sequence).is_some() && !has(*sequence);
            wanted.extend((ledger.first()..=last).filter(lacks).map(|sequence| (*writer, sequence)));
        }
        if !wanted.is_empty()
            && let Some(peer) = self.peers.get_mut(&asker)
        {
            peer.answered = Some(now);
        }
        self.again.extend(wanted);
    }

    /// What is to be written now. `find` looks an end up.
    pub(in crate::revocation) fn due(
        &mut self,
        known_since: Timestamp,
        now: Timestamp,
        find: impl Fn(&Tag) -> Option<Entry>,
    ) -> Due {
        self.notice_step_back(now);
        let over = |tag: &Tag| find(tag).is_none_or(|entry| entry.expires <= now);
        for (writer, ledger) in &mut self.ledgers {
            let upto = if *writer == self.id { self.acknowledged } else { u64::MAX };
            ledger.forget(upto, over);
        }
        let mut due = Due { writer: self.id, upto: self.acknowledged, ..Due::default() };
        self.silent = self.must_be_silent(now);
        if self.silent {
            return due;
        }
        // What is there will be seen first.
        if !self.wants_all() {
            self.repeat(&mut due, &find);
        }
        let own = &self.ledgers[&self.id];
        let last = own.last().min(self.acknowledged + BATCH as u64);
        for sequence in self.acknowledged + 1..=last {
            due.records.push(record(self.id, sequence, own.tag(sequence).unwrap_or(FORGOTTEN), &find));
            due.upto = sequence;
        }
        // Of ends it tells when they are written; but however many there are, it goes on saying that it lives.
        let is_pressing = !self.leaves && now >= self.beat_after + SOON.min(self.interval());
        if now >= self.beat_after && (due.records.is_empty() || is_pressing) {
            due.beat = Some(self.beat(known_since, now));
        }
        due
    }

    /// `knows`: whether we have a key. Who is given other keys, while it runs, than those with which the others speak, says
    /// nothing more as long as they are heard: they could not read it either, and would be uncertain all together.
    pub(in crate::revocation) fn mind_keys(&mut self, knows: impl Fn(KeyId) -> bool, now: Timestamp) {
        let mut live = self.peers.values().filter(|peer| self.is_live(peer, now));
        let lost = live.any(|peer| peer.key.is_some_and(|key| !knows(key)));
        self.parted = lost || (self.parted && self.hears_strangers(now));
    }

    /// Whether somebody speaks whom we cannot read.
    fn hears_strangers(&self, now: Timestamp) -> bool {
        self.foreign.is_some_and(|last| now.since(last) < GRACE)
    }

    /// Who comes listens first. As long as it hears what it cannot read, it says nothing that nobody there might read: it
    /// would make all of them uncertain.
    fn must_be_silent(&self, now: Timestamp) -> bool {
        let coming = self.join.as_ref().filter(|join| join.starts && join.asked.is_none());
        self.parted || coming.is_some_and(|join| !join.read || self.hears_strangers(now))
    }

    fn repeat(&mut self, due: &mut Due, find: &impl Fn(&Tag) -> Option<Entry>) {
        #[cfg(test)]
        if self.without == Some(super::model::Mechanism::Republishing) {
            self.again.clear();
        }
        let Self { again, ledgers, .. } = self;
        again.retain(|(writer, sequence)| {
            ledgers.get(writer).is_some_and(|ledger| ledger.tag(*sequence).is_some())
        });
        for (writer, sequence) in again.iter().take(BATCH) {
            let tag = ledgers.get(writer).and_then(|ledger| ledger.tag(*sequence)).unwrap_or(FORGOTTEN);
            due.records.push(record(*writer, *sequence, tag, find));
            due.again.push((*writer, *sequence));
        }
    }

    fn beat(&mut self, known_since: Timestamp, now: Timestamp) -> Beat {
        self.number += 1;
        let asks = !self.is_sure();
        if let Some(join) = &mut self.join
            && join.read
        {
            join.asked.get_or_insert(self.number);
        }
        self.sent.push_back(Sent { number: self.number, made: now, at: now });
        if self.sent.len() > 1000 {
            self.sent.pop_front();
        }
        self.last_beat = Some(now);
        self.beat_after = now + self.interval();
        let turns = self.company(now).div_ceil(TALKATIVE).max(1) as u64;
        let whole = asks
            || self.leaves
            || self.peers.values().any(|peer| peer.asks)
            || self.number.is_multiple_of(turns);
        let claims = |(writer, ledger): (&Writer, &Ledger)| {
            let own = *writer == self.id;
            let heard = if own { self.number } else { self.peers.get(writer).map_or(0, |peer| peer.number) };
            let ranges = if own { vec![(ledger.first(), self.acknowledged)] } else { ledger.ranges() };
            let claim = |(first, last)| Claim { writer: *writer, heard, first, last };
            ranges.into_iter().map(claim).collect::<Vec<_>>()
        };
        let told = |writer: &Writer, ledger: &Ledger| {
            *writer == self.id
                || (whole
                    && (!ledger.is_empty()
                        || self.peers.get(writer).is_some_and(|peer| self.is_live(peer, now))))
        };
        let claims = self.ledgers.iter().filter(|(writer, ledger)| told(writer, ledger)).flat_map(claims);
        Beat {
            writer: self.id,
            number: self.number,
            asks,
            leaves: self.leaves,
            whole,
            at: now,
            known_since,
            claims: claims.take(usize::from(u16::MAX)).collect(),
        }
    }

    /// The store has taken it.
    pub(in crate::revocation) fn written(&mut self, due: &Due, now: Timestamp) {
        if due.writer != self.id {
            return;
        }
        if due.upto > self.acknowledged {
            let number = self.number;
            self.unseen.extend((self.acknowledged + 1..=due.upto).map(|sequence| (sequence, number)));
            self.acknowledged = due.upto;
            self.beat_after = self.beat_after.min(now + SOON);
        }
        for again in &due.again {
            self.again.remove(again);
        }
    }

    /// The last words, once nothing is left to write.
    pub(in crate::revocation) fn leave(&mut self, now: Timestamp) {
        self.leaves = true;
        self.beat_after = now;
    }

    /// What follows from all that was read, and from the time that passes.
    pub(in crate::revocation) fn settle(&mut self, known_since: Timestamp, now: Timestamp) -> Option<Moved> {
        let moved = self.conclude(known_since, now);
        if self.is_sure() {
            self.sure_until = self.fresh;
        }
        moved
    }

    fn conclude(&mut self, known_since: Timestamp, now: Timestamp) -> Option<Moved> {
        self.notice_step_back(now);
        self.peers.retain(|_, peer| now.since(peer.heard) < GONE);
        let Self { ledgers, peers, id, .. } = self;
        ledgers.retain(|writer, ledger| writer == id || !ledger.is_empty() || peers.contains_key(writer));
        self.note_lack(now);
        if self.unread.is_some_and(|last| now.since(last) > self.max_lag) {
            // Nothing more of it comes. It may have been an end.
            self.unread = None;
            return Some(Moved::Lost(now));
        }
        if self.short_since.is_some_and(|since| now.since(since) > self.max_lag) {
            self.give_up();
            return Some(Moved::Lost(now));
        }
        if self.short_since.is_some() {
            return None;
        }
        let verdict = self.judge(known_since, now)?;
        self.join = None;
        self.beat_after = now;
        match verdict {
            Verdict::Kept => None,
            Verdict::Moved(moved) => Some(moved),
        }
    }

    /// Whether one who came may be sure, and of what; `None` as long as it is open.
    fn judge(&mut self, known_since: Timestamp, now: Timestamp) -> Option<Verdict> {
        let join = self.join.as_mut()?;
        let (asked, back) = (join.asked?, join.back?);
        let peers = &self.peers;
        join.waiting.retain(|id| !peers.get(id).is_some_and(|peer| peer.left || peer.echo >= asked));
        // Who is sure, has heard us, and has nothing that we lack. Its clock may be behind ours.
        let vouching = peers.values().filter(|peer| peer.echo >= asked && !peer.asks && !peer.left);
        let word = vouching.map(|peer| (peer.known_since + peer.heard.since(peer.at)).min(now)).min();
        let (all_here, over) = (join.waiting.is_empty(), now.since(back) >= GRACE);
        let since = join.absent_since;
        // By our own clock, which may have been set back meanwhile.
        let overlaps = |word: Timestamp| word + STEP <= since;
        if join.starts {
            return match word {
                // Our file knows everything until we went, and they know everything from then on.
                Some(word) if join.claim && overlaps(word) => {
                    Some(Verdict::Moved(Moved::Vouched(word.min(known_since))))
                }
                Some(word) => Some(Verdict::Moved(Moved::Vouched(word))),
                None if !over => None,
                None if join.claim && join.continuous && all_here => {
                    let told = Some(join.told).filter(|told| *told > known_since);
                    Some(told.map_or(Verdict::Kept, |told| Verdict::Moved(Moved::Vouched(told))))
                }
                None => Some(Verdict::Moved(Moved::Lost(now))),
            };
        }
        // Where the store lost what it had, one that came meanwhile, and is gone again, may have ended something that
        // nobody here knows. Nobody comes and is sure within that time; and those who are here would have heard it.
        let alone = word.is_none() && !peers.values().any(|peer| !peer.left && peer.echo >= asked);
        let brief = join.since.since(since) <= GRACE;
        let nothing_between = join.continuous || (now.since(since) <= self.max_gap && (brief || !alone));
        if all_here && (nothing_between || word.is_some_and(overlaps)) {
            Some(Verdict::Kept)
        } else if over {
            Some(Verdict::Moved(Moved::Lost(now)))
        } else {
            None
        }
    }

    /// Drops what is owed no longer, and asks if something is.
    fn note_lack(&mut self, now: Timestamp) {
        #[cfg(test)]
        if self.without == Some(super::model::Mechanism::Gaps) {
            return;
        }
        if self.wants_all() {
            return;
        }
        let Self { ledgers, peers, id, .. } = self;
        let covers = |claim: &Claim| {
            ledgers.get(&claim.writer).is_some_and(|ledger| ledger.covers(claim.first, claim.last))
        };
        peers.values_mut().for_each(|peer| peer.owed.retain(|claim| !covers(claim)));
        let owed = peers.values().flat_map(|peer| &peer.owed).count();
        let others = ledgers.iter().filter(|(writer, _)| *writer != id);
        let missing = owed.max(others.map(|(_, ledger)| ledger.skipped()).sum());
        if missing == 0 {
            self.short_since = None;
        } else if self.short_since.is_none() {
            self.short_since = Some(now);
            self.missing += missing as u64;
            self.beat_after = self.beat_after.min(self.soonest(now));
        }
    }

    /// What nobody has written again is lost.
    fn give_up(&mut self) {
        let owed = self.peers.values_mut().flat_map(|peer| std::mem::take(&mut peer.owed));
        for claim in owed {
            if let Some(ledger) = self.ledgers.get_mut(&claim.writer) {
                ledger.write_off(claim.last.saturating_add(1));
            }
        }
        let id = self.id;
        let others = self.ledgers.iter_mut().filter(|(writer, _)| **writer != id);
        others.for_each(|(_, ledger)| ledger.write_off_gaps());
        (self.short_since, self.join) = (None, None);
    }

    /// When the next beat may follow the last one.
    fn soonest(&self, now: Timestamp) -> Timestamp {
        self.last_beat.map_or(now, |last| last + SPACING).max(now)
    }

    /// After a clock was set back, what it said before says nothing.
    fn notice_step_back(&mut self, now: Timestamp) {
        let back = self.latest.since(now);
        if back > HELD_UP {
            self.fresh = Timestamp::default();
            self.sure_until = self.sure_until.min(now);
            (self.beat_after, self.last_beat) = (now, None);
            self.sent.iter_mut().for_each(|sent| sent.at = sent.at.min(now));
            for peer in self.peers.values_mut() {
                peer.heard = peer.heard.min(now);
                peer.answered = None;
            }
            for moment in [&mut self.short_since, &mut self.unread, &mut self.foreign].into_iter().flatten() {
                *moment = (*moment).min(now);
            }
            if let Some(join) = &mut self.join {
                join.absent_since = join.absent_since.min(now);
                join.back = join.back.min(Some(now));
            }
        } else if back > Duration::ZERO {
            // What is known is at least as fresh as this says, if time has not run back; and exactly so, if it has.
            self.fresh = self.fresh - back;
            self.sent.iter_mut().for_each(|sent| sent.at = sent.at - back);
        }
        self.latest = now;
    }
}

#[cfg(test)]
impl Replica {
    pub(in crate::revocation) fn moves_known_since(&self) -> bool {
        self.without != Some(super::model::Mechanism::KnownSince)
    }
}

enum Verdict {
    /// What was known is known.
    Kept,
    Moved(Moved),
}

/// The record at a place. What is forgotten still has its place: without it others would miss something.
fn record(writer: Writer, sequence: u64, tag: Tag, find: impl Fn(&Tag) -> Option<Entry>) -> Record {
    match find(&tag) {
        Some(Entry { kind, proof, at, expires }) => {
            Record { writer, sequence, kind, proof, tag, at, expires }
        }
        None => Record {
            writer,
            sequence,
            kind: Kind::Session,
            proof: Proof::Proven,
            tag: FORGOTTEN,
            at: Timestamp::default(),
            expires: Timestamp::default(),
        },
    }
}

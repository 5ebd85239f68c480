//! Whether a call is worth making: who comes while a provider does not answer is told so at once.
//!
//! | phase | who calls |
//! |---|---|
//! | up | everybody, within the limits of [`super::http`] |
//! | down | one at a time, after a rest that grows and differs from replica to replica |
//! | rising | few at once after the first answer, and two more for each further one |
//!
//! It goes down after three failures in a row, or after one that somebody waited for: nobody has had an answer since
//! that call began. What a provider says of the time at which to come again is heeded, up to a minute.
//!
//! **Invariant:** while it is down at most one call is under way, and after a rest of at most [`LONGEST_REST`] the next
//! one who comes is let through: nobody is kept out of a provider that answers for longer than that.
//!
//! **Invariant:** what a client may choose does not take a provider down for others: see [`Verdict::of`].

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use portvakt_core::seal;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

use super::{Call, ProviderError};

/// So many failures in a row are an outage.
const FAILURES: u32 = 3;

/// Nobody waits longer for the first sign of life before others are told at once.
const SILENCE: Duration = Duration::from_secs(5);

/// The first rest, which doubles with each probe that fails, and the longest. Each is shortened by up to a half.
const FIRST_REST: Duration = Duration::from_secs(2);
const LONGEST_REST: Duration = Duration::from_secs(10);

/// The most that a provider's own `Retry-After` is heeded: a wrong one must not keep people out.
const MOST_HEEDED: Duration = Duration::from_secs(60);

/// How many are let through at first after an outage, and how many more with each answer.
const STEP: usize = 2;

/// Of one kind of call to one provider.
pub(super) struct Circuit {
    call: Call,
    provider: String,
    /// As many calls as may be open: then nothing rises any more.
    most: usize,
    state: Mutex<State>,
    /// Somebody's call has ended.
    ended: Notify,
}

#[derive(Debug)]
struct State {
    phase: Phase,
    /// In a row.
    failures: u32,
    /// The rest before the next probe, before it is shortened.
    rest: Duration,
    /// Calls that began before it went down last say nothing about what comes after.
    era: u64,
    /// Of this era.
    under_way: usize,
    /// Since when calls are under way and none is answered.
    silent_since: Option<Instant>,
    /// When the last answer came.
    answered: Option<Instant>,
}

#[derive(Clone, Copy, Debug)]
enum Phase {
    Up,
    Down { until: Instant, probing: bool },
    Rising { most: usize },
}

enum Entry {
    Open { era: u64, probe: bool },
    Closed { rest: Duration },
    Full,
}

/// What a call says of the provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Answers,
    Fails {
        again_after: Option<Duration>,
    },
    /// Nothing.
    Unknown,
}

/// Leave to make one call, with its second attempt.
#[derive(Debug)]
pub(super) struct Pass {
    circuit: Arc<Circuit>,
    began: Instant,
    era: u64,
    probe: bool,
    settled: bool,
}

impl Circuit {
    pub(super) fn new(call: Call, provider: &str, most: usize) -> Arc<Self> {
        let state = State {
            phase: Phase::Up,
            failures: 0,
            rest: FIRST_REST,
            era: 0,
            under_way: 0,
            silent_since: None,
            answered: None,
        };
        let (provider, state) = (provider.to_owned(), Mutex::new(state));
        Arc::new(Self { call, provider, most, state, ended: Notify::new() })
    }

    /// Lets a call through. After an outage it may wait so long for its turn.
    ///
    /// # Errors
    ///
    /// [`ProviderError::Resting`], at once, while the provider does not answer; [`ProviderError::Busy`].
    pub(super) async fn enter(self: &Arc<Self>, patience: Duration) -> Result<Pass, ProviderError> {
        let began = Instant::now();
        loop {
            // Before the look, so that nothing is missed.
            let ended = self.ended.notified();
            match self.try_enter(Instant::now()) {
                Entry::Open { era, probe } => {
                    let (circuit, began) = (Arc::clone(self), Instant::now());
                    return Ok(Pass { circuit, began, era, probe, settled: false });
                }
                Entry::Closed { rest } => {
                    return Err(ProviderError::Resting { call: self.call, again_after: Some(rest) });
                }
                Entry::Full => {
                    if timeout_at(began + patience, ended).await.is_err() {
                        return Err(ProviderError::Busy { call: self.call });
                    }
                }
            }
        }
    }

    /// Whether calls are answered at once without being made.
    pub(super) fn is_down(&self) -> bool {
        matches!(self.locked().phase, Phase::Down { .. })
    }

    fn try_enter(&self, now: Instant) -> Entry {
        let mut state = self.locked();
        let silent = state.silent_since.is_some_and(|since| now.duration_since(since) >= SILENCE);
        if silent && !matches!(state.phase, Phase::Down { .. }) {
            self.go_down(&mut state, now, None);
        }
        let probe = match state.phase {
            Phase::Up => false,
            Phase::Rising { most } if state.under_way < most => false,
            Phase::Rising { .. } => return Entry::Full,
            Phase::Down { until, probing } => {
                let rest = until.saturating_duration_since(now);
                if probing || !rest.is_zero() {
                    return Entry::Closed { rest };
                }
                state.phase = Phase::Down { until, probing: true };
                true
            }
        };
        state.under_way += 1;
        state.silent_since.get_or_insert(now);
        Entry::Open { era: state.era, probe }
    }

    fn settle(&self, pass: &Pass, verdict: Verdict, now: Instant) {
        let mut state = self.locked();
        let of_now = pass.era == state.era;
        if of_now {
            state.under_way = state.under_way.saturating_sub(1);
            if state.under_way == 0 {
                state.silent_since = None;
            }
        }
        match verdict {
            Verdict::Answers => self.go_up(&mut state, now),
            Verdict::Fails { again_after } if of_now => self.fail(&mut state, pass, again_after, now),
            Verdict::Unknown if of_now && pass.probe => {
                if let Phase::Down { .. } = state.phase {
                    let until = now + shortened(state.rest);
                    state.phase = Phase::Down { until, probing: false };
                }
            }
            Verdict::Fails { .. } | Verdict::Unknown => {}
        }
        drop(state);
        self.ended.notify_waiters();
    }

    fn go_up(&self, state: &mut State, now: Instant) {
        state.answered = Some(now);
        state.failures = 0;
        state.silent_since = (state.under_way > 0).then_some(now);
        state.phase = match state.phase {
            Phase::Up => return,
            Phase::Rising { most } if most + STEP < self.most => Phase::Rising { most: most + STEP },
            Phase::Rising { .. } => {
                state.rest = FIRST_REST;
                Phase::Up
            }
            Phase::Down { .. } => {
                tracing::info!(provider = self.provider, call = %self.call, "the provider answers again");
                Phase::Rising { most: STEP }
            }
        };
    }

    fn fail(&self, state: &mut State, pass: &Pass, again_after: Option<Duration>, now: Instant) {
        match state.phase {
            Phase::Down { .. } if pass.probe => {
                state.rest = (state.rest * 2).min(LONGEST_REST);
                let until = now + shortened(state.rest).max(heeded(again_after));
                state.phase = Phase::Down { until, probing: false };
            }
            Phase::Down { .. } => {}
            // Somebody else has had an answer meanwhile.
            _ if state.answered.is_some_and(|answered| answered > pass.began) => {}
            Phase::Up | Phase::Rising { .. } => {
                state.failures += 1;
                if state.failures >= FAILURES || now.duration_since(pass.began) >= SILENCE {
                    self.go_down(state, now, again_after);
                }
            }
        }
    }

    fn go_down(&self, state: &mut State, now: Instant, again_after: Option<Duration>) {
        tracing::error!(
            provider = self.provider,
            call = %self.call,
            "the provider does not answer: until it does, whoever needs this call is told so at once"
        );
        state.era += 1;
        (state.failures, state.under_way, state.silent_since) = (0, 0, None);
        let until = now + shortened(state.rest).max(heeded(again_after));
        state.phase = Phase::Down { until, probing: false };
    }

    fn locked(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Circuit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Circuit").field("call", &self.call).finish_non_exhaustive()
    }
}

impl Pass {
    /// Whether this call finds out if the provider answers again.
    pub(super) fn is_probe(&self) -> bool {
        self.probe
    }

    /// Whether a second attempt is worth making: not if others have found meanwhile that none is, nor while few are
    /// let through.
    pub(super) fn may_repeat(&self) -> bool {
        let state = self.circuit.locked();
        !self.probe && self.era == state.era && matches!(state.phase, Phase::Up)
    }

    /// What is called.
    pub(super) fn call(&self) -> Call {
        self.circuit.call
    }

    /// Whether the call is still worth making for who has waited for a place.
    ///
    /// # Errors
    ///
    /// [`ProviderError::Resting`] if others have found meanwhile that it is not.
    pub(super) fn check(&self) -> Result<(), ProviderError> {
        let state = self.circuit.locked();
        match state.phase {
            Phase::Down { until, .. } if self.era != state.era => Err(ProviderError::Resting {
                call: self.circuit.call,
                again_after: Some(until.saturating_duration_since(Instant::now())),
            }),
            _ => Ok(()),
        }
    }

    /// Tells how the call ended, and gives that back.
    pub(super) fn settled<T>(mut self, result: Result<T, ProviderError>) -> Result<T, ProviderError> {
        self.settled = true;
        let verdict = match &result {
            Ok(_) => Verdict::Answers,
            Err(error) => Verdict::of(error),
        };
        self.circuit.settle(&self, verdict, Instant::now());
        result
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        if self.settled {
            return;
        }
        // Somebody gave up waiting, for which there may be a reason.
        let now = Instant::now();
        let waited = now.duration_since(self.began) >= SILENCE;
        let verdict = if waited { Verdict::Fails { again_after: None } } else { Verdict::Unknown };
        self.circuit.settle(self, verdict, now);
    }
}

impl Verdict {
    /// Whoever comes to the callback chooses the code that is sent: what an answer to that might be made to be, such as
    /// an error of a firewall, says nothing about the provider. All else is made by ourselves.
    fn of(error: &ProviderError) -> Self {
        let fails = |again_after: Option<Duration>| Self::Fails { again_after };
        match error {
            ProviderError::Unreachable { .. } | ProviderError::TimedOut { .. } => fails(None),
            ProviderError::Status { status: 429 | 502..=504, again_after, .. } => fails(*again_after),
            ProviderError::Refused { .. } => Self::Answers,
            ProviderError::Status { call, status: 500..=599, .. } | ProviderError::Interrupted { call }
                if *call != Call::Token =>
            {
                fails(None)
            }
            ProviderError::Status { call, .. }
            | ProviderError::Malformed { call, .. }
            | ProviderError::TooLong { call }
                if *call == Call::Par =>
            {
                fails(None)
            }
            ProviderError::Status { .. }
            | ProviderError::Interrupted { .. }
            | ProviderError::Malformed { .. }
            | ProviderError::TooLong { .. }
            | ProviderError::Busy { .. }
            | ProviderError::Resting { .. }
            | ProviderError::WrongIssuer
            | ProviderError::Endpoint(_)
            | ProviderError::KeySet(_)
            | ProviderError::ParNotOffered
            | ProviderError::NoClientKey
            | ProviderError::Signing(_)
            | ProviderError::HttpClient(_) => Self::Unknown,
        }
    }
}

fn heeded(again_after: Option<Duration>) -> Duration {
    again_after.unwrap_or_default().min(MOST_HEEDED)
}

/// Shortened by chance, by up to a half: replicas that lost a provider at one moment must not ask for it in step.
pub(super) fn shortened(rest: Duration) -> Duration {
    let [byte] = seal::random();
    rest - rest * u32::from(byte) / 512
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(1);
    const SECOND: Duration = Duration::from_secs(1);

    fn circuit() -> Arc<Circuit> {
        Circuit::new(Call::Par, "idporten", 16)
    }

    fn refused() -> Result<(), ProviderError> {
        let why = super::super::Unreachable::Connect;
        Err(ProviderError::Unreachable { call: Call::Par, why })
    }

    fn unavailable(seconds: u64) -> Result<(), ProviderError> {
        let again_after = Some(Duration::from_secs(seconds));
        Err(ProviderError::Status { call: Call::Par, status: 503, again_after })
    }

    async fn enter(circuit: &Arc<Circuit>) -> Result<Pass, ProviderError> {
        circuit.enter(PATIENCE).await
    }

    async fn take_down(circuit: &Arc<Circuit>) {
        for _ in 0..FAILURES {
            let _ = enter(circuit).await.unwrap().settled(refused());
        }
        assert!(circuit.is_down());
    }

    #[tokio::test(start_paused = true)]
    async fn three_failures_in_a_row_are_an_outage_and_fewer_are_none() {
        let circuit = circuit();
        for _ in 0..4 {
            for _ in 1..FAILURES {
                let _ = enter(&circuit).await.unwrap().settled(refused());
            }
            enter(&circuit).await.unwrap().settled(Ok(())).unwrap();
        }
        assert!(!circuit.is_down());
        take_down(&circuit).await;
        for _ in 0..1000 {
            assert!(matches!(enter(&circuit).await, Err(ProviderError::Resting { .. })));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn one_call_that_nobody_answers_is_enough_and_is_not_waited_for() {
        let circuit = circuit();
        let _first = enter(&circuit).await.unwrap();
        tokio::time::advance(SECOND).await;
        let second = enter(&circuit).await.unwrap();
        tokio::time::advance(SILENCE).await;
        assert!(matches!(enter(&circuit).await, Err(ProviderError::Resting { .. })));
        // What was under way before says nothing bad about what comes after, and may say something good.
        second.settled(Ok(())).unwrap();
        assert!(!circuit.is_down());
    }

    #[tokio::test(start_paused = true)]
    async fn who_waited_for_a_place_meanwhile_does_not_call_and_who_finds_out_does() {
        let circuit = circuit();
        let waiting = enter(&circuit).await.unwrap();
        waiting.check().unwrap();
        take_down(&circuit).await;
        assert!(matches!(waiting.check(), Err(ProviderError::Resting { again_after: Some(_), .. })));
        tokio::time::advance(LONGEST_REST).await;
        let probe = enter(&circuit).await.unwrap();
        probe.check().unwrap();
        probe.settled(Ok(())).unwrap();
        waiting.check().unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn who_gives_up_waiting_leaves_word_of_it() {
        let circuit = circuit();
        let hasty = enter(&circuit).await.unwrap();
        drop(hasty);
        assert!(!circuit.is_down());
        let patient = enter(&circuit).await.unwrap();
        tokio::time::advance(SILENCE).await;
        drop(patient);
        assert!(circuit.is_down());
    }

    #[tokio::test(start_paused = true)]
    async fn one_at_a_time_finds_out_and_rests_grow_up_to_the_longest() {
        let circuit = circuit();
        take_down(&circuit).await;
        let mut rests = Vec::new();
        for _ in 0..6 {
            let began = Instant::now();
            let probe = loop {
                match enter(&circuit).await {
                    Ok(pass) => break pass,
                    Err(_) => tokio::time::advance(Duration::from_millis(10)).await,
                }
            };
            rests.push(began.elapsed());
            assert!(probe.is_probe() && !probe.may_repeat());
            assert!(matches!(enter(&circuit).await, Err(ProviderError::Resting { .. })));
            let _ = probe.settled(refused());
        }
        let most = LONGEST_REST + Duration::from_millis(10);
        assert!(rests.iter().all(|rest| (FIRST_REST / 2..=most).contains(rest)), "{rests:?}");
        assert!(rests[5] > LONGEST_REST / 3 && rests[0] < FIRST_REST * 2, "{rests:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn after_an_outage_few_are_let_through_at_first_and_then_everybody() {
        let circuit = circuit();
        take_down(&circuit).await;
        tokio::time::advance(LONGEST_REST).await;
        enter(&circuit).await.unwrap().settled(Ok(())).unwrap();
        let first = enter(&circuit).await.unwrap();
        let _second = enter(&circuit).await.unwrap();
        let waiting = tokio::spawn({
            let circuit = Arc::clone(&circuit);
            async move { enter(&circuit).await }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        first.settled(Ok(())).unwrap();
        let mut held = vec![waiting.await.unwrap().unwrap()];
        while let Ok(pass) = enter(&circuit).await {
            held.push(pass);
        }
        assert_eq!(held.len(), 3);
        for pass in held {
            pass.settled(Ok(())).unwrap();
        }
        for _ in 0..16 {
            enter(&circuit).await.unwrap().settled(Ok(())).unwrap();
        }
        let all: Vec<_> = futures_of(&circuit, 100).await;
        assert_eq!(all.len(), 100);
    }

    async fn futures_of(circuit: &Arc<Circuit>, number: usize) -> Vec<Pass> {
        let mut all = Vec::new();
        for _ in 0..number {
            all.extend(enter(circuit).await.ok());
        }
        all
    }

    #[tokio::test(start_paused = true)]
    async fn what_the_provider_says_of_the_time_is_heeded_up_to_a_minute() {
        for (said, heeded) in [(30, 30), (86_400, 60)] {
            let circuit = circuit();
            for _ in 0..FAILURES {
                let _ = enter(&circuit).await.unwrap().settled(unavailable(said));
            }
            tokio::time::advance(Duration::from_secs(heeded) - SECOND).await;
            assert!(enter(&circuit).await.is_err());
            tokio::time::advance(SECOND).await;
            assert!(enter(&circuit).await.is_ok());
        }
    }

    #[test]
    fn replicas_do_not_rest_in_step() {
        let rests: std::collections::HashSet<_> = (0..64).map(|_| shortened(LONGEST_REST)).collect();
        assert!(rests.len() > 30);
        assert!(rests.iter().all(|rest| (LONGEST_REST / 2..=LONGEST_REST).contains(rest)));
    }

    #[test]
    fn what_a_client_may_choose_takes_nobody_down() {
        let call = Call::Token;
        let again_after = None;
        for error in [
            ProviderError::Status { call, status: 403, again_after },
            ProviderError::Status { call, status: 500, again_after },
            ProviderError::Malformed { call, what: "" },
            ProviderError::Interrupted { call },
            ProviderError::TooLong { call },
        ] {
            assert_eq!(Verdict::of(&error), Verdict::Unknown, "{error}");
        }
        let status = ProviderError::Status { call, status: 503, again_after };
        assert_eq!(Verdict::of(&status), Verdict::Fails { again_after });
    }
}

//! One exchange at a time for each session, and what came of it.
//!
//! A refresh token is worth something once, and a provider may take its second use for theft. So whoever comes while
//! one is exchanged waits for that one; whoever brings an old one, since the reply with the new one was lost or is
//! still on its way, gets what it was exchanged for. Between replicas that share a store the same holds by notes
//! ([`super::note`]); between others the browser's cookie is all that is shared: `docs/decisions/008-access-tokens.md` says
//! what follows.
//!
//! **Invariant:** an exchange that has begun is ended, whoever waits for it: it is no part of any request.
//!
//! **Invariant:** what is remembered is looked up by a session's id, which only its sealed tokens say; memory is bounded.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use http::HeaderValue;
use portvakt_core::clock::{Clock, Timestamp};
use portvakt_core::key::{KeyId, MacKey, Ring};
use portvakt_core::revocation::{Tag, Tagger};
use portvakt_core::seal::SealKey;
use portvakt_core::session::plan::SessionPlan;
use portvakt_core::session::tokens::Tokens;
use portvakt_core::session::{Session, SessionId};
use portvakt_core::token::{TokenError, VerifiedIdToken};
use tokio::sync::watch;
use tokio::time::timeout;

use super::note::{Others, Turn};
use crate::cause;
use crate::endpoint::Visit;
use crate::provider::{Exchanged, Provider, ProviderError, VerifyError};
use crate::telemetry::Telemetry;

/// How long what came of an exchange is remembered at the least: as long as ID-porten lets a refresh token lie unused
/// (dossier 2.5).
pub(super) const KEPT: Duration = Duration::from_secs(600);

/// The most sessions in a generation. Each takes some 6 KiB, so that two generations stay below 50 MiB.
const MOST: usize = 4096;

/// How long an exchange that failed is not tried again for the same session.
const REST: Duration = Duration::from_secs(3);

/// How long a request waits for an exchange: a little longer than the call may take, or, if its token is good still, as
/// long as a person hardly notices.
const PATIENCE: Duration = Duration::from_secs(12);
const PATIENCE_WITH_A_TOKEN: Duration = Duration::from_secs(2);

/// Tokens of a session, as they came from a browser or from the provider.
#[derive(Debug)]
pub(crate) struct Exchange {
    tokens: Tokens,
    /// The browser's cookies, sealed once: all replies that bring these tokens bring the same parts.
    lines: OnceLock<Vec<HeaderValue>>,
}

impl Exchange {
    pub(super) fn new(tokens: Tokens) -> Self {
        Self { tokens, lines: OnceLock::new() }
    }

    pub(super) fn tokens(&self) -> &Tokens {
        &self.tokens
    }

    pub(super) fn lines(&self) -> &[HeaderValue] {
        self.lines.get().map(Vec::as_slice).unwrap_or_default()
    }

    pub(super) fn is_good(&self, now: Timestamp) -> bool {
        self.tokens.access().is_some_and(|access| access.is_good(now))
    }

    /// Writes the browser's cookies; false if they do not fit: then what it keeps says so.
    pub(super) fn seal(&self, plan: &SessionPlan, ring: &Ring<SealKey>, now: Timestamp) -> bool {
        let mut fits = true;
        self.lines.get_or_init(|| {
            self.tokens.keep(plan, ring, now).unwrap_or_else(|| {
                fits = false;
                self.tokens.not_kept().keep(plan, ring, now).unwrap_or_default()
            })
        });
        fits
    }

    /// Whether it is time, and possible, to exchange them.
    fn is_due(&self, now: Timestamp) -> bool {
        self.tokens.refresh().is_some() && self.tokens.access().is_some_and(|access| access.is_due(now))
    }
}

/// What came of an exchange.
#[derive(Clone, Debug)]
pub(super) enum Outcome {
    /// Newer tokens.
    Exchanged(Arc<Exchange>),
    /// The provider knows the refresh token no more, or what it gave cannot be used.
    Over,
    /// It gave somebody else's, or another session's.
    Wrong,
    /// It could not be asked, or failed.
    Failed(Timestamp),
}

/// What is told of an exchange once it is known.
type Told = watch::Receiver<Option<Outcome>>;

struct Flight {
    from: Arc<Exchange>,
    outcome: Told,
}

/// How a request's tokens stand.
pub(super) enum Standing {
    /// These are the newest, and there is nothing to wait for.
    Settled(Arc<Exchange>),
    /// They are being exchanged.
    UnderWay {
        /// The newest so far.
        best: Arc<Exchange>,
        /// To be waited for.
        outcome: Told,
        /// Whether by this request.
        began: bool,
    },
    /// They cannot be exchanged, which was known before.
    Over,
    /// They were exchanged for somebody else's.
    Wrong,
}

/// What is remembered of a session beyond what its browser sent.
pub(super) enum Known {
    /// Nothing.
    Nothing,
    /// Newer tokens.
    Newer(Arc<Exchange>),
    /// An exchange that is not over.
    UnderWay(Told),
}

/// The exchanges of this process.
#[derive(Default)]
pub(crate) struct Exchanges(Mutex<Generations>);

#[derive(Default)]
struct Generations {
    younger: HashMap<SessionId, Flight>,
    older: HashMap<SessionId, Flight>,
    began: Option<Timestamp>,
}

impl Generations {
    fn find(&self, session: &SessionId) -> Option<&Flight> {
        self.younger.get(session).or_else(|| self.older.get(session))
    }

    fn put(&mut self, session: SessionId, flight: Flight, now: Timestamp) {
        let began = *self.began.get_or_insert(now);
        if now.since(began) >= KEPT || self.younger.len() >= MOST {
            self.older = std::mem::take(&mut self.younger);
            self.began = Some(now);
        }
        self.younger.insert(session, flight);
    }
}

impl Exchanges {
    /// How the tokens that a request presents stand; begins their exchange if it is time and nobody has.
    pub(super) fn stand(
        &self,
        presented: &Arc<Exchange>,
        now: Timestamp,
        whose: impl FnOnce() -> Option<Whose>,
    ) -> Standing {
        let session = presented.tokens.session();
        let mut generations = self.locked();
        // What began with older tokens than these says nothing of them: another replica was quicker.
        let flight = generations
            .find(session)
            .filter(|flight| flight.from.tokens.exchange() >= presented.tokens.exchange());
        let told = flight.map(|flight| (Arc::clone(&flight.from), flight.outcome.borrow().clone()));
        let newest = match told {
            None => Arc::clone(presented),
            Some((_, Some(Outcome::Exchanged(newer)))) => newer,
            Some((_, Some(Outcome::Wrong))) => return Standing::Wrong,
            Some((from, Some(Outcome::Over))) if from.is_good(now) => return Standing::Settled(from),
            Some((_, Some(Outcome::Over))) => return Standing::Over,
            Some((from, Some(Outcome::Failed(at)))) if now.since(at) < REST => {
                return Standing::Settled(from);
            }
            Some((from, Some(Outcome::Failed(_)))) => from,
            Some((best, None)) => {
                let outcome = flight.map(|flight| flight.outcome.clone());
                return outcome.map_or(Standing::Over, |outcome| Standing::UnderWay {
                    best,
                    outcome,
                    began: false,
                });
            }
        };
        if !newest.is_due(now) {
            return Standing::Settled(newest);
        }
        let Some(whose) = whose() else { return Standing::Settled(newest) };
        let (tell, outcome) = watch::channel(None);
        generations.put(*session, Flight { from: Arc::clone(&newest), outcome: outcome.clone() }, now);
        drop(generations);
        let from = newest.tokens.clone();
        tokio::spawn(async move {
            let outcome = whose.exchange(&from).await;
            tell.send_replace(Some(outcome));
        });
        Standing::UnderWay { best: newest, outcome, began: true }
    }

    /// What is known of the session of these tokens beyond them.
    pub(super) fn known(&self, presented: &Tokens) -> Known {
        let generations = self.locked();
        let Some(flight) = generations.find(presented.session()) else { return Known::Nothing };
        let outcome = flight.outcome.borrow().clone();
        match outcome {
            None => Known::UnderWay(flight.outcome.clone()),
            Some(Outcome::Exchanged(newer)) if newer.tokens.exchange() > presented.exchange() => {
                Known::Newer(newer)
            }
            Some(_) => Known::Nothing,
        }
    }

    fn locked(&self) -> MutexGuard<'_, Generations> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Exchanges {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Exchanges").finish_non_exhaustive()
    }
}

/// What came of an exchange; `None` if that takes longer than a request waits. `with_a_token`: whether it could go on
/// without.
pub(super) async fn settled(mut outcome: Told, with_a_token: bool) -> Option<Outcome> {
    let patience = if with_a_token { PATIENCE_WITH_A_TOKEN } else { PATIENCE };
    let told = timeout(patience, outcome.wait_for(Option::is_some)).await.ok()?.ok()?;
    told.clone()
}

/// Whose tokens an exchange must bring, and where it is made.
pub(super) struct Whose {
    provider: Arc<Provider>,
    clock: Arc<Clock>,
    telemetry: Arc<Telemetry>,
    subject: String,
    pid: Option<String>,
    /// The tag of the provider's session, with the key that made it.
    op_session: Option<(Tag, KeyId, MacKey)>,
    /// Other replicas, where they share a store.
    others: Option<Others>,
}

impl Whose {
    /// Of a session that lives; `None` if the key of its tags has retired, so that it does not.
    pub(super) fn of(session: &Session, provider: &Arc<Provider>, visit: &Visit<'_>) -> Option<Self> {
        let (who, tags) = (session.identity(), session.tags());
        let key = visit.snapshot.keys.revocation.by_id(tags.key, visit.now)?;
        Some(Self {
            provider: Arc::clone(provider),
            clock: Arc::clone(&visit.live.clock),
            telemetry: Arc::clone(&visit.live.telemetry),
            subject: who.subject().to_owned(),
            pid: who.pid().map(|pid| pid.as_str().to_owned()),
            op_session: tags.op_session.map(|tag| (tag, tags.key, key.clone())),
            others: visit.snapshot.configuration.revocation.stream.clone().map(|store| Others {
                notes: Arc::clone(&visit.live.replication.notes),
                store,
                ring: visit.ring().clone(),
                key: key.clone(),
            }),
        })
    }

    async fn exchange(&self, from: &Tokens) -> Outcome {
        let (outcome, word) = match &self.others {
            None => self.exchanged(from).await,
            Some(others) => self.in_turn(from, others).await,
        };
        self.telemetry.metrics.access_token(&self.provider.settings().name, word);
        outcome
    }

    async fn in_turn(&self, from: &Tokens, others: &Others) -> (Outcome, &'static str) {
        match others.turn(from, &self.clock).await {
            Turn::Ours => {}
            Turn::Done(newer) => return (Outcome::Exchanged(Arc::new(Exchange::new(newer))), "taken_over"),
        }
        let (outcome, word) = self.exchanged(from).await;
        match &outcome {
            Outcome::Exchanged(newer) => others.tell(from, &newer.tokens, &self.clock).await,
            Outcome::Over | Outcome::Wrong | Outcome::Failed(_) => others.give_up(from).await,
        }
        (outcome, word)
    }

    async fn exchanged(&self, from: &Tokens) -> (Outcome, &'static str) {
        let name = &self.provider.settings().name;
        let Some(refresh) = from.refresh() else { return (Outcome::Over, "over") };
        let exchanged = match self.provider.exchange(refresh, self.clock.now()).await {
            Ok(exchanged) => exchanged,
            Err(ProviderError::Refused { code, .. }) if code.as_str() == "invalid_grant" => {
                return (Outcome::Over, "over");
            }
            // It will be refused as long as that is so. A login may bring a token all the same.
            Err(error) if is_refused_for_good(&error) => {
                let cause = cause::chain(&error);
                tracing::error!(
                    provider = name,
                    cause,
                    "the provider exchanges no access tokens for this client"
                );
                return (Outcome::Over, "over");
            }
            Err(error) => {
                let cause = cause::chain(&error);
                tracing::warn!(provider = name, cause, "an access token could not be exchanged");
                return (Outcome::Failed(self.clock.now()), "failed");
            }
        };
        let newer = |Exchanged { access, refresh, .. }| from.exchanged(access, refresh);
        let judged = self.provider.verify_exchanged(&exchanged, from, &self.subject, self.clock.now()).await;
        let refused = match judged {
            Ok(None) => None,
            Ok(Some(token)) if self.is_theirs(&token) => None,
            Ok(Some(_)) => Some(("the person or the session is another", true)),
            Err(VerifyError::Token(error)) => Some(("the ID token was rejected", is_anothers(&error))),
            Err(VerifyError::Provider(_)) => Some(("the ID token cannot be judged", false)),
        };
        let newer = newer(exchanged);
        let Some((why, wrong)) = refused else {
            return (Outcome::Exchanged(Arc::new(Exchange::new(newer))), "exchanged");
        };
        tracing::error!(provider = name, why, "an exchange brought tokens that are not used");
        revoke(&self.provider, &self.clock, newer);
        if wrong { (Outcome::Wrong, "wrong") } else { (Outcome::Over, "rejected") }
    }

    /// Whether a verified token, whose `sub` is the login's, also agrees with the rest of it.
    fn is_theirs(&self, token: &VerifiedIdToken) -> bool {
        let settings = self.provider.settings();
        let said = |name: &&str| token.claim_str(name);
        let pid = settings.profile.claims.pid.iter().find_map(said);
        let same_pid = match (pid, &self.pid) {
            (Some(said), Some(known)) => said == known,
            _ => true,
        };
        let same_session = match (token.sid(), &self.op_session) {
            (Some(sid), Some((tag, id, key))) => {
                Tagger::with(*id, key).op_session(&settings.name, &settings.issuer, sid) == *tag
            }
            _ => true,
        };
        same_pid && same_session
    }
}

/// Whether the provider does not exchange such a token, whatever token it is (RFC 6749, 5.2; RFC 8707, 2). What is wrong with
/// the client's own key may be mended meanwhile.
fn is_refused_for_good(error: &ProviderError) -> bool {
    let ProviderError::Refused { code, .. } = error else { return false };
    ["unauthorized_client", "unsupported_grant_type", "invalid_scope", "invalid_target"]
        .contains(&code.as_str())
}

/// Whether a token was refused because it is another's, not because it is broken.
fn is_anothers(error: &TokenError) -> bool {
    matches!(
        error,
        TokenError::WrongSubject
            | TokenError::WrongNonce
            | TokenError::WrongIssuer
            | TokenError::WrongAudience
            | TokenError::WrongAuthorizedParty
    )
}

/// Ends tokens at the provider, in the background: nobody waits for it.
pub(super) fn revoke(provider: &Arc<Provider>, clock: &Arc<Clock>, tokens: Tokens) {
    let (provider, clock) = (Arc::clone(provider), Arc::clone(clock));
    tokio::spawn(async move {
        if let Err(error) = provider.revoke(&tokens, clock.now()).await {
            let (name, cause) = (&provider.settings().name, cause::chain(&error));
            tracing::warn!(provider = name, cause, "tokens could not be ended at the provider");
        }
    });
}

/// Ends the newest tokens of a session, those of an exchange that is not over among them.
pub(super) fn end(provider: &Arc<Provider>, clock: &Arc<Clock>, presented: Tokens, known: Known) {
    match known {
        Known::Nothing => revoke(provider, clock, presented),
        Known::Newer(newer) => revoke(provider, clock, newer.tokens.clone()),
        Known::UnderWay(outcome) => {
            let (provider, clock) = (Arc::clone(provider), Arc::clone(clock));
            tokio::spawn(async move {
                let newest = match settled(outcome, false).await {
                    Some(Outcome::Exchanged(newer)) => newer.tokens.clone(),
                    _ => presented,
                };
                revoke(&provider, &clock, newest);
            });
        }
    }
}

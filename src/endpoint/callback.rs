//! `GET <prefix>/callback`, or `<prefix>/callback/<provider>` for one that has its own: the provider's answer.
//! The code is spent only after the attempt, the callback, `state` and `iss` agree (RFC 9700, 2.1 and 4.4;
//! RFC 9207).

use std::sync::Arc;

use http::HeaderValue;
use portvakt_core::identity::verify::{Asked, IdentityError, is_synthetic, verify};
use portvakt_core::identity::{Representation, VerifiedIdentity};
use portvakt_core::login::answer::{AnswerError, CallbackQuery, CheckedAnswer};
use portvakt_core::login::attempt::{self, Attempt, Slot};
use portvakt_core::login::wish::{Unfulfilled, Wish};
use portvakt_core::provider::{ProviderSettings, SyntheticNumbers};
use portvakt_core::redirect::Target;
use portvakt_core::request::is_known_subrequest;
use portvakt_core::revocation::{Ended, Tagger};
use portvakt_core::session::choice::{self, Choice};
use portvakt_core::session::plan::SessionPlan;
use portvakt_core::session::tokens::Tokens;
use portvakt_core::session::{Session, SessionId, cookies, ticket};
use portvakt_core::token::{MaxAge, TokenError, VerifiedIdToken};

use super::{Visit, apps, login, organisation};
use crate::answer::{Answer, Location};
use crate::provider::{Call, LoginExpectation, Provider, ProviderError, VerifyError};
use crate::respond::{self, FailedLogin, Refusal};
use crate::telemetry::{Action, AuditResult};
use crate::tokens;

/// For how long a finished login is remembered, in seconds, to notice browsers that keep no session.
const DONE_LIFE: u32 = 60;

/// Why an answer logs nobody in. One variant per cause that someone acts on differently.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CallbackError {
    /// The answer itself.
    #[error(transparent)]
    Answer(AnswerError),
    /// The code could not be redeemed.
    #[error("the code was not redeemed")]
    Redeem(#[source] ProviderError),
    /// Userinfo could not be had.
    #[error("userinfo was not told")]
    Userinfo(#[source] ProviderError),
    /// The ID token was refused.
    #[error("the ID token was rejected")]
    IdToken(#[source] VerifyError),
    /// The ID token says nobody that we may believe.
    #[error("the ID token names nobody")]
    Identity(#[source] IdentityError),
    /// The login is not what was asked for.
    #[error("the login is not what was asked for")]
    Unfulfilled(#[source] Unfulfilled),
    /// What the provider says of the person does not fit into a cookie.
    #[error("the session is too large for a cookie")]
    TooLarge,
    /// The ID token lacks the `sid` by which the provider could end the session.
    #[error("the ID token has no sid")]
    NoSid,
    /// The provider's session has ended already, or may have.
    #[error("the session had ended before it began")]
    Ended(#[source] Ended),
}

impl CallbackError {
    /// Whether the provider only remembered too much: a session that has ended, or an authentication that is
    /// too old, since it need not honour `max_age` (dossier 2.1).
    fn is_mended_by_a_new_login(&self) -> bool {
        matches!(
            self,
            Self::Ended(Ended::Revoked) | Self::IdToken(VerifyError::Token(TokenError::AuthenticationTooOld))
        )
    }

    /// The word for audit log and metrics.
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::Answer(AnswerError::Malformed) => "malformed_callback",
            Self::Answer(AnswerError::NoAttempt) => "no_attempt",
            Self::Answer(AnswerError::WrongIssuer(_)) => "wrong_issuer",
            Self::Answer(AnswerError::WrongCallback(_)) => "wrong_callback",
            Self::Answer(AnswerError::Provider { .. }) => "refused_by_provider",
            Self::Redeem(_) => "code_not_redeemed",
            Self::Userinfo(_) => "userinfo_not_told",
            Self::IdToken(_) => "id_token_rejected",
            Self::Identity(_) => "identity_rejected",
            Self::Unfulfilled(_) => "not_as_asked",
            Self::TooLarge => "too_large",
            Self::NoSid => "no_sid",
            Self::Ended(_) => "already_ended",
        }
    }
}

pub(super) async fn serve(path: &str, query: &str, visit: &Visit<'_>) -> Result<Answer, Refusal> {
    if is_known_subrequest(visit.headers()) {
        return Err(Refusal::NotANavigation);
    }
    let callback = path.strip_prefix(visit.prefix()).ok_or(Refusal::NoRoute)?;
    let comes_here = |plan: &SessionPlan| plan.provider.callback() == callback;
    // Whose answer it is if no attempt says so.
    let here = visit.host.sessions.iter().find(|plan| comes_here(plan)).ok_or(Refusal::NoRoute)?;
    let unasked = |error| refuse(visit, here, CallbackError::Answer(error), None);
    let whole = query;
    let query = match CallbackQuery::parse(query) {
        Ok(query) => query,
        Err(error) => return unasked(error),
    };
    let asking = query.asking_host(&visit.host.origin.to_string(), visit.ring(), visit.now);
    if let Some(answer) = asking.and_then(|origin| visit.relayed(&origin, path, whole)) {
        return Ok(answer);
    }
    let (slot, attempt) = match query.attempt(visit.headers(), visit.scope(), visit.ring(), visit.now) {
        Ok(found) => found,
        Err(error) => return unasked(error),
    };
    // An attempt at a provider that the file has no more, or as another issuer, is none.
    let Some(plan) = visit.host.sessions.iter().find(|plan| plan.realm() == attempt.realm) else {
        return unasked(AnswerError::NoAttempt);
    };
    let asked = attempt.clone();
    let login = if comes_here(plan) {
        log_in(query, slot, attempt, visit, plan).await
    } else {
        Err(CallbackError::Answer(AnswerError::WrongCallback(Box::new(attempt))))
    };
    let answer = match login {
        Ok(login) => return welcome(login, visit, plan),
        Err(cause) => match next_wish(&cause, &asked, visit) {
            Some(wish) => match again(slot, &asked, wish, visit, plan).await {
                Ok(answer) => return Ok(answer),
                Err(refusal) => respond::refuse(&refusal, &visit.asker()),
            },
            None => refuse(visit, plan, cause, Some(asked))?,
        },
    };
    // Whatever came of it, the attempt is spent.
    Ok(answer.with_cookies([attempt::jar(slot).delete()]))
}

/// What a login that failed is asked for once more, if that may mend it: the same with `prompt=login`, and no further
/// (`design.md` D1); or one organisation, where the person has more than can be kept to choose from.
fn next_wish(cause: &CallbackError, asked: &Attempt, visit: &Visit<'_>) -> Option<Wish> {
    let representation = asked.wish.asked.and_then(|id| visit.host.routes.representation(id));
    let alone = representation.and_then(Representation::alone).map(Representation::id);
    match cause {
        CallbackError::Identity(IdentityError::TooManyOrganisations) => {
            alone.map(|alone| Wish { asked: Some(alone), ..asked.wish.clone() })
        }
        // Who began before, and may have ended meanwhile, is sent to the provider again, which knows.
        CallbackError::Ended(Ended::BeforeKnowledge) if asked.in_a_row + 1 < attempt::MAX_IN_A_ROW => {
            Some(asked.wish.clone())
        }
        cause if cause.is_mended_by_a_new_login() && !asked.wish.fresh => {
            Some(Wish { fresh: true, ..asked.wish.clone() })
        }
        _ => None,
    }
}

/// Once more, in the place of the attempt that is spent.
async fn again(
    slot: u8,
    asked: &Attempt,
    wish: Wish,
    visit: &Visit<'_>,
    plan: &Arc<SessionPlan>,
) -> Result<Answer, Refusal> {
    let now = visit.live.clock.now();
    let wish = login::with_values(visit, plan, &asked.target, wish);
    // What is asked the same way again could go on for ever.
    let is_same = Wish { acr_values: Vec::new(), ..wish.clone() } == asked.wish;
    let in_a_row = asked.in_a_row + u8::from(is_same);
    let attempt = Attempt::start(plan.realm(), wish, asked.target.clone(), in_a_row, now);
    let answer = login::start(visit, plan, slot, attempt, None).await?;
    Ok(Answer { rule: "login_anew", ..answer })
}

/// A login that succeeded.
struct Login {
    answer: CheckedAnswer,
    token: VerifiedIdToken,
    id_token: String,
    for_apps: Option<Tokens>,
    begins: Begins,
}

/// How the session of a login begins.
enum Begins {
    /// As what the login brought.
    Now(Session),
    /// For nobody: the person chooses next for whom they act.
    AndChooses(Choice),
}

impl Begins {
    fn session(&self) -> &Session {
        match self {
            Self::Now(session) => session,
            Self::AndChooses(choice) => choice.whole(),
        }
    }
}

async fn log_in(
    query: CallbackQuery,
    slot: u8,
    attempt: Attempt,
    visit: &Visit<'_>,
    plan: &SessionPlan,
) -> Result<Login, CallbackError> {
    let settings = &*plan.provider;
    // The plan is of this very configuration, so its provider is there.
    let provider = visit.provider(plan).map_err(|_| CallbackError::Answer(AnswerError::NoAttempt))?;
    let metadata = provider.metadata(visit.now).await.map_err(CallbackError::Redeem)?;
    let answer = query
        .accept((slot, attempt), &settings.issuer, settings.sends_iss || metadata.iss_in_response())
        .map_err(CallbackError::Answer)?;
    let attempt = answer.attempt();
    let _share = provider.share(Call::Token, visit.client()).map_err(CallbackError::Redeem)?;
    // One use, whatever the provider makes of a code that comes twice (OP-1).
    if !visit.live.answers.is_new(&(&settings.name, &attempt.state(slot)), visit.now) {
        return Err(CallbackError::Answer(AnswerError::NoAttempt));
    }
    let redirect_uri = visit.return_url(&settings.callback());
    let asked_at = visit.live.clock.now();
    let brought = provider
        .redeem(answer.code(), &redirect_uri, &attempt.verifier(), asked_at)
        .await
        .map_err(CallbackError::Redeem)?;
    let now = visit.live.clock.now();
    let expected =
        LoginExpectation { nonce: &attempt.nonce(), max_age: max_age(attempt), code: answer.code() };
    let token = provider.verify_id_token(&brought, &expected, now).await.map_err(CallbackError::IdToken)?;
    let representation = match attempt.wish.asked {
        None => None,
        // Asked by a configuration that is in force no more.
        Some(id) => {
            Some(visit.host.routes.representation(id).ok_or(CallbackError::Answer(AnswerError::NoAttempt))?)
        }
    };
    let userinfo = if settings.profile.capabilities.userinfo && leaves_out_who_it_is(&token, provider) {
        Some(provider.userinfo(&brought, now).await.map_err(CallbackError::Userinfo)?)
    } else {
        None
    };
    let asked = Asked {
        production: visit.snapshot.is_production(),
        userinfo: userinfo.as_ref(),
        representation,
        onbehalfof: visit.onbehalfof(plan),
    };
    let who = verify(&token, settings, &asked)
        .inspect_err(|error| tell_of_unknown_level(*error, &token, settings, visit))
        .map_err(CallbackError::Identity)?;
    if settings.synthetic_numbers == SyntheticNumbers::Warn && is_synthetic(&who) {
        tracing::warn!(
            provider = settings.name,
            reference = visit.reference,
            "somebody logged in with a number that only test persons have"
        );
    }
    attempt.wish.check(&who).map_err(CallbackError::Unfulfilled)?;
    if token.sid().is_none() && (settings.profile.capabilities.sid || metadata.sid()) {
        check_without_sid(visit, provider)?;
    }
    let session = begin(visit, settings, &token, who);
    visit.live.revocations.check_login(&session, attempt.started).map_err(CallbackError::Ended)?;
    let for_apps = tokens::of_login(visit, plan, session.id(), &attempt.nonce(), brought.for_apps(asked_at));
    // A browser drops a cookie that is too long, and would log in for ever.
    let now = visit.live.clock.now();
    if representation.is_some_and(|asked| asked.is_chosen()) && session.identity().organisations().len() > 1 {
        let choice = Choice::pending(session, attempt.target.clone());
        if choice.seal(plan, visit.ring(), now).is_none() {
            return Err(CallbackError::Identity(IdentityError::TooManyOrganisations));
        }
        let id_token = brought.unverified_id_token().to_owned();
        return Ok(Login { id_token, token, for_apps, begins: Begins::AndChooses(choice), answer });
    }
    if ticket::seal(&session, plan, visit.ring(), now).len() > cookies::MAX_SESSION {
        return Err(CallbackError::TooLarge);
    }
    Ok(Login {
        id_token: brought.unverified_id_token().to_owned(),
        token,
        for_apps,
        begins: Begins::Now(session),
        answer,
    })
}

/// A value that nobody has given a worth to, such as that of a wallet: an operator may, with the provider's `acr`.
fn tell_of_unknown_level(
    error: IdentityError,
    token: &VerifiedIdToken,
    settings: &ProviderSettings,
    visit: &Visit<'_>,
) {
    if error != IdentityError::UnknownAcr {
        return;
    }
    let asserted = settings.profile.claims.acr.iter().filter_map(|claim| token.claim_str(claim));
    for acr in asserted.filter(|acr| settings.acr.rank(acr).is_none()) {
        tracing::warn!(
            provider = settings.name,
            reference = visit.reference,
            acr,
            "nobody logs in by an `acr` value that the profile does not know; the provider's `acr` can say what it is worth"
        );
    }
}

/// Whether an ID token has no number, so that userinfo is asked for one.
fn leaves_out_who_it_is(token: &VerifiedIdToken, provider: &Provider) -> bool {
    !provider.settings().profile.claims.pid.iter().any(|claim| token.claim(claim).is_some())
}

/// What the person ends elsewhere would go on here until its limits (dossier 0, fact 12; 7, question 10).
fn check_without_sid(visit: &Visit<'_>, provider: &Provider) -> Result<(), CallbackError> {
    let settings = provider.settings();
    let accepted = settings.insecure_login_without_sid;
    tracing::error!(
        provider = settings.name,
        client_id = settings.client_id,
        reference = visit.reference,
        accepted,
        "an ID token has no sid, so the provider cannot end its session: set frontchannel_logout_session_required, \
         or a backchannel_logout_uri, in the registration of this client"
    );
    if accepted { Ok(()) } else { Err(CallbackError::NoSid) }
}

/// The age that the ID token must prove: that which was asked for (OP-6).
fn max_age(attempt: &Attempt) -> Option<MaxAge> {
    let age = if attempt.wish.fresh { Some(std::time::Duration::ZERO) } else { attempt.wish.max_age };
    age.map(|age| MaxAge { age, requested_at: attempt.started })
}

fn begin(
    visit: &Visit<'_>,
    settings: &ProviderSettings,
    token: &VerifiedIdToken,
    who: VerifiedIdentity,
) -> Session {
    let now = visit.live.clock.now();
    let id = SessionId::random();
    let tags = Tagger::active(&visit.snapshot.keys.revocation, now).tags(
        &id,
        &settings.name,
        &settings.issuer,
        token.sid(),
        token.subject(),
    );
    Session::begin(id, tags, who, now)
}

/// A new session from the new token alone; the one before it ends (CK-10), and those of other names stay as
/// they are. Another person than before, be that session over or not, starts at the start page (`design.md`
/// D13).
fn welcome(login: Login, visit: &Visit<'_>, plan: &SessionPlan) -> Result<Answer, Refusal> {
    let Login { answer, token, id_token, for_apps, begins } = login;
    let session = begins.session();
    let provider = visit.provider(plan)?;
    let mut target = answer.attempt().target.clone();
    let previous = visit.last_session(plan);
    let stepped_from =
        visit.find_session(plan).ok().filter(|live| live.identity().is_same_person(session.identity()));
    // Its cookie is replaced by this answer. If its end was not written, that is tried again.
    let _ = visit.end_presented(plan);
    if previous.is_some_and(|previous| !previous.identity().is_same_person(session.identity())) {
        target = Target::start();
        // At the provider too the one before leaves nothing behind. Of the same person both may be one.
        let _ = tokens::end(visit, plan);
    }
    let now = visit.live.clock.now();
    let (scope, ring, prefix) = (visit.scope(), visit.ring(), visit.prefix());
    let in_a_row = answer.attempt().in_a_row.saturating_add(1);
    let done = Slot::Done { at: now, in_a_row, realm: plan.realm() };
    let done = attempt::seal(answer.slot(), &done, scope, ring, now);
    let mut set = vec![attempt::jar(answer.slot()).set_for(&done, DONE_LIFE)];
    set.extend(begin_in_browser(&begins, &target, visit, plan));
    set.extend(tokens::keep(for_apps.as_ref(), visit, plan, provider));
    set.extend(apps::leave(&[plan], visit));
    let hint = cookies::seal_hint(&id_token, plan, ring, now).unwrap_or_default();
    for part in 0..cookies::CHUNKS {
        let jar = cookies::logout_jar(plan, prefix, part);
        set.push(hint.get(part).map_or_else(|| jar.delete(), |value| jar.set(value)));
    }
    match &stepped_from {
        Some(before) => visit.audit_exchange(Action::StepUp, provider, token.sid(), session, before),
        None => visit.audit(Action::Login, AuditResult::Success, provider, token.sid(), Some(session)),
    }
    visit.live.telemetry.metrics.login_ended(&provider.settings().name, "success");
    visit.live.telemetry.metrics.session_opened();
    if let Begins::AndChooses(_) = begins {
        let place = Location::Own(organisation::link(plan, visit));
        return Ok(Answer::redirect(&place, "login_to_choose").with_cookies(set));
    }
    Ok(Answer::redirect(&Location::Target(target), "login_done").with_cookies(set))
}

/// The cookies with which a session begins.
fn begin_in_browser(
    begins: &Begins,
    target: &Target,
    visit: &Visit<'_>,
    plan: &SessionPlan,
) -> Vec<HeaderValue> {
    let (ring, now) = (visit.ring(), visit.live.clock.now());
    let (session_jar, choice_jar) = (cookies::session_jar(plan), choice::jar(plan, visit.prefix()));
    match begins {
        Begins::Now(session) => vec![session_jar.set(&ticket::seal(session, plan, ring, now))],
        Begins::AndChooses(choice) => {
            let choice = Choice::pending(choice.whole().clone(), target.clone());
            let value = choice.seal(plan, ring, now).map(|value| choice_jar.set(&value));
            let ticket = ticket::seal(&choice.unchosen(), plan, ring, now);
            [Some(session_jar.set(&ticket)), value].into_iter().flatten().collect()
        }
    }
}

fn refuse(
    visit: &Visit<'_>,
    plan: &SessionPlan,
    cause: CallbackError,
    attempt: Option<Attempt>,
) -> Result<Answer, Refusal> {
    let provider = visit.provider(plan)?;
    let code = cause.code();
    // Anybody can send what no login of ours began: it is no login, and must not push those that are out of
    // the log.
    if !matches!(cause, CallbackError::Answer(AnswerError::NoAttempt | AnswerError::Malformed)) {
        visit.audit(Action::Login, AuditResult::Failure(code), provider, None, None);
    }
    visit.live.telemetry.metrics.login_ended(&provider.settings().name, code);
    let (target, wish) =
        attempt.map_or((Target::start(), Wish::default()), |attempt| (attempt.target, attempt.wish));
    let level = wish.level;
    let level_or_kind = matches!(cause, CallbackError::Unfulfilled(_));
    let refusal = Refusal::Callback(Box::new(FailedLogin {
        cause,
        kinds: wish.kinds,
        otherwise: login::other_link(visit, plan, &target, level_or_kind),
        choice: login::has_choice(visit, &target),
        login: visit.login_link(plan, &target, level),
        logout: visit.logout_link(plan),
    }));
    Ok(respond::refuse(&refusal, &visit.asker()))
}

//! Cause to status, code and page: the only writer of our own answers (`threats.md` OP-12, BR-1).
//!
//! The client learns what happened, what to do, and a reference; the cause goes to the log, never to the
//! page. No `_` arm: a new cause does not compile until someone decides.

use std::sync::Arc;
use std::time::Duration;

use http::header::{
    ALLOW, CONTENT_LANGUAGE, CONTENT_LENGTH, CONTENT_SECURITY_POLICY, CONTENT_TYPE, LOCATION,
    REFERRER_POLICY, RETRY_AFTER, SEC_WEBSOCKET_VERSION, STRICT_TRANSPORT_SECURITY, WWW_AUTHENTICATE,
    X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use pingora::http::ResponseHeader;
use pingora::prelude::{Error, ErrorType, Result};
use pingora::protocols::http::ServerSession;
use pingora::proxy::Session;
use portvakt_core::access::{Shortfall, TokenShortfall};
use portvakt_core::brand::Brand;
use portvakt_core::clock::Timestamp;
use portvakt_core::identity::Kinds;
use portvakt_core::key::Ring;
use portvakt_core::language::Language;
use portvakt_core::login::answer::{AnswerError, ProviderCode};
use portvakt_core::login::wish::Unfulfilled;
use portvakt_core::redirect::Target;
use portvakt_core::request::{Malformed, NormalRequest};
use portvakt_core::route::{Host, Origin, Route, Unrouted};
use portvakt_core::seal::SealKey;
use portvakt_core::token::TokenError;
use portvakt_core::websocket::BadHandshake;
use serde_json::json;
use url::form_urlencoded;

use crate::answer::Answer;
use crate::cause;
use crate::endpoint::callback::CallbackError;
use crate::machine::{KEYS_RETRY, TokenRefusal};
use crate::page::{
    self, Again, Choice, KeptFormLinks, OrganisationChoice, Page, PageLinks, RenderedPage, Setting,
};
use crate::provider::{EndSessionRequest, ProviderError, VerifyError};
use crate::tokens::Unavailable;

/// The word for the access log: which rule a login does not fulfil.
fn rule_of(why: Shortfall) -> &'static str {
    match why {
        Shortfall::Kind => "forbidden_kind",
        Shortfall::Number => "forbidden_without_number",
        Shortfall::Provider => "forbidden_provider",
        Shortfall::Country => "forbidden_country",
        Shortfall::Method => "forbidden_method",
        Shortfall::NoOrganisation => "represents_nobody",
        Shortfall::Organisation => "forbidden_organisation",
        // A new login mends these, so that nobody is refused for them.
        Shortfall::Asked | Shortfall::Level | Shortfall::Age => "forbidden",
    }
}

/// When a person may try a provider again that failed, in seconds.
const PROVIDER_RETRY: u32 = 30;

/// The most that a provider's own word for it is passed on.
const MOST_PROVIDER_RETRY: Duration = Duration::from_secs(3600);

/// When an app may have room again, in seconds.
const APP_RETRY: u32 = 2;

/// When there may be room again, in seconds.
const OVERLOAD_RETRY: u32 = 2;

/// When the view of ended sessions may have recovered, in seconds.
const SESSIONS_RETRY: u32 = 5;

/// Why a request does not get what it asked for.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// The connection is of no listener of the configuration in force.
    UnknownListener,
    /// The peer is not one that this listener serves.
    Peer,
    /// Plain http for an https origin; a page there would be at `to`.
    InsecureTransport { to: String },
    /// The request has no normal form.
    Malformed(Malformed),
    /// A host that the configuration does not name.
    WrongHost,
    /// No route, or no endpoint of ours.
    NoRoute,
    /// An app could read the path as another route's.
    AmbiguousPath,
    /// Not with this method.
    Method(Vec<Method>),
    /// An endpoint's parameters are doubled or malformed.
    Parameters,
    /// A WebSocket that is not opened.
    Handshake(BadHandshake),
    /// An endpoint for navigations was asked for by something else (OP-14).
    NotANavigation,
    /// A page of another origin asks for what the route does not take from there.
    CrossSite,
    /// A machine's token is missing, or is not enough.
    Token(TokenRefusal),
    /// The route does not take who is logged in.
    Forbidden(Box<Forbidden>),
    /// Logins end well and the browser comes back without a session.
    LoginLoop { login: String },
    /// No login can be started.
    ProviderDown { cause: ProviderError, login: String, otherwise: Option<String> },
    /// The provider's answer logs nobody in.
    Callback(Box<FailedLogin>),
    /// A form was sent by somebody who must log in first, and cannot be kept. `login` starts that.
    FormNotKept { login: String },
    /// A kept form is too old, or none of ours.
    FormGone,
    /// Which sessions have ended is not known well enough for a strict route.
    SessionsUncertain,
    /// The app gets no request without the person's access token, and there is none now.
    AccessToken(Unavailable),
    /// The app could not be reached, or broke off.
    AppUnreachable,
    /// The app took too long.
    AppTooSlow,
    /// The operators have closed the route for now, and may say why; in so many seconds it is worth another look.
    Maintenance { message: Option<Arc<str>>, retry: u32 },
    /// The client asks more often than the route allows, or starts too many logins; in so many seconds it may again.
    TooManyRequests { retry: u32, login: Option<String> },
    /// More requests are under way than we carry.
    Overloaded,
    /// The app has as many requests under way as it may.
    AppBusy,
    /// The body is larger than the route takes.
    TooLarge,
    /// A proxy asks about a request that must not pass as it stands.
    Unasked(Unasked),
    /// A fault of ours, a missing permit among them.
    Internal,
    /// Not a refusal: the person is logged out everywhere.
    SignedOut,
    /// Not a refusal: the person is logged out here, and the provider could not be told.
    SignedOutHereOnly,
}

/// Why a proxy is told nothing of a request that it asks about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unasked {
    /// What it says of the request is missing, doubled, malformed, or of another dialect.
    Dialect,
    /// It asks by another method than its dialect's.
    Method,
    /// The client wants another protocol.
    Upgrade,
    /// The client says itself who it is.
    Claim,
    /// The request is not in its normal form, in which it was judged and would not be sent.
    NotNormal,
}

impl Unasked {
    const fn rule(self) -> &'static str {
        match self {
            Self::Dialect => "forward_auth_dialect",
            Self::Method => "forward_auth_method",
            Self::Upgrade => "forward_auth_upgrade",
            Self::Claim => "forward_auth_claim",
            Self::NotNormal => "forward_auth_not_normal",
        }
    }
}

/// A login that the provider answered in vain, and how it goes on.
#[derive(Debug)]
pub(crate) struct FailedLogin {
    /// What was wrong.
    pub(crate) cause: CallbackError,
    /// The kinds of identity that were asked for; empty: every kind.
    pub(crate) kinds: Kinds,
    /// Starts the same login again.
    pub(crate) login: String,
    /// Starts another login for the same place.
    pub(crate) otherwise: String,
    /// Whether that is by another way.
    pub(crate) choice: bool,
    /// Ends what the provider remembers.
    pub(crate) logout: String,
}

/// Why somebody who is logged in may not pass, and what they can do about it.
#[derive(Debug)]
pub(crate) struct Forbidden {
    /// What the login lacks.
    pub(crate) why: Shortfall,
    /// The kinds of identity that may pass; empty: every kind of person.
    pub(crate) kinds: Kinds,
    /// Starts another login for the same place; `None`: nobody is there to start one.
    pub(crate) otherwise: Option<String>,
    /// Ends the session, also at its provider.
    pub(crate) logout: Option<String>,
}

impl Forbidden {
    /// Without a way out: nobody is there to take it.
    pub(crate) fn supposed(why: Shortfall) -> Self {
        Self { why, kinds: Kinds::new(), otherwise: None, logout: None }
    }

    fn page(&self) -> Page {
        match self.why {
            Shortfall::Kind => Page::of_wrong_kind(&self.kinds),
            Shortfall::Number => Page::NationalNumberNeeded,
            Shortfall::Provider => Page::WrongProvider,
            Shortfall::Country => Page::WrongCountry,
            Shortfall::Method => Page::WrongMethod,
            Shortfall::NoOrganisation => Page::RepresentsNobody,
            Shortfall::Organisation => Page::WrongOrganisation,
            // A new login mends these, so that nobody is refused for them.
            Shortfall::Asked => Page::WrongKind,
            Shortfall::Level => Page::LevelTooLow,
            Shortfall::Age => Page::LoginTooOld,
        }
    }
}

impl From<Malformed> for Refusal {
    fn from(cause: Malformed) -> Self {
        Self::Malformed(cause)
    }
}

impl From<BadHandshake> for Refusal {
    fn from(cause: BadHandshake) -> Self {
        Self::Handshake(cause)
    }
}

impl Refusal {
    /// `asked_about`: whether a proxy asks that would carry the request itself.
    pub(crate) fn unrouted(why: Unrouted, host: &Host, request: &NormalRequest, asked_about: bool) -> Self {
        match why {
            Unrouted::NoRoute => Self::NoRoute,
            // A route that is not there for who asks takes no method of theirs either.
            Unrouted::Method => match host.routes.methods_at(request.path(), asked_about) {
                methods if methods.is_empty() => Self::NoRoute,
                methods => Self::Method(methods),
            },
            Unrouted::Ambiguous => Self::AmbiguousPath,
            Unrouted::EncodedSlash => Self::Malformed(Malformed::EscapedSeparator),
        }
    }

    /// A sound token lacks what its route asks for.
    pub(crate) fn token_not_enough(why: TokenShortfall, route: &Route) -> Self {
        Self::Token(
            route
                .access
                .token_rule()
                .map_or(TokenRefusal::Missing, |rule| TokenRefusal::not_enough(why, rule)),
        )
    }

    /// What an error of the proxy means to the client; `None` if the client has gone.
    pub(crate) fn of_proxy_error(error: &Error) -> Option<Self> {
        use pingora::prelude::ErrorSource;
        match (error.etype(), error.esource()) {
            (ErrorType::HTTPStatus(500), _) => Some(Self::Internal),
            (ErrorType::HTTPStatus(502), _) => Some(Self::AppUnreachable),
            (ErrorType::HTTPStatus(503), _) => Some(Self::AppBusy),
            (ErrorType::HTTPStatus(504), _) => Some(Self::AppTooSlow),
            (ErrorType::HTTPStatus(413), _) => Some(Self::TooLarge),
            (ErrorType::HTTPStatus(_), _) => Some(Self::Parameters),
            (ErrorType::ConnectTimedout | ErrorType::ReadTimedout, ErrorSource::Upstream) => {
                Some(Self::AppTooSlow)
            }
            (_, ErrorSource::Upstream) => Some(Self::AppUnreachable),
            // What cannot be forwarded as the client wrote it: `Connection` that names what it must not.
            (ErrorType::InvalidHTTPHeader, ErrorSource::Downstream) => Some(Self::Parameters),
            (_, ErrorSource::Downstream) => None,
            (_, ErrorSource::Internal | ErrorSource::Unset) => Some(Self::Internal),
        }
    }

    /// The word for the access log.
    pub(crate) fn rule(&self) -> &'static str {
        match self {
            Self::UnknownListener => "unknown_listener",
            Self::Peer => "peer",
            Self::InsecureTransport { .. } => "insecure_transport",
            Self::Malformed(_) => "malformed",
            Self::WrongHost => "wrong_host",
            Self::NoRoute => "no_route",
            Self::AmbiguousPath => "ambiguous_path",
            Self::Method(_) => "method",
            Self::Parameters => "parameters",
            Self::Handshake(BadHandshake::Invalid) => "handshake",
            Self::Handshake(BadHandshake::Version) => "handshake_version",
            Self::Handshake(BadHandshake::ForeignOrigin) => "foreign_origin",
            Self::NotANavigation => "not_a_navigation",
            Self::CrossSite => "cross_site",
            Self::Token(why) => why.rule(),
            Self::Forbidden(forbidden) => rule_of(forbidden.why),
            Self::LoginLoop { .. } => "login_loop",
            Self::ProviderDown { .. } => "provider_down",
            Self::Callback(failed) => failed.cause.code(),
            Self::FormNotKept { .. } => "login_required",
            Self::FormGone => "form_gone",
            Self::SessionsUncertain => "sessions_uncertain",
            Self::AccessToken(why) => why.rule(),
            Self::AppUnreachable => "app_unreachable",
            Self::AppTooSlow => "app_too_slow",
            Self::Maintenance { .. } => "maintenance",
            Self::TooManyRequests { .. } => "too_many_requests",
            Self::Overloaded => "overloaded",
            Self::AppBusy => "app_busy",
            Self::TooLarge => "too_large",
            Self::Unasked(why) => why.rule(),
            Self::Internal => "internal",
            Self::SignedOut => "signed_out",
            Self::SignedOutHereOnly => "signed_out_here_only",
        }
    }

    /// The status of the answer, and the word for it in the log.
    pub(crate) fn in_short(&self) -> (u16, &'static str) {
        match self {
            Self::Token(why) => (why.code().0, self.rule()),
            _ => (self.page().status(), self.rule()),
        }
    }

    fn page(&self) -> Page {
        match self {
            Self::UnknownListener | Self::Peer => Page::WrongHost,
            Self::InsecureTransport { .. } => Page::InsecureTransport,
            Self::Malformed(Malformed::TooLong) => Page::TooLong,
            Self::Malformed(
                Malformed::TargetForm
                | Malformed::Host
                | Malformed::Character
                | Malformed::Escape
                | Malformed::EscapedSeparator
                | Malformed::Layers
                | Malformed::Utf8
                | Malformed::DotSegment
                | Malformed::EmptySegment,
            )
            | Self::AmbiguousPath
            | Self::Parameters
            | Self::Handshake(_)
            | Self::Unasked(_)
            | Self::NotANavigation => Page::BadRequest,
            Self::WrongHost => Page::WrongHost,
            Self::NoRoute => Page::NotFound,
            Self::Method(_) => Page::MethodNotAllowed,
            Self::CrossSite => Page::CrossSite,
            Self::Forbidden(forbidden) => forbidden.page(),
            // A machine gets no page: [`refuse_machine`].
            Self::Token(_) => Page::LoginRequired,
            Self::LoginLoop { .. } => Page::LoginLoop,
            Self::ProviderDown { cause, .. } => page_of_provider(cause),
            Self::Callback(failed) => page_of_callback(&failed.cause, &failed.kinds),
            Self::FormNotKept { .. } => Page::LoginRequired,
            Self::FormGone => Page::FormGone,
            Self::SessionsUncertain => Page::SessionsUncertain { retry_after_seconds: SESSIONS_RETRY },
            Self::AccessToken(why) => Page::AccessTokenMissing { retry_after_seconds: why.retry() },
            Self::AppUnreachable => Page::AppUnreachable,
            Self::AppTooSlow => Page::AppTooSlow,
            Self::Maintenance { retry, .. } => Page::Maintenance { retry_after_seconds: *retry },
            Self::TooManyRequests { retry, .. } => Page::TooManyRequests { retry_after_seconds: *retry },
            Self::Overloaded => Page::Overloaded { retry_after_seconds: OVERLOAD_RETRY },
            Self::AppBusy => Page::AppBusy { retry_after_seconds: APP_RETRY },
            Self::TooLarge => Page::TooLarge,
            Self::Internal => Page::InternalError,
            Self::SignedOut => Page::SignedOut,
            Self::SignedOutHereOnly => Page::SignedOutLocallyOnly,
        }
    }

    /// Where the same is tried again.
    fn restart(&self) -> Option<String> {
        match self {
            Self::LoginLoop { login }
            | Self::ProviderDown { login, .. }
            | Self::FormNotKept { login }
            | Self::TooManyRequests { login: Some(login), .. } => Some(login.clone()),
            Self::Callback(failed) => Some(failed.login.clone()),
            Self::UnknownListener
            | Self::Peer
            | Self::InsecureTransport { .. }
            | Self::Malformed(_)
            | Self::WrongHost
            | Self::NoRoute
            | Self::AmbiguousPath
            | Self::Method(_)
            | Self::Parameters
            | Self::Handshake(_)
            | Self::NotANavigation
            | Self::CrossSite
            | Self::Token(_)
            | Self::Forbidden(_)
            | Self::FormGone
            | Self::SessionsUncertain
            | Self::AccessToken(_)
            | Self::AppUnreachable
            | Self::AppTooSlow
            | Self::Maintenance { .. }
            | Self::TooManyRequests { login: None, .. }
            | Self::Overloaded
            | Self::AppBusy
            | Self::TooLarge
            | Self::Unasked(_)
            | Self::Internal
            | Self::SignedOut
            | Self::SignedOutHereOnly => None,
        }
    }

    /// Whether it is over by itself, so that the same succeeds in a while.
    fn passes(&self) -> bool {
        matches!(
            self,
            Self::SessionsUncertain
                | Self::AccessToken(_)
                | Self::AppUnreachable
                | Self::AppTooSlow
                | Self::Maintenance { .. }
                | Self::TooManyRequests { login: None, .. }
                | Self::Overloaded
                | Self::AppBusy
                | Self::Internal
        )
    }

    /// Where somebody logs in otherwise: only where the same way again would not help.
    fn otherwise(&self) -> Option<String> {
        match self {
            Self::Forbidden(forbidden) => forbidden.otherwise.clone(),
            Self::ProviderDown { otherwise, .. } => otherwise.clone(),
            Self::Callback(failed) => match failed.cause {
                _ if failed.choice => Some(failed.otherwise.clone()),
                CallbackError::Unfulfilled(Unfulfilled::Kind) => Some(failed.otherwise.clone()),
                _ => None,
            },
            _ => None,
        }
    }

    /// What ends the session that it is about; `None`: all of them are meant.
    fn logout(&self) -> Option<String> {
        match self {
            Self::Forbidden(forbidden) => forbidden.logout.clone(),
            Self::Callback(failed) => Some(failed.logout.clone()),
            _ => None,
        }
    }

    /// What the operators want to say themselves.
    fn notice(&self) -> &str {
        match self {
            Self::Maintenance { message, .. } => message.as_deref().unwrap_or_default(),
            _ => "",
        }
    }

    /// The cause, where an operator would act on it.
    fn report(&self, reference: &str) {
        let report = |cause: &dyn std::error::Error| {
            tracing::warn!(reference, rule = self.rule(), cause = cause::chain(cause), "a login failed");
        };
        match self {
            Self::ProviderDown { cause, .. } => report(cause),
            Self::Token(TokenRefusal::Unavailable(cause)) => {
                let cause = cause::chain(cause);
                tracing::warn!(reference, rule = self.rule(), cause, "a machine's token cannot be verified");
            }
            Self::Callback(failed) => match &failed.cause {
                CallbackError::Answer(AnswerError::NoAttempt | AnswerError::Malformed) => {}
                cause => report(cause),
            },
            _ => {}
        }
    }
}

fn page_of_provider(cause: &ProviderError) -> Page {
    // What the provider says itself may be more.
    let said = cause.again_after().map_or(0, |said| said.min(MOST_PROVIDER_RETRY).as_secs());
    let retry_after_seconds = u32::try_from(said).unwrap_or(0).max(PROVIDER_RETRY);
    match cause {
        ProviderError::Busy { .. } => Page::ProviderBusy { retry_after_seconds },
        _ => Page::ProviderDown { retry_after_seconds },
    }
}

fn page_of_callback(cause: &CallbackError, kinds: &Kinds) -> Page {
    match cause {
        CallbackError::Answer(AnswerError::Malformed | AnswerError::NoAttempt) => Page::LoginExpired,
        CallbackError::Answer(AnswerError::WrongIssuer(_) | AnswerError::WrongCallback(_)) => {
            Page::LoginRefused
        }
        CallbackError::Answer(AnswerError::Provider { code, .. }) => match code {
            ProviderCode::Cancelled => Page::LoginCancelled,
            ProviderCode::LevelUnreachable => Page::LevelUnreachable,
            ProviderCode::Unavailable => Page::ProviderDown { retry_after_seconds: PROVIDER_RETRY },
            ProviderCode::InteractionRequired => Page::LoginExpired,
            ProviderCode::Other => Page::LoginRefused,
        },
        // A used or old code: the login is begun again.
        CallbackError::Redeem(ProviderError::Refused { code, .. }) if code.as_str() == "invalid_grant" => {
            Page::LoginExpired
        }
        CallbackError::Redeem(cause)
        | CallbackError::Userinfo(cause)
        | CallbackError::IdToken(VerifyError::Provider(cause)) => page_of_provider(cause),
        CallbackError::IdToken(VerifyError::Token(TokenError::AuthenticationTooOld)) => Page::LoginTooOld,
        CallbackError::IdToken(VerifyError::Token(_))
        | CallbackError::Identity(_)
        | CallbackError::TooLarge => Page::LoginRefused,
        CallbackError::Unfulfilled(Unfulfilled::Level) => Page::LevelTooLow,
        CallbackError::Unfulfilled(Unfulfilled::Kind) => Page::of_wrong_kind(kinds),
        CallbackError::NoSid => Page::LoginNotSetUp,
        CallbackError::Ended(_) => Page::LoginEnded,
    }
}

/// Who asks, as far as the answer depends on it.
#[derive(Clone, Debug)]
pub(crate) struct Asker<'a> {
    /// The request's fields.
    pub(crate) headers: &'a HeaderMap,
    /// Whether a person waits for a page.
    pub(crate) navigation: bool,
    /// The language that the person has just chosen.
    pub(crate) language: Option<Language>,
    /// Where the same can be asked for again.
    pub(crate) here: Option<Target>,
    /// Whether an older browser sent a form: it waits for a page, but goes nowhere else with it.
    pub(crate) form: bool,
    /// The prefix of our endpoints.
    pub(crate) prefix: &'a str,
    /// How our pages look to them.
    pub(crate) brand: &'a Brand,
    /// The request's reference.
    pub(crate) reference: &'a str,
    /// Whether the client's side is TLS.
    pub(crate) secure: bool,
    /// What a page is sealed with, so that it can be shown in another language; `None`: on no host of ours.
    pub(crate) seal: Option<PageSeal<'a>>,
}

/// What a page is sealed with.
#[derive(Clone, Copy)]
pub(crate) struct PageSeal<'a> {
    /// The name of the host.
    pub(crate) host: &'a str,
    /// Its origin.
    pub(crate) origin: &'a Origin,
    /// The keys.
    pub(crate) ring: &'a Ring<SealKey>,
    /// Now.
    pub(crate) now: Timestamp,
}

impl std::fmt::Debug for PageSeal<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PageSeal").field("host", &self.host).finish_non_exhaustive()
    }
}

impl Asker<'_> {
    /// Whether a person sees the answer: to a link, or to a form that was sent.
    fn waits_for_a_page(&self) -> bool {
        let is = |name, wanted: &str| self.headers.get(name).is_some_and(|value| value == wanted);
        let navigates = is("sec-fetch-mode", "navigate") && is("sec-fetch-dest", "document");
        self.navigation || self.form || navigates
    }

    fn language(&self) -> Language {
        let accepted = self.headers.get(http::header::ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok());
        let known = self.language.or_else(|| Language::remembered(self.headers));
        known.unwrap_or_else(|| Language::choose(accepted, None))
    }

    /// The place that was asked for, where another try may succeed.
    fn again(&self, refusal: &Refusal) -> Option<String> {
        self.here.as_ref().filter(|_| refusal.passes()).map(|here| here.as_str().to_owned())
    }

    /// The setting of a page that cannot be shown again.
    fn setting(&self) -> Setting<'_> {
        self.setting_in(self.language(), self.reference)
    }

    /// The same in a language, with a reference.
    fn setting_in<'s>(&'s self, language: Language, reference: &'s str) -> Setting<'s> {
        let folder = |seal: PageSeal<'_>| format!("{}{}/logo/", seal.origin, self.prefix);
        let logos = self.seal.filter(|_| self.brand.logo.is_some()).map(folder);
        Setting { language, reference, switch: Vec::new(), brand: self.brand, logos }
    }

    /// The setting of a page that is plain text and links.
    fn setting_of(&self, page: &Page, links: &PageLinks, notice: &str) -> Setting<'_> {
        let sealed = self.seal.and_then(|PageSeal { host, ring, now, .. }| {
            Again::of(page, links, notice, self.reference, now).seal(host, ring, now)
        });
        Setting { switch: sealed.map(|sealed| self.switch(&sealed)).unwrap_or_default(), ..self.setting() }
    }

    fn switch(&self, sealed: &str) -> Vec<(Language, String)> {
        let link =
            |language: Language| format!("{}/language?to={}&page={sealed}", self.prefix, language.tag());
        Language::ALL.map(|language| (language, link(language))).to_vec()
    }
}

/// The answer to a refusal: a page for a person, JSON for everything else.
pub(crate) fn refuse(refusal: &Refusal, asker: &Asker<'_>) -> Answer {
    refusal.report(asker.reference);
    if let Refusal::Token(why) = refusal {
        return refuse_machine(why, asker);
    }
    let page = refusal.page();
    if let (Refusal::InsecureTransport { to }, true) = (refusal, asker.navigation)
        && let Ok(location) = HeaderValue::try_from(to)
    {
        // Nothing was said yet; the person meant the same place.
        return Answer::new(StatusCode::PERMANENT_REDIRECT, refusal.rule()).with(LOCATION, location);
    }
    // A browser that sent a form waits for a page, although it cannot be redirected.
    let answer = if asker.waits_for_a_page() || matches!(refusal, Refusal::FormNotKept { .. }) {
        let links = PageLinks {
            restart: refusal.restart().or_else(|| asker.again(refusal)),
            start: Some("/".to_owned()),
            otherwise: refusal.otherwise(),
            logout: Some(refusal.logout().unwrap_or_else(|| format!("{}/logout", asker.prefix))),
        };
        let setting = match refusal {
            // The way out of it is one step back.
            Refusal::FormNotKept { .. } => asker.setting(),
            _ => asker.setting_of(&page, &links, refusal.notice()),
        };
        rendered(page::render(&page, &links, refusal.notice(), &setting), refusal.rule(), asker)
    } else {
        let mut answer = Answer::new(status(page.status()), refusal.rule());
        answer.body = page::render_json(&page, asker.reference).into();
        answer = answer.with(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        answer =
            guarded(answer.with(CONTENT_SECURITY_POLICY, HeaderValue::from_static(page::BARE_POLICY)), asker);
        with_retry(answer, page.retry_after_seconds())
    };
    match refusal {
        Refusal::Method(methods) => {
            let names: Vec<&str> = methods.iter().map(Method::as_str).collect();
            answer.with(ALLOW, HeaderValue::try_from(names.join(", ")).expect("methods are tokens"))
        }
        // RFC 6455, 4.4.
        Refusal::Handshake(BadHandshake::Version) => {
            answer.with(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"))
        }
        Refusal::Handshake(BadHandshake::ForeignOrigin) => Answer { status: StatusCode::FORBIDDEN, ..answer },
        // RFC 9110, 15.5.2: a 401 has a challenge.
        Refusal::FormNotKept { .. } => answer.with(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer")),
        _ => answer,
    }
}

/// The page on which somebody chooses how to log in. `language`: what they have just chosen.
pub(crate) fn choice(choice: &Choice, language: Option<Language>, asker: &Asker<'_>) -> Answer {
    let language = language.unwrap_or_else(|| asker.language());
    let link = |other: Language| {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(&choice.fields).append_pair("choose", "anew").append_pair("locale", other.tag());
        (other, format!("{}?{}", choice.login, query.finish()))
    };
    // A question is no event: there is nothing to refer to.
    let switch = Language::ALL.map(link).to_vec();
    let setting = Setting { switch, ..asker.setting_in(language, "") };
    rendered(page::render_choice(choice, &setting), "login_choice", asker)
}

/// The page that leads on to a link of ours: a redirect would be held to the policy of the page whose form led here.
pub(crate) fn onward(to: &str, asker: &Asker<'_>) -> Answer {
    let setting = asker.setting_in(asker.language(), "");
    rendered(page::render_onward(to, &setting), "login_chosen", asker)
}

/// A page that somebody saw, in the language that they want instead. It tells of an earlier request: this one is well.
pub(crate) fn again(again: &Again, sealed: &str, language: Language, asker: &Asker<'_>) -> Option<Answer> {
    let setting = Setting { switch: asker.switch(sealed), ..asker.setting_in(language, &again.reference) };
    let page = page::render(&again.page()?, &again.links, &again.notice, &setting);
    let page = RenderedPage { status: StatusCode::OK.as_u16(), retry_after_seconds: None, ..page };
    Some(rendered(page, "language", asker))
}

/// The answer to a machine, in the words of RFC 6750, 3.
fn refuse_machine(why: &TokenRefusal, asker: &Asker<'_>) -> Answer {
    let (code, error) = why.code();
    let body = json!({
        "error": error.unwrap_or("token_required"),
        "error_description": why.description(),
        "reference": asker.reference,
    });
    let mut answer = Answer::json(status(code), &body, why.rule());
    if let Some(challenge) = why.challenge() {
        let challenge = HeaderValue::try_from(challenge).expect("words of ours and scopes are visible ASCII");
        answer = answer.with(WWW_AUTHENTICATE, challenge);
    }
    let bare = answer.with(CONTENT_SECURITY_POLICY, HeaderValue::from_static(page::BARE_POLICY));
    let retry = matches!(why, TokenRefusal::Unavailable(_)).then_some(KEYS_RETRY);
    with_retry(guarded(bare, asker), retry)
}

/// The page that posts the browser to the provider to end the session there: at once, or when the person has read that
/// it may be in vain.
pub(crate) fn logout_form(request: &EndSessionRequest, at_once: bool, asker: &Asker<'_>) -> Answer {
    let page = page::render_logout_form(&request.endpoint, &request.parameters, at_once, &asker.setting());
    let rule = if at_once { "logout_form" } else { Refusal::SignedOutHereOnly.rule() };
    rendered(page, rule, asker)
}

/// The page that keeps a form, sealed, while somebody logs in.
pub(crate) fn kept_form(links: KeptFormLinks<'_>, sealed: &str, asker: &Asker<'_>) -> Answer {
    let page = page::render_kept_form(links, sealed, &asker.setting());
    with_origin(rendered(page, "form_kept", asker)).with(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))
}

/// The page on which an employee says for whom they act. `switch`: where it is in each language.
pub(crate) fn organisations(
    choice: &OrganisationChoice<'_>,
    switch: Vec<(Language, String)>,
    asker: &Asker<'_>,
) -> Answer {
    let page = page::render_organisations(choice, &Setting { switch, ..asker.setting() });
    with_origin(rendered(page, "choose_organisation", asker))
}

/// The page that sends a kept form to `target`.
pub(crate) fn resent_form(target: &Target, pairs: &[(String, String)], asker: &Asker<'_>) -> Answer {
    let page = page::render_resent_form(target.as_str(), pairs, &asker.setting());
    with_origin(rendered(page, "form_resent", asker))
}

/// A page whose form says where it comes from. With `no-referrer` it would come with `Origin: null` (Fetch, 3.2), which
/// apps refuse, and by which we know our own page where a browser sends no Fetch Metadata. Its address tells nothing.
fn with_origin(mut answer: Answer) -> Answer {
    answer.headers.retain(|(name, _)| *name != REFERRER_POLICY);
    answer.with(REFERRER_POLICY, HeaderValue::from_static("same-origin"))
}

fn rendered(page: RenderedPage, rule: &'static str, asker: &Asker<'_>) -> Answer {
    let mut answer = Answer::new(status(page.status), rule)
        .with(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"))
        .with(CONTENT_LANGUAGE, HeaderValue::from_static(page.content_language));
    if let Ok(policy) = HeaderValue::try_from(&*page.content_security_policy) {
        answer = answer.with(CONTENT_SECURITY_POLICY, policy);
    }
    answer.body = page.html.into();
    with_retry(guarded(answer, asker), page.retry_after_seconds)
}

fn with_retry(answer: Answer, seconds: Option<u32>) -> Answer {
    match seconds {
        Some(seconds) => answer.with(RETRY_AFTER, HeaderValue::from(seconds)),
        None => answer,
    }
}

fn guarded(mut answer: Answer, asker: &Asker<'_>) -> Answer {
    for (name, value) in page::security_headers(asker.secure) {
        let name = HeaderName::try_from(*name).expect("a constant name");
        answer.headers.retain(|(known, _)| *known != name);
        answer.headers.push((name, HeaderValue::from_static(value)));
    }
    answer
}

fn status(code: u16) -> StatusCode {
    StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

/// Completes an answer of ours by what each says that is no page (`threats.md` BR-1). Not what would part a window from
/// the one that opened it (COOP), since redirects pass through here; and no answer of its own is overruled.
pub(crate) fn complete(answer: &mut Answer, secure: bool) {
    let hsts = secure.then_some((STRICT_TRANSPORT_SECURITY, "max-age=31536000"));
    let others = [
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, "no-referrer"),
        (CONTENT_SECURITY_POLICY, page::BARE_POLICY),
    ];
    for (name, value) in hsts.into_iter().chain(others) {
        if answer.headers.iter().all(|(known, _)| *known != name) {
            answer.headers.push((name, HeaderValue::from_static(value)));
        }
    }
}

/// Sends an answer of ours.
///
/// # Errors
///
/// If the client does not take it.
pub(crate) async fn send(session: &mut Session, answer: Answer) -> Result<()> {
    let mut response = ResponseHeader::build(answer.status, Some(answer.headers.len() + 1))?;
    for (name, value) in answer.headers {
        response.append_header(name, value)?;
    }
    // RFC 9110, 8.6.
    if answer.status != StatusCode::NO_CONTENT {
        response.insert_header(CONTENT_LENGTH, answer.body.len())?;
    }
    let head = session.req_header().method == Method::HEAD;
    let empty = head || answer.body.is_empty();
    if let (true, ServerSession::H2(stream)) = (empty, session.as_downstream_mut()) {
        // In one frame with its end: the proxy's own way leaves the end open, and gRPC reads the status of such a frame alone.
        return stream.write_response_header(Box::new(response), true);
    }
    session.write_response_header(Box::new(response), empty).await?;
    if !empty {
        session.write_response_body(Some(answer.body), true).await?;
    }
    Ok(())
}

//! Which pages there are: for each its name for programs, its status, and the ways out that it offers.
//!
//! **Invariant:** each refusal that somebody who is logged in at the provider can meet offers a way out.

use portvakt_core::identity::{Kind, Kinds};
use serde::{Deserialize, Serialize};

use super::words::Labels;

/// What happened, as far as a person needs to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Page {
    /// Nobody is logged in well enough, and what was sent can neither be repeated by a redirect nor kept: a
    /// large form after a long pause. What can be kept gets [`super::render_kept_form`].
    LoginRequired,
    /// A kept form came back too late, or it is none of ours.
    FormGone,
    /// The callback fits no attempt: too late, a bookmark, Back.
    LoginExpired,
    /// The person stopped at the provider (`access_denied`).
    LoginCancelled,
    /// The provider ended the login while it was under way, again after `prompt=login`.
    LoginEnded,
    /// The provider's answer, token or identity was rejected.
    LoginRefused,
    /// The client is registered at the provider so that people could not be logged out: no fault of theirs.
    LoginNotSetUp,
    /// Login after login and never a session: the browser keeps no cookies.
    LoginLoop,
    /// The login came back at too low a level.
    LevelTooLow,
    /// The provider cannot reach the level (`unmet_authentication_requirements`).
    LevelUnreachable,
    /// The provider vouched for an older authentication than the route takes, also when it was asked anew.
    LoginTooOld,
    /// The route takes Norwegians alone: people with a national number.
    NationalNumberNeeded,
    /// The route takes eIDs of other European countries alone.
    EuropeanIdNeeded,
    /// The route takes Norwegian and other European eIDs.
    ElectronicIdNeeded,
    /// The route takes employees alone.
    EmployeeNeeded,
    /// The route takes other kinds of identity; logging in again the same way does not help.
    WrongKind,
    /// The route takes logins at another provider.
    WrongProvider,
    /// The route takes eIDs of other countries.
    WrongCountry,
    /// The route does not count the method by which the person authenticated.
    WrongMethod,
    /// The person represents no organisation, and must here.
    RepresentsNobody,
    /// The person represents an organisation that the route does not take.
    WrongOrganisation,
    /// The provider cannot be reached or is failing.
    ProviderDown {
        /// When another try makes sense.
        retry_after_seconds: u32,
    },
    /// As many logins are under way as may be.
    ProviderBusy {
        /// When another try makes sense.
        retry_after_seconds: u32,
    },
    /// This client's share of logins, or of requests to the place, is used up.
    TooManyRequests {
        /// When another try makes sense.
        retry_after_seconds: u32,
    },
    /// Which sessions have ended is not known well enough for a strict route (design D1, staleness).
    SessionsUncertain {
        /// When another try makes sense.
        retry_after_seconds: u32,
    },
    /// The app needs a token of the person's that the provider does not give now.
    AccessTokenMissing {
        /// When another try makes sense.
        retry_after_seconds: u32,
    },
    /// A page of another origin asked for what this place does not take from there.
    CrossSite,
    /// The operators have closed the place for now.
    Maintenance {
        /// When another try makes sense.
        retry_after_seconds: u32,
    },
    /// More requests are under way than the gateway carries.
    Overloaded {
        /// When another try makes sense.
        retry_after_seconds: u32,
    },
    /// No route, or nothing of ours at this path.
    NotFound,
    /// One of our endpoints does not take the method.
    MethodNotAllowed,
    /// The request, or a parameter of one of our endpoints, is malformed.
    BadRequest,
    /// The request target is too long.
    TooLong,
    /// The host is not served here.
    WrongHost,
    /// Plain http where https is demanded.
    InsecureTransport,
    /// No connection to the app, or it broke before the answer.
    AppUnreachable,
    /// The app did not answer in time.
    AppTooSlow,
    /// As many requests are under way at the app as may be.
    AppBusy {
        /// When another try makes sense.
        retry_after_seconds: u32,
    },
    /// What was sent is larger than the route takes.
    TooLarge,
    /// A fault of the gateway.
    InternalError,
    /// Logged out here and at the provider.
    SignedOut,
    /// Logged out here; the provider could not be told.
    SignedOutLocallyOnly,
}

/// Paths on this host that a page may link to. What is not a path is left out, whoever gave it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PageLinks {
    /// Where the same is tried again: a new login, or the page that was asked for.
    pub restart: Option<String>,
    /// Where somebody logs in as somebody else, or by another way.
    pub otherwise: Option<String>,
    /// Where one can begin: mostly `/`.
    pub start: Option<String>,
    /// `<prefix>/logout`.
    pub logout: Option<String>,
}

impl Page {
    /// One of each, with some waiting time.
    pub const ALL: [Self; 42] = [
        Self::LoginRequired,
        Self::FormGone,
        Self::LoginExpired,
        Self::LoginCancelled,
        Self::LoginEnded,
        Self::LoginRefused,
        Self::LoginNotSetUp,
        Self::LoginLoop,
        Self::LevelTooLow,
        Self::LevelUnreachable,
        Self::LoginTooOld,
        Self::NationalNumberNeeded,
        Self::EuropeanIdNeeded,
        Self::ElectronicIdNeeded,
        Self::EmployeeNeeded,
        Self::WrongKind,
        Self::WrongProvider,
        Self::WrongCountry,
        Self::WrongMethod,
        Self::RepresentsNobody,
        Self::WrongOrganisation,
        Self::ProviderDown { retry_after_seconds: 60 },
        Self::ProviderBusy { retry_after_seconds: 30 },
        Self::TooManyRequests { retry_after_seconds: 300 },
        Self::SessionsUncertain { retry_after_seconds: 5 },
        Self::AccessTokenMissing { retry_after_seconds: 5 },
        Self::CrossSite,
        Self::Maintenance { retry_after_seconds: 600 },
        Self::Overloaded { retry_after_seconds: 2 },
        Self::NotFound,
        Self::MethodNotAllowed,
        Self::BadRequest,
        Self::TooLong,
        Self::WrongHost,
        Self::InsecureTransport,
        Self::AppUnreachable,
        Self::AppTooSlow,
        Self::AppBusy { retry_after_seconds: 2 },
        Self::TooLarge,
        Self::InternalError,
        Self::SignedOut,
        Self::SignedOutLocallyOnly,
    ];

    /// The page for somebody of another kind than the ones that pass; none means every kind.
    #[must_use]
    pub fn of_wrong_kind(passing: &Kinds) -> Self {
        let passing: Vec<Kind> = passing.iter().copied().collect();
        match passing.as_slice() {
            [Kind::National] => Self::NationalNumberNeeded,
            [Kind::Eidas] => Self::EuropeanIdNeeded,
            [Kind::National, Kind::Eidas] => Self::ElectronicIdNeeded,
            [Kind::Employee] => Self::EmployeeNeeded,
            _ => Self::WrongKind,
        }
    }

    /// The name in JSON answers, logs and metrics.
    #[must_use]
    pub fn code(&self) -> &'static str {
        self.kind().0
    }

    /// The HTTP status of page and JSON answer.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.kind().1
    }

    /// The value of Retry-After, where it has one.
    #[must_use]
    pub fn retry_after_seconds(&self) -> Option<u32> {
        match *self {
            Self::ProviderDown { retry_after_seconds }
            | Self::ProviderBusy { retry_after_seconds }
            | Self::TooManyRequests { retry_after_seconds }
            | Self::SessionsUncertain { retry_after_seconds }
            | Self::AccessTokenMissing { retry_after_seconds }
            | Self::Maintenance { retry_after_seconds }
            | Self::Overloaded { retry_after_seconds }
            | Self::AppBusy { retry_after_seconds } => Some(retry_after_seconds),
            _ => None,
        }
    }

    /// The same with another waiting time, where it has one.
    pub(super) fn with_retry_after(mut self, seconds: Option<u32>) -> Self {
        if let (
            Self::ProviderDown { retry_after_seconds }
            | Self::ProviderBusy { retry_after_seconds }
            | Self::TooManyRequests { retry_after_seconds }
            | Self::SessionsUncertain { retry_after_seconds }
            | Self::AccessTokenMissing { retry_after_seconds }
            | Self::Maintenance { retry_after_seconds }
            | Self::Overloaded { retry_after_seconds }
            | Self::AppBusy { retry_after_seconds },
            Some(seconds),
        ) = (&mut self, seconds)
        {
            *retry_after_seconds = seconds;
        }
        self
    }

    /// No `_` arm: a new page does not compile until someone decides its code, status and links. The
    /// links come in order; the first that is there stands out.
    fn kind(&self) -> (&'static str, u16, &'static [Offer]) {
        use Offer::{LogInAgain, LogInInNewTab, LogInOtherwise, LogOut, LogOutAgain, Start, TryAgain};
        const LOGIN: &[Offer] = &[LogInAgain, LogInOtherwise, Start, LogOut];
        const RETRY: &[Offer] = &[TryAgain, LogInOtherwise, Start, LogOut];
        // Not the same login again: while the provider remembers it, it would only be repeated.
        const OTHERWISE: &[Offer] = &[LogInOtherwise, LogOut, Start];
        const FIND_THE_WAY: &[Offer] = &[Start, LogOut];
        match self {
            // The form is still one step back in this tab.
            Self::LoginRequired => ("login_required", 401, &[LogInInNewTab, Start, LogOut]),
            Self::FormGone => ("form_gone", 400, FIND_THE_WAY),
            Self::LoginExpired => ("login_expired", 400, LOGIN),
            Self::LoginCancelled => ("login_cancelled", 403, RETRY),
            Self::LoginEnded => ("login_ended", 403, LOGIN),
            Self::LoginRefused => ("login_refused", 403, RETRY),
            Self::LoginNotSetUp => ("login_not_set_up", 502, RETRY),
            Self::LoginLoop => ("login_loop", 400, RETRY),
            Self::LevelTooLow => ("level_too_low", 403, LOGIN),
            Self::LevelUnreachable => ("level_unreachable", 403, RETRY),
            Self::LoginTooOld => ("login_too_old", 403, LOGIN),
            Self::NationalNumberNeeded => ("national_number_needed", 403, OTHERWISE),
            Self::EuropeanIdNeeded => ("european_id_needed", 403, OTHERWISE),
            Self::ElectronicIdNeeded => ("electronic_id_needed", 403, OTHERWISE),
            Self::EmployeeNeeded => ("employee_needed", 403, OTHERWISE),
            Self::WrongKind => ("wrong_kind", 403, OTHERWISE),
            Self::WrongProvider => ("wrong_provider", 403, OTHERWISE),
            Self::WrongCountry => ("wrong_country", 403, OTHERWISE),
            Self::WrongMethod => ("wrong_method", 403, OTHERWISE),
            Self::RepresentsNobody => ("represents_nobody", 403, OTHERWISE),
            Self::WrongOrganisation => ("wrong_organisation", 403, OTHERWISE),
            Self::ProviderDown { .. } => ("provider_down", 503, RETRY),
            Self::ProviderBusy { .. } => ("provider_busy", 503, RETRY),
            Self::TooManyRequests { .. } => ("too_many_requests", 429, RETRY),
            Self::SessionsUncertain { .. } => ("sessions_uncertain", 503, RETRY),
            Self::AccessTokenMissing { .. } => ("access_token_missing", 503, RETRY),
            Self::CrossSite => ("cross_site", 403, FIND_THE_WAY),
            Self::NotFound => ("not_found", 404, FIND_THE_WAY),
            Self::MethodNotAllowed => ("method_not_allowed", 405, FIND_THE_WAY),
            Self::BadRequest => ("bad_request", 400, FIND_THE_WAY),
            Self::TooLong => ("too_long", 414, FIND_THE_WAY),
            // Nothing on this host, or nothing over this transport, would work.
            Self::WrongHost => ("wrong_host", 421, &[]),
            Self::InsecureTransport => ("insecure_transport", 403, &[]),
            Self::AppUnreachable => ("app_unreachable", 502, RETRY),
            Self::AppTooSlow => ("app_too_slow", 504, RETRY),
            Self::Maintenance { .. } => ("maintenance", 503, RETRY),
            Self::Overloaded { .. } => ("overloaded", 503, RETRY),
            Self::AppBusy { .. } => ("app_busy", 503, RETRY),
            Self::TooLarge => ("too_large", 413, FIND_THE_WAY),
            Self::InternalError => ("internal_error", 500, RETRY),
            // No login link beside the confirmation: logged out means logged out.
            Self::SignedOut => ("signed_out", 200, &[Start]),
            Self::SignedOutLocallyOnly => ("signed_out_locally_only", 200, &[LogOutAgain, Start]),
        }
    }

    pub(super) fn actions<'a>(&self, links: &'a PageLinks, labels: &Labels<'a>) -> Vec<Action<'a>> {
        let action = |offer: &Offer| {
            let (href, label) = match offer {
                Offer::LogInAgain => (&links.restart, labels.log_in_again),
                Offer::LogInInNewTab => (&links.restart, labels.log_in_in_new_tab),
                Offer::LogInOtherwise => (&links.otherwise, labels.log_in_otherwise),
                Offer::TryAgain => (&links.restart, labels.try_again),
                Offer::Start => (&links.start, labels.start),
                Offer::LogOut => (&links.logout, labels.log_out),
                Offer::LogOutAgain => (&links.logout, labels.log_out_again),
            };
            let href = href.as_deref().filter(|href| is_path(href))?;
            Some(Action { href, label, in_new_tab: matches!(offer, Offer::LogInInNewTab) })
        };
        self.kind().2.iter().filter_map(action).collect()
    }
}

/// A link that a page has room for.
enum Offer {
    LogInAgain,
    LogInInNewTab,
    LogInOtherwise,
    TryAgain,
    Start,
    LogOut,
    LogOutAgain,
}

/// A link of a page.
pub(super) struct Action<'a> {
    pub(super) href: &'a str,
    pub(super) label: &'a str,
    pub(super) in_new_tab: bool,
}

/// A path of this host in visible ASCII: browsers read `//`, `/\` and a slash after a tab as another host.
fn is_path(href: &str) -> bool {
    href.starts_with('/')
        && !href.starts_with("//")
        && href.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\')
}

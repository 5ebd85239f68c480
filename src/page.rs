//! The pages a person meets instead of what they wanted, and the form that ends a login at the provider
//! (threat model OP-12, OP-16, BR-1; dossier 2.4, 3.2 and 3.5, test 6).
//!
//! Plain data: a [`Page`] and a [`Language`] become status, HTML and policy; the caller sends them with
//! the [`security_headers`].
//!
//! **Invariant:** a page shows words of ours, links of ours and a reference, and while a route is closed a sentence
//! of its operators. No text of a provider, an app or a request has a way in; what varies is escaped all the same.
//! **Invariant:** each refusal that somebody who is logged in at the provider can meet offers a way out,
//! so that logging out works for those who may not come in, too.

mod language;
mod policy;
mod words;

use std::borrow::Cow;

use askama::Template;
use url::Url;

pub use language::Language;
pub use policy::{BARE_POLICY, security_headers};
use words::{Labels, Words};

/// What happened, as far as a person needs to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Page {
    /// Nobody is logged in well enough, and what was sent can neither be repeated by a redirect nor kept: a
    /// large form after a long pause. What can be kept gets [`render_kept_form`].
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
    /// The route does not take this kind of identity; logging in again the same way does not help.
    WrongKind,
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
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PageLinks {
    /// Where the same is tried again: a new login, or the page that was asked for.
    pub restart: Option<String>,
    /// Where one can begin: mostly `/`.
    pub start: Option<String>,
    /// `<prefix>/logout`.
    pub logout: Option<String>,
}

/// A page, ready to be sent. Without `Debug`, since a logout form holds an ID token.
#[derive(Clone, PartialEq, Eq)]
pub struct RenderedPage {
    /// HTTP status.
    pub status: u16,
    /// `text/html; charset=utf-8`.
    pub html: String,
    /// Value of Content-Security-Policy.
    pub content_security_policy: Cow<'static, str>,
    /// Value of Content-Language.
    pub content_language: &'static str,
    /// Value of Retry-After, in seconds.
    pub retry_after_seconds: Option<u32>,
}

/// The page in a language. An empty `reference` is not shown; otherwise it should find the log line.
#[must_use]
pub fn render(page: &Page, language: Language, links: &PageLinks, reference: &str) -> RenderedPage {
    render_with_notice(page, language, links, "", reference)
}

/// The same with a sentence of the operators' own, as it stands in their file; an empty one is not shown.
#[must_use]
pub fn render_with_notice(
    page: &Page,
    language: Language,
    links: &PageLinks,
    notice: &str,
    reference: &str,
) -> RenderedPage {
    let (words, labels) = (words::of(page, language), words::labels(language));
    let actions = page.actions(links, labels);
    let template = PageTemplate { style: policy::STYLE, words, labels, notice, actions, reference };
    RenderedPage {
        status: page.status(),
        html: html_of(&template),
        content_security_policy: Cow::Borrowed(policy::of_page()),
        content_language: language.html_lang(),
        retry_after_seconds: page.retry_after_seconds(),
    }
}

/// The page that posts the browser to the provider's `end_session_endpoint` (RP-Initiated Logout 1.0, 2),
/// so that `id_token_hint` stays out of URLs, histories and logs. It posts itself; without scripts its
/// button does.
///
/// An endpoint to which no form may be sent (not http or https, or a host that a policy cannot name)
/// gives [`Page::SignedOutLocallyOnly`] without links.
#[must_use]
pub fn render_logout_form(
    language: Language,
    endpoint: &Url,
    parameters: &[(&str, String)],
    reference: &str,
) -> RenderedPage {
    let comes_back_to = parameters
        .iter()
        .find(|(name, _)| *name == "post_logout_redirect_uri")
        .and_then(|(_, value)| Url::parse(value).ok());
    let Some(policy) = policy::of_logout_form(endpoint, comes_back_to.as_ref()) else {
        return render(&Page::SignedOutLocallyOnly, language, &PageLinks::default(), reference);
    };
    let template = LogoutTemplate {
        style: policy::STYLE,
        script: policy::SCRIPT,
        words: words::of_logout(language),
        labels: words::labels(language),
        endpoint: endpoint.as_str(),
        parameters,
        reference,
    };
    RenderedPage {
        status: 200,
        html: html_of(&template),
        content_security_policy: Cow::Owned(policy),
        content_language: language.html_lang(),
        retry_after_seconds: None,
    }
}

/// Paths on this host that the page of a kept form needs.
#[derive(Clone, Copy, Debug)]
pub struct KeptFormLinks<'a> {
    /// Starts the login that the form needs, and ends on a page of this host.
    pub login: &'a str,
    /// Takes the sealed form back.
    pub resume: &'a str,
}

/// The page that keeps a form while somebody logs in in another tab: it holds the form, sealed, and takes
/// it back when the person says so. No script: nothing is sent by itself.
#[must_use]
pub fn render_kept_form(
    language: Language,
    links: KeptFormLinks<'_>,
    sealed: &str,
    reference: &str,
) -> RenderedPage {
    let template = KeptFormTemplate {
        style: policy::STYLE,
        words: words::of_kept_form(language),
        labels: words::labels(language),
        links,
        sealed,
        reference,
    };
    RenderedPage {
        status: Page::LoginRequired.status(),
        html: html_of(&template),
        content_security_policy: Cow::Borrowed(policy::of_kept_form()),
        content_language: language.html_lang(),
        retry_after_seconds: None,
    }
}

/// The page that sends a form again: the same pairs, in their order, to `target`, a path on this host. It
/// sends itself; without scripts its button does.
#[must_use]
pub fn render_resent_form(
    language: Language,
    target: &str,
    pairs: &[(String, String)],
    reference: &str,
) -> RenderedPage {
    let template = ResentFormTemplate {
        style: policy::STYLE,
        script: policy::SCRIPT,
        words: words::of_resent_form(language),
        labels: words::labels(language),
        target,
        pairs: pairs.iter().map(|(name, value)| (escaped(name), escaped(value))).collect(),
        reference,
    };
    RenderedPage {
        status: 200,
        html: html_of(&template),
        content_security_policy: Cow::Borrowed(policy::of_resent_form()),
        content_language: language.html_lang(),
        retry_after_seconds: None,
    }
}

/// Text as the value of an attribute in double quotes. Line breaks become references, since a parser turns
/// CR LF into LF (HTML, 13.2.3.5).
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len() + text.len() / 8);
    for character in text.chars() {
        match character {
            '&' | '"' | '\'' | '<' | '>' | '\r' | '\n' => {
                escaped.push_str("&#");
                escaped.push_str(&u32::from(character).to_string());
                escaped.push(';');
            }
            _ => escaped.push(character),
        }
    }
    escaped
}

/// The same for programs: `{"error":code,"reference":…}`, without an empty reference.
#[must_use]
pub fn render_json(page: &Page, reference: &str) -> String {
    #[derive(serde::Serialize)]
    struct Body<'a> {
        error: &'static str,
        #[serde(skip_serializing_if = "str::is_empty")]
        reference: &'a str,
    }
    serde_json::to_string(&Body { error: page.code(), reference }).expect("two strings always serialise")
}

impl Page {
    /// One of each, with some waiting time.
    pub const ALL: [Self; 31] = [
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
        Self::WrongKind,
        Self::ProviderDown { retry_after_seconds: 60 },
        Self::ProviderBusy { retry_after_seconds: 30 },
        Self::TooManyRequests { retry_after_seconds: 300 },
        Self::SessionsUncertain { retry_after_seconds: 5 },
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
            | Self::Maintenance { retry_after_seconds }
            | Self::Overloaded { retry_after_seconds }
            | Self::AppBusy { retry_after_seconds } => Some(retry_after_seconds),
            _ => None,
        }
    }

    /// No `_` arm: a new page does not compile until someone decides its code, status and links. The
    /// links come in order; the first that is there stands out.
    fn kind(&self) -> (&'static str, u16, &'static [Offer]) {
        use Offer::{LogInAgain, LogInInNewTab, LogOut, LogOutAgain, Start, TryAgain};
        const LOGIN: &[Offer] = &[LogInAgain, Start, LogOut];
        const RETRY: &[Offer] = &[TryAgain, Start, LogOut];
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
            // No new login: while the provider remembers the old one, it would only repeat it.
            Self::WrongKind => ("wrong_kind", 403, &[LogOut, Start]),
            Self::ProviderDown { .. } => ("provider_down", 503, RETRY),
            Self::ProviderBusy { .. } => ("provider_busy", 503, RETRY),
            Self::TooManyRequests { .. } => ("too_many_requests", 429, RETRY),
            Self::SessionsUncertain { .. } => ("sessions_uncertain", 503, RETRY),
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

    fn actions<'a>(&self, links: &'a PageLinks, labels: &'a Labels) -> Vec<Action<'a>> {
        let action = |offer: &Offer| {
            let (href, label) = match offer {
                Offer::LogInAgain => (&links.restart, labels.log_in_again),
                Offer::LogInInNewTab => (&links.restart, labels.log_in_in_new_tab),
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
    TryAgain,
    Start,
    LogOut,
    LogOutAgain,
}

struct Action<'a> {
    href: &'a str,
    label: &'static str,
    in_new_tab: bool,
}

/// A path of this host in visible ASCII: browsers read `//`, `/\` and a slash after a tab as another host.
fn is_path(href: &str) -> bool {
    href.starts_with('/')
        && !href.starts_with("//")
        && href.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\')
}

#[derive(Template)]
#[template(path = "page.html")]
struct PageTemplate<'a> {
    style: &'static str,
    words: Words,
    labels: &'static Labels,
    notice: &'a str,
    actions: Vec<Action<'a>>,
    reference: &'a str,
}

#[derive(Template)]
#[template(path = "logout.html")]
struct LogoutTemplate<'a> {
    style: &'static str,
    script: &'static str,
    words: Words,
    labels: &'static Labels,
    endpoint: &'a str,
    parameters: &'a [(&'a str, String)],
    reference: &'a str,
}

#[derive(Template)]
#[template(path = "kept.html")]
struct KeptFormTemplate<'a> {
    style: &'static str,
    words: Words,
    labels: &'static Labels,
    links: KeptFormLinks<'a>,
    sealed: &'a str,
    reference: &'a str,
}

#[derive(Template)]
#[template(path = "resend.html")]
struct ResentFormTemplate<'a> {
    style: &'static str,
    script: &'static str,
    words: Words,
    labels: &'static Labels,
    target: &'a str,
    /// Escaped already.
    pairs: Vec<(String, String)>,
    reference: &'a str,
}

fn html_of(template: &impl Template) -> String {
    template.render().expect("the templates only write text into a String")
}

#[cfg(test)]
mod tests;

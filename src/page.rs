//! The pages a person meets instead of what they wanted, and the form that ends a login at the provider
//! (threat model OP-12, OP-16, BR-1; dossier 2.4, 3.2 and 3.5, test 6).
//!
//! Plain data: a [`Page`] and a [`Language`] become status, HTML and policy; the caller sends them with
//! the [`security_headers`].
//!
//! **Invariant:** a page shows words and links of ours or of its operators (their file says which), and a reference. No text of a provider, an app or a request has a way in, but for the names of
//! organisations where one is chosen; what varies is escaped all the same.
//! **Invariant:** each refusal that somebody who is logged in at the provider can meet offers a way out,
//! so that logging out works for those who may not come in, too.

mod again;
mod catalogue;
mod choice;
mod frame;
mod policy;
mod words;

use std::borrow::Cow;

use askama::Template;
use portvakt_core::brand::Brand;
use portvakt_core::language::Language;
use url::Url;

pub use again::Again;
use catalogue::Action;
pub use catalogue::{Page, PageLinks};
pub use choice::{Choice, Offered, render_choice, render_onward};
use frame::Frame;
pub use policy::{BARE_POLICY, security_headers};
use words::Said;

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

/// What the pages of one answer share.
#[derive(Clone, Debug)]
pub struct Setting<'a> {
    /// The language.
    pub language: Language,
    /// What finds the line in the log; an empty one is not shown.
    pub reference: &'a str,
    /// Where the same page is in each language; empty: nowhere.
    pub switch: Vec<(Language, String)>,
    /// How it looks.
    pub brand: &'a Brand,
    /// The folder of its logo: a URL with a slash at the end; `None`: it has none, or nobody gives it here.
    pub logos: Option<String>,
}

/// A page. `notice` is a sentence of the operators' own, as it stands in their file; an empty one is not shown.
#[must_use]
pub fn render(page: &Page, links: &PageLinks, notice: &str, setting: &Setting<'_>) -> RenderedPage {
    let frame = Frame::of(setting);
    let words = Said::on(page.code(), words::of(page, setting.language), setting);
    let actions = page.actions(links, &frame.labels);
    let html = html_of(&PageTemplate { frame, words, notice, actions });
    RenderedPage {
        retry_after_seconds: page.retry_after_seconds(),
        ..rendered(page.status(), html, policy::of_page().into(), setting)
    }
}

fn rendered(
    status: u16,
    html: String,
    content_security_policy: Cow<'static, str>,
    setting: &Setting<'_>,
) -> RenderedPage {
    let content_language = setting.language.tag();
    let content_security_policy = policy::branded(content_security_policy, setting);
    RenderedPage { status, html, content_security_policy, content_language, retry_after_seconds: None }
}

/// The page that posts the browser to the provider's `end_session_endpoint` (RP-Initiated Logout 1.0, 2),
/// so that `id_token_hint` stays out of URLs, histories and logs. It posts itself; without scripts its
/// button does. `at_once`: unless the provider is not known to answer: then the page says so first.
///
/// An endpoint to which no form may be sent (not http or https, or a host that a policy cannot name)
/// gives [`Page::SignedOutLocallyOnly`] without links.
#[must_use]
pub fn render_logout_form(
    endpoint: &Url,
    parameters: &[(&str, String)],
    at_once: bool,
    setting: &Setting<'_>,
) -> RenderedPage {
    let comes_back_to = parameters
        .iter()
        .find(|(name, _)| *name == "post_logout_redirect_uri")
        .and_then(|(_, value)| Url::parse(value).ok());
    let Some(policy) = policy::of_logout_form(endpoint, comes_back_to.as_ref()) else {
        return render(&Page::SignedOutLocallyOnly, &PageLinks::default(), "", setting);
    };
    let left = Page::SignedOutLocallyOnly;
    let template = LogoutTemplate {
        frame: Frame::of(setting),
        script: at_once.then_some(policy::SCRIPT),
        words: match at_once {
            true => Said::on("logout_form", words::of_logout(setting.language), setting),
            false => Said::on(left.code(), words::of(&left, setting.language), setting),
        },
        endpoint: endpoint.as_str(),
        parameters,
    };
    rendered(200, html_of(&template), policy.into(), setting)
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
pub fn render_kept_form(links: KeptFormLinks<'_>, sealed: &str, setting: &Setting<'_>) -> RenderedPage {
    let template = KeptFormTemplate {
        frame: Frame::of(setting),
        words: Said::on("kept_form", words::of_kept_form(setting.language), setting),
        links,
        sealed,
    };
    rendered(Page::LoginRequired.status(), html_of(&template), policy::of_kept_form().into(), setting)
}

/// An organisation to choose.
#[derive(Clone, Debug)]
pub struct Chosen {
    /// Its number.
    pub number: String,
    /// Its name, as the provider says it.
    pub name: String,
    /// Whether it is the one that the person acts for.
    pub is_current: bool,
}

/// What the page on which an organisation is chosen needs.
#[derive(Clone, Debug)]
pub struct OrganisationChoice<'a> {
    /// Where the choice is sent.
    pub action: &'a str,
    /// What goes with it, by name.
    pub hidden: &'a [(&'static str, &'a str)],
    /// What may be chosen.
    pub organisations: &'a [Chosen],
    /// Ends the login instead.
    pub logout: &'a str,
}

/// The page on which an employee says for whom they act. No script: a button for each.
#[must_use]
pub fn render_organisations(choice: &OrganisationChoice<'_>, setting: &Setting<'_>) -> RenderedPage {
    let template = OrganisationsTemplate {
        frame: Frame::of(setting),
        words: Said::on("organisations", words::of_organisations(setting.language), setting),
        choice,
    };
    rendered(200, html_of(&template), policy::of_kept_form().into(), setting)
}

/// The page that sends a form again: the same pairs, in their order, to `target`, a path on this host. It
/// sends itself; without scripts its button does.
#[must_use]
pub fn render_resent_form(target: &str, pairs: &[(String, String)], setting: &Setting<'_>) -> RenderedPage {
    let template = ResentFormTemplate {
        frame: Frame::of(setting),
        script: policy::SCRIPT,
        words: Said::on("resent_form", words::of_resent_form(setting.language), setting),
        target,
        pairs: pairs.iter().map(|(name, value)| (escaped(name), escaped(value))).collect(),
    };
    rendered(200, html_of(&template), policy::of_resent_form().into(), setting)
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

#[derive(Template)]
#[template(path = "page.html")]
struct PageTemplate<'a> {
    frame: Frame<'a>,
    words: Said<'a>,
    notice: &'a str,
    actions: Vec<Action<'a>>,
}

#[derive(Template)]
#[template(path = "logout.html")]
struct LogoutTemplate<'a> {
    script: Option<&'static str>,
    frame: Frame<'a>,
    words: Said<'a>,
    endpoint: &'a str,
    parameters: &'a [(&'a str, String)],
}

#[derive(Template)]
#[template(path = "kept.html")]
struct KeptFormTemplate<'a> {
    frame: Frame<'a>,
    words: Said<'a>,
    links: KeptFormLinks<'a>,
    sealed: &'a str,
}

#[derive(Template)]
#[template(path = "organisations.html")]
struct OrganisationsTemplate<'a> {
    frame: Frame<'a>,
    words: Said<'a>,
    choice: &'a OrganisationChoice<'a>,
}

#[derive(Template)]
#[template(path = "resend.html")]
struct ResentFormTemplate<'a> {
    script: &'static str,
    frame: Frame<'a>,
    words: Said<'a>,
    target: &'a str,
    /// Escaped already.
    pairs: Vec<(String, String)>,
}

fn html_of(template: &impl Template) -> String {
    template.render().expect("the templates only write text into a String")
}

#[cfg(test)]
mod tests;

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

mod catalogue;
mod language;
mod policy;
mod words;

use std::borrow::Cow;

use askama::Template;
use url::Url;

use catalogue::Action;
pub use catalogue::{Page, PageLinks};
pub use language::Language;
pub use policy::{BARE_POLICY, security_headers};
use words::{Labels, Words};

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

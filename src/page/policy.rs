//! What a browser may do with a page of ours (CSP Level 3; threat model BR-1).
//!
//! **Invariant:** no page loads anything but its operator's logo from this host, is framed, or runs a script other than the one line whose hash
//! is in its policy. The hashes are taken from the very bytes that the templates get.

use std::borrow::Cow;
use std::sync::LazyLock;

use aws_lc_rs::digest::{SHA256, digest};
use url::{Host, Url};

use super::Setting;

/// The style of every page.
pub(super) const STYLE: &str = include_str!("../../templates/page.css");

/// Sends the page's form at once; without it the button does. A field named `submit` does not stand in its
/// way.
pub(super) const SCRIPT: &str = include_str!("../../templates/logout.js");

/// The policy for an answer that is not a page, such as JSON.
pub const BARE_POLICY: &str = "default-src 'none'; frame-ancestors 'none'";

/// Headers of every page and of every refusal, beside its Content-Security-Policy. What other answers have is said in
/// [`crate::respond::complete`].
///
/// `secure`: the browser came by https; only then is Strict-Transport-Security sent (RFC 6797, 7.2). It
/// speaks for this host alone, since other hosts of the domain are not ours to decide on. The answer to a
/// provider's front-channel logout is framed and must not have `X-Frame-Options` (dossier 3.3).
#[must_use]
pub fn security_headers(secure: bool) -> &'static [(&'static str, &'static str)] {
    const HEADERS: [(&str, &str); 8] = [
        ("Strict-Transport-Security", "max-age=31536000"),
        ("Cache-Control", "no-store"),
        ("X-Content-Type-Options", "nosniff"),
        ("Referrer-Policy", "no-referrer"),
        ("Cross-Origin-Opener-Policy", "same-origin"),
        ("Cross-Origin-Resource-Policy", "same-origin"),
        ("X-Frame-Options", "DENY"),
        (
            "Permissions-Policy",
            "camera=(), display-capture=(), geolocation=(), microphone=(), payment=(), \
             publickey-credentials-get=(), usb=()",
        ),
    ];
    if secure { &HEADERS } else { &HEADERS[1..] }
}

/// The policy of a page that only links.
pub(super) fn of_page() -> &'static str {
    static POLICY: LazyLock<String> = LazyLock::new(|| {
        let style = hash_source(STYLE);
        format!(
            "default-src 'none'; style-src {style}; form-action 'none'; frame-ancestors 'none'; base-uri 'none'"
        )
    });
    &POLICY
}

/// The policy of the page that keeps a form and gives it back to us.
pub(super) fn of_kept_form() -> &'static str {
    static POLICY: LazyLock<String> = LazyLock::new(|| {
        let style = hash_source(STYLE);
        format!(
            "default-src 'none'; style-src {style}; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
        )
    });
    &POLICY
}

/// The policy of the page that sends a kept form to an app of this host. The app has taken it when it leads elsewhere, as to
/// a payment: a browser that held that redirect back would have the person send the form twice.
pub(super) fn of_resent_form() -> &'static str {
    static POLICY: LazyLock<String> = LazyLock::new(|| {
        let [script, style] = [hash_source(SCRIPT), hash_source(STYLE)];
        format!(
            "default-src 'none'; script-src {script}; style-src {style}; form-action 'self' https:; \
             frame-ancestors 'none'; base-uri 'none'"
        )
    });
    &POLICY
}

/// The policy of the page that posts to `endpoint`; `None` if the endpoint cannot be named in a policy.
///
/// Browsers hold the redirects that follow a form to `form-action` too, so where the provider sends the
/// browser back is named as well.
pub(super) fn of_logout_form(endpoint: &Url, comes_back_to: Option<&Url>) -> Option<String> {
    static SOURCES: LazyLock<[String; 2]> = LazyLock::new(|| [hash_source(SCRIPT), hash_source(STYLE)]);
    let [script, style] = &*SOURCES;
    let mut targets = host_source(endpoint)?;
    if let Some(back) = comes_back_to.and_then(host_source).filter(|back| *back != targets) {
        targets = format!("{targets} {back}");
    }
    Some(format!(
        "default-src 'none'; script-src {script}; style-src {style}; form-action 'self' {targets}; \
         frame-ancestors 'none'; base-uri 'none'"
    ))
}

/// The same policy with what the page's look needs: the operator's colours, and their logo from this host.
pub(super) fn branded(policy: Cow<'static, str>, setting: &Setting<'_>) -> Cow<'static, str> {
    let mut policy = policy;
    if let Some(colours) = &setting.brand.colours {
        policy = policy.replacen("style-src ", &format!("style-src {} ", colours.source()), 1).into();
    }
    if let (Some(_), Some(logos)) = (&setting.brand.logo, &setting.logos) {
        // Not the whole host: its `/favicon.ico` is the app's.
        let named = Url::parse(logos).ok().filter(|url| host_source(url).is_some());
        let source = named.map_or_else(|| "'self'".to_owned(), String::from);
        let with = format!("default-src 'none'; img-src {source}; ");
        policy = policy.replacen("default-src 'none'; ", &with, 1).into();
    }
    policy
}

fn hash_source(inline: &str) -> String {
    let hash = digest(&SHA256, inline.as_bytes());
    format!("'sha256-{}'", base64_simd::STANDARD.encode_to_string(hash))
}

/// The origin as a `host-source`. Its grammar has no IPv6 addresses, and a host may hold `;` and `'`,
/// which would end or widen the directive.
fn host_source(url: &Url) -> Option<String> {
    let nameable = match url.host()? {
        Host::Domain(name) => {
            name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.'))
        }
        Host::Ipv4(_) => true,
        Host::Ipv6(_) => false,
    };
    (nameable && matches!(url.scheme(), "https" | "http")).then(|| url.origin().ascii_serialization())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_policy_can_name_becomes_a_source() {
        let source = |text: &str| host_source(&Url::parse(text).unwrap());
        assert_eq!(
            source("https://login.idporten.no/logout?a=b"),
            Some("https://login.idporten.no".to_owned())
        );
        assert_eq!(source("https://login.example:8443/x"), Some("https://login.example:8443".to_owned()));
        assert_eq!(source("http://127.0.0.1:8082/x"), Some("http://127.0.0.1:8082".to_owned()));
        assert_eq!(source("https://user:secret@login.example/"), Some("https://login.example".to_owned()));
        for text in [
            "https://a;script-src'unsafe-inline'/",
            "https://a,b/",
            "https://*/",
            "https://[::1]/",
            "javascript:alert(1)",
            "data:text/html,x",
        ] {
            assert_eq!(source(text), None, "{text}");
        }
    }

    #[test]
    fn where_the_provider_sends_the_browser_back_is_named_once() {
        let url = |text: &str| Url::parse(text).unwrap();
        let policy = |back: Option<&Url>| of_logout_form(&url("https://op.example/end"), back).unwrap();
        assert!(policy(None).contains("; form-action 'self' https://op.example; "));
        assert!(
            policy(Some(&url("https://op.example/x"))).contains("; form-action 'self' https://op.example; ")
        );
        let elsewhere = policy(Some(&url("https://auth.example/oauth2/logout/callback")));
        assert!(elsewhere.contains("; form-action 'self' https://op.example https://auth.example; "));
    }

    #[test]
    fn hsts_is_for_https_only() {
        let names = |secure| security_headers(secure).iter().map(|(name, _)| *name).collect::<Vec<_>>();
        assert!(names(true).contains(&"Strict-Transport-Security"));
        assert!(!names(false).contains(&"Strict-Transport-Security"));
        for name in [
            "Cache-Control",
            "X-Content-Type-Options",
            "Referrer-Policy",
            "Cross-Origin-Opener-Policy",
            "X-Frame-Options",
            "Permissions-Policy",
        ] {
            assert!(names(true).contains(&name) && names(false).contains(&name), "{name}");
        }
    }
}

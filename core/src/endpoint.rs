//! The gateway's own endpoints: recognised by path, in any spelling, and never forwarded (`threats.md` RT-8).
//!
//! To add one, add a variant here and a file of its name to the gateway's `endpoint/`.

use http::Method;

use crate::request::{NormalRequest, fully_decoded, without_parameters};

/// The prefix of what other parties read of us without logging in.
const WELL_KNOWN: &str = "/.well-known/portvakt";

/// Where apps read the keys of assertions.
const JWKS: &str = "/.well-known/portvakt/jwks.json";

/// An endpoint of ours (`design.md` 2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OwnEndpoint {
    /// `GET <prefix>/login`.
    Login,
    /// `GET <prefix>/callback`, and `/callback/<provider>` for one that has its own.
    Callback,
    /// `GET|POST <prefix>/logout`.
    Logout,
    /// `GET|HEAD <prefix>/logout/callback`.
    LogoutCallback,
    /// `GET <prefix>/logout/frontchannel`.
    FrontChannelLogout,
    /// `POST <prefix>/logout/backchannel`.
    BackChannelLogout,
    /// `GET|HEAD <prefix>/session`.
    Session,
    /// `POST <prefix>/resume`.
    Resume,
    /// `GET|POST <prefix>/organisation`.
    Organisation,
    /// `GET <prefix>/language`.
    Language,
    /// `POST <prefix>/choose`.
    Choose,
    /// `GET|HEAD <prefix>/logo/<name>`.
    Logo,
    /// `GET /.well-known/portvakt/jwks.json`.
    Jwks,
    /// Anything else below the prefix: 404.
    Unknown,
}

impl OwnEndpoint {
    /// The endpoint that a request is for; `None` if its path is not ours.
    #[must_use]
    pub fn of(request: &NormalRequest, prefix: &str) -> Option<Self> {
        let path = request.path();
        if !is_below_decoded(path, prefix) && !is_below_decoded(path, WELL_KNOWN) {
            return None;
        }
        if path == JWKS {
            return Some(Self::Jwks);
        }
        Some(match path.strip_prefix(prefix).unwrap_or_default() {
            "/login" => Self::Login,
            "/callback" => Self::Callback,
            "/logout" => Self::Logout,
            "/logout/callback" => Self::LogoutCallback,
            "/logout/frontchannel" => Self::FrontChannelLogout,
            "/logout/backchannel" => Self::BackChannelLogout,
            "/session" => Self::Session,
            "/resume" => Self::Resume,
            "/organisation" => Self::Organisation,
            "/language" => Self::Language,
            "/choose" => Self::Choose,
            path if is_one_below(path, "/callback/") => Self::Callback,
            path if is_one_below(path, "/logo/") => Self::Logo,
            _ => Self::Unknown,
        })
    }

    /// The methods that it takes.
    #[must_use]
    pub fn methods(self) -> &'static [Method] {
        match self {
            Self::Logout | Self::Organisation => &[Method::GET, Method::POST],
            Self::BackChannelLogout | Self::Resume | Self::Choose => &[Method::POST],
            Self::Jwks | Self::LogoutCallback | Self::Session | Self::Logo => &[Method::GET, Method::HEAD],
            // A HEAD begins and ends nothing.
            Self::Login | Self::Callback | Self::FrontChannelLogout | Self::Language | Self::Unknown => {
                &[Method::GET]
            }
        }
    }
}

/// Whether a path is `folder` and one segment.
fn is_one_below(path: &str, folder: &str) -> bool {
    path.strip_prefix(folder).is_some_and(|name| !name.contains('/'))
}

/// Whether any app could read the path as one at or below `prefix`.
pub(crate) fn is_below(path: &str, prefix: &str) -> bool {
    let mut segments = path.split('/').map(without_parameters);
    prefix
        .split('/')
        .all(|expected| segments.next().is_some_and(|segment| segment.eq_ignore_ascii_case(expected)))
}

/// As [`is_below`], also with every escape decoded, how often ever: no app reads a path of ours in it.
pub(crate) fn is_below_decoded(path: &str, prefix: &str) -> bool {
    is_below(path, prefix) || path.contains('%') && is_below(&fully_decoded(path), prefix)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::RawHead;

    fn of(target: &str) -> Option<OwnEndpoint> {
        let headers = [(http::header::HOST, "a.no".parse().unwrap())].into_iter().collect();
        let head =
            RawHead { method: &Method::GET, target: target.as_bytes(), authority: None, headers: &headers };
        OwnEndpoint::of(&NormalRequest::parse(head).unwrap(), "/oauth2")
    }

    #[test]
    fn endpoints_are_found_by_their_exact_path() {
        assert_eq!(of("/.well-known/portvakt/jwks.json"), Some(OwnEndpoint::Jwks));
        assert_eq!(of("/oauth2/login?redirect=/"), Some(OwnEndpoint::Login));
        assert_eq!(of("/%6fauth2/callback"), Some(OwnEndpoint::Callback));
        assert_eq!(of("/oauth2/callback/staff?code=x"), Some(OwnEndpoint::Callback));
        assert_eq!(of("/oauth2/logout/callback"), Some(OwnEndpoint::LogoutCallback));
    }

    #[test]
    fn whatever_could_be_read_as_ours_is_never_forwarded() {
        for target in [
            "/oauth2",
            "/oauth2/",
            "/oauth2/x",
            "/OAuth2/login",
            "/oauth2;a/login",
            "/oauth2%3Ba/login",
            "/%256fauth2/login",
            "/%25256Fauth2%2Flogin",
            "/oauth2/login/",
            "/oauth2/callback/staff/",
            "/oauth2/callback/staff/x",
            "/oauth2/login;a",
            "/oauth2/LOGIN",
            "/.well-known/portvakt/jwks.json/",
            "/.well-known/portvakt/JWKS.json",
            "/.well-known/portvakt",
            "/.Well-Known/Portvakt",
        ] {
            assert_eq!(of(target), Some(OwnEndpoint::Unknown), "{target}");
        }
        for target in ["/", "/oauth", "/oauth2x", "/a/oauth2/login", "/.well-known/security.txt"] {
            assert_eq!(of(target), None, "{target}");
        }
    }
}

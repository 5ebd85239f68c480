//! The opening handshake of a WebSocket, judged on both sides, and the frames that end one (RFC 6455).
//!
//! **Invariant:** a tunnel is opened only by a handshake that is valid in every point, and only when the app has
//! answered to this very handshake (`threats.md` HTTP-7). What is neither is an ordinary request, or refused.

mod frames;

use http::header::{
    CONNECTION, CONTENT_LENGTH, ORIGIN, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION,
    TRANSFER_ENCODING, UPGRADE,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Version};

pub use self::frames::{Frames, close};

/// What the key is followed by in the accepting hash (RFC 6455, 1.3).
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// The protocol's name in `Upgrade`.
pub const PROTOCOL: HeaderValue = HeaderValue::from_static("websocket");

/// A valid request to open a WebSocket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Handshake {
    accept: String,
}

/// Why a request to open a WebSocket is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadHandshake {
    /// It breaks RFC 6455, 4.2.1: method, key, `Connection`, `Upgrade`, or it has a body.
    #[error("the WebSocket handshake is not valid")]
    Invalid,
    /// Another version than 13.
    #[error("the WebSocket version is not 13")]
    Version,
    /// A page of another site would act as the person (ASVS 4.4.2; `threats.md` BR-3).
    #[error("the WebSocket was asked for by a page of a foreign origin")]
    ForeignOrigin,
}

/// Whether a request asks for a WebSocket. HTTP/2 and HTTP/1.0 have no `Upgrade` (RFC 9110, 7.8).
#[must_use]
pub fn is_asked_for(version: Version, headers: &HeaderMap) -> bool {
    version == Version::HTTP_11 && tokens(headers, &UPGRADE).any(is_protocol)
}

impl Handshake {
    /// Judges the request of a client, whose page has to be of one of `origins` if it says of which it is.
    ///
    /// # Errors
    ///
    /// [`BadHandshake`] says why there is no WebSocket.
    pub fn of(
        method: &Method,
        headers: &HeaderMap,
        is_allowed: impl Fn(&str) -> bool,
    ) -> Result<Self, BadHandshake> {
        let upgrades = tokens(headers, &UPGRADE).count() == 1 && tokens(headers, &UPGRADE).all(is_protocol);
        // Nothing else is nominated: what the app needs would be taken away, or what it must not see would be left.
        let connects = tokens(headers, &CONNECTION).any(|token| token.eq_ignore_ascii_case("upgrade"))
            && tokens(headers, &CONNECTION).all(|token| {
                token.eq_ignore_ascii_case("upgrade") || token.eq_ignore_ascii_case("keep-alive")
            });
        let empty = !headers.contains_key(TRANSFER_ENCODING)
            && headers.get_all(CONTENT_LENGTH).iter().all(|length| length == "0");
        if method != Method::GET || !upgrades || !connects || !empty {
            return Err(BadHandshake::Invalid);
        }
        if single(headers, &SEC_WEBSOCKET_VERSION) != Some("13") {
            return Err(BadHandshake::Version);
        }
        let key = single(headers, &SEC_WEBSOCKET_KEY).ok_or(BadHandshake::Invalid)?;
        let bytes = base64_simd::STANDARD.decode_to_vec(key).map_err(|_| BadHandshake::Invalid)?;
        if bytes.len() != 16 {
            return Err(BadHandshake::Invalid);
        }
        if headers.contains_key(ORIGIN) && !single(headers, &ORIGIN).is_some_and(is_allowed) {
            return Err(BadHandshake::ForeignOrigin);
        }
        Ok(Self { accept: accept(key) })
    }

    /// Whether an app's `101` answers this handshake (RFC 6455, 4.1).
    #[must_use]
    pub fn is_accepted_by(&self, headers: &HeaderMap) -> bool {
        let upgrades = tokens(headers, &UPGRADE).count() == 1 && tokens(headers, &UPGRADE).all(is_protocol);
        let connects = tokens(headers, &CONNECTION).any(|token| token.eq_ignore_ascii_case("upgrade"));
        upgrades && connects && single(headers, &SEC_WEBSOCKET_ACCEPT) == Some(&self.accept)
    }
}

fn is_protocol(token: &str) -> bool {
    token.eq_ignore_ascii_case("websocket")
}

/// RFC 6455, 4.2.2.
fn accept(key: &str) -> String {
    let hashed = [key.as_bytes(), GUID].concat();
    // The protocol demands SHA-1; nothing secret depends on it.
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA1_FOR_LEGACY_USE_ONLY, &hashed);
    base64_simd::STANDARD.encode_to_string(digest.as_ref())
}

/// The members of a list, from all lines. What is no text is no member that we know.
fn tokens<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    headers
        .get_all(name)
        .iter()
        .flat_map(|line| line.to_str().unwrap_or("?").split(','))
        .map(|token| token.trim_matches([' ', '\t']))
        .filter(|token| !token.is_empty())
}

fn single<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let mut lines = headers.get_all(name).iter();
    match (lines.next(), lines.next()) {
        (Some(line), None) => line.to_str().ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OURS: &str = "https://app.example.no";

    fn sound() -> Vec<(&'static str, &'static str)> {
        vec![
            ("upgrade", "websocket"),
            ("connection", "keep-alive, Upgrade"),
            ("sec-websocket-version", "13"),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
            ("origin", OURS),
        ]
    }

    fn map(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in fields {
            map.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        map
    }

    fn judged(
        change: impl FnOnce(&mut Vec<(&'static str, &'static str)>),
    ) -> Result<Handshake, BadHandshake> {
        let mut fields = sound();
        change(&mut fields);
        Handshake::of(&Method::GET, &map(&fields), |origin| origin == OURS)
    }

    #[test]
    fn the_example_of_the_rfc_is_accepted() {
        let handshake = judged(|_| ()).unwrap();
        assert_eq!(handshake.accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        let answer = [
            ("upgrade", "WebSocket"),
            ("connection", "Upgrade"),
            ("sec-websocket-accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
        ];
        assert!(handshake.is_accepted_by(&map(&answer)));
        for missing in 0..answer.len() {
            let mut less = answer.to_vec();
            less.remove(missing);
            assert!(!handshake.is_accepted_by(&map(&less)), "{missing}");
        }
        let other = [answer[0], answer[1], ("sec-websocket-accept", "AAAAAAAAAAAAAAAAAAAAAAAAAAA=")];
        assert!(!handshake.is_accepted_by(&map(&other)));
        let h2c = [("upgrade", "h2c"), answer[1], answer[2]];
        assert!(!handshake.is_accepted_by(&map(&h2c)));
        // A program that is no browser says nothing of a page.
        assert!(judged(|fields| fields.retain(|(name, _)| *name != "origin")).is_ok());
    }

    #[test]
    fn a_handshake_is_valid_in_every_point_or_refused() {
        use BadHandshake::{ForeignOrigin, Invalid};
        let set = |name: &'static str, value: &'static str| {
            judged(|fields| {
                fields.retain(|(known, _)| *known != name);
                fields.push((name, value));
            })
        };
        let without = |name: &str| judged(|fields| fields.retain(|(known, _)| *known != name));
        let add = |name, value| judged(|fields| fields.push((name, value)));
        for (refused, why) in [
            (without("connection"), Invalid),
            (set("connection", "close"), Invalid),
            (set("connection", "Upgrade, X-Identity-Fnr"), Invalid),
            (without("upgrade"), Invalid),
            (set("upgrade", "websocket, h2c"), Invalid),
            (add("upgrade", "h2c"), Invalid),
            (without("sec-websocket-key"), Invalid),
            (set("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ"), Invalid),
            (set("sec-websocket-key", "dGhlIHNhbXBsZSBub25j"), Invalid),
            (set("sec-websocket-key", "not base64 at all, no!!!"), Invalid),
            (add("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="), Invalid),
            (add("content-length", "1"), Invalid),
            (add("transfer-encoding", "chunked"), Invalid),
            (without("sec-websocket-version"), BadHandshake::Version),
            (set("sec-websocket-version", "8"), BadHandshake::Version),
            (add("sec-websocket-version", "13"), BadHandshake::Version),
            (set("origin", "https://evil.example"), ForeignOrigin),
            (set("origin", "null"), ForeignOrigin),
            (set("origin", ""), ForeignOrigin),
            (add("origin", OURS), ForeignOrigin),
        ] {
            assert_eq!(refused, Err(why));
        }
        let headers = map(&sound());
        assert_eq!(Handshake::of(&Method::POST, &headers, |_| true), Err(Invalid));
        assert!(is_asked_for(Version::HTTP_11, &headers));
        assert!(!is_asked_for(Version::HTTP_10, &headers) && !is_asked_for(Version::HTTP_2, &headers));
        assert!(!is_asked_for(Version::HTTP_11, &map(&[("upgrade", "h2c")])));
    }
}

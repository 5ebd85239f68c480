//! The bearer token of a request (RFC 6750, 2.1), from its `Authorization` field alone.
//!
//! **Invariant:** a token in the query or in a form is never read: URLs are logged, and forms come from pages
//! (RFC 6750, 2.2, 2.3; RFC 9700, 4.3.2). A query that has one is refused rather than passed on, since an app behind
//! us might believe it.
//!
//! **Invariant:** what two readers could understand differently is refused: several fields, several tokens in one.

use http::HeaderMap;
use http::header::AUTHORIZATION;

/// Longer credentials are refused unread; Maskinporten's tokens have about a thousand bytes.
pub const MAX_BEARER: usize = 8 * 1024;

/// The parameter that RFC 6750, 2.2 and 2.3 know, which is not read here.
const PARAMETER: &str = "access_token";

/// Why no token can be read, although the request tries to bring one: `invalid_request`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadBearer {
    /// More than one `Authorization` field.
    #[error("`Authorization` is there more than once")]
    Several,
    /// Not one token of the characters of RFC 6750, 2.1.
    #[error("the bearer token is malformed")]
    Malformed,
    /// Longer than [`MAX_BEARER`].
    #[error("the bearer token is too long")]
    TooLong,
    /// The query brings a token.
    #[error("a token in the query is not read")]
    InQuery,
}

/// The token of a request; `None` if it brings none, or credentials of another scheme.
///
/// # Errors
///
/// [`BadBearer`]: it tries to, in a way that is not read.
pub fn token<'h>(headers: &'h HeaderMap, query: Option<&str>) -> Result<Option<&'h str>, BadBearer> {
    if in_query(query) {
        return Err(BadBearer::InQuery);
    }
    let mut fields = headers.get_all(AUTHORIZATION).iter();
    let Some(field) = fields.next() else { return Ok(None) };
    if fields.next().is_some() {
        return Err(BadBearer::Several);
    }
    let field = field.as_bytes().trim_ascii();
    let scheme =
        field.split(|byte| !byte.is_ascii_alphanumeric() && *byte != b'-').next().unwrap_or_default();
    // RFC 9110, 11.1: schemes are compared without regard to case.
    if !scheme.eq_ignore_ascii_case(b"bearer") {
        return Ok(None);
    }
    if field.len() > MAX_BEARER {
        return Err(BadBearer::TooLong);
    }
    // A field is visible ASCII and blanks here, or it is no token.
    let field = std::str::from_utf8(field).map_err(|_| BadBearer::Malformed)?;
    let credentials = field.get(scheme.len()..).unwrap_or_default();
    let token = credentials.trim_start_matches(' ');
    if token.len() == credentials.len() || !is_token(token) {
        return Err(BadBearer::Malformed);
    }
    Ok(Some(token))
}

/// Whether a query brings a token, which an app behind us might believe.
#[must_use]
pub fn in_query(query: Option<&str>) -> bool {
    query.is_some_and(has_token)
}

/// `b64token` (RFC 6750, 2.1).
fn is_token(text: &str) -> bool {
    let body = text.trim_end_matches('=');
    !body.is_empty() && body.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~+/".contains(&byte))
}

/// Whether a query has the parameter, in whatever spelling a form's reader would take for it.
fn has_token(query: &str) -> bool {
    query.split(['&', ';']).any(|pair| {
        let name = pair.split('=').next().unwrap_or_default();
        let mut bytes = name.bytes();
        let mut plain = Vec::with_capacity(PARAMETER.len());
        while let Some(byte) = bytes.next() {
            if plain.len() > PARAMETER.len() {
                return false;
            }
            plain.push(if byte == b'%' { unescape(&mut bytes) } else { byte });
        }
        plain.eq_ignore_ascii_case(PARAMETER.as_bytes())
    })
}

fn unescape(bytes: &mut std::str::Bytes<'_>) -> u8 {
    let mut digit = || bytes.next().and_then(|byte| char::from(byte).to_digit(16));
    match (digit(), digit()) {
        (Some(high), Some(low)) => u8::try_from(high * 16 + low).unwrap_or_default(),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn fields(values: &[&[u8]]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(AUTHORIZATION, HeaderValue::from_bytes(value).unwrap());
        }
        headers
    }

    fn read(value: &str) -> Result<Option<String>, BadBearer> {
        token(&fields(&[value.as_bytes()]), None).map(|token| token.map(str::to_owned))
    }

    #[test]
    fn one_token_is_read_from_the_one_field() {
        for (field, expected) in [
            ("Bearer aa.bb.cc", "aa.bb.cc"),
            ("bearer a", "a"),
            ("BEARER   a-._~+/0==", "a-._~+/0=="),
            (" Bearer a ", "a"),
        ] {
            assert_eq!(read(field), Ok(Some(expected.to_owned())), "{field}");
        }
        assert_eq!(token(&HeaderMap::new(), Some("a=b&c")), Ok(None));
    }

    #[test]
    fn other_schemes_bring_no_token() {
        for field in ["Basic YTpi", "DPoP a.b.c", "BearerX a", "Bearer-Token a", "", "Negotiate", "a.b.c"] {
            assert_eq!(read(field), Ok(None), "{field}");
        }
    }

    #[test]
    fn what_two_readers_could_understand_differently_is_refused() {
        for field in [
            "Bearer",
            "Bearer ",
            "Bearer\ta",
            "Bearer a b",
            "Bearer a,Bearer b",
            "Bearer a, b",
            "Bearer, a",
            "Bearer=a",
            "Bearer \"a\"",
            "Bearer a;b",
            "Bearer =",
            "Bearer a=b",
            "Bearer a\tb",
            "Bearer token=a",
        ] {
            assert_eq!(read(field), Err(BadBearer::Malformed), "{field}");
        }
        assert_eq!(token(&fields(&[b"Bearer \xe5"]), None), Err(BadBearer::Malformed));
        assert_eq!(read(&format!("Bearer {}", "a".repeat(MAX_BEARER))), Err(BadBearer::TooLong));
        for pair in [[&b"Bearer a"[..], b"Bearer a"], [b"Bearer a", b"Basic b"], [b"", b"Bearer a"]] {
            assert_eq!(token(&fields(&pair), None), Err(BadBearer::Several));
        }
    }

    #[test]
    fn a_token_in_the_query_is_not_read_and_not_passed_on() {
        for query in [
            "access_token=a",
            "a=b&access_token=c",
            "access_token",
            "access%5Ftoken=a",
            "%61ccess_token=a",
            "x;access_token=a",
            "ACCESS_TOKEN=a",
        ] {
            let headers = fields(&[b"Bearer a"]);
            assert_eq!(token(&headers, Some(query)), Err(BadBearer::InQuery), "{query}");
            assert_eq!(token(&HeaderMap::new(), Some(query)), Err(BadBearer::InQuery), "{query}");
        }
        for query in
            ["", "q=access_token", "my_access_token=a", "access_tokens=a", "access_toke=n", "%", "%zz=a"]
        {
            assert_eq!(token(&HeaderMap::new(), Some(query)), Ok(None), "{query}");
        }
    }

    proptest! {
        #[test]
        fn what_is_read_is_one_word_of_the_field(bytes in prop::collection::vec(0x20u8..0x7f, 0..40)) {
            let field = [b"Bearer ", bytes.as_slice()].concat();
            if let Ok(Some(token)) = token(&fields(&[&field]), None) {
                prop_assert_eq!(field.trim_ascii_end().rsplit(|byte| *byte == b' ').next().unwrap(), token.as_bytes());
                prop_assert!(!token.contains([' ', ',', '"']));
            }
        }
    }
}

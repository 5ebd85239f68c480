//! gRPC over HTTP/2: what its clients are told in its own words, and what of its trailers is passed on
//! (gRPC over HTTP/2, Responses; HTTP to gRPC Status Code Mapping; `threats.md` ID-10).
//!
//! **Invariant:** trailers carry outwards nothing that a reply's header may not.

use bytes::Bytes;
use http::header::{CONTENT_TYPE, SET_COOKIE};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version};
use pingora::http::{RequestHeader, ResponseHeader};

use crate::answer::Answer;
use crate::guard;
use crate::snapshot::Snapshot;

const STATUS: HeaderName = HeaderName::from_static("grpc-status");
const MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
const TYPE: &[u8] = b"application/grpc";

/// Whether a request is a call whose client reads the outcome from `grpc-status`. In HTTP/1.1 there are none.
pub(super) fn is_call(head: &RequestHeader) -> bool {
    head.version == Version::HTTP_2
        && head.method == Method::POST
        && head.headers.get(CONTENT_TYPE).is_some_and(is_grpc)
}

/// Whether a reply answers a call; its messages come as long as both sides want.
pub(super) fn is_reply(response: &ResponseHeader) -> bool {
    response.headers.get(CONTENT_TYPE).is_some_and(is_grpc)
}

/// `application/grpc`, with a format (`+proto`) or parameters behind it. gRPC-Web is another type.
fn is_grpc(value: &HeaderValue) -> bool {
    let value = value.as_bytes();
    value.get(..TYPE.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(TYPE))
        && matches!(value.get(TYPE.len()), None | Some(b'+' | b';' | b' '))
}

/// An answer of ours in the words of gRPC: status 200, the outcome beside it, and no body (`Trailers-Only`).
pub(super) fn answer(answer: Answer) -> Answer {
    if !answer.status.is_client_error() && !answer.status.is_server_error() {
        return answer;
    }
    let status = HeaderValue::from_static(code(answer.status));
    let said = std::str::from_utf8(&answer.body).ok().filter(|body| body.starts_with('{'));
    let text = said.map_or(answer.rule, str::trim_end);
    let mut headers: Vec<_> = answer.headers.into_iter().filter(|(name, _)| name != CONTENT_TYPE).collect();
    headers.push((CONTENT_TYPE, HeaderValue::from_static("application/grpc")));
    headers.push((STATUS, status));
    headers.extend(HeaderValue::try_from(encoded(text)).map(|message| (MESSAGE, message)));
    Answer { status: StatusCode::OK, headers, body: Bytes::new(), rule: answer.rule }
}

/// UNAUTHENTICATED, PERMISSION_DENIED, UNIMPLEMENTED, UNAVAILABLE, RESOURCE_EXHAUSTED, INTERNAL.
fn code(status: StatusCode) -> &'static str {
    match status {
        StatusCode::UNAUTHORIZED => "16",
        StatusCode::FORBIDDEN => "7",
        StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED | StatusCode::MISDIRECTED_REQUEST => "12",
        StatusCode::TOO_MANY_REQUESTS
        | StatusCode::BAD_GATEWAY
        | StatusCode::SERVICE_UNAVAILABLE
        | StatusCode::GATEWAY_TIMEOUT => "14",
        StatusCode::PAYLOAD_TOO_LARGE => "8",
        _ => "13",
    }
}

/// `Percent-Encoded` of gRPC over HTTP/2.
fn encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'%' | ..b' ' | 0x7f.. => encoded.push_str(&format!("%{byte:02X}")),
            plain => encoded.push(char::from(plain)),
        }
    }
    encoded
}

/// Takes from an app's trailers what is not for clients, and what has no meaning there (RFC 9110, 6.5.1).
pub(super) fn clean_trailers(trailers: &mut HeaderMap, snapshot: &Snapshot) {
    let taken = |name: &HeaderName| {
        name == SET_COOKIE
            || guard::is_forbidden_trailer(name.as_str().as_bytes())
            || snapshot.reserved.takes_away_from_reply(name.as_str())
    };
    let taken: Vec<HeaderName> = trailers.keys().filter(|name| taken(name)).cloned().collect();
    for name in taken {
        trailers.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_known_by_protocol_method_and_type() {
        let head = |version, method: &str, kind: &'static str| {
            let mut head = RequestHeader::build(method, b"/a.B/C", None).unwrap();
            head.set_version(version);
            head.insert_header(CONTENT_TYPE, kind).unwrap();
            head
        };
        for kind in ["application/grpc", "application/grpc+proto", "Application/gRPC; x=y"] {
            assert!(is_call(&head(Version::HTTP_2, "POST", kind)), "{kind}");
            assert!(!is_call(&head(Version::HTTP_11, "POST", kind)), "{kind}");
            assert!(!is_call(&head(Version::HTTP_2, "GET", kind)), "{kind}");
        }
        for kind in ["application/grpc-web", "application/grpcx", "application/json", "text/html"] {
            assert!(!is_call(&head(Version::HTTP_2, "POST", kind)), "{kind}");
        }
    }

    #[test]
    fn a_refusal_is_said_in_the_words_of_grpc() {
        let refusal = Answer {
            body: Bytes::from_static(b"{\"error\":\"login_required\"}\n"),
            ..Answer::json(StatusCode::UNAUTHORIZED, &serde_json::Value::Null, "login_required")
        };
        let said = answer(refusal);
        let field = |name: HeaderName| {
            let mut values = said.headers.iter().filter(|(known, _)| *known == name);
            let value = values.next().map(|(_, value)| value.to_str().unwrap());
            assert!(values.next().is_none(), "{name} occurs once");
            value
        };
        assert_eq!((said.status, &*said.body), (StatusCode::OK, &b""[..]));
        assert_eq!(field(STATUS), Some("16"));
        assert_eq!(field(MESSAGE), Some("{\"error\":\"login_required\"}"));
        assert_eq!(field(CONTENT_TYPE), Some("application/grpc"));
        assert_eq!(encoded("100 %\né"), "100 %25%0A%C3%A9");
        let page = Answer {
            body: Bytes::from_static(b"<html>"),
            ..Answer::new(StatusCode::FORBIDDEN, "cross_site")
        };
        assert!(answer(page).headers.contains(&(MESSAGE, HeaderValue::from_static("cross_site"))));
        assert_eq!(answer(Answer::new(StatusCode::FOUND, "x")).status, StatusCode::FOUND);
    }
}

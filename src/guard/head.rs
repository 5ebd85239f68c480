//! Judges the head of an HTTP/2 request by the rules that the framer has for HTTP/1 (RFC 9113, 8; threat model HTTP-8, LI-2).
//!
//! The library has refused what is malformed in itself: upper case, control characters, fields of one connection, pseudo-header
//! fields that are doubled, unknown or late, an authority that conflicts. Left are the limits, and what an HTTP/1 app would read
//! differently.

use http::header::{CONTENT_LENGTH, COOKIE, HOST};
use http::{HeaderMap, Method};
use pingora::http::RequestHeader;

use super::framer::{FramingLimits, is_look_alike, read_length};
use super::refused::Refused;

/// Bytes of a field line beside its name and value, as HTTP/1 writes it.
const LINE: usize = ": \r\n".len();

/// Judges a head.
pub(super) fn check(head: &RequestHeader, limits: &FramingLimits) -> Result<(), Refused> {
    if head.method == Method::CONNECT {
        return Err(Refused::Connect);
    }
    if head.raw_path().len() + head.method.as_str().len() > limits.request_line_bytes {
        return Err(Refused::RequestLineTooLong);
    }
    if !matches!(head.uri.scheme_str(), None | Some("http" | "https")) {
        return Err(Refused::RequestLine);
    }
    check_size(head, limits)?;
    check_lengths(&head.headers)?;
    if head.headers.get_all(HOST).iter().count() > 1 {
        return Err(Refused::HostRepeated);
    }
    if head.headers.keys().any(|name| name.as_str().contains('_') && is_look_alike(name.as_str().as_bytes()))
    {
        return Err(Refused::LookAlike);
    }
    Ok(())
}

/// The header's size as HTTP/1 would write it. Cookies that come one by one (RFC 9113, 8.2.3) are one field.
fn check_size(head: &RequestHeader, limits: &FramingLimits) -> Result<(), Refused> {
    let headers = &head.headers;
    let bytes: usize =
        headers.iter().map(|(name, value)| name.as_str().len() + value.len() + LINE).sum::<usize>()
            + head.raw_path().len();
    if bytes > limits.header_bytes {
        return Err(Refused::HeaderTooLarge);
    }
    let crumbs = headers.get_all(COOKIE).iter().count();
    if headers.len() - crumbs + crumbs.min(1) > limits.header_fields {
        return Err(Refused::TooManyFields);
    }
    Ok(())
}

fn check_lengths(headers: &HeaderMap) -> Result<(), Refused> {
    let mut lengths = headers.get_all(CONTENT_LENGTH).iter();
    match (lengths.next(), lengths.next()) {
        (_, Some(_)) => Err(Refused::ContentLengthRepeated),
        (Some(length), None) => read_length(length.as_bytes()).map(|_| ()),
        (None, None) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(method: &str, fields: &[(&'static str, &str)]) -> Result<(), Refused> {
        let mut head = RequestHeader::build(method, b"/a", None).unwrap();
        for (name, value) in fields {
            head.append_header(*name, *value).unwrap();
        }
        check(&head, &FramingLimits::default())
    }

    #[test]
    fn an_ordinary_head_passes() {
        assert_eq!(judge("GET", &[]), Ok(()));
        assert_eq!(judge("POST", &[("content-length", "3"), ("x_y", "z")]), Ok(()));
        assert_eq!(judge("GET", &vec![("cookie", "a=b"); 300]), Ok(()));
    }

    #[test]
    fn what_an_app_would_read_differently_is_refused() {
        assert_eq!(judge("CONNECT", &[]), Err(Refused::Connect));
        for (fields, why) in [
            (&[("content-length", "3"), ("content-length", "3")][..], Refused::ContentLengthRepeated),
            (&[("content-length", "3, 3")], Refused::ContentLength),
            (&[("content-length", "+3")], Refused::ContentLength),
            (&[("content_length", "3")], Refused::LookAlike),
            (&[("transfer_encoding", "chunked")], Refused::LookAlike),
            (&[("host", "a.test"), ("host", "a.test")], Refused::HostRepeated),
            (&vec![("x", "y"); 101], Refused::TooManyFields),
            (&[("x", &*"y".repeat(33_000))], Refused::HeaderTooLarge),
            (&[("cookie", &*"y".repeat(20_000)), ("cookie", &*"y".repeat(20_000))], Refused::HeaderTooLarge),
        ] {
            assert_eq!(judge("POST", fields), Err(why));
        }
    }
}

//! A form that was sent while nobody was logged in well enough: the browser keeps it, sealed, until
//! somebody is (`design.md` D13; `threats.md` CK-10, OP-13, OP-14).
//!
//! **Invariant:** what is repeated is what was sent. A form that a page could not send again pair by pair
//! is not kept, and the person is told so ([`pairs`]).
//!
//! **Invariant:** only a form from a page of this very origin is kept ([`is_keepable`]): our own page sends
//! it again, and thereby vouches for where it comes from. Otherwise another site's forged form would reach
//! the app as one of its own, past `SameSite` and `Origin`.

use std::time::Duration;

use http::header::CONTENT_TYPE;
use http::{HeaderMap, Method};
use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::key::{KeyId, Ring};
use crate::redirect::{self, Target};
use crate::revocation::Tag;
use crate::seal::{self, OVERHEAD, Place, SealKey};
use crate::session::Tags;

/// How long a form is kept: as long as a login may take.
pub const LIFE: Duration = super::attempt::LIFE;

/// The most bytes of a form that is kept (`design.md` D13).
pub const MAX_BODY: usize = 64 * 1024;

/// The most pairs of a form that is kept: each becomes a field of a page.
pub const MAX_PAIRS: usize = 2_000;

/// The most bytes of a sealed form. Time, subject and lengths need less than 64.
pub const MAX_SEALED: usize = (MAX_BODY + redirect::MAX + OVERHEAD + 64).div_ceil(3) * 4;

const PURPOSE: &str = "kept-form";

/// No cookie: it stands in a page.
const FIELD: &str = "kept";

/// A form and what must hold when it is repeated. Not for logs.
#[derive(Clone, PartialEq, Eq)]
pub struct KeptForm {
    /// Where it was sent, and will be sent again.
    pub target: Target,
    /// When it was sent.
    pub sent: Timestamp,
    /// Who was last logged in at the time: the revocation key and the subject's tag under it.
    pub subject: Option<(KeyId, Tag)>,
    /// The pairs, as `application/x-www-form-urlencoded`.
    pub body: Vec<u8>,
}

impl std::fmt::Debug for KeptForm {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("KeptForm([REDACTED])")
    }
}

#[derive(Serialize, Deserialize)]
struct Sealed<'a> {
    target: &'a str,
    sent: u64,
    subject: Option<([u8; KeyId::LENGTH], [u8; 16])>,
    #[serde(borrow)]
    body: &'a [u8],
}

impl KeptForm {
    /// Seals it for one host; `None` if it is too large or could not be sent again as it was.
    ///
    /// # Panics
    ///
    /// Never: it is plain data.
    #[must_use]
    pub fn seal(&self, host: &str, ring: &Ring<SealKey>, now: Timestamp) -> Option<String> {
        if self.body.len() > MAX_BODY || self.target.as_str().len() > redirect::MAX {
            return None;
        }
        pairs(&self.body)?;
        let sealed = Sealed {
            target: self.target.as_str(),
            sent: self.sent.millis(),
            subject: self.subject.map(|(key, tag)| (key.0, tag.0)),
            body: &self.body,
        };
        let plain = postcard::to_allocvec(&sealed).expect("a form is plain data");
        Some(seal::seal(ring, &Place::whole(PURPOSE, FIELD, host), &plain, now))
    }

    /// Opens a form that was sealed for this host less than [`LIFE`] ago.
    #[must_use]
    pub fn open(value: &str, host: &str, ring: &Ring<SealKey>, now: Timestamp) -> Option<Self> {
        if value.len() > MAX_SEALED {
            return None;
        }
        let plain = seal::open(ring, &Place::whole(PURPOSE, FIELD, host), value.as_bytes(), now)?;
        let Sealed { target, sent, subject, body } = postcard::from_bytes(&plain).ok()?;
        let sent = Timestamp::from_millis(sent);
        (now < sent + LIFE).then(|| Self {
            target: Target::sealed(target),
            sent,
            subject: subject.map(|(key, tag)| (KeyId(key), Tag(tag))),
            body: body.to_vec(),
        })
    }

    /// Whether it is of another person than a session. What cannot be compared, since the keys of the tags
    /// have changed meanwhile, counts as another's.
    #[must_use]
    pub fn is_of_another_than(&self, tags: &Tags) -> bool {
        self.subject.is_some_and(|subject| subject != (tags.key, tags.subject))
    }
}

/// Whether a request is a form of a page of this very origin, of the type that can be kept. Its body is
/// not looked at.
#[must_use]
pub fn is_keepable(method: &Method, headers: &HeaderMap) -> bool {
    let is = |name, expected: &[u8]| headers.get(name).is_some_and(|value| value.as_bytes() == expected);
    method == Method::POST
        && is("sec-fetch-mode", b"navigate")
        && is("sec-fetch-dest", b"document")
        && is("sec-fetch-site", b"same-origin")
        && is_keepable_body(headers)
}

/// Whether a form's body is of the type that can be kept, whoever sent it.
#[must_use]
pub fn is_keepable_body(headers: &HeaderMap) -> bool {
    !headers.contains_key(http::header::CONTENT_ENCODING)
        && headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).is_some_and(is_form)
}

/// `application/x-www-form-urlencoded`, of no other charset than UTF-8.
fn is_form(media_type: &str) -> bool {
    let mut parts = media_type.split(';').map(str::trim);
    let named =
        parts.next().is_some_and(|name| name.eq_ignore_ascii_case("application/x-www-form-urlencoded"));
    named
        && parts.all(|parameter| match parameter.split_once('=') {
            Some((name, value)) if name.trim().eq_ignore_ascii_case("charset") => {
                value.trim().trim_matches('"').eq_ignore_ascii_case("utf-8")
            }
            _ => true,
        })
}

/// The pairs of a form, decoded (URL Standard, 5.1), in their order.
///
/// `None` if a page's hidden fields could not send the same again: bytes that are not UTF-8; a NUL, which
/// HTML does not know; an empty name, which browsers do not send; a `_charset_` that browsers would
/// overwrite (HTML, 4.10.21.4); a line break other than CR LF, which browsers would complete; or more than
/// [`MAX_PAIRS`].
#[must_use]
pub fn pairs(body: &[u8]) -> Option<Vec<(String, String)>> {
    let mut pairs = Vec::new();
    for pair in body.split(|&byte| byte == b'&').filter(|pair| !pair.is_empty()) {
        let at = pair.iter().position(|&byte| byte == b'=').unwrap_or(pair.len());
        let (name, value) = (decoded(&pair[..at])?, decoded(pair.get(at + 1..).unwrap_or_default())?);
        let overwritten = name.eq_ignore_ascii_case("_charset_") && value != "UTF-8";
        if name.is_empty() || overwritten || pairs.len() == MAX_PAIRS {
            return None;
        }
        pairs.push((name, value));
    }
    Some(pairs)
}

fn decoded(text: &[u8]) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let [byte, tail @ ..] = rest {
        rest = tail;
        bytes.push(match (byte, tail) {
            (b'+', _) => b' ',
            (b'%', [high, low, tail @ ..]) => match (hexadecimal(*high), hexadecimal(*low)) {
                (Some(high), Some(low)) => {
                    rest = tail;
                    high << 4 | low
                }
                _ => b'%',
            },
            _ => *byte,
        });
    }
    let text = String::from_utf8(bytes).ok()?;
    let changes = text.replace("\r\n", "").contains(['\r', '\n', '\0']);
    (!changes).then_some(text)
}

fn hexadecimal(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::route::Origin;

    const NOW: Timestamp = Timestamp::from_seconds(1_790_000_000);
    const HOST: &str = "a.no";
    const SUBJECT: (KeyId, Tag) = (KeyId([1; 4]), Tag([2; 16]));

    fn ring() -> Ring<SealKey> {
        Ring::single(KeyId([1; 4]), Timestamp::from_seconds(0), SealKey::new(&[7; 32]))
    }

    fn form(body: &[u8]) -> KeptForm {
        let origin = Origin { secure: true, name: HOST.into(), port: 443 };
        let target = Target::parse("/app/letters?to=7", &origin, "/oauth2").unwrap();
        KeptForm { target, sent: NOW, subject: Some(SUBJECT), body: body.to_vec() }
    }

    fn tags(key: KeyId, subject: Tag) -> Tags {
        Tags { key, session: Tag([0; 16]), op_session: None, subject }
    }

    #[test]
    fn a_form_comes_back_as_it_was_on_its_own_host_only() {
        let kept = form(b"b=2&a=1&b=%C3%A5");
        let value = kept.seal(HOST, &ring(), NOW).unwrap();
        assert_eq!(KeptForm::open(&value, HOST, &ring(), NOW), Some(kept));
        assert_eq!(KeptForm::open(&value, "b.no", &ring(), NOW), None);
        let other = Ring::single(KeyId([1; 4]), Timestamp::from_seconds(0), SealKey::new(&[8; 32]));
        assert_eq!(KeptForm::open(&value, HOST, &other, NOW), None);
    }

    #[test]
    fn a_changed_value_opens_nothing() {
        let value = form(b"a=1").seal(HOST, &ring(), NOW).unwrap();
        for at in [0, 10, value.len() / 2, value.len() - 2] {
            let other = if value.as_bytes()[at] == b'A' { "B" } else { "A" };
            let mut changed = value.clone();
            changed.replace_range(at..=at, other);
            assert_eq!(KeptForm::open(&changed, HOST, &ring(), NOW), None, "{at}");
        }
        assert_eq!(KeptForm::open(&value[1..], HOST, &ring(), NOW), None);
        assert_eq!(KeptForm::open("", HOST, &ring(), NOW), None);
    }

    #[test]
    fn a_form_is_kept_for_fifteen_minutes() {
        assert_eq!(LIFE, Duration::from_secs(15 * 60));
        let value = form(b"a=1").seal(HOST, &ring(), NOW).unwrap();
        let opens = |now| KeptForm::open(&value, HOST, &ring(), now).is_some();
        assert!(opens(NOW + LIFE - Duration::from_millis(1)));
        assert!(!opens(NOW + LIFE));
    }

    #[test]
    fn sixty_four_kibibytes_are_kept_and_no_byte_more() {
        let body = |length: usize| [b"a=".as_slice(), &vec![b'x'; length - 2]].concat();
        let mut largest = form(&body(MAX_BODY));
        let origin = Origin { secure: true, name: HOST.into(), port: 443 };
        let path = format!("/{}", "p".repeat(redirect::MAX - 1));
        largest.target = Target::parse(&path, &origin, "/oauth2").unwrap();
        let value = largest.seal(HOST, &ring(), NOW).unwrap();
        assert!(value.len() <= MAX_SEALED && value.len() + 90 > MAX_SEALED, "{}", value.len());
        assert_eq!(KeptForm::open(&value, HOST, &ring(), NOW), Some(largest));
        assert_eq!(form(&body(MAX_BODY + 1)).seal(HOST, &ring(), NOW), None);
    }

    #[test]
    fn another_person_is_told_apart_and_so_are_other_keys() {
        let kept = form(b"");
        assert!(!kept.is_of_another_than(&tags(SUBJECT.0, SUBJECT.1)));
        assert!(kept.is_of_another_than(&tags(SUBJECT.0, Tag([3; 16]))));
        assert!(kept.is_of_another_than(&tags(KeyId([9; 4]), SUBJECT.1)));
        let nobodys = KeptForm { subject: None, ..kept };
        assert!(!nobodys.is_of_another_than(&tags(SUBJECT.0, SUBJECT.1)));
    }

    #[test]
    fn pairs_keep_order_repetitions_spaces_and_line_breaks() {
        let decoded =
            pairs(b"b=1&a=+%20%2B&&b=2&c&d=%0D%0Ax%0d%0A&submit=&e=%zz%4&f==&%C3%A5=\xC3\xA6").unwrap();
        let expected = [
            ("b", "1"),
            ("a", "  +"),
            ("b", "2"),
            ("c", ""),
            ("d", "\r\nx\r\n"),
            ("submit", ""),
            ("e", "%zz%4"),
            ("f", "="),
            ("å", "æ"),
        ];
        assert_eq!(decoded, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
        assert_eq!(pairs(b""), Some(Vec::new()));
        assert_eq!(pairs(b"_charset_=UTF-8").map(|pairs| pairs.len()), Some(1));
    }

    #[test]
    fn what_a_page_could_not_send_again_is_not_kept() {
        let many = "a&".repeat(MAX_PAIRS + 1);
        for body in [
            b"a=%E5".as_slice(),
            b"\xE5=1",
            b"a=%00",
            b"=x",
            b"a=1&=",
            b"_charset_=windows-1252",
            b"_CHARSET_=",
            b"a=%0A",
            b"a=x%0D",
            b"a=%0D%0D%0A",
            many.as_bytes(),
        ] {
            assert_eq!(pairs(body), None, "{}", body.escape_ascii());
            assert_eq!(form(body).seal(HOST, &ring(), NOW), None);
        }
        assert!(pairs("a&".repeat(MAX_PAIRS).as_bytes()).is_some());
    }

    #[test]
    fn only_a_form_of_a_page_of_this_origin_is_kept() {
        let usual = [
            ("sec-fetch-mode", "navigate"),
            ("sec-fetch-dest", "document"),
            ("sec-fetch-site", "same-origin"),
            ("content-type", "application/x-www-form-urlencoded"),
        ];
        let headers = |change: Option<(&'static str, &'static str)>| -> HeaderMap {
            let pairs =
                usual.into_iter().filter(|(name, _)| change.is_none_or(|(changed, _)| changed != *name));
            let pairs = pairs.chain(change.filter(|(_, value)| !value.is_empty()));
            pairs.map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
        };
        let keepable = |change| is_keepable(&Method::POST, &headers(change));
        assert!(keepable(None));
        assert!(keepable(Some(("content-type", "Application/X-WWW-Form-Urlencoded; charset=\"UTF-8\""))));
        for change in [
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-site", "same-site"),
            ("sec-fetch-site", "none"),
            ("sec-fetch-site", ""),
            ("sec-fetch-mode", "cors"),
            ("sec-fetch-mode", ""),
            ("sec-fetch-dest", "iframe"),
            ("content-type", "multipart/form-data; boundary=x"),
            ("content-type", "text/plain"),
            ("content-type", "application/x-www-form-urlencoded; charset=iso-8859-1"),
            ("content-type", ""),
            ("content-encoding", "gzip"),
        ] {
            assert!(!keepable(Some(change)), "{change:?}");
        }
        assert!(!is_keepable(&Method::PUT, &headers(None)));
    }

    proptest! {
        #[test]
        fn any_text_is_decoded_as_it_was_encoded(pairs_in in proptest::collection::vec(("[^\r\n\0]{1,5}", "[^\r\n\0]{0,9}"), 0..5)) {
            prop_assume!(pairs_in.iter().all(|(name, _)| !name.eq_ignore_ascii_case("_charset_")));
            let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(&pairs_in).finish();
            prop_assert_eq!(pairs(body.as_bytes()), Some(pairs_in));
        }

        #[test]
        fn no_bytes_panic(body in proptest::collection::vec(any::<u8>(), 0..60)) {
            let _ = pairs(&body);
        }
    }
}

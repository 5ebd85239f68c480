//! The identity headers of the contract, written for one request (`design.md` 3, D7a).
//!
//! **Invariant:** one line per header, in the plan's order; ASCII unless the route opted into an
//! `insecure_…` encoding (`threats.md` ID-5).

use std::borrow::Cow;
use std::fmt::Write as _;

use http::HeaderValue;

use super::{Encoding, Fact, HeaderPlan, PlannedHeader, pseudonym};
use crate::identity::{Organisation, Person, VerifiedMachine};
use crate::key::{Hashing, MacKey, Ring};
use crate::session::Session;

/// A fact cannot be written as a header: the request fails rather than go on with an incomplete set (ID-4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the header {0:?} cannot be written")]
pub struct Unwritable(pub Fact);

type Written<'p> = Vec<(&'p Cow<'static, str>, HeaderValue)>;

/// The headers that tell the app of a session, with their names as the plan spells them.
///
/// # Errors
///
/// [`Unwritable`] if a value cannot stand in a header; nothing may be sent then.
pub fn headers<'p>(
    plan: &'p HeaderPlan,
    session: &Session,
    keys: Hashing<'_>,
) -> Result<Written<'p>, Unwritable> {
    write(plan, |header| {
        if header.fact.is_opt_in() && keys.lasting.is_none() {
            return Err(Unwritable(header.fact));
        }
        let value = value(header, plan, session, keys);
        Ok(value.or_else(|| header.style.empty_when_missing.then(Vec::new)))
    })
}

/// The headers that tell the app of a machine. None of them is a person's.
///
/// # Errors
///
/// As [`headers`].
pub fn headers_of_machine<'p>(
    plan: &'p HeaderPlan,
    machine: &VerifiedMachine,
) -> Result<Written<'p>, Unwritable> {
    write(plan, |header| {
        let text = match header.fact {
            Fact::Kind => machine.kind().as_str().to_owned(),
            Fact::Provider => machine.provider().to_owned(),
            Fact::Consumer => machine.consumer().to_string(),
            Fact::Supplier => match machine.delegation() {
                Some(delegation) => delegation.supplier.to_string(),
                None => return Ok(None),
            },
            Fact::Scope => machine.scopes().join(" "),
            _ => return Ok(None),
        };
        Ok(Some(encode(&text, header.encoding)))
    })
}

fn write(
    plan: &HeaderPlan,
    value: impl Fn(&PlannedHeader) -> Result<Option<Vec<u8>>, Unwritable>,
) -> Result<Written<'_>, Unwritable> {
    let mut written = Vec::with_capacity(plan.headers().len());
    for header in plan.headers() {
        if let Some(value) = value(header)? {
            if value.len() > header.style.longest {
                return Err(Unwritable(header.fact));
            }
            let value = HeaderValue::try_from(value).map_err(|_| Unwritable(header.fact))?;
            written.push((&header.name, value));
        }
    }
    Ok(written)
}

/// The names of a plan, as a client or app could send them.
pub fn names(plan: &HeaderPlan) -> impl Iterator<Item = &str> {
    plan.headers().iter().map(|header| &*header.name)
}

fn value(header: &PlannedHeader, plan: &HeaderPlan, session: &Session, keys: Hashing<'_>) -> Option<Vec<u8>> {
    let who = session.identity();
    let attributes = who.attributes();
    let plain = |text: &str| Some(text.as_bytes().to_vec());
    let coded = |text: &str| Some(encode(text, header.encoding));
    let optional = |text: &Option<String>| text.as_deref().and_then(coded);
    match header.fact {
        Fact::Kind => plain(who.kind().as_str()),
        Fact::Fnr => plain(who.pid()?.as_str()),
        Fact::EidasIdentifier => coded(who.eidas()?.as_str()),
        Fact::EidasCountry => plain(who.eidas()?.country()),
        Fact::EidasPersistent => plain(plan.persistence.of(who.eidas()?.country())),
        Fact::MatchKey => Some(pseudonym::match_key(session, plan.audience(), keys.lasting?)?.into_bytes()),
        Fact::Pseudonym => Some(pseudonym::pseudonym(session, plan.audience(), keys.lasting?).into_bytes()),
        Fact::Loa => plain(who.level()?.as_str()),
        Fact::Acr => (!who.acr().is_empty()).then(|| encode(who.acr(), header.encoding)),
        Fact::Amr => joined(who.amr(), header.style.separator),
        Fact::AuthTime if header.style.written_times => Some(who.auth_time()?.rfc3339().into_bytes()),
        Fact::AuthTime => Some(who.auth_time()?.seconds().to_string().into_bytes()),
        Fact::Subject => coded(who.subject()),
        Fact::Provider => coded(who.provider()),
        Fact::Session => Some(handle(session, plan.audience(), keys.handles).into_bytes()),
        Fact::GivenName => optional(&attributes.given_name),
        Fact::FamilyName => optional(&attributes.family_name),
        Fact::Birthdate => optional(&attributes.birthdate),
        Fact::Email => optional(&attributes.email),
        Fact::Mobile => optional(&attributes.mobile),
        Fact::Fhnummer => match who.person() {
            Person::Helper { number } => plain(number.as_str()),
            _ => None,
        },
        Fact::Org => numbers(plan.organisations(who), header.style.separator),
        Fact::OrgName => names_of(plan.organisations(who), header.encoding),
        Fact::AuthorizerFnr => plain(plan.authorizer(who)?.pid.as_str()),
        Fact::AuthorizerName => optional(&plan.authorizer(who)?.name),
        Fact::OnBehalfOf => coded(who.onbehalfof()?),
        // A person has none of these.
        Fact::Consumer | Fact::Supplier | Fact::Scope => None,
    }
}

fn numbers(organisations: &[Organisation], separator: char) -> Option<Vec<u8>> {
    let numbers: Vec<String> = organisations.iter().map(|one| one.number.to_string()).collect();
    joined(&numbers, separator)
}

/// Several values in one. Where the separator is `;`, one within a value is `\;`.
fn joined(values: &[String], separator: char) -> Option<Vec<u8>> {
    let together = match separator {
        ';' => values.iter().map(|value| value.replace(';', r"\;")).collect::<Vec<_>>().join(";"),
        other => values.join(other.encode_utf8(&mut [0; 4])),
    };
    (!values.is_empty()).then(|| together.into_bytes())
}

/// The names in the order of the numbers, commas within a name escaped. Where one has no name, or cannot be told
/// from two, none is told: a list that is out of step would name the wrong organisation.
fn names_of(organisations: &[Organisation], encoding: Encoding) -> Option<Vec<u8>> {
    let names: Vec<&str> =
        organisations.iter().map(|organisation| organisation.name.as_deref()).collect::<Option<_>>()?;
    match (encoding, names.as_slice()) {
        (_, []) => None,
        (Encoding::Percent, names) => {
            let plain = |byte: u8| (b' '..=b'~').contains(&byte) && byte != b'%' && byte != b',';
            let coded: Vec<Vec<u8>> = names.iter().map(|name| percent(name, plain)).collect();
            Some(coded.join(&b","[..]))
        }
        (_, [name]) => Some(encode(name, encoding)),
        (_, names) if names.iter().any(|name| name.contains(',')) => None,
        (_, names) => Some(encode(&names.join(","), encoding)),
    }
}

/// A handle of the session that two audiences cannot compare; it stays the same as long as the session
/// lives, whatever keys rotate, and is no revocation tag.
pub(super) fn handle(session: &Session, audience: &str, handles: &Ring<MacKey>) -> String {
    let key = &handles.active(session.began()).key;
    let handle: [u8; 16] = key.tag("session-handle", &[audience.as_bytes(), session.id().bytes()]);
    base64_simd::URL_SAFE_NO_PAD.encode_to_string(handle)
}

fn encode(text: &str, encoding: Encoding) -> Vec<u8> {
    match encoding {
        Encoding::Percent => percent(text, |byte| (b' '..=b'~').contains(&byte) && byte != b'%'),
        Encoding::Rfc8187 => {
            let mut value = b"UTF-8''".to_vec();
            // RFC 8187, 3.2.1 `attr-char`.
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$&+-.^_`|~".contains(&byte);
            value.extend(percent(text, plain));
            value
        }
        Encoding::InsecureUtf8 => text.as_bytes().to_vec(),
        Encoding::InsecureLatin1 => {
            text.chars().map(|character| u8::try_from(u32::from(character)).unwrap_or(b'?')).collect()
        }
    }
}

/// Percent-encoded UTF-8. Blanks at either end, which a server would trim, are encoded too.
fn percent(text: &str, plain: impl Fn(u8) -> bool) -> Vec<u8> {
    let edge = |at: usize| at == 0 || at + 1 == text.len();
    if text.bytes().enumerate().all(|(at, byte)| plain(byte) && !(byte == b' ' && edge(at))) {
        return text.as_bytes().to_vec();
    }
    let mut encoded = String::with_capacity(text.len() * 3);
    for (at, byte) in text.bytes().enumerate() {
        if plain(byte) && !(byte == b' ' && edge(at)) {
            encoded.push(char::from(byte));
        } else {
            write!(encoded, "%{byte:02X}").expect("a string takes everything");
        }
    }
    encoded.into_bytes()
}

#[cfg(test)]
mod tests {
    use http::HeaderName;
    use serde_json::json;

    use super::*;
    use crate::clock::Timestamp;
    use crate::forward::HeaderChange;
    use crate::identity::VerifiedIdentity;
    use crate::identity::machine::tests::machine_with;
    use crate::identity::resume::tests::{european, european_with_a_birthdate, identity};
    use crate::key::{KeyId, RingKey};
    use crate::revocation::Tagger;
    use crate::session::SessionId;

    const NOW: Timestamp = Timestamp::from_seconds(1_000);

    fn ring(secret: u8) -> Ring<MacKey> {
        Ring::single(KeyId([secret; 4]), Timestamp::from_seconds(0), MacKey::new(&[secret; 32]))
    }

    fn session(who: VerifiedIdentity) -> Session {
        let (ring, id) = (ring(1), SessionId::random());
        Session::begin(id, Tagger::active(&ring, NOW).tags(&id, "p", "i", None, "s"), who, NOW)
    }

    fn written(plan: &HeaderPlan, session: &Session) -> Vec<(String, Vec<u8>)> {
        let (handles, lasting) = (ring(2), ring(3));
        let keys = Hashing { handles: &handles, lasting: Some(&lasting) };
        let headers = headers(plan, session, keys).unwrap();
        headers.into_iter().map(|(name, value)| (name.to_string(), value.as_bytes().to_vec())).collect()
    }

    #[test]
    fn a_national_identity_is_told_by_the_contract_in_its_order() {
        let mut all = written(&HeaderPlan::new("app".into(), &[]), &session(identity(1_790_000_000)));
        let handle = all.remove(8);
        assert_eq!(handle.0, "X-Identity-Session");
        let expected = [
            ("X-Identity-Kind", "national"),
            ("X-Identity-Fnr", "17838534171"),
            ("X-Identity-Loa", "high"),
            ("X-Identity-Acr", "idporten-loa-high"),
            ("X-Identity-Amr", "BankID"),
            ("X-Identity-Auth-Time", "1790000000"),
            ("X-Identity-Subject", "mX0c2b1m0J3w6Zf4yV9sR8kQ7hL5tN1pD2aB3cE4fG5"),
            ("X-Identity-Provider", "idporten"),
            ("X-Identity-Given-Name", "Kari Anne"),
            ("X-Identity-Family-Name", "%C3%85s 100%25"),
        ];
        assert_eq!(all, expected.map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec())));
    }

    #[test]
    fn a_european_without_a_number_has_no_number_header() {
        let all = written(&HeaderPlan::new("app".into(), &[]), &session(european()));
        let value = |name| all.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_slice());
        assert_eq!(value("X-Identity-Fnr"), None);
        assert_eq!(value("X-Identity-Eidas-Identifier"), Some(&b"SE/NO/%C3%A5+1"[..]));
        assert_eq!(value("X-Identity-Eidas-Country"), Some(&b"SE"[..]));
        assert_eq!(value("X-Identity-Auth-Time"), None);
        assert_eq!(value("X-Identity-Amr"), None);
    }

    #[test]
    fn a_route_renames_drops_and_encodes() {
        let change = |encoding| HeaderChange::Use { name: None, encoding };
        let plan = |encoding| {
            HeaderPlan::new(
                "app".into(),
                &[
                    (
                        Fact::Fnr,
                        HeaderChange::Use {
                            name: Some(HeaderName::from_static("x-pid")),
                            encoding: Encoding::Percent,
                        },
                    ),
                    (Fact::GivenName, HeaderChange::Drop),
                    (Fact::FamilyName, change(encoding)),
                ],
            )
        };
        for (encoding, expected) in [
            (Encoding::Rfc8187, &b"UTF-8''%C3%85s%20100%25"[..]),
            (Encoding::InsecureUtf8, "Ås 100%".as_bytes()),
            (Encoding::InsecureLatin1, b"\xc5s 100%"),
        ] {
            let all = written(&plan(encoding), &session(identity(0)));
            assert!(all.iter().any(|(name, value)| name == "x-pid" && value == b"17838534171"));
            assert!(!all.iter().any(|(name, _)| name == "X-Identity-Fnr" || name == "X-Identity-Given-Name"));
            assert!(all.iter().any(|(name, value)| name == "X-Identity-Family-Name" && value == expected));
        }
    }

    /// What lasts does not change with the handles, and without its own key nothing is sent.
    #[test]
    fn pseudonyms_and_match_keys_are_made_with_the_keys_of_what_lasts_alone() {
        let add = HeaderChange::Use { name: None, encoding: Encoding::Percent };
        let plan = HeaderPlan::new("app".into(), &[(Fact::MatchKey, add.clone()), (Fact::Pseudonym, add)]);
        let session = session(european_with_a_birthdate());
        let told = |handles: u8, lasting: Option<u8>| {
            let (handles, lasting) = (ring(handles), lasting.map(ring));
            let keys = Hashing { handles: &handles, lasting: lasting.as_ref() };
            let headers = headers(&plan, &session, keys)?;
            let of = |wanted: &str| headers.iter().find(|(name, _)| **name == wanted).unwrap().1.clone();
            Ok((of("X-Identity-Match-Key"), of("X-Identity-Pseudonym"), of("X-Identity-Session")))
        };
        let (one, other, new) =
            (told(2, Some(3)).unwrap(), told(4, Some(3)).unwrap(), told(2, Some(5)).unwrap());
        assert!(one.0 == other.0 && one.1 == other.1 && one.2 != other.2);
        assert!(one.0 != new.0 && one.1 != new.1 && one.2 == new.2);
        assert_eq!(told(2, None), Err(Unwritable(Fact::MatchKey)));
    }

    #[test]
    fn fixture_5_8_is_told_as_a_machine_and_as_no_person() {
        let told = |changes, plan: &HeaderPlan| {
            let machine = machine_with(&changes).unwrap();
            let headers = headers_of_machine(plan, &machine).unwrap().into_iter();
            let text = |(name, value): (&Cow<'static, str>, HeaderValue)| {
                format!("{name}: {}", value.to_str().unwrap())
            };
            headers.map(text).collect::<Vec<_>>()
        };
        let usual = HeaderPlan::new("app".to_owned(), &[]);
        let own = [
            "X-Identity-Kind: machine",
            "X-Identity-Provider: maskinporten",
            "X-Identity-Consumer: 310123455",
            "X-Identity-Scope: agency:cases.read agency:cases.write",
        ];
        let alone = json!({"supplier": null, "delegation_source": null, "pid": "17838534171", "sub": "x"});
        assert_eq!(told(alone, &usual), own);
        let [kind, provider, consumer, scope] = own;
        let delegated = [kind, provider, consumer, "X-Identity-Supplier: 213987658", scope];
        assert_eq!(told(json!({}), &usual), delegated);
        let renamed =
            HeaderChange::Use { name: Some(HeaderName::from_static("x-org")), encoding: Encoding::Percent };
        let changed = HeaderPlan::new(
            String::new(),
            &[
                (Fact::Consumer, renamed),
                (Fact::Scope, HeaderChange::Drop),
                (Fact::Provider, HeaderChange::Drop),
            ],
        );
        assert_eq!(
            told(json!({"supplier": null, "delegation_source": null}), &changed),
            [kind, "x-org: 310123455"]
        );
    }

    #[test]
    fn blanks_at_the_ends_survive() {
        assert_eq!(encode(" a b ", Encoding::Percent), b"%20a b%20");
    }

    #[test]
    fn a_handle_differs_by_audience_and_outlives_a_rotation() {
        let session = session(identity(0));
        let key = |id, from, secret| RingKey {
            id: KeyId([id; 4]),
            active_from: Timestamp::from_seconds(from),
            retire_after: None,
            key: MacKey::new(&[secret; 32]),
        };
        let before = Ring::new(vec![key(1, 0, 5)]).unwrap();
        let after = Ring::new(vec![key(1, 0, 5), key(2, 2_000, 6)]).unwrap();
        assert_eq!(handle(&session, "a", &before), handle(&session, "a", &after));
        assert_ne!(handle(&session, "a", &before), handle(&session, "b", &before));
    }
}

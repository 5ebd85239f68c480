//! The second door: an identity that a sealed session continues. It is not verified again; its session was
//! begun by the first door and opened with our own key.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::{Attributes, EidasIdentifier, Person, Pid, VerifiedIdentity};
use crate::clock::Timestamp;
use crate::level::Level;

/// An identity as a session holds it. It says nothing by itself: only [`crate::session::ticket`], which
/// seals and opens it, may turn it into a [`VerifiedIdentity`].
#[derive(Serialize, Deserialize)]
pub(crate) struct Stored<'a> {
    #[serde(borrow)]
    provider: Cow<'a, str>,
    #[serde(borrow)]
    subject: Cow<'a, str>,
    #[serde(borrow)]
    person: StoredPerson<'a>,
    level: Option<Level>,
    #[serde(borrow)]
    acr: Cow<'a, str>,
    amr: Vec<Cow<'a, str>>,
    auth_time: Option<u64>,
    #[serde(borrow)]
    given_name: Option<Cow<'a, str>>,
    #[serde(borrow)]
    family_name: Option<Cow<'a, str>>,
    #[serde(borrow)]
    birthdate: Option<Cow<'a, str>>,
    #[serde(borrow)]
    email: Option<Cow<'a, str>>,
}

#[derive(Serialize, Deserialize)]
enum StoredPerson<'a> {
    National(#[serde(borrow)] Cow<'a, str>),
    European(#[serde(borrow)] Cow<'a, str>, #[serde(borrow)] Option<Cow<'a, str>>),
    Email,
    Pseudonymous,
}

impl<'a> Stored<'a> {
    pub(crate) fn of(who: &'a VerifiedIdentity) -> Self {
        let optional = |text: &'a Option<String>| text.as_deref().map(Cow::Borrowed);
        Self {
            provider: Cow::Borrowed(&who.provider),
            subject: Cow::Borrowed(&who.subject),
            person: match &who.person {
                Person::National { pid } => StoredPerson::National(Cow::Borrowed(pid.as_str())),
                Person::European { identifier, pid } => StoredPerson::European(
                    Cow::Borrowed(identifier.as_str()),
                    pid.as_ref().map(|pid| Cow::Borrowed(pid.as_str())),
                ),
                Person::Email => StoredPerson::Email,
                Person::Pseudonymous => StoredPerson::Pseudonymous,
            },
            level: who.level,
            acr: Cow::Borrowed(&who.acr),
            amr: who.amr.iter().map(|method| Cow::Borrowed(method.as_str())).collect(),
            auth_time: who.auth_time.map(Timestamp::seconds),
            given_name: optional(&who.attributes.given_name),
            family_name: optional(&who.attributes.family_name),
            birthdate: optional(&who.attributes.birthdate),
            email: optional(&who.attributes.email),
        }
    }

    /// `None` if an identifier has lost its shape, which no version of ours writes.
    pub(crate) fn resume(self) -> Option<VerifiedIdentity> {
        let person = match self.person {
            StoredPerson::National(pid) => Person::National { pid: Pid::parse(&pid).ok()? },
            StoredPerson::European(identifier, pid) => Person::European {
                identifier: EidasIdentifier::parse(&identifier).ok()?,
                pid: pid.map(|pid| Pid::parse(&pid)).transpose().ok()?,
            },
            StoredPerson::Email => Person::Email,
            StoredPerson::Pseudonymous => Person::Pseudonymous,
        };
        Some(VerifiedIdentity {
            provider: self.provider.into_owned(),
            subject: self.subject.into_owned(),
            person,
            level: self.level,
            acr: self.acr.into_owned(),
            amr: self.amr.into_iter().map(Cow::into_owned).collect(),
            auth_time: self.auth_time.map(Timestamp::from_seconds),
            attributes: Attributes {
                given_name: self.given_name.map(Cow::into_owned),
                family_name: self.family_name.map(Cow::into_owned),
                birthdate: self.birthdate.map(Cow::into_owned),
                email: self.email.map(Cow::into_owned),
            },
        })
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A national identity for the tests of other modules.
    pub(crate) fn identity(auth_time: u64) -> VerifiedIdentity {
        VerifiedIdentity {
            provider: "idporten".into(),
            subject: "mX0c2b1m0J3w6Zf4yV9sR8kQ7hL5tN1pD2aB3cE4fG5".into(),
            person: Person::National { pid: Pid::parse("17838534171").unwrap() },
            level: Some(Level::High),
            acr: "idporten-loa-high".into(),
            amr: vec!["BankID".into()],
            auth_time: Some(Timestamp::from_seconds(auth_time)),
            attributes: Attributes {
                given_name: Some("Kari Anne".into()),
                family_name: Some("Ås 100%".into()),
                ..Attributes::default()
            },
        }
    }

    /// A European one, with an identifier that needs encoding.
    pub(crate) fn european() -> VerifiedIdentity {
        VerifiedIdentity {
            person: Person::European { identifier: EidasIdentifier::parse("SE/NO/å+1").unwrap(), pid: None },
            acr: "eidas-loa-substantial".into(),
            level: Some(Level::Substantial),
            amr: vec![],
            auth_time: None,
            ..identity(0)
        }
    }

    /// Somebody known by an e-mail address alone, at no level.
    pub(crate) fn email() -> VerifiedIdentity {
        VerifiedIdentity {
            person: Person::Email,
            acr: String::new(),
            level: None,
            amr: vec![],
            auth_time: None,
            attributes: Attributes { email: Some("kari@example.no".into()), ..Attributes::default() },
            ..identity(0)
        }
    }

    #[test]
    fn what_is_stored_is_resumed() {
        for who in [identity(5), european(), email()] {
            let bytes = postcard::to_allocvec(&Stored::of(&who)).unwrap();
            assert_eq!(postcard::from_bytes::<Stored<'_>>(&bytes).unwrap().resume(), Some(who));
        }
    }
}

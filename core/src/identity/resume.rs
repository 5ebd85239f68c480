//! The second door: an identity that a sealed session continues. It is not verified again; its session was
//! begun by the first door and opened with our own key.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::{
    Attributes, Authorizer, EidasIdentifier, HelperNumber, Organisation, OrganisationNumber, Person, Pid,
    RepresentationId, VerifiedIdentity,
};
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

/// What few identities have. It is stored behind the others, and only if there is any of it, so that the usual
/// session stays small.
#[derive(Default, Serialize, Deserialize)]
pub(crate) struct Beyond<'a> {
    #[serde(borrow)]
    mobile: Option<Cow<'a, str>>,
    asked: Option<[u8; 8]>,
    #[serde(borrow)]
    authorizer: Option<(Cow<'a, str>, Option<Cow<'a, str>>)>,
    #[serde(borrow)]
    onbehalfof: Option<Cow<'a, str>>,
}

#[derive(Serialize, Deserialize)]
enum StoredPerson<'a> {
    National(#[serde(borrow)] Cow<'a, str>),
    European(#[serde(borrow)] Cow<'a, str>, #[serde(borrow)] Option<Cow<'a, str>>),
    Email,
    Pseudonymous,
    Helper(#[serde(borrow)] Cow<'a, str>),
    Employee {
        #[serde(borrow)]
        pid: Option<Cow<'a, str>>,
        #[serde(borrow)]
        organisations: Vec<(u32, Option<Cow<'a, str>>)>,
    },
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
                Person::Helper { number } => StoredPerson::Helper(Cow::Borrowed(number.as_str())),
                Person::Employee { pid, organisations } => StoredPerson::Employee {
                    pid: pid.as_ref().map(|pid| Cow::Borrowed(pid.as_str())),
                    organisations: organisations
                        .iter()
                        .map(|organisation| (organisation.number.to_u32(), optional(&organisation.name)))
                        .collect(),
                },
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
    pub(crate) fn resume(self, beyond: Option<Beyond<'a>>) -> Option<VerifiedIdentity> {
        let beyond = beyond.unwrap_or_default();
        let person = match self.person {
            StoredPerson::National(pid) => Person::National { pid: Pid::parse(&pid).ok()? },
            StoredPerson::European(identifier, pid) => Person::European {
                identifier: EidasIdentifier::parse(&identifier).ok()?,
                pid: pid.map(|pid| Pid::parse(&pid)).transpose().ok()?,
            },
            StoredPerson::Helper(number) => Person::Helper { number: HelperNumber::parse(&number).ok()? },
            StoredPerson::Employee { pid, organisations } => Person::Employee {
                pid: pid.map(|pid| Pid::parse(&pid)).transpose().ok()?,
                organisations: organisations.into_iter().map(organisation).collect::<Option<_>>()?,
            },
            StoredPerson::Email => Person::Email,
            StoredPerson::Pseudonymous => Person::Pseudonymous,
        };
        let authorizer = match beyond.authorizer {
            None => None,
            Some((pid, name)) => {
                Some(Authorizer { pid: Pid::parse(&pid).ok()?, name: name.map(Cow::into_owned) })
            }
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
                mobile: beyond.mobile.map(Cow::into_owned),
            },
            asked: beyond.asked.map(RepresentationId),
            authorizer,
            onbehalfof: beyond.onbehalfof.map(Cow::into_owned),
        })
    }
}

impl<'a> Beyond<'a> {
    /// `None` if there is nothing of it.
    pub(crate) fn of(who: &'a VerifiedIdentity) -> Option<Self> {
        let optional = |text: &'a Option<String>| text.as_deref().map(Cow::Borrowed);
        let authorizer = who.authorizer.as_ref();
        let beyond = Self {
            mobile: optional(&who.attributes.mobile),
            asked: who.asked.map(|asked| asked.0),
            authorizer: authorizer
                .map(|authorizer| (Cow::Borrowed(authorizer.pid.as_str()), optional(&authorizer.name))),
            onbehalfof: optional(&who.onbehalfof),
        };
        let any = beyond.mobile.is_some()
            || beyond.asked.is_some()
            || beyond.authorizer.is_some()
            || beyond.onbehalfof.is_some();
        any.then_some(beyond)
    }
}

fn organisation((number, name): (u32, Option<Cow<'_, str>>)) -> Option<Organisation> {
    Some(Organisation { number: OrganisationNumber::from_u32(number)?, name: name.map(Cow::into_owned) })
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
            asked: None,
            authorizer: None,
            onbehalfof: None,
        }
    }

    /// An employee who represents this many organisations.
    pub(crate) fn employee(organisations: u32) -> VerifiedIdentity {
        let organisations = (100_000_000..)
            .filter_map(OrganisationNumber::from_u32)
            .take(organisations as usize)
            .map(|number| Organisation { number, name: Some(format!("PRØVE {number}, AS")) })
            .collect();
        VerifiedIdentity {
            person: Person::Employee { pid: None, organisations },
            acr: "entraid".into(),
            level: None,
            asked: Some(RepresentationId([7; 8])),
            ..identity(0)
        }
    }

    /// Somebody with a power of attorney, and with all else that a login can bring.
    pub(crate) fn authorized() -> VerifiedIdentity {
        VerifiedIdentity {
            authorizer: Some(Authorizer {
                pid: Pid::parse("24929935140").unwrap(),
                name: Some("Per Prøve".into()),
            }),
            asked: Some(RepresentationId([8; 8])),
            onbehalfof: Some("customer".into()),
            attributes: Attributes { mobile: Some("+4799999999".into()), ..identity(0).attributes },
            ..identity(5)
        }
    }

    /// Somebody with a helper number.
    pub(crate) fn helper() -> VerifiedIdentity {
        VerifiedIdentity {
            person: Person::Helper { number: HelperNumber::parse("81234567802").unwrap() },
            level: Some(Level::Low),
            acr: "low".into(),
            ..identity(0)
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

    /// One of whom all four facts of a foreign eID are known.
    pub(crate) fn european_with_a_birthdate() -> VerifiedIdentity {
        let attributes = Attributes { birthdate: Some("1990-05-12".into()), ..identity(0).attributes };
        VerifiedIdentity { attributes, ..european() }
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
        for who in [identity(5), european(), email(), helper(), employee(0), employee(3), authorized()] {
            let bytes = postcard::to_allocvec(&(Stored::of(&who), Beyond::of(&who))).unwrap();
            let (stored, beyond) = postcard::from_bytes::<(Stored<'_>, Option<Beyond<'_>>)>(&bytes).unwrap();
            assert_eq!(stored.resume(beyond), Some(who));
        }
    }
}

//! Who it is, and how we know: a typed sum, not a bag of claims (`design.md` D6).
//!
//! **Invariant:** a [`VerifiedIdentity`] comes through one of two doors. [`verify`] accepted an ID token
//! (OIDC Core 1.0, 3.1.3.7), or [`resume`] opened a sealed session that such a login created. Its fields
//! are private, it has no `Deserialize` and no `Default`: nobody can write one down.

pub mod resume;
pub mod verify;

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::level::{Framework, Level};

/// What sort of identity it is: `X-Identity-Kind`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A person with a Norwegian identity number, logged in with a Norwegian eID.
    National,
    /// A person with a notified foreign eID, with or without a Norwegian number.
    Eidas,
    /// A person known by a helper number.
    Helper,
    /// Somebody who controls an e-mail address.
    Email,
    /// A person logged in as an employee.
    Employee,
    /// A person of whom only the provider's `sub` is known.
    Pseudonymous,
    /// A machine (Maskinporten); never a person.
    Machine,
}

impl Kind {
    /// The value of the header.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::National => "national",
            Self::Eidas => "eidas",
            Self::Helper => "helper",
            Self::Email => "email",
            Self::Employee => "employee",
            Self::Pseudonymous => "pseudonymous",
            Self::Machine => "machine",
        }
    }

    /// All kinds, in the order of the contract.
    pub const ALL: [Self; 7] = [
        Self::National,
        Self::Eidas,
        Self::Helper,
        Self::Email,
        Self::Employee,
        Self::Pseudonymous,
        Self::Machine,
    ];

    /// The framework in which a login of this kind is asked for, if the provider knows one.
    #[must_use]
    pub const fn framework(self) -> Option<Framework> {
        match self {
            Self::National => Some(Framework::National),
            Self::Eidas => Some(Framework::Eidas),
            Self::Email => Some(Framework::Email),
            Self::Helper | Self::Employee | Self::Pseudonymous | Self::Machine => None,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A set of kinds.
pub type Kinds = BTreeSet<Kind>;

/// A Norwegian identity number, fødselsnummer or D-number: eleven ASCII digits.
///
/// Neither date nor check digits are judged: from 2032 they mean something else, and a signed number is
/// the provider's word (dossier 0, fact 19; 4.2).
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Pid(String);

/// The text is not of the identifier's shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the identifier does not have its shape")]
pub struct Shapeless;

impl Pid {
    /// Parses eleven ASCII digits.
    ///
    /// # Errors
    ///
    /// [`Shapeless`] for anything else.
    pub fn parse(text: &str) -> Result<Self, Shapeless> {
        let digits = text.len() == 11 && text.bytes().all(|byte| byte.is_ascii_digit());
        digits.then(|| Self(text.to_owned())).ok_or(Shapeless)
    }

    /// The digits. Not for logs.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the number is from a synthetic series: a month that no person has (dossier 4.1).
    #[must_use]
    pub fn is_synthetic(&self) -> bool {
        self.0.get(2..4).and_then(|month| month.parse::<u8>().ok()).is_some_and(|month| month > 40)
    }
}

impl fmt::Debug for Pid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pid([REDACTED])")
    }
}

/// An eIDAS person identifier, `CC/NO/id`: parsed on its first two slashes only (dossier 1.2.4).
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct EidasIdentifier(String);

impl EidasIdentifier {
    /// The most bytes an identifier may have.
    pub const MAX: usize = 256;

    /// Parses `CC/NO/id`.
    ///
    /// # Errors
    ///
    /// [`Shapeless`] if the countries are not two capital letters each, or the rest is empty, too long,
    /// or holds a control character.
    pub fn parse(text: &str) -> Result<Self, Shapeless> {
        let country = |part: &str| part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_uppercase());
        let mut parts = text.splitn(3, '/');
        let (from, to, id) = (parts.next(), parts.next(), parts.next());
        let shaped = from.is_some_and(country)
            && to.is_some_and(country)
            && id.is_some_and(|id| !id.is_empty() && !id.chars().any(char::is_control))
            && text.len() <= Self::MAX;
        shaped.then(|| Self(text.to_owned())).ok_or(Shapeless)
    }

    /// The identifier as asserted. Not for logs.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The country of the eID, which need not be the person's.
    #[must_use]
    pub fn country(&self) -> &str {
        &self.0[..2]
    }
}

impl fmt::Debug for EidasIdentifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EidasIdentifier([REDACTED])")
    }
}

/// The person, by what makes them the same person the next time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Person {
    /// By a Norwegian identity number.
    National {
        /// The number.
        pid: Pid,
    },
    /// By a foreign eID.
    European {
        /// The identifier of the eID.
        identifier: EidasIdentifier,
        /// The Norwegian number, when the register knew the person.
        pid: Option<Pid>,
    },
    /// By an e-mail address that they control.
    Email,
    /// By the provider's `sub` alone.
    Pseudonymous,
}

/// What else the provider said of the person; each only when asserted.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Attributes {
    /// Given name.
    pub given_name: Option<String>,
    /// Family name.
    pub family_name: Option<String>,
    /// Date of birth, `YYYY-MM-DD`.
    pub birthdate: Option<String>,
    /// E-mail address.
    pub email: Option<String>,
}

impl fmt::Debug for Attributes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Attributes([REDACTED])")
    }
}

/// Who the user is, as a trusted provider signed it and we checked it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedIdentity {
    provider: String,
    subject: String,
    person: Person,
    level: Option<Level>,
    acr: String,
    amr: Vec<String>,
    auth_time: Option<Timestamp>,
    attributes: Attributes,
}

impl VerifiedIdentity {
    /// The provider's name in the configuration.
    #[must_use]
    pub fn provider(&self) -> &str {
        &self.provider
    }

    /// `sub`. Not for logs.
    #[must_use]
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// Who it is.
    #[must_use]
    pub fn person(&self) -> &Person {
        &self.person
    }

    /// The kind of identity.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self.person {
            Person::National { .. } => Kind::National,
            Person::European { .. } => Kind::Eidas,
            Person::Email => Kind::Email,
            Person::Pseudonymous => Kind::Pseudonymous,
        }
    }

    /// The Norwegian number, if the provider asserted one.
    #[must_use]
    pub fn pid(&self) -> Option<&Pid> {
        match &self.person {
            Person::National { pid } => Some(pid),
            Person::European { pid, .. } => pid.as_ref(),
            Person::Email | Person::Pseudonymous => None,
        }
    }

    /// The level of assurance; `None` if the login has none.
    #[must_use]
    pub fn level(&self) -> Option<Level> {
        self.level
    }

    /// `acr`, as asserted; empty if the token had none.
    #[must_use]
    pub fn acr(&self) -> &str {
        &self.acr
    }

    /// `amr`, as asserted.
    #[must_use]
    pub fn amr(&self) -> &[String] {
        &self.amr
    }

    /// When the person authenticated, if the provider said so.
    #[must_use]
    pub fn auth_time(&self) -> Option<Timestamp> {
        self.auth_time
    }

    /// What else is known.
    #[must_use]
    pub fn attributes(&self) -> &Attributes {
        &self.attributes
    }

    /// Whether both are the same person at the same provider.
    #[must_use]
    pub fn is_same_person(&self, other: &Self) -> bool {
        let key = |who: &Self| match (&who.person, who.pid()) {
            (_, Some(pid)) => pid.as_str().to_owned(),
            (Person::European { identifier, .. }, None) => identifier.as_str().to_owned(),
            _ => format!("sub {}", who.subject),
        };
        self.provider == other.provider && key(self) == key(other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_eleven_ascii_digits_and_no_check_digit_is_judged() {
        for good in ["17838534171", "01813200399", "45840375084", "00000000000", "17012054321"] {
            assert!(Pid::parse(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "1783853417",
            "178385341711",
            "1783853417x",
            " 17838534171",
            "１７８３８５３４１７１",
            "-7838534171",
        ] {
            assert_eq!(Pid::parse(bad), Err(Shapeless), "{bad}");
        }
        assert!(Pid::parse("17838534171").unwrap().is_synthetic());
        assert!(!Pid::parse("01010012345").unwrap().is_synthetic());
    }

    #[test]
    fn an_eidas_identifier_is_split_on_its_first_two_slashes_only() {
        let identifier = EidasIdentifier::parse("SE/NO/a/b+c==å").unwrap();
        assert_eq!((identifier.country(), identifier.as_str()), ("SE", "SE/NO/a/b+c==å"));
        for bad in
            ["", "SE", "SE/NO", "SE/NO/", "se/NO/x", "SWE/NO/x", "SE/N0/x", "/NO/x", "SE//x", "SE/NO/a\nb"]
        {
            assert_eq!(EidasIdentifier::parse(bad), Err(Shapeless), "{bad}");
        }
        assert_eq!(EidasIdentifier::parse(&format!("SE/NO/{}", "x".repeat(256))), Err(Shapeless));
    }

    #[test]
    fn nothing_personal_is_printed_for_debugging() {
        let pid = Pid::parse("17838534171").unwrap();
        let attributes = Attributes { given_name: Some("Kari".into()), ..Attributes::default() };
        let printed = format!("{:?} {attributes:?}", Person::National { pid });
        assert!(!printed.contains("17838534171") && !printed.contains("Kari"), "{printed}");
    }
}

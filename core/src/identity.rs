//! Who it is, and how we know: a typed sum, not a bag of claims (`design.md` D6).
//!
//! **Invariant:** a [`VerifiedIdentity`] comes through one of two doors. [`verify`] accepted an ID token
//! (OIDC Core 1.0, 3.1.3.7), or [`resume`] opened a sealed session that such a login created. Its fields
//! are private, it has no `Deserialize` and no `Default`: nobody can write one down.

mod identifier;
pub mod machine;
pub mod representation;
pub mod resume;
pub mod verify;

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::level::{Framework, Level};

pub use self::identifier::{
    EidasIdentifier, HelperNumber, OrganisationNumber, Pid, PidForm, Series, Shapeless, is_country,
};
pub use self::machine::VerifiedMachine;
pub use self::representation::{Authorizer, Organisation, Representation, RepresentationId};

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

    /// Whether somebody of this kind can have a Norwegian identity number.
    #[must_use]
    pub const fn may_have_number(self) -> bool {
        matches!(self, Self::National | Self::Eidas | Self::Employee)
    }

    /// The framework in which a login of this kind is asked for, if the provider knows one.
    #[must_use]
    pub const fn framework(self) -> Option<Framework> {
        match self {
            Self::National => Some(Framework::National),
            Self::Eidas => Some(Framework::Eidas),
            Self::Email => Some(Framework::Email),
            Self::Employee => Some(Framework::Employee),
            Self::Helper => Some(Framework::Helper),
            Self::Pseudonymous | Self::Machine => None,
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
    /// By a helper number.
    Helper {
        /// The number.
        number: HelperNumber,
    },
    /// As an employee.
    Employee {
        /// The Norwegian number; somebody who logs in with the employer's account has none.
        pid: Option<Pid>,
        /// The organisations that the person represents; empty: none.
        organisations: Vec<Organisation>,
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
    /// Telephone number.
    pub mobile: Option<String>,
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
    /// What the login was asked to bring, if anything.
    asked: Option<RepresentationId>,
    authorizer: Option<Authorizer>,
    onbehalfof: Option<String>,
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
            Person::Helper { .. } => Kind::Helper,
            Person::Employee { .. } => Kind::Employee,
            Person::Email => Kind::Email,
            Person::Pseudonymous => Kind::Pseudonymous,
        }
    }

    /// The Norwegian number, if the provider asserted one.
    #[must_use]
    pub fn pid(&self) -> Option<&Pid> {
        match &self.person {
            Person::National { pid } => Some(pid),
            Person::European { pid, .. } | Person::Employee { pid, .. } => pid.as_ref(),
            Person::Helper { .. } | Person::Email | Person::Pseudonymous => None,
        }
    }

    /// The identifier of the foreign eID, if it was one.
    #[must_use]
    pub fn eidas(&self) -> Option<&EidasIdentifier> {
        match &self.person {
            Person::European { identifier, .. } => Some(identifier),
            _ => None,
        }
    }

    /// The organisations that the person represents; empty for who is no employee or represents nobody.
    #[must_use]
    pub fn organisations(&self) -> &[Organisation] {
        match &self.person {
            Person::Employee { organisations, .. } => organisations,
            _ => &[],
        }
    }

    /// The same person acting for one of the organisations that the login brought; `None` if it did not bring it.
    #[must_use]
    pub(crate) fn acting_for(&self, number: OrganisationNumber) -> Option<Self> {
        let organisation = self.organisations().iter().find(|one| one.number == number)?.clone();
        let pid = self.pid().cloned();
        Some(Self { person: Person::Employee { pid, organisations: vec![organisation] }, ..self.clone() })
    }

    /// The same person acting for no organisation.
    #[must_use]
    pub(crate) fn acting_for_nobody(&self) -> Self {
        match &self.person {
            Person::Employee { pid, .. } => {
                let person = Person::Employee { pid: pid.clone(), organisations: Vec::new() };
                Self { person, ..self.clone() }
            }
            _ => self.clone(),
        }
    }

    /// Who gave the person a power of attorney. The person is still the person.
    #[must_use]
    pub fn authorizer(&self) -> Option<&Authorizer> {
        self.authorizer.as_ref()
    }

    /// What the login was asked to bring in `authorization_details`.
    #[must_use]
    pub fn asked(&self) -> Option<RepresentationId> {
        self.asked
    }

    /// The same as an answer to another question, for the tests of other modules.
    #[cfg(test)]
    pub(crate) fn asked_for(self, asked: Option<RepresentationId>) -> Self {
        Self { asked, ..self }
    }

    /// The customer of ours on whose behalf the person logged in (dossier 2.10).
    #[must_use]
    pub fn onbehalfof(&self) -> Option<&str> {
        self.onbehalfof.as_deref()
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
        self.provider == other.provider && self.person_key() == other.person_key()
    }

    /// What makes the person the same the next time, and what kind of thing it is: the Norwegian number if there
    /// is one, else the identifier, else `sub` at the provider (dossier 1.2.6).
    #[must_use]
    pub fn person_key(&self) -> (&'static str, &str) {
        match (&self.person, self.pid()) {
            (_, Some(pid)) => ("pid", pid.as_str()),
            (Person::European { identifier, .. }, None) => ("eidas", identifier.as_str()),
            (Person::Helper { number }, None) => ("helper", number.as_str()),
            _ => ("sub", &self.subject),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_personal_is_printed_for_debugging() {
        let pid = Pid::parse("17838534171").unwrap();
        let attributes = Attributes { given_name: Some("Kari".into()), ..Attributes::default() };
        let printed = format!("{:?} {attributes:?}", Person::National { pid });
        assert!(!printed.contains("17838534171") && !printed.contains("Kari"), "{printed}");
    }
}

//! Somebody who is only supposed, for `portvakt explain` and `portvakt test`: what would happen if such a person
//! were logged in?
//!
//! **Invariant:** a supposed person comes through the door of every login: an ID token with the claims of the
//! provider's profile, signed with a key that is thrown away, is verified as any other. So nobody can be
//! supposed who could not log in, and nothing here writes an identity down. The session is bound to no cookie
//! and its tags to no key of ours.

use std::fmt;
use std::str::FromStr;

use serde_json::{Value, json};

use crate::clock::Timestamp;
use crate::identity::verify::{Asked, IdentityError, verify};
use crate::identity::{Kind, OrganisationNumber, Representation};
use crate::key::{KeyId, MacKey, Ring};
use crate::level::{AcrRow, Level};
use crate::provider::{ProviderSettings, SyntheticNumbers};
use crate::revocation::Tagger;
use crate::session::{Session, SessionId};
use crate::token::{Algorithm, IdTokenExpectation, KeySet, SigningKey, verify_id_token};

/// A number of nobody: its check digits are wrong.
const NOBODY: &str = "01010100000";

/// A helper number from the documentation of the series.
const HELPER: &str = "81234567802";

const KEY_ID: &str = "supposed";
const NONCE: &str = "supposed";
const SUBJECT: &str = "supposed";

/// Who is supposed to be logged in: `KIND[:LEVEL][,country=SE][,org=NUMBER]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Supposed {
    kind: Kind,
    level: Option<Level>,
    country: Option<String>,
    organisation: Option<OrganisationNumber>,
}

/// Why a text supposes nobody.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Misspelled {
    /// The kind is none of a person.
    #[error("there is no kind of person `{0}`")]
    Kind(String),
    /// The level is none.
    #[error("there is no level `{0}`")]
    Level(String),
    /// What follows is not `country=` or `org=` with a value of its shape, for a kind that has it.
    #[error("`{0}` is neither `country=SE` of an eIDAS person nor `org=NUMBER` of an employee")]
    Detail(String),
}

/// Why nobody like this can be logged in here.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Impossible {
    /// No `acr` of the provider's table is worth this.
    #[error("no login at the provider `{provider}` brings {who}: no `acr` of its table is worth that")]
    Acr {
        /// The provider's name.
        provider: String,
        /// Who was supposed.
        who: String,
    },
    /// The provider never says what makes somebody of this kind.
    #[error("no login at the provider `{provider}` brings {who}: {why}")]
    Identity {
        /// The provider's name.
        provider: String,
        /// Who was supposed.
        who: String,
        /// What the token lacks.
        why: IdentityError,
    },
    /// A token cannot be made; the library fails.
    #[error("a token cannot be made for the supposed person")]
    Token,
}

impl FromStr for Supposed {
    type Err = Misspelled;

    fn from_str(text: &str) -> Result<Self, Misspelled> {
        let mut parts = text.split(',').map(str::trim);
        let who = parts.next().unwrap_or_default();
        let (kind, level) = who.split_once(':').map_or((who, None), |(kind, level)| (kind, Some(level)));
        let known = Kind::ALL.into_iter().find(|known| known.as_str() == kind && *known != Kind::Machine);
        let kind = known.ok_or_else(|| Misspelled::Kind(kind.to_owned()))?;
        let level = match level {
            None | Some("none") => None,
            Some(level) => Some(level.parse().map_err(|_| Misspelled::Level(level.to_owned()))?),
        };
        let mut supposed = Self { kind, level, country: None, organisation: None };
        for part in parts {
            let wrong = || Misspelled::Detail(part.to_owned());
            match (part.split_once('='), kind) {
                (Some(("country", country)), Kind::Eidas) if crate::identity::is_country(country) => {
                    supposed.country = Some(country.to_owned());
                }
                (Some(("org", number)), Kind::Employee) => {
                    supposed.organisation = Some(OrganisationNumber::parse(number).map_err(|_| wrong())?);
                }
                _ => return Err(wrong()),
            }
        }
        Ok(supposed)
    }
}

impl fmt::Display for Supposed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.kind, self.level.map_or("none", Level::as_str))?;
        if let Some(country) = &self.country {
            write!(f, ",country={country}")?;
        }
        if let Some(organisation) = &self.organisation {
            write!(f, ",org={organisation}")?;
        }
        Ok(())
    }
}

impl Supposed {
    /// The session that somebody like this would have, who has just logged in at this provider for a route that
    /// asks for `representation`.
    ///
    /// # Errors
    ///
    /// [`Impossible`]: nobody like this can log in there.
    pub fn session(
        &self,
        provider: &ProviderSettings,
        representation: Option<&Representation>,
        now: Timestamp,
    ) -> Result<Session, Impossible> {
        let claims = self.claims(provider, representation, now)?;
        let key = SigningKey::generate(Algorithm::Es256).map_err(|_| Impossible::Token)?;
        let token =
            key.sign_jws(&[("typ", "JWT"), ("kid", KEY_ID)], &claims).map_err(|_| Impossible::Token)?;
        let keys = KeySet::parse(json!({ "keys": [key.public_jwk(KEY_ID)] }).to_string().as_bytes())
            .map_err(|_| Impossible::Token)?;
        let expected = IdTokenExpectation {
            issuer: &provider.issuer,
            client_id: &provider.client_id,
            nonce: NONCE,
            algorithms: &[Algorithm::Es256],
            max_age: None,
            code: None,
            access_token: None,
        };
        let token = verify_id_token(&token, &keys, &expected, now).map_err(|_| Impossible::Token)?;
        // Numbers from test series are refused or not by whose they are; this one is nobody's.
        let provider = ProviderSettings { synthetic_numbers: SyntheticNumbers::Accept, ..provider.clone() };
        let asked = Asked { representation, ..Asked::default() };
        let identity =
            verify(&token, &provider, &asked).map_err(|why| self.identity_error(&provider, why))?;
        if identity.kind() != self.kind {
            return Err(self.identity_error(&provider, IdentityError::Contradiction));
        }
        let id = SessionId::random();
        let ring = Ring::single(KeyId([0; 4]), now, MacKey::new(&crate::seal::random()));
        let tags = Tagger::active(&ring, now).tags(&id, &provider.name, &provider.issuer, None, SUBJECT);
        Ok(Session::begin(id, tags, identity, now))
    }

    fn identity_error(&self, provider: &ProviderSettings, why: IdentityError) -> Impossible {
        Impossible::Identity { provider: provider.name.clone(), who: self.to_string(), why }
    }

    fn claims(
        &self,
        provider: &ProviderSettings,
        representation: Option<&Representation>,
        now: Timestamp,
    ) -> Result<Value, Impossible> {
        let names = &provider.profile.claims;
        let mut claims = json!({
            "iss": provider.issuer,
            "aud": provider.client_id,
            "sub": SUBJECT,
            "nonce": NONCE,
            "iat": now.seconds(),
            "exp": now.seconds() + 60,
            "auth_time": now.seconds(),
        });
        let mut put = |spellings: &[&str], value: &str| {
            if let Some(name) = spellings.first() {
                claims[*name] = value.into();
            }
        };
        if let Some(row) = self.row(provider)? {
            put(names.acr, &row.acr);
        }
        match self.kind {
            Kind::National | Kind::Employee => put(names.pid, NOBODY),
            Kind::Eidas => {
                let country = self.country.as_deref().unwrap_or("SE");
                put(names.eidas_identifier, &format!("{country}/NO/supposed"));
            }
            Kind::Helper => put(names.helper_number, HELPER),
            Kind::Email => put(names.email, "supposed@example.no"),
            Kind::Pseudonymous | Kind::Machine => {}
        }
        if matches!(self.kind, Kind::National | Kind::Employee) {
            for (name, value) in names.pid_only_if {
                put(&[*name], value);
            }
        }
        if provider.scopes.iter().any(|scope| scope == "profile") {
            put(names.given_name, "Supposed");
            put(names.family_name, "Person");
            put(names.birthdate, "2001-01-01");
        }
        if let (Some(asked), Some(number)) = (representation, &self.organisation) {
            claims["authorization_details"] = asked.answer(*number);
        }
        Ok(claims)
    }

    /// The row of the provider's table for this kind at this level; none where the provider has no table.
    fn row<'p>(&self, provider: &'p ProviderSettings) -> Result<Option<&'p AcrRow>, Impossible> {
        let rows = provider.acr.rows();
        if rows.is_empty() && self.level.is_none() {
            return Ok(None);
        }
        let fits = |row: &&AcrRow| {
            row.asserted
                && row.level == self.level
                && self.kind.framework().is_none_or(|framework| row.framework == framework)
        };
        rows.iter()
            .find(fits)
            .map(Some)
            .ok_or_else(|| Impossible::Acr { provider: provider.name.clone(), who: self.to_string() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::tests_support::provider;

    const NOW: Timestamp = Timestamp::from_seconds(1_790_000_000);

    #[test]
    fn whom_a_provider_lets_in_can_be_supposed_and_nobody_else() {
        for (profile, who, fits) in [
            ("idporten", "national:substantial", true),
            ("idporten", "national:high", true),
            ("idporten", "eidas:low", true),
            ("idporten", "eidas:substantial,country=FI", true),
            ("idporten", "pseudonymous:high", true),
            ("idporten", "employee:high", false),
            ("idporten", "national", false),
            ("ansattporten", "employee:high,org=974760673", true),
            ("ansattporten", "national:high", false),
            ("idporten-utland", "helper:low", true),
            ("oidc", "pseudonymous", true),
            ("oidc", "pseudonymous:high", false),
            ("oidc", "national", false),
        ] {
            let supposed: Supposed = who.parse().unwrap();
            let session = supposed.session(&provider(profile), None, NOW);
            assert_eq!(session.is_ok(), fits, "{profile} {who}: {session:?}");
            if let Ok(session) = session {
                assert_eq!(session.identity().kind(), supposed.kind, "{profile} {who}");
                assert_eq!(session.identity().level(), supposed.level, "{profile} {who}");
                assert!(session.identity().pid().is_none_or(|pid| !pid.is_synthetic()));
            }
        }
        let finn: Supposed = "eidas:high,country=FI".parse().unwrap();
        let session = finn.session(&provider("idporten"), None, NOW).unwrap();
        assert_eq!(session.identity().eidas().unwrap().country(), "FI");
    }

    #[test]
    fn an_employee_represents_the_organisation_that_is_supposed() {
        let details = json!([{ "type": "ansattporten:orgno" }]);
        let entries: Vec<_> =
            details.as_array().unwrap().iter().map(|entry| entry.as_object().unwrap().clone()).collect();
        let asked = Representation::of(&entries).unwrap();
        let who: Supposed = "employee:high,org=974760673".parse().unwrap();
        let session = who.session(&provider("ansattporten"), Some(&asked), NOW).unwrap();
        assert_eq!(session.identity().asked(), Some(asked.id()));
        let numbers: Vec<String> =
            session.identity().organisations().iter().map(|one| one.number.to_string()).collect();
        assert_eq!(numbers, ["974760673"]);
        let nobodys: Supposed = "employee:high".parse().unwrap();
        let session = nobodys.session(&provider("ansattporten"), Some(&asked), NOW).unwrap();
        assert!(session.identity().organisations().is_empty());
    }

    #[test]
    fn what_is_misspelled_is_named() {
        for text in [
            "",
            "citizen:high",
            "machine",
            "national:medium",
            "national:high,country=SE",
            "eidas:low,org=974760673",
            "eidas:low,country=sweden",
            "employee:high,org=123456789",
            "eidas:low,land=SE",
        ] {
            assert!(text.parse::<Supposed>().is_err(), "{text:?}");
        }
        let text = "eidas:low,country=SE";
        assert_eq!(text.parse::<Supposed>().unwrap().to_string(), text);
        assert_eq!("email".parse::<Supposed>().unwrap().to_string(), "email:none");
    }
}

//! Somebody who is only supposed, for `portvakt explain` and `portvakt test`: what would happen if such a person
//! were logged in, or such a machine came with a token?
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
use crate::identity::{Kind, OrganisationNumber, Representation, VerifiedMachine, machine};
use crate::key::{KeyId, MacKey, Ring};
use crate::level::{AcrRow, Level};
use crate::provider::{ProviderSettings, SyntheticNumbers};
use crate::revocation::Tagger;
use crate::session::{Session, SessionId};
use crate::token::{
    AccessTokenExpectation, Algorithm, IdTokenExpectation, KeySet, SigningKey, is_scope, verify_access_token,
    verify_id_token,
};

/// A number of nobody: its check digits are wrong.
const NOBODY: &str = "01010100000";

/// A helper number from the documentation of the series.
const HELPER: &str = "81234567802";

const KEY_ID: &str = "supposed";
const NONCE: &str = "supposed";
const SUBJECT: &str = "supposed";

/// Who is supposed to be logged in: `KIND[:LEVEL][,country=SE][,fnr=yes][,org=NUMBER]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Supposed {
    /// What a supposed machine's token says; of persons nothing.
    token: SupposedToken,
    kind: Kind,
    level: Option<Level>,
    country: Option<String>,
    /// Whether a European is known to the register.
    known: bool,
    organisation: Option<OrganisationNumber>,
}

/// What is supposed of a machine's token.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct SupposedToken {
    scopes: Vec<String>,
    consumer: Option<OrganisationNumber>,
    supplier: Option<OrganisationNumber>,
    source: Option<String>,
}

/// Why a text supposes nobody.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Misspelled {
    /// There is no such kind.
    #[error("there is no kind of identity `{0}`")]
    Kind(String),
    /// The level is none.
    #[error("there is no level `{0}`")]
    Level(String),
    /// What follows is no detail of this kind with a value of its shape.
    #[error(
        "`{0}` is neither `country=SE` nor `fnr=yes` of an eIDAS person, nor `org=NUMBER` of an employee, nor `scope=`, `consumer=`, `supplier=` or `source=` of a machine"
    )]
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
        let known = Kind::ALL.into_iter().find(|known| known.as_str() == kind);
        let kind = known.ok_or_else(|| Misspelled::Kind(kind.to_owned()))?;
        let level: Option<Level> = match level {
            None | Some("none") => None,
            Some(level) => Some(level.parse().map_err(|_| Misspelled::Level(level.to_owned()))?),
        };
        if let (Kind::Machine, Some(level)) = (kind, level) {
            return Err(Misspelled::Level(Level::as_str(level).to_owned()));
        }
        let token = SupposedToken::default();
        let mut supposed = Self { token, kind, level, country: None, known: false, organisation: None };
        for part in parts {
            let wrong = || Misspelled::Detail(part.to_owned());
            match (part.split_once('='), kind) {
                (Some(("country", country)), Kind::Eidas) if crate::identity::is_country(country) => {
                    supposed.country = Some(country.to_owned());
                }
                (Some(("fnr", "yes")), Kind::Eidas) => supposed.known = true,
                (Some(("org", number)), Kind::Employee) => {
                    supposed.organisation = Some(OrganisationNumber::parse(number).map_err(|_| wrong())?);
                }
                (Some((name, value)), Kind::Machine) => supposed.token.put(name, value).ok_or_else(wrong)?,
                _ => return Err(wrong()),
            }
        }
        Ok(supposed)
    }
}

impl fmt::Display for Supposed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_machine() {
            return self.token.write(f);
        }
        write!(f, "{}:{}", self.kind, self.level.map_or("none", Level::as_str))?;
        if let Some(country) = &self.country {
            write!(f, ",country={country}")?;
        }
        if self.known {
            f.write_str(",fnr=yes")?;
        }
        if let Some(organisation) = &self.organisation {
            write!(f, ",org={organisation}")?;
        }
        Ok(())
    }
}

/// Who a supposed machine belongs to if nobody says: an organisation of the documentation.
const CONSUMER: &str = "310123455";

impl SupposedToken {
    fn put(&mut self, name: &str, value: &str) -> Option<()> {
        let number = || OrganisationNumber::parse(value).ok();
        match name {
            "scope" if is_scope(value) => self.scopes.push(value.to_owned()),
            "consumer" if self.consumer.is_none() => self.consumer = Some(number()?),
            "supplier" if self.supplier.is_none() => self.supplier = Some(number()?),
            "source" if self.source.is_none() && machine::is_source(value) => {
                self.source = Some(value.to_owned());
            }
            _ => return None,
        }
        Some(())
    }

    fn write(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Kind::Machine.as_str())?;
        for scope in &self.scopes {
            write!(f, ",scope={scope}")?;
        }
        for (name, number) in [("consumer", self.consumer), ("supplier", self.supplier)] {
            if let Some(number) = number {
                write!(f, ",{name}={number}")?;
            }
        }
        self.source.as_ref().map_or(Ok(()), |source| write!(f, ",source={source}"))
    }

    fn claims(&self, provider: &ProviderSettings, audience: Option<&str>, now: Timestamp) -> Value {
        let organisation =
            |number: &str| json!({"authority": "iso6523-actorid-upis", "ID": format!("0192:{number}")});
        let consumer = self.consumer.map_or_else(|| CONSUMER.to_owned(), |number| number.to_string());
        // A token has a scope, if it is not one that any route asks for.
        let scopes = if self.scopes.is_empty() { "none".to_owned() } else { self.scopes.join(" ") };
        let mut claims = json!({
            "iss": provider.issuer,
            "client_id": SUBJECT,
            "token_type": "Bearer",
            "scope": scopes,
            "aud": audience.unwrap_or("unspecified"),
            "consumer": organisation(&consumer),
            "iat": now.seconds(),
            "exp": now.seconds() + 60,
        });
        if let Some(supplier) = self.supplier {
            claims["supplier"] = organisation(&supplier.to_string());
            claims["delegation_source"] = self.source.as_deref().unwrap_or("https://altinn.no/").into();
        }
        claims
    }
}

impl Supposed {
    /// The kind of identity.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Whether it is a machine, which never logs in.
    #[must_use]
    pub fn is_machine(&self) -> bool {
        self.kind == Kind::Machine
    }

    /// The machine that one like this would be, with a token of this provider for this audience.
    ///
    /// # Errors
    ///
    /// [`Impossible`]: there is none.
    pub fn machine(
        &self,
        provider: &ProviderSettings,
        audience: Option<&str>,
        now: Timestamp,
    ) -> Result<VerifiedMachine, Impossible> {
        let (token, keys) = signed(&self.token.claims(provider, audience, now)).ok_or(Impossible::Token)?;
        let expected = AccessTokenExpectation { issuer: &provider.issuer, algorithms: &[Algorithm::Es256] };
        let token = verify_access_token(&token, &keys, &expected, now).map_err(|_| Impossible::Token)?;
        machine::verify(&token, &provider.name).map_err(|_| Impossible::Token)
    }

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
        let (token, keys) = signed(&claims).ok_or(Impossible::Token)?;
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
                if self.known {
                    put(names.pid, NOBODY);
                }
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

/// A token with these claims, and the keys that verify it.
fn signed(claims: &Value) -> Option<(String, KeySet)> {
    let key = SigningKey::generate(Algorithm::Es256).ok()?;
    let token = key.sign_jws(&[("typ", "JWT"), ("kid", KEY_ID)], claims).ok()?;
    let set = json!({ "keys": [key.public_jwk(KEY_ID)] }).to_string();
    Some((token, KeySet::parse(set.as_bytes()).ok()?))
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
        assert_eq!(session.identity().pid(), None);
        let known: Supposed = "eidas:high,fnr=yes".parse().unwrap();
        assert_eq!(known.to_string(), "eidas:high,fnr=yes");
        let session = known.session(&provider("idporten"), None, NOW).unwrap();
        assert!(session.identity().pid().is_some() && session.identity().kind() == Kind::Eidas);
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
    fn a_machine_is_supposed_with_its_token_and_never_logs_in() {
        let text = "machine,scope=a:b,consumer=991825827,supplier=213987658,source=https://tt02.altinn.no/";
        let who: Supposed = text.parse().unwrap();
        let machine = who.machine(&provider("maskinporten"), Some("https://api.example"), NOW).unwrap();
        assert_eq!(
            (machine.scopes(), machine.audience()),
            (&["a:b".to_owned()][..], &["https://api.example".to_owned()][..])
        );
        assert_eq!(machine.consumer().to_string(), "991825827");
        assert_eq!(machine.delegation().unwrap().source, "https://tt02.altinn.no/");
        assert!(who.is_machine() && who.session(&provider("idporten"), None, NOW).is_err());
        let plain: Supposed = "machine".parse().unwrap();
        let machine = plain.machine(&provider("maskinporten"), None, NOW).unwrap();
        assert_eq!((machine.delegation(), machine.audience().len()), (None, 0));
    }

    #[test]
    fn what_is_misspelled_is_named() {
        for text in [
            "",
            "citizen:high",
            "machine:high",
            "machine,consumer=123456789",
            "machine,scope=",
            "machine,scope=a b",
            "machine,country=SE",
            "machine,consumer=310123455,consumer=310123455",
            "national:high,scope=a",
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
        let text =
            "machine,scope=a:b,scope=c,consumer=310123455,supplier=213987658,source=https://altinn.no/";
        assert_eq!(text.parse::<Supposed>().unwrap().to_string(), text);
        assert_eq!("email".parse::<Supposed>().unwrap().to_string(), "email:none");
    }
}

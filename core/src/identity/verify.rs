//! The first door: who an accepted ID token speaks of (OP-5, OP-7; dossier 1.2, 2.6, 2.7).
//!
//! What the token says is read by the provider's table of claims. If two spellings of one claim disagree,
//! if an identifier does not have its shape, or if kind and level contradict each other, nobody is logged in.

use super::{Attributes, EidasIdentifier, Person, Pid, VerifiedIdentity};
use crate::level::{AcrRow, Framework};
use crate::provider::ProviderSettings;
use crate::token::VerifiedIdToken;

/// The most bytes of a name; longer ones are left out rather than cut.
const MAX_NAME: usize = 256;
/// The most authentication methods that are kept, and the most bytes of each.
const MAX_AMR: (usize, usize) = (8, 48);

/// Why an accepted token still logs nobody in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// `acr` is missing or not in the provider's table.
    #[error("the level of assurance is missing or unknown")]
    UnknownAcr,
    /// A claim that identifies is not a string of its shape.
    #[error("an identifying claim does not have its shape")]
    Shape,
    /// Two spellings of one claim differ.
    #[error("two spellings of one claim disagree")]
    Disagreement,
    /// The identifier that this kind of login must bring is missing, or one is there that it must not bring.
    #[error("the kind of login and its identifiers contradict each other")]
    Contradiction,
    /// A name holds a control character.
    #[error("a name holds a control character")]
    ControlCharacter,
    /// A test identity in production.
    #[error("a test identity is not accepted in production")]
    TestIdentity,
}

/// Reads who it is. `production` refuses test identities.
///
/// # Errors
///
/// [`IdentityError`]: nobody is logged in.
pub fn verify(
    token: &VerifiedIdToken,
    provider: &ProviderSettings,
    production: bool,
) -> Result<VerifiedIdentity, IdentityError> {
    let names = &provider.profile.claims;
    let claim = |spellings| agreed(token, spellings);
    let acr = token.acr().unwrap_or_default();
    let row = provider.acr.rank(acr);
    if row.is_none() && !provider.acr.rows().is_empty() {
        return Err(IdentityError::UnknownAcr);
    }
    let pid =
        claim(names.pid)?.map(|text| Pid::parse(&text)).transpose().map_err(|_| IdentityError::Shape)?;
    let eidas = claim(names.eidas_identifier)?;
    let email = claim(names.email)?.filter(|address| is_address(address));
    let person = person(row, pid, eidas, email.as_deref())?;
    let who = VerifiedIdentity {
        provider: provider.name.clone(),
        subject: token.subject().to_owned(),
        person,
        level: row.and_then(|row| row.level),
        acr: acr.to_owned(),
        amr: methods(token.amr()),
        auth_time: token.auth_time(),
        attributes: Attributes {
            given_name: name(claim(names.given_name)?)?,
            family_name: name(claim(names.family_name)?)?,
            birthdate: claim(names.birthdate)?.filter(|date| is_date(date)),
            email,
        },
    };
    if production && is_test_identity(token, &who, provider) {
        return Err(IdentityError::TestIdentity);
    }
    Ok(who)
}

fn person(
    row: Option<&AcrRow>,
    pid: Option<Pid>,
    eidas: Option<String>,
    email: Option<&str>,
) -> Result<Person, IdentityError> {
    match (row.map(|row| row.framework), pid, eidas) {
        (Some(Framework::National), Some(pid), _) => Ok(Person::National { pid }),
        (Some(Framework::Eidas), pid, Some(identifier)) => {
            let identifier = EidasIdentifier::parse(&identifier).map_err(|_| IdentityError::Shape)?;
            Ok(Person::European { identifier, pid })
        }
        (Some(Framework::Email), None, None) if email.is_some() => Ok(Person::Email),
        // Pseudonymous scopes at ID-porten, and every plain provider.
        (Some(Framework::National) | None, None, None) => Ok(Person::Pseudonymous),
        _ => Err(IdentityError::Contradiction),
    }
}

/// The value of a claim under all its spellings (dossier 1.2.5).
fn agreed(token: &VerifiedIdToken, spellings: &[&str]) -> Result<Option<String>, IdentityError> {
    let mut agreed: Option<&str> = None;
    for spelling in spellings {
        let Some(value) = token.claim(spelling) else { continue };
        let value = value.as_str().ok_or(IdentityError::Shape)?;
        match agreed {
            Some(other) if other != value => return Err(IdentityError::Disagreement),
            _ => agreed = Some(value),
        }
    }
    Ok(agreed.filter(|value| !value.is_empty()).map(str::to_owned))
}

fn name(text: Option<String>) -> Result<Option<String>, IdentityError> {
    match text {
        Some(text) if text.chars().any(char::is_control) => Err(IdentityError::ControlCharacter),
        text => Ok(text.filter(|text| text.len() <= MAX_NAME)),
    }
}

/// Methods are for reading only (dossier 2.7): one that could be taken for two, or for a header of its
/// own, is left out.
fn methods(amr: &[String]) -> Vec<String> {
    let plain = |method: &&String| {
        !method.is_empty()
            && method.len() <= MAX_AMR.1
            && method.bytes().all(|byte| (byte.is_ascii_graphic() || byte == b' ') && byte != b',')
    };
    amr.iter().filter(plain).take(MAX_AMR.0).cloned().collect()
}

fn is_address(text: &str) -> bool {
    text.len() <= 254
        && !text.chars().any(|character| character.is_control() || character.is_whitespace())
        && text.split_once('@').is_some_and(|(local, domain)| !local.is_empty() && !domain.is_empty())
}

fn is_date(text: &str) -> bool {
    text.len() == 10
        && text.bytes().enumerate().all(|(at, byte)| match at {
            4 | 7 => byte == b'-',
            _ => byte.is_ascii_digit(),
        })
}

fn is_test_identity(token: &VerifiedIdToken, who: &VerifiedIdentity, provider: &ProviderSettings) -> bool {
    token
        .amr()
        .iter()
        .any(|method| provider.profile.test_amr.iter().any(|test| test.eq_ignore_ascii_case(method)))
        || who.pid().is_some_and(Pid::is_synthetic)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::clock::Timestamp;
    use crate::identity::Kind;
    use crate::level::Level;
    use crate::token::{Algorithm, IdTokenExpectation, KeySet, SigningKey, verify_id_token};

    /// What the verifier makes of a token with these claims: signed and verified for real.
    fn verified(mut claims: Value) -> VerifiedIdToken {
        for (name, value) in [
            ("iss", json!("https://op.example")),
            ("aud", json!("client")),
            ("nonce", json!("n")),
            ("iat", json!(1_790_000_100)),
            ("exp", json!(1_790_000_220)),
        ] {
            claims[name] = value;
        }
        let key = SigningKey::generate(Algorithm::Es256).unwrap();
        let keys = KeySet::parse(json!({"keys": [key.public_jwk("k")]}).to_string().as_bytes()).unwrap();
        let expected = IdTokenExpectation {
            issuer: "https://op.example",
            client_id: "client",
            nonce: "n",
            algorithms: &[Algorithm::Es256],
            max_age: None,
            code: None,
            access_token: None,
        };
        let token = key.sign_jws(&[("kid", "k")], &claims).unwrap();
        verify_id_token(&token, &keys, &expected, Timestamp::from_seconds(1_790_000_101)).unwrap()
    }

    fn provider(profile: &str) -> ProviderSettings {
        crate::provider::tests_support::provider(profile)
    }

    fn read(claims: Value) -> Result<VerifiedIdentity, IdentityError> {
        verify(&verified(claims), &provider("idporten"), false)
    }

    fn national() -> Value {
        json!({"sub": "s", "pid": "17838534171", "acr": "idporten-loa-high", "amr": ["BankID"],
               "auth_time": 1_790_000_000, "given_name": "Kari", "family_name": "Ås"})
    }

    fn with(mut claims: Value, name: &str, value: Value) -> Value {
        claims[name] = value;
        claims
    }

    #[test]
    fn a_norwegian_login_is_national_at_the_level_that_was_reached() {
        let who = read(national()).unwrap();
        assert_eq!((who.kind(), who.level()), (Kind::National, Some(Level::High)));
        assert_eq!(who.pid().unwrap().as_str(), "17838534171");
        assert_eq!(who.attributes().family_name.as_deref(), Some("Ås"));
        assert_eq!(who.auth_time().unwrap().seconds(), 1_790_000_000);
    }

    #[test]
    fn an_unknown_or_missing_level_logs_nobody_in() {
        for acr in [json!("high"), json!("idporten-loa-HIGH"), json!("no-notified-high")] {
            assert_eq!(read(with(national(), "acr", acr)).err(), Some(IdentityError::UnknownAcr));
        }
        let mut missing = national();
        missing.as_object_mut().unwrap().remove("acr");
        assert_eq!(read(missing).err(), Some(IdentityError::UnknownAcr));
    }

    #[test]
    fn a_number_without_its_shape_logs_nobody_in() {
        for pid in
            [json!("1783853417"), json!("1783853417a"), json!(17_838_534_171_u64), json!(["17838534171"])]
        {
            assert_eq!(read(with(national(), "pid", pid)).err(), Some(IdentityError::Shape));
        }
    }

    #[test]
    fn without_a_number_a_person_is_pseudonymous_and_never_national() {
        let mut claims = national();
        claims.as_object_mut().unwrap().remove("pid");
        let who = read(claims).unwrap();
        assert_eq!((who.kind(), who.pid()), (Kind::Pseudonymous, None));
    }

    #[test]
    fn a_european_is_read_under_old_and_new_names_with_and_without_a_number() {
        let new = json!({"sub": "s", "acr": "eidas-loa-substantial", "amr": ["eIDAS"], "pid": "52859032001",
            "eidas_person_identifier": "SE/NO/199005120000", "given_name": "Åsa", "birthdate": "1990-05-12"});
        let who = read(new.clone()).unwrap();
        assert_eq!((who.kind(), who.pid().is_some()), (Kind::Eidas, true));
        let old = json!({"sub": "s", "acr": "eidas-loa-high", "eidas_identifier": "DK/NO/7f3a-0c2e-91bb",
            "eidas_firstname": "Søren", "eidas_lastname": "Kjær", "eidas_date_of_birth": "1972-06-09"});
        let who = read(old).unwrap();
        assert_eq!(who.attributes().given_name.as_deref(), Some("Søren"));
        assert_eq!(who.attributes().birthdate.as_deref(), Some("1972-06-09"));
        assert_eq!(who.pid(), None);
        let differing = with(new, "eidas_identifier", json!("SE/NO/1"));
        assert_eq!(read(differing).err(), Some(IdentityError::Disagreement));
    }

    #[test]
    fn kind_and_identifiers_must_fit() {
        for claims in [
            json!({"sub": "s", "acr": "eidas-loa-high", "pid": "17838534171"}),
            json!({"sub": "s", "acr": "selfregistered-email", "pid": "17838534171", "email": "a@b.no"}),
            json!({"sub": "s", "acr": "selfregistered-email"}),
            json!({"sub": "s", "acr": "idporten-loa-high", "eidas_identifier": "SE/NO/1"}),
        ] {
            assert_eq!(read(claims.clone()).err(), Some(IdentityError::Contradiction), "{claims}");
        }
    }

    #[test]
    fn an_email_login_has_no_level() {
        let who = read(json!({"sub": "s", "acr": "selfregistered-email", "email": "a@example.com"})).unwrap();
        assert_eq!((who.kind(), who.level()), (Kind::Email, None));
    }

    #[test]
    fn control_characters_in_names_log_nobody_in() {
        for given in ["a\nb", "a\u{0}", "a\u{85}b"] {
            let claims = with(national(), "given_name", json!(given));
            assert_eq!(read(claims).err(), Some(IdentityError::ControlCharacter));
        }
    }

    #[test]
    fn methods_that_could_be_taken_for_two_are_left_out() {
        let who = read(with(national(), "amr", json!(["BankID Mobil", "a,b", "å"]))).unwrap();
        assert_eq!(who.amr(), ["BankID Mobil"]);
    }

    #[test]
    fn test_identities_stay_out_of_production() {
        let production = |claims| verify(&verified(claims), &provider("idporten"), true);
        assert_eq!(production(national()).err(), Some(IdentityError::TestIdentity));
        let real = with(national(), "pid", json!("01010012345"));
        assert!(production(real.clone()).is_ok());
        assert_eq!(production(with(real, "amr", json!(["testid"]))).err(), Some(IdentityError::TestIdentity));
    }

    #[test]
    fn a_plain_provider_asserts_a_pseudonym_and_no_number() {
        let claims = json!({"sub": "s", "acr": "whatever", "pid": "17838534171", "email": "a@example.com"});
        let who = verify(&verified(claims), &provider("oidc"), false).unwrap();
        assert_eq!((who.kind(), who.pid(), who.level()), (Kind::Pseudonymous, None, None));
        assert_eq!(who.attributes().email.as_deref(), Some("a@example.com"));
    }
}

//! The first door: who an accepted ID token speaks of (OP-5, OP-7; dossier 1.2, 2.6, 2.7).
//!
//! What the token says is read by the provider's table of claims. If two spellings of one claim disagree,
//! if an identifier does not have its shape, or if kind and level contradict each other, nobody is logged in.

use serde_json::{Map, Value};

use super::representation::Brought;
use super::{
    Attributes, EidasIdentifier, HelperNumber, Person, Pid, Representation, VerifiedIdentity, is_country,
};
use crate::level::{AcrRow, Framework};
use crate::provider::{ProviderSettings, SyntheticNumbers};
use crate::token::VerifiedIdToken;

/// The most bytes of a name; longer ones are left out rather than cut.
const MAX_NAME: usize = 256;
/// The most authentication methods that are kept, and the most bytes of each.
const MAX_AMR: (usize, usize) = (16, 48);

/// Why an accepted token still logs nobody in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// `acr` is missing or not in the provider's table.
    #[error("the level of assurance is missing or unknown")]
    UnknownAcr,
    /// A claim that identifies is not a string of its shape.
    #[error("an identifying claim does not have its shape")]
    Shape,
    /// Two spellings of one claim differ, or two sources of it.
    #[error("two spellings of one claim disagree")]
    Disagreement,
    /// The identifier that this kind of login must bring is missing, or one is there that it must not bring.
    #[error("the kind of login and its identifiers contradict each other")]
    Contradiction,
    /// A name holds a control character.
    #[error("a name holds a control character")]
    ControlCharacter,
    /// A test identity in production, or where the file refuses them.
    #[error("a test identity is not accepted here")]
    TestIdentity,
    /// Userinfo speaks of somebody else (OpenID Connect Core 1.0, 5.3.2).
    #[error("userinfo speaks of another subject")]
    OtherSubject,
    /// `authorization_details` answer what was not asked.
    #[error("the authorization details are not what was asked for")]
    NotAsked,
    /// More organisations than were asked for, or than a session holds.
    #[error("the person represents more organisations than were asked for")]
    TooManyOrganisations,
    /// The login is on behalf of another customer than it was asked for, of none, or of one unasked.
    #[error("the login is not on behalf of whom it was asked for")]
    OnBehalfOf,
}

/// What the login was asked for, and what came beside its ID token.
#[derive(Clone, Copy, Debug, Default)]
pub struct Asked<'a> {
    /// Whether test identities are refused.
    pub production: bool,
    /// What userinfo said, where the provider's ID tokens leave something out.
    pub userinfo: Option<&'a Map<String, Value>>,
    /// What was asked for in `authorization_details`.
    pub representation: Option<&'a Representation>,
    /// `onbehalfof`, as sent.
    pub onbehalfof: Option<&'a str>,
}

/// Reads who it is.
///
/// # Errors
///
/// [`IdentityError`]: nobody is logged in.
pub fn verify(
    token: &VerifiedIdToken,
    provider: &ProviderSettings,
    asked: &Asked<'_>,
) -> Result<VerifiedIdentity, IdentityError> {
    if let Some(userinfo) = asked.userinfo
        && userinfo.get("sub").and_then(Value::as_str) != Some(token.subject())
    {
        return Err(IdentityError::OtherSubject);
    }
    let names = &provider.profile.claims;
    let source = Source { token, userinfo: asked.userinfo };
    let claim = |spellings| source.agreed(spellings);
    let (acr, row) = level(&source, provider)?;
    let pid = pid(&source, provider)?;
    let eidas = claim(names.eidas_identifier)?;
    let email = claim(names.email)?.filter(|address| is_address(address));
    let helper = claim(names.helper_number)?;
    let brought = match asked.representation {
        Some(representation) => representation.read(token.claim("authorization_details"), pid.as_ref())?,
        None => Brought::default(),
    };
    let person = person(row, Identifiers { pid, eidas, helper, email: email.as_deref() }, &brought)?;
    check_country(&source, provider, &person)?;
    let who = VerifiedIdentity {
        provider: provider.name.clone(),
        subject: token.subject().to_owned(),
        person,
        level: row.and_then(|row| row.level),
        acr,
        amr: methods(&amr(&source, provider)?),
        auth_time: token.auth_time(),
        attributes: Attributes {
            given_name: name(claim(names.given_name)?)?,
            family_name: name(claim(names.family_name)?)?,
            birthdate: claim(names.birthdate)?.filter(|date| is_date(date)),
            email,
            mobile: claim(names.mobile)?.filter(|number| is_telephone(number)),
        },
        asked: asked.representation.map(Representation::answers),
        authorizer: brought.authorizer,
        onbehalfof: onbehalfof(token, asked.onbehalfof)?,
    };
    let refused = is_test_identity(&source, &who, provider) && asked.production
        || is_synthetic(&who) && provider.synthetic_numbers == SyntheticNumbers::Refuse;
    if refused { Err(IdentityError::TestIdentity) } else { Ok(who) }
}

/// Where claims come from: the ID token, and for what it leaves out userinfo, which overrides nothing (OP-7).
struct Source<'a> {
    token: &'a VerifiedIdToken,
    userinfo: Option<&'a Map<String, Value>>,
}

impl Source<'_> {
    /// The value of a claim under all its spellings (dossier 1.2.5).
    fn agreed(&self, spellings: &[&str]) -> Result<Option<String>, IdentityError> {
        let mut agreed: Option<&str> = None;
        for spelling in spellings {
            for value in [self.token.claim(spelling), self.userinfo.and_then(|info| info.get(*spelling))] {
                let Some(value) = value else { continue };
                let value = value.as_str().ok_or(IdentityError::Shape)?;
                match agreed {
                    Some(other) if other != value => return Err(IdentityError::Disagreement),
                    _ => agreed = Some(value),
                }
            }
        }
        Ok(agreed.filter(|value| !value.is_empty()).map(str::to_owned))
    }
}

/// The level as asserted, and its row. It is the ID token's; what userinfo says of it must be worth the same.
fn level<'p>(
    source: &Source<'_>,
    provider: &'p ProviderSettings,
) -> Result<(String, Option<&'p AcrRow>), IdentityError> {
    if provider.acr.rows().is_empty() {
        return Ok((source.token.acr().unwrap_or_default().to_owned(), None));
    }
    let mut found: Option<(&str, &AcrRow)> = None;
    let mut signed = false;
    for spelling in provider.profile.claims.acr {
        for (value, of_token) in [
            (source.token.claim(spelling), true),
            (source.userinfo.and_then(|info| info.get(*spelling)), false),
        ] {
            let Some(value) = value else { continue };
            let value = value.as_str().ok_or(IdentityError::UnknownAcr)?;
            let row = provider.acr.rank(value).ok_or(IdentityError::UnknownAcr)?;
            if found.is_some_and(|(_, other)| (other.level, other.framework) != (row.level, row.framework)) {
                return Err(IdentityError::Disagreement);
            }
            signed |= of_token;
            found = found.or(Some((value, row)));
        }
    }
    let (acr, row) = found.filter(|_| signed).ok_or(IdentityError::UnknownAcr)?;
    Ok((acr.to_owned(), Some(row)))
}

/// The number, if it is a Norwegian one: elsewhere the same claim holds other countries' (dossier 1.9).
fn pid(source: &Source<'_>, provider: &ProviderSettings) -> Result<Option<Pid>, IdentityError> {
    let names = &provider.profile.claims;
    let Some(number) = source.agreed(names.pid)? else { return Ok(None) };
    for (claim, wanted) in names.pid_only_if {
        if source.agreed(&[claim])?.as_deref() != Some(wanted) {
            return Ok(None);
        }
    }
    Pid::parse(&number).map(Some).map_err(|_| IdentityError::Shape)
}

struct Identifiers<'a> {
    pid: Option<Pid>,
    eidas: Option<String>,
    helper: Option<String>,
    email: Option<&'a str>,
}

fn person(row: Option<&AcrRow>, by: Identifiers<'_>, brought: &Brought) -> Result<Person, IdentityError> {
    let Identifiers { pid, eidas, helper, email } = by;
    match (row.map(|row| row.framework), pid, eidas, helper) {
        (Some(Framework::National), Some(pid), _, None) => Ok(Person::National { pid }),
        (Some(Framework::Eidas), pid, Some(identifier), None) => {
            let identifier = EidasIdentifier::parse(&identifier).map_err(|_| IdentityError::Shape)?;
            Ok(Person::European { identifier, pid })
        }
        (Some(Framework::Employee), pid, None, None) => {
            Ok(Person::Employee { pid, organisations: brought.organisations.clone() })
        }
        (Some(Framework::Helper), None, None, Some(number)) => {
            let number = HelperNumber::parse(&number).map_err(|_| IdentityError::Shape)?;
            Ok(Person::Helper { number })
        }
        (Some(Framework::Email), None, None, None) if email.is_some() => Ok(Person::Email),
        // Pseudonymous scopes at ID-porten, who has no helper number, and every plain provider.
        (Some(Framework::National | Framework::Helper) | None, None, None, None) => Ok(Person::Pseudonymous),
        _ => Err(IdentityError::Contradiction),
    }
}

/// A country beside the identifier must be the identifier's. One in three letters cannot be compared.
fn check_country(
    source: &Source<'_>,
    provider: &ProviderSettings,
    person: &Person,
) -> Result<(), IdentityError> {
    let country = source.agreed(provider.profile.claims.eidas_country)?.filter(|country| is_country(country));
    match (country, person) {
        (Some(country), Person::European { identifier, .. }) if country != identifier.country() => {
            Err(IdentityError::Disagreement)
        }
        _ => Ok(()),
    }
}

/// `client_onbehalfof` or `aud_onbehalfof`: what was sent, no more and no less (dossier 2.10; 7, 8).
fn onbehalfof(token: &VerifiedIdToken, sent: Option<&str>) -> Result<Option<String>, IdentityError> {
    let source = Source { token, userinfo: None };
    let said =
        source.agreed(&["client_onbehalfof", "aud_onbehalfof"]).map_err(|_| IdentityError::OnBehalfOf)?;
    if said.as_deref() == sent { Ok(said) } else { Err(IdentityError::OnBehalfOf) }
}

/// How the person authenticated: `amr`, or where a broker says it in its own words, those.
fn amr(source: &Source<'_>, provider: &ProviderSettings) -> Result<Vec<String>, IdentityError> {
    match source.agreed(provider.profile.claims.amr)? {
        Some(method) => Ok(vec![method]),
        None => Ok(source.token.amr().to_vec()),
    }
}

/// A name as it may be kept: without control characters, and not overlong.
pub(super) fn name(text: Option<String>) -> Result<Option<String>, IdentityError> {
    match text {
        Some(text) if text.chars().any(char::is_control) => Err(IdentityError::ControlCharacter),
        text => Ok(text.filter(|text| !text.is_empty() && text.len() <= MAX_NAME)),
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

/// Digits as people write them, with a country code or without.
fn is_telephone(text: &str) -> bool {
    let digits = text.strip_prefix('+').unwrap_or(text);
    (3..=15).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_date(text: &str) -> bool {
    text.len() == 10
        && text.bytes().enumerate().all(|(at, byte)| match at {
            4 | 7 => byte == b'-',
            _ => byte.is_ascii_digit(),
        })
}

/// Whether a provider says itself that it is a test: by the method, or by a claim.
fn is_test_identity(source: &Source<'_>, who: &VerifiedIdentity, provider: &ProviderSettings) -> bool {
    let is_test =
        |method: &String| provider.profile.test_amr.iter().any(|test| test.eq_ignore_ascii_case(method));
    source.token.amr().iter().any(is_test)
        || who.amr().iter().any(is_test)
        || provider
            .profile
            .claims
            .test
            .iter()
            .any(|claim| source.token.claim(claim) == Some(&Value::Bool(true)))
}

/// Whether a number of the person, or of who gave a power of attorney, is from a synthetic series.
#[must_use]
pub fn is_synthetic(who: &VerifiedIdentity) -> bool {
    let numbers = [who.pid(), who.authorizer().map(|authorizer| &authorizer.pid)];
    numbers.into_iter().flatten().any(Pid::is_synthetic)
}

#[cfg(test)]
mod tests;

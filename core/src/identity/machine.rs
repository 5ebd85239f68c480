//! A machine that comes with a token of its own (Maskinporten; dossier 1.6): never a person.
//!
//! **Invariant:** a [`VerifiedMachine`] is made of a verified access token and of nothing else, and no claim of
//! that token names a person: a `pid` in it was written by a machine, and nobody logged in (dossier 0, fact 18).
//!
//! **Invariant:** who a machine belongs to is said by `consumer` alone, never by the client's id or `client_orgno`.

use std::fmt;

use serde_json::Value;

use super::{Kind, OrganisationNumber};
use crate::clock::Timestamp;
use crate::token::VerifiedAccessToken;

/// The scheme of identifiers that an organisation number is written in (dossier 1.6). eSeal certificates bring others,
/// which are no Norwegian organisation numbers.
const ORGANISATIONS: &str = "iso6523-actorid-upis";

/// The most bytes of `delegation_source`: a URL.
const MAX_SOURCE: usize = 256;

/// Why an accepted access token still names no machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MachineError {
    /// `consumer` is missing, or is no Norwegian organisation.
    #[error("`consumer` is no Norwegian organisation")]
    Consumer,
    /// `supplier` is there, and is no Norwegian organisation.
    #[error("`supplier` is no Norwegian organisation")]
    Supplier,
    /// `supplier` and `delegation_source` do not come together, or the latter is no such text.
    #[error("`supplier` and `delegation_source` do not come together")]
    Delegation,
}

/// A supplier that acts for the consumer, and where that was agreed.
#[derive(Clone, PartialEq, Eq)]
pub struct Delegation {
    /// Who acts.
    pub supplier: OrganisationNumber,
    /// Where the consumer said so: `https://altinn.no/`.
    pub source: String,
}

/// A machine, as an issuer that is trusted signed it and we checked it.
#[derive(Clone, PartialEq, Eq)]
pub struct VerifiedMachine {
    provider: String,
    client_id: String,
    consumer: OrganisationNumber,
    delegation: Option<Delegation>,
    scopes: Vec<String>,
    audience: Vec<String>,
    issued: Timestamp,
    expires: Timestamp,
    token: [u8; 32],
}

/// Reads whose machine it is. `provider`: the issuer's name in the configuration.
///
/// # Errors
///
/// [`MachineError`]: it is nobody's.
pub fn verify(token: &VerifiedAccessToken, provider: &str) -> Result<VerifiedMachine, MachineError> {
    let consumer = token.claim("consumer").and_then(organisation).ok_or(MachineError::Consumer)?;
    Ok(VerifiedMachine {
        provider: provider.to_owned(),
        client_id: token.client_id().to_owned(),
        consumer,
        delegation: delegation(token)?,
        scopes: token.scopes().to_vec(),
        audience: token.audience().to_vec(),
        issued: token.issued(),
        expires: token.expires(),
        token: *token.digest(),
    })
}

/// `{"authority": "iso6523-actorid-upis", "ID": "0192:<number>"}`, in these letters. Older samples nest it, or name
/// another register: what they meant is not for us to guess.
fn organisation(claim: &Value) -> Option<OrganisationNumber> {
    let member = |name| claim.get(name).and_then(Value::as_str);
    if member("authority")? != ORGANISATIONS {
        return None;
    }
    OrganisationNumber::parse_iso6523(member("ID")?).ok()
}

fn delegation(token: &VerifiedAccessToken) -> Result<Option<Delegation>, MachineError> {
    match (token.claim("supplier"), token.claim("delegation_source")) {
        (None, None) => Ok(None),
        (Some(supplier), Some(Value::String(source))) if is_source(source) => {
            let supplier = organisation(supplier).ok_or(MachineError::Supplier)?;
            Ok(Some(Delegation { supplier, source: source.clone() }))
        }
        _ => Err(MachineError::Delegation),
    }
}

/// Whether a text can name where a delegation was agreed.
#[must_use]
pub fn is_source(text: &str) -> bool {
    (1..=MAX_SOURCE).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

impl VerifiedMachine {
    /// The issuer's name in the configuration.
    #[must_use]
    pub fn provider(&self) -> &str {
        &self.provider
    }

    /// The kind of identity.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        Kind::Machine
    }

    /// The client at the issuer to which the token was issued.
    #[must_use]
    pub fn client_id(&self) -> &str {
        &self.client_id
    }

    /// The organisation that has the access.
    #[must_use]
    pub fn consumer(&self) -> OrganisationNumber {
        self.consumer
    }

    /// The supplier that acts for it, if one does.
    #[must_use]
    pub fn delegation(&self) -> Option<&Delegation> {
        self.delegation.as_ref()
    }

    /// The scopes, in the token's order.
    #[must_use]
    pub fn scopes(&self) -> &[String] {
        &self.scopes
    }

    /// For whom the token is; empty: for nobody in particular.
    #[must_use]
    pub fn audience(&self) -> &[String] {
        &self.audience
    }

    /// When the token was issued.
    #[must_use]
    pub fn issued(&self) -> Timestamp {
        self.issued
    }

    /// When the token ends.
    #[must_use]
    pub fn expires(&self) -> Timestamp {
        self.expires
    }

    /// The SHA-256 of the token: the same in all requests with it.
    pub(crate) fn token(&self) -> &[u8; 32] {
        &self.token
    }
}

impl fmt::Debug for VerifiedMachine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("VerifiedMachine([REDACTED])")
    }
}

impl fmt::Debug for Delegation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Delegation([REDACTED])")
    }
}

#[cfg(test)]
pub(crate) mod tests;

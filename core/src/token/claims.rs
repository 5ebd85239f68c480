//! The claims of RFC 7519, 4.1, read strictly: present, of their type, within bounds.

use std::time::Duration;

use serde_json::{Map, Value};

use super::{SKEW, TokenError};
use crate::clock::Timestamp;

/// Identifiers are longer nowhere (OpenID Connect Core 1.0, 2 for `sub`; dossier 2.6 for `sid`).
const MAX_TEXT: usize = 256;

/// `sub` has at most 255 characters (OpenID Connect Core 1.0, 2).
const MAX_SUBJECT: usize = 255;

/// Nobody has more audiences or methods.
const MAX_LIST: usize = 16;

/// Claims whose signature held.
pub(super) struct Claims(pub(super) Map<String, Value>);

impl Claims {
    /// A text of 1 to 256 bytes without control characters.
    pub(super) fn optional_text(&self, name: &'static str) -> Result<Option<&str>, TokenError> {
        match self.0.get(name) {
            None => Ok(None),
            Some(Value::String(text)) if is_text(text) => Ok(Some(text)),
            Some(_) => Err(TokenError::Malformed(name)),
        }
    }

    pub(super) fn text(&self, name: &'static str) -> Result<&str, TokenError> {
        self.optional_text(name)?.ok_or(TokenError::Missing(name))
    }

    /// A `NumericDate` in whole seconds; fractions, texts and negative numbers are refused.
    pub(super) fn optional_time(&self, name: &'static str) -> Result<Option<Timestamp>, TokenError> {
        match self.0.get(name) {
            None => Ok(None),
            Some(value) => {
                value.as_u64().map(|at| Some(Timestamp::from_seconds(at))).ok_or(TokenError::Malformed(name))
            }
        }
    }

    pub(super) fn time(&self, name: &'static str) -> Result<Timestamp, TokenError> {
        self.optional_time(name)?.ok_or(TokenError::Missing(name))
    }

    /// One text or an array of them (RFC 7519, 4.1.3 for `aud`; dossier 7, 10 for `amr`).
    pub(super) fn optional_list(&self, name: &'static str) -> Result<Option<Vec<&str>>, TokenError> {
        let values = match self.0.get(name) {
            None => return Ok(None),
            Some(Value::Array(values)) if values.len() <= MAX_LIST => values.as_slice(),
            Some(value @ Value::String(_)) => std::slice::from_ref(value),
            Some(_) => return Err(TokenError::Malformed(name)),
        };
        let text = |value: &'_ Value| value.as_str().is_some_and(is_text);
        if !values.iter().all(text) {
            return Err(TokenError::Malformed(name));
        }
        Ok(Some(values.iter().filter_map(Value::as_str).collect()))
    }

    /// `sub`: 1 to 255 ASCII characters (OpenID Connect Core 1.0, 2).
    pub(super) fn optional_subject(&self) -> Result<Option<&str>, TokenError> {
        let subject = self.optional_text("sub")?;
        if subject.is_some_and(|subject| subject.len() > MAX_SUBJECT || !subject.is_ascii()) {
            return Err(TokenError::Malformed("sub"));
        }
        Ok(subject)
    }

    /// OpenID Connect Core 1.0, 3.1.3.7 (2): exactly the issuer.
    pub(super) fn check_issuer(&self, issuer: &str) -> Result<(), TokenError> {
        if self.text("iss")? == issuer { Ok(()) } else { Err(TokenError::WrongIssuer) }
    }

    /// OpenID Connect Core 1.0, 3.1.3.7 (3) to (5): we are among the audiences; where there are more,
    /// we are the authorized party; whoever is named as that party is us.
    pub(super) fn check_audience(&self, client_id: &str) -> Result<(), TokenError> {
        let audience = self.optional_list("aud")?.ok_or(TokenError::Missing("aud"))?;
        if !audience.contains(&client_id) {
            return Err(TokenError::WrongAudience);
        }
        match self.optional_text("azp")? {
            None if audience.len() == 1 => Ok(()),
            Some(party) if party == client_id => Ok(()),
            _ => Err(TokenError::WrongAuthorizedParty),
        }
    }

    /// `exp` not passed, `nbf` and `iat` not ahead, each with [`SKEW`]. Returns `iat` and `exp`.
    pub(super) fn check_times(&self, now: Timestamp) -> Result<(Timestamp, Timestamp), TokenError> {
        let (issued, expires) = (self.time("iat")?, self.time("exp")?);
        if now >= expires + SKEW {
            return Err(TokenError::Expired);
        }
        if self.optional_time("nbf")?.is_some_and(|not_before| not_before > now + SKEW) {
            return Err(TokenError::NotYetValid);
        }
        if issued > now + SKEW {
            return Err(TokenError::InFuture("iat"));
        }
        if expires < issued {
            return Err(TokenError::Malformed("exp"));
        }
        Ok((issued, expires))
    }

    /// `iat` no longer ago than `longest`, with [`SKEW`].
    pub(super) fn check_age(issued: Timestamp, longest: Duration, now: Timestamp) -> Result<(), TokenError> {
        if issued + longest + SKEW < now { Err(TokenError::TooOld) } else { Ok(()) }
    }
}

fn is_text(text: &str) -> bool {
    (1..=MAX_TEXT).contains(&text.len()) && !text.chars().any(char::is_control)
}

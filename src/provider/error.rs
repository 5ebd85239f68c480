//! Why a provider could not be used, one variant per cause that someone acts on differently.
//!
//! **Invariant:** no text from outside is kept: no description, body, URL or header. The only word that
//! a provider can put into a log is an OAuth error code of at most 64 letters.

use std::fmt;
use std::time::Duration;

use portvakt_core::identity::machine::MachineError;
use portvakt_core::token::{KeySetError, SigningError, TokenError};

use super::Call;

/// Why a call to a provider, or what came of it, could not be used.
#[derive(Debug, thiserror::Error)]
pub enum ProviderError {
    /// Too many calls to this provider are open. The person may try again.
    #[error("the call `{call}` was not made: too many are open")]
    Busy {
        /// Which call.
        call: Call,
    },
    /// Not tried: the same call failed moments ago, and somebody else finds out whether it works again.
    #[error("the call `{call}` failed moments ago and is not repeated yet")]
    Resting {
        /// Which call.
        call: Call,
        /// When that is, if it is known.
        again_after: Option<Duration>,
    },
    /// No connection was made: nothing was sent.
    #[error("the provider cannot be reached for `{call}`: {why}")]
    Unreachable {
        /// Which call.
        call: Call,
        /// At which step it failed.
        why: Unreachable,
    },
    /// No whole answer in time.
    #[error("the call `{call}` took too long")]
    TimedOut {
        /// Which call.
        call: Call,
    },
    /// The connection broke after the request may have been sent.
    #[error("the connection broke during `{call}`")]
    Interrupted {
        /// Which call.
        call: Call,
    },
    /// The answer is longer than we read.
    #[error("the answer to `{call}` is too long")]
    TooLong {
        /// Which call.
        call: Call,
    },
    /// A status that says nothing more; redirects are among them, because none is followed.
    #[error("the provider answered `{call}` with status {status}")]
    Status {
        /// Which call.
        call: Call,
        /// The HTTP status.
        status: u16,
        /// `Retry-After` (RFC 9110, 10.2.3).
        again_after: Option<Duration>,
    },
    /// The provider refused in the words of RFC 6749, 5.2.
    #[error("the provider refused `{call}`: {code}")]
    Refused {
        /// Which call.
        call: Call,
        /// The HTTP status.
        status: u16,
        /// The reason it gave.
        code: OAuthErrorCode,
    },
    /// The answer is not JSON, or lacks or misuses a member.
    #[error("the answer to `{call}` cannot be used: {what}")]
    Malformed {
        /// Which call.
        call: Call,
        /// What is wrong with it.
        what: &'static str,
    },
    /// The metadata is of another issuer than the configured one (OpenID Connect Discovery 1.0, 4.3).
    #[error("the metadata is of another issuer")]
    WrongIssuer,
    /// An endpoint is missing, or neither https nor, where that is allowed, on loopback.
    #[error("the metadata's `{0}` cannot be used")]
    Endpoint(&'static str),
    /// The key set was refused.
    #[error("the provider's key set was refused")]
    KeySet(#[source] KeySetError),
    /// `par: required`, and the metadata names no endpoint for it.
    #[error("pushed authorization requests are required but not offered")]
    ParNotOffered,
    /// Client authentication with a key, and no key is active.
    #[error("no client key is active")]
    NoClientKey,
    /// The client assertion could not be signed.
    #[error("the client assertion was not signed")]
    Signing(#[source] SigningError),
    /// The HTTP client could not be built, at start or reload.
    #[error("the HTTP client cannot be built: {0}")]
    HttpClient(&'static str),
}

impl ProviderError {
    /// When another try makes sense, as far as that is known.
    #[must_use]
    pub fn again_after(&self) -> Option<Duration> {
        match self {
            Self::Resting { again_after, .. } | Self::Status { again_after, .. } => *again_after,
            _ => None,
        }
    }
}

/// The step at which no connection came about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unreachable {
    /// The name did not resolve.
    Dns,
    /// Nobody answered there.
    Connect,
    /// The other side could not prove its name.
    Tls,
}

impl fmt::Display for Unreachable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Dns => "its name does not resolve",
            Self::Connect => "no connection",
            Self::Tls => "TLS failed; check its certificate and our trusted roots",
        })
    }
}

/// Why a token from a provider gave nobody.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// Its keys could not be had.
    #[error("the provider's keys are not available")]
    Provider(#[source] ProviderError),
    /// The token was refused.
    #[error("the token was refused")]
    Token(#[source] TokenError),
}

/// Why a machine's token gave no machine.
#[derive(Debug, thiserror::Error)]
pub enum MachineRefused {
    /// The token, or the keys to judge it by.
    #[error(transparent)]
    Token(#[from] VerifyError),
    /// The token is sound and names nobody.
    #[error("the token names nobody")]
    Nobodys(#[from] MachineError),
}

/// An OAuth error code (RFC 6749, 5.2): `[a-z_]{1,64}`, everything else is `other`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OAuthErrorCode(String);

impl OAuthErrorCode {
    /// From what a provider sent; never fails, never keeps anything unexpected.
    #[must_use]
    pub fn parse(code: &str) -> Self {
        let expected = (1..=64).contains(&code.len())
            && code.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
        Self(if expected { code } else { "other" }.to_owned())
    }

    /// The code.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for OAuthErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_code_is_a_word_or_other() {
        for code in ["invalid_grant", "access_denied", &"a".repeat(64)] {
            assert_eq!(OAuthErrorCode::parse(code).as_str(), code);
        }
        for code in ["", "Invalid", "a b", "a\nb", "<script>", "17838534171", "ø", &"a".repeat(65)] {
            assert_eq!(OAuthErrorCode::parse(code).as_str(), "other", "{code}");
        }
    }
}

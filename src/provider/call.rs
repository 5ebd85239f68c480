//! The calls to a provider, named and counted.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use super::ProviderError;

/// A call that the gateway makes to a provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Call {
    /// The metadata document (OpenID Connect Discovery 1.0, 4).
    Metadata,
    /// The key set (RFC 7517).
    Keys,
    /// A pushed authorization request (RFC 9126).
    Par,
    /// The redemption of a code (RFC 6749, 4.1.3).
    Token,
    /// Claims that the ID token leaves out (OpenID Connect Core 1.0, 5.3).
    Userinfo,
    /// The exchange of a refresh token (RFC 6749, 6).
    Refresh,
    /// The end of a token (RFC 7009, 2.1).
    Revoke,
}

impl Call {
    /// Every call.
    pub const ALL: [Self; 7] =
        [Self::Metadata, Self::Keys, Self::Par, Self::Token, Self::Userinfo, Self::Refresh, Self::Revoke];

    /// The name in metrics and logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Metadata => "metadata",
            Self::Keys => "keys",
            Self::Par => "par",
            Self::Token => "token",
            Self::Userinfo => "userinfo",
            Self::Refresh => "refresh",
            Self::Revoke => "revoke",
        }
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How a call ended, as far as a graph needs to tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// An answer that we could use.
    Ok,
    /// An OAuth error: the provider understood and said no.
    Refused,
    /// Not reached, too slow, or an answer that we could not use.
    Failed,
    /// Not sent: too many calls were open.
    Busy,
    /// Not sent: the provider did not answer moments ago.
    Resting,
}

impl Outcome {
    /// Every outcome.
    pub const ALL: [Self; 5] = [Self::Ok, Self::Refused, Self::Failed, Self::Busy, Self::Resting];

    /// The name in metrics and logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Refused => "refused",
            Self::Failed => "failed",
            Self::Busy => "busy",
            Self::Resting => "resting",
        }
    }

    fn of<T>(result: &Result<T, ProviderError>) -> Self {
        match result {
            Ok(_) => Self::Ok,
            Err(ProviderError::Refused { .. }) => Self::Refused,
            Err(ProviderError::Busy { .. }) => Self::Busy,
            Err(ProviderError::Resting { .. }) => Self::Resting,
            Err(_) => Self::Failed,
        }
    }
}

/// How many calls ended how. Counts attempts: a call that is tried twice counts twice.
#[derive(Debug, Default)]
pub struct Calls([[AtomicU64; Outcome::ALL.len()]; Call::ALL.len()]);

impl Calls {
    pub(super) fn count<T>(&self, call: Call, result: &Result<T, ProviderError>) {
        self.0[call as usize][Outcome::of(result) as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// How many attempts of `call` ended so, since the start.
    #[must_use]
    pub fn total(&self, call: Call, outcome: Outcome) -> u64 {
        self.0[call as usize][outcome as usize].load(Ordering::Relaxed)
    }
}

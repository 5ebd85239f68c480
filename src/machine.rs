//! A machine at the door: its token read, verified, and refused in the words of RFC 6750, 3.
//!
//! **Invariant:** a machine gets no page, no redirect and no session. Whoever shows a token and a session at once gets
//! nothing: which of the two was meant is not for us to guess (RFC 6750, 3.1, `invalid_request`).

use portvakt_core::access::{TokenRule, TokenShortfall};
use portvakt_core::bearer::BadBearer;
use portvakt_core::identity::VerifiedMachine;
use portvakt_core::token::TokenError;

use crate::endpoint::Visit;
use crate::provider::{MachineRefused, ProviderError, VerifyError};

/// When the provider's keys may be there again, in seconds.
pub(crate) const KEYS_RETRY: u32 = 30;

/// Why a machine does not pass.
#[derive(Debug)]
pub(crate) enum TokenRefusal {
    /// It brings no token.
    Missing,
    /// It brings one as nobody reads it.
    Request(BadBearer),
    /// Somebody is logged in, too.
    BesideSession,
    /// The token is worth nothing.
    Invalid(MachineRefused),
    /// The token is sound and not enough. With the scopes that the route asks for.
    NotEnough(TokenShortfall, String),
    /// Nobody can tell: the provider's keys are not there.
    Unavailable(ProviderError),
}

/// Verifies the token of a request for a route.
pub(crate) async fn verify(
    rule: &TokenRule,
    token: &str,
    visit: &Visit<'_>,
) -> Result<VerifiedMachine, TokenRefusal> {
    let provider = visit.snapshot.provider(&rule.provider).ok_or(TokenRefusal::Missing)?;
    let verified = provider.verify_machine(token, visit.now).await.map_err(TokenRefusal::of);
    let outcome = verified.as_ref().map_or_else(TokenRefusal::rule, |_| "verified");
    visit.live.telemetry.metrics.machine_token(&rule.provider, outcome);
    verified
}

impl TokenRefusal {
    fn of(why: MachineRefused) -> Self {
        match why {
            MachineRefused::Token(VerifyError::Provider(cause)) => Self::Unavailable(cause),
            why => Self::Invalid(why),
        }
    }

    /// What a rule lacks in a sound token.
    pub(crate) fn not_enough(why: TokenShortfall, rule: &TokenRule) -> Self {
        Self::NotEnough(why, rule.scopes.iter().map(String::as_str).collect::<Vec<_>>().join(" "))
    }

    /// The word for logs and metrics.
    pub(crate) fn rule(&self) -> &'static str {
        match self {
            Self::Missing => "token_required",
            Self::Request(BadBearer::InQuery) => "token_in_query",
            Self::Request(_) => "token_unreadable",
            Self::BesideSession => "token_and_session",
            Self::Invalid(MachineRefused::Token(VerifyError::Token(why))) => match why {
                TokenError::Expired => "token_expired",
                TokenError::UnknownKey => "token_unknown_key",
                TokenError::SignatureInvalid => "token_signature",
                TokenError::WrongIssuer => "token_issuer",
                TokenError::WrongType | TokenError::NotABearerToken => "token_kind",
                _ => "token_invalid",
            },
            Self::Invalid(MachineRefused::Nobodys(_)) => "token_nobodys",
            Self::Invalid(MachineRefused::Token(VerifyError::Provider(_))) | Self::Unavailable(_) => {
                "token_keys_unavailable"
            }
            Self::NotEnough(why, _) => match why {
                TokenShortfall::Provider => "token_provider",
                TokenShortfall::Audience => "token_audience",
                TokenShortfall::Scope => "token_scope",
                TokenShortfall::Consumer => "token_consumer",
                TokenShortfall::Delegation => "token_delegation",
                TokenShortfall::Supplier => "token_supplier",
            },
        }
    }

    /// The status, and the error code of RFC 6750, 3.1, if the request tried at all.
    pub(crate) fn code(&self) -> (u16, Option<&'static str>) {
        match self {
            Self::Missing => (401, None),
            Self::Request(_) | Self::BesideSession => (400, Some("invalid_request")),
            Self::Invalid(_) | Self::NotEnough(TokenShortfall::Provider | TokenShortfall::Audience, _) => {
                (401, Some("invalid_token"))
            }
            Self::NotEnough(..) => (403, Some("insufficient_scope")),
            Self::Unavailable(_) => (503, Some("temporarily_unavailable")),
        }
    }

    /// The challenge (RFC 6750, 3); none where another token would not help.
    pub(crate) fn challenge(&self) -> Option<String> {
        let (_, code) = self.code();
        let mut challenge = "Bearer realm=\"portvakt\"".to_owned();
        if matches!(self, Self::Unavailable(_)) {
            return None;
        }
        if let Some(code) = code {
            challenge.push_str(&format!(", error=\"{code}\", error_description=\"{}\"", self.description()));
        }
        if let Self::NotEnough(TokenShortfall::Scope, scopes) = self {
            // Scopes have neither quotes nor backslashes (RFC 6749, appendix A.4).
            challenge.push_str(&format!(", scope=\"{scopes}\""));
        }
        Some(challenge)
    }

    /// For the developer of the client; words of ours, and none of the token's.
    pub(crate) fn description(&self) -> String {
        match self {
            Self::Missing => "a bearer token is required".to_owned(),
            Self::Request(why) => why.to_string(),
            Self::BesideSession => "a token and a session came together".to_owned(),
            Self::Invalid(MachineRefused::Token(VerifyError::Token(why))) => why.to_string(),
            Self::Invalid(MachineRefused::Nobodys(why)) => why.to_string(),
            Self::NotEnough(why, _) => why.to_string(),
            Self::Invalid(MachineRefused::Token(VerifyError::Provider(_))) | Self::Unavailable(_) => {
                "tokens cannot be verified for the moment".to_owned()
            }
        }
    }
}

//! A code becomes an ID token (RFC 6749, 4.1.3; OpenID Connect Core 1.0, 3.1.3).
//!
//! **Invariant:** a code is sent once. A second attempt is made only if no connection stood, so that
//! nothing was sent. No access token leaves this module except as what `at_hash` is checked against, to the
//! provider's own userinfo, and where the configuration keeps it for apps.

use portvakt_core::clock::Timestamp;
use portvakt_core::session::tokens::AccessToken;
use portvakt_core::token::json;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value};
use url::Url;

use super::authorization::accepted;
use super::circuit::Pass;
use super::{Call, Parameters, Provider, ProviderError};

/// What a code was worth. Does not print what it holds.
pub struct Tokens {
    unverified_id_token: SecretString,
    access_token: Option<SecretString>,
    beside: Beside,
}

/// What a token endpoint says of an access token, and what comes with it.
#[derive(Clone, Default)]
pub(super) struct Beside {
    pub(super) refresh_token: Option<SecretString>,
    expires_in: Option<u64>,
    is_bearer: bool,
}

impl Beside {
    pub(super) fn parse(reply: &Map<String, Value>) -> Self {
        let text = |name: &str| reply.get(name).and_then(Value::as_str);
        Self {
            refresh_token: text("refresh_token").filter(|token| !token.is_empty()).map(SecretString::from),
            expires_in: reply.get("expires_in").and_then(Value::as_u64),
            is_bearer: text("token_type").is_some_and(|kind| kind.eq_ignore_ascii_case("bearer")),
        }
    }

    /// The access token as an app can get it; `None` if it is bound to a key, or no token of RFC 6750.
    pub(super) fn access(&self, access_token: &str, asked: Timestamp) -> Option<AccessToken> {
        let received = AccessToken::received(access_token, self.expires_in, asked);
        received.filter(|_| self.is_bearer)
    }
}

impl Provider {
    /// Redeems a code. `redirect_uri` is the one that the request named; `verifier` belongs to its
    /// `code_challenge` (RFC 7636, 4.5).
    ///
    /// # Errors
    ///
    /// [`ProviderError::Refused`] with `invalid_grant` for a code that is used, old or another's.
    pub async fn redeem(
        &self,
        code: &str,
        redirect_uri: &str,
        verifier: &str,
        now: Timestamp,
    ) -> Result<Tokens, ProviderError> {
        let metadata = self.metadata(now).await?;
        let endpoint = metadata.token_endpoint()?;
        let parameters = vec![
            ("grant_type", "authorization_code".to_owned()),
            ("code", code.to_owned()),
            ("redirect_uri", redirect_uri.to_owned()),
            ("code_verifier", verifier.to_owned()),
        ];
        let pass = self.enter(Call::Token).await?;
        let attempts = async {
            match self.redeem_once(&pass, endpoint, &parameters, now).await {
                Err(ProviderError::Unreachable { .. }) if pass.may_repeat() => {
                    self.redeem_once(&pass, endpoint, &parameters, now).await
                }
                settled => settled,
            }
        };
        let redeemed = self.within_time(Call::Token, attempts).await;
        pass.settled(redeemed)
    }

    /// What userinfo says (OpenID Connect Core 1.0, 5.3), where the profile knows that ID tokens leave something
    /// out. Nobody has compared its `sub` yet.
    ///
    /// # Errors
    ///
    /// Why it cannot be had: then nobody logs in. A signed answer (5.3.2) is not read.
    pub async fn userinfo(
        &self,
        tokens: &Tokens,
        now: Timestamp,
    ) -> Result<Map<String, Value>, ProviderError> {
        let metadata = self.metadata(now).await?;
        let endpoint = metadata.userinfo_endpoint().ok_or(ProviderError::Endpoint("userinfo_endpoint"))?;
        let malformed = |what| ProviderError::Malformed { call: Call::Userinfo, what };
        let access_token = tokens.access_token().ok_or_else(|| malformed("no access token came before"))?;
        let pass = self.enter(Call::Userinfo).await?;
        let asked = async {
            let request = self.http.get(endpoint).bearer_auth(access_token);
            let reply = self.http.send_in_turn(&pass, request).await?;
            let body = accepted(Call::Userinfo, reply)?;
            json::parse_object(&body).map_err(|_| malformed("not one JSON object"))
        };
        let asked = self.within_time(Call::Userinfo, self.counted(Call::Userinfo, asked)).await;
        pass.settled(asked)
    }

    async fn redeem_once(
        &self,
        pass: &Pass,
        endpoint: &Url,
        parameters: &Parameters,
        now: Timestamp,
    ) -> Result<Tokens, ProviderError> {
        let redeemed = async {
            let request = self.authenticated(endpoint, parameters, now)?;
            let reply = self.http.send_in_turn(pass, request).await?;
            Tokens::parse(&accepted(Call::Token, reply)?)
        };
        self.counted(Call::Token, redeemed).await
    }
}

impl Tokens {
    fn parse(body: &[u8]) -> Result<Self, ProviderError> {
        let malformed = |what| ProviderError::Malformed { call: Call::Token, what };
        let reply = json::parse_object(body).map_err(|_| malformed("not one JSON object"))?;
        let secret = |value: &Value| value.as_str().map(SecretString::from);
        let id_token = reply.get("id_token").and_then(secret);
        let access_token = reply
            .get("access_token")
            .map(|value| secret(value).ok_or_else(|| malformed("`access_token` is not a string")));
        Ok(Self {
            unverified_id_token: id_token
                .ok_or_else(|| malformed("`id_token` is missing or not a string"))?,
            access_token: access_token.transpose()?,
            beside: Beside::parse(&reply),
        })
    }

    /// What apps may need of them: the access token, if an app can get it, and what it is exchanged with. `asked`:
    /// when they were asked for.
    #[must_use]
    pub fn for_apps(&self, asked: Timestamp) -> (Option<AccessToken>, Option<SecretString>) {
        let access = self.access_token.as_ref();
        let access = access.and_then(|token| self.beside.access(token.expose_secret(), asked));
        (access, self.beside.refresh_token.clone())
    }

    /// The ID token, which nobody has verified yet. After verification it is the `id_token_hint`.
    #[must_use]
    pub fn unverified_id_token(&self) -> &str {
        self.unverified_id_token.expose_secret()
    }

    /// The access token, for `at_hash` and userinfo.
    pub(super) fn access_token(&self) -> Option<&str> {
        self.access_token.as_ref().map(|token| token.expose_secret())
    }
}

impl std::fmt::Debug for Tokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tokens([REDACTED])")
    }
}

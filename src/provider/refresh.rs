//! Tokens are exchanged for newer ones, and ended (RFC 6749, 6; OpenID Connect Core 1.0, 12; RFC 7009).
//!
//! **Invariant:** a refresh token is sent once, for the same reason as a code: the provider may take a second one for
//! theft and end all that came of the login (RFC 9700, 4.14.2). A second attempt is made only if no connection stood.
//!
//! **Invariant:** an ID token that comes along is verified before anything of the answer is used.

use portvakt_core::clock::Timestamp;
use portvakt_core::session::tokens::{AccessToken, Tokens as KeptTokens};
use portvakt_core::token::{KeySet, RefreshedExpectation, VerifiedIdToken, json, verify_refreshed_id_token};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;
use url::Url;

use super::authorization::accepted;
use super::circuit::Pass;
use super::token::Beside;
use super::verify::For;
use super::{Call, Parameters, Provider, ProviderError, VerifyError};

/// What a refresh token was worth. Does not print what it holds.
pub struct Exchanged {
    /// The new access token.
    pub access: AccessToken,
    /// The new refresh token; `None`: the old one stays.
    pub refresh: Option<SecretString>,
    unverified_id_token: Option<SecretString>,
}

impl Provider {
    /// Exchanges a refresh token.
    ///
    /// # Errors
    ///
    /// [`ProviderError::Refused`] with `invalid_grant` for one that is used, old, ended or another's.
    pub async fn exchange(&self, refresh: &SecretString, now: Timestamp) -> Result<Exchanged, ProviderError> {
        let metadata = self.metadata(now).await?;
        let endpoint = metadata.token_endpoint()?;
        let parameters = vec![
            ("grant_type", "refresh_token".to_owned()),
            ("refresh_token", refresh.expose_secret().to_owned()),
        ];
        let pass = self.enter(Call::Refresh).await?;
        let attempts = async {
            match self.exchange_once(&pass, endpoint, &parameters, now).await {
                Err(ProviderError::Unreachable { .. }) if pass.may_repeat() => {
                    self.exchange_once(&pass, endpoint, &parameters, now).await
                }
                settled => settled,
            }
        };
        let exchanged = self.within_time(Call::Refresh, attempts).await;
        pass.settled(exchanged)
    }

    async fn exchange_once(
        &self,
        pass: &Pass,
        endpoint: &Url,
        parameters: &Parameters,
        now: Timestamp,
    ) -> Result<Exchanged, ProviderError> {
        let exchanged = async {
            let request = self.authenticated(endpoint, parameters, now)?;
            let reply = self.http.send_in_turn(pass, request).await?;
            Exchanged::parse(&accepted(Call::Refresh, reply)?, now)
        };
        self.counted(Call::Refresh, exchanged).await
    }

    /// Verifies the ID token that came with an exchange, if one did: it is of the same subject and login.
    ///
    /// # Errors
    ///
    /// Why the token, or the keys to judge it by, cannot be used.
    pub async fn verify_exchanged(
        &self,
        exchanged: &Exchanged,
        before: &KeptTokens,
        subject: &str,
        now: Timestamp,
    ) -> Result<Option<VerifiedIdToken>, VerifyError> {
        let Some(id_token) = &exchanged.unverified_id_token else { return Ok(None) };
        let expected = RefreshedExpectation {
            issuer: &self.settings.issuer,
            client_id: &self.settings.client_id,
            algorithms: &self.settings.algorithms,
            access_token: Some(exchanged.access.secret().expose_secret()),
            subject,
            is_nonce: &|nonce| before.is_nonce(nonce),
        };
        let verify =
            |keys: &KeySet| verify_refreshed_id_token(id_token.expose_secret(), keys, &expected, now);
        self.with_keys(For::Login, now, verify).await.map(Some)
    }

    /// Ends tokens at the provider: the refresh token, with which the others end (RFC 7009, 2.1; dossier 2.8), or
    /// without one the access token. Nothing happens where there is no endpoint for it.
    ///
    /// # Errors
    ///
    /// Why it is not known to be done.
    pub async fn revoke(&self, tokens: &KeptTokens, now: Timestamp) -> Result<(), ProviderError> {
        let (token, hint) = match (tokens.refresh(), tokens.access()) {
            (Some(refresh), _) => (refresh, "refresh_token"),
            (None, Some(access)) => (access.secret(), "access_token"),
            (None, None) => return Ok(()),
        };
        let metadata = self.metadata(now).await?;
        let Some(endpoint) = metadata.revocation_endpoint() else { return Ok(()) };
        let parameters =
            vec![("token", token.expose_secret().to_owned()), ("token_type_hint", hint.to_owned())];
        let pass = self.enter(Call::Revoke).await?;
        let revoked = async {
            let request = self.authenticated(endpoint, &parameters, now)?;
            let reply = self.http.send_in_turn(&pass, request).await?;
            accepted(Call::Revoke, reply).map(drop)
        };
        let revoked = self.within_time(Call::Revoke, self.counted(Call::Revoke, revoked)).await;
        pass.settled(revoked)
    }
}

impl Exchanged {
    fn parse(body: &[u8], asked: Timestamp) -> Result<Self, ProviderError> {
        let malformed = |what| ProviderError::Malformed { call: Call::Refresh, what };
        let reply = json::parse_object(body).map_err(|_| malformed("not one JSON object"))?;
        let access_token = reply.get("access_token").and_then(Value::as_str);
        let beside = Beside::parse(&reply);
        let access = access_token.and_then(|token| beside.access(token, asked));
        let id_token = match reply.get("id_token") {
            None => None,
            Some(Value::String(token)) => Some(SecretString::from(token.as_str())),
            Some(_) => return Err(malformed("`id_token` is not a string")),
        };
        Ok(Self {
            access: access.ok_or_else(|| malformed("`access_token` is missing, or no bearer token"))?,
            refresh: beside.refresh_token,
            unverified_id_token: id_token,
        })
    }
}

impl std::fmt::Debug for Exchanged {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Exchanged([REDACTED])")
    }
}

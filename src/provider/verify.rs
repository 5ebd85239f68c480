//! Tokens, checked with the provider's keys. A key that we do not know may be a new one: the set is
//! fetched anew, once, and at most once a minute (dossier 2.6; threat OP-11).
//!
//! **Invariant:** strangers cannot use up the fetch that a login needs. Anybody may post a logout
//! token, or bring an access token; an ID token comes from the token endpoint. Each kind has a minute of its own.

use std::sync::Arc;

use portvakt_core::clock::Timestamp;
use portvakt_core::identity::{VerifiedMachine, machine};
use portvakt_core::token::{
    AccessTokenExpectation, IdTokenExpectation, KeySet, LogoutTokenExpectation, MaxAge, TokenError,
    VerifiedIdToken, VerifiedLogoutToken, verify_access_token, verify_id_token, verify_logout_token,
};

use super::cache::{Attempts, FAILED_KEY_INTERVAL, UNKNOWN_KEY_INTERVAL};
use super::{Call, MachineRefused, Provider, ProviderError, Tokens, VerifyError};

/// What a login knows of the token that must answer it.
#[derive(Clone, Copy)]
pub struct LoginExpectation<'a> {
    /// The `nonce` that was sent.
    pub nonce: &'a str,
    /// How fresh the authentication must be, if that was asked for.
    pub max_age: Option<MaxAge>,
    /// The code that was redeemed.
    pub code: &'a str,
}

/// Who asks for newer keys.
#[derive(Clone, Copy)]
pub(super) enum For {
    Login,
    Logout,
    Machine,
}

impl Provider {
    /// Verifies the ID token of a login in full.
    ///
    /// # Errors
    ///
    /// Why the token, or the keys to judge it by, cannot be used.
    pub async fn verify_id_token(
        &self,
        tokens: &Tokens,
        login: &LoginExpectation<'_>,
        now: Timestamp,
    ) -> Result<VerifiedIdToken, VerifyError> {
        let expected = IdTokenExpectation {
            issuer: &self.settings.issuer,
            client_id: &self.settings.client_id,
            nonce: login.nonce,
            algorithms: &self.settings.algorithms,
            max_age: login.max_age,
            code: Some(login.code),
            access_token: tokens.access_token(),
        };
        let verify = |keys: &KeySet| verify_id_token(tokens.unverified_id_token(), keys, &expected, now);
        self.with_keys(For::Login, now, verify).await
    }

    /// Verifies a logout token in full, except that its `jti` is new.
    ///
    /// # Errors
    ///
    /// As [`verify_id_token`](Self::verify_id_token).
    pub async fn verify_logout_token(
        &self,
        token: &str,
        now: Timestamp,
    ) -> Result<VerifiedLogoutToken, VerifyError> {
        let expected = LogoutTokenExpectation {
            issuer: &self.settings.issuer,
            client_id: &self.settings.client_id,
            algorithms: &self.settings.algorithms,
        };
        self.with_keys(For::Logout, now, |keys| verify_logout_token(token, keys, &expected, now)).await
    }

    /// Verifies the access token of a machine in full, and reads whose machine it is.
    ///
    /// # Errors
    ///
    /// Why the token, or the keys to judge it by, cannot be used. A provider whose keys cannot be had accepts nobody.
    pub async fn verify_machine(
        &self,
        token: &str,
        now: Timestamp,
    ) -> Result<VerifiedMachine, MachineRefused> {
        let expected =
            AccessTokenExpectation { issuer: &self.settings.issuer, algorithms: &self.settings.algorithms };
        let verify = |keys: &KeySet| verify_access_token(token, keys, &expected, now);
        let verified = self.with_keys(For::Machine, now, verify).await?;
        Ok(machine::verify(&verified, &self.settings.name)?)
    }

    pub(super) async fn with_keys<T>(
        &self,
        whom: For,
        now: Timestamp,
        verify: impl Fn(&KeySet) -> Result<T, TokenError>,
    ) -> Result<T, VerifyError> {
        let keys = self.keys(now).await.map_err(VerifyError::Provider)?;
        match verify(&keys) {
            Err(TokenError::UnknownKey) => {}
            settled => return settled.map_err(VerifyError::Token),
        }
        match self.newer_keys(&keys, whom, now).await.map_err(VerifyError::Provider)? {
            Some(newer) => verify(&newer).map_err(VerifyError::Token),
            None => Err(VerifyError::Token(TokenError::UnknownKey)),
        }
    }

    /// Keys that are newer than `seen`; `None` if they were asked for less than a minute ago.
    async fn newer_keys(
        &self,
        seen: &Arc<KeySet>,
        whom: For,
        now: Timestamp,
    ) -> Result<Option<Arc<KeySet>>, ProviderError> {
        let metadata = self.metadata(now).await?;
        let mut attempts = match whom {
            // There is one try to deliver a logout token (dossier 3.4).
            For::Logout => self.keys.lock().await,
            For::Login | For::Machine => self.keys.turn().await?,
        };
        if let Some(copy) = self.keys.served(now)
            && !Arc::ptr_eq(&copy.value, seen)
        {
            return Ok(Some(copy.value.clone()));
        }
        let last = whom.last(&mut attempts);
        if let Some(at) = *last {
            let failed = self.keys.failed().is_some_and(|failed| failed >= at);
            let interval = match (whom, failed) {
                (For::Login, true) => FAILED_KEY_INTERVAL,
                _ => UNKNOWN_KEY_INTERVAL,
            };
            if now.since(at) < interval {
                // As long as the newer keys could not be had, nobody knows that there is no such key.
                return match failed {
                    true => Err(ProviderError::Resting { call: Call::Keys, again_after: None }),
                    false => Ok(None),
                };
            }
        }
        // A stranger's fetch counts even if he hangs up; a login that is cut off must not use up the
        // fetch of the next one.
        if matches!(whom, For::Logout | For::Machine) {
            *last = Some(now);
        }
        let fetched = self.keys.fetch(&mut attempts, now, || self.fetch_keys(&metadata)).await;
        *whom.last(&mut attempts) = Some(now);
        fetched.map(Some)
    }
}

impl For {
    fn last(self, attempts: &mut Attempts) -> &mut Option<Timestamp> {
        match self {
            Self::Login => &mut attempts.for_login,
            Self::Logout => &mut attempts.for_logout,
            Self::Machine => &mut attempts.for_machine,
        }
    }
}

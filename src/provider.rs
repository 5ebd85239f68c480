//! An identity provider as somebody to call: metadata, keys, pushed requests, codes, logout.
//!
//! | part | does |
//! |---|---|
//! | `circuit` | whether a call is worth making: while the provider is down nobody waits for it |
//! | `metadata`, `cache` | discovery and keys, fetched once and kept (OpenID Connect Discovery 1.0) |
//! | `authorization` | the authorization request, pushed where that is offered (RFC 9126) |
//! | `client_auth` | how the gateway proves who it is (RFC 6749, 2.3.1; RFC 7523) |
//! | `token` | a code becomes an ID token (RFC 6749, 4.1.3) |
//! | `refresh` | tokens for apps are exchanged, and ended (RFC 6749, 6; RFC 7009) |
//! | `verify` | tokens checked with the provider's keys, fetched anew once if a key is unknown |
//! | `end_session` | the way out (RP-Initiated Logout 1.0) |
//! | `known` | what a process that takes over is told of it |
//! | `http` | what a call may cost |
//!
//! **Invariant:** nothing here decides who somebody is: an ID token stays `unverified_…` until
//! [`Provider::verify_id_token`] has passed it. Every client assertion is used in one call only.

mod authorization;
mod cache;
mod call;
mod circuit;
mod client_auth;
mod end_session;
mod error;
pub mod http;
mod known;
mod metadata;
mod refresh;
#[cfg(test)]
mod tests;
mod token;
mod verify;

use std::net::IpAddr;
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use portvakt_core::clock::Timestamp;
use portvakt_core::key::ClientKey;
use portvakt_core::provider::ProviderSettings;
use portvakt_core::token::KeySet;

pub use self::authorization::{AuthorizationRequest, Parameters, PushedRequest};
pub use self::call::{Call, Calls, Outcome};
pub use self::end_session::{EndSession, EndSessionRequest};
pub use self::error::{MachineRefused, OAuthErrorCode, ProviderError, Unreachable, VerifyError};
pub(crate) use self::known::Known;
pub use self::metadata::Metadata;
pub use self::refresh::Exchanged;
pub use self::token::Tokens;
pub use self::verify::LoginExpectation;

use self::cache::{Cache, Read};
use self::circuit::{Circuit, Pass};
use self::http::{Http, Limits};
use crate::share::{Share, Shares};

/// One provider, ready to be called.
pub struct Provider {
    settings: ProviderSettings,
    client_key: ArcSwapOption<ClientKey>,
    http: Http,
    metadata: Cache<Metadata>,
    keys: Cache<KeySet>,
    calls: Calls,
    /// By [`Call`]; of those that [`Cache`] does not make.
    circuits: [Arc<Circuit>; Call::ALL.len()],
    /// Who begins logins, and who ends them.
    beginning: Shares,
    ending: Shares,
}

/// When metadata and keys were last fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fetched {
    /// The metadata.
    pub metadata: Option<Timestamp>,
    /// The key set.
    pub keys: Option<Timestamp>,
}

impl Provider {
    /// A provider that has not been called yet.
    ///
    /// # Errors
    ///
    /// If no HTTP client can be built: `ca_file`, or the system's roots.
    pub fn new(settings: ProviderSettings, client_key: Option<ClientKey>) -> Result<Self, ProviderError> {
        Self::with_limits(settings, client_key, Limits::default())
    }

    fn with_limits(
        settings: ProviderSettings,
        client_key: Option<ClientKey>,
        limits: Limits,
    ) -> Result<Self, ProviderError> {
        let http = Http::new(settings.ca_file.as_deref(), settings.insecure_http, limits)?;
        let circuits = Call::ALL.map(|call| Circuit::new(call, &settings.name, limits.open));
        Ok(Self {
            circuits,
            settings,
            client_key: ArcSwapOption::from(client_key.map(Arc::new)),
            http,
            metadata: Cache::new(Call::Metadata),
            keys: Cache::new(Call::Keys),
            calls: Calls::default(),
            beginning: Shares::of(limits.open),
            ending: Shares::of(limits.open),
        })
    }

    /// What the configuration says of it.
    #[must_use]
    pub fn settings(&self) -> &ProviderSettings {
        &self.settings
    }

    /// Whether these settings, and the CAs in the file that they name, are the ones that it was made with.
    #[must_use]
    pub fn is_still(&self, settings: &ProviderSettings) -> bool {
        self.settings.is_same(settings) && self.http.trusts(settings.ca_file.as_deref())
    }

    /// How its calls ended.
    #[must_use]
    pub fn calls(&self) -> &Calls {
        &self.calls
    }

    /// A client's share of the places for this call, to be held until it is made: who begins logins by the hundred, or
    /// ends them with codes that nobody gave, keeps nobody else out.
    ///
    /// # Errors
    ///
    /// [`ProviderError::Busy`] if the client holds its share already.
    pub(crate) fn share(&self, call: Call, client: Option<IpAddr>) -> Result<Share<'_>, ProviderError> {
        let shares = if call == Call::Par { &self.beginning } else { &self.ending };
        let share = shares.take(client).ok_or(ProviderError::Busy { call });
        if share.is_err() {
            self.calls.count(call, &share);
        }
        share
    }

    /// Whether the last calls of a kind failed, so that nobody waits for such a call until one has succeeded.
    #[must_use]
    pub fn is_down(&self, call: Call) -> bool {
        match call {
            Call::Metadata => self.metadata.is_failing(),
            Call::Keys => self.keys.is_failing(),
            Call::Par | Call::Token | Call::Userinfo | Call::Refresh | Call::Revoke => {
                self.circuits[call as usize].is_down()
            }
        }
    }

    /// The kinds of calls of which the last ones failed.
    pub fn not_answering(&self) -> impl Iterator<Item = Call> {
        Call::ALL.into_iter().filter(|call| self.is_down(*call))
    }

    /// Whether people are better told that it may not answer before they are sent there.
    #[must_use]
    pub fn seems_down(&self) -> bool {
        [Call::Metadata, Call::Par, Call::Token].into_iter().any(|call| self.is_down(call))
    }

    async fn enter(&self, call: Call) -> Result<Pass, ProviderError> {
        let entered = self.circuits[call as usize].enter(self.http.wait()).await;
        if entered.is_err() {
            self.calls.count(call, &entered);
        }
        entered
    }

    /// How old its metadata and keys are.
    #[must_use]
    pub fn fetched(&self) -> Fetched {
        Fetched { metadata: self.metadata.fetched(), keys: self.keys.fetched() }
    }

    /// Whether its metadata and keys were ever fetched.
    pub(crate) fn is_known(&self) -> bool {
        matches!(self.fetched(), Fetched { metadata: Some(_), keys: Some(_) })
    }

    /// Signs with another key from now on: keys are rotated without a restart (dossier 2.5).
    pub fn set_client_key(&self, client_key: ClientKey) {
        self.client_key.store(Some(Arc::new(client_key)));
    }

    /// Whether client authentication needs a key and none was given.
    #[must_use]
    pub fn lacks_client_key(&self) -> bool {
        self.settings.has_client_key() && self.client_key.load().is_none()
    }

    /// The metadata; fetched if there is none.
    ///
    /// # Errors
    ///
    /// If there is none and it cannot be had.
    pub async fn metadata(&self, now: Timestamp) -> Result<Arc<Metadata>, ProviderError> {
        self.metadata.get(now, || self.fetch_metadata()).await
    }

    /// The keys; fetched if there are none.
    ///
    /// # Errors
    ///
    /// If there are none and they cannot be had.
    pub async fn keys(&self, now: Timestamp) -> Result<Arc<KeySet>, ProviderError> {
        if let Some(copy) = self.keys.served(now) {
            return Ok(copy.value.clone());
        }
        let metadata = self.metadata(now).await?;
        self.keys.get(now, || self.fetch_keys(&metadata)).await
    }

    /// Whether it is time to call [`refresh`](Self::refresh). To be asked every second, or so; that costs nothing to
    /// speak of.
    #[must_use]
    pub fn is_due(&self, now: Timestamp) -> bool {
        let metadata = self.metadata.served(now).is_some();
        self.metadata.is_due(now) || (metadata && self.keys.is_due(now))
    }

    /// Renews what is almost a day old, or absent. To be called in the background, when it [is due](Self::is_due). The
    /// old copies serve until three days after they were fetched.
    ///
    /// # Errors
    ///
    /// The first failure, to be logged.
    pub async fn refresh(&self, now: Timestamp) -> Result<(), ProviderError> {
        let metadata = self.metadata.refresh(now, || self.fetch_metadata()).await;
        let Some(copy) = self.metadata.served(now) else { return metadata };
        let keys = self.keys.refresh(now, || self.fetch_keys(&copy.value)).await;
        metadata.and(keys)
    }

    async fn fetch_metadata(&self) -> Result<Read<Metadata>, ProviderError> {
        let fetched = async {
            let request = self.http.get(&Metadata::url(&self.settings)?);
            let text = self.document(Call::Metadata, request).await?;
            Ok(Read { value: Metadata::parse(text.as_bytes(), &self.settings)?, text })
        };
        self.counted(Call::Metadata, fetched).await
    }

    async fn fetch_keys(&self, metadata: &Metadata) -> Result<Read<KeySet>, ProviderError> {
        let fetched = async {
            let text = self.document(Call::Keys, self.http.get(metadata.jwks_uri())).await?;
            let value = KeySet::parse(text.as_bytes()).map_err(ProviderError::KeySet)?;
            Ok(Read { value, text })
        };
        self.counted(Call::Keys, fetched).await
    }

    /// When its metadata were answered by its own clock (`Date`; RFC 9110, 6.6.1); `None` if it does not say.
    ///
    /// # Errors
    ///
    /// If there is no answer.
    pub(crate) async fn date(&self) -> Result<Option<Timestamp>, ProviderError> {
        self.http.date(Call::Metadata, self.http.get(&Metadata::url(&self.settings)?)).await
    }

    async fn document(&self, call: Call, request: reqwest::RequestBuilder) -> Result<String, ProviderError> {
        let reply = self.http.send(call, request).await?;
        if reply.status == reqwest::StatusCode::OK {
            // JSON is UTF-8 (RFC 8259, 8.1).
            String::from_utf8(reply.body)
                .map_err(|_| ProviderError::Malformed { call, what: "not one JSON object" })
        } else {
            let (status, again_after) = (reply.status.as_u16(), reply.again_after);
            Err(ProviderError::Status { call, status, again_after })
        }
    }

    /// Both attempts at a call share the time of one: a person waits. What is cut off counts as failed.
    async fn within_time<T>(
        &self,
        call: Call,
        attempts: impl Future<Output = Result<T, ProviderError>>,
    ) -> Result<T, ProviderError> {
        match tokio::time::timeout(self.http.total(), attempts).await {
            Ok(result) => result,
            Err(_) => self.counted(call, async { Err(ProviderError::TimedOut { call }) }).await,
        }
    }

    async fn counted<T>(
        &self,
        call: Call,
        made: impl Future<Output = Result<T, ProviderError>>,
    ) -> Result<T, ProviderError> {
        let result = made.await;
        self.calls.count(call, &result);
        result
    }
}

impl std::fmt::Debug for Provider {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Provider").field("name", &self.settings.name).finish_non_exhaustive()
    }
}

//! The authorization request (RFC 6749, 4.1.1; OpenID Connect Core 1.0, 3.1.2.1; RFC 7636; RFC 9126).
//!
//! **Invariant:** if the request was pushed, the browser carries `client_id` and `request_uri` and
//! nothing else. If pushing fails, the login fails: nothing falls back to the plain form.

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use portvakt_core::clock::Timestamp;
use portvakt_core::provider::Par;
use portvakt_core::token::json;
use serde_json::Value;
use url::Url;

use super::circuit::Pass;
use super::http::Reply;
use super::{Call, Metadata, OAuthErrorCode, Provider, ProviderError};

/// Names and values of a form or a query, in order.
pub type Parameters = Vec<(&'static str, String)>;

/// `request_uri` is a URN of some dozen characters; longer ones would not fit the browser's URL.
const MAX_REQUEST_URI: usize = 512;

/// How long somebody waits whose login finds out whether the provider answers again.
const PROBE_PATIENCE: Duration = Duration::from_secs(2);

/// What a login asks for.
#[derive(Clone, Debug)]
pub struct AuthorizationRequest<'a> {
    /// The registered redirect URI, byte for byte.
    pub redirect_uri: &'a str,
    /// Binds the answer to the browser.
    pub state: &'a str,
    /// Binds the ID token to the login.
    pub nonce: &'a str,
    /// RFC 7636, 4.2, S256.
    pub code_challenge: &'a str,
    /// Levels asked for, in order of preference. Empty: the provider chooses.
    pub acr_values: &'a [&'a str],
    /// `login` for a new authentication.
    pub prompt: Option<&'a str>,
    /// How old an authentication may be.
    pub max_age: Option<Duration>,
    /// The language of the provider's pages.
    pub ui_locales: Option<&'a str>,
    /// What else this provider is sent, from the configuration: `onbehalfof`, `resource`.
    pub extra: &'a [(&'static str, String)],
}

/// A request that the provider keeps for us (RFC 9126, 2.2). To be used once.
#[derive(Clone, PartialEq, Eq)]
pub struct PushedRequest {
    /// What stands for the request.
    pub request_uri: String,
    /// How long it is kept.
    pub expires_in: Duration,
}

impl Provider {
    /// Where the browser is sent to log in. Pushes the request first where settings and metadata say so.
    ///
    /// # Errors
    ///
    /// If the metadata cannot be had or the request cannot be pushed.
    pub async fn authorize(
        self: &Arc<Self>,
        request: &AuthorizationRequest<'_>,
        now: Timestamp,
    ) -> Result<Url, ProviderError> {
        let metadata = self.metadata(now).await?;
        let offered = metadata.pushed_authorization_request_endpoint();
        let endpoint = match (self.settings.par, offered) {
            (Par::Never, _) | (Par::WhenOffered, None) => None,
            (Par::WhenOffered | Par::Required, Some(endpoint)) => Some(endpoint),
            (Par::Required, None) => return Err(ProviderError::ParNotOffered),
        };
        let parameters = self.parameters(request);
        match endpoint {
            None => self.authorization_url(&metadata, &parameters),
            Some(endpoint) => {
                let pushed = self.push_to(endpoint, &parameters, now).await?;
                self.pushed_authorization_url(&metadata, &pushed)
            }
        }
    }

    /// The request as parameters, without `client_id`.
    #[must_use]
    pub fn parameters(&self, request: &AuthorizationRequest<'_>) -> Parameters {
        let mut parameters = vec![
            ("response_type", "code".to_owned()),
            ("redirect_uri", request.redirect_uri.to_owned()),
            ("scope", self.settings.scopes.join(" ")),
            ("state", request.state.to_owned()),
            ("nonce", request.nonce.to_owned()),
            ("code_challenge", request.code_challenge.to_owned()),
            ("code_challenge_method", "S256".to_owned()),
        ];
        let acr_values = Some(request.acr_values.join(" ")).filter(|values| !values.is_empty());
        let locale = request.ui_locales.or(self.settings.locale.as_deref());
        let optional = [
            ("acr_values", acr_values),
            ("prompt", request.prompt.map(str::to_owned)),
            ("max_age", request.max_age.map(|age| age.as_secs().to_string())),
            ("ui_locales", locale.map(str::to_owned)),
        ];
        parameters.extend(optional.into_iter().filter_map(|(name, value)| Some((name, value?))));
        parameters.extend(request.extra.iter().cloned());
        parameters
    }

    /// Pushes a request (RFC 9126, 2). A server error is answered by one more attempt, with a new
    /// assertion (dossier 2.2).
    ///
    /// # Errors
    ///
    /// [`ProviderError::ParNotOffered`], or why the provider did not take it.
    pub async fn push(
        self: &Arc<Self>,
        parameters: &Parameters,
        now: Timestamp,
    ) -> Result<PushedRequest, ProviderError> {
        let metadata = self.metadata(now).await?;
        let endpoint =
            metadata.pushed_authorization_request_endpoint().ok_or(ProviderError::ParNotOffered)?;
        self.push_to(endpoint, parameters, now).await
    }

    async fn push_to(
        self: &Arc<Self>,
        endpoint: &Url,
        parameters: &Parameters,
        now: Timestamp,
    ) -> Result<PushedRequest, ProviderError> {
        let pass = self.enter(Call::Par).await?;
        if pass.is_probe() {
            return self.probe_with(pass, endpoint.clone(), parameters.clone(), now).await;
        }
        let attempts = async {
            match self.push_once(&pass, endpoint, parameters, now).await {
                Err(
                    ProviderError::Status { status: 500..=599, again_after: None, .. }
                    | ProviderError::Unreachable { .. },
                ) if pass.may_repeat() => self.push_once(&pass, endpoint, parameters, now).await,
                settled => settled,
            }
        };
        let pushed = self.within_time(Call::Par, attempts).await;
        pass.settled(pushed)
    }

    /// Finds out with this login whether the provider answers again. The person is told soon that it does not; the call
    /// has its full time.
    async fn probe_with(
        self: &Arc<Self>,
        pass: Pass,
        endpoint: Url,
        parameters: Parameters,
        now: Timestamp,
    ) -> Result<PushedRequest, ProviderError> {
        let provider = Arc::clone(self);
        let probe = tokio::spawn(async move {
            let pushed = provider.push_once(&pass, &endpoint, &parameters, now);
            let pushed = provider.within_time(Call::Par, pushed).await;
            pass.settled(pushed)
        });
        let resting = ProviderError::Resting { call: Call::Par, again_after: None };
        match tokio::time::timeout(PROBE_PATIENCE, probe).await {
            Ok(Ok(pushed)) => pushed,
            Ok(Err(_)) | Err(_) => Err(resting),
        }
    }

    async fn push_once(
        &self,
        pass: &Pass,
        endpoint: &Url,
        parameters: &Parameters,
        now: Timestamp,
    ) -> Result<PushedRequest, ProviderError> {
        let pushed = async {
            let request = self.authenticated(endpoint, parameters, now)?;
            let reply = self.http.send_in_turn(pass, request).await?;
            PushedRequest::parse(&accepted(Call::Par, reply)?)
        };
        self.counted(Call::Par, pushed).await
    }

    /// The authorization URL with all parameters in it, for providers without RFC 9126.
    ///
    /// # Errors
    ///
    /// If nobody logs in there.
    pub fn authorization_url(
        &self,
        metadata: &Metadata,
        parameters: &Parameters,
    ) -> Result<Url, ProviderError> {
        let mut url = metadata.authorization_endpoint()?.clone();
        let mut query = url.query_pairs_mut();
        query.append_pair("client_id", &self.settings.client_id);
        query.extend_pairs(parameters);
        drop(query);
        Ok(url)
    }

    /// The authorization URL of a pushed request: `client_id`, `request_uri`, nothing else.
    ///
    /// # Errors
    ///
    /// As [`authorization_url`](Self::authorization_url).
    pub fn pushed_authorization_url(
        &self,
        metadata: &Metadata,
        pushed: &PushedRequest,
    ) -> Result<Url, ProviderError> {
        let parameters = vec![("request_uri", pushed.request_uri.clone())];
        self.authorization_url(metadata, &parameters)
    }
}

impl PushedRequest {
    fn parse(body: &[u8]) -> Result<Self, ProviderError> {
        let malformed = |what| ProviderError::Malformed { call: Call::Par, what };
        let reply = json::parse_object(body).map_err(|_| malformed("not one JSON object"))?;
        let request_uri = reply.get("request_uri").and_then(Value::as_str).unwrap_or_default();
        let sound = (1..=MAX_REQUEST_URI).contains(&request_uri.len())
            && request_uri.bytes().all(|byte| byte.is_ascii_graphic());
        let expires_in = reply.get("expires_in").and_then(Value::as_u64).unwrap_or_default();
        match (sound, expires_in) {
            (false, _) => Err(malformed("`request_uri` is missing or malformed")),
            (_, 0) => Err(malformed("`expires_in` is missing or not positive")),
            _ => {
                Ok(Self { request_uri: request_uri.to_owned(), expires_in: Duration::from_secs(expires_in) })
            }
        }
    }
}

impl std::fmt::Debug for PushedRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PushedRequest").field("expires_in", &self.expires_in).finish_non_exhaustive()
    }
}

/// The body of a success, or what the provider said instead (RFC 6749, 5.2).
pub(super) fn accepted(call: Call, reply: Reply) -> Result<Vec<u8>, ProviderError> {
    if reply.status.is_success() {
        return Ok(reply.body);
    }
    let status = reply.status.as_u16();
    // Who is asked too much says nothing of this request, whatever else stands in the answer (RFC 6585, 4).
    let is_judged = reply.status.is_client_error() && reply.status != StatusCode::TOO_MANY_REQUESTS;
    let refusal = json::parse_object(&reply.body).ok().filter(|_| is_judged);
    match refusal.as_ref().and_then(|refusal| refusal.get("error")?.as_str()) {
        Some(code) => Err(ProviderError::Refused { call, status, code: OAuthErrorCode::parse(code) }),
        None => Err(ProviderError::Status { call, status, again_after: reply.again_after }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_asked_too_much_is_heeded_and_not_taken_for_a_refusal() {
        let reply = |status: u16| Reply {
            status: StatusCode::from_u16(status).unwrap(),
            again_after: Some(Duration::from_secs(40)),
            body: br#"{"error":"slow_down"}"#.to_vec(),
        };
        let error = accepted(Call::Par, reply(429)).unwrap_err();
        assert_eq!(error.again_after(), Some(Duration::from_secs(40)));
        let error = accepted(Call::Par, reply(400)).unwrap_err();
        assert!(matches!(error, ProviderError::Refused { status: 400, .. }), "{error:?}");
    }
}

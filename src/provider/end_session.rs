//! The way out at the provider (RP-Initiated Logout 1.0, 2; dossier 3.2).
//!
//! The library's `LogoutRequest` wants the hint as a token of its own type and makes a GET only; here
//! the parameters are kept apart, so that a page can post them and the hint stays out of histories.

use url::Url;

use super::{Metadata, Parameters, Provider};

/// What a logout tells the provider.
pub struct EndSession<'a> {
    /// The session's ID token; an expired one is normal.
    pub id_token_hint: Option<&'a str>,
    /// The registered URI to come back to.
    pub post_logout_redirect_uri: &'a str,
    /// Comes back with the browser.
    pub state: &'a str,
}

/// Where to go, and with what. Holds an ID token: never logged.
pub struct EndSessionRequest {
    /// `end_session_endpoint`.
    pub endpoint: Url,
    /// To be posted by the browser, or appended by [`url`](Self::url).
    pub parameters: Parameters,
}

impl Provider {
    /// The request that ends the session at the provider; `None` if it offers no such endpoint.
    #[must_use]
    pub fn end_session(&self, metadata: &Metadata, logout: &EndSession<'_>) -> Option<EndSessionRequest> {
        let endpoint = metadata.end_session_endpoint()?.clone();
        let mut parameters = vec![
            // With or without the hint: it is what earns the way back (dossier 3.2).
            ("client_id", self.settings.client_id.clone()),
            ("post_logout_redirect_uri", logout.post_logout_redirect_uri.to_owned()),
            ("state", logout.state.to_owned()),
        ];
        parameters.extend(logout.id_token_hint.map(|hint| ("id_token_hint", hint.to_owned())));
        Some(EndSessionRequest { endpoint, parameters })
    }
}

impl EndSessionRequest {
    /// The same as one URL, for a redirect.
    #[must_use]
    pub fn url(&self) -> Url {
        let mut url = self.endpoint.clone();
        url.query_pairs_mut().extend_pairs(&self.parameters);
        url
    }
}

impl std::fmt::Debug for EndSessionRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EndSessionRequest").field("endpoint", &self.endpoint.as_str()).finish_non_exhaustive()
    }
}

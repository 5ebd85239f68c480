//! The provider's metadata (OpenID Connect Discovery 1.0, 3 and 4; RFC 8414; RFC 9126, 5; RFC 9207, 3; the
//! logout specifications). Keys that we do not know are ignored (dossier 1.1.1).
//!
//! **Invariant:** the issuer is byte for byte the configured one, and every endpoint that is used was
//! judged by [`http::permitted`](super::http).

use openidconnect::core::{
    CoreAuthDisplay, CoreClaimName, CoreClaimType, CoreClientAuthMethod, CoreGrantType, CoreJsonWebKey,
    CoreJweContentEncryptionAlgorithm, CoreJweKeyManagementAlgorithm, CoreResponseMode, CoreResponseType,
    CoreSubjectIdentifierType,
};
use openidconnect::{AdditionalProviderMetadata, ProviderMetadata};
use portvakt_core::provider::ProviderSettings;
use portvakt_core::token::json;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use url::Url;

use super::http::permitted;
use super::{Call, ProviderError};

/// What the library's type does not know.
#[derive(Clone, Debug, Deserialize, Serialize)]
struct Extensions {
    pushed_authorization_request_endpoint: Option<String>,
    end_session_endpoint: Option<String>,
    revocation_endpoint: Option<String>,
    #[serde(default)]
    authorization_response_iss_parameter_supported: bool,
    #[serde(default)]
    frontchannel_logout_supported: bool,
    #[serde(default)]
    backchannel_logout_supported: bool,
    #[serde(default)]
    frontchannel_logout_session_supported: bool,
    #[serde(default)]
    backchannel_logout_session_supported: bool,
}

impl AdditionalProviderMetadata for Extensions {}

type Document = ProviderMetadata<
    Extensions,
    CoreAuthDisplay,
    CoreClientAuthMethod,
    CoreClaimName,
    CoreClaimType,
    CoreGrantType,
    CoreJweContentEncryptionAlgorithm,
    CoreJweKeyManagementAlgorithm,
    CoreJsonWebKey,
    CoreResponseMode,
    CoreResponseType,
    CoreSubjectIdentifierType,
>;

/// Metadata that was judged.
#[derive(Clone, Debug)]
pub struct Metadata {
    /// Where people log in; an authorization server of machines has neither (RFC 8414, 2).
    authorization_endpoint: Option<Url>,
    token_endpoint: Option<Url>,
    jwks_uri: Url,
    pushed_authorization_request_endpoint: Option<Url>,
    end_session_endpoint: Option<Url>,
    userinfo_endpoint: Option<Url>,
    revocation_endpoint: Option<Url>,
    iss_in_response: bool,
    frontchannel_logout: bool,
    backchannel_logout: bool,
    sid: bool,
    acr_values: Vec<String>,
}

impl Metadata {
    /// Where the metadata of these settings is: OpenID Connect Discovery 1.0, 4.1, unless configured.
    pub(super) fn url(settings: &ProviderSettings) -> Result<Url, ProviderError> {
        let url = settings.metadata_url.clone().unwrap_or_else(|| {
            let issuer = settings.issuer.strip_suffix('/').unwrap_or(&settings.issuer);
            format!("{issuer}{}", settings.profile.metadata_path)
        });
        permitted(&url, settings.insecure_http).ok_or(ProviderError::Endpoint("metadata_url"))
    }

    pub(super) fn parse(document: &[u8], settings: &ProviderSettings) -> Result<Self, ProviderError> {
        let malformed = |what| ProviderError::Malformed { call: Call::Metadata, what };
        let object = json::parse_object(document).map_err(|_| malformed("not one JSON object"))?;
        if !settings.profile.capabilities.people {
            return Self::of_machines(&object, settings);
        }
        let document: Document = serde_json::from_value(Value::Object(object))
            .map_err(|_| malformed("a required member is missing or malformed"))?;
        if document.issuer().as_str() != settings.issuer {
            return Err(ProviderError::WrongIssuer);
        }
        let endpoint =
            |name, url: &str| permitted(url, settings.insecure_http).ok_or(ProviderError::Endpoint(name));
        let optional = |name, url: &Option<String>| url.as_deref().map(|url| endpoint(name, url)).transpose();
        let token_endpoint = document.token_endpoint().ok_or(ProviderError::Endpoint("token_endpoint"))?;
        let extensions = document.additional_metadata();
        Ok(Self {
            authorization_endpoint: Some(endpoint(
                "authorization_endpoint",
                document.authorization_endpoint().as_str(),
            )?),
            token_endpoint: Some(endpoint("token_endpoint", token_endpoint.as_str())?),
            jwks_uri: endpoint("jwks_uri", document.jwks_uri().as_str())?,
            pushed_authorization_request_endpoint: optional(
                "pushed_authorization_request_endpoint",
                &extensions.pushed_authorization_request_endpoint,
            )?,
            end_session_endpoint: optional("end_session_endpoint", &extensions.end_session_endpoint)?,
            userinfo_endpoint: optional(
                "userinfo_endpoint",
                &document.userinfo_endpoint().map(|url| url.as_str().to_owned()),
            )?,
            // No login needs it: one that cannot be used is none.
            revocation_endpoint: extensions
                .revocation_endpoint
                .as_deref()
                .and_then(|url| permitted(url, settings.insecure_http)),
            iss_in_response: extensions.authorization_response_iss_parameter_supported,
            frontchannel_logout: extensions.frontchannel_logout_supported,
            backchannel_logout: extensions.backchannel_logout_supported,
            sid: extensions.frontchannel_logout_session_supported
                || extensions.backchannel_logout_session_supported,
            acr_values: document
                .acr_values_supported()
                .map(|values| values.iter().map(|value| value.as_str().to_owned()).collect())
                .unwrap_or_default(),
        })
    }

    /// Of an authorization server whose tokens machines bring (RFC 8414, 3.2): the keys are all that is wanted of it.
    fn of_machines(object: &Map<String, Value>, settings: &ProviderSettings) -> Result<Self, ProviderError> {
        let text = |name: &str| object.get(name).and_then(Value::as_str);
        if text("issuer") != Some(&settings.issuer) {
            return Err(ProviderError::WrongIssuer);
        }
        let jwks_uri = text("jwks_uri").and_then(|url| permitted(url, settings.insecure_http));
        Ok(Self {
            authorization_endpoint: None,
            token_endpoint: None,
            jwks_uri: jwks_uri.ok_or(ProviderError::Endpoint("jwks_uri"))?,
            pushed_authorization_request_endpoint: None,
            end_session_endpoint: None,
            userinfo_endpoint: None,
            revocation_endpoint: None,
            iss_in_response: false,
            frontchannel_logout: false,
            backchannel_logout: false,
            sid: false,
            acr_values: Vec::new(),
        })
    }

    /// Where the browser logs in.
    ///
    /// # Errors
    ///
    /// If nobody does.
    pub fn authorization_endpoint(&self) -> Result<&Url, ProviderError> {
        self.authorization_endpoint.as_ref().ok_or(ProviderError::Endpoint("authorization_endpoint"))
    }

    /// Where a code is redeemed.
    ///
    /// # Errors
    ///
    /// If none is.
    pub fn token_endpoint(&self) -> Result<&Url, ProviderError> {
        self.token_endpoint.as_ref().ok_or(ProviderError::Endpoint("token_endpoint"))
    }

    /// Where the keys are.
    #[must_use]
    pub fn jwks_uri(&self) -> &Url {
        &self.jwks_uri
    }

    /// Where a request is pushed (RFC 9126, 5), if that is offered.
    #[must_use]
    pub fn pushed_authorization_request_endpoint(&self) -> Option<&Url> {
        self.pushed_authorization_request_endpoint.as_ref()
    }

    /// Where the browser logs out (RP-Initiated Logout 1.0, 2.1), if that is offered.
    #[must_use]
    pub fn end_session_endpoint(&self) -> Option<&Url> {
        self.end_session_endpoint.as_ref()
    }

    /// Where claims are told that the ID token leaves out, if that is offered.
    #[must_use]
    pub fn userinfo_endpoint(&self) -> Option<&Url> {
        self.userinfo_endpoint.as_ref()
    }

    /// Where tokens are ended (RFC 7009), if that is offered.
    #[must_use]
    pub fn revocation_endpoint(&self) -> Option<&Url> {
        self.revocation_endpoint.as_ref()
    }

    /// Whether every authorization response carries `iss` (RFC 9207, 3): then one without is refused.
    #[must_use]
    pub fn iss_in_response(&self) -> bool {
        self.iss_in_response
    }

    /// Whether the provider offers front-channel logout.
    #[must_use]
    pub fn frontchannel_logout(&self) -> bool {
        self.frontchannel_logout
    }

    /// Whether the provider says that it offers back-channel logout.
    #[must_use]
    pub fn backchannel_logout(&self) -> bool {
        self.backchannel_logout
    }

    /// Whether it can tell which of its sessions an ID token is of: `sid` (Front-Channel Logout 1.0, 3; Back-Channel
    /// Logout 1.0, 2.1).
    #[must_use]
    pub fn sid(&self) -> bool {
        self.sid
    }

    /// `acr_values_supported`; empty if the provider does not say.
    #[must_use]
    pub fn acr_values(&self) -> &[String] {
        &self.acr_values
    }
}

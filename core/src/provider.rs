//! An identity provider as data: code asks for a capability, never for a brand (`design.md` D6).
//!
//! What is known of each kind of provider stands in [`profile`]; what an operator says, in [`ProviderSettings`].

mod profile;

use std::path::PathBuf;

use secrecy::{ExposeSecret as _, SecretString};

use crate::language::Localised;
use crate::level::AcrTable;
use crate::token::Algorithm;

pub use self::profile::{Capabilities, Claims, ClientAuthMethod, PROFILES, Profile};

/// How the gateway proves to the provider who it is; exactly the registered method (dossier 2.5).
#[derive(Clone, Debug)]
pub enum ClientAuth {
    /// RFC 7523 with the active key of the ring `client-<provider>`.
    PrivateKeyJwt,
    /// RFC 6749, 2.3.1: HTTP Basic.
    ClientSecretBasic(SecretString),
    /// RFC 6749, 2.3.1: in the form.
    ClientSecretPost(SecretString),
}

impl ClientAuth {
    /// Which method it is.
    #[must_use]
    pub const fn method(&self) -> ClientAuthMethod {
        match self {
            Self::PrivateKeyJwt => ClientAuthMethod::PrivateKeyJwt,
            Self::ClientSecretBasic(_) => ClientAuthMethod::ClientSecretBasic,
            Self::ClientSecretPost(_) => ClientAuthMethod::ClientSecretPost,
        }
    }
}

/// What becomes of people's numbers from a synthetic series (dossier 4.1; `threats.md` OM-3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SyntheticNumbers {
    /// They log in like any other.
    Accept,
    /// They log in, and the operator is told.
    Warn,
    /// They do not log in.
    Refuse,
}

/// Whether the authorization request is pushed (RFC 9126).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Par {
    /// If the provider's metadata names an endpoint for it.
    WhenOffered,
    /// Always; without an endpoint no login starts.
    Required,
    /// Never, although offered.
    Never,
}

/// One provider of the configuration.
#[derive(Clone, Debug)]
pub struct ProviderSettings {
    /// The provider's name in the file.
    pub name: String,
    /// What kind of provider it is.
    pub profile: &'static Profile,
    /// The issuer, byte for byte as in its metadata and tokens.
    pub issuer: String,
    /// Where its metadata is, if not at the place that the issuer implies.
    pub metadata_url: Option<String>,
    /// `client_id` as registered.
    pub client_id: String,
    /// How the gateway authenticates.
    pub client_auth: ClientAuth,
    /// Whether the authorization request is pushed.
    pub par: Par,
    /// Scopes asked for; always with `openid`.
    pub scopes: Vec<String>,
    /// Signature algorithms accepted in its tokens.
    pub algorithms: Vec<Algorithm>,
    /// What its `acr` values are worth: the profile's table with the file's additions.
    pub acr: AcrTable,
    /// `ui_locales` asked for when the person has not chosen (dossier 2.1).
    pub locale: Option<String>,
    /// What people know it by, on the page where they choose; without it, what its kind of login is called.
    pub label: Localised,
    /// What becomes of numbers from a synthetic series.
    pub synthetic_numbers: SyntheticNumbers,
    /// A CA file to trust for calls to the provider instead of the system's roots.
    pub ca_file: Option<PathBuf>,
    /// Whether its endpoints may be plain http on loopback. Never in production.
    pub insecure_http: bool,
    /// Whether a login counts whose ID token lacks the `sid` that the provider can send: the session does not end
    /// when the person logs out elsewhere. Never in production.
    pub insecure_login_without_sid: bool,
    /// Whether an answer without `iss` is none of its answers (RFC 9207), whatever its metadata says.
    pub sends_iss: bool,
    /// Whether its answers come to a callback that no other provider's come to (RFC 9700, 4.4.2.2).
    pub own_callback: bool,
    /// Whether access tokens are kept for apps, and which; `None`: they are thrown away after the login.
    pub access_tokens: Option<AccessTokens>,
}

/// Access tokens that are kept for apps.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AccessTokens {
    /// For which API they are asked for (RFC 8707; dossier 2.1).
    pub resource: Option<String>,
}

impl ProviderSettings {
    /// Where its answers come to, below the prefix.
    #[must_use]
    pub fn callback(&self) -> String {
        if self.own_callback { format!("/callback/{}", self.name) } else { "/callback".to_owned() }
    }

    /// Whether the gateway signs as a client there. Where machines get their tokens it is none.
    #[must_use]
    pub fn has_client_key(&self) -> bool {
        self.profile.capabilities.people && matches!(self.client_auth, ClientAuth::PrivateKeyJwt)
    }

    /// Whether both say the same, secrets included.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        let secret = |settings: &Self| match &settings.client_auth {
            ClientAuth::PrivateKeyJwt => None,
            ClientAuth::ClientSecretBasic(secret) | ClientAuth::ClientSecretPost(secret) => {
                Some(secret.expose_secret().to_owned())
            }
        };
        // What is not secret is told apart by how it is shown for debugging.
        format!("{self:?}") == format!("{other:?}") && secret(self) == secret(other)
    }
}

#[cfg(test)]
pub(crate) mod tests_support {
    use super::*;

    /// A provider of this profile for the tests of other modules.
    pub(crate) fn provider(profile: &str) -> ProviderSettings {
        let profile = Profile::named(profile).unwrap();
        ProviderSettings {
            name: profile.name.to_owned(),
            profile,
            issuer: "https://op.example".to_owned(),
            metadata_url: None,
            client_id: "client".to_owned(),
            client_auth: ClientAuth::PrivateKeyJwt,
            par: profile.par,
            scopes: profile.scopes.iter().map(|scope| (*scope).to_owned()).collect(),
            algorithms: profile.algorithms.to_vec(),
            acr: profile.acr_table(),
            locale: None,
            label: Localised::default(),
            synthetic_numbers: SyntheticNumbers::Accept,
            ca_file: None,
            insecure_http: false,
            insecure_login_without_sid: false,
            sends_iss: profile.capabilities.iss_in_response,
            own_callback: false,
            access_tokens: None,
        }
    }
}

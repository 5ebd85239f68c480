//! An identity provider as data: code asks for a capability, never for a brand (`design.md` D6).
//!
//! To add a provider, add an entry to [`PROFILES`]: its issuers, its `acr` table, the names of its
//! claims. Nothing else in the program knows its name.

use std::path::PathBuf;
use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};

use crate::level::{AcrRow, AcrTable, Framework, Level};
use crate::token::Algorithm;

/// What is known of a kind of provider before an operator names one.
#[derive(Debug)]
pub struct Profile {
    /// The name in YAML.
    pub name: &'static str,
    /// The issuer in production, exactly as in its tokens; `None` if an operator must give it.
    pub production_issuer: Option<&'static str>,
    /// The issuer for tests.
    pub test_issuer: Option<&'static str>,
    /// Scopes asked for when the operator names none.
    pub scopes: &'static [&'static str],
    /// Signature algorithms accepted when the operator names none.
    pub algorithms: &'static [Algorithm],
    /// How a token says who it is.
    pub claims: Claims,
    /// Whether an audit log is part of the provider's terms (dossier 3.6).
    pub demands_audit: bool,
    /// The longest time without activity that the provider's terms allow a session (dossier 3.1).
    pub max_idle: Option<Duration>,
    /// The longest session that is usual there.
    pub usual_absolute: Option<Duration>,
    /// The languages of its pages, for `ui_locales`; empty: unknown.
    pub locales: &'static [&'static str],
    /// `amr` values that only test identities carry: refused in production (dossier 2.6).
    pub test_amr: &'static [&'static str],
    acr: &'static [(&'static str, Option<Level>, Framework, bool)],
}

/// The names of the claims that say who it is, newest spelling first. If two that are present
/// disagree, the login is refused (dossier 1.2.5).
#[derive(Debug)]
pub struct Claims {
    /// National identity number: fødselsnummer or D-number.
    pub pid: &'static [&'static str],
    /// eIDAS person identifier, `CC/NO/…`.
    pub eidas_identifier: &'static [&'static str],
    /// Given name.
    pub given_name: &'static [&'static str],
    /// Family name.
    pub family_name: &'static [&'static str],
    /// Date of birth, `YYYY-MM-DD`.
    pub birthdate: &'static [&'static str],
    /// E-mail address.
    pub email: &'static [&'static str],
}

const IDPORTEN_CLAIMS: Claims = Claims {
    pid: &["pid"],
    eidas_identifier: &[
        "eidas_person_identifier",
        "eidas_identifier",
        "eidas_personidentifier",
        "eidas-personidentifier",
        "eidas-PersonIdentifier",
        "eidas-identifier",
        "PersonIdentifier",
        "http://eidas.europa.eu/attributes/naturalperson/PersonIdentifier",
    ],
    given_name: &["given_name", "eidas_firstname", "eidas-firstname", "FirstName", "CurrentGivenName"],
    family_name: &[
        "family_name",
        "familiy_name",
        "eidas_lastname",
        "eidas-familyname",
        "eidas-familityname",
        "FamilyName",
        "CurrentFamilyName",
    ],
    birthdate: &["birthdate", "birth_date", "eidas_date_of_birth", "eidas-dateofbirth", "DateOfBirth"],
    email: &["email"],
};

/// OpenID Connect Core 1.0, 5.1; a plain provider asserts no national number.
const PLAIN_CLAIMS: Claims = Claims {
    pid: &[],
    eidas_identifier: &[],
    given_name: &["given_name"],
    family_name: &["family_name"],
    birthdate: &["birthdate"],
    email: &["email"],
};

/// The profiles. The first is the default of the examples.
pub const PROFILES: &[Profile] = &[
    Profile {
        name: "idporten",
        production_issuer: Some("https://idporten.no"),
        test_issuer: Some("https://test.idporten.no"),
        scopes: &["openid", "profile"],
        // RS256 today; elliptic curves are announced (dossier 0, fact 20).
        algorithms: &[Algorithm::Rs256, Algorithm::Es256, Algorithm::Ps256, Algorithm::EdDsa],
        claims: IDPORTEN_CLAIMS,
        demands_audit: true,
        max_idle: Some(Duration::from_secs(30 * 60)),
        usual_absolute: Some(Duration::from_secs(120 * 60)),
        locales: &["nb", "nn", "en", "se"],
        test_amr: &["TestID", "TestId"],
        acr: &[
            ("idporten-loa-high", Some(Level::High), Framework::National, true),
            ("idporten-loa-substantial", Some(Level::Substantial), Framework::National, true),
            ("idporten-loa-substantial-limited", Some(Level::Low), Framework::National, false),
            ("idporten-loa-low", Some(Level::Low), Framework::National, false),
            ("Level4", Some(Level::High), Framework::National, false),
            ("Level3", Some(Level::Substantial), Framework::National, false),
            ("eidas-loa-high", Some(Level::High), Framework::Eidas, true),
            ("eidas-loa-substantial", Some(Level::Substantial), Framework::Eidas, true),
            ("eidas-loa-low", Some(Level::Low), Framework::Eidas, false),
            ("selfregistered-email", None, Framework::Email, true),
        ],
    },
    Profile {
        name: "oidc",
        production_issuer: None,
        test_issuer: None,
        scopes: &["openid", "profile"],
        algorithms: &[Algorithm::Rs256, Algorithm::Es256, Algorithm::Ps256, Algorithm::EdDsa],
        claims: PLAIN_CLAIMS,
        demands_audit: false,
        max_idle: None,
        usual_absolute: None,
        locales: &[],
        test_amr: &[],
        // A plain provider's values mean what its operator says they mean: `acr` in YAML.
        acr: &[],
    },
];

impl Profile {
    /// The profile of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<&'static Self> {
        PROFILES.iter().find(|profile| profile.name == name)
    }

    /// The profile's own `acr` table.
    #[must_use]
    pub fn acr_table(&self) -> AcrTable {
        AcrTable::new(
            self.acr
                .iter()
                .map(|&(acr, level, framework, requestable)| AcrRow {
                    acr: acr.to_owned(),
                    level,
                    framework,
                    requestable,
                })
                .collect(),
        )
    }
}

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
    /// A CA file to trust for calls to the provider instead of the system's roots.
    pub ca_file: Option<PathBuf>,
    /// Whether its endpoints may be plain http on loopback. Never in production.
    pub insecure_http: bool,
}

impl ProviderSettings {
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
            par: Par::WhenOffered,
            scopes: profile.scopes.iter().map(|scope| (*scope).to_owned()).collect(),
            algorithms: profile.algorithms.to_vec(),
            acr: profile.acr_table(),
            locale: None,
            ca_file: None,
            insecure_http: false,
        }
    }
}

//! The profiles: what is known of a kind of provider before an operator names one (dossier 1 and 2.7).
//!
//! To add a provider, add an entry to [`PROFILES`], with a token of it, and the headers it gives, in
//! `identity/verify/tests/tokens/`. Nothing else in the program knows its name.

use std::time::Duration;

use super::Par;
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
    /// Where its metadata is, after the issuer (OpenID Connect Discovery 1.0, 4.1; RFC 8414, 3).
    pub metadata_path: &'static str,
    /// How a client may authenticate there (dossier 2.5).
    pub client_auth: &'static [ClientAuthMethod],
    /// Whether authorization requests are pushed when the operator does not say.
    pub par: Par,
    /// Scopes asked for when the operator names none.
    pub scopes: &'static [&'static str],
    /// Signature algorithms accepted when the operator names none.
    pub algorithms: &'static [Algorithm],
    /// How a token says who it is.
    pub claims: Claims,
    /// What it can do beyond OpenID Connect Core.
    pub capabilities: Capabilities,
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
    acr: &'static [Acr],
}

/// How a client proves who it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientAuthMethod {
    /// RFC 7523.
    PrivateKeyJwt,
    /// RFC 6749, 2.3.1: HTTP Basic.
    ClientSecretBasic,
    /// RFC 6749, 2.3.1: in the form.
    ClientSecretPost,
}

impl ClientAuthMethod {
    /// The registered name (OpenID Connect Core 1.0, 9).
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::PrivateKeyJwt => "private_key_jwt",
            Self::ClientSecretBasic => "client_secret_basic",
            Self::ClientSecretPost => "client_secret_post",
        }
    }
}

/// What a provider can do beyond OpenID Connect Core. Metadata that says more is believed; what stands here
/// is demanded.
#[derive(Clone, Copy, Debug)]
pub struct Capabilities {
    /// Whether people log in there. Maskinporten vouches for machines alone.
    pub people: bool,
    /// Whether every authorization response carries `iss` (RFC 9207), whatever the metadata says.
    pub iss_in_response: bool,
    /// Whether ID tokens carry `sid` once a logout channel is registered (dossier 0, fact 12).
    pub sid: bool,
    /// Whether it ends our sessions through the browser (OpenID Connect Front-Channel Logout 1.0).
    pub front_channel_logout: bool,
    /// Whether it ends our sessions by calling us (OpenID Connect Back-Channel Logout 1.0).
    pub back_channel_logout: bool,
    /// Whether what the ID token leaves out may come from userinfo (OpenID Connect Core 1.0, 5.3.2).
    pub userinfo: bool,
    /// Whether a login may be on behalf of a registered customer of ours (dossier 2.10).
    pub onbehalfof: bool,
    /// The types of `authorization_details` that it knows (RFC 9396).
    pub authorization_details: &'static [&'static str],
}

/// What OpenID Connect Core alone promises.
const CORE: Capabilities = Capabilities {
    people: true,
    iss_in_response: false,
    sid: false,
    front_channel_logout: false,
    back_channel_logout: false,
    userinfo: false,
    onbehalfof: false,
    authorization_details: &[],
};

/// The names of the claims that say who it is, newest spelling first. If two that are present
/// disagree, the login is refused (dossier 1.2.5).
#[derive(Debug)]
pub struct Claims {
    /// The level: each that is there must be worth the same.
    pub acr: &'static [&'static str],
    /// How the person authenticated, if not in `amr`.
    pub amr: &'static [&'static str],
    /// National identity number: fødselsnummer or D-number.
    pub pid: &'static [&'static str],
    /// Claims that must have these values for the number to be a Norwegian one.
    pub pid_only_if: &'static [(&'static str, &'static str)],
    /// Helper number.
    pub helper_number: &'static [&'static str],
    /// eIDAS person identifier, `CC/NO/…`.
    pub eidas_identifier: &'static [&'static str],
    /// The country of the eID, where it is said beside the identifier: must agree with it.
    pub eidas_country: &'static [&'static str],
    /// Given name.
    pub given_name: &'static [&'static str],
    /// Family name.
    pub family_name: &'static [&'static str],
    /// Date of birth, `YYYY-MM-DD`.
    pub birthdate: &'static [&'static str],
    /// E-mail address.
    pub email: &'static [&'static str],
    /// Telephone number.
    pub mobile: &'static [&'static str],
    /// Claims that are `true` in the tokens of test identities.
    pub test: &'static [&'static str],
}

/// OpenID Connect Core 1.0, 5.1; a plain provider asserts no national number.
const PLAIN_CLAIMS: Claims = Claims {
    acr: &["acr"],
    amr: &[],
    pid: &[],
    pid_only_if: &[],
    helper_number: &[],
    eidas_identifier: &[],
    eidas_country: &[],
    given_name: &["given_name"],
    family_name: &["family_name"],
    birthdate: &["birthdate"],
    email: &["email"],
    mobile: &[],
    test: &[],
};

/// Dossier 1.2.5: every spelling seen since the service began.
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
    eidas_country: &["eidas_citizen_country_code"],
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
    ..PLAIN_CLAIMS
};

/// A row of a profile's table.
#[derive(Debug)]
struct Acr {
    value: &'static str,
    level: Option<Level>,
    framework: Framework,
    asked: bool,
    asserted: bool,
    by_operator: bool,
}

/// A value of tokens that is worth a level.
const fn acr(value: &'static str, level: Level, framework: Framework) -> Acr {
    Acr { value, level: Some(level), framework, asked: false, asserted: true, by_operator: false }
}

/// A value of tokens that is worth none.
const fn no_level(value: &'static str, framework: Framework) -> Acr {
    Acr { value, level: None, framework, asked: false, asserted: true, by_operator: false }
}

impl Acr {
    /// It may be asked for, too.
    const fn asked(self) -> Self {
        Self { asked: true, ..self }
    }

    /// It is asked for and never asserted.
    const fn asked_only(self) -> Self {
        Self { asked: true, asserted: false, ..self }
    }

    /// Its worth is somebody else's promise, which an operator may believe.
    const fn by_operator(self) -> Self {
        Self { by_operator: true, ..self }
    }
}

// RS256 today; elliptic curves are announced (dossier 0, fact 20).
const DIGDIR_ALGORITHMS: &[Algorithm] =
    &[Algorithm::Rs256, Algorithm::Es256, Algorithm::Ps256, Algorithm::EdDsa];
const ANY_CLIENT_AUTH: &[ClientAuthMethod] = &[
    ClientAuthMethod::PrivateKeyJwt,
    ClientAuthMethod::ClientSecretBasic,
    ClientAuthMethod::ClientSecretPost,
];
const DISCOVERY: &str = "/.well-known/openid-configuration";
const HALF_AN_HOUR: Duration = Duration::from_secs(30 * 60);
const TWO_HOURS: Duration = Duration::from_secs(120 * 60);
const LOCALES: &[&str] = &["nb", "nn", "en", "se"];
const TEST_AMR: &[&str] = &["TestID", "TestId"];

/// The profiles. The first is the default of the examples.
pub const PROFILES: &[Profile] = &[
    // Dossier 1.1, 1.2, 1.7, 1.13.
    Profile {
        name: "idporten",
        production_issuer: Some("https://idporten.no"),
        test_issuer: Some("https://test.idporten.no"),
        metadata_path: DISCOVERY,
        client_auth: ANY_CLIENT_AUTH,
        par: Par::WhenOffered,
        scopes: &["openid", "profile"],
        algorithms: DIGDIR_ALGORITHMS,
        claims: IDPORTEN_CLAIMS,
        capabilities: Capabilities {
            iss_in_response: true,
            sid: true,
            front_channel_logout: true,
            back_channel_logout: true,
            onbehalfof: true,
            authorization_details: &["idporten:fullmakt"],
            ..CORE
        },
        demands_audit: true,
        max_idle: Some(HALF_AN_HOUR),
        usual_absolute: Some(TWO_HOURS),
        locales: LOCALES,
        test_amr: TEST_AMR,
        acr: &[
            acr("idporten-loa-high", Level::High, Framework::National).asked(),
            acr("idporten-loa-substantial", Level::Substantial, Framework::National).asked(),
            acr("idporten-loa-substantial-limited", Level::Low, Framework::National),
            acr("idporten-loa-low", Level::Low, Framework::National),
            acr("Level4", Level::High, Framework::National),
            acr("Level3", Level::Substantial, Framework::National),
            acr("eidas-loa-high", Level::High, Framework::Eidas).asked(),
            acr("eidas-loa-substantial", Level::Substantial, Framework::Eidas).asked(),
            acr("eidas-loa-low", Level::Low, Framework::Eidas),
            no_level("selfregistered-email", Framework::Email).asked(),
        ],
    },
    // Dossier 1.5: employees, with an issuer, a single sign-on and levels of its own.
    Profile {
        name: "ansattporten",
        production_issuer: Some("https://ansattporten.no"),
        test_issuer: Some("https://test.ansattporten.no"),
        metadata_path: DISCOVERY,
        client_auth: ANY_CLIENT_AUTH,
        par: Par::WhenOffered,
        scopes: &["openid", "profile"],
        algorithms: DIGDIR_ALGORITHMS,
        claims: Claims { pid: &["pid"], ..PLAIN_CLAIMS },
        capabilities: Capabilities {
            iss_in_response: true,
            sid: true,
            front_channel_logout: true,
            back_channel_logout: true,
            authorization_details: &[
                "ansattporten:altinn:service",
                "ansattporten:altinn:resource",
                "ansattporten:orgno",
            ],
            ..CORE
        },
        demands_audit: true,
        max_idle: Some(HALF_AN_HOUR),
        usual_absolute: Some(TWO_HOURS),
        locales: LOCALES,
        test_amr: TEST_AMR,
        // Two generations of names (dossier 7, 11). The first one is asked for, unless a route's `acr_values` say otherwise.
        acr: &[
            acr("high", Level::High, Framework::Employee).asked(),
            acr("substantial", Level::Substantial, Framework::Employee).asked(),
            acr("low", Level::Low, Framework::Employee).asked(),
            acr("idporten-loa-high", Level::High, Framework::Employee).asked(),
            acr("idporten-loa-substantial", Level::Substantial, Framework::Employee).asked(),
            no_level("entraid", Framework::Employee).asked().by_operator(),
        ],
    },
    // Dossier 1.9: ID-porten by another name; the issuer is on the customer's own domain.
    Profile {
        name: "signicat",
        production_issuer: None,
        test_issuer: None,
        metadata_path: DISCOVERY,
        client_auth: ANY_CLIENT_AUTH,
        par: Par::WhenOffered,
        scopes: &["openid", "profile", "nin", "idp-id"],
        algorithms: DIGDIR_ALGORITHMS,
        claims: Claims {
            acr: &["idporten_loa", "acr"],
            amr: &["idporten_idp"],
            pid: &["nin"],
            pid_only_if: &[("nin_type", "BIRTH"), ("nin_issuing_country", "NO")],
            test: &["sandbox"],
            ..PLAIN_CLAIMS
        },
        capabilities: Capabilities { userinfo: true, ..CORE },
        demands_audit: true,
        max_idle: Some(HALF_AN_HOUR),
        usual_absolute: Some(TWO_HOURS),
        locales: LOCALES,
        test_amr: TEST_AMR,
        acr: &[
            acr("loa:high", Level::High, Framework::National).asked_only(),
            acr("loa:substantial", Level::Substantial, Framework::National).asked_only(),
            acr("high", Level::High, Framework::National),
            acr("substantial", Level::Substantial, Framework::National),
            acr("idporten-loa-high", Level::High, Framework::National),
            acr("idporten-loa-substantial", Level::Substantial, Framework::National),
            acr("idporten-loa-substantial-limited", Level::Low, Framework::National),
        ],
    },
    // Dossier 1.4: switched off since 2022; people without a Norwegian number, weakly proofed.
    Profile {
        name: "idporten-utland",
        production_issuer: None,
        test_issuer: Some("https://idporten-utland-test.digdir.eon.no/c2id"),
        metadata_path: DISCOVERY,
        client_auth: ANY_CLIENT_AUTH,
        par: Par::Never,
        scopes: &["openid", "profile", "idporten:utland:fhnummer"],
        algorithms: DIGDIR_ALGORITHMS,
        claims: Claims { helper_number: &["fhnummer"], mobile: &["mobile"], ..PLAIN_CLAIMS },
        capabilities: Capabilities { sid: true, front_channel_logout: true, ..CORE },
        demands_audit: true,
        max_idle: Some(HALF_AN_HOUR),
        usual_absolute: Some(TWO_HOURS),
        locales: LOCALES,
        test_amr: TEST_AMR,
        acr: &[
            acr("low", Level::Low, Framework::Helper).asked(),
            acr("Level1", Level::Low, Framework::Helper),
        ],
    },
    // Dossier 1.6: machines. Its issuer ends in a slash; nobody logs in there.
    Profile {
        name: "maskinporten",
        production_issuer: Some("https://maskinporten.no/"),
        test_issuer: Some("https://test.maskinporten.no/"),
        metadata_path: "/.well-known/oauth-authorization-server",
        client_auth: &[],
        par: Par::Never,
        scopes: &[],
        algorithms: &[
            Algorithm::Rs256,
            Algorithm::Rs384,
            Algorithm::Rs512,
            Algorithm::Es256,
            Algorithm::EdDsa,
        ],
        // A `pid` in a machine's token is nobody's login (dossier 0, fact 18): no claim names a person.
        claims: Claims {
            acr: &[],
            given_name: &[],
            family_name: &[],
            birthdate: &[],
            email: &[],
            ..PLAIN_CLAIMS
        },
        capabilities: Capabilities { people: false, ..CORE },
        demands_audit: false,
        max_idle: None,
        usual_absolute: None,
        locales: &[],
        test_amr: &[],
        acr: &[],
    },
    Profile {
        name: "oidc",
        production_issuer: None,
        test_issuer: None,
        metadata_path: DISCOVERY,
        client_auth: ANY_CLIENT_AUTH,
        par: Par::WhenOffered,
        scopes: &["openid", "profile"],
        algorithms: DIGDIR_ALGORITHMS,
        claims: PLAIN_CLAIMS,
        capabilities: CORE,
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
        let row = |acr: &Acr| AcrRow {
            acr: acr.value.to_owned(),
            level: acr.level,
            framework: acr.framework,
            requestable: acr.asked,
            asserted: acr.asserted,
        };
        AcrTable::new(self.acr.iter().map(row).collect())
    }

    /// Whether an operator may say what this value is worth: the profile cannot, since an employer promises it.
    #[must_use]
    pub fn leaves_to_operator(&self, acr: &str) -> bool {
        self.acr.iter().any(|known| known.value == acr && known.by_operator)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn issuers_are_as_in_tokens_and_only_maskinportens_end_in_a_slash() {
        for profile in PROFILES {
            for issuer in [profile.production_issuer, profile.test_issuer].into_iter().flatten() {
                assert!(issuer.starts_with("https://"), "{issuer}");
                assert_eq!(issuer.ends_with('/'), profile.name == "maskinporten", "{issuer}");
            }
        }
    }

    #[test]
    fn a_value_is_worth_something_at_its_own_issuer_alone() {
        let level = |profile: &str, acr: &str| {
            Profile::named(profile).unwrap().acr_table().rank(acr).map(|row| (row.level, row.framework))
        };
        let high = |framework| Some((Some(Level::High), framework));
        assert_eq!(level("ansattporten", "high"), high(Framework::Employee));
        assert_eq!(level("ansattporten", "idporten-loa-high"), high(Framework::Employee));
        assert_eq!(level("signicat", "high"), high(Framework::National));
        assert_eq!(level("idporten", "high"), None);
        assert_eq!(level("oidc", "high"), None);
        assert_eq!(level("idporten-utland", "high"), None);
        assert_eq!(level("idporten-utland", "low"), Some((Some(Level::Low), Framework::Helper)));
        assert_eq!(level("ansattporten", "entraid"), Some((None, Framework::Employee)));
        // What is only asked for is no level in a token.
        assert_eq!(level("signicat", "loa:high"), None);
        let ansattporten = Profile::named("ansattporten").unwrap().acr_table();
        let asked = |level| ansattporten.request(Framework::Employee, Some(level));
        assert_eq!((asked(Level::Substantial), asked(Level::High)), (Some("substantial"), Some("high")));
    }

    #[test]
    fn no_claim_of_a_machines_token_names_a_person() {
        let maskinporten = Profile::named("maskinporten").unwrap();
        assert!(!maskinporten.capabilities.people && maskinporten.claims.pid.is_empty());
    }
}

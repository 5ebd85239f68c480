//! The names under which older products told apps who is there, so that an app that was written for one of them
//! needs no change. Outbound only.
//!
//! **Invariant:** whatever a preset names is taken away from every request and every reply, on every route, in use
//! or not (`threats.md` ID-1 to ID-3): see [`every_name`]. `Authorization` alone, which apps use for themselves,
//! is taken away only where a route's preset writes it.
//! **Invariant:** a value that is too long is never cut: the request fails. A number without its end is another's.

use super::Fact;

/// The longest value of a preset's header, in bytes. Apache takes 8190 for a line of a header
/// (`LimitRequestFieldSize`), Tomcat 8192 for the whole of it (`maxHttpHeaderSize`).
pub const LONGEST: usize = 4_096;

/// A product, and how it told.
#[derive(Debug, PartialEq, Eq)]
pub struct Preset {
    /// Its name in the file.
    pub name: &'static str,
    /// Which fact stood under which name. The case is the product's.
    pub names: &'static [(Fact, &'static str)],
    /// How its values were written.
    pub style: Style,
    /// Whether the app got a token as `Authorization: Bearer` (RFC 6750, 2.1). Here it is the assertion.
    pub bearer: bool,
}

/// How a header's value is written, beyond its encoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Style {
    /// Between several values of one fact.
    pub separator: char,
    /// Whether a fact that is missing is an empty header; otherwise there is none (ID-6).
    pub empty_when_missing: bool,
    /// Whether times are written as RFC 3339 has them; otherwise in Unix seconds.
    pub written_times: bool,
    /// The most bytes of a value.
    pub longest: usize,
}

impl Style {
    /// The contract's own (`design.md` 3).
    pub const CONTRACT: Self =
        Self { separator: ',', empty_when_missing: false, written_times: false, longest: usize::MAX };
}

/// CA (Netegrity, Broadcom) SiteMinder, web agent defaults: "Default HTTP Headers Used by the Product"
/// (techdocs.broadcom.com, SiteMinder 12.8, Web Agent Configuration). The agent sends its headers whether or not
/// there is a value; several values stand apart by `^`.
pub const SITEMINDER: Preset = Preset {
    name: "siteminder",
    names: &[
        (Fact::Fnr, "SM_USER"),
        (Fact::Subject, "SM_UNIVERSALID"),
        (Fact::Session, "SM_SERVERSESSIONID"),
    ],
    style: Style { separator: '^', empty_when_missing: true, ..PRODUCT },
    bearer: false,
};

/// The same without underscores, which the agent sends with `LegacyVariables=no`: for servers that drop names with
/// underscores.
pub const SITEMINDER_PLAIN: Preset = Preset {
    name: "siteminder-plain",
    names: &[(Fact::Fnr, "SMUSER"), (Fact::Subject, "SMUNIVERSALID"), (Fact::Session, "SMSERVERSESSIONID")],
    style: SITEMINDER.style,
    bearer: false,
};

/// OpenAM and its web agents: the user as `REMOTE_USER`; profile attributes under names that each installation
/// chose, of which the documentation's own example is `CUSTOM-User-Name`
/// (`com.sun.identity.agents.config.profile.attribute.mapping`: several values apart by `|`, and "if the profile
/// attribute name does not exist, the agent does not create the HTTP header").
pub const OPENAM: Preset = Preset {
    name: "openam",
    names: &[(Fact::Fnr, "REMOTE_USER"), (Fact::Subject, "CUSTOM-User-Name")],
    style: Style { separator: '|', ..PRODUCT },
    bearer: false,
};

/// Shibboleth's service provider with `ShibUseHeaders`: its own names (shibboleth.atlassian.net, SP3,
/// AttributeAccess: several values apart by `;`, one within a value as `\;`; `Shib-Authentication-Instant` an ISO
/// time), and the attributes by their usual ids in `attribute-map.xml`; `norEduPersonNIN` is the number (norEdu*
/// object class specification).
pub const SHIBBOLETH: Preset = Preset {
    name: "shibboleth",
    names: &[
        (Fact::Fnr, "norEduPersonNIN"),
        (Fact::Acr, "Shib-AuthnContext-Class"),
        (Fact::AuthTime, "Shib-Authentication-Instant"),
        (Fact::Subject, "persistent-id"),
        (Fact::Provider, "Shib-Identity-Provider"),
        (Fact::Session, "Shib-Session-ID"),
        (Fact::GivenName, "givenName"),
        (Fact::FamilyName, "sn"),
        (Fact::Email, "mail"),
    ],
    style: Style { separator: ';', written_times: true, ..PRODUCT },
    bearer: false,
};

/// Apache's mod_auth_openidc with `OIDCPassClaimsAs headers`: each claim behind `OIDCClaimPrefix`, `OIDC_CLAIM_` by
/// default, several values apart by `OIDCClaimDelimiter`, `,` by default (auth_openidc.conf). The claims are
/// ID-porten's; `pid` is the number.
pub const MOD_AUTH_OPENIDC: Preset = Preset {
    name: "mod_auth_openidc",
    names: &[
        (Fact::Fnr, "OIDC_CLAIM_pid"),
        (Fact::Acr, "OIDC_CLAIM_acr"),
        (Fact::Amr, "OIDC_CLAIM_amr"),
        (Fact::AuthTime, "OIDC_CLAIM_auth_time"),
        (Fact::Subject, "OIDC_CLAIM_sub"),
        (Fact::GivenName, "OIDC_CLAIM_given_name"),
        (Fact::FamilyName, "OIDC_CLAIM_family_name"),
        (Fact::Birthdate, "OIDC_CLAIM_birthdate"),
        (Fact::Email, "OIDC_CLAIM_email"),
        (Fact::Mobile, "OIDC_CLAIM_phone_number"),
    ],
    style: PRODUCT,
    bearer: false,
};

/// oauth2-proxy with `pass-user-headers` (pkg/apis/options, `getPassUserHeaders`): the user is `sub`.
pub const OAUTH2_PROXY: Preset = Preset {
    name: "oauth2-proxy",
    names: &[
        (Fact::Fnr, "X-Forwarded-Preferred-Username"),
        (Fact::Subject, "X-Forwarded-User"),
        (Fact::Email, "X-Forwarded-Email"),
    ],
    style: PRODUCT,
    bearer: false,
};

/// oauth2-proxy behind nginx's `auth_request`, with `set-xauthrequest`, under the names by which it answers.
pub const AUTH_REQUEST: Preset = Preset {
    name: "auth-request",
    names: &[
        (Fact::Fnr, "X-Auth-Request-Preferred-Username"),
        (Fact::Subject, "X-Auth-Request-User"),
        (Fact::Email, "X-Auth-Request-Email"),
    ],
    style: PRODUCT,
    bearer: false,
};

/// NAV's Wonderwall: nothing but `Authorization: Bearer` (README, Usage: "validate the `Authorization` header, and
/// any tokens within"). There it was the provider's access token; here it is the assertion, of another issuer.
pub const WONDERWALL: Preset = Preset { name: "wonderwall", names: &[], style: PRODUCT, bearer: true };

/// Every preset.
pub const PRESETS: [&Preset; 8] = [
    &SITEMINDER,
    &SITEMINDER_PLAIN,
    &OPENAM,
    &SHIBBOLETH,
    &MOD_AUTH_OPENIDC,
    &OAUTH2_PROXY,
    &AUTH_REQUEST,
    &WONDERWALL,
];

const PRODUCT: Style = Style { longest: LONGEST, ..Style::CONTRACT };

impl Preset {
    /// The one of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<&'static Self> {
        PRESETS.into_iter().find(|preset| preset.name == name)
    }

    /// Under which name a fact stood.
    #[must_use]
    pub fn name_of(&self, fact: Fact) -> Option<&'static str> {
        self.names.iter().find(|(known, _)| *known == fact).map(|(_, name)| *name)
    }

    /// Whether this is one of its names, in any case.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.names.iter().any(|(_, known)| known.eq_ignore_ascii_case(name))
    }
}

/// Names that the products had besides those that are sent: an app may still read them.
const UNSENT: &[&str] =
    &["REMOTEUSER", "X-Forwarded-Groups", "X-Forwarded-Access-Token", "X-Wonderwall-Id-Token", "eppn"];

/// Every name of every preset. What begins as `sm-`, `shib-`, `oidc-` and the like is taken away as well
/// ([`strip`](super::strip)).
pub fn every_name() -> impl Iterator<Item = &'static str> {
    let sent = PRESETS.into_iter().flat_map(|preset| preset.names.iter().map(|(_, name)| *name));
    sent.chain(UNSENT.iter().copied())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;
    use crate::forward::strip::Reserved;
    use crate::forward::{Encoding, HeaderChange, HeaderPlan, plain};
    use crate::identity::VerifiedIdentity;
    use crate::identity::resume::tests::{european, identity};
    use crate::key::{Hashing, KeyId, MacKey, Ring};
    use crate::revocation::Tagger;
    use crate::session::{Session, SessionId};

    const NOW: Timestamp = Timestamp::from_seconds(1_000);

    const SUBJECT: &str = "mX0c2b1m0J3w6Zf4yV9sR8kQ7hL5tN1pD2aB3cE4fG5";

    fn ring(secret: u8) -> Ring<MacKey> {
        Ring::single(KeyId([secret; 4]), Timestamp::from_seconds(0), MacKey::new(&[secret; 32]))
    }

    fn session(who: VerifiedIdentity) -> Session {
        let (ring, id) = (ring(1), SessionId::random());
        Session::begin(id, Tagger::active(&ring, NOW).tags(&id, "p", "i", None, "s"), who, NOW)
    }

    /// What an app gets, the session's handle as `…`.
    fn told(plan: &HeaderPlan, who: VerifiedIdentity) -> Vec<String> {
        let (session, ring) = (session(who), ring(2));
        let handle = plain::handle(&session, plan.audience(), &ring);
        let headers = plain::headers(plan, &session, Hashing { handles: &ring, lasting: None }).unwrap();
        let line = |(name, value): (&_, http::HeaderValue)| {
            format!("{name}: {}", String::from_utf8_lossy(value.as_bytes())).replace(&handle, "…")
        };
        headers.into_iter().map(line).collect()
    }

    fn plan(preset: &Preset, changes: &[(Fact, HeaderChange)]) -> HeaderPlan {
        HeaderPlan::of_preset("app".into(), preset, Encoding::default(), changes)
    }

    #[test]
    fn each_product_told_of_a_person_in_its_own_words() {
        let fnr = "17838534171";
        for (preset, expected) in [
            (
                "siteminder",
                vec![
                    format!("SM_USER: {fnr}"),
                    format!("SM_UNIVERSALID: {SUBJECT}"),
                    "SM_SERVERSESSIONID: …".into(),
                ],
            ),
            (
                "siteminder-plain",
                vec![
                    format!("SMUSER: {fnr}"),
                    format!("SMUNIVERSALID: {SUBJECT}"),
                    "SMSERVERSESSIONID: …".into(),
                ],
            ),
            ("openam", vec![format!("REMOTE_USER: {fnr}"), format!("CUSTOM-User-Name: {SUBJECT}")]),
            (
                "shibboleth",
                vec![
                    format!("norEduPersonNIN: {fnr}"),
                    "Shib-AuthnContext-Class: idporten-loa-high".into(),
                    "Shib-Authentication-Instant: 2026-09-21T14:13:20Z".into(),
                    format!("persistent-id: {SUBJECT}"),
                    "Shib-Identity-Provider: idporten".into(),
                    "Shib-Session-ID: …".into(),
                    "givenName: Kari Anne".into(),
                    "sn: %C3%85s 100%25".into(),
                ],
            ),
            (
                "mod_auth_openidc",
                vec![
                    format!("OIDC_CLAIM_pid: {fnr}"),
                    "OIDC_CLAIM_acr: idporten-loa-high".into(),
                    "OIDC_CLAIM_amr: BankID".into(),
                    "OIDC_CLAIM_auth_time: 1790000000".into(),
                    format!("OIDC_CLAIM_sub: {SUBJECT}"),
                    "OIDC_CLAIM_given_name: Kari Anne".into(),
                    "OIDC_CLAIM_family_name: %C3%85s 100%25".into(),
                ],
            ),
            (
                "oauth2-proxy",
                vec![
                    format!("X-Forwarded-Preferred-Username: {fnr}"),
                    format!("X-Forwarded-User: {SUBJECT}"),
                ],
            ),
            (
                "auth-request",
                vec![
                    format!("X-Auth-Request-Preferred-Username: {fnr}"),
                    format!("X-Auth-Request-User: {SUBJECT}"),
                ],
            ),
            ("wonderwall", vec![]),
        ] {
            let plan = plan(Preset::named(preset).unwrap(), &[]);
            assert_eq!(told(&plan, identity(1_790_000_000)), expected, "{preset}");
            assert_eq!(plan.is_bearer(), preset == "wonderwall");
        }
        assert_eq!(PRESETS.len(), 8);
    }

    #[test]
    fn who_has_no_number_has_none_under_any_name() {
        for preset in PRESETS {
            let plan = plan(preset, &[]);
            let number = plan.headers().iter().find(|header| header.fact == Fact::Fnr);
            let Some(number) = number else { continue };
            let lines = told(&plan, european());
            let line = lines.iter().find(|line| line.starts_with(&*number.name));
            let empty = preset.style.empty_when_missing.then(|| format!("{}: ", number.name));
            assert_eq!(line, empty.as_ref(), "{}", preset.name);
        }
    }

    #[test]
    fn a_route_gives_a_products_name_to_another_fact_and_adds_the_contracts_own() {
        let name = |name: &'static str| Some(http::HeaderName::from_static(name));
        let add = |name| HeaderChange::Use { name, encoding: Encoding::default() };
        let changes = [
            (Fact::Fnr, HeaderChange::Drop),
            (Fact::Subject, HeaderChange::Drop),
            (Fact::EidasIdentifier, add(name("sm_user"))),
            (Fact::Loa, add(None)),
        ];
        let plan = plan(&SITEMINDER, &changes);
        assert_eq!(told(&plan, european())[0], "sm_user: SE/NO/%C3%A5+1");
        assert_eq!(told(&plan, identity(0)), ["sm_user: ", "X-Identity-Loa: high", "SM_SERVERSESSIONID: …"]);
        // The assertion tells what it would tell without a preset.
        let facts = [Fact::Kind, Fact::Loa, Fact::Session, Fact::GivenName, Fact::EidasIdentifier];
        assert!(facts.iter().all(|fact| plan.asserted().contains(fact)));
        let left_out = [Fact::Fnr, Fact::Subject, Fact::Pseudonym];
        assert!(!left_out.iter().any(|fact| plan.asserted().contains(fact)));
    }

    #[test]
    fn what_is_too_long_is_not_cut() {
        let style = Style { longest: 10, ..PRODUCT };
        let preset = Preset { name: "short", names: SITEMINDER.names, style, bearer: false };
        let short =
            plan(&preset, &[(Fact::Subject, HeaderChange::Drop), (Fact::Session, HeaderChange::Drop)]);
        let refused =
            plain::headers(&short, &session(identity(0)), Hashing { handles: &ring(2), lasting: None })
                .unwrap_err();
        assert_eq!(refused, plain::Unwritable(Fact::Fnr), "eleven digits");
    }

    #[test]
    fn no_client_and_no_app_says_what_a_product_said_in_any_spelling() {
        let reserved = Reserved::new([]);
        for name in every_name().chain([
            "SM_AUTHTYPE",
            "OIDC_access_token",
            "Shib-Cookie-Name",
            "X-Auth-Request-Groups",
        ]) {
            let spellings = [
                name.to_owned(),
                name.to_ascii_lowercase(),
                name.to_ascii_uppercase(),
                name.replace('_', "-"),
                name.replace('-', "_"),
                name.replace(['-', '_'], "."),
            ];
            for spelling in spellings {
                assert!(reserved.takes_away(&spelling), "{spelling}");
            }
        }
        for name in every_name() {
            assert!(reserved.takes_away_from_reply(name), "{name}");
        }
        for name in
            ["authorization", "smart", "oidc", "shibboleth", "x-authorization", "mailto", "snow", "sms-code"]
        {
            assert!(!reserved.takes_away(name), "{name}");
        }
    }
}

//! ID-porten: its metadata (dossier 1.1.1), its levels (2.7) and its claims (2.6, 1.2.3).

use serde_json::{Map, Value, json};

use super::{Profile, Told};
use crate::person::{Behaviour, Eid, Person, TEST_ID};
use crate::sso::Authentication;
use crate::world::EidasClaimNames;

/// Beside those of a login: an API's.
const SCOPES: [&str; 1] = ["portvakt:api"];

/// The issuer at `/idporten`.
pub(crate) fn profile() -> Profile {
    Profile {
        name: "idporten",
        metadata,
        check_acr_values,
        satisfied,
        reached,
        test_level,
        identity,
        scopes: &SCOPES,
        demands_state_and_nonce: false,
        in_userinfo: false,
    }
}

/// The snapshot of the test environment's document, on this issuer; back-channel logout is newer than the snapshot.
fn metadata(issuer: &str) -> Value {
    metadata_with(issuer, &LEVELS.map(|(acr, ..)| acr))
}

/// The document that Digdir's issuers share.
pub(super) fn metadata_with(issuer: &str, acr_values: &[&str]) -> Value {
    json!({
        "issuer": issuer,
        "authorization_endpoint": format!("{issuer}/authorize"),
        "pushed_authorization_request_endpoint": format!("{issuer}/par"),
        "token_endpoint": format!("{issuer}/token"),
        "userinfo_endpoint": format!("{issuer}/userinfo"),
        "introspection_endpoint": format!("{issuer}/token/introspect"),
        "revocation_endpoint": format!("{issuer}/token/revoke"),
        "end_session_endpoint": format!("{issuer}/logout"),
        "jwks_uri": format!("{issuer}/jwks.json"),
        "response_types_supported": ["code"],
        "response_modes_supported": ["query", "form_post", "query.jwt", "form_post.jwt"],
        "grant_types_supported": ["authorization_code", "refresh_token"],
        "code_challenge_methods_supported": ["S256"],
        "subject_types_supported": ["public", "pairwise"],
        "scopes_supported": ["openid", "profile", SCOPES[0]],
        "acr_values_supported": acr_values,
        "token_endpoint_auth_methods_supported":
            ["client_secret_basic", "client_secret_post", "none", "private_key_jwt"],
        "token_endpoint_auth_signing_alg_values_supported": ["RS256"],
        "id_token_signing_alg_values_supported": ["RS256"],
        "authorization_signing_alg_values_supported": ["RS256"],
        "prompt_values_supported": ["consent", "login", "none"],
        "ui_locales_supported": ["en", "nb", "nn", "se"],
        "display_values_supported": ["page"],
        "request_parameter_supported": false,
        "request_uri_parameter_supported": false,
        "claims_parameter_supported": false,
        "authorization_response_iss_parameter_supported": true,
        "frontchannel_logout_supported": true,
        "frontchannel_logout_session_supported": true,
        "backchannel_logout_supported": true,
        "backchannel_logout_session_supported": true,
    })
}

/// Families of levels that are asked for and met separately.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Framework {
    National,
    Eidas,
    Email,
}

/// Every level that may be asked for, with framework and rank.
const LEVELS: [(&str, Framework, u8); 7] = [
    ("idporten-loa-low", Framework::National, 1),
    ("idporten-loa-substantial", Framework::National, 2),
    ("idporten-loa-high", Framework::National, 3),
    ("eidas-loa-low", Framework::Eidas, 1),
    ("eidas-loa-substantial", Framework::Eidas, 2),
    ("eidas-loa-high", Framework::Eidas, 3),
    ("selfregistered-email", Framework::Email, 1),
];

fn level(acr: &str) -> Option<(Framework, u8)> {
    LEVELS.iter().find(|(known, ..)| *known == acr).map(|(_, framework, rank)| (*framework, *rank))
}

/// Only known levels, and at most one European (dossier 1.2.2).
fn check_acr_values(acr_values: &[String]) -> Result<(), &'static str> {
    let levels: Option<Vec<_>> = acr_values.iter().map(|acr| level(acr)).collect();
    let levels = levels.ok_or("acr_values has an unknown level")?;
    if levels.iter().filter(|(framework, _)| *framework == Framework::Eidas).count() > 1 {
        return Err("acr_values has more than one eidas level");
    }
    Ok(())
}

/// The lowest rank asked for in this framework. Nothing asked means national, substantial.
fn lowest(acr_values: &[String], framework: Framework) -> Option<u8> {
    if acr_values.is_empty() && framework == Framework::National {
        return Some(2);
    }
    let asked = acr_values.iter().filter_map(|acr| level(acr));
    asked.filter(|(asked, _)| *asked == framework).map(|(_, rank)| rank).min()
}

fn satisfied(acr_values: &[String], acr: &str) -> bool {
    level(acr)
        .is_some_and(|(framework, rank)| lowest(acr_values, framework).is_some_and(|lowest| rank >= lowest))
}

/// The person's own level, which may be higher than asked; the one with bad luck comes back one lower.
fn reached(acr_values: &[String], person: &Person) -> Option<&'static str> {
    if person.behaviour == Behaviour::LevelTooLow {
        return match lowest(acr_values, Framework::National)? {
            3 => Some("idporten-loa-substantial"),
            _ => Some("idporten-loa-low"),
        };
    }
    let acr = person.eid.acr();
    satisfied(acr_values, acr).then_some(acr)
}

/// `pid` only if known; names only from eIDs that tell them (dossier 2.6).
fn identity(who: &Authentication, told: &Told<'_>) -> Map<String, Value> {
    let profile_scope = told.has_scope("profile");
    let person = &who.person;
    let mut claims = Map::new();
    if let Some(fnr) = &person.fnr {
        claims.insert("pid".into(), json!(fnr));
    }
    let mut say = |name: &str, value: &str| claims.insert(name.into(), json!(value));
    match person.eid {
        // Logged in by TestID: the amr says so, and the names stay away.
        _ if who.amr == TEST_ID => {}
        Eid::BankId | Eid::Buypass if profile_scope => {
            say("given_name", person.given_name);
            say("family_name", person.family_name);
        }
        Eid::Eidas { identifier, birthdate, .. } => {
            let [id, given, family, birth] = match told.names {
                EidasClaimNames::New => ["eidas_person_identifier", "given_name", "family_name", "birthdate"],
                EidasClaimNames::Old => {
                    ["eidas_identifier", "eidas_firstname", "eidas_lastname", "eidas_date_of_birth"]
                }
            };
            say(id, identifier);
            say(given, person.given_name);
            say(family, person.family_name);
            say(birth, birthdate);
        }
        Eid::Email(email) => {
            say("email", email);
        }
        Eid::BankId
        | Eid::Buypass
        | Eid::MinId
        | Eid::TestId(_)
        | Eid::Employee { .. }
        | Eid::Abroad { .. } => {}
    }
    if let Some(customer) = told.onbehalfof {
        claims.insert("client_onbehalfof".into(), json!(customer));
    }
    if let (Some(details), Some(fnr)) = (told.details, &person.fnr) {
        claims.insert("authorization_details".into(), power_of_attorney(details, fnr, person));
    }
    claims
}

/// Whoever is asked acts for an invented neighbour (dossier 1.13).
fn power_of_attorney(asked: &Value, fnr: &str, person: &Person) -> Value {
    json!([{
        "type": "idporten:fullmakt",
        "authorizer": {"name": "Per Prøve", "pid": "24929935140"},
        "authorized_representative": {"name": person.name(), "pid": fnr},
        "permissions": [{"owner": "991825827", "role": asked[0]["permission_roles"][0]}],
    }])
}

/// The level named in `login_hint=testid:<fnr>_<acr>`: only national ones exist.
fn test_level(acr: &str) -> Option<&'static str> {
    let mut levels = LEVELS.iter().filter(|(_, framework, _)| *framework == Framework::National);
    levels.find(|(known, ..)| *known == acr).map(|(known, ..)| *known)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::person::everybody;

    fn asked(acr_values: &str) -> Vec<String> {
        acr_values.split_whitespace().map(str::to_owned).collect()
    }

    fn offered(acr_values: &str) -> Vec<String> {
        let acr_values = asked(acr_values);
        everybody().into_iter().filter(|p| reached(&acr_values, p).is_some()).map(|p| p.id).collect()
    }

    #[test]
    fn who_is_offered_follows_the_frameworks_asked_for() {
        let high = ["bankid-high", "bankid-high-2", "d-number", "cancels", "level-too-low"];
        assert_eq!(offered("idporten-loa-high"), high);
        assert!(offered("idporten-loa-substantial").contains(&"minid-substantial".into()));
        assert!(!offered("idporten-loa-substantial").contains(&"eidas-se".into()));
        assert_eq!(
            offered("eidas-loa-substantial"),
            ["eidas-se", "eidas-dk", "eidas-dk-renewed", "eidas-ee", "eidas-el"]
        );
        assert_eq!(offered("eidas-loa-high"), ["eidas-dk", "eidas-dk-renewed", "eidas-ee"]);
        assert_eq!(offered("selfregistered-email"), ["email"]);
    }

    #[test]
    fn the_unlucky_one_comes_back_one_level_lower() {
        let unlucky = everybody().into_iter().find(|p| p.id == "level-too-low").unwrap();
        assert_eq!(reached(&asked("idporten-loa-high"), &unlucky), Some("idporten-loa-substantial"));
        assert_eq!(reached(&asked("idporten-loa-substantial"), &unlucky), Some("idporten-loa-low"));
        assert_eq!(reached(&asked("eidas-loa-high"), &unlucky), None);
    }

    #[test]
    fn a_level_of_one_framework_never_satisfies_another() {
        assert!(satisfied(&asked("idporten-loa-substantial"), "idporten-loa-high"));
        assert!(!satisfied(&asked("idporten-loa-high"), "idporten-loa-substantial"));
        assert!(!satisfied(&asked("idporten-loa-substantial"), "eidas-loa-high"));
        assert!(check_acr_values(&asked("eidas-loa-high eidas-loa-substantial")).is_err());
        assert!(check_acr_values(&asked("Level4")).is_err());
    }
}

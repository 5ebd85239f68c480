//! Signicat in front of ID-porten: other words for the same person, told by userinfo (dossier 1.9).

use serde_json::{Map, Value, json};

use super::{Profile, Told, idporten};
use crate::person::Person;
use crate::sso::Authentication;

/// The issuer at `/signicat`.
pub(crate) fn profile() -> Profile {
    Profile {
        name: "signicat",
        metadata: |issuer| {
            let mut metadata = idporten::metadata_with(issuer, &LEVELS.map(|(asked, ..)| asked));
            metadata["scopes_supported"] = json!([["openid", "profile"].as_slice(), &SCOPES].concat());
            metadata
        },
        check_acr_values: |asked| {
            let known = |acr: &String| LEVELS.iter().any(|(asked, ..)| asked == acr);
            asked.iter().all(known).then_some(()).ok_or("acr_values has an unknown level")
        },
        satisfied,
        reached,
        test_level: |_| None,
        identity,
        scopes: &SCOPES,
        demands_state_and_nonce: false,
        in_userinfo: true,
    }
}

const SCOPES: [&str; 2] = ["nin", "idp-id"];

/// As asked for, as answered, and ID-porten's word; lowest first.
const LEVELS: [(&str, &str, &str); 2] = [
    ("loa:substantial", "substantial", "idporten-loa-substantial"),
    ("loa:high", "high", "idporten-loa-high"),
];

fn satisfied(acr_values: &[String], acr: &str) -> bool {
    let reached = LEVELS.iter().position(|(_, answered, _)| *answered == acr);
    let lowest =
        acr_values.iter().filter_map(|asked| LEVELS.iter().position(|(known, ..)| known == asked)).min();
    reached.is_some() && reached >= lowest
}

fn reached(acr_values: &[String], person: &Person) -> Option<&'static str> {
    let level = LEVELS.iter().find(|(.., of_idporten)| *of_idporten == person.eid.acr())?;
    satisfied(acr_values, level.1).then_some(level.1)
}

fn identity(who: &Authentication, told: &Told<'_>) -> Map<String, Value> {
    let person = &who.person;
    let mut claims = Map::new();
    let mut say = |name: &str, value: &str| claims.insert(name.into(), json!(value));
    say("idp", "idporten");
    say("idporten_loa", person.eid.acr());
    say("idporten_idp", who.amr);
    if let Some(fnr) = person.fnr.as_deref().filter(|_| told.has_scope("nin")) {
        say("nin", fnr);
        say("nin_type", "BIRTH");
        say("nin_issuing_country", "NO");
    }
    if told.has_scope("profile") {
        say("given_name", person.given_name);
        say("family_name", person.family_name);
    }
    claims
}

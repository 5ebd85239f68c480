//! Ansattporten: employees, the organisations that they represent, and both shapes in which it tells of them
//! (dossier 1.5).

use serde_json::{Map, Value, json};

use super::{Profile, Told, idporten};
use crate::person::{Eid, Person};
use crate::sso::Authentication;
use crate::world::EidasClaimNames;

/// The issuer at `/ansattporten`.
pub(crate) fn profile() -> Profile {
    Profile {
        name: "ansattporten",
        metadata: |issuer| idporten::metadata_with(issuer, &LEVELS),
        check_acr_values,
        satisfied,
        reached,
        test_level: |_| None,
        identity,
        scopes: &[],
        demands_state_and_nonce: true,
        in_userinfo: false,
    }
}

/// Lowest first.
const LEVELS: [&str; 4] = ["entraid", "low", "substantial", "high"];

fn rank(acr: &str) -> Option<usize> {
    LEVELS.iter().position(|level| *level == acr)
}

fn check_acr_values(acr_values: &[String]) -> Result<(), &'static str> {
    let known = acr_values.iter().all(|acr| rank(acr).is_some());
    known.then_some(()).ok_or("acr_values has an unknown level")
}

/// The employer's account is enough only where it is asked for.
fn satisfied(acr_values: &[String], acr: &str) -> bool {
    let asked =
        |level: &&String| (level.as_str() == "entraid") == (acr == "entraid") && rank(acr) >= rank(level);
    acr_values.iter().any(|level| asked(&level))
}

fn reached(acr_values: &[String], person: &Person) -> Option<&'static str> {
    let acr = person.eid.acr();
    (person.eid.kind() == "employee" && satisfied(acr_values, acr)).then_some(acr)
}

fn identity(who: &Authentication, told: &Told<'_>) -> Map<String, Value> {
    let person = &who.person;
    let mut claims = Map::new();
    claims.insert("name".into(), json!(person.name()));
    match &person.fnr {
        Some(fnr) => _ = claims.insert("pid".into(), json!(fnr)),
        None => _ = claims.insert("email".into(), json!(format!("{}@example.no", person.id))),
    }
    if let Some(entry) = told.details.and_then(|details| details.get(0)) {
        claims.insert("authorization_details".into(), json!([answer(entry, person, told)]));
    }
    claims
}

/// The new shape goes with new claim names, the old one with old.
fn answer(asked: &Value, person: &Person, told: &Told<'_>) -> Value {
    let Eid::Employee { organisations, .. } = person.eid else { return json!({"type": asked["type"]}) };
    let several = asked["allow_multiple_organizations"] == "true";
    let chosen = |(number, _): &&(&str, &str)| told.organisation.is_none_or(|chosen| chosen == *number);
    let chosen: Vec<_> =
        organisations.iter().filter(chosen).take(if several { usize::MAX } else { 1 }).collect();
    let kind = &asked["type"];
    let id = |number: &str| format!("0192:{number}");
    match (kind.as_str(), told.names) {
        _ if chosen.is_empty() => json!({"type": kind}),
        (Some("ansattporten:orgno"), _) => {
            json!({"type": kind, "orgno:": {"Authority": REGISTER, "ID": id(chosen[0].0)}})
        }
        (_, EidasClaimNames::Old) => {
            let reportee = |(number, name): &&(&str, &str)| json!({"Rights": ["Read"], "Authority": REGISTER, "ID": id(number), "Name": name});
            let reportees: Vec<_> = chosen.iter().map(reportee).collect();
            json!({"type": kind, "resource": asked["resource"], "resource_name": "Prøveressurs", "reportees": reportees})
        }
        (_, EidasClaimNames::New) => {
            let party = |(number, name): &&(&str, &str)| {
                json!({"orgno": {"authority": REGISTER, "ID": id(number)}, "resource": asked["resource"],
                    "actions": ["read"], "name": name, "unit_type": "AS"})
            };
            json!({"type": kind, "authorized_parties": chosen.iter().map(party).collect::<Vec<_>>()})
        }
    }
}

const REGISTER: &str = "iso6523-actorid-upis";

//! idporten-utland: people without a Norwegian number, by a weak eID (dossier 1.4).

use serde_json::{Map, Value, json};

use super::{Profile, Told, idporten};
use crate::person::Eid;
use crate::sso::Authentication;

/// The issuer at `/utland`. It knows no PAR.
pub(crate) fn profile() -> Profile {
    Profile {
        name: "utland",
        metadata: |issuer| {
            let mut metadata = idporten::metadata_with(issuer, &["low"]);
            metadata["scopes_supported"] = json!([["openid", "profile"].as_slice(), &SCOPES].concat());
            if let Some(metadata) = metadata.as_object_mut() {
                metadata.remove("pushed_authorization_request_endpoint");
                metadata.remove("authorization_response_iss_parameter_supported");
            }
            metadata
        },
        check_acr_values: |asked| {
            asked.iter().all(|acr| acr == "low").then_some(()).ok_or("acr_values has an unknown level")
        },
        satisfied: |_, acr| acr == "low",
        reached: |_, person| matches!(person.eid, Eid::Abroad { .. }).then_some("low"),
        test_level: |_| None,
        identity,
        scopes: &SCOPES,
        demands_state_and_nonce: true,
        in_userinfo: false,
    }
}

const SCOPES: [&str; 2] = ["idporten:utland:fhnummer", "idporten:utland:contactinfo"];

fn identity(who: &Authentication, told: &Told<'_>) -> Map<String, Value> {
    let mut claims = Map::new();
    let Eid::Abroad { number, mobile, email } = who.person.eid else { return claims };
    if let Some(number) = number.filter(|_| told.has_scope(SCOPES[0])) {
        claims.insert("fhnummer".into(), json!(number));
    }
    if told.has_scope(SCOPES[1]) {
        claims.insert("mobile".into(), json!(mobile));
        claims.insert("email".into(), json!(email));
    }
    claims
}

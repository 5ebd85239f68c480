//! The tokens of the dossier's section 5 through a whole login: what the provider signs in the browser's journey is what the
//! app is told, header by header (the same files as in `core/src/identity/verify/tests/tokens/`).
//!
//! 5.8 is a machine's (`machines.rs`), 5.10 a logout token (`provider_logout.rs`); who is told by userinfo is in `identities.rs`.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::harness::process::await_that;
use crate::harness::{Settings, World};

/// What the simulator says of its own persons, and a fixture does not.
const OF_PERSONS: [&str; 22] = [
    "pid",
    "name",
    "given_name",
    "family_name",
    "birthdate",
    "email",
    "mobile",
    "fhnummer",
    "authorization_details",
    "client_onbehalfof",
    "eidas_person_identifier",
    "eidas_identifier",
    "eidas_firstname",
    "eidas_lastname",
    "eidas_date_of_birth",
    "nin",
    "nin_type",
    "nin_issuing_country",
    "idp",
    "idporten_loa",
    "idporten_idp",
    "groups",
];

/// What the login itself decides: the gateway checks it against what it asked for.
const OF_THE_LOGIN: [&str; 7] = ["iss", "aud", "nonce", "iat", "exp", "auth_time", "sid"];

fn fixtures() -> Vec<(String, Value)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("core/src/identity/verify/tests/tokens");
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let read = |path: std::path::PathBuf| {
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        (name, serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap())
    };
    files.map(read).filter(|(_, fixture): &(String, Value)| fixture.get("userinfo").is_none()).collect()
}

/// Somebody whom the simulator lets through when it is asked for this kind.
fn person(kind: &str, acr: &str) -> &'static str {
    match (kind, acr) {
        ("national", _) => "bankid-high",
        ("eidas", _) => "eidas-dk",
        ("email", _) => "email",
        ("employee", "entraid") => "employee-entra",
        ("employee", _) => "employee",
        ("helper", _) => "helper",
        other => panic!("nobody is {other:?}"),
    }
}

#[test]
fn each_token_of_the_dossier_gives_the_app_exactly_the_documented_headers() {
    let fixtures = fixtures();
    assert!(fixtures.len() >= 14);
    for (name, fixture) in fixtures {
        let (profile, path) = match fixture["profile"].as_str().unwrap() {
            "idporten" => ("idporten", "idporten"),
            "ansattporten" => ("ansattporten", "ansattporten"),
            "signicat" => ("signicat", "signicat"),
            "idporten-utland" => ("idporten-utland", "utland"),
            other => panic!("{other}"),
        };
        let headers: Vec<(String, String)> = serde_json::from_value(fixture["headers"].clone()).unwrap();
        let told =
            |wanted: &str| headers.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.as_str());
        let (kind, level) = (told("X-Identity-Kind").unwrap(), told("X-Identity-Loa").unwrap_or("none"));
        let asked = fixture.get("asked").map(|asked| format!(", authorization_details: {asked}"));
        let optional = if kind == "employee" && asked.is_some() { ", organisation: optional" } else { "" };
        let route = format!(
            "{{path: '/app/**', access: login, require: {{level: {level}, kinds: [{kind}]{optional}}}{}, upstream: app}}",
            asked.unwrap_or_default()
        );
        let world = World::with(Settings::default().at(profile, path, &[&route]));
        if let Some(customer) = fixture.get("onbehalfof").and_then(Value::as_str) {
            let text = fs::read_to_string(world.configuration()).unwrap();
            let with = format!("    onbehalfof: {customer}\n    routes:\n");
            fs::write(world.configuration(), text.replace("    routes:\n", &with)).unwrap();
            await_that("the configuration is in force", || {
                (world.admin("/status.json").json()["generation"] == 2).then_some(())
            });
        }
        let mut claims = fixture["claims"].clone();
        for claim in OF_PERSONS {
            let members = claims.as_object_mut().unwrap();
            members.entry(claim).or_insert(Value::Null);
        }
        claims.as_object_mut().unwrap().retain(|claim, _| !OF_THE_LOGIN.contains(&claim.as_str()));
        world.control(&json!({ "id_token_claims": claims }));

        let mut browser = world.browser();
        let acr = fixture["claims"]["acr"].as_str().unwrap();
        let page = browser.log_in("/app/x", person(kind, acr));
        assert_eq!((page.status(), page.target()), (200, "/app/x"), "{name}: {}", page.text());
        let last = world.app.last();
        let written: Vec<(String, String)> = last
            .identity()
            .into_iter()
            .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
            .collect();
        assert_eq!(written.len(), headers.len(), "{name}: {written:?}");
        for (header, expected) in &headers {
            let found = written.iter().find(|(name, _)| name.eq_ignore_ascii_case(header));
            let found = found.unwrap_or_else(|| panic!("{name}: {header} is missing")).1.as_str();
            match header.as_str() {
                // These are the login's own, and the world calls its provider by one name.
                "X-Identity-Auth-Time" | "X-Identity-Session" => {
                    assert!(!found.is_empty(), "{name}: {header}")
                }
                "X-Identity-Provider" => assert_eq!(found, "idporten", "{name}"),
                _ => assert_eq!(found, expected, "{name}: {header}"),
            }
        }
        world.finish();
    }
}

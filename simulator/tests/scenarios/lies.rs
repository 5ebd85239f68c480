//! Every lie is told, once, and can be seen.

use serde_json::{Value, json};

use crate::harness::{Login, Simulator};

#[tokio::test]
async fn a_lie_is_told_once_and_calls_are_counted() {
    let simulator = Simulator::start().await;
    simulator.control(json!({"lie": {"name": "id_token_wrong_nonce"}})).await;
    let login = Login::push(&simulator, "idporten-loa-high").await;
    let callback = login.open_as(&simulator, "24929935140_idporten-loa-high").await;
    let (_, claims) = login.claims(&simulator, &callback["code"]).await;
    assert_ne!(claims["nonce"], login.nonce);
    simulator.control(json!({"lies": [{"name": "token_503", "times": 2}, {"name": "par_500"}]})).await;
    assert_eq!(simulator.par(&simulator.assertion(), "http://localhost:9/callback").await.0, 500);
    let state = simulator.state().await;
    assert_eq!(state["lies"], json!([{"name": "token_503", "times": 2}]));
    assert_eq!((&state["calls"]["par"], &state["calls"]["token"]), (&json!(2), &json!(1)));
    simulator.control(json!({"reset": true})).await;
    let state = simulator.state().await;
    assert_eq!((&state["lies"], &state["calls"]), (&json!([]), &json!({})));
    assert_eq!(state["clients"], json!(["gateway"]));
}

/// The harness's honest client meets each lie once; what it sees differs from the truth, or it sees an error.
#[tokio::test]
async fn every_lie_in_the_list_can_be_told() {
    let simulator = Simulator::start().await;
    let state = simulator.state().await;
    let lies = state["known_lies"].as_array().unwrap();
    assert!(lies.len() > 60);
    for lie in lies {
        let name = &lie["name"];
        simulator.control(json!({"reset": true, "slow_milliseconds": 1})).await;
        simulator.control(json!({"lie": {"name": name}})).await;
        simulator.touch_everything().await;
        assert_eq!(simulator.state().await["lies"], json!([]), "{name} was not told");
    }
}

/// Whether a lie shows in header and claims; the issuer is given.
type Holds = fn(&Value, &Value, &str) -> bool;

#[tokio::test]
async fn lies_in_the_id_token_are_what_they_say() {
    let simulator = Simulator::start().await;
    let issuer = simulator.issuer();
    let is_false: [(&str, Holds); 12] = [
        ("id_token_wrong_iss", |_, claims, issuer| claims["iss"] != issuer),
        ("id_token_wrong_aud", |_, claims, _| claims["aud"] != "gateway"),
        ("id_token_alg_none", |header, _, _| header["alg"] == "none"),
        ("id_token_hs256_public_key", |header, _, _| header["alg"] == "HS256"),
        ("id_token_missing_sub", |_, claims, _| claims.get("sub").is_none()),
        ("id_token_missing_sid", |_, claims, _| claims.get("sid").is_none()),
        ("id_token_missing_acr", |_, claims, _| claims.get("acr").is_none()),
        ("id_token_amr_string", |_, claims, _| claims["amr"] == "TestID"),
        ("id_token_missing_kid", |header, _, _| header.get("kid").is_none()),
        ("id_token_crit_header", |header, _, _| header["crit"] == json!(["b64"])),
        ("id_token_missing_nonce", |_, claims, _| claims.get("nonce").is_none()),
        ("id_token_bad_pid", |_, claims, _| claims["pid"].as_str().unwrap().contains('x')),
    ];
    for (name, holds) in is_false {
        simulator.control(json!({"lie": {"name": name}})).await;
        for told in [true, false] {
            let login = Login::push(&simulator, "idporten-loa-high").await;
            let callback = login.open_as(&simulator, "24929935140_idporten-loa-high").await;
            let tokens = login.redeem(&simulator, &callback["code"]).await;
            let (header, claims) = Simulator::read(tokens["id_token"].as_str().unwrap());
            assert_eq!(holds(&header, &claims, &issuer), told, "{name}: {header} {claims}");
        }
    }
}

#[tokio::test]
async fn lies_in_the_callback_are_what_they_say() {
    let simulator = Simulator::start().await;
    let encoded = simulator.issuer().replace(':', "%3A").replace('/', "%2F");
    for name in ["callback_iss_double_encoded", "callback_state_encoded", "callback_iss_missing"] {
        simulator.control(json!({"lie": {"name": name}})).await;
        let login = Login::push(&simulator, "idporten-loa-high").await;
        let callback = login.open_as(&simulator, "24929935140_idporten-loa-high").await;
        match name {
            "callback_iss_double_encoded" => assert_eq!(callback["iss"], encoded),
            "callback_state_encoded" => assert!(callback["state"].starts_with('%')),
            _ => assert!(!callback.contains_key("iss")),
        }
    }
}

#[tokio::test]
async fn a_redirecting_endpoint_counts_who_follows_and_a_delay_delays() {
    let simulator = Simulator::start().await;
    simulator.control(json!({"lie": {"name": "par_redirect"}})).await;
    let target = simulator.par_redirect().await;
    simulator.browser.post(target).send().await.unwrap();
    let state = simulator.state().await;
    assert_eq!((&state["calls"]["par"], &state["calls"]["elsewhere"]), (&json!(1), &json!(1)));
    simulator.control(json!({"delay_milliseconds": {"discovery": 300}})).await;
    let asked = std::time::Instant::now();
    simulator.metadata().await;
    assert!(asked.elapsed().as_millis() >= 300);
    simulator.control(json!({"delay_milliseconds": {"discovery": 0}})).await;
    assert_eq!(simulator.state().await["delay_milliseconds"], json!({}));
}

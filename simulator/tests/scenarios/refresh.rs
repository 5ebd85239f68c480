//! Refresh tokens: exchanged at each use, ended by a second use, by revocation and by time (RFC 9700, 4.14.2; RFC 7009).

use serde_json::{Value, json};

use crate::harness::{Login, Simulator};

async fn logged_in(simulator: &Simulator) -> Value {
    let login = Login::push(simulator, "idporten-loa-high").await;
    let callback = login.open_as(simulator, "24929935140_idporten-loa-high").await;
    login.redeem(simulator, &callback["code"]).await
}

fn refresh_token(tokens: &Value) -> &str {
    tokens["refresh_token"].as_str().unwrap_or_else(|| panic!("{tokens}"))
}

async fn refreshable(simulator: &Simulator) -> Value {
    simulator.state().await["issuers"]["idporten"]["refreshable"].clone()
}

#[tokio::test]
async fn a_refresh_token_is_exchanged_at_each_use_and_a_second_use_ends_all_of_it() {
    let simulator = Simulator::start().await;
    let first = logged_in(&simulator).await;
    assert_eq!(
        (&first["expires_in"], &first["refresh_token_expires_in"], refreshable(&simulator).await),
        (&json!(120), &json!(600), json!(1))
    );
    let (status, second) = simulator.refresh(refresh_token(&first)).await;
    assert_eq!(status, 200, "{second}");
    for name in ["access_token", "refresh_token", "id_token"] {
        assert_ne!(first[name], second[name], "{name}");
    }
    let claims = |tokens: &Value| Simulator::read(tokens["id_token"].as_str().unwrap()).1;
    let (one, other) = (claims(&first), claims(&second));
    for name in ["iss", "sub", "aud", "sid", "auth_time", "pid"] {
        assert_eq!(one[name], other[name], "{name}");
    }
    assert!(one["nonce"].is_string() && other["nonce"].is_null());
    assert_eq!(simulator.userinfo(&second).await["pid"], "24929935140");

    let (status, again) = simulator.refresh(refresh_token(&first)).await;
    assert_eq!((status, &again["error"]), (400, &json!("invalid_grant")));
    let (status, _) = simulator.refresh(refresh_token(&second)).await;
    assert_eq!((status, refreshable(&simulator).await), (400, json!(0)), "who brought it twice is a thief");
}

#[tokio::test]
async fn a_refresh_token_ends_by_time_and_by_revocation() {
    let simulator = Simulator::start().await;
    let tokens = logged_in(&simulator).await;
    simulator.control(json!({"clock_offset_seconds": 601})).await;
    assert_eq!(simulator.refresh(refresh_token(&tokens)).await.0, 400);
    let tokens = logged_in(&simulator).await;
    assert_eq!(simulator.revoke("unknown").await, 200);
    assert_eq!(simulator.revoke(refresh_token(&tokens)).await, 200);
    assert_eq!(simulator.refresh(refresh_token(&tokens)).await.0, 400);
    simulator.control(json!({"refresh_rotation": false, "access_token_seconds": 5})).await;
    let tokens = logged_in(&simulator).await;
    for _ in 0..2 {
        let (status, refreshed) = simulator.refresh(refresh_token(&tokens)).await;
        assert_eq!(
            (status, &refreshed["refresh_token"], &refreshed["expires_in"]),
            (200, &Value::Null, &json!(5))
        );
    }
}

#[tokio::test]
async fn a_refresh_lies_as_it_is_told() {
    let simulator = Simulator::start().await;
    let claims = |tokens: &Value| Simulator::read(tokens["id_token"].as_str().unwrap()).1;
    for (lie, claim) in [
        ("refresh_other_person", "sub"),
        ("refresh_other_person", "pid"),
        ("refresh_other_sid", "sid"),
        ("refresh_other_nonce", "nonce"),
    ] {
        let tokens = logged_in(&simulator).await;
        simulator.control(json!({"lie": {"name": lie}})).await;
        let (_, refreshed) = simulator.refresh(refresh_token(&tokens)).await;
        assert_ne!(claims(&tokens)[claim], claims(&refreshed)[claim], "{lie}");
        assert!(!claims(&refreshed)[claim].is_null(), "{lie}");
    }
    let tokens = logged_in(&simulator).await;
    simulator.control(json!({"lie": {"name": "refresh_same_nonce"}})).await;
    let (_, refreshed) = simulator.refresh(refresh_token(&tokens)).await;
    assert_eq!(claims(&tokens)["nonce"], claims(&refreshed)["nonce"]);
    simulator.control(json!({"lie": {"name": "refresh_reply_lost"}})).await;
    assert_eq!(simulator.refresh(refresh_token(&refreshed)).await.0, 502);
    assert_eq!(simulator.refresh(refresh_token(&refreshed)).await.0, 400, "it was exchanged all the same");
}

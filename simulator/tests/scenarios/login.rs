//! A whole login and logout, SSO, the hint, other services.

use serde_json::json;

use crate::harness::{Login, Service, Simulator, callback_of};

#[tokio::test]
async fn a_login_from_discovery_to_logout() {
    let simulator = Simulator::start().await;
    let metadata = simulator.metadata().await;
    assert_eq!(metadata["issuer"], simulator.issuer());
    let login = Login::push(&simulator, "idporten-loa-substantial").await;
    let page = login.open(&simulator).await;
    assert_eq!(page.status(), 200);
    let page = page.text().await.unwrap();
    assert!(page.contains("<html lang=\"nn\">") && page.contains("value=\"bankid-high\""), "{page}");
    assert!(!page.contains("value=\"eidas-se\""));

    let callback = simulator.choose(&page, "person", "bankid-high").await;
    assert_eq!(callback["state"], login.state);
    assert_eq!(callback["iss"], simulator.issuer());
    assert!(callback["code"].contains('.'));

    let tokens = login.redeem(&simulator, &callback["code"]).await;
    let (header, claims) = simulator.verify(tokens["id_token"].as_str().unwrap()).await;
    assert!(header["x5c"][0].as_str().unwrap().starts_with("MII"));
    assert_eq!(claims["aud"], "gateway");
    assert_eq!(claims["nonce"], login.nonce);
    assert_eq!(claims["pid"], "24929935140");
    assert_eq!(claims["acr"], "idporten-loa-high");
    assert_eq!(claims["amr"], json!(["BankID"]));
    assert_eq!(claims["given_name"], "Nora");
    assert_eq!(claims["locale"], "nn");
    assert_eq!(claims["exp"].as_u64(), claims["iat"].as_u64().map(|iat| iat + 120));
    assert!(claims.get("at_hash").is_none());

    let again = login.redeem(&simulator, &callback["code"]).await;
    assert_eq!(again["error"], "invalid_grant");

    let userinfo = simulator.userinfo(&tokens).await;
    assert_eq!(userinfo["sub"], claims["sub"]);

    let page = simulator.log_out(tokens["id_token"].as_str().unwrap()).await;
    let iframe = format!("sid={}", claims["sid"].as_str().unwrap());
    assert!(page.contains("<iframe") && page.contains(&iframe), "{page}");
    assert!(page.contains("id=\"return\" href=\"http://localhost:9/out?state=a%26b\""), "{page}");
    let page = simulator.log_out(tokens["id_token"].as_str().unwrap()).await;
    assert!(!page.contains("id=\"return\""), "a logout without session stays: {page}");
    let login = Login::push(&simulator, "idporten-loa-substantial").await;
    assert_eq!(login.open(&simulator).await.status(), 200, "the SSO session is gone");
}

#[tokio::test]
async fn the_hint_logs_in_without_a_page_and_sso_ages() {
    let simulator = Simulator::start().await;
    let login = Login::push(&simulator, "idporten-loa-high").await;
    let callback = login.open_as(&simulator, "24929935140_idporten-loa-high").await;
    let (_, first) = login.claims(&simulator, &callback["code"]).await;
    assert_eq!((&first["amr"], &first["pid"]), (&json!(["TestID"]), &json!("24929935140")));

    let login = Login::push(&simulator, "idporten-loa-substantial").await;
    let opened = login.open(&simulator).await;
    let (_, second) = login.claims(&simulator, &callback_of(&opened)["code"]).await;
    assert_eq!(first["sid"], second["sid"], "the SSO session answers without a page");

    simulator.control(json!({"sso_offset_seconds": 31 * 60})).await;
    let login = Login::push(&simulator, "idporten-loa-substantial").await;
    assert_eq!(login.open(&simulator).await.status(), 200, "31 minutes are too many");
}

#[tokio::test]
async fn a_session_of_substantial_is_raised_for_high() {
    let simulator = Simulator::start().await;
    let login = Login::push(&simulator, "idporten-loa-substantial").await;
    login.open_as(&simulator, "02916131944_idporten-loa-substantial").await;
    let login = Login::push(&simulator, "idporten-loa-high").await;
    let page = login.open(&simulator).await.text().await.unwrap();
    assert!(!page.contains("value=\"minid-substantial\""));
    let callback = simulator.choose(&page, "person", "level-too-low").await;
    let (_, claims) = login.claims(&simulator, &callback["code"]).await;
    assert_eq!(claims["acr"], "idporten-loa-substantial");

    let login = Login::push(&simulator, "idporten-loa-high").await;
    let page = login.open(&simulator).await.text().await.unwrap();
    let callback = simulator.choose(&page, "cancel", "yes").await;
    assert_eq!(callback["error"], "access_denied");
    assert_eq!(callback["state"], login.state);
}

#[tokio::test]
async fn european_tokens_use_new_or_old_names_and_are_not_shared() {
    let simulator = Simulator::start().await;
    for (names, claim) in [("new", "eidas_person_identifier"), ("old", "eidas_identifier")] {
        simulator.control(json!({"eidas_claim_names": names})).await;
        let login = Login::push(&simulator, "eidas-loa-substantial").await;
        let page = login.open(&simulator).await.text().await.unwrap();
        let callback = simulator.choose(&page, "person", "eidas-se").await;
        let (_, claims) = login.claims(&simulator, &callback["code"]).await;
        assert_eq!(claims[claim], "SE/NO/199005120000");
        assert!(claims.get("pid").is_none() && claims["sid"].is_string());
    }
}

#[tokio::test]
async fn a_pushed_request_and_an_assertion_are_used_once() {
    let simulator = Simulator::start().await;
    let login = Login::push(&simulator, "idporten-loa-high").await;
    assert_eq!(login.open(&simulator).await.status(), 200);
    assert_eq!(login.open(&simulator).await.status(), 400);
    let assertion = simulator.assertion();
    assert_eq!(simulator.par(&assertion, "http://localhost:9/callback").await.0, 201);
    let (status, error) = simulator.par(&assertion, "http://localhost:9/callback").await;
    assert_eq!((status, error["error"].as_str()), (401, Some("invalid_client")));
    let (status, error) = simulator.par(&simulator.assertion(), "http://localhost:9/callback/").await;
    assert_eq!((status, error["error"].as_str()), (400, Some("invalid_request")));
}

#[tokio::test]
async fn logging_a_person_out_elsewhere_calls_both_channels() {
    let simulator = Simulator::start().await;
    let service = Service::start().await;
    simulator.register_logout(&service.origin).await;
    let login = Login::push(&simulator, "idporten-loa-high").await;
    let callback = login.open_as(&simulator, "24929935140_idporten-loa-high").await;
    let (_, claims) = login.claims(&simulator, &callback["code"]).await;
    let sid = claims["sid"].as_str().unwrap();
    let report = simulator.control(json!({"end_session": {"person": "bankid-high"}})).await;
    assert_eq!(report["end_session"]["sessions"], 1);
    let called = report["end_session"]["called"].as_array().unwrap();
    assert_eq!(called.len(), 2);
    assert!(called.iter().all(|call| call["status"] == 200 && call["sid"] == sid), "{called:?}");
    let calls = service.calls();
    let front = calls.iter().find(|call| call.starts_with("GET /front?iss=")).unwrap();
    assert!(front.contains(&format!("&sid={sid} ")) && !front.to_ascii_lowercase().contains("\r\ncookie:"));
    let back = calls.iter().find(|call| call.starts_with("POST /back ")).unwrap();
    let (_, token) = back.split_once("logout_token=").unwrap();
    let (header, claims) = simulator.verify(token).await;
    assert_eq!((&header["typ"], &claims["sid"]), (&json!("logout+jwt"), &json!(sid)));
    let report = simulator.control(json!({"end_session": {"person": "bankid-high"}})).await;
    assert_eq!(report["end_session"], json!({"sessions": 0, "called": []}));
}

#[tokio::test]
async fn a_form_posted_from_another_site_still_ends_the_session() {
    let simulator = Simulator::start().await;
    let login = Login::push(&simulator, "idporten-loa-high").await;
    login.open_as(&simulator, "24929935140_idporten-loa-high").await;
    let resume = simulator.post_logout_without_cookie().await;
    let page = simulator.browser.get(resume).send().await.unwrap().text().await.unwrap();
    assert!(page.contains("id=\"return\" href=\"http://localhost:9/out?state=s\""), "{page}");
    let login = Login::push(&simulator, "idporten-loa-high").await;
    assert_eq!(login.open(&simulator).await.status(), 200, "the SSO session is gone");
}

#[tokio::test]
async fn rotation_keeps_or_replaces_the_published_keys() {
    let simulator = Simulator::start().await;
    let before = simulator.state().await["issuers"]["idporten"]["keys"].clone();
    simulator.control(json!({"rotate_keys": "announced"})).await;
    let announced = simulator.state().await["issuers"]["idporten"]["keys"].clone();
    assert_eq!(announced["active"], before["published"][1]);
    simulator.control(json!({"rotate_keys": "sudden"})).await;
    let sudden = simulator.state().await["issuers"]["idporten"]["keys"]["published"].clone();
    let known = announced["published"].as_array().unwrap();
    assert!(sudden.as_array().unwrap().iter().all(|kid| !known.contains(kid)));
}

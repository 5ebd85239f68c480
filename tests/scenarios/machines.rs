//! Machines with tokens of Maskinporten's, from the grant to the app's headers (dossier 1.6; RFC 6750; RFC 7523).
//!
//! **Invariant:** a machine is told as a machine and never as a person; whoever does not bring a token that is worth
//! what the route asks for reaches no app.

mod doors;
mod hostile;

use portvakt_core::clock::Clock;
use portvakt_core::token::{Algorithm, SigningKey};
use serde_json::{Value, json};

use crate::harness::http::{Response, exchange};
use crate::harness::process::await_that;
use crate::harness::{Settings, World};

const PROVIDER: &str = "  maskinporten: {profile: maskinporten, issuer: '{simulator}/maskinporten/'}\n";

const API: &str = "{path: '/api/**', access: token, upstream: app, \
                   token: {scopes: ['portvakt:demo'], delegation: ['https://tt02.altinn.no/']}}";

/// Takes people by their session and machines by their token.
const EITHER: &str = "{path: '/either/**', access: login, upstream: app, token: {scopes: ['portvakt:demo']}}";

/// The demo's routes, these, and a provider of machines.
fn settings(routes: &[&str]) -> Settings {
    let mut settings = Settings::default().route(API).route(EITHER);
    settings.providers = PROVIDER.to_owned();
    routes.iter().fold(settings, |settings, route| settings.route(route))
}

fn start() -> World {
    World::with(settings(&[]))
}

/// A token from the simulator; `query` says what it is for.
fn token(world: &World, query: &str) -> String {
    let head = format!(
        "GET /maskinporten/demo-token?{query} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n",
        world.simulator_address()
    );
    let response = exchange(world.simulator_address(), head.as_bytes());
    assert_eq!(response.status, 200, "{}", response.text());
    let token = response.text();
    world.secrets.add(&token);
    token
}

/// A request with a token. `fields` each with CRLF.
fn ask(world: &World, target: &str, token: &str, fields: &str) -> Response {
    world.curl(target, &format!("Authorization: Bearer {token}\r\n{fields}"))
}

/// What the app was told with its last request.
fn told(world: &World) -> Vec<(String, String)> {
    let last = world.app.last();
    last.identity().into_iter().map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned())).collect()
}

fn facts(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| (format!("x-identity-{name}"), (*value).to_owned())).collect()
}

const DEMO: [(&str, &str); 4] = [
    ("kind", "machine"),
    ("provider", "maskinporten"),
    ("consumer", "310123455"),
    ("scope", "portvakt:demo"),
];

/// A client of Maskinporten's with a key of its own.
struct Client<'w> {
    world: &'w World,
    key: SigningKey,
    clock: Clock,
}

impl<'w> Client<'w> {
    fn register(world: &'w World) -> Self {
        let key = SigningKey::generate(Algorithm::Rs256).unwrap();
        world.control(&json!({"client": {
            "issuer": "maskinporten", "client_id": "machine-1", "jwks": {"keys": [key.public_jwk("m-1")]},
            "organisation": "213987658", "scopes": ["portvakt:demo", "portvakt:more"],
            "delegations": ["310123455"],
        }}));
        Self { world, key, clock: Clock::start() }
    }

    /// The claims of a sound assertion.
    fn claims(&self, jti: &str) -> Value {
        let now = self.clock.now().seconds();
        json!({
            "iss": "machine-1", "aud": format!("{}/maskinporten/", self.world.simulator()),
            "scope": "portvakt:demo", "iat": now, "exp": now + 100, "jti": jti,
        })
    }

    /// The answer of the token endpoint.
    fn grant(&self, claims: &Value) -> Response {
        let assertion = self.key.sign_jws(&[("kid", "m-1")], claims).unwrap();
        let body =
            format!("grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion={assertion}");
        let head = format!(
            "POST /maskinporten/token HTTP/1.1\r\nHost: {}\r\nContent-Type: application/x-www-form-urlencoded\r\n\
             Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
            self.world.simulator_address(),
            body.len(),
        );
        exchange(self.world.simulator_address(), head.as_bytes())
    }

    fn token(&self, claims: &Value) -> String {
        let response = self.grant(claims);
        assert_eq!(response.status, 200, "{}", response.text());
        let token = response.json()["access_token"].as_str().unwrap().to_owned();
        self.world.secrets.add(&token);
        token
    }
}

/// Dossier 1.6: who supplies and where that was agreed is to be logged. The access log names nobody.
#[test]
fn the_audit_log_has_what_machines_ask_for_where_that_is_wanted() {
    let world = start();
    let sound = token(&world, "");
    assert_eq!(ask(&world, "/api/echo", &sound, "").status, 200);
    let text = std::fs::read_to_string(world.configuration()).unwrap();
    let audited = text.replace("audit: {file: audit.log}", "audit: {file: audit.log}, audit_machines: true");
    assert_ne!(audited, text);
    std::fs::write(world.configuration(), audited).unwrap();
    await_that("the configuration is in force", || {
        (world.admin("/status.json").json()["generation"] == 2).then_some(())
    });
    assert_eq!(world.audit_log().len(), 0, "by default machines are not in it");
    let lacking = token(&world, "scope=portvakt:other");
    world.control(&json!({"access_token_claims": {
        "supplier": {"authority": "iso6523-actorid-upis", "ID": "0192:213987658"},
        "delegation_source": "https://tt02.altinn.no/",
    }}));
    let delegated = token(&world, "");
    for (token, status) in
        [(&sound, 200), (&delegated, 200), (&lacking, 403), (&sound[..sound.len() - 4].to_owned(), 401)]
    {
        assert_eq!(ask(&world, "/api/echo", token, "").status, status);
    }
    let lines = world.await_audit(3);
    let of = |at: usize, name: &str| lines[at][name].as_str().map(str::to_owned);
    for (at, result) in ["success", "success", "failure"].into_iter().enumerate() {
        let said = ["action", "identity", "provider", "consumer", "result"].map(|name| of(at, name).unwrap());
        assert_eq!(said, ["machine", "machine", "maskinporten", "310123455", result]);
        assert!(of(at, "client").is_some() && of(at, "reference").is_some());
    }
    assert_eq!((of(0, "supplier"), of(0, "code")), (None, None));
    assert_eq!(of(1, "supplier").as_deref(), Some("213987658"));
    assert_eq!(of(1, "delegation_source").as_deref(), Some("https://tt02.altinn.no/"));
    assert_eq!(of(2, "code").as_deref(), Some("token_scope"));
    let access: String = world.access_log().iter().map(ToString::to_string).collect();
    assert!(!access.contains("310123455") && !access.contains("213987658"));
    world.finish();
}

#[test]
fn from_the_grant_to_the_apps_headers() {
    let world = start();
    let client = Client::register(&world);
    let own = client.token(&client.claims("1"));
    let response = ask(&world, "/api/cases?x=1", &own, "");
    assert_eq!(response.status, 200, "{}", response.text());
    let last = world.app.last();
    assert_eq!(
        (last.target(), last.header("authorization"), last.header("cookie")),
        ("/api/cases?x=1", None, None)
    );
    let machine = [
        ("kind", "machine"),
        ("provider", "maskinporten"),
        ("consumer", "213987658"),
        ("scope", "portvakt:demo"),
    ];
    assert_eq!(told(&world), facts(&machine));
    // For somebody else, by what was agreed in Altinn, with two scopes.
    let mut claims = client.claims("2");
    claims["consumer_org"] = json!("310123455");
    claims["scope"] = json!("portvakt:more portvakt:demo");
    claims["pid"] = json!("24929935140");
    let delegated = client.token(&claims);
    assert_eq!(ask(&world, "/api/cases", &delegated, "").status, 200);
    let machine = [
        ("kind", "machine"),
        ("provider", "maskinporten"),
        ("consumer", "310123455"),
        ("supplier", "213987658"),
        ("scope", "portvakt:more portvakt:demo"),
    ];
    assert_eq!(told(&world), facts(&machine));
    // The access log knows the rule and nobody.
    await_that("the access log has both", || {
        let forwarded = |line: &&Value| line["rule"] == "token" && line["status"] == 200;
        (world.access_log().iter().filter(forwarded).count() == 2).then_some(())
    });
    let metrics = world.admin("/metrics").text();
    let verified = r#"portvakt_machine_tokens_total{outcome="verified",provider="maskinporten"} 2"#;
    assert!(metrics.contains(verified), "{metrics}");
    world.finish();
}

#[test]
fn the_simulator_gives_nothing_for_a_defective_assertion() {
    let world = start();
    let client = Client::register(&world);
    let sound = client.claims("1");
    assert_eq!(client.grant(&sound).status, 200);
    let now = sound["iat"].as_u64().unwrap();
    let slashless = format!("{}/maskinporten", world.simulator());
    for (name, value, error) in [
        // Once is enough.
        ("jti", json!("1"), "invalid_grant"),
        ("jti", Value::Null, "invalid_grant"),
        ("aud", json!(slashless), "invalid_grant"),
        ("aud", json!([sound["aud"]]), "invalid_grant"),
        ("iat", json!(now - 30), "invalid_grant"),
        ("exp", json!(now + 200), "invalid_grant"),
        ("iss", json!("machine-2"), "invalid_grant"),
        ("scope", json!("portvakt:demo portvakt:other"), "invalid_scope"),
        ("scope", Value::Null, "invalid_request"),
        ("consumer_org", json!("991825827"), "invalid_grant"),
    ] {
        let mut claims = client.claims(&format!("{name}{value}"));
        claims[name] = value.clone();
        let response = client.grant(&claims);
        assert_eq!((response.status, &response.json()["error"]), (400, &json!(error)), "{name} {value}");
    }
    world.finish();
}

#[test]
fn fixture_5_8_gives_exactly_the_documented_headers() {
    let cases = "{path: '/cases/**', access: token, upstream: app, token: {scopes: ['agency:cases.read'], \
                 delegation: ['https://tt02.altinn.no/'], consumers: ['310123455'], suppliers: ['213987658']}}";
    let world = World::with(settings(&[cases]));
    world.control(&json!({"access_token_claims": {
        "client_id": "1a2b3c4d-0000-4000-8000-000000000002", "client_amr": "private_key_jwt",
        "token_type": "Bearer", "aud": "unspecified", "scope": "agency:cases.read agency:cases.write",
        "consumer": {"authority": "iso6523-actorid-upis", "ID": "0192:310123455"},
        "supplier": {"authority": "iso6523-actorid-upis", "ID": "0192:213987658"},
        "delegation_source": "https://tt02.altinn.no/", "jti": "m1",
    }}));
    let fixture = token(&world, "");
    assert_eq!(ask(&world, "/cases/1", &fixture, "").status, 200);
    let documented = facts(&[
        ("kind", "machine"),
        ("provider", "maskinporten"),
        ("consumer", "310123455"),
        ("supplier", "213987658"),
        ("scope", "agency:cases.read agency:cases.write"),
    ]);
    assert_eq!(told(&world), documented);
    // Ambiguity 9: without `aud` it is the same.
    world.control(&json!({"access_token_claims": {
        "aud": null, "scope": "agency:cases.read", "pid": "24929935140", "sub": "x",
    }}));
    let absent = token(&world, "");
    assert_eq!(ask(&world, "/cases/1", &absent, "").status, 200);
    assert_eq!(told(&world).last().unwrap().1, "agency:cases.read");
    world.finish();
}

#[test]
fn a_machine_is_told_in_the_assertion_and_under_the_signature_too() {
    let signed = "{path: '/proven/**', access: token, upstream: app, assertion: true, signature: ed25519, \
                  token: {scopes: ['portvakt:demo']}}";
    let mut world = start();
    for purpose in ["assertion", "signature-ed25519"] {
        world.run_keys(&["new", purpose]);
    }
    world.settings.routes.push(signed.to_owned());
    world.write_configuration();
    world.restart_gateway();
    let token = token(&world, "");
    assert_eq!(ask(&world, "/proven/x", &token, "").status, 200);
    let last = world.app.last();
    let payload = last.header("x-identity-assertion").unwrap().split('.').nth(1).unwrap().to_owned();
    let claims: Value =
        serde_json::from_slice(&base64_simd::URL_SAFE_NO_PAD.decode_to_vec(payload).unwrap()).unwrap();
    for (name, expected) in [
        ("kind", "machine"),
        ("consumer", "310123455"),
        ("scope", "portvakt:demo"),
        ("sub", "portvakt-demo-machine"),
        ("aud", "app"),
    ] {
        assert_eq!(claims[name], expected, "{name}");
    }
    assert!(claims["fnr"].is_null() && claims["session"].is_string());
    let covered = last.header("signature-input").unwrap();
    for name in ["kind", "provider", "consumer", "scope", "assertion"] {
        assert!(covered.contains(&format!("\"x-identity-{name}\"")), "{name}: {covered}");
    }
    world.finish();
}

#[test]
fn keys_change_and_a_key_that_is_gone_is_worth_nothing() {
    let world = start();
    let old = token(&world, "");
    assert_eq!(ask(&world, "/api/x", &old, "").status, 200);
    let fetched = world.calls("jwks");
    world.control(&json!({"rotate_keys": "sudden"}));
    let new = token(&world, "");
    assert_eq!(ask(&world, "/api/x", &new, "").status, 200);
    assert_eq!(world.calls("jwks"), fetched + 1);
    let refused = ask(&world, "/api/x", &old, "");
    assert_eq!((refused.status, refused.json()["error"].as_str()), (401, Some("invalid_token")));
    // Tokens of keys that nobody knows lead to one fetch a minute.
    world.control(&json!({"access_token_header": {"kid": "nobody"}}));
    for _ in 0..20 {
        let unknown = token(&world, "");
        assert_eq!(ask(&world, "/api/x", &unknown, "").status, 401);
    }
    assert_eq!(world.calls("jwks"), fetched + 1);
    assert_eq!(ask(&world, "/api/x", &new, "").status, 200);
    world.finish();
}

#[test]
fn while_the_keys_cannot_be_had_machines_are_told_to_come_again() {
    let mut world = start();
    let sound = token(&world, "");
    // The key set fails when a new key is looked for.
    world.control(&json!({"lies": [{"name": "jwks_500", "times": 10}]}));
    world.control(&json!({"access_token_header": {"kid": "new"}}));
    let unknown = token(&world, "");
    for _ in 0..3 {
        let response = ask(&world, "/api/x", &unknown, "");
        assert_eq!(
            (response.status, response.header("retry-after")),
            (503, Some("30")),
            "{}",
            response.text()
        );
        assert_eq!(response.json()["error"], "temporarily_unavailable");
        assert_eq!(response.header("www-authenticate"), None);
    }
    assert_eq!(ask(&world, "/api/x", &sound, "").status, 200);
    // A gateway that has never had them.
    let count = world.app.count();
    world.stop_simulator();
    world.settings.provider_is_up = false;
    world.restart_gateway();
    for token in [sound.as_str(), "a.b.c"] {
        let response = ask(&world, "/api/x", token, "");
        assert_eq!(
            (response.status, response.header("retry-after")),
            (503, Some("30")),
            "{}",
            response.text()
        );
    }
    assert_eq!(world.curl("/api/x", "").status, 401);
    assert_eq!(world.app.count(), count);
    world.finish();
}

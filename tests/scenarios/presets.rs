//! Apps that were written for an older product are told in its words; nobody else can tell them so, on any route
//! (`threats.md` ID-1 to ID-3; `design.md` 3).

use crate::harness::app::Received;
use crate::harness::{Settings, World, run_keys};

const PRESETS: [&str; 8] = [
    "siteminder",
    "siteminder-plain",
    "openam",
    "shibboleth",
    "mod_auth_openidc",
    "oauth2-proxy",
    "auth-request",
    "wonderwall",
];

/// Names of the products, and what a careless server would take for one.
const CLAIMED: [&str; 24] = [
    "SM_USER",
    "sm-user",
    "Sm.User",
    "SMUSER",
    "SM_UNIVERSALID",
    "REMOTE_USER",
    "remote-user",
    "REMOTEUSER",
    "CUSTOM-User-Name",
    "CUSTOM_User_Name",
    "Shib-Session-ID",
    "shib_session_id",
    "norEduPersonNIN",
    "persistent-id",
    "mail",
    "sn",
    "OIDC_CLAIM_pid",
    "oidc-claim-pid",
    "OIDC_access_token",
    "X-Forwarded-User",
    "X_Forwarded_User",
    "X-Auth-Request-User",
    "X-Wonderwall-Id-Token",
    "eppn",
];

fn world() -> World {
    let mut settings = Settings::default();
    for preset in PRESETS {
        settings = settings.route(&format!(
            "{{path: '/{preset}/**', access: optional, upstream: app, assertion: true, headers: {{preset: {preset}}}}}"
        ));
    }
    settings = settings.route(
        "{path: '/signed/**', access: login, upstream: app, assertion: true, signature: ed25519, headers: {preset: wonderwall, fnr: X-Pid}}",
    );
    let mut world = World::start();
    world.settings = settings;
    for purpose in ["assertion", "signature-ed25519"] {
        run_keys(world.folder(), &["new", purpose]);
    }
    world.write_configuration();
    world.restart_gateway();
    world
}

/// What the app was told, without what every request has.
fn told(received: &Received) -> Vec<(&str, &str)> {
    const USUAL: [&str; 20] = [
        "host",
        "user-agent",
        "accept",
        "accept-encoding",
        "accept-language",
        "cookie",
        "forwarded",
        "x-forwarded-for",
        "x-forwarded-host",
        "x-forwarded-proto",
        "connection",
        "referer",
        "upgrade-insecure-requests",
        "sec-fetch-site",
        "sec-fetch-mode",
        "sec-fetch-dest",
        "sec-fetch-user",
        "content-length",
        "priority",
        "origin",
    ];
    let fields = received.head.fields.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    fields.filter(|(name, _)| !USUAL.contains(&&*name.to_ascii_lowercase())).collect()
}

#[test]
fn an_app_is_told_in_the_words_of_the_product_that_it_was_written_for() {
    let world = world();
    let mut browser = world.browser();
    assert_eq!(browser.log_in("/app/", "bankid-high").status(), 200);
    let usual = world.app.last();
    let contract = |name: &str| usual.header(name).unwrap().to_owned();
    for (preset, names) in [
        ("siteminder", vec![("SM_USER", "x-identity-fnr"), ("SM_UNIVERSALID", "x-identity-subject")]),
        ("siteminder-plain", vec![("SMUSER", "x-identity-fnr"), ("SMUNIVERSALID", "x-identity-subject")]),
        ("openam", vec![("REMOTE_USER", "x-identity-fnr"), ("CUSTOM-User-Name", "x-identity-subject")]),
        ("shibboleth", vec![("norEduPersonNIN", "x-identity-fnr"), ("sn", "x-identity-family-name")]),
        (
            "mod_auth_openidc",
            vec![("OIDC_CLAIM_pid", "x-identity-fnr"), ("OIDC_CLAIM_auth_time", "x-identity-auth-time")],
        ),
        ("oauth2-proxy", vec![("X-Forwarded-User", "x-identity-subject")]),
        ("auth-request", vec![("X-Auth-Request-User", "x-identity-subject")]),
        ("wonderwall", vec![]),
    ] {
        assert_eq!(browser.open(&format!("/{preset}/")).status(), 200);
        let received = world.app.last();
        for (name, fact) in &names {
            // In the product's own case.
            let found: Vec<_> = told(&received).into_iter().filter(|(found, _)| found == name).collect();
            assert_eq!(found, [(*name, &*contract(fact))], "{preset}");
        }
        // Beside the assertion nothing stands in the contract's words.
        let ours = received.identity().into_iter().filter(|(name, _)| name.starts_with("X-Identity"));
        assert_eq!(ours.map(|(name, _)| name).collect::<Vec<_>>(), ["X-Identity-Assertion"]);
        let bearer = received.header("authorization").map(str::to_owned);
        let assertion = received.header("x-identity-assertion").unwrap();
        assert_eq!(bearer, (preset == "wonderwall").then(|| format!("Bearer {assertion}")));
    }
    world.finish();
}

#[test]
fn nobody_else_speaks_in_those_words_on_any_route() {
    let world = world();
    let mut browser = world.browser();
    assert_eq!(browser.log_in("/app/", "bankid-high").status(), 200);
    let cookie = format!("Cookie: __Host-portvakt={}\r\n", browser.session_cookie().unwrap());
    let forged: String = CLAIMED.iter().map(|name| format!("{name}: 24929935140\r\n")).collect();
    let paths = ["/", "/public/a", "/optional/a", "/app/a"].map(str::to_owned).into_iter();
    for path in paths.chain(PRESETS.map(|preset| format!("/{preset}/a"))) {
        for cookie in ["", &cookie] {
            if path == "/app/a" && cookie.is_empty() {
                continue;
            }
            assert_eq!(world.curl(&path, cookie).status, 200, "{path}");
            let plain = world.app.last();
            assert_eq!(world.curl(&path, &format!("{cookie}{forged}")).status, 200, "{path}");
            let received = world.app.last();
            let names = |received: &Received| -> Vec<String> {
                told(received).into_iter().map(|(name, _)| name.to_owned()).collect()
            };
            assert_eq!(names(&received), names(&plain), "{path}");
            let values: Vec<_> =
                told(&received).into_iter().filter(|(_, value)| *value == "24929935140").collect();
            // The person's own number is told where she is logged in, once.
            assert!(values.len() <= usize::from(!cookie.is_empty()), "{path}: {values:?}");
        }
    }
    world.finish();
}

#[test]
fn an_app_that_believes_a_bearer_token_here_gets_none_of_a_clients() {
    let world = world();
    let mut browser = world.browser();
    assert_eq!(browser.log_in("/app/", "bankid-high").status(), 200);
    let cookie = format!("Cookie: __Host-portvakt={}\r\n", browser.session_cookie().unwrap());
    let own = "Authorization: Bearer forged\r\n";
    for fields in [
        own.to_owned(),
        format!("{own}Connection: Authorization\r\n"),
        "aUTHORIZATION: Basic eDp5\r\n".to_owned(),
    ] {
        let answer = world.curl("/wonderwall/a", &fields);
        if answer.status == 200 {
            assert_eq!(world.app.last().header("authorization"), None, "nobody is logged in");
        }
        let answer = world.curl("/wonderwall/a", &format!("{cookie}{fields}"));
        if answer.status == 200 {
            let received = world.app.last();
            let assertion = received.header("x-identity-assertion").unwrap().to_owned();
            assert_eq!(received.head.all("authorization"), [format!("Bearer {assertion}")]);
        }
    }
    // An app's own affair elsewhere.
    for path in ["/public/a", "/optional/a", "/siteminder/a"] {
        assert_eq!(world.curl(path, "Authorization: Basic eDp5\r\n").status, 200);
        assert_eq!(world.app.last().header("authorization"), Some("Basic eDp5"), "{path}");
    }
    assert_eq!(world.curl("/signed/a", &cookie).status, 200);
    let received = world.app.last();
    let input = received.header("signature-input").unwrap();
    for name in ["authorization", "x-pid", "x-identity-assertion"] {
        assert!(input.contains(&format!("\"{name}\"")), "{input}");
    }
    world.finish();
}

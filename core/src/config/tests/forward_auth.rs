//! Proxies that ask: who may, and about which routes.

use super::*;
use crate::forward_auth::Dialect;

const LISTENER: &str = "  - address: 127.0.0.1:8080\n";
const PUBLIC: &str = "        access: public\n        upstream: app\n";
const LOGIN: &str = "        access: login\n        upstream: app\n";
const ASKED: &str = "        access: login\n        audience: letters\n        forward_auth: true\n";
const AT: &str = "  - address: 127.0.0.1:8080\n  - {address: '0.0.0.0:8090', forward_auth: {dialect: nginx, peers: [10.0.0.7, 10.1.0.0/24]}}\n";

fn whole(listener: &str, route: &str) -> String {
    with(LISTENER, listener).replace(LOGIN, route)
}

#[test]
fn a_listener_is_for_the_proxies_that_it_names() {
    let loaded = check(&whole(AT, ASKED)).unwrap();
    assert_eq!(loaded.warnings.len(), 0);
    let listener = &loaded.configuration.listeners[1];
    let asking = listener.forward_auth.as_ref().unwrap();
    assert_eq!(asking.dialect, Dialect::Nginx);
    assert_eq!(asking.peers, ["10.0.0.7/32", "10.1.0.0/24"].map(|net| net.parse().unwrap()));
    assert_eq!(
        (&listener.transport, listener.connections_per_client),
        (&Transport::BehindLoadBalancer(asking.peers.clone()), None)
    );
    assert_eq!(loaded.configuration.listeners[0].forward_auth, None);
    let asked = route(&loaded, "/app/**");
    assert!(asked.is_forward_auth() && asked.upstream().is_none());
    assert_eq!(asked.headers.audience(), "letters");
    assert!(!route(&loaded, "/").is_forward_auth());
}

#[test]
fn who_may_ask_is_said_in_so_many_words() {
    for (keys, expected) in [
        ("forward_auth: {dialect: nginx}", "`peers` is missing"),
        ("forward_auth: {peers: [10.0.0.7]}", "`dialect` is missing"),
        ("forward_auth: {dialect: apache, peers: [10.0.0.7]}", "`apache` is not known here"),
        ("forward_auth: {dialect: nginx, peers: [0.0.0.0/0]}", "this believes everybody"),
        ("forward_auth: {dialect: nginx, peers: [proxy]}", "`proxy` is not a network"),
        (
            "forward_auth: {dialect: nginx, peers: [10.0.0.7]}, load_balancers: [10.0.0.7]",
            "`load_balancers` has no effect with `forward_auth`",
        ),
        (
            "forward_auth: {dialect: nginx, peers: [10.0.0.7]}, proxy_protocol: v2",
            "`proxy_protocol` has no effect with `forward_auth`",
        ),
        (
            "forward_auth: {dialect: nginx, peers: [10.0.0.7]}, connections_per_client: 5",
            "every connection is of the same few proxies",
        ),
        (
            "forward_auth: {dialect: nginx, peers: [10.0.0.7]}, tls: {certificate: /nowhere/c, key: /nowhere/k}",
            "this file cannot be read",
        ),
    ] {
        let listener = format!("{LISTENER}  - {{address: '0.0.0.0:8090', {keys}}}\n");
        let found = heads(&whole(&listener, ASKED));
        assert!(
            found.iter().any(|head| head.starts_with("6:") && head.contains(expected)),
            "{keys}: {found:?}"
        );
        assert!(check(&whole(&listener, ASKED)).is_err(), "{keys}");
    }
}

#[test]
fn a_route_is_carried_by_one() {
    for (keys, expected) in [
        ("        access: login\n", "22:15: `upstream` is missing"),
        ("        access: login\n        forward_auth: false\n", "22:15: `upstream` is missing"),
        (
            "        access: login\n        audience: a\n        forward_auth: true\n        upstream: app\n",
            "26:19: the requests of this route are carried by a proxy that asks, as line 25 says",
        ),
        ("        access: login\n        forward_auth: true\n", "24:23: nothing says for whom"),
    ] {
        let mut found = heads(&whole(AT, keys));
        found.retain(|head| !head.contains("warning: proxies may ask here"));
        assert!(found.len() == 1 && found[0].starts_with(expected), "{keys}: {found:?}");
    }
    let public = with(LISTENER, AT).replace(PUBLIC, "        access: public\n        forward_auth: true\n");
    assert_eq!(heads(&public), Vec::<String>::new(), "nobody is told of there");
}

#[test]
fn what_another_proxy_would_have_to_keep_is_no_promise_of_ours() {
    for key in [
        "signature: ed25519",
        "access_token: true",
        "host: upstream",
        "strip_prefix: /app",
        "rewrite: {from: /app, to: /x}",
        "encoded_slash: true",
        "max_body: 1MiB",
        "timeout: 5s",
        "read_timeout: 5s",
        "cache: app",
        "websocket: true",
        "security_headers: basic",
        "client_signatures: pass",
        "verified: true",
    ] {
        let (name, _) = key.split_once(':').unwrap();
        let found = heads(&whole(AT, &format!("{ASKED}        {key}\n")));
        let told = format!("`{name}` cannot be kept here");
        assert!(found.iter().any(|head| head.starts_with("26:") && head.contains(&told)), "{key}: {found:?}");
    }
    for (key, expected) in [
        ("cors: {origins: ['https://a.no']}", "the gateway sends no replies here"),
        ("headers: {preset: wonderwall}", "this preset writes `Authorization`"),
    ] {
        let found = heads(&whole(AT, &format!("{ASKED}        {key}\n")));
        assert!(found.iter().any(|head| head.contains(expected)), "{key}: {found:?}");
    }
    let token = ASKED.replace("access: login", "access: token");
    let found = heads(&whole(AT, &token));
    assert!(found.iter().any(|head| head.contains("a machine's token would go on to the app")), "{found:?}");
    for key in
        ["cors: pass", "revocation: available", "rate: {requests: 5}", "cross_site: allow", "assertion: true"]
    {
        assert_eq!(heads(&whole(AT, &format!("{ASKED}        {key}\n"))), Vec::<String>::new(), "{key}");
    }
}

#[test]
fn a_file_whose_requests_others_carry_needs_no_app() {
    let asked = whole(AT, ASKED).replace(PUBLIC, "        access: public\n        forward_auth: true\n");
    let upstreams = "upstreams:\n  app: {url: \"http://127.0.0.1:8083\"}\n";
    assert!(asked.contains(upstreams) && check(&asked.replace(upstreams, "")).is_ok());
    let found = heads(&with(upstreams, ""));
    assert_eq!(found, ["18:19: there is no upstream `app`", "21:19: there is no upstream `app`"]);
}

#[test]
fn listeners_and_routes_belong_together() {
    let found = heads(&whole(LISTENER, ASKED));
    assert_eq!(found, ["24:23: nobody can ask about this route: no listener has `forward_auth`"]);
    let found = heads(&with(LISTENER, AT));
    assert!(
        found.len() == 1 && found[0].contains("warning: proxies may ask here, and no route has"),
        "{found:?}"
    );
}

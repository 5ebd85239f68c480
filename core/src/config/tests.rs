//! What operators are told, problem by problem.

use std::os::unix::fs::PermissionsExt;
use std::sync::atomic::{AtomicUsize, Ordering};

use proptest::prelude::*;
use secrecy::ExposeSecret;

use super::*;
use crate::access::{Access, Requirement};
use crate::clock::Timestamp;
use crate::forward::{Encoding, Fact};
use crate::identity::Kind;
use crate::level::{Framework, Level};
use crate::provider::{ClientAuth, Par};
use crate::request::HostName;
use crate::route::{Host, Maintenance, Rate, Route, UpstreamHost};
use crate::token::SignatureAlgorithm;

mod access_tokens;
mod expectations;
mod forward_auth;
mod pages;
mod paths;
mod protocol;
mod replies;
mod tokens;
mod websocket;

mod choosing;
mod sessions;

const EXAMPLE: &str = include_str!("../../../gateway.yaml");

/// A small sound file. The numbers of its lines are in the tables below.
const BASE: &str = r#"version: 1
environment: test
insecure_http_loopback: true
listeners:
  - address: 127.0.0.1:8080
keys: keys
logs: {access: stdout, audit: {file: audit.log}}
providers:
  idporten:
    profile: idporten
    client_id: demo
upstreams:
  app: {url: "http://127.0.0.1:8083"}
hosts:
  - origin: http://localhost:8080
    provider: idporten
    routes:
      - path: /
        access: public
        upstream: app
      - path: /app/**
        access: login
        upstream: app
"#;

fn nothing(_: &str) -> Option<String> {
    None
}

fn check(text: &str) -> Result<Loaded, Problems> {
    parse(text, "gateway.yaml", Path::new("/nowhere"), &nothing)
}

/// The base with one piece of it replaced.
fn with(old: &str, new: &str) -> String {
    assert!(BASE.contains(old), "the base has no {old:?}");
    BASE.replacen(old, new, 1)
}

fn problems(text: &str) -> Vec<Problem> {
    match check(text) {
        Ok(loaded) => loaded.warnings,
        Err(problems) => problems.into_vec(),
    }
}

/// `line:column: message` of each problem.
fn heads(text: &str) -> Vec<String> {
    let warning = |severity| if severity == Severity::Warning { "warning: " } else { "" };
    let head = |problem: &Problem| {
        format!("{}:{}: {}{}", problem.line, problem.column, warning(problem.severity), problem.message)
    };
    problems(text).iter().map(head).collect()
}

/// Each row: what is replaced in the base, by what, and the beginning of each problem, all of them.
fn expect(rows: &[(&str, &str, &[&str])]) {
    let mut wrong = Vec::new();
    for (old, new, expected) in rows {
        let found = heads(&with(old, new));
        let same = found.len() == expected.len()
            && found.iter().zip(*expected).all(|(found, head)| found.starts_with(head));
        if !same {
            wrong.push(format!("{new:?}\n  expected {expected:#?}\n  found {found:#?}"));
        }
    }
    assert!(wrong.is_empty(), "{} rows\n{}", wrong.len(), wrong.join("\n"));
}

fn host(loaded: &Loaded) -> &Host {
    loaded.configuration.hosts.iter().next().unwrap()
}

fn route<'a>(loaded: &'a Loaded, pattern: &str) -> &'a Route {
    host(loaded).routes.iter().find(|route| route.pattern.to_string() == pattern).unwrap()
}

fn requirement(loaded: &Loaded) -> Requirement {
    route(loaded, "/app/**").access.requirement().unwrap().clone()
}

#[test]
fn the_example_loads_without_a_warning() {
    let loaded = check(EXAMPLE).unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!(loaded.warnings, []);
    assert!(host(&loaded).routes.iter().count() >= 6);
}

#[test]
fn the_base_of_these_tables_is_sound() {
    assert_eq!(heads(BASE), Vec::<String>::new());
}

#[test]
fn keys_are_known_once_and_there() {
    expect(&[
        ("keys: keys", "kyes: keys", &["6:1: unknown key `kyes`; did you mean `keys`?"]),
        ("keys: keys", "keys: keys\nsurprise: 1", &["7:1: unknown key `surprise`"]),
        ("keys: keys", "keys: keys\nkeys: others", &["7:1: this key is there already, on line 6"]),
        ("        access: login\n", "", &["21:9: `access` is missing"]),
        (
            "        upstream: app\n",
            "        upstraem: app\n",
            &["20:9: unknown key `upstraem`; did you mean `upstream`?"],
        ),
        ("    client_id: demo\n", "", &["10:5: `client_id` is missing"]),
        ("version: 1\n", "", &["1:1: `version` is missing"]),
        ("  app: {url: \"http://127.0.0.1:8083\"}", "  app: {}", &["13:3: nothing says where this app is"]),
        ("keys: keys", "keys: keys\n<<: {threads: 2}", &["7:1: unknown key `<<`"]),
        ("keys: keys", "keys: keys\n? [a, b]\n: 1", &["7:3: a key is a word", "7:3: unknown key ``"]),
    ]);
}

#[test]
fn values_have_their_type() {
    expect(&[
        ("version: 1", "version: 2", &["1:10: version 2 of this format is not known"]),
        ("version: 1", "version: one", &["1:10: `one` is not a whole number"]),
        ("version: 1", "version: [1]", &["1:10: a list stands where a number belongs"]),
        ("version: 1", "version:", &["1:8: nothing stands where a number belongs"]),
        ("version: 1", "version: -1", &["1:10: `-1` is not a whole number"]),
        ("loopback: true", "loopback: yes", &["3:25: `yes` is neither `true` nor `false`"]),
        ("environment: test", "environment: tset", &["2:14: `tset` is not known here; did you mean `test`?"]),
        ("environment: test", "environment: staging", &["2:14: `staging` is not known here"]),
        ("access: login", "access: off", &["22:17: `off` is not known here"]),
        ("access: login", "access: Login", &["22:17: `Login` is not known here; did you mean `login`?"]),
        ("access: login", "access: tokens", &["22:17: `tokens` is not known here; did you mean `token`?"]),
        ("access: login", "access:", &["22:15: nothing stands where"]),
        ("access: login", "access: ~", &["22:17: nothing stands where"]),
        ("access: stdout", "access: false", &["7:16: `false` is not known here; did you mean `off`?"]),
        ("keys: keys", "keys: \"\"", &["6:7: this is empty"]),
        ("keys: keys", "keys: \"a\\tb\"", &["6:7: this holds a control character"]),
        (
            "keys: keys",
            "keys: keys\nsession: 30m",
            &["7:10: a single value stands where a mapping such as `{idle: …}` belongs"],
        ),
        ("keys: keys", "keys: keys\nlimits: []", &["7:9: a list stands where a mapping"]),
        ("  - address: 127.0.0.1:8080", "  address: 127.0.0.1:8080", &["5:3: a mapping stands where a list"]),
        ("listeners:\n  - address: 127.0.0.1:8080", "listeners: []", &["4:12: an empty list stands where"]),
        (
            "access: login",
            "access: login\n        methods: GET",
            &["23:18: a single value stands where a list"],
        ),
        ("access: login", "access: login\n        methods: []", &["23:18: an empty list"]),
        ("127.0.0.1:8080", "localhost:8080", &["5:14: `localhost:8080` is not an address with a port"]),
        ("127.0.0.1:8080", "127.0.0.1:0", &["5:14: `127.0.0.1:0` is not an address"]),
        (
            "profile: idporten",
            "profile: id-porten",
            &["10:14: `id-porten` is not known here; did you mean `idporten`?"],
        ),
    ]);
}

#[test]
fn yaml_that_could_mean_two_things_is_refused() {
    expect(&[
        ("keys: keys", "keys: &k keys", &["6:10: this value has an anchor"]),
        (
            "keys: keys",
            "keys: &k keys\nprefix: *k",
            &["6:10: this value has an anchor", "7:9: an alias stands here", "7:9: nothing stands"],
        ),
        ("keys: keys", "keys: !!str keys", &["6:13: this value has a tag"]),
        ("keys: keys", "keys: 'keys", &["7:1: this is not YAML"]),
        ("keys: keys", "keys: keys\n---\nversion: 1", &["7:1: a second document begins here"]),
        ("    profile: idporten", "\tprofile: idporten", &["10:2: this is not YAML: tabs"]),
    ]);
    assert_eq!(heads(""), ["1:1: the file is empty"]);
    assert_eq!(heads("# nothing\n"), ["1:1: the file is empty"]);
    assert_eq!(heads("42"), ["1:1: a single value stands where a mapping such as `{version: …}` belongs"]);
    let deep = heads(&format!("a: {}{}", "[".repeat(100), "]".repeat(100)));
    assert_eq!(deep, ["1:35: this is nested too deeply"]);
    assert!(heads(&" ".repeat(MAX_FILE + 1))[0].starts_with("1:1: this file is longer than"));
    assert!(check(&format!("\u{feff}{}", BASE.replace('\n', "\r\n"))).is_ok());
}

#[test]
fn times_and_numbers_have_bounds() {
    expect(&[
        ("keys: keys", "keys: keys\ndrain: 30", &["7:8: `30` is not a time"]),
        ("keys: keys", "keys: keys\ndrain: 30 s", &["7:8: `30 s` is not a time"]),
        ("keys: keys", "keys: keys\ndrain: 1.5s", &["7:8: `1.5s` is not a time"]),
        ("keys: keys", "keys: keys\ndrain: 9999999999h", &["7:8: `9999999999h` is not a time"]),
        ("keys: keys", "keys: keys\ndrain: 0s", &["7:8: `0s` is out of bounds"]),
        (
            "keys: keys",
            "keys: keys\nsession: {idle: 31m}",
            &["7:17: profile `idporten` ends a session after 30m"],
        ),
        (
            "keys: keys",
            "keys: keys\nsession: {absolute: 3h}",
            &["7:21: warning: a session of profile `idporten` usually ends after 2h"],
        ),
        (
            "keys: keys",
            "keys: keys\nsession: {idle: 20m, absolute: 10m}",
            &["7:17: a session ends before it can be idle so long"],
        ),
        ("keys: keys", "keys: keys\nsession: {idle: 60s}", &["7:17: warning: active people may lose"]),
        ("keys: keys", "keys: keys\nsession: {idle: 0s}", &["7:17: `0s` is out of bounds"]),
        ("keys: keys", "keys: keys\nthreads: 0", &["7:10: `0` is out of bounds"]),
        (
            "keys: keys",
            "keys: keys\nlimits: {header_deadline: 2m, connections: 0}",
            &["7:27: `2m` is out of bounds", "7:44: `0` is out of bounds"],
        ),
        ("keys: keys", "keys: keys\nrevocation: {max_lag: 1ms}", &["7:23: `1ms` is out of bounds"]),
        ("keys: keys", "keys: keys\nrevocation: {max_gap: 11m}", &["7:23: `11m` is out of bounds"]),
        (
            "keys: keys",
            "keys: keys\nrevocation: {stream: {servers: []}}",
            &["7:32: an empty list stands where at least one entry belongs"],
        ),
        (
            "keys: keys",
            "keys: keys\nrevocation: {stream: {servers: ['http://redis.internal']}}",
            &["7:33: this is no address of a store"],
        ),
        (
            "keys: keys",
            "keys: keys\nrevocation: {stream: {servers: ['rediss://u:p@redis.internal']}}",
            &["7:33: this is no address of a store"],
        ),
        (
            "keys: keys",
            "keys: keys\nrevocation: {stream: {servers: ['redis://redis.internal']}}",
            &["7:33: whoever is between could read"],
        ),
        (
            "keys: keys",
            "keys: keys\nrevocation: {stream: {servers: ['redis://127.0.0.1'], password: secret, name: 'a{b}'}}",
            &["7:65: a secret does not stand in this file", "7:79: this is no name for streams"],
        ),
        (
            "keys: keys",
            "keys: keys\nrevocation: {stream: {servers: ['redis://127.0.0.1'], username: portvakt}}",
            &["7:65: a user without a password is not let in"],
        ),
        (
            "keys: keys",
            "keys: keys\nrevocation: {stream: {servers: ['redis://127.0.0.1'], sentinel_username: a}}",
            &["7:74: a user without a password is not let in", "7:74: the servers are no sentinels"],
        ),
        (
            "keys: keys",
            "keys: keys\nrevocation: {stream: {servers: ['redis://127.0.0.1'], client_key: k.pem}}",
            &["7:67: a client certificate needs both"],
        ),
        (
            "keys: keys",
            "keys: keys\nrevocation: {stream: {servers: ['redis://127.0.0.1'], ca_file: /nowhere/ca.pem}}",
            &["7:64: this file cannot be read", "7:64: `ca_file` has no effect without TLS"],
        ),
        ("access: login", "access: login\n        require: {max_age: 0s}", &["23:28: `0s` is out of bounds"]),
    ]);
}

#[test]
fn a_listener_says_what_protects_it() {
    expect(&[
        (
            "127.0.0.1:8080\nkeys: keys",
            "0.0.0.0:8080\n    load_balancers: [10.0.0.0/8]\nkeys: keys\nadmin: {address: \"127.0.0.1:8080\"}",
            &["8:18: the listener on line 5 and `admin` have the same address"],
        ),
        (
            "127.0.0.1:8080\n",
            "127.0.0.1:8080\n  - {address: \"0.0.0.0:8080\", load_balancers: [10.0.0.0/8]}\n",
            &["6:15: the listener on line 5 has this address already"],
        ),
        ("127.0.0.1:8080\n", "0.0.0.0:8080\n", &["5:14: plain http is for loopback only"]),
        (
            "127.0.0.1:8080\n",
            "127.0.0.1:8080\n    load_balancers: [10.0.0.0]\n    tls: {certificate: /c, key: /k}\n",
            &["6:21: this listener has `tls` on line 7, and load balancers too"],
        ),
        (
            "127.0.0.1:8080\n",
            "127.0.0.1:8080\n    proxy_protocol: v2\n",
            &["6:21: nothing says who may send a PROXY header"],
        ),
        (
            "127.0.0.1:8080\n",
            "127.0.0.1:8080\n    load_balancers: [10.0.0.0/8]\n    proxy_protocol: v3\n",
            &["7:21: `v3` is not known here; did you mean `v1`?"],
        ),
        (
            "127.0.0.1:8080\n",
            "127.0.0.1:8080\n    load_balancers: [10.0.0.0/8]\n    connections_per_client: 5\n",
            &["7:29: behind load balancers every connection is of the same few clients"],
        ),
        (
            "127.0.0.1:8080\n",
            "127.0.0.1:8080\n    connections_per_client: 0\n",
            &["6:29: `0` is out of bounds"],
        ),
        (
            "127.0.0.1:8080\n",
            "127.0.0.1:8080\n    h2c: true\n    tls: {certificate: /nowhere/c, key: /nowhere/k}\n",
            &[
                "6:10: this listener has `tls` on line 7: there HTTP/2 is negotiated",
                "7:24: this file cannot be read",
                "7:41: this file cannot be read",
            ],
        ),
        (
            "127.0.0.1:8080\n",
            "127.0.0.1:8080\n    tls: {certificate: /nowhere/c, key: /nowhere/k}\n",
            &["6:24: this file cannot be read: it is not there", "6:41: this file cannot be read"],
        ),
        (
            "127.0.0.1:8080\n",
            "127.0.0.1:8080\n    load_balancers: [0.0.0.0/0]\n",
            &["6:22: this believes everybody"],
        ),
        (
            "127.0.0.1:8080\n",
            "127.0.0.1:8080\n    load_balancers: [10.0.0.1/8, lb]\n",
            &["6:22: this address is not the first of its network", "6:34: `lb` is not a network"],
        ),
        (
            "127.0.0.1:8080\n",
            "127.0.0.1:8080\n  - address: 127.0.0.1:8080\n",
            &["6:14: the listener on line 5 has this address already"],
        ),
        (
            "127.0.0.1:8080\n",
            "0.0.0.0:8080\n    tls: yes\n",
            &["6:10: a single value stands where a mapping such as `{certificate: …}`"],
        ),
        (
            "127.0.0.1:8080\n",
            "0.0.0.0:8080\n    tsl: {}\n",
            &["5:14: plain http is for loopback only", "6:5: unknown key `tsl`; did you mean `tls`?"],
        ),
        (
            "keys: keys",
            "keys: keys\nadmin: {address: \"127.0.0.1:8080\"}",
            &["7:18: the listener on line 5 and `admin` have the same address"],
        ),
        (
            "keys: keys",
            "keys: keys\nadmin: {address: \"0.0.0.0:9000\"}",
            &["7:18: warning: operators' pages are reachable from outside"],
        ),
        ("8080\nkeys", "8081\nkeys", &["5:14: the listener on line 5 and `admin` have the same address"]),
    ]);
}

#[test]
fn a_prefix_is_a_plain_path() {
    for bad in
        ["oauth2", "/", "/oauth2/", "//x", "/a//b", "/a/../b", "/a%41", "/a*", "/a;b", "/å", "/a/b/c/d/e"]
    {
        let heads = heads(&with("keys: keys", &format!("keys: keys\nprefix: '{bad}'")));
        assert!(
            heads.len() == 1 && heads[0].starts_with("7:9: ") && heads[0].ends_with(" is no prefix"),
            "{bad}: {heads:?}"
        );
    }
    let loaded = check(&with("keys: keys", "keys: keys\nprefix: /auth/v1")).unwrap();
    assert_eq!(loaded.configuration.prefix, "/auth/v1");
}

#[test]
fn a_provider_is_one_that_may_be_believed() {
    expect(&[
        (
            "client_id: demo",
            "client_id: demo\n    issuer: http://idporten.example",
            &["12:13: a provider is called by https only"],
        ),
        (
            "client_id: demo",
            "client_id: demo\n    issuer: https://x@idporten.example",
            &["12:13: this is not a provider's URL: it holds a user's name"],
        ),
        (
            "client_id: demo",
            "client_id: demo\n    issuer: idporten.no",
            &["12:13: this is not a provider's URL: it does not begin with"],
        ),
        (
            "client_id: demo",
            "client_id: demo\n    issuer: https://idporten.no?x",
            &["12:13: this is not a provider's URL: it has a query"],
        ),
        (
            "client_id: demo",
            "client_id: demo\n    issuer: https://idporten.no",
            &["12:13: warning: people log in here in earnest"],
        ),
        (
            "client_id: demo",
            "client_id: demo\n    metadata_url: ftp://x",
            &["12:19: this is not a provider's URL"],
        ),
        (
            "profile: idporten",
            "profile: oidc",
            &["9:3: `issuer` is missing: profile `oidc` has no issuer of its own"],
        ),
        (
            "client_id: demo",
            "client_id: demo\n    scopes: [profile]",
            &["12:13: `openid` is not among the scopes"],
        ),
        (
            "client_id: demo",
            "client_id: demo\n    scopes: [openid profile]",
            &["12:13: `openid` is not among the scopes", "12:14: this is no scope"],
        ),
        (
            "client_id: demo",
            "client_id: demo\n    scopes: [openid, openid]",
            &["12:22: `openid` is there twice"],
        ),
        (
            "client_id: demo",
            "client_id: demo\n    algorithms: [HS256]",
            &["12:18: `HS256` is not accepted as a signature algorithm; anybody"],
        ),
        (
            "client_id: demo",
            "client_id: demo\n    algorithms: [RS265]",
            &["12:18: `RS265` is not accepted as a signature algorithm; did you mean `RS256`?"],
        ),
        ("client_id: demo", "client_id: demo\n    algorithms: [none]", &["12:18: `none` is not accepted"]),
        (
            "client_id: demo",
            "client_id: demo\n    locale: no",
            &["12:13: profile `idporten` does not know the language `no`"],
        ),
        (
            "client_id: demo",
            "client_id: demo\n    par: off",
            &["12:10: `off` is not known here; did you mean `never`?"],
        ),
        (
            "client_id: demo",
            "client_id: demo\n    acr: {idporten-loa-low: {level: high, framework: national}}",
            &["12:11: profile `idporten` says what this value is worth"],
        ),
        (
            "client_id: demo",
            "client_id: demo\n    acr: {x: {level: hgih}}",
            &["12:15: `framework` is missing", "12:22: `hgih` is not known here; did you mean `high`?"],
        ),
        (
            "client_id: demo",
            "client_id: demo\n    ca_file: /nowhere/ca",
            &["12:14: this file cannot be read"],
        ),
        (
            "client_id: demo",
            "client_id: demo\n  Other: {profile: idporten, client_id: x}",
            &["12:3: this is no name for a provider", "12:3: warning: no host uses the provider `Other`"],
        ),
        (
            "    provider: idporten",
            "    provider: idportn",
            &[
                "9:3: warning: no host uses the provider `idporten`",
                "16:15: there is no provider `idportn`; did you mean `idporten`?",
            ],
        ),
        (
            "    provider: idporten",
            "    provider: [idporten]",
            &["9:3: warning: no host uses", "16:15: a list stands where text belongs"],
        ),
        (
            "    provider: idporten\n",
            "",
            &[
                "9:3: warning: no host uses",
                "15:13: people log in on line 21, and this host has no `provider`",
            ],
        ),
        (
            "    provider: idporten\n",
            "    provider: idporten\n    auth_host: http://localhost:8080\n",
            &["17:16: this is the host itself"],
        ),
        (
            "    provider: idporten\n",
            "    provider: idporten\n    auth_host: http://127.0.0.1:9\n",
            &["17:16: no host of this file has this origin"],
        ),
        (
            "    provider: idporten\n",
            "    provider: idporten\n    auth_host: http://127.0.0.1:9/login\n",
            &["17:16: this is no origin: it has more than scheme, host and port"],
        ),
        (
            "hosts:\n",
            "hosts:\n  - {origin: 'http://127.0.0.1:9', auth_host: 'http://localhost:8080', routes: [{path: /, access: public, upstream: app}]}\n  - {origin: 'http://127.0.0.1:8', auth_host: 'http://127.0.0.1:9', provider: idporten, routes: [{path: /, access: public, upstream: app}]}\n",
            &[
                "16:47: this host has an `auth_host` itself",
                "16:47: `http://127.0.0.1:9` does not log in at `idporten`, and this host does",
            ],
        ),
    ]);
}

#[test]
fn production_takes_nothing_that_is_for_tests() {
    let production = with("environment: test\ninsecure_http_loopback: true", "environment: production\n")
        .replace("http://localhost:8080", "https://www.example.no")
        .replace("127.0.0.1:8080\n", "127.0.0.1:8080\n    load_balancers: [10.0.0.0/8]\n");
    let loaded = check(&production).unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!(loaded.configuration.providers[0].issuer, "https://idporten.no");
    assert!(!loaded.configuration.providers[0].insecure_http);
    for issuer in [
        "https://test.idporten.no",
        "https://TEST.idporten.no/",
        "http://127.0.0.1:8082/idporten",
        "https://localhost/x",
        "https://[::1]",
    ] {
        let heads = heads(
            &production.replace("client_id: demo", &format!("client_id: demo\n    issuer: '{issuer}'")),
        );
        assert!(
            heads.len() == 1 && heads[0].contains("a test provider is refused in production"),
            "{issuer}: {heads:?}"
        );
    }
    let without_sid = heads(
        &production.replace("client_id: demo", "client_id: demo\n    insecure_login_without_sid: true"),
    );
    assert!(
        without_sid.len() == 1
            && without_sid[0].contains("`insecure_login_without_sid` is not for production"),
        "{without_sid:?}"
    );
    let other =
        heads(&production.replace("client_id: demo", "client_id: demo\n    issuer: https://login.example"));
    assert!(
        other.len() == 1 && other[0].contains("warning: this is not the issuer of profile `idporten`"),
        "{other:?}"
    );
    let switch = heads(
        &production
            .replace("environment: production\n", "environment: production\ninsecure_http_loopback: true"),
    );
    assert_eq!(switch, ["3:25: `insecure_http_loopback` is refused in production"]);
}

#[test]
fn hosts_and_apps_are_addresses_and_nothing_more() {
    expect(&[
        ("http://localhost:8080", "http://www.example.no", &["15:13: a public host is served by https"]),
        (
            "http://localhost:8080",
            "https://www.example.no/",
            &["15:13: this is no origin: it has more than scheme, host and port"],
        ),
        ("http://localhost:8080", "localhost:8080", &["15:13: this is no origin: it does not begin with"]),
        ("http://localhost:8080", "https://exa mple.no", &["15:13: this is no origin: its host is no name"]),
        ("http://localhost:8080", "https://eksempel.nø", &["15:13: this is no origin: its host is no name"]),
        (
            "hosts:\n",
            "hosts:\n  - {origin: \"http://LOCALHOST:8080\", routes: [{path: /, access: public, upstream: app}]}\n",
            &["16:13: the host on line 15 is this one too"],
        ),
        (
            "http://127.0.0.1:8083",
            "http://127.0.0.1:8083/api",
            &["13:14: this is not an app's address: it has more"],
        ),
        ("http://127.0.0.1:8083", "127.0.0.1:8083", &["13:14: this is not an app's address"]),
        (
            "http://127.0.0.1:8083",
            "http://u:hunter2@app",
            &["13:14: this is not an app's address: it holds a user's name or password"],
        ),
        (
            "\"http://127.0.0.1:8083\"",
            "\"http://app\", ca_file: /nowhere/ca",
            &["13:37: `ca_file` has no effect on plain http", "13:37: this file cannot be read"],
        ),
        (
            "\"http://127.0.0.1:8083\"",
            "\"http://app\", connect_timeout: 0ms",
            &["13:45: `0ms` is out of bounds"],
        ),
        (
            "url: \"http://127.0.0.1:8083\"",
            "url: \"http://app\", urls: [\"http://other\"]",
            &["13:34: `url` stands on line 13 already"],
        ),
        (
            "url: \"http://127.0.0.1:8083\"",
            "urls: [\"http://app\", \"https://other\", \"http://APP:80\"]",
            &["13:30: one app is plain http at one address", "13:47: `http://APP:80` is there twice"],
        ),
        ("url: \"http://127.0.0.1:8083\"", "urls: []", &["13:15: an empty list stands where"]),
        (
            "\"http://127.0.0.1:8083\"",
            "\"http://app\", server_name: app.test, client_key: /nowhere",
            &[
                "13:41: `server_name` has no effect on plain http",
                "13:63: `client_key` has no effect",
                "13:63: a client certificate needs both",
            ],
        ),
        (
            "\"http://127.0.0.1:8083\"",
            "\"https://app\", server_name: \"app.test:1\"",
            &["13:42: `app.test:1` is no host name"],
        ),
        (
            "\"http://127.0.0.1:8083\"",
            "\"http://app\", health: {path: health, status: [99], interval: 10ms, failures: 0}",
            &[
                "13:43: `health` is no path",
                "13:60: `99` is out of bounds",
                "13:75: `10ms` is out of bounds",
                "13:91: `0` is out of bounds",
            ],
        ),
        (
            "\"http://127.0.0.1:8083\"",
            "\"http://app\", health: {status: [200]}",
            &["13:45: `status` has no effect without `path`"],
        ),
        (
            "\"http://127.0.0.1:8083\"",
            "\"http://app\", max_requests: 0, balance: random",
            &["13:42: `0` is out of bounds", "13:54: `random` is not known here"],
        ),
        (
            "        upstream: app\n",
            "        upstream: apq\n",
            &["20:19: there is no upstream `apq`; did you mean `app`?"],
        ),
        (
            "upstreams:\n",
            "upstreams:\n  spare: {url: \"https://spare\"}\n",
            &["13:3: warning: no route uses the upstream `spare`"],
        ),
        (
            "upstreams:\n",
            "upstreams:\n  a b: {url: \"https://spare\"}\n",
            &["13:3: this is no name for an upstream", "13:3: warning: no route"],
        ),
        (
            "access: login",
            "access: login\n        host: kepe",
            &["23:15: `kepe` is probably not meant; did you mean `keep`?"],
        ),
        ("access: login", "access: login\n        host: https://x", &["23:15: `https://x` is no host name"]),
        ("access: login", "access: login\n        audience: a b", &["23:19: this is no audience"]),
    ]);
}

#[test]
fn routes_are_unambiguous_and_never_the_gateways_own() {
    expect(&[
        ("path: /app/**", "path: app", &["21:15: a path begins with `/`"]),
        ("path: /app/**", "path: /app*", &["21:15: `*` stands for one whole segment"]),
        ("path: /app/**", "path: /a/../b", &["21:15: no request has this path"]),
        ("path: /app/**", "path: /a%41b", &["21:15: no request has this path"]),
        ("path: /app/**", "path: /", &["21:15: the route on line 18 governs these requests already"]),
        (
            "path: /app/**",
            "path: /oauth2/login",
            &["21:15: no request reaches this route: everything below `/oauth2`"],
        ),
        ("path: /app/**", "path: /OAuth2/**", &["21:15: no request reaches this route"]),
        ("path: /app/**", "path: /oauth2", &["21:15: no request reaches this route"]),
        (
            "path: /app/**",
            "path: /.well-known/portvakt/x",
            &["21:15: no request reaches this route: everything below `/.well-known/portvakt`"],
        ),
        (
            "path: /app/**",
            "path: '/app./**'",
            &["21:15: no request reaches `/app./**`: an application could read its paths as others"],
        ),
        (
            "path: /\n",
            "path: /app/open/**\n",
            &["19:17: warning: `/app/open/**` asks for less than `/app/**` on line 21"],
        ),
        (
            "access: login",
            "access: login\n        methods: [get]",
            &["23:19: `get` is not a known method: methods are case-sensitive"],
        ),
        ("access: login", "access: login\n        methods: [GET, GET]", &["23:24: `GET` is there twice"]),
        (
            "access: login",
            "access: login\n        methods: [TRACE, CONNECT]",
            &["23:19: `TRACE` is never forwarded", "23:26: `CONNECT` is never"],
        ),
        ("access: login", "access: login\n        methods: [\"G T\"]", &["23:19: `G T` is no method"]),
    ]);
}

#[test]
fn a_requirement_can_be_fulfilled() {
    expect(&[
        (
            "access: public",
            "access: public\n        require: {level: high}",
            &["20:19: `require` has no effect on a public route"],
        ),
        (
            "access: public",
            "access: public\n        cache: app\n        headers: {fnr: drop}",
            &[
                "20:16: warning: `cache` has no effect on a public route",
                "21:19: warning: `headers` has no effect",
            ],
        ),
        (
            "access: login",
            "access: login\n        require: {kinds: [employee]}",
            &["23:27: the provider `idporten` never asserts this kind"],
        ),
        (
            "access: login",
            "access: login\n        require: {kinds: [national, national]}",
            &["23:37: `national` is there twice"],
        ),
        (
            "access: login",
            "access: login\n        require: {level: high, kinds: [email]}",
            &["23:26: nobody reaches level `high` at the provider `idporten`"],
        ),
        (
            "access: login",
            "access: login\n        require: {level: high, kinds: [eidas, email]}",
            &["23:47: warning: this kind never reaches level `high`"],
        ),
        ("access: login", "access: login\n        require: {kinds: [national, eidas], fnr: true}", &[]),
        (
            "access: login",
            "access: login\n        require: {level: none, kinds: [email], fnr: true}",
            &["23:53: nobody passes: nobody of the kinds that the route takes has a number"],
        ),
        (
            "access: login",
            "access: login\n        require: {level: hihg}",
            &["23:26: `hihg` is not known here; did you mean `high`?"],
        ),
        ("profile: idporten", "profile: oidc\n    issuer: https://login.example", &[]),
    ]);
    let plain = |require: &str| {
        with("profile: idporten", "profile: oidc\n    issuer: https://login.example")
            .replace("access: login", &format!("access: login\n        require: {require}"))
    };
    assert_eq!(
        heads(&plain("{level: low}")),
        ["24:26: nobody reaches level `low` at the provider `idporten`"]
    );
    assert_eq!(
        heads(&plain("{fnr: true}")),
        ["24:24: nobody passes: the provider `idporten` never asserts a number"]
    );
    assert_eq!(
        heads(&plain("{kinds: [national]}")),
        ["24:27: the provider `idporten` never asserts this kind"]
    );
    let worth = "client_id: demo\n    acr: {gold: {level: high, framework: national, requestable: true}}";
    assert_eq!(heads(&plain("{level: high}").replace("client_id: demo", worth)), Vec::<String>::new());
}

/// A wallet, a passport: what a profile does not know yet is worth what the file says, for that provider alone, and
/// never without a word.
#[test]
fn a_profiles_table_is_extended_by_the_file_and_it_is_said() {
    let extended = with(
        "client_id: demo",
        "client_id: demo\n    acr: {eudiw-loa-high: {level: high, framework: eidas}, \
         passport: {level: low, framework: national, requestable: true}}",
    );
    let loaded = check(&extended).unwrap();
    let warnings: Vec<String> = loaded.warnings.iter().map(|warning| warning.message.clone()).collect();
    let says = |value: &str| {
        format!(
            "profile `idporten` does not know the `acr` value `{value}`: people log in by it because this file says so"
        )
    };
    assert_eq!(warnings, [says("eudiw-loa-high"), says("passport")]);
    let table = &loaded.configuration.providers[0].acr;
    let worth = |value: &str| table.rank(value).map(|row| (row.level, row.framework));
    assert_eq!(worth("eudiw-loa-high"), Some((Some(Level::High), Framework::Eidas)));
    assert_eq!(worth("passport"), Some((Some(Level::Low), Framework::National)));
    assert_eq!(worth("eudiw-loa-substantial"), None, "nothing is read from a prefix");
    assert_eq!(table.request(Framework::National, Some(Level::Low)), Some("passport"));
    assert_eq!(table.request(Framework::Eidas, Some(Level::High)), Some("eidas-loa-high"), "not asked for");
    // What the profile says stays, and a plain provider has nothing else than the file.
    let changed =
        |acr: &str| heads(&with("client_id: demo", &format!("client_id: demo\n    acr: {{{acr}}}")));
    assert_eq!(
        changed("idporten-loa-substantial: {level: high, framework: national}"),
        ["12:11: profile `idporten` says what this value is worth"]
    );
}

#[test]
fn headers_have_names_of_their_own() {
    let headers =
        |headers: &str| with("access: login", &format!("access: login\n        headers: {headers}"));
    for (yaml, expected) in [
        ("{fnr: X_Pid}", "23:24: `X_Pid` has an underscore: servers drop such headers"),
        ("{fnr: Cookie}", "23:24: `Cookie` means something else to servers"),
        ("{fnr: AUTHORIZATION}", "23:24: `AUTHORIZATION` means something else"),
        ("{fnr: host}", "23:24: `host` means something else"),
        ("{fnr: Content-Length}", "23:24: `Content-Length` means something else"),
        ("{fnr: Transfer-Encoding}", "23:24: `Transfer-Encoding` means something else"),
        ("{fnr: Sec-Fetch-Mode}", "23:24: `Sec-Fetch-Mode` means something else"),
        ("{fnr: \"X Pid\"}", "23:24: `X Pid` is no header name"),
        ("{fnr: \"X-Pid:\"}", "23:24: `X-Pid:` is no header name"),
        ("{fnr: 1}", "23:24: `1` is no header name"),
        ("{fnr: Drop}", "23:24: `Drop` is not known here; did you mean `drop`?"),
        ("{fnr: off}", "23:24: `off` is not known here; did you mean `drop`?"),
        ("{fnr: {}}", "23:24: an empty mapping stands where"),
        ("{fnr: X-Id, subject: x-iD}", "23:39: `fnr` and `subject` would have the same name"),
        ("{email: X-Identity-Fnr}", "23:26: `fnr` and `email` would have the same name"),
        ("{fnr: X-Identity-Email}", "23:24: `fnr` and `email` would have the same name"),
        ("{fmr: drop}", "23:19: there is no fact `fmr`; did you mean `fnr`?"),
        ("{email: {encoding: latin1}}", "23:37: `latin1` is not known here"),
        (
            "{email: {encoding: insecure_latin1}}",
            "23:37: warning: servers read raw bytes beyond ASCII in different ways",
        ),
        (
            "{fnr: drop, subject: drop, eidas_identifier: drop}",
            "23:19: warning: the app is not told who it is",
        ),
    ] {
        let heads = heads(&headers(yaml));
        assert!(
            heads.len() == 1 && heads[0].starts_with(expected),
            "{yaml}\n  expected {expected}\n  found {heads:?}"
        );
    }
    let loaded = check(&headers(
        "{fnr: X-Pid, email: X-Identity-Subject, subject: drop, family_name: {encoding: rfc8187}}",
    ))
    .unwrap();
    let plan = &route(&loaded, "/app/**").headers;
    let header = |fact| plan.headers().iter().find(|header| header.fact == fact);
    assert_eq!(header(Fact::Fnr).unwrap().name, "x-pid");
    assert_eq!(header(Fact::Email).unwrap().name, "x-identity-subject");
    assert_eq!(header(Fact::FamilyName).unwrap().encoding, Encoding::Rfc8187);
    assert!(header(Fact::Subject).is_none());
    assert_eq!(plan.audience(), "app");
}

#[test]
fn logs_are_where_the_file_says() {
    expect(&[
        (
            "logs: {access: stdout, audit: {file: audit.log}}\n",
            "",
            &["8:3: nothing says where logins and logouts are written down"],
        ),
        (", audit: {file: audit.log}", "", &["7:8: nothing says where logins"]),
        (
            "audit: {file: audit.log}",
            "audit: off",
            &["7:31: warning: an audit log is part of the terms of profile `idporten`"],
        ),
        ("audit: {file: audit.log}", "audit: stdout", &["7:31: warning: the audit log holds `sid`"]),
        ("access: stdout", "access: off", &["7:16: warning: no access log is written"]),
        (
            "access: stdout",
            "access: {file: audit.log}",
            &["7:43: the access log and the audit log are one file"],
        ),
        ("audit: {file: audit.log}", "audit: of", &["7:31: `of` is not known here; did you mean `off`?"]),
        (
            "audit: {file: audit.log}",
            "audit: {path: audit.log}",
            &["7:32: unknown key `path`", "7:32: `file` is missing"],
        ),
    ]);
}

#[test]
fn all_problems_are_told_at_once() {
    let text = BASE
        .replace("version: 1", "version: 3")
        .replace("keys: keys", "keyz: keys")
        .replace("client_id: demo", "client_id: demo\n    locale: xx")
        .replace("path: /app/**", "path: app")
        .replace("upstream: app", "upstream: nobody");
    let lines: Vec<usize> = problems(&text).iter().map(|problem| problem.line).collect();
    assert_eq!(lines, [1, 6, 12, 14, 21, 22, 24]);
}

#[test]
fn a_missing_key_hides_no_other_problem() {
    let text = BASE
        .replace("environment: test\n", "limits: {connections: 0}\nthreads: 0\ndrain: 0s\n")
        .replace("client_id: demo", "client_id: demo\n    issuer: ftp://x")
        .replace("keys: keys\n", "");
    let lines: Vec<usize> = problems(&text).iter().map(|problem| problem.line).collect();
    assert_eq!(lines, [1, 1, 2, 3, 4, 13]);
}

#[test]
fn many_warnings_do_not_hide_an_error() {
    let route = |at| format!("      - {{path: /app/x{at}, access: optional, upstream: app}}\n");
    let text = with("    routes:\n", &format!("    routes:\n{}", (0..600).map(route).collect::<String>()));
    assert_eq!(check(&text).unwrap().warnings.len(), 500);
    // Sessions and logs are checked after the routes.
    let problems = check(&text.replace("access: stdout", "access: {file: audit.log}")).unwrap_err();
    assert!(problems.is_fatal());
    assert_eq!(problems.iter().filter(|problem| problem.severity == Severity::Error).count(), 1);
}

#[test]
fn a_host_has_a_bounded_number_of_routes_and_each_tie_is_told_once() {
    let routes = |count: usize, path: &dyn Fn(usize) -> String| -> String {
        let route = |at| format!("      - {{path: \"{}\", access: login, upstream: app}}\n", path(at));
        with("    routes:\n", &format!("    routes:\n{}", (0..count).map(route).collect::<String>()))
    };
    assert!(check(&routes(1998, &|at| format!("/x{at}"))).is_ok());
    assert_eq!(
        heads(&routes(1999, &|at| format!("/x{at}"))),
        ["2020:9: this host has more than 2000 routes"]
    );
    let same = heads(&routes(4, &|_| "/x".to_owned()));
    assert_eq!(same.len(), 3);
    assert!(
        same.iter().all(|head| head.ends_with("the route on line 18 governs these requests already")),
        "{same:?}"
    );
}

#[test]
fn what_could_not_be_read_is_not_missed_elsewhere() {
    expect(&[
        (
            "upstreams:\n  app: {url: \"http://127.0.0.1:8083\"}",
            "upstreams: [app]",
            &["12:12: a list stands where"],
        ),
        (
            "providers:\n  idporten:\n    profile: idporten\n    client_id: demo",
            "providers: 1",
            &["8:12: a single value stands where"],
        ),
        (
            "  idporten:\n    profile: idporten\n    client_id: demo",
            "  idporten: x",
            &["9:13: a single value stands where"],
        ),
    ]);
}

#[test]
fn the_environment_is_put_in_where_the_file_asks_for_it() {
    let environment = |name: &str| match name {
        "PORT" => Some("8099".to_owned()),
        "EMPTY" => Some(String::new()),
        "ODD" => Some("x, admin: {address: evil}".to_owned()),
        other => panic!("nobody asked for {other}"),
    };
    let parse = |text: &str| parse(text, "gateway.yaml", Path::new("/base"), &environment);
    let text = with("127.0.0.1:8080", "\"127.0.0.1:${PORT}\"")
        .replace("keys: keys", "keys: \"a$$b-${EMPTY:-c}-${PORT:-d}\"");
    let configuration = parse(&text).unwrap().configuration;
    assert_eq!(configuration.listeners[0].address.port(), 8099);
    assert_eq!(configuration.keys, Path::new("/base/a$b-c-8099"));
    assert_eq!(
        parse(&with("keys: keys", "keys: \"${ODD}\"")).unwrap().configuration.keys,
        Path::new("/base/x, admin: {address: evil}")
    );
    for (yaml, expected) in [
        ("${EMPTY}", "the environment has no `EMPTY`"),
        ("$PORT", "a dollar sign stands alone"),
        ("${PORT", "a dollar sign stands alone"),
        ("${1X}", "this names no environment variable"),
        ("${}", "this names no environment variable"),
    ] {
        let problems = parse(&with("keys: keys", &format!("keys: \"{yaml}\""))).unwrap_err();
        let problem = problems.iter().next().unwrap();
        assert_eq!((problem.line, problem.column, problem.message.as_str()), (6, 7, expected), "{yaml}");
    }
    // What came from the environment is not quoted: it may be more than the file's author knows.
    let problems = parse(&with("127.0.0.1:8080", "\"${ODD}\"")).unwrap_err().to_string();
    assert!(problems.contains("`${ODD}` is not an address") && !problems.contains("evil"), "{problems}");
}

/// A folder of its own for one test.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("portvakt-config-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }

    fn put(&self, name: &str, content: &[u8], mode: u32) {
        let path = self.0.join(name);
        std::fs::write(&path, content).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn with_auth(auth: &str) -> String {
    with("client_id: demo", &format!("client_id: demo\n    client_auth: {auth}"))
}

#[test]
fn a_secret_comes_from_a_file_that_others_cannot_read_or_from_the_environment() {
    let folder = Folder::new();
    folder.put("good", b"hunter2\n", 0o600);
    folder.put("open", b"hunter2\n", 0o644);
    folder.put("mounted", b"hunter2", 0o440);
    folder.put("shared", b"hunter2", 0o660);
    folder.put("empty", b"\n", 0o600);
    folder.put("two", b"hunter2\nhunter3\n", 0o600);
    folder.put("long", &[b'x'; 5000], 0o600);
    folder.put("binary", &[0xff, 0xfe], 0o600);
    let environment = |name: &str| (name == "SECRET").then(|| "hunter2".to_owned());
    let parse = |auth: &str| parse(&with_auth(auth), "gateway.yaml", &folder.0, &environment);
    for place in ["file:good", "file:mounted", "env:SECRET"] {
        let loaded = parse(&format!("{{client_secret_basic: \"{place}\"}}")).unwrap();
        let ClientAuth::ClientSecretBasic(secret) = &loaded.configuration.providers[0].client_auth else {
            panic!()
        };
        assert_eq!(secret.expose_secret(), "hunter2");
        assert!(!format!("{loaded:?}").contains("hunter2"));
    }
    for (place, expected) in [
        ("file:open", "others can read or change this file (mode 0644)"),
        ("file:shared", "others can read or change this file (mode 0660)"),
        ("file:empty", "this secret is empty, or holds blanks or several lines"),
        ("file:two", "this secret is empty, or holds blanks or several lines"),
        ("file:long", "this file holds no secret: it is not text, or too long"),
        ("file:binary", "this file holds no secret: it is not text, or too long"),
        ("file:absent", "this file cannot be read: it is not there"),
        ("file:.", "this file cannot be read: it is not a file"),
        ("env:ABSENT", "the environment does not hold this secret"),
    ] {
        let problems = parse(&format!("{{client_secret_post: \"{place}\"}}")).unwrap_err();
        let found: Vec<_> = problems.iter().map(|problem| (problem.line, problem.message.as_str())).collect();
        assert_eq!(found, [(12, expected)], "{place}");
        assert!(!problems.to_string().contains("hunter"), "{place}");
    }
}

#[test]
fn a_secret_in_the_file_is_a_problem_that_never_quotes_it() {
    for text in [
        with_auth("{client_secret_basic: hunter2}"),
        with_auth("{client_secret_basic: hunter2, client_secret_post: hunter2}"),
        with_auth("{client_secret_basic: [hunter2]}"),
        with_auth("{client_secret_basic: \"hunter2-${X:-1}\"}"),
        with_auth("hunter2"),
        with_auth("{hunter2: x}"),
        with_auth("[hunter2]"),
        with_auth("|\n      hunter2"),
        with_auth("{client_secret_basic: hunter2}\n    client_auth: hunter2"),
        with_auth("{client_secret: hunter2, locale: xx}"),
        with_auth("{ClientSecretBasic: hunter2}"),
        with("client_id: demo", "client_secret: hunter2\n    client_id: demo"),
        with("client_id: demo", "client_id: demo\n    pass: {password: hunter2}"),
        with("    profile: idporten\n    client_id: demo", "    {locale: xx, client_secret: hunter2}"),
        with("    client_id: demo", "    client_secret:hunter2: x\n    client_id: demo"),
        with("http://127.0.0.1:8083", "http://user:hunter2@127.0.0.1:8083"),
        with("http://127.0.0.1:8083", "http://user:hunter2@127.0.0.1:8083/#${"),
        with("keys: keys", "keyz: '-----BEGIN PRIVATE KEY----- hunter2'"),
        with("client_id: demo", "client_secret: hunter2\n    client_id: [demo"),
        with("client_id: demo", "client_secret: 'hunter2\n    client_id: demo"),
        with_auth("{client_secret_basic: hunter2"),
        with("client_id: demo", "client_secret: hunter2: x"),
        with("client_id: demo", "client_secret: \"hunter2\\q\""),
        with("keys: keys", "keys: [{client_secret: hunter2}"),
    ] {
        let problems = check(&text).expect_err(&text);
        assert!(!problems.to_string().contains("hunter"), "{text}\n{problems}");
        assert!(!format!("{problems:?}").contains("hunter"), "{text}\n{problems:?}");
    }
}

#[test]
fn what_the_file_leaves_out_is_the_stricter_choice() {
    let loaded = check(BASE).unwrap();
    let configuration = &loaded.configuration;
    assert_eq!(
        requirement(&loaded),
        Requirement {
            level: Some(Level::Substantial),
            kinds: [Kind::National].into(),
            max_age: None,
            ..Requirement::default()
        }
    );
    assert_eq!(configuration.session, crate::session::Limits::default());
    assert_eq!(configuration.prefix, "/oauth2");
    assert_eq!(configuration.admin, SocketAddr::from(([127, 0, 0, 1], 8081)));
    assert_eq!(
        configuration.limits,
        FrontLimits {
            handshake_deadline: Duration::from_secs(10),
            body_deadline: Duration::from_secs(30 * 60),
            request_deadline: Duration::from_secs(2 * 60 * 60),
            header_deadline: Duration::from_secs(10),
            keep_alive: Duration::from_secs(60),
            connections: 10_000,
            requests: 20_000,
            logins: Rate { requests: 6_000, per: Duration::from_secs(60), burst: 6_000 },
        }
    );
    assert_eq!((configuration.threads, configuration.drain), (None, Duration::from_secs(30)));
    assert_eq!(
        configuration.revocation,
        Revocation {
            file: "/nowhere/.portvakt/revocations.log".into(),
            max_lag: Duration::from_secs(5),
            max_gap: Duration::from_secs(60),
            stream: None,
        }
    );
    assert_eq!(configuration.logs.audit, LogTarget::File("/nowhere/audit.log".into()));
    assert_eq!(
        (configuration.logs.audit_person, configuration.logs.client_address),
        (AuditPerson::None, ClientAddress::Full)
    );
    let provider = &configuration.providers[0];
    assert_eq!((provider.issuer.as_str(), provider.par), ("https://test.idporten.no", Par::WhenOffered));
    assert!(matches!(provider.client_auth, ClientAuth::PrivateKeyJwt));
    let route = route(&loaded, "/app/**");
    assert_eq!(
        (route.name.as_str(), &route.methods, &route.host),
        ("localhost /app/**", &None, &UpstreamHost::Keep)
    );
    assert!(!route.keep_cache_control);
    assert_eq!(route.revocation, crate::route::Staleness::Strict);
    assert_eq!(super::tests::route(&loaded, "/").access, Access::Public);
    assert!(configuration.hosts.find(&HostName::parse("LOCALHOST:8080").unwrap()).is_some());
}

#[test]
fn levels_and_kinds_follow_what_is_asked_for() {
    let require = |require: &str| {
        requirement(
            &check(&with("access: login", &format!("access: login\n        require: {require}"))).unwrap(),
        )
    };
    assert_eq!(
        require("{kinds: [email]}"),
        Requirement { level: None, kinds: [Kind::Email].into(), max_age: None, ..Requirement::default() }
    );
    assert_eq!(require("{kinds: [national, eidas]}").level, Some(Level::Substantial));
    assert_eq!(
        require("{level: none}"),
        Requirement { level: None, kinds: [Kind::National].into(), max_age: None, ..Requirement::default() }
    );
    assert_eq!(
        require("{level: high, max_age: 10m}"),
        Requirement {
            level: Some(Level::High),
            kinds: [Kind::National].into(),
            max_age: Some(Duration::from_secs(600)),
            ..Requirement::default()
        }
    );
    let plain =
        check(&with("profile: idporten", "profile: oidc\n    issuer: https://login.example")).unwrap();
    assert_eq!(requirement(&plain), Requirement::default());
}

#[test]
fn a_session_shorter_than_the_usual_idle_time_may_be_idle_as_long_as_it_lasts() {
    let loaded = check(&with("keys: keys", "keys: keys\nsession: {absolute: 10m}")).unwrap();
    assert_eq!(loaded.configuration.session.idle, Duration::from_secs(600));
}

#[test]
fn a_file_is_read_from_its_place_and_paths_are_relative_to_it() {
    let folder = Folder::new();
    folder.put("gateway.yaml", BASE.as_bytes(), 0o644);
    let loaded = load(&folder.0.join("gateway.yaml"), &nothing).unwrap();
    assert_eq!(loaded.configuration.keys, folder.0.join("keys"));
    folder.put("latin1.yaml", b"version: 1\nkeys: \xe5\n", 0o644);
    let heads = |name: &str| load(&folder.0.join(name), &nothing).unwrap_err().to_string();
    assert!(heads("latin1.yaml").contains("/latin1.yaml:2:7: this is not UTF-8"), "{}", heads("latin1.yaml"));
    assert!(heads("absent.yaml").contains("/absent.yaml:1:1: this file cannot be read"));
    folder.put("huge.yaml", " ".repeat(MAX_FILE + 1).as_bytes(), 0o644);
    assert!(heads("huge.yaml").contains("/huge.yaml:1:1: this file is longer than"));
}

#[test]
fn a_problem_is_shown_with_its_line_and_remedy() {
    let problems = check(&with("access: login", "access: lgoin")).unwrap_err();
    assert_eq!(
        problems.to_string(),
        "gateway.yaml:22:17: `lgoin` is not known here; did you mean `login`?\n   22 |         access: lgoin\n      |                 ^^^^^\n   fix: write `public`, `optional`, `login` or `token`",
    );
}

#[test]
fn a_route_asks_for_assertions_and_the_file_says_who_issues_them() {
    let wanted = |top: &str| {
        with("access: login", "access: login\n        assertion: true")
            .replace("keys: keys", &format!("keys: keys{top}"))
    };
    let plan = |text: &str| {
        let loaded = check(text).unwrap_or_else(|problems| panic!("{problems}"));
        assert_eq!(loaded.warnings, []);
        let plan = route(&loaded, "/app/**").assertion.clone().unwrap();
        (plan.issuer().to_owned(), plan.audience().to_owned(), loaded.configuration.assertion_cache)
    };
    assert_eq!(plan(&wanted("")), ("http://localhost:8080".into(), "app".into(), 32 << 20));
    let given = wanted("\nassertion: {issuer: \"https://login.example/\", cache: 2GiB}");
    let given = given.replace("assertion: true", "assertion: true\n        audience: the-app");
    assert_eq!(plan(&given), ("https://login.example/".into(), "the-app".into(), 2 << 30));
    assert!(route(&check(BASE).unwrap(), "/app/**").assertion.is_none());
    assert!(route(&check(&given).unwrap(), "/").assertion.is_none());
}

#[test]
fn assertions_that_nobody_could_use_are_told() {
    const WANTED: &str = "access: login\n        assertion: true";
    expect(&[
        (
            "keys: keys",
            "keys: keys\nassertion: {cache: 1MiB}",
            &["7:13: warning: no route asks for assertions"],
        ),
        (
            "access: public",
            "access: public\n        assertion: true",
            &["20:20: warning: `assertion` has no effect on a public route"],
        ),
        ("access: login", "access: login\n        assertion: yes", &["23:20: `yes` is neither"]),
        (
            "access: login",
            &format!("{WANTED}\n        headers: {{fnr: drop, subject: drop}}"),
            &["24:30: an assertion says whom it speaks of, and this route drops `subject`"],
        ),
        (
            "access: login",
            "access: login\n        headers: {fnr: X-Identity-Assertion}",
            &["23:24: `X-Identity-Assertion` means something else"],
        ),
    ]);
    let mut wrong = Vec::new();
    for (given, expected) in [
        ("issuer: login.example", "7:21: this is no issuer"),
        ("issuer: \"http://login.example\"", "7:21: an issuer is an https URL"),
        ("issuer: \"https://login.example?x\"", "7:21: this is no issuer"),
        ("cache: 32", "7:20: `32` is not a size"),
        ("cache: 32MB", "7:20: `32MB` is not a size"),
        ("cache: 512KiB", "7:20: `512KiB` is out of bounds"),
        ("cache: 5GiB", "7:20: `5GiB` is out of bounds"),
        ("cahce: 32MiB", "7:13: unknown key `cahce`; did you mean `cache`?"),
    ] {
        let text = with("access: login", WANTED);
        let found = heads(&text.replace("keys: keys", &format!("keys: keys\nassertion: {{{given}}}")));
        if found.len() != 1 || !found[0].starts_with(expected) {
            wrong.push((given, found));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn a_route_signs_what_can_be_signed() {
    let text = with("access: login", "access: login\n        audience: it\n        signature: hmac-sha256");
    let plan = route(&check(&text).unwrap(), "/app/**").signature.clone().unwrap();
    assert_eq!((plan.algorithm, &*plan.audience, &*plan.app), (SignatureAlgorithm::HmacSha256, "it", "app"));
    expect(&[
        ("access: login", "access: login\n        signature: hmac", &["23:20: `hmac` is not known here"]),
        (
            "access: login",
            "access: login\n        signature: ed25519\n        headers: {given_name: {encoding: insecure_utf8}}",
            &[
                "23:20: `given_name` is sent as raw bytes beyond ASCII",
                "24:42: warning: servers read raw bytes beyond ASCII in different ways",
            ],
        ),
    ]);
}

#[test]
fn a_route_has_a_rate_and_is_closed_as_the_file_says() {
    let given = "access: login\n        rate: {requests: 10, per: 1m, burst: 3}\n        \
                 maintenance: {message: 'Back at <6>', until: 2026-12-01T06:00:00+01:00}";
    let loaded = check(&with("access: login", given)).unwrap_or_else(|problems| panic!("{problems}"));
    let found = route(&loaded, "/app/**");
    assert_eq!(found.rate, Some(Rate { requests: 10, per: Duration::from_secs(60), burst: 3 }));
    let until = Some(Timestamp::from_seconds(1_796_101_200));
    assert_eq!(found.maintenance, Some(Maintenance { message: Some("Back at <6>".into()), until }));
    for (given, rate, closed) in [
        ("rate: {requests: 7}", Some(Rate { requests: 7, per: Duration::from_secs(1), burst: 7 }), false),
        ("maintenance: false", None, false),
        ("maintenance: true", None, true),
        ("maintenance: {}", None, true),
    ] {
        let loaded = check(&with("access: login", &format!("access: login\n        {given}"))).unwrap();
        let found = route(&loaded, "/app/**");
        assert_eq!((found.rate, found.maintenance.is_some()), (rate, closed), "{given}");
    }
    let mut wrong = Vec::new();
    for (given, expected) in [
        ("rate: 5", "23:15: a single value stands where a mapping"),
        ("rate: {per: 1s}", "23:16: `requests` is missing"),
        ("rate: {requests: 0}", "23:26: `0` is out of bounds"),
        ("rate: {requests: 1000001}", "23:26: `1000001` is out of bounds"),
        ("rate: {requests: 1, per: 10ms}", "23:34: `10ms` is out of bounds"),
        ("rate: {requests: 1, per: 25h}", "23:34: `25h` is out of bounds"),
        ("rate: {requests: 1, burst: 0}", "23:36: `0` is out of bounds"),
        ("maintenance: soon", "23:22: `soon` is neither `true` nor `false`"),
        ("maintenance: {message: ' '}", "23:32: this cannot stand on a page"),
        ("maintenance: {message: \"a\\nb\"}", "23:32: this holds a control character"),
        ("maintenance: {until: tomorrow}", "23:30: `tomorrow` is not a point in time"),
        ("maintenance: {until: 2026-12-01}", "23:30: `2026-12-01` is not a point in time"),
        ("maintenance: {till: x}", "23:23: unknown key `till`"),
    ] {
        let found = heads(&with("access: login", &format!("access: login\n        {given}")));
        if found.len() != 1 || !found[0].starts_with(expected) {
            wrong.push((given, found));
        }
    }
    let found = heads(&with("keys: keys", "keys: keys\nlimits: {requests: 0, logins: {requests: 0}}"));
    if found != ["7:20: `0` is out of bounds", "7:42: `0` is out of bounds"] {
        wrong.push(("limits", found));
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn a_value_that_an_operator_adds_does_not_change_for_whom_other_routes_are() {
    let added = "    profile: ansattporten\n    issuer: https://work.example\n    acr: {wallet: {level: substantial, framework: \
                 national, requestable: true}}\n";
    let loaded = check(&with("    profile: idporten\n", added)).unwrap();
    assert_eq!(requirement(&loaded).kinds, [Kind::Employee].into());
    // Where a profile knows no values, they are all the operator's.
    let plain = added.replace("ansattporten", "oidc");
    let loaded =
        check(&with("    profile: idporten\n", &plain)).unwrap_or_else(|problems| panic!("{problems}"));
    assert!(!requirement(&loaded).kinds.contains(&Kind::Employee));
}

#[test]
fn the_published_schema_is_this_one() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/gateway.schema.json");
    let current = format!("{}\n", serde_json::to_string_pretty(&schema()).unwrap());
    if std::env::var_os("UPDATE_SCHEMA").is_some() {
        std::fs::write(&path, &current).unwrap();
    }
    let published = std::fs::read_to_string(&path).unwrap();
    assert!(
        published == current,
        "run the tests once with UPDATE_SCHEMA=1, and commit docs/gateway.schema.json"
    );
}

/// Whether a value fits a schema, as far as ours goes.
fn fits(value: &serde_json::Value, schema: &serde_json::Value) -> Result<(), String> {
    let is_type = |name: &str| match name {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_u64(),
        "number" => value.is_number(),
        other => panic!("type {other}"),
    };
    for (keyword, rule) in schema.as_object().unwrap() {
        let good = match keyword.as_str() {
            "type" => rule.as_str().map_or_else(
                || rule.as_array().unwrap().iter().any(|name| is_type(name.as_str().unwrap())),
                is_type,
            ),
            "enum" => rule.as_array().unwrap().contains(value),
            "const" => rule == value,
            "anyOf" => rule.as_array().unwrap().iter().any(|schema| fits(value, schema).is_ok()),
            "required" => {
                rule.as_array().unwrap().iter().all(|key| value.get(key.as_str().unwrap()).is_some())
            }
            "properties" => rule
                .as_object()
                .unwrap()
                .iter()
                .all(|(key, schema)| value.get(key).is_none_or(|value| fits(value, schema).is_ok())),
            "additionalProperties" if rule.is_object() => value
                .as_object()
                .is_some_and(|entries| entries.values().all(|value| fits(value, rule).is_ok())),
            "additionalProperties" => value
                .as_object()
                .is_some_and(|entries| entries.keys().all(|key| schema["properties"].get(key).is_some())),
            "items" => {
                value.as_array().is_some_and(|items| items.iter().all(|item| fits(item, rule).is_ok()))
            }
            "propertyNames" => value.as_object().is_some_and(|entries| {
                entries.keys().all(|key| fits(&serde_json::Value::from(key.as_str()), rule).is_ok())
            }),
            "minItems" => value.as_array().is_some_and(|items| items.len() as u64 >= rule.as_u64().unwrap()),
            "minProperties" => {
                value.as_object().is_some_and(|entries| entries.len() as u64 >= rule.as_u64().unwrap())
            }
            "maxProperties" => {
                value.as_object().is_some_and(|entries| entries.len() as u64 <= rule.as_u64().unwrap())
            }
            "minimum" => value.as_u64() >= rule.as_u64(),
            "pattern" => match rule.as_str().unwrap() {
                "\\$\\{" => value.as_str().is_some_and(|text| text.contains("${")),
                "^[0-9]{1,9}(ms|s|m|h)$" => {
                    value.as_str().is_some_and(|text| shape::parse_duration(text).is_some())
                }
                "^[0-9]{1,6}(KiB|MiB|GiB)$" => {
                    value.as_str().is_some_and(|text| shape::parse_size(text).is_some())
                }
                "^(file|env):." => {
                    value.as_str().is_some_and(|text| text.starts_with("file:") || text.starts_with("env:"))
                }
                other => panic!("pattern {other}"),
            },
            "description" | "title" | "$schema" => true,
            other => panic!("keyword {other}"),
        };
        if !good {
            return Err(format!("{value} does not fit {keyword} {rule}"));
        }
    }
    Ok(())
}

#[test]
fn sound_files_fit_the_schema_and_unsound_ones_do_not() {
    let schema = schema();
    let json = |text: &str| serde_saphyr::from_str::<serde_json::Value>(text).unwrap();
    for text in [EXAMPLE, BASE, &with_auth("{client_secret_basic: \"file:x\"}")] {
        fits(&json(text), &schema).unwrap();
    }
    for text in [
        with("keys: keys", "kyes: keys"),
        with("access: login", "access: lgoin"),
        with("keys: keys", "keys: keys\ndrain: 30"),
        with("        access: login\n", ""),
        with_auth("{client_secret_basic: hunter2}"),
    ] {
        assert!(fits(&json(&text), &schema).is_err(), "{text}");
    }
}

/// Every problem has a place within the file, and can be shown.
fn is_well_told(text: &str) -> bool {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let lines: Vec<&str> = text.split('\n').collect();
    problems(text).iter().all(|problem| {
        let shown = problem.to_string();
        let line = lines.get(problem.line - 1);
        line.is_some_and(|line| (1..=line.chars().count() + 1).contains(&problem.column))
            && problem.span.end <= text.len()
            && shown.contains("fix: ")
            && !problem.message.is_empty()
    })
}

proptest! {
    #[test]
    fn no_text_makes_the_checker_panic(text in "\\PC{0,200}|[-a-z:{}\\[\\],\\n '\"#&*!|>$?~å\\t]{0,200}") {
        prop_assert!(is_well_told(&text), "{text:?}");
    }

    #[test]
    fn no_change_of_a_sound_file_makes_the_checker_panic(
        at in 0..BASE.len(), length in 0..40_usize, put in "[-a-z0-9:{}\\[\\],\\n '\"#&*!|>$?~å/.\\t]{0,12}",
    ) {
        let end = (at + length).min(BASE.len());
        let text = format!("{}{put}{}", &BASE[..at], &BASE[end..]);
        prop_assert!(is_well_told(&text), "{text}");
    }

    #[test]
    fn no_file_that_loads_has_a_route_without_access(
        drop in proptest::collection::vec(0..23_usize, 1..4),
    ) {
        let text: String = BASE.lines().enumerate().filter(|(at, _)| !drop.contains(at)).map(|(_, line)| format!("{line}\n")).collect();
        if let Ok(loaded) = check(&text) {
            let written = text.matches("access: login").count();
            let judged = loaded.configuration.hosts.iter().flat_map(|host| host.routes.iter()).filter(|route| matches!(route.access, Access::Login(_))).count();
            prop_assert_eq!(written, judged, "{}", text);
        }
    }
}

#[test]
fn ambiguity_1_two_levels_of_foreign_eids_are_not_asked_for_at_once() {
    let asking = |values: &str| {
        format!(
            "access: login\n        require: {{kinds: [national, eidas]}}\n        acr_values: [{values}]"
        )
    };
    let both = asking("eidas-loa-substantial, eidas-loa-high");
    let with_unknown = asking("idporten-loa-substantial, high");
    let fine = asking("idporten-loa-substantial, eidas-loa-substantial");
    let low = "access: login\n        require: {level: high}\n        acr_values: [idporten-loa-substantial]";
    let kind = "access: login\n        acr_values: [eidas-loa-high]";
    expect(&[
        ("access: login", &both, &["24:45: ID-porten supports no request for two eIDAS levels"]),
        ("access: login", &with_unknown, &["24:48: `high` cannot be asked for at the provider `idporten`"]),
        ("access: login", &fine, &[]),
        (
            "access: login",
            low,
            &["24:22: who logs in by `idporten-loa-substantial` does not pass: its level"],
        ),
        ("access: login", kind, &["23:22: who logs in by `eidas-loa-high` does not pass: it is of no kind"]),
    ]);
}

#[test]
fn policy_says_what_it_takes_and_takes_somebody() {
    let require = |require: &str| format!("access: login\n        require: {{{require}}}");
    expect(&[
        ("access: login", &require("kinds: [eidas], countries: [SE, FI]"), &[]),
        ("access: login", &require("countries: [SE]"), &["23:30: no foreign eID passes here"]),
        (
            "access: login",
            &require("kinds: [eidas], countries: [GR]"),
            &["23:47: `GR` is no country here: Greece is `EL`"],
        ),
        (
            "access: login",
            &require("kinds: [eidas], countries: [Se]"),
            &["23:47: `Se` is no country here: a country is two"],
        ),
        ("access: login", &require("not_amr: [Minid-PIN]"), &[]),
        ("access: login", &require("not_amr: ['a,b']"), &["23:29: this is no method of authentication"]),
        ("access: login", &require("providers: [idporten]"), &[]),
        (
            "access: login",
            &require("providers: [other]"),
            &["23:30: nobody passes: people log in at `idporten`", "23:31: there is no provider `other`"],
        ),
        ("access: login", &require("organisation: required"), &["23:33: `organisation` has no effect"]),
        (
            "access: login",
            "access: login\n        choose_organisation: true",
            &["23:30: `choose_organisation` has no effect"],
        ),
    ]);
}

#[test]
fn a_route_asks_for_whom_a_person_acts() {
    let asking =
        |details: &str| format!("access: login\n        authorization_details:\n          - {{{details}}}");
    let at = |details: &str| {
        heads(&with("profile: idporten", "profile: ansattporten").replace("access: login", &asking(details)))
    };
    for fine in [
        "type: 'ansattporten:altinn:service', resource: 'urn:altinn:resource:2480:40', organizationform: enterprise",
        "type: 'ansattporten:altinn:resource', resource: 'urn:altinn:resource:proeve', actions: [read], allow_multiple_organizations: true",
        "type: 'ansattporten:orgno', representation_is_required: true",
    ] {
        assert_eq!(at(fine), Vec::<String>::new(), "{fine}");
    }
    for (details, expected) in [
        ("type: 'ansattporten:altinn:service'", "`resource` is missing"),
        (
            "type: 'ansattporten:altinn:service', resource: 'urn:altinn:resource:proeve'",
            "this is no resource of Altinn's",
        ),
        ("type: 'ansattporten:orgno', resource: 'urn:altinn:resource:proeve'", "`resource` means nothing"),
        (
            "type: 'idporten:fullmakt', permission_roles: [helse]",
            "profile `ansattporten` does not know the type",
        ),
    ] {
        let heads = at(details);
        assert!(heads.iter().any(|head| head.contains(expected)), "{details}: {heads:?}");
    }
    let attorney = "access: login\n        authorization_details: [{type: 'idporten:fullmakt', permission_roles: [helse]}]";
    expect(&[("access: login", attorney, &[])]);
}

#[test]
fn nobody_logs_in_where_machines_get_their_tokens() {
    let found = heads(&with("profile: idporten", "profile: maskinporten"));
    assert!(
        found.iter().any(|head| head.contains("nobody logs in at a provider of profile `maskinporten`")),
        "{found:?}"
    );
}

#[test]
fn countries_are_a_table_of_the_operators() {
    expect(&[
        ("keys: keys", "keys: keys\neidas: {persistent: [SE, DK], not_persistent: [DE]}", &[]),
        ("keys: keys", "keys: keys\neidas: {persistent: [SE, DK]}", &["7:26: `DK` is persistent and not"]),
    ]);
}

#[test]
fn who_sends_a_proxy_header_is_named() {
    let text = with(
        "127.0.0.1:8080\n",
        "127.0.0.1:8080\n    load_balancers: [10.0.0.0/8, 192.0.2.1]\n    proxy_protocol: v2\n",
    );
    let listener = check(&text).unwrap().configuration.listeners.remove(0);
    let from = vec!["10.0.0.0/8".parse().unwrap(), "192.0.2.1/32".parse().unwrap()];
    assert_eq!(listener.proxy_protocol, Some(super::ProxyProtocol { v1: false, v2: true, from }));
    assert_eq!((listener.h2c, listener.connections_per_client), (false, Some(1000)));
}

#[test]
fn an_app_verifies_what_it_gets() {
    expect(&[
        ("access: login", "access: login\n        verified: true\n        assertion: true", &[]),
        ("access: login", "access: login\n        verified: true\n        signature: ed25519", &[]),
        ("access: login", "access: login\n        verified: false", &[]),
        (
            "access: login",
            "access: login\n        verified: true",
            &["23:19: the app gets no proof that it could verify"],
        ),
        (
            "access: login",
            "access: login\n        verified: true\n        assertion: false",
            &["23:19: the app gets no proof that it could verify"],
        ),
    ]);
}

#[test]
fn an_older_products_names_are_a_preset() {
    let headers = |headers: &str| format!("access: login\n        headers: {{{headers}}}");
    let names = [
        "siteminder",
        "siteminder-plain",
        "openam",
        "shibboleth",
        "mod_auth_openidc",
        "oauth2-proxy",
        "auth-request",
    ];
    for name in names {
        expect(&[("access: login", &headers(&format!("preset: {name}")), &[])]);
    }
    let bearer = "access: login\n        assertion: true\n        headers: {preset: wonderwall}";
    expect(&[
        ("access: login", bearer, &[]),
        ("access: login", &headers("preset: siteminder, fnr: drop, pseudonym: SM_USER, loa: add"), &[]),
        ("access: login", &headers("preset: siteminder, given_name: SM-GIVENNAME"), &[]),
        (
            "access: login",
            &headers("preset: shibboleth, encoding: insecure_utf8"),
            &["23:49: warning: servers read raw bytes beyond ASCII in different ways"],
        ),
        (
            "access: login",
            &headers("preset: wonderwall"),
            &["23:27: the token that this preset sends is the assertion, and the route has none"],
        ),
        (
            "access: login",
            &headers("preset: siteminder, pseudonym: SM_USER"),
            &["23:50: `fnr` and `pseudonym` would have the same name"],
        ),
        (
            "access: login",
            &headers("preset: siteminder, pseudonym: sm-user"),
            &["23:50: `fnr` and `pseudonym` would have the same name"],
        ),
        (
            "access: login",
            &headers("preset: siteminder, loa: SM_LEVEL"),
            &["23:44: `SM_LEVEL` has an underscore"],
        ),
        (
            "access: login",
            &headers("preset: sitemindr"),
            &["23:27: `sitemindr` is not known here; did you mean `siteminder`?"],
        ),
        (
            "access: login",
            &headers("encoding: rfc8187"),
            &["23:29: the encoding of all facts goes with a preset"],
        ),
        ("access: login", &headers("fnr: SM_USER"), &["23:24: `SM_USER` has an underscore"]),
    ]);
}

#[test]
fn the_file_knows_every_preset() {
    let schema = super::schema().to_string();
    for preset in crate::forward::preset::PRESETS {
        assert!(schema.contains(&format!("{:?}", preset.name)), "{}", preset.name);
    }
}

#[test]
fn an_app_can_have_an_assertion_for_each_request_or_its_clients_own_signatures() {
    let login = |keys: &str| format!("access: login{}", keys.replace('|', "\n        "));
    expect(&[
        ("access: login", &login("|assertion: true|assertion_once: true"), &[]),
        ("access: login", &login("|assertion: true|client_signatures: pass"), &[]),
        ("access: login", &login("|signature: ed25519|client_signatures: remove"), &[]),
        ("access: login", &login("|assertion_once: true"), &["23:25: there is no assertion on this route"]),
        (
            "access: login",
            &login("|client_signatures: pass|signature: ed25519"),
            &["23:28: the gateway signs here"],
        ),
    ]);
}

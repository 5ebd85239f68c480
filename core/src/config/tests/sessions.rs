//! Sessions side by side, as a file declares them.

use super::*;
use crate::session::plan::SessionPlan;

/// The base with a second provider, `staff`, and what else is given at the top and for the routes.
fn file(staff: &str, top: &str, routes: &str) -> String {
    let providers = format!(
        "providers:\n  staff:\n    profile: oidc\n    issuer: https://staff.example\n    client_id: demo\n{staff}"
    );
    let base = BASE.replacen("providers:\n", &providers, 1).replacen(
        "keys: keys\n",
        &format!("keys: keys\n{top}"),
        1,
    );
    format!("{base}{routes}")
}

fn told(plan: &SessionPlan) -> (&str, &str, &str, &str) {
    (&plan.name, &plan.provider.name, plan.cookie(), plan.scope())
}

fn sound(text: &str) -> Loaded {
    check(text).unwrap_or_else(|problems| panic!("{problems}"))
}

const STAFF: &str =
    "      - {path: '/staff/**', access: login, require: {level: none}, session: staff, upstream: app}\n";

#[test]
fn a_host_with_a_provider_alone_has_one_session_by_its_old_name() {
    let loaded = sound(BASE);
    let [plan] = host(&loaded).sessions.as_slice() else { panic!("one session") };
    assert_eq!(told(plan), ("idporten", "idporten", "__Host-portvakt", "localhost"));
    assert_eq!(told(route(&loaded, "/app/**").session.as_ref().unwrap()), told(plan));
    // A public route is judged as nobody; what its app keeps ends with the host's own session.
    assert_eq!(told(route(&loaded, "/").session.as_ref().unwrap()), told(plan));
}

#[test]
fn a_route_names_a_session_or_a_provider_and_the_hosts_own_keeps_its_cookie() {
    let own_callback = "    callback: own\n";
    let loaded = sound(&file(own_callback, "", STAFF));
    let found: Vec<_> = host(&loaded).sessions.iter().map(|plan| told(plan)).collect();
    let usual = ("idporten", "idporten", "__Host-portvakt", "localhost");
    assert_eq!(found, [usual, ("staff", "staff", "__Host-portvakt-staff", "localhost")]);
    assert_eq!(route(&loaded, "/staff/**").session.as_ref().unwrap().provider.callback(), "/callback/staff");
    // With a name of its own.
    let routes = STAFF.replace("session: staff", "session: night-shift");
    let loaded = sound(&file(own_callback, "sessions: {night-shift: {provider: staff}}\n", &routes));
    let found: Vec<_> = host(&loaded).sessions.iter().map(|plan| told(plan)).collect();
    assert_eq!(found, [usual, ("night-shift", "staff", "__Host-portvakt-night-shift", "localhost")]);
    // What a route demands is judged by the provider of its own session.
    let routes = STAFF.replace("level: none", "level: high");
    let heads = heads(&file(own_callback, "", &routes));
    assert!(
        heads.iter().any(|head| head.contains("nobody reaches level `high` at the provider `staff`")),
        "{heads:?}"
    );
}

#[test]
fn a_session_with_a_cookie_domain_is_one_for_all_hosts_below_it() {
    let text = "sessions:\n  citizen: {provider: idporten, cookie_domain: test.localhost}\n";
    let more = "  - {origin: 'http://a.test.localhost:8080', session: citizen, routes: [{path: '/**', access: login, upstream: app}]}\n\
                \x20 - {origin: 'http://test.localhost:8080', session: citizen, routes: [{path: '/**', access: login, upstream: app}]}\n";
    let loaded = sound(&format!("{}{more}", with("keys: keys\n", &format!("keys: keys\n{text}"))));
    for name in ["a.test.localhost:8080", "test.localhost:8080"] {
        let host = loaded.configuration.hosts.find(&HostName::parse(name).unwrap()).unwrap();
        let expected = ("citizen", "idporten", "__Secure-portvakt-citizen", "test.localhost");
        assert_eq!(told(&host.sessions[0]), expected, "{name}");
    }
    // A session by the provider's own name is the one of hosts that name the provider.
    let text = "sessions: {idporten: {provider: idporten}}\n";
    let loaded = sound(&with("keys: keys\n", &format!("keys: keys\n{text}")));
    assert_eq!(host(&loaded).sessions[0].cookie(), "__Host-portvakt-idporten");
}

#[test]
fn a_cookie_domain_is_above_every_host_and_nobody_elses() {
    let session = |domain: &str| {
        format!("keys: keys\nsessions: {{a: {{provider: idporten, cookie_domain: {domain}}}}}")
    };
    for (domain, message) in [
        ("localhost", "anybody can have a host below `localhost`"),
        ("no", "anybody can have a host below `no`"),
        ("kommune.no", "anybody can have a host below `kommune.no`"),
        (".example.no", "`.example.no` is no domain"),
        ("'https://example.no'", "`https://example.no` is no domain"),
        ("'example.no:443'", "`example.no:443` is no domain"),
        ("exa mple.no", "`exa mple.no` is no domain"),
        ("'*.example.no'", "`*.example.no` is no domain"),
        ("Example.no", "`Example.no` is not written as browsers write it"),
        ("example.no.", "`example.no.` is not written as browsers write it"),
        ("127.0.0.1", "`127.0.0.1` is an address"),
    ] {
        let heads = heads(
            &with("keys: keys", &session(domain))
                .replace("provider: idporten\n    routes", "session: a\n    routes"),
        );
        assert!(heads.iter().any(|head| head.contains(message)), "{domain}: {heads:?}");
    }
    for (domain, host, below) in [
        ("example.no", "example.no", true),
        ("example.no", "a.b.example.no", true),
        ("example.no", "badexample.no", false),
        ("a.example.no", "example.no", false),
        ("a.example.no", "b.example.no", false),
    ] {
        let text = with("keys: keys", &session(domain))
            .replace("provider: idporten\n    routes", "session: a\n    routes")
            .replace("http://localhost:8080", &format!("https://{host}"));
        let refused =
            heads(&text).iter().any(|head| head.contains("this host is not below the cookie domain"));
        assert_eq!(refused, !below, "{domain} {host}: {:?}", heads(&text));
    }
}

#[test]
fn hosts_that_share_a_session_share_its_customer() {
    let text = "keys: keys\nsessions:\n  citizen: {provider: idporten, cookie_domain: test.localhost}\n  own: {provider: idporten}\n";
    let hosts = |sessions: [&str; 2], customers: [&str; 2]| {
        let host = |at: usize| {
            format!(
                "  - {{origin: 'http://{}.test.localhost:8080', session: {}{}, routes: [{{path: '/**', access: login, upstream: app}}]}}\n",
                ["a", "b"][at],
                sessions[at],
                customers[at]
            )
        };
        heads(&format!("{}{}{}", with("keys: keys\n", text), host(0), host(1)))
            .into_iter()
            .filter(|head| !head.contains("warning"))
            .collect::<Vec<_>>()
    };
    let (one, other) = (", onbehalfof: one", ", onbehalfof: other");
    assert_eq!(hosts(["citizen"; 2], [one, one]), [""; 0]);
    assert_eq!(hosts(["own"; 2], [one, other]), [""; 0], "each has its own");
    for customers in [[one, other], [one, ""], ["", one]] {
        let heads = hosts(["citizen"; 2], customers);
        assert_eq!(heads.len(), 1, "{heads:?}");
        assert!(heads[0].contains("shares the session `citizen` and has another `onbehalfof`"), "{heads:?}");
    }
}

#[test]
fn names_that_cannot_be_told_apart_do_not_load() {
    let heads_of = |top: &str, routes: &str| heads(&file("    callback: own\n", top, routes));
    for (top, routes, message) in [
        ("sessions: {login: {provider: staff}}\n", "", "other cookies of the gateway begin with `login`"),
        ("sessions: {logout-1: {provider: staff}}\n", "", "other cookies of the gateway begin with `logout`"),
        ("sessions: {Staff: {provider: staff}}\n", "", "this is no name for a session"),
        ("sessions: {staff: {provider: idporten}}\n", "", "the session has the name of the provider on line"),
        ("sessions: {a: {provider: nobody}}\n", "", "there is no provider `nobody`"),
        ("sessions: {a: {}}\n", "", "`provider` is missing"),
        ("sessions: {a: {provider: staff, domain: x.no}}\n", "", "unknown key `domain`"),
        ("sessions: {a: {provider: staff}}\n", "", "no host uses the session `a`"),
        (
            "",
            "      - {path: '/x', access: login, session: staf, upstream: app}\n",
            "there is no session `staf`",
        ),
        (
            "",
            "      - {path: '/x', access: public, session: staff, upstream: app}\n",
            "`session` has no effect on a public route",
        ),
    ] {
        let heads = heads_of(top, routes);
        assert!(heads.iter().any(|head| head.contains(message)), "{top}{routes}: {heads:?}");
    }
    let both = with("    provider: idporten\n", "    provider: idporten\n    session: idporten\n");
    assert!(
        heads(&both)
            .iter()
            .any(|head| head.contains("this host has a `provider` on line 16, and a session too"))
    );
    // A host whose every route names a session needs none of its own.
    let none = with("    provider: idporten\n", "")
        .replace("access: login\n", "access: login\n        session: idporten\n");
    assert_eq!(heads(&none), Vec::<String>::new());
    assert_eq!(sound(&none).configuration.hosts.iter().next().unwrap().sessions.len(), 1);
}

/// RFC 9700, 4.4.2: an answer names its issuer, or comes to a callback that no other provider's come to.
#[test]
fn answers_that_could_be_anothers_do_not_load() {
    let mixed = "several providers answer this host, and the answers of `staff` do not say that they are its";
    let refused = |staff: &str| heads(&file(staff, "", STAFF)).iter().any(|head| head.contains(mixed));
    assert!(refused(""));
    assert!(refused("    callback: shared\n") && refused("    sends_iss: false\n"));
    assert!(!refused("    callback: own\n") && !refused("    sends_iss: true\n"));
    let fix = problems(&file("", "", STAFF)).into_iter().map(|problem| problem.fix).next().unwrap();
    assert!(
        fix.contains("`callback: own`") && fix.contains("`http://localhost:8080/oauth2/callback/staff`"),
        "{fix}"
    );
    // What the profile demands, the file does not give up.
    let told = file("    callback: own\n", "", STAFF)
        .replace("client_id: demo\nupstreams", "client_id: demo\n    sends_iss: false\nupstreams");
    assert!(
        heads(&told).iter().any(|head| head.contains("the answers of profile `idporten` have `iss`")),
        "{:?}",
        heads(&told)
    );
    // One provider in two sessions is no other.
    let top = "sessions: {day: {provider: staff}, night: {provider: staff}}\n";
    let two = BASE
        .replacen("keys: keys\n", &format!("keys: keys\n{top}"), 1)
        .replacen(
            "  idporten:\n    profile: idporten",
            "  staff:\n    profile: oidc\n    issuer: https://staff.example",
            1,
        )
        .replacen("provider: idporten", "session: day", 1);
    let routes = STAFF.replace("session: staff", "session: night");
    assert_eq!(heads(&format!("{two}{routes}")), Vec::<String>::new());
}

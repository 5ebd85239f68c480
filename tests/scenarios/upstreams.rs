//! Apps at several addresses: who gets a request when one of them is gone, slow, full or not to be trusted
//! (`threats.md` HTTP-10, ID-9, LI-1, LI-4, OM-7).

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use crate::harness::app::App;
use crate::harness::http::{Response, connect, read_response};
use crate::harness::listen::Listening;
use crate::harness::process::await_that;
use crate::harness::tls::{TlsEnd, certificate, data, private};
use crate::harness::{Settings, World, free_port};

/// A route of its own for an upstream, and the upstream.
fn with(settings: Settings, name: &str, keys: &str) -> Settings {
    settings
        .route(&format!("{{path: '/{name}/**', access: public, upstream: {name}}}"))
        .upstream(format!("{name}: {{{keys}}}"))
}

fn urls(apps: &[&App]) -> String {
    let urls: Vec<String> = apps.iter().map(|app| format!("'http://{}'", app.address())).collect();
    format!("[{}]", urls.join(", "))
}

fn post(world: &World, target: &str) -> Response {
    world.send(format!(
        "POST {target} HTTP/1.1\r\nHost: {{host}}\r\nContent-Length: 3\r\nConnection: close\r\n\r\na=b"
    ))
}

fn metric(world: &World, series: &str) -> Option<f64> {
    let text = world.admin("/metrics").text();
    let line =
        text.lines().find(|line| line.strip_prefix(series).is_some_and(|rest| rest.starts_with(' ')))?;
    line.rsplit(' ').next()?.parse().ok()
}

#[test]
fn addresses_take_turns_and_a_dead_one_costs_nobody_a_request() {
    let (one, two) = (App::start(), App::start());
    let dead = format!("'http://127.0.0.1:{}'", free_port());
    let urls = urls(&[&one, &two]).replace('[', &format!("[{dead}, "));
    let world = World::with(with(Settings::default(), "many", &format!("urls: {urls}")).also([&one, &two]));
    for number in 0..15 {
        assert_eq!(world.curl(&format!("/many/{number}"), "").status, 200);
        assert_eq!(post(&world, &format!("/many/{number}")).status, 200);
    }
    let received = [one.received(), two.received()];
    assert_eq!(received.iter().map(Vec::len).sum::<usize>(), 30);
    assert!(received.iter().all(|received| received.len() >= 10), "they take turns");
    let posts = received.iter().flatten().filter(|request| request.head.start.starts_with("POST ")).count();
    assert_eq!(posts, 15, "each was executed once");
    let address = |number| {
        metric(&world, &format!("portvakt_upstream_address_in{{address=\"{number}\",upstream=\"many\"}}"))
    };
    assert_eq!((address(0), address(1), address(2)), (Some(0.0), Some(1.0), Some(1.0)));
    let failures = metric(&world, "portvakt_upstream_connect_failures_total{upstream=\"many\"}").unwrap();
    assert!((1.0..=4.0).contains(&failures), "{failures}: nobody waits for a dead address for long");
    let status = world.admin("/status.json").json();
    let many = status["upstreams"].as_array().unwrap().iter().find(|one| one["name"] == "many").unwrap();
    assert_eq!(
        (many["addresses"][0]["in"].as_bool(), many["addresses"][1]["in"].as_bool()),
        (Some(false), Some(true))
    );
    assert!(!status.to_string().contains(&one.address().to_string()), "addresses are numbers there");
    world.finish();
}

#[test]
fn an_upstream_without_a_living_address_is_502_and_the_gateway_stays_ready() {
    let app = App::start();
    let world =
        World::with(with(Settings::default(), "gone", &format!("urls: {}", urls(&[&app]))).also([&app]));
    assert_eq!(world.curl("/gone/", "").status, 200);
    app.stop();
    for _ in 0..3 {
        let answer = world.curl("/gone/", "");
        assert_eq!((answer.status, answer.json()["error"].as_str()), (502, Some("app_unreachable")));
    }
    assert_eq!(world.admin("/readyz").status, 200);
    assert_eq!(world.curl("/public/", "").status, 200);
    world.finish();
}

#[test]
fn a_post_is_executed_once_however_its_app_dies() {
    let (one, two) = (App::start(), App::start());
    for app in [&one, &two] {
        app.reply("/pair/dies", "");
    }
    let world = World::with(with(Settings::default(), "pair", &format!("urls: {}", urls(&[&one, &two]))));
    let count = || one.count() + two.count();
    for warm in [false, true] {
        if warm {
            // Now there are idle connections, which an app may have closed just now.
            assert_eq!((world.curl("/pair/", "").status, world.curl("/pair/", "").status), (200, 200));
        }
        let before = count();
        let answer = post(&world, "/pair/dies");
        assert_eq!((answer.status, count() - before), (502, 1), "warm: {warm}");
    }
    // A GET may run twice, but not for ever.
    assert_eq!((world.curl("/pair/", "").status, world.curl("/pair/", "").status), (200, 200));
    let before = count();
    assert_eq!(world.curl("/pair/dies", "").status, 502);
    assert!((1..=3).contains(&(count() - before)), "{}", count() - before);
    // What the apps got more often than once was not answered by them.
    world.unjudged_count();
}

#[test]
fn a_session_stays_at_one_address_and_all_replicas_agree() {
    let apps: Vec<App> = (0..3).map(|_| App::start()).collect();
    let urls = urls(&apps.iter().collect::<Vec<_>>());
    let settings = Settings::default()
        .route("{path: '/state/**', access: login, require: {level: substantial}, upstream: state}")
        .upstream(format!("state: {{urls: {urls}, affinity: session}}"))
        .also(&apps);
    let mut world = World::with(settings);
    let mut sessions = Vec::new();
    for _ in 0..8 {
        let mut browser = world.browser();
        assert_eq!(browser.log_in("/state/", "bankid-high").status(), 200);
        sessions.push(format!("Cookie: __Host-portvakt={}\r\n", browser.session_cookie().unwrap()));
    }
    let home_of = |world: &World, session: &str| {
        let before: Vec<usize> = apps.iter().map(App::count).collect();
        for _ in 0..4 {
            assert_eq!(world.curl("/state/x", session).status, 200);
        }
        let gained: Vec<usize> = apps.iter().zip(before).map(|(app, before)| app.count() - before).collect();
        assert_eq!(gained.iter().max(), Some(&4), "all at one address: {gained:?}");
        gained.iter().position(|gained| *gained == 4).unwrap()
    };
    let homes: Vec<usize> = sessions.iter().map(|session| home_of(&world, session)).collect();
    assert!(homes.iter().any(|home| *home != homes[0]), "sessions spread: {homes:?}");
    // Another process knows nothing of the first, and decides the same.
    world.restart_gateway();
    world.await_ready();
    let again: Vec<usize> = sessions.iter().map(|session| home_of(&world, session)).collect();
    assert_eq!(again, homes);
    // Whoever was at the address that is gone moves, together; the others stay.
    apps[homes[0]].stop();
    let moved: Vec<usize> = sessions.iter().map(|session| home_of(&world, session)).collect();
    for (before, after) in homes.iter().zip(&moved) {
        assert_eq!(before == after, *before != homes[0]);
    }
    world.finish();
}

#[test]
fn connections_of_one_trust_never_serve_another() {
    let app = App::start();
    let (plain, demanding) =
        (TlsEnd::before(app.address(), None), TlsEnd::before(app.address(), Some("ca-one.pem")));
    let folder =
        std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("tls-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let (one, two) = (data("ca-one.pem"), data("ca-two.pem"));
    let bundle = folder.join("bundle.pem");
    std::fs::write(&bundle, [std::fs::read(&two).unwrap(), std::fs::read(&one).unwrap()].concat()).unwrap();
    let tls = |port: u16, more: &str| format!("url: 'https://127.0.0.1:{port}', {more}");
    let ca = |path: &std::path::Path| format!("ca_file: '{}'", path.display());
    let client = |name: &str| {
        let (chain, key) = (data(&format!("{name}.pem")), private(&folder, &format!("{name}.key")));
        format!("{}, client_certificate: '{}', client_key: '{}'", ca(&one), chain.display(), key.display())
    };
    let mut settings = Settings::default();
    for (name, keys) in [
        ("good", tls(plain.port(), &ca(&one))),
        ("foreign", tls(plain.port(), &ca(&two))),
        ("bundle", tls(plain.port(), &ca(&bundle))),
        ("system", tls(plain.port(), "connect_timeout: 3s")),
        ("named", tls(plain.port(), &format!("{}, server_name: app.test", ca(&one)))),
        ("misnamed", tls(plain.port(), &format!("{}, server_name: other.test", ca(&one)))),
        ("first", tls(demanding.port(), &client("client-one"))),
        ("second", tls(demanding.port(), &client("client-two"))),
        ("nobody", tls(demanding.port(), &ca(&one))),
    ] {
        settings = with(settings, name, &keys);
    }
    let world = World::with(settings.also([&app]));
    // Again and again, so that idle connections of one wait while the other is asked for.
    for _ in 0..3 {
        for (name, status) in [
            ("good", 200),
            ("foreign", 502),
            ("bundle", 200),
            ("system", 502),
            ("named", 200),
            ("misnamed", 502),
            ("first", 200),
            ("second", 200),
            ("nobody", 502),
        ] {
            assert_eq!(world.curl(&format!("/{name}/"), "").status, status, "{name}");
        }
    }
    // One may be asked for before it is back, and then there is another; fewer would be shared.
    assert!(plain.clients().len() >= 3, "one connection at least for each trust that holds");
    let clients = demanding.clients();
    let of = |name: &str| clients.iter().filter(|client| **client == Some(certificate(name))).count();
    let (one, two) = (of("client-one.pem"), of("client-two.pem"));
    assert!(one >= 1 && two >= 1, "serial numbers are equal: {one} {two}");
    assert_eq!(one + two, clients.len(), "nobody else got in");
    world.finish();
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn an_app_that_is_full_is_503_at_once_and_others_go_on() {
    let slow = App::start();
    let keys = format!("urls: {}, max_requests: 2", urls(&[&slow]));
    let world = World::with(with(Settings::default(), "slow", &keys).also([&slow]));
    slow.hold();
    let ask = || {
        let mut stream = connect(world.address());
        let request =
            format!("GET /slow/ HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", world.authority());
        stream.write_all(request.as_bytes()).unwrap();
        stream
    };
    let waiting: Vec<TcpStream> = (0..2).map(|_| ask()).collect();
    await_that("both are at the app", || (slow.count() == 2).then_some(()));
    for _ in 0..3 {
        let answer = world.curl("/slow/", "");
        assert_eq!((answer.status, answer.header("retry-after")), (503, Some("2")));
        assert_eq!(answer.json()["error"], "app_busy");
        assert_eq!(world.curl("/public/", "").status, 200);
    }
    assert_eq!(metric(&world, "portvakt_upstream_refused_total{upstream=\"slow\"}"), Some(3.0));
    assert_eq!(metric(&world, "portvakt_upstream_requests_in_flight{upstream=\"slow\"}"), Some(2.0));
    slow.release();
    for mut stream in waiting {
        assert_eq!(read_response(&mut stream, false).status, 200);
    }
    await_that("there is room again", || (world.curl("/slow/", "").status == 200).then_some(()));
    world.finish();
}

/// Listens, and gives each connection to `serve` after its head.
fn listen(serve: impl Fn(TcpStream) + Send + Sync + 'static) -> Listening {
    Listening::start(move |mut stream| {
        let mut head = [0; 4096];
        if stream.read(&mut head).is_ok() {
            serve(stream);
        }
    })
}

#[test]
fn an_app_that_drips_or_says_nothing_is_cut_at_its_deadline() {
    let dripping = listen(|mut stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n");
        while stream.write_all(b"x").is_ok() {
            thread::sleep(Duration::from_millis(20));
        }
    });
    let silent = listen(|mut stream| while stream.read(&mut [0; 64]).is_ok_and(|read| read > 0) {});
    let keys = |port: u16| format!("url: 'http://127.0.0.1:{port}', total_timeout: 700ms");
    let settings =
        with(with(Settings::default(), "dripping", &keys(dripping.port())), "silent", &keys(silent.port()));
    let world = World::with(settings);
    for (target, status) in [("/dripping/", 200), ("/silent/", 504)] {
        let began = Instant::now();
        let answer = world.curl(target, "");
        assert_eq!(answer.status, status, "{target}");
        assert!(
            began.elapsed() >= Duration::from_millis(600),
            "{target} was cut after {:?}",
            began.elapsed()
        );
        // The whole drip would take half an hour.
        assert!(began.elapsed() < Duration::from_secs(20), "{target} took {:?}", began.elapsed());
    }
    world.finish();
}

#[test]
fn an_address_that_is_not_well_gets_nothing_until_it_is() {
    const ILL: &str = "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n";
    let (one, two) = (App::start(), App::start());
    let keys = format!(
        "urls: {}, health: {{path: /health, interval: 1s, failures: 1, successes: 1}}",
        urls(&[&one, &two])
    );
    let world = World::with(with(Settings::default(), "checked", &keys));
    let is_in = || metric(&world, "portvakt_upstream_address_in{address=\"1\",upstream=\"checked\"}");
    let asked = |app: &App| app.received().iter().filter(|request| request.target() == "/checked/").count();
    two.reply("/health", ILL);
    await_that("the address is out", || (is_in() == Some(0.0)).then_some(()));
    let before = asked(&two);
    for _ in 0..6 {
        assert_eq!(world.curl("/checked/", "").status, 200);
    }
    assert_eq!((asked(&two) - before, asked(&one)), (0, 6));
    assert_eq!(world.admin("/readyz").status, 200);
    two.reply("/health", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    await_that("the address is in", || (is_in() == Some(1.0)).then_some(()));
    for _ in 0..4 {
        assert_eq!(world.curl("/checked/", "").status, 200);
    }
    assert_eq!((asked(&two), asked(&one)), (2, 8));
    for request in one.received().iter().filter(|request| request.target() == "/health") {
        assert_eq!((request.identity().len(), request.header("cookie")), (0, None));
        assert_eq!(request.header("host"), Some(one.address().to_string().as_str()));
    }
    // The checks are requests that nobody forwarded.
    world.unjudged_count();
}

//! Too much, and closed for now (`threats.md` LI-4, LI-5): a page or JSON, when to come again, and logouts that
//! go on.

use std::io::Write as _;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::harness::process::await_that;
use crate::harness::{Settings, World};

#[test]
fn a_client_that_asks_too_often_is_told_when_to_come_again() {
    let world =
        World::with(Settings::default().route(
            "{path: '/slow/**', access: public, upstream: app, rate: {requests: 1, per: 1h, burst: 3}}",
        ));
    let answers: Vec<_> = (0..6).map(|_| world.curl("/slow/x", "")).collect();
    let statuses: Vec<u16> = answers.iter().map(|answer| answer.status).collect();
    assert_eq!(statuses, [200, 200, 200, 429, 429, 429]);
    assert_eq!(answers[5].json()["error"], "too_many_requests");
    let wait: u32 = answers[5].header("retry-after").unwrap().parse().unwrap();
    assert!((3_500..=3_601).contains(&wait), "{wait}");
    world.browser().open("/slow/x").shows(429, "Vent litt");
    assert_eq!((world.app.count(), world.curl("/public/x", "").status), (3, 200));
    world.finish();
}

#[test]
fn a_closed_route_says_so_in_everybodys_language() {
    let world = World::with(
        Settings::default().route("{path: '/closed/**', access: login, upstream: app, maintenance: true}"),
    );
    world.browser().open("/closed/x").shows(503, "Tjenesten er stengt en stund");
    for (language, words) in [("nn", "Tenesta er stengd ei stund"), ("en", "The service is closed")] {
        let fields = format!("Accept: text/html\r\nAccept-Language: {language}\r\n");
        let answer = world.curl("/closed/x", &fields);
        assert_eq!((answer.status, answer.header("retry-after")), (503, Some("600")));
        assert!(answer.text().contains(words), "{}", answer.text());
    }
    assert_eq!(world.curl("/closed/x", "").json()["error"], "maintenance");
    assert_eq!(world.app.count(), 0);
    world.finish();
}

#[test]
fn a_closed_route_tells_what_its_operators_have_to_say_and_when_it_opens() {
    let world = World::with(
        Settings::default()
            .route("{path: '/a/**', access: login, upstream: app, maintenance: {message: 'Nye <b>timer</b>', until: 2099-01-01T00:00:00Z}}")
            .route("{path: '/b/**', access: public, upstream: app, maintenance: {until: 2020-01-01T00:00:00Z}}"),
    );
    let answer = world.curl("/a/x", "Accept: text/html\r\n");
    assert!(answer.text().contains("Nye &#60;b&#62;timer"), "{}", answer.text());
    let wait: u32 = answer.header("retry-after").unwrap().parse().unwrap();
    assert_eq!((answer.status, wait > 1_000_000), (503, true));
    // What was to be over stays closed until the file says otherwise.
    let answer = world.curl("/b/x", "");
    assert_eq!((answer.status, answer.header("retry-after")), (503, Some("600")));
    assert_eq!(world.app.count(), 0);
    world.finish();
}

#[test]
fn a_client_starts_so_many_logins_and_is_told_when_to_come_again() {
    let world = World::with(Settings::default().top("limits: {logins: {requests: 1, per: 1h, burst: 2}}"));
    let mut browser = world.browser();
    let session = browser.log_in("/app/", "bankid-high");
    assert_eq!(session.status(), 200);
    assert_eq!(world.browser().step("/oauth2/login").status(), 302);
    let calls = world.calls("par");
    let page = world.browser().step("/oauth2/login?redirect=/app/x");
    page.shows(429, "Vent litt");
    assert!(page.text().contains("/oauth2/login?redirect=%2Fapp%2Fx"), "{}", page.text());
    let wait: u32 = page.response.header("retry-after").unwrap().parse().unwrap();
    assert!((3_000..=3_601).contains(&wait), "{wait}");
    assert_eq!(world.calls("par"), calls, "the provider was asked");
    // Who is logged in goes on.
    assert_eq!(browser.open("/app/").status(), 200);
    world.finish();
}

#[test]
fn what_is_more_than_we_carry_is_shed_logouts_go_on_and_then_everything_does() {
    let world = World::with(Settings::default().top("limits: {requests: 2}"));
    let mut browser = world.browser();
    assert_eq!(browser.log_in("/app/", "bankid-high").status(), 200);
    let mut other = world.browser();
    assert_eq!(other.log_in("/app/", "bankid-high-2").status(), 200);
    // Requests whose bodies do not come: the app waits for them.
    let head = format!("POST /public/x HTTP/1.1\r\nHost: {}\r\nContent-Length: 9\r\n\r\n", world.authority());
    let held: Vec<TcpStream> = (0..2)
        .map(|_| {
            let mut stream = TcpStream::connect(world.address()).unwrap();
            stream.write_all(head.as_bytes()).unwrap();
            stream
        })
        .collect();
    // Both are under way: one that came later than what follows would be shed itself.
    await_that("there is no room", || {
        world.admin("/metrics").text().contains("portvakt_requests_in_flight 2\n").then_some(())
    });
    let shed = world.curl("/public/y", "");
    assert_eq!(shed.status, 503);
    assert_eq!((shed.json()["error"].as_str(), shed.header("retry-after")), (Some("overloaded"), Some("2")));
    assert_eq!(browser.step("/app/").status(), 503);
    // The session ends here all the same, and so does one that the provider ends.
    assert_eq!(browser.step("/oauth2/logout").status(), 200);
    let report = world.control(&json!({ "end_session": { "person": "bankid-high-2" } }));
    let called = report["end_session"]["called"].as_array().unwrap();
    assert_eq!(called.len(), 2, "{report}");
    assert!(called.iter().all(|call| call["status"] == 200), "{report}");
    for mut stream in held {
        stream.write_all(b"123456789").unwrap();
    }
    let released = Instant::now();
    await_that("there is room again", || (world.curl("/public/y", "").status == 200).then_some(()));
    assert!(released.elapsed() < Duration::from_secs(5), "LI-5");
    assert_eq!(other.step("/app/").status(), 302, "the provider has ended this one");
    world.finish();
}

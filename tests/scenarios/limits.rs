//! Too much, and closed for now (`threats.md` LI-4, LI-5): a page or JSON, when to come again, and logouts that
//! go on.

use std::io::Write as _;
use std::net::TcpStream;

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
fn what_is_more_than_we_carry_is_shed_logouts_go_on_and_then_everything_does() {
    let world = World::with(Settings::default().top("limits: {requests: 2}"));
    let mut browser = world.browser();
    assert_eq!(browser.log_in("/app/", "bankid-high").status(), 200);
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
    // The session ends here all the same.
    assert_eq!(browser.step("/oauth2/logout").status(), 200);
    for mut stream in held {
        stream.write_all(b"123456789").unwrap();
    }
    await_that("there is room again", || (world.curl("/public/y", "").status == 200).then_some(()));
    world.finish();
}

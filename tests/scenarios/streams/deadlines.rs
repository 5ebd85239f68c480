//! How long what lasts may take, and be silent, at the app's end (`threats.md` LI-1).

use super::*;
use crate::harness::http::read_response;
use crate::harness::process::await_that;

/// An app that sends a part now and then, for as long as somebody reads.
fn beats(mut stream: TcpStream, head: &str, beat: &[u8]) {
    let head = format!("HTTP/1.1 200 OK\r\n{head}\r\n");
    if stream.write_all(head.as_bytes()).is_err() {
        return;
    }
    while stream.write_all(beat).is_ok() {
        thread::sleep(Duration::from_millis(100));
    }
}

/// How long a reply goes on, up to `most`; what is read is not looked at.
fn goes_on(world: &World, path: &str, most: Duration) -> Duration {
    let began = Instant::now();
    let mut stream = send(world, &world.browser(), &format!("GET {path} HTTP/1.1\r\n\r\n"));
    let head = String::from_utf8(read_head(&mut stream).expect("a reply")).unwrap();
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    let mut bytes = [0; 4096];
    while began.elapsed() < most && stream.read(&mut bytes).is_ok_and(|length| length > 0) {}
    began.elapsed()
}

const EVENTS: &str = "Content-Type: text/event-stream\r\n";

#[test]
fn events_go_on_while_they_come_and_anything_else_ends_with_its_time() {
    let settings = Settings::default()
        .app("read_timeout: 10s, total_timeout: 2s")
        .route("{path: '/brief/**', access: public, upstream: app, timeout: 2s}");
    let world = World::with(settings);
    for path in ["/public/events", "/brief/events"] {
        world.app.stream(path, |stream, _| beats(stream, EVENTS, b": beat\n\n"));
    }
    world.app.stream("/public/page", |stream, _| beats(stream, "Content-Type: text/html\r\n", b"<p>"));
    let most = Duration::from_secs(5);
    assert!(goes_on(&world, "/public/events", most) >= most, "the default ends no events");
    for path in ["/public/page", "/brief/events"] {
        let lasted = goes_on(&world, path, most);
        assert!(lasted >= Duration::from_secs(2) && lasted < most, "{path}: {lasted:?}");
    }
    world.finish();
}

#[test]
fn silence_ends_a_reply_where_and_when_its_route_says_so() {
    let settings = Settings::default()
        .app("read_timeout: 1s")
        .route("{path: '/patient/**', access: public, upstream: app, read_timeout: 10m}");
    let world = World::with(settings);
    for path in ["/public/events", "/patient/events"] {
        world.app.stream(path, |mut stream, _| {
            stream.write_all(format!("HTTP/1.1 200 OK\r\n{EVENTS}\r\n: one\n\n").as_bytes()).unwrap();
            until_closed(stream);
        });
        world.app.stream(&path.replace("events", "poll"), |stream, _| until_closed(stream));
    }
    let stranger = world.browser();
    let open = |path: &str| send(&world, &stranger, &format!("GET {path} HTTP/1.1\r\n\r\n"));
    let began = Instant::now();
    let [patient, patient_poll] =
        ["/patient/events", "/patient/poll"].map(|path| Lasting::new("", open(path)));
    assert_eq!(read_response(&mut open("/public/poll"), false).status, 504);
    let lasted = goes_on(&world, "/public/events", Duration::from_secs(10));
    assert!(lasted >= Duration::from_secs(1) && lasted < Duration::from_secs(10), "{lasted:?}");
    // Twice the upstream's limit has passed.
    assert!(began.elapsed() >= Duration::from_secs(2) && patient.lives() && patient_poll.lives());
    let too_slow = || world.access_log().iter().filter(|line| line["rule"] == "app_too_slow").count();
    await_that("the log says why both ended", || (too_slow() == 2).then_some(()));
    drop((patient, patient_poll));
    world.finish();
}

/// An app that is never silent for long, and never comes to the end of its header, is too slow all the same.
#[test]
fn a_header_that_drips_ends_with_its_time_and_others_on_kept_connections_do_not() {
    let settings = Settings::default()
        .listener("h2c: true")
        .route("{path: '/brief/**', access: public, upstream: app, timeout: 1s, websocket: true}");
    let world = World::with(settings);
    world.app.stream("/brief/drips", |mut stream, _| {
        let head = b"HTTP/1.1 200 OK\r\nX-Long: ";
        let drops = head.iter().copied().chain(std::iter::repeat(b'x'));
        for drop in drops {
            if stream.write_all(&[drop]).is_err() {
                return;
            }
            thread::sleep(Duration::from_millis(20));
        }
    });
    let stranger = world.browser();
    // A connection that is kept, and whose first request's time passes meanwhile.
    assert_eq!(world.curl("/brief/quick", "").status, 200);
    let began = Instant::now();
    for head in
        ["GET /brief/drips HTTP/1.1\r\n\r\n", "POST /brief/drips HTTP/1.1\r\nContent-Length: 0\r\n\r\n"]
    {
        let asked = Instant::now();
        let answer = read_response(&mut send(&world, &stranger, head), false);
        assert_eq!((answer.status, answer.json()["error"].as_str()), (504, Some("app_too_slow")), "{head}");
        let took = asked.elapsed();
        assert!(took >= Duration::from_millis(900) && took < Duration::from_secs(5), "{took:?}");
    }
    let mut socket = socket::handshake(
        &world,
        &stranger,
        "/brief/drips",
        &format!("Origin: {}\r\n{}", world.origin(), socket::FIELDS),
    );
    assert_eq!(read_response(&mut socket, false).status, 504);
    assert!(began.elapsed() > Duration::from_secs(2));
    assert_eq!(world.curl("/brief/quick", "").status, 200);
    let mut reply = world.app.received();
    reply.retain(|received| received.target() == "/brief/quick");
    assert_eq!(reply.len(), 2, "asked once each");
    world.finish();
}

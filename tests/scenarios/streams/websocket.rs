//! WebSockets: where they are opened, where not, and what passes.

use std::io::Write as _;
use std::thread;

use super::socket::{self, FIELDS, Socket, accept, accepting, frames, handshake};
use super::*;
use crate::harness::http::{Head, connect, read_head, read_response};
use crate::harness::process::await_that;

#[test]
fn a_websocket_is_opened_as_the_person_and_passes_frames_both_ways() {
    let world = world();
    let browser = logged_in(&world, "bankid-high");
    let mut socket = Socket::open(&world, &browser, "/ws/echo?room=1");
    let received = world.app.last();
    assert_eq!(fnr(&received), Some("24929935140"));
    assert_eq!(received.header("upgrade"), Some("websocket"));
    assert_eq!(received.header("connection"), Some("Upgrade"));
    assert_eq!(received.target(), "/ws/echo?room=1");
    assert!(!received.header("cookie").is_some_and(|cookie| cookie.contains("portvakt")));
    for length in [0, 1, 125, 126, 65_535, 65_536, 300_000] {
        let payload: Vec<u8> = (0..length).map(|at: u32| at as u8).collect();
        socket.send(2, &payload).unwrap();
        let frame = socket.read().expect("an echo");
        assert!(frame.opcode == 2 && frame.payload == payload, "{length}");
    }
    socket.send(8, &1000_u16.to_be_bytes()).unwrap();
    assert_eq!(socket.read().and_then(|frame| frame.code()), Some(1000));
    assert_eq!(socket.read(), None);
    // Without a login only where the route says so, and then as nobody.
    let stranger = world.browser();
    let mut socket = Socket::open(&world, &stranger, "/open/echo");
    socket.send(1, b"hei").unwrap();
    assert_eq!(socket.read().map(|frame| frame.payload), Some(b"hei".to_vec()));
    assert_eq!(world.app.last().identity(), []);
    drop(socket);
    world.finish();
}

/// What an app sets with its `101` is its session as any other: held in the person's, and never ours.
#[test]
fn a_cookie_of_the_apps_101_is_held_in_the_session_and_ours_are_taken_away() {
    let world = world_with(Settings::default().app("app_cookies: [JSESSIONID]"));
    world.app.stream("/ws/cookies", |mut stream, received| {
        let fields = "Set-Cookie: JSESSIONID=secret; Path=/\r\nSet-Cookie: lang=nb\r\nSet-Cookie: __Host-portvakt=x\r\n\
                      X_Identity_Fnr: 1\r\nSec-WebSocket-Accept:";
        let opening = socket::opening(received).replacen("Sec-WebSocket-Accept:", fields, 1);
        stream.write_all(opening.as_bytes()).unwrap();
        echo(Socket::of_app(stream));
    });
    let browser = logged_in(&world, "bankid-high");
    let fields = format!("Origin: {}\r\n{FIELDS}", world.origin());
    let mut stream = handshake(&world, &browser, "/ws/cookies", &fields);
    let head = Head::parse(&read_head(&mut stream).unwrap());
    assert!(head.start.starts_with("HTTP/1.1 101"), "{head:?}");
    let set = head.all("set-cookie");
    let [held, "lang=nb"] = set.as_slice() else { panic!("{set:?}") };
    assert!(held.starts_with("__Host-portvakt-app-") && !held.contains("secret"), "{held}");
    assert_eq!(head.one("cache-control"), Some("private, no-store"));
    assert!(head.fields.iter().all(|(name, _)| !name.to_ascii_lowercase().contains("identity")), "{head:?}");
    // It comes back to the app in this session, and in no other.
    let held = held.split(';').next().unwrap();
    let sent = |browser: &Browser<'_>| {
        let fields = format!("{}Cookie: {held}\r\n\r\n", cookies(&world, browser));
        let head = format!("GET /app/x HTTP/1.1\r\nHost: {}\r\n{fields}", world.authority());
        let mut stream = connect(world.address());
        stream.write_all(head.as_bytes()).unwrap();
        assert_eq!(read_response(&mut stream, false).status, 200);
        world.app.last().header("cookie").map(str::to_owned)
    };
    assert_eq!(sent(&browser).as_deref(), Some("JSESSIONID=secret"));
    assert_eq!(sent(&logged_in(&world, "bankid-high-2")), None);
    drop(stream);
    world.finish();
}

/// More than all buffers between them hold, while both sides write: nobody waits for the other.
#[test]
fn much_passes_in_both_directions_at_once() {
    let world = world();
    let browser = logged_in(&world, "bankid-high");
    let mut socket = Socket::open(&world, &browser, "/ws/echo");
    let stream = socket.into_stream();
    let mut writer = stream.try_clone().unwrap();
    let payload = vec![7; 10_000];
    let count = 3_000;
    let bytes = socket::frame(2, &payload, true);
    let writing = thread::spawn(move || (0..count).for_each(|_| writer.write_all(&bytes).unwrap()));
    socket = Socket::of(stream);
    for _ in 0..count {
        assert!(socket.read().is_some_and(|frame| frame.payload == payload));
    }
    writing.join().unwrap();
    drop(socket);
    world.finish();
}

/// What the app sends in one breath with its `101`, again and again: the proxy's own tunnel lost some of them.
#[test]
fn a_hasty_app_loses_no_word_and_no_connection() {
    let world = world();
    world.app.stream("/ws/hasty", |mut stream, received| {
        let hello = [socket::opening(received).into_bytes(), socket::frame(1, b"hello", false)].concat();
        stream.write_all(&hello).unwrap();
        echo(Socket::of_app(stream));
    });
    let browser = logged_in(&world, "bankid-high");
    for round in 0..200 {
        let mut socket = Socket::open(&world, &browser, "/ws/hasty");
        assert_eq!(socket.read().map(|frame| frame.payload), Some(b"hello".to_vec()), "round {round}");
        socket.send(1, b"hei").unwrap();
        assert_eq!(socket.read().map(|frame| frame.payload), Some(b"hei".to_vec()), "round {round}");
    }
    world.finish();
}

#[test]
fn a_handshake_that_is_not_valid_or_not_wanted_opens_nothing() {
    let world = world();
    let browser = logged_in(&world, "bankid-high");
    let own = format!("Origin: {}\r\n", world.origin());
    let before = world.app.count();
    let without = |field: &str| {
        let kept = FIELDS.split_inclusive("\r\n").filter(|line| !line.starts_with(field));
        format!("{own}{}", kept.collect::<String>())
    };
    for (fields, status) in [
        (format!("Origin: http://evil.example\r\n{FIELDS}"), 403),
        (format!("Origin: null\r\n{FIELDS}"), 403),
        (format!("Origin: {}\r\n{FIELDS}", world.simulator()), 403),
        (format!("{own}{own}{FIELDS}"), 403),
        (without("Sec-WebSocket-Version"), 400),
        (without("Sec-WebSocket-Key"), 400),
        (format!("{}Sec-WebSocket-Version: 8\r\n", without("Sec-WebSocket-Version")), 400),
        (format!("{}Sec-WebSocket-Key: c2hvcnQ=\r\n", without("Sec-WebSocket-Key")), 400),
        (format!("{}Upgrade: websocket, h2c\r\n", without("Upgrade")), 400),
        (format!("{}Connection: Upgrade, Cookie\r\n", without("Connection")), 400),
        (without("Connection"), 400),
        (format!("{own}{FIELDS}Content-Length: 1\r\n"), 400),
    ] {
        let answer = read_response(&mut handshake(&world, &browser, "/ws/echo", &fields), false);
        assert_eq!(answer.status, status, "{fields}: {}", answer.text());
        if fields.contains("Version: 8") {
            assert_eq!(answer.header("sec-websocket-version"), Some("13"));
        }
    }
    // Nobody is logged in: told, never redirected, whatever else the request pretends to be.
    let stranger = world.browser();
    for more in ["", "Accept: text/html\r\n"] {
        let fields = FIELDS.replace("Sec-Fetch-Mode: websocket\r\nSec-Fetch-Dest: empty\r\n", more);
        let answer =
            read_response(&mut handshake(&world, &stranger, "/ws/echo", &format!("{own}{fields}")), false);
        assert_eq!((answer.status, answer.location()), (401, None));
        assert!(answer.header("www-authenticate").is_some());
    }
    assert_eq!(world.app.count(), before, "nothing reached the app");
    // Named ones may, and programs that speak for no page.
    for origin in [format!("Origin: {FRIEND}\r\n"), String::new()] {
        let answer =
            read_response(&mut handshake(&world, &browser, "/ws/echo", &format!("{origin}{FIELDS}")), false);
        assert_eq!(answer.status, 101, "{origin}");
    }
    // Elsewhere `Upgrade` is no word for the app, and its 101 is none for the client.
    let answer = read_response(&mut handshake(&world, &browser, "/app/x", &format!("{own}{FIELDS}")), false);
    assert_eq!(answer.status, 200);
    assert_eq!(world.app.last().header("upgrade"), None);
    world.app.stream("/app/tunnel", |mut stream, _| {
        let accept = accepting(socket::KEY);
        let head = format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).unwrap();
        until_closed(stream);
    });
    let answer =
        read_response(&mut handshake(&world, &browser, "/app/tunnel", &format!("{own}{FIELDS}")), false);
    assert_eq!(answer.status, 502);
    // Of other protocols nothing is known, and HTTP/1.0 has none.
    let other = format!("{own}{}", FIELDS.replace("Upgrade: websocket", "Upgrade: h2c"));
    world.app.reply("/ws/plain", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    let answer = read_response(&mut handshake(&world, &browser, "/ws/plain", &other), false);
    assert_eq!((answer.status, world.app.last().header("upgrade")), (200, None));
    world.finish();
}

#[test]
fn only_an_answer_to_this_handshake_opens_the_tunnel() {
    let world = world();
    let browser = logged_in(&world, "bankid-high");
    let fields = format!("Origin: {}\r\n{FIELDS}", world.origin());
    let accept = format!("Sec-WebSocket-Accept: {}\r\n", accepting(socket::KEY));
    let upgrade = "Upgrade: websocket\r\nConnection: Upgrade\r\n";
    for (reply, status, body) in [
        (format!("101 Switching Protocols\r\n{upgrade}\r\n"), 502, None),
        (format!("101 Switching Protocols\r\n{upgrade}Sec-WebSocket-Accept: AAAA\r\n\r\n"), 502, None),
        (
            format!("101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n{accept}\r\n"),
            502,
            None,
        ),
        (format!("101 Switching Protocols\r\nUpgrade: websocket\r\n{accept}\r\n"), 502, None),
        ("403 Forbidden\r\nContent-Length: 2\r\nX-Identity-Fnr: 1\r\n\r\nno".to_owned(), 403, Some("no")),
        ("200 OK\r\n\r\nto the end".to_owned(), 200, Some("to the end")),
        ("204 No Content\r\n\r\n".to_owned(), 204, Some("")),
        (
            "103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"
                .to_owned(),
            404,
            Some(""),
        ),
        (String::new(), 502, None),
    ] {
        let bytes = if reply.is_empty() { String::new() } else { format!("HTTP/1.1 {reply}") };
        let path = format!("/ws/answers-{status}-{}", bytes.len());
        world.app.stream(&path, move |mut stream, _| stream.write_all(bytes.as_bytes()).unwrap());
        let answer = read_response(&mut handshake(&world, &browser, &path, &fields), false);
        assert_eq!(answer.status, status, "{reply}: {}", answer.text());
        assert_eq!(answer.header("x-identity-fnr"), None);
        if let Some(body) = body {
            assert_eq!(answer.text(), body, "{reply}");
        }
    }
    world.finish();
}

#[test]
fn a_silent_websocket_lasts_as_long_as_its_route_says() {
    let settings = Settings::default()
        .route("{path: '/brief/**', access: public, upstream: app, websocket: true, websocket_idle: 1s}");
    let world = world_with(settings);
    world.app.stream("/brief/echo", |stream, received| echo(accept(stream, received)));
    let stranger = world.browser();
    let mut socket = Socket::open(&world, &stranger, "/brief/echo");
    let opened = Instant::now();
    let frame = socket.read().expect("a word");
    assert_eq!((frame.opcode, frame.code()), (8, Some(1001)));
    assert!(opened.elapsed() >= Duration::from_millis(900), "{:?}", opened.elapsed());
    drop(socket);
    world.finish();
}

/// Half of a usual frame never reaches the client; of a long one the rest does, or nothing is said.
#[test]
fn the_last_word_stands_between_two_frames() {
    let world = world();
    let (sender, go_on) = mpsc::channel::<()>();
    let go_on = std::sync::Mutex::new(go_on);
    world.app.stream("/ws/half", |stream, received| {
        let mut socket = accept(stream, received);
        let whole = [socket::frame(1, b"whole", false), socket::frame(1, &[b'x'; 1000], false)].concat();
        socket.raw(&whole[..500]).unwrap();
        until_closed(socket.into_stream());
    });
    world.app.stream("/ws/long", move |stream, received| {
        let mut socket = accept(stream, received);
        let long = socket::frame(2, &[7; 200_000], false);
        socket.raw(&long[..100_000]).unwrap();
        go_on.lock().unwrap().recv().unwrap();
        // What follows the frame is not for this client any more.
        let _ = socket.raw(&[&long[100_000..], &socket::frame(1, b"later", false)].concat());
        until_closed(socket.into_stream());
    });
    world.app.stream("/ws/stuck", |stream, received| {
        let mut socket = accept(stream, received);
        socket.raw(&socket::frame(2, &[7; 200_000], false)[..100_000]).unwrap();
        until_closed(socket.into_stream());
    });
    world.app.stream("/ws/flood", |stream, received| {
        let mut socket = accept(stream, received);
        for length in (0..).map(|at| at % 3000) {
            if socket.send(2, &vec![9; length]).is_err() {
                return;
            }
        }
    });
    let mut browser = logged_in(&world, "bankid-high");
    let open = |path| Socket::open(&world, &browser, path);
    let mut half = open("/ws/half");
    assert_eq!(half.read().map(|frame| frame.payload), Some(b"whole".to_vec()));
    let [long, stuck, flood] = ["/ws/long", "/ws/stuck", "/ws/flood"].map(open);
    let lasting: Vec<_> = [half, long, stuck, flood]
        .into_iter()
        .map(|socket| {
            let stream = socket.into_stream();
            let (sender, begun) = mpsc::channel();
            let reader = thread::spawn(move || {
                let (mut stream, mut bytes, mut all) = (stream, [0; 4096], Vec::new());
                while let Ok(length @ 1..) = stream.read(&mut bytes) {
                    all.extend_from_slice(&bytes[..length]);
                    if all.len() > 90_000 {
                        let _ = sender.send(());
                    }
                }
                (all, Instant::now())
            });
            (reader, begun)
        })
        .collect();
    for (_, begun) in &lasting[1..] {
        begun.recv_timeout(crate::harness::http::PATIENCE).expect("long frames are passed on as they come");
    }
    browser.step("/oauth2/logout");
    let known = Instant::now();
    await_that("the end is known", || {
        (world.admin("/metrics").text().contains("session_ended\"} 4")).then_some(())
    });
    sender.send(()).unwrap();
    let [half, long, stuck, flood] =
        <[_; 4]>::try_from(lasting.into_iter().map(|(reader, _)| reader.join().unwrap()).collect::<Vec<_>>())
            .unwrap();
    for (name, (_, ended)) in [("half", &half), ("long", &long), ("stuck", &stuck), ("flood", &flood)] {
        let took = ended.saturating_duration_since(known);
        assert!(took < SOON, "{name} took {took:?}");
    }
    let last = |bytes: &[u8]| frames(bytes).pop().and_then(|frame| frame.code());
    assert_eq!((frames(&half.0).len(), last(&half.0)), (1, Some(1008)));
    let words = frames(&long.0);
    assert_eq!((words.len(), words[0].payload.len(), last(&long.0)), (2, 200_000, Some(1008)));
    assert!((90_000..=100_010).contains(&stuck.0.len()), "no word can be said: {}", stuck.0.len());
    assert_eq!(last(&flood.0), Some(1008));
    world.finish();
}

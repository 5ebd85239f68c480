//! gRPC (over HTTP/2, with an app that speaks it): calls arrive as the person, trailers come back, refusals are said in
//! its words, and a call ends with its session while others of the same connection go on (`threats.md` ID-1, ID-10, LO-6).

mod service;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use h2::client::SendRequest;
use h2::{RecvStream, SendStream};
use http::{HeaderMap, Request, Response};
use tokio::net::TcpStream;
use tokio::time::timeout;

use self::service::Service;
use crate::harness::browser::Browser;
use crate::harness::http::PATIENCE;
use crate::harness::tls::{TlsEnd, data};
use crate::harness::{Settings, World, free_port};

const FNR: &str = "24929935140";

fn world(service: SocketAddr) -> World {
    let dead = free_port();
    let settings = Settings::default()
        .listener("h2c: true")
        .upstream(format!("service: {{url: 'http://{service}', protocol: h2c, total_timeout: 2s}}"))
        .upstream(format!("dead: {{url: 'http://127.0.0.1:{dead}', protocol: h2c}}"))
        .route("{path: '/demo.Echo/**', access: login, upstream: service}")
        .route("{path: '/demo.Open/**', access: public, upstream: service}")
        .route("{path: '/demo.High/**', access: login, require: {level: high}, upstream: service}")
        .route("{path: '/demo.Dead/**', access: public, upstream: dead}");
    World::with(settings)
}

fn cookie_of(world: &World, person: &str) -> String {
    let mut browser = world.browser();
    assert_eq!(browser.log_in("/app/x", person).status(), 200);
    cookie(&browser)
}

fn cookie(browser: &Browser<'_>) -> String {
    format!("__Host-portvakt={}", browser.session_cookie().unwrap())
}

async fn connect(world: &World) -> SendRequest<Bytes> {
    let stream = TcpStream::connect(world.address()).await.unwrap();
    let (client, connection) = h2::client::handshake(stream).await.unwrap();
    tokio::spawn(async move { _ = connection.await });
    client
}

fn call(world: &World, path: &str, cookie: &str, fields: &[(&str, &str)]) -> Request<()> {
    let mut request = Request::post(format!("http://{}{path}", world.authority()))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header("user-agent", "grpc-test/1");
    if !cookie.is_empty() {
        request = request.header("cookie", cookie);
    }
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    request.body(()).unwrap()
}

/// A message behind its prefix.
fn message(text: &str) -> Bytes {
    let length = u32::try_from(text.len()).unwrap().to_be_bytes();
    [&[0][..], &length, text.as_bytes()].concat().into()
}

/// A call that goes on.
struct Call {
    up: SendStream<Bytes>,
    reply: Response<RecvStream>,
}

impl Call {
    async fn open(client: &mut SendRequest<Bytes>, request: Request<()>, first: &str) -> Self {
        let mut ready = client.clone().ready().await.unwrap();
        let (reply, mut up) = ready.send_request(request, false).unwrap();
        up.send_data(message(first), false).unwrap();
        let reply = timeout(PATIENCE, reply).await.expect("a reply begins").unwrap();
        Self { up, reply }
    }

    async fn says(&mut self, text: &str) {
        self.up.send_data(message(text), false).unwrap();
        assert_eq!(self.hears().await, message(text));
    }

    async fn hears(&mut self) -> Bytes {
        let part = timeout(PATIENCE, self.reply.body_mut().data()).await.expect("a message");
        let part = part.expect("not the end").unwrap();
        self.reply.body_mut().flow_control().release_capacity(part.len()).unwrap();
        part
    }

    /// With which code it is reset.
    async fn is_reset(&mut self) -> h2::Reason {
        let end = timeout(PATIENCE, self.reply.body_mut().data()).await.expect("an end");
        end.expect("not a complete reply").unwrap_err().reason().unwrap()
    }
}

/// The whole outcome of a call of one message.
async fn outcome(
    client: &mut SendRequest<Bytes>,
    request: Request<()>,
) -> (Response<()>, Vec<u8>, Option<HeaderMap>) {
    let mut ready = client.clone().ready().await.unwrap();
    let (reply, mut up) = ready.send_request(request, false).unwrap();
    // Who is refused may be told before.
    let _ = up.send_data(message("hei"), true);
    let (head, mut body) = timeout(PATIENCE, reply).await.expect("a reply").unwrap().into_parts();
    // What says the outcome first says nothing else (`Trailers-Only`).
    assert!(!head.headers.contains_key("grpc-status") || body.is_end_stream(), "{head:?}");
    let mut bytes = Vec::new();
    while let Some(part) = timeout(PATIENCE, body.data()).await.expect("a part or the end") {
        let part = part.unwrap();
        body.flow_control().release_capacity(part.len()).unwrap();
        bytes.extend(part);
    }
    let trailers = body.trailers().await.unwrap();
    (Response::from_parts(head, ()), bytes, trailers)
}

fn one<'h>(fields: &'h HeaderMap, name: &str) -> Option<&'h str> {
    let mut values = fields.get_all(name).iter();
    let value = values.next().map(|value| value.to_str().unwrap());
    assert!(values.next().is_none(), "{name} occurs once");
    value
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_arrives_as_the_person_and_its_trailers_come_back_without_what_is_not_for_clients() {
    let service = Service::start().await;
    let world = world(service.address);
    let session = cookie_of(&world, "bankid-high");
    let mut client = connect(&world).await;
    let claims = [("x-identity-fnr", "11111111111"), ("x-identity-loa", "high"), ("app-metadata", "kept")];
    let cookies = format!("lang=nb; {session}");
    let request = call(&world, "/demo.Echo/Unary", &cookies, &claims);
    let (head, body, trailers) = outcome(&mut client, request).await;
    assert_eq!(
        (head.status().as_u16(), one(head.headers(), "content-type")),
        (200, Some("application/grpc"))
    );
    assert_eq!(one(head.headers(), "x-identity-fnr"), None);
    assert_eq!(one(head.headers(), "cache-control"), Some("private, no-store"));
    assert_eq!(body, message("hei"));
    let trailers = trailers.expect("trailers");
    assert_eq!(one(&trailers, "grpc-status"), Some("0"));
    assert_eq!(one(&trailers, "app-trailer"), Some("kept"));
    assert_eq!(trailers.len(), 2, "{trailers:?}");
    let received = service.last();
    assert_eq!(received.uri.path(), "/demo.Echo/Unary");
    assert_eq!(received.uri.authority().unwrap().as_str(), world.authority());
    assert_eq!(one(&received.headers, "x-identity-fnr"), Some(FNR));
    assert_eq!(one(&received.headers, "te"), Some("trailers"));
    assert_eq!(one(&received.headers, "app-metadata"), Some("kept"));
    assert_eq!(one(&received.headers, "cookie"), Some("lang=nb"));
    assert_eq!(one(&received.headers, "x-forwarded-proto"), Some("http"));
    // Without a login only where the route says so, and then as nobody.
    let request = call(&world, "/demo.Open/Unary", &session, &claims);
    let (_, _, trailers) = outcome(&mut client, request).await;
    assert_eq!(one(&trailers.unwrap(), "grpc-status"), Some("0"));
    let identity = |name: &http::HeaderName| name.as_str().contains("identity");
    assert!(!service.last().headers.keys().any(identity));
    // The app refuses in its own words.
    let (head, _, trailers) = outcome(&mut client, call(&world, "/demo.Echo/Denied", &session, &[])).await;
    assert_eq!((one(head.headers(), "grpc-status"), trailers), (Some("5"), None));
    // The same app serves whoever speaks HTTP/1.1.
    let answer = world.curl("/demo.Open/Plain", "");
    assert_eq!((answer.status, answer.text().as_str()), (200, "plain"));
    world.unjudged_count();
}

/// In a runtime of its own: a TLS end is no part of another's.
#[test]
fn a_call_arrives_over_tls_too_and_only_at_an_app_that_is_who_it_should_be() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let service = runtime.block_on(Service::start());
    let tls = TlsEnd::before_http2(service.address);
    let at = |name: &str, ca: &str| {
        let ca = data(ca);
        format!(
            "{name}: {{url: 'https://127.0.0.1:{}', protocol: h2, ca_file: '{}'}}",
            tls.port(),
            ca.display()
        )
    };
    let settings = Settings::default()
        .listener("h2c: true")
        .upstream(at("service", "ca-one.pem"))
        .upstream(at("foreign", "ca-two.pem"))
        .route("{path: '/demo.Echo/**', access: login, upstream: service}")
        .route("{path: '/demo.Foreign/**', access: login, upstream: foreign}");
    let world = World::with(settings);
    let session = cookie_of(&world, "bankid-high");
    runtime.block_on(async {
        let mut client = connect(&world).await;
        for round in 1..=2 {
            let request = call(&world, "/demo.Echo/Unary", &session, &[("x-identity-fnr", "11111111111")]);
            let (head, body, trailers) = outcome(&mut client, request).await;
            assert_eq!((head.status().as_u16(), body.as_slice()), (200, &message("hei")[..]));
            assert_eq!(one(&trailers.expect("trailers"), "grpc-status"), Some("0"));
            let received = service.last();
            assert_eq!(one(&received.headers, "x-identity-fnr"), Some(FNR));
            assert_eq!(received.uri.scheme_str(), Some("https"));
            // At the same address, under another trust, while a connection is open.
            let request = call(&world, "/demo.Foreign/Unary", &session, &[]);
            let (head, _, trailers) = outcome(&mut client, request).await;
            assert_eq!((one(head.headers(), "grpc-status"), trailers), (Some("14"), None));
            assert_eq!(
                (service.count(), tls.clients().len()),
                (round, 1),
                "one connection, and no call of the other"
            );
        }
    });
    world.unjudged_count();
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_pass_one_by_one_in_both_directions_for_longer_than_a_reply_may_take() {
    let service = Service::start().await;
    let world = world(service.address);
    let session = cookie_of(&world, "bankid-high");
    let mut client = connect(&world).await;
    let began = Instant::now();
    let mut talk = Call::open(&mut client, call(&world, "/demo.Echo/Talk", &session, &[]), "first").await;
    assert_eq!(talk.hears().await, message("first"));
    // The upstream's total_timeout is for what has an end.
    while began.elapsed() < Duration::from_secs(3) {
        talk.says("hei").await;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    talk.up.send_data(Bytes::new(), true).unwrap();
    assert!(timeout(PATIENCE, talk.reply.body_mut().data()).await.unwrap().is_none());
    let trailers = talk.reply.body_mut().trailers().await.unwrap().unwrap();
    assert_eq!(one(&trailers, "grpc-status"), Some("0"));
    world.unjudged_count();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_is_a_status_that_clients_of_grpc_know() {
    let service = Service::start().await;
    let world = world(service.address);
    let session = cookie_of(&world, "minid-substantial");
    let mut client = connect(&world).await;
    let foreign = [("origin", "https://evil.example")];
    for (path, cookie, fields, status) in [
        ("/demo.Echo/Unary", "", &[][..], "16"),
        ("/demo.Echo/Unary", "__Host-portvakt=AAAA", &[], "16"),
        ("/demo.High/Unary", session.as_str(), &[], "16"),
        ("/demo.Echo/Unary", session.as_str(), &foreign, "7"),
        ("/demo.Nothing/Unary", session.as_str(), &[], "12"),
        ("/demo.Dead/Unary", "", &[], "14"),
    ] {
        let (head, body, trailers) = outcome(&mut client, call(&world, path, cookie, fields)).await;
        let said = (head.status().as_u16(), one(head.headers(), "grpc-status"));
        assert_eq!(said, (200, Some(status)), "{path} {cookie}");
        assert_eq!(one(head.headers(), "content-type"), Some("application/grpc"), "{path}");
        assert!(one(head.headers(), "grpc-message").unwrap().contains("error"), "{head:?}");
        assert!(body.is_empty() && trailers.is_none(), "{path}");
    }
    assert_eq!(service.count(), 0, "nothing of this reached the app");
    // Others are told as ever.
    let plain = Request::post(format!("http://{}/demo.Echo/Unary", world.authority()));
    let (head, _, _) =
        outcome(&mut client, plain.header("content-type", "application/json").body(()).unwrap()).await;
    assert_eq!((head.status().as_u16(), one(head.headers(), "grpc-status")), (401, None));
    let old = world.send(
        "POST /demo.Echo/Unary HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/grpc\r\n\
         Content-Length: 0\r\nConnection: close\r\n\r\n",
    );
    assert_eq!((old.status, old.header("grpc-status")), (401, None));
    world.unjudged_count();
}

/// Of calls on one connection, those of a session end with it, at the client and at the app; no other does.
#[tokio::test(flavor = "multi_thread")]
async fn a_call_ends_with_its_session_and_the_others_of_its_connection_go_on() {
    let service = Service::start().await;
    let world = world(service.address);
    let stays = cookie_of(&world, "bankid-high-2");
    let mut client = connect(&world).await;
    let mut other = Call::open(&mut client, call(&world, "/demo.Echo/Talk", &stays, &[]), "x").await;
    assert_eq!(other.hears().await, message("x"));
    for _ in 0..5 {
        let mut browser = world.browser();
        assert_eq!(browser.log_in("/app/x", "bankid-high").status(), 200);
        let session = cookie(&browser);
        let mut calls = Vec::new();
        for path in ["/demo.Echo/Talk", "/demo.Echo/Silent", "/demo.Echo/Talk"] {
            calls.push(Call::open(&mut client, call(&world, path, &session, &[]), "y").await);
        }
        for talks in [0, 2] {
            assert_eq!(calls[talks].hears().await, message("y"));
        }
        let given_up = service.given_up();
        tokio::task::block_in_place(|| browser.step("/oauth2/logout"));
        let known = Instant::now();
        for mut call in calls {
            call.is_reset().await;
            assert!(known.elapsed() < Duration::from_secs(1), "{:?}", known.elapsed());
        }
        let told = async {
            while service.given_up() < given_up + 3 {
                tokio::task::yield_now().await;
            }
        };
        timeout(PATIENCE, told).await.expect("the app is told");
        other.says("still here").await;
        let (head, _, _) = outcome(&mut client, call(&world, "/demo.Echo/Unary", &session, &[])).await;
        assert_eq!(one(head.headers(), "grpc-status"), Some("16"));
    }
    world.unjudged_count();
}

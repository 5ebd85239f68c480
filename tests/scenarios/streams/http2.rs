//! The same over HTTP/2: of the streams of one connection those of a session end with it, and all others go on
//! (`design.md` D11; `threats.md` LO-6; RFC 9113, 5.4.2).

use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use h2::{RecvStream, SendStream};
use http::Request;
use tokio::net::TcpStream as Connection;
use tokio::task::block_in_place;
use tokio::time::timeout;

use super::ending::wanted;
use super::*;
use crate::harness::http::PATIENCE;

/// Streams of each kind that a session has open when it ends.
const OF_EACH: usize = 5;

/// A request under way.
struct Stream {
    kind: &'static str,
    under_way: UnderWay,
    /// Of an upload, which goes on only while more of it comes.
    up: Option<SendStream<Bytes>>,
}

enum UnderWay {
    /// Nothing of the reply has come.
    Silent(ResponseFuture),
    /// A part of it has.
    Begun(RecvStream),
}

impl Stream {
    const KINDS: [&str; 4] = ["events", "download", "upload", "poll"];

    async fn open(client: &SendRequest<Bytes>, world: &World, cookie: &str, kind: &'static str) -> Self {
        let before = world.app.count();
        let (method, path) = match kind {
            "events" => ("GET", "/app/events"),
            "download" => ("GET", "/app/download"),
            "upload" => ("PUT", "/app/silent"),
            _ => ("GET", "/app/silent"),
        };
        let request = Request::builder()
            .method(method)
            .uri(format!("http://{}{path}", world.authority()))
            .header("cookie", cookie)
            .body(())
            .unwrap();
        let mut ready = client.clone().ready().await.unwrap();
        let (reply, mut up) = ready.send_request(request, kind != "upload").unwrap();
        if kind == "upload" {
            up.send_data(Bytes::from_static(&PART), false).unwrap();
        }
        let under_way = match kind {
            "events" | "download" => {
                let mut body = timeout(PATIENCE, reply).await.expect("a reply").unwrap().into_body();
                let part = timeout(PATIENCE, body.data()).await.expect("a part").unwrap().unwrap();
                body.flow_control().release_capacity(part.len()).unwrap();
                UnderWay::Begun(body)
            }
            _ => UnderWay::Silent(reply),
        };
        block_in_place(|| arrived(world, before));
        Self { kind, under_way, up: (kind == "upload").then_some(up) }
    }

    async fn every_kind(
        client: &SendRequest<Bytes>,
        world: &World,
        cookie: &str,
        of_each: usize,
    ) -> Vec<Self> {
        let mut streams = Vec::new();
        for kind in Self::KINDS.into_iter().cycle().take(Self::KINDS.len() * of_each) {
            streams.push(Self::open(client, world, cookie, kind).await);
        }
        streams
    }

    /// Waits until it is reset.
    async fn ends_in_reset(self) {
        let (kind, error) = match self.under_way {
            UnderWay::Silent(reply) => (self.kind, timeout(PATIENCE, reply).await.map(|reply| reply.err())),
            UnderWay::Begun(mut body) => {
                let end = timeout(PATIENCE, body.data()).await;
                (self.kind, end.map(|end| end.and_then(Result::err)))
            }
        };
        let error = error.unwrap_or_else(|_| panic!("the {kind} goes on"));
        let error = error.unwrap_or_else(|| panic!("the {kind} got what looks whole"));
        assert!(error.is_reset() && error.is_remote(), "the {kind}: {error}");
    }

    /// Whether nothing has ended it so far. An upload brings its next part.
    async fn lives(&mut self) -> bool {
        let goes_on = match &mut self.up {
            Some(up) => up.send_data(Bytes::from_static(&PART), false).is_ok(),
            None => true,
        };
        // One look, without waiting.
        let ended = match &mut self.under_way {
            UnderWay::Silent(reply) => timeout(Duration::ZERO, reply).await.is_ok(),
            UnderWay::Begun(body) => timeout(Duration::ZERO, body.data()).await.is_ok(),
        };
        goes_on && !ended
    }
}

fn cookie(browser: &Browser<'_>) -> String {
    format!("__Host-portvakt={}", browser.session_cookie().unwrap())
}

/// Session after session on one connection, which another person uses all the time.
#[tokio::test(flavor = "multi_thread")]
#[expect(clippy::print_stdout, reason = "the figures are what `make streams` is for")]
async fn of_many_streams_of_one_connection_those_of_the_session_end_and_no_other() {
    let world = world_with(Settings::default().listener("h2c: true"));
    let (client, connection) =
        h2::client::handshake(Connection::connect(world.address()).await.unwrap()).await.unwrap();
    let connection = tokio::spawn(connection);
    let stays = cookie(&block_in_place(|| logged_in(&world, "bankid-high-2")));
    let mut others = Stream::every_kind(&client, &world, &stays, 1).await;
    let (mut ended, mut rounds, mut slowest) = (0, 0, Duration::ZERO);
    while ended < wanted() / 5 {
        let mut browser = block_in_place(|| logged_in(&world, "bankid-high"));
        let mut streams = Stream::every_kind(&client, &world, &cookie(&browser), OF_EACH).await;
        for stream in streams.iter_mut().chain(&mut others) {
            assert!(stream.lives().await, "the {} before round {rounds}", stream.kind);
        }
        block_in_place(|| browser.step("/oauth2/logout"));
        let known = Instant::now();
        for stream in streams {
            let kind = stream.kind;
            stream.ends_in_reset().await;
            assert!(known.elapsed() < SOON, "the {kind} ended after {:?}", known.elapsed());
            ended += 1;
        }
        slowest = slowest.max(known.elapsed());
        rounds += 1;
    }
    for other in &mut others {
        assert!(other.lives().await, "the {} of another session", other.kind);
    }
    assert!(!connection.is_finished());
    println!(
        "{ended} HTTP/2 streams of {rounds} sessions on one connection ended, 0 missed, slowest {} ms, {} of another \
         session went on",
        slowest.as_millis(),
        others.len()
    );
    drop((others, client));
    connection.abort();
    block_in_place(|| world.finish());
}

//! The end of a session is the end of all that is under way for it, however it becomes known, and of nothing else.

use std::process::Command;

use serde_json::json;

use super::*;
use crate::harness::free_port;
use crate::harness::process::{Process, await_that, program};

/// How many streams the loop ends at least; `make streams` asks for more.
pub(super) fn wanted() -> usize {
    std::env::var("PORTVAKT_STREAMS").ok().and_then(|count| count.parse().ok()).unwrap_or(500)
}

fn all_end(lasting: Vec<Lasting>, known: Instant, how: &str) -> Duration {
    let mut slowest = Duration::ZERO;
    for stream in lasting {
        let kind = stream.kind;
        let took = stream.end(known);
        assert!(took < SOON, "{how}: the {kind} ended after {took:?}");
        slowest = slowest.max(took);
    }
    slowest
}

#[test]
fn whatever_lasts_ends_with_its_session_however_that_ends() {
    let mut world = world();
    let second = Second::start(&world);
    let neighbour = logged_in(&world, "bankid-high-2");
    let others = Lasting::every_kind(&world, &neighbour);
    for how in ["logout", "front channel", "back channel", "another process"] {
        let mut browser = logged_in(&world, "bankid-high");
        let streams = Lasting::every_kind(&world, &browser);
        assert!(streams.iter().all(Lasting::lives), "{how}");
        match how {
            "logout" => {
                // In another tab.
                let mut tab = world.browser();
                tab.jar = browser.jar.clone();
                tab.step("/oauth2/logout");
            }
            "front channel" => {
                register(&world, Some("/oauth2/logout/frontchannel"), None);
                world.control(&json!({ "end_session": { "person": "bankid-high" } }));
            }
            "back channel" => {
                register(&world, None, Some("/oauth2/logout/backchannel"));
                world.control(&json!({ "end_session": { "person": "bankid-high" } }));
            }
            _ => {
                browser.step(&format!("http://localhost:{}/oauth2/logout", second.port));
            }
        }
        all_end(streams, Instant::now(), how);
        assert!(others.iter().all(Lasting::lives), "after {how} a neighbour's stream has ended");
    }
    // Each has its line, and says that it was broken off.
    let line = |line: &serde_json::Value| line["aborted"] == true && line["route"].is_string();
    await_that("the streams' lines", || {
        (world.access_log().iter().filter(|entry| line(entry)).count() >= 16).then_some(())
    });
    drop(second);
    let _ = world.gateway();
    drop(others);
    world.finish();
}

/// The gateway's addresses at the provider, with one channel alone.
fn register(world: &World, front: Option<&str>, back: Option<&str>) {
    let origin = world.origin();
    let jwks: serde_json::Value = serde_json::from_str(crate::harness::client_jwks()).unwrap();
    let url = |path: Option<&str>| path.map(|path| format!("{origin}{path}"));
    world.control(&json!({ "client": {
        "client_id": world.settings.client_id,
        "jwks": jwks,
        "redirect_uris": [format!("{origin}/oauth2/callback")],
        "post_logout_redirect_uris": [format!("{origin}/oauth2/logout/callback")],
        "frontchannel_logout_uri": url(front),
        "backchannel_logout_uri": url(back),
    }}));
}

/// Another process with the same keys and the same file of ended sessions.
struct Second {
    port: u16,
    _process: Process,
}

impl Second {
    fn start(world: &World) -> Self {
        let first = std::fs::read_to_string(world.configuration()).unwrap();
        let (port, admin) = (free_port(), free_port());
        let text = first.replace(&format!(":{}'", world.address().port()), &format!(":{port}'"));
        let (head, rest) = text.split_once("admin: {address: '127.0.0.1:").unwrap();
        let (_, tail) = rest.split_once('\'').unwrap();
        let text = format!("{head}admin: {{address: '127.0.0.1:{admin}'{tail}");
        let path = world.folder().join("second.yaml");
        std::fs::write(&path, text.replace("audit.log", "second-audit.log")).unwrap();
        let mut command = Command::new(program("portvakt"));
        command.args(["run", "--config"]).arg(&path);
        let process = Process::start(&mut command, world.folder(), "second");
        let address = std::net::SocketAddr::from(([127, 0, 0, 1], port));
        await_that("the second gateway listens", || TcpStream::connect(address).ok());
        Self { port, _process: process }
    }
}

#[test]
fn the_absolute_limit_ends_what_lasts_and_the_idle_limit_does_not() {
    let world = world_with(Settings::default().session("{idle: 1s, absolute: 4s}"));
    let browser = logged_in(&world, "bankid-high");
    let began = Instant::now();
    let streams = Lasting::every_kind(&world, &browser);
    let idle_over = || began.elapsed() > Duration::from_millis(1500);
    await_that("the idle limit has passed", || idle_over().then_some(()));
    assert!(streams.iter().all(Lasting::lives));
    for stream in streams {
        let kind = stream.kind;
        let lasted = stream.end(began);
        assert!(lasted > Duration::from_secs(2) && lasted < Duration::from_secs(6), "{kind}: {lasted:?}");
    }
    world.finish();
}

/// `threats.md` LO-8: what a strict route has begun does not go on for lack of knowledge.
#[test]
fn what_lasts_ends_on_strict_routes_when_nobody_knows_which_sessions_have_ended_and_on_others_goes_on() {
    let settings = Settings::default()
        .top("revocation: {max_lag: 1s}")
        .route("{path: '/lenient/**', access: login, revocation: available, upstream: app, websocket: true}");
    let world = world_with(settings);
    world.app.stream("/lenient/echo", |stream, received| echo(accept(stream, received)));
    let browser = logged_in(&world, "bankid-high");
    let strict = Lasting::every_kind(&world, &browser);
    let lenient = Lasting::new("socket", Socket::open(&world, &browser, "/lenient/echo").into_stream());
    let stranger = world.browser();
    let public = Lasting::new("socket", Socket::open(&world, &stranger, "/open/echo").into_stream());
    let file = world.configuration().with_file_name(".portvakt").join("revocations.log");
    // A folder in its place can be neither read nor replaced. The gateway may be quicker with a new file.
    await_that("a folder stands there", || {
        let _ = std::fs::remove_file(&file);
        std::fs::create_dir(&file).ok()
    });
    std::fs::create_dir(file.join("occupied")).unwrap();
    let unknown = Instant::now();
    for stream in strict {
        let kind = stream.kind;
        let took = stream.end_with(1013, unknown);
        assert!(took < Duration::from_secs(5), "{kind}: {took:?}");
    }
    let metrics = world.admin("/metrics").text();
    assert!(metrics.contains("portvakt_requests_ended_total{reason=\"sessions_uncertain\"} 5"), "{metrics}");
    assert!(lenient.lives() && public.lives());
    std::fs::remove_dir_all(&file).unwrap();
    await_that("it has recovered", || (world.admin("/readyz").status == 200).then_some(()));
    drop((lenient, public));
    world.finish();
}

/// Every kind, many at once, session after session: not one is missed.
#[test]
#[expect(clippy::print_stdout, reason = "the figures are what `make streams` is for")]
fn of_five_hundred_streams_not_one_outlives_its_session() {
    let world = world();
    let stays = logged_in(&world, "bankid-high-2");
    let others = Lasting::every_kind(&world, &stays);
    let (mut ended, mut rounds, mut slowest) = (0, 0, Duration::ZERO);
    let began = Instant::now();
    while ended < wanted() {
        let mut browser = logged_in(&world, "bankid-high");
        let streams: Vec<_> = (0..5).flat_map(|_| Lasting::every_kind(&world, &browser)).collect();
        let count = streams.len();
        assert!(streams.iter().chain(&others).all(Lasting::lives), "all live before round {rounds}");
        browser.step("/oauth2/logout");
        slowest = slowest.max(all_end(streams, Instant::now(), "logout"));
        ended += count;
        rounds += 1;
    }
    assert!(others.iter().all(Lasting::lives));
    println!(
        "{ended} streams of {rounds} sessions ended, 0 missed, slowest {} ms, {} of another session went on for {} s",
        slowest.as_millis(),
        others.len(),
        began.elapsed().as_secs()
    );
    drop(others);
    world.finish();
}

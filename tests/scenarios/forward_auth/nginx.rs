//! The examples for nginx, run by nginx: that of a proxy that asks, and that of a balancer.

use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::Command;

use portvakt_core::forward::{Fact, assertion};

use super::proxy::{Proxied, keeps_the_promise};
use crate::harness::http::exchange;
use crate::harness::process::{Process, await_that};
use crate::harness::{Settings, World, free_port};

/// What operators are shown.
const EXAMPLE: &str = include_str!("../../../deploy/nginx-forwardauth.conf");
const BALANCER: &str = include_str!("../../../deploy/nginx-balancer.conf");

/// Where Debian has it.
const INSTALLED: &str = "/usr/sbin/nginx";

fn configure(world: &World, at: SocketAddr, asked: SocketAddr) -> Command {
    let app = format!("127.0.0.1:{}", world.app.address().port());
    let public = world.address().to_string();
    let mut example = EXAMPLE.to_owned();
    for (operators, ours) in [
        ("server 127.0.0.1:8080;", format!("server {public};")),
        ("server 127.0.0.1:8090;", format!("server {asked};")),
        ("server 127.0.0.1:8083;", format!("server {app};")),
        ("listen 443 ssl http2;", format!("listen {at};")),
        ("server_name app.example.no;", "server_name app.localhost;".to_owned()),
        ("set $portvakt_host app.example.no;", format!("set $portvakt_host app.localhost:{};", at.port())),
        ("ssl_certificate     /etc/nginx/portvakt.pem;", String::new()),
        ("ssl_certificate_key /etc/nginx/portvakt.key;", String::new()),
    ] {
        assert_eq!(example.matches(operators).count(), 1, "{operators}");
        example = example.replace(operators, &ours);
    }
    command(world, &example)
}

/// The log of requests, as the examples write it.
fn log_of(world: &World) -> PathBuf {
    world.folder().join("nginx-access.log")
}

fn command(world: &World, example: &str) -> Command {
    let folder = world.folder().display().to_string();
    let (log, ours) = ("/var/log/nginx/portvakt.log", log_of(world).display().to_string());
    assert_eq!(example.matches(log).count(), 1);
    let example = example.replace(log, &ours);
    let kept = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
    let kept: String = kept.iter().map(|name| format!("{name}_temp_path {folder}/nginx-{name};\n")).collect();
    let whole = format!(
        "daemon off;\nmaster_process off;\npid {folder}/nginx.pid;\nerror_log stderr warn;\nevents {{}}\n\
         http {{\naccess_log off;\n{kept}{example}}}\n"
    );
    let file = world.folder().join("nginx.conf");
    std::fs::write(&file, whole).unwrap();
    let mut command = Command::new(INSTALLED);
    command.args(["-e", "stderr", "-c"]).arg(&file);
    command
}

/// Codes of logins and the provider's `sid` come in queries (`threats.md` OM-4).
fn judge_log(world: &World, requests: usize) {
    let log = await_that("the requests are logged", || {
        let log = std::fs::read_to_string(log_of(world)).unwrap_or_default();
        (log.lines().count() >= requests).then_some(log)
    });
    for query in ["?", "code=", "state=", "sid=", "iss="] {
        assert!(!log.contains(query), "{query}: {log}");
    }
}

#[test]
#[ignore = "`make proxies` installs the proxy and runs it"]
fn the_example_of_a_balancer_takes_whole_headers_and_logs_no_query() {
    let world = World::with(Settings::default().listener("load_balancers: [127.0.0.1]"));
    let at = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let mut example = BALANCER.to_owned();
    for (operators, ours) in [
        ("server 10.0.0.11:8080 max_fails=1 fail_timeout=2s;", format!("server {};", world.address())),
        ("server 10.0.0.12:8080 max_fails=1 fail_timeout=2s;", String::new()),
        ("server 10.0.0.13:8080 max_fails=1 fail_timeout=2s;", String::new()),
        ("listen 443 ssl http2;", format!("listen {at};")),
        ("ssl_certificate     /etc/nginx/portvakt.pem;", String::new()),
        ("ssl_certificate_key /etc/nginx/portvakt.key;", String::new()),
    ] {
        assert_eq!(example.matches(operators).count(), 1, "{operators}");
        example = example.replace(operators, &ours);
    }
    let mut proxy = Process::start(&mut command(&world, &example), world.folder(), "proxy");
    await_that("the proxy listens", || {
        assert!(proxy.ended().is_none(), "the proxy has ended: {}", proxy.errors());
        TcpStream::connect(at).is_ok().then_some(())
    });
    let large = "x".repeat(20_000);
    world
        .app
        .reply("/public/large", format!("HTTP/1.1 200 OK\r\nX-Large: {large}\r\nContent-Length: 0\r\n\r\n"));
    let ask = |target: &str, fields: &str| {
        let head = format!(
            "GET {target} HTTP/1.1\r\nHost: {}\r\nAccept: */*\r\n{fields}Connection: close\r\n\r\n",
            world.authority()
        );
        exchange(at, head.as_bytes())
    };
    // The hint of a logout, tokens, and what an app keeps, in one line as browsers write it.
    assert_eq!(ask("/public/", &format!("Cookie: theirs={large}\r\n")).status, 200);
    assert_eq!(world.app.last().header("cookie").map(str::len), Some(20_007));
    let answer = ask("/public/large?code=c&sid=s", "");
    assert_eq!((answer.status, answer.header("x-large").map(str::len)), (200, Some(20_000)));
    judge_log(&world, 2);
    drop(proxy);
    world.finish();
}

#[test]
#[ignore = "`make proxies` installs the proxy and runs it"]
fn the_example_keeps_the_promise() {
    let proxied = Proxied::start("nginx", configure);
    keeps_the_promise(&proxied);
    judge_log(&proxied.world, 10);
    let large = format!("Cookie: a={}\r\n", "x".repeat(20_000));
    assert_eq!(proxied.get("/oauth2/session", &large).status, 401);
    // nginx says no to what it cannot ask about.
    assert_eq!(proxied.get("/letters/%61", "").status, 403);
    assert_eq!(proxied.get("/nowhere/", "").status, 403);
    proxied.world.unjudged_count();
}

#[test]
fn the_example_names_every_header_of_the_contract() {
    for name in Fact::ALL.into_iter().map(Fact::header).chain([assertion::HEADER]) {
        let name = name.to_ascii_lowercase();
        let variable = format!("$upstream_http_{}", name.replace('-', "_"));
        let lines: Vec<Vec<&str>> =
            EXAMPLE.lines().map(|line| line.split_ascii_whitespace().collect()).collect();
        let mine = |line: &&Vec<&str>| {
            line.get(1).is_some_and(|word| word.trim_end_matches(';').eq_ignore_ascii_case(&name))
        };
        let set: Vec<_> = lines.iter().filter(mine).filter(|line| line[0] == "proxy_set_header").collect();
        let [set] = set.as_slice() else { panic!("{name}: {set:?}") };
        let asked = |line: &&Vec<&str>| {
            line.len() == 3 && line[0] == "auth_request_set" && line[2] == format!("{variable};")
        };
        let from = lines.iter().find(asked).unwrap_or_else(|| panic!("{name} is not asked for"));
        assert_eq!(set[2], format!("{};", from[1]), "{name}");
        assert!(lines.iter().filter(mine).any(|line| line[0] == "proxy_hide_header"), "{name} is not hidden");
    }
}

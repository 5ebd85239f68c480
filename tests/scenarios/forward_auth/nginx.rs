//! The example for nginx, run by nginx.

use std::net::SocketAddr;
use std::process::Command;

use portvakt_core::forward::{Fact, assertion};

use super::proxy::{Proxied, keeps_the_promise};
use crate::harness::World;

/// What operators are shown.
const EXAMPLE: &str = include_str!("../../../deploy/nginx-forwardauth.conf");

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
    let folder = world.folder().display().to_string();
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

#[test]
#[ignore = "`make proxies` installs the proxy and runs it"]
fn the_example_keeps_the_promise() {
    let proxied = Proxied::start("nginx", configure);
    keeps_the_promise(&proxied);
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

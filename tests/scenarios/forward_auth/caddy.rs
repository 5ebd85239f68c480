//! The example for Caddy, run by Caddy.

use std::net::SocketAddr;
use std::process::Command;

use portvakt_core::forward::{Fact, assertion};

use super::proxy::{Proxied, keeps_the_promise};
use crate::harness::World;

/// What operators are shown.
const EXAMPLE: &str = include_str!("../../../deploy/forwardauth.Caddyfile");

/// Where Debian has it.
const INSTALLED: &str = "/usr/bin/caddy";

fn configure(world: &World, at: SocketAddr, asked: SocketAddr) -> Command {
    let mut example = EXAMPLE.to_owned();
    for (operators, ours) in [
        ("reverse_proxy 127.0.0.1:8080\n", format!("reverse_proxy {}\n", world.address())),
        ("reverse_proxy 127.0.0.1:8090 {", format!("reverse_proxy {asked} {{")),
        (
            "reverse_proxy 127.0.0.1:8083 {",
            format!("reverse_proxy 127.0.0.1:{} {{", world.app.address().port()),
        ),
        ("\napp.example.no {", format!("\nhttp://app.localhost:{} {{\n\tbind 127.0.0.1", at.port())),
    ] {
        assert_eq!(example.matches(operators).count(), 1, "{operators}");
        example = example.replace(operators, &ours);
    }
    let file = world.folder().join("Caddyfile");
    std::fs::write(&file, format!("{{\n\tadmin off\n\tauto_https off\n}}\n{example}")).unwrap();
    let mut command = Command::new(INSTALLED);
    let (home, data) = (world.folder().join("home"), world.folder().join("data"));
    command.env("HOME", home).env("XDG_DATA_HOME", &data).env("XDG_CONFIG_HOME", &data);
    command.args(["run", "--adapter", "caddyfile", "--config"]).arg(&file);
    command
}

#[test]
#[ignore = "`make proxies` installs the proxy and runs it"]
fn the_example_keeps_the_promise() {
    let proxied = Proxied::start("caddy", configure);
    keeps_the_promise(&proxied);
    proxied.world.unjudged_count();
}

#[test]
fn the_example_names_every_header_of_the_contract() {
    for name in Fact::ALL.into_iter().map(Fact::header).chain([assertion::HEADER]) {
        let line = format!("import tell {name}");
        assert_eq!(EXAMPLE.lines().filter(|known| known.trim() == line).count(), 1, "{name}");
    }
}

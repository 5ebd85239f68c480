//! The load balancer: HAProxy with the configuration of `deploy/haproxy.cfg`, at other addresses and without TLS.

use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;

use super::replica::Replica;
use crate::harness::World;
use crate::harness::process::{Process, await_that};

/// What operators are shown.
const EXAMPLE: &str = include_str!("../../../deploy/haproxy.cfg");

/// Starts HAProxy at the world's address, in front of these.
pub(super) fn start(world: &World, replicas: &[Replica]) -> Process {
    let file = world.folder().join("haproxy.cfg");
    std::fs::write(&file, configuration(world.address(), replicas)).unwrap();
    // Debian keeps it where only root looks.
    let installed = "/usr/sbin/haproxy";
    let mut command = Command::new(if Path::new(installed).exists() { installed } else { "haproxy" });
    command.args(["-db", "-f"]).arg(&file);
    let mut process = Process::start(&mut command, world.folder(), "haproxy");
    await_that("the balancer listens", || {
        assert!(process.ended().is_none(), "the balancer has ended: {}", process.errors());
        TcpStream::connect(world.address()).is_ok().then_some(())
    });
    process
}

fn configuration(address: SocketAddr, replicas: &[Replica]) -> String {
    let mut text = String::new();
    let mut servers = replicas.iter();
    let mut backends = 0;
    for line in EXAMPLE.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.first().copied() {
            // Rights that a test does not have, and certificates.
            Some("user" | "group" | "chroot") => {}
            // Nor as many open files.
            Some("maxconn") => text.push_str("    maxconn 400\n"),
            Some("bind") if words.get(1) == Some(&":443") => {
                text.push_str(&format!("    bind {address}\n"));
            }
            Some("bind") => {}
            Some("backend") => {
                assert!(servers.len() == replicas.len() || servers.len() == 0, "a backend lacks servers");
                servers = replicas.iter();
                backends += 1;
                text.push_str(line);
                text.push('\n');
            }
            Some("server") => {
                let replica = servers.next().expect("the example has as many servers");
                let (address, admin) = (replica.address, replica.admin.port());
                text.push_str(&format!("    server {} {address} check port {admin}\n", replica.name));
            }
            _ => {
                text.push_str(line);
                text.push('\n');
            }
        }
    }
    assert!(servers.next().is_none() && backends == 2, "the example has as many servers");
    text
}

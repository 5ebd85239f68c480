//! Two gateways with one file of ended sessions: the world's own, and another beside it.

use std::fs::{self, File};
use std::io::Write as _;
use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::people::Client;
use crate::harness::http::{PATIENCE, try_exchange};
use crate::harness::process::{Process, await_that, program};
use crate::harness::{World, client_jwks, forwarded, free_port, lines};

/// Which gateways are killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Victims {
    /// The first; the second does not run.
    Alone,
    First,
    Second,
    Both,
}

impl Victims {
    fn has_first(self) -> bool {
        self != Self::Second
    }

    fn has_second(self) -> bool {
        matches!(self, Self::Second | Self::Both)
    }
}

/// The second gateway, and what was done to it.
pub(super) struct Gateways {
    second: Option<Process>,
    port: u16,
    admin: u16,
    configuration: PathBuf,
    kills: usize,
}

impl Gateways {
    /// Prepares another gateway beside a world's own: it says the same on other ports.
    pub(super) fn beside(world: &mut World) -> Self {
        let (port, admin) = (free_port(), free_port());
        let first = fs::read_to_string(world.configuration()).unwrap();
        let second = first
            .replace(&format!(":{}", world.address().port()), &format!(":{port}"))
            .replace(&format!(":{}", world.admin_port()), &format!(":{admin}"))
            .replace("audit.log", "second-audit.log");
        let configuration = world.folder().join("second.yaml");
        fs::write(&configuration, second).unwrap();
        Self { second: None, port, admin, configuration, kills: 0 }
    }

    fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port))
    }

    /// Before a round: who is to run runs, and the provider calls one of them.
    pub(super) fn prepare(&mut self, world: &World, victims: Victims) {
        match (victims, &mut self.second) {
            (Victims::Alone, Some(second)) => {
                assert!(second.stop().success(), "the second gateway: {}", second.errors());
                self.second = None;
            }
            (Victims::Alone, None) | (_, Some(_)) => {}
            (_, None) => self.start_second(world),
        }
        // The back channel alone, to a gateway that will be killed: the front channel is called by the scenario.
        let called = if victims.has_first() { world.address() } else { self.address() };
        let jwks: Value = serde_json::from_str(client_jwks()).unwrap();
        world.control(&json!({ "client": {
            "client_id": world.settings.client_id,
            "jwks": jwks,
            "redirect_uris": [format!("{}/oauth2/callback", world.origin())],
            "post_logout_redirect_uris": [format!("{}/oauth2/logout/callback", world.origin())],
            "backchannel_logout_uri": format!("http://localhost:{}/oauth2/logout/backchannel", called.port()),
        }}));
    }

    fn start_second(&mut self, world: &World) {
        let mut command = Command::new(program("portvakt"));
        command.args(["run", "--config"]).arg(&self.configuration);
        let mut second = Process::start(&mut command, world.folder(), "second");
        let admin = SocketAddr::from(([127, 0, 0, 1], self.admin));
        let ask = b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
        await_that("the second gateway is ready", || {
            if second.ended().is_some() {
                second = Process::start(&mut command, world.folder(), "second");
            }
            let ready = try_exchange(admin, ask).is_some_and(|response| response.status == 200);
            (ready && std::net::TcpStream::connect(self.address()).is_ok()).then_some(())
        });
        self.second = Some(second);
    }

    /// Whom the load talks to.
    pub(super) fn clients(&self, world: &World, victims: Victims) -> Vec<Client> {
        let client = |address| Client { address };
        match victims {
            Victims::Alone => vec![client(world.address())],
            _ => vec![client(world.address()), client(self.address())],
        }
    }

    /// Every gateway that runs.
    pub(super) fn running(&self, world: &World) -> Vec<Client> {
        self.clients(world, if self.second.is_some() { Victims::Both } else { Victims::Alone })
    }

    pub(super) fn kill(&mut self, world: &mut World, victims: Victims) {
        if victims.has_first() {
            world.kill_gateway();
        }
        if victims.has_second() {
            self.kills += 1;
            self.second.as_mut().unwrap().kill();
        }
    }

    /// Starts whom we killed. How many were.
    pub(super) fn restart(&mut self, world: &mut World, victims: Victims) -> usize {
        if victims.has_first() {
            world.start_killed_gateway();
        }
        if victims.has_second() {
            self.start_second(world);
        }
        usize::from(victims.has_first()) + usize::from(victims.has_second())
    }

    /// Where the ended sessions stand.
    pub(super) fn log(&self, world: &World) -> PathBuf {
        world.configuration().with_file_name(".portvakt").join("revocations.log")
    }

    /// Ends the second gateway and judges what it said, as the world does with its own.
    pub(super) fn finish(&mut self, world: &World) {
        if let Some(mut second) = self.second.take() {
            assert!(second.stop().success(), "the second gateway: {}", second.errors());
        }
        let read = |name: &str| {
            String::from_utf8_lossy(&fs::read(world.folder().join(name)).unwrap_or_default()).into_owned()
        };
        let (errors, output, audit) = (read("second.err"), read("second.out"), read("second-audit.log"));
        assert!(!errors.contains("panicked at"), "the second gateway panicked: {errors}");
        world.secrets.look_in("second gateway's messages", &errors, false);
        world.secrets.look_in("second gateway's access log", &output, false);
        world.secrets.look_in("second gateway's audit log", &audit, true);
        lines("second audit log", &audit, self.kills);
        let logged =
            forwarded(&lines("second access log", &output, self.kills)) + forwarded(&world.access_log());
        assert!(logged <= world.app.count(), "more requests were forwarded than arrived");
    }
}

/// Makes the log so long that a gateway replaces it, and waits until one is about to: it has written another
/// file, and waits for this lock to put it in place. `None` if it was there before the lock.
pub(super) fn begin_compaction(log: &Path) -> Option<File> {
    // One that a killed gateway has left is not looked at.
    let written = || fs::metadata(log.with_added_extension("new")).and_then(|new| new.modified()).ok();
    let (left, before) = (written(), identity(log));
    let held = File::open(log).unwrap();
    held.lock_shared().unwrap();
    lengthen(log);
    let end = Instant::now() + PATIENCE;
    while Instant::now() < end {
        if identity(log) != before {
            return None;
        }
        if written().is_some_and(|time| Some(time) != left) {
            return Some(held);
        }
        thread::yield_now();
    }
    panic!("no gateway has replaced its file");
}

/// Writes into the log again what stands there. A record that comes twice says nothing new.
fn lengthen(log: &Path) {
    let content = fs::read(log).unwrap();
    // Longer than a gateway lets it become: the double of what it holds, and 64 KiB.
    let times = 3 + 128 * 1024 / content.len();
    let mut file = File::options().append(true).open(log).unwrap();
    file.write_all(&content.repeat(times)).unwrap();
}

fn identity(path: &Path) -> Option<u64> {
    fs::metadata(path).ok().map(|metadata| metadata.ino())
}

/// Puts a copy of the log in its place, while nobody writes.
pub(super) fn replace_by_copy(log: &Path) {
    let copy = log.with_added_extension("copy");
    loop {
        let file = File::open(log).unwrap();
        file.lock().unwrap();
        if identity(log) == Some(file.metadata().unwrap().ino()) {
            fs::copy(log, &copy).unwrap();
            fs::rename(&copy, log).unwrap();
            return;
        }
        thread::sleep(Duration::from_millis(1));
    }
}

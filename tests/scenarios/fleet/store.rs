//! The store that the fleet shares: a real Redis that writes down what it has, and counts its commands.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::harness::free_port;
use crate::harness::http::PATIENCE;
use crate::harness::process::{Process, await_that};

/// It ends with the value.
pub(super) struct Store {
    process: Process,
    port: u16,
    folder: PathBuf,
}

/// What it has done so far.
#[derive(Clone, Debug)]
pub(super) struct Commands {
    pub(super) total: u64,
    /// By name.
    pub(super) calls: BTreeMap<String, u64>,
}

impl Store {
    pub(super) fn start(folder: &Path) -> Self {
        let (port, folder) = (free_port(), folder.join("store"));
        std::fs::create_dir(&folder).unwrap();
        Self { process: run(port, &folder), port, folder }
    }

    pub(super) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// It ends in good order and begins again with what it had.
    pub(super) fn restart(&mut self) {
        self.stop();
        self.start_again();
    }

    /// It ends in good order.
    pub(super) fn stop(&mut self) {
        self.process.stop();
    }

    /// It begins again with what it had.
    pub(super) fn start_again(&mut self) {
        self.process = run(self.port, &self.folder);
    }

    /// It is killed, and begins again with nothing.
    pub(super) fn lose_everything(&mut self) {
        self.process.kill();
        std::fs::remove_dir_all(self.folder.join("appendonlydir")).unwrap();
        self.start_again();
    }

    /// One command, and its answer.
    pub(super) fn say(&self, command: &str) -> String {
        say(self.port, command).expect("the store answers")
    }

    pub(super) fn commands(&self) -> Commands {
        let text = say(self.port, "INFO everything").expect("the store answers");
        let value = |line: &str, name: &str| line.strip_prefix(name).map(str::to_owned);
        let total = text.lines().find_map(|line| value(line, "total_commands_processed:"));
        let calls = text.lines().filter_map(|line| {
            let (name, figures) = line.strip_prefix("cmdstat_")?.split_once(":calls=")?;
            Some((name.to_owned(), figures.split(',').next()?.parse().ok()?))
        });
        Commands { total: total.unwrap().parse().unwrap(), calls: calls.collect() }
    }
}

fn run(port: u16, folder: &Path) -> Process {
    let mut command = Command::new("redis-server");
    command.args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "yes"]);
    command.arg("--dir").arg(folder);
    let mut process = Process::start(&mut command, folder, "store");
    await_that("the store answers", || {
        assert!(process.ended().is_none(), "the store has ended: {}", process.output());
        say(port, "PING").filter(|answer| answer.starts_with("+PONG"))
    });
    process
}

/// One command, and its whole answer: a line, or a bulk string.
fn say(port: u16, command: &str) -> Option<String> {
    let mut stream = TcpStream::connect(SocketAddr::from(([127, 0, 0, 1], port))).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    stream.write_all(format!("{command}\r\nQUIT\r\n").as_bytes()).ok()?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).ok()?;
    Some(String::from_utf8_lossy(&answer).into_owned())
}

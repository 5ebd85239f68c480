//! A Redis of a scenario's own: a real `redis-server` on loopback that ends with the value.

use std::fs;
use std::io::{BufReader, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::resp::{Resp, command};
use crate::harness::free_port;
use crate::harness::process::{Process, await_that};

/// The stream of what ended.
pub(super) const ENDS: &str = "{portvakt}:ends";

/// The stream of signs of life.
pub(super) const BEATS: &str = "{portvakt}:beats";

/// The length of a record of what ended (`core/src/revocation/record.rs`).
pub(super) const RECORD: usize = 72;

pub(crate) struct Redis {
    pub(crate) process: Process,
    pub(crate) port: u16,
    folder: PathBuf,
    options: Vec<String>,
}

impl Redis {
    pub(crate) fn start() -> Self {
        Self::with(&[])
    }

    /// With further options of its command line.
    pub(super) fn with(options: &[&str]) -> Self {
        let port = free_port();
        let name = format!("portvakt-redis-{}-{port}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        fs::create_dir(&folder).unwrap();
        let options: Vec<_> = options.iter().map(|&option| option.to_owned()).collect();
        Self { process: run(port, &folder, &options), port, folder, options }
    }

    pub(super) fn start_again(&mut self) {
        self.process = run(self.port, &self.folder, &self.options);
    }

    pub(super) fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port))
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// One command of words, and its answer.
    pub(crate) fn say(&self, words: &str) -> String {
        self.ask(&words.split(' ').collect::<Vec<_>>()).text()
    }

    /// The names that fit a pattern.
    pub(crate) fn names(&self, pattern: &str) -> Vec<String> {
        self.ask(&["KEYS", pattern]).items().iter().map(|name| name.clone().text()).collect()
    }

    pub(super) fn ask(&self, words: &[impl AsRef<[u8]>]) -> Resp {
        try_ask(self.address(), words).expect("redis answers")
    }

    /// What a stream holds: the ids, and the bytes.
    pub(super) fn entries(&self, stream: &str) -> Vec<(String, Vec<u8>)> {
        let answer = self.ask(&["XRANGE", stream, "-", "+"]);
        let entry = |entry: &Resp| {
            let [id, fields] = entry.items() else { panic!("no entry: {entry:?}") };
            (id.text(), fields.items().last().unwrap().bytes().to_vec())
        };
        answer.items().iter().map(entry).collect()
    }

    /// Writes an entry as a replica would. `id`: `*` for the next.
    pub(super) fn add(&self, stream: &str, id: &str, bytes: &[u8]) {
        let field = if stream == ENDS { "r" } else { "b" };
        let words: [&[u8]; 5] = [b"XADD", stream.as_bytes(), id.as_bytes(), field.as_bytes(), bytes];
        let answer = self.ask(&words);
        assert!(matches!(answer, Resp::Bulk(Some(_))), "{answer:?}");
    }
}

fn run(port: u16, folder: &Path, options: &[String]) -> Process {
    let mut server = Command::new("redis-server");
    server.args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]);
    server.arg("--dir").arg(folder).args(options);
    let process = Process::start(&mut server, folder, "redis");
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    // It says so also where it asks for a password, or reads its dump first.
    await_that("redis answers", || {
        try_ask(address, &["PING"]).filter(|answer| !answer.text().contains("LOADING"))
    });
    process
}

impl Drop for Redis {
    fn drop(&mut self) {
        // It may have been stopped, or killed already.
        if self.process.ended().is_none() {
            self.process.kill();
        }
        if !std::thread::panicking() {
            let _ = fs::remove_dir_all(&self.folder);
        }
    }
}

pub(super) fn try_ask(address: SocketAddr, words: &[impl AsRef<[u8]>]) -> Option<Resp> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
    let mut bytes = Vec::new();
    command(words).write(&mut bytes);
    stream.write_all(&bytes).ok()?;
    Resp::read(&mut BufReader::new(stream)).ok()
}

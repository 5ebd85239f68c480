//! One gateway of the fleet: a folder of its own with its configuration, its keys and its file of ended sessions.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::harness::World;
use crate::harness::http::{Response, try_exchange};
use crate::harness::process::{Process, await_that, program};

pub(super) const NAMES: [&str; 3] = ["one", "two", "three"];

pub(super) struct Replica {
    pub(super) name: &'static str,
    pub(super) address: SocketAddr,
    pub(super) admin: SocketAddr,
    pub(super) folder: PathBuf,
    /// The binary.
    program: PathBuf,
    process: Process,
    /// Successors so far.
    successors: usize,
}

impl Replica {
    /// Starts one that serves what the world's configuration says, at an address of its own.
    pub(super) fn start(world: &World, number: usize, balanced: bool) -> Self {
        Self::of(world, number, balanced, program("portvakt"))
    }

    /// The same of some binary.
    pub(super) fn of(world: &World, number: usize, balanced: bool, program: PathBuf) -> Self {
        let name = NAMES[number];
        let folder = world.folder().join(name);
        fs::create_dir_all(&folder).unwrap();
        let host = host(number, balanced);
        let address = SocketAddr::from(([127, 0, 0, host], world.address().port()));
        let admin = SocketAddr::from(([127, 0, 0, host], world.admin_port()));
        let process = Process::start(&mut command(&program, &folder), &folder, "gateway");
        let mut replica = Self { name, address, admin, folder, program, process, successors: 0 };
        replica.await_ready();
        replica
    }

    /// Its folder, before it starts.
    pub(super) fn prepare(world: &World, number: usize, balanced: bool, configuration: &str) {
        let folder = world.folder().join(NAMES[number]);
        fs::create_dir_all(&folder).unwrap();
        let host = host(number, balanced);
        let (port, admin) = (world.address().port(), world.admin_port());
        let own = configuration
            .replace(&format!("'127.0.0.1:{port}'"), &format!("'127.0.0.{host}:{port}'"))
            .replace(&format!("'127.0.0.1:{admin}'"), &format!("'127.0.0.{host}:{admin}'"));
        fs::write(folder.join("gateway.yaml"), own).unwrap();
    }

    pub(super) fn get_admin(&self, path: &str) -> Option<Response> {
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        try_exchange(self.admin, request.as_bytes()).filter(|answer| answer.status != 0)
    }

    /// With which status the admin listener answers.
    pub(super) fn asked(&self, path: &str) -> Option<u16> {
        self.get_admin(path).map(|answer| answer.status)
    }

    pub(super) fn is_ready(&self) -> bool {
        self.asked("/readyz") == Some(200) && std::net::TcpStream::connect(self.address).is_ok()
    }

    /// Whether it is ready and nothing may be lacking.
    pub(super) fn is_certain(&self) -> bool {
        self.is_ready()
            && self.asked("/readyz?strict") == Some(200)
            && self.metric("portvakt_revocations_stream_sure") == 1.0
    }

    pub(super) fn await_ready(&mut self) {
        await_that("a replica is ready", || {
            assert!(self.process.ended().is_none(), "{} has ended: {}", self.name, self.process.errors());
            self.is_ready().then_some(())
        });
    }

    /// A metric's value, summed over its labels.
    pub(super) fn metric(&self, name: &str) -> f64 {
        let text = self.get_admin("/metrics").map(|answer| answer.text()).unwrap_or_default();
        let lines = text.lines().filter_map(|line| line.strip_prefix(name)?.rsplit_once(' '));
        let lines = lines.filter(|(labels, _)| labels.is_empty() || labels.starts_with('{'));
        lines.map(|(_, value)| value.parse::<f64>().unwrap()).sum()
    }

    fn status(&self) -> Value {
        self.get_admin("/status.json").expect("the replica answers").json()
    }

    fn generation(&self) -> u64 {
        self.status()["generation"].as_u64().unwrap()
    }

    /// Reads the configuration again, which it takes.
    pub(super) fn reload(&mut self) {
        let before = self.generation();
        self.process.signal("HUP");
        await_that("the reload", || (self.generation() > before).then_some(()));
    }

    /// A broken file is refused, and changes nothing.
    pub(super) fn refuse_a_broken_file(&mut self) {
        let file = self.folder.join("gateway.yaml");
        let sound = fs::read_to_string(&file).unwrap();
        let (generation, refusals) = (self.generation(), self.refusals());
        // The stricter rule is half written.
        fs::write(&file, format!("{sound}      - {{path: '/fleet/**', access: ")).unwrap();
        self.process.signal("HUP");
        await_that("the broken file is refused", || (self.refusals() > refusals).then_some(()));
        assert_eq!(self.generation(), generation);
        fs::write(&file, sound).unwrap();
    }

    fn refusals(&self) -> usize {
        self.process.errors().matches("was not taken").count()
    }

    /// Ends in good order, and another one starts at the same place.
    pub(super) fn restart(&mut self) {
        self.stop();
        self.begin();
        self.await_ready();
    }

    /// Ends in good order.
    pub(super) fn stop(&mut self) {
        let status = self.process.stop();
        assert!(status.success(), "{} ended with {status:?}: {}", self.name, self.process.errors());
    }

    /// Starts again after its end, ready or not.
    pub(super) fn begin(&mut self) {
        self.process = Process::start(&mut command(&self.program, &self.folder), &self.folder, "gateway");
    }

    /// From its next start or successor on it is of this binary.
    pub(super) fn becomes(&mut self, program: PathBuf) {
        self.program = program;
    }

    /// Messages to operators.
    pub(super) fn messages(&self) -> String {
        self.process.errors()
    }

    /// A successor gets ready and takes over.
    pub(super) fn hand_over(&mut self) {
        self.successors += 1;
        let mut command = command(&self.program, &self.folder);
        command.arg("--upgrade");
        let successor = Process::start(&mut command, &self.folder, "gateway");
        let said = |replica: &Self, message: &str| replica.process.errors().matches(message).count();
        await_that("the successor is ready", || {
            (said(self, "a successor is ready") >= self.successors).then_some(())
        });
        let mut old = std::mem::replace(&mut self.process, successor);
        old.signal("QUIT");
        let status = await_that("the one before ends", || old.ended());
        assert!(status.success(), "{status:?}: {}", old.errors());
        assert!(said(self, "took over") >= self.successors);
    }

    /// Ends it, and judges what it wrote.
    pub(super) fn finish(&mut self, world: &World) {
        let status = self.process.stop();
        let errors = self.process.errors();
        assert!(status.success(), "{} ended with {status:?}: {errors}", self.name);
        let audit = fs::read_to_string(self.folder.join("audit.log")).unwrap_or_default();
        let output = self.process.output();
        for (log, text) in [("messages", &errors), ("access log", &output), ("audit log", &audit)] {
            assert!(!text.contains("panicked"), "{} panicked: {text}", self.name);
            world.secrets.look_in(&format!("{} of {}", log, self.name), text, log == "audit log");
        }
    }
}

/// The last byte of its address: all are at the same port, and the balancer, if there is one, is the first.
fn host(number: usize, balanced: bool) -> u8 {
    u8::try_from(number + if balanced { 2 } else { 1 }).unwrap()
}

fn command(program: &Path, folder: &Path) -> Command {
    let mut command = Command::new(program);
    command.args(["run", "--config"]).arg(folder.join("gateway.yaml"));
    command
}

//! Reload: what is taken, what is refused, and when (`design.md` D5; `threats.md` OM-1, OM-2).

use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use pingora::tls::{
    ClientConfig, ClientTlsStream, RootCertStore, ServerName, TlsConnector, load_ca_file_into_store,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::harness::process::await_that;
use crate::harness::{Settings, World, free_port};

/// Longer than a change waits before it is looked at.
const LOOKED: Duration = Duration::from_millis(1500);

const NEW_ROUTE: &str = "{path: '/new/**', access: login, upstream: app}";

/// What `/status.json` says.
fn status(world: &World) -> serde_json::Value {
    world.admin("/status.json").json()
}

/// So many configurations have been in force.
fn await_generation(world: &World, generation: u64) {
    await_that("the configuration is in force", || {
        (status(world)["generation"].as_u64().unwrap() >= generation).then_some(())
    });
    assert_eq!(status(world)["generation"], generation);
}

fn await_refusals(world: &World, count: usize) {
    await_that("the configuration is refused", || (refusals(world) >= count).then_some(()));
}

fn refusals(world: &World) -> usize {
    world.errors().matches("was not taken").count()
}

#[test]
fn a_changed_file_is_taken_without_being_asked_and_only_once() {
    let mut world = World::start();
    let before = status(&world);
    assert!(before["reload_refused"].is_null());
    assert_eq!(world.curl("/new/", "").status, 404);
    world.settings.routes.push(NEW_ROUTE.to_owned());
    world.write_configuration();
    await_generation(&world, 2);
    assert_eq!(world.curl("/new/", "").status, 401);
    assert_ne!(status(&world)["digest"], before["digest"]);
    // The same text once more is no change; the next one is number 3 and not 4.
    world.write_configuration();
    world.settings.routes.pop();
    world.write_configuration();
    await_generation(&world, 3);
    assert_eq!(status(&world)["digest"], before["digest"]);
    let metrics = world.admin("/metrics").text();
    assert!(metrics.contains("portvakt_config_last_reload_successful 1"), "{metrics}");
    assert!(metrics.contains("portvakt_config_reloads_total{result=\"ok\"} 2"), "{metrics}");
    world.finish();
}

#[test]
fn a_file_in_the_middle_of_being_written_is_not_taken() {
    let mut world = World::start();
    // From then on the files are watched.
    world.settings.routes.push("{path: '/watched/**', access: public, upstream: app}".to_owned());
    world.write_configuration();
    await_generation(&world, 2);
    let sound = fs::read_to_string(world.configuration()).unwrap();
    // The first half is sound in itself: it lacks the stricter routes.
    let (first, second) = sound.split_at(sound.find("      - {path: '/app/**'").unwrap());
    let mut file = File::create(world.configuration()).unwrap();
    file.write_all(first.as_bytes()).unwrap();
    file.flush().unwrap();
    // Something else changes meanwhile, so that whoever does not wait for the writer looks.
    world.run_keys(&["rotate", "cookie"]);
    thread::sleep(LOOKED);
    assert_eq!(world.curl("/app/", "").status, 401);
    file.write_all(second.as_bytes()).unwrap();
    file.write_all(format!("      - {NEW_ROUTE}\n").as_bytes()).unwrap();
    drop(file);
    await_generation(&world, 3);
    assert_eq!(world.curl("/new/", "").status, 401);
    assert_eq!((world.curl("/app/", "").status, refusals(&world)), (401, 0));
    world.finish();
}

#[test]
fn a_half_written_file_is_refused_and_the_whole_one_taken() {
    let mut world = World::start();
    let sound = fs::read_to_string(world.configuration()).unwrap();
    world.settings.routes.push(NEW_ROUTE.to_owned());
    fs::write(world.configuration(), &sound[..sound.find("upstreams:").unwrap()]).unwrap();
    await_refusals(&world, 1);
    let line = world.errors().lines().rfind(|line| line.contains("was not taken")).unwrap().to_owned();
    assert!(line.contains("gateway.yaml:1:1") && line.contains("fix:"), "{line}");
    let shown = status(&world);
    assert!(shown["generation"] == 1 && shown["reload_refused"].is_string(), "{shown}");
    let metrics = world.admin("/metrics").text();
    assert!(metrics.contains("portvakt_config_last_reload_successful 0"), "{metrics}");
    assert_eq!((world.curl("/public/", "").status, world.curl("/app/", "").status), (200, 401));
    world.write_configuration();
    await_generation(&world, 2);
    assert!(status(&world)["reload_refused"].is_null());
    assert_eq!(world.curl("/new/", "").status, 401);
    world.finish();
}

#[test]
fn kubernetes_exchange_of_a_link_is_a_change() {
    let mut world = World::start();
    // As a mounted ConfigMap: gateway.yaml -> ..data/gateway.yaml, ..data -> a folder with the time in its name.
    let mount = world.folder().to_owned();
    let lay_down = |version: &str, world: &World| {
        let folder = mount.join(version);
        fs::create_dir(&folder).unwrap();
        world.write_configuration();
        fs::rename(world.configuration(), folder.join("gateway.yaml")).unwrap();
        symlink(version, mount.join("..data_tmp")).unwrap();
        fs::rename(mount.join("..data_tmp"), mount.join("..data")).unwrap();
    };
    lay_down("..first", &world);
    symlink("..data/gateway.yaml", world.configuration()).unwrap();
    world.restart_gateway();
    for (version, generation) in [("..second", 2), ("..third", 3)] {
        world.settings.routes.push(NEW_ROUTE.replace("/new/", &format!("/new{generation}/")));
        let folder = mount.join(version);
        fs::create_dir(&folder).unwrap();
        let text = fs::read_to_string(world.configuration()).unwrap();
        let route = world.settings.routes.last().unwrap();
        fs::write(folder.join("gateway.yaml"), format!("{text}      - {route}\n")).unwrap();
        symlink(version, mount.join("..data_tmp")).unwrap();
        fs::rename(mount.join("..data_tmp"), mount.join("..data")).unwrap();
        await_generation(&world, generation);
        assert_eq!(world.curl(&format!("/new{generation}/"), "").status, 401);
    }
    world.finish();
}

#[test]
fn without_leave_a_change_waits_for_sighup() {
    let mut world = World::with(Settings::default().top("reload_on_change: false"));
    world.settings.routes.push(NEW_ROUTE.to_owned());
    world.write_configuration();
    world.gateway().signal("HUP");
    await_generation(&world, 2);
    // What is not followed leaves no trace: the broken file is met by SIGHUP alone.
    fs::write(world.configuration(), "broken").unwrap();
    world.gateway().signal("HUP");
    await_refusals(&world, 1);
    world.write_configuration();
    world.gateway().signal("HUP");
    await_generation(&world, 3);
    assert_eq!(refusals(&world), 1);
    world.finish();
}

#[test]
fn a_new_key_is_taken_and_sessions_of_the_old_one_go_on() {
    let world = World::start();
    let mut browser = world.browser();
    browser.log_in("/app/", "minid-substantial");
    let keys = |world: &World| {
        let keys = status(world)["keys"].as_array().unwrap().clone();
        keys.iter().filter(|key| key["purpose"] == "cookie").count()
    };
    assert_eq!(keys(&world), 1);
    world.run_keys(&["rotate", "cookie"]);
    await_generation(&world, 2);
    assert_eq!(keys(&world), 2);
    assert_eq!(browser.fetch("/app/").status(), 200);
    world.finish();
}

/// A file that names other keys, and a log that cannot be opened.
#[test]
fn a_file_that_is_refused_changes_no_key_with_which_we_authenticate() {
    let mut world = World::with(Settings::default().top("reload_on_change: false"));
    let (keys, other) = (world.folder().join("keys"), world.folder().join("keys-other"));
    fs::DirBuilder::new().mode(0o700).create(&other).unwrap();
    for entry in fs::read_dir(keys).unwrap().map(Result::unwrap) {
        fs::copy(entry.path(), other.join(entry.file_name())).unwrap();
    }
    fs::remove_file(other.join("client-idporten.json")).unwrap();
    let sound = fs::read_to_string(world.configuration()).unwrap();
    let text = sound.replace("keys: keys", "keys: keys-other");
    fs::write(world.configuration(), &text).unwrap();
    world.run_keys(&["new", "client-idporten"]);
    // The audit log would be in a file as if that were a folder.
    fs::write(world.configuration(), text.replace("audit.log", "gateway.yaml/audit.log")).unwrap();
    world.gateway().signal("HUP");
    await_that("it is refused", || world.errors().contains("audit.log cannot be opened").then_some(()));
    assert_eq!(world.browser().log_in("/app/", "bankid-high").status(), 200);
    fs::write(world.configuration(), sound).unwrap();
    world.finish();
}

#[test]
fn rotated_logs_are_opened_anew() {
    let mut world = World::start();
    world.browser().log_in("/app/", "minid-substantial");
    world.await_audit(1);
    let (log, rotated) = (world.folder().join("audit.log"), world.folder().join("audit.log.1"));
    fs::rename(&log, &rotated).unwrap();
    world.gateway().signal("HUP");
    await_that("the file is there again", || log.exists().then_some(()));
    world.browser().log_in("/app/", "bankid-high");
    await_that("the line is in the new file", || {
        (fs::read_to_string(&log).unwrap_or_default().lines().count() == 1).then_some(())
    });
    assert_eq!(fs::read_to_string(&rotated).unwrap().lines().count(), 1);
    fs::remove_file(rotated).unwrap();
    world.finish();
}

#[test]
fn a_renewed_certificate_is_served_to_new_connections_and_a_broken_one_to_none() {
    let mut world = World::start();
    let port = free_port();
    let folder = world.folder().to_owned();
    let place = |name: &str| folder.join(name);
    let (chain, key, old, new) = (place("chain.pem"), place("key.pem"), place("old.pem"), place("new.pem"));
    make_certificate(&chain, &key);
    fs::copy(&chain, &old).unwrap();
    let text = fs::read_to_string(world.configuration()).unwrap();
    let (listeners, further) = (
        "listeners: [",
        format!(
            "listeners: [{{address: '127.0.0.1:{port}', tls: {{certificate: chain.pem, key: key.pem}}}}, "
        ),
    );
    fs::write(world.configuration(), text.replacen(listeners, &further, 1)).unwrap();
    world.restart_gateway();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut kept = runtime.block_on(Tls::connect(port, &old)).unwrap();
    runtime.block_on(kept.get());

    // As certbot does: the chain first, then the key. In between they do not fit.
    let (fresh_chain, fresh_key) = (place("fresh-chain.pem"), place("fresh-key.pem"));
    make_certificate(&fresh_chain, &fresh_key);
    fs::copy(&fresh_chain, &new).unwrap();
    fs::rename(&fresh_chain, &chain).unwrap();
    await_refusals(&world, 1);
    assert!(world.errors().contains("do not fit"), "{}", world.errors());
    assert!(runtime.block_on(Tls::connect(port, &old)).is_ok() && status(&world)["generation"] == 1);
    fs::rename(&fresh_key, &key).unwrap();
    await_generation(&world, 2);
    runtime.block_on(async {
        Tls::connect(port, &new).await.unwrap().get().await;
        assert!(Tls::connect(port, &old).await.is_err(), "the old certificate is served no more");
        kept.get().await;
    });

    // Another broken one, together with a sound change of the configuration: neither is taken.
    fs::write(&chain, "no certificate").unwrap();
    await_refusals(&world, 2);
    runtime.block_on(async { Tls::connect(port, &new).await.unwrap().get().await });
    drop(kept);
    world.finish();
}

/// A self-made certificate for `a.test`.
pub(crate) fn make_certificate(chain: &Path, key: &Path) {
    let mut command = std::process::Command::new("openssl");
    command.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]);
    command.args([
        "-subj",
        "/CN=a.test",
        "-addext",
        "subjectAltName=DNS:a.test",
        "-addext",
        "basicConstraints=critical,CA:FALSE",
        "-days",
        "2",
    ]);
    command.arg("-out").arg(chain).arg("-keyout").arg(key);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

struct Tls(ClientTlsStream<TcpStream>);

impl Tls {
    async fn connect(port: u16, trusted: &PathBuf) -> std::io::Result<Self> {
        pingora::tls::install_default_crypto_provider();
        let mut roots = RootCertStore::empty();
        load_ca_file_into_store(trusted, &mut roots).unwrap();
        let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        let stream = TcpStream::connect(("127.0.0.1", port)).await?;
        let name = ServerName::try_from("a.test").unwrap();
        Ok(Self(TlsConnector::from(Arc::new(config)).connect(name, stream).await?))
    }

    /// Any answer of the gateway: its host is not this one.
    async fn get(&mut self) {
        self.0.write_all(b"HEAD /one HTTP/1.1\r\nHost: a.test\r\n\r\n").await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(self.0.read_u8().await.unwrap());
        }
        assert!(head.starts_with(b"HTTP/1.1 421 "), "{}", String::from_utf8_lossy(&head));
    }
}

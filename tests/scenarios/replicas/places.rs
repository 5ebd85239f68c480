//! Where the store may be, and as whom we come: TLS, certificates, an ACL user, sentinels, a cluster; and what
//! `portvakt doctor` says of it.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use super::fleet::{Fleet, STRICT};
use super::redis::{ENDS, RECORD, Redis, try_ask};
use crate::doctor::{doctor, verdicts};
use crate::harness::free_port;
use crate::harness::process::{Process, await_that};
use crate::harness::tls::{data, private};

const PASSWORD: &str = "not-in-any-log-4711";

/// The rule that `docs/operators-guide.md` gives, and `portvakt doctor` too.
const RULE: &str = "resetkeys ~{portvakt}:* resetchannels -@all +xadd +xread +xrange +xlen +xtrim +info";

/// A file that others cannot read.
fn secret(folder: &Path, text: &str) -> String {
    let path = folder.join("secret");
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    path.display().to_string()
}

fn doctor_on_store(fleet: &Fleet, verdict: &str) -> Vec<String> {
    let (_, findings) = doctor(&fleet.world);
    verdicts(&findings, verdict).into_iter().filter(|found| found.starts_with("store")).collect()
}

/// A Redis that speaks TLS at the second port, and asks for a certificate there.
fn with_tls() -> (Redis, u16) {
    let port = free_port();
    let file = |name: &str| data(name).display().to_string();
    let options = [
        ["--tls-port", &port.to_string()],
        ["--tls-cert-file", &file("app.pem")],
        ["--tls-key-file", &file("app.key")],
        ["--tls-ca-cert-file", &file("ca-one.pem")],
        ["--tls-auth-clients", "yes"],
    ];
    (Redis::with(&options.concat()), port)
}

#[test]
fn by_tls_with_a_certificate_and_as_a_user_who_may_do_no_more_than_is_needed() {
    let (redis, port) = with_tls();
    redis.say("CONFIG SET appendonly yes");
    let allow = |rule: &str| {
        let answer = redis.say(&format!("ACL SETUSER portvakt reset on >{PASSWORD} {rule}"));
        assert_eq!(answer, "+OK");
    };
    allow(RULE);
    for beyond in ["FLUSHALL", "GET x", "KEYS *", "CONFIG GET *", "XADD other * r x", "DEL {portvakt}:ends"] {
        let answer = redis.say(&format!("ACL DRYRUN portvakt {beyond}"));
        assert!(answer.contains("no permissions"), "{beyond}: {answer}");
    }
    let stream = |ca: &str| {
        format!(
            "{{servers: ['rediss://127.0.0.1:{port}'], username: portvakt, password: 'file:{}', ca_file: '{}', \
             client_certificate: '{}', client_key: '{}'}}",
            secret(redis.folder(), PASSWORD),
            data(ca).display(),
            data("client-one.pem").display(),
            private(redis.folder(), "client-one.key").display(),
        )
    };
    let fleet = Fleet::of(&[stream("ca-one.pem"), stream("ca-one.pem")]);
    fleet.world.secrets.add(PASSWORD);
    let watch = fleet.watch();
    let (gone, stays) = (fleet.log_in("bankid-high"), fleet.log_in("bankid-high-2"));
    fleet.end(1, &gone, &watch);
    watch.only("/app/", &stays, STRICT);
    let clients = redis.say("CLIENT LIST");
    assert_eq!(clients.matches("user=portvakt").count(), 4, "two for each gateway: {clients}");

    assert_eq!(doctor_on_store(&fleet, "fail"), Vec::<String>::new());
    assert_eq!(doctor_on_store(&fleet, "warn"), Vec::<String>::new());
    let fine = doctor_on_store(&fleet, "ok");
    assert!(fine.iter().any(|found| found.contains("the store answers; it holds ")), "{fine:?}");
    let finds = |verdict: &str, what: &[&str]| {
        let found = doctor_on_store(&fleet, verdict);
        assert!(
            what.iter().all(|what| found.iter().any(|found| found.contains(what))),
            "{what:?}: {found:?}"
        );
    };
    redis.say("CONFIG SET maxmemory-policy allkeys-lru");
    finds("fail", &["`maxmemory-policy` is `allkeys-lru`"]);
    redis.say("CONFIG SET maxmemory-policy volatile-ttl");
    finds("warn", &["`maxmemory-policy` is `volatile-ttl`"]);
    redis.say("CONFIG SET maxmemory-policy noeviction");
    redis.say("CONFIG SET appendonly no");
    redis.say("CONFIG SET maxmemory 1");
    finds("fail", &["its memory is full"]);
    finds("warn", &["appendonly no", "of its memory are in use"]);
    redis.say("CONFIG SET maxmemory 0");
    redis.say("CONFIG SET min-replicas-to-write 1");
    finds("fail", &["too few copies follow it"]);
    redis.say("CONFIG SET min-replicas-to-write 0");
    allow("resetkeys ~{portvakt}:* resetchannels -@all +xread +xrange +xlen");
    finds("fail", &["the user `portvakt` may not do XADD, XTRIM on our keys"]);
    finds("warn", &["its user may not ask for `INFO`"]);
    fleet.await_statuses("who may not write is not certain", "/app/", &stays, 503);
    allow("resetkeys ~{portvakt}:ends resetchannels -@all +@all");
    finds("fail", &["may not do XADD, XRANGE, XREAD, XTRIM, XLEN on our keys"]);
    allow(RULE);
    fleet.await_back("allowed again", Instant::now());
    let are_ends = redis.entries(ENDS).iter().all(|(_, bytes)| bytes.len() == RECORD);
    assert!(are_ends, "doctor has written nothing there");
    redis.say(&format!("ACL SETUSER portvakt resetpass >{PASSWORD}-new"));
    finds("fail", &["authentication failed"]);
    let said = format!("{:?}", doctor(&fleet.world));
    assert!(!said.contains(PASSWORD), "{said}");
    // Who is connected stays so; from the next connection on the new secret counts, without a restart.
    assert_eq!(fleet.statuses("/app/", &stays), [200; 2]);
    redis.say("CLIENT KILL USER portvakt");
    fleet.await_statuses("with the old secret nothing is certain", "/app/", &stays, 503);
    secret(redis.folder(), &format!("{PASSWORD}-new"));
    (0..2).for_each(|at| fleet.reload(at));
    fleet.await_back("with the new secret", Instant::now());
    assert_eq!(fleet.statuses("/app/", &stays), [200; 2]);

    // Who trusts another CA speaks to nobody, and says so.
    let file = fs::read_to_string(fleet.world.configuration()).unwrap();
    fs::write(fleet.world.configuration(), file.replace("ca-one.pem", "ca-two.pem")).unwrap();
    finds("fail", &["invalid peer certificate"]);
    fs::write(fleet.world.configuration(), file).unwrap();
    watch.finish();
    fleet.finish();
}

/// A `redis-server --sentinel` that watches a master.
struct Sentinel {
    process: Process,
    port: u16,
}

impl Sentinel {
    fn of(master: &Redis) -> Self {
        let port = free_port();
        let file = master.folder().join("sentinel.conf");
        let lines = format!(
            "port {port}\nbind 127.0.0.1\ndir {}\nrequirepass {PASSWORD}\nsentinel monitor ours 127.0.0.1 {} 1\n\
             sentinel down-after-milliseconds ours 500\nsentinel failover-timeout ours 3000\n",
            master.folder().display(),
            master.port
        );
        fs::write(&file, lines).unwrap();
        let mut command = Command::new("redis-server");
        command.arg(&file).arg("--sentinel");
        let process = Process::start(&mut command, master.folder(), "sentinel");
        let address = ([127, 0, 0, 1], port).into();
        await_that("the sentinel answers", || try_ask(address, &["PING"]));
        Self { process, port }
    }
}

#[test]
fn sentinels_are_asked_and_a_new_master_is_followed() {
    let mut master = Redis::start();
    let copy = Redis::with(&["--replicaof", &format!("127.0.0.1 {}", master.port)]);
    let mut sentinel = Sentinel::of(&master);
    await_that("the copy follows, and the sentinel knows it", || {
        let known = master.say("INFO replication").contains("slave0:ip=127.0.0.1");
        let seen = fs::read_to_string(master.folder().join("sentinel.conf")).unwrap();
        (known && seen.contains("known-replica")).then_some(())
    });
    // The first one is not there: somebody else is asked.
    let stream = format!(
        "{{servers: ['redis://127.0.0.1:{}', 'redis://127.0.0.1:{}'], sentinel: ours, sentinel_password: 'file:{}'}}",
        free_port(),
        sentinel.port,
        secret(copy.folder(), PASSWORD),
    );
    let fleet = Fleet::of(&[stream.clone(), stream]);
    fleet.world.secrets.add(PASSWORD);
    let watch = fleet.watch();
    let (gone, later, stays) =
        (fleet.log_in("bankid-high"), fleet.log_in("bankid-high-2"), fleet.log_in("d-number"));
    fleet.end(0, &gone, &watch);
    watch.only("/app/", &stays, STRICT);
    watch.only("/lenient/", &stays, &[200]);
    let warned = doctor_on_store(&fleet, "warn");
    for what in ["refused", "min-replicas-to-write 0"] {
        assert!(warned.iter().any(|found| found.contains(what)), "{what}: {warned:?}");
    }
    assert_eq!(doctor_on_store(&fleet, "fail"), Vec::<String>::new());

    master.process.kill();
    await_that("the copy is the master", || {
        copy.say("INFO replication").contains("role:master").then_some(())
    });
    fleet.await_back("failed over by the sentinel", Instant::now());
    fleet.end(1, &later, &watch);
    assert!(copy.entries(ENDS).len() >= 2, "both ends are in the new one");
    assert_eq!(fleet.statuses("/app/", &gone), [401; 2]);
    assert_eq!(fleet.statuses("/app/", &stays), [200; 2]);
    watch.finish();
    fleet.finish();
    sentinel.process.kill();
}

/// Three masters that share the slots, and a copy of the one that holds our streams.
fn cluster() -> (Vec<Redis>, usize) {
    let nodes: Vec<_> = (0..4)
        .map(|_| {
            let bus = free_port().to_string();
            let redis = Redis::with(&[
                "--cluster-enabled",
                "yes",
                "--cluster-node-timeout",
                "1000",
                "--cluster-port",
                &bus,
            ]);
            (redis, bus)
        })
        .collect();
    let (first, _) = &nodes[0];
    for ((node, _), slots) in nodes.iter().zip(["0 5460", "5461 10922", "10923 16383"]) {
        assert_eq!(node.say(&format!("CLUSTER ADDSLOTSRANGE {slots}")), "+OK");
    }
    for (epoch, (node, _)) in nodes.iter().enumerate() {
        node.say(&format!("CLUSTER SET-CONFIG-EPOCH {}", epoch + 1));
    }
    for (node, bus) in &nodes[1..] {
        assert_eq!(first.say(&format!("CLUSTER MEET 127.0.0.1 {} {bus}", node.port)), "+OK");
    }
    let all_know = || {
        let know = |(node, _): &(Redis, String)| {
            node.say("CLUSTER INFO").contains("cluster_known_nodes:4")
                && node.say("CLUSTER INFO").contains("cluster_state:ok")
        };
        nodes.iter().all(know).then_some(())
    };
    await_that("all know each other", all_know);
    let slot: u32 = first.say(&format!("CLUSTER KEYSLOT {ENDS}"))[1..].parse().unwrap();
    let holder = usize::try_from(slot / 5461).unwrap().min(2);
    let id = nodes[holder].0.say("CLUSTER MYID");
    await_that("the fourth is a copy", || {
        (nodes[3].0.say(&format!("CLUSTER REPLICATE {id}")) == "+OK").then_some(())
    });
    await_that("it follows", || {
        let state = nodes[holder].0.say("INFO replication");
        (state.contains("slave0:") && state.contains("state=online")).then_some(())
    });
    (nodes.into_iter().map(|(node, _)| node).collect(), holder)
}

#[test]
fn in_a_cluster_the_node_that_holds_the_streams_is_found_also_when_it_is_another_one() {
    let (mut nodes, holder) = cluster();
    // Some of them are named, and none of these holds the streams.
    let named: Vec<_> = (0..3).filter(|node| *node != holder).collect();
    let servers: Vec<_> =
        named.iter().map(|node| format!("'redis://127.0.0.1:{}'", nodes[*node].port)).collect();
    let stream = format!("{{servers: [{}]}}", servers.join(", "));
    let fleet = Fleet::of(&[stream.clone(), stream]);
    let watch = fleet.watch();
    let (gone, later, stays) =
        (fleet.log_in("bankid-high"), fleet.log_in("bankid-high-2"), fleet.log_in("d-number"));
    fleet.end(0, &gone, &watch);
    watch.only("/app/", &stays, STRICT);
    watch.only("/lenient/", &stays, &[200]);
    assert_eq!(doctor_on_store(&fleet, "fail"), Vec::<String>::new());
    let copied = || (nodes[3].say("INFO keyspace").contains("keys=3")).then_some(());
    await_that("the copy has the streams", copied);

    nodes[holder].process.kill();
    await_that("the copy holds the slots", || {
        let is_master = nodes[3].say("INFO replication").contains("role:master");
        (is_master && nodes[3].say("CLUSTER INFO").contains("cluster_state:ok")).then_some(())
    });
    fleet.await_back("failed over in the cluster", Instant::now());
    fleet.end(1, &later, &watch);
    assert!(nodes[3].entries(ENDS).len() >= 2);
    assert_eq!(fleet.statuses("/app/", &gone), [401; 2]);
    assert_eq!(fleet.statuses("/app/", &stays), [200; 2]);
    watch.finish();
    fleet.finish();
}

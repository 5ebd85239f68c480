//! The store that replicas share (`design.md` D1): whether it can be reached as somebody who may do what is needed, keeps
//! what it is told, and follows it in its copies.

use std::collections::HashMap;

use portvakt_core::config::{Stream, StreamServer};

use super::Surroundings;
use super::finding::Finding;
use crate::cause;
use crate::replication::{Held, Probe, Refused, StoreError};

const STRICT: &str = "what other replicas ended is not known: routes with `revocation: strict` answer 503, logouts are \
                      not answered as done, and a gateway that starts is not ready";

const FORGETS: &str = "ends of sessions are deleted; replicas notice and write them again, and who was logged in may \
                       have to log in again";

/// Part of the memory that may be in use before somebody should look.
const FULL: f64 = 0.8;

/// How many seconds a copy may be behind.
const LAG: u64 = 5;

pub(super) async fn examine(around: &Surroundings) -> Vec<Finding> {
    let Some(settings) = &around.configuration.revocation.stream else { return Vec::new() };
    let notes = around.configuration.providers.iter().any(|provider| provider.access_tokens.is_some());
    let Probe { servers, held } = Probe::of(settings, notes).await;
    let mut findings = Vec::new();
    for (server, failure) in &servers {
        if let Some(error) = failure {
            findings.push(unreached(settings, server, error, held.is_some()));
        }
    }
    let Some(held) = held else { return findings };
    let subject = name(&held.server);
    findings.extend(who_we_are(settings, notes, &held.server));
    findings.extend(what_is_refused(settings, notes, &held, &subject));
    if held.info.is_empty() {
        let remedy = format!("`ACL SETUSER {} +info`, or look there yourself", user(settings));
        let means =
            "whether it deletes what it was told, or forgets it at a restart, cannot be seen from here";
        findings.push(Finding::warn(&subject, "its user may not ask for `INFO`", means, remedy));
        return findings;
    }
    findings.extend(version(&held.info, &subject));
    findings.push(policy(&held.info, &subject));
    findings.extend(room(&held.info, &subject));
    findings.push(persistence(&held.info, &subject));
    findings.extend(copies(&held.info, &subject));
    let ends = held.ends.map_or(String::new(), |ends| format!("; it holds {ends} ends of sessions"));
    findings.push(Finding::ok(&subject, format!("the store answers{ends}")));
    findings
}

fn name(server: &StreamServer) -> String {
    let StreamServer { host, port, tls } = server;
    let host = if host.contains(':') { format!("[{host}]") } else { host.clone() };
    format!("{}://{host}:{port}", if *tls { "rediss" } else { "redis" })
}

fn user(settings: &Stream) -> &str {
    settings.user.name.as_deref().unwrap_or("default")
}

fn unreached(settings: &Stream, server: &StreamServer, error: &StoreError, others: bool) -> Finding {
    let found = cause::chain(error);
    let secret = "compare `username` and `password` with the server's `ACL LIST`; the secret is read when the gateway starts";
    let remedy = match error {
        StoreError::NoMaster => "correct `sentinel`: `SENTINEL masters` on the server lists the names".to_owned(),
        StoreError::File { .. } => "put the file back, or correct its path".to_owned(),
        StoreError::Circle => "look what answers at this address: it is no Redis".to_owned(),
        StoreError::Late => "look whether the server is overloaded or stopped, and whether a firewall lets this machine through".to_owned(),
        StoreError::Redis(error) => match error.code() {
            Some("WRONGPASS" | "NOAUTH") => secret.to_owned(),
            _ if error.kind() == redis::ErrorKind::AuthenticationFailed => secret.to_owned(),
            Some("CLUSTERDOWN") => "look at `CLUSTER INFO`: some slots have no node".to_owned(),
            _ if server.tls && !error.is_connection_refusal() => {
                "look whether the server speaks TLS at this port, whether its certificate has this name and is of `ca_file` (or of the system's CAs), and whether it asks for `client_certificate`".to_owned()
            }
            _ => "look whether it runs, whether `servers` names it, and whether a firewall lets this machine through; a server that speaks TLS needs `rediss://`".to_owned(),
        },
    };
    let found = match &settings.sentinel {
        Some(master) => format!("this sentinel, or the master `{master}` of which it tells: {found}"),
        None => found,
    };
    let subject = name(server);
    match others {
        true => Finding::warn(subject, found, "when the others fail too, the store cannot be found", remedy),
        false => Finding::fail(subject, found, STRICT, remedy),
    }
}

/// A user that may do everything is more than the gateway needs.
fn who_we_are(settings: &Stream, notes: bool, server: &StreamServer) -> Option<Finding> {
    if matches!(server.host.as_str(), "127.0.0.1" | "::1" | "localhost") {
        return None;
    }
    let subject = name(server);
    if settings.user.password.is_none() {
        return Some(Finding::fail(
            subject,
            "it asks for no password",
            "whoever reaches it can withhold what ended, and make everybody log in again",
            format!("give the gateway a user of its own: {}", rule(settings, notes)),
        ));
    }
    (settings.user.name.is_none()).then(|| {
        Finding::warn(
            subject,
            "the gateway is the user `default` there",
            "whoever learns its password can do everything",
            format!("give the gateway a user of its own: {}", rule(settings, notes)),
        )
    })
}

/// The rule of a user that may do what is needed, and nothing else. `notes`: of exchanges of tokens.
fn rule(settings: &Stream, notes: bool) -> String {
    let notes = if notes { " +set +get" } else { "" };
    let user = settings.user.name.as_deref().filter(|name| *name != "default").unwrap_or("portvakt");
    format!(
        "`ACL SETUSER {user} on >PASSWORD resetkeys ~{{{}}}:* resetchannels -@all +xadd +xread +xrange +xlen +xtrim{notes} +info`",
        settings.name
    )
}

fn what_is_refused(settings: &Stream, notes: bool, held: &Held, subject: &str) -> Vec<Finding> {
    let mut commands: Vec<_> = Vec::new();
    let mut others: Vec<Refused> = Vec::new();
    for (command, refused) in &held.commands {
        match refused {
            Some(Refused::Forbidden) if !commands.contains(command) => commands.push(command),
            Some(Refused::Forbidden) | None => {}
            Some(other) if !others.contains(other) => others.push(*other),
            Some(_) => {}
        }
    }
    let mut findings = Vec::new();
    if !commands.is_empty() {
        findings.push(Finding::fail(
            subject,
            format!("the user `{}` may not do {} on our keys", user(settings), commands.join(", ")),
            STRICT,
            rule(settings, notes),
        ));
    }
    findings.extend(others.into_iter().map(|refused| {
        let (found, remedy) = match refused {
            Refused::ReadOnly => (
                "it is a copy of another one and takes no writes",
                "name the master in `servers`, or the sentinels together with `sentinel`",
            ),
            Refused::Full => {
                ("its memory is full", "give it more (`maxmemory`), or take away what else it holds")
            }
            Refused::Disk => (
                "it cannot save to its disk and takes no writes",
                "free some space there and look at its own log; `LASTSAVE` then moves",
            ),
            Refused::Alone => (
                "too few copies follow it, so it takes no writes (`min-replicas-to-write`)",
                "bring the copies back; without them a failure could lose what it took",
            ),
            Refused::Forbidden | Refused::Otherwise => (
                "it does not do what the gateway needs",
                "look whether it is a Redis or Valkey of version 7 or newer",
            ),
        };
        Finding::fail(subject, found, STRICT, remedy)
    }));
    findings
}

fn version(info: &HashMap<String, String>, subject: &str) -> Option<Finding> {
    // Valkey calls itself Redis 7.2 for those who look.
    let version = info.get("valkey_version").or(info.get("redis_version"))?;
    let major: u32 = version.split('.').next()?.parse().ok()?;
    (major < 7).then(|| {
        Finding::fail(
            subject,
            format!("its version is {version}"),
            "the gateway is tried with version 7 and newer; older ones get no security updates",
            "update it to Redis 7 or Valkey 7, or newer",
        )
    })
}

/// Whether it deletes what it was told when its memory runs out.
fn policy(info: &HashMap<String, String>, subject: &str) -> Finding {
    let remedy = "`maxmemory-policy noeviction` in its configuration, and a server of the gateway's own if others need another policy";
    match info.get("maxmemory_policy").map(String::as_str) {
        Some("noeviction") => Finding::ok(subject, "it deletes nothing when its memory is full"),
        // Of those that may be deleted none is ours; but others' may fill the memory.
        Some(policy) if policy.starts_with("volatile-") => Finding::warn(
            subject,
            format!("its `maxmemory-policy` is `{policy}`"),
            "our streams have no expiry and stay; what others keep there decides when there is no room for them",
            remedy,
        ),
        Some(policy) => {
            Finding::fail(subject, format!("its `maxmemory-policy` is `{policy}`"), FORGETS, remedy)
        }
        None => Finding::warn(subject, "its `maxmemory-policy` cannot be told", FORGETS, remedy),
    }
}

fn room(info: &HashMap<String, String>, subject: &str) -> Option<Finding> {
    let number = |name: &str| info.get(name)?.parse::<f64>().ok();
    let (most, used) = (number("maxmemory")?, number("used_memory")?);
    (most > 0.0 && used > most * FULL).then(|| {
        Finding::warn(
            subject,
            format!("{:.0} % of its memory are in use", used / most * 100.0),
            format!("when it is full it takes nothing: {STRICT}"),
            "give it more (`maxmemory`), or take away what else it holds; each end of a session needs some 200 bytes",
        )
    })
}

fn persistence(info: &HashMap<String, String>, subject: &str) -> Finding {
    let says = |name: &str| info.get(name).map(String::as_str);
    let appends = says("aof_enabled") == Some("1");
    let failed = (appends && says("aof_last_write_status").is_some_and(|status| status != "ok"))
        || says("rdb_last_bgsave_status").is_some_and(|status| status != "ok");
    if failed {
        return Finding::fail(
            subject,
            "it could not write to its disk",
            "it takes no writes, or forgets at a restart what it was told",
            "free some space there, and look at its own log",
        );
    }
    match appends {
        true => Finding::ok(subject, "it keeps over a restart what it was told"),
        false => Finding::warn(
            subject,
            "it does not write each change to its disk (`appendonly no`)",
            "after a restart it has forgotten something: replicas write it again, and if one of them is gone too, everybody logs in again",
            "`appendonly yes` in its configuration",
        ),
    }
}

/// How the copies follow, and what happens when the master is cut off from them.
fn copies(info: &HashMap<String, String>, subject: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    let copies = (0..).map_while(|at| info.get(&format!("slave{at}")));
    let mut count = 0;
    for copy in copies {
        count += 1;
        let field =
            |name: &str| copy.split(',').find_map(|field| field.strip_prefix(name)?.strip_prefix('='));
        let place = format!("{}:{}", field("ip").unwrap_or("?"), field("port").unwrap_or("?"));
        let lag: u64 = field("lag").and_then(|lag| lag.parse().ok()).unwrap_or(0);
        if field("state") != Some("online") || lag > LAG {
            findings.push(Finding::warn(
                subject,
                format!(
                    "its copy at {place} does not follow ({}, {lag} s behind)",
                    field("state").unwrap_or("?")
                ),
                "if it becomes the master now, it lacks what ended meanwhile; replicas write it again",
                "look at the copy's own log, and at the network between them",
            ));
        }
    }
    if count > 0 && !info.contains_key("min_slaves_good_slaves") {
        findings.push(Finding::warn(
            subject,
            "it takes writes also when no copy follows it (`min-replicas-to-write 0`)",
            "a master that is cut off from its copies goes on beside the new one: replicas at one do not hear those at the other",
            "`min-replicas-to-write 1` and `min-replicas-max-lag 5` in its configuration and its copies'",
        ));
    }
    findings
}

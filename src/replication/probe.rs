//! Looks at the store that replicas share, for `portvakt doctor`.
//!
//! **Invariant:** nothing is changed there: what would write is said so that the server refuses it, or has nothing to do.

use std::collections::HashMap;

use portvakt_core::config::{Stream, StreamServer};
use redis::{Cmd, RedisError, Value, cmd};

use super::store::{Connection, Names, START, StoreError, ask, ask_sentinel, moved, open, text};

/// What was found.
pub(crate) struct Probe {
    /// Each configured server, and why it does not lead to the store.
    pub(crate) servers: Vec<(StreamServer, Option<StoreError>)>,
    /// The store, if one of them did.
    pub(crate) held: Option<Held>,
}

/// The server that holds the streams.
pub(crate) struct Held {
    /// Where it is.
    pub(crate) server: StreamServer,
    /// The commands that we need, and why the server does not do what they say.
    pub(crate) commands: Vec<(&'static str, Option<Refused>)>,
    /// How many ends there are, if we may ask.
    pub(crate) ends: Option<u64>,
    /// What the server says of itself (`INFO`); empty if we may not ask.
    pub(crate) info: HashMap<String, String>,
}

/// Why a command is not done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// The ACL does not allow it.
    Forbidden,
    /// It is a replica of another one.
    ReadOnly,
    /// Its memory is full.
    Full,
    /// It cannot write to its disk.
    Disk,
    /// Too few replicas follow it.
    Alone,
    /// Anything else.
    Otherwise,
}

impl Probe {
    /// Asks each of the servers; `notes`: whether exchanges of tokens leave notes there.
    pub(crate) async fn of(settings: &Stream, notes: bool) -> Self {
        let mut probe = Self { servers: Vec::new(), held: None };
        for server in &settings.servers {
            let outcome = reach(settings, server).await;
            let failure = match outcome {
                Ok((connection, at)) => {
                    if probe.held.is_none() {
                        probe.held = Some(look(settings, notes, connection, at).await);
                    }
                    None
                }
                Err(error) => Some(error),
            };
            probe.servers.push((server.clone(), failure));
        }
        probe
    }
}

/// The connection to the server that holds the streams, as this one says.
async fn reach(settings: &Stream, server: &StreamServer) -> Result<(Connection, StreamServer), StoreError> {
    let at = match &settings.sentinel {
        Some(name) => ask_sentinel(settings, server, name).await?,
        None => server.clone(),
    };
    let mut connection = open(settings, &at, &settings.user).await?;
    match ask(&mut connection, cmd("XLEN").arg(Names::of(settings).ends)).await {
        Err(StoreError::Redis(error)) => match moved(&error, &at) {
            Some(node) => Ok((open(settings, &node, &settings.user).await?, node)),
            // What may not be done is told apart.
            None if error.code().is_some_and(|code| code != "NOAUTH") => Ok((connection, at)),
            None => Err(error.into()),
        },
        Err(error) => Err(error),
        Ok(_) => Ok((connection, at)),
    }
}

async fn look(settings: &Stream, notes: bool, mut connection: Connection, server: StreamServer) -> Held {
    let names = Names::of(settings);
    let mut commands = Vec::new();
    for (name, command, refused_anyway) in trials(&names, notes) {
        let refused = match ask(&mut connection, &command).await {
            Err(StoreError::Redis(error)) => why(&error, refused_anyway),
            Err(_) => Some(Refused::Otherwise),
            Ok(_) => None,
        };
        commands.push((name, refused));
    }
    let ends = match ask(&mut connection, cmd("XLEN").arg(&names.ends)).await {
        Ok(Value::Int(count)) => u64::try_from(count).ok(),
        _ => None,
    };
    Held { server, commands, ends, info: info(&mut connection).await }
}

/// Each command that we need, in a form that changes nothing; and whether the server refuses it in that form.
fn trials(names: &Names, notes: bool) -> Vec<(&'static str, Cmd, bool)> {
    let mut all = Vec::new();
    if notes {
        let place = format!("{}doctor", names.notes);
        let (mut leave, mut read) = (cmd("SET"), cmd("GET"));
        // Nothing stands there, so nothing takes its place.
        leave.arg(&place).arg("").arg("XX");
        read.arg(&place);
        all.extend([("SET", leave, false), ("GET", read, false)]);
    }
    for stream in [&names.ends, &names.beats, &names.keys] {
        let mut append = cmd("XADD");
        // No entry can have this id.
        append.arg(stream).arg("NOMKSTREAM").arg(START).arg("r").arg("");
        let mut range = cmd("XRANGE");
        range.arg(stream).arg("-").arg("+").arg("COUNT").arg(1);
        let mut read = cmd("XREAD");
        read.arg("COUNT").arg(1).arg("STREAMS").arg(stream).arg("$");
        let mut trim = cmd("XTRIM");
        // Nothing is older.
        trim.arg(stream).arg("MINID").arg(START);
        let mut length = cmd("XLEN");
        length.arg(stream);
        all.extend([
            ("XADD", append, true),
            ("XRANGE", range, false),
            ("XREAD", read, false),
            ("XTRIM", trim, false),
            ("XLEN", length, false),
        ]);
    }
    all
}

fn why(error: &RedisError, refused_anyway: bool) -> Option<Refused> {
    match error.code() {
        Some("NOPERM") => Some(Refused::Forbidden),
        Some("READONLY") => Some(Refused::ReadOnly),
        Some("OOM") => Some(Refused::Full),
        Some("MISCONF") => Some(Refused::Disk),
        Some("NOREPLICAS") => Some(Refused::Alone),
        Some("ERR") if refused_anyway => None,
        _ => Some(Refused::Otherwise),
    }
}

/// What the server says of itself. Who may not ask for `INFO` may still be told the policy.
async fn info(connection: &mut Connection) -> HashMap<String, String> {
    let mut all = HashMap::new();
    for section in ["server", "memory", "persistence", "replication"] {
        let Ok(answer) = ask(connection, cmd("INFO").arg(section)).await else { continue };
        let answer = match &answer {
            Value::VerbatimString { text, .. } => Some(text.clone()),
            other => text(other),
        };
        let answer = answer.unwrap_or_default();
        let pairs = answer.lines().filter_map(|line| line.split_once(':'));
        all.extend(pairs.map(|(name, value)| (name.to_owned(), value.trim().to_owned())));
    }
    if !all.contains_key("maxmemory_policy")
        && let Ok(Value::Array(pair)) =
            ask(connection, cmd("CONFIG").arg("GET").arg("maxmemory-policy")).await
        && let Some(policy) = pair.get(1).and_then(text)
    {
        all.insert("maxmemory_policy".to_owned(), policy);
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(code: &'static str) -> RedisError {
        RedisError::from((redis::ErrorKind::Extension, "", code.to_owned()))
    }

    #[test]
    fn each_command_is_tried_on_each_stream_in_a_form_that_changes_nothing() {
        let [ends, beats, keys, notes] =
            ["{x}:ends", "{x}:beats", "{x}:keys", "{x}:exchange:"].map(str::to_owned);
        let names = Names { ends, beats, keys, notes };
        let tried = trials(&names, false);
        for stream in ["{x}:ends", "{x}:beats", "{x}:keys"] {
            for command in ["XADD", "XRANGE", "XREAD", "XTRIM", "XLEN"] {
                let said = |(name, cmd, _): &&(&str, Cmd, bool)| {
                    let words: Vec<_> = cmd.args_iter().collect();
                    *name == command
                        && words
                            .iter()
                            .any(|word| format!("{word:?}").contains(&format!("{:?}", stream.as_bytes())))
                };
                assert_eq!(tried.iter().filter(said).count(), 1, "{command} {stream}");
            }
        }
        // Of `XADD` alone an error is what is hoped for.
        assert!(tried.iter().all(|(name, _, refused)| *refused == (*name == "XADD")));
        let with_notes: Vec<_> =
            trials(&names, true).iter().map(|(_, cmd, _)| cmd.get_packed_command()).collect();
        assert_eq!(with_notes.len(), tried.len() + 2);
        let leaves = b"*4\r\n$3\r\nSET\r\n$19\r\n{x}:exchange:doctor\r\n$0\r\n\r\n$2\r\nXX\r\n".to_vec();
        assert!(with_notes.contains(&leaves), "only what is there is replaced, and nothing is");
        assert_eq!(why(&error("x"), false), Some(Refused::Otherwise));
    }
}

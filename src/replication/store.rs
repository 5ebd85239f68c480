//! Redis or Valkey, as far as it is needed: streams that are appended to, followed and trimmed.
//!
//! One server, a group of sentinels, or a cluster: the streams' names have one hash tag, so that one node holds both.
//! Redis 7, Valkey 7 and newer.
//!
//! **Invariant:** every call has a deadline. What is not what a stream answers is no entry.

use std::path::Path;
use std::time::Duration;

use portvakt_core::config::{Stream, StreamServer, StreamUser};
use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, Client, ClientTlsConfig, Cmd, ConnectionAddr, IntoConnectionInfo as _, Pipeline,
    RedisConnectionInfo, RedisError, TlsCertificates, Value, cmd,
};
use secrecy::ExposeSecret as _;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

/// How long a connection may take, with its handshakes.
const CONNECT: Duration = Duration::from_secs(2);

/// How long the first server has before the next one is asked too.
const STAGGER: Duration = Duration::from_millis(200);

/// How long an answer may take. A logout is told after less that it is not done.
const ANSWER: Duration = Duration::from_secs(1);

/// How long the server waits for something new before it says that there is nothing.
const BLOCK: Duration = Duration::from_millis(500);

/// How many entries are read at once.
pub(super) const COUNT: usize = 1000;

/// How many beats are kept: at three replicas of about an hour.
const BEATS: usize = 10_000;

/// How many words about keys are kept: at three replicas of about half an hour.
const WORDS: usize = 1000;

/// Before everything.
pub(super) const START: &str = "0-0";

/// An entry of a stream: its id, and what it holds.
pub(super) type Entry = (String, Vec<u8>);

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StoreError {
    /// The server, or the way to it.
    #[error("the store refuses, or cannot be reached")]
    Redis(#[from] RedisError),
    /// No answer in time.
    #[error("the store did not answer in time")]
    Late,
    /// No sentinel knows the master.
    #[error("no sentinel knows a master of that name")]
    NoMaster,
    /// A file of certificates.
    #[error("`revocation.stream.{name}` cannot be read")]
    File { name: &'static str, source: std::io::Error },
}

/// Two connections to one server: one waits for news, the other writes.
pub(super) struct Store {
    pub(super) reader: Reader,
    pub(super) writer: Writer,
}

/// Waits for news.
pub(super) struct Reader {
    connection: MultiplexedConnection,
    names: Names,
}

/// Writes, and looks things up.
#[derive(Clone)]
pub(super) struct Writer {
    connection: MultiplexedConnection,
    names: Names,
}

#[derive(Clone)]
pub(super) struct Names {
    pub(super) ends: String,
    pub(super) beats: String,
    pub(super) keys: String,
    /// How the names of notes begin: on the same node of a cluster.
    pub(super) notes: String,
}

impl Names {
    pub(super) fn of(settings: &Stream) -> Self {
        let name = &settings.name;
        let of = |what| format!("{{{name}}}:{what}");
        Self { ends: of("ends"), beats: of("beats"), keys: of("keys"), notes: of("exchange:") }
    }
}

/// News of all streams.
#[derive(Default)]
pub(super) struct News {
    pub(super) ends: Vec<Entry>,
    pub(super) beats: Vec<Entry>,
    pub(super) keys: Vec<Entry>,
}

/// How far the streams have been read.
#[derive(Clone)]
pub(super) struct Read {
    pub(super) ends: String,
    pub(super) beats: String,
    pub(super) keys: String,
}

impl News {
    pub(super) fn is_empty(&self) -> bool {
        self.ends.is_empty() && self.beats.is_empty() && self.keys.is_empty()
    }
}

impl Store {
    /// Connects to the store by the first server that leads there. Who does not answer at once keeps nobody waiting.
    pub(super) async fn connect(settings: &Stream) -> Result<Self, StoreError> {
        let (mut servers, mut under_way) = (settings.servers.clone().into_iter(), JoinSet::new());
        let mut failure = StoreError::NoMaster;
        loop {
            match servers.next() {
                Some(server) => {
                    let settings = settings.clone();
                    under_way.spawn(async move { Self::by(&settings, &server).await });
                }
                None if under_way.is_empty() => return Err(failure),
                None => {}
            }
            let more = servers.len() > 0;
            let ended = tokio::select! {
                ended = under_way.join_next() => ended,
                () = sleep(STAGGER), if more => None,
            };
            match ended {
                Some(Ok(Ok(store))) => return Ok(store),
                Some(Ok(Err(error))) => failure = error,
                // Nothing ends them, and they do not panic.
                Some(Err(_)) | None => {}
            }
        }
    }

    async fn by(settings: &Stream, server: &StreamServer) -> Result<Self, StoreError> {
        let master = match &settings.sentinel {
            Some(name) => &ask_sentinel(settings, server, name).await?,
            None => server,
        };
        match Self::at(settings, master).await {
            Err(StoreError::Redis(error)) => match moved(&error, master) {
                // Another node of the cluster has the slot.
                Some(node) => Self::at(settings, &node).await,
                None => Err(error.into()),
            },
            other => other,
        }
    }

    async fn at(settings: &Stream, server: &StreamServer) -> Result<Self, StoreError> {
        let names = Names::of(settings);
        let mut connection = open(settings, server, &settings.user).await?;
        let _: Value = ask(&mut connection, cmd("XLEN").arg(&names.ends)).await?;
        let reader =
            Reader { connection: open(settings, server, &settings.user).await?, names: names.clone() };
        Ok(Self { reader, writer: Writer { connection, names } })
    }
}

impl Reader {
    /// Waits until there is something behind these places, or nothing for a while.
    pub(super) async fn wait(&mut self, read: &Read) -> Result<News, StoreError> {
        let Names { ends, beats, keys, .. } = &self.names;
        let mut command = cmd("XREAD");
        command.arg("COUNT").arg(COUNT).arg("BLOCK").arg(BLOCK.as_millis() as u64);
        command
            .arg("STREAMS")
            .arg(ends)
            .arg(beats)
            .arg(keys)
            .arg(&read.ends)
            .arg(&read.beats)
            .arg(&read.keys);
        let answer = within(BLOCK + ANSWER, command.query_async::<Value>(&mut self.connection)).await?;
        let mut news = News::default();
        let Value::Array(streams) = answer else { return Ok(news) };
        for stream in streams {
            let Value::Array(stream) = stream else { continue };
            let [name, entries] = &stream[..] else { continue };
            let name = text(name).unwrap_or_default();
            let known = [(ends, &mut news.ends), (beats, &mut news.beats), (keys, &mut news.keys)];
            for (_, place) in known.into_iter().filter(|(known, _)| **known == name) {
                *place = read_entries(entries);
            }
        }
        Ok(news)
    }

    /// Everything that the streams hold now.
    pub(super) async fn everything(&mut self) -> Result<News, StoreError> {
        let names = self.names.clone();
        Ok(News {
            ends: self.whole(&names.ends).await?,
            beats: self.whole(&names.beats).await?,
            keys: self.whole(&names.keys).await?,
        })
    }

    async fn whole(&mut self, name: &str) -> Result<Vec<Entry>, StoreError> {
        let mut all: Vec<Entry> = Vec::new();
        loop {
            let after = all.last().map_or("-".to_owned(), |(id, _)| format!("({id}"));
            let mut command = cmd("XRANGE");
            command.arg(name).arg(after).arg("+").arg("COUNT").arg(COUNT);
            let entries = read_entries(&ask(&mut self.connection, &command).await?);
            let done = entries.len() < COUNT;
            all.extend(entries);
            if done {
                return Ok(all);
            }
        }
    }
}

impl Writer {
    /// Whether these entries are there; [`START`] always is.
    pub(super) async fn has(&mut self, end: &str, beat: &str) -> Result<bool, StoreError> {
        let mut pipeline = Pipeline::new();
        for (name, id) in [(&self.names.ends, end), (&self.names.beats, beat)] {
            if id != START {
                pipeline.cmd("XRANGE").arg(name).arg(id).arg(id);
            }
        }
        if pipeline.is_empty() {
            return Ok(true);
        }
        let answers: Vec<Value> = within(ANSWER, pipeline.query_async(&mut self.connection)).await?;
        Ok(answers.iter().all(|answer| !read_entries(answer).is_empty()))
    }

    /// Appends, the ends first. Gives the id of the beat.
    pub(super) async fn append(
        &mut self,
        ends: &[impl AsRef<[u8]>],
        beat: Option<&[u8]>,
    ) -> Result<Option<String>, StoreError> {
        let mut pipeline = Pipeline::new();
        for end in ends {
            pipeline.cmd("XADD").arg(&self.names.ends).arg("*").arg("r").arg(end.as_ref());
        }
        if let Some(beat) = beat {
            pipeline.cmd("XADD").arg(&self.names.beats).arg("MAXLEN").arg("~").arg(BEATS);
            pipeline.arg("*").arg("b").arg(beat);
        }
        let answers: Vec<Value> = within(ANSWER, pipeline.query_async(&mut self.connection)).await?;
        Ok(beat.and_then(|_| text(answers.last()?)))
    }

    /// Takes the place of a note for a while; `false` if somebody has taken it.
    pub(super) async fn claim(&mut self, note: &str, life: Duration) -> Result<bool, StoreError> {
        let mut command = cmd("SET");
        command.arg(self.note(note)).arg("").arg("NX").arg("PX").arg(life.as_millis() as u64);
        Ok(ask(&mut self.connection, &command).await? == Value::Okay)
    }

    /// What stands there; empty: somebody has taken the place.
    pub(super) async fn read(&mut self, note: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let place = self.note(note);
        match ask(&mut self.connection, cmd("GET").arg(place)).await? {
            Value::BulkString(bytes) => Ok(Some(bytes)),
            _ => Ok(None),
        }
    }

    /// Leaves something there for a while.
    pub(super) async fn leave(&mut self, note: &str, bytes: &[u8], life: Duration) -> Result<(), StoreError> {
        let mut command = cmd("SET");
        command.arg(self.note(note)).arg(bytes).arg("PX").arg(life.as_millis() as u64);
        ask(&mut self.connection, &command).await.map(drop)
    }

    fn note(&self, note: &str) -> String {
        format!("{}{note}", self.names.notes)
    }

    /// Says what we have to say of our keys.
    pub(super) async fn tell(&mut self, word: &[u8]) -> Result<(), StoreError> {
        let mut command = cmd("XADD");
        command.arg(&self.names.keys).arg("MAXLEN").arg("~").arg(WORDS).arg("*").arg("k").arg(word);
        ask(&mut self.connection, &command).await.map(drop)
    }

    /// The oldest ends.
    pub(super) async fn oldest(&mut self) -> Result<Vec<Entry>, StoreError> {
        let mut command = cmd("XRANGE");
        command.arg(&self.names.ends).arg("-").arg("+").arg("COUNT").arg(COUNT);
        Ok(read_entries(&ask(&mut self.connection, &command).await?))
    }

    /// Drops the ends that stand before this one.
    pub(super) async fn trim(&mut self, before: &str) -> Result<(), StoreError> {
        let mut command = cmd("XTRIM");
        command.arg(&self.names.ends).arg("MINID").arg(before);
        ask(&mut self.connection, &command).await.map(drop)
    }
}

pub(super) async fn open(
    settings: &Stream,
    server: &StreamServer,
    user: &StreamUser,
) -> Result<MultiplexedConnection, StoreError> {
    let (host, port) = (server.host.clone(), server.port);
    let address = match server.tls {
        true => ConnectionAddr::TcpTls { host, port, insecure: false, tls_params: None },
        false => ConnectionAddr::Tcp(host, port),
    };
    let mut identity = RedisConnectionInfo::default().set_skip_set_lib_name();
    if let Some(name) = &user.name {
        identity = identity.set_username(name);
    }
    if let Some(password) = &user.password {
        identity = identity.set_password(password.expose_secret());
    }
    let info = address.into_connection_info()?.set_redis_settings(identity);
    let client = match server.tls {
        true => Client::build_with_tls(info, certificates(settings)?)?,
        false => Client::open(info)?,
    };
    // Each call has its own deadline: some are meant to wait.
    let config =
        AsyncConnectionConfig::new().set_connection_timeout(Some(CONNECT)).set_response_timeout(None);
    within(CONNECT, client.get_multiplexed_async_connection_with_config(&config)).await
}

/// Read anew with each connection: what is exchanged in its place is taken up.
fn certificates(settings: &Stream) -> Result<TlsCertificates, StoreError> {
    let read = |name: &'static str, path: &Path| {
        std::fs::read(path).map_err(|source| StoreError::File { name, source })
    };
    let root_cert = settings.ca_file.as_deref().map(|path| read("ca_file", path)).transpose()?;
    let client_tls = match &settings.client {
        Some((certificate, key)) => Some(ClientTlsConfig {
            client_cert: read("client_certificate", certificate)?,
            client_key: read("client_key", key)?,
        }),
        None => None,
    };
    Ok(TlsCertificates { client_tls, root_cert })
}

/// Where the master is (Redis Sentinel, `SENTINEL get-master-addr-by-name`). Sentinels have users of their own.
pub(super) async fn ask_sentinel(
    settings: &Stream,
    sentinel: &StreamServer,
    name: &str,
) -> Result<StreamServer, StoreError> {
    let mut connection = open(settings, sentinel, &settings.sentinel_user).await?;
    let mut command = cmd("SENTINEL");
    command.arg("get-master-addr-by-name").arg(name);
    let Value::Array(address) = ask(&mut connection, &command).await? else {
        return Err(StoreError::NoMaster);
    };
    let [host, port] = &address[..] else { return Err(StoreError::NoMaster) };
    let address = text(host).zip(text(port).and_then(|port| port.parse().ok()));
    let (host, port) = address.ok_or(StoreError::NoMaster)?;
    Ok(StreamServer { host, port, tls: sentinel.tls })
}

/// The node to which a cluster sends us (`MOVED slot host:port`); without a host it is the one that was asked.
pub(super) fn moved(error: &RedisError, asked: &StreamServer) -> Option<StreamServer> {
    let (host, port) = error.redirect_node()?.0.rsplit_once(':')?;
    let host = if host.is_empty() { asked.host.clone() } else { host.to_owned() };
    Some(StreamServer { host, port: port.parse().ok()?, tls: asked.tls })
}

pub(super) async fn ask(connection: &mut MultiplexedConnection, command: &Cmd) -> Result<Value, StoreError> {
    within(ANSWER, command.query_async(connection)).await
}

async fn within<T>(
    limit: Duration,
    answer: impl Future<Output = Result<T, RedisError>>,
) -> Result<T, StoreError> {
    Ok(timeout(limit, answer).await.map_err(|_| StoreError::Late)??)
}

/// The entries of an answer. One that was deleted, or is not ours, is empty: it is noticed where it is read.
fn read_entries(answer: &Value) -> Vec<Entry> {
    let Value::Array(entries) = answer else { return Vec::new() };
    let read = |entry: &Value| {
        let Value::Array(entry) = entry else { return None };
        let [id, fields] = &entry[..] else { return None };
        let bytes = match fields {
            Value::Array(fields) => match &fields[..] {
                [_, Value::BulkString(bytes)] => bytes.clone(),
                _ => Vec::new(),
            },
            _ => Vec::new(),
        };
        Some((text(id)?, bytes))
    };
    entries.iter().filter_map(read).collect()
}

pub(super) fn text(value: &Value) -> Option<String> {
    match value {
        Value::BulkString(bytes) => String::from_utf8(bytes.clone()).ok(),
        Value::SimpleString(text) => Some(text.clone()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bulk(text: &str) -> Value {
        Value::BulkString(text.as_bytes().to_vec())
    }

    #[test]
    fn what_is_no_entry_is_none_and_what_is_not_ours_is_empty() {
        let entry = |id: Value, fields: Value| Value::Array(vec![id, fields]);
        let ours = entry(bulk("1-0"), Value::Array(vec![bulk("r"), bulk("bytes")]));
        let more = entry(bulk("2-0"), Value::Array(vec![bulk("a"), bulk("b"), bulk("c"), bulk("d")]));
        let deleted = entry(bulk("3-0"), Value::Nil);
        let odd = entry(Value::Int(4), Value::Array(vec![bulk("r"), bulk("bytes")]));
        let read = read_entries(&Value::Array(vec![ours, more, deleted, odd, Value::Okay, bulk("5-0")]));
        let read: Vec<_> = read.iter().map(|(id, bytes)| (id.as_str(), bytes.as_slice())).collect();
        assert_eq!(read, [("1-0", &b"bytes"[..]), ("2-0", b""), ("3-0", b"")]);
        assert!(read_entries(&Value::Nil).is_empty());
    }
}

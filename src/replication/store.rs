//! Redis or Valkey, as far as it is needed: streams that are appended to, followed and trimmed.
//!
//! One server, a group of sentinels, or a cluster: the streams' names have one hash tag, so that one node holds both.
//! Redis 7, Valkey 7 and newer.
//!
//! **Invariant:** every call has a deadline. What is not what a stream answers is no entry, and whoever reads on does so
//! behind what was read. What a server says in its own words is not repeated: it may quote what it was told.

mod connection;

use std::fmt;
use std::time::Duration;

use portvakt_core::config::{Stream, StreamServer, StreamUser};
use redis::{Cmd, ErrorKind, Pipeline, RedisError, ToRedisArgs, Value, cmd};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

pub(super) use self::connection::Connection;
use self::connection::{LONG, SHORT};

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

/// How often the oldest ends are looked at in one go.
const PAGES: usize = 100;

/// The place of an entry in a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Id {
    millis: u64,
    number: u64,
}

/// Before everything.
pub(super) const START: Id = Id { millis: 0, number: 0 };

impl Id {
    /// `1526919030474-55`.
    fn parse(text: &str) -> Option<Self> {
        let (millis, number) = text.split_once('-')?;
        let digits =
            |text: &str| text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?;
        Some(Self { millis: digits(millis)?, number: digits(number)? })
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.millis, self.number)
    }
}

impl ToRedisArgs for Id {
    fn write_redis_args<W: ?Sized + redis::RedisWrite>(&self, out: &mut W) {
        out.write_arg_fmt(self);
    }
}

/// An entry of a stream: its id, and what it holds.
pub(super) type Entry = (Id, Vec<u8>);

/// Up to where these lead, whatever their order.
pub(super) fn reach(entries: &[Entry]) -> Option<Id> {
    entries.iter().map(|(id, _)| *id).max()
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StoreError {
    /// The server, or the way to it.
    #[error("the store refuses, or cannot be reached: {}", told(.0))]
    Redis(RedisError),
    /// No answer in time.
    #[error("the store did not answer in time")]
    Late,
    /// It shows entries again and again that do not lead on.
    #[error("the store shows entries that do not follow those before")]
    Circle,
    /// No sentinel knows the master.
    #[error("no sentinel knows a master of that name")]
    NoMaster,
    /// A file of certificates.
    #[error("`revocation.stream.{name}` cannot be read")]
    File { name: &'static str, source: std::io::Error },
}

impl From<RedisError> for StoreError {
    fn from(error: RedisError) -> Self {
        Self::Redis(error)
    }
}

/// What went wrong, without a word of the server's own but the first: `ERR unknown command` is followed by all that it was
/// sent, a password too.
fn told(error: &RedisError) -> String {
    let is_code = |code: &&str| code.len() <= 32 && code.bytes().all(|byte| byte.is_ascii_uppercase());
    match error.kind() {
        ErrorKind::Io => error.to_string(),
        ErrorKind::Parse => "its answer is none".to_owned(),
        _ => error.code().filter(is_code).unwrap_or(error.category()).to_owned(),
    }
}

/// Two connections to one server: one waits for news, the other writes.
pub(super) struct Store {
    pub(super) reader: Reader,
    pub(super) writer: Writer,
}

/// Waits for news.
pub(super) struct Reader {
    connection: Connection,
    names: Names,
}

/// Writes, and looks things up.
#[derive(Clone)]
pub(super) struct Writer {
    connection: Connection,
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
#[derive(Clone, Copy)]
pub(super) struct Read {
    pub(super) ends: Id,
    pub(super) beats: Id,
    pub(super) keys: Id,
}

/// One of the streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Which {
    Ends,
    Beats,
    Keys,
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
        let reader = Reader {
            connection: open_for(LONG, settings, server, &settings.user).await?,
            names: names.clone(),
        };
        Ok(Self { reader, writer: Writer { connection, names } })
    }
}

impl Reader {
    /// Waits until there is something behind these places, or nothing for a while.
    pub(super) async fn wait(&mut self, read: &Read) -> Result<News, StoreError> {
        let Names { ends, beats, keys, .. } = &self.names;
        let mut command = cmd("XREAD");
        command.arg("COUNT").arg(COUNT).arg("BLOCK").arg(BLOCK.as_millis() as u64);
        command.arg("STREAMS").arg(ends).arg(beats).arg(keys).arg(read.ends).arg(read.beats).arg(read.keys);
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

    /// The first entries of a stream behind a place. There may be more if there are [`COUNT`] of them.
    pub(super) async fn page(&mut self, which: Which, after: Id) -> Result<Vec<Entry>, StoreError> {
        let name = match which {
            Which::Ends => &self.names.ends,
            Which::Beats => &self.names.beats,
            Which::Keys => &self.names.keys,
        };
        let mut command = cmd("XRANGE");
        command.arg(name).arg(format!("({after}")).arg("+").arg("COUNT").arg(COUNT);
        let entries = read_entries(&ask(&mut self.connection, &command).await?);
        // Else one would read the same for ever.
        if entries.len() >= COUNT && reach(&entries) <= Some(after) {
            return Err(StoreError::Circle);
        }
        Ok(entries)
    }
}

impl Writer {
    /// Whether these entries are there; [`START`] always is.
    pub(super) async fn has(&mut self, end: Id, beat: Id) -> Result<bool, StoreError> {
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
    ) -> Result<Option<Id>, StoreError> {
        let mut pipeline = Pipeline::new();
        for end in ends {
            pipeline.cmd("XADD").arg(&self.names.ends).arg("*").arg("r").arg(end.as_ref());
        }
        if let Some(beat) = beat {
            pipeline.cmd("XADD").arg(&self.names.beats).arg("MAXLEN").arg("~").arg(BEATS);
            pipeline.arg("*").arg("b").arg(beat);
        }
        let answers: Vec<Value> = within(ANSWER, pipeline.query_async(&mut self.connection)).await?;
        Ok(beat.and_then(|_| Id::parse(&text(answers.last()?)?)))
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

    /// Drops the oldest ends, as long as they are over.
    pub(super) async fn trim(&mut self, is_over: impl Fn(&[u8]) -> bool) -> Result<(), StoreError> {
        for _ in 0..PAGES {
            let mut command = cmd("XRANGE");
            command.arg(&self.names.ends).arg("-").arg("+").arg("COUNT").arg(COUNT);
            let oldest = read_entries(&ask(&mut self.connection, &command).await?);
            let over = oldest.iter().take_while(|(_, bytes)| is_over(bytes)).count();
            // The newest one stays: by it we know that the store is what it was.
            let Some((first, _)) = oldest.get(over).or(oldest.last()).filter(|_| over > 0) else { break };
            let mut command = cmd("XTRIM");
            command.arg(&self.names.ends).arg("MINID").arg(first);
            ask(&mut self.connection, &command).await?;
            if over < COUNT {
                break;
            }
        }
        Ok(())
    }
}

/// Connects to who is asked for little.
pub(super) async fn open(
    settings: &Stream,
    server: &StreamServer,
    user: &StreamUser,
) -> Result<Connection, StoreError> {
    open_for(SHORT, settings, server, user).await
}

async fn open_for(
    most: usize,
    settings: &Stream,
    server: &StreamServer,
    user: &StreamUser,
) -> Result<Connection, StoreError> {
    let connected = timeout(CONNECT, Connection::open(settings, server, user, most)).await;
    connected.map_err(|_| StoreError::Late)?
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

pub(super) async fn ask(connection: &mut Connection, command: &Cmd) -> Result<Value, StoreError> {
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
        Some((Id::parse(&text(id)?)?, bytes))
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
        let read: Vec<_> = read.iter().map(|(id, bytes)| (id.to_string(), bytes.as_slice())).collect();
        let [one, two, three] = ["1-0", "2-0", "3-0"].map(str::to_owned);
        assert_eq!(read, [(one, &b"bytes"[..]), (two, b""), (three, b"")]);
        assert!(read_entries(&Value::Nil).is_empty());
    }

    #[test]
    fn what_is_no_id_is_none() {
        for text in ["", "-", "1", "1-", "-1", "+1-0", "1-0-0", "1 -0", "18446744073709551616-0", "a-b"] {
            assert_eq!(Id::parse(text), None, "{text}");
        }
        let last = format!("{0}-{0}", u64::MAX);
        assert_eq!(Id::parse(&last).unwrap().to_string(), last);
        assert!(Id::parse("2-0") > Id::parse("1-9"));
    }

    #[test]
    fn what_a_server_says_in_its_own_words_is_not_told() {
        let server = |line: &str| {
            let Err(error) = redis::parse_redis_value(line.as_bytes()).and_then(Value::extract_error) else {
                panic!("it is no error")
            };
            StoreError::from(error).to_string()
        };
        for (line, word) in [
            ("-ERR unknown command 'AUTH', with args beginning with: 'hunter2'\r\n", "ERR"),
            ("-WRONGPASS hunter2\r\n", "WRONGPASS"),
            ("-hunter2 \x1b[2J\r\n", "extension error"),
            ("-HUNTER\x1b2 a\r\n", "extension error"),
            ("?hunter2\r\n", "none"),
        ] {
            let told = server(line);
            assert!(told.contains(word) && !told.contains("hunter2") && !told.contains('\x1b'), "{told}");
        }
    }
}

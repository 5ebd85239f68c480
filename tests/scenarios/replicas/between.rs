//! What stands between a gateway and its Redis, and may cut, delay, turn elsewhere, and lie: a store that an attacker
//! owns, or a network that fails. It speaks for the real server, one command after the other.

use std::io::{BufReader, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::resp::Resp;
use crate::harness::listen::Listening;

/// The true store, to be asked.
pub(super) type True<'a> = &'a mut dyn FnMut(&Resp) -> Resp;

/// What is answered to a command.
type Lie = dyn Fn(&Resp, True<'_>) -> Resp + Send + Sync;

struct Inner {
    to: SocketAddr,
    lie: Arc<Lie>,
    /// The connections that are open, both ends.
    open: Vec<TcpStream>,
    is_cut: bool,
}

type State = Arc<Mutex<Inner>>;

pub(super) struct Between {
    listening: Listening,
    state: State,
}

impl Between {
    /// An honest one.
    pub(super) fn start(to: SocketAddr) -> Self {
        let inner =
            Inner { to, lie: Arc::new(|command, truly| truly(command)), open: Vec::new(), is_cut: false };
        let state: State = Arc::new(Mutex::new(inner));
        let shared = Arc::clone(&state);
        Self { listening: Listening::start(move |client| serve(&client, &shared)), state }
    }

    pub(super) fn port(&self) -> u16 {
        self.listening.port()
    }

    /// From the next command on.
    pub(super) fn lie(&self, lie: impl Fn(&Resp, True<'_>) -> Resp + Send + Sync + 'static) {
        locked(&self.state).lie = Arc::new(lie);
    }

    pub(super) fn be_honest(&self) {
        self.lie(|command, truly| truly(command));
    }

    /// Nobody gets through any more.
    pub(super) fn cut(&self) {
        let mut inner = locked(&self.state);
        inner.is_cut = true;
        inner.hang_up();
    }

    pub(super) fn mend(&self) {
        locked(&self.state).is_cut = false;
    }

    /// To another server from now on.
    pub(super) fn turn_to(&self, to: SocketAddr) {
        let mut inner = locked(&self.state);
        inner.to = to;
        inner.hang_up();
    }
}

impl Drop for Between {
    fn drop(&mut self) {
        self.cut();
    }
}

impl Inner {
    fn hang_up(&mut self) {
        for stream in self.open.drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

fn locked(state: &State) -> MutexGuard<'_, Inner> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

fn serve(mut client: &TcpStream, state: &State) {
    let server = {
        let mut inner = locked(state);
        if inner.is_cut {
            return;
        }
        let Ok(server) = TcpStream::connect(inner.to) else { return };
        for stream in [client, &server] {
            let _ = stream.set_nodelay(true);
            inner.open.extend(stream.try_clone());
        }
        server
    };
    let (mut commands, mut answers) = (BufReader::new(client), BufReader::new(&server));
    let mut truly = |command: &Resp| {
        let mut bytes = Vec::new();
        command.write(&mut bytes);
        let answer = (&server).write_all(&bytes).and_then(|()| Resp::read(&mut answers));
        answer.unwrap_or_else(|_| Resp::Line("-ERR it is gone".to_owned()))
    };
    while let Ok(command) = Resp::read(&mut commands) {
        let lie = Arc::clone(&locked(state).lie);
        let mut answer = lie(&command, &mut truly);
        // It may have waited for news when a lie began.
        let since = Arc::clone(&locked(state).lie);
        if !Arc::ptr_eq(&lie, &since) {
            answer = since(&command, &mut |_| answer.clone());
        }
        let mut bytes = Vec::new();
        answer.write(&mut bytes);
        if client.write_all(&bytes).is_err() {
            break;
        }
    }
    let _ = client.shutdown(Shutdown::Both);
}

/// The first word of a command.
pub(super) fn verb(command: &Resp) -> String {
    command.items().first().map(Resp::text).unwrap_or_default().to_ascii_uppercase()
}

/// Changes what a stream is said to hold, wherever it is read. `change` gets the stream's name and its entries.
pub(super) fn rewrite(command: &Resp, mut answer: Resp, change: impl Fn(&str, &mut Vec<Resp>)) -> Resp {
    let entries_of = |value: &mut Resp, name: &str| {
        if let Resp::Array(Some(entries)) = value {
            change(name, entries);
        }
    };
    match verb(command).as_str() {
        "XRANGE" => entries_of(&mut answer, &command.items()[1].text()),
        "XREAD" => {
            if let Resp::Array(Some(streams)) = &mut answer {
                for stream in streams {
                    let Resp::Array(Some(stream)) = stream else { continue };
                    let [name, entries] = &mut stream[..] else { continue };
                    entries_of(entries, &name.text());
                }
            }
        }
        _ => {}
    }
    answer
}

/// The bytes of an entry.
pub(super) fn bytes_of(entry: &Resp) -> &[u8] {
    entry.items().get(1).and_then(|fields| fields.items().last()).map_or(&[], Resp::bytes)
}

/// The entry with other bytes.
pub(super) fn with_bytes(entry: &Resp, bytes: &[u8]) -> Resp {
    let [id, fields] = entry.items() else { return entry.clone() };
    let Some(field) = fields.items().first() else { return entry.clone() };
    Resp::Array(Some(vec![id.clone(), Resp::Array(Some(vec![field.clone(), Resp::bulk(bytes)]))]))
}

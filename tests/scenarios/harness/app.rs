//! The app behind the gateway: it writes down each request byte for byte and answers what the test says.

use std::collections::HashMap;
use std::io::Write;
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use super::http::{Head, read_head, read_whole_body};
use super::listen::Listening;
use super::process::await_that;

/// One request as it arrived.
#[derive(Clone, Debug)]
pub(crate) struct Received {
    /// The head as bytes, without the empty line.
    pub(crate) raw: Vec<u8>,
    /// The same, taken apart.
    pub(crate) head: Head,
    /// The body without its framing.
    pub(crate) body: Vec<u8>,
}

impl Received {
    /// The request target.
    pub(crate) fn target(&self) -> &str {
        self.head.start.split(' ').nth(1).unwrap_or_default()
    }

    /// The value of a field that may occur once.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.one(name)
    }

    /// Every field whose name an app server could read as one of identity, in its order.
    pub(crate) fn identity(&self) -> Vec<(&str, &str)> {
        let fold =
            |name: &str| name.to_ascii_lowercase().replace(|letter: char| !letter.is_alphanumeric(), "");
        self.head
            .fields
            .iter()
            .filter(|(name, _)| fold(name).contains("identity"))
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect()
    }
}

/// What the app does with a connection after the head of a request; nothing of the body was read.
type Stream = dyn Fn(TcpStream, &Received) + Send + Sync;

/// The app. It ends with the value.
pub(crate) struct App {
    listening: Listening,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    received: Mutex<Vec<Received>>,
    replies: Mutex<HashMap<String, Vec<u8>>>,
    sessions: Mutex<Option<Sessions>>,
    connections: Mutex<Vec<TcpStream>>,
    held: Mutex<bool>,
    released: Condvar,
    streams: Mutex<Vec<(String, Arc<Stream>)>>,
    over: AtomicBool,
}

/// The sessions of an app that looks at the identity headers when a session begins, and never again.
struct Sessions {
    /// The cookie's name.
    cookie: String,
    /// What follows the pair in `Set-Cookie`.
    attributes: String,
    /// Whose each one is.
    owners: HashMap<String, String>,
    count: usize,
}

impl Sessions {
    /// A page that says whose session it is, and the `Set-Cookie` if it has just begun.
    fn page(&mut self, received: &Received) -> Vec<u8> {
        let cookies = received.header("cookie").unwrap_or_default().split("; ");
        let pairs = cookies.filter_map(|pair| pair.split_once('='));
        let presented = pairs.filter(|(name, _)| *name == self.cookie).map(|(_, value)| value.to_owned());
        let presented: Vec<String> = presented.collect();
        if received.target().starts_with("/app/signout") {
            self.owners.retain(|id, _| !presented.contains(id));
            return b"HTTP/1.1 204 No Content\r\n\r\n".to_vec();
        }
        if let Some(owner) = presented.iter().find_map(|id| self.owners.get(id)) {
            return page_of(owner, "");
        }
        let owner = received.header("x-identity-fnr").unwrap_or("nobody").to_owned();
        self.count += 1;
        let id = format!("app-session-{}-\"{}\"", self.count, "x y=z".repeat(3));
        let set = format!("Set-Cookie: {}={id}{}\r\n", self.cookie, self.attributes);
        self.owners.insert(id, owner.clone());
        page_of(&owner, &set)
    }
}

fn page_of(owner: &str, fields: &str) -> Vec<u8> {
    let body = format!("the page of {owner}");
    format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n{fields}Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// Counts the requests of an app that somebody else holds.
#[derive(Clone)]
pub(crate) struct Tally(Arc<State>);

impl Tally {
    pub(crate) fn count(&self) -> usize {
        self.0.received.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

impl std::fmt::Debug for Tally {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Tally").field(&self.count()).finish()
    }
}

impl App {
    /// Listens on a free port.
    pub(crate) fn start() -> Self {
        let state = Arc::<State>::default();
        let shared = Arc::clone(&state);
        Self { listening: Listening::start(move |stream| shared.serve(stream)), state }
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.listening.address()
    }

    /// Everything received so far.
    pub(crate) fn received(&self) -> Vec<Received> {
        self.state.received.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How many requests have been received.
    pub(crate) fn count(&self) -> usize {
        self.state.received.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// The latest request.
    pub(crate) fn last(&self) -> Received {
        self.received().pop().expect("the app has received something")
    }

    /// Forgets what it has received: for worlds whose count nobody judges.
    pub(crate) fn forget(&self) {
        self.state.received.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Its count, for the world that judges.
    pub(crate) fn tally(&self) -> Tally {
        Tally(Arc::clone(&self.state))
    }

    /// Keeps requests without a reply until they are released.
    pub(crate) fn hold(&self) {
        *self.state.held.lock().unwrap_or_else(PoisonError::into_inner) = true;
    }

    /// Replies to whoever waits.
    pub(crate) fn release(&self) {
        *self.state.held.lock().unwrap_or_else(PoisonError::into_inner) = false;
        self.state.released.notify_all();
    }

    /// Dies: nobody listens any more, and every connection is closed.
    pub(crate) fn stop(&self) {
        self.state.over.store(true, Ordering::Relaxed);
        self.release();
        self.listening.stop();
        for connection in self.state.connections.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            let _ = connection.shutdown(Shutdown::Both);
        }
        await_that("the app is gone", || TcpStream::connect(self.address()).is_err().then_some(()));
    }

    /// Answers requests for a path, whatever their query, with this: status line, fields, empty line, body.
    /// Without anything the connection is closed instead.
    pub(crate) fn reply(&self, path: &str, reply: impl Into<Vec<u8>>) {
        let mut replies = self.state.replies.lock().unwrap_or_else(PoisonError::into_inner);
        replies.insert(path.to_owned(), reply.into());
    }

    /// From now on the app keeps sessions of its own by a cookie, with these attributes.
    pub(crate) fn keep_sessions(&self, cookie: &str, attributes: &str) {
        let mut sessions = self.state.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        *sessions = Some(Sessions {
            cookie: cookie.to_owned(),
            attributes: attributes.to_owned(),
            owners: HashMap::new(),
            count: 0,
        });
    }

    /// Whose sessions it keeps.
    pub(crate) fn owners(&self) -> Vec<String> {
        let sessions = self.state.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        sessions.iter().flat_map(|sessions| sessions.owners.values().cloned()).collect()
    }

    /// How many requests of the gateway's own have been received.
    pub(crate) fn errands(&self) -> usize {
        self.received().iter().filter(|received| received.header("user-agent") == Some("portvakt")).count()
    }

    /// Gives the connection of each request below a path to `stream`, and closes it afterwards.
    pub(crate) fn stream(&self, path: &str, stream: impl Fn(TcpStream, &Received) + Send + Sync + 'static) {
        let mut streams = self.state.streams.lock().unwrap_or_else(PoisonError::into_inner);
        streams.push((path.to_owned(), Arc::new(stream)));
    }
}

impl Drop for App {
    fn drop(&mut self) {
        self.state.over.store(true, Ordering::Relaxed);
        self.release();
    }
}

impl State {
    fn stream_of(&self, target: &str) -> Option<Arc<Stream>> {
        let streams = self.streams.lock().unwrap_or_else(PoisonError::into_inner);
        let found = streams.iter().find(|(path, _)| target.starts_with(path.as_str()));
        found.map(|(_, stream)| Arc::clone(stream))
    }

    fn serve(&self, mut stream: TcpStream) {
        let connection = stream.try_clone().unwrap();
        self.connections.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
        while let Some(raw) = read_head(&mut stream) {
            if self.over.load(Ordering::Relaxed) {
                return;
            }
            let head = Head::parse(&raw);
            if let Some(handle) = self.stream_of(head.start.split(' ').nth(1).unwrap_or_default()) {
                let received = Received { raw, head, body: Vec::new() };
                self.received.lock().unwrap_or_else(PoisonError::into_inner).push(received.clone());
                // Others hold the same connection.
                let closing = stream.try_clone().unwrap();
                handle(stream, &received);
                let _ = closing.shutdown(Shutdown::Both);
                return;
            }
            // What does not come to its end is no request.
            let Some(body) = read_whole_body(&mut stream, &head) else { return };
            let received = Received { raw, head, body };
            let path = received.target().split('?').next().unwrap_or_default().to_owned();
            let reply = self.replies.lock().unwrap_or_else(PoisonError::into_inner).get(&path).cloned();
            let own = self
                .sessions
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .as_mut()
                .map(|sessions| sessions.page(&received));
            let reply = reply.or(own);
            let is_head = received.head.start.starts_with("HEAD ");
            self.received.lock().unwrap_or_else(PoisonError::into_inner).push(received);
            let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
            drop(self.released.wait_while(held, |held| *held).unwrap_or_else(PoisonError::into_inner));
            if reply.as_ref().is_some_and(Vec::is_empty) {
                let _ = stream.shutdown(Shutdown::Both);
                return;
            }
            let body: &[u8] = if is_head { b"" } else { b"the app's page" };
            let usual =
                [b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 14\r\n\r\n", body].concat();
            if stream.write_all(&reply.unwrap_or(usual)).is_err() {
                return;
            }
        }
    }
}

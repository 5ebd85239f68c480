//! The app behind the fleet: it answers with what it was told, so that a client can hold it against its own cookie, and
//! writes down what was posted.

use std::collections::HashMap;
use std::io::Write as _;
use std::net::TcpStream;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::harness::http::{Head, read_head, read_whole_body};
use crate::harness::listen::Listening;

/// It ends with the value.
pub(super) struct Mirror {
    listening: Listening,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    posted: Mutex<HashMap<String, usize>>,
    /// Requests that bore a cookie of the gateway.
    leaked: AtomicUsize,
    over: AtomicBool,
}

impl Mirror {
    pub(super) fn start() -> Self {
        let state = Arc::<State>::default();
        let shared = Arc::clone(&state);
        Self { listening: Listening::start(move |stream| shared.serve(stream)), state }
    }

    pub(super) fn port(&self) -> u16 {
        self.listening.port()
    }

    /// How often each target was posted to.
    pub(super) fn posted(&self) -> HashMap<String, usize> {
        self.state.posted.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How many requests bore a cookie of the gateway.
    pub(super) fn leaked(&self) -> usize {
        self.state.leaked.load(Ordering::Relaxed)
    }
}

impl Drop for Mirror {
    fn drop(&mut self) {
        self.state.over.store(true, Ordering::Relaxed);
    }
}

impl State {
    fn serve(&self, mut stream: TcpStream) {
        let _ = stream.set_nodelay(true);
        while let Some(raw) = read_head(&mut stream) {
            let head = Head::parse(&raw);
            if read_whole_body(&mut stream, &head).is_none() {
                return;
            }
            let mut words = head.start.split(' ');
            let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
            if method == "POST" {
                let mut posted = self.posted.lock().unwrap_or_else(PoisonError::into_inner);
                *posted.entry(target.to_owned()).or_default() += 1;
            }
            if head.all("cookie").iter().any(|line| line.contains("portvakt")) {
                self.leaked.fetch_add(1, Ordering::Relaxed);
            }
            let mut page = format!("{method} {target}\n");
            for (name, value) in &head.fields {
                if name.to_ascii_lowercase().contains("identity") {
                    page.push_str(&format!("{}: {value}\n", name.to_ascii_lowercase()));
                }
            }
            let reply = format!(
                "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\r\n{page}",
                page.len()
            );
            if stream.write_all(reply.as_bytes()).is_err() {
                return;
            }
        }
    }
}

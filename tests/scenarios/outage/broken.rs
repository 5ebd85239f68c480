//! What stands at the provider's address during an outage, and counts who calls.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use crate::harness::http::read_head;
use crate::harness::listen::Listening;

/// In which way it is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum How {
    /// Nobody listens.
    Refuses,
    /// Takes connections and says nothing.
    Silent,
    /// Announces much and sends a byte now and then.
    Drips,
    /// 503, with `Retry-After` in seconds.
    Unavailable(Option<u32>),
    /// 200 with a page.
    Html,
    /// No HTTP.
    Noise,
    /// 200 with more than anybody reads.
    Huge,
}

/// When somebody called, by the last part of the path.
type Calls = Arc<Mutex<BTreeMap<String, Vec<Instant>>>>;

/// It ends with the value.
pub(super) struct Broken {
    calls: Calls,
    over: Arc<AtomicBool>,
    held: Arc<Mutex<Vec<TcpStream>>>,
    listening: Listening,
}

impl Broken {
    /// Takes the place.
    pub(super) fn at(address: SocketAddr, how: How) -> Self {
        let (calls, over) = (Calls::default(), Arc::<AtomicBool>::default());
        let held = Arc::<Mutex<Vec<TcpStream>>>::default();
        let listening = Listening::at(address, {
            let (calls, over, held) = (Arc::clone(&calls), Arc::clone(&over), Arc::clone(&held));
            move |stream| {
                held.lock().unwrap().push(stream.try_clone().unwrap());
                serve(stream, how, &calls, &over);
            }
        });
        Self { calls, over, held, listening }
    }

    /// How often an endpoint was called.
    pub(super) fn asked(&self, endpoint: &str) -> usize {
        self.times(endpoint).len()
    }

    /// When an endpoint was called.
    pub(super) fn times(&self, endpoint: &str) -> Vec<Instant> {
        self.calls.lock().unwrap().get(endpoint).cloned().unwrap_or_default()
    }
}

impl Drop for Broken {
    fn drop(&mut self) {
        self.over.store(true, Ordering::SeqCst);
        self.listening.stop();
        for stream in self.held.lock().unwrap().drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

fn serve(mut stream: TcpStream, how: How, calls: &Calls, over: &AtomicBool) {
    let Some(head) = read_head(&mut stream) else { return };
    let head = String::from_utf8_lossy(&head).into_owned();
    let path = head.split(' ').nth(1).unwrap_or_default();
    let endpoint = path.rsplit('/').next().unwrap_or_default().to_owned();
    calls.lock().unwrap().entry(endpoint).or_default().push(Instant::now());
    let answer = match how {
        How::Refuses => return,
        How::Silent => {
            while !over.load(Ordering::SeqCst) && !matches!(stream.read(&mut [0; 4096]), Ok(0) | Err(_)) {}
            return;
        }
        How::Drips => {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n{");
            while !over.load(Ordering::SeqCst) && stream.write_all(b" ").is_ok() {
                thread::sleep(Duration::from_millis(300));
            }
            return;
        }
        How::Unavailable(seconds) => {
            let again = seconds.map(|seconds| format!("Retry-After: {seconds}\r\n")).unwrap_or_default();
            format!("HTTP/1.1 503 Unavailable\r\n{again}Content-Length: 0\r\nConnection: close\r\n\r\n")
        }
        How::Html => {
            let page = "<!doctype html><title>Maintenance</title>";
            let length = page.len();
            format!(
                "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{page}"
            )
        }
        // A TLS alert, as from a port that speaks TLS.
        How::Noise => "\u{15}\u{3}\u{1}\0\u{2}\u{2}F".to_owned(),
        How::Huge => {
            let size = 32 << 20;
            format!("HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n{{\"a\":\"{}", "x".repeat(size - 6))
        }
    };
    let _ = stream.write_all(answer.as_bytes());
    // What is still to be read must not reset the connection.
    let _ = stream.shutdown(Shutdown::Write);
    let _ = stream.set_read_timeout(Some(Duration::from_secs(1)));
    while matches!(stream.read(&mut [0; 4096]), Ok(read) if read > 0) {}
}

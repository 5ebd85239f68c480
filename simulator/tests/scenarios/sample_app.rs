//! The sample app shows exactly what arrived, and survives many at once.

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::harness::program;

const READY: &str = "sample-app ready ";

async fn exchange(origin: &str, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(origin.strip_prefix("http://").unwrap()).await.unwrap();
    stream.write_all(request).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

fn echoed(answer: &str) -> Value {
    serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap()
}

#[tokio::test]
async fn an_echo_keeps_target_order_case_and_repetition() {
    let (_app, origin) = program(env!("CARGO_BIN_EXE_sample-app"), READY).await;
    let answer = exchange(
        &origin,
        b"PUT /a%2fB/../echo?q=%20 HTTP/1.1\r\nhost: h\r\nX-b: 2\r\nx-B: 1\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc",
    )
    .await;
    let headers =
        json!([["host", "h"], ["X-b", "2"], ["x-B", "1"], ["Content-Length", "3"], ["Connection", "close"]]);
    let expected = json!({"method": "PUT", "target": "/a%2fB/../echo?q=%20", "headers": headers});
    assert_eq!(echoed(&answer), expected);
}

#[tokio::test]
async fn a_person_sees_what_the_app_was_told_and_nothing_becomes_markup() {
    let (_app, origin) = program(env!("CARGO_BIN_EXE_sample-app"), READY).await;
    let request = b"GET /app/?<b> HTTP/1.1\r\nhost: h\r\nX-Identity-Given-Name: %C3%85sa<i>\r\nConnection: close\r\n\r\n";
    let answer = exchange(&origin, request).await;
    assert!(answer.contains("X-Identity-Given-Name") && answer.contains("Åsa&lt;i&gt;"), "{answer}");
    assert!(!answer.contains("?<b>") && answer.contains("/oauth2/logout"));
    assert!(exchange(&origin, b"GET /echo HTTP/1.1\nhost: h\r\n\r\n").await.starts_with("HTTP/1.1 400"));
}

#[tokio::test]
async fn many_connections_with_many_requests_each_are_answered() {
    let (_app, origin) = program(env!("CARGO_BIN_EXE_sample-app"), READY).await;
    let mut clients = JoinSet::new();
    for client in 0..64 {
        let origin = origin.clone();
        clients.spawn(async move {
            let request = format!("GET /{client}/echo HTTP/1.1\r\nhost: h\r\n\r\n");
            let last = format!("GET /{client}/echo HTTP/1.1\r\nhost: h\r\nConnection: close\r\n\r\n");
            // Pipelined: the answers come in order on one connection.
            let answer = exchange(&origin, (request.repeat(199) + &last).as_bytes()).await;
            answer.matches("HTTP/1.1 200 OK").count()
        });
    }
    let answered = clients.join_all().await;
    assert!(answered.iter().all(|count| *count == 200), "{answered:?}");
}

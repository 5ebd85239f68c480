//! What is spoken with an app.

use super::*;
use crate::upstream::Protocol;

const URL: &str = "\"http://127.0.0.1:8083\"";

#[test]
fn an_app_speaks_what_its_file_says() {
    let of = |url: &str| route(&check(&with(URL, url)).unwrap(), "/app/**").upstream().unwrap().protocol;
    assert_eq!(of(URL), Protocol::Http1);
    assert_eq!(of("\"http://127.0.0.1:8083\", protocol: http1"), Protocol::Http1);
    assert_eq!(of("\"http://127.0.0.1:8083\", protocol: h2c"), Protocol::Http2);
    assert_eq!(of("\"https://app.example.no\", protocol: h2"), Protocol::Http2);
}

#[test]
fn what_http_2_cannot_do_for_an_app_is_said() {
    for (url, expected) in [
        ("\"http://app\", protocol: h2", "13:38: `h2` is not for an app at `http://`"),
        ("\"https://app\", protocol: h2c", "13:39: `h2c` is not for an app at `https://`"),
        (
            "\"http://app\", protocol: h2c, health: {path: /health}",
            "13:58: no path is asked for at an app that speaks `h2c`",
        ),
    ] {
        let found = heads(&with(URL, url));
        assert!(found.len() == 1 && found[0].starts_with(expected), "{url}: {found:?}");
    }
    let text = with(URL, "\"http://app\", protocol: h2c");
    let text =
        text.replacen("        access: login\n", "        access: login\n        websocket: true\n", 1);
    let found = heads(&text);
    assert!(found.len() == 1 && found[0].contains("the app `app` speaks HTTP/2"), "{found:?}");
}

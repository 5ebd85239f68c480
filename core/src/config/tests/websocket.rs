//! Where WebSockets are opened.

use std::time::Duration;

use super::*;
use crate::route::WebSockets;

const APP: &str = "        access: login\n";

#[test]
fn websockets_are_for_routes_that_name_them() {
    assert_eq!(route(&check(BASE).unwrap(), "/app/**").websocket, None);
    let text = with(
        APP,
        "        access: login\n        websocket: true\n        websocket_idle: 90s\n        websocket_origins: ['https://Other.Example.no:443', 'http://localhost:3000']\n",
    );
    let expected = WebSockets {
        idle: Duration::from_secs(90),
        origins: vec!["https://other.example.no".to_owned(), "http://localhost:3000".to_owned()],
    };
    assert_eq!(route(&check(&text).unwrap(), "/app/**").websocket, Some(expected));
    let brief = check(&with(APP, "        access: login\n        websocket: true\n")).unwrap();
    assert_eq!(route(&brief, "/app/**").websocket.as_ref().unwrap().idle, Duration::from_secs(600));
}

#[test]
fn what_has_no_effect_or_is_no_origin_is_refused() {
    let row = |keys: &str| heads(&with(APP, &format!("        access: login\n{keys}")));
    for (keys, expected) in [
        ("        websocket_idle: 5m\n", "23:25: `websocket_idle` has no effect"),
        (
            "        websocket: false\n        websocket_origins: ['https://a.no']\n",
            "24:28: `websocket_origins` has no effect",
        ),
        ("        websocket: true\n        websocket_idle: 0s\n", "24:25: `0s` is out of bounds"),
        ("        websocket: true\n        methods: [POST]\n", "23:20: a WebSocket is opened by GET"),
        (
            "        websocket: true\n        websocket_origins: ['https://a.no/x']\n",
            "24:29: `https://a.no/x` is no origin",
        ),
        (
            "        websocket: true\n        websocket_origins: ['http://a.no']\n",
            "24:29: `http://a.no` is not https",
        ),
        ("        websocket: true\n        websocket_origins: ['*']\n", "24:29: `*` is no origin"),
    ] {
        let found = row(keys);
        assert!(found.len() == 1 && found[0].starts_with(expected), "{keys}: {found:?}");
    }
}

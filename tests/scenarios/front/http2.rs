//! HTTP/2: the table's rows as frames, and what only this protocol can say (RFC 9113, 6 and 8).

use std::io::Write as _;

use super::cases::Ask;
use super::split::Cuts;
use super::wire::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, Outcome, PING, PREFACE, PRIORITY,
    PUSH_PROMISE, RST_STREAM, SETTINGS, WINDOW_UPDATE, block, field, frame, hello, read_stream,
};
use crate::harness::World;
use crate::harness::http::connect;

/// A row as one connection's bytes.
pub(super) fn bytes(ask: &Ask, authority: &str, cookie: &str) -> Vec<u8> {
    let mut fields: Vec<(Vec<u8>, Vec<u8>)> = vec![
        (b":method".into(), ask.method.clone().into()),
        (b":scheme".into(), b"http".into()),
        (b":authority".into(), authority.into()),
        (b":path".into(), ask.target.clone()),
        (b"cookie".into(), cookie.into()),
    ];
    for (name, value) in &ask.fields {
        fields.push((name.to_ascii_lowercase().into(), value.clone()));
    }
    if let Some(body) = ask.body.as_ref().filter(|body| body.announced) {
        fields.push((b"content-length".into(), body.bytes.len().to_string().into()));
    }
    let block: Vec<u8> = fields.iter().flat_map(|(name, value)| field(name, value)).collect();
    let last = if ask.body.is_none() { END_STREAM } else { 0 };
    let mut bytes = hello();
    // Headers that are larger than a frame go on in others.
    let mut parts = block.chunks(16_000).peekable();
    let first = parts.next().unwrap();
    bytes.extend(frame(HEADERS, last | if parts.peek().is_none() { END_HEADERS } else { 0 }, 1, first));
    while let Some(part) = parts.next() {
        bytes.extend(frame(CONTINUATION, if parts.peek().is_none() { END_HEADERS } else { 0 }, 1, part));
    }
    if let Some(body) = &ask.body {
        let size = body.bytes.len().div_ceil(body.parts.max(1)).clamp(1, 16_000);
        let mut parts = body.bytes.chunks(size).peekable();
        if parts.peek().is_none() {
            bytes.extend(frame(DATA, END_STREAM, 1, b""));
        }
        while let Some(part) = parts.next() {
            let last = parts.peek().is_none() && !body.empty_end;
            bytes.extend(frame(DATA, if last { END_STREAM } else { 0 }, 1, part));
        }
        if body.empty_end {
            bytes.extend(frame(DATA, END_STREAM, 1, b""));
        }
    }
    bytes
}

/// Sends bytes in pieces and reads what becomes of a stream. Bodies here are smaller than the window: nobody waits for a
/// WINDOW_UPDATE.
pub(super) fn send(world: &World, bytes: &[u8], stream: u32, cuts: Cuts) -> Outcome {
    let mut client = connect(world.address());
    client.set_nodelay(true).unwrap();
    for piece in cuts.pieces(bytes) {
        if client.write_all(piece).is_err() {
            break;
        }
    }
    read_stream(&mut client, stream)
}

/// What the person asks for, with these pseudo-header fields first and these fields behind the cookie.
fn head(pseudo: &[(&[u8], &[u8])], cookie: &str, fields: &[(&[u8], &[u8])]) -> Vec<u8> {
    block(&[pseudo, &[(b"cookie", cookie.as_bytes())], fields].concat())
}

/// What must end the stream or the connection and never reach the app.
pub(super) fn hostile(authority: &str, cookie: &str) -> Vec<(&'static str, Vec<u8>)> {
    let authority = authority.as_bytes();
    let usual: [(&[u8], &[u8]); 4] =
        [(b":method", b"GET"), (b":scheme", b"http"), (b":authority", authority), (b":path", b"/app/")];
    let posting: [(&[u8], &[u8]); 4] =
        [(b":method", b"POST"), (b":scheme", b"http"), (b":authority", authority), (b":path", b"/app/")];
    let asks = |pseudo: &[(&[u8], &[u8])], fields: &[(&[u8], &[u8])]| {
        [hello(), frame(HEADERS, END_STREAM | END_HEADERS, 1, &head(pseudo, cookie, fields))].concat()
    };
    let posts = |fields: &[(&[u8], &[u8])], frames: &[u8]| {
        [hello(), frame(HEADERS, END_HEADERS, 1, &head(&posting, cookie, fields)), frames.to_vec()].concat()
    };
    let without = |name: &[u8]| usual.into_iter().filter(|(known, _)| *known != name).collect::<Vec<_>>();
    let with = |name: &'static [u8], value: &'static [u8]| {
        usual.map(|(known, old)| if known == name { (known, value) } else { (known, old) })
    };
    let good = head(&usual, cookie, &[]);
    let ask = frame(HEADERS, END_STREAM | END_HEADERS, 1, &good);
    let mut rows = vec![
        ("connection", asks(&usual, &[(b"connection", b"close")])),
        ("connection that nominates", asks(&usual, &[(b"connection", b"x-identity-fnr")])),
        ("keep-alive", asks(&usual, &[(b"keep-alive", b"timeout=5")])),
        ("proxy-connection", asks(&usual, &[(b"proxy-connection", b"keep-alive")])),
        ("transfer-encoding", asks(&usual, &[(b"transfer-encoding", b"chunked")])),
        ("upgrade", asks(&usual, &[(b"upgrade", b"websocket")])),
        ("te: gzip", asks(&usual, &[(b"te", b"gzip")])),
        ("te: trailers, gzip", asks(&usual, &[(b"te", b"trailers, gzip")])),
        ("no method", asks(&without(b":method"), &[])),
        ("no path", asks(&without(b":path"), &[])),
        ("no scheme", asks(&without(b":scheme"), &[])),
        ("neither authority nor host", asks(&without(b":authority"), &[])),
        ("an empty path", asks(&with(b":path", b""), &[])),
        ("a path without a slash", asks(&with(b":path", b"app/"), &[])),
        ("an asterisk", asks(&with(b":path", b"*"), &[])),
        ("an absolute path", asks(&with(b":path", b"http://evil.test/app/"), &[])),
        ("a space in the path", asks(&with(b":path", b"/app/ x"), &[])),
        ("CR LF in the path", asks(&with(b":path", b"/app/\r\nX-Identity-Fnr: 1"), &[])),
        (
            "a request line in the path",
            asks(&with(b":path", b"/app/ HTTP/1.1\r\nHost: evil.test\r\n\r\nGET /x"), &[]),
        ),
        ("NUL in the path", asks(&with(b":path", b"/app/\0"), &[])),
        ("a space in the method", asks(&with(b":method", b"GET /x HTTP/1.1"), &[])),
        ("CR LF in the method", asks(&with(b":method", b"GET\r\n"), &[])),
        ("an empty method", asks(&with(b":method", b""), &[])),
        ("CONNECT", asks(&[(b":method", b"CONNECT"), (b":authority", authority)], &[])),
        ("CONNECT with a path", asks(&with(b":method", b"CONNECT"), &[])),
        (
            "extended CONNECT",
            asks(&[&with(b":method", b"CONNECT")[..], &[(b":protocol", b"websocket")]].concat(), &[]),
        ),
        ("a scheme of another kind", asks(&with(b":scheme", b"ftp"), &[])),
        ("CR LF in the scheme", asks(&with(b":scheme", b"http\r\nx: y"), &[])),
        ("another host", asks(&usual, &[(b"host", b"evil.test")])),
        ("two hosts", asks(&usual, &[(b"host", authority), (b"host", authority)])),
        ("another authority", asks(&with(b":authority", b"evil.test"), &[(b"host", authority)])),
        ("a stranger in the authority", asks(&with(b":authority", b"a@evil.test"), &[])),
        ("a pseudo-header field twice", asks(&[&usual[..], &[(b":path", b"/app/x")]].concat(), &[])),
        ("an unknown pseudo-header field", asks(&[&usual[..], &[(b":fnr", b"1")]].concat(), &[])),
        ("a reply's pseudo-header field", asks(&[&usual[..], &[(b":status", b"200")]].concat(), &[])),
        ("a late pseudo-header field", asks(&usual[..3], &[(b":path", b"/app/")])),
        ("upper case", asks(&usual, &[(b"X-Identity-Fnr", b"1")])),
        ("a colon in a name", asks(&usual, &[(b"x:y", b"1")])),
        ("a space in a name", asks(&usual, &[(b"x y", b"1")])),
        ("CR LF in a name", asks(&usual, &[(b"x\r\ny", b"1")])),
        ("an empty name", asks(&usual, &[(b"", b"1")])),
        ("CR LF in a value", asks(&usual, &[(b"x", b"1\r\nx-identity-fnr: 01817000001")])),
        ("LF in a value", asks(&usual, &[(b"x", b"1\nx-identity-fnr: 01817000001")])),
        ("NUL in a value", asks(&usual, &[(b"x", b"1\0")])),
        (
            "a body shorter than its length",
            posts(&[(b"content-length", b"5")], &frame(DATA, END_STREAM, 1, b"abc")),
        ),
        (
            "a body longer than its length",
            posts(&[(b"content-length", b"2")], &frame(DATA, END_STREAM, 1, b"abc")),
        ),
        ("a length and no body", posts(&[(b"content-length", b"5")], &frame(DATA, END_STREAM, 1, b""))),
        ("a length on a head that ends", asks(&posting, &[(b"content-length", b"5")])),
        (
            "a trailer with a pseudo-header field",
            posts(
                &[],
                &[
                    frame(DATA, 0, 1, b"abc"),
                    frame(HEADERS, END_STREAM | END_HEADERS, 1, &block(&[(b":path", b"/x")])),
                ]
                .concat(),
            ),
        ),
        (
            "a second head that does not end",
            posts(
                &[],
                &[frame(DATA, 0, 1, b"abc"), frame(HEADERS, END_HEADERS, 1, &block(&[(b"x", b"y")]))]
                    .concat(),
            ),
        ),
        (
            "a body that is given up",
            posts(&[], &[frame(DATA, 0, 1, b"abc"), frame(RST_STREAM, 0, 1, &[0, 0, 0, 8])].concat()),
        ),
    ];
    rows.extend([
        ("no SETTINGS first", [PREFACE, &ask].concat()),
        ("half a preface", PREFACE[..12].to_vec()),
        ("a wrong preface", [&PREFACE[..18], b"XX\r\n\r\n"].concat()),
        ("stream 0", [hello(), frame(HEADERS, END_STREAM | END_HEADERS, 0, &good)].concat()),
        ("an even stream", [hello(), frame(HEADERS, END_STREAM | END_HEADERS, 2, &good)].concat()),
        ("DATA without a head", [hello(), frame(DATA, END_STREAM, 1, b"abc")].concat()),
        ("DATA on stream 0", [hello(), frame(DATA, END_STREAM, 0, b"abc")].concat()),
        ("CONTINUATION without a head", [hello(), frame(CONTINUATION, END_HEADERS, 1, &good)].concat()),
        (
            "a frame inside a header block",
            [
                hello(),
                frame(HEADERS, END_STREAM, 1, &good[..20]),
                frame(PING, 0, 0, &[0; 8]),
                frame(CONTINUATION, END_HEADERS, 1, &good[20..]),
            ]
            .concat(),
        ),
        (
            "another stream's CONTINUATION",
            [
                hello(),
                frame(HEADERS, END_STREAM, 1, &good[..20]),
                frame(CONTINUATION, END_HEADERS, 3, &good[20..]),
            ]
            .concat(),
        ),
        (
            "a flood of CONTINUATION",
            [hello(), frame(HEADERS, END_STREAM, 1, &good), frame(CONTINUATION, 0, 1, &[]).repeat(600)]
                .concat(),
        ),
        (
            "a broken header block",
            [hello(), frame(HEADERS, END_STREAM | END_HEADERS, 1, &[0xff; 20])].concat(),
        ),
        (
            "an index that is not there",
            [hello(), frame(HEADERS, END_STREAM | END_HEADERS, 1, &[0xfe])].concat(),
        ),
        (
            "a string longer than its block",
            [hello(), frame(HEADERS, END_STREAM | END_HEADERS, 1, &[0, 0x7f, 0xff, 0xff, 3])].concat(),
        ),
        (
            "a broken code",
            [hello(), frame(HEADERS, END_STREAM | END_HEADERS, 1, &[0, 0x84, 0xff, 0xff, 0xff, 0xff, 0])]
                .concat(),
        ),
        (
            "padding longer than its frame",
            [hello(), frame(HEADERS, END_STREAM | END_HEADERS | 8, 1, &[200, 1, 2])].concat(),
        ),
        ("a frame larger than allowed", [hello(), frame(DATA, 0, 1, &[0; 20_000])].concat()),
        ("SETTINGS of 5 bytes", [hello(), frame(SETTINGS, 0, 0, &[0; 5])].concat()),
        ("SETTINGS on a stream", [hello(), frame(SETTINGS, 0, 1, &[])].concat()),
        (
            "a window beyond its size",
            [hello(), frame(SETTINGS, 0, 0, &[0, 4, 0xff, 0xff, 0xff, 0xff])].concat(),
        ),
        ("WINDOW_UPDATE of 0", [hello(), frame(WINDOW_UPDATE, 0, 0, &[0; 4])].concat()),
        ("PING of 7 bytes", [hello(), frame(PING, 0, 0, &[0; 7])].concat()),
        ("PING on a stream", [hello(), frame(PING, 0, 1, &[0; 8])].concat()),
        ("PRIORITY on stream 0", [hello(), frame(PRIORITY, 0, 0, &[0; 5])].concat()),
        (
            "PUSH_PROMISE by a client",
            [hello(), frame(PUSH_PROMISE, END_HEADERS, 1, &[0, 0, 0, 2, 0x82])].concat(),
        ),
        ("RST_STREAM of an idle stream", [hello(), frame(RST_STREAM, 0, 1, &[0; 4])].concat()),
        ("a flood of PING", [hello(), frame(PING, 0, 0, &[0; 8]).repeat(5_000)].concat()),
        ("a flood of SETTINGS", [hello(), frame(SETTINGS, 0, 0, &[]).repeat(5_000)].concat()),
        ("a flood of unknown frames", [hello(), frame(0x42, 0, 0, b"x").repeat(5_000)].concat()),
        ("a flood of empty DATA", posts(&[], &frame(DATA, 0, 1, b"").repeat(5_000))),
        ("a header list of 200 KB", {
            let mut bytes = [hello(), frame(HEADERS, END_STREAM, 1, &good)].concat();
            for part in 0..13 {
                let last = if part == 12 { END_HEADERS } else { 0 };
                bytes.extend(frame(CONTINUATION, last, 1, &field(b"x", &[b'y'; 15_900])));
            }
            bytes
        }),
        ("a header list that unfolds", {
            // One field of 4 000 bytes is learnt, and named a thousand times.
            let learn = [&[0x40_u8][..], &field(b"x", &[b'y'; 3_900])[1..]].concat();
            [
                hello(),
                frame(HEADERS, END_STREAM | END_HEADERS, 1, &[&good[..], &learn, &[0xbe; 1_000]].concat()),
            ]
            .concat()
        }),
        (
            "a stream that is used again",
            [
                hello(),
                frame(GOAWAY, 0, 0, &[0, 0, 0, 0, 0, 0, 0, 1]),
                frame(HEADERS, END_HEADERS | END_STREAM, 0x7fff_fffe, &good),
            ]
            .concat(),
        ),
    ]);
    rows
}

/// Three streams of one connection; the one in the middle is malformed.
pub(super) fn mixed(authority: &str, cookie: &str) -> Vec<u8> {
    let authority = authority.as_bytes();
    let usual: [(&[u8], &[u8]); 4] =
        [(b":method", b"GET"), (b":scheme", b"http"), (b":authority", authority), (b":path", b"/app/")];
    let ask = |stream, fields: &[(&[u8], &[u8])]| {
        frame(HEADERS, END_STREAM | END_HEADERS, stream, &head(&usual, cookie, fields))
    };
    [hello(), ask(1, &[]), ask(3, &[(b"connection", b"x-identity-fnr")]), ask(5, &[])].concat()
}

/// What passes, in forms that only HTTP/2 has: bytes, and the targets that arrive on streams 1, 3, 5 …
pub(super) fn legitimate(authority: &str, cookie: &str) -> Vec<(&'static str, Vec<u8>, Vec<String>)> {
    let authority = authority.as_bytes();
    let head_of = |path: &str, fields: &[(&[u8], &[u8])]| {
        let usual: [(&[u8], &[u8]); 4] = [
            (b":method", b"GET"),
            (b":scheme", b"http"),
            (b":authority", authority),
            (b":path", path.as_bytes()),
        ];
        head(&usual, cookie, fields)
    };
    let ask = |stream: u32, path: &str| frame(HEADERS, END_STREAM | END_HEADERS, stream, &head_of(path, &[]));
    let one = |path: &str| vec![path.to_owned()];
    let target = |stream: u32| format!("/app/{stream}");
    let many: Vec<u32> = (0..50).map(|number| number * 2 + 1).collect();
    vec![
        (
            "host beside the same authority",
            [
                hello(),
                frame(HEADERS, END_STREAM | END_HEADERS, 1, &head_of("/app/1", &[(b"host", authority)])),
            ]
            .concat(),
            one("/app/1"),
        ),
        (
            "a header block in pieces",
            {
                let block = head_of("/app/1", &[]);
                let mut bytes = [hello(), frame(HEADERS, END_STREAM, 1, &block[..1])].concat();
                bytes.extend(frame(CONTINUATION, 0, 1, &block[1..30]));
                bytes.extend(frame(CONTINUATION, 0, 1, &[]));
                bytes.extend(frame(CONTINUATION, END_HEADERS, 1, &block[30..]));
                bytes
            },
            one("/app/1"),
        ),
        (
            "padding",
            {
                let padded = [&[5][..], &head_of("/app/1", &[]), &[0; 5]].concat();
                [hello(), frame(HEADERS, END_STREAM | END_HEADERS | 8, 1, &padded)].concat()
            },
            one("/app/1"),
        ),
        (
            "a priority",
            {
                let weighed = [&[0, 0, 0, 0, 16][..], &head_of("/app/1", &[])].concat();
                [
                    hello(),
                    frame(HEADERS, END_STREAM | END_HEADERS | 0x20, 1, &weighed),
                    frame(PRIORITY, 0, 1, &[0, 0, 0, 0, 9]),
                ]
                .concat()
            },
            one("/app/1"),
        ),
        (
            "PING, SETTINGS and unknown frames beside it",
            [
                hello(),
                frame(PING, 0, 0, &[1; 8]),
                frame(0xb, 0, 0, b"grease"),
                ask(1, "/app/1"),
                frame(SETTINGS, 1, 0, &[]),
                frame(WINDOW_UPDATE, 0, 0, &[0, 1, 0, 0]),
            ]
            .concat(),
            one("/app/1"),
        ),
        (
            "fifty streams at once",
            [hello(), many.iter().flat_map(|stream| ask(*stream, &target(*stream))).collect()].concat(),
            many.iter().map(|stream| target(*stream)).collect(),
        ),
        (
            "trailers",
            {
                let posting: [(&[u8], &[u8]); 4] = [
                    (b":method", b"POST"),
                    (b":scheme", b"http"),
                    (b":authority", authority),
                    (b":path", b"/app/1"),
                ];
                [
                    hello(),
                    frame(HEADERS, END_HEADERS, 1, &head(&posting, cookie, &[(b"trailer", b"x-sum")])),
                    frame(DATA, 0, 1, b"abc"),
                    frame(HEADERS, END_STREAM | END_HEADERS, 1, &block(&[(b"x-sum", b"1")])),
                ]
                .concat()
            },
            one("/app/1"),
        ),
        (
            "a session cookie in two lines with others",
            {
                let usual: [(&[u8], &[u8]); 6] = [
                    (b":method", b"GET"),
                    (b":scheme", b"https"),
                    (b":authority", authority),
                    (b":path", b"/app/1"),
                    (b"cookie", b"a=1"),
                    (b"cookie", b"b=2"),
                ];
                [
                    hello(),
                    frame(
                        HEADERS,
                        END_STREAM | END_HEADERS,
                        1,
                        &head(&usual, cookie, &[(b"cookie", b"c=3")]),
                    ),
                ]
                .concat()
            },
            one("/app/1"),
        ),
    ]
}

//! The store that replicas share (`design.md` D1): its addresses, who we are there, and that nobody listens in.

use std::path::PathBuf;

use super::{Circumstances, file, place};
use crate::config::raw::{RawStream, SecretPlace};
use crate::config::shape::{At, Desk};
use crate::config::{Stream, StreamServer, StreamUser};

/// The port of Redis and Valkey.
const PORT: u16 = 6379;

/// How the names of the streams begin, if nothing else is said.
const NAME: &str = "portvakt";

pub(super) fn stream(raw: &RawStream, circumstances: Circumstances, desk: &mut Desk<'_>) -> Option<Stream> {
    let plaintext = plaintext(raw, circumstances, desk);
    let given = raw.servers.as_ref()?;
    let servers: Option<Vec<_>> =
        given.value.iter().map(|server| read_server(server, plaintext, desk)).collect();
    if let Some(file) = &raw.ca_file {
        file::is_readable(file, desk);
    }
    if let Some(name) = raw.name.as_ref().filter(|name| !is_name(&name.value)) {
        desk.error(
            &name.span,
            "this is no name for streams",
            "write at most 64 letters, digits, `-`, `_`, `.` and `:`",
        );
    }
    let store_user = user(&raw.username, &raw.password, "password", desk);
    let sentinel_user = user(&raw.sentinel_username, &raw.sentinel_password, "sentinel_password", desk);
    let of_sentinels = [
        raw.sentinel_username.as_ref().map(|given| &given.span),
        raw.sentinel_password.as_ref().map(|given| &given.span),
    ];
    if let (Some(span), None) = (of_sentinels.into_iter().flatten().next(), &raw.sentinel) {
        desk.error(
            span,
            "the servers are no sentinels",
            "write the master's name as `sentinel:`, or remove it",
        );
    }
    let client = client(raw, desk);
    let text = |field: &Option<At<String>>| field.as_ref().map(|field| field.value.clone());
    let servers = servers.filter(|servers| !servers.is_empty())?;
    for (key, span) in [
        ("ca_file", raw.ca_file.as_ref().map(|given| &given.span)),
        ("client_certificate", raw.client_certificate.as_ref().map(|given| &given.span)),
    ] {
        if let Some(span) = span.filter(|_| servers.iter().all(|server| !server.tls)) {
            let fix = "write `rediss://` for each server, or remove it";
            desk.error(span, format!("`{key}` has no effect without TLS"), fix);
        }
    }
    Some(Stream {
        servers,
        sentinel: text(&raw.sentinel),
        user: store_user?,
        sentinel_user: sentinel_user?,
        client,
        ca_file: raw.ca_file.as_ref().map(|file| file.value.clone()),
        name: text(&raw.name).unwrap_or_else(|| NAME.to_owned()),
    })
}

fn user(
    name: &Option<At<String>>,
    password: &Option<At<SecretPlace>>,
    key: &str,
    desk: &mut Desk<'_>,
) -> Option<StreamUser> {
    if let (Some(name), None) = (name, password) {
        let fix = format!("add `{key}: file:PATH`");
        desk.error(&name.span, "a user without a password is not let in", fix);
    }
    let name = name.as_ref().map(|name| name.value.clone());
    let Some(place) = password else { return Some(StreamUser { name, password: None }) };
    Some(StreamUser { name, password: Some(file::secret(place, desk)?) })
}

fn client(raw: &RawStream, desk: &mut Desk<'_>) -> Option<(PathBuf, PathBuf)> {
    match (&raw.client_certificate, &raw.client_key) {
        (Some(certificate), Some(key)) => {
            let there = (file::is_readable(certificate, desk), file::is_private(key, desk));
            (there == (true, true)).then(|| (certificate.value.clone(), key.value.clone()))
        }
        (Some(alone), None) | (None, Some(alone)) => {
            let fix = "write `client_certificate:` and `client_key:`";
            desk.error(&alone.span, "a client certificate needs both its chain and its key", fix);
            None
        }
        (None, None) => None,
    }
}

/// Whether a server elsewhere may be spoken to without TLS.
fn plaintext(raw: &RawStream, circumstances: Circumstances, desk: &mut Desk<'_>) -> bool {
    let Some(given) = raw.insecure_plaintext.as_ref().filter(|given| given.value) else { return false };
    if circumstances.is_production() {
        desk.error(
            &given.span,
            "`insecure_plaintext` is not for production",
            "remove it, and write `rediss://` for each server",
        );
    }
    true
}

fn read_server(given: &At<String>, plaintext: bool, desk: &mut Desk<'_>) -> Option<StreamServer> {
    let text = given.value.as_str();
    let rest = text.strip_prefix("rediss://").map(|rest| (true, rest));
    let Some((tls, rest)) = rest.or_else(|| Some((false, text.strip_prefix("redis://")?))) else {
        desk.error(&given.span, "this is no address of a store", "write `rediss://HOST:PORT`");
        return None;
    };
    let place = match place::origin(&format!("https://{rest}")) {
        Ok(place) => place,
        Err(why) => {
            desk.error(
                &given.span,
                format!("this is no address of a store: {why}"),
                "write `rediss://HOST:PORT`; user and password have options of their own",
            );
            return None;
        }
    };
    if !tls && !plaintext && !place.is_loopback() {
        desk.error(
            &given.span,
            "whoever is between could read the password and withhold what ended",
            "write `rediss://`; for a test, `insecure_plaintext: true`",
        );
        return None;
    }
    let host = place.bare_name().to_owned();
    Some(StreamServer { host, port: place.host.port.unwrap_or(PORT), tls })
}

/// Braces would move the streams to different nodes of a cluster.
fn is_name(text: &str) -> bool {
    let is_fine = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte);
    !text.is_empty() && text.len() <= 64 && text.bytes().all(is_fine)
}

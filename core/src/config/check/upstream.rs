//! The apps: where they are, whom one trusts to be them, and how long one waits.

use std::cell::Cell;
use std::sync::Arc;

use super::place::origin;
use super::{DAY, MINUTE, SECOND, bounded, check_name, count, file, unknown_name};
use crate::app_session::{AppLogout, CookieName};
use crate::config::raw::{
    RawAffinity, RawAppLogout, RawAppLogoutMethod, RawBalance, RawFile, RawHealth, RawProtocol, RawUpstream,
};
use crate::config::shape::{At, Desk};
use crate::request::{HostName, normal_path};
use crate::upstream::{
    Affinity, Balance, ClientCertificate, HealthCheck, MAX_REQUESTS, Place, Protocol, Trust, Upstream,
};

/// The apps of a file, sound or not.
pub(super) struct Upstreams {
    known: Vec<Known>,
    /// Whether all could be read: else nobody knows which names there are.
    complete: bool,
}

struct Known {
    name: At<String>,
    upstream: Option<Arc<Upstream>>,
    used: Cell<bool>,
}

impl Upstreams {
    pub(super) fn check(file: &RawFile, desk: &mut Desk<'_>) -> Self {
        let check = |(name, raw): &(At<String>, Option<At<RawUpstream>>)| {
            check_name("an upstream", name, desk);
            let upstream = raw.as_ref().and_then(|raw| upstream(name, &raw.value, desk));
            Known { name: name.clone(), upstream: upstream.map(Arc::new), used: Cell::new(false) }
        };
        let known = file.upstreams.iter().flat_map(|raw| &raw.value.0).map(check).collect();
        let lost = file.unread.contains(&"upstreams") || file.meant.contains(&"upstreams");
        Self { known, complete: !lost }
    }

    /// The app of this name. `None` if there is none, which is said, or if it is not sound, which was.
    pub(super) fn find(&self, name: &At<String>, desk: &mut Desk<'_>) -> Option<Arc<Upstream>> {
        let Some(known) = self.known.iter().find(|known| known.name.value == name.value) else {
            if self.complete {
                unknown_name(
                    "upstream",
                    name,
                    self.known.iter().map(|known| known.name.value.as_str()),
                    desk,
                );
            }
            return None;
        };
        known.used.set(true);
        known.upstream.clone()
    }

    pub(super) fn warn_of_unused(&self, desk: &mut Desk<'_>) {
        for known in self.known.iter().filter(|known| !known.used.get()) {
            let message = format!("no route uses the upstream `{}`", known.name.value);
            desk.warn(&known.name.span, message, "remove it, or name it as a route's `upstream`");
        }
    }
}

fn upstream(name: &At<String>, raw: &RawUpstream, desk: &mut Desk<'_>) -> Option<Upstream> {
    // Everything is checked before anything is missed.
    let connect_timeout =
        bounded(raw.connect_timeout.as_ref(), 3 * SECOND, 10 * SECOND / 1000..=MINUTE, desk);
    let read_timeout = bounded(raw.read_timeout.as_ref(), MINUTE, 10 * SECOND / 1000..=DAY, desk);
    let total_timeout = bounded(raw.total_timeout.as_ref(), 60 * MINUTE, 10 * SECOND / 1000..=DAY, desk);
    let max_requests = count(raw.max_requests.as_ref(), 1..=1_000_000, desk).unwrap_or(MAX_REQUESTS);
    let app_cookies = app_cookies(raw, desk);
    let app_logout = raw.app_logout.as_ref().and_then(|logout| app_logout(logout, raw, desk));
    let health = raw.health.as_ref().map(|health| self::health(&health.value, desk));
    let (places, secure) = places(name, raw, desk)?;
    let trust = trust(raw, secure, desk);
    let protocol = protocol(raw, secure, desk);
    let affinity = match raw.affinity.as_ref().map(|given| given.value) {
        Some(RawAffinity::Session) => Affinity::Session,
        Some(RawAffinity::None) | None => Affinity::None,
    };
    let balance = match raw.balance.as_ref().map(|given| given.value) {
        Some(RawBalance::LeastLoaded) => Balance::LeastLoaded,
        Some(RawBalance::RoundRobin) | None => Balance::RoundRobin,
    };
    Some(Upstream {
        name: name.value.clone(),
        places,
        tls: secure.then_some(trust),
        protocol,
        balance,
        affinity,
        health,
        max_requests,
        connect_timeout,
        read_timeout,
        total_timeout,
        app_cookies,
        app_logout,
    })
}

/// What is spoken; what the gateway asks an app by itself it asks in HTTP/1.1 alone.
fn protocol(raw: &RawUpstream, secure: bool, desk: &mut Desk<'_>) -> Protocol {
    let Some(given) = &raw.protocol else { return Protocol::Http1 };
    let (word, other, scheme) = match given.value {
        RawProtocol::Http1 => return Protocol::Http1,
        RawProtocol::H2 => ("h2", "h2c", "http"),
        RawProtocol::H2c => ("h2c", "h2", "https"),
    };
    if secure != (word == "h2") {
        let fix = format!("write `protocol: {other}`, or change the scheme of its address");
        desk.error(&given.span, format!("`{word}` is not for an app at `{scheme}://`"), fix);
    }
    let path = raw.health.as_ref().and_then(|health| health.value.path.as_ref());
    if let Some(path) = path {
        let fix = "remove `path`: connecting is enough then";
        desk.error(&path.span, format!("no path is asked for at an app that speaks `{word}`"), fix);
    }
    if let Some(logout) = &raw.app_logout {
        let fix = "remove `app_logout`, or name another upstream of the same app that speaks HTTP/1.1";
        desk.error(&logout.span, format!("an app that speaks `{word}` cannot be asked for a logout"), fix);
    }
    Protocol::Http2
}

/// The places of `url` or `urls`, and whether they are https; all are, or none.
fn places(name: &At<String>, raw: &RawUpstream, desk: &mut Desk<'_>) -> Option<(Vec<Place>, bool)> {
    let given: Vec<&At<String>> = match (&raw.url, &raw.urls) {
        (Some(url), None) => vec![url],
        (None, Some(urls)) => urls.value.iter().collect(),
        (Some(url), Some(urls)) => {
            let line = desk.line(&url.span);
            desk.error(
                &urls.span,
                format!("`url` stands on line {line} already"),
                "put every address into `urls`, or keep `url` alone",
            );
            return None;
        }
        (None, None) if !raw.unread.is_empty() => return None,
        (None, None) => {
            desk.error(
                &name.span,
                "nothing says where this app is",
                "add `url:`, `http://host:port` or `https://host:port`, or `urls:` with several",
            );
            return None;
        }
    };
    let mut places: Vec<(Place, bool)> = Vec::new();
    for url in &given {
        let Some((place, secure)) = place(url, desk) else { continue };
        if places.iter().any(|(known, _)| *known == place) {
            let message = format!("{} is there twice", desk.quoted(&url.span));
            desk.error(&url.span, message, "keep one of the two");
        }
        if places.first().is_some_and(|(_, first)| *first != secure) {
            desk.error(
                &url.span,
                "one app is plain http at one address and https at another",
                "give all addresses the same scheme, or make two upstreams of it",
            );
        }
        places.push((place, secure));
    }
    let secure = places.first()?.1;
    Some((places.into_iter().map(|(place, _)| place).collect(), secure))
}

fn place(url: &At<String>, desk: &mut Desk<'_>) -> Option<(Place, bool)> {
    match origin(&url.value) {
        Ok(place) => Some((Place { host: place.bare_name().to_owned(), port: place.port() }, place.secure)),
        Err(why) => {
            desk.error(
                &url.span,
                format!("this is not an app's address: {why}"),
                "write `http://host:port` or `https://host:port`; the path is the request's own",
            );
            None
        }
    }
}

/// How the app's identity is verified. What speaks of TLS on plain http is an error: nobody should believe
/// in a check that is not made.
fn trust(raw: &RawUpstream, secure: bool, desk: &mut Desk<'_>) -> Trust {
    let spoken = [
        ("ca_file", raw.ca_file.as_ref().map(|given| &given.span)),
        ("client_certificate", raw.client_certificate.as_ref().map(|given| &given.span)),
        ("client_key", raw.client_key.as_ref().map(|given| &given.span)),
        ("server_name", raw.server_name.as_ref().map(|given| &given.span)),
    ];
    for (key, span) in spoken.into_iter().filter_map(|(key, span)| Some((key, span?))) {
        if !secure {
            desk.error(
                span,
                format!("`{key}` has no effect on plain http"),
                "write `https://` in `url`, or remove it",
            );
        }
    }
    if let Some(ca_file) = &raw.ca_file {
        file::is_readable(ca_file, desk);
    }
    if let Some(name) = &raw.server_name
        && !HostName::parse(&name.value).is_ok_and(|parsed| parsed.port.is_none())
    {
        let message = format!("{} is no host name", desk.quoted(&name.span));
        desk.error(&name.span, message, "write the name in the app's certificate, without a port");
    }
    let client = match (&raw.client_certificate, &raw.client_key) {
        (Some(certificate), Some(key)) => {
            let there = (file::is_readable(certificate, desk), file::is_private(key, desk));
            (there == (true, true))
                .then(|| ClientCertificate { certificate: certificate.value.clone(), key: key.value.clone() })
        }
        (Some(alone), None) | (None, Some(alone)) if raw.unread.is_empty() => {
            desk.error(
                &alone.span,
                "a client certificate needs both its chain and its key",
                "write `client_certificate:` and `client_key:`",
            );
            None
        }
        _ => None,
    };
    Trust {
        ca_file: raw.ca_file.as_ref().map(|file| file.value.clone()),
        client,
        server_name: raw.server_name.as_ref().map(|name| bare(&name.value)),
    }
}

/// As the certificate has it: without brackets and the dot of the root.
fn bare(name: &str) -> String {
    name.trim_end_matches('.').trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase()
}

fn health(raw: &RawHealth, desk: &mut Desk<'_>) -> HealthCheck {
    if let Some(path) = &raw.path {
        let (head, query) = path.value.split_once('?').unwrap_or((&path.value, ""));
        let sound = normal_path(head.as_bytes()).as_deref() == Ok(head)
            && query.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#');
        if !head.starts_with('/') || !sound {
            let message = format!("{} is no path", desk.quoted(&path.span));
            desk.error(&path.span, message, "write a path such as `/health`");
        }
    }
    if let (None, Some(status)) = (&raw.path, &raw.status) {
        desk.error(
            &status.span,
            "`status` has no effect without `path`: connecting is all that is checked",
            "add `path:`, or remove it",
        );
    }
    let statuses = raw.status.iter().flat_map(|status| &status.value).filter_map(|status| {
        let number = count(Some(status), 200..=599, desk)?;
        u16::try_from(number).ok()
    });
    let statuses: Vec<u16> = statuses.collect();
    HealthCheck {
        path: raw.path.as_ref().map(|path| path.value.clone()),
        statuses: if statuses.is_empty() { vec![200] } else { statuses },
        interval: bounded(raw.interval.as_ref(), 10 * SECOND, SECOND..=10 * MINUTE, desk),
        timeout: bounded(raw.timeout.as_ref(), 2 * SECOND, 10 * SECOND / 1000..=MINUTE, desk),
        failures: count(raw.failures.as_ref(), 1..=100, desk).unwrap_or(3),
        successes: count(raw.successes.as_ref(), 1..=100, desk).unwrap_or(2),
    }
}

/// The cookies in which the app keeps its own session.
fn app_cookies(raw: &RawUpstream, desk: &mut Desk<'_>) -> Vec<CookieName> {
    let Some(names) = &raw.app_cookies else { return Vec::new() };
    let parse = |text: &At<String>| match CookieName::parse(&text.value) {
        Ok(name) => Some(name),
        Err(why) => {
            let fix = "write a cookie's name such as `JSESSIONID`, or its beginning such as `ASPSESSIONID*`";
            desk.error(&text.span, format!("{} names no cookie: {why}", desk.quoted(&text.span)), fix);
            None
        }
    };
    names.value.iter().filter_map(parse).collect()
}

fn app_logout(logout: &At<RawAppLogout>, raw: &RawUpstream, desk: &mut Desk<'_>) -> Option<AppLogout> {
    if raw.app_cookies.is_none() && !raw.unread.contains(&"app_cookies") {
        desk.error(
            &logout.span,
            "`app_logout` has no effect without `app_cookies`: nobody's session would be named",
            "add `app_cookies: [JSESSIONID]` with the app's names, or remove it",
        );
    }
    let path = logout.value.path.as_ref()?;
    let (bare, _) = path.value.split_once('?').unwrap_or((&path.value, ""));
    let plain = path.value.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#');
    if !plain || !bare.starts_with('/') || normal_path(bare.as_bytes()).as_deref() != Ok(bare) {
        desk.error(
            &path.span,
            format!("{} is no path of an app", desk.quoted(&path.span)),
            "write a path such as `/logout`, or `/logout?all=true`",
        );
        return None;
    }
    let post = logout.value.method.as_ref().is_some_and(|method| method.value == RawAppLogoutMethod::Post);
    Some(AppLogout { target: path.value.clone(), post })
}

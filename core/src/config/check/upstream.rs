//! The apps: scheme, host and port, and how long one waits for them.

use std::cell::Cell;
use std::sync::Arc;

use super::place::origin;
use super::{DAY, MINUTE, SECOND, bounded, check_name, file, unknown_name};
use crate::app_session::{AppLogout, CookieName};
use crate::config::raw::{RawAppLogout, RawAppLogoutMethod, RawFile, RawUpstream};
use crate::config::shape::{At, Desk};
use crate::request::normal_path;
use crate::route::Upstream;

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
        Self { known, complete: file.upstreams.is_some() }
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
    let connect_timeout =
        bounded(raw.connect_timeout.as_ref(), 3 * SECOND, 10 * SECOND / 1000..=MINUTE, desk);
    let read_timeout = bounded(raw.read_timeout.as_ref(), MINUTE, 10 * SECOND / 1000..=DAY, desk);
    let app_cookies = app_cookies(raw, desk);
    let app_logout = raw.app_logout.as_ref().and_then(|logout| app_logout(logout, raw, desk));
    let url = raw.url.as_ref()?;
    let place = match origin(&url.value) {
        Ok(place) => place,
        Err(why) => {
            desk.error(
                &url.span,
                format!("this is not an app's address: {why}"),
                "write `http://host:port` or `https://host:port`; the path is the request's own",
            );
            return None;
        }
    };
    if let Some(ca_file) = &raw.ca_file {
        file::is_readable(ca_file, desk);
        if !place.secure {
            desk.error(
                &ca_file.span,
                "`ca_file` has no effect on plain http",
                "write `https://` in `url`, or remove it",
            );
        }
    }
    Some(Upstream {
        name: name.value.clone(),
        host: place.bare_name().to_owned(),
        port: place.port(),
        tls: place.secure,
        ca_file: raw.ca_file.as_ref().map(|file| file.value.clone()),
        connect_timeout,
        read_timeout,
        app_cookies,
        app_logout,
    })
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

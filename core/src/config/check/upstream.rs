//! The apps: scheme, host and port, and how long one waits for them.

use std::cell::Cell;
use std::sync::Arc;

use super::place::origin;
use super::{DAY, MINUTE, SECOND, bounded, check_name, file, unknown_name};
use crate::config::raw::{RawFile, RawUpstream};
use crate::config::shape::{At, Desk};
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
    })
}

//! What a route does with paths and sizes on the way to its app: prefixes, escaped slashes, limits.

use super::{DAY, SECOND, bounded};
use crate::config::raw::RawRoute;
use crate::config::shape::{At, Desk, Size};
use crate::request::normal_path;
use crate::rewrite::Rewrite;
use crate::route::{Limits, Pattern};

const MOST_BODY: usize = 1 << 40;

/// The route's rewrite, if it has one.
pub(super) fn rewrite(raw: &RawRoute, pattern: Option<&Pattern>, desk: &mut Desk<'_>) -> Option<Rewrite> {
    let (from, to) = match (&raw.strip_prefix, &raw.rewrite) {
        (Some(_), Some(rewrite)) => {
            desk.error(
                &rewrite.span,
                "this route has `strip_prefix` and `rewrite`",
                "keep one: `strip_prefix: /app` is `rewrite: {from: /app, to: /}`",
            );
            return None;
        }
        (Some(prefix), None) => (prefix, "/"),
        (None, Some(rewrite)) => {
            let (from, to) = (rewrite.value.from.as_ref()?, rewrite.value.to.as_ref()?);
            prefix(to, desk)?;
            (from, to.value.as_str())
        }
        (None, None) => return None,
    };
    prefix(from, desk)?;
    let bare = from.value.strip_suffix('/').unwrap_or(&from.value);
    if pattern.is_some_and(|pattern| !pattern.begins_with(bare)) {
        desk.error(
            &from.span,
            format!("not every path of this route begins with {}", desk.quoted(&from.span)),
            "write a prefix of `path`, in whole segments and without a star",
        );
        return None;
    }
    Some(Rewrite::new(&from.value, to))
}

/// Whether a text is a prefix of paths: in normal form, of whole segments.
fn prefix(text: &At<String>, desk: &mut Desk<'_>) -> Option<()> {
    let normal = normal_path(text.value.as_bytes()).as_deref() == Ok(text.value.as_str());
    if !text.value.starts_with('/') || !normal || text.value.contains(';') {
        desk.error(
            &text.span,
            format!("{} is no prefix of paths", desk.quoted(&text.span)),
            "write one such as `/app`",
        );
        return None;
    }
    Some(())
}

/// What the route allows its requests.
pub(super) fn limits(raw: &RawRoute, desk: &mut Desk<'_>) -> Limits {
    let mut time = |given: &Option<At<std::time::Duration>>| {
        given.as_ref().map(|given| bounded(Some(given), SECOND, 10 * SECOND / 1000..=DAY, desk))
    };
    let (timeout, read_timeout) = (time(&raw.timeout), time(&raw.read_timeout));
    if let Some(body) =
        raw.max_body.as_ref().filter(|body| body.value > Size(MOST_BODY) || body.value == Size(0))
    {
        desk.error(&body.span, "this size is out of bounds", "write a size from `1KiB` to `1024GiB`");
    }
    Limits { max_body: raw.max_body.as_ref().map(|body| body.value.0 as u64), timeout, read_timeout }
}

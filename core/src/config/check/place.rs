//! Origins and URLs: read strictly, in the way in which requests' hosts are read.

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::request::HostName;

/// Scheme, host and port of a URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) secure: bool,
    pub(super) host: HostName,
}

impl Place {
    /// The port, or the scheme's default.
    pub(super) fn port(&self) -> u16 {
        self.host.port.unwrap_or(if self.secure { 443 } else { 80 })
    }

    /// Whether it is this machine, whatever the resolver says.
    pub(super) fn is_loopback(&self) -> bool {
        let name = self.host.name.as_str();
        name == "localhost"
            || name.parse::<Ipv4Addr>().is_ok_and(|address| address.is_loopback())
            || self.bare_name().parse::<Ipv6Addr>().is_ok_and(|address| address.is_loopback())
    }

    /// The name; an IPv6 address without its brackets.
    pub(super) fn bare_name(&self) -> &str {
        self.host.name.trim_start_matches('[').trim_end_matches(']')
    }
}

/// Reads `scheme://host[:port]`.
pub(super) fn origin(text: &str) -> Result<Place, &'static str> {
    match url(text)? {
        (place, "") => Ok(place),
        _ => Err("it has more than scheme, host and port"),
    }
}

/// Reads `scheme://host[:port][/path]`, without query and fragment.
pub(super) fn url(text: &str) -> Result<(Place, &str), &'static str> {
    let (secure, rest) = text
        .strip_prefix("https://")
        .map(|rest| (true, rest))
        .or_else(|| Some((false, text.strip_prefix("http://")?)))
        .ok_or("it does not begin with `https://` or `http://`")?;
    let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    if path.contains(['?', '#']) {
        return Err("it has a query or a fragment");
    }
    if authority.contains('@') {
        return Err("it holds a user's name or password");
    }
    if !path.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"<>\\^`{|}".contains(&byte)) {
        return Err("it holds a character that URLs do not have");
    }
    let host = HostName::parse(authority).map_err(|_| "its host is no name or address")?;
    if host.port == Some(0) || ::url::Url::parse(text).is_err() {
        return Err("its host or port is none");
    }
    Ok((Place { secure, host }, path))
}

//! What is taken away from a request before an app sees it (`threats.md` ID-1 to ID-3, RT-7, CK-7).
//!
//! **Invariant:** two field names are the same if a usual app server maps them to the same variable.
//! RFC 3875, 4.1.18 turns `-` to `_`; PHP and others do so with every odd character. So names are compared
//! folded, and a name with anything but letters, digits and `-` is never forwarded: nobody can say under
//! which name an app would read it.

use std::collections::{BTreeSet, HashSet};

use super::preset;

/// Headers with which a client could claim another URL, method, address or user (RT-7), folded.
///
/// `x-forwarded-for`, `-proto` and `-host` and `forwarded` are written anew afterwards.
const CLAIMS: &[&str] = &[
    "client-cert",
    "client-cert-chain",
    "client-ip",
    "cf-connecting-ip",
    "cf-connecting-ipv6",
    "disguised-host",
    "fastly-client-ip",
    "fly-client-ip",
    "forwarded",
    "forwarded-for",
    "front-end-https",
    "proxy",
    "proxy-authenticate",
    "proxy-authorization",
    "remote-addr",
    "remote-host",
    "remote-user",
    "signature",
    "signature-input",
    "true-client-ip",
    "via-user",
    "x-arr-clientcert",
    "x-arr-ssl",
    "x-authenticated-user",
    "x-client-cert",
    "x-client-dn",
    "x-client-ip",
    "x-client-verify",
    "x-cluster-client-ip",
    "x-envoy-original-path",
    "x-host",
    "x-http-host-override",
    "x-http-method",
    "x-http-method-override",
    "x-method-override",
    "x-original-forwarded-for",
    "x-original-host",
    "x-original-method",
    "x-original-uri",
    "x-original-url",
    "x-proxy-user",
    "x-originating-ip",
    "x-real-ip",
    "x-remote-addr",
    "x-remote-ip",
    "x-remote-user",
    "x-rewrite-url",
    "x-scheme",
    "x-script-name",
    "x-url-scheme",
    "x-wap-profile-user",
    "x-waws-unencoded-url",
];

/// Beginnings of such names, folded: ours, those of servers that end TLS, and those of the products whose names
/// presets send.
fn begins_a_claim(name: &str) -> bool {
    let prefixes: &[&str] = match name.as_bytes().first() {
        Some(b'x') => &[
            "x-identity",
            "x-forwarded",
            "x-ssl-",
            "x-client-cert",
            "x-original-",
            "x-portvakt",
            "x-auth-request",
            "x-wonderwall",
            // Who is there, in the words of clouds in front of which the app may have stood.
            "x-amzn-oidc-",
            "x-goog-authenticated-user",
            "x-goog-iap-",
            "x-ms-client-principal",
            "x-ms-token-",
        ],
        Some(b'c') => &["cf-access-"],
        Some(b's') => &["ssl-client", "sm-", "shib-"],
        Some(b'o') => &["oidc-"],
        _ => &[],
    };
    prefixes.iter().any(|prefix| name.starts_with(prefix))
}

/// The names that only the gateway may write, on any route of the configuration.
#[derive(Clone, Debug, Default)]
pub struct Reserved {
    /// Everything that a client may not send.
    folded: HashSet<String>,
    /// Of that, the names under which apps are told who is there.
    identity: HashSet<String>,
    /// The same as they are written, in lower case.
    written: BTreeSet<String>,
}

impl Reserved {
    /// The reserved names of the contract and of every preset, and those that routes give their headers.
    #[must_use]
    pub fn new<'a>(route_headers: impl IntoIterator<Item = &'a str>) -> Self {
        let claims = CLAIMS.iter().map(|name| (*name).to_owned());
        let presets = preset::every_name().map(str::to_ascii_lowercase);
        let routes = route_headers.into_iter().map(str::to_ascii_lowercase);
        let written: BTreeSet<String> = presets.chain(routes).collect();
        let identity: HashSet<String> = written.iter().map(|name| fold(name)).collect();
        Self { folded: claims.chain(identity.iter().cloned()).collect(), identity, written }
    }

    /// The names under which some app is told who is there, on whatever route and by whatever preset, in lower case.
    pub fn identity_names(&self) -> impl Iterator<Item = &str> {
        self.written.iter().map(String::as_str)
    }

    /// Whether a field of this name, from a client or an app, is taken away.
    #[must_use]
    pub fn takes_away(&self, name: &str) -> bool {
        if !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
            return true;
        }
        let reserved = |name: &str| self.folded.contains(name) || begins_a_claim(name);
        // Parsed names are lower case already; a fold would allocate.
        if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
            reserved(&name.to_ascii_lowercase())
        } else {
            reserved(name)
        }
    }

    /// Whether a field of an app's reply is taken away: identity is not for browsers (ID-10).
    #[must_use]
    pub fn takes_away_from_reply(&self, name: &str) -> bool {
        let reserved = |name: &str| name.starts_with("x-identity") || self.identity.contains(name);
        // Most names are folded already; a fold would allocate.
        if name.bytes().all(is_folded) { reserved(name) } else { reserved(&fold(name)) }
    }
}

fn is_folded(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-'
}

/// A name as the most careless app server would compare it.
fn fold(name: &str) -> String {
    name.bytes()
        .map(|byte| if byte.is_ascii_alphanumeric() { char::from(byte.to_ascii_lowercase()) } else { '-' })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_of_a_reserved_name_is_taken_away() {
        let reserved = Reserved::new(["X-Pid", "OIDC_CLAIM_pid", "MyUser"]);
        for name in [
            "X-Identity-Fnr",
            "x-identity-fnr",
            "X_Identity_Fnr",
            "X-Identity_Fnr",
            "x.identity.fnr",
            "X-IDENTITY-ANYTHING",
            "x-identity",
            "X~Identity~Fnr",
            "x|identity-fnr",
            "X-Pid",
            "x_pid",
            "oidc-claim-pid",
            "OIDC_CLAIM_PID",
            "myuser",
            "X-Forwarded-For",
            "x-forwarded-user",
            "Forwarded",
            "X-Original-URL",
            "X-HTTP-Method-Override",
            "Proxy",
            "Signature",
            "signature-input",
            "Client-IP",
            "X-Remote-Addr",
            "X-Envoy-Original-Path",
            "X-Ms-Client-Principal-Id",
            "CF-Access-Authenticated-User-Email",
            "X-SSL-Client-DN",
            "Transfer_Encoding",
            "a_b",
            "x!y",
        ] {
            assert!(reserved.takes_away(name), "{name}");
        }
    }

    #[test]
    fn what_an_app_needs_stays() {
        let reserved = Reserved::new(["X-Pid"]);
        for name in [
            "accept",
            "Accept-Language",
            "content-type",
            "x-requested-with",
            "x-csrf-token",
            "authorization",
            "x-pidgin",
            "sec-websocket-key",
            "origin",
            "referer",
            "x-identify",
            "traceparent",
            "signatures",
            "if-none-match",
        ] {
            assert!(!reserved.takes_away(name), "{name}");
        }
    }

    #[test]
    fn an_app_cannot_send_identity_outwards() {
        let reserved = Reserved::new(["X-Pid"]);
        for name in ["X-Identity-Fnr", "x_identity_fnr", "X-PID", "x_pid"] {
            assert!(reserved.takes_away_from_reply(name), "{name}");
        }
        for name in ["set-cookie", "signature", "x-forwarded-for", "a_b"] {
            assert!(!reserved.takes_away_from_reply(name), "{name}");
        }
    }
}

//! What a running process cannot take up: addresses, threads and files that it has opened once.
//!
//! **Invariant:** after a reload these settings say what is in force, not what the file says; and whoever changed one
//! is told that it needs a restart (`threats.md` OM-2).

use std::net::SocketAddr;
use std::path::PathBuf;

use portvakt_core::config::{Configuration, FrontLimits, Listener, Stream, Transport};

/// These settings, as the process was started.
#[derive(Debug)]
pub(crate) struct Fixed {
    listeners: Vec<Listener>,
    admin: SocketAddr,
    threads: Option<usize>,
    limits: FrontLimits,
    revocation_file: PathBuf,
    handover_socket: PathBuf,
}

impl Fixed {
    pub(crate) fn of(configuration: &Configuration) -> Self {
        Self {
            listeners: configuration.listeners.clone(),
            admin: configuration.admin,
            threads: configuration.threads,
            limits: configuration.limits.clone(),
            revocation_file: configuration.revocation.file.clone(),
            handover_socket: configuration.handover_socket.clone(),
        }
    }

    /// Puts what is in force in the place of what the file says; the names of the settings where that differs.
    /// `stream`: the store in force, with who we are there.
    pub(crate) fn impose(
        &self,
        configuration: &mut Configuration,
        stream: &Option<Stream>,
    ) -> Vec<&'static str> {
        let Configuration { listeners, admin, threads, limits, revocation, handover_socket, .. } =
            configuration;
        let mut differ = Vec::new();
        let mut note = |name, differs: bool| {
            if differs {
                differ.push(name);
            }
        };
        note("listeners", self.impose_listeners(listeners));
        note("admin", replaced(admin, &self.admin));
        note("threads", replaced(threads, &self.threads));
        // These two are judged by request.
        let (requests, logins) = (limits.requests, limits.logins);
        note("limits", replaced(limits, &FrontLimits { requests, logins, ..self.limits.clone() }));
        note("revocation.file", replaced(&mut revocation.file, &self.revocation_file));
        let is_there = is_same_store(stream.as_ref(), revocation.stream.as_ref());
        note("revocation.stream", !is_there && replaced(&mut revocation.stream, stream));
        note("handover_socket", replaced(handover_socket, &self.handover_socket));
        differ
    }

    /// Which load balancers are believed is judged by request, and certificates by handshake, so that they are taken up.
    fn impose_listeners(&self, given: &mut Vec<Listener>) -> bool {
        let still = |ours: &Listener| given.iter().find(|given| is_same_place(given, ours));
        let in_force: Vec<Listener> =
            self.listeners.iter().map(|ours| still(ours).unwrap_or(ours).clone()).collect();
        let differs =
            given.len() != in_force.len() || self.listeners.iter().any(|ours| still(ours).is_none());
        *given = in_force;
        differs
    }
}

/// Whether they differ at most in who we are there, which counts from the next connection on. Another store's user and secret
/// are for that store: this one would refuse them, and should not learn them.
fn is_same_store(ours: Option<&Stream>, given: Option<&Stream>) -> bool {
    ours.zip(given).is_some_and(|(ours, given)| {
        let (user, sentinel_user) = (given.user.clone(), given.sentinel_user.clone());
        Stream { user, sentinel_user, ..ours.clone() } == *given
    })
}

fn replaced<T: Clone + PartialEq>(given: &mut T, in_force: &T) -> bool {
    let differs = given != in_force;
    given.clone_from(in_force);
    differs
}

fn is_same_place(one: &Listener, other: &Listener) -> bool {
    let transports = match (&one.transport, &other.transport) {
        (Transport::BehindLoadBalancer(_), Transport::BehindLoadBalancer(_))
        | (Transport::Tls { .. }, Transport::Tls { .. }) => true,
        (one, other) => one == other,
    };
    one.address == other.address
        && transports
        // Who sends PROXY headers is judged where connections are accepted, and so are these.
        && one.proxy_protocol == other.proxy_protocol
        && one.h2c == other.h2c
        && one.connections_per_client == other.connections_per_client
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use portvakt_core::config;

    use super::*;

    fn configuration(listeners: &str, rest: &str) -> Configuration {
        let text = format!(
            "version: 1\nenvironment: test\nlogs: {{audit: off}}\nlisteners: [{listeners}]\nkeys: keys\n{rest}\n\
             providers: {{op: {{profile: idporten, client_id: c}}}}\nupstreams: {{app: {{url: 'http://127.0.0.1:9'}}}}\n\
             hosts: [{{origin: 'https://a.example', provider: op, routes: [{{path: /, access: public, upstream: app}}]}}]\n"
        );
        let loaded = config::parse(&text, "gateway.yaml", Path::new(""), &|_| None);
        loaded.unwrap_or_else(|problems| panic!("{problems}")).configuration
    }

    const BEHIND: &str = "{address: '0.0.0.0:80', load_balancers: [10.0.0.0/8]}";

    #[test]
    fn what_cannot_be_taken_up_stays_as_it_was_and_is_named() {
        let fixed = Fixed::of(&configuration(BEHIND, ""));
        for (listeners, rest, differ) in [
            (BEHIND, "", &[][..]),
            (BEHIND, "revocation: {max_lag: 2s, max_gap: 30s}\ndrain: 7s", &[]),
            (BEHIND, "revocation: {file: other.log}", &["revocation.file", "handover_socket"]),
            (BEHIND, "revocation: {stream: {servers: ['redis://127.0.0.1']}}", &["revocation.stream"]),
            (BEHIND, "threads: 3\nadmin: {address: '127.0.0.1:1'}", &["admin", "threads"]),
            (BEHIND, "limits: {connections: 77}", &["limits"]),
            (BEHIND, "handover_socket: other/socket", &["handover_socket"]),
            ("{address: '0.0.0.0:81', load_balancers: [10.0.0.0/8]}", "", &["listeners"]),
            ("{address: '0.0.0.0:80', load_balancers: [10.0.0.0/8], h2c: true}", "", &["listeners"]),
        ] {
            let mut given = configuration(listeners, rest);
            assert_eq!(fixed.impose(&mut given, &None), differ, "{listeners} {rest}");
            assert_eq!((&given.listeners, given.admin), (&fixed.listeners, fixed.admin));
            assert_eq!((given.threads, &given.limits), (fixed.threads, &fixed.limits));
            assert_eq!(given.revocation.file, fixed.revocation_file);
        }
    }

    #[test]
    fn limits_of_requests_are_taken_up() {
        let fixed = Fixed::of(&configuration(BEHIND, ""));
        let mut given = configuration(BEHIND, "limits: {requests: 77, logins: {requests: 5}}");
        let wanted = given.limits.clone();
        assert_eq!(fixed.impose(&mut given, &None), Vec::<&str>::new());
        assert_eq!(given.limits, wanted);
    }

    #[test]
    fn who_we_are_at_the_store_is_taken_up_and_where_it_is_is_not() {
        let given_as = |user: &str, keys: &str| {
            let stream = format!("revocation: {{stream: {{servers: ['redis://127.0.0.1']{keys}}}}}");
            let mut given = configuration(BEHIND, &stream);
            given.revocation.stream.iter_mut().for_each(|stream| stream.user.name = Some(user.to_owned()));
            given
        };
        let first = given_as("one", "");
        let fixed = Fixed::of(&first);
        let mut in_force = first.revocation.stream;
        // Another store's secret is not shown to this one, and who we became here before, we stay.
        for (user, keys, differ, becomes) in [
            ("two", "", &[][..], "two"),
            ("three", ", sentinel: m", &["revocation.stream"], "two"),
            ("three", ", name: other", &["revocation.stream"], "two"),
            ("three", "", &[], "three"),
        ] {
            let mut given = given_as(user, keys);
            assert_eq!(fixed.impose(&mut given, &in_force), differ, "{user}{keys}");
            in_force = given.revocation.stream;
            let taken = in_force.as_ref().unwrap();
            assert_eq!((taken.user.name.as_deref(), taken.sentinel.as_deref()), (Some(becomes), None));
        }
    }

    #[test]
    fn who_sends_proxy_headers_stays_until_a_restart() {
        let behind = |network: &str| {
            format!("{{address: '0.0.0.0:80', load_balancers: [{network}], proxy_protocol: v2}}")
        };
        let fixed = Fixed::of(&configuration(&behind("10.0.0.0/8"), ""));
        let mut given = configuration(&behind("192.0.2.0/24"), "");
        assert_eq!(fixed.impose(&mut given, &None), ["listeners"]);
        assert_eq!(given.listeners, fixed.listeners);
    }

    #[test]
    fn another_load_balancer_is_believed_at_once() {
        let fixed = Fixed::of(&configuration(BEHIND, ""));
        let mut given = configuration("{address: '0.0.0.0:80', load_balancers: [192.0.2.0/24]}", "");
        let wanted = given.listeners.clone();
        assert_eq!(fixed.impose(&mut given, &None), Vec::<&str>::new());
        assert_eq!(given.listeners, wanted);
    }
}

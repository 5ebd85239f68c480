//! The configuration file of a world: the demo's routes, and what a scenario changes.

use super::app::{App, Tally};

/// What a scenario may change before its world starts, or before a reload.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// Further keys of the listener, in flow style.
    pub(crate) listener: String,
    /// Further listeners, in flow style.
    pub(crate) listeners: Vec<String>,
    /// The value of `session:`.
    pub(crate) session: String,
    /// Further lines at the top level.
    pub(crate) top: String,
    /// How long it serves on after SIGTERM.
    pub(crate) drain_delay: String,
    /// Further keys of the provider, one for each line, without indentation.
    pub(crate) provider: Vec<String>,
    /// Further providers: lines of the mapping, indented by two. `{simulator}` stands for its origin.
    pub(crate) providers: String,
    /// The routes, one for each line, in flow style. Others may be added in front or behind.
    pub(crate) routes: Vec<String>,
    /// Further upstreams, one for each line, in flow style.
    pub(crate) upstreams: Vec<String>,
    /// Apps besides the world's own, whose requests count too.
    pub(crate) others: Vec<Tally>,
    /// Further hosts: lines of the list, indented by two.
    pub(crate) hosts: String,
    /// Whether the simulator runs when the gateway starts.
    pub(crate) provider_is_up: bool,
    /// Further keys of the upstream `app`, in flow style, each with a comma before it.
    pub(crate) app: String,
    /// The client at the provider.
    pub(crate) client_id: String,
    /// Whether its logins there bring refresh tokens.
    pub(crate) refreshes: bool,
    /// The profile of the provider.
    pub(crate) profile: &'static str,
    /// Which of the simulator's issuers it is: the path below its origin, without slash.
    pub(crate) issuer_path: &'static str,
    /// The issuer, if it is not the simulator's.
    pub(crate) issuer: Option<String>,
}

impl Default for Settings {
    fn default() -> Self {
        let routes = [
            "{path: /, access: public, upstream: app}",
            "{path: '/public/**', access: public, upstream: app}",
            "{path: '/optional/**', access: optional, upstream: app}",
            "{path: '/app/**', access: login, require: {level: substantial}, upstream: app}",
            "{path: '/high/**', access: login, require: {level: high}, upstream: app}",
            "{path: '/eu/**', access: login, require: {level: substantial, kinds: [national, eidas]}, upstream: app}",
        ];
        Self {
            listener: String::new(),
            listeners: Vec::new(),
            session: "{idle: 30m, absolute: 120m}".to_owned(),
            top: String::new(),
            drain_delay: "0s".to_owned(),
            provider: Vec::new(),
            providers: String::new(),
            routes: routes.map(str::to_owned).to_vec(),
            upstreams: Vec::new(),
            others: Vec::new(),
            hosts: String::new(),
            provider_is_up: true,
            app: String::new(),
            client_id: "portvakt-demo".to_owned(),
            refreshes: false,
            profile: "idporten",
            issuer_path: "idporten",
            issuer: None,
        }
    }
}

/// Where everything is.
pub(super) struct Places {
    pub(super) port: u16,
    pub(super) admin: u16,
    pub(super) app: u16,
    pub(super) issuer: String,
    pub(super) simulator: String,
}

impl Settings {
    /// With another of the simulator's issuers as the provider, which keeps its name, and no routes but these:
    /// a file that asks a provider for what it never asserts is refused.
    pub(crate) fn at(mut self, profile: &'static str, issuer_path: &'static str, routes: &[&str]) -> Self {
        (self.profile, self.issuer_path) = (profile, issuer_path);
        self.routes = routes.iter().copied().map(str::to_owned).collect();
        self
    }

    /// With one more route.
    pub(crate) fn route(mut self, route: &str) -> Self {
        self.routes.push(route.to_owned());
        self
    }

    /// With one more key of the provider.
    pub(crate) fn provider(mut self, line: &str) -> Self {
        self.provider.push(line.to_owned());
        self
    }

    /// With one more key of the upstream `app`.
    pub(crate) fn app(mut self, key: &str) -> Self {
        self.app.push_str(", ");
        self.app.push_str(key);
        self
    }

    /// With one more upstream.
    pub(crate) fn upstream(mut self, line: impl Into<String>) -> Self {
        self.upstreams.push(line.into());
        self
    }

    /// With apps whose requests count too.
    pub(crate) fn also<'a>(mut self, apps: impl IntoIterator<Item = &'a App>) -> Self {
        self.others.extend(apps.into_iter().map(App::tally));
        self
    }

    /// With further keys of the listener.
    pub(crate) fn listener(mut self, keys: &str) -> Self {
        self.listener = format!(", {keys}");
        self
    }

    /// With one more listener.
    pub(crate) fn also_at(mut self, listener: String) -> Self {
        self.listeners.push(listener);
        self
    }

    /// With other limits of the session.
    pub(crate) fn session(mut self, session: &str) -> Self {
        self.session = session.to_owned();
        self
    }

    /// With another time to serve on after SIGTERM.
    pub(crate) fn drain_delay(mut self, delay: &str) -> Self {
        self.drain_delay = delay.to_owned();
        self
    }

    /// With one more line at the top level.
    pub(crate) fn top(mut self, line: &str) -> Self {
        self.top.push_str(line);
        self.top.push('\n');
        self
    }

    pub(super) fn yaml(&self, places: &Places) -> String {
        let Places { port, admin, app, issuer, simulator } = places;
        let Self {
            listener,
            session,
            top,
            drain_delay,
            hosts,
            providers,
            client_id,
            profile,
            app: keys_of_app,
            ..
        } = self;
        let issuer = self.issuer.as_ref().unwrap_or(issuer);
        let providers = providers.replace("{simulator}", simulator);
        let provider: String = self.provider.iter().map(|line| format!("    {line}\n")).collect();
        let upstreams: String = self.upstreams.iter().map(|line| format!("  {line}\n")).collect();
        let listeners: String = self.listeners.iter().map(|listener| format!(", {listener}")).collect();
        let routes: String = self.routes.iter().map(|line| format!("      - {line}\n")).collect();
        format!(
            "version: 1\n\
             environment: test\n\
             insecure_http_loopback: true\n\
             listeners: [{{address: '127.0.0.1:{port}'{listener}}}{listeners}]\n\
             admin: {{address: '127.0.0.1:{admin}'}}\n\
             keys: keys\n\
             threads: 2\n\
             drain: 5s\n\
             drain_delay: {drain_delay}\n\
             session: {session}\n\
             logs: {{access: stdout, audit: {{file: audit.log}}}}\n\
             {top}\
             providers:\n  \
               idporten:\n    \
                 profile: {profile}\n    \
                 issuer: '{issuer}'\n    \
                 client_id: {client_id}\n{provider}{providers}\
             upstreams:\n  \
               app: {{url: 'http://127.0.0.1:{app}'{keys_of_app}}}\n{upstreams}\
             hosts:\n  \
               - origin: 'http://localhost:{port}'\n    \
                 provider: idporten\n    \
                 routes:\n{routes}{hosts}"
        )
    }
}

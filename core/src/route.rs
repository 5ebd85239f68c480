//! Which rule governs a request: the most specific path of the host, whatever the order in the file
//! (`design.md` D5; `threats.md` 2).
//!
//! A pattern is an exact path (`/help`), or everything below one (`/app/**`, which covers `/app` and
//! `/app/` too). `*` stands for one whole segment. An exact pattern covers its twin with a slash at the
//! end, unless the file names that twin.
//!
//! **Invariant:** a path that an app could read as another route's path is refused, not matched: with
//! path parameters cut off (`/admin;x/secret`), or with its letters folded (`/ADMIN/secret`); see `reading`.

mod matcher;
mod reading;

use std::cmp::Ordering;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderValue, Method};

use crate::access::Access;
use crate::app_session::AppSession;
use crate::brand::Brand;
use crate::clock::Timestamp;
use crate::cors::Cors;
use crate::cross_site::CrossSite;
use crate::forward::HeaderPlan;
use crate::forward::assertion::AssertionPlan;
use crate::forward::signature::SignaturePlan;
use crate::identity::{Representation, RepresentationId};
use crate::redirect::Target;
use crate::request::{HostName, NormalRequest, normal_path, request_path};
use crate::rewrite::Rewrite;
use crate::session::Session;
use crate::session::plan::{Realm, SessionPlan};
use crate::upstream::Upstream;
use crate::way::Way;

use self::matcher::Matcher;

/// The methods of a route that names none (RFC 9110, 9; `threats.md` HTTP-9).
pub const USUAL_METHODS: [Method; 7] =
    [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::PATCH, Method::DELETE, Method::OPTIONS];

/// A slash that some apps decode and others do not, as the normal form has it.
const ENCODED_SLASH: &str = "%2F";

/// A path pattern.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Pattern {
    /// The segments before a final `**`; `*` is any one segment.
    segments: Vec<String>,
    /// Whether the pattern ends in `/**`.
    below: bool,
}

/// Why a text is no pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// It does not begin with a slash.
    #[error("a path begins with `/`")]
    NoSlash,
    /// It is not in normal form: no request could match it.
    #[error("no request has this path: it has an escape, dot segment, empty segment, `;` or odd character")]
    NotNormal,
    /// A star that is not a whole segment, or `**` before the end.
    #[error("`*` stands for one whole segment, and `**` only at the end")]
    Star,
}

impl Pattern {
    /// Parses `/a/b`, `/a/*/c` or `/a/**`.
    ///
    /// # Errors
    ///
    /// [`PatternError`] says what is wrong.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        let rest = text.strip_prefix('/').ok_or(PatternError::NoSlash)?;
        let (rest, below) = match rest.strip_suffix("**") {
            Some("") => ("", true),
            Some(head) => (head.strip_suffix('/').ok_or(PatternError::Star)?, true),
            None => (rest, false),
        };
        let segments: Vec<String> =
            if below && rest.is_empty() { Vec::new() } else { rest.split('/').map(str::to_owned).collect() };
        for (at, segment) in segments.iter().enumerate() {
            let last = at + 1 == segments.len();
            let normal = !segment.contains(';') && normal_path(segment.as_bytes()).as_deref() == Ok(segment);
            match segment.as_str() {
                "*" => {}
                "" if last && !below => {}
                "" | "." | ".." => return Err(PatternError::NotNormal),
                _ if segment.contains('*') => return Err(PatternError::Star),
                _ if !normal => return Err(PatternError::NotNormal),
                _ => {}
            }
        }
        Ok(Self { segments, below })
    }

    /// Whether every path of this pattern begins with the literal segments of `prefix`, which has no slash at
    /// its end.
    #[must_use]
    pub fn begins_with(&self, prefix: &str) -> bool {
        let mut segments = self.segments.iter();
        prefix
            .split('/')
            .skip(1)
            .all(|wanted| wanted != "*" && segments.next().is_some_and(|segment| segment == wanted))
    }

    /// A path that it governs, at its beginning: a segment for each star, and nothing below.
    #[must_use]
    pub fn sample(&self) -> String {
        let segments: Vec<&str> =
            self.segments.iter().map(|segment| if segment == "*" { "portvakt" } else { segment }).collect();
        let below = if self.below && !segments.is_empty() { "/" } else { "" };
        format!("/{}{below}", segments.join("/"))
    }

    /// The same as [`reading`] has paths.
    fn folded(&self) -> Self {
        let fold = |segment: &String| match segment.as_str() {
            "*" => "*".to_owned(),
            literal => reading::folded(literal),
        };
        Self { segments: self.segments.iter().map(fold).collect(), below: self.below }
    }

    /// Whether every path of `other` is one of this pattern's paths too.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        let prefix =
            self.segments.iter().zip(&other.segments).all(|(ours, theirs)| ours == "*" || ours == theirs);
        prefix
            && if self.below {
                other.segments.len() >= self.segments.len()
            } else {
                !other.below && other.segments.len() == self.segments.len()
            }
    }

    /// Whether some path is one of both patterns.
    fn meets(&self, other: &Self) -> bool {
        let may_be_same = |(ours, theirs): (&String, &String)| ours == "*" || theirs == "*" || ours == theirs;
        self.segments.iter().zip(&other.segments).all(may_be_same)
            && match self.segments.len().cmp(&other.segments.len()) {
                Ordering::Less => self.below,
                Ordering::Equal => true,
                Ordering::Greater => other.below,
            }
    }

    /// Of two patterns that meet, the less governs the paths of both: read from the left, a literal segment goes before a star, and a
    /// star before a tail.
    fn rank(&self) -> Vec<u8> {
        let segments = self.segments.iter().map(|segment| u8::from(segment == "*"));
        segments.chain(self.below.then_some(2)).collect()
    }

    /// The patterns of the matcher that this one stands for, the first being its own.
    fn matcher_patterns(&self) -> Vec<String> {
        let segment = |(at, text): (usize, &String)| match text.as_str() {
            "*" => format!("/{{s{at}}}"),
            text => format!("/{text}"),
        };
        let base: String = self.segments.iter().enumerate().map(segment).collect();
        match (self.below, base.as_str()) {
            (true, "") => vec!["/{*below}".into(), "/".into()],
            (true, _) => vec![format!("{base}/{{*below}}"), base.clone(), format!("{base}/")],
            (false, _) if base.ends_with('/') => vec![base],
            (false, _) => vec![base.clone(), format!("{base}/")],
        }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for segment in &self.segments {
            write!(f, "/{segment}")?;
        }
        f.write_str(if self.below { "/**" } else { "" })
    }
}

/// Which requests prolong a session (`design.md` D12).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Activity {
    /// Navigations and unsafe methods.
    #[default]
    Navigation,
    /// Every request.
    Any,
}

/// What happens when the view of ended sessions is stale (`design.md` D1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Staleness {
    /// 503 until it recovers.
    #[default]
    Strict,
    /// Go on, and say so in the metrics.
    Available,
}

/// How often one client may ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// So many requests,
    pub requests: u32,
    /// in this time;
    pub per: Duration,
    /// and so many at once.
    pub burst: u32,
}

/// What people are told of a route that is closed for now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Maintenance {
    /// A sentence of the operators' own.
    pub message: Option<Arc<str>>,
    /// When it shall be open again.
    pub until: Option<Timestamp>,
}

/// What browsers are told of a route's replies where the app says nothing of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SecurityHeaders {
    /// Nothing.
    #[default]
    Off,
    /// What hardly any app minds.
    Basic,
    /// What an app must be ready for.
    Strict,
}

/// Who carries a route's requests to its app.
#[derive(Clone, Debug)]
pub enum Carrier {
    /// The gateway.
    Gateway(Arc<Upstream>),
    /// A reverse proxy, which asks whether it may (`crate::forward_auth`): the gateway says who it is, and sends
    /// nothing itself.
    AskingProxy,
}

/// Which `Host` the app sees.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum UpstreamHost {
    /// As received.
    #[default]
    Keep,
    /// The upstream's own name.
    Upstream,
    /// This one.
    Named(String),
}

/// What requests of a route are allowed; `None`: as much as elsewhere.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// The most bytes of a body.
    pub max_body: Option<u64>,
    /// Time for a whole request.
    pub timeout: Option<Duration>,
    /// Time to the first byte of a reply, and between two reads.
    pub read_timeout: Option<Duration>,
}

/// WebSockets of a route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebSockets {
    /// How long one may be silent in both directions.
    pub idle: Duration,
    /// The origins whose pages may open one, besides the host's own; as browsers write them.
    pub origins: Vec<String>,
}

/// Where a rule stands in the file: the lines of its keys, from 1.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lines(Vec<(&'static str, usize)>);

impl Lines {
    /// Of keys and their lines.
    #[must_use]
    pub fn new(lines: Vec<(&'static str, usize)>) -> Self {
        Self(lines)
    }

    /// The line of a key; `None` if the rule leaves it out.
    #[must_use]
    pub fn of(&self, key: &str) -> Option<usize> {
        self.0.iter().find(|(known, _)| *known == key).map(|(_, line)| *line)
    }
}

/// One rule.
#[derive(Clone, Debug)]
pub struct Route {
    /// Where it stands in the file.
    pub lines: Lines,
    /// The route's name in logs and metrics: host and pattern.
    pub name: String,
    /// The paths that it governs.
    pub pattern: Pattern,
    /// The methods that it governs; `None`: the [`USUAL_METHODS`].
    pub methods: Option<Vec<Method>>,
    /// Who may pass.
    pub access: Access,
    /// As whose session a request is judged; on a public route, where nobody is, the host's own.
    pub session: Option<Arc<SessionPlan>>,
    /// The ways in between which people choose; empty: there is one, its session's. Their sessions are no two of one
    /// provider, and the first is the route's own.
    pub ways: Vec<Way>,
    /// Who carries its requests.
    pub carrier: Carrier,
    /// Which `Host` the app sees.
    pub host: UpstreamHost,
    /// The prefix that the app does not know, if there is one.
    pub rewrite: Option<Rewrite>,
    /// Whether an escaped slash is passed on.
    pub encoded_slash: bool,
    /// What its requests are allowed.
    pub limits: Limits,
    /// What the app is told, and under which names.
    pub headers: Arc<HeaderPlan>,
    /// What its assertions say, if its app gets any.
    pub assertion: Option<Arc<AssertionPlan>>,
    /// How its requests are signed, if they are.
    pub signature: Option<Arc<SignaturePlan>>,
    /// Whether the signatures that a client brings itself reach the app.
    pub client_signatures: bool,
    /// Whether its app is said to refuse what carries no proof of ours.
    pub verified: bool,
    /// Whether the app gets the person's access token at the provider.
    pub access_token: bool,
    /// The session that the app keeps itself, if it keeps one.
    pub app_session: Option<Arc<AppSession>>,
    /// How often one client may ask; `None`: as often as it likes.
    pub rate: Option<Rate>,
    /// What people are told if the operators have closed it for now.
    pub maintenance: Option<Maintenance>,
    /// Which requests of other origins' pages it takes.
    pub cross_site: CrossSite,
    /// Which scripts of other origins may read its replies.
    pub cors: Cors,
    /// What browsers are told beyond the app's own words.
    pub security_headers: SecurityHeaders,
    /// Which requests prolong the session.
    pub activity: Activity,
    /// What happens while the view of ended sessions is stale.
    pub revocation: Staleness,
    /// Whether replies to logged-in requests may be cached as the app says.
    pub keep_cache_control: bool,
    /// Whether it may open WebSockets; `None`: never.
    pub websocket: Option<WebSockets>,
}

impl Route {
    /// As whose sessions a request may be judged, each once: of several that a browser holds the latest counts.
    pub fn plans(&self) -> impl Iterator<Item = &Arc<SessionPlan>> {
        let ways = self.ways.iter().map(|way| &way.plan);
        let own = self.session.iter().filter(|_| self.ways.is_empty());
        let mut known: Vec<Realm> = Vec::new();
        own.chain(ways).filter(move |plan| {
            let is_new = !known.contains(&plan.realm());
            known.push(plan.realm());
            is_new
        })
    }

    /// Which of its sessions somebody holds who has logged in for it.
    #[must_use]
    pub fn plan_of(&self, session: &Session) -> Option<&Arc<SessionPlan>> {
        if self.ways.is_empty() {
            return self.session.as_ref();
        }
        self.plans().find(|plan| plan.provider.name == session.identity().provider())
    }

    /// The app to which the gateway sends its requests; `None` where it sends none.
    #[must_use]
    pub fn upstream(&self) -> Option<&Arc<Upstream>> {
        match &self.carrier {
            Carrier::Gateway(upstream) => Some(upstream),
            Carrier::AskingProxy => None,
        }
    }

    /// Whether the gateway is only asked about its requests.
    #[must_use]
    pub fn is_forward_auth(&self) -> bool {
        matches!(self.carrier, Carrier::AskingProxy)
    }

    /// Whether `Authorization` is the gateway's own there: no client's ever passes.
    #[must_use]
    pub fn writes_authorization(&self) -> bool {
        self.access_token || self.headers.is_bearer()
    }

    /// The methods that the route governs.
    #[must_use]
    pub fn methods(&self) -> &[Method] {
        self.methods.as_deref().unwrap_or(&USUAL_METHODS)
    }

    /// Whether its app is told what it may keep of people: a match key or a pseudonym.
    #[must_use]
    pub fn tells_what_lasts(&self) -> bool {
        self.access.wants_session() && self.headers.tells_what_lasts()
    }
}

/// A public host: its origin, its sessions, its routes.
#[derive(Debug)]
pub struct Host {
    /// `scheme://host[:port]`, as browsers write it: the base of every URL that we make.
    pub origin: Origin,
    /// The host where a provider's answers for this one come (`design.md` D13); `None`: here.
    pub auth_host: Option<Origin>,
    /// `Strict-Transport-Security` for the apps' replies (RFC 6797); `None` for plain http, or by choice.
    pub hsts: Option<HeaderValue>,
    /// The sessions that its routes ask for, the host's own first; empty if no route needs one.
    pub sessions: Vec<Arc<SessionPlan>>,
    /// The customer of ours on whose behalf people log in here (dossier 2.10).
    pub onbehalfof: Option<String>,
    /// How our pages look here.
    pub brand: Arc<Brand>,
    /// The rules.
    pub routes: Routes,
}

impl Host {
    /// Where a provider's answers come to: what is registered there (`design.md` D13).
    #[must_use]
    pub fn answered_at(&self) -> &Origin {
        self.auth_host.as_ref().unwrap_or(&self.origin)
    }
}

/// An origin as RFC 6454 has it, from the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// Whether it is `https`.
    pub secure: bool,
    /// Host name, lower case.
    pub name: String,
    /// Port; the scheme's default if the file names none.
    pub port: u16,
}

impl Origin {
    /// Whether a request for `host` is one for this origin; the scheme's default port may be left out.
    #[must_use]
    pub fn is(&self, host: &HostName) -> bool {
        self.name == host.name && host.port.unwrap_or(self.default_port()) == self.port
    }

    /// `host[:port]`, as browsers write it in `Host`.
    #[must_use]
    pub fn authority(&self) -> String {
        if self.port == self.default_port() {
            self.name.clone()
        } else {
            format!("{}:{}", self.name, self.port)
        }
    }

    fn default_port(&self) -> u16 {
        if self.secure { 443 } else { 80 }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", if self.secure { "https" } else { "http" }, self.authority())
    }
}

/// All public hosts.
#[derive(Debug, Default)]
pub struct Hosts(HashMap<String, Vec<Arc<Host>>>);

impl Hosts {
    /// Collects hosts; names may recur with other ports.
    #[must_use]
    pub fn new(hosts: Vec<Host>) -> Self {
        let mut by_name: HashMap<String, Vec<Arc<Host>>> = HashMap::new();
        for host in hosts {
            by_name.entry(host.origin.name.clone()).or_default().push(Arc::new(host));
        }
        Self(by_name)
    }

    /// The host that a request names; none for a name that the file does not have (RT-6).
    #[must_use]
    pub fn find(&self, host: &HostName) -> Option<&Arc<Host>> {
        self.0.get(&host.name)?.iter().find(|candidate| candidate.origin.is(host))
    }

    /// Every host.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Host>> {
        self.0.values().flatten()
    }
}

/// Two routes of a host that govern the same method of the same path; by their places in the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tie {
    /// The first.
    pub first: usize,
    /// The one that repeats it.
    pub second: usize,
}

/// Why no route governs a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unrouted {
    /// No route has this path.
    #[error("no route has this path")]
    NoRoute,
    /// The route does not take this method.
    #[error("the route does not take this method")]
    Method,
    /// The path has an escaped slash, which no route takes here.
    #[error("the path has an escaped slash")]
    EncodedSlash,
    /// An app could read the path as one that another route governs.
    #[error("the path could be read as one of another route")]
    Ambiguous,
}

/// The rules of a host, ready to be searched.
#[derive(Debug, Default)]
pub struct Routes {
    matcher: Matcher,
    /// The same patterns as the most careless app reads paths.
    folded: Matcher,
    /// One entry for each path pattern: the routes that share it, with disjoint methods.
    nodes: Vec<Node>,
}

#[derive(Debug)]
struct Node {
    routes: Vec<Arc<Route>>,
    folded: String,
}

impl Routes {
    /// Builds the search from a list in any order.
    ///
    /// # Errors
    ///
    /// Every [`Tie`]: two routes with the same pattern that share a method.
    pub fn build(routes: Vec<Route>) -> Result<Self, Vec<Tie>> {
        let mut ties = Vec::new();
        let mut places: HashMap<String, usize> = HashMap::new();
        let mut nodes: Vec<Vec<(usize, Arc<Route>)>> = Vec::new();
        for (index, route) in routes.into_iter().enumerate() {
            let node = *places.entry(route.pattern.matcher_patterns().swap_remove(0)).or_insert(nodes.len());
            if node == nodes.len() {
                nodes.push(Vec::new());
            }
            for (other, sibling) in &nodes[node] {
                if sibling.methods().iter().any(|method| route.methods().contains(method)) {
                    ties.push(Tie { first: *other, second: index });
                }
            }
            nodes[node].push((index, Arc::new(route)));
        }
        if !ties.is_empty() {
            return Err(ties);
        }
        let nodes: Vec<Node> = nodes
            .into_iter()
            .map(|routes| Node {
                folded: routes[0].1.pattern.folded().to_string(),
                routes: routes.into_iter().map(|(_, route)| route).collect(),
            })
            .collect();
        let patterns = || nodes.iter().map(|node| &node.routes[0].pattern);
        Ok(Self {
            matcher: Matcher::build(patterns().cloned()),
            folded: Matcher::build(patterns().map(Pattern::folded)),
            nodes,
        })
    }

    /// The route that governs a request.
    ///
    /// # Errors
    ///
    /// [`Unrouted`] if none does, or if an app could read the path as another route's.
    pub fn find(&self, request: &NormalRequest) -> Result<&Arc<Route>, Unrouted> {
        self.find_path(request.method(), request.path())
    }

    /// As [`find`](Self::find), for a path in normal form.
    ///
    /// # Errors
    ///
    /// As [`find`](Self::find).
    pub fn find_path(&self, method: &Method, path: &str) -> Result<&Arc<Route>, Unrouted> {
        if path.contains(ENCODED_SLASH) {
            return self.find_encoded(method, path);
        }
        let node = self.matcher.at(path);
        if self.other_readings_differ(path, node) {
            return Err(Unrouted::Ambiguous);
        }
        let routes = &self.nodes[node.ok_or(Unrouted::NoRoute)?].routes;
        routes.iter().find(|route| route.methods().contains(method)).ok_or(Unrouted::Method)
    }

    /// As [`find_path`](Self::find_path), for a path with an escaped slash: only a route that takes it governs
    /// it, and only if the path is that very route's with the slash decoded, too.
    fn find_encoded(&self, method: &Method, path: &str) -> Result<&Arc<Route>, Unrouted> {
        let node = self.matcher.at(path).ok_or(Unrouted::EncodedSlash)?;
        let found = self.nodes[node].routes.iter().find(|route| route.methods().contains(method));
        let route = found.filter(|route| route.encoded_slash).ok_or(Unrouted::EncodedSlash)?;
        let decoded = path.replace(ENCODED_SLASH, "/");
        let same = self.matcher.at(&decoded) == Some(node);
        let differ = |path: &str| self.other_readings_differ(path, Some(node));
        if same && !differ(path) && !differ(&decoded) { Ok(route) } else { Err(Unrouted::Ambiguous) }
    }

    /// Whether some app would read another route's path.
    fn other_readings_differ(&self, path: &str, node: Option<usize>) -> bool {
        if reading::is_plain(path) {
            return false;
        }
        let folded = |node: Option<usize>| node.map(|node| self.nodes[node].folded.as_str());
        reading::others(path).iter().any(|read| folded(self.folded.at(read)) != folded(node))
    }

    /// The methods that are taken at a path, for `Allow`: from who comes by itself, or, if it is `asked_about`, from who asks.
    #[must_use]
    pub fn methods_at(&self, path: &str, asked_about: bool) -> Vec<Method> {
        let routes = self.matcher.at(path).map(|node| self.nodes[node].routes.as_slice()).unwrap_or_default();
        let theirs = routes.iter().filter(|route| route.is_forward_auth() == asked_about);
        theirs.flat_map(|route| route.methods().iter().cloned()).collect()
    }

    /// The route of a place on this host, if a request with this method has one there: its session and its
    /// requirement are what a login for the place must bring.
    #[must_use]
    pub fn route_at(&self, method: &Method, target: &Target) -> Option<&Arc<Route>> {
        let path = request_path(target.path().as_bytes()).ok()?;
        self.find_path(method, &path).ok()
    }

    /// What some route asks a login to bring, by its id.
    #[must_use]
    pub fn representation(&self, id: RepresentationId) -> Option<&Representation> {
        self.representations()
            .flat_map(|representation| std::iter::once(representation).chain(representation.alone()))
            .find(|representation| representation.id() == id)
    }

    /// Whether some route tells its app of one organisation that the person chooses.
    #[must_use]
    pub fn let_choose(&self) -> bool {
        self.representations().any(Representation::is_chosen)
    }

    fn representations(&self) -> impl Iterator<Item = &Representation> {
        self.iter().filter_map(|route| route.access.requirement()?.representation.as_deref())
    }

    /// Every route.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Route>> {
        self.nodes.iter().flat_map(|node| &node.routes)
    }

    /// Routes that no request reaches: whatever has their pattern's form, some app would read as another path. The operator is
    /// told of them.
    #[must_use]
    pub fn unreachable(&self) -> Vec<&Arc<Route>> {
        let sample = |route: &&Arc<Route>| {
            let method = route.methods().first()?;
            Some(self.find_path(method, &route.pattern.sample()))
        };
        self.iter().filter(|route| matches!(sample(route), Some(Err(Unrouted::Ambiguous)))).collect()
    }

    /// Pairs of a route and another that demands more and would govern some of its paths, if it were not more specific: the
    /// operator is warned of them.
    #[must_use]
    pub fn weaker_than_parent(&self) -> Vec<(&Arc<Route>, &Arc<Route>)> {
        let mut pairs = Vec::new();
        for child in self.iter() {
            for parent in self.iter() {
                if child.pattern.meets(&parent.pattern)
                    && child.pattern.rank() < parent.pattern.rank()
                    && child.methods().iter().any(|method| parent.methods().contains(method))
                    && child.access.is_weaker_than(&parent.access)
                {
                    pairs.push((child, parent));
                }
            }
        }
        pairs
    }
}

#[cfg(test)]
pub(crate) mod tests_support {
    use super::*;

    /// A route for the tests of other modules.
    pub(crate) fn route(pattern: &str, access: Access, methods: Option<Vec<Method>>) -> Route {
        Route {
            lines: Lines::default(),
            name: pattern.to_owned(),
            pattern: Pattern::parse(pattern).unwrap(),
            methods,
            access,
            session: None,
            ways: Vec::new(),
            carrier: Carrier::Gateway(Arc::new(crate::upstream::tests_support::upstream())),
            host: UpstreamHost::Keep,
            rewrite: None,
            encoded_slash: false,
            limits: Limits::default(),
            headers: Arc::new(HeaderPlan::default()),
            assertion: None,
            signature: None,
            client_signatures: false,
            verified: false,
            access_token: false,
            app_session: None,
            rate: None,
            maintenance: None,
            cross_site: CrossSite::default(),
            cors: Cors::default(),
            security_headers: SecurityHeaders::default(),
            activity: Activity::default(),
            revocation: Staleness::default(),
            keep_cache_control: false,
            websocket: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::tests_support::route;
    use super::*;
    use crate::access::Requirement;

    fn routes(patterns: &[&str]) -> Routes {
        Routes::build(patterns.iter().map(|pattern| route(pattern, Access::Public, None)).collect()).unwrap()
    }

    fn found<'a>(routes: &'a Routes, path: &str) -> Result<&'a str, Unrouted> {
        routes.find_path(&Method::GET, path).map(|route| route.name.as_str())
    }

    #[test]
    fn a_sample_of_a_pattern_is_one_of_its_paths() {
        for (pattern, expected) in [
            ("/**", "/"),
            ("/", "/"),
            ("/a", "/a"),
            ("/a/", "/a/"),
            ("/a/**", "/a/"),
            ("/a/*/b", "/a/portvakt/b"),
            ("/*/**", "/portvakt/"),
        ] {
            assert_eq!(Pattern::parse(pattern).unwrap().sample(), expected);
            assert_eq!(found(&routes(&[pattern]), expected), Ok(pattern));
        }
    }

    #[test]
    fn an_escaped_slash_passes_where_its_route_takes_it_and_reaches_no_other() {
        let route =
            |pattern: &str, encoded_slash| Route { encoded_slash, ..route(pattern, Access::Public, None) };
        let routes = Routes::build(vec![
            route("/**", false),
            route("/files/**", true),
            route("/files/secret/**", true),
            route("/one/*", true),
        ])
        .unwrap();
        for (path, expected) in [
            ("/files/a%2Fb", Ok("/files/**")),
            ("/files/a%2Fb/c%2Fd", Ok("/files/**")),
            ("/files/secret/a%2Fb", Ok("/files/secret/**")),
            ("/files/secret%2Fa", Err(Unrouted::Ambiguous)),
            ("/files/SECRET%2Fa", Err(Unrouted::Ambiguous)),
            ("/files/secret;x%2Fa", Err(Unrouted::Ambiguous)),
            ("/files%2Fa", Err(Unrouted::EncodedSlash)),
            ("/x%2Fy", Err(Unrouted::EncodedSlash)),
            // Two segments for who decodes it.
            ("/one/a%2Fb", Err(Unrouted::Ambiguous)),
        ] {
            assert_eq!(found(&routes, path), expected, "{path}");
        }
        let post = routes.find_path(&Method::TRACE, "/files/a%2Fb").map(|route| route.name.as_str());
        assert_eq!(post, Err(Unrouted::EncodedSlash));
    }

    #[test]
    fn a_pattern_begins_with_whole_literal_segments() {
        let begins = |pattern, prefix| Pattern::parse(pattern).unwrap().begins_with(prefix);
        assert!(
            begins("/a/b/**", "/a") && begins("/a/b/**", "/a/b") && begins("/a", "/a") && begins("/**", "")
        );
        assert!(
            !begins("/a/b/**", "/a/b/c")
                && !begins("/ab", "/a")
                && !begins("/*/b", "/a")
                && !begins("/*/b", "/*")
        );
    }

    #[test]
    fn whole_segments_match_and_the_most_specific_wins_in_any_order() {
        let mut patterns =
            ["/**", "/app/**", "/app/open/**", "/app/open/x", "/files/*/meta", "/files/a/**", "/one"];
        for _ in 0..patterns.len() {
            patterns.rotate_left(1);
            let routes = routes(&patterns);
            for (path, expected) in [
                ("/", "/**"),
                ("/apple", "/**"),
                ("/app", "/app/**"),
                ("/app/", "/app/**"),
                ("/app/x/y", "/app/**"),
                ("/app/open", "/app/open/**"),
                ("/app/opening", "/app/**"),
                ("/app/open/x", "/app/open/x"),
                ("/app/open/x/", "/app/open/x"),
                ("/app/open/x/y", "/app/open/**"),
                ("/files/b/meta", "/files/*/meta"),
                ("/files/b/other", "/**"),
                ("/files/a/meta", "/files/a/**"),
                ("/one/", "/one"),
                ("/one/two", "/**"),
            ] {
                assert_eq!(found(&routes, path), Ok(expected), "{path} of {patterns:?}");
            }
        }
    }

    #[test]
    fn a_star_beside_a_tail_keeps_its_rule_in_any_order() {
        let mut patterns = ["/**", "/*/admin/**", "/api/**", "/api/*/keys", "/api/*", "/*/*/deep/**"];
        for _ in 0..patterns.len() {
            patterns.rotate_left(1);
            let routes = routes(&patterns);
            for (path, expected) in [
                ("/nb/admin/x", "/*/admin/**"),
                ("/nb/admin", "/*/admin/**"),
                ("/nb/other", "/**"),
                ("/nb", "/**"),
                ("/api/7/keys", "/api/*/keys"),
                ("/api/7/keys/", "/api/*/keys"),
                ("/api/7", "/api/*"),
                ("/api/7/other", "/api/**"),
                ("/api", "/api/**"),
                // Read from the left.
                ("/api/admin/x", "/api/**"),
                ("/a/b/deep/c", "/*/*/deep/**"),
            ] {
                assert_eq!(found(&routes, path), Ok(expected), "{path} of {patterns:?}");
            }
            assert_eq!(found(&routes, "/nb/ADMIN/x"), Err(Unrouted::Ambiguous));
        }
    }

    #[test]
    fn a_route_whose_own_paths_are_refused_is_known() {
        let names = |patterns: &[&str]| -> Vec<String> {
            routes(patterns).unreachable().into_iter().map(|route| route.name.clone()).collect()
        };
        assert_eq!(names(&["/**", "/admin./**", "/a%20", "/b.c", "/S/*"]), ["/admin./**", "/a%20"]);
        assert_eq!(names(&["/*", "/x", "/app/**", "/s%C3%B8knad/**"]), [""; 0]);
    }

    #[test]
    fn without_a_rule_there_is_no_entry() {
        let routes = routes(&["/", "/app/**"]);
        assert_eq!(found(&routes, "/other"), Err(Unrouted::NoRoute));
        assert_eq!(found(&routes, "/"), Ok("/"));
    }

    #[test]
    fn a_path_that_an_app_could_read_as_another_route_is_refused() {
        let strict = routes(&["/**", "/admin/**", "/Upper/**", "/s%C3%B8knad/**"]);
        for path in [
            "/admin;x/secret",
            "/admin%3Bx/secret",
            "/ADMIN/secret",
            "/Admin",
            "/aDmin;v=1/",
            "/upper/X",
            "/%2561dmin/secret",
            "/%25%36%31dmin",
            "/admin./secret",
            "/admin%20/secret",
            "/admin..",
            "/Admin.;x/secret",
            "/admin%3Fx/secret",
            "/S%C3%98KNAD/1",
            "/s%C3%98knad",
            "/s%25C3%25B8knad/1",
        ] {
            assert_eq!(found(&strict, path), Err(Unrouted::Ambiguous), "{path}");
        }
        for path in [
            "/admin/a;jsessionid=1",
            "/Page",
            "/a;v=1/b",
            "/admin/Secret",
            "/Upper/x",
            "/Upper/X",
            "/s%C3%B8knad/%C3%85",
            "/%C3%85s/x.",
            "/100%25",
            "/admin/a%253Fb/c%20",
        ] {
            assert!(found(&strict, path).is_ok(), "{path}");
        }
    }

    #[test]
    fn a_twin_with_a_slash_may_have_a_rule_of_its_own() {
        let routes = routes(&["/a", "/a/", "/a/**"]);
        assert_eq!(found(&routes, "/a"), Ok("/a"));
        assert_eq!(found(&routes, "/a/"), Ok("/a/"));
        assert_eq!(found(&routes, "/a/b"), Ok("/a/**"));
    }

    #[test]
    fn methods_share_a_path_but_never_a_request() {
        let get = || Some(vec![Method::GET]);
        let both =
            [route("/a/**", Access::Public, get()), route("/a/**", Access::Public, Some(vec![Method::POST]))];
        let both = Routes::build(both.to_vec()).unwrap();
        assert!(both.find_path(&Method::POST, "/a/b").is_ok());
        assert_eq!(both.find_path(&Method::PUT, "/a/b").err(), Some(Unrouted::Method));
        assert_eq!(
            both.find_path(&Method::from_bytes(b"get").unwrap(), "/a/b").err(),
            Some(Unrouted::Method)
        );
        let tie = [route("/a/**", Access::Public, get()), route("/a/**", Access::Public, None)];
        assert_eq!(Routes::build(tie.to_vec()).err(), Some(vec![Tie { first: 0, second: 1 }]));
    }

    #[test]
    fn a_more_specific_route_that_demands_less_is_named() {
        let login = || Access::Login(Requirement::default());
        let list = vec![
            route("/**", login(), None),
            route("/open/**", Access::Public, None),
            route("/x/**", login(), None),
            route("/open/shut/**", login(), None),
            // Neither covers the other.
            route("/papers/*", Access::Public, None),
            route("/*/keys", login(), None),
            route("/*/keys/**", login(), None),
            route("/closed/*", login(), None),
        ];
        let routes = Routes::build(list).unwrap();
        let weaker: Vec<_> = routes
            .weaker_than_parent()
            .into_iter()
            .map(|(child, parent)| (child.name.as_str(), parent.name.as_str()))
            .collect();
        assert_eq!(
            weaker,
            [
                ("/open/**", "/**"),
                ("/open/**", "/*/keys"),
                ("/open/**", "/*/keys/**"),
                ("/papers/*", "/**"),
                ("/papers/*", "/*/keys"),
                ("/papers/*", "/*/keys/**"),
            ]
        );
    }

    #[test]
    fn a_pattern_that_no_request_could_match_is_refused() {
        for (text, why) in [
            ("a", PatternError::NoSlash),
            ("/a/../b", PatternError::NotNormal),
            ("/a//b", PatternError::NotNormal),
            ("/a;b", PatternError::NotNormal),
            ("/%61", PatternError::NotNormal),
            ("/{x}", PatternError::NotNormal),
            ("/å", PatternError::NotNormal),
            ("/a*", PatternError::Star),
            ("/a**", PatternError::Star),
            ("/**/a", PatternError::Star),
        ] {
            assert_eq!(Pattern::parse(text), Err(why), "{text}");
        }
        for text in ["/", "/**", "/a", "/a/", "/a/**", "/*/b", "/%C3%A5/**"] {
            assert_eq!(Pattern::parse(text).unwrap().to_string(), text);
        }
    }

    #[test]
    fn a_host_is_found_by_name_and_port_with_the_default_port_folded() {
        let origin = |secure, name: &str, port| Origin { secure, name: name.into(), port };
        let host = |origin| Host {
            origin,
            auth_host: None,
            hsts: None,
            sessions: Vec::new(),
            onbehalfof: None,
            brand: Arc::default(),
            routes: Routes::default(),
        };
        let hosts = Hosts::new(vec![host(origin(true, "a.no", 443)), host(origin(false, "localhost", 8080))]);
        let find = |text| hosts.find(&HostName::parse(text).unwrap()).map(|host| host.origin.to_string());
        assert_eq!(find("A.no.:443").as_deref(), Some("https://a.no"));
        assert_eq!(find("a.no").as_deref(), Some("https://a.no"));
        assert_eq!(find("a.no:80"), None);
        assert_eq!(find("localhost:8080").as_deref(), Some("http://localhost:8080"));
        assert_eq!(find("localhost"), None);
        assert_eq!(find("b.no"), None);
    }
}

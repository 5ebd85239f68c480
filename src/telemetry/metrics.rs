//! Every metric, its name and what it means (`design.md` D16; `threats.md` OM-6).
//!
//! **Invariant:** a label is a word of the program or a name of the configuration. No path, host, address or
//! person, so that neither a client nor time makes the number of series grow.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use portvakt_core::clock::{Drift, Timestamp};
use portvakt_core::key::{Concern, KeyTimes};
use portvakt_core::revocation::{Alarms, Revocations};
use prometheus::core::Collector;
use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
    TextEncoder,
};

use super::LogWriter;
use crate::admin::UpstreamStatus;
use crate::provider::{Call, Calls, Outcome};

/// The media type of [`Metrics::render`].
pub const CONTENT_TYPE: &str = prometheus::TEXT_FORMAT;

/// Seconds: from a request that no upstream sees to one that a person gives up on.
const SECONDS: &[f64] =
    &[0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];
/// The label of what no route governs: our own endpoints, and what is refused before a route is known.
const NO_ROUTE: &str = "none";
const CLASSES: [&str; 6] = ["none", "1xx", "2xx", "3xx", "4xx", "5xx"];
/// The rules of requests that reach an app: counted on every one of them, so not looked up each time.
const PASSED: [&str; 4] = ["public", "optional", "login", "token"];

/// The gateway's metrics. One for each process.
pub struct Metrics {
    registry: Registry,
    requests: IntCounterVec,
    request_seconds: HistogramVec,
    upstream_seconds: HistogramVec,
    rules: IntCounterVec,
    passed: [IntCounter; PASSED.len()],
    in_flight: IntGauge,
    connections: IntGauge,
    refused: IntCounterVec,
    ended: IntCounterVec,
    logins_started: IntCounterVec,
    logins: IntCounterVec,
    machine_tokens: IntCounterVec,
    access_tokens: IntCounterVec,
    logouts: IntCounterVec,
    unlogged: IntCounterVec,
    sessions_opened: IntCounter,
    sessions_refused: IntCounterVec,
    revocations: IntGauge,
    revocation_known_since: IntGauge,
    revocation_staleness: IntGauge,
    revocation_writable: IntGauge,
    revocation_unwritten: IntGauge,
    revocation_key_lacking: IntGauge,
    revocation_replicas: IntGauge,
    revocation_silent: IntGauge,
    revocation_undelivered: IntGauge,
    revocation_sure: IntGauge,
    revocation_alarms: IntCounterVec,
    provider_calls: IntCounterVec,
    provider_down: IntGaugeVec,
    upstream_in: IntGaugeVec,
    upstream_in_flight: IntGaugeVec,
    upstream_failures: IntCounterVec,
    upstream_requests: IntGaugeVec,
    upstream_refused: IntCounterVec,
    key_age: IntGaugeVec,
    key_active_from: IntGaugeVec,
    key_warning: IntGaugeVec,
    keys_withheld: IntGaugeVec,
    generation: IntGauge,
    reloads: IntCounterVec,
    last_reload: IntGauge,
    last_reload_at: IntGauge,
    config_info: IntGaugeVec,
    log_dropped: IntCounterVec,
    log_failures: IntCounterVec,
    log_failing: IntGaugeVec,
    clock_offset: IntGauge,
    clock_stepped: IntGauge,
    ready: IntGauge,
    no_route: RouteMetrics,
    /// Counters that are kept elsewhere are brought up to date by one scrape at a time.
    scrape: Mutex<()>,
}

/// What is counted for each request of one route, looked up once for each configuration.
#[derive(Clone, Debug)]
pub struct RouteMetrics {
    classes: [IntCounter; CLASSES.len()],
    seconds: Histogram,
    upstream_seconds: Histogram,
}

/// One request under way: counted as long as it lives.
#[derive(Debug)]
pub struct InFlight(IntGauge);

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// All metrics, at zero.
    #[must_use]
    pub fn new() -> Self {
        let made = Maker(Registry::new());
        let requests = made.counters(
            "requests_total",
            "Requests answered, by route and class of status.",
            &["route", "class"],
        );
        let request_seconds = made.histograms(
            "request_seconds",
            "Time from a request's header to the end of the answer.",
            &["route"],
        );
        let upstream_seconds =
            made.histograms("upstream_seconds", "Time that the upstream took of a request.", &["route"]);
        let rules = made.counters("rules_total", "Requests by what decided them.", &["rule"]);
        let no_route = RouteMetrics::of(NO_ROUTE, &requests, &request_seconds, &upstream_seconds);
        Self {
            requests,
            request_seconds,
            upstream_seconds,
            no_route,
            passed: PASSED.map(|rule| rules.with_label_values(&[rule])),
            rules,
            in_flight: made.gauge("requests_in_flight", "Requests under way."),
            connections: made.gauge("connections", "Open connections of the public listeners."),
            refused: made.counters("refused_total", "Requests and connections refused before they were parsed.", &["reason"]),
            ended: made.counters(
                "requests_ended_total",
                "Requests under way that were ended with their session.",
                &["reason"],
            ),
            logins_started: made.counters("logins_started_total", "Logins sent to the provider.", &["provider"]),
            machine_tokens: made.counters("machine_tokens_total", "Machines' tokens that were read, by outcome.", &["provider", "outcome"]),
            access_tokens: made.counters("access_tokens_total", "People's access tokens for apps, by what became of them.", &["provider", "event"]),
            logins: made.counters("logins_total", "Logins that came back, by outcome.", &["provider", "outcome"]),
            logouts: made.counters("logouts_total", "Logouts, by who asked for them.", &["kind"]),
            unlogged: made.counters(
                "unlogged_total",
                "Calls without a proof that got no line in a log, because their source calls too often.",
                &["kind"],
            ),
            sessions_opened: made.counter("sessions_opened_total", "Session cookies accepted."),
            sessions_refused: made.counters("sessions_refused_total", "Session cookies not accepted.", &["reason"]),
            revocations: made.gauge("revocations", "Ended sessions and subjects that are remembered."),
            revocation_known_since: made.gauge(
                "revocations_known_since_seconds",
                "Unix time since which every ended session is known; sessions that began before are not accepted.",
            ),
            revocation_staleness: made.gauge(
                "revocations_staleness_milliseconds",
                "How long ago the log of ended sessions was read to its end.",
            ),
            revocation_writable: made.gauge("revocations_writable", "1 while every ended session is in the log."),
            revocation_unwritten: made.gauge(
                "revocations_unwritten",
                "Ended sessions that are in force and could not be written yet.",
            ),
            revocation_key_lacking: made.gauge(
                "revocations_key_lacking",
                "1 while another process writes ended sessions with a key that this one does not have.",
            ),
            revocation_replicas: made.gauge("revocations_replicas", "Other replicas that are heard in the stream."),
            revocation_silent: made.gauge(
                "revocations_replicas_silent",
                "Replicas that fell silent in the last 20 minutes without saying goodbye.",
            ),
            revocation_undelivered: made.gauge(
                "revocations_undelivered",
                "Ended sessions that are in force here and that other replicas may not know yet.",
            ),
            revocation_sure: made.gauge(
                "revocations_stream_sure",
                "1 while nothing is known to be lacking of what other replicas ended; 1 where nothing is shared.",
            ),
            revocation_alarms: made.counters(
                "revocations_alarms_total",
                "What should not happen to the log of ended sessions: records that are foreign, missing or damaged, unproven ends evicted for lack of room, failures to read or write; and of the stream, with records that were written again.",
                &["kind"],
            ),
            provider_calls: made.counters("provider_calls_total", "Calls to the provider.", &["provider", "call", "outcome"]),
            provider_down: made.gauges(
                "provider_down",
                "1 while a provider does not answer calls of a kind: whoever needs one is told so at once, and one at a time finds out.",
                &["provider", "call"],
            ),
            upstream_in: made.gauges(
                "upstream_address_in",
                "1 while an address of an upstream gets requests, 0 while it is out; addresses by number.",
                &["upstream", "address"],
            ),
            upstream_in_flight: made.gauges(
                "upstream_address_requests_in_flight",
                "Requests under way at an address of an upstream.",
                &["upstream", "address"],
            ),
            upstream_failures: made.counters(
                "upstream_connect_failures_total",
                "Connections to an upstream that could not be made, since its addresses are known.",
                &["upstream"],
            ),
            upstream_requests: made.gauges(
                "upstream_requests_in_flight",
                "Requests under way at an upstream.",
                &["upstream"],
            ),
            upstream_refused: made.counters(
                "upstream_refused_total",
                "Requests that were refused because an upstream had as many under way as it may.",
                &["upstream"],
            ),
            key_age: made.gauges("key_age_seconds", "How long the key of a purpose has been in use.", &["purpose"]),
            key_active_from: made.gauges(
                "key_active_from_seconds",
                "Unix time from which the newest key of a purpose is used; it may lie ahead.",
                &["purpose"],
            ),
            key_warning: made.gauges(
                "key_warning",
                "1 if it is time to rotate the keys of a purpose: the one in use is retired, old, or ends without a successor.",
                &["purpose", "concern"],
            ),
            keys_withheld: made.gauges(
                "keys_withheld",
                "Keys that are not used yet because another replica does not accept them, as far as is known, by purpose.",
                &["purpose"],
            ),
            generation: made.gauge("config_generation", "How many configurations have been in force."),
            reloads: made.counters("config_reloads_total", "Attempts to load the configuration anew.", &["result"]),
            last_reload: made.gauge("config_last_reload_successful", "1 while the configuration in force is the one that was read last."),
            last_reload_at: made.gauge(
                "config_last_reload_success_timestamp_seconds",
                "Unix time at which the configuration in force was loaded.",
            ),
            config_info: made.gauges("config_info", "The state of the configuration file that is in force.", &["digest"]),
            log_dropped: made.counters("log_dropped_total", "Log lines lost.", &["log"]),
            log_failures: made.counters("log_failures_total", "Attempts to write a log that failed.", &["log"]),
            log_failing: made.gauges("log_failing", "1 while a log cannot be written.", &["log"]),
            clock_offset: made.gauge("clock_offset_milliseconds", "The system's clock less the gateway's."),
            clock_stepped: made.gauge("clock_stepped", "1 while the system's clock has stepped and is not followed."),
            ready: made.gauge("ready", "1 while the gateway is ready."),
            registry: made.0,
            scrape: Mutex::new(()),
        }
    }

    /// The metrics of a route of the configuration.
    #[must_use]
    pub fn route(&self, name: &str) -> RouteMetrics {
        RouteMetrics::of(name, &self.requests, &self.request_seconds, &self.upstream_seconds)
    }

    /// A request was answered. `status` 0: it was not. `rule`: what decided, a word of the program.
    pub fn request(
        &self,
        route: Option<&RouteMetrics>,
        rule: &'static str,
        status: u16,
        took: Duration,
        upstream: Option<Duration>,
    ) {
        let route = route.unwrap_or(&self.no_route);
        route.classes[usize::from(status / 100).min(CLASSES.len() - 1)].inc();
        route.seconds.observe(took.as_secs_f64());
        if let Some(upstream) = upstream {
            route.upstream_seconds.observe(upstream.as_secs_f64());
        }
        match PASSED.iter().position(|passed| *passed == rule) {
            Some(at) => self.passed[at].inc(),
            None => self.rules.with_label_values(&[rule]).inc(),
        }
    }

    /// A request is under way until the guard is dropped.
    #[must_use]
    pub fn in_flight(&self) -> InFlight {
        self.in_flight.inc();
        InFlight(self.in_flight.clone())
    }

    /// How many requests are under way.
    #[must_use]
    pub fn requests_in_flight(&self) -> u64 {
        u64::try_from(self.in_flight.get()).unwrap_or(0)
    }

    /// How many connections of the public listeners are open.
    #[must_use]
    pub fn open_connections(&self) -> u64 {
        u64::try_from(self.connections.get()).unwrap_or(0)
    }

    /// The number of open connections changed.
    pub fn connections(&self, delta: i64) {
        self.connections.add(delta);
    }

    /// A request or a connection was refused before it was parsed.
    pub fn guard_refused(&self, code: &'static str) {
        self.refused.with_label_values(&[code]).inc();
    }

    /// A request under way was ended with its session.
    pub fn request_ended(&self, reason: &'static str) {
        self.ended.with_label_values(&[reason]).inc();
    }

    /// Somebody was sent to a provider.
    pub fn login_started(&self, provider: &str) {
        self.logins_started.with_label_values(&[provider]).inc();
    }

    /// A login ended: `success`, or the code of the error.
    pub fn login_ended(&self, provider: &str, outcome: &'static str) {
        self.logins.with_label_values(&[provider, outcome]).inc();
    }

    /// A machine's token was read: `verified`, or the word for why it is worth nothing.
    pub fn machine_token(&self, provider: &str, outcome: &'static str) {
        self.machine_tokens.with_label_values(&[provider, outcome]).inc();
    }

    /// Something became of a person's access token: `kept`, `exchanged`, `over`, or the word for what went wrong.
    pub fn access_token(&self, provider: &str, event: &'static str) {
        self.access_tokens.with_label_values(&[provider, event]).inc();
    }

    /// Somebody was logged out: `own`, `frontchannel`, `backchannel`.
    pub fn logout(&self, kind: &'static str) {
        self.logouts.with_label_values(&[kind]).inc();
    }

    /// A call that nobody can prove got no line: `frontchannel`, `backchannel`, `not_written`.
    pub fn unlogged(&self, kind: &'static str) {
        self.unlogged.with_label_values(&[kind]).inc();
    }

    /// A session cookie was accepted.
    pub fn session_opened(&self) {
        self.sessions_opened.inc();
    }

    /// A session cookie was not accepted.
    pub fn session_refused(&self, reason: &'static str) {
        self.sessions_refused.with_label_values(&[reason]).inc();
    }

    /// Forgets how things stood: the configuration may not have them any more. Then all of them are told anew, before
    /// [`render`](Self::render).
    pub fn begin(&self) {
        let _one = self.scrape.lock().unwrap_or_else(PoisonError::into_inner);
        for gauges in [
            &self.provider_down,
            &self.upstream_in,
            &self.upstream_in_flight,
            &self.upstream_requests,
            &self.key_age,
            &self.key_active_from,
            &self.key_warning,
            &self.keys_withheld,
            &self.log_failing,
        ] {
            gauges.reset();
        }
    }

    /// What is known of ended sessions; before [`render`](Self::render).
    pub fn revocations(&self, revocations: &Revocations, now: Timestamp) {
        let _one = self.scrape.lock().unwrap_or_else(PoisonError::into_inner);
        self.revocations.set(signed(revocations.len() as u64));
        self.revocation_known_since.set(signed(revocations.known_since().seconds()));
        self.revocation_staleness.set(signed(millis(revocations.staleness(now))));
        self.revocation_writable.set(revocations.is_writable().into());
        self.revocation_unwritten.set(signed(revocations.unwritten() as u64));
        self.revocation_key_lacking.set(revocations.lacking_key().is_some().into());
        let stream = revocations.stream_status(now);
        self.revocation_sure.set(stream.is_none_or(|stream| stream.sure).into());
        let stream = stream.unwrap_or_default();
        self.revocation_replicas.set(signed(stream.replicas as u64));
        self.revocation_silent.set(signed(stream.silent as u64));
        self.revocation_undelivered.set(signed(stream.undelivered as u64));
        for (kind, total) in [
            ("stream_foreign", stream.foreign),
            ("stream_missing", stream.missing),
            ("stream_rewound", stream.rewound),
            ("stream_republished", stream.republished),
            ("stream_doubled", stream.doubled),
            ("stream_untold", stream.untold),
        ] {
            advance(&self.revocation_alarms.with_label_values(&[kind]), total);
        }
        let Alarms { foreign, missing, damaged, evicted, failures } = revocations.alarms();
        for (kind, total) in [
            ("foreign", foreign),
            ("missing", missing),
            ("damaged", damaged),
            ("evicted", evicted),
            ("failure", failures),
        ] {
            advance(&self.revocation_alarms.with_label_values(&[kind]), total);
        }
    }

    /// The calls of a provider, as it has counted them; before [`render`](Self::render).
    pub fn provider_calls(&self, provider: &str, calls: &Calls) {
        let _one = self.scrape.lock().unwrap_or_else(PoisonError::into_inner);
        for call in Call::ALL {
            for outcome in Outcome::ALL {
                let labels = [provider, call.as_str(), outcome.as_str()];
                advance(&self.provider_calls.with_label_values(&labels), calls.total(call, outcome));
            }
        }
    }

    /// Whether a provider does not answer calls of a kind.
    pub fn provider_down(&self, provider: &str, call: Call, down: bool) {
        self.provider_down.with_label_values(&[provider, call.as_str()]).set(down.into());
    }

    /// The upstreams, by name and number of their addresses; before [`render`](Self::render).
    pub(crate) fn upstreams(&self, upstreams: &[UpstreamStatus]) {
        let _one = self.scrape.lock().unwrap_or_else(PoisonError::into_inner);
        for upstream in upstreams {
            let name = upstream.name.as_str();
            self.upstream_requests.with_label_values(&[name]).set(signed(upstream.requests_in_flight as u64));
            advance(&self.upstream_refused.with_label_values(&[name]), upstream.refused);
            advance(&self.upstream_failures.with_label_values(&[name]), upstream.connect_failures);
            for address in &upstream.addresses {
                let labels = [name, &address.number.to_string()];
                self.upstream_in.with_label_values(&labels).set(address.is_in.into());
                let in_flight = signed(address.requests_in_flight as u64);
                self.upstream_in_flight.with_label_values(&labels).set(in_flight);
            }
        }
    }

    /// The state of a log; before [`render`](Self::render).
    pub fn log(&self, log: &LogWriter) {
        let _one = self.scrape.lock().unwrap_or_else(PoisonError::into_inner);
        let labels = [log.name()];
        advance(&self.log_dropped.with_label_values(&labels), log.dropped());
        advance(&self.log_failures.with_label_values(&labels), log.failures());
        self.log_failing.with_label_values(&labels).set(log.is_failing().into());
    }

    /// How old the keys of each purpose are, and whether it is time to rotate them; before [`render`](Self::render).
    pub fn keys(&self, keys: &[(String, Vec<KeyTimes>)], now: Timestamp) {
        for (purpose, times) in keys {
            let active = times.iter().rev().find(|key| key.active_from <= now).or(times.first());
            if let Some(active) = active {
                let age = now.since(active.active_from).as_secs();
                self.key_age.with_label_values(&[purpose]).set(signed(age));
            }
            if let Some(newest) = times.last() {
                self.key_active_from.with_label_values(&[purpose]).set(signed(newest.active_from.seconds()));
            }
            let concern = Concern::of_purpose(purpose, times, now);
            for known in Concern::ALL {
                let labels = [purpose.as_str(), known.as_str()];
                self.key_warning.with_label_values(&labels).set(i64::from(concern == Some(known)));
            }
        }
    }

    /// How many keys of a purpose are waited with.
    pub fn keys_withheld(&self, purpose: &str, count: usize) {
        self.keys_withheld.with_label_values(&[purpose]).set(signed(count as u64));
    }

    /// The configuration in force: its number, the state of its file, since when, and whether it is the last one
    /// that was read.
    pub fn configuration(&self, generation: u64, digest: &str, loaded: Timestamp, is_last: bool) {
        let _one = self.scrape.lock().unwrap_or_else(PoisonError::into_inner);
        self.generation.set(signed(generation));
        self.last_reload.set(is_last.into());
        self.last_reload_at.set(signed(loaded.seconds()));
        self.config_info.reset();
        self.config_info.with_label_values(&[digest]).set(1);
    }

    /// The configuration was loaded anew, or refused.
    pub fn config_reload(&self, taken: bool) {
        self.reloads.with_label_values(&[if taken { "ok" } else { "failed" }]).inc();
    }

    /// How the clock compares with the system's.
    pub fn clock(&self, drift: Drift) {
        let (Drift::Slewed(offset) | Drift::Stepped(offset)) = drift;
        self.clock_offset.set(offset);
        self.clock_stepped.set(matches!(drift, Drift::Stepped(_)).into());
    }

    /// Whether the gateway is ready.
    pub fn ready(&self, ready: bool) {
        self.ready.set(ready.into());
    }

    /// Everything in Prometheus' text format, of type [`CONTENT_TYPE`].
    #[must_use]
    pub fn render(&self) -> String {
        // It fails only for a family without a metric, which the registry leaves out.
        TextEncoder::new().encode_to_string(&self.registry.gather()).unwrap_or_default()
    }
}

impl RouteMetrics {
    fn of(name: &str, requests: &IntCounterVec, seconds: &HistogramVec, upstream: &HistogramVec) -> Self {
        Self {
            classes: CLASSES.map(|class| requests.with_label_values(&[name, class])),
            seconds: seconds.with_label_values(&[name]),
            upstream_seconds: upstream.with_label_values(&[name]),
        }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// Makes metrics whose names all begin alike, and registers them.
struct Maker(Registry);

impl Maker {
    fn counter(&self, name: &str, help: &str) -> IntCounter {
        self.registered(IntCounter::with_opts(options(name, help)))
    }

    fn counters(&self, name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
        self.registered(IntCounterVec::new(options(name, help), labels))
    }

    fn gauge(&self, name: &str, help: &str) -> IntGauge {
        self.registered(IntGauge::with_opts(options(name, help)))
    }

    fn gauges(&self, name: &str, help: &str, labels: &[&str]) -> IntGaugeVec {
        self.registered(IntGaugeVec::new(options(name, help), labels))
    }

    fn histograms(&self, name: &str, help: &str, labels: &[&str]) -> HistogramVec {
        let options = HistogramOpts::from(options(name, help)).buckets(SECONDS.to_vec());
        self.registered(HistogramVec::new(options, labels))
    }

    fn registered<M: Collector + Clone + 'static>(&self, metric: prometheus::Result<M>) -> M {
        let metric = metric.expect("names and labels are valid: they are written above");
        self.0.register(Box::new(metric.clone())).expect("no name is written twice");
        metric
    }
}

fn options(name: &str, help: &str) -> Opts {
    Opts::new(name, help).namespace("portvakt")
}

/// Takes over a total that is counted elsewhere. It starts anew with whoever counts it.
fn advance(counter: &IntCounter, total: u64) {
    if total < counter.get() {
        counter.reset();
    }
    counter.inc_by(total - counter.get());
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use portvakt_core::key::{KeyId, MacKey, Ring};
    use portvakt_core::revocation::{FileLog, Kind, Proof, Settings, Tag};

    use super::*;

    /// The value of the line that begins so.
    fn value(metrics: &Metrics, series: &str) -> Option<String> {
        let text = metrics.render();
        let line = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        line.map(str::to_owned)
    }

    fn shows(metrics: &Metrics, series: &str, expected: &str) {
        assert_eq!(value(metrics, series).as_deref(), Some(expected), "{series}\n{}", metrics.render());
    }

    /// With one end, and a file that can only be read.
    fn unwritable(now: Timestamp) -> Revocations {
        let ring = Ring::single(KeyId([1; 4]), now, MacKey::new(&[1; 32]));
        let minute = Duration::from_secs(60);
        let settings =
            Settings { longest: minute, max_gap: minute, max_lag: minute, unproven: 1, shared: false };
        let log = Box::new(FileLog::new("/proc/version".into()));
        let revocations = Revocations::open(log, settings, [1; 16], &ring, now);
        let key = ring.active(now);
        let ended = revocations.end(Kind::Session, Tag([1; 16]), Proof::Proven, (key.id, &key.key), now);
        assert!(ended.is_err());
        revocations
    }

    #[test]
    fn a_request_counts_for_its_route_its_class_and_its_rule() {
        let metrics = Metrics::new();
        let app = metrics.route("app");
        let took = Duration::from_millis(3);
        metrics.request(Some(&app), "session", 200, took, Some(Duration::from_millis(2)));
        metrics.request(Some(&metrics.route("app")), "session", 204, took, None);
        metrics.request(Some(&app), "session", 999, took, None);
        metrics.request(None, "no_route", 0, took, None);
        shows(&metrics, r#"portvakt_requests_total{class="2xx",route="app"}"#, "2");
        shows(&metrics, r#"portvakt_requests_total{class="5xx",route="app"}"#, "1");
        shows(&metrics, r#"portvakt_requests_total{class="none",route="none"}"#, "1");
        shows(&metrics, r#"portvakt_rules_total{rule="session"}"#, "3");
        shows(&metrics, r#"portvakt_request_seconds_bucket{route="app",le="0.0025"}"#, "0");
        shows(&metrics, r#"portvakt_request_seconds_bucket{route="app",le="0.005"}"#, "3");
        shows(&metrics, r#"portvakt_upstream_seconds_count{route="app"}"#, "1");
    }

    #[test]
    fn a_request_is_in_flight_as_long_as_its_guard_lives() {
        let metrics = Metrics::new();
        let (one, two) = (metrics.in_flight(), metrics.in_flight());
        drop(one);
        assert_eq!(metrics.requests_in_flight(), 1);
        let unwound = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let _guard = two;
            panic!("a request that panics");
        }));
        assert!(unwound.is_err());
        shows(&metrics, "portvakt_requests_in_flight", "0");
    }

    #[test]
    fn events_are_counted_where_they_belong() {
        let metrics = Metrics::new();
        metrics.login_started("idporten");
        metrics.login_ended("idporten", "success");
        metrics.machine_token("maskinporten", "verified");
        metrics.logout("frontchannel");
        metrics.unlogged("frontchannel");
        metrics.session_opened();
        metrics.session_refused("revoked");
        let now = Timestamp::from_seconds(1_790_000_000);
        metrics.revocations(&unwritable(now), now + Duration::from_millis(30));
        metrics.connections(3);
        metrics.connections(-1);
        metrics.guard_refused("bare_line_feed");
        metrics.configuration(3, "0123456789abcdee", now - Duration::from_secs(9), true);
        metrics.configuration(4, "0123456789abcdef", now, false);
        metrics.config_reload(true);
        metrics.config_reload(false);
        metrics.clock(Drift::Stepped(-90_000));
        metrics.ready(true);
        for (series, expected) in [
            (r#"portvakt_logins_started_total{provider="idporten"}"#, "1"),
            (r#"portvakt_logins_total{outcome="success",provider="idporten"}"#, "1"),
            (r#"portvakt_machine_tokens_total{outcome="verified",provider="maskinporten"}"#, "1"),
            (r#"portvakt_logouts_total{kind="frontchannel"}"#, "1"),
            (r#"portvakt_unlogged_total{kind="frontchannel"}"#, "1"),
            ("portvakt_sessions_opened_total", "1"),
            (r#"portvakt_sessions_refused_total{reason="revoked"}"#, "1"),
            ("portvakt_revocations", "1"),
            ("portvakt_revocations_staleness_milliseconds", "30"),
            ("portvakt_revocations_writable", "0"),
            ("portvakt_revocations_unwritten", "1"),
            (r#"portvakt_revocations_alarms_total{kind="evicted"}"#, "0"),
            ("portvakt_revocations_known_since_seconds", "1790000000"),
            ("portvakt_connections", "2"),
            (r#"portvakt_refused_total{reason="bare_line_feed"}"#, "1"),
            ("portvakt_config_generation", "4"),
            ("portvakt_config_last_reload_successful", "0"),
            ("portvakt_config_last_reload_success_timestamp_seconds", "1790000000"),
            (r#"portvakt_config_info{digest="0123456789abcdef"}"#, "1"),
            (r#"portvakt_config_reloads_total{result="ok"}"#, "1"),
            (r#"portvakt_config_reloads_total{result="failed"}"#, "1"),
            ("portvakt_clock_offset_milliseconds", "-90000"),
            ("portvakt_clock_stepped", "1"),
            ("portvakt_ready", "1"),
        ] {
            shows(&metrics, series, expected);
        }
    }

    #[test]
    fn a_providers_calls_are_taken_over_and_not_added_up() {
        let (metrics, calls) = (Metrics::new(), Calls::default());
        metrics.provider_calls("idporten", &calls);
        metrics.provider_calls("idporten", &calls);
        shows(
            &metrics,
            r#"portvakt_provider_calls_total{call="token",outcome="ok",provider="idporten"}"#,
            "0",
        );
        let counter = metrics.provider_calls.with_label_values(&["idporten", "token", "ok"]);
        for (total, expected) in [(5, 5), (5, 5), (9, 9), (2, 2)] {
            advance(&counter, total);
            assert_eq!(counter.get(), expected);
        }
    }

    #[test]
    fn a_key_that_waits_for_its_time_is_seen() {
        let now = Timestamp::from_seconds(1_790_000_000);
        let key = |active_from, retire_after| KeyTimes { id: "1".to_owned(), active_from, retire_after };
        let (old, new) = (now - Duration::from_secs(100), now + Duration::from_secs(50));
        let keys = [("audit", vec![key(old, None), key(new, None)]), ("cookie", vec![key(old, Some(new))])];
        let keys = keys.map(|(purpose, times)| (purpose.to_owned(), times));
        let metrics = Metrics::new();
        metrics.keys(&keys, now);
        shows(&metrics, r#"portvakt_key_warning{concern="no_successor",purpose="cookie"}"#, "1");
        shows(&metrics, r#"portvakt_key_warning{concern="old",purpose="cookie"}"#, "0");
        shows(&metrics, r#"portvakt_key_warning{concern="no_successor",purpose="audit"}"#, "0");
        shows(&metrics, r#"portvakt_key_age_seconds{purpose="audit"}"#, "100");
        shows(&metrics, r#"portvakt_key_active_from_seconds{purpose="audit"}"#, "1790000050");
        shows(&metrics, r#"portvakt_key_active_from_seconds{purpose="cookie"}"#, "1789999900");
    }

    #[test]
    fn what_is_gone_from_the_file_is_gone_from_the_metrics() {
        let metrics = Metrics::new();
        let series = [
            r#"portvakt_provider_down{call="par",provider="old"}"#,
            r#"portvakt_key_warning{concern="retired",purpose="client-old"}"#,
            r#"portvakt_keys_withheld{purpose="client-old"}"#,
        ];
        let now = Timestamp::from_seconds(1_790_000_000);
        let times = vec![KeyTimes { id: "1".to_owned(), active_from: now, retire_after: Some(now) }];
        metrics.provider_down("old", Call::Par, true);
        metrics.keys(&[("client-old".to_owned(), times)], now);
        metrics.keys_withheld("client-old", 1);
        series.iter().for_each(|series| shows(&metrics, series, "1"));
        metrics.begin();
        metrics.provider_down("new", Call::Par, false);
        assert!(series.iter().all(|series| value(&metrics, series).is_none()));
    }

    #[test]
    fn every_metric_says_what_it_means() {
        let metrics = Metrics::new();
        metrics.request(Some(&metrics.route("app")), "session", 200, Duration::ZERO, None);
        let text = metrics.render();
        let names: Vec<_> = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")).collect();
        assert!(names.len() > 10, "{text}");
        for name in names {
            let name = name.split(' ').next().unwrap();
            assert!(name.starts_with("portvakt_") && text.contains(&format!("# HELP {name} ")), "{name}");
        }
    }
}

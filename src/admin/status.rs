//! What runs here: a page for people, JSON for programs.
//!
//! **Invariant:** the page has no script, loads nothing, and escapes every text.

use std::time::Duration;

use askama::Template;
use portvakt_core::clock::{Drift, Timestamp};
use portvakt_core::key::{Concern, KeyTimes, Named};
use serde::{Serialize, Serializer};

use super::Readiness;
use portvakt_core::revocation::StreamStatus;

use crate::telemetry::{LogWriter, rfc3339};

/// Nothing is loaded, embedded or sent; the one style sheet stands in the page and is known by its hash.
pub(super) const POLICY: &str = "default-src 'none'; style-src 'sha256-+vm2m5LGCA9UzBqmWHSyxPvWzqxLPpxlTrJiz5M/rak='; \
    base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// What runs here.
#[derive(Clone, Debug, Serialize)]
pub struct Status {
    /// The program's version.
    pub version: &'static str,
    /// When this was asked.
    #[serde(serialize_with = "as_rfc3339")]
    pub now: Timestamp,
    /// For how long the process has run, in seconds.
    #[serde(rename = "uptime_seconds", serialize_with = "as_seconds")]
    pub uptime: Duration,
    /// How many configurations have been in force.
    pub generation: u64,
    /// When the one in force was loaded.
    #[serde(serialize_with = "as_rfc3339")]
    pub loaded: Timestamp,
    /// Settings that the file has changed and that are taken up by a restart alone.
    pub needs_restart: Vec<&'static str>,
    /// The state of its file: the beginning of the SHA-256 of the text.
    pub digest: String,
    /// When the file was read last and refused, if what is in force is an older one.
    #[serde(serialize_with = "as_rfc3339_if_known")]
    pub reload_refused: Option<Timestamp>,
    /// How many files the process may hold open.
    pub open_files_limit: Option<u64>,
    /// The providers, by their order in the file.
    pub providers: Vec<ProviderStatus>,
    /// The upstreams.
    pub upstreams: Vec<UpstreamStatus>,
    /// Every key that is accepted.
    pub keys: Vec<KeyStatus>,
    /// What is wrong with the age of keys: time to rotate.
    pub key_warnings: Vec<KeyWarning>,
    /// Keys that are not used yet because another replica does not accept them.
    pub keys_withheld: Vec<WithheldKey>,
    /// Ended sessions.
    pub revocations: RevocationStatus,
    /// How long sessions last.
    pub sessions: SessionStatus,
    /// The clock.
    pub clock: ClockStatus,
    /// The logs that are on.
    pub logs: Vec<LogStatus>,
}

/// A provider.
#[derive(Clone, Debug, Serialize)]
pub struct ProviderStatus {
    /// Its name in the configuration.
    pub name: String,
    /// Its issuer.
    pub issuer: String,
    /// When its metadata was fetched last.
    #[serde(serialize_with = "as_rfc3339_if_known")]
    pub metadata_fetched: Option<Timestamp>,
    /// When its keys were fetched last.
    #[serde(serialize_with = "as_rfc3339_if_known")]
    pub keys_fetched: Option<Timestamp>,
    /// The kinds of calls that it does not answer now; logins wait until it does.
    pub not_answering: Vec<&'static str>,
}

/// A key that is waited with (`design.md` D15).
#[derive(Clone, Debug, Serialize)]
pub struct WithheldKey {
    /// What it is for.
    pub purpose: String,
    /// Its id.
    pub id: String,
}

impl From<Named> for WithheldKey {
    fn from(Named { purpose, id }: Named) -> Self {
        Self { purpose, id }
    }
}

/// An upstream, by its name alone.
#[derive(Clone, Debug, Serialize)]
pub struct UpstreamStatus {
    /// Its name in the configuration.
    pub name: String,
    /// Requests under way at all its addresses.
    pub requests_in_flight: usize,
    /// The most that there may be.
    pub max_requests: usize,
    /// Requests that were refused because there were as many.
    pub refused: u64,
    /// Connections that could not be made.
    pub connect_failures: u64,
    /// Its addresses, by number.
    pub addresses: Vec<AddressStatus>,
}

/// An address of an upstream.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct AddressStatus {
    /// Its number, from 0.
    pub number: usize,
    /// Whether it gets requests.
    #[serde(rename = "in")]
    pub is_in: bool,
    /// Requests under way.
    pub requests_in_flight: usize,
}

/// A key, of which nothing secret is told.
#[derive(Clone, Debug, Serialize)]
pub struct KeyStatus {
    /// What it is for.
    pub purpose: String,
    /// Its id.
    pub id: String,
    /// From when on it is used.
    #[serde(serialize_with = "as_rfc3339")]
    pub active_from: Timestamp,
    /// From when on it is not accepted.
    #[serde(serialize_with = "as_rfc3339_if_known")]
    pub retire_after: Option<Timestamp>,
    /// Where in its life it is.
    pub state: KeyState,
}

/// Where in its life a key is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum KeyState {
    /// Accepted, and used later.
    Waiting,
    /// Used.
    Active,
    /// Accepted, and no longer used.
    Former,
    /// Not accepted any more.
    Retired,
}

impl KeyState {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Active => "active",
            Self::Former => "former",
            Self::Retired => "retired",
        }
    }
}

impl KeyStatus {
    /// Every key of a purpose, by their times.
    #[must_use]
    pub fn of(purpose: &str, keys: &[KeyTimes], now: Timestamp) -> Vec<Self> {
        // As `Ring::active` chooses.
        let active = keys.iter().rposition(|key| key.active_from <= now).unwrap_or(0);
        let state = |at: usize, key: &KeyTimes| match key {
            _ if key.retire_after.is_some_and(|end| end <= now) => KeyState::Retired,
            _ if at == active => KeyState::Active,
            _ if key.active_from > now => KeyState::Waiting,
            _ => KeyState::Former,
        };
        let status = |(at, key): (usize, &KeyTimes)| Self {
            purpose: purpose.to_owned(),
            id: key.id.clone(),
            active_from: key.active_from,
            retire_after: key.retire_after,
            state: state(at, key),
        };
        keys.iter().enumerate().map(status).collect()
    }
}

/// A purpose whose keys should be rotated.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct KeyWarning {
    /// What they are for.
    pub purpose: String,
    /// Why.
    pub concern: Concern,
}

/// Ended sessions.
#[derive(Clone, Debug, Serialize)]
pub struct RevocationStatus {
    /// How many are remembered.
    pub entries: usize,
    /// Since when every one is known.
    #[serde(serialize_with = "as_rfc3339")]
    pub known_since: Timestamp,
    /// What is shared with other replicas; `null` if nothing is.
    pub stream: Option<StreamState>,
}

/// What is shared with other replicas.
#[derive(Clone, Debug, Serialize)]
pub struct StreamState {
    /// Other replicas that are heard.
    pub replicas: usize,
    /// Those that fell silent without saying goodbye.
    pub silent: usize,
    /// Ends that are in force here and that others may not know.
    pub undelivered: usize,
    /// Whether nothing is known to be lacking.
    pub sure: bool,
}

impl From<StreamStatus> for StreamState {
    fn from(status: StreamStatus) -> Self {
        let StreamStatus { replicas, silent, undelivered, sure, .. } = status;
        Self { replicas, silent, undelivered, sure }
    }
}

/// How long sessions last.
#[derive(Clone, Debug, Serialize)]
pub struct SessionStatus {
    /// Without activity, in seconds.
    #[serde(rename = "idle_seconds", serialize_with = "as_seconds")]
    pub idle: Duration,
    /// At most, in seconds.
    #[serde(rename = "absolute_seconds", serialize_with = "as_seconds")]
    pub absolute: Duration,
}

/// The clock.
#[derive(Clone, Debug, Serialize)]
pub struct ClockStatus {
    /// The system's clock less ours.
    pub offset_milliseconds: i64,
    /// Whether the system's clock has stepped and is not followed.
    pub stepped: bool,
}

impl From<Drift> for ClockStatus {
    fn from(drift: Drift) -> Self {
        let (Drift::Slewed(offset_milliseconds) | Drift::Stepped(offset_milliseconds)) = drift;
        Self { offset_milliseconds, stepped: matches!(drift, Drift::Stepped(_)) }
    }
}

/// A log.
#[derive(Clone, Debug, Serialize)]
pub struct LogStatus {
    /// Its name.
    pub name: String,
    /// Lines lost since the start.
    pub dropped: u64,
    /// Whether it cannot be written now.
    pub failing: bool,
}

impl From<&LogWriter> for LogStatus {
    fn from(log: &LogWriter) -> Self {
        Self { name: log.name().to_owned(), dropped: log.dropped(), failing: log.is_failing() }
    }
}

/// Both forms begin with the readiness.
#[derive(Serialize)]
struct Whole<'a> {
    ready: bool,
    #[serde(flatten)]
    readiness: &'a Readiness,
    #[serde(flatten)]
    status: &'a Status,
}

impl Status {
    pub(super) fn json(&self, readiness: &Readiness) -> Option<String> {
        let whole = Whole { ready: readiness.is_ready(), readiness, status: self };
        serde_json::to_string_pretty(&whole).map(|json| json + "\n").ok()
    }

    pub(super) fn page(&self, readiness: &Readiness) -> Option<String> {
        Page { status: self, readiness }.render().ok()
    }
}

#[derive(Template)]
#[template(
    source = r#"<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Portvakt: {% if readiness.is_ready() %}ready{% else %}not ready{% endif %}</title>
<style>body{font:1rem/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1a1a1a;background:#fff}table{border-collapse:collapse;width:100%}caption{text-align:left;font-weight:bold;font-size:1.2rem;margin-top:2rem}th,td{text-align:left;padding:.3rem .8rem .3rem 0;border-bottom:1px solid #bbb;vertical-align:top}</style>
</head>
<body>
<main>
<h1>Portvakt {{ status.version }}</h1>
{% if readiness.is_ready() %}<p>Ready.</p>{% else %}<p>Not ready:</p><ul>{% for reason in readiness.not_ready_because %}<li>{{ reason }}</li>{% endfor %}</ul>{% endif %}
{% if let Some(reason) = readiness.strict_waits_because %}<p>Routes with <code>revocation: strict</code> wait: {{ reason }}.</p>{% endif %}
{% for reason in readiness.logins_wait_because %}<p>Logins wait: {{ reason }}.</p>{% endfor %}
<table><caption>Process</caption>
<tr><th scope="row">Time</th><td>{{ self.time(status.now) }}</td></tr>
<tr><th scope="row">Running for</th><td>{{ status.uptime.as_secs() }} s</td></tr>
<tr><th scope="row">Configuration</th><td>number {{ status.generation }}, since {{ self.time(status.loaded) }}, text {{ status.digest }}{% if status.reload_refused.is_some() %}; <strong>a later one was refused</strong> at {{ self.time_if_known(status.reload_refused) }}: the messages say why{% endif %}</td></tr>
{% if !status.needs_restart.is_empty() %}<tr><th scope="row">Changed, and not before a restart</th><td>{{ status.needs_restart.join(", ") }}</td></tr>
{% endif %}<tr><th scope="row">System's clock</th><td>{{ status.clock.offset_milliseconds }} ms from ours{% if status.clock.stepped %}: it has stepped and is not followed{% endif %}</td></tr>
<tr><th scope="row">Sessions last</th><td>{{ status.sessions.idle.as_secs() }} s without activity, at most {{ status.sessions.absolute.as_secs() }} s</td></tr>
<tr><th scope="row">Ended sessions</th><td>{{ status.revocations.entries }}, complete since {{ self.time(status.revocations.known_since) }}</td></tr>
{%- if let Some(stream) = status.revocations.stream %}
<tr><th scope="row">Other replicas</th><td>{{ stream.replicas }} heard, {{ stream.silent }} silent, {{ stream.undelivered }} ends on their way{% if !stream.sure %}; something may be lacking{% endif %}</td></tr>
{%- endif %}
</table>
<table><caption>Providers</caption>
<tr><th scope="col">Name</th><th scope="col">Issuer</th><th scope="col">Metadata fetched</th><th scope="col">Keys fetched</th><th scope="col">Does not answer</th></tr>
{% for provider in status.providers %}<tr><th scope="row">{{ provider.name }}</th><td>{{ provider.issuer }}</td><td>{{ self.time_if_known(provider.metadata_fetched) }}</td><td>{{ self.time_if_known(provider.keys_fetched) }}</td><td>{{ provider.not_answering.join(", ") }}</td></tr>
{% endfor %}</table>
<table><caption>Upstreams</caption>
<tr><th scope="col">Name</th><th scope="col">Requests under way</th><th scope="col">Refused</th><th scope="col">Connections failed</th><th scope="col">Addresses</th></tr>
{% for upstream in status.upstreams %}<tr><th scope="row">{{ upstream.name }}</th><td>{{ upstream.requests_in_flight }} of {{ upstream.max_requests }}</td><td>{{ upstream.refused }}</td><td>{{ upstream.connect_failures }}</td><td>{% for address in upstream.addresses %}{{ address.number }}: {% if address.is_in %}in{% else %}out{% endif %}, {{ address.requests_in_flight }} under way{% if !loop.last %}; {% endif %}{% else %}none known{% endfor %}</td></tr>
{% endfor %}</table>
<table><caption>Keys</caption>
<tr><th scope="col">Purpose</th><th scope="col">Id</th><th scope="col">State</th><th scope="col">Used from</th><th scope="col">Accepted until</th></tr>
{% for key in status.keys %}<tr><th scope="row">{{ key.purpose }}</th><td>{{ key.id }}</td><td>{{ key.state.as_str() }}</td><td>{{ self.time(key.active_from) }}</td><td>{{ self.time_if_known(key.retire_after) }}</td></tr>
{% endfor %}</table>
{% if !status.key_warnings.is_empty() %}<p>Time for <code>portvakt keys rotate</code>:</p><ul>{% for warning in status.key_warnings %}<li>{{ warning.purpose }}: {{ warning.concern }}</li>{% endfor %}</ul>{% endif %}
{% if !status.keys_withheld.is_empty() %}<p>Not used before every replica accepts them:</p><ul>{% for key in status.keys_withheld %}<li>{{ key.purpose }}: {{ key.id }}</li>{% endfor %}</ul>{% endif %}
<table><caption>Logs</caption>
<tr><th scope="col">Name</th><th scope="col">State</th><th scope="col">Lines lost</th></tr>
{% for log in status.logs %}<tr><th scope="row">{{ log.name }}</th><td>{% if log.failing %}cannot be written{% else %}written{% endif %}</td><td>{{ log.dropped }}</td></tr>
{% endfor %}</table>
</main>
</body>
</html>
"#,
    ext = "html"
)]
struct Page<'a> {
    status: &'a Status,
    readiness: &'a Readiness,
}

impl Page<'_> {
    fn time(&self, time: &Timestamp) -> String {
        rfc3339(*time)
    }

    fn time_if_known(&self, time: &Option<Timestamp>) -> String {
        time.map_or_else(|| "-".to_owned(), rfc3339)
    }
}

fn as_rfc3339<S: Serializer>(time: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&rfc3339(*time))
}

fn as_rfc3339_if_known<S: Serializer>(time: &Option<Timestamp>, serializer: S) -> Result<S::Ok, S::Error> {
    time.map(rfc3339).serialize(serializer)
}

fn as_seconds<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(duration.as_secs())
}

#[cfg(test)]
pub(super) mod tests {
    use portvakt_core::key::{KeyId, Ring, RingKey};

    use super::*;

    pub(crate) fn status(now: Timestamp) -> Status {
        let hour = Duration::from_secs(3600);
        let key = |id, active_from, retire_after| RingKey {
            id: KeyId([id; 4]),
            active_from,
            retire_after,
            key: (),
        };
        let ring = Ring::new(vec![
            key(1, now - 9 * hour, Some(now - hour)),
            key(2, now - 4 * hour, Some(now + hour)),
            key(3, now - hour, None),
            key(4, now + hour, None),
        ]);
        Status {
            version: "0.1.0",
            now,
            uptime: Duration::from_secs(90),
            generation: 3,
            loaded: now - hour,
            needs_restart: vec!["listeners"],
            digest: "0123456789abcdef".to_owned(),
            reload_refused: Some(now),
            open_files_limit: Some(65_536),
            providers: vec![ProviderStatus {
                name: "<script>alert(1)</script>".to_owned(),
                issuer: "https://op.example/\"&'".to_owned(),
                metadata_fetched: Some(now),
                keys_fetched: None,
                not_answering: vec!["par"],
            }],
            upstreams: vec![UpstreamStatus {
                name: "app".to_owned(),
                requests_in_flight: 3,
                max_requests: 2000,
                refused: 1,
                connect_failures: 4,
                addresses: vec![AddressStatus { number: 0, is_in: false, requests_in_flight: 3 }],
            }],
            keys: KeyStatus::of("cookie", &ring.unwrap().times(), now),
            key_warnings: vec![KeyWarning { purpose: "cookie".to_owned(), concern: Concern::Old }],
            keys_withheld: vec![WithheldKey { purpose: "cookie".to_owned(), id: "00000002".to_owned() }],
            revocations: RevocationStatus { entries: 7, known_since: now - 2 * hour, stream: None },
            sessions: SessionStatus { idle: hour / 2, absolute: 2 * hour },
            clock: Drift::Stepped(-90_000).into(),
            logs: vec![LogStatus { name: "audit".to_owned(), dropped: 2, failing: true }],
        }
    }

    fn now() -> Timestamp {
        Timestamp::from_seconds(1_790_000_000)
    }

    #[test]
    fn the_page_escapes_what_it_shows() {
        let reason = Readiness {
            not_ready_because: vec!["<img src=x onerror=y>".to_owned()],
            strict_waits_because: Some("<img src=x onerror=z>".to_owned()),
            logins_wait_because: vec!["<img src=x onerror=w>".to_owned()],
        };
        let page = status(now()).page(&reason).unwrap();
        for markup in ["<script", "<img", "\"&'"] {
            assert!(!page.contains(markup), "{page}");
        }
        assert!(
            page.contains("cookie: the key in use is older than a year")
                && page.contains("alert(1)")
                && page.contains("onerror=y")
                && page.contains("onerror=z")
                && page.contains("onerror=w")
                && page.contains("not ready"),
            "{page}"
        );
    }

    #[test]
    fn the_page_needs_what_its_policy_allows_and_no_more() {
        let page = status(now()).page(&Readiness::default()).unwrap();
        let style = page.split_once("<style>").and_then(|(_, rest)| rest.split_once("</style>")).unwrap().0;
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, style.as_bytes());
        let hash = base64_simd::STANDARD.encode_to_string(digest.as_ref());
        assert!(POLICY.contains(&format!("style-src 'sha256-{hash}'")), "{hash}");
        for loads in ["src=", "href=", "style=", "<form", "<link"] {
            assert!(!page.contains(loads), "{loads}");
        }
    }

    #[test]
    fn json_tells_the_same_to_programs() {
        let readiness = Readiness { not_ready_because: vec!["no keys".to_owned()], ..Readiness::default() };
        let json = status(now()).json(&readiness).unwrap();
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(
            (json["ready"].as_bool(), json["not_ready_because"][0].as_str()),
            (Some(false), Some("no keys"))
        );
        assert!(json["strict_waits_because"].is_null());
        assert_eq!(json["now"], "2026-09-21T14:13:20.000Z");
        assert_eq!((json["uptime_seconds"].as_u64(), json["generation"].as_u64()), (Some(90), Some(3)));
        assert_eq!(json["providers"][0]["metadata_fetched"], "2026-09-21T14:13:20.000Z");
        assert!(json["providers"][0]["keys_fetched"].is_null());
        let upstream = &json["upstreams"][0];
        assert_eq!(
            (upstream["name"].as_str(), upstream["addresses"][0]["in"].as_bool()),
            (Some("app"), Some(false))
        );
        assert_eq!(json["key_warnings"][0], serde_json::json!({ "purpose": "cookie", "concern": "old" }));
        let withheld = serde_json::json!({ "purpose": "cookie", "id": "00000002" });
        assert_eq!(json["keys_withheld"][0], withheld);
        assert_eq!(json["providers"][0]["not_answering"][0], "par");
        assert_eq!(json["revocations"]["known_since"], "2026-09-21T12:13:20.000Z");
        assert_eq!(
            (json["sessions"]["idle_seconds"].as_u64(), json["clock"]["stepped"].as_bool()),
            (Some(1800), Some(true))
        );
    }

    #[test]
    fn a_key_is_shown_where_it_is_in_its_life() {
        let keys = status(now()).keys;
        let states: Vec<_> = keys.iter().map(|key| (key.id.as_str(), key.state)).collect();
        assert_eq!(
            states,
            [
                ("01010101", KeyState::Retired),
                ("02020202", KeyState::Former),
                ("03030303", KeyState::Active),
                ("04040404", KeyState::Waiting)
            ]
        );
    }
}

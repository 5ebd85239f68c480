//! Whether a gateway runs with this configuration, and what it says of itself on its admin listener.

use std::time::Duration;

use reqwest::StatusCode;
use serde_json::Value;

use super::Surroundings;
use super::finding::Finding;
use crate::provider::http;

/// How long the own machine may take.
const DEADLINE: Duration = Duration::from_secs(3);

pub(super) async fn examine(around: &Surroundings) -> Vec<Finding> {
    let admin = around.configuration.admin;
    let Some((status, body)) = ask(around, "/readyz").await else {
        return vec![Finding::warn(
            format!("{admin}"),
            "no gateway answers on the admin listener",
            "nobody is served from here, unless a gateway runs elsewhere with this file",
            "start it, or look at what it said when it ended (`journalctl -u portvakt`); everything below is looked at nevertheless",
        )];
    };
    if status == StatusCode::OK {
        let said = self::status(around).await;
        let mut findings = vec![Finding::ok(format!("{admin}"), "a gateway runs, and says that it is ready")];
        findings.extend(said.iter().flat_map(|said| what_waits(said, around)));
        if let Some(said) = said {
            findings.extend(compare(&said, around));
            findings.extend(waits_with_keys(&said, around));
        }
        return findings;
    }
    let reasons = body.trim().strip_prefix("not ready").unwrap_or(&body).trim().replace('\n', "; ");
    vec![Finding::fail(
        format!("{admin}"),
        format!("the gateway says that it is not ready: {reasons}"),
        "load balancers send nobody here",
        "what follows says more of each of these reasons",
    )]
}

/// What is served less than it should be, although the gateway is ready.
fn what_waits(status: &Value, around: &Surroundings) -> Vec<Finding> {
    let subject = || around.configuration.admin.to_string();
    let strict = status["strict_waits_because"].as_str().map(|reason| {
        Finding::fail(
            subject(),
            format!("the gateway says that `strict` routes wait: {reason}"),
            "people get 503 there until it knows more",
            "what follows looks at the store",
        )
    });
    let logins = status["logins_wait_because"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let logins = logins.map(|reason| {
        Finding::fail(
            subject(),
            format!("the gateway says that logins wait: {reason}"),
            "nobody can log in there; who is logged in at another provider is served",
            "what follows looks at each provider",
        )
    });
    strict.into_iter().chain(logins).collect()
}

/// Whether what is in force is this file.
fn compare(status: &Value, around: &Surroundings) -> Option<Finding> {
    let subject = around.configuration.admin.to_string();
    if status["digest"] != around.digest.as_str() {
        return Some(Finding::warn(
            subject,
            "the gateway has another file in force than this one, or a former state of it",
            "what is said here is of the file, not of what people meet",
            "`systemctl reload portvakt`, and look at what it says; a file that it refuses changes nothing",
        ));
    }
    let waiting: Vec<&str> = status["needs_restart"].as_array()?.iter().filter_map(Value::as_str).collect();
    (!waiting.is_empty()).then(|| {
        Finding::warn(
            subject,
            format!("these settings of the file wait for a restart: {}", waiting.join(", ")),
            "until then the gateway goes by the former ones",
            "restart it, or hand over (`portvakt run --upgrade`)",
        )
    })
}

/// Whether another replica lacks keys that are to be used.
fn waits_with_keys(status: &Value, around: &Surroundings) -> Option<Finding> {
    let named = |key: &Value| Some(format!("{} {}", key["purpose"].as_str()?, key["id"].as_str()?));
    let keys: Vec<String> = status["keys_withheld"].as_array()?.iter().filter_map(named).collect();
    (!keys.is_empty()).then(|| {
        Finding::warn(
            around.configuration.admin.to_string(),
            format!("the gateway does not use these keys yet: {}", keys.join(", ")),
            "nothing for people; the keys before them stay in use as long as another replica lacks these, or has not been heard",
            "the same key files on every replica, and SIGHUP there; `portvakt keys list` shows what each has",
        )
    })
}

/// What the running gateway says of itself in `/status.json`.
pub(super) async fn status(around: &Surroundings) -> Option<Value> {
    let (status, body) = ask(around, "/status.json").await?;
    serde_json::from_str(&body).ok().filter(|_| status == StatusCode::OK)
}

async fn ask(around: &Surroundings, path: &str) -> Option<(StatusCode, String)> {
    let client = http::client(None, true).ok()?;
    let url = format!("http://{}{path}", around.configuration.admin);
    let response = client.get(url).timeout(DEADLINE).send().await.ok()?;
    Some((response.status(), response.text().await.ok()?))
}

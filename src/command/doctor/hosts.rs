//! The public origins as browsers would find them, and what is to be registered at the provider for each.
//!
//! This machine may not see its own public side (split DNS, a load balancer that turns no request around), so
//! what does not answer is a warning, and never a failure.

use std::time::Duration;

use portvakt_core::route::Host;
use reqwest::StatusCode;
use serde_json::Value;

use super::Surroundings;
use super::finding::Finding;
use crate::provider::http;

/// How long a public origin may take.
const DEADLINE: Duration = Duration::from_secs(5);

pub(super) async fn examine(around: &Surroundings) -> Vec<Finding> {
    let mut hosts: Vec<&Host> = around.configuration.hosts.iter().map(AsRef::as_ref).collect();
    hosts.sort_by_key(|host| host.origin.to_string());
    let mut findings = Vec::new();
    for host in hosts {
        findings.push(look_at(host, &around.configuration.prefix).await);
    }
    findings
}

async fn look_at(host: &Host, prefix: &str) -> Finding {
    let origin = host.origin.to_string();
    let url = format!("{origin}{prefix}/session");
    let warn = |found: String, remedy: &str| {
        Finding::warn(
            &origin,
            found,
            "people may not reach the gateway, and the provider may send them somewhere else",
            remedy,
        )
    };
    let client = match http::client(None, !host.origin.secure) {
        Ok(client) => client,
        Err(error) => return warn(error.to_string(), "install `ca-certificates`"),
    };
    let answer = async {
        let response = client.get(&url).timeout(DEADLINE).send().await?;
        let status = response.status();
        Ok::<_, reqwest::Error>((status, response.json::<Value>().await.unwrap_or_default()))
    };
    match answer.await {
        Ok((StatusCode::UNAUTHORIZED, body)) if body["active"] == false => Finding::ok(
            &origin,
            format!(
                "a gateway answers there. Registered at the provider must be {}",
                registered(host, prefix)
            ),
        ),
        Ok((status, _)) => warn(
            format!("{url} answers {status}, and not as this gateway does"),
            "look where the name and the load balancer lead, and whether `origin` is written as browsers write it",
        ),
        Err(error) if error.is_timeout() => {
            warn(format!("{url} does not answer within {} s", DEADLINE.as_secs()), FROM_OUTSIDE)
        }
        Err(error) if error.is_connect() => warn(
            format!("{url} cannot be connected to: no such name, nobody listens, or TLS fails"),
            FROM_OUTSIDE,
        ),
        Err(_) => warn(format!("{url} breaks off"), FROM_OUTSIDE),
    }
}

const FROM_OUTSIDE: &str = "try the same address from outside; if it works there, this machine does not see its own public side, and nothing is wrong";

/// The URIs of a host, byte for byte as they are registered.
fn registered(host: &Host, prefix: &str) -> String {
    let origin = host.answered_at();
    let mut uris: Vec<String> = Vec::new();
    for session in &host.sessions {
        let callback = format!("{origin}{prefix}{}", session.provider.callback());
        if !uris.contains(&callback) {
            uris.push(callback);
        }
    }
    if uris.is_empty() {
        return "nothing: nobody logs in here".to_owned();
    }
    uris.extend(
        ["logout/callback", "logout/frontchannel", "logout/backchannel"]
            .map(|path| format!("{origin}{prefix}/{path}")),
    );
    uris.join(" ")
}

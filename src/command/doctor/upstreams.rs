//! Whether every address of every app can be connected to from here, with the trust that its TLS needs.

use super::Surroundings;
use super::finding::Finding;
use crate::cause;
use crate::upstream::{Unvisited, Upstreams};

pub(super) async fn examine(around: &Surroundings) -> Vec<Finding> {
    let upstreams = match Upstreams::of(&around.configuration.hosts, None) {
        Ok(upstreams) => upstreams,
        Err(error) => {
            let means = "the gateway does not start; one that runs keeps what it has";
            return vec![Finding::fail("", cause::chain(&error), means, "correct the file that it names")];
        }
    };
    let mut unresolved = upstreams.resolve(true).await;
    unresolved.sort();
    let mut findings: Vec<Finding> = unresolved.iter().map(|name| no_address(name)).collect();
    for visit in upstreams.visits() {
        let subject = format!("`{}` at {}", visit.upstream, visit.at);
        findings.push(match visit.connect().await {
            Ok(()) => Finding::ok(subject, "it can be connected to"),
            Err(why) => Finding::fail(
                subject,
                why.to_string(),
                "people get 502 there, unless the app has another address",
                remedy(why),
            ),
        });
    }
    findings
}

fn no_address(name: &str) -> Finding {
    Finding::fail(
        format!("`{name}`"),
        "a name in `url` does not resolve",
        "a gateway that runs keeps the addresses that it had; one that starts answers 502 there",
        "look whether this machine's name server answers, and whether the name is right",
    )
}

fn remedy(why: Unvisited) -> &'static str {
    match why {
        Unvisited::Refused => "nobody listens there: start the app, or correct the port in `url`",
        Unvisited::Silent => {
            "look whether the machine is up, and whether a firewall lets the gateway through"
        }
        Unvisited::Tls => {
            "compare the app's certificate with `ca_file` and `server_name` (`openssl s_client -connect …` shows it), and see whether it asks for one of ours"
        }
        Unvisited::Broken => "look at the app's own log",
    }
}

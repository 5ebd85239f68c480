//! What people, apps and attackers meet, shown with the real programs: gateway, simulator, and an app that
//! writes down each byte. `harness/mod.rs` says how a scenario is written; each module holds one subject.

#![expect(clippy::unwrap_used, reason = "a scenario that cannot go on fails")]

mod ambiguities;
mod app_cookies;
mod assertion;
mod auth_host;
mod branding;
mod certified;
mod choosing;
mod cross_site;
mod digdir;
mod doctor;
mod expect;
mod explain;
mod fixtures;
mod fleet;
mod flood;
mod forward_auth;
mod front;
mod grpc;
mod handover;
#[allow(dead_code, reason = "offers more than today's scenarios use")]
mod harness;
mod headers;
mod identities;
mod kept_form;
mod kills;
mod limits;
mod login;
mod logout;
mod lying_provider;
mod machines;
mod named_sessions;
mod operation;
mod organisations;
mod outage;
mod pages;
mod paths;
mod presets;
mod provider_logout;
mod reload;
mod replicas;
mod replies;
mod routes;
mod session;
mod signature;
mod streams;
mod tokens;
mod uncertain;
mod upgrade;
mod upstreams;

/// The lines of a corpus, its comments left out and its escapes resolved.
fn corpus(text: &str) -> Vec<String> {
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with("# "));
    lines.map(unescape).collect()
}

/// `\\ \t \n \r \0 \e` and `\uXXXX`.
fn unescape(line: &str) -> String {
    let mut plain = String::new();
    let mut characters = line.chars();
    while let Some(character) = characters.next() {
        if character != '\\' {
            plain.push(character);
            continue;
        }
        plain.push(match characters.next() {
            Some('t') => '\t',
            Some('n') => '\n',
            Some('r') => '\r',
            Some('0') => '\0',
            Some('e') => '\u{1b}',
            Some('u') => {
                let digits: String = characters.by_ref().take(4).collect();
                char::from_u32(u32::from_str_radix(&digits, 16).unwrap()).unwrap()
            }
            other => other.expect("a backslash stands before something"),
        });
    }
    plain
}

//! People with sessions of their own: each has a number, reads at a place of its own, and leaves in one of three
//! ways. A gateway may be gone while they do.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::json;
use url::Url;
use url::form_urlencoded;

use crate::harness::World;
use crate::harness::http::{Response, try_exchange};
use crate::harness::jar::Jar;
use crate::harness::process::await_that;

/// How a session is ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    Own,
    FrontChannel,
    BackChannel,
}

impl Way {
    pub(crate) const ALL: [Self; 3] = [Self::Own, Self::FrontChannel, Self::BackChannel];
}

/// A gateway as its clients see it.
pub(crate) struct Client {
    pub(crate) address: SocketAddr,
}

impl Client {
    fn origin(&self) -> String {
        format!("http://localhost:{}", self.address.port())
    }

    fn get(&self, target: &str, cookies: &str, mode: &str) -> Option<Response> {
        let authority = format!("localhost:{}", self.address.port());
        let head = format!(
            "GET {target} HTTP/1.1\r\nHost: {authority}\r\nAccept: text/html\r\nSec-Fetch-Site: none\r\n\
             {mode}{cookies}Connection: close\r\n\r\n"
        );
        try_exchange(self.address, head.as_bytes())
    }
}

const NAVIGATION: &str = "Sec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: document\r\n";
const FETCH: &str = "Sec-Fetch-Mode: cors\r\nSec-Fetch-Dest: empty\r\n";
const FRAME: &str = "Sec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: iframe\r\n";

/// Somebody who has logged in.
pub(crate) struct Person {
    number: usize,
    jar: Jar,
    sid: String,
}

/// A synthetic number: month 81 exists in no real one (dossier 4.1).
fn fnr(number: usize) -> String {
    format!("0181{number:07}")
}

impl Person {
    /// Somebody new, at the first gateway.
    pub(crate) fn logged_in(world: &World) -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(1);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        world.secrets.add(&fnr(number));
        let mut browser = world.browser();
        let started = browser.step(&format!("/oauth2/login?redirect=/app/{number}"));
        let authorize = started.response.location().expect("a login starts");
        let page = browser.open(&format!("{authorize}&login_hint=testid:{}_idporten-loa-high", fnr(number)));
        assert_eq!(page.status(), 200, "{}", page.text());
        Self { number, jar: browser.jar.clone(), sid: String::new() }
    }

    /// What the provider asserts.
    pub(crate) fn fnr(&self) -> String {
        fnr(self.number)
    }

    /// What the provider calls the session, once it is [learnt](learn_sids).
    pub(crate) fn sid(&self) -> &str {
        &self.sid
    }

    /// The value of the session's cookie.
    pub(crate) fn session_cookie(&self) -> &str {
        let cookies = self.jar.of("localhost");
        &cookies.iter().find(|cookie| cookie.name == "__Host-portvakt").expect("a session").value
    }

    fn cookies(&self, client: &Client, target: &str) -> String {
        let url = Url::parse(&client.origin()).unwrap().join(target).unwrap();
        self.jar.line(&url, true).map(|line| format!("Cookie: {line}\r\n")).unwrap_or_default()
    }

    /// The status of a page of this person's, if the gateway is there.
    pub(crate) fn read(&self, client: &Client) -> Option<u16> {
        let target = format!("/app/{}", self.number);
        client.get(&target, &self.cookies(client, &target), FETCH).map(|response| response.status)
    }

    /// Whether the gateway knows this person. It must be there; it may have to make sure first.
    pub(crate) fn is_in(&self, client: &Client) -> bool {
        let status = await_that("the gateway says who is logged in", || {
            self.read(client).filter(|status| ![0, 503].contains(status))
        });
        assert!([200, 401].contains(&status), "{status}");
        status == 200
    }

    /// Leaves: whether that was answered; `None` if it was not sent.
    pub(crate) fn leave(
        &self,
        way: Way,
        client: &Client,
        simulator: SocketAddr,
        issuer: &str,
    ) -> Option<bool> {
        let status = match way {
            Way::Own => {
                let target = "/oauth2/logout";
                client.get(target, &self.cookies(client, target), NAVIGATION)?.status
            }
            Way::FrontChannel => {
                let query = form_urlencoded::Serializer::new(String::new())
                    .append_pair("iss", issuer)
                    .append_pair("sid", &self.sid)
                    .finish();
                client.get(&format!("/oauth2/logout/frontchannel?{query}"), "", FRAME)?.status
            }
            Way::BackChannel => self.end_at_provider(simulator),
        };
        Some([200, 303].contains(&status))
    }

    /// The provider posts a logout token, and says what was answered; 0 for nothing.
    fn end_at_provider(&self, simulator: SocketAddr) -> u16 {
        let orders = json!({ "end_session": { "person": format!("testid:{}", fnr(self.number)) } });
        let report = try_exchange(simulator, control(simulator, &orders).as_bytes()).unwrap().json();
        let called = report["end_session"]["called"].as_array().unwrap();
        assert_eq!(called.len(), 1, "{report}");
        called[0]["status"].as_u64().and_then(|status| status.try_into().ok()).unwrap_or(0)
    }
}

fn control(simulator: SocketAddr, orders: &serde_json::Value) -> String {
    let body = orders.to_string();
    format!(
        "POST /control HTTP/1.1\r\nHost: {simulator}\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len(),
    )
}

/// The provider shows only so many sessions: it forgets those that it has.
pub(crate) fn forget_provider_sessions(world: &World) {
    world.control(&json!({ "reset": true }));
}

/// What the provider calls the sessions of people who have just logged in.
pub(crate) fn learn_sids(world: &World, people: &mut [Person]) {
    world.note_sids();
    let state = world.simulator_state();
    let sessions = state["issuers"]["idporten"]["sessions"].as_array().unwrap();
    for person in people {
        let id = format!("testid:{}", fnr(person.number));
        let session = sessions.iter().find(|session| session["person"] == id.as_str()).unwrap();
        person.sid = session["sids"][&world.settings.client_id].as_str().unwrap().to_owned();
    }
}

/// How many requests reached the app as somebody else, or as nobody.
pub(crate) fn strangers(world: &World) -> usize {
    let of_another = |target: &str, told: Option<&str>| {
        let number: Option<usize> = target.strip_prefix("/app/").and_then(|number| number.parse().ok());
        number.is_none_or(|number| told != Some(fnr(number).as_str()))
    };
    let received = world.app.received();
    received.iter().filter(|one| of_another(one.target(), one.header("x-identity-fnr"))).count()
}

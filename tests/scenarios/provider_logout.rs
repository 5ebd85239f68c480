//! The provider ends a session (`threats.md` LO-1 to LO-3; OpenID Connect Front-Channel Logout 1.0 and
//! Back-Channel Logout 1.0): by a frame without cookies, by a signed token, in any order with everything else.

use portvakt_core::clock::Clock;
use serde_json::{Value, json};

use crate::harness::browser::{Ask, Browser, Page};
use crate::harness::http::Response;
use crate::harness::process::await_that;
use crate::harness::{Settings, World};

const PERSON: &str = "bankid-high";
const FRONT: &str = "/oauth2/logout/frontchannel";
const BACK: &str = "/oauth2/logout/backchannel";

/// The gateway's `sid` of the person's session at the provider.
pub(crate) fn sid_of(world: &World, person: &str) -> String {
    let state = world.simulator_state();
    let sessions = state["issuers"][world.settings.issuer_path]["sessions"].as_array().unwrap();
    let session =
        sessions.iter().find(|session| session["person"] == person).expect("the person is logged in");
    let sid = session["sids"][&world.settings.client_id].as_str().unwrap().to_owned();
    world.note_sids();
    sid
}

fn issuer(world: &World) -> String {
    format!("{}/idporten", world.simulator())
}

/// The address of the frame.
fn frame(iss: &str, sid: &str) -> String {
    let encode = |text: &str| url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    format!("{FRONT}?iss={}&sid={}", encode(iss), encode(sid))
}

/// The provider's page loads the frame: from another site, without our cookies.
fn load_frame(world: &World, iss: &str, sid: &str) -> Response {
    let from = world.url(&world.simulator());
    let ask = Ask { dest: "iframe", from: Some(&from), ..Ask::NAVIGATION };
    world.browser().ask(&frame(iss, sid), &ask).response
}

/// Posts a form to the back channel.
fn post(world: &World, body: &str) -> Response {
    world.send(format!(
        "POST {BACK} HTTP/1.1\r\nHost: {{host}}\r\nContent-Type: application/x-www-form-urlencoded\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len(),
    ))
}

/// Logs a person out at the provider; the status of each call to the gateway, by channel.
pub(crate) fn end_at_provider(world: &World, person: &str) -> Vec<(String, u64)> {
    let report = world.control(&json!({ "end_session": { "person": person } }));
    let called = report["end_session"]["called"].as_array().unwrap().iter();
    let mut calls: Vec<_> = called
        .map(|call| (call["channel"].as_str().unwrap().to_owned(), call["status"].as_u64().unwrap_or(0)))
        .collect();
    calls.sort();
    calls
}

/// Registers the gateway with these channels alone.
pub(crate) fn register(world: &World, channels: &[&str]) {
    let origin = world.origin();
    let jwks: Value = serde_json::from_str(crate::harness::client_jwks()).unwrap();
    let path = |channel: &str, path: &str| channels.contains(&channel).then(|| format!("{origin}{path}"));
    world.control(&json!({ "client": {
        "issuer": world.settings.issuer_path,
        "client_id": world.settings.client_id,
        "jwks": jwks,
        "redirect_uris": [format!("{origin}/oauth2/callback")],
        "post_logout_redirect_uris": [format!("{origin}/oauth2/logout/callback")],
        "frontchannel_logout_uri": path("front", FRONT),
        "backchannel_logout_uri": path("back", BACK),
    }}));
}

pub(crate) fn is_in(browser: &mut Browser<'_>) -> bool {
    let session = browser.fetch("/oauth2/session").status();
    let app = browser.step("/app/x").status();
    assert_eq!(session == 200, app == 200, "session says {session}, app says {app}");
    session == 200
}

fn logged_in<'w>(world: &'w World, person: &str) -> Browser<'w> {
    let mut browser = world.browser();
    assert_eq!(browser.log_in("/app/x", person).status(), 200);
    browser
}

/// Dossier 7, no. 14.
#[test]
fn each_channel_alone_and_both_together_end_the_session_and_nobody_elses() {
    let world = World::start();
    let mut neighbour = logged_in(&world, "bankid-high-2");
    for (channels, calls) in [
        (&["front"][..], &[("front", 200)][..]),
        (&["back"], &[("back", 200)]),
        (&["front", "back"], &[("back", 200), ("front", 200)]),
    ] {
        register(&world, channels);
        let mut browser = logged_in(&world, PERSON);
        let mut copy = world.browser();
        copy.jar = browser.jar.clone();
        assert!(is_in(&mut browser) && is_in(&mut copy));
        sid_of(&world, PERSON);
        let called = end_at_provider(&world, PERSON);
        let called: Vec<_> = called.iter().map(|(channel, status)| (channel.as_str(), *status)).collect();
        assert_eq!(called, calls);
        let before = world.app.count();
        // Another tab and a copied cookie are dead too; a script is told, a person is sent to log in.
        assert!(!is_in(&mut browser) && !is_in(&mut copy), "{channels:?}");
        assert_eq!(copy.fetch("/app/data").status(), 401);
        let page = browser.open("/app/x");
        assert!(browser.at_login_page(&page), "{channels:?}");
        assert_eq!(world.app.count(), before, "{channels:?}");
        assert!(is_in(&mut neighbour), "{channels:?}");
    }
    world.finish();
}

/// LO-2: the frame first or the token first, and each of them once more.
#[test]
fn the_channels_may_call_in_either_order() {
    let world = World::start();
    register(&world, &["back"]);
    for frame_first in [true, false] {
        let mut browser = logged_in(&world, PERSON);
        let (issuer, sid) = (issuer(&world), sid_of(&world, PERSON));
        if frame_first {
            assert_eq!(load_frame(&world, &issuer, &sid).status, 200);
            assert!(!is_in(&mut browser));
        }
        assert_eq!(end_at_provider(&world, PERSON), [("back".to_owned(), 200)]);
        assert!(!is_in(&mut browser));
        assert_eq!(load_frame(&world, &issuer, &sid).status, 200);
        assert!(!is_in(&mut browser));
        // Whoever logs in afterwards is not logged out by what came late.
        let mut next = logged_in(&world, PERSON);
        assert_eq!(load_frame(&world, &issuer, &sid).status, 200);
        assert!(is_in(&mut next));
        end_at_provider(&world, PERSON);
    }
    world.finish();
}

#[test]
fn a_public_and_an_optional_page_show_nobody_afterwards() {
    let world = World::start();
    let mut browser = logged_in(&world, PERSON);
    assert_eq!(browser.open("/optional/x").status(), 200);
    assert!(world.app.last().header("x-identity-fnr").is_some());
    sid_of(&world, PERSON);
    end_at_provider(&world, PERSON);
    assert_eq!(browser.open("/optional/x").status(), 200);
    assert_eq!(world.app.last().identity(), []);
    world.finish();
}

/// LO-2: what comes twice, in the other order, or for somebody unknown changes nothing.
#[test]
fn repeated_and_unknown_calls_are_answered_alike_and_change_nothing() {
    let world = World::start();
    let mut browser = logged_in(&world, PERSON);
    let (issuer, sid) = (issuer(&world), sid_of(&world, PERSON));
    let mut answers = Vec::new();
    for unknown in ["unknown", "k-1=", &"x".repeat(256)] {
        answers.push(load_frame(&world, &issuer, unknown));
    }
    for other in
        ["https://idporten.no", "", "http://127.0.0.1", &format!("{issuer}//"), &issuer.to_uppercase()]
    {
        answers.push(load_frame(&world, other, &sid));
    }
    for unsound in ["", &"x".repeat(257), "a b", "a\nb", "ø"] {
        answers.push(load_frame(&world, &issuer, unsound));
    }
    assert!(is_in(&mut browser), "none of these named the session");
    for _ in 0..3 {
        answers.push(load_frame(&world, &issuer, &sid));
        assert!(!is_in(&mut browser));
    }
    for answer in &mut answers {
        answer.head.fields.retain(|(name, _)| !name.eq_ignore_ascii_case("date"));
    }
    let first = answers.remove(0);
    assert_eq!((first.status, first.text().as_str()), (200, "ok"));
    for answer in answers {
        assert_eq!(
            (answer.status, answer.text(), &answer.head.fields),
            (200, "ok".to_owned(), &first.head.fields)
        );
    }
    world.finish();
}

/// Dossier 7, no. 4.
#[test]
fn one_slash_at_the_end_of_the_issuer_is_ignored() {
    let world = World::start();
    register(&world, &["front"]);
    let mut browser = logged_in(&world, PERSON);
    sid_of(&world, PERSON);
    world.control(&json!({ "lies": [{ "name": "frontchannel_iss_slash" }] }));
    assert_eq!(end_at_provider(&world, PERSON), [("front".to_owned(), 200)]);
    assert!(!is_in(&mut browser));
    world.finish();
}

/// Dossier 7, no. 24.
///
/// BR-1: the provider's pages may frame the answer, nobody else; it keeps nothing and sets nothing.
#[test]
fn the_frame_is_for_the_provider_alone() {
    let world = World::start();
    for (iss, sid) in [(issuer(&world), "unknown"), ("https://else.example".to_owned(), "unknown")] {
        let answer = load_frame(&world, &iss, sid);
        let policy = answer.header("content-security-policy").unwrap();
        let ancestors: Vec<_> =
            policy.split(';').filter_map(|part| part.trim().strip_prefix("frame-ancestors ")).collect();
        assert_eq!(ancestors, [world.simulator()], "{policy}");
        assert_eq!(answer.header("x-frame-options"), None);
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        assert_eq!(answer.head.all("set-cookie"), Vec::<&str>::new());
        assert_eq!(answer.location(), None);
    }
    // Everything else of ours is framed by nobody.
    for path in ["/oauth2/logout/callback", "/oauth2/callback", "/oauth2/nothing"] {
        let page = world.browser().open(path);
        let policy = page.response.header("content-security-policy").unwrap().to_owned();
        assert!(policy.contains("frame-ancestors 'none'"), "{path}: {policy}");
        assert_eq!(page.response.header("x-frame-options"), Some("DENY"), "{path}");
    }
    world.finish();
}

#[test]
fn a_call_without_iss_or_sid_or_with_one_twice_is_malformed_and_ends_nothing() {
    let world = World::start();
    let mut browser = logged_in(&world, PERSON);
    let (issuer, sid) = (issuer(&world), sid_of(&world, PERSON));
    let both = frame(&issuer, &sid);
    for target in [
        FRONT.to_owned(),
        format!("{FRONT}?sid={sid}"),
        format!("{FRONT}?iss={issuer}"),
        format!("{both}&sid={sid}"),
        format!("{both}&sid=other"),
        format!("{both}&iss={issuer}"),
    ] {
        let response = world.curl(&target, "");
        assert_eq!(response.status, 400, "{target}");
        assert!(!response.text().contains(&sid), "{target}");
    }
    assert_eq!(
        world
            .send(format!(
                "POST {both} HTTP/1.1\r\nHost: {{host}}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
            ))
            .status,
        405
    );
    assert!(is_in(&mut browser));
    let alarm = "register frontchannel_logout_session_required";
    await_that("the operator is told", || world.errors().contains(alarm).then_some(()));
    world.finish();
}

/// Anybody can call. What is left out of the log is counted, and the end itself counts all the same.
#[test]
fn a_flood_of_calls_fills_no_log() {
    let world = World::start();
    let mut browser = logged_in(&world, PERSON);
    let unlogged = || {
        let metrics = world.admin("/metrics").text();
        let line = metrics.lines().find(|line| line.starts_with("portvakt_unlogged_total"))?;
        line.rsplit_once(' ')?.1.parse::<usize>().ok()
    };
    let mut calls = 0;
    while unlogged().is_none() {
        for _ in 0..50 {
            calls += 1;
            assert_eq!(world.curl(&frame(&issuer(&world), &format!("invented-{calls}")), "").status, 200);
        }
        assert!(calls < 5_000, "every call has its line");
    }
    let logged = calls - unlogged().unwrap();
    let lines = world.await_audit(1 + logged);
    let front = lines.iter().filter(|line| line["action"] == "frontchannel_logout").count();
    assert_eq!(front, logged);
    world.curl(&frame(&issuer(&world), &sid_of(&world, PERSON)), "");
    assert!(!is_in(&mut browser));
    world.finish();
}

/// Cookies, if a browser should send them, are neither needed nor looked at.
#[test]
fn a_frame_with_somebodys_cookies_ends_the_named_session_only() {
    let world = World::start();
    let mut browser = logged_in(&world, PERSON);
    let mut neighbour = logged_in(&world, "bankid-high-2");
    let sid = sid_of(&world, PERSON);
    let target = frame(&issuer(&world), &sid);
    let page = neighbour.step(&target);
    assert_eq!((page.status(), page.response.head.all("set-cookie").len()), (200, 0));
    assert!(!is_in(&mut browser) && is_in(&mut neighbour));
    world.finish();
}

/// LO-2: the logout overtakes the login. Once more with `prompt=login`, then in.
#[test]
fn a_session_that_ended_before_its_callback_is_asked_for_anew_once() {
    for channels in [["front"], ["back"]] {
        let world = World::start();
        register(&world, &channels);
        let mut browser = world.browser();
        let callback = browser.callback("/app/letters?x=1", PERSON);
        sid_of(&world, PERSON);
        assert_eq!(end_at_provider(&world, PERSON), [(channels[0].to_owned(), 200)]);
        let page = browser.open(callback.as_str());
        assert!(browser.at_login_page(&page), "{}", page.text());
        assert_eq!((world.app.count(), browser.session_cookie()), (0, None));
        let page = browser.choose(&page, PERSON);
        assert_eq!((page.status(), page.target()), (200, "/app/letters?x=1"));
        assert!(is_in(&mut browser));
        world.finish();
    }
}

/// LO-2: the same where nobody knows when the person authenticated, however late the answer comes.
#[test]
fn a_session_that_ended_before_its_callback_does_not_begin_without_auth_time() {
    for channels in [["front"], ["back"]] {
        let world = World::start();
        register(&world, &channels);
        world.control(&json!({ "id_token_claims": { "auth_time": null } }));
        let mut browser = world.browser();
        let callback = browser.callback("/app/letters?x=1", PERSON);
        sid_of(&world, PERSON);
        assert_eq!(end_at_provider(&world, PERSON), [(channels[0].to_owned(), 200)]);
        let ended = Clock::start().now().seconds();
        await_that("the second of the end is over", || {
            (Clock::start().now().seconds() > ended + 1).then_some(())
        });
        let page = browser.open(callback.as_str());
        assert!(browser.at_login_page(&page), "{}", page.text());
        assert_eq!((world.app.count(), browser.session_cookie()), (0, None));
        // Who logs in anew has another session there.
        world.control(&json!({ "id_token_claims": {} }));
        let page = browser.choose(&page, PERSON);
        assert_eq!((page.status(), page.target()), (200, "/app/letters?x=1"));
        world.finish();
    }
}

/// A provider that answers `prompt=login` with the ended session again: a page, not a loop.
#[test]
fn a_session_that_stays_ended_comes_to_a_page() {
    let world = World::start();
    let mut browser = world.browser();
    let callback = browser.callback("/app/letters?x=1", PERSON);
    // The service is told, and the provider's own session lives on.
    let sid = sid_of(&world, PERSON);
    // Its clock is behind, so that the next authentication is older than the end of the session.
    world.control(&json!({ "clock_offset_seconds": -5 }));
    assert_eq!(load_frame(&world, &issuer(&world), &sid).status, 200);
    let seconds = || Clock::start().now().seconds();
    let ended = seconds();
    let page = browser.open(callback.as_str());
    assert!(browser.at_login_page(&page), "prompt=login: {}", page.text());
    let page = browser.choose(&page, PERSON);
    page.shows(403, "Du er logget ut");
    assert!(
        page.links()[0].starts_with("/oauth2/login?redirect=%2Fapp%2Fletters%3Fx%3D1"),
        "{:?}",
        page.links()
    );
    assert_eq!((world.app.count(), browser.session_cookie()), (0, None));
    assert_eq!(world.calls("token"), 2);
    // The clocks go on: whoever authenticates after the end is let in, under the same `sid`.
    await_that("the second of the end is over", || (seconds() > ended).then_some(()));
    world.control(&json!({ "clock_offset_seconds": 8 }));
    let page = browser.open(&page.links()[0]);
    let page = if browser.at_login_page(&page) { browser.choose(&page, PERSON) } else { page };
    assert_eq!((page.status(), page.target()), (200, "/app/letters?x=1"));
    assert_eq!(sid_of(&world, PERSON), sid);
    world.finish();
}

#[test]
fn a_logout_while_the_person_chooses_is_no_obstacle() {
    let world = World::start();
    let mut browser = logged_in(&world, PERSON);
    sid_of(&world, PERSON);
    // A second tab begins a login that needs the person.
    let page = browser.open("/oauth2/login?redirect=/app/y&prompt=login");
    assert!(browser.at_login_page(&page));
    end_at_provider(&world, PERSON);
    assert!(!is_in(&mut browser));
    let page = browser.choose(&page, PERSON);
    assert_eq!((page.status(), page.target()), (200, "/app/y"));
    world.finish();
}

const FALSE_TOKENS: [&str; 6] = [
    "logout_token_wrong_iss",
    "logout_token_wrong_aud",
    "logout_token_with_nonce",
    "logout_token_missing_events",
    "logout_token_expired",
    "logout_token_bad_signature",
];

#[test]
fn no_false_logout_token_ends_a_session() {
    let world = World::start();
    register(&world, &["back"]);
    for name in FALSE_TOKENS {
        let mut browser = logged_in(&world, PERSON);
        sid_of(&world, PERSON);
        world.control(&json!({ "lies": [{ "name": name }] }));
        assert_eq!(end_at_provider(&world, PERSON), [("back".to_owned(), 400)], "{name}");
        assert!(is_in(&mut browser), "{name}");
    }
    await_that("the audit log has them all", || {
        let refused = |line: &&Value| line["code"] == "logout_token_rejected";
        (world.audit_log().iter().filter(refused).count() == FALSE_TOKENS.len()).then_some(())
    });
    world.finish();
}

/// Without `sid` the token is about a subject; ID-porten's is another kind of `sub` than in ID tokens
/// (dossier 3.4), so it fits nobody.
#[test]
fn a_logout_token_without_sid_ends_nobody_by_a_foreign_subject() {
    let world = World::start();
    register(&world, &["back"]);
    let mut browser = logged_in(&world, PERSON);
    sid_of(&world, PERSON);
    world.control(&json!({ "lies": [{ "name": "logout_token_missing_sid" }] }));
    assert_eq!(end_at_provider(&world, PERSON), [("back".to_owned(), 200)]);
    assert!(is_in(&mut browser));
    world.finish();
}

/// Whoever logs in between two posts of one token is not logged out by the second.
#[test]
fn a_logout_token_counts_once() {
    let world = World::start();
    register(&world, &["back"]);
    let mut browser = logged_in(&world, PERSON);
    sid_of(&world, PERSON);
    world.control(&json!({ "lies": [{ "name": "logout_token_twice" }] }));
    assert_eq!(end_at_provider(&world, PERSON), [("back".to_owned(), 200), ("back".to_owned(), 400)]);
    assert!(!is_in(&mut browser));
    await_that("the audit log says so", || {
        world.audit_log().iter().any(|line| line["code"] == "replayed").then_some(())
    });
    world.finish();
}

/// The keys may have changed since the gateway saw them: the provider tries once only (dossier 3.4).
#[test]
fn a_logout_token_under_new_keys_is_believed() {
    let world = World::start();
    register(&world, &["back"]);
    let mut browser = logged_in(&world, PERSON);
    sid_of(&world, PERSON);
    world.control(&json!({ "rotate_keys": "sudden" }));
    assert_eq!(end_at_provider(&world, PERSON), [("back".to_owned(), 200)]);
    assert!(!is_in(&mut browser));
    world.finish();
}

/// An ID token is no logout token, whoever posts it.
#[test]
fn what_is_no_logout_token_is_refused() {
    let world = World::start();
    let mut browser = logged_in(&world, PERSON);
    let page = browser.open("/oauth2/logout");
    let (_, fields) = page.form().expect("the logout form");
    let hint = fields.iter().find(|(name, _)| name == "id_token_hint").expect("a hint").1.clone();
    world.secrets.add(&hint);
    let mut other = logged_in(&world, PERSON);
    for body in [
        format!("logout_token={hint}"),
        "logout_token=".to_owned(),
        "logout_token=a.b.c".to_owned(),
        format!("logout_token={}", "a".repeat(40_000)),
        "logout_token=a.b.c&logout_token=a.b.c".to_owned(),
        "token=a.b.c".to_owned(),
        String::new(),
    ] {
        let response = post(&world, &body);
        assert_eq!(response.status, 400, "{} bytes", body.len());
        assert_eq!(response.header("cache-control"), Some("no-store"), "{} bytes", body.len());
    }
    // More than a form may hold: refused, or cut off while it is still being sent.
    let huge = post(&world, &format!("logout_token={}", "a".repeat(1_000_000)));
    assert!([0, 400, 413].contains(&huge.status), "{}", huge.status);
    assert_eq!(world.curl(BACK, "").status, 405);
    assert!(is_in(&mut other));
    world.finish();
}

/// The initiator is called as well: the provider's frames reach the gateway, and nothing comes undone.
#[test]
fn a_logout_that_began_here_calls_us_too() {
    let world = World::start();
    let mut browser = logged_in(&world, PERSON);
    let sid = sid_of(&world, PERSON);
    let page = browser.open("/oauth2/logout");
    assert!(!is_in(&mut browser), "it ends here first");
    let provider = browser.submit(&page, &[]);
    let frames = provider.frames();
    assert!(frames.iter().any(|frame| frame.contains(FRONT) && frame.contains(&sid)), "{frames:?}");
    let page = browser.leave_provider(&provider);
    page.shows(200, "Du er logget ut");
    assert_eq!(page.url.path(), "/oauth2/logout/callback");
    assert_eq!(browser.session_cookie(), None);
    await_that("both channels have called", || {
        let actions = world.audit_log();
        let has =
            |action: &str| actions.iter().any(|line| line["action"] == action && line["result"] == "success");
        (has("logout") && has("frontchannel_logout") && has("backchannel_logout")).then_some(())
    });
    let page = browser.open("/app/x");
    assert!(browser.at_login_page(&page), "no silent way back in");
    world.finish();
}

/// The provider may encode `state` once more on the way back (dossier 3.2); the target is reached all the same.
#[test]
fn a_logout_leads_where_it_was_asked_to() {
    let world = World::start();
    for lies in [json!([]), json!([{ "name": "logout_state_encoded" }])] {
        let mut browser = logged_in(&world, PERSON);
        world.control(&json!({ "lies": lies }));
        let page = browser.log_out("/oauth2/logout?redirect=/public/bye");
        assert_eq!((page.status(), page.target()), (200, "/public/bye"));
        assert!(!is_in(&mut browser));
    }
    world.finish();
}

/// Dossier 7, no. 10.
///
/// `sid` is what a provider can end a session by: where it can send one, a login without is refused, and the operator
/// is told what to change.
#[test]
fn a_login_that_the_provider_could_not_end_is_refused() {
    let world = World::start();
    world.control(&json!({ "lies": [{ "name": "id_token_missing_sid" }] }));
    let mut browser = world.browser();
    let page = browser.log_in("/app/x", PERSON);
    page.shows(502, "Innloggingen er ikke satt opp riktig");
    assert_eq!((browser.session_cookie(), world.app.count()), (None, 0));
    // Whoever may not enter can log out at the provider, and try again.
    let links = page.links();
    assert!(links.iter().any(|link| link.starts_with("/oauth2/logout")), "{links:?}");
    let record = world.await_audit(1).pop().unwrap();
    assert_eq!(
        (record["action"].as_str(), record["result"].as_str()),
        (Some("login"), Some("failure")),
        "{record}"
    );
    assert!(record.to_string().contains("no_sid"), "{record}");
    // The operator is told what to change, where, and for which client.
    let errors = world.errors();
    let line = errors.lines().find(|line| line.contains("an ID token has no sid")).unwrap();
    assert!(
        line.contains("frontchannel_logout_session_required") && line.contains("portvakt-demo"),
        "{line}"
    );
    // The registration has been put right.
    assert_eq!(browser.open(&links[0]).status(), 200);
    world.finish();
}

#[test]
fn a_login_without_sid_that_was_allowed_can_be_ended_here() {
    let world = World::with(Settings::default().provider("insecure_login_without_sid: true"));
    world.control(&json!({ "lies": [{ "name": "id_token_missing_sid" }] }));
    let mut browser = logged_in(&world, PERSON);
    let mut copy = world.browser();
    copy.jar = browser.jar.clone();
    let page: Page = browser.log_out("/oauth2/logout");
    page.shows(200, "Du er logget ut");
    assert!(!is_in(&mut browser) && !is_in(&mut copy));
    await_that("the operator is told", || world.errors().contains("an ID token has no sid").then_some(()));
    world.finish();
}

/// A plain provider that promises no `sid` cannot be asked for one: a login counts, and the provider's end of it does
/// not reach the session, which ends here.
#[test]
fn a_plain_provider_that_promises_no_sid_logs_people_in() {
    let mut world = World::with(Settings {
        profile: "oidc",
        routes: vec!["{path: '/app/**', access: login, upstream: app}".to_owned()],
        ..Settings::default()
    });
    world.control(&json!({ "lies": [{ "name": "discovery_without_sid" }, { "name": "id_token_missing_sid", "times": 9 }] }));
    // Another setting of the provider, so that its metadata is fetched anew.
    world.settings.provider.push("locale: nb".to_owned());
    world.write_configuration();
    world.gateway().signal("HUP");
    await_that("the metadata is fetched anew", || {
        (!world.simulator_state()["lies"].to_string().contains("discovery_without_sid")).then_some(())
    });
    await_that("the gateway is ready", || (world.admin("/readyz").status == 200).then_some(()));
    register(&world, &["back"]);
    let mut browser = logged_in(&world, PERSON);
    let mut copy = world.browser();
    copy.jar = browser.jar.clone();
    browser.log_out("/oauth2/logout").shows(200, "Du er logget ut");
    assert!(!is_in(&mut browser) && !is_in(&mut copy));
    let mut browser = logged_in(&world, PERSON);
    sid_of(&world, PERSON);
    assert_eq!(end_at_provider(&world, PERSON), [("back".to_owned(), 200)]);
    assert!(is_in(&mut browser), "nothing tells which session it was");
    world.finish();
}

/// A gateway that starts again has not seen what ended meanwhile: nobody's session outlives that.
#[test]
fn what_ended_before_a_restart_stays_ended() {
    let mut world = World::with(Settings::default());
    let mut jar = {
        let mut browser = logged_in(&world, PERSON);
        sid_of(&world, PERSON);
        end_at_provider(&world, PERSON);
        assert!(!is_in(&mut browser));
        browser.jar.clone()
    };
    world.restart_gateway();
    let mut browser = world.browser();
    std::mem::swap(&mut browser.jar, &mut jar);
    assert!(!is_in(&mut browser));
    world.finish();
}

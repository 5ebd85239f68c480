//! An app's cookie goes where it was set, and nowhere else.

use http::header::COOKIE;
use proptest::prelude::*;

use super::*;
use crate::key::KeyId;

const NOW: Timestamp = Timestamp::from_seconds(1_790_000_000);

fn ring() -> Ring<SealKey> {
    Ring::single(KeyId([1, 2, 3, 4]), Timestamp::from_seconds(0), SealKey::new(&[7; 32]))
}

fn app(audience: &str) -> AppSession {
    app_within(audience, None)
}

fn app_within(audience: &str, within: Option<&str>) -> AppSession {
    let names = ["JSESSIONID", "ASPSESSIONID*", "my_session"].map(|name| CookieName::parse(name).unwrap());
    let logout = AppLogout { target: "/app/logout?x=1".to_owned(), post: false };
    AppSession::new(names.to_vec(), Some(logout), audience, within)
}

fn person(session: SessionId) -> Standing {
    Standing { session: Some(session), person: true, certain: true }
}

const NOBODY: Standing = Standing { session: None, person: false, certain: true };

fn sealing(ring: &Ring<SealKey>) -> Sealing<'_> {
    Sealing { host: "a.no", ring, now: NOW }
}

/// What a browser keeps of a `Set-Cookie`: the pair.
fn set(app: &AppSession, line: &str, path: &str, standing: Standing) -> String {
    match app.bind(line.as_bytes(), path, standing, sealing(&ring())) {
        Bound::As(line) => line.to_str().unwrap().split(';').next().unwrap().to_owned(),
        other => panic!("{line}: {other:?}"),
    }
}

fn open(app: &AppSession, cookies: &[&str], path: &str, standing: Standing) -> (Option<String>, usize) {
    let headers: HeaderMap =
        cookies.iter().map(|line| (COOKIE, HeaderValue::from_bytes(line.as_bytes()).unwrap())).collect();
    let held = app.open(&headers, path, standing, sealing(&ring()));
    let line = match held.cookies {
        ForUpstream::Line(line) => Some(String::from_utf8(line.as_bytes().to_vec()).unwrap()),
        ForUpstream::None => None,
        ForUpstream::AsReceived => panic!("what was received is never sent as it is"),
    };
    (line, held.over.len())
}

#[test]
fn the_app_gets_its_own_value_within_the_session_that_it_was_set_in() {
    let (app, session) = (app("app"), SessionId::random());
    let kept = set(&app, "JSESSIONID=\"a b=c\"; Path=/; Domain=no; Secure", "/app/x", person(session));
    assert!(kept.starts_with("__Host-portvakt-app-") && kept.contains("-JSESSIONID="), "{kept}");
    assert!(!kept.contains("a b"));
    let both = format!("lang=nb; {kept}; b=\"x\"");
    assert_eq!(
        open(&app, &[&both], "/app/x", person(session)),
        (Some("JSESSIONID=\"a b=c\"; lang=nb; b=\"x\"".into()), 0)
    );
    // Of HTTP/2's many lines one is made.
    assert_eq!(
        open(&app, &["lang=nb", &kept], "/", person(session)),
        (Some("JSESSIONID=\"a b=c\"; lang=nb".into()), 0)
    );
}

#[test]
fn no_other_session_and_nobody_gets_it() {
    let (app, session) = (app("app"), SessionId::random());
    let kept = set(&app, "JSESSIONID=a", "/app/x", person(session));
    let untold = Standing { person: false, ..person(session) };
    assert_eq!(open(&app, &[&kept], "/app/x", person(SessionId::random())), (None, 1));
    assert_eq!(open(&app, &[&kept], "/app/x", NOBODY), (None, 1));
    // The person is there, and this route does not tell the app of anybody.
    assert_eq!(open(&app, &[&kept], "/app/x", untold), (None, 0));
    // Nobody knows whether the session has ended.
    assert_eq!(open(&app, &[&kept], "/app/x", Standing { certain: false, ..NOBODY }), (None, 0));
}

#[test]
fn what_began_before_a_login_is_no_part_of_it_and_does_not_come_back() {
    let (app, session) = (app("app"), SessionId::random());
    let before = set(&app, "JSESSIONID=fixed", "/app/x", NOBODY);
    assert_eq!(open(&app, &[&before], "/app/x", NOBODY), (Some("JSESSIONID=fixed".into()), 0));
    assert_eq!(open(&app, &[&before], "/app/x", person(session)), (None, 1));
    assert_eq!(open(&app, &[&before], "/app/x", Standing { person: false, ..person(session) }), (None, 1));
    // As nobody's during a session: with its end it is over, too.
    let during = set(&app, "JSESSIONID=b", "/app/x", Standing { person: false, ..person(session) });
    assert_eq!(open(&app, &[&during], "/app/x", NOBODY), (None, 1));
    assert_ne!(
        before.split('=').next(),
        set(&app, "JSESSIONID=c", "/app/x", person(session)).split('=').next()
    );
}

#[test]
fn an_app_gets_what_it_set_itself() {
    let session = SessionId::random();
    let (one, other) = (app("one"), app("other"));
    let kept = set(&one, "JSESSIONID=a; Path=/", "/x", person(session));
    assert_eq!(open(&other, &[&kept], "/x", person(session)), (None, 0));
    // The name says so, and the seal: under the other's name nothing opens.
    let (name, value) = kept.split_once('=').unwrap();
    let own = set(&other, "JSESSIONID=a; Path=/", "/x", person(session));
    let swapped = format!("{}={value}", own.split('=').next().unwrap());
    assert_ne!(own.split('=').next(), Some(name));
    assert_eq!(open(&other, &[&swapped], "/x", person(session)), (None, 0));
}

#[test]
fn paths_are_kept_and_longer_ones_come_first() {
    let (app, session) = (app("app"), SessionId::random());
    let root = set(&app, "JSESSIONID=root; Path=/", "/app/x", person(session));
    let deep = set(&app, "JSESSIONID=deep; path=/elsewhere; PATH=/app", "/app/x", person(session));
    let usual = set(&app, "JSESSIONID=usual; Path=app", "/app/y/x", person(session));
    let all = format!("{root}; {usual}; {deep}");
    for (path, expected) in [
        ("/app/y/z", "JSESSIONID=usual; JSESSIONID=deep; JSESSIONID=root"),
        ("/app", "JSESSIONID=deep; JSESSIONID=root"),
        ("/apple", "JSESSIONID=root"),
    ] {
        assert_eq!(open(&app, &[&all], path, person(session)), (Some(expected.into()), 0), "{path}");
    }
}

#[test]
fn what_a_browser_says_under_a_listed_name_reaches_no_app_in_any_spelling() {
    let app = app("app");
    for planted in [
        "JSESSIONID=x",
        "jsessionid=x",
        " JSESSIONID = x",
        "JSESSIONID",
        "ASPSESSIONIDQQ=x",
        "my.session=x",
        "my session=x",
        "my_session[0]=x",
        "%6Dy_session=x",
        "a=b,JSESSIONID=x",
        "a=\"b, JSESSIONID=x\"",
        "a=b JSESSIONID=x",
        "=JSESSIONID=x",
        "__Host-portvakt-app-00000000-00000000-JSESSIONID=x",
    ] {
        let (line, _) = open(&app, &[planted], "/", NOBODY);
        let read = line.as_deref().unwrap_or_default();
        assert!(!read.to_ascii_lowercase().contains("session"), "{planted}: {read}");
    }
    for kept in ["JSESSIONIDX=1", "a=JSESSIONID", "b=the JSESSIONIDs", "XJSESSIONID=1", "mysession=1"] {
        assert_eq!(open(&app, &[kept], "/", NOBODY).0.as_deref(), Some(kept));
    }
}

#[test]
fn what_is_set_is_never_for_scripts_and_ends_when_the_app_says_so() {
    let (app, session) = (app("app"), SessionId::random());
    let line = |line: &str| match app.bind(line.as_bytes(), "/", person(session), sealing(&ring())) {
        Bound::As(line) => line.to_str().unwrap().split_once("; ").unwrap().1.to_owned(),
        other => panic!("{other:?}"),
    };
    assert_eq!(line("JSESSIONID=a"), "HttpOnly; Secure; Path=/; SameSite=Lax");
    assert_eq!(
        line(
            "JSESSIONID=; max-age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT; SameSite=strict; Domain=a.no; Partitioned"
        ),
        "HttpOnly; Secure; Path=/; Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT; SameSite=Strict"
    );
    let bound = |line: &[u8]| app.bind(line, "/", person(session), sealing(&ring()));
    assert_eq!(bound(b"lang=nb"), Bound::NotListed);
    assert_eq!(bound(format!("JSESSIONID={}", "x".repeat(4000)).as_bytes()), Bound::TooLong);
    assert_eq!(forget("__Host-portvakt-app-0-0-a").to_str().unwrap().split(';').nth(4), Some(" Path=/"));
}

#[test]
fn a_logout_finds_the_cookies_of_the_session_that_ended() {
    let (app, session) = (app("app"), SessionId::random());
    let of_person = set(&app, "JSESSIONID=a; Path=/app", "/app/x", person(session));
    let of_nobody =
        set(&app, "JSESSIONID=b; Path=/app", "/app/x", Standing { person: false, ..person(session) });
    let elsewhere = set(&app, "JSESSIONID=c; Path=/other", "/other", person(session));
    let line = format!("{of_person}; {of_nobody}; {elsewhere}; JSESSIONID=d; lang=nb");
    let headers: HeaderMap = [(COOKIE, HeaderValue::try_from(line).unwrap())].into_iter().collect();
    let found = app.of_ended(&headers, session, sealing(&ring()));
    assert_eq!(found, Some(HeaderValue::from_static("JSESSIONID=a")));
    assert_eq!(app.of_ended(&headers, SessionId::random(), sealing(&ring())), None);
    assert_eq!(forget_all(&headers, |_| false).count(), 3);
}

#[test]
fn an_app_keeps_a_session_in_each_named_one_of_ours_and_they_do_not_touch_each_other() {
    let (usual, staff) = (app("app"), app_within("app", Some("staff")));
    let (citizen, employee) = (SessionId::random(), SessionId::random());
    let of_citizen = set(&usual, "JSESSIONID=a", "/", person(citizen));
    let of_employee = set(&staff, "JSESSIONID=b", "/", person(employee));
    let both = format!("{of_citizen}; {of_employee}");
    assert_eq!(open(&usual, &[&both], "/", person(citizen)), (Some("JSESSIONID=a".into()), 0));
    assert_eq!(open(&staff, &[&both], "/", person(employee)), (Some("JSESSIONID=b".into()), 0));
    // The end of one is not that of the other.
    assert_eq!(open(&staff, &[&both], "/", NOBODY), (None, 1));
    let headers: HeaderMap = [(COOKIE, both.parse().unwrap())].into_iter().collect();
    let left: Vec<_> = forget_all(&headers, |name| usual.holds(name)).collect();
    assert_eq!(left.len(), 1);
    assert!(of_employee.starts_with(left[0].to_str().unwrap().split('=').next().unwrap()));
    assert!(!app("other").holds(of_citizen.split('=').next().unwrap()));
}

#[test]
fn names_are_names() {
    for wrong in ["", "*", "AB*", "a b", "a;b", "a=b", "*ID", "a*b", "portvakt-x", "__Host-portvakt", "æ"] {
        assert!(CookieName::parse(wrong).is_err(), "{wrong}");
    }
}

proptest! {
    #[test]
    fn bytes_come_back_as_they_were(value in "[\\x21-\\x3a\\x3c-\\x7e\\u{80}-\\u{ff}]{0,100}") {
        let (app, session) = (app("app"), SessionId::random());
        let kept = set(&app, &format!("JSESSIONID={value}"), "/", person(session));
        let (line, over) = open(&app, &[&kept], "/", person(session));
        prop_assert_eq!((line, over), (Some(format!("JSESSIONID={value}")), 0));
    }

    #[test]
    fn no_cookies_panic(line in proptest::collection::vec(32_u8..=255, 0..120)) {
        if let Ok(line) = HeaderValue::from_bytes(&line) {
            let headers: HeaderMap = [(COOKIE, line.clone())].into_iter().collect();
            let app = app("app");
            let _ = app.open(&headers, "/", NOBODY, sealing(&ring()));
            let _ = app.bind(line.as_bytes(), "/", NOBODY, sealing(&ring()));
            let _ = forget_all(&headers, |_| false).count();
        }
    }
}

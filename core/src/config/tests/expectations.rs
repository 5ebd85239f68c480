//! What a file expects of itself.

use super::*;
use crate::config::Outcome;

fn tests(lines: &str) -> String {
    format!("{BASE}\ntests:\n{lines}")
}

#[test]
fn expectations_are_read_with_their_places() {
    let text = tests(
        "  - {request: 'POST https://a.no/x?y', as: 'eidas:low,country=SE', with: {Origin: 'https://b.no'}, expect: refused}\n  - {request: 'GET https://a.no', as: nobody, expect: forward, upstream: app, headers: [X-A], not_headers: [X-B]}\n",
    );
    let configuration = check(&text).unwrap().configuration;
    let [first, second] = &configuration.tests[..] else { panic!("{:?}", configuration.tests) };
    assert_eq!((first.method.as_str(), first.url.as_str()), ("POST", "https://a.no/x?y"));
    assert_eq!(first.who.as_ref().unwrap().to_string(), "eidas:low,country=SE");
    assert_eq!((first.outcome, first.with.len()), (Outcome::Refused, 1));
    let line = text.lines().position(|line| line.contains("POST")).unwrap() + 1;
    assert!(first.place.starts_with(&format!("gateway.yaml:{line}:")), "{}", first.place);
    assert_eq!((&second.who, second.upstream.as_deref()), (&None, Some("app")));
    assert_eq!(
        (second.headers.as_slice(), second.not_headers.as_slice()),
        (&["x-a".to_owned()][..], &["x-b".to_owned()][..])
    );
}

#[test]
fn what_is_no_expectation_is_named() {
    for (line, said) in [
        ("{request: 'GET /app', expect: login}", "is no request"),
        ("{request: 'get https://a.no/', expect: login}", "is no request"),
        ("{request: 'https://a.no/', expect: login}", "is no request"),
        ("{request: 'GET https://a.no/', as: 'citizen', expect: login}", "there is no kind of identity"),
        ("{request: 'GET https://a.no/', as: 'national:huge', expect: login}", "there is no level"),
        (
            "{request: 'GET https://a.no/', as: 'national:high,country=SE', expect: login}",
            "is neither `country=SE`",
        ),
        ("{request: 'GET https://a.no/', expect: logni}", "did you mean `login`?"),
        ("{request: 'GET https://a.no/', expect: login, upstream: app}", "`upstream` says nothing"),
        ("{request: 'GET https://a.no/', expect: forward, headers: ['a b']}", "is no header name"),
        ("{request: 'GET https://a.no/'}", "expect"),
        ("{expect: login}", "request"),
    ] {
        let problems = check(&tests(&format!("  - {line}\n"))).unwrap_err().to_string();
        assert!(problems.contains(said), "{line}: {problems}");
    }
}

//! Two gateways that share a real Redis: one of them exchanges, and the other takes over what came of it.

use super::*;
use crate::replicas::redis::Redis;

fn pair(redis: &Redis) -> (World, World) {
    let shared = |settings: Settings| {
        settings.top(&format!(
            "revocation: {{max_lag: 1s, stream: {{servers: ['redis://127.0.0.1:{}']}}}}",
            redis.port
        ))
    };
    let one = World::with(shared(settings()));
    let issuer = format!("{}/idporten", one.simulator());
    let other = World::with(shared(Settings { issuer: Some(issuer), ..settings() }));
    (one, other)
}

#[test]
fn what_one_replica_exchanged_another_takes_over_although_the_browser_has_the_old_one() {
    let redis = Redis::start();
    let (one, other) = pair(&redis);
    let mut browser = with_an_old_token(&one);
    let old = cookies(&browser, &one);
    assert_eq!(browser.fetch("/token/").status(), 200);
    let token = bearer(&one);
    // A request that was on its way meanwhile, or the reply was lost.
    let answer = other.curl("/token/", &old);
    assert_eq!((answer.status, bearer(&other)), (200, token.clone()));
    assert_eq!(set(&answer)[0], (COOKIE.to_owned(), false));
    assert_eq!((one.calls("refresh"), refreshable(&one)), (1, json!(1)), "it was used once");
    assert_eq!((metric(&one, "exchanged"), metric(&other, "taken_over")), (1, 1));
    answer.head.all("set-cookie").iter().for_each(|line| other.secrets.add_set_cookie(line));
    // The store holds a sealed note, and nobody's token or session.
    let names = redis.names("{portvakt}:exchange:*");
    let [name] = names.as_slice() else { panic!("{names:?}") };
    let note = redis.say(&format!("GET {name}"));
    assert!(note.len() > 100 && !note.contains(&token), "{note}");
    let life: u64 = redis
        .say(&format!("PTTL {name}"))
        .trim_matches(|letter: char| !letter.is_ascii_digit())
        .parse()
        .unwrap();
    assert!((500_000..=600_000).contains(&life), "{life}");
    // Whatever stands there instead is no note.
    let late = with_an_old_token(&one);
    let (old, began) = (cookies(&late, &one), one.calls("refresh"));
    assert_eq!(one.curl("/token/", &old).status, 200);
    one.control(&json!({"refresh_reuse_ends": false}));
    for name in redis.names("{portvakt}:exchange:*") {
        redis.say(&format!("SET {name} made-up"));
    }
    let answer = other.curl("/token/", &old);
    assert_eq!(
        (answer.status, one.calls("refresh")),
        (503, began + 2),
        "as without a store: {}",
        answer.text()
    );
    other.finish();
    one.finish();
}

#[test]
fn twenty_requests_at_two_replicas_are_one_exchange() {
    let redis = Redis::start();
    let (one, other) = pair(&redis);
    let browser = with_an_old_token(&one);
    one.control(&json!({"delay_milliseconds": {"refresh": 400}}));
    let sent = cookies(&browser, &one);
    let answers: Vec<Response> = thread::scope(|scope| {
        let ask = |world| {
            let sent = &sent;
            scope.spawn(move || World::curl(world, "/token/", sent))
        };
        let asked: Vec<_> = (0..20).map(|at| ask(if at % 2 == 0 { &one } else { &other })).collect();
        asked.into_iter().map(|one| one.join().unwrap()).collect()
    });
    assert!(
        answers.iter().all(|answer| answer.status == 200),
        "{:?}",
        answers.iter().map(|one| one.status).collect::<Vec<_>>()
    );
    assert_eq!((one.calls("refresh"), refreshable(&one)), (1, json!(1)));
    assert_eq!(bearer(&one), bearer(&other));
    for line in answers.iter().flat_map(|answer| answer.head.all("set-cookie")) {
        one.secrets.add_set_cookie(line);
        other.secrets.add_set_cookie(line);
    }
    other.finish();
    one.finish();
}

#[test]
fn without_the_store_tokens_are_exchanged_all_the_same() {
    let mut redis = Redis::start();
    let lenient =
        "{path: '/lenient/**', access: login, upstream: app, access_token: true, revocation: available}";
    let settings = settings().route(lenient);
    let world = World::with(settings.top(&format!(
        "revocation: {{max_lag: 1s, stream: {{servers: ['redis://127.0.0.1:{}']}}}}",
        redis.port
    )));
    let mut browser = with_an_old_token(&world);
    redis.process.kill();
    assert_eq!(browser.fetch("/lenient/").status(), 200);
    assert!(!userinfo(&world, &bearer(&world)).is_null());
    assert_eq!((world.calls("refresh"), metric(&world, "exchanged")), (1, 1));
    world.finish();
}

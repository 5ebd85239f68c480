//! When nobody can say which sessions have ended: strict routes wait, others go on, and it passes by itself
//! (`design.md` D1; `threats.md` LO-8).

use crate::harness::process::await_that;
use crate::harness::{Settings, World};

#[test]
fn while_the_file_of_ended_sessions_cannot_be_written_strict_routes_wait_and_then_go_on() {
    let world = World::with(
        Settings::default()
            .route("{path: '/lenient/**', access: login, revocation: available, upstream: app}"),
    );
    let mut browser = world.browser();
    assert_eq!(browser.log_in("/app/", "bankid-high").status(), 200);
    let file = world.configuration().with_file_name(".portvakt").join("revocations.log");
    // A folder in its place: it can neither be appended to nor replaced by a file.
    std::fs::remove_file(&file).unwrap();
    std::fs::create_dir_all(file.join("occupied")).unwrap();

    let page = await_that("strict routes wait", || {
        let page = browser.open("/app/");
        (page.status() == 503).then_some(page)
    });
    assert_eq!(page.response.header("retry-after"), Some("5"));
    assert!(page.text().contains("lang="), "a page, for a person waits");
    assert_eq!(world.admin("/readyz").status, 503);
    let forwarded = world.app.received().len();
    assert_eq!(browser.fetch("/app/").status(), 503);
    assert_eq!(world.app.received().len(), forwarded, "nothing reached the app");
    assert_eq!(browser.fetch("/public/").status(), 200);
    assert_eq!(browser.fetch("/optional/").status(), 200);
    assert_eq!(world.app.last().header("x-identity-fnr"), None, "an optional route tells of nobody");
    assert_ne!(browser.fetch("/lenient/").status(), 503);

    std::fs::remove_dir_all(&file).unwrap();
    await_that("it has recovered", || (world.admin("/readyz").status == 200).then_some(()));
    // What was lost with the file may have been an end: the session begins anew, without a word.
    let logins = world.calls("login");
    assert_eq!(browser.open("/app/").status(), 200);
    assert_eq!(world.calls("login"), logins);
    world.finish();
}

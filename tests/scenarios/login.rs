//! Logging in: from a page that somebody wants to that very page, with the right person at the app
//! (`threats.md` 5; `design.md` 2 and 3).

use crate::harness::World;

#[test]
fn a_navigation_ends_on_the_page_that_was_asked_for_with_its_query() {
    let world = World::start();
    let mut browser = world.browser();
    let page = browser.log_in("/app/letters/7?year=2026&q=%C3%A5", "bankid-high");
    assert_eq!((page.status(), page.target()), (200, "/app/letters/7?year=2026&q=%C3%A5"));
    assert_eq!(page.text(), "the app's page");
    let received = world.app.last();
    assert_eq!(received.target(), "/app/letters/7?year=2026&q=%C3%A5");
    assert_eq!(received.header("x-identity-fnr"), Some("24929935140"));
    world.finish();
}

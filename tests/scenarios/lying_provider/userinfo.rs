//! A lie of userinfo, where a provider tells there who it is (`threats.md` OP-7; OpenID Connect Core 1.0, 5.3.2):
//! what it says of another subject is said of nobody.

use super::{PERSON, REFUSED, RESTART, WANTED, Watch, begins_again, ended, lie, told};
use crate::harness::{Settings, World};

#[test]
fn userinfo_of_another_subject_logs_nobody_in() {
    let route = "{path: '/app/**', access: login, require: {level: substantial}, upstream: app}";
    let world = World::with(Settings::default().at("signicat", "signicat", &[route]));
    let mut browser = world.browser();
    let watch = Watch::new(&world);
    let name = "userinfo_other_sub";
    lie(&world, &[name]);
    let callback = browser.callback(WANTED, PERSON);
    let page = browser.open(callback.as_str());
    told(&world, name);
    ended(&world, &browser, &page, name, REFUSED, "identity_rejected");
    assert_eq!(browser.fetch(WANTED).status(), 401);
    assert_eq!((watch.calls("token"), watch.calls("userinfo"), watch.app()), (1, 1, 0));
    begins_again(&world, &mut browser, &page, name, RESTART);
    world.finish();
}

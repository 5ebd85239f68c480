//! Routes that leave a choice, as a file declares them.

use super::*;
use crate::identity::Kind;
use crate::language::Language;
use crate::way::Way;

const DETAILS: &str =
    "authorization_details: [{type: 'ansattporten:altinn:service', resource: 'urn:altinn:resource:2480:40'}]";

/// The base with Ansattporten beside ID-porten, and a route with these keys.
fn file(keys: &str) -> String {
    let providers = "providers:\n  ansattporten: {profile: ansattporten, issuer: 'https://ansattporten.example', \
                     client_id: demo, label: {nb: Jobb, se: Bargu}}\n";
    let base = BASE.replacen("providers:\n", providers, 1);
    format!("{base}      - {{path: '/both/**', access: login, upstream: app, {keys}}}\n")
}

fn names(route: &Route) -> Vec<String> {
    route.ways.iter().map(Way::name).collect()
}

fn sound(keys: &str) -> Loaded {
    check(&file(keys)).unwrap_or_else(|problems| panic!("{problems}"))
}

fn said(keys: &str) -> Vec<String> {
    // That the provider is of no use then is said besides.
    let errors = problems(&file(keys)).into_iter().filter(|problem| problem.severity == Severity::Error);
    errors.map(|problem| problem.message).collect()
}

#[test]
fn a_route_has_the_ways_of_the_file_in_their_order_and_what_is_asked_is_asked_where_it_is_known() {
    let loaded = sound(&format!("choose: [ansattporten, idporten], {DETAILS}"));
    let both = route(&loaded, "/both/**");
    assert_eq!(names(both), ["ansattporten", "idporten"]);
    let plans: Vec<&str> = both.plans().map(|plan| plan.name.as_str()).collect();
    assert_eq!(plans, ["ansattporten", "idporten"]);
    let requirement = both.access.requirement().unwrap();
    assert_eq!(requirement.level, Some(Level::Substantial));
    assert_eq!(requirement.kinds, [Kind::National, Kind::Employee].into());
    assert!(
        requirement.organisation && requirement.asks_at("ansattporten") && !requirement.asks_at("idporten")
    );
    let label = &both.ways[0].plan.provider.label;
    assert_eq!((label.get(Language::Se), label.get(Language::En)), (Some("Bargu"), Some("Jobb")));
}

#[test]
fn one_way_is_no_choice() {
    let loaded = sound(&format!("choose: [ansattporten], {DETAILS}"));
    let both = route(&loaded, "/both/**");
    assert!(both.ways.is_empty());
    assert_eq!(both.session.as_ref().unwrap().name, "ansattporten");
}

#[test]
fn kinds_at_one_provider_are_ways_too() {
    let loaded =
        sound("choose: ['idporten:national', 'idporten:eidas'], require: {kinds: [national, eidas]}");
    let both = route(&loaded, "/both/**");
    assert_eq!(names(both), ["idporten:national", "idporten:eidas"]);
    assert_eq!(both.plans().count(), 1);
}

#[test]
fn a_way_by_which_nobody_passes_and_a_rule_that_speaks_of_one_provider_do_not_load() {
    let mut wrong = Vec::new();
    for (keys, expected) in [
        ("choose: [idporten, nowhere]", "there is no session `nowhere`"),
        ("choose: ['idporten:x', idporten]", "`idporten:x` ends in no kind of identity"),
        ("choose: ['idporten:machine', idporten]", "`idporten:machine` ends in no kind of identity"),
        ("choose: [idporten, idporten]", "`idporten` is there twice"),
        ("choose: []", "at least one entry"),
        ("choose: idporten", "a list"),
        (
            "choose: [idporten, 'idporten:eidas'], require: {kinds: [national]}",
            "nobody passes by this way: no login at the provider `idporten`",
        ),
        (
            "choose: [idporten, ansattporten], require: {kinds: [national]}",
            "nobody passes by this way: no login at the provider `ansattporten`",
        ),
        (
            "choose: [idporten, ansattporten], session: idporten",
            "this route has a `session`, and leaves a choice",
        ),
        (
            "choose: [idporten, ansattporten], require: {providers: [idporten]}",
            "`providers` cannot be said where people choose",
        ),
        (
            "choose: [idporten, ansattporten], acr_values: [idporten-loa-high]",
            "`acr_values` cannot be said where people choose",
        ),
    ] {
        let found = said(keys);
        if found.len() != 1 || !found[0].contains(expected) {
            wrong.push((keys, found));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

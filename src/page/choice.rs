//! The page on which somebody chooses how to log in, and the page that leads on from there.
//!
//! **Invariant:** a choice is a form to ourselves; the way to the provider begins with a link of ours. So no page's policy
//! has to let forms go elsewhere, wherever the provider leads the browser from there.

use askama::Template;
use portvakt_core::access::Requirement;
use portvakt_core::identity::Kind;
use portvakt_core::language::Localised;
use portvakt_core::way::Way;

use super::{Frame, RenderedPage, Setting, html_of, policy, rendered, words};
use crate::page::words::Said;

/// What somebody may choose.
#[derive(Clone, Debug)]
pub struct Choice {
    /// Where the choice is sent.
    pub action: String,
    /// Where the same page is asked for.
    pub login: String,
    /// The ways in, in their order.
    pub ways: Vec<Offered>,
    /// What the login is for.
    pub fields: Vec<(&'static str, String)>,
    /// Whether the browser remembers a choice.
    pub remembered: bool,
}

/// One way in, as people know it.
#[derive(Clone, Debug)]
pub struct Offered {
    name: String,
    /// The operators' word.
    label: Localised,
    /// A name that is the same in every language.
    brand: Option<&'static str>,
    kind: Option<Kind>,
}

impl Offered {
    /// A way to a route that demands this.
    #[must_use]
    pub fn of(way: &Way, requirement: &Requirement) -> Self {
        const MAIN: [Kind; 3] = [Kind::National, Kind::Employee, Kind::Helper];
        let kinds = way.kinds(requirement);
        let others = [Kind::Eidas, Kind::Email, Kind::Pseudonymous];
        let kind = way.kind.or(MAIN.into_iter().chain(others).find(|kind| kinds.contains(kind)));
        // The provider's own name speaks for what it is mostly for.
        let is_main = way.kind.is_none_or(|kind| MAIN.contains(&kind));
        let brand = match way.plan.provider.profile.name {
            "idporten" | "signicat" => Some("ID-porten"),
            "ansattporten" => Some("Ansattporten"),
            _ => None,
        };
        Self {
            name: way.name(),
            label: if is_main { way.plan.provider.label.clone() } else { Localised::default() },
            brand: brand.filter(|_| is_main),
            kind,
        }
    }
}

/// The page on which somebody chooses.
#[must_use]
pub fn render_choice(choice: &Choice, setting: &Setting<'_>) -> RenderedPage {
    let language = setting.language;
    let way = |offered: &Offered| {
        let (title, description) = words::of_way(offered.kind, language);
        let label = offered.label.get(language).or(offered.brand).unwrap_or(title);
        WayTemplate { name: offered.name.clone(), title: label.to_owned(), description }
    };
    let template = ChoiceTemplate {
        frame: Frame::of(setting),
        words: Said::on("choice", words::of_choice(language), setting),
        action: &choice.action,
        fields: &choice.fields,
        ways: choice.ways.iter().map(way).collect(),
        remembered: choice.remembered,
    };
    rendered(200, html_of(&template), policy::of_kept_form().into(), setting)
}

/// The page that leads on to a link of ours, by itself where the browser does so.
#[must_use]
pub fn render_onward(to: &str, setting: &Setting<'_>) -> RenderedPage {
    let words = Said::on("onward", words::of_onward(setting.language), setting);
    let html = html_of(&OnwardTemplate { frame: Frame::of(setting), words, to });
    rendered(200, html, policy::of_page().into(), setting)
}

struct WayTemplate {
    name: String,
    title: String,
    description: &'static str,
}

#[derive(Template)]
#[template(path = "choice.html")]
struct ChoiceTemplate<'a> {
    frame: Frame<'a>,
    words: Said<'a>,
    action: &'a str,
    fields: &'a [(&'static str, String)],
    ways: Vec<WayTemplate>,
    remembered: bool,
}

#[derive(Template)]
#[template(path = "onward.html")]
struct OnwardTemplate<'a> {
    frame: Frame<'a>,
    words: Said<'a>,
    to: &'a str,
}

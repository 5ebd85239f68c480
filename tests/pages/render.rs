//! Writes every page as it is rendered, for `make pages`: by its heading a page is known, wherever it came from, and to three of
//! them nobody can drive a sound gateway (one leaves by itself, one is of a fault of ours, one of a rule that no file can be
//! written to break). As JSON, by name and language: `html` and `policy`.

use std::collections::BTreeMap;
use std::io::Write as _;

use portvakt::page::{
    Choice, KeptFormLinks, OrganisationChoice, Page, PageLinks, RenderedPage, Setting, render, render_choice,
    render_kept_form, render_logout_form, render_onward, render_organisations, render_resent_form,
};
use portvakt_core::brand::Brand;
use portvakt_core::language::Language;
use serde_json::{Value, json};
use url::Url;

fn main() -> std::io::Result<()> {
    let brand = Brand::default();
    let mut pages: BTreeMap<&str, BTreeMap<&str, Value>> = BTreeMap::new();
    for language in Language::ALL {
        let link = |language: Language| (language, format!("?to={}", language.tag()));
        let switch = Language::ALL.map(link).to_vec();
        let setting = Setting { language, reference: "7K2QD-M0XW4", switch, brand: &brand, logos: None };
        let quiet = Setting { reference: "", switch: Vec::new(), ..setting.clone() };
        let told = Page::ALL.map(|page| (page.code(), render(&page, &links(), "", &setting)));
        for (name, page) in told.into_iter().chain(asking(&quiet)) {
            let value = json!({ "html": page.html, "policy": page.content_security_policy });
            pages.entry(name).or_default().insert(language.tag(), value);
        }
    }
    serde_json::to_writer(std::io::stdout(), &pages)?;
    std::io::stdout().flush()
}

fn links() -> PageLinks {
    PageLinks {
        restart: Some("/oauth2/login".to_owned()),
        otherwise: Some("/oauth2/login?choose=anew".to_owned()),
        start: Some("/".to_owned()),
        logout: Some("/oauth2/logout".to_owned()),
    }
}

/// The pages that ask something, or go on.
fn asking(setting: &Setting<'_>) -> [(&'static str, RenderedPage); 6] {
    let choice = Choice {
        action: "/".to_owned(),
        login: "/".to_owned(),
        ways: Vec::new(),
        fields: Vec::new(),
        remembered: false,
    };
    let organisations = OrganisationChoice { action: "/", hidden: &[], organisations: &[], logout: "/" };
    let endpoint = Url::parse("https://login.example/").expect("a constant URL");
    [
        ("choice", render_choice(&choice, setting)),
        // Where it leads the browser gets nothing, and so it stays.
        ("onward", render_onward("/stay", setting)),
        ("organisations", render_organisations(&organisations, setting)),
        ("kept_form", render_kept_form(KeptFormLinks { login: "/", resume: "/" }, "", setting)),
        ("resent_form", render_resent_form("/", &[], setting)),
        ("logout_form", render_logout_form(&endpoint, &[], true, setting)),
    ]
}

//! Writes the pages to which nobody can drive a sound gateway, for `make pages`: one that leaves by itself, one of a fault of
//! ours, and one of a rule that a file cannot be written to break. As JSON, by name and language: `html` and `policy`.

use std::collections::BTreeMap;
use std::io::Write as _;

use portvakt::page::{Page, PageLinks, Setting, render, render_onward};
use portvakt_core::brand::Brand;
use portvakt_core::language::Language;
use serde_json::{Value, json};

fn main() -> std::io::Result<()> {
    let brand = Brand::default();
    let mut pages: BTreeMap<&str, BTreeMap<&str, Value>> = BTreeMap::new();
    for language in Language::ALL {
        let switch = || {
            let link = |language: Language| (language, format!("?to={}", language.tag()));
            Language::ALL.map(link).to_vec()
        };
        let setting = |reference, switch| Setting { language, reference, switch, brand: &brand, logos: None };
        let links = PageLinks {
            restart: Some("/oauth2/login".to_owned()),
            otherwise: Some("/oauth2/login?choose=anew".to_owned()),
            start: Some("/".to_owned()),
            logout: Some("/oauth2/logout".to_owned()),
        };
        let rendered = [
            ("wrong_provider", render(&Page::WrongProvider, &links, "", &setting("7K2QD-M0XW4", switch()))),
            ("internal_error", render(&Page::InternalError, &links, "", &setting("7K2QD-M0XW4", switch()))),
            ("onward", render_onward("/stay", &setting("", Vec::new()))),
        ];
        for (name, page) in rendered {
            let value = json!({ "html": page.html, "policy": page.content_security_policy });
            pages.entry(name).or_default().insert(language.tag(), value);
        }
    }
    serde_json::to_writer(std::io::stdout(), &pages)?;
    std::io::stdout().flush()
}

//! Every page in every language, looked at as a browser would.

use std::collections::HashSet;
use std::sync::{Arc, LazyLock};

use aws_lc_rs::digest::{SHA256, digest};
use portvakt_core::brand::colour::Palette;
use portvakt_core::brand::image::Image;
use portvakt_core::brand::texts::{LABEL, LABELS, PAGES, PLACES, WAITING};
use portvakt_core::brand::{Colours, Contact, Logo};
use portvakt_core::identity::Kind;
use portvakt_core::language::Localised;

use super::*;

const REFERENCE: &str = "7f3a-91c2";

/// No operator's look.
fn plain() -> &'static Brand {
    static PLAIN: LazyLock<Brand> = LazyLock::new(Brand::default);
    &PLAIN
}

fn setting(language: Language, reference: &str) -> Setting<'_> {
    let link = |language: Language| (language, format!("/oauth2/language?to={}&page=AbC-_9", language.tag()));
    Setting {
        language,
        reference,
        switch: Language::ALL.map(link).to_vec(),
        brand: plain(),
        logos: Some("https://app.example/oauth2/logo/".to_owned()),
    }
}

/// Without the links to other languages.
fn render(page: &Page, language: Language, links: &PageLinks, reference: &str) -> RenderedPage {
    super::render(page, links, "", &Setting { switch: Vec::new(), ..setting(language, reference) })
}

fn links() -> PageLinks {
    PageLinks {
        restart: Some("/oauth2/login?redirect=%2Fapp".to_owned()),
        otherwise: Some("/oauth2/login?redirect=%2Fapp&prompt=login".to_owned()),
        start: Some("/".to_owned()),
        logout: Some("/oauth2/logout".to_owned()),
    }
}

fn logout_form(language: Language) -> RenderedPage {
    let parameters = [
        ("client_id", "demo".to_owned()),
        ("post_logout_redirect_uri", "https://app.example/oauth2/logout/callback".to_owned()),
        ("state", "\"><script>alert(1)</script>".to_owned()),
        ("id_token_hint", "e30.e30.c2ln".to_owned()),
    ];
    let endpoint = Url::parse("https://login.idporten.no/logout?a=1&b=\"2").unwrap();
    render_logout_form(&endpoint, &parameters, true, &setting(language, REFERENCE))
}

fn kept_form(language: Language) -> RenderedPage {
    let login = "/oauth2/login?redirect=%2F&for=%2Fapp";
    let links = KeptFormLinks { login, resume: "/oauth2/resume" };
    render_kept_form(links, "AbC-_9", &Setting { switch: Vec::new(), ..setting(language, REFERENCE) })
}

fn organisations(language: Language) -> RenderedPage {
    let one = |number: &str, name: &str, is_current| Chosen {
        number: number.to_owned(),
        name: name.to_owned(),
        is_current,
    };
    let choice = OrganisationChoice {
        action: "/oauth2/organisation",
        hidden: &[("redirect", "/job?a=1&b=\"2")],
        organisations: &[
            one("310123455", "PRØVE AS (310123455)", false),
            one("213987658", "\"><script>alert(1)</script>", true),
        ],
        logout: "/oauth2/logout",
    };
    render_organisations(&choice, &setting(language, REFERENCE))
}

fn resent_form(language: Language) -> RenderedPage {
    let pairs =
        [("submit", "\"><script>alert(1)</script>"), ("text", "\r\na & 'b'\r\n"), ("text", "å &#38;")];
    let pairs = pairs.map(|(name, value)| (name.to_owned(), value.to_owned()));
    render_resent_form("/app?a=1&b='2'", &pairs, &setting(language, REFERENCE))
}

/// All pages in all languages, those with forms among them.
fn every_page() -> Vec<(String, Language, RenderedPage)> {
    let mut pages = Vec::new();
    for language in Language::ALL {
        for page in Page::ALL {
            let name = format!("{} in {}", page.code(), language.tag());
            pages.push((name, language, super::render(&page, &links(), "", &setting(language, REFERENCE))));
        }
        let forms = [
            ("logout form", logout_form(language)),
            ("kept form", kept_form(language)),
            ("resent form", resent_form(language)),
            ("organisations", organisations(language)),
        ];
        for (name, form) in forms {
            pages.push((format!("{name} in {}", language.tag()), language, form));
        }
    }
    pages
}

/// The texts between `<name …>` and `</name>`.
fn elements<'a>(html: &'a str, name: &str) -> Vec<&'a str> {
    let (open, close) = (format!("<{name}"), format!("</{name}>"));
    html.split(&open)
        .skip(1)
        .filter(|rest| rest.starts_with(['>', ' ']))
        .map(|rest| rest.split_once('>').unwrap().1.split_once(&close).unwrap().0)
        .collect()
}

fn directive<'a>(policy: &'a str, name: &str) -> Option<&'a str> {
    policy.split("; ").find_map(|directive| directive.strip_prefix(name)?.strip_prefix(' '))
}

/// Computed here anew, from what the browser gets.
fn hash_source(inline: &str) -> String {
    format!("'sha256-{}'", base64_simd::STANDARD.encode_to_string(digest(&SHA256, inline.as_bytes())))
}

#[test]
fn every_page_is_a_whole_document_in_its_language() {
    for (name, language, page) in every_page() {
        let html = &page.html;
        assert!(html.starts_with("<!doctype html>\n<html lang=\""), "{name}");
        assert!(html.contains(&format!("<html lang=\"{}\">", language.tag())), "{name}");
        assert_eq!(page.content_language, language.tag(), "{name}");
        assert!(html.contains("<meta charset=\"utf-8\">") && html.contains("name=\"viewport\""), "{name}");
        let (headings, titles) = (elements(html, "h1"), elements(html, "title"));
        assert_eq!((headings.len(), titles.len(), elements(html, "main").len()), (1, 1, 1), "{name}");
        assert!(!headings[0].is_empty(), "{name}");
        assert_eq!(headings, titles, "{name}");
        let paragraphs = elements(html, "p");
        assert_eq!(paragraphs.len(), 3, "{name}: what happened, what to do, the reference");
        assert!(paragraphs.iter().all(|text| !text.trim().is_empty()), "{name}");
        assert!(html.trim_end().ends_with("</html>"), "{name}");
    }
}

#[test]
fn no_page_was_left_in_another_language() {
    for page in Page::ALL {
        // A sentence may be the same in Bokmål and Nynorsk; a whole page is not.
        let [nb, nn, en, se] = Language::ALL.map(|language| {
            let words = words::of(&page, language);
            (words.title, words.happened, words.advice)
        });
        assert!(nb != nn && nb.1 != en.1 && nn.1 != en.1, "{page:?}");
        assert!(
            [&nb, &nn, &en].iter().all(|other| other.0 != se.0 && other.1 != se.1 && other.2 != se.2),
            "{page:?}"
        );
    }
}

#[test]
fn no_two_pages_of_a_language_say_the_same() {
    for language in Language::ALL {
        let texts = Page::ALL.map(|page| words::of(&page, language).happened);
        for (at, text) in texts.iter().enumerate() {
            let again = texts[..at].iter().position(|earlier| earlier == text);
            assert_eq!(again, None, "{:?} in {language:?}", Page::ALL[at]);
        }
    }
}

#[test]
fn the_policy_fits_the_very_bytes_of_the_page() {
    for (name, _, page) in every_page() {
        let policy = &page.content_security_policy;
        let styles = elements(&page.html, "style");
        assert_eq!(styles.len(), 1, "{name}");
        assert_eq!(directive(policy, "style-src"), Some(hash_source(styles[0]).as_str()), "{name}");
        let scripts = elements(&page.html, "script");
        let hashes = scripts.iter().map(|script| hash_source(script)).collect::<Vec<_>>();
        assert_eq!(directive(policy, "script-src"), hashes.first().map(String::as_str), "{name}");
        for (directive_name, value) in
            [("default-src", "'none'"), ("frame-ancestors", "'none'"), ("base-uri", "'none'")]
        {
            assert_eq!(directive(policy, directive_name), Some(value), "{name}");
        }
        assert!(!policy.contains("unsafe"), "{name}");
        assert!(!policy.contains(['\r', '\n']), "{name}");
    }
}

#[test]
fn a_page_needs_nothing_that_its_policy_forbids() {
    for (name, _, page) in every_page() {
        for forbidden in
            ["style=\"", " src=", "<link", "<img", "<iframe", "@import", "url(", "onclick", "onload"]
        {
            assert!(!page.html.contains(forbidden), "{name}: {forbidden}");
        }
        let forms = elements(&page.html, "form").len();
        let form_action = directive(&page.content_security_policy, "form-action");
        match forms {
            0 => assert_eq!(form_action, Some("'none'"), "{name}"),
            // What the app answers may lead to another site.
            _ if name.starts_with("resent form") => assert_eq!(form_action, Some("'self' https:"), "{name}"),
            _ if !name.starts_with("logout") => assert_eq!(form_action, Some("'self'"), "{name}"),
            _ => assert_eq!(
                form_action,
                Some("'self' https://login.idporten.no https://app.example"),
                "{name}"
            ),
        }
    }
}

#[test]
fn each_page_leads_to_itself_in_the_other_languages() {
    for language in Language::ALL {
        let html = super::render(&Page::NotFound, &links(), "", &setting(language, "")).html;
        let list = elements(&html, "nav");
        for other in Language::ALL {
            let tag = other.tag();
            let current = if other == language { " aria-current=\"true\"" } else { "" };
            let link = format!(
                "<a href=\"/oauth2/language?to={tag}&#38;page=AbC-_9\" lang=\"{tag}\" hreflang=\"{tag}\"{current}>{}</a>",
                other.own_name()
            );
            assert!(list[0].contains(&link), "{link}: {}", list[0]);
        }
    }
    assert!(elements(&render(&Page::NotFound, Language::Nb, &links(), "").html, "nav").is_empty());
}

#[test]
fn the_reference_is_shown_where_there_is_one() {
    for (name, _, page) in every_page() {
        assert_eq!(elements(&page.html, "code"), [REFERENCE], "{name}");
    }
    for page in Page::ALL {
        let html = render(&page, Language::Nb, &links(), "").html;
        assert!(elements(&html, "code").is_empty() && !html.contains("class=\"reference\""), "{page:?}");
    }
}

#[test]
fn who_is_refused_can_log_out() {
    for page in Page::ALL {
        let offers_logout =
            render(&page, Language::En, &links(), "").html.contains("href=\"/oauth2/logout\"");
        // Logged out already, or on a host or transport where the link would not work.
        let needs_none = matches!(page, Page::SignedOut | Page::WrongHost | Page::InsecureTransport);
        assert_eq!(offers_logout, !needs_none, "{page:?}");
    }
}

#[test]
fn a_login_that_failed_can_be_started_again() {
    for page in Page::ALL {
        let html = render(&page, Language::Nn, &links(), "").html;
        let offers_restart = html.contains("href=\"/oauth2/login?redirect=%2Fapp\"");
        let failed_login = page.code().starts_with("login_") || page.code().starts_with("level_");
        assert!(offers_restart || !failed_login, "{page:?}");
        if offers_restart {
            let first = html.split("<li>").nth(1).unwrap();
            assert!(
                first.starts_with("<a href=\"/oauth2/login?redirect=%2Fapp\" class=\"first\""),
                "{page:?}"
            );
        }
    }
    assert!(!render(&Page::SignedOut, Language::Nn, &links(), "").html.contains("/oauth2/login"));
}

#[test]
fn who_is_not_taken_as_they_are_can_log_in_otherwise_and_not_the_same_way_again() {
    let kinds = |kinds: &[Kind]| Page::of_wrong_kind(&kinds.iter().copied().collect());
    let by_kind = [
        (kinds(&[Kind::National]), Page::NationalNumberNeeded),
        (kinds(&[Kind::Eidas]), Page::EuropeanIdNeeded),
        (kinds(&[Kind::Eidas, Kind::National]), Page::ElectronicIdNeeded),
        (kinds(&[Kind::Employee]), Page::EmployeeNeeded),
        (kinds(&[Kind::Employee, Kind::National]), Page::WrongKind),
        (kinds(&[]), Page::WrongKind),
    ];
    for (page, expected) in by_kind {
        assert_eq!(page, expected);
        assert_eq!(page.status(), 403);
        let html = render(&page, Language::Nb, &links(), "").html;
        let first = html.split("<li>").nth(1).unwrap();
        let otherwise = "<a href=\"/oauth2/login?redirect=%2Fapp&#38;prompt=login\" class=\"first\"";
        assert!(first.starts_with(otherwise), "{page:?}: {first}");
        assert!(!html.contains("\"/oauth2/login?redirect=%2Fapp\""), "{page:?}");
    }
}

#[test]
fn a_link_that_is_not_given_is_not_shown() {
    for page in Page::ALL {
        let html = render(&page, Language::En, &PageLinks::default(), "").html;
        assert!(elements(&html, "a").is_empty() && elements(&html, "ul").is_empty(), "{page:?}");
    }
}

#[test]
fn what_varies_is_escaped() {
    let hostile = "\"><script>alert('&')</script>";
    let links = PageLinks { restart: Some(format!("/{hostile}")), ..PageLinks::default() };
    let html = render(&Page::LoginExpired, Language::Nb, &links, hostile).html;
    assert!(!html.contains("<script") && !html.contains("/\">") && !html.contains("'&'"));
    assert_eq!(elements(&html, "a").len(), 1);
    let closed = Page::Maintenance { retry_after_seconds: 1 };
    let html = super::render(&closed, &PageLinks::default(), hostile, &setting(Language::Nb, "")).html;
    assert!(html.contains("class=\"notice\"") && !html.contains("<script") && !html.contains("'&'"));
    assert!(!render(&closed, Language::Nb, &PageLinks::default(), "").html.contains("class=\"notice\""));
    let form = logout_form(Language::Nb).html;
    assert_eq!(elements(&form, "script"), [policy::SCRIPT]);
    assert!(!form.contains("alert(1)</script>"));
    assert!(form.contains("action=\"https://login.idporten.no/logout?a=1&#38;b=%222\""));
}

#[test]
fn a_link_to_elsewhere_is_left_out() {
    for href in [
        "https://evil.example/",
        "//evil.example/",
        "/\\evil.example/",
        "/\t/evil.example/",
        "javascript:alert(1)",
        "evil",
        "",
        " /",
        "/a b",
        "/å",
    ] {
        let links = PageLinks {
            restart: Some(href.to_owned()),
            otherwise: Some(href.to_owned()),
            start: None,
            logout: Some(href.to_owned()),
        };
        let html = render(&Page::LoginExpired, Language::Nb, &links, "").html;
        assert!(elements(&html, "a").is_empty(), "{href:?}");
    }
}

#[test]
fn the_logout_form_posts_everything_by_script_or_button() {
    for language in Language::ALL {
        let page = logout_form(language);
        assert_eq!(page.status, 200);
        assert!(page.html.contains("<form method=\"post\" action=\"https://login.idporten.no/"));
        assert!(page.html.contains("<input type=\"hidden\" name=\"id_token_hint\" value=\"e30.e30.c2ln\">"));
        assert_eq!(page.html.matches("<input ").count(), 4);
        assert_eq!(elements(&page.html, "button").len(), 1);
        // The script stands after the form it sends.
        assert!(page.html.find("</form>") < page.html.find("<script>"));
    }
}

#[test]
fn the_page_of_a_kept_form_has_two_steps_and_sends_nothing_by_itself() {
    for language in Language::ALL {
        let page = kept_form(language);
        assert_eq!(page.status, 401);
        let steps = elements(&page.html, "li");
        assert_eq!(steps.len(), 2);
        let link = "<a href=\"/oauth2/login?redirect=%2F&#38;for=%2Fapp\" class=\"first\" target=\"_blank\" rel=\"noopener\">";
        assert!(steps[0].contains(link), "{}", steps[0]);
        assert!(steps[1].contains("<form method=\"post\" action=\"/oauth2/resume\""));
        assert!(steps[1].contains("<input type=\"hidden\" name=\"kept\" value=\"AbC-_9\">"));
        assert!(elements(&page.html, "script").is_empty());
    }
}

#[test]
fn a_resent_form_holds_the_pairs_as_they_were() {
    let page = resent_form(Language::Nb);
    assert_eq!(page.status, 200);
    assert!(page.html.contains("<form method=\"post\" action=\"/app?a=1&#38;b=&#39;2&#39;\""));
    assert!(page.html.contains("accept-charset=\"utf-8\""));
    let fields: Vec<&str> = page.html.lines().filter(|line| line.starts_with("<input ")).collect();
    assert_eq!(
        fields,
        [
            "<input type=\"hidden\" name=\"submit\" value=\"&#34;&#62;&#60;script&#62;alert(1)&#60;/script&#62;\">",
            "<input type=\"hidden\" name=\"text\" value=\"&#13;&#10;a &#38; &#39;b&#39;&#13;&#10;\">",
            "<input type=\"hidden\" name=\"text\" value=\"å &#38;#38;\">",
        ]
    );
    assert_eq!(elements(&page.html, "script"), [policy::SCRIPT]);
    // `submit` may be a field: the script does not ask the form for it, and the button has no name.
    assert!(policy::SCRIPT.starts_with("HTMLFormElement.prototype.submit.call("));
    assert!(page.html.contains("<button class=\"first\">"));
}

#[test]
fn an_endpoint_that_takes_no_form_gives_the_local_page() {
    for endpoint in ["javascript:alert(1)", "https://a;b/", "ftp://login.example/"] {
        let page = Url::parse(endpoint).unwrap();
        let (here, links) = (setting(Language::Nb, REFERENCE), PageLinks::default());
        let page = render_logout_form(&page, &[], true, &here);
        assert!(page == super::render(&Page::SignedOutLocallyOnly, &links, "", &here));
    }
}

#[test]
fn each_page_has_a_code_of_its_own_and_a_fitting_status() {
    let codes = Page::ALL.map(|page| page.code());
    for (at, code) in codes.iter().enumerate() {
        assert!(code.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'), "{code}");
        assert!(!codes[..at].contains(code), "{code}");
    }
    for page in Page::ALL {
        let rendered = render(&page, Language::Nb, &links(), "");
        assert_eq!(rendered.status, page.status());
        assert_eq!(rendered.status < 400, page.code().starts_with("signed_out"), "{page:?}");
        assert_eq!(rendered.retry_after_seconds, page.retry_after_seconds());
        assert_eq!(rendered.retry_after_seconds.is_some(), matches!(page.status(), 429 | 503), "{page:?}");
    }
}

#[test]
fn the_wait_is_said_in_words() {
    let advice = |seconds, language| {
        words::of(&Page::ProviderDown { retry_after_seconds: seconds }, language).advice.into_owned()
    };
    assert_eq!(advice(5, Language::Nb), "Vent et øyeblikk, og prøv igjen.");
    assert_eq!(advice(61, Language::Nb), "Prøv igjen om 2 minutter.");
    assert_eq!(advice(60, Language::Nn), "Prøv igjen om eit minutt.");
    assert_eq!(advice(86_400, Language::En), "Try again later.");
}

/// A look with everything in it, and what would be markup if it were not text.
fn branded() -> Brand {
    let same = |text: &str| Localised::same(text);
    let svg = |id: &str| Image::parse(format!("<svg xmlns='x'><g id='{id}'/></svg>").as_bytes()).unwrap();
    let mut brand = Brand {
        name: same("Kommune <b>&\"'"),
        logo: Some(Arc::new(Logo {
            image: svg("a"),
            dark: Some(svg("b")),
            alt: same("\"><script>1</script>"),
        })),
        colours: Some(Arc::new(Colours::of(&Palette::LIGHT, &Palette::DARK))),
        contact: Some(Arc::new(Contact {
            text: same("<i>Spør</i>"),
            phone: Some("+47 22 00 00 00".to_owned()),
            email: Some("hjelp@kommune.example".to_owned()),
            link: same("https://kommune.example/?a=1&b=2"),
            link_text: Localised::default(),
        })),
        ..Brand::default()
    };
    for page in PAGES {
        for place in PLACES {
            brand.texts.put(page, place, same(&format!("<script>{page} {place}</script>")));
        }
    }
    for label in LABELS {
        brand.texts.put(LABEL, label, same(&format!("<script>{label}</script>")));
    }
    brand
}

/// All pages in all languages, in a look.
fn every_page_of(brand: &Brand) -> Vec<(&'static str, RenderedPage)> {
    let mut pages = Vec::new();
    for language in Language::ALL {
        let here = Setting { brand, ..setting(language, REFERENCE) };
        let parameters = [("state", "x".to_owned())];
        let endpoint = Url::parse("https://login.idporten.no/logout").unwrap();
        let kept = KeptFormLinks { login: "/oauth2/login", resume: "/oauth2/resume" };
        let none =
            OrganisationChoice { action: "/x", hidden: &[], organisations: &[], logout: "/oauth2/logout" };
        let ways = Choice {
            action: "/oauth2/choose".to_owned(),
            login: "/oauth2/login".to_owned(),
            ways: Vec::new(),
            fields: Vec::new(),
            remembered: false,
        };
        pages.extend(Page::ALL.map(|page| (page.code(), super::render(&page, &links(), "", &here))));
        pages.extend([
            ("logout_form", render_logout_form(&endpoint, &parameters, true, &here)),
            ("kept_form", render_kept_form(kept, "x", &here)),
            ("organisations", render_organisations(&none, &here)),
            ("resent_form", render_resent_form("/app", &[], &here)),
            ("choice", render_choice(&ways, &here)),
            ("onward", render_onward("/oauth2/login", &here)),
        ]);
    }
    pages
}

#[test]
fn every_page_speaks_in_the_operators_words_and_they_are_text() {
    let brand = branded();
    let mut seen = HashSet::new();
    for (name, page) in every_page_of(&brand) {
        seen.insert(name);
        let html = &page.html;
        let escaped = |text: &str| format!("&#60;script&#62;{text}&#60;/script&#62;");
        for place in PLACES {
            assert!(html.contains(&escaped(&format!("{name} {place}"))), "{name}: {place}");
        }
        assert_eq!(elements(html, "h1"), [escaped(&format!("{name} title"))], "{name}");
        assert!(!html.contains("<b>") && !html.contains("<i>"), "{name}");
        let ours = elements(html, "script").into_iter().all(|script| script == policy::SCRIPT);
        assert!(ours, "{name}");
        assert!(html.contains("alt=\"&#34;&#62;&#60;script&#62;1"), "{name}");
    }
    assert_eq!(seen, PAGES.into_iter().collect(), "the list of the texts is the list of the pages");
    let labels = words::labels(&Setting { brand: &brand, ..setting(Language::Nb, "") });
    assert_eq!(labels.try_again, "<script>try_again</script>");
    let html = every_page_of(&brand).into_iter().map(|(_, page)| page.html).collect::<String>();
    for label in LABELS {
        assert!(
            html.contains(&format!("&#60;script&#62;{label}&#60;/script&#62;")),
            "{label} is on some page"
        );
    }
}

#[test]
fn a_look_adds_its_colours_and_its_logo_to_the_policy_and_nothing_else() {
    let brand = branded();
    let plain = every_page_of(plain());
    for ((name, page), (_, plain)) in every_page_of(&brand).iter().zip(&plain) {
        let styles = elements(&page.html, "style");
        let (ours, theirs) = (hash_source(styles[0]), hash_source(styles[1]));
        let expected = plain
            .content_security_policy
            .replace("default-src 'none';", "default-src 'none'; img-src https://app.example/oauth2/logo/;")
            .replace(&ours, &format!("{theirs} {ours}"));
        assert_eq!(page.content_security_policy, expected, "{name}");
        let logo = brand.logo.as_ref().unwrap();
        let (src, dark) = (logo.image.tag(), logo.dark.as_ref().unwrap().tag());
        assert!(page.html.contains(&format!("<img src=\"https://app.example/oauth2/logo/{src}\"")), "{name}");
        assert!(page.html.contains(&format!("srcset=\"https://app.example/oauth2/logo/{dark}\"")), "{name}");
        assert!(page.html.contains("<a href=\"tel:+4722000000\">+47 22 00 00 00</a>"), "{name}");
        assert!(page.html.contains("<a href=\"mailto:hjelp@kommune.example\">"), "{name}");
        let link = "<a href=\"https://kommune.example/?a=1&#38;b=2\" rel=\"noreferrer\">kommune.example</a>";
        assert!(page.html.contains(link), "{name}");
    }
}

#[test]
fn a_logo_is_not_asked_for_where_nobody_gives_it_and_a_name_stands_where_no_logo_speaks() {
    let brand = branded();
    let of = |brand: &Brand, logos: Option<&str>| {
        let logos = logos.map(str::to_owned);
        super::render(&Page::WrongHost, &links(), "", &Setting { brand, logos, ..setting(Language::Nb, "") })
    };
    let elsewhere = of(&brand, None);
    assert!(!elsewhere.html.contains("<img") && !elsewhere.content_security_policy.contains("img-src"));
    assert!(elsewhere.html.contains("<span>Kommune &#60;b&#62;"));
    assert!(!of(&brand, Some("https://a.no/logo/")).html.contains("<span>Kommune"));
    let silent = Logo { alt: Localised::default(), ..(**brand.logo.as_ref().unwrap()).clone() };
    let beside = of(&Brand { logo: Some(Arc::new(silent)), ..brand }, Some("https://a.no/logo/")).html;
    assert!(beside.contains("alt=\"\"") && beside.contains("<span>Kommune"));
}

#[test]
fn the_wait_is_put_into_the_operators_words() {
    let mut brand = Brand::default();
    let text = Localised::of([(Language::Nb, "Ring oss. {wait}".to_owned())]);
    brand.texts.put("maintenance", "advice", text);
    let page = |language| {
        let page = Page::Maintenance { retry_after_seconds: 600 };
        super::render(&page, &links(), "", &Setting { brand: &brand, ..setting(language, "") }).html
    };
    assert!(page(Language::Nb).contains("<p>Ring oss. Prøv igjen om 10 minutter.</p>"));
    assert!(page(Language::Nn).contains("<p>Prøv igjen om 10 minutt.</p>"), "another language has our words");
}

#[test]
fn the_palette_is_that_of_the_style_sheet_and_pages_wait_where_the_texts_say_so() {
    for (palette, at) in [(Palette::LIGHT, 0), (Palette::DARK, 1)] {
        let declared = policy::STYLE.split(":root {").nth(at + 1).unwrap().split('}').next().unwrap();
        for declaration in palette.to_string().split_inclusive(';').map(str::trim) {
            assert!(declared.contains(declaration), "{declaration}");
        }
    }
    for page in Page::ALL {
        assert_eq!(page.retry_after_seconds().is_some(), WAITING.contains(&page.code()), "{page:?}");
    }
}

#[test]
fn programs_get_the_code() {
    assert_eq!(
        render_json(&Page::LoginExpired, "ab-12"),
        "{\"error\":\"login_expired\",\"reference\":\"ab-12\"}"
    );
    assert_eq!(render_json(&Page::NotFound, ""), "{\"error\":\"not_found\"}");
    assert_eq!(render_json(&Page::NotFound, "\"}\n"), "{\"error\":\"not_found\",\"reference\":\"\\\"}\\n\"}");
}

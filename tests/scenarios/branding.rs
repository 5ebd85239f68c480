//! Pages as an operator wants them: what a reload changes of them, and that nothing of it is more than text and a picture.

use std::fs;

use crate::harness::process::await_that;
use crate::harness::{Settings, World};

const LOGO: &str = "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 9 9'><path d='M0 0h9v9z'/></svg>";

/// What would be markup, a style or a script if it were not text.
const PAGES: &str = r##"pages:
  name: {nb: "Kommune </title><script>alert(1)</script>", en: Council}
  logo: {file: logo.svg, alt: "\" onerror=\"alert(1)"}
  colours: {light: {action: "#7a1f3d"}, dark: {action: "#ffb3c7"}}
  contact: {text: {nb: "Spør <b>oss</b>:", en: "Ask us:"}, phone: "+47 22 00 00 00", link: "https://kommune.example/?a=1&b=2"}
  texts:
    not_found: {title: {nb: "Borte <script>alert(2)</script>"}, advice: {nb: "Ring & spør."}}
    labels: {start: {nb: "Hjem </a><img src=x>"}}
"##;

fn reload(world: &mut World, pages: &str, generation: u64) {
    pages.clone_into(&mut world.settings.top);
    world.write_configuration();
    await_that("the configuration is in force", || {
        (world.admin("/status.json").json()["generation"] == generation).then_some(())
    });
}

#[test]
fn a_reload_changes_how_pages_look_and_what_they_say() {
    let mut world = World::start();
    let mut browser = world.browser();
    let before = browser.open("/nothing");
    before.shows(404, "<h1>Vi finner ikke siden</h1>");
    let policy = before.response.header("content-security-policy").unwrap().to_owned();
    drop(browser);
    fs::write(world.folder().join("logo.svg"), LOGO).unwrap();
    reload(&mut world, PAGES, 2);

    let mut browser = world.browser();
    let page = browser.open("/nothing");
    page.shows(404, "<h1>Borte &#60;script&#62;alert(2)&#60;/script&#62;</h1>");
    for text in [
        " – Kommune &#60;/title&#62;&#60;script&#62;alert(1)&#60;/script&#62;</title>",
        "alt=\"&#34; onerror=&#34;alert(1)\"",
        "<li>Spør &#60;b&#62;oss&#60;/b&#62;:</li>",
        "<a href=\"tel:+4722000000\">+47 22 00 00 00</a>",
        "<a href=\"https://kommune.example/?a=1&#38;b=2\" rel=\"noreferrer\">kommune.example</a>",
        "<p>Ring &#38; spør.</p>",
        ">Hjem &#60;/a&#62;&#60;img src=x&#62;</a>",
        "--action: #7a1f3d;",
        "--action: #ffb3c7;",
    ] {
        page.shows(404, text);
    }
    let html = page.text();
    assert_eq!((html.matches("<script").count(), html.matches("<img").count()), (0, 1), "{html}");

    // As strict as before: the operator's colours by their hash, pictures of this host, and nothing else.
    let with_look = page.response.header("content-security-policy").unwrap().to_owned();
    let added = with_look.split("style-src ").nth(1).unwrap().split(' ').next().unwrap().to_owned();
    assert!(added.starts_with("'sha256-"), "{with_look}");
    let without = with_look
        .replace(&format!("{added} "), "")
        .replace(&format!("img-src {}/oauth2/logo/; ", world.origin()), "");
    assert_eq!(without, policy);

    // In another language our words stand where the operator has none.
    let english = browser.open(&page.languages()[2]);
    english.shows(200, "<h1>").shows(200, " – Council</title>").shows(200, "<li>Ask us:</li>");
    assert!(!english.text().contains("Borte"));

    // The logo is a picture, and opened as a page it can do nothing.
    let src = html.split("<img src=\"").nth(1).unwrap().split('"').next().unwrap();
    let src = src.strip_prefix(&world.origin()).unwrap().to_owned();
    let logo = world.curl(&src, "");
    assert_eq!((logo.status, logo.text().as_str()), (200, LOGO));
    for (name, value) in [
        ("content-type", "image/svg+xml"),
        ("x-content-type-options", "nosniff"),
        ("cross-origin-resource-policy", "same-origin"),
        ("cache-control", "public, max-age=31536000, immutable"),
        ("content-security-policy", "default-src 'none'; frame-ancestors 'none'; sandbox"),
    ] {
        assert_eq!(logo.header(name), Some(value), "{name}");
    }
    assert_eq!(world.curl("/oauth2/logo/other.svg", "").status, 404);

    // Programs are told as before.
    let answer = world.curl("/nothing", "");
    assert_eq!(answer.json()["error"], "not_found");
    drop(browser);

    // Another picture is another name; a picture that is none is not taken.
    fs::write(world.folder().join("logo.svg"), LOGO.replace("h9v9", "h8v8")).unwrap();
    await_that("the logo is taken up", || (world.curl(&src, "").status == 404).then_some(()));
    fs::write(world.folder().join("logo.svg"), "<svg onload='alert(1)'/>").unwrap();
    await_that("the logo is refused", || world.errors().contains("this SVG has").then_some(()));
    let page = world.browser().open("/nothing");
    page.shows(404, "/oauth2/logo/");
    world.finish();
}

#[test]
fn a_host_has_a_look_of_its_own_and_forms_have_it_too() {
    let settings =
        Settings::default().top("pages: {name: Fylket, texts: {kept_form: {title: {nb: Vent litt}}}}");
    let mut world = World::with(settings);
    let mut browser = world.browser();
    browser.open("/nothing").shows(404, "<span>Fylket</span>");
    let page = browser.log_in("/app/x", "bankid-high");
    assert_eq!(page.status(), 200);
    // A provider that sent somebody back is no different: the page is of the host.
    browser.log_out("/oauth2/logout").shows(200, "<span>Fylket</span>");
    drop(browser);
    world.settings.hosts = format!(
        "  - origin: 'http://127.0.0.1:{port}'\n    pages: {{name: Kommunen}}\n    routes: [{{path: /, access: public, upstream: app}}]\n",
        port = world.address().port()
    );
    reload(&mut world, "pages: {name: Fylket}\n", 2);
    let ask = |host: &str| {
        let fields = format!("Host: {host}\r\nAccept: text/html\r\nConnection: close\r\n\r\n");
        world.send(format!("GET /nothing HTTP/1.1\r\n{fields}")).text()
    };
    let port = world.address().port();
    assert!(ask(&format!("127.0.0.1:{port}")).contains("<span>Kommunen</span>"));
    assert!(ask(&format!("localhost:{port}")).contains("<span>Fylket</span>"));
    assert!(ask("elsewhere.example").contains("<span>Fylket</span>"), "a host that is none has the file's");
    world.finish();
}

//! How the gateway's own pages look, as a file declares it.

use super::*;
use crate::brand::Brand;
use crate::language::Language;

/// The base with `pages` for the whole file.
fn file(pages: &str) -> String {
    with("upstreams:\n", &format!("pages: {pages}\nupstreams:\n"))
}

/// `pages` for the whole file, on one line, and what is said of it: columns count within it.
fn said(pages: &str) -> Vec<String> {
    let begins = "pages: ".len();
    let told = |problem: Problem| format!("{}: {}", problem.column - begins, problem.message);
    problems(&file(pages)).into_iter().map(told).collect()
}

fn brands(text: &str) -> (Brand, Brand) {
    let loaded = check(text).unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!(loaded.warnings, []);
    ((*loaded.configuration.brand).clone(), (*host(&loaded).brand).clone())
}

#[test]
fn without_pages_they_are_as_they_are() {
    let (file, host) = brands(BASE);
    assert_eq!((file, host), (Brand::default(), Brand::default()));
}

#[test]
fn what_a_host_says_counts_before_what_the_file_says() {
    let text = file("{name: Fylket, contact: {phone: '116117'}, texts: {not_found: {title: {nb: Borte, nn: Vekke}}}}")
        .replace(
            "    provider: idporten\n    routes",
            "    provider: idporten\n    pages:\n      name: {nb: Kommunen, se: Suohkan}\n      texts: {not_found: {title: {nb: Nei}}, \
             labels: {log_out: {nb: Ut}}}\n    routes",
        );
    let (file, host) = brands(&text);
    assert_eq!(file.name.get(Language::Se), Some("Fylket"));
    assert_eq!(
        (host.name.get(Language::Se), host.name.get(Language::Nn)),
        (Some("Suohkan"), Some("Kommunen"))
    );
    assert_eq!(host.contact.as_ref().unwrap().phone.as_deref(), Some("116117"));
    let texts = |brand: &Brand, language| brand.texts.get("not_found", "title", language).map(str::to_owned);
    assert_eq!(texts(&file, Language::Nb).as_deref(), Some("Borte"));
    assert_eq!(texts(&host, Language::Nb).as_deref(), Some("Nei"));
    assert_eq!(texts(&host, Language::Nn).as_deref(), Some("Vekke"));
}

#[test]
fn colours_that_cannot_be_read_are_told_with_the_contrast_found_and_the_one_needed() {
    assert_eq!(
        said("{colours: {light: {action: '#777'}}}"),
        [
            "28: `action` on `paper` has a contrast of 4.47:1 in light mode, and needs 4.5:1",
            "28: `action` on `ground` has a contrast of 4.06:1 in light mode, and needs 4.5:1",
            "28: `on_action` on `action` has a contrast of 4.47:1 in light mode, and needs 4.5:1",
        ]
    );
    // The same in dark mode is fine, where other colours are around it.
    assert_eq!(said("{colours: {dark: {action: '#9ccbff'}, light: {action: '#7a1f3d'}}}"), [""; 0]);
    assert_eq!(
        said("{colours: {dark: {ink: '#1b2430'}}}")[0],
        "24: `ink` on `paper` has a contrast of 1.02:1 in dark mode, and needs 4.5:1"
    );
    // What was given is pointed at, not what stands on it.
    assert_eq!(
        said("{colours: {light: {paper: '#000'}}}")[0],
        "27: `ink` on `paper` has a contrast of 1.34:1 in light mode, and needs 4.5:1"
    );
    assert_eq!(said("{colours: {light: {action: red}}}"), ["28: `red` is not a colour"]);
    assert_eq!(
        said("{colours: {light: {acton: '#000'}}}"),
        ["20: unknown key `acton`; did you mean `action`?"]
    );
}

#[test]
fn a_contact_can_be_reached() {
    let sound = "{contact: {text: {nb: Spør oss}, phone: '+47 22 00 00 00', email: hjelp@kommune.example, \
                 link: {nb: 'https://kommune.example/hjelp?a=b#c', en: 'https://kommune.example/en'}, link_text: Hjelp}}";
    let (brand, _) = brands(&file(sound));
    let contact = brand.contact.unwrap();
    assert_eq!(contact.link.get(Language::En), Some("https://kommune.example/en"));
    for (contact, told) in [
        ("{phone: call us}", "19: `call us` is not a telephone number"),
        ("{email: 'a@b.no?cc=c@d.no'}", "19: `a@b.no?cc=c@d.no` is not an e-mail address"),
        ("{link: 'http://kommune.example'}", "18: `http://kommune.example` is not a page on the web"),
        ("{link: 'javascript:alert(1)'}", "18: `javascript:alert(1)` is not a page on the web"),
        ("{link: 'https://a@b.example/'}", "18: this value is not a page on the web"),
        ("{link: {nb: //kommune.example}}", "23: `//kommune.example` is not a page on the web"),
        ("{phone: '116117', link_text: Hjelp}", "40: `link_text` has no effect without `link`"),
        ("{}", "11: this names nobody"),
    ] {
        assert_eq!(said(&format!("{{contact: {contact}}}")), [told], "{contact}");
    }
}

#[test]
fn a_text_has_a_page_a_place_a_language_and_known_placeholders() {
    for (texts, told) in [
        (
            "{level_to_low: {title: {nb: x}}}",
            "10: no page is called `level_to_low`; did you mean `level_too_low`?",
        ),
        ("{zebra: {title: {nb: x}}}", "10: no page is called `zebra`"),
        ("{not_found: {titel: {nb: x}}}", "22: no text is called `titel`; did you mean `title`?"),
        ("{labels: {title: {nb: x}}}", "19: no text is called `title`"),
        ("{not_found: {title: {no: x}}}", "30: unknown key `no`; did you mean `nb`, `nn`"),
        (
            "{not_found: {title: Borte}}",
            "29: a single value stands where a mapping such as `{nb: …}` belongs",
        ),
        ("{not_found: {title: {nb: '{wait}'}}}", "34: this has a placeholder that is not known here"),
        ("{maintenance: {advice: {nb: 'Kom {when}'}}}", "37: this has a placeholder that is not known here"),
        ("{not_found: {title: {nb: ''}}}", "34: this is empty"),
    ] {
        let found = said(&format!("{{texts: {texts}}}"));
        assert!(
            found.len() == 1 && found[0].starts_with(told.split("; did you mean `nb`").next().unwrap()),
            "{texts}: {found:?}"
        );
    }
    let long = format!("{{texts: {{not_found: {{title: {{nb: {}}}}}}}}}", "x".repeat(121));
    assert!(said(&long)[0].ends_with("this is too long"));
    let (brand, _) = brands(&file("{texts: {maintenance: {advice: {nb: 'Kom igjen. {wait}'}}}}"));
    assert_eq!(brand.texts.get("maintenance", "advice", Language::Nb), Some("Kom igjen. {wait}"));
}

#[test]
fn a_logo_is_read_looked_at_and_followed() {
    let folder = std::env::temp_dir().join(format!("portvakt-logo-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let check = |pages: &str| parse(&file(pages), "gateway.yaml", &folder, &nothing);
    let told = |pages: &str| check(pages).unwrap_err().into_vec().remove(0).message;
    std::fs::write(folder.join("logo.svg"), "<svg xmlns='http://www.w3.org/2000/svg'><path d='M0 0'/></svg>")
        .unwrap();
    std::fs::write(folder.join("bad.svg"), "<svg><script>alert(1)</script></svg>").unwrap();
    std::fs::write(folder.join("big.png"), vec![0; 70_000]).unwrap();
    let loaded = check("{logo: {file: logo.svg, dark: logo.svg, alt: Kommunen}}").unwrap();
    let logo = loaded.configuration.brand.logo.clone().unwrap();
    assert_eq!((logo.image.media_type(), logo.alt.get(Language::Nb)), ("image/svg+xml", Some("Kommunen")));
    assert!(loaded.files.contains(&folder.join("logo.svg")), "another logo is a reason to reload");
    check("{name: Kommunen, logo: {file: logo.svg}}").unwrap();
    assert_eq!(
        told("{logo: {file: logo.svg}}"),
        "nothing says what this logo means to those who do not see it"
    );
    assert_eq!(
        told("{name: K, logo: {file: bad.svg}}"),
        "this SVG has `<script>`, which a logo does not need"
    );
    assert_eq!(told("{name: K, logo: {file: big.png}}"), "this picture is larger than 65536 bytes");
    assert_eq!(told("{name: K, logo: {file: none.svg}}"), "this file cannot be read: it is not there");
    assert_eq!(told("{name: K, logo: {file: .}}"), "this file cannot be read: it is not a file");
    std::fs::remove_dir_all(&folder).unwrap();
}

//! The simulator's pages: plain HTML, no scripts, everything escaped, and never mistaken for the real thing.

use crate::person::{Behaviour, Person};

/// The languages of ID-porten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Language {
    Bokmal,
    Nynorsk,
    Sami,
    English,
}

impl Language {
    /// The first known of `ui_locales` (OIDC Core 1.0, 3.1.2.1), else bokmål.
    pub(crate) fn choose(ui_locales: Option<&str>) -> Self {
        let known = |locale| match locale {
            "nb" => Some(Self::Bokmal),
            "nn" => Some(Self::Nynorsk),
            "se" => Some(Self::Sami),
            "en" => Some(Self::English),
            _ => None,
        };
        ui_locales.unwrap_or_default().split(' ').find_map(known).unwrap_or(Self::Bokmal)
    }

    /// As in `locale` and `lang`.
    pub(crate) fn code(self) -> &'static str {
        match self {
            Self::Bokmal => "nb",
            Self::Nynorsk => "nn",
            Self::Sami => "se",
            Self::English => "en",
        }
    }

    /// Heading, explanation, cancel.
    fn login_texts(self) -> [&'static str; 3] {
        match self {
            Self::Bokmal => {
                ["Velg hvem du vil logge inn som", "Alle personene er oppdiktet. Tjeneste:", "Avbryt"]
            }
            Self::Nynorsk => {
                ["Vel kven du vil logge inn som", "Alle personane er oppdikta. Teneste:", "Avbryt"]
            }
            Self::Sami => {
                ["Vállje gean namas logget sisa", "Olbmot leat hutkojuvvon. Bálvalus:", "Gaskkalduhte"]
            }
            Self::English => {
                ["Choose whom to log in as", "All of these people are invented. Service:", "Cancel"]
            }
        }
    }
}

/// The login page: one form, a button named `person` for each who can reach the level, and `cancel`.
pub(crate) fn login(
    language: Language,
    action: &str,
    handle: &str,
    service: &str,
    persons: &[&Person],
) -> String {
    let [heading, explanation, cancel] = language.login_texts();
    let buttons: String = persons.iter().map(|person| button(person)).collect();
    let body = format!(
        "<h1>{heading}</h1>\n<p>{explanation} <b>{service}</b></p>\n\
         <form method=\"post\" action=\"{action}\">\n\
         <input type=\"hidden\" name=\"login\" value=\"{handle}\">\n{buttons}\
         <button class=\"quiet\" name=\"cancel\" value=\"yes\">{cancel}</button>\n</form>",
        service = escape(service),
    );
    page(language, heading, "", &body)
}

fn button(person: &Person) -> String {
    let number = person.fnr.as_deref().unwrap_or("–");
    let surprise = match person.behaviour {
        Behaviour::LogsIn => "",
        Behaviour::Cancels => " · avbryter",
        Behaviour::LevelTooLow => " · kommer tilbake på for lavt nivå",
    };
    format!(
        "<button name=\"person\" value=\"{}\"><b>{}</b><span>{} · {} · {}{surprise}</span></button>\n",
        escape(&person.id),
        escape(&person.name()),
        escape(person.eid.amr()),
        escape(person.eid.acr()),
        escape(number),
    )
}

/// The page after logout: one frame for each service, and the way back after a second.
pub(crate) fn logged_out(frames: &[String], target: Option<&str>) -> String {
    let frame = |url: &String| format!("<iframe hidden title=\"logout\" src=\"{}\"></iframe>\n", escape(url));
    let frames: String = frames.iter().map(frame).collect();
    let (refresh, way_back) = target.map_or_else(Default::default, |target| {
        let target = escape(target);
        (
            format!("<meta http-equiv=\"refresh\" content=\"1;url={target}\">\n"),
            format!("<p><a id=\"return\" href=\"{target}\">Tilbake til tjenesten</a></p>\n"),
        )
    });
    let body = format!("<h1>Du er logget ut</h1>\n{way_back}{frames}");
    page(Language::Bokmal, "Logget ut", &refresh, &body)
}

/// A page that says one thing.
pub(crate) fn message(heading: &str, text: &str) -> String {
    let body = format!("<h1>{}</h1>\n<p>{}</p>", escape(heading), escape(text));
    page(Language::Bokmal, heading, "", &body)
}

/// The start page.
pub(crate) fn start(issuers: &[&str]) -> String {
    let item = |issuer: &&str| {
        let issuer = escape(issuer);
        format!("<li><a href=\"{issuer}/.well-known/openid-configuration\">{issuer}</a></li>\n")
    };
    let issuers: String = issuers.iter().map(item).collect();
    let body = format!(
        "<h1>Simulator</h1>\n<p>Issuers:</p>\n<ul>\n{issuers}</ul>\n\
         <p><a href=\"/persons.json\">persons.json</a> · <a href=\"/control\">control</a></p>"
    );
    page(Language::English, "Simulator", "", &body)
}

fn page(language: Language, title: &str, head: &str, body: &str) -> String {
    format!(
        "<!doctype html>\n<html lang=\"{}\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{} – simulator</title>\n{head}<style>{STYLE}</style>\n</head>\n<body>\n\
         <p class=\"banner\">Simulator. Ikke ID-porten. Not the real ID-porten.</p>\n\
         <main>\n{body}\n</main>\n</body>\n</html>\n",
        language.code(),
        escape(title),
    )
}

/// Text as it may stand in HTML, quoted attributes included.
pub(crate) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}

const STYLE: &str = "body{margin:0;font:1.05rem/1.5 system-ui,sans-serif;color:#1e2b3c;background:#f3f4f4}\
.banner{margin:0;padding:.6rem 1rem;background:#fff3c4;border-bottom:1px solid #d9c36a;text-align:center}\
main{max-width:34rem;margin:2rem auto;padding:1.5rem 2rem;background:#fff;border-radius:.5rem}\
h1{font-size:1.4rem;margin-top:0}form{display:grid;gap:.6rem}\
button{font:inherit;text-align:left;padding:.7rem 1rem;border:1px solid #8aa;border-radius:.4rem;background:#fff;cursor:pointer}\
button:hover,button:focus{background:#e8f1fa;outline:2px solid #1a6db5}\
button span{display:block;color:#47566a;font-size:.9rem}.quiet{text-align:center;border-style:dashed}";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::person::everybody;

    #[test]
    fn the_first_known_language_wins() {
        assert_eq!(Language::choose(Some("de nn en")).code(), "nn");
        assert_eq!(Language::choose(Some("de")).code(), "nb");
        assert_eq!(Language::choose(None).code(), "nb");
    }

    #[test]
    fn what_others_wrote_is_escaped() {
        let people = everybody();
        let page =
            login(Language::English, "/login", "h", "<script>\"'&", &people.iter().collect::<Vec<_>>());
        assert!(page.contains("&lt;script&gt;&quot;&#39;&amp;") && !page.contains("<script"));
        assert!(
            logged_out(&["http://a/?x=1&y=\"".into()], None).contains("src=\"http://a/?x=1&amp;y=&quot;\"")
        );
    }
}

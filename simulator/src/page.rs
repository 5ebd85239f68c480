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

    fn login_texts(self) -> LoginTexts {
        match self {
            Self::Bokmal => LoginTexts {
                heading: "Velg hvem du vil logge inn som",
                country: "Velg landet som eID-en din er fra",
                explanation: "Alle personene er oppdiktet. Tjeneste:",
                organisation: "Hvem representerer du?",
                whatever: "Den eller dem personen kan representere",
                nobody: "Ingen",
                cancel: "Avbryt",
            },
            Self::Nynorsk => LoginTexts {
                heading: "Vel kven du vil logge inn som",
                country: "Vel landet som eID-en din er frå",
                explanation: "Alle personane er oppdikta. Teneste:",
                organisation: "Kven representerer du?",
                whatever: "Den eller dei personen kan representere",
                nobody: "Ingen",
                cancel: "Avbryt",
            },
            Self::Sami => LoginTexts {
                heading: "Vállje gean namas logget sisa",
                country: "Vállje riikka mas du eID lea",
                explanation: "Olbmot leat hutkojuvvon. Bálvalus:",
                organisation: "Gean ovddastat?",
                whatever: "Sin geaid olmmoš sáhttá ovddastit",
                nobody: "In ovttage",
                cancel: "Gaskkalduhte",
            },
            Self::English => LoginTexts {
                heading: "Choose whom to log in as",
                country: "Choose the country of your eID",
                explanation: "All of these people are invented. Service:",
                organisation: "Whom do you represent?",
                whatever: "Whomever the person may represent",
                nobody: "Nobody",
                cancel: "Cancel",
            },
        }
    }
}

struct LoginTexts {
    heading: &'static str,
    /// The heading where only European eIDs are offered.
    country: &'static str,
    explanation: &'static str,
    organisation: &'static str,
    whatever: &'static str,
    nobody: &'static str,
    cancel: &'static str,
}

/// What the login page offers.
pub(crate) struct Offer<'a> {
    /// Who asks.
    pub(crate) service: &'a str,
    /// Who can reach the level.
    pub(crate) persons: &'a [&'a Person],
    /// The organisations to choose from, number and name; empty if none was asked for.
    pub(crate) organisations: &'a [(&'a str, &'a str)],
}

/// The login page: one form, a button named `person` for each who can reach the level, Europeans by country,
/// a choice `organisation` where one was asked for, and `cancel`.
pub(crate) fn login(language: Language, action: &str, handle: &str, offer: &Offer<'_>) -> String {
    let texts = language.login_texts();
    let (europeans, others): (Vec<&Person>, Vec<&Person>) =
        offer.persons.iter().partition(|person| person.country().is_some());
    let heading = if others.is_empty() && !europeans.is_empty() { texts.country } else { texts.heading };
    let buttons: String = others.into_iter().map(button).collect();
    let body = format!(
        "<h1>{heading}</h1>\n<p>{explanation} <b>{service}</b></p>\n\
         <form method=\"post\" action=\"{action}\">\n\
         <input type=\"hidden\" name=\"login\" value=\"{handle}\">\n{organisations}{buttons}{countries}\
         <button class=\"quiet\" name=\"cancel\" value=\"yes\">{cancel}</button>\n</form>",
        explanation = texts.explanation,
        service = escape(offer.service),
        organisations = organisations(&texts, offer.organisations),
        countries = countries(&europeans),
        cancel = texts.cancel,
    );
    page(language, heading, "", &body)
}

/// Ansattporten's chooser. Whoever chooses nothing represents whomever the person may.
fn organisations(texts: &LoginTexts, organisations: &[(&str, &str)]) -> String {
    if organisations.is_empty() {
        return String::new();
    }
    let radio = |value: &str, label: &str, checked: &str| {
        format!(
            "<label><input type=\"radio\" name=\"organisation\" value=\"{}\"{checked}> {}</label>\n",
            escape(value),
            escape(label),
        )
    };
    let each = organisations.iter().map(|(number, name)| radio(number, &format!("{name} ({number})"), ""));
    format!(
        "<fieldset>\n<legend>{}</legend>\n{}{}{}</fieldset>\n",
        texts.organisation,
        radio("", texts.whatever, " checked"),
        each.collect::<String>(),
        radio("none", texts.nobody, ""),
    )
}

/// The country chooser: those with an eID of each country below its name.
fn countries(europeans: &[&Person]) -> String {
    let mut countries: Vec<&str> = europeans.iter().filter_map(|person| person.country()).collect();
    countries.sort_unstable();
    countries.dedup();
    let of = |country: &str| -> String {
        let people = europeans.iter().filter(|person| person.country() == Some(country));
        people.map(|person| button(person)).collect()
    };
    let group = |country: &&str| {
        let name = escape(country_name(country));
        format!("<fieldset>\n<legend>{name}</legend>\n{}</fieldset>\n", of(country))
    };
    countries.iter().map(group).collect()
}

/// As its own people call it.
fn country_name(country: &str) -> &str {
    match country {
        "DK" => "Danmark (DK)",
        "EE" => "Eesti (EE)",
        "EL" => "Ελλάδα (EL)",
        "SE" => "Sverige (SE)",
        other => other,
    }
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
h1{font-size:1.4rem;margin-top:0}form,fieldset{display:grid;gap:.6rem}fieldset{border:1px solid #8aa;border-radius:.4rem}legend{font-weight:600}\
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
    fn europeans_stand_below_their_country_and_everybody_is_offered_once() {
        let people = everybody();
        let all: Vec<_> = people.iter().collect();
        let offer = Offer { service: "s", persons: &all, organisations: &[] };
        let shown = login(Language::English, "/login", "h", &offer);
        for person in &people {
            let button = format!("name=\"person\" value=\"{}\"", person.id);
            assert_eq!(shown.matches(&button).count(), 1, "{}", person.id);
        }
        assert!(shown.contains("Choose whom to log in as") && !shown.contains("organisation"));
        let danes = shown.split("<legend>Danmark (DK)</legend>").nth(1).unwrap();
        let danes = danes.split("</fieldset>").next().unwrap();
        assert_eq!(danes.matches("<button").count(), 2);
        // Where nobody else is offered it is the country that is chosen.
        let europeans: Vec<_> = people.iter().filter(|person| person.country().is_some()).collect();
        let offer = Offer { service: "s", persons: &europeans, organisations: &[("1", "A"), ("2", "B")] };
        let shown = login(Language::English, "/login", "h", &offer);
        assert!(shown.contains("Choose the country of your eID"));
        assert_eq!(shown.matches("name=\"organisation\"").count(), 4);
        assert_eq!(shown.matches("<form").count(), 1);
    }

    #[test]
    fn what_others_wrote_is_escaped() {
        let people = everybody();
        let people: Vec<_> = people.iter().collect();
        let organisations = [("1", "<script>")];
        let offer = Offer { service: "<script>\"'&", persons: &people, organisations: &organisations };
        let page = login(Language::English, "/login", "h", &offer);
        assert!(page.contains("&lt;script&gt;&quot;&#39;&amp;") && !page.contains("<script"));
        assert!(
            logged_out(&["http://a/?x=1&y=\"".into()], None).contains("src=\"http://a/?x=1&amp;y=&quot;\"")
        );
    }
}

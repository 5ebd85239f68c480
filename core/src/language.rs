//! In which language a person is spoken to (RFC 9110, 12.5.4 and 12.4.2; RFC 4647, 3.4): their own choice, which a
//! cookie keeps, then what the browser asks for.
//!
//! What a browser sends is hostile input: only the beginning of it is read, and what is not understood
//! is passed over. The cookie says one of four words and nothing of anybody.

use std::sync::Arc;

use http::HeaderMap;

use crate::cookie::{self, Jar};

/// The cookie of a person's own choice.
const COOKIE: &str = "__Host-portvakt-language";

/// How long a choice is remembered, in seconds: a year.
const REMEMBERED: u32 = 365 * 24 * 60 * 60;

/// As much of `Accept-Language` as is read, in bytes. Browsers send less than 100.
const MAX_LENGTH: usize = 1024;

/// As many of its ranges as are read.
const MAX_RANGES: usize = 32;

/// A language that the pages speak.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Language {
    /// Norwegian Bokmål, also for whoever asks for `no` or for nothing that is spoken here.
    #[default]
    Nb,
    /// Norwegian Nynorsk.
    Nn,
    /// English.
    En,
    /// Northern Sámi.
    Se,
}

impl Language {
    /// All of them; of equally wanted ones that a header does not name, the first.
    pub const ALL: [Self; 4] = [Self::Nb, Self::Nn, Self::En, Self::Se];

    /// The language for a person.
    ///
    /// `locale` is the person's own choice, one tag or several as in `ui_locales` (OIDC Core 1.0,
    /// 3.1.2.1), and wins if it names a language spoken here; then counts `accept_language`, the value
    /// of the header. Anything may be passed in.
    #[must_use]
    pub fn choose(accept_language: Option<&str>, locale: Option<&str>) -> Self {
        locale
            .and_then(Self::named)
            .or_else(|| accept_language.and_then(Self::most_wanted))
            .unwrap_or_default()
    }

    /// The first of several tags, as in `ui_locales`, that is spoken here.
    #[must_use]
    pub fn named(tags: &str) -> Option<Self> {
        beginning(tags).split_ascii_whitespace().take(MAX_RANGES).find_map(Self::of)
    }

    /// What the person has chosen here before.
    #[must_use]
    pub fn remembered(headers: &HeaderMap) -> Option<Self> {
        let value = cookie::find(headers, COOKIE)?;
        Self::ALL.into_iter().find(|language| language.tag().as_bytes() == value)
    }

    /// `Set-Cookie` that remembers the choice.
    #[must_use]
    pub fn remember(self) -> http::HeaderValue {
        let jar = Jar { name: COOKIE.to_owned(), path: "/".to_owned(), domain: None };
        jar.set_for(self.tag(), REMEMBERED)
    }

    /// What it calls itself.
    #[must_use]
    pub fn own_name(self) -> &'static str {
        match self {
            Self::Nb => "Bokmål",
            Self::Nn => "Nynorsk",
            Self::En => "English",
            Self::Se => "Davvisámegiella",
        }
    }

    /// The value of `lang` in HTML, of `Content-Language` and of `ui_locales`.
    #[must_use]
    pub fn tag(self) -> &'static str {
        match self {
            Self::Nb => "nb",
            Self::Nn => "nn",
            Self::En => "en",
            Self::Se => "se",
        }
    }

    /// By the first subtag: a page for `en-GB` is the one for `en`.
    fn of(tag: &str) -> Option<Self> {
        let primary = tag.split('-').next().unwrap_or_default();
        match primary.to_ascii_lowercase().as_str() {
            "nb" | "no" => Some(Self::Nb),
            "nn" => Some(Self::Nn),
            "en" => Some(Self::En),
            // The second is ISO 639-3's name of it.
            "se" | "sme" => Some(Self::Se),
            _ => None,
        }
    }

    fn most_wanted(header: &str) -> Option<Self> {
        let mut named: Vec<(Self, u16)> = Vec::with_capacity(Self::ALL.len());
        let mut any_other = 0;
        for range in beginning(header).split(',').take(MAX_RANGES) {
            let Some((tag, weight)) = parse_range(range) else { continue };
            if tag == "*" {
                any_other = any_other.max(weight);
            } else if let Some(language) = Self::of(tag) {
                match named.iter_mut().find(|(known, _)| *known == language) {
                    Some((_, best)) => *best = weight.max(*best),
                    None => named.push((language, weight)),
                }
            }
        }
        for language in Self::ALL {
            if named.iter().all(|(known, _)| *known != language) {
                named.push((language, any_other));
            }
        }
        // `max_by_key` keeps the last of equals; of equals the one named first is meant.
        named
            .into_iter()
            .rev()
            .filter(|(_, weight)| *weight > 0)
            .max_by_key(|(_, weight)| *weight)
            .map(|(l, _)| l)
    }
}

/// A text in one language or several.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Localised([Option<Arc<str>>; 4]);

impl Localised {
    /// The same text in every language.
    #[must_use]
    pub fn same(text: &str) -> Self {
        let text: Arc<str> = text.into();
        Self(Language::ALL.map(|_| Some(Arc::clone(&text))))
    }

    /// Of texts, each in its language.
    #[must_use]
    pub fn of(texts: impl IntoIterator<Item = (Language, String)>) -> Self {
        let mut all = Self::default();
        for (language, text) in texts {
            all.0[language as usize] = Some(text.into());
        }
        all
    }

    /// The text in exactly this language.
    #[must_use]
    pub fn exactly(&self, language: Language) -> Option<&str> {
        self.0[language as usize].as_deref()
    }

    /// Whether there is none at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(Option::is_none)
    }

    /// These texts, and in the languages that they lack those of `other`.
    #[must_use]
    pub fn or(mut self, other: &Self) -> Self {
        for (text, other) in self.0.iter_mut().zip(&other.0) {
            *text = text.take().or_else(|| other.clone());
        }
        self
    }

    /// The text in a language; else in Bokmål, or the first in which there is one.
    #[must_use]
    pub fn get(&self, language: Language) -> Option<&str> {
        let any = || self.0.iter().find_map(Option::as_deref);
        self.0[language as usize].as_deref().or_else(any)
    }
}

/// What is read of a header: whole ranges only, since half a weight would be another weight.
fn beginning(header: &str) -> &str {
    let cut = &header[..header.floor_char_boundary(MAX_LENGTH)];
    if cut.len() == header.len() { header } else { cut.rsplit_once(',').map_or("", |(whole, _)| whole) }
}

/// `tag [; q=weight]`, the weight in thousandths.
fn parse_range(range: &str) -> Option<(&str, u16)> {
    let Some((tag, parameter)) = range.split_once(';') else { return Some((range.trim(), 1000)) };
    let (name, weight) = parameter.trim().split_once('=')?;
    name.eq_ignore_ascii_case("q").then_some((tag.trim(), parse_weight(weight)?))
}

/// RFC 9110, 12.4.2: `0[.ddd]` or `1[.000]`.
fn parse_weight(text: &str) -> Option<u16> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    if fraction.len() > 3 || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let thousandths = format!("{fraction:0<3}").parse().ok()?;
    match (whole, thousandths) {
        ("0", thousandths) => Some(thousandths),
        ("1", 0) => Some(1000),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn by_header(header: &str) -> Language {
        Language::choose(Some(header), None)
    }

    #[test]
    fn the_most_wanted_language_is_spoken() {
        for (header, expected) in [
            ("nb-NO,nb;q=0.9,no;q=0.8,nn;q=0.6,en-US;q=0.5,en;q=0.4", Language::Nb),
            ("nn-NO, nn;q=0.9, nb;q=0.8", Language::Nn),
            ("no", Language::Nb),
            ("se-NO,se;q=0.9,nb;q=0.8", Language::Se),
            ("sme, en;q=0.9", Language::Se),
            ("de-DE,de;q=0.9,en;q=0.8", Language::En),
            ("EN-gb", Language::En),
            ("nb;q=0.2, en;q=0.9", Language::En),
            ("en;q=0.2, nn;Q=0.25", Language::Nn),
            ("en ; q=0.5 , nn ;q=0.6", Language::Nn),
            ("en;q=0.1, en-GB;q=0.9, nb;q=0.5", Language::En),
        ] {
            assert_eq!(by_header(header), expected, "{header}");
        }
    }

    #[test]
    fn of_equals_the_first_named_is_meant() {
        assert_eq!(by_header("en, nb"), Language::En);
        assert_eq!(by_header("nn;q=0.5, en;q=0.5"), Language::Nn);
    }

    #[test]
    fn a_star_stands_for_what_is_not_named_and_zero_excludes() {
        assert_eq!(by_header("en;q=0.5, *;q=0.8"), Language::Nb);
        assert_eq!(by_header("nb;q=0, *"), Language::Nn);
        assert_eq!(by_header("no;q=0, nn;q=0, *;q=0.1"), Language::En);
        assert_eq!(by_header("en;q=0"), Language::Nb);
        assert_eq!(by_header("*;q=0"), Language::Nb);
    }

    #[test]
    fn what_is_not_understood_is_passed_over() {
        for header in
            ["", ",", ";;;", "fr", "en;q=2", "en;q=1.001", "en;q=0.1234", "en;q=-1", "en;x=1", "en;q="]
        {
            assert_eq!(by_header(header), Language::Nb, "{header}");
        }
        assert_eq!(by_header("nn;q=oops, en;q=1.000"), Language::En);
        assert_eq!(Language::choose(None, None), Language::Nb);
    }

    #[test]
    fn the_persons_own_choice_wins() {
        assert_eq!(Language::choose(Some("en"), Some("nn")), Language::Nn);
        assert_eq!(Language::choose(Some("nb"), Some("xx en nn")), Language::En);
        assert_eq!(Language::choose(Some("en"), Some("xx")), Language::En);
        assert_eq!(Language::choose(Some("en"), Some("")), Language::En);
    }

    #[test]
    fn only_the_beginning_is_read() {
        let many = "fr,".repeat(MAX_RANGES);
        assert_eq!(by_header(&format!("{many}en")), Language::Nb);
        let long = format!("{}, en", "x".repeat(MAX_LENGTH));
        assert_eq!(by_header(&long), Language::Nb);
        let cut_in_a_weight = format!("nn;q=0.5,{}en;q=0.1", " ".repeat(MAX_LENGTH - 11));
        assert_eq!(by_header(&cut_in_a_weight), Language::Nn);
        assert_eq!(Language::named(&format!("{}nn", "xx ".repeat(MAX_RANGES))), None);
    }

    #[test]
    fn a_choice_is_remembered_in_a_cookie_that_says_one_word() {
        let asked = |line: &str| {
            let headers = [(http::header::COOKIE, line.parse().unwrap())].into_iter().collect();
            Language::remembered(&headers)
        };
        for language in Language::ALL {
            let set = language.remember().to_str().unwrap().to_owned();
            assert!(set.ends_with("; HttpOnly; SameSite=Lax; Secure; Path=/; Max-Age=31536000"), "{set}");
            assert_eq!(asked(set.split(';').next().unwrap()), Some(language));
        }
        let cookie = |value: &str| asked(&format!("a=1; __Host-portvakt-language={value}"));
        assert_eq!(cookie("se"), Some(Language::Se));
        for odd in ["", "xx", "SE", "nb-NO", "\"nb\"", "nb; __Host-portvakt-language=nn"] {
            assert_eq!(cookie(odd), None, "{odd}");
        }
    }

    #[test]
    fn a_text_is_there_in_its_language_or_in_another() {
        let text = Localised::of([(Language::Se, "bures".to_owned()), (Language::Nn, "hei".to_owned())]);
        assert_eq!(
            Language::ALL.map(|language| text.get(language)),
            [Some("hei"), Some("hei"), Some("hei"), Some("bures")]
        );
        assert_eq!(Localised::same("x").get(Language::En), Some("x"));
        assert_eq!(Localised::default().get(Language::En), None);
    }

    proptest! {
        #[test]
        fn nothing_that_is_sent_ends_badly(header in ".{0,1100}", locale in ".{0,40}") {
            let language = Language::choose(Some(&header), Some(&locale));
            prop_assert!(Language::ALL.contains(&language));
        }
    }
}

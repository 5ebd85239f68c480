//! What is around the words of every page: the language, the look, whose page it is, whom to ask.

use portvakt_core::brand::{Contact, dialled};
use portvakt_core::language::Language;

use super::words::{self, Labels};
use super::{Setting, policy};

/// What every template gets beside its own.
pub(super) struct Frame<'a> {
    pub(super) style: &'static str,
    /// An operator's colours.
    pub(super) colours: Option<&'a str>,
    pub(super) lang: &'static str,
    pub(super) labels: Labels<'a>,
    pub(super) reference: &'a str,
    pub(super) switch: Vec<Switch<'a>>,
    /// Who offers the service, behind each title; empty: nobody says.
    pub(super) name: &'a str,
    pub(super) logo: Option<Picture<'a>>,
    /// Whether the name stands above the page: a logo with words of its own says it already.
    pub(super) shows_name: bool,
    pub(super) contact: Option<Line<'a>>,
}

/// The page in one of its languages.
pub(super) struct Switch<'a> {
    pub(super) lang: &'static str,
    pub(super) name: &'static str,
    pub(super) href: &'a str,
    pub(super) is_this: bool,
}

/// A logo and where it is.
pub(super) struct Picture<'a> {
    pub(super) src: String,
    pub(super) dark: Option<String>,
    pub(super) alt: &'a str,
}

/// Whom to ask. What is empty is not shown.
pub(super) struct Line<'a> {
    pub(super) text: &'a str,
    pub(super) phone: &'a str,
    /// The phone number in a link.
    pub(super) dialled: String,
    pub(super) email: &'a str,
    pub(super) link: &'a str,
    pub(super) link_text: &'a str,
}

impl<'a> Frame<'a> {
    pub(super) fn of(setting: &'a Setting<'_>) -> Self {
        let switch = |(language, href): &'a (Language, String)| Switch {
            lang: language.tag(),
            name: language.own_name(),
            href,
            is_this: *language == setting.language,
        };
        let brand = setting.brand;
        let name = brand.name.get(setting.language).unwrap_or_default();
        let logo = Picture::of(setting);
        Self {
            style: policy::STYLE,
            colours: brand.colours.as_ref().map(|colours| colours.css()),
            lang: setting.language.tag(),
            labels: words::labels(setting),
            reference: setting.reference,
            switch: setting.switch.iter().map(switch).collect(),
            name,
            shows_name: !name.is_empty() && logo.as_ref().is_none_or(|logo| logo.alt.is_empty()),
            logo,
            contact: brand.contact.as_ref().map(|contact| Line::of(contact, setting.language)),
        }
    }
}

impl<'a> Picture<'a> {
    fn of(setting: &'a Setting<'_>) -> Option<Self> {
        let (logo, logos) = (setting.brand.logo.as_ref()?, setting.logos.as_ref()?);
        let at = |tag: &str| format!("{logos}{tag}");
        Some(Self {
            src: at(logo.image.tag()),
            dark: logo.dark.as_ref().map(|dark| at(dark.tag())),
            alt: logo.alt.get(setting.language).unwrap_or_default(),
        })
    }
}

impl<'a> Line<'a> {
    fn of(contact: &'a Contact, language: Language) -> Self {
        let phone = contact.phone.as_deref().unwrap_or_default();
        let link = contact.link.get(language).unwrap_or_default();
        let host = link.trim_start_matches("https://").split(['/', '?', '#']).next().unwrap_or_default();
        Self {
            text: contact.text.get(language).unwrap_or_default(),
            phone,
            dialled: dialled(phone),
            email: contact.email.as_deref().unwrap_or_default(),
            link,
            link_text: contact.link_text.get(language).unwrap_or(host),
        }
    }
}

//! How an operator's pages look and what they say: name, logo, colours, whom to ask, texts of their own.
//!
//! Plain data, read and judged when the file is loaded; the pages only put it in.
//!
//! **Invariant:** a brand is text and pictures. Text is escaped where it is put in, a picture has been looked at
//! ([`image`]), and colours are numbers ([`colour`]): nothing of it is ever markup, style or script of an operator's.

pub mod colour;
pub mod image;
pub mod texts;

use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};

use crate::language::Localised;
use colour::Palette;
use image::Image;
use texts::Texts;

/// How the pages of a host look. By default they say only what the gateway says itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Brand {
    /// Who offers the service.
    pub name: Localised,
    /// Their logo.
    pub logo: Option<Arc<Logo>>,
    /// Their colours; `None`: ours.
    pub colours: Option<Arc<Colours>>,
    /// Whom to ask.
    pub contact: Option<Arc<Contact>>,
    /// What they say in other words.
    pub texts: Texts,
}

/// A logo.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Logo {
    /// The picture.
    pub image: Image,
    /// The picture in dark mode; without it the other one is shown, on a light ground.
    pub dark: Option<Image>,
    /// What it says to those who do not see it; empty: nothing but the name beside it.
    pub alt: Localised,
}

impl Logo {
    /// The picture of this name, as [`Image::tag`] has it.
    #[must_use]
    pub fn image(&self, tag: &str) -> Option<&Image> {
        [Some(&self.image), self.dark.as_ref()].into_iter().flatten().find(|image| image.tag() == tag)
    }
}

/// Colours as a style sheet of their own, and what a page's policy calls it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Colours {
    css: String,
    source: String,
}

impl Colours {
    /// For light and dark mode.
    #[must_use]
    pub fn of(light: &Palette, dark: &Palette) -> Self {
        let css = [("light", light), ("dark", dark)]
            .map(|(scheme, palette)| {
                format!("@media (prefers-color-scheme: {scheme}) {{ :root {{ {palette} }} }}")
            })
            .join("\n");
        let hash = digest(&SHA256, css.as_bytes());
        let source = format!("'sha256-{}'", base64_simd::STANDARD.encode_to_string(hash));
        Self { css, source }
    }

    /// The style sheet.
    #[must_use]
    pub fn css(&self) -> &str {
        &self.css
    }

    /// It in `style-src` (CSP Level 3, 2.3.1).
    #[must_use]
    pub fn source(&self) -> &str {
        &self.source
    }
}

/// Whom to ask. What is not given is not shown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Contact {
    /// What is said before the rest.
    pub text: Localised,
    /// A number, as people write it.
    pub phone: Option<String>,
    /// An address.
    pub email: Option<String>,
    /// A page, https; another in each language, if wanted.
    pub link: Localised,
    /// What the link says; its host by default.
    pub link_text: Localised,
}

/// A number as people write it: digits, blanks, `-`, brackets, and `+` before all.
#[must_use]
pub fn is_phone(text: &str) -> bool {
    let digits = text.bytes().filter(u8::is_ascii_digit).count();
    let rest = text.strip_prefix('+').unwrap_or(text);
    (3..=15).contains(&digits) && rest.bytes().all(|byte| byte.is_ascii_digit() || b" -()".contains(&byte))
}

/// The number in a `tel:` link (RFC 3966, 3), where blanks have no place.
#[must_use]
pub fn dialled(phone: &str) -> String {
    phone.chars().filter(|char| char.is_ascii_digit() || *char == '+').collect()
}

/// One address of the usual kind: nothing that a `mailto:` link reads otherwise (RFC 6068, 2).
#[must_use]
pub fn is_email(text: &str) -> bool {
    let Some((local, domain)) = text.split_once('@') else { return false };
    let plain = |part: &str, more: &[u8]| {
        !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || more.contains(&byte))
    };
    text.len() <= 254 && plain(local, b".-_+") && plain(domain, b".-") && domain.contains('.')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_written_for_people_and_dialled_by_machines() {
        for phone in ["+47 22 00 00 00", "116117", "(0047) 22-00-00-00"] {
            assert!(is_phone(phone), "{phone}");
        }
        for text in ["", "12", "22 00 00 00 00 00 00 00", "22;ext=1", "22+1", "+47 22 00 x", "\u{663}22 33"] {
            assert!(!is_phone(text), "{text}");
        }
        assert_eq!(dialled("+47 22 00-00 (0)"), "+472200000");
    }

    #[test]
    fn an_address_is_one_address() {
        for email in ["hjelp@kommune.example", "a.b+c@sub.kommune.example"] {
            assert!(is_email(email), "{email}");
        }
        for text in
            ["", "hjelp", "@a.no", "a@", "a@b", "a@b.no?cc=x", "a@b@c.no", "a,b@c.no", "å@b.no", "a b@c.no"]
        {
            assert!(!is_email(text), "{text}");
        }
    }

    #[test]
    fn colours_are_two_style_sheets_that_do_not_touch_each_other() {
        let colours = Colours::of(&Palette::LIGHT, &Palette::DARK);
        let parts: Vec<&str> = colours.css().lines().collect();
        assert!(parts[0].starts_with("@media (prefers-color-scheme: light) { :root { --ground: #f3f4f6; "));
        assert!(parts[1].starts_with("@media (prefers-color-scheme: dark) { :root { --ground: #12161b; "));
        assert!(!colours.css().contains(['<', '&', '"']), "it stands in a page as it is");
        assert!(colours.source().starts_with("'sha256-") && colours.source().ends_with("='"));
    }
}

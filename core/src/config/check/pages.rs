//! How the gateway's own pages look: for the whole file, and for a host.
//!
//! What a host says of its name, logo, colours or contact takes the place of what the file says of it; texts are put
//! together, the host's before the file's.

use std::sync::Arc;

use super::file;
use super::place;
use crate::brand::colour::{Colour, Palette, Part};
use crate::brand::image::{self, Image};
use crate::brand::texts::{self, LABEL, PAGES, Texts};
use crate::brand::{Brand, Colours, Contact, Logo, is_email, is_phone};
use crate::config::problem::{near, one_of};
use crate::config::raw::RawTexts;
use crate::config::raw_pages::{RawColours, RawContact, RawLogo, RawPageTexts, RawPages, RawPalette};
use crate::config::shape::{At, Desk};
use crate::language::Localised;

/// The most characters of a name, a label or a title.
const SHORT: usize = 120;

/// The most characters of any other text.
const LONG: usize = 1_000;

/// The brand of a host, or with `file` as the default that of the file.
pub(super) fn brand(raw: Option<&At<RawPages>>, file: &Brand, desk: &mut Desk<'_>) -> Brand {
    let Some(raw) = raw.map(|raw| &raw.value) else { return file.clone() };
    let name = raw.name.as_ref().map_or_else(|| file.name.clone(), |name| name.value.localised(SHORT, desk));
    let logo = match &raw.logo {
        Some(logo) => self::logo(&logo.value, &name, desk).map(Arc::new),
        None => file.logo.clone(),
    };
    let colours = match &raw.colours {
        Some(colours) => self::colours(&colours.value, desk).map(Arc::new),
        None => file.colours.clone(),
    };
    let contact = match &raw.contact {
        Some(contact) => Some(Arc::new(self::contact(contact, desk))),
        None => file.contact.clone(),
    };
    let own = raw.texts.as_ref().map(|texts| self::texts(&texts.value, desk)).unwrap_or_default();
    Brand { name, logo, colours, contact, texts: own.or(&file.texts) }
}

fn logo(raw: &RawLogo, name: &Localised, desk: &mut Desk<'_>) -> Option<Logo> {
    let image = raw.file.as_ref().and_then(|file| self::image(file, desk));
    let dark = raw.dark.as_ref().map(|file| self::image(file, desk));
    if let (Some(file), None, true) = (&raw.file, &raw.alt, name.is_empty() && !raw.unread.contains(&"alt")) {
        desk.error(
            &file.span,
            "nothing says what this logo means to those who do not see it",
            "add `alt:` with the words in it, or `name:` to stand beside it",
        );
    }
    let alt = raw.alt.as_ref().map(|alt| alt.value.localised(SHORT, desk)).unwrap_or_default();
    let dark = match dark {
        Some(dark) => Some(dark?),
        None => None,
    };
    Some(Logo { image: image?, dark, alt })
}

fn image(file: &At<std::path::PathBuf>, desk: &mut Desk<'_>) -> Option<Image> {
    let bytes = file::contents(file, image::MAX, desk)?;
    match Image::parse(&bytes) {
        Ok(image) => Some(image),
        Err(why) => {
            desk.error(&file.span, why.to_string(), "save it as plain, optimised SVG, or as PNG");
            None
        }
    }
}

fn colours(raw: &RawColours, desk: &mut Desk<'_>) -> Option<Colours> {
    let light = palette(raw.light.as_ref(), Palette::LIGHT, "light", desk);
    let dark = palette(raw.dark.as_ref(), Palette::DARK, "dark", desk);
    Some(Colours::of(&light?, &dark?))
}

fn palette(raw: Option<&At<RawPalette>>, ours: Palette, mode: &str, desk: &mut Desk<'_>) -> Option<Palette> {
    let Some(raw) = raw else { return Some(ours) };
    let given = raw.value.given();
    let mut palette = ours;
    let mut sound = raw.value.unread.is_empty();
    for (part, text) in Part::ALL.into_iter().zip(given) {
        let Some(text) = text else { continue };
        match Colour::parse(&text.value) {
            Some(colour) => palette = palette.with(part, colour),
            None => {
                sound = false;
                let message = format!("{} is not a colour", desk.quoted(&text.span));
                desk.error(&text.span, message, "write `\"#rrggbb\"`, in quotes");
            }
        }
    }
    if !sound {
        return None;
    }
    for found in palette.unreadable() {
        let place = |part: Part| given[part as usize];
        let Some(at) = place(found.part).or(place(found.on)) else { continue };
        let (part, on) = (found.part.as_str(), found.on.as_str());
        desk.error(
            &at.span,
            format!(
                "`{part}` on `{on}` has a contrast of {:.2}:1 in {mode} mode, and needs {}:1",
                found.ratio, found.needed
            ),
            format!(
                "make one of them lighter or darker: `{part}` is {}, `{on}` is {}",
                palette.of(found.part),
                palette.of(found.on)
            ),
        );
    }
    Some(palette)
}

fn contact(raw: &At<RawContact>, desk: &mut Desk<'_>) -> Contact {
    let RawContact { text, phone, email, link, link_text, unread, .. } = &raw.value;
    if let Some(phone) = phone.as_ref().filter(|phone| !is_phone(&phone.value)) {
        let message = format!("{} is not a telephone number", desk.quoted(&phone.span));
        desk.error(&phone.span, message, "write digits and blanks, such as `+47 22 00 00 00`");
    }
    if let Some(email) = email.as_ref().filter(|email| !is_email(&email.value)) {
        let message = format!("{} is not an e-mail address", desk.quoted(&email.span));
        desk.error(&email.span, message, "write one address, such as `hjelp@kommune.no`");
    }
    for given in link.iter().flat_map(|link| link.value.written()) {
        if !is_https(&given.value) {
            let message = format!("{} is not a page on the web", desk.quoted(&given.span));
            desk.error(&given.span, message, "write its whole address, `https://…`");
        }
    }
    if let (Some(given), None, false) = (link_text, link, unread.contains(&"link")) {
        desk.error(
            &given.span,
            "`link_text` has no effect without `link`",
            "add `link: https://…`, or remove it",
        );
    }
    if unread.is_empty() && text.is_none() && phone.is_none() && email.is_none() && link.is_none() {
        desk.error(&raw.span, "this names nobody", "add `text`, `phone`, `email` or `link`");
    }
    let mut localised = |given: &Option<At<RawTexts>>, most| {
        given.as_ref().map(|given| given.value.localised(most, desk)).unwrap_or_default()
    };
    Contact {
        text: localised(text, LONG),
        link: localised(link, LONG),
        link_text: localised(link_text, SHORT),
        phone: phone.as_ref().map(|phone| phone.value.clone()),
        email: email.as_ref().map(|email| email.value.clone()),
    }
}

/// A page of another host, in visible ASCII.
fn is_https(text: &str) -> bool {
    let address = text.split(['?', '#']).next().unwrap_or_default();
    let judged = text.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"<>\\^`{|}".contains(&byte));
    judged && place::url(address).is_ok_and(|(place, _)| place.secure)
}

fn texts(raw: &RawPageTexts, desk: &mut Desk<'_>) -> Texts {
    let mut texts = Texts::default();
    for (group, places) in &raw.0.0 {
        let Some(names) = texts::names_of(&group.value) else {
            let groups = || PAGES.into_iter().chain([LABEL]);
            unknown(group, "page", &near(&group.value, groups()), &groups().collect::<Vec<_>>(), desk);
            continue;
        };
        for (name, each) in places.iter().flat_map(|places| &places.value.0) {
            if !names.contains(&name.value.as_str()) {
                unknown(name, "text", &near(&name.value, names.iter().copied()), names, desk);
                continue;
            }
            let Some(each) = each else { continue };
            let most = if group.value == LABEL || name.value == "title" { SHORT } else { LONG };
            for (_, text) in each.value.written() {
                check_placeholders(text, texts::placeholders(&group.value, &name.value), desk);
            }
            texts.put(&group.value, &name.value, each.value.localised(most, desk));
        }
    }
    texts
}

fn unknown(given: &At<String>, what: &str, near: &[&str], all: &[&str], desk: &mut Desk<'_>) {
    let meant = if near.is_empty() {
        String::new()
    } else {
        format!("; did you mean {}?", one_of(near.iter().copied()))
    };
    desk.error(
        &given.span,
        format!("no {what} is called {}{meant}", desk.quoted(&given.span)),
        format!("write {}", one_of(if near.is_empty() { all } else { near }.iter().copied())),
    );
}

/// Braces stand for what is put in; a brace that stands for nothing is a mistake.
fn check_placeholders(text: &At<String>, known: &[&str], desk: &mut Desk<'_>) {
    let mut rest = text.value.clone();
    for placeholder in known {
        rest = rest.replace(placeholder, "");
    }
    if rest.contains(['{', '}']) {
        let fix = match known {
            [] => "write plain text without braces: nothing is put in here".to_owned(),
            known => format!("braces stand here in {} alone", one_of(known.iter().copied())),
        };
        desk.error(&text.span, "this has a placeholder that is not known here", fix);
    }
}

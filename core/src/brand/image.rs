//! A logo's file: what it is, and that it is nothing but a picture.
//!
//! Browsers show it through `<img>`, where an SVG runs no script and loads nothing (SVG Integration, 3.2); whoever
//! opens its address gets it under a policy that forbids both. This is looked at besides, so that an operator learns
//! it from the file and not from a page.
//!
//! **Invariant:** an SVG has only elements and attributes from a list, no document type, no instruction, and refers
//! to nothing but its own parts.

use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};

/// The most bytes of a logo.
pub const MAX: usize = 64 * 1024;

/// The most pixels of a PNG's side.
const MAX_SIDE: u32 = 4096;

/// A picture that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    bytes: Arc<[u8]>,
    kind: Kind,
    tag: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Svg,
    Png,
}

/// Why a file is no logo.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ImageError {
    /// Too long.
    #[error("this picture is larger than {MAX} bytes")]
    TooLarge,
    /// Neither kind.
    #[error("this is neither an SVG nor a PNG")]
    Unknown,
    /// Cut, or with something behind its end.
    #[error("this PNG is not whole, or has more than {MAX_SIDE} pixels on a side")]
    Png,
    /// It does not read as XML, or is not UTF-8.
    #[error("this SVG does not read: {0}")]
    Syntax(&'static str),
    /// Something that a picture does not need.
    #[error("this SVG has {0}, which a logo does not need")]
    Foreign(String),
}

impl Image {
    /// Looks at a file.
    ///
    /// # Errors
    ///
    /// [`ImageError`] says what is wrong with it.
    pub fn parse(bytes: &[u8]) -> Result<Self, ImageError> {
        if bytes.len() > MAX {
            return Err(ImageError::TooLarge);
        }
        let kind = if bytes.starts_with(PNG) {
            check_png(bytes).ok_or(ImageError::Png)?;
            Kind::Png
        } else {
            let text = std::str::from_utf8(bytes).map_err(|_| ImageError::Unknown)?;
            check_svg(text)?;
            Kind::Svg
        };
        let hash = digest(&SHA256, bytes);
        let name: String = hash.as_ref().iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        let end = if kind == Kind::Svg { "svg" } else { "png" };
        Ok(Self { bytes: bytes.into(), kind, tag: format!("{name}.{end}") })
    }

    /// The file.
    #[must_use]
    pub fn bytes(&self) -> Arc<[u8]> {
        Arc::clone(&self.bytes)
    }

    /// Its media type.
    #[must_use]
    pub fn media_type(&self) -> &'static str {
        match self.kind {
            Kind::Svg => "image/svg+xml",
            Kind::Png => "image/png",
        }
    }

    /// A name that follows from what is in it.
    #[must_use]
    pub fn tag(&self) -> &str {
        &self.tag
    }
}

const PNG: &[u8] = b"\x89PNG\r\n\x1a\n";

/// Whole chunks from IHDR to IEND, and nothing after (PNG, third edition, 5).
fn check_png(bytes: &[u8]) -> Option<()> {
    let mut rest = bytes.strip_prefix(PNG)?;
    let mut first = true;
    loop {
        let (length, after) = rest.split_first_chunk::<4>()?;
        let (name, after) = after.split_first_chunk::<4>()?;
        let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
        let (data, after) = after.split_at_checked(length)?;
        let (_checksum, after) = after.split_first_chunk::<4>()?;
        if first {
            let (width, data) = data.split_first_chunk::<4>()?;
            let (height, _) = data.split_first_chunk::<4>()?;
            let sound = |side: &[u8; 4]| (1..=MAX_SIDE).contains(&u32::from_be_bytes(*side));
            if name != b"IHDR" || !sound(width) || !sound(height) {
                return None;
            }
        }
        first = false;
        if name == b"IEND" {
            return after.is_empty().then_some(());
        }
        rest = after;
    }
}

/// Elements that draw, or hold what draws.
const ELEMENTS: [&str; 29] = [
    "svg",
    "g",
    "defs",
    "title",
    "desc",
    "path",
    "rect",
    "circle",
    "ellipse",
    "line",
    "polyline",
    "polygon",
    "text",
    "tspan",
    "use",
    "symbol",
    "linearGradient",
    "radialGradient",
    "stop",
    "clipPath",
    "mask",
    "pattern",
    "marker",
    "filter",
    "feGaussianBlur",
    "feOffset",
    "feMerge",
    "feMergeNode",
    "style",
];

fn check_svg(text: &str) -> Result<(), ImageError> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text).trim();
    let mut rest = match text.strip_prefix("<?xml ") {
        Some(declaration) => declaration.split_once("?>").ok_or(ImageError::Unknown)?.1.trim_start(),
        None => text,
    };
    let mut open: Vec<&str> = Vec::new();
    let mut begun = false;
    while !rest.is_empty() {
        if let Some(comment) = rest.strip_prefix("<!--") {
            rest = comment.split_once("-->").ok_or(ImageError::Syntax("a comment has no end"))?.1;
            continue;
        }
        let Some(tag) = rest.strip_prefix('<') else {
            let (words, after) = rest.split_at(rest.find('<').unwrap_or(rest.len()));
            check_words(words, &open, begun)?;
            rest = after;
            continue;
        };
        if tag.starts_with(['!', '?']) {
            return if begun || tag.starts_with("!DOCTYPE svg") || tag.starts_with('?') {
                Err(ImageError::Foreign("a document type, an instruction or a raw section".to_owned()))
            } else {
                Err(ImageError::Unknown)
            };
        }
        let (tag, after) = split_tag(tag)?;
        rest = after;
        if let Some(name) = tag.strip_prefix('/') {
            if open.pop() != Some(name.trim_end()) {
                return Err(ImageError::Syntax("an element is not closed where it was opened"));
            }
            continue;
        }
        let (tag, is_empty) = tag.strip_suffix('/').map_or((tag, false), |tag| (tag, true));
        let (name, attributes) = tag.split_at(tag.find(char::is_whitespace).unwrap_or(tag.len()));
        if !begun && name != "svg" {
            return Err(ImageError::Unknown);
        }
        if begun && open.is_empty() {
            return Err(ImageError::Syntax("something comes after its end"));
        }
        begun = true;
        if !ELEMENTS.contains(&name) {
            return Err(ImageError::Foreign(format!("`<{}>`", shown(name))));
        }
        check_attributes(attributes)?;
        if !is_empty {
            open.push(name);
        }
    }
    match (begun, open.is_empty()) {
        (false, _) => Err(ImageError::Unknown),
        (true, false) => Err(ImageError::Syntax("it ends before its elements do")),
        (true, true) => Ok(()),
    }
}

/// The inside of a tag, and what follows it. A `>` in quotes does not end it.
fn split_tag(text: &str) -> Result<(&str, &str), ImageError> {
    let mut quote = None;
    for (at, byte) in text.bytes().enumerate() {
        match (quote, byte) {
            (None, b'>') => return Ok((&text[..at], &text[at + 1..])),
            (None, b'<') => return Err(ImageError::Syntax("a tag begins in a tag")),
            (None, b'"' | b'\'') => quote = Some(byte),
            (Some(open), _) if open == byte => quote = None,
            _ => {}
        }
    }
    Err(ImageError::Syntax("a tag has no end"))
}

fn check_attributes(mut rest: &str) -> Result<(), ImageError> {
    const BROKEN: ImageError = ImageError::Syntax("an attribute is not `name=\"value\"`");
    loop {
        rest = rest.trim_start();
        if rest.is_empty() {
            return Ok(());
        }
        let (name, after) = rest.split_once('=').ok_or(BROKEN)?;
        let name = name.trim_end();
        let after = after.trim_start();
        let quote = after.chars().next().filter(|quote| matches!(quote, '"' | '\'')).ok_or(BROKEN)?;
        let (value, after) = after[1..].split_once(quote).ok_or(BROKEN)?;
        rest = after;
        let simple = |byte: u8| byte.is_ascii_alphanumeric() || b"-_:.".contains(&byte);
        if name.is_empty() || !name.bytes().all(simple) {
            return Err(BROKEN);
        }
        check_entities(value)?;
        let lower = name.to_ascii_lowercase();
        let sound = match lower.as_str() {
            "href" | "xlink:href" => value.starts_with('#'),
            // Declares names; nothing is asked there.
            _ if lower == "xmlns" || lower.starts_with("xmlns:") => true,
            _ => !lower.starts_with("on") && refers_to_itself(value),
        };
        if !sound {
            return Err(ImageError::Foreign(format!("`{}=\"{}\"`", shown(name), shown(value))));
        }
    }
}

/// Text between tags.
fn check_words(words: &str, open: &[&str], begun: bool) -> Result<(), ImageError> {
    match open.last() {
        Some(&"style") if !refers_to_itself(words) => {
            Err(ImageError::Foreign("a style that refers to something else".to_owned()))
        }
        None if words.trim().is_empty() => Ok(()),
        None if begun => Err(ImageError::Syntax("something comes after its end")),
        None => Err(ImageError::Unknown),
        Some(_) => check_entities(words),
    }
}

/// No entity but those that XML has itself: one of a document type could be anything.
fn check_entities(text: &str) -> Result<(), ImageError> {
    let known = |rest: &str| {
        rest.starts_with('#')
            || ["amp;", "lt;", "gt;", "quot;", "apos;"].iter().any(|name| rest.starts_with(name))
    };
    if text.split('&').skip(1).all(known) {
        Ok(())
    } else {
        Err(ImageError::Foreign("an entity of its own".to_owned()))
    }
}

/// Whether a style or an attribute names nothing outside the picture: an escape could hide that it does.
fn refers_to_itself(text: &str) -> bool {
    let folded: String =
        text.chars().filter(|char| !char.is_whitespace()).collect::<String>().to_ascii_lowercase();
    let outside = |url: &str| !url.trim_start_matches(['"', '\'']).starts_with('#');
    let hidden = |text: &str| text.contains('\\') || text.contains("&#");
    !hidden(&folded)
        && !["@import", "javascript:", "data:", "://", "expression("].iter().any(|word| folded.contains(word))
        && !folded.split("url(").skip(1).any(outside)
}

/// The beginning of a name or value, for a message.
fn shown(text: &str) -> String {
    text.chars().filter(|char| !char.is_control()).take(40).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn svg(inside: &str) -> Result<Image, ImageError> {
        Image::parse(
            format!("<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 9 9\">{inside}</svg>")
                .as_bytes(),
        )
    }

    fn png(width: u32, height: u32) -> Vec<u8> {
        let mut header = [width.to_be_bytes(), height.to_be_bytes()].concat();
        header.extend([8, 6, 0, 0, 0]);
        let chunk = |name: &[u8], data: &[u8]| {
            [&u32::try_from(data.len()).unwrap().to_be_bytes()[..], name, data, &[0; 4]].concat()
        };
        [PNG, &chunk(b"IHDR", &header), &chunk(b"IDAT", &[1, 2, 3]), &chunk(b"IEND", b"")].concat()
    }

    #[test]
    fn a_plain_svg_is_a_logo() {
        let logo = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<!-- drawn by hand -->\n\
            <svg xmlns=\"http://www.w3.org/2000/svg\" xmlns:xlink=\"http://www.w3.org/1999/xlink\" viewBox='0 0 9 9'>\
            <title>A &amp; B > C</title><defs><linearGradient id=\"g\"/></defs><style>.a { fill: url(#g) }</style>\
            <g fill=\"url( '#g' )\"><path d=\"M0 0h9\"/><use xlink:href=\"#g\"/></g></svg>\n";
        let image = Image::parse(logo.as_bytes()).unwrap();
        assert_eq!((image.media_type(), &*image.bytes()), ("image/svg+xml", logo.as_bytes()));
        assert!(image.tag().ends_with(".svg") && image.tag().len() == 20, "{}", image.tag());
        assert_ne!(image.tag(), svg("").unwrap().tag());
    }

    #[test]
    fn an_svg_that_could_do_something_is_none() {
        for inside in [
            "<script>alert(1)</script>",
            "<SCRIPT/>",
            "<svg:script/>",
            "<path onload=\"alert(1)\"/>",
            "<path ONCLICK='x'/>",
            "<foreignObject/>",
            "<image href=\"https://evil.example/x.png\"/>",
            "<use href=\"https://evil.example/x.svg#a\"/>",
            "<use xlink:href=' #a'/>",
            "<use href=\"&#104;ttps://evil.example\"/>",
            "<a href=\"javascript:alert(1)\"/>",
            "<animate attributeName=\"href\"/>",
            "<set/>",
            "<style>@import 'https://evil.example/x.css';</style>",
            "<style>@\\69mport 'x';</style>",
            "<style>.a{fill:URL(\"//evil.example/x\")}</style>",
            "<style>.a{fill:url(x.svg)}</style>",
            "<path style=\"fill:url(https://evil.example)\"/>",
            "<path style=\"fill:u&#114;l(x)\"/>",
            "<path fill=\"url(data:image/png,x)\"/>",
            "<?xml-stylesheet href=\"x.css\"?>",
            "<!DOCTYPE svg [<!ENTITY x 'y'>]>",
            "<![CDATA[<script>]]>",
            "<title>&x;</title>",
            "<metadata/>",
        ] {
            assert!(matches!(svg(inside), Err(ImageError::Foreign(_))), "{inside}: {:?}", svg(inside));
        }
        let typed = b"<!DOCTYPE svg PUBLIC \"a\" \"b\"><svg/>";
        assert!(matches!(Image::parse(typed), Err(ImageError::Foreign(_))));
    }

    #[test]
    fn an_svg_that_does_not_read_is_none() {
        for inside in [
            "<g>",
            "</g>",
            "<g></path>",
            "<path d=\"M",
            "<path d=M0/>",
            "<path d/>",
            "<path <g/>",
            "<!-- x",
            "< g/>",
        ] {
            let refused = svg(inside);
            assert!(refused.is_err(), "{inside}");
        }
        for whole in ["<svg/><svg/>", "<svg/>x", "<svg"] {
            assert!(matches!(Image::parse(whole.as_bytes()), Err(ImageError::Syntax(_))), "{whole}");
        }
        for other in ["", "svg", "<html></html>", "GIF89a", "<!DOCTYPE html><svg/>", "\u{feff}"] {
            assert_eq!(Image::parse(other.as_bytes()), Err(ImageError::Unknown), "{other}");
        }
        assert_eq!(Image::parse(b"<svg>\xff</svg>"), Err(ImageError::Unknown));
        assert_eq!(Image::parse(&vec![b' '; MAX + 1]), Err(ImageError::TooLarge));
    }

    #[test]
    fn a_png_is_whole_and_of_some_size() {
        let sound = png(120, 40);
        let image = Image::parse(&sound).unwrap();
        assert_eq!(image.media_type(), "image/png");
        assert!(image.tag().ends_with(".png"));
        for cut in 8..sound.len() {
            assert_eq!(Image::parse(&sound[..cut]), Err(ImageError::Png), "{cut}");
        }
        assert_eq!(Image::parse(&[&sound[..], b"<script>"].concat()), Err(ImageError::Png));
        for (width, height) in [(0, 40), (120, 0), (5_000, 40), (120, u32::MAX)] {
            assert_eq!(Image::parse(&png(width, height)), Err(ImageError::Png));
        }
    }

    proptest::proptest! {
        #[test]
        fn nothing_makes_it_panic(text in "[<>/!?a-z\"'= &;#\\-å]{0,60}", bytes in proptest::collection::vec(0_u8.., 0..60)) {
            let _ = svg(&text);
            let _ = Image::parse(text.as_bytes());
            let _ = Image::parse(&[PNG, &bytes].concat());
        }
    }
}

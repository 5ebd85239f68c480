//! Colours, and whether what is written in one can be read on another (WCAG 2.2, 1.4.3 and 1.4.11).

use std::fmt;

/// An sRGB colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Colour([u8; 3]);

impl Colour {
    const fn new(rgb: u32) -> Self {
        let [_, red, green, blue] = rgb.to_be_bytes();
        Self([red, green, blue])
    }

    /// Reads `#rgb` and `#rrggbb`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.strip_prefix('#')?;
        if !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        let number = u32::from_str_radix(digits, 16).ok()?;
        match digits.len() {
            6 => Some(Self::new(number)),
            3 => Some(Self::new((number & 0xf00) * 0x1100 + (number & 0xf0) * 0x110 + (number & 0xf) * 0x11)),
            _ => None,
        }
    }

    /// The contrast of two colours, from 1 to 21 (WCAG 2.2, "contrast ratio").
    #[must_use]
    pub fn contrast(self, other: Self) -> f64 {
        let (one, other) = (self.luminance(), other.luminance());
        (one.max(other) + 0.05) / (one.min(other) + 0.05)
    }

    /// WCAG 2.2, "relative luminance".
    fn luminance(self) -> f64 {
        let linear = self.0.map(|value| {
            let value = f64::from(value) / 255.0;
            if value <= 0.04045 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
        });
        0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    }
}

impl fmt::Display for Colour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [red, green, blue] = self.0;
        write!(f, "#{red:02x}{green:02x}{blue:02x}")
    }
}

/// What a page has a colour for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Behind everything.
    Ground,
    /// The sheet on which the page's words stand.
    Paper,
    /// Words.
    Ink,
    /// Words of less weight.
    Quiet,
    /// Links and buttons.
    Action,
    /// Words on a button.
    OnAction,
    /// The line around what has the focus.
    Focus,
}

impl Part {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::Ground, Self::Paper, Self::Ink, Self::Quiet, Self::Action, Self::OnAction, Self::Focus];

    /// Its name in the file; in style sheets with `-` for `_`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ground => "ground",
            Self::Paper => "paper",
            Self::Ink => "ink",
            Self::Quiet => "quiet",
            Self::Action => "action",
            Self::OnAction => "on_action",
            Self::Focus => "focus",
        }
    }
}

/// What stands on what, and the contrast that it needs: 4.5 for words, 3 for a line.
const STANDS: [(Part, Part, f64); 9] = [
    (Part::Ink, Part::Paper, 4.5),
    (Part::Ink, Part::Ground, 4.5),
    (Part::Quiet, Part::Paper, 4.5),
    (Part::Quiet, Part::Ground, 4.5),
    (Part::Action, Part::Paper, 4.5),
    (Part::Action, Part::Ground, 4.5),
    (Part::OnAction, Part::Action, 4.5),
    (Part::Focus, Part::Paper, 3.0),
    (Part::Focus, Part::Ground, 3.0),
];

/// Two parts that cannot be told apart well enough.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Unreadable {
    /// What stands there.
    pub part: Part,
    /// What it stands on.
    pub on: Part,
    /// The contrast, cut to hundredths: what is not enough never looks so.
    pub ratio: f64,
    /// The contrast that is needed.
    pub needed: f64,
}

/// A colour for each part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Palette([Colour; 7]);

impl Palette {
    /// Ours in light mode, as in `templates/page.css`.
    pub const LIGHT: Self = Self([
        Colour::new(0xf3_f4_f6),
        Colour::new(0xff_ff_ff),
        Colour::new(0x1b_24_30),
        Colour::new(0x4a_55_63),
        Colour::new(0x0a_4d_8c),
        Colour::new(0xff_ff_ff),
        Colour::new(0xb3_26_1e),
    ]);

    /// Ours in dark mode, likewise.
    pub const DARK: Self = Self([
        Colour::new(0x12_16_1b),
        Colour::new(0x1c_22_29),
        Colour::new(0xec_ef_f3),
        Colour::new(0xb4_bd_c8),
        Colour::new(0x9c_cb_ff),
        Colour::new(0x0d_22_38),
        Colour::new(0xff_d1_66),
    ]);

    /// The same with another colour for a part.
    #[must_use]
    pub fn with(mut self, part: Part, colour: Colour) -> Self {
        self.0[part as usize] = colour;
        self
    }

    /// The colour of a part.
    #[must_use]
    pub fn of(&self, part: Part) -> Colour {
        self.0[part as usize]
    }

    /// What cannot be read.
    pub fn unreadable(&self) -> impl Iterator<Item = Unreadable> {
        STANDS.into_iter().filter_map(|(part, on, needed)| {
            let ratio = self.of(part).contrast(self.of(on));
            (ratio < needed).then(|| Unreadable { part, on, ratio: (ratio * 100.0).floor() / 100.0, needed })
        })
    }
}

/// As declarations of a style sheet.
impl fmt::Display for Palette {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, part) in Part::ALL.into_iter().enumerate() {
            let blank = if at == 0 { "" } else { " " };
            write!(f, "{blank}--{}: {};", part.as_str().replace('_', "-"), self.of(part))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn colour(text: &str) -> Colour {
        Colour::parse(text).unwrap()
    }

    #[test]
    fn a_colour_is_three_or_six_digits() {
        assert_eq!(colour("#7a1f3d").to_string(), "#7a1f3d");
        assert_eq!(colour("#fA0").to_string(), "#ffaa00");
        for text in ["", "#", "7a1f3d", "#7a1f3", "#7a1f3d80", "#+12", "red", "#12345g", "rgb(1,2,3)", "#å1"]
        {
            assert_eq!(Colour::parse(text), None, "{text}");
        }
    }

    #[test]
    fn contrasts_are_those_of_wcag() {
        // Widely published figures.
        for (one, other, ratio) in [
            ("#000", "#fff", 21.0),
            ("#fff", "#fff", 1.0),
            ("#777", "#fff", 4.48),
            ("#767676", "#fff", 4.54),
            ("#f00", "#fff", 4.0),
            ("#00f", "#fff", 8.59),
        ] {
            let found = colour(one).contrast(colour(other));
            assert!((found - ratio).abs() < 0.005, "{one} on {other}: {found}");
            assert_eq!(found.to_bits(), colour(other).contrast(colour(one)).to_bits());
        }
    }

    #[test]
    fn our_own_colours_can_be_read() {
        for palette in [Palette::LIGHT, Palette::DARK] {
            assert_eq!(palette.unreadable().next(), None);
        }
    }

    #[test]
    fn each_part_is_judged_on_what_it_stands_on() {
        let found = |part, text| {
            let palette = Palette::LIGHT.with(part, colour(text));
            palette.unreadable().map(|one| (one.part.as_str(), one.on.as_str())).collect::<Vec<_>>()
        };
        assert_eq!(
            found(Part::Action, "#777"),
            [("action", "paper"), ("action", "ground"), ("on_action", "action")]
        );
        assert_eq!(found(Part::OnAction, "#0a4d8c"), [("on_action", "action")]);
        assert_eq!(found(Part::Focus, "#fff"), [("focus", "paper"), ("focus", "ground")]);
        assert_eq!(found(Part::Ink, "#767676"), [("ink", "ground")]);
        assert_eq!(found(Part::Paper, "#000").len(), 3);
        let almost = Palette::LIGHT.with(Part::Quiet, colour("#777"));
        let first = almost.unreadable().next().unwrap();
        assert!((first.ratio - 4.47).abs() < 1e-9, "{}", first.ratio);
    }
}

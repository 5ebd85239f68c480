//! The shape of `pages`: how the gateway's own pages look, and what they say in other words.

use std::path::PathBuf;

use serde_json::{Value as Json, json};

use super::raw::{RawTextOfEach, RawTexts};
use super::shape::{At, Desk, Named, Shape, record};
use super::tree::Node;
use crate::brand::texts::{LABEL, PAGES};

record! {
    /// How the gateway's own pages look, and what they say in your words.
    RawPages {
        /// who offers the service: a text, or `{nb, nn, en, se}`
        optional name: RawTexts,
        /// a logo above each page
        optional logo: RawLogo,
        /// other colours; what is not named stays as it is
        optional colours: RawColours,
        /// whom to ask, below each page
        optional contact: RawContact,
        /// what is said instead, by page, place and language: `{level_too_low: {advice: {nb: …}}}`
        optional texts: RawPageTexts,
    }
}

record! {
    /// A logo: plain SVG or PNG, at most 64 KiB.
    RawLogo {
        /// the picture
        required file: PathBuf,
        /// the picture in dark mode; by default the other one, on a light ground
        optional dark: PathBuf,
        /// what it says to those who do not see it; without it `name` stands beside the logo
        optional alt: RawTexts,
    }
}

record! {
    /// Colours of both modes.
    RawColours {
        /// in light mode
        optional light: RawPalette,
        /// in dark mode
        optional dark: RawPalette,
    }
}

record! {
    /// Colours as `"#rrggbb"`, in quotes; each can be read on what it stands on, or the file does not load.
    RawPalette {
        /// behind everything
        optional ground: String,
        /// the sheet on which the words stand
        optional paper: String,
        /// words
        optional ink: String,
        /// words of less weight
        optional quiet: String,
        /// links and buttons
        optional action: String,
        /// words on a button
        optional on_action: String,
        /// the line around what has the focus
        optional focus: String,
    }
}

record! {
    /// Whom to ask.
    RawContact {
        /// what is said first: a text, or `{nb, nn, en, se}`
        optional text: RawTexts,
        /// a number, such as `+47 22 00 00 00`
        optional phone: String,
        /// an address
        optional email: String,
        /// a page, `https://…`; or one for each language
        optional link: RawTexts,
        /// what the link says; its host by default
        optional link_text: RawTexts,
    }
}

/// Texts by page (or `labels`) and place.
#[derive(Debug)]
pub(super) struct RawPageTexts(pub(super) Named<Named<RawTextOfEach>>);

impl Shape for RawPageTexts {
    fn read(node: &Node, desk: &mut Desk<'_>) -> Option<Self> {
        Named::read(node, desk).map(Self)
    }

    fn schema() -> Json {
        let groups: Vec<&str> = PAGES.into_iter().chain([LABEL]).collect();
        let mut schema = Named::<Named<RawTextOfEach>>::schema();
        if let Some(schema) = schema.as_object_mut() {
            schema.insert("propertyNames".to_owned(), json!({ "enum": groups }));
        }
        schema
    }
}

impl RawPalette {
    /// What is given, in the order of [`crate::brand::colour::Part::ALL`].
    pub(super) fn given(&self) -> [Option<&At<String>>; 7] {
        let Self { ground, paper, ink, quiet, action, on_action, focus, .. } = self;
        [ground, paper, ink, quiet, action, on_action, focus].map(Option::as_ref)
    }
}

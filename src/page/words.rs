//! What the pages say. One file per language; a further one is a file here, a variant of [`Language`] and
//! an arm below.
//!
//! Plain words: what happened, then what to do; nothing technical, and nobody is blamed. The match on
//! [`Page`] in each file has no `_` arm, so that a new page does not compile until all languages have it.

mod en;
mod nb;
mod nn;
mod se;

use std::borrow::Cow;

use portvakt_core::identity::Kind;

use super::{Language, Page};

/// One page's text.
pub(super) struct Words {
    pub(super) title: &'static str,
    pub(super) happened: &'static str,
    pub(super) advice: Cow<'static, str>,
}

/// What is the same on every page of a language.
pub(super) struct Labels {
    pub(super) log_in_again: &'static str,
    pub(super) log_in_otherwise: &'static str,
    pub(super) log_in_in_new_tab: &'static str,
    pub(super) come_back_and_send: &'static str,
    pub(super) send: &'static str,
    pub(super) try_again: &'static str,
    pub(super) start: &'static str,
    pub(super) log_out: &'static str,
    pub(super) log_out_again: &'static str,
    pub(super) finish_logout: &'static str,
    pub(super) reference: &'static str,
    pub(super) use_of_reference: &'static str,
    pub(super) language: &'static str,
    pub(super) remember: &'static str,
    pub(super) go_on: &'static str,
}

/// The text of a page.
pub(super) fn of(page: &Page, language: Language) -> Words {
    match language {
        Language::Nb => nb::words(page),
        Language::Nn => nn::words(page),
        Language::En => en::words(page),
        Language::Se => se::words(page),
    }
}

/// The text of the page that ends the login at the provider.
pub(super) fn of_logout(language: Language) -> Words {
    match language {
        Language::Nb => nb::logout(),
        Language::Nn => nn::logout(),
        Language::En => en::logout(),
        Language::Se => se::logout(),
    }
}

/// The text of the page that keeps a form while somebody logs in.
pub(super) fn of_kept_form(language: Language) -> Words {
    match language {
        Language::Nb => nb::kept_form(),
        Language::Nn => nn::kept_form(),
        Language::En => en::kept_form(),
        Language::Se => se::kept_form(),
    }
}

/// The text of the page on which an organisation is chosen.
pub(super) fn of_organisations(language: Language) -> Words {
    match language {
        Language::Nb => nb::organisations(),
        Language::Nn => nn::organisations(),
        Language::En => en::organisations(),
        Language::Se => se::organisations(),
    }
}

/// The text of the page on which somebody chooses how to log in.
pub(super) fn of_choice(language: Language) -> Words {
    match language {
        Language::Nb => nb::choice(),
        Language::Nn => nn::choice(),
        Language::En => en::choice(),
        Language::Se => se::choice(),
    }
}

/// What a way in is called, and for whom it is. One that nobody knows more of has no words.
pub(super) fn of_way(kind: Option<Kind>, language: Language) -> (&'static str, &'static str) {
    let Some(kind) = kind else { return ("", "") };
    match language {
        Language::Nb => nb::way(kind),
        Language::Nn => nn::way(kind),
        Language::En => en::way(kind),
        Language::Se => se::way(kind),
    }
}

/// The text of the page that leads on to a login.
pub(super) fn of_onward(language: Language) -> Words {
    match language {
        Language::Nb => nb::onward(),
        Language::Nn => nn::onward(),
        Language::En => en::onward(),
        Language::Se => se::onward(),
    }
}

/// The text of the page that sends a kept form.
pub(super) fn of_resent_form(language: Language) -> Words {
    match language {
        Language::Nb => nb::resent_form(),
        Language::Nn => nn::resent_form(),
        Language::En => en::resent_form(),
        Language::Se => se::resent_form(),
    }
}

/// What every page of a language says.
pub(super) fn labels(language: Language) -> &'static Labels {
    match language {
        Language::Nb => &nb::LABELS,
        Language::Nn => &nn::LABELS,
        Language::En => &en::LABELS,
        Language::Se => &se::LABELS,
    }
}

impl Words {
    fn new(title: &'static str, happened: &'static str, advice: impl Into<Cow<'static, str>>) -> Self {
        Self { title, happened, advice: advice.into() }
    }
}

/// A waiting time as one would say it.
enum Wait {
    Moment,
    Minute,
    Minutes(u32),
    Long,
}

impl Wait {
    /// Rounded up: who comes too early is turned away again.
    fn of(seconds: u32) -> Self {
        match (seconds, seconds.div_ceil(60)) {
            (0..=15, _) => Self::Moment,
            (_, 1) => Self::Minute,
            (_, minutes @ 2..=59) => Self::Minutes(minutes),
            _ => Self::Long,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_rounded_up() {
        assert!(matches!(Wait::of(0), Wait::Moment));
        assert!(matches!(Wait::of(16), Wait::Minute));
        assert!(matches!(Wait::of(60), Wait::Minute));
        assert!(matches!(Wait::of(61), Wait::Minutes(2)));
        assert!(matches!(Wait::of(3540), Wait::Minutes(59)));
        assert!(matches!(Wait::of(u32::MAX), Wait::Long));
    }
}

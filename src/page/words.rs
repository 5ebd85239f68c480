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

use portvakt_core::brand::texts::{LABEL, WAIT};
use portvakt_core::identity::Kind;

use super::{Language, Page, Setting};

/// One page's text.
pub(super) struct Words {
    pub(super) title: &'static str,
    pub(super) happened: &'static str,
    pub(super) advice: Cow<'static, str>,
}

/// What a page says: our text, or its operators'.
pub(super) struct Said<'a> {
    pub(super) title: Cow<'a, str>,
    pub(super) happened: Cow<'a, str>,
    pub(super) advice: Cow<'a, str>,
}

impl<'a> Said<'a> {
    /// On a page of this name (`portvakt_core::brand::texts::PAGES`).
    pub(super) fn on(page: &'static str, words: Words, setting: &Setting<'a>) -> Self {
        let texts = &setting.brand.texts;
        let theirs = |place| texts.get(page, place, setting.language);
        let advice = match theirs("advice") {
            Some(advice) if advice.contains(WAIT) => advice.replace(WAIT, &words.advice).into(),
            Some(advice) => advice.into(),
            None => words.advice,
        };
        Self {
            title: theirs("title").unwrap_or(words.title).into(),
            happened: theirs("happened").unwrap_or(words.happened).into(),
            advice,
        }
    }
}

/// What is the same on every page of a language.
pub(super) struct Labels<'a> {
    pub(super) log_in_again: &'a str,
    pub(super) log_in_otherwise: &'a str,
    pub(super) log_in_in_new_tab: &'a str,
    pub(super) come_back_and_send: &'a str,
    pub(super) send: &'a str,
    pub(super) try_again: &'a str,
    pub(super) start: &'a str,
    pub(super) log_out: &'a str,
    pub(super) log_out_again: &'a str,
    pub(super) finish_logout: &'a str,
    pub(super) reference: &'a str,
    pub(super) use_of_reference: &'a str,
    pub(super) language: &'a str,
    pub(super) remember: &'a str,
    pub(super) go_on: &'a str,
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

/// What every page says.
pub(super) fn labels<'a>(setting: &Setting<'a>) -> Labels<'a> {
    let ours = match setting.language {
        Language::Nb => &nb::LABELS,
        Language::Nn => &nn::LABELS,
        Language::En => &en::LABELS,
        Language::Se => &se::LABELS,
    };
    let said = |name, ours| setting.brand.texts.get(LABEL, name, setting.language).unwrap_or(ours);
    Labels {
        log_in_again: said("log_in_again", ours.log_in_again),
        log_in_otherwise: said("log_in_otherwise", ours.log_in_otherwise),
        log_in_in_new_tab: said("log_in_in_new_tab", ours.log_in_in_new_tab),
        come_back_and_send: said("come_back_and_send", ours.come_back_and_send),
        send: said("send", ours.send),
        try_again: said("try_again", ours.try_again),
        start: said("start", ours.start),
        log_out: said("log_out", ours.log_out),
        log_out_again: said("log_out_again", ours.log_out_again),
        finish_logout: said("finish_logout", ours.finish_logout),
        reference: said("reference", ours.reference),
        use_of_reference: said("use_of_reference", ours.use_of_reference),
        language: said("language", ours.language),
        remember: said("remember", ours.remember),
        go_on: said("go_on", ours.go_on),
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

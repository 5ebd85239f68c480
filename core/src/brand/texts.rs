//! What the pages say in an operator's words instead of ours, and which texts there are.
//!
//! A text is named by its page and its place there: `level_too_low` and `advice`. Pages are called what programs are
//! told as `error`; the gateway's catalogue of pages is held to this list by a test.

use std::collections::HashMap;

use crate::language::{Language, Localised};

/// The pages that tell somebody something, and those that ask.
pub const PAGES: [&str; 48] = [
    "login_required",
    "form_gone",
    "login_expired",
    "login_cancelled",
    "login_ended",
    "login_refused",
    "login_not_set_up",
    "login_loop",
    "level_too_low",
    "level_unreachable",
    "login_too_old",
    "national_number_needed",
    "european_id_needed",
    "electronic_id_needed",
    "employee_needed",
    "wrong_kind",
    "wrong_provider",
    "wrong_country",
    "wrong_method",
    "represents_nobody",
    "wrong_organisation",
    "provider_down",
    "provider_busy",
    "too_many_requests",
    "sessions_uncertain",
    "access_token_missing",
    "cross_site",
    "maintenance",
    "overloaded",
    "not_found",
    "method_not_allowed",
    "bad_request",
    "too_long",
    "wrong_host",
    "insecure_transport",
    "app_unreachable",
    "app_too_slow",
    "app_busy",
    "too_large",
    "internal_error",
    "signed_out",
    "signed_out_locally_only",
    "choice",
    "onward",
    "organisations",
    "kept_form",
    "resent_form",
    "logout_form",
];

/// Those of them that say how long to wait.
pub const WAITING: [&str; 8] = [
    "provider_busy",
    "provider_down",
    "too_many_requests",
    "sessions_uncertain",
    "access_token_missing",
    "maintenance",
    "overloaded",
    "app_busy",
];

/// The places of a page's own texts.
pub const PLACES: [&str; 3] = ["title", "happened", "advice"];

/// What is the same on every page: links, buttons, and what is around them.
pub const LABELS: [&str; 15] = [
    "log_in_again",
    "log_in_otherwise",
    "log_in_in_new_tab",
    "come_back_and_send",
    "send",
    "try_again",
    "start",
    "log_out",
    "log_out_again",
    "finish_logout",
    "reference",
    "use_of_reference",
    "language",
    "remember",
    "go_on",
];

/// The group of [`LABELS`].
pub const LABEL: &str = "labels";

/// Stands in `advice` for our sentence about when to try again, where a page says so.
pub const WAIT: &str = "{wait}";

/// The names of the texts of a page, or of the labels; `None`: there is no such page.
#[must_use]
pub fn names_of(group: &str) -> Option<&'static [&'static str]> {
    match group {
        LABEL => Some(&LABELS),
        _ if PAGES.contains(&group) => Some(&PLACES),
        _ => None,
    }
}

/// The placeholders of a text.
#[must_use]
pub fn placeholders(group: &str, name: &str) -> &'static [&'static str] {
    if name == "advice" && WAITING.contains(&group) { &[WAIT] } else { &[] }
}

/// Texts by page and place.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Texts(HashMap<(&'static str, &'static str), Localised>);

impl Texts {
    /// Puts one in; nothing happens to one that there is not.
    pub fn put(&mut self, group: &str, name: &str, text: Localised) {
        let group = PAGES.into_iter().chain([LABEL]).find(|known| *known == group);
        let key =
            group.and_then(|group| Some((group, *names_of(group)?.iter().find(|known| **known == name)?)));
        if let Some(key) = key {
            self.0.insert(key, text);
        }
    }

    /// These, and those of `others` that are not among them, language by language.
    #[must_use]
    pub fn or(mut self, others: &Self) -> Self {
        for (key, other) in &others.0 {
            let text = self.0.entry(*key).or_default();
            *text = std::mem::take(text).or(other);
        }
        self
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The text in exactly this language.
    #[must_use]
    pub fn get(&self, group: &'static str, name: &'static str, language: Language) -> Option<&str> {
        self.0.get(&(group, name))?.exactly(language)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(language: Language, text: &str) -> Localised {
        Localised::of([(language, text.to_owned())])
    }

    #[test]
    fn a_text_is_said_in_its_language_alone() {
        let mut texts = Texts::default();
        texts.put("not_found", "title", of(Language::Nn, "Borte"));
        texts.put("labels", "log_out", of(Language::Nn, "Ut"));
        for (group, name) in [("nothing", "title"), ("not_found", "log_out"), ("labels", "title")] {
            texts.put(group, name, of(Language::Nn, "x"));
        }
        assert_eq!(texts.0.len(), 2);
        assert_eq!(texts.get("not_found", "title", Language::Nn), Some("Borte"));
        assert_eq!(texts.get("not_found", "title", Language::Nb), None);
        assert_eq!(texts.get("not_found", "advice", Language::Nn), None);
    }

    #[test]
    fn a_hosts_texts_come_before_the_files() {
        let (mut host, mut file) = (Texts::default(), Texts::default());
        host.put("not_found", "title", of(Language::Nn, "Her"));
        file.put(
            "not_found",
            "title",
            Localised::of([Language::Nn, Language::En].map(|of| (of, "There".to_owned()))),
        );
        file.put("not_found", "advice", of(Language::En, "Look"));
        let texts = host.or(&file);
        assert_eq!(texts.get("not_found", "title", Language::Nn), Some("Her"));
        assert_eq!(texts.get("not_found", "title", Language::En), Some("There"));
        assert_eq!(texts.get("not_found", "advice", Language::En), Some("Look"));
    }

    #[test]
    fn only_advice_about_waiting_has_a_placeholder() {
        assert_eq!(placeholders("maintenance", "advice"), ["{wait}"]);
        assert!(placeholders("maintenance", "title").is_empty());
        assert!(placeholders("not_found", "advice").is_empty());
        assert!(WAITING.iter().all(|page| PAGES.contains(page)));
    }
}

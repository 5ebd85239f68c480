//! A page once more, in another language. What led to it cannot be asked again, so what it says goes along in its
//! links, sealed: nobody else can make this host say something.

use std::time::Duration;

use portvakt_core::clock::Timestamp;
use portvakt_core::key::Ring;
use portvakt_core::seal::{self, Place, SealKey};
use serde::{Deserialize, Serialize};

use super::{Page, PageLinks};

/// How long somebody may look at a page before changing its language.
const LIFE: Duration = Duration::from_secs(60 * 60);

/// The most bytes of a sealed page: a page whose links are longer keeps its language.
const MAX: usize = 3_000;

/// It stands in a link.
const PLACE: (&str, &str) = ("page", "page");

/// What a page says, without its language.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Again {
    code: String,
    retry_after_seconds: Option<u32>,
    /// Where it leads.
    pub links: PageLinks,
    /// What its operators say.
    pub notice: String,
    /// What finds its line in the log.
    pub reference: String,
    until: u64,
}

impl Again {
    /// What a page says.
    #[must_use]
    pub fn of(page: &Page, links: &PageLinks, notice: &str, reference: &str, now: Timestamp) -> Self {
        Self {
            code: page.code().to_owned(),
            retry_after_seconds: page.retry_after_seconds(),
            links: links.clone(),
            notice: notice.to_owned(),
            reference: reference.to_owned(),
            until: (now + LIFE).millis(),
        }
    }

    /// The page.
    #[must_use]
    pub fn page(&self) -> Option<Page> {
        let page = Page::ALL.into_iter().find(|page| page.code() == self.code)?;
        Some(page.with_retry_after(self.retry_after_seconds))
    }

    /// For a link of this host; `None` if it would be too long.
    #[must_use]
    pub fn seal(&self, host: &str, ring: &Ring<SealKey>, now: Timestamp) -> Option<String> {
        let plain = serde_json::to_vec(self).ok()?;
        let sealed = seal::seal(ring, &Place::whole(PLACE.0, PLACE.1, host), &plain, now);
        (sealed.len() <= MAX).then_some(sealed)
    }

    /// From a link that this host made less than an hour ago.
    #[must_use]
    pub fn open(sealed: &str, host: &str, ring: &Ring<SealKey>, now: Timestamp) -> Option<Self> {
        if sealed.len() > MAX {
            return None;
        }
        let plain = seal::open(ring, &Place::whole(PLACE.0, PLACE.1, host), sealed.as_bytes(), now)?;
        let again: Self = serde_json::from_slice(&plain).ok()?;
        (now.millis() < again.until).then_some(again)
    }
}

#[cfg(test)]
mod tests {
    use portvakt_core::key::KeyId;

    use super::*;

    fn ring() -> Ring<SealKey> {
        Ring::single(KeyId([1; 4]), Timestamp::from_seconds(0), SealKey::new(&[1; 32]))
    }

    #[test]
    fn a_page_comes_back_as_it_was_on_its_host_and_for_an_hour() {
        let now = Timestamp::from_seconds(10_000);
        let links =
            PageLinks { restart: Some("/oauth2/login?redirect=%2Fapp".to_owned()), ..PageLinks::default() };
        for page in Page::ALL {
            let again = Again::of(&page, &links, "Back at six.", "7f3a", now);
            let sealed = again.seal("a.no", &ring(), now).unwrap();
            let open = |host, after| Again::open(&sealed, host, &ring(), now + Duration::from_secs(after));
            assert_eq!(open("a.no", 3_599).as_ref(), Some(&again));
            assert_eq!(again.page(), Some(page));
            assert_eq!((open("b.no", 0), open("a.no", 3_600)), (None, None));
            assert_eq!(Again::open(&sealed[1..], "a.no", &ring(), now), None);
        }
    }

    #[test]
    fn a_page_with_endless_links_keeps_its_language() {
        let now = Timestamp::from_seconds(10_000);
        let links = PageLinks { restart: Some(format!("/{}", "x".repeat(MAX))), ..PageLinks::default() };
        assert_eq!(Again::of(&Page::NotFound, &links, "", "", now).seal("a.no", &ring(), now), None);
    }
}

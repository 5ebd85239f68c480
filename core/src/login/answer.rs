//! The provider's answer, judged before anything is spent on it: the browser's attempt, `state`, `iss`
//! (RFC 9207), `error`, `code`, in this order (dossier 2.3).

use std::borrow::Cow;

use http::HeaderMap;
use url::form_urlencoded;

use super::attempt::{self, Attempt, Slot};
use super::relay;
use crate::clock::Timestamp;
use crate::key::Ring;
use crate::seal::SealKey;

/// The most bytes of one parameter.
const MAX_VALUE: usize = 2048;

/// The parameters of the callback (RFC 6749, 4.1.2; RFC 9207, 2).
#[derive(Clone, PartialEq, Eq, Default)]
pub struct CallbackQuery {
    state: String,
    code: Option<String>,
    error: Option<String>,
    iss: Option<String>,
}

impl std::fmt::Debug for CallbackQuery {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("CallbackQuery([REDACTED])")
    }
}

/// Why an answer is not accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AnswerError {
    /// A parameter is missing, doubled, too long, or contradicts another (OP-2).
    #[error("the callback's parameters are missing, doubled or malformed")]
    Malformed,
    /// This browser has no attempt under way with this `state`.
    #[error("no login is under way for this state")]
    NoAttempt,
    /// The answer is from another issuer, or does not say from which (RFC 9207, 2.4).
    #[error("the answer names another issuer, or none")]
    WrongIssuer(Box<Attempt>),
    /// The answer came to the callback of another provider than the attempt's (RFC 9700, 4.4.2.2).
    #[error("the answer came to the callback of another provider")]
    WrongCallback(Box<Attempt>),
    /// The provider, or the person there, ended the attempt.
    #[error("the provider answered with an error: {code}")]
    Provider {
        /// The error code, cut to what RFC 6749, 4.1.2.1 allows.
        code: ProviderCode,
        /// The attempt.
        attempt: Box<Attempt>,
    },
}

/// An error code of the provider (dossier 2.4), as far as it matters what the person is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProviderCode {
    /// `access_denied`: the person cancelled.
    Cancelled,
    /// `unmet_authentication_requirements`: the level cannot be reached.
    LevelUnreachable,
    /// `server_error`, `temporarily_unavailable`: try again.
    Unavailable,
    /// `login_required` and its kin: an ordinary login is needed.
    InteractionRequired,
    /// Everything else: our configuration or the provider's is wrong.
    Other,
}

impl std::fmt::Display for ProviderCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Cancelled => "access_denied",
            Self::LevelUnreachable => "unmet_authentication_requirements",
            Self::Unavailable => "temporarily_unavailable",
            Self::InteractionRequired => "interaction_required",
            Self::Other => "other",
        })
    }
}

impl ProviderCode {
    fn parse(text: &str) -> Self {
        match text {
            "access_denied" => Self::Cancelled,
            "unmet_authentication_requirements" => Self::LevelUnreachable,
            "server_error" | "temporarily_unavailable" => Self::Unavailable,
            "login_required" | "interaction_required" | "consent_required" | "account_selection_required" => {
                Self::InteractionRequired
            }
            _ => Self::Other,
        }
    }
}

/// An answer to an attempt of this very browser, from the provider where it was started.
pub struct CheckedAnswer {
    attempt: Attempt,
    slot: u8,
    code: String,
}

impl CheckedAnswer {
    /// The attempt that it answers.
    #[must_use]
    pub fn attempt(&self) -> &Attempt {
        &self.attempt
    }

    /// The slot of the attempt's cookie.
    #[must_use]
    pub fn slot(&self) -> u8 {
        self.slot
    }

    /// The code to redeem. Not for logs.
    #[must_use]
    pub fn code(&self) -> &str {
        &self.code
    }
}

impl CallbackQuery {
    /// Parses the query of the callback.
    ///
    /// # Errors
    ///
    /// [`AnswerError::Malformed`] if a parameter that counts is missing, doubled or too long, or if it has
    /// both a code and an error, or neither.
    pub fn parse(query: &str) -> Result<Self, AnswerError> {
        let mut parsed = Self::default();
        let mut state = None;
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            let place = match &*name {
                "state" => &mut state,
                "code" => &mut parsed.code,
                "error" => &mut parsed.error,
                "iss" => &mut parsed.iss,
                _ => continue,
            };
            let odd =
                value.is_empty() || value.len() > MAX_VALUE || value.contains(char::REPLACEMENT_CHARACTER);
            if odd || place.replace(value.into_owned()).is_some() {
                return Err(AnswerError::Malformed);
            }
        }
        parsed.state = decoded_once_more(state.ok_or(AnswerError::Malformed)?);
        if parsed.code.is_some() == parsed.error.is_some() {
            return Err(AnswerError::Malformed);
        }
        Ok(parsed)
    }

    /// The slot that the answer is for, so that its cookie can be deleted whatever comes of it.
    #[must_use]
    pub fn slot(&self) -> Option<u8> {
        attempt::slot_of(&self.state)
    }

    /// The origin that asked for this answer by way of an auth host, which is the one that it came to.
    #[must_use]
    pub fn asking_host(&self, auth_host: &str, ring: &Ring<SealKey>, now: Timestamp) -> Option<String> {
        relay::asking(&self.state, auth_host, ring, now)
    }

    /// The attempt of this browser that the answer is for.
    ///
    /// # Errors
    ///
    /// [`AnswerError::NoAttempt`] if there is none with this `state`.
    pub fn attempt(
        &self,
        headers: &HeaderMap,
        host: &str,
        ring: &Ring<SealKey>,
        now: Timestamp,
    ) -> Result<(u8, Attempt), AnswerError> {
        let slot = self.slot().ok_or(AnswerError::NoAttempt)?;
        match attempt::open(slot, headers, host, ring, now) {
            Some(Slot::Pending(attempt)) if attempt.has_state(slot, &self.state) => Ok((slot, attempt)),
            _ => Err(AnswerError::NoAttempt),
        }
    }

    /// Accepts the answer to an attempt. `issuer` is the provider's, `promised` whether its metadata says
    /// that it names itself in answers.
    ///
    /// # Errors
    ///
    /// [`AnswerError`]: nothing may be redeemed.
    pub fn accept(
        self,
        (slot, attempt): (u8, Attempt),
        issuer: &str,
        promised: bool,
    ) -> Result<CheckedAnswer, AnswerError> {
        let right = match &self.iss {
            Some(iss) => is_issuer(iss, issuer),
            // An error may come without (dossier 2.3): nothing is redeemed for it, and it is behind `state`.
            None => !promised || self.error.is_some(),
        };
        match (right, self.error, self.code) {
            (false, _, _) => Err(AnswerError::WrongIssuer(Box::new(attempt))),
            (true, Some(error), _) => {
                Err(AnswerError::Provider { code: ProviderCode::parse(&error), attempt: Box::new(attempt) })
            }
            (true, None, Some(code)) => Ok(CheckedAnswer { attempt, slot, code }),
            (true, None, None) => Err(AnswerError::Malformed),
        }
    }
}

/// Some clients must decode `state` themselves (dossier 2.3). Ours never holds a `%`.
fn decoded_once_more(state: String) -> String {
    if !state.contains('%') {
        return state;
    }
    let mut pairs = form_urlencoded::parse(state.as_bytes());
    match (pairs.next(), pairs.next()) {
        (Some((decoded, Cow::Borrowed(""))), None) => decoded.into_owned(),
        _ => state,
    }
}

/// Exact, after the query's decoding; one more where it is still encoded, as Digdir's own example is
/// (dossier 2.3).
fn is_issuer(iss: &str, issuer: &str) -> bool {
    if !iss.contains('%') {
        return iss == issuer;
    }
    let mut decoded = form_urlencoded::parse(iss.as_bytes());
    matches!((decoded.next(), decoded.next()), (Some((name, Cow::Borrowed(""))), None) if name == issuer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::KeyId;
    use crate::login::wish::Wish;
    use crate::redirect::Target;
    use crate::session::plan::tests_support::usual;

    const NOW: Timestamp = Timestamp::from_seconds(1_790_000_000);
    const ISSUER: &str = "https://test.idporten.no";

    fn ring() -> Ring<SealKey> {
        Ring::single(KeyId([1; 4]), Timestamp::from_seconds(0), SealKey::new(&[7; 32]))
    }

    fn attempt() -> Attempt {
        Attempt::start(usual("a.no").realm(), Wish::default(), Target::start(), 0, NOW)
    }

    fn accept(query: &str, promised: bool) -> Result<String, AnswerError> {
        let parsed = CallbackQuery::parse(query)?;
        parsed.accept((0, attempt()), ISSUER, promised).map(|answer| answer.code().to_owned())
    }

    #[test]
    fn parameters_that_are_missing_doubled_or_contradictory_end_the_attempt() {
        for query in [
            "",
            "code=a",
            "state=s",
            "state=s&code=a&code=b",
            "state=s&state=s&code=a",
            "state=s&code=a&error=b",
            "state=&code=a",
            "state=s&code=",
            "state=s&code=a&iss=x&iss=x",
            "state=s&code=%ff",
            "state=s&error=",
            "state=s&error=a&error=b",
        ] {
            assert_eq!(CallbackQuery::parse(query).err(), Some(AnswerError::Malformed), "{query}");
        }
        let long = format!("state=s&code={}", "x".repeat(MAX_VALUE + 1));
        assert_eq!(CallbackQuery::parse(&long).err(), Some(AnswerError::Malformed));
        assert!(CallbackQuery::parse("state=s&code=a.b=&other=1&other=2").is_ok());
    }

    /// Dossier 7, no. 5.
    #[test]
    fn the_issuer_must_be_the_one_that_was_asked() {
        let with = |iss: &str| accept(&format!("state=s&code=c&iss={iss}"), true);
        assert_eq!(with("https%3A%2F%2Ftest.idporten.no"), Ok("c".into()));
        assert_eq!(with("https%253A%252F%252Ftest.idporten.no"), Ok("c".into()));
        for wrong in [
            "https%3A%2F%2Fidporten.no",
            "https%3A%2F%2Ftest.idporten.no%2F",
            "x",
            "https%25253A%25252F%25252Ftest.idporten.no",
            "https%253A%252F%252Ftest.idporten.no%2526a",
        ] {
            assert!(matches!(with(wrong), Err(AnswerError::WrongIssuer(_))), "{wrong}");
        }
        assert!(matches!(accept("state=s&code=c", true), Err(AnswerError::WrongIssuer(_))));
        assert_eq!(accept("state=s&code=c", false), Ok("c".into()));
        assert!(matches!(accept("state=s&code=c&iss=x", false), Err(AnswerError::WrongIssuer(_))));
    }

    #[test]
    fn an_error_counts_only_behind_state_and_issuer() {
        let answer = accept("state=s&error=access_denied&iss=https%3A%2F%2Ftest.idporten.no", true);
        assert!(matches!(answer, Err(AnswerError::Provider { code: ProviderCode::Cancelled, .. })));
        let forged = accept("state=s&error=access_denied&iss=https%3A%2F%2Fevil.no", true);
        assert!(matches!(forged, Err(AnswerError::WrongIssuer(_))));
    }

    #[test]
    fn an_error_may_leave_the_issuer_out_and_a_code_may_not() {
        let answer = accept("state=s&error=access_denied", true);
        assert!(matches!(answer, Err(AnswerError::Provider { code: ProviderCode::Cancelled, .. })));
        assert!(matches!(accept("state=s&code=c", true), Err(AnswerError::WrongIssuer(_))));
    }

    #[test]
    fn an_answer_needs_the_attempt_of_this_very_browser() {
        let started = attempt();
        let sealed = attempt::seal(4, &Slot::Pending(started.clone()), "a.no", &ring(), NOW);
        let line = format!("{}={sealed}", attempt::jar(4).name);
        let headers: HeaderMap = [(http::header::COOKIE, line.parse().unwrap())].into_iter().collect();
        let find = |state: &str, headers: &HeaderMap| {
            let query = CallbackQuery::parse(&format!("state={state}&code=c")).unwrap();
            query.attempt(headers, "a.no", &ring(), NOW)
        };
        assert_eq!(find(&started.state(4), &headers), Ok((4, started.clone())));
        assert_eq!(find(&started.state(4), &HeaderMap::new()), Err(AnswerError::NoAttempt));
        assert_eq!(find(&started.state(5), &headers), Err(AnswerError::NoAttempt));
        assert_eq!(find(&attempt().state(4), &headers), Err(AnswerError::NoAttempt));
        assert_eq!(find("foreign", &headers), Err(AnswerError::NoAttempt));
        let encoded = |times| {
            (0..times).fold(started.state(4), |state, _| {
                state.bytes().map(|byte| format!("%{byte:02X}")).collect::<String>()
            })
        };
        // The query's own encoding, and once more.
        assert_eq!(find(&encoded(1), &headers), Ok((4, started.clone())));
        assert_eq!(find(&encoded(2), &headers), Ok((4, started.clone())));
        assert_eq!(find(&encoded(3), &headers), Err(AnswerError::NoAttempt));
        assert_eq!(find(&format!("{}%2526x", started.state(4)), &headers), Err(AnswerError::NoAttempt));
    }
}

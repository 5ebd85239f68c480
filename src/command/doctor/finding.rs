//! What a check found: a verdict, what it means, and what to do.

use std::fmt;

use serde_json::{Value, json};

/// How it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// As it should be.
    Ok,
    /// It works, or it cannot be told; somebody should look at it in daylight.
    Warn,
    /// People are affected, or will be.
    Fail,
}

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Finding {
    /// How it is.
    pub(super) verdict: Verdict,
    /// Of what: a name or a path from the configuration; empty where there is but one.
    subject: String,
    /// What was found.
    found: String,
    /// What that means for people, and what to do about it; of what is in order, nothing.
    advice: Option<Advice>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Advice {
    means: String,
    remedy: String,
}

impl Finding {
    pub(super) fn ok(subject: impl Into<String>, found: impl Into<String>) -> Self {
        Self { verdict: Verdict::Ok, subject: subject.into(), found: found.into(), advice: None }
    }

    pub(super) fn warn(
        subject: impl Into<String>,
        found: impl Into<String>,
        means: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        let advice = Some(Advice { means: means.into(), remedy: remedy.into() });
        Self { verdict: Verdict::Warn, subject: subject.into(), found: found.into(), advice }
    }

    pub(super) fn fail(
        subject: impl Into<String>,
        found: impl Into<String>,
        means: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self { verdict: Verdict::Fail, ..Self::warn(subject, found, means, remedy) }
    }

    /// For people: a line, and two more where something is to be done.
    pub(super) fn in_words(&self, check: &str) -> String {
        let subject = if self.subject.is_empty() { String::new() } else { format!(" {}", self.subject) };
        let line = format!("{:<5} {check}{subject}: {}", self.verdict.to_string(), self.found);
        match &self.advice {
            None => line,
            Some(Advice { means, remedy }) => format!("{line}\n      means: {means}\n      do:    {remedy}"),
        }
    }

    /// For programs.
    pub(super) fn to_json(&self, check: &str) -> Value {
        let advice = self.advice.as_ref();
        json!({
            "check": check,
            "verdict": self.verdict.to_string().to_ascii_lowercase(),
            "subject": self.subject,
            "found": self.found,
            "means": advice.map(|advice| &advice.means),
            "do": advice.map(|advice| &advice.remedy),
        })
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ok => "OK",
            Self::Warn => "WARN",
            Self::Fail => "FAIL",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_order_is_one_line_and_what_is_not_says_what_to_do() {
        assert_eq!(
            Finding::ok("`app`", "it answers").in_words("upstream"),
            "OK    upstream `app`: it answers"
        );
        let failed = Finding::fail("", "it is full", "no login is written down", "free some space");
        assert_eq!(
            failed.in_words("audit"),
            "FAIL  audit: it is full\n      means: no login is written down\n      do:    free some space"
        );
        assert_eq!(
            failed.to_json("audit").to_string(),
            r#"{"check":"audit","do":"free some space","found":"it is full","means":"no login is written down","subject":"","verdict":"fail"}"#
        );
    }
}

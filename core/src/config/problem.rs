//! What is wrong in a configuration file: place, sentence, remedy (`style.md` 5).
//!
//! **Invariant:** a line that holds something secret, or what may be one, is never quoted: not for the
//! problem that it has, nor for another on the same line (`threats.md` OM-4).

use std::fmt;
use std::ops::Range;
use std::path::PathBuf;

/// A place in the file: bytes from its beginning.
pub(super) type Span = Range<usize>;

/// How bad a [`Problem`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The file does not load.
    Error,
    /// The file loads, and does something that its author may not want.
    Warning,
}

/// One thing that is wrong, where it stands, and what to do about it.
///
/// `Display` is what an operator reads: `file:line:column: message`, the line, a caret, the fix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The file's name, as it was given.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    /// The bytes of the file that it is about.
    pub span: Range<usize>,
    /// Whether the file loads nevertheless.
    pub severity: Severity,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub fix: String,
    /// The line and the caret under it; `None` if the line must not be shown.
    quote: Option<Quote>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Quote {
    line: String,
    padding: String,
    width: usize,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let warning = if self.severity == Severity::Warning { "warning: " } else { "" };
        write!(f, "{}:{}:{}: {warning}{}", self.file, self.line, self.column, self.message)?;
        if let Some(quote) = &self.quote {
            write!(
                f,
                "\n{:>5} | {}\n      | {}{}",
                self.line,
                quote.line,
                quote.padding,
                "^".repeat(quote.width)
            )?;
        }
        write!(f, "\n   fix: {}", self.fix)
    }
}

/// Every problem of a file, in the order of their places.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problems {
    problems: Vec<Problem>,
    files: Vec<PathBuf>,
}

impl Problems {
    pub(super) fn new(mut problems: Vec<Problem>) -> Self {
        problems.sort_by_key(|problem| (problem.span.start, problem.severity));
        problems.dedup();
        Self { problems, files: Vec::new() }
    }

    /// With the files that the configuration names, as far as it could be read.
    pub(super) fn with_files(mut self, files: Vec<PathBuf>) -> Self {
        self.files = files;
        self
    }

    /// The files that the configuration names, as far as it could be read: the remedy may lie in them.
    #[must_use]
    pub fn files(&self) -> &[PathBuf] {
        &self.files
    }

    /// The problems, in the order of their places.
    pub fn iter(&self) -> impl Iterator<Item = &Problem> {
        self.problems.iter()
    }

    /// Whether one of them keeps the file from loading.
    #[must_use]
    pub fn is_fatal(&self) -> bool {
        self.problems.iter().any(|problem| problem.severity == Severity::Error)
    }

    pub(super) fn into_vec(self) -> Vec<Problem> {
        self.problems
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, problem) in self.problems.iter().enumerate() {
            if at > 0 {
                f.write_str("\n\n")?;
            }
            problem.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

/// The text of a file: finds lines and columns, and knows what must not be quoted.
#[derive(Debug)]
pub(super) struct Source<'a> {
    pub(super) file: &'a str,
    pub(super) text: &'a str,
    line_starts: Vec<usize>,
    sensitive: Vec<Span>,
}

/// Characters of a line that are shown at most, and how many of them before the caret.
const SHOWN: usize = 160;
const SHOWN_BEFORE: usize = 100;

impl<'a> Source<'a> {
    pub(super) fn new(file: &'a str, text: &'a str) -> Self {
        let line_starts = std::iter::once(0)
            .chain(text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at + 1))
            .collect();
        Self { file, text, line_starts, sensitive: Vec::new() }
    }

    /// From now on no line that this span touches is quoted.
    pub(super) fn hide(&mut self, span: Span) {
        self.sensitive.push(span);
    }

    /// The line of a byte, from 1.
    pub(super) fn line(&self, at: usize) -> usize {
        self.line_starts.partition_point(|start| *start <= at).max(1)
    }

    /// The text of a span, if it may be shown.
    pub(super) fn shown(&self, span: &Span) -> Option<&'a str> {
        let hidden = self.sensitive.iter().any(|secret| secret.start <= span.start && span.end <= secret.end);
        if hidden { None } else { self.text.get(span.clone()) }
    }

    pub(super) fn problem(&self, span: &Span, severity: Severity, message: String, fix: String) -> Problem {
        let span = self.within(span);
        let line = self.line(span.start);
        let bounds = self.line_bounds(line);
        let before = &self.text[bounds.start..span.start.clamp(bounds.start, bounds.end)];
        Problem {
            file: self.file.to_owned(),
            line,
            column: before.chars().count() + 1,
            quote: self.quote(&bounds, &span),
            span,
            severity,
            message,
            fix,
        }
    }

    /// The span, moved to character boundaries inside the text.
    fn within(&self, span: &Span) -> Span {
        let floor = |at: usize| {
            let mut at = at.min(self.text.len());
            while !self.text.is_char_boundary(at) {
                at -= 1;
            }
            at
        };
        let start = floor(span.start);
        start..floor(span.end).max(start)
    }

    /// The bytes of a line without its end.
    fn line_bounds(&self, line: usize) -> Span {
        let start = self.line_starts[line - 1];
        let end = self.line_starts.get(line).map_or(self.text.len(), |next| next - 1);
        start..start + self.text[start..end].trim_end_matches('\r').len()
    }

    fn quote(&self, bounds: &Span, span: &Span) -> Option<Quote> {
        if self.sensitive.iter().any(|secret| secret.start <= bounds.end && bounds.start <= secret.end) {
            return None;
        }
        let line = &self.text[bounds.clone()];
        let start = span.start.clamp(bounds.start, bounds.end) - bounds.start;
        let end = span.end.clamp(bounds.start + start, bounds.end) - bounds.start;
        let before = line[..start].chars().count();
        let skipped = if line.chars().count() > SHOWN { before.saturating_sub(SHOWN_BEFORE) } else { 0 };
        let shown = || line.chars().skip(skipped).take(SHOWN);
        let width = line[start..end].chars().count().clamp(1, SHOWN + 1 - (before - skipped));
        Some(Quote {
            line: shown().map(printable).collect::<String>().trim_end().to_owned(),
            // A tab stays one, so that the caret stands under what it means.
            padding: shown()
                .take(before - skipped)
                .map(|char| if char == '\t' { '\t' } else { ' ' })
                .collect(),
            width,
        })
    }
}

/// A terminal must not obey what a file holds.
fn printable(char: char) -> char {
    if char.is_control() && char != '\t' { '\u{fffd}' } else { char }
}

/// No name that somebody may have meant is longer.
const LONGEST_NAME: usize = 100;

/// The name that was probably meant.
pub(super) fn nearest<'n>(word: &str, names: impl IntoIterator<Item = &'n str>) -> Option<&'n str> {
    near(word, names).first().copied()
}

/// The names that were probably meant, the nearest first: at most three.
pub(super) fn near<'n>(word: &str, names: impl IntoIterator<Item = &'n str>) -> Vec<&'n str> {
    if word.len() > LONGEST_NAME {
        return Vec::new();
    }
    let word = word.to_lowercase();
    let mut near: Vec<(usize, &str)> = names
        .into_iter()
        .map(|name| (strsim::osa_distance(&word, &name.to_lowercase()), name))
        .filter(|(distance, name)| *distance <= (name.chars().count() / 3).max(1))
        .collect();
    near.sort_by_key(|(distance, _)| *distance);
    near.into_iter().map(|(_, name)| name).take(3).collect()
}

/// `` `a`, `b` or `c` ``.
pub(super) fn one_of<'n>(names: impl IntoIterator<Item = &'n str>) -> String {
    let quoted: Vec<String> = names.into_iter().map(|name| format!("`{name}`")).collect();
    match quoted.split_last() {
        None => "nothing".to_owned(),
        Some((last, [])) => last.clone(),
        Some((last, rest)) => format!("{} or {last}", rest.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rendered(text: &str, span: Span) -> String {
        let source = Source::new("gateway.yaml", text);
        source.problem(&span, Severity::Error, "message".into(), "remedy".into()).to_string()
    }

    #[test]
    fn a_problem_shows_its_place_its_line_and_its_remedy() {
        assert_eq!(
            rendered("a: 1\n  bee: 2\r\n", 7..10),
            "gateway.yaml:2:3: message\n    2 |   bee: 2\n      |   ^^^\n   fix: remedy",
        );
    }

    #[test]
    fn a_caret_is_as_wide_as_the_characters_that_it_means() {
        let text = "æøå: [blåbær, 😀]\n";
        let at = text.find("blåbær").unwrap();
        let problem = rendered(text, at..at + "blåbær".len());
        assert!(problem.starts_with("gateway.yaml:1:7: "), "{problem}");
        assert!(problem.contains("\n      |       ^^^^^^\n"), "{problem}");
    }

    #[test]
    fn an_empty_span_and_one_over_several_lines_have_a_caret_of_their_line() {
        assert!(rendered("ab\ncd\n", 1..1).contains("\n      |  ^\n"));
        assert!(rendered("ab\ncd\n", 1..5).contains("\n      |  ^\n"));
        assert!(rendered("", 0..0).starts_with("gateway.yaml:1:1: message\n    1 | \n      | ^\n"));
    }

    #[test]
    fn a_long_line_is_shown_around_the_caret() {
        let text = format!("{}here{}", "x".repeat(1000), "y".repeat(1000));
        let problem = rendered(&text, 1000..1004);
        assert!(problem.starts_with("gateway.yaml:1:1001: "));
        let lines: Vec<&str> = problem.lines().collect();
        assert_eq!(lines[1].find("here"), lines[2].find("^^^^"), "{problem}");
        assert!(lines[1].len() < 200);
    }

    #[test]
    fn a_hidden_line_is_not_quoted_for_any_problem() {
        let text = "a: 1\nb: hunter2\n";
        let mut source = Source::new("f", text);
        source.hide(8..15);
        let show = |span| source.problem(&span, Severity::Warning, "m".into(), "r".into()).to_string();
        assert_eq!(show(5..6), "f:2:1: warning: m\n   fix: r");
        assert!(show(0..1).contains("a: 1"));
        assert_eq!(source.shown(&(8..15)), None);
    }

    #[test]
    fn a_terminal_does_not_obey_the_file() {
        assert!(!rendered("a: \u{1b}[31m\u{9b}x\n", 0..1).contains(['\u{1b}', '\u{9b}']));
    }

    #[test]
    fn the_nearest_name_is_near() {
        assert_eq!(nearest("upstraem", ["path", "upstream"]), Some("upstream"));
        assert_eq!(nearest("Access", ["path", "access"]), Some("access"));
        assert_eq!(nearest("zebra", ["path", "access"]), None);
        assert_eq!(one_of(["a", "b", "c"]), "`a`, `b` or `c`");
    }
}

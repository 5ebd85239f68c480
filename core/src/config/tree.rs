//! YAML 1.2 to a tree in which everything knows its place.
//!
//! Deserialisation stops at the first problem; an operator wants all of them. So the parser's events
//! (`granit-parser`, which `serde-saphyr` stands on) become a tree, and [`super::raw`] reads that.
//!
//! **Invariant:** nothing in a file is worth more than its text: no anchors, aliases, merges, tags or
//! second documents, so that what a line says is what it means, and no small file grows large.

use std::collections::HashMap;

use serde_saphyr::granit_parser::{Event, Options, Parser, ScalarStyle, Tag};

use super::problem::{Source, Span};

/// How deep a file may nest; the format itself needs seven.
const MAX_DEPTH: usize = 32;

/// A value and its place.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) span: Span,
    pub(super) value: Value,
}

/// What a node holds.
#[derive(Debug)]
pub(super) enum Value {
    /// Nothing: an empty value, `~` or `null`.
    Nothing,
    /// A scalar.
    Scalar(String),
    /// A sequence.
    List(Vec<Node>),
    /// A mapping; each key once.
    Map(Vec<Entry>),
}

/// An entry of a mapping.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) key_span: Span,
    pub(super) value: Node,
}

/// What cannot be in a tree, and goes on nevertheless.
pub(super) struct Flaw {
    pub(super) span: Span,
    pub(super) message: String,
    pub(super) fix: &'static str,
}

/// Builds the tree; `None` if there is none. What is wrong is in the list.
pub(super) fn build(source: &mut Source<'_>) -> (Option<Node>, Vec<Flaw>) {
    let mut builder = Builder { open: Vec::new(), root: None, flaws: Vec::new(), documents: 0 };
    let mut options = Options::default();
    options.set_emit_comments(false);
    for next in Parser::new_from_str_with_options(source.text, options) {
        let step = match next {
            Ok((event, span)) => builder.take(event, span.byte_range().unwrap_or(0..0), source),
            Err(error) => {
                let at = error.marker().byte_offset().unwrap_or(source.text.len()).min(source.text.len());
                builder.flaw(
                    at..at,
                    format!("this is not YAML: {}", error.info()),
                    "see https://yaml.org/spec/1.2.2",
                );
                Err(Stop)
            }
        };
        if step.is_err() {
            hide_if_a_secret_is_near(source);
            return (None, builder.flaws);
        }
    }
    if builder.root.is_none() && builder.flaws.is_empty() {
        builder.flaw(0..0, "the file is empty".into(), "begin with `version: 1`");
    }
    if let Some(root) = &builder.root {
        hide_secrets(root, source);
    }
    (builder.root, builder.flaws)
}

/// Nothing that follows could be read.
struct Stop;

enum Open {
    List { start: usize, items: Vec<Node> },
    Map { start: usize, entries: Vec<Entry>, seen: HashMap<String, usize>, key: Option<(String, Span)> },
}

struct Builder {
    open: Vec<Open>,
    root: Option<Node>,
    flaws: Vec<Flaw>,
    documents: usize,
}

impl Builder {
    fn flaw(&mut self, span: Span, message: String, fix: &'static str) {
        self.flaws.push(Flaw { span, message, fix });
    }

    fn take(&mut self, event: Event<'_>, span: Span, source: &mut Source<'_>) -> Result<(), Stop> {
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                self.properties(anchor, tag.as_deref(), &span);
                let nothing =
                    style == ScalarStyle::Plain && matches!(&*text, "" | "~" | "null" | "Null" | "NULL");
                let value = if nothing { Value::Nothing } else { Value::Scalar(text.into_owned()) };
                self.put(Node { span: trimmed(span, source), value }, source);
                Ok(())
            }
            Event::SequenceStart(_, anchor, tag) => {
                self.properties(anchor, tag.as_deref(), &span);
                self.enter(Open::List { start: span.start, items: Vec::new() }, span)
            }
            Event::MappingStart(_, anchor, tag) => {
                self.properties(anchor, tag.as_deref(), &span);
                self.enter(
                    Open::Map { start: span.start, entries: Vec::new(), seen: HashMap::new(), key: None },
                    span,
                )
            }
            Event::SequenceEnd | Event::MappingEnd => {
                let closed = match self.open.pop() {
                    Some(Open::List { start, items }) => {
                        Node { span: trimmed(start..span.end.max(start), source), value: Value::List(items) }
                    }
                    Some(Open::Map { start, entries, .. }) => {
                        Node { span: trimmed(start..span.end.max(start), source), value: Value::Map(entries) }
                    }
                    None => return Err(Stop),
                };
                self.put(closed, source);
                Ok(())
            }
            Event::Alias(_) | Event::UnresolvedAlias(_) => {
                self.flaw(
                    span.clone(),
                    "an alias stands here".into(),
                    "write the value out: this file has no aliases",
                );
                self.put(Node { span, value: Value::Nothing }, source);
                Ok(())
            }
            Event::DocumentStart(..) => {
                self.documents += 1;
                if self.documents > 1 {
                    self.flaw(span, "a second document begins here".into(), "keep one document in the file");
                    return Err(Stop);
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn properties(&mut self, anchor: usize, tag: Option<&Tag>, span: &Span) {
        if anchor != 0 {
            self.flaw(span.clone(), "this value has an anchor".into(), "remove it: this file has no anchors");
        }
        if tag.is_some() {
            self.flaw(span.clone(), "this value has a tag".into(), "remove it: types follow from the keys");
        }
    }

    fn enter(&mut self, open: Open, span: Span) -> Result<(), Stop> {
        if self.open.len() >= MAX_DEPTH {
            self.flaw(span, "this is nested too deeply".into(), "see the example for the shape of the file");
            return Err(Stop);
        }
        self.open.push(open);
        Ok(())
    }

    fn put(&mut self, node: Node, source: &mut Source<'_>) {
        match self.open.last_mut() {
            None => self.root = Some(node),
            Some(Open::List { items, .. }) => items.push(node),
            Some(Open::Map { key: key @ None, .. }) => {
                let (text, flawed) = match node.value {
                    Value::Scalar(text) => (text, false),
                    _ => (String::new(), true),
                };
                *key = Some((text, node.span.clone()));
                if flawed {
                    self.flaw(node.span, "a key is a word".into(), "write `key: value`");
                }
            }
            Some(Open::Map { entries, seen, key, .. }) => {
                let (key, key_span) = key.take().unwrap_or_default();
                let entry = Entry { key, key_span, value: node };
                if let Some(first) = seen.get(&entry.key) {
                    hide_secret_of(&entry, source);
                    let message = format!("this key is there already, on line {}", source.line(*first));
                    self.flaw(entry.key_span, message, "keep one of the two");
                } else {
                    seen.insert(entry.key.clone(), entry.key_span.start);
                    entries.push(entry);
                }
            }
        }
    }
}

/// The span without the blanks and line ends after it: the end of a block is where the next one begins.
fn trimmed(span: Span, source: &Source<'_>) -> Span {
    let text = source.text.get(span.clone()).unwrap_or_default();
    span.start..span.start + text.trim_end().len()
}

/// Hides what is, or may be, a secret: what the keys call one, PEM, and passwords in URLs.
fn hide_secrets(node: &Node, source: &mut Source<'_>) {
    match &node.value {
        Value::Nothing => {}
        Value::Scalar(text) => {
            let password = text.split_once("://").is_some_and(|(_, rest)| {
                rest.split(['/', '?', '#']).next().is_some_and(|authority| authority.contains('@'))
            });
            if password || text.contains("-----BEGIN") || text.contains("PRIVATE KEY") {
                source.hide(node.span.clone());
            }
        }
        Value::List(items) => items.iter().for_each(|item| hide_secrets(item, source)),
        Value::Map(entries) => entries.iter().for_each(|entry| hide_secret_of(entry, source)),
    }
}

fn hide_secret_of(entry: &Entry, source: &mut Source<'_>) {
    if sounds_secret(&entry.key) && !names_a_secret(&entry.value) {
        // The key too: with a missing blank (`secret:x`) it holds the secret.
        source.hide(entry.key_span.start..entry.value.span.end.max(entry.key_span.end));
    }
    hide_secrets(&entry.value, source);
}

/// Whether a key speaks of a secret.
fn sounds_secret(key: &str) -> bool {
    let key = key.to_lowercase();
    ["secret", "password", "passwd", "passphrase", "credential", "token", "client_auth", "api_key", "apikey"]
        .iter()
        .any(|word| key.contains(word))
}

/// Whether a value tells where a secret is, and holds none.
fn names_a_secret(node: &Node) -> bool {
    match &node.value {
        Value::Nothing => true,
        Value::Scalar(text) => {
            text == "private_key_jwt" || text.starts_with("file:") || text.starts_with("env:")
        }
        Value::List(_) => false,
        Value::Map(entries) => entries.iter().all(|entry| {
            matches!(entry.key.as_str(), "client_secret_basic" | "client_secret_post")
                && names_a_secret(&entry.value)
        }),
    }
}

/// Without a tree nobody knows what a line means: none is quoted if a secret may be in the file.
fn hide_if_a_secret_is_near(source: &mut Source<'_>) {
    let secret = source.text.lines().any(|line| {
        let line = line.split('#').next().unwrap_or_default().to_lowercase().replace("private_key_jwt", "");
        sounds_secret(&line.replace("client_auth", ""))
            || line.contains("private")
            || line.contains("://") && line.contains('@')
    });
    if secret {
        source.hide(0..source.text.len());
    }
}

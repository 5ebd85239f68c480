//! Reads a tree against a shape, and collects everything that does not fit.
//!
//! One declaration of a record gives both its reader and its JSON Schema, so that neither can forget
//! what the other knows.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value as Json, json};

use super::problem::{Problem, Severity, Source, Span, nearest, one_of};
use super::tree::{Entry, Node, Value};

/// A value and its place.
#[derive(Clone, Debug)]
pub(super) struct At<T> {
    pub(super) span: Span,
    pub(super) value: T,
}

/// Where problems are put down, and what the file may refer to.
pub(super) struct Desk<'a> {
    pub(super) source: &'a Source<'a>,
    /// The folder to which paths in the file are relative.
    pub(super) base: &'a Path,
    pub(super) environment: &'a dyn Fn(&str) -> Option<String>,
    pub(super) problems: Vec<Problem>,
    /// The files and folders that the file names to be read.
    pub(super) files: Vec<PathBuf>,
    /// Where it names them, and those that the gateway writes.
    pub(super) named: Vec<At<PathBuf>>,
}

/// After so many problems of a severity nobody reads on.
const MOST_PROBLEMS: usize = 500;

impl Desk<'_> {
    pub(super) fn error(&mut self, span: &Span, message: impl Into<String>, fix: impl Into<String>) {
        self.put(span, Severity::Error, message.into(), fix.into());
    }

    pub(super) fn warn(&mut self, span: &Span, message: impl Into<String>, fix: impl Into<String>) {
        self.put(span, Severity::Warning, message.into(), fix.into());
    }

    /// Errors and warnings are counted apart: many warnings must not keep an error from being known.
    fn put(&mut self, span: &Span, severity: Severity, message: String, fix: String) {
        let alike = self.problems.iter().filter(|problem| problem.severity == severity).count();
        if alike < MOST_PROBLEMS {
            self.problems.push(self.source.problem(span, severity, message, fix));
        }
    }

    pub(super) fn line(&self, span: &Span) -> usize {
        self.source.line(span.start)
    }

    /// `file:line:column` of a place.
    pub(super) fn place(&self, span: &Span) -> String {
        let at = self.source.problem(span, Severity::Warning, String::new(), String::new());
        format!("{}:{}:{}", at.file, at.line, at.column)
    }

    /// The text of a place as messages quote it: as it stands in the file, never from the environment.
    pub(super) fn quoted(&self, span: &Span) -> String {
        let text = self.source.shown(span).unwrap_or("this");
        if text == "this" || text.chars().count() > 60 || text.chars().any(char::is_control) {
            return "this value".into();
        }
        format!("`{}`", text.trim_matches(['"', '\'']))
    }

    /// Puts in what the environment holds for `${NAME}` and `${NAME:-default}`; `$$` is a dollar sign.
    fn expand(&mut self, text: &str, span: &Span) -> Option<String> {
        let mut expanded = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(at) = rest.find('$') {
            expanded.push_str(&rest[..at]);
            rest = &rest[at + 1..];
            if let Some(after) = rest.strip_prefix('$') {
                expanded.push('$');
                rest = after;
                continue;
            }
            let Some((inside, after)) = rest.strip_prefix('{').and_then(|rest| rest.split_once('}')) else {
                self.error(
                    span,
                    "a dollar sign stands alone",
                    "write `$$` for one, or `${NAME}` or `${NAME:-default}`",
                );
                return None;
            };
            let (name, default) =
                inside.split_once(":-").map_or((inside, None), |(name, default)| (name, Some(default)));
            if !is_variable(name) {
                self.error(
                    span,
                    "this names no environment variable",
                    "write `${NAME}` or `${NAME:-default}`",
                );
                return None;
            }
            let found = (self.environment)(name).filter(|value| !value.is_empty());
            let Some(value) = found.or_else(|| default.map(str::to_owned)) else {
                self.error(
                    span,
                    format!("the environment has no `{name}`"),
                    format!("set it, or write `${{{name}:-default}}`"),
                );
                return None;
            };
            expanded.push_str(&value);
            rest = after;
        }
        expanded.push_str(rest);
        Some(expanded)
    }

    /// The text of a scalar with the environment put in.
    fn scalar(&mut self, node: &Node, wanted: &str) -> Option<String> {
        match &node.value {
            Value::Scalar(text) => self.expand(text, &node.span),
            Value::Nothing => self.misfit(node, wanted, "nothing"),
            Value::List(_) => self.misfit(node, wanted, "a list"),
            Value::Map(_) => self.misfit(node, wanted, "a mapping"),
        }
    }

    pub(super) fn misfit<T>(&mut self, node: &Node, wanted: &str, found: &str) -> Option<T> {
        self.error(
            &point(node),
            format!("{found} stands where {wanted} belongs"),
            format!("write {wanted} here"),
        );
        None
    }

    /// The entries of a mapping; says so if it is none.
    pub(super) fn entries<'n>(&mut self, node: &'n Node, wanted: &str) -> Option<&'n [Entry]> {
        match &node.value {
            Value::Map(entries) => Some(entries),
            Value::Nothing => self.misfit(node, wanted, "nothing"),
            Value::Scalar(_) => self.misfit(node, wanted, "a single value"),
            Value::List(_) => self.misfit(node, wanted, "a list"),
        }
    }

    /// Says which keys a record lacks, and which it has too many; returns those that were probably meant, which are not
    /// missed.
    pub(super) fn keys(&mut self, node: &Node, entries: &[Entry], fields: &[Field]) -> Vec<&'static str> {
        let present: HashSet<&str> = entries.iter().map(|entry| entry.key.as_str()).collect();
        let names: Vec<&'static str> = fields.iter().map(|field| field.name).collect();
        let free: Vec<&'static str> = names.iter().copied().filter(|name| !present.contains(name)).collect();
        let mut meant = HashSet::new();
        for entry in entries.iter().filter(|entry| !names.contains(&entry.key.as_str())).take(MOST_PROBLEMS) {
            meant.extend(self.unknown_key(entry, &free, &names));
        }
        for field in fields.iter().filter(|field| field.required) {
            if !present.contains(field.name) && !meant.contains(field.name) {
                let fix = format!("add `{}:`, {}", field.name, field.document);
                self.error(&point(node), format!("`{}` is missing", field.name), fix);
            }
        }
        meant.into_iter().collect()
    }

    /// Says that a key is unknown; returns the one that was probably meant.
    fn unknown_key<'n>(&mut self, entry: &Entry, free: &[&'n str], names: &[&str]) -> Option<&'n str> {
        let mut message = match self.source.shown(&entry.key_span) {
            Some(_) if entry.key.chars().count() <= 60 => {
                format!("unknown key `{}`", entry.key.escape_debug())
            }
            _ => "unknown key".to_owned(),
        };
        let meant = nearest(&entry.key, free.iter().copied());
        if let Some(meant) = meant {
            let _ = write!(message, "; did you mean `{meant}`?");
        }
        let fix = format!(
            "remove it; the keys here are {}",
            one_of(names.iter().copied()).replace(" or ", " and ")
        );
        self.error(&entry.key_span, message, fix);
        meant
    }
}

/// Where to point at when a whole node is meant: a mapping's first key.
pub(super) fn point(node: &Node) -> Span {
    match &node.value {
        Value::Map(entries) => entries.first().map_or(node.span.clone(), |entry| entry.key_span.clone()),
        _ => node.span.clone(),
    }
}

fn is_variable(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && name.chars().all(|char| char.is_ascii_alphanumeric() || char == '_')
}

/// A key of a record.
pub(super) struct Field {
    pub(super) name: &'static str,
    pub(super) required: bool,
    pub(super) document: &'static str,
}

/// What a part of the file looks like.
pub(super) trait Shape: Sized {
    /// Reads it; what does not fit is put down as a problem.
    fn read(node: &Node, desk: &mut Desk<'_>) -> Option<Self>;
    /// The same as JSON Schema.
    fn schema() -> Json;
}

/// Declares a record of the file. Every field may be absent after reading: a missing one was reported.
macro_rules! record {
    ($(#[doc = $document:literal])* $name:ident { $(#[doc = $about:literal] $need:ident $field:ident: $type:ty,)* }) => {
        $(#[doc = $document])*
        #[derive(Debug, Default)]
        pub(super) struct $name {
            /// The fields that are there and could not be read: problems that follow from that are none.
            pub(super) unread: Vec<&'static str>,
            /// The fields that are absent, and probably meant by keys that nobody knows: they are not missed.
            pub(super) meant: Vec<&'static str>,
            $(#[doc = $about] pub(super) $field: Option<$crate::config::shape::At<$type>>,)*
        }

        impl $crate::config::shape::Shape for $name {
            fn read(node: &$crate::config::tree::Node, desk: &mut $crate::config::shape::Desk<'_>) -> Option<Self> {
                let fields = [$($crate::config::shape::Field {
                    name: $crate::config::shape::key(stringify!($field)),
                    required: $crate::config::shape::is_required(stringify!($need)),
                    document: $about.trim_ascii(),
                }),*];
                let entries = desk.entries(node, &format!("a mapping such as `{{{}: …}}`", fields[0].name))?;
                let meant = desk.keys(node, entries, &fields);
                let mut record = Self {
                    unread: Vec::new(),
                    meant: Vec::new(),
                    $($field: $crate::config::shape::field(entries, $crate::config::shape::key(stringify!($field)), desk),)*
                };
                $(if record.$field.is_none() && entries.iter().any(|entry| entry.key == $crate::config::shape::key(stringify!($field))) {
                    record.unread.push($crate::config::shape::key(stringify!($field)));
                })*
                record.meant.extend(meant);
                Some(record)
            }

            fn schema() -> serde_json::Value {
                let required: Vec<&str> = [$($crate::config::shape::key(stringify!($field))),*].into_iter()
                    .zip([$($crate::config::shape::is_required(stringify!($need))),*])
                    .filter_map(|(name, required)| required.then_some(name))
                    .collect();
                let mut properties = serde_json::Map::new();
                $(properties.insert(
                    $crate::config::shape::key(stringify!($field)).to_owned(),
                    $crate::config::shape::described(<$type>::schema(), $about.trim_ascii()),
                );)*
                serde_json::json!({
                    "type": "object",
                    "description": concat!($($document),*).trim_ascii(),
                    "additionalProperties": false,
                    "required": required,
                    "properties": properties,
                })
            }
        }
    };
}

/// Declares a word of the file that is one of a few.
macro_rules! choice {
    ($(#[doc = $document:literal])* $name:ident { $($word:literal => $variant:ident,)* }) => {
        $(#[doc = $document])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum $name { $(#[doc = $word] $variant,)* }

        impl $crate::config::shape::Shape for $name {
            fn read(node: &$crate::config::tree::Node, desk: &mut $crate::config::shape::Desk<'_>) -> Option<Self> {
                let at = $crate::config::shape::word(node, desk, &[$($word),*])?;
                [$(Self::$variant),*].get(at).copied()
            }

            fn schema() -> serde_json::Value {
                $crate::config::shape::schema_of_words(&[$($word),*])
            }
        }
    };
}

pub(super) use {choice, record};

/// The key of a field that is named by a word of Rust's: `type` is written `r#type`.
pub(super) fn key(field: &'static str) -> &'static str {
    field.strip_prefix("r#").unwrap_or(field)
}

pub(super) fn is_required(need: &str) -> bool {
    need == "required"
}

pub(super) fn field<T: Shape>(entries: &[Entry], name: &str, desk: &mut Desk<'_>) -> Option<At<T>> {
    let entry = entries.iter().find(|entry| entry.key == name)?;
    read_at(&entry.value, desk)
}

pub(super) fn read_at<T: Shape>(node: &Node, desk: &mut Desk<'_>) -> Option<At<T>> {
    let value = T::read(node, desk)?;
    Some(At { span: point(node), value })
}

pub(super) fn described(mut schema: Json, document: &str) -> Json {
    if let Some(schema) = schema.as_object_mut() {
        schema.insert("description".to_owned(), document.into());
    }
    schema
}

/// The place in `words` of the word that stands here.
pub(super) fn word(node: &Node, desk: &mut Desk<'_>, words: &[&str]) -> Option<usize> {
    let wanted = one_of(words.iter().copied());
    let text = desk.scalar(node, &wanted)?;
    let found = words.iter().position(|word| *word == text);
    if found.is_none() {
        unknown_word(&text, &node.span, desk, words);
    }
    found
}

/// Says that a word is none of these, and which was probably meant.
pub(super) fn unknown_word(text: &str, span: &Span, desk: &mut Desk<'_>, words: &[&str]) {
    let mut message = format!("{} is not known here", desk.quoted(span));
    // What YAML 1.1 called a truth value stands for the word that it looks like.
    let meant = match text {
        "false" | "no" if words.contains(&"off") => Some("off"),
        "off" | "no" | "false" if words.contains(&"never") => Some("never"),
        _ => nearest(text, words.iter().copied()),
    };
    if let Some(meant) = meant {
        let _ = write!(message, "; did you mean `{meant}`?");
    }
    desk.error(span, message, format!("write {}", one_of(words.iter().copied())));
}

/// A text with something from the environment is judged when it is known.
fn or_variable(schema: Json) -> Json {
    json!({ "anyOf": [schema, { "type": "string", "pattern": "\\$\\{" }] })
}

pub(super) fn schema_of_words(words: &[&str]) -> Json {
    or_variable(json!({ "enum": words }))
}

impl Shape for String {
    fn read(node: &Node, desk: &mut Desk<'_>) -> Option<Self> {
        let text = desk.scalar(node, "text")?;
        if text.is_empty() {
            desk.error(&node.span, "this is empty", "write something here, or remove the key");
            return None;
        }
        if text.chars().any(char::is_control) {
            desk.error(&node.span, "this holds a control character", "write one line of plain text");
            return None;
        }
        Some(text)
    }

    fn schema() -> Json {
        // YAML's `42` is text where text belongs.
        json!({ "type": ["string", "number", "boolean"] })
    }
}

impl Shape for bool {
    fn read(node: &Node, desk: &mut Desk<'_>) -> Option<Self> {
        let text = desk.scalar(node, "`true` or `false`")?;
        match text.as_str() {
            "true" => Some(true),
            "false" => Some(false),
            _ => {
                let message = format!("{} is neither `true` nor `false`", desk.quoted(&node.span));
                desk.error(&node.span, message, "write `true` or `false`");
                None
            }
        }
    }

    fn schema() -> Json {
        or_variable(json!({ "type": "boolean" }))
    }
}

impl Shape for usize {
    fn read(node: &Node, desk: &mut Desk<'_>) -> Option<Self> {
        let text = desk.scalar(node, "a number")?;
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let number = digits.then(|| text.parse().ok()).flatten();
        if number.is_none() {
            let message = format!("{} is not a whole number", desk.quoted(&node.span));
            desk.error(&node.span, message, "write digits, such as `4`");
        }
        number
    }

    fn schema() -> Json {
        or_variable(json!({ "type": "integer", "minimum": 0 }))
    }
}

impl Shape for Duration {
    fn read(node: &Node, desk: &mut Desk<'_>) -> Option<Self> {
        let text = desk.scalar(node, "a time such as `30s`")?;
        let duration = parse_duration(&text);
        if duration.is_none() {
            let message = format!("{} is not a time", desk.quoted(&node.span));
            desk.error(&node.span, message, "write a number and its unit: `250ms`, `5s`, `30m` or `2h`");
        }
        duration
    }

    fn schema() -> Json {
        or_variable(json!({ "type": "string", "pattern": "^[0-9]{1,9}(ms|s|m|h)$" }))
    }
}

/// `250ms`, `5s`, `30m`, `2h`.
pub(super) fn parse_duration(text: &str) -> Option<Duration> {
    let unit_at = text.find(|char: char| !char.is_ascii_digit())?;
    let (digits, unit) = text.split_at(unit_at);
    if digits.len() > 9 {
        return None;
    }
    let number: u64 = digits.parse().ok()?;
    Some(match unit {
        "ms" => Duration::from_millis(number),
        "s" => Duration::from_secs(number),
        "m" => Duration::from_secs(number * 60),
        "h" => Duration::from_secs(number * 3600),
        _ => return None,
    })
}

/// A number of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Size(pub(super) usize);

impl Shape for Size {
    fn read(node: &Node, desk: &mut Desk<'_>) -> Option<Self> {
        let text = desk.scalar(node, "a size such as `32MiB`")?;
        let size = parse_size(&text);
        if size.is_none() {
            let message = format!("{} is not a size", desk.quoted(&node.span));
            desk.error(&node.span, message, "write a number and its unit: `512KiB`, `32MiB` or `1GiB`");
        }
        size
    }

    fn schema() -> Json {
        or_variable(json!({ "type": "string", "pattern": "^[0-9]{1,6}(KiB|MiB|GiB)$" }))
    }
}

/// `512KiB`, `32MiB`, `1GiB`.
pub(super) fn parse_size(text: &str) -> Option<Size> {
    let (digits, unit) = text.split_at(text.find(|char: char| !char.is_ascii_digit())?);
    if digits.len() > 6 {
        return None;
    }
    let shift = match unit {
        "KiB" => 10,
        "MiB" => 20,
        "GiB" => 30,
        _ => return None,
    };
    digits.parse::<usize>().ok()?.checked_mul(1 << shift).map(Size)
}

/// As a file would have it.
pub(super) fn show_duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match (duration.subsec_millis(), seconds) {
        (millis, _) if millis > 0 => format!("{}ms", duration.as_millis()),
        (_, seconds) if seconds > 0 && seconds.is_multiple_of(3600) => format!("{}h", seconds / 3600),
        (_, seconds) if seconds > 0 && seconds.is_multiple_of(60) => format!("{}m", seconds / 60),
        _ => format!("{seconds}s"),
    }
}

impl Shape for SocketAddr {
    fn read(node: &Node, desk: &mut Desk<'_>) -> Option<Self> {
        let text = desk.scalar(node, "an address and port")?;
        let address = text.parse().ok().filter(|address: &Self| address.port() != 0);
        if address.is_none() {
            let message = format!("{} is not an address with a port", desk.quoted(&node.span));
            desk.error(
                &node.span,
                message,
                "write digits, such as `127.0.0.1:8080` or `[::1]:8080`, and no name",
            );
        }
        address
    }

    fn schema() -> Json {
        json!({ "type": "string" })
    }
}

/// A file or folder that is read: a reload follows what is in it.
impl Shape for PathBuf {
    fn read(node: &Node, desk: &mut Desk<'_>) -> Option<Self> {
        let path = String::read(node, desk).map(|text| desk.base.join(text))?;
        desk.files.push(path.clone());
        desk.named.push(At { span: node.span.clone(), value: path.clone() });
        Some(path)
    }

    fn schema() -> Json {
        json!({ "type": "string" })
    }
}

/// A file that the gateway writes itself: nothing follows what is in it.
#[derive(Clone, Debug)]
pub(super) struct Written(pub(super) PathBuf);

impl Shape for Written {
    fn read(node: &Node, desk: &mut Desk<'_>) -> Option<Self> {
        let path = String::read(node, desk).map(|text| desk.base.join(text))?;
        desk.named.push(At { span: node.span.clone(), value: path.clone() });
        Some(Self(path))
    }

    fn schema() -> Json {
        json!({ "type": "string" })
    }
}

impl<T: Shape> Shape for Vec<At<T>> {
    fn read(node: &Node, desk: &mut Desk<'_>) -> Option<Self> {
        match &node.value {
            Value::List(items) if items.is_empty() => {
                desk.misfit(node, "at least one entry", "an empty list")
            }
            Value::List(items) => Some(items.iter().filter_map(|item| read_at(item, desk)).collect()),
            Value::Nothing => desk.misfit(node, "a list", "nothing"),
            Value::Scalar(_) => {
                desk.misfit(node, "a list, in `[…]` or with `- ` before each entry,", "a single value")
            }
            Value::Map(_) => desk.misfit(node, "a list, with `- ` before each entry,", "a mapping"),
        }
    }

    fn schema() -> Json {
        json!({ "type": "array", "minItems": 1, "items": T::schema() })
    }
}

/// A mapping from names that the file gives; what was misshapen keeps its name.
#[derive(Debug)]
pub(super) struct Named<T>(pub(super) Vec<(At<String>, Option<At<T>>)>);

impl<T: Shape> Shape for Named<T> {
    fn read(node: &Node, desk: &mut Desk<'_>) -> Option<Self> {
        let entries = desk.entries(node, "a mapping from names")?;
        if entries.is_empty() {
            return desk.misfit(node, "at least one entry", "an empty mapping");
        }
        let read = |entry: &Entry| {
            (At { span: entry.key_span.clone(), value: entry.key.clone() }, read_at(&entry.value, desk))
        };
        Some(Self(entries.iter().map(read).collect()))
    }

    fn schema() -> Json {
        json!({ "type": "object", "minProperties": 1, "additionalProperties": T::schema() })
    }
}

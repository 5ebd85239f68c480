//! The files that the configuration names: there, readable, and where it matters unreadable to others.

use std::fs::{File, Metadata};
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use secrecy::SecretString;

use crate::config::problem::Span;
use crate::config::raw::SecretPlace;
use crate::config::shape::{At, Desk};

/// More than any secret needs.
const MAX_SECRET: u64 = 4096;

/// Group may read (as mounted secrets have it), nobody else; only the owner writes.
const OTHERS: u32 = 0o027;

/// Whether a file is there and can be read.
pub(super) fn is_readable(path: &At<PathBuf>, desk: &mut Desk<'_>) -> bool {
    open(&path.value, &path.span, desk).is_some()
}

/// What is in a file, and no more than one byte beyond `most`.
pub(super) fn contents(path: &At<PathBuf>, most: usize, desk: &mut Desk<'_>) -> Option<Vec<u8>> {
    let file = open(&path.value, &path.span, desk)?;
    let mut bytes = Vec::new();
    if let Err(error) = file.take(most as u64 + 1).read_to_end(&mut bytes) {
        let fix = "make sure that it is there and can be read";
        desk.error(&path.span, format!("this file cannot be read: {error}"), fix);
        return None;
    }
    Some(bytes)
}

/// As [`is_readable`], for a file that others must not read.
pub(super) fn is_private(path: &At<PathBuf>, desk: &mut Desk<'_>) -> bool {
    open_private(&path.value, &path.span, desk).is_some()
}

/// The secret from its place, without the line end that editors add.
pub(super) fn secret(place: &At<SecretPlace>, desk: &mut Desk<'_>) -> Option<SecretString> {
    let text = match &place.value {
        SecretPlace::Environment(name) => {
            let Some(text) = (desk.environment)(name) else {
                desk.error(
                    &place.span,
                    "the environment does not hold this secret",
                    "set the variable, or write `file:PATH`",
                );
                return None;
            };
            text
        }
        SecretPlace::File(path) => {
            let mut text = String::new();
            let file = open_private(path, &place.span, desk)?;
            let read = file.take(MAX_SECRET + 1).read_to_string(&mut text);
            if read.is_err() || text.len() as u64 > MAX_SECRET {
                desk.error(
                    &place.span,
                    "this file holds no secret: it is not text, or too long",
                    "write the secret alone into it",
                );
                return None;
            }
            text
        }
    };
    let text = text.strip_suffix('\n').map_or(text.as_str(), |line| line.strip_suffix('\r').unwrap_or(line));
    if text.is_empty() || text.chars().any(|char| char.is_control() || char.is_whitespace()) {
        desk.error(
            &place.span,
            "this secret is empty, or holds blanks or several lines",
            "write the secret alone, on one line",
        );
        return None;
    }
    Some(SecretString::from(text))
}

fn open_private(path: &Path, span: &Span, desk: &mut Desk<'_>) -> Option<File> {
    let file = open(path, span, desk)?;
    let mode = file.metadata().map(|metadata| metadata.permissions().mode()).unwrap_or(0o777);
    if mode & OTHERS != 0 {
        desk.error(
            span,
            format!("others can read or change this file (mode {:04o})", mode & 0o7777),
            "run `chmod 600` on it",
        );
        return None;
    }
    Some(file)
}

fn open(path: &Path, span: &Span, desk: &mut Desk<'_>) -> Option<File> {
    // Looked at before it is opened: opening a pipe would wait for its writer.
    let opened = std::fs::metadata(path).and_then(|metadata: Metadata| {
        if metadata.is_file() { File::open(path) } else { Err(std::io::Error::other("it is not a file")) }
    });
    match opened {
        Ok(file) => Some(file),
        Err(error) => {
            let cause = match error.kind() {
                std::io::ErrorKind::NotFound => "it is not there".to_owned(),
                std::io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
                _ => error.to_string(),
            };
            desk.error(
                span,
                format!("this file cannot be read: {cause}"),
                "paths are relative to the folder of this configuration",
            );
            None
        }
    }
}

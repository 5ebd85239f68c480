//! How an app could read a path besides its normal form (`docs/decisions/003-ambiguous-paths-are-refused.md`).
//!
//! **Invariant:** the most careless reading decides. An app on Windows tells no letters' cases apart, `Å` and `å` neither, and drops dots and
//! blanks at the end of a name; a Java server cuts off `;…`; some decode twice, and some look for the query after that.

use std::borrow::Cow;

use crate::request::fully_decoded;

/// Whether every app reads it as it stands.
pub(super) fn is_plain(path: &str) -> bool {
    let odd = |byte: u8| byte.is_ascii_uppercase() || byte == b'%' || byte == b';';
    !path.bytes().any(odd) && !path.contains("./") && !path.ends_with('.')
}

/// The other readings of a path, each more careless than the one before, and [`folded`].
pub(super) fn others(path: &str) -> [String; 3] {
    let each = |path: &str, read: fn(&str) -> &str| path.split('/').map(read).collect::<Vec<_>>().join("/");
    let folded = folded(path);
    let beginning = folded.split(['?', '#']).next().unwrap_or_default();
    let bare = each(beginning, |segment| segment.split(';').next().unwrap_or_default());
    let trimmed = each(&bare, |segment| segment.trim_end_matches(['.', ' ']));
    [folded, bare, trimmed]
}

/// A path or a segment with its escapes decoded, as often as there are any, and its letters folded. What means something
/// in a pattern stays escaped.
pub(super) fn folded(text: &str) -> String {
    let decoded = if text.contains('%') { Cow::Owned(fully_decoded(text)) } else { Cow::Borrowed(text) };
    let mut folded = String::with_capacity(decoded.len());
    for character in decoded.chars() {
        match character {
            '*' => folded.push_str("%2a"),
            '{' => folded.push_str("%7b"),
            '}' => folded.push_str("%7d"),
            // By way of the capitals: some small letters have one in common (`ſ` and `s`).
            letter => folded.extend(letter.to_uppercase().flat_map(char::to_lowercase)),
        }
    }
    folded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_folded_as_the_most_careless_app_would() {
        for (path, expected) in [
            ("/A/b", "/a/b"),
            ("/S%C3%98KNAD", "/søknad"),
            ("/s%C3%B8knad", "/søknad"),
            ("/%C5%BFecret/%E2%84%AA", "/secret/k"),
            ("/%2561dmin", "/admin"),
            ("/%252561dmin", "/admin"),
            ("/a%2Fb", "/a/b"),
            ("/a*%7Bb%7D", "/a%2a%7bb%7d"),
            ("/%25FF", "/\u{fffd}"),
        ] {
            assert_eq!(folded(path), expected, "{path}");
        }
    }

    #[test]
    fn parameters_and_what_windows_drops_are_cut_off() {
        assert_eq!(others("/A;x/B%3By/c")[1], "/a/b/c");
        assert_eq!(others("/a./b%20/c..")[2], "/a/b/c");
        assert_eq!(others("/a%3Fb/c")[1], "/a");
        assert!(is_plain("/a/b.css") && is_plain("/a..b/c") && is_plain("/"));
        assert!(!is_plain("/a./b") && !is_plain("/a.") && !is_plain("/a;b") && !is_plain("/A"));
    }
}

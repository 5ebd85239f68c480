//! The shape of the source, held by a test: who may know whom, and what each file says of itself.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Which modules of the core each one knows. A new edge is a decision: it is written down here first.
///
/// `config` and what only tests use are not listed.
const CORE: &[(&str, &[&str])] = &[
    ("access", &["clock", "cors", "identity", "level", "request", "route", "session"]),
    ("app_session", &["clock", "cookie", "key", "seal", "session"]),
    ("bearer", &[]),
    ("brand", &["language"]),
    ("clock", &[]),
    ("cookie", &[]),
    ("cors", &[]),
    ("cross_site", &["route"]),
    ("endpoint", &["request"]),
    ("forward", &["clock", "identity", "key", "seal", "session", "token"]),
    ("forward_auth", &["request"]),
    ("identity", &["clock", "level", "provider", "token"]),
    ("key", &["clock", "seal", "token"]),
    ("language", &["cookie"]),
    ("level", &[]),
    (
        "login",
        &[
            "access",
            "clock",
            "cookie",
            "identity",
            "key",
            "level",
            "provider",
            "redirect",
            "revocation",
            "seal",
            "session",
        ],
    ),
    ("once", &["clock"]),
    ("provider", &["language", "level", "token"]),
    ("redirect", &["endpoint", "request", "route"]),
    ("request", &[]),
    ("revocation", &["clock", "key", "seal", "session"]),
    ("rewrite", &["endpoint", "request"]),
    (
        "route",
        &[
            "access",
            "app_session",
            "brand",
            "clock",
            "cors",
            "cross_site",
            "forward",
            "identity",
            "redirect",
            "request",
            "rewrite",
            "session",
            "upstream",
            "way",
        ],
    ),
    ("seal", &["clock", "key"]),
    ("session", &["clock", "cookie", "identity", "key", "provider", "redirect", "revocation", "seal"]),
    (
        "supposed",
        &["clock", "identity", "key", "level", "provider", "revocation", "seal", "session", "token"],
    ),
    ("token", &["clock"]),
    ("upstream", &["app_session"]),
    ("way", &["access", "cookie", "identity", "login", "session"]),
    ("websocket", &[]),
];

/// The modules that carry requests through the proxy.
const KNOW_THE_PROXY: [&str; 7] = ["gateway", "guard", "respond", "upstream", "upkeep", "admin", "command"];

/// What others may know of pingora: the header of a request as data, and the TLS library that it brings.
const HARMLESS: [&str; 2] = ["pingora::http::RequestHeader", "pingora::tls::"];

#[test]
fn every_file_opens_with_what_it_is_for() {
    for file in sources(&["src", "core/src", "simulator/src", "tests"]) {
        let text = read(&file);
        let opening = text.lines().next().unwrap_or_default();
        assert!(
            opening.starts_with("//! ") && opening.len() > 8,
            "{} opens with {opening:?}",
            file.display()
        );
    }
}

#[test]
fn the_core_does_no_input_or_output_over_the_network() {
    for file in sources(&["core/src"]) {
        let text = code(&file);
        for foreign in
            ["pingora", "reqwest", "tokio", "hyper", "std::net::Tcp", "std::net::Udp", "SystemTime::now"]
        {
            let clock = foreign == "SystemTime::now" && file.ends_with("clock.rs");
            assert!(clock || !text.contains(foreign), "{} knows {foreign}", file.display());
        }
    }
    let manifest = read(&root().join("core/Cargo.toml"));
    for foreign in ["pingora", "reqwest", "tokio", "hyper"] {
        assert!(!manifest.contains(foreign), "core depends on {foreign}");
    }
}

#[test]
fn the_modules_of_the_core_know_each_other_as_written_down_and_none_knows_the_configuration() {
    let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for file in sources(&["core/src"]) {
        let module = module_of(&file, "core/src");
        if ["config", "lib", "formats"].contains(&module.as_str()) {
            continue;
        }
        let known = found.entry(module.clone()).or_default();
        known.extend(paths_of_the_crate(&code(&file)).into_iter().filter(|other| *other != module));
    }
    let written: BTreeMap<String, BTreeSet<String>> = CORE
        .iter()
        .map(|(module, known)| {
            ((*module).to_owned(), known.iter().map(|other| (*other).to_owned()).collect())
        })
        .collect();
    assert_eq!(found, written, "left: the source; right: what CORE in this file allows");
}

#[test]
fn only_the_modules_that_carry_requests_know_the_proxy() {
    for file in sources(&["src"]) {
        let module = module_of(&file, "src");
        if KNOW_THE_PROXY.contains(&module.as_str()) {
            continue;
        }
        for line in code(&file).lines().filter(|line| line.contains("pingora::")) {
            assert!(HARMLESS.iter().any(|known| line.contains(known)), "{}: {line}", file.display());
        }
    }
    let lib = read(&root().join("src/lib.rs"));
    for module in KNOW_THE_PROXY {
        assert!(lib.contains(&format!("`{module}`")), "src/lib.rs does not name {module}");
    }
}

#[test]
fn the_simulator_is_no_part_of_the_gateway_and_knows_nothing_of_it() {
    for manifest in ["Cargo.toml", "core/Cargo.toml"] {
        let text = read(&root().join(manifest));
        let dependencies = text.split("dependencies]").skip(1).collect::<String>();
        assert!(!dependencies.contains("portvakt-simulator"), "{manifest}");
    }
    for file in sources(&["simulator/src"]) {
        let text = code(&file);
        assert!(!text.contains("portvakt_core") && !text.contains("use portvakt::"), "{}", file.display());
    }
}

#[test]
fn no_file_names_a_place_on_somebodys_machine() {
    // Put together here, so that this file does not name them either.
    let places = ["/work", "/root", "/home", "/tmp", "/Users"].map(|place| format!("{place}/"));
    for file in sources(&["src", "core/src", "simulator/src", "simulator/tests", "tests"]) {
        if file.ends_with("architecture.rs") {
            continue;
        }
        let text = read(&file);
        for place in &places {
            let found = text.lines().find(|line| line.contains(place.as_str()));
            assert!(found.is_none(), "{}: {}", file.display(), found.unwrap_or_default());
        }
    }
}

/// The open questions of the dossier's section 7, each with its safe reading. What is not asked of this program:
/// 9 of access tokens' `aud` is about machines' tokens, 27 about traffic (`docs/performance.md`).
const OPEN_QUESTIONS: std::ops::RangeInclusive<u8> = 1..=30;
const ASKED_OF_OTHERS: [u8; 2] = [9, 27];

#[test]
fn every_open_question_of_the_dossier_has_a_test_of_its_safe_reading() {
    let mut answered = BTreeSet::new();
    for file in sources(&["src", "core/src", "tests"]) {
        let text = read(&file);
        let mut last = None;
        for line in text.lines().map(str::trim_start) {
            let leading_number =
                |rest: &str| rest.split(|letter: char| !letter.is_ascii_digit()).next()?.parse::<u8>().ok();
            if let Some(rest) = line.strip_prefix("/// Dossier 7, no. ") {
                last = leading_number(rest);
            } else if let Some(rest) = line.strip_prefix("fn ambiguity_") {
                answered.extend(leading_number(rest));
            } else if line.starts_with("fn ") || line.starts_with("async fn ") {
                // What is said of something else than a function is no test.
                answered.extend(last.take());
            } else if !line.starts_with("//") && !line.starts_with("#[") {
                last = None;
            }
        }
    }
    let wanted: BTreeSet<u8> = OPEN_QUESTIONS.filter(|number| !ASKED_OF_OTHERS.contains(number)).collect();
    let missing: Vec<_> = wanted.difference(&answered).collect();
    assert!(missing.is_empty(), "no test of the safe reading of {missing:?}");
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Every Rust file below these folders.
fn sources(folders: &[&str]) -> Vec<PathBuf> {
    let mut left: Vec<PathBuf> = folders.iter().map(|folder| root().join(folder)).collect();
    let mut files = Vec::new();
    while let Some(folder) = left.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() && !path.ends_with("node_modules") {
                left.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    assert!(!files.is_empty());
    files
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A file without its comments and its tests; nothing if it is a file of tests.
fn code(path: &Path) -> String {
    const TESTS: [&str; 5] = ["tests", "tests.rs", "forge.rs", "formats.rs", "model.rs"];
    let tests = |part: &std::ffi::OsStr| TESTS.iter().any(|name| part == *name);
    if path.strip_prefix(root()).unwrap().iter().any(tests) {
        return String::new();
    }
    let text = read(path);
    let mut kept = String::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if line.starts_with("#[cfg(test)]") {
            // A module of tests is the last thing in a file; a single item ends with its line.
            match lines.find(|line| !line.starts_with("#[") && !line.starts_with("///")) {
                Some(item) if item.ends_with(';') => continue,
                _ => break,
            }
        }
        if !line.trim_start().starts_with("//") {
            kept.push_str(line);
            kept.push('\n');
        }
    }
    kept
}

/// The module of the crate that a file belongs to.
fn module_of(file: &Path, crate_root: &str) -> String {
    let relative = file.strip_prefix(root().join(crate_root)).unwrap();
    let first = relative.iter().next().unwrap().to_string_lossy();
    first.trim_end_matches(".rs").to_owned()
}

/// The modules named behind `crate::`.
fn paths_of_the_crate(code: &str) -> BTreeSet<String> {
    let name = |rest: &str| -> String {
        rest.chars().take_while(|letter| letter.is_ascii_lowercase() || *letter == '_').collect()
    };
    code.split("crate::").skip(1).map(name).filter(|name| !name.is_empty()).collect()
}

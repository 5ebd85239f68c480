//! Plants one fault, for the tests of the tests: `PORTVAKT_PLANTED_FAULT=level cargo test` must turn red.
//!
//! **Invariant:** no optimised program can be built with a fault.

/// The faults that can be planted, and what each takes away.
const FAULTS: [(&str, &str); 5] = [
    ("revocation", "ended sessions are accepted"),
    ("unwritten", "an end is answered before it is written"),
    ("level", "the level of assurance is not judged"),
    ("nonce", "an ID token may be another login's"),
    ("associated_data", "a sealed value opens anywhere"),
];

fn main() {
    println!("cargo::rerun-if-env-changed=PORTVAKT_PLANTED_FAULT");
    let values: Vec<String> = FAULTS.iter().map(|(name, _)| format!("\"{name}\"")).collect();
    println!("cargo::rustc-check-cfg=cfg(planted_fault, values({}))", values.join(", "));
    let Ok(fault) = std::env::var("PORTVAKT_PLANTED_FAULT") else { return };
    assert!(FAULTS.iter().any(|(name, _)| *name == fault), "PORTVAKT_PLANTED_FAULT names no fault");
    let profile = std::env::var("PROFILE").unwrap_or_default();
    assert!(profile == "debug", "a fault is planted in a debug build only");
    println!("cargo::rustc-cfg=planted_fault=\"{fault}\"");
}

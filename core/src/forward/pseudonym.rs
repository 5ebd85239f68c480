//! Keyed hashes of a person, for one audience: two apps cannot compare them, and nobody without the key can
//! make them or try numbers against them.
//!
//! The *pseudonym* stands for the person as [`VerifiedIdentity::person_key`] knows it. The *match key* stands for
//! what stays when a foreign eID is renewed: the country of the eID, the names and the birth date (dossier 1.2.4).
//! Two people can share it; it is a hint and no identifier.
//!
//! **Invariant:** the rule by which names are folded is part of the contract. Whoever changes it changes every
//! match key.

use icu_normalizer::DecomposingNormalizerBorrowed;
use icu_normalizer::properties::CanonicalCombiningClassMapBorrowed;

use crate::identity::VerifiedIdentity;
use crate::key::{MacKey, Ring};
use crate::session::Session;

/// `X-Identity-Pseudonym`.
pub(super) fn pseudonym(session: &Session, audience: &str, keys: &Ring<MacKey>) -> String {
    let who = session.identity();
    let (kind, id) = who.person_key();
    // What a provider calls a person means nothing at another one.
    let issuer = if kind == "sub" { who.provider() } else { "" };
    hash(session, keys, "person-pseudonym", &[audience, kind, issuer, id])
}

/// `X-Identity-Match-Key`; `None` for who has no foreign eID, or where a part is missing.
pub(super) fn match_key(session: &Session, audience: &str, keys: &Ring<MacKey>) -> Option<String> {
    let parts = match_parts(session.identity())?;
    Some(hash(session, keys, "eidas-match-key", &[audience, &parts.0, &parts.1, &parts.2, &parts.3]))
}

/// Country, given name, family name, birth date.
fn match_parts(who: &VerifiedIdentity) -> Option<(String, String, String, String)> {
    let attributes = who.attributes();
    let name = |name: &Option<String>| Some(fold(name.as_deref()?)).filter(|folded| !folded.is_empty());
    Some((
        who.eidas()?.country().to_owned(),
        name(&attributes.given_name)?,
        name(&attributes.family_name)?,
        attributes.birthdate.clone()?,
    ))
}

/// NFKD, without combining marks, in lower case, letters and digits alone: `Åsa-Märtha` is `asamartha`.
fn fold(name: &str) -> String {
    let marks = CanonicalCombiningClassMapBorrowed::new();
    let decomposed = DecomposingNormalizerBorrowed::new_nfkd().normalize(name);
    decomposed
        .chars()
        .filter(|character| marks.get_u8(*character) == 0)
        .flat_map(char::to_lowercase)
        .filter(|character| character.is_alphanumeric())
        .collect()
}

/// With the key that was active when the session began, so that it stays the same as long as the session lives.
fn hash(session: &Session, keys: &Ring<MacKey>, label: &str, parts: &[&str]) -> String {
    let parts: Vec<&[u8]> = parts.iter().map(|part| part.as_bytes()).collect();
    let hash: [u8; 16] = keys.active(session.began()).key.tag(label, &parts);
    base64_simd::URL_SAFE_NO_PAD.encode_to_string(hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_folded_by_the_documented_rule() {
        for (name, folded) in [
            ("Åsa-Märtha", "asamartha"),
            ("A\u{30a}sa Ma\u{308}rtha", "asamartha"),
            ("O'Brien", "obrien"),
            ("Søren", "søren"),
            ("ŁUKASZ", "łukasz"),
            ("Γιώργος", "γιωργος"),
            ("ﬁ Ⅳ", "fiiv"),
            (" - ", ""),
        ] {
            assert_eq!(fold(name), folded, "{name}");
        }
    }
}

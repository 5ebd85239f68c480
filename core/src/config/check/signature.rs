//! The message signatures that apps get (`design.md` D7c).
//!
//! **Invariant:** what a signed route sends can be signed: its values are ASCII (RFC 9421, 2.1).

use super::Desk;
use crate::config::raw::{RawClientSignatures, RawRoute, RawSignature};
use crate::forward::signature::SignaturePlan;
use crate::forward::{Encoding, HeaderPlan};
use crate::token::SignatureAlgorithm;

/// Whether a client's own signatures reach the app.
pub(super) fn client_signatures(raw: &RawRoute, desk: &mut Desk<'_>) -> bool {
    let passed = raw.client_signatures.as_ref().filter(|given| given.value == RawClientSignatures::Pass);
    if let Some(passed) = passed.filter(|_| raw.signature.is_some()) {
        desk.error(
            &passed.span,
            "the gateway signs here: an app that checks one signature could take another for it",
            "remove this, or `signature`; with `assertion: true` the app can check both the person and its client",
        );
    }
    passed.is_some()
}

/// How the requests of a route are signed, if it asks for that.
pub(super) fn plan(raw: &RawRoute, headers: &HeaderPlan, desk: &mut Desk<'_>) -> Option<SignaturePlan> {
    let content_digest = raw.content_digest.as_ref().filter(|wanted| wanted.value);
    let Some(wanted) = &raw.signature else {
        if let Some(digest) = content_digest {
            let fix = "write `signature: ed25519`, or another algorithm, or remove this";
            desk.error(&digest.span, "a digest that no signature covers proves nothing", fix);
        }
        return None;
    };
    let raw_bytes = |encoding| matches!(encoding, Encoding::InsecureUtf8 | Encoding::InsecureLatin1);
    if let Some(header) = headers.headers().iter().find(|header| raw_bytes(header.encoding)) {
        desk.error(
            &wanted.span,
            format!("`{}` is sent as raw bytes beyond ASCII, which cannot be signed", header.fact.key()),
            "write `percent` or `rfc8187` in `headers`, or remove `signature`",
        );
    }
    Some(SignaturePlan {
        algorithm: match wanted.value {
            RawSignature::Ed25519 => SignatureAlgorithm::Ed25519,
            RawSignature::EcdsaP256Sha256 => SignatureAlgorithm::EcdsaP256Sha256,
            RawSignature::HmacSha256 => SignatureAlgorithm::HmacSha256,
        },
        audience: headers.audience().to_owned(),
        app: raw.upstream.as_ref()?.value.clone(),
        content_digest: content_digest.is_some(),
    })
}

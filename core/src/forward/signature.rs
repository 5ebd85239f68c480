//! HTTP message signatures from the gateway to the app (RFC 9421; `design.md` D7c).
//!
//! **Invariant:** a signature covers method, authority, path, query, the audience and every identity header
//! of the request, in the form in which they are sent. What it does not list was not written by us: an app
//! that verifies refuses identity headers beside it. A request in which nobody is logged in is signed as
//! such, without identity headers.
//!
//! **Invariant:** a signature lives [`LIFE`] and is made for one request; without an accepted key there is
//! none, and the request fails (`threats.md` ID-7).

mod client;

use std::fmt::Write as _;
use std::time::Duration;

use base64_simd::{STANDARD, URL_SAFE_NO_PAD};

use crate::clock::Timestamp;
use crate::key::{KeyId, Keys, MacKey};
use crate::token::{SignatureAlgorithm, SigningKey};

pub use self::client::of_client;

/// `expires` − `created`.
pub const LIFE: Duration = Duration::from_secs(30);

/// Our signature's label in both fields, and its `tag` (RFC 9421, 4.1 and 2.3).
pub const LABEL: &str = "portvakt";

/// The header that says for whom the request was signed, so that another app cannot use it.
pub const AUDIENCE_HEADER: &str = "X-Portvakt-Audience";

/// The header with the body's digest (RFC 9530, 2), on routes that ask for it.
pub const DIGEST_HEADER: &str = "Content-Digest";

/// The longest body that is covered, in bytes: what the proxy can hold and send.
pub const MAX_DIGESTED: usize = 64 * 1024;

/// How the requests of a route are signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignaturePlan {
    /// With what.
    pub algorithm: SignatureAlgorithm,
    /// For whom.
    pub audience: String,
    /// The app whose secret signs: the upstream's name in the file.
    pub app: String,
    /// Whether the body is covered, by its digest (RFC 9530).
    pub content_digest: bool,
}

/// What a signature covers.
#[derive(Clone, Copy, Debug)]
pub struct Covered<'a> {
    /// The method.
    pub method: &'a str,
    /// `Host` as it is sent, without the scheme's default port, in lower case (RFC 9421, 2.2.3).
    pub authority: &'a str,
    /// The path as it is sent.
    pub path: &'a str,
    /// The query as it is sent, without its question mark.
    pub query: Option<&'a str>,
    /// Header fields, each one line: names and values.
    pub fields: &'a [(&'a str, &'a str)],
}

/// The two fields of a signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    /// The value of `Signature-Input`.
    pub input: String,
    /// The value of `Signature`.
    pub signature: String,
}

/// A request cannot be signed, and must not be sent (ID-7).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unsigned {
    /// No key that is still accepted.
    #[error("no signature key is accepted any more; run `portvakt keys rotate`")]
    NoKey,
    /// A value that cannot stand in a signature base.
    #[error("a value cannot be signed")]
    Value,
    /// The library refused.
    #[error("signing failed")]
    Failed,
}

/// Signs one request.
///
/// # Errors
///
/// [`Unsigned`]: the request must not be sent.
pub fn sign(
    plan: &SignaturePlan,
    covered: &Covered<'_>,
    keys: &Keys,
    now: Timestamp,
    nonce: [u8; 16],
) -> Result<Signature, Unsigned> {
    let (kid, signer) = signer(plan, keys, now).ok_or(Unsigned::NoKey)?;
    let parameters = parameters(plan, covered, kid, now, nonce);
    let base = base(covered, &parameters)?;
    let signature = signer.sign(base.as_bytes())?;
    Ok(Signature {
        input: format!("{LABEL}={parameters}"),
        signature: format!("{LABEL}=:{}:", STANDARD.encode_to_string(signature)),
    })
}

/// The value of `Content-Digest` for a body (RFC 9530, 2).
#[must_use]
pub fn content_digest(body: &[u8]) -> String {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, body);
    format!("sha-256=:{}:", STANDARD.encode_to_string(digest))
}

enum Signer<'k> {
    Pair(&'k SigningKey),
    Secret(&'k MacKey),
}

impl Signer<'_> {
    fn sign(&self, base: &[u8]) -> Result<Vec<u8>, Unsigned> {
        match self {
            Self::Pair(key) => key.sign(base).map_err(|_| Unsigned::Failed),
            Self::Secret(key) => Ok(key.mac(base).to_vec()),
        }
    }
}

fn signer<'k>(plan: &SignaturePlan, keys: &'k Keys, now: Timestamp) -> Option<(KeyId, Signer<'k>)> {
    match plan.algorithm {
        SignatureAlgorithm::HmacSha256 => {
            let key = keys.apps.get(&plan.app)?.active(now);
            (!key.is_retired(now)).then_some((key.id, Signer::Secret(&key.key)))
        }
        SignatureAlgorithm::Ed25519 | SignatureAlgorithm::EcdsaP256Sha256 => {
            let key = keys.signature.get(&plan.algorithm)?.active(now);
            (!key.is_retired(now)).then_some((key.id, Signer::Pair(&key.key)))
        }
    }
}

/// The covered components and the signature's parameters (RFC 9421, 2.3): what `Signature-Input` says.
fn parameters(
    plan: &SignaturePlan,
    covered: &Covered<'_>,
    kid: KeyId,
    now: Timestamp,
    nonce: [u8; 16],
) -> String {
    let mut text = String::with_capacity(320 + covered.fields.len() * 28);
    text.push_str(r#"("@method" "@authority" "@path" "@query""#);
    for (name, _) in covered.fields {
        text.push_str(" \"");
        push_lower(&mut text, name);
        text.push('"');
    }
    let (created, expires) = (now.seconds(), (now + LIFE).seconds());
    let nonce = URL_SAFE_NO_PAD.encode_to_string(nonce);
    let algorithm = plan.algorithm.as_str();
    write!(
        text,
        r#");created={created};expires={expires};nonce="{nonce}";alg="{algorithm}";keyid="{kid}";tag="{LABEL}""#
    )
    .expect("a string takes everything");
    text
}

/// The signature base (RFC 9421, 2.5).
pub(super) fn base(covered: &Covered<'_>, parameters: &str) -> Result<String, Unsigned> {
    let values: usize = covered.fields.iter().map(|(name, value)| name.len() + value.len() + 6).sum();
    let mut base = String::with_capacity(values + parameters.len() + covered.path.len() + 256);
    let mut line = |name: &str, value: &[&str]| {
        base.push('"');
        push_lower(&mut base, name);
        base.push_str("\": ");
        for part in value {
            // A line break in a value would be another component.
            if !part.bytes().all(|byte| (b' '..=b'~').contains(&byte)) {
                return Err(Unsigned::Value);
            }
            base.push_str(part);
        }
        base.push('\n');
        Ok(())
    };
    line("@method", &[covered.method])?;
    line("@authority", &[covered.authority])?;
    line("@path", &[covered.path])?;
    line("@query", &["?", covered.query.unwrap_or_default()])?;
    for (name, value) in covered.fields {
        line(name, &[value])?;
    }
    base.push_str("\"@signature-params\": ");
    base.push_str(parameters);
    Ok(base)
}

fn push_lower(text: &mut String, name: &str) {
    text.extend(name.chars().map(|character| character.to_ascii_lowercase()));
}

#[cfg(test)]
mod tests;

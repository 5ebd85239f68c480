//! Whom an upstream's TLS identity is verified by, and as whom the gateway connects.
//!
//! **Invariant:** Pingora's pool tells connections apart by address and server name, not by CA, and client
//! certificates by their serial number alone. The group of [`Credentials`] is made of all of it, contents
//! included: a connection that one trust vouched for is never used under another (`threats.md` ID-9).

use std::path::{Path, PathBuf};
use std::sync::Arc;

use aws_lc_rs::digest::{Context, SHA256};
use pingora::tls::{ClientConfig, PrivateKeyDer, RootCertStore, load_certs_and_key_files};
use pingora::utils::tls::{CertKey, WrappedX509, parse_x509};
use portvakt_core::upstream::{ClientCertificate, Upstream};

/// Why an upstream cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum UpstreamError {
    /// Its CA file.
    #[error("the CA file {} of upstream `{upstream}` holds something else than certificates in PEM", path.display())]
    CaFile {
        /// The upstream's name.
        upstream: String,
        /// The file.
        path: PathBuf,
    },
    /// Its client certificate.
    #[error("the client certificate {} of upstream `{upstream}` and its key cannot be used together", path.display())]
    ClientCertificate {
        /// The upstream's name.
        upstream: String,
        /// The chain.
        path: PathBuf,
    },
}

impl UpstreamError {
    /// The file that cannot be used.
    #[must_use]
    pub fn path(&self) -> &Path {
        match self {
            Self::CaFile { path, .. } | Self::ClientCertificate { path, .. } => path,
        }
    }
}

/// What an upstream's TLS connections are made with.
pub(super) struct Credentials {
    /// What tells its connections from those of other trust.
    pub(super) group: u64,
    /// The CAs that alone are trusted; `None`: the system's.
    pub(super) ca: Option<Arc<[WrappedX509]>>,
    /// The gateway's certificate and key.
    pub(super) client: Option<Arc<CertKey>>,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials").field("group", &self.group).finish_non_exhaustive()
    }
}

impl Credentials {
    /// Reads the files that an upstream names.
    pub(super) fn load(settings: &Upstream) -> Result<Self, UpstreamError> {
        let mut group = Group::new();
        group.add(settings.name.as_bytes());
        // A reload may change it: no connection of the other kind is taken then.
        group.add(format!("{:?}", settings.protocol).as_bytes());
        let Some(trust) = &settings.tls else {
            return Ok(Self { group: group.finish(), ca: None, client: None });
        };
        group.add(trust.server_name.as_deref().unwrap_or_default().as_bytes());
        let ca = trust.ca_file.as_deref().map(|path| {
            read_ca(path)
                .ok_or_else(|| UpstreamError::CaFile { upstream: settings.name.clone(), path: path.into() })
        });
        let ca = ca.transpose()?;
        for certificate in ca.iter().flatten() {
            group.add(certificate);
        }
        group.add(b"client");
        let client = trust.client.as_ref().map(|client| {
            read_client(client).ok_or_else(|| UpstreamError::ClientCertificate {
                upstream: settings.name.clone(),
                path: client.certificate.clone(),
            })
        });
        let client = client.transpose()?;
        for part in client.iter().flat_map(|(chain, key)| chain.iter().chain([key])) {
            group.add(part);
        }
        let wrap = |der: Vec<u8>| WrappedX509::new(der, parse_x509);
        Ok(Self {
            group: group.finish(),
            ca: ca.map(|ca| ca.into_iter().map(wrap).collect()),
            client: client.map(|(chain, key)| Arc::new(CertKey::new(chain, key))),
        })
    }
}

/// A digest of parts, of which none can run over into the next.
struct Group(Context);

impl Group {
    fn new() -> Self {
        Self(Context::new(&SHA256))
    }

    fn add(&mut self, part: &[u8]) {
        self.0.update(&(part.len() as u64).to_be_bytes());
        self.0.update(part);
    }

    fn finish(self) -> u64 {
        self.0.finish().as_ref()[..8].iter().fold(0, |sum, byte| (sum << 8) | u64::from(*byte))
    }
}

/// The certificates of a CA file: all of them, or none if one of them is none.
fn read_ca(path: &Path) -> Option<Vec<Vec<u8>>> {
    let certificates = certificates_of(&std::fs::read_to_string(path).ok()?)?;
    let mut store = RootCertStore::empty();
    for certificate in &certificates {
        // Judged by rustls first: Pingora's own parser panics on what is no certificate.
        store.add(certificate.clone().into()).ok()?;
    }
    (!store.is_empty()).then_some(certificates)
}

/// The certificates in a text (RFC 7468, 5.1). `None` if there is none, or one that does not end, or anything
/// else than certificates: a file that would be trusted in part is not trusted at all.
fn certificates_of(text: &str) -> Option<Vec<Vec<u8>>> {
    const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
    const END: &str = "-----END CERTIFICATE-----";
    let mut certificates = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once(BEGIN) {
        let (body, behind) = after.split_once(END)?;
        let base64: String = body.split_ascii_whitespace().collect();
        certificates.push(base64_simd::STANDARD.decode_to_vec(base64).ok()?);
        if before.contains("-----") {
            return None;
        }
        rest = behind;
    }
    (!certificates.is_empty() && !rest.contains("-----")).then_some(certificates)
}

/// Chain and key, if they belong together.
fn read_client(client: &ClientCertificate) -> Option<(Vec<Vec<u8>>, Vec<u8>)> {
    let name = |path: &Path| path.to_string_lossy().into_owned();
    let (chain, key) = load_certs_and_key_files(&name(&client.certificate), &name(&client.key)).ok()??;
    let der = key.secret_der().to_vec();
    // Pingora reads the key's kind off its bytes, and panics where it cannot.
    PrivateKeyDer::try_from(der.as_slice()).ok()?;
    // Does nothing when `main` has chosen a provider already.
    pingora::tls::install_default_crypto_provider();
    let builder = ClientConfig::builder().with_root_certificates(RootCertStore::empty());
    builder.with_client_auth_cert(chain.clone(), key).ok()?;
    Some((chain.iter().map(|certificate| certificate.to_vec()).collect(), der))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bundle_is_trusted_as_a_whole_or_not_at_all() {
        let one = "-----BEGIN CERTIFICATE-----\nAQID\n-----END CERTIFICATE-----\n";
        assert_eq!(certificates_of(one), Some(vec![vec![1, 2, 3]]));
        assert_eq!(certificates_of(&format!("a comment\n{one}\r\n{one}")).map(|all| all.len()), Some(2));
        for odd in [
            "",
            "AQID",
            "-----BEGIN CERTIFICATE-----\nAQID\n",
            &format!("{one}-----BEGIN CERTIFICATE-----\n"),
            &format!("{one}-----BEGIN PRIVATE KEY-----\nAQID\n-----END PRIVATE KEY-----\n"),
            &format!("-----BEGIN X509 CRL-----\nAQID\n-----END X509 CRL-----\n{one}"),
            &one.replace("AQID", "A*ID"),
        ] {
            assert_eq!(certificates_of(odd), None, "{odd}");
        }
    }

    #[test]
    fn parts_of_a_group_do_not_run_over() {
        let of = |parts: &[&[u8]]| {
            let mut group = Group::new();
            parts.iter().for_each(|part| group.add(part));
            group.finish()
        };
        assert_eq!(of(&[b"a", b"bc"]), of(&[b"a", b"bc"]));
        assert_ne!(of(&[b"a", b"bc"]), of(&[b"ab", b"c"]));
        assert_ne!(of(&[b"a"]), of(&[b"a", b""]));
    }
}

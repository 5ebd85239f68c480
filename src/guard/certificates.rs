//! The server certificate of a TLS listener, replaceable without a restart.
//!
//! **Invariant:** chain and key are exchanged together, and only for a pair that fits; a bad file leaves the old pair in place.
//! Certificates come through a resolver, because the listener panics on files it cannot read. TLS 1.2 and 1.3 only.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use pingora::listeners::TlsAccept;
use pingora::listeners::tls::TlsSettings;
use pingora::protocols::ALPN;
use pingora::tls::sign::CertifiedKey;
use pingora::tls::{ClientHello, CryptoProvider, ResolvesServerCert};

/// Why a certificate could not be taken into use.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// A file cannot be read or is not PEM.
    #[error("the certificate `{}` or its key `{}` cannot be read", chain.display(), key.display())]
    Read {
        /// The chain file.
        chain: PathBuf,
        /// The key file.
        key: PathBuf,
        /// What the reader said.
        #[source]
        cause: Box<pingora::Error>,
    },
    /// The files hold no certificate or no key.
    #[error("no certificate in `{}` or no private key in `{}`", chain.display(), key.display())]
    Empty {
        /// The chain file.
        chain: PathBuf,
        /// The key file.
        key: PathBuf,
    },
    /// The key does not belong to the certificate, or is of a kind that TLS does not know.
    #[error("the certificate `{}` and the key `{}` do not fit", chain.display(), key.display())]
    Mismatch {
        /// The chain file.
        chain: PathBuf,
        /// The key file.
        key: PathBuf,
        /// What the TLS library said.
        #[source]
        cause: Box<pingora::tls::RusTlsError>,
    },
    /// The listener did not take the settings.
    #[error("TLS cannot be set up")]
    Settings(#[source] Box<pingora::Error>),
}

impl CertificateError {
    /// The chain file, where it lies in the files.
    #[must_use]
    pub fn chain_file(&self) -> Option<&Path> {
        match self {
            Self::Read { chain, .. } | Self::Empty { chain, .. } | Self::Mismatch { chain, .. } => {
                Some(chain)
            }
            Self::Settings(_) => None,
        }
    }
}

/// The pair in use.
#[derive(Debug)]
pub struct Certificates {
    current: ArcSwap<CertifiedKey>,
}

/// A pair that fits and is not in use yet.
#[derive(Debug)]
pub struct FreshCertificate(CertifiedKey);

impl Certificates {
    /// Reads the pair. The chain begins with the server's certificate.
    pub fn load(chain_pem: &Path, key_pem: &Path) -> Result<Arc<Self>, CertificateError> {
        let FreshCertificate(pair) = Self::read(chain_pem, key_pem)?;
        Ok(Arc::new(Self { current: ArcSwap::from_pointee(pair) }))
    }

    /// Reads a pair to be taken into use later, together with what belongs to it.
    pub fn read(chain_pem: &Path, key_pem: &Path) -> Result<FreshCertificate, CertificateError> {
        read_pair(chain_pem, key_pem).map(FreshCertificate)
    }

    /// From now on new handshakes get this pair.
    pub fn exchange(&self, fresh: FreshCertificate) {
        self.current.store(Arc::new(fresh.0));
    }
}

impl FreshCertificate {
    /// The server's own certificate, in DER; empty if there is none.
    #[must_use]
    pub fn leaf(&self) -> &[u8] {
        self.0.cert.first().map_or(&[], AsRef::as_ref)
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current.load_full())
    }
}

/// Settings for a TLS listener, and the handle that exchanges its certificate. Offers HTTP/1.1 alone unless `http2`.
pub fn tls_settings(
    chain_pem: &Path,
    key_pem: &Path,
    http2: bool,
) -> Result<(TlsSettings, Arc<Certificates>), CertificateError> {
    let certificates = Certificates::load(chain_pem, key_pem)?;
    let mut settings =
        TlsSettings::with_callbacks(Box::new(NoCallbacks)).map_err(CertificateError::Settings)?;
    settings.set_cert_resolver(certificates.clone());
    settings.set_alpn(if http2 { ALPN::H2H1 } else { ALPN::H1 });
    Ok((settings, certificates))
}

/// The only way to settings without file paths asks for callbacks; their defaults do nothing.
struct NoCallbacks;

impl TlsAccept for NoCallbacks {}

fn read_pair(chain: &Path, key: &Path) -> Result<CertifiedKey, CertificateError> {
    let name = |path: &Path| path.to_string_lossy().into_owned();
    let read = pingora::tls::load_certs_and_key_files(&name(chain), &name(key));
    let pair =
        read.map_err(|cause| CertificateError::Read { chain: chain.into(), key: key.into(), cause })?;
    let (certificates, private_key) =
        pair.ok_or_else(|| CertificateError::Empty { chain: chain.into(), key: key.into() })?;
    // Does nothing when `main` has chosen a provider already.
    pingora::tls::install_default_crypto_provider();
    let provider = CryptoProvider::get_default().expect("installed one line above");
    CertifiedKey::from_der(certificates, private_key, provider).map_err(|cause| CertificateError::Mismatch {
        chain: chain.into(),
        key: key.into(),
        cause: Box::new(cause),
    })
}

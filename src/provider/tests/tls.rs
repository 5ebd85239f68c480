//! Certificates are verified by default, by name and by root; `ca_file` names the only roots.

use std::path::PathBuf;
use std::sync::Arc;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64_simd::STANDARD;
use pingora::tls::{CertificateDer, PrivateKeyDer, ServerConfig, TlsAcceptor};
use portvakt_core::token::random;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinHandle;

use super::{NOW, fake};
use crate::provider::{Provider, ProviderError, Unreachable};

#[tokio::test]
async fn only_a_certificate_of_a_trusted_root_with_the_right_name_is_accepted() {
    let (server, other) = (TlsServer::start().await, TlsServer::start().await);
    let localhost = format!("https://localhost:{}", server.port);
    let address = format!("https://127.0.0.1:{}", server.port);
    let reached = async |issuer: &str, ca_file: Option<&CaFile>| {
        let mut settings = fake::settings(issuer);
        settings.insecure_http = false;
        settings.ca_file = ca_file.map(|file| file.0.clone());
        // The server answers with status 404: the handshake was accepted.
        Provider::new(settings, None)?.metadata(NOW).await.map(|_| ())
    };
    let trusted = reached(&localhost, Some(&server.ca_file)).await.unwrap_err();
    assert!(matches!(trusted, ProviderError::Status { status: 404, .. }), "{trusted}");
    for (issuer, ca_file) in [(&localhost, &other.ca_file), (&address, &server.ca_file)] {
        let refusal = reached(issuer, Some(ca_file)).await.unwrap_err();
        assert!(matches!(refusal, ProviderError::Unreachable { why: Unreachable::Tls, .. }), "{refusal}");
    }
    // Under the system's roots, if it has any.
    let refusal = reached(&localhost, None).await.unwrap_err();
    let refused = matches!(
        refusal,
        ProviderError::Unreachable { why: Unreachable::Tls, .. } | ProviderError::HttpClient(_)
    );
    assert!(refused, "{refusal}");
}

/// A server for `localhost` with a certificate that it signed itself.
struct TlsServer {
    port: u16,
    ca_file: CaFile,
    server: JoinHandle<()>,
}

struct CaFile(PathBuf);

impl Drop for CaFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

impl Drop for TlsServer {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl TlsServer {
    async fn start() -> Self {
        pingora::tls::install_default_crypto_provider();
        let key = Ed25519KeyPair::generate().unwrap();
        let certificate = certificate(&key);
        let path =
            std::env::temp_dir().join(format!("portvakt-test-{:032x}.pem", u128::from_ne_bytes(random())));
        let pem = STANDARD.encode_to_string(&certificate);
        std::fs::write(&path, format!("-----BEGIN CERTIFICATE-----\n{pem}\n-----END CERTIFICATE-----\n"))
            .unwrap();
        let private = PrivateKeyDer::try_from(key.to_pkcs8v1().unwrap().as_ref().to_vec()).unwrap();
        let config = ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(vec![CertificateDer::from(certificate)], private)
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let Ok(mut stream) = acceptor.accept(stream).await else { continue };
                let _ = stream.read(&mut [0; 4096]).await;
                let _ = stream.write_all(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n").await;
                let _ = stream.shutdown().await;
            }
        });
        Self { port, ca_file: CaFile(path), server }
    }
}

/// RFC 5280, 4.1: version 3, Ed25519, valid to 2049, `subjectAltName` `localhost`.
fn certificate(key: &Ed25519KeyPair) -> Vec<u8> {
    const ED25519: &[u8] = &[0x06, 3, 0x2b, 0x65, 0x70];
    let algorithm = der(0x30, &[ED25519]);
    // id-at-commonName; a random one, so that two servers are two roots.
    let name = random::<8>().map(|byte| b'a' + byte % 26);
    let attribute = der(0x30, &[&[0x06, 3, 0x55, 4, 3], &der(0x0c, &[&name])]);
    let name = der(0x30, &[&der(0x31, &[&attribute])]);
    let validity = der(0x30, &[&der(0x17, &[b"200101000000Z"]), &der(0x17, &[b"491231235959Z"])]);
    let public = der(0x03, &[&[0], key.public_key().as_ref()]);
    let names = der(0x30, &[&der(0x82, &[b"localhost"])]);
    let extension = der(0x30, &[&[0x06, 3, 0x55, 0x1d, 0x11], &der(0x04, &[&names])]);
    let extensions = der(0xa3, &[&der(0x30, &[&extension])]);
    let to_be_signed = der(
        0x30,
        &[
            &der(0xa0, &[&[2, 1, 2]]),
            &[2, 1, 1],
            &algorithm,
            &name,
            &validity,
            &name,
            &der(0x30, &[&algorithm, &public]),
            &extensions,
        ],
    );
    let signature = der(0x03, &[&[0], key.sign(&to_be_signed).as_ref()]);
    der(0x30, &[&to_be_signed, &algorithm, &signature])
}

/// One DER value of at most 65535 bytes.
fn der(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    let mut value = vec![tag];
    match u8::try_from(content.len()) {
        Ok(length) if length < 0x80 => value.push(length),
        Ok(length) => value.extend([0x81, length]),
        Err(_) => {
            value.push(0x82);
            value.extend(u16::try_from(content.len()).unwrap().to_be_bytes());
        }
    }
    value.extend(content);
    value
}

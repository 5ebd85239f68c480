//! A TLS end before an app: it shows a certificate of `tests/data/tls`, may ask for one, and writes down whose
//! came.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use pingora::tls::{
    RootCertStore, ServerConfig, TlsAcceptor, WebPkiClientVerifier, load_ca_file_into_store,
    load_certs_and_key_files,
};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;

/// A TLS end. It ends with the value.
pub(crate) struct TlsEnd {
    address: SocketAddr,
    /// The client's certificate of each connection, if one came.
    clients: Arc<Mutex<Vec<Option<Vec<u8>>>>>,
    _runtime: Runtime,
}

impl TlsEnd {
    /// Passes what comes on to `app`. With a CA, a client certificate of it is demanded.
    pub(crate) fn before(app: SocketAddr, client_ca: Option<&str>) -> Self {
        Self::with(app, config(client_ca))
    }

    /// The same before an app that speaks HTTP/2 alone (RFC 7301).
    pub(crate) fn before_http2(app: SocketAddr) -> Self {
        let mut config = config(None);
        config.alpn_protocols = vec![b"h2".to_vec()];
        Self::with(app, config)
    }

    fn with(app: SocketAddr, config: ServerConfig) -> Self {
        let config = Arc::new(config);
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let clients = Arc::<Mutex<Vec<Option<Vec<u8>>>>>::default();
        let seen = Arc::clone(&clients);
        runtime.spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(serve(stream, app, Arc::clone(&config), Arc::clone(&seen)));
            }
        });
        Self { address, clients, _runtime: runtime }
    }

    /// Its port.
    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    /// The client's certificate of each connection whose handshake succeeded.
    pub(crate) fn clients(&self) -> Vec<Option<Vec<u8>>> {
        self.clients.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// A file of the test data.
pub(crate) fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/tls").join(name)
}

/// A key of the test data, in a place that others cannot read.
pub(crate) fn private(folder: &Path, name: &str) -> PathBuf {
    use std::os::unix::fs::PermissionsExt as _;
    let path = folder.join(name);
    std::fs::copy(data(name), &path).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    path
}

/// The certificate in a file, as it travels.
pub(crate) fn certificate(name: &str) -> Vec<u8> {
    pingora::tls::load_pem_file_ca(&data(name).to_string_lossy().into_owned()).unwrap()
}

fn config(client_ca: Option<&str>) -> ServerConfig {
    pingora::tls::install_default_crypto_provider();
    let name = |name: &str| data(name).to_string_lossy().into_owned();
    let (chain, key) = load_certs_and_key_files(&name("app.pem"), &name("app.key")).unwrap().unwrap();
    let builder = ServerConfig::builder();
    let builder = match client_ca {
        None => builder.with_no_client_auth(),
        Some(ca) => {
            let mut roots = RootCertStore::empty();
            load_ca_file_into_store(data(ca), &mut roots).unwrap();
            builder.with_client_cert_verifier(WebPkiClientVerifier::builder(Arc::new(roots)).build().unwrap())
        }
    };
    builder.with_single_cert(chain, key).unwrap()
}

async fn serve(
    stream: TcpStream,
    app: SocketAddr,
    config: Arc<ServerConfig>,
    clients: Arc<Mutex<Vec<Option<Vec<u8>>>>>,
) {
    let Ok(mut stream) = TlsAcceptor::from(config).accept(stream).await else { return };
    let client = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
    let client = client.map(|certificate| certificate.to_vec());
    clients.lock().unwrap_or_else(PoisonError::into_inner).push(client);
    let mut app = TcpStream::connect(app).await.unwrap();
    let _ = tokio::io::copy_bidirectional(&mut stream, &mut app).await;
}

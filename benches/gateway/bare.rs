//! The smallest possible Pingora proxy: one upstream, no filter, no log. Its server is set up as the gateway's.

use std::net::SocketAddr;

use async_trait::async_trait;
use pingora::apps::HttpServerOptions;
use pingora::listeners::tls::TlsSettings;
use pingora::prelude::HttpPeer;
use pingora::proxy::{ProxyHttp, Session, http_proxy_service};
use pingora::server::configuration::ServerConf;
use pingora::server::{RunArgs, Server};

use crate::world::{CERTIFICATE, CERTIFICATE_KEY};
use crate::{Result, process};

/// The argument that makes a process the bare proxy; where to listen for HTTP/1.1, for HTTP/2 and for TLS,
/// and the upstream follow.
pub(crate) const ROLE: &str = "role-bare";

/// Worker threads of both proxies.
pub(crate) const THREADS: usize = 2;

/// As the gateway's (`command/run.rs`).
const MAX_RETRIES: usize = 2;
const UPSTREAM_POOL: usize = 512;

struct Bare(SocketAddr);

#[async_trait]
impl ProxyHttp for Bare {
    type CTX = ();

    fn new_ctx(&self) {}

    async fn upstream_peer(&self, _session: &mut Session, (): &mut ()) -> pingora::Result<Box<HttpPeer>> {
        Ok(Box::new(HttpPeer::new(self.0, false, String::new())))
    }
}

pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let [http1, http2, tls, upstream] = arguments else {
        return Err("the bare proxy needs four addresses".into());
    };
    let upstream = upstream.parse()?;
    process::end_with_owner();
    let conf = ServerConf {
        threads: THREADS,
        max_retries: MAX_RETRIES,
        upstream_keepalive_pool_size: UPSTREAM_POOL,
        ..ServerConf::default()
    };
    let mut server = Server::new_with_opt_and_conf(None, conf);
    server.bootstrap();
    let service = || http_proxy_service(&server.configuration, Bare(upstream));
    let (mut plain, mut frames) = (service(), service());
    plain.add_tcp(http1);
    let mut settings = TlsSettings::intermediate(CERTIFICATE, CERTIFICATE_KEY)?;
    settings.enable_h2();
    plain.add_tls_with_settings(tls, None, settings);
    let mut options = HttpServerOptions::default();
    options.h2c = true;
    frames.app_logic_mut().ok_or("no proxy")?.server_options = Some(options);
    frames.add_tcp(http2);
    server.add_service(plain);
    server.add_service(frames);
    server.run(RunArgs::default());
    Ok(())
}

//! The smallest possible Pingora proxy: one upstream, no TLS, no filter, no log. Its server is set up as the gateway's.

use std::net::SocketAddr;

use async_trait::async_trait;
use pingora::prelude::HttpPeer;
use pingora::proxy::{ProxyHttp, Session, http_proxy_service};
use pingora::server::configuration::ServerConf;
use pingora::server::{RunArgs, Server};

use crate::Result;
use crate::process;

/// The argument that makes a process the bare proxy; where to listen and the upstream follow.
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
    let [listen, upstream] = arguments else { return Err("the bare proxy needs two addresses".into()) };
    process::end_with_owner();
    let conf = ServerConf {
        threads: THREADS,
        max_retries: MAX_RETRIES,
        upstream_keepalive_pool_size: UPSTREAM_POOL,
        ..ServerConf::default()
    };
    let mut server = Server::new_with_opt_and_conf(None, conf);
    server.bootstrap();
    let mut service = http_proxy_service(&server.configuration, Bare(upstream.parse()?));
    service.add_tcp(listen);
    server.add_service(service);
    server.run(RunArgs::default());
    Ok(())
}

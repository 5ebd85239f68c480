//! Active health checks: a connection with the upstream's own trust, and if the file says so a GET.
//!
//! **Invariant:** a check carries no identity and nothing of any request, has a deadline, and never overlaps
//! with another of the same upstream. Its connections are its own.

use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, OnceLock};

use pingora::connectors::http::Connector;
use pingora::http::RequestHeader;
use pingora::prelude::Result;
use portvakt_core::upstream::HealthCheck;
use tokio::task::JoinSet;

use super::address::Address;
use super::pool::Pool;

/// Begins the checks of an upstream, if they are due and the last ones are over.
pub(super) fn begin_if_due(pool: &Arc<Pool>) {
    let Some(check) = &pool.settings().health else { return };
    if pool.checking.load(Relaxed) || !pool.is_check_due(check.interval) {
        return;
    }
    pool.checking.store(true, Relaxed);
    let (pool, check) = (Arc::clone(pool), check.clone());
    tokio::spawn(async move {
        check_all(&pool, &check).await;
        pool.checking.store(false, Relaxed);
    });
}

async fn check_all(pool: &Pool, check: &HealthCheck) {
    let mut checks = JoinSet::new();
    for (at, address) in pool.addresses().iter().cloned().enumerate() {
        let check = check.clone();
        checks.spawn(async move {
            let well = tokio::time::timeout(check.timeout, is_well(&address, &check)).await;
            let well = matches!(well, Ok(Ok(true)));
            (at, well, address.checked(well, &check))
        });
    }
    for (address, well, changed) in checks.join_all().await {
        let upstream = pool.name();
        match (changed, well) {
            (false, _) => {}
            (true, true) => tracing::info!(upstream, address, "an address of an upstream is well again"),
            (true, false) => tracing::warn!(upstream, address, "an address of an upstream is not well"),
        }
    }
}

async fn is_well(address: &Address, check: &HealthCheck) -> Result<bool> {
    // Its pool stays empty: no connection is given back.
    static CONNECTOR: OnceLock<Connector> = OnceLock::new();
    let connector = CONNECTOR.get_or_init(|| Connector::new(None));
    let (mut connection, _) = connector.get_http_session(&address.peer).await?;
    let Some(path) = &check.path else { return Ok(true) };
    let mut request = RequestHeader::build("GET", path.as_bytes(), Some(3))?;
    request.insert_header("Host", &address.authority)?;
    request.insert_header("User-Agent", "portvakt-health-check")?;
    request.insert_header("Connection", "close")?;
    connection.write_request_header(Box::new(request)).await?;
    connection.finish_request_body().await?;
    connection.read_response_header().await?;
    let status = connection.response_header().map(|response| response.status.as_u16());
    Ok(status.is_some_and(|status| check.statuses.contains(&status)))
}

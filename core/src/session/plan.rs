//! Which session a place of a host asks for, and under which cookies the browser holds it (`design.md` D2, D13).
//!
//! A browser may hold several side by side, one for each plan. The session of a host that names none lives in
//! `__Host-portvakt`, a named one adds its name, and one with a cookie domain is a `__Secure-` cookie.
//!
//! **Invariant:** a session is good for one plan alone: its name, its provider and that provider's issuer are
//! in the cookie ([`Realm`]), and the host or the domain is in its seal.

use std::sync::Arc;

use aws_lc_rs::digest;
use serde::{Deserialize, Serialize};

use crate::provider::ProviderSettings;

/// The cookie of the session of a host that names none.
pub const USUAL: &str = "__Host-portvakt";

/// What a session's name may not be, nor begin with before a `-`, since cookies of ours are called so.
pub const RESERVED: [&str; 7] = ["app", "choice", "language", "login", "logout", "organisations", "tokens"];

/// What a login was for: a hash of the session's name, its provider's name and the issuer. A provider that
/// becomes another issuer under the same name thereby ends the sessions of the former, which it could not end
/// itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Realm([u8; 8]);

impl Realm {
    fn of(session: &str, provider: &ProviderSettings) -> Self {
        let mut hash = digest::Context::new(&digest::SHA256);
        for part in [session, &provider.name, &provider.issuer] {
            hash.update(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
            hash.update(part.as_bytes());
        }
        let mut realm = [0; 8];
        realm.copy_from_slice(&hash.finish().as_ref()[..8]);
        Self(realm)
    }
}

/// A session that routes of a host ask for.
#[derive(Clone, Debug)]
pub struct SessionPlan {
    /// Its name in the file; the provider's name if the file gives none.
    pub name: String,
    /// Who logs in for it.
    pub provider: Arc<ProviderSettings>,
    domain: Option<String>,
    scope: String,
    cookie: String,
    realm: Realm,
}

impl SessionPlan {
    /// The session of a host that names a provider alone.
    #[must_use]
    pub fn usual(provider: Arc<ProviderSettings>, host: &str) -> Self {
        Self {
            name: provider.name.clone(),
            realm: Realm::of(&provider.name, &provider),
            provider,
            domain: None,
            scope: host.to_owned(),
            cookie: USUAL.to_owned(),
        }
    }

    /// A named session on a host, or on every host at and below `domain`.
    #[must_use]
    pub fn named(name: &str, provider: Arc<ProviderSettings>, domain: Option<&str>, host: &str) -> Self {
        let prefix = if domain.is_some() { "__Secure-portvakt" } else { USUAL };
        Self {
            name: name.to_owned(),
            realm: Realm::of(name, &provider),
            provider,
            domain: domain.map(str::to_owned),
            scope: domain.unwrap_or(host).to_owned(),
            cookie: format!("{prefix}-{name}"),
        }
    }

    /// The name of its cookie.
    #[must_use]
    pub fn cookie(&self) -> &str {
        &self.cookie
    }

    /// The host that alone gets its cookies, or their domain: what they are sealed for.
    #[must_use]
    pub fn scope(&self) -> &str {
        &self.scope
    }

    /// `Domain` of its cookies; `None`: this host alone.
    #[must_use]
    pub fn domain(&self) -> Option<&str> {
        self.domain.as_deref()
    }

    /// Whether a browser has one cookie for both, which counts for both.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        (self.realm, &self.scope, &self.cookie) == (other.realm, &other.scope, &other.cookie)
    }

    /// What its logins and sessions are marked with.
    #[must_use]
    pub fn realm(&self) -> Realm {
        self.realm
    }

    /// Whether its cookie has the name that every session's had before sessions had names.
    #[must_use]
    pub fn is_usual(&self) -> bool {
        self.cookie == USUAL
    }

    /// What its cookies' names have behind the name that all sessions' cookies of a kind share.
    pub(super) fn suffix(&self) -> String {
        if self.is_usual() { String::new() } else { format!("-{}", self.name) }
    }
}

#[cfg(test)]
pub(crate) mod tests_support {
    use super::*;
    use crate::provider::tests_support::provider;

    /// The usual session of a host at an ID-porten.
    pub(crate) fn usual(host: &str) -> SessionPlan {
        SessionPlan::usual(Arc::new(provider("idporten")), host)
    }

    /// A named one.
    pub(crate) fn named(name: &str, domain: Option<&str>, host: &str) -> SessionPlan {
        SessionPlan::named(name, Arc::new(provider("idporten")), domain, host)
    }
}

#[cfg(test)]
mod tests {
    use super::tests_support::{named, usual};
    use super::*;
    use crate::provider::tests_support::provider;

    #[test]
    fn cookies_are_named_by_session_and_bound_to_host_or_domain() {
        let (usual, staff) = (usual("a.no"), named("staff", None, "a.no"));
        let shared = named("staff", Some("a.no"), "x.a.no");
        let told = |plan: &SessionPlan| (plan.cookie().to_owned(), plan.scope().to_owned());
        assert_eq!(told(&usual), ("__Host-portvakt".to_owned(), "a.no".to_owned()));
        assert_eq!(told(&staff), ("__Host-portvakt-staff".to_owned(), "a.no".to_owned()));
        assert_eq!(told(&shared), ("__Secure-portvakt-staff".to_owned(), "a.no".to_owned()));
        assert_eq!((usual.domain(), shared.domain()), (None, Some("a.no")));
    }

    #[test]
    fn another_name_provider_or_issuer_is_another_realm() {
        let base = provider("idporten");
        let of = |name: &str, change: &dyn Fn(&mut ProviderSettings)| {
            let mut provider = base.clone();
            change(&mut provider);
            Realm::of(name, &provider)
        };
        let mine = of("a", &|_| {});
        assert_eq!(mine, of("a", &|provider| provider.client_id.push('x')));
        for other in [
            of("b", &|_| {}),
            of("a", &|provider| provider.name.push('x')),
            of("a", &|provider| provider.issuer.push('/')),
            of("ai", &|provider| provider.name = "dporten".to_owned()),
        ] {
            assert_ne!(mine, other);
        }
    }
}

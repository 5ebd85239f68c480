//! What the app is told: the identity headers of the contract (`design.md` 3), and what is taken away first.
//!
//! **Invariant:** removal comes before anything is written and on every route, public ones too
//! (`threats.md` ID-2). A missing fact is a missing header (ID-6).

pub mod assertion;
pub mod plain;
pub mod signature;
pub mod strip;

use std::borrow::Cow;

use http::HeaderName;

/// A fact about the person or the session that an app may be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fact {
    /// `X-Identity-Kind`.
    Kind,
    /// `X-Identity-Fnr`: eleven digits, only when the provider asserted it.
    Fnr,
    /// `X-Identity-Eidas-Identifier`.
    EidasIdentifier,
    /// `X-Identity-Eidas-Country`.
    EidasCountry,
    /// `X-Identity-Loa`; absent when the login has no level.
    Loa,
    /// `X-Identity-Acr`.
    Acr,
    /// `X-Identity-Amr`, joined by commas.
    Amr,
    /// `X-Identity-Auth-Time`, Unix seconds.
    AuthTime,
    /// `X-Identity-Subject`.
    Subject,
    /// `X-Identity-Provider`: the provider's name in the file.
    Provider,
    /// `X-Identity-Session`: a handle of this session, keyed per audience.
    Session,
    /// `X-Identity-Given-Name`.
    GivenName,
    /// `X-Identity-Family-Name`.
    FamilyName,
    /// `X-Identity-Birthdate`.
    Birthdate,
    /// `X-Identity-Email`.
    Email,
}

impl Fact {
    /// Every fact, in the order in which they are written.
    pub const ALL: [Self; 15] = [
        Self::Kind,
        Self::Fnr,
        Self::EidasIdentifier,
        Self::EidasCountry,
        Self::Loa,
        Self::Acr,
        Self::Amr,
        Self::AuthTime,
        Self::Subject,
        Self::Provider,
        Self::Session,
        Self::GivenName,
        Self::FamilyName,
        Self::Birthdate,
        Self::Email,
    ];

    /// The fact's name in YAML (`headers:`).
    #[must_use]
    pub const fn key(self) -> &'static str {
        match self {
            Self::Kind => "kind",
            Self::Fnr => "fnr",
            Self::EidasIdentifier => "eidas_identifier",
            Self::EidasCountry => "eidas_country",
            Self::Loa => "loa",
            Self::Acr => "acr",
            Self::Amr => "amr",
            Self::AuthTime => "auth_time",
            Self::Subject => "subject",
            Self::Provider => "provider",
            Self::Session => "session",
            Self::GivenName => "given_name",
            Self::FamilyName => "family_name",
            Self::Birthdate => "birthdate",
            Self::Email => "email",
        }
    }

    /// The header of the contract.
    #[must_use]
    pub const fn header(self) -> &'static str {
        match self {
            Self::Kind => "X-Identity-Kind",
            Self::Fnr => "X-Identity-Fnr",
            Self::EidasIdentifier => "X-Identity-Eidas-Identifier",
            Self::EidasCountry => "X-Identity-Eidas-Country",
            Self::Loa => "X-Identity-Loa",
            Self::Acr => "X-Identity-Acr",
            Self::Amr => "X-Identity-Amr",
            Self::AuthTime => "X-Identity-Auth-Time",
            Self::Subject => "X-Identity-Subject",
            Self::Provider => "X-Identity-Provider",
            Self::Session => "X-Identity-Session",
            Self::GivenName => "X-Identity-Given-Name",
            Self::FamilyName => "X-Identity-Family-Name",
            Self::Birthdate => "X-Identity-Birthdate",
            Self::Email => "X-Identity-Email",
        }
    }
}

/// How text beyond printable ASCII travels in a header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Encoding {
    /// Percent-encoded UTF-8; `%` itself is `%25`.
    #[default]
    Percent,
    /// RFC 8187, 3.2: `UTF-8''…`.
    Rfc8187,
    /// Raw UTF-8, which many servers read as something else: `insecure_utf8`.
    InsecureUtf8,
    /// Raw ISO-8859-1, `?` for what it lacks: `insecure_latin1`.
    InsecureLatin1,
}

/// One header of a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedHeader {
    /// What it tells.
    pub fact: Fact,
    /// Its name, in the case in which it is sent.
    pub name: Cow<'static, str>,
    /// How its text travels.
    pub encoding: Encoding,
}

/// What the app of a route is told, and under which names, in a fixed order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeaderPlan {
    headers: Vec<PlannedHeader>,
    /// For whom the session's handle and the assertion are made.
    audience: String,
}

/// A change that a route makes to one header of the contract.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HeaderChange {
    /// The app is not told.
    Drop,
    /// The app is told under this name, in this encoding.
    Use {
        /// The name; `None` keeps the contract's.
        name: Option<HeaderName>,
        /// The encoding.
        encoding: Encoding,
    },
}

impl Default for HeaderPlan {
    fn default() -> Self {
        Self::new(String::new(), &[])
    }
}

impl HeaderPlan {
    /// The contract's headers with a route's changes, for an audience (the upstream's name by default).
    #[must_use]
    pub fn new(audience: String, changes: &[(Fact, HeaderChange)]) -> Self {
        let planned = |fact: Fact| match changes
            .iter()
            .rev()
            .find(|(changed, _)| *changed == fact)
            .map(|(_, change)| change)
        {
            Some(HeaderChange::Drop) => None,
            None => Some(PlannedHeader { fact, name: fact.header().into(), encoding: Encoding::default() }),
            Some(HeaderChange::Use { name, encoding }) => Some(PlannedHeader {
                fact,
                name: name.as_ref().map_or(fact.header().into(), |name| name.as_str().to_owned().into()),
                encoding: *encoding,
            }),
        };
        Self { headers: Fact::ALL.into_iter().filter_map(planned).collect(), audience }
    }

    /// The headers in their order.
    #[must_use]
    pub fn headers(&self) -> &[PlannedHeader] {
        &self.headers
    }

    /// For whom the session's handle and the assertion are made.
    #[must_use]
    pub fn audience(&self) -> &str {
        &self.audience
    }
}

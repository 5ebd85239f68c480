//! What the app is told: the identity headers of the contract (`design.md` 3), and what is taken away first.
//!
//! **Invariant:** removal comes before anything is written and on every route, public ones too
//! (`threats.md` ID-2). A missing fact is a missing header (ID-6).

pub mod assertion;
mod persistence;
pub mod plain;
pub mod preset;
pub mod proof;
mod pseudonym;
pub mod signature;
pub mod strip;

use std::borrow::Cow;
use std::sync::Arc;

use http::HeaderName;

use crate::identity::{Authorizer, Organisation, RepresentationId, VerifiedIdentity};

pub use self::persistence::Persistence;

use self::preset::{Preset, Style};

/// A fact about the person, the session or the machine that an app may be told.
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
    /// `X-Identity-Eidas-Persistent`: whether a new eID of that country keeps the identifier.
    EidasPersistent,
    /// `X-Identity-Match-Key`: a keyed hash of country, names and birth date; only where a route adds it.
    MatchKey,
    /// `X-Identity-Pseudonym`: a keyed hash of the person; only where a route adds it.
    Pseudonym,
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
    /// `X-Identity-Mobile`.
    Mobile,
    /// `X-Identity-Fhnummer`: a helper number.
    Fhnummer,
    /// `X-Identity-Org`: the organisations that the person represents, joined by commas.
    Org,
    /// `X-Identity-Org-Name`: their names, in the same order.
    OrgName,
    /// `X-Identity-Authorizer-Fnr`: who gave the person a power of attorney.
    AuthorizerFnr,
    /// `X-Identity-Authorizer-Name`.
    AuthorizerName,
    /// `X-Identity-On-Behalf-Of`: our customer for whom the person logged in.
    OnBehalfOf,
    /// `X-Identity-Consumer`: the organisation whose machine it is.
    Consumer,
    /// `X-Identity-Supplier`: the supplier that acts for it.
    Supplier,
    /// `X-Identity-Scope`: the scopes of the machine's token, apart by a space.
    Scope,
}

impl Fact {
    /// Every fact, in the order in which they are written.
    pub const ALL: [Self; 28] = [
        Self::Kind,
        Self::Fnr,
        Self::EidasIdentifier,
        Self::EidasCountry,
        Self::EidasPersistent,
        Self::MatchKey,
        Self::Pseudonym,
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
        Self::Mobile,
        Self::Fhnummer,
        Self::Org,
        Self::OrgName,
        Self::AuthorizerFnr,
        Self::AuthorizerName,
        Self::OnBehalfOf,
        Self::Consumer,
        Self::Supplier,
        Self::Scope,
    ];

    /// The fact's name in YAML (`headers:`).
    #[must_use]
    pub const fn key(self) -> &'static str {
        match self {
            Self::Kind => "kind",
            Self::Fnr => "fnr",
            Self::EidasIdentifier => "eidas_identifier",
            Self::EidasCountry => "eidas_country",
            Self::EidasPersistent => "eidas_persistent",
            Self::MatchKey => "match_key",
            Self::Pseudonym => "pseudonym",
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
            Self::Mobile => "mobile",
            Self::Fhnummer => "fhnummer",
            Self::Org => "org",
            Self::OrgName => "org_name",
            Self::AuthorizerFnr => "authorizer_fnr",
            Self::AuthorizerName => "authorizer_name",
            Self::OnBehalfOf => "on_behalf_of",
            Self::Consumer => "consumer",
            Self::Supplier => "supplier",
            Self::Scope => "scope",
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
            Self::EidasPersistent => "X-Identity-Eidas-Persistent",
            Self::MatchKey => "X-Identity-Match-Key",
            Self::Pseudonym => "X-Identity-Pseudonym",
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
            Self::Mobile => "X-Identity-Mobile",
            Self::Fhnummer => "X-Identity-Fhnummer",
            Self::Org => "X-Identity-Org",
            Self::OrgName => "X-Identity-Org-Name",
            Self::AuthorizerFnr => "X-Identity-Authorizer-Fnr",
            Self::AuthorizerName => "X-Identity-Authorizer-Name",
            Self::OnBehalfOf => "X-Identity-On-Behalf-Of",
            Self::Consumer => "X-Identity-Consumer",
            Self::Supplier => "X-Identity-Supplier",
            Self::Scope => "X-Identity-Scope",
        }
    }

    /// Whether an app is told only where its route says so: it lasts, and is made with the keys of what lasts.
    #[must_use]
    pub const fn is_opt_in(self) -> bool {
        matches!(self, Self::MatchKey | Self::Pseudonym)
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
    /// How its value is written.
    pub style: Style,
}

/// What the app of a route is told, and under which names, in a fixed order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeaderPlan {
    headers: Vec<PlannedHeader>,
    /// What an assertion tells: under other names an app is told the same.
    asserted: Vec<Fact>,
    /// Whether the app gets the assertion as `Authorization: Bearer`, too.
    bearer: bool,
    /// For whom the session's handle and the assertion are made.
    audience: String,
    /// Which countries' identifiers last.
    persistence: Arc<Persistence>,
    /// What the route asks a login to bring: only that is told, and not what another route asked for.
    asked: Option<RepresentationId>,
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
        let facts = Self::facts(changes, |fact| !fact.is_opt_in());
        let contract = |fact: Fact| fact.header().into();
        Self::of(
            audience,
            facts.clone(),
            facts,
            changes,
            (contract, Encoding::default(), |_: &str| Style::CONTRACT),
        )
    }

    /// A preset's headers with a route's changes. What the preset does not name, the app is told only if the route
    /// says so.
    #[must_use]
    pub fn of_preset(
        audience: String,
        preset: &Preset,
        encoding: Encoding,
        changes: &[(Fact, HeaderChange)],
    ) -> Self {
        let told = Self::facts(changes, |fact| preset.name_of(fact).is_some());
        let asserted = Self::facts(changes, |fact| !fact.is_opt_in());
        let name = |fact: Fact| preset.name_of(fact).unwrap_or(fact.header()).into();
        let style = |name: &str| if preset.has(name) { preset.style } else { Style::CONTRACT };
        let plan = Self::of(audience, told, asserted, changes, (name, encoding, style));
        Self { bearer: preset.bearer, ..plan }
    }

    /// The facts that are told, in their order: what the route adds, and what is usual unless the route drops it.
    fn facts(changes: &[(Fact, HeaderChange)], is_usual: impl Fn(Fact) -> bool) -> Vec<Fact> {
        let is_told = |fact: &Fact| match change_of(*fact, changes) {
            Some(HeaderChange::Drop) => false,
            Some(HeaderChange::Use { .. }) => true,
            None => is_usual(*fact),
        };
        Fact::ALL.into_iter().filter(is_told).collect()
    }

    fn of(
        audience: String,
        told: Vec<Fact>,
        asserted: Vec<Fact>,
        changes: &[(Fact, HeaderChange)],
        (name_of, usual, style_of): (impl Fn(Fact) -> Cow<'static, str>, Encoding, impl Fn(&str) -> Style),
    ) -> Self {
        let planned = |fact: Fact| {
            let (given, encoding) = match change_of(fact, changes) {
                Some(HeaderChange::Use { name, encoding }) => (name.as_ref(), *encoding),
                Some(HeaderChange::Drop) | None => (None, usual),
            };
            let name = given.map_or_else(|| name_of(fact), |name| name.as_str().to_owned().into());
            let style = style_of(&name);
            PlannedHeader { fact, name, encoding, style }
        };
        let headers = told.into_iter().map(planned).collect();
        Self { headers, asserted, bearer: false, audience, persistence: Arc::default(), asked: None }
    }

    /// The same with a table of countries of the operator's.
    #[must_use]
    pub fn with_persistence(self, persistence: Arc<Persistence>) -> Self {
        Self { persistence, ..self }
    }

    /// The same for a route that asks for whom the person acts.
    #[must_use]
    pub fn asking(self, asked: Option<RepresentationId>) -> Self {
        Self { asked, ..self }
    }

    /// The headers in their order.
    #[must_use]
    pub fn headers(&self) -> &[PlannedHeader] {
        &self.headers
    }

    /// Whether it tells what apps keep of people.
    #[must_use]
    pub fn tells_what_lasts(&self) -> bool {
        self.headers.iter().any(|header| header.fact.is_opt_in())
    }

    /// What an assertion tells.
    #[must_use]
    pub fn asserted(&self) -> &[Fact] {
        &self.asserted
    }

    /// Whether the app gets the assertion as `Authorization: Bearer`, too, and nobody else's.
    #[must_use]
    pub fn is_bearer(&self) -> bool {
        self.bearer
    }

    /// For whom the session's handle and the assertion are made.
    #[must_use]
    pub fn audience(&self) -> &str {
        &self.audience
    }

    /// The organisations that the app is told of.
    fn organisations<'s>(&self, who: &'s VerifiedIdentity) -> &'s [Organisation] {
        if self.asked.is_some() && self.asked == who.asked() { who.organisations() } else { &[] }
    }

    /// Who gave the person the power of attorney that the route asked for.
    fn authorizer<'s>(&self, who: &'s VerifiedIdentity) -> Option<&'s Authorizer> {
        who.authorizer().filter(|_| self.asked.is_some() && self.asked == who.asked())
    }
}

/// What a route says of a fact; the last word counts.
fn change_of(fact: Fact, changes: &[(Fact, HeaderChange)]) -> Option<&HeaderChange> {
    changes.iter().rev().find(|(changed, _)| *changed == fact).map(|(_, change)| change)
}

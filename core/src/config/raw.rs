//! What the file says: its shape, and nothing of its meaning.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value as Json, json};

use super::problem::Span;
use super::raw_pages::RawPages;
use super::shape::{
    At, Desk, Named, Shape, Size, Written, choice, described, point, read_at, record, unknown_word,
};
use super::tree::{Node, Value};
use crate::language::{Language, Localised};

type List<T> = Vec<At<T>>;

record! {
    /// Portvakt's configuration.
    RawFile {
        /// the version of this format: 1
        required version: usize,
        /// whether people's data is behind it: `test` or `production`
        required environment: RawEnvironment,
        /// plain http on loopback, for demos and tests; refused in production
        optional insecure_http_loopback: bool,
        /// where the public is served
        required listeners: List<RawListener>,
        /// where operators are served: health, metrics, status; 127.0.0.1:8081 by default
        optional admin: RawAdmin,
        /// the folder of the key files, made by `portvakt keys new`
        required keys: PathBuf,
        /// the prefix of the gateway's own endpoints; `/oauth2` by default
        optional prefix: String,
        /// worker threads; one for each processor by default
        optional threads: usize,
        /// how long SIGTERM waits for requests under way; 30s by default
        optional drain: Duration,
        /// how long the gateway goes on as before after SIGTERM, but not ready, so that load balancers notice; 5s by default
        optional drain_delay: Duration,
        /// whether a change of this file, or of one that it names, is taken without SIGHUP; true by default
        optional reload_on_change: bool,
        /// how long sessions last
        optional session: RawSession,
        /// how the end of sessions is shared
        optional revocation: RawRevocation,
        /// the socket over which a successor takes over (`portvakt run --upgrade`); by default `handover/socket` beside the file of ended sessions
        optional handover_socket: Written,
        /// the signed assertions that routes with `assertion: true` add
        optional assertion: RawAssertion,
        /// what is known of the countries whose eIDs log in here
        optional eidas: RawEidas,
        /// limits of the front
        optional limits: RawLimits,
        /// where the logs go
        optional logs: RawLogs,
        /// how the gateway's own pages look, and what they say in your words
        optional pages: RawPages,
        /// identity providers by name
        optional providers: Named<RawProvider>,
        /// sessions that a browser may hold side by side, by name; by default each provider has one
        optional sessions: Named<RawNamedSession>,
        /// apps by name; needed but where other proxies carry all requests (`forward_auth`)
        optional upstreams: Named<RawUpstream>,
        /// public hosts and their routes
        required hosts: List<RawHost>,
        /// what must happen to which requests: a configuration for which something else would happen is not taken
        optional tests: List<RawTest>,
    }
}

record! {
    /// A request, and what must happen to it.
    RawTest {
        /// method and whole URL, such as `GET https://app.example.no/minside`
        required request: String,
        /// who is logged in: `nobody` (default), or kind and level as `national:substantial`, with `,country=SE` or `,org=NUMBER` behind it; or `machine` with `,scope=NAME`, `,consumer=NUMBER`, `,supplier=NUMBER` and `,source=URL`
        optional r#as: String,
        /// headers that the request has besides, by name, such as `Origin`
        optional with: Named<String>,
        /// what must happen: `forward`, `login`, `token`, `step_up`, `forbidden`, `refused`, `not_found` or `own`
        required expect: RawExpected,
        /// the app to which it must go
        optional upstream: String,
        /// headers that the app must be told
        optional headers: List<String>,
        /// headers that the app must not be told
        optional not_headers: List<String>,
    }
}

choice! {
    /// What becomes of a request.
    RawExpected {
        "forward" => Forward,
        "login" => Login,
        "token" => Token,
        "step_up" => StepUp,
        "forbidden" => Forbidden,
        "refused" => Refused,
        "not_found" => NotFound,
        "own" => Own,
    }
}

record! {
    /// Where the public is served, with `tls`, or with `load_balancers` before it, or plain on loopback; or, with `forward_auth`, where reverse proxies ask.
    RawListener {
        /// address and port, such as `0.0.0.0:8443`
        required address: SocketAddr,
        /// the certificate of this listener
        optional tls: RawTls,
        /// networks of the load balancers that alone may connect; they are believed for `X-Forwarded-For` and `-Proto`
        optional load_balancers: List<String>,
        /// which PROXY header each connection of the load balancers begins with: `v1`, `v2` or `any`; the client's address is read from it and from nothing else, and `tls` may stand beside it
        optional proxy_protocol: RawProxyProtocol,
        /// whether HTTP/2 without TLS is taken from those who know that it is (h2c); false by default, and with `tls` it is negotiated
        optional h2c: bool,
        /// open connections of one client, an IPv4 address or an IPv6 /64; 1000 by default, and no limit behind load balancers without `proxy_protocol`, or for proxies that ask
        optional connections_per_client: usize,
        /// that nobody is served here but reverse proxies, which ask about requests that they carry themselves (`<prefix>/forwardauth`); not asked by default
        optional forward_auth: RawForwardAuth,
    }
}

record! {
    /// Which reverse proxies ask, and how.
    RawForwardAuth {
        /// how they tell of the request: `nginx` (auth_request), `traefik` (forwardAuth), `caddy` (forward_auth) or `envoy` (ext_authz)
        required dialect: RawDialect,
        /// the addresses or networks of the proxies, which alone may ask; everybody else gets 404
        required peers: List<String>,
    }
}

choice! {
    /// How a reverse proxy tells of a request.
    RawDialect { "nginx" => Nginx, "traefik" => Traefik, "caddy" => Caddy, "envoy" => Envoy, }
}

record! {
    /// A certificate and its key.
    RawTls {
        /// the certificate chain, a PEM file
        required certificate: PathBuf,
        /// the private key, a PEM file that others cannot read
        required key: PathBuf,
    }
}

record! {
    /// The operators' listener.
    RawAdmin {
        /// address and port; loopback unless you know better
        required address: SocketAddr,
    }
}

record! {
    /// How long sessions last.
    RawSession {
        /// without activity; 30m by default, and at most under profile `idporten`
        optional idle: Duration,
        /// from the login on; 120m by default
        optional absolute: Duration,
    }
}

record! {
    /// How the end of sessions is shared.
    RawRevocation {
        /// the file that holds what ended early; `.portvakt/revocations.log` by default
        optional file: Written,
        /// the age of the view of ended sessions from which strict routes answer 503; 5s by default
        optional max_lag: Duration,
        /// how long nobody may have listened before sessions that began earlier log in again; 60s by default
        optional max_gap: Duration,
        /// the store through which several replicas tell each other what ended; none by default
        optional stream: RawStream,
    }
}

record! {
    /// A Redis or Valkey in which replicas write what ended.
    RawStream {
        /// where it is: `rediss://HOST:PORT`, or `redis://HOST:PORT` without TLS; several for Cluster (some of its nodes) and for Sentinel (the sentinels)
        required servers: List<String>,
        /// the master's name, if the servers are sentinels
        optional sentinel: String,
        /// the ACL user; `default` by default
        optional username: String,
        /// its password, as `file:PATH` or `env:NAME`
        optional password: SecretPlace,
        /// the ACL user at the sentinels; `default` by default
        optional sentinel_username: String,
        /// its password, as `file:PATH` or `env:NAME`; none by default
        optional sentinel_password: SecretPlace,
        /// a PEM file of the CAs to trust, instead of the system's
        optional ca_file: PathBuf,
        /// a PEM file with the certificate chain that is shown to servers which ask for one
        optional client_certificate: PathBuf,
        /// the key of `client_certificate`, a PEM file that others cannot read
        optional client_key: PathBuf,
        /// how the names of the three streams begin; `portvakt` by default
        optional name: String,
        /// whether the password may travel readable to a server that is not on this machine; never in production
        optional insecure_plaintext: bool,
    }
}

record! {
    /// The signed assertions that apps get.
    RawAssertion {
        /// who issues them (`iss`), a URL; by default the host's origin
        optional issuer: String,
        /// the most memory for assertions that are used again; 32MiB by default
        optional cache: Size,
    }
}

record! {
    /// What is known of countries.
    RawEidas {
        /// countries whose identifiers stay with the person; `[EE, FI, IS, LT, LV, SE]` by default
        optional persistent: List<String>,
        /// countries whose identifiers may change with a new eID; `[DK]` by default
        optional not_persistent: List<String>,
    }
}

record! {
    /// Limits of the front.
    RawLimits {
        /// time for the PROXY header and the TLS handshake of a connection; 10s by default
        optional handshake_deadline: Duration,
        /// time for the whole body of a request; 30m by default
        optional body_deadline: Duration,
        /// time from a request's header to the end of its reply; 2h by default
        optional request_deadline: Duration,
        /// time for the whole header of each request; 10s by default
        optional header_deadline: Duration,
        /// time that a connection may be idle between requests; 60s by default
        optional keep_alive: Duration,
        /// open connections of all listeners together; 10000 by default
        optional connections: usize,
        /// requests under way on all of them; what comes beyond gets 503, but for logouts; 20000 by default
        optional requests: usize,
        /// how many logins one client may start; 429 beyond that; `{requests: 6000, per: 1m}` by default
        optional logins: RawRate,
    }
}

record! {
    /// Where the logs go.
    RawLogs {
        /// the access log, without identity: `stdout` (default), `off` or `{file: path}`
        optional access: RawTarget,
        /// logins and logouts with `sid`: `{file: path}`, `stdout` or `off`
        optional audit: RawTarget,
        /// how the audit log names the person: `none` (default), `pseudonym` or `fnr`
        optional audit_person: RawAuditPerson,
        /// whether the audit log has a line for each request with a sound token of a machine: for whom it came, which supplier sent it and where that was agreed; false by default
        optional audit_machines: bool,
        /// how much of the client's address is logged: `full` (default), `truncated` or `none`
        optional client_address: RawClientAddress,
    }
}

record! {
    /// An identity provider.
    RawProvider {
        /// what kind of provider it is: `idporten`, `ansattporten`, `signicat`, `idporten-utland`, `maskinporten` or `oidc`
        required profile: RawProfile,
        /// the issuer, exactly as in its metadata; by default the profile's, by environment
        optional issuer: String,
        /// where its metadata is, if not at the place that the issuer implies
        optional metadata_url: String,
        /// the client id, as registered; not for profile `maskinporten`, where nobody logs in
        optional client_id: String,
        /// how the gateway authenticates: `private_key_jwt` (default), or `{client_secret_basic: "file:…"}`, or `{client_secret_post: "env:…"}`
        optional client_auth: RawClientAuth,
        /// whether the authorization request is pushed: `when_offered` (default), `required` or `never`
        optional par: RawPar,
        /// scopes asked for, with `openid`
        optional scopes: List<String>,
        /// signature algorithms accepted in its tokens
        optional algorithms: List<String>,
        /// what its further `acr` values are worth
        optional acr: Named<RawAcr>,
        /// numbers that only test persons have: `refuse` (default in production), `warn` or `accept` (default in tests)
        optional synthetic_numbers: RawSynthetic,
        /// the language asked for when the person has not chosen
        optional locale: String,
        /// what people know it by, on the page where they choose: a text, or `{nb, nn, en, se}`
        optional label: RawTexts,
        /// a PEM file of the CAs to trust for calls to the provider, instead of the system's
        optional ca_file: PathBuf,
        /// whether somebody may log in whose ID token has no `sid` although the provider can send one: such a session does not end with the provider's; never in production
        optional insecure_login_without_sid: bool,
        /// whether each of its answers has `iss` (RFC 9207), so that one without is refused; by default the profile's
        optional sends_iss: bool,
        /// whether the access token of each login is kept for the routes that say `access_token: true`: sealed, by the browser; false by default
        optional access_tokens: bool,
        /// for which API the access tokens are (`resource`, RFC 8707), a URI; by default for none in particular
        optional resource: String,
        /// where its answers come to: `shared` (default), `<prefix>/callback`, or `own`, `<prefix>/callback/<provider>`
        optional callback: RawCallback,
    }
}

record! {
    /// A session with a name, and cookies of its own.
    RawNamedSession {
        /// the provider that logs in for it
        required provider: String,
        /// a domain whose hosts share the session; each host has its own by default
        optional cookie_domain: String,
    }
}

record! {
    /// What an `acr` value is worth.
    RawAcr {
        /// `low`, `substantial`, `high` or `none`
        required level: RawLevel,
        /// whose scale it is on: `national`, `eidas`, `email`, `employee` or `helper`
        required framework: RawFramework,
        /// whether it may be asked for; false by default
        optional requestable: bool,
    }
}

record! {
    /// An app.
    RawUpstream {
        /// `http://host:port` or `https://host:port`; a name stands for all its addresses
        optional url: String,
        /// several such, instead of `url`
        optional urls: List<String>,
        /// a PEM file of the CAs to trust, instead of the system's
        optional ca_file: PathBuf,
        /// the gateway's own certificate for this app, a PEM file with its chain
        optional client_certificate: PathBuf,
        /// the key of `client_certificate`, a PEM file that others cannot read
        optional client_key: PathBuf,
        /// the name that the app's certificate is for, if not the host in `url`
        optional server_name: String,
        /// what is spoken with the app: `http1` (default), `h2` (HTTP/2 over https) or `h2c` (HTTP/2 over plain http); gRPC needs one of the latter
        optional protocol: RawProtocol,
        /// which address gets the next request: `round_robin` (default) or `least_loaded`
        optional balance: RawBalance,
        /// whether a session's requests stay at one address: `none` (default) or `session`
        optional affinity: RawAffinity,
        /// how addresses are checked; without it, only by the connections that fail
        optional health: RawHealth,
        /// the most requests under way at all addresses together; 2000 by default
        optional max_requests: usize,
        /// time to connect, handshake included; 3s by default
        optional connect_timeout: Duration,
        /// time to the first byte of a reply, and between two reads of it; 60s by default
        optional read_timeout: Duration,
        /// the cookies in which the app keeps a session of its own, such as `JSESSIONID` or `ASPSESSIONID*`: held inside the person's session here, and never given to another
        optional app_cookies: List<String>,
        /// what the gateway asks the app for, with the app's cookies, when the person's session ends
        optional app_logout: RawAppLogout,
        /// time for a whole request, from its being passed on to the end of the reply; 1h by default
        optional total_timeout: Duration,
    }
}

record! {
    /// How an app's own session is ended.
    RawAppLogout {
        /// the path, with a query if needed, such as `/logout`
        required path: String,
        /// `GET` (default), or `POST` without a body
        optional method: RawAppLogoutMethod,
    }
}

record! {
    /// How an app's addresses are checked.
    RawHealth {
        /// a path that is asked for with GET, without any identity; without it, connecting is enough
        optional path: String,
        /// the statuses that mean health; 200 by default
        optional status: List<usize>,
        /// time between two checks of an address; 10s by default
        optional interval: Duration,
        /// time for one check; 2s by default
        optional timeout: Duration,
        /// after so many failures in a row an address is out; 3 by default
        optional failures: usize,
        /// after so many successes in a row it is in again; 2 by default
        optional successes: usize,
    }
}

record! {
    /// A public host.
    RawHost {
        /// `https://host[:port]`, as browsers write it
        required origin: String,
        /// the provider that logs in for this host, where a route names no session
        optional provider: String,
        /// the session of this host, where a route names none; instead of `provider`
        optional session: String,
        /// `Strict-Transport-Security` on the apps' replies over https: a year by default, `off`, or `{max_age: 8760h, subdomains: true}`
        optional hsts: RawHsts,
        /// the registered customer of yours on whose behalf people log in here (ID-porten)
        optional onbehalfof: String,
        /// the origin of another host of this file to which the provider's answers for this one come, so that only its addresses are registered at the provider
        optional auth_host: String,
        /// how the gateway's own pages look on this host: what is said here counts before the file's `pages`
        optional pages: RawPages,
        /// the rules; the most specific one governs, whatever the order
        required routes: List<RawRoute>,
    }
}

record! {
    /// A rule.
    RawRoute {
        /// `/exact`, `/below/**` or `/any/*/segment`
        required path: String,
        /// who may pass: `public`, `optional`, `login` or `token`
        required access: RawAccess,
        /// the app that it goes to
        optional upstream: String,
        /// instead of `upstream`: that a reverse proxy carries its requests and asks here about each, at a listener with `forward_auth`; false by default
        optional forward_auth: bool,
        /// as whose session requests are judged: one of `sessions`, or a provider's; the host's by default
        optional session: String,
        /// the ways in between which people choose, instead of `session`: each one of `sessions`, or a provider's, or one kind of identity there, such as `idporten:eidas`
        optional choose: List<String>,
        /// what a login must be worth
        optional require: RawRequire,
        /// what a machine's token must be worth; with `access: login` the route takes people and machines
        optional token: RawToken,
        /// for whom the person is asked to act (RFC 9396): organisations at Ansattporten, a power of attorney at ID-porten
        optional authorization_details: List<RawDetails>,
        /// whether of several organisations the app is told of the one that the person chooses and may change without a new login; false by default, needs `allow_multiple_organizations`
        optional choose_organisation: bool,
        /// what is asked for in `acr_values` instead of the values that follow from `require`
        optional acr_values: List<String>,
        /// the methods that it governs; by default GET, HEAD, POST, PUT, PATCH, DELETE and OPTIONS
        optional methods: List<String>,
        /// which `Host` the app sees: `keep` (default), `upstream` or a name
        optional host: String,
        /// a prefix of the path that the app does not know: taken off, and put back in its redirects and cookies
        optional strip_prefix: String,
        /// another prefix for the app instead, likewise
        optional rewrite: RawRewrite,
        /// whether `%2F` in a path is passed on; false by default: refused
        optional encoded_slash: bool,
        /// the largest body of a request; no limit by default
        optional max_body: Size,
        /// time for a whole request, instead of the upstream's `total_timeout`
        optional timeout: Duration,
        /// time to the first byte of a reply and between two reads, instead of the upstream's
        optional read_timeout: Duration,
        /// which requests prolong the session: `navigation` (default) or `any`
        optional activity: RawActivity,
        /// while the view of ended sessions is stale: `strict` (default) answers 503, `available` goes on
        optional revocation: RawStaleness,
        /// replies to logged-in requests: `private` (default) keeps them from caches, `app` leaves them as the app says
        optional cache: RawCache,
        /// whether it may open WebSockets; false by default
        optional websocket: bool,
        /// how long a WebSocket may be silent in both directions; 10m by default
        optional websocket_idle: Duration,
        /// the origins whose pages may open a WebSocket, besides the host's own
        optional websocket_origins: List<String>,
        /// for whom the session's handle and the assertion are made; the upstream's name by default
        optional audience: String,
        /// how often one client may ask, such as `{requests: 100, per: 1s, burst: 200}`; 429 beyond that
        optional rate: RawRate,
        /// whether the route is closed for now: everybody gets a page that says so, with 503; `{message, until}` says more
        optional maintenance: RawMaintenance,
        /// requests from pages of other origins: `allow`, `refuse_unsafe` (all but reading; default where people log in) or `refuse` (all but links)
        optional cross_site: RawCrossSite,
        /// scripts of other origins: `pass` leaves preflights to the app, `{origins: [...], ...}` answers them here
        optional cors: RawCors,
        /// what browsers are told where the app says nothing: `off` (default), `basic` or `strict`
        optional security_headers: RawSecurityHeaders,
        /// whether the app also gets a signed assertion, in `X-Identity-Assertion`; false by default
        optional assertion: bool,
        /// whether each request gets an assertion of its own, so that an app can refuse a `jti` that comes twice; a signature for each request; false by default
        optional assertion_once: bool,
        /// what becomes of a client's own `Signature` and `Signature-Input` (RFC 9421): `remove` (default), or `pass` under their own labels; not where the gateway signs
        optional client_signatures: RawClientSignatures,
        /// whether the app gets the person's access token at the provider, in `Authorization: Bearer`; the provider needs `access_tokens: true`; false by default
        optional access_token: bool,
        /// how each request is signed for the app (RFC 9421): `ed25519`, `ecdsa-p256-sha256` or `hmac-sha256`; not signed by default
        optional signature: RawSignature,
        /// whether the signature covers the body, by `Content-Digest`; bodies above 64 KiB are refused then; false by default
        optional content_digest: bool,
        /// whether the app refuses what the gateway did not sign (`assertion` or `signature`): `portvakt doctor` looks whether it does; false by default
        optional verified: bool,
        /// identity headers that are renamed, dropped, added or encoded otherwise, by fact; `preset` names them as an older product did
        optional headers: RawHeaders,
    }
}

record! {
    /// Another prefix for the app.
    RawRewrite {
        /// the prefix of the public path, in whole segments
        required from: String,
        /// the app's prefix instead
        required to: String,
    }
}

record! {
    /// How often one client may ask.
    RawRate {
        /// so many requests
        required requests: usize,
        /// in this time; 1s by default
        optional per: Duration,
        /// so many at once; as many as `requests` by default
        optional burst: usize,
    }
}

record! {
    /// What a login must be worth.
    RawRequire {
        /// the lowest level: `low`, `substantial`, `high` or `none`; `substantial` by default where the provider has levels
        optional level: RawLevel,
        /// the kinds of identity that may pass; by default the provider's usual one: `national`, `employee` or `helper`
        optional kinds: List<RawKind>,
        /// the providers at which the login may have been; by default every one of the host
        optional providers: List<String>,
        /// the countries whose eIDs may pass, such as `[SE, FI]`; by default every one
        optional countries: List<String>,
        /// methods of authentication (`amr`) that do not count here, in any letter case
        optional not_amr: List<String>,
        /// whether the person must represent an organisation: `required` (default where `authorization_details` ask for one) or `optional`
        optional organisation: RawOrganisation,
        /// the organisations that may be represented, by number; by default every one
        optional organisations: List<String>,
        /// whether the person must have a Norwegian identity number (`X-Identity-Fnr`), as Europeans have whom the register knows; false by default
        optional fnr: bool,
        /// the greatest age of the authentication
        optional max_age: Duration,
    }
}

record! {
    /// What a machine's token must be worth.
    RawToken {
        /// the provider whose tokens count; by default the only one of profile `maskinporten`
        optional provider: String,
        /// the scopes that it must have, all of them, each whole
        required scopes: List<String>,
        /// the organisations that may have the access, by number; by default each that was given the scopes
        optional consumers: List<String>,
        /// where a supplier's right to act for a consumer may have been agreed (`delegation_source`), such as `https://altinn.no/`; by default no supplier acts for anybody
        optional delegation: List<String>,
        /// the suppliers that may act, by number; by default each whose right was agreed there
        optional suppliers: List<String>,
        /// for whom the token must be (`aud`); by default for nobody in particular: one that is for somebody is refused
        optional audience: String,
        /// whether the app gets the token too, in `Authorization`; false by default
        optional forward: bool,
    }
}

record! {
    /// For whom a person is asked to act.
    RawDetails {
        /// `ansattporten:altinn:service`, `ansattporten:altinn:resource`, `ansattporten:orgno` or `idporten:fullmakt`
        required r#type: String,
        /// the service or resource in Altinn: `urn:altinn:resource:CODE:EDITION` or `urn:altinn:resource:ID`
        optional resource: String,
        /// what the person must be allowed to do with the resource
        optional actions: List<String>,
        /// which organisations are offered: `enterprise` or `business`
        optional organizationform: RawOrganizationForm,
        /// whether the person may represent several at once; false by default
        optional allow_multiple_organizations: bool,
        /// whether deleted organisations are offered; false by default
        optional allow_deleted_organizations: bool,
        /// whether the provider keeps who represents nobody; false by default: they get a page here
        optional representation_is_required: bool,
        /// the roles of a power of attorney
        optional permission_roles: List<String>,
    }
}

choice! {
    /// Which organisations are offered.
    RawOrganizationForm { "enterprise" => Enterprise, "business" => Business, }
}
choice! {
    /// Whether the person must represent an organisation.
    RawOrganisation { "required" => Required, "optional" => Optional, }
}
choice! {
    /// Whether people's data is behind it.
    RawEnvironment { "test" => Test, "production" => Production, }
}
choice! {
    /// Which PROXY header.
    RawProxyProtocol { "v1" => V1, "v2" => V2, "any" => Any, }
}
choice! {
    /// A profile of providers.
    RawProfile {
        "idporten" => Idporten,
        "ansattporten" => Ansattporten,
        "signicat" => Signicat,
        "idporten-utland" => IdportenUtland,
        "maskinporten" => Maskinporten,
        "oidc" => Oidc,
    }
}
choice! {
    /// Whether the authorization request is pushed.
    RawPar { "when_offered" => WhenOffered, "required" => Required, "never" => Never, }
}
choice! {
    /// What becomes of numbers that only test persons have.
    RawSynthetic { "refuse" => Refuse, "warn" => Warn, "accept" => Accept, }
}
choice! {
    /// Where a provider's answers come to.
    RawCallback { "shared" => Shared, "own" => Own, }
}
choice! {
    /// A level of assurance, or none.
    RawLevel { "none" => None, "low" => Low, "substantial" => Substantial, "high" => High, }
}
choice! {
    /// The scale of an `acr` value.
    RawFramework {
        "national" => National,
        "eidas" => Eidas,
        "email" => Email,
        "employee" => Employee,
        "helper" => Helper,
    }
}
choice! {
    /// A kind of identity that a login can end in.
    RawKind {
        "national" => National,
        "eidas" => Eidas,
        "helper" => Helper,
        "email" => Email,
        "employee" => Employee,
        "pseudonymous" => Pseudonymous,
    }
}
choice! {
    /// Who may pass.
    RawAccess { "public" => Public, "optional" => Optional, "login" => Login, "token" => Token, }
}
choice! {
    /// Which requests prolong the session.
    RawActivity { "navigation" => Navigation, "any" => Any, }
}
choice! {
    /// What happens while the view of ended sessions is stale.
    RawStaleness { "strict" => Strict, "available" => Available, }
}
choice! {
    /// What is spoken with an app.
    RawProtocol { "http1" => Http1, "h2" => H2, "h2c" => H2c, }
}
choice! {
    /// Which address gets the next request.
    RawBalance { "round_robin" => RoundRobin, "least_loaded" => LeastLoaded, }
}
choice! {
    /// Whether a session's requests stay at one address.
    RawAffinity { "none" => None, "session" => Session, }
}
choice! {
    /// Who decides about caching.
    RawCache { "private" => Private, "app" => App, }
}
choice! {
    /// What becomes of a client's own signatures.
    RawClientSignatures { "remove" => Remove, "pass" => Pass, }
}
choice! {
    /// How requests are signed.
    RawSignature {
        "ed25519" => Ed25519,
        "ecdsa-p256-sha256" => EcdsaP256Sha256,
        "hmac-sha256" => HmacSha256,
    }
}
choice! {
    /// Which requests from pages of other origins a route takes.
    RawCrossSite { "allow" => Allow, "refuse_unsafe" => RefuseUnsafe, "refuse" => Refuse, }
}
choice! {
    /// What browsers are told where the app says nothing.
    RawSecurityHeaders { "off" => Off, "basic" => Basic, "strict" => Strict, }
}
choice! {
    /// No HSTS.
    RawOff { "off" => Off, }
}
choice! {
    /// The app answers.
    RawPass { "pass" => Pass, }
}
choice! {
    /// How the audit log names the person.
    RawAuditPerson { "none" => None, "pseudonym" => Pseudonym, "fnr" => Fnr, }
}
choice! {
    /// How much of the client's address is logged.
    RawClientAddress { "full" => Full, "truncated" => Truncated, "none" => None, }
}
choice! {
    /// A method without a body.
    RawAppLogoutMethod { "GET" => Get, "POST" => Post, }
}
choice! {
    /// How text travels in a header.
    RawEncoding {
        "percent" => Percent,
        "rfc8187" => Rfc8187,
        "insecure_utf8" => InsecureUtf8,
        "insecure_latin1" => InsecureLatin1,
    }
}
choice! {
    /// An older product whose names an app knows.
    RawPreset {
        "siteminder" => Siteminder,
        "siteminder-plain" => SiteminderPlain,
        "openam" => Openam,
        "shibboleth" => Shibboleth,
        "mod_auth_openidc" => ModAuthOpenidc,
        "oauth2-proxy" => Oauth2Proxy,
        "auth-request" => AuthRequest,
        "wonderwall" => Wonderwall,
    }
}
choice! {
    /// A target without a file.
    RawPlainTarget { "stdout" => Stdout, "off" => Off, }
}

impl RawAccess {
    /// Whether people log in for it.
    pub(super) fn logs_in(self) -> bool {
        match self {
            Self::Public | Self::Token => false,
            Self::Optional | Self::Login => true,
        }
    }
}

impl RawOrganizationForm {
    /// The word that the provider knows.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Enterprise => "enterprise",
            Self::Business => "business",
        }
    }
}

impl RawProfile {
    /// Its name among [`crate::provider::PROFILES`].
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Idporten => "idporten",
            Self::Ansattporten => "ansattporten",
            Self::Signicat => "signicat",
            Self::IdportenUtland => "idporten-utland",
            Self::Maskinporten => "maskinporten",
            Self::Oidc => "oidc",
        }
    }
}

/// A text for people.
#[derive(Debug)]
pub(super) enum RawTexts {
    Same(At<String>),
    Each(RawTextOfEach),
}

record! {
    /// A text in several languages.
    RawTextOfEach {
        /// Bokmål
        optional nb: String,
        /// Nynorsk
        optional nn: String,
        /// English
        optional en: String,
        /// Northern Sámi
        optional se: String,
    }
}

impl Shape for RawTexts {
    fn read(node: &Node, desk: &mut Desk<'_>) -> Option<Self> {
        match &node.value {
            Value::Map(entries) if entries.is_empty() => {
                desk.misfit(node, "a text in some language", "an empty mapping")
            }
            Value::Map(_) => RawTextOfEach::read(node, desk).map(Self::Each),
            _ => read_at(node, desk).map(Self::Same),
        }
    }

    fn schema() -> Json {
        json!({ "anyOf": [String::schema(), RawTextOfEach::schema()] })
    }
}

impl RawTexts {
    /// The texts; each has at most so many characters.
    pub(super) fn localised(&self, most: usize, desk: &mut Desk<'_>) -> Localised {
        match self {
            Self::Same(text) => {
                check_length(text, most, desk);
                Localised::same(&text.value)
            }
            Self::Each(each) => each.localised(most, desk),
        }
    }

    /// Each text that stands in the file.
    pub(super) fn written(&self) -> Vec<&At<String>> {
        match self {
            Self::Same(text) => vec![text],
            Self::Each(each) => each.written().into_iter().map(|(_, text)| text).collect(),
        }
    }
}

impl RawTextOfEach {
    /// The texts; each has at most so many characters.
    pub(super) fn localised(&self, most: usize, desk: &mut Desk<'_>) -> Localised {
        let written = self.written();
        for (_, text) in &written {
            check_length(text, most, desk);
        }
        Localised::of(written.into_iter().map(|(language, text)| (language, text.value.clone())))
    }

    /// Each text that stands in the file.
    pub(super) fn written(&self) -> Vec<(Language, &At<String>)> {
        let Self { nb, nn, en, se, .. } = self;
        [(Language::Nb, nb), (Language::Nn, nn), (Language::En, en), (Language::Se, se)]
            .into_iter()
            .filter_map(|(language, text)| Some((language, text.as_ref()?)))
            .collect()
    }
}

fn check_length(text: &At<String>, most: usize, desk: &mut Desk<'_>) {
    if text.value.chars().count() > most {
        desk.error(&text.span, "this is too long", format!("write at most {most} characters"));
    }
}

/// Where a log goes.
#[derive(Debug)]
pub(super) enum RawTarget {
    Plain(RawPlainTarget),
    File(RawFileTarget),
}

record! {
    /// A log file, appended to.
    RawFileTarget {
        /// the file's path
        required file: Written,
    }
}

impl Shape for RawTarget {
    fn read(node: &Node, desk: &mut Desk<'_>) -> Option<Self> {
        match &node.value {
            Value::Map(_) => RawFileTarget::read(node, desk).map(Self::File),
            _ => RawPlainTarget::read(node, desk).map(Self::Plain),
        }
    }

    fn schema() -> Json {
        json!({ "anyOf": [RawPlainTarget::schema(), RawFileTarget::schema()] })
    }
}

/// What browsers are told of https.
#[derive(Debug)]
pub(super) enum RawHsts {
    Off,
    Plan(RawHstsPlan),
}

record! {
    /// For how long a host is for https alone.
    RawHstsPlan {
        /// for how long; 8760h by default
        optional max_age: Duration,
        /// whether that holds for every name below this host's; false by default
        optional subdomains: bool,
    }
}

impl Shape for RawHsts {
    fn read(node: &Node, desk: &mut Desk<'_>) -> Option<Self> {
        match &node.value {
            Value::Map(_) => RawHstsPlan::read(node, desk).map(Self::Plan),
            _ => RawOff::read(node, desk).map(|_| Self::Off),
        }
    }

    fn schema() -> Json {
        json!({ "anyOf": [RawOff::schema(), RawHstsPlan::schema()] })
    }
}

/// Whether a route is closed for now.
#[derive(Debug)]
pub(super) enum RawMaintenance {
    Flag(bool),
    Plan(Box<RawMaintenancePlan>),
}

record! {
    /// What people are told of a route that is closed for now.
    RawMaintenancePlan {
        /// a sentence of your own on the page, in the language of those who come here
        optional message: String,
        /// when it shall be open again, such as `2026-12-01T06:00:00+01:00`; it stays closed until the file says otherwise
        optional until: String,
    }
}

impl Shape for RawMaintenance {
    fn read(node: &Node, desk: &mut Desk<'_>) -> Option<Self> {
        match &node.value {
            Value::Map(_) => RawMaintenancePlan::read(node, desk).map(Box::new).map(Self::Plan),
            _ => bool::read(node, desk).map(Self::Flag),
        }
    }

    fn schema() -> Json {
        json!({ "anyOf": [bool::schema(), RawMaintenancePlan::schema()] })
    }
}

/// What a route makes of scripts of other origins.
#[derive(Debug)]
pub(super) enum RawCors {
    Pass,
    Plan(Box<RawCorsPlan>),
}

record! {
    /// Which scripts of other origins may do what.
    RawCorsPlan {
        /// origins such as `https://portal.example`, or `*` alone for everybody
        required origins: List<String>,
        /// methods; GET, HEAD and POST by default
        optional methods: List<String>,
        /// request headers beyond those that every script may send
        optional headers: List<String>,
        /// reply headers that scripts may read beyond the usual ones
        optional expose: List<String>,
        /// whether cookies count; false by default
        optional credentials: bool,
        /// for how long browsers remember it; 10m by default
        optional max_age: Duration,
    }
}

impl Shape for RawCors {
    fn read(node: &Node, desk: &mut Desk<'_>) -> Option<Self> {
        match &node.value {
            Value::Map(_) => RawCorsPlan::read(node, desk).map(Box::new).map(Self::Plan),
            _ => RawPass::read(node, desk).map(|_| Self::Pass),
        }
    }

    fn schema() -> Json {
        json!({ "anyOf": [RawPass::schema(), RawCorsPlan::schema()] })
    }
}

/// How the gateway authenticates; a secret by where it is, never itself.
#[derive(Debug)]
pub(super) enum RawClientAuth {
    PrivateKeyJwt,
    SecretBasic(At<SecretPlace>),
    SecretPost(At<SecretPlace>),
}

/// Where a secret is.
#[derive(Debug)]
pub(super) enum SecretPlace {
    File(PathBuf),
    Environment(String),
}

const CLIENT_AUTH_FIX: &str = "write `private_key_jwt`, or `{client_secret_basic: \"file:PATH\"}` or `\"env:NAME\"`, or `client_secret_post` likewise";

/// Nothing of what stands here is quoted: it may be the secret.
impl Shape for RawClientAuth {
    fn read(node: &Node, desk: &mut Desk<'_>) -> Option<Self> {
        match &node.value {
            Value::Scalar(text) if text == "private_key_jwt" => Some(Self::PrivateKeyJwt),
            Value::Map(entries) => {
                let [entry] = entries.as_slice() else {
                    desk.error(&point(node), "this is not one way to authenticate", CLIENT_AUTH_FIX);
                    return None;
                };
                let make = match entry.key.as_str() {
                    "client_secret_basic" => Self::SecretBasic,
                    "client_secret_post" => Self::SecretPost,
                    _ => {
                        desk.error(&entry.key_span, "this is no known way to authenticate", CLIENT_AUTH_FIX);
                        return None;
                    }
                };
                read_at(&entry.value, desk).map(make)
            }
            _ => {
                desk.error(&node.span, "this is no known way to authenticate", CLIENT_AUTH_FIX);
                None
            }
        }
    }

    fn schema() -> Json {
        json!({ "anyOf": [
            { "const": "private_key_jwt" },
            {
                "type": "object",
                "minProperties": 1,
                "maxProperties": 1,
                "additionalProperties": false,
                "properties": {
                    "client_secret_basic": SecretPlace::schema(),
                    "client_secret_post": SecretPlace::schema(),
                },
            },
        ] })
    }
}

impl Shape for SecretPlace {
    fn read(node: &Node, desk: &mut Desk<'_>) -> Option<Self> {
        let text = match &node.value {
            Value::Scalar(text) if !text.contains("${") => text.as_str(),
            Value::Scalar(_) => {
                desk.error(
                    &node.span,
                    "the environment is not put into secrets",
                    "write `env:NAME` or `file:PATH`",
                );
                return None;
            }
            _ => "",
        };
        match (text.strip_prefix("file:"), text.strip_prefix("env:")) {
            (Some(path), _) if !path.is_empty() && !path.contains('\0') => {
                let path = desk.base.join(path);
                desk.files.push(path.clone());
                Some(Self::File(path))
            }
            (_, Some(name)) if !name.is_empty() => Some(Self::Environment(name.to_owned())),
            _ => {
                desk.error(
                    &node.span,
                    "a secret does not stand in this file",
                    "put it into a file that others cannot read and write `file:PATH`, or write `env:NAME`; if this was a secret, replace it",
                );
                None
            }
        }
    }

    fn schema() -> Json {
        json!({ "type": "string", "pattern": "^(file|env):." })
    }
}

/// What a route does with the identity headers.
#[derive(Debug)]
pub(super) struct RawHeaders {
    /// Whose names they have.
    pub(super) preset: Option<At<RawPreset>>,
    /// How their text travels where nothing else is said.
    pub(super) encoding: Option<At<RawEncoding>>,
    /// What is done with each fact.
    pub(super) facts: Named<RawHeader>,
}

impl Shape for RawHeaders {
    fn read(node: &Node, desk: &mut Desk<'_>) -> Option<Self> {
        let entries = desk.entries(node, "a mapping from facts")?;
        if entries.is_empty() {
            return desk.misfit(node, "at least one fact, or `preset`", "an empty mapping");
        }
        let mut headers = Self { preset: None, encoding: None, facts: Named(Vec::new()) };
        for entry in entries {
            match entry.key.as_str() {
                "preset" => headers.preset = read_at(&entry.value, desk),
                "encoding" => headers.encoding = read_at(&entry.value, desk),
                _ => {
                    let name = At { span: entry.key_span.clone(), value: entry.key.clone() };
                    headers.facts.0.push((name, read_at(&entry.value, desk)));
                }
            }
        }
        Some(headers)
    }

    fn schema() -> Json {
        let preset =
            described(RawPreset::schema(), "an older product: the app gets the headers that it knew");
        let encoding =
            described(RawEncoding::schema(), "how text beyond ASCII travels where a fact says nothing");
        json!({
            "type": "object",
            "minProperties": 1,
            "properties": { "preset": preset, "encoding": encoding },
            "additionalProperties": RawHeader::schema(),
        })
    }
}

impl RawPreset {
    /// Its name among [`crate::forward::preset::PRESETS`].
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Siteminder => "siteminder",
            Self::SiteminderPlain => "siteminder-plain",
            Self::Openam => "openam",
            Self::Shibboleth => "shibboleth",
            Self::ModAuthOpenidc => "mod_auth_openidc",
            Self::Oauth2Proxy => "oauth2-proxy",
            Self::AuthRequest => "auth-request",
            Self::Wonderwall => "wonderwall",
        }
    }
}

/// What a route does with one identity header.
#[derive(Debug)]
pub(super) enum RawHeader {
    Drop,
    Use(RawHeaderUse),
}

record! {
    /// Another name or encoding.
    RawHeaderUse {
        /// the header's name; the contract's by default
        optional name: String,
        /// how text beyond ASCII travels: `percent` (default), `rfc8187`, `insecure_utf8` or `insecure_latin1`
        optional encoding: RawEncoding,
    }
}

impl Shape for RawHeader {
    fn read(node: &Node, desk: &mut Desk<'_>) -> Option<Self> {
        if let Value::Map(entries) = &node.value {
            if entries.is_empty() {
                return desk.misfit(node, "`name` or `encoding`", "an empty mapping");
            }
            return RawHeaderUse::read(node, desk).map(Self::Use);
        }
        let name: At<String> = read_at(node, desk)?;
        if name.value == "drop" {
            return Some(Self::Drop);
        }
        if name.value == "add" {
            return Some(Self::Use(RawHeaderUse::default()));
        }
        if name.value.eq_ignore_ascii_case("drop")
            || matches!(name.value.as_str(), "off" | "false" | "no" | "none")
        {
            unknown_word("drop", &name.span, desk, &["drop"]);
            return None;
        }
        Some(Self::Use(RawHeaderUse { name: Some(name), ..RawHeaderUse::default() }))
    }

    fn schema() -> Json {
        json!({ "anyOf": [{ "type": "string" }, RawHeaderUse::schema()] })
    }
}

/// The schema of the whole file.
pub(super) fn schema() -> Json {
    let mut schema = RawFile::schema();
    if let Some(schema) = schema.as_object_mut() {
        schema.insert("$schema".to_owned(), "https://json-schema.org/draft/2020-12/schema".into());
        schema.insert("title".to_owned(), "Portvakt configuration".into());
    }
    schema
}

/// For pointing at a field that may be absent.
pub(super) fn span_of<T>(field: Option<&At<T>>, otherwise: &Span) -> Span {
    field.map_or_else(|| otherwise.clone(), |field| field.span.clone())
}

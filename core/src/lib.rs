//! What Portvakt decides, and how it decides it, free of the proxy that carries it out.
//!
//! In reading order:
//!
//! | module | what it holds |
//! |---|---|
//! | [`clock`] | the one clock; time is an argument everywhere else |
//! | [`request`] | the request in its normal form, or the reason why it has none |
//! | [`route`] | which rule governs a request |
//! | [`rewrite`] | a path prefix that the app does not know |
//! | [`upstream`] | the apps, and where a session's requests go among several addresses |
//! | [`cross_site`], [`cors`] | what pages of other origins may do |
//! | [`bearer`] | the token that a machine's request brings |
//! | [`access`] | may it pass? the only maker of permits |
//! | [`identity`] | who it is, and how we know |
//! | [`level`] | levels of assurance, ranked per issuer |
//! | [`token`] | the one verifier of signed tokens, and the signer of our own |
//! | [`provider`] | an identity provider as data |
//! | [`session`] | remembering a login: ticket, limits |
//! | [`revocation`] | the end of a session, shared |
//! | [`app_session`] | the session that a legacy app keeps itself, inside ours |
//! | [`once`] | what counts once: answers, logout tokens |
//! | [`login`] | an attempt to log in, from start to answer |
//! | [`way`] | the ways in to a route that leaves a choice, and what of them is remembered |
//! | [`redirect`] | where a browser may be sent |
//! | [`endpoint`] | which requests are for ourselves |
//! | [`brand`] | how our pages look, and what they say in an operator's words |
//! | [`language`] | in which language a person is spoken to |
//! | [`forward`] | what the app is told |
//! | [`forward_auth`] | what a reverse proxy asks that carries requests itself |
//! | [`websocket`] | handshakes and frames of WebSockets |
//! | [`cookie`], [`seal`], [`key`] | cookies read and written, sealed, and with which keys |
//! | [`supposed`] | somebody who is only supposed to be logged in, to explain and to test a configuration |
//! | [`config`] | YAML to settings, with every problem at its place |
//!
//! **Invariant:** nothing here does input or output, except [`key`] and [`config`], which read the
//! files that an operator names, and [`revocation`], which keeps a file of its own. Time and randomness are arguments.
//!
//! **Invariant:** imports point one way: `config` and `access` know the modules below them, no module
//! knows `config`.

pub mod access;
pub mod app_session;
pub mod bearer;
pub mod brand;
pub mod clock;
pub mod config;
pub mod cookie;
pub mod cors;
pub mod cross_site;
pub mod endpoint;
#[cfg(test)]
mod formats;
pub mod forward;
pub mod forward_auth;
pub mod identity;
pub mod key;
pub mod language;
pub mod level;
pub mod login;
pub mod once;
pub mod provider;
pub mod redirect;
pub mod request;
pub mod revocation;
pub mod rewrite;
pub mod route;
pub mod seal;
pub mod session;
pub mod supposed;
pub mod token;
pub mod upstream;
pub mod way;
pub mod websocket;

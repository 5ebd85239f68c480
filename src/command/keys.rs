//! `portvakt keys new|rotate|list PURPOSE`: makes, rotates and shows keys; never a secret.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand, ValueEnum};
use portvakt_core::clock::{Clock, Timestamp};
use portvakt_core::config::{self, Configuration};
use portvakt_core::key::{
    ASSERTION, Concern, KeyFile, KeyFileError, MATCH, NewKey, PROPAGATION, Secret, app_purpose,
    client_purpose, is_lasting, path_of, signature_purpose,
};
use portvakt_core::token::{Algorithm, SignatureAlgorithm};

use super::{ConfigFile, complain, say};
use crate::cause;

/// Makes, rotates and lists keys.
#[derive(Debug, Args)]
pub(super) struct Keys {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Makes the first key of a purpose; it is used at once.
    New {
        #[command(flatten)]
        purpose: Purpose,
        /// The algorithm: of a client key RS256 or ES256, of an assertion key ES256 or EdDSA.
        #[arg(long, value_enum)]
        alg: Option<Alg>,
    },
    /// Adds a key that is used in 24 hours, and retires the ones before it.
    Rotate {
        #[command(flatten)]
        purpose: Purpose,
        /// The algorithm of a key pair; that of its predecessor if left out.
        #[arg(long, value_enum)]
        alg: Option<Alg>,
    },
    /// Shows ids and times; with `--jwks` the public keys: a client's are registered at the provider.
    List {
        #[command(flatten)]
        purpose: Purpose,
        /// Prints the public keys as a JWK set (RFC 7517).
        #[arg(long)]
        jwks: bool,
    },
}

#[derive(Debug, Args)]
struct Purpose {
    /// cookie, revocation, pseudonym, audit, match, assertion, signature-ed25519, signature-ecdsa-p256-sha256,
    /// `client-` and a provider's name, or `app-` and an upstream's.
    purpose: String,
    #[command(flatten)]
    file: ConfigFile,
}

/// What a key pair signs with (dossier 2.5; `design.md` 3).
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Alg {
    #[value(name = "RS256")]
    Rs256,
    #[value(name = "ES256")]
    Es256,
    #[value(name = "EdDSA")]
    EdDsa,
}

#[derive(Debug, thiserror::Error)]
enum KeysError {
    #[error("{0}")]
    File(config::Problems),
    #[error(transparent)]
    Key(#[from] KeyFileError),
    #[error("there are no keys for `{given}`; one of: {known}")]
    Purpose { given: String, known: String },
    #[error("`--alg` is for key pairs; a `{0}` key is 32 random bytes")]
    NotAPair(String),
    #[error("a `{purpose}` key is {takes}")]
    Algorithm { purpose: String, takes: &'static str },
    #[error("`--jwks` is for key pairs; a `{0}` key has no public half")]
    NoPublicHalf(String),
}

impl Keys {
    pub(super) fn execute(self) -> ExitCode {
        match self.action.carry_out(Clock::start().now()) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                complain(&cause::chain(&error));
                ExitCode::FAILURE
            }
        }
    }
}

impl Action {
    fn carry_out(self, now: Timestamp) -> Result<(), KeysError> {
        match self {
            Self::New { purpose, alg } => {
                let place = purpose.place()?;
                let file = KeyFile::create(&place.path, &place.purpose, place.kind(alg)?, now)?;
                say(&format!("{}: key {} is in use", place.path.display(), newest(&file)?));
            }
            Self::Rotate { purpose, alg } => {
                let place = purpose.place()?;
                let mut file = KeyFile::read(&place.path, &place.purpose)?;
                if is_lasting(&place.purpose) {
                    complain(&format!("warning: {}: {CHANGES_EVERYBODY}", place.purpose));
                }
                let kind = if alg.is_some() { place.kind(alg)? } else { file.kind()? };
                file.rotate(kind, now)?;
                let hours = PROPAGATION.as_secs() / 3600;
                say(&format!(
                    "{}: key {} is used in {hours} hours; until then every replica must have this file{}",
                    place.path.display(),
                    newest(&file)?,
                    match place.sort {
                        Sort::Client => " and the provider its public half (`portvakt keys list --jwks`)",
                        Sort::App => " and the app its secret, the newest in that file",
                        Sort::Assertion | Sort::Signature(_) | Sort::Secret => "",
                    },
                ));
            }
            Self::List { purpose, jwks } => {
                let place = purpose.place()?;
                let file = KeyFile::read(&place.path, &place.purpose)?;
                if jwks && matches!(place.sort, Sort::Secret | Sort::App) {
                    return Err(KeysError::NoPublicHalf(place.purpose));
                }
                if jwks {
                    say(&format!("{:#}", file.public_jwks()?));
                } else {
                    list(&place.purpose, &file, now)?;
                }
            }
        }
        Ok(())
    }
}

/// What a new key of a lasting purpose means.
const CHANGES_EVERYBODY: &str = "with the new key everybody has another match key and another pseudonym, in every app; \
     what apps have kept finds nobody any more. Remove the new key from the file within its 24 hours to undo this";

fn newest(file: &KeyFile) -> Result<String, KeyFileError> {
    Ok(file.summary()?.pop().map(|key| key.id).unwrap_or_default())
}

/// What to do about a concern.
fn advice(purpose: &str, concern: Concern) -> String {
    format!("warning: {purpose}: {concern}; run `portvakt keys rotate {purpose}`")
}

/// What is wrong with the key files of a configuration, as far as they are here: whoever checks a file need not have
/// the keys.
pub(super) fn warnings(configuration: &Configuration, now: Timestamp) -> Vec<String> {
    let (clients, apps) = (clients(configuration), apps(configuration));
    let warning = |purpose: &&str| match KeyFile::read(&path_of(&configuration.keys, purpose), purpose) {
        Ok(file) => Concern::of_purpose(purpose, &file.times(), now).map(|concern| advice(purpose, concern)),
        Err(KeyFileError::Missing { .. }) => None,
        Err(error) => Some(format!("warning: {}", cause::chain(&error))),
    };
    known(&clients, &apps).iter().filter_map(warning).collect()
}

fn list(purpose: &str, file: &KeyFile, now: Timestamp) -> Result<(), KeyFileError> {
    let time = |seconds: u64| {
        let seconds = i64::try_from(seconds).unwrap_or(i64::MAX);
        jiff::Timestamp::from_second(seconds).map_or_else(|_| "never".to_owned(), |time| time.to_string())
    };
    for key in file.summary()? {
        let state = match key.retire_after {
            Some(end) if end <= now.seconds() => "retired".to_owned(),
            _ if key.active_from > now.seconds() => "accepted, not used yet".to_owned(),
            Some(end) => format!("accepted until {}", time(end)),
            None => "in use".to_owned(),
        };
        say(&format!("{}  used from {}  {state}", key.id, time(key.active_from)));
    }
    if let Some(concern) = Concern::of_purpose(purpose, &file.times(), now) {
        complain(&advice(purpose, concern));
    }
    Ok(())
}

/// Where the keys of a purpose are.
struct Place {
    purpose: String,
    path: PathBuf,
    sort: Sort,
}

/// What sort of keys a purpose has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sort {
    Secret,
    Client,
    Assertion,
    /// A key pair of this kind.
    Signature(Algorithm),
    /// A secret that an app shares.
    App,
}

/// The purposes of the keys with which we are clients.
pub(super) fn clients(configuration: &Configuration) -> Vec<String> {
    let providers = configuration.providers.iter();
    providers
        .filter(|provider| provider.has_client_key())
        .map(|provider| client_purpose(&provider.name))
        .collect()
}

/// The purposes of the secrets that apps share with us.
pub(super) fn apps(configuration: &Configuration) -> Vec<String> {
    let routes = configuration.hosts.iter().flat_map(|host| host.routes.iter());
    let mut apps: Vec<String> = routes
        .filter_map(|route| route.signature.as_ref())
        .filter(|plan| plan.algorithm == SignatureAlgorithm::HmacSha256)
        .map(|plan| app_purpose(&plan.app))
        .collect();
    apps.sort();
    apps.dedup();
    apps
}

/// The purposes of the key pairs that sign requests.
fn pairs() -> impl Iterator<Item = (&'static str, Algorithm)> {
    let pair = |algorithm| signature_purpose(algorithm).zip(algorithm.pair());
    SignatureAlgorithm::PAIRS.into_iter().filter_map(pair)
}

/// Every purpose that a configuration can have keys for.
fn known<'a>(clients: &'a [String], apps: &'a [String]) -> Vec<&'a str> {
    let secrets = Secret::ALL.iter().map(|secret| secret.as_str());
    let pairs = pairs().map(|(purpose, _)| purpose);
    secrets
        .chain([MATCH, ASSERTION])
        .chain(pairs)
        .chain(clients.iter().chain(apps).map(String::as_str))
        .collect()
}

impl Purpose {
    fn place(&self) -> Result<Place, KeysError> {
        let loaded =
            config::load(&self.file.config, &|name| std::env::var(name).ok()).map_err(KeysError::File)?;
        let configuration = loaded.configuration;
        let (clients, apps) = (clients(&configuration), apps(&configuration));
        let known = known(&clients, &apps);
        if !known.contains(&self.purpose.as_str()) {
            return Err(KeysError::Purpose { given: self.purpose.clone(), known: known.join(", ") });
        }
        let sort = match self.purpose.as_str() {
            ASSERTION => Sort::Assertion,
            _ if clients.contains(&self.purpose) => Sort::Client,
            _ if apps.contains(&self.purpose) => Sort::App,
            purpose => {
                let pair = pairs().find(|(known, _)| *known == purpose);
                pair.map_or(Sort::Secret, |(_, kind)| Sort::Signature(kind))
            }
        };
        Ok(Place { sort, path: path_of(&configuration.keys, &self.purpose), purpose: self.purpose.clone() })
    }
}

impl Place {
    fn kind(&self, alg: Option<Alg>) -> Result<NewKey, KeysError> {
        let refuse = |takes| Err(KeysError::Algorithm { purpose: self.purpose.clone(), takes });
        match (self.sort, alg) {
            (Sort::Secret | Sort::App, None) => Ok(NewKey::Secret),
            (Sort::Secret | Sort::App, Some(_)) => Err(KeysError::NotAPair(self.purpose.clone())),
            (Sort::Signature(kind), None) => Ok(NewKey::Pair(kind)),
            (Sort::Signature(_), Some(_)) => refuse("of the kind that its name says; leave `--alg` out"),
            // ID-porten's metadata lists RS256 alone today (dossier 2.5).
            (Sort::Client, None | Some(Alg::Rs256)) => Ok(NewKey::Pair(Algorithm::Rs256)),
            (Sort::Client, Some(Alg::EdDsa)) => refuse("RS256 or ES256"),
            (Sort::Assertion, Some(Alg::Rs256)) => refuse("ES256 or EdDSA"),
            (Sort::Client, Some(Alg::Es256)) | (Sort::Assertion, None | Some(Alg::Es256)) => {
                Ok(NewKey::Pair(Algorithm::Es256))
            }
            (Sort::Assertion, Some(Alg::EdDsa)) => Ok(NewKey::Pair(Algorithm::EdDsa)),
        }
    }
}

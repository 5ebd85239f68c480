//! Whether each provider's metadata and keys can be fetched from here, and whether it is the configured issuer
//! (OpenID Connect Discovery 1.0, 4.3).

use portvakt_core::provider::{Par, ProviderSettings};

use super::Surroundings;
use super::finding::Finding;
use crate::cause;
use crate::provider::{Metadata, Provider, ProviderError, Unreachable};

const NOBODY: &str = "nobody can log in, once what was fetched before is older than three days; a gateway that starts is not ready";

const NO_MACHINE: &str = "machines get 503, once what was fetched before is older than three days; a gateway that starts is not ready";

pub(super) async fn examine(around: &Surroundings) -> Vec<Finding> {
    let mut findings = Vec::new();
    for settings in &around.configuration.providers {
        findings.extend(look_at(settings, around).await);
    }
    findings
}

async fn look_at(settings: &ProviderSettings, around: &Surroundings) -> Vec<Finding> {
    let subject = format!("`{}`", settings.name);
    let fetched = async {
        let provider = Provider::new(settings.clone(), None)?;
        let metadata = provider.metadata(around.clock.now()).await?;
        provider.keys(around.clock.now()).await?;
        Ok::<_, ProviderError>(metadata)
    };
    match fetched.await {
        Ok(metadata) => {
            let mut findings = vec![Finding::ok(
                &subject,
                format!("metadata and keys are there; the issuer is {}", settings.issuer),
            )];
            findings.extend(what_it_lacks(settings, &metadata, &subject));
            findings
        }
        Err(error) => {
            let means = if settings.profile.capabilities.people { NOBODY } else { NO_MACHINE };
            vec![Finding::fail(&subject, cause::chain(&error), means, remedy(&error, settings))]
        }
    }
}

/// What the configuration counts on and the provider does not say that it offers.
fn what_it_lacks(settings: &ProviderSettings, metadata: &Metadata, subject: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    if settings.par == Par::Required && metadata.pushed_authorization_request_endpoint().is_none() {
        findings.push(Finding::fail(
            subject,
            "the file says `par: required`, and the provider offers no endpoint for it",
            "every login fails",
            "ask the provider; only if it never takes pushed requests, write `par: when_offered`",
        ));
    }
    if settings.access_tokens.is_some() && metadata.revocation_endpoint().is_none() {
        findings.push(Finding::warn(
            subject,
            "the file says `access_tokens: true`, and the provider offers no `revocation_endpoint`",
            "after a logout the access token that an application has got is good until it expires",
            "let the provider give access tokens a short life",
        ));
    }
    let logs_in = settings.profile.capabilities.people;
    if logs_in && !metadata.backchannel_logout() && !metadata.frontchannel_logout() {
        findings.push(Finding::warn(
            subject,
            "the provider offers neither back-channel nor front-channel logout",
            "who logs out elsewhere stays logged in here until the session's own limits",
            "keep `session.idle` and `session.absolute` short",
        ));
    }
    findings
}

fn remedy(error: &ProviderError, settings: &ProviderSettings) -> String {
    match error {
        ProviderError::WrongIssuer => format!(
            "write `issuer` byte for byte as the metadata has it (a slash at the end counts), or correct `metadata_url`; now it is {}",
            settings.issuer
        ),
        ProviderError::Unreachable { why: Unreachable::Dns, .. } => {
            "look whether this machine's name server answers, and whether the name in `issuer` is right".to_owned()
        }
        ProviderError::Unreachable { why: Unreachable::Tls, .. } => {
            "look whether the system's roots are up to date (`ca-certificates`), whether `ca_file` is the right one, and whether something between here and the provider opens TLS".to_owned()
        }
        ProviderError::Unreachable { .. } | ProviderError::TimedOut { .. } | ProviderError::Interrupted { .. } => {
            "look whether a firewall lets this machine out to the provider on port 443, and at the provider's own page of incidents".to_owned()
        }
        ProviderError::Status { .. } => {
            "look whether `issuer` or `metadata_url` is right, and at the provider's own page of incidents".to_owned()
        }
        ProviderError::HttpClient(_) => "install `ca-certificates`, or correct `ca_file`".to_owned(),
        _ => "compare the metadata with what the provider documents; if they are wrong, tell the provider".to_owned(),
    }
}

//! Providers: which issuer is trusted, and with what.

use std::cell::Cell;
use std::sync::Arc;

use super::place::{Place, url};
use super::{Circumstances, Span, access_token, check_name, distinct, file, unknown_name};
use crate::config::Environment;
use crate::config::problem::{nearest, one_of};
use crate::config::raw::{
    RawAcr, RawCallback, RawClientAuth, RawFile, RawFramework, RawLevel, RawPar, RawProvider, RawSynthetic,
};
use crate::config::shape::{At, Desk, Named};
use crate::level::{AcrRow, AcrTable, Framework, Level};
use crate::provider::{ClientAuth, PROFILES, Par, Profile, ProviderSettings, SyntheticNumbers};
use crate::token::Algorithm;

/// How long the name of a button may be, in characters.
const LABEL: usize = 60;

/// The providers of a file, sound or not: a name that is there is not unknown.
pub(super) struct Providers {
    known: Vec<Known>,
    /// Whether all could be read: else nobody knows which names there are.
    complete: bool,
}

struct Known {
    name: At<String>,
    profile: Option<&'static Profile>,
    settings: Option<Arc<ProviderSettings>>,
    used: Cell<bool>,
}

impl Providers {
    pub(super) fn check(file: &RawFile, circumstances: Circumstances, desk: &mut Desk<'_>) -> Self {
        let check = |(name, raw): &(At<String>, Option<At<RawProvider>>)| {
            check_name("a provider", name, desk);
            let profile = raw
                .as_ref()
                .and_then(|raw| raw.value.profile.as_ref())
                .and_then(|profile| Profile::named(profile.value.name()));
            let settings = raw
                .as_ref()
                .zip(profile)
                .and_then(|(raw, profile)| provider(name, raw, profile, circumstances, desk));
            Known { name: name.clone(), profile, settings: settings.map(Arc::new), used: Cell::new(false) }
        };
        let known = file.providers.iter().flat_map(|raw| &raw.value.0).map(check).collect();
        Self { known, complete: !file.unread.contains(&"providers") }
    }

    /// The provider of this name. `None` if there is none, which is said, or if it is not sound, which was.
    pub(super) fn find(&self, name: &At<String>, desk: &mut Desk<'_>) -> Option<Arc<ProviderSettings>> {
        let Some(known) = self.known.iter().find(|known| known.name.value == name.value) else {
            if self.complete {
                unknown_name(
                    "provider",
                    name,
                    self.known.iter().map(|known| known.name.value.as_str()),
                    desk,
                );
            }
            return None;
        };
        known.used.set(true);
        if let Some(profile) = known.profile.filter(|profile| !profile.capabilities.people) {
            let message = format!("nobody logs in at a provider of profile `{}`", profile.name);
            desk.error(&name.span, message, "name a provider at which people log in");
            return None;
        }
        known.settings.clone()
    }

    /// The provider of machines of this name, or without a name the only one.
    pub(super) fn find_of_machines(
        &self,
        name: Option<&At<String>>,
        at: &Span,
        desk: &mut Desk<'_>,
    ) -> Option<String> {
        let vouches = |known: &&Known| known.profile.is_none_or(|profile| !profile.capabilities.people);
        let Some(name) = name else {
            let mut of_machines = self.known.iter().filter(|known| known.profile.is_some()).filter(vouches);
            match (of_machines.next(), of_machines.next()) {
                (Some(only), None) => {
                    only.used.set(true);
                    return Some(only.name.value.clone());
                }
                (None, _) if !self.complete || self.known.iter().any(|known| known.profile.is_none()) => {}
                (None, _) => desk.error(
                    at,
                    "no provider vouches for machines",
                    "add a provider of profile `maskinporten`",
                ),
                (Some(_), Some(_)) => desk.error(
                    at,
                    "several providers vouch for machines",
                    "add `provider:` with the name of one to `token`",
                ),
            }
            return None;
        };
        let Some(known) = self.known.iter().find(|known| known.name.value == name.value) else {
            if self.complete {
                let names = self.known.iter().filter(vouches).map(|known| known.name.value.as_str());
                unknown_name("provider", name, names, desk);
            }
            return None;
        };
        known.used.set(true);
        if !vouches(&known) {
            let message = format!("people log in at `{}`: its tokens are no machine's", name.value);
            desk.error(&name.span, message, "name a provider of profile `maskinporten`");
            return None;
        }
        Some(name.value.clone())
    }

    /// An issuer vouches for people or for machines: its tokens must not be taken for the other kind.
    pub(super) fn check_issuers(&self, desk: &mut Desk<'_>) {
        let sound = || self.known.iter().filter_map(|known| Some((known, known.settings.as_deref()?)));
        for (known, machines) in sound().filter(|(_, settings)| !settings.profile.capabilities.people) {
            let people = sound().find(|(_, other)| {
                other.profile.capabilities.people && same_issuer(&other.issuer, &machines.issuer)
            });
            if let Some((people, _)) = people {
                let line = desk.line(&people.name.span);
                desk.error(
                    &known.name.span,
                    format!("people log in at the same issuer, by the provider on line {line}"),
                    "give each its own `issuer`",
                );
            }
        }
    }

    /// Where the provider of this name stands, sound or not.
    pub(super) fn place_of(&self, name: &str) -> Option<&Span> {
        self.known.iter().find(|known| known.name.value == name).map(|known| &known.name.span)
    }

    /// The profiles in use.
    pub(super) fn profiles(&self) -> impl Iterator<Item = &'static Profile> {
        let mut profiles: Vec<&'static Profile> = Vec::new();
        for profile in self.known.iter().filter_map(|known| known.profile) {
            if !profiles.iter().any(|known| known.name == profile.name) {
                profiles.push(profile);
            }
        }
        profiles.into_iter()
    }

    /// Where the first one stands.
    pub(super) fn first(&self) -> Option<Span> {
        self.known.first().map(|known| known.name.span.clone())
    }

    pub(super) fn settings(&self) -> Vec<Arc<ProviderSettings>> {
        self.known.iter().filter_map(|known| known.settings.clone()).collect()
    }

    pub(super) fn warn_of_unused(&self, desk: &mut Desk<'_>) {
        for known in self.known.iter().filter(|known| !known.used.get()) {
            desk.warn(
                &known.name.span,
                format!("no host uses the provider `{}`", known.name.value),
                "remove it, or name it as a host's `provider`, in `sessions`, or in a route's `token`",
            );
        }
    }
}

fn provider(
    name: &At<String>,
    At { span, value: raw }: &At<RawProvider>,
    profile: &'static Profile,
    circumstances: Circumstances,
    desk: &mut Desk<'_>,
) -> Option<ProviderSettings> {
    // Everything is checked before anything is missed.
    let issuer = issuer(name, raw, profile, circumstances, desk);
    let metadata_url = raw.metadata_url.as_ref().map(|url| endpoint(url, circumstances, desk));
    let client_auth = client_auth(raw.client_auth.as_ref(), profile, desk);
    let client_id = client_id(span, raw, profile, desk);
    let scopes = scopes(raw, profile, desk);
    let algorithms = algorithms(raw, profile, desk);
    let acr = acr_table(raw.acr.as_ref(), profile, desk);
    let locale = locale(raw.locale.as_ref(), profile, desk);
    if let Some(ca_file) = &raw.ca_file {
        file::is_readable(ca_file, desk);
    }
    let par = raw.par.as_ref().map_or(profile.par, |par| match par.value {
        RawPar::WhenOffered => Par::WhenOffered,
        RawPar::Required => Par::Required,
        RawPar::Never => Par::Never,
    });
    if !profile.capabilities.people {
        warn_of_logins(raw, profile, desk);
    }
    Some(ProviderSettings {
        name: name.value.clone(),
        profile,
        issuer: issuer?,
        metadata_url: metadata_url
            .map(|sound| sound.then(|| raw.metadata_url.as_ref().map(|url| url.value.clone())))
            .unwrap_or(Some(None))?,
        client_id: client_id?,
        client_auth: client_auth?,
        par,
        scopes,
        algorithms,
        acr,
        locale,
        label: raw.label.as_ref().map(|label| label.value.localised(LABEL, desk)).unwrap_or_default(),
        synthetic_numbers: synthetic_numbers(raw.synthetic_numbers.as_ref(), circumstances, desk),
        ca_file: raw.ca_file.as_ref().map(|file| file.value.clone()),
        insecure_http: circumstances.insecure_loopback,
        insecure_login_without_sid: without_sid(raw, circumstances, desk),
        sends_iss: sends_iss(raw.sends_iss.as_ref(), profile, desk),
        own_callback: raw.callback.as_ref().is_some_and(|given| given.value == RawCallback::Own),
        access_tokens: access_token::kept(raw, profile, desk),
    })
}

/// Keys that speak of how people log in, where nobody does.
fn warn_of_logins(raw: &RawProvider, profile: &Profile, desk: &mut Desk<'_>) {
    fn span<T>(given: Option<&At<T>>) -> Option<&Span> {
        given.map(|given| &given.span)
    }
    let keys = [
        ("client_id", span(raw.client_id.as_ref())),
        ("par", span(raw.par.as_ref())),
        ("scopes", span(raw.scopes.as_ref())),
        ("acr", span(raw.acr.as_ref())),
        ("synthetic_numbers", span(raw.synthetic_numbers.as_ref())),
        ("locale", span(raw.locale.as_ref())),
        ("label", span(raw.label.as_ref())),
        ("callback", span(raw.callback.as_ref())),
        ("sends_iss", span(raw.sends_iss.as_ref())),
        ("insecure_login_without_sid", span(raw.insecure_login_without_sid.as_ref())),
    ];
    for (key, span) in keys.into_iter().filter_map(|(key, span)| Some((key, span?))) {
        let message =
            format!("`{key}` has no effect: nobody logs in at a provider of profile `{}`", profile.name);
        desk.warn(span, message, "remove it");
    }
}

/// A session without `sid` lives on when the person logs out elsewhere (dossier 0, fact 12).
fn without_sid(raw: &RawProvider, circumstances: Circumstances, desk: &mut Desk<'_>) -> bool {
    let Some(given) = raw.insecure_login_without_sid.as_ref().filter(|given| given.value) else {
        return false;
    };
    if circumstances.is_production() {
        desk.error(
            &given.span,
            "`insecure_login_without_sid` is not for production",
            "remove it, and register the client with `frontchannel_logout_session_required`",
        );
    } else {
        desk.warn(
            &given.span,
            "a session without `sid` does not end when the person logs out at another service",
            "remove it, and register the client with `frontchannel_logout_session_required`",
        );
    }
    true
}

/// What the profile demands is demanded of its providers.
fn sends_iss(given: Option<&At<bool>>, profile: &Profile, desk: &mut Desk<'_>) -> bool {
    let promised = profile.capabilities.iss_in_response;
    if let Some(given) = given.filter(|given| promised && !given.value) {
        desk.error(
            &given.span,
            format!("the answers of profile `{}` have `iss`; one without is none of them", profile.name),
            "remove the line",
        );
    }
    given.map_or(promised, |given| given.value)
}

fn issuer(
    name: &At<String>,
    raw: &RawProvider,
    profile: &'static Profile,
    circumstances: Circumstances,
    desk: &mut Desk<'_>,
) -> Option<String> {
    let Some(given) = &raw.issuer else {
        let default = match circumstances.environment? {
            Environment::Production => profile.production_issuer,
            Environment::Test => profile.test_issuer,
        };
        if default.is_none() && !raw.unread.contains(&"issuer") {
            let message = format!("`issuer` is missing: profile `{}` has no issuer of its own", profile.name);
            desk.error(&name.span, message, "add `issuer: https://…`, exactly as in the provider's metadata");
        }
        return default.map(str::to_owned);
    };
    let sound = endpoint(given, circumstances, desk);
    let is = |issuer: Option<&str>| issuer.is_some_and(|issuer| same_issuer(issuer, &given.value));
    if sound
        && circumstances.is_production()
        && profile.production_issuer.is_some()
        && !is(profile.production_issuer)
    {
        desk.warn(
            &given.span,
            format!("this is not the issuer of profile `{}`, and would be believed as it is", profile.name),
            "remove the line to use the profile's own",
        );
    }
    if sound && circumstances.environment == Some(Environment::Test) && is(profile.production_issuer) {
        desk.warn(
            &given.span,
            "people log in here in earnest, and the environment is `test`",
            "remove the line to use the profile's test issuer",
        );
    }
    sound.then(|| given.value.clone())
}

fn same_issuer(one: &str, other: &str) -> bool {
    one.trim_end_matches('/').eq_ignore_ascii_case(other.trim_end_matches('/'))
}

/// Whether a URL of the provider may be called and believed (`threats.md` OM-3).
fn endpoint(text: &At<String>, circumstances: Circumstances, desk: &mut Desk<'_>) -> bool {
    let place = match url(&text.value) {
        Ok((place, _)) => place,
        Err(why) => {
            desk.error(
                &text.span,
                format!("this is not a provider's URL: {why}"),
                "write `https://host[:port][/path]`",
            );
            return false;
        }
    };
    if circumstances.is_production() && (place.is_loopback() || is_test_issuer(&place)) {
        desk.error(
            &text.span,
            "a test provider is refused in production",
            "name the provider that people log in at",
        );
        return false;
    }
    if !circumstances.allow(&place) {
        desk.error(
            &text.span,
            "a provider is called by https only",
            "write `https://`; plain http is for loopback, with `insecure_http_loopback: true`",
        );
        return false;
    }
    true
}

/// Whether it is the host of some profile's test issuer.
fn is_test_issuer(place: &Place) -> bool {
    let tests = PROFILES.iter().filter_map(|profile| profile.test_issuer);
    tests.filter_map(|issuer| url(issuer).ok()).any(|(test, _)| test.host.name == place.host.name)
}

/// RFC 6749, appendix A.1: printable ASCII.
fn client_id(at: &Span, raw: &RawProvider, profile: &Profile, desk: &mut Desk<'_>) -> Option<String> {
    let Some(given) = &raw.client_id else {
        if !profile.capabilities.people {
            return Some(String::new());
        }
        if !raw.unread.contains(&"client_id") {
            desk.error(at, "`client_id` is missing", "add `client_id:`, the client id, as registered");
        }
        return None;
    };
    if !given.value.bytes().all(|byte| (0x20..=0x7e).contains(&byte)) {
        desk.error(&given.span, "this is no client id", "write printable ASCII, exactly as registered");
    }
    Some(given.value.clone())
}

fn client_auth(
    given: Option<&At<RawClientAuth>>,
    profile: &Profile,
    desk: &mut Desk<'_>,
) -> Option<ClientAuth> {
    let Some(given) = given else { return Some(ClientAuth::PrivateKeyJwt) };
    let auth = match &given.value {
        RawClientAuth::PrivateKeyJwt => ClientAuth::PrivateKeyJwt,
        RawClientAuth::SecretBasic(place) => ClientAuth::ClientSecretBasic(file::secret(place, desk)?),
        RawClientAuth::SecretPost(place) => ClientAuth::ClientSecretPost(file::secret(place, desk)?),
    };
    if !profile.client_auth.contains(&auth.method()) {
        let message = format!("profile `{}` does not know `{}`", profile.name, auth.method().as_str());
        let known = one_of(profile.client_auth.iter().map(|method| method.as_str()));
        let fix = if known.is_empty() { "remove it".to_owned() } else { format!("write {known}") };
        desk.error(&given.span, message, fix);
    }
    Some(auth)
}

/// Production keeps test persons out unless the file says otherwise, and then it is told (`threats.md` OM-3).
fn synthetic_numbers(
    given: Option<&At<RawSynthetic>>,
    circumstances: Circumstances,
    desk: &mut Desk<'_>,
) -> SyntheticNumbers {
    let Some(given) = given else {
        return if circumstances.is_production() {
            SyntheticNumbers::Refuse
        } else {
            SyntheticNumbers::Accept
        };
    };
    if circumstances.is_production() && given.value == RawSynthetic::Accept {
        desk.error(
            &given.span,
            "test persons are not accepted in production without a word",
            "write `refuse`, or `warn` to let them in and be told each time",
        );
    }
    if circumstances.is_production() && given.value == RawSynthetic::Warn {
        desk.warn(
            &given.span,
            "people with numbers that no person has can log in here",
            "remove the line to refuse them",
        );
    }
    match given.value {
        RawSynthetic::Refuse => SyntheticNumbers::Refuse,
        RawSynthetic::Warn => SyntheticNumbers::Warn,
        RawSynthetic::Accept => SyntheticNumbers::Accept,
    }
}

fn scopes(raw: &RawProvider, profile: &Profile, desk: &mut Desk<'_>) -> Vec<String> {
    let Some(given) = &raw.scopes else {
        return profile.scopes.iter().map(|scope| (*scope).to_owned()).collect();
    };
    for scope in &given.value {
        // RFC 6749, 3.3.
        if !scope.value.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\') {
            desk.error(
                &scope.span,
                "this is no scope",
                "write each scope as an entry of its own: `[openid, profile]`",
            );
        }
    }
    if profile.capabilities.people && !given.value.iter().any(|scope| scope.value == "openid") {
        desk.error(
            &given.span,
            "`openid` is not among the scopes",
            "add `openid`: without it there is no ID token",
        );
    }
    distinct(&given.value, desk)
}

fn algorithms(raw: &RawProvider, profile: &Profile, desk: &mut Desk<'_>) -> Vec<Algorithm> {
    let Some(given) = &raw.algorithms else { return profile.algorithms.to_vec() };
    let names = || Algorithm::ALL.into_iter().map(Algorithm::as_str);
    for algorithm in given.value.iter().filter(|algorithm| algorithm.value.parse::<Algorithm>().is_err()) {
        let hint = match algorithm.value.as_str() {
            "none" | "HS256" | "HS384" | "HS512" => "; anybody could sign with it".to_owned(),
            other => {
                nearest(other, names()).map(|meant| format!("; did you mean `{meant}`?")).unwrap_or_default()
            }
        };
        let message =
            format!("{} is not accepted as a signature algorithm{hint}", desk.quoted(&algorithm.span));
        desk.error(&algorithm.span, message, format!("write {}", one_of(names())));
    }
    distinct(&given.value, desk).iter().filter_map(|name| name.parse().ok()).collect()
}

fn acr_table(given: Option<&At<Named<RawAcr>>>, profile: &Profile, desk: &mut Desk<'_>) -> AcrTable {
    let own = profile.acr_table();
    let mut rows = own.rows().to_vec();
    for (acr, raw) in given.iter().flat_map(|given| &given.value.0) {
        if acr.value.is_empty()
            || acr.value.len() > 256
            || !acr.value.bytes().all(|byte| byte.is_ascii_graphic())
        {
            desk.error(
                &acr.span,
                "this is no `acr` value",
                "write printable ASCII without blanks, exactly as in the provider's tokens",
            );
        } else if profile.leaves_to_operator(&acr.value) {
            desk.warn(
                &acr.span,
                format!("{} is worth what each employer makes of it", desk.quoted(&acr.span)),
                "let it be worth a level only if you know how these employers identify their people",
            );
        } else if own.rank(&acr.value).is_some() {
            desk.error(
                &acr.span,
                format!("profile `{}` says what this value is worth", profile.name),
                "remove it: the profile's own values cannot be changed",
            );
        }
        let Some(raw) = raw.as_ref().map(|raw| &raw.value) else { continue };
        let (Some(level), Some(framework)) = (&raw.level, &raw.framework) else { continue };
        if !own.rows().is_empty() && own.rows().iter().all(|row| row.acr != acr.value) {
            // A plain provider's values mean what its operator says; what a profile does not know is said aloud.
            desk.warn(
                &acr.span,
                format!(
                    "profile `{}` does not know the `acr` value {}: people log in by it because this file says so",
                    profile.name,
                    desk.quoted(&acr.span)
                ),
                "keep it if the provider's documentation says what it is worth; remove it once the profile does",
            );
        }
        rows.push(AcrRow {
            acr: acr.value.clone(),
            level: self::level(level.value),
            framework: match framework.value {
                RawFramework::National => Framework::National,
                RawFramework::Eidas => Framework::Eidas,
                RawFramework::Email => Framework::Email,
                RawFramework::Employee => Framework::Employee,
                RawFramework::Helper => Framework::Helper,
            },
            requestable: raw.requestable.as_ref().is_some_and(|requestable| requestable.value),
            asserted: true,
        });
    }
    AcrTable::new(rows)
}

pub(super) fn level(raw: RawLevel) -> Option<Level> {
    match raw {
        RawLevel::None => None,
        RawLevel::Low => Some(Level::Low),
        RawLevel::Substantial => Some(Level::Substantial),
        RawLevel::High => Some(Level::High),
    }
}

fn locale(given: Option<&At<String>>, profile: &Profile, desk: &mut Desk<'_>) -> Option<String> {
    let given = given?;
    let text = given.value.as_str();
    // RFC 5646, 2.1, as far as languages, scripts and regions go.
    let shaped = text
        .split('-')
        .all(|part| (2..=8).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_alphanumeric()));
    if !profile.locales.is_empty() && !profile.locales.contains(&text) {
        let message =
            format!("profile `{}` does not know the language {}", profile.name, desk.quoted(&given.span));
        desk.error(&given.span, message, format!("write {}", one_of(profile.locales.iter().copied())));
    } else if !shaped {
        desk.error(
            &given.span,
            format!("{} is no language", desk.quoted(&given.span)),
            "write a tag such as `nb` or `en-GB`",
        );
    }
    Some(given.value.clone())
}

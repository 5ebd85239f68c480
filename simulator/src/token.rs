//! What the provider signs: ID tokens (dossier 2.6), logout tokens (3.4) and machines' access tokens (1.6), honest or
//! as ordered.

use serde_json::{Map, Value, json};

use crate::jws::{Keys, SigningKey, signing_input, spoil};
use crate::lie::Lie;
use crate::random;
use crate::world::{World, locked};

/// The claims every ID token has, beside those that say who it is.
pub(crate) struct IdToken<'a> {
    pub(crate) issuer: &'a str,
    pub(crate) client_id: &'a str,
    /// What the pairwise `sub` is made from.
    pub(crate) subject: &'a str,
    pub(crate) acr: &'a str,
    pub(crate) amr: &'a str,
    pub(crate) auth_time: u64,
    pub(crate) nonce: Option<&'a str>,
    pub(crate) sid: Option<&'a str>,
    pub(crate) locale: Option<&'a str>,
    pub(crate) identity: Map<String, Value>,
}

impl IdToken<'_> {
    /// Claims that live 120 s from `now`.
    pub(crate) fn claims(&self, now: u64) -> Map<String, Value> {
        let mut claims = self.identity.clone();
        let mut say = |name: &str, value: Value| claims.insert(name.into(), value);
        say("iss", json!(self.issuer));
        say("aud", json!(self.client_id));
        say("sub", json!(pairwise(self.client_id, self.subject)));
        say("acr", json!(self.acr));
        say("amr", json!([self.amr]));
        say("auth_time", json!(self.auth_time));
        say("iat", json!(now));
        say("exp", json!(now + 120));
        say("jti", json!(random::token()));
        let optional = [("nonce", self.nonce), ("sid", self.sid), ("locale", self.locale)];
        for (name, value) in optional {
            if let Some(value) = value {
                say(name, json!(value));
            }
        }
        claims
    }
}

/// A subject that means nothing to another client.
pub(crate) fn pairwise(client_id: &str, subject: &str) -> String {
    random::sha256(&format!("{client_id} {subject}"))
}

/// Signs an ID token, with the lies ordered.
pub(crate) fn sign_id_token(
    world: &World,
    keys: &Keys,
    mut claims: Map<String, Value>,
    typ: Option<&str>,
) -> String {
    let key = keys.active();
    let mut header = key.header(typ);
    bend_claims(world, &mut claims);
    replace(&mut claims, &locked(&world.settings).id_token_claims);
    if world.lies(Lie::IdTokenUnknownKid) {
        header.insert("kid".into(), json!(random::token()));
    }
    if world.lies(Lie::IdTokenMissingKid) {
        header.remove("kid");
    }
    if world.lies(Lie::IdTokenCrit) {
        header.insert("crit".into(), json!(["b64"]));
        header.insert("b64".into(), json!(true));
    }
    let mut payload = Value::Object(claims).to_string();
    if world.lies(Lie::IdTokenDuplicateMember) {
        payload.insert_str(1, r#""acr":"idporten-loa-high","pid":"45840375084","#);
    }
    seal(world, key, header, &payload)
}

/// Claims that are false, or missing.
fn bend_claims(world: &World, claims: &mut Map<String, Value>) {
    let issued = claims["iat"].as_u64().unwrap_or_default();
    let bent = [
        (Lie::IdTokenWrongIss, "iss", json!("http://127.0.0.1/other")),
        (Lie::IdTokenWrongAud, "aud", json!("another-client")),
        (Lie::IdTokenAudTwo, "aud", json!([claims["aud"], "another-client"])),
        (Lie::IdTokenWrongNonce, "nonce", json!(random::token())),
        (Lie::IdTokenUnknownAcr, "acr", json!("idporten-loa-substantial-limited-x")),
        (Lie::IdTokenLimitedAcr, "acr", json!("idporten-loa-substantial-limited")),
        (Lie::IdTokenStaleAuthTime, "auth_time", json!(issued.saturating_sub(3 * 3600))),
        (Lie::IdTokenAmrString, "amr", claims["amr"][0].clone()),
        (Lie::IdTokenBadPid, "pid", json!("1783853417x")),
    ];
    for (lie, name, value) in bent {
        if world.lies(lie) {
            claims.insert(name.into(), value);
        }
    }
    let missing = [
        (Lie::IdTokenMissingNonce, "nonce"),
        (Lie::IdTokenMissingSub, "sub"),
        (Lie::IdTokenMissingSid, "sid"),
        (Lie::IdTokenMissingAcr, "acr"),
        (Lie::IdTokenMissingAuthTime, "auth_time"),
    ];
    for (lie, name) in missing {
        if world.lies(lie) {
            claims.remove(name);
        }
    }
    for (lie, seconds) in [(Lie::IdTokenExpired, -720), (Lie::IdTokenFutureIat, 600)] {
        if world.lies(lie) {
            let iat = issued.saturating_add_signed(seconds);
            claims.insert("iat".into(), json!(iat));
            claims.insert("exp".into(), json!(iat + 120));
        }
    }
}

/// Signs a machine's access token, with the lies and the claims ordered.
pub(crate) fn sign_access_token(world: &World, keys: &Keys, mut claims: Map<String, Value>) -> String {
    let key = keys.active();
    // Maskinporten's header has neither `typ` nor `x5c`.
    let mut header = key.header(None);
    header.remove("x5c");
    let issuer = claims["iss"].as_str().unwrap_or_default().trim_end_matches('/').to_owned();
    let bent = [
        (Lie::AccessTokenWrongIss, "iss", json!("https://maskinporten.example/")),
        (Lie::AccessTokenNoSlash, "iss", json!(issuer)),
        (Lie::AccessTokenWithPid, "pid", json!("24929935140")),
    ];
    for (lie, name, value) in bent {
        if world.lies(lie) {
            claims.insert(name.into(), value);
        }
    }
    let issued = claims["iat"].as_u64().unwrap_or_default();
    for (lie, seconds) in [(Lie::AccessTokenExpired, -720), (Lie::AccessTokenFutureIat, 600)] {
        if world.lies(lie) {
            let iat = issued.saturating_add_signed(seconds);
            claims.insert("iat".into(), json!(iat));
            claims.insert("exp".into(), json!(iat + 120));
        }
    }
    if world.lies(Lie::AccessTokenUnknownKid) {
        header.insert("kid".into(), json!(random::token()));
    }
    {
        let settings = locked(&world.settings);
        replace(&mut claims, &settings.access_token_claims);
        replace(&mut header, &settings.access_token_header);
    }
    let mut payload = Value::Object(claims).to_string();
    if world.lies(Lie::AccessTokenDuplicateMember) {
        let other = r#""consumer":{"authority":"iso6523-actorid-upis","ID":"0192:991825827"},"#;
        payload.insert_str(1, other);
    }
    if world.lies(Lie::AccessTokenAlgNone) {
        header.insert("alg".into(), json!("none"));
        return format!("{}.", signing_input(&header, payload.as_bytes()));
    }
    if world.lies(Lie::AccessTokenHs256) {
        header.insert("alg".into(), json!("HS256"));
        return key.forge_hs256(&header, payload.as_bytes());
    }
    let token = key.sign(&header, payload.as_bytes());
    if world.lies(Lie::AccessTokenBadSignature) { spoil(&token) } else { token }
}

/// Null takes a member away.
fn replace(members: &mut Map<String, Value>, ordered: &Map<String, Value>) {
    for (name, value) in ordered {
        if value.is_null() {
            members.remove(name);
        } else {
            members.insert(name.clone(), value.clone());
        }
    }
}

/// The signature, or what passes for one.
fn seal(world: &World, key: &SigningKey, mut header: Map<String, Value>, payload: &str) -> String {
    if world.lies(Lie::IdTokenAlgNone) {
        header.insert("alg".into(), json!("none"));
        return format!("{}.", signing_input(&header, payload.as_bytes()));
    }
    if world.lies(Lie::IdTokenHs256) {
        header.insert("alg".into(), json!("HS256"));
        return key.forge_hs256(&header, payload.as_bytes());
    }
    if world.lies(Lie::IdTokenNotJwt) {
        return "not-a-jwt".into();
    }
    let token = key.sign(&header, payload.as_bytes());
    if world.lies(Lie::IdTokenNested) {
        header.insert("cty".into(), json!("JWT"));
        return key.sign(&header, token.as_bytes());
    }
    if world.lies(Lie::IdTokenBadSignature) { spoil(&token) } else { token }
}

/// A logout token (OIDC Back-Channel Logout 1.0, 2.4; dossier 3.4): `sub` is the bare subject, not the pairwise one.
pub(crate) fn logout_token(
    world: &World,
    keys: &Keys,
    issuer: &str,
    client_id: &str,
    (subject, sid): (&str, &str),
) -> String {
    let expired = world.lies(Lie::LogoutTokenExpired);
    let now = world.clock.now().saturating_sub(if expired { 900 } else { 0 });
    let mut claims = json!({
        "iss": issuer,
        "aud": client_id,
        "sub": subject,
        "sid": sid,
        "jti": random::token(),
        "iat": now,
        "exp": now + 300,
        "events": {"http://schemas.openid.net/event/backchannel-logout": {}},
    });
    if world.lies(Lie::LogoutTokenWrongIss) {
        claims["iss"] = json!("http://127.0.0.1/other");
    }
    if world.lies(Lie::LogoutTokenWrongAud) {
        claims["aud"] = json!("another-client");
    }
    if world.lies(Lie::LogoutTokenWithNonce) {
        claims["nonce"] = json!(random::token());
    }
    let missing = [(Lie::LogoutTokenNoEvents, "events"), (Lie::LogoutTokenNoSid, "sid")];
    let missing: Vec<_> = missing.iter().filter(|(lie, _)| world.lies(*lie)).collect();
    if let Some(claims) = claims.as_object_mut() {
        missing.iter().for_each(|(_, name)| {
            claims.remove(*name);
        });
    }
    let key = keys.active();
    let token = key.sign(&key.header(Some("logout+jwt")), claims.to_string().as_bytes());
    if world.lies(Lie::LogoutTokenBadSignature) { spoil(&token) } else { token }
}

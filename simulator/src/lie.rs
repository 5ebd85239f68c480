//! The lies: each makes the provider misbehave in one way for the next N uses.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Writes the enum and the list of all its members from one table.
macro_rules! lies {
    ($($variant:ident = $name:literal, $meaning:literal;)*) => {
        /// One way to misbehave.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
        pub(crate) enum Lie { $(#[doc = $meaning] #[serde(rename = $name)] $variant,)* }

        impl Lie {
            /// Every lie and what it does, for `GET /control`.
            pub(crate) const ALL: &[(Lie, &str)] = &[$((Lie::$variant, $meaning),)*];
        }
    };
}

lies! {
    IdTokenWrongIss = "id_token_wrong_iss", "another issuer in iss";
    IdTokenWrongAud = "id_token_wrong_aud", "another client in aud";
    IdTokenAudTwo = "id_token_aud_two", "aud is an array of this client and another";
    IdTokenWrongNonce = "id_token_wrong_nonce", "another nonce";
    IdTokenMissingNonce = "id_token_missing_nonce", "no nonce";
    IdTokenAlgNone = "id_token_alg_none", "alg none, empty signature";
    IdTokenHs256 = "id_token_hs256_public_key", "alg HS256, keyed with the public key's PEM";
    IdTokenExpired = "id_token_expired", "expired ten minutes ago";
    IdTokenFutureIat = "id_token_future_iat", "issued in ten minutes";
    IdTokenMissingSub = "id_token_missing_sub", "no sub";
    IdTokenMissingSid = "id_token_missing_sid", "no sid";
    IdTokenMissingAcr = "id_token_missing_acr", "no acr";
    IdTokenUnknownAcr = "id_token_unknown_acr", "acr idporten-loa-substantial-limited-x";
    IdTokenLimitedAcr = "id_token_limited_acr", "acr idporten-loa-substantial-limited";
    IdTokenMissingAuthTime = "id_token_missing_auth_time", "no auth_time";
    IdTokenStaleAuthTime = "id_token_stale_auth_time", "auth_time three hours ago";
    IdTokenAmrString = "id_token_amr_string", "amr is a string, as in old documentation";
    IdTokenBadSignature = "id_token_bad_signature", "one bit of the signature differs";
    IdTokenUnknownKid = "id_token_unknown_kid", "kid is not in the key set";
    IdTokenMissingKid = "id_token_missing_kid", "no kid";
    IdTokenDuplicateMember = "id_token_duplicate_member", "pid and acr occur twice, another person's first";
    IdTokenCrit = "id_token_crit_header", "the header has crit";
    IdTokenNested = "id_token_nested", "the payload is itself a JWT (cty JWT)";
    IdTokenMissing = "id_token_missing", "the token response has no id_token";
    IdTokenNotJwt = "id_token_not_jwt", "the id_token is not a JWT";
    IdTokenBadPid = "id_token_bad_pid", "pid is not eleven digits";
    UserinfoOtherSub = "userinfo_other_sub", "userinfo speaks of another subject";
    Token401 = "token_401", "the token endpoint answers 401 invalid_client";
    TokenInvalidGrant = "token_invalid_grant", "the token endpoint answers 400 invalid_grant";
    Token500 = "token_500", "the token endpoint answers 500";
    Token503 = "token_503", "the token endpoint answers 503";
    TokenSlow = "token_slow", "the token endpoint waits slow_milliseconds first";
    TokenHuge = "token_huge", "the token endpoint answers 32 MiB";
    TokenRedirect = "token_redirect", "the token endpoint answers 307 to elsewhere";
    TokenNotJson = "token_not_json", "the token endpoint answers 200 with HTML";
    RefreshInvalidGrant = "refresh_invalid_grant", "a refresh is answered by 400 invalid_grant";
    RefreshUnauthorizedClient = "refresh_unauthorized_client", "a refresh is answered by 400 unauthorized_client";
    Refresh500 = "refresh_500", "a refresh is answered by 500";
    RefreshSlow = "refresh_slow", "a refresh waits slow_milliseconds first";
    RefreshNotJson = "refresh_not_json", "a refresh is answered by 200 with HTML";
    RefreshReplyLost = "refresh_reply_lost", "the refresh token is exchanged, and the answer is 502 without it";
    RefreshNoRotation = "refresh_no_rotation", "a refresh brings no new refresh token, and the old one stays";
    RefreshNoIdToken = "refresh_no_id_token", "a refresh brings no ID token";
    RefreshOtherPerson = "refresh_other_person", "a refresh brings another person's tokens";
    RefreshOtherSid = "refresh_other_sid", "a refresh brings an ID token of another session";
    RefreshSameNonce = "refresh_same_nonce", "a refresh brings an ID token with the login's nonce";
    RefreshOtherNonce = "refresh_other_nonce", "a refresh brings an ID token with another nonce";
    RevokeSlow = "revoke_slow", "revocation waits slow_milliseconds first";
    Revoke500 = "revoke_500", "revocation answers 500";
    Par401 = "par_401", "PAR answers 401 invalid_client";
    Par500 = "par_500", "PAR answers 500";
    Par503 = "par_503", "PAR answers 503";
    ParSlow = "par_slow", "PAR waits slow_milliseconds first";
    ParHuge = "par_huge", "PAR answers 32 MiB";
    ParRedirect = "par_redirect", "PAR answers 307 to elsewhere";
    ParNotJson = "par_not_json", "PAR answers 201 with HTML";
    DiscoveryWrongIssuer = "discovery_wrong_issuer", "the metadata names another issuer";
    DiscoveryWithoutSid = "discovery_without_sid", "the metadata promises no sid";
    Discovery500 = "discovery_500", "the metadata answers 500";
    DiscoverySlow = "discovery_slow", "the metadata waits slow_milliseconds first";
    DiscoveryHuge = "discovery_huge", "the metadata is 32 MiB";
    DiscoveryNotJson = "discovery_not_json", "the metadata is HTML";
    JwksEmpty = "jwks_empty", "the key set is empty";
    Jwks500 = "jwks_500", "the key set answers 500";
    JwksSlow = "jwks_slow", "the key set waits slow_milliseconds first";
    JwksHuge = "jwks_huge", "the key set is 32 MiB";
    JwksNotJson = "jwks_not_json", "the key set is HTML";
    JwksAlgNone = "jwks_alg_none", "the key set has a further key with alg none, first";
    JwksDuplicateKids = "jwks_duplicate_kids", "a foreign key comes first under the active key's kid";
    CallbackCodeMissing = "callback_code_missing", "the callback has no code";
    CallbackCodeDoubled = "callback_code_doubled", "the callback has code twice";
    CallbackStateWrong = "callback_state_wrong", "the callback has another state";
    CallbackStateMissing = "callback_state_missing", "the callback has no state";
    CallbackStateEncoded = "callback_state_encoded", "state is URL-encoded twice";
    CallbackIssWrong = "callback_iss_wrong", "iss is another issuer";
    CallbackIssMissing = "callback_iss_missing", "the callback has no iss";
    CallbackIssDoubleEncoded = "callback_iss_double_encoded", "iss is URL-encoded twice";
    CallbackServerError = "callback_server_error", "the callback is error=server_error";
    SsoAnyFramework = "sso_any_framework", "whoever is logged in at all is let through, whatever level is asked for";
    AccessTokenWrongIss = "access_token_wrong_iss", "a machine's token of another issuer";
    AccessTokenNoSlash = "access_token_iss_without_slash", "iss of a machine's token lacks its slash";
    AccessTokenAlgNone = "access_token_alg_none", "a machine's token with alg none, empty signature";
    AccessTokenHs256 = "access_token_hs256_public_key", "a machine's token with alg HS256, keyed with the public key's PEM";
    AccessTokenExpired = "access_token_expired", "a machine's token that expired ten minutes ago";
    AccessTokenFutureIat = "access_token_future_iat", "a machine's token issued in ten minutes";
    AccessTokenWithPid = "access_token_with_pid", "a machine's token that names a person";
    AccessTokenUnknownKid = "access_token_unknown_kid", "kid of a machine's token is not in the key set";
    AccessTokenBadSignature = "access_token_bad_signature", "one bit of the signature of a machine's token differs";
    AccessTokenDuplicateMember = "access_token_duplicate_member", "consumer occurs twice in a machine's token";
    LogoutTokenWrongIss = "logout_token_wrong_iss", "logout token of another issuer";
    LogoutTokenWrongAud = "logout_token_wrong_aud", "logout token for another client";
    LogoutTokenWithNonce = "logout_token_with_nonce", "logout token with nonce";
    LogoutTokenNoEvents = "logout_token_missing_events", "logout token without events";
    LogoutTokenNoSid = "logout_token_missing_sid", "logout token without sid";
    LogoutTokenExpired = "logout_token_expired", "logout token expired ten minutes ago";
    LogoutTokenBadSignature = "logout_token_bad_signature", "one bit of the logout token's signature differs";
    LogoutTokenTwice = "logout_token_twice", "the same logout token is posted twice";
    FrontchannelSlash = "frontchannel_iss_slash", "iss of front-channel calls ends in a slash, as in the docs' sample";
    LogoutStateEncoded = "logout_state_encoded", "state is URL-encoded twice after logout";
}

/// The lies that are still to be told, with how often.
#[derive(Default)]
pub(crate) struct Lies(BTreeMap<Lie, u64>);

impl Lies {
    /// The next `times` uses lie; 0 ends it.
    pub(crate) fn order(&mut self, lie: Lie, times: u64) {
        self.0.insert(lie, times);
        self.0.retain(|_, times| *times > 0);
    }

    /// Whether to lie now; counts as one use.
    pub(crate) fn tell(&mut self, lie: Lie) -> bool {
        let Some(times) = self.0.get_mut(&lie) else { return false };
        *times -= 1;
        if *times == 0 {
            self.0.remove(&lie);
        }
        true
    }

    /// Tells the truth again.
    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    /// What is still to be told.
    pub(crate) fn pending(&self) -> impl Iterator<Item = (Lie, u64)> {
        self.0.iter().map(|(lie, times)| (*lie, *times))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lie_is_told_as_often_as_ordered() {
        let mut lies = Lies::default();
        lies.order(Lie::Token503, 2);
        assert!(!lies.tell(Lie::Par503));
        assert!(lies.tell(Lie::Token503) && lies.tell(Lie::Token503) && !lies.tell(Lie::Token503));
        lies.order(Lie::Token503, 1);
        lies.order(Lie::Token503, 0);
        assert!(!lies.tell(Lie::Token503));
    }
}

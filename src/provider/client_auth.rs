//! How the gateway proves to the provider who it is: exactly the registered method (dossier 2.5).
//!
//! **Invariant:** a client assertion is made for one attempt of one call, with a new `jti`.

use base64_simd::STANDARD;
use portvakt_core::clock::Timestamp;
use portvakt_core::provider::ClientAuth;
use portvakt_core::token::{client_assertion, random};
use reqwest::RequestBuilder;
use reqwest::header::{AUTHORIZATION, HeaderValue};
use secrecy::ExposeSecret;
use url::{Url, form_urlencoded};

use super::{Parameters, Provider, ProviderError};

/// RFC 7523, 2.2.
const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

impl Provider {
    /// A form of ours to this endpoint, authenticated. `client_id` is in the form whatever the method:
    /// ID-porten demands it (dossier 2.5), RFC 9126, 2.1 too.
    pub(super) fn authenticated(
        &self,
        endpoint: &Url,
        parameters: &Parameters,
        now: Timestamp,
    ) -> Result<RequestBuilder, ProviderError> {
        let client_id = &self.settings.client_id;
        let mut form: Parameters = parameters.clone();
        form.push(("client_id", client_id.clone()));
        let mut authorization = None;
        match &self.settings.client_auth {
            ClientAuth::PrivateKeyJwt => {
                form.push(("client_assertion_type", ASSERTION_TYPE.to_owned()));
                form.push(("client_assertion", self.assertion(now)?));
            }
            ClientAuth::ClientSecretBasic(secret) => {
                authorization = Some(basic(client_id, secret.expose_secret()));
            }
            ClientAuth::ClientSecretPost(secret) => {
                form.push(("client_secret", secret.expose_secret().to_owned()));
            }
        }
        let request = self.http.post(endpoint, &form);
        Ok(match authorization {
            Some(value) => request.header(AUTHORIZATION, value),
            None => request,
        })
    }

    fn assertion(&self, now: Timestamp) -> Result<String, ProviderError> {
        let client_key = self.client_key.load();
        let client_key = client_key.as_ref().ok_or(ProviderError::NoClientKey)?;
        // The issuer, one string, at every endpoint (dossier 0, fact 7).
        let (client_id, audience) = (&self.settings.client_id, &self.settings.issuer);
        client_assertion(&client_key.key, &client_key.kid, client_id, audience, now, random())
            .map_err(ProviderError::Signing)
    }
}

/// RFC 6749, 2.3.1: both parts are form-encoded before they are joined.
fn basic(client_id: &str, secret: &str) -> HeaderValue {
    let encoded = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    let pair = format!("{}:{}", encoded(client_id), encoded(secret));
    let value = format!("Basic {}", STANDARD.encode_to_string(pair));
    let mut value = HeaderValue::from_str(&value).expect("base64 is visible ASCII");
    value.set_sensitive(true);
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn basic_encodes_both_parts_as_a_form_before_it_joins_them() {
        let value = basic("gw:client 1", "p@ss/w+rd %å");
        let decoded =
            STANDARD.decode_to_vec(value.to_str().unwrap().strip_prefix("Basic ").unwrap()).unwrap();
        assert_eq!(decoded, b"gw%3Aclient+1:p%40ss%2Fw%2Brd+%25%C3%A5");
        assert_eq!(format!("{value:?}"), "Sensitive");
    }
}

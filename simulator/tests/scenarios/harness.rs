//! The simulator as a process of its own, a client registered with it, and a browser with cookies.

use std::collections::BTreeMap;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{
    KeyPair as _, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256, RsaPublicKeyComponents,
};
use base64_simd::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use tokio::process::{Child, Command};
use tokio::time::timeout;

const CALLBACK: &str = "http://localhost:9/callback";
const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// A running simulator; it ends with this value.
pub(crate) struct Simulator {
    pub(crate) browser: reqwest::Client,
    origin: String,
    key: KeyPair,
    _process: Child,
}

impl Simulator {
    pub(crate) async fn start() -> Self {
        rustls::crypto::aws_lc_rs::default_provider().install_default().ok();
        let (process, origin) = program(env!("CARGO_BIN_EXE_portvakt-simulator"), "simulator ready ").await;
        let browser = reqwest::Client::builder()
            .tls_danger_accept_invalid_certs(true)
            .no_proxy()
            .cookie_store(true)
            .redirect(reqwest::redirect::Policy::none())
            .timeout(Duration::from_secs(20))
            .build()
            .unwrap();
        let key = KeyPair::generate(KeySize::Rsa2048).unwrap();
        let simulator = Self { browser, origin, key, _process: process };
        simulator.register_logout("http://127.0.0.1:9").await;
        simulator
    }

    pub(crate) fn issuer(&self) -> String {
        format!("{}/idporten", self.origin)
    }

    /// Registers the client `gateway` with its logout endpoints at `service`.
    pub(crate) async fn register_logout(&self, service: &str) {
        let public = self.key.public_key();
        let n = base64url(public.modulus().big_endian_without_leading_zero());
        let e = base64url(public.exponent().big_endian_without_leading_zero());
        let client = json!({
            "client_id": "gateway",
            "jwks": {"keys": [{"kty": "RSA", "kid": "1", "alg": "RS256", "use": "sig", "n": n, "e": e}]},
            "redirect_uris": [CALLBACK],
            "post_logout_redirect_uris": ["http://localhost:9/out"],
            "frontchannel_logout_uri": format!("{service}/front"),
            "backchannel_logout_uri": format!("{service}/back"),
            "grant_types": ["authorization_code", "refresh_token"],
        });
        self.control(json!({"client": client})).await;
    }

    pub(crate) async fn control(&self, orders: Value) -> Value {
        let response =
            self.browser.post(format!("{}/control", self.origin)).json(&orders).send().await.unwrap();
        let (status, body) = (response.status(), response.text().await.unwrap());
        assert_eq!(status, 200, "{body}");
        serde_json::from_str(&body).unwrap()
    }

    pub(crate) async fn state(&self) -> Value {
        self.json(&format!("{}/control", self.origin)).await
    }

    pub(crate) async fn metadata(&self) -> Value {
        self.json(&format!("{}/.well-known/openid-configuration", self.issuer())).await
    }

    async fn json(&self, url: &str) -> Value {
        self.browser.get(url).send().await.unwrap().json().await.unwrap()
    }

    /// A fresh client assertion.
    pub(crate) fn assertion(&self) -> String {
        let now = now();
        let mut jti = [0; 16];
        aws_lc_rs::rand::fill(&mut jti).unwrap();
        let header = json!({"alg": "RS256", "kid": "1"});
        let claims = json!({
            "iss": "gateway", "sub": "gateway", "aud": self.issuer(),
            "iat": now, "exp": now + 60, "jti": base64url(jti),
        });
        let signed = format!("{}.{}", base64url(header.to_string()), base64url(claims.to_string()));
        let mut signature = vec![0; self.key.public_modulus_len()];
        self.key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), signed.as_bytes(), &mut signature).unwrap();
        format!("{signed}.{}", base64url(signature))
    }

    /// One pushed request; status and body.
    pub(crate) async fn par(&self, assertion: &str, redirect_uri: &str) -> (u16, Value) {
        let login = Login::new(String::new());
        let mut form = login.parameters("idporten-loa-high");
        form.insert("redirect_uri", redirect_uri);
        form.insert("client_assertion", assertion);
        self.post("par", &form).await
    }

    async fn post(&self, path: &str, form: &BTreeMap<&str, &str>) -> (u16, Value) {
        let url = format!("{}/{path}", self.issuer());
        let response = self.browser.post(url).form(form).send().await.unwrap();
        (response.status().as_u16(), response.json().await.unwrap())
    }

    /// Submits the login page's form.
    pub(crate) async fn choose(&self, page: &str, field: &str, value: &str) -> BTreeMap<String, String> {
        let after = |text: &str| page.split_once(text).unwrap().1.split('"').next().unwrap().to_owned();
        let url = format!("{}{}", self.origin, after("action=\""));
        let handle = after("name=\"login\" value=\"");
        let form = [("login", handle.as_str()), (field, value)];
        callback_of(&self.browser.post(url).form(&form).send().await.unwrap())
    }

    /// Header and claims of a token that the published keys verify.
    pub(crate) async fn verify(&self, token: &str) -> (Value, Value) {
        let jwks = self.json(&format!("{}/jwks.json", self.issuer())).await;
        let (signed, signature) = token.rsplit_once('.').unwrap();
        let (header, payload) = signed.split_once('.').unwrap();
        let header: Value = serde_json::from_slice(&plain(header)).unwrap();
        let mut keys = jwks["keys"].as_array().unwrap().iter();
        let key = keys.find(|key| key["kid"] == header["kid"]).unwrap();
        let part = |name: &str| plain(key[name].as_str().unwrap());
        RsaPublicKeyComponents { n: part("n"), e: part("e") }
            .verify(&RSA_PKCS1_2048_8192_SHA256, signed.as_bytes(), &plain(signature))
            .unwrap();
        (header, serde_json::from_slice(&plain(payload)).unwrap())
    }

    pub(crate) async fn userinfo(&self, tokens: &Value) -> Value {
        let url = format!("{}/userinfo", self.issuer());
        let token = tokens["access_token"].as_str().unwrap();
        self.browser.get(url).bearer_auth(token).send().await.unwrap().json().await.unwrap()
    }

    /// Header and claims, unverified.
    pub(crate) fn read(token: &str) -> (Value, Value) {
        let parts: Vec<_> =
            token.split('.').take(2).map(|part| serde_json::from_slice(&plain(part)).unwrap()).collect();
        let [header, claims] = parts.try_into().unwrap();
        (header, claims)
    }

    /// A whole login and logout that takes every answer as it comes, and a machine's token.
    pub(crate) async fn touch_everything(&self) {
        for path in [".well-known/openid-configuration", "jwks.json"] {
            self.browser
                .get(format!("{}/{path}", self.issuer()))
                .send()
                .await
                .unwrap()
                .bytes()
                .await
                .unwrap();
        }
        // The first may meet the lie, the second must succeed if the lie was about PAR.
        let mut pushed = None;
        for _ in 0..2 {
            let mut login = Login::new(String::new());
            let assertion = self.assertion();
            let mut form = login.parameters("idporten-loa-high");
            form.insert("client_assertion", &assertion);
            let url = format!("{}/par", self.issuer());
            let response = self.browser.post(url).form(&form).send().await.unwrap();
            let answer: Value = serde_json::from_slice(&response.bytes().await.unwrap()).unwrap_or_default();
            if let Some(request_uri) = answer["request_uri"].as_str() {
                login.request_uri = request_uri.to_owned();
                pushed = Some(login);
            }
        }
        let login = pushed.unwrap();
        let callback = login.open_as(self, "24929935140_idporten-loa-high").await;
        if let Some(code) = callback.get("code") {
            let assertion = self.assertion();
            let form = login.redemption(&assertion, code);
            let request = self.browser.post(format!("{}/token", self.issuer())).form(&form);
            let answer = request.send().await.unwrap().bytes().await.unwrap();
            let tokens: Value = serde_json::from_slice(&answer).unwrap_or_default();
            let refresh_token = tokens["refresh_token"].as_str().unwrap_or("none");
            for (endpoint, form) in [
                ("token", [("grant_type", "refresh_token"), ("refresh_token", refresh_token)]),
                ("token/revoke", [("token_type_hint", "refresh_token"), ("token", refresh_token)]),
            ] {
                self.post_form(endpoint, &form).await.bytes().await.unwrap();
            }
        }
        // Somebody who has a session comes for a level of another framework.
        let other = Login::push(self, "eidas-loa-substantial").await.open(self).await;
        other.bytes().await.unwrap();
        let query = [
            ("client_id", "gateway"),
            ("post_logout_redirect_uri", "http://localhost:9/out"),
            ("state", "s"),
        ];
        let request = self.browser.get(format!("{}/logout", self.issuer())).query(&query);
        request.send().await.unwrap().bytes().await.unwrap();
        let machine = self.browser.get(format!("{}/maskinporten/demo-token", self.origin));
        machine.send().await.unwrap().bytes().await.unwrap();
    }

    /// An authenticated form of the client.
    async fn post_form(&self, endpoint: &str, form: &[(&str, &str)]) -> reqwest::Response {
        let assertion = self.assertion();
        let mut whole = BTreeMap::from([
            ("client_id", "gateway"),
            ("client_assertion_type", ASSERTION_TYPE),
            ("client_assertion", assertion.as_str()),
        ]);
        whole.extend(form.iter().copied());
        self.browser.post(format!("{}/{endpoint}", self.issuer())).form(&whole).send().await.unwrap()
    }

    /// Other tokens for a refresh token (RFC 6749, 6): status and answer.
    pub(crate) async fn refresh(&self, refresh_token: &str) -> (u16, Value) {
        let form = [("grant_type", "refresh_token"), ("refresh_token", refresh_token)];
        let response = self.post_form("token", &form).await;
        let status = response.status().as_u16();
        (status, serde_json::from_slice(&response.bytes().await.unwrap()).unwrap_or_default())
    }

    /// Ends a token (RFC 7009).
    pub(crate) async fn revoke(&self, token: &str) -> u16 {
        self.post_form("token/revoke", &[("token", token)]).await.status().as_u16()
    }

    /// Where an endpoint that was told to redirect points.
    pub(crate) async fn par_redirect(&self) -> url::Url {
        let url = url::Url::parse(&format!("{}/par", self.issuer())).unwrap();
        let response = self.browser.post(url.clone()).send().await.unwrap();
        assert_eq!(response.status(), 307);
        url.join(response.headers()["location"].to_str().unwrap()).unwrap()
    }

    /// Posts the logout form as a browser does from another site; the address it is sent on to.
    pub(crate) async fn post_logout_without_cookie(&self) -> String {
        let other = reqwest::Client::builder()
            .tls_danger_accept_invalid_certs(true)
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .unwrap();
        let form = [
            ("client_id", "gateway"),
            ("post_logout_redirect_uri", "http://localhost:9/out"),
            ("state", "s"),
        ];
        let response = other.post(format!("{}/logout", self.issuer())).form(&form).send().await.unwrap();
        assert_eq!(response.status(), 303);
        format!("{}{}", self.origin, response.headers()["location"].to_str().unwrap())
    }

    /// The page after RP-initiated logout.
    pub(crate) async fn log_out(&self, hint: &str) -> String {
        let query = [
            ("id_token_hint", hint),
            ("post_logout_redirect_uri", "http://localhost:9/out"),
            ("state", "a&b"),
        ];
        let request = self.browser.get(format!("{}/logout", self.issuer())).query(&query);
        request.send().await.unwrap().text().await.unwrap()
    }
}

/// Starts a program on a free port; its origin is in its first line. It ends with the returned value.
pub(crate) async fn program(path: &str, ready: &str) -> (Child, String) {
    let command = Command::new(path)
        .args(["--listen", "127.0.0.1:0"])
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn();
    let mut process = command.unwrap();
    let mut line = String::new();
    let mut output = BufReader::new(process.stdout.take().unwrap());
    timeout(Duration::from_secs(60), output.read_line(&mut line)).await.unwrap().unwrap();
    (process, line.trim().strip_prefix(ready).unwrap().to_owned())
}

/// One login as a gateway makes it.
pub(crate) struct Login {
    pub(crate) state: String,
    pub(crate) nonce: String,
    verifier: String,
    challenge: String,
    request_uri: String,
}

impl Login {
    fn new(request_uri: String) -> Self {
        let random = || {
            let mut bytes = [0; 32];
            aws_lc_rs::rand::fill(&mut bytes).unwrap();
            base64url(bytes)
        };
        let verifier = random();
        let challenge = base64url(digest(&SHA256, verifier.as_bytes()));
        Self { state: random(), nonce: random(), verifier, challenge, request_uri }
    }

    pub(crate) async fn push(simulator: &Simulator, acr_values: &str) -> Self {
        let mut login = Self::new(String::new());
        let assertion = simulator.assertion();
        let mut form = login.parameters(acr_values);
        form.insert("client_assertion", &assertion);
        let (status, pushed) = simulator.post("par", &form).await;
        assert_eq!(status, 201, "{pushed}");
        assert_eq!(pushed["expires_in"], 120);
        login.request_uri = pushed["request_uri"].as_str().unwrap().to_owned();
        assert!(login.request_uri.starts_with("urn:idporten:"));
        login
    }

    fn parameters<'a>(&'a self, acr_values: &'a str) -> BTreeMap<&'a str, &'a str> {
        BTreeMap::from([
            ("client_id", "gateway"),
            ("client_assertion_type", ASSERTION_TYPE),
            ("response_type", "code"),
            ("redirect_uri", CALLBACK),
            ("scope", "openid profile"),
            ("state", self.state.as_str()),
            ("nonce", self.nonce.as_str()),
            ("code_challenge", self.challenge.as_str()),
            ("code_challenge_method", "S256"),
            ("acr_values", acr_values),
            ("ui_locales", "nn"),
        ])
    }

    /// The browser follows the redirect to `/authorize`.
    pub(crate) async fn open(&self, simulator: &Simulator) -> reqwest::Response {
        let query = [("client_id", "gateway"), ("request_uri", self.request_uri.as_str())];
        simulator.browser.get(format!("{}/authorize", simulator.issuer())).query(&query).send().await.unwrap()
    }

    /// The same, with `login_hint`.
    pub(crate) async fn open_as(&self, simulator: &Simulator, testid: &str) -> BTreeMap<String, String> {
        let hint = format!("testid:{testid}");
        let query =
            [("client_id", "gateway"), ("request_uri", &self.request_uri), ("login_hint", hint.as_str())];
        let url = format!("{}/authorize", simulator.issuer());
        callback_of(&simulator.browser.get(url).query(&query).send().await.unwrap())
    }

    /// The token endpoint's answer, good or bad.
    pub(crate) async fn redeem(&self, simulator: &Simulator, code: &str) -> Value {
        let assertion = simulator.assertion();
        let form = self.redemption(&assertion, code);
        simulator.post("token", &form).await.1
    }

    fn redemption<'a>(&'a self, assertion: &'a str, code: &'a str) -> BTreeMap<&'a str, &'a str> {
        BTreeMap::from([
            ("client_id", "gateway"),
            ("client_assertion_type", ASSERTION_TYPE),
            ("client_assertion", assertion),
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", CALLBACK),
            ("code_verifier", self.verifier.as_str()),
        ])
    }

    /// Redeems and verifies.
    pub(crate) async fn claims(&self, simulator: &Simulator, code: &str) -> (Value, Value) {
        let tokens = self.redeem(simulator, code).await;
        simulator.verify(tokens["id_token"].as_str().unwrap_or_else(|| panic!("{tokens}"))).await
    }
}

/// The parameters that a redirect brings to the client.
pub(crate) fn callback_of(response: &reqwest::Response) -> BTreeMap<String, String> {
    assert_eq!(response.status(), 303);
    let location = response.headers()["location"].to_str().unwrap();
    assert!(location.starts_with(CALLBACK), "{location}");
    url::Url::parse(location).unwrap().query_pairs().into_owned().collect()
}

/// A service whose logout endpoints are called; it answers 200 and remembers each request.
pub(crate) struct Service {
    pub(crate) origin: String,
    calls: Arc<Mutex<Vec<String>>>,
}

impl Service {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let origin = format!("http://{}", listener.local_addr().unwrap());
        let calls = Arc::<Mutex<Vec<String>>>::default();
        let remembered = Arc::clone(&calls);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut request = Vec::new();
                while !complete(&request) && stream.read_buf(&mut request).await.unwrap_or(0) > 0 {}
                remembered.lock().unwrap().push(String::from_utf8(request).unwrap());
                let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
                stream.write_all(answer).await.unwrap();
            }
        });
        Self { origin, calls }
    }

    pub(crate) fn calls(&self) -> Vec<String> {
        self.calls.lock().unwrap().clone()
    }
}

/// Whether head and announced body are there.
fn complete(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request).to_ascii_lowercase();
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    body.len() >= length.map_or(0, |length| length.parse().unwrap())
}

fn base64url(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode_to_string(bytes.as_ref())
}

fn plain(base64url: &str) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode_to_vec(base64url).unwrap()
}

#[expect(clippy::disallowed_methods, reason = "the test's own clock")]
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

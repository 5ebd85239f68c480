//! The audit log: who logged in and out, as the provider's terms demand it (`design.md` D16; dossier 3.6: time,
//! action, result, the user's address, `sid`, and the person after a privacy assessment).
//!
//! By choice also what machines ask for (dossier 1.6: `supplier` and `delegation_source` are to be logged).
//!
//! **Invariant:** this is the one log that holds `sid`, and by choice a person or a machine. No name, no token, no code.

use std::net::IpAddr;

use portvakt_core::clock::Timestamp;
use portvakt_core::config::{AuditPerson, ClientAddress};
use portvakt_core::identity::{Kind, Person, VerifiedIdentity, VerifiedMachine};
use portvakt_core::key::{MacKey, Ring};
use portvakt_core::level::Level;
use portvakt_core::session::SessionId;

use super::access::{Shown, session_tag};
use super::line::{Line, MAX_TEXT, with_line};

/// What somebody did, or had done to them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// Logged in.
    Login,
    /// Logged in again within a session, for a higher level or a fresher authentication.
    StepUp,
    /// Logged out here.
    Logout,
    /// Was logged out by the provider through the browser (front-channel logout).
    FrontChannelLogout,
    /// Was logged out by the provider itself (back-channel logout).
    BackChannelLogout,
    /// Chose for which of several organisations they act, after a login or instead of another one.
    Organisation,
    /// A machine asked for something with a sound token of its own.
    Machine,
}

impl Action {
    /// Every action.
    pub const ALL: [Self; 7] = [
        Self::Login,
        Self::StepUp,
        Self::Logout,
        Self::FrontChannelLogout,
        Self::BackChannelLogout,
        Self::Organisation,
        Self::Machine,
    ];

    /// The name in logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Login => "login",
            Self::StepUp => "step_up",
            Self::Logout => "logout",
            Self::FrontChannelLogout => "frontchannel_logout",
            Self::BackChannelLogout => "backchannel_logout",
            Self::Organisation => "organisation",
            Self::Machine => "machine",
        }
    }
}

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AuditResult {
    /// As intended.
    Success,
    /// Not; the code is a word of the program, never text from outside.
    Failure(&'static str),
}

/// One act.
#[derive(Clone, Copy, Debug)]
pub struct AuditRecord<'a> {
    /// When.
    pub time: Timestamp,
    /// What.
    pub action: Action,
    /// With what result.
    pub result: AuditResult,
    /// From where, always whole; the provider's address for a back-channel logout.
    pub client: Option<IpAddr>,
    /// The provider's name in the configuration.
    pub provider: &'a str,
    /// The provider's `sid`.
    pub sid: Option<&'a str>,
    /// The level that was reached.
    pub level: Option<Level>,
    /// The kind of identity.
    pub kind: Option<Kind>,
    /// The person; how much of them is written is the configuration's choice.
    pub person: Option<&'a VerifiedIdentity>,
    /// The session of ours: written as the tag that it has in the access log.
    pub session: Option<&'a SessionId>,
    /// The session whose place it takes, likewise: leads to the login, and so to its `sid`.
    pub previous: Option<&'a SessionId>,
    /// The machine.
    pub machine: Option<&'a VerifiedMachine>,
    /// The reference that the person was shown, and that the access log has.
    pub reference: &'a str,
}

impl AuditRecord<'_> {
    pub(super) fn log<T>(
        &self,
        shown: AuditPerson,
        audit: &Ring<MacKey>,
        hand_over: impl FnOnce(&[u8]) -> T,
    ) -> T {
        let fill = |line: &mut Line<'_>| {
            line.word("action", self.action.as_str());
            match self.result {
                AuditResult::Success => line.word("result", "success"),
                AuditResult::Failure(code) => {
                    line.word("result", "failure");
                    line.word("code", code);
                }
            }
            if let Some(client) = self.client.and_then(|client| Shown::of(client, ClientAddress::Full)) {
                line.display("client", client);
            }
            line.text("provider", self.provider, MAX_TEXT);
            if let Some(sid) = self.sid {
                line.text("sid", sid, MAX_TEXT);
            }
            if let Some(level) = self.level {
                line.word("level", level.as_str());
            }
            if let Some(kind) = self.kind {
                line.word("identity", kind.as_str());
            }
            if let Some(person) = self.person {
                self.name(person, shown, audit, line);
            }
            if let Some(machine) = self.machine {
                line.display("consumer", machine.consumer());
                if let Some(delegation) = machine.delegation() {
                    line.display("supplier", delegation.supplier);
                    line.text("delegation_source", &delegation.source, MAX_TEXT);
                }
            }
            for (name, session) in [("session", self.session), ("previous", self.previous)] {
                if let Some(session) = session {
                    line.hex(name, &session_tag(session, &audit.active(self.time).key));
                }
            }
            line.text("reference", self.reference, MAX_TEXT);
        };
        with_line("audit", self.time, fill, hand_over)
    }

    fn name(&self, who: &VerifiedIdentity, shown: AuditPerson, audit: &Ring<MacKey>, line: &mut Line<'_>) {
        match (shown, who.pid()) {
            (AuditPerson::None, _) => {}
            (AuditPerson::Fnr, Some(pid)) => line.text("fnr", pid.as_str(), MAX_TEXT),
            // A person without a national number is told apart all the same.
            (AuditPerson::Fnr, None) | (AuditPerson::Pseudonym, _) => {
                let active = audit.active(self.time);
                line.hex("pseudonym", &pseudonym(who, &active.key));
                // Another key makes other pseudonyms: a reader must know which are comparable.
                line.display("pseudonym_key", active.id);
            }
        }
    }
}

/// One person has one pseudonym: by the national number at every provider, else by what the provider knows.
fn pseudonym(who: &VerifiedIdentity, key: &MacKey) -> [u8; 16] {
    match (who.pid(), who.person()) {
        (Some(pid), _) => key.tag("audit-pid", &[pid.as_str().as_bytes()]),
        (None, Person::European { identifier, .. }) => {
            key.tag("audit-eidas", &[identifier.as_str().as_bytes()])
        }
        (None, _) => key.tag("audit-subject", &[who.provider().as_bytes(), who.subject().as_bytes()]),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use portvakt_core::identity;
    use portvakt_core::provider::{ClientAuth, Par, Profile, ProviderSettings};
    use portvakt_core::token::{Algorithm, IdTokenExpectation, KeySet, SigningKey, verify_id_token};
    use serde_json::{Value, json};

    use super::super::access::tests::{NOW, ring};
    use super::*;

    const FNR: &str = "17838534171";

    /// The person of a token with these claims, which was signed and verified.
    fn person(mut claims: Value) -> VerifiedIdentity {
        let seconds = NOW.seconds();
        for (name, value) in [
            ("iss", json!("https://op.example")),
            ("aud", json!("client")),
            ("nonce", json!("n")),
            ("iat", json!(seconds)),
            ("exp", json!(seconds + 120)),
            ("auth_time", json!(seconds)),
        ] {
            claims[name] = value;
        }
        let key = SigningKey::generate(Algorithm::Es256).unwrap();
        let keys = KeySet::parse(json!({"keys": [key.public_jwk("k")]}).to_string().as_bytes()).unwrap();
        let expected = IdTokenExpectation {
            issuer: "https://op.example",
            client_id: "client",
            nonce: "n",
            algorithms: &[Algorithm::Es256],
            max_age: None,
            code: None,
            access_token: None,
        };
        let token = key.sign_jws(&[("kid", "k")], &claims).unwrap();
        let token = verify_id_token(&token, &keys, &expected, NOW).unwrap();
        identity::verify::verify(&token, &provider(), &identity::verify::Asked::default()).unwrap()
    }

    fn provider() -> Arc<ProviderSettings> {
        let profile = Profile::named("idporten").unwrap();
        Arc::new(ProviderSettings {
            name: "idporten".to_owned(),
            profile,
            issuer: "https://op.example".to_owned(),
            metadata_url: None,
            client_id: "client".to_owned(),
            client_auth: ClientAuth::PrivateKeyJwt,
            par: Par::WhenOffered,
            scopes: vec!["openid".to_owned()],
            algorithms: profile.algorithms.to_vec(),
            acr: profile.acr_table(),
            locale: None,
            label: portvakt_core::language::Localised::default(),
            synthetic_numbers: portvakt_core::provider::SyntheticNumbers::Accept,
            ca_file: None,
            insecure_http: false,
            insecure_login_without_sid: false,
            sends_iss: true,
            own_callback: false,
            access_tokens: None,
        })
    }

    fn national() -> VerifiedIdentity {
        person(json!({"sub": "subject-1", "pid": FNR, "acr": "idporten-loa-high", "given_name": "Kari",
                      "family_name": "Testperson"}))
    }

    fn european() -> VerifiedIdentity {
        person(json!({"sub": "subject-2", "eidas_person_identifier": "SE/NO/abc",
                      "acr": "eidas-loa-high"}))
    }

    fn record(person: Option<&VerifiedIdentity>) -> AuditRecord<'_> {
        AuditRecord {
            time: NOW,
            action: Action::Login,
            result: AuditResult::Success,
            client: Some("192.0.2.77".parse().unwrap()),
            provider: "idporten",
            sid: Some("s=id"),
            level: Some(Level::High),
            kind: Some(Kind::National),
            person,
            session: None,
            previous: None,
            machine: None,
            reference: "7K2QD-M0XW4",
        }
    }

    fn logged(record: &AuditRecord<'_>, shown: AuditPerson) -> Value {
        serde_json::from_slice(&record.log(shown, &ring(1), <[u8]>::to_vec)).unwrap()
    }

    #[test]
    fn a_line_holds_what_the_checklist_demands() {
        assert_eq!(
            logged(&record(None), AuditPerson::None),
            json!({"time": "2026-09-21T14:13:20.000Z", "kind": "audit", "action": "login", "result": "success",
                   "client": "192.0.2.77", "provider": "idporten", "sid": "s=id", "level": "high",
                   "identity": "national", "reference": "7K2QD-M0XW4"})
        );
        let failed = AuditRecord { result: AuditResult::Failure("login_refused"), ..record(None) };
        let line = logged(&failed, AuditPerson::None);
        assert_eq!(
            (line["result"].as_str(), line["code"].as_str()),
            (Some("failure"), Some("login_refused"))
        );
        for action in Action::ALL {
            let line = logged(&AuditRecord { action, ..record(None) }, AuditPerson::None);
            assert_eq!(line["action"], action.as_str());
        }
    }

    #[test]
    fn the_person_is_absent_a_pseudonym_or_the_number() {
        let (kari, lars) = (national(), european());
        let text = |person, shown| logged(&record(Some(person)), shown).to_string();
        let none = logged(&record(Some(&kari)), AuditPerson::None);
        assert!(none.get("fnr").is_none() && none.get("pseudonym").is_none());
        let pseudonym = logged(&record(Some(&kari)), AuditPerson::Pseudonym);
        assert_eq!(
            (pseudonym["pseudonym"].as_str().unwrap().len(), &pseudonym["pseudonym_key"]),
            (32, &json!("01010101"))
        );
        assert_eq!(logged(&record(Some(&kari)), AuditPerson::Fnr)["fnr"], FNR);
        assert!(logged(&record(Some(&kari)), AuditPerson::Fnr).get("pseudonym").is_none());
        let foreign = logged(&record(Some(&lars)), AuditPerson::Fnr);
        assert!(foreign.get("fnr").is_none() && foreign["pseudonym"].is_string());
        assert_ne!(foreign["pseudonym"], pseudonym["pseudonym"]);
        for shown in [AuditPerson::None, AuditPerson::Pseudonym] {
            assert!(!text(&kari, shown).contains(FNR) && !text(&lars, shown).contains("abc"));
        }
        for shown in [AuditPerson::None, AuditPerson::Pseudonym, AuditPerson::Fnr] {
            for secret in ["Kari", "Testperson", "subject-"] {
                assert!(!text(&kari, shown).contains(secret) && !text(&lars, shown).contains(secret));
            }
        }
    }

    #[test]
    fn a_person_keeps_the_pseudonym_and_another_key_makes_another() {
        let (one, same) =
            (national(), person(json!({"sub": "other", "pid": FNR, "acr": "idporten-loa-substantial"})));
        let of = |who: &VerifiedIdentity, secret| {
            let line = record(Some(who)).log(AuditPerson::Pseudonym, &ring(secret), <[u8]>::to_vec);
            serde_json::from_slice::<Value>(&line).unwrap()["pseudonym"].clone()
        };
        assert_eq!(of(&one, 1), of(&same, 1));
        assert_ne!(of(&one, 1), of(&one, 2));
        let by_subject = person(json!({"sub": "s", "email": "a@b.example", "acr": "selfregistered-email"}));
        assert_ne!(of(&by_subject, 1), of(&european(), 1));
    }

    #[test]
    fn a_session_has_the_same_tag_as_in_the_access_log() {
        let session = SessionId::random();
        let audit = logged(&AuditRecord { session: Some(&session), ..record(None) }, AuditPerson::None);
        let access =
            super::super::AccessRecord { session: Some(&session), ..super::super::access::tests::record() };
        let access: Value =
            serde_json::from_slice(&access.log(ClientAddress::None, &ring(1), <[u8]>::to_vec)).unwrap();
        assert_eq!(audit["session"], access["session"]);
    }

    #[test]
    fn a_hostile_sid_stays_in_its_field() {
        let sid = "x\",\"result\":\"success\"}\r\n{\"\u{2028}";
        let line = logged(
            &AuditRecord { sid: Some(sid), result: AuditResult::Failure("sid_unknown"), ..record(None) },
            AuditPerson::None,
        );
        assert_eq!((line["sid"].as_str(), line["result"].as_str()), (Some(sid), Some("failure")));
    }
}

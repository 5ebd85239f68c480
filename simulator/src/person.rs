//! The invented people who can log in. All numbers are synthetic (dossier 4.3): month + 80.

use serde_json::{Value, json};

/// Somebody on the login page.
#[derive(Clone)]
pub(crate) struct Person {
    /// What the form field `person` carries.
    pub(crate) id: String,
    /// Given name.
    pub(crate) given_name: &'static str,
    /// Family name.
    pub(crate) family_name: &'static str,
    /// fnr or D-number, when the provider knows one.
    pub(crate) fnr: Option<String>,
    /// How they log in.
    pub(crate) eid: Eid,
    /// What comes of it.
    pub(crate) behaviour: Behaviour,
}

/// The electronic identity, with the level it reaches.
#[derive(Clone, Copy)]
pub(crate) enum Eid {
    /// High; names in the token.
    BankId,
    /// High; names in the token.
    Buypass,
    /// Substantial; no names.
    MinId,
    /// Any level, by `login_hint`.
    TestId(&'static str),
    /// A European one; identifier and birth date.
    Eidas { acr: &'static str, identifier: &'static str, birthdate: &'static str },
    /// No level at all.
    Email(&'static str),
    /// An employee at Ansattporten, who may represent these organisations: number and name.
    Employee { acr: &'static str, amr: &'static str, organisations: &'static [(&'static str, &'static str)] },
    /// Somebody at idporten-utland, with or without a helper number.
    Abroad { number: Option<&'static str>, mobile: &'static str, email: &'static str },
}

/// What happens when the person is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Behaviour {
    /// Logs in.
    LogsIn,
    /// Presses cancel.
    Cancels,
    /// Comes back one level below what was asked.
    LevelTooLow,
}

impl Eid {
    /// The level it reaches.
    pub(crate) fn acr(self) -> &'static str {
        match self {
            Eid::BankId | Eid::Buypass => "idporten-loa-high",
            Eid::MinId => "idporten-loa-substantial",
            Eid::TestId(acr) | Eid::Eidas { acr, .. } => acr,
            Eid::Email(_) => "selfregistered-email",
            Eid::Employee { acr, .. } => acr,
            Eid::Abroad { .. } => "low",
        }
    }

    /// The `amr` value (dossier 2.7).
    pub(crate) fn amr(self) -> &'static str {
        match self {
            Eid::BankId => "BankID",
            Eid::Buypass => "Buypass",
            Eid::MinId => "Minid-APP",
            Eid::TestId(_) => TEST_ID,
            Eid::Eidas { .. } => "eIDAS",
            Eid::Email(_) => "Selfregistered-email",
            Eid::Employee { amr, .. } => amr,
            Eid::Abroad { .. } => "apple",
        }
    }

    /// The kind of identity, in the gateway's words.
    pub(crate) fn kind(self) -> &'static str {
        match self {
            Eid::BankId | Eid::Buypass | Eid::MinId | Eid::TestId(_) => "national",
            Eid::Eidas { .. } => "eidas",
            Eid::Email(_) => "email",
            Eid::Employee { .. } => "employee",
            Eid::Abroad { number: Some(_), .. } => "helper",
            Eid::Abroad { number: None, .. } => "pseudonymous",
        }
    }
}

impl Person {
    /// Shown to people who choose.
    pub(crate) fn name(&self) -> String {
        format!("{} {}", self.given_name, self.family_name)
    }

    /// The country of a European eID.
    pub(crate) fn country(&self) -> Option<&'static str> {
        match self.eid {
            Eid::Eidas { identifier, .. } => identifier.get(..2),
            _ => None,
        }
    }

    /// As in `/persons.json`.
    pub(crate) fn listed(&self) -> Value {
        let mut listed = json!({
            "id": self.id,
            "name": self.name(),
            "kind": self.eid.kind(),
            "level": self.level(),
            "acr": self.eid.acr(),
        });
        if let Some(fnr) = &self.fnr {
            listed["fnr"] = json!(fnr);
        }
        if let Some(country) = self.country() {
            listed["country"] = json!(country);
        }
        listed
    }

    /// The level that a login as this person brings, in the gateway's words.
    fn level(&self) -> &'static str {
        let acr = self.eid.acr();
        let bare = ["low", "substantial", "high"].into_iter().find(|level| *level == acr);
        let suffix = acr.rsplit_once("-loa-").map(|(_, level)| level).or(bare);
        match self.behaviour {
            Behaviour::LogsIn => suffix.unwrap_or("none"),
            Behaviour::Cancels => "none",
            Behaviour::LevelTooLow => "low",
        }
    }

    /// What a pairwise `sub` is made from.
    pub(crate) fn subject(&self) -> &str {
        match (self.eid, &self.fnr) {
            (Eid::Eidas { identifier, .. }, _) => identifier,
            (Eid::Email(email), _) => email,
            (_, Some(fnr)) => fnr,
            (_, None) => &self.id,
        }
    }

    /// Somebody with any synthetic number, for `login_hint=testid:…`.
    pub(crate) fn with_number(fnr: &str) -> Option<Self> {
        let digits = fnr.len() == 11 && fnr.bytes().all(|byte| byte.is_ascii_digit());
        // A month above 40 exists in no real number (dossier 4.1).
        let synthetic = digits && fnr.as_bytes()[2] >= b'4';
        synthetic.then(|| Person {
            id: format!("testid:{fnr}"),
            fnr: Some(fnr.into()),
            ..person("", "Test", "Person", None, Eid::TestId("idporten-loa-high"))
        })
    }
}

/// The `amr` of headless logins in test environments (dossier 2.11).
pub(crate) const TEST_ID: &str = "TestID";

/// Everybody on the login page.
pub(crate) fn everybody() -> Vec<Person> {
    let sweden = Eid::Eidas {
        acr: "eidas-loa-substantial",
        identifier: "SE/NO/199005120000",
        birthdate: "1990-05-12",
    };
    let denmark = |identifier| Eid::Eidas { acr: "eidas-loa-high", identifier, birthdate: "1972-06-09" };
    let estonia =
        Eid::Eidas { acr: "eidas-loa-high", identifier: "EE/NO/38803140018", birthdate: "1988-03-14" };
    let greece =
        Eid::Eidas { acr: "eidas-loa-substantial", identifier: "EL/NO/Ω-70/b+=", birthdate: "1970-01-31" };
    vec![
        person("bankid-high", "Nora", "Berg", Some("24929935140"), Eid::BankId),
        person("bankid-high-2", "Kari", "Ås Čáhci", Some("17838534171"), Eid::BankId),
        person("minid-substantial", "Arne", "Vik", Some("02916131944"), Eid::MinId),
        person("d-number", "Maria", "Lindqvist", Some("52859032001"), Eid::Buypass),
        Person {
            behaviour: Behaviour::Cancels,
            ..person("cancels", "Angrer", "Seg", Some("30880330655"), Eid::BankId)
        },
        Person {
            behaviour: Behaviour::LevelTooLow,
            ..person("level-too-low", "Lav", "Lund", Some("09867238341"), Eid::MinId)
        },
        person("eidas-se", "Åsa", "Öberg", None, sweden),
        person("eidas-dk", "Søren", "Kjær", Some("68817832028"), denmark("DK/NO/7f3a-0c2e-91bb")),
        // The same man with a new eID: another identifier, which no register knows.
        person("eidas-dk-renewed", "Søren", "Kjær", None, denmark("DK/NO/0b91-55d4-20ce")),
        person("eidas-ee", "Õie Žanna", "Kõiv", Some("54838810082"), estonia),
        person("eidas-el", "Γιώργος", "Παπαδόπουλος", None, greece),
        person("email", "Eva", "Epost", None, Eid::Email("eva@example.com")),
        person("employee", "Ola", "Ansatt", Some("10915596784"), employed(&[PROOF])),
        person("employee-many", "Mona", "Mange", Some("45840375084"), employed(&[PROOF, OTHER])),
        person("employee-none", "Ine", "Ingen", Some("47906701517"), employed(&[])),
        person(
            "employee-entra",
            "Emil",
            "Entra",
            None,
            Eid::Employee { acr: "entraid", amr: "entraid_mfa", organisations: &[PROOF] },
        ),
        person(
            "helper",
            "Hanna",
            "Hjelpenummer",
            None,
            Eid::Abroad { number: Some("81234567802"), mobile: "+4799999999", email: "hanna@example.com" },
        ),
        person(
            "abroad",
            "Amir",
            "Utland",
            None,
            Eid::Abroad { number: None, mobile: "+4788888888", email: "amir@example.com" },
        ),
    ]
}

/// Every organisation that somebody may represent, each once: number and name.
pub(crate) const ORGANISATIONS: [(&str, &str); 2] = [PROOF, OTHER];

/// Invented organisations (dossier 4.3).
const PROOF: (&str, &str) = ("310123455", "PRØVE AS");
const OTHER: (&str, &str) = ("213987658", "ANNEN, OG SØNN");

fn employed(organisations: &'static [(&'static str, &'static str)]) -> Eid {
    Eid::Employee { acr: "high", amr: "BankID", organisations }
}

fn person(
    id: &str,
    given_name: &'static str,
    family_name: &'static str,
    fnr: Option<&str>,
    eid: Eid,
) -> Person {
    let fnr = fnr.map(str::to_owned);
    Person { id: id.into(), given_name, family_name, fnr, eid, behaviour: Behaviour::LogsIn }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_number_could_be_a_real_persons() {
        for person in everybody() {
            assert!(person.fnr.is_none_or(|fnr| Person::with_number(&fnr).is_some()), "{}", person.id);
        }
        assert!(Person::with_number("17012054321").is_none());
        assert!(Person::with_number("1784").is_none());
    }
}

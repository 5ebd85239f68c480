//! For whom a person acts: what a login is asked for in `authorization_details` (RFC 9396), and how the answer
//! is read (dossier 1.5, 1.13).
//!
//! **Invariant:** what was not asked for is not read. An answer of another type or another resource logs nobody
//! in, and of organisations there is one unless several were asked for.
//!
//! **Invariant:** whom the person represents never takes the person's place: a power of attorney names somebody
//! else beside the person who is logged in.

use aws_lc_rs::digest;
use serde_json::{Map, Value};

use super::verify::{IdentityError, name};
use super::{OrganisationNumber, Pid};

/// The most organisations that a session holds.
pub const MAX_ORGANISATIONS: usize = 50;

/// The most bytes of their names together; beyond that none has a name.
const MAX_NAMES: usize = 1000;

/// The same where one is chosen by its name: beyond that the provider must let the person choose.
const MAX_NAMES_TO_CHOOSE: usize = 1800;

/// The authority whose identifiers are organisation numbers (dossier 1.5).
const REGISTER: &str = "iso6523-actorid-upis";

/// What a route asks a login to bring.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Representation {
    id: RepresentationId,
    /// To what an answer to this is an answer: itself, but where only the way of asking is another.
    answers: RepresentationId,
    parameter: String,
    purpose: Purpose,
    resources: Vec<String>,
    several: bool,
    /// Whether of several one is chosen, after the login.
    chosen: bool,
    /// The same, asked of the provider in a way that it lets the person choose one.
    alone: Option<Box<Representation>>,
}

/// A digest of everything that was asked for: an answer counts where the same is asked for, and nowhere else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RepresentationId(pub(crate) [u8; 8]);

/// Whom the person may represent.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Purpose {
    /// Organisations; the type of the entries.
    Organisations(String),
    /// Another person, by a power of attorney with one of these roles.
    PowerOfAttorney(Vec<String>),
}

/// The type of a power of attorney.
pub const POWER_OF_ATTORNEY: &str = "idporten:fullmakt";

/// An organisation that the person represents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Organisation {
    /// Its number.
    pub number: OrganisationNumber,
    /// Its name, as asserted.
    pub name: Option<String>,
}

/// Who gave the person a power of attorney.
#[derive(Clone, PartialEq, Eq)]
pub struct Authorizer {
    /// The number.
    pub pid: Pid,
    /// The name, as asserted.
    pub name: Option<String>,
}

impl std::fmt::Debug for Authorizer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Authorizer([REDACTED])")
    }
}

/// What an answer brought.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Brought {
    pub(super) organisations: Vec<Organisation>,
    pub(super) authorizer: Option<Authorizer>,
}

/// What is asked for is not one thing that can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the entries are none, or of different types")]
pub struct Mixed;

impl Representation {
    /// What these entries ask for, each an object with `type` (RFC 9396, 2).
    ///
    /// # Errors
    ///
    /// [`Mixed`] if there is none, or one login would mix types (dossier 1.5).
    pub fn of(entries: &[Map<String, Value>]) -> Result<Self, Mixed> {
        let text = |entry: &Map<String, Value>, name: &str| {
            entry.get(name).and_then(Value::as_str).map(str::to_owned)
        };
        let kind = entries.first().and_then(|entry| text(entry, "type")).ok_or(Mixed)?;
        if entries.iter().any(|entry| text(entry, "type").as_ref() != Some(&kind)) {
            return Err(Mixed);
        }
        let is_true = |value: &Value| value == "true" || value == true;
        let several =
            entries.iter().any(|entry| entry.get("allow_multiple_organizations").is_some_and(is_true));
        let roles = entries
            .iter()
            .flat_map(|entry| entry.get("permission_roles").and_then(Value::as_array).into_iter().flatten())
            .filter_map(|role| role.as_str().map(str::to_owned))
            .collect();
        let purpose = if kind == POWER_OF_ATTORNEY {
            Purpose::PowerOfAttorney(roles)
        } else {
            Purpose::Organisations(kind)
        };
        let parameter = Value::from(entries.iter().cloned().map(Value::from).collect::<Vec<_>>()).to_string();
        let id = digest_of(&parameter);
        Ok(Self {
            id,
            answers: id,
            chosen: false,
            alone: None,
            parameter,
            purpose,
            resources: entries.iter().filter_map(|entry| text(entry, "resource")).collect(),
            several,
        })
    }

    /// Which one it is.
    #[must_use]
    pub fn id(&self) -> RepresentationId {
        self.id
    }

    /// The same where of several organisations one is chosen after the login, and may be changed. Such an answer counts
    /// where one is chosen alone.
    #[must_use]
    pub fn choosing(self) -> Self {
        let text = |value: &str| digest_of(&format!("{value} one of them"));
        let id = text(&self.parameter);
        let alone = Self {
            answers: id,
            chosen: true,
            id: text(&format!("{} alone", self.parameter)),
            parameter: without_several(&self.parameter),
            several: false,
            ..self.clone()
        };
        Self { id, answers: id, chosen: true, alone: Some(Box::new(alone)), ..self }
    }

    /// Whether of several organisations one is chosen after the login.
    #[must_use]
    pub fn is_chosen(&self) -> bool {
        self.chosen
    }

    /// How the provider is asked for one organisation where it gave more than can be kept to choose from: it lets the
    /// person choose, each time anew. Such an answer counts as one to this.
    #[must_use]
    pub fn alone(&self) -> Option<&Self> {
        self.alone.as_deref()
    }

    /// What counts as answered by an answer to this.
    #[must_use]
    pub fn answers(&self) -> RepresentationId {
        self.answers
    }

    /// The parameter `authorization_details` of the authorization request.
    #[must_use]
    pub fn parameter(&self) -> &str {
        &self.parameter
    }

    /// Whether it is organisations that are asked for, and not a power of attorney.
    #[must_use]
    pub fn asks_for_organisations(&self) -> bool {
        matches!(self.purpose, Purpose::Organisations(_))
    }

    /// Whether the person may represent several organisations at once.
    #[must_use]
    pub fn allows_several(&self) -> bool {
        self.several
    }

    /// An answer to this that names one organisation, as a provider would give it: for who is only supposed. None
    /// is named where a power of attorney is asked for.
    pub(crate) fn answer(&self, number: OrganisationNumber) -> Value {
        match &self.purpose {
            Purpose::Organisations(kind) => serde_json::json!([{
                "type": kind,
                "reportees": [{ "authority": REGISTER, "id": format!("0192:{number}") }],
            }]),
            Purpose::PowerOfAttorney(_) => Value::Array(Vec::new()),
        }
    }

    /// Reads `authorization_details` of an answer. `person`: the number of who is logged in.
    pub(super) fn read(&self, claim: Option<&Value>, person: Option<&Pid>) -> Result<Brought, IdentityError> {
        let entries = match claim {
            None => return Ok(Brought::default()),
            Some(Value::Array(entries)) => entries.iter().map(object).collect::<Result<Vec<_>, _>>()?,
            Some(_) => return Err(IdentityError::Shape),
        };
        let mut brought = Brought::default();
        for entry in entries {
            let kind = text(entry, "type")?.ok_or(IdentityError::Shape)?;
            match &self.purpose {
                Purpose::Organisations(asked) if kind == asked => {
                    self.read_organisations(entry, &mut brought.organisations)?;
                }
                Purpose::PowerOfAttorney(roles) if kind == POWER_OF_ATTORNEY => {
                    let authorizer = authorizer(entry, roles, person)?;
                    if brought.authorizer.is_some() && authorizer.is_some() {
                        return Err(IdentityError::Contradiction);
                    }
                    brought.authorizer = authorizer.or(brought.authorizer);
                }
                _ => return Err(IdentityError::NotAsked),
            }
        }
        self.settle(brought)
    }

    fn settle(&self, mut brought: Brought) -> Result<Brought, IdentityError> {
        let organisations = &mut brought.organisations;
        organisations.sort_by_key(|organisation| organisation.number);
        organisations.dedup_by_key(|organisation| organisation.number);
        let most = if self.several { MAX_ORGANISATIONS } else { 1 };
        if organisations.len() > most {
            return Err(IdentityError::TooManyOrganisations);
        }
        let names: usize = organisations.iter().filter_map(|one| one.name.as_ref()).map(String::len).sum();
        if self.chosen && names > MAX_NAMES_TO_CHOOSE {
            return Err(IdentityError::TooManyOrganisations);
        }
        if !self.chosen && names > MAX_NAMES {
            organisations.iter_mut().for_each(|organisation| organisation.name = None);
        }
        Ok(brought)
    }

    /// All three shapes: `reportees`, `authorized_parties`, `orgno` (dossier 1.5; 7, 12).
    fn read_organisations(
        &self,
        entry: &Map<String, Value>,
        found: &mut Vec<Organisation>,
    ) -> Result<(), IdentityError> {
        self.check_resource(entry)?;
        for reportee in list(member(entry, "reportees")?)? {
            found.extend(organisation(reportee, reportee)?);
        }
        for party in list(member(entry, "authorized_parties")?)? {
            self.check_resource(party)?;
            for number in list(member(party, "orgno")?)? {
                found.extend(organisation(number, party)?);
            }
        }
        for number in list(member(entry, "orgno")?)? {
            found.extend(organisation(number, number)?);
        }
        Ok(())
    }

    fn check_resource(&self, of: &Map<String, Value>) -> Result<(), IdentityError> {
        // One of the provider's pages writes the name without `urn:`, and the key in Norwegian.
        let bare = |resource: &str| resource.strip_prefix("urn:").unwrap_or(resource).to_owned();
        for key in ["resource", "ressurs"] {
            if let Some(resource) = text(of, key)?
                && !self.resources.iter().any(|asked| bare(asked) == bare(resource))
            {
                return Err(IdentityError::NotAsked);
            }
        }
        Ok(())
    }
}

fn digest_of(text: &str) -> RepresentationId {
    let id = digest::digest(&digest::SHA256, text.as_bytes());
    RepresentationId(id.as_ref()[..8].try_into().expect("SHA-256 has 32 bytes"))
}

/// A parameter of ours that does not allow several organisations.
fn without_several(parameter: &str) -> String {
    let mut entries: Value = serde_json::from_str(parameter).expect("it was written by us");
    for entry in entries.as_array_mut().into_iter().flatten().filter_map(Value::as_object_mut) {
        entry.remove("allow_multiple_organizations");
    }
    entries.to_string()
}

/// One organisation; `None` for a party of another register, which is no organisation of ours.
fn organisation(
    number: &Map<String, Value>,
    named: &Map<String, Value>,
) -> Result<Option<Organisation>, IdentityError> {
    let id = text(number, "id")?.ok_or(IdentityError::Shape)?;
    if text(number, "authority")? != Some(REGISTER) || !id.starts_with("0192:") {
        return Ok(None);
    }
    let number = OrganisationNumber::parse_iso6523(id).map_err(|_| IdentityError::Shape)?;
    Ok(Some(Organisation { number, name: name(text(named, "name")?.map(str::to_owned))? }))
}

fn authorizer(
    entry: &Map<String, Value>,
    roles: &[String],
    person: Option<&Pid>,
) -> Result<Option<Authorizer>, IdentityError> {
    let Some(given_by) = member(entry, "authorizer")? else { return Ok(None) };
    let given_by = object(given_by)?;
    let number = |of: &Map<String, Value>| {
        let number = text(of, "pid")?.ok_or(IdentityError::Shape)?;
        Pid::parse(number).map_err(|_| IdentityError::Shape)
    };
    let to = object(member(entry, "authorized_representative")?.ok_or(IdentityError::Shape)?)?;
    // Whoever is at the keyboard is who was authorized, by a number that the token itself names.
    let authorized = number(to)?;
    if person != Some(&authorized) {
        return Err(IdentityError::Contradiction);
    }
    let mut granted = Vec::new();
    for permission in list(member(entry, "permissions")?)? {
        granted.extend(text(permission, "role")?);
    }
    if !roles.is_empty() && !granted.iter().any(|role| roles.iter().any(|asked| asked == role)) {
        return Err(IdentityError::NotAsked);
    }
    let pid = number(given_by)?;
    if pid == authorized {
        return Ok(None);
    }
    Ok(Some(Authorizer { pid, name: name(text(given_by, "name")?.map(str::to_owned))? }))
}

/// A member whatever its letter case and with a colon too many; two that could be meant are none.
fn member<'v>(of: &'v Map<String, Value>, wanted: &str) -> Result<Option<&'v Value>, IdentityError> {
    let is_meant = |key: &String| key.trim_end_matches(':').eq_ignore_ascii_case(wanted);
    let mut found = of.iter().filter(|(key, _)| is_meant(key)).map(|(_, value)| value);
    match (found.next(), found.next()) {
        (_, Some(_)) => Err(IdentityError::Disagreement),
        (value, None) => Ok(value),
    }
}

fn text<'v>(of: &'v Map<String, Value>, wanted: &str) -> Result<Option<&'v str>, IdentityError> {
    match member(of, wanted)? {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(IdentityError::Shape),
    }
}

/// The objects of an array, or the one object that stands for it.
fn list(value: Option<&Value>) -> Result<Vec<&Map<String, Value>>, IdentityError> {
    match value {
        None => Ok(Vec::new()),
        Some(Value::Array(values)) => values.iter().map(object).collect(),
        Some(value) => Ok(vec![object(value)?]),
    }
}

fn object(value: &Value) -> Result<&Map<String, Value>, IdentityError> {
    value.as_object().ok_or(IdentityError::Shape)
}

#[cfg(test)]
mod tests;

//! Every answer of the dossier, and what must log nobody in.

use serde_json::json;

use super::*;

const SERVICE: &str = "ansattporten:altinn:service";
const RESOURCE: &str = "ansattporten:altinn:resource";
const ORGNO: &str = "ansattporten:orgno";

fn asked(entries: &Value) -> Representation {
    let entries: Vec<_> =
        entries.as_array().unwrap().iter().map(|entry| entry.as_object().unwrap().clone()).collect();
    Representation::of(&entries).unwrap()
}

fn service() -> Representation {
    asked(&json!([{"type": SERVICE, "resource": "urn:altinn:resource:2480:40"}]))
}

fn several() -> Representation {
    asked(
        &json!([{"type": RESOURCE, "resource": "urn:altinn:resource:proeve", "allow_multiple_organizations": "true"}]),
    )
}

fn attorney() -> Representation {
    asked(&json!([{"type": POWER_OF_ATTORNEY, "permission_roles": ["helse"]}]))
}

fn reportee(id: &str) -> Value {
    json!({"Rights": ["Read"], "Authority": "iso6523-actorid-upis", "ID": id, "Name": "PRØVE AS"})
}

fn party(id: &str) -> Value {
    json!({"orgno": {"authority": "iso6523-actorid-upis", "ID": id}, "resource": "urn:altinn:resource:proeve",
           "actions": ["read"], "name": "PRØVE AS", "unit_type": "AS"})
}

/// The numbers and names of what an answer brings.
fn organisations(
    asked: &Representation,
    answer: &Value,
) -> Result<Vec<(String, Option<String>)>, IdentityError> {
    let brought = asked.read(Some(answer), None)?;
    assert_eq!(brought.authorizer, None);
    Ok(brought.organisations.into_iter().map(|one| (one.number.to_string(), one.name)).collect())
}

fn one(number: &str) -> Result<Vec<(String, Option<String>)>, IdentityError> {
    Ok(vec![(number.to_owned(), Some("PRØVE AS".to_owned()))])
}

#[test]
fn each_shape_of_an_answer_is_read() {
    let v1 = json!([{"type": SERVICE, "resource": "urn:altinn:resource:2480:40", "resource_name": "Prøveressurs",
        "reportees": [reportee("0192:310123455")]}]);
    assert_eq!(organisations(&service(), &v1), one("310123455"));
    let v2 = json!([{"type": RESOURCE, "authorized_parties": [party("0192:310123455")]}]);
    assert_eq!(organisations(&several(), &v2), one("310123455"));
    let by_entra = asked(&json!([{"type": ORGNO}]));
    for key in ["orgno", "orgno:"] {
        let answer =
            json!([{"type": ORGNO, key: {"Authority": "iso6523-actorid-upis", "ID": "0192:310123455"}}]);
        assert_eq!(organisations(&by_entra, &answer), Ok(vec![("310123455".to_owned(), None)]));
    }
}

/// Dossier 7, 12.
#[test]
fn ambiguity_12_keys_are_read_whatever_their_case_and_only_one_of_two_that_could_be_meant() {
    for key in ["resource", "ressurs", "Resource"] {
        let answer = json!([{"TYPE": SERVICE, key: "altinn:resource:2480:40", "Reportees": [
            {"authority": "iso6523-actorid-upis", "id": "0192:310123455", "name": "PRØVE AS"}]}]);
        assert_eq!(organisations(&service(), &answer), one("310123455"), "{key}");
    }
    let doubled = json!([{"type": SERVICE, "reportees": [], "Reportees": [reportee("0192:310123455")]}]);
    assert_eq!(organisations(&service(), &doubled), Err(IdentityError::Disagreement));
}

#[test]
fn who_represents_nobody_brings_nobody() {
    for answer in [json!([{"type": SERVICE}]), json!([]), json!([{"type": SERVICE, "reportees": []}])] {
        assert_eq!(organisations(&service(), &answer), Ok(vec![]));
    }
    assert_eq!(service().read(None, None), Ok(Brought::default()));
}

#[test]
fn several_organisations_come_only_where_they_were_asked_for() {
    let parties = [party("0192:310123455"), party("0192:213987658"), party("0192:310123455")];
    let answer = json!([{"type": RESOURCE, "authorized_parties": parties}]);
    let numbers: Vec<_> =
        organisations(&several(), &answer).unwrap().into_iter().map(|(number, _)| number).collect();
    assert_eq!(numbers, ["213987658", "310123455"]);
    let single = asked(&json!([{"type": RESOURCE, "resource": "urn:altinn:resource:proeve"}]));
    assert_eq!(organisations(&single, &answer), Err(IdentityError::TooManyOrganisations));
}

#[test]
fn what_was_not_asked_for_logs_nobody_in() {
    let reportees = [reportee("0192:310123455")];
    for answer in [
        json!([{"type": RESOURCE, "reportees": reportees}]),
        json!([{"type": POWER_OF_ATTORNEY, "reportees": reportees}]),
        json!([{"type": SERVICE, "resource": "urn:altinn:resource:2480:41", "reportees": reportees}]),
        json!([{"type": SERVICE, "authorized_parties": [party("0192:310123455")]}]),
    ] {
        assert_eq!(organisations(&service(), &answer), Err(IdentityError::NotAsked), "{answer}");
    }
}

#[test]
fn a_number_counts_only_from_the_register_and_with_its_check_digit() {
    let with = |authority: &str, id: &str| {
        let mut reportee = reportee(id);
        reportee["Authority"] = json!(authority);
        organisations(&service(), &json!([{"type": SERVICE, "reportees": [reportee]}]))
    };
    assert_eq!(with("iso6523-actorid-upis", "0192:310123456"), Err(IdentityError::Shape));
    assert_eq!(with("iso6523-actorid-upis", "9908:310123455"), Ok(vec![]));
    assert_eq!(with("etsi-en-319-412", "NTRNO-310123455"), Ok(vec![]));
    for answer in
        [json!({}), json!("x"), json!([1]), json!([{}]), json!([{"type": SERVICE, "reportees": [{}]}])]
    {
        assert_eq!(organisations(&service(), &answer), Err(IdentityError::Shape), "{answer}");
    }
}

#[test]
fn many_organisations_stay_within_what_a_session_holds() {
    let numbers = |count: usize| {
        (0..99_999_999_u32)
            .map(|base| format!("{:09}", 100_000_000 + base))
            .filter(|number| OrganisationNumber::parse(number).is_ok())
            .take(count)
            .map(|number| party(&format!("0192:{number}")))
            .collect::<Vec<_>>()
    };
    let answer = |count| json!([{"type": RESOURCE, "authorized_parties": numbers(count)}]);
    assert_eq!(organisations(&several(), &answer(MAX_ORGANISATIONS)).unwrap().len(), MAX_ORGANISATIONS);
    assert_eq!(
        organisations(&several(), &answer(MAX_ORGANISATIONS + 1)),
        Err(IdentityError::TooManyOrganisations)
    );
    let mut long = party("0192:310123455");
    long["name"] = json!("x".repeat(200));
    let mut parties = numbers(10);
    parties.iter_mut().for_each(|party| party["name"] = long["name"].clone());
    let named =
        organisations(&several(), &json!([{"type": RESOURCE, "authorized_parties": parties}])).unwrap();
    assert!(named.len() == 10 && named.iter().all(|(_, name)| name.is_none()));
}

#[test]
fn a_power_of_attorney_names_somebody_beside_the_person() {
    let person = Pid::parse("17838534171").unwrap();
    let entry = |authorizer: &str, representative: &str, role: &str| {
        json!([{"type": POWER_OF_ATTORNEY, "authorizer": {"name": "Per Prøve", "pid": authorizer},
            "authorized_representative": {"name": "Kari Ås", "pid": representative},
            "permissions": [{"owner": "991825827", "role": role}]}])
    };
    let read = |answer: &Value| attorney().read(Some(answer), Some(&person));
    let brought = read(&entry("24929935140", "17838534171", "helse")).unwrap();
    let authorizer = brought.authorizer.unwrap();
    assert_eq!((authorizer.pid.as_str(), authorizer.name.as_deref()), ("24929935140", Some("Per Prøve")));
    assert_eq!(read(&json!([])), Ok(Brought::default()));
    for (answer, error) in [
        (entry("24929935140", "02916131944", "helse"), IdentityError::Contradiction),
        (entry("24929935140", "17838534171", "bank"), IdentityError::NotAsked),
        (entry("2492993514", "17838534171", "helse"), IdentityError::Shape),
    ] {
        assert_eq!(read(&answer), Err(error), "{answer}");
    }
    let of_two = [
        entry("24929935140", "17838534171", "helse")[0].clone(),
        entry("02916131944", "17838534171", "helse")[0].clone(),
    ];
    assert_eq!(read(&json!(of_two)), Err(IdentityError::Contradiction));
    // Somebody without a number cannot be who was authorized.
    let nobody = attorney().read(Some(&entry("24929935140", "17838534171", "helse")), None);
    assert_eq!(nobody, Err(IdentityError::Contradiction));
    assert_eq!(read(&entry("17838534171", "17838534171", "helse")), Ok(Brought::default()));
}

#[test]
fn one_login_asks_for_one_type_and_is_told_apart_from_another() {
    let entry = |kind: &str| json!({"type": kind}).as_object().unwrap().clone();
    assert_eq!(Representation::of(&[]), Err(Mixed));
    assert_eq!(Representation::of(&[entry(SERVICE), entry(RESOURCE)]), Err(Mixed));
    assert_ne!(service().id(), several().id());
    assert_eq!(service().id(), service().id());
    assert!(several().allows_several() && !service().allows_several());
}

//! Identifiers by their kind: fødselsnummer and D-number, helper number, organisation number, eIDAS identifier
//! (dossier 4.1, 4.2, 1.2.4).
//!
//! **Invariant:** each is a text of its own shape, never a number: zeros lead. What a provider signed is judged
//! by its shape alone where check digits will mean something else from 2032 on; a helper number and an
//! organisation number are judged by theirs, which stay.

use std::fmt;

/// The text is not of the identifier's shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the identifier does not have its shape")]
pub struct Shapeless;

/// A Norwegian identity number, fødselsnummer or D-number: eleven ASCII digits, the first at most 7.
///
/// Neither date nor check digits are judged: from 2032 they mean something else, and a signed number is
/// the provider's word (dossier 0, fact 19; 4.2). A first digit of 8 or 9 is a helper number's: no day of
/// birth, shifted or not, begins so.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Pid(String);

/// What a Norwegian identity number is, by its day and month (dossier 4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PidForm {
    /// Whether the day is shifted by 40: temporary residents and others without a fødselsnummer.
    pub d_number: bool,
    /// Whose series it is from.
    pub series: Series,
}

/// Who gives out a number, by its month.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Series {
    /// Months 1 to 12, and what no series claims: the National Registry.
    Registry,
    /// Month + 40: test persons of NAV, and hospitals' own numbers.
    NavOrHospital,
    /// Month + 65: test persons of Norsk helsenett.
    Nhn,
    /// Month + 80: test persons of Skatteetaten (Tenor) and Digdir.
    Skatteetaten,
}

impl Pid {
    /// Parses eleven ASCII digits.
    ///
    /// # Errors
    ///
    /// [`Shapeless`] for anything else.
    pub fn parse(text: &str) -> Result<Self, Shapeless> {
        let shaped = digits::<11>(text).is_some_and(|digits| digits[0] <= 7);
        shaped.then(|| Self(text.to_owned())).ok_or(Shapeless)
    }

    /// The digits. Not for logs.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What it is, as far as day and month say. Nothing is decided by it but whether it is synthetic.
    #[must_use]
    pub fn form(&self) -> PidForm {
        let part = |range: std::ops::Range<usize>| {
            self.0.get(range).and_then(|part| part.parse::<u8>().ok()).unwrap_or_default()
        };
        let (day, month) = (part(0..2), part(2..4));
        let series = match month {
            41..=52 => Series::NavOrHospital,
            66..=77 => Series::Nhn,
            81..=92 => Series::Skatteetaten,
            _ => Series::Registry,
        };
        PidForm { d_number: (41..=71).contains(&day), series }
    }

    /// Whether no person has the number: its month is beyond every shift that people's numbers know
    /// (dossier 4.1; 7, 25).
    #[must_use]
    pub fn is_synthetic(&self) -> bool {
        self.0.get(2..4).and_then(|month| month.parse::<u8>().ok()).is_some_and(|month| month > 40)
    }
}

impl fmt::Debug for Pid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pid([REDACTED])")
    }
}

/// A helper number of the health sector (FH-nummer): eleven digits, the first 8 or 9, with check digits and
/// without a date (dossier 4.1). It is no identity number and never stands in for one.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct HelperNumber(String);

impl HelperNumber {
    /// Parses a helper number.
    ///
    /// # Errors
    ///
    /// [`Shapeless`] if it is none, or its check digits are wrong: nobody else vouches for them (dossier 7, 28).
    pub fn parse(text: &str) -> Result<Self, Shapeless> {
        let digits = digits::<11>(text).ok_or(Shapeless)?;
        let sound = digits[0] >= 8 && check_remainders(&digits) == (0, 0);
        sound.then(|| Self(text.to_owned())).ok_or(Shapeless)
    }

    /// The digits. Not for logs.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for HelperNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HelperNumber([REDACTED])")
    }
}

/// A Norwegian organisation number: nine digits, the last of which checks the others.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OrganisationNumber(u32);

impl OrganisationNumber {
    /// Parses nine digits.
    ///
    /// # Errors
    ///
    /// [`Shapeless`] for anything else, and for a wrong check digit.
    pub fn parse(text: &str) -> Result<Self, Shapeless> {
        let digits = digits::<9>(text).ok_or(Shapeless)?;
        let sum = weighted(&[3, 2, 7, 6, 5, 4, 3, 2], &digits);
        // A remainder of 1 would need the digit 10, which is never given out (dossier 4.2).
        let sound = (sum + u32::from(digits[8])).is_multiple_of(11);
        let number = text.parse().map_err(|_| Shapeless)?;
        sound.then_some(Self(number)).ok_or(Shapeless)
    }

    /// Parses `0192:` and nine digits: ISO 6523 with the register's code (dossier 1.5, 1.6).
    ///
    /// # Errors
    ///
    /// [`Shapeless`] for another register, or no organisation number behind it.
    pub fn parse_iso6523(text: &str) -> Result<Self, Shapeless> {
        Self::parse(text.strip_prefix("0192:").ok_or(Shapeless)?)
    }

    /// The number, for a cookie.
    pub(crate) fn to_u32(self) -> u32 {
        self.0
    }

    /// From a cookie; `None` if it is none.
    pub(crate) fn from_u32(number: u32) -> Option<Self> {
        Self::parse(&format!("{number:09}")).ok()
    }
}

impl fmt::Display for OrganisationNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:09}", self.0)
    }
}

/// For whom somebody acts is personal.
impl fmt::Debug for OrganisationNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OrganisationNumber([REDACTED])")
    }
}

/// An eIDAS person identifier, `CC/NO/id`: parsed on its first two slashes only (dossier 1.2.4).
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct EidasIdentifier(String);

impl EidasIdentifier {
    /// The most bytes an identifier may have.
    pub const MAX: usize = 256;

    /// Parses `CC/NO/id`.
    ///
    /// # Errors
    ///
    /// [`Shapeless`] if the country is not two capital letters, the receiving country is not `NO`, or the rest
    /// is empty, too long, or holds a control character.
    pub fn parse(text: &str) -> Result<Self, Shapeless> {
        let mut parts = text.splitn(3, '/');
        let (from, to, id) = (parts.next(), parts.next(), parts.next());
        let shaped = from.is_some_and(is_country)
            && to == Some("NO")
            && id.is_some_and(|id| !id.is_empty() && !id.chars().any(char::is_control))
            && text.len() <= Self::MAX;
        shaped.then(|| Self(text.to_owned())).ok_or(Shapeless)
    }

    /// The identifier as asserted. Not for logs.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The country of the eID, which need not be the person's.
    #[must_use]
    pub fn country(&self) -> &str {
        &self.0[..2]
    }
}

impl fmt::Debug for EidasIdentifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EidasIdentifier([REDACTED])")
    }
}

/// Whether a text is a country as eIDAS writes it: two capital letters. Which exist is not for us to say
/// (dossier 1.2.1).
#[must_use]
pub fn is_country(text: &str) -> bool {
    text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_uppercase())
}

fn digits<const N: usize>(text: &str) -> Option<[u8; N]> {
    let bytes: [u8; N] = text.as_bytes().try_into().ok()?;
    bytes.iter().all(u8::is_ascii_digit).then(|| bytes.map(|byte| byte - b'0'))
}

/// What the two check digits of an eleven-digit number leave: 0 and 0 today; from 2032 on the first may be
/// up to 3 (dossier 4.2).
fn check_remainders(digits: &[u8; 11]) -> (u32, u32) {
    let first = weighted(&[3, 7, 6, 1, 8, 9, 4, 5, 2, 1], digits);
    let second = weighted(&[5, 4, 3, 2, 7, 6, 5, 4, 3, 2, 1], digits);
    (first % 11, second % 11)
}

fn weighted(weights: &[u32], digits: &[u8]) -> u32 {
    weights.iter().zip(digits).map(|(weight, digit)| weight * u32::from(*digit)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Dossier 4.3.
    const VECTORS: [(&str, bool, Series, (u32, u32)); 17] = [
        ("17838534171", false, Series::Skatteetaten, (0, 0)),
        ("02916131944", false, Series::Skatteetaten, (0, 0)),
        ("24929935140", false, Series::Skatteetaten, (0, 0)),
        ("09867238341", false, Series::Skatteetaten, (0, 0)),
        ("30880330655", false, Series::Skatteetaten, (0, 0)),
        ("52859032001", true, Series::Skatteetaten, (0, 0)),
        ("68817832028", true, Series::Skatteetaten, (0, 0)),
        ("45840375084", true, Series::Skatteetaten, (0, 0)),
        ("10915596784", false, Series::Skatteetaten, (0, 0)),
        ("47906701517", true, Series::Skatteetaten, (0, 0)),
        ("70019950032", true, Series::Registry, (0, 0)),
        ("13527248013", false, Series::NavOrHospital, (0, 0)),
        ("68467038838", true, Series::NavOrHospital, (0, 0)),
        ("01813200364", false, Series::Skatteetaten, (0, 0)),
        ("01813200372", false, Series::Skatteetaten, (1, 0)),
        ("01813200380", false, Series::Skatteetaten, (2, 0)),
        ("01813200399", false, Series::Skatteetaten, (3, 0)),
    ];

    fn remainders(text: &str) -> (u32, u32) {
        check_remainders(&digits(text).unwrap())
    }

    #[test]
    fn every_known_number_is_told_apart_and_none_is_gated_on_its_check_digits() {
        for (text, d_number, series, expected) in VECTORS {
            let pid = Pid::parse(text).unwrap();
            assert_eq!(pid.form(), PidForm { d_number, series }, "{text}");
            assert_eq!(remainders(text), expected, "{text}");
            assert_eq!(pid.is_synthetic(), series != Series::Registry, "{text}");
        }
        for (nhn, d_number) in [("01660112345", false), ("41770112345", true)] {
            assert_eq!(Pid::parse(nhn).unwrap().form(), PidForm { d_number, series: Series::Nhn });
        }
        // The samples whose check digits are wrong: one has a pid's shape, the other a helper number's.
        assert_eq!((remainders("17012054321"), remainders("87012054321")), ((7, 5), (6, 7)));
        assert!(Pid::parse("17012054321").is_ok());
    }

    #[test]
    fn a_number_is_eleven_ascii_digits_and_no_helper_number() {
        for good in ["01010012345", "00000000000", "71010012345"] {
            assert!(Pid::parse(good).is_ok(), "{good}");
            assert!(!Pid::parse(good).unwrap().is_synthetic(), "{good}");
        }
        for bad in [
            "",
            "1783853417",
            "178385341711",
            "1783853417x",
            " 17838534171",
            "１７８３８５３４１７１",
            "-7838534171",
            "88888888831",
            "90000001790",
        ] {
            assert_eq!(Pid::parse(bad), Err(Shapeless), "{bad}");
        }
    }

    #[test]
    fn a_helper_number_begins_with_8_or_9_and_has_its_check_digits() {
        for good in ["88888888831", "81234567802", "90000001790"] {
            assert_eq!(HelperNumber::parse(good).unwrap().as_str(), good);
        }
        for bad in
            ["87012054321", "17012054321", "17838534171", "8888888883", "88888888832", "8888888883x", ""]
        {
            assert_eq!(HelperNumber::parse(bad), Err(Shapeless), "{bad}");
        }
    }

    #[test]
    fn an_organisation_number_has_its_check_digit() {
        for good in ["991825827", "987464291", "889640782", "310123455", "213987658"] {
            let number = OrganisationNumber::parse(good).unwrap();
            assert_eq!(number.to_string(), good);
            assert_eq!(OrganisationNumber::parse_iso6523(&format!("0192:{good}")), Ok(number));
            assert_eq!(OrganisationNumber::from_u32(number.to_u32()), Some(number));
        }
        for bad in ["", "991825828", "99182582", "9918258277", "99182582x", "+91825827", "0192:991825827"] {
            assert_eq!(OrganisationNumber::parse(bad), Err(Shapeless), "{bad}");
        }
        for bad in [
            "991825827",
            "9908:991825827",
            "0192:991825828",
            "0192:",
            "0192: 991825827",
            "0192:0192:991825827",
        ] {
            assert_eq!(OrganisationNumber::parse_iso6523(bad), Err(Shapeless), "{bad}");
        }
        // A remainder of 1 has no check digit.
        let without = (0..=99_999_999_u32)
            .map(|base| format!("{base:08}"))
            .find(|base| weighted(&[3, 2, 7, 6, 5, 4, 3, 2], &digits::<8>(base).unwrap()) % 11 == 1);
        let without = without.unwrap();
        assert!((0..10).all(|digit| OrganisationNumber::parse(&format!("{without}{digit}")).is_err()));
    }

    #[test]
    fn an_eidas_identifier_is_split_on_its_first_two_slashes_only() {
        let identifier = EidasIdentifier::parse("SE/NO/a/b+c==å").unwrap();
        assert_eq!((identifier.country(), identifier.as_str()), ("SE", "SE/NO/a/b+c==å"));
        for bad in [
            "",
            "SE",
            "SE/NO",
            "SE/NO/",
            "se/NO/x",
            "SWE/NO/x",
            "SE/N0/x",
            "/NO/x",
            "SE//x",
            "SE/DK/x",
            "SE/no/x",
            "SE/NO/a\nb",
        ] {
            assert_eq!(EidasIdentifier::parse(bad), Err(Shapeless), "{bad}");
        }
        assert_eq!(EidasIdentifier::parse(&format!("SE/NO/{}", "x".repeat(256))), Err(Shapeless));
    }

    #[test]
    fn no_identifier_is_printed_for_debugging() {
        let printed = format!(
            "{:?} {:?} {:?} {:?}",
            Pid::parse("17838534171"),
            HelperNumber::parse("88888888831"),
            OrganisationNumber::parse("991825827"),
            EidasIdentifier::parse("SE/NO/x1")
        );
        assert!(
            !["17838534171", "88888888831", "991825827", "SE/NO"].iter().any(|text| printed.contains(text)),
            "{printed}"
        );
    }
}

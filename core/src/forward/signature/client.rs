//! The signatures that a client brings itself (RFC 9421, 4), for apps that know the client's key.
//!
//! **Invariant:** what is passed on is under the client's own labels and could not be taken for ours: nothing with
//! our label or our `tag` survives. What cannot be read in one way alone (RFC 8941, 3.2; RFC 9421, 4) is not passed
//! on at all.

use http::HeaderMap;

use super::{LABEL, Signature};

/// The most signatures of a request that are passed on.
const MOST: usize = 4;

/// The most bytes of one of the two fields.
const LONGEST: usize = 4_096;

/// What a client signed itself; `None` if nothing, or nothing that may be passed on.
#[must_use]
pub fn of_client(headers: &HeaderMap) -> Option<Signature> {
    let inputs = members(&line(headers, "signature-input")?)?;
    let signatures = members(&line(headers, "signature")?)?;
    let labels = |members: &[(String, String)]| -> Vec<String> {
        let mut labels: Vec<String> = members.iter().map(|(label, _)| label.clone()).collect();
        labels.sort_unstable();
        labels
    };
    if labels(&inputs) != labels(&signatures) || inputs.len() > MOST {
        return None;
    }
    let sound = inputs.iter().all(|(_, value)| value.starts_with('('))
        && signatures.iter().all(|(_, value)| is_bytes(value));
    if !sound {
        return None;
    }
    let ours = |label: &str| {
        let input = inputs.iter().find(|(known, _)| known == label);
        label == LABEL || input.is_some_and(|(_, value)| value.contains(&format!("\"{LABEL}\"")))
    };
    let kept = |members: &[(String, String)]| -> String {
        let kept = members.iter().filter(|(label, _)| !ours(label));
        kept.map(|(label, value)| format!("{label}={value}")).collect::<Vec<_>>().join(", ")
    };
    let kept = Signature { input: kept(&inputs), signature: kept(&signatures) };
    (!kept.input.is_empty()).then_some(kept)
}

/// The lines of a field as one (RFC 8941, 4.2).
fn line(headers: &HeaderMap, name: &str) -> Option<String> {
    let lines: Option<Vec<&str>> = headers.get_all(name).iter().map(|value| value.to_str().ok()).collect();
    let line = lines?.join(",");
    (!line.is_empty() && line.len() <= LONGEST).then_some(line)
}

/// The members of a dictionary, each label once; `None` if it is none.
fn members(line: &str) -> Option<Vec<(String, String)>> {
    let mut members: Vec<(String, String)> = Vec::new();
    for member in apart(line)? {
        let (label, value) = member.trim_matches([' ', '\t']).split_once('=')?;
        let begins = label.starts_with(|first: char| first.is_ascii_lowercase() || first == '*');
        let goes_on =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-.*".contains(&byte);
        let printable = value.bytes().all(|byte| (b' '..=b'~').contains(&byte));
        if !begins || !label.bytes().all(goes_on) || value.is_empty() || !printable {
            return None;
        }
        if members.iter().any(|(known, _)| known == label) {
            return None;
        }
        members.push((label.to_owned(), value.to_owned()));
    }
    Some(members)
}

/// Apart at the commas that stand in no text and no list; `None` if one of these does not end.
fn apart(line: &str) -> Option<Vec<&str>> {
    let (mut parts, mut from, mut depth, mut quoted, mut escaped) = (Vec::new(), 0, 0_u32, false, false);
    for (at, byte) in line.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            _ if quoted => {}
            b'(' => depth += 1,
            b')' => depth = depth.checked_sub(1)?,
            b',' if depth == 0 => {
                parts.push(&line[from..at]);
                from = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&line[from..]);
    (depth == 0 && !quoted).then_some(parts)
}

/// A byte sequence (RFC 8941, 3.3.5), and nothing behind it.
fn is_bytes(value: &str) -> bool {
    let inner = value.strip_prefix(':').and_then(|value| value.strip_suffix(':'));
    inner.is_some_and(|inner| {
        inner.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+/=".contains(&byte)) && !inner.is_empty()
    })
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn passed(inputs: &[&str], signatures: &[&str]) -> Option<(String, String)> {
        let mut headers = HeaderMap::new();
        for input in inputs {
            headers.append("signature-input", HeaderValue::from_str(input).unwrap());
        }
        for signature in signatures {
            headers.append("signature", HeaderValue::from_str(signature).unwrap());
        }
        of_client(&headers).map(|kept| (kept.input, kept.signature))
    }

    #[test]
    fn a_clients_signature_passes_under_its_own_label() {
        let input = r#"sig1=("@method" "x,y");created=1;keyid="a,b\"c";tag="shop""#;
        assert_eq!(passed(&[input], &["sig1=:AAAA:"]), Some((input.to_owned(), "sig1=:AAAA:".to_owned())));
        let two = passed(&["a=();created=1", r#"b=("@path")"#], &["b=:BBBB: , a=:AAAA:"]);
        assert_eq!(two, Some((r#"a=();created=1, b=("@path")"#.to_owned(), "b=:BBBB:, a=:AAAA:".to_owned())));
    }

    #[test]
    fn nothing_that_could_be_taken_for_ours_passes() {
        for input in [
            r#"portvakt=();created=1"#,
            r#"x=();tag="portvakt""#,
            r#"x=();created=1; tag = "portvakt""#,
            r#"x=("portvakt")"#,
        ] {
            let label = input.split('=').next().unwrap();
            assert_eq!(passed(&[input], &[&format!("{label}=:AAAA:")]), None, "{input}");
        }
        let kept = passed(&[r#"portvakt=(), sig1=()"#], &["portvakt=:AAAA:, sig1=:BBBB:"]);
        assert_eq!(kept, Some(("sig1=()".to_owned(), "sig1=:BBBB:".to_owned())));
    }

    #[test]
    fn what_is_not_understood_does_not_pass() {
        for (inputs, signatures) in [
            (&[][..], &["sig1=:AAAA:"][..]),
            (&["sig1=()"], &[]),
            (&["sig1=()"], &["sig2=:AAAA:"]),
            (&["sig1=(), sig1=()"], &["sig1=:AAAA:"]),
            (&["sig1=()", "sig1=()"], &["sig1=:AAAA:"]),
            (&["sig1=()"], &["sig1=:AAAA:, sig1=:BBBB:"]),
            (&["sig1=("], &["sig1=:AAAA:"]),
            (&["sig1=())"], &["sig1=:AAAA:"]),
            (&[r#"sig1=();keyid="x"#], &["sig1=:AAAA:"]),
            (&["SIG1=()"], &["SIG1=:AAAA:"]),
            (&["Portvakt=()"], &["Portvakt=:AAAA:"]),
            (&["sig1 =()"], &["sig1 =:AAAA:"]),
            (&["sig1"], &["sig1"]),
            (&["sig1=1"], &["sig1=:AAAA:"]),
            (&["sig1=()"], &["sig1=AAAA"]),
            (&["sig1=()"], &["sig1=:AA AA:"]),
            (&["sig1=()"], &["sig1=:AAAA:;x=1"]),
            (&["a=(), b=(), c=(), d=(), e=()"], &["a=:A:, b=:A:, c=:A:, d=:A:, e=:A:"]),
            (&["sig1=(),"], &["sig1=:AAAA:,"]),
        ] {
            assert_eq!(passed(inputs, signatures), None, "{inputs:?} {signatures:?}");
        }
        let long = format!(r#"sig1=();keyid="{}""#, "x".repeat(LONGEST));
        assert_eq!(passed(&[&long], &["sig1=:AAAA:"]), None);
        let mut raw = HeaderMap::new();
        raw.insert("signature-input", HeaderValue::from_bytes(b"sig1=(\"\xc3\xa5\")").unwrap());
        raw.insert("signature", HeaderValue::from_static("sig1=:AAAA:"));
        assert_eq!(of_client(&raw), None);
    }
}

//! A self-signed certificate for `x5c`, as ID-porten sends one (dossier 2.6). Nobody may trust it.
//!
//! DER by hand (RFC 5280, 4.1): five short forms are all it takes.

/// A version 3 certificate over the public key `spki`, valid 2025 to 2049; `sign` is RSA with SHA-256.
pub(crate) fn self_signed(name: &str, spki: &[u8], sign: impl Fn(&[u8]) -> Vec<u8>) -> Vec<u8> {
    let algorithm = der(SEQUENCE, &[der(OID, &[SHA256_WITH_RSA]), der(NULL, &[[0; 0]])]);
    let common_name = der(SEQUENCE, &[der(OID, &[COMMON_NAME]), der(UTF8_STRING, &[name.as_bytes()])]);
    let name = der(SEQUENCE, &[der(SET, &[common_name])]);
    let validity = der(SEQUENCE, &[der(UTC_TIME, &[b"250101000000Z"]), der(UTC_TIME, &[b"491231235959Z"])]);
    let version = der(EXPLICIT_0, &[der(INTEGER, &[[2]])]);
    let serial = der(INTEGER, &[[1]]);
    let body = der(SEQUENCE, &[version.as_slice(), &serial, &algorithm, &name, &validity, &name, spki]);
    let signature = der(BIT_STRING, &[vec![0], sign(&body)]);
    der(SEQUENCE, &[body, algorithm, signature])
}

fn der(tag: u8, parts: &[impl AsRef<[u8]>]) -> Vec<u8> {
    let length: usize = parts.iter().map(|part| part.as_ref().len()).sum();
    let mut encoded = vec![tag];
    match u16::try_from(length).expect("a certificate is shorter than 64 KiB") {
        short @ 0..=127 => encoded.push(short as u8),
        long => {
            encoded.push(0x82);
            encoded.extend(long.to_be_bytes());
        }
    }
    // A length between 128 and 255 must be one byte (DER, X.690, 10.1).
    if (128..256).contains(&length) {
        encoded.splice(1.., [0x81, length as u8]);
    }
    parts.iter().for_each(|part| encoded.extend(part.as_ref()));
    encoded
}

const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const NULL: u8 = 0x05;
const OID: u8 = 0x06;
const UTF8_STRING: u8 = 0x0c;
const UTC_TIME: u8 = 0x17;
const EXPLICIT_0: u8 = 0xa0;
/// 1.2.840.113549.1.1.11
const SHA256_WITH_RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0b];
/// 2.5.4.3
const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_encoded_as_der_wants() {
        assert_eq!(der(NULL, &[[0; 0]]), [5, 0]);
        assert_eq!(der(OID, &[[7; 127]])[..2], [6, 127]);
        assert_eq!(der(OID, &[[7; 200]])[..4], [6, 0x81, 200, 7]);
        assert_eq!(der(OID, &[[7; 300]])[..5], [6, 0x82, 1, 44, 7]);
    }
}

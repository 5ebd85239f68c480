//! JSON as untrusted text: an object in which no member is repeated, at any depth.
//!
//! **Invariant:** two readers of what this module accepts see the same members. RFC 7519, 4 allows a
//! parser to take the last of two; RFC 8725, 2.4 says what comes of it. Size and depth are bounded.

use std::fmt;

use serde::de::{DeserializeSeed, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

/// Objects and arrays may nest this deep, the outermost included.
pub const MAX_DEPTH: usize = 16;

/// Why a text is not an object that this module reads. Holds nothing of the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JsonError {
    /// A member name occurs twice in one object.
    #[error("a member is repeated")]
    Repeated,
    /// Nested deeper than [`MAX_DEPTH`].
    #[error("nested too deeply")]
    TooDeep,
    /// Not one JSON object in UTF-8.
    #[error("not a JSON object")]
    Malformed,
}

/// Reads one JSON object.
///
/// # Errors
///
/// One [`JsonError`] per cause. The text is not part of it.
pub fn parse_object(text: &[u8]) -> Result<Map<String, Value>, JsonError> {
    let mut deserializer = serde_json::Deserializer::from_slice(text);
    let value = Strict { depth: 0 }
        .deserialize(&mut deserializer)
        .and_then(|value| deserializer.end().map(|()| value))
        .map_err(cause)?;
    match value {
        Value::Object(object) => Ok(object),
        _ => Err(JsonError::Malformed),
    }
}

const REPEATED: &str = "portvakt: repeated member";
const TOO_DEEP: &str = "portvakt: too deep";

/// serde_json's errors carry only text. Ours can be told apart by their beginning: `custom` messages
/// stand first, and no message of serde_json's own begins so.
#[expect(clippy::needless_pass_by_value, reason = "used as a function in `map_err`")]
fn cause(error: serde_json::Error) -> JsonError {
    let message = error.to_string();
    if message.starts_with(REPEATED) {
        JsonError::Repeated
    } else if message.starts_with(TOO_DEEP) {
        JsonError::TooDeep
    } else {
        JsonError::Malformed
    }
}

#[derive(Clone, Copy)]
struct Strict {
    depth: usize,
}

impl Strict {
    fn inner<E: serde::de::Error>(self) -> Result<Self, E> {
        if self.depth >= MAX_DEPTH {
            return Err(E::custom(TOO_DEEP));
        }
        Ok(Self { depth: self.depth + 1 })
    }
}

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = Value;

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Value, A::Error> {
        let inner = self.inner()?;
        let mut array = Vec::new();
        while let Some(element) = elements.next_element_seed(inner)? {
            array.push(element);
        }
        Ok(Value::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let inner = self.inner()?;
        let mut object = Map::new();
        while let Some(name) = members.next_key::<String>()? {
            if object.contains_key(&name) {
                return Err(A::Error::custom(REPEATED));
            }
            let value = members.next_value_seed(inner)?;
            object.insert(name, value);
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_repeated_member_is_refused_at_every_depth_and_however_it_is_spelled() {
        for text in [
            r#"{"a":1,"a":1}"#,
            r#"{"a":1,"\u0061":2}"#,
            r#"{"x":{"a":1,"b":2,"a":3}}"#,
            r#"{"x":[{"y":[{"a":null,"a":null}]}]}"#,
        ] {
            assert_eq!(parse_object(text.as_bytes()), Err(JsonError::Repeated), "{text}");
        }
        assert!(parse_object(br#"{"a":{"b":1},"b":[{"b":1},{"b":2}]}"#).is_ok());
    }

    #[test]
    fn depth_is_bounded_exactly() {
        let nested = |depth: usize| format!("{}1{}", "{\"a\":".repeat(depth), "}".repeat(depth));
        assert!(parse_object(nested(MAX_DEPTH).as_bytes()).is_ok());
        assert_eq!(parse_object(nested(MAX_DEPTH + 1).as_bytes()), Err(JsonError::TooDeep));
        let arrays = format!("{{\"a\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
        assert_eq!(parse_object(arrays.as_bytes()), Err(JsonError::TooDeep));
    }

    #[test]
    fn only_one_object_in_utf_8_is_an_object() {
        for text in [
            &b""[..],
            b"1",
            b"null",
            b"[]",
            b"{}{}",
            b"{} x",
            b"{\"a\":1,}",
            b"{'a':1}",
            b"{\"a\":01}",
            b"{\"a\":NaN}",
            b"{\"a\":1e999}",
            b"{\"a\":\"\xff\"}",
            b"{\"a\":\"\\ud800\"}",
            b"\xef\xbb\xbf{}",
            b"{\"portvakt: repeated member\"",
        ] {
            assert_eq!(parse_object(text), Err(JsonError::Malformed), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn what_serde_json_writes_is_read_back(
            object in proptest::collection::btree_map("\\PC{0,6}", any::<i64>(), 0..8)
        ) {
            let text = serde_json::to_vec(&object).unwrap();
            let read = parse_object(&text).unwrap();
            prop_assert_eq!(serde_json::to_value(&object).unwrap(), Value::Object(read));
        }

        #[test]
        fn no_text_makes_it_panic(text in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse_object(&text);
        }
    }
}

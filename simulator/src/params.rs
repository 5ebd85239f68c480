//! Form and query parameters. A repeated parameter is an error (OAuth 2.0, RFC 6749, 3.1).

/// Decoded parameters, each present once.
#[derive(Clone, Default)]
pub(crate) struct Params(Vec<(String, String)>);

impl Params {
    /// Decodes a query or a form body; the error is the name that came twice.
    pub(crate) fn parse(encoded: &[u8]) -> Result<Self, String> {
        let mut params: Vec<(String, String)> = Vec::new();
        for (name, value) in url::form_urlencoded::parse(encoded) {
            if params.iter().any(|(seen, _)| *seen == name) {
                return Err(name.into_owned());
            }
            params.push((name.into_owned(), value.into_owned()));
        }
        Ok(Self(params))
    }

    /// The value, unless absent or empty (RFC 6749, 3.1: empty is absent).
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(seen, value)| seen == name && !value.is_empty()).map(|(_, value)| value.as_str())
    }

    /// Whether nothing but `allowed` is present.
    pub(crate) fn only(&self, allowed: &[&str]) -> bool {
        self.0.iter().all(|(name, _)| allowed.contains(&name.as_str()))
    }
}

/// `url` with `pairs` in its query.
pub(crate) fn with_query<'a>(url: &str, pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let mut target = String::from(url);
    let mut separator = if url.contains('?') { '&' } else { '?' };
    for (name, value) in pairs {
        target.push(separator);
        target.push_str(name);
        target.push('=');
        target.extend(url::form_urlencoded::byte_serialize(value.as_bytes()));
        separator = '&';
    }
    target
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repeated_parameter_is_refused_and_an_empty_one_absent() {
        assert_eq!(Params::parse(b"a=1&b=2&a=3").err().as_deref(), Some("a"));
        let Ok(params) = Params::parse(b"a=&b=x%20y") else { panic!("nothing is repeated") };
        assert_eq!((params.get("a"), params.get("b")), (None, Some("x y")));
        assert!(params.only(&["a", "b"]) && !params.only(&["b"]));
    }

    #[test]
    fn values_are_encoded_into_the_query() {
        assert_eq!(
            with_query("http://h/p?a=1", [("iss", "http://o/x")]),
            "http://h/p?a=1&iss=http%3A%2F%2Fo%2Fx"
        );
    }
}

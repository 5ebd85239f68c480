//! Which scripts of other origins may read a route's replies (Fetch, 3.2: the CORS protocol).
//!
//! **Invariant:** no `Origin` is repeated in an answer but one that the file names; and a preflight is
//! answered, or passed on without anybody's identity, and never redirected (`threats.md` BR-3).

use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE,
    ACCESS_CONTROL_REQUEST_METHOD, ORIGIN,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method};

/// What a route makes of scripts of other origins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Cors {
    /// Nothing: a preflight is a request like others.
    #[default]
    Unknown,
    /// The app answers preflights, as nobody's.
    Pass,
    /// The gateway answers them, and marks the app's replies.
    Answered(CorsPlan),
}

/// Who may do what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CorsPlan {
    /// As browsers write them; empty: everybody, which excludes `credentials`.
    pub origins: Vec<String>,
    /// Methods beyond GET, HEAD and POST, joined by commas.
    pub methods: HeaderValue,
    /// Request headers beyond the usual ones, joined by commas; `None`: none.
    pub headers: Option<HeaderValue>,
    /// Reply headers that scripts may read beyond the usual ones.
    pub expose: Option<HeaderValue>,
    /// Whether cookies count.
    pub credentials: bool,
    /// For how long a browser remembers the answer, in seconds.
    pub max_age: u32,
}

/// The method that a preflight asks for; `None` if the request is none (Fetch, 3.2.2).
#[must_use]
pub fn preflight(method: &Method, headers: &HeaderMap) -> Option<Method> {
    if method != Method::OPTIONS || !headers.contains_key(ORIGIN) {
        return None;
    }
    let mut lines = headers.get_all(ACCESS_CONTROL_REQUEST_METHOD).iter();
    match (lines.next(), lines.next()) {
        (Some(line), None) => Method::from_bytes(line.as_bytes()).ok(),
        _ => None,
    }
}

/// Whether a field of a reply is of this protocol: where the gateway answers, the app does not.
#[must_use]
pub fn is_of_protocol(name: &HeaderName) -> bool {
    let name = name.as_str();
    name.starts_with("access-control-allow-")
        || matches!(name, "access-control-expose-headers" | "access-control-max-age")
}

impl Cors {
    /// The origins that the file names.
    #[must_use]
    pub fn origins(&self) -> &[String] {
        match self {
            Self::Answered(plan) => &plan.origins,
            Self::Unknown | Self::Pass => &[],
        }
    }
}

impl CorsPlan {
    /// The fields for a preflight's answer; none for an origin that the file does not name.
    #[must_use]
    pub fn to_preflight(&self, headers: &HeaderMap) -> Option<Vec<(HeaderName, HeaderValue)>> {
        let mut fields = self.to_request(headers)?;
        fields.retain(|(name, _)| *name != ACCESS_CONTROL_EXPOSE_HEADERS);
        fields.push((ACCESS_CONTROL_ALLOW_METHODS, self.methods.clone()));
        fields.extend(self.headers.clone().map(|allowed| (ACCESS_CONTROL_ALLOW_HEADERS, allowed)));
        fields.push((ACCESS_CONTROL_MAX_AGE, HeaderValue::from(self.max_age)));
        Some(fields)
    }

    /// The fields for the reply to a request itself.
    #[must_use]
    pub fn to_request(&self, headers: &HeaderMap) -> Option<Vec<(HeaderName, HeaderValue)>> {
        let allowed = if self.origins.is_empty() {
            HeaderValue::from_static("*")
        } else {
            let mut lines = headers.get_all(ORIGIN).iter();
            let (Some(origin), None) = (lines.next(), lines.next()) else { return None };
            self.origins.iter().any(|known| known.as_bytes() == origin.as_bytes()).then(|| origin.clone())?
        };
        let mut fields = vec![(ACCESS_CONTROL_ALLOW_ORIGIN, allowed)];
        if self.credentials {
            fields.push((ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true")));
        }
        fields.extend(self.expose.clone().map(|exposed| (ACCESS_CONTROL_EXPOSE_HEADERS, exposed)));
        Some(fields)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(origins: &[&str]) -> CorsPlan {
        CorsPlan {
            origins: origins.iter().map(|origin| (*origin).to_owned()).collect(),
            methods: HeaderValue::from_static("PUT"),
            headers: Some(HeaderValue::from_static("content-type")),
            expose: Some(HeaderValue::from_static("x-total")),
            credentials: !origins.is_empty(),
            max_age: 600,
        }
    }

    fn from(origins: &[&str]) -> HeaderMap {
        origins.iter().map(|origin| (ORIGIN, origin.parse().unwrap())).collect()
    }

    #[test]
    fn a_named_origin_is_repeated_and_no_other() {
        let plan = plan(&["https://a.no", "https://b.no:8443"]);
        let answered = plan.to_preflight(&from(&["https://b.no:8443"])).unwrap();
        let names: Vec<&str> = answered.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(
            names,
            [
                "access-control-allow-origin",
                "access-control-allow-credentials",
                "access-control-allow-methods",
                "access-control-allow-headers",
                "access-control-max-age",
            ]
        );
        assert_eq!(answered[0].1, "https://b.no:8443");
        for other in [
            &["https://a.no.evil.no"][..],
            &["http://a.no"],
            &["null"],
            &["*"],
            &[],
            &["https://a.no", "https://a.no"],
        ] {
            assert_eq!(plan.to_request(&from(other)), None, "{other:?}");
        }
    }

    #[test]
    fn everybody_is_a_star_and_never_with_credentials() {
        let fields = plan(&[]).to_request(&from(&["https://evil.no"])).unwrap();
        assert_eq!(fields[0].1, "*");
        assert!(fields.iter().all(|(name, _)| *name != ACCESS_CONTROL_ALLOW_CREDENTIALS));
    }

    #[test]
    fn a_preflight_is_told_by_its_three_marks() {
        let mut headers = from(&["https://a.no"]);
        assert_eq!(preflight(&Method::OPTIONS, &headers), None);
        headers.insert(ACCESS_CONTROL_REQUEST_METHOD, HeaderValue::from_static("PUT"));
        assert_eq!(preflight(&Method::OPTIONS, &headers), Some(Method::PUT));
        assert_eq!(preflight(&Method::GET, &headers), None);
        headers.append(ACCESS_CONTROL_REQUEST_METHOD, HeaderValue::from_static("GET"));
        assert_eq!(preflight(&Method::OPTIONS, &headers), None);
        headers.insert(ACCESS_CONTROL_REQUEST_METHOD, HeaderValue::from_static("a b"));
        assert_eq!(preflight(&Method::OPTIONS, &headers), None);
    }
}

//! Which pages' scripts may read answers.

use axum::http::{HeaderMap, HeaderValue, header};

/// Headers that scripts of other origins may read.
const EXPOSED: &str = "Content-Range, Content-Location, Location, Preference-Applied, X-Total-Count, Link, \
                       x-supabase-api-version, x-relay-error, x-warnings, x-request-id, Upload-Offset, Upload-Length, \
                       Tus-Resumable";

/// Lets the scripts of a page read an answer, if its origin is one of those that may.
pub(crate) fn allow(headers: &mut HeaderMap, origins: &[String], origin: Option<HeaderValue>) {
    if origins.iter().any(|allowed| allowed == "*") {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    } else {
        // A cache must not give one origin's answer to another.
        headers.append(header::VARY, HeaderValue::from_static("Origin"));
        let is_same = |allowed: &String, origin: &HeaderValue| {
            allowed.trim_end_matches('/').as_bytes().eq_ignore_ascii_case(origin.as_bytes())
        };
        let Some(origin) = origin.filter(|origin| origins.iter().any(|allowed| is_same(allowed, origin)))
        else {
            return;
        };
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    }
    headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(EXPOSED));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_named_origins_are_let_in() {
        let allowed = |origins: &[&str], origin: Option<&'static str>| {
            let mut headers = HeaderMap::new();
            let origins: Vec<String> = origins.iter().map(ToString::to_string).collect();
            allow(&mut headers, &origins, origin.map(HeaderValue::from_static));
            let value = headers.get(header::ACCESS_CONTROL_ALLOW_ORIGIN);
            (value.map(|value| value.to_str().expect("text").to_string()), headers.contains_key(header::VARY))
        };
        assert_eq!(allowed(&["*"], None), (Some("*".into()), false));
        let known = ["https://a.example", "http://localhost:3000"];
        assert_eq!(allowed(&known, Some("https://a.example")), (Some("https://a.example".into()), true));
        for other in [None, Some("https://a.example.com"), Some("http://a.example"), Some("null")] {
            assert_eq!(allowed(&known, other), (None, true), "{other:?}");
        }
    }
}

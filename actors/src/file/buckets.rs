//! What a bucket takes.

use models::{Row, Value, schema};

use super::FileRefusal;

/// Longest media type, in bytes.
const MIME_TYPE_BYTES_MAX: usize = 255;

/// Refuses what a bucket does not take.
pub fn check_fits(bucket: &Row, size: u64, mime_type: &str) -> Result<(), FileRefusal> {
    if let Some(bytes_max) = size_limit(bucket).filter(|bytes_max| size > *bytes_max) {
        return Err(FileRefusal::TooLarge { bytes_max });
    }
    let refused = || FileRefusal::MimeType { mime_type: mime_type.chars().take(100).collect() };
    if !is_mime_type(mime_type) {
        return Err(refused());
    }
    let buckets = schema().known("storage.buckets");
    match &bucket[buckets.at("allowed_mime_types")] {
        Value::TextArray(allowed) if !allowed.iter().flatten().any(|pattern| matches(pattern, mime_type)) => {
            Err(refused())
        }
        _ => Ok(()),
    }
}

/// The bucket's own limit, in bytes.
pub fn size_limit(bucket: &Row) -> Option<u64> {
    let buckets = schema().known("storage.buckets");
    bucket[buckets.at("file_size_limit")].as_i64().and_then(|limit| u64::try_from(limit).ok())
}

/// Whether everybody may read a bucket's files.
pub fn is_public(bucket: &Row) -> bool {
    let buckets = schema().known("storage.buckets");
    bucket[buckets.at("public")].as_bool() == Some(true)
}

/// `type/subtype`, perhaps with parameters, that can stand in a header.
fn is_mime_type(text: &str) -> bool {
    let token = |part: &str| {
        !part.is_empty()
            && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$&-^_.+*".contains(&byte))
    };
    text.len() <= MIME_TYPE_BYTES_MAX
        && text.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic())
        && essence(text).split_once('/').is_some_and(|(kind, subtype)| token(kind) && token(subtype))
}

/// A media type without its parameters.
pub fn essence(mime_type: &str) -> &str {
    mime_type.split(';').next().unwrap_or_default().trim()
}

fn matches(pattern: &str, mime_type: &str) -> bool {
    let (pattern, given) = (essence(pattern).to_ascii_lowercase(), essence(mime_type).to_ascii_lowercase());
    match pattern.strip_suffix("/*") {
        Some("*") => true,
        Some(kind) => given.split_once('/').is_some_and(|(given, _)| given == kind),
        None => pattern == "*" || pattern == given,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_takes_what_its_patterns_say() {
        for (pattern, mime_type, fits) in [
            ("image/*", "image/png", true),
            ("image/*", "IMAGE/PNG", true),
            ("image/*", "imagex/png", false),
            ("image/png", "image/png; charset=x", true),
            ("image/png", "image/pngx", false),
            ("*/*", "text/html", true),
            ("*", "text/html", true),
        ] {
            assert_eq!(matches(pattern, mime_type), fits, "{pattern} {mime_type}");
        }
        for bad in ["", "image", "image/", "/png", "image/png\r\nx: y", "a b/c", "ü/x"] {
            assert!(!is_mime_type(bad), "{bad:?}");
        }
    }
}

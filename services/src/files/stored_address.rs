//! The stored file that a client's text names.

use actors::file::StoredAddress;

/// `bucket/path` if the text names a file of this server: as a bare path, or as an address, with or without the host.
/// Addresses of other hosts are no files of ours, whatever follows. Whether there is such a file, and who may read it,
/// is not looked at.
pub fn stored_path(base: &str, given: &str) -> Option<String> {
    let given = given.trim();
    if given.contains("://") && !given.starts_with(base) {
        return None;
    }
    let path = StoredAddress::parse(given)?.path.into_owned();
    path.contains('/').then_some(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_addresses_are_paths() {
        let base = "http://127.0.0.1:1";
        for (given, path) in [
            ("user-library/a/b.png", Some("user-library/a/b.png")),
            ("/user-library/a/b.png", Some("user-library/a/b.png")),
            ("/storage/v1/object/public/avatars/b.png#x", Some("avatars/b.png")),
            ("http://127.0.0.1:1/storage/v1/object/avatars/b.png", Some("avatars/b.png")),
            (
                "http://127.0.0.1:1/storage/v1/object/sign/user-library/a/b%20c.png?token=x",
                Some("user-library/a/b c.png"),
            ),
            ("http://127.0.0.1:1/rest/v1/jobs", None),
            ("http://127.0.0.2/storage/v1/object/avatars/b.png", None),
            ("b.png", None),
        ] {
            assert_eq!(stored_path(base, given).as_deref(), path, "{given}");
        }
    }
}

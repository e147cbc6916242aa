//! Which paths and bucket names there can be.

use super::FileRefusal;

/// Longest path, in bytes.
const KEY_BYTES_MAX: usize = 1024;
/// Longest bucket name, in bytes.
const BUCKET_BYTES_MAX: usize = 100;
/// Words that stand in the place of a bucket in the storage dialect's routes.
const RESERVED: [&str; 10] =
    ["authenticated", "copy", "info", "list", "list-v2", "move", "public", "resumable", "sign", "upload"];

/// Refuses paths that some client, tool or file system would read as another one.
pub fn check_key(key: &str) -> Result<(), FileRefusal> {
    let plain = !key.is_empty()
        && key.len() <= KEY_BYTES_MAX
        && !key.chars().any(|character| character.is_control() || character == '\\')
        && key.split('/').all(|segment| !matches!(segment, "" | "." | ".."));
    if plain {
        return Ok(());
    }
    Err(FileRefusal::Key { key: key.chars().filter(|character| !character.is_control()).take(100).collect() })
}

/// Refuses bucket names that could not stand in a URL.
pub fn check_bucket(name: &str) -> Result<(), FileRefusal> {
    let plain = |character: char| character.is_ascii_alphanumeric() || "-_. ".contains(character);
    let fits = !name.is_empty()
        && name.len() <= BUCKET_BYTES_MAX
        && name.trim() == name
        && name.chars().all(plain)
        && !matches!(name, "." | "..")
        && !RESERVED.contains(&name);
    if fits { Ok(()) } else { Err(FileRefusal::BucketName) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_paths_are_keys() {
        for good in ["a", "a/b.png", "ä ö/…", ".emptyFolderPlaceholder", "a..b/c", "a%2e%2e"] {
            assert_eq!(check_key(good), Ok(()), "{good}");
        }
        let long = "a".repeat(KEY_BYTES_MAX + 1);
        for bad in ["", "/a", "a/", "a//b", "..", "../a", "a/../b", "a/./b", "a\\b", "a\0", "a\nb", &long] {
            assert!(check_key(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn bucket_names_do_not_hide_routes() {
        for good in ["user-library", "reference_images", "b", "My Files"] {
            assert_eq!(check_bucket(good), Ok(()), "{good}");
        }
        for bad in ["", "sign", "list", "a/b", "..", " a", "a?b", "ü"] {
            assert_eq!(check_bucket(bad), Err(FileRefusal::BucketName), "{bad}");
        }
    }
}

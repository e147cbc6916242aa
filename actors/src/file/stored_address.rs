//! Reading the names under which rows and clients speak of stored files.

use std::borrow::Cow;

use uuid::Uuid;

/// What stands before the bucket in the addresses of the storage dialect.
const ROUTES: [&str; 2] = ["/storage/v1/object/", "/storage/v1/render/image/"];
/// What may stand between the route and the bucket.
const KINDS: [&str; 3] = ["sign/", "public/", "authenticated/"];

/// A stored file as a text names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredAddress<'t> {
    /// `bucket/path` of an address of the storage dialect; of other texts the path as given, with or without a bucket.
    pub path: Cow<'t, str>,
    /// Whether the text is an address of the storage dialect, so that its first segment is a bucket.
    pub names_bucket: bool,
}

impl<'t> StoredAddress<'t> {
    /// Reads an address of the storage dialect, signed or not and whatever its host, or a bare path. `None` for
    /// addresses of other places (`https:`, `data:` and the like).
    pub fn parse(text: &'t str) -> Option<StoredAddress<'t>> {
        let route = ROUTES.iter().find_map(|route| text.split_once(route));
        if let Some((_, rest)) = route {
            let rest = rest.split(['?', '#']).next().unwrap_or_default();
            let rest = KINDS.iter().find_map(|kind| rest.strip_prefix(kind)).unwrap_or(rest);
            let path = percent_encoding::percent_decode_str(rest).decode_utf8_lossy();
            return Some(StoredAddress { path: plain(path), names_bucket: true });
        }
        let scheme = text.split_once(':').map_or("", |(scheme, _)| scheme);
        if !scheme.is_empty() && scheme.chars().all(|it| it.is_ascii_alphanumeric() || "+-.".contains(it)) {
            return None;
        }
        Some(StoredAddress { path: plain(Cow::Borrowed(text)), names_bucket: false })
    }

    /// Whether it leads out of a folder, as no stored file's path does.
    pub fn climbs(&self) -> bool {
        self.path.split('/').any(|segment| segment == "..")
    }

    /// The bucket, if the first segment is one of `buckets` or the text was an address, and the path below it.
    pub fn split(&self, is_bucket: impl Fn(&str) -> bool) -> (Option<&str>, &str) {
        match self.path.split_once('/') {
            Some((first, rest)) if self.names_bucket || is_bucket(first) => (Some(first), rest),
            _ => (None, &self.path),
        }
    }
}

/// A path without the segments that say nothing: a stored file has one path, however it is written.
fn plain(path: Cow<'_, str>) -> Cow<'_, str> {
    let says_nothing = |segment: &str| matches!(segment, "" | ".");
    // The end stays: a path that ends in a slash names no file.
    let (folders, name) = path.rsplit_once('/').unwrap_or(("", &path));
    if path.contains('/') && folders.split('/').any(says_nothing) {
        let kept = folders.split('/').filter(|segment| !says_nothing(segment)).chain([name]);
        return Cow::Owned(kept.collect::<Vec<&str>>().join("/"));
    }
    path
}

/// The path inside `bucket` that a row of an account names, with or without the bucket before it, if it lies in the
/// account's own folder. What the server reads, copies or deletes with its own rights goes through here: accounts may
/// write these columns, so that a path alone does not prove whose file it is.
pub fn own_path<'p>(account: Uuid, bucket: &str, stored: &'p str) -> Option<&'p str> {
    let path = stored.strip_prefix(bucket).and_then(|rest| rest.strip_prefix('/')).unwrap_or(stored);
    (folder_account(path) == Some(account)).then_some(path)
}

/// The account after which the first folder of a path inside a bucket is named.
pub fn folder_account(path: &str) -> Option<Uuid> {
    let (folder, _) = path.split_once('/')?;
    // Only the form in which policies compare it: other spellings of the same id are other folders.
    Uuid::parse_str(folder).ok().filter(|id| id.hyphenated().to_string() == folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANNA: Uuid = Uuid::from_u128(0xa11a);

    #[test]
    fn addresses_and_paths_are_read() {
        let is_bucket = |name: &str| name == "user-library";
        let split = |text: &str| {
            StoredAddress::parse(text).map(|address| {
                let (bucket, path) = address.split(is_bucket);
                (bucket.map(str::to_string), path.to_string())
            })
        };
        let some = |bucket: &str, path: &str| Some((Some(bucket.to_string()), path.to_string()));
        for text in [
            "user-library/u/a b.png",
            "/user-library/u/a b.png",
            "//user-library///u/./a b.png",
            "http://h//storage/v1/object/public//user-library//u/a%20b.png",
            "http://127.0.0.1/storage/v1/object/sign/user-library/u/a%20b.png?token=x",
            "https://any.host/storage/v1/object/public/user-library/u/a%20b.png",
            "/storage/v1/object/authenticated/user-library/u/a%20b.png#x",
            "http://h/storage/v1/object/user-library/u/a%20b.png",
            "http://h/storage/v1/render/image/public/user-library/u/a%20b.png?width=9",
        ] {
            assert_eq!(split(text), some("user-library", "u/a b.png"), "{text}");
        }
        assert_eq!(split("http://h/storage/v1/object/other/u/a.png"), some("other", "u/a.png"));
        assert_eq!(split("u/a.png"), Some((None, "u/a.png".into())));
        assert_eq!(split("user-library/u/"), some("user-library", "u/"));
        let climbs = |text: &str| StoredAddress::parse(text).is_some_and(|address| address.climbs());
        assert!(
            climbs("user-library/me/../u/a.png")
                && climbs("/storage/v1/object/public/avatars/%2e%2e/u/a.png")
        );
        assert!(!climbs("user-library/u/a..png") && !climbs("https://example.org/../a.png"));
        assert_eq!(split("https://example.org/a.png"), None);
        assert_eq!(split("data:image/png;base64,AA"), None);
    }

    #[test]
    fn only_the_own_folder_counts() {
        let own = format!("{ANNA}/x/a.png");
        assert_eq!(own_path(ANNA, "b", &own), Some(own.as_str()));
        assert_eq!(own_path(ANNA, "b", &format!("b/{own}")), Some(own.as_str()));
        for foreign in [
            "a.png".to_string(),
            ANNA.to_string(),
            format!("c/{own}"),
            format!("{}/a.png", Uuid::nil()),
            format!("{}/a.png", ANNA.simple()),
            format!("/{own}"),
        ] {
            assert_eq!(own_path(ANNA, "b", &foreign), None, "{foreign}");
        }
    }
}

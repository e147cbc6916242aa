//! What a file is whose name says model and whose first bytes say otherwise: a page that a site answered with, a pointer
//! of Git LFS, a file of another format.

use std::fs::File;
use std::io::Read;
use std::path::Path;

/// So many bytes are looked at.
const LOOKED_AT_BYTES: u64 = 512;
/// A safetensors file begins with the length of its header, which is JSON.
const LENGTH_BYTES: usize = 8;

/// What a file is instead of a model, and what helps; `None` where its beginning is that of a model.
pub(super) fn mistaken_for(path: &Path) -> Option<&'static str> {
    // Opening a pipe would wait for a writer.
    if !path.is_file() {
        return None;
    }
    let mut start = Vec::new();
    File::open(path).ok()?.take(LOOKED_AT_BYTES).read_to_end(&mut start).ok()?;
    let text = start.trim_ascii_start();
    let is_gguf = path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("gguf"));
    Some(match () {
        () if text.starts_with(b"version https://git-lfs") => {
            "is a pointer of Git LFS, not the file it stands for: run `git lfs pull` where it was cloned, or download the \
             file itself"
        }
        () if text.starts_with(b"<") => {
            "is a web page, not a model: the site answered the download with it; sign in there, and download the file again"
        }
        () if text.starts_with(b"{") => {
            "is JSON, not a model: perhaps the message of a site that refused the download; read it, and download the file \
             again"
        }
        () if start.starts_with(b"GGUF") && !is_gguf => "is a GGUF file: give it a name that ends in .gguf",
        () if is_gguf && start.get(LENGTH_BYTES) == Some(&b'{') => {
            "is a safetensors file: give it a name that ends in .safetensors"
        }
        () if is_gguf && start.starts_with(b"PK\x03\x04") => "is a ZIP archive or a pickle, not a GGUF file",
        () => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_known_by_its_first_bytes() {
        let folder = tempfile::tempdir().expect("a folder");
        for (name, bytes, said) in [
            ("a.safetensors", &b"<!DOCTYPE html><title>Sign in</title>"[..], Some("web page")),
            ("a.gguf", b"\n <html>", Some("web page")),
            ("a.gguf", b"version https://git-lfs.github.com/spec/v1\noid sha256:0", Some("git lfs pull")),
            ("a.safetensors", b"{\"error\": \"gated\"}", Some("is JSON")),
            ("a.safetensors", b"GGUF\x03\0\0\0", Some(".gguf")),
            ("a.gguf", b"\x10\0\0\0\0\0\0\0{\"x\":{}}", Some(".safetensors")),
            ("a.gguf", b"PK\x03\x04", Some("ZIP")),
            ("a.gguf", b"GGUF\x03\0\0\0", None),
            ("a.safetensors", b"\x10\0\0\0\0\0\0\0{\"x\":{}}", None),
            ("a.safetensors", b"", None),
        ] {
            let path = folder.path().join(name);
            std::fs::write(&path, bytes).expect("a file");
            let found = mistaken_for(&path);
            assert_eq!(found.is_some(), said.is_some(), "{name} {bytes:?}: {found:?}");
            assert!(
                found.unwrap_or_default().contains(said.unwrap_or_default()),
                "{name} {bytes:?}: {found:?}"
            );
        }
        assert_eq!(mistaken_for(folder.path()), None);
    }
}

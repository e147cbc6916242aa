//! Reference pictures: a file of the caller's, or a URL that may be fetched.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use actors::file::{NewObject, put_object::PutObject};
use axum::http::StatusCode;
use futures_util::StreamExt;
use reqwest::Url;
use uuid::Uuid;

use super::call::Call;
use super::error::FunctionError;
use crate::storage::signed_url;

/// Life of the URL under which a worker reads a reference, in seconds.
const SIGNED_S: u64 = 3600;
/// Largest picture that is fetched, in bytes.
const FETCHED_BYTES_MAX: usize = 20 << 20;
const FETCH_TIME_MAX: Duration = Duration::from_secs(15);
const REDIRECTS_MAX: usize = 3;
/// Where fetched references are kept.
const BUCKET: &str = "reference_images";

/// A reference that a worker can read.
#[derive(Clone, Debug)]
pub(super) struct Reference {
    /// Where a remote worker reads it.
    pub url: String,
    /// `bucket/path` for a worker inside this process.
    pub object: String,
}

/// Turns what a caller sent into something a worker can read. Somebody else's file is refused.
pub(super) async fn resolve(call: &Call, user: Uuid, given: &str) -> Result<Reference, FunctionError> {
    let stored = stored_path(&call.app.config.url(), given);
    let object = match stored {
        Some(path) => path,
        None if given.starts_with("http://") || given.starts_with("https://") => {
            fetch(call, user, given).await?
        }
        None => return Err(FunctionError::bad("reference_image_url: neither a stored file nor a URL")),
    };
    let (bucket, path) = own(user, &object)?;
    let url = signed_url(&call.app.keys, &call.app.config, bucket, path, SIGNED_S)
        .unwrap_or_else(|_| object.clone());
    Ok(Reference { url, object })
}

/// Refuses what names a stored file of another account, before anything is fetched.
pub(super) fn check_owner(call: &Call, user: Uuid, given: &str) -> Result<(), FunctionError> {
    match stored_path(&call.app.config.url(), given) {
        Some(path) => own(user, &path).map(|_| ()),
        None => Ok(()),
    }
}

/// Bucket and path of a stored file that an account may read.
fn own(user: Uuid, object: &str) -> Result<(&str, &str), FunctionError> {
    let (bucket, path) = object.split_once('/').unwrap_or((BUCKET, object));
    let is_public = matches!(bucket, "avatars" | "system_assets");
    if !is_public && path.split('/').next() != Some(user.to_string().as_str()) {
        let error = FunctionError::forbidden("the reference belongs to another account");
        return Err(error.with("success", false).with("code", "CROSS_USER_REFERENCE"));
    }
    Ok((bucket, path))
}

/// `bucket/path` if the text names a file of ours: as a bare path, or as one of our own URLs.
pub(super) fn stored_path(base: &str, given: &str) -> Option<String> {
    const BUCKETS: [&str; 5] =
        ["user-library/", "workspace-temp/", "reference_images/", "avatars/", "system_assets/"];
    let path = match given.strip_prefix(base) {
        Some(rest) => {
            let rest = rest.split('?').next().unwrap_or_default().strip_prefix("/storage/v1/object/")?;
            let rest =
                ["sign/", "public/", "authenticated/"].iter().find_map(|kind| rest.strip_prefix(kind))?;
            percent_encoding::percent_decode_str(rest).decode_utf8().ok()?.into_owned()
        }
        None => given.to_string(),
    };
    BUCKETS.iter().any(|bucket| path.starts_with(bucket)).then_some(path)
}

/// Fetches a picture and keeps it in the caller's folder; answers with `bucket/path`.
async fn fetch(call: &Call, user: Uuid, given: &str) -> Result<String, FunctionError> {
    let refused = |reason: String| FunctionError::bad(format!("reference_image_url: {reason}"));
    if !call.app.config.fetch_references {
        return Err(refused("this server fetches no URLs; upload the picture instead".into()));
    }
    let (bytes, mime_type) =
        download(given, call.app.config.fetch_private_addresses).await.map_err(refused)?;
    keep(call, user, "fetched", bytes, mime_type).await
}

/// Keeps a picture in a folder of the caller's; answers with `bucket/path`. The same picture is kept once.
pub(crate) async fn keep(
    call: &Call,
    user: Uuid,
    folder: &str,
    bytes: Vec<u8>,
    mime_type: String,
) -> Result<String, FunctionError> {
    let store = call.app.actors.store().clone();
    let size = bytes.len() as u64;
    let blob = tokio::task::spawn_blocking(move || store.blobs().write(&bytes)).await.map_err(|_| {
        FunctionError::new(StatusCode::INTERNAL_SERVER_ERROR, "writing the reference failed")
    })??;
    let extension = mime_type.rsplit('/').next().unwrap_or("png");
    let name = format!("{user}/{folder}/{}.{extension}", blob.hex());
    let object = NewObject {
        bucket: BUCKET.into(),
        name: name.clone(),
        owner: Some(user),
        blob,
        size,
        mime_type,
        cache_control: None,
        user_metadata: None,
    };
    call.app.actors.ask(&call.service(), PutObject { object, upsert: true }).await?;
    Ok(format!("{BUCKET}/{name}"))
}

/// The picture behind a URL, every hop checked before it is asked, all within a time.
pub(super) async fn download(given: &str, private_allowed: bool) -> Result<(Vec<u8>, String), String> {
    let fetched = tokio::time::timeout(FETCH_TIME_MAX, fetch_from(given, private_allowed)).await;
    fetched.unwrap_or_else(|_| Err("it took too long".into()))
}

async fn fetch_from(given: &str, private_allowed: bool) -> Result<(Vec<u8>, String), String> {
    let mut url = Url::parse(given).map_err(|error| error.to_string())?;
    for _ in 0..=REDIRECTS_MAX {
        let address = permitted(&url, private_allowed).await?;
        let host = url.host_str().unwrap_or_default().to_string();
        // The address that was checked is the one that is asked: a name may not point elsewhere a moment later.
        let client = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .resolve(&host, address)
            .no_proxy()
            .build()
            .map_err(|error| error.to_string())?;
        let response =
            client.get(url.clone()).send().await.map_err(|_| "it cannot be reached".to_string())?;
        if response.status().is_redirection() {
            let target = response.headers().get("location").and_then(|value| value.to_str().ok());
            url = url.join(target.ok_or("a redirect without target")?).map_err(|error| error.to_string())?;
            continue;
        }
        if !response.status().is_success() {
            return Err(format!("the address answered {}", response.status().as_u16()));
        }
        let kind =
            response.headers().get("content-type").and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        if !matches!(kind.as_str(), "image/png" | "image/jpeg" | "image/webp" | "image/gif") {
            return Err(format!("{kind:?} is not a picture"));
        }
        let mut bytes = Vec::new();
        let mut stream = response.bytes_stream();
        while let Some(piece) = stream.next().await {
            bytes.extend_from_slice(&piece.map_err(|_| "the connection broke off".to_string())?);
            if bytes.len() > FETCHED_BYTES_MAX {
                return Err(format!("more than {FETCHED_BYTES_MAX} bytes"));
            }
        }
        return Ok((bytes, kind));
    }
    Err(format!("more than {REDIRECTS_MAX} redirects"))
}

/// The address behind a URL, if it may be asked.
async fn permitted(url: &Url, private_allowed: bool) -> Result<std::net::SocketAddr, String> {
    if !matches!(url.scheme(), "http" | "https") {
        return Err(format!("{} is not fetched", url.scheme()));
    }
    let host = url.host_str().ok_or("no host")?.trim_matches(['[', ']']).to_string();
    let port = url.port_or_known_default().ok_or("no port")?;
    let found = tokio::net::lookup_host((host.as_str(), port)).await;
    let addresses: Vec<_> = found.map_err(|_| "its host is not known".to_string())?.collect();
    if !private_allowed && addresses.iter().any(|address| !is_public(address.ip())) {
        return Err("it is on a private network".into());
    }
    addresses.into_iter().next().ok_or_else(|| "its host is not known".to_string())
}

/// Whether an address is somewhere in the open Internet.
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => match address.to_ipv4_mapped() {
            Some(mapped) => is_public_v4(mapped),
            None => is_public_v6(address),
        },
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let shared = a == 100 && (64..128).contains(&b);
    let reserved = a == 0 || a >= 240 || (a == 192 && b == 0 && c == 0) || (a == 198 && (b == 18 || b == 19));
    !(address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_multicast()
        || address.is_documentation()
        || shared
        || reserved)
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let first = address.segments()[0];
    // Global unicast, without what carries an IPv4 address inside (6to4, Teredo) or is for documentation.
    (0x2000..0x4000).contains(&first)
        && first != 0x2002
        && !(first == 0x2001 && address.segments()[1] < 0x200)
        && !(first == 0x2001 && address.segments()[1] == 0xdb8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn private_addresses_are_told_apart() {
        for text in [
            "127.0.0.1",
            "10.1.2.3",
            "192.168.1.1",
            "172.16.0.1",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",
            "::1",
            "fe80::1",
            "fc00::1",
            "::ffff:127.0.0.1",
            "224.0.0.1",
            "2002:7f00:1::",
            "2001:db8::1",
        ] {
            assert!(!is_public(text.parse().expect("an address")), "{text}");
        }
        for text in ["93.184.216.34", "8.8.8.8", "2606:4700::1111"] {
            assert!(is_public(text.parse().expect("an address")), "{text}");
        }
    }

    #[test]
    fn own_urls_are_paths() {
        let base = "http://127.0.0.1:1";
        let path = |given| stored_path(base, given);
        assert_eq!(path("user-library/a/b.png").as_deref(), Some("user-library/a/b.png"));
        assert_eq!(
            path("http://127.0.0.1:1/storage/v1/object/sign/user-library/a/b%20c.png?token=x").as_deref(),
            Some("user-library/a/b c.png")
        );
        assert_eq!(path("http://127.0.0.1:1/rest/v1/jobs"), None);
        assert_eq!(path("elsewhere/a.png"), None);
    }
}

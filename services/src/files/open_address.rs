//! What lies behind a URL that a caller names: every hop is checked before it is asked.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use reqwest::Url;
use reqwest::header::HeaderName;

const REDIRECTS_MAX: usize = 3;
/// How long an address may say nothing.
const SILENCE_MAX: Duration = Duration::from_secs(60);

/// Why an address has not answered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AskError {
    /// It may answer another time.
    #[error("{0}")]
    Lost(String),
    /// It is not asked, or would answer the same again.
    #[error("{0}")]
    Refused(String),
}

/// The answer of an address, once it is one of success.
pub async fn open_address(given: &str, private_allowed: bool) -> Result<reqwest::Response, String> {
    let response = ask_address(given, private_allowed, None, &[]).await.map_err(|error| error.to_string())?;
    if !response.status().is_success() {
        return Err(format!("the address answered {}", response.status().as_u16()));
    }
    Ok(response)
}

/// The answer of an address, whatever its status, behind its redirects. The token is for the host of the address alone: where
/// a redirect leads to another one, that one is not sent it.
pub async fn ask_address(
    given: &str,
    private_allowed: bool,
    token: Option<&str>,
    headers: &[(HeaderName, String)],
) -> Result<reqwest::Response, AskError> {
    let mut url = Url::parse(given).map_err(|error| AskError::Refused(error.to_string()))?;
    let first = url.origin();
    for _ in 0..=REDIRECTS_MAX {
        let address = permitted(&url, private_allowed).await?;
        let host = url.host_str().unwrap_or_default().to_string();
        // The address that was checked is the one that is asked: a name may lead to another one a moment later.
        let client = language::http_client()
            .redirect(reqwest::redirect::Policy::none())
            .resolve(&host, address)
            .read_timeout(SILENCE_MAX)
            .no_proxy()
            .build()
            .map_err(|error| AskError::Refused(error.to_string()))?;
        let mut request = client.get(url.clone());
        for (name, value) in headers {
            request = request.header(name, value);
        }
        if let Some(token) = token.filter(|_| url.origin() == first) {
            request = request.bearer_auth(token);
        }
        let response = request.send().await.map_err(|_| AskError::Lost("it cannot be reached".into()))?;
        if !response.status().is_redirection() {
            return Ok(response);
        }
        let target = response.headers().get("location").and_then(|value| value.to_str().ok());
        let target = target.ok_or_else(|| AskError::Refused("a redirect without target".into()))?;
        let next = url.join(target).map_err(|error| AskError::Refused(error.to_string()))?;
        if url.scheme() == "https" && next.scheme() != "https" {
            return Err(AskError::Refused("a redirect leaves https".into()));
        }
        url = next;
    }
    Err(AskError::Refused(format!("more than {REDIRECTS_MAX} redirects")))
}

/// The address behind a URL, if it may be asked.
async fn permitted(url: &Url, private_allowed: bool) -> Result<std::net::SocketAddr, AskError> {
    let refused = |reason: &str| AskError::Refused(reason.into());
    if !matches!(url.scheme(), "http" | "https") {
        return Err(AskError::Refused(format!("{} is not fetched", url.scheme())));
    }
    let host = url.host_str().ok_or_else(|| refused("no host"))?.trim_matches(['[', ']']).to_string();
    let port = url.port_or_known_default().ok_or_else(|| refused("no port"))?;
    let unknown = || AskError::Lost("its host is not known".into());
    let found = tokio::net::lookup_host((host.as_str(), port)).await;
    let addresses: Vec<_> = found.map_err(|_| unknown())?.collect();
    if !private_allowed && addresses.iter().any(|address| !is_public(address.ip())) {
        return Err(refused("it is on a private network"));
    }
    addresses.into_iter().next().ok_or_else(unknown)
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
}

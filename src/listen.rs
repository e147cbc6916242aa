//! Where to listen: an address, or a name with a port.

use std::net::{SocketAddr, ToSocketAddrs};

use serde::{Deserialize, Deserializer};

/// Reads `127.0.0.1:54321`, `[::1]:54321`, or a name of this machine such as `localhost:54321`, of which the first IPv4
/// address is taken where it has one.
pub fn parse(text: &str) -> Result<SocketAddr, String> {
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    let refused = |reason: &str| {
        format!(
            "{text:?} {reason}; an address and a port are needed, such as 127.0.0.1:54321 or localhost:54321"
        )
    };
    let has_port = text
        .rsplit_once(':')
        .is_some_and(|(name, port)| !name.is_empty() && !name.contains(':') && port.parse::<u16>().is_ok());
    if !has_port {
        return Err(refused("is no address with a port"));
    }
    let found: Vec<SocketAddr> = match text.to_socket_addrs() {
        Ok(found) => found.collect(),
        Err(error) => return Err(refused(&format!("is not known ({error})"))),
    };
    let first = found.iter().find(|address| address.is_ipv4()).or(found.first());
    first.copied().ok_or_else(|| refused("has no address"))
}

/// [`parse`] for a configuration file.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SocketAddr, D::Error> {
    parse(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
}

/// The same for an address that may be absent.
pub fn deserialize_option<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<SocketAddr>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?;
    text.map(|text| parse(&text)).transpose().map_err(serde::de::Error::custom)
}

/// Why nothing can listen on an address, and what helps.
pub fn refused(listen: SocketAddr, error: &std::io::Error) -> String {
    let advice = match error.kind() {
        std::io::ErrorKind::AddrInUse => {
            "; another program listens there, perhaps another playhouse: stop it, or name another port"
        }
        std::io::ErrorKind::PermissionDenied => "; ports below 1024 need rights that this account lacks",
        std::io::ErrorKind::AddrNotAvailable => "; this machine has no such address",
        _ => "",
    };
    format!("cannot listen on {listen}: {error}{advice}")
}

/// The address as one that can be gone to: an unspecified one means this machine.
pub fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip: std::net::IpAddr = match listen {
        SocketAddr::V4(address) if address.ip().is_unspecified() => std::net::Ipv4Addr::LOCALHOST.into(),
        SocketAddr::V6(address) if address.ip().is_unspecified() => std::net::Ipv6Addr::LOCALHOST.into(),
        other => other.ip(),
    };
    SocketAddr::new(ip, listen.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_looked_up_and_what_is_wrong_is_said() {
        assert_eq!(parse("127.0.0.1:80").expect("an address").port(), 80);
        assert_eq!(parse("[::1]:80").expect("an address").port(), 80);
        let local = parse("localhost:8080").expect("an address");
        assert!(local.ip().is_loopback() && local.port() == 8080);
        for wrong in ["here", "localhost", ":80", "localhost:many", "::1:80", "nowhere.invalid:80"] {
            assert!(parse(wrong).expect_err("refused").contains("localhost:54321"), "{wrong}");
        }
        assert_eq!(reachable("0.0.0.0:5".parse().expect("an address")).to_string(), "127.0.0.1:5");
        assert_eq!(reachable("[::]:5".parse().expect("an address")).to_string(), "[::1]:5");
    }
}

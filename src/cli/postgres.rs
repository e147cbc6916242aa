//! A PostgreSQL server that data goes to or comes from.

mod tls;

use std::time::Duration;

use postgres::config::SslMode;
use postgres::{Client, Config, NoTls};

use tls::{Tls, Trust};

/// How an address of a database begins.
const SCHEMES: [&str; 2] = ["postgres://", "postgresql://"];
/// How long a server may take to answer at first.
const PATIENCE: Duration = Duration::from_secs(30);

/// Whether a text is the address of a database and no path.
pub(super) fn is_address(text: &str) -> bool {
    SCHEMES.iter().any(|scheme| text.starts_with(scheme))
}

/// An address as it may be shown: without its password.
pub(super) fn shown(address: &str) -> String {
    let Some((scheme, rest)) = address.split_once("://") else { return address.into() };
    let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    let path = path.split('?').next().unwrap_or_default();
    match authority.rsplit_once('@') {
        Some((user, host)) => {
            let user = user.split(':').next().unwrap_or_default();
            format!("{scheme}://{user}@{host}{path}")
        }
        None => format!("{scheme}://{authority}{path}"),
    }
}

/// Connects, encrypted as the address says: `sslmode` is `disable`, `prefer` (the default), `require` or `verify-full`. A
/// password that the address lacks is taken from `PGPASSWORD`.
pub(super) fn connect(address: &str) -> Result<Client, String> {
    let failed = |error: postgres::Error| format!("{}: {}", shown(address), said(&error));
    let (address_alone, mode) = without_mode(address);
    let mut config: Config = address_alone.parse().map_err(failed)?;
    if config.get_password().is_none()
        && let Ok(password) = std::env::var("PGPASSWORD")
    {
        config.password(password);
    }
    config.connect_timeout(PATIENCE).application_name("playhouse");
    let (mode, trust) = match mode.as_deref() {
        None | Some("prefer") => (SslMode::Prefer, Trust::Any),
        Some("disable") => (SslMode::Disable, Trust::Any),
        Some("require") => (SslMode::Require, Trust::Any),
        Some("verify-full") => (SslMode::Require, Trust::Authorities),
        Some(other) => {
            return Err(format!("sslmode: {other:?} is none of disable, prefer, require and verify-full"));
        }
    };
    config.ssl_mode(mode);
    match mode {
        SslMode::Disable => config.connect(NoTls).map_err(failed),
        _ => config.connect(Tls::new(trust)?).map_err(failed),
    }
}

/// An error in the words of the server, with its detail.
pub(super) fn said(error: &postgres::Error) -> String {
    match error.as_db_error() {
        Some(database) => {
            let detail = database.detail().map_or(String::new(), |detail| format!(": {detail}"));
            format!("{} ({}){detail}", database.message(), database.code().code())
        }
        None => {
            let mut text = error.to_string();
            let mut cause = std::error::Error::source(error);
            while let Some(inner) = cause {
                let inner_text = inner.to_string();
                if !text.contains(&inner_text) {
                    text = format!("{text}: {inner_text}");
                }
                cause = inner.source();
            }
            text
        }
    }
}

/// An address without its `sslmode`, some of whose words the library does not know.
fn without_mode(address: &str) -> (String, Option<String>) {
    let Some((place, query)) = address.split_once('?') else { return (address.into(), None) };
    let (mut mode, mut kept) = (None, Vec::new());
    for parameter in query.split('&') {
        match parameter.strip_prefix("sslmode=") {
            Some(word) => mode = Some(word.to_string()),
            None => kept.push(parameter),
        }
    }
    let address = if kept.is_empty() { place.into() } else { format!("{place}?{}", kept.join("&")) };
    (address, mode)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_shown_without_its_password() {
        for (address, expected) in [
            (
                "postgres://ada:s3cret@db.example:5432/studio?sslmode=require",
                "postgres://ada@db.example:5432/studio",
            ),
            ("postgresql://db.example", "postgresql://db.example"),
            ("postgres://ada:p@ss@db.example/x", "postgres://ada@db.example/x"),
        ] {
            assert_eq!(shown(address), expected);
            assert!(is_address(address));
        }
        assert!(!is_address("postgres.sql"));
    }

    #[test]
    fn the_mode_is_taken_out_of_an_address() {
        let (address, mode) = without_mode("postgres://h/d?connect_timeout=3&sslmode=verify-full");
        assert_eq!(
            (address.as_str(), mode.as_deref()),
            ("postgres://h/d?connect_timeout=3", Some("verify-full"))
        );
        assert_eq!(without_mode("postgres://h/d?sslmode=disable").0, "postgres://h/d");
        assert!(connect("postgres://h/d?sslmode=maybe").is_err_and(|error| error.contains("verify-full")));
    }
}

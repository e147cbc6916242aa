//! Keys of providers elsewhere: a row of `api_providers` names an environment variable, and only one made for that.
//!
//! A key goes to the `base_url` of its row. If a row could name any variable, an account that may write rows could
//! have the server's own secrets sent to any address.

use models::Row;
use store::{Event, StoreError};

/// What the name of every such variable begins with.
pub const PREFIX: &str = "PLAYHOUSE_PROVIDER_";
/// Longest name, in bytes.
const NAME_BYTES_MAX: usize = 128;

/// Why a provider has no key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoKey {
    /// The row names another variable, which is not read.
    #[error("secret_name: {name:?} is not used: {}; rename the variable, and the row", rule())]
    NotAllowed {
        /// What it names.
        name: String,
    },
    /// The variable is not set.
    #[error("set the environment variable {name} and restart")]
    Missing {
        /// The variable.
        name: String,
    },
}

/// What a name must be.
fn rule() -> String {
    format!("only names of environment variables that begin with {PREFIX} (A-Z, 0-9, _) are")
}

/// Whether a row may name this variable.
pub fn is_allowed(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
    name.len() <= NAME_BYTES_MAX
        && name.strip_prefix(PREFIX).is_some_and(|rest| !rest.is_empty() && rest.bytes().all(plain))
}

/// The key that a row of `api_providers` names.
pub fn provider_key(name: &str) -> Result<String, NoKey> {
    if !is_allowed(name) {
        return Err(NoKey::NotAllowed { name: name.into() });
    }
    match std::env::var(name) {
        Ok(key) if !key.is_empty() => Ok(key),
        _ => Err(NoKey::Missing { name: name.into() }),
    }
}

/// Refuses other variables, and addresses that hold a password: rows are audited and shown. What is there may stay.
pub(crate) fn before_write(event: &Event, new: &Row) -> Result<(), StoreError> {
    let table = event.table;
    let changed = |name: &str| {
        let column = table.at(name);
        let is_new = event.old.is_none_or(|old| old[column] != new[column]);
        new[column].as_str().filter(|text| is_new && !text.is_empty())
    };
    let refused = |message: String, hint: String| StoreError::Raised {
        sqlstate: "23514",
        message,
        details: None,
        hint: Some(hint),
    };
    if let Some(name) = changed("secret_name").filter(|name| !is_allowed(name)) {
        let message = format!("secret_name: {name:?} is not the name of a provider's key: {}", rule());
        return Err(refused(message, format!("for example {PREFIX}OPENROUTER_KEY")));
    }
    if changed("base_url").is_some_and(has_password) {
        let message = "base_url: an address without user name and password is needed";
        return Err(refused(message.into(), "secret_name names the variable with the key".into()));
    }
    Ok(())
}

/// Whether a user name or password stands before the host of an address.
fn has_password(url: &str) -> bool {
    let rest = url.split_once("//").map_or(url, |(_, rest)| rest);
    rest.split(['/', '?', '#', '\\']).next().is_some_and(|authority| authority.contains('@'))
}

/// Names of variables that rows of earlier versions name and that are not read any more, by provider.
pub fn ignored_names(store: &store::Store) -> Result<Vec<(String, String)>, StoreError> {
    let providers = crate::rows::select(store, &crate::rows::all("api_providers").limit(1000))?;
    let named = providers.iter().filter_map(|row| {
        let name = row["secret_name"].as_str().filter(|name| !name.is_empty() && !is_allowed(name))?;
        Some((row["name"].as_str().unwrap_or_default().to_string(), name.to_string()))
    });
    Ok(named.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_variables_that_are_made_for_it_are_read() {
        for good in ["PLAYHOUSE_PROVIDER_KEY", "PLAYHOUSE_PROVIDER_A_1"] {
            assert!(is_allowed(good), "{good}");
        }
        let long = format!("{PREFIX}{}", "A".repeat(NAME_BYTES_MAX));
        for bad in [
            "",
            "HOME",
            "PLAYHOUSE_CALLBACK_SECRET",
            PREFIX,
            "playhouse_provider_key",
            "PLAYHOUSE_PROVIDER_a",
            "PLAYHOUSE_PROVIDER_A=B",
            " PLAYHOUSE_PROVIDER_A",
            "PLAYHOUSE_PROVIDER_A\0",
            &long,
        ] {
            assert!(!is_allowed(bad), "{bad:?}");
            // PATH is set everywhere, and is not looked at.
            assert_eq!(provider_key(bad), Err(NoKey::NotAllowed { name: bad.into() }));
        }
        for bad in ["https://me:secret@a.example/v1", "https://me@a.example", "//:x@a.example?b"] {
            assert!(has_password(bad), "{bad}");
        }
        for good in ["https://a.example/@v1", "http://127.0.0.1:1234", "https://a.example?x=a@b", ""] {
            assert!(!has_password(good), "{good}");
        }
        assert!(matches!(provider_key("PATH"), Err(NoKey::NotAllowed { .. })));
        assert!(matches!(provider_key("PLAYHOUSE_PROVIDER_NONE"), Err(NoKey::Missing { .. })));
    }
}

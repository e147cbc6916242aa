//! The way in for the first administrator: an address with a secret, which only those who see the log know.

use std::sync::{Mutex, PoisonError};

use actors::user::create_first_administrator::has_administrator;
use store::{Store, StoreError};

use crate::config::Config;
use crate::keys;

/// A secret of this start, while there is no administrator.
pub struct Welcome(Mutex<Option<String>>);

impl std::fmt::Debug for Welcome {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Welcome { .. }")
    }
}

impl Welcome {
    /// A new secret where the store has no administrator, else none.
    pub fn of(store: &Store) -> Result<Welcome, StoreError> {
        let token = (!has_administrator(store.reads())?).then(keys::random);
        Ok(Welcome(Mutex::new(token)))
    }

    /// Says in the log where the first administrator comes in, and opens the page where that was asked for.
    pub fn announce(&self, config: &Config) {
        let page = format!("{}/", config.here());
        let token = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let page = match token {
            Some(token) => {
                let address = format!("{page}#/welcome?token={token}");
                tracing::info!(
                    "there is no administrator yet: open this address to become the first one: {address}"
                );
                address
            }
            None => {
                tracing::info!("the studio is at {page}");
                page
            }
        };
        if config.open_page
            && let Err(error) = open::that_detached(&page)
        {
            tracing::warn!(%error, "no browser could be opened");
        }
    }

    /// Whether the first administrator is still to come.
    pub fn is_expected(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// Whether a token is the secret. Hashes are compared, so that the time taken says nothing about it.
    pub fn fits(&self, token: &str) -> bool {
        let secret = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        secret
            .as_ref()
            .is_some_and(|secret| blake3::hash(secret.as_bytes()) == blake3::hash(token.as_bytes()))
    }

    /// There is an administrator now.
    pub fn close(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

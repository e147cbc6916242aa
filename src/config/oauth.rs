//! A provider of accounts, as it stands in the configuration.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::secret::secret;

/// Providers that are known by their name.
const ISSUERS: [(&str, &str); 1] = [("google", "https://accounts.google.com")];

/// Where accounts may sign in from, by OpenID Connect.
#[derive(Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct OauthProvider {
    /// Its address, below which `/.well-known/openid-configuration` lies; known of `google`.
    #[serde(default)]
    pub issuer: Option<String>,
    /// As what this server is registered there.
    pub client_id: String,
    /// The secret that goes with it.
    #[serde(default)]
    pub client_secret: Option<String>,
    /// A file with that secret.
    #[serde(default)]
    pub client_secret_file: Option<PathBuf>,
    /// What is asked for.
    #[serde(default = "scopes")]
    pub scopes: Vec<String>,
}

fn scopes() -> Vec<String> {
    ["openid", "email", "profile"].map(String::from).to_vec()
}

impl OauthProvider {
    /// Its address, without a slash at the end; `None` where it is neither known nor set.
    pub fn issuer_of(&self, name: &str) -> Option<&str> {
        let known = ISSUERS.iter().find(|(known, _)| *known == name).map(|(_, issuer)| *issuer);
        self.issuer.as_deref().or(known).map(|issuer| issuer.trim_end_matches('/'))
    }

    /// The secret that goes with `client_id`, if there is one.
    pub fn client_secret(&self) -> Result<Option<String>, String> {
        secret(self.client_secret.as_deref(), self.client_secret_file.as_deref())
    }
}

impl std::fmt::Debug for OauthProvider {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("OauthProvider").field("issuer", &self.issuer).finish_non_exhaustive()
    }
}

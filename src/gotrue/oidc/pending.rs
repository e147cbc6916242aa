//! A sign-in that is under way at a provider. All of it travels through the browser, sealed, so that the server keeps
//! nothing of those that are given up.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, encode};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::keys::{self, Keys};

/// How long people may take at the provider, in seconds.
pub(super) const LIFE_S: i64 = 600;
/// Longest sealed text that is looked at, in bytes.
const BYTES_MAX: usize = 8 << 10;
/// What the key for sealing is derived for.
const CONTEXT: &str = "playhouse 2026 sign-in with a provider";

/// Who signs in, and where to go then.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Pending {
    /// The provider's name in the configuration.
    pub provider: String,
    /// The page that asked.
    pub page: String,
    /// The client's PKCE challenge and its method.
    pub challenge: Option<(String, String)>,
    /// The account that gets the identity, where one that is signed in links it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<Uuid>,
    /// From which the secrets of this sign-in come.
    id: String,
    exp: i64,
}

/// What only we and the browser, or only we and the provider, know of a sign-in.
pub(super) struct Secrets {
    /// Comes back within the provider's token.
    pub nonce: String,
    /// Proves to the provider that we are the ones who asked.
    pub verifier: String,
    /// Proves to us that the browser is the one that asked.
    pub cookie: String,
}

impl Secrets {
    /// What the provider gets of the verifier first.
    pub fn challenge(&self) -> String {
        URL_SAFE_NO_PAD.encode(Sha256::digest(self.verifier.as_bytes()))
    }
}

fn key(keys: &Keys) -> [u8; 32] {
    blake3::derive_key(CONTEXT, keys.jwt_secret().as_bytes())
}

impl Pending {
    /// One that begins now.
    pub fn new(
        provider: &str,
        page: &str,
        challenge: Option<(String, String)>,
        link: Option<Uuid>,
    ) -> Pending {
        let exp = chrono::Utc::now().timestamp() + LIFE_S;
        Pending { provider: provider.into(), page: page.into(), challenge, link, id: keys::random(), exp }
    }

    /// As it travels.
    pub fn sealed(&self, keys: &Keys) -> Result<String, jsonwebtoken::errors::Error> {
        encode(&Header::default(), self, &EncodingKey::from_secret(&key(keys)))
    }

    /// One that came back whole and in time.
    pub fn open(text: &str, keys: &Keys) -> Option<Pending> {
        if text.len() > BYTES_MAX {
            return None;
        }
        let mut validation = Validation::new(Algorithm::HS256);
        validation.leeway = 0;
        decode(text, &DecodingKey::from_secret(&key(keys)), &validation).ok().map(|data| data.claims)
    }

    /// Its secrets, the same each time.
    pub fn secrets(&self, keys: &Keys) -> Secrets {
        let secret = |what: &str| {
            let hash = blake3::keyed_hash(&key(keys), format!("{what}\n{}", self.id).as_bytes());
            URL_SAFE_NO_PAD.encode(hash.as_bytes())
        };
        Secrets { nonce: secret("nonce"), verifier: secret("verifier"), cookie: secret("cookie") }
    }

    /// Several may be under way in one browser.
    pub fn cookie_name(&self) -> String {
        format!("playhouse-oauth-{}", &blake3::hash(self.id.as_bytes()).to_hex()[..12])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    #[test]
    fn what_travels_cannot_be_changed_and_secrets_stay_secret() {
        let folder = tempfile::tempdir().expect("a folder");
        let keys = Keys::load_or_create(folder.path(), &Config::default()).expect("keys");
        let pending = Pending::new("google", "http://localhost/a", Some(("c".into(), "s256".into())), None);
        let sealed = pending.sealed(&keys).expect("sealed");
        let opened = Pending::open(&sealed, &keys).expect("ours");
        assert_eq!((opened.page.as_str(), opened.provider.as_str()), ("http://localhost/a", "google"));
        let (before, after) = (pending.secrets(&keys), opened.secrets(&keys));
        assert_eq!((&before.nonce, &before.cookie), (&after.nonce, &after.cookie));
        assert!(before.nonce != before.verifier && before.verifier != before.cookie);
        let travels = URL_SAFE_NO_PAD.decode(sealed.split('.').nth(1).expect("claims")).expect("base64");
        assert!(!String::from_utf8_lossy(&travels).contains(&before.cookie));
        // An access token is no sealed sign-in, and the other way round.
        assert!(Pending::open(keys.anon_key(), &keys).is_none());
        assert!(crate::token::verify(&keys, &sealed).is_err());
        let late = Pending { exp: chrono::Utc::now().timestamp() - 1, ..pending };
        assert!(Pending::open(&late.sealed(&keys).expect("sealed"), &keys).is_none());
    }
}

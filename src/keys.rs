//! The secrets of a data folder: what signs tokens, and the keys that clients are given.

use std::io::Write;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header};
use p256::elliptic_curve::sec1::ToEncodedPoint;
use p256::pkcs8::{EncodePrivateKey, LineEnding};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::config::Config;
use crate::taken::Taken;
use crate::token_cache::TokenCache;

/// Life of the two keys that applications embed, in seconds.
const API_KEY_LIFE_S: i64 = 10 * 365 * 24 * 3600;
/// Name of the file in the data folder.
const FILE: &str = "keys.json";

#[derive(Clone, Serialize, Deserialize)]
struct Secrets {
    jwt_secret: String,
    anon_key: String,
    service_role_key: String,
    #[serde(default)]
    publishable_key: String,
    #[serde(default)]
    secret_key: String,
    /// P-256 private key, 32 bytes in base64url.
    #[serde(default)]
    ec_private_key: String,
}

/// Secrets; never logged.
pub struct Keys {
    secrets: Secrets,
    algorithm: Algorithm,
    hmac: (EncodingKey, DecodingKey),
    curve: (EncodingKey, DecodingKey),
    jwk: Value,
    kid: String,
    token_cache: TokenCache,
    taken: Taken,
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Keys { .. }")
    }
}

impl Keys {
    /// Reads `keys.json` of a data folder; what is missing is made and written, readable by the owner only.
    pub fn load_or_create(folder: &Path, config: &Config) -> Result<Keys, String> {
        let path = folder.join(FILE);
        let in_file = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
        let mut secrets = match std::fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|error| in_file(&error))?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Secrets {
                jwt_secret: random(),
                anon_key: String::new(),
                service_role_key: String::new(),
                publishable_key: String::new(),
                secret_key: String::new(),
                ec_private_key: String::new(),
            },
            Err(error) => return Err(in_file(&error)),
        };
        if secrets.complete().map_err(|error| in_file(&error))? {
            write_private(folder, &path, &secrets).map_err(|error| in_file(&error))?;
        }
        Keys::from_secrets(secrets, config).map_err(|error| in_file(&error))
    }

    fn from_secrets(secrets: Secrets, config: &Config) -> Result<Keys, String> {
        let algorithm = match config.jwt_algorithm.as_str() {
            "HS256" => Algorithm::HS256,
            "ES256" => Algorithm::ES256,
            other => return Err(format!("jwt_algorithm is {other:?}, but must be HS256 or ES256")),
        };
        if secrets.jwt_secret.len() < 32 {
            return Err("jwt_secret has fewer than 32 characters".into());
        }
        let hmac = (
            EncodingKey::from_secret(secrets.jwt_secret.as_bytes()),
            DecodingKey::from_secret(secrets.jwt_secret.as_bytes()),
        );
        let bytes = URL_SAFE_NO_PAD.decode(&secrets.ec_private_key).map_err(|error| error.to_string())?;
        let private = p256::SecretKey::from_slice(&bytes).map_err(|error| error.to_string())?;
        let pem = private.to_pkcs8_pem(LineEnding::LF).map_err(|error| error.to_string())?;
        let point = private.public_key().to_encoded_point(false);
        let (Some(x), Some(y)) = (point.x(), point.y()) else {
            return Err("the P-256 key has no coordinates".into());
        };
        let (x, y) = (URL_SAFE_NO_PAD.encode(x), URL_SAFE_NO_PAD.encode(y));
        let curve = (
            EncodingKey::from_ec_pem(pem.as_bytes()).map_err(|error| error.to_string())?,
            DecodingKey::from_ec_components(&x, &y).map_err(|error| error.to_string())?,
        );
        let kid = blake3::hash(format!("{x}.{y}").as_bytes()).to_hex()[..32].to_string();
        let jwk = json!({
            "kty": "EC", "crv": "P-256", "x": x, "y": y, "kid": kid, "alg": "ES256", "use": "sig",
            "key_ops": ["verify"], "ext": true,
        });
        Ok(Keys {
            secrets,
            algorithm,
            hmac,
            curve,
            jwk,
            kid,
            token_cache: TokenCache::default(),
            taken: Taken::default(),
        })
    }

    /// Tokens that these keys have verified.
    pub(crate) fn token_cache(&self) -> &TokenCache {
        &self.token_cache
    }

    /// Requests that workers and providers signed and that were taken lately.
    pub(crate) fn taken(&self) -> &Taken {
        &self.taken
    }

    /// The key that browsers and apps carry.
    pub fn anon_key(&self) -> &str {
        &self.secrets.anon_key
    }

    /// The operator's key: row policies do not apply.
    pub fn service_role_key(&self) -> &str {
        &self.secrets.service_role_key
    }

    /// The opaque form of [`Keys::anon_key`].
    pub fn publishable_key(&self) -> &str {
        &self.secrets.publishable_key
    }

    /// The opaque form of [`Keys::service_role_key`].
    pub fn secret_key(&self) -> &str {
        &self.secrets.secret_key
    }

    /// The refresh tokens that follow one another after `token`. They can be computed only with our secret, and the same
    /// token always has the same successor: tabs that race for one get the same answer.
    pub(crate) fn refresh_tokens_after(&self, token: &str, count: usize) -> Vec<String> {
        let key = blake3::derive_key("playhouse refresh tokens", self.secrets.jwt_secret.as_bytes());
        let next = |token: &String| {
            let hash = blake3::keyed_hash(&key, token.as_bytes());
            Some(URL_SAFE_NO_PAD.encode(&hash.as_bytes()[..24]))
        };
        std::iter::successors(next(&token.to_string()), next).take(count).collect()
    }

    /// What HS256 tokens are signed with.
    pub fn jwt_secret(&self) -> &str {
        &self.secrets.jwt_secret
    }

    /// Public keys by which others may verify access tokens; empty while those are signed with a shared secret.
    pub fn jwks(&self) -> Value {
        match self.algorithm {
            Algorithm::ES256 => json!({ "keys": [self.jwk] }),
            _ => json!({ "keys": [] }),
        }
    }

    /// How new access tokens are signed.
    pub(crate) fn signer(&self) -> (Header, &EncodingKey) {
        let mut header = Header::new(self.algorithm);
        match self.algorithm {
            Algorithm::ES256 => {
                header.kid = Some(self.kid.clone());
                (header, &self.curve.0)
            }
            _ => (header, &self.hmac.0),
        }
    }

    /// What verifies a token of an algorithm; `None` for algorithms we never sign with.
    pub(crate) fn verifier(&self, algorithm: Algorithm) -> Option<&DecodingKey> {
        match algorithm {
            Algorithm::HS256 => Some(&self.hmac.1),
            Algorithm::ES256 => Some(&self.curve.1),
            _ => None,
        }
    }
}

impl Secrets {
    /// Makes what is missing; says whether anything was.
    fn complete(&mut self) -> Result<bool, String> {
        let mut changed = self.jwt_secret.is_empty();
        if changed {
            self.jwt_secret = random();
        }
        let secret = self.jwt_secret.clone();
        let mut fill = |field: &mut String, value: Result<String, String>| -> Result<(), String> {
            if field.is_empty() {
                *field = value?;
                changed = true;
            }
            Ok(())
        };
        fill(&mut self.anon_key, api_key(&secret, "anon"))?;
        fill(&mut self.service_role_key, api_key(&secret, "service_role"))?;
        fill(&mut self.publishable_key, Ok(format!("sb_publishable_{}", random())))?;
        fill(&mut self.secret_key, Ok(format!("sb_secret_{}", random())))?;
        fill(&mut self.ec_private_key, Ok(random_scalar()))?;
        Ok(changed)
    }
}

/// 32 random bytes in base64url.
pub(crate) fn random() -> String {
    URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>())
}

/// 32 random bytes that are a P-256 private key; all but one in 2^32 are.
fn random_scalar() -> String {
    loop {
        let bytes = rand::random::<[u8; 32]>();
        if p256::SecretKey::from_slice(&bytes).is_ok() {
            return URL_SAFE_NO_PAD.encode(bytes);
        }
    }
}

fn api_key(secret: &str, role: &str) -> Result<String, String> {
    let now = chrono::Utc::now().timestamp();
    let claims = json!({ "iss": "playhouse", "role": role, "iat": now, "exp": now + API_KEY_LIFE_S });
    let key = EncodingKey::from_secret(secret.as_bytes());
    jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &key).map_err(|error| error.to_string())
}

/// Writes beside and renames, so that a crash leaves the old file or the new one.
fn write_private(folder: &Path, path: &Path, secrets: &Secrets) -> std::io::Result<()> {
    std::fs::create_dir_all(folder)?;
    let beside = folder.join(format!("{FILE}.new"));
    match std::fs::remove_file(&beside) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&beside)?;
    file.write_all(&serde_json::to_vec_pretty(secrets)?)?;
    file.sync_all()?;
    std::fs::rename(&beside, path)
}

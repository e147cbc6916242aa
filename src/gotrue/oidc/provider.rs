//! Providers of accounts: what they say of themselves, and whom they have sent back.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value as Json};
use syntax::half_characters;
use tokio::sync::Mutex;

use crate::config::OauthProvider;

/// How long a provider may take over an answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long what a provider says of itself counts.
const KNOWN_FOR: Duration = Duration::from_secs(3600);
/// Its keys are asked for again where one is missing, but not more often than this.
const KEYS_EVERY: Duration = Duration::from_secs(30);
/// Largest answer, in bytes.
const ANSWER_BYTES_MAX: usize = 1 << 20;
/// How far the provider's clock may be off, in seconds.
const CLOCK_S: u64 = 60;
/// Ways of signing that anyone who knows the keys can check.
const ALGORITHMS: [Algorithm; 9] = [
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
    Algorithm::ES256,
    Algorithm::ES384,
    Algorithm::EdDSA,
];
/// What is kept of what a provider says of a person.
const KEPT: [&str; 9] = [
    "name",
    "given_name",
    "family_name",
    "nickname",
    "preferred_username",
    "picture",
    "locale",
    "email",
    "iss",
];

/// What a provider says of itself.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Discovered {
    issuer: String,
    pub authorization_endpoint: String,
    token_endpoint: String,
    jwks_uri: String,
    #[serde(default)]
    userinfo_endpoint: Option<String>,
    #[serde(default)]
    token_endpoint_auth_methods_supported: Vec<String>,
}

/// A person whom a provider knows.
#[derive(Clone, Debug)]
pub(super) struct Person {
    pub subject: String,
    pub email: Option<String>,
    pub email_verified: bool,
    pub data: Map<String, Json>,
    /// `provider_token` and `provider_refresh_token`: what opens the provider's own interfaces. They are not kept here.
    pub tokens: Map<String, Json>,
}

/// What came back with the browser, and what goes with it.
pub(super) struct CodeExchange<'a> {
    pub code: &'a str,
    pub verifier: &'a str,
    pub nonce: &'a str,
    pub redirect_uri: &'a str,
}

/// All providers, with what they said of themselves lately.
#[derive(Debug, Default)]
pub(crate) struct Providers {
    known: Mutex<HashMap<String, Known>>,
}

#[derive(Debug)]
struct Known {
    discovered: Discovered,
    at: Instant,
    keys: Option<(JwkSet, Instant)>,
}

impl Providers {
    /// What a provider says of itself.
    pub async fn discovered(&self, name: &str, settings: &OauthProvider) -> Result<Discovered, String> {
        if let Some(known) = self.known.lock().await.get(name).filter(|known| known.at.elapsed() < KNOWN_FOR)
        {
            return Ok(known.discovered.clone());
        }
        let issuer = settings.issuer_of(name).ok_or("no issuer is configured")?;
        let discovered: Discovered =
            fetch(client()?.get(format!("{issuer}/.well-known/openid-configuration"))).await?;
        if discovered.issuer.trim_end_matches('/') != issuer {
            return Err(format!("it calls itself {:?}, not {issuer:?}", discovered.issuer));
        }
        let known = Known { discovered: discovered.clone(), at: Instant::now(), keys: None };
        self.known.lock().await.insert(name.into(), known);
        Ok(discovered)
    }

    /// The key that signed a token.
    async fn key(
        &self,
        name: &str,
        discovered: &Discovered,
        id: Option<&str>,
    ) -> Result<DecodingKey, String> {
        let find = |keys: &JwkSet| match id {
            Some(id) => keys.find(id).cloned(),
            None => keys.keys.first().filter(|_| keys.keys.len() == 1).cloned(),
        };
        let known = {
            let known = self.known.lock().await;
            known.get(name).and_then(|known| known.keys.as_ref().map(|(keys, at)| (find(keys), at.elapsed())))
        };
        let key = match known {
            Some((Some(key), age)) if age < KNOWN_FOR => Some(key),
            Some((None, age)) if age < KEYS_EVERY => None,
            _ => {
                let keys: JwkSet = fetch(client()?.get(&discovered.jwks_uri)).await?;
                let found = find(&keys);
                if let Some(known) = self.known.lock().await.get_mut(name) {
                    known.keys = Some((keys, Instant::now()));
                }
                found
            }
        };
        let key = key.ok_or("its token is signed with a key that it does not publish")?;
        DecodingKey::from_jwk(&key).map_err(|error| format!("its key cannot be used: {error}"))
    }

    /// The person for whom a provider gave a code.
    pub(super) async fn person(
        &self,
        name: &str,
        settings: &OauthProvider,
        asked: &CodeExchange<'_>,
    ) -> Result<Person, String> {
        #[derive(Deserialize)]
        struct Tokens {
            id_token: String,
            #[serde(default)]
            access_token: Option<String>,
            #[serde(default)]
            refresh_token: Option<String>,
        }
        let discovered = self.discovered(name, settings).await?;
        let secret = settings.client_secret()?;
        let mut form = vec![
            ("grant_type", "authorization_code"),
            ("code", asked.code),
            ("redirect_uri", asked.redirect_uri),
            ("code_verifier", asked.verifier),
            ("client_id", &settings.client_id),
        ];
        let methods = &discovered.token_endpoint_auth_methods_supported;
        let takes = |method: &str| methods.iter().any(|known| known == method);
        let mut request = client()?.post(&discovered.token_endpoint);
        match &secret {
            Some(secret) if takes("client_secret_post") => form.push(("client_secret", secret)),
            Some(secret) => {
                let encoded =
                    |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
                request = request.basic_auth(encoded(&settings.client_id), Some(encoded(secret)));
            }
            None => {}
        }
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(&form).finish();
        let request = request.header("content-type", "application/x-www-form-urlencoded").body(body);
        let tokens: Tokens = fetch(request.header("accept", "application/json")).await?;
        let mut claims = self.verified(name, settings, &discovered, &tokens.id_token, asked.nonce).await?;
        if !claims.contains_key("email")
            && let (Some(address), Some(token)) = (&discovered.userinfo_endpoint, &tokens.access_token)
        {
            let more: Map<String, Json> = fetch(client()?.get(address).bearer_auth(token)).await?;
            if more.get("sub") != claims.get("sub") {
                return Err("its userinfo is another person's".into());
            }
            for (key, value) in more {
                claims.entry(key).or_insert(value);
            }
        }
        let subject = claims.get("sub").and_then(Json::as_str).filter(|subject| !subject.is_empty());
        let subject = subject.ok_or("its token names no person")?.to_string();
        let email = claims.get("email").and_then(Json::as_str).map(str::to_string);
        // Some say it as text.
        let email_verified = claims.get("email_verified").is_some_and(|said| *said == true || said == "true");
        let mut data: Map<String, Json> = claims
            .into_iter()
            .filter(|(key, value)| KEPT.contains(&key.as_str()) && value.is_string())
            .collect();
        for (from, to) in [("name", "full_name"), ("picture", "avatar_url")] {
            if let Some(value) = data.get(from).cloned() {
                data.insert(to.into(), value);
            }
        }
        let given =
            [("provider_token", tokens.access_token), ("provider_refresh_token", tokens.refresh_token)];
        let tokens =
            given.into_iter().filter_map(|(name, token)| Some((name.to_string(), Json::from(token?))));
        Ok(Person { subject, email, email_verified, data, tokens: tokens.collect() })
    }

    /// The claims of an ID token, if it is the provider's, for us, of now, and for this sign-in.
    async fn verified(
        &self,
        name: &str,
        settings: &OauthProvider,
        discovered: &Discovered,
        token: &str,
        nonce: &str,
    ) -> Result<Map<String, Json>, String> {
        let header = decode_header(token).map_err(|error| format!("its token is none: {error}"))?;
        if !ALGORITHMS.contains(&header.alg) {
            return Err(format!("its token is signed with {:?}", header.alg));
        }
        let key = self.key(name, discovered, header.kid.as_deref()).await?;
        let mut validation = Validation::new(header.alg);
        validation.leeway = CLOCK_S;
        validation.validate_nbf = true;
        validation.set_issuer(&[&discovered.issuer]);
        validation.set_audience(&[&settings.client_id]);
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        let claims: Map<String, Json> = decode(token, &key, &validation)
            .map_err(|error| format!("its token does not count: {error}"))?
            .claims;
        if claims.get("nonce").and_then(Json::as_str) != Some(nonce) {
            return Err("its token is of another sign-in".into());
        }
        let is_for_others = claims.get("aud").and_then(Json::as_array).is_some_and(|all| all.len() > 1);
        let party = claims.get("azp").and_then(Json::as_str);
        if party.map_or(is_for_others, |party| party != settings.client_id) {
            return Err("its token was given to another program".into());
        }
        Ok(claims)
    }
}

fn client() -> Result<reqwest::Client, String> {
    let client = language::http_client().timeout(PATIENCE).redirect(reqwest::redirect::Policy::none());
    client.build().map_err(|error| error.to_string())
}

/// The answer to a request, of a bounded size.
async fn fetch<T: DeserializeOwned>(request: reqwest::RequestBuilder) -> Result<T, String> {
    let mut response = request.send().await.map_err(|error| error.without_url().to_string())?;
    let status = response.status();
    let mut body = Vec::new();
    while let Some(part) = response.chunk().await.map_err(|error| error.without_url().to_string())? {
        if body.len() + part.len() > ANSWER_BYTES_MAX {
            return Err("its answer is too long".into());
        }
        body.extend_from_slice(&part);
    }
    if !status.is_success() {
        let said: Json = serde_json::from_slice(&half_characters::mend(&body)).unwrap_or_default();
        let said = said["error_description"].as_str().or(said["error"].as_str()).unwrap_or_default();
        return Err(format!("it answers {status} {}", said.chars().take(200).collect::<String>()));
    }
    serde_json::from_slice(&half_characters::mend(&body))
        .map_err(|error| format!("its answer cannot be read: {error}"))
}

//! Configuration: flags over environment (`PLAYHOUSE_*`) over a file over defaults.

use std::net::SocketAddr;
use std::path::PathBuf;

use serde::Deserialize;

/// Everything that can be set; each field may also stand in `playhouse.json` of the data folder.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where everything lies.
    pub data: PathBuf,
    /// Where to listen.
    pub listen: SocketAddr,
    /// The address that clients use, for links and token issuers; by default `http://<listen>`.
    pub public_url: Option<String>,
    /// Whether new accounts may be made by anybody.
    pub signup_enabled: bool,
    /// Whether accounts without address may be made.
    pub anonymous_enabled: bool,
    /// Whether a new address counts as confirmed (there is no mail server).
    pub autoconfirm: bool,
    /// Whether requests without any key count as anonymous.
    pub keyless_anon: bool,
    /// Life of an access token, in seconds.
    pub access_token_s: u64,
    /// Shortest password, in characters.
    pub password_chars_min: usize,
    /// How tokens are signed: `HS256` or `ES256`.
    pub jwt_algorithm: String,
    /// Largest JSON body, in bytes.
    pub body_bytes_max: usize,
    /// Largest file, in bytes; a bucket may take less.
    pub file_bytes_max: u64,
    /// Rows of one answer at most.
    pub rows_max: u64,
    /// Decisions that may wait at one actor.
    pub mailbox_capacity: usize,
    /// Seconds a query may take.
    pub query_s_max: u64,
    /// Memory for pages of the store, in bytes.
    pub cache_bytes: u64,
    /// Open although acknowledged commits are missing.
    pub accept_data_loss: bool,
    /// Folder of model files; by default `models` in the data folder.
    pub models_dir: Option<PathBuf>,
    /// The chat model, a GGUF file or a Hugging Face folder; by default one of `models_dir`.
    pub chat_model: Option<PathBuf>,
    /// Whether the default chat model is fetched when there is none.
    pub fetch_chat_model: bool,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            data: PathBuf::from("data"),
            listen: SocketAddr::from(([127, 0, 0, 1], 54321)),
            public_url: None,
            signup_enabled: true,
            anonymous_enabled: false,
            autoconfirm: true,
            keyless_anon: true,
            access_token_s: 3600,
            password_chars_min: 6,
            jwt_algorithm: "HS256".into(),
            body_bytes_max: 10 << 20,
            file_bytes_max: 256 << 20,
            rows_max: 1000,
            mailbox_capacity: 1024,
            query_s_max: 30,
            cache_bytes: 32 << 20,
            accept_data_loss: false,
            models_dir: None,
            chat_model: None,
            fetch_chat_model: true,
        }
    }
}

impl Config {
    /// Where the engines that make words come from.
    pub fn language(&self) -> actors::language::LanguageConfig {
        actors::language::LanguageConfig {
            models_dir: self.models_dir.clone().unwrap_or_else(|| self.data.join("models")),
            chat_model: self.chat_model.clone(),
            fetch_chat_model: self.fetch_chat_model,
        }
    }

    /// The address that clients use.
    pub fn url(&self) -> String {
        self.public_url.clone().unwrap_or_else(|| format!("http://{}", self.listen))
    }
}

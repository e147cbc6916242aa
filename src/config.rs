//! Configuration: flags over environment (`PLAYHOUSE_*`) over a file over defaults.

mod bytes;
mod describe;
mod oauth;
mod read;
mod secret;
mod sources;

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use actors::job_scheduler::QueueLimits;
use actors::render::DeviceChoice;
use language::cpu::KvNumbers;
use language::{EngineLimits, RemoteLimits};
use serde::{Deserialize, Serialize};
use services::Settings;

use crate::{listen, machine};

pub use describe::describe;
pub use oauth::OauthProvider;
pub use read::{is_secret, read, unknown_variables};
pub use secret::secret;
pub use sources::{Source, Sources};

/// Everything that can be set; each field may also stand in `playhouse.json` of the data folder.
#[derive(Clone, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where everything lies.
    pub data: PathBuf,
    /// Where to listen: an address, or a name of this machine, with a port.
    #[serde(deserialize_with = "crate::listen::deserialize")]
    pub listen: SocketAddr,
    /// The address that clients use, for links and token issuers; by default `http://<listen>`, of this machine where
    /// that is every address.
    pub public_url: Option<String>,
    /// Pages beside our own that links may lead to, with tokens: every address that begins like one of these.
    pub redirect_urls: Vec<String>,
    /// Whether new accounts may be made by anybody.
    pub signup_enabled: bool,
    /// Whether accounts without address may be made.
    pub anonymous_enabled: bool,
    /// Whether a new address counts as confirmed without a mail.
    pub autoconfirm: bool,
    /// Whether requests without any key count as anonymous.
    pub keyless_anon: bool,
    /// Life of an access token, in seconds.
    pub access_token_s: u64,
    /// How long a used refresh token still works, because tabs of one browser race, in seconds. After that it is taken
    /// for stolen, and its session ends.
    pub refresh_token_reuse_s: u64,
    /// Seconds for which signing in lets an account without a password delete itself; after that it needs a code.
    pub fresh_session_s: u64,
    /// Shortest password, in characters.
    pub password_chars_min: usize,
    /// Wrong passwords for one account from one address before each further one has to wait twice as long.
    pub sign_in_failures_max: u32,
    /// Mails to one account in an hour.
    pub mails_per_account_max: u32,
    /// Mails for which one address asks in an hour; this machine may always.
    pub mails_per_address_max: u32,
    /// How tokens are signed: `HS256` or `ES256`.
    pub jwt_algorithm: String,
    /// Largest JSON body, in bytes.
    pub body_bytes_max: usize,
    /// Memory that requests may take together, in bytes: their bodies, what reads hold, and answers on their way. When
    /// absent an eighth of what the machine or its container has, between 192 MiB and 4 GiB.
    pub memory_bytes_max: Option<usize>,
    /// The part of it for bodies, in bytes; half when absent.
    pub bodies_bytes_max: Option<usize>,
    /// Seconds for which a client may take next to nothing of an answer.
    pub answer_pause_s_max: u64,
    /// Proxies before us whose `X-Forwarded-For` names the client.
    pub trusted_proxies: Vec<IpAddr>,
    /// Connections at one time; further clients wait.
    pub connections_max: usize,
    /// Realtime sockets that are open at one time; one account or address may have half of those that are free.
    pub sockets_max: usize,
    /// Largest file, in bytes; a bucket may take less.
    pub file_bytes_max: u64,
    /// Rows of one answer at most.
    pub rows_max: u64,
    /// Rows that one request may add.
    pub insert_rows_max: usize,
    /// Whether signed-in accounts may read `system_config` and `prompt_templates`, without prompts, addresses and what
    /// concerns workers; otherwise administrators alone read them.
    pub catalogue_readable: bool,
    /// Whether accounts may link further identities at providers, and give them up (`linkIdentity`).
    pub manual_linking: bool,
    /// Whether `Prefer: tx=rollback` may turn a write into a trial.
    pub tx_rollback: bool,
    /// Whether an update or delete without a filter touches every row that the caller may touch, as with PostgREST;
    /// otherwise it is refused.
    pub unfiltered_writes: bool,
    /// Decisions that may wait at one actor.
    pub mailbox_capacity: usize,
    /// Seconds a query may take.
    pub query_s_max: u64,
    /// Memory for pages of the store, in bytes; by default a part of the machine's, see [`Config::cache_bytes`].
    pub cache_bytes: Option<u64>,
    /// Bytes of the disk that writes leave free; by default 64 MiB, of a small disk a sixteenth.
    pub disk_reserve_bytes: Option<u64>,
    /// Days that an entry of the audit trail is kept; 0 for ever.
    pub audit_days: u64,
    /// Bytes that the audit trail may take, its indexes included; 0 for any number.
    pub audit_bytes: u64,
    /// Days for which what was deleted from the library can be put back; 0 for none.
    pub library_bin_days: u32,
    /// Bytes of thumbnails that are kept on disk; 0 for none.
    pub thumbnail_bytes: u64,
    /// Where models lie, for pictures and for words; `models` in the data folder when empty.
    pub models_dir: PathBuf,
    /// The model that draws, by its name in `models_dir`; the starter model in the program when absent.
    pub image_model: Option<String>,
    /// What draws: `auto`, `cpu`, `vulkan:0`, `wgpu:0`, `cuda:0`, the last three in builds with that feature; or several
    /// with commas between them, each of which draws by itself.
    pub image_device: String,
    /// How weights of picture models are kept: `f32`, `f16` or `bf16`. On the processor `bf16` takes about half the memory and less
    /// time, for pictures that differ in details; `f16` is for graphics cards.
    pub image_weights: String,
    /// Memory for weights of picture models, in bytes.
    pub image_memory_bytes: u64,
    /// Memory that one drawing may take beside the weights, in bytes; on the processor at most what is to spare, as when absent.
    pub image_drawing_bytes: Option<u64>,
    /// Side of the VAE's tiles in pixels; 0 for never, when absent 384 for pictures of more than 768 × 768.
    pub image_vae_tile_px: Option<u32>,
    /// Largest picture, in pixels.
    pub image_pixels_max: u64,
    /// Pictures of several jobs drawn side by side; when absent as many as gain by it without a change of any byte.
    pub image_batch_max: Option<usize>,
    /// By how much threads that draw on the processor give way to others, as Unix counts: 0 to 19. Those of replies do by 5.
    pub image_niceness: i32,
    /// Whether this process draws itself; otherwise jobs wait for remote workers.
    pub local_worker: bool,
    /// Whether it draws videos too; otherwise they wait for remote workers.
    pub local_videos: bool,
    /// Whether jobs cost credits; by default where sign-up is open beyond this machine (`listen` or `public_url`).
    pub charge_credits: Option<bool>,
    /// Jobs that may wait in all.
    pub jobs_waiting_max: u64,
    /// Jobs of one account that may wait.
    pub jobs_waiting_per_user_max: u64,
    /// What workers sign their requests with.
    pub callback_secret: Option<String>,
    /// What Replicate signs its webhooks with (`whsec_…`); `callback_secret` unless set.
    pub replicate_webhook_secret: Option<String>,
    /// Whether reference pictures may be URLs elsewhere.
    pub fetch_references: bool,
    /// Whether such URLs may lead into private networks.
    pub fetch_private_addresses: bool,
    /// Open although acknowledged commits are missing.
    pub accept_data_loss: bool,
    /// Keep a copy of an engine that does not open, and open it without its snapshot.
    pub salvage: bool,
    /// The chat model, a GGUF file or a Hugging Face folder; by default one of `models_dir`.
    pub chat_model: Option<PathBuf>,
    /// Whether the default chat model is fetched when there is none.
    pub fetch_chat_model: bool,
    /// What the local chat models compute on, named as in `image_device`; `cpu` unless set.
    pub chat_device: String,
    /// Replies that the local model makes at one time; others wait.
    pub chat_replies_max: usize,
    /// Requests that may wait for the local model.
    pub chat_waiting_max: usize,
    /// Memory of the local model for conversations that are not being continued right now, in bytes.
    pub chat_cache_bytes: usize,
    /// Longest conversation of a local chat model with its reply, in tokens; 0 for what the model was trained for.
    pub chat_context_tokens: usize,
    /// Memory for conversations that the local model is continuing, in bytes: a context fits `chat_replies_max` times.
    pub chat_context_bytes: usize,
    /// How the local model remembers a conversation on the processor: `f16`, or `f32` for twice the memory.
    pub chat_kv_cache: KvNumbers,
    /// Tokens that a local model's step reads ahead where a reply repeats its conversation; 0 for none.
    pub chat_drafted_tokens: usize,
    /// Replies at one time from each server elsewhere; others wait.
    pub remote_chat_replies_max: usize,
    /// Requests that may wait for each server elsewhere.
    pub remote_chat_waiting_max: usize,
    /// Memory for the weights of local chat models, in bytes; one is loaded whatever it takes.
    pub chat_memory_bytes: u64,
    /// Where the local chat model stands among those of `api_models`: the lowest `priority` is asked first.
    pub local_chat_priority: i64,
    /// Seconds between two looks at the registered chat worker, at most 100; 0 for none.
    pub worker_probe_s: u64,
    /// Where figures for Prometheus may be read without a key; `/metrics` asks for one.
    #[serde(deserialize_with = "crate::listen::deserialize_option")]
    pub metrics_listen: Option<SocketAddr>,
    /// How the log is written: `text` or `json`.
    pub log_format: String,
    /// The collector that traces go to, over OTLP by HTTP, such as `http://localhost:4318`.
    pub otlp_url: Option<String>,
    /// Headers of what is sent to it.
    pub otlp_headers: BTreeMap<String, String>,
    /// The part of requests that is traced, from 0 to 1.
    pub traces_share: f64,
    /// Requests in a second from one address for long, whatever accounts make them, and ten times as many at once; 0 for
    /// any number. This machine's are not counted.
    pub requests_per_address_s_max: u32,
    /// The same of one account, from whatever addresses.
    pub requests_per_account_s_max: u32,
    /// The certificate chain, PEM; with it the server speaks TLS.
    pub tls_cert: Option<PathBuf>,
    /// Its key, PEM.
    pub tls_key: Option<PathBuf>,
    /// Pages whose scripts may read answers: origins such as `https://studio.example.com`, or `*` for all.
    pub cors_origins: Vec<String>,
    /// The mail server, such as `smtp://user@mail.example.com:587` or `smtps://user@mail.example.com`; without one, mail
    /// stays in the outbox.
    pub smtp_url: Option<String>,
    /// The password of its user.
    pub smtp_password: Option<String>,
    /// A file with that password.
    pub smtp_password_file: Option<PathBuf>,
    /// Whom mail is from, such as `Studio <studio@example.com>`.
    pub mail_from: Option<String>,
    /// Where accounts may sign in from, by name.
    pub oauth_providers: BTreeMap<String, OauthProvider>,
    /// The folder that backups are written to by themselves.
    pub backup_dir: Option<PathBuf>,
    /// Hours between two of them.
    pub backup_every_h: u64,
    /// How many of them are kept.
    pub backups_kept: usize,
    /// Whether the first administrator, made on the page, finds three characters to begin with.
    pub starter_characters: bool,
    /// Whether the start opens the page in a browser; a flag alone.
    #[serde(skip)]
    pub open_page: bool,
    /// Where each setting comes from.
    #[serde(skip)]
    pub sources: Sources,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            data: PathBuf::from("data"),
            listen: SocketAddr::from(([127, 0, 0, 1], 54321)),
            public_url: None,
            redirect_urls: vec!["http://localhost".into(), "http://127.0.0.1".into()],
            signup_enabled: true,
            anonymous_enabled: false,
            autoconfirm: true,
            keyless_anon: true,
            access_token_s: 3600,
            refresh_token_reuse_s: 10,
            fresh_session_s: 600,
            password_chars_min: 8,
            sign_in_failures_max: 5,
            mails_per_account_max: 20,
            mails_per_address_max: 200,
            jwt_algorithm: "HS256".into(),
            body_bytes_max: 10 << 20,
            memory_bytes_max: None,
            bodies_bytes_max: None,
            answer_pause_s_max: 30,
            trusted_proxies: Vec::new(),
            connections_max: 16_384,
            sockets_max: 8192,
            file_bytes_max: 256 << 20,
            rows_max: 1000,
            insert_rows_max: 10_000,
            catalogue_readable: false,
            manual_linking: false,
            tx_rollback: false,
            unfiltered_writes: false,
            mailbox_capacity: 1024,
            query_s_max: 30,
            cache_bytes: None,
            disk_reserve_bytes: None,
            audit_days: 90,
            audit_bytes: 256 << 20,
            library_bin_days: 30,
            thumbnail_bytes: 256 << 20,
            models_dir: PathBuf::new(),
            image_model: None,
            image_device: "auto".into(),
            chat_device: "cpu".into(),
            image_weights: "f32".into(),
            image_memory_bytes: 8 << 30,
            image_drawing_bytes: None,
            image_vae_tile_px: None,
            image_pixels_max: 2048 * 2048,
            image_batch_max: None,
            image_niceness: 10,
            local_worker: true,
            local_videos: true,
            charge_credits: None,
            jobs_waiting_max: 2000,
            jobs_waiting_per_user_max: 200,
            callback_secret: None,
            replicate_webhook_secret: None,
            fetch_references: true,
            fetch_private_addresses: false,
            accept_data_loss: false,
            salvage: false,
            chat_model: None,
            fetch_chat_model: true,
            chat_replies_max: 4,
            chat_waiting_max: 64,
            chat_cache_bytes: 256 << 20,
            chat_context_tokens: 0,
            chat_context_bytes: 1 << 30,
            chat_kv_cache: KvNumbers::F16,
            chat_drafted_tokens: 0,
            remote_chat_replies_max: 64,
            remote_chat_waiting_max: 256,
            chat_memory_bytes: 8 << 30,
            local_chat_priority: 100,
            worker_probe_s: 60,
            metrics_listen: None,
            log_format: "text".into(),
            otlp_url: None,
            otlp_headers: BTreeMap::new(),
            traces_share: 1.0,
            requests_per_address_s_max: 200,
            requests_per_account_s_max: 100,
            tls_cert: None,
            tls_key: None,
            cors_origins: vec!["*".into()],
            smtp_url: None,
            smtp_password: None,
            smtp_password_file: None,
            mail_from: None,
            oauth_providers: BTreeMap::new(),
            backup_dir: None,
            backup_every_h: 24,
            backups_kept: 7,
            starter_characters: true,
            open_page: false,
            sources: Sources::default(),
        }
    }
}

/// Memory for pages of the store unless it is set: this part of what the machine or its container has, within bounds.
/// What a server without work holds at a million rows stays below 60 MB with the upper one.
const CACHE_PART: u64 = 64;
const CACHE_BYTES: (u64, u64) = (8 << 20, 32 << 20);

fn cache_of(memory: Option<u64>) -> u64 {
    memory.map_or(CACHE_BYTES.0, |bytes| bytes / CACHE_PART).clamp(CACHE_BYTES.0, CACHE_BYTES.1)
}

impl Config {
    /// Memory for pages of the store.
    pub fn cache_bytes(&self) -> u64 {
        self.cache_bytes.unwrap_or_else(|| cache_of(machine::memory_bytes()))
    }

    /// What use cases need to know.
    pub fn settings(&self) -> Settings {
        Settings {
            charge_credits: self.charges_credits(),
            queue_limits: QueueLimits {
                waiting_max: self.jobs_waiting_max,
                waiting_per_user_max: self.jobs_waiting_per_user_max,
            },
            models_dir: self.models_dir.clone(),
            image_model: self.image_model.clone(),
            fetch_references: self.fetch_references,
            fetch_private_addresses: self.fetch_private_addresses,
            public_url: self.public_url.clone(),
        }
    }

    /// What of the settings bears on the rows of models that are installed.
    pub fn installed(&self) -> services::installed::Installed {
        services::installed::Installed {
            models_dir: self.models_dir.clone(),
            image_model: self.image_model.clone(),
            pictures: self.local_worker,
            videos: self.local_worker && self.local_videos,
            chat_priority: self.local_chat_priority,
        }
    }

    /// Where the engines that make words come from.
    pub fn language(&self) -> actors::language::LanguageConfig {
        actors::language::LanguageConfig {
            models_dir: self.models_dir.clone(),
            chat_model: self.chat_model.clone(),
            fetch_chat_model: self.fetch_chat_model,
            device: self.chat_device(),
            memory_bytes_max: self.chat_memory_bytes,
            priority: self.local_chat_priority,
            local: EngineLimits {
                active_max: self.chat_replies_max,
                waiting_max: self.chat_waiting_max,
                cache_bytes_max: self.chat_cache_bytes,
                context_tokens_max: self.chat_context_tokens,
                context_bytes_max: self.chat_context_bytes,
                kv_numbers: self.chat_kv_cache,
                drafted_tokens_max: self.chat_drafted_tokens,
            },
            remote: RemoteLimits {
                active_max: self.remote_chat_replies_max,
                waiting_max: self.remote_chat_waiting_max,
                ..RemoteLimits::default()
            },
        }
    }

    /// What the local chat models compute on. The setting was read when it was taken.
    fn chat_device(&self) -> DeviceChoice {
        self.chat_device.parse().unwrap_or(DeviceChoice::Cpu)
    }

    /// What listening beyond this machine opens to others; `None` when only this machine can connect.
    pub fn open_to_others(&self) -> Option<String> {
        if self.listen.ip().to_canonical().is_loopback() {
            return None;
        }
        let opened = [
            (self.signup_enabled, "anybody may make an account (signup_enabled)"),
            (self.signup_enabled && self.autoconfirm, "addresses count as confirmed (autoconfirm)"),
            (self.anonymous_enabled, "accounts need no address (anonymous_enabled)"),
            (self.keyless_anon, "public rows are read without a key (keyless_anon)"),
            (
                self.fetch_private_addresses,
                "pictures are fetched from private networks (fetch_private_addresses)",
            ),
        ];
        let opened: Vec<&str> = opened.iter().filter(|(is, _)| *is).map(|(_, what)| *what).collect();
        let listen = self.listen;
        Some(format!(
            "listening on {listen}, beyond this machine{}. {}",
            match self.tls_cert {
                Some(_) => ": anyone who reaches that address can try passwords",
                None =>
                    ", without encryption: anyone who reaches that address can try passwords, and all of it can be read \
                     on the way, unless a proxy with TLS stands before it",
            },
            opened.join("; ")
        ))
    }

    /// The address that clients use.
    pub fn url(&self) -> String {
        match &self.public_url {
            Some(url) => url.trim_end_matches('/').to_string(),
            None => self.here(),
        }
    }

    /// The address of the server for programs of this machine.
    pub fn here(&self) -> String {
        let scheme = if self.tls_cert.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", listen::reachable(self.listen))
    }

    /// Takes a `chat_model` that is no path for the name of a model in `models_dir`.
    pub fn find_chat_model(&mut self) {
        let Some(name) = self.chat_model.as_ref().filter(|path| !path.exists()) else { return };
        let is_it = |path: &PathBuf| {
            path.file_name() == Some(name.as_os_str())
                || name.as_os_str() == language::model_name(path).as_str()
        };
        if let Some(path) = actors::language::list_chat_models(&self.models_dir).into_iter().find(is_it) {
            self.chat_model = Some(path);
        }
    }

    /// Whether people other than this machine's may make accounts.
    pub fn is_open_to_others(&self) -> bool {
        let is_local = |url: &str| {
            let host = url.split("://").nth(1).unwrap_or_default();
            let host = host.split(['/', '?', '#']).next().unwrap_or_default();
            host.parse::<SocketAddr>()
                .map(|address| address.ip())
                .or(host.parse())
                .is_ok_and(|ip| ip.is_loopback())
                || matches!(host.split(':').next(), Some("localhost"))
        };
        let reached =
            !self.listen.ip().is_loopback() || self.public_url.as_deref().is_some_and(|url| !is_local(url));
        reached && (self.signup_enabled || self.anonymous_enabled)
    }

    /// Whether jobs cost credits.
    pub fn charges_credits(&self) -> bool {
        self.charge_credits.unwrap_or_else(|| self.is_open_to_others())
    }
}

impl std::fmt::Debug for Config {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Never the secret.
        formatter
            .debug_struct("Config")
            .field("data", &self.data)
            .field("listen", &self.listen)
            .finish_non_exhaustive()
    }
}

//! What can be said on the command line, and its help.

use std::net::SocketAddr;
use std::path::PathBuf;

use actors::render::PartKind;
use clap::{Args, Parser, Subcommand};

const SETTINGS: &str = "\
Each flag, and every other setting, may also be an environment variable (PLAYHOUSE_ROWS_MAX=50 sets rows_max) or stand in
playhouse.json of the data folder; docs/operators.md lists them.

Exit codes: 0 done; 1 refused or failed, also where `check` finds faults or `models verify` a model that cannot be loaded;
2 the command line cannot be read.

Examples:
  playhouse                                      serve on 127.0.0.1:54321, everything in ./data
  playhouse serve --listen 0.0.0.0:54321         the same for other machines
  playhouse demo                                 a first hour that plays by itself
  playhouse keys                                 what clients need
  playhouse models add dream.safetensors         another picture model";

/// A self-hosted studio server for AI characters: one binary, one data folder.
#[derive(Parser)]
#[command(name = "playhouse", version, about, after_help = SETTINGS)]
pub(super) struct Cli {
    #[command(flatten)]
    pub place: Place,
    /// What the server takes where no command is named.
    #[command(flatten)]
    pub serve: ServeFlags,
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// Where things are; of every command.
#[derive(Args)]
pub(super) struct Place {
    /// Data folder [default: data]
    #[arg(long, env = "PLAYHOUSE_DATA", global = true, hide_env_values = true)]
    pub data: Option<PathBuf>,
    /// Configuration file, JSON [default: playhouse.json in the data folder]
    #[arg(long, env = "PLAYHOUSE_CONFIG", global = true, hide_env_values = true)]
    pub config: Option<PathBuf>,
}

/// Flags of the server.
#[derive(Args, Clone, Default)]
#[command(next_help_heading = "Options of the server")]
pub(super) struct ServeFlags {
    /// Address and port to listen on, such as localhost:54321; 0.0.0.0 is every address of this machine
    #[arg(long, value_parser = playhouse::parse_listen)]
    pub listen: Option<SocketAddr>,
    /// Decisions that may wait at one actor before clients get 429
    #[arg(long)]
    pub mailbox_capacity: Option<usize>,
    /// How access tokens are signed: HS256 or ES256
    #[arg(long)]
    pub jwt_algorithm: Option<String>,
    /// Open although acknowledged commits are missing
    #[arg(long)]
    pub accept_data_loss: bool,
    /// Keep a copy of an engine that does not open, and open it without its snapshot
    #[arg(long)]
    pub salvage: bool,
    /// Folder of model files [default: models in the data folder]
    #[arg(long)]
    pub models_dir: Option<PathBuf>,
    /// The picture model, by its name in the models folder [default: starter]
    #[arg(long)]
    pub image_model: Option<String>,
    /// The chat model: a GGUF file or a Hugging Face folder, or its name in the models folder [default: one of those]
    #[arg(long)]
    pub chat_model: Option<PathBuf>,
    /// Whether the default chat model is fetched when there is none [default: true]
    #[arg(long)]
    pub fetch_chat_model: Option<bool>,
    /// Open the page in a browser
    #[arg(long)]
    pub open: bool,
}

impl ServeFlags {
    /// The names of the flags that were given.
    pub fn given(&self) -> Vec<&'static str> {
        let flags = [
            (self.listen.is_some(), "--listen"),
            (self.mailbox_capacity.is_some(), "--mailbox-capacity"),
            (self.jwt_algorithm.is_some(), "--jwt-algorithm"),
            (self.accept_data_loss, "--accept-data-loss"),
            (self.salvage, "--salvage"),
            (self.models_dir.is_some(), "--models-dir"),
            (self.image_model.is_some(), "--image-model"),
            (self.chat_model.is_some(), "--chat-model"),
            (self.fetch_chat_model.is_some(), "--fetch-chat-model"),
            (self.open, "--open"),
        ];
        flags.into_iter().filter(|(is, _)| *is).map(|(_, name)| name).collect()
    }

    /// These, and `before` where they say nothing.
    pub fn over(self, before: ServeFlags) -> ServeFlags {
        ServeFlags {
            listen: self.listen.or(before.listen),
            mailbox_capacity: self.mailbox_capacity.or(before.mailbox_capacity),
            jwt_algorithm: self.jwt_algorithm.or(before.jwt_algorithm),
            accept_data_loss: self.accept_data_loss || before.accept_data_loss,
            salvage: self.salvage || before.salvage,
            models_dir: self.models_dir.or(before.models_dir),
            image_model: self.image_model.or(before.image_model),
            chat_model: self.chat_model.or(before.chat_model),
            fetch_chat_model: self.fetch_chat_model.or(before.fetch_chat_model),
            open: self.open || before.open,
        }
    }
}

#[derive(Subcommand)]
pub(super) enum Command {
    /// Serve (the default); makes the data folder where there is none
    #[command(after_help = "Example:\n  playhouse serve --data /srv/studio --listen localhost:8080")]
    Serve(ServeFlags),
    /// Print url, anon_key, service_role_key and jwt_secret as JSON
    #[command(after_help = "Example:\n  playhouse keys | jq -r .anon_key")]
    Keys,
    /// Print the declared public schema as JSON
    #[command(after_help = "Example:\n  playhouse schema | jq -r '.[].name'")]
    Schema,
    /// Print the declared tables as a TypeScript type, for createClient<Database>() of supabase-js
    #[command(after_help = "Example:\n  playhouse types > database.types.ts")]
    Types,
    /// Print an OpenAPI document of /rest/v1 and /v1
    #[command(after_help = "Example:\n  playhouse openapi | jq -r '.paths | keys[]'")]
    Openapi,
    /// Print every setting with its value and where that comes from; secrets are not shown
    #[command(
        after_help = "Example:\n  playhouse config | jq 'with_entries(select(.value.from != \"default\"))'"
    )]
    Config,
    /// Manage accounts
    #[command(
        subcommand,
        after_help = "Example:\n  playhouse user create --email me@example.com --password 'correct horse' --role admin"
    )]
    User(UserCommand),
    /// Write a backup into a new folder, also while the server runs
    #[command(after_help = "Example:\n  playhouse backup /backups/monday")]
    Backup {
        /// The folder to make
        target: PathBuf,
    },
    /// Write a backup, with its keys, into a data folder that holds no store
    #[command(after_help = "Example:\n  playhouse restore /backups/monday --data restored")]
    Restore {
        /// The backup's folder
        backup: PathBuf,
    },
    /// Write what can be read of a damaged data folder, which no server may use, into a new one, with a report
    #[command(after_help = "Example:\n  playhouse salvage data saved")]
    Salvage {
        /// The damaged data folder
        from: PathBuf,
        /// The folder to make
        to: PathBuf,
    },
    /// Take in the data of another program: SillyTavern's characters, chats, groups, worlds, personas and backgrounds, or a
    /// PostgreSQL database of the documented schema with its accounts and files
    #[command(
        after_help = "Example:\n  playhouse import --from sillytavern SillyTavern/data/default-user --account me@example.com --dry-run"
    )]
    Import(ImportFlags),
    /// Write every table for another system: a SQLite file, a folder of CSV files, or SQL of PostgreSQL; also while the server
    /// runs
    #[command(
        after_help = "Example:\n  playhouse export --to postgres all.sql --files files && psql -f all.sql"
    )]
    Export(ExportFlags),
    /// Look the whole store over, also while the server runs
    #[command(after_help = "Example:\n  playhouse check --quick && echo sound")]
    Check {
        /// Leave out reading every picture and other large value
        #[arg(long)]
        quick: bool,
    },
    /// Write the store anew while no server runs, so that its files take no more than they must
    #[command(
        after_help = "Example:\n  playhouse compact --data old && du -sh old\n\nA server does the same when \
                            more than two fifths of the files are of no use."
    )]
    Compact,
    /// List the migrations of a data folder, or take it to one of them while no server runs, after a backup
    #[command(
        after_help = "Example:\n  playhouse migrate\n  playhouse migrate --to 1\n\nA server takes its folder to the newest \
                            migration when it starts; 0 is before the first."
    )]
    Migrate(MigrateFlags),
    /// Play a newcomer's first hour on a server of its own, and leave the card, the chat and the pictures in a folder
    #[command(after_help = "Example:\n  playhouse demo --out first-hour")]
    Demo(DemoFlags),
    /// Draw jobs of another server with this machine's models, until it is stopped
    #[command(
        after_help = "Example:\n  PLAYHOUSE_CALLBACK_SECRET=… playhouse worker --server http://studio.local:54321 --draws images"
    )]
    Worker(WorkerFlags),
    /// Draw a picture again from the record in its PNG file with this machine's models, and say whether it is the same
    #[command(
        after_help = "Example:\n  playhouse verify-picture tree.png | jq -r .result\n\nExit code 1 where the pictures differ \
                            by more than another device explains."
    )]
    VerifyPicture(VerifyPictureFlags),
    /// Train a LoRA on a folder of pictures with this machine's models; one that was stopped goes on where it was
    #[command(
        after_help = "Example:\n  playhouse train-lora pictures/mira --trigger-word mira --set steps=800 --set rank=8\n\nThe \
                            settings are those of the function train-lora (docs/api/functions.md)."
    )]
    TrainLora(TrainLoraFlags),
    /// List, verify, add and remove models
    #[command(
        after_help = "Example:\n  playhouse models list | jq -r '.[] | \"\\(.type) \\(.name) \\(.problem // \"\")\"'"
    )]
    Models(ModelsFlags),
}

#[derive(Args)]
pub(super) struct TrainLoraFlags {
    /// 5 to 40 pictures, each with its caption in a text file of the same name beside it
    pub folder: PathBuf,
    /// The LoRA's name, in the models folder's loras [default: the folder's]
    #[arg(long)]
    pub name: Option<String>,
    /// What prompts say for the character to appear, and the caption of pictures without one [default: the name]
    #[arg(long)]
    pub trigger_word: Option<String>,
    /// The picture model [default: the setting image_model]
    #[arg(long)]
    pub model: Option<String>,
    /// A setting of the training, such as steps=800; may be given several times
    #[arg(long, value_name = "NAME=VALUE")]
    pub set: Vec<String>,
    /// Folder of model files [default: models in the data folder]
    #[arg(long)]
    pub models_dir: Option<PathBuf>,
}

#[derive(Args)]
pub(super) struct DemoFlags {
    /// The folder for the card, the chat and the pictures; a new one, or an empty one
    #[arg(long, default_value = "demo")]
    pub out: PathBuf,
    /// Address of a server to play against, such as http://127.0.0.1:54321, in place of one of its own with a data folder
    /// that goes with it; the account that is made there stays
    #[arg(long)]
    pub server: Option<String>,
}

#[derive(Args)]
pub(super) struct WorkerFlags {
    /// Address of the server, such as http://studio.local:54321
    #[arg(long)]
    pub server: String,
    /// The server's callback_secret; better not here, where other accounts of this machine may read it [default: the
    /// setting callback_secret]
    #[arg(long)]
    pub token: Option<String>,
    /// Under which name it claims jobs [default: this machine's and the process's]
    #[arg(long)]
    pub name: Option<String>,
    /// What it draws
    #[arg(long, value_delimiter = ',', default_values = ["images", "videos"])]
    pub draws: Vec<Drawn>,
    /// Address and port at which it answers chats of the server with this machine's chat model; its key is the token
    #[arg(long, value_parser = playhouse::parse_listen)]
    pub chats: Option<SocketAddr>,
    /// The chat model: a GGUF file or a Hugging Face folder, or its name in the models folder
    #[arg(long)]
    pub chat_model: Option<PathBuf>,
    /// Seconds without a report after which the server gives a job to another worker
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(i64).range(10..=86_400))]
    pub lease_seconds: i64,
    /// Folder of model files [default: models in the data folder]
    #[arg(long)]
    pub models_dir: Option<PathBuf>,
}

/// What a worker draws.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Drawn {
    Images,
    Videos,
    /// Neither, where it answers chats alone
    Nothing,
}

#[derive(Args)]
pub(super) struct ImportFlags {
    /// Where the data was: sillytavern, or postgres for a database of the documented schema, such as Supabase's
    #[arg(long)]
    pub from: String,
    /// SillyTavern's folder, of one user or of all, or a ZIP file of it; the address of a database, or a plain dump of one
    pub path: PathBuf,
    /// The address of the account that one user's data comes to
    #[arg(long)]
    pub account: Option<String>,
    /// The account of a user's folder, as FOLDER=EMAIL; once for each
    #[arg(long = "as", value_name = "FOLDER=EMAIL")]
    pub folders: Vec<String>,
    /// The stored files of a database: a folder, or the address of a storage, whose service key is in
    /// PLAYHOUSE_STORAGE_KEY
    #[arg(long)]
    pub files: Option<String>,
    /// Say what would come in, and write nothing
    #[arg(long)]
    pub dry_run: bool,
}

#[derive(Args)]
pub(super) struct ExportFlags {
    /// The form: sqlite, csv or postgres
    #[arg(long)]
    pub to: String,
    /// The file or the folder to make; for postgres also the address of a database, such as postgres://me@db.local/studio
    pub target: PathBuf,
    /// A folder to make for the stored files; or the address of a storage of Supabase, whose service key is in
    /// PLAYHOUSE_STORAGE_KEY
    #[arg(long)]
    pub files: Option<String>,
}

#[derive(Args)]
pub(super) struct VerifyPictureFlags {
    /// The PNG file, as it was drawn here or on another Playhouse
    pub file: PathBuf,
    /// The picture that it began with, where it began with one
    #[arg(long)]
    pub reference: Option<PathBuf>,
    /// Where that might be redrawn, where there was a mask
    #[arg(long)]
    pub mask: Option<PathBuf>,
    /// A picture that led it beside its prompts (of a ControlNet, an IP-Adapter or a character's looks); once for each
    #[arg(long)]
    pub guide: Vec<PathBuf>,
    /// Where the picture is written that is drawn again
    #[arg(long)]
    pub keep: Option<PathBuf>,
    /// Folder of model files [default: models in the data folder]
    #[arg(long)]
    pub models_dir: Option<PathBuf>,
}

#[derive(Args)]
pub(super) struct MigrateFlags {
    /// The migration to go to, up or back
    #[arg(long)]
    pub to: Option<usize>,
    /// The folder to make for the backup [default: one beside the data folder]
    #[arg(long)]
    pub backup: Option<PathBuf>,
}

#[derive(Args)]
pub(super) struct ModelsFlags {
    /// Folder of model files [default: models in the data folder]
    #[arg(long, global = true)]
    pub models_dir: Option<PathBuf>,
    #[command(subcommand)]
    pub command: ModelsCommand,
}

#[derive(Subcommand)]
pub(super) enum ModelsCommand {
    /// List what the models folder holds, after the model in the program: picture models, LoRAs, chat models, and what
    /// is of no use, with the reason
    #[command(after_help = "Example:\n  playhouse models list --models-dir /srv/models")]
    List,
    /// Hash a picture model and name the tensors that are missing, unused or of another shape
    #[command(after_help = "Example:\n  playhouse models verify starter")]
    Verify {
        /// Its name, as `list` shows it
        name: String,
    },
    /// Copy a model into the models folder: a diffusers folder, a .safetensors file of Stable Diffusion 1.x, 2.x or XL, a chat
    /// model (a GGUF file or a Hugging Face folder), or a LoRA, embedding, ControlNet, IP-Adapter, VAE or upscaler, whose kind is
    /// read from its tensors and which goes to the folder of its kind
    #[command(after_help = "Example:\n  playhouse models add Downloads/ink.safetensors")]
    Add {
        /// The file or folder
        path: PathBuf,
        /// What it is, where its tensors do not tell: lora, embedding, controlnet, ip_adapter, vae, upscaler or motion
        #[arg(long, value_parser = PartKind::parse)]
        kind: Option<PartKind>,
    },
    /// Fetch a model from a hub or an address into the models folder: goes on where it was cut short, compares the hash, and
    /// shows the licence. Tokens are read from HF_TOKEN and CIVITAI_TOKEN
    #[command(
        after_help = "Examples:\n  playhouse models pull hf:OWNER/NAME\n  playhouse models pull hf:OWNER/NAME@REVISION/model.gguf\n  playhouse models pull hf:h94/IP-Adapter/models/image_encoder\n  playhouse models pull civitai:NUMBER\n  playhouse models pull https://HOST/model.safetensors --sha256 HASH"
    )]
    Pull {
        /// hf:OWNER/NAME[@REVISION][/file-or-folder], civitai:NUMBER[@VERSION], or an address
        source: String,
        /// The SHA-256 that its one file must have
        #[arg(long)]
        sha256: Option<String>,
        /// What the file or folder is called here [default: as the address ends or the hub calls it; a file called as many are,
        /// such as diffusion_pytorch_model, as its repository]
        #[arg(long)]
        file_name: Option<String>,
        /// What it is, where its tensors do not tell: lora, embedding, controlnet, ip_adapter, vae, upscaler or motion
        #[arg(long, value_parser = PartKind::parse)]
        kind: Option<PartKind>,
    },
    /// List models that are worth fetching, with memory and licence, and whether this machine has the memory
    #[command(
        after_help = "Example:\n  playhouse models recommended | jq -r '.[] | select(.fits) | .source'"
    )]
    Recommended,
    /// Remove a model from the models folder
    #[command(after_help = "Example:\n  playhouse models remove loras/ink")]
    Remove {
        /// Its name, as `list` shows it; `loras/NAME` for the LoRA where something else has the name too
        name: String,
    },
}

#[derive(Subcommand)]
pub(super) enum UserCommand {
    /// List all accounts with their roles
    #[command(after_help = "Example:\n  playhouse user list | jq -r '.[].email'")]
    List,
    /// Create a confirmed account
    #[command(
        after_help = "Example:\n  playhouse user create --email me@example.com --password 'correct horse' --role admin"
    )]
    Create {
        /// Its address
        #[arg(long)]
        email: String,
        /// Its password
        #[arg(long)]
        password: String,
        /// A role beside basic_user, such as admin
        #[arg(long)]
        role: Option<String>,
    },
}

//! The models that are installed here, and those that are recommended and could be, as rows of the catalogue: made at the
//! start, and kept while the server runs.

use std::path::{Path, PathBuf};
use std::time::Duration;

use actors::catalog::installed_models::{InstalledModel, SyncInstalled};
use actors::catalog::local_provider::LOCAL;
use actors::language::Engines;
use actors::render::{FileState, STARTER, describe_models, list_models, parts_of};
use actors::{Actors, Refusal, rows};
use language::fetch::DEFAULT_CHAT_MODEL;
use models::{Claims, Value};
use serde_json::{Map, Value as Json, json};
use store::{Store, StoreError};

use crate::ids::uuid;
use crate::recommended::{self, Recommended};

/// How often the folder of models is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(30);
/// Where a picture model stands among others.
const PICTURE_PRIORITY: i64 = 100;
/// What a picture model can be asked for.
const PICTURE_TASKS: [&str; 2] = ["t2i", "i2i"];
/// What the same model can be asked for as a clip.
const VIDEO_TASKS: [&str; 4] = ["t2v", "i2v", "extend", "multi"];
/// What a chat model can be asked for.
const CHAT_TASKS: [&str; 3] = ["roleplay", "reasoning", "enhancement"];
/// How freely the small chat model chooses that is fetched by default: at the temperature of larger models it invents
/// words.
const SMALL_MODEL_TEMPERATURE: f64 = 0.3;
/// Pictures of one request.
const IMAGES_MAX: u32 = 6;

/// What of the settings bears on the rows.
#[derive(Clone, Debug)]
pub struct Installed {
    /// Where models lie.
    pub models_dir: PathBuf,
    /// The picture model of the settings.
    pub image_model: Option<String>,
    /// Whether this process draws pictures.
    pub pictures: bool,
    /// Whether this process draws videos.
    pub videos: bool,
    /// Where chat models stand among others.
    pub chat_priority: i64,
}

/// Names of models of this server that the catalogue switches off. Blocks.
pub fn switched_off(store: &Store, modalities: &[&str]) -> Result<Vec<String>, StoreError> {
    let provider = rows::all("api_providers").equal("name", Value::text(LOCAL)).limit(1);
    let Some(provider) = rows::select(store, &provider)?.into_iter().next() else { return Ok(Vec::new()) };
    let id = uuid(&provider["id"]).unwrap_or_default();
    let models = rows::all("api_models").equal("provider_id", Value::Uuid(id)).limit(500);
    let is_off = |row: &Json| {
        let is_on = provider["is_active"] == json!(true) && row["is_active"] == json!(true);
        !is_on && row["modality"].as_str().is_some_and(|kind| modalities.contains(&kind))
    };
    let off = rows::select(store, &models)?.into_iter().filter(is_off);
    Ok(off.filter_map(|row| row["model_key"].as_str().map(str::to_string)).collect())
}

impl Installed {
    /// Brings the rows to what is installed; how many were written.
    pub async fn sync(&self, actors: &Actors, engines: &Engines) -> Result<usize, Refusal> {
        let (this, chats) = (self.clone(), engines.clone());
        let found = tokio::task::spawn_blocking(move || this.models(&chats)).await;
        let Ok(models) = found else {
            tracing::error!("the folder of models could not be looked at");
            return Ok(0);
        };
        actors.ask(&Claims::service(), SyncInstalled { models }).await
    }

    /// Looks at the folder for as long as the server runs, and brings the rows to it when something came or went.
    pub async fn watch(self, actors: Actors, engines: Engines) {
        let mut known = None;
        loop {
            let (this, chats) = (self.clone(), engines.clone());
            let there = tokio::task::spawn_blocking(move || this.there(&chats)).await.ok();
            if there != known {
                match self.sync(&actors, &engines).await {
                    Ok(0) => {}
                    Ok(count) => tracing::info!(count, "the catalogue lists what is installed"),
                    Err(error) => tracing::warn!(%error, "the catalogue could not list what is installed"),
                }
                known = there;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// What is there, by name and by its files as they are.
    fn there(&self, engines: &Engines) -> Vec<(String, Vec<FileState>)> {
        let pictures = list_models(&self.models_dir).into_iter().map(|model| (model.name, model.files));
        let chats = engines.local_models().into_iter().map(|model| {
            let about = model.path.metadata().ok();
            let file = about.map(|about| (model.path.clone(), about.len(), about.modified().ok()));
            (model.name, file.into_iter().collect())
        });
        let parts = parts_of(&self.models_dir).into_iter().map(|(kind, name, path)| {
            let about = path.metadata().ok();
            let file = about.map(|about| (path, about.len(), about.modified().ok()));
            (format!("{}/{name}", kind.name()), file.into_iter().collect())
        });
        pictures.chain(chats).chain(parts).collect()
    }

    /// Every model that can be used. Reads headers of files.
    fn models(&self, engines: &Engines) -> Vec<InstalledModel> {
        let mut models = Vec::new();
        let described = describe_models(&self.models_dir);
        let sound = |kind: &'static str| {
            described.iter().filter(move |model| model["type"] == kind && model["sound"] == json!(true))
        };
        for model in sound("image").filter(|_| self.pictures) {
            models.extend(self.picture(model));
        }
        for entry in engines.local_models() {
            let about = sound("chat").find(|model| model["name"] == json!(entry.name)).cloned();
            let about = match about {
                Some(about) => about,
                // The one that the settings name may lie anywhere.
                None => match language::ModelFiles::open(&entry.path) {
                    Ok(files) => json!({
                        "context_tokens": files.config.max_position_embeddings,
                        "architecture": files.config.model_type,
                    }),
                    Err(_) => continue,
                },
            };
            let mut capabilities = Map::new();
            for name in ["context_tokens"] {
                if !about[name].is_null() {
                    capabilities.insert(name.into(), about[name].clone());
                }
            }
            capabilities.insert("json_schema".into(), json!(true));
            capabilities.insert("installed".into(), json!(true));
            let mut input_defaults = Map::new();
            if entry.name == language::model_name(Path::new(DEFAULT_CHAT_MODEL)) {
                input_defaults.insert("temperature".into(), json!(SMALL_MODEL_TEMPERATURE));
            }
            models.push(InstalledModel {
                modality: "chat",
                display_name: entry.name.clone(),
                name: entry.name,
                family: about["architecture"].as_str().map(str::to_string),
                tasks: CHAT_TASKS.to_vec(),
                is_default: false,
                is_installed: true,
                priority: self.chat_priority,
                capabilities,
                input_defaults,
            });
        }
        let parts = parts_of(&self.models_dir);
        let has_part = |known: &Recommended| {
            parts.iter().any(|(kind, name, _)| kind.name() == known.kind && name == known.name)
        };
        let is_model = |known: &Recommended| {
            models.iter().any(|model| model.modality == known.kind && model.name == known.name)
        };
        let more: Vec<InstalledModel> = recommended::ALL
            .iter()
            .filter(|known| (known.kind == "chat" || self.pictures) && !is_model(known))
            .filter(|known| known.kind != "motion" || self.videos)
            .map(|known| self.recommended(known, has_part(known)))
            .collect();
        models.extend(more);
        models
    }

    /// The row of a model that is recommended and not here, or of what stands beside models: neither can be asked for anything.
    fn recommended(&self, known: &Recommended, is_here: bool) -> InstalledModel {
        let is_chat = known.kind == "chat";
        let display_name = match is_here {
            true => known.display_name.into(),
            false => format!("{} (not installed)", known.display_name),
        };
        InstalledModel {
            modality: known.modality(),
            name: known.name.into(),
            display_name,
            family: None,
            tasks: match known.kind {
                "chat" => CHAT_TASKS.to_vec(),
                "image" => PICTURE_TASKS.to_vec(),
                _ => Vec::new(),
            },
            is_default: false,
            is_installed: false,
            priority: if is_chat { self.chat_priority } else { PICTURE_PRIORITY },
            capabilities: known.capabilities(is_here),
            input_defaults: Map::new(),
        }
    }

    /// The rows of a picture model: for pictures, and for the clips that it draws.
    fn picture(&self, about: &Json) -> Vec<InstalledModel> {
        let Some(name) = about["name"].as_str() else { return Vec::new() };
        let is_default = name == self.image_model.as_deref().unwrap_or(STARTER);
        let family = about["kind"].as_str().map(str::to_string);
        let mut capabilities = Map::new();
        for (member, value) in [
            ("installed", json!(true)),
            ("supports_i2i", json!(true)),
            ("supports_inpainting", json!(true)),
            ("max_images", json!(IMAGES_MAX)),
            ("trained_px", about["trained_px"].clone()),
        ] {
            if !value.is_null() {
                capabilities.insert(member.into(), value);
            }
        }
        let picture = InstalledModel {
            modality: "image",
            name: name.into(),
            display_name: name.into(),
            family,
            tasks: PICTURE_TASKS.to_vec(),
            is_default,
            is_installed: true,
            priority: PICTURE_PRIORITY,
            capabilities: capabilities.clone(),
            input_defaults: Map::new(),
        };
        if !self.videos {
            return vec![picture];
        }
        capabilities.insert("max_images".into(), json!(1));
        let video = InstalledModel {
            modality: "video",
            display_name: format!("{name} (video)"),
            tasks: VIDEO_TASKS.to_vec(),
            capabilities,
            ..picture.clone()
        };
        vec![picture, video]
    }
}

//! Portraits: what a job drew of a character is kept in the commit that ends the job. Files and rows of the library,
//! `character_portraits` and the character's own picture land together, or none of them does.

use models::{Claims, Command, Row, Value, schema};
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};
use store::query::Query;
use store::{Caller, Transaction, guard};
use uuid::Uuid;

use super::finished_asset::{FinishedAsset, prompt};
use super::job_rows::{by_id, first, jobs, set};
use super::workspace::copy_file;
use super::{LIBRARY_BUCKET, WORKSPACE_BUCKET};
use crate::file::object_row;
use crate::refusal::Refusal;

/// What a job's pictures are kept as.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct KeepPortrait {
    /// Whom they show. Without a character the library alone has them.
    pub character_id: Option<Uuid>,
    /// The pose whose canon the first picture becomes, beside being a portrait.
    pub pose_key: Option<String>,
    /// Whether the first picture, and it alone, becomes what the character looks like from now on: its reference
    /// picture and its locked seed.
    pub becomes_reference: bool,
}

/// What was kept, as the job's metadata says it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptPortraits {
    /// One for each picture, in their order.
    #[serde(default)]
    pub portraits: Vec<KeptPortrait>,
    /// The library's row of the pose's canon.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub canon_id: Option<Uuid>,
}

/// One picture that was kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptPortrait {
    /// Where its file lies in the bucket `user-library`.
    pub path: String,
    /// Its row in `user_library`.
    pub library_id: Uuid,
    /// Its row in `character_portraits`, of a known character.
    pub portrait_id: Option<Uuid>,
}

/// Where the pictures come from and whom they go to.
struct Portraits<'a> {
    transaction: &'a Transaction<'a>,
    service: &'a Caller<'a>,
    job: &'a Row,
    user_id: Uuid,
    character_id: Option<Uuid>,
}

/// Keeps the pictures of a job. A reason why one is not kept goes into `warnings`: the job is complete without it.
pub(super) fn keep_portraits(
    transaction: &Transaction,
    service: &Caller,
    job: &Row,
    assets: &[FinishedAsset],
    wanted: &KeepPortrait,
    warnings: &mut Vec<String>,
) -> Result<KeptPortraits, Refusal> {
    let jobs = jobs();
    let mut kept = KeptPortraits::default();
    let (Some(job_id), Some(user_id)) = (job[jobs.at("id")].as_uuid(), job[jobs.at("user_id")].as_uuid())
    else {
        return Ok(kept);
    };
    if let Some(id) = wanted.character_id
        && !may_change(transaction, user_id, id)?
    {
        warnings.push(format!("the portrait is not kept: the account has no character {id} to change"));
        return Ok(kept);
    }
    let keeper = Portraits { transaction, service, job, user_id, character_id: wanted.character_id };
    let images = assets.iter().filter(|asset| asset.asset_type == "image");
    let images: Vec<&FinishedAsset> =
        images.take(if wanted.becomes_reference { 1 } else { usize::MAX }).collect();
    let stem = match (wanted.becomes_reference, wanted.character_id) {
        (true, Some(character)) => format!("{user_id}/{job_id}_{character}"),
        _ => keeper.free_stem()?,
    };
    for (index, asset) in images.iter().enumerate() {
        let base = if wanted.becomes_reference { stem.clone() } else { format!("{stem}_{index}") };
        match keeper.keep(asset, &base, None)? {
            Some(portrait) => kept.portraits.push(portrait),
            None => warnings.push(format!("the portrait is not kept: the file {} is gone", asset.path)),
        }
    }
    let (Some(character), Some(portrait)) = (wanted.character_id, kept.portraits.first()) else {
        return Ok(kept);
    };
    if let (Some(pose), Some(asset)) = (&wanted.pose_key, images.first()) {
        // A file of its own, so that either can be deleted.
        let canon = keeper.keep(asset, &format!("{stem}_canon"), Some(pose))?;
        kept.canon_id = canon.map(|canon| canon.library_id);
    }
    let url = Value::text(format!("{LIBRARY_BUCKET}/{}", portrait.path));
    let mut values = vec![("image_url", url.clone())];
    if let (true, Some(asset)) = (wanted.becomes_reference, images.first()) {
        let seed = i32::try_from(asset.seed).ok();
        if seed.is_none() {
            warnings.push(format!("seed_locked: {} does not fit, so no seed is locked", asset.seed));
        }
        values.push(("reference_image_url", url));
        values.push(("seed_locked", seed.map_or(Value::Null, |seed| Value::Int(i64::from(seed)))));
    }
    let characters = schema().known("characters");
    // The counter of portraits changed the character meanwhile, so it is read here.
    if let Some(row) = by_id(transaction, characters, character)? {
        set(transaction, characters, &row, &values)?;
    }
    Ok(kept)
}

/// Whether an account may change a character, by the policies of the table.
fn may_change(transaction: &Transaction, user_id: Uuid, id: Uuid) -> Result<bool, Refusal> {
    let characters = schema().known("characters");
    let Some(row) = by_id(transaction, characters, id)? else { return Ok(false) };
    let claims = Claims::user(user_id);
    let reads = transaction.reads();
    Ok(guard::allows(&reads, &Caller::new(&claims), characters, Command::Update, &row)?)
}

impl Portraits<'_> {
    /// How the names of the files begin; no earlier file is in the way.
    fn free_stem(&self) -> Result<String, Refusal> {
        let whose = self.character_id.map_or_else(|| "new".to_string(), |id| id.to_string());
        let mut millis = chrono::Utc::now().timestamp_millis();
        loop {
            let stem = format!("{}/portraits/{whose}_{millis}", self.user_id);
            if object_row(self.transaction, LIBRARY_BUCKET, &format!("{stem}_0.png"))?.is_none() {
                return Ok(stem);
            }
            millis += 1;
        }
    }

    /// Keeps one picture as `BASE.EXTENSION`: as the canon of a pose, or else as a portrait. `None` without its file.
    fn keep(
        &self,
        asset: &FinishedAsset,
        base: &str,
        pose: Option<&str>,
    ) -> Result<Option<KeptPortrait>, Refusal> {
        let (transaction, service) = (self.transaction, self.service);
        let subtype = asset.mime_type.rsplit('/').next().unwrap_or("png");
        let path = format!("{base}.{subtype}");
        let Some(size) =
            copy_file(transaction, service, (WORKSPACE_BUCKET, &asset.path), (LIBRARY_BUCKET, &path))?
        else {
            return Ok(None);
        };
        let thumbnail = match &asset.thumbnail_path {
            None => None,
            Some(from) => {
                let to = format!("{base}.thumb.webp");
                copy_file(transaction, service, (WORKSPACE_BUCKET, from), (LIBRARY_BUCKET, &to))?.map(|_| to)
            }
        };
        let is_primary = match self.character_id {
            Some(character) if pose.is_none() => !self.has_primary(character)?,
            _ => false,
        };
        let thumbnail = thumbnail.as_deref();
        let library_id = self.library_row(asset, &path, thumbnail, size, pose, is_primary)?;
        let portrait_id = match self.character_id {
            Some(character) if pose.is_none() => {
                Some(self.portrait_row(asset, character, &path, thumbnail, library_id, is_primary)?)
            }
            _ => None,
        };
        Ok(Some(KeptPortrait { path, library_id, portrait_id }))
    }

    /// Whether a character has a portrait that stands for it.
    fn has_primary(&self, character: Uuid) -> Result<bool, Refusal> {
        let primary = Query::all(schema().known("character_portraits").id)
            .equal("character_id", Value::Uuid(character))
            .equal("is_primary", Value::Bool(true));
        Ok(first(self.transaction, primary)?.is_some())
    }

    fn about(&self, pose: Option<&str>) -> Json {
        let mut about = json!({
            "character_id": self.character_id, "job_id": self.job[jobs().at("id")].as_uuid(),
            "type": "character_portrait",
        });
        if let Some(pose) = pose {
            about["pose_key"] = json!(pose);
        }
        about
    }

    fn library_row(
        &self,
        asset: &FinishedAsset,
        path: &str,
        thumbnail: Option<&str>,
        size: i64,
        pose: Option<&str>,
        is_primary: bool,
    ) -> Result<Uuid, Refusal> {
        let library = schema().known("user_library");
        let kind = if pose.is_some() { "position" } else { "portrait" };
        let mut row = library.default_row();
        let mut put = |column: &str, value: Value| row[library.at(column)] = value;
        put("user_id", Value::Uuid(self.user_id));
        put("asset_type", Value::text("image"));
        put("storage_path", Value::text(path));
        put("thumbnail_path", thumbnail.map_or(Value::Null, Value::text));
        put("file_size_bytes", Value::Int(size));
        put("mime_type", Value::text(&*asset.mime_type));
        put("original_prompt", prompt(self.job));
        put("model_used", Value::text(&*asset.model_used));
        put("generation_seed", Value::Int(asset.seed));
        put("tags", Value::TextArray(vec![Some("character".into()), Some(kind.into())]));
        put("content_category", Value::text("character"));
        put("output_type", Value::text(kind));
        put("is_primary", Value::Bool(is_primary));
        put("label", pose.map_or(Value::Null, Value::text));
        put("roleplay_metadata", Value::json(&self.about(pose)));
        let job_id = self.job[jobs().at("id")].as_uuid();
        put("generation_metadata", Value::json(&json!({"settings": asset.settings, "job_id": job_id})));
        put("character_id", self.character_id.map_or(Value::Null, Value::Uuid));
        if let Some((width, height)) = asset.size_px {
            put("width", Value::Int(i64::from(width)));
            put("height", Value::Int(i64::from(height)));
        }
        let row = self.transaction.insert(self.service, library, row)?;
        Ok(row[library.at("id")].as_uuid().unwrap_or_default())
    }

    fn portrait_row(
        &self,
        asset: &FinishedAsset,
        character: Uuid,
        path: &str,
        thumbnail: Option<&str>,
        library_id: Uuid,
        is_primary: bool,
    ) -> Result<Uuid, Refusal> {
        let portraits = schema().known("character_portraits");
        let stored = |path: &str| Value::text(format!("{LIBRARY_BUCKET}/{path}"));
        let mut row = portraits.default_row();
        let mut put = |column: &str, value: Value| row[portraits.at(column)] = value;
        put("character_id", Value::Uuid(character));
        put("image_url", stored(path));
        put("thumbnail_url", thumbnail.map_or(Value::Null, stored));
        put("prompt", prompt(self.job));
        put("enhanced_prompt", self.job[jobs().at("enhanced_prompt")].clone());
        put("is_primary", Value::Bool(is_primary));
        let about = json!({
            "seed": asset.seed, "library_id": library_id, "job_id": self.job[jobs().at("id")].as_uuid(),
        });
        put("generation_metadata", Value::json(&about));
        let row = self.transaction.insert(self.service, portraits, row)?;
        Ok(row[portraits.at("id")].as_uuid().unwrap_or_default())
    }
}

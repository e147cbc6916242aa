//! Keeping a result.

use models::{Aggregate, Command, Row, Value, schema};
use serde_json::json;
use store::query::{Limits, Query, Reader};
use store::{Caller, Transaction};
use uuid::Uuid;

use super::{ALIKE_MAX, asset_of, blob_of, copy_file, thumbnail_beside};
use crate::aggregate::Decision;
use crate::file::own_path;
use crate::job_scheduler::job_rows::by_id;
use crate::job_scheduler::{JobPayload, LIBRARY_BUCKET, WORKSPACE_BUCKET, file_references};
use crate::refusal::Refusal;

/// Copies a workspace asset into the library; the asset stays. A library row with the same prompt, seed, model and
/// bytes counts as its copy: it takes the title, the collection and the tags that are given.
#[derive(Debug)]
pub struct SaveAsset {
    /// The asset.
    pub asset_id: Uuid,
    /// Whose.
    pub user_id: Uuid,
    /// Its title there.
    pub custom_title: Option<String>,
    /// The collection it goes into; must be the same account's.
    pub collection_id: Option<Uuid>,
    /// Its tags there.
    pub tags: Vec<String>,
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SavedAsset {
    /// The library row.
    pub library_id: Uuid,
    /// Whether it was there before.
    pub existed: bool,
}

impl Decision for SaveAsset {
    /// `None` when the account has no such asset.
    type Answer = Option<SavedAsset>;

    fn owner(&self) -> Aggregate {
        Aggregate::JobScheduler
    }

    fn decide(self, transaction: &Transaction) -> Result<Option<SavedAsset>, Refusal> {
        let service = transaction.claims.elevated();
        let service = Caller::new(&service);
        let assets = schema().known("workspace_assets");
        let library = schema().known("user_library");
        let Some(asset) = asset_of(transaction, self.asset_id, self.user_id)? else { return Ok(None) };
        if let Some(collection) = self.collection_id {
            let collections = schema().known("user_collections");
            let row = transaction.reads().get(collections, &[Value::Uuid(collection)])?;
            if row.is_none_or(|row| row[collections.at("user_id")].as_uuid() != Some(self.user_id)) {
                return Err(Refusal::raised("PT400", "collectionId: the account has no such collection"));
            }
        }
        if let Some(known) = self.known(transaction, &asset)? {
            let id = known[library.at("id")].as_uuid().unwrap_or_default();
            self.rename(transaction, &service, known)?;
            return Ok(Some(SavedAsset { library_id: id, existed: true }));
        }
        let text = |column: &str| asset[assets.at(column)].as_str().unwrap_or_default().to_string();
        let (stored, mime_type) = (text("temp_storage_path"), text("mime_type"));
        let subtype = mime_type.rsplit('/').next().unwrap_or("png");
        let key = format!("{}/{}.{subtype}", self.user_id, self.asset_id);
        let copied = match own_path(self.user_id, WORKSPACE_BUCKET, &stored) {
            Some(path) => copy_file(transaction, &service, (WORKSPACE_BUCKET, path), (LIBRARY_BUCKET, &key))?,
            None => None,
        };
        let Some(size) = copied else {
            return Err(Refusal::raised("PT404", "the asset's file is gone, so it cannot be kept"));
        };
        let thumbnail = format!("{}/{}.thumb.webp", self.user_id, self.asset_id);
        let from = match asset[assets.at("thumbnail_path")].as_str() {
            Some(path) => path.to_string(),
            None => thumbnail_beside(&stored),
        };
        let has_thumbnail = match own_path(self.user_id, WORKSPACE_BUCKET, &from) {
            Some(from) => {
                let to = (LIBRARY_BUCKET, &*thumbnail);
                copy_file(transaction, &service, (WORKSPACE_BUCKET, from), to)?.is_some()
            }
            None => false,
        };
        let thumbnail = match (has_thumbnail, asset[assets.at("asset_type")].as_str()) {
            (true, _) => Some(thumbnail),
            (false, Some("video")) => self.reference_thumbnail(transaction, &service, &asset)?,
            (false, _) => None,
        };

        let mut row = library.default_row();
        let mut set = |column: &str, value: Value| row[library.at(column)] = value;
        for (to, from) in [
            ("user_id", "user_id"),
            ("asset_type", "asset_type"),
            ("mime_type", "mime_type"),
            ("duration_seconds", "duration_seconds"),
            ("original_prompt", "original_prompt"),
            ("model_used", "model_used"),
            ("generation_seed", "generation_seed"),
            ("width", "width"),
            ("height", "height"),
        ] {
            set(to, asset[assets.at(from)].clone());
        }
        set("storage_path", Value::Text(key));
        set("thumbnail_path", thumbnail.map_or(Value::Null, Value::Text));
        set("file_size_bytes", Value::Int(size));
        set("custom_title", self.custom_title.clone().map_or(Value::Null, Value::Text));
        set("collection_id", self.collection_id.map_or(Value::Null, Value::Uuid));
        let settings = asset[assets.at("generation_settings")].as_json().unwrap_or_default();
        let mut tags = self.tags.clone();
        if settings["num_characters"].as_i64().is_some_and(|count| count >= 2) {
            tags.extend(["role:position".to_string(), "duo".to_string()]);
        }
        tags.sort_unstable();
        tags.dedup();
        set("tags", Value::TextArray(tags.into_iter().map(Some).collect()));
        set(
            "generation_metadata",
            Value::json(&json!({
                "settings": settings, "job_id": asset[assets.at("job_id")].as_uuid(), "asset_id": self.asset_id,
            })),
        );
        let row = transaction.insert(&service, library, row)?;
        let library_id = row[library.at("id")].as_uuid().unwrap_or_default();
        file_references::keep(transaction, &service, &asset, &row, self.custom_title.as_deref())?;
        Ok(Some(SavedAsset { library_id, existed: false }))
    }
}

impl SaveAsset {
    /// A library row that is this asset in all but name: of the same words, seed and model, and the same bytes.
    fn known(&self, transaction: &Transaction, asset: &Row) -> Result<Option<Row>, Refusal> {
        let [assets, library] = ["workspace_assets", "user_library"].map(|name| schema().known(name));
        let path = &asset[assets.at("temp_storage_path")];
        let Some(own) = blob_of(transaction, self.user_id, WORKSPACE_BUCKET, path)? else { return Ok(None) };
        let mut same = Query::all(library.id).equal("user_id", Value::Uuid(self.user_id));
        for column in ["original_prompt", "generation_seed", "model_used"] {
            same = same.equal(column, asset[assets.at(column)].clone());
        }
        let service = transaction.claims.elevated();
        let service = Caller::new(&service);
        let reader = Reader::new(transaction.reads(), &service, Limits::default());
        for row in reader.stored(&same.limit(ALIKE_MAX), Command::Select)? {
            let kept = blob_of(transaction, self.user_id, LIBRARY_BUCKET, &row[library.at("storage_path")])?;
            if kept.as_ref() == Some(&own) {
                return Ok(Some(row));
            }
        }
        Ok(None)
    }

    /// Gives a row that is there already what the request says of it.
    fn rename(&self, transaction: &Transaction, service: &Caller, old: Row) -> Result<(), Refusal> {
        let library = schema().known("user_library");
        let mut row = old.clone();
        if let Some(title) = &self.custom_title {
            row[library.at("custom_title")] = Value::text(&**title);
        }
        if let Some(collection) = self.collection_id {
            row[library.at("collection_id")] = Value::Uuid(collection);
        }
        if let Value::TextArray(tags) = &mut row[library.at("tags")] {
            let new = self.tags.iter().filter(|tag| !tags.contains(&Some((*tag).clone()))).cloned();
            let new: Vec<Option<String>> = new.map(Some).collect();
            tags.extend(new);
        }
        if row != old {
            transaction.update(service, library, &old, row)?;
        }
        Ok(())
    }

    /// A thumbnail for a video that has none: the picture that its job began with, if it is the account's own.
    fn reference_thumbnail(
        &self,
        transaction: &Transaction,
        service: &Caller,
        asset: &Row,
    ) -> Result<Option<String>, Refusal> {
        let [assets, entries] = ["workspace_assets", "queue.entries"].map(|name| schema().known(name));
        let Some(job) = asset[assets.at("job_id")].as_uuid() else { return Ok(None) };
        let Some(entry) = by_id(transaction, entries, job)? else { return Ok(None) };
        let payload = JobPayload::read(&entry[entries.at("payload")].as_json().unwrap_or_default());
        for object in payload.unwrap_or_default().reference_objects() {
            let Some((bucket, path)) = object.split_once('/') else { continue };
            let Some(path) = own_path(self.user_id, bucket, path) else { continue };
            let extension = path.rsplit_once('.').map_or("png", |(_, extension)| extension);
            let to = format!("{}/{}.thumb.{extension}", self.user_id, self.asset_id);
            if copy_file(transaction, service, (bucket, path), (LIBRARY_BUCKET, &to))?.is_some() {
                return Ok(Some(to));
            }
        }
        Ok(None)
    }
}

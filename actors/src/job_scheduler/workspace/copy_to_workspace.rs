//! Taking something kept back to the bench.

use models::{Aggregate, Command, Value, schema};
use serde_json::json;
use store::query::{Limits, Query, Reader};
use store::{Caller, Transaction};
use uuid::Uuid;

use super::{ALIKE_MAX, blob_of, copy_file};
use crate::aggregate::Decision;
use crate::file::own_path;
use crate::job_scheduler::{LIBRARY_BUCKET, WORKSPACE_BUCKET};
use crate::refusal::Refusal;

/// Copies a library asset into the workspace, under a job of its own that is completed already.
#[derive(Debug)]
pub struct CopyToWorkspace {
    /// The library row.
    pub library_id: Uuid,
    /// Whose.
    pub user_id: Uuid,
}

impl Decision for CopyToWorkspace {
    /// The workspace asset and whether it was there before; `None` when the account has no such library row.
    type Answer = Option<(Uuid, bool)>;

    fn owner(&self) -> Aggregate {
        Aggregate::JobScheduler
    }

    fn decide(self, transaction: &Transaction) -> Result<Option<(Uuid, bool)>, Refusal> {
        let service = transaction.claims.elevated();
        let service = Caller::new(&service);
        let [library, assets, jobs] =
            ["user_library", "workspace_assets", "jobs"].map(|name| schema().known(name));
        let user = Value::Uuid(self.user_id);
        let kept = transaction.reads().get(library, &[Value::Uuid(self.library_id)])?;
        let Some(kept) = kept.filter(|row| row[library.at("user_id")] == user) else { return Ok(None) };
        let mut same = Query::all(assets.id).equal("user_id", user.clone());
        for column in ["original_prompt", "model_used", "generation_seed"] {
            same = same.equal(column, kept[library.at(column)].clone());
        }
        let own = blob_of(transaction, self.user_id, LIBRARY_BUCKET, &kept[library.at("storage_path")])?;
        let reader = Reader::new(transaction.reads(), &service, Limits::default());
        for row in reader.stored(&same.limit(ALIKE_MAX), Command::Select)? {
            let there =
                blob_of(transaction, self.user_id, WORKSPACE_BUCKET, &row[assets.at("temp_storage_path")])?;
            if let Some(id) = row[assets.at("id")].as_uuid().filter(|_| there.is_some() && there == own) {
                return Ok(Some((id, true)));
            }
        }
        let text = |column: &str| kept[library.at(column)].as_str().unwrap_or_default().to_string();
        let stored = text("storage_path");
        let extension = stored.rsplit_once('.').map_or("png", |(_, extension)| extension);
        let id = Uuid::new_v4();
        let to = format!("{}/{id}.{extension}", self.user_id);
        let copied = match own_path(self.user_id, LIBRARY_BUCKET, &stored) {
            Some(from) => copy_file(transaction, &service, (LIBRARY_BUCKET, from), (WORKSPACE_BUCKET, &to))?,
            None => None,
        };
        let Some(size) = copied else {
            return Err(Refusal::raised("PT404", "the library asset's file is gone"));
        };
        let thumbnail = format!("{}/{id}.thumb.webp", self.user_id);
        let from = text("thumbnail_path");
        let has_thumbnail = match own_path(self.user_id, LIBRARY_BUCKET, &from) {
            Some(from) => {
                let to = (WORKSPACE_BUCKET, &*thumbnail);
                copy_file(transaction, &service, (LIBRARY_BUCKET, from), to)?.is_some()
            }
            None => false,
        };

        let is_video = text("asset_type") == "video";
        let mut job = jobs.default_row();
        let mut set = |column: &str, value: Value| job[jobs.at(column)] = value;
        set("user_id", user.clone());
        set("job_type", Value::text(job_type(&text("model_used"), is_video)));
        set("status", Value::text("completed"));
        set("completed_at", Value::now());
        set("format", Value::text(if is_video { "video" } else { "image" }));
        set("quality", Value::text("high"));
        set("destination", Value::text("workspace"));
        set("original_prompt", kept[library.at("original_prompt")].clone());
        set("metadata", Value::json(&json!({"source": "library_copy", "library_id": self.library_id})));
        let job = transaction.insert(&service, jobs, job)?;

        let mut asset = assets.default_row();
        let mut set = |column: &str, value: Value| asset[assets.at(column)] = value;
        for column in [
            "asset_type",
            "mime_type",
            "duration_seconds",
            "original_prompt",
            "model_used",
            "width",
            "height",
        ] {
            set(column, kept[library.at(column)].clone());
        }
        set("id", Value::Uuid(id));
        set("user_id", user);
        set("job_id", job[jobs.at("id")].clone());
        set("temp_storage_path", Value::Text(to));
        set("thumbnail_path", if has_thumbnail { Value::Text(thumbnail) } else { Value::Null });
        set("file_size_bytes", Value::Int(size));
        set(
            "generation_seed",
            match &kept[library.at("generation_seed")] {
                Value::Null => Value::Int(0),
                seed => seed.clone(),
            },
        );
        let about = kept[library.at("generation_metadata")].as_json().unwrap_or_default();
        set("generation_settings", Value::json(&json!({"source": "library_copy", "generation": about})));
        transaction.insert(&service, assets, asset)?;
        Ok(Some((id, false)))
    }
}

/// The job type that fits a model's family.
fn job_type(model: &str, is_video: bool) -> &'static str {
    let model = model.to_ascii_lowercase();
    match (is_video, model.as_str()) {
        (true, model) if model.contains("wan") => "wan_video_high",
        (true, _) => "video_high",
        (false, model) if model.contains("sdxl") => "sdxl_image_high",
        (false, model) if model.contains("rv51") => "rv51_high",
        _ => "image_high",
    }
}

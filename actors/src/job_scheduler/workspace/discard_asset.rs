//! Throwing a result away.

use models::{Aggregate, schema};
use store::{Caller, Transaction};
use uuid::Uuid;

use super::{asset_of, thumbnail_beside};
use crate::aggregate::Decision;
use crate::file::{object_row, own_path};
use crate::job_scheduler::WORKSPACE_BUCKET;
use crate::job_scheduler::file_references::{forget, is_shown};
use crate::refusal::Refusal;

/// Removes a workspace asset with its file and thumbnail; these stay while a scene or a conversation shows them.
#[derive(Debug)]
pub struct DiscardAsset {
    /// The asset.
    pub asset_id: Uuid,
    /// Whose.
    pub user_id: Uuid,
}

impl Decision for DiscardAsset {
    /// Whether there was such an asset.
    type Answer = bool;

    fn owner(&self) -> Aggregate {
        Aggregate::JobScheduler
    }

    fn decide(self, transaction: &Transaction) -> Result<bool, Refusal> {
        let service = transaction.claims.elevated();
        let service = Caller::new(&service);
        let (assets, objects) = (schema().known("workspace_assets"), schema().known("storage.objects"));
        let Some(asset) = asset_of(transaction, self.asset_id, self.user_id)? else { return Ok(false) };
        transaction.delete(&service, assets, &asset)?;
        if is_shown(transaction, &asset)? {
            // What a scene shows is not the workspace's alone.
            return Ok(true);
        }
        forget(transaction, &service, &asset)?;
        let path = asset[assets.at("temp_storage_path")].as_str().unwrap_or_default();
        let thumbnail = match asset[assets.at("thumbnail_path")].as_str() {
            Some(path) => path.to_string(),
            None => thumbnail_beside(path),
        };
        for name in [path, &thumbnail] {
            if let Some(name) = own_path(self.user_id, WORKSPACE_BUCKET, name)
                && let Some(object) = object_row(transaction, WORKSPACE_BUCKET, name)?
            {
                transaction.delete(&service, objects, &object)?;
            }
        }
        Ok(true)
    }
}

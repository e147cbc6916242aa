//! Pictures of public characters that are rated nsfw come into the queue.

use models::{Aggregate, Command, Value, schema};
use store::query::{Limits, Query, Reader};
use store::{Caller, Transaction};

use super::{Flagged, Reason, find, flag};
use crate::aggregate::Decision;
use crate::file::{StoredAddress, object_row, own_path};
use crate::job_scheduler::LIBRARY_BUCKET;
use crate::refusal::Refusal;

/// Characters that are looked at in one commit.
const CHARACTERS_MAX: u64 = 5000;

/// Flags the pictures of public nsfw characters that are in no queue yet: they are held back without a row, too, and an
/// administrator needs one to approve them.
#[derive(Debug)]
pub struct FlagCharacters;

impl Decision for FlagCharacters {
    /// How many came into the queue.
    type Answer = u64;

    fn owner(&self) -> Aggregate {
        Aggregate::File
    }

    fn decide(self, transaction: &Transaction) -> Result<u64, Refusal> {
        let service = transaction.claims.elevated();
        let service = Caller::new(&service);
        let (characters, objects) = (schema().known("characters"), schema().known("storage.objects"));
        let public = Query::all(characters.id)
            .equal("is_public", Value::Bool(true))
            .equal("content_rating", Value::text("nsfw"))
            .order("created_at", true)
            .limit(CHARACTERS_MAX);
        let rows =
            Reader::new(transaction.reads(), &service, Limits::default()).stored(&public, Command::Select)?;
        let mut added = 0;
        for character in rows {
            let owner = character[characters.at("user_id")].as_uuid();
            let address = character[characters.at("image_url")].as_str().and_then(StoredAddress::parse);
            let Some((owner, address)) = owner.zip(address) else { continue };
            // The only files that a character shows to others.
            let Some(path) = own_path(owner, LIBRARY_BUCKET, &address.path) else { continue };
            let Some(object) = object_row(transaction, LIBRARY_BUCKET, path)? else { continue };
            let hash = object[objects.at("blob_hash")].as_str().unwrap_or_default().to_string();
            if find(&transaction.reads(), &hash)?.is_none() {
                let path = format!("{LIBRARY_BUCKET}/{path}");
                let flagged = Flagged {
                    path,
                    blob_hash: hash,
                    user_id: Some(owner),
                    job_id: None,
                    image_id: None,
                    shown_as: None,
                    reason: Reason::Nsfw,
                };
                flag(transaction, &service, flagged)?;
                added += 1;
            }
        }
        Ok(added)
    }
}

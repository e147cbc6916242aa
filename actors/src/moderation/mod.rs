//! Moderation: pictures of the nsfw tier, and those that are reported, are held back from public places until an
//! administrator has looked at them. A picture is known by its bytes, so that a copy under another name is held as well.
//!
//! Public places are the picture of a public character, for everybody but its owner and administrators, its card, and
//! files of public buckets. The documents' columns of `jobs` and `images` say the same as `storage.reviewed_pictures`.

pub mod flag_characters;
pub(crate) mod pictures_of_minors;
pub mod report_picture;
pub mod review_picture;
pub(crate) mod reviewed_rows;

use models::{Row, Value, schema};
use store::{Caller, Event, Reads, StoreError, Transaction};
use uuid::Uuid;

/// Why a picture is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// It was drawn as nsfw, or shows a character of that rating.
    Nsfw,
    /// An account reported it.
    Reported,
}

impl Reason {
    /// As it is stored.
    pub fn name(self) -> &'static str {
        match self {
            Reason::Nsfw => "nsfw",
            Reason::Reported => "reported",
        }
    }
}

/// What is known of a picture that is to be looked at.
#[derive(Clone, Debug)]
pub struct Flagged {
    /// `bucket/path`.
    pub path: String,
    /// The hash of its bytes, hexadecimal.
    pub blob_hash: String,
    /// Whose it is.
    pub user_id: Option<Uuid>,
    /// The job that drew it.
    pub job_id: Option<Uuid>,
    /// Its row in `images`.
    pub image_id: Option<Uuid>,
    /// The row that the queue shows in its place, for a thumbnail.
    pub shown_as: Option<Uuid>,
    /// Why.
    pub reason: Reason,
}

/// The row of a picture, by the hash of its bytes.
pub fn find(reads: &Reads, blob_hash: &str) -> Result<Option<Row>, StoreError> {
    let table = schema().known("storage.reviewed_pictures");
    Ok(reads.referring(table, table.at("blob_hash"), &Value::text(blob_hash))?.into_iter().next())
}

/// Whether a picture must not be shown in a public place: one that waits for its review or was rejected, and one of a
/// place for adults that no one has approved.
pub fn is_held(reads: &Reads, blob_hash: &str, is_nsfw_place: bool) -> Result<bool, StoreError> {
    let table = schema().known("storage.reviewed_pictures");
    Ok(match find(reads, blob_hash)? {
        Some(row) => row[table.at("status")] != Value::text("approved"),
        None => is_nsfw_place,
    })
}

/// Puts a picture into the queue; one that is there already stays as it is. Answers with its row.
pub(crate) fn flag(transaction: &Transaction, service: &Caller, flagged: Flagged) -> Result<Row, StoreError> {
    let table = schema().known("storage.reviewed_pictures");
    if let Some(known) = find(&transaction.reads(), &flagged.blob_hash)? {
        return Ok(known);
    }
    let mut row = table.default_row();
    let uuid = |id: Option<Uuid>| id.map_or(Value::Null, Value::Uuid);
    let shown_as = flagged.shown_as.map_or_else(|| row[table.at("id")].clone(), Value::Uuid);
    let mut set = |column: &str, value: Value| row[table.at(column)] = value;
    set("shown_as", shown_as);
    set("blob_hash", Value::Text(flagged.blob_hash));
    set("reason", Value::text(flagged.reason.name()));
    set("path", Value::Text(flagged.path));
    set("user_id", uuid(flagged.user_id));
    set("job_id", uuid(flagged.job_id));
    set("image_id", uuid(flagged.image_id));
    transaction.insert(service, table, row)
}

/// What is known of a picture's bytes stays when its account goes; where its file lay names the account.
pub(crate) fn before_write(event: &Event, new: &mut Row) {
    let [user, path] = ["user_id", "path"].map(|column| event.table.at(column));
    if event.old.is_some_and(|old| !old[user].is_null()) && new[user].is_null() {
        new[path] = Value::text("");
    }
}

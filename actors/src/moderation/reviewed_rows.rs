//! The documents' columns of `jobs` and `images` and the queue of pictures say the same, whichever is written.

use models::{Row, TableInfo, Value, schema};
use store::{Caller, Event, StoreError, Transaction};

/// Statuses that a review ends with.
pub(crate) const REVIEWED: [&str; 2] = ["approved", "rejected"];

/// A status that a review gives says when and by whom, unless the writer does.
pub(crate) fn before_write(
    transaction: &Transaction,
    event: &Event,
    new: &mut Row,
) -> Result<(), StoreError> {
    let table = event.table;
    let [status, at, by] = ["moderation_status", "reviewed_at", "reviewed_by"].map(|column| table.at(column));
    let Some(old) = event.old.filter(|old| old[status] != new[status]) else { return Ok(()) };
    if !new[status].as_str().is_some_and(|status| REVIEWED.contains(&status)) {
        return Ok(());
    }
    if new[at] == old[at] {
        new[at] = Value::now();
    }
    if let Some(user) = event.claims.user_id.filter(|_| new[by] == old[by]) {
        let profiles = schema().known("profiles");
        if transaction.reads().get(profiles, &[Value::Uuid(user)])?.is_some() {
            new[by] = Value::Uuid(user);
        }
    }
    Ok(())
}

/// The pictures of a job or of a row of `images` follow its status.
pub(crate) fn after_write(
    transaction: &Transaction,
    event: &Event,
    new: Option<&Row>,
) -> Result<(), StoreError> {
    let (table, pictures) = (event.table, schema().known("storage.reviewed_pictures"));
    let status = table.at("moderation_status");
    let (Some(old), Some(new)) = (event.old, new) else { return Ok(()) };
    let given = new[status].as_str().unwrap_or("pending");
    // Other words say nothing of what may be shown; the documents have no list of them for images.
    if old[status] == new[status] || !(given == "flagged" || REVIEWED.contains(&given)) {
        return Ok(());
    }
    let is_job = table.name() == "jobs";
    let column = pictures.at(if is_job { "job_id" } else { "image_id" });
    let found = transaction.reads().referring(pictures, column, &new[table.at("id")])?;
    // What the pictures say together is theirs already.
    if is_job && together(pictures, &found) == Some(given) {
        return Ok(());
    }
    let service = event.claims.elevated();
    let service = Caller::new(&service);
    for shown in found {
        // Thumbnails have no row in `images`, and follow their picture.
        for picture in
            transaction.reads().referring(pictures, pictures.at("shown_as"), &shown[pictures.at("id")])?
        {
            if picture[pictures.at("status")] == new[status] {
                continue;
            }
            let mut row = picture.clone();
            row[pictures.at("status")] = new[status].clone();
            for column in ["reviewed_at", "reviewed_by", "review_notes"] {
                row[pictures.at(column)] = new[table.at(column)].clone();
            }
            transaction.update(&service, pictures, &picture, row)?;
        }
    }
    Ok(())
}

/// What a job is whose pictures are these: flagged while one waits, rejected if one is, else approved.
pub(crate) fn together(pictures: &TableInfo, rows: &[Row]) -> Option<&'static str> {
    let any = |status: &str| rows.iter().any(|row| row[pictures.at("status")].as_str() == Some(status));
    ["flagged", "rejected", "approved"].into_iter().find(|status| any(status))
}

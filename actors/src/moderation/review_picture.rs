//! An administrator says whether a picture may be shown in public places.

use models::{Aggregate, Row, Value, schema};
use store::{Caller, Transaction};
use uuid::Uuid;

use super::reviewed_rows::together;
use crate::aggregate::Decision;
use crate::refusal::Refusal;

/// Ends the review of a picture, with its thumbnail; a review may be changed later.
#[derive(Debug)]
pub struct ReviewPicture {
    /// The row of `storage.reviewed_pictures`.
    pub id: Uuid,
    /// Whether it may be shown.
    pub is_approved: bool,
    /// What is to be remembered of it.
    pub notes: Option<String>,
}

impl Decision for ReviewPicture {
    /// The row as it is now; `None` where there is none.
    type Answer = Option<Row>;

    fn owner(&self) -> Aggregate {
        Aggregate::File
    }

    fn decide(self, transaction: &Transaction) -> Result<Option<Row>, Refusal> {
        let caller = Caller::new(transaction.claims);
        if !transaction.claims.is_service() && !caller.is_admin(&transaction.reads())? {
            return Err(Refusal::raised("42501", "only administrators review pictures"));
        }
        let service = transaction.claims.elevated();
        let service = Caller::new(&service);
        let [pictures, images, jobs] =
            ["storage.reviewed_pictures", "images", "jobs"].map(|name| schema().known(name));
        let Some(shown) = transaction.reads().get(pictures, &[Value::Uuid(self.id)])? else {
            return Ok(None);
        };
        let status = Value::text(if self.is_approved { "approved" } else { "rejected" });
        let by = match transaction.claims.user_id.map(Value::Uuid) {
            Some(user) => {
                let profile =
                    transaction.reads().get(schema().known("profiles"), std::slice::from_ref(&user))?;
                profile.map_or(Value::Null, |_| user)
            }
            None => Value::Null,
        };
        let values = [
            ("reviewed_at", Value::now()),
            ("reviewed_by", by),
            ("review_notes", self.notes.map_or(Value::Null, Value::Text)),
        ];
        let set = |table: &models::TableInfo, row: &Row, column: &str, status: Value| {
            let mut row = row.clone();
            values.iter().for_each(|(name, value)| row[table.at(name)] = value.clone());
            row[table.at(column)] = status;
            row
        };
        let mut answer = None;
        let shown_as = shown[pictures.at("shown_as")].clone();
        for picture in transaction.reads().referring(pictures, pictures.at("shown_as"), &shown_as)? {
            let row = set(pictures, &picture, "status", status.clone());
            let row = transaction.update(&service, pictures, &picture, row)?;
            if row[pictures.at("id")] == shown_as {
                answer = Some(row);
            }
        }
        let row_of = |table, column: &str| match &shown[pictures.at(column)] {
            Value::Null => Ok(None),
            id => transaction.reads().get(table, std::slice::from_ref(id)),
        };
        if let Some(image) = row_of(images, "image_id")? {
            let row = set(images, &image, "moderation_status", status);
            transaction.update(&service, images, &image, row)?;
        }
        if let Some(job) = row_of(jobs, "job_id")? {
            let all = transaction.reads().referring(pictures, pictures.at("job_id"), &job[jobs.at("id")])?;
            if let Some(status) = together(pictures, &all) {
                let row = set(jobs, &job, "moderation_status", Value::text(status));
                transaction.update(&service, jobs, &job, row)?;
            }
        }
        Ok(answer.or(Some(shown)))
    }
}

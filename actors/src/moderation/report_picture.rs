//! An account reports the picture of a character.

use models::{Aggregate, Row, Value, schema};
use store::{Caller, Transaction};
use uuid::Uuid;

use super::{Flagged, flag};
use crate::aggregate::Decision;
use crate::refusal::Refusal;

/// Keeps a report. A picture that no one has looked at is held back from now on; one that was approved stays.
#[derive(Debug)]
pub struct ReportPicture {
    /// The picture.
    pub picture: Flagged,
    /// Who reports it.
    pub user_id: Uuid,
    /// Where it was seen.
    pub character_id: Uuid,
    /// Why.
    pub reason: String,
}

impl Decision for ReportPicture {
    /// The picture's row.
    type Answer = Row;

    fn owner(&self) -> Aggregate {
        Aggregate::File
    }

    fn decide(self, transaction: &Transaction) -> Result<Row, Refusal> {
        let service = transaction.claims.elevated();
        let service = Caller::new(&service);
        let (reports, images, jobs) =
            (schema().known("storage.picture_reports"), schema().known("images"), schema().known("jobs"));
        let pictures = schema().known("storage.reviewed_pictures");
        let picture = flag(transaction, &service, self.picture)?;
        let mut report = reports.default_row();
        report[reports.at("picture_id")] = picture[pictures.at("shown_as")].clone();
        report[reports.at("user_id")] = Value::Uuid(self.user_id);
        report[reports.at("character_id")] = Value::Uuid(self.character_id);
        report[reports.at("reason")] = Value::Text(self.reason);
        let key = [reports.at("picture_id"), reports.at("user_id")];
        match transaction.conflicting(reports, &key, &report)? {
            // The newest word of an account counts.
            Some(old) => {
                report[reports.at("id")] = old[reports.at("id")].clone();
                transaction.update(&service, reports, &old, report)?;
            }
            None => drop(transaction.insert(&service, reports, report)?),
        }
        // What was drawn here says so in its own row.
        for (table, column) in [(images, "image_id"), (jobs, "job_id")] {
            let id = &picture[pictures.at(column)];
            let row =
                if id.is_null() { None } else { transaction.reads().get(table, std::slice::from_ref(id))? };
            let status = table.at("moderation_status");
            if let Some(old) = row.filter(|row| row[status] == Value::text("pending"))
                && picture[pictures.at("status")] == Value::text("flagged")
            {
                let mut row = old.clone();
                row[status] = Value::text("flagged");
                transaction.update(&service, table, &old, row)?;
            }
        }
        Ok(picture)
    }
}

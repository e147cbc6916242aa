//! Who may join a private topic of realtime: the policies of the row that it is named after.

use models::{Command, Value, schema};
use store::{Caller, guard};
use uuid::Uuid;

use crate::context::Context;
use crate::error::ServiceError;

/// What a caller may do in a private topic.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TopicAccess {
    /// Hear what is said there.
    pub read: bool,
    /// Say something.
    pub write: bool,
    /// The job whose steps are shown there.
    pub job: Option<Uuid>,
}

/// What a caller may do in the private topic `name`: `<table>:<id>`, or that with `:` and more. A caller who may select the
/// row may listen, and one who may update it may speak. The topic of a job is its owner's, and the server's alone to
/// speak in. Topics of other names are the service's.
pub fn access(context: &Context, name: &str) -> Result<TopicAccess, ServiceError> {
    let is_service = context.claims.is_service();
    let service = TopicAccess { read: is_service, write: is_service, job: None };
    let mut parts = name.splitn(3, ':');
    let (Some(table), Some(id)) = (parts.next(), parts.next()) else { return Ok(service) };
    let is_whole = parts.next().is_none();
    let table = schema().table(table).filter(|info| {
        info.table.schema == "public" && info.name() == table && info.table.primary_key == ["id"]
    });
    // Another spelling of an id would be another topic.
    let id = Uuid::parse_str(id).ok().filter(|uuid| uuid.to_string() == id);
    let (Some(table), Some(id)) = (table, id) else { return Ok(service) };
    let reads = context.services.actors.store().reads();
    let Some(row) = reads.get(table, &[Value::Uuid(id)])? else { return Ok(service) };
    if table.name() == "jobs" {
        let owner = row[table.at("user_id")].as_uuid();
        let read = is_service || (owner.is_some() && owner == context.claims.user_id);
        let steps = read && is_whole;
        return Ok(TopicAccess { read, write: is_service, job: steps.then_some(id) });
    }
    let caller = Caller::new(&context.claims);
    let read = guard::allows(&reads, &caller, table, Command::Select, &row)?;
    let write = read && guard::allows(&reads, &caller, table, Command::Update, &row)?;
    Ok(TopicAccess { read, write, job: None })
}

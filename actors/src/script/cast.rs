//! Who appears in a script: `character_ids`, which no foreign key can hold together.

use models::{Claims, Command, Row, TableInfo, Value, schema};
use store::query::{Field, Filter, Limits, Operator, Query, Reader, Test};
use store::{Caller, StoreError, Transaction, guard};

/// Scripts that one pass reads; the passes go on until none is left.
const BATCH: u64 = 100;

/// Refuses a character that does not exist or that the script's owner may not see: the same words for both.
pub(crate) fn check(transaction: &Transaction, table: &TableInfo, row: &Row) -> Result<(), StoreError> {
    let Value::UuidArray(ids) = &row[table.at("character_ids")] else { return Ok(()) };
    let refused = |place: usize, shown: String| {
        let reason = "there is no such character that the script's owner may see";
        StoreError::raised("22023", format!("character_ids[{place}]: {shown}: {reason}"))
    };
    let owner = row[table.at("user_id")].as_uuid().map_or_else(Claims::anonymous, Claims::user);
    let caller = Caller::new(&owner);
    let characters = schema().known("characters");
    let reads = transaction.reads();
    for (place, id) in ids.iter().enumerate() {
        let Some(id) = id else { return Err(refused(place, "null".into())) };
        let character = reads.get(characters, &[Value::Uuid(*id)])?;
        let is_seen = match &character {
            Some(row) => guard::allows(&reads, &caller, characters, Command::Select, row)?,
            None => false,
        };
        if !is_seen {
            return Err(refused(place, id.to_string()));
        }
    }
    Ok(())
}

/// Takes a character that goes out of every script.
pub(crate) fn forget(transaction: &Transaction, character: &Value) -> Result<(), StoreError> {
    let Some(character) = character.as_uuid() else { return Ok(()) };
    let table = schema().known("scripts");
    let column = table.at("character_ids");
    let service = transaction.claims.elevated();
    let service = Caller::new(&service);
    let test = Test {
        field: Field::column(column),
        operator: Operator::Contains(Value::UuidArray(vec![Some(character)])),
    };
    let query = Query::all(table.id).filter(Filter::Test(test)).limit(BATCH);
    loop {
        let reader = Reader::new(transaction.reads(), &service, Limits::default());
        let scripts = reader.select(&query, false)?.rows;
        let is_last = (scripts.len() as u64) < BATCH;
        for script in scripts {
            let mut left = script.clone();
            if let Value::UuidArray(ids) = &mut left[column] {
                ids.retain(|id| *id != Some(character));
            }
            transaction.update(&service, table, &script, left)?;
        }
        if is_last {
            return Ok(());
        }
    }
}

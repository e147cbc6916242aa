//! Files that were drawn of a minor are known by their bytes from the commit that keeps them.

use models::{Value, schema};
use store::{Caller, Reads, StoreError, Transaction};

/// Whether a file with these bytes was drawn of a minor.
pub(crate) fn is_known(reads: &Reads, blob_hash: &str) -> Result<bool, StoreError> {
    let table = schema().known("storage.pictures_of_minors");
    Ok(!reads.referring(table, table.at("blob_hash"), &Value::text(blob_hash))?.is_empty())
}

/// Notes that a file with these bytes was.
pub(crate) fn note(transaction: &Transaction, blob_hash: &str) -> Result<(), StoreError> {
    if blob_hash.is_empty() || is_known(&transaction.reads(), blob_hash)? {
        return Ok(());
    }
    let table = schema().known("storage.pictures_of_minors");
    let mut row = table.default_row();
    row[table.at("blob_hash")] = Value::text(blob_hash);
    let service = transaction.claims.elevated();
    transaction.insert(&Caller::new(&service), table, row).map(|_| ())
}

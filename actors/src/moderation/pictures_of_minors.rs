//! Files that were drawn of a minor are known by their bytes from the commit that keeps them.

use models::{Value, schema};
use store::{Caller, Reads, StoreError, Transaction};

/// Whether a file with these bytes was drawn of a minor.
pub(crate) fn is_known(reads: &Reads, blob_hash: &str) -> Result<bool, StoreError> {
    let table = schema().known("storage.pictures_of_minors");
    Ok(!reads.referring(table, table.at("blob_hash"), &Value::text(blob_hash))?.is_empty())
}

/// Notes a file that was made of others, where one of these was drawn of a minor; all by the hashes of their bytes.
pub(crate) fn pass_on<'p>(
    transaction: &Transaction,
    parts: impl IntoIterator<Item = &'p str>,
    blob_hash: &str,
) -> Result<(), StoreError> {
    for part in parts {
        if is_known(&transaction.reads(), part)? {
            return note(transaction, blob_hash);
        }
    }
    Ok(())
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

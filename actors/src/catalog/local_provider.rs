//! Providers that are this server or helpers of it, which calls name although no administrator added them.

use models::{Row, Value, schema};
use store::{Caller, StoreError, Transaction};

/// This server.
pub const LOCAL: &str = "local";
/// Workers elsewhere that take jobs of this server.
pub const WORKERS: &str = "workers";

/// The provider's row by its name; a new one, which is not active, where there is none.
pub(crate) fn provider_row(
    transaction: &Transaction,
    service: &Caller,
    name: &str,
) -> Result<Row, StoreError> {
    let providers = schema().known("api_providers");
    let mut row = providers.default_row();
    row[providers.at("name")] = Value::text(name);
    if let Some(known) = transaction.conflicting(providers, &[providers.at("name")], &row)? {
        return Ok(known);
    }
    let shown = match name {
        LOCAL => "This server",
        WORKERS => "Workers",
        other => other,
    };
    row[providers.at("display_name")] = Value::text(shown);
    row[providers.at("is_active")] = Value::Bool(false);
    transaction.insert(service, providers, row)
}

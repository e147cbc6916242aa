//! An identity at a provider of accounts, as its token says it.

use models::{Row, TableInfo, Value, schema};
use serde_json::{Map, Value as Json, json};
use store::query::{Limits, Query, Reader};
use store::{Caller, Transaction};

use crate::refusal::Refusal;

/// Who a person is at a provider.
#[derive(Clone, Debug)]
pub struct ProviderIdentity {
    /// The provider's name.
    pub provider: String,
    /// The identity's name there, which never changes.
    pub subject: String,
    /// The address, in lower case, if the provider has verified one.
    pub verified_email: Option<String>,
    /// What the provider says of the person.
    pub data: Map<String, Json>,
}

impl ProviderIdentity {
    /// Its row, if it is known here.
    pub(crate) fn find(
        &self,
        transaction: &Transaction,
        service: &Caller,
        identities: &TableInfo,
    ) -> Result<Option<Row>, Refusal> {
        let reader = Reader::new(transaction.reads(), service, Limits::default());
        let query = Query::all(identities.id)
            .equal("provider", Value::text(&self.provider))
            .equal("provider_id", Value::text(&self.subject));
        Ok(reader.select(&query, false)?.rows.pop())
    }

    /// Its document.
    pub(crate) fn document(&self) -> Value {
        let mut data = self.data.clone();
        data.insert("sub".into(), json!(self.subject));
        data.insert("provider_id".into(), json!(self.subject));
        if let Some(address) = &self.verified_email {
            data.insert("email".into(), json!(address));
        }
        data.insert("email_verified".into(), json!(self.verified_email.is_some()));
        data.insert("phone_verified".into(), json!(false));
        Value::json(&Json::Object(data))
    }

    /// Makes it a way of signing in to an account.
    pub(crate) fn add(
        &self,
        transaction: &Transaction,
        service: &Caller,
        user: Value,
    ) -> Result<(), Refusal> {
        let identities = schema().known("auth.identities");
        let mut row = identities.default_row();
        let mut set = |column: &str, value: Value| row[identities.at(column)] = value;
        set("user_id", user);
        set("provider", Value::text(&self.provider));
        set("provider_id", Value::text(&self.subject));
        set("identity_data", self.document());
        set("last_sign_in_at", Value::now());
        transaction.insert(service, identities, row)?;
        Ok(())
    }

    /// What operators know of an account, which may be signed in to with the provider too from now on.
    pub(crate) fn with_provider(&self, known: &Value) -> Value {
        with_provider(known, &self.provider)
    }
}

/// `app_metadata` of an account that may be signed in to with `provider` too: the first one stays `provider`.
pub(crate) fn with_provider(known: &Value, provider: &str) -> Value {
    let mut known = match known.as_json() {
        Some(Json::Object(known)) => known,
        _ => Map::new(),
    };
    let mut providers = known.get("providers").and_then(Json::as_array).cloned().unwrap_or_default();
    let own = json!(provider);
    if !providers.contains(&own) {
        providers.push(own.clone());
    }
    known.entry("provider").or_insert(own);
    known.insert("providers".into(), Json::Array(providers));
    Value::json(&Json::Object(known))
}

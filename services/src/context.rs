//! Who asks, and what they may reach.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use actors::{Decision, Refusal};
use models::{Claims, schema};
use serde_json::Value as Json;
use store::Caller;
use store::query::{Limits, Query, Reader, Rows};
use uuid::Uuid;

use crate::Services;
use crate::error::{Kind, ServiceError};

/// Who asks, and what they may reach.
#[derive(Clone, Debug)]
pub struct Context {
    /// What use cases reach.
    pub services: Services,
    /// Who asks.
    pub claims: Claims,
    /// Whether something ran as `sfw` that was asked to be `nsfw`; its answer says so.
    pub lowered: Lowered,
}

/// Whether a request ran as `sfw` in place of `nsfw`. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Lowered(Arc<AtomicBool>);

impl Lowered {
    /// It did.
    pub(crate) fn note(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether it did.
    pub fn is_noted(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

impl Context {
    /// The context of one request.
    pub fn new(services: Services, claims: Claims) -> Context {
        Context { services, claims, lowered: Lowered::default() }
    }

    /// Sends a decision under the caller's own rights.
    pub async fn ask<D: Decision>(&self, decision: D) -> Result<D::Answer, Refusal> {
        self.services.actors.ask(&self.claims, decision).await
    }

    /// Sends a decision with the server's rights: the use case has checked what the caller may do.
    pub async fn ask_elevated<D: Decision>(&self, decision: D) -> Result<D::Answer, Refusal> {
        self.services.actors.ask(&self.elevated(), decision).await
    }

    /// The signed-in account.
    pub fn user(&self) -> Result<Uuid, ServiceError> {
        let missing = || ServiceError::new(Kind::Unauthorized, "sign in to call this function");
        self.claims.user_id.ok_or_else(missing)
    }

    /// Whether an administrator or the service asks.
    pub fn is_admin(&self) -> Result<bool, ServiceError> {
        let reads = self.services.actors.store().reads();
        Ok(self.claims.is_service() || Caller::new(&self.claims).is_admin(&reads)?)
    }

    /// Whether the caller may have `nsfw`: administrators and age-verified adults.
    pub fn may_have_nsfw(&self) -> Result<bool, ServiceError> {
        let reads = self.services.actors.store().reads();
        Ok(self.is_admin()? || Caller::new(&self.claims).is_age_verified(&reads)?)
    }

    /// The server's rights under the caller's request id.
    pub fn elevated(&self) -> Claims {
        self.claims.elevated()
    }

    /// Rows as JSON objects, read with the server's rights: the use case checks ownership itself.
    pub async fn rows(&self, query: Query) -> Result<Vec<Json>, ServiceError> {
        let (store, claims) = (self.services.actors.store().clone(), self.elevated());
        let task = tokio::task::spawn_blocking(move || {
            let caller = Caller::new(&claims);
            Reader::new(store.reads(), &caller, Limits::default()).select(&query, false).map(objects)
        });
        match task.await {
            Ok(rows) => Ok(rows?),
            Err(_) => Err(ServiceError::new(Kind::Internal, "the read failed unexpectedly")),
        }
    }

    /// One row by its primary key, as JSON, with the server's rights.
    pub async fn row(&self, table: &'static str, id: Uuid) -> Result<Option<Json>, ServiceError> {
        let query = Query::all(schema().known(table).id).equal("id", models::Value::Uuid(id)).limit(1);
        Ok(self.rows(query).await?.into_iter().next())
    }
}

fn objects(rows: Rows) -> Vec<Json> {
    let mut text = String::new();
    rows.write_json(&mut text);
    serde_json::from_str(&text).unwrap_or_default()
}

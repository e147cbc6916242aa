//! What providers have left: asked of those that say how, and kept in `api_provider_balances`.

use std::time::Duration;

use actors::catalog::local_provider::{LOCAL, WORKERS};
use actors::catalog::provider_key::provider_key;
use models::Value;
use rust_decimal::Decimal;
use serde_json::{Value as Json, json};
use store::query::Query;
use uuid::Uuid;

use crate::context::Context;
use crate::error::ServiceError;
use crate::ids::uuid;
use crate::rows::{self, position};

/// Longest wait for a provider.
const TIMEOUT: Duration = Duration::from_secs(15);
/// Largest answer, in bytes.
const ANSWER_BYTES_MAX: usize = 256 << 10;
/// Providers that are asked.
const PROVIDERS_MAX: u64 = 100;

/// Where a provider says what is left, and at which places of its answer.
struct Balance {
    path: String,
    /// What is left, or what there was before anything was used.
    total: String,
    used: Option<String>,
}

impl Balance {
    /// What `rate_limits.balance` of a row says; OpenRouter's is known.
    fn of(provider: &Json) -> Option<Balance> {
        let said = &provider["rate_limits"]["balance"];
        let text = |name: &str| said[name].as_str().map(str::to_string);
        if let (Some(path), Some(total)) = (text("path"), text("total")) {
            return Some(Balance { path, total, used: text("used") });
        }
        (provider["name"] == "openrouter").then(|| Balance {
            path: "/credits".into(),
            total: "/data/total_credits".into(),
            used: Some("/data/total_usage".into()),
        })
    }
}

/// Asks every active provider; answers with what is known of each. One that cannot be asked keeps its balance, and says why.
pub async fn sync(context: &Context) -> Result<Vec<Json>, ServiceError> {
    let active = Query::all(position("api_providers"))
        .equal("is_active", Value::Bool(true))
        .order("name", false)
        .limit(PROVIDERS_MAX);
    let mut results = Vec::new();
    for provider in context.rows(active).await? {
        let name = provider["name"].as_str().unwrap_or_default().to_string();
        if [LOCAL, WORKERS].contains(&name.as_str()) {
            continue;
        }
        let Some(id) = uuid(&provider["id"]) else { continue };
        let asked = ask(&provider).await;
        keep(context, id, &asked).await?;
        let shown = |amount: &Decimal| models::convert::to_json(&Value::Numeric(amount.normalize()));
        results.push(match &asked {
            Ok(left) => {
                json!({"provider": name, "provider_id": id, "success": true, "balance_usd": shown(left)})
            }
            Err(reason) => json!({"provider": name, "provider_id": id, "success": false, "error": reason}),
        });
    }
    Ok(results)
}

async fn ask(provider: &Json) -> Result<Decimal, String> {
    let balance = Balance::of(provider).ok_or(
        "it is not known where the provider says what is left: set rate_limits.balance to {path, total, used} with JSON \
         pointers",
    )?;
    let base =
        provider["base_url"].as_str().filter(|url| !url.is_empty()).ok_or("the provider has no base_url")?;
    let name = provider["secret_name"].as_str().filter(|name| !name.is_empty());
    let client = language::http_client().build().map_err(|error| error.to_string())?;
    let path = balance.path.trim_start_matches('/');
    let mut request = client.get(format!("{}/{path}", base.trim_end_matches('/'))).timeout(TIMEOUT);
    if let Some(name) = name {
        let key = provider_key(name).map_err(|reason| reason.to_string())?;
        let scheme = if provider["name"] == "fal" { "Key" } else { "Bearer" };
        request = request.header("authorization", format!("{scheme} {key}"));
    }
    let mut response = request.send().await.map_err(|_| "the provider cannot be reached")?;
    let status = response.status();
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|_| "the provider broke its answer off")? {
        if bytes.len() + chunk.len() > ANSWER_BYTES_MAX {
            return Err("the provider's answer is too long".into());
        }
        bytes.extend_from_slice(&chunk);
    }
    if !status.is_success() {
        return Err(format!("the provider answered {}", status.as_u16()));
    }
    let answer: Json = serde_json::from_slice(&bytes).map_err(|_| "the provider's answer is not JSON")?;
    let amount = |pointer: &str| {
        let value = answer.pointer(pointer)?;
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_string);
        text.trim().parse::<Decimal>().ok()
    };
    let total =
        amount(&balance.total).ok_or_else(|| format!("the answer has no amount at {}", balance.total))?;
    let used = match &balance.used {
        Some(pointer) => amount(pointer).ok_or_else(|| format!("the answer has no amount at {pointer}"))?,
        None => Decimal::ZERO,
    };
    Ok(total.saturating_sub(used))
}

async fn keep(
    context: &Context,
    provider: Uuid,
    asked: &Result<Decimal, String>,
) -> Result<(), ServiceError> {
    let of_provider =
        Query::all(position("api_provider_balances")).equal("provider_id", Value::Uuid(provider)).limit(1);
    let known = context.rows(of_provider).await?.first().and_then(|row| uuid(&row["id"]));
    let mut values = match asked {
        Ok(left) => vec![
            ("balance_usd", Value::Numeric(*left)),
            ("last_synced_at", Value::now()),
            ("sync_status", Value::text("success")),
            ("sync_error", Value::Null),
        ],
        Err(reason) => {
            vec![("sync_status", Value::text("failed")), ("sync_error", Value::text(reason.as_str()))]
        }
    };
    values.push(("sync_method", Value::text("api")));
    values.push(("updated_at", Value::now()));
    match known {
        Some(id) => rows::update(context, "api_provider_balances", id, values).await,
        None => {
            values.push(("provider_id", Value::Uuid(provider)));
            rows::insert(context, "api_provider_balances", values).await.map(|_| ())
        }
    }
}

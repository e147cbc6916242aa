//! Accounts, as the operator sees them.

use std::collections::HashMap;

use models::value_words::is_none_of;
use playhouse::config::Config;
use serde_json::{Value as Json, json};

use super::output::print;
use super::running::{ask, get, with_server};

/// Accounts of one answer.
const PAGE: usize = 1000;

/// Creates a confirmed account.
pub(super) async fn create(
    config: Config,
    email: String,
    password: String,
    role: Option<String>,
) -> Result<(), String> {
    if let Some(role) = &role {
        // Before the account is made: it would stay behind without its role.
        let roles = models::schema().known("user_roles");
        let kind = roles.kind(roles.at("role"));
        models::convert::from_text(kind, role).map_err(|error| match kind {
            models::ColumnType::Enum(known) => format!("--role: {}", is_none_of(role, known.values)),
            _ => error.to_string(),
        })?;
    }
    let account = json!({"email": email, "password": password, "email_confirm": true});
    let user = with_server(&config, async {
        let user = present(ask(&config, "/auth/v1/admin/users", &account).await?)?;
        if let Some(role) = role {
            present(
                ask(&config, "/rest/v1/user_roles", &json!({"user_id": user["id"], "role": role})).await?,
            )?;
        }
        Ok(user)
    });
    let user = user.await?;
    print(&json!({"id": user["id"], "email": user["email"]}))
}

/// Prints all accounts, in the order in which they were made, with their roles.
pub(super) async fn list(config: Config) -> Result<(), String> {
    let (accounts, roles) = with_server(&config, async {
        let mut accounts: Vec<Json> = Vec::new();
        loop {
            let page = accounts.len() / PAGE + 1;
            let path = format!("/auth/v1/admin/users?page={page}&per_page={PAGE}");
            let answer = present(get(&config, &path).await?)?;
            let found = answer["users"].as_array().cloned().unwrap_or_default();
            let is_last = found.len() < PAGE;
            accounts.extend(found);
            if is_last {
                break;
            }
        }
        let mut roles: HashMap<String, Vec<Json>> = HashMap::new();
        let mut offset = 0;
        loop {
            let path =
                format!("/rest/v1/user_roles?select=id,user_id,role&order=id&limit=500&offset={offset}");
            let answer = present(get(&config, &path).await?)?;
            let found = answer.as_array().cloned().unwrap_or_default();
            for row in &found {
                let of = row["user_id"].as_str().unwrap_or_default();
                roles.entry(of.to_string()).or_default().push(row["role"].clone());
            }
            offset += found.len();
            if found.is_empty() {
                return Ok((accounts, roles));
            }
        }
    })
    .await?;
    let mut listed: Vec<Json> = accounts
        .iter()
        .map(|account| {
            let mut roles = roles.get(account["id"].as_str().unwrap_or_default()).cloned().unwrap_or_default();
            roles.sort_by_key(|role| role.to_string());
            json!({
                "id": account["id"], "email": account["email"], "roles": roles, "created_at": account["created_at"],
                "last_sign_in_at": account["last_sign_in_at"], "banned_until": account["banned_until"],
            })
        })
        .collect();
    listed.sort_by_key(|account| account["created_at"].as_str().unwrap_or_default().to_string());
    print(&Json::Array(listed))
}

fn present(answer: Option<Json>) -> Result<Json, String> {
    answer.ok_or_else(|| "the server stopped meanwhile".into())
}

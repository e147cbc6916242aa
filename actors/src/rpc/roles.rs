//! Roles of accounts.

use models::{Value, schema};
use serde_json::Value as Json;
use store::{Caller, Reads, guard};

use crate::refusal::Refusal;

/// Whether an account has a role.
pub(super) fn has_role(reads: Reads<'_>, _: &Caller<'_>, arguments: &[Value]) -> Result<Json, Refusal> {
    let (Some(user), Some(role)) = (arguments[0].as_uuid(), arguments[1].as_str()) else {
        return Ok(Json::Bool(false));
    };
    Ok(Json::Bool(guard::has_role(&reads, user, role)?))
}

/// The priority of an account's strongest role; 0 without any.
pub(super) fn get_user_role_priority(
    reads: Reads<'_>,
    _: &Caller<'_>,
    arguments: &[Value],
) -> Result<Json, Refusal> {
    if arguments[0].is_null() {
        return Ok(Json::from(0));
    }
    let roles = schema().known("user_roles");
    let held = reads.referring(roles, roles.at("user_id"), &arguments[0])?;
    let highest = held.iter().filter_map(|row| row[roles.at("role")].as_str()).map(priority).max();
    Ok(Json::from(highest.unwrap_or(0)))
}

fn priority(role: &str) -> i32 {
    match role {
        "admin" => 100,
        "moderator" => 80,
        "premium_user" => 60,
        "basic_user" => 40,
        "guest" => 20,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_declared_role_ranks_below_the_one_before() {
        let ranks: Vec<i32> = models::value::APP_ROLE.values.iter().map(|role| priority(role)).collect();
        assert_eq!(ranks, [100, 80, 60, 40, 20]);
        assert_eq!(priority("nobody"), 0);
    }
}

//! What a row must hold so that the policies of its table let its writer write it, where that can be told from the rule.

use models::policy::{Rule, parse};
use models::{Claims, schema};

/// A hint for a writer whose row a policy of the table refused.
pub(super) fn hint(table: &str, claims: &Claims) -> Option<String> {
    let table = schema().table(table)?.table;
    let rule = parse(table.policies.insert).ok()?;
    if claims.user_id.is_none() {
        return Some("sign in: the policies of this table look at the account that writes".into());
    }
    let mut conditions = Vec::new();
    collect(&rule, &mut conditions);
    conditions.dedup();
    match conditions.as_slice() {
        [] => None,
        conditions => Some(format!("the policies of this table check that {}", conditions.join(", or "))),
    }
}

fn collect(rule: &Rule, conditions: &mut Vec<String>) {
    match rule {
        Rule::Or(rules) | Rule::And(rules) => rules.iter().for_each(|rule| collect(rule, conditions)),
        Rule::Owner(column) => conditions.push(format!("{column} is the id of the account that writes")),
        Rule::Folder(column) => {
            conditions.push(format!("{column} begins with the id of the account that writes and a slash"));
        }
        Rule::Via { steps, .. } => {
            if let Some((column, table)) = steps.first() {
                conditions
                    .push(format!("{column} names a row of {table} that belongs to the account that writes"));
            }
        }
        Rule::AgeVerified => conditions.push("the account's age is verified".into()),
        Rule::Admin => conditions.push("the account has the role admin".into()),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_column_that_a_policy_checks_is_named() {
        let account = Claims::user(uuid::Uuid::from_u128(1));
        let words = hint("projects", &account).expect("a hint");
        assert!(words.contains("user_id is the id of the account"), "{words}");
        assert!(hint("projects", &Claims::anonymous()).is_some_and(|words| words.starts_with("sign in")));
        // Every rule reads, so that none of the hints is left out for that.
        for table in models::TABLES {
            assert!(parse(table.policies.insert).is_ok(), "{}", table.name);
        }
    }
}

//! What a row must hold so that the policies of its table let its writer write it, where that can be told from the rule.

use models::policy::{Rule, parse};
use models::{Claims, Command, Table, schema};

/// What a rule comes to, for those whom policies bind.
enum Need {
    /// No account meets it.
    Nothing,
    /// Accounts meet it, or some of them.
    Account {
        /// What must hold.
        words: String,
        /// Whether it is one of several that stand beside each other.
        is_choice: bool,
        /// Whether it takes an administrator.
        is_admins: bool,
    },
}

/// A hint for a writer whom a policy of the table refused; `None` where nothing can be said that is true.
pub(super) fn hint(table: &str, command: Command, claims: &Claims) -> Option<String> {
    let table = schema().table(table)?.table;
    if command == Command::Select {
        let words =
            "the account may not read what it writes here: Prefer: return=minimal asks for no row back";
        return claims.user_id.map(|_| words.into());
    }
    match need(&parse(rule_of(table, command)?).ok()?, command)? {
        Need::Nothing => None,
        Need::Account { is_admins: false, .. } if claims.user_id.is_none() => {
            Some("sign in: the policies of this table look at the account that writes".into())
        }
        Need::Account { words, .. } => Some(format!("the policies of this table check that {words}")),
    }
}

fn rule_of(table: &Table, command: Command) -> Option<&'static str> {
    match command {
        Command::Select => None,
        Command::Insert => Some(table.policies.insert),
        Command::Update => Some(table.policies.update),
        Command::Delete => Some(table.policies.delete),
    }
}

fn need(rule: &Rule, command: Command) -> Option<Need> {
    let one = |words: String| Some(Need::Account { words, is_choice: false, is_admins: false });
    match rule {
        Rule::Or(rules) => any(rules, command),
        Rule::And(rules) => all(rules, command),
        Rule::Not(inner) => match &**inner {
            Rule::IsTrue(column) => one(format!("{column} is false")),
            Rule::Null(column) => one(format!("{column} is set")),
            Rule::Equals(column, text) => one(format!("{column} is not '{text}'")),
            _ => None,
        },
        Rule::Owner(column) => one(format!("{column} is the id of the account that writes")),
        Rule::Folder(column) => {
            one(format!("{column} begins with the id of the account that writes and a slash"))
        }
        Rule::Via { steps, owner } => {
            let (column, table) = steps.first()?;
            // A chain that ends in a table goes on with that table's own rule.
            let fate = match (owner, command) {
                (Some(_), _) => "belongs to the account that writes",
                (None, Command::Delete) => "the account may delete",
                (None, _) => "the account may change",
            };
            let that = if owner.is_some() || steps.len() == 1 { "that" } else { "whose parent is one that" };
            one(format!("{column} names a row of {table} {that} {fate}"))
        }
        Rule::Authenticated => one("the writer is signed in".into()),
        Rule::AgeVerified => one("the account's age is verified".into()),
        Rule::Admin => Some(Need::Account {
            words: "the account has the role admin".into(),
            is_choice: false,
            is_admins: true,
        }),
        Rule::Service | Rule::Never => Some(Need::Nothing),
        Rule::Null(column) => one(format!("{column} is null")),
        Rule::IsTrue(column) => one(format!("{column} is true")),
        Rule::Equals(column, text) => one(format!("{column} is '{text}'")),
    }
}

fn any(rules: &[Rule], command: Command) -> Option<Need> {
    let (mut choices, mut is_admins) = (Vec::new(), true);
    for rule in rules {
        if let Need::Account { words, is_admins: admins, .. } = need(rule, command)? {
            is_admins &= admins;
            choices.push(words);
        }
    }
    choices.dedup();
    let is_choice = choices.len() > 1;
    Some(match choices.is_empty() {
        true => Need::Nothing,
        false => Need::Account { words: choices.join(", or "), is_choice, is_admins },
    })
}

fn all(rules: &[Rule], command: Command) -> Option<Need> {
    let (mut parts, mut is_admins) = (Vec::new(), false);
    for rule in rules {
        match need(rule, command)? {
            Need::Nothing => return Some(Need::Nothing),
            Need::Account { words, is_choice, is_admins: admins } => {
                is_admins |= admins;
                parts.push(if is_choice { format!("({words})") } else { words });
            }
        }
    }
    Some(Need::Account { words: parts.join(" and "), is_choice: false, is_admins })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hint_says_what_the_rule_of_the_command_says() {
        let account = Claims::user(uuid::Uuid::from_u128(1));
        let said = |table: &str, command, claims: &Claims| hint(table, command, claims).unwrap_or_default();
        let words = said("projects", Command::Insert, &account);
        assert!(words.contains("user_id is the id of the account"), "{words}");
        assert!(said("projects", Command::Insert, &Claims::anonymous()).starts_with("sign in"));
        // Only administrators write here, so signing in alone is no help.
        for claims in [&account, &Claims::anonymous()] {
            assert_eq!(
                said("system_config", Command::Insert, claims),
                "the policies of this table check that the account has the role admin"
            );
        }
        let own = "the policies of this table check that user_id is the id of the account that writes";
        let servers =
            models::TABLES.iter().find(|table| table.policies.insert == "service").expect("a table");
        assert_eq!(said(servers.name, Command::Insert, &account), "", "no account adds these");
        assert!(said("profiles", Command::Update, &account).contains("id is the id of the account"));
        let table = models::TABLES.iter().find(|table| table.policies.insert.ends_with("& not is_builtin"));
        let table = table.expect("a table").name;
        assert_eq!(said(table, Command::Insert, &account), format!("{own} and is_builtin is false"));
        assert!(said("projects", Command::Select, &account).contains("return=minimal"));
        assert_eq!(hint("projects", Command::Select, &Claims::anonymous()), None);
        let rule = parse("(owner(a) | owner(b)) & not c | never").expect("a rule");
        let Some(Need::Account { words, .. }) = need(&rule, Command::Insert) else { panic!("it can be met") };
        assert_eq!(
            words,
            "(a is the id of the account that writes, or b is the id of the account that writes) and c is false"
        );
        // Every rule reads, so that none of the hints is left out for that.
        for table in models::TABLES {
            for command in [Command::Insert, Command::Update, Command::Delete] {
                let rule = parse(rule_of(table, command).expect("a rule")).expect("it reads");
                assert!(need(&rule, command).is_some(), "{}", table.name);
            }
        }
    }
}

//! The policy vocabulary: who may touch a row.
//!
//! `owner(col)`: the caller is `col`; `folder(col)`: the path in `col` begins with the caller's id and a slash; `self(id)`: the same for an account's own row; `owner_via(a→b.c)`: follow
//! foreign key `a` to table `b`, whose `c` is the caller, chains allowed; a chain that ends in a bare table goes on
//! with that table's own rule (for inserts its update rule); `parent(…)` likewise for child rows; `public(cond)`:
//! rows open to everyone; `authenticated`, `age_verified`, `admin`, `service`, `never`, `null(col)`; bare column
//! names and `col='x'` are row conditions; `|`, `&`, `not`, parentheses.

/// What a caller wants to do with a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Command {
    /// Read it.
    Select,
    /// Add it.
    Insert,
    /// Change it.
    Update,
    /// Remove it.
    Delete,
}

impl Command {
    /// All four.
    pub const ALL: [Command; 4] = [Command::Select, Command::Insert, Command::Update, Command::Delete];
}

/// A parsed rule.
#[derive(Clone, Debug, PartialEq)]
pub enum Rule {
    /// Any of them.
    Or(Vec<Rule>),
    /// All of them.
    And(Vec<Rule>),
    /// The opposite.
    Not(Box<Rule>),
    /// The column holds the caller's id.
    Owner(String),
    /// The column is a path whose first folder is the caller's id.
    Folder(String),
    /// Following the foreign keys, the last column is the caller, or the last table's own rule holds.
    Via {
        /// `(foreign key column, table)`, in order.
        steps: Vec<(String, String)>,
        /// Column of the last table that must be the caller; `None` applies that table's own rule.
        owner: Option<String>,
    },
    /// Any signed-in account.
    Authenticated,
    /// A signed-in account whose age is verified.
    AgeVerified,
    /// An account with the role `admin`.
    Admin,
    /// Only the server and its operator's key.
    Service,
    /// No one.
    Never,
    /// The column is NULL.
    Null(String),
    /// The column is true.
    IsTrue(String),
    /// The column equals a text.
    Equals(String, String),
}

/// Parses a rule.
pub fn parse(text: &str) -> Result<Rule, String> {
    let mut parser = Parser { rest: text.trim() };
    let rule = parser.any(0)?;
    if parser.rest.is_empty() { Ok(rule) } else { Err(format!("left over: {}", parser.rest)) }
}

struct Parser<'a> {
    rest: &'a str,
}

impl<'a> Parser<'a> {
    fn take(&mut self, symbol: &str) -> bool {
        match self.rest.strip_prefix(symbol) {
            Some(rest) => {
                self.rest = rest.trim_start();
                true
            }
            None => false,
        }
    }

    fn word(&mut self) -> Result<&'a str, String> {
        let end = self.rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(self.rest.len());
        if end == 0 {
            return Err(format!("expected a word at {:?}", self.rest));
        }
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest.trim_start();
        Ok(word)
    }

    fn any(&mut self, depth: usize) -> Result<Rule, String> {
        let mut parts = vec![self.all(depth)?];
        while self.take("|") {
            parts.push(self.all(depth)?);
        }
        Ok(if parts.len() == 1 { parts.remove(0) } else { Rule::Or(parts) })
    }

    fn all(&mut self, depth: usize) -> Result<Rule, String> {
        let mut parts = vec![self.one(depth)?];
        while self.take("&") {
            parts.push(self.one(depth)?);
        }
        Ok(if parts.len() == 1 { parts.remove(0) } else { Rule::And(parts) })
    }

    fn one(&mut self, depth: usize) -> Result<Rule, String> {
        if depth > 8 {
            return Err("nests too deeply".into());
        }
        if self.take("(") {
            return self.closed(depth);
        }
        let word = self.word()?;
        match word {
            "not" => Ok(Rule::Not(Box::new(self.one(depth + 1)?))),
            "authenticated" => Ok(Rule::Authenticated),
            "age_verified" => Ok(Rule::AgeVerified),
            "admin" => Ok(Rule::Admin),
            "service" => Ok(Rule::Service),
            "never" => Ok(Rule::Never),
            "public" if self.take("(") => self.closed(depth),
            "owner" | "self" if self.take("(") => {
                let column = self.word()?.to_string();
                self.close().map(|()| Rule::Owner(column))
            }
            "folder" if self.take("(") => {
                let column = self.word()?.to_string();
                self.close().map(|()| Rule::Folder(column))
            }
            "null" if self.take("(") => {
                let column = self.word()?.to_string();
                self.close().map(|()| Rule::Null(column))
            }
            "owner_via" | "parent" if self.take("(") => self.via(),
            column if self.take("=") => {
                let text = self.rest.strip_prefix('\'').and_then(|rest| rest.split_once('\''));
                let (text, rest) = text.ok_or("expected a quoted text after =")?;
                self.rest = rest.trim_start();
                Ok(Rule::Equals(column.to_string(), text.to_string()))
            }
            column => Ok(Rule::IsTrue(column.to_string())),
        }
    }

    fn closed(&mut self, depth: usize) -> Result<Rule, String> {
        let rule = self.any(depth + 1)?;
        self.close().map(|()| rule)
    }

    fn close(&mut self) -> Result<(), String> {
        if self.take(")") { Ok(()) } else { Err(format!("expected ) at {:?}", self.rest)) }
    }

    /// `a→b.c`, `a→b.c→d.e`, `a→b`.
    fn via(&mut self) -> Result<Rule, String> {
        let mut steps = Vec::new();
        let mut column = self.word()?.to_string();
        loop {
            if !self.take("→") {
                return Err(format!("expected → at {:?}", self.rest));
            }
            steps.push((column, self.word()?.to_string()));
            if !self.take(".") {
                return self.close().map(|()| Rule::Via { steps, owner: None });
            }
            column = self.word()?.to_string();
            if self.take(")") {
                return Ok(Rule::Via { steps, owner: Some(column) });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chains_and_conditions_parse() {
        let via = |steps: &[(&str, &str)], owner: Option<&str>| Rule::Via {
            steps: steps.iter().map(|(a, b)| (a.to_string(), b.to_string())).collect(),
            owner: owner.map(str::to_string),
        };
        assert_eq!(parse("owner_via(a→b.c→d.e)"), Ok(via(&[("a", "b"), ("c", "d")], Some("e"))));
        assert_eq!(parse("owner_via(a→b)"), Ok(via(&[("a", "b")], None)));
        assert_eq!(
            parse("(public(x & r='n') & age_verified) | not y"),
            Ok(Rule::Or(vec![
                Rule::And(vec![
                    Rule::And(vec![Rule::IsTrue("x".into()), Rule::Equals("r".into(), "n".into())]),
                    Rule::AgeVerified,
                ]),
                Rule::Not(Box::new(Rule::IsTrue("y".into()))),
            ]))
        );
        assert!(parse("owner(").is_err());
        assert!(parse("admin admin").is_err());
    }
}

//! The policy vocabulary of the schema document, read and evaluated here once more: an opinion of its own about who
//! may touch a row, which shares nothing with the server's.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use serde_json::{Map, Value as Json};

/// A row as JSON.
pub type Row = Map<String, Json>;

/// A rule, as written.
#[derive(Clone, Debug)]
pub enum Rule {
    Any(Vec<Rule>),
    All(Vec<Rule>),
    Not(Box<Rule>),
    /// `name(argument)`, except `public(…)`, which is the rule inside.
    Call(String, String),
    /// A bare word.
    Word(String),
    /// `column='text'`.
    Is(String, String),
}

/// Reads a rule.
pub fn read(text: &str) -> Rule {
    split(text, '|', Rule::Any).unwrap_or_else(|| {
        split(text, '&', Rule::All).unwrap_or_else(|| {
            let text = text.trim();
            if let Some(rest) = text.strip_prefix("not ") {
                return Rule::Not(Box::new(read(rest)));
            }
            if let Some((column, value)) = text.split_once('=').filter(|_| !text.contains('(')) {
                return Rule::Is(column.trim().into(), value.trim().trim_matches('\'').into());
            }
            match text.strip_suffix(')').and_then(|inside| inside.split_once('(')) {
                Some(("" | "public", inside)) => read(inside),
                Some((name, argument)) => Rule::Call(name.into(), argument.into()),
                None => Rule::Word(text.into()),
            }
        })
    })
}

/// Cuts at a connective outside parentheses; `None` when there is none.
fn split(text: &str, connective: char, of: fn(Vec<Rule>) -> Rule) -> Option<Rule> {
    let mut depth = 0;
    let mut parts = vec![String::new()];
    for character in text.chars() {
        match character {
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => {}
        }
        if character == connective && depth == 0 {
            parts.push(String::new());
        } else {
            parts.last_mut().expect("one part").push(character);
        }
    }
    (parts.len() > 1).then(|| of(parts.iter().map(|part| read(part)).collect()))
}

impl Rule {
    /// Every atom.
    pub fn atoms(&self) -> Vec<&Rule> {
        match self {
            Rule::Any(parts) | Rule::All(parts) => parts.iter().flat_map(Rule::atoms).collect(),
            Rule::Not(inner) => inner.atoms(),
            atom => vec![atom],
        }
    }
}

/// Who asks.
#[derive(Clone, Debug)]
pub struct Who {
    pub name: &'static str,
    pub token: String,
    pub user: Option<String>,
    pub admin: bool,
    pub adult: bool,
    pub service: bool,
}

/// What a caller wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    Select,
    Insert,
    Update,
    Delete,
}

impl Verb {
    pub const ALL: [Verb; 4] = [Verb::Select, Verb::Insert, Verb::Update, Verb::Delete];

    pub fn name(self) -> &'static str {
        match self {
            Verb::Select => "select",
            Verb::Insert => "insert",
            Verb::Update => "update",
            Verb::Delete => "delete",
        }
    }
}

/// Rules of every table, and every row.
#[derive(Clone, Debug, Default)]
pub struct World {
    pub rules: HashMap<String, HashMap<&'static str, Rule>>,
    pub rows: HashMap<String, Vec<Row>>,
    /// Rows that were made, so that tests beside each other number theirs alike in every run.
    pub made: Arc<AtomicU64>,
}

impl World {
    /// Whether the document lets a caller do this to a row.
    pub fn allows(&self, who: &Who, verb: Verb, table: &str, row: &Row) -> bool {
        who.service || self.holds(who, verb, &self.rules[table][verb.name()], row) == Some(true)
    }

    /// The truth of a rule, in SQL's three values.
    fn holds(&self, who: &Who, verb: Verb, rule: &Rule, row: &Row) -> Option<bool> {
        let each = |parts: &[Rule]| -> BTreeSet<Option<bool>> {
            parts.iter().map(|part| self.holds(who, verb, part, row)).collect()
        };
        match rule {
            Rule::Any(parts) => {
                let truths = each(parts);
                if truths.contains(&Some(true)) { Some(true) } else { truths.first().copied().flatten() }
            }
            Rule::All(parts) => {
                let truths = each(parts);
                if truths.contains(&Some(false)) { Some(false) } else { truths.first().copied().flatten() }
            }
            Rule::Not(inner) => self.holds(who, verb, inner, row).map(|truth| !truth),
            Rule::Is(column, text) => row[column].as_str().map(|value| value == text),
            Rule::Call(name, argument) => Some(match name.as_str() {
                "owner" | "self" => is(who, &row[argument]),
                "null" => row[argument].is_null(),
                "owner_via" | "parent" => self.follows(who, verb, argument, row),
                other => panic!("{other} is not in the vocabulary"),
            }),
            Rule::Word(word) => match word.as_str() {
                "authenticated" => Some(who.user.is_some()),
                "age_verified" => Some(who.adult),
                "admin" => Some(who.admin),
                "service" | "never" => Some(false),
                column => row[column].as_bool(),
            },
        }
    }

    /// `a→b.c→d`: column `a` refers to a row of `b`, whose `c` refers to a row of `d`, whose own rule decides;
    /// with a last column, that must be the caller.
    fn follows(&self, who: &Who, verb: Verb, path: &str, row: &Row) -> bool {
        let mut steps = path.split('→');
        let mut column = steps.next().expect("a column").to_string();
        let mut row = row;
        let mut steps = steps.peekable();
        while let Some(step) = steps.next() {
            let (table, next) = step.split_once('.').unwrap_or((step, ""));
            let found = self.rows.get(table).and_then(|rows| {
                rows.iter().find(|candidate| !row[&column].is_null() && candidate["id"] == row[&column])
            });
            let Some(parent) = found else { return false };
            if steps.peek().is_none() {
                let verb = if verb == Verb::Insert { Verb::Update } else { verb };
                return match next {
                    "" => self.holds(who, verb, &self.rules[table][verb.name()], parent) == Some(true),
                    owner => is(who, &parent[owner]),
                };
            }
            (row, column) = (parent, next.to_string());
        }
        false
    }
}

fn is(who: &Who, value: &Json) -> bool {
    who.user.is_some() && value.as_str() == who.user.as_deref()
}

#[test]
fn the_vocabulary_reads_as_it_is_meant() {
    let rule = read("(owner(user_id) & not is_standard) | admin | (public(a & b='x') & age_verified)");
    let mut world = World::default();
    world.rules.insert("t".into(), HashMap::from([("update", rule)]));
    let who = |user: &str, admin, adult| Who {
        name: "",
        token: String::new(),
        user: Some(user.into()),
        admin,
        adult,
        service: false,
    };
    let row = |user: &str, standard: Option<bool>, a: bool, b: &str| {
        serde_json::json!({"user_id": user, "is_standard": standard, "a": a, "b": b})
            .as_object()
            .expect("an object")
            .clone()
    };
    let allows = |who: &Who, row: Row| world.allows(who, Verb::Update, "t", &row);
    assert!(allows(&who("me", false, false), row("me", Some(false), false, "")));
    assert!(!allows(&who("me", false, false), row("me", Some(true), false, "")));
    assert!(!allows(&who("me", false, false), row("me", None, false, "")));
    assert!(!allows(&who("me", false, false), row("you", Some(false), false, "")));
    assert!(allows(&who("me", true, false), row("you", None, false, "")));
    assert!(allows(&who("me", false, true), row("you", None, true, "x")));
    assert!(!allows(&who("me", false, true), row("you", None, true, "y")));
    assert!(!allows(&who("me", false, false), row("you", None, true, "x")));
}

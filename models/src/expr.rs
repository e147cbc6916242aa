//! The small SQL of defaults, checks and partial indexes.

use uuid::Uuid;

use crate::convert;
use crate::value::{ColumnType, Row, Value};

/// A parsed expression; column names are resolved to positions.
#[derive(Clone, Debug, PartialEq)]
pub enum Expr {
    /// A column of the row.
    Column(usize),
    /// A constant.
    Constant(Value),
    /// `now()`, plus so many microseconds.
    Now(i64),
    /// `gen_random_uuid()`.
    NewUuid,
    /// A comparison.
    Compare(Box<Expr>, Comparison, Box<Expr>),
    /// `x IN (…)`.
    In(Box<Expr>, Vec<Value>),
    /// `x IS NULL`.
    IsNull(Box<Expr>),
    /// `NOT x`.
    Not(Box<Expr>),
    /// All of them.
    And(Vec<Expr>),
    /// Any of them.
    Or(Vec<Expr>),
}

/// How two values are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// `=`
    Equal,
    /// `<>`
    NotEqual,
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
    /// `<@` on arrays
    SubsetOf,
}

/// What an expression may name: column names with their types.
pub type Names<'a> = &'a dyn Fn(&str) -> Option<(usize, ColumnType)>;

/// Parses a default for a column of `kind`.
pub fn parse_default(text: &str, kind: ColumnType) -> Result<Expr, String> {
    let mut parser = Parser::new(text, &|_| None)?;
    let expression = parser.operand(Some(kind))?;
    parser.end()?;
    Ok(expression)
}

/// Parses a condition over the columns that `names` knows.
pub fn parse_condition(text: &str, names: Names) -> Result<Expr, String> {
    let mut parser = Parser::new(text, names)?;
    let expression = parser.disjunction(0)?;
    parser.end()?;
    Ok(expression)
}

impl Expr {
    /// The value for a row; volatile parts are drawn anew.
    pub fn evaluate(&self, row: &Row) -> Value {
        match self {
            Expr::Column(position) => row.get(*position).cloned().unwrap_or(Value::Null),
            Expr::Constant(value) => value.clone(),
            Expr::Now(plus) => match Value::now() {
                Value::Timestamp(micros) => Value::Timestamp(micros + plus),
                other => other,
            },
            Expr::NewUuid => Value::Uuid(Uuid::new_v4()),
            condition => match condition.truth(row) {
                None => Value::Null,
                Some(truth) => Value::Bool(truth),
            },
        }
    }

    /// SQL truth for a row: `None` is unknown. A check fails only on `Some(false)`.
    pub fn truth(&self, row: &Row) -> Option<bool> {
        match self {
            Expr::Column(_) | Expr::Constant(_) | Expr::Now(_) | Expr::NewUuid => {
                self.evaluate(row).as_bool()
            }
            Expr::Compare(left, comparison, right) => {
                compare(&left.evaluate(row), *comparison, &right.evaluate(row))
            }
            Expr::In(needle, values) => match needle.evaluate(row) {
                Value::Null => None,
                needle => Some(values.contains(&needle)),
            },
            Expr::IsNull(inner) => Some(inner.evaluate(row).is_null()),
            Expr::Not(inner) => inner.truth(row).map(|truth| !truth),
            Expr::And(parts) => fold(parts.iter().map(|part| part.truth(row)), false),
            Expr::Or(parts) => fold(parts.iter().map(|part| part.truth(row)), true),
        }
    }

    /// Calls `found` with every column that it looks at.
    pub fn each_column(&self, found: &mut dyn FnMut(usize)) {
        match self {
            Expr::Column(position) => found(*position),
            Expr::Constant(_) | Expr::Now(_) | Expr::NewUuid => {}
            Expr::Compare(left, _, right) => [left, right].iter().for_each(|side| side.each_column(found)),
            Expr::In(inner, _) | Expr::IsNull(inner) | Expr::Not(inner) => inner.each_column(found),
            Expr::And(parts) | Expr::Or(parts) => parts.iter().for_each(|part| part.each_column(found)),
        }
    }

    /// The value, if it does not depend on row, time or chance.
    pub fn constant(&self) -> Option<&Value> {
        match self {
            Expr::Constant(value) => Some(value),
            _ => None,
        }
    }
}

/// Three-valued AND (`decisive` false) or OR (`decisive` true).
pub fn fold(parts: impl Iterator<Item = Option<bool>>, decisive: bool) -> Option<bool> {
    let mut unknown = false;
    for part in parts {
        match part {
            Some(truth) if truth == decisive => return Some(decisive),
            None => unknown = true,
            _ => {}
        }
    }
    if unknown { None } else { Some(!decisive) }
}

fn compare(left: &Value, comparison: Comparison, right: &Value) -> Option<bool> {
    if comparison == Comparison::SubsetOf {
        return match (left, right) {
            (Value::TextArray(part), Value::TextArray(whole)) => {
                Some(part.iter().all(|element| element.is_some() && whole.contains(element)))
            }
            _ => None,
        };
    }
    let order = left.compare(right)?;
    Some(match comparison {
        Comparison::Equal => order.is_eq(),
        Comparison::NotEqual => order.is_ne(),
        Comparison::Less => order.is_lt(),
        Comparison::LessOrEqual => order.is_le(),
        Comparison::Greater => order.is_gt(),
        Comparison::GreaterOrEqual => order.is_ge(),
        Comparison::SubsetOf => return None,
    })
}

#[derive(Clone, Debug, PartialEq)]
enum Token {
    Word(String),
    Text(String),
    Number(String),
    Symbol(&'static str),
}

const SYMBOLS: [&str; 14] = ["::", "<=", ">=", "<>", "!=", "<@", "=", "<", ">", "(", ")", ",", "+", "["];

fn tokens(text: &str) -> Result<Vec<Token>, String> {
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        if first == '\'' {
            let end = rest[1..].find('\'').ok_or("unclosed text")?;
            tokens.push(Token::Text(rest[1..=end].to_string()));
            rest = &rest[end + 2..];
        } else if first.is_ascii_digit() {
            let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
            tokens.push(Token::Number(rest[..end].to_string()));
            rest = &rest[end..];
        } else if first.is_alphabetic() || first == '_' {
            let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
            tokens.push(Token::Word(rest[..end].to_string()));
            rest = &rest[end..];
        } else if first == ']' {
            tokens.push(Token::Symbol("]"));
            rest = &rest[1..];
        } else {
            let symbol = SYMBOLS.iter().find(|symbol| rest.starts_with(**symbol));
            let symbol = symbol.ok_or_else(|| format!("unexpected {first:?}"))?;
            tokens.push(Token::Symbol(symbol));
            rest = &rest[symbol.len()..];
        }
        rest = rest.trim_start();
    }
    Ok(tokens)
}

struct Parser<'a> {
    tokens: Vec<Token>,
    position: usize,
    names: Names<'a>,
}

impl<'a> Parser<'a> {
    fn new(text: &str, names: Names<'a>) -> Result<Parser<'a>, String> {
        Ok(Parser { tokens: tokens(text)?, position: 0, names })
    }

    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.position)
    }

    fn next(&mut self) -> Result<Token, String> {
        let token = self.tokens.get(self.position).cloned().ok_or("unexpected end")?;
        self.position += 1;
        Ok(token)
    }

    fn take_symbol(&mut self, symbol: &str) -> bool {
        let found = matches!(self.peek(), Some(Token::Symbol(next)) if *next == symbol);
        self.position += usize::from(found);
        found
    }

    fn take_word(&mut self, word: &str) -> bool {
        let found = matches!(self.peek(), Some(Token::Word(next)) if next.eq_ignore_ascii_case(word));
        self.position += usize::from(found);
        found
    }

    fn end(&self) -> Result<(), String> {
        if self.position == self.tokens.len() { Ok(()) } else { Err(format!("left over: {:?}", self.peek())) }
    }

    fn disjunction(&mut self, depth: usize) -> Result<Expr, String> {
        let mut parts = vec![self.conjunction(depth)?];
        while self.take_word("or") {
            parts.push(self.conjunction(depth)?);
        }
        Ok(if parts.len() == 1 { parts.remove(0) } else { Expr::Or(parts) })
    }

    fn conjunction(&mut self, depth: usize) -> Result<Expr, String> {
        let mut parts = vec![self.negation(depth)?];
        while self.take_word("and") {
            parts.push(self.negation(depth)?);
        }
        Ok(if parts.len() == 1 { parts.remove(0) } else { Expr::And(parts) })
    }

    fn negation(&mut self, depth: usize) -> Result<Expr, String> {
        if depth > 16 {
            return Err("nests too deeply".into());
        }
        if self.take_word("not") {
            return Ok(Expr::Not(Box::new(self.negation(depth + 1)?)));
        }
        if self.take_symbol("(") {
            let inner = self.disjunction(depth + 1)?;
            return if self.take_symbol(")") { Ok(inner) } else { Err("missing )".into()) };
        }
        self.comparison()
    }

    fn comparison(&mut self) -> Result<Expr, String> {
        let kind = self.peek_kind();
        let left = self.operand(None)?;
        if self.take_word("is") {
            let negated = self.take_word("not");
            if !self.take_word("null") {
                return Err("IS expects NULL".into());
            }
            let test = Expr::IsNull(Box::new(left));
            return Ok(if negated { Expr::Not(Box::new(test)) } else { test });
        }
        if self.take_word("in") {
            return self.list(kind).map(|values| Expr::In(Box::new(left), values));
        }
        let comparison = match self.peek() {
            Some(Token::Symbol("=")) => Comparison::Equal,
            Some(Token::Symbol("<>" | "!=")) => Comparison::NotEqual,
            Some(Token::Symbol("<")) => Comparison::Less,
            Some(Token::Symbol("<=")) => Comparison::LessOrEqual,
            Some(Token::Symbol(">")) => Comparison::Greater,
            Some(Token::Symbol(">=")) => Comparison::GreaterOrEqual,
            Some(Token::Symbol("<@")) => Comparison::SubsetOf,
            _ => return Ok(left),
        };
        self.position += 1;
        let right = self.operand(kind)?;
        Ok(Expr::Compare(Box::new(left), comparison, Box::new(right)))
    }

    fn list(&mut self, kind: Option<ColumnType>) -> Result<Vec<Value>, String> {
        if !self.take_symbol("(") {
            return Err("IN expects (".into());
        }
        let mut values = Vec::new();
        loop {
            match self.operand(kind)? {
                Expr::Constant(value) => values.push(value),
                other => return Err(format!("IN expects constants, not {other:?}")),
            }
            if self.take_symbol(")") {
                return Ok(values);
            }
            if !self.take_symbol(",") {
                return Err("IN expects , or )".into());
            }
        }
    }

    fn peek_kind(&self) -> Option<ColumnType> {
        match self.peek() {
            Some(Token::Word(name)) => (self.names)(name).map(|(_, kind)| kind),
            _ => None,
        }
    }

    /// A column, constant or function, with casts; texts and numbers become `kind`.
    fn operand(&mut self, kind: Option<ColumnType>) -> Result<Expr, String> {
        let parenthesised = self.take_symbol("(");
        let mut expression = match self.next()? {
            Token::Text(text) | Token::Number(text) => {
                let value = convert::from_text(kind.unwrap_or(ColumnType::Text), &text);
                Expr::Constant(value.map_err(|error| error.to_string())?)
            }
            Token::Word(word) => self.word(&word, kind)?,
            Token::Symbol(symbol) => return Err(format!("unexpected {symbol}")),
        };
        self.casts()?;
        if self.take_symbol("+") {
            expression = match (expression, self.next()?) {
                (Expr::Now(_), Token::Text(interval)) => Expr::Now(interval_micros(&interval)?),
                (left, right) => return Err(format!("cannot add {right:?} to {left:?}")),
            };
            self.casts()?;
        }
        if parenthesised && !self.take_symbol(")") {
            return Err("missing )".into());
        }
        Ok(expression)
    }

    fn word(&mut self, word: &str, kind: Option<ColumnType>) -> Result<Expr, String> {
        match word.to_ascii_lowercase().as_str() {
            "true" => Ok(Expr::Constant(Value::Bool(true))),
            "false" => Ok(Expr::Constant(Value::Bool(false))),
            "null" => Ok(Expr::Constant(Value::Null)),
            "now" if self.take_symbol("(") && self.take_symbol(")") => Ok(Expr::Now(0)),
            "gen_random_uuid" if self.take_symbol("(") && self.take_symbol(")") => Ok(Expr::NewUuid),
            "array" if self.take_symbol("[") => {
                let mut elements = Vec::new();
                while !self.take_symbol("]") {
                    match self.next()? {
                        Token::Text(text) => elements.push(Some(text)),
                        other => return Err(format!("ARRAY expects texts, not {other:?}")),
                    }
                    self.take_symbol(",");
                }
                Ok(Expr::Constant(Value::TextArray(elements)))
            }
            _ => match (self.names)(word) {
                Some((position, _)) => Ok(Expr::Column(position)),
                None => Err(format!("unknown name {word}, wanted {kind:?}")),
            },
        }
    }

    /// Skips `::type`; the column's type already decides.
    fn casts(&mut self) -> Result<(), String> {
        while self.take_symbol("::") {
            self.next()?;
            self.take_word("varying");
            if self.take_symbol("[") && !self.take_symbol("]") {
                return Err("missing ]".into());
            }
        }
        Ok(())
    }
}

fn interval_micros(text: &str) -> Result<i64, String> {
    let (count, unit) = text.split_once(' ').ok_or("an interval is a count and a unit")?;
    let count: i64 = count.parse().map_err(|_| format!("bad interval {text}"))?;
    let seconds = match unit.trim_end_matches('s') {
        "day" => 86_400,
        "hour" => 3_600,
        "minute" => 60,
        _ => return Err(format!("bad interval {text}")),
    };
    Ok(count * seconds * 1_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn condition(text: &str, row: &Row) -> Option<bool> {
        let names = |name: &str| match name {
            "a" => Some((0, ColumnType::Text)),
            "n" => Some((1, ColumnType::Int4)),
            _ => None,
        };
        parse_condition(text, &names).expect(text).truth(row)
    }

    #[test]
    fn conditions_are_three_valued() {
        let row = vec![Value::text("x"), Value::Null];
        assert_eq!(condition("a IN ('x', 'y')", &row), Some(true));
        assert_eq!(condition("n >= 20 AND n <= 200", &row), None);
        assert_eq!(condition("n IS NULL OR (n >= 0 AND n <= 23)", &row), Some(true));
        assert_eq!(condition("NOT a = 'x'", &row), Some(false));
    }

    #[test]
    fn defaults_take_the_columns_type() {
        assert_eq!(
            parse_default("'{}'::jsonb", ColumnType::Jsonb),
            Ok(Expr::Constant(Value::Json("{}".into())))
        );
        assert_eq!(
            parse_default("(now() + '7 days'::interval)", ColumnType::Timestamptz),
            Ok(Expr::Now(604_800_000_000))
        );
        assert_eq!(
            parse_default("1.0", ColumnType::Numeric),
            Ok(Expr::Constant(Value::Numeric("1.0".parse().unwrap())))
        );
        assert!(parse_default("nonsense(", ColumnType::Text).is_err());
    }
}

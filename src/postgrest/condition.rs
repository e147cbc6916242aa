//! Filters of a request, typed by the columns they test.

use axum::http::StatusCode;
use models::convert;
use models::json::PathStep;
use models::{ColumnType, TableInfo, Value};
use store::StoreError;
use store::query::{
    Comparison, Field, FieldSource, Filter, Is, Like, Operator, Test, TextConfig, TextQuery, regex,
};
use syntax::operator::{IsValue, Operator as Word, Quantifier, TextSearch};
use syntax::{Connective, FieldPath, JsonKey, LogicTree};

use super::error::PostgrestError;

/// Finds an embed by the name a filter uses.
pub type EmbedNames<'a> = &'a dyn Fn(&str) -> Option<usize>;

/// The field that a path means.
pub fn field(table: &TableInfo, path: &FieldPath) -> Result<Field, PostgrestError> {
    let source = match table.column(&path.column) {
        Some(position) => FieldSource::Column(position),
        None => match table.table.computed.iter().position(|computed| computed.name == path.column) {
            Some(position) => FieldSource::Computed(position),
            None => return Err(PostgrestError::unknown_column(table.table.name, &path.column)),
        },
    };
    if !path.path.is_empty()
        && let FieldSource::Column(position) = source
        && table.kind(position) != ColumnType::Jsonb
        && !table.kind(position).is_array()
    {
        return Err(missing(table.kind(position), "->"));
    }
    let steps = path.path.iter().map(|step| match &step.key {
        JsonKey::Key(key) => PathStep::Key(key.clone()),
        JsonKey::Index(index) => PathStep::Index(*index),
    });
    Ok(Field { source, path: steps.collect(), as_text: path.yields_text(), cast: None })
}

/// A typed condition.
pub fn tree(table: &TableInfo, tree: &LogicTree, embeds: EmbedNames) -> Result<Filter, PostgrestError> {
    match tree {
        LogicTree::Group { negated, connective, members } => {
            let parts = members
                .iter()
                .map(|member| self::tree(table, member, embeds))
                .collect::<Result<Vec<_>, _>>()?;
            let group = match connective {
                Connective::And => Filter::And(parts),
                Connective::Or => Filter::Or(parts),
            };
            Ok(if *negated { Filter::Not(Box::new(group)) } else { group })
        }
        LogicTree::Filter(filter) => {
            let is_column = table.column(&filter.field.column).is_some();
            if let Some(embed) = embeds(&filter.field.column).filter(|_| !is_column) {
                return match &filter.test {
                    syntax::Test::Is(IsValue::Null) => Ok(Filter::Embed { embed, exists: filter.negated }),
                    syntax::Test::Is(IsValue::NotNull) => {
                        Ok(Filter::Embed { embed, exists: !filter.negated })
                    }
                    _ => Err(PostgrestError::bad(
                        "PGRST120",
                        format!("Bad operator on the '{}' embedded resource", filter.field.column),
                    )
                    .details("Only is null or not is null filters are allowed on embedded resources")),
                };
            }
            let field = field(table, &filter.field)?;
            let condition = test(table, &field, &filter.test)?;
            Ok(if filter.negated { Filter::Not(Box::new(condition)) } else { condition })
        }
    }
}

fn test(table: &TableInfo, field: &Field, test: &syntax::Test) -> Result<Filter, PostgrestError> {
    let kind = field.kind(table);
    let one = |operator: Operator| Filter::Test(Test { field: field.clone(), operator });
    Ok(match test {
        syntax::Test::Is(what) => one(Operator::Is(match what {
            IsValue::Null => Is::Null,
            IsValue::NotNull => Is::NotNull,
            IsValue::True => Is::True,
            IsValue::False => Is::False,
            IsValue::Unknown => Is::Unknown,
        })),
        syntax::Test::In(values) => {
            one(Operator::In(values.iter().map(|text| value(kind, text)).collect::<Result<_, _>>()?))
        }
        syntax::Test::TextSearch { kind, config, query } => {
            let config = TextConfig::named(config.as_deref()).map_err(|error| {
                let StoreError::Raised { sqlstate, message, hint, .. } = error else {
                    return PostgrestError::bad("42704", error.to_string());
                };
                PostgrestError::bad(sqlstate, message).hint(hint)
            })?;
            let query = match kind {
                TextSearch::Plain => TextQuery::plain(query, config),
                TextSearch::Phrase => TextQuery::phrase(query, config),
                TextSearch::Web => TextQuery::web(query, config),
                TextSearch::Query => TextQuery::expression(query, config).ok_or_else(|| {
                    PostgrestError::bad("42601", format!("syntax error in tsquery: \"{query}\""))
                })?,
            };
            one(Operator::Search(query))
        }
        syntax::Test::Compare { operator, quantifier: None, value } => one(compare(kind, *operator, value)?),
        syntax::Test::Compare { operator, quantifier: Some(quantifier), value } => {
            let elements = syntax::literal::array(value)
                .map_err(|error| PostgrestError::bad(syntax::LiteralError::CODE, error.to_string()))?;
            let mut parts = Vec::new();
            for element in elements {
                if let syntax::literal::ArrayItem::Text(text) = element {
                    parts.push(one(compare(kind, *operator, &text)?));
                }
            }
            match quantifier {
                Quantifier::Any => Filter::Or(parts),
                Quantifier::All => Filter::And(parts),
            }
        }
    })
}

fn value(kind: ColumnType, text: &str) -> Result<Value, PostgrestError> {
    match convert::from_text(kind, text) {
        // `col->key=eq.word`: the word compares with a JSON string, which is what callers mean.
        Err(_) if kind == ColumnType::Jsonb => Ok(Value::json(&serde_json::Value::String(text.to_string()))),
        other => {
            other.map_err(|error| PostgrestError::bad(error.sqlstate(), error.to_string()).hint(error.hint()))
        }
    }
}

fn compare(kind: ColumnType, word: Word, text: &str) -> Result<Operator, PostgrestError> {
    let ordered =
        |comparison: Comparison| value(kind, text).map(|value| Operator::Compare(comparison, value));
    match word {
        Word::Eq => ordered(Comparison::Equal),
        Word::Neq => ordered(Comparison::NotEqual),
        Word::Gt => ordered(Comparison::Greater),
        Word::Gte => ordered(Comparison::GreaterOrEqual),
        Word::Lt => ordered(Comparison::Less),
        Word::Lte => ordered(Comparison::LessOrEqual),
        Word::IsDistinct => value(kind, text).map(Operator::Distinct),
        Word::Like | Word::Ilike => {
            textual(kind, if word == Word::Like { "~~" } else { "~~*" })?;
            Ok(Operator::Like(Like::new(&text.replace('*', "%"), word == Word::Ilike)))
        }
        Word::Match | Word::Imatch => {
            textual(kind, "~")?;
            let compiled = regex(text, word == Word::Imatch);
            compiled
                .map(Operator::Match)
                .map_err(|error: StoreError| PostgrestError::bad(error.sqlstate(), error.to_string()))
        }
        Word::Contains | Word::ContainedBy | Word::Overlaps => {
            if !kind.is_array() && (kind != ColumnType::Jsonb || word == Word::Overlaps) {
                return Err(missing(kind, if word == Word::Overlaps { "&&" } else { "@>" }));
            }
            let operand = convert::from_text(kind, text)
                .map_err(|error| PostgrestError::bad(error.sqlstate(), error.to_string()))?;
            Ok(match word {
                Word::Contains => Operator::Contains(operand),
                Word::ContainedBy => Operator::ContainedBy(operand),
                _ => Operator::Overlaps(operand),
            })
        }
        // No table has a range column.
        Word::StrictlyLeft => Err(missing(kind, "<<")),
        Word::StrictlyRight => Err(missing(kind, ">>")),
        Word::NotExtendsRight => Err(missing(kind, "&<")),
        Word::NotExtendsLeft => Err(missing(kind, "&>")),
        Word::Adjacent => Err(missing(kind, "-|-")),
    }
}

fn textual(kind: ColumnType, operator: &str) -> Result<(), PostgrestError> {
    match kind {
        ColumnType::Text | ColumnType::Inet => Ok(()),
        other => Err(missing(other, operator)),
    }
}

fn missing(kind: ColumnType, operator: &str) -> PostgrestError {
    let message = format!("operator does not exist: {} {operator} unknown", kind.sql_name());
    PostgrestError::new(StatusCode::NOT_FOUND, "42883", message)
}

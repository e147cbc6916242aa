//! What a row shows: `id,title:name,meta->>hp,owner:users!inner(email),...scenes(count())`.

use crate::cursor::Cursor;
use crate::error::Fault;
use crate::field::{self, FieldPath};

/// One item of a select list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SelectItem {
    /// `*`: every column.
    Star,
    /// A column, a JSON value or an aggregate of one.
    Field(SelectField),
    /// `count()`: the number of rows.
    Count {
        /// Its key in the result, instead of `count`.
        alias: Option<String>,
        /// The type it is cast to.
        cast: Option<String>,
    },
    /// Related rows under a key.
    Embed(SelectEmbed),
    /// `...`: related rows' columns among one's own.
    Spread(SelectEmbed),
}

/// A selected value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SelectField {
    /// Its key in the result.
    pub alias: Option<String>,
    /// The column or JSON value. A column `count` that does not exist is upstream's old form of `count()`.
    pub field: FieldPath,
    /// The type the value is cast to, before it is aggregated.
    pub cast: Option<String>,
    /// How values of several rows become one.
    pub aggregate: Option<AggregateCall>,
}

/// An aggregate applied to a field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AggregateCall {
    /// Which.
    pub function: Aggregate,
    /// The type the result is cast to.
    pub cast: Option<String>,
}

/// A function from many values to one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Aggregate {
    /// `sum()`
    Sum,
    /// `avg()`
    Avg,
    /// `min()`
    Min,
    /// `max()`
    Max,
    /// `count()` of values that are not null
    Count,
}

const AGGREGATES: [(&str, Aggregate); 5] = [
    ("sum", Aggregate::Sum),
    ("avg", Aggregate::Avg),
    ("min", Aggregate::Min),
    ("max", Aggregate::Max),
    ("count", Aggregate::Count),
];

impl Aggregate {
    /// Its name in a query string, and its default key in a result.
    pub fn word(self) -> &'static str {
        AGGREGATES.iter().find(|(_, known)| *known == self).map_or("count", |(word, _)| word)
    }
}

/// Whether a row without related rows stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum JoinKind {
    /// `!inner`: it goes.
    Inner,
    /// `!left`: it stays; the default.
    Left,
}

/// Related rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SelectEmbed {
    /// Their key in the result.
    pub alias: Option<String>,
    /// A table, a foreign key constraint, a foreign key column or a computed relationship.
    pub target: String,
    /// What tells one relationship from another: a constraint, a column or a junction table.
    pub hint: Option<String>,
    /// The join, as given.
    pub join: Option<JoinKind>,
    /// What they show; may be empty.
    pub select: Vec<SelectItem>,
}

impl SelectField {
    /// Its key in the result.
    pub fn output_name(&self) -> &str {
        match (&self.alias, &self.aggregate) {
            (Some(alias), _) => alias,
            (None, Some(call)) => call.function.word(),
            (None, None) => self.field.output_name(),
        }
    }
}

impl SelectEmbed {
    /// Its key in the result, and the prefix of its parameters.
    pub fn output_name(&self) -> &str {
        self.alias.as_deref().unwrap_or(&self.target)
    }

    /// Whether rows without related rows go.
    pub fn is_inner(&self) -> bool {
        self.join == Some(JoinKind::Inner)
    }
}

/// A whole `select` value; empty is the empty list.
pub(crate) fn list(cursor: &mut Cursor<'_>) -> Result<Vec<SelectItem>, Fault> {
    let items = items(cursor)?;
    cursor.expect_end("\",\" or end of input")?;
    Ok(items)
}

fn items(cursor: &mut Cursor<'_>) -> Result<Vec<SelectItem>, Fault> {
    cursor.skip_blanks();
    if cursor.peek().is_none_or(|found| found == ')') {
        return Ok(Vec::new());
    }
    let mut items = vec![item(cursor)?];
    while cursor.eat(",") {
        items.push(item(cursor)?);
    }
    Ok(items)
}

fn item(cursor: &mut Cursor<'_>) -> Result<SelectItem, Fault> {
    cursor.take_item()?;
    cursor.skip_blanks();
    let item = if cursor.eat("...") {
        let target = field::name(cursor)?;
        SelectItem::Spread(embed(cursor, None, target)?)
    } else if cursor.eat("*") {
        SelectItem::Star
    } else {
        named(cursor)?
    };
    cursor.skip_blanks();
    Ok(item)
}

/// Everything that begins with a name or an alias.
fn named(cursor: &mut Cursor<'_>) -> Result<SelectItem, Fault> {
    let mut name = field::name(cursor)?;
    let mut alias = None;
    if !cursor.rest().starts_with("::") && cursor.eat(":") {
        alias = Some(name);
        name = field::name(cursor)?;
    }
    if name == "count" && empty_parentheses(cursor) {
        let cast = cast(cursor)?;
        return Ok(SelectItem::Count { alias, cast });
    }
    if cursor.peek().is_some_and(|found| found == '!' || found == '(') {
        return Ok(SelectItem::Embed(embed(cursor, alias, name)?));
    }
    let path = field::json_path(cursor)?;
    cursor.skip_blanks();
    let field = FieldPath { column: name, path };
    let cast = cast(cursor)?;
    let aggregate = aggregate(cursor)?;
    Ok(SelectItem::Field(SelectField { alias, field, cast, aggregate }))
}

/// `!hint!inner(…)`, either mark first.
fn embed(cursor: &mut Cursor<'_>, alias: Option<String>, target: String) -> Result<SelectEmbed, Fault> {
    let mut embed = SelectEmbed { alias, target, hint: None, join: None, select: Vec::new() };
    while cursor.peek() == Some('!') {
        let repeated = cursor.unexpected("\"(\"");
        cursor.expect("!")?;
        let quoted = cursor.peek() == Some('"');
        let mark = field::name(cursor)?;
        let join = match mark.as_str() {
            "inner" if !quoted => Some(JoinKind::Inner),
            "left" if !quoted => Some(JoinKind::Left),
            _ => None,
        };
        match join {
            Some(join) if embed.join.is_none() => embed.join = Some(join),
            None if embed.hint.is_none() => embed.hint = Some(mark),
            _ => return Err(repeated),
        }
    }
    cursor.expect("(")?;
    embed.select = cursor.nested(items)?;
    if !cursor.eat(")") {
        return Err(cursor.unexpected("\",\" or \")\""));
    }
    Ok(embed)
}

/// `::type`, if there is one.
fn cast(cursor: &mut Cursor<'_>) -> Result<Option<String>, Fault> {
    if !cursor.eat("::") {
        return Ok(None);
    }
    field::name(cursor).map(Some)
}

/// `.fn()::type`, if there is one.
fn aggregate(cursor: &mut Cursor<'_>) -> Result<Option<AggregateCall>, Fault> {
    if !cursor.eat(".") {
        return Ok(None);
    }
    let unknown = cursor.unexpected("aggregate function (sum, avg, min, max or count)");
    let word = cursor.take_while(|c| c.is_ascii_alphabetic());
    let Some((_, function)) = AGGREGATES.iter().find(|(known, _)| *known == word) else {
        return Err(unknown);
    };
    if !empty_parentheses(cursor) {
        return Err(cursor.unexpected("\"()\""));
    }
    let cast = cast(cursor)?;
    Ok(Some(AggregateCall { function: *function, cast }))
}

fn empty_parentheses(cursor: &mut Cursor<'_>) -> bool {
    let found = cursor.eat("()");
    if found {
        cursor.skip_blanks();
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::field::JsonKey;
    use crate::limits::{Budget, Limits};

    fn select(text: &str) -> Result<Vec<SelectItem>, Fault> {
        let budget = Budget::new(&Limits::default());
        list(&mut Cursor::new(text, &budget))
    }

    fn fields(text: &str) -> Vec<SelectField> {
        let field = |item| match item {
            SelectItem::Field(field) => field,
            other => panic!("{other:?} is no field"),
        };
        select(text).expect(text).into_iter().map(field).collect()
    }

    fn only_embed(text: &str) -> SelectEmbed {
        match select(text).expect(text).pop() {
            Some(SelectItem::Embed(embed)) => embed,
            other => panic!("{other:?} is no embed"),
        }
    }

    #[test]
    fn columns_have_aliases_casts_and_paths() {
        let found =
            fields("id,title:name,age::text,meta->stats->>hp,first:meta->tags->0,n:a->>b::double precision");
        let names: Vec<_> = found.iter().map(SelectField::output_name).collect();
        assert_eq!(names, ["id", "title", "age", "hp", "first", "n"]);
        assert_eq!(found[1].field.column, "name");
        assert_eq!(found[2].cast.as_deref(), Some("text"));
        assert!(found[3].field.yields_text());
        assert_eq!(found[4].field.path[1].key, JsonKey::Index(0));
        assert_eq!(found[5].cast.as_deref(), Some("double precision"));
    }

    #[test]
    fn blanks_and_newlines_around_items_are_ignored() {
        let found = fields("\n  id ,\t\"column whitespace\" , a : b ,\r\n c ::text \n, d->e\n");
        let names: Vec<_> = found.iter().map(SelectField::output_name).collect();
        assert_eq!(names, ["id", "column whitespace", "a", "c", "e"]);
        let embed = only_embed(" owner : users ! inner (\n id,\n name\n ) ");
        assert_eq!((embed.output_name(), embed.target.as_str(), embed.select.len()), ("owner", "users", 2));
    }

    #[test]
    fn star_and_nothing() {
        assert_eq!(select("*").expect("a star"), [SelectItem::Star]);
        assert_eq!(select("").expect("nothing"), []);
        assert_eq!(only_embed("users()").select, []);
        assert_eq!(select("*,users(*)").expect("both").len(), 2);
    }

    #[test]
    fn embeds_have_hints_and_joins_in_either_order() {
        for text in ["c:t!h!inner(id)", "c:t!inner!h(id)"] {
            let embed = only_embed(text);
            assert_eq!(embed.alias.as_deref(), Some("c"));
            assert_eq!(embed.target, "t");
            assert_eq!(embed.hint.as_deref(), Some("h"));
            assert!(embed.is_inner());
        }
        assert_eq!(only_embed("t!left(id)").join, Some(JoinKind::Left));
        assert_eq!(only_embed("t!\"inner\"(id)").hint.as_deref(), Some("inner"));
        for text in ["t!a!b(id)", "t!inner!left(id)", "t!a!b!inner(id)", "t!(id)", "t!h"] {
            assert!(select(text).is_err(), "{text}");
        }
    }

    #[test]
    fn embeds_nest() {
        let outer =
            only_embed("character:characters!jobs_character_id_fkey!inner(name, owner:users!inner(email))");
        let SelectItem::Embed(inner) = &outer.select[1] else { panic!("an embed") };
        assert_eq!(inner.output_name(), "owner");
    }

    #[test]
    fn spreads_and_aggregates() {
        let items =
            select("...characters!inner(name),cost.sum(),count(),n:count()::text,t:a->b::int.avg()::text");
        let items = items.expect("a list");
        assert!(
            matches!(&items[0], SelectItem::Spread(embed) if embed.is_inner() && embed.target == "characters")
        );
        assert!(matches!(&items[1], SelectItem::Field(field) if field.output_name() == "sum"));
        assert_eq!(items[2], SelectItem::Count { alias: None, cast: None });
        assert_eq!(items[3], SelectItem::Count { alias: Some("n".into()), cast: Some("text".into()) });
        let SelectItem::Field(field) = &items[4] else { panic!("a field") };
        assert_eq!(field.cast.as_deref(), Some("int"));
        assert_eq!(
            field.aggregate,
            Some(AggregateCall { function: Aggregate::Avg, cast: Some("text".into()) })
        );
        assert!(select("a.median()").is_err());
        assert!(select("a.sum").is_err());
    }

    #[test]
    fn an_embedded_count_is_a_field_until_planned() {
        let embed = only_embed("messages(count)");
        assert!(matches!(&embed.select[0], SelectItem::Field(field) if field.field.column == "count"));
    }

    #[test]
    fn faults_are_placed() {
        let fault = select("id,clients(name[])").unwrap_err();
        assert_eq!((fault.at, fault.details.as_str()), (15, "unexpected \"[\" expecting \",\" or \")\""));
        for text in
            ["a,", ",a", "a,,b", "a b(", "t(a", "t(a))", "...", "...t", ":a", "a:", "a::", "a:b:c", "(a)"]
        {
            assert!(select(text).is_err(), "{text}");
        }
    }

    #[test]
    fn depth_and_number_are_limited() {
        let deep = |levels: usize| format!("{}a{}", "t(".repeat(levels), ")".repeat(levels));
        assert!(select(&deep(32)).is_ok());
        assert_eq!(select(&deep(33)).unwrap_err().details, "more than 32 levels of nesting");
        assert!(select(&deep(100_000)).is_err());
        assert!(select(&vec!["a"; 1000].join(",")).is_ok());
        assert_eq!(select(&vec!["a"; 1001].join(",")).unwrap_err().details, "more than 1000 items");
    }
}

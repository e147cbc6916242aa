//! Which value of a row is meant: a column, or a path into its JSON.

use crate::cursor::Cursor;
use crate::error::Fault;

const NAME: &str = "field name (* or [a..z0..9_$])";

/// A column and the way into its JSON: `metadata->stats->>hp`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct FieldPath {
    /// The column, or what looks like one.
    pub column: String,
    /// The steps into it; empty for the column itself.
    pub path: Vec<JsonStep>,
}

/// One step into a JSON value.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct JsonStep {
    /// Which member or element.
    pub key: JsonKey,
    /// `->>` yields text, `->` yields JSON.
    pub as_text: bool,
}

/// What a [`JsonStep`] takes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum JsonKey {
    /// A member of an object.
    Key(String),
    /// An element of an array, negative from its end.
    Index(i64),
}

impl FieldPath {
    /// A column without a path.
    pub fn column(name: impl Into<String>) -> Self {
        Self { column: name.into(), path: Vec::new() }
    }

    /// Whether the value is text because its last step is `->>`.
    pub fn yields_text(&self) -> bool {
        self.path.last().is_some_and(|step| step.as_text)
    }

    /// The key it has in a result: its last JSON key that is not a number, else the column.
    pub fn output_name(&self) -> &str {
        let named = self.path.iter().rev().find_map(|step| match &step.key {
            JsonKey::Key(key) => Some(key.as_str()),
            JsonKey::Index(_) => None,
        });
        named.unwrap_or(&self.column)
    }
}

/// A name as in a select list: quoted, or letters, digits, `_`, `$`, inner blanks and inner `-`.
pub(crate) fn name(cursor: &mut Cursor<'_>) -> Result<String, Fault> {
    cursor.skip_blanks();
    if cursor.peek() == Some('"') {
        let unclosed = cursor.refuse("unexpected end of input expecting \"\\\"\"".to_owned());
        let name = cursor.quoted().ok_or(unclosed)?;
        cursor.skip_blanks();
        return Ok(name);
    }
    let name = dashed(cursor, |c| c.is_alphanumeric() || c == '_' || c == '$' || c == ' ');
    if name.is_empty() {
        return Err(cursor.unexpected(NAME));
    }
    cursor.skip_blanks();
    Ok(name)
}

/// A column with its JSON path.
pub(crate) fn field(cursor: &mut Cursor<'_>) -> Result<FieldPath, Fault> {
    let column = if cursor.eat("*") { "*".to_owned() } else { name(cursor)? };
    let path = json_path(cursor)?;
    Ok(FieldPath { column, path })
}

/// Zero or more `->key` and `->>key`.
pub(crate) fn json_path(cursor: &mut Cursor<'_>) -> Result<Vec<JsonStep>, Fault> {
    let mut path = Vec::new();
    while cursor.eat("->") {
        let as_text = cursor.eat(">");
        path.push(JsonStep { key: json_key(cursor)?, as_text });
        cursor.check_levels(path.len())?;
    }
    Ok(path)
}

fn json_key(cursor: &mut Cursor<'_>) -> Result<JsonKey, Fault> {
    if let Some(key) = cursor.quoted() {
        return Ok(JsonKey::Key(key));
    }
    if cursor.peek() == Some('-') {
        return json_index(cursor);
    }
    let key = dashed(cursor, |c| !c.is_control() && !r#""(),.:->{}!"#.contains(c));
    if key.is_empty() {
        return Err(cursor.unexpected("JSON key or index"));
    }
    match key.parse() {
        Ok(index) if key.bytes().all(|byte| byte.is_ascii_digit()) => Ok(JsonKey::Index(index)),
        _ => Ok(JsonKey::Key(key)),
    }
}

/// The rest of an index that begins with a minus sign.
fn json_index(cursor: &mut Cursor<'_>) -> Result<JsonKey, Fault> {
    cursor.expect("-")?;
    let digits = cursor.take_while(|c| c.is_ascii_digit());
    let ended = cursor.peek().is_none_or(|next| ",.:-) \n\t\r".contains(next));
    match digits.parse::<i64>() {
        Ok(index) if ended => Ok(JsonKey::Index(-index)),
        Ok(_) => Err(cursor.unexpected("digit, \"->\", \"::\", \".\", \",\" or end of input")),
        Err(_) => Err(cursor.unexpected("digit")),
    }
}

/// Runs of `belongs` joined by a `-` that does not begin an arrow, without blanks at the ends.
fn dashed(cursor: &mut Cursor<'_>, belongs: impl Fn(char) -> bool) -> String {
    let text = cursor.rest();
    let mut end = 0;
    loop {
        let run = &text[end..];
        end += run.find(|c| !belongs(c)).unwrap_or(run.len());
        let mut after = text[end..].chars();
        // A dash belongs to the name only between two of its parts.
        let joins = end > 0 && after.next() == Some('-') && after.next().is_some_and(&belongs);
        if !joins {
            break;
        }
        end += 1;
    }
    cursor.advance(end);
    text[..end].trim_matches(' ').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::{Budget, Limits};

    fn parsed(text: &str) -> Result<(FieldPath, String), String> {
        let budget = Budget::new(&Limits::default());
        let mut cursor = Cursor::new(text, &budget);
        let field = field(&mut cursor).map_err(|fault| fault.details)?;
        Ok((field, cursor.rest().to_owned()))
    }

    fn column(text: &str) -> String {
        parsed(text).expect("a column").0.column
    }

    #[test]
    fn names_may_have_inner_blanks_and_dashes() {
        assert_eq!(column("identifier"), "identifier");
        assert_eq!(column(" with spaces "), "with spaces");
        assert_eq!(column("with-dash-es"), "with-dash-es");
        assert_eq!(column("123"), "123");
        assert_eq!(column("$"), "$");
        assert_eq!(column("größe"), "größe");
    }

    #[test]
    fn quoted_names_may_have_anything() {
        assert_eq!(column(r#"" a.b:c ""#), " a.b:c ");
        assert_eq!(column(r#""a\"b\\c""#), r#"a"b\c"#);
        assert!(parsed(r#""open"#).is_err());
    }

    #[test]
    fn a_name_is_required() {
        assert_eq!(parsed(":").unwrap_err(), format!("unexpected \":\" expecting {NAME}"));
        assert_eq!(parsed("").unwrap_err(), format!("unexpected end of input expecting {NAME}"));
    }

    #[test]
    fn a_trailing_dash_is_left() {
        assert_eq!(parsed("a-").expect("a name").1, "-");
    }

    #[test]
    fn paths_step_by_key_and_index() {
        let (field, rest) = parsed("meta->stats->0->-2->>hit-points.eq").expect("a path");
        assert_eq!(rest, ".eq");
        let keys: Vec<_> = field.path.iter().map(|step| step.key.clone()).collect();
        assert_eq!(
            keys,
            [
                JsonKey::Key("stats".into()),
                JsonKey::Index(0),
                JsonKey::Index(-2),
                JsonKey::Key("hit-points".into())
            ]
        );
        assert!(field.yields_text());
        assert_eq!(field.output_name(), "hit-points");
    }

    #[test]
    fn the_output_name_skips_indexes() {
        assert_eq!(parsed("meta->tags->0").expect("a path").0.output_name(), "tags");
        assert_eq!(parsed("meta->0").expect("a path").0.output_name(), "meta");
    }

    #[test]
    fn quoted_json_keys_may_have_anything() {
        let (field, _) = parsed(r#"meta->>"a.b->c""#).expect("a path");
        assert_eq!(field.path[0].key, JsonKey::Key("a.b->c".into()));
    }

    #[test]
    fn half_a_step_is_refused() {
        assert!(parsed("a->").is_err());
        assert!(parsed("a->>-").is_err());
        assert!(parsed("a->>-78xy").is_err());
    }

    #[test]
    fn a_huge_index_is_a_key() {
        let (field, _) = parsed("a->99999999999999999999").expect("a path");
        assert_eq!(field.path[0].key, JsonKey::Key("99999999999999999999".into()));
    }

    #[test]
    fn a_path_has_a_deepest_level() {
        assert!(parsed(&format!("a{}", "->b".repeat(32))).is_ok());
        assert!(parsed(&format!("a{}", "->b".repeat(33))).is_err());
    }
}

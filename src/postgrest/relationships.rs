//! Which relation an embed means: a related table, a foreign key's name, or its column.

use axum::http::StatusCode;
use models::{TableInfo, schema};
use store::query::Link;
use syntax::SelectEmbed;

use super::error::PostgrestError;

/// A relation that an embed may follow.
struct Candidate {
    target: &'static TableInfo,
    link: Link,
    /// Names that a hint or the target may use: constraint, column, junction.
    names: Vec<String>,
    /// The target was named by the foreign key or its column, not by its table.
    by_table: bool,
}

/// The table that `embed` reaches from `source`, and how.
pub fn resolve(
    source: &'static TableInfo,
    embed: &SelectEmbed,
) -> Result<(&'static TableInfo, Link), PostgrestError> {
    let mut found = candidates(source, &embed.target);
    if let Some(hint) = &embed.hint {
        found.retain(|candidate| candidate.names.iter().any(|name| name == hint));
    }
    // A self reference by table name is the to-many side; its column or constraint alone names the to-one side.
    // `childs:t!parent_id(…)` is to-many too: the hint says which reference, not which way.
    if found.iter().any(|candidate| candidate.target.id == source.id && candidate.by_table) {
        let many = |candidate: &Candidate| !matches!(candidate.link, Link::Direct { to_one: true, .. });
        if found.iter().any(many) {
            found.retain(many);
        }
    }
    let direct = found.iter().any(|candidate| matches!(candidate.link, Link::Direct { .. }));
    if direct && found.len() > 1 && embed.hint.is_none() {
        // A direct relation is what people mean when a junction would also lead there.
        let directs = found.iter().filter(|candidate| matches!(candidate.link, Link::Direct { .. })).count();
        if directs == 1 {
            found.retain(|candidate| matches!(candidate.link, Link::Direct { .. }));
        }
    }
    match found.len() {
        1 => Ok(found.swap_remove(0)).map(|candidate| (candidate.target, candidate.link)),
        0 => Err(none(source, embed)),
        _ => Err(several(source, embed, &found)),
    }
}

fn candidates(source: &'static TableInfo, target: &str) -> Vec<Candidate> {
    let mut found = Vec::new();
    for relation in &source.relations {
        let other = &schema().tables[relation.target];
        let column = source.table.columns[relation.column].name;
        let by_table = other.name() == target;
        if other.table.schema == "public" && (by_table || relation.name == target || column == target) {
            let link = Link::Direct { own: relation.column, column: relation.target_column, to_one: true };
            let names = vec![relation.name.clone(), column.to_string()];
            found.push(Candidate { target: other, link, names, by_table });
        }
    }
    for (referrer, position) in &source.referenced_by {
        let other = &schema().tables[*referrer];
        let relation = &other.relations[*position];
        let by_table = other.name() == target;
        if other.table.schema == "public" && (by_table || relation.name == target) {
            let to_one = relation.is_one_to_one;
            let link = Link::Direct { own: relation.target_column, column: relation.column, to_one };
            let names = vec![relation.name.clone(), other.table.columns[relation.column].name.to_string()];
            found.push(Candidate { target: other, link, names, by_table });
        }
        through(source, other, *position, target, &mut found);
    }
    found
}

/// A junction refers to both tables with columns of its primary key.
fn through(
    source: &'static TableInfo,
    junction: &'static TableInfo,
    near: usize,
    target: &str,
    found: &mut Vec<Candidate>,
) {
    let near_relation = &junction.relations[near];
    let in_key = |column: usize| junction.primary_key.contains(&column);
    for (position, far) in junction.relations.iter().enumerate() {
        let other = &schema().tables[far.target];
        if position == near || other.name() != target || !in_key(near_relation.column) || !in_key(far.column)
        {
            continue;
        }
        let link = Link::Through {
            junction: junction.id,
            own: near_relation.target_column,
            near: near_relation.column,
            far: far.column,
            column: far.target_column,
        };
        found.push(Candidate {
            target: other,
            link,
            names: vec![junction.name()],
            by_table: other.id != source.id,
        });
    }
}

fn none(source: &TableInfo, embed: &SelectEmbed) -> PostgrestError {
    let (from, to) = (source.table.name, &embed.target);
    let message = format!("Could not find a relationship between '{from}' and '{to}' in the schema cache");
    let hint = embed.hint.as_ref().map(|hint| format!(" using the hint '{hint}'")).unwrap_or_default();
    PostgrestError::bad("PGRST200", message).details(format!(
        "Searched for a foreign key relationship between '{from}' and '{to}'{hint} in the schema 'public', but no \
         matches were found."
    ))
}

/// A relation in PostgREST's words: its foreign key and both ends, or its junction with both ways.
fn relationship(source: &TableInfo, candidate: &Candidate) -> String {
    let target = candidate.target;
    let name = candidate.names.first().map(String::as_str).unwrap_or_default();
    let end = |table: &TableInfo, column: usize| {
        format!("{}({})", table.table.name, table.table.columns[column].name)
    };
    match candidate.link {
        Link::Direct { own, column, .. } => {
            format!("{name} using {} and {}", end(source, own), end(target, column))
        }
        Link::Through { junction, near, far, .. } => {
            let junction = &schema().tables[junction];
            format!("{name} using {} and {}", end(junction, near), end(junction, far))
        }
    }
}

fn several(source: &TableInfo, embed: &SelectEmbed, found: &[Candidate]) -> PostgrestError {
    let (from, to) = (source.table.name, &embed.target);
    let message =
        format!("Could not embed because more than one relationship was found for '{from}' and '{to}'");
    let details: Vec<serde_json::Value> = found
        .iter()
        .map(|candidate| {
            let cardinality = match candidate.link {
                Link::Direct { to_one: true, .. } => "many-to-one",
                Link::Direct { to_one: false, .. } => "one-to-many",
                Link::Through { .. } => "many-to-many",
            };
            serde_json::json!({
                "cardinality": cardinality,
                "embedding": format!("{from} with {}", candidate.target.table.name),
                "relationship": relationship(source, candidate),
            })
        })
        .collect();
    let choices: Vec<String> = found
        .iter()
        .filter_map(|candidate| candidate.names.first())
        .map(|name| format!("'{to}!{name}'"))
        .collect();
    let hint = format!(
        "Try changing '{to}' to one of the following: {}. Find the desired relationship in the 'details' key.",
        choices.join(", ")
    );
    PostgrestError::new(StatusCode::MULTIPLE_CHOICES, "PGRST201", message).details(details).hint(hint)
}

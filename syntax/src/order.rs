//! In which order rows come: `created_at.desc.nullslast,meta->>rank.asc,owner(name).desc`.

use crate::cursor::Cursor;
use crate::error::Fault;
use crate::field::{self, FieldPath};

/// Which end comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Direction {
    /// Smallest first; the default.
    Ascending,
    /// Largest first.
    Descending,
}

/// Where nulls stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Nulls {
    /// Before every value; the default when descending.
    First,
    /// After every value; the default when ascending.
    Last,
}

/// One key of an ordering.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct OrderTerm {
    /// The to-one embed that has the column; `None` for the row's own.
    pub relation: Option<String>,
    /// What is compared.
    pub field: FieldPath,
    /// The direction, as given.
    pub direction: Option<Direction>,
    /// Where nulls stand, as given.
    pub nulls: Option<Nulls>,
}

impl OrderTerm {
    /// The direction, given or not.
    pub fn direction(&self) -> Direction {
        self.direction.unwrap_or(Direction::Ascending)
    }

    /// Where nulls stand, given or not.
    pub fn nulls(&self) -> Nulls {
        self.nulls.unwrap_or(match self.direction() {
            Direction::Ascending => Nulls::Last,
            Direction::Descending => Nulls::First,
        })
    }
}

/// A whole `order` value.
pub(crate) fn terms(cursor: &mut Cursor<'_>) -> Result<Vec<OrderTerm>, Fault> {
    let mut terms = vec![term(cursor)?];
    while cursor.eat(",") {
        terms.push(term(cursor)?);
    }
    cursor.expect_end("\",\" or end of input")?;
    Ok(terms)
}

fn term(cursor: &mut Cursor<'_>) -> Result<OrderTerm, Fault> {
    cursor.take_item()?;
    cursor.skip_blanks();
    let first = field::field(cursor)?;
    let (relation, field) = if first.path.is_empty() && cursor.eat("(") {
        let inner = field::field(cursor)?;
        cursor.skip_blanks();
        cursor.expect(")")?;
        (Some(first.column), inner)
    } else {
        (None, first)
    };
    cursor.skip_blanks();
    let mut term = OrderTerm { relation, field, direction: None, nulls: None };
    while cursor.eat(".") {
        modifier(cursor, &mut term)?;
    }
    cursor.skip_blanks();
    Ok(term)
}

/// `asc` or `desc`, then `nullsfirst` or `nullslast`, each once and in this order.
fn modifier(cursor: &mut Cursor<'_>, term: &mut OrderTerm) -> Result<(), Fault> {
    let directed = term.direction.is_some() || term.nulls.is_some();
    let expecting = match (directed, term.nulls) {
        (_, Some(_)) => "\",\" or end of input",
        (true, None) => "nulls (nullsfirst or nullslast)",
        (false, None) => "order direction (asc or desc) or nulls (nullsfirst or nullslast)",
    };
    let unknown = cursor.unexpected(expecting);
    match cursor.take_while(|c| c.is_ascii_alphabetic()) {
        "asc" if !directed => term.direction = Some(Direction::Ascending),
        "desc" if !directed => term.direction = Some(Direction::Descending),
        "nullsfirst" if term.nulls.is_none() => term.nulls = Some(Nulls::First),
        "nullslast" if term.nulls.is_none() => term.nulls = Some(Nulls::Last),
        _ => return Err(unknown),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::{Budget, Limits};

    fn order(text: &str) -> Result<Vec<OrderTerm>, String> {
        let budget = Budget::new(&Limits::default());
        terms(&mut Cursor::new(text, &budget)).map_err(|fault| fault.details)
    }

    #[test]
    fn nulls_follow_the_direction_unless_given() {
        let found = order("a,b.asc,c.desc,d.desc.nullslast,e.nullsfirst").expect("an order");
        let effective: Vec<_> = found.iter().map(|term| (term.direction(), term.nulls())).collect();
        assert_eq!(
            effective,
            [
                (Direction::Ascending, Nulls::Last),
                (Direction::Ascending, Nulls::Last),
                (Direction::Descending, Nulls::First),
                (Direction::Descending, Nulls::Last),
                (Direction::Ascending, Nulls::First),
            ]
        );
    }

    #[test]
    fn keys_may_be_json_or_of_an_embed() {
        let found = order("meta->rank->>0.asc, owner(name).desc").expect("an order");
        assert_eq!(found[0].field.path.len(), 2);
        assert_eq!(found[1].relation.as_deref(), Some("owner"));
        assert_eq!(found[1].field, FieldPath::column("name"));
    }

    #[test]
    fn modifiers_stand_in_order() {
        for text in
            ["a.up", "a.asc.desc", "a.nullslast.asc", "a.asc.nullslast.nullsfirst", "a.", "", "a,,b", "a b)"]
        {
            assert!(order(text).is_err(), "{text}");
        }
        assert_eq!(
            order("a.up").unwrap_err(),
            "unexpected \"u\" expecting order direction (asc or desc) or nulls (nullsfirst or nullslast)"
        );
    }
}

//! In which order tables come in, so that what a row refers to is there before it, and which references must wait.

use models::{TableInfo, schema};

/// Tables in the order in which they come in, parents first. Where references go round in a circle, a column that may be
/// NULL waits.
pub(super) fn order() -> Vec<&'static TableInfo> {
    let mut left: Vec<&TableInfo> = schema().tables.iter().collect();
    let mut ordered: Vec<&TableInfo> = Vec::new();
    while !left.is_empty() {
        let is_there = |table: &TableInfo, may_wait: bool| {
            table.relations.iter().filter(|relation| relation.enforced).all(|relation| {
                relation.target == table.id
                    || ordered.iter().any(|known| known.id == relation.target)
                    || may_wait && table.table.columns[relation.column].is_nullable
            })
        };
        let next = left.iter().position(|table| is_there(table, false));
        let next = next.or_else(|| left.iter().position(|table| is_there(table, true)));
        // A circle of columns that cannot be NULL would be no rows at all.
        ordered.push(left.remove(next.unwrap_or(0)));
    }
    ordered
}

/// Columns of a table whose references wait until all tables are in: to the table itself, or to one that comes later.
pub(super) fn late(table: &TableInfo, order: &[&TableInfo]) -> Vec<usize> {
    let place = |id: usize| order.iter().position(|table| table.id == id);
    let is_late = |column: usize, target: usize| {
        table.table.columns[column].is_nullable && place(target) >= place(table.id)
    };
    let enforced = table.relations.iter().filter(|relation| relation.enforced);
    let mut columns: Vec<usize> = enforced
        .filter(|relation| is_late(relation.column, relation.target))
        .map(|relation| relation.column)
        .collect();
    columns.dedup();
    columns
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_row_refers_to_is_there_before_it_or_waits() {
        let order = order();
        assert_eq!(order.len(), schema().tables.len());
        for (position, table) in order.iter().enumerate() {
            let late = late(table, &order);
            for relation in table.relations.iter().filter(|relation| relation.enforced) {
                let is_before = order[..position].iter().any(|known| known.id == relation.target);
                assert!(
                    is_before || late.contains(&relation.column) || relation.target == table.id,
                    "{}.{}",
                    table.name(),
                    table.table.columns[relation.column].name
                );
            }
        }
    }
}

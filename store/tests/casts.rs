//! Casts of fields and statistics in a query.

use models::{Claims, ColumnType, Row, Value, schema};
use store::query::{Field, Function, Item, Limits, Output, Query, Reader};
use store::{Caller, OpenOptions, Store, StoreError};

const TABLE: &str = "compel_configs";

fn of(column: &str) -> Field {
    Field::column(schema().known(TABLE).at(column))
}

fn cast(column: &str, kind: ColumnType) -> Item {
    Item::Field(Field { cast: Some(kind), ..of(column) })
}

fn sum(column: &str, kind: ColumnType) -> Item {
    Item::Aggregate { function: Function::Sum, of: Some(of(column)), cast: Some(kind) }
}

#[test]
fn fields_and_statistics_are_cast_as_in_sql() {
    let folder = tempfile::tempdir().expect("a folder");
    let (store, _) = Store::open(folder.path(), schema(), &OpenOptions::default()).expect("a store");
    let claims = Claims::service();
    let caller = Caller::new(&claims);
    let table = schema().known(TABLE);
    let insert = |quality: &str| {
        let number = models::convert::from_text(ColumnType::Numeric, quality).expect("a number");
        let (_, durable) = store
            .transact(&claims, |transaction| {
                let mut row: Row = table.default_row();
                row[table.at("config_name")] = Value::text("it");
                row[table.at("config_hash")] = Value::text(quality);
                row[table.at("weights")] = Value::Json("{}".into());
                row[table.at("avg_quality")] = number;
                row[table.at("is_active")] = Value::Bool(true);
                row[table.at("total_tests")] = Value::Int(3);
                row[table.at("created_at")] = Value::Timestamp(86_400_000_000 + 1);
                transaction.insert(&caller, table, row)
            })
            .expect("the row fits");
        durable.wait_blocking().expect("durable");
    };
    let read = |item: Item| -> Result<Value, StoreError> {
        let query =
            Query { select: vec![Output { key: "it".into(), item }], ..Query::all(table.id) }.limit(1);
        let rows = Reader::new(store.reads(), &caller, Limits::default()).select(&query, false)?.rows;
        Ok(rows[0][0].clone())
    };
    insert("2.5");
    for (column, kind, wanted) in [
        ("avg_quality", ColumnType::Int4, Value::Int(3)),
        ("avg_quality", ColumnType::Float8, Value::Float(2.5)),
        ("created_at", ColumnType::Date, Value::Date(1)),
        ("is_active", ColumnType::Int4, Value::Int(1)),
        ("total_tests", ColumnType::Bool, Value::Bool(true)),
        ("total_tests", ColumnType::Text, Value::text("3")),
    ] {
        assert_eq!(read(cast(column, kind)).expect("a value"), wanted, "{column} {kind:?}");
    }
    assert_eq!(read(sum("avg_quality", ColumnType::Int8)).expect("a sum"), Value::Int(3));
    insert("3000000000");
    let out_of_range = |item| assert_eq!(read(item).expect_err("too large").sqlstate(), "22003");
    out_of_range(sum("avg_quality", ColumnType::Int4));
    out_of_range(Item::Aggregate {
        function: Function::Max,
        of: Some(of("avg_quality")),
        cast: Some(ColumnType::Int4),
    });
}

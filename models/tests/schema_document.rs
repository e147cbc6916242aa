//! The declarations are the schema document, field by field.

use serde_json::Value as Json;

fn document() -> Vec<Json> {
    let text = include_str!("../../tests/fixtures/tables.json");
    serde_json::from_str(text).expect("the fixture is JSON")
}

#[test]
fn declarations_fit_together() {
    if let Err(mistakes) = models::Schema::build(models::TABLES) {
        panic!("{}", mistakes.join("\n"));
    }
}

#[test]
fn every_field_of_the_document_is_declared() {
    let declared = models::describe::public_schema();
    let declared = declared.as_array().expect("an array");
    // Tables that the document does not have say so.
    let declared: Vec<&Json> =
        declared.iter().filter(|table| table["origin"] != serde_json::json!(["ours"])).collect();
    let expected = document();
    assert_eq!(declared.len(), expected.len());
    for (declared, expected) in declared.iter().zip(&expected) {
        let name = &expected["name"];
        for (key, value) in expected.as_object().expect("an object") {
            assert_eq!(declared.get(key), Some(value), "{name}.{key}");
        }
        assert_eq!(
            declared.as_object().map(|it| it.len()),
            expected.as_object().map(|it| it.len()),
            "{name}"
        );
    }
}

#[test]
fn every_foreign_key_has_an_index() {
    for table in &models::schema().tables {
        for relation in &table.relations {
            let leads = table.primary_key.first() == Some(&relation.column)
                || table
                    .indexes
                    .iter()
                    .any(|index| index.parts[0].column == relation.column && index.has_all_values());
            assert!(leads, "{}.{}", table.name(), relation.name);
        }
    }
}

/// Indexes of ours stand beside the document's, are marked, and serve the newest rows of whatever a policy binds.
#[test]
fn every_table_with_an_owner_and_a_time_lists_the_newest_of_one_owner_by_an_index() {
    let documented: Vec<String> = document()
        .iter()
        .flat_map(|table| table["indexes"].as_array().cloned().unwrap_or_default())
        .filter_map(|index| index["name"].as_str().map(str::to_string))
        .collect();
    let mut owned = 0;
    for table in &models::schema().tables {
        for index in &table.indexes {
            let is_documented = documented.contains(&index.names[0]);
            assert!(!(index.is_own && is_documented), "{} is the document's", index.names[0]);
        }
        let (Some(owner), Some(time)) = (table.column("user_id"), table.column("created_at")) else {
            continue;
        };
        if !table.table.policies.select.contains("owner(user_id)") {
            continue;
        }
        owned += 1;
        let serves = |index: &models::schema::IndexInfo| {
            let columns: Vec<usize> = index.parts.iter().map(|part| part.column).collect();
            index.filter.is_none() && columns == [owner, time]
        };
        assert!(table.indexes.iter().any(serves), "{}", table.name());
    }
    assert!(owned > 20, "{owned}");
}

/// A row that refers to nothing has no entry in the index of that reference, unless a policy asks for owners or for NULL.
#[test]
fn an_index_of_a_reference_leaves_rows_out_that_refer_to_nothing() {
    let index_of = |table: &str, column: &str| {
        let table = models::schema().known(table);
        let leads = |index: &&models::schema::IndexInfo| index.parts[0].column == table.at(column);
        table.indexes.iter().find(leads).expect("an index")
    };
    for (table, column, leaves_out) in [
        ("characters", "project_id", true),
        ("characters", "creator_id", true),
        ("jobs", "image_id", true),
        ("characters", "user_id", false),
        ("messages", "conversation_id", false),
        ("jobs", "created_at", false),
    ] {
        let index = index_of(table, column);
        assert_eq!(index.filter.is_some(), leaves_out, "{table}.{column}");
        assert!(index.has_all_values(), "{table}.{column}");
    }
    for table in &models::schema().tables {
        for index in table.indexes.iter().filter(|index| index.unique && index.has_all_values()) {
            assert!(index.filter.is_none(), "{:?} is unique", index.names);
        }
    }
}

/// What one index finds, another that begins with it finds as well, so it costs writes for nothing.
#[test]
fn no_index_is_the_beginning_of_another() {
    for table in &models::schema().tables {
        let plain = || {
            table
                .indexes
                .iter()
                .filter(|index| index.filter.is_none() && index.kind == models::table::IndexKind::Btree)
        };
        for index in plain().filter(|index| !index.unique) {
            let longer = plain()
                .find(|other| other.parts.len() > index.parts.len() && other.parts.starts_with(&index.parts));
            assert!(
                longer.is_none(),
                "{}: {:?} and {:?}",
                table.name(),
                index.names,
                longer.map(|it| &it.names)
            );
        }
    }
}

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
                    .any(|index| index.parts[0].column == relation.column && index.filter.is_none());
            assert!(leads, "{}.{}", table.name(), relation.name);
        }
    }
}

//! The audit trail: what it keeps of a change, and what goes.

use actors::telemetry::prune_audit::{Retention, prune};
use actors::write_rows::{Change, WriteRows};
use actors::{Actors, Mailbox};
use models::{Claims, Row, Value, schema};
use serde_json::{Value as Json, json};
use store::query::{Filter, Limits, Query, Reader};
use store::{Caller, OpenOptions, Store};
use uuid::Uuid;

async fn write(actors: &Actors, table: &str, change: Change) {
    let table = schema().known(table).id;
    let write = WriteRows {
        table,
        change,
        returning: None,
        exactly_one: false,
        affected_max: None,
        limits: Limits::default(),
    };
    actors.ask(&Claims::service(), write).await.expect("a write");
}

fn row(table: &str, values: &[(&str, Value)]) -> Row {
    let table = schema().known(table);
    let mut row = table.default_row();
    values.iter().for_each(|(column, value)| row[table.at(column)] = value.clone());
    row
}

async fn insert(actors: &Actors, table: &str, values: &[(&str, Value)]) {
    write(actors, table, Change::Insert { rows: vec![row(table, values)], conflict: None }).await;
}

/// Entries in the order of their time, with what they say of before and after.
fn trail(actors: &Actors) -> Vec<(Row, Json, Json)> {
    let audit = schema().known("audit_logs");
    let claims = Claims::service();
    let query = Query::all(audit.id).filter(Filter::equal(audit.at("entity_type"), Value::text("projects")));
    let mut rows = Reader::new(actors.store().reads(), &Caller::new(&claims), Limits::default())
        .stored(&query, models::Command::Select)
        .expect("a read");
    let said = |row: &Row, column: &str| row[audit.at(column)].as_json().unwrap_or(Json::Null);
    rows.sort_by_key(|row| (row[audit.at("timestamp")].as_micros(), row[audit.at("id")].as_uuid()));
    rows.into_iter().map(|row| (row.clone(), said(&row, "old_value"), said(&row, "new_value"))).collect()
}

#[test]
fn a_change_is_kept_as_what_differs_and_the_oldest_entries_go() {
    let folder = tempfile::tempdir().expect("a folder");
    actix::System::new().block_on(async {
        let (store, _) = Store::open(folder.path(), schema(), &OpenOptions::default()).expect("a store");
        let actors = Actors::start(store, Mailbox::default());
        let id = Value::Uuid(Uuid::from_u128(1));
        insert(&actors, "auth.users", &[("id", id.clone())]).await;
        let projects = schema().known("projects");
        let project = [
            ("id", id.clone()),
            ("user_id", id.clone()),
            ("name", Value::text("one")),
            ("title", Value::text("same")),
        ];
        insert(&actors, "projects", &project).await;
        let set = |values: &[(&str, Value)]| Change::Update {
            filter: Filter::equal(projects.at("id"), id.clone()),
            scope: Box::new(Query::all(projects.id)),
            set: values.iter().map(|(column, value)| (projects.at(column), value.clone())).collect(),
        };
        write(&actors, "projects", set(&[("name", Value::text("two")), ("preview_url", Value::text("/a"))]))
            .await;
        write(&actors, "projects", set(&[("preview_url", Value::Null)])).await;
        let filter = Filter::equal(projects.at("id"), id.clone());
        let scope = Box::new(Query::all(projects.id));
        write(&actors, "projects", Change::Delete { filter, scope }).await;

        let entries = trail(&actors);
        let [created, changed, emptied, deleted] = &entries[..] else { panic!("{} entries", entries.len()) };
        assert_eq!(
            (&created.1, &created.2["name"], &created.2["title"]),
            (&Json::Null, &json!("one"), &json!("same"))
        );
        let but_time = |value: &Json| {
            let mut value = value.clone();
            assert!(value.as_object_mut().expect("an object").remove("updated_at").is_some());
            value
        };
        assert_eq!(but_time(&changed.1), json!({"preview_url": null, "name": "one"}));
        assert_eq!(but_time(&changed.2), json!({"preview_url": "/a", "name": "two"}));
        assert_eq!(
            (but_time(&emptied.1), but_time(&emptied.2)),
            (json!({"preview_url": "/a"}), json!({"preview_url": null}))
        );
        assert_eq!(
            (&deleted.1["name"], &deleted.1["title"], &deleted.2),
            (&json!("two"), &json!("same"), &Json::Null)
        );
        let ids: Vec<Uuid> = entries.iter().filter_map(|(row, ..)| row[0].as_uuid()).collect();
        assert!(ids.is_sorted(), "{ids:?}");

        // What an earlier version left has a random key; and something that is to stay.
        let day = 24 * 3600 * 1_000_000;
        let now = chrono::Utc::now().timestamp_micros();
        for (random, age) in [(u128::MAX / 5, 100), (u128::MAX - 1, 100), (u128::MAX - 2, 10), (7, 100)] {
            let entry = [
                ("id", Value::Uuid(Uuid::from_u128(random))),
                ("entity_type", Value::text("projects")),
                ("entity_id", id.clone()),
                ("action", Value::text("update")),
                ("timestamp", Value::Timestamp(now - age * day)),
            ];
            insert(&actors, "audit_logs", &entry).await;
        }
        let retention = Retention { days: Some(90), bytes: None };
        assert_eq!(prune(&actors, retention).await.expect("a removal"), 3);
        assert_eq!(trail(&actors).len(), 5);
        assert_eq!(prune(&actors, retention).await.expect("a removal"), 0);
        // Nothing is known of sizes before the store was looked over.
        assert_eq!(prune(&actors, Retention { days: None, bytes: Some(1) }).await.expect("no removal"), 0);
        assert_eq!(actors.store().check().expect("a report").faults, 0);
        let audit = schema().known("audit_logs");
        let bytes = actors.store().live_bytes_of(audit).expect("known");
        let roomy = Retention { days: None, bytes: Some(bytes) };
        assert_eq!(prune(&actors, roomy).await.expect("no removal"), 0);
        for number in 2..900 {
            insert(
                &actors,
                "projects",
                &[
                    ("id", Value::Uuid(Uuid::from_u128(number))),
                    ("user_id", id.clone()),
                    ("name", Value::text("n")),
                ],
            )
            .await;
        }
        let grown = actors.store().live_bytes_of(audit).expect("known");
        assert!(grown > bytes * 100, "{grown}");
        let limit = grown / 3 * 2;
        let removed = prune(&actors, Retention { days: None, bytes: Some(limit) }).await.expect("a removal");
        assert!(removed >= 6, "{removed}");
        assert!(actors.store().live_bytes_of(audit).expect("known") <= limit);
        let left = trail(&actors);
        assert!(
            left.iter().all(|(row, ..)| !ids.contains(&row[0].as_uuid().expect("a key"))),
            "the oldest went"
        );
        assert!(!left.is_empty());
        let counted = actors.store().live_bytes_of(audit);
        assert_eq!(actors.store().check().expect("a report").faults, 0);
        assert_eq!(actors.store().live_bytes_of(audit), counted, "what is carried on is what there is");
    });
}

//! Files inside other decisions: row and object land together, and no sweep takes bytes that a row names.

use std::time::Duration;

use actors::file::seed_buckets::SeedBuckets;
use actors::file::{FileRefusal, NewObject, delete_object_rows, put_object_rows};
use actors::user::create_account::CreateAccount;
use actors::user::library_bin::{BinItems, RestoreItems, SweepBin};
use actors::{Decision, Refusal};
use models::{Claims, Value, schema};
use store::blob::BlobHash;
use store::{Caller, OpenOptions, Store, StoreError};
use uuid::Uuid;

const USER: Uuid = Uuid::from_u128(7);

fn open(folder: &std::path::Path) -> Store {
    let (store, _) = Store::open(folder, schema(), &OpenOptions::default()).expect("a store");
    commit(&store, &Claims::service(), |transaction| SeedBuckets.decide(transaction)).expect("buckets");
    store
}

fn commit<T>(
    store: &Store,
    claims: &Claims,
    decide: impl FnOnce(&store::Transaction) -> Result<T, Refusal>,
) -> Result<T, Refusal> {
    let (answer, durable) = store.transact(claims, decide)?;
    durable.wait_blocking()?;
    Ok(answer)
}

fn picture(blob: BlobHash, name: &str) -> NewObject {
    NewObject {
        bucket: "workspace-temp".into(),
        name: format!("{USER}/{name}"),
        owner: Some(USER),
        blob,
        size: 3,
        mime_type: "image/png".into(),
        cache_control: None,
        user_metadata: None,
    }
}

fn objects(store: &Store) -> usize {
    let table = schema().known("storage.objects");
    store
        .reads()
        .referring(table, table.at("bucket_id"), &Value::text("workspace-temp"))
        .map_or(0, |rows| rows.len())
}

#[test]
fn an_object_lands_with_what_names_it_or_not_at_all() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(folder.path());
    let blob = store.blobs().write(b"one").expect("a blob");
    let claims = Claims::service();
    let failed = commit(&store, &claims, |transaction| {
        put_object_rows(transaction, &Caller::new(&claims), picture(blob, "a.png"), false)?;
        // What comes after it in the same decision is refused.
        Err::<(), _>(StoreError::raised("P0001", "no").into())
    });
    assert!(failed.is_err());
    assert_eq!(objects(&store), 0);
    let row = commit(&store, &claims, |transaction| {
        let caller = Caller::new(&claims);
        put_object_rows(transaction, &caller, picture(blob, "a.png"), false)?;
        put_object_rows(transaction, &caller, picture(blob, "b.png"), false)
    });
    let owner = schema().known("storage.objects").at("owner");
    assert_eq!(row.expect("two objects")[owner], Value::Uuid(USER));
    assert_eq!(objects(&store), 2);
    let again = commit(&store, &claims, |transaction| {
        put_object_rows(transaction, &Caller::new(&claims), picture(blob, "a.png"), false)
    });
    assert!(matches!(again, Err(Refusal::Store(StoreError::Duplicate { .. }))), "{again:?}");
    // Policies count for whom the decision is made.
    let stranger = Claims::user(Uuid::from_u128(8));
    let refused = commit(&store, &stranger, |transaction| {
        put_object_rows(transaction, &Caller::new(&stranger), picture(blob, "c.png"), false)
    });
    assert!(matches!(refused, Err(Refusal::Store(StoreError::Policy { .. }))), "{refused:?}");
}

#[test]
fn a_sweep_takes_only_what_no_row_names_and_nobody_is_about_to_name() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(folder.path());
    let claims = Claims::service();
    let named = store.blobs().write(b"one").expect("a blob");
    let waiting = store.blobs().write(b"two").expect("a blob");
    let put = |blob| {
        commit(&store, &claims, |transaction| {
            put_object_rows(transaction, &Caller::new(&claims), picture(blob, "a.png"), true)
        })
    };
    put(named).expect("an object");
    // An upload whose row has not come yet is young.
    assert_eq!(store.sweep(Duration::from_secs(60), false).expect("a sweep"), []);
    assert_eq!(store.sweep(Duration::ZERO, true).expect("a sweep"), [waiting]);
    assert!(store.blobs().exists(&waiting));
    assert_eq!(store.sweep(Duration::ZERO, false).expect("a sweep"), [waiting]);
    // A row that would name swept bytes is refused rather than broken.
    assert!(matches!(put(waiting), Err(Refusal::File(FileRefusal::BlobGone))));
    // Replaced and removed bytes become garbage.
    let newer = store.blobs().write(b"three").expect("a blob");
    put(newer).expect("an object");
    assert_eq!(store.sweep(Duration::ZERO, false).expect("a sweep"), [named]);
    let removed = commit(&store, &claims, |transaction| {
        let caller = Caller::new(&claims);
        delete_object_rows(transaction, &caller, "workspace-temp", &format!("{USER}/a.png"))
    });
    assert!(removed.expect("a decision").is_some());
    assert_eq!(store.sweep(Duration::ZERO, false).expect("a sweep"), [newer]);
    let report = store.check().expect("a report");
    assert_eq!((report.faults, report.orphans.len()), (0, 0), "{:?}", report.listed);
}

#[test]
fn writing_known_bytes_again_makes_them_young() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(folder.path());
    let blob = store.blobs().write(b"one").expect("a blob");
    let long_ago = std::time::SystemTime::now() - Duration::from_secs(3600);
    let file = std::fs::File::options().append(true).open(store.blobs().path(&blob)).expect("a file");
    file.set_modified(long_ago).expect("a time");
    assert_eq!(store.sweep(Duration::from_secs(60), true).expect("a sweep"), [blob]);
    assert_eq!(store.blobs().write(b"one").expect("a blob"), blob);
    assert_eq!(store.sweep(Duration::from_secs(60), false).expect("a sweep"), []);
}

#[test]
fn what_lay_in_the_bin_for_its_time_goes_with_its_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(folder.path());
    let claims = Claims::service();
    let account = CreateAccount {
        user_id: USER,
        email: Some("ada@example.com".into()),
        phone: None,
        password_hash: None,
        user_metadata: serde_json::json!({}),
        app_metadata: serde_json::json!({}),
        email_confirmed: true,
        phone_confirmed: false,
        invited: false,
    };
    commit(&store, &claims, |transaction| account.decide(transaction)).expect("an account");
    let blob = store.blobs().write(b"one").expect("a blob");
    let library = schema().known("user_library");
    let mut ids = Vec::new();
    // Both rows are of the same file, as after keeping a picture twice.
    for _ in 0..2 {
        let mut row = library.default_row();
        let path = format!("{USER}/a.png");
        let values = [
            ("user_id", Value::Uuid(USER)),
            ("asset_type", Value::text("image")),
            ("storage_path", Value::Text(path)),
            ("file_size_bytes", Value::Int(3)),
            ("mime_type", Value::text("image/png")),
            ("original_prompt", Value::text("x")),
            ("model_used", Value::text("x")),
        ];
        values.into_iter().for_each(|(column, value)| row[library.at(column)] = value);
        ids.push(row[library.at("id")].as_uuid().expect("an id"));
        let file = NewObject { bucket: "user-library".into(), ..picture(blob, "a.png") };
        commit(&store, &claims, |transaction| {
            put_object_rows(transaction, &Caller::new(&claims), file, true)?;
            Ok(transaction.insert(&Caller::new(&claims), library, row)?)
        })
        .expect("a row of the library");
    }
    let files = || {
        let table = schema().known("storage.objects");
        let of_library = Value::text("user-library");
        store.reads().referring(table, table.at("bucket_id"), &of_library).map_or(0, |rows| rows.len())
    };
    let bin = |id: Uuid, days: u32| {
        let decision = BinItems { user_id: USER, ids: vec![id], days };
        commit(&store, &claims, |transaction| decision.decide(transaction)).expect("it is deleted")
    };
    let sweep = || commit(&store, &claims, |transaction| SweepBin.decide(transaction)).expect("a sweep");
    assert_eq!(bin(ids[0], 0), [ids[0]]);
    assert_eq!((sweep(), files()), (1, 1), "the other row still shows the file");
    assert_eq!(bin(ids[1], 1), [ids[1]]);
    assert_eq!((sweep(), files()), (0, 1), "it can be put back for a day");
    let restore = RestoreItems { user_id: USER, ids: ids.clone() };
    let restored = commit(&store, &claims, |transaction| restore.decide(transaction)).expect("it comes back");
    assert_eq!(restored, [ids[1]], "what has gone for good does not come back");
    bin(ids[1], 0);
    assert_eq!((sweep(), files()), (1, 0));
}

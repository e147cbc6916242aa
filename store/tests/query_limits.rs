//! What a read may take: time wherever it is spent, and memory wherever it is held.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use models::{Claims, ColumnType, Command, Row, Value, schema};
use store::query::{
    Embed, Field, Filter, Function, Item, Like, Limits, Link, Operator, Order, OrderBy, Output, Query,
    Reader, Rows, Test,
};
use store::shares::{Owner, ReadShare, Shares, Waiting};
use store::{Caller, OpenOptions, Store, StoreError};
use uuid::Uuid;

const CHARACTERS: u128 = 10;
const SCENES_EACH: u128 = 5;
/// Of the text in each character of the first user; the second has small ones.
const TEXT_BYTES: usize = 10_000;

static STORE: LazyLock<(Store, tempfile::TempDir)> = LazyLock::new(|| {
    let folder = tempfile::tempdir().expect("a folder");
    let (store, _) = Store::open(folder.path(), schema(), &OpenOptions::default()).expect("a store");
    let claims = Claims::service();
    let (_, durable) = store
        .transact(&claims, |transaction| {
            let insert = |table: &str, values: &[(&str, Value)]| {
                let table = schema().known(table);
                let mut row = table.default_row();
                values.iter().for_each(|(column, value)| row[table.at(column)] = value.clone());
                transaction.insert(&Caller::new(&claims), table, row)
            };
            for (user, bytes) in [(1, TEXT_BYTES), (2, 1)] {
                insert("auth.users", &[("id", uuid(user))])?;
                insert("profiles", &[("id", uuid(user))])?;
                for number in 0..CHARACTERS {
                    let id = uuid(user * 100 + number);
                    let text = format!("{number}{}", "y".repeat(bytes));
                    insert(
                        "characters",
                        &[
                            ("id", id.clone()),
                            ("user_id", uuid(user)),
                            ("name", Value::text("x")),
                            ("description", Value::Text(text)),
                            ("likes_count", Value::Int(number as i64)),
                        ],
                    )?;
                    for scene in 0..SCENES_EACH {
                        let scene = uuid((user * 100 + number) * 100 + scene);
                        let prompt = ("scene_prompt", Value::text("z"));
                        insert("character_scenes", &[("id", scene), ("character_id", id.clone()), prompt])?;
                    }
                }
            }
            Ok::<_, StoreError>(())
        })
        .expect("the rows fit");
    durable.wait_blocking().expect("durable");
    (store, folder)
});

fn uuid(number: u128) -> Value {
    Value::Uuid(Uuid::from_u128(number))
}

fn column(table: &str, name: &str) -> usize {
    schema().known(table).at(name)
}

fn field(table: &str, name: &str) -> Output {
    Output { key: name.to_string().into(), item: Item::Field(Field::column(column(table, name))) }
}

fn read(query: &Query, limits: Limits) -> Result<Rows, StoreError> {
    let claims = Claims::service();
    let caller = Caller::new(&claims);
    Reader::new(STORE.0.reads(), &caller, limits).select(query, false)
}

/// Of one user.
fn characters(user: u128, select: Vec<Output>) -> Query {
    Query { select, ..Query::all(schema().known("characters").id) }.equal("user_id", uuid(user))
}

fn by(name: &str) -> Order {
    let by = OrderBy::Field(Field::column(column("characters", name)));
    Order { by, descending: true, nulls_first: false }
}

#[test]
fn the_time_is_over_wherever_it_is_spent() {
    let none = Limits { duration_max: Duration::ZERO, ..Limits::default() };
    let over = |query: &Query| {
        assert_eq!(read(query, Limits::default()).expect("rows").rows.len(), CHARACTERS as usize);
        assert!(matches!(read(query, none), Err(StoreError::Timeout)), "{query:?}");
    };
    let ids = || characters(2, vec![field("characters", "id")]);
    // Ten small rows alone pass without a look at the clock; ten large ones do not.
    assert_eq!(read(&ids(), none).expect("few rows").rows.len(), CHARACTERS as usize);
    over(&characters(1, vec![field("characters", "id")]));
    // Nor do they when they must be sorted.
    over(&Query { order: vec![by("likes_count")], ..ids() });
    // Few rows on each level, but many in all: what is embedded, and what must exist.
    let scenes = || Embed {
        key: "scenes".into(),
        link: Link::Direct {
            own: column("characters", "id"),
            column: column("character_scenes", "character_id"),
            to_one: false,
        },
        inner: false,
        spread: false,
        query: Query {
            select: vec![field("character_scenes", "id")],
            ..Query::all(schema().known("character_scenes").id)
        },
    };
    let embedded = Output { key: "scenes".into(), item: Item::Embed(0) };
    over(&Query { embeds: vec![scenes()], ..characters(2, vec![field("characters", "id"), embedded]) });
    let exists = Filter::Embed { embed: 0, exists: true };
    over(&Query { embeds: vec![scenes()], ..ids() }.filter(exists));
    over(&Query { embeds: vec![Embed { inner: true, ..scenes() }], ..ids() });
}

/// Values that lie in blobs count by their size, each time that they are tested; where none may be read, none is.
#[test]
fn large_values_count_wherever_they_are_looked_at() {
    let folder = tempfile::tempdir().expect("a folder");
    let (store, _) = Store::open(folder.path(), schema(), &OpenOptions::default()).expect("a store");
    let (users, claims) = (schema().known("auth.users"), Claims::service());
    let caller = Caller::new(&claims);
    let (_, durable) = store
        .transact(&claims, |transaction| {
            let mut row = users.default_row();
            row[users.at("id")] = uuid(1);
            row[users.at("email")] = Value::Text("fog".repeat(100_000));
            transaction.insert(&caller, users, row).map(|_| ())
        })
        .map_err(|error: StoreError| error.to_string())
        .expect("the row fits");
    durable.wait_blocking().expect("durable");
    let none = Limits { duration_max: Duration::ZERO, ..Limits::default() };
    let reader = |limits| Reader::new(store.reads(), &caller, limits);
    let id = || Query { select: vec![field("auth.users", "id")], ..Query::all(users.id) };
    assert_eq!(reader(none).select(&id(), false).expect("a small value").rows, [[uuid(1)]]);
    let like = Operator::Like(Like::new("%mist%", true));
    let test = Filter::Test(Test { field: Field::column(users.at("email")), operator: like });
    let tested = id().filter(Filter::Or(vec![test, Filter::All]));
    assert_eq!(reader(Limits::default()).select(&tested, false).expect("rows").rows.len(), 1);
    let email = Query { select: vec![field("auth.users", "email")], ..Query::all(users.id) };
    let sorted = Query {
        order: vec![Order { by: OrderBy::Field(Field::column(users.at("email"))), ..by("name") }],
        ..id()
    };
    for query in [&tested, &email, &sorted] {
        assert!(matches!(reader(none).select(query, false), Err(StoreError::Timeout)), "{query:?}");
        assert!(matches!(reader(none).select_json(query, false), Err(StoreError::Timeout)), "{query:?}");
    }
    let point = |query: Query| query.equal("id", uuid(1));
    let short = |query| reader(Limits::default()).select_short_json(&point(query), false).expect("an answer");
    assert_eq!(short(id()).map(|rows| rows.rows), Some(1));
    assert!(short(email.clone()).is_none() && short(tested).is_none());
    assert!(reader(Limits::default()).select_point(&point(email), false).expect("an answer").is_none());
}

#[test]
fn each_test_of_a_large_row_counts() {
    let none = Limits { duration_max: Duration::ZERO, ..Limits::default() };
    let unlike = || Operator::Like(Like::new("%none%", false));
    let test = || {
        Filter::Test(Test { field: Field::column(column("characters", "description")), operator: unlike() })
    };
    let one = |user: u128, tests: usize| {
        let first = Filter::equal(column("characters", "id"), uuid(user * 100));
        characters(user, vec![field("characters", "id")])
            .filter(first.and(Filter::Or((0..tests).map(|_| test()).collect())))
    };
    assert!(read(&one(1, 2), none).is_ok(), "few tests of one row");
    assert!(matches!(read(&one(1, 100), none), Err(StoreError::Timeout)));
    assert!(read(&one(1, 100), Limits::default()).is_ok());
}

#[test]
fn a_read_ends_when_its_caller_has_gone() {
    let left = Arc::new(AtomicBool::new(false));
    let share = ReadShare {
        memory: Shares::new(1 << 30),
        turns: Shares::new(1),
        owner: Owner::Service,
        left: left.clone(),
    };
    let claims = Claims::service();
    let caller = Caller::new(&claims);
    let query = characters(1, vec![field("characters", "id")]);
    let read = || {
        let reader = Reader::new(STORE.0.reads(), &caller, Limits::default());
        reader.sharing(share.clone()).select(&query, false)
    };
    let waiting = Waiting(left);
    assert!(read().is_ok());
    drop(waiting);
    assert!(matches!(read(), Err(StoreError::Timeout)), "it ends at its next look at the clock");
    assert_eq!(share.memory.used(), 0);
}

#[test]
fn what_is_kept_for_sorting_counts() {
    let limits = Limits { bytes_max: TEXT_BYTES * 5, ..Limits::default() };
    let mut query = characters(1, vec![field("characters", "id")]);
    assert_eq!(read(&query, limits).expect("nothing is kept").rows.len(), CHARACTERS as usize);
    query.order = vec![by("likes_count")];
    let refused = read(&query, limits);
    assert!(matches!(refused, Err(StoreError::Limit { what, .. }) if what.contains("sort")), "{refused:?}");
    // The first few fit, however many they are chosen from.
    let rows = read(&query.limit(2), limits).expect("two are kept").rows;
    assert_eq!(rows, [[uuid(109)], [uuid(108)]]);
}

#[test]
fn what_is_kept_for_groups_counts() {
    let limits = Limits { bytes_max: TEXT_BYTES * 5, ..Limits::default() };
    let statistic = |function, of: Option<&str>| Output {
        key: "it".into(),
        item: Item::Aggregate {
            function,
            of: of.map(|name| Field::column(column("characters", name))),
            cast: None::<ColumnType>,
        },
    };
    let count = || statistic(Function::Count, None);
    let by_name =
        read(&characters(1, vec![field("characters", "name"), count()]), limits).expect("one group");
    assert_eq!(by_name.rows, [[Value::text("x"), Value::Int(CHARACTERS as i64)]]);
    let by_text = characters(1, vec![field("characters", "description"), count()]);
    // The page is small, the groups are not.
    let refused = read(&by_text.limit(1), limits);
    assert!(matches!(refused, Err(StoreError::Limit { what, .. }) if what.contains("groups")), "{refused:?}");
    let least = statistic(Function::Min, Some("description"));
    let refused = read(&characters(1, vec![field("characters", "id"), least]), limits);
    assert!(matches!(refused, Err(StoreError::Limit { what, .. }) if what.contains("groups")), "{refused:?}");
}

#[test]
fn rows_found_before_are_looked_at_again_only_where_they_changed() {
    let folder = tempfile::tempdir().expect("a folder");
    let (store, _) = Store::open(folder.path(), schema(), &OpenOptions::default()).expect("a store");
    let (table, claims) = (schema().known("characters"), Claims::service());
    let caller = Caller::new(&claims);
    let set = |row: &Row, name: &str, text: &str| {
        let mut row = row.clone();
        row[table.at(name)] = Value::text(text);
        row
    };
    let (rows, durable) = store
        .transact(&claims, |transaction| {
            for owner in ["auth.users", "profiles"] {
                let owner = schema().known(owner);
                let mut row = owner.default_row();
                row[owner.at("id")] = uuid(1);
                if transaction.reads().get(owner, &[uuid(1)])?.is_none() {
                    transaction.insert(&caller, owner, row)?;
                }
            }
            let row = |number: u128| {
                let mut row = set(&set(&table.default_row(), "name", "x"), "description", "found");
                row[table.at("user_id")] = uuid(1);
                row[table.at("id")] = uuid(number);
                row
            };
            (1..=4).map(|number| transaction.insert(&caller, table, row(number))).collect()
        })
        .map_err(|error: StoreError| error)
        .expect("the rows fit");
    durable.wait_blocking().expect("durable");
    let rows: Vec<Row> = rows;
    let field = Field::column(table.at("description"));
    let like = Filter::Test(Test { field, operator: Operator::Like(Like::new("f%", false)) });
    let by_key = Query::all(table.id).filter(Filter::equal(table.at("id"), uuid(1)));
    let query = Query::all(table.id).filter(like.clone());
    let reader = Reader::new(store.reads(), &caller, Limits::default());
    assert!(reader.finds_at_once(&by_key, Command::Update).expect("a plan"));
    assert!(!reader.finds_at_once(&by_key.filter(like), Command::Update).expect("a plan"));
    assert!(!reader.finds_at_once(&query, Command::Update).expect("a plan"));
    let found = reader.candidates(&query, Command::Update).expect("candidates");
    assert_eq!(found.len(), 4);
    store
        .transact(&claims, |transaction| {
            transaction.update(&caller, table, &rows[0], set(&rows[0], "description", "lost"))?;
            transaction.update(&caller, table, &rows[1], set(&rows[1], "name", "y"))?;
            transaction.delete(&caller, table, &rows[2])?;
            let reader = Reader::new(transaction.reads(), &caller, Limits::default());
            let confirmed = reader.confirmed(&query, Command::Update, &found)?;
            let names: Vec<_> = confirmed.iter().map(|row| row[table.at("name")].as_str()).collect();
            assert_eq!(names, [Some("y"), Some("x")]);
            // A stranger may not change what is not theirs, whatever was found.
            let stranger = Claims::user(Uuid::from_u128(2));
            let stranger = Caller::new(&stranger);
            let reader = Reader::new(transaction.reads(), &stranger, Limits::default());
            assert!(reader.confirmed(&query, Command::Update, &found)?.is_empty());
            Ok::<_, StoreError>(())
        })
        .map(|_| ())
        .expect("it is tried");
    // A filter that costs much is not tried again on many rows while others wait.
    let large = format!("{}a", "y".repeat(1 << 20));
    store
        .transact(&claims, |transaction| {
            transaction.update(&caller, table, &rows[3], set(&rows[3], "description", &large))?;
            let operator = Operator::Like(Like::new(&format!("%_{}%", "y".repeat(250) + "b"), false));
            let field = Field::column(table.at("description"));
            let costly = Query::all(table.id).filter(Filter::Test(Test { field, operator }));
            let reader = Reader::new(transaction.reads(), &caller, Limits::default());
            let refused = reader.confirmed(&costly, Command::Update, &found);
            assert!(matches!(refused, Err(StoreError::ChangedMeanwhile)), "{refused:?}");
            Ok::<_, StoreError>(())
        })
        .map(|_| ())
        .expect("it is tried");
}

#[test]
fn a_pattern_that_takes_too_long_is_refused() {
    let matching = |pattern: &str| {
        let field = Field::column(column("characters", "description"));
        let operator = Operator::Like(Like::new(pattern, false));
        read(&characters(1, Vec::new()).filter(Filter::Test(Test { field, operator })), Limits::default())
    };
    assert_eq!(matching("_y%").expect("rows").rows.len(), CHARACTERS as usize);
    let refused = matching(&format!("%_{}%", "y".repeat(300)));
    assert!(matches!(refused, Err(error) if error.sqlstate() == "54000"));
}

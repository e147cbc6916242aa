//! The planner against a reader that looks at every row: whatever index is chosen, the rows must be the same.

use std::cmp::Ordering;
use std::sync::LazyLock;

use models::{Claims, Row, TableInfo, Value, schema};
use proptest::prelude::*;
use store::query::{
    Comparison, Embed, Field, Filter, Is, Like, Limits, Link, Operator, Order, OrderBy, Query, Reader, Test,
};
use store::{Caller, OpenOptions, Store};
use uuid::Uuid;

const USERS: u128 = 3;
const CHARACTERS: u128 = 40;
const SCENES: u128 = 300;

/// A store with the same rows every time, and those rows.
struct World {
    store: Store,
    characters: Vec<Row>,
    scenes: Vec<Row>,
    _folder: tempfile::TempDir,
}

static WORLD: LazyLock<World> = LazyLock::new(|| {
    let folder = tempfile::tempdir().expect("a folder");
    let (store, _) = Store::open(folder.path(), schema(), &OpenOptions::default()).expect("a store");
    let claims = Claims::service();
    let (rows, durable) = store
        .transact(&claims, |transaction| {
            let caller = Caller::new(&claims);
            let insert = |table: &str, values: &[(&str, Value)]| {
                let table = schema().known(table);
                let mut row = table.default_row();
                values.iter().for_each(|(column, value)| row[table.at(column)] = value.clone());
                transaction.insert(&caller, table, row)
            };
            for user in 1..=USERS {
                insert("auth.users", &[("id", uuid(user))])?;
                insert("profiles", &[("id", uuid(user)), ("age_verified", Value::Bool(user == 1))])?;
                let prompt = ("original_prompt", Value::text("fog"));
                let kind = ("media_type", Value::text("image"));
                insert("projects", &[("id", uuid(50 + user)), ("user_id", uuid(user)), prompt, kind])?;
            }
            let mut characters = Vec::new();
            for number in 0..CHARACTERS {
                characters.push(insert("characters", &character(number))?);
            }
            let mut scenes = Vec::new();
            for number in 0..SCENES {
                scenes.push(insert("character_scenes", &scene(number))?);
            }
            Ok::<_, store::StoreError>((characters, scenes))
        })
        .expect("the rows fit");
    durable.wait_blocking().expect("durable");
    World { store, characters: rows.0, scenes: rows.1, _folder: folder }
});

fn uuid(number: u128) -> Value {
    Value::Uuid(Uuid::from_u128(number))
}

/// One of a few values, or NULL.
fn pick(values: &[Value], number: u128) -> Value {
    values.get(number as usize % (values.len() + 1)).cloned().unwrap_or(Value::Null)
}

fn texts() -> Vec<Value> {
    // The last two differ beyond what an index keeps.
    let long = "long ".repeat(200);
    ["", "a", "ab", "abc", "b%", "Ä", &format!("{long}1"), &format!("{long}2")].map(Value::text).to_vec()
}

fn truths() -> Vec<Value> {
    vec![Value::Bool(false), Value::Bool(true)]
}

fn times() -> Vec<Value> {
    [-5, 0, 1, 1_000_000, 1_767_225_600_000_000].map(Value::Timestamp).to_vec()
}

fn character(number: u128) -> Vec<(&'static str, Value)> {
    let name = match pick(&texts(), number / 2) {
        Value::Null => Value::text("nobody"),
        text => text,
    };
    vec![
        ("id", uuid(100 + number)),
        ("user_id", pick(&[uuid(1), uuid(2), uuid(3)], number)),
        ("name", name),
        ("description", Value::text("")),
        ("role", pick(&["ai", "user", "narrator"].map(Value::text), number / 3)),
        ("quick_start", pick(&truths(), number / 5)),
        ("is_public", pick(&truths(), number / 7)),
        ("content_rating", Value::text(if number % 4 == 1 { "nsfw" } else { "sfw" })),
        ("project_id", pick(&[uuid(51), uuid(52), Value::Null, Value::Null], number / 2)),
        ("likes_count", pick(&[-3, 0, 7].map(Value::Int), number / 2)),
        ("created_at", pick(&times(), number)),
    ]
}

fn scene(number: u128) -> Vec<(&'static str, Value)> {
    let characters: Vec<Value> = (0..CHARACTERS).map(|number| uuid(100 + number)).collect();
    vec![
        ("id", uuid(1000 + number * 7 % SCENES)),
        ("character_id", pick(&characters, number * number)),
        ("scene_prompt", pick(&texts()[..7], number % 7)),
        ("image_url", pick(&texts(), number / 3)),
        ("created_at", pick(&times(), number / 4)),
    ]
}

/// A condition, with a meaning of its own beside the store's.
#[derive(Clone, Debug)]
enum Condition {
    Compare(&'static str, Comparison, Value),
    Is(&'static str, bool),
    In(&'static str, Vec<Value>),
    StartsWith(&'static str, String),
    Not(Box<Condition>),
    And(Vec<Condition>),
    Or(Vec<Condition>),
}

impl Condition {
    fn filter(&self, table: &TableInfo) -> Filter {
        let test = |column: &str, operator: Operator| {
            Filter::Test(Test { field: Field::column(table.at(column)), operator })
        };
        let all = |parts: &[Condition]| parts.iter().map(|part| part.filter(table)).collect();
        match self {
            Condition::Compare(column, comparison, value) => {
                test(column, Operator::Compare(*comparison, value.clone()))
            }
            Condition::Is(column, null) => {
                test(column, Operator::Is(if *null { Is::Null } else { Is::NotNull }))
            }
            Condition::In(column, values) => test(column, Operator::In(values.clone())),
            Condition::StartsWith(column, prefix) => {
                test(column, Operator::Like(Like::new(&format!("{prefix}%"), false)))
            }
            Condition::Not(inner) => Filter::Not(Box::new(inner.filter(table))),
            Condition::And(parts) => Filter::And(all(parts)),
            Condition::Or(parts) => Filter::Or(all(parts)),
        }
    }

    fn holds(&self, table: &TableInfo, row: &Row) -> Option<bool> {
        let of = |column: &str| &row[table.at(column)];
        match self {
            Condition::Compare(column, comparison, value) => {
                let order = of(column).compare(value)?;
                Some(match comparison {
                    Comparison::Equal => order == Ordering::Equal,
                    Comparison::NotEqual => order != Ordering::Equal,
                    Comparison::Greater => order == Ordering::Greater,
                    Comparison::GreaterOrEqual => order != Ordering::Less,
                    Comparison::Less => order == Ordering::Less,
                    Comparison::LessOrEqual => order != Ordering::Greater,
                })
            }
            Condition::Is(column, null) => Some(of(column).is_null() == *null),
            Condition::In(column, values) => (!of(column).is_null()).then(|| values.contains(of(column))),
            Condition::StartsWith(column, prefix) => of(column).as_str().map(|text| text.starts_with(prefix)),
            Condition::Not(inner) => inner.holds(table, row).map(|truth| !truth),
            Condition::And(parts) => {
                let truths: Vec<_> = parts.iter().map(|part| part.holds(table, row)).collect();
                if truths.contains(&Some(false)) {
                    Some(false)
                } else {
                    (!truths.contains(&None)).then_some(true)
                }
            }
            Condition::Or(parts) => {
                let truths: Vec<_> = parts.iter().map(|part| part.holds(table, row)).collect();
                if truths.contains(&Some(true)) {
                    Some(true)
                } else {
                    (!truths.contains(&None)).then_some(false)
                }
            }
        }
    }
}

/// Columns with the values that conditions about them use.
type Columns = Vec<(&'static str, Vec<Value>)>;

fn character_columns() -> Columns {
    vec![
        ("id", (99..105).map(uuid).collect()),
        ("user_id", vec![uuid(1), uuid(2), uuid(9)]),
        ("name", texts()),
        ("role", ["ai", "user", "robot"].map(Value::text).to_vec()),
        ("quick_start", truths()),
        ("is_public", truths()),
        ("likes_count", [-3, 0, 5].map(Value::Int).to_vec()),
        ("project_id", (51..=54).map(uuid).collect()),
        ("created_at", times()),
    ]
}

fn scene_columns() -> Columns {
    vec![
        ("id", (1000..1010).map(uuid).collect()),
        ("character_id", (100..110).map(uuid).collect()),
        ("image_url", texts()),
        ("created_at", times()),
    ]
}

fn condition(columns: Columns) -> impl Strategy<Value = Condition> {
    let leaf = proptest::sample::select(columns).prop_flat_map(|(column, values)| {
        let comparison = proptest::sample::select(vec![
            Comparison::Equal,
            Comparison::NotEqual,
            Comparison::Greater,
            Comparison::GreaterOrEqual,
            Comparison::Less,
            Comparison::LessOrEqual,
        ]);
        let value = proptest::sample::select(values.clone());
        let some = proptest::collection::vec(value.clone(), 0..4);
        let prefix = value.clone().prop_map(|value| value.as_str().unwrap_or("a").chars().take(2).collect());
        let textual = values[0].as_str().is_some();
        prop_oneof![
            6 => (comparison, value).prop_map(move |(comparison, value)| Condition::Compare(column, comparison, value)),
            1 => any::<bool>().prop_map(move |null| Condition::Is(column, null)),
            2 => some.prop_map(move |values| Condition::In(column, values)),
            1 => prefix.prop_map(move |prefix: String| if textual {
                Condition::StartsWith(column, prefix)
            } else {
                Condition::Is(column, false)
            }),
        ]
    });
    leaf.prop_recursive(2, 8, 3, |inner| {
        let some = proptest::collection::vec(inner.clone(), 0..4);
        prop_oneof![
            3 => some.clone().prop_map(Condition::And),
            1 => some.prop_map(Condition::Or),
            1 => inner.prop_map(|inner| Condition::Not(Box::new(inner))),
        ]
    })
}

/// `(column, descending, nulls first)`.
fn order(columns: Columns) -> impl Strategy<Value = Vec<(&'static str, bool, bool)>> {
    let names: Vec<&'static str> = columns.into_iter().map(|(name, _)| name).collect();
    let term = (proptest::sample::select(names), any::<bool>(), prop::bool::weighted(0.2)).prop_map(
        |(column, descending, odd)| {
            // Mostly as PostgreSQL has it by default.
            (column, descending, descending != odd)
        },
    );
    proptest::collection::vec(term, 0..3)
}

fn sorted_by(table: &TableInfo, order: &[(&str, bool, bool)], left: &Row, right: &Row) -> Ordering {
    let terms = order.iter().map(|(column, descending, nulls_first)| {
        let (left, right) = (&left[table.at(column)], &right[table.at(column)]);
        match (left.is_null(), right.is_null()) {
            (true, true) => Ordering::Equal,
            (true, false) => {
                if *nulls_first {
                    Ordering::Less
                } else {
                    Ordering::Greater
                }
            }
            (false, true) => {
                if *nulls_first {
                    Ordering::Greater
                } else {
                    Ordering::Less
                }
            }
            (false, false) => {
                let order = left.compare(right).expect("one type");
                if *descending { order.reverse() } else { order }
            }
        }
    });
    terms.fold(Ordering::Equal, Ordering::then)
}

struct Asked<'a> {
    condition: &'a Condition,
    order: &'a [(&'static str, bool, bool)],
    offset: u64,
    limit: Option<u64>,
}

/// Runs a query and the naive reading of the same rows, and compares.
fn compare(
    claims: &Claims,
    table: &'static TableInfo,
    query: Query,
    asked: &Asked,
    naive: Vec<&Row>,
) -> Result<(), TestCaseError> {
    let mut query = query.filter(asked.condition.filter(table));
    query.offset = asked.offset;
    query.limit = asked.limit;
    query.order = asked
        .order
        .iter()
        .map(|(column, descending, nulls_first)| Order {
            by: OrderBy::Field(Field::column(table.at(column))),
            descending: *descending,
            nulls_first: *nulls_first,
        })
        .collect();
    let caller = Caller::new(claims);
    let reader = Reader::new(WORLD.store.reads(), &caller, Limits::default());
    let found = reader.select(&query, true).expect("the query runs");
    let plan = reader.explain(&query).expect("a plan");
    let (mut text, json) = (String::new(), reader.select_json(&query, true).expect("the query runs"));
    found.write_json(&mut text);
    prop_assert_eq!(json.map(|rows| (rows.pieces.concat(), rows.total)), Some((text, found.total)));

    let mut expected: Vec<&Row> =
        naive.into_iter().filter(|row| asked.condition.holds(table, row) == Some(true)).collect();
    expected.sort_by(|a, b| sorted_by(table, asked.order, a, b));
    prop_assert_eq!(found.total, Some(expected.len() as u64), "{}", &plan);
    let page = expected.iter().skip(asked.offset as usize);
    let page: Vec<&&Row> = page.take(asked.limit.unwrap_or(1000) as usize).collect();
    prop_assert_eq!(found.rows.len(), page.len(), "{}", &plan);
    let mut keys = std::collections::HashSet::new();
    for (row, expected_row) in found.rows.iter().zip(&page) {
        // Ties may come in any order; each row at most once, and only rows that belong.
        prop_assert_eq!(sorted_by(table, asked.order, row, expected_row), Ordering::Equal, "{}", &plan);
        prop_assert!(keys.insert(row[table.at("id")].as_uuid()), "twice: {}", &plan);
        prop_assert!(expected.contains(&row), "{}", &plan);
    }
    Ok(())
}

fn callers() -> impl Strategy<Value = Option<u128>> {
    proptest::option::of(1..=USERS)
}

fn claims(user: Option<u128>) -> Claims {
    user.map_or_else(Claims::service, |user| Claims::user(Uuid::from_u128(user)))
}

/// The policies of both tables, in the test's own words.
fn may_see(user: Option<u128>, character: &Row) -> bool {
    let characters = schema().known("characters");
    let is = |column: &str, value: Value| character[characters.at(column)] == value;
    let id = user.unwrap_or_default();
    let owned = is("user_id", uuid(id)) || is("project_id", uuid(50 + id));
    let of_age = is("content_rating", Value::text("sfw")) || id == 1;
    user.is_none() || owned || (is("is_public", Value::Bool(true)) && of_age)
}

fn owner_of(user: Option<u128>, scene: &Row) -> bool {
    let (characters, scenes) = (schema().known("characters"), schema().known("character_scenes"));
    let id = &scene[scenes.at("character_id")];
    let character = WORLD.characters.iter().find(|row| row[characters.at("id")] == *id);
    user.is_none()
        || character.is_some_and(|row| Some(row[characters.at("user_id")].clone()) == user.map(uuid))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn characters_are_found_as_by_looking_at_each(
        user in callers(),
        condition in condition(character_columns()),
        order in order(character_columns()),
        offset in 0_u64..4,
        limit in proptest::option::of(0_u64..9),
    ) {
        let table = schema().known("characters");
        let naive = WORLD.characters.iter().filter(|row| may_see(user, row)).collect();
        let asked = Asked { condition: &condition, order: &order, offset, limit };
        compare(&claims(user), table, Query::all(table.id), &asked, naive)?;
    }

    /// Own ones, those of own projects and public ones are walked side by side.
    #[test]
    fn the_newest_characters_are_found_as_by_looking_at_each(
        user in callers(),
        condition in proptest::option::of(condition(character_columns())),
        descending: bool,
        offset in 0_u64..4,
        limit in 0_u64..9,
    ) {
        let table = schema().known("characters");
        let naive = WORLD.characters.iter().filter(|row| may_see(user, row)).collect();
        let condition = condition.unwrap_or(Condition::And(Vec::new()));
        let order = [("created_at", descending, descending)];
        let asked = Asked { condition: &condition, order: &order, offset, limit: Some(limit) };
        compare(&claims(user), table, Query::all(table.id), &asked, naive)?;
    }

    #[test]
    fn scenes_are_found_as_by_looking_at_each(
        user in callers(),
        condition in condition(scene_columns()),
        order in order(scene_columns()),
        offset in 0_u64..4,
        limit in proptest::option::of(0_u64..9),
    ) {
        let table = schema().known("character_scenes");
        let naive = WORLD.scenes.iter().filter(|row| owner_of(user, row)).collect();
        let asked = Asked { condition: &condition, order: &order, offset, limit };
        compare(&claims(user), table, Query::all(table.id), &asked, naive)?;
    }

    /// With a condition on the character that every scene must have: the planner may go through either table.
    #[test]
    fn joined_scenes_are_found_as_by_looking_at_each(
        user in callers(),
        of_character in condition(character_columns()),
        condition in condition(scene_columns()),
        order in order(scene_columns()),
        limit in proptest::option::of(0_u64..9),
    ) {
        let (table, characters) = (schema().known("character_scenes"), schema().known("characters"));
        let mut query = Query::all(table.id);
        query.embeds.push(Embed {
            key: "character".into(),
            link: Link::Direct { own: table.at("character_id"), column: characters.at("id"), to_one: true },
            inner: true,
            spread: false,
            query: Query::all(characters.id).filter(of_character.filter(characters)),
        });
        let joined = |scene: &&Row| {
            let id = &scene[table.at("character_id")];
            let found = WORLD.characters.iter().find(|row| row[characters.at("id")] == *id);
            found.is_some_and(|row| may_see(user, row) && of_character.holds(characters, row) == Some(true))
        };
        let naive = WORLD.scenes.iter().filter(|row| owner_of(user, row)).filter(joined).collect();
        let asked = Asked { condition: &condition, order: &order, offset: 0, limit };
        compare(&claims(user), table, query, &asked, naive)?;
    }
}

/// How rows are found.
fn plan_of(user: Option<u128>, query: &Query) -> String {
    let claims = claims(user);
    let caller = Caller::new(&claims);
    Reader::new(WORLD.store.reads(), &caller, Limits::default()).explain(query).expect("a plan")
}

#[test]
fn the_newest_rows_are_walked_by_indexes() {
    let newest = |table: &str| Query::all(schema().known(table).id).order("created_at", true).limit(20);
    let all = newest("characters");
    let own = all.clone().equal("user_id", uuid(2));
    assert_eq!(plan_of(Some(2), &own), "index characters_user_id_created_at_idx (user_id)");
    let public = "index characters_is_public_content_rating_created_at_idx (is_public, content_rating)";
    let owned = "index characters_user_id_created_at_idx (user_id)";
    let project = "index characters_project_id_created_at_idx (project_id)";
    assert_eq!(plan_of(Some(3), &all), format!("merge of {owned} and {public} and {project}"));
    assert_eq!(plan_of(Some(1), &all), format!("merge of {owned} and {public} and {public} and {project}"));
    assert_eq!(plan_of(None, &all.clone().equal("is_public", Value::Bool(true))).find("scan"), None);
    let scenes = newest("character_scenes").equal("character_id", uuid(101));
    assert!(!plan_of(Some(1), &scenes).contains("sorted"), "{}", plan_of(Some(1), &scenes));
}

/// Identifiers are the client's to choose. The engine cannot scan backwards over keys with long runs of `ff`.
#[test]
fn hostile_identifiers_do_not_stop_backward_scans() {
    let folder = tempfile::tempdir().expect("a folder");
    let (store, _) = Store::open(folder.path(), schema(), &OpenOptions::default()).expect("a store");
    let claims = Claims::service();
    let caller = Caller::new(&claims);
    let table = schema().known("tag_presets");
    // Groups whose identifiers differ in the first byte and go on with ff: wherever a page ends between two groups,
    // the one before it is hard to find.
    let id = |number: u128| uuid((((number / 12 + 1) << 120) | (u128::MAX >> 8)) - 11 + number % 12);
    let rows: u128 = 12 * 250;
    let (_, durable) = store
        .transact(&claims, |transaction| {
            for number in 0..rows {
                let mut row = table.default_row();
                row[table.at("id")] = id(number);
                for column in ["category", "group_key", "group_label", "tag_value"] {
                    row[table.at(column)] = Value::text(format!("{number}"));
                }
                transaction.insert(&caller, table, row)?;
            }
            Ok::<_, store::StoreError>(())
        })
        .expect("the rows fit");
    durable.wait_blocking().expect("durable");
    let query = Query::all(table.id).order("id", true);
    let limits = Limits { rows_max: 10_000, ..Limits::default() };
    let found = Reader::new(store.reads(), &caller, limits).select(&query, false).expect("rows");
    let ids: Vec<Value> = found.rows.iter().map(|row| row[table.at("id")].clone()).collect();
    let expected: Vec<Value> = (0..rows).rev().map(id).collect();
    assert_eq!(ids, expected);
}

//! Searches for words: by an index they find the rows that a look at every row finds, for every account.

use models::{Claims, Row, Value, schema};
use store::query::{Field, Filter, Limits, Operator, Query, Reader, Test, TextConfig, TextQuery};
use store::{Caller, OpenOptions, Store, StoreError};
use uuid::Uuid;

const WORDS: [&str; 8] = ["storm", "storms", "lighthouse", "early", "boat", "Boats", "the", "over-the-top"];

fn uuid(number: u128) -> Value {
    Value::Uuid(Uuid::from_u128(number))
}

fn open(folder: &std::path::Path) -> Store {
    Store::open(folder, schema(), &OpenOptions::default()).expect("a store").0
}

/// Writes what a decision says.
fn write<T>(store: &Store, decide: impl FnOnce(&store::Transaction, &Caller) -> Result<T, StoreError>) -> T {
    let claims = Claims::service();
    let written = store.transact(&claims, |transaction| decide(transaction, &Caller::new(&claims)));
    let (answer, durable) = written.expect("a commit");
    durable.wait_blocking().expect("durable");
    answer
}

fn row(table: &str, values: &[(&str, Value)]) -> Row {
    let table = schema().known(table);
    let mut row = table.default_row();
    values.iter().for_each(|(column, value)| row[table.at(column)] = value.clone());
    row
}

/// Some of the words, as a number says.
fn text(mut number: u64) -> String {
    let mut text = String::new();
    while number > 0 {
        text.push_str(WORDS[(number % 8) as usize]);
        text.push(if number.is_multiple_of(3) { ',' } else { ' ' });
        number /= 8;
    }
    text
}

/// Two accounts with a chat each, and what is said in them.
fn talk(store: &Store) {
    write(store, |transaction, caller| {
        let insert = |table: &str, values: &[(&str, Value)]| {
            transaction.insert(caller, schema().known(table), row(table, values)).map(|_| ())
        };
        for user in [1, 2] {
            insert("auth.users", &[("id", uuid(user))])?;
            insert("conversations", &[("id", uuid(10 + user)), ("user_id", uuid(user))])?;
        }
        for number in 0..400_u64 {
            let said = text(number.wrapping_mul(0x9e37_79b9) % 9000);
            let values = [
                ("id", uuid(1000 + u128::from(number))),
                ("conversation_id", uuid(11 + u128::from(number % 2))),
                ("sender", Value::text("user")),
                ("content", Value::Text(said)),
                ("created_at", Value::Timestamp(1_700_000_000_000_000 + number as i64)),
            ];
            insert("messages", &values)?;
        }
        Ok(())
    });
}

fn english() -> TextConfig {
    TextConfig::named(None).expect("the default")
}

fn searching(query: &TextQuery) -> Query {
    let content = schema().known("messages").at("content");
    let test = Test { field: Field::column(content), operator: Operator::Search(query.clone()) };
    Query::all(schema().known("messages").id).filter(Filter::Test(test))
}

/// What an account finds, newest first, and how.
fn found(store: &Store, user: u128, query: &Query) -> (Vec<Row>, String) {
    let claims = Claims::user(Uuid::from_u128(user));
    let caller = Caller::new(&claims);
    let reader = Reader::new(store.reads(), &caller, Limits::default());
    let rows = reader.select(query, false).expect("the query runs").rows;
    (rows, reader.explain(query).expect("a plan"))
}

/// What is there for an account to find, newest first.
fn all(store: &Store, user: u128) -> Vec<Row> {
    let claims = Claims::service();
    let caller = Caller::new(&claims);
    let reader = Reader::new(store.reads(), &caller, Limits::default());
    let query = Query::all(schema().known("messages").id).equal("conversation_id", uuid(10 + user));
    let mut rows = reader.select(&query, false).expect("the query runs").rows;
    let created = schema().known("messages").at("created_at");
    rows.sort_by_key(|row| match row[created] {
        Value::Timestamp(at) => std::cmp::Reverse(at),
        _ => std::cmp::Reverse(0),
    });
    rows
}

fn agree(store: &Store) {
    let content = schema().known("messages").at("content");
    let expression = |text: &str| TextQuery::expression(text, english()).expect("a query");
    for (query, by_words) in [
        (TextQuery::web("storm", english()), true),
        (TextQuery::web("early boats", english()), true),
        (TextQuery::web("\"the storm\"", english()), true),
        (TextQuery::web("lighthouse or \"early boat\"", english()), true),
        (TextQuery::web("storm -boat", english()), true),
        (TextQuery::plain("nowhere", english()), true),
        (TextQuery::plain("", english()), true),
        (expression("bo:*"), true),
        (expression("ov:*"), true),
        (TextQuery::plain("the", english()), true),
        (expression("boat & (light | light:*)"), true),
        (expression("(storm | early) & !the"), true),
        (expression("!storm"), false),
        (expression("storm | !boat"), false),
        (TextQuery::plain("storms", TextConfig::named(Some("simple")).expect("a configuration")), false),
    ] {
        for user in [1, 2] {
            for limit in [5, 1000] {
                let asked = searching(&query).order("created_at", true).limit(limit);
                let (rows, plan) = found(store, user, &asked);
                let matches = |row: &&Row| row[content].as_str().is_some_and(|text| query.matches(text));
                let wanted: Vec<Row> =
                    all(store, user).iter().filter(matches).take(limit as usize).cloned().collect();
                assert_eq!(rows, wanted, "{query:?} by {plan}");
                let is_by_words = plan == "index messages_words_idx (content)";
                assert_eq!(is_by_words, by_words, "{query:?} by {plan}");
            }
        }
    }
}

#[test]
fn an_index_finds_what_a_look_at_every_row_finds() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(folder.path());
    talk(&store);
    agree(&store);
    // Changed and deleted rows, and one with very many words.
    let messages = schema().known("messages");
    write(&store, |transaction, caller| {
        for number in (0..400_u64).step_by(7) {
            let key = [uuid(1000 + u128::from(number))];
            let old = transaction.reads().get(messages, &key)?.expect("a message");
            if number % 2 == 0 {
                transaction.delete(caller, messages, &old)?;
            } else {
                let mut new = old.clone();
                let many: String = (0..3000).map(|word| format!("word{word} ")).collect();
                let said = if number == 7 { format!("{many} storm") } else { text(number * 31) };
                new[messages.at("content")] = Value::Text(said);
                transaction.update(caller, messages, &old, new)?;
            }
        }
        Ok(())
    });
    agree(&store);
    let of_many = searching(&TextQuery::plain("word2999 storm", english()));
    assert_eq!(found(&store, 2, &of_many).0.len(), 1);
    let report = store.check().expect("a report");
    assert_eq!((report.faults, report.listed), (0, Vec::new()));
    drop(store);
    agree(&open(folder.path()));
}

#[test]
fn one_search_in_several_columns_is_one_look_up() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(folder.path());
    let library = schema().known("user_library");
    write(&store, |transaction, caller| {
        transaction.insert(caller, schema().known("auth.users"), row("auth.users", &[("id", uuid(1))]))?;
        for (number, prompt, title) in [
            (1, "a red robot", None),
            (2, "a cat", Some("Robots at sea")),
            (3, "a cat", Some("Home")),
            (4, "robot", Some("robot")),
        ] {
            let title = title.map_or(Value::Null, Value::text);
            let values = [
                ("id", uuid(number)),
                ("user_id", uuid(1)),
                ("asset_type", Value::text("image")),
                ("storage_path", Value::text("1/a.png")),
                ("file_size_bytes", Value::Int(1)),
                ("mime_type", Value::text("image/png")),
                ("original_prompt", Value::text(prompt)),
                ("custom_title", title),
                ("model_used", Value::text("starter")),
            ];
            transaction.insert(caller, library, row("user_library", &values))?;
        }
        Ok(())
    });
    let in_either = |query: &TextQuery| {
        let test = |column: &str| {
            let field = Field::column(library.at(column));
            Filter::Test(Test { field, operator: Operator::Search(query.clone()) })
        };
        let filter = Filter::Or(vec![test("original_prompt"), test("custom_title")]);
        Query::all(library.id).equal("user_id", uuid(1)).filter(filter).order("created_at", true)
    };
    let (rows, plan) = found(&store, 1, &in_either(&TextQuery::plain("robot", english())));
    let mut ids: Vec<_> =
        rows.iter().map(|row| row[library.at("id")].as_uuid().expect("an id").as_u128()).collect();
    ids.sort_unstable();
    assert_eq!(
        (ids, plan.as_str()),
        (vec![1, 2, 4], "index user_library_words_idx (original_prompt, custom_title)")
    );
    assert_eq!(found(&store, 2, &in_either(&TextQuery::plain("robot", english()))).0, Vec::<Row>::new());
}

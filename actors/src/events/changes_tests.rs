//! What listeners learn when commits come faster than they can be shown.

use std::sync::mpsc::{self, Receiver, Sender};
use std::time::Duration;

use models::Value;
use store::OpenOptions;
use store::query::Filter;

use super::super::listener::TopicMessage;
use super::super::presence::PresenceDiff;
use super::*;

/// However slow the machine is, it takes no longer.
const PATIENCE: Duration = Duration::from_secs(60);
const LAG: usize = 4;

/// Holds the thread of changes up until it is let go, and says what it hears.
struct Gate {
    hears: Sender<Result<u64, Ending>>,
    opens: Mutex<Receiver<()>>,
}

impl Listener for Gate {
    fn changed(&self, change: &RowChange, _: &[u64]) {
        let _ = self.hears.send(Ok(change.commit().number));
        let _ = self.opens.lock().expect("no panic").recv();
    }

    fn message(&self, _: &TopicMessage) {}

    fn presence_changed(&self, _: &Arc<PresenceDiff>) {}

    fn is_admitted(&self) -> bool {
        true
    }

    fn ended(&self, why: Ending) {
        let _ = self.hears.send(Err(why));
    }
}

fn write(store: &Store) {
    let claims = Claims::service();
    let characters = schema().known("characters");
    let added = store.transact::<_, StoreError>(&claims, |transaction| {
        let mut row = characters.default_row();
        row[characters.at("name")] = Value::text("n");
        row[characters.at("description")] = Value::text("d");
        transaction.insert(&Caller::new(&claims), characters, row)
    });
    added.expect("a row").1.wait_blocking().expect("it is durable");
}

fn gate() -> (Arc<Gate>, Receiver<Result<u64, Ending>>, Sender<()>) {
    let (hears, heard) = mpsc::channel();
    let (opens, opened) = mpsc::channel();
    (Arc::new(Gate { hears, opens: Mutex::new(opened) }), heard, opens)
}

#[test]
fn a_listener_that_falls_behind_learns_that_it_missed_changes_and_may_begin_anew() {
    let folder = tempfile::tempdir().expect("a folder");
    let (store, _) = Store::open(folder.path(), schema(), &OpenOptions::default()).expect("a store");
    let (changes, feed) = Changes::start(store.clone(), LAG);
    store.on_commit(Box::new(move |commit| feed.take(commit)));
    let interest = || {
        vec![Interest {
            id: 1,
            table: schema().known("characters").id,
            commands: Command::ALL.to_vec(),
            filter: Filter::All,
        }]
    };
    let (listener, heard, opens) = gate();
    changes.join(&Claims::service(), Owner::Service, interest(), listener).expect("it joins");
    write(&store);
    let first = heard.recv_timeout(PATIENCE).expect("a change").expect("not ended");
    // Held up, it is not shown these; the feed has no room for all of them.
    (0..LAG + 2).for_each(|_| write(&store));
    opens.send(()).expect("it waits");
    drop(opens);
    let mut seen = vec![first];
    let end = loop {
        match heard.recv_timeout(PATIENCE).expect("an end comes") {
            Ok(number) => seen.push(number),
            Err(why) => break why,
        }
    };
    assert_eq!(end, Ending::Missed, "it is told, not left with a gap");
    assert!(seen.windows(2).all(|pair| pair[0] < pair[1]), "in commit order: {seen:?}");
    assert_eq!(changes.listeners(), 0);
    // A listener that joins again is told of all that was left out, and hears of every commit after that.
    let (listener, heard, opens) = gate();
    drop(opens);
    let joined = changes.join(&Claims::service(), Owner::Service, interest(), listener).expect("it joins");
    assert_eq!(joined.commit, store.commits(), "what was dropped is to be read");
    write(&store);
    let number = heard.recv_timeout(PATIENCE).expect("a change").expect("not ended");
    assert!(number > joined.commit && number == store.commits(), "{number} after {}", joined.commit);
}

//! Are exactly the right entries called?

use serde_json::{Value, json};

use super::*;

fn book(value: Value) -> Lorebook {
    Lorebook::from_value(&value, "book").unwrap()
}

fn words(text: &str) -> usize {
    text.split_whitespace().count()
}

fn scene<'a>(messages: &'a [&'a str]) -> Scene<'a> {
    Scene {
        messages,
        replies: 1,
        greeting: Some(0),
        user_icon: None,
        count_tokens: &words,
        cancelled: &|| false,
    }
}

fn indices(activation: &Activation) -> Vec<usize> {
    activation.entries.iter().map(|entry| entry.index).collect()
}

fn called(entries: Value, messages: &[&str]) -> Vec<usize> {
    indices(&book(json!({"entries": entries})).activate(&scene(messages), &Memory::default()))
}

#[test]
fn keys_selective_constant_and_enabled_decide() {
    let entries = json!([
        {"keys": ["cat"], "content": "0"},
        {"keys": ["Cat"], "content": "1", "case_sensitive": true},
        {"keys": ["cat"], "secondary_keys": ["milk"], "selective": true, "content": "2"},
        {"keys": ["cat"], "secondary_keys": ["milk"], "selective": false, "content": "3"},
        {"keys": [], "constant": true, "content": "4"},
        {"keys": ["cat"], "enabled": false, "content": "5"},
        {"keys": ["c.t\\b"], "use_regex": true, "content": "6"},
        {"keys": ["("], "use_regex": true, "content": "7"},
        {"keys": ["", " "], "content": "8"}
    ]);
    assert_eq!(called(entries.clone(), &["A CAT sat"]), [0, 3, 4, 6]);
    assert_eq!(called(entries, &["A Cat", "and milk"]), [0, 1, 2, 3, 4, 6]);
}

#[test]
fn order_is_by_insertion_and_budget_drops_the_least_important() {
    let mut lore = book(json!({"token_budget": 5, "entries": [
        {"keys": ["x"], "content": "a b", "insertion_order": 3, "priority": 1},
        {"keys": ["x"], "content": "c d", "insertion_order": 1, "priority": 9},
        {"keys": ["x"], "content": "e f", "insertion_order": 2, "priority": 1}
    ]}));
    let activation = lore.activate(&scene(&["x"]), &Memory::default());
    assert_eq!((indices(&activation), activation.over_budget), (vec![1, 0], vec![2]));
    lore.token_budget = Some(0);
    assert_eq!(lore.activate(&scene(&["x"]), &Memory::default()).over_budget.len(), 3);
    lore.token_budget = None;
    assert_eq!(indices(&lore.activate(&scene(&["x"]), &Memory::default())), [1, 2, 0]);
}

#[test]
fn entries_call_each_other_without_going_in_circles() {
    let entries = json!([
        {"keys": ["cat"], "content": "about dog and {{hidden_key:fish}}"},
        {"keys": ["dog"], "content": "about bird"},
        {"keys": ["bird"], "content": "about cat"},
        {"keys": ["fish"], "content": "about fish"},
        {"keys": ["cow"], "content": "about cow"}
    ]);
    let circle = book(json!({"recursive_scanning": true, "entries": entries}));
    let activation = circle.activate(&scene(&["cat"]), &Memory::default());
    assert_eq!(indices(&activation), [0, 1, 2, 3]);
    assert_eq!(activation.entries[1].reason, Reason::CalledBy("dog".into()));
    let plain = book(json!({"recursive_scanning": false, "entries": circle.raw()["entries"]}));
    assert_eq!(indices(&plain.activate(&scene(&["cat"]), &Memory::default())), [0]);
    let chain: Vec<Value> =
        (0..500).map(|i| json!({"keys": [format!("<{i}>")], "content": format!("<{}>", i + 1)})).collect();
    let chain = book(json!({"recursive_scanning": true, "entries": chain}));
    assert_eq!(chain.activate(&scene(&["<0>"]), &Memory::default()).entries.len(), ROUNDS_MAX);
}

#[test]
fn only_the_latest_messages_are_searched() {
    let lore = book(json!({"scan_depth": 2, "entries": [
        {"keys": ["old"], "content": "0"},
        {"keys": ["new"], "content": "1"},
        {"keys": ["old"], "content": "@@scan_depth 3\n2"},
        {"keys": ["new"], "content": "@@scan_depth 0\n3"}
    ]}));
    assert_eq!(indices(&lore.activate(&scene(&["old", "x", "new"]), &Memory::default())), [1, 2]);
}

#[test]
fn decorators_decide_when() {
    let entry = |content: &str| json!([{"keys": ["k"], "content": content}]);
    let at = |content: &str, replies: usize, messages: &[&str]| {
        let lore = book(json!({"entries": entry(content)}));
        let scene = Scene { replies, greeting: Some(1), user_icon: Some("hat"), ..scene(messages) };
        !lore.activate(&scene, &Memory::default()).entries.is_empty()
    };
    assert!(!at("@@activate_only_after 3\nx", 2, &["k"]) && at("@@activate_only_after 3\nx", 3, &["k"]));
    assert!(!at("@@activate_only_every 3\nx", 4, &["k"]) && at("@@activate_only_every 3\nx", 6, &["k"]));
    assert!(!at("@@is_greeting 0\nx", 1, &["k"]) && at("@@is_greeting 1\nx", 1, &["k"]));
    assert!(!at("@@is_user_icon cap\nx", 1, &["k"]) && at("@@is_user_icon hat\nx", 1, &["k"]));
    assert!(!at("@@exclude_keys z\nx", 1, &["k z"]) && at("@@exclude_keys z\nx", 1, &["k"]));
    assert!(!at("@@additional_keys z\nx", 1, &["k"]) && at("@@additional_keys z\nx", 1, &["k z"]));
    assert!(!at("@@dont_activate\nx", 1, &["k"]) && at("@@activate\nx", 1, &["nothing"]));
}

#[test]
fn memory_keeps_or_bars_entries() {
    let lore = book(json!({"entries": [
        {"keys": ["k"], "content": "@@keep_activate_after_match\n0"},
        {"keys": ["k"], "content": "@@dont_activate_after_match\n1"}
    ]}));
    let first = lore.activate(&scene(&["k"]), &Memory::default());
    assert_eq!(indices(&first), [0, 1]);
    let second = lore.activate(&scene(&["other"]), &first.memory);
    assert_eq!((indices(&second), second.entries[0].reason.clone()), (vec![0], Reason::Kept));
    assert_eq!(indices(&lore.activate(&scene(&["k"]), &second.memory)), [0]);
}

#[test]
fn placement_and_role_are_told() {
    let lore = book(
        json!({"entries": [{"keys": ["k"], "content": "@@depth 4\n@@role user\nx", "position": "after_char"}]}),
    );
    let found = lore.activate(&scene(&["k"]), &Memory::default()).entries.remove(0);
    assert_eq!((found.content.as_str(), found.position), ("x", Position::AfterChar));
    assert_eq!((found.placement, found.role), (Some(Placement::Depth(4)), Some(EntryRole::User)));
}

#[test]
fn hostile_books_come_to_an_end() {
    let text = "a".repeat(20 << 20);
    let patterns: Vec<Value> =
        (0..50).map(|_| json!({"keys": ["(a+)+$b"], "use_regex": true, "content": "x"})).collect();
    assert!(called(json!(patterns), &[&text, "end"]).is_empty());

    let keys: Vec<String> = (0..1000).map(|i| format!("{}{i}", "a".repeat(20))).collect();
    let entries: Vec<Value> =
        (0..200).map(|i| json!({"keys": keys, "content": format!("@@scan_depth {i}\nx")})).collect();
    let lore = book(json!({"recursive_scanning": true, "entries": entries}));
    let messages = vec!["a".repeat(10_000); 300];
    let messages: Vec<&str> = messages.iter().map(String::as_str).collect();
    let activation = lore.activate(&scene(&messages), &Memory::default());
    assert!(activation.exhausted && activation.entries.is_empty());
}

#[test]
fn patterns_of_a_whole_book_share_one_budget() {
    let text = "a".repeat(1 << 20);
    let pattern = |i: usize| match i % 4 {
        0 => format!("(?=x{i}?)(a+)+\\1b"),
        1 => format!("[ab]*a[ab]{{700}}c{i}"),
        2 => format!("(\\w\\w?)*\\b{i}é"),
        _ => format!("(?<=a{{0,500}})b{i}"),
    };
    let patterns: Vec<Value> =
        (0..60).map(|i| json!({"keys": [pattern(i)], "use_regex": true, "content": "x"})).collect();
    let entries = [vec![json!({"keys": ["end"], "content": "y"})], patterns].concat();
    let lore = book(json!({ "entries": entries }));
    let activation = lore.activate(&scene(&[&text, "end"]), &Memory::default());
    assert!(activation.exhausted);
    assert_eq!(indices(&activation), [0]);
    // It is no longer waited for: it ends at once, and says that it is not whole.
    let looks = std::cell::Cell::new(0);
    let cancelled = || {
        looks.set(looks.get() + 1);
        true
    };
    let ended = lore.activate(&Scene { cancelled: &cancelled, ..scene(&[&text, "end"]) }, &Memory::default());
    assert!(ended.exhausted && looks.get() > 0);
}

#[test]
fn look_around_and_references_are_patterns() {
    let entries = json!([
        {"keys": ["/cat(?!s)/i"], "use_regex": true, "content": "0"},
        {"keys": ["(\\w+) \\1"], "use_regex": true, "content": "1"},
        {"keys": ["(?<=blue )dog"], "use_regex": true, "content": "2"}
    ]);
    assert!(book(json!({"entries": entries})).useless_patterns().is_empty());
    assert_eq!(called(entries.clone(), &["Cats say miau miau to a red dog"]), [1]);
    assert_eq!(called(entries, &["A Cat and a blue dog"]), [0, 2]);
}

#[test]
fn compiling_is_paid_for_too() {
    let keys: Vec<String> = (0..1000).map(|i| format!("{}{i}", "\\w".repeat(900))).collect();
    let lore = book(json!({"entries": [{"keys": keys, "use_regex": true, "content": "x"}]}));
    assert!(lore.activate(&scene(&["a"]), &Memory::default()).exhausted);
    assert!(lore.useless_patterns().len() < 20, "nor are all compiled to find the useless ones");
}

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
        is_cut: false,
        chance: 7,
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

/// An entry as SillyTavern writes it into a card, with some of its extensions.
fn tavern(keys: Value, secondary: Value, extensions: Value) -> Value {
    let mut all = json!({"position": 0, "exclude_recursion": false, "display_index": 0, "probability": 100,
        "useProbability": true, "depth": 4, "selectiveLogic": 0, "match_whole_words": null, "case_sensitive": null});
    for (member, value) in extensions.as_object().expect("extensions") {
        all[member] = value.clone();
    }
    json!({"keys": keys, "secondary_keys": secondary, "content": "x", "selective": true, "enabled": true,
        "use_regex": true, "insertion_order": 100, "extensions": all})
}

#[test]
fn keys_of_sillytavern_are_patterns_between_slashes_only() {
    for (key, text, wanted) in [
        ("C++", "a cat", false),
        ("C++", "in C++ of course", true),
        ("Bram (the postman)", "here is bram (the postman).", true),
        ("/bell(?! tower)/i", "the Bell tower", false),
        ("/bell(?! tower)/i", "the Bell", true),
        ("/bell/", "the Bell", false),
        ("and/or", "and/or", true),
        ("/no flags/x", "see /no flags/x", true),
    ] {
        let in_card = json!([tavern(json!([key]), json!([]), json!({}))]);
        assert_eq!(called(in_card, &[text]).len(), usize::from(wanted), "{key} in {text}");
        let alone =
            json!({"0": {"uid": 0, "key": [key], "keysecondary": [], "content": "x", "selective": true}});
        assert_eq!(called(alone, &[text]).len(), usize::from(wanted), "{key} in {text}, alone");
    }
}

#[test]
fn extensions_of_sillytavern_decide() {
    let secondary = json!(["tower", "rope"]);
    for (logic, by_text) in [(0, [0, 1, 1]), (1, [1, 1, 0]), (2, [1, 0, 0]), (3, [0, 0, 1])] {
        for (text, wanted) in ["a bell", "a bell tower", "a bell tower rope"].iter().zip(by_text) {
            let entry = tavern(json!(["bell"]), secondary.clone(), json!({"selectiveLogic": logic}));
            assert_eq!(called(json!([entry]), &[text]).len(), wanted, "logic {logic}: {text}");
        }
    }
    let with = |extensions: Value, text: &str| {
        called(json!([tavern(json!(["Art"]), json!([]), extensions)]), &[text]).len()
    };
    assert_eq!((with(json!({}), "start"), with(json!({"match_whole_words": true}), "start")), (1, 0));
    assert_eq!(with(json!({"match_whole_words": true}), "(art)"), 1);
    assert_eq!(
        (with(json!({"case_sensitive": true}), "art"), with(json!({"case_sensitive": true}), "Art")),
        (0, 1)
    );
    assert_eq!(with(json!({"probability": 0}), "art"), 0);
    assert_eq!(with(json!({"probability": 0, "useProbability": false}), "art"), 1);
    let entry = json!([tavern(json!(["art"]), json!([]), json!({"probability": 30}))]);
    let lore = book(json!({ "entries": entry }));
    let lucky = |chance: u64| {
        !lore.activate(&Scene { chance, ..scene(&["art"]) }, &Memory::default()).entries.is_empty()
    };
    let count = (0..1000).filter(|chance| lucky(*chance)).count();
    assert!((200..400).contains(&count), "{count} of 1000 at 30 %");
    assert_eq!(lucky(5), lucky(5));
    let deep = tavern(json!(["old"]), json!([]), json!({"scan_depth": 1}));
    assert!(called(json!([deep]), &["old", "new"]).is_empty());
}

#[test]
fn positions_of_sillytavern_are_places() {
    let place = |extensions: Value| {
        let lore = book(json!({"entries": [tavern(json!(["k"]), json!([]), extensions)]}));
        let found = lore.activate(&scene(&["k"]), &Memory::default()).entries.remove(0);
        (found.position, found.placement, found.role)
    };
    assert_eq!(place(json!({"position": 1})), (Position::AfterChar, None, None));
    let at = |depth, role| (Position::BeforeChar, Some(Placement::Depth(depth)), Some(role));
    assert_eq!(place(json!({"position": 4, "depth": 2, "role": 1})), at(2, EntryRole::User));
    assert_eq!(place(json!({"position": 4})), at(4, EntryRole::System));
    let lore = book(
        json!({"entries": [tavern(json!(["k"]), json!([]), json!({"position": 2, "vectorized": true}))]}),
    );
    let warnings = lore.warnings().join("; ");
    assert!(
        warnings.contains("extensions.position") && warnings.contains("extensions.vectorized"),
        "{warnings}"
    );
}

#[test]
fn one_entry_of_a_group_is_used() {
    let of = |group: &str, weight: u32, over: bool| {
        tavern(
            json!(["k"]),
            json!([]),
            json!({"group": group, "group_weight": weight, "group_override": over}),
        )
    };
    let lore = book(json!({"entries": [of("a", 100, false), of("a, b", 300, false), of("", 1, false)]}));
    let mut seen = [0; 3];
    for chance in 0..500 {
        let found = indices(&lore.activate(&Scene { chance, ..scene(&["k"]) }, &Memory::default()));
        assert!(found.len() == 2 && found[1] == 2, "{found:?}");
        seen[found[0]] += 1;
    }
    assert!(seen[0] > 60 && seen[1] > 250, "{seen:?}");
    let preferred = json!([of("a", 1000, false), of("a", 1, true)]);
    assert_eq!(called(preferred, &["k"]), [1]);
}

#[test]
fn entries_stay_rest_and_wait_for_messages() {
    let lore = book(json!({"entries": [
        tavern(json!(["k"]), json!([]), json!({"sticky": 3})),
        tavern(json!(["k"]), json!([]), json!({"cooldown": 3})),
        tavern(json!(["k"]), json!([]), json!({"sticky": 2, "cooldown": 3})),
        tavern(json!(["k"]), json!([]), json!({"delay": 2})),
    ]}));
    let first = lore.activate(&scene(&["k"]), &Memory::default());
    assert_eq!(indices(&first), [0, 1, 2]);
    let later = |messages: usize, text: &str| {
        let mut memory = first.memory.clone();
        memory.since.values_mut().for_each(|since| *since = messages);
        indices(&lore.activate(&scene(&["x", text]), &memory))
    };
    assert_eq!(later(0, "k"), [0, 1, 2, 3], "the same message, answered anew");
    assert_eq!((later(1, "o"), later(1, "k")), (vec![0, 2], vec![0, 2, 3]));
    assert_eq!((later(2, "o"), later(2, "k")), (vec![0], vec![0, 3]));
    assert_eq!((later(3, "k"), later(5, "k")), (vec![0, 1, 3], vec![0, 1, 2, 3]));
    let cut = lore.activate(&Scene { is_cut: true, ..scene(&["k"]) }, &Memory::default());
    assert_eq!(indices(&cut), [0, 1, 2, 3]);
}

#[test]
fn recursion_is_as_entries_want_it() {
    let entry = |key: &str, content: &str, extensions: Value| {
        let mut entry = tavern(json!([key]), json!([]), extensions);
        entry["content"] = json!(content);
        entry
    };
    let recursive = |entries: Value| {
        let lore = book(json!({"recursive_scanning": true, "entries": entries}));
        indices(&lore.activate(&scene(&["a"]), &Memory::default()))
    };
    let (calls, silent) = (entry("a", "b", json!({})), entry("a", "b", json!({"prevent_recursion": true})));
    let (heard, deaf) = (entry("b", "x", json!({})), entry("b", "x", json!({"exclude_recursion": true})));
    assert_eq!(recursive(json!([calls, heard])), [0, 1]);
    assert_eq!((recursive(json!([silent, heard])), recursive(json!([calls, deaf]))), (vec![0], vec![0]));
    let late = entry("a", "x", json!({"delay_until_recursion": true}));
    assert_eq!((recursive(json!([late])), recursive(json!([calls, late])).len()), (Vec::<usize>::new(), 2));
}

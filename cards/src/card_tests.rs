//! Are cards of every version read, and is nothing lost?

use super::*;

fn v1() -> Value {
    json!({"name": "Mira", "description": "A cat.", "personality": "", "scenario": "", "first_mes": "Hi",
        "mes_example": "", "metadata": {"tool": "x", "n": 1.50}})
}

fn v3() -> Value {
    json!({
        "spec": "chara_card_v3", "spec_version": "3.0", "x_root": [1, 2],
        "data": {"name": "Mira", "nickname": "Mi", "description": "d", "tags": ["cat"], "group_only_greetings": [],
            "extensions": {"depth_prompt": {"depth": 4}, "unknown": null}, "future_field": {"a": [true]},
            "assets": [{"type": "icon", "uri": "embeded://assets/icon/images/1.png", "name": "main", "ext": "png", "x": 1}],
            "character_book": {"entries": [{"keys": ["k"], "content": "c", "extensions": {"y": 2}, "enabled": true,
                "insertion_order": 1, "odd": "kept"}], "extensions": {}}}
    })
}

#[test]
fn what_came_in_goes_out() {
    for value in [v1(), v3()] {
        let card = Card::from_json(value.to_string().as_bytes()).unwrap();
        assert_eq!(card.to_value().to_string(), value.to_string());
    }
}

#[test]
fn conversions_keep_unknown_fields() {
    let card = Card::from_value(v3()).unwrap();
    let v2 = card.to_v2();
    assert_eq!((v2["spec"].as_str(), v2["spec_version"].as_str()), (Some("chara_card_v2"), Some("2.0")));
    assert_eq!(v2["data"], v3()["data"]);
    assert_eq!(v2["x_root"], v3()["x_root"]);
    let back = Card::from_value(v2).unwrap().to_v3();
    assert_eq!(back, v3());

    let old = Card::from_value(v1()).unwrap().to_v3();
    assert_eq!(old["data"]["metadata"], v1()["metadata"]);
    assert_eq!(old["description"], "A cat.", "old programs still find their fields");
    assert_eq!(Card::from_value(old).unwrap().text("first_mes"), "Hi");
}

#[test]
fn edits_change_one_field_only() {
    let mut card = Card::from_value(v3()).unwrap();
    card.set("description", json!("new")).unwrap();
    let mut expected = v3();
    expected["data"]["description"] = json!("new");
    assert_eq!(card.to_value(), expected);
    assert!(card.set("tags", json!("not a list")).is_err());
    assert_eq!(card.to_value(), expected);
    let mut card = Card::from_value(Card::from_value(v1()).unwrap().to_v2()).unwrap();
    card.set("name", json!("Ada")).unwrap();
    assert_eq!((card.name(), card.raw()["name"].as_str()), ("Ada", Some("Ada")));
}

#[test]
fn names_and_assets_are_found() {
    let card = Card::from_value(v3()).unwrap();
    assert_eq!((card.name(), card.spoken_name()), ("Mira", "Mi"));
    assert_eq!(card.assets()[0].uri, "embeded://assets/icon/images/1.png");
    assert_eq!(card.lorebook().unwrap().unwrap().entries.len(), 1);
    assert_eq!(Card::new("Ada").spoken_name(), "Ada");
    assert!(Card::from_value(Card::new("Ada").to_value()).is_ok());
}

#[test]
fn later_versions_warn_but_are_read() {
    let mut later = v3();
    later["spec"] = json!("chara_card_v4");
    later["spec_version"] = json!("4.1");
    let card = Card::from_value(later.clone()).unwrap();
    assert_eq!(card.warnings().len(), 1);
    assert_eq!(card.to_value(), later);
    assert!(Card::from_value(v3()).unwrap().warnings().is_empty());
}

#[test]
fn odd_fields_are_read_or_left_out_named_and_kept() {
    type Read = fn(&Card) -> Value;
    let cases: [(&str, Value, &str, Read, Value); 22] = [
        (
            "/data/description",
            json!(3),
            "data.description",
            |card| json!(card.text("description")),
            json!("3"),
        ),
        (
            "/data/description",
            json!(["a", "b"]),
            "data.description",
            |card| json!(card.text("description")),
            json!("a\nb"),
        ),
        (
            "/data/description",
            json!({}),
            "data.description",
            |card| json!(card.text("description")),
            json!(""),
        ),
        (
            "/data/character_version",
            json!(1.5),
            "data.character_version",
            |card| json!(card.text("character_version")),
            json!("1.5"),
        ),
        (
            "/data/creator",
            json!(["a", "b"]),
            "data.creator",
            |card| json!(card.text("creator")),
            json!("a, b"),
        ),
        ("/data/name", json!(1984), "data.name", |card| json!(card.name()), json!("1984")),
        ("/data/name", json!(null), "data.name", |card| json!(card.name()), json!("Mi")),
        ("/data/tags", json!("a, b"), "data.tags", |card| json!(card.texts("tags")), json!(["a", "b"])),
        (
            "/data/tags",
            json!(["a", 3, null]),
            "data.tags[2]",
            |card| json!(card.texts("tags")),
            json!(["a", "3"]),
        ),
        ("/data/tags", json!(true), "data.tags", |card| json!(card.texts("tags")), json!([])),
        (
            "/data/alternate_greetings",
            json!("Hi, you"),
            "data.alternate_greetings",
            |card| json!(card.texts("alternate_greetings")),
            json!(["Hi, you"]),
        ),
        (
            "/data/alternate_greetings",
            json!({"0": "Hi"}),
            "data.alternate_greetings",
            |card| json!(card.texts("alternate_greetings")),
            json!(["Hi"]),
        ),
        (
            "/data/group_only_greetings",
            json!(7),
            "data.group_only_greetings",
            |card| json!(card.texts("group_only_greetings")),
            json!(["7"]),
        ),
        (
            "/data/source",
            json!("https://a"),
            "data.source",
            |card| json!(card.texts("source")),
            json!(["https://a"]),
        ),
        ("/data/extensions", json!([]), "data.extensions", |card| json!(card.get("extensions")), json!(null)),
        (
            "/data/assets",
            json!([1, {"type": "icon", "uri": 2}]),
            "data.assets[0]",
            |card| json!(card.assets().len()),
            json!(0),
        ),
        ("/data/assets", json!("x"), "data.assets", |card| json!(card.assets().len()), json!(0)),
        (
            "/data/character_book",
            json!("x"),
            "data.character_book",
            |card| json!(card.lorebook().unwrap().is_none()),
            json!(true),
        ),
        (
            "/data/character_book",
            json!([{"keys": ["k"]}]),
            "data.character_book",
            |card| json!(card.lorebook().unwrap().unwrap().entries.len()),
            json!(1),
        ),
        (
            "/data/creation_date",
            json!("1700000000"),
            "data.creation_date",
            |card| json!(card.get("creation_date")),
            json!(1_700_000_000.0),
        ),
        (
            "/data/creator_notes_multilingual",
            json!("x"),
            "data.creator_notes_multilingual",
            |card| json!(card.get("creator_notes_multilingual")),
            json!(null),
        ),
        ("/spec", json!(7), "spec", |card| json!(card.version() == CardVersion::V2), json!(true)),
    ];
    for (path, value, named, read, wanted) in cases {
        let mut raw = v3();
        for absent in [
            "creation_date",
            "creator_notes_multilingual",
            "alternate_greetings",
            "source",
            "creator",
            "character_version",
        ] {
            raw["data"][absent] = json!(null);
        }
        *raw.pointer_mut(path).unwrap() = value;
        let card = Card::from_value(raw.clone()).unwrap_or_else(|error| panic!("{path}: {error}"));
        let warnings = card.warnings();
        assert!(warnings.iter().any(|it| it.starts_with(&format!("{named}: "))), "{named}: {warnings:?}");
        assert_eq!((read(&card), card.to_value()), (wanted, raw.clone()), "{path}");
        let v3 = card.to_v3();
        assert_eq!(v3["data"], raw["data"], "{path}: as it came in every version");
    }
}

#[test]
fn what_is_no_character_is_refused_by_name() {
    for (path, value, named) in [
        ("/data", json!([]), "data"),
        ("/data", json!({}), "data.name"),
        ("/data/name", json!({}), "data.name"),
    ] {
        let mut card = v3();
        card["data"]["nickname"] = json!("");
        *card.pointer_mut(path).unwrap() = value;
        match Card::from_value(card) {
            Err(CardError::Field { field, .. }) => assert_eq!(field, named),
            other => panic!("{path}: {other:?}"),
        }
    }
    assert!(matches!(Card::from_value(json!({"spec": 7, "data": {}})), Err(CardError::Field { .. })));
    assert!(matches!(
        Card::from_value(json!({"spec": "lorebook_v3", "data": {"name": "x"}})),
        Err(CardError::NoCard(_))
    ));
    let Err(CardError::Json { line, .. }) = Card::from_json(b"{\n\"name\": }") else { panic!("not json") };
    assert_eq!(line, 2);
    let mirrored = json!({"spec": "chara_card_v2", "data": [], "name": "Mira", "description": "d"});
    assert_eq!(Card::from_value(mirrored).unwrap().warnings().len(), 1);
}

#[test]
fn characters_of_other_programs_are_read_and_edited_in_their_form() {
    let pygmalion = json!({"char_name": "Orla", "char_persona": "Mends clocks.", "world_scenario": "a workshop",
        "char_greeting": "The bell rings.", "example_dialogue": "", "odd": 1});
    let webui = json!({"name": "Orla", "greeting": "The bell rings.", "context": "Mends clocks.",
        "scenario": "a workshop"});
    let agnai = json!({"kind": "character", "name": "Orla", "description": "about her", "culture": "en-us",
        "persona": {"kind": "text", "attributes": {"text": ["Mends clocks."]}}, "greeting": "The bell rings.",
        "scenario": "a workshop", "sampleChat": "", "tags": [], "alternateGreetings": ["Oh."],
        "characterBook": {"kind": "memory", "entries": [{"entry": "cracked", "keywords": ["bell"]}]}});
    for raw in [pygmalion, webui, agnai.clone()] {
        let mut card = Card::from_value(raw.clone()).unwrap();
        let read = ["name", "description", "scenario", "first_mes"].map(|field| card.text(field).to_string());
        assert_eq!(read, ["Orla", "Mends clocks.", "a workshop", "The bell rings."], "{raw}");
        assert_eq!(card.to_value(), raw);
        let v2 = Card::from_value(card.to_v2()).unwrap();
        let read = ["name", "description", "scenario", "first_mes"].map(|field| v2.text(field).to_string());
        assert_eq!(read, ["Orla", "Mends clocks.", "a workshop", "The bell rings."], "{raw}");
        card.set("description", json!("Winds clocks.")).unwrap();
        card.set("first_mes", json!("")).unwrap();
        let again = Card::from_value(card.to_value()).unwrap();
        assert_eq!((again.text("description"), again.text("first_mes")), ("Winds clocks.", ""), "{raw}");
    }
    let card = Card::from_value(agnai.clone()).unwrap();
    assert_eq!((card.text("creator_notes"), card.texts("alternate_greetings")), ("about her", vec!["Oh."]));
    assert_eq!(card.lorebook().unwrap().unwrap().entries[0].keys, ["bell"]);
    assert!(card.warnings().iter().any(|warning| warning.starts_with("culture: ")), "{:?}", card.warnings());
    for (kind, wanted) in [
        ("wpp", "[character(\"Orla\") {\nmind(\"calm\" + \"kind\")\nage(\"40\")\n}]"),
        ("sbf", "[ character: \"Orla\"; mind: \"calm\", \"kind\"; age: \"40\" ]"),
        ("attributes", "mind: calm, kind\nage: 40"),
        ("boostyle", "calm + kind + 40"),
    ] {
        let mut raw = agnai.clone();
        raw["persona"] = json!({"kind": kind, "attributes": {"mind": ["calm", "kind"], "age": [40]}});
        assert_eq!(Card::from_value(raw).unwrap().text("description"), wanted);
    }
}

#[test]
fn scripts_that_are_not_run_are_named() {
    let mut card = v3();
    let scripts = json!({"regex_scripts": [{"findRegex": "/(a+)+$/", "replaceString": ""}, {}],
        "risuai": {"customScripts": [{}], "triggerscript": []}, "other": {"regex_scripts": [1]}});
    card["data"]["extensions"] = scripts;
    let warnings = Card::from_value(card).unwrap().warnings();
    assert_eq!(
        warnings,
        [
            "data.extensions.regex_scripts: 2 scripts of the card are kept with it and not run",
            "data.extensions.risuai.customScripts: 1 scripts of the card are kept with it and not run",
        ]
    );
}

#[test]
fn hostile_json_is_refused() {
    assert!(matches!(Card::from_json(&vec![b' '; 100 << 20]), Err(CardError::TooLarge { .. })));
    assert!(Card::from_json(&b"[".repeat(1 << 20)).is_err());
    assert!(Card::from_json(b"\"text\"").is_err());
    assert!(matches!(
        Card::from_json(b"{\"name\": \"package\", \"version\": \"1\"}"),
        Err(CardError::NoCard(_))
    ));
}

#[test]
fn what_programs_put_a_card_in_is_taken_off() {
    let card = json!({"name": "Mira", "description": "calm", "first_mes": "Hi"});
    let data = json!({"name": "Mira", "description": "calm", "first_mes": "Hi",
        "extensions": "{\"x\": 1}", "character_book": "{\"entries\": [{\"keys\": [\"a\"], \"content\": \"b\"}]}"});
    for (file, field) in [
        (json!([card]), "card"),
        (json!({"character": card, "other": 1}), "card"),
        (json!({"card": {"spec": "chara_card_v2", "data": data}}), "card"),
        (json!({"spec": "chara_card_v2", "spec_version": "2.0", "data": data.to_string()}), "data"),
        (json!({"spec": "chara_card_v2", "spec_version": "2.0", "data": data}), "data.extensions"),
    ] {
        let read = Card::from_value(file.clone()).expect("a card");
        assert_eq!((read.name(), read.text("first_mes")), ("Mira", "Hi"), "{file}");
        let warnings = read.warnings();
        assert!(
            warnings.iter().any(|warning| warning.starts_with(&format!("{field}: "))),
            "{file}: {warnings:?}"
        );
        if read.version() != CardVersion::V1 {
            assert_eq!(read.lorebook().expect("a book").expect("a book").entries[0].content, "b");
            assert_eq!(read.get("extensions"), Some(&json!({"x": 1})));
        }
    }
    for file in [json!([]), json!([card, card]), json!({"character": "Mira"}), json!([[card]])] {
        assert!(Card::from_value(file.clone()).is_err(), "{file}");
    }
}

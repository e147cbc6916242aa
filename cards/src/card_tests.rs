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
fn errors_name_the_field() {
    for (path, value, named) in [
        ("/data/description", json!(3), "data.description"),
        ("/data/tags", json!(["a", 3]), "data.tags[1]"),
        ("/data/extensions", json!([]), "data.extensions"),
        ("/data/assets", json!([1]), "data.assets[0]"),
        ("/data/name", json!(null), "data.name"),
        ("/data", json!([]), "data"),
        ("/spec", json!(7), "spec"),
    ] {
        let mut card = v3();
        *card.pointer_mut(path).unwrap() = value;
        match Card::from_value(card) {
            Err(CardError::Field { field, .. }) => assert_eq!(field, named),
            other => panic!("{path}: {other:?}"),
        }
    }
    let Err(CardError::Json { line, .. }) = Card::from_json(b"{\n\"name\": }") else { panic!("not json") };
    assert_eq!(line, 2);
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

//! What a picture is drawn from: codes, styles, references and prompts, rule by rule.

use serde_json::{Map, Value as Json, json};
use webtoon::drawing::codes;
use webtoon::drawing::prompt::{Scene, Shown, color_temperature};
use webtoon::drawing::references::{Cast, Face, Look, choose, look_in_scene, names};
use webtoon::drawing::style::{Preset, chain, effective_config, is_circle, resolve};

#[test]
fn canonical_codes_run_from_a_to_z_and_on() {
    let of = |numbers: &[usize]| numbers.iter().map(|number| codes::code(*number)).collect::<Vec<_>>();
    assert_eq!(
        of(&[0, 25, 26, 27, 51, 52, 701, 702]),
        ["CHAR_A", "CHAR_Z", "CHAR_AA", "CHAR_AB", "CHAR_AZ", "CHAR_BA", "CHAR_ZZ", "CHAR_AAA"]
    );
    assert_eq!(codes::next(&["CHAR_A", "CHAR_C"]).as_deref(), Some("CHAR_B"), "the smallest that is free");
    assert_eq!(codes::next(&[""; 0]).as_deref(), Some("CHAR_A"));
    let used: Vec<String> = (0..800).map(codes::code).collect();
    assert_eq!(codes::next(&used), Some(codes::code(800)));
    for (text, is_code) in [
        ("CHAR_A", true),
        ("CHAR_", false),
        ("CHAR_a", false),
        ("CHAR_1", false),
        ("HERO", false),
        ("CHAR_ABCDEFGHIJKL", false),
        ("CHAR_ABCDEFGHIJK", true),
    ] {
        assert_eq!(codes::is_code(text), is_code, "{text}");
    }
}

#[test]
fn style_resolution_asks_request_scene_story_default() {
    assert_eq!(resolve(Some("noir"), Some("manga"), Some("comic")), "noir");
    assert_eq!(resolve(None, Some("manga"), Some("comic")), "manga");
    assert_eq!(resolve(Some(" "), None, Some("comic")), "comic");
    assert_eq!(resolve(None, None, None), "default");
}

fn config(json: Json) -> Map<String, Json> {
    json.as_object().cloned().unwrap_or_default()
}

#[test]
fn effective_config_is_the_parents_overlaid_shallowly_and_circles_stop() {
    let find = |id: u32| match id {
        1 => Some(Preset {
            id: 1,
            parent: Some(2),
            config: config(json!({"prompt": "own", "light": {"a": 1}})),
        }),
        2 => Some(Preset {
            id: 2,
            parent: Some(3),
            config: config(json!({"prompt": "parent", "light": {"b": 2}, "ink": 1})),
        }),
        3 => Some(Preset { id: 3, parent: Some(1), config: config(json!({"paper": "rough"})) }),
        _ => None,
    };
    let line = chain(1, find);
    assert_eq!(line.iter().map(|preset| preset.id).collect::<Vec<_>>(), [1, 2, 3]);
    let expected = json!({"prompt": "own", "light": {"a": 1}, "ink": 1, "paper": "rough"});
    assert_eq!(effective_config(&line), config(expected));
    assert!(is_circle(1, 1, find));
    assert!(
        is_circle(1, 2, |id| find(id)
            .map(|preset| Preset { parent: preset.parent.filter(|_| id != 3), ..preset }))
            || is_circle(3, 1, find)
    );
    assert!(!is_circle(9, 4, find), "a parent that is not there has no ancestors");
}

fn look(id: &str, kind: &str, url: Option<&str>, is_active: bool, scenes: &[&str]) -> Look {
    Look {
        id: id.into(),
        variant_type: kind.into(),
        image_url: url.map(str::to_string),
        is_active,
        scene_ids: scenes.iter().map(|scene| scene.to_string()).collect(),
    }
}

#[test]
fn reference_choice_scene_then_style_then_default_then_active_then_face() {
    let face =
        |url: &str, is_primary, at: &str| Face { image_url: url.into(), is_primary, created_at: at.into() };
    let mut cast = Cast {
        id: "a".into(),
        looks: vec![
            look("any", "outfit", Some("any.png"), true, &[]),
            look("default", "default", Some("default.png"), true, &[]),
            look("noir", "noir", Some("noir.png"), true, &[]),
            look("scene", "outfit", Some("scene.png"), false, &["s1"]),
            look("blank", "outfit", None, false, &["s2"]),
        ],
        faces: vec![face("new.png", false, "2"), face("old.png", true, "1")],
    };
    let picture = |cast: &Cast, scene: &str, style: &str| {
        choose(std::slice::from_ref(cast), &[], scene, style)[0].image_url.clone()
    };
    assert_eq!(picture(&cast, "s1", "noir"), "scene.png");
    assert_eq!(picture(&cast, "s2", "noir"), "noir.png", "a look of the scene without a picture gives way");
    assert_eq!(picture(&cast, "s9", "comic"), "default.png");
    cast.looks.remove(1);
    assert_eq!(picture(&cast, "s9", "comic"), "any.png");
    cast.looks.clear();
    assert_eq!(picture(&cast, "s9", "comic"), "old.png", "the primary face before the newest");
    cast.faces.remove(1);
    assert_eq!(picture(&cast, "s9", "comic"), "new.png");
    cast.faces.clear();
    assert!(choose(std::slice::from_ref(&cast), &[], "s9", "comic").is_empty());
    assert!(look_in_scene(&cast, "s1", "noir").is_none());
}

#[test]
fn references_are_six_at_most_one_for_each_active_character() {
    let cast = |number: usize| Cast {
        id: format!("c{number}"),
        looks: vec![look("x", "base", Some("x.png"), true, &[]), look("y", "base", Some("y.png"), true, &[])],
        faces: Vec::new(),
    };
    let casts: Vec<Cast> = (0..9).map(cast).collect();
    assert_eq!(choose(&casts, &[], "s", "default").len(), 6);
    let only = choose(&casts, &["c7".to_string()], "s", "default");
    assert_eq!(only.iter().map(|it| it.character.as_str()).collect::<Vec<_>>(), ["c7"]);
}

#[test]
fn characters_of_a_scene_are_names_or_objects_that_have_one() {
    let found = names(&json!(["Mira", {"name": "Jo", "position": "left"}, {"name": "mira"}, 7, ""]));
    assert_eq!(found, ["Mira", "Jo"]);
}

#[test]
fn prompt_layers_stand_in_their_order_and_identity_gives_way_to_a_reference() {
    let shown = |has_reference| {
        [Shown {
            code: "CHAR_A".into(),
            name: "Mira".into(),
            identity: "grey eyes, short hair".into(),
            outfit: "a red coat".into(),
            has_reference,
        }]
    };
    let art = json!({"lighting": "low light", "color_temperature": "warm", "atmosphere_keywords": ["rain"]});
    let panels = [json!({
        "camera": "wide shot", "description": "Mira opens Mira's door", "characters": [{"name": "Mira", "position": "left"}],
        "environment": {"location": "lighthouse"},
    })];
    let characters = shown(false);
    let scene = Scene {
        style: config(json!({"prompt": "clean lines", "negative": "photo", "technical": "sharp"})),
        art_direction: Some(&art),
        layout_text: "one panel fills the page",
        characters: &characters,
        environment: Some("an old tower"),
        panels: &panels,
    };
    let prompt = scene.page();
    let order = [
        "clean lines",
        "low light",
        "warm",
        "rain",
        "webtoon page",
        "an old tower",
        "grey eyes",
        "Panel 1",
        "sharp",
    ];
    let places: Vec<usize> = order
        .iter()
        .map(|part| prompt.positive.find(part).unwrap_or_else(|| panic!("{part}: {}", prompt.positive)))
        .collect();
    assert!(places.is_sorted(), "{}", prompt.positive);
    assert!(prompt.positive.contains("CHAR_A (Mira) opens CHAR_A (Mira)'s door"), "{}", prompt.positive);
    assert!(prompt.negative.starts_with("photo, text"));
    let characters = shown(true);
    let prompt = Scene { characters: &characters, ..scene.clone() }.panel(&panels[0]);
    assert!(
        !prompt.positive.contains("grey eyes") && prompt.positive.contains("as in the reference picture")
    );
    let nobody = json!({"description": "rain", "characters": []});
    assert!(!scene.panel(&nobody).positive.contains("CHAR_A"), "a panel names whom it shows alone");
}

#[test]
fn monochrome_styles_have_no_colour_temperature() {
    let style = config(json!({"monochrome": true}));
    assert_eq!(color_temperature(&style, "warm"), "N/A (monochrome)");
    assert_eq!(color_temperature(&Map::new(), "warm"), "warm");
    let art = json!({"lighting": "hard", "color_temperature": "warm"});
    let scene = Scene { style, art_direction: Some(&art), ..Scene::default() };
    assert!(!scene.page().positive.contains("warm"));
}

//! Panels are led as scenes and portraits are: by the character's method, its LoRA, and by what the render names.

use std::io::Cursor;
use std::path::Path;

use image::{ImageFormat, Rgb, RgbImage};
use serde_json::{Value as Json, json};

use crate::common::{Server, files};
use crate::id;
use crate::rules::Stage;

fn copy(from: &Path, to: &Path) {
    if from.is_file() {
        std::fs::create_dir_all(to.parent().expect("a folder")).expect("a folder");
        std::fs::copy(from, to).expect("a file");
        return;
    }
    for entry in std::fs::read_dir(from).expect("a folder").flatten() {
        copy(&entry.path(), &to.join(entry.file_name()));
    }
}

/// A models folder with fixtures at these places.
fn models(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/goldens");
    for (from, to) in files {
        copy(&fixtures.join(from), &folder.path().join(to));
    }
    folder
}

/// One render of the scene: its specification, its result and the jobs of its panels, by their places.
struct Rendered {
    spec: Json,
    result: Json,
    jobs: Vec<Json>,
    warnings: String,
}

fn render(stage: &Stage, change: Json) -> Rendered {
    let mut body = json!({"offline": true, "enforce_qc": false, "panel_count": 2});
    body.as_object_mut().expect("an object").extend(change.as_object().expect("an object").clone());
    let made = stage.ada.made(&format!("/v1/scenes/{}/render", stage.scene), &body);
    of_artifacts(stage, &made)
}

fn of_artifacts(stage: &Stage, made: &Json) -> Rendered {
    let artifact =
        |name: &str| stage.ada.get(&format!("/v1/artifacts/{}", id(made, name))).1["payload"].clone();
    let result = artifact("render_result");
    let panels = result["panels"].as_array().expect("panels");
    let jobs = panels.iter().map(|panel| {
        stage.ada.rows(&format!("jobs?id=eq.{}", id(panel, "job_id"))).pop().expect("the job of a panel")
    });
    let jobs = jobs.collect();
    Rendered { spec: artifact("render_spec"), jobs, warnings: made["warnings"].to_string(), result }
}

/// What the file of a panel says of how it was drawn.
fn record(stage: &Stage, panel: &Json) -> Json {
    let url = format!("/object/{}", id(panel, "image_url"));
    let bytes = files::get(stage.ada.server, &stage.ada.token, &url).bytes;
    let text = String::from_utf8_lossy(&bytes);
    let begin = text.find(r#"{"generator""#).expect("a record");
    let mut records = serde_json::Deserializer::from_str(&text[begin..]).into_iter::<Json>();
    records.next().expect("a record").expect("it reads")["spec"].take()
}

/// Mira with an approved face, and a scene that shows her alone.
fn with_mira(stage: &Stage) -> (String, String) {
    let ada = &stage.ada;
    let mut png = Cursor::new(Vec::new());
    let picture = RgbImage::from_fn(64, 64, |_, y| Rgb([240, 200 - 2 * y as u8, 40]));
    picture.write_to(&mut png, ImageFormat::Png).expect("a PNG");
    let path = format!("user-library/{}/mira.png", ada.user);
    let answer = files::put(ada.server, &ada.token, &path, "image/png", png.get_ref());
    assert_eq!(answer.status, 200, "{}", answer.text());
    let mira = ada.made(
        &format!("/v1/stories/{}/characters", stage.story),
        &json!({"name": "Mira", "description": "a keeper"}),
    );
    let mira = id(&mira, "character_id");
    ada.made(
        &format!("/v1/characters/{mira}/refs"),
        &json!({"image_url": path, "ref_type": "face", "approved": true}),
    );
    let text = json!({"source_text": "Mira waits at the old tower. Mira lifts the lamp. Mira smiles."});
    assert_eq!(ada.patch(&format!("scenes?id=eq.{}", stage.scene), &text).0, 200);
    (mira, path)
}

#[test]
fn panels_follow_each_method_however_it_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &[]);
    let stage = Stage::new(&server);
    let (mira, _) = with_mira(&stage);
    for (method, over, looks) in [
        ("seed_locked", false, false),
        ("i2i_reference", true, false),
        ("ip_adapter", false, true),
        ("hybrid", true, true),
    ] {
        for body in
            [json!({"consistency_method": method}), json!({"consistency_settings": {"method": method}})]
        {
            let mut body = body;
            body["panel_count"] = json!(1);
            let drawn = render(&stage, body.clone());
            let about = &drawn.jobs[0]["metadata"]["consistency"];
            let found = (&about["method"], &about["over_reference"], &about["takes_looks"]);
            assert_eq!(found, (&json!(method), &json!(over), &json!(looks)), "{body}: {about}");
            assert_eq!(about["character_id"], json!(mira), "{about}");
            let led = record(&stage, &drawn.result["panels"][0])["guides"].is_object();
            assert_eq!(led, looks, "{body}");
        }
    }
}

#[test]
fn panels_take_the_method_the_words_and_the_seed_of_their_character() {
    let models = models(&[
        ("sd15-tiny", "tiny"),
        ("ip-adapter/ip-adapter_sd15.safetensors", "ip_adapter/standard.safetensors"),
        ("ip-adapter/image_encoder", "ip_adapter/image_encoder"),
    ]);
    let folder = tempfile::tempdir().expect("a folder");
    let models_dir = models.path().to_string_lossy().into_owned();
    let settings = [("PLAYHOUSE_MODELS_DIR", &*models_dir), ("PLAYHOUSE_IMAGE_MODEL", "tiny")];
    let server = Server::start(folder.path(), &settings);
    let stage = Stage::new(&server);
    let (mira, face) = with_mira(&stage);
    let about = |job: &Json| job["metadata"]["consistency"].clone();
    let set = |columns: Json| {
        let (status, rows) = stage.ada.patch(&format!("characters?id=eq.{mira}"), &columns);
        assert_eq!(status, 200, "{rows}");
    };

    let over = render(&stage, json!({}));
    for (panel, job) in over.spec["panels"].as_array().expect("panels").iter().zip(&over.jobs) {
        assert_eq!(panel["character_ids"], json!([mira]), "{panel}");
        assert_eq!(
            (&about(job)["method"], &about(job)["over_reference"]),
            (&json!("i2i_reference"), &json!(true))
        );
        assert_eq!(job["metadata"]["reference_image_url"], json!(face), "{job}");
        assert_eq!(job["metadata"]["denoise_strength"], 0.7, "{job}");
    }

    // Her row says otherwise: exactly her panels are stale, and drawn again they are led by her looks.
    set(json!({"consistency_method": "ip_adapter", "base_prompt": "grey coat"}));
    let (_, stale) = stage.ada.get(&format!("/v1/stories/{}/stale-panels", stage.story));
    assert_eq!(stale.as_array().map(Vec::len), Some(over.jobs.len()), "{stale}");
    assert_eq!(stale[0]["reasons"], json!([format!("character {mira}")]), "{stale}");
    let led = render(&stage, json!({}));
    for (job, panel) in led.jobs.iter().zip(led.result["panels"].as_array().expect("panels")) {
        let about = about(job);
        assert_eq!(
            (&about["over_reference"], &about["takes_looks"]),
            (&json!(false), &json!(true)),
            "{about}"
        );
        assert_eq!(panel["consistency"], about, "the result says it too");
        let drawn = record(&stage, panel);
        assert!(drawn["prompt"].as_str().is_some_and(|it| it.starts_with("grey coat, ")), "{drawn}");
        assert_eq!(drawn["guides"]["ip_adapters"][0]["model"], "standard", "{drawn}");
    }
    assert_eq!(stage.ada.get(&format!("/v1/stories/{}/stale-panels", stage.story)).1, json!([]));

    // The request wins over the row; what was drawn by it stays fresh, and is drawn again in the same way.
    set(json!({"seed_locked": 11}));
    let seeded = render(&stage, json!({"consistency_method": "seed_locked"}));
    for (job, panel) in seeded.jobs.iter().zip(seeded.spec["panels"].as_array().expect("panels")) {
        assert_eq!((&panel["seed"], &panel["reference_image_url"]), (&json!(11), &Json::Null), "{panel}");
        let about = about(job);
        assert_eq!(
            (&about["method"], &about["takes_looks"]),
            (&json!("seed_locked"), &json!(false)),
            "{about}"
        );
    }
    assert_eq!(stage.ada.get(&format!("/v1/stories/{}/stale-panels", stage.story)).1, json!([]));
    let again = stage.ada.made(&format!("/v1/scenes/{}/review/regenerate", stage.scene), &json!({}));
    let again = of_artifacts(&stage, &again);
    assert_eq!(about(&again.jobs[0])["method"], "seed_locked");
    assert_ne!(again.result["panels"][0]["seed"], 11, "another seed than before");
    let strong = json!({"consistency_settings": {"method": "i2i_reference", "reference_strength": 0.75}});
    assert_eq!(render(&stage, strong).jobs[0]["metadata"]["denoise_strength"], 0.25);
    let none = render(&stage, json!({"consistency_method": "none"}));
    assert_eq!(about(&none.jobs[0]), json!({"method": "none", "character_id": mira}));
    let unknown = render(&stage, json!({"consistency_method": "photo_maker"}));
    assert!(
        unknown.warnings.contains("panel 1: consistency_method: \\\"photo_maker\\\" is unknown"),
        "{}",
        unknown.warnings
    );
    assert_eq!(server.check()["faults"], 0);
}

#[test]
fn panels_are_drawn_with_the_lora_of_their_character_and_with_what_the_render_names() {
    let folder = tempfile::tempdir().expect("a folder");
    let models = models(&[
        ("sd15-tiny", "tiny"),
        ("ip-adapter/ip-adapter_sd15.safetensors", "ip_adapter/standard.safetensors"),
        ("ip-adapter/image_encoder", "ip_adapter/image_encoder"),
        ("lora/kohya.safetensors", "loras/ink.safetensors"),
    ]);
    let models_dir = models.path().to_string_lossy().into_owned();
    let settings = [("PLAYHOUSE_MODELS_DIR", &*models_dir), ("PLAYHOUSE_IMAGE_MODEL", "tiny")];
    let server = Server::start(folder.path(), &settings);
    let stage = Stage::new(&server);
    let (mira, face) = with_mira(&stage);
    let user = &stage.ada.user;
    let own = models.path().join(format!("loras/accounts/{user}/mira.safetensors"));
    copy(&models.path().join("loras/ink.safetensors"), &own);
    let name = format!("accounts/{user}/mira");
    let row = json!({"user_id": user, "character_id": mira, "name": name, "trigger_word": "mira",
        "base_model": "tiny", "scale": 0.8});
    let (status, rows) = server.call("POST", "/rest/v1/character_loras", &server.service, Some(&row));
    assert_eq!(status, 201, "{rows}");

    let trained = render(&stage, json!({}));
    for panel in trained.result["panels"].as_array().expect("panels") {
        assert_eq!(panel["loras"], json!([{"name": "mira", "scale": 0.8}]), "{panel}");
        assert_eq!(panel["consistency"]["lora"]["name"], json!(name), "{panel}");
    }
    // Another word for her: the panels that show her are out of date.
    let stale = format!("/v1/stories/{}/stale-panels", stage.story);
    assert_eq!(stage.ada.get(&stale).1, json!([]));
    let lora = format!("character_loras?id=eq.{}", id(&rows[0], "id"));
    assert_eq!(stage.ada.patch(&lora, &json!({"trigger_word": "mira2"})).0, 200);
    assert_eq!(stage.ada.get(&stale).1[0]["reasons"], json!([format!("character {mira}")]));

    let asked = json!({
        "consistency_method": "none", "loras": [{"name": "ink", "scale": 0.5, "panel": 2}, {"name": "ink", "panel": 9}],
        "ip_adapters": [{"model": "standard", "image_url": face, "panel": 1, "sclae": 1}],
    });
    let led = render(&stage, asked);
    let panels = led.result["panels"].as_array().expect("panels");
    assert_eq!(panels[0]["loras"], json!([]), "{}", panels[0]);
    assert_eq!(panels[1]["loras"], json!([{"name": "ink", "scale": 0.5}]), "{}", panels[1]);
    assert_eq!(record(&stage, &panels[0])["guides"]["ip_adapters"][0]["model"], "standard");
    assert!(record(&stage, &panels[1])["guides"].is_null(), "{}", record(&stage, &panels[1]));
    for words in ["loras[1].panel: 9 is none of the scene's 2 panels", "ip_adapters[0].sclae"] {
        assert!(led.warnings.contains(words), "{words}: {}", led.warnings);
    }

    let path = format!("/v1/scenes/{}/render", stage.scene);
    for (asked, field) in [
        (json!({"ip_adapters": [{"model": "standard", "image_url": face, "panel": 0}]}), "ip_adapters[0]"),
        (json!({"controls": {"model": "depth"}}), "controls"),
        (json!({"consistency_settings": {"reference_strength": 3}}), "consistency_settings"),
    ] {
        let (status, refused) = stage.ada.post(&path, &asked);
        assert_eq!((status, &refused["detail"][0]["loc"][1]), (422, &json!(field)), "{refused}");
    }
    let other =
        json!({"controls": [{"model": "edges", "image_url": face}], "offline": true, "enforce_qc": false});
    let (status, refused) = stage.ada.post(&path, &other);
    assert!(
        status >= 400 && refused.to_string().contains("there is no \\\"edges\\\" here"),
        "{status} {refused}"
    );
    let foreign =
        json!({"controls": [{"model": "edges", "image_url": format!("user-library/{}/x.png", uuid())}]});
    let (status, refused) = stage.ada.post(&path, &foreign);
    assert_eq!(status, 403, "{refused}");
    assert_eq!(server.check()["faults"], 0);
}

/// An account that there is not.
fn uuid() -> &'static str {
    "8a2f0c0e-0000-4000-8000-000000000000"
}

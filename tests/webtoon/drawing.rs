//! Scenes that are drawn: panels through the queue of pictures, reviewed, and drawn again where they are stale.

use serde_json::{Value as Json, json};

use crate::common::Server;
use crate::graphs::ended;
use crate::id;
use crate::rules::Stage;

const TEXT: &str =
    "Mira waits at the old tower with a lantern. \"Is he back?\" asks Jo at the door. The wind turns.";

/// A scene with two characters that is planned and drawn.
fn drawn(stage: &Stage) -> Json {
    let ada = &stage.ada;
    for name in ["Mira", "Jo"] {
        ada.made(
            &format!("/v1/stories/{}/characters", stage.story),
            &json!({"name": name, "description": "a keeper"}),
        );
    }
    let text = json!({"source_text": TEXT});
    assert_eq!(ada.patch(&format!("scenes?id=eq.{}", stage.scene), &text).0, 200);
    render(stage, json!({}))
}

fn render(stage: &Stage, change: Json) -> Json {
    let mut body = json!({"offline": true, "enforce_qc": false, "panel_count": 3});
    for (name, value) in change.as_object().expect("members") {
        body[name] = value.clone();
    }
    stage.ada.made(&format!("/v1/scenes/{}/render", stage.scene), &body)
}

fn result(stage: &Stage, made: &Json) -> Json {
    stage.ada.get(&format!("/v1/artifacts/{}", id(made, "render_result"))).1["payload"].clone()
}

fn pictures(result: &Json) -> Vec<(u64, String)> {
    let panels = result["panels"].as_array().expect("panels");
    panels.iter().map(|panel| (panel["panel_index"].as_u64().unwrap_or(0), id(panel, "image_url"))).collect()
}

#[test]
fn a_scene_is_planned_drawn_approved_and_drawn_again_with_all_versions_kept() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &[]);
    let stage = Stage::new(&server);
    let ada = &stage.ada;
    let scene = format!("/v1/scenes/{}", stage.scene);
    let (status, refused) = ada.post(&format!("{scene}/review/regenerate"), &json!({}));
    assert_eq!(status, 400, "{refused}");
    let made = drawn(&stage);
    let first = result(&stage, &made);
    let (_, spec) = ada.get(&format!("/v1/artifacts/{}", id(&made, "render_spec")));
    let spec = &spec["payload"];
    let panels = spec["panels"].as_array().expect("panels");
    assert_eq!(first["panels"].as_array().map(Vec::len), Some(panels.len()));
    for panel in panels {
        assert!(
            panel["prompt"].as_str().is_some_and(|prompt| prompt.contains("CHAR_")),
            "labels say who is where: {panel}"
        );
    }
    assert_eq!(spec["prompt_sha256"].as_str().map(str::len), Some(64));
    assert_eq!(spec["active_char_ids"].as_array().map(Vec::len), Some(2), "{spec}");
    // The pictures are files of the account, and rows name them.
    for (_, url) in pictures(&first) {
        let file = crate::common::files::get(&server, &ada.token, &format!("/object/{url}"));
        assert_eq!((file.status, &file.bytes[1..4]), (200, &b"PNG"[..]), "{url}");
    }
    assert_eq!(ada.rows("images?generation_mode=eq.webtoon").len(), panels.len());
    page_is_composed(ada, &first);
    let (_, status) = ada.get(&format!("{scene}/status"));
    assert_eq!((&status["planning_complete"], &status["render_complete"]), (&json!(true), &json!(true)));

    // Approval is a new version whose parent is what is approved.
    let approved = ada.made(&format!("{scene}/review/approve"), &json!({}));
    assert_eq!(
        (&approved["version"], &approved["parent_id"], &approved["payload"]["approved"]),
        (&json!(2), &made["render_result"], &json!(true))
    );
    let (status, wrong) =
        ada.post(&format!("{scene}/review/approve"), &json!({"artifact_id": made["render_spec"]}));
    assert_eq!(status, 400, "{wrong}");
    // Again for a reason: the same words, other pictures; also while the planning is locked.
    ada.made(&format!("{scene}/planning/lock"), &json!({"locked": true}));
    assert_eq!(ada.post(&format!("{scene}/review/regenerate"), &json!({"reason": "ugly"})).0, 422);
    let again = ada.made(&format!("{scene}/review/regenerate"), &json!({"reason": "bad_mood"}));
    let second = result(&stage, &again);
    assert_eq!(
        (&second["reason"], &second["prompt"], &second["approved"]),
        (&json!("bad_mood"), &first["prompt"], &json!(false))
    );
    let urls = [pictures(&first), pictures(&second)];
    assert!(urls[0].iter().zip(&urls[1]).all(|(one, other)| one.1 != other.1), "{urls:?}");
    assert_eq!(
        ada.get(&format!("{scene}/renders")).1.as_array().map(Vec::len),
        Some(3),
        "versions side by side"
    );
    for (_, url) in &urls[0] {
        assert_eq!(
            crate::common::files::get(&server, &ada.token, &format!("/object/{url}")).status,
            200,
            "{url}"
        );
    }
}

fn fetched(account: &crate::Account<'_>, url: &str) -> image::RgbImage {
    let file = crate::common::files::get(account.server, &account.token, &format!("/object/{url}"));
    assert_eq!(file.status, 200, "{url}");
    image::load_from_memory(&file.bytes).expect("a picture").to_rgb8()
}

/// The render's picture is the page: its panels by the geometry of the layout, with gutters between them, and a second
/// picture has what is said over it.
fn page_is_composed(ada: &crate::Account<'_>, result: &Json) {
    let page = fetched(ada, &id(result, "image_url"));
    assert_eq!(page.dimensions(), (1080, 1920));
    let panels = result["panels"].as_array().expect("panels");
    assert!(panels.len() > 1 && panels.iter().all(|panel| panel["image_url"] != result["image_url"]));
    assert_eq!(ada.rows("images?generation_mode=eq.webtoon_page")[0]["id"], result["image_id"]);
    for panel in panels {
        let side =
            |name: &str, of: u32| (panel["rect"][name].as_f64().expect("a side") * f64::from(of)) as u32;
        let (left, top, right, bottom) = (side("x", 1080), side("y", 1920), side("w", 1080), side("h", 1920));
        let (right, bottom) = (left + right, top + bottom);
        // The middle of a panel is its picture's, as `cover` cuts it evenly.
        let picture = fetched(ada, &id(panel, "image_url"));
        let expected = picture.get_pixel(picture.width() / 2, picture.height() / 2).0;
        let found = page.get_pixel((left + right) / 2, (top + bottom) / 2).0;
        let away = found.iter().zip(expected).map(|(one, other)| one.abs_diff(other)).max();
        assert!(away.is_some_and(|away| away < 60), "{found:?} {expected:?} {panel}");
        // A gutter lies below each panel that another follows.
        if bottom + 30 < 1920 && panels.iter().all(|other| other["rect"]["w"] == json!(1.0)) {
            let white =
                (bottom.saturating_sub(30)..bottom + 30).filter(|y| page.get_pixel(540, *y).0 == [255; 3]);
            assert!(white.count() >= 20, "no gutter at {bottom}");
        }
    }
    let lettered = fetched(ada, &id(&result["page"], "lettered_url"));
    assert_eq!(lettered.dimensions(), (1080, 1920));
    let lettering = &result["page"]["lettering"];
    assert_eq!(
        (&lettering["source"], &lettering["bubbles"]),
        (&json!("suggestions"), &json!(1)),
        "{lettering}"
    );
    let changed = page.pixels().zip(lettered.pixels());
    let changed =
        changed.filter(|(one, other)| one.0.iter().zip(other.0).any(|(one, it)| one.abs_diff(it) > 80));
    assert!(changed.count() > 500, "the bubble is drawn");
}

#[test]
fn one_panel_is_drawn_again_and_the_others_keep_their_pictures() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &[]);
    let stage = Stage::new(&server);
    let first = result(&stage, &drawn(&stage));
    let count = pictures(&first).len() as u64;
    assert!(count > 1, "{first}");
    let path = format!("/v1/scenes/{}/review/regenerate", stage.scene);
    for wrong in [0, count + 1] {
        let (status, refused) = stage.ada.post(&path, &json!({"panels": [wrong]}));
        assert_eq!(status, 422, "{refused}");
        assert_eq!(refused["detail"][0]["loc"], json!(["body", "panels"]), "{refused}");
    }
    let again = stage.ada.made(&path, &json!({"reason": "bad_faces", "panels": [2]}));
    let second = result(&stage, &again);
    for (old, new) in pictures(&first).iter().zip(&pictures(&second)) {
        assert_eq!(old.1 != new.1, old.0 == 2, "{old:?} {new:?}");
    }
    assert_ne!(first["panels"][1]["seed"], second["panels"][1]["seed"]);
}

#[test]
fn a_plan_that_fails_quality_control_is_reported_and_not_drawn() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &[]);
    let stage = Stage::new(&server);
    let talk = json!({"source_text": "\"Where were you last night?\" asks Mira."});
    assert_eq!(stage.ada.patch(&format!("scenes?id=eq.{}", stage.scene), &talk).0, 200);
    let body = json!({"offline": true, "panel_count": 1});
    let (status, refused) = stage.ada.post(&format!("/v1/scenes/{}/render", stage.scene), &body);
    assert_eq!(status, 400, "{refused}");
    assert!(refused["detail"].as_str().is_some_and(|detail| detail.contains("quality control")), "{refused}");
    let reports = stage.ada.rows("artifacts?type=eq.qc_report&order=version.desc");
    assert_eq!(reports[0]["payload"]["passed"], false, "the report is kept either way");
    assert_eq!(stage.ada.rows("images"), Vec::<Json>::new(), "and nothing was drawn");
}

#[test]
fn exactly_the_panels_of_an_edited_character_are_stale_and_drawn_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &[]);
    let stage = Stage::new(&server);
    let ada = &stage.ada;
    let made = drawn(&stage);
    let before = result(&stage, &made);
    let stale_path = format!("/v1/stories/{}/stale-panels", stage.story);
    assert_eq!(ada.get(&stale_path).1, json!([]), "nothing was edited");
    let jo = ada.rows("characters?name=eq.Jo")[0].clone();
    ada.patch(&format!("characters?id=eq.{}", id(&jo, "id")), &json!({"base_outfit": "a yellow coat"}));
    let semantics = ada.rows("artifacts?type=eq.panel_semantics")[0]["payload"]["panels"].clone();
    let shows_jo = |panel: &&Json| {
        panel["characters"].as_array().is_some_and(|all| all.iter().any(|it| it["name"] == "Jo"))
    };
    let expected: Vec<u64> = semantics
        .as_array()
        .expect("panels")
        .iter()
        .filter(shows_jo)
        .filter_map(|panel| panel["panel_index"].as_u64())
        .collect();
    assert!(!expected.is_empty() && expected.len() < pictures(&before).len(), "some show Jo: {semantics}");
    let (_, stale) = ada.get(&stale_path);
    let found: Vec<u64> =
        stale.as_array().expect("panels").iter().filter_map(|panel| panel["panel_index"].as_u64()).collect();
    assert_eq!(found, expected, "{stale}");
    assert_eq!(stale[0]["reasons"], json!([format!("character {}", id(&jo, "id"))]));

    let (status, queued) = ada.post(&format!("/v1/stories/{}/render-stale", stage.story), &json!({}));
    assert_eq!((status, queued["jobs"].as_array().map(Vec::len)), (202, Some(1)), "{queued}");
    let job = ended(ada, queued["jobs"][0].as_str().expect("a job"));
    assert_eq!(job["status"], "succeeded", "{job}");
    let after = result(&stage, &job["result"]);
    for (old, new) in pictures(&before).iter().zip(&pictures(&after)) {
        assert_eq!(
            old.1 != new.1,
            expected.contains(&old.0),
            "the others keep their pictures: {old:?} {new:?}"
        );
    }
    let seeds = |result: &Json| {
        result["panels"]
            .as_array()
            .expect("panels")
            .iter()
            .map(|panel| panel["seed"].clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(seeds(&before), seeds(&after), "seeds are kept");
    assert_eq!(ada.get(&stale_path).1, json!([]), "what was drawn again is fresh");
}

#[test]
fn a_kill_while_panels_are_drawn_draws_none_twice() {
    for point in [
        "webtoon_QCCheck_recorded",
        "job_committed",
        "webtoon_RenderPanel_recorded",
        "webtoon_page_written",
        "webtoon_ComposePage",
        "webtoon_ComposePage_recorded",
        "webtoon_RenderResult",
    ] {
        let folder = tempfile::tempdir().expect("a folder");
        let mut server = Server::start(folder.path(), &[("PLAYHOUSE_CRASH_AT", point)]);
        let (token, job) = {
            let stage = Stage::new(&server);
            let body = json!({"offline": true, "panel_count": 3});
            let (status, job) =
                stage.ada.post(&format!("/v1/scenes/{}/generate/render_async", stage.scene), &body);
            assert_eq!(status, 202, "{job}");
            (stage.ada.token.clone(), id(&job, "job_id"))
        };
        server.wait_for_death();
        let server = Server::start(folder.path(), &[]);
        let ada = crate::Account { server: &server, user: String::new(), token };
        let job = ended(&ada, &job);
        assert_eq!(job["status"], "succeeded", "{point}: {job}");
        let results = ada.rows("artifacts?type=eq.render_result");
        assert_eq!(results.len(), 1, "{point}");
        let panels = results[0]["payload"]["panels"].as_array().expect("panels").len();
        let drawn = ada.rows("jobs?format=eq.image&status=eq.completed");
        assert_eq!(
            (drawn.len(), ada.rows("images?generation_mode=eq.webtoon").len()),
            (panels, panels),
            "{point}"
        );
        assert_eq!(ada.rows("images?generation_mode=eq.webtoon_page").len(), 1, "{point}");
        fetched(&ada, &id(&results[0]["payload"], "image_url"));
    }
}

#[test]
fn references_are_drawn_of_a_description_and_panels_begin_with_them() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &[]);
    let stage = Stage::new(&server);
    let ada = &stage.ada;
    let bare = ada.made(&format!("/v1/stories/{}/characters", stage.story), &json!({"name": "Nell"}));
    let refs = |row: &Json| format!("/v1/characters/{}/generate-refs", id(row, "character_id"));
    assert_eq!(ada.post(&refs(&bare), &json!({})).0, 400, "nothing says how she looks");
    let mira = ada.made(
        &format!("/v1/stories/{}/characters", stage.story),
        &json!({"name": "Mira", "description": "a robot"}),
    );
    assert_eq!(ada.post(&refs(&mira), &json!({"count": 6})).0, 422);
    assert_eq!(ada.post(&refs(&mira), &json!({"ref_types": ["hat"]})).0, 422);
    let made = ada.made(&refs(&mira), &json!({"count": 2}));
    let primary: Vec<&Json> = made.as_array().expect("two").iter().map(|row| &row["is_primary"]).collect();
    assert_eq!(primary, [&json!(false), &json!(true)], "the last face");
    let drawn = render(&stage, json!({"panel_count": 1}));
    let (_, spec) = ada.get(&format!("/v1/artifacts/{}", id(&drawn, "render_spec")));
    let panel = &spec["payload"]["panels"][0];
    assert_eq!(panel["reference_image_url"], made[1]["image_url"], "{panel}");
    assert!(panel["prompt"].as_str().is_some_and(|prompt| prompt.contains("as in the reference picture")));
    let jobs = ada.rows("jobs?format=eq.image&order=created_at.desc&limit=1");
    assert_eq!(jobs[0]["metadata"]["reference_image_url"], made[1]["image_url"], "{}", jobs[0]);
    // A character that others would look at for its face is another's to change.
    let bob = crate::Account::new(&server, "bob@example.com");
    assert_eq!(bob.post(&refs(&mira), &json!({})).0, 404);
}

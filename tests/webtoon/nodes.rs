//! Single nodes of a scene, and the configuration of the rules.

use serde_json::{Value as Json, json};

use crate::common::Server;
use crate::rules::Stage;
use crate::{Account, id};

#[test]
fn each_node_makes_a_new_version_from_the_latest_of_what_it_needs() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &[]);
    let stage = Stage::new(&server);
    let ada = &stage.ada;
    let path = |node: &str| format!("/v1/internal/scenes/{}/{node}", stage.scene);
    let body = json!({"offline": true, "panel_count": 2});
    // Without what it needs a node says what that is.
    for (node, needed) in [
        ("generate/panel-plan", "scene_intent"),
        ("generate/panel-plan/normalize", "panel_plan"),
        ("generate/layout", "panel_plan_normalized"),
        ("generate/panel-semantics", "panel_plan_normalized"),
        ("generate/render-spec", "layout_template"),
        ("generate/render", "render_spec"),
        ("evaluate/qc", "panel_plan_normalized"),
        ("evaluate/blind-test", "panel_semantics"),
    ] {
        let (status, refused) = ada.post(&path(node), &body);
        assert_eq!(status, 400, "{node}: {refused}");
        let detail = refused["detail"].as_str().expect("words");
        assert!(detail.contains(&format!("the scene has no {needed}")), "{node}: {detail}");
    }
    assert_eq!(ada.rows("artifacts"), Vec::<Json>::new());
    for (node, kind) in [
        ("generate/scene-intent", "scene_intent"),
        ("generate/panel-plan", "panel_plan"),
        ("generate/panel-plan/normalize", "panel_plan_normalized"),
        ("generate/layout", "layout_template"),
        ("generate/panel-semantics", "panel_semantics"),
        ("generate/render-spec", "render_spec"),
        ("generate/render", "render_result"),
        ("evaluate/qc", "qc_report"),
        ("evaluate/blind-test", "blind_test_report"),
    ] {
        for version in 1..=2 {
            let made = ada.made(&path(node), &body);
            let (_, artifact) = ada.get(&format!("/v1/artifacts/{}", id(&made, "artifact_id")));
            assert_eq!((&artifact["type"], &artifact["version"]), (&json!(kind), &json!(version)), "{node}");
        }
    }
    let results = ada.rows("artifacts?type=eq.render_result&order=version");
    let seeds = |row: &Json| row["payload"]["panels"][0]["seed"].clone();
    assert_eq!(seeds(&results[0]), seeds(&results[1]), "a specification keeps its seeds");
    // A style that is not known is refused here, and a locked plan is not planned anew.
    assert_eq!(
        ada.post(&path("generate/render-spec"), &json!({"offline": true, "style_id": "glitter"})).0,
        400
    );
    ada.made(&format!("/v1/scenes/{}/planning/lock", stage.scene), &json!({}));
    let (status, refused) = ada.post(&path("generate/layout"), &body);
    assert_eq!(status, 400, "{refused}");
    assert!(refused["detail"].as_str().is_some_and(|detail| detail.contains("locked")), "{refused}");
    let bob = Account::new(&server, "bob@example.com");
    assert_eq!(bob.post(&path("generate/scene-intent"), &body).0, 404);
    // Without a model and offline not said, the node and the reason are named.
    let (status, failed) = ada.post(&path("evaluate/blind-test"), &json!({}));
    assert_eq!(status, 502, "{failed}");
    assert!(
        failed["detail"].as_str().is_some_and(|detail| detail.starts_with("BlindTestRunner: ")),
        "{failed}"
    );
}

#[test]
fn the_configuration_has_the_numbers_of_the_rules() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &[]);
    let ada = Account::new(&server, "ada@example.com");
    let (status, config) = ada.get("/v1/config");
    assert_eq!(status, 200, "{config}");
    assert_eq!(
        (&config["limits"]["scenes_max"], &config["quality"]["line_words_max"]),
        (&json!(20), &json!(15))
    );
    assert_eq!(
        (&config["gate"]["silent_ratio_min"], &config["layout_templates"][0]["template_id"]),
        (&json!(0.1), &json!("9x16_1"))
    );
    let reloaded = ada.made("/v1/config/reload", &json!({}));
    assert_eq!(reloaded["limits"], config["limits"]);
    assert!(
        reloaded["warnings"][0].as_str().is_some_and(|warning| warning.contains("when the server starts"))
    );
    assert_eq!(server.call("GET", "/v1/config", "", None).0, 401);
}

//! Reading an episode behind one link, without an account.

use serde_json::{Value as Json, json};

use crate::common::{Server, files};
use crate::drawn::{ended, render, row, scene, story};
use crate::{Account, id};

fn has_ended(export: &Json) -> bool {
    matches!(export["status"].as_str(), Some("completed" | "failed"))
}

#[test]
fn an_episode_is_read_behind_one_link_until_it_is_taken_back() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &[]);
    let (ada, bob) = (Account::new(&server, "ada@example.com"), Account::new(&server, "bob@example.com"));
    let tale = story(&ada);
    let scenes: Vec<String> = (0..2).map(|_| scene(&ada, &tale.story, "Text.", "build")).collect();
    scenes.iter().for_each(|scene| drop(render(&ada, scene, [200, 30, 30], 1, false)));
    let made = ada.made(&format!("/v1/stories/{}/episodes", tale.story), &json!({"title": "Salt <& Iron>"}));
    let episode = id(&made, "episode_id");
    ada.made(&format!("/v1/episodes/{episode}/scenes"), &json!({"scene_ids": scenes}));
    let exported = |kind: &str| {
        let made = ada.made(&format!("/v1/episodes/{episode}/export"), &json!({"kind": kind}));
        let export = id(&made, "export_id");
        assert_eq!(ended(&ada, &export, has_ended)["status"], "completed");
        export
    };
    let export = exported("slices");
    let link = format!("/v1/exports/{export}/share");
    assert_eq!(ada.get(&link).0, 404, "it has no link yet");
    assert_eq!(bob.post(&link, &json!({})).0, 404);
    let strip = exported("pdf");
    assert_eq!(ada.post(&format!("/v1/exports/{strip}/share"), &json!({})).0, 400, "slices alone are read");
    let url = id(&ada.made(&link, &json!({})), "url");
    assert_eq!(ada.get(&link).1["url"], json!(url));
    assert!(url.starts_with(&format!("{}/read/", server.url)), "{url}");
    // No account, no key.
    let page = files::send(&url, "GET", &[("accept", "text/html")], b"").expect("the server answers");
    assert_eq!((page.status, page.header("content-type")), (200, "text/html; charset=utf-8"));
    let text = page.text();
    assert!(text.contains("<title>Salt &lt;&amp; Iron&gt;</title>"), "{text}");
    assert!(text.contains("name=\"viewport\" content=\"width=device-width"), "{text}");
    assert!(page.header("content-security-policy").contains("default-src 'none'"));
    let preview = text.split("og:image\" content=\"").nth(1).and_then(|rest| rest.split('"').next());
    let preview = files::send(preview.expect("a preview"), "GET", &[], b"").expect("the server answers");
    assert_eq!((preview.status, preview.header("content-type")), (200, "image/jpeg"));
    let sizes: Vec<(u32, u32)> = text
        .split("<img src=\"")
        .skip(1)
        .map(|rest| {
            let path = rest.split('"').next().expect("an address");
            let slice =
                files::send(&format!("{}{path}", server.url), "GET", &[], b"").expect("the server answers");
            assert_eq!(slice.status, 200);
            let picture = image::load_from_memory(&slice.bytes).expect("a picture");
            assert!(
                rest.contains(&format!("width=\"{}\" height=\"{}\"", picture.width(), picture.height())),
                "{rest}"
            );
            (picture.width(), picture.height())
        })
        .collect();
    assert_eq!(sizes.iter().map(|size| size.1).sum::<u32>(), 2 * 1422 + 56, "all of the strip: {sizes:?}");
    for wrong in [format!("{}/read/x", server.url), format!("{url}x"), format!("{url}/none.jpg")] {
        assert_eq!(files::send(&wrong, "GET", &[], b"").expect("the server answers").status, 404, "{wrong}");
    }
    // A new link takes the place of the old one, and a revoked one opens nothing.
    let second = id(&ada.made(&link, &json!({})), "url");
    let status = |url: &str| files::send(url, "GET", &[], b"").expect("the server answers").status;
    assert_eq!((status(&url), status(&second)), (404, 200));
    assert_eq!(bob.delete(&link).0, 404);
    assert_eq!(ada.delete(&link).0, 204);
    assert_eq!((status(&second), status(&format!("{second}/001.jpg"))), (404, 404));
    assert_eq!(ada.delete(&link).0, 404);
    // A picture that is reported is in no public place until it was looked at.
    let third = id(&ada.made(&link, &json!({})), "url");
    assert_eq!(status(&third), 200);
    let character = json!({
        "user_id": ada.user, "name": "Mira", "description": "A keeper.", "is_public": true, "content_rating": "sfw",
        "image_url": format!("user-library/{}/{}-1.png", ada.user, scenes[0]),
    });
    let character = row(&ada, "characters", &character);
    let report = json!({"character_id": character, "reason": "not hers"});
    let (code, answer) = bob.post("/functions/v1/report-picture", &report);
    assert_eq!(code, 200, "{answer}");
    assert_eq!((status(&third), status(&format!("{third}/001.jpg"))), (404, 404));
    let (code, answer) = ada.post(&link, &json!({}));
    assert_eq!(code, 422, "{answer}");
}

#[test]
fn a_page_of_a_reported_panel_is_in_no_public_place() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &[]);
    let (ada, bob) = (Account::new(&server, "ada@example.com"), Account::new(&server, "bob@example.com"));
    let tale = story(&ada);
    let scene = scene(&ada, &tale.story, "The wind turns. Rain falls.", "build");
    let draw = json!({"offline": true, "enforce_qc": false});
    let drawn = ada.made(&format!("/v1/scenes/{scene}/render"), &draw);
    let episode = ada.made(&format!("/v1/stories/{}/episodes", tale.story), &json!({"title": "Salt"}));
    let episode = id(&episode, "episode_id");
    ada.made(&format!("/v1/episodes/{episode}/scenes"), &json!({"scene_ids": [scene]}));
    let made = ada.made(&format!("/v1/episodes/{episode}/export"), &json!({"kind": "slices"}));
    let export = id(&made, "export_id");
    ended(&ada, &export, |export| export["status"] == "completed");
    let link = format!("/v1/exports/{export}/share");
    let url = id(&ada.made(&link, &json!({})), "url");
    let status = |url: &str| files::send(url, "GET", &[], b"").expect("the server answers").status;
    assert_eq!(status(&url), 200);
    let (_, result) = ada.get(&format!("/v1/artifacts/{}", id(&drawn, "render_result")));
    let character = json!({
        "user_id": ada.user, "name": "Mira", "description": "A keeper.", "is_public": true, "content_rating": "sfw",
        "image_url": result["payload"]["panels"][0]["image_url"],
    });
    let character = row(&ada, "characters", &character);
    let report = json!({"character_id": character, "reason": "not hers"});
    let (code, answer) = bob.post("/functions/v1/report-picture", &report);
    assert_eq!(code, 200, "{answer}");
    assert_eq!(status(&url), 404, "the page shows the panel");
    // A page that is composed of it from then on waits as well, known by bytes of its own.
    let page = id(&result["payload"], "image_url");
    let place = json!({
        "user_id": ada.user, "name": "Jo", "description": "A keeper.", "is_public": true, "content_rating": "sfw",
        "image_url": page,
    });
    row(&ada, "characters", &place);
    let seen = || files::get(&server, &bob.token, &format!("/object/{page}")).status;
    assert_eq!(seen(), 200, "the picture of a public character");
    let again = ada.made(&format!("/v1/scenes/{scene}/render"), &draw);
    let (_, later) = ada.get(&format!("/v1/artifacts/{}", id(&again, "render_result")));
    let seeds = |result: &Json| result["payload"]["panels"][0]["seed"].clone();
    assert_eq!(seeds(&later), seeds(&result), "the same words and seed give the same picture");
    assert_ne!(seen(), 200, "the page was composed of it again");
}

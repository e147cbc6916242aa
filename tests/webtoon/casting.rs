//! Actors: drawn, saved, made of one picture, cast into stories.

use std::io::Cursor;

use image::{ImageFormat, Rgb, RgbImage};
use serde_json::{Value as Json, json};

use crate::common::{Server, files};
use crate::rules::Stage;
use crate::{Account, id};

fn png(colour: [u8; 3]) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    RgbImage::from_pixel(64, 64, Rgb(colour)).write_to(&mut bytes, ImageFormat::Png).expect("a PNG");
    bytes.into_inner()
}

fn names(list: &Json) -> Vec<&str> {
    list.as_array().expect("a list").iter().filter_map(|it| it["name"].as_str()).collect()
}

#[test]
fn an_actor_is_drawn_saved_cast_and_taken_out_of_the_library() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &[]);
    let stage = Stage::new(&server);
    let (ada, bob) = (&stage.ada, Account::new(&server, "bob@example.com"));
    let (status, refused) = ada.post("/v1/casting/generate", &json!({"name": "Mira"}));
    assert_eq!(status, 400, "nothing says how she looks: {refused}");
    assert_eq!(
        ada.post("/v1/casting/generate", &json!({"description": "x", "image_style_id": "glitter"})).0,
        400
    );
    assert_eq!(ada.post("/v1/casting/generate", &json!({"description": 7})).0, 422);
    let drawn = ada.made(
        "/v1/casting/generate",
        &json!({"name": "Mira", "description": "a keeper", "image_style_id": "manga", "hat": 1}),
    );
    assert!(drawn["prompt"].as_str().is_some_and(|prompt| prompt.starts_with("character sheet")), "{drawn}");
    assert!(drawn["warnings"][0].as_str().is_some_and(|warning| warning.starts_with("hat: ")), "{drawn}");
    let image_url = id(&drawn, "image_url");
    assert_eq!(ada.rows("characters"), Vec::<Json>::new(), "drawing saves nothing");

    // Saving makes the character, its picture and its default look together.
    let save = json!({"name": "Mira", "description": "a keeper", "image_url": image_url});
    assert_eq!(ada.post("/v1/casting/save", &json!({"name": "Mira"})).0, 422);
    assert_eq!(bob.post("/v1/casting/save", &save).0, 403, "another account's picture");
    let saved = ada.made("/v1/casting/save", &save);
    assert_eq!(
        (&saved["is_library_saved"], &saved["approved"], &saved["project_id"], &saved["canonical_code"]),
        (&json!(true), &json!(true), &Json::Null, &Json::Null)
    );
    let reference = &saved["references"][0];
    assert_eq!(
        (&reference["ref_type"], &reference["approved"], &reference["is_primary"], &reference["image_url"]),
        (&json!("profile_sheet"), &json!(true), &json!(true), &json!(image_url))
    );
    let look = &saved["variants"][0];
    assert_eq!(
        (&look["variant_type"], &look["variant_name"], &look["is_default"], &look["reference_image_id"]),
        (&json!("base"), &json!("Default"), &json!(true), &reference["reference_image_id"])
    );
    let actor = format!("/v1/casting/characters/{}", id(&saved, "character_id"));
    assert_eq!(ada.get(&actor).1["variants"], saved["variants"]);
    assert_eq!(bob.get(&actor).0, 404);
    assert_eq!(
        ada.delete(&format!("/v1/casting/variants/{}", id(look, "variant_id"))).0,
        400,
        "the default look"
    );

    // A project's own actor is in that library, those of none in every one.
    let casting = format!("/v1/casting/projects/{}", stage.project);
    let own = ada.made(&format!("{casting}/save"), &json!({"name": "Jo", "image_url": image_url}));
    assert_eq!((&own["project_id"], &own["canonical_code"]), (&json!(stage.project), &json!("CHAR_A")));
    assert_eq!(names(&ada.get(&format!("{casting}/library")).1), ["Mira", "Jo"]);
    assert_eq!(names(&ada.get("/v1/casting/library").1), ["Mira"]);
    assert_eq!(
        ada.get(&format!("{casting}/characters/{}", id(&saved, "character_id"))).0,
        404,
        "not the project's"
    );
    assert_eq!(bob.get(&format!("{casting}/library")).0, 404);
    let load = format!("/v1/stories/{}/characters/load-from-library", stage.story);
    let loaded = ada.made(&load, &json!({"character_id": saved["character_id"]}));
    assert_eq!(loaded["already_linked"], false);

    // Looks are drawn from the actor's picture and are not active before they are activated.
    let drawn = ada.made(
        &format!("{actor}/variants/generate"),
        &json!({"variant_type": "outfit_change", "override_attributes": {"outfit": "a blue coat"}}),
    );
    assert_eq!((&drawn["is_active_for_story"], &drawn["is_default"]), (&json!(false), &json!(false)));
    let job = &ada.rows("jobs?format=eq.image&order=created_at.desc&limit=1")[0];
    assert!(
        job["original_prompt"].as_str().is_some_and(|prompt| prompt.contains("wearing a blue coat")),
        "{job}"
    );
    assert_eq!(job["metadata"]["reference_image_url"], json!(image_url));
    assert_eq!(ada.get(&format!("{actor}/variants")).1.as_array().map(Vec::len), Some(2));
    assert_eq!(ada.delete(&format!("/v1/casting/variants/{}", id(&drawn, "variant_id"))).0, 204);

    // Taking an actor out of the library keeps it where it is cast.
    assert_eq!(bob.delete(&actor).0, 404);
    assert_eq!(ada.delete(&actor).0, 204);
    assert_eq!(ada.delete(&actor).0, 400, "it is not saved any more");
    assert_eq!(
        ada.get(&format!("/v1/stories/{}/characters", stage.story)).1.as_array().map(Vec::len),
        Some(1)
    );

    // One that nothing describes leaves it too, by either way.
    for (verb, rest) in [("DELETE", ""), ("POST", "/remove-from-library")] {
        let bare = ada.made("/v1/casting/save", &json!({"name": "Kim", "image_url": image_url}));
        assert_eq!((&bare["description"], &bare["canonical_code"]), (&Json::Null, &Json::Null));
        let bare = id(&bare, "character_id");
        let (status, answer) = match verb {
            "DELETE" => ada.delete(&format!("/v1/casting/characters/{bare}")),
            _ => ada.post(&format!("/v1/characters/{bare}{rest}"), &json!({})),
        };
        assert!((200..300).contains(&status), "{verb}: {answer}");
        assert_eq!(ada.get(&format!("/v1/characters/{bare}")).1["is_library_saved"], false);
        assert_eq!(names(&ada.get("/v1/casting/library").1), Vec::<&str>::new());
    }
}

#[test]
fn a_character_is_made_of_one_picture_and_passes_its_look_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &[]);
    let stage = Stage::new(&server);
    let ada = &stage.ada;
    let casting = format!("/v1/casting/projects/{}", stage.project);
    // The picture as the file of a form.
    let url = format!("{}{casting}/import/file", server.url);
    let send = |fields: &[(&str, &str)], file: Option<&[u8]>| {
        let mut body = Vec::new();
        for (name, value) in fields {
            let head = format!("--b\r\ncontent-disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n");
            body.extend_from_slice(head.as_bytes());
        }
        if let Some(file) = file {
            let head = "--b\r\ncontent-disposition: form-data; name=\"file\"; filename=\"a.png\"\r\n\r\n";
            body.extend_from_slice(head.as_bytes());
            body.extend_from_slice(file);
            body.extend_from_slice(b"\r\n");
        }
        body.extend_from_slice(b"--b--\r\n");
        let token = format!("Bearer {}", ada.token);
        let headers =
            [("authorization", token.as_str()), ("content-type", "multipart/form-data; boundary=b")];
        let answer = files::send(&url, "POST", &headers, &body).expect("the server answers");
        (answer.status, serde_json::from_str::<Json>(&answer.text()).expect("JSON"))
    };
    let picture = png([200, 40, 40]);
    for (fields, file, field) in [
        (vec![("name", "Nell")], None, "file"),
        (vec![("name", "Nell")], Some(&b"no picture"[..]), "file"),
        (vec![("description", "x")], Some(&picture[..]), "name"),
    ] {
        let (status, answer) = send(&fields, file);
        assert_eq!((status, &answer["detail"][0]["loc"][1]), (422, &json!(field)), "{answer}");
    }
    assert_eq!(ada.rows("characters"), Vec::<Json>::new());
    let (status, nell) =
        send(&[("name", "Nell"), ("description", "a diver"), ("hat", "blue")], Some(&picture));
    assert_eq!(status, 200, "{nell}");
    assert_eq!((&nell["canonical_code"], &nell["description"]), (&json!("CHAR_A"), &json!("a diver")));
    assert!(nell["warnings"][0].as_str().is_some_and(|warning| warning.starts_with("hat: ")), "{nell}");
    let face = id(&nell["references"][0], "image_url");
    assert_eq!(nell["references"][0]["ref_type"], "face");
    assert_eq!(files::get(&server, &ada.token, &format!("/object/{face}")).bytes, picture);
    // Panels that show her begin with it.
    ada.made(
        &format!("/v1/stories/{}/characters/load-from-library", stage.story),
        &json!({"character_id": nell["character_id"]}),
    );
    assert_eq!(
        ada.patch(&format!("scenes?id=eq.{}", stage.scene), &json!({"source_text": "Nell waits."})).0,
        200
    );
    let body = json!({"offline": true, "enforce_qc": false, "panel_count": 1});
    let drawn = ada.made(&format!("/v1/scenes/{}/render", stage.scene), &body);
    let (_, spec) = ada.get(&format!("/v1/artifacts/{}", id(&drawn, "render_spec")));
    assert_eq!(spec["payload"]["panels"][0]["reference_image_url"], json!(face));

    // The same by an address of the account's own storage, and the look goes to another character.
    let import = json!({"name": "Ned", "image_url": face});
    let ned = ada.made("/v1/casting/import", &import);
    assert_eq!(ned["references"][0]["ref_type"], "face");
    let jo = ada.made(&format!("/v1/stories/{}/characters", stage.story), &json!({"name": "Jo"}));
    let take = format!("/v1/characters/{}/import-from-library", id(&jo, "character_id"));
    let taken = ada.made(&take, &json!({"library_character_id": nell["character_id"]}));
    assert_eq!((&taken["description"], &taken["name"]), (&json!("a diver"), &json!("Jo")));
    let refs = ada.get(&format!("/v1/characters/{}/refs", id(&jo, "character_id"))).1;
    assert_eq!((&refs[0]["image_url"], &refs[0]["is_primary"]), (&json!(face), &json!(true)));
    ada.made(&take, &json!({"library_character_id": nell["character_id"]}));
    let again = ada.get(&format!("/v1/characters/{}/refs", id(&jo, "character_id"))).1;
    assert_eq!(again.as_array().map(Vec::len), Some(1), "what is there already is not doubled");
    let own = json!({"library_character_id": jo["character_id"]});
    assert_eq!(ada.post(&take, &own).0, 400, "itself");
    let bob = Account::new(&server, "bob@example.com");
    assert_eq!(bob.post(&take, &json!({"library_character_id": nell["character_id"]})).0, 404);
    assert_eq!(bob.post(&format!("{casting}/import"), &import).0, 404);
}

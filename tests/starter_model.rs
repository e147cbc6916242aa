//! The model in the program says what it was never trained for.

mod common;

use common::Server;
use serde_json::json;

#[test]
fn the_starter_model_warns_of_words_and_sizes_that_it_does_not_know() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &[]);
    let (_, token) = server.sign_up("ada@example.com");
    let queue = |prompt: &str, side: Option<u32>| {
        let body = json!({"job_type": "sdxl_image_fast", "prompt": prompt, "width": side, "height": side, "steps": 1});
        let (status, answer) = server.call("POST", "/functions/v1/queue-job", &token, Some(&body));
        assert_eq!(status, 200, "{answer}");
        let warnings = answer["warnings"].as_array().cloned().unwrap_or_default();
        warnings.iter().filter_map(|warning| warning.as_str().map(str::to_string)).collect::<Vec<_>>()
    };
    assert_eq!(queue("a cat on a beach", None), Vec::<String>::new());
    assert_eq!(queue("a robot", Some(64)), Vec::<String>::new());
    let warnings = queue("a dragon in a castle", Some(128));
    assert!(warnings[0].starts_with("prompt:") && warnings[0].contains("robot"), "{warnings:?}");
    assert!(warnings[1].starts_with("width, height:") && warnings[1].contains("64 x 64"), "{warnings:?}");
}

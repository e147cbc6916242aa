//! Files, accounts and OpenAI's dialect.

use crate::names::Names;
use crate::spy::{Question, Spy};

fn ask<'q>(method: &'q str, path: &'q str, body: &'q str) -> Question<'q> {
    Question { method, path, body, headers: &[] }
}

pub fn probe(spy: &mut Spy) {
    files(spy);
    accounts(spy);
    openai(spy);
    a1111(spy);
    for path in ["/health", "/rest/v1/", "/nothing"] {
        spy.ask(&ask("GET", path, ""), Names::Nothing);
    }
    for path in ["/admin/v1/check", "/admin/v1/backup"] {
        spy.ask(&ask("POST", path, "{}"), Names::Nothing);
    }
}

/// Lists, progress and options of A1111's dialect are the asker's own, and an interrupt ends nothing of another's.
fn a1111(spy: &mut Spy) {
    for path in ["options", "progress", "sd-models", "loras", "samplers", "schedulers", "sd-vae", "upscalers"]
    {
        spy.ask(&ask("GET", &format!("/sdapi/v1/{path}"), ""), Names::Nothing);
    }
    spy.ask(&ask("POST", "/sdapi/v1/interrupt", "{}"), Names::Nothing);
    // A picture of another account is taken by no name.
    for path in ["<file>", "<scene_file>", "<asset_file>"] {
        let body = format!(r#"{{"prompt": "x", "init_images": ["{path}"]}}"#);
        spy.compare(&ask("POST", "/sdapi/v1/img2img", &body));
        spy.compare(&ask("POST", "/sdapi/v1/png-info", &format!(r#"{{"image": "{path}"}}"#)));
    }
}

fn files(spy: &mut Spy) {
    for file in ["<file>", "<scene_file>", "<asset_file>"] {
        for (method, path) in [
            ("GET", "object"),
            ("GET", "object/authenticated"),
            ("GET", "object/public"),
            ("GET", "object/info"),
            ("GET", "object/info/authenticated"),
            ("GET", "object/info/public"),
            ("GET", "render/image/authenticated"),
            ("GET", "render/image/public"),
            ("GET", "render/image/sign"),
            ("GET", "object/sign"),
            ("DELETE", "object"),
        ] {
            spy.compare(&ask(method, &format!("/storage/v1/{path}/{file}"), ""));
        }
        for path in ["object/sign", "object/upload/sign"] {
            let path = format!("/storage/v1/{path}/{file}");
            spy.compare(&ask("POST", &path, r#"{"expiresIn": 60}"#));
        }
    }
    let name = spy.owner.thing("file").trim_start_matches("user-library/").to_string();
    let folder = spy.owner.id.clone();
    let marker = spy.owner.marker;
    let copies = format!(
        r#"{{"bucketId": "user-library", "sourceKey": "{name}", "destinationKey": "<own:user>/copy.png"}}"#
    );
    for path in ["/storage/v1/object/move", "/storage/v1/object/copy"] {
        let answer = spy.ask(&ask("POST", path, &copies), Names::Nothing);
        if answer.status < 400 {
            spy.wrong.push(format!("{path} {copies}: {}", answer.text()));
        }
    }
    let several = format!(r#"{{"paths": ["{name}"], "expiresIn": 60}}"#);
    let answer = spy.ask(&ask("POST", "/storage/v1/object/sign/user-library", &several), Names::Nothing);
    if answer.text().contains("token=") {
        spy.wrong.push(format!("signed {several}: {}", answer.text()));
    }
    let removed = format!(r#"{{"prefixes": ["{name}"]}}"#);
    let answer = spy.ask(&ask("DELETE", "/storage/v1/object/user-library", &removed), Names::Nothing);
    if answer.json() != serde_json::json!([]) {
        spy.wrong.push(format!("removed {removed}: {}", answer.text()));
    }
    for body in [
        r#"{"prefix": ""}"#.to_string(),
        format!(r#"{{"prefix": "{folder}"}}"#),
        format!(r#"{{"prefix": "{folder}/", "search": "png"}}"#),
        format!(r#"{{"prefix": "", "search": "{folder}"}}"#),
    ] {
        for bucket in ["user-library", "workspace-temp", "reference_images"] {
            for list in ["list", "list-v2"] {
                let path = format!("/storage/v1/object/{list}/{bucket}");
                let answer = spy.ask(&ask("POST", &path, &body), Names::Nothing);
                // The folder is named after the account; only what was asked with may be said again.
                if !body.contains(&folder) && answer.text().contains(&folder)
                    || answer.text().contains(marker)
                {
                    spy.wrong.push(format!("{path} {body}: {}", answer.text()));
                }
            }
        }
    }
    let upload = format!("/storage/v1/object/user-library/{folder}/mine.png");
    for method in ["POST", "PUT"] {
        let headers = [("content-type", "image/png")];
        let answer =
            spy.ask(&Question { method, path: &upload, body: "png", headers: &headers }, Names::Nothing);
        if answer.status < 400 {
            spy.wrong.push(format!("{method} {upload}: {}", answer.text()));
        }
    }
}

fn accounts(spy: &mut Spy) {
    for (method, path, body) in [
        ("GET", "/auth/v1/user", ""),
        ("GET", "/auth/v1/admin/users", ""),
        ("GET", "/auth/v1/admin/users/<user>", ""),
        ("PUT", "/auth/v1/admin/users/<user>", r#"{"password": "taken over"}"#),
        ("DELETE", "/auth/v1/admin/users/<user>", ""),
        ("POST", "/auth/v1/admin/generate_link", r#"{"type": "magiclink", "email": "x@example.com"}"#),
        ("GET", "/auth/v1/settings", ""),
    ] {
        spy.compare(&ask(method, path, body));
    }
    // Whether an address has an account cannot be learned by asking for a link.
    let known = format!("{}@example.com", spy.owner.name);
    let mut answers = Vec::new();
    for email in [known.as_str(), "free@example.com"] {
        let body = format!(r#"{{"email": "{email}"}}"#);
        let answer = spy.ask(&ask("POST", "/auth/v1/recover", &body), Names::Nothing);
        answers.push((answer.status, answer.text()));
    }
    if answers[0] != answers[1] {
        spy.wrong.push(format!("recover shows who has an account: {answers:?}"));
    }
}

fn openai(spy: &mut Spy) {
    let token = format!("Bearer {}", spy.asker.thing("secret"));
    let by_token = [("authorization", token.as_str())];
    for headers in [&[][..], &by_token[..]] {
        let answer =
            spy.ask(&Question { method: "GET", path: "/v1/models", body: "", headers }, Names::Nothing);
        for hidden in ["character", "imported_character"] {
            if answer.text().contains(spy.owner.thing(hidden)) {
                spy.wrong.push(format!("/v1/models lists a private character: {}", answer.text()));
            }
        }
        for character in ["<character>", "<imported_character>"] {
            let path = format!("/v1/models/character:{character}");
            spy.compare(&Question { method: "GET", path: &path, body: "", headers });
            let body = format!(
                r#"{{"model": "character:{character}", "messages": [{{"role": "user", "content": "Who are you?"}}], "max_tokens": 8}}"#
            );
            spy.compare(&Question { method: "POST", path: "/v1/chat/completions", body: &body, headers });
        }
    }
    let public = r#"{"model": "character:<public_character>", "messages": [{"role": "user", "content": "Who are you?"}], "max_tokens": 8, "seed": 1}"#;
    spy.ask(&ask("POST", "/v1/chat/completions", public), Names::Theirs(spy.owner));
    let seen = r#"{"model": "slow", "messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "<file>"}}]}], "max_tokens": 8}"#;
    spy.compare(&ask("POST", "/v1/chat/completions", seen));
    let drawn =
        r#"{"prompt": "x", "n": 1, "size": "64x64", "image": "<file>", "model": "character:<character>"}"#;
    spy.compare(&ask("POST", "/v1/images/generations", drawn));
}

//! Is each setting read, and each mistake named?

use super::*;

fn variables(list: &[(&str, &str)]) -> impl Iterator<Item = (OsString, OsString)> {
    list.iter().map(|(name, value)| (name.into(), value.into())).collect::<Vec<_>>().into_iter()
}

#[test]
fn the_environment_wins_over_the_file() {
    let file = serde_json::json!({"rows_max": 10, "autoconfirm": false, "image_model": "a"});
    let environment =
        [("PLAYHOUSE_ROWS_MAX", "50"), ("PLAYHOUSE_LOG", "debug"), ("PLAYHOUSE_CALLBACK_SECRET", "s3")];
    let config = read(Some(file), variables(&environment)).expect("it reads");
    assert_eq!((config.rows_max, config.autoconfirm), (50, false));
    assert_eq!(config.callback_secret.as_deref(), Some("s3"));
    assert!(!format!("{config:?}").contains("s3"));
}

#[test]
fn credits_are_charged_where_others_may_sign_up() {
    let charges =
        |settings: Json| read(Some(settings), std::iter::empty()).expect("it reads").charges_credits();
    use serde_json::json;
    for (settings, charged) in [
        (json!({}), false),
        (json!({"listen": "[::1]:80"}), false),
        (json!({"listen": "0.0.0.0:80"}), true),
        (json!({"listen": "0.0.0.0:80", "signup_enabled": false}), false),
        (json!({"listen": "0.0.0.0:80", "signup_enabled": false, "anonymous_enabled": true}), true),
        (json!({"public_url": "https://studio.example.com"}), true),
        (json!({"public_url": "http://localhost:9000/x"}), false),
        (json!({"public_url": "http://127.0.0.1:9000"}), false),
        (json!({"public_url": "https://studio.example.com", "charge_credits": false}), false),
        (json!({"charge_credits": true}), true),
    ] {
        assert_eq!(charges(settings.clone()), charged, "{settings}");
    }
}

#[test]
fn the_address_is_one_that_can_be_gone_to() {
    let url = |settings: Json| read(Some(settings), std::iter::empty()).expect("it reads").url();
    use serde_json::json;
    assert_eq!(url(json!({"listen": "0.0.0.0:80"})), "http://127.0.0.1:80");
    assert_eq!(url(json!({"listen": "0.0.0.0:80", "public_url": "https://a.example/"})), "https://a.example");
}

#[test]
fn a_mistyped_variable_is_named_with_what_it_may_mean() {
    let environment = [
        "PLAYHOUSE_MODEL_DIR",
        "PLAYHOUSE_LOG",
        "PLAYHOUSE_DATA",
        "PATH",
        "PLAYHOUSE_COLOUR",
        "PLAYHOUS_ROWS_MAX",
        "PLAYHOUSE-LISTEN",
        "playhouse_data",
        "PLAY_HOUSE_MODELS_DIR",
        "PLAYHOUSEDATA",
        "CLICKHOUSE_DATA",
        "PLAYGROUND_DATA",
        "PLAYHOUSE",
        "HOUSE_DATA",
        "WAREHOUSE_LISTEN",
    ];
    let said = unknown_variables(environment.into_iter().map(str::to_string));
    assert_eq!(
        said,
        [
            "PLAYHOUSE_MODEL_DIR in the environment sets nothing; did you mean PLAYHOUSE_MODELS_DIR?",
            "PLAYHOUSE_COLOUR in the environment sets nothing",
            "PLAYHOUS_ROWS_MAX in the environment sets nothing; did you mean PLAYHOUSE_ROWS_MAX?",
            "PLAYHOUSE-LISTEN in the environment sets nothing; did you mean PLAYHOUSE_LISTEN?",
            "playhouse_data in the environment sets nothing; did you mean PLAYHOUSE_DATA?",
            "PLAY_HOUSE_MODELS_DIR in the environment sets nothing; did you mean PLAYHOUSE_MODELS_DIR?",
            "PLAYHOUSEDATA in the environment sets nothing; did you mean PLAYHOUSE_DATA?",
        ]
    );
}

#[test]
fn listening_beyond_this_machine_says_what_it_opens() {
    let at = |listen: &str| Config { listen: listen.parse().expect("an address"), ..Config::default() };
    assert_eq!(at("127.0.0.1:1").open_to_others().or(at("[::1]:1").open_to_others()), None);
    let said = at("0.0.0.0:1").open_to_others().expect("a warning");
    assert!(said.contains("0.0.0.0:1") && said.contains("signup_enabled"), "{said}");
    let closed = Config { signup_enabled: false, ..at("[::]:1") }.open_to_others().expect("a warning");
    assert!(!closed.contains("signup_enabled") && closed.contains("keyless_anon"), "{closed}");
}

#[test]
fn a_setting_that_cannot_be_is_named() {
    use serde_json::json;
    let refused = |file: Json| read(Some(file), std::iter::empty()).expect_err("it is refused");
    for (file, named) in [
        (json!({"rows_maximum": 1}), "unknown setting `rows_maximum`; did you mean rows_max?"),
        (json!({"worker_probe_s": 101}), "worker_probe_s: 101 is more than 100"),
        (
            json!({"autoconfirm": true, "rows_max": "many"}),
            "rows_max: \"many\" is not a whole number, such as 1000",
        ),
        (json!({"rows_max": -1}), "rows_max: -1 is not a whole number"),
        (json!({"mailbox_capacity": 0}), "mailbox_capacity: 0 is less than 1"),
        (json!({"autoconfirm": "yes"}), "autoconfirm: \"yes\" is not true or false"),
        (
            json!({"redirect_urls": "https://a.example"}),
            "redirect_urls: \"https://a.example\" is not a list, such as [",
        ),
        (json!({"trusted_proxies": ["proxy"]}), "trusted_proxies: [\"proxy\"] is not a list of addresses"),
        (
            json!({"file_bytes_max": "much"}),
            "file_bytes_max: \"much\" is not a number of bytes, such as 536870912 or \"512MiB\"",
        ),
        (json!({"image_drawing_bytes": []}), "image_drawing_bytes: [] is not a number of bytes"),
        (json!({"callback_secret": ["s3"]}), "callback_secret: not text"),
        (json!({"listen": 5}), "listen: 5 is not text"),
        (json!({"listen": "here"}), "listen: \"here\" is no address with a port"),
        (json!({"public_url": "here"}), "public_url: \"here\""),
        (json!({"jwt_algorithm": "none"}), "jwt_algorithm: none"),
        (json!([1]), "not a JSON object"),
    ] {
        let said = refused(file);
        assert!(said.contains(named), "{said}");
    }
    let said = read(None, variables(&[("PLAYHOUSE_ROWS_MAX", "many")])).expect_err("it is refused");
    assert!(said.starts_with("PLAYHOUSE_ROWS_MAX in the environment: rows_max: "), "{said}");
}

#[test]
fn sizes_may_have_a_unit_and_text_may_look_like_a_number() {
    let file = serde_json::json!({"cache_bytes": "64MiB", "body_bytes_max": 4096});
    let environment = [
        ("PLAYHOUSE_MEMORY_BYTES_MAX", "512 MiB"),
        ("PLAYHOUSE_IMAGE_MODEL", "15"),
        ("PLAYHOUSE_IMAGE_BATCH_MAX", "2"),
        ("PLAYHOUSE_TRUSTED_PROXIES", "[\"10.0.0.1\"]"),
    ];
    let config = read(Some(file), variables(&environment)).expect("it reads");
    assert_eq!((config.cache_bytes(), config.body_bytes_max), (64 << 20, 4096));
    assert_eq!((config.memory_bytes_max, config.image_batch_max), (Some(512 << 20), Some(2)));
    assert_eq!((config.image_model.as_deref(), config.trusted_proxies.len()), (Some("15"), 1));
}

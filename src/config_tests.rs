//! Is each setting read, and each mistake named?

use super::*;

#[test]
fn the_environment_wins_over_the_file() {
    let file = serde_json::json!({"rows_max": 10, "autoconfirm": false, "image_model": "a"});
    let environment =
        [("PLAYHOUSE_ROWS_MAX", "50"), ("PLAYHOUSE_LOG", "debug"), ("PLAYHOUSE_CALLBACK_SECRET", "s3")];
    let environment = environment.iter().map(|(name, value)| (name.to_string(), value.to_string()));
    let config = read(Some(file), environment).expect("it reads");
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
    let environment = ["PLAYHOUSE_MODEL_DIR", "PLAYHOUSE_LOG", "PLAYHOUSE_DATA", "PATH", "PLAYHOUSE_COLOUR"];
    let said = unknown_variables(environment.into_iter().map(str::to_string));
    assert_eq!(
        said,
        [
            "PLAYHOUSE_MODEL_DIR in the environment sets nothing; did you mean PLAYHOUSE_MODELS_DIR?",
            "PLAYHOUSE_COLOUR in the environment sets nothing",
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
        (json!({"autoconfirm": true, "rows_max": "many"}), "rows_max: invalid type"),
        (json!({"rows_max": -1}), "rows_max: invalid value"),
        (json!({"mailbox_capacity": 0}), "mailbox_capacity: 0 is less than 1"),
        (json!({"listen": "here"}), "listen: \"here\" is no address with a port"),
        (json!({"public_url": "here"}), "public_url: \"here\""),
        (json!({"jwt_algorithm": "none"}), "jwt_algorithm: none"),
        (json!([1]), "not a JSON object"),
    ] {
        let said = refused(file);
        assert!(said.contains(named), "{said}");
    }
    let environment = [("PLAYHOUSE_ROWS_MAX".to_string(), "many".to_string())];
    let said = read(None, environment.into_iter()).expect_err("it is refused");
    assert!(said.starts_with("PLAYHOUSE_ROWS_MAX in the environment: rows_max: "), "{said}");
}

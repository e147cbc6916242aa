//! Every setting, what it is, and where that comes from.

use serde_json::{Map, Value as Json, json};

use super::Config;
use super::read::is_secret;

/// All settings by name: `value`, and `from`.
pub fn describe(config: &Config) -> Json {
    let Ok(Json::Object(values)) = serde_json::to_value(config) else { return Json::Null };
    let described = values.into_iter().map(|(name, value)| {
        let from = config.sources.place(&name);
        let about = json!({"value": shown(&name, value), "from": from});
        (name, about)
    });
    Json::Object(described.collect())
}

/// A value without what is secret in it.
fn shown(name: &str, value: Json) -> Json {
    match value {
        Json::Null => Json::Null,
        Json::Object(members) if is_secret(name) => {
            members.into_iter().map(|(key, value)| (key, within(value))).collect::<Map<_, _>>().into()
        }
        _ if is_secret(name) => HIDDEN.into(),
        Json::String(text) => without_password(&text).into(),
        other => other,
    }
}

const HIDDEN: &str = "(set, not shown)";

/// A member of a setting with secrets: of a provider the settings that are none, of anything else nothing.
fn within(value: Json) -> Json {
    let Json::Object(members) = value else { return HIDDEN.into() };
    let shown = |(key, value): (String, Json)| {
        let hidden = key == "client_secret" && !value.is_null();
        (key, if hidden { HIDDEN.into() } else { value })
    };
    members.into_iter().map(shown).collect::<Map<_, _>>().into()
}

/// An address without the password that may stand in it.
fn without_password(text: &str) -> String {
    match reqwest::Url::parse(text) {
        Ok(mut url) if url.password().is_some() => {
            let _ = url.set_password(Some("..."));
            url.to_string()
        }
        _ => text.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_setting_says_where_it_comes_from_and_secrets_stay_hidden() {
        let file = json!({
            "rows_max": 10, "callback_secret": "s3cret", "public_url": "https://ada:s3cret@studio.example.com",
            "oauth_providers": {"google": {"client_id": "abc", "client_secret": "s3cret"}},
            "otlp_headers": {"authorization": "s3cret"},
        });
        let environment = [("PLAYHOUSE_LISTEN".into(), "127.0.0.1:1".into())];
        let mut config = super::super::read(Some(file), environment.into_iter()).expect("it reads");
        config.sources.note_file(std::path::Path::new("a.json"));
        config.sources.note("data", super::super::Source::Flag);
        // A flag counts before the environment.
        config.sources.note("rows_max", super::super::Source::Flag);
        let described = describe(&config);
        let text = described.to_string();
        assert!(!text.contains("s3cret"), "{text}");
        let from = |name: &str| described[name]["from"].as_str().expect("a source").to_string();
        assert_eq!(from("rows_max"), "flag: --rows-max");
        assert_eq!(from("public_url"), "file: a.json");
        assert_eq!(described["rows_max"]["value"], 10);
        assert_eq!(from("listen"), "environment: PLAYHOUSE_LISTEN");
        assert_eq!(from("data"), "flag: --data");
        assert_eq!(from("query_s_max"), "default");
        assert_eq!(described["oauth_providers"]["value"]["google"]["client_id"], "abc");
        assert_eq!(described["callback_secret"]["value"], HIDDEN);
        assert_eq!(described["replicate_webhook_secret"]["value"], Json::Null);
    }
}

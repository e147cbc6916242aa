use serde_json::json;

use super::*;

fn bind(name: &str, given: Json) -> Result<Vec<Value>, BindError> {
    let Json::Object(given) = given else { panic!("arguments are an object") };
    find(name).expect(name).bind(given)
}

#[test]
fn every_default_is_of_its_arguments_type() {
    for function in FUNCTIONS {
        for argument in function.arguments {
            if let Some(default) = argument.default {
                let parsed = expr::parse_default(default, argument.kind.column_type());
                assert!(parsed.is_ok(), "{}.{}: {parsed:?}", function.name, argument.name);
            }
        }
    }
}

#[test]
fn stable_functions_are_those_that_only_look() {
    for function in FUNCTIONS {
        assert_eq!(function.is_stable, matches!(function.body, Body::Read(_)), "{}", function.name);
        assert_eq!(find(function.name).map(|found| found.name), Some(function.name));
    }
}

#[test]
fn arguments_bind_by_name_and_fill_in_defaults() {
    let id = uuid::Uuid::from_u128(1);
    let values = bind("create_workspace_session", json!({ "p_user_id": id.to_string() }));
    assert_eq!(values, Ok(vec![Value::Uuid(id), Value::text("Workspace Session")]));
    let values = bind("log_user_activity", json!({ "p_action": "look", "p_user_id": null })).expect("binds");
    assert_eq!(values[..3], [Value::Null, Value::text("look"), Value::Null]);
    assert_eq!(values[4], Value::Json("{}".into()));
}

#[test]
fn what_does_not_fit_is_refused() {
    let missing = bind("has_role", json!({ "_role": "admin" }));
    assert!(matches!(missing, Err(BindError::NoSuchSignature { .. })), "{missing:?}");
    let unknown = bind("get_system_stats", json!({ "p_weeks": 1 }));
    let message = unknown.expect_err("unknown argument").to_string();
    assert_eq!(message, "Could not find the function public.get_system_stats(p_weeks) in the schema cache");
    let wrong = bind("has_role", json!({ "_user_id": "x", "_role": "admin" }));
    assert!(matches!(wrong, Err(BindError::Convert(_))), "{wrong:?}");
}

#[test]
fn text_arguments_convert_and_the_last_counts() {
    let given = |text: &str| ("p_days".to_string(), text.to_string());
    let stats = find("get_system_stats").expect("declared");
    assert_eq!(stats.bind_text(&[given("1"), given("7")]), Ok(vec![Value::Int(7)]));
    assert_eq!(stats.bind_text(&[]), Ok(vec![Value::Int(30)]));
    assert!(matches!(stats.bind_text(&[given("soon")]), Err(BindError::Convert(_))));
}

#[test]
fn only_the_account_itself_or_the_service_acts_for_it() {
    let id = uuid::Uuid::from_u128(1);
    let account = Value::Uuid(id);
    assert!(account_itself(&Claims::user(id), &account, "x").is_ok());
    assert!(account_itself(&Claims::service(), &account, "x").is_ok());
    assert!(account_itself(&Claims::user(uuid::Uuid::from_u128(2)), &account, "x").is_err());
    assert!(account_itself(&Claims::anonymous(), &Value::Null, "x").is_err());
    let refusal = service_only(&Claims::user(id), "x").expect_err("not the service");
    assert_eq!(refusal.to_string(), "permission denied for function x");
}

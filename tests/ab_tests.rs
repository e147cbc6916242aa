//! Tests of two prompt configurations, from their row to their end.

mod common;
mod talk;

use common::Server;
use common::jobs::{one, picture, queue};
use serde_json::{Value as Json, json};
use talk::invoke;

/// Accounts of each group at the first look.
const FIRST_LOOK: usize = 10;
/// Accounts that are signed up at most until both groups have so many.
const ACCOUNTS_MAX: usize = 80;

fn variant(server: &Server, job: &str) -> (Json, Json) {
    let row =
        one(server, &server.service, &format!("/rest/v1/jobs?id=eq.{job}&select=test_metadata,metadata"));
    (row["test_metadata"]["variant"].clone(), row["metadata"]["steps"].clone())
}

fn rate(server: &Server, user: &str, job: &str, rating: i64) {
    let score =
        json!({"job_id": job, "user_id": user, "original_prompt": "a cat", "user_quality_rating": rating});
    let (status, answer) = server.call("POST", "/rest/v1/prompt_scores", &server.service, Some(&score));
    assert_eq!(status, 201, "{answer}");
}

#[test]
fn accounts_are_drawn_by_lot_and_the_test_ends_when_it_is_decided() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(&folder.path().join("data"), &[]);
    let test = |body: Json| server.call("POST", "/rest/v1/prompt_ab_tests", &server.service, Some(&body));
    let mut row = json!({"test_name": "More steps", "test_series": "steps",
                         "baseline_config": {"steps": 1}, "enhanced_config": {"steps": 2, "wild": true}});
    let (status, answer) = test(row.clone());
    assert!(status == 400 && answer["message"].to_string().contains("enhanced_config.wild"), "{answer}");
    row["enhanced_config"] = json!({"steps": "two"});
    assert_eq!(test(row.clone()).0, 400);
    row["enhanced_config"] = json!({"steps": 2});
    let (status, answer) = test(row);
    assert_eq!(status, 201, "{answer}");
    let id = answer[0]["id"].as_str().expect("an id").to_string();
    let path = format!("/rest/v1/prompt_ab_tests?id=eq.{id}");
    let results = || invoke(&server, &server.service, "ab-test-results", json!({"test_id": id})).1;

    let mut request = picture("a cat");
    request.as_object_mut().expect("an object").remove("steps");
    let mut groups: [Vec<(String, String, String)>; 2] = Default::default();
    for number in 0..ACCOUNTS_MAX {
        if groups.iter().all(|group| group.len() >= FIRST_LOOK) {
            break;
        }
        let (user, token) = server.sign_up(&format!("person{number}@example.com"));
        let job = queue(&server, &token, &request);
        let (name, steps) = variant(&server, &job);
        let is_enhanced = name == "enhanced";
        assert_eq!(steps, if is_enhanced { 2 } else { 1 }, "the job follows its configuration");
        groups[usize::from(is_enhanced)].push((user, token, job));
    }
    let [baseline, enhanced] = &groups;
    let (user, token, job) = &baseline[0];
    let again = queue(&server, token, &request);
    assert_eq!(variant(&server, &again), variant(&server, job), "an account stays where it is");
    let mut own = request.clone();
    own["steps"] = json!(3);
    let own = queue(&server, token, &own);
    assert_eq!(
        variant(&server, &own),
        (Json::Null, json!(3)),
        "the request's own word wins, outside of the test"
    );
    let changed = json!({"enhanced_config": {"steps": 9}});
    assert_eq!(server.call("PATCH", &path, &server.service, Some(&changed)).0, 400, "it has begun");

    assert_eq!(invoke(&server, token, "ab-test-results", json!({"test_id": id})).0, 403);
    // All but the last of each group: too early to judge, whatever the ratings say.
    for (place, (one, other)) in baseline.iter().zip(enhanced).enumerate().take(FIRST_LOOK) {
        let so_far = results();
        assert_eq!(
            (&so_far["is_complete"], &so_far["baseline"]["accounts"]),
            (&json!(false), &json!(place)),
            "{so_far}"
        );
        rate(&server, &one.0, &one.2, 2 + (place % 2) as i64);
        rate(&server, &other.0, &other.2, 4 + (place % 2) as i64);
    }
    let end = results();
    assert_eq!(
        (&end["is_complete"], &end["difference"], &end["baseline"]["mean"], &end["looks"], &end["next_look"]),
        (&json!(true), &json!(2.0), &json!(2.5), &json!(1), &Json::Null),
        "{end}"
    );
    let interval = |name: &str| end["interval"][name].as_f64().expect("a number");
    assert!(interval("low") > 1.0 && interval("low") < 2.0 && interval("high") > 2.0, "{end}");
    let row = one(&server, &server.service, &path);
    assert_eq!(
        (&row["total_participants"], &row["quality_improvement"], row["completed_at"].is_string()),
        (&json!(baseline.len() + enhanced.len()), &json!(2), true),
        "{row}"
    );
    assert!(row["confidence_level"].as_f64() > Some(0.99), "{row}");
    // What comes afterwards changes nothing any more, and jobs have nothing of it.
    rate(&server, user, &again, 5);
    assert_eq!(one(&server, &server.service, &path), row);
    assert_eq!(variant(&server, &queue(&server, token, &request)), (Json::Null, Json::Null));
    assert_eq!(server.check()["faults"], 0);
}

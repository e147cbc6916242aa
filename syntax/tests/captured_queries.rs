//! Does every query that the official clients were recorded sending parse, into what was meant?

use serde_json::Value;
use syntax::accept::Format;
use syntax::prefer::Preferences;
use syntax::{FilterAt, LogicTree, RequestQuery, Test};

const JAVASCRIPT: &str = include_str!("../../tests/fixtures/clients/captured.json");
const PYTHON: &str = include_str!("../../tests/fixtures/clients/captured_py.json");
const ERRORS: &str = include_str!("../../tests/fixtures/clients/captured_errors.json");

struct Request {
    label: String,
    method: String,
    raw_query: String,
    is_call: bool,
    accept: Option<String>,
    prefer: Option<String>,
}

fn requests() -> Vec<Request> {
    let javascript: Value = serde_json::from_str(JAVASCRIPT).expect("a recording");
    let python: Value = serde_json::from_str(PYTHON).expect("a recording");
    let records = [javascript["records"].as_array(), python.as_array()].into_iter().flatten().flatten();
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let request = |record: &Value| {
        let path = text(&record["path"])?.strip_prefix("/rest/v1/")?.to_owned();
        Some(Request {
            label: text(&record["label"])?,
            method: text(&record["method"])?,
            raw_query: text(&record["raw_query"])?,
            is_call: path.starts_with("rpc/"),
            accept: text(&record["headers"]["accept"]),
            prefer: text(&record["headers"]["prefer"]),
        })
    };
    records.filter_map(request).collect()
}

fn parsed(request: &Request) -> RequestQuery {
    let in_query = request.is_call && request.method != "POST";
    let query = match in_query {
        true => RequestQuery::parse_call(&request.raw_query, |_| false),
        false => RequestQuery::parse(&request.raw_query),
    };
    query.unwrap_or_else(|error| panic!("{}: {error}: {}", request.label, error.details))
}

fn recorded(label: &str) -> RequestQuery {
    parsed(requests().iter().find(|request| request.label == label).expect(label))
}

fn lists(query: &RequestQuery) -> Vec<&[String]> {
    let list = |filter| match filter {
        &FilterAt { tree: LogicTree::Filter(ref filter), .. } => match &filter.test {
            Test::In(values) => Some(values.as_slice()),
            _ => None,
        },
        _ => None,
    };
    query.filters.iter().filter_map(list).collect()
}

#[test]
fn every_recorded_query_parses() {
    let requests = requests();
    assert!(requests.len() > 60, "only {} requests", requests.len());
    for request in &requests {
        parsed(request);
    }
}

#[test]
fn every_recorded_error_case_parses() {
    let cases: Value = serde_json::from_str(ERRORS).expect("a recording");
    let sent = cases.as_object().expect("cases").values().filter_map(|case| case["req"].as_array());
    let urls = sent.flatten().filter_map(|request| request[1].as_str());
    let queries: Vec<_> = urls.filter_map(|url| url.strip_prefix("/rest/v1/")?.split_once('?')).collect();
    assert!(!queries.is_empty());
    for (_, raw) in queries {
        RequestQuery::parse(raw).expect(raw);
    }
}

#[test]
fn every_recorded_header_is_understood() {
    for request in requests() {
        Format::negotiate(request.accept.as_deref()).expect(&request.label);
        let preferences = Preferences::parse(request.prefer.as_deref());
        assert_eq!(preferences.unknown, Vec::<String>::new(), "{}", request.label);
    }
}

#[test]
fn lists_survive_both_ways_of_quoting() {
    let javascript = recorded("filters_like_is_in");
    assert_eq!(lists(&javascript), [["queued", "run,ning", "a\"b", "x(y)"]]);
    let edge = recorded("filters_in_quote_edge");
    assert_eq!(lists(&edge), [["a", "b", "", "null", "sp ace", "1", "true"]]);
    let python = recorded("py_filters");
    assert_eq!(lists(&python), [["a,b", "c\"d"]]);
}

#[test]
fn arguments_of_a_call_stay_unparsed() {
    let search = recorded("rpc_get_args");
    let expected = [("q", "a b"), ("ids", "{1,2}")].map(|(key, value)| (key.to_owned(), value.to_owned()));
    assert_eq!(search.arguments, expected);
    assert_eq!(recorded("rpc_setof_filters").filters.len(), 1);
}

#[test]
fn embeds_are_addressed_by_path() {
    let nested = recorded("select_embed_inner_hint_nested");
    assert_eq!(nested.filters[0].path, ["character", "owner"]);
    let children = recorded("select_embed_to_many_filter_order_limit");
    let jobs = ["jobs".to_owned()];
    assert_eq!(children.limit_at(&jobs), Some(3));
    assert_eq!(children.order_at(&jobs).count(), 1);
    assert!(!children.restricts_rows());
}

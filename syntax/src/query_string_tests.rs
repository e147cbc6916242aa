use super::*;
use crate::filter::{Connective, Filter};
use crate::operator::{IsValue, Operator, Test};

fn query(raw: &str) -> RequestQuery {
    RequestQuery::parse(raw).expect(raw)
}

fn refusal(raw: &str) -> SyntaxError {
    RequestQuery::parse(raw).expect_err(raw)
}

fn path(names: &[&str]) -> EmbedPath {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn only_filter(raw: &str) -> (EmbedPath, Filter) {
    match query(raw).filters.pop() {
        Some(FilterAt { path, tree: LogicTree::Filter(filter) }) => (path, filter),
        other => panic!("{other:?} is no filter"),
    }
}

fn compared_value(raw: &str) -> String {
    match only_filter(raw).1.test {
        Test::Compare { value, .. } => value,
        other => panic!("{other:?} is no comparison"),
    }
}

#[test]
fn nothing_asks_for_nothing() {
    for raw in ["", "?", "&&", "?select", "name", "order=&limit=&offset=&columns=&on_conflict="] {
        assert_eq!(query(raw), RequestQuery::default(), "{raw}");
    }
}

#[test]
fn plus_and_percent_are_decoded() {
    assert_eq!(compared_value("name=eq.a+b%20c%2Bd%26e%3Df"), "a b c+d&e=f");
    assert_eq!(compared_value("name=eq.%C3%A9"), "é");
    assert_eq!(compared_value("name=eq.100%"), "100%");
    assert_eq!(only_filter("na%6De=eq.1").1.field.column, "name");
}

#[test]
fn bytes_that_are_not_text_are_refused() {
    assert_eq!(refusal("name=eq.%ff").construct, Construct::QueryString);
    assert_eq!(refusal("%c3=eq.1").construct, Construct::QueryString);
}

#[test]
fn an_empty_filter_is_refused() {
    assert_eq!(refusal("id=").construct, Construct::Filter);
    assert_eq!(refusal("or=").construct, Construct::LogicTree);
}

#[test]
fn repeated_keys_all_count() {
    assert_eq!(query("a=gt.1&a=lt.5&or=(b.eq.1)&or=(c.eq.1)").filters.len(), 4);
}

#[test]
fn keys_may_be_prefixed_by_embeds() {
    let (at, filter) = only_filter("character.owner.meta->>kind=neq.x");
    assert_eq!(at, path(&["character", "owner"]));
    assert_eq!(filter.field.output_name(), "kind");
    assert_eq!(only_filter(r#""a.b"."c.d"=is.null"#).0, path(&["a.b"]));
    let found = query("jobs.order=a.desc&jobs.limit=3&jobs.x.offset=2&limit=9&order=b&jobs.not.or=(a.eq.1)");
    assert_eq!(found.order_at(&path(&["jobs"])).count(), 1);
    assert_eq!(found.order_at(&[]).count(), 1);
    assert_eq!(found.limit_at(&path(&["jobs"])), Some(3));
    assert_eq!(found.limit_at(&[]), Some(9));
    assert_eq!(found.offset_at(&path(&["jobs", "x"])), Some(2));
    assert_eq!(found.offset_at(&[]), None);
    let jobs = path(&["jobs"]);
    let trees: Vec<_> = found.filters_at(&jobs).collect();
    assert!(matches!(trees[..], [LogicTree::Group { negated: true, connective: Connective::Or, .. }]));
    assert!(!found.restricts_rows());
    assert!(query("a=eq.1").restricts_rows());
}

#[test]
fn an_embeds_absence_is_a_null_test() {
    let (at, filter) = only_filter("character=not.is.null");
    assert_eq!(at, path(&[]));
    assert!(filter.negated);
    assert_eq!(filter.test, Test::Is(IsValue::Null));
}

#[test]
fn columns_and_on_conflict_list_names() {
    let found = query(r#"columns=%22name%22,"a b",name&on_conflict=slug,+owner"#);
    assert_eq!(found.columns, Some(path(&["name", "a b"])));
    assert_eq!(found.on_conflict, Some(path(&["slug", "owner"])));
    assert_eq!(refusal("columns=a,").construct, Construct::Columns);
    assert_eq!(refusal("on_conflict=a)").construct, Construct::OnConflict);
}

#[test]
fn the_first_select_and_the_last_limit_count() {
    let found = query("select=a&select=b,c&limit=1&limit=2");
    assert_eq!(found.select.map(|items| items.len()), Some(1));
    assert_eq!(found.limits, [(vec![], 2)]);
}

#[test]
fn an_empty_select_is_not_a_missing_one() {
    assert_eq!(query("select=").select, Some(vec![]));
    assert_eq!(query("limit=1").select, None);
}

#[test]
fn limits_are_integers() {
    assert_eq!(query("limit=-1&offset=+7").limits, [(vec![], -1)]);
    for raw in ["limit=x", "limit=1.5", "offset=99999999999999999999"] {
        assert!(RequestQuery::parse(raw).is_err(), "{raw}");
    }
}

#[test]
fn faults_read_as_upstream() {
    let error = refusal("k=noop.1");
    assert_eq!(error.to_string(), "\"failed to parse filter (noop.1)\" (line 1, column 1)");
    assert_eq!(error.details, "unexpected \"n\" expecting \"not\" or operator (eq, gt, ...)");
    let error = refusal("or=(id.in.1,2,id.eq.3)");
    assert_eq!(error.to_string(), "\"failed to parse logic tree ((id.in.1,2,id.eq.3))\" (line 1, column 10)");
    assert_eq!(error.details, "unexpected \"1\" expecting \"(\"");
    assert_eq!(refusal("or=)(").to_string(), "\"failed to parse logic tree ()()\" (line 1, column 3)");
    assert_eq!(refusal("or=()").column, 4);
    assert_eq!(
        refusal("select=a,,b").to_string(),
        "\"failed to parse select parameter (a,,b)\" (line 1, column 3)"
    );
    assert_eq!(refusal("order=a.up").to_string(), "\"failed to parse order (a.up)\" (line 1, column 3)");
    assert_eq!(refusal("a!b=eq.1").to_string(), "\"failed to parse tree path (a!b)\" (line 1, column 2)");
    assert_eq!(refusal("a..or=(b.eq.1)").construct, Construct::LogicPath);
}

#[test]
fn a_call_tells_arguments_from_filters() {
    let known = |key: &str| key == "q" || key == "ids";
    let found = RequestQuery::parse_call("?q=eq.b&ids={1,2}&lost=1&status=eq.x&a.b=1.2&limit=1", known);
    assert_eq!(found.expect_err("a dotted key is a filter").construct, Construct::Filter);
    let found = RequestQuery::parse_call("?q=eq.b&ids={1,2}&lost=not&x=not.in.(1)&f=fts(a).b&limit=1", known);
    let found = found.expect("a call");
    let arguments = [("q", "eq.b"), ("ids", "{1,2}"), ("lost", "not")];
    assert_eq!(found.arguments, arguments.map(|(key, value)| (key.to_owned(), value.to_owned())));
    assert_eq!(found.filters.len(), 2);
    assert_eq!(found.limit_at(&[]), Some(1));
}

#[test]
fn a_plain_value_is_no_filter_of_a_table() {
    assert_eq!(refusal("id=1").construct, Construct::Filter);
    assert!(matches!(
        only_filter("s=eq.1").1.test,
        Test::Compare { operator: Operator::Eq, quantifier: None, .. }
    ));
}

#[test]
fn size_number_and_depth_are_limited() {
    let limits = Limits { depth_max: 2, items_max: 3, length_bytes_max: 40 };
    let parse = |raw: &str| RequestQuery::parse_within(raw, &limits);
    assert!(parse("a=eq.1&b=eq.1&or=(c.eq.1)").is_ok());
    assert!(parse("a=eq.1&b=eq.1&or=(c.eq.1,d.eq.1)").is_err());
    assert!(parse("a.b.c=eq.1").is_ok());
    assert!(parse("a.b.c.d=eq.1").is_err());
    assert!(parse("select=a,b,c,d").is_err());
    assert!(parse("order=a,b&order=c,d").is_err());
    assert!(parse(&"&".repeat(41)).is_err());
}

//! Does what is written down in full parse back to itself, and does no text at all break the parsers?

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;
use proptest::sample::select;
use syntax::accept::Format;
use syntax::literal::{self, ArrayItem};
use syntax::prefer::Preferences;
use syntax::{
    Aggregate, AggregateCall, Connective, Direction, FieldPath, Filter, IsValue, JoinKind, JsonKey, JsonStep,
    LogicTree, Nulls, Operator, OrderTerm, Quantifier, RequestQuery, SelectEmbed, SelectField, SelectItem,
    Test, TextSearch, Window,
};

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

fn encoded(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

fn any_name() -> impl Strategy<Value = String> {
    "\\PC{1,8}"
}

fn any_field() -> impl Strategy<Value = FieldPath> {
    let key =
        prop_oneof![any_name().prop_map(JsonKey::Key), any::<i32>().prop_map(|i| JsonKey::Index(i.into()))];
    let step = (key, any::<bool>()).prop_map(|(key, as_text)| JsonStep { key, as_text });
    (any_name(), vec(step, 0..3)).prop_map(|(column, path)| FieldPath { column, path })
}

fn print_field(field: &FieldPath) -> String {
    let step = |step: &JsonStep| {
        let arrow = if step.as_text { "->>" } else { "->" };
        match &step.key {
            JsonKey::Key(key) => format!("{arrow}{}", quoted(key)),
            JsonKey::Index(index) => format!("{arrow}{index}"),
        }
    };
    let path: String = field.path.iter().map(step).collect();
    format!("{}{path}", quoted(&field.column))
}

fn any_operator() -> impl Strategy<Value = Operator> {
    use Operator::*;
    select(vec![Eq, Neq, Gt, Gte, Lt, Lte, Like, Ilike, Match, IsDistinct, Contains, Overlaps, Adjacent])
}

fn any_test() -> impl Strategy<Value = Test> {
    let quantifier = of(select(vec![Quantifier::Any, Quantifier::All]));
    let compare = (any_operator(), quantifier, "\\PC{0,8}").prop_map(|(operator, quantifier, value)| {
        Test::Compare { operator, quantifier: quantifier.filter(|_| operator.is_quantifiable()), value }
    });
    let search = select(vec![TextSearch::Query, TextSearch::Plain, TextSearch::Phrase, TextSearch::Web]);
    let search = (search, of("[a-z]{1,5}"), "\\PC{0,8}");
    prop_oneof![
        4 => compare,
        1 => vec("\\PC{0,5}", 0..4).prop_map(Test::In),
        1 => select(vec![IsValue::Null, IsValue::NotNull, IsValue::True, IsValue::Unknown]).prop_map(Test::Is),
        1 => search.prop_map(|(kind, config, query)| Test::TextSearch { kind, config, query }),
    ]
}

fn print_test(negated: bool, test: &Test, value: impl Fn(&str) -> String) -> String {
    let not = if negated { "not." } else { "" };
    let body = match test {
        Test::Compare { operator, quantifier, value: text } => {
            let quantifier = match quantifier {
                Some(Quantifier::Any) => "(any)",
                Some(Quantifier::All) => "(all)",
                None => "",
            };
            format!("{}{quantifier}.{}", operator.word(), value(text))
        }
        Test::In(values) => {
            format!("in.({})", values.iter().map(|value| quoted(value)).collect::<Vec<_>>().join(","))
        }
        Test::Is(IsValue::Null) => "is.null".into(),
        Test::Is(IsValue::NotNull) => "is.not_null".into(),
        Test::Is(IsValue::True) => "is.true".into(),
        Test::Is(IsValue::False) => "is.false".into(),
        Test::Is(IsValue::Unknown) => "is.unknown".into(),
        Test::TextSearch { kind, config, query } => {
            let word = match kind {
                TextSearch::Query => "fts",
                TextSearch::Plain => "plfts",
                TextSearch::Phrase => "phfts",
                TextSearch::Web => "wfts",
            };
            let config = config.as_ref().map(|config| format!("({config})")).unwrap_or_default();
            format!("{word}{config}.{}", value(query))
        }
    };
    format!("{not}{body}")
}

fn any_filter() -> impl Strategy<Value = Filter> {
    let filter = (any_field(), any::<bool>(), any_test());
    filter.prop_map(|(field, negated, test)| Filter { field, negated, test })
}

fn any_group() -> impl Strategy<Value = LogicTree> {
    let group = |members: BoxedStrategy<LogicTree>| {
        (any::<bool>(), select(vec![Connective::And, Connective::Or]), vec(members, 1..4))
            .prop_map(|(negated, connective, members)| LogicTree::Group { negated, connective, members })
    };
    let leaf = any_filter().prop_map(LogicTree::Filter).boxed();
    let tree = leaf.prop_recursive(4, 24, 4, move |inner| group(inner.boxed()));
    group(tree.boxed())
}

fn print_tree(tree: &LogicTree) -> String {
    match tree {
        LogicTree::Filter(filter) => {
            format!("{}.{}", print_field(&filter.field), print_test(filter.negated, &filter.test, quoted))
        }
        LogicTree::Group { negated, connective, members } => {
            let not = if *negated { "not." } else { "" };
            let word = if *connective == Connective::And { "and" } else { "or" };
            format!("{not}{word}({})", members.iter().map(print_tree).collect::<Vec<_>>().join(","))
        }
    }
}

fn any_item() -> impl Strategy<Value = SelectItem> {
    let functions = vec![Aggregate::Sum, Aggregate::Avg, Aggregate::Min, Aggregate::Max, Aggregate::Count];
    let call = (select(functions), of("[a-z]{1,5}"));
    let call = of(call.prop_map(|(function, cast)| AggregateCall { function, cast }));
    let field = (of(any_name()), any_field(), of("[a-z]{1,5}"), call);
    let leaf = prop_oneof![
        1 => Just(SelectItem::Star),
        1 => (of(any_name()), of("[a-z]{1,5}")).prop_map(|(alias, cast)| SelectItem::Count { alias, cast }),
        4 => field.prop_map(|(alias, field, cast, aggregate)| {
            SelectItem::Field(SelectField { alias, field, cast, aggregate })
        }),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        let join = of(select(vec![JoinKind::Inner, JoinKind::Left]));
        let target = any_name().prop_filter("count() is an aggregate", |name| name != "count");
        let embed = (of(any_name()), target, of(any_name()), join, vec(inner, 0..4), any::<bool>());
        embed.prop_map(|(alias, target, hint, join, select, spread)| match spread {
            true => SelectItem::Spread(SelectEmbed { alias: None, target, hint, join, select }),
            false => SelectItem::Embed(SelectEmbed { alias, target, hint, join, select }),
        })
    })
}

fn print_item(item: &SelectItem) -> String {
    let alias =
        |alias: &Option<String>| alias.as_ref().map(|name| format!("{}:", quoted(name))).unwrap_or_default();
    let cast = |cast: &Option<String>| cast.as_ref().map(|name| format!("::{name}")).unwrap_or_default();
    let embed = |embed: &SelectEmbed| {
        let hint = embed.hint.as_ref().map(|hint| format!("!{}", quoted(hint))).unwrap_or_default();
        let join = match embed.join {
            Some(JoinKind::Inner) => "!inner",
            Some(JoinKind::Left) => "!left",
            None => "",
        };
        let prefix = format!("{}{}{hint}{join}", alias(&embed.alias), quoted(&embed.target));
        format!("{prefix}({})", print_items(&embed.select))
    };
    match item {
        SelectItem::Star => "*".into(),
        SelectItem::Count { alias: name, cast: to } => format!("{}count(){}", alias(name), cast(to)),
        SelectItem::Field(field) => {
            let call = field.aggregate.as_ref();
            let call = call.map(|call| format!(".{}(){}", call.function.word(), cast(&call.cast)));
            let path = print_field(&field.field);
            format!("{}{path}{}{}", alias(&field.alias), cast(&field.cast), call.unwrap_or_default())
        }
        SelectItem::Embed(inner) => embed(inner),
        SelectItem::Spread(inner) => format!("...{}", embed(inner)),
    }
}

fn print_items(items: &[SelectItem]) -> String {
    items.iter().map(print_item).collect::<Vec<_>>().join(" ,\n")
}

fn any_term() -> impl Strategy<Value = OrderTerm> {
    let direction = of(select(vec![Direction::Ascending, Direction::Descending]));
    let nulls = of(select(vec![Nulls::First, Nulls::Last]));
    let term = (of(any_name()), any_field(), direction, nulls);
    term.prop_map(|(relation, field, direction, nulls)| OrderTerm { relation, field, direction, nulls })
}

fn print_term(term: &OrderTerm) -> String {
    let field = print_field(&term.field);
    let key = match &term.relation {
        Some(relation) => format!("{}({field})", quoted(relation)),
        None => field,
    };
    let direction = term.direction.map_or("", |found| match found {
        Direction::Ascending => ".asc",
        Direction::Descending => ".desc",
    });
    let nulls = term.nulls.map_or("", |found| match found {
        Nulls::First => ".nullsfirst",
        Nulls::Last => ".nullslast",
    });
    format!("{key}{direction}{nulls}")
}

fn any_array() -> impl Strategy<Value = Vec<ArrayItem>> {
    let leaf = prop_oneof![4 => "\\PC{0,6}".prop_map(ArrayItem::Text), 1 => Just(ArrayItem::Null)];
    vec(leaf.prop_recursive(4, 16, 4, |inner| vec(inner, 0..4).prop_map(ArrayItem::Array)), 0..4)
}

fn print_array(items: &[ArrayItem]) -> String {
    let item = |item: &ArrayItem| match item {
        ArrayItem::Null => "NULL".to_owned(),
        ArrayItem::Text(text) => quoted(text),
        ArrayItem::Array(items) => print_array(items),
    };
    format!("{{{}}}", items.iter().map(item).collect::<Vec<_>>().join(","))
}

proptest! {
    #[test]
    fn a_filter_parses_back(path in vec(any_name(), 0..3), filter in any_filter()) {
        let prefix: String = path.iter().map(|name| format!("{}.", quoted(name))).collect();
        let key = format!("{prefix}{}", print_field(&filter.field));
        // A last segment like `a.or"` is still a reserved word to upstream, which splits keys at every dot.
        prop_assume!(!matches!(key.rsplit('.').next(), Some("and" | "or" | "order" | "limit" | "offset")));
        let value = print_test(filter.negated, &filter.test, str::to_owned);
        let query = RequestQuery::parse(&format!("{}={}", encoded(&key), encoded(&value))).expect("a filter");
        prop_assert_eq!(&query.filters[0].path, &path);
        prop_assert_eq!(&query.filters[0].tree, &LogicTree::Filter(filter));
    }

    #[test]
    fn a_logic_tree_parses_back(tree in any_group()) {
        let text = print_tree(&tree);
        let (key, value) = text.split_at(text.find('(').expect("a group"));
        let query = RequestQuery::parse(&format!("{key}={}", encoded(value))).expect("a tree");
        prop_assert_eq!(&query.filters[0].tree, &tree);
    }

    #[test]
    fn a_select_list_parses_back(items in vec(any_item(), 0..5)) {
        let query = RequestQuery::parse(&format!("select={}", encoded(&print_items(&items)))).expect("a list");
        prop_assert_eq!(query.select, Some(items));
    }

    #[test]
    fn an_order_parses_back(terms in vec(any_term(), 1..4)) {
        let text = terms.iter().map(print_term).collect::<Vec<_>>().join(",");
        let query = RequestQuery::parse(&format!("order={}", encoded(&text))).expect("an order");
        prop_assert_eq!(query.orders, [(vec![], terms)]);
    }

    #[test]
    fn an_array_parses_back(items in any_array()) {
        prop_assert_eq!(literal::array(&print_array(&items)), Ok(items));
    }

    #[test]
    fn no_text_breaks_a_parser(text in "\\PC{0,60}", bytes in vec(any::<u8>(), 0..60)) {
        let garbled = String::from_utf8_lossy(&bytes);
        for text in [text.as_str(), &garbled] {
            let _ = RequestQuery::parse(text);
            let _ = RequestQuery::parse_call(text, |key| key.len() > 1);
            let _ = literal::array(text);
            let _ = literal::range(text);
            let _ = Format::negotiate(Some(text));
            let _ = Preferences::parse([text]).applied();
            let _ = Window::requested(None, None, Some(text), None);
        }
    }

    #[test]
    fn no_near_miss_breaks_a_parser(
        key in "(select|or|a\\.and|order|limit|b|columns|x\\.not\\.or)",
        value in "([a-c*]|not\\.|eq\\.|in\\.|is\\.null|and|or|[(){}\",.:!\\\\+-]|->>?|::|\\.\\.\\.|count\\(\\)|é){0,30}",
    ) {
        if let Err(error) = RequestQuery::parse(&format!("{key}={value}")) {
            prop_assert_eq!(error.line, 1);
            prop_assert!(error.column <= value.chars().count() + key.len() + 2);
            prop_assert!(!error.details.is_empty());
        }
    }
}

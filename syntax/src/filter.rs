//! Which rows are meant: column filters, and trees of them.

use crate::cursor::Cursor;
use crate::error::{Construct, Fault, SyntaxError};
use crate::field::{self, FieldPath};
use crate::limits::{Budget, Limits};
use crate::operator::{self, Place, Test};

/// One condition on one column.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Filter {
    /// The column or JSON value tested. For `is` tests it may also be an embed's name.
    pub field: FieldPath,
    /// Whether `not.` precedes the test.
    pub negated: bool,
    /// The test.
    pub test: Test,
}

/// How the members of a group combine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Connective {
    /// All must hold.
    And,
    /// One must hold.
    Or,
}

/// A condition on a row.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum LogicTree {
    /// One column's.
    Filter(Filter),
    /// Several, combined.
    Group {
        /// Whether `not.` precedes the group.
        negated: bool,
        /// How they combine.
        connective: Connective,
        /// At least one.
        members: Vec<LogicTree>,
    },
}

/// The value of a column's parameter, `[not.]op.value`.
pub(crate) fn parameter(cursor: &mut Cursor<'_>, field: FieldPath) -> Result<Filter, Fault> {
    cursor.take_item()?;
    let (negated, test) = operator::test(cursor, Place::Parameter)?;
    cursor.skip_blanks();
    cursor.expect_end("end of input")?;
    Ok(Filter { field, negated, test })
}

/// A whole tree from its connective on: `or(a.eq.1,not.and(b.gt.2,c.is.null))`.
pub(crate) fn tree(cursor: &mut Cursor<'_>) -> Result<LogicTree, Fault> {
    let negated = cursor.eat("not.");
    let connective = match () {
        () if cursor.eat("and") => Connective::And,
        () if cursor.eat("or") => Connective::Or,
        () => return Err(cursor.unexpected("logic operator (and, or)")),
    };
    cursor.skip_blanks();
    let tree = group(cursor, negated, connective)?;
    cursor.skip_blanks();
    cursor.expect_end("end of input")?;
    Ok(tree)
}

/// The conditions of a realtime subscription, all of which must hold: `col=op.value,or=(a.eq.1,b.is.null),…`.
pub fn conditions(text: &str) -> Result<Vec<LogicTree>, SyntaxError> {
    let limits = Limits::default();
    let budget = Budget::new(&limits);
    let mut cursor = Cursor::new(text, &budget);
    let mut found = Vec::new();
    loop {
        let one = condition(&mut cursor, &budget);
        found.push(one.map_err(|fault| fault.locate(Construct::Filter, text, text))?);
        if !cursor.eat(",") {
            let ended = cursor.expect_end("\",\" or end of input");
            return match ended {
                Ok(()) => Ok(found),
                Err(fault) => Err(fault.locate(Construct::Filter, text, text)),
            };
        }
    }
}

fn condition(cursor: &mut Cursor<'_>, budget: &Budget) -> Result<LogicTree, Fault> {
    cursor.skip_blanks();
    let negated = cursor.rest().starts_with("not.and=(") || cursor.rest().starts_with("not.or=(");
    if negated {
        cursor.eat("not.");
    }
    for (word, connective) in [("and=", Connective::And), ("or=", Connective::Or)] {
        if cursor.rest().strip_prefix(word).is_some_and(|rest| rest.starts_with('(')) {
            cursor.eat(word);
            return group(cursor, negated, connective);
        }
    }
    cursor.take_item()?;
    // A JSON key may have `=` in it only where it is quoted.
    let mut quoted = false;
    let is_end = |letter: char| {
        quoted ^= letter == '"';
        letter == '=' && !quoted
    };
    let Some(end) = cursor.rest().find(is_end) else {
        return Err(cursor.unexpected("column=operator.value"));
    };
    let before = cursor.rest();
    let mut name = Cursor::new(&before[..end], budget);
    let field = field::field(&mut name).and_then(|field| name.expect_end("\"=\"").map(|()| field));
    let field = field.map_err(|fault| cursor.refuse(fault.details))?;
    cursor.advance(end + 1);
    let (negated, test) = operator::test(cursor, Place::List)?;
    Ok(LogicTree::Filter(Filter { field, negated, test }))
}

fn member(cursor: &mut Cursor<'_>) -> Result<LogicTree, Fault> {
    cursor.skip_blanks();
    let tree = match group_start(cursor) {
        Some((negated, connective)) => group(cursor, negated, connective)?,
        None => LogicTree::Filter(leaf(cursor)?),
    };
    cursor.skip_blanks();
    Ok(tree)
}

/// Moves past `[not.]and` or `[not.]or` if a group follows; a column may have these names too.
fn group_start(cursor: &mut Cursor<'_>) -> Option<(bool, Connective)> {
    let text = cursor.rest();
    let (negated, word) = match text.strip_prefix("not.") {
        Some(after) => (true, after),
        None => (false, text),
    };
    let (connective, after) = match word.strip_prefix("and") {
        Some(after) => (Connective::And, after),
        None => (Connective::Or, word.strip_prefix("or")?),
    };
    if !after.trim_start_matches([' ', '\t', '\n', '\r']).starts_with('(') {
        return None;
    }
    cursor.advance(text.len() - after.len());
    cursor.skip_blanks();
    Some((negated, connective))
}

fn group(cursor: &mut Cursor<'_>, negated: bool, connective: Connective) -> Result<LogicTree, Fault> {
    cursor.expect("(")?;
    let members = cursor.nested(|cursor| {
        let mut members = vec![member(cursor)?];
        while cursor.eat(",") {
            members.push(member(cursor)?);
        }
        Ok(members)
    })?;
    if !cursor.eat(")") {
        return Err(cursor.unexpected("\",\" or \")\""));
    }
    Ok(LogicTree::Group { negated, connective, members })
}

fn leaf(cursor: &mut Cursor<'_>) -> Result<Filter, Fault> {
    cursor.take_item()?;
    if cursor.peek().is_none_or(|found| ",()".contains(found)) {
        let expecting = "field name (* or [a..z0..9_$]), negation operator (not) or logic operator (and, or)";
        return Err(cursor.unexpected(expecting));
    }
    let field = field::field(cursor)?;
    cursor.expect(".")?;
    let (negated, test) = operator::test(cursor, Place::Tree)?;
    Ok(Filter { field, negated, test })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operator::{IsValue, Operator, Quantifier, TextSearch};

    fn filter(text: &str) -> Result<Filter, String> {
        let budget = Budget::new(&Limits::default());
        parameter(&mut Cursor::new(text, &budget), FieldPath::column("c")).map_err(|fault| fault.details)
    }

    fn test_of(text: &str) -> Test {
        filter(text).expect(text).test
    }

    fn compare(operator: Operator, value: &str) -> Test {
        Test::Compare { operator, quantifier: None, value: value.into() }
    }

    fn logic(text: &str) -> Result<LogicTree, Fault> {
        let budget = Budget::new(&Limits::default());
        tree(&mut Cursor::new(text, &budget))
    }

    /// The tests of a flat group.
    fn leaves(text: &str) -> Vec<(String, Test)> {
        let LogicTree::Group { members, .. } = logic(text).expect(text) else { panic!("{text} is a group") };
        let leaf = |member| match member {
            LogicTree::Filter(filter) => (filter.field.column, filter.test),
            LogicTree::Group { .. } => panic!("{text} is flat"),
        };
        members.into_iter().map(leaf).collect()
    }

    fn values(text: &str) -> Vec<String> {
        match test_of(text) {
            Test::In(values) => values,
            other => panic!("{other:?} is no list"),
        }
    }

    #[test]
    fn every_operator_has_its_word() {
        for (word, operator) in [
            ("eq", Operator::Eq),
            ("neq", Operator::Neq),
            ("gt", Operator::Gt),
            ("gte", Operator::Gte),
            ("lt", Operator::Lt),
            ("lte", Operator::Lte),
            ("like", Operator::Like),
            ("ilike", Operator::Ilike),
            ("match", Operator::Match),
            ("imatch", Operator::Imatch),
            ("isdistinct", Operator::IsDistinct),
            ("cs", Operator::Contains),
            ("cd", Operator::ContainedBy),
            ("ov", Operator::Overlaps),
            ("sl", Operator::StrictlyLeft),
            ("sr", Operator::StrictlyRight),
            ("nxr", Operator::NotExtendsRight),
            ("nxl", Operator::NotExtendsLeft),
            ("adj", Operator::Adjacent),
        ] {
            assert_eq!(test_of(&format!("{word}.[1,2)")), compare(operator, "[1,2)"));
            assert_eq!(operator.word(), word);
        }
    }

    #[test]
    fn a_parameters_value_is_the_rest_unquoted() {
        assert_eq!(test_of(r#"eq.a,b(c)"d"#), compare(Operator::Eq, r#"a,b(c)"d"#));
        assert_eq!(test_of(r#"eq."x""#), compare(Operator::Eq, r#""x""#));
        assert_eq!(test_of("eq."), compare(Operator::Eq, ""));
        assert_eq!(test_of("eq. padded "), compare(Operator::Eq, " padded "));
    }

    #[test]
    fn not_negates_once() {
        assert!(filter("not.eq.1").expect("a filter").negated);
        assert!(!filter("eq.not.1").expect("a filter").negated);
        assert!(filter("not.not.eq.1").is_err());
    }

    #[test]
    fn is_takes_five_words_in_any_case() {
        for (text, value) in [
            ("is.null", IsValue::Null),
            ("is.NULL", IsValue::Null),
            ("is.not_null", IsValue::NotNull),
            ("is.True", IsValue::True),
            ("is.false", IsValue::False),
            ("is.unknown", IsValue::Unknown),
        ] {
            assert_eq!(test_of(text), Test::Is(value));
        }
        assert!(filter("is.nil").is_err());
        assert!(filter("is.null.").is_err());
    }

    #[test]
    fn lists_split_at_commas() {
        assert_eq!(values("in.(1,2)"), ["1", "2"]);
        assert_eq!(values("in.(sp ace,,null)"), ["sp ace", "", "null"]);
        assert_eq!(values("not.in.(a)"), ["a"]);
    }

    #[test]
    fn an_empty_list_is_empty() {
        assert_eq!(values("in.()"), Vec::<String>::new());
    }

    #[test]
    fn quoted_elements_are_unescaped() {
        assert_eq!(
            values(r#"in.("run,ning","x(y)","c\"d","e\\f","")"#),
            ["run,ning", "x(y)", "c\"d", "e\\f", ""]
        );
    }

    #[test]
    fn quotes_that_do_not_enclose_are_plain() {
        assert_eq!(values(r#"in.(queued,a"b)"#), ["queued", "a\"b"]);
        assert_eq!(values(r#"in.("a" b,c)"#), ["\"a\" b", "c"]);
        assert_eq!(values(r#"in.("open)"#), ["\"open"]);
        assert_eq!(
            values(r#"in.("a","b",,null,sp ace,1,true)"#),
            ["a", "b", "", "null", "sp ace", "1", "true"]
        );
    }

    #[test]
    fn a_list_must_close_at_the_end() {
        assert!(filter("in.(1,2").is_err());
        assert!(filter("in.(1,2)3").is_err());
        assert_eq!(filter("in.1,2").unwrap_err(), "unexpected \"1\" expecting \"(\"");
    }

    #[test]
    fn text_search_may_name_a_configuration() {
        let search = |kind, config: Option<&str>, query: &str| Test::TextSearch {
            kind,
            config: config.map(Into::into),
            query: query.into(),
        };
        assert_eq!(
            test_of("fts(english).'a' & 'b'"),
            search(TextSearch::Query, Some("english"), "'a' & 'b'")
        );
        assert_eq!(test_of("plfts.a b"), search(TextSearch::Plain, None, "a b"));
        assert_eq!(test_of("phfts.a b"), search(TextSearch::Phrase, None, "a b"));
        assert_eq!(test_of("wfts(x).a or b"), search(TextSearch::Web, Some("x"), "a or b"));
        assert!(filter("fts().a").is_err());
    }

    #[test]
    fn some_operators_take_any_and_all() {
        assert_eq!(
            test_of("like(any).{a*,b*}"),
            Test::Compare {
                operator: Operator::Like,
                quantifier: Some(Quantifier::Any),
                value: "{a*,b*}".into()
            }
        );
        assert!(filter("gte(all).{1,2}").is_ok());
        assert!(filter("neq(any).{1}").is_err());
        assert!(filter("eq(some).{1}").is_err());
    }

    #[test]
    fn an_unknown_operator_is_named() {
        assert_eq!(
            filter("noop.1").unwrap_err(),
            "unexpected \"n\" expecting \"not\" or operator (eq, gt, ...)"
        );
        assert!(filter("").is_err());
        assert!(filter("1").is_err());
        assert!(filter("eq").is_err());
        assert!(filter("EQ.1").is_err());
    }

    #[test]
    fn groups_nest() {
        let tree = logic("or(a.eq.1,not.and(b.gt.2,c.in.(1,2)),name.ilike.*x*)").expect("a tree");
        let LogicTree::Group { negated, connective, members } = tree else { panic!("a group") };
        assert!(!negated);
        assert_eq!(connective, Connective::Or);
        assert_eq!(members.len(), 3);
        let LogicTree::Group { negated, connective, members } = &members[1] else { panic!("a group") };
        assert!(negated);
        assert_eq!(*connective, Connective::And);
        assert_eq!(members.len(), 2);
    }

    #[test]
    fn columns_may_be_called_like_connectives() {
        let found = leaves("or(and.eq.1,order.is.null,not.eq.2)");
        let columns: Vec<_> = found.iter().map(|(column, _)| column.as_str()).collect();
        assert_eq!(columns, ["and", "order", "not"]);
    }

    #[test]
    fn tree_values_end_at_commas_unless_quoted_or_braced() {
        let found =
            leaves(r#"and(a.eq."x,(y)\"",b.cs.{p,"q,}"},c.cs.{"k":{"l":[1,2]}},d.eq.z"w,e->f->>g.eq.1)"#);
        let expected = [
            ("a", compare(Operator::Eq, "x,(y)\"")),
            ("b", compare(Operator::Contains, r#"{p,"q,}"}"#)),
            ("c", compare(Operator::Contains, r#"{"k":{"l":[1,2]}}"#)),
            ("d", compare(Operator::Eq, "z\"w")),
            ("e", compare(Operator::Eq, "1")),
        ];
        assert_eq!(found, expected.map(|(column, test)| (column.to_owned(), test)));
    }

    #[test]
    fn stray_quotes_do_not_unbalance_braces() {
        let found = leaves(r#"and(a.cs.{x"y,z},b.eq.{open)"#);
        assert_eq!(found[0].1, compare(Operator::Contains, "{x\"y,z}"));
        assert_eq!(found[1].1, compare(Operator::Eq, "{open"));
    }

    #[test]
    fn conditions_of_a_subscription_are_parameters_in_a_list() {
        let found = |text: &str| {
            let all = conditions(text).expect(text);
            let one = |tree| match tree {
                LogicTree::Filter(filter) => {
                    (filter.field.output_name().to_owned(), filter.negated, filter.test)
                }
                LogicTree::Group { .. } => panic!("{text} is flat"),
            };
            all.into_iter().map(one).collect::<Vec<_>>()
        };
        let list = |values: &[&str]| Test::In(values.iter().map(|value| value.to_string()).collect());
        assert_eq!(
            found("amount=gt.100,status=not.in.(open,\"a,b\"),m->>k=eq.x"),
            [
                ("amount".into(), false, compare(Operator::Gt, "100")),
                ("status".into(), true, list(&["open", "a,b"])),
                ("k".into(), false, compare(Operator::Eq, "x")),
            ]
        );
        assert_eq!(found("a=eq.x (y)")[0].2, compare(Operator::Eq, "x (y)"));
        assert_eq!(found(r#"a=eq."x, \"y\"",b=cs.{p,q}"#)[0].2, compare(Operator::Eq, "x, \"y\""));
        assert_eq!(found("a=eq.")[0].2, compare(Operator::Eq, ""));
        assert!(matches!(
            conditions("not.or=(a.eq.1,b.is.null),c=eq.2").expect("a tree").as_slice(),
            [LogicTree::Group { negated: true, connective: Connective::Or, .. }, LogicTree::Filter(_)]
        ));
        for wrong in ["", "a", "a=", "a=noop.1", "a=eq.1,", "a=in.(1", "or=(a.eq.1", "a.eq.1"] {
            assert!(conditions(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn blanks_around_members_are_ignored() {
        assert_eq!(leaves("or( a.eq.1 , b.is.null )").len(), 2);
    }

    #[test]
    fn faults_are_placed() {
        for (text, at, details) in [
            (
                "or()",
                3,
                "unexpected \")\" expecting field name (* or [a..z0..9_$]), negation operator (not) or logic operator (and, or)",
            ),
            ("or)(", 2, "unexpected \")\" expecting \"(\""),
            ("or(id.in.1,2,id.eq.3)", 9, "unexpected \"1\" expecting \"(\""),
            ("or(a.eq.1", 9, "unexpected end of input expecting \",\" or \")\""),
            ("or(a.eq.1))", 10, "unexpected \")\" expecting end of input"),
        ] {
            let fault = logic(text).unwrap_err();
            assert_eq!((fault.at, fault.details.as_str()), (at, details), "{text}");
        }
    }

    #[test]
    fn unescaped_user_input_is_an_error_at_worst() {
        assert!(logic("or(name.ilike.%a,b%,description.ilike.%a,b%)").is_err());
        assert!(logic("or(name.ilike.%a)b%,description.ilike.%a)b%)").is_err());
    }

    #[test]
    fn depth_and_number_are_limited() {
        let deep = |levels: usize| format!("{}a.eq.1{}", "and(".repeat(levels), ")".repeat(levels));
        assert!(logic(&deep(32)).is_ok());
        assert_eq!(logic(&deep(33)).unwrap_err().details, "more than 32 levels of nesting");
        assert!(logic(&deep(100_000)).is_err());
        let wide = |count: usize| format!("or({})", vec!["a.eq.1"; count].join(","));
        assert!(logic(&wide(1000)).is_ok());
        assert_eq!(logic(&wide(1001)).unwrap_err().details, "more than 1000 items");
        let braces = |count: usize| format!("or({})", vec!["a.eq.{\""; count].join(","));
        assert!(logic(&braces(63)).is_ok());
        assert_eq!(logic(&braces(999)).unwrap_err().details, "more than 64 unclosed braces");
    }
}

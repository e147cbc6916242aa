use super::*;

const TEXT: &str = "The fat cats sat on a mat";

fn english() -> TextConfig {
    TextConfig::named(None).expect("the default")
}

fn expression(query: &str, text: &str) -> Option<bool> {
    TextQuery::expression(query, english()).map(|query| query.matches(text))
}

#[test]
fn the_four_notations_agree_with_postgresql() {
    let plain = |query: &str| TextQuery::plain(query, english()).matches(TEXT);
    assert!(plain("fat cat") && plain("the cat") && !plain("fat dog") && !plain("the") && !plain(""));
    let phrase = |query: &str| TextQuery::phrase(query, english()).matches(TEXT);
    assert!(phrase("fat cat") && !phrase("cat fat") && phrase("sat on a mat") && !phrase("sat mat"));
    for (query, wanted) in [
        ("\"fat cat\" -dog", true),
        ("\"fat cat\" -mat", false),
        ("dog or mat", true),
        ("-\"fat cat\" mat", false),
        ("-\"cat fat\" mat", true),
        ("\"sat on the mat\"", true),
        ("\"sat mat\"", false),
        ("or", false),
        ("\"fat", true),
        ("the", false),
        ("- cat", true),
        ("-dog", true),
    ] {
        assert_eq!(TextQuery::web(query, english()).matches(TEXT), wanted, "{query}");
    }
    for (query, wanted) in [
        ("fat & (cat | dog) & !cow", Some(true)),
        ("fat cat", None),
        ("fat <-> cat", Some(true)),
        ("fat <2> sat", Some(true)),
        ("fat <-> sat", Some(false)),
        ("sat <3> mat", Some(true)),
        ("sat <-> on <-> a <-> mat", Some(true)),
        ("sat <-> mat", Some(false)),
        ("ca:*", Some(true)),
        ("c:*A", Some(true)),
        ("the", Some(false)),
        ("the & cat", Some(true)),
        ("'fat cat'", Some(true)),
        ("fat &", None),
        ("(fat", None),
        ("!dog", Some(true)),
        ("fat:", None),
        ("fat <99999> cat", None),
        ("", None),
    ] {
        assert_eq!(expression(query, TEXT), wanted, "{query}");
    }
    let simple = TextConfig::named(Some("simple")).expect("simple");
    assert!(TextQuery::plain("the", simple).matches(TEXT) && !TextQuery::plain("cat", simple).matches(TEXT));
}

#[test]
fn addresses_and_numbers_are_lexemes_of_their_own() {
    let text = "See https://example.com/shop?id=1 or mail ann@example.com, version 1.2.3, -5.5 degrees, a well-known e2e-test";
    let has = |query: &str| TextQuery::plain(query, english()).matches(text);
    for query in
        ["example.com", "example.com/shop?id=1", "ann@example.com", "1.2.3", "-5.5", "well-known", "known"]
    {
        assert!(has(query), "{query}");
    }
    for query in ["ann", "5.5", "shop"] {
        assert!(!has(query), "{query}");
    }
    assert_eq!(expression("well-known", text), Some(true));
}

#[test]
fn configurations_are_known_or_refused() {
    let german = TextConfig::named(Some("pg_catalog.german")).expect("known");
    assert!(TextQuery::plain("Katzen", german).matches("eine Katze"));
    let error = TextConfig::named(Some("klingon")).expect_err("unknown");
    assert_eq!(error.sqlstate(), "42704");
    assert!(error.to_string().contains("text search configuration \"klingon\" does not exist"));
}

#[test]
fn the_words_that_a_match_must_have_are_known() {
    let needs = |query: Option<TextQuery>| -> Option<Vec<Vec<String>>> {
        let shown = |needed: Needed| needed.word + if needed.is_beginning { ":*" } else { "" };
        let needs = query.expect("a query").needs()?;
        Some(needs.into_iter().map(|need| need.into_iter().map(shown).collect()).collect())
    };
    let of = |all: &[&[&str]]| {
        Some(all.iter().map(|need| need.iter().map(|word| word.to_string()).collect()).collect())
    };
    let plain = |text: &str| Some(TextQuery::plain(text, english()));
    assert_eq!(needs(plain("the storms early")), of(&[&["storm"], &["earli"]]));
    let web = TextQuery::web("boat or \"high storms\" -sea", english());
    assert_eq!(needs(Some(web)), of(&[&["boat", "storm"]]));
    let expression = |text: &str| TextQuery::expression(text, english());
    assert_eq!(needs(expression("fox & (storm | sto:*) & !sea")), of(&[&["fox"], &["storm", "sto:*"]]));
    assert_eq!(needs(plain("")), of(&[&[]]));
    assert_eq!(needs(plain("well-known a.b@example.com")), of(&[&["well"], &["known"]]));
    // The lexeme is `e2es`, and the index has its stem.
    assert_eq!(needs(plain("e2es 5")), of(&[&["e2e"], &["5"]]));
    assert_eq!(needs(expression("e2es:*")), None);
    // Nothing that must be there, or no English stems.
    assert_eq!(needs(expression("!sea")), None);
    assert_eq!(needs(expression("storm | !sea")), None);
    let simple = TextConfig::named(Some("simple")).expect("a configuration");
    assert_eq!(needs(Some(TextQuery::plain("storm", simple))), None);
    assert_eq!(needs(plain(&"x".repeat(65))), None);
}

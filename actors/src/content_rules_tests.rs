//! What the rules refuse, and what they let be.

use super::*;

#[test]
fn ages_and_words_of_minors_are_seen() {
    for text in [
        "She is a teen.",
        "a 16-year-old girl",
        "16yo",
        "I am seventeen years old",
        "aged 15",
        "Age: 12",
        "she's 14 and",
        "He is twelve.",
        "a t33n idol",
        "t e e n",
        "te\u{200b}en",
        "ｔｅｅｎ",
        "still a minor",
        "high school uniform",
        "未成年の",
        "niña",
        "not yet 18",
    ] {
        assert!(seems_minor(text), "{text}");
    }
    for text in [
        "She is 25 years old.",
        "I am 5 minutes away",
        "a minor detail",
        "an eighteen year old student",
        "the passion of the class",
        "Chapter 12",
        "kidding aside, the teensy canteen",
        "Nina and Nino",
        "",
    ] {
        assert!(!seems_minor(text), "{text}");
    }
}

#[test]
fn explicit_words_count_whole() {
    for text in ["an erotic scene", "p0rn", "They have sex.", "s e x u a l", "naked in the naked eye"] {
        assert!(is_explicit(text), "{text}");
    }
    for text in
        ["with the naked eye", "Essex and Middlesex", "a classic class", "sex education", "Dick Whittington"]
    {
        assert!(!is_explicit(text), "{text}");
    }
}

#[test]
fn each_tier_refuses_its_own() {
    let refused = |tier, text| matches!(check(tier, "it", text), Err(Refusal::ContentRefused { .. }));
    assert!(refused(ContentRating::Nsfw, "the child") && !refused(ContentRating::Sfw, "the child plays"));
    assert!(refused(ContentRating::Sfw, "erotic") && !refused(ContentRating::Nsfw, "erotic"));
}

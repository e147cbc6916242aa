//! Bubbles keep to their panels and to each other.

use webtoon::planning::bubbles::{Place, places};
use webtoon::planning::dialogue::{Line, from_quotes};
use webtoon::planning::layout::{Rect, TEMPLATES};

fn line(kind: &str, text: &str) -> Line {
    Line { kind: kind.into(), text: text.into(), ..Line::default() }
}

#[test]
fn bubbles_stay_in_their_panel_and_over_no_other_for_any_layout_and_length() {
    let long = "There was a ship without a light. They sank me, Mira. They were looking for...";
    for panel in TEMPLATES.iter().flat_map(|template| template.panels) {
        for texts in
            [vec!["Hi"], vec!["Who is there?", long], vec![long, long, "Incomprehensibilities everywhere!"]]
        {
            let lines: Vec<Line> = texts.iter().map(|text| line("speech", text)).collect();
            let found = places(panel, &lines, &[Some("left"), Some("right"), None]);
            for (number, place) in found.iter().enumerate() {
                let Place { position: (x, y), size: (w, h), tail } = *place;
                assert!(w > 0.0 && h > 0.0, "{place:?}");
                assert!(x >= panel.x - 1e-9 && x + w <= panel.x + panel.w + 1e-9, "{panel:?} {place:?}");
                assert!(y >= panel.y - 1e-9 && y + h <= panel.y + panel.h + 1e-9, "{panel:?} {place:?}");
                let (tail_x, tail_y) = tail.expect("a tail");
                assert!(tail_x > x && tail_x < x + w && tail_y > y + h, "{place:?}");
                let next = found.get(number + 1).map_or(panel.y + panel.h, |next| next.position.1);
                assert!(tail_y < next, "a tail stops before the next bubble: {place:?} {next}");
            }
        }
    }
}

#[test]
fn a_bubble_lies_where_its_speaker_stands_and_is_as_large_as_its_text() {
    let panel = Rect { x: 0.0, y: 0.0, w: 1.0, h: 1.0 };
    let lines = [
        line("speech", "Yes, now."),
        line("speech", "I did not hit a rock, there was a ship."),
        line("caption", "Later."),
    ];
    let found = places(&panel, &lines, &[Some("right"), Some("left"), None]);
    assert!(found[0].position.0 > 0.5 && found[0].tail.is_some_and(|tail| tail.0 > 0.6), "{:?}", found[0]);
    assert!(found[1].position.0 < 0.1 && found[1].tail.is_some_and(|tail| tail.0 < 0.4), "{:?}", found[1]);
    assert!(found[1].size.0 > found[0].size.0 && found[0].size.1 < 0.12, "{found:?}");
    assert_eq!(found[2].tail, None);
    assert!(found[2].size.0 > 0.9, "captions go across: {:?}", found[2]);
}

#[test]
fn a_quote_that_ended_before_its_speaker_is_named_ends_with_a_full_stop() {
    let said = from_quotes("\"The sea keeps nobody,\" said Tomas. \"Is he back?\" asked Jo.", 1);
    let texts: Vec<&str> = said[0].iter().map(|line| line.text.as_str()).collect();
    assert_eq!(texts, ["The sea keeps nobody.", "Is he back?"]);
}

//! What holds of any plan, any weights and any chain of styles.

use proptest::prelude::*;
use serde_json::{Map, json};
use webtoon::drawing::style::{Preset, chain, is_circle};
use webtoon::offline;
use webtoon::planning::geometry::{rectangles, stacked};
use webtoon::planning::layout::{Choice, Rect, TEMPLATES};
use webtoon::planning::panel::Panel;
use webtoon::planning::panel_plan::{clean, derived_features, normalize, weigh};
use webtoon::text::chunker::chunk;
use webtoon::text::importance::Importance;
use webtoon::text::words::{parts, sentences};

fn panel() -> impl Strategy<Value = Panel> {
    (0.0f64..1.5, any::<bool>(), any::<bool>()).prop_map(|(weight, must_be_large, has_dialogue)| Panel {
        weight,
        must_be_large,
        has_dialogue,
        ..Panel::default()
    })
}

fn lies_on_the_page(rect: &Rect) -> bool {
    const EPSILON: f64 = 1e-9;
    rect.x >= 0.0
        && rect.y >= 0.0
        && rect.w > 0.0
        && rect.h > 0.0
        && rect.x + rect.w <= 1.0 + EPSILON
        && rect.y + rect.h <= 1.0 + EPSILON
}

fn overlap(one: &Rect, other: &Rect) -> bool {
    const EPSILON: f64 = 1e-9;
    one.x + one.w > other.x + EPSILON
        && other.x + other.w > one.x + EPSILON
        && one.y + one.h > other.y + EPSILON
        && other.y + other.h > one.y + EPSILON
}

fn assert_page(rects: &[Rect]) -> Result<(), TestCaseError> {
    for (place, rect) in rects.iter().enumerate() {
        prop_assert!(lies_on_the_page(rect), "{rect:?} leaves the page");
        for number in [rect.x, rect.y, rect.w, rect.h] {
            prop_assert!(
                ((number * 10_000.0).round() / 10_000.0 - number).abs() < 1e-12,
                "{number} has more than four decimals"
            );
        }
        for other in &rects[..place] {
            prop_assert!(!overlap(rect, other), "{rect:?} overlaps {other:?}");
        }
    }
    Ok(())
}

proptest! {
    #[test]
    fn panels_never_overlap_or_leave_the_page(panels in prop::collection::vec(panel(), 1..=5), importance in 0usize..5) {
        let features = derived_features(&panels, &[], &[]);
        let importance = Importance::of_stored(Importance::NAMES[importance]).expect("a name");
        for excluded in TEMPLATES.iter().map(|template| template.id).chain([""]) {
            let choice = Choice { panels: &panels, features: &features, importance, excluded: &[excluded] };
            let template = choice.template();
            prop_assert_eq!(template.panels.len(), panels.len(), "a layout has as many panels as its plan");
            assert_page(&rectangles(template, &panels))?;
        }
    }

    #[test]
    fn stacks_of_any_weights_stay_on_the_page(weights in prop::collection::vec(prop_oneof![Just(0.0), Just(f64::NAN), Just(1e12), 0.0f64..1.0], 1..=8)) {
        assert_page(&stacked(&weights))?;
    }

    #[test]
    fn style_chains_end(parents in prop::collection::vec(prop::option::of(0usize..12), 12), start in 0usize..12) {
        let find = |id: usize| parents.get(id).map(|parent| Preset { id, parent: *parent, config: Map::new() });
        let line = chain(start, find);
        prop_assert!(line.len() <= parents.len());
        let mut ids: Vec<usize> = line.iter().map(|preset| preset.id).collect();
        ids.sort_unstable();
        ids.dedup();
        prop_assert_eq!(ids.len(), line.len(), "no style stands in a chain twice");
        // Where the chain of a parent comes back to a style, that parent would make a circle.
        if let Some(parent) = parents[start] {
            let comes_back = chain(parent, find).iter().any(|preset| preset.id == start);
            prop_assert!(!comes_back || is_circle(start, parent, find));
        }
    }

    #[test]
    fn no_text_breaks_the_rules_of_text(text in "\\PC{0,300}", max in 0usize..8) {
        prop_assert!(chunk(&text, max).scenes.len() <= max.max(1));
        sentences(&text);
        parts(&text);
        Importance::detect(&text);
        webtoon::text::estimate::estimate(&text);
        offline::characters::extract(&text, 6);
        offline::script::write(&text, max);
    }

    #[test]
    fn a_scene_of_any_text_is_planned_without_a_model(text in "[A-Za-z\"“”.!? ]{0,400}", count in 1usize..=5) {
        let mut panels = clean(&offline::panels::plan(&text, count, Importance::Build));
        weigh(&mut panels, Importance::Build);
        normalize(&mut panels);
        prop_assert_eq!(panels.len(), count);
        let seen = offline::panels::semantics(&text, &panels, &["Mira".to_string()]);
        prop_assert_eq!(seen.len(), count);
        let report = offline::critic::blind_test(&text, &seen, &["Mira".to_string()]);
        prop_assert!(report["score"].as_f64().is_some_and(|score| (0.0..=1.0).contains(&score)), "{}", report);
    }

    #[test]
    fn anything_that_a_planner_writes_is_cleaned(list in prop::collection::vec(prop_oneof![
        Just(json!(null)), Just(json!([])), Just(json!({"grammar_id": 7, "utility_score": "high", "panel_role": []})),
        Just(json!({"importance_weight": -1e300, "utility_score": 1e300})), Just(json!({"panel_role": "inset"})),
    ], 0..12)) {
        let mut panels = clean(&list);
        weigh(&mut panels, Importance::Cliffhanger);
        normalize(&mut panels);
        for (panel, index) in panels.iter().zip(1..) {
            prop_assert_eq!(panel.panel_index, index);
            prop_assert!((0.1..=1.0).contains(&panel.weight), "{}", panel.weight);
        }
    }
}

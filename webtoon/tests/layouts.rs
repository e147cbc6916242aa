//! Rules of the contract of webtoons about templates and geometry.

use webtoon::planning::geometry::rectangles;
use webtoon::planning::layout::{Choice, TEMPLATES, Template, repeated, template};
use webtoon::planning::panel::Panel;
use webtoon::planning::panel_plan::derived_features;
use webtoon::text::importance::Importance;

fn chosen(count: usize, weight: f64, talks: bool, excluded: &[&str]) -> &'static str {
    let panels = vec![Panel { weight, has_dialogue: talks, ..Panel::default() }; count];
    let features = derived_features(&panels, &[], &[]);
    Choice { panels: &panels, features: &features, importance: Importance::Build, excluded }.template().id
}

#[test]
fn layout_selection_takes_the_first_rule_that_matches() {
    for (count, weight, talks, id) in [
        (1, 0.5, false, "9x16_1"),
        (2, 0.75, false, "9x16_2_70_30"),
        (2, 0.5, true, "9x16_2_70_30"),
        (2, 0.5, false, "9x16_2_asym"),
        (3, 0.5, true, "9x16_stacked_weighted_3"),
        (3, 0.5, false, "9x16_3_vertical"),
        (4, 0.5, false, "9x16_4_asym"),
        (5, 0.5, false, "9x16_5_asym"),
        (0, 0.5, false, "9x16_3_vertical"),
    ] {
        assert_eq!(chosen(count, weight, talks, &[]), id, "{count} {weight} {talks}");
    }
}

#[test]
fn a_third_identical_template_is_resolved_again_among_equal_counts() {
    assert_eq!(repeated(&["9x16_1", "9x16_1"]), Some("9x16_1"));
    assert_eq!(repeated(&["9x16_1", "9x16_4_asym"]), None);
    assert_eq!(repeated(&["9x16_1"]), None);
    assert_eq!(chosen(2, 0.5, false, &["9x16_2_asym"]), "9x16_2_70_30");
    assert_eq!(chosen(3, 0.5, false, &["9x16_3_vertical"]), "9x16_stacked_weighted_3");
    // There is no other of four panels: the repeated one stays, since no other count fits.
    assert_eq!(chosen(4, 0.5, false, &["9x16_4_asym"]), "9x16_4_asym");
}

#[test]
fn layout_scores_are_those_of_the_contract() {
    let panels = vec![
        Panel {
            must_be_large: true,
            has_dialogue: true,
            panel_purpose: "action".into(),
            ..Panel::default()
        };
        2
    ];
    let features = derived_features(&panels, &[], &[]);
    let score = |importance, id: &str| {
        let choice = Choice { panels: &panels, features: &features, importance, excluded: &[] };
        choice.score(template(id).expect("a template"))
    };
    let near = |one: f64, other: f64| assert!((one - other).abs() < 1e-9, "{one} {other}");
    near(score(Importance::Build, "9x16_1"), 0.0);
    // Count 1.0, large .25, half the areas between .15 and .35 (0.3 of 70/30) .2, action with two sizes .15.
    near(score(Importance::Build, "9x16_2_70_30"), 1.6);
    near(score(Importance::Climax, "9x16_2_70_30"), 1.9);
    near(score(Importance::Climax, "9x16_2_asym"), 1.7);
    let thirds = vec![Panel::default(); 3];
    let features = derived_features(&thirds, &[], &[]);
    let choice =
        Choice { panels: &thirds, features: &features, importance: Importance::Setup, excluded: &[] };
    near(choice.score(template("9x16_3_vertical").expect("it is there")), 1.2);
}

#[test]
fn layouts_are_exact_to_four_decimals() {
    let heights = |weights: &[f64]| {
        let panels: Vec<Panel> =
            weights.iter().map(|weight| Panel { weight: *weight, ..Panel::default() }).collect();
        let template = template(if weights.len() == 2 { "9x16_2_70_30" } else { "9x16_3_vertical" })
            .expect("a template");
        rectangles(template, &panels).iter().map(|rect| (rect.y, rect.h)).collect::<Vec<_>>()
    };
    assert_eq!(heights(&[1.0, 1.0, 1.0]), [(0.0, 0.32), (0.34, 0.32), (0.68, 0.32)]);
    assert_eq!(heights(&[1.0, 0.5, 0.5]), [(0.0, 0.48), (0.5, 0.24), (0.76, 0.24)]);
    assert_eq!(heights(&[1.0, 0.736]), [(0.0, 0.5645), (0.5845, 0.4155)]);
    // The least height is .12; what is then too tall, .9412 + .12 + .12 for .96, is scaled down.
    assert_eq!(heights(&[1.0, 0.01, 0.01]), [(0.0, 0.7649), (0.7849, 0.0975), (0.9024, 0.0975)]);
}

#[test]
fn the_one_large_panel_takes_the_largest_rectangle() {
    let mut panels = vec![Panel::default(); 4];
    panels[2].must_be_large = true;
    let asym = template("9x16_4_asym").expect("a template");
    let rects = rectangles(asym, &panels);
    assert_eq!((rects[2], rects[0]), (asym.panels[0], asym.panels[2]));
    panels[1].must_be_large = true;
    assert_eq!(rectangles(asym, &panels), asym.panels, "two that must be large change nothing");
}

#[test]
fn templates_are_those_of_the_contract() {
    let named: Vec<(&str, usize)> =
        TEMPLATES.iter().map(|Template { id, panels, .. }| (*id, panels.len())).collect();
    assert_eq!(
        named,
        [
            ("9x16_1", 1),
            ("9x16_2_asym", 2),
            ("9x16_2_70_30", 2),
            ("9x16_3_vertical", 3),
            ("9x16_stacked_weighted_3", 3),
            ("9x16_4_asym", 4),
            ("9x16_5_asym", 5)
        ]
    );
}

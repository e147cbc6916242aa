//! Which template a page has.

use serde::{Deserialize, Serialize};

use super::panel::Panel;
use super::panel_plan::DerivedFeatures;
use crate::text::importance::Importance;

/// A rectangle in fractions of a page of 9:16, from its top left.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rect {
    /// From the left.
    pub x: f64,
    /// From the top.
    pub y: f64,
    /// Across.
    pub w: f64,
    /// Down.
    pub h: f64,
}

impl Rect {
    /// Of the page.
    pub fn area(&self) -> f64 {
        self.w * self.h
    }
}

/// A template.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Template {
    /// Its name.
    pub id: &'static str,
    /// What it is like, in words.
    pub text: &'static str,
    /// Its panels, in reading order.
    pub panels: &'static [Rect],
}

const fn rect(x: f64, y: f64, w: f64, h: f64) -> Rect {
    Rect { x, y, w, h }
}

/// Every template.
pub static TEMPLATES: [Template; 7] = [
    Template { id: "9x16_1", text: "one panel fills the page", panels: &[rect(0.0, 0.0, 1.0, 1.0)] },
    Template {
        id: "9x16_2_asym",
        text: "a large panel above, a small one at the lower right",
        panels: &[rect(0.0, 0.0, 1.0, 0.7), rect(0.58, 0.72, 0.42, 0.28)],
    },
    Template {
        id: "9x16_2_70_30",
        text: "a large panel above a low one, both full width",
        panels: &[rect(0.0, 0.0, 1.0, 0.7), rect(0.0, 0.7, 1.0, 0.3)],
    },
    Template {
        id: "9x16_3_vertical",
        text: "three panels of full width, one below the other",
        panels: &[rect(0.0, 0.0, 1.0, 0.33), rect(0.0, 0.33, 1.0, 0.34), rect(0.0, 0.67, 1.0, 0.33)],
    },
    Template {
        id: "9x16_stacked_weighted_3",
        text: "a large panel above two low ones, all full width",
        panels: &[rect(0.0, 0.0, 1.0, 0.6), rect(0.0, 0.6, 1.0, 0.2), rect(0.0, 0.8, 1.0, 0.2)],
    },
    Template {
        id: "9x16_4_asym",
        text: "a large panel at the upper left, two small ones at the right, one below",
        panels: &[
            rect(0.0, 0.0, 0.62, 0.66),
            rect(0.65, 0.0, 0.35, 0.48),
            rect(0.65, 0.52, 0.35, 0.48),
            rect(0.0, 0.7, 0.62, 0.3),
        ],
    },
    Template {
        id: "9x16_5_asym",
        text: "a large panel at the upper left, two small ones at the right, two below",
        panels: &[
            rect(0.0, 0.0, 0.6, 0.6),
            rect(0.62, 0.0, 0.38, 0.28),
            rect(0.62, 0.32, 0.38, 0.28),
            rect(0.0, 0.64, 0.32, 0.36),
            rect(0.34, 0.64, 0.28, 0.36),
        ],
    },
];

/// The template with a name.
pub fn template(id: &str) -> Option<&'static Template> {
    TEMPLATES.iter().find(|template| template.id == id)
}

/// What a choice goes by.
#[derive(Clone, Copy, Debug)]
pub struct Choice<'p> {
    /// The panels of the plan.
    pub panels: &'p [Panel],
    /// What the plan is like as a whole.
    pub features: &'p DerivedFeatures,
    /// The part that the scene has.
    pub importance: Importance,
    /// Templates that may not be chosen.
    pub excluded: &'p [&'p str],
}

impl Choice<'_> {
    /// The share of panels in which something is said.
    fn dialogue_ratio(&self) -> f64 {
        let said = self.panels.iter().filter(|panel| panel.has_dialogue).count();
        said as f64 / self.panels.len().max(1) as f64
    }

    /// The template: the first rule that matches and is not excluded; else the best of equal panel count; else the one
    /// that is excluded.
    pub fn template(&self) -> &'static Template {
        let talks = self.dialogue_ratio() > 0.5;
        let count = self.panels.len();
        let rules: [(bool, usize); 9] = [
            (count == 1, 0),
            (count == 2 && self.features.max_weight >= 0.75, 2),
            (count == 2 && talks, 2),
            (count == 2, 1),
            (count == 3 && talks, 4),
            (count == 3, 3),
            (count == 4, 5),
            (count == 5, 6),
            (count == 0, 3),
        ];
        let matching = || rules.iter().filter(|(matches, _)| *matches).map(|(_, place)| &TEMPLATES[*place]);
        let allowed = |template: &&Template| !self.excluded.contains(&template.id);
        matching()
            .find(allowed)
            .or_else(|| {
                let equal = TEMPLATES.iter().filter(|template| template.panels.len() == count);
                equal.filter(allowed).max_by(|one, other| {
                    // Of equals the first.
                    self.score(one).total_cmp(&self.score(other)).then(std::cmp::Ordering::Greater)
                })
            })
            .or_else(|| matching().next())
            .unwrap_or(&TEMPLATES[3])
    }

    /// How well a template suits a plan; 0 where it has another number of panels.
    pub fn score(&self, template: &Template) -> f64 {
        if template.panels.len() != self.panels.len() {
            return 0.0;
        }
        let areas: Vec<f64> = template.panels.iter().map(Rect::area).collect();
        let (total, largest) = (areas.iter().sum::<f64>(), areas.iter().copied().fold(0.0, f64::max));
        let smallest = areas.iter().copied().fold(f64::INFINITY, f64::min);
        let middling = areas.iter().filter(|area| (0.15..=0.35).contains(*area)).count();
        let acts = self.panels.iter().any(|panel| panel.panel_purpose == "action");
        let sizes = areas.iter().any(|area| (area - largest).abs() > 0.01);
        let mut score = 1.0;
        for (applies, worth) in [
            (self.importance.is_peak() && largest > 0.4 * total, 0.3),
            (self.importance == Importance::Setup && largest - smallest < 0.3, 0.2),
            (self.panels.iter().any(|panel| panel.must_be_large) && largest > 0.35, 0.25),
            (self.dialogue_ratio() > 0.5 && 2 * middling >= areas.len(), 0.2),
            (acts && sizes, 0.15),
        ] {
            score += if applies { worth } else { 0.0 };
        }
        score
    }
}

/// The template that a page may not have, because the two before have it.
pub fn repeated<'t>(before: &[&'t str]) -> Option<&'t str> {
    match before {
        [.., one, other] if one == other => Some(other),
        _ => None,
    }
}

//! The score of a script: four marks and their rounded mean. No IO.

use serde_json::{Value as Json, json};

/// The lowest and the highest mark.
pub const RANGE: [i64; 2] = [0, 100];

/// The marks, in the order of [`Scores`].
pub const MARKS: [&str; 4] = ["coherence", "storytelling", "character_consistency", "video_suitability"];

/// Four marks, each within [`RANGE`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scores(pub [i64; 4]);

impl Scores {
    /// Reads the marks out of an object; the error names the mark that is missing or out of range.
    pub fn read(given: &Json) -> Result<Scores, String> {
        let mut scores = [0; 4];
        for (score, mark) in scores.iter_mut().zip(MARKS) {
            let number = given[mark].as_f64().ok_or_else(|| format!("{mark}: missing"))?;
            *score = whole(number).ok_or_else(|| format!("{mark}: {number} is not within 0 to 100"))?;
        }
        Ok(Scores(scores))
    }

    /// The mean, rounded to a whole number; halves up.
    pub fn mean(self) -> i64 {
        (self.0.iter().sum::<i64>() * 2 + 4) / 8
    }

    /// The object that is kept in `evaluation`.
    pub fn object(self) -> Json {
        let mut object = json!({});
        for (score, mark) in self.0.into_iter().zip(MARKS) {
            object[mark] = json!(score);
        }
        object
    }

    /// What a model is asked for: an object with the four marks and feedback in words.
    pub fn schema() -> Json {
        let mark = json!({"type": "integer", "minimum": RANGE[0], "maximum": RANGE[1]});
        let mut properties = json!({});
        for name in MARKS {
            properties[name] = mark.clone();
        }
        properties["feedback"] = json!({"type": "string"});
        let required: Vec<&str> = MARKS.into_iter().chain(["feedback"]).collect();
        json!({
            "type": "object", "properties": properties, "required": required, "additionalProperties": false,
        })
    }
}

/// A mark as a whole number, if it is one within the range.
fn whole(number: f64) -> Option<i64> {
    let is_within = number.is_finite() && (RANGE[0] as f64..=RANGE[1] as f64).contains(&number);
    is_within.then(|| number.round() as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_score_is_the_rounded_mean() {
        for (scores, mean) in
            [([0; 4], 0), ([100; 4], 100), ([70, 71, 71, 71], 71), ([1, 1, 1, 0], 1), ([1, 1, 0, 0], 1)]
        {
            assert_eq!(Scores(scores).mean(), mean, "{scores:?}");
        }
        assert_eq!(Scores([1, 0, 0, 0]).mean(), 0);
    }

    #[test]
    fn marks_out_of_range_and_missing_ones_are_named() {
        let whole = json!({"coherence": 1, "storytelling": 2.4, "character_consistency": 3, "video_suitability": 100});
        assert_eq!(Scores::read(&whole), Ok(Scores([1, 2, 3, 100])));
        assert_eq!(Scores::read(&Scores([9; 4]).object()), Ok(Scores([9; 4])));
        for (mark, value) in
            [("coherence", json!(101)), ("storytelling", json!(-1)), ("video_suitability", json!(null))]
        {
            let mut given = whole.clone();
            given[mark] = value;
            assert!(Scores::read(&given).expect_err("refused").starts_with(mark));
        }
    }
}

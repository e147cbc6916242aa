//! What a job costs, in credits: the price list of the front end.

use actors::job_scheduler::Quality;

/// Credits of a job with so many results. What takes twice the steps costs twice.
pub(crate) fn credits(is_video: bool, quality: Quality, results: i64) -> i64 {
    let one = match (is_video, quality) {
        (false, Quality::Fast) => 1,
        (false, Quality::High) => 2,
        (true, Quality::Fast) => 3,
        (true, Quality::High) => 5,
    };
    one * results.max(1)
}

/// Credits of a training that goes so often over a picture: five, and one for each fifty.
pub(crate) fn training_credits(pictures: i64) -> i64 {
    5 + (pictures.max(0) + 49) / 50
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prices_follow_the_list() {
        for (is_video, quality, results, price) in [
            (false, Quality::Fast, 1, 1),
            (false, Quality::High, 3, 6),
            (true, Quality::High, 1, 5),
            (false, Quality::Fast, 6, 6),
        ] {
            assert_eq!(credits(is_video, quality, results), price, "{is_video} {quality:?}");
        }
    }
}

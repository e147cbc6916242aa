//! What a job costs, in credits: the price list of the front end.

use actors::job_scheduler::Quality;
use actors::render::LoraTraining;

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

/// Credits of a training: five, and one for each fifty pictures that its steps go over. Pictures of more than 512 by 512
/// pixels count by their area.
pub(crate) fn training_credits(settings: &LoraTraining) -> i64 {
    let area = u64::from(settings.resolution.max(512)).pow(2);
    let pictures = settings.pictures().saturating_mul(area).div_ceil(512 * 512);
    5 + i64::try_from(pictures.div_ceil(50)).unwrap_or(i64::MAX - 5)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_training_costs_by_its_pixels() {
        let of = |steps, batch_size, resolution| {
            training_credits(&LoraTraining { steps, batch_size, resolution, ..LoraTraining::default() })
        };
        assert_eq!(of(1200, 1, 512), 29);
        assert_eq!(of(300, 4, 64), 29);
        assert_eq!(of(1200, 1, 1024), 101);
        assert_eq!(of(1, 1, 64), 6);
    }

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

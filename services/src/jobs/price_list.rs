//! What a job costs, in credits: the price list of the front end.

/// Credits of a job with so many results.
pub(crate) fn credits(job_type: &str, results: i64) -> i64 {
    let one = match job_type {
        "sdxl_image_high" | "rv51_high" | "image_high" | "image7b_fast_enhanced" => 2,
        "image7b_high_enhanced" | "video_fast" | "wan_video_fast" => 3,
        "video7b_fast_enhanced" => 4,
        "video_high" | "wan_video_high" => 5,
        "video7b_high_enhanced" => 6,
        _ => 1,
    };
    one * results.max(1)
}

#[cfg(test)]
mod tests {
    #[test]
    fn prices_follow_the_list() {
        for (job_type, results, price) in
            [("sdxl_image_fast", 1, 1), ("sdxl_image_high", 3, 6), ("video_high", 1, 5), ("rv51_fast", 6, 6)]
        {
            assert_eq!(super::credits(job_type, results), price, "{job_type}");
        }
    }
}

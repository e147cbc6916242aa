//! The next scene is made ready while the one before is written.

use std::sync::mpsc::{Receiver, sync_channel};

use image::RgbImage;

use crate::error::PageError;

/// Scenes in their order.
#[derive(Debug)]
pub struct Scenes {
    made: Receiver<Result<RgbImage, PageError>>,
}

impl Scenes {
    /// The next scene.
    pub fn next_scene(&mut self) -> Result<RgbImage, PageError> {
        // Only a producer that panicked ends without a word.
        self.made.recv().unwrap_or_else(|_| Err(PageError::Picture("a scene could not be made ready".into())))
    }
}

/// Makes `count` scenes on a thread of their own, by their places from 0, and takes them: at most three are in memory,
/// the one that is taken, one that waits, and one that is made.
pub fn ahead<T>(
    count: usize,
    mut make: impl FnMut(usize) -> Result<RgbImage, PageError> + Send,
    take: impl FnOnce(&mut Scenes) -> Result<T, PageError>,
) -> Result<T, PageError> {
    std::thread::scope(|scope| {
        let (give, made) = sync_channel(1);
        scope.spawn(move || {
            for place in 0..count {
                let scene = make(place);
                let failed = scene.is_err();
                // Who takes them may have ended before.
                if give.send(scene).is_err() || failed {
                    break;
                }
            }
        });
        // Dropped before the thread is waited for, so that one that waits to give its scene ends.
        let mut scenes = Scenes { made };
        take(&mut scenes)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scenes_come_in_order_and_a_failure_ends_them() {
        let make = |place: usize| match place {
            3 => Err(PageError::Picture("torn".into())),
            place => Ok(RgbImage::new(place as u32 + 1, 1)),
        };
        let taken = ahead(9, make, |scenes| {
            for place in 0..3 {
                assert_eq!(scenes.next_scene()?.width(), place + 1);
            }
            scenes.next_scene().map(|_| ())
        });
        assert_eq!(taken.expect_err("the fourth is torn").to_string(), "torn");
        // One who stops early waits for no scene that would never be taken.
        ahead(50, |_| Ok(RgbImage::new(1, 1)), |scenes| scenes.next_scene().map(|_| ())).expect("the first");
    }
}

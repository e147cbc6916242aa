//! All sockets: they end with the server.

use std::sync::Arc;
use std::time::Duration;

use store::shares::Shares;
use tokio::sync::watch;

/// How often it is looked whether the last one has gone.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Ends all sockets together.
#[derive(Debug)]
pub struct Sockets {
    stop: watch::Sender<bool>,
}

impl Default for Sockets {
    fn default() -> Sockets {
        Sockets { stop: watch::Sender::new(false) }
    }
}

impl Sockets {
    /// Tells all of them that the server stops.
    pub fn stop(&self) {
        self.stop.send_replace(true);
    }

    /// Whether the server stops.
    pub fn is_stopping(&self) -> bool {
        *self.stop.borrow()
    }

    /// Waits until the last one has gone, or for so long.
    pub async fn gone(places: &Arc<Shares>, patience: Duration) {
        let gone = async {
            while places.used() > 0 {
                tokio::time::sleep(LOOK_EVERY).await;
            }
        };
        let _ = tokio::time::timeout(patience, gone).await;
    }

    /// Returns once the server stops.
    pub(super) async fn stopped(&self) {
        let mut stop = self.stop.subscribe();
        // Its sender lives as long as the server.
        let _ = stop.wait_for(|stops| *stops).await;
    }
}

//! How much one socket may ask for.

use std::time::Duration;

/// Largest frame from a client, in bytes.
pub(super) const FRAME_BYTES_MAX: usize = 256 << 10;
/// Channels of one socket.
pub(super) const CHANNELS_MAX: usize = 100;
/// Bindings of one channel to changes.
pub(super) const BINDINGS_MAX: usize = 50;
/// Tables that the bindings of one socket listen to, counted for each binding.
pub(super) const INTERESTS_MAX: usize = 1000;
/// Longest filter, in bytes.
pub(super) const FILTER_BYTES_MAX: usize = 2048;
/// What a regular expression is taken to need of memory, in bytes.
pub(super) const EXPRESSION_BYTES: usize = 512 << 10;
/// Conditions in one filter.
pub(super) const TESTS_MAX: usize = 16;
/// Sockets of one account.
pub(super) const SOCKETS_OF_ACCOUNT_MAX: usize = 256;
/// Largest presence of one channel, in bytes.
pub(super) const PRESENCE_BYTES_MAX: usize = 4096;
/// Longest presence key, in bytes.
pub(super) const PRESENCE_KEY_BYTES_MAX: usize = 255;
/// Messages that one request may broadcast.
pub(super) const MESSAGES_MAX: usize = 100;
/// Largest payload of a broadcast, in bytes.
pub(super) const PAYLOAD_BYTES_MAX: usize = FRAME_BYTES_MAX;
/// Largest record of a change, in bytes; of a larger one only small values are sent.
pub(super) const RECORD_BYTES_MAX: usize = 1 << 20;
/// Largest value that is sent of a record that is too large, in bytes.
pub(super) const SMALL_VALUE_BYTES: usize = 64;
/// Frames that may wait for a client, and their bytes.
pub(super) const WAITING_MAX: usize = 8192;
pub(super) const WAITING_BYTES_MAX: usize = 4 << 20;
/// Bytes that are handed to a socket at once; what waits behind them goes on waiting. One frame may be larger.
pub(super) const SENT_AT_ONCE_BYTES: usize = 64 << 10;
/// Frames that a client may send in a second for long, and at once.
pub(super) const FRAMES_PER_S: f64 = 200.0;
pub(super) const FRAMES_AT_ONCE: f64 = 2000.0;
/// A socket that says nothing for so long is closed; clients send a heartbeat every 25 s.
pub(super) const SILENCE_MAX: Duration = Duration::from_secs(60);
/// How long a client may take to hear that its socket is closed.
pub(super) const CLOSE_PATIENCE: Duration = Duration::from_secs(30);

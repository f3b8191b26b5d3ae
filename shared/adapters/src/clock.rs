//! The process's clock and randomness.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ring::rand::{SecureRandom, SystemRandom};
use sync::ports::Clock;

use crate::Aws;

impl Clock for Aws {
    fn now_ms(&self) -> i64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
    }

    fn random(&self) -> u64 {
        let mut bytes = [0; 8];
        self.fill_secret(&mut bytes);
        u64::from_le_bytes(bytes)
    }

    fn fill_secret(&self, buffer: &mut [u8]) {
        // Without randomness it is not safe to continue: the invocation ends, and its messages are delivered again.
        assert!(SystemRandom::new().fill(buffer).is_ok(), "the operating system did not return random bytes");
    }

    async fn sleep(&self, ms: u64) {
        tokio::time::sleep(Duration::from_millis(ms)).await;
    }
}

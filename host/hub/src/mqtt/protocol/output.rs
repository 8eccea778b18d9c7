//! Bytes on their way to the client, and how long it takes them.

use std::time::{Duration, Instant};

use bytes::{Buf as _, BytesMut};
use rumqttc::mqttbytes::v4::Packet;

/// With so many bytes waiting, nothing more is begun for a client.
pub(super) const WAITING_HIGH_BYTES: usize = 64 * 1024;

/// How long a client may take nothing of what waits for it, or leave that much waiting.
pub(super) const UNREAD_MAX: Duration = Duration::from_secs(30);

/// Memory that is kept for the next packet when all is written.
const KEPT_MAX_BYTES: usize = 512;

/// Bytes that were not written yet.
#[derive(Debug, Default)]
pub(super) struct Output {
    bytes: BytesMut,
    /// Since when bytes wait and none was taken.
    unmoved_since: Option<Instant>,
    /// Since when there are too many.
    high_since: Option<Instant>,
}

impl Output {
    pub(super) fn push(&mut self, packet: &Packet, now: Instant) {
        packet
            .write(&mut self.bytes, usize::MAX)
            .expect("what the hub sends has an id where it needs one, and is below 256 MB");
        self.unmoved_since = self.unmoved_since.or(Some(now));
        self.note_high(now);
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(super) fn is_high(&self) -> bool {
        self.bytes.len() >= WAITING_HIGH_BYTES
    }

    /// So many bytes were written.
    pub(super) fn written(&mut self, count: usize, now: Instant) {
        self.bytes.advance(count);
        if self.bytes.is_empty() {
            if self.bytes.capacity() > KEPT_MAX_BYTES {
                self.bytes = BytesMut::new();
            }
            self.unmoved_since = None;
        } else if count > 0 {
            self.unmoved_since = Some(now);
        }
        self.note_high(now);
    }

    /// When the client will have read too little for too long.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let since = [self.unmoved_since, self.high_since]
            .into_iter()
            .flatten()
            .min();
        Some(since? + UNREAD_MAX)
    }

    fn note_high(&mut self, now: Instant) {
        self.high_since = self.is_high().then(|| self.high_since.unwrap_or(now));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_has_so_long_to_take_what_waits() {
        let begun = Instant::now();
        let at = |seconds| begun + Duration::from_secs(seconds);
        let mut output = Output::default();
        assert_eq!(output.deadline(), None);
        output.push(&Packet::PingResp, at(0));
        output.push(&Packet::PingResp, at(5));
        assert_eq!(output.deadline(), Some(at(0) + UNREAD_MAX));
        output.written(0, at(7));
        assert_eq!(output.deadline(), Some(at(0) + UNREAD_MAX));
        output.written(2, at(9));
        assert_eq!(output.deadline(), Some(at(9) + UNREAD_MAX));
        output.written(2, at(10));
        assert_eq!(output.deadline(), None);
    }

    #[test]
    fn a_client_that_takes_a_little_must_not_leave_much_waiting() {
        let begun = Instant::now();
        let at = |seconds| begun + Duration::from_secs(seconds);
        let mut output = Output::default();
        while !output.is_high() {
            output.push(&Packet::PingResp, at(1));
        }
        output.push(&Packet::PingResp, at(1));
        output.written(1, at(20));
        assert_eq!(output.deadline(), Some(at(1) + UNREAD_MAX));
        output.written(2, at(21));
        assert_eq!(output.deadline(), Some(at(21) + UNREAD_MAX));
    }
}

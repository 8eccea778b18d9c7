//! Messages that wait to be passed on as one.

use std::time::Duration;

use wasm_edge_sdk::events::{CompletionError, Delivery};
use wasm_edge_sdk::{Outgoing, SendError, Value, log};

/// Bodies of one batch in bytes, so that it fits into a message with its properties.
const SIZE_MAX_BYTES: usize = 250_000;

/// When messages come again for which there was no place.
const RETRY_AFTER: Duration = Duration::from_secs(1);

#[derive(Default)]
pub(crate) struct Batch {
    deliveries: Vec<Delivery>,
    bodies: Vec<Value>,
    size_bytes: usize,
}

/// The batch has no room for this one.
pub(crate) struct Full(pub(crate) Delivery);

impl Batch {
    pub(crate) fn len(&self) -> usize {
        self.deliveries.len()
    }

    /// Takes a message; one that is no JSON is put aside.
    pub(crate) fn add(&mut self, delivery: Delivery) -> Result<Result<(), Full>, CompletionError> {
        let message = delivery.message();
        let body = match message.json() {
            Ok(body) => body,
            Err(err) => {
                delivery.reject(&err.to_string())?;
                return Ok(Ok(()));
            }
        };
        // A comma goes with each.
        let size_bytes = self.size_bytes + 1 + message.body_size_bytes() as usize;
        if size_bytes > SIZE_MAX_BYTES {
            return Ok(Err(Full(delivery)));
        }
        self.size_bytes = size_bytes;
        self.bodies.push(body);
        self.deliveries.push(delivery);
        Ok(Ok(()))
    }

    /// Sends the batch with the last message's completion, then completes the others; gives how many these were.
    ///
    /// Where there is no place for it now, all of them come again.
    pub(crate) fn pass_on(mut self) -> Result<u64, CompletionError> {
        let count = self.deliveries.len() as u64;
        let Some(last) = self.deliveries.pop() else {
            return Ok(0);
        };
        let passed_on = match send(&last, &self.bodies) {
            Ok(()) => last.complete().map_err(|err| err.to_string()),
            Err(err) => {
                match &err {
                    SendError::WouldBlock => last.retry(RETRY_AFTER)?,
                    // One of its kind cannot be passed on at all.
                    err => last.reject(&err.to_string())?,
                }
                Err(err.to_string())
            }
        };
        if let Err(err) = passed_on {
            log::warn!("{count} messages come again: {err}");
            self.deliveries
                .iter()
                .try_for_each(|delivery| delivery.retry(RETRY_AFTER))?;
            return Ok(0);
        }
        self.deliveries.iter().try_for_each(Delivery::complete)?;
        Ok(count)
    }
}

fn send(delivery: &Delivery, bodies: &[Value]) -> Result<(), SendError> {
    let outgoing = Outgoing::json(bodies).map_err(|err| SendError::Other(err.to_string()))?;
    let count = bodies.len().to_string();
    delivery.send("batches", outgoing.property("count", count))
}

//! Whether a part of the device still does its work: it is asked, and answers from the middle of its own loop.
//!
//! A part that waits answers; one that is stuck in a call that does not return, or has ended, does not. Whoever watches
//! over the device asks, as a service manager's watchdog does.

use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

/// Questions that may wait: who asks waits for the answer, and asks again only then.
const QUESTIONS_MAX: usize = 4;

/// Asks a part; clones ask the same.
#[derive(Clone, Debug)]
pub struct Pulse {
    questions: mpsc::Sender<oneshot::Sender<()>>,
}

/// The part's end, which it has in its loop.
#[derive(Debug)]
pub(crate) struct Heart {
    questions: mpsc::Receiver<oneshot::Sender<()>>,
}

/// What became of a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beat {
    /// The part answered.
    Felt,
    /// It did not answer in time.
    Late,
    /// It has ended.
    Gone,
}

/// A part's two ends.
pub(crate) fn pulse() -> (Pulse, Heart) {
    let (sender, receiver) = mpsc::channel(QUESTIONS_MAX);
    (
        Pulse { questions: sender },
        Heart {
            questions: receiver,
        },
    )
}

impl Pulse {
    /// Asks, and waits so long for an answer.
    pub async fn feel(&self, patience: Duration) -> Beat {
        let (answer, answered) = oneshot::channel();
        let asking = async {
            match self.questions.send(answer).await {
                Ok(()) if answered.await.is_ok() => Beat::Felt,
                _ => Beat::Gone,
            }
        };
        let asked = wasm_edge_clock::timeout(patience, asking).await;
        asked.unwrap_or(Beat::Late)
    }
}

impl Heart {
    /// Answers whoever asks, for ever.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub(crate) async fn beat(&mut self) {
        while let Some(question) = self.questions.recv().await {
            // Who asked may have lost patience.
            let _ = question.send(());
        }
        std::future::pending().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(5);

    #[tokio::test(start_paused = true)]
    async fn a_part_in_its_loop_answers_a_stuck_one_does_not_and_an_ended_one_is_gone() {
        let (pulse, mut heart) = pulse();
        let part = tokio::spawn(async move {
            heart.beat().await;
        });
        assert_eq!(pulse.feel(PATIENCE).await, Beat::Felt);
        assert_eq!(pulse.feel(PATIENCE).await, Beat::Felt);
        part.abort();
        let _ = part.await;
        assert_eq!(pulse.feel(PATIENCE).await, Beat::Gone);

        let (pulse, heart) = super::pulse();
        assert_eq!(pulse.feel(PATIENCE).await, Beat::Late);
        drop(heart);
        assert_eq!(pulse.feel(PATIENCE).await, Beat::Gone);
    }
}

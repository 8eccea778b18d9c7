//! `wasi:io/poll`: waiting for events, which is all that a test has to wait for.

use crate::testing::{program, world};

#[derive(Debug)]
pub struct Pollable(());

impl Pollable {
    pub(super) fn for_events() -> Self {
        Self(())
    }

    pub fn ready(&self) -> bool {
        !world::current().lock().board.is_empty()
    }

    pub fn block(&self) {
        drop(program::wait(&world::current(), None));
    }
}

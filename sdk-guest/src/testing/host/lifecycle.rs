//! `lifecycle`: noted, for the test to see.

use crate::testing::world;

pub fn ready() {
    world::current().lock().record.said_ready = true;
}

//! Moves messages along routes between module instances and upstream.
//!
//! A module's instance sends with a [`sender::Sender`], which takes a place in every queue on the message's
//! way; a commit lets staged messages in, in one step with the completion of the message that was being
//! handled. An [`inbox::Inbox`] hands messages over by priority and age, and each is ended by one of the
//! methods of [`inbox::Delivery`]. [`router::Router`] joins them.
//!
//! Queues are in memory and bounded ([`limits`]); what a stop of the process loses was not promised to last.
//! Parsing of routes is the model's, running modules and talking to the hub the daemon's.

pub mod router;

pub mod sender;

pub mod inbox;

pub mod table;

pub mod endpoint;

pub mod limits;

pub mod tries;

pub mod turns;

pub mod aside;

pub mod receipt;

pub mod snapshot;

pub mod tap;

pub mod journal;

mod junction;
pub mod operate;

mod keeper;
mod lane;
mod ledger;
mod queue;
mod slots;
mod stamp;
mod state;
mod store;

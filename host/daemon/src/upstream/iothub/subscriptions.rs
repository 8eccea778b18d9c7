//! What the hub is known to tell a module's connection, and what has to be said of that.
//!
//! Pure. The hub keeps subscriptions over connections, so on a line that costs by the byte they are made once.

use super::topic::Subscription;

/// The subscriptions that the hub has of one module, as far as this process knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Known {
    twin_answers: bool,
    desired: bool,
    methods: Option<bool>,
}

/// A subscription to be made, or to be ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) subscription: Subscription,
    pub(super) wanted: bool,
}

impl Known {
    /// A connection was made: with the session that was there before, or with a new one.
    pub(super) fn connected(&mut self, session_present: bool) {
        if !session_present {
            *self = Self {
                methods: Some(false),
                ..Self::default()
            };
        }
    }

    /// What has to be said.
    pub(super) fn changes(&self, methods: bool) -> Vec<Change> {
        let mut changes = Vec::new();
        for (is_known, subscription) in [
            (self.twin_answers, Subscription::TwinAnswers),
            (self.desired, Subscription::Desired),
        ] {
            if !is_known {
                changes.push(Change {
                    subscription,
                    wanted: true,
                });
            }
        }
        // Of a session that another process left it is not known.
        if self.methods != Some(methods) {
            changes.push(Change {
                subscription: Subscription::Methods,
                wanted: methods,
            });
        }
        changes
    }

    /// The hub has taken a change.
    pub(super) fn made(&mut self, change: Change) {
        match change.subscription {
            Subscription::TwinAnswers => self.twin_answers = change.wanted,
            Subscription::Desired => self.desired = change.wanted,
            Subscription::Methods => self.methods = Some(change.wanted),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(known: &mut Known, present: bool, methods: bool) -> String {
        known.connected(present);
        let changes = known.changes(methods);
        let mut said = String::new();
        for change in changes {
            known.made(change);
            said.push(if change.wanted { '+' } else { '-' });
            said.push(match change.subscription {
                Subscription::TwinAnswers => 't',
                Subscription::Desired => 'd',
                Subscription::Methods => 'm',
            });
        }
        said
    }

    #[test]
    fn subscriptions_are_made_once_and_when_the_hub_has_forgotten_them() {
        let mut known = Known::default();
        assert_eq!(said(&mut known, false, true), "+t+d+m");
        assert_eq!(said(&mut known, true, true), "");
        assert_eq!(said(&mut known, true, false), "-m");
        assert_eq!(said(&mut known, true, false), "");
        assert_eq!(said(&mut known, true, true), "+m");
        assert_eq!(said(&mut known, false, false), "+t+d");
        assert_eq!(said(&mut known, false, true), "+t+d+m");
    }

    #[test]
    fn what_a_process_before_left_is_said_again() {
        assert_eq!(said(&mut Known::default(), true, true), "+t+d+m");
        assert_eq!(said(&mut Known::default(), true, false), "+t+d-m");
    }

    #[test]
    fn a_change_that_was_not_taken_is_said_again() {
        let mut known = Known::default();
        known.connected(false);
        assert_eq!(known.changes(false).len(), 2);
        known.connected(true);
        assert_eq!(known.changes(false).len(), 2);
    }
}

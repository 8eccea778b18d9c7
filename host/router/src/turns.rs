//! Whose turn it is: the higher priority goes first, and a lower one is not kept waiting for ever.
//!
//! Pure. The state asks for each message that a consumer takes. The rule, which the documentation states: after
//! [`HIGHER_IN_A_ROW_MAX`] messages of higher priority in a row, the next lower priority that waits has one turn.
//! Among the priorities below, the same rule holds for the turns that are left to them.

use wasm_edge_model::route::PRIORITY_MAX;

/// Messages of higher priority in a row, after which a lower one has a turn.
pub const HIGHER_IN_A_ROW_MAX: u8 = 15;

/// How many priorities there are: those that a route can name, and the one of routes that name none.
pub(crate) const RANKS: usize = PRIORITY_MAX as usize + 2;

/// The place of a priority among all, 0 first.
pub(crate) fn rank(priority: u32) -> usize {
    (priority as usize).min(RANKS - 1)
}

/// The turns that one consumer gave.
#[derive(Debug, Default)]
pub(crate) struct Turns {
    /// For each rank, how many turns in a row it had while a lower one waited.
    in_a_row: [u8; RANKS],
}

impl Turns {
    /// Gives the turn to one of the ranks that wait, a bit each; `None` if there is none.
    pub(crate) fn give(&mut self, waiting: u16) -> Option<usize> {
        let mut left = waiting;
        while left != 0 {
            let first = left.trailing_zeros() as usize;
            left &= left - 1;
            let in_a_row = self.in_a_row.get_mut(first)?;
            if left == 0 {
                *in_a_row = 0;
                return Some(first);
            }
            if *in_a_row < HIGHER_IN_A_ROW_MAX {
                *in_a_row += 1;
                return Some(first);
            }
            *in_a_row = 0;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The turns that ranks get which always wait.
    fn turns(ranks: &[usize], count: usize) -> Vec<usize> {
        let waiting = ranks.iter().fold(0, |bits, rank| bits | 1 << rank);
        let mut turns = Turns::default();
        (0..count).map(|_| turns.give(waiting).unwrap()).collect()
    }

    #[test]
    fn after_fifteen_turns_a_lower_priority_has_one() {
        let given = turns(&[0, 9], 48);
        let lower: Vec<_> = (0..48).filter(|turn| given[*turn] == 9).collect();
        assert_eq!(lower, [15, 31, 47]);
    }

    #[test]
    fn of_several_lower_ones_none_starves() {
        let given = turns(&[0, 4, 10], 3 * 256);
        let count = |rank| given.iter().filter(|given| **given == rank).count();
        assert_eq!((count(0), count(4), count(10)), (720, 45, 3));
    }

    #[test]
    fn a_rank_that_waits_alone_has_every_turn_and_owes_none() {
        let mut turns = Turns::default();
        for _ in 0..100 {
            assert_eq!(turns.give(1 << 3), Some(3));
        }
        assert_eq!(turns.give(1 << 3 | 1 << 5), Some(3));
        assert_eq!(turns.give(0), None);
    }

    #[test]
    fn the_priority_of_routes_that_name_none_is_the_last_rank() {
        use wasm_edge_model::route::PRIORITY_DEFAULT;
        assert_eq!((rank(0), rank(9), rank(PRIORITY_DEFAULT)), (0, 9, 10));
    }
}

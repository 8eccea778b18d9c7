//! Counts what the host holds for one module, and refuses what goes beyond.
//!
//! Linear memory is counted by [`MemoryLimiter`]; message handles, staged messages and all else that
//! lies in the host's own memory by [`HostBudget`].

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use wasmtime::{ResourceLimiter, Result};

/// Bytes that a table element takes in the host.
const TABLE_ELEMENT_BYTES: u64 = 16;

/// Core instances, memories and tables that one component may have. Real components have below 10;
/// each costs the host a few kilobytes.
const PARTS_MAX: usize = 128;

/// What one module has in the host, shared with whoever shows it.
#[derive(Debug)]
pub(crate) struct HostBudget {
    used_bytes: AtomicU64,
    limit_bytes: u64,
}

impl HostBudget {
    pub(crate) fn new(limit_bytes: u64) -> Arc<Self> {
        Arc::new(Self {
            used_bytes: AtomicU64::new(0),
            limit_bytes,
        })
    }

    /// Takes `bytes` from the budget until the charge is dropped; `None` if they are not left.
    pub(crate) fn charge(self: &Arc<Self>, bytes: usize) -> Option<Charge> {
        let bytes = bytes as u64;
        let taken = self
            .used_bytes
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
                used.checked_add(bytes)
                    .filter(|sum| *sum <= self.limit_bytes)
            });
        taken.ok().map(|_| Charge {
            budget: Arc::clone(self),
            bytes,
        })
    }

    pub(crate) fn used_bytes(&self) -> u64 {
        self.used_bytes.load(Ordering::Relaxed)
    }

    pub(crate) fn left_bytes(&self) -> u64 {
        self.limit_bytes.saturating_sub(self.used_bytes())
    }

    pub(crate) fn limit_bytes(&self) -> u64 {
        self.limit_bytes
    }
}

/// A part of a [`HostBudget`], given back when dropped.
#[derive(Debug)]
pub(crate) struct Charge {
    budget: Arc<HostBudget>,
    bytes: u64,
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.budget
            .used_bytes
            .fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// Adds up all linear memories and tables of a store; wasmtime itself counts each on its own.
#[derive(Debug)]
pub(crate) struct MemoryLimiter {
    limit_bytes: u64,
    used_bytes: Arc<AtomicU64>,
    refused: bool,
}

impl MemoryLimiter {
    pub(crate) fn new(limit_bytes: u64, used_bytes: Arc<AtomicU64>) -> Self {
        used_bytes.store(0, Ordering::Relaxed);
        Self {
            limit_bytes,
            used_bytes,
            refused: false,
        }
    }

    /// Whether growth was refused since the last call of this function.
    pub(crate) fn take_refused(&mut self) -> bool {
        std::mem::take(&mut self.refused)
    }

    fn grow(&mut self, by_bytes: u64) -> bool {
        let sum = self
            .used_bytes
            .load(Ordering::Relaxed)
            .saturating_add(by_bytes);
        let fits = sum <= self.limit_bytes;
        if fits {
            self.used_bytes.store(sum, Ordering::Relaxed);
        } else {
            self.refused = true;
        }
        fits
    }
}

impl ResourceLimiter for MemoryLimiter {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> Result<bool> {
        if maximum.is_some_and(|maximum| desired > maximum) {
            return Ok(false);
        }
        Ok(self.grow(desired.saturating_sub(current) as u64))
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> Result<bool> {
        if maximum.is_some_and(|maximum| desired > maximum) {
            return Ok(false);
        }
        let elements = desired.saturating_sub(current) as u64;
        Ok(self.grow(elements.saturating_mul(TABLE_ELEMENT_BYTES)))
    }

    fn instances(&self) -> usize {
        PARTS_MAX
    }

    fn tables(&self) -> usize {
        PARTS_MAX
    }

    fn memories(&self) -> usize {
        PARTS_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_charge_is_refused_beyond_the_limit_and_given_back_when_dropped() {
        let budget = HostBudget::new(100);
        let first = budget.charge(60).expect("fits");
        assert!(budget.charge(41).is_none());
        let second = budget.charge(40).expect("fits exactly");
        assert_eq!(budget.used_bytes(), 100);
        drop(first);
        assert!(budget.charge(61).is_none());
        assert!(budget.charge(60).is_some());
        drop(second);
        assert_eq!(budget.used_bytes(), 0);
    }

    #[test]
    fn memories_and_tables_of_a_store_are_added_up() {
        let used = Arc::new(AtomicU64::new(7));
        let mut limiter = MemoryLimiter::new(190_000, Arc::clone(&used));
        assert!(limiter.memory_growing(0, 65_536, None).expect("no trap"));
        assert!(limiter.memory_growing(0, 65_536, None).expect("no trap"));
        assert!(limiter.table_growing(0, 100, None).expect("no trap"));
        assert!(!limiter.take_refused());
        assert!(
            !limiter
                .memory_growing(65_536, 2 * 65_536, None)
                .expect("no trap")
        );
        assert!(limiter.take_refused());
        assert!(!limiter.take_refused());
        assert_eq!(used.load(Ordering::Relaxed), 2 * 65_536 + 1_600);
    }

    #[test]
    fn growth_beyond_the_component_s_own_maximum_is_not_charged() {
        let used = Arc::new(AtomicU64::new(0));
        let mut limiter = MemoryLimiter::new(1 << 20, Arc::clone(&used));
        assert!(
            !limiter
                .memory_growing(0, 131_072, Some(65_536))
                .expect("no trap")
        );
        assert_eq!(used.load(Ordering::Relaxed), 0);
    }
}

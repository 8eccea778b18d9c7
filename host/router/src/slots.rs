//! A table of numbered slots: what the queues refer to by number instead of by name.
//!
//! A number stays valid until its slot is taken out, which the state does only where nothing refers to it any
//! more; numbers are then used again.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::marker::PhantomData;
use std::ops::{Index, IndexMut};

/// The number of a slot that holds a `T`.
pub(crate) struct Id<T> {
    index: u32,
    of: PhantomData<fn() -> T>,
}

/// Numbered slots, the numbers of emptied ones used again.
pub(crate) struct Slots<T> {
    slots: Vec<Option<T>>,
    free: Vec<u32>,
}

impl<T> Slots<T> {
    pub(crate) fn new() -> Self {
        Slots {
            slots: Vec::new(),
            free: Vec::new(),
        }
    }

    /// How many slots are in use.
    pub(crate) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    pub(crate) fn insert(&mut self, value: T) -> Id<T> {
        let index = match self.free.pop() {
            Some(index) => index,
            None => {
                self.slots.push(None);
                u32::try_from(self.slots.len() - 1).expect("limits keep slots far below `u32`")
            }
        };
        self.slots[index as usize] = Some(value);
        Id {
            index,
            of: PhantomData,
        }
    }

    pub(crate) fn remove(&mut self, id: Id<T>) {
        if self.slots[id.index as usize].take().is_some() {
            self.free.push(id.index);
        }
    }

    pub(crate) fn contains(&self, id: Id<T>) -> bool {
        self.slots
            .get(id.index as usize)
            .is_some_and(Option::is_some)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (Id<T>, &T)> {
        let used = self.slots.iter().enumerate();
        used.filter_map(|(index, slot)| Some((Id::at(index), slot.as_ref()?)))
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = (Id<T>, &mut T)> {
        let used = self.slots.iter_mut().enumerate();
        used.filter_map(|(index, slot)| Some((Id::at(index), slot.as_mut()?)))
    }
}

impl<T> Index<Id<T>> for Slots<T> {
    type Output = T;

    fn index(&self, id: Id<T>) -> &T {
        let slot = self.slots[id.index as usize].as_ref();
        slot.expect("a slot is emptied only when nothing holds its number")
    }
}

impl<T> IndexMut<Id<T>> for Slots<T> {
    fn index_mut(&mut self, id: Id<T>) -> &mut T {
        let slot = self.slots[id.index as usize].as_mut();
        slot.expect("a slot is emptied only when nothing holds its number")
    }
}

impl<T> Id<T> {
    fn at(index: usize) -> Self {
        // Indexes come from `insert`, which checked them.
        Id {
            index: index as u32,
            of: PhantomData,
        }
    }
}

// Derived implementations would ask the same of `T`.
impl<T> Clone for Id<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Id<T> {}

impl<T> PartialEq for Id<T> {
    fn eq(&self, other: &Self) -> bool {
        self.index == other.index
    }
}

impl<T> Eq for Id<T> {}

impl<T> PartialOrd for Id<T> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> Ord for Id<T> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.index.cmp(&other.index)
    }
}

impl<T> Hash for Id<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.index.hash(state);
    }
}

impl<T> fmt::Debug for Id<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_emptied_slots_are_used_again() {
        let mut slots = Slots::new();
        let (first, second) = (slots.insert("a"), slots.insert("b"));
        slots.remove(first);
        assert_eq!(slots.len(), 1);
        let third = slots.insert("c");
        assert_eq!(third, first);
        assert_eq!((slots[second], slots[third]), ("b", "c"));
        let all: Vec<_> = slots.iter().map(|(_, value)| *value).collect();
        assert_eq!(all, ["c", "b"]);
    }
}

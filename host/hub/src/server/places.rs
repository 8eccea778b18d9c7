//! Places for what clients hold, connections or bytes: so many in all, and so many for one address.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Counts the places that are taken; clones share the count.
#[derive(Debug, Clone)]
pub(super) struct Places(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    max: usize,
    per_address_max: usize,
    /// Written as clients come and go; short sections only.
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    by_address: HashMap<IpAddr, usize>,
}

/// Places that are taken; dropping them frees them.
#[derive(Debug)]
pub(super) struct Place {
    places: Places,
    address: IpAddr,
    count: usize,
}

/// Why there is no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Full {
    /// All are taken.
    All,
    /// Those for one address are taken.
    Address,
}

impl Places {
    pub(super) fn new(max: usize, per_address_max: usize) -> Self {
        Self(Arc::new(Shared {
            max,
            per_address_max,
            taken: Mutex::default(),
        }))
    }

    /// Takes so many places if any are left, even if not so many: what comes as a whole is not refused for its size.
    pub(super) fn take(&self, address: IpAddr, count: usize) -> Result<Place, Full> {
        let mut place = self.none(address);
        place.grow(count)?;
        Ok(place)
    }

    /// Takes so many places, left or not.
    pub(super) fn take_anyway(&self, address: IpAddr, count: usize) -> Place {
        let mut place = self.none(address);
        place.add(&mut self.lock(), count);
        place
    }

    /// No place, to grow.
    pub(super) fn none(&self, address: IpAddr) -> Place {
        Place {
            places: self.clone(),
            address: network(address),
            count: 0,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Taken> {
        self.0.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// Takes so many places more if any are left.
    pub(super) fn grow(&mut self, count: usize) -> Result<(), Full> {
        let places = self.places.clone();
        let mut taken = places.lock();
        if taken.all >= places.0.max {
            return Err(Full::All);
        }
        let of_address = taken.by_address.get(&self.address).copied();
        if of_address.unwrap_or_default() >= places.0.per_address_max {
            return Err(Full::Address);
        }
        self.add(&mut taken, count);
        Ok(())
    }

    fn add(&mut self, taken: &mut Taken, count: usize) {
        if count > 0 {
            *taken.by_address.entry(self.address).or_default() += count;
            taken.all += count;
            self.count += count;
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.lock();
        taken.all -= self.count;
        let left = taken.by_address.get_mut(&self.address).map(|count| {
            *count -= self.count;
            *count
        });
        if left == Some(0) {
            taken.by_address.remove(&self.address);
        }
    }
}

/// What counts as one address: of IPv6 the network of 64 bits, whose other half a client chooses itself.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64)))
        }
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(places: &Places, address: &str) -> Result<Place, Full> {
        places.take(address.parse().unwrap(), 1)
    }

    #[test]
    fn places_are_taken_and_freed() {
        let places = Places::new(3, 2);
        let one = take(&places, "192.0.2.1").unwrap();
        let _two = take(&places, "192.0.2.1").unwrap();
        assert_eq!(take(&places, "192.0.2.1").unwrap_err(), Full::Address);
        let three = take(&places, "192.0.2.2").unwrap();
        assert_eq!(take(&places, "192.0.2.3").unwrap_err(), Full::All);
        drop(three);
        assert_eq!(take(&places, "192.0.2.1").unwrap_err(), Full::Address);
        drop(one);
        let _one = take(&places, "192.0.2.1").unwrap();
        assert_eq!(
            places.lock().by_address.len(),
            1,
            "no address is remembered"
        );
    }

    #[test]
    fn what_comes_as_a_whole_may_take_more_than_is_left() {
        let places = Places::new(10, 8);
        let address = "192.0.2.1".parse().unwrap();
        let mut one = places.take(address, 7).unwrap();
        one.grow(7).unwrap();
        assert_eq!(one.grow(1).unwrap_err(), Full::All);
        let anyway = places.take_anyway(address, 3);
        assert_eq!(places.lock().all, 17);
        drop(one);
        assert_eq!(places.lock().all, 3);
        drop(places.none(address));
        drop(anyway);
        let taken = places.lock();
        assert_eq!((taken.all, taken.by_address.len()), (0, 0));
    }

    #[test]
    fn one_network_counts_as_one_address() {
        let check = |address: &str, expected: &str| {
            let address: IpAddr = address.parse().unwrap();
            assert_eq!(network(address), expected.parse::<IpAddr>().unwrap());
        };
        check("192.0.2.1", "192.0.2.1");
        check("::ffff:192.0.2.1", "192.0.2.1");
        check("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::");
    }
}

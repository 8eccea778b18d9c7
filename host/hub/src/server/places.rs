//! Places for connections: so many in all, and so many from one address.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Counts the connections that are open; clones share the count.
#[derive(Debug, Clone)]
pub(super) struct Places(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    max: usize,
    per_address_max: usize,
    /// Written as connections come and go; short sections only.
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    by_address: HashMap<IpAddr, usize>,
}

/// A place; dropping it frees it.
#[derive(Debug)]
pub(super) struct Place {
    places: Places,
    address: IpAddr,
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

    pub(super) fn take(&self, address: IpAddr) -> Result<Place, Full> {
        let address = network(address);
        let mut taken = self.lock();
        if taken.all >= self.0.max {
            return Err(Full::All);
        }
        let of_address = taken.by_address.entry(address).or_default();
        if *of_address >= self.0.per_address_max {
            return Err(Full::Address);
        }
        *of_address += 1;
        taken.all += 1;
        drop(taken);
        Ok(Place {
            places: self.clone(),
            address,
        })
    }

    fn lock(&self) -> MutexGuard<'_, Taken> {
        self.0.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.lock();
        taken.all -= 1;
        let left = taken.by_address.get_mut(&self.address).map(|count| {
            *count -= 1;
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
        places.take(address.parse().unwrap())
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

//! Random numbers that come again with the same seed, for runs that are to be repeated.

use wasmtime_wasi::WasiCtxBuilder;
use wasmtime_wasi::random::Deterministic;

/// Bytes until the numbers repeat themselves; a module under test takes a few.
const PERIOD_BYTES: usize = 64 * 1024;

/// Gives a guest the numbers of a seed.
pub(crate) fn random(wasi: &mut WasiCtxBuilder, seed: u64) {
    let mut numbers = SplitMix64(seed);
    let hash_seed = u128::from(numbers.next()) << 64 | u128::from(numbers.next());
    let mut bytes = || -> Vec<u8> {
        (0..PERIOD_BYTES / 8)
            .flat_map(|_| numbers.next().to_le_bytes())
            .collect()
    };
    wasi.secure_random(Deterministic::new(bytes()))
        .insecure_random(Deterministic::new(bytes()))
        .insecure_random_seed(hash_seed);
}

/// The generator of Steele, Lea and Flood, "Fast splittable pseudorandom number generators" (2014).
struct SplitMix64(u64);

impl SplitMix64 {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_are_those_of_the_paper() {
        let mut numbers = SplitMix64(1_234_567);
        assert_eq!(numbers.next(), 6_457_827_717_110_365_317);
        assert_eq!(numbers.next(), 3_203_168_211_198_807_973);
    }
}

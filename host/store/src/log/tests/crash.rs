//! Power cuts and failures at any moment, and the proof that these tests find what they look for.

use super::story::{POWER_CUTS, Plot, Story, tell};
use crate::disk::faults::Survivors;
use crate::log::site;
use crate::volume::simulated::{Failure, SimulatedVolume};

/// Stories per test; each has several power cuts.
const STORIES: u64 = 1000;

fn plot(seed: u64) -> Plot {
    Plot {
        seed,
        // Every other story has no faults but the power cuts.
        fail_one_in: [None, Some(12), None, Some(40)][(seed % 4) as usize],
        switched_off: None,
    }
}

#[test]
fn after_thousands_of_power_cuts_all_that_was_synced_is_there_without_holes() {
    for seed in 0..STORIES {
        tell(plot(seed)).unwrap_or_else(|wrong| panic!("seed {seed}: {wrong}"));
    }
}

#[test]
fn with_any_one_sync_switched_off_these_tests_fail_within_two_thousand_power_cuts() {
    for site in site::ALL {
        let failed = (0..2000 / POWER_CUTS as u64).find(|seed| {
            let plot = Plot {
                switched_off: Some(site),
                ..plot(*seed)
            };
            let missed = tell(plot).is_err();
            // It is the sync that they miss, and nothing else.
            assert_eq!(tell(self::plot(*seed)), Ok(()));
            missed
        });
        assert!(failed.is_some(), "nobody misses the sync `{}`", site.0);
    }
}

/// One story, with the power cut or a failure at each of its operations in turn.
fn at_every_operation(prepare: impl Fn(&SimulatedVolume, usize)) {
    const SEED: u64 = 7;
    const STEPS: usize = 60;
    let undisturbed = {
        let mut story = Story::begin(SimulatedVolume::new(SEED), SEED);
        story.steps(STEPS).unwrap();
        story.volume.figures().operations
    };
    assert!(undisturbed > 80, "{undisturbed}");
    for survivors in [Survivors::Synced, Survivors::Written, Survivors::Torn(SEED)] {
        for operation in 0..undisturbed {
            let mut story = Story::begin(SimulatedVolume::new(SEED), SEED);
            prepare(&story.volume, operation);
            let told = story
                .steps(STEPS)
                .and_then(|()| story.after_power_cut(survivors));
            told.unwrap_or_else(|wrong| panic!("{survivors:?} at {operation}: {wrong}"));
        }
    }
}

#[test]
fn the_power_may_go_at_every_operation() {
    at_every_operation(|volume, operation| volume.cut_power_at(operation));
}

#[test]
fn every_operation_may_fail_once_and_the_log_goes_on() {
    for failure in [Failure::Full, Failure::Device] {
        at_every_operation(|volume, operation| volume.fail(operation..operation + 1, failure));
    }
}

#[test]
fn any_run_of_operations_may_fail_and_the_log_goes_on() {
    for length in [2, 20] {
        at_every_operation(|volume, operation| {
            volume.fail(operation..operation + length, Failure::Device);
        });
    }
}

use super::*;

const DAY_MS: i64 = 24 * 60 * 60 * 1000;

/// A time well after the build.
const NOON_MS: i64 = BUILT_UNIX_MS + 30 * DAY_MS;

/// Two clocks that are set by hand.
#[derive(Clone)]
struct Hands {
    clocks: Arc<Mutex<(i64, Instant)>>,
}

impl Source for Hands {
    fn wall(&self) -> Timestamp {
        Timestamp::from_unix_millis(self.clocks.lock().unwrap().0)
    }

    fn monotonic(&self) -> Instant {
        self.clocks.lock().unwrap().1
    }
}

impl Hands {
    fn at(wall_unix_ms: i64) -> Self {
        let clocks = Arc::new(Mutex::new((wall_unix_ms, Instant::now())));
        Self { clocks }
    }

    fn pass(&self, ms: i64) {
        let mut clocks = self.clocks.lock().unwrap();
        clocks.0 += ms;
        clocks.1 += Duration::from_millis(ms.unsigned_abs());
    }

    fn set(&self, wall_unix_ms: i64) {
        self.clocks.lock().unwrap().0 = wall_unix_ms;
    }

    fn clock(&self, latest_unix_ms: Option<i64>) -> HubClock {
        let latest = latest_unix_ms.map(Timestamp::from_unix_millis);
        HubClock::from_source(Box::new(self.clone()), latest)
    }
}

fn at(unix_ms: i64) -> Timestamp {
    Timestamp::from_unix_millis(unix_ms)
}

#[test]
fn a_time_before_the_build_or_before_what_was_seen_cannot_be() {
    let check = |wall: i64, latest: Option<i64>, expected: bool| {
        let clock = Hands::at(wall).clock(latest);
        assert_eq!(clock.is_plausible(), expected, "{wall} {latest:?}");
        assert_eq!(clock.latest().is_some(), expected);
    };
    check(0, None, false);
    check(BUILT_UNIX_MS - 1, None, false);
    check(BUILT_UNIX_MS, None, true);
    check(NOON_MS, Some(NOON_MS - DAY_MS), true);
    check(NOON_MS, Some(NOON_MS + BACKWARD_MAX_MS), true);
    check(NOON_MS, Some(NOON_MS + BACKWARD_MAX_MS + 1), false);
    // A file that says little does not make an old time a good one.
    check(DAY_MS, Some(0), false);
}

#[test]
fn what_a_hub_says_is_taken_over_and_goes_on() {
    let hands = Hands::at(DAY_MS);
    let clock = hands.clock(None);
    assert!(!clock.is_plausible());
    assert!(clock.adopt(at(NOON_MS), Duration::from_secs(2)));
    assert_eq!(clock.now(), at(NOON_MS + 2000));
    assert!(clock.is_plausible());
    hands.pass(DAY_MS);
    assert_eq!(clock.now(), at(NOON_MS + 2000 + DAY_MS));
    assert_eq!(clock.latest(), Some(clock.now()));
    assert_eq!(clock.offset_ms(), NOON_MS + 2000 - DAY_MS);
    assert_eq!(
        clock.current_time().unwrap().as_secs(),
        u64::try_from((NOON_MS + DAY_MS) / 1000 + 2).unwrap()
    );
}

#[test]
fn certificates_are_judged_by_what_was_seen_while_the_clock_cannot_be_right() {
    let check = |wall: i64, latest: Option<i64>, expected_ms: i64| {
        let judged = Hands::at(wall).clock(latest).current_time().unwrap();
        assert_eq!(judged.as_secs(), u64::try_from(expected_ms / 1000).unwrap());
    };
    check(NOON_MS, None, NOON_MS);
    check(DAY_MS, None, BUILT_UNIX_MS);
    check(DAY_MS, Some(NOON_MS), NOON_MS);
    check(NOON_MS - DAY_MS, Some(NOON_MS), NOON_MS);
}

#[test]
fn a_hub_whose_own_time_cannot_be_is_not_believed() {
    let clock = Hands::at(NOON_MS).clock(None);
    assert!(!clock.adopt(at(BUILT_UNIX_MS - 1), Duration::ZERO));
    assert_eq!((clock.now(), clock.offset_ms()), (at(NOON_MS), 0));
}

#[test]
fn a_hub_sets_right_what_was_seen_too_late() {
    let hands = Hands::at(NOON_MS);
    let clock = hands.clock(Some(NOON_MS + 900 * DAY_MS));
    assert!(!clock.is_plausible());
    clock.adopt(at(NOON_MS + 10), Duration::ZERO);
    assert!(clock.is_plausible());
    assert_eq!(clock.latest(), Some(at(NOON_MS + 10)));
}

#[test]
fn the_systems_clock_is_followed_until_a_hub_said_the_time() {
    let hands = Hands::at(NOON_MS);
    let clock = hands.clock(None);
    for jump in [DAY_MS, 400 * DAY_MS, 10_000] {
        hands.set(NOON_MS + jump);
        assert_eq!(clock.now(), at(NOON_MS + jump));
    }
    // It was later before.
    assert!(!clock.is_plausible());
    hands.set(NOON_MS + 500 * DAY_MS);
    assert!(clock.is_plausible());
}

#[test]
fn when_the_systems_clock_is_set_the_hub_is_believed() {
    let hands = Hands::at(DAY_MS);
    let clock = hands.clock(None);
    clock.adopt(at(NOON_MS), Duration::ZERO);
    // Forward and back, by a little and by much, with time that passes.
    let mut expected = NOON_MS;
    for jump in [2 * DAY_MS, 0, 90 * DAY_MS, NOON_MS - DAY_MS] {
        hands.set(jump);
        hands.pass(1500);
        expected += 1500;
        assert_eq!(clock.now(), at(expected), "{jump}");
        assert!(clock.is_plausible());
    }
}

#[test]
fn a_systems_clock_that_is_set_to_what_the_hub_said_is_followed_again() {
    let hands = Hands::at(DAY_MS);
    let clock = hands.clock(None);
    clock.adopt(at(NOON_MS), Duration::ZERO);
    hands.set(NOON_MS + 900);
    assert_eq!((clock.now(), clock.offset_ms()), (at(NOON_MS + 900), 0));
    // From now on as if no hub had been asked.
    hands.set(NOON_MS + DAY_MS);
    assert_eq!(clock.now(), at(NOON_MS + DAY_MS));
}

#[test]
fn a_clock_that_is_slewed_is_not_one_that_was_set() {
    let hands = Hands::at(DAY_MS);
    let clock = hands.clock(None);
    clock.adopt(at(NOON_MS), Duration::ZERO);
    let offset_ms = clock.offset_ms();
    for _ in 0..1000 {
        hands.pass(900_000);
        let slewed = hands.wall().unix_millis() + 450;
        hands.set(slewed);
        assert_eq!(clock.offset_ms(), offset_ms);
    }
}

#[test]
fn times_at_the_ends_of_what_can_be_written_do_no_harm() {
    let hands = Hands::at(i64::MAX);
    let clock = hands.clock(Some(i64::MIN));
    clock.adopt(at(i64::MAX), Duration::MAX);
    hands.set(i64::MIN);
    clock.now();
    clock.adopt(at(NOON_MS), Duration::ZERO);
    assert_eq!(clock.now(), at(NOON_MS));
}

//! Times to live over restarts: in the same boot, and in another with clocks that can be believed or not.

use super::*;

const TTL: Duration = Duration::from_secs(100);

fn reading(boot: u8, since_boot: u64, wall: u64, is_synchronised: bool) -> ClockReading {
    ClockReading {
        boot_id: [boot; 16],
        since_boot: Duration::from_secs(since_boot),
        wall: Duration::from_secs(1_700_000_000 + wall),
        is_synchronised,
    }
}

fn open_at(volume: &SimulatedVolume, reading: ClockReading) -> (Journal, Recovered) {
    let mut settings = settings(4096);
    settings.machine = Arc::new(SetClock(Mutex::new(reading)));
    Journal::open(Arc::new(volume.clone()), settings).unwrap()
}

/// Stores a message with a time to live at one reading, and tells how long it is left at another.
#[track_caller]
fn check(before: ClockReading, after: ClockReading, left: u64) {
    let volume = SimulatedVolume::new(1);
    let (journal, recovered) = open_at(&volume, before);
    let mut lane = journal.lane(&lane_name("in"));
    let mut message = new_message(recovered.next_sequence, "a", &[lane.next_place()]);
    message.targets[0].time_to_live = Some(TTL);
    message.taken_at = journal.shared().clock.instant(0);
    commit(&journal, sent(message), Durability::Power);
    drop(journal);

    let (journal, recovered) = open_at(&volume, after);
    let stored = load_all(&journal, recovered.lanes[0].handle.id()).remove(0);
    let opened_at = journal
        .shared()
        .clock
        .instant(journal.shared().clock.at(wasm_edge_clock::now()));
    let expires_at = stored.expires_at.expect("it has a time to live");
    // The time that the test itself takes counts too.
    let seconds = expires_at
        .saturating_duration_since(opened_at)
        .as_secs_f64();
    let expected = Duration::from_secs(left).as_secs_f64();
    assert!(
        seconds <= expected && seconds > expected - 60.0 || expected == 0.0 && seconds == 0.0,
        "{seconds} s left"
    );
    assert!(stored.taken_at <= expires_at);
}

#[test]
fn a_restart_in_the_same_boot_counts_by_the_time_since_boot() {
    check(reading(1, 10, 0, false), reading(1, 30, 0, false), 80);
    check(reading(1, 10, 0, true), reading(1, 500, 0, true), 0);
}

#[test]
fn another_boot_counts_by_the_wall_clock_where_it_can_be_believed() {
    check(reading(1, 10, 0, true), reading(2, 5, 30, true), 70);
    check(reading(1, 10, 0, true), reading(2, 5, 1_000, true), 0);
    check(reading(1, 10, 0, false), reading(2, 5, 1_000, true), 100);
    check(reading(1, 10, 0, true), reading(2, 5, 1_000, false), 100);
    // The wall clock was set back.
    check(reading(1, 10, 500, true), reading(2, 5, 0, true), 100);
}

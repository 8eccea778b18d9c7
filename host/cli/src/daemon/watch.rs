//! Watches over the parts of the running device: feeds the service manager's watchdog as long as they answer, and ends
//! the process when one has gone.

use std::time::Duration;

use wasm_edge_daemon::pulse::Beat;

use super::Running;
use super::notify::ServiceManager;
use crate::exit_codes::ExitStatus;
use crate::failure::Failure;

/// How often the parts are asked where no watchdog says so.
const LOOK_EVERY: Duration = Duration::from_secs(20);

/// Looks forever; answers only with why the process has to end.
pub(super) async fn over(running: &Running, manager: &ServiceManager) -> Failure {
    // A watchdog is to be fed twice in its time.
    let every = manager.watchdog().map_or(LOOK_EVERY, |time| time / 2);
    loop {
        let mut answer = true;
        for (part, pulse) in running.device.pulses() {
            match pulse.feel(every / 4).await {
                Beat::Felt => {}
                Beat::Late => {
                    tracing::error!(part, "a part of the device does not answer");
                    answer = false;
                }
                Beat::Gone => {
                    let what = format!("the device's {part} has ended by itself");
                    return Failure::new(ExitStatus::Failure, what)
                        .hint("the log says why; a service manager starts the device again");
                }
            }
        }
        if answer {
            manager.alive();
        }
        manager.status(&running.outside.status());
        tokio::time::sleep(every / 2).await;
    }
}

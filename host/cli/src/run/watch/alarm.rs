//! Rings when something happens to files. What happened is for who hears it to find out: rings may come for nothing,
//! several changes may be one ring, and none is lost between two looks.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use notify::event::{AccessKind, AccessMode};
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::Notify;

/// After a ring, so long without another one means that who writes is done.
const QUIET: Duration = Duration::from_millis(40);

/// Who writes on and on is not waited for any longer than this.
const QUIET_WAIT_MAX: Duration = Duration::from_millis(400);

/// Looks at folders, by the system's own notices.
pub(super) struct Alarm {
    watcher: RecommendedWatcher,
    rang: Arc<Notify>,
    /// What is looked at now.
    armed: BTreeMap<PathBuf, RecursiveMode>,
}

impl Alarm {
    /// An alarm that looks at nothing yet.
    ///
    /// # Errors
    /// Where the system gives no notices, or no more of them.
    pub(super) fn new() -> notify::Result<Self> {
        let rang = Arc::new(Notify::new());
        let ring = Arc::clone(&rang);
        let watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
            // An error may stand for notices that were lost.
            if event.as_ref().map_or(true, is_change) {
                ring.notify_one();
            }
        })?;
        Ok(Self {
            watcher,
            rang,
            armed: BTreeMap::new(),
        })
    }

    /// Looks at the folders that these files lie in, and at these folders with all that is below; at nothing else.
    ///
    /// Also when all are the same as before: a folder that was removed and made anew is another one. Blocks.
    ///
    /// # Errors
    /// Where the system looks at no more folders.
    pub(super) fn arm(&mut self, files: &[PathBuf], folders: &[PathBuf]) -> notify::Result<()> {
        for path in std::mem::take(&mut self.armed).into_keys() {
            // One that is gone is not looked at any more already.
            drop(self.watcher.unwatch(&path));
        }
        for folder in folders {
            self.look_at(folder, RecursiveMode::Recursive)?;
        }
        for file in files {
            self.look_at(file.parent().unwrap_or(file), RecursiveMode::NonRecursive)?;
        }
        Ok(())
    }

    /// A folder that is not there is seen to come by the one above.
    fn look_at(&mut self, folder: &Path, mode: RecursiveMode) -> notify::Result<()> {
        let mut mode = mode;
        for place in folder.ancestors() {
            if self.armed.contains_key(place) {
                return Ok(());
            }
            match self.watcher.watch(place, mode) {
                Ok(()) => {
                    self.armed.insert(place.to_owned(), mode);
                    return Ok(());
                }
                Err(err) if is_absent(&err) => mode = RecursiveMode::NonRecursive,
                Err(err) => return Err(err),
            }
        }
        Ok(())
    }

    /// Who waits for a ring; goes on while the alarm is armed elsewhere.
    pub(super) fn ear(&self) -> Ear {
        Ear {
            rang: Arc::clone(&self.rang),
        }
    }
}

/// Hears an alarm.
pub(super) struct Ear {
    rang: Arc<Notify>,
}

impl Ear {
    /// Waits for a ring, one that came before included, and then until it is quiet for a moment.
    pub(super) async fn wait(&self) {
        self.rang.notified().await;
        let quiet = async {
            while tokio::time::timeout(QUIET, self.rang.notified())
                .await
                .is_ok()
            {}
        };
        // Who writes on and on is looked at in between.
        let _ = tokio::time::timeout(QUIET_WAIT_MAX, quiet).await;
    }
}

/// Whether an event can mean another content. Opening and reading is what the look itself does.
fn is_change(event: &Event) -> bool {
    match event.kind {
        EventKind::Access(kind) => kind == AccessKind::Close(AccessMode::Write),
        _ => true,
    }
}

fn is_absent(err: &notify::Error) -> bool {
    use std::io::ErrorKind::{NotADirectory, NotFound};
    match &err.kind {
        notify::ErrorKind::PathNotFound => true,
        notify::ErrorKind::Io(err) => matches!(err.kind(), NotFound | NotADirectory),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// Waits for a ring after `change`; a test that hears none hangs and is ended by its runner's limit.
    async fn rings(
        alarm: &mut Alarm,
        files: &[PathBuf],
        folders: &[PathBuf],
        change: impl FnOnce(),
    ) {
        alarm.arm(files, folders).unwrap();
        change();
        alarm.ear().wait().await;
    }

    #[tokio::test]
    async fn each_way_of_writing_a_file_rings() {
        let folder = tempfile::tempdir().unwrap();
        let here = folder.path();
        let file = here.join("sub/a.json");
        let files = [file.clone()];
        let mut alarm = Alarm::new().unwrap();
        // Neither the folder nor the file is there yet.
        rings(&mut alarm, &files, &[], || {
            fs::create_dir(here.join("sub")).unwrap();
        })
        .await;
        rings(&mut alarm, &files, &[], || fs::write(&file, "1").unwrap()).await;
        rings(&mut alarm, &files, &[], || fs::write(&file, "2").unwrap()).await;
        rings(&mut alarm, &files, &[], || {
            fs::write(here.join("sub/b"), "3").unwrap();
            fs::rename(here.join("sub/b"), &file).unwrap();
        })
        .await;
        rings(&mut alarm, &files, &[], || fs::remove_file(&file).unwrap()).await;
        rings(&mut alarm, &files, &[], || {
            fs::remove_dir_all(here.join("sub")).unwrap();
        })
        .await;
        rings(&mut alarm, &files, &[], || {
            fs::create_dir(here.join("sub")).unwrap();
        })
        .await;
        rings(&mut alarm, &files, &[], || fs::write(&file, "4").unwrap()).await;
    }

    #[tokio::test]
    async fn folders_ring_for_all_that_is_below() {
        let folder = tempfile::tempdir().unwrap();
        let here = folder.path().join("src");
        let deep = here.join("a/b");
        fs::create_dir_all(&deep).unwrap();
        let mut alarm = Alarm::new().unwrap();
        let folders = [here];
        rings(&mut alarm, &[], &folders, || {
            fs::write(deep.join("c.rs"), "").unwrap();
        })
        .await;
    }

    #[test]
    fn reading_does_not_ring() {
        use notify::event::{CreateKind, RemoveKind};
        let check = |kind, expected| assert_eq!(is_change(&Event::new(kind)), expected, "{kind:?}");
        check(EventKind::Access(AccessKind::Open(AccessMode::Any)), false);
        check(
            EventKind::Access(AccessKind::Close(AccessMode::Read)),
            false,
        );
        check(
            EventKind::Access(AccessKind::Close(AccessMode::Write)),
            true,
        );
        check(EventKind::Create(CreateKind::File), true);
        check(EventKind::Remove(RemoveKind::Folder), true);
        check(EventKind::Other, true);
    }
}

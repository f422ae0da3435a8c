//! Whether the target still exists is decided at the very moment of publishing.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use fs_err as fs;
use wholefile::{AtomicWriter, ErrorKind, Publish, Step, TargetState};

use crate::dir::{Dir, Stop, wait_until};
use crate::place::{Feature, lacks};

#[test]
fn a_target_that_is_removed_at_the_last_moment_does_not_come_back() {
    const MIN_MISSED_AT_PUBLISH: usize = 5;
    if lacks(&[Feature::Exchange]) {
        return;
    }
    let dir = Dir::new();
    let target = dir.path("target");
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let stop = Stop(&done);
        let remover = scope.spawn(|| {
            // Bounded by the writer, which has a deadline.
            while !done.load(Ordering::Relaxed) {
                dir.write("target", "theirs");
                fs::remove_file(&target).unwrap();
                let came_back = (0..50).any(|_| target.exists());
                assert!(!came_back, "a file that was removed has been created");
            }
        });
        let mut builder = AtomicWriter::builder();
        builder.durability(wholefile::Durability::None).publish(Publish::Existing);
        let (mut missed, mut replaced) = (0, 0);
        wait_until("the target was removed at the last moment", || {
            match builder.write(&target, "new") {
                Ok(_) => replaced += 1,
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::NotFound);
                    assert_eq!(error.target_state(), TargetState::Untouched);
                    missed += usize::from(error.step() == Step::Publish);
                }
            }
            let enough = missed >= MIN_MISSED_AT_PUBLISH && replaced > 0;
            enough || remover.is_finished()
        });
        drop(stop);
        remover.join().unwrap();
    });
    dir.assert_only(&[]);
}

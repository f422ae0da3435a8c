//! Saving in the background: what is on disk when, how many commits it takes, and who is told.

use std::env;
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use fs_err as fs;
use wholefile::{
    AtomicWriter, Durability, Error, ErrorKind, Outcome, Saver, SaverBuilder, Step, TargetState,
};

use crate::dir::{Dir, wait_until};
use crate::place::{Feature, lacks};

/// What the callback was told.
type Told = Arc<Mutex<Vec<Result<Outcome, ErrorKind>>>>;

/// A saver that commits only when somebody waits for it, and the record of its commits.
fn patient() -> (SaverBuilder, Told) {
    let told = Told::default();
    let record = Arc::clone(&told);
    let mut builder = Saver::builder();
    builder
        .options(AtomicWriter::builder().durability(Durability::None))
        .debounce(Duration::MAX)
        .max_delay(Duration::MAX)
        .on_commit(move |result| {
            let result = result.map(wholefile::Commit::outcome).map_err(Error::kind);
            record.lock().unwrap().push(result);
        });
    (builder, told)
}

/// Lets the callback wait for the test: it says that it was called, and goes on when it may.
fn stopped(builder: &mut SaverBuilder) -> (Receiver<()>, Sender<()>) {
    let (called, is_called) = channel();
    let (go, may_go) = channel();
    let may_go = Mutex::new(may_go);
    builder.on_commit(move |_| {
        called.send(()).unwrap();
        may_go.lock().unwrap().recv().unwrap();
    });
    (is_called, go)
}

#[test]
fn what_is_printed_for_debugging_tells_what_was_set() {
    let mut builder = Saver::builder();
    builder.options(AtomicWriter::builder().buffer_size(4321)).debounce(Duration::from_secs(7));
    let text = format!("{builder:?}");
    assert!(["SaverBuilder", "4321", "7s"].iter().all(|it| text.contains(it)), "{text}");
    let dir = Dir::new();
    let text = format!("{:?}", builder.open(dir.path("its target")).unwrap());
    assert!(["Saver", "its target"].iter().all(|it| text.contains(it)), "{text}");
}

#[test]
fn a_thousand_saves_take_one_commit_and_the_last_is_on_disk() {
    let dir = Dir::new();
    let (builder, told) = patient();
    let saver = builder.open(dir.path("target")).unwrap();
    for number in 1..=1000 {
        saver.save(number.to_string()).unwrap();
    }
    assert_eq!(dir.names(), Vec::<String>::new());
    assert!(saver.last_commit().is_none());
    saver.flush().unwrap();
    assert_eq!(dir.read("target"), "1000");
    assert_eq!(*told.lock().unwrap(), [Ok(Outcome::Created)]);
    assert_eq!(saver.last_commit().unwrap().len(), 4);
    // Nothing has changed since.
    saver.flush().unwrap();
    drop(saver);
    assert_eq!(told.lock().unwrap().len(), 1);
    dir.assert_only(&["target"]);
}

#[test]
fn all_that_is_saved_while_a_commit_runs_takes_one_more() {
    let dir = Dir::new();
    let (mut builder, _) = patient();
    let (is_called, go) = stopped(builder.debounce(Duration::ZERO));
    let saver = builder.open(dir.path("target")).unwrap();
    saver.save("first").unwrap();
    is_called.recv().unwrap();
    for number in 1..1000 {
        saver.save(number.to_string()).unwrap();
    }
    assert_eq!(dir.read("target"), "first");
    (0..2).for_each(|_| go.send(()).unwrap());
    drop((saver, builder)); // and with them the callback
    assert_eq!(dir.read("target"), "999");
    assert_eq!(is_called.iter().count(), 1, "commits after the first");
}

#[test]
fn a_save_reaches_the_disk_by_itself() {
    let (soon, never) = (Duration::from_millis(1), Duration::MAX);
    for (debounce, max_delay) in [(Duration::ZERO, never), (soon, never), (never, soon)] {
        let dir = Dir::new();
        let (mut builder, _) = patient();
        let saver = builder.debounce(debounce).max_delay(max_delay).open(dir.path("target"));
        let saver = saver.unwrap();
        for contents in ["one", "two"] {
            saver.save(contents).unwrap();
            // Where a file that is open is replaced in two steps, there may be none for a moment.
            let has = |seen: Vec<u8>| seen == contents.as_bytes();
            let is_saved =
                || saver.last_commit().is_some() && fs::read(dir.path("target")).is_ok_and(has);
            wait_until("it is saved", is_saved);
        }
    }
    let dir = Dir::new();
    let saver = Saver::open(dir.path("target")).unwrap();
    saver.save("with the defaults").unwrap();
    wait_until("it is saved", || saver.last_commit().is_some());
    assert_eq!(dir.read("target"), "with the defaults");
    assert!(saver.last_commit().unwrap().durability() >= Durability::Ordered);
}

#[test]
fn a_flush_means_that_what_this_thread_handed_over_is_saved() {
    if lacks(&[Feature::OneStep]) {
        return;
    }
    const THREADS: usize = 8;
    const SAVES: usize = 50;
    let dir = Dir::new();
    let (builder, told) = patient();
    let saver = builder.open(dir.path("target")).unwrap();
    let next = Mutex::new(0_usize);
    thread::scope(|scope| {
        for _ in 0..THREADS {
            let (saver, next, dir) = (saver.clone(), &next, &dir);
            scope.spawn(move || {
                for _ in 0..SAVES {
                    let number = {
                        let mut next = next.lock().unwrap();
                        *next += 1;
                        saver.save(next.to_string()).unwrap();
                        *next
                    };
                    saver.flush().unwrap();
                    assert!(dir.read("target").parse::<usize>().unwrap() >= number);
                }
            });
        }
    });
    assert_eq!(dir.read("target"), (THREADS * SAVES).to_string());
    assert!(told.lock().unwrap().len() <= THREADS * SAVES);
    dir.assert_only(&["target"]);
}

#[test]
fn a_failure_is_told_and_its_contents_are_kept() {
    let dir = Dir::new();
    let (builder, told) = patient();
    let saver = builder.open(dir.path("later/target")).unwrap();
    saver.save("kept").unwrap();
    for _ in 0..2 {
        let error = saver.flush().unwrap_err();
        assert_eq!((error.kind(), error.step()), (ErrorKind::NotFound, Step::Resolve));
        assert_eq!(error.target_state(), TargetState::Untouched);
        assert!(error.io_error().unwrap().raw_os_error().is_some(), "{error:?}");
    }
    fs::create_dir(dir.path("later")).unwrap();
    saver.flush().unwrap();
    assert_eq!(dir.read("later/target"), "kept");
    let missing = Err(ErrorKind::NotFound);
    assert_eq!(*told.lock().unwrap(), [missing, missing, Ok(Outcome::Created)]);
}

#[test]
fn the_next_save_is_told_of_a_failure_once_and_is_taken() {
    let dir = Dir::new();
    let (mut builder, told) = patient();
    let saver = builder.debounce(Duration::ZERO).open(dir.path("later/target")).unwrap();
    saver.save("first").unwrap();
    // Told to the callback first, and then to the next who calls.
    let mut tries = 0;
    let error = loop {
        wait_until("the commit has failed", || told.lock().unwrap().len() > tries);
        match saver.save("second") {
            Err(error) => break error,
            Ok(()) => tries += 1,
        }
    };
    assert_eq!(error.kind(), ErrorKind::NotFound);
    fs::create_dir(dir.path("later")).unwrap();
    // By now the second may have failed as well, or be about to; either way it is not lost.
    if let Err(error) = saver.flush() {
        assert_eq!(error.kind(), ErrorKind::NotFound);
        saver.flush().unwrap();
    }
    assert_eq!(dir.read("later/target"), "second");
    saver.save("third").unwrap();
}

#[test]
fn all_who_wait_are_told_of_the_failure() {
    let dir = Dir::new();
    let (builder, told) = patient();
    let saver = builder.open(dir.path("missing/target")).unwrap();
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let _ = saver.save("contents"); // it may be told, too
                assert_eq!(saver.flush().unwrap_err().kind(), ErrorKind::NotFound);
            });
        }
    });
    assert!(told.lock().unwrap().iter().all(Result::is_err));
}

#[test]
fn the_last_handle_saves_what_is_not_saved_and_no_other_does() {
    let dir = Dir::new();
    let (builder, told) = patient();
    let saver = builder.open(dir.path("later/target")).unwrap();
    saver.save("contents").unwrap();
    drop(saver.clone());
    assert_eq!(told.lock().unwrap().len(), 0);
    saver.flush().unwrap_err();
    fs::create_dir(dir.path("later")).unwrap();
    drop(saver); // tries what failed once more
    assert_eq!(dir.read("later/target"), "contents");
    assert_eq!(told.lock().unwrap().len(), 2);
}

#[test]
fn a_drop_that_cannot_save_ends_and_tells_the_callback() {
    let dir = Dir::new();
    let (builder, told) = patient();
    let saver = builder.open(dir.path("missing/target")).unwrap();
    saver.save("contents").unwrap();
    drop(saver);
    assert_eq!(*told.lock().unwrap(), [Err(ErrorKind::NotFound)]);
}

#[test]
fn a_callback_that_panics_does_not_end_the_saver() {
    let dir = Dir::new();
    let (mut builder, _) = patient();
    let saver = builder.on_commit(|_| panic!("in the callback")).open(dir.path("target")).unwrap();
    for contents in ["one", "two"] {
        saver.save(contents).unwrap();
        saver.flush().unwrap();
        assert_eq!(dir.read("target"), contents);
    }
}

/// What a callback does with the saver it belongs to, which it finds in a slot.
#[track_caller]
fn check_in_callback(act: fn(&mut Option<Saver>), expected: &str) {
    let dir = Dir::new();
    let slot: Arc<Mutex<Option<Saver>>> = Arc::default();
    let (sender, is_called) = channel();
    let (mut builder, _) = patient();
    builder.debounce(Duration::ZERO).on_commit({
        let slot = Arc::clone(&slot);
        move |_| {
            act(&mut slot.lock().unwrap());
            let _ = sender.send(());
        }
    });
    let mut owner = slot.lock().unwrap();
    let saver = builder.open(dir.path("target")).unwrap();
    saver.save("first").unwrap();
    *owner = Some(saver);
    drop((owner, builder));
    is_called.recv_timeout(Duration::from_secs(120)).expect("the callback comes to its end");
    let saver = slot.lock().unwrap().take();
    drop(saver); // without the lock, since it waits for the callback
    wait_until("the thread has ended", || Arc::strong_count(&slot) == 1);
    assert_eq!(dir.read("target"), expected);
}

#[test]
fn a_callback_may_use_its_saver_and_drop_it() {
    check_in_callback(drop_in_place, "first");
    check_in_callback(save_and_drop, "second");
    check_in_callback(flush_and_save_once, "second");
}

fn drop_in_place(saver: &mut Option<Saver>) {
    drop(saver.take());
}

fn save_and_drop(saver: &mut Option<Saver>) {
    if let Some(saver) = saver.take() {
        saver.save("second").unwrap();
    }
}

fn flush_and_save_once(saver: &mut Option<Saver>) {
    let Some(saver) = saver else { return };
    let error = saver.flush().unwrap_err();
    assert_eq!((error.kind(), error.step()), (ErrorKind::Deadlock, Step::Save));
    assert_eq!(std::io::Error::from(error).kind(), std::io::ErrorKind::Deadlock);
    if saver.last_commit().is_none() {
        saver.save("second").unwrap();
    }
}

#[test]
fn a_path_that_can_never_be_saved_is_an_error_of_the_commit() {
    let dir = Dir::new();
    fs::create_dir(dir.path("directory")).unwrap();
    let (builder, _) = patient();
    for (path, kind) in [
        (dir.path(""), ErrorKind::InvalidPath),
        (Path::new("").into(), ErrorKind::InvalidPath),
        (Path::new("..").into(), ErrorKind::InvalidPath),
        (dir.path("directory"), ErrorKind::IsADirectory),
    ] {
        let saver = builder.open(&path).unwrap();
        saver.save("contents").unwrap();
        assert_eq!(saver.flush().unwrap_err().kind(), kind, "{path:?}");
    }
    dir.assert_only(&["directory"]);
}

#[test]
fn a_relative_path_is_absolute_from_the_start() {
    let saver = Saver::open("some/target").unwrap();
    assert_eq!(saver.path(), env::current_dir().unwrap().join("some/target"));
    let saver = Saver::open(Path::new("./a/../b")).unwrap();
    assert_eq!(saver.path(), env::current_dir().unwrap().join("./a/../b"));
}

#[test]
fn nothing_shows_the_contents_and_handles_go_everywhere() {
    fn check<T: Clone + Send + Sync + std::fmt::Debug>(it: &T) -> String {
        format!("{it:?}")
    }
    let dir = Dir::new();
    let (builder, _) = patient();
    let saver = builder.open(dir.path("target")).unwrap();
    saver.save("a secret").unwrap();
    let bytes = format!("{:?}", b"a secret");
    for shown in [check(&saver), check(&builder)] {
        assert!(!shown.contains("a secret") && !shown.contains(&bytes), "{shown}");
    }
}

//! What fails, or dies, while somebody else's is put back.

use std::io;
use std::path::{Path, PathBuf};

use super::{CASES, Deed, Run, clean, exchange_in, run};
use crate::fault::{Fault, Op};
use crate::fault_loops::cases::NEW;
use crate::fault_loops::{faults_of, has_the_documented_name, is_of_a_lock};
use crate::{ErrorKind, TargetState, sys};

#[test]
fn what_was_displaced_is_kept_whatever_fails_or_dies_meanwhile() {
    let (mut stuck, mut deaths) = (0, 0);
    for case in CASES {
        let exchange = exchange_in(&clean(case));
        let intruder = [Deed::Replace.at(exchange)];
        let conflict = run(case, &intruder, None);
        for (index, op) in conflict.plan.log.iter().copied().enumerate().skip(exchange + 1) {
            for fault in faults_of(op) {
                let name = format!("{}: {op:?} at {index} {fault:?}", case.name);
                let run = run(case, &intruder, Some((index, fault)));
                let error = run.error();
                let is_theirs = |path: &Path| fs_err::read(path).unwrap() == run.theirs();
                if error.target_state() == TargetState::Untouched {
                    assert_eq!(run.target(), Some(run.theirs()), "{name}: {error:?}");
                } else {
                    assert_eq!(error.kind(), ErrorKind::Conflict, "{name}: {error:?}");
                    assert!(error.leftover().is_some_and(is_theirs), "{name}: {error:?}");
                    check_stuck(&run, op, fault, &name);
                    stuck += 1;
                }
                let mut others = run.place.others();
                others.retain(|other| Some(&**other) != error.leftover());
                others.retain(|other| !is_of_a_lock(other, ".lock"));
                assert_eq!(others, Vec::<PathBuf>::new(), "{name}: {error:?}");
            }
            let run = run(case, &intruder, Some((index, Fault::Die)));
            let mut kept = run.place.others();
            kept.retain(|path| has_the_documented_name(path));
            let is_theirs = |path: &Path| fs_err::read(path).unwrap() == run.theirs();
            let is_kept = is_theirs(&run.place.path()) || kept.iter().any(|path| is_theirs(path));
            assert!(is_kept, "{}: died before {op:?} at {index}: {kept:?}", case.name);
            deaths += 1;
        }
    }
    eprintln!("{stuck} could not be put back, {deaths} deaths");
    assert!(stuck > 10 && deaths > 20, "{stuck} could not be put back, {deaths} deaths");
}

/// What could not be put back is told with the system's own reason, and what became of the target
/// is known unless it could not be looked at.
#[track_caller]
fn check_stuck(run: &Run, op: Op, fault: Fault, name: &str) {
    let (Op::Exchange, Fault::Error(code) | Fault::DoneThenError(code)) = (op, fault) else {
        return;
    };
    let error = run.error();
    let told = error.io_error().and_then(io::Error::raw_os_error);
    assert_eq!(told, Some(code), "{name}: {error:?}");
    let is_new = run.target().as_deref() == Some(NEW);
    assert_eq!(error.target_state() == TargetState::Replaced, is_new, "{name}: {error:?}");
}

/// The target is gone by the time that what was displaced could be put back. Removed, it stays so;
/// but if nobody can tell that it was, it may have been moved, and what was displaced is kept.
#[test]
fn what_was_displaced_is_kept_unless_the_target_is_known_to_have_been_removed() {
    let mut runs = 0;
    for case in CASES {
        let exchange = exchange_in(&clean(case));
        let deeds = [Deed::Replace.at(exchange), Deed::Remove.at(exchange + 1)];
        let log = run(case, &deeds, None).plan.log;
        let asked = log.iter().rposition(|op| *op == Op::Inspect);
        let asked = asked.expect("it is asked whether it was removed");
        for code in sys::errors_of(Op::Inspect) {
            let name = format!("{}: {code}", case.name);
            let run = run(case, &deeds, Some((asked, Fault::Error(code))));
            let error = io::Error::from_raw_os_error(code);
            if sys::is_gone(&error) || error.kind() == io::ErrorKind::Interrupted {
                run.check_conflict(&name);
                assert_eq!(run.target(), None, "{name}");
                run.check_nothing_is_left(&name);
            } else {
                let error = run.error();
                let told = error.io_error().and_then(io::Error::raw_os_error);
                assert_eq!((error.kind(), told), (ErrorKind::Conflict, Some(code)), "{name}");
                let leftover = error.leftover().expect("it is named");
                assert_eq!(fs_err::read(leftover).unwrap(), run.theirs(), "{name}");
            }
            runs += 1;
        }
    }
    assert!(runs > 20, "only {runs} runs");
}

/// That the target is gone is a conflict if the exchange says so, and no explanation of any other
/// failure.
#[test]
fn another_failure_of_the_exchange_is_told_though_the_target_is_gone() {
    for case in CASES {
        let exchange = exchange_in(&clean(case));
        let gone = run(case, &[Deed::Remove.at(exchange)], None);
        gone.check_conflict(case.name);
        gone.check_nothing_is_left(case.name);
        let code = rustix::io::Errno::IO.raw_os_error();
        let fault = Some((exchange, Fault::Error(code)));
        let failed = run(case, &[Deed::Remove.at(exchange)], fault);
        let error = failed.error();
        let told = error.io_error().and_then(io::Error::raw_os_error);
        assert_eq!((error.kind(), told), (ErrorKind::Io, Some(code)), "{}: {error:?}", case.name);
        failed.check_nothing_is_left(case.name);
    }
}

//! The ladder, with the answers of the system made up.

use std::collections::VecDeque;

use super::*;

const FREE: Facts = Facts {
    target: Ok(Attributes { directory: false, read_only: false }),
    delete_target: Ok(()),
    delete_staged: Ok(()),
};

/// A system that gives the answers of a script, and after its end the last one for ever.
#[derive(Debug)]
struct Script {
    answers: VecDeque<(Rung, Result<(), Code>)>,
    facts: Facts,
    put_back: Result<(), Code>,
    remove_backup: Result<(), Code>,
    attempts: Vec<Rung>,
    slept: Duration,
    put_backs: usize,
    removals: usize,
}

impl Script {
    fn new(answers: &[(Rung, Result<(), Code>)]) -> Script {
        Script {
            answers: answers.iter().copied().collect(),
            facts: FREE,
            put_back: Ok(()),
            remove_backup: Ok(()),
            attempts: Vec::new(),
            slept: Duration::ZERO,
            put_backs: 0,
            removals: 0,
        }
    }
}

impl Calls for Script {
    fn attempt(&mut self, rung: Rung) -> Result<(), Code> {
        self.attempts.push(rung);
        let is_next = self.answers.get(1).is_some_and(|(next, _)| *next == rung);
        let stays = self.answers.front().is_some_and(|(now, _)| *now == rung) && !is_next;
        if !stays && self.attempts.len() > 1 {
            self.answers.pop_front();
        }
        let (expected, answer) = *self.answers.front().expect("an answer");
        assert_eq!(rung, expected, "{:?}", self.attempts);
        answer
    }

    fn facts(&mut self) -> Facts {
        self.facts
    }

    fn pause(&mut self, longest: Duration) {
        self.slept += longest;
    }

    fn put_back(&mut self) -> Result<(), Code> {
        self.put_backs += 1;
        self.put_back
    }

    fn remove_backup(&mut self) -> Result<(), Code> {
        self.removals += 1;
        self.remove_backup
    }
}

use Rung::{MoveFile, MoveNew, PosixRename, ReplaceFile};

const LACKING: [Code; 5] = [
    code::INVALID_FUNCTION,
    code::NOT_SUPPORTED,
    code::INVALID_PARAMETER,
    code::CALL_NOT_IMPLEMENTED,
    code::INVALID_LEVEL,
];
const DENIED: [Code; 5] = [
    code::ACCESS_DENIED,
    code::SHARING_VIOLATION,
    code::LOCK_VIOLATION,
    code::DELETE_PENDING,
    code::USER_MAPPED_FILE,
];
const DISK_FULL: Code = 112;

fn run(script: &mut Script, in_use: InUse) -> Result<(), Failure> {
    replace(script, ReadOnly::Refuse, in_use)
}

#[test]
fn where_posix_renames_are_unknown_the_next_rung_is_tried_at_once() {
    for code in LACKING {
        let mut script = Script::new(&[(PosixRename, Err(code)), (MoveFile, Ok(()))]);
        assert_eq!(run(&mut script, InUse::Fail), Ok(()));
        assert_eq!(script.attempts, [PosixRename, MoveFile]);
        assert_eq!(script.slept, Duration::ZERO);
    }
}

#[test]
fn a_failure_that_says_nothing_about_the_rung_is_one_at_once() {
    for code in [DISK_FULL, code::FILE_NOT_FOUND] {
        let mut script = Script::new(&[(PosixRename, Err(code))]);
        assert_eq!(run(&mut script, InUse::TwoSteps), Err(Failure::Untouched(code)));
        assert_eq!(script.attempts, [PosixRename]);
    }
}

#[test]
fn what_is_in_use_is_tried_again_on_the_same_rung() {
    for code in DENIED {
        let answers = [(PosixRename, Err(code)), (PosixRename, Err(code)), (PosixRename, Ok(()))];
        let mut script = Script::new(&answers);
        assert_eq!(run(&mut script, InUse::Fail), Ok(()), "{code}");
        assert_eq!(script.attempts, [PosixRename; 3]);
        assert_eq!(script.slept, Duration::from_millis(1 + 2));
    }
}

#[test]
fn patience_ends_after_about_two_seconds_without_a_second_best() {
    for code in DENIED {
        let mut script = Script::new(&[(PosixRename, Err(code))]);
        assert_eq!(run(&mut script, InUse::TwoSteps), Err(Failure::Untouched(code)));
        assert!(script.slept >= PATIENCE && script.slept < PATIENCE + LONGEST_PAUSE);
        assert!(script.attempts.len() > 30, "{} tries", script.attempts.len());
        // A system with POSIX renames could not do it in two steps either.
        assert!(script.attempts.iter().all(|rung| *rung == PosixRename));
    }
}

#[test]
fn a_real_denial_is_an_error_at_once() {
    let attributes = |directory, read_only| Ok(Attributes { directory, read_only });
    let denied = Err(code::ACCESS_DENIED);
    let cases = [
        Facts { target: attributes(true, false), ..FREE },
        Facts { target: attributes(false, true), ..FREE },
        Facts { delete_target: denied, ..FREE },
        Facts { delete_staged: denied, ..FREE },
        Facts { target: Err(code::FILE_NOT_FOUND), delete_staged: denied, ..FREE },
    ];
    for facts in cases {
        let lacking = Err(code::INVALID_PARAMETER);
        let mut script = Script::new(&[(PosixRename, lacking), (MoveFile, denied)]);
        script.facts = facts;
        let failure = Failure::Untouched(code::ACCESS_DENIED);
        assert_eq!(run(&mut script, InUse::TwoSteps), Err(failure), "{facts:?}");
        assert_eq!(script.attempts, [PosixRename, MoveFile], "{facts:?}");
        assert_eq!(script.slept, Duration::ZERO, "{facts:?}");
    }
}

#[test]
fn what_will_pass_is_waited_for() {
    let in_use = Err(code::SHARING_VIOLATION);
    let read_only = Ok(Attributes { directory: false, read_only: true });
    let cases = [
        (FREE, ReadOnly::Refuse),
        (Facts { delete_target: in_use, ..FREE }, ReadOnly::Refuse),
        (Facts { delete_staged: in_use, ..FREE }, ReadOnly::Refuse),
        // About to be deleted: not even a look is allowed.
        (
            Facts {
                target: Err(code::ACCESS_DENIED),
                delete_target: Err(code::ACCESS_DENIED),
                ..FREE
            },
            ReadOnly::Refuse,
        ),
        (Facts { target: read_only, ..FREE }, ReadOnly::Replace),
    ];
    for (facts, policy) in cases {
        assert_eq!(obstacle(facts, policy), Obstacle::Passing, "{facts:?}");
    }
}

#[track_caller]
fn two_steps(answer: Result<(), Code>, change: fn(&mut Script)) -> (Script, Result<(), Failure>) {
    let mut script = Script::new(&[
        (PosixRename, Err(code::INVALID_PARAMETER)),
        (MoveFile, Err(code::ACCESS_DENIED)),
        (ReplaceFile, answer),
    ]);
    change(&mut script);
    let result = run(&mut script, InUse::TwoSteps);
    assert_eq!(script.attempts[..2], [PosixRename, MoveFile]);
    (script, result)
}

#[test]
fn two_steps_are_taken_only_by_who_accepts_them_and_only_when_patience_is_at_its_end() {
    let (script, result) = two_steps(Ok(()), |_| ());
    assert_eq!(result, Ok(()));
    assert!(script.slept >= PATIENCE);
    assert_eq!((script.removals, script.put_backs), (1, 0));

    let lacking = (PosixRename, Err(code::NOT_SUPPORTED));
    let mut script = Script::new(&[lacking, (MoveFile, Err(code::ACCESS_DENIED))]);
    let result = run(&mut script, InUse::Fail);
    assert_eq!(result, Err(Failure::Untouched(code::ACCESS_DENIED)));
    assert!(!script.attempts.contains(&ReplaceFile));
}

#[test]
fn the_partial_failures_of_replace_file_say_where_the_old_file_is() {
    // Both files have kept their names: in use, and tried again.
    for code in [code::UNABLE_TO_REMOVE_REPLACED, code::UNABLE_TO_MOVE_REPLACEMENT] {
        let (script, result) = two_steps(Err(code), |_| ());
        assert_eq!(result, Err(Failure::Untouched(code)));
        assert_eq!((script.removals, script.put_backs), (0, 0));
        assert!(script.attempts.iter().filter(|rung| **rung == ReplaceFile).count() > 1);
    }
    // The old file has the backup's name: it gets its own back, and nothing is tried again.
    let displaced = Err(code::UNABLE_TO_MOVE_REPLACEMENT_2);
    let (script, result) = two_steps(displaced, |_| ());
    assert_eq!(result, Err(Failure::Untouched(code::UNABLE_TO_MOVE_REPLACEMENT_2)));
    assert_eq!((script.removals, script.put_backs), (0, 1));
    let (script, result) = two_steps(displaced, |script| script.put_back = Err(DISK_FULL));
    assert_eq!(result, Err(Failure::Stranded(code::UNABLE_TO_MOVE_REPLACEMENT_2)));
    assert_eq!((script.removals, script.put_backs), (0, 1));
    assert_eq!(script.attempts.iter().filter(|rung| **rung == ReplaceFile).count(), 1);
}

#[test]
fn a_backup_that_cannot_be_removed_is_named() {
    let (_, result) =
        two_steps(Ok(()), |script| script.remove_backup = Err(code::SHARING_VIOLATION));
    assert_eq!(result, Err(Failure::BackupStays(code::SHARING_VIOLATION)));
}

#[test]
fn a_new_file_never_takes_another_rung() {
    const ALREADY_EXISTS: Code = 183;
    let mut script = Script::new(&[(MoveNew, Err(ALREADY_EXISTS))]);
    assert_eq!(create(&mut script), Err(ALREADY_EXISTS));
    assert_eq!(script.attempts, [MoveNew]);
    let in_use = Err(code::SHARING_VIOLATION);
    let mut script = Script::new(&[(MoveNew, in_use), (MoveNew, Ok(()))]);
    assert_eq!(create(&mut script), Ok(()));
    assert_eq!(script.attempts, [MoveNew; 2]);
}

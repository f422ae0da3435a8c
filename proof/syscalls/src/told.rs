//! What a run that was not killed said, held against what happened to its calls.

use std::ffi::OsStr;
use std::path::Path;

use nix::errno::Errno;
use nix::libc;
use wholefile::Durability;

use crate::calls::Call;
use crate::groups::Group;
use crate::judge::Violations;
use crate::place::Before;
use crate::report::{Ending, OWN_STEP, Report};
use crate::scenarios::Scenario;
use crate::tracer::Fault;

/// A run that was not killed: what happened to its calls, and what it said.
pub(crate) struct Told<'a> {
    pub(crate) scenario: &'a Scenario,
    /// The calls of a run without any fault.
    pub(crate) clean: &'a [Call],
    pub(crate) calls: &'a [Call],
    /// Where the fault began, and which it was; `None` for a run without any.
    pub(crate) fault: Option<(usize, Fault)>,
    pub(crate) report: &'a Report,
}

/// How many syncs succeeded before and after the first target was published.
fn syncs(scenario: &Scenario, calls: &[Call]) -> (usize, usize) {
    let name_of = |path: &str| Path::new(path).file_name().map(OsStr::to_os_string);
    let names: Vec<_> = scenario.before.targets().iter().map(|path| name_of(path)).collect();
    let is_publish = |call: &Call| {
        let to = call.paths.last().and_then(|path| name_of(path));
        call.group() == Group::Publish && call.succeeded() && names.contains(&to)
    };
    let at = calls.iter().position(is_publish).unwrap_or(calls.len());
    let count = |calls: &[Call]| {
        calls.iter().filter(|call| call.group() == Group::Sync && call.succeeded()).count()
    };
    (count(&calls[..at]), count(&calls[at..]))
}

impl Told<'_> {
    pub(crate) fn is_lasting(&self) -> bool {
        matches!(self.fault, Some((_, Fault::Gone | Fault::ReadOnly | Fault::Full)))
    }

    /// The call that met the fault.
    fn met(&self) -> Option<(&Call, Fault)> {
        self.fault.and_then(|(at, fault)| Some((self.calls.get(at)?, fault)))
    }

    /// Whether a directory could not be opened for want of rights, so that its owner was given all.
    pub(crate) fn was_denied(&self) -> bool {
        let is_it = |(call, fault): (&Call, Fault)| {
            call.group().opens_directory() && fault == Fault::Error(Errno::EACCES)
        };
        self.met().is_some_and(is_it)
    }

    /// Whether a call of that group was answered with that error.
    pub(crate) fn met_with(&self, group: Group, errno: Errno) -> bool {
        let is_it =
            |(call, fault): (&Call, Fault)| call.group() == group && fault == Fault::Error(errno);
        self.met().is_some_and(is_it)
    }

    pub(crate) fn could_not(&self, groups: &[Group]) -> bool {
        let failed = |call: &Call| groups.contains(&call.group()) && !call.succeeded();
        self.calls.iter().any(failed) || self.is_lasting()
    }

    fn is_written_out(&self) -> bool {
        let succeeded = |call: &Call| call.group() == Group::StartWriteback && call.succeeded();
        self.calls.iter().any(succeeded)
    }

    /// The number of the call that opened the descriptor of the call at `at`.
    fn opener(&self, at: usize) -> Option<usize> {
        let opens = [
            Group::Open,
            Group::OpenDirectory,
            Group::OpenBelow,
            Group::CreateTemp,
            Group::CreateUnnamed,
            Group::OpenLock,
            Group::Duplicate,
        ];
        self.calls[..at].iter().rposition(|call| {
            opens.contains(&call.group()) && call.result == self.calls[at].arguments[0] as i64
        })
    }

    /// Whether the call at `at` is the sync of a directory.
    fn syncs_directory(&self, at: usize) -> bool {
        self.opener(at).is_some_and(|opener| self.calls[opener].group().opens_directory())
    }

    /// Whether `errno`, at the call at `at`, says that the save's own contents were not taken: a
    /// network file system may say so only when the file is closed.
    fn loses_contents(&self, at: usize, errno: Errno) -> bool {
        let Some(opener) = self.opener(at).filter(|_| errno != Errno::EINTR) else { return false };
        let opened = &self.calls[opener];
        // What the caller writes on its own may be there already.
        let is_own = opened.arguments[2] as i32 & libc::O_EXCL != 0;
        let is_of_it = |call: &Call| call.arguments[0] as i64 == opened.result;
        let mut writes = self.calls[opener..at].iter().filter(|it| it.group() == Group::Write);
        self.calls[at].group() == Group::Close && is_own && writes.any(is_of_it)
    }

    /// Was all synced that is said to be durable, and was it right to publish at all?
    pub(crate) fn check_durability(&self, violations: &mut Violations) {
        let Ending::Ok { durability, sync_plan } = &self.report.end else { return };
        let mut lacks_directory_sync = false;
        if let (Some((call, Fault::Error(errno))), Some((at, _))) = (self.met(), self.fault) {
            let lacking = [Errno::EINVAL, Errno::ENOSYS, Errno::EOPNOTSUPP];
            // One that may not be read is held by its path alone, and cannot be synced either.
            lacks_directory_sync = match call.group() {
                Group::Sync => lacking.contains(&errno) && self.syncs_directory(at),
                group => group.opens_directory() && errno == Errno::EACCES,
            };
            if self.scenario.durability == Durability::None && self.loses_contents(at, errno) {
                violations.push(format!("{errno} at the close of what was written is not told"));
            }
            let is_before =
                syncs(self.scenario, &self.clean[..=at.min(self.clean.len() - 1)]).1 == 0;
            let is_failed = call.group() == Group::Sync && errno != Errno::EINTR;
            if is_failed && is_before && !lacks_directory_sync {
                violations.push(format!("published after a failed sync of the file ({errno})"));
            }
        }
        let replaced = self.report.files.iter().filter(|file| file.state == "Replaced").count();
        if replaced == 0 || lacks_directory_sync {
            return;
        }
        let (before, after) = syncs(self.scenario, self.calls);
        let (expected_before, expected_after) = syncs(self.scenario, self.clean);
        // There the contents are written out before, and the directory's sync makes them durable.
        let is_written_out = sync_plan == "Fewest" && self.is_written_out();
        // Of many, a sync may do for several; how many are needed is counted by other tests.
        let is_counted = self.is_many() || self.scenario.kept.is_some();
        let (least_before, least_after) = match is_counted {
            true => (expected_before, expected_after),
            false => (replaced, expected_after.max(1)),
        };
        if durability != "None" && before < least_before && !is_written_out {
            violations.push(format!("said to be {durability} without a sync of the file"));
        }
        if durability == "Full" && after < least_after {
            violations.push("said to be Full without a sync of the directory".into());
        }
    }

    /// Whether it is of a tree or of a batch.
    fn is_many(&self) -> bool {
        let before = self.scenario.before;
        before.is_tree() || before == Before::Scratch || before.targets().len() > 1
    }

    /// Is the error the one that was met, and had it to be reported?
    pub(crate) fn check_cause(&self, violations: &mut Violations) {
        let Some((call, fault)) = self.met() else {
            if let Ending::Err { sentence, .. } = &self.report.end {
                violations.push(format!("without any fault: {sentence}"));
            }
            return;
        };
        let Ending::Err { kind, step, code, sentence, .. } = &self.report.end else { return };
        let group = call.group();
        let errno = match fault {
            Fault::Short(_) => return violations.push(format!("cut short: {sentence}")),
            Fault::Error(Errno::EINTR) => {
                return violations.push(format!("interrupted, and not tried again: {sentence}"));
            }
            Fault::Error(errno) | Fault::DoneThenError(errno) => errno,
            Fault::Kill | Fault::Gone | Fault::ReadOnly | Fault::Full => return,
        };
        let more = if self.is_many() { group.steps_of_many() } else { &[] };
        let is_of_backup = self.scenario.kept.is_some() && step == "Backup";
        let is_told_elsewhere = step == OWN_STEP || is_of_backup;
        if !is_told_elsewhere && !group.steps().iter().chain(more).any(|it| it == step) {
            violations.push(format!("{group:?} failed, and the step is {step}: {sentence}"));
        }
        let is_full = matches!(errno, Errno::ENOSPC | Errno::EDQUOT);
        if is_full != (kind == "StorageFull") {
            violations.push(format!("{errno} became {kind}: {sentence}"));
        }
        // A directory that may not be read is held by its path alone, and a list of it fails so.
        let is_held_by_path = self.is_many() && errno == Errno::EACCES && group.opens_directory();
        let codes = [Some(errno as i32), is_held_by_path.then_some(Errno::EBADF as i32)];
        if code.is_some() && !codes.contains(code) {
            violations.push(format!("{errno} became {code:?}: {sentence}"));
        }
    }
}

//! What was promised, against what is there.

use std::collections::BTreeMap;
use std::fmt;

use wholefile::Durability;

use crate::observe::{Observation, Seen};
use crate::scenario::{History, Unit};

/// How a promise was broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Breach {
    /// Neither the whole old file nor the whole new one.
    Torn,
    /// A file that was always there is gone.
    Missing,
    /// Older than a commit that was acknowledged.
    Older,
    /// Owner, mode or xattr are not the file's.
    Metadata,
    /// Some files of one commit are new and some are old.
    Split,
    /// There is a file that nobody wanted, and that a sweep does not remove.
    Stranger,
    /// The file system could not be mounted, or the program could not restart.
    Trouble,
    /// A version that had not been begun: the rig itself is wrong.
    Impossible,
}

#[derive(Clone, Debug)]
pub(crate) struct Violation {
    pub(crate) breach: Breach,
    pub(crate) what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.breach, self.what)
    }
}

pub(crate) struct Promise<'a> {
    pub(crate) histories: &'a BTreeMap<String, History>,
    pub(crate) unit: Unit,
    pub(crate) durability: Durability,
}

impl Promise<'_> {
    /// What `seen` breaks of the promise, if this commit and those before it were acknowledged.
    pub(crate) fn judge(&self, acknowledged: u32, seen: &Observation) -> Vec<Violation> {
        let mut violations = Vec::new();
        let mut breach = |breach, what: String| violations.push(Violation { breach, what });
        if let Some(trouble) = &seen.trouble {
            breach(Breach::Trouble, trouble.clone());
            return violations;
        }
        let floor = if self.durability == Durability::Full { acknowledged } else { 0 };
        let mut versions = Vec::new();
        for ((path, history), seen) in self.histories.iter().zip(&seen.files) {
            let version = match seen {
                Seen::Absent => None,
                Seen::Torn(how) => {
                    breach(Breach::Torn, format!("{path}: {how}"));
                    continue;
                }
                Seen::Whole { version, wrong } => {
                    if let Some(wrong) = wrong {
                        breach(Breach::Metadata, format!("{path} version {version}: {wrong}"));
                    }
                    Some(*version)
                }
            };
            versions.push((path, history, version));
            let is_after = |commit| after(history, commit) == version;
            if (floor..=acknowledged + 1).any(is_after) {
                continue;
            }
            let (wanted, found) = (named(after(history, acknowledged)), named(version));
            let what = format!("{path} is {found}, not {wanted}, after commit {acknowledged}");
            match version {
                _ if (0..floor).any(is_after) => breach(Breach::Older, what),
                None => breach(Breach::Missing, what),
                Some(_) => breach(Breach::Impossible, what),
            }
        }
        let is_whole = match self.unit {
            Unit::File => false,
            Unit::Commit => true,
            Unit::CommitIfFull => self.durability == Durability::Full,
            Unit::Backup => {
                let seen = versions.iter().map(|(path, _, version)| (path.as_str(), *version));
                if self.durability == Durability::Full {
                    check_backup(seen.collect(), &mut breach);
                }
                false
            }
        };
        if is_whole {
            let commit = versions.iter().filter_map(|(.., version)| *version).max().unwrap_or(0);
            for (path, history, version) in versions {
                if version != after(history, commit) {
                    let what = format!("{path} is {} after commit {commit}", named(version));
                    breach(Breach::Split, what);
                }
            }
        }
        for stranger in &seen.strangers {
            breach(Breach::Stranger, stranger.clone());
        }
        violations
    }
}

/// A backup is of the version before that of the target, or is the target itself.
fn check_backup(seen: BTreeMap<&str, Option<u32>>, breach: &mut impl FnMut(Breach, String)) {
    let Some((path, target)) = seen.get_key_value("target") else { return };
    let others = seen.iter().filter(|(other, _)| *other != path && !other.ends_with("other"));
    for (other, backup) in others {
        let (target, backup) = (target.unwrap_or(0), backup.unwrap_or(0));
        if ![target, target + 1].contains(&backup) {
            breach(Breach::Split, format!("{other} is of {backup}, and the target {target}"));
        }
    }
}

/// The version of a file after `commit`, if there is one then.
fn after(history: &History, commit: u32) -> Option<u32> {
    let (version, file) = history.range(..=commit).next_back()?;
    file.as_ref().map(|_| *version)
}

fn named(version: Option<u32>) -> String {
    version.map_or("absent".to_owned(), |version| format!("version {version}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::File;
    use Durability::{Full, Ordered};

    const WHOLE: fn(u32) -> Seen = |version| Seen::Whole { version, wrong: None };

    /// Judges what was seen of a few files that have these versions; `None` where one is removed.
    #[track_caller]
    fn check<const FILES: usize>(
        histories: [&[(u32, Option<()>)]; FILES],
        unit: Unit,
        durability: Durability,
        acknowledged: u32,
        seen: [Seen; FILES],
        expected: &[Breach],
    ) {
        let history = |(index, versions): (usize, &&[(u32, Option<()>)])| {
            let path = format!("file-{index}");
            let file = |it: Option<()>| it.map(|()| File::plain(&path, 0));
            let history = versions.iter().map(|(version, it)| (*version, file(*it)));
            (path.clone(), history.collect())
        };
        let histories = histories.iter().enumerate().map(history).collect();
        let promise = Promise { histories: &histories, unit, durability };
        let seen = Observation { files: seen.to_vec(), strangers: Vec::new(), trouble: None };
        let found: Vec<Breach> =
            promise.judge(acknowledged, &seen).iter().map(|violation| violation.breach).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn each_breach_is_told_from_the_others() {
        let always: &[_] = &[0, 1, 2, 3, 4, 5].map(|version| (version, Some(())));
        #[track_caller]
        fn check_all(
            history: &[(u32, Option<()>)],
            durability: Durability,
            acknowledged: u32,
            seen: [Seen; 4],
            expected: &[Breach],
        ) {
            check([history; 4], Unit::Commit, durability, acknowledged, seen, expected);
        }
        let all = |version| [WHOLE(version), WHOLE(version), WHOLE(version), WHOLE(version)];
        let but = |second| [WHOLE(3), second, WHOLE(3), WHOLE(3)];
        check_all(always, Full, 3, all(3), &[]);
        check_all(always, Full, 3, all(4), &[]);
        check_all(always, Full, 3, all(2), &[Breach::Older; 4]);
        check_all(always, Ordered, 3, all(0), &[]);
        check_all(always, Ordered, 3, all(5), &[Breach::Impossible; 4]);
        check_all(always, Ordered, 3, but(Seen::Torn(String::new())), &[Breach::Torn]);
        check_all(always, Full, 3, [WHOLE(4), WHOLE(3), WHOLE(3), WHOLE(4)], &[Breach::Split; 2]);
        let wrong = Seen::Whole { version: 3, wrong: Some(String::new()) };
        check_all(always, Full, 3, but(wrong), &[Breach::Metadata]);
        let split_too = [Breach::Missing, Breach::Split];
        check_all(always, Ordered, 3, but(Seen::Absent), &split_too);
    }

    #[test]
    fn files_of_one_commit_may_differ_where_they_are_promised_one_by_one() {
        let always: &[_] = &[0, 1, 2, 3].map(|version| (version, Some(())));
        let mixed = || [WHOLE(3), WHOLE(2)];
        check([always; 2], Unit::Commit, Ordered, 2, mixed(), &[Breach::Split]);
        check([always; 2], Unit::CommitIfFull, Full, 2, mixed(), &[Breach::Split]);
        check([always; 2], Unit::CommitIfFull, Ordered, 2, mixed(), &[]);
        check([always; 2], Unit::File, Full, 2, mixed(), &[]);
    }

    /// The second file comes with commit 1, and goes with commit 2.
    #[test]
    fn what_was_removed_is_gone_from_then_on() {
        let always: &[_] = &[0, 1, 2, 3].map(|version| (version, Some(())));
        let brief: &[_] = &[(1, Some(())), (2, None)];
        #[track_caller]
        fn check_both(
            histories: [&[(u32, Option<()>)]; 2],
            durability: Durability,
            acknowledged: u32,
            seen: [Seen; 2],
            expected: &[Breach],
        ) {
            check(histories, Unit::Commit, durability, acknowledged, seen, expected);
        }
        let both = [always, brief];
        check_both(both, Full, 0, [WHOLE(0), Seen::Absent], &[]);
        check_both(both, Full, 1, [WHOLE(1), WHOLE(1)], &[]);
        check_both(both, Full, 1, [WHOLE(2), Seen::Absent], &[]);
        check_both(both, Full, 1, [WHOLE(1), Seen::Absent], &[Breach::Split]);
        check_both(both, Full, 2, [WHOLE(2), WHOLE(1)], &[Breach::Older, Breach::Split]);
        check_both(both, Full, 2, [WHOLE(2), Seen::Absent], &[]);
        check_both(both, Ordered, 2, [WHOLE(1), WHOLE(1)], &[]);
        check_both(both, Ordered, 2, [WHOLE(3), WHOLE(1)], &[Breach::Split]);
    }
}

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
    use crate::scenario::Scenario;

    const WHOLE: fn(u32) -> Seen = |version| Seen::Whole { version, wrong: None };

    #[track_caller]
    fn check(durability: Durability, acknowledged: u32, seen: [Seen; 4], expected: &[Breach]) {
        let scenario = Scenario::named("one-by-one").unwrap();
        let histories = scenario.histories();
        let promise = Promise { histories: &histories, unit: scenario.unit, durability };
        let (files, strangers) = (seen.to_vec(), Vec::new());
        let seen = Observation { files, strangers, trouble: None };
        let found: Vec<Breach> =
            promise.judge(acknowledged, &seen).iter().map(|violation| violation.breach).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn each_breach_is_told_from_the_others() {
        use Durability::{Full, Ordered};
        let all = |version| [WHOLE(version), WHOLE(version), WHOLE(version), WHOLE(version)];
        check(Full, 3, all(3), &[]);
        check(Full, 3, all(4), &[]);
        check(Full, 3, all(2), &[Breach::Older; 4]);
        check(Ordered, 3, all(0), &[]);
        check(Ordered, 3, all(5), &[Breach::Impossible; 4]);
        let torn = Seen::Torn(String::new());
        check(Ordered, 3, [WHOLE(3), torn, WHOLE(3), WHOLE(3)], &[Breach::Torn]);
        check(Ordered, 3, [WHOLE(3), Seen::Absent, WHOLE(3), WHOLE(3)], &[Breach::Missing]);
        check(Full, 3, [WHOLE(4), WHOLE(3), WHOLE(3), WHOLE(4)], &[Breach::Split; 2]);
        let wrong = Seen::Whole { version: 3, wrong: Some(String::new()) };
        check(Full, 3, [WHOLE(3), wrong, WHOLE(3), WHOLE(3)], &[Breach::Metadata]);
    }
}

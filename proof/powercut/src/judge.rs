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
    /// A file that existed is gone.
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
        let mut versions = Vec::new();
        for ((path, history), seen) in self.histories.iter().zip(&seen.files) {
            let version = match seen {
                Seen::Absent if history.contains_key(&0) => {
                    breach(Breach::Missing, path.clone());
                    continue;
                }
                Seen::Absent => 0,
                Seen::Torn(how) => {
                    breach(Breach::Torn, format!("{path}: {how}"));
                    continue;
                }
                Seen::Whole { version, wrong } => {
                    if let Some(wrong) = wrong {
                        breach(Breach::Metadata, format!("{path} version {version}: {wrong}"));
                    }
                    *version
                }
            };
            versions.push((path, history, version));
            let promised = latest(history, acknowledged);
            if self.durability == Durability::Full && version < promised {
                breach(Breach::Older, format!("{path} is version {version}, not {promised}"));
            }
            if version > acknowledged + 1 {
                let what = format!("{path} is version {version} after commit {acknowledged}");
                breach(Breach::Impossible, what);
            }
        }
        if self.unit == Unit::Commit {
            let commit = versions.iter().map(|(.., version)| *version).max().unwrap_or(0);
            for (path, history, version) in versions {
                if version != latest(history, commit) {
                    let what = format!("{path} is version {version} after commit {commit}");
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

/// The version of a file after `commit`; 0 if there is none yet.
fn latest(history: &History, commit: u32) -> u32 {
    history.range(..=commit).next_back().map_or(0, |(version, _)| *version)
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

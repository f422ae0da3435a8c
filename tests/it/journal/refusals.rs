//! What is not recovered, and is not touched either.

use fs_err as fs;
use wholefile::{ErrorKind, Step, TargetState, recover};

use super::{NAMES, cannot_be_written, check_new, died, forged, journal_of};
use crate::batch::states;
use crate::dir::Dir;

/// All names, and what is under them.
fn snapshot(dir: &Dir) -> Vec<(String, Option<Vec<u8>>)> {
    dir.names().into_iter().map(|name| (name.clone(), fs::read(dir.path(name)).ok())).collect()
}

/// Recovery refuses, and touches nothing. Gives the states of the files.
#[track_caller]
pub(super) fn check_refused(dir: &Dir, kind: ErrorKind, says: &str) -> Vec<TargetState> {
    let before = snapshot(dir);
    let error = recover(journal_of(dir)).unwrap_err();
    assert_eq!(
        (error.kind(), error.step(), error.path()),
        (kind, Step::Recover, &*journal_of(dir))
    );
    let cause = error.io_error().unwrap().to_string();
    assert!(cause.contains(says), "{cause}");
    assert_eq!(snapshot(dir), before, "{error}");
    states(&error).into_iter().map(|(_, state)| state).collect()
}

const NEW: TargetState = TargetState::Replaced;
const OLD: TargetState = TargetState::Untouched;
const UNKNOWN: TargetState = TargetState::Unknown;

#[test]
fn a_journal_in_which_any_byte_was_changed_is_refused() {
    if cannot_be_written() {
        return;
    }
    let dir = died();
    let journal = fs::read(journal_of(&dir)).unwrap();
    let mut kinds = std::collections::BTreeMap::<_, usize>::new();
    let mut check = |text: &[u8]| {
        fs::write(journal_of(&dir), text).unwrap();
        let error = recover(journal_of(&dir)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidJournal, "{}", String::from_utf8_lossy(text));
        *kinds.entry(error.io_error().unwrap().to_string()).or_default() += 1;
    };
    let before = dir.names();
    for index in 0..journal.len() {
        let mut text = journal.clone();
        text[index] ^= 1 << (index % 8);
        check(&text);
        check(&journal[..index]);
    }
    check(&[&journal[..], b"\n"].concat());
    check(&[b" ", &journal[..]].concat());
    assert_eq!(dir.names(), before);
    // Three of the four reasons; the fourth takes a journal that was made up.
    assert!(kinds.len() >= 3 && kinds.values().sum::<usize>() > 2 * journal.len(), "{kinds:?}");
    fs::write(journal_of(&dir), journal).unwrap();
    recover(journal_of(&dir)).unwrap();
    check_new(&dir);
}

fn forge(dir: &Dir, version: u64, body: &str) {
    fs::write(journal_of(dir), forged::journal_of(version, body.as_bytes())).unwrap();
}

fn body_of(dir: &Dir) -> String {
    fs::read_to_string(journal_of(dir)).unwrap().lines().nth(1).unwrap().to_owned()
}

#[test]
fn a_journal_that_was_made_up_is_refused() {
    if cannot_be_written() {
        return;
    }
    let dir = died();
    let body = body_of(&dir);
    let cases = [
        (r#""name":"1""#, r#""name":"../state/1""#),
        (r#""name":"1""#, r#""name":"..""#),
        (r#""name":"1""#, r#""name":"""#),
        (r#""name":"1""#, r#""name":"1\u0000""#),
        (r#""name":"1""#, r#""name":"2""#),
        (r#""staged":"0""#, r#""staged":"../0""#),
        (r#""staged":"0""#, r#""staged":"1""#),
        (r#""folder":0"#, r#""folder":9"#),
        (r#""stage":""#, r#""stage":"../"#),
        (r#""how":"replace""#, r#""how":"remove""#),
        (r#"{"folders""#, r#"{"more":1,"folders""#),
    ];
    for (old, new) in cases {
        assert!(body.contains(old), "{old} in {body}");
        forge(&dir, 1, &body.replacen(old, new, 1));
        check_refused(&dir, ErrorKind::InvalidJournal, "says what no journal says");
    }
    forge(&dir, 1, &body.replacen(r#""path":""#, r#""path":"."#, 1));
    let says = if cfg!(windows) { "" } else { "says what no journal says" };
    check_refused(&dir, ErrorKind::InvalidJournal, says);
    // Two ways to write the same thing.
    forge(&dir, 1, &body.replacen("{", "{ ", 1));
    check_refused(&dir, ErrorKind::InvalidJournal, "not as it was written");
    forge(&dir, 2, &body);
    check_refused(&dir, ErrorKind::InvalidJournal, "version 2");
    forge(&dir, 1, &body);
    recover(journal_of(&dir)).unwrap();
    check_new(&dir);
}

/// The staging directory in `folder`.
pub(super) fn stage_in(dir: &Dir, folder: &str) -> std::path::PathBuf {
    let is_stage = |path: &std::path::PathBuf| path.to_string_lossy().contains(".wholefile-");
    let entries = fs::read_dir(dir.path(folder)).unwrap().map(|entry| entry.unwrap().path());
    entries.into_iter().find(is_stage).unwrap()
}

#[test]
fn what_is_not_as_the_journal_says_is_not_recovered() {
    if cannot_be_written() {
        return;
    }
    #[track_caller]
    fn check(says: &str, states: [TargetState; 5], damage: impl FnOnce(&Dir)) {
        let dir = died();
        damage(&dir);
        assert_eq!(check_refused(&dir, ErrorKind::Unrecoverable, says), states);
    }
    let gone = "not staged any more";
    check(gone, [NEW, NEW, OLD, OLD, OLD], |dir| {
        fs::remove_dir_all(stage_in(dir, "b")).unwrap();
    });
    // Made anew, with the same file in it.
    check("numbered it anew", [NEW, NEW, OLD, UNKNOWN, OLD], |dir| {
        let stage = stage_in(dir, "b/c");
        fs::rename(&stage, dir.path("away")).unwrap();
        fs::create_dir(&stage).unwrap();
        fs::rename(dir.path("away/0"), stage.join("0")).unwrap();
    });
    check(gone, [NEW, NEW, OLD, OLD, UNKNOWN], |dir| {
        fs::remove_file(stage_in(dir, "a").join("2")).unwrap();
    });
    check(gone, [NEW, NEW, OLD, UNKNOWN, OLD], |dir| {
        let staged = stage_in(dir, "b/c").join("0");
        fs::copy(&staged, dir.path("copy")).unwrap();
        fs::rename(dir.path("copy"), staged).unwrap();
    });
    check(gone, [NEW, NEW, OLD, UNKNOWN, OLD], |dir| {
        fs::write(stage_in(dir, "b/c").join("0"), "somebody's contents").unwrap();
    });
    check(gone, [NEW, NEW, UNKNOWN, OLD, OLD], |dir| {
        fs::remove_dir_all(stage_in(dir, "b")).unwrap();
        fs::remove_file(dir.path(NAMES[2])).unwrap();
    });
    check(gone, [NEW, UNKNOWN, OLD, OLD, OLD], |dir| {
        fs::remove_file(dir.path(NAMES[1])).unwrap();
    });
    check("replaced or changed", [NEW, NEW, UNKNOWN, OLD, OLD], |dir| {
        fs::write(dir.path(NAMES[2]), "changed").unwrap();
    });
    check("replaced or changed", [NEW, NEW, OLD, UNKNOWN, OLD], |dir| {
        fs::write(dir.path(NAMES[3]), "made").unwrap();
    });
    check("not where it was; and 1 more", [NEW, NEW, UNKNOWN, UNKNOWN, OLD], |dir| {
        fs::rename(dir.path("b"), dir.path("moved")).unwrap();
    });
    check("not where it was", [NEW, NEW, OLD, UNKNOWN, OLD], |dir| {
        fs::rename(dir.path("b/c"), dir.path("b/moved")).unwrap();
        dir.make("b/c");
    });
    check("it is a directory", [NEW, NEW, OLD, OLD, OLD], |dir| {
        dir.make(NAMES[3]);
    });
}

/// Where a file system gives its files other numbers each time it is mounted, as sshfs does,
/// nothing is what the journal says: the refusal must say why, and touch nothing.
#[test]
fn where_all_was_numbered_anew_nothing_is_recovered() {
    if cannot_be_written() {
        return;
    }
    let number = |body: &str, key: &str| {
        let start = body.find(key).unwrap() + key.len();
        body[start..].chars().take_while(char::is_ascii_digit).collect::<String>()
    };
    for key in [r#""id":"#, r#""stage_id":"#] {
        let dir = died();
        let body = body_of(&dir);
        let old = number(&body, key);
        let new = body.replace(&format!("{key}{old},"), &format!("{key}1{old},"));
        let new = new.replace(&format!("{key}{old}}}"), &format!("{key}1{old}}}"));
        assert_ne!(new, body);
        forge(&dir, 1, &new);
        let states = check_refused(&dir, ErrorKind::Unrecoverable, "numbered it anew");
        assert!(states.contains(&UNKNOWN), "{states:?}");
        assert_eq!(super::swept(dir.path("a")).kept().len(), 1);
    }
}

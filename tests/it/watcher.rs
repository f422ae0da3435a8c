//! Nobody can read the staged contents who could not read the published file.
//!
//! A thread looks at every temp file that it can catch, while the target is replaced again and
//! again.

use std::collections::BTreeSet;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use fs_err as fs;
use wholefile::{AtomicWriter, Builder, ReadOnly, Staging};

use crate::child::{self, Child};
use crate::dir::{Dir, Stop, wait_until};
use crate::place::{Feature, lacks};
use crate::system::{chmod, chown, is_root, run, set_acl, set_xattr, xattr};

const ACL: &str = "system.posix_acl_access";
/// So many looks at a temp file make a case.
const MIN_CAUGHT: usize = 200;
const MIN_SAVES: usize = 20;

/// What the published file lets whom do.
#[derive(Clone, Copy, Debug)]
struct Final {
    mode: u32,
    gid: u32,
    /// With an ACL, the group bits of the mode are its mask and the owning group's are these.
    acl_group: Option<u32>,
}

/// Checks one temp file; `None` if it was gone before it could be looked at.
fn look(path: &Path, end: Final) -> Option<u32> {
    let stat = fs::symlink_metadata(path).ok()?;
    // The mode first: an ACL that explains the mode was set before it.
    let has_acl = has_acl(path)?;
    let mode = stat.mode() & 0o777;
    let problem = |why| panic!("{why}: a temp file has mode {mode:o} on its way to {end:?}");
    if mode & !end.mode != 0 {
        problem("more than the published file");
    }
    let group = mode >> 3 & 7;
    if stat.gid() != end.gid && group & !end.mode & 7 != 0 {
        problem("rights for a group that the published file does not belong to");
    }
    match (has_acl, end.acl_group) {
        (false, Some(published)) if group & !published != 0 => problem("the mask without its ACL"),
        (true, None) if group != 0 => problem("an ACL that the published file does not have"),
        _ => {}
    }
    Some(mode)
}

/// Whether the file has an ACL; `None` if it is gone.
fn has_acl(path: &Path) -> Option<bool> {
    let mut value = [0; 1000];
    match rustix::fs::lgetxattr(path, ACL, &mut value[..]) {
        Ok(_) => Some(true),
        Err(rustix::io::Errno::NOENT) => None,
        Err(_) => Some(false),
    }
}

/// Replaces the target until enough was seen.
#[track_caller]
fn watch(dir: &Dir, end: Final) {
    watch_saves(dir, end, AtomicWriter::builder(), || {});
}

/// As [`watch`], with these options, after `before_each` has made the target what it is to be.
#[track_caller]
fn watch_saves(dir: &Dir, end: Final, builder: Builder, before_each: impl Fn()) {
    let (done, caught) = (AtomicBool::new(false), AtomicUsize::new(0));
    let modes = thread::scope(|scope| {
        let stop = Stop(&done);
        let watcher = scope.spawn(|| {
            let mut modes = BTreeSet::new();
            // Bounded by the writer, which has a deadline.
            while !done.load(Ordering::Relaxed) {
                for temp in dir.temps_now() {
                    if let Some(mode) = look(&dir.path(temp), end) {
                        modes.insert(mode);
                        caught.fetch_add(1, Ordering::Relaxed);
                    }
                }
            }
            modes
        });
        let mut saves = 0;
        wait_until("the watcher has caught enough temp files", || {
            before_each();
            save(dir, end, builder.clone(), saves);
            saves += 1;
            let enough = caught.load(Ordering::Relaxed) >= MIN_CAUGHT && saves >= MIN_SAVES;
            enough || watcher.is_finished()
        });
        drop(stop);
        watcher.join().unwrap()
    });
    assert!(!modes.is_empty());
    assert_eq!(dir.mode("target"), end.mode);
    dir.assert_only(&["target"]);
}

/// One save, of each kind in turn. While its temp file is there, it is looked at too.
fn save(dir: &Dir, end: Final, mut builder: Builder, turn: usize) {
    let staging = if turn % 2 == 0 { Staging::Named } else { Staging::Unnamed };
    builder.read_only(ReadOnly::Replace).staging(staging);
    let mut writer = builder.open(dir.path("target")).unwrap();
    if turn % 3 != 0 {
        writer.write_all(&[1; 100_000]).unwrap();
        let temp = writer.staging_path().unwrap();
        look(&temp, end).expect("the temp file is there");
        writer.write_all(&[2; 100_000]).unwrap();
    }
    writer.write_all(b"contents").unwrap();
    assert!(writer.commit().unwrap().not_preserved().is_empty());
}

impl Dir {
    /// The temp files that are there at this moment, while others come and go.
    fn temps_now(&self) -> Vec<std::ffi::OsString> {
        let names =
            fs::read_dir(self.root()).unwrap().filter_map(|entry| Some(entry.ok()?.file_name()));
        names.filter(|name| name.as_encoded_bytes().starts_with(b".wholefile-")).collect()
    }
}

#[test]
fn the_temp_file_never_has_more_permissions_than_the_target() {
    if let Some(child::Given { dir, .. }) = child::given() {
        for mode in [0o600, 0o640, 0o644, 0o604, 0o660, 0o666, 0o400, 0o440] {
            let target = dir.write("target", "old");
            chmod(&target, mode);
            let gid = fs::metadata(&target).unwrap().gid();
            watch(&dir, Final { mode, gid, acl_group: None });
            fs::remove_file(target).unwrap();
        }
        return;
    }
    if lacks(&[Feature::Modes]) {
        return;
    }
    // A umask that takes nothing away.
    let child =
        Child::of("watcher::the_temp_file_never_has_more_permissions_than_the_target").umask(0);
    child.run(&Dir::new(), "");
}

#[test]
fn the_temp_file_gives_no_rights_to_the_writers_group_before_it_has_its_own() {
    const TEST: &str =
        "watcher::the_temp_file_gives_no_rights_to_the_writers_group_before_it_has_its_own";
    if let Some(child::Given { dir, .. }) = child::given() {
        for mode in [0o600, 0o640, 0o660, 0o644, 0o664, 0o604, 0o440] {
            let target = dir.write("target", "old");
            chown(&target, 12345, 23456);
            chmod(&target, mode);
            watch(&dir, Final { mode, gid: 23456, acl_group: None });
            fs::remove_file(target).unwrap();
        }
        return;
    }
    if lacks(&[Feature::Modes, Feature::Owners]) {
        return;
    }
    if is_root(TEST) {
        Child::of(TEST).umask(0).run(&Dir::new(), "");
    }
}

/// Symptom: on btrfs, a temp file had the mode 640 and no ACL. Mechanism: btrfs sets the mode that
/// goes with an ACL first and the ACL then, so that the mask counts as the owning group's rights
/// for a moment. Lost: the group, which the ACL shut out, could open the file then.
#[test]
fn the_temp_file_has_no_mask_without_the_acl_that_it_belongs_to() {
    if let Some(child::Given { dir, .. }) = child::given() {
        for (acl, acl_group) in [
            ("u:12345:r,g::-,o::-", 0),
            ("u:12345:rw,g::-,o::r", 0),
            ("u:12345:rw,g::r,o::-", 4),
            ("g:12345:rw,g::-,o::rw", 0),
        ] {
            let target = dir.write("target", "old");
            set_acl(&target, acl);
            let (mode, gid) = (dir.mode("target"), fs::metadata(&target).unwrap().gid());
            assert_ne!(mode >> 3 & 7, acl_group, "the mask is not the group's entry");
            watch(&dir, Final { mode, gid, acl_group: Some(acl_group) });
            assert!(xattr(&target, ACL).is_some());
            fs::remove_file(target).unwrap();
        }
        return;
    }
    if lacks(&[Feature::Acls]) {
        return;
    }
    const TEST: &str = "watcher::the_temp_file_has_no_mask_without_the_acl_that_it_belongs_to";
    Child::of(TEST).umask(0).run(&Dir::new(), "");
}

#[test]
fn the_temp_file_gives_no_rights_to_whom_the_old_acl_names_and_the_mode_shuts_out() {
    const TEST: &str =
        "watcher::the_temp_file_gives_no_rights_to_whom_the_old_acl_names_and_the_mode_shuts_out";
    if let Some(child::Given { dir, .. }) = child::given() {
        for (mode, acl_group) in [(0o600, 0), (0o640, 4), (0o620, 2)] {
            let target = dir.write("target", "old");
            set_acl(&target, "u:12345:rw,g::rw,o::r");
            let acl = xattr(&target, ACL).unwrap();
            let old = || {
                set_xattr(&target, ACL, &acl);
                chown(&target, 12345, 23456);
            };
            let builder = AtomicWriter::builder().mode(mode).clone();
            watch_saves(&dir, Final { mode, gid: 23456, acl_group: Some(acl_group) }, builder, old);
            assert!(xattr(&target, ACL).is_some());
            fs::remove_file(target).unwrap();
        }
        return;
    }
    if lacks(&[Feature::Acls, Feature::Owners]) || !is_root(TEST) {
        return;
    }
    Child::of(TEST).umask(0).run(&Dir::new(), "");
}

#[test]
fn the_temp_file_gives_no_rights_to_whom_the_directorys_acl_names() {
    if let Some(child::Given { dir, .. }) = child::given() {
        for mode in [0o600, 0o640, 0o660] {
            let target = dir.write("target", "old");
            chmod(&target, mode);
            let gid = fs::metadata(&target).unwrap().gid();
            set_acl(dir.root(), "d:u:12345:rwx,d:g::rwx");
            watch(&dir, Final { mode, gid, acl_group: None });
            assert!(xattr(&target, ACL).is_none());
            fs::remove_file(target).unwrap();
            // The next target is to be without one.
            run("setfacl", &["-k".as_ref(), dir.root().as_os_str()]);
        }
        return;
    }
    if lacks(&[Feature::Acls]) {
        return;
    }
    const TEST: &str = "watcher::the_temp_file_gives_no_rights_to_whom_the_directorys_acl_names";
    Child::of(TEST).umask(0).run(&Dir::new(), "");
}

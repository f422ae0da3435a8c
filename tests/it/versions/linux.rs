//! What takes a symlink, a FIFO, a mapping, or times that are set.

use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, symlink};
use std::process::Command;

use fs_err as fs;
use rustix::mm::{MapFlags, ProtFlags};
use wholefile::{ErrorKind, Outcome, SpecialFiles, Step, Symlinks, Tracking, Version};

use super::{builder, check_conflict};
use crate::dir::Dir;
use crate::place::{Feature, lacks};
use crate::system::{make_fifo, status};

/// The next file got the number of the one that was removed: with the same length and a time within
/// the same tick of the clock, another editor's file passed for the one that had been opened.
#[test]
fn the_number_of_a_file_that_was_seen_is_not_given_to_another() {
    if lacks(&[Feature::HeldNumbers]) {
        return;
    }
    let dir = Dir::new();
    let target = dir.path("target");
    for _ in 0..200 {
        fs::write(&target, "one").unwrap();
        let number = fs::metadata(&target).unwrap().ino();
        let version = Version::of(&target).unwrap();
        fs::remove_file(&target).unwrap();
        fs::write(&target, "two").unwrap();
        assert_ne!(fs::metadata(&target).unwrap().ino(), number);
        assert!(!version.is_current().unwrap());
    }
}

#[test]
fn a_change_in_place_that_sets_the_time_back_is_seen() {
    if lacks(&[Feature::ExactTimes]) {
        return;
    }
    let dir = Dir::new();
    let target = dir.write("target", "old");
    let version = Version::of(&target).unwrap();
    let before = fs::metadata(&target).unwrap();
    fs::write(&target, "new").unwrap();
    let file = fs::OpenOptions::new().write(true).open(&target).unwrap();
    file.file().set_modified(before.modified().unwrap()).unwrap();
    let after = fs::metadata(&target).unwrap();
    assert_eq!((after.len(), after.mtime_nsec()), (before.len(), before.mtime_nsec()));
    assert!(!version.is_current().unwrap());
    check_conflict(builder().expect(&version).write(&target, "mine"), &dir, Some("new"));
}

/// A program that has mapped the file changes it without a call. The kernel sets the time at the
/// first change of a page, and not again until it has written that page to the disk.
#[test]
#[allow(unsafe_code, reason = "only a mapping changes a file without a call")]
fn a_change_through_a_mapping_is_seen_by_its_contents() {
    const LEN: usize = 4096;
    for skip_unchanged in [false, true] {
        let dir = Dir::new();
        let target = dir.write("target", vec![b'x'; LEN]);
        let file = fs::OpenOptions::new().read(true).write(true).open(&target).unwrap();
        let (protection, flags) = (ProtFlags::READ | ProtFlags::WRITE, MapFlags::SHARED);
        // SAFETY: the kernel chooses the address, and nothing else uses the memory.
        let mapped = unsafe {
            rustix::mm::mmap(std::ptr::null_mut(), LEN, protection, flags, file.file(), 0)
        };
        let first = mapped.unwrap().cast::<u8>();
        // SAFETY: the mapping is of this length, may be written to, and is never undone.
        unsafe { first.write_volatile(b'1') };
        let of_receipt = |tracking| {
            let mut builder = builder();
            builder.tracking(tracking).skip_unchanged(true);
            let commit = builder.write(&target, fs::read(&target).unwrap()).unwrap();
            assert_eq!(commit.outcome(), Outcome::Unchanged);
            commit.version().unwrap().clone()
        };
        let before = fs::metadata(&target).unwrap();
        let by_metadata = [Version::of(&target).unwrap(), of_receipt(Tracking::Metadata)];
        let of_unchanged = of_receipt(Tracking::Contents);
        let by_contents = Version::with_contents_of(&target).unwrap();
        // SAFETY: as before.
        unsafe { first.write_volatile(b'2') };
        let after = fs::metadata(&target).unwrap();
        let times = |it: &std::fs::Metadata| (it.mtime(), it.mtime_nsec(), it.ctime_nsec());
        if times(&before) == times(&after) {
            for version in &by_metadata {
                assert!(version.is_current().unwrap(), "its documentation says otherwise");
            }
        } else {
            eprintln!("SKIPPED: this file system saw the change through the mapping");
        }
        assert!(!by_contents.is_current().unwrap() && !of_unchanged.is_current().unwrap());
        let changed = fs::read_to_string(&target).unwrap();
        let mut builder = builder();
        builder.expect(&by_contents).skip_unchanged(skip_unchanged);
        let mine = if skip_unchanged { &changed } else { "mine" };
        check_conflict(builder.write(&target, mine), &dir, Some(&changed));
    }
}

#[test]
fn a_version_is_of_what_the_links_lead_to() {
    if lacks(&[Feature::Symlinks]) {
        return;
    }
    let dir = Dir::new();
    let (one, other) = (dir.write("one", "1"), dir.write("other", "2"));
    let link = dir.path("link");
    symlink("one", &link).unwrap();
    for tracking in [Tracking::None, Tracking::Contents] {
        let mut version = Version::of(&link).unwrap();
        if tracking != Tracking::None {
            let commit = builder().tracking(tracking).write(&link, "new").unwrap();
            version = commit.version().unwrap().clone();
        }
        assert!(version.is_current().unwrap());
        // Whatever path leads to the file, it is the version of it.
        builder().expect(&version).skip_unchanged(true).write(&one, dir.read("one")).unwrap();
        let error =
            builder().expect(&version).symlinks(Symlinks::Replace).write(&link, "").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Conflict, "the link is not the file");
        fs::remove_file(&link).unwrap();
        symlink("other", &link).unwrap();
        assert!(!version.is_current().unwrap(), "the link leads elsewhere");
        let error = builder().expect(&version).write(&link, "mine").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Conflict);
        assert_eq!(fs::read(&other).unwrap(), b"2");
        fs::remove_file(&link).unwrap();
        symlink("one", &link).unwrap();
    }
    let dangling = dir.path("dangling");
    symlink("missing", &dangling).unwrap();
    let nothing = Version::of(&dangling).unwrap();
    builder().expect(&nothing).write(&dangling, "new").unwrap();
    assert_eq!(dir.read("missing"), "new");
}

#[test]
fn what_is_no_regular_file_has_no_version() {
    if lacks(&[Feature::Fifos, Feature::Symlinks]) {
        return;
    }
    let dir = Dir::new();
    let (fifo, null) = (dir.path("fifo"), dir.path("null"));
    make_fifo(&fifo);
    symlink("/dev/null", &null).unwrap();
    for path in [&fifo, &null, &"/proc/self/fd/1".into()] {
        assert_eq!(Version::of(path).unwrap_err().kind(), ErrorKind::SpecialFile);
    }
    assert_eq!(Version::of(dir.root()).unwrap_err().kind(), ErrorKind::IsADirectory);
    let target = dir.path("target");
    // What a descriptor leads to is a file, but what is written into it could not be taken back.
    let file = fs::File::create(&target).unwrap();
    let version = Version::of(&target).unwrap();
    let mut through = builder();
    through.expect(&version).special_files(SpecialFiles::WriteThrough);
    let open = through.open(format!("/proc/self/fd/{}", file.file().as_raw_fd()));
    assert_eq!(open.unwrap_err().kind(), ErrorKind::SpecialFile);
    fs::remove_file(&target).unwrap();
    for was_there in [false, true] {
        if was_there {
            fs::write(&target, "old").unwrap();
        }
        let version = Version::of(&target).unwrap();
        if was_there {
            fs::remove_file(&target).unwrap();
        }
        make_fifo(&target);
        assert!(!version.is_current().unwrap());
        for special_files in [SpecialFiles::Refuse, SpecialFiles::WriteThrough] {
            let mut builder = builder();
            let open = builder.expect(&version).special_files(special_files).open(&target);
            assert_eq!(open.unwrap_err().kind(), ErrorKind::SpecialFile);
        }
        fs::remove_file(&target).unwrap();
    }
}

#[test]
fn the_current_directory_may_change_meanwhile() {
    if let Some(given) = crate::child::given() {
        std::env::set_current_dir(given.dir.root()).unwrap();
        let version = Version::of("target").unwrap();
        let commit = builder().tracking(Tracking::Metadata).expect(&version).write("target", "new");
        let commit = commit.unwrap();
        let directory = fs::File::open(".").unwrap();
        let mut writer = builder()
            .expect(commit.version().unwrap())
            .tracking(Tracking::Metadata)
            .open_at(directory.file(), "target")
            .unwrap();
        std::io::Write::write_all(&mut writer, b"newer").unwrap();
        std::env::set_current_dir("/").unwrap();
        assert!(!version.is_current().unwrap());
        assert!(commit.version().unwrap().is_current().unwrap());
        assert!(writer.commit().unwrap().version().unwrap().is_current().unwrap());
        return;
    }
    let dir = Dir::new();
    dir.write("target", "old");
    let test = "versions::linux::the_current_directory_may_change_meanwhile";
    crate::child::Child::of(test).run(&dir, "");
    assert_eq!(dir.read("target"), "newer");
}

/// A hard link is no change of the contents, but it shows in the same time that betrays one.
#[test]
fn a_change_of_status_is_a_change() {
    if lacks(&[Feature::Modes, Feature::ExactTimes]) {
        return;
    }
    let dir = Dir::new();
    let target = dir.write("target", "old");
    let version = Version::of(&target).unwrap();
    let changed = status(Command::new("chmod").arg("640").arg(&target));
    assert!(changed.unwrap().success());
    assert!(!version.is_current().unwrap());
    check_conflict(builder().expect(&version).write(&target, "mine"), &dir, Some("old"));
}

#[test]
fn where_no_file_can_be_there_is_no_version_of_one() {
    let error = Version::of("").unwrap_err();
    assert_eq!((error.kind(), error.step()), (ErrorKind::InvalidPath, Step::Resolve));

    let dir = Dir::new();
    dir.make("below");
    let target = dir.write("below/target", "old");
    let version = Version::of(&target).unwrap();
    let save = || builder().expect(&version).write(&target, "mine").unwrap_err().kind();
    fs::remove_file(&target).unwrap();
    fs::create_dir(&target).unwrap();
    assert!(!version.is_current().unwrap());
    assert_eq!(save(), ErrorKind::IsADirectory);
    // That nothing can be there is not that nothing is there.
    fs::remove_dir(&target).unwrap();
    fs::remove_dir(dir.path("below")).unwrap();
    dir.write("below", "a file");
    let error = version.is_current().unwrap_err();
    assert_eq!((error.kind(), error.step()), (ErrorKind::NotADirectory, Step::Resolve));
    assert_eq!(save(), ErrorKind::NotADirectory);
    dir.assert_only(&["below"]);
}

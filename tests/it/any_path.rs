//! No path makes a save panic or leave anything behind.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::Path;

use fs_err as fs;
use proptest::prelude::{Strategy, any};
use wholefile::{AtomicWriter, TargetState};

use crate::dir::Dir;
use crate::draws::runner;
use crate::place::{Feature, lacks};
use crate::system::make_fifo;

/// Components that a path can be made of, from harmless to impossible.
fn any_path() -> impl Strategy<Value = Vec<u8>> {
    const COMPONENTS: [&[u8]; 16] = [
        b"",
        b".",
        b"..",
        b"new",
        b"file",
        b"directory",
        b"link",
        b"to directory",
        b"loop",
        b"dangling",
        b"fifo",
        b"\xff\xfe",
        b"nul\0",
        &[b'n'; 255],
        &[b'n'; 256],
        b"\n",
    ];
    let component = proptest::sample::select(&COMPONENTS[..]);
    proptest::collection::vec(component, 0..6).prop_map(|components| components.join(&b'/'))
}

#[test]
fn no_path_makes_a_save_panic_or_leave_anything_behind() {
    if lacks(&[Feature::Symlinks, Feature::Fifos]) {
        return;
    }
    // So deep that no path leads out of it.
    const DEEP: &str = "1/2/3/4/5/6";
    let (saved, refused) = (std::cell::Cell::new(0), std::cell::Cell::new(0));
    let run = runner(500).run(&(any_path(), any::<bool>()), |(path, parents)| {
        let dir = Dir::new();
        let deep = dir.make(DEEP);
        dir.make("1/2/3/4/5/6/directory");
        dir.write("1/2/3/4/5/6/file", "old");
        make_fifo(&deep.join("fifo"));
        let links = [("link", "file"), ("to directory", "directory"), ("loop", "loop")];
        for (link, text) in links.into_iter().chain([("dangling", "directory/new")]) {
            symlink(text, deep.join(link)).unwrap();
        }
        let before = dir.names();
        let path = [deep.as_os_str().as_bytes(), &path].join(&b'/');
        let path = Path::new(OsStr::from_bytes(&path));
        match AtomicWriter::builder().create_parents(parents).write(path, "new") {
            Ok(_) => {
                assert_eq!(fs::read(path).unwrap(), b"new");
                saved.set(saved.get() + 1);
            }
            Err(error) => {
                assert_eq!(error.target_state(), TargetState::Untouched);
                assert!(!error.to_string().is_empty());
                assert_eq!(dir.names(), before);
                refused.set(refused.get() + 1);
            }
        }
        assert!(dir.temps().is_empty());
        Ok(())
    });
    run.unwrap_or_else(|failure| panic!("{failure}"));
    assert!(saved.get() >= 20 && refused.get() >= 100, "{} saved", saved.get());
}

//! In a chroot or a container without /proc, saves keep all that they keep elsewhere.

use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use fs_err as fs;
use wholefile::{
    AtomicBatch, AtomicDir, AtomicWriter, Durability, Metadata, Outcome, Preserve, Staging,
    Version, atomic_update, sweep,
};

use crate::child::{self, Child};
use crate::dir::Dir;
use crate::place::{Feature, lacks};
use crate::system::{chmod, chown, is_root, set_acl, set_xattr, xattr};

const TEST: &str = "without_proc::everything_works_and_everything_is_kept";
/// In a mount namespace of its own.
const HIDE_PROC: &str =
    "exec unshare --mount sh -c 'mount -t tmpfs none /proc; exec \"$@\"' sh \"$@\"";

#[test]
fn everything_works_and_everything_is_kept() {
    if let Some(given) = child::given() {
        assert!(!Path::new("/proc/self").exists());
        return save_all(&given.dir);
    }
    let kept = [Feature::Owners, Feature::Modes, Feature::Acls, Feature::UserXattrs];
    let needed = [Feature::Exchange, Feature::HeldNumbers, Feature::LinkNumbers];
    if !is_root(TEST) || lacks(&kept) || lacks(&needed) {
        return;
    }
    let dir = Dir::new();
    dir.write("target", "old");
    chown(dir.path("target"), 1234, 1234);
    chmod(dir.path("target"), 0o640);
    set_acl(&dir.path("target"), "u:1000:r");
    set_xattr(&dir.path("target"), "user.test", b"kept");
    dir.make("tree/below");
    dir.write("tree/below/file", "old");
    Child::of(TEST).after(HIDE_PROC).run(&dir, "all");
    let names = ["batch", "target", "tree", "tree/below", "tree/below/file", "unnamed"];
    dir.assert_only(&names);
}

fn save_all(dir: &Dir) {
    let target = dir.path("target");
    let mut builder = AtomicWriter::builder();
    for metadata in [Metadata::Owner, Metadata::Mode, Metadata::Xattrs] {
        builder.preserve(metadata, Preserve::Require);
    }
    let version = Version::with_contents_of(&target).unwrap();
    builder.expect(&version).write(&target, "new").unwrap();
    let commit = atomic_update(&target, |old| Ok([old.unwrap(), b"er".to_vec()].concat()));
    let commit = commit.unwrap();
    assert!(commit.not_preserved().is_empty(), "{commit:?}");
    let saved = fs::metadata(&target).unwrap();
    // The bits of the group are the ACL's mask.
    assert_eq!((saved.uid(), saved.gid(), saved.mode() & 0o777), (1234, 1234, 0o640));
    assert_eq!(dir.read("target"), "newer");
    assert_eq!(xattr(&target, "user.test").as_deref(), Some(&b"kept"[..]));
    assert!(xattr(&target, "system.posix_acl_access").is_some());

    let mut unnamed = AtomicWriter::builder();
    let mut writer = unnamed.staging(Staging::Unnamed).open(dir.path("unnamed")).unwrap();
    writer.write_all(&[b'x'; 100_000]).unwrap();
    assert!(writer.staging_path().unwrap().exists());
    assert_eq!(writer.commit().unwrap().outcome(), Outcome::Created);

    let mut batch = AtomicBatch::new();
    batch.journal(dir.path("journal")).unwrap();
    batch.write(dir.path("batch"), "new").unwrap();
    batch.commit().unwrap();

    let mut trees = AtomicDir::builder();
    let tree = trees.durability(Durability::Ordered).edit(dir.path("tree")).unwrap();
    fs::write(tree.path().join("below/file"), "new").unwrap();
    assert_eq!(tree.commit().unwrap().outcome(), Outcome::Replaced);
    assert_eq!(dir.read("tree/below/file"), "new");
    assert!(sweep(dir.root()).unwrap().errors().is_empty());
}

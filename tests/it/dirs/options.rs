//! What is set for a tree, and what its user does to it.

use fs_err as fs;
use wholefile::{
    AtomicDir, AtomicDirBuilder, Copying, Durability, ErrorKind, HardLinks, Lock, Metadata,
    Outcome, Preserve, Publish, ReadOnly, Swap, Sweeper, Symlinks, sweep,
};

use crate::dir::{Dir, sweep_when_free};
use crate::place::{Feature, lacks};
use crate::system::{chmod, is_root};

#[test]
fn each_setter_gives_the_builder_that_it_has_changed() {
    let setters: [fn(&mut AtomicDirBuilder) -> &mut AtomicDirBuilder; 13] = [
        |it| it.durability(Durability::None),
        |it| it.require_durability(true),
        |it| it.publish(Publish::CreateNew),
        |it| it.swap(Swap::Link),
        |it| it.copying(Copying::HardLinks),
        |it| it.symlinks(Symlinks::Refuse),
        |it| it.hard_links(HardLinks::Refuse),
        |it| it.read_only(ReadOnly::Replace),
        |it| it.preserve(Metadata::Times, Preserve::Try),
        |it| it.create_parents(true),
        |it| it.lock(Lock::Try),
        |it| it.staging_prefix("prefix"),
        |it| it.staging_suffix("suffix"),
    ];
    for (number, set) in setters.into_iter().enumerate() {
        let mut builder = AtomicDir::builder();
        let before = format!("{builder:?}");
        let own: *const AtomicDirBuilder = &builder;
        assert!(std::ptr::eq(set(&mut builder), own), "setter {number}");
        assert_ne!(format!("{builder:?}"), before, "setter {number}");
    }
}

#[test]
fn a_prefix_and_a_suffix_of_ones_own_are_those_of_the_staging_directory() {
    let dir = Dir::new();
    let mut builder = AtomicDir::builder();
    let staged = builder.staging_prefix("#").staging_suffix("+").open(dir.path("site")).unwrap();
    let name = staged.path().parent().unwrap().file_name().unwrap().to_str().unwrap().to_owned();
    assert!(name.starts_with('#') && name.ends_with('+') && name.len() == 14, "{name}");
    let (in_use, tree) = staged.keep().unwrap();
    let orphan = dir.path(&name);
    assert!(tree.starts_with(fs::canonicalize(&orphan).unwrap()));
    let mut sweeper = Sweeper::new();
    sweeper.staging_prefix("#").staging_suffix("+");
    assert_eq!(sweeper.run(dir.root()).unwrap().alive(), std::slice::from_ref(&orphan));
    drop(in_use);
    assert!(sweep(dir.root()).unwrap().removed().is_empty());
    assert_eq!(sweep_when_free(&sweeper, dir.root()).removed(), [orphan]);
    let error = builder.staging_suffix("a/b").open(dir.path("site")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidOption);
    dir.assert_only(&[]);
}

#[test]
fn where_there_is_no_tree_yet_the_edited_one_starts_empty() {
    let dir = Dir::new();
    let staged = AtomicDir::builder().edit(dir.path("site")).unwrap();
    assert_eq!(fs::read_dir(staged.path()).unwrap().count(), 0);
    staged.write("file", "first").unwrap();
    assert_eq!(staged.commit().unwrap().outcome(), Outcome::Created);
    dir.assert_only(&["site", "site/file"]);
}

/// Until it is published, its owner may fill it.
#[test]
fn the_tree_of_a_read_only_directory_is_so_again_unless_its_user_says_otherwise() {
    const TEST: &str = "dirs::options::\
        the_tree_of_a_read_only_directory_is_so_again_unless_its_user_says_otherwise";
    // Nobody else may move a directory that cannot be written.
    if lacks(&[Feature::Modes, Feature::Exchange]) || !is_root(TEST) {
        return;
    }
    for (given, published) in [(None, 0o555), (Some(0o750), 0o750)] {
        let dir = Dir::new();
        let site = dir.make("site");
        chmod(&site, 0o555);
        let staged = AtomicDir::builder().read_only(ReadOnly::Replace).open(&site).unwrap();
        if let Some(mode) = given {
            chmod(staged.path(), mode);
        }
        staged.write("file", "new").unwrap();
        staged.commit().unwrap();
        assert_eq!(dir.mode("site"), published);
    }
}

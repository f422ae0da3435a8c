//! How a tree is replaced, and how it is copied.

/// How a tree that is there is replaced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Swap {
    /// The two directories are exchanged in one step. Where the file system or the platform cannot,
    /// `commit` fails with [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) and the target
    /// is untouched.
    ///
    /// What has taken the target's name at the last moment, and may not be replaced, is put back,
    /// unless this process is killed between the two: then it is where the tree was staged, and a
    /// [`sweep`](crate::sweep()) removes it as it does an old tree.
    #[default]
    Exchange,
    /// The target is a symlink to a directory beside it, a generation, and the link is replaced by
    /// one to the next generation. This works on every file system that has symlinks.
    ///
    /// Whoever goes by the target's path more than once may meet two generations, as with an
    /// exchange; whoever resolves the link once, or opens the directory, has one. Whoever read the
    /// link right before it was switched may find its generation gone, and tries again. A target
    /// that is a directory itself cannot be switched and is refused; one that is a link to anywhere
    /// else can, and what it led to stays. A generation is named like a temp file, with `.tree` at
    /// its end. One that another link beside it leads to or through, by whatever path, stays as
    /// long as that does; one that no link beside it names any more is an orphan. So whoever wants
    /// to be able to go back makes another link to the current generation before the commit.
    ///
    /// Unix only.
    Link,
}

/// How [`edit`](crate::AtomicDirBuilder::edit) copies files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Copying {
    /// Each file in the staged tree is one of its own: a clone that shares its blocks with the old
    /// file until either is written to, where the file system has such a thing (Linux: btrfs, XFS,
    /// bcachefs and others), else a copy of the bytes.
    #[default]
    Separate,
    /// The files are hard links to those of the old tree, so that nothing is copied.
    ///
    /// **Whoever writes into such a file, or changes its mode, owner or xattrs, changes it in the
    /// tree that others are reading, before the commit and whether or not there is one.** So this
    /// is for those who change the staged tree only by replacing files: by
    /// [`AtomicDir::write`](crate::AtomicDir::write) and
    /// [`AtomicDir::remove_all`](crate::AtomicDir::remove_all), or by programs that are known to do
    /// so. What cannot be linked is copied.
    HardLinks,
}

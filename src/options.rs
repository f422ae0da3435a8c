//! The options of a [`Builder`](crate::Builder).

mod backup;
mod choices;

use std::ffi::OsString;

pub use self::backup::Backup;
pub use self::choices::{
    Durability, HardLinks, InUse, Lock, Metadata, Preserve, Publish, ReadOnly, SpecialFiles,
    Staging, Symlinks, SyncPlan, Tracking,
};

/// What a target is to be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Wanted {
    #[default]
    File,
    Directory,
}

/// All that a [`Builder`](crate::Builder) holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Options {
    pub(crate) wanted: Wanted,
    pub(crate) durability: Durability,
    pub(crate) require_durability: bool,
    pub(crate) sync_plan: SyncPlan,
    pub(crate) publish: Publish,
    pub(crate) symlinks: Symlinks,
    pub(crate) special_files: SpecialFiles,
    pub(crate) hard_links: HardLinks,
    pub(crate) read_only: ReadOnly,
    pub(crate) in_use: InUse,
    pub(crate) preserve: PreserveSet,
    pub(crate) mode: Option<u32>,
    pub(crate) create_parents: bool,
    pub(crate) lock: Lock,
    pub(crate) staging: Staging,
    pub(crate) staging_prefix: Option<OsString>,
    pub(crate) staging_suffix: Option<OsString>,
    pub(crate) buffer_size: usize,
    pub(crate) reserve: u64,
    pub(crate) skip_unchanged: bool,
    pub(crate) tracking: Tracking,
    pub(crate) backup: Backup,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            wanted: Wanted::default(),
            durability: Durability::default(),
            require_durability: false,
            sync_plan: SyncPlan::default(),
            publish: Publish::default(),
            symlinks: Symlinks::default(),
            special_files: SpecialFiles::default(),
            hard_links: HardLinks::default(),
            read_only: ReadOnly::default(),
            in_use: InUse::default(),
            preserve: PreserveSet::default(),
            mode: None,
            create_parents: false,
            lock: Lock::default(),
            staging: Staging::default(),
            staging_prefix: None,
            staging_suffix: None,
            buffer_size: 64 << 10,
            reserve: 0,
            skip_unchanged: false,
            tracking: Tracking::default(),
            backup: Backup::default(),
        }
    }
}

/// The level of preservation for each kind of metadata.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PreserveSet {
    pub(crate) owner: Preserve,
    pub(crate) mode: Preserve,
    pub(crate) xattrs: Preserve,
    pub(crate) times: Preserve,
}

impl Default for PreserveSet {
    fn default() -> Self {
        PreserveSet {
            owner: Preserve::Try,
            mode: Preserve::Try,
            xattrs: Preserve::Try,
            times: Preserve::Skip,
        }
    }
}

impl PreserveSet {
    pub(crate) fn set(&mut self, metadata: Metadata, preserve: Preserve) {
        *match metadata {
            Metadata::Owner => &mut self.owner,
            Metadata::Mode => &mut self.mode,
            Metadata::Xattrs => &mut self.xattrs,
            Metadata::Times => &mut self.times,
        } = preserve;
    }

    pub(crate) fn get(&self, metadata: Metadata) -> Preserve {
        match metadata {
            Metadata::Owner => self.owner,
            Metadata::Mode => self.mode,
            Metadata::Xattrs => self.xattrs,
            Metadata::Times => self.times,
        }
    }
}

//! The option combinations that change how a tree is published.

use crate::fault::Op;
use crate::{AtomicDirBuilder, Copying, Durability, Lock, Metadata, Preserve, Publish, Swap};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Before {
    Nothing,
    Tree,
    /// A link to a generation.
    Link,
    NoParents,
}

#[derive(Clone, Copy)]
pub(super) enum Start {
    Open,
    Edit,
}

pub(super) struct Case {
    pub(super) name: &'static str,
    pub(super) before: Before,
    pub(super) start: Start,
    pub(super) lacking: &'static [Op],
    pub(super) pretending: &'static [Op],
    pub(super) set: fn(&mut AtomicDirBuilder) -> &mut AtomicDirBuilder,
}

fn plain(builder: &mut AtomicDirBuilder) -> &mut AtomicDirBuilder {
    builder.lock(Lock::None)
}

/// That nothing is taken over from the tree that is there.
fn bare(builder: &mut AtomicDirBuilder) -> &mut AtomicDirBuilder {
    for metadata in [Metadata::Owner, Metadata::Mode, Metadata::Xattrs] {
        builder.preserve(metadata, Preserve::Skip);
    }
    builder
}

const fn case(name: &'static str, before: Before, start: Start) -> Case {
    Case { name, before, start, lacking: &[], pretending: &[], set: plain }
}

impl Case {
    const fn lacking(mut self, lacking: &'static [Op]) -> Case {
        self.lacking = lacking;
        self
    }

    const fn pretending(mut self, pretending: &'static [Op]) -> Case {
        self.pretending = pretending;
        self
    }

    const fn set(mut self, set: fn(&mut AtomicDirBuilder) -> &mut AtomicDirBuilder) -> Case {
        self.set = set;
        self
    }
}

pub(super) const CASES: &[Case] = &[
    case("create", Before::Nothing, Start::Open),
    case("replace", Before::Tree, Start::Open),
    case("edit", Before::Tree, Start::Edit),
    case("edit by hard links", Before::Tree, Start::Edit)
        .set(|builder| builder.copying(Copying::HardLinks)),
    case("edit without durability", Before::Tree, Start::Edit)
        .set(|builder| builder.durability(Durability::None)),
    case("replace ordered", Before::Tree, Start::Open)
        .set(|builder| builder.durability(Durability::Ordered)),
    case("replace with required durability", Before::Tree, Start::Open)
        .set(|builder| builder.require_durability(true)),
    case("replace where directories cannot be synced", Before::Tree, Start::Open)
        .lacking(&[Op::SyncDirectory]),
    case("edit where one journal keeps the order", Before::Tree, Start::Edit)
        .pretending(&[Op::Identify]),
    case("edit where names have no kind", Before::Tree, Start::Edit).pretending(&[Op::List]),
    case("edit with the times", Before::Tree, Start::Edit)
        .set(|builder| builder.preserve(Metadata::Times, Preserve::Require)),
    case("replace without the metadata", Before::Tree, Start::Open).set(bare),
    case("create with parents", Before::NoParents, Start::Open)
        .set(|builder| builder.create_parents(true)),
    case("create under the lock", Before::Nothing, Start::Open)
        .set(|builder| builder.lock(Lock::Try)),
    case("create new", Before::Nothing, Start::Open)
        .set(|builder| builder.publish(Publish::CreateNew)),
    case("create new without rename flags", Before::Nothing, Start::Open)
        .lacking(&[Op::RenameNoReplace])
        .set(|builder| builder.publish(Publish::CreateNew)),
    case("replace existing", Before::Tree, Start::Open)
        .set(|builder| builder.publish(Publish::Existing)),
    case("replace without an exchange", Before::Tree, Start::Open).lacking(&[Op::Exchange]),
    case("create a link", Before::Nothing, Start::Open).set(|builder| builder.swap(Swap::Link)),
    case("create a new link", Before::Nothing, Start::Open)
        .set(|builder| builder.swap(Swap::Link).publish(Publish::CreateNew)),
    case("create a new link without rename flags", Before::Nothing, Start::Open)
        .lacking(&[Op::RenameNoReplace])
        .set(|builder| builder.swap(Swap::Link).publish(Publish::CreateNew)),
    case("switch a link", Before::Link, Start::Edit).set(|builder| builder.swap(Swap::Link)),
    case("switch a link without rename flags", Before::Link, Start::Open)
        .lacking(&[Op::RenameNoReplace])
        .set(|builder| builder.swap(Swap::Link).publish(Publish::Existing)),
    case("switch a link where directories cannot be synced", Before::Link, Start::Open)
        .lacking(&[Op::SyncDirectory])
        .set(|builder| builder.swap(Swap::Link)),
    case("switch a link with required durability", Before::Link, Start::Open)
        .set(|builder| builder.swap(Swap::Link).require_durability(true)),
    case("switch an existing link", Before::Link, Start::Open)
        .set(|builder| builder.swap(Swap::Link).publish(Publish::Existing)),
    case("switch what is no link", Before::Tree, Start::Open)
        .set(|builder| builder.swap(Swap::Link)),
];

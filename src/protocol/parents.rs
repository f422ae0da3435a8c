//! Creating the directories that lead to the target, and taking them back on a rollback.

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use crate::sys::{self, Directory};

/// The directories that were created for a target, or for many. Dropped, it removes those of its
/// own making that are still empty.
#[derive(Debug, Default)]
pub(crate) struct CreatedParents(Vec<Created>);

/// The permissions that any new directory gets, as far as the umask leaves them.
const MODE: u32 = 0o777;

#[derive(Debug)]
struct Created {
    parent: Arc<Directory>,
    name: OsString,
    by: Maker,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Maker {
    ThisSave,
    SomebodyElse,
}

impl CreatedParents {
    /// Opens the directory `path`, relative to `base`, and creates what is missing on the way.
    pub(crate) fn open(
        &mut self,
        base: Option<&Arc<Directory>>,
        path: &Path,
    ) -> io::Result<Arc<Directory>> {
        let root: PathBuf = path.components().take_while(is_root).collect();
        let mut directory = match base {
            Some(base) if root.as_os_str().is_empty() => Arc::clone(base),
            _ if root.as_os_str().is_empty() => Arc::new(sys::open_directory(None, ".".as_ref())?),
            _ => Arc::new(sys::open_directory(None, &root)?),
        };
        for component in path.components().skip_while(is_root) {
            directory = Arc::new(self.enter(&directory, component.as_os_str())?);
        }
        Ok(directory)
    }

    fn enter(&mut self, parent: &Arc<Directory>, name: &OsStr) -> io::Result<Directory> {
        match sys::open_directory(Some(parent), name.as_ref()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            result => return result,
        }
        let by = match sys::make_directory(parent, name, MODE) {
            // Somebody else made it meanwhile; whether that one survives a power cut is not known
            // either, so it is synced just the same.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Maker::SomebodyElse,
            result => result.map(|()| Maker::ThisSave)?,
        };
        self.0.push(Created { parent: Arc::clone(parent), name: name.to_owned(), by });
        sys::open_directory(Some(parent), name.as_ref())
    }

    /// The directories that hold the name of a created one, deepest first.
    pub(crate) fn holders(&self) -> impl Iterator<Item = &Directory> {
        self.0.iter().rev().map(|created| &*created.parent)
    }

    /// Takes over what was created for another target. `share` gives the directory that is held
    /// already in place of another that is the same.
    pub(crate) fn take_over(
        &mut self,
        other: &mut CreatedParents,
        mut share: impl FnMut(Arc<Directory>) -> io::Result<Arc<Directory>>,
    ) -> io::Result<()> {
        let mut shared = Vec::with_capacity(other.0.len());
        for created in &other.0 {
            shared.push(share(Arc::clone(&created.parent))?);
        }
        for (created, parent) in other.0.drain(..).zip(shared) {
            self.0.push(Created { parent, ..created });
        }
        Ok(())
    }

    /// Takes over those of `other` as they are.
    pub(crate) fn append(&mut self, mut other: CreatedParents) {
        self.0.append(&mut other.0);
    }

    /// Removes those of its own making that nothing is in, the last one first, and remembers the
    /// others.
    pub(crate) fn remove_empty(&mut self) {
        // Bounded by their number. More than once only where several threads have noted them in
        // another order than that in which they made them.
        for _ in 0..self.0.len() {
            let before = self.0.len();
            // From the end, so that each goes after what was created in it.
            for index in (0..before).rev() {
                let Created { parent, name, by } = &self.0[index];
                if *by == Maker::ThisSave && is_removed(parent, name) {
                    self.0.remove(index);
                }
            }
            if self.0.len() == before {
                break;
            }
        }
    }

    /// Leaves the directories where they are.
    pub(crate) fn keep(&mut self) {
        self.0.clear();
    }
}

fn is_root(component: &Component<'_>) -> bool {
    matches!(component, Component::Prefix(_) | Component::RootDir)
}

/// It is not where somebody has put something into it: then it is theirs.
fn is_removed(parent: &Directory, name: &OsStr) -> bool {
    match sys::remove_directory(parent, name) {
        Err(error) => error.kind() == io::ErrorKind::NotFound,
        Ok(()) => true,
    }
}

impl Drop for CreatedParents {
    fn drop(&mut self) {
        self.remove_empty();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two threads note what they have made in whatever order they come to it.
    #[test]
    #[cfg_attr(miri, ignore = "Miri has no openat(2)")]
    fn what_was_created_is_removed_in_whatever_order_it_was_noted() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut parents = CreatedParents::default();
        parents.open(None, &folder.path().join("a/b/c/d")).expect("they are created");
        assert_eq!(parents.0.len(), 4);
        parents.0.reverse();
        parents.remove_empty();
        assert!(parents.0.is_empty() && !folder.path().join("a").exists());
    }
}

//! Removing all that is in a directory, however deep it goes and whatever permissions it has,
//! without following a link or crossing into what is mounted there.

use std::ffi::{OsStr, OsString};
use std::io;

use crate::sys::{self, Directory, Entry, FileKind};

/// As many levels are open at a time, each with a descriptor. What lies deeper is moved up.
const MAX_LEVELS: usize = 32;
/// As often as this, what lay too deep is removed where it was moved to: two million levels.
const MAX_TURNS: usize = 1 << 16;
/// As many names are tried for what is moved up.
const MAX_NAMES: usize = 1000;

const ALL_OF_THE_OWNER: u32 = 0o700;

/// Removes all that is in `root` except what bears one of those names, as far as it can. Gives the
/// first thing that went wrong.
pub(super) fn empty(root: &Directory, except: &[&OsStr]) -> Option<io::Error> {
    let mut removal = Removal { root, except, names: 0, moved: 0, error: None };
    for _ in 0..MAX_TURNS {
        let before = removal.moved;
        removal.empty(root, 0);
        if removal.moved == before {
            break;
        }
    }
    removal.error
}

/// Opens a directory of the caller's own, with all rights of its owner.
pub(super) fn enter(directory: &Directory, name: &OsStr) -> io::Result<Directory> {
    let inside = match sys::open_inside(directory, name) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            sys::make_accessible(directory, name)?;
            sys::open_inside(directory, name)?
        }
        result => result?,
    };
    let mode = sys::inspect_directory(&inside)?.mode;
    if mode & ALL_OF_THE_OWNER != ALL_OF_THE_OWNER {
        // Who needs them and cannot get them will see.
        let _ = sys::set_directory_mode(&inside, mode | ALL_OF_THE_OWNER);
    }
    Ok(inside)
}

/// Opens a directory for somebody who will give it back the mode that comes with it, if one does.
pub(super) fn enter_for_a_while(at: Entry<'_>) -> io::Result<(Directory, Option<u32>)> {
    const TO_READ: u32 = 0o500;
    let Entry { directory, name } = at;
    let closed = match sys::open_inside(directory, name) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            let closed = sys::look(directory, name)?;
            sys::make_accessible(directory, name)?;
            return Ok((sys::open_inside(directory, name)?, closed.map(|it| it.info.mode)));
        }
        result => result?,
    };
    let mode = sys::inspect_directory(&closed)?.mode;
    if mode & TO_READ == TO_READ {
        return Ok((closed, None));
    }
    let is_open = sys::set_directory_mode(&closed, mode | TO_READ).is_ok();
    Ok((closed, is_open.then_some(mode)))
}

struct Removal<'a> {
    root: &'a Directory,
    except: &'a [&'a OsStr],
    /// How many names were tried for what is moved up.
    names: usize,
    /// How many directories were moved up.
    moved: usize,
    error: Option<io::Error>,
}

impl Removal<'_> {
    fn empty(&mut self, directory: &Directory, level: usize) {
        let names = match sys::list(directory, |_, _| true) {
            Ok(names) => names,
            Err(error) => return self.went_wrong(error),
        };
        for (name, kind) in names {
            if level == 0 && self.except.contains(&&*name) {
                continue;
            }
            if let Err(error) = self.remove(directory, &name, kind, level) {
                self.went_wrong(error);
            }
        }
    }

    fn went_wrong(&mut self, error: io::Error) {
        // What somebody else removes is gone as well.
        if error.kind() != io::ErrorKind::NotFound {
            self.error.get_or_insert(error);
        }
    }

    fn remove(
        &mut self,
        directory: &Directory,
        name: &OsStr,
        kind: Option<FileKind>,
        level: usize,
    ) -> io::Result<()> {
        let kind = match kind {
            Some(kind) => Some(kind),
            None => sys::look(directory, name)?.map(|existing| existing.info.kind),
        };
        if kind != Some(FileKind::Directory) {
            return sys::remove_entry(directory, name);
        }
        if level == MAX_LEVELS {
            // An empty one need not be moved.
            return sys::remove_directory(directory, name)
                .or_else(|_| self.move_up(directory, name));
        }
        let inside = match enter(directory, name) {
            Ok(inside) => inside,
            // An empty one can be removed by who may not look into it.
            Err(error) => return sys::remove_directory(directory, name).map_err(|_| error),
        };
        self.empty(&inside, level + 1);
        drop(inside); // Windows removes no directory that is open
        sys::remove_directory(directory, name)
    }

    /// Moves a directory to the root, where it is removed at the next turn.
    fn move_up(&mut self, directory: &Directory, name: &OsStr) -> io::Result<()> {
        for _ in 0..MAX_NAMES {
            self.names += 1;
            let up = OsString::from(format!("moved-{}", self.names));
            let (from, to) = (Entry { directory, name }, Entry { directory: self.root, name: &up });
            let mut result = sys::move_directory(from, to);
            if matches!(&result, Err(error) if error.kind() == io::ErrorKind::PermissionDenied) {
                // It is to learn of its new parent, so that its owner must be able to write to it.
                sys::make_accessible(directory, name)?;
                result = sys::move_directory(from, to);
            }
            match result.as_ref().map_err(io::Error::kind) {
                Err(
                    io::ErrorKind::AlreadyExists
                    | io::ErrorKind::DirectoryNotEmpty
                    | io::ErrorKind::NotADirectory,
                ) => {}
                _ => {
                    self.moved += usize::from(result.is_ok());
                    return result;
                }
            }
        }
        Err(io::ErrorKind::AlreadyExists.into())
    }
}

#[cfg(all(test, unix))]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;
    use std::path::Path;

    use rustix::io::Errno;

    use super::*;
    use crate::fault::{Fault, Op, Plan, with_plan};

    const NAME: &str = "inside";

    /// A directory with one in it that has this mode.
    fn place(mode: u32) -> (tempfile::TempDir, Directory) {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join(NAME)).unwrap();
        fs::set_permissions(root.path().join(NAME), PermissionsExt::from_mode(mode)).unwrap();
        let directory = sys::open_directory(None, root.path()).unwrap();
        (root, directory)
    }

    fn mode_of(root: &Path) -> u32 {
        fs::metadata(root.join(NAME)).unwrap().permissions().mode() & 0o7777
    }

    fn counts(plan: &Plan, op: Op) -> usize {
        plan.log.iter().filter(|it| **it == op).count()
    }

    /// Root may do without the rights, so that only the modes tell whether others get them.
    #[test]
    #[cfg_attr(miri, ignore = "Miri has no openat(2)")]
    fn a_directory_is_entered_with_all_rights_of_its_owner_and_changed_for_no_others() {
        let name = NAME.as_ref();
        for (before, after, changes) in
            [(0o500, 0o700, 1), (0o550, 0o750, 1), (0o700, 0o700, 0), (0o755, 0o755, 0)]
        {
            let (root, directory) = place(before);
            let (inside, plan) = with_plan(Plan::default(), || enter(&directory, name));
            inside.unwrap();
            let found = (mode_of(root.path()), counts(&plan, Op::SetMode));
            assert_eq!(found, (after, changes), "{before:o}");
        }
        for (before, meanwhile, gets_back) in [
            (0o300, 0o700, Some(0o300)),
            (0o200, 0o700, Some(0o200)),
            (0o500, 0o500, None),
            (0o755, 0o755, None),
        ] {
            let (root, directory) = place(before);
            let at = Entry { directory: &directory, name };
            let (_, mode) = enter_for_a_while(at).unwrap();
            let found = (mode.map(|it| it & 0o7777), mode_of(root.path()));
            assert_eq!(found, (gets_back, meanwhile), "{before:o}");
        }
    }

    #[test]
    #[cfg_attr(miri, ignore = "Miri has no openat(2)")]
    fn what_is_denied_is_made_accessible_and_any_other_error_is_told() {
        for (error, is_denied) in [(Errno::ACCESS, true), (Errno::IO, false)] {
            let (root, directory) = place(0o750);
            let at = Entry { directory: &directory, name: NAME.as_ref() };
            let plan =
                Plan { at: Some((0, Fault::Error(error.raw_os_error()))), ..Plan::default() };
            let (entered, made) = with_plan(plan.clone(), || enter_for_a_while(at));
            assert_eq!(made.log[0], Op::OpenDirectory);
            let mode = entered.map(|(_, mode)| mode.map(|it| it & 0o7777));
            let told = mode.map_err(|error| error.raw_os_error());
            let expected =
                if is_denied { Ok(Some(0o750)) } else { Err(Some(error.raw_os_error())) };
            assert_eq!((told, mode_of(root.path()) == 0o700), (expected, is_denied));
            let entered = with_plan(plan, || enter(&directory, NAME.as_ref())).0;
            assert_eq!(entered.is_ok(), is_denied);
        }
    }

    /// Whatever was staged under such a name, it stands in the way of what lies too deep.
    #[test]
    #[cfg_attr(miri, ignore = "Miri has no openat(2)")]
    fn what_stays_stays_and_is_in_nothings_way() {
        let root = tempfile::tempdir().unwrap();
        let stays = ["moved-1", "moved-2"];
        fs::write(root.path().join(stays[0]), "").unwrap();
        fs::create_dir_all(root.path().join(stays[1]).join("full")).unwrap();
        for name in ["deep", "also deep"] {
            let top = root.path().join(name);
            let deep = (0..40).fold(top.clone(), |path, it| path.join(it.to_string()));
            // In the tree no name is spared.
            fs::create_dir_all(deep.join(stays[0])).unwrap();
            fs::write(top.join(stays[1]), "").unwrap();
        }
        let directory = sys::open_directory(None, root.path()).unwrap();
        let error = empty(&directory, &stays.map(OsStr::new));
        assert!(error.is_none(), "{error:?}");
        let names = fs::read_dir(root.path()).unwrap().map(|entry| entry.unwrap().file_name());
        let mut names: Vec<_> = names.collect();
        names.sort();
        assert_eq!(names, stays);
    }
}

//! The system calls of a save: their names, and what each is for.

use nix::errno::Errno;
use nix::libc;

use crate::groups::Group;

/// One system call as it was made.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) number: i64,
    pub(crate) arguments: [u64; 6],
    /// The paths among its arguments, in order.
    pub(crate) paths: Vec<String>,
    /// What the save was told: a result, or the negated error.
    pub(crate) result: i64,
}

/// Memory, signals, time and threads: they change nothing on disk, and how often they occur depends
/// on the allocator.
const IGNORED: &[i64] = &[
    libc::SYS_brk,
    libc::SYS_mmap,
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_mprotect,
    libc::SYS_madvise,
    libc::SYS_futex,
    libc::SYS_getrandom,
    libc::SYS_getpid,
    libc::SYS_gettid,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigreturn,
    libc::SYS_sched_yield,
    libc::SYS_clock_gettime,
    libc::SYS_clock_nanosleep,
    libc::SYS_restart_syscall,
];

const NAMES: &[(i64, &str)] = &[
    (libc::SYS_access, "access"),
    (libc::SYS_chmod, "chmod"),
    (libc::SYS_clone3, "clone3"),
    (libc::SYS_close, "close"),
    (libc::SYS_copy_file_range, "copy_file_range"),
    (libc::SYS_fallocate, "fallocate"),
    (libc::SYS_fchmod, "fchmod"),
    (libc::SYS_fchmodat, "fchmodat"),
    (libc::SYS_fchmodat2, "fchmodat2"),
    (libc::SYS_fchown, "fchown"),
    (libc::SYS_fchownat, "fchownat"),
    (libc::SYS_fcntl, "fcntl"),
    (libc::SYS_fdatasync, "fdatasync"),
    (libc::SYS_fgetxattr, "fgetxattr"),
    (libc::SYS_flistxattr, "flistxattr"),
    (libc::SYS_flock, "flock"),
    (libc::SYS_fremovexattr, "fremovexattr"),
    (libc::SYS_fsetxattr, "fsetxattr"),
    (libc::SYS_fstat, "fstat"),
    (libc::SYS_fstatfs, "fstatfs"),
    (libc::SYS_fsync, "fsync"),
    (libc::SYS_ftruncate, "ftruncate"),
    (libc::SYS_getdents64, "getdents64"),
    (libc::SYS_getegid, "getegid"),
    (libc::SYS_geteuid, "geteuid"),
    (libc::SYS_getxattr, "getxattr"),
    (libc::SYS_ioctl, "ioctl"),
    (libc::SYS_linkat, "linkat"),
    (libc::SYS_listxattr, "listxattr"),
    (libc::SYS_lseek, "lseek"),
    (libc::SYS_mkdir, "mkdir"),
    (libc::SYS_mkdirat, "mkdirat"),
    (libc::SYS_newfstatat, "newfstatat"),
    (libc::SYS_openat, "openat"),
    (libc::SYS_openat2, "openat2"),
    (libc::SYS_pread64, "pread64"),
    (libc::SYS_pwrite64, "pwrite64"),
    (libc::SYS_read, "read"),
    (libc::SYS_readlink, "readlink"),
    (libc::SYS_readlinkat, "readlinkat"),
    (libc::SYS_rename, "rename"),
    (libc::SYS_renameat, "renameat"),
    (libc::SYS_renameat2, "renameat2"),
    (libc::SYS_rmdir, "rmdir"),
    (libc::SYS_statx, "statx"),
    (libc::SYS_symlinkat, "symlinkat"),
    (libc::SYS_sync_file_range, "sync_file_range"),
    (libc::SYS_unlink, "unlink"),
    (libc::SYS_unlinkat, "unlinkat"),
    (libc::SYS_utimensat, "utimensat"),
    (libc::SYS_write, "write"),
    (libc::SYS_writev, "writev"),
];

/// Whether the call is neither killed at nor failed.
pub(crate) fn is_ignored(number: i64) -> bool {
    IGNORED.contains(&number)
}

/// Which of the arguments are paths.
pub(crate) fn path_arguments(number: i64) -> &'static [usize] {
    match number {
        libc::SYS_renameat | libc::SYS_renameat2 | libc::SYS_linkat => &[1, 3],
        libc::SYS_rename => &[0, 1],
        libc::SYS_symlinkat => &[0, 2],
        libc::SYS_openat
        | libc::SYS_openat2
        | libc::SYS_unlinkat
        | libc::SYS_mkdirat
        | libc::SYS_fchownat
        | libc::SYS_newfstatat
        | libc::SYS_statx
        | libc::SYS_readlinkat
        | libc::SYS_utimensat => &[1],
        libc::SYS_unlink
        | libc::SYS_mkdir
        | libc::SYS_rmdir
        | libc::SYS_chmod
        | libc::SYS_access
        | libc::SYS_readlink
        | libc::SYS_getxattr
        | libc::SYS_listxattr => &[0],
        _ => &[],
    }
}

impl Call {
    pub(crate) fn name(&self) -> &'static str {
        NAMES.iter().find(|(number, _)| *number == self.number).map_or("?", |(_, name)| name)
    }

    pub(crate) fn succeeded(&self) -> bool {
        self.result >= 0
    }

    fn last_path_ends_with(&self, end: &str) -> bool {
        self.paths.last().is_some_and(|path| path.ends_with(end))
    }

    pub(crate) fn group(&self) -> Group {
        let has = |flag: i32, argument: usize| {
            let flags = self.arguments[argument] as i32;
            flags & flag == flag
        };
        match self.number {
            libc::SYS_openat if has(libc::O_TMPFILE, 2) => Group::CreateUnnamed,
            libc::SYS_openat if has(libc::O_CREAT, 2) && self.last_path_ends_with(".lock") => {
                Group::OpenLock
            }
            libc::SYS_openat if has(libc::O_CREAT, 2) => Group::CreateTemp,
            libc::SYS_openat if has(libc::O_DIRECTORY, 2) => Group::OpenDirectory,
            libc::SYS_openat => Group::Open,
            libc::SYS_openat2 => Group::OpenBelow,
            libc::SYS_fstat
            | libc::SYS_newfstatat
            | libc::SYS_statx
            | libc::SYS_fstatfs
            | libc::SYS_access => Group::Look,
            libc::SYS_readlinkat | libc::SYS_readlink => Group::ReadLink,
            libc::SYS_flock => Group::Lock,
            libc::SYS_write | libc::SYS_writev | libc::SYS_pwrite64 => Group::Write,
            libc::SYS_read | libc::SYS_pread64 => Group::Read,
            libc::SYS_lseek => Group::Seek,
            libc::SYS_ftruncate => Group::SetLen,
            libc::SYS_fallocate => Group::Reserve,
            libc::SYS_sync_file_range => Group::StartWriteback,
            libc::SYS_fsync | libc::SYS_fdatasync => Group::Sync,
            libc::SYS_linkat if self.last_path_ends_with(".tmp") => Group::Name,
            libc::SYS_rename | libc::SYS_renameat | libc::SYS_renameat2 | libc::SYS_linkat => {
                Group::Publish
            }
            libc::SYS_unlinkat if has(libc::AT_REMOVEDIR, 2) => Group::RemoveDirectory,
            libc::SYS_rmdir => Group::RemoveDirectory,
            libc::SYS_unlinkat if self.last_path_ends_with(".lock") => Group::RemoveLock,
            libc::SYS_unlinkat | libc::SYS_unlink => Group::RemoveTemp,
            libc::SYS_mkdirat | libc::SYS_mkdir => Group::MakeDirectory,
            libc::SYS_fchmod
            | libc::SYS_fchmodat
            | libc::SYS_fchmodat2
            | libc::SYS_fchown
            | libc::SYS_fchownat
            | libc::SYS_utimensat
            | libc::SYS_chmod => Group::Attribute,
            libc::SYS_flistxattr | libc::SYS_listxattr => Group::ListXattrs,
            libc::SYS_fgetxattr | libc::SYS_getxattr => Group::ReadXattr,
            libc::SYS_fsetxattr | libc::SYS_fremovexattr => Group::ChangeXattr,
            libc::SYS_getdents64 => Group::List,
            libc::SYS_symlinkat => Group::MakeLink,
            libc::SYS_ioctl => Group::Clone,
            libc::SYS_fcntl => Group::Duplicate,
            libc::SYS_close => Group::Close,
            libc::SYS_geteuid | libc::SYS_getegid => Group::Ask,
            libc::SYS_clone | libc::SYS_clone3 => Group::Ask,
            _ => Group::Other,
        }
    }

    /// The errors that it can return.
    pub(crate) fn errors(&self) -> Vec<Errno> {
        let mut errors = self.group().errors();
        let waits = self.number == libc::SYS_flock && self.arguments[1] as i32 & libc::LOCK_NB == 0;
        errors.retain(|errno| !(waits && *errno == Errno::EAGAIN));
        errors
    }

    /// How many bytes a call was asked to move, where it may move fewer.
    pub(crate) fn movable(&self) -> Option<u64> {
        let is_plain = matches!(
            self.number,
            libc::SYS_write | libc::SYS_pwrite64 | libc::SYS_read | libc::SYS_pread64
        );
        is_plain.then_some(self.arguments[2])
    }
}

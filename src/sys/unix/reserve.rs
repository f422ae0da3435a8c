//! Reserving space.

use std::fs::File;
use std::io;

use rustix::fs;

#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) fn reserve(file: &File, len: u64) -> io::Result<()> {
    use rustix::io::Errno;
    // KEEP_SIZE: the length stays what was written; what is not needed is given back at the seal.
    match fs::fallocate(file, fs::FallocateFlags::KEEP_SIZE, 0, len) {
        Err(Errno::OPNOTSUPP | Errno::NOSYS) => require_free_space(file, len),
        result => Ok(result?),
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(crate) fn reserve(file: &File, len: u64) -> io::Result<()> {
    require_free_space(file, len)
}

fn require_free_space(file: &File, len: u64) -> io::Result<()> {
    let space = fs::fstatvfs(file)?;
    if space.f_bavail.saturating_mul(space.f_frsize) < len {
        return Err(io::ErrorKind::StorageFull.into());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg_attr(miri, ignore = "Miri has no fstatvfs(2)")]
    fn where_nothing_can_be_reserved_so_much_must_be_free() {
        let file = tempfile::tempfile().unwrap();
        let check = |len| require_free_space(&file, len).map_err(|error| error.kind());
        assert_eq!((check(0), check(1)), (Ok(()), Ok(())));
        assert_eq!(check(u64::MAX), Err(io::ErrorKind::StorageFull));
    }
}

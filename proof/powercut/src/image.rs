//! The contents of a disk: blocks that copies share until one of them is written to, so that a copy
//! costs a list of pointers. Shared blocks are also hashed only once.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::sync::{Arc, OnceLock};

use fs_err::os::unix::fs::FileExt;
use rustix::fs::{FallocateFlags, fallocate};

const BLOCK: usize = 4096;
/// What a disk writes whole or not at all.
pub(crate) const SECTOR: usize = 512;

struct Block {
    bytes: [u8; BLOCK],
    hash: OnceLock<u64>,
}

impl Clone for Block {
    /// For being written to, so the hash does not come along.
    fn clone(&self) -> Block {
        Block { bytes: self.bytes, hash: OnceLock::new() }
    }
}

/// A disk of a fixed size. Blocks of zeroes are not stored.
#[derive(Clone)]
pub(crate) struct Image {
    blocks: Vec<Option<Arc<Block>>>,
}

impl Image {
    pub(crate) fn new(size: u64) -> Image {
        let blocks = usize::try_from(size).expect("an image fits into memory") / BLOCK;
        Image { blocks: vec![None; blocks] }
    }

    pub(crate) fn size(&self) -> u64 {
        (self.blocks.len() * BLOCK) as u64
    }

    /// Equal for images of equal contents, and else almost surely different.
    pub(crate) fn hash(&self) -> u64 {
        let blocks = self.blocks.iter().enumerate();
        blocks.fold(0, |all, (index, block)| match block {
            Some(block) => all ^ block.hash.get_or_init(|| hash_of(index, &block.bytes)),
            None => all,
        })
    }

    pub(crate) fn read(&self, offset: u64, bytes: &mut [u8]) {
        for_each_block(offset, bytes.len(), |index, start, range| {
            let target = &mut bytes[range];
            match &self.blocks[index] {
                Some(block) => target.copy_from_slice(&block.bytes[start..start + target.len()]),
                None => target.fill(0),
            }
        });
    }

    pub(crate) fn write(&mut self, offset: u64, bytes: &[u8]) {
        for_each_block(offset, bytes.len(), |index, start, range| {
            self.change(index, start, start + range.len(), |old| {
                old.copy_from_slice(&bytes[range])
            });
        });
    }

    pub(crate) fn zero(&mut self, offset: u64, len: u64) {
        let len = usize::try_from(len).expect("a length of a disk fits into memory");
        for_each_block(offset, len, |index, start, range| {
            if self.blocks[index].is_some() {
                self.change(index, start, start + range.len(), |old| old.fill(0));
            }
        });
    }

    fn change(&mut self, index: usize, start: usize, end: usize, change: impl FnOnce(&mut [u8])) {
        let slot = &mut self.blocks[index];
        let empty = || Arc::new(Block { bytes: [0; BLOCK], hash: OnceLock::new() });
        let block = Arc::make_mut(slot.get_or_insert_with(empty));
        block.hash.take();
        change(&mut block.bytes[start..end]);
        if block.bytes == [0; BLOCK] {
            *slot = None;
        }
    }

    /// Makes the image the contents of `file`, which becomes sparse.
    pub(crate) fn save(&self, file: &fs_err::File) -> io::Result<()> {
        file.set_len(self.size())?;
        let everything = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        fallocate(file.file(), everything, 0, self.size())?;
        for (index, block) in self.blocks.iter().enumerate() {
            if let Some(block) = block {
                file.write_all_at(&block.bytes, (index * BLOCK) as u64)?;
            }
        }
        Ok(())
    }
}

/// Calls `visit` with the index of each block of a range, where in the block the range begins, and
/// which bytes of the range these are.
fn for_each_block(
    offset: u64,
    len: usize,
    mut visit: impl FnMut(usize, usize, std::ops::Range<usize>),
) {
    let offset = usize::try_from(offset).expect("an offset on a disk fits into memory");
    let mut done = 0;
    while done < len {
        let start = (offset + done) % BLOCK;
        let here = (BLOCK - start).min(len - done);
        visit((offset + done) / BLOCK, start, done..done + here);
        done += here;
    }
}

fn hash_of(index: usize, bytes: &[u8; BLOCK]) -> u64 {
    let mut hasher = DefaultHasher::new();
    index.hash(&mut hasher);
    hasher.write(bytes);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_does_not_see_what_is_written_to_the_original() {
        let mut image = Image::new(4 * BLOCK as u64);
        image.write(BLOCK as u64 - 2, b"abcd");
        let copy = image.clone();
        image.write(BLOCK as u64, b"xy");
        let read = |image: &Image| {
            let mut bytes = [0; 6];
            image.read(BLOCK as u64 - 3, &mut bytes);
            bytes
        };
        assert_eq!(read(&copy), *b"\0abcd\0");
        assert_eq!(read(&image), *b"\0abxy\0");
        assert_ne!(copy.hash(), image.hash());
    }

    #[test]
    fn the_hash_depends_on_the_contents_and_not_on_the_way_there() {
        let mut one = Image::new(4 * BLOCK as u64);
        let mut two = one.clone();
        one.write(10, b"ab");
        one.write(BLOCK as u64 * 2, b"gone");
        let earlier = one.hash();
        one.zero(BLOCK as u64, BLOCK as u64 * 2);
        assert_ne!(one.hash(), earlier);
        two.write(11, b"b");
        two.write(10, b"a");
        assert_eq!(one.hash(), two.hash());
        one.zero(0, BLOCK as u64);
        assert_eq!(one.hash(), Image::new(0).hash());
    }
}

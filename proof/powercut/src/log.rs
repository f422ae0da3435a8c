//! What a disk was asked to do, in order.

use std::sync::Arc;

use crate::image::Image;

#[derive(Clone, Debug)]
pub(crate) enum Payload {
    Bytes(Arc<[u8]>),
    /// A discard or a write of zeroes, of so many bytes.
    Zeroes(u64),
}

#[derive(Clone, Debug)]
pub(crate) struct Write {
    pub(crate) offset: u64,
    pub(crate) payload: Payload,
}

impl Write {
    pub(crate) fn len(&self) -> u64 {
        match &self.payload {
            Payload::Bytes(bytes) => bytes.len() as u64,
            Payload::Zeroes(len) => *len,
        }
    }

    pub(crate) fn apply(&self, image: &mut Image) {
        self.apply_part(image, 0, self.len());
    }

    /// Writes only the bytes from `start` to `end` of this write.
    pub(crate) fn apply_part(&self, image: &mut Image, start: u64, end: u64) {
        match &self.payload {
            Payload::Bytes(bytes) => {
                image.write(self.offset + start, &bytes[start as usize..end as usize]);
            }
            Payload::Zeroes(_) => image.zero(self.offset + start, end - start),
        }
    }
}

#[derive(Clone, Debug)]
pub(crate) enum Record {
    Write(Write),
    /// Everything before it is durable once it has returned.
    Flush,
    /// The writer said that this commit, and all before it, had returned `Ok`.
    Acknowledged(u32),
}

/// The writes between two flushes. A power cut before the second one leaves any part of them.
#[derive(Debug, Default)]
pub(crate) struct Epoch {
    pub(crate) writes: Vec<Write>,
    /// The last commit that was acknowledged before the flush that ends the epoch: the power cut
    /// comes as late as it can, so that as much as possible was promised.
    pub(crate) acknowledged: u32,
    /// The same, when the epoch began.
    pub(crate) acknowledged_before: u32,
}

pub(crate) fn epochs(records: &[Record]) -> Vec<Epoch> {
    let mut epochs = vec![Epoch::default()];
    for record in records {
        let epoch = epochs.last_mut().expect("there is always one");
        match record {
            Record::Write(write) => epoch.writes.push(write.clone()),
            Record::Acknowledged(commit) => epoch.acknowledged = *commit,
            Record::Flush => {
                let acknowledged = epoch.acknowledged;
                let next =
                    Epoch { acknowledged, acknowledged_before: acknowledged, writes: vec![] };
                epochs.push(next);
            }
        }
    }
    epochs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flush_ends_an_epoch_and_an_acknowledgement_counts_from_the_epoch_it_is_in() {
        let write = || Record::Write(Write { offset: 0, payload: Payload::Zeroes(512) });
        let records = [
            write(),
            Record::Flush,
            write(),
            write(),
            Record::Acknowledged(1),
            Record::Flush,
            Record::Flush,
            Record::Acknowledged(2),
        ];
        let epochs: Vec<_> = epochs(&records)
            .iter()
            .map(|epoch| (epoch.writes.len(), epoch.acknowledged_before, epoch.acknowledged))
            .collect();
        assert_eq!(epochs, [(1, 0, 0), (2, 0, 1), (0, 1, 1), (0, 1, 2)]);
    }
}

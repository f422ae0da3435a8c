//! The end of a save whose contents the target has already.

use super::AtomicWriter;
use crate::commit::Commit;
use crate::concurrency::version::has_same_state;
use crate::error::Result;
use crate::protocol::staging::Plan;
use crate::protocol::{tracking, unchanged};
use crate::sys::Existing;

/// Whether the target has other contents than the new ones.
#[allow(clippy::large_enum_variant, reason = "it is taken apart at once")]
pub(super) enum Difference {
    Some(AtomicWriter),
    None(Commit),
}

impl AtomicWriter {
    pub(super) fn unless_unchanged(mut self) -> Result<Difference> {
        match self.unchanged() {
            Ok(None) => Ok(Difference::Some(self)),
            Ok(Some(commit)) => self.leave(commit, None).map(Difference::None),
            Err(error) => Err(self.abandon_after(error)),
        }
    }

    fn unchanged(&mut self) -> Result<Option<Commit>> {
        if !self.options.skip_unchanged {
            return Ok(None);
        }
        let (contents, plan) = self.parts();
        unchanged::check(contents, plan)
    }

    /// The receipt of an update that made the same bytes of those that it was given, unless there
    /// is something else to change, or somebody who knows nothing of the lock has changed it since.
    pub(crate) fn unchanged_by_update(&mut self) -> Result<Option<Commit>> {
        // Held until the end, so that nothing else has its number.
        let seen = self.target.existing.take();
        self.target.look_again(&self.options)?;
        match (&seen, &self.target.existing) {
            (Some(Existing { info: seen, .. }), Some(Existing { info: now, .. }))
                if has_same_state(seen, now) && seen.changed == now.changed =>
            {
                unchanged::check_update(Plan { target: &self.target, options: &self.options })
            }
            _ => Ok(None),
        }
    }

    /// Ends a save that has nothing to write: the target has the contents of the writer already, or
    /// those given.
    pub(crate) fn leave(mut self, mut commit: Commit, new: Option<&[u8]>) -> Result<Commit> {
        if let (Some(way), Some(existing)) = (self.way.take(), self.target.existing.take()) {
            let (contents, plan) = self.parts();
            match tracking::of_unchanged(contents, new, plan, existing, way) {
                Ok(version) => commit.version = Some(version),
                Err(error) => return Err(self.abandon_after(error)),
            }
        }
        self.rollback().map(|()| commit)
    }
}

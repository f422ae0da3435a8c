//! Which calls meet which faults.

use std::collections::HashMap;

use nix::errno::Errno;

use crate::calls::Call;
use crate::groups::Group;
use crate::judge::First;
use crate::tracer::{Fault, Plan};

/// How much is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Extent {
    /// Every call is killed at, and fails with one of its errors and with all those that decide
    /// what is done next.
    Short,
    /// One call in so many is killed at, and one of each kind meets one of its faults, the next
    /// the next.
    Sparse(usize),
    /// Every call fails with every error.
    Long,
}

/// One run of a scenario.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Trial {
    pub(crate) fault: Plan,
    /// For a kill: what is done first after it.
    pub(crate) first: First,
}

impl Trial {
    pub(crate) fn describe(&self, clean: &[Call]) -> String {
        let Some((at, fault)) = self.fault else { return "without a fault".into() };
        let call = clean.get(at).map_or("?", Call::name);
        let group = clean.get(at).map(Call::group);
        format!("{fault:?} at call {at}, {call} ({:?})", group.unwrap_or(Group::Other))
    }
}

pub(crate) fn of(clean: &[Call], extent: Extent) -> Vec<Trial> {
    let mut trials = vec![Trial { fault: None, first: First::Write }];
    let mut seen: HashMap<Group, usize> = HashMap::new();
    for (at, call) in clean.iter().enumerate() {
        let orders = match extent {
            Extent::Long => &[First::Write, First::Sweep][..],
            Extent::Sparse(of) if at % of != 0 => &[],
            Extent::Short | Extent::Sparse(_) if at % 2 == 0 => &[First::Write],
            Extent::Short | Extent::Sparse(_) => &[First::Sweep],
        };
        let kill = Some((at, Fault::Kill));
        trials.extend(orders.iter().map(|first| Trial { fault: kill, first: *first }));
        let mut faults = faults(at, call, extent);
        if let (Extent::Sparse(of), false) = (extent, faults.is_empty()) {
            let turn = seen.entry(call.group()).or_default();
            faults = match *turn % of {
                0 => vec![faults[*turn / of % faults.len()]],
                _ => Vec::new(),
            };
            *turn += 1;
        }
        let trial = |fault| Trial { fault: Some((at, fault)), first: First::Write };
        trials.extend(faults.into_iter().map(trial));
    }
    trials
}

fn faults(at: usize, call: &Call, extent: Extent) -> Vec<Fault> {
    let group = call.group();
    let mut errors = call.errors();
    if extent == Extent::Short && !errors.is_empty() {
        // Another one at each call, so that all have their turn.
        let turn = errors[at % errors.len()];
        errors.retain(|errno| [Errno::EIO, Errno::EINTR, Errno::EINVAL, turn].contains(errno));
    }
    let mut faults: Vec<Fault> = errors.into_iter().map(Fault::Error).collect();
    if group == Group::Publish {
        faults.extend([Errno::EIO, Errno::ESTALE].map(Fault::DoneThenError));
    }
    match call.movable() {
        Some(len) if len > 1 => faults.extend([Fault::Short(1), Fault::Short(len / 2)]),
        _ => {}
    }
    if group != Group::Ask {
        faults.push(Fault::Gone);
    }
    if group.changes() {
        faults.push(Fault::ReadOnly);
    }
    if group.grows() {
        faults.push(Fault::Full);
    }
    faults
}

//! Which states a power cut can leave, and which of them are tried.
//!
//! What was flushed is there. Of the writes since the last flush, each may be there, not be there,
//! or be there in part, whatever became of the others: so a disk that reorders its cache is among
//! the states. In this order, until there are as many as are wanted:
//!
//! 1. every prefix of the log;
//! 2. in each epoch, all writes but one, one alone, and a prefix whose last write is torn;
//! 3. in each epoch, a random part of each write.
//!
//! Two states with the same contents of the disk are looked at once. They may still differ in what
//! had been promised by then, and are judged by each promise.

use std::collections::HashSet;
use std::ops::Range;

use anyhow::Result;
use clap::ValueEnum;

use crate::image::{Image, SECTOR};
use crate::log::{Epoch, Write};

/// In so many rounds over the log, at most, random states are looked for that were not there yet.
const MAX_ROUNDS: usize = 12;
/// As often as this, relative to what is wanted of an epoch, a random state is tried in a round.
const MAX_TRIES: usize = 3;

/// What became of the writes of an epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Recipe {
    /// The first so many are there, the others not.
    First(usize),
    /// All but this one are there.
    Without(usize),
    /// This one is there alone.
    Only(usize),
    /// Those before this one are there, and a random part of it.
    Torn(usize, u64),
    /// A random part of each.
    Random(u64),
}

#[derive(Clone, Copy, Debug)]
enum Fate {
    Kept,
    Lost,
    Torn(u64),
}

/// A state that is judged.
#[derive(Clone, Debug)]
pub(crate) struct State {
    pub(crate) epoch: usize,
    pub(crate) recipe: Recipe,
    /// The hash of the image.
    pub(crate) image: u64,
    pub(crate) acknowledged: u32,
}

#[derive(Default)]
pub(crate) struct Plan {
    pub(crate) states: Vec<State>,
    /// How many different images there are among them.
    pub(crate) images: usize,
    /// Of the prefixes of the log, how many are among the states, and how many there are.
    pub(crate) prefixes: (usize, usize),
}

/// How many prefixes of the log are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Prefixes {
    /// Each of them, even if these are more states than are wanted, and a third more of the others.
    All,
    /// A random choice that leaves room for as many others.
    Some,
}

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wish {
    pub(crate) images: usize,
    pub(crate) prefixes: Prefixes,
    pub(crate) seed: u64,
}

struct Planner<'a> {
    superblock: Range<u64>,
    wanted: usize,
    plan: Plan,
    images: HashSet<u64>,
    /// Images with the promises that they were judged by.
    judged: HashSet<(u64, u32)>,
    emit: &'a mut dyn FnMut(u64, Image) -> Result<()>,
}

/// Makes states until as many different images as are wanted are among them, or no more are found.
/// Each image is handed to `emit` once. In none of them is the `superblock` torn.
pub(crate) fn plan(
    base: &Image,
    epochs: &[Epoch],
    superblock: Range<u64>,
    wish: Wish,
    emit: &mut dyn FnMut(u64, Image) -> Result<()>,
) -> Result<Plan> {
    let mut random = fastrand::Rng::with_seed(wish.seed);
    let prefixes: usize = epochs.iter().map(|epoch| epoch.writes.len() + 1).sum();
    let (wanted, chosen) = match wish.prefixes {
        Prefixes::All => (wish.images.max(prefixes + prefixes / 3), prefixes),
        Prefixes::Some => (wish.images, wish.images / 2),
    };
    let (plan, images, judged) = (Plan::default(), HashSet::new(), HashSet::new());
    let mut planner = Planner { superblock, wanted, plan, images, judged, emit };

    planner.plan.prefixes.1 = prefixes;
    planner.round(base, epochs, |planner, image, index, epoch| {
        for first in 0..=epoch.writes.len() {
            if random.usize(..prefixes) < chosen {
                planner.consider(image, index, epoch, Recipe::First(first))?;
                planner.plan.prefixes.0 += 1;
            }
        }
        Ok(())
    })?;

    let quota = planner.quota(epochs).div_ceil(2);
    planner.round(base, epochs, |planner, image, index, epoch| {
        let mut recipes = systematic(epoch, &mut random);
        random.shuffle(&mut recipes);
        planner.consider_each(image, index, epoch, quota, recipes.into_iter())
    })?;

    for _ in 0..MAX_ROUNDS {
        let quota = planner.quota(epochs);
        planner.round(base, epochs, |planner, image, index, epoch| {
            let recipes = (0..quota * MAX_TRIES).map(|_| Recipe::Random(random.u64(..)));
            planner.consider_each(image, index, epoch, quota, recipes)
        })?;
    }
    planner.plan.images = planner.images.len();
    Ok(planner.plan)
}

fn systematic(epoch: &Epoch, random: &mut fastrand::Rng) -> Vec<Recipe> {
    let each = 0..epoch.writes.len();
    each.flat_map(|index| {
        [Recipe::Without(index), Recipe::Only(index), Recipe::Torn(index, random.u64(..))]
    })
    .collect()
}

impl Planner<'_> {
    /// How many images each epoch should add.
    fn quota(&self, epochs: &[Epoch]) -> usize {
        let with_choice = epochs.iter().filter(|epoch| !epoch.writes.is_empty()).count();
        self.wanted.saturating_sub(self.images.len()).div_ceil(with_choice.max(1))
    }

    /// Visits each epoch, with the image that is durable when it begins.
    fn round(
        &mut self,
        base: &Image,
        epochs: &[Epoch],
        mut visit: impl FnMut(&mut Self, &Image, usize, &Epoch) -> Result<()>,
    ) -> Result<()> {
        if self.images.len() >= self.wanted {
            return Ok(());
        }
        let mut image = base.clone();
        for (index, epoch) in epochs.iter().enumerate() {
            visit(self, &image, index, epoch)?;
            epoch.writes.iter().for_each(|write| write.apply(&mut image));
        }
        Ok(())
    }

    fn consider_each(
        &mut self,
        image: &Image,
        index: usize,
        epoch: &Epoch,
        quota: usize,
        recipes: impl Iterator<Item = Recipe>,
    ) -> Result<()> {
        let enough = (self.images.len() + quota).min(self.wanted);
        for recipe in recipes {
            if epoch.writes.is_empty() || self.images.len() >= enough {
                break;
            }
            self.consider(image, index, epoch, recipe)?;
        }
        Ok(())
    }

    fn consider(
        &mut self,
        durable: &Image,
        index: usize,
        epoch: &Epoch,
        recipe: Recipe,
    ) -> Result<()> {
        let image = build(durable, epoch, recipe, &self.superblock);
        let hash = image.hash();
        let acknowledged = epoch.acknowledged;
        if self.judged.insert((hash, acknowledged)) {
            self.plan.states.push(State { epoch: index, recipe, image: hash, acknowledged });
        }
        if self.images.insert(hash) {
            (self.emit)(hash, image)?;
        }
        Ok(())
    }
}

/// The image that `recipe` makes of what is `durable` when the epoch begins.
fn build(durable: &Image, epoch: &Epoch, recipe: Recipe, superblock: &Range<u64>) -> Image {
    let mut image = durable.clone();
    for (write, fate) in epoch.writes.iter().zip(fates(epoch.writes.len(), recipe)) {
        match fate {
            Fate::Kept => write.apply(&mut image),
            Fate::Lost => {}
            Fate::Torn(seed) => tear(&mut image, write, superblock, seed),
        }
    }
    image
}

/// The same for one epoch of a whole log.
pub(crate) fn rebuild(
    base: &Image,
    epochs: &[Epoch],
    state: &State,
    superblock: &Range<u64>,
) -> Image {
    let mut image = base.clone();
    for epoch in &epochs[..state.epoch] {
        epoch.writes.iter().for_each(|write| write.apply(&mut image));
    }
    build(&image, &epochs[state.epoch], state.recipe, superblock)
}

fn fates(writes: usize, recipe: Recipe) -> Vec<Fate> {
    let kept_if = |kept: bool| if kept { Fate::Kept } else { Fate::Lost };
    let each = 0..writes;
    match recipe {
        Recipe::First(first) => each.map(|index| kept_if(index < first)).collect(),
        Recipe::Without(one) => each.map(|index| kept_if(index != one)).collect(),
        Recipe::Only(one) => each.map(|index| kept_if(index == one)).collect(),
        Recipe::Torn(one, seed) => each
            .map(|index| if index == one { Fate::Torn(seed) } else { kept_if(index < one) })
            .collect(),
        Recipe::Random(seed) => {
            let mut random = fastrand::Rng::with_seed(seed);
            // Half of the time it ends before the epoch does.
            let end = if random.bool() { writes } else { random.usize(..=writes) };
            let kept = [0.1, 0.5, 0.9][random.usize(..3)];
            let torn = [0.0, 0.1, 0.5][random.usize(..3)];
            each.map(|index| match (random.f64(), random.f64(), random.u64(..)) {
                _ if index >= end => Fate::Lost,
                (_, chance, seed) if chance < torn => Fate::Torn(seed),
                (chance, ..) => kept_if(chance < kept),
            })
            .collect()
        }
    }
}

/// Writes a part of `write`: up to some sector, or from some sector on, or a random choice of
/// sectors.
fn tear(image: &mut Image, write: &Write, superblock: &Range<u64>, seed: u64) {
    let mut random = fastrand::Rng::with_seed(seed);
    let sector = SECTOR as u64;
    let cut = random.u64(..=write.len() / sector);
    let how = random.usize(..3);
    let mut is_kept = false;
    for start in (0..write.len()).step_by(SECTOR) {
        let at = write.offset + start;
        let goes_on = superblock.contains(&at) && at != superblock.start;
        if start == 0 || !goes_on {
            is_kept = match how {
                0 => start / sector < cut,
                1 => start / sector >= cut,
                _ => random.bool(),
            };
        }
        if is_kept {
            write.apply_part(image, start, start + sector);
        }
    }
}

/// What became of each write of the epoch, in words.
pub(crate) fn describe(epoch: &Epoch, recipe: Recipe) -> Vec<String> {
    let fates = fates(epoch.writes.len(), recipe);
    let each = epoch.writes.iter().zip(fates);
    each.map(|(write, fate)| format!("{:>12} +{:<8} {fate:?}", write.offset, write.len())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::Payload;

    const NONE: Range<u64> = 0..0;

    /// Three writes of two sectors each, of ones, twos and threes, side by side from sector 1.
    fn epoch() -> Epoch {
        let write = |index: u8| {
            let payload = Payload::Bytes(vec![index; 2 * SECTOR].into());
            Write { offset: (2 * u64::from(index) - 1) * SECTOR as u64, payload }
        };
        let writes = (1..=3).map(write).collect();
        Epoch { writes, acknowledged: 0, acknowledged_before: 0 }
    }

    /// The first byte of each of the first eight sectors, each of which must be uniform.
    fn sectors(image: &Image) -> [u8; 8] {
        std::array::from_fn(|index| {
            let mut sector = [0; SECTOR];
            image.read((index * SECTOR) as u64, &mut sector);
            assert_eq!(sector, [sector[0]; SECTOR], "a sector is torn");
            sector[0]
        })
    }

    #[test]
    fn each_recipe_makes_what_it_says() {
        let build_with = |recipe, superblock: Range<u64>| {
            sectors(&build(&Image::new(1 << 16), &epoch(), recipe, &superblock))
        };
        let build = |recipe| build_with(recipe, NONE);
        assert_eq!(build(Recipe::First(0)), [0; 8]);
        assert_eq!(build(Recipe::First(2)), [0, 1, 1, 2, 2, 0, 0, 0]);
        assert_eq!(build(Recipe::Without(0)), [0, 0, 0, 2, 2, 3, 3, 0]);
        assert_eq!(build(Recipe::Only(2)), [0, 0, 0, 0, 0, 3, 3, 0]);
        let torn: HashSet<_> = (0..100).map(|seed| build(Recipe::Torn(1, seed))).collect();
        let expected = [[0, 0], [2, 0], [0, 2], [2, 2]];
        assert_eq!(torn, expected.map(|[a, b]| [0, 1, 1, a, b, 0, 0, 0]).into());
        let superblock = 3 * SECTOR as u64..5 * SECTOR as u64;
        let build = |seed| build_with(Recipe::Torn(1, seed), superblock.clone());
        let torn: HashSet<_> = (0..100).map(build).collect();
        assert_eq!(torn, [[0, 1, 1, 0, 0, 0, 0, 0], [0, 1, 1, 2, 2, 0, 0, 0]].into());
    }

    #[test]
    fn every_state_that_there_is_is_found_once() {
        let mut images = HashSet::new();
        let wish = Wish { images: 1_000, prefixes: Prefixes::All, seed: 1 };
        let base = Image::new(1 << 16);
        let plan = plan(&base, &[epoch(), Epoch::default()], NONE, wish, &mut |hash, image| {
            assert_eq!(hash, image.hash());
            assert!(images.insert(sectors(&image)));
            Ok(())
        });
        // Each of six sectors is old or new.
        assert_eq!(images.len(), 1 << 6);
        let plan = plan.unwrap();
        assert_eq!(plan.images, images.len());
        assert_eq!(plan.prefixes, (5, 5));
    }
}

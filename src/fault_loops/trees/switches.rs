//! What becomes of a link and of both generations where switching it goes wrong.

use std::path::{Path, PathBuf};

use rustix::io::Errno;

use super::exchanges::{count, done, error, failing, last, meddling};
use super::intruders::run;
use super::{Before, GENERATION, Place};
use crate::fault::{Op, Plan, When, with_plan};
use crate::{
    AtomicDir, AtomicDirBuilder, DirCommit, Durability, ErrorKind, Publish, Result, Step, Swap,
    Sweeper, TargetState,
};

fn builder() -> AtomicDirBuilder {
    AtomicDir::builder().swap(Swap::Link).clone()
}

fn publish(builder: &AtomicDirBuilder, place: &Place, plan: Plan) -> (Result<DirCommit>, Plan) {
    let target = place.target();
    run(plan, || {
        let staged = builder.open(target)?;
        staged.write("index", "new")?;
        staged.commit()
    })
}

/// One that nobody disturbs.
#[track_caller]
fn clean(builder: &AtomicDirBuilder, before: Before) -> Plan {
    let (clean, plan) = publish(builder, &Place::new(before), Plan::default());
    clean.unwrap();
    plan
}

fn index(place: &Place) -> String {
    fs_err::read_to_string(place.target().join("index")).unwrap()
}

/// What the system says of a rename is one thing, and what it has done another.
#[test]
fn what_was_renamed_decides_what_becomes_of_a_link_and_its_generations() {
    let plan = clean(&builder(), Before::Link);
    // The generation gets its name, and then the link.
    let (name, link) = (last(&plan, Op::RenameNoReplace), last(&plan, Op::Rename));
    assert!(name < link);
    for (at, fault, expected) in [
        (name, error(Errno::IO), Err(TargetState::Untouched)),
        (name, done(Errno::IO), Ok(())),
        (link, error(Errno::IO), Err(TargetState::Untouched)),
        (link, done(Errno::IO), Err(TargetState::Replaced)),
    ] {
        let place = Place::new(Before::Link);
        let (result, _) = publish(&builder(), &place, failing(at, fault));
        let name = format!("{:?} {fault:?}: {result:?}", plan.log[at]);
        let told = result.as_ref().map(drop).map_err(crate::Error::target_state);
        assert_eq!(told, expected, "{name}");
        let mut leftovers: Vec<PathBuf> = Vec::new();
        if let Err(error) = &result {
            assert_eq!((error.kind(), error.step()), (ErrorKind::Io, Step::Publish), "{name}");
            leftovers.extend(error.leftovers().map(PathBuf::from));
        }
        let is_new = expected != Err(TargetState::Untouched);
        assert_eq!(index(&place), if is_new { "new" } else { "old" }, "{name}");
        // After a failure the old generation stays.
        let stays = (expected == Err(TargetState::Replaced)).then_some(GENERATION);
        let stays: Vec<PathBuf> =
            stays.map(|name| place.root.path().join(name)).into_iter().collect();
        assert_eq!((&leftovers, place.others()), (&stays, stays.clone()), "{name}");
    }
}

/// A rename puts no link in the place of a directory, which is no link that could be read either.
#[test]
fn a_directory_that_takes_the_place_of_a_link_is_untouched() {
    let plan = clean(&builder(), Before::Nothing);
    let take: fn(&Path) = |target| {
        fs_err::create_dir(target).unwrap();
        fs_err::write(target.join("index"), "theirs").unwrap();
    };
    let place = Place::new(Before::Nothing);
    let meddling = meddling(When::At(last(&plan, Op::Rename)), take, place.target());
    let error = publish(&builder(), &place, meddling).0.unwrap_err();
    assert_eq!((error.step(), error.target_state()), (Step::Publish, TargetState::Untouched));
    assert_eq!((index(&place).as_str(), place.others()), ("theirs", Vec::new()));
}

/// Else a power cut might leave a link that leads nowhere.
#[test]
fn the_name_of_a_generation_is_synced_before_a_link_leads_there() {
    for (durability, syncs) in
        [(Durability::None, 0), (Durability::Ordered, 1), (Durability::Full, 1)]
    {
        let mut plan = clean(builder().durability(durability), Before::Link);
        plan.log.truncate(last(&plan, Op::Rename));
        plan.log.drain(..last(&plan, Op::RenameNoReplace));
        assert_eq!(count(&plan, Op::SyncDirectory), syncs, "{durability}: {plan:?}");
    }
    for requires in [false, true] {
        let mut builder = builder();
        builder.require_durability(requires);
        let mut plan = clean(&builder, Before::Link);
        plan.log.truncate(last(&plan, Op::Rename));
        let sync = last(&plan, Op::SyncDirectory);
        for errno in [Errno::INVAL, Errno::IO] {
            let place = Place::new(Before::Link);
            let (result, _) = publish(&builder, &place, failing(sync, error(errno)));
            let told = result.map(|commit| commit.durability());
            let told = told.map_err(|error| (error.kind(), error.step(), error.target_state()));
            let untouched = TargetState::Untouched;
            let expected = match (errno, requires) {
                (Errno::IO, _) => Err((ErrorKind::Io, Step::Publish, untouched)),
                (_, false) => Ok(Durability::None),
                (_, true) => {
                    Err((ErrorKind::DurabilityUnavailable, Step::SyncDirectory, untouched))
                }
            };
            assert_eq!(told, expected, "{errno:?}, {requires}");
            assert_eq!(index(&place), if told.is_ok() { "new" } else { "old" });
            assert_eq!(place.others(), Vec::<PathBuf>::new(), "{errno:?}, {requires}");
        }
    }
}

#[test]
fn a_new_link_is_linked_only_where_there_is_no_rename_that_never_replaces() {
    let mut builder = builder();
    builder.publish(Publish::CreateNew);
    let switch = last(&clean(&builder, Before::Nothing), Op::RenameNoReplace);
    for (errno, is_survived) in [(Errno::INVAL, true), (Errno::IO, false)] {
        let place = Place::new(Before::Nothing);
        let (result, plan) = publish(&builder, &place, failing(switch, error(errno)));
        assert_eq!(result.is_ok(), is_survived, "{result:?}");
        assert_eq!(plan.log[switch + 1] == Op::Link, is_survived, "{plan:?}");
        assert_eq!(place.target().exists(), is_survived);
        assert_eq!(place.others(), Vec::<PathBuf>::new());
    }
}

/// Whatever a link led to that is no generation beside it is its user's, and stays.
#[test]
fn what_a_link_led_to_is_removed_only_if_it_is_a_generation_beside_it() {
    for (text, stays) in [
        (GENERATION.to_owned(), false),
        ("plain".to_owned(), true),
        (format!("folder/{GENERATION}"), true),
    ] {
        let place = Place::new(Before::Nothing);
        let old = place.root.path().join(&text);
        fs_err::create_dir_all(&old).unwrap();
        rustix::fs::symlink(&text, place.target()).unwrap();
        let commit = publish(&builder(), &place, Plan::default()).0.unwrap();
        assert_eq!(commit.leftovers().count(), 0, "{commit:?}");
        assert_eq!((index(&place).as_str(), old.exists()), ("new", stays), "{text}");
    }
}

#[test]
fn an_old_generation_is_on_the_receipt_if_it_stays_and_only_then() {
    let take_away = last(&clean(&builder(), Before::Link), Op::MoveDirectory);
    let remove: fn(&Path) = |generation| fs_err::remove_dir_all(generation).unwrap();
    for is_removed in [true, false] {
        let place = Place::new(Before::Link);
        let generation = place.root.path().join(GENERATION);
        let plan = match is_removed {
            // By another writer.
            true => meddling(When::At(take_away), remove, generation.clone()),
            false => failing(take_away, error(Errno::IO)),
        };
        let commit = publish(&builder(), &place, plan).0.unwrap();
        let named: Vec<&Path> = commit.leftovers().collect();
        let stays: &[&Path] = if is_removed { &[] } else { &[&generation] };
        assert_eq!((&named[..], place.others().len()), (stays, stays.len()));
        assert_eq!(index(&place), "new");
    }
}

/// The writer who had switched from it takes it away at any moment.
#[test]
fn a_generation_that_goes_while_it_is_swept_is_no_error() {
    let sweep = |index| {
        let place = Place::new(Before::Nothing);
        let generation = place.root.path().join(GENERATION);
        fs_err::create_dir(&generation).unwrap();
        let remove: fn(&Path) = |generation| {
            let _ = fs_err::remove_dir(generation); // unless the sweep has done so
        };
        let meddling = meddling(When::At(index), remove, generation.clone());
        let (sweep, plan) = with_plan(meddling, || Sweeper::new().run(place.root.path()).unwrap());
        assert!(!generation.exists());
        (sweep, plan)
    };
    let (clean, plan) = sweep(usize::MAX);
    assert_eq!(clean.removed().len(), 1, "{clean:?}");
    assert_eq!(count(&plan, Op::RemoveDirectory), 1, "{plan:?}");
    for index in 0..plan.log.len() {
        let (sweep, _) = sweep(index);
        assert!(sweep.errors().is_empty(), "{:?} at {index}: {sweep:?}", plan.log[index]);
    }
}

//! DEPENDENCIES.md says what is in Cargo.toml, in Cargo.lock and in the sources.

use std::collections::{BTreeMap, BTreeSet};

use toml::{Table, Value};

use super::{check, library, read};

type Names = BTreeSet<String>;

/// The rows of a document's table, each by the titles of its columns.
fn rows(document: &str, heading: &str) -> Vec<BTreeMap<String, String>> {
    let (_, section) = document.split_once(heading).unwrap_or_else(|| panic!("no {heading}"));
    let lines = section.lines().skip_while(|line| !line.starts_with('|'));
    let mut rows = lines
        .take_while(|line| line.starts_with('|'))
        .map(|line| line.trim_matches('|').split('|').map(|cell| cell.trim().replace('`', "")));
    let titles: Vec<String> = rows.next().expect("a row of titles").collect();
    rows.skip(1).map(|row| titles.iter().cloned().zip(row).collect()).collect()
}

fn reasons() -> Vec<BTreeMap<String, String>> {
    rows(&read("DEPENDENCIES.md"), "## Why each is there")
}

/// The crates of both tables, with their licences.
fn licences() -> BTreeMap<String, String> {
    let document = read("DEPENDENCIES.md");
    let rows = [rows(&document, "## Why each is there"), rows(&document, "## What they bring")];
    rows.concat().iter().map(|row| (row["crate"].clone(), row["licence"].clone())).collect()
}

/// Whether `entry` stands for `name`; one that ends in a star does so for all that begin like it.
fn stands_for(entry: &str, name: &str) -> bool {
    entry.strip_suffix('*').map_or(entry == name, |start| name.starts_with(start))
}

fn parsed(name: &str) -> Table {
    read(name).parse().unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// What every system, or only some of them, is built with.
fn manifest() -> BTreeMap<String, Value> {
    let manifest = parsed("Cargo.toml");
    let targets = manifest["target"].as_table().unwrap().values();
    let tables = targets.filter_map(|target| target.get("dependencies"));
    let tables = tables.chain(manifest.get("dependencies"));
    let entries = tables.flat_map(|table| table.as_table().unwrap().clone());
    let entries: BTreeMap<String, Value> = entries.collect();
    assert!(entries.len() >= 10, "found only {} dependencies", entries.len());
    entries
}

fn words(list: &str) -> Names {
    list.split(", ").filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

#[test]
fn each_dependency_has_its_reason_and_only_the_features_that_are_listed() {
    let mut breaches = Vec::new();
    let reasons = reasons();
    let manifest = manifest();
    for (name, entry) in &manifest {
        let Some(row) = reasons.iter().find(|row| row["crate"] == *name) else {
            breaches.push(format!("{name}: DEPENDENCIES.md does not say why it is there"));
            continue;
        };
        let features = entry.get("features").and_then(Value::as_array);
        let features: Names =
            features.into_iter().flatten().map(|name| name.as_str().unwrap().to_owned()).collect();
        if words(&row["features"]) != features {
            breaches.push(format!("{name}: other features than {features:?}"));
        }
        if entry.get("default-features").and_then(Value::as_bool) != Some(false) {
            breaches.push(format!("{name}: its default features are on"));
        }
        if entry.get("optional").is_some() {
            breaches.push(format!("{name}: it is optional"));
        }
        if row["why"].len() < 20 {
            breaches.push(format!("{name}: that is no reason: {}", row["why"]));
        }
    }
    for row in reasons.iter().filter(|row| !manifest.contains_key(&row["crate"])) {
        breaches.push(format!("{}: it is not in Cargo.toml", row["crate"]));
    }
    check(&breaches);
}

#[test]
fn each_dependency_is_named_where_the_list_says_and_nowhere_else() {
    let mut breaches = Vec::new();
    let sources = library();
    for row in reasons() {
        let name = row["crate"].replace('-', "_");
        let places = words(&row["named in src/"]);
        let mut unused = places.clone();
        for source in &sources {
            let inside = source.path.trim_start_matches("src/");
            let is_test =
                ["fault_loops/", "/tests/", "tests.rs"].iter().any(|it| inside.contains(it));
            if is_test || !source.code().any(|(_, line)| names(line, &name)) {
                continue;
            }
            unused.retain(|place| !inside.starts_with(place));
            if !places.iter().any(|place| inside.starts_with(place)) {
                breaches.push(format!("{name}: it is named in {} too", source.path));
            }
        }
        breaches.extend(unused.iter().map(|place| format!("{name}: it is not named in {place}")));
    }
    check(&breaches);
}

/// Whether the line has a path that begins with this crate.
fn names(line: &str, name: &str) -> bool {
    let is_word = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
    line.match_indices(name).any(|(at, _)| {
        let (before, after) = (&line[..at], &line[at + name.len()..]);
        !before.ends_with(is_word) && (after.starts_with("::") || after.starts_with(" as "))
    })
}

/// What Cargo.lock has besides comes with the tests.
#[test]
fn what_the_dependencies_bring_is_listed() {
    let lock = parsed("Cargo.lock");
    let packages = lock["package"].as_array().unwrap();
    let has = |package: &Value, key: &str, value: &str| package[key].as_str() == Some(value);
    // A dependency is a name, with a version behind it where there are several.
    let needed_by = |dependency: &str| -> Vec<&str> {
        let (name, version) = dependency.split_once(' ').unwrap_or((dependency, ""));
        let package = packages.iter().find(|package| {
            has(package, "name", name) && (version.is_empty() || has(package, "version", version))
        });
        let needed = package.unwrap().get("dependencies").and_then(Value::as_array);
        needed.into_iter().flatten().map(|entry| entry.as_str().unwrap()).collect()
    };
    let name_of = |dependency: &str| dependency.split(' ').next().unwrap().to_owned();
    let manifest = manifest();
    let mut waiting = needed_by(env!("CARGO_PKG_NAME"));
    waiting.retain(|dependency| manifest.contains_key(&name_of(dependency)));
    let mut seen = BTreeSet::new();
    // Bounded by the packages in the lock file.
    while let Some(dependency) = waiting.pop() {
        if seen.insert(dependency) {
            waiting.extend(needed_by(dependency));
        }
    }
    let brought: Names = seen.into_iter().map(name_of).collect();
    assert!(brought.len() >= 30, "found only {brought:?}");

    let listed = licences();
    let mut breaches = Vec::new();
    for name in brought.iter().filter(|name| !listed.keys().any(|entry| stands_for(entry, name))) {
        breaches.push(format!("{name}: DEPENDENCIES.md does not name it"));
    }
    for entry in listed.keys().filter(|entry| !brought.iter().any(|name| stands_for(entry, name))) {
        breaches.push(format!("{entry}: nothing brings it"));
    }
    check(&breaches);
}

/// Of those that this system is built with, since only those are sure to have been downloaded;
/// `ci/supply-chain.sh` asks for all. Under Wine there is no cargo to ask.
#[cfg(unix)]
#[test]
fn licences_are_those_that_the_list_says() {
    let tree = ["tree", "--locked", "--offline", "--edges", "normal,build", "--prefix", "none"];
    let output = std::process::Command::new(env!("CARGO"))
        .args(tree)
        .args(["--format", "{p}|{l}|"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let listed = licences();
    let mut breaches = Vec::new();
    let mut seen = Names::new();
    for line in String::from_utf8(output.stdout).unwrap().lines().skip(1) {
        let [package, licence, ..] = line.split('|').collect::<Vec<_>>()[..] else { continue };
        let name = package.split(' ').next().unwrap();
        let entry = listed.iter().find(|(entry, _)| stands_for(entry, name));
        if entry.is_none_or(|(_, listed)| listed != licence) {
            breaches.push(format!("{name}: its licence is {licence}"));
        }
        seen.insert(name.to_owned());
    }
    assert!(seen.len() >= 15, "saw only {seen:?}");
    check(&breaches);
}

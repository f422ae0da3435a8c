//! What was found, and whether what survived is explained.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;
use fs_err as fs;

use crate::changed::Changed;
use crate::list::Mutant;
use crate::look::{Found, Verdict};

pub(crate) fn report(
    package: &Path,
    work: &Path,
    mutants: &[Mutant],
    changed: &Changed,
    mut found: BTreeMap<String, Found>,
) -> Result<ExitCode> {
    let mut not_compiled = changed.left_out.len() - changed.alone().count();
    // cargo-mutants writes a file for each verdict, with a name in each line, of more changes than
    // it was to try.
    let asked: BTreeSet<&str> = changed.alone().map(|it| mutants[it].name.as_str()).collect();
    let alone = |file: &str| -> Vec<String> {
        let text = fs::read_to_string(work.join("mutants.out").join(file)).unwrap_or_default();
        text.lines().filter(|name| asked.contains(name)).map(str::to_owned).collect()
    };
    not_compiled += alone("unviable.txt").len();
    let verdicts = [
        ("caught.txt", Verdict::Noticed),
        ("timeout.txt", Verdict::Endless),
        ("missed.txt", Verdict::Survived),
    ];
    for (file, verdict) in verdicts {
        for name in alone(file) {
            found.insert(name.clone(), Found { name, verdict, by: None });
        }
    }
    // What was found in another state of the sources is not of this list.
    let known: BTreeMap<&str, &Mutant> = mutants.iter().map(|it| (it.name.as_str(), it)).collect();
    found.retain(|name, _| known.contains_key(name.as_str()));
    for (number, left_out) in &changed.left_out {
        if !left_out.may_compile_alone {
            found.remove(&mutants[*number].name);
        }
    }
    let count = |wanted: Verdict| found.values().filter(|it| it.verdict == wanted).count();
    let (endless, unreached) = (count(Verdict::Endless), count(Verdict::Unreached));
    let noticed = count(Verdict::Noticed) + endless;
    let missing = mutants.len() - not_compiled - found.len();
    println!(
        "mutants: {} changes compile, {noticed} noticed ({:.1} %), {endless} of them since a test \
         did not end; {not_compiled} do not compile; {missing} were not looked for",
        found.len(),
        100.0 * noticed as f64 / found.len().max(1) as f64,
    );
    let reasons = reasons(package)?;
    let survived =
        found.values().filter(|it| !matches!(it.verdict, Verdict::Noticed | Verdict::Endless));
    let survived: Vec<&Found> = survived.collect();
    let is_new = |it: &&&Found| !reasons.contains(&known[it.name.as_str()].known_as());
    let new: Vec<_> = survived.iter().filter(is_new).collect();
    for it in &new {
        println!("NEW {:?} {}", it.verdict, it.name);
    }
    println!(
        "{} of {} that survived ({unreached} where no test comes) are not in ci/mutants-not.txt",
        new.len(),
        survived.len()
    );
    Ok(if new.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The changes that do not matter, without their places, among the reasons why.
pub(crate) fn reasons(package: &Path) -> Result<BTreeSet<String>> {
    let reasons = fs::read_to_string(package.join("ci/mutants-not.txt"))?;
    Ok(reasons.lines().map(str::to_owned).collect())
}

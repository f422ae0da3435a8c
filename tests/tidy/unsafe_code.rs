//! Every use of `unsafe` says what makes it sound, and all of them are counted.

use std::collections::BTreeMap;

use super::{Source, check, library, read};

/// How `unsafe` may be used, and what says why that is sound, directly above it.
const FORMS: &[(&str, &str)] = &[
    ("unsafe {", "// SAFETY: "),
    ("unsafe extern ", "// SAFETY: "),
    ("unsafe impl ", "// SAFETY: "),
    ("unsafe fn ", "/// # Safety"),
];

/// The lines of code that use `unsafe`, by their index.
fn uses(source: &Source) -> impl Iterator<Item = (usize, &str)> {
    let lines = source.text.lines().map(str::trim_start).enumerate();
    lines.filter(|(_, line)| {
        let words = line.split(|c: char| !(c.is_alphanumeric() || c == '_'));
        !line.starts_with("//") && words.into_iter().any(|word| word == "unsafe")
    })
}

/// The comment that ends directly above a line, but for attributes.
fn comment_above(source: &Source, index: usize) -> impl Iterator<Item = &str> {
    let lines: Vec<&str> = source.text.lines().take(index).map(str::trim_start).collect();
    let above = lines.into_iter().rev().skip_while(|line| line.starts_with("#["));
    above.take_while(|line| line.starts_with("//"))
}

#[test]
fn every_use_of_unsafe_is_justified_directly_above_it() {
    let mut breaches = Vec::new();
    for source in library() {
        for (index, line) in uses(&source) {
            let form = FORMS.iter().find(|(form, _)| line.contains(form));
            let is_justified = form.is_some_and(|(_, reason)| {
                comment_above(&source, index).any(|line| line.starts_with(reason))
            });
            if !is_justified {
                breaches.push(format!("{}:{}: {line}", source.path, index + 1));
            }
        }
    }
    check(&breaches);
}

/// `cargo test --test tidy unsafe -- --nocapture` prints the table.
#[test]
fn the_uses_of_unsafe_are_as_many_as_the_proof_says() {
    let mut counts = BTreeMap::new();
    for source in library() {
        let count = uses(&source).count();
        if count > 0 {
            counts.insert(source.path, count);
        }
    }
    let total: usize = counts.values().sum();
    assert!(total > 40, "saw only {total} uses of unsafe");
    let rows = counts.iter().map(|(path, count)| format!("{path:32} {count:3}\n"));
    let table = rows.collect::<String>() + &format!("{:32} {total:3}\n", "total");
    print!("{table}");
    assert!(read("PROOF.md").contains(&table), "PROOF.md has other counts than\n{table}");
}

//! A copy of the package with all changes in it, built without those that do not compile.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::{Context as _, Result, bail, ensure};
use fs_err as fs;
use serde::{Deserialize, Serialize};

use crate::list::{Genre, Mutant};
use crate::rewrite::{Numbered, asked_in_block, changed_at, number_after, rewrite};

/// Each round leaves out what the compiler complains of; it has more than one kind of complaint.
const MAX_ROUNDS: usize = 40;

#[derive(Deserialize, Serialize)]
pub(crate) struct Changed {
    /// What does not compile, with the compiler's words.
    pub(crate) left_out: BTreeMap<usize, LeftOut>,
    /// The programs with the tests: name and path.
    pub(crate) programs: Vec<(String, PathBuf)>,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct LeftOut {
    pub(crate) message: String,
    /// Whether it may compile where the unchanged code is not there as well.
    pub(crate) may_compile_alone: bool,
}

impl Changed {
    /// The numbers of those that may compile where the unchanged code is not there as well.
    pub(crate) fn alone(&self) -> impl Iterator<Item = usize> {
        self.left_out.iter().filter(|(_, it)| it.may_compile_alone).map(|(number, _)| *number)
    }
}

/// Builds what is asked for in `arguments` of `cargo test`.
pub(crate) fn build(
    original: &Path,
    work: &Path,
    mutants: &[Mutant],
    tests: &[&str],
) -> Result<Changed> {
    let package = work.join("package");
    copy(original, &package, mutants)?;
    let hidden = mutants.iter().enumerate().filter(|(_, mutant)| mutant.returns_hidden_type());
    let mut left_out: BTreeMap<usize, LeftOut> =
        hidden.map(|(it, _)| (it, LeftOut::hidden())).collect();
    let check = ["check", "--lib"].as_slice();
    let check_tests = ["check", "--lib", "--profile", "test"].as_slice();
    for arguments in [check, check_tests] {
        for round in 0.. {
            ensure!(round < MAX_ROUNDS, "the changed library does not compile");
            write(original, &package, mutants, &left_out)?;
            let found = complaints(&package, work, arguments, mutants)?;
            if found.is_empty() {
                break;
            }
            eprintln!("mutants: {} changes left out that do not compile", found.len());
            left_out.extend(found);
        }
    }
    write(original, &package, mutants, &left_out)?;
    let compiled = compiled(&package, work)?;
    ensure!(!compiled.is_empty(), "the compiler says nothing of the switches");
    let elsewhere = |number: &usize| !compiled.contains(number) && !left_out.contains_key(number);
    let elsewhere: Vec<usize> = (0..mutants.len()).filter(elsewhere).collect();
    left_out.extend(elsewhere.into_iter().map(|number| (number, LeftOut::elsewhere())));
    let mut arguments = vec!["test", "--no-run"];
    arguments.extend(tests);
    // First, since the last build decides what the tests of the examples start.
    let examples = cargo(&package, work, &["build", "--examples"])?;
    ensure!(examples.status.success(), "{}", String::from_utf8_lossy(&examples.stderr));
    let output = cargo(&package, work, &arguments)?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let programs = messages(&output).filter_map(|it| {
        let is_test = it.profile.is_some_and(|profile| profile.test);
        it.executable.filter(|_| is_test).map(|path| (it.target.unwrap_or_default().name, path))
    });
    Ok(Changed { left_out, programs: programs.collect() })
}

/// The files that git knows, as they are in the work tree, but for those that are rewritten.
fn copy(original: &Path, package: &Path, mutants: &[Mutant]) -> Result<()> {
    let files = Command::new("git").args(["ls-files", "-z"]).current_dir(original).output()?;
    ensure!(files.status.success(), "this is no git repository");
    let rewritten: BTreeSet<&str> = mutants.iter().map(|it| it.file.as_str()).collect();
    for file in String::from_utf8(files.stdout)?.split_terminator('\0') {
        let (from, to) = (original.join(file), package.join(file));
        if rewritten.contains(file) || file == "src/lib.rs" || !from.is_file() {
            continue;
        }
        if fs::read(&from)? != fs::read(&to).unwrap_or_default() {
            fs::create_dir_all(to.parent().context("a file of the repository")?)?;
            fs::copy(from, to)?;
        }
    }
    Ok(())
}

fn write(
    original: &Path,
    package: &Path,
    mutants: &[Mutant],
    left_out: &BTreeMap<usize, LeftOut>,
) -> Result<()> {
    let mut files: BTreeMap<&str, Vec<Numbered<'_>>> = BTreeMap::new();
    files.insert("src/lib.rs", Vec::new());
    for (number, mutant) in mutants.iter().enumerate() {
        let of_file = files.entry(&mutant.file).or_default();
        if !left_out.contains_key(&number) {
            of_file.push((number, mutant));
        }
    }
    for (file, mutants) in files {
        let text = fs::read_to_string(original.join(file))?;
        let mut text = rewrite(&text, &mutants).with_context(|| file.to_owned())?;
        if file == "src/lib.rs" {
            text += "\n#[allow(unsafe_code, unsafe_op_in_unsafe_fn)]\nmod switch;\n";
        }
        update(&package.join(file), &text)?;
    }
    update(&package.join("src/switch.rs"), include_str!("switch.rs"))
}

/// An old file that is right keeps its time, so that nothing is built again for it.
fn update(path: &Path, text: &str) -> Result<()> {
    if fs::read_to_string(path).ok().as_deref() != Some(text) {
        fs::create_dir_all(path.parent().context("a file of the package")?)?;
        fs::write(path, text)?;
    }
    Ok(())
}

fn cargo(package: &Path, work: &Path, arguments: &[&str]) -> Result<Output> {
    let (first, rest) = arguments.split_first().context("no command for cargo")?;
    Ok(Command::new("cargo")
        .args([first, "--locked", "--message-format=json"])
        .args(rest)
        .current_dir(package)
        .env("CARGO_TARGET_DIR", work.join("build"))
        .env("RUSTFLAGS", "--cap-lints=warn")
        .env("CARGO_INCREMENTAL", "1")
        .env("CARGO_PROFILE_DEV_DEBUG", "none")
        .env("CARGO_PROFILE_DEV_OPT_LEVEL", "1")
        .output()?)
}

#[derive(Deserialize)]
struct Message {
    message: Option<Diagnostic>,
    target: Option<CargoTarget>,
    profile: Option<Profile>,
    executable: Option<PathBuf>,
}

#[derive(Default, Deserialize)]
struct CargoTarget {
    name: String,
}

#[derive(Deserialize)]
struct Profile {
    test: bool,
}

#[derive(Deserialize)]
struct Diagnostic {
    message: String,
    level: String,
    code: Option<Code>,
    spans: Vec<Span>,
}

#[derive(Deserialize)]
struct Code {
    code: String,
}

#[derive(Clone, Deserialize)]
struct Span {
    file_name: String,
    byte_start: usize,
    byte_end: usize,
    is_primary: bool,
    expansion: Option<Box<Expansion>>,
}

#[derive(Clone, Deserialize)]
struct Expansion {
    span: Span,
}

impl Span {
    /// Where the macro is called, if it is in one.
    fn outermost(&self) -> &Span {
        match &self.expansion {
            Some(expansion) => expansion.span.outermost(),
            None => self,
        }
    }
}

fn messages(output: &Output) -> impl Iterator<Item = Message> {
    output.stdout.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok())
}

/// The changes that the compiler complains of.
fn complaints(
    package: &Path,
    work: &Path,
    arguments: &[&str],
    mutants: &[Mutant],
) -> Result<BTreeMap<usize, LeftOut>> {
    let output = cargo(package, work, arguments)?;
    let mut found = BTreeMap::new();
    let mut unexplained = Vec::new();
    let errors = messages(&output).filter_map(|it| it.message).filter(|it| it.level == "error");
    for error in errors.filter(|it| !it.spans.is_empty()) {
        let text = format!("{} {}", error.code.map_or(String::new(), |it| it.code), error.message);
        let mut spans: Vec<&Span> = error.spans.iter().map(Span::outermost).collect();
        let primary: Vec<bool> = error.spans.iter().map(|it| it.is_primary).collect();
        let mut order: Vec<usize> = (0..spans.len()).collect();
        order.sort_by_key(|index| !primary[*index]);
        spans = order.into_iter().map(|index| spans[index]).collect();
        let mut numbers = Vec::new();
        for span in spans.iter().filter(|_| !text.starts_with("E0004")) {
            let file = fs::read_to_string(package.join(&span.file_name))?;
            numbers.extend(changed_at(&file, span.byte_start..span.byte_end));
            if !numbers.is_empty() {
                break;
            }
        }
        if text.starts_with("E0004") {
            // Every arm that may be missing leaves something out.
            let file = fs::read_to_string(package.join(&spans[0].file_name))?;
            let arms = asked_in_block(&file[spans[0].byte_end..]).into_iter();
            numbers = arms.filter(|it| mutants[*it].genre == Genre::MatchArm).collect();
        }
        if numbers.is_empty() {
            unexplained.push(format!("{}: {text}", spans[0].file_name));
        }
        for number in numbers {
            let may_compile_alone = may_compile_alone(&mutants[number], &text);
            found.insert(number, LeftOut { message: text.clone(), may_compile_alone });
        }
    }
    match output.status.success() || !found.is_empty() {
        true => Ok(found),
        false => bail!(
            "the changed library does not compile:\n{}\n{}",
            unexplained.join("\n"),
            String::from_utf8_lossy(&output.stderr)
        ),
    }
}

/// The changes that are compiled into the library here: the compiler warns of each use of the
/// switch. The others are for another system, or for tests alone.
fn compiled(package: &Path, work: &Path) -> Result<BTreeSet<usize>> {
    let output = cargo(package, work, &["check", "--lib"])?;
    let mut files: BTreeMap<String, String> = BTreeMap::new();
    let mut numbers = BTreeSet::new();
    let is_deprecation = |it: &Diagnostic| matches!(&it.code, Some(it) if it.code == "deprecated");
    for warning in messages(&output).filter_map(|it| it.message).filter(is_deprecation) {
        for span in warning.spans.iter().map(Span::outermost) {
            if !files.contains_key(&span.file_name) {
                let text = fs::read_to_string(package.join(&span.file_name))?;
                files.insert(span.file_name.clone(), text);
            }
            numbers.extend(files[&span.file_name].get(span.byte_end..).and_then(number_after));
        }
    }
    Ok(numbers)
}

impl LeftOut {
    fn elsewhere() -> LeftOut {
        let message = "is not compiled into the library on this system".to_owned();
        LeftOut { message, may_compile_alone: false }
    }

    /// Two values that are returned as `impl Trait` must be of one type.
    fn hidden() -> LeftOut {
        LeftOut { message: "returns a type that has no name".to_owned(), may_compile_alone: true }
    }
}

/// A change is refused for its types by itself; whatever else the compiler says may be because of
/// the unchanged code that is beside it.
fn may_compile_alone(mutant: &Mutant, message: &str) -> bool {
    let of_types =
        ["E0277", "E0283", "E0308", "E0369", "E0423", "E0433", "E0599", "E0600", "E0614"];
    let of_arms = mutant.genre == Genre::MatchArm && message.starts_with("E0004");
    !of_arms && !of_types.iter().any(|code| message.starts_with(code))
}

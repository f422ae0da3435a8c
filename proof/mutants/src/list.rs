//! The changes, as `cargo mutants --list --json` prints them.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use serde::{Deserialize, Serialize};

/// Its index in the list is its number in the switch.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Mutant {
    pub(crate) file: String,
    pub(crate) genre: Genre,
    /// `FILE:LINE:COLUMN: what is changed`.
    pub(crate) name: String,
    pub(crate) replacement: String,
    pub(crate) span: Span,
    pub(crate) function: Option<Function>,
}

#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
pub(crate) enum Genre {
    BinaryOperator,
    FnValue,
    MatchArm,
    MatchArmGuard,
    StructField,
    UnaryOperator,
}

#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
pub(crate) struct Span {
    pub(crate) start: Place,
    pub(crate) end: Place,
}

/// Both counted from 1; columns in characters.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
pub(crate) struct Place {
    pub(crate) line: usize,
    pub(crate) column: usize,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Function {
    pub(crate) return_type: String,
}

impl Mutant {
    /// Without the place in the file, which changes with every edit.
    pub(crate) fn known_as(&self) -> String {
        let place = format!("{}:{}:{}: ", self.file, self.span.start.line, self.span.start.column);
        let change = self.name.strip_prefix(&place).unwrap_or(&self.name);
        format!("{} {change}", self.file)
    }

    /// Whether it is an early return from a function that returns `impl Trait`.
    pub(crate) fn returns_hidden_type(&self) -> bool {
        let is_hidden = |it: &Function| it.return_type.contains("impl ");
        self.genre == Genre::FnValue && self.function.as_ref().is_some_and(is_hidden)
    }
}

/// All changes to the package, as `ci/mutants.toml` restricts them.
pub(crate) fn list(package: &Path) -> Result<Vec<Mutant>> {
    let output = Command::new("cargo")
        .args(["mutants", "--list", "--json", "--config", "ci/mutants.toml"])
        .current_dir(package)
        .output()
        .context("cargo-mutants is not installed")?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(serde_json::from_slice(&output.stdout)?)
}

//! RESULTS.md.

use std::fmt::Write;
use std::path::Path;

use anyhow::Result;
use fs_err as fs;

use crate::race::{Cell, Findings, Row, Trace};
use crate::targets::{self, Limit, Target};
use crate::trace;

const HEAD: &str = include_str!("report/head.md");
const LIMITS: &str = include_str!("report/limits.md");
const PICTURES: &str = include_str!("report/pictures.md");

pub(crate) fn write(path: &Path, findings: &Findings) -> Result<()> {
    let cells = &findings.cells;
    let mut text = HEAD.to_owned();
    if let Some(machine) = &findings.machine {
        writeln!(text, "\n{machine}.")?;
    }
    targets(&mut text, &targets::all(findings))?;
    text.push_str(LIMITS);
    text.push_str(PICTURES);
    traces(&mut text, &findings.traces)?;
    text.push_str("\n## All cases\n");
    let mut cases: Vec<&str> = Vec::new();
    for cell in cells {
        if !cases.contains(&&*cell.case) {
            cases.push(&cell.case);
        }
    }
    for case in cases {
        let of_case: Vec<&Cell> = cells.iter().filter(|cell| cell.case == case).collect();
        table(&mut text, case, &of_case)?;
    }
    fs::write(path, text)?;
    Ok(())
}

fn targets(text: &mut String, targets: &[Target]) -> Result<()> {
    writeln!(
        text,
        "\n## The targets\n\n| case | at most / at least | measured | |\n|---|---|---|---|"
    )?;
    for target in targets {
        let limit = match target.limit {
            Limit::AtMost(limit) => format!("≤ {limit}"),
            Limit::AtLeast(limit) => format!("≥ {limit}"),
            Limit::None => String::new(),
        };
        let measured = target.measured.iter().map(|it| format!("{}: {:.2}", it.of, it.value));
        let measured: Vec<String> = measured.collect();
        let holds = match target.holds() {
            Some(_) if matches!(target.limit, Limit::None) => "",
            Some(true) => "holds",
            Some(false) => "**does not hold**",
            None => "not measured",
        };
        writeln!(text, "| {} | {limit} | {} | {holds} |", target.case, measured.join("<br>"))?;
    }
    Ok(())
}

/// What strace has counted.
fn traces(text: &mut String, traces: &[Trace]) -> Result<()> {
    writeln!(text, "\n## System calls for each file\n")?;
    writeln!(text, "| case | | all | that change something | that wait for a device |")?;
    writeln!(text, "|---|---|---|---|---|")?;
    for Trace { case, contender, calls } in traces {
        let trace::Calls { all, changes, syncs } = calls;
        writeln!(text, "| {case} | {contender} | {all} | {changes} | {syncs} |")?;
    }
    Ok(())
}

/// One table for a case, with a column for each place.
fn table(text: &mut String, case: &str, cells: &[&Cell]) -> Result<()> {
    let places: Vec<&str> = cells.iter().map(|cell| &*cell.place).collect();
    writeln!(text, "\n### {case}\n")?;
    writeln!(text, "| | guarantee | {} |", places.join(" | "))?;
    writeln!(text, "|---|---|{}", "---|".repeat(places.len()))?;
    let mut names: Vec<(&str, &str)> = Vec::new();
    for row in cells.iter().flat_map(|cell| &cell.rows) {
        if !names.iter().any(|(name, _)| *name == row.contender) {
            names.push((&row.contender, &row.guarantee));
        }
    }
    for (name, guarantee) in names {
        let entries: Vec<String> = cells.iter().map(|cell| entry(cell, name)).collect();
        writeln!(text, "| {name} | {guarantee} | {} |", entries.join(" | "))?;
    }
    Ok(())
}

fn entry(cell: &Cell, name: &str) -> String {
    let Some(row) = cell.rows.iter().find(|row| row.contender == name) else {
        return "".to_owned();
    };
    let flushes = row.flushes.map_or(String::new(), |flushes| format!(", {flushes:.3} flushes"));
    let ratio = ratio(row);
    let memory = row.growth_mib().map_or(String::new(), |mib| format!(", {mib:.1} MiB"));
    format!("{ratio} ({}{flushes}{memory})", time(row.nanoseconds))
}

fn ratio(row: &Row) -> String {
    let (low, high) = row.quartiles;
    format!("{:.2} [{low:.2}–{high:.2}]", row.ratio)
}

/// With three digits.
fn time(nanoseconds: f64) -> String {
    let (number, unit) = match nanoseconds {
        it if it < 1e3 => (it, "ns"),
        it if it < 1e6 => (it / 1e3, "µs"),
        it if it < 1e9 => (it / 1e6, "ms"),
        it => (it / 1e9, "s"),
    };
    let digits = if number < 10.0 {
        2
    } else if number < 100.0 {
        1
    } else {
        0
    };
    format!("{number:.digits$} {unit}")
}

//! Reads a CSV of names and scores, cleans and grades its rows, and publishes them as JSON with a
//! summary beside it, but only if every row was good. One bad row, and the last good output stays.
//!
//! ```sh
//! cargo run --example csv_pipeline                          # a sample, into target/
//! cargo run --example csv_pipeline -- --inject-error-at 3   # fails; both files stay
//! cargo run --example csv_pipeline -- --input scores.csv --output reports
//! ```

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use clap::Parser;
use serde::ser::{SerializeSeq, Serializer};
use serde::{Deserialize, Serialize};
use wholefile::{AtomicWriter, Commit};

const SAMPLE: &str = "\
name,score
  ada   lovelace ,97
alan turing,88.5
Grace Hopper , 91
edsger dijkstra,64
Barbara Liskov,79
";

/// Grades a CSV of names and scores.
#[derive(Parser)]
struct Arguments {
    /// The CSV; without this, a small sample
    #[arg(long, value_name = "PATH")]
    input: Option<PathBuf>,
    /// The folder for grades.json and summary.txt; without this, one beside the program
    #[arg(long, value_name = "FOLDER")]
    output: Option<PathBuf>,
    /// Spoil the score of this row, counted from 1, to see what a bad row does
    #[arg(long, value_name = "ROW")]
    inject_error_at: Option<usize>,
}

#[derive(Deserialize)]
struct Row {
    name: String,
    score: f64,
}

#[derive(Serialize)]
struct Graded {
    name: String,
    score: f64,
    grade: char,
}

#[derive(Default)]
struct Summary {
    rows: usize,
    total: f64,
    grades: BTreeMap<char, usize>,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let input: Box<dyn Read> = match arguments.input {
        Some(path) => Box::new(fs_err::File::open(path)?),
        None => Box::new(SAMPLE.as_bytes()),
    };
    let output = match arguments.output {
        Some(folder) => folder,
        // Cargo puts the program under target/, so that trying it out litters no checkout.
        None => std::env::current_exe()?.with_file_name("csv_pipeline-output"),
    };

    let mut builder = AtomicWriter::builder();
    builder.create_parents(true);
    let mut json = builder.open(output.join("grades.json"))?;
    let mut text = builder.open(output.join("summary.txt"))?;

    // Neither writer needs a BufWriter, and neither file is visible yet. A `?` drops both writers,
    // and a drop rolls back, whatever was written by then.
    let summary = grade_all(input, &mut json, arguments.inject_error_at)?;
    summary.write_to(&mut text)?;

    // Now that all of it is known to be good. Each file is whole or not at all; a crash between the
    // two, or an error of the second, leaves the new grades with the old summary (`AtomicBatch`
    // publishes both).
    report(&json.commit()?);
    report(&text.commit()?);
    Ok(())
}

/// Writes every row to `json` as it is read, so that the input may be of any size.
fn grade_all(input: impl Read, json: &mut AtomicWriter, spoil: Option<usize>) -> Result<Summary> {
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(input);
    let mut list = serde_json::Serializer::pretty(&mut *json);
    let mut list = list.serialize_seq(None)?;
    let mut summary = Summary::default();
    for (row, number) in reader.deserialize::<Row>().zip(1..) {
        let mut row = row?;
        if spoil == Some(number) {
            row.score = f64::NAN;
        }
        let graded = row.grade().with_context(|| format!("row {number} is bad"))?;
        list.serialize_element(&graded)?;
        summary.add(&graded);
    }
    ensure!(summary.rows > 0, "the input has no rows");
    list.end()?;
    writeln!(json)?;
    Ok(summary)
}

impl Row {
    fn grade(self) -> Result<Graded> {
        let Row { name, score } = self;
        ensure!(!name.is_empty(), "the name is empty");
        // Not a number is in no range.
        ensure!((0.0..=100.0).contains(&score), "the score {score} is not between 0 and 100");
        let name = name.split_whitespace().map(capitalized).collect::<Vec<_>>().join(" ");
        let grade = match score {
            90.0.. => 'A',
            80.0.. => 'B',
            70.0.. => 'C',
            60.0.. => 'D',
            _ => 'F',
        };
        Ok(Graded { name, score, grade })
    }
}

impl Summary {
    fn add(&mut self, graded: &Graded) {
        self.rows += 1;
        self.total += graded.score;
        *self.grades.entry(graded.grade).or_default() += 1;
    }

    fn write_to(&self, mut text: impl Write) -> io::Result<()> {
        writeln!(text, "rows: {}", self.rows)?;
        writeln!(text, "mean: {:.1}", self.total / self.rows as f64)?;
        self.grades.iter().try_for_each(|(grade, count)| writeln!(text, "{grade}: {count}"))
    }
}

fn capitalized(word: &str) -> String {
    let mut letters = word.chars();
    let first = letters.next().into_iter().flat_map(char::to_uppercase);
    first.chain(letters).collect()
}

fn report(commit: &Commit) {
    println!("{} {}, {} bytes", commit.outcome(), commit.path().display(), commit.len());
}

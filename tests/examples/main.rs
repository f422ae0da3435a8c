//! Runs every example as a process, and checks what it says, how it ends and what it leaves.

mod editor;
mod process;
mod rotation;
#[cfg(unix)]
mod unix;

use std::env::consts::EXE_SUFFIX;

use process::{build_directory, check, directory, files_in, program, run, spawn, wait_until};

/// What save_config writes at first.
const LIGHT: &str = "theme = \"light\"\nfont_size = 12\nautosave = true\n";
const DARK: &str = "theme = \"dark\"\nfont_size = 14\nautosave = true\n";

const GRADES: &str = r#"[
  {
    "name": "Ada Lovelace",
    "score": 97.0,
    "grade": "A"
  },
  {
    "name": "Alan Turing",
    "score": 61.5,
    "grade": "D"
  }
]
"#;
const SUMMARY: &str = "rows: 2\nmean: 79.2\nA: 1\nD: 1\n";

#[test]
fn save_config_creates_replaces_and_leaves_alone() {
    let cases: [(&[&str], i32, &str, &str); 8] = [
        (&[], 0, "created a.toml, 47 bytes\ndurability: ", LIGHT),
        (&[], 0, "unchanged a.toml, 47 bytes\n", LIGHT),
        (&["--set", "theme=light"], 0, "unchanged a.toml, 47 bytes\n", LIGHT),
        (
            &["--set", "theme=dark", "--set", "font_size=14"],
            0,
            "replaced a.toml, 46 bytes\ndurability: ",
            DARK,
        ),
        (&["--set", "font_size=huge"], 1, "Error: failed to set `font_size` to `huge`", DARK),
        (&["--set", "colour=red"], 1, "Error: failed to set `colour` to `red`", DARK),
        (&["--set", "theme"], 2, "error: invalid value 'theme'", DARK),
        (&[], 0, "unchanged a.toml, 46 bytes\n", DARK),
    ];
    let directory = directory(&[]);
    for (arguments, code, says, contents) in cases {
        let command = [&["save_config", "--file", "a.toml"], arguments].concat();
        check(&directory, &command, b"", (code, says), &[("a.toml", contents.as_bytes())]);
    }
}

#[test]
fn save_config_does_not_save_over_what_it_cannot_read() {
    let before: &[(&str, &[u8])] = &[("a.toml", b"theme = ")];
    let command = ["save_config", "--file", "a.toml", "--set", "theme=dark"];
    let says = (1, "Error: failed to understand the config `a.toml`");
    check(&directory(before), &command, b"", says, before);
}

/// The place that an example chooses itself is beside the program: a hard link to it leads there.
#[test]
fn without_arguments_an_example_works_beside_its_program() {
    let cases = [
        ("save_config", ["created", "unchanged"], &["save_config.toml"][..]),
        (
            "csv_pipeline",
            ["created", "replaced"],
            &[
                "csv_pipeline-output/",
                "csv_pipeline-output/grades.json",
                "csv_pipeline-output/summary.txt",
            ],
        ),
    ];
    for (example, outcomes, files) in cases {
        // In the same file system as the program.
        let directory = tempfile::tempdir_in(build_directory()).expect("a temp directory");
        let link = directory.path().join(format!("{example}{EXE_SUFFIX}"));
        fs_err::hard_link(program(example), &link).unwrap();
        for outcome in outcomes {
            let ended = run(spawn(&link, &[], directory.path()), b"");
            assert_eq!(ended.code, Some(0), "{example} {ended:?}");
            assert!(ended.stdout.starts_with(outcome), "{example} {ended:?}");
        }
        // Windows removes a program only when its process is entirely gone.
        wait_until("the program is gone", || {
            let _ = fs_err::remove_file(&link);
            !link.exists()
        });
        let left = files_in(directory.path());
        assert!(left.keys().eq(files), "{:?}", left.keys());
    }
}

#[test]
fn counter_counts_every_run_and_destroys_nothing_that_is_no_count() {
    let directory = directory(&[("words", b"no number")]);
    let command = ["counter", "words"];
    check(&directory, &command, b"", (1, "Error: failed to write"), &[("words", b"no number")]);
    // All at once, and each of them counts.
    std::thread::scope(|scope| {
        for _ in 0..8 {
            let command = spawn(&program("counter"), &["count"], directory.path());
            scope.spawn(|| {
                let ended = run(command, b"");
                assert_eq!(ended.code, Some(0), "{}{}", ended.stdout, ended.stderr);
            });
        }
    });
    let files: &[(&str, &[u8])] = &[("count", b"9\n"), ("words", b"no number")];
    check(&directory, &["counter", "count"], b"", (0, "run 9, counted in count"), files);
}

#[test]
fn stream_large_copies_a_file_and_stdin() {
    let large: Vec<u8> = (0..3 << 20_u32).map(|n| b'a' + (n % 23) as u8).collect();
    let directory = directory(&[("source", &large)]);
    type Case<'a> = (&'a [&'a str], &'a [u8], (i32, &'a str), &'a [u8]);
    let cases: [Case<'_>; 5] = [
        (&["copy"], b"", (0, "created copy, 0 bytes\n"), b""),
        (&["copy"], b"small", (0, "replaced copy, 5 bytes\n"), b"small"),
        (&["--from", "none", "copy"], b"", (1, "Error: failed to open file `none`"), b"small"),
        (&["--from", "source", "copy"], b"", (0, "replaced copy, 3145728 bytes\n"), &large),
        (&["copy"], &large[1..], (0, "replaced copy, 3145727 bytes\n"), &large[1..]),
    ];
    for (arguments, stdin, says, contents) in cases {
        let command = [&["stream_large"], arguments].concat();
        check(&directory, &command, stdin, says, &[("copy", contents), ("source", &large)]);
    }
}

#[test]
fn csv_pipeline_publishes_both_files_or_neither() {
    let good = "name,score\n ada   lovelace ,97\nAlan Turing, 61.5\n";
    // Enough good rows before the bad one that the staging has left the memory by then.
    let late = format!("name,score\n{}bad,101\n", "good,50\n".repeat(5000));
    let bad = [
        ("bad.csv", "name,score\nA,x\n", "Error: CSV deserialize error: record 1 (line: 2"),
        (
            "bad.csv",
            "name,score\n ,1\n",
            "Error: row 1 is bad\n\nCaused by:\n    the name is empty",
        ),
        ("bad.csv", "name,score\nA,1\nB,-1\n", "Error: row 2 is bad"),
        ("bad.csv", &late, "Error: row 5001 is bad"),
        ("bad.csv", "name,score\n", "Error: the input has no rows"),
        ("bad.csv", "name\n", "Error: the input has no rows"),
    ];
    let outputs = [
        ("out/", &b""[..]),
        ("out/grades.json", GRADES.as_bytes()),
        ("out/summary.txt", SUMMARY.as_bytes()),
    ];
    let arguments = ["csv_pipeline", "--output", "out", "--input"];
    for (name, input, says) in bad {
        // Where there was nothing, nothing is left, not even the folder.
        let files = [(name, input.as_bytes())];
        let directory = directory(&files);
        let command = [&arguments, &[name][..]].concat();
        check(&directory, &command, b"", (1, says), &files);

        // Where there was good output, it stays.
        fs_err::write(directory.path().join("good.csv"), good).unwrap();
        let files = [&files[..], &[("good.csv", good.as_bytes())], &outputs].concat();
        let good_command = [&arguments, &["good.csv"][..]].concat();
        check(&directory, &good_command, b"", (0, "created out"), &files);
        check(&directory, &command, b"", (1, says), &files);
        let injected = [&good_command, &["--inject-error-at", "2"][..]].concat();
        check(&directory, &injected, b"", (1, "Error: row 2 is bad"), &files);
        check(&directory, &good_command, b"", (0, "replaced out"), &files);
    }
}

//! The editor, and others who save its file while it is open.

use std::io::{BufRead, BufReader, Write};

use crate::process::{Running, check_files, directory, program, spawn};

/// What an editor is told before and after somebody else has saved `theirs`, what it says, and what
/// is there in the end.
struct Case {
    before: Option<&'static [u8]>,
    theirs: Option<&'static [u8]>,
    /// Each with the beginning of the answer, if there is one.
    commands: &'static [(&'static str, Option<&'static str>)],
    after: &'static [(&'static str, &'static [u8])],
}

const CONFLICT: Option<&str> = Some("failed to ");

const CASES: &[Case] = &[
    Case {
        before: None,
        theirs: None,
        commands: &[
            ("add mine", None),
            ("save", Some("created a.txt")),
            ("add more", None),
            ("save", Some("replaced a.txt")),
            ("show", Some("mine")),
        ],
        after: &[("a.txt", b"mine\nmore\n")],
    },
    Case {
        before: Some(b"old\n"),
        theirs: Some(b"theirs\n"),
        commands: &[
            ("add mine", None),
            ("save", CONFLICT),
            ("reload", None),
            ("add mine", None),
            ("save", Some("replaced a.txt")),
        ],
        after: &[("a.txt", b"theirs\nmine\n")],
    },
    Case {
        before: Some(b"old\n"),
        theirs: Some(b"theirs\n"),
        commands: &[("save", CONFLICT), ("save", CONFLICT), ("overwrite", Some("replaced a.txt"))],
        after: &[("a.txt", b"old\n")],
    },
    Case {
        before: Some(b"old\n"),
        theirs: Some(b"theirs\n"),
        commands: &[
            ("add mine", None),
            ("save", CONFLICT),
            ("save as a.txt", CONFLICT),
            ("save as b.txt", Some("created b.txt")),
            ("add more", None),
            ("save", Some("replaced b.txt")),
        ],
        after: &[("a.txt", b"theirs\n"), ("b.txt", b"old\nmine\nmore\n")],
    },
    Case {
        before: None,
        theirs: Some(b"theirs\n"),
        commands: &[("add mine", None), ("save", CONFLICT), ("nonsense", Some("the commands are"))],
        after: &[("a.txt", b"theirs\n")],
    },
];

#[test]
fn editor_overwrites_nothing_that_it_has_not_seen() {
    for (index, case) in CASES.iter().enumerate() {
        let directory = directory(&[]);
        let path = directory.path().join("a.txt");
        let save = |contents: Option<&[u8]>| {
            if let Some(contents) = contents {
                fs_err::write(&path, contents).unwrap();
            }
        };
        save(case.before);
        let mut command = spawn(&program("editor"), &["a.txt"], directory.path());
        let mut editor = Running(command.spawn().expect("the example runs"));
        let mut stdin = editor.0.stdin.take().unwrap();
        let mut answers = BufReader::new(editor.0.stdout.take().unwrap()).lines();
        let mut answer = || answers.next().expect("an answer").unwrap();
        assert_eq!(answer(), "opened a.txt");
        save(case.theirs);
        for (command, says) in case.commands {
            writeln!(stdin, "{command}").unwrap();
            if let Some(says) = says {
                let said = answer();
                assert!(said.starts_with(says), "case {index}, {command}: {said}");
            }
        }
        writeln!(stdin, "quit").unwrap();
        assert!(editor.0.wait().unwrap().success());
        check_files(directory.path(), case.after);
    }
}

//! Signals, permissions and commands of a shell.

use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::process::ChildStdin;
use std::thread;

use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use crate::LIGHT;
use crate::process::{
    Running, check, check_files, directory, files_in, program, run, spawn, wait, wait_until,
};

#[test]
fn capture_command_keeps_the_target_unless_the_command_succeeds() {
    let shell = |script| ["capture_command", "target", "--", "sh", "-c", script];
    // More than a pipe or a buffer holds.
    let long = "yes | head -c 100000";
    let cases: [(&str, (i32, &str), &[u8]); 6] = [
        ("echo new", (0, "created target, 4 bytes\n"), b"new\n"),
        ("echo half; exit 3", (3, "sh: exit status: 3; target is as it was\n"), b"new\n"),
        (&format!("{long}; exit 255"), (255, "sh: exit status: 255; "), b"new\n"),
        ("echo half; kill -9 $$", (1, "sh: signal: 9 (SIGKILL); "), b"new\n"),
        ("cat; printf er", (0, "replaced target, 5 bytes\n"), b"newer"),
        (long, (0, "replaced target, 100000 bytes\n"), &b"y\n".repeat(50_000)),
    ];
    let directory = directory(&[]);
    for (script, says, contents) in cases {
        check(&directory, &shell(script), b"new", says, &[("target", contents)]);
    }
}

#[test]
fn capture_command_leaves_nothing_if_the_command_does_not_exist() {
    let says = (1, "Error: failed to run `./none`");
    check(&directory(&[]), &["capture_command", "target", "--", "./none"], b"", says, &[]);
}

#[test]
fn every_example_keeps_the_permissions() {
    let cases: [(&str, &[&str]); 4] = [
        ("a.toml", &["save_config", "--file", "a.toml", "--set", "theme=dark"]),
        ("target", &["stream_large", "target"]),
        ("target", &["capture_command", "target", "--", "echo", "new"]),
        ("grades.json", &["csv_pipeline", "--output", "."]),
    ];
    for (name, command) in cases {
        let directory = directory(&[(name, b"")]);
        let path = directory.path().join(name);
        fs_err::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
        let before = fs_err::metadata(&path).unwrap();
        let ended = run(spawn(&program(command[0]), &command[1..], directory.path()), b"new");
        assert_eq!(ended.code, Some(0), "{command:?} {ended:?}");
        let after = fs_err::metadata(&path).unwrap();
        assert_ne!(after.ino(), before.ino(), "{command:?} did not replace the file");
        assert_eq!(after.mode() & 0o7777, 0o600, "{command:?}");
    }
}

#[test]
fn save_config_writes_nothing_if_nothing_changes() {
    let directory = directory(&[("a.toml", LIGHT.as_bytes())]);
    let identity = || {
        let metadata = fs_err::metadata(directory.path().join("a.toml")).unwrap();
        (metadata.ino(), metadata.mtime(), metadata.mtime_nsec())
    };
    let before = identity();
    let command = ["save_config", "--file", "a.toml"];
    check(&directory, &command, b"", (0, "unchanged"), &[("a.toml", LIGHT.as_bytes())]);
    assert_eq!(identity(), before);
}

/// Starts a copy over `target`, interrupts it once it has staged something, and checks that it ends
/// and leaves the old file alone in its directory. What `feed` returns is held until then.
#[track_caller]
fn check_interrupt<T>(arguments: &[&str], feed: impl FnOnce(ChildStdin) -> T) {
    let old: &[(&str, &[u8])] = &[("target", b"old")];
    let directory = directory(old);
    let arguments = [arguments, &["target"]].concat();
    let mut command = spawn(&program("stream_large"), &arguments, directory.path());
    let mut running = Running(command.spawn().expect("the example runs"));
    let fed = feed(running.0.stdin.take().unwrap());

    wait_until("the example stages", || {
        fs_err::read_dir(directory.path()).unwrap().count() > old.len()
    });
    kill_process(Pid::from_child(&running.0), Signal::INT).unwrap();

    let ended = wait(running);
    assert_eq!(ended.code, Some(130), "{ended:?}");
    assert_eq!(ended.stderr, "interrupted; target is as it was\n");
    check_files(directory.path(), old);
    drop(fed);
}

#[test]
fn stream_large_rolls_back_on_ctrl_c_while_stdin_is_silent() {
    check_interrupt(&[], |mut stdin| {
        stdin.write_all(&[b'x'; 1 << 20]).unwrap();
        stdin // not another byte, and no end either
    });
}

#[test]
fn stream_large_rolls_back_on_ctrl_c_while_stdin_flows() {
    // The thread ends when the example has closed the other end.
    check_interrupt(&[], |mut stdin| {
        thread::spawn(move || while stdin.write_all(&[b'x'; 1 << 10]).is_ok() {})
    });
}

#[test]
fn stream_large_rolls_back_on_ctrl_c_while_it_copies_a_file() {
    // One that never ends, so that no machine has copied it before the signal comes.
    check_interrupt(&["--from", "/dev/zero"], |stdin| stdin);
}

#[test]
fn capture_command_rolls_back_if_ctrl_c_ends_the_command() {
    let directory = directory(&[("target", b"old")]);
    let script = "echo half; touch started; exec cat";
    let arguments = ["target", "--", "sh", "-c", script];
    let mut command = spawn(&program("capture_command"), &arguments, directory.path());
    // A terminal, too, interrupts a whole process group: the example and its command.
    let mut running = Running(command.process_group(0).spawn().expect("the example runs"));
    let stdin = running.0.stdin.take();
    wait_until("the command runs", || directory.path().join("started").exists());
    kill_process_group(Pid::from_child(&running.0), Signal::INT).unwrap();

    let ended = wait(running);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.stderr.starts_with("sh: signal: 2 (SIGINT); "), "{ended:?}");
    check_files(directory.path(), &[("started", b""), ("target", b"old")]);
    drop(stdin);
}

#[test]
fn publish_site_swaps_whole_generations_in_under_a_reader() {
    const PAGES: usize = 200;
    let directory = directory(&[]);
    let site = directory.path().join("site");
    let arguments = ["--site", "site", "--pages", "200", "--generations", "4"];
    for first in ["created", "replaced"] {
        let ended = run(spawn(&program("publish_site"), &arguments, directory.path()), b"");
        assert_eq!(ended.code, Some(0), "{ended:?}");
        let lines: Vec<_> = ended.stdout.lines().collect();
        assert_eq!(lines.len(), 5, "{lines:?}");
        assert!(lines[0].starts_with(&format!("generation 1: {first}, ")), "{lines:?}");
        assert!(lines[3].starts_with("generation 4: replaced, "), "{lines:?}");
        assert!(lines[4].ends_with("of 4 generations: none was missing, none was mixed"));
        assert!(fs_err::symlink_metadata(&site).unwrap().is_symlink());
        let files = files_in(&site);
        assert_eq!(files.len(), 1 + PAGES + PAGES / 100);
        for (name, contents) in files.iter().filter(|(name, _)| !name.ends_with('/')) {
            let contents = String::from_utf8_lossy(contents);
            assert!(contents.contains("generation 4 "), "{name}: {contents}");
        }
        // The link, and the one generation that it leads to.
        assert_eq!(fs_err::read_dir(directory.path()).unwrap().count(), 2);
    }
}

#[test]
fn publish_site_does_not_replace_what_is_no_link() {
    let before: &[(&str, &[u8])] = &[("site/", b""), ("site/index.html", b"precious")];
    let directory = directory(&[]);
    fs_err::create_dir(directory.path().join("site")).unwrap();
    fs_err::write(directory.path().join("site/index.html"), "precious").unwrap();
    let says = (1, "Error: failed to resolve `site`\n\nCaused by:\n    it is no link");
    check(&directory, &["publish_site", "--site", "site"], b"", says, before);
}

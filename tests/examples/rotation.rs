//! rotate_certificates: two files as one commit, also over a crash.

use std::path::Path;

use crate::process::{directory, files_in, program, run, spawn};

#[track_caller]
fn check(folder: &Path, arguments: &[&str], (code, says): (i32, &str), files: &[&str]) -> String {
    let arguments = [&["--folder", "tls"], arguments].concat();
    let ended = run(spawn(&program("rotate_certificates"), &arguments, folder), b"");
    assert_eq!(ended.code, Some(code), "{arguments:?} {ended:?}");
    assert!(ended.stdout.starts_with(says), "{arguments:?} {ended:?}");
    let found = files_in(&folder.join("tls"));
    assert!(found.keys().eq(files), "{arguments:?}: {:?}", found.keys());
    String::from_utf8(found["certificate.pem"].clone()).unwrap()
}

#[test]
fn rotate_certificates_replaces_both_as_one_and_recovers() {
    let directory = directory(&[]);
    let both = &["certificate.pem", "key.pem"];
    let says = (0, "rotated 5 times, from generation 1 to 6\n");
    let certificate = check(directory.path(), &["--rotations", "5"], says, both);
    assert!(certificate.starts_with("generation 6\n"), "{certificate}");

    // The key is new, and the certificate is not.
    let folder = directory.path();
    let key = fs_err::read(folder.join("tls/key.pem")).unwrap();
    let crash =
        run(spawn(&program("rotate_certificates"), &["--folder", "tls", "--crash"], folder), b"");
    assert_eq!(crash.code, Some(3), "{crash:?}");
    let left = files_in(&folder.join("tls"));
    assert!(left.contains_key("rotation.journal"), "{:?}", left.keys());
    assert_ne!(left["key.pem"], key);
    assert_eq!(left["certificate.pem"], certificate.into_bytes());

    let says = (0, "recovered 2 files, which an earlier run had begun to publish\nrotated 0 times");
    let certificate = check(folder, &["--rotations", "0"], says, both);
    assert!(certificate.starts_with("generation 7\n"), "{certificate}");
}

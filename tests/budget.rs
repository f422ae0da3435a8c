//! How many system calls does a save cost? Counted by strace, so the answer does not depend on the
//! machine. Fails when a call too many is made.
//!
//!     cargo test --release --test budget
//!
//! It runs itself once per case under strace; two calls that fail mark where a case begins and
//! ends.

#[cfg(target_os = "linux")]
fn main() {
    linux::main();
}

#[cfg(not(target_os = "linux"))]
fn main() {
    eprintln!("SKIPPED budget: it counts the system calls of Linux");
}

#[cfg(target_os = "linux")]
mod linux {
    use std::io::Write;
    use std::path::Path;
    use std::process::Command;

    use wholefile::{
        AtomicBatch, AtomicWriter, Backup, Builder, Durability, Staging, Tracking, Version,
    };

    const BEGIN: &str = "/wholefile-budget-begin";
    const END: &str = "/wholefile-budget-end";
    const CONTENTS: [u8; 4096] = [b'x'; 4096];
    const CASE: &str = "WHOLEFILE_BUDGET_CASE";
    const TARGET: &str = "WHOLEFILE_BUDGET_TARGET";

    struct Case {
        name: &'static str,
        /// The mode of the file that is there before.
        before: Option<u32>,
        calls: usize,
        /// Of these, syncs before the rename (of the file) and after it (of directories).
        syncs: (usize, usize),
        run: fn(&Path),
    }

    const fn case(
        name: &'static str,
        before: Option<u32>,
        calls: usize,
        syncs: (usize, usize),
        run: fn(&Path),
    ) -> Case {
        Case { name, before, calls, syncs, run }
    }

    fn save(builder: &mut Builder, path: &Path) {
        builder.write(path, CONTENTS).unwrap();
    }

    fn durable(path: &Path) {
        wholefile::atomic_write(path, CONTENTS).unwrap();
    }

    fn ordered(path: &Path) {
        save(AtomicWriter::builder().durability(Durability::Ordered), path);
    }

    fn not_durable(path: &Path) {
        save(AtomicWriter::builder().durability(Durability::None), path);
    }

    fn with_mode(path: &Path) {
        save(AtomicWriter::builder().mode(0o600), path);
    }

    fn unnamed(path: &Path) {
        save(AtomicWriter::builder().staging(Staging::Unnamed), path);
    }

    fn unchanged(path: &Path) {
        save(AtomicWriter::builder().skip_unchanged(true), path);
    }

    fn update(path: &Path) {
        wholefile::atomic_update(path, |_| Ok(b"new".to_vec())).unwrap();
    }

    fn update_of_nothing(path: &Path) {
        wholefile::atomic_update(path, |old| Ok(old.unwrap())).unwrap();
    }

    fn expected(path: &Path) {
        save(AtomicWriter::builder().expect(&Version::of(path).unwrap()), path);
    }

    fn expected_and_tracked(path: &Path) {
        let version = Version::of(path).unwrap();
        save(AtomicWriter::builder().expect(&version).tracking(Tracking::Metadata), path);
    }

    fn with_parents(path: &Path) {
        save(AtomicWriter::builder().create_parents(true), &path.with_file_name("a/b/target"));
    }

    fn with_backup(path: &Path, durability: Durability) {
        let mut builder = AtomicWriter::builder();
        builder.backup(Backup::Suffix("~".into())).durability(durability);
        builder.write(path, CONTENTS).unwrap();
    }

    fn backup(path: &Path) {
        with_backup(path, Durability::Full);
        fs_err::remove_file(path.with_file_name("target~")).unwrap();
    }

    fn backup_not_durable(path: &Path) {
        with_backup(path, Durability::None);
        fs_err::remove_file(path.with_file_name("target~")).unwrap();
    }

    fn second_backup(path: &Path) {
        with_backup(path, Durability::Full);
    }

    fn open_and_commit(path: &Path) {
        let mut writer = AtomicWriter::builder().open(path).unwrap();
        writer.write_all(&CONTENTS).unwrap();
        writer.commit().unwrap();
    }

    fn open_and_drop(path: &Path) {
        let mut writer = AtomicWriter::builder().open(path).unwrap();
        writer.write_all(&CONTENTS).unwrap();
    }

    /// Many small writes, which must reach the system as few large ones.
    fn lines(path: &Path) {
        let mut writer = AtomicWriter::builder().durability(Durability::None).open(path).unwrap();
        for line in 0..10_000 {
            writeln!(writer, "{line:>39}").unwrap();
        }
        writer.commit().unwrap();
    }

    fn pieces(path: &Path) {
        let mut writer = AtomicWriter::builder().open(path).unwrap();
        for _ in 0..20 {
            writer.write_all(&vec![b'x'; 1 << 20]).unwrap();
        }
        writer.commit().unwrap();
    }

    fn batch(path: &Path) {
        let mut batch = AtomicBatch::new();
        batch.options(AtomicWriter::builder().create_parents(true).durability(Durability::None));
        for file in 0..100 {
            batch.write(path.with_file_name(format!("a/{file}")), CONTENTS).unwrap();
        }
        batch.commit().unwrap();
    }

    const CASES: &[Case] = &[
        case("create", None, 10, (1, 1), durable),
        case("create, Ordered", None, 9, (1, 0), ordered),
        case("create, no durability", None, 8, (0, 0), not_durable),
        case("overwrite", Some(0o644), 15, (1, 1), durable),
        case("overwrite, private file", Some(0o600), 15, (1, 1), durable),
        // One more, to set a mode with which the temp file could not be created safely.
        case("overwrite, shared file", Some(0o664), 16, (1, 1), durable),
        case("overwrite, Ordered", Some(0o644), 14, (1, 0), ordered),
        case("overwrite, no durability", Some(0o644), 13, (0, 0), not_durable),
        case("create with a mode", None, 11, (1, 1), with_mode),
        case("create unnamed", None, 13, (2, 1), unnamed),
        // The file, its directory, and the directories that hold the two created ones.
        // How many calls depends on how deep the temp directory is.
        case("create with two parents", None, 40, (1, 3), with_parents),
        // The target is looked at once more at commit.
        case("open and commit", None, 11, (1, 1), open_and_commit),
        case("open and commit, overwrite", Some(0o644), 18, (1, 1), open_and_commit),
        case("unchanged", Some(0o644), 10, (0, 0), unchanged),
        case("update", Some(0o644), 33, (1, 1), update),
        // And once more before it is said to be unchanged.
        case("update that changes nothing", Some(0o644), 23, (0, 0), update_of_nothing),
        // With the calls that take the version.
        case("expected", Some(0o644), 35, (1, 1), expected),
        case("expected and tracked", Some(0o644), 40, (1, 1), expected_and_tracked),
        // The old file gets a second name, under a lock. The removal of the backup counts too.
        case("overwrite with a backup", Some(0o644), 36, (2, 1), backup),
        case("the same, no durability", Some(0o644), 30, (0, 0), backup_not_durable),
        // Exchanged for the earlier one.
        case("overwrite with a second backup", Some(0o644), 44, (2, 1), second_backup),
        case("dropped before commit", Some(0o644), 5, (0, 0), open_and_drop),
        case("10,000 lines of 40 bytes", None, 18, (0, 0), lines),
        // 20 writes, and at 8 and 16 MiB the system is told to begin with what is there.
        case("20 MiB in pieces of 1 MiB", None, 35, (1, 1), pieces),
        // Ten for each, and what the two directories take.
        case("batch of 100, no durability", None, 1045, (0, 0), batch),
    ];

    /// What is written out while the case goes on: from where, and how much. In others nothing is.
    const WRITE_BEHIND: (&str, &[&str]) =
        ("20 MiB in pieces of 1 MiB", &["0, 8388608", "8388608, 8388608"]);

    pub(super) fn main() {
        if let (Ok(name), Some(target)) = (std::env::var(CASE), std::env::var_os(TARGET)) {
            let case = CASES.iter().find(|case| case.name == name).unwrap();
            return run(case, target.as_ref());
        }
        if Command::new("strace").arg("-V").output().is_err() {
            assert!(std::env::var_os("CI").is_none(), "strace is not installed");
            return eprintln!("SKIPPED budget: strace is not installed");
        }
        println!("{:<28} {:>5} {:>7}  syncs: file + directories", "case", "calls", "at most");
        let failed = CASES.iter().filter(|case| !measure(case)).count();
        println!("{} passed, {failed} failed", CASES.len() - failed);
        assert_eq!(
            failed, 0,
            "a case costs more than its budget, or not as many syncs as it should"
        );
    }

    /// Runs a case twice, the second time between the marks: what a thread does once, such as
    /// seeding its random numbers, is not counted.
    fn run(case: &Case, target: &Path) {
        for round in 0..2 {
            let _ = std::fs::remove_file(target);
            let _ = std::fs::remove_dir_all(target.with_file_name("a"));
            if let Some(mode) = case.before {
                std::fs::write(target, CONTENTS).unwrap();
                let permissions = std::os::unix::fs::PermissionsExt::from_mode(mode);
                std::fs::set_permissions(target, permissions).unwrap();
            }
            mark(round, BEGIN);
            (case.run)(target);
            mark(round, END);
        }
    }

    fn mark(round: usize, path: &str) {
        if round == 1 {
            assert!(std::fs::symlink_metadata(path).is_err());
        }
    }

    fn measure(case: &Case) -> bool {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        let status = Command::new("strace")
            .args(["-f", "-o"])
            .arg(&log)
            .arg(std::env::current_exe().unwrap())
            .env(CASE, case.name)
            .env(TARGET, folder.path().join("target"))
            .status()
            .unwrap();
        assert!(status.success(), "{}: {status}", case.name);
        let log = std::fs::read_to_string(log).unwrap();
        let calls: Vec<&str> = log
            .lines()
            .skip_while(|line| !line.contains(BEGIN))
            .skip(1)
            .take_while(|line| !line.contains(END))
            // In a debug build, std checks each descriptor before it closes it.
            .filter(|line| !line.contains("F_GETFD"))
            // Memory that the allocator takes or gives back is not the file system's business.
            .filter(|line| !["brk(", "mmap(", "munmap("].iter().any(|call| line.contains(call)))
            // std finds out once whether the kernel has statx, with a call that must fail.
            .filter(|line| !line.contains("statx(0, NULL"))
            .collect();
        let rename = calls.iter().position(|call| call.contains("renameat"));
        let (before, after) = calls.split_at(rename.unwrap_or(calls.len()));
        let count = |calls: &[&str]| calls.iter().filter(|call| call.contains("sync(")).count();
        let syncs = (count(before), count(after));
        let (file, directories) = syncs;
        // Only root's files are known to be no trap without asking who the caller is.
        let is_root = rustix::process::geteuid().is_root();
        let at_most = case.calls + usize::from(case.before.is_some() && !is_root);
        println!("{:<28} {:>5} {at_most:>7}  {file} + {directories}", case.name, calls.len());
        let pieces: Vec<&str> = calls.iter().filter_map(|call| written_behind(call)).collect();
        let is_behind = pieces == if case.name == WRITE_BEHIND.0 { WRITE_BEHIND.1 } else { &[] };
        let is_cheap = calls.len() <= at_most && syncs == case.syncs;
        let holds = is_cheap && is_behind && !calls.is_empty();
        if !holds {
            println!("{}", calls.join("\n"));
        }
        holds
    }

    /// The offset and the length, if the call is one that begins to write out.
    fn written_behind(call: &str) -> Option<&str> {
        let (_, arguments) = call.split_once("sync_file_range(")?;
        let (_, piece) = arguments.split_once(", ")?;
        piece.split_once(", SYNC_FILE_RANGE_WRITE)").map(|(piece, _)| piece)
    }
}

//! The rules of the house, as tests: who may import whom, who owns which dependency, how long a
//! file may be, and that the documents keep up.

mod dependencies;
mod unsafe_code;

use std::path::{Path, PathBuf};

/// The modules of `src/`, lowest first: a module imports only those of its own line and above it.
const LAYERS: &[&[&str]] = &[
    &["error", "fault", "fnv", "options"],
    &["sys"],
    &["commit", "concurrency", "protocol"],
    &["writer"],
    &["builder"],
    &["many", "os", "saver", "sweep", "write"],
];

/// What may be named only in these files or folders of `src/`.
const OWNERS: &[(&str, &[&str])] = &[
    ("cfg(unix)", &["sys/", "os.rs"]),
    ("cfg(windows)", &["sys/"]),
    ("target_os", &["sys/"]),
    ("unsafe {", &["sys/"]),
    ("unsafe fn", &["sys/"]),
    ("allow(unsafe_code", &["sys/"]),
    ("rustix::", &["sys/", "fault_loops/"]),
    ("windows_sys::", &["sys/"]),
    ("libc::", &["sys/"]),
    // It does not compile everywhere, so the arms hand it to concurrency/lock.rs.
    ("fd_lock::", &["sys/"]),
    ("sys::RwLock", &["concurrency/lock.rs"]),
    ("tempfile::Builder", &["protocol/temp.rs"]),
    ("tempfile::tempfile", &["protocol/staging.rs"]),
    ("thiserror::", &["error.rs"]),
    ("serde::", &["many/journal"]),
    ("serde_json::", &["many/journal"]),
    ("camino::", &["many/"]),
    ("std::fs::read", &["sys/"]),
    ("std::fs::write", &["sys/"]),
    ("std::fs::remove", &["sys/"]),
    ("std::fs::rename", &["sys/"]),
    ("std::fs::metadata", &["sys/"]),
    ("File::open(", &["sys/", "fault_loops/"]),
    ("todo!", &[]),
    ("unimplemented!", &[]),
    (".unwrap()", &["fault_loops/", "saver/tests.rs"]),
];

const MAX_LINES_PER_FILE: usize = 400;
const MAX_LINES_PER_FUNCTION: usize = 70;
const MAX_COLUMNS: usize = 100;

struct Source {
    /// Relative to the package.
    path: String,
    text: String,
}

impl Source {
    /// The lines that are code: without comments, and without the unit tests at the end.
    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        let lines = self.text.lines().enumerate();
        lines
            .take_while(|(_, line)| !line.starts_with("mod tests {"))
            .map(|(index, line)| (index + 1, line))
            .filter(|(_, line)| !line.trim_start().starts_with("//"))
    }
}

fn sources(folder: &str) -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    let mut folders = vec![root.join(folder)];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = fs_err::read_dir(&folder) else { continue };
        let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        for path in paths {
            if path.is_dir() && !path.ends_with("target") {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs_err::read_to_string(&path).unwrap();
                let path = path.strip_prefix(root).unwrap().to_str().unwrap().replace('\\', "/");
                found.push(Source { path, text });
            }
        }
    }
    found
}

fn library() -> Vec<Source> {
    let sources = sources("src");
    assert!(sources.len() > 20, "found only {} files of the library", sources.len());
    sources
}

fn everything() -> Vec<Source> {
    ["src", "tests", "examples", "fuzz", "benches", "proof"].into_iter().flat_map(sources).collect()
}

/// A file of the package.
fn read(name: &str) -> String {
    fs_err::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap()
}

#[track_caller]
fn check(breaches: &[String]) {
    assert!(breaches.is_empty(), "\n{}", breaches.join("\n"));
}

fn layer(module: &str) -> Option<usize> {
    LAYERS.iter().position(|layer| layer.contains(&module))
}

#[test]
fn layers_import_downward_only() {
    let mut breaches = Vec::new();
    let mut imports = 0;
    for source in library() {
        let inside = source.path.trim_start_matches("src/");
        let module = inside.split('/').next().unwrap().trim_end_matches(".rs");
        if ["lib", "fault_loops"].contains(&module)
            || inside.contains("/tests/")
            || inside.ends_with("/tests.rs")
        {
            continue; // tests see everything
        }
        let Some(own) = layer(module) else {
            breaches.push(format!("{}: `{module}` is in no layer", source.path));
            continue;
        };
        for (number, line) in source.code() {
            for imported in line.split("crate::").skip(1).filter(|_| !line.contains("$crate")) {
                let name = imported.split(|c: char| !(c.is_alphanumeric() || c == '_')).next();
                imports += 1;
                if layer(name.unwrap_or_default()).is_none_or(|layer| layer > own) {
                    breaches.push(format!("{}:{number}: {}", source.path, line.trim()));
                }
            }
        }
    }
    assert!(imports > 50, "saw only {imports} imports");
    check(&breaches);
}

#[test]
fn what_has_an_owner_is_named_by_nobody_else() {
    let mut breaches = Vec::new();
    for source in library() {
        let inside = source.path.trim_start_matches("src/");
        for (number, line) in source.code() {
            for (what, owners) in OWNERS {
                if line.contains(what) && !owners.iter().any(|owner| inside.starts_with(owner)) {
                    breaches.push(format!("{}:{number}: `{what}` is not for here", source.path));
                }
            }
        }
    }
    check(&breaches);
}

/// A process that is starting has the locks of all tests (`tests/it/system/forks.rs`).
#[test]
fn tests_start_programs_where_others_can_wait_for_it() {
    const OWNERS: [&str; 2] = ["src/sys/unix/injected.rs", "tests/it/system/forks.rs"];
    let mut breaches = Vec::new();
    let mut met = 0;
    for source in ["src", "tests/it"].into_iter().flat_map(sources) {
        // Also of the unit tests.
        let lines = source.text.lines().zip(1..).filter(|(line, _)| !line.trim().starts_with("//"));
        let starts = [".spawn()", ".status()", ".output()"];
        for (line, number) in lines.filter(|(line, _)| starts.iter().any(|it| line.contains(it))) {
            match OWNERS.contains(&&*source.path) {
                true => met += 1,
                false => breaches.push(format!("{}:{number}: {}", source.path, line.trim())),
            }
        }
    }
    assert_eq!(met, 2, "they are started in other ways by now");
    check(&breaches);
}

#[test]
fn files_functions_and_lines_are_short() {
    let mut breaches = Vec::new();
    for source in everything() {
        let lines: Vec<&str> = source.text.lines().collect();
        if lines.len() > MAX_LINES_PER_FILE {
            breaches.push(format!("{}: {} lines", source.path, lines.len()));
        }
        for (index, line) in lines.iter().enumerate() {
            let at = format!("{}:{}", source.path, index + 1);
            if line.chars().count() > MAX_COLUMNS {
                breaches.push(format!("{at}: {} columns", line.chars().count()));
            }
            let indent = line.len() - line.trim_start().len();
            let is_function = line.contains("fn ") && line.trim_end().ends_with(['{', '(']);
            if is_function && !line.trim_start().starts_with("//") {
                let end = format!("{}}}", &line[..indent]);
                let length = lines[index..].iter().position(|line| **line == end).unwrap_or(0);
                if length > MAX_LINES_PER_FUNCTION {
                    breaches.push(format!("{at}: a function of {length} lines"));
                }
            }
        }
    }
    check(&breaches);
}

#[test]
fn the_documents_keep_up() {
    let version = env!("CARGO_PKG_VERSION");
    assert!(read("CHANGELOG.md").contains(version), "CHANGELOG.md does not have {version}");
    let architecture = read("ARCHITECTURE.md");
    for source in library() {
        let name = source.path.trim_start_matches("src/");
        assert!(architecture.contains(name), "ARCHITECTURE.md does not name {name}");
    }
    let readme = read("README.md");
    for example in sources("examples") {
        let name = example.path.trim_start_matches("examples/").trim_end_matches(".rs");
        assert!(readme.contains(name), "README.md does not name the example {name}");
    }
}

//! The kernel's own protections against bad neighbours, see proc_sys_fs(5).

use std::fs;

const NAMES: [&str; 4] =
    ["protected_symlinks", "protected_hardlinks", "protected_fifos", "protected_regular"];

fn path(name: &str) -> String {
    format!("/proc/sys/fs/{name}")
}

fn get(name: &str) -> String {
    fs::read_to_string(path(name)).map_or_else(|_| "?".into(), |value| value.trim().to_owned())
}

pub(crate) fn describe() -> String {
    NAMES.map(|name| format!("{name}={}", get(name))).join(" ")
}

/// Values that were set. Dropped, they are what they were.
pub(crate) struct Setting {
    before: [String; 4],
}

impl Setting {
    pub(crate) fn set_all(value: u8) -> Setting {
        let before = NAMES.map(get);
        let setting = Setting { before };
        for name in NAMES {
            fs::write(path(name), value.to_string()).unwrap();
        }
        setting
    }
}

impl Drop for Setting {
    fn drop(&mut self) {
        for (name, value) in NAMES.iter().zip(&self.before) {
            let _ = fs::write(path(name), value);
        }
    }
}

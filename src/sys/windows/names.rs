//! Which names are names of files on Windows ("Naming Files, Paths, and Namespaces").

use std::ffi::OsStr;
use std::path::Path;

/// Whether the system takes `name`, in the directory `parent`, for the name of a file, and of that
/// one file.
pub(crate) fn may_name_file(parent: &Path, name: &OsStr) -> bool {
    let name = name.as_encoded_bytes();
    // A colon begins the name of a stream within a file.
    let is_illegal = |byte: &u8| *byte < b' ' || br#"<>:"/\|?*"#.contains(byte);
    if name.is_empty() || name.iter().any(is_illegal) {
        return false;
    }
    // Behind this prefix the system changes nothing about the path.
    if parent.as_os_str().as_encoded_bytes().starts_with(br"\\?\") {
        return true;
    }
    // It would take them off and mean another file.
    let is_cut = name.ends_with(b".") || name.ends_with(b" ");
    !is_cut && !is_device(name)
}

/// Whether the system takes the name for a device in every directory, whatever comes after a dot.
fn is_device(name: &[u8]) -> bool {
    let stem = name.split(|byte| *byte == b'.').next().unwrap_or_default().trim_ascii_end();
    let stem = stem.to_ascii_uppercase();
    match &stem[..] {
        b"CON" | b"PRN" | b"AUX" | b"NUL" | b"CONIN$" | b"CONOUT$" => true,
        // The digits raised count too: U+00B9, U+00B2 and U+00B3.
        [b'C', b'O', b'M', number @ ..] | [b'L', b'P', b'T', number @ ..] => {
            matches!(number, [b'1'..=b'9'] | [0xc2, 0xb9 | 0xb2 | 0xb3])
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CASES: &[(&str, bool)] = &[
        ("config", true),
        (".config", true),
        ("a b", true),
        (" a", true),
        ("..a", true),
        ("console", true),
        ("CON1", true),
        ("COM", true),
        ("COM0", true),
        ("COM10", true),
        ("com\u{b4}", true),
        ("nul-device", true),
        ("a.con", true),
        ("äöü", true),
        ("CON", false),
        ("con", false),
        ("con.txt", false),
        ("Con.tar.gz", false),
        ("CON .txt", false),
        ("PRN", false),
        ("aux.c", false),
        ("NUL", false),
        ("nul.", false),
        ("COM1", false),
        ("com9.log", false),
        ("COM\u{b9}", false),
        ("LPT1", false),
        ("lpt\u{b3}.x", false),
        ("CONIN$", false),
        ("conout$", false),
        ("a.", false),
        ("a ", false),
        ("a. .", false),
        ("...", false),
        ("a:b", false),
        ("a::$DATA", false),
        ("a?", false),
        ("a*", false),
        ("a|b", false),
        ("a<b", false),
        ("a>b", false),
        ("a\"b", false),
        ("a\tb", false),
        ("a\0b", false),
        ("", false),
    ];

    #[test]
    fn only_what_windows_takes_for_a_name_is_one() {
        for (name, expected) in CASES {
            let parent = Path::new(r"C:\folder");
            assert_eq!(may_name_file(parent, OsStr::new(name)), *expected, "{name:?}");
        }
        assert!(CASES.iter().filter(|(_, expected)| *expected).count() > 10);
    }

    #[test]
    fn behind_the_verbatim_prefix_a_name_is_what_it_says() {
        let verbatim = Path::new(r"\\?\C:\folder");
        for name in ["CON", "nul.txt", "a.", "a "] {
            assert!(may_name_file(verbatim, OsStr::new(name)), "{name:?}");
        }
        for name in ["a:b", "a?", ""] {
            assert!(!may_name_file(verbatim, OsStr::new(name)), "{name:?}");
        }
    }
}

//! Every edit that takes a rule of the protocol out of the sources fits them: its text stands
//! exactly once.
#![allow(clippy::expect_used)]

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

fn check(rules: &Path) -> Output {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/lib/rules.py");
    let mut command = Command::new("python3");
    command.arg(script).args(["--check", "--rules"]).arg(rules).output().expect("python3")
}

fn rules() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/simulation/rules.txt")
}

#[test]
fn each_edit_of_a_rule_stands_once_in_the_sources() {
    let checked = check(&rules());
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
}

#[test]
fn an_edit_that_fits_nowhere_or_twice_is_found() {
    let text = fs::read_to_string(rules()).expect("rules.txt");
    let rows = [
        ("nowhere", "- let gone = 1;", "stands 0 times in src/"),
        (
            "in another function",
            "fn other\n- entry.stamp = page.entry",
            "stands 0 times in fn other",
        ),
        ("everywhere", "- Ok(())", " times in src/"),
        ("nothing to find", "+ let new = 1;", "replaces nothing"),
        ("nothing to edit", "", "each with lines to find"),
    ];
    for (id, edit, want) in rows {
        let broken = std::env::temp_dir().join(format!("edge-isr-rules-{}", std::process::id()));
        fs::write(&broken, format!("{text}\nrule broken\nIt is.\n{edit}\n")).expect("a file");
        let checked = check(&broken);
        fs::remove_file(&broken).expect("the file");
        let said = String::from_utf8_lossy(&checked.stderr);
        assert!(!checked.status.success() && said.contains(want), "{id}: {said}");
    }
}

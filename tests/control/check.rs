//! The checker that runs before a deploy.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::io::Write as _;
use std::process::{Command, Output, Stdio};

fn check(arguments: &[&str], input: &str, secrets: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_edge-isr-check"))
        .args(arguments)
        .env_remove("TOKENS")
        .env("WEBHOOK_SECRETS", secrets)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // It may end without reading; what it says then is what counts.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    child.wait_with_output().unwrap()
}

#[test]
fn problems_are_printed_with_their_paths() {
    let rows: &[(&[&str], &str, &str, i32, &str)] = &[
        (&[], "{}", "", 0, "the configuration is right\n"),
        (&["-", "--origin", "https://o.example"], "{}", "", 0, "the configuration is right\n"),
        (&[], r#"{"shards": 0}"#, "", 1, "shards: expected a whole number from 1 to 256, got 0\n"),
        (
            &["--origin", "ftp://o.example"],
            "{}",
            "",
            1,
            "ORIGIN: the origin's URL starts with http:// or https://\n",
        ),
        (
            &["--origin", "https://a.example", "--worker-host", "a.example"],
            r#"{"log": 1}"#,
            "hunter2",
            1,
            "log: expected \"off\" or \"problems\" or \"events\", got 1\n\
             ORIGIN: a.example is the worker itself: requests would loop\n\
             WEBHOOK_SECRETS: number 1 does not start with whsec_\n",
        ),
        (&["/nowhere/settings.json"], "", "", 2, ""),
        (&["--orign", "x"], "{}", "", 2, ""),
        (&["--origin"], "{}", "", 2, ""),
    ];
    for (arguments, input, secrets, code, want) in rows {
        let output = check(arguments, input, secrets);
        let printed = String::from_utf8_lossy(&output.stdout);
        assert_eq!(output.status.code(), Some(*code), "{arguments:?} {input}: {printed}");
        assert_eq!(printed, *want, "{arguments:?} {input}");
        assert_eq!(output.stderr.is_empty(), *code != 2, "{arguments:?} {input}");
    }
}

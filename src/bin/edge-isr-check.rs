//! Checks a configuration before it is deployed: prints every problem with its path, and exits 1 if
//! there is one.
//!
//! `edge-isr-check [FILE] [--origin URL] [--worker-host HOST]`; without FILE (or with `-`) it reads
//! standard input. The content is that of `EDGE_ISR` as JSON. `WEBHOOK_SECRETS` and `TOKENS` are
//! checked where the environment has them; what they hold is never printed. Not for the worker
//! itself: it parses the same values when it starts.

use std::io::{Read as _, Write as _};
use std::process::ExitCode;

use edge_isr::config::OriginUrl;
use edge_isr::control::Secrets;
use edge_isr::front_caches::parse_config;

const USAGE: &str = "usage: edge-isr-check [FILE|-] [--origin URL] [--worker-host HOST]...";

/// What the command line asks for.
#[derive(Default)]
struct Arguments {
    file: Option<String>,
    origin: Option<String>,
    worker_hosts: Vec<String>,
}

fn main() -> ExitCode {
    let arguments = match arguments(std::env::args().skip(1)) {
        Ok(Some(arguments)) => arguments,
        Ok(None) => return print(USAGE, ExitCode::SUCCESS),
        Err(problem) => return print_error(&format!("{problem}\n{USAGE}"), ExitCode::from(2)),
    };
    let text = match read(arguments.file.as_deref()) {
        Ok(text) => text,
        Err(problem) => return print_error(&problem, ExitCode::from(2)),
    };
    let problems = check(&arguments, &text);
    if problems.is_empty() {
        return print("the configuration is right", ExitCode::SUCCESS);
    }
    print(&problems.join("\n"), ExitCode::FAILURE)
}

fn arguments(words: impl Iterator<Item = String>) -> Result<Option<Arguments>, String> {
    let mut arguments = Arguments::default();
    let mut words = words.peekable();
    while let Some(word) = words.next() {
        let mut value = |name: &str| words.next().ok_or_else(|| format!("{name} needs a value"));
        match word.as_str() {
            "--help" | "-h" => return Ok(None),
            "--origin" => arguments.origin = Some(value("--origin")?),
            "--worker-host" => arguments.worker_hosts.push(value("--worker-host")?),
            flag if flag.starts_with("--") => return Err(format!("unknown option {flag}")),
            file if arguments.file.is_none() => arguments.file = Some(file.to_owned()),
            more => return Err(format!("one file at a time: {more}")),
        }
    }
    Ok(Some(arguments))
}

fn read(file: Option<&str>) -> Result<String, String> {
    match file {
        None | Some("-") => {
            let mut text = String::new();
            match std::io::stdin().read_to_string(&mut text) {
                Ok(_) => Ok(text),
                Err(error) => Err(format!("standard input: {error}")),
            }
        }
        Some(file) => std::fs::read_to_string(file).map_err(|error| format!("{file}: {error}")),
    }
}

fn check(arguments: &Arguments, text: &str) -> Vec<String> {
    let mut problems = Vec::new();
    if let Err(errors) = parse_config(text) {
        problems.extend(errors.iter().map(ToString::to_string));
    }
    match arguments.origin.as_deref().map(OriginUrl::parse) {
        None => {}
        Some(Err(error)) => problems.push(format!("ORIGIN: {error}")),
        Some(Ok(origin)) => {
            for host in arguments.worker_hosts.iter().filter(|host| origin.conflicts_with(host)) {
                problems.push(format!("ORIGIN: {host} is the worker itself: requests would loop"));
            }
        }
    }
    let variable = |name: &str| std::env::var(name).unwrap_or_default();
    match Secrets::parse(&variable("WEBHOOK_SECRETS"), &variable("TOKENS")) {
        Ok(secrets) => {
            for warning in secrets.warnings() {
                print_error(&format!("warning: {warning}"), ExitCode::SUCCESS);
            }
        }
        Err(errors) => problems.extend(errors.iter().map(ToString::to_string)),
    }
    problems
}

/// What was asked for: the result. A closed pipe changes nothing.
fn print(text: &str, code: ExitCode) -> ExitCode {
    let _ = writeln!(std::io::stdout(), "{text}");
    code
}

/// What was not asked for: warnings, and errors of the call itself.
fn print_error(text: &str, code: ExitCode) -> ExitCode {
    let _ = writeln!(std::io::stderr(), "{text}");
    code
}

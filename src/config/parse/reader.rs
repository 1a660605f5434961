//! Reads one JSON object of the settings: every key is asked for by name, every wrong value is
//! noted with its path, and a key that nobody asked for is an error.

use serde_json::{Map, Value};
use strsim::levenshtein;

use crate::base::json::write_value;
use crate::base::time::{Millis, Seconds};

/// A wrong setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// Where it stands: `routes[2].ttl`; `EDGE_ISR` for the whole.
    pub path: String,
    /// What is wrong with it.
    pub problem: String,
}

impl std::fmt::Display for ConfigError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.path, self.problem)
    }
}

impl std::error::Error for ConfigError {}

/// The problems found so far. Reading goes on after each, so that all are reported at once.
#[derive(Default)]
pub(super) struct Problems(pub(super) Vec<ConfigError>);

impl Problems {
    pub(super) fn add(&mut self, path: impl Into<String>, problem: impl Into<String>) {
        self.0.push(ConfigError { path: path.into(), problem: problem.into() });
    }

    pub(super) fn expected(&mut self, path: impl Into<String>, what: &str, got: &Value) {
        self.add(path, format!("expected {what}, got {}", shown(got)));
    }
}

/// One object of the settings.
pub(super) struct Section<'v> {
    /// Where it stands: empty for the whole.
    path: String,
    object: &'v Map<String, Value>,
}

impl<'v> Section<'v> {
    /// The object at `path`, unless the value is something else.
    pub(super) fn open(path: String, value: &'v Value, problems: &mut Problems) -> Option<Self> {
        match value {
            Value::Object(object) => Some(Self { path, object }),
            other => {
                let shown = if path.is_empty() { "EDGE_ISR".to_owned() } else { path };
                problems.expected(shown, "an object of settings", other);
                None
            }
        }
    }

    /// Notes every key that is not one of `known`.
    pub(super) fn refuse_unknown(&self, known: &[&str], problems: &mut Problems) {
        for key in self.object.keys().filter(|key| !known.contains(&key.as_str())) {
            let hint = match nearest(key, known) {
                Some(near) => format!("unknown setting; did you mean `{near}`?"),
                None => "unknown setting".to_owned(),
            };
            problems.add(self.at(key), hint);
        }
    }

    /// The path of a key.
    pub(super) fn at(&self, key: &str) -> String {
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-');
        if key.is_empty() || !key.bytes().all(plain) {
            return format!("{}[{}]", self.path, shown(&Value::from(key)));
        }
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    /// The value of a key, whatever it is.
    pub(super) fn get(&self, key: &str) -> Option<&'v Value> {
        self.object.get(key)
    }

    /// Keys and values, in order of the keys.
    pub(super) fn entries(&self) -> impl Iterator<Item = (&'v String, &'v Value)> {
        self.object.iter()
    }

    /// Whether the key is there.
    pub(super) fn has(&self, key: &str) -> bool {
        self.object.contains_key(key)
    }

    /// A switch.
    pub(super) fn switch(&self, key: &str, into: &mut bool, problems: &mut Problems) {
        match self.get(key) {
            None => {}
            Some(Value::Bool(value)) => *into = *value,
            Some(other) => problems.expected(self.at(key), "true or false", other),
        }
    }

    /// A whole number within bounds.
    pub(super) fn number(
        &self,
        key: &str,
        (from, to): (u64, u64),
        problems: &mut Problems,
    ) -> Option<u64> {
        whole(&self.at(key), self.get(key)?, "number", (from, to), problems)
    }

    /// `delta-seconds`: whole seconds, capped as RFC 9111 §1.2.2 has it.
    pub(super) fn seconds(&self, key: &str, problems: &mut Problems) -> Option<Seconds> {
        seconds(&self.at(key), self.get(key)?, problems)
    }

    /// Seconds with a fraction, within bounds given in milliseconds.
    pub(super) fn millis(
        &self,
        key: &str,
        (from, to): (u64, u64),
        problems: &mut Problems,
    ) -> Option<Millis> {
        let value = self.get(key)?;
        let Some(seconds) = value.as_f64().filter(|seconds| seconds.is_finite()) else {
            problems.expected(self.at(key), "a number of seconds", value);
            return None;
        };
        let (low, high) = (from as f64 / 1000.0, to as f64 / 1000.0);
        if seconds < low || seconds > high {
            let (low, high) = (Millis(from).decimal_seconds(), Millis(to).decimal_seconds());
            let what = format!("a number of seconds from {low} to {high}");
            problems.expected(self.at(key), &what, value);
            return None;
        }
        // In range, so the conversion is exact to the millisecond.
        Some(Millis((seconds * 1000.0).round() as u64))
    }

    /// A text.
    pub(super) fn text(&self, key: &str, problems: &mut Problems) -> Option<&'v str> {
        match self.get(key)? {
            Value::String(text) => Some(text),
            other => {
                problems.expected(self.at(key), "a text", other);
                None
            }
        }
    }

    /// One of a few words.
    pub(super) fn choice<T: Copy>(
        &self,
        key: &str,
        words: &[(&str, T)],
        problems: &mut Problems,
    ) -> Option<T> {
        choice(&self.at(key), self.get(key)?, words, problems)
    }

    /// A list, each element read by `read` with its own path. Repeated elements count once.
    pub(super) fn list<T: PartialEq>(
        &self,
        key: &str,
        problems: &mut Problems,
        read: impl FnMut(&str, &Value, &mut Problems) -> Option<T>,
    ) -> Option<Vec<T>> {
        list(&self.at(key), self.get(key)?, problems, read)
    }
}

/// Whole seconds at a path.
pub(super) fn seconds(path: &str, value: &Value, problems: &mut Problems) -> Option<Seconds> {
    whole(path, value, "number of seconds", (0, Seconds::MAX.0), problems).map(Seconds)
}

/// One of a few words at a path.
pub(super) fn choice<T: Copy>(
    path: &str,
    value: &Value,
    words: &[(&str, T)],
    problems: &mut Problems,
) -> Option<T> {
    let word = value.as_str().and_then(|text| words.iter().find(|(word, _)| *word == text));
    if word.is_none() {
        let known: Vec<String> = words.iter().map(|(word, _)| format!("\"{word}\"")).collect();
        problems.expected(path, &known.join(" or "), value);
    }
    word.map(|(_, meaning)| *meaning)
}

/// A list at a path. Repeated elements count once.
pub(super) fn list<T: PartialEq>(
    path: &str,
    value: &Value,
    problems: &mut Problems,
    mut read: impl FnMut(&str, &Value, &mut Problems) -> Option<T>,
) -> Option<Vec<T>> {
    let Value::Array(values) = value else {
        problems.expected(path, "a list", value);
        return None;
    };
    let mut items = Vec::with_capacity(values.len());
    for (at, value) in values.iter().enumerate() {
        if let Some(item) = read(&format!("{path}[{at}]"), value, problems)
            && !items.contains(&item)
        {
            items.push(item);
        }
    }
    Some(items)
}

fn whole(
    path: &str,
    value: &Value,
    what: &str,
    (from, to): (u64, u64),
    problems: &mut Problems,
) -> Option<u64> {
    // TOML has floats of its own, so `60.0` is a whole number too.
    let number = value.as_u64().or_else(|| {
        value.as_f64().filter(|n| n.fract() == 0.0 && (0.0..9e15).contains(n)).map(|n| n as u64)
    });
    match number {
        Some(number) if (from..=to).contains(&number) => Some(number),
        Some(_) | None => {
            let what = if value.is_number() {
                format!("a whole {what} from {from} to {to}")
            } else {
                format!("a {what}")
            };
            problems.expected(path, &what, value);
            None
        }
    }
}

/// A value as an error shows it: short, and on one line.
pub(super) fn shown(value: &Value) -> String {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => write_value(value),
        Value::String(text) => {
            let short: String = text.chars().take(MAX_SHOWN).collect();
            let more = if short.len() < text.len() { "…" } else { "" };
            format!("{}{more}", write_value(&Value::from(short)))
        }
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "an object".to_owned(),
    }
}

/// The most characters of a wrong text that an error repeats.
const MAX_SHOWN: usize = 40;

/// The word at the smallest edit distance, if it is near enough to be what was meant: one edit in
/// three characters.
pub(crate) fn nearest<'w>(typed: &str, words: &[&'w str]) -> Option<&'w str> {
    if typed.len() > MAX_LENGTH {
        return None;
    }
    let typed = typed.to_ascii_lowercase().replace('-', "_");
    words
        .iter()
        .map(|word| (levenshtein(&typed, word), *word))
        .filter(|(edits, word)| *edits <= word.len().div_ceil(3).min(3))
        .min()
        .map(|(_, word)| word)
}

/// Longer texts are not typing errors, and the distance is quadratic.
const MAX_LENGTH: usize = 64;

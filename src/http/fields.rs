//! Header fields as the runtime gives them: lower-case names, values with one `char` per byte.
//!
//! The Fetch API's `Headers` hands values over as byte strings (each code unit 0 to 255) and joins
//! repeated fields with `", "` (RFC 9110 §5.3), except `Set-Cookie`. Values are kept in that form.
//! The Workers runtime reads them as UTF-8 and puts U+FFFD in the place of other bytes: a response
//! with such a value is not stored, and passes as it came. Names are ASCII and compared in lower
//! case (RFC 9110 §5.1).

use serde::{Deserialize, Serialize};

/// An ordered list of header fields. Repeated fields may stand as several rows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Fields {
    rows: Vec<(String, String)>,
}

impl Fields {
    /// No fields.
    #[must_use]
    pub const fn new() -> Self {
        Self { rows: Vec::new() }
    }

    /// The first row of that name (give it in lower case).
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.rows.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    /// Whether a field of that name is there.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// Every row of that name, in order.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.rows.iter().filter(move |(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    /// The rows of that name joined as RFC 9110 §5.3 allows; none if there is no such field.
    #[must_use]
    pub fn joined(&self, name: &str) -> Option<String> {
        let mut values = self.all(name);
        let first = values.next()?.to_owned();
        Some(values.fold(first, |mut joined, value| {
            joined.push_str(", ");
            joined.push_str(value);
            joined
        }))
    }

    /// Adds a row after the others.
    pub fn append(&mut self, name: impl Into<String>, value: impl Into<String>) {
        let mut name = name.into();
        name.make_ascii_lowercase();
        self.rows.push((name, value.into()));
    }

    /// Makes this the only row of that name (give it in lower case).
    pub fn set(&mut self, name: &str, value: impl Into<String>) {
        self.remove(name);
        self.append(name, value);
    }

    /// Takes every row of that name out (give it in lower case).
    pub fn remove(&mut self, name: &str) {
        self.rows.retain(|(n, _)| n != name);
    }

    /// Keeps only the rows for which `keep` holds.
    pub fn retain(&mut self, mut keep: impl FnMut(&str, &str) -> bool) {
        self.rows.retain(|(n, v)| keep(n, v));
    }

    /// All rows, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.rows.iter().map(|(n, v)| (n.as_str(), v.as_str()))
    }

    /// How many rows there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there are no rows.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }
}

impl<N: Into<String>, V: Into<String>> FromIterator<(N, V)> for Fields {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(rows: I) -> Self {
        let mut fields = Self::new();
        for (name, value) in rows {
            fields.append(name, value);
        }
        fields
    }
}

//! What a call names, gathered into a command. One text that names nothing refuses the whole call.

use crate::config::Config;
use crate::control::problem::{Problem, ProblemKind};
use crate::control::revalidate::{MAX_TARGETS, RevalidateCommand};
use crate::control::targets::{
    host_target, page_query, prefix_target, tag_target, url_target, widened_prefix,
};
use crate::journal::Mode;
use crate::tag::Target;

/// The targets of a call so far.
pub(super) struct Named<'c> {
    config: &'c Config,
    targets: Vec<Target>,
    notes: Vec<String>,
}

impl<'c> Named<'c> {
    pub(super) const fn new(config: &'c Config) -> Self {
        Self { config, targets: Vec::new(), notes: Vec::new() }
    }

    /// Tags, divided by commas and white space as in the field that gave them to pages.
    pub(super) fn tags(&mut self, place: &str, text: &str) -> Result<(), Problem> {
        let before = self.targets.len();
        for tag in text.split([',', ' ', '\t', '\n', '\r']).filter(|tag| !tag.is_empty()) {
            self.tag(place, tag)?;
        }
        if self.targets.len() == before {
            return Err(invalid(place, "a tag can't be empty"));
        }
        Ok(())
    }

    /// One tag.
    pub(super) fn tag(&mut self, place: &str, text: &str) -> Result<(), Problem> {
        let target = tag_target(text).map_err(|error| invalid(place, &error.to_string()))?;
        self.targets.push(target);
        Ok(())
    }

    /// A page; without a scheme it is taken as `https`, which means the same.
    pub(super) fn url(&mut self, place: &str, text: &str) -> Result<(), Problem> {
        let text = absolute(text);
        let target = url_target(&text, self.config, &page_query(self.config));
        self.targets.push(target.map_err(|error| invalid(place, error.as_str()))?);
        Ok(())
    }

    /// The pages below a pattern, widened to the enclosing prefix.
    pub(super) fn prefix(&mut self, place: &str, text: &str) -> Result<(), Problem> {
        let widened = widened_prefix(text, self.config);
        let widened = widened.map_err(|error| invalid(place, error.as_str()))?;
        self.targets.push(widened.target);
        self.notes.extend(widened.note);
        Ok(())
    }

    /// The pages below a prefix that a pattern was widened to already.
    pub(super) fn enclosing(
        &mut self,
        place: &str,
        text: &str,
        note: Option<String>,
    ) -> Result<(), Problem> {
        let target = prefix_target(&absolute(text), self.config);
        self.targets.push(target.map_err(|error| invalid(place, error.as_str()))?);
        self.notes.extend(note);
        Ok(())
    }

    /// A host.
    pub(super) fn host(&mut self, place: &str, text: &str) -> Result<(), Problem> {
        let target = host_target(text, self.config);
        self.targets.push(target.map_err(|error| invalid(place, &error.to_string()))?);
        Ok(())
    }

    /// Everything; with a note if less was asked for.
    pub(super) fn all(&mut self, note: Option<String>) {
        self.targets.push(Target::All);
        self.notes.extend(note);
    }

    /// The command.
    pub(super) fn command(self, mode: Mode) -> Result<RevalidateCommand, Problem> {
        if self.targets.is_empty() {
            return Err(Problem::new(ProblemKind::NoTargets, "The call names nothing."));
        }
        if self.targets.len() > MAX_TARGETS {
            return Err(too_many("targets", self.targets.len(), MAX_TARGETS));
        }
        let notes = self.notes;
        Ok(RevalidateCommand { mode, notes, ..RevalidateCommand::of(self.targets) })
    }
}

fn absolute(text: &str) -> String {
    if text.contains("://") { text.to_owned() } else { format!("https://{text}") }
}

pub(super) fn invalid(place: &str, why: &str) -> Problem {
    Problem::new(ProblemKind::InvalidValue, format!("{place}: {why}.")).at(place)
}

pub(super) fn too_many(place: &str, named: usize, most: usize) -> Problem {
    let detail = format!("The call names {named} {place}; one call takes {most}.");
    Problem::new(ProblemKind::TooManyTargets, detail).at(place)
}

//! What a call names, gathered into a command. One text that names nothing refuses the whole call.

use serde_json::Value;

use crate::cache::tag::Target;
use crate::config::Config;
use crate::control::problem::{Problem, ProblemKind};
use crate::control::revalidate::{MAX_TARGETS, RevalidateCommand};
use crate::control::targets::{
    host_target, page_query, plain_url_target, prefix_target, tag_target, url_target,
    widened_prefix,
};
use crate::http::RequestHead;
use crate::journal::Mode;

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

    /// The same, whatever the case of their letters.
    pub(super) fn tags_in_any_case(&mut self, place: &str, text: &str) -> Result<(), Problem> {
        let before = self.targets.len();
        self.tags(place, text)?;
        let named = self.targets.get(before..).unwrap_or_default();
        let small = named.iter().filter_map(|target| match target {
            Target::Tag(tag) => tag.in_small_letters(),
            Target::Url(_) | Target::Prefix(_) | Target::Host(_) | Target::All => None,
        });
        small.collect::<Vec<_>>().iter().try_for_each(|tag| self.tag(place, tag))
    }

    /// One tag.
    pub(super) fn tag(&mut self, place: &str, text: &str) -> Result<(), Problem> {
        let target = tag_target(text).map_err(|error| invalid(place, &error.to_string()))?;
        self.targets.push(target);
        Ok(())
    }

    /// A page; without a scheme it is taken as `https`, which means the same.
    pub(super) fn url(&mut self, place: &str, text: &str) -> Result<(), Problem> {
        let target = plain_url_target(&absolute(text), self.config, &page_query(self.config));
        self.targets.push(target.map_err(|error| invalid(place, error.as_str()))?);
        Ok(())
    }

    /// The same, where a `*` stands for itself.
    pub(super) fn literal_url(&mut self, place: &str, text: &str) -> Result<(), Problem> {
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

/// Refuses a body with fields that the call does not read: it may have named something there.
pub(super) fn no_other_field(body: &Value, field: &str) -> Result<(), Problem> {
    let Some(other) = body.as_object().and_then(|body| body.keys().find(|key| *key != field))
    else {
        return Ok(());
    };
    let shown: String = other.chars().take(64).collect();
    let detail = format!("{shown} is not a field of this call.");
    Err(Problem::new(ProblemKind::UnknownField, detail).at(shown))
}

/// Refuses a call that is meant as a trial: these APIs have none, and would do it.
pub(super) fn no_dry_run(request: &RequestHead) -> Result<(), Problem> {
    let pairs = request.query.as_deref().unwrap_or_default().split('&');
    let mut names = pairs.map(|pair| pair.split('=').next().unwrap_or_default());
    let trial = names.find(|name| {
        let letters = name.replace(['_', '-'], "");
        letters.eq_ignore_ascii_case("dryrun")
    });
    let Some(name) = trial else { return Ok(()) };
    let detail = format!("{name} is not a parameter of this call: nothing was done.");
    Err(Problem::new(ProblemKind::UnknownField, detail).at(name))
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

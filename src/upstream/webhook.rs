//! The command of `revalidate`, posted to a URL with a Bearer token: to another edge-isr, or to whatever speaks for a
//! cache of one's own. `webhook-id` is the same when the same is sent again.

use serde_json::{Value, json};

use crate::config::upstream::Upstream;
use crate::header::Fields;
use crate::journal::{Mode, Owed};
use crate::json::write_value;
use crate::tag::Target;

use super::Request;

pub(super) fn requests(upstream: &Upstream, secret: &str, owed: &Owed) -> Vec<Request> {
    let mode = match owed.mode {
        Mode::Soft => "soft",
        Mode::Hard => "hard",
    };
    let (mut tags, mut urls, mut prefixes, mut hosts) = (vec![], vec![], vec![], vec![]);
    let mut all = false;
    for target in &owed.targets {
        match target {
            Target::Tag(tag) => tags.push(tag.as_str().to_owned()),
            Target::Url(name) => urls.push(format!("https://{name}")),
            Target::Prefix(name) => prefixes.push(format!("https://{name}")),
            Target::Host(name) => hosts.push(name.clone()),
            Target::All => all = true,
        }
    }
    let mut command = json!({ "mode": mode, "reason": "upstream" });
    if all {
        command["all"] = Value::from(true);
    } else {
        for (kind, names) in
            [("tags", tags), ("urls", urls), ("prefixes", prefixes), ("hosts", hosts)]
        {
            if !names.is_empty() {
                command[kind] = Value::from(names);
            }
        }
    }
    let (first, last) = (owed.epochs.first(), owed.epochs.last());
    let number = |epoch: Option<&crate::time::Epoch>| epoch.map_or(0, |epoch| epoch.0);
    let id = format!("upstream-{}-{}-{}", upstream.name, number(first), number(last));
    vec![Request {
        url: upstream.url.join(""),
        fields: Fields::from_iter([
            ("content-type", "application/json"),
            ("authorization", &format!("Bearer {secret}")),
            ("webhook-id", &id),
        ]),
        body: write_value(&command).into_bytes(),
    }]
}

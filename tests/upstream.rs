//! What caches before the edge are told: the requests of each API, what an answer means, and which settings are wrong.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]
#![allow(clippy::type_complexity, reason = "the rows of tables")]

use edge_isr::config::parse;
use edge_isr::config::upstream::Armed;
use edge_isr::header::ResponseHead;
use edge_isr::journal::{Mode, Owed};
use edge_isr::tag::{Tag, Target};
use edge_isr::time::{Epoch, Millis, Timestamp};
use edge_isr::upstream::{Failure, requests, taken};

const CLOUDFLARE: &str = r#"{"name": "cdn", "provider": "cloudflare", "zone": "z1", "tags": true}"#;
const UNTAGGED: &str = r#"{"name": "cdn", "provider": "cloudflare", "zone": "z1"}"#;
const FASTLY: &str = r#"{"name": "cdn", "provider": "fastly", "service": "s1", "tags": true}"#;
const WEBHOOK: &str =
    r#"{"name": "cdn", "provider": "webhook", "url": "https://x.example/__isr/v1/revalidate"}"#;

fn armed(upstream: &str) -> Armed {
    let text =
        format!(r#"{{"upstreams": [{upstream}], "host_aliases": {{"b.example": "a.example"}}}}"#);
    let config = parse(&text).unwrap();
    Armed::all(&config, "other:no cdn:se-cret").pop().unwrap()
}

fn tag(name: &str) -> Target {
    Target::Tag(Tag::parse(name).unwrap())
}

fn url(name: &str) -> Target {
    Target::Url(name.to_owned())
}

/// Each request as its URL and body, or its keys.
fn told(upstream: &str, targets: &[Target], mode: Mode) -> Vec<String> {
    let armed = armed(upstream);
    let secret = armed.secret.clone().unwrap();
    let owed = Owed { epochs: vec![Epoch(3), Epoch(5)], targets: targets.to_vec(), mode };
    let requests = requests(&armed, &secret, &owed);
    requests
        .iter()
        .map(|request| {
            let body = String::from_utf8(request.body.clone()).unwrap();
            let fields = ["surrogate-key", "fastly-soft-purge", "webhook-id"];
            let fields = fields.into_iter().filter_map(|name| request.fields.get(name));
            let said: Vec<&str> = [body.as_str()].into_iter().chain(fields).collect();
            format!("{} {}", request.url, said.join(" ").trim()).trim().to_owned()
        })
        .collect()
}

#[test]
fn each_api_is_told_in_its_words() {
    let zone = "https://api.cloudflare.com/client/v4/zones/z1/purge_cache";
    let service = "https://api.fastly.com/service/s1";
    let hook = "https://x.example/__isr/v1/revalidate";
    let (soft, hard) = (Mode::Soft, Mode::Hard);
    let everything = format!(r#"{zone} {{"purge_everything":true}}"#);
    let rows: [(&str, &[Target], Mode, &[String]); 12] = [
        (CLOUDFLARE, &[tag("a"), tag("b")], soft, &[format!(r#"{zone} {{"tags":["a","b"]}}"#)]),
        // Without tags there, nothing tells which of its pages they are.
        (UNTAGGED, &[tag("a")], soft, std::slice::from_ref(&everything)),
        (
            CLOUDFLARE,
            &[url("c.example/x/?p=1"), Target::Host("d.example".to_owned()), tag("a")],
            hard,
            &[
                format!(r#"{zone} {{"tags":["a"]}}"#),
                format!(r#"{zone} {{"prefixes":["c.example/x"]}}"#),
                format!(r#"{zone} {{"hosts":["d.example"]}}"#),
            ],
        ),
        (CLOUDFLARE, &[url("c.example/")], hard, &[format!(r#"{zone} {{"hosts":["c.example"]}}"#)]),
        (
            CLOUDFLARE,
            &[Target::Prefix("a.example/x/".to_owned())],
            hard,
            &[format!(r#"{zone} {{"prefixes":["a.example/x","b.example/x"]}}"#)],
        ),
        (CLOUDFLARE, &[tag("a"), Target::All], hard, std::slice::from_ref(&everything)),
        (FASTLY, &[tag("a"), tag("b")], hard, &[format!("{service}/purge a b")]),
        (FASTLY, &[tag("a")], soft, &[format!("{service}/purge a 1")]),
        (FASTLY, &[tag("a"), url("c.example/x")], soft, &[format!("{service}/purge_all")]),
        (
            WEBHOOK,
            &[tag("a"), url("c.example/x?p=1")],
            soft,
            &[format!(
                r#"{hook} {{"mode":"soft","reason":"upstream","tags":["a"],"urls":["https://c.example/x?p=1"]}} upstream-cdn-3-5"#
            )],
        ),
        (
            WEBHOOK,
            &[Target::Host("a.example".to_owned())],
            hard,
            &[format!(
                r#"{hook} {{"hosts":["a.example","b.example"],"mode":"hard","reason":"upstream"}} upstream-cdn-3-5"#
            )],
        ),
        (
            WEBHOOK,
            &[tag("a"), Target::All],
            hard,
            &[format!(
                r#"{hook} {{"all":true,"mode":"hard","reason":"upstream"}} upstream-cdn-3-5"#
            )],
        ),
    ];
    for (upstream, targets, mode, want) in rows {
        assert_eq!(told(upstream, targets, mode), want, "{upstream} {targets:?}");
    }
}

#[test]
fn names_go_in_as_many_calls_as_they_take() {
    let tags: Vec<Target> = (0..300).map(|n| tag(&format!("t{n:03}"))).collect();
    assert_eq!(told(CLOUDFLARE, &tags, Mode::Hard).len(), 10);
    assert_eq!(told(FASTLY, &tags, Mode::Hard).len(), 2);
}

#[test]
fn each_is_called_with_its_own_secret_alone() {
    let owed = Owed { epochs: vec![Epoch(1)], targets: vec![Target::All], mode: Mode::Hard };
    for (upstream, field, want) in [
        (CLOUDFLARE, "authorization", "Bearer se-cret"),
        (FASTLY, "fastly-key", "se-cret"),
        (WEBHOOK, "authorization", "Bearer se-cret"),
    ] {
        let armed = armed(upstream);
        let request = requests(&armed, &armed.secret.clone().unwrap(), &owed).pop().unwrap();
        assert_eq!(request.fields.get(field), Some(want), "{upstream}");
    }
    let config = parse(&format!(r#"{{"upstreams": [{CLOUDFLARE}]}}"#)).unwrap();
    for secrets in ["", "cdn", "cdn:", "cdnx:se-cret", "xcdn:se-cret"] {
        assert!(Armed::all(&config, secrets)[0].secret.is_none(), "{secrets:?}");
    }
}

/// Status, fields; what failed, and the milliseconds until another try.
type Means = (u16, &'static [(&'static str, &'static str)], Option<Failure>, Option<u64>);

#[test]
fn an_answer_means_one_thing() {
    let now = Timestamp::from_seconds(1_795_253_820);
    let rows: [Means; 9] = [
        (200, &[], None, None),
        (202, &[], None, None),
        (301, &[], Some(Failure::Refused), None),
        (400, &[], Some(Failure::Refused), None),
        (401, &[], Some(Failure::CredentialsRefused), None),
        (403, &[], Some(Failure::CredentialsRefused), None),
        (429, &[("retry-after", "30")], Some(Failure::RateLimited), Some(30_000)),
        (500, &[], Some(Failure::ServerError), None),
        (503, &[("retry-after", "7")], Some(Failure::ServerError), Some(7_000)),
    ];
    for (status, fields, failure, again) in rows {
        let head = ResponseHead { status, fields: fields.iter().copied().collect() };
        let untaken = taken(&head, now).err();
        assert_eq!(untaken.map(|untaken| untaken.failure), failure, "{status}");
        assert_eq!(untaken.and_then(|untaken| untaken.again), again.map(Millis), "{status}");
    }
}

#[test]
fn wrong_settings_are_named() {
    let rows = [
        (r#"{"name": "a", "zone": "z"}"#, "upstreams[0].provider: it is missing"),
        (r#"{"provider": "akamai", "name": "a"}"#, "upstreams[0].provider: expected"),
        (r#"{"provider": "cloudflare", "zone": "z"}"#, "upstreams[0].name: it is missing"),
        (r#"{"provider": "cloudflare", "name": "a"}"#, "upstreams[0].zone: it is missing"),
        (
            r#"{"provider": "fastly", "name": "a", "service": "a/b"}"#,
            "upstreams[0].service: it has 1 to 64 letters",
        ),
        (
            r#"{"provider": "fastly", "name": "a", "service": "s", "zone": "z"}"#,
            "upstreams[0].zone: this provider has none",
        ),
        (r#"{"provider": "webhook", "name": "a"}"#, "upstreams[0].url: it is missing"),
        (
            r#"{"provider": "webhook", "name": "a", "url": "https://u:p@x.example/"}"#,
            "upstreams[0].url: expected an absolute URL",
        ),
        (
            r#"{"provider": "cloudflare", "name": "a", "zone": "z", "token": "t"}"#,
            "upstreams[0].token: unknown setting",
        ),
    ];
    for (upstream, want) in rows {
        let errors = parse(&format!(r#"{{"upstreams": [{upstream}]}}"#)).unwrap_err();
        let errors: Vec<String> = errors.iter().map(ToString::to_string).collect();
        assert!(errors.iter().any(|error| error.starts_with(want)), "{upstream}: {errors:?}");
    }
    let twice = format!(r#"{{"upstreams": [{CLOUDFLARE}, {FASTLY}]}}"#);
    let errors = parse(&twice).unwrap_err();
    assert_eq!(errors[0].to_string(), "upstreams: two are called cdn");
}

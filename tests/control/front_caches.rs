//! How caches in front of the edge are purged: the requests of each API, what an answer means, and
//! which settings are wrong.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]
#![allow(clippy::type_complexity, reason = "the rows of tables")]

use edge_isr::base::time::{Epoch, Millis, Timestamp};
use edge_isr::cache::tag::{Tag, Target};
use edge_isr::config::front_cache_access::FrontCacheAccess;
use edge_isr::control::Secrets;
use edge_isr::control::auth::{AuthError, Caller, TokenScope};
use edge_isr::control::purge_apis::sigv4::verify;
use edge_isr::front_caches::{
    DeliveryAnswer, DeliveryError, DeliveryFailure, DeliveryProgress, DeliveryRequest,
    call_progress, cloudflare, cloudfront, delivery_progress, missing_credential, parse_config,
    progress_request, purge, requests, workers_cache,
};
use edge_isr::http::{Fields, RequestHead, ResponseHead};
use edge_isr::journal::{Delivery, Mode};

const NOW: Timestamp = Timestamp::from_seconds(1_795_253_820);

const CLOUDFLARE: &str = r#"{"name": "cdn", "provider": "cloudflare", "zone": "z1", "tags": true}"#;
const UNTAGGED: &str = r#"{"name": "cdn", "provider": "cloudflare", "zone": "z1"}"#;
const FASTLY: &str = r#"{"name": "cdn", "provider": "fastly", "service": "s1", "tags": true}"#;
const WEBHOOK: &str =
    r#"{"name": "cdn", "provider": "webhook", "url": "https://x.example/__isr/v1/revalidate"}"#;

const PURGE: &str = r#"{"name": "cdn", "provider": "purge", "url": "http://a.example:6081/base"}"#;
const XKEY: &str =
    r#"{"name": "cdn", "provider": "purge", "url": "http://a.example:6081/base", "tags": true}"#;
const BEFORE: &str = r#"{"name": "cdn", "provider": "workers-cache", "tags": true}"#;
const CLOUDFRONT: &str = r#"{"name": "cdn", "provider": "cloudfront", "distribution": "E1"}"#;
const TAGGED: &str =
    r#"{"name": "cdn", "provider": "cloudfront", "distribution": "E1", "tags": true}"#;

fn access_with(front_cache: &str, secret: &str) -> FrontCacheAccess {
    let text = format!(
        r#"{{"front_caches": [{front_cache}], "host_aliases": {{"b.example": "a.example"}}}}"#
    );
    let config = parse_config(&text).unwrap();
    FrontCacheAccess::all(&config, &format!("other:no cdn:{secret}")).pop().unwrap()
}

fn access(front_cache: &str) -> FrontCacheAccess {
    let key = front_cache.contains("cloudfront");
    access_with(front_cache, if key { "AKID/se-cret" } else { "se-cret" })
}

fn delivery(targets: &[Target], mode: Mode) -> Delivery {
    let at = Timestamp::from_seconds(1_795_253_000);
    Delivery { epochs: vec![Epoch(3), Epoch(5)], targets: targets.to_vec(), mode, at }
}

fn tag(name: &str) -> Target {
    Target::Tag(Tag::parse(name).unwrap())
}

fn url(name: &str) -> Target {
    Target::Url(name.to_owned())
}

/// Each request as its URL and body, or its keys.
fn requests_of(front_cache: &str, targets: &[Target], mode: Mode) -> Vec<String> {
    requests(&access(front_cache), &delivery(targets, mode), NOW)
        .unwrap()
        .iter()
        .map(|request| {
            let body = String::from_utf8(request.body.clone()).unwrap();
            let fields = ["surrogate-key", "fastly-soft-purge", "xkey", "soft", "webhook-id"];
            let fields = fields.into_iter().filter_map(|name| request.fields.get(name));
            let said: Vec<&str> = [body.as_str()].into_iter().chain(fields).collect();
            let said = format!("{} {}", request.url, said.join(" ").trim()).trim().to_owned();
            match request.method {
                "POST" => without_digest(&said),
                method => format!("{method} {said}"),
            }
        })
        .collect()
}

/// The text without the digest at the end of a call's id.
fn without_digest(said: &str) -> String {
    match said.find("front-cache-cdn-3-5-") {
        Some(at) => format!("{}{}", &said[..at + 19], &said[at + 36..]),
        None => said.to_owned(),
    }
}

/// The paths of one invalidation.
fn paths(front_cache: &str, targets: &[Target]) -> Vec<String> {
    let calls = requests_of(front_cache, targets, Mode::Hard);
    assert_eq!(calls.len(), 1, "{calls:?}");
    let paths = calls[0].split("<Path>").skip(1);
    paths.map(|rest| rest.split("</Path>").next().unwrap().to_owned()).collect()
}

#[test]
fn each_api_gets_its_own_requests() {
    let zone = "https://api.cloudflare.com/client/v4/zones/z1/purge_cache";
    let service = "https://api.fastly.com/service/s1";
    let hook = "https://x.example/__isr/v1/revalidate";
    let (soft, hard) = (Mode::Soft, Mode::Hard);
    let everything = format!(r#"{zone} {{"purge_everything":true}}"#);
    let cache = "http://a.example:6081/base";
    let to_self = "https://edge-isr.invalid/__isr/v1/workers-cache";
    let all = format!(r#"{to_self} {{"mode":"hard","purgeEverything":true}}"#);
    let rows: [(&str, &[Target], Mode, &[String]); 20] = [
        (
            BEFORE,
            &[tag("a"), tag("b"), url("c.example/x?p=1"), Target::Prefix("c.example/y/".into())],
            soft,
            &[
                format!(r#"{to_self} {{"mode":"soft","tags":["a","b"]}}"#),
                format!(r#"{to_self} {{"mode":"soft","pathPrefixes":["/x","/y/"]}}"#),
            ],
        ),
        (BEFORE, &[tag("a"), Target::Host("c.example".into())], hard, std::slice::from_ref(&all)),
        (BEFORE, &[Target::All], hard, std::slice::from_ref(&all)),
        (CLOUDFLARE, &[tag("a"), tag("b")], soft, &[format!(r#"{zone} {{"tags":["a","b"]}}"#)]),
        // Without tags there, nothing says which of its pages they are.
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
                r#"{hook} {{"mode":"soft","reason":"front cache","tags":["a"],"urls":["https://c.example/x?p=1"]}} front-cache-cdn-3-5"#
            )],
        ),
        (
            WEBHOOK,
            &[Target::Host("a.example".to_owned())],
            hard,
            &[format!(
                r#"{hook} {{"hosts":["a.example","b.example"],"mode":"hard","reason":"front cache"}} front-cache-cdn-3-5"#
            )],
        ),
        (
            WEBHOOK,
            &[tag("a"), Target::All],
            hard,
            &[format!(
                r#"{hook} {{"all":true,"mode":"hard","reason":"front cache"}} front-cache-cdn-3-5"#
            )],
        ),
        (
            PURGE,
            &[url("c.example/x?p=1"), Target::Prefix("c.example/y/".to_owned())],
            hard,
            &[format!("PURGE {cache}/x?p=1"), format!("PURGE {cache}/y/*")],
        ),
        (PURGE, &[url("a.example/x")], soft, &[format!("PURGE {cache}/x 1")]),
        (PURGE, &[tag("a"), url("c.example/x")], hard, &[format!("PURGE {cache}/*")]),
        (
            XKEY,
            &[tag("a"), tag("b"), url("c.example/x")],
            soft,
            &[format!("PURGE {cache}/x 1"), format!("PURGE {cache}/ a b 1")],
        ),
        (
            CLOUDFRONT,
            &[url("a.example/x?p=1&q=2"), url("c.example/")],
            hard,
            &[concat!(
                "https://cloudfront.amazonaws.com/2020-05-31/distribution/E1/invalidation ",
                r#"<InvalidationBatch xmlns="http://cloudfront.amazonaws.com/doc/2020-05-31/"><Paths>"#,
                "<Quantity>4</Quantity><Items><Path>/</Path><Path>/?*</Path><Path>/x</Path>",
                "<Path>/x?*</Path></Items></Paths><CallerReference>front-cache-cdn-3-5",
                "</CallerReference></InvalidationBatch>"
            )
            .to_owned()],
        ),
    ];
    for (front_cache, targets, mode, want) in rows {
        assert_eq!(requests_of(front_cache, targets, mode), want, "{front_cache} {targets:?}");
    }
}

#[test]
fn names_go_in_as_many_calls_as_they_take() {
    let tags: Vec<Target> = (0..300).map(|n| tag(&format!("t{n:03}"))).collect();
    assert_eq!(requests_of(CLOUDFLARE, &tags, Mode::Hard).len(), 10);
    assert_eq!(requests_of(FASTLY, &tags, Mode::Hard).len(), 2);
    assert_eq!(requests_of(XKEY, &tags, Mode::Hard).len(), 3);
    let pages: Vec<Target> = (0..51).map(|n| url(&format!("c.example/{n}"))).collect();
    assert_eq!(requests_of(PURGE, &pages[..50], Mode::Hard).len(), 50);
    assert_eq!(requests_of(PURGE, &pages, Mode::Hard), ["PURGE http://a.example:6081/base/*"]);
}

#[test]
fn cloudfront_gets_paths_within_its_limits_or_everything() {
    let prefix = |n: usize| Target::Prefix(format!("c.example/{n}/"));
    let prefixes: Vec<Target> = (0..16).map(prefix).collect();
    let rows: [(&str, Vec<Target>, &[&str]); 9] = [
        (TAGGED, vec![tag("post:1"), tag("a&b")], &["#a&amp;b", "#post:1"]),
        (TAGGED, vec![tag(&"t".repeat(256))], &[&format!("#{}", "t".repeat(256))]),
        (TAGGED, vec![tag(&"t".repeat(257))], &["/*"]),
        (CLOUDFRONT, vec![tag("a"), url("c.example/x")], &["/*"]),
        (CLOUDFRONT, vec![Target::Host("a.example".to_owned())], &["/*"]),
        (CLOUDFRONT, vec![prefix(7)], &["/7/*"]),
        (CLOUDFRONT, prefixes[1..2].to_vec(), &["/1/*"]),
        (CLOUDFRONT, prefixes.clone(), &["/*"]),
        (CLOUDFRONT, vec![url(&format!("c.example/{}", "x".repeat(4_000)))], &["/*"]),
    ];
    for (front_cache, targets, want) in rows {
        assert_eq!(paths(front_cache, &targets), want, "{targets:?}");
    }
    assert_eq!(paths(CLOUDFRONT, &prefixes[..15]).len(), 15);
    let tags: Vec<Target> = (0..3_001).map(|n| tag(&format!("t{n}"))).collect();
    assert_eq!(paths(TAGGED, &tags[..3_000]).len(), 3_000);
    assert_eq!(paths(TAGGED, &tags), ["/*"]);
}

/// What went out, as the edge itself would get it.
fn arrived(request: &DeliveryRequest) -> RequestHead {
    let (scheme, rest) = request.url.split_once("://").unwrap();
    let (host, path) = rest.split_at(rest.find('/').unwrap());
    RequestHead {
        method: request.method.to_owned(),
        scheme: scheme.to_owned(),
        host: host.to_owned(),
        path: path.to_owned(),
        query: None,
        fields: request.fields.clone(),
        client: None,
    }
}

#[test]
fn what_is_signed_is_verified_by_the_edge_itself() {
    let key = "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=";
    let secrets = Secrets::parse(key, "AKID:revalidate:wJalrXUtnFEMI/K7MDENG+bPxRfi").unwrap();
    let delivery = delivery(&[tag("a")], Mode::Hard);
    let sent = requests(&access_with(WEBHOOK, key), &delivery, NOW).unwrap().pop().unwrap();
    assert_eq!(sent.fields.get("authorization"), None, "the key itself never goes out");
    let who = secrets.authenticate(&sent.fields, &sent.body, TokenScope::Revalidate, NOW);
    let id = sent.fields.get("webhook-id").unwrap().to_owned();
    assert_eq!(who, Ok(Caller::Webhook { id }));
    let late = secrets.authenticate(
        &sent.fields,
        &sent.body,
        TokenScope::Revalidate,
        NOW.plus(Millis(301_000)),
    );
    assert_eq!(late, Err(AuthError::TooOld));

    let cloudfront = access_with(CLOUDFRONT, "AKID/wJalrXUtnFEMI/K7MDENG+bPxRfi");
    let question = progress_request(&cloudfront, "I2J0I21PCUYOIK", NOW).unwrap().unwrap();
    assert!(question.url.ends_with("/distribution/E1/invalidation/I2J0I21PCUYOIK"), "{question:?}");
    for sent in [requests(&cloudfront, &delivery, NOW).unwrap().pop().unwrap(), question] {
        let who = verify(&arrived(&sent), &sent.body, &secrets, NOW);
        assert_eq!(who, Ok(Caller::Token { name: "AKID".to_owned() }), "{sent:?}");
        let changed = [sent.body.as_slice(), b" "].concat();
        let who = verify(&arrived(&sent), &changed, &secrets, NOW);
        assert_eq!(who, Err(AuthError::UnknownSignature));
    }
}

#[test]
fn a_call_has_the_same_id_when_it_is_sent_again_and_no_other_call_has_it() {
    let id = |delivery: &Delivery| {
        let sent = requests(&access(WEBHOOK), delivery, NOW).unwrap().pop().unwrap();
        let hook = sent.fields.get("webhook-id").unwrap().to_owned();
        let later = NOW.plus(Millis(60_000));
        let sent = requests(&access(CLOUDFRONT), delivery, later).unwrap().pop().unwrap();
        let body = String::from_utf8(sent.body).unwrap();
        let reference = body.split("<CallerReference>").nth(1).unwrap();
        (hook, reference.split('<').next().unwrap().to_owned())
    };
    let one = delivery(&[url("c.example/x")], Mode::Hard);
    assert_eq!(id(&one), id(&one));
    let others = [
        // Everything, after names were refused.
        Delivery { targets: vec![Target::All], ..one.clone() },
        Delivery { epochs: vec![Epoch(3), Epoch(6)], ..one.clone() },
        // The same epochs, given anew by a journal that was restored.
        Delivery { at: one.at.plus(Millis(1)), ..one.clone() },
    ];
    for other in others {
        assert_ne!(id(&one).0, id(&other).0, "{other:?}");
        assert_ne!(id(&one).1, id(&other).1, "{other:?}");
    }
}

#[test]
fn each_is_called_with_its_own_secret_alone() {
    let delivery = delivery(&[Target::All], Mode::Hard);
    for (front_cache, field, want) in [
        (CLOUDFLARE, "authorization", "Bearer se-cret"),
        (FASTLY, "fastly-key", "se-cret"),
        (WEBHOOK, "authorization", "Bearer se-cret"),
        (PURGE, "authorization", "Bearer se-cret"),
    ] {
        let request = requests(&access(front_cache), &delivery, NOW).unwrap().pop().unwrap();
        assert_eq!(request.fields.get(field), Some(want), "{front_cache}");
    }
    let config = parse_config(&format!(r#"{{"front_caches": [{CLOUDFLARE}]}}"#)).unwrap();
    for secrets in ["", "cdn", "cdn:", "cdnx:se-cret", "xcdn:se-cret"] {
        let access = FrontCacheAccess::all(&config, secrets).pop().unwrap();
        assert!(access.secret.is_none(), "{secrets:?}");
        assert_eq!(missing_credential(&access), Some(DeliveryFailure::CredentialsMissing));
    }
}

#[test]
fn a_secret_of_another_form_is_reported_and_nothing_is_sent() {
    let malformed = Some(DeliveryFailure::CredentialsMalformed);
    let rows = [
        (CLOUDFRONT, "AKID", malformed),
        (CLOUDFRONT, "AKID/", malformed),
        (CLOUDFRONT, "/secret", malformed),
        (CLOUDFRONT, "AKID/secret/with/slashes", None),
        (WEBHOOK, "whsec_", malformed),
        (WEBHOOK, "whsec_%", malformed),
        (WEBHOOK, "whsec_MDEy", None),
        (WEBHOOK, "a-token", None),
        (CLOUDFLARE, "whsec_%", None),
    ];
    for (front_cache, secret, want) in rows {
        let access = access_with(front_cache, secret);
        assert_eq!(missing_credential(&access), want, "{front_cache} {secret}");
        let sent = requests(&access, &delivery(&[tag("a")], Mode::Hard), NOW);
        assert_eq!(sent.err(), want, "{front_cache} {secret}");
    }
}

/// Status, fields; what failed, and the milliseconds until another try.
type Means = (u16, &'static [(&'static str, &'static str)], Option<DeliveryFailure>, Option<u64>);

#[test]
fn an_answer_means_one_thing() {
    let rows: [Means; 9] = [
        (200, &[], None, None),
        (202, &[], None, None),
        (301, &[], Some(DeliveryFailure::Refused), None),
        (400, &[], Some(DeliveryFailure::Refused), None),
        (401, &[], Some(DeliveryFailure::CredentialsRefused), None),
        (403, &[], Some(DeliveryFailure::CredentialsRefused), None),
        (429, &[("retry-after", "30")], Some(DeliveryFailure::RateLimited), Some(30_000)),
        (500, &[], Some(DeliveryFailure::ServerError), None),
        (503, &[("retry-after", "7")], Some(DeliveryFailure::ServerError), Some(7_000)),
    ];
    for (status, fields, failure, again) in rows {
        let head = ResponseHead { status, fields: fields.iter().copied().collect() };
        let answer = DeliveryAnswer { head, body: Vec::new() };
        let untaken = delivery_progress(&cloudflare::PROVIDER, &answer, NOW).err();
        assert_eq!(untaken.map(|untaken| untaken.failure), failure, "{status}");
        assert_eq!(untaken.and_then(|untaken| untaken.again), again.map(Millis), "{status}");
    }
    let head = ResponseHead { status: 501, fields: Fields::new() };
    let answer = DeliveryAnswer { head, body: Vec::new() };
    let untaken = delivery_progress(&workers_cache::PROVIDER, &answer, NOW).err();
    assert_eq!(untaken.map(|untaken| untaken.failure), Some(DeliveryFailure::Unsupported));
    for (status, done) in [(200, true), (204, true), (404, true), (412, true), (405, false)] {
        let head = ResponseHead { status, fields: Fields::new() };
        let answer = DeliveryAnswer { head, body: Vec::new() };
        let means = delivery_progress(&purge::PROVIDER, &answer, NOW);
        assert_eq!(means == Ok(DeliveryProgress::Done), done, "{status}");
    }
}

/// An invalidation as CloudFront describes it.
fn invalidation(id: &str, status: &str) -> String {
    format!(
        "<?xml version=\"1.0\"?>\n<Invalidation xmlns=\"http://cloudfront.amazonaws.com/doc/2020-05-31/\"><Id>{id}</Id>\
         <Status>{status}</Status><CreateTime>2026-11-21T09:37:00Z</CreateTime><InvalidationBatch><Paths>\
         <Quantity>1</Quantity><Items><Path>/x</Path></Items></Paths>"
    )
}

fn error(code: &str) -> String {
    format!(
        "<?xml version=\"1.0\"?>\n<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code>\
         <Message>m</Message></Error><RequestId>r</RequestId></ErrorResponse>"
    )
}

#[test]
fn an_answer_of_cloudfront_means_what_its_body_says() {
    let progress = |id: &str| Ok(DeliveryProgress::InProgress(id.to_owned()));
    let fails = |failure: DeliveryFailure| Err(DeliveryError { failure, again: None });
    let rows: [(u16, String, Result<DeliveryProgress, DeliveryError>); 20] = [
        (201, invalidation("I2J0I21PCUYOIK", "InProgress"), progress("I2J0I21PCUYOIK")),
        (201, invalidation("I2J0I21PCUYOIK", "Completed"), Ok(DeliveryProgress::Done)),
        (201, invalidation("cloudfront:0af3", "InProgress"), progress("cloudfront:0af3")),
        (201, invalidation("..", "InProgress"), fails(DeliveryFailure::ServerError)),
        // What can't be asked after must be sent again: the reference makes it the same.
        (201, invalidation("a/../b", "InProgress"), fails(DeliveryFailure::ServerError)),
        (201, invalidation("", "InProgress"), fails(DeliveryFailure::ServerError)),
        (201, String::new(), fails(DeliveryFailure::ServerError)),
        (201, "<Invalidation><Id>I1</Id><Sta".to_owned(), fails(DeliveryFailure::ServerError)),
        (
            200,
            "<!DOCTYPE x><Status>Completed</Status>".to_owned(),
            fails(DeliveryFailure::ServerError),
        ),
        (400, error("TooManyInvalidationsInProgress"), fails(DeliveryFailure::RateLimited)),
        (400, error("Throttling"), fails(DeliveryFailure::RateLimited)),
        (503, error("Throttling"), fails(DeliveryFailure::RateLimited)),
        (400, error("ExpiredToken"), fails(DeliveryFailure::CredentialsRefused)),
        (400, error("IncompleteSignature"), fails(DeliveryFailure::CredentialsRefused)),
        (403, error("SignatureDoesNotMatch"), fails(DeliveryFailure::CredentialsRefused)),
        (403, error("AccessDenied"), fails(DeliveryFailure::CredentialsRefused)),
        (400, error("InvalidArgument"), fails(DeliveryFailure::Refused)),
        (404, error("NoSuchDistribution"), fails(DeliveryFailure::Refused)),
        (413, error("BatchTooLarge"), fails(DeliveryFailure::Refused)),
        (500, "no XML".to_owned(), fails(DeliveryFailure::ServerError)),
    ];
    for (status, body, want) in rows {
        let head = ResponseHead { status, fields: Fields::new() };
        let answer = DeliveryAnswer { head, body: body.clone().into_bytes() };
        assert_eq!(delivery_progress(&cloudfront::PROVIDER, &answer, NOW), want, "{status} {body}");
        let progress = call_progress(&cloudfront::PROVIDER, &answer, NOW);
        let want = if status == 404 { Ok(DeliveryProgress::Unknown) } else { want };
        assert_eq!(progress, want, "asked: {status} {body}");
    }
}

#[test]
fn wrong_settings_are_named() {
    let rows = [
        (r#"{"name": "a", "zone": "z"}"#, "front_caches[0].provider: it is missing"),
        (r#"{"provider": "akamai", "name": "a"}"#, "front_caches[0].provider: expected"),
        (r#"{"provider": "cloudflare", "zone": "z"}"#, "front_caches[0].name: it is missing"),
        (r#"{"provider": "cloudflare", "name": "a"}"#, "front_caches[0].zone: it is missing"),
        (
            r#"{"provider": "fastly", "name": "a", "service": "a/b"}"#,
            "front_caches[0].service: it has 1 to 64 letters",
        ),
        (
            r#"{"provider": "fastly", "name": "a", "service": "s", "zone": "z"}"#,
            "front_caches[0].zone: this provider has none",
        ),
        (r#"{"provider": "webhook", "name": "a"}"#, "front_caches[0].url: it is missing"),
        (r#"{"provider": "purge", "name": "a"}"#, "front_caches[0].url: it is missing"),
        (
            r#"{"provider": "workers-cache", "name": "a", "url": "https://x.example/"}"#,
            "front_caches[0].url: this provider has none",
        ),
        (
            r#"{"provider": "cloudfront", "name": "a"}"#,
            "front_caches[0].distribution: it is missing",
        ),
        (
            r#"{"provider": "fastly", "name": "a", "service": "s", "distribution": "d"}"#,
            "front_caches[0].distribution: this provider has none",
        ),
        (
            r#"{"provider": "webhook", "name": "a", "url": "https://u:p@x.example/"}"#,
            "front_caches[0].url: expected an absolute URL",
        ),
        (
            r#"{"provider": "cloudflare", "name": "a", "zone": "z", "token": "t"}"#,
            "front_caches[0].token: unknown setting",
        ),
    ];
    for (front_cache, want) in rows {
        let errors = parse_config(&format!(r#"{{"front_caches": [{front_cache}]}}"#)).unwrap_err();
        let errors: Vec<String> = errors.iter().map(ToString::to_string).collect();
        assert!(errors.iter().any(|error| error.starts_with(want)), "{front_cache}: {errors:?}");
    }
    let twice = format!(r#"{{"front_caches": [{CLOUDFLARE}, {FASTLY}]}}"#);
    let errors = parse_config(&twice).unwrap_err();
    assert_eq!(errors[0].to_string(), "front_caches: two are called cdn");
}

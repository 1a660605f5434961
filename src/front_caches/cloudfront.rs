//! Amazon CloudFront: `POST /2020-05-31/distribution/{distribution}/invalidation`, signed by
//! Signature Version 4, and `GET …/invalidation/{id}` until it is `Completed`. Always hard.
//!
//! A distribution is one site, and paths have no host: a host goes as `/*`. A page goes as its path
//! and, because each query is an object of its own, as `path?*`; a prefix as `prefix*`; a tag as
//! `#tag`, where the distribution has a `CacheTagConfig` ([invalidation by tags]), else as `/*`.
//! What breaks a limit goes as `/*`: more than 15 wildcards or 3,000 paths in progress at once
//! ([limits]), paths beyond 4,000 characters, tags beyond 256.
//!
//! [limits]:
//! https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/InvalidationLimits.html
//! [invalidation by tags]:
//! https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/invalidation-by-tags.html

use std::fmt::Write as _;

use crate::base::time::Timestamp;
use crate::base::xml::{XmlToken, escape, inside, name, resolve, token};
use crate::cache::tag::Target;
use crate::config::front_cache::{ApiAddress, FrontCache, Provider};
use crate::control::purge_apis::sigv4::{KeyScope, SignedRequest, authorization, compact};
use crate::http::Fields;
use crate::journal::Delivery;

use super::api::FrontCacheApi;
use super::delivery::{
    DeliveryAnswer, DeliveryFailure, DeliveryProgress, DeliveryRequest, id_of, path_of,
};

/// The API's version.
const VERSION: &str = "2020-05-31";
/// Paths in progress at once.
const MAX_PATHS: usize = 3_000;
/// Paths with a wildcard in progress at once.
const MAX_WILDCARDS: usize = 15;
/// Characters of a path.
const MAX_PATH_BYTES: usize = 4_000;
/// Characters of a tag.
const MAX_TAG_BYTES: usize = 256;
/// Id and status stand before the batch, which the answer repeats.
const READS: usize = 4 << 10;

/// An access key: its id, its secret.
type Key<'a> = (&'a str, &'a str);

/// What the settings have to know of it.
pub static PROVIDER: Provider = Provider {
    name: "cloudfront",
    key: Some("distribution"),
    address: ApiAddress::At("https://cloudfront.amazonaws.com"),
    tag_field: Some("cache-tag"),
    most_tags: 50,
};

/// Amazon CloudFront's.
pub struct Cloudfront;

impl FrontCacheApi for Cloudfront {
    fn provider(&self) -> &'static Provider {
        &PROVIDER
    }

    fn requests(
        &self,
        front_cache: &FrontCache,
        secret: &str,
        delivery: &Delivery,
        now: Timestamp,
    ) -> Result<Vec<DeliveryRequest>, DeliveryFailure> {
        Ok(requests(front_cache, key(secret)?, delivery, now))
    }

    fn takes_secret(&self, secret: &str) -> bool {
        key(secret).is_ok()
    }

    fn progress_request(
        &self,
        front_cache: &FrontCache,
        secret: &str,
        call: &str,
        now: Timestamp,
    ) -> Result<Option<DeliveryRequest>, DeliveryFailure> {
        let (key, call) = (key(secret)?, format!("/{call}"));
        Ok(Some(signed(front_cache, key, "GET", &call, Vec::new(), now)))
    }

    fn progress(
        &self,
        answer: &DeliveryAnswer,
    ) -> Option<Result<DeliveryProgress, DeliveryFailure>> {
        if (200..=299).contains(&answer.head.status) {
            return Some(progress(&answer.body).ok_or(DeliveryFailure::ServerError));
        }
        failure(&answer.body).map(Err)
    }
}

fn key(secret: &str) -> Result<Key<'_>, DeliveryFailure> {
    let key = secret.split_once('/').filter(|(id, key)| !id.is_empty() && !key.is_empty());
    key.ok_or(DeliveryFailure::CredentialsMalformed)
}

fn requests(
    front_cache: &FrontCache,
    key: Key<'_>,
    delivery: &Delivery,
    now: Timestamp,
) -> Vec<DeliveryRequest> {
    let mut items = String::new();
    let paths = paths(front_cache, delivery);
    for path in &paths {
        // Writing to a String can't fail.
        let _ = write!(items, "<Path>{}</Path>", escape(path));
    }
    let body = format!(
        "<InvalidationBatch xmlns=\"http://cloudfront.amazonaws.com/doc/{VERSION}/\">\
         <Paths><Quantity>{}</Quantity><Items>{items}</Items></Paths>\
         <CallerReference>{}</CallerReference></InvalidationBatch>",
        paths.len(),
        id_of(front_cache, delivery, items.as_bytes()),
    );
    vec![signed(front_cache, key, "POST", "", body.into_bytes(), now)]
}

fn paths(front_cache: &FrontCache, delivery: &Delivery) -> Vec<String> {
    let everything = || vec!["/*".to_owned()];
    let mut paths = Vec::new();
    for target in &delivery.targets {
        match target {
            Target::Tag(tag) if front_cache.tags && tag.as_str().len() <= MAX_TAG_BYTES => {
                paths.push(format!("#{}", tag.as_str()));
            }
            Target::Tag(_) | Target::Host(_) | Target::All => return everything(),
            Target::Url(name) => {
                let path = path_of(name).split('?').next().unwrap_or("/");
                paths.push(path.to_owned());
                paths.push(format!("{path}?*"));
            }
            Target::Prefix(name) => paths.push(format!("{}*", path_of(name))),
        }
    }
    paths.sort();
    paths.dedup();
    let wildcards = paths.iter().filter(|path| path.ends_with('*') && path.starts_with('/'));
    let whole = wildcards.count() > MAX_WILDCARDS
        || paths.len() > MAX_PATHS
        || paths.iter().any(|path| path.len() > MAX_PATH_BYTES);
    if whole { everything() } else { paths }
}

fn signed(
    front_cache: &FrontCache,
    (id, secret): Key<'_>,
    method: &'static str,
    call: &str,
    body: Vec<u8>,
    now: Timestamp,
) -> DeliveryRequest {
    let (url, distribution) = (&front_cache.url, &front_cache.id);
    let path = format!("/{VERSION}/distribution/{distribution}/invalidation{call}");
    let at = compact(now);
    // CloudFront is global, and signed for as in this region.
    let day = at.get(..8).unwrap_or_default();
    let scope = KeyScope { day, region: "us-east-1", service: "cloudfront" };
    let covered = [("host", url.host()), ("x-amz-date", at.clone())];
    let whole = format!("{}{path}", url.base_path());
    let signed =
        SignedRequest { method, path: &whole, query: "", fields: &covered, body: &body, at: &at };
    let fields = Fields::from_iter([
        ("authorization", authorization(id, secret, &scope, &signed).as_str()),
        ("content-type", "text/xml"),
        ("x-amz-date", &at),
    ]);
    DeliveryRequest { method, url: url.join(&path), fields, body, reads: READS }
}

/// How far the invalidation is that an answer describes; none if it can't be read.
fn progress(body: &[u8]) -> Option<DeliveryProgress> {
    if element(body, "Status")? == "Completed" {
        return Some(DeliveryProgress::Done);
    }
    let id = element(body, "Id")?;
    // It becomes a part of a path; the edge's own have a colon.
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_:".contains(&b);
    let good = (1..=128).contains(&id.len()) && id.bytes().all(plain);
    good.then_some(DeliveryProgress::InProgress(id))
}

/// What an error's code says beyond its status.
fn failure(body: &[u8]) -> Option<DeliveryFailure> {
    match element(body, "Code")?.as_str() {
        "TooManyInvalidationsInProgress"
        | "Throttling"
        | "ThrottlingException"
        | "RequestLimitExceeded" => Some(DeliveryFailure::RateLimited),
        "ExpiredToken" | "IncompleteSignature" | "InvalidSignature" | "RequestExpired" => {
            Some(DeliveryFailure::CredentialsRefused)
        }
        // The others say no more than their status.
        _ => None,
    }
}

/// The text of the first element of a name, in the beginning of a document.
fn element(mut rest: &[u8], wanted: &str) -> Option<String> {
    let mut within = false;
    loop {
        let (length, kind) = token(rest).ok()??;
        let (whole, after) = rest.split_at_checked(length)?;
        rest = after;
        let part = inside(whole, kind);
        match kind {
            XmlToken::Open(false) => {
                within = name(part)?.rsplit(':').next() == Some(wanted);
            }
            XmlToken::Text if within => {
                let mut text = String::new();
                resolve(std::str::from_utf8(part).ok()?, &mut text).ok()?;
                return Some(text);
            }
            XmlToken::Open(true) | XmlToken::Close => within = false,
            XmlToken::Text | XmlToken::Cdata | XmlToken::Aside => {}
        }
    }
}

//! CloudFront's `CreateInvalidation`: its XML, its signature, its errors.

use edge_isr::base::time::{Epoch, Millis, Timestamp};
use edge_isr::control::Secrets;
use edge_isr::control::auth::{AuthError, Caller, TokenScope};
use edge_isr::control::purge_apis::sigv4::{
    KeyScope, SignedRequest, authorization, compact, signature, verify,
};
use edge_isr::control::purge_apis::{PurgeRefusal, Reply};
use edge_isr::http::RequestHead;
use edge_isr::journal::{JobRecord, Mode, RecordedInvalidation};

use super::{NOW, accepted, call, config, named, not_recorded, read, refusal, request, secrets};

const LINE: &str = "POST http://127.0.0.1:8787/__isr/cloudfront/2020-05-31/distribution/EDFDVBD6EXAMPLE/invalidation";

/// A request of boto3 1.44.5 under a fixed clock, byte by byte: key `ci`, [`super::TOKEN`].
const BODY: &str = "<InvalidationBatch xmlns=\"http://cloudfront.amazonaws.com/doc/2020-05-31/\"><Paths>\
    <Quantity>2</Quantity><Items><Path>/a&amp;b?x=1</Path><Path>/blog/*</Path></Items></Paths>\
    <CallerReference>ref-1</CallerReference></InvalidationBatch>";
const SIGNATURE: &str = "6dbdd56cdcf31074e07e532000bf82fcafb2e6a1d9fe69a455f09ecdddab6207";

fn field(signature: &str) -> String {
    format!(
        "AWS4-HMAC-SHA256 Credential=ci/20261121/us-east-1/cloudfront/aws4_request, \
         SignedHeaders=host;x-amz-date, Signature={signature}"
    )
}

fn signed() -> RequestHead {
    request(
        LINE,
        &[
            ("host", "127.0.0.1:8787"),
            ("x-amz-date", "20261121T093700Z"),
            ("authorization", &field(SIGNATURE)),
        ],
    )
}

fn who(head: &RequestHead, body: &str) -> Result<Caller, AuthError> {
    verify(head, body.as_bytes(), &secrets(), NOW)
}

fn batch(paths: &[&str]) -> String {
    let items: String = paths.iter().map(|path| format!("<Path>{path}</Path>")).collect();
    format!(
        "<InvalidationBatch><Paths><Quantity>{}</Quantity><Items>{items}</Items></Paths>\
         <CallerReference>r</CallerReference></InvalidationBatch>",
        paths.len()
    )
}

fn text(reply: &Reply) -> String {
    assert_eq!(reply.fields.get("content-type"), Some("text/xml"));
    String::from_utf8(reply.body.clone()).unwrap()
}

fn code(reply: &Reply) -> String {
    let text = text(reply);
    let rest = text.split("<Code>").nth(1).expect(&text);
    rest.split("</Code>").next().unwrap().to_owned()
}

#[test]
fn botos_signature_is_known() {
    assert_eq!(who(&signed(), BODY), Ok(Caller::Token { name: "ci".to_owned() }));
    // The runtime may keep Host to itself.
    let mut head = signed();
    head.fields.remove("host");
    assert!(who(&head, BODY).is_ok());
}

#[test]
fn nothing_that_is_signed_can_be_changed() {
    let unknown = Err(AuthError::UnknownSignature);
    assert_eq!(who(&signed(), &BODY.replace("/blog/", "/shop/")), unknown);
    let mut changed: Vec<RequestHead> = Vec::new();
    for _ in 0..5 {
        changed.push(signed());
    }
    changed[0].method = "PUT".to_owned();
    changed[1].path = changed[1].path.replace("EDFDVBD6EXAMPLE", "E2");
    changed[2].query = Some("a=1".to_owned());
    changed[3].fields.set("host", "evil.example");
    changed[4].fields.set("x-amz-date", "20261121T093701Z");
    for head in changed {
        assert_eq!(who(&head, BODY), unknown, "{head:?}");
    }
    let other = Secrets::parse("", "ci:revalidate:another-secret-value").unwrap();
    assert_eq!(verify(&signed(), BODY.as_bytes(), &other, NOW), unknown);
}

#[test]
fn a_signature_holds_for_five_minutes() {
    let at = |now: Timestamp| verify(&signed(), BODY.as_bytes(), &secrets(), now);
    assert!(at(NOW.plus(Millis(300_000))).is_ok() && at(NOW.minus(Millis(300_000))).is_ok());
    assert_eq!(at(NOW.plus(Millis(300_001))), Err(AuthError::TooOld));
    assert_eq!(at(NOW.minus(Millis(300_001))), Err(AuthError::TooNew));
}

#[test]
fn what_is_no_signature_has_errors_of_its_own() {
    let claim = AuthError::MalformedToken;
    let whole = field(SIGNATURE);
    let rows = [
        (whole.replace("AWS4-HMAC-SHA256", "AWS3"), claim),
        (whole.replace("Credential=", "Credentials="), claim),
        (whole.replace("/aws4_request", ""), claim),
        (whole.replace("/cloudfront/", "/s3/"), claim),
        (whole.replace("20261121", "261121"), claim),
        (format!("{whole}, Signature=00"), claim),
        ("Bearer x".to_owned(), claim),
        (whole.replace("host;", ""), AuthError::Malformed("authorization")),
        (whole.replace(";x-amz-date", ""), AuthError::Malformed("authorization")),
        (whole.replace("host;", "accept;host;"), AuthError::Malformed("authorization")),
        (whole.replace("20261121", "20261122"), AuthError::Malformed("x-amz-date")),
        (whole.replace("=ci/", "=nobody/"), AuthError::UnknownToken),
        (field(""), AuthError::UnknownSignature),
        (field(&SIGNATURE.to_uppercase()), AuthError::UnknownSignature),
    ];
    for (field, want) in rows {
        let mut head = signed();
        head.fields.set("authorization", field.as_str());
        assert_eq!(who(&head, BODY), Err(want), "{field}");
    }
    let mut head = signed();
    head.fields.append("authorization", field(SIGNATURE));
    assert_eq!(who(&head, BODY), Err(claim), "two of them");
    head.fields.remove("authorization");
    assert_eq!(who(&head, BODY), Err(AuthError::Missing));
    let mut head = signed();
    head.fields.set("x-amz-content-sha256", "UNSIGNED-PAYLOAD");
    assert_eq!(who(&head, BODY), Err(AuthError::Malformed("x-amz-content-sha256")));
    for at in ["", "20261121", "20261321T093700Z", "20261121T0937", "2026112éT09370Z"] {
        let mut head = signed();
        head.fields.set("x-amz-date", at);
        assert_eq!(who(&head, BODY), Err(AuthError::Malformed("x-amz-date")), "{at}");
    }
}

#[test]
fn our_own_signatures_are_known_too_and_need_the_scope() {
    let secrets = Secrets::parse("", "ci:read:one ci:revalidate:two").unwrap();
    let sign = |secret: &str| {
        let mut head =
            request(&format!("{LINE}?b=2&a"), &[("host", "h"), ("x-amz-date", &compact(NOW))]);
        let fields = [("host", "h".to_owned()), ("x-amz-date", compact(NOW))];
        let signed = SignedRequest {
            method: "POST",
            path: &head.path,
            query: "b=2&a",
            fields: &fields,
            body: b"x",
            at: &compact(NOW),
        };
        let scope = KeyScope { day: "20261121", region: "us-east-1", service: "cloudfront" };
        let field = authorization("ci", secret, &scope, &signed);
        head.fields.set("authorization", field);
        verify(&head, b"x", &secrets, NOW)
    };
    assert_eq!(sign("two"), Ok(Caller::Token { name: "ci".to_owned() }));
    assert_eq!(sign("one"), Err(AuthError::ScopeMissing(TokenScope::Revalidate)));
    assert_eq!(sign("three"), Err(AuthError::UnknownSignature));
}

#[test]
fn paths_become_targets_of_the_host() {
    let here = "POST https://a.example/__isr/cloudfront/2020-05-31/distribution/E1/invalidation";
    let alias = "POST https://cdn.example.net/2020-05-31/distribution/E1/invalidation";
    let by_name = "POST https://purge.example.com/2020-05-31/distribution/Example.com/invalidation";
    let rows: [(&str, &[&str], &[&str]); 8] = [
        (here, &["/a", "/b?c=1&amp;d=2"], &["url a.example/a", "url a.example/b?c=1&d=2"]),
        (here, &["a"], &["url a.example/a"]),
        (here, &["/*"], &["prefix a.example/"]),
        (here, &["/blog/*"], &["prefix a.example/blog/"]),
        (here, &["/blog/po*"], &["prefix a.example/blog/"]),
        (here, &["/a*b"], &["url a.example/a*b"]),
        (alias, &["/a"], &["url www.example.com/a"]),
        (by_name, &["/a"], &["url www.example.com/a"]),
    ];
    for (line, paths, targets) in rows {
        let purge = read(line, &[], &batch(paths)).expect(line);
        let targets = targets.iter().map(|target| (*target).to_owned()).collect();
        assert_eq!(named(&purge), (targets, Mode::Hard), "{line} {paths:?}");
    }
}

#[test]
fn xml_is_read_as_xml() {
    let want = ["url 127.0.0.1:8787/a&b"];
    let whole =
        |inner: &str| format!("<?xml version='1.0' encoding='UTF-8'?>\n<!-- c -->\n{inner}\n");
    let spaced = "<x:InvalidationBatch xmlns:x='urn:x'>\n <CallerReference>r</CallerReference>\n <x:Paths>\n  \
        <Items>\n<Path>/a&amp;b</Path>\n</Items><Quantity> 1 </Quantity></x:Paths></x:InvalidationBatch>";
    let rows = [
        batch(&["/a&amp;b"]),
        batch(&["/a&#38;b"]),
        batch(&["/a&#x26;b"]),
        batch(&["<![CDATA[/a&b]]>"]),
        batch(&["/a<!-- c -->&amp;b"]),
        whole(&batch(&["/a&amp;b"])),
        whole(spaced),
    ];
    for body in rows {
        assert_eq!(named(&read(LINE, &[], &body).expect(&body)).0, want, "{body}");
    }
}

#[test]
fn a_retry_is_the_same_call_and_another_call_is_not() {
    let receipt = |reference: &str, invocation: Option<&str>| {
        let body = batch(&["/a"]).replace(">r<", &format!(">{reference}<"));
        let fields: Vec<(&str, &str)> =
            invocation.iter().map(|id| ("amz-sdk-invocation-id", *id)).collect();
        read(LINE, &fields, &body).unwrap().receipt.unwrap()
    };
    assert_eq!(receipt("r", Some("1")), receipt("r", Some("1")));
    // django-edge-isr sends one reference for ever.
    assert_ne!(receipt("r", Some("1")), receipt("r", Some("2")));
    assert_eq!(receipt("r", None), receipt("r", None));
    assert_ne!(receipt("r", None), receipt("s", None));
}

#[test]
fn the_answer_is_an_invalidation() {
    let purge = read(LINE, &[], BODY).unwrap();
    let reply = accepted(&purge);
    assert_eq!(reply.status, 201);
    let location = "/__isr/cloudfront/2020-05-31/distribution/EDFDVBD6EXAMPLE/invalidation/job-1";
    assert_eq!(reply.fields.get("location"), Some(location));
    assert_eq!(
        text(&reply),
        "<?xml version=\"1.0\"?>\n<Invalidation xmlns=\"http://cloudfront.amazonaws.com/doc/2020-05-31/\">\
         <Id>job-1</Id><Status>InProgress</Status><CreateTime>2026-11-21T09:37:00Z</CreateTime>\
         <InvalidationBatch><Paths><Quantity>2</Quantity><Items><Path>/a&amp;b?x=1</Path><Path>/blog/*</Path>\
         </Items></Paths><CallerReference>ref-1</CallerReference></InvalidationBatch></Invalidation>"
    );
    let widened = accepted(&read(LINE, &[], &batch(&["/é/x*"])).unwrap());
    let note = "127.0.0.1:8787/?/x* was widened to https://127.0.0.1:8787/?/";
    assert_eq!(widened.fields.get("x-edge-isr-notes"), Some(note));
}

#[test]
fn refusals_have_cloudfronts_shape_and_codes() {
    let many: Vec<String> = (0..3001).map(|n| format!("/{n}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let deep = format!("{}{}", "<a>".repeat(20), "</a>".repeat(20));
    let entity = "<!DOCTYPE a [<!ENTITY b \"c\">]><InvalidationBatch/>";
    let control = "POST https://purge.example.com/2020-05-31/distribution/E1/invalidation";
    let rows = [
        (LINE.to_owned(), String::new(), 400, "MissingBody"),
        (LINE.to_owned(), "{}".to_owned(), 400, "MalformedXML"),
        (LINE.to_owned(), "<InvalidationBatch>".to_owned(), 400, "MalformedXML"),
        (LINE.to_owned(), "<a/><b/>".to_owned(), 400, "MalformedXML"),
        (LINE.to_owned(), entity.to_owned(), 400, "MalformedXML"),
        (LINE.to_owned(), batch(&["/&b;"]), 400, "MalformedXML"),
        (LINE.to_owned(), deep, 400, "MalformedXML"),
        (LINE.to_owned(), batch(&["/a"]).replace("Quantity", "Count"), 400, "MalformedXML"),
        (LINE.to_owned(), batch(&["/a"]).replace(">1<", ">one<"), 400, "MalformedXML"),
        (LINE.to_owned(), batch(&["/a"]).replace(">1<", ">2<"), 400, "InconsistentQuantities"),
        (LINE.to_owned(), batch(&["/a"]).replace(">r<", "><"), 400, "InvalidArgument"),
        (LINE.to_owned(), batch(&[]), 400, "InvalidArgument"),
        (LINE.to_owned(), batch(&["/a b"]), 400, "InvalidArgument"),
        (LINE.to_owned(), batch(&many), 413, "BatchTooLarge"),
        (LINE.replace("invalidation", "invalidations"), batch(&["/a"]), 404, "NoSuchDistribution"),
        (LINE.replace("POST", "GET"), String::new(), 405, "MethodNotAllowed"),
        (control.to_owned(), batch(&["/a"]), 400, "InvalidArgument"),
    ];
    for (line, body, status, want) in rows {
        let reply = refusal(&line, &[], &body);
        assert_eq!((reply.status, code(&reply).as_str()), (status, want), "{line} {body:.200}");
        assert!(text(&reply).contains("<Type>Sender</Type>"), "{reply:?}");
    }
}

#[test]
fn a_call_without_permission_is_refused() {
    let rows = [
        (AuthError::Missing, 403, "MissingAuthenticationToken"),
        (AuthError::MalformedToken, 400, "IncompleteSignature"),
        (AuthError::UnknownToken, 403, "InvalidClientTokenId"),
        (AuthError::NothingConfigured, 403, "InvalidClientTokenId"),
        (AuthError::UnknownSignature, 403, "SignatureDoesNotMatch"),
        (AuthError::TooOld, 403, "SignatureDoesNotMatch"),
        (AuthError::ScopeMissing(TokenScope::Revalidate), 403, "AccessDenied"),
    ];
    for (error, status, want) in rows {
        let reply = call(LINE).refused(&PurgeRefusal::Caller(error));
        assert_eq!((reply.status, code(&reply).as_str()), (status, want), "{error:?}");
    }
    let reply = not_recorded(LINE);
    assert_eq!((reply.status, code(&reply).as_str()), (503, "ServiceUnavailable"));
    assert!(text(&reply).contains("<Type>Receiver</Type>"));
}

#[test]
fn the_status_is_completed_once_every_isolate_sees_it() {
    let get = LINE.replace("POST", "GET");
    let status_of = |line: &str| call(line).status_of(&request(line, &[]));
    assert_eq!(status_of(&format!("{get}/cloudfront%3Aab")).as_deref(), Some("cloudfront:ab"));
    assert_eq!(status_of(&format!("{LINE}/cloudfront%3Aab")), None, "a POST asks for nothing");
    assert_eq!(status_of(&get), None);
    assert_eq!(status_of(&get.replace("2020-05-31", "v1")), None);
    let bound = config().max_lag;
    let job = JobRecord {
        invalidation: RecordedInvalidation {
            id: "job<1".to_owned(),
            epoch: Epoch(7),
            at: NOW,
            mode: Mode::Hard,
            warm: true,
            targets: 1,
            reinvalidated_by: None,
            reason: String::new(),
        },
        shards_pending: 0,
        reinvalidation_at: None,
        front_caches: Vec::new(),
    };
    let status = |job, passed: Millis| call(&get).status(job, NOW.plus(passed), bound);
    let reply = status(Some(&job), bound);
    assert_eq!(reply.status, 200);
    assert_eq!(
        text(&reply),
        "<?xml version=\"1.0\"?>\n<Invalidation xmlns=\"http://cloudfront.amazonaws.com/doc/2020-05-31/\">\
         <Id>job&lt;1</Id><Status>InProgress</Status><CreateTime>2026-11-21T09:37:00Z</CreateTime></Invalidation>"
    );
    let later = status(Some(&job), Millis(bound.0 + 1));
    assert!(text(&later).contains("<Status>Completed</Status>"));
    let unknown = status(None, bound);
    assert_eq!((unknown.status, code(&unknown).as_str()), (404, "NoSuchInvalidation"));
}

/// Rows of AWS's own test suite for Signature Version 4 (aws-sig-v4-test-suite), with its key, date
/// and scope.
#[test]
fn the_published_vectors_are_signed_as_they_say() {
    let secret = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
    let scope = KeyScope { day: "20150830", region: "us-east-1", service: "service" };
    let rows = [
        ("GET", "", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"),
        ("POST", "", "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"),
        (
            "GET",
            "Param2=value2&Param1=value1",
            "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
        ),
    ];
    for (method, query, want) in rows {
        let fields = [
            ("host", "example.amazonaws.com".to_owned()),
            ("x-amz-date", "20150830T123600Z".to_owned()),
        ];
        let at = "20150830T123600Z";
        let request = SignedRequest { method, path: "/", query, fields: &fields, body: b"", at };
        assert_eq!(signature(secret, &scope, &request), want, "{method} {query}");
    }
}

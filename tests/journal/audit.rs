//! What audits found: one row a page, bounded, and there after a restart.

#![allow(clippy::unwrap_used, clippy::panic)]

use crate::common::sqlite::Sqlite;
use edge_isr::base::sql::{Sql, Value};
use edge_isr::base::time::{Millis, Timestamp};
use edge_isr::cache::audit::{Difference, LikelyCause};
use edge_isr::journal::audit::{AuditReply, AuditRequest, Finding, MAX_FINDINGS};
use edge_isr::journal::{Journal, JournalCall, JournalConfig, JournalReply};

const T0: Timestamp = Timestamp::from_seconds(1_700_000_000);

fn at(millis: u64) -> Timestamp {
    T0.plus(Millis(millis))
}

fn open(sql: &Sqlite) -> Journal<Sqlite> {
    Journal::open(sql.clone(), JournalConfig { shards: 2, ..JournalConfig::default() }).unwrap()
}

fn finding(page: &str, route: &str, tags: &[&str], cause: LikelyCause) -> Finding {
    Finding {
        page: page.to_owned(),
        url: format!("https://example.com/{page}"),
        vary: vec![("accept-language".to_owned(), "de".to_owned())],
        route: route.to_owned(),
        stored_at: at(0),
        found_at: at(5),
        colo: "AMS".to_owned(),
        cause,
        tags: tags.iter().map(|tag| (*tag).to_owned()).collect(),
        fresh_tags: tags.iter().map(|tag| (*tag).to_owned()).collect(),
        difference: Difference { body: true, ..Difference::default() },
    }
}

/// Over the wire and back.
fn call(journal: &mut Journal<Sqlite>, call: &JournalCall, millis: u64) -> JournalReply {
    let call = serde_json::from_str(&serde_json::to_string(call).unwrap()).unwrap();
    let reply = journal.handle(call, at(millis)).unwrap();
    serde_json::from_str(&serde_json::to_string(&reply).unwrap()).unwrap()
}

fn note(journal: &mut Journal<Sqlite>, finding: &Finding, millis: u64) {
    let reply = call(journal, &JournalCall::Finding(Box::new(finding.clone())), millis);
    assert_eq!(reply, JournalReply::Done);
}

fn ask(journal: &mut Journal<Sqlite>, request: AuditRequest) -> AuditReply {
    let JournalReply::Audit(reply) = call(journal, &JournalCall::Audit(request), 0) else {
        panic!("another reply")
    };
    reply
}

fn all(journal: &mut Journal<Sqlite>) -> AuditReply {
    ask(journal, AuditRequest { before: None, limit: 1_000 })
}

#[test]
fn a_page_has_one_row_that_outlives_a_restart() {
    let sql = Sqlite::memory();
    let mut journal = open(&sql);
    let first = finding("a", "/*", &["post:1"], LikelyCause::SameTags);
    note(&mut journal, &first, 10);
    let again = Finding { colo: "FRA".to_owned(), ..first.clone() };
    note(&mut journal, &again, 20);
    drop(journal);
    let findings = all(&mut open(&sql));
    assert_eq!(findings.rows.len(), 1);
    let row = &findings.rows[0];
    assert_eq!((row.times, row.first_at, &row.finding), (2, at(10), &again));
}

#[test]
fn parts_of_the_list_are_the_list() {
    let mut journal = open(&Sqlite::memory());
    for n in 0..25_u64 {
        let name = format!("page-{n}");
        note(&mut journal, &finding(&name, "/*", &[], LikelyCause::Untagged), n / 2);
    }
    let whole = all(&mut journal);
    let mut parts = Vec::new();
    let mut before = None;
    loop {
        let part = ask(&mut journal, AuditRequest { before, limit: 4 });
        assert!(part.rows.len() <= 4 && part.groups == whole.groups);
        parts.extend(part.rows);
        before = part.next;
        if before.is_none() {
            break;
        }
    }
    assert_eq!(parts, whole.rows);
    assert!(parts.windows(2).all(|two| two[0].first_at >= two[1].first_at), "newest first");
}

#[test]
fn groups_name_what_findings_share() {
    let mut journal = open(&Sqlite::memory());
    let rows = [
        ("a", "/blog/*", vec!["post:1", "all"], LikelyCause::SameTags),
        ("b", "/blog/*", vec!["post:2", "all"], LikelyCause::OtherTags),
        ("c", "/blog/*", vec!["clock"], LikelyCause::DiffersAtEveryRender),
        ("d", "/shop/*", vec!["all"], LikelyCause::NotStored),
        ("e", "/shop/*", vec![], LikelyCause::Untagged),
    ];
    for (page, route, tags, cause) in rows {
        note(&mut journal, &finding(page, route, &tags, cause), 1);
    }
    let groups = all(&mut journal).groups;
    let counts: Vec<_> = groups
        .iter()
        .map(|it| (it.route.as_str(), it.tag.as_deref(), it.stale, it.every_render))
        .collect();
    assert_eq!(counts[0], ("/blog/*", Some("all"), 2, 0));
    assert!(counts.contains(&("/shop/*", Some("all"), 1, 0)));
    assert!(counts.contains(&("/shop/*", None, 1, 0)));
    assert!(counts.contains(&("/blog/*", Some("clock"), 0, 1)));
}

#[test]
fn what_is_kept_is_bounded() {
    let sql = Sqlite::memory();
    let mut journal = open(&sql);
    for n in 0..MAX_FINDINGS + 50 {
        let name = format!("page-{n}");
        let tag = format!("tag-{n}");
        note(&mut journal, &finding(&name, "/*", &[&tag], LikelyCause::SameTags), n);
    }
    let findings = all(&mut journal);
    assert_eq!(findings.rows.len() as u64, MAX_FINDINGS);
    assert!(findings.rows.iter().all(|row| row.finding.page != "page-0"), "the oldest went");
    assert!(findings.groups.len() <= 100);
    let large =
        Finding { url: "x".repeat(100_000), ..finding("large", "/*", &[], LikelyCause::SameTags) };
    note(&mut journal, &large, 2_000);
    let nameless = finding("", "/*", &[], LikelyCause::SameTags);
    note(&mut journal, &nameless, 2_000);
    assert_eq!(all(&mut journal).rows.len() as u64, MAX_FINDINGS, "neither is kept");
    let days = 24 * 3_600_000;
    note(&mut journal, &finding("late", "/*", &[], LikelyCause::SameTags), 91 * days);
    assert_eq!(all(&mut journal).rows.len(), 1, "after ninety days they are gone");
}

#[test]
fn a_finding_of_a_later_version_is_left_out() {
    let sql = Sqlite::memory();
    let mut journal = open(&sql);
    note(&mut journal, &finding("a", "/*", &[], LikelyCause::SameTags), 1);
    sql.exec(
        "INSERT INTO finding (page, at, first_at, times, finding) VALUES ('b', 1, 1, 1, ?)",
        &[Value::Text(r#"{"cause":"of-tomorrow"}"#.to_owned())],
    )
    .unwrap();
    assert_eq!(all(&mut journal).rows.len(), 1);
}

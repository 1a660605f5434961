//! Sitemaps in a shard: what is to be read, what was listed, what a restart keeps.

#![allow(clippy::unwrap_used, clippy::panic)]

use crate::common::shard::{Bench, HOUR, at, key, page};
use edge_isr::base::time::Epoch;
use edge_isr::cache::key::Selection;
use edge_isr::http::Fields;
use edge_isr::index::sitemap::SitemapKind;
use edge_isr::index::{
    BadEntries, ImportNews, ImportTask, Listed, ShardCall, ShardReply, SitemapFile, WarmRequest,
};

const SITEMAP: &str = "https://www.example.com/sitemap.xml";

fn request(job: &str, path: &str) -> WarmRequest {
    WarmRequest {
        job: job.to_owned(),
        page: page(path),
        key: key(path),
        selection: Selection::default(),
        request: Fields::new(),
        need: Epoch::ZERO,
    }
}

fn note(bench: &mut Bench, file: &SitemapFile, news: ImportNews, millis: u64) {
    bench.shard.note_import(file, &news, at(millis)).unwrap();
}

fn lists(bench: &mut Bench, file: &SitemapFile, urls: Vec<String>, millis: u64) {
    note(bench, file, ImportNews::Lists(urls), millis);
}

fn read(bench: &mut Bench, file: &SitemapFile, kind: SitemapKind, millis: u64) {
    note(bench, file, ImportNews::Read { kind, bad: BadEntries::default() }, millis);
}

fn failed(bench: &mut Bench, file: &SitemapFile, reason: &str, again: bool, millis: u64) {
    note(bench, file, ImportNews::Failed { reason: reason.to_owned(), again }, millis);
}

fn handed_out(bench: &mut Bench, file: &SitemapFile, taken: &[Listed], failed: bool, millis: u64) {
    let news = ImportNews::HandedOut { taken: ids(taken), refused: Vec::new(), failed };
    note(bench, file, news, millis);
}

fn import(bench: &mut Bench, millis: u64) {
    let call = ShardCall::Import(request("warm1", "/sitemap.xml"));
    assert_eq!(bench.call(call, millis), ShardReply::Done);
}

fn take(bench: &mut Bench, millis: u64) -> Option<ImportTask> {
    bench.shard.take_import(at(millis)).unwrap()
}

fn to_read(bench: &mut Bench, millis: u64) -> SitemapFile {
    match take(bench, millis) {
        Some(ImportTask::Read(file)) => file,
        other => panic!("{other:?}"),
    }
}

fn to_hand_out(bench: &mut Bench, millis: u64) -> (SitemapFile, Vec<Listed>) {
    match take(bench, millis) {
        Some(ImportTask::HandOut { file, pages }) => (file, pages),
        other => panic!("{other:?}"),
    }
}

fn urls(count: usize) -> Vec<String> {
    (0..count).map(|n| format!("https://www.example.com/{n}")).collect()
}

fn ids(pages: &[Listed]) -> Vec<i64> {
    pages.iter().map(|page| page.id).collect()
}

#[test]
fn the_way_of_a_sitemap() {
    let mut bench = Bench::new();
    import(&mut bench, 0);
    // The same call twice is the same as once.
    import(&mut bench, 1);
    assert_eq!(bench.shard.next_wake().unwrap(), Some(at(0)));
    let file = to_read(&mut bench, 2);
    assert_eq!((file.url.as_str(), file.job.as_str(), file.nested), (SITEMAP, "warm1", false));
    // Under way: nothing else is to be done.
    assert_eq!(take(&mut bench, 3), None);
    assert!(!bench.job("warm1", 3).complete);
    lists(&mut bench, &file, urls(150), 4);
    lists(&mut bench, &file, urls(100), 5);
    assert_eq!(take(&mut bench, 6), None, "nothing counts before it was read whole");
    read(&mut bench, &file, SitemapKind::Pages, 7);

    let (file, pages) = to_hand_out(&mut bench, 8);
    assert_eq!(pages.len(), 200);
    assert_eq!(pages[0].url, "https://www.example.com/0");
    handed_out(&mut bench, &file, &pages, false, 9);
    let (file, pages) = to_hand_out(&mut bench, 10);
    assert_eq!(pages.len(), 50);
    handed_out(&mut bench, &file, &pages, false, 11);
    assert_eq!(take(&mut bench, 12), None);
    let job = bench.job("warm1", 12);
    assert_eq!((job.complete, job.failed), (true, 0));
}

#[test]
fn many_pages_are_queued_in_one_call() {
    let mut bench = Bench::new();
    let requests = ["/a", "/b", "/c"].map(|path| request("warm1", path)).to_vec();
    assert_eq!(bench.call(ShardCall::WarmMany(requests), 0), ShardReply::Done);
    let job = bench.job("warm1", 1);
    assert_eq!((job.pages, job.queued), (3, 3));
    for task in bench.take(2) {
        bench.warmed(&task, 3);
    }
    assert_eq!(bench.job("warm1", 4).done, 3);
}

#[test]
fn an_index_lists_files_each_once_and_one_after_the_other() {
    let mut bench = Bench::new();
    import(&mut bench, 0);
    let index = to_read(&mut bench, 1);
    let files: Vec<String> = ["/1.xml", "/2.xml", "/1.xml", "/sitemap.xml"]
        .iter()
        .map(|path| format!("https://www.example.com{path}"))
        .collect();
    lists(&mut bench, &index, files, 2);
    read(&mut bench, &index, SitemapKind::Sitemaps, 3);
    let (index, pages) = to_hand_out(&mut bench, 4);
    assert!(pages.is_empty());
    handed_out(&mut bench, &index, &[], false, 5);
    let first = to_read(&mut bench, 6);
    assert_eq!((first.url.as_str(), first.nested), ("https://www.example.com/1.xml", true));
    lists(&mut bench, &first, urls(1), 7);
    read(&mut bench, &first, SitemapKind::Pages, 8);
    // The second is not read before the first one's pages are gone.
    let (first, pages) = to_hand_out(&mut bench, 9);
    handed_out(&mut bench, &first, &[], true, 10);
    assert_eq!(take(&mut bench, 11), None);
    let (first, again) = to_hand_out(&mut bench, 10_000);
    assert_eq!(again, pages);
    handed_out(&mut bench, &first, &pages, false, 10_001);
    let second = to_read(&mut bench, 10_002);
    assert_eq!(second.url, "https://www.example.com/2.xml");
    read(&mut bench, &second, SitemapKind::Pages, 10_003);
    let (second, _) = to_hand_out(&mut bench, 10_004);
    handed_out(&mut bench, &second, &[], false, 10_005);
    assert_eq!(take(&mut bench, 10_006), None);
    assert!(bench.job("warm1", 10_007).complete);
}

#[test]
fn a_restart_loses_nothing() {
    let mut bench = Bench::new();
    import(&mut bench, 0);
    let file = to_read(&mut bench, 1);
    lists(&mut bench, &file, urls(3), 2);
    // It goes down while the file is read: it is read from its beginning, at once.
    let mut bench = bench.restart();
    let file = to_read(&mut bench, 3);
    lists(&mut bench, &file, urls(5), 4);
    read(&mut bench, &file, SitemapKind::Pages, 5);
    let mut bench = bench.restart();
    let (file, pages) = to_hand_out(&mut bench, 6);
    assert_eq!(pages.len(), 5, "what the first try had listed is gone");
    // It goes down after some were taken.
    handed_out(&mut bench, &file, &pages[..2], true, 7);
    let mut bench = bench.restart();
    let (_, left) = to_hand_out(&mut bench, 8);
    assert_eq!(left, pages[2..]);
}

#[test]
fn tries_and_the_end_of_them() {
    let mut bench = Bench::new();
    import(&mut bench, 0);
    let mut now = 1;
    for attempt in 1..=3 {
        let file = to_read(&mut bench, now);
        lists(&mut bench, &file, urls(3), now);
        failed(&mut bench, &file, "origin-timeout", true, now);
        let job = bench.job("warm1", now);
        assert_eq!((job.complete, job.failed), (attempt == 3, u64::from(attempt == 3)));
        if attempt < 3 {
            assert_eq!(take(&mut bench, now), None);
            now = bench.shard.next_wake().unwrap().unwrap().since(at(0)).0;
        }
    }
    let job = bench.job("warm1", now);
    let failure = &job.failures[0];
    assert_eq!((failure.url.as_str(), failure.reason.as_str()), (SITEMAP, "origin-timeout"));
    assert_eq!(failure.attempts, 3);
    // Replayed, it begins anew; then it turns out to be no sitemap, and one try is enough.
    let call = ShardCall::Replay { job: "warm1".to_owned() };
    assert_eq!(bench.call(call, now), ShardReply::Replayed { count: 1 });
    let file = to_read(&mut bench, now + 1);
    failed(&mut bench, &file, "sitemap-other-root <rss>", false, now + 2);
    let job = bench.job("warm1", now + 3);
    assert_eq!((job.complete, job.total, job.failed), (true, 1, 1));
    assert_eq!(job.failures[0].reason, "sitemap-other-root <rss>");
}

#[test]
fn a_file_that_takes_its_object_down_is_given_up() {
    let mut bench = Bench::new();
    import(&mut bench, 0);
    for _ in 0..3 {
        to_read(&mut bench, 1);
        bench = bench.restart();
    }
    assert_eq!(take(&mut bench, 2), None);
    assert_eq!(bench.job("warm1", 3).failures[0].reason, "its tries began but never ended");
    // A try that is lost without a restart is made again after a while.
    import_other(&mut bench, 4);
    to_read(&mut bench, 5);
    assert_eq!(take(&mut bench, 60_004), None);
    to_read(&mut bench, 60_005);
}

fn import_other(bench: &mut Bench, millis: u64) {
    let call = ShardCall::Import(request("warm2", "/sitemap.xml"));
    bench.call(call, millis);
}

#[test]
fn refused_addresses_are_counted_and_some_are_shown() {
    let mut bench = Bench::new();
    import(&mut bench, 0);
    let file = to_read(&mut bench, 1);
    lists(&mut bench, &file, urls(100), 2);
    read(&mut bench, &file, SitemapKind::Pages, 3);
    let (file, pages) = to_hand_out(&mut bench, 4);
    let refused: Vec<_> = pages[..90].iter().map(|page| (page.clone(), "other-host")).collect();
    let taken = ids(&pages[90..]);
    note(&mut bench, &file, ImportNews::HandedOut { taken, refused, failed: false }, 5);
    let job = bench.job("warm1", 6);
    assert_eq!((job.failed, job.complete, job.failures.len()), (90, true, 20));
    assert_eq!(job.failures[0].url, "https://www.example.com/0");
    assert_eq!(job.failures[0].reason, "other-host");
    // They are as they are: a replay has nothing to do.
    let call = ShardCall::Replay { job: "warm1".to_owned() };
    assert_eq!(bench.call(call, 7), ShardReply::Replayed { count: 0 });
}

#[test]
fn an_ended_import_is_forgotten_with_its_job_and_an_open_one_is_kept() {
    let mut bench = Bench::new();
    import(&mut bench, 0);
    to_read(&mut bench, 1);
    bench.shard.run_due(at(25 * HOUR)).unwrap();
    assert!(!bench.job("warm1", 25 * HOUR).complete);
    let file = to_read(&mut bench, 25 * HOUR);
    failed(&mut bench, &file, "sitemap-empty", false, 25 * HOUR);
    bench.shard.run_due(at(26 * HOUR)).unwrap();
    let call = ShardCall::Job { id: "warm1".to_owned() };
    assert_eq!(bench.call(call, 26 * HOUR), ShardReply::Job { progress: None });
    assert_eq!(bench.shard.next_wake().unwrap(), None);
}

//! A change of the number of shards: each page, its tags, its copy, its queued warms and dead
//! letters end at its own shard, whatever is lost, repeated or interrupted on the way. Real SQLite,
//! real journal.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

use crate::common::shard::{Bench, HOUR, asks, at, key, page, selection, stored, tag};
use crate::common::sqlite::Sqlite;
use edge_isr::base::sql::{Sql, Value};
use edge_isr::base::time::{Epoch, Millis};
use edge_isr::cache::content::{ContentDigest, body_digest};
use edge_isr::cache::key::Selection;
use edge_isr::http::Fields;
use edge_isr::index::{
    JobProgress, LeaseReply, LeaseRequest, Move, MoveTask, PageInfo, RecordRequest, ShardCall,
    ShardReply, WarmRequest,
};
use edge_isr::journal::{
    Append, CalledBy, Journal, JournalCall, JournalConfig, JournalReply, Mode, ShardPlace,
};

/// The changes that every rule is tried with.
const CHANGES: [(u16, u16); 6] = [(8, 12), (12, 8), (1, 3), (3, 1), (2, 3), (5, 16)];
/// Pages of a site.
const PAGES: usize = 40;
/// Longer than a lease and the pauses of a handover.
const LONG: u64 = 3_600_000;

/// What goes wrong with one handover.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    None,
    /// The message does not arrive.
    Lost,
    /// The answer does not arrive.
    Unanswered,
    /// It arrives twice, the second time after the old shard has heard of the first.
    Repeated,
    /// The old shard dies once it has sent.
    SenderDies,
    /// The new shard dies after its answer.
    TakerDies,
    /// The old shard dies before it notes the answer.
    SenderForgets,
}

/// A journal and shards.
struct Site {
    sql: Sqlite,
    journal: Journal<Sqlite>,
    benches: Vec<Option<Bench>>,
    shards: u16,
    now: u64,
    job: u64,
}

fn config(shards: u16) -> JournalConfig {
    JournalConfig { shards, ..JournalConfig::default() }
}

fn path(n: usize) -> String {
    format!("/p/{n}")
}

/// A path, beginning like that, of the second of two shards.
fn second(begin: &str) -> String {
    let mut paths = (0..).map(|n| format!("{begin}{n}"));
    paths.find(|path| key(path).digest().shard(2) == 1).unwrap()
}

impl Site {
    fn new(shards: u16) -> Self {
        let sql = Sqlite::memory();
        let journal = Journal::open(sql.clone(), config(shards)).unwrap();
        let benches = (0..shards).map(|_| Some(Bench::new())).collect();
        Self { sql, journal, benches, shards, now: 0, job: 0 }
    }

    /// A deploy with another number of shards.
    fn deploy(&mut self, shards: u16) {
        self.shards = shards;
        self.journal = Journal::open(self.sql.clone(), config(shards)).unwrap();
        let most = self.benches.len().max(usize::from(shards));
        self.benches.resize_with(most, || Some(Bench::new()));
        assert!(self.journal.next_wake().unwrap().is_some(), "it is noticed by itself");
    }

    fn bench(&mut self, shard: u16) -> &mut Bench {
        self.benches[usize::from(shard)].as_mut().unwrap()
    }

    fn restart(&mut self, shard: u16) {
        let slot = &mut self.benches[usize::from(shard)];
        *slot = slot.take().map(Bench::restart);
    }

    /// The shard that workers ask with so many shards.
    fn owner(&self, path: &str, shards: u16) -> u16 {
        key(path).digest().shard(shards)
    }

    /// A visitor's fill, by a worker that goes by so many shards.
    fn fill_by(&mut self, path: &str, names: &[&str], shards: u16) -> RecordRequest {
        let (shard, now, seen) = (self.owner(path, shards), self.now, self.journal.head().0);
        let ask = LeaseRequest { need: Epoch(seen), ..asks(path, seen) };
        let grant = self.bench(shard).granted(ask, now);
        let record = RecordRequest {
            fresh_until: at(now + HOUR),
            keep_until: at(now + 100 * HOUR),
            ..stored(path, &grant, names)
        };
        assert!(self.bench(shard).record(record.clone(), now).accepted);
        record
    }

    fn fill(&mut self, path: &str, names: &[&str]) -> RecordRequest {
        self.fill_by(path, names, self.shards)
    }

    fn fill_all(&mut self) -> Vec<RecordRequest> {
        (0..PAGES).map(|n| self.fill(&path(n), &["all", &format!("one:{n}")])).collect()
    }

    /// A webhook, delivered to every shard for which it is pending; its job.
    fn revalidate(&mut self, name: &str) -> String {
        let job = self.append(name);
        self.carry();
        job
    }

    fn append(&mut self, name: &str) -> String {
        self.job += 1;
        let id = format!("msg_{}", self.job);
        let append = Append {
            id: id.clone(),
            body_digest: String::new(),
            targets: vec![tag(name)],
            mode: Mode::Soft,
            warm: true,
            reinvalidate_after: Millis::ZERO,
            reason: String::new(),
            uncounted: false,
            unsafe_method: false,
            by: CalledBy::default(),
        };
        let call = JournalCall::Append(append);
        let reply = self.journal.handle(call, at(self.now)).unwrap();
        assert!(matches!(reply, JournalReply::Appended(_)));
        id
    }

    fn carry(&mut self) {
        let now = self.now;
        for shard in self.journal.due_shards(at(now)).unwrap() {
            for fanout in self.journal.pending_fanouts(shard, at(now)).unwrap() {
                let epoch = fanout.epoch;
                let seen = self.bench(shard).invalidate(fanout, now).seen;
                self.journal.fanned_out(shard, &[epoch], seen, at(now)).unwrap();
            }
        }
    }

    /// The journal's alarm: the places that it sends to the shards.
    fn send_places(&mut self) {
        let now = self.now;
        self.journal.run_due(at(now)).unwrap();
        for place in self.journal.due_moves(at(now)).unwrap() {
            let reply = self.bench(place.shard).call(ShardCall::Move(Move::to(place)), now);
            let ShardReply::Moved { done } = reply else { panic!("{reply:?}") };
            self.journal.moved(place, done, at(now)).unwrap();
        }
    }

    fn take_move(&mut self, shard: u16) -> Option<MoveTask> {
        let now = at(self.now);
        let bench = self.bench(shard);
        bench.shard.run_due(now).unwrap();
        bench.shard.take_move(now).unwrap()
    }

    fn adopt(&mut self, adopt: &Move) -> bool {
        let now = self.now;
        match self.bench(adopt.shard).call(ShardCall::Move(adopt.clone()), now) {
            ShardReply::Moved { done } => done,
            other => panic!("{other:?}"),
        }
    }

    fn note(&mut self, shard: u16, task: &MoveTask, taken: bool) {
        let now = at(self.now);
        self.bench(shard).shard.note_move(task, taken, now).unwrap();
    }

    /// One handover of a shard, if it has one; whether it had.
    fn hand_over(&mut self, shard: u16, fault: Fault) -> bool {
        let Some(task) = self.take_move(shard) else { return false };
        let to = task.message.shard;
        assert_ne!(to, shard);
        match fault {
            Fault::None => {
                let taken = self.adopt(&task.message);
                self.note(shard, &task, taken);
            }
            Fault::Lost => self.note(shard, &task, false),
            Fault::Unanswered => {
                self.adopt(&task.message);
                self.note(shard, &task, false);
            }
            Fault::Repeated => {
                let taken = self.adopt(&task.message);
                self.note(shard, &task, taken);
                self.adopt(&task.message);
            }
            Fault::SenderDies => self.restart(shard),
            Fault::TakerDies => {
                let taken = self.adopt(&task.message);
                self.restart(to);
                self.note(shard, &task, taken);
            }
            Fault::SenderForgets => {
                self.adopt(&task.message);
                self.restart(shard);
            }
        }
        true
    }

    /// Goes on until every page is at its own shard, with that fault at every third handover.
    fn settle(&mut self, fault: Fault) {
        let mut handovers = 0;
        for _ in 0..200 {
            self.send_places();
            self.carry();
            for shard in 0..self.benches.len() as u16 {
                for _ in 0..50 {
                    let fault = if handovers % 3 == 0 { fault } else { Fault::None };
                    if !self.hand_over(shard, fault) {
                        break;
                    }
                    handovers += 1;
                }
            }
            let waits = |bench: &Bench| bench.shard.next_wake().unwrap().is_some();
            assert!(self.benches.iter().flatten().any(waits), "there is always a sweep");
            if self.journal.moving().unwrap() == 0 {
                return;
            }
            self.now += 5_000;
        }
        panic!("it does not end: {} shards", self.journal.moving().unwrap());
    }

    /// Where a page is known.
    fn places(&mut self, path: &str) -> Vec<u16> {
        let shards = 0..self.benches.len() as u16;
        shards.filter(|shard| !self.infos(*shard, path).is_empty()).collect()
    }

    fn infos(&mut self, shard: u16, path: &str) -> Vec<PageInfo> {
        self.bench(shard).by_url(&format!("example.com{path}"))
    }

    /// A job's progress over all shards; each shard's adds up.
    fn progress(&mut self, job: &str) -> JobProgress {
        let mut sum = JobProgress { complete: true, ..JobProgress::default() };
        let now = self.now;
        for bench in self.benches.iter_mut().flatten() {
            let reply = bench.call(ShardCall::Job { id: job.to_owned() }, now);
            let ShardReply::Job { progress: Some(part) } = reply else { continue };
            let (open, ended) =
                (part.queued + part.running, part.done + part.failed + part.superseded);
            assert_eq!(part.total, open + ended, "{part:?}");
            sum.total += part.total;
            sum.queued += part.queued;
            sum.running += part.running;
            sum.done += part.done;
            sum.failed += part.failed;
            sum.superseded += part.superseded;
            sum.complete &= part.complete;
            sum.failures.extend(part.failures);
        }
        sum
    }

    /// Works all queues until nothing is due; where each fetch was made.
    fn work(&mut self) -> Vec<(u16, String)> {
        let mut fetched = Vec::new();
        let now = self.now;
        for shard in 0..self.benches.len() as u16 {
            let bench = self.bench(shard);
            bench.shard.run_due(at(now)).unwrap();
            loop {
                let tasks = bench.take(now);
                if tasks.is_empty() {
                    break;
                }
                for task in tasks {
                    fetched.push((shard, task.page.path.clone()));
                    bench.warmed(&task, now);
                }
            }
        }
        fetched.sort();
        fetched
    }

    /// Each page is at its own shard and nowhere else, and is found and warmed there by its tags.
    fn all_at_their_own(&mut self, why: &str) {
        for n in 0..PAGES {
            let owner = self.owner(&path(n), self.shards);
            assert_eq!(self.places(&path(n)), [owner], "{why}: page {n}");
        }
        let job = self.revalidate("all");
        let mut want: Vec<(u16, String)> =
            (0..PAGES).map(|n| (self.owner(&path(n), self.shards), path(n))).collect();
        want.sort();
        assert_eq!(self.work(), want, "{why}");
        let progress = self.progress(&job);
        assert_eq!((progress.total, progress.done), (PAGES as u64, PAGES as u64), "{why}");
        assert!(progress.complete, "{why}");
    }
}

#[test]
fn what_is_known_of_refetches_goes_with_the_page() {
    let shows = |body: &[u8]| Some(ContentDigest::of(200, &Fields::new(), &body_digest(body)));
    for (before, after) in CHANGES {
        let mut site = Site::new(before);
        site.fill_all();
        let fill = |site: &mut Site, body: &[u8], epoch: u64| {
            for n in 0..PAGES {
                let (path, owner) = (path(n), site.owner(&path(n), site.shards));
                let now = site.now;
                let ask = LeaseRequest { need: Epoch(epoch), ..asks(&path, epoch) };
                let grant = site.bench(owner).granted(ask, now);
                let content = shows(body);
                let record = RecordRequest { content, ..stored(&path, &grant, &["all"]) };
                assert!(site.bench(owner).record(record, now).accepted);
            }
        };
        for (epoch, body) in [(1, "a"), (2, "a"), (3, "b")] {
            fill(&mut site, body.as_bytes(), epoch);
        }
        site.now += 1_000;
        site.deploy(after);
        site.settle(Fault::TakerDies);
        fill(&mut site, b"b", 4);
        for n in 0..PAGES {
            let owner = site.owner(&path(n), after);
            let info = site.infos(owner, &path(n)).remove(0);
            let counts = (info.variants[0].changed, info.variants[0].unchanged);
            assert_eq!(counts, (1, 2), "page {n}, {before} to {after}");
        }
    }
}

#[test]
fn each_page_ends_at_its_own_shard_with_its_tags_and_its_copy() {
    for (before, after) in CHANGES {
        let mut site = Site::new(before);
        let records = site.fill_all();
        site.now += 1_000;
        site.deploy(after);
        site.settle(Fault::None);
        for (n, record) in records.iter().enumerate() {
            let owner = site.owner(&path(n), after);
            let info = site.infos(owner, &path(n)).remove(0);
            assert_eq!(info.tags, record.tags);
            let variant = &info.variants[0];
            assert_eq!(variant.l2_key, record.l2_key, "{before} to {after}: nothing is refetched");
            assert_eq!(
                (variant.stamp, variant.fence, variant.status),
                (record.stamp, record.fence, 200)
            );
            assert_eq!(
                (variant.fresh_until, variant.keep_until),
                (record.fresh_until, record.keep_until)
            );
            let now = site.now;
            let ready = site.bench(owner).ready(asks(&path(n), 0), now);
            assert_eq!(Some(ready.l2_key), record.l2_key);
        }
        assert_eq!(site.work(), [], "nothing was warmed for the change");
        site.all_at_their_own(&format!("{before} to {after}"));
        // The way back is another change.
        site.deploy(before);
        site.settle(Fault::None);
        site.all_at_their_own(&format!("{after} back to {before}"));
    }
}

#[test]
fn whatever_happens_to_a_handover_each_page_arrives() {
    let faults = [
        Fault::Lost,
        Fault::Unanswered,
        Fault::Repeated,
        Fault::SenderDies,
        Fault::TakerDies,
        Fault::SenderForgets,
    ];
    for fault in faults {
        for (before, after) in [(8, 12), (3, 1), (2, 3)] {
            let mut site = Site::new(before);
            site.fill_all();
            let job = site.revalidate("all");
            site.deploy(after);
            site.settle(fault);
            let why = format!("{fault:?}, {before} to {after}");
            assert_eq!(site.progress(&job).total, PAGES as u64, "{why}: no warm twice, none lost");
            assert_eq!(site.work().len(), PAGES, "{why}");
            assert_eq!(site.progress(&job).done, PAGES as u64, "{why}");
            site.all_at_their_own(&why);
        }
    }
}

#[test]
fn queued_warms_and_dead_letters_go_with_their_pages() {
    for (before, after) in CHANGES {
        let mut site = Site::new(before);
        site.fill_all();
        let job = site.revalidate("all");
        // The first page's warm fails for good, and others of its shard end before.
        let dead = site.owner(&path(0), before);
        while site.progress(&job).failed == 0 {
            let now = site.now;
            for task in site.bench(dead).take(now) {
                if task.page.path == path(0) {
                    site.bench(dead).failed(&task, now);
                } else {
                    site.bench(dead).warmed(&task, now);
                }
            }
            site.now += 10_000;
        }
        let progress = site.progress(&job);
        site.deploy(after);
        site.settle(Fault::None);
        let moved = site.progress(&job);
        assert_eq!(
            (moved.total, moved.queued, moved.done, moved.failed),
            (progress.total, progress.queued, progress.done, progress.failed),
            "{before} to {after}"
        );
        assert_eq!(moved.failures, progress.failures);
        let owner = site.owner(&path(0), after);
        let now = site.now;
        let replayed = site.bench(owner).call(ShardCall::Replay { job: job.clone() }, now);
        assert_eq!(replayed, ShardReply::Replayed { count: 1 }, "{before} to {after}");
        let fetched = site.work();
        assert_eq!(fetched.len() as u64, progress.queued + 1);
        assert!(fetched.contains(&(owner, path(0))));
        let ended = site.progress(&job);
        assert_eq!((ended.total, ended.done), (PAGES as u64, PAGES as u64));
        site.all_at_their_own("afterwards");
    }
}

#[test]
fn an_invalidation_at_any_moment_of_a_handover_warms_each_page_once() {
    // When it is appended, and which of the two shards it is carried to at once.
    for moment in 0..4 {
        for first in ["both", "old", "new", "none"] {
            let (mut site, a, owner) = (Site::new(1), second("/a"), 1);
            site.fill(&a, &["x"]);
            site.deploy(2);
            site.send_places();
            site.now += LONG;
            let strike = |site: &mut Site, at_moment: usize| {
                if at_moment != moment {
                    return;
                }
                site.append("x");
                let now = site.now;
                let shards = match first {
                    "both" => vec![0, owner],
                    "old" => vec![0],
                    "new" => vec![owner],
                    _ => vec![],
                };
                for shard in shards {
                    for fanout in site.journal.pending_fanouts(shard, at(now)).unwrap() {
                        let epoch = fanout.epoch;
                        let seen = site.bench(shard).invalidate(fanout, now).seen;
                        site.journal.fanned_out(shard, &[epoch], seen, at(now)).unwrap();
                    }
                }
            };
            // Raises the number of the new shard; then time passes.
            let task = site.take_move(0).unwrap();
            assert!(!site.adopt(&task.message));
            site.note(0, &task, false);
            site.now += LONG;
            strike(&mut site, 0);
            let task = site.take_move(0).unwrap();
            strike(&mut site, 1);
            let taken = site.adopt(&task.message);
            assert!(taken);
            strike(&mut site, 2);
            site.note(0, &task, taken);
            strike(&mut site, 3);
            site.settle(Fault::None);
            site.carry();
            site.settle(Fault::None);
            let why = format!("moment {moment}, carried to {first}");
            assert_eq!(site.places(&a), [owner], "{why}");
            assert_eq!(site.work(), [(owner, a.clone())], "{why}");
            let progress = site.progress("msg_1");
            assert_eq!((progress.total, progress.done), (1, 1), "{why}");
        }
    }
}

#[test]
fn a_large_tag_that_is_still_being_expanded_is_found_at_the_new_shard() {
    let mut site = Site::new(1);
    site.bench(0).sql_batch(|_| {});
    for n in 0..450 {
        site.fill(&path(n), &["large"]);
    }
    let job = site.revalidate("large");
    assert!(!site.progress(&job).complete);
    site.deploy(2);
    site.settle(Fault::None);
    let fetched = site.work();
    assert_eq!(fetched.len(), 450);
    assert!(fetched.iter().all(|(shard, path)| *shard == key(path).digest().shard(2)));
    let progress = site.progress(&job);
    assert_eq!((progress.total, progress.done, progress.complete), (450, 450, true));
}

#[test]
fn what_workers_of_before_still_bring_to_old_shards_goes_on_to_the_new_ones() {
    for (before, after) in CHANGES {
        let mut site = Site::new(before);
        site.fill_all();
        site.deploy(after);
        site.settle(Fault::None);
        // Known pages again, without tags to inherit there, and new ones.
        for n in (0..PAGES).filter(|n| {
            key(&path(*n)).digest().shard(before) != key(&path(*n)).digest().shard(after)
        }) {
            site.fill_by(&path(n), &[], before);
        }
        site.fill_by("/new", &["all"], before);
        let misplaced = (0..PAGES).filter(|n| site.places(&path(*n)).len() > 1).count();
        assert!(misplaced > 0, "{before} to {after}");
        // One that comes before they have gone on.
        let job = site.revalidate("one:7");
        site.now += LONG;
        for _ in 0..20 {
            for shard in 0..site.benches.len() as u16 {
                while site.hand_over(shard, Fault::None) {}
            }
            site.now += 30_000;
        }
        let owner = site.owner("/new", after);
        assert_eq!(site.places("/new"), [owner], "{before} to {after}");
        let fetched = site.work();
        assert_eq!(fetched, [(site.owner(&path(7), after), path(7))], "{before} to {after}");
        assert_eq!(site.progress(&job).done, 1);
        let now = site.now;
        site.bench(owner).gone("/new", now);
        site.all_at_their_own(&format!("{before} to {after}"));
    }
}

#[test]
fn a_page_whose_warm_runs_waits_for_its_end() {
    let (mut site, a, owner) = (Site::new(1), second("/a"), 1);
    site.fill(&a, &["x"]);
    let job = site.revalidate("x");
    let task = site.bench(0).take_one(0);
    site.deploy(2);
    site.send_places();
    assert_eq!(site.take_move(0), None);
    site.now += 6_000;
    assert_eq!(site.take_move(0), None);
    assert_eq!(site.progress(&job).running, 1);
    site.bench(0).warmed(&task, 7_000);
    site.settle(Fault::None);
    assert_eq!(site.places(&a), [owner]);
    assert_eq!((site.progress(&job).total, site.progress(&job).done), (1, 1));
    assert_eq!(site.infos(owner, &a)[0].variants[0].stamp, Epoch(1));
}

#[test]
fn the_newer_copy_counts_wherever_it_was_fetched() {
    let mut site = Site::new(1);
    let (newer_there, newer_here) = (second("/there"), second("/here"));
    let old = site.fill(&newer_there, &["x"]);
    site.fill(&newer_here, &["x"]);
    site.deploy(2);
    site.revalidate("other");
    // A worker of now, whose origin named no tags; and one of before.
    let there = site.fill(&newer_there, &[]);
    let here = site.fill_by(&newer_here, &["x"], 1);
    assert!(there.stamp > old.stamp);
    site.settle(Fault::None);
    for (path, want) in [(&newer_there, &there), (&newer_here, &here)] {
        let owner = 1;
        assert_eq!(site.places(path), [owner]);
        let info = site.infos(owner, path).remove(0);
        assert_eq!(info.variants[0].stamp, want.stamp, "{path}");
        assert_eq!(info.variants[0].l2_key, want.l2_key, "{path}");
        assert_eq!(info.tags, old.tags, "{path}: tags are never lost");
    }
    assert_eq!(site.work(), []);
}

#[test]
fn all_variants_go_and_pages_that_were_never_stored() {
    let (mut site, a, ordered, owner) = (Site::new(1), second("/a"), second("/ordered"), 1);
    let now = site.now;
    for language in ["de", "en"] {
        let selected = selection(&[("accept-language", language)]);
        let grant =
            site.bench(0).granted(LeaseRequest { selection: selected.clone(), ..asks(&a, 0) }, 0);
        let record = RecordRequest {
            selection: selected.clone(),
            leased: selected,
            ..stored(&a, &grant, &["x"])
        };
        assert!(site.bench(0).record(record, 0).accepted);
    }
    let order = WarmRequest {
        job: "warm-1".to_owned(),
        page: page(&ordered),
        key: key(&ordered),
        selection: Selection::default(),
        request: edge_isr::http::Fields::from_iter([("accept", "text/html")]),
        need: Epoch::ZERO,
    };
    assert_eq!(site.bench(0).call(ShardCall::Warm(order), now), ShardReply::Done);
    site.deploy(2);
    site.settle(Fault::None);
    assert_eq!(site.places(&a), [owner]);
    let info = site.infos(owner, &a).remove(0);
    assert_eq!((info.variants.len(), info.vary), (2, vec!["accept-language".to_owned()]));
    let reply = site.bench(owner).lease(asks(&a, 0), now);
    assert!(matches!(reply, LeaseReply::Vary { .. }), "{reply:?}");
    assert_eq!(site.work(), [(owner, ordered)]);
    let progress = site.progress("warm-1");
    assert_eq!((progress.total, progress.done), (1, 1));
}

#[test]
fn no_reader_who_waits_takes_a_copy_from_elsewhere_for_a_new_one() {
    let (mut site, a, owner) = (Site::new(1), second("/a"), 1);
    // The old shard has given many numbers.
    for n in 0..40 {
        site.fill(&path(n), &["all"]);
    }
    let record = site.fill(&a, &["x"]);
    site.deploy(2);
    site.send_places();
    // A reader asks the new shard, and waits for another's fetch: what carries a higher number
    // began after it came.
    let now = site.now;
    site.bench(owner).granted(asks(&a, 0), now);
    let LeaseReply::Wait { latest_fence, .. } = site.bench(owner).lease(asks(&a, 0), now) else {
        panic!("nobody fetches")
    };
    assert!(record.fence > latest_fence);
    let task = site.take_move(0).unwrap();
    let adopt = task.message;
    assert!(
        adopt
            .variants
            .iter()
            .any(|variant| variant.contains(&format!("\"{}\"", record.key.as_str())))
    );
    assert!(!site.adopt(&adopt), "the reader may still wait");
    site.now += 9_999;
    assert!(!site.adopt(&adopt));
    site.now += 1;
    assert!(site.adopt(&adopt), "a lease's time later it is gone");
    let now = site.now;
    let ready = site.bench(owner).ready(asks(&a, 0), now);
    assert!(ready.fence <= ready.latest_fence);
    assert_eq!(Some(ready.l2_key), record.l2_key);
}

#[test]
fn a_place_of_before_is_not_believed() {
    let mut bench = Bench::new();
    let place = |shards, shard, millis| ShardPlace { shards, shard, at: at(millis) };
    let moved = |bench: &mut Bench, place| match bench.call(ShardCall::Move(Move::to(place)), 10) {
        ShardReply::Moved { done } => done,
        other => panic!("{other:?}"),
    };
    bench.fill("/a", 0, &["x"], 0);
    assert!(!moved(&mut bench, place(1, 0, 2)), "a walk has to follow");
    assert_eq!(bench.shard.take_move(at(10)).unwrap(), None);
    assert!(moved(&mut bench, place(1, 0, 2)), "all pages are its own");
    assert!(moved(&mut bench, place(64, 63, 1)), "and a late message changes nothing");
    let late = Move { variants: vec!["{}".to_owned()], ..Move::to(place(64, 0, 1)) };
    assert_eq!(bench.call(ShardCall::Move(late), 10), ShardReply::Moved { done: false });
    assert_eq!(bench.tag_pages("x"), ["/a"]);
}

#[test]
fn a_change_that_is_taken_back_while_it_is_under_way() {
    for (before, after) in [(8, 12), (3, 1), (2, 3)] {
        for steps in [0, 1, 2, 5, 11] {
            let mut site = Site::new(before);
            site.fill_all();
            site.deploy(after);
            site.send_places();
            site.now += LONG;
            let shards = 0..site.benches.len() as u16;
            for shard in shards.cycle().take(steps) {
                site.hand_over(shard, Fault::None);
                site.now += 11_000;
            }
            site.deploy(before);
            site.settle(Fault::None);
            assert_eq!(site.work(), []);
            site.all_at_their_own(&format!("{before} to {after} and back after {steps}"));
        }
    }
}

#[test]
fn the_journal_owes_a_change_to_the_shards_of_before_and_after() {
    let sql = Sqlite::memory();
    let mut journal = Journal::open(sql.clone(), config(8)).unwrap();
    assert_eq!(journal.next_wake().unwrap(), None, "the first number is no change");
    assert_eq!((journal.reach(at(0)).unwrap(), journal.moving().unwrap()), (8, 0));

    drop(journal);
    let mut journal_12 = Journal::open(sql.clone(), config(12)).unwrap();
    assert_eq!(journal_12.reach(at(0)).unwrap(), 12, "at once");
    journal_12.run_due(at(1)).unwrap();
    let places = journal_12.due_moves(at(1)).unwrap();
    assert_eq!(places.len(), 12);
    assert!(places.iter().all(|place| place.shards == 12 && place.at == at(1)));
    assert_eq!(journal_12.next_wake().unwrap(), Some(at(1)));
    journal_12.moved(places[0], true, at(2)).unwrap();
    journal_12.moved(places[1], false, at(2)).unwrap();
    assert_eq!(journal_12.moving().unwrap(), 11);
    assert_eq!(journal_12.due_moves(at(2)).unwrap().len(), 10, "one is asked again later");
    assert_eq!(journal_12.due_moves(at(10_002)).unwrap().len(), 11);

    // Back to fewer: those of before still hear of everything, for as long as jobs are remembered.
    drop(journal_12);
    journal = Journal::open(sql.clone(), config(6)).unwrap();
    journal.run_due(at(1)).unwrap();
    let again = journal.due_moves(at(1)).unwrap();
    assert_eq!((again.len(), again[0].shards), (12, 6));
    assert!(again[0].at > places[0].at, "however little time has passed");
    journal.moved(places[3], true, at(2)).unwrap();
    assert_eq!(journal.moving().unwrap(), 12, "an answer to the place of before says nothing");
    for place in again {
        assert_eq!(journal.reach(at(48 * HOUR)).unwrap(), 12, "until all are done");
        journal.moved(place, true, at(3)).unwrap();
    }
    assert_eq!(journal.reach(at(24 * HOUR)).unwrap(), 12);
    assert_eq!(journal.reach(at(24 * HOUR + 2)).unwrap(), 6);
    // What was long ago is no part of the next change.
    drop(journal);
    journal = Journal::open(sql, config(7)).unwrap();
    journal.run_due(at(30 * HOUR)).unwrap();
    assert_eq!(journal.due_moves(at(30 * HOUR)).unwrap().len(), 7);
}

#[test]
fn a_damaged_page_holds_up_no_other() {
    let (mut site, a, b) = (Site::new(1), second("/a"), second("/b"));
    site.fill(&a, &["x"]);
    site.fill(&b, &["x"]);
    site.revalidate("x");
    let damage = format!("UPDATE page SET page = '{{' WHERE url = 'example.com{a}'");
    site.bench(0).sql.exec(&damage, &[]).unwrap();
    site.deploy(2);
    site.settle(Fault::None);
    assert_eq!((site.places(&a), site.places(&b)), (vec![], vec![1]));
    let progress = site.progress("msg_1");
    assert_eq!((progress.total, progress.queued, progress.failed), (2, 1, 1), "{progress:?}");
    assert_eq!(site.bench(0).status().damaged, 1);
}

#[test]
fn a_variant_that_can_be_sent_and_not_be_forgotten_holds_up_no_other() {
    let (mut site, a, b) = (Site::new(1), second("/a"), second("/b"));
    site.fill(&a, &["x"]);
    site.fill(&b, &["x"]);
    // Where its tags are is nothing to the other shard.
    let damage = format!(
        "UPDATE variant SET segment = 'x' WHERE page = (SELECT id FROM page WHERE url = 'example.com{a}')"
    );
    site.bench(0).sql.exec(&damage, &[]).unwrap();
    site.deploy(2);
    site.settle(Fault::None);
    assert_eq!((site.places(&a), site.places(&b)), (vec![1], vec![1]));
    assert_eq!(site.bench(0).status().damaged, 1);
    let left = site.bench(0).sql.exec("SELECT count(*) FROM tagged", &[]).unwrap();
    assert_eq!(left, [[Value::Integer(0)]], "nothing of it stays");
}

#[test]
fn a_full_new_shard_takes_nothing_and_loses_nothing() {
    let mut site = Site::new(1);
    site.fill_all();
    site.deploy(2);
    site.send_places();
    site.now += LONG;
    let task = site.take_move(0).unwrap();
    assert!(!site.adopt(&task.message));
    site.note(0, &task, false);
    site.now += LONG;
    let task = site.take_move(0).unwrap();
    // All or nothing: the transaction of a message that can't be written whole leaves no part of
    // it.
    let sql = site.bench(1).sql.clone();
    let refuse = "CREATE TRIGGER full BEFORE INSERT ON variant
        WHEN (SELECT count(*) FROM variant) >= 3 BEGIN SELECT raise(ABORT, 'full'); END";
    sql.exec(refuse, &[]).unwrap();
    let now = at(site.now);
    let refused = site.bench(1).shard.handle(ShardCall::Move(task.message.clone()), now);
    assert!(refused.is_err());
    assert_eq!(sql.exec("SELECT count(*) FROM page", &[]).unwrap(), [[Value::Integer(0)]]);
    site.note(0, &task, false);
    sql.exec("DROP TRIGGER full", &[]).unwrap();
    site.settle(Fault::None);
    site.all_at_their_own("once there is room");
}

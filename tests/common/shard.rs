//! An index shard on real SQLite, and short ways to talk to it.

use edge_isr::base::sql::{Sql, SqlError};
use edge_isr::base::time::{Epoch, Millis, Timestamp};
use edge_isr::cache::key::{CacheKey, Page, Selection};
use edge_isr::cache::tag::{Tag, TagSet, Target};
use edge_isr::http::Fields;
use edge_isr::index::{
    Grant, Invalidated, JobProgress, LeaseReply, LeaseRequest, Outcome, PageInfo, Ready,
    RecordRequest, Recorded, ReleaseRequest, Shard, ShardCall, ShardConfig, ShardReply,
    ShardStatus, WarmResult, WarmTask,
};
use edge_isr::journal::{Fanout, Mode};

use super::sqlite::Sqlite;

pub(crate) const T0: Timestamp = Timestamp::from_seconds(1_700_000_000);
pub(crate) const HOUR: u64 = 3_600_000;
/// How long copies are kept in these tests.
pub(crate) const KEPT: u64 = 48 * HOUR;

pub(crate) fn at(millis: u64) -> Timestamp {
    T0.plus(Millis(millis))
}

pub(crate) fn tag(name: &str) -> Target {
    Target::Tag(Tag::parse(name).unwrap())
}

pub(crate) fn tags(names: &[&str]) -> TagSet {
    names.iter().map(|name| Tag::parse(name).unwrap()).collect()
}

pub(crate) fn page(path: &str) -> Page {
    Page {
        scheme: "https".to_owned(),
        host: "www.example.com".to_owned(),
        purge_host: "example.com".to_owned(),
        path: path.to_owned(),
        query: None,
    }
}

pub(crate) fn key(path: &str) -> CacheKey {
    CacheKey::new(&page(path), [])
}

pub(crate) fn selection(pairs: &[(&str, &str)]) -> Selection {
    Selection(pairs.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect())
}

pub(crate) fn asks(path: &str, seen: u64) -> LeaseRequest {
    LeaseRequest {
        page: page(path),
        key: key(path),
        selection: Selection::default(),
        need: Epoch::ZERO,
        have_fence: 0,
        seen: Epoch(seen),
        lagged: false,
        colo: "AMS".to_owned(),
        background: false,
        hits: 0,
        unrecorded: 0,
        ready_only: false,
    }
}

pub(crate) fn stored(path: &str, grant: &Grant, names: &[&str]) -> RecordRequest {
    RecordRequest {
        page: page(path),
        key: key(path),
        selection: Selection::default(),
        leased: Selection::default(),
        request: Fields::from_iter([("accept", "text/html")]),
        tags: tags(names),
        stamp: grant.stamp,
        fence: grant.fence,
        l2_key: Some(format!("{path}#{}", grant.fence)),
        content: None,
        status: 200,
        fresh_until: at(HOUR),
        keep_until: at(KEPT),
        outcome: Outcome::Stored,
    }
}

pub(crate) fn fanout(epoch: u64, targets: &[Target]) -> Fanout {
    Fanout {
        epoch: Epoch(epoch),
        shard: 0,
        job: format!("job{epoch}"),
        targets: targets.to_vec(),
        mode: Mode::Soft,
        warm: true,
        at: T0,
    }
}

pub(crate) struct Bench {
    pub(crate) sql: Sqlite,
    pub(crate) shard: Shard<Sqlite>,
}

impl Bench {
    pub(crate) fn new() -> Self {
        Self::on(Sqlite::memory())
    }

    pub(crate) fn on(sql: Sqlite) -> Self {
        let config = ShardConfig { lease: Millis(10_000), warm_attempts: 3, ..Default::default() };
        Self { shard: Shard::open(sql.clone(), config).unwrap(), sql }
    }

    /// The object is gone and comes back on the same database.
    pub(crate) fn restart(self) -> Self {
        drop(self.shard);
        Self::on(self.sql)
    }

    /// Many calls in one transaction of the test, for speed.
    pub(crate) fn sql_batch(&mut self, work: impl FnOnce(&mut Self)) {
        let sql = self.sql.clone();
        sql.transaction(|| {
            work(self);
            Ok::<(), SqlError>(())
        })
        .unwrap();
    }

    pub(crate) fn call(&mut self, call: ShardCall, millis: u64) -> ShardReply {
        // Over the wire and back, as it goes in production.
        let call = serde_json::from_str(&serde_json::to_string(&call).unwrap()).unwrap();
        let reply = self.shard.handle(call, at(millis)).unwrap();
        serde_json::from_str(&serde_json::to_string(&reply).unwrap()).unwrap()
    }

    pub(crate) fn lease(&mut self, request: LeaseRequest, millis: u64) -> LeaseReply {
        match self.call(ShardCall::Lease(request), millis) {
            ShardReply::Lease(reply) => reply,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn granted(&mut self, request: LeaseRequest, millis: u64) -> Grant {
        match self.lease(request, millis) {
            LeaseReply::Grant(grant) => grant,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn ready(&mut self, request: LeaseRequest, millis: u64) -> Ready {
        match self.lease(request, millis) {
            LeaseReply::Ready(ready) => ready,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn record(&mut self, request: RecordRequest, millis: u64) -> Recorded {
        match self.call(ShardCall::Record(request), millis) {
            ShardReply::Recorded(recorded) => recorded,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn release(&mut self, path: &str, fence: u64, millis: u64) {
        let request = ReleaseRequest { key: key(path), selection: Selection::default(), fence };
        assert_eq!(self.call(ShardCall::Release(request), millis), ShardReply::Done);
    }

    /// Fetches and stores a page as a visitor's request would.
    pub(crate) fn fill(&mut self, path: &str, seen: u64, names: &[&str], millis: u64) -> Grant {
        let need = Epoch(seen);
        let grant = self.granted(LeaseRequest { need, ..asks(path, seen) }, millis);
        assert!(self.record(stored(path, &grant, names), millis).accepted);
        grant
    }

    /// The origin says that a page is gone: the shard forgets it.
    pub(crate) fn gone(&mut self, path: &str, millis: u64) {
        let need = Epoch(1 << 40);
        let grant = self.granted(LeaseRequest { need, ..asks(path, 0) }, millis);
        let gone = RecordRequest { outcome: Outcome::Gone, ..stored(path, &grant, &[]) };
        self.record(gone, millis);
    }

    pub(crate) fn invalidate(&mut self, fanout: Fanout, millis: u64) -> Invalidated {
        match self.call(ShardCall::Invalidate(fanout), millis) {
            ShardReply::Invalidated(invalidated) => invalidated,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn job(&mut self, id: &str, millis: u64) -> JobProgress {
        match self.call(ShardCall::Job { id: id.to_owned() }, millis) {
            ShardReply::Job { progress: Some(progress) } => {
                let ended = progress.done + progress.failed + progress.superseded;
                let open = progress.queued + progress.running;
                assert_eq!(progress.total, ended + open, "inv7: {progress:?}");
                progress
            }
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn take(&mut self, millis: u64) -> Vec<WarmTask> {
        self.shard.take_warms(at(millis), 10, 0).unwrap()
    }

    pub(crate) fn take_one(&mut self, millis: u64) -> WarmTask {
        let mut tasks = self.take(millis);
        assert_eq!(tasks.len(), 1, "{tasks:?}");
        tasks.remove(0)
    }

    pub(crate) fn warmed(&mut self, task: &WarmTask, millis: u64) {
        let result = WarmResult::Fetched(Box::new(result_of(task)));
        self.shard.finish_warm(task, result, at(millis)).unwrap();
    }

    pub(crate) fn failed(&mut self, task: &WarmTask, millis: u64) {
        let result = WarmResult::Failed { reason: "origin-timeout".to_owned(), after: None };
        self.shard.finish_warm(task, result, at(millis)).unwrap();
    }

    pub(crate) fn tag_pages(&mut self, name: &str) -> Vec<String> {
        let call = ShardCall::TagPages { tag: Tag::parse(name).unwrap(), cursor: None, limit: 100 };
        match self.call(call, 0) {
            ShardReply::Pages { pages, .. } => {
                pages.into_iter().map(|page| page.page.path).collect()
            }
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn by_url(&mut self, url: &str) -> Vec<PageInfo> {
        match self.call(ShardCall::PagesByUrl { url: url.to_owned() }, 0) {
            ShardReply::Pages { pages, .. } => pages,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn status(&mut self) -> ShardStatus {
        match self.call(ShardCall::Status, 0) {
            ShardReply::Status(status) => status,
            other => panic!("{other:?}"),
        }
    }
}

/// What a warm's fetch brings when all is well: no tags of its own.
pub(crate) fn result_of(task: &WarmTask) -> RecordRequest {
    RecordRequest {
        page: task.page.clone(),
        key: task.key.clone(),
        selection: task.selection.clone(),
        leased: task.selection.clone(),
        request: task.request.clone(),
        tags: TagSet::default(),
        stamp: task.stamp,
        fence: task.fence,
        l2_key: Some(format!("warm#{}", task.fence)),
        content: None,
        status: 200,
        fresh_until: at(HOUR),
        keep_until: at(KEPT),
        outcome: Outcome::Stored,
    }
}

//! What a seed stands for: the circumstances, and what happens when.

use fastrand::Rng;

use edge_isr::journal::Mode;

use crate::composed::Composed;
use crate::origin::SITE;

/// Colos of the world.
pub(crate) const COLOS: usize = 6;
/// Isolates of each.
pub(crate) const ISOLATES_PER_COLO: usize = 3;
/// Isolates in all.
pub(crate) const ISOLATES: usize = COLOS * ISOLATES_PER_COLO;
/// Index shards, but where their number changes.
pub(crate) const SHARDS: u16 = 4;
/// The most shards that there can be.
pub(crate) const MAX_SHARDS: u16 = 6;
/// Items of data.
pub(crate) const ITEMS: usize = 5;
/// Pages, the private one last.
pub(crate) const PAGES: usize = 5;

/// How a change names what it invalidates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Naming {
    Tag,
    Url,
    Prefix,
    Host,
    All,
}

/// From here on a quarter of the seeds, by what they leave when divided by 32, have more kinds of
/// things that happen.
pub(crate) const WIDER_FROM: u64 = 1_000_000;
const WIDER: [u64; 8] = [6, 12, 16, 17, 20, 23, 26, 29];
/// As many, half of them others, have composed pages.
const COMPOSED: [u64; 8] = [1, 6, 9, 14, 16, 23, 29, 31];

/// Something that happens.
#[derive(Clone, Debug)]
pub(crate) enum Input {
    /// A visitor asks an isolate for a page, in one of two languages.
    Get { isolate: usize, page: usize, german: bool },
    /// Data changes, and the origin posts its webhook.
    Change { items: Vec<usize>, naming: Naming, mode: Mode, delay: u64, deliveries: u32 },
    /// An isolate is evicted; its tasks are dropped or left in limbo.
    Evict { isolate: usize, limbo: bool },
    /// A Durable Object restarts: 0 is the journal, then the shards.
    Restart { object: usize },
    /// The journal can't be reached from a colo, or from anywhere.
    JournalDown { colo: Option<usize>, millis: u64 },
    /// The shards can't be reached from a colo, or from anywhere.
    ShardsDown { colo: Option<usize>, millis: u64 },
    /// The origin fails.
    OriginDown { millis: u64 },
    /// A colo's L1 forgets everything.
    ForgetColo { colo: usize },
    /// A backup of the journal is taken.
    Backup,
    /// The journal is restored from it.
    Restore,
    /// The operator has a page warmed.
    Warm { page: usize },
    /// A visitor changes what a page shows by an unsafe method, and asks for it again.
    Post { isolate: usize, page: usize },
    /// A deploy changes the number of shards.
    Reshard { shards: u16 },
}

/// What happens, and when.
type Inputs = Vec<(u64, Input)>;

/// One seed's circumstances.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// How long things happen.
    pub(crate) span: u64,
    /// The longest way of a message.
    pub(crate) net: u64,
    /// How much longer the journal's snapshots and look-ups can be on their way.
    pub(crate) reads: u64,
    /// One message of so many takes four times as long, and one L1 write of half as many is slow.
    pub(crate) jams: u64,
    /// The longest time the origin takes, but for the odd slow one.
    pub(crate) render: u64,
    /// How far the origin's replica lags at most.
    pub(crate) lag: u64,
    /// Whether L2 shows misses and old values for up to 60 s.
    pub(crate) l2_lags: bool,
    /// Whether the origin computes its ETag apart from its body.
    pub(crate) torn: bool,
    /// Whether a cache before the origin drops tags now and then: where the fetcher could know
    /// them, from the shard or from a copy that it read.
    pub(crate) drops_tags: bool,
    /// Whether the routes trust validators: only where they can be trusted.
    pub(crate) trusts: bool,
    /// The bound of the route of `other.example`, if it has its own.
    pub(crate) tight: Option<u64>,
    /// What an isolate may hold in memory: everything, or a few pages.
    pub(crate) memory: u64,
    /// Whether a page is gone while its item has certain versions.
    pub(crate) goes: bool,
    /// What the origin says of a page that is gone.
    pub(crate) gone: u16,
    /// Whether calls to objects that restart break off, so that they may be made once more.
    pub(crate) breaks: bool,
    /// Calls that an object refuses because it has too much to do.
    pub(crate) overloads: f64,
    /// Whether every invalidation is soft.
    pub(crate) softly: bool,
    /// How pages are composed, if any are.
    pub(crate) composed: Option<Composed>,
    /// Targets that the journal and the views keep by name.
    pub(crate) targets: u32,
    /// Rows of a page of a delta.
    pub(crate) page_rows: usize,
    /// Lost requests or answers between isolates and objects.
    pub(crate) loss: f64,
    /// Messages that come twice.
    pub(crate) repeats: f64,
    /// Origin requests that fail.
    pub(crate) origin_fails: f64,
    /// Restarts of an object, at each of its awaits.
    pub(crate) restarts: f64,
    /// Requests whose tasks end, at each of their awaits.
    pub(crate) cancels: f64,
    /// Whether ended tasks stay in limbo.
    pub(crate) limbo: bool,
    /// L1 and L2 operations that fail.
    pub(crate) store_fails: f64,
    /// Each isolate's clock.
    pub(crate) skew: Vec<i64>,
    /// Lifetime, window while revalidating, window on errors; seconds.
    pub(crate) lifetime: u64,
    pub(crate) swr: u64,
    pub(crate) sie: u64,
    /// What happens, in order of time.
    pub(crate) inputs: Inputs,
}

impl Plan {
    /// The largest difference between two clocks.
    pub(crate) const SKEW: i64 = 200;

    pub(crate) fn of(seed: u64) -> Self {
        let rng = &mut Rng::with_seed(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0xed9e);
        // A fifth of the worlds has no faults but time: what must hold there is stricter.
        let calm = rng.u32(0..5) == 0;
        let pick = |rng: &mut Rng, of: &[f64]| if calm { 0.0 } else { of[rng.usize(0..of.len())] };
        let mut plan = Self {
            span: rng.u64(12_000..40_000),
            net: [10, 60, 400][rng.usize(0..3)],
            jams: [20, 20, 4][rng.usize(0..3)],
            reads: [0, 0, 3_000][rng.usize(0..3)],
            render: [50, 300, 1_500, 4_000][rng.usize(0..4)],
            lag: [0, 0, 0, 1_400][rng.usize(0..4)],
            l2_lags: !calm && rng.bool(),
            torn: rng.u32(0..5) < 2,
            trusts: false,
            drops_tags: rng.u32(0..10) < 3,
            tight: [None, None, Some(500)][rng.usize(0..3)],
            memory: [64 << 20, 64 << 20, 9_300][rng.usize(0..3)],
            goes: rng.u32(0..4) == 0,
            gone: 404,
            breaks: false,
            overloads: 0.0,
            softly: false,
            composed: None,
            targets: [2, 4, 100][rng.usize(0..3)],
            page_rows: [1, 2, 100][rng.usize(0..3)],
            loss: pick(rng, &[0.0, 0.0, 0.04, 0.15]),
            repeats: pick(rng, &[0.0, 0.03]),
            origin_fails: pick(rng, &[0.0, 0.0, 0.1, 0.3]),
            restarts: pick(rng, &[0.0, 0.0, 0.005, 0.03]),
            cancels: pick(rng, &[0.0, 0.0, 0.005]),
            limbo: rng.bool(),
            store_fails: pick(rng, &[0.0, 0.0, 0.05]),
            skew: Vec::new(),
            lifetime: [1, 4, 9, 60][rng.usize(0..4)],
            swr: [0, 5, 12][rng.usize(0..3)],
            sie: [0, 30][rng.usize(0..2)],
            inputs: Vec::new(),
        };
        plan.trusts = !plan.torn && rng.u32(0..4) == 0;
        let skewed = rng.bool();
        plan.skew =
            (0..ISOLATES).map(|_| if skewed { rng.i64(0..=Self::SKEW) } else { 0 }).collect();
        plan.inputs(rng, calm);
        if seed >= WIDER_FROM && WIDER.contains(&(seed % 32)) {
            plan.widen(seed, calm);
        }
        if seed >= WIDER_FROM && COMPOSED.contains(&(seed % 32)) {
            let rng = &mut Rng::with_seed(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0xc05e);
            plan.composed = Some(Composed::of(rng, calm));
        }
        plan
    }

    /// What only some histories have. Drawn by itself, so that the others stay what they are.
    fn widen(&mut self, seed: u64, calm: bool) {
        let rng = &mut Rng::with_seed(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x51de);
        self.goes |= rng.bool();
        self.gone = [401, 404, 404, 410][rng.usize(0..4)];
        self.breaks = rng.bool();
        self.overloads = if calm { 0.0 } else { [0.0, 0.02][rng.usize(0..2)] };
        self.softly = rng.bool();
        if self.softly {
            for (_, input) in &mut self.inputs {
                if let Input::Change { mode, .. } = input {
                    *mode = Mode::Soft;
                }
            }
            self.sie = 30;
        }
        // A restored journal gives lost epochs to what isolates invalidate by themselves, and
        // forgets a change of N.
        self.inputs.retain(|(_, input)| !matches!(input, Input::Backup | Input::Restore));
        let crowd = Crowd::of(rng);
        let mut inputs = Vec::new();
        // What a replica says after that is not what was posted. Whether a page is stored is not
        // known for sure while it moves from one shard to another.
        let moves = calm && rng.bool();
        for _ in 0..if self.lag == 0 && !moves { rng.usize(0..6) } else { 0 } {
            let (at, isolate) = (rng.u64(0..self.span), crowd.one(rng));
            inputs.push((at, Input::Post { isolate, page: crowd.favourite }));
            for _ in 0..rng.usize(0..6) {
                inputs.push((at + rng.u64(0..6_000), crowd.favourite_from(crowd.one(rng))));
            }
        }
        if moves {
            let shards = [2, 3, 5, MAX_SHARDS][rng.usize(0..4)];
            inputs.push((rng.u64(0..self.span), Input::Reshard { shards }));
            if rng.bool() {
                inputs.push((rng.u64(0..self.span), Input::Reshard { shards: SHARDS }));
            }
        }
        self.inputs.extend(inputs);
        self.inputs.sort_by_key(|(at, _)| *at);
    }

    fn inputs(&mut self, rng: &mut Rng, calm: bool) {
        let crowd = Crowd::of(rng);
        let mut inputs = Vec::new();
        for _ in 0..rng.usize(4..30) {
            inputs.push((rng.u64(0..self.span), crowd.get(rng)));
        }
        for _ in 0..rng.usize(1..6) {
            self.change(rng, &crowd, &mut inputs);
        }
        let torn = self.torn && self.lifetime < 20;
        for _ in 0..if torn { rng.usize(0..3) } else { 0 } {
            self.torn_render(rng, &crowd, &mut inputs);
        }
        if !calm {
            for _ in 0..if self.reads > 0 { rng.usize(0..3) } else { 0 } {
                self.long_cold(rng, &crowd, &mut inputs);
            }
            self.faults(rng, &crowd, &mut inputs);
        }
        inputs.sort_by_key(|(at, _)| *at);
        self.inputs = inputs;
    }

    fn change(&self, rng: &mut Rng, crowd: &Crowd, inputs: &mut Inputs) {
        let at = rng.u64(0..self.span);
        let mut items = vec![[0, 0, 1, 2, 3, 4][rng.usize(0..6)]];
        if rng.u32(0..5) == 0 {
            items.push(rng.usize(0..ITEMS));
            items.sort_unstable();
            items.dedup();
        }
        let naming = match rng.u32(0..10) {
            0 => Naming::Url,
            1 => Naming::Prefix,
            2 => Naming::Host,
            3 if rng.bool() => Naming::All,
            _ => Naming::Tag,
        };
        let change = Input::Change {
            items,
            naming,
            mode: mode(rng),
            delay: [0, 50, 900, 5_000][rng.usize(0..4)],
            deliveries: [1, 1, 2][rng.usize(0..3)],
        };
        // An editor corrects at once what was just saved.
        if rng.u32(0..3) == 0 {
            inputs.push((at + rng.u64(0..self.render + 2_000), change.clone()));
        }
        inputs.push((at, change));
        for _ in 0..rng.usize(0..14) {
            let near = (at + rng.u64(0..9_000)).saturating_sub(3_000);
            inputs.push((near, crowd.get(rng)));
        }
    }

    /// Data change while a page is rendered, and are posted about when it is no longer fresh.
    fn torn_render(&self, rng: &mut Rng, crowd: &Crowd, inputs: &mut Inputs) {
        let (at, lifetime) = (rng.u64(0..self.span), self.lifetime * 1_000);
        inputs.push((at, crowd.favourite_from(crowd.one(rng))));
        let delay = lifetime + rng.u64(0..2_000);
        let change = crowd.favourite_changes(rng, delay);
        inputs.push((at + rng.u64(0..self.render), change));
        for _ in 0..6 {
            let late = at + lifetime + rng.u64(0..5_000);
            inputs.push((late, crowd.favourite_from(crowd.one(rng))));
        }
    }

    /// An isolate is cold for long, and data change meanwhile that had changed before: what it
    /// looks up while it is cold can be older than what a delta has brought it by then.
    fn long_cold(&self, rng: &mut Rng, crowd: &Crowd, inputs: &mut Inputs) {
        let (at, isolate) = (2_000 + rng.u64(0..self.span), crowd.one(rng));
        let colo = isolate / ISOLATES_PER_COLO * ISOLATES_PER_COLO;
        let sibling = colo + rng.usize(0..ISOLATES_PER_COLO);
        inputs.push((at - rng.u64(0..2_000), crowd.favourite_from(sibling)));
        inputs.push((at, Input::Evict { isolate, limbo: rng.bool() }));
        for _ in 0..3 {
            inputs.push((at + rng.u64(0..1_000), crowd.favourite_from(isolate)));
            inputs.push((at + 1_000 + rng.u64(0..5_000), crowd.favourite_from(isolate)));
        }
        let change = crowd.favourite_changes(rng, 0);
        inputs.push((at.saturating_sub(2_500 + rng.u64(0..2_000)), change.clone()));
        inputs.push((at + 500 + rng.u64(0..2_500), change));
        for _ in 0..6 {
            inputs.push((at + 2_500 + rng.u64(0..3_000), crowd.favourite_from(isolate)));
        }
    }

    fn faults(&self, rng: &mut Rng, crowd: &Crowd, inputs: &mut Inputs) {
        let span = self.span;
        for _ in 0..4 {
            if rng.bool() {
                continue;
            }
            let (at, isolate) = (rng.u64(0..span), crowd.one(rng));
            inputs.push((at, Input::Evict { isolate, limbo: rng.bool() }));
            // Often many come while the isolate is still cold.
            for _ in 0..[0, 0, 8][rng.usize(0..3)] {
                let page = if rng.bool() { crowd.favourite } else { rng.usize(0..PAGES) };
                let german = rng.u32(0..4) == 0;
                inputs.push((at + rng.u64(0..3_000), Input::Get { isolate, page, german }));
            }
        }
        let mut maybe = |rng: &mut Rng, percent: u32, input: &dyn Fn(&mut Rng) -> Input| {
            if rng.u32(0..100) < percent {
                let input = input(rng);
                inputs.push((rng.u64(0..span), input));
            }
        };
        for _ in 0..4 {
            maybe(rng, 30, &|rng| Input::Restart { object: rng.usize(0..=usize::from(SHARDS)) });
            maybe(rng, 15, &|rng| Input::Warm { page: rng.usize(0..PAGES) });
        }
        let colo = |rng: &mut Rng| rng.bool().then(|| rng.usize(0..COLOS));
        let long = |rng: &mut Rng| [500, 2_500, 9_000][rng.usize(0..3)];
        maybe(rng, 40, &|rng| Input::JournalDown { colo: colo(rng), millis: long(rng) });
        maybe(rng, 20, &|rng| Input::JournalDown { colo: None, millis: long(rng) });
        maybe(rng, 25, &|rng| Input::ShardsDown { colo: colo(rng), millis: long(rng) });
        maybe(rng, 25, &|rng| Input::OriginDown { millis: long(rng) });
        maybe(rng, 15, &|rng| Input::ForgetColo { colo: rng.usize(0..COLOS) });
        if rng.u32(0..10) == 0 {
            let at = rng.u64(0..span);
            inputs.push((at, Input::Backup));
            inputs.push((rng.u64(at..span + 1), Input::Restore));
        }
    }
}

/// Visitors gather in some isolates and on some pages, so that they meet.
struct Crowd {
    isolates: Vec<usize>,
    favourite: usize,
}

impl Crowd {
    fn of(rng: &mut Rng) -> Self {
        let size = rng.usize(1..=ISOLATES);
        let mut isolates: Vec<usize> = (0..ISOLATES).collect();
        rng.shuffle(&mut isolates);
        // Often those of one or two colos, that share news and leases.
        let near = rng.usize(0..3);
        if near > 0 {
            let colos = [rng.usize(0..COLOS), rng.usize(0..COLOS)];
            isolates.retain(|i| colos[..near].contains(&(i / ISOLATES_PER_COLO)));
        }
        isolates.truncate(size);
        Self { isolates, favourite: rng.usize(0..PAGES - 1) }
    }

    fn one(&self, rng: &mut Rng) -> usize {
        self.isolates[rng.usize(0..self.isolates.len())]
    }

    fn get(&self, rng: &mut Rng) -> Input {
        Input::Get {
            isolate: self.one(rng),
            page: if rng.u32(0..3) > 0 { self.favourite } else { rng.usize(0..PAGES) },
            german: rng.u32(0..4) == 0,
        }
    }

    fn favourite_from(&self, isolate: usize) -> Input {
        Input::Get { isolate, page: self.favourite, german: false }
    }

    /// Something that the favourite page can show changes.
    fn favourite_changes(&self, rng: &mut Rng, delay: u64) -> Input {
        let items = SITE[self.favourite].items;
        Input::Change {
            items: vec![items[rng.usize(0..items.len())]],
            naming: Naming::Tag,
            mode: mode(rng),
            delay,
            deliveries: 1,
        }
    }
}

fn mode(rng: &mut Rng) -> Mode {
    if rng.bool() { Mode::Soft } else { Mode::Hard }
}

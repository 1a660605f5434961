//! The rules of the invalidation protocol, by their names in the executable model, as switches for the simulation.
//!
//! Each rule is in force wherever [`Rule::holds`] is asked. In a normal build that is a constant, and the other branch
//! is not compiled in. Under the feature `mutants`, which is for tests only, one rule at a time can be switched off in
//! a thread, to show that the simulation finds what then goes wrong (`docs/simulation.md`).

macro_rules! rules {
    ($($(#[$doc:meta])* $rule:ident = $name:literal,)*) => {
        /// A rule of the protocol.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Rule { $($(#[$doc])* $rule,)* }

        impl Rule {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$rule,)*];

            /// The rule's name in the executable model.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$rule => $name,)* }
            }
        }
    };
}

rules! {
    /// A shared delta's age counts from when its asker asked, by the asker's clock.
    AskerTime = "asker_time",
    /// After a sync through a shared delta the view's age is checked again.
    AgeRecheck = "age_recheck",
    /// A shared delta is applied only if its base is not past the view's own.
    SinceCheck = "since_check",
    /// A shared delta counts as older by the difference that clocks may have.
    SkewMargin = "skew_margin",
    /// Ages are judged by the clock as it is once the request has come: a Worker's stands still between I/O.
    ArrivalClock = "arrival_clock",
    /// With the journal out of reach nothing is fresh.
    BlindStale = "blind_stale",
    /// With the journal out of reach for `journal_lost_limit`, entries are validated.
    BlindValidate = "blind_validate",
    /// A stamp is taken before the origin request begins.
    StampStart = "stamp_start",
    /// A collapsed request judges the leader's result by its own view.
    FollowerCheck = "follower_check",
    /// `settle_ms` is a second epoch.
    SettleEpoch = "settle_epoch",
    /// An invalidated entry is refetched without conditions.
    No304Restamp = "no_304_restamp",
    /// A 304 renews exactly the entry whose validator was sent.
    RestampSame = "restamp_same",
    /// Conditions are sent only by a view that can prove the entry current.
    Proved304 = "proved_304",
    /// A 304 renews up to the epoch proved for the entry, not up to the newest one heard of.
    Cap304 = "cap_304",
    /// Whether to send conditions, and the stamp, are read from one state of the view.
    SameStep = "same_step",
    /// What a bucket covers is refetched without conditions.
    FloorUncond = "floor_uncond",
    /// What a bucket covers is not served as stale.
    FloorNoSwr = "floor_no_swr",
    /// Deltas and look-ups carry the buckets.
    FloorSent = "floor_sent",
    /// A view without a snapshot judges an entry only if every target of it was looked up.
    PartialKnown = "partial_known",
    /// A page of a snapshot proves nothing by itself.
    PagedKnown = "paged_known",
    /// A page of a delta does not move the view's base.
    PageCursor = "page_cursor",
    /// A look-up does not move the view's base.
    OverlaySince = "overlay_since",
    /// The journal keeps soft and hard epochs of a target apart.
    KeepBoth = "keep_both",
    /// A view takes the higher of what it has and what comes.
    ViewMax = "view_max",
    /// What a shard calls ready is judged again after reading.
    ReadyRecheck = "ready_recheck",
    /// A refill without tags inherits the known ones.
    InheritTags = "inherit_tags",
    /// Nobody reads an epoch, or is told of it, before it is durable.
    DurableVisible = "durable_visible",
    /// One webhook id, one epoch.
    Receipts = "receipts",
    /// A restored journal continues past what others heard of.
    Incarnation = "incarnation",
    /// A warm is done only by a copy that covers the epoch it is for.
    WarmCas = "warm_cas",
    /// A warm waits for a lease holder, and does not count itself done.
    WarmWaits = "warm_waits",
    /// A holder that began before the invalidation does not block who saw it.
    LeaseNeed = "lease_need",
    /// "Ready" is newer than what the asker has.
    LeaseGen = "lease_gen",
    /// What a shard hears of raises the stamps that it gives.
    LeaseSeen = "lease_seen",
    /// Only the holder releases a lease.
    ReleaseFence = "release_fence",
    /// A late holder does not overwrite a newer result.
    Fence = "fence",
    /// What was fetched after a request came is good enough for it.
    DarkFence = "dark_fence",
    /// A paged delta is not cut inside one epoch.
    EpochCut = "epoch_cut",
    /// Stale ends with lifetime and window, whatever was invalidated meanwhile.
    SwrCap = "swr_cap",
    /// An older fill does not replace a newer one.
    StoreOrder = "store_order",
    /// stale-if-error never serves what was hard-invalidated.
    SieNotHard = "sie_not_hard",
    /// A fill that a fan-out has overtaken is warmed at once.
    RecFanout = "rec_fanout",
    /// A cache in front of the edge is told once every isolate sees an invalidation.
    FrontCacheSeen = "front_cache_seen",
    /// What a cache in front of the edge was told stays owed until it has taken it.
    FrontCacheTaken = "front_cache_taken",
}

impl Rule {
    /// Whether the rule is in force: always.
    #[cfg(not(feature = "mutants"))]
    #[must_use]
    pub const fn holds(self) -> bool {
        true
    }

    /// Whether the rule is in force in this thread.
    #[cfg(feature = "mutants")]
    #[must_use]
    pub fn holds(self) -> bool {
        OFF.get() != Some(self)
    }

    /// Switches a rule off in this thread, or none.
    #[cfg(feature = "mutants")]
    pub fn switch_off(rule: Option<Self>) {
        OFF.set(rule);
    }
}

#[cfg(feature = "mutants")]
thread_local! {
    static OFF: std::cell::Cell<Option<Rule>> = const { std::cell::Cell::new(None) };
}

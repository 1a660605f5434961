//! The gauges of an isolate: what it holds at the moment.

/// A value that goes up and down, set when metrics are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gauge {
    /// The age of the view, in milliseconds.
    ViewAge,
    /// The newest epoch that the view knows.
    ViewEpoch,
    /// Targets that the view holds.
    ViewTargets,
    /// Bytes that the view takes.
    ViewBytes,
    /// Bytes of what is remembered of answers that can't be stored.
    HitForPassBytes,
    /// Responses in isolate memory.
    MemoryEntries,
    /// Bytes of their bodies.
    MemoryBytes,
    /// Fetches under way.
    Fills,
    /// Bytes that they hold.
    FillBytes,
    /// Origin requests that may be under way at once, at present.
    OriginLimit,
    /// Origin requests under way.
    OriginRequests,
    /// Requests that wait for one.
    OriginWaiting,
    /// Caches in front of the edge that do not take their deliveries.
    FrontCachesFailing,
    /// What is pending for all of them.
    FrontCacheWaiting,
    /// Shards that have pages of others.
    ShardsMoving,
}

/// A family: name, kind, help.
pub(super) type Family = (&'static str, &'static str, &'static str);

/// What a gauge counts in.
pub(super) enum Unit {
    /// Whole things.
    One,
    /// Milliseconds, shown in seconds.
    Milli,
}

/// Gauges in order. Ages are kept in milliseconds and shown in seconds, Prometheus' base unit.
pub(super) const GAUGES: [(Gauge, Family, Unit); 15] = [
    (Gauge::ViewAge, ("edge_isr_view_age_seconds", "gauge", "Age of the view."), Unit::Milli),
    (Gauge::ViewEpoch, ("edge_isr_view_epoch", "gauge", "Newest epoch known."), Unit::One),
    (Gauge::ViewTargets, ("edge_isr_view_targets", "gauge", "Targets the view holds."), Unit::One),
    (Gauge::ViewBytes, ("edge_isr_view_bytes", "gauge", "Bytes the view takes."), Unit::One),
    (
        Gauge::HitForPassBytes,
        ("edge_isr_hit_for_pass_bytes", "gauge", "Bytes of hit-for-pass entries."),
        Unit::One,
    ),
    (Gauge::MemoryEntries, ("edge_isr_memory_entries", "gauge", "Responses in memory."), Unit::One),
    (Gauge::MemoryBytes, ("edge_isr_memory_bytes", "gauge", "Bytes of their bodies."), Unit::One),
    (Gauge::Fills, ("edge_isr_fills", "gauge", "Fetches under way."), Unit::One),
    (Gauge::FillBytes, ("edge_isr_fill_bytes", "gauge", "Bytes that fetches hold."), Unit::One),
    (
        Gauge::OriginLimit,
        ("edge_isr_origin_limit", "gauge", "Origin requests that may be under way at once."),
        Unit::One,
    ),
    (
        Gauge::OriginRequests,
        ("edge_isr_origin_requests", "gauge", "Origin requests under way."),
        Unit::One,
    ),
    (
        Gauge::OriginWaiting,
        ("edge_isr_origin_waiting", "gauge", "Requests that wait for others to end."),
        Unit::One,
    ),
    (
        Gauge::FrontCachesFailing,
        ("edge_isr_front_caches_failing", "gauge", "Front caches that take nothing."),
        Unit::One,
    ),
    (
        Gauge::FrontCacheWaiting,
        (
            "edge_isr_front_cache_waiting",
            "gauge",
            "Invalidations that front caches have still to take.",
        ),
        Unit::One,
    ),
    (
        Gauge::ShardsMoving,
        ("edge_isr_shards_moving", "gauge", "Shards that have pages of others."),
        Unit::One,
    ),
];

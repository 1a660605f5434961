//! The bytes of a delta as this version writes them: the next version must still read them.

use edge_isr::base::time::{Epoch, Timestamp};
use edge_isr::cache::tag::TargetHash;
use edge_isr::journal::delta::{Bucket, Delta, SharedDelta, TargetRow};

#[test]
fn version_1() {
    let shared = SharedDelta {
        request_time: Timestamp::from_millis(1_700_000_000_123),
        delta: Delta {
            since: Some(Epoch(3)),
            to: Epoch(300),
            more: false,
            head: Epoch(300),
            rows: vec![
                TargetRow {
                    hash: TargetHash(0x0102_0304_0506_0708),
                    soft: Epoch(300),
                    hard: Epoch::ZERO,
                    soft_at: Timestamp::from_millis(1_700_000_000_000),
                },
                TargetRow {
                    hash: TargetHash(u64::MAX),
                    soft: Epoch::ZERO,
                    hard: Epoch(4),
                    soft_at: Timestamp::ZERO,
                },
            ],
            buckets: vec![Bucket { bucket: 65_535, epoch: Epoch(5), hard: Epoch(5) }],
            reported: None,
        },
    };
    let golden = r#"{"request_time":1700000000123,"delta":{"since":3,"to":300,"more":false,"rows":"AQIBAgMEBQYHCKwCAICgq/75Yv//////////AAQB//8DBQ"}}"#;
    assert_eq!(serde_json::to_string(&shared).unwrap(), golden);
    assert_eq!(serde_json::from_str::<SharedDelta>(golden).unwrap(), shared);
    // What fell into a bucket softly is sent beside: a version before knows nothing of it.
    let soft = golden.replace(r#"BQ"}"#, r#"BQ","hard":"Ag"}"#);
    let read = serde_json::from_str::<SharedDelta>(&soft).unwrap();
    assert_eq!(read.delta.buckets[0].hard, Epoch(2));
    assert_eq!(serde_json::to_string(&read).unwrap(), soft);
    // Bytes after the last bucket belong to a later version.
    let later = golden.replace("//8DBQ", "//8DBQkJCQ");
    assert_eq!(serde_json::from_str::<SharedDelta>(&later).unwrap(), shared);
}

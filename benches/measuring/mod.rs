//! Figures, the times that they are made of, and what the process has taken meanwhile.

use std::time::Instant;

/// One figure.
pub(crate) struct Figure {
    pub(crate) name: &'static str,
    pub(crate) unit: &'static str,
    pub(crate) bound: &'static str,
    pub(crate) parts: Vec<f64>,
}

impl Figure {
    pub(crate) fn json(&self) -> serde_json::Value {
        let mut parts = self.parts.clone();
        parts.sort_by(f64::total_cmp);
        let (low, high) = (parts[0], parts[parts.len() - 1]);
        serde_json::json!({
            "name": self.name, "unit": self.unit, "bound": self.bound,
            "median": parts[parts.len() / 2], "lowest": low, "highest": high,
            "of": parts.len(),
        })
    }
}

/// Takes times: one of each round.
pub(crate) fn timed(rounds: usize, mut work: impl FnMut(usize)) -> Vec<f64> {
    let one = |round| {
        let began = Instant::now();
        work(round);
        began.elapsed().as_secs_f64()
    };
    (0..rounds).map(one).collect()
}

/// Processor time that the process has taken, its system calls included.
pub(crate) fn processor_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields = stat.rsplit(')').next().unwrap();
    let ticks = |at: usize| fields.split_whitespace().nth(at).unwrap().parse::<f64>().unwrap();
    // utime and stime (proc(5)), in hundredths of a second.
    (ticks(11) + ticks(12)) / 100.0
}

/// Times that the process has read from files and written to them.
pub(crate) fn reads_and_writes() -> [f64; 2] {
    let io = std::fs::read_to_string("/proc/self/io").unwrap();
    ["syscr: ", "syscw: "].map(|name| {
        let line = io.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap().parse::<f64>().unwrap()
    })
}

/// Bytes of memory that the process holds.
pub(crate) fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1_024
}
